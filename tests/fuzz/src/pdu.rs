//! Reads arbitrary octets as PDUs of either direction.
//!
//! Nothing may panic, what can be written again must read as the same value, and a part must find its way through
//! reassembly.

use cellular::sms::identity::MessageIdentity;
use cellular::sms::pdu::DecodeError;
use cellular::sms::reassembly::{Insertion, Part, Reassembly};
use cellular::sms::{Direction, Pdu, Tpdu};

/// Reads one input.
pub fn check(octets: &[u8]) {
    let mut reassembly = Reassembly::new(3600, 4);
    // An octet before each PDU gives its length, so that one input makes several parts.
    let mut rest = octets;
    while let [length, following @ ..] = rest {
        let (pdu, following) = following.split_at(following.len().min(usize::from(*length)));
        for direction in [Direction::FromNetwork, Direction::ToNetwork] {
            read(pdu, direction, &mut reassembly);
        }
        rest = following;
    }
    if let Ok(text) = std::str::from_utf8(octets) {
        let _ = Pdu::decode_hex_with_length(text, text.len() / 2, Direction::FromNetwork);
    }
}

fn read(octets: &[u8], direction: Direction, reassembly: &mut Reassembly) {
    let pdu = match Pdu::decode(octets, direction) {
        Ok(pdu) => pdu,
        Err(DecodeError::UserDataTruncated { partial, .. }) => *partial,
        Err(_) => return,
    };
    let identity = MessageIdentity::new("sim", &pdu);
    let text = pdu.tpdu.text();
    if let Ok(encoded) = pdu.encode() {
        let again = Pdu::decode_hex(&encoded.hex, direction).expect("what was written can be read");
        assert_eq!(again.tpdu.text(), text);
        assert_eq!(again.encode().expect("it was written before"), encoded);
    }
    if let Tpdu::Deliver(deliver) = &pdu.tpdu
        && let Some(part) = Part::new(deliver, identity)
        && let Insertion::Complete(message) = reassembly.insert(part)
    {
        assert!(message.is_complete());
        let _ = message.content();
    }
}

/// Real PDUs, each with the octet before it that `check` wants.
pub fn seeds() -> Vec<Vec<u8>> {
    include_str!("../../../broker/cellular/tests/data/pdus.jsonl")
        .lines()
        .filter_map(|line| line.split_once("\"pdu\": \"")?.1.split_once('"'))
        .filter_map(|(hex, _)| octets(hex))
        .filter_map(|pdu| Some([&[u8::try_from(pdu.len()).ok()?], pdu.as_slice()].concat()))
        .collect()
}

fn octets(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
