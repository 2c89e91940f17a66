//! A name for a received PDU.
//!
//! The modem may hand out the same message twice: announced and listed again, on two ports, or sent again by a network
//! that missed the acknowledgement. Two people may also send the same text. The identity is made of everything that a
//! PDU states, so PDUs that differ in anything stay two, and the same PDU keeps its name across restarts and releases.
//!
//! One case is left: two messages that are equal in everything, the second of the service centre's time stamp included,
//! look like one message that was sent again.

use super::address::Address;
use super::pdu::{Deliver, Pdu, StatusReport, Submit, Tpdu};
use super::user_data::{Body, UserData};
use super::validity::ValidityPeriod;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// 128 bits in 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageIdentity(u128);

/// A text that is no [`MessageIdentity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message identity has 32 hexadecimal digits")]
pub struct MessageIdentityError;

impl MessageIdentity {
    /// The identity of a PDU that was read from a SIM. The SIM is named by whatever names it for good, such as its ICCID.
    pub fn new(sim: &str, pdu: &Pdu) -> Self {
        let mut digest = Digest::new(sim);
        match &pdu.service_centre {
            Some(address) => digest.address(address),
            None => digest.octets(&[]),
        }
        match &pdu.tpdu {
            Tpdu::Deliver(deliver) => digest.deliver(deliver),
            Tpdu::Submit(submit) => digest.submit(submit),
            Tpdu::StatusReport(report) => digest.status_report(report),
        }
        digest.finish()
    }

    /// The identity of what cannot be read, from whatever octets or digits the modem gave.
    pub fn of_undecodable(sim: &str, received: &[u8]) -> Self {
        let mut digest = Digest::new(sim);
        digest.octets(received);
        digest.finish()
    }
}

impl fmt::Display for MessageIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for MessageIdentity {
    type Err = MessageIdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_canonical = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let value = u128::from_str_radix(text, 16).ok().filter(|_| is_canonical);
        value.map(Self).ok_or(MessageIdentityError)
    }
}

impl TryFrom<String> for MessageIdentity {
    type Error = MessageIdentityError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MessageIdentity> for String {
    fn from(identity: MessageIdentity) -> Self {
        identity.to_string()
    }
}

/// FNV-1a with 128 bits over fields that carry their lengths, so that no two sequences of fields read the same.
///
/// It is not meant to resist an attacker: who can make two PDUs collide can as well not send the second one.
pub(super) struct Digest(u128);

impl Digest {
    const OFFSET_BASIS: u128 = 0x6C62_272E_07BB_0142_62B8_2175_6295_C58D;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;

    pub(super) fn new(first: &str) -> Self {
        let mut digest = Self(Self::OFFSET_BASIS);
        digest.octets(first.as_bytes());
        digest
    }

    pub(super) const fn finish(self) -> MessageIdentity {
        MessageIdentity(self.0)
    }

    pub(super) fn octets(&mut self, octets: &[u8]) {
        self.absorb(&(octets.len() as u64).to_be_bytes());
        self.absorb(octets);
    }

    pub(super) fn address(&mut self, address: &Address) {
        self.octets(&[address.type_of_address.0]);
        self.octets(address.value.as_bytes());
    }

    pub(super) fn user_data(&mut self, user_data: &UserData) {
        match &user_data.header {
            Some(header) => {
                self.octets(&[1]);
                for (identifier, value) in header.elements.iter().map(|element| element.parts()) {
                    self.octets(&[identifier]);
                    self.octets(&value);
                }
            }
            None => self.octets(&[0]),
        }
        match &user_data.body {
            Body::Septets(septets) => {
                self.octets(&[7]);
                self.octets(septets);
            }
            Body::Octets(octets) => {
                self.octets(&[8]);
                self.octets(octets);
            }
        }
    }

    fn deliver(&mut self, deliver: &Deliver) {
        self.flags([
            false,
            deliver.more_messages_to_send,
            deliver.loop_prevention,
            deliver.reply_path,
            deliver.status_report_indication,
        ]);
        self.address(&deliver.originating_address);
        self.octets(&deliver.service_centre_timestamp.0);
        self.octets(&[deliver.protocol_identifier.0, deliver.data_coding_scheme.0]);
        self.user_data(&deliver.user_data);
    }

