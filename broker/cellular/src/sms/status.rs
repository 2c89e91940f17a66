//! TP-ST, what became of a message that was sent (23.040 clause 9.2.3.15).

use serde::{Deserialize, Serialize};

/// The four kinds of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusCategory {
    /// The transaction is complete; see [`Status::is_delivered`] for the case that people care about.
    Completed,
    /// It failed for now and the service centre still tries: another report follows.
    StillTrying,
    /// It failed for good.
    PermanentFailure,
    /// It failed for a reason that may pass, and the service centre tries no more.
    GaveUp,
    /// A value that the standard reserves; receivers are to treat it as a failure whose cause is not known.
    Reserved,
}

/// The octet, with its meaning behind methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Status(pub u8);

impl Status {
    /// Which kind of answer it is.
    pub const fn category(self) -> StatusCategory {
        match self.0 {
            0x00..=0x1F => StatusCategory::Completed,
            0x20..=0x3F => StatusCategory::StillTrying,
            0x40..=0x5F => StatusCategory::PermanentFailure,
            0x60..=0x7F => StatusCategory::GaveUp,
            0x80..=0xFF => StatusCategory::Reserved,
        }
    }

    /// Whether the message is known to have reached the recipient.
    pub const fn is_delivered(self) -> bool {
        self.0 == 0x00
    }

    /// Whether no further report is to be expected.
    pub const fn is_final(self) -> bool {
        !matches!(self.category(), StatusCategory::StillTrying)
    }

    /// What the standard says about the value, for people.
    pub const fn meaning(self) -> &'static str {
        match self.0 {
            0x00 => "received by the recipient",
            0x01 => "forwarded to the recipient, delivery not confirmed",
            0x02 => "replaced by the service centre",
            0x20 | 0x60 => "congestion",
            0x21 | 0x61 => "recipient busy",
            0x22 | 0x62 => "no response from the recipient",
            0x23 | 0x63 => "service rejected",
            0x24 | 0x44 | 0x64 => "quality of service not available",
            0x25 | 0x65 => "error in the recipient's device",
            0x40 => "remote procedure error",
            0x41 => "incompatible destination",
            0x42 => "connection rejected by the recipient",
            0x43 => "not obtainable",
            0x45 => "no interworking available",
            0x46 => "validity period expired",
            0x47 => "deleted by the sender",
            0x48 => "deleted by the service centre",
            0x49 => "message does not exist",
            0x10..=0x1F | 0x30..=0x3F | 0x50..=0x5F | 0x70..=0x7F => "specific to the service centre",
            _ => "reserved",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_those_of_clause_9_2_3_15() {
        for (octet, category, is_final) in [
            (0x00, StatusCategory::Completed, true),
            (0x1F, StatusCategory::Completed, true),
            (0x20, StatusCategory::StillTrying, false),
            (0x40, StatusCategory::PermanentFailure, true),
            (0x60, StatusCategory::GaveUp, true),
            (0x80, StatusCategory::Reserved, true),
        ] {
            assert_eq!(Status(octet).category(), category, "{octet:#04x}");
            assert_eq!(Status(octet).is_final(), is_final, "{octet:#04x}");
        }
    }

    #[test]
    fn only_zero_is_a_delivery() {
        assert!(Status(0).is_delivered());
        assert!((1..=u8::MAX).all(|octet| !Status(octet).is_delivered()));
    }
}
