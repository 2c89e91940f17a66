//! `+CUSD`: unstructured supplementary service data (27.007 7.15).

use super::super::line::{Arguments, is_hex};

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
        // An unterminated string runs to the end; a line break inside is part of it.
        let arguments = Arguments::parse(text);
        let status = match arguments.at(0).number::<u8>()? {
            0 => UssdStatus::Done,
            1 => UssdStatus::ActionRequired,
            2 => UssdStatus::Terminated,
            3 => UssdStatus::OtherClientResponded,
            4 => UssdStatus::NotSupported,
            5 => UssdStatus::NetworkTimeout,
            _ => return None,
        };
        Some(Self {
            status,
            raw_text: arguments.at(1).non_empty().map(str::to_owned),
            coding_scheme: arguments.at(2).number(),
        })
    }

    /// The text, decoded as far as its form tells. Modems send readable text, UCS2 in hexadecimal, packed GSM 7-bit in
    /// hexadecimal or ASCII in hexadecimal, in part regardless of the coding scheme that they name.
    ///
    /// `decode_gsm7` unpacks septets of the GSM 7-bit default alphabet.
    #[must_use]
    pub fn text(&self, decode_gsm7: impl Fn(&[u8]) -> Option<String>) -> Option<String> {
        let raw = self.raw_text.as_deref()?;
        // A balance such as "1234" is hexadecimal only by accident.
        if raw.len() < 8 {
            return Some(raw.to_owned());
        }
        let Some(octets) = octets_from_hex(raw) else {
            return Some(raw.to_owned());
        };
        // Septets of a text are never all decimal digits in hexadecimal; an amount or an account number often is.
        let claims_gsm7 = matches!(self.coding_scheme, Some(0 | 15));
        if claims_gsm7 && raw.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(raw.to_owned());
        }
        let claims_ucs2 = self.coding_scheme.is_some_and(|scheme| scheme & 0xFC == 0x48);
        // Three of four characters from Latin to Arabic, in hexadecimal with two octets each.
        let low_octets = octets.chunks_exact(2).filter(|pair| pair[0] <= 0x06).count();
        let looks_like_ucs2 = raw.len().is_multiple_of(4) && low_octets * 8 > octets.len() * 3;
        if (claims_ucs2 || looks_like_ucs2)
            && let Some(text) = ucs2_from_hex(raw)
        {
            return Some(text);
        }
        if octets.iter().all(|octet| matches!(octet, b'\n' | b'\r' | 0x20..=0x7E)) {
            return String::from_utf8(octets).ok();
        }
        decode_gsm7(&octets).or_else(|| Some(raw.to_owned()))
    }
}

/// UCS2 in hexadecimal. UTF-16 surrogates are accepted, since networks send them.
pub(super) fn ucs2_from_hex(text: &str) -> Option<String> {
    let octets = octets_from_hex(text)?;
    if !octets.len().is_multiple_of(2) {
        return None;
    }
    let units: Vec<u16> = octets
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).ok().filter(|text| !text.contains('\0'))
}

fn octets_from_hex(text: &str) -> Option<Vec<u8>> {
    if !is_hex(text) || !text.len().is_multiple_of(2) {
        return None;
    }
    let octet = |pair: &[u8]| {
        std::str::from_utf8(pair)
            .ok()
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    text.as_bytes().chunks_exact(2).map(octet).collect()
}