    fn submit(&mut self, submit: &Submit) {
        self.flags([
            true,
            submit.reject_duplicates,
            submit.reply_path,
            submit.status_report_request,
        ]);
        self.address(&submit.destination_address);
        self.octets(&[
            submit.message_reference,
            submit.protocol_identifier.0,
            submit.data_coding_scheme.0,
        ]);
        match &submit.validity_period {
            None => self.octets(&[]),
            Some(ValidityPeriod::Relative(period)) => self.octets(&[1, period.0]),
            Some(ValidityPeriod::Absolute(time)) => self.octets(&[&[2][..], &time.0].concat()),
            Some(ValidityPeriod::Enhanced(period)) => self.octets(&[&[3][..], &period.0].concat()),
        }
        self.user_data(&submit.user_data);
    }

    fn status_report(&mut self, report: &StatusReport) {
        self.flags([
            report.more_messages_to_send,
            report.loop_prevention,
            report.answers_command,
        ]);
        self.address(&report.recipient_address);
        self.octets(&report.service_centre_timestamp.0);
        self.octets(&report.discharge_time.0);
        self.octets(&[report.message_reference, report.status.0]);
        self.octets(
            report
                .protocol_identifier
                .as_ref()
                .map_or(&[], |octet| std::slice::from_ref(&octet.0)),
        );
        self.octets(
            report
                .data_coding_scheme
                .as_ref()
                .map_or(&[], |octet| std::slice::from_ref(&octet.0)),
        );
        if let Some(user_data) = &report.user_data {
            self.user_data(user_data);
        }
    }

    /// The number of flags tells the message types apart.
    fn flags<const N: usize>(&mut self, flags: [bool; N]) {
        self.octets(&flags.map(u8::from));
    }

    fn absorb(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u128::from(*octet)).wrapping_mul(Self::PRIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sms::Direction;

    const DELIVER: &str = "07911326040000F0040B911346610089F60000208062917314080CC8F71D14969741F977FD07";

    fn identity(sim: &str, hex: &str) -> MessageIdentity {
        MessageIdentity::new(sim, &Pdu::decode_hex(hex, Direction::FromNetwork).expect("a valid PDU"))
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        let mut digest = Digest(Digest::OFFSET_BASIS);
        digest.absorb(b"a");
        assert_eq!(digest.finish().to_string(), "d228cb696f1a8caf78912b704e4a8964");
    }

    /// A change here gives every stored message a second name, so that old ones arrive again.
    #[test]
    fn the_identity_of_a_known_pdu_never_changes() {
        assert_eq!(
            identity("89490200001234567890", DELIVER).to_string(),
            "935a4809d37b0641fd1c7a199053c6e5"
        );
    }

    #[test]
    fn equal_messages_that_differ_in_anything_stay_two() {
        let original = identity("sim", DELIVER);
        assert_eq!(identity("sim", DELIVER), original);
        assert_ne!(identity("other", DELIVER), original, "SIM");
        for (what, from, to) in [
            ("service centre", "07911326040000F0", "07911326040000F1"),
            ("more messages", "F0040B91", "F0000B91"),
            ("originator", "1346610089F6", "1346610089F7"),
            ("type of address", "040B91", "040B81"),
            ("protocol identifier", "F60000", "F63900"),
            ("second of the time stamp", "73140", "73240"),
            ("zone of the time stamp", "14080C", "14000C"),
            ("text", "F977FD07", "F977FD06"),
        ] {
            let other = DELIVER.replacen(from, to, 1);
            assert_ne!(other, DELIVER, "{what}");
            assert_ne!(identity("sim", &other), original, "{what}");
        }
    }

    #[test]
    fn identities_are_read_back_and_nothing_else_is() {
        let original = identity("sim", DELIVER);
        assert_eq!(original.to_string().parse(), Ok(original));
        for text in [
            "",
            "12",
            "+2345678901234567890123456789012",
            "G2345678901234567890123456789012",
        ] {
            assert_eq!(text.parse::<MessageIdentity>(), Err(MessageIdentityError), "{text}");
        }
    }
}
