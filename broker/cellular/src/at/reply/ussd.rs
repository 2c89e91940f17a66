//! `+CUSD`: unstructured supplementary service data (27.007 7.15).

use super::text::{is_writing, octets, ucs2_of};

/// `<m>`: what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UssdStatus {
    /// 0: nothing more; a notification, or the answer that ends the session.
    Done,
    /// 1: the network waits for an answer.
    ActionRequired,
    /// 2: the network ended the session.
    Terminated,
    /// 3: another client of the modem answered.
    OtherClientResponded,
    /// 4
    NotSupported,
    /// 5
    NetworkTimeout,
}

/// An answer or a question of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ussd {
    /// What comes next.
    pub status: UssdStatus,
    /// `<str>` as received; its meaning depends on `AT+CSCS` and the coding scheme. Line breaks are kept as LF.
    pub raw_text: Option<String>,
    /// `<dcs>`: the cell broadcast data coding scheme (23.038 clause 5). One modem sends a negative number.
    pub coding_scheme: Option<i16>,
}

impl Ussd {
    /// Reads what follows `+CUSD:`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (status, rest) = text.split_once(',').unwrap_or((text, ""));
        let status = match status.trim().parse::<u8>().ok()? {
            0 => UssdStatus::Done,
            1 => UssdStatus::ActionRequired,
            2 => UssdStatus::Terminated,
            3 => UssdStatus::OtherClientResponded,
            4 => UssdStatus::NotSupported,
            5 => UssdStatus::NetworkTimeout,
            _ => return None,
        };
        let (raw_text, coding_scheme) = string_and_scheme(rest);
        Some(Self {
            status,
            raw_text: Some(raw_text).filter(|text| !text.is_empty()).map(str::to_owned),
            coding_scheme,
        })
    }

    /// True if the text of what follows `+CUSD:` goes on in the next line. Quotes inside a text mostly come in pairs.
    #[must_use]
    pub(in crate::at) fn is_open(text: &str) -> bool {
        let rest = text.split_once(',').map_or("", |(_, rest)| rest.trim());
        let closed = rest.len() > 1
            && (rest.ends_with('"') && rest.matches('"').count().is_multiple_of(2)
                || closing_quote(rest).is_some_and(|(_, scheme)| scheme.is_some()));
        rest.starts_with('"') && !closed
    }

    /// The text, decoded as far as its form tells. Modems send readable text, UCS2 in hexadecimal, packed GSM 7-bit in
    /// hexadecimal or octets in hexadecimal, in part regardless of the coding scheme that they name.
    ///
    /// `decode_gsm7` unpacks septets of the GSM 7-bit default alphabet.
    #[must_use]
    pub fn text(&self, decode_gsm7: impl Fn(&[u8]) -> Option<String>) -> Option<String> {
        let raw = self.raw_text.as_deref()?;
        let scheme = self.coding_scheme.and_then(|scheme| u8::try_from(scheme).ok());
        let text = octets(raw)
            .and_then(|octets| decode(raw, &octets, scheme, decode_gsm7))
            .unwrap_or_else(|| raw.to_owned());
        Some(
            if matches!(scheme, Some(SEVEN_BIT_WITH_LANGUAGE | UCS2_WITH_LANGUAGE)) {
                without_language(&text).to_owned()
            } else {
                text
            },
        )
    }
}

/// 23.038 clause 5: the text begins with the two letters of its language.
const SEVEN_BIT_WITH_LANGUAGE: u8 = 0x10;
const UCS2_WITH_LANGUAGE: u8 = 0x11;

/// What a cell broadcast data coding scheme says of the octets (23.038 clause 5).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gsm7,
    Data8,
    Ucs2,
}

fn coding(scheme: Option<u8>) -> Coding {
    let Some(scheme) = scheme else { return Coding::Gsm7 };
    match (scheme >> 4, scheme >> 2 & 0b11) {
        (0x1, _) if scheme == UCS2_WITH_LANGUAGE => Coding::Ucs2,
        (0x4..=0x7 | 0x9, 1) => Coding::Data8,
        (0x4..=0x7 | 0x9, 2) => Coding::Ucs2,
        (0xF, 1 | 3) => Coding::Data8,
        _ => Coding::Gsm7,
    }
}

