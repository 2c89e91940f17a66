//! TP-DCS, the data coding scheme (23.038 clause 4).

use serde::{Deserialize, Serialize};

/// How the body of the user data is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alphabet {
    /// The GSM 7-bit default alphabet, or the national tables that the user data header announces.
    Gsm7,
    /// Octets without a meaning that the standard defines.
    Data8,
    /// UCS2.
    Ucs2,
}

/// What the receiver is to do with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageClass {
    /// Shown at once and not stored: a flash message.
    Class0,
    /// For the mobile equipment.
    Class1,
    /// For the SIM.
    Class2,
    /// For the terminal equipment.
    Class3,
}

impl MessageClass {
    const fn bits(self) -> u8 {
        match self {
            Self::Class0 => 0,
            Self::Class1 => 1,
            Self::Class2 => 2,
            Self::Class3 => 3,
        }
    }

    const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::Class0,
            1 => Self::Class1,
            2 => Self::Class2,
            _ => Self::Class3,
        }
    }
}

/// What is waiting, in a message waiting indication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingKind {
    /// Voicemail.
    Voicemail,
    /// Fax.
    Fax,
    /// Electronic mail.
    Email,
    /// Something else.
    Other,
}

impl WaitingKind {
    pub(super) const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::Voicemail,
            1 => Self::Fax,
            2 => Self::Email,
            _ => Self::Other,
        }
    }
}

/// The message waiting indication groups of the data coding scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MessageWaiting {
    /// Whether the text is to be stored; otherwise only the indication counts.
    pub store: bool,
    /// Whether the indication is to be switched on; otherwise off.
    pub active: bool,
    /// What is waiting.
    pub kind: WaitingKind,
}

/// The octet, with its meaning behind methods, so that reserved codings survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct DataCodingScheme(pub u8);

impl DataCodingScheme {
    /// The general data coding group, uncompressed.
    pub const fn general(alphabet: Alphabet, class: Option<MessageClass>) -> Self {
        let alphabet = match alphabet {
            Alphabet::Gsm7 => 0x00,
            Alphabet::Data8 => 0x04,
            Alphabet::Ucs2 => 0x08,
        };
        match class {
            Some(class) => Self(alphabet | 0x10 | class.bits()),
            None => Self(alphabet),
        }
    }

    /// The alphabet. Reserved codings mean GSM 7-bit, as the standard demands of receivers.
    pub const fn alphabet(self) -> Alphabet {
        match self.0 >> 4 {
            0x0..=0x7 => match self.0 >> 2 & 0b11 {
                1 => Alphabet::Data8,
                2 => Alphabet::Ucs2,
                _ => Alphabet::Gsm7,
            },
            0xE => Alphabet::Ucs2,
            0xF if self.0 & 0x04 != 0 => Alphabet::Data8,
            _ => Alphabet::Gsm7,
        }
    }

    /// Whether the body is compressed (23.042). Compressed bodies are kept as octets and have no text here.
    pub const fn is_compressed(self) -> bool {
        self.is_general() && self.0 & 0x20 != 0
    }

    /// The message class, where the coding has one.
    pub const fn class(self) -> Option<MessageClass> {
        let has_class = self.is_general() && self.0 & 0x10 != 0 || self.0 >> 4 == 0xF;
        if has_class {
            Some(MessageClass::from_bits(self.0))
        } else {
            None
        }
    }

    /// Whether the sender asks that the message be deleted once read.
    pub const fn is_automatically_deleted(self) -> bool {
        self.0 >> 6 == 0b01
    }

    /// The message waiting indication, for the three groups that carry one.
    pub const fn message_waiting(self) -> Option<MessageWaiting> {
        let store = match self.0 >> 4 {
            0xC => false,
            0xD | 0xE => true,
            _ => return None,
        };
        Some(MessageWaiting {
            store,
            active: self.0 & 0x08 != 0,
            kind: WaitingKind::from_bits(self.0),
        })
    }

    /// Whether TP-UDL counts septets; otherwise it counts octets (23.040 clause 9.2.3.16).
    pub const fn counts_septets(self) -> bool {
        matches!(self.alphabet(), Alphabet::Gsm7) && !self.is_compressed()
    }

    const fn is_general(self) -> bool {
        self.0 >> 7 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_clause_4() {
        use Alphabet::{Data8, Gsm7, Ucs2};
        use MessageClass::{Class0, Class1, Class2, Class3};
        for (octet, alphabet, class, compressed, deleted) in [
            (0x00, Gsm7, None, false, false),
            (0x04, Data8, None, false, false),
            (0x08, Ucs2, None, false, false),
            (0x0C, Gsm7, None, false, false),
            (0x10, Gsm7, Some(Class0), false, false),
            (0x15, Data8, Some(Class1), false, false),
            (0x1A, Ucs2, Some(Class2), false, false),
            (0x03, Gsm7, None, false, false),
            (0x20, Gsm7, None, true, false),
            (0x4B, Ucs2, None, false, true),
            (0x53, Gsm7, Some(Class3), false, true),
            (0x80, Gsm7, None, false, false),
            (0xB8, Gsm7, None, false, false),
            (0xC8, Gsm7, None, false, false),
            (0xD0, Gsm7, None, false, false),
            (0xE8, Ucs2, None, false, false),
            (0xF1, Gsm7, Some(Class1), false, false),
            (0xF4, Data8, Some(Class0), false, false),
        ] {
            let scheme = DataCodingScheme(octet);
            assert_eq!(scheme.alphabet(), alphabet, "{octet:#04x}");
            assert_eq!(scheme.class(), class, "{octet:#04x}");
            assert_eq!(scheme.is_compressed(), compressed, "{octet:#04x}");
            assert_eq!(scheme.is_automatically_deleted(), deleted, "{octet:#04x}");
        }
    }

    #[test]
    fn message_waiting_groups() {
        let waiting = |octet| DataCodingScheme(octet).message_waiting();
        let voicemail = WaitingKind::Voicemail;
        assert_eq!(
            waiting(0xC8),
            Some(MessageWaiting {
                store: false,
                active: true,
                kind: voicemail
            })
        );
        assert_eq!(
            waiting(0xD1),
            Some(MessageWaiting {
                store: true,
                active: false,
                kind: WaitingKind::Fax
            })
        );
        assert_eq!(
            waiting(0xEB),
            Some(MessageWaiting {
                store: true,
                active: true,
                kind: WaitingKind::Other
            })
        );
        assert_eq!(waiting(0xF0), None);
    }

    #[test]
    fn the_general_group_reads_as_it_was_made() {
        for alphabet in [Alphabet::Gsm7, Alphabet::Data8, Alphabet::Ucs2] {
            for class in [None, Some(MessageClass::Class0), Some(MessageClass::Class3)] {
                let scheme = DataCodingScheme::general(alphabet, class);
                assert_eq!((scheme.alphabet(), scheme.class()), (alphabet, class));
            }
        }
    }
}
