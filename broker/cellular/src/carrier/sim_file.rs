//! Files of the SIM that tell the carrier (31.102 clause 4.2).

use crate::sms::alphabet::{ShiftTables, ucs2};

/// A file that is read with `AT+CRSM` (27.007 8.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimFile {
    /// EF_AD (31.102 4.2.18): administrative data, with the length of the MNC.
    AdministrativeData,
    /// EF_SPN (31.102 4.2.12): the service provider's name.
    ServiceProviderName,
    /// EF_GID1 (31.102 4.2.10): which group of SIMs this one is in.
    GroupIdentifier1,
}

impl SimFile {
    /// Its identifier, in decimal as `AT+CRSM` wants it.
    #[must_use]
    pub const fn identifier(self) -> u16 {
        match self {
            Self::AdministrativeData => 0x6FAD,
            Self::ServiceProviderName => 0x6F46,
            Self::GroupIdentifier1 => 0x6F3E,
        }
    }
}

/// Length of the MNC in EF_AD: the low half of its fourth octet. Old SIMs do not have that octet.
#[must_use]
pub fn mnc_length(administrative_data: &[u8]) -> Option<usize> {
    match administrative_data.get(3)? & 0x0F {
        length @ (2 | 3) => Some(usize::from(length)),
        _ => None,
    }
}

/// The name in EF_SPN, behind an octet about when to display it; empty when there is none.
#[must_use]
pub fn service_provider_name(content: &[u8]) -> String {
    content.get(1..).map(alpha_identifier).unwrap_or_default()
}

/// EF_GID1 in hexadecimal, without the padding.
#[must_use]
pub fn group_identifier(content: &[u8]) -> String {
    let end = content
        .iter()
        .rposition(|&octet| octet != 0xFF)
        .map_or(0, |last| last + 1);
    content[..end].iter().map(|octet| format!("{octet:02X}")).collect()
}

/// A text on the SIM (31.102 annex A): septets of the default alphabet, one in each octet, or one of three forms of UCS2.
#[must_use]
pub fn alpha_identifier(content: &[u8]) -> String {
    let text = match content {
        [0x80, ucs2 @ ..] => {
            let characters = ucs2.chunks_exact(2).take_while(|pair| *pair != [0xFF, 0xFF]);
            ucs2::decode(&characters.flatten().copied().collect::<Vec<u8>>())
        }
        [0x81, length, base, rest @ ..] => from_half_page(rest, *length, u16::from(*base) << 7),
        [0x82, length, high, low, rest @ ..] => from_half_page(rest, *length, u16::from_be_bytes([*high, *low])),
        septets => {
            let used: Vec<u8> = septets
                .iter()
                .copied()
                .take_while(|&octet| octet != 0xFF)
                .map(|octet| octet & 0x7F)
                .collect();
            ShiftTables::default().decode(&used)
        }
    };
    text.trim()
        .chars()
        .filter(|character| !character.is_control())
        .collect()
}

/// Octets with the highest bit are characters counted from `base`, the others are of the default alphabet.
fn from_half_page(content: &[u8], length: u8, base: u16) -> String {
    let one = |&octet: &u8| -> String {
        if octet & 0x80 == 0 {
            return ShiftTables::default().decode(&[octet]);
        }
        let code = base.wrapping_add(u16::from(octet & 0x7F));
        char::from_u32(u32::from(code)).map(String::from).unwrap_or_default()
    };
    content.iter().take(usize::from(length)).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_the_mnc_is_in_the_fourth_octet() {
        for (content, expected) in [
            (&[0, 0, 0, 2][..], Some(2)),
            (&[0, 0, 0, 3], Some(3)),
            (&[0, 0, 0, 0xF3], Some(3)),
            (&[0, 0, 0, 0], None),
            (&[0, 0, 0, 0xFF], None),
            (&[0, 0, 0], None),
            (&[], None),
        ] {
            assert_eq!(mnc_length(content), expected, "{content:?}");
        }
    }

    #[test]
    fn names_are_read_in_every_form_of_annex_a() {
        let padded = |text: &[u8]| [text, &[0xFF; 6]].concat();
        for (content, expected) in [
            (padded(b"\x01giffgaff"), "giffgaff"),
            (padded(&[0x00, 0x80, 0x00, 0x42, 0x01, 0x17]), "B\u{117}"),
            // Base 0x0400 in both compressed forms: Cyrillic.
            (padded(&[0x00, 0x81, 0x03, 0x08, 0x9C, 0xA2, b'S']), "\u{41C}\u{422}S"),
            (padded(&[0x00, 0x82, 0x02, 0x04, 0x00, 0x9C, 0xA2]), "\u{41C}\u{422}"),
            (vec![0xFF; 17], ""),
            (vec![], ""),
            (vec![0x00], ""),
        ] {
            assert_eq!(service_provider_name(&content), expected, "{content:02X?}");
        }
    }

    #[test]
    fn a_group_ends_before_its_padding() {
        assert_eq!(group_identifier(&[0x0A, 0xFF, 0xFF]), "0A");
        assert_eq!(group_identifier(&[0xFF, 0xFF]), "");
        assert_eq!(group_identifier(&[]), "");
    }
}
