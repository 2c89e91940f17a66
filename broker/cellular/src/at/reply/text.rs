//! Strings in whatever form they come: the character set of `AT+CSCS` may have been left by another program, and some
//! firmwares write names and the texts of networks in hexadecimal in every one of them.

use super::super::line::is_hex;

/// A name: as it stands, or out of UCS2 in hexadecimal, if that gives a text that people write.
#[must_use]
pub(crate) fn name(raw: &str) -> String {
    // A name of letters A to F alone is a word.
    let is_number = raw.len() >= 8 && raw.bytes().any(|byte| byte.is_ascii_digit());
    let decoded = is_number.then(|| ucs2(raw)).flatten().filter(|text| is_writing(text));
    decoded.unwrap_or_else(|| raw.to_owned())
}

/// A telephone number: as it stands, or out of UCS2 in hexadecimal.
#[must_use]
pub(crate) fn number(raw: &str) -> String {
    let dialled = |text: &String| text.chars().all(|sign| matches!(sign, '0'..='9' | '+' | '*' | '#'));
    let decoded = (raw.len() >= 8).then(|| ucs2(raw)).flatten().filter(dialled);
    decoded.unwrap_or_else(|| raw.to_owned())
}

/// UCS2 in hexadecimal. UTF-16 surrogates are accepted, since networks send them.
#[must_use]
pub(super) fn ucs2(raw: &str) -> Option<String> {
    ucs2_of(&octets(raw)?)
}

pub(super) fn ucs2_of(octets: &[u8]) -> Option<String> {
    let (pairs, []) = octets.as_chunks::<2>() else {
        return None;
    };
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    String::from_utf16(&units).ok().filter(|text| !text.contains('\0'))
}

pub(super) fn octets(raw: &str) -> Option<Vec<u8>> {
    if !is_hex(raw) || !raw.len().is_multiple_of(2) {
        return None;
    }
    let octet = |pair: &[u8]| {
        std::str::from_utf8(pair)
            .ok()
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    raw.as_bytes().chunks_exact(2).map(octet).collect()
}

/// Scripts, as far as they tell a text from octets that mean something else.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    /// Latin letters, digits, punctuation, symbols: they stand beside every other script.
    Common,
    /// Another one, by the number of its block of 128 or 256 characters.
    Other(u32),
}

/// True for a text of one script, beside Latin letters, digits and punctuation. Octets that are no UCS2 come out as signs of
/// many scripts, or of none.
#[must_use]
pub(super) fn is_writing(text: &str) -> bool {
    let mut script = None;
    !text.is_empty()
        && text.chars().all(|sign| match script_of(sign) {
            None => false,
            Some(Script::Common) => true,
            Some(found) => *script.get_or_insert(found) == found,
        })
}

fn script_of(sign: char) -> Option<Script> {
    /// Han, kana and their punctuation.
    const EAST_ASIAN: u32 = 0x4E00;
    Some(match u32::from(sign) {
        0x0A | 0x0D | 0x20..=0x7E | 0xA0..=0x2AF => Script::Common,
        // General punctuation, currencies, letter-like signs, arrows, mathematics, pictures.
        0x2010..=0x22FF | 0x2500..=0x27BF | 0xFE0F | 0x1_F000..=0x1_FAFF => Script::Common,
        0x0370..=0x03FF | 0x1F00..=0x1FFF => Script::Other(0x0370),
        0x0400..=0x052F => Script::Other(0x0400),
        0x0531..=0x058F => Script::Other(0x0531),
        0x0591..=0x05F4 => Script::Other(0x0591),
        0x0600..=0x06FF | 0x0750..=0x077F | 0xFB50..=0xFDFF | 0xFE70..=0xFEFC => Script::Other(0x0600),
        // Indic scripts, Thai and Lao have 128 characters each.
        block @ 0x0900..=0x0EFF => Script::Other(block & !0x7F),
        0x0F00..=0x0FFF => Script::Other(0x0F00),
        0x1000..=0x109F => Script::Other(0x1000),
        0x10A0..=0x10FF => Script::Other(0x10A0),
        0x1200..=0x139F => Script::Other(0x1200),
        0x1780..=0x17FF => Script::Other(0x1780),
        0x1E00..=0x1EFF => Script::Common,
        0x3001..=0x30FF | 0x4E00..=0x9FFF | 0xFF01..=0xFFEE => Script::Other(EAST_ASIAN),
        0x1100..=0x11FF | 0xAC00..=0xD7A3 => Script::Other(0xAC00),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read_in_either_form() {
        for (raw, expected) in [
            ("041C0435043304300424043E043D", "МегаФон"),
            ("4E2D56FD79FB52A8", "中国移动"),
            ("0054002D004D006F00620069006C0065", "T-Mobile"),
            ("0E410E2D0E27", "แอว"),
            ("C5D0C2A4CF00C774D154B808CF64", "에스케이텔레콤"),
            ("003200360032003000320032", "262022"),
            ("DEADBEEF", "DEADBEEF"),
            ("26202", "26202"),
            ("Orange@", "Orange@"),
            ("12345678", "12345678"),
            ("AT&T@", "AT&T@"),
            ("", ""),
        ] {
            assert_eq!(name(raw), expected, "{raw}");
        }
        for (raw, expected) in [
            ("002B003400340037003700300030", "+447700"),
            ("00340034", "44"),
            ("+447700900123", "+447700900123"),
            ("00302101234567", "00302101234567"),
            ("44770090", "44770090"),
            ("", ""),
        ] {
            assert_eq!(number(raw), expected, "{raw}");
        }
    }
}
