//! What a module hands out of its storage, before it is believed.
//!
//! A stored message is deleted from the module once it is kept elsewhere, so what was damaged on its way must not pass for it.

use super::pdu::{Direction, Pdu};

/// The PDU with a service centre address in front, as all others have it. Some modules leave the address out, mostly for
/// status reports, and some count it: in both cases `<length>` (27.005 3.1) is that of the whole.
#[must_use]
pub fn with_service_centre(hex: &str, tpdu_length: Option<u16>) -> String {
    let whole_is_counted = tpdu_length.is_some_and(|length| hex.len() == 2 * usize::from(length));
    let without_address = format!("00{hex}");
    if whole_is_counted && (is_readable(&without_address) || !is_readable(hex)) {
        without_address
    } else {
        hex.to_owned()
    }
}

/// Whether every field of a PDU can be read and nothing of it is missing.
#[must_use]
pub fn is_readable(hex: &str) -> bool {
    [Direction::FromNetwork, Direction::ToNetwork]
        .into_iter()
        .any(|direction| Pdu::decode_hex(hex, direction).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made for these tests: "he" from +447700900123, with and without a service centre.
    const TPDU: &str = "040C91447700091032000062112140820500026834";
    const CENTRE: &str = "0791447758100650";

    #[test]
    fn the_length_says_whether_the_service_centre_is_there_and_the_octets_say_whether_it_is_counted() {
        let with = format!("{CENTRE}{TPDU}");
        let length = |hex: &str| u16::try_from(hex.len() / 2).ok();
        for (hex, tpdu_length, expected) in [
            (with.clone(), length(TPDU), with.clone()),
            (with.clone(), length(&with), with.clone()),
            (with.clone(), None, with.clone()),
            (TPDU.to_owned(), length(TPDU), format!("00{TPDU}")),
        ] {
            assert_eq!(
                with_service_centre(&hex, tpdu_length),
                expected,
                "{hex} {tpdu_length:?}"
            );
        }
    }

    #[test]
    fn a_pdu_that_was_cut_is_not_readable_wherever_it_was_cut() {
        let whole = format!("{CENTRE}{TPDU}");
        assert!(is_readable(&whole));
        for end in 0..whole.len() {
            assert!(!is_readable(&whole[..end]), "{end}");
        }
    }
}