/// What octets say that came in hexadecimal; none if they are rather the text itself.
fn decode(
    raw: &str,
    octets: &[u8],
    scheme: Option<u8>,
    decode_gsm7: impl Fn(&[u8]) -> Option<String>,
) -> Option<String> {
    let coding = coding(scheme);
    let ucs2 = ucs2_text(octets, scheme);
    let ascii = || {
        octets
            .iter()
            .all(|octet| matches!(octet, b'\n' | b'\r' | 0x20..=0x7E))
            .then(|| String::from_utf8(octets.to_vec()).ok())
            .flatten()
    };
    match coding {
        Coding::Ucs2 if ucs2.is_some() => return ucs2,
        Coding::Data8 => {
            if let Some(text) = eight_bit(octets) {
                return Some(text);
            }
        }
        _ => {}
    }
    // A balance such as "1234" is hexadecimal only by accident.
    if raw.len() < 8 {
        return None;
    }
    // Signs from Latin to Arabic, in hexadecimal with two octets each.
    let low = octets.chunks_exact(2).filter(|pair| pair[0] <= 0x06).count();
    let digits_only = raw.bytes().all(|byte| byte.is_ascii_digit());
    if digits_only {
        // An amount or an account number is not cut into pairs of octets that all begin low, nor made of the octets of digits.
        let pairs = octets.len() / 2;
        let of_digits = octets.len() >= 6 && octets.iter().all(u8::is_ascii_digit);
        let of_a_script = pairs >= 3 && octets.chunks(2).all(|pair| pair[0] <= 0x0E);
        return ucs2
            .filter(|text| low == pairs || of_a_script && is_writing(text))
            .or_else(|| ascii().filter(|_| of_digits));
    }
    if low * 8 > octets.len() * 3 && ucs2.is_some() {
        return ucs2;
    }
    let gsm7 = || {
        decode_gsm7(octets).map(|text| {
            text.strip_suffix('@')
                .filter(|_| octets.len().is_multiple_of(7))
                .map_or_else(|| text.clone(), str::to_owned)
        })
    };
    ascii()
        .or_else(|| gsm7().filter(|text| is_plain(text)))
        .or_else(|| ucs2.filter(|text| is_writing(text)))
        .or_else(gsm7)
}

/// UCS2, without the language that may stand before it: two letters packed into the first two octets.
fn ucs2_text(octets: &[u8], scheme: Option<u8>) -> Option<String> {
    let letters = |low: u8, high: u8| {
        let packed = u16::from_le_bytes([low, high]);
        let septets = [packed & 0x7F, packed >> 7];
        septets
            .iter()
            .all(|septet| u8::try_from(*septet).is_ok_and(|sign| sign.is_ascii_lowercase()))
    };
    match octets {
        [low, high, rest @ ..] if scheme == Some(UCS2_WITH_LANGUAGE) && letters(*low, *high) => ucs2_of(rest),
        _ => ucs2_of(octets),
    }
}

/// Octets of readable text: UTF-8, or Latin-1 as most networks mean it. None if they are something else.
fn eight_bit(octets: &[u8]) -> Option<String> {
    let readable = |sign: char| matches!(sign, '\n' | '\r') || !sign.is_control();
    let text =
        std::str::from_utf8(octets).map_or_else(|_| octets.iter().copied().map(char::from).collect(), str::to_owned);
    text.chars().all(readable).then_some(text)
}

/// Nothing but what most texts of networks are made of. Octets that are no GSM 7-bit seldom come out so.
fn is_plain(text: &str) -> bool {
    let plain = |sign: char| {
        sign.is_ascii_alphanumeric() || matches!(sign, ' ' | '\n' | '\r') || ".,:;-/*#()'!?%+=".contains(sign)
    };
    text.chars().all(plain)
}

/// A text without the two letters of its language and the line end behind them.
fn without_language(text: &str) -> &str {
    let mut signs = text.chars();
    let language = signs.by_ref().take(2).filter(char::is_ascii_alphabetic).count() == 2;
    let rest = signs.as_str();
    match rest.strip_prefix(['\r', '\n']) {
        Some(rest) if language => rest.trim_start_matches('\n'),
        _ => text,
    }
}

/// The string, without its quotes, and the scheme behind it. A text may hold quotes and commas of its own, so the quote that
/// closes it is the last one behind which there is nothing but the scheme; one that is never closed goes on to the end.
fn string_and_scheme(rest: &str) -> (&str, Option<i16>) {
    let rest = rest.trim();
    if let Some((text, scheme)) = closing_quote(rest) {
        return (text, scheme);
    }
    if let Some(open) = rest.strip_prefix('"') {
        return (open, None);
    }
    match rest.rsplit_once(',') {
        Some((text, scheme)) if scheme.trim().parse::<i16>().is_ok() => (text.trim(), scheme.trim().parse().ok()),
        _ => (rest, None),
    }
}

fn closing_quote(rest: &str) -> Option<(&str, Option<i16>)> {
    let inner = rest.strip_prefix('"')?;
    let (text, behind) = inner.rsplit_once('"')?;
    let behind = behind.trim();
    if behind.is_empty() {
        return Some((text, None));
    }
    let scheme = behind.strip_prefix(',')?.trim();
    let number = scheme.split(',').next().unwrap_or_default().trim();
    (number.is_empty() || number.parse::<i16>().is_ok()).then(|| (text, number.parse().ok()))
}
