//! TP-UD: the user data header and the body behind it (23.040 clause 9.2.3.24).

use super::alphabet::{NationalLanguage, ShiftTables, septets, ucs2};
use super::data_coding::{Alphabet, DataCodingScheme, WaitingKind};
use serde::{Deserialize, Serialize};

/// User data holds 140 octets, the header included.
pub const MAX_OCTETS: usize = 140;

/// The reference that the parts of a concatenated short message share.
///
/// The two widths are different references even when the numbers are equal (clause 9.2.3.24.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConcatenationReference {
    /// Information element 00.
    Bits8(u8),
    /// Information element 08.
    Bits16(u16),
}

/// Which part of which message this is (clauses 9.2.3.24.1 and 9.2.3.24.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Concatenation {
    /// Shared by all parts.
    pub reference: ConcatenationReference,
    /// How many parts there are, 1 to 255.
    pub part_count: u8,
    /// Which one this is, 1 to `part_count`.
    pub part: u8,
}

impl Concatenation {
    /// Whether the numbers make sense. The standard has the element ignored when they do not.
    pub const fn is_valid(&self) -> bool {
        self.part >= 1 && self.part <= self.part_count
    }
}

/// One information element of the user data header.
///
/// An element that is not known, or whose length or numbers do not fit its identifier, is kept verbatim as
/// [`InformationElement::Other`]: the standard has it ignored, and the octets are still those that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InformationElement {
    /// 00 and 08.
    Concatenation(Concatenation),
    /// 01, special SMS message indication.
    MessageWaiting(SpecialMessageIndication),
    /// 04, application port addressing with eight bits.
    Ports8 {
        /// The port at the receiver.
        destination: u8,
        /// The port at the sender.
        originator: u8,
    },
    /// 05, application port addressing with sixteen bits.
    Ports16 {
        /// The port at the receiver.
        destination: u16,
        /// The port at the sender.
        originator: u16,
    },
    /// 24, the language of the single shift table, as its identifier.
    SingleShift(u8),
    /// 25, the language of the locking shift table, as its identifier.
    LockingShift(u8),
    /// Anything else.
    Other {
        /// The identifier.
        identifier: u8,
        /// The octets.
        value: Vec<u8>,
    },
}

/// A message waiting indication with a count (clause 9.2.3.24.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpecialMessageIndication {
    /// Bit 7: store the message; bits 6 to 0: the profile and what is waiting.
    pub indication: u8,
    /// How many are waiting; 255 means 255 or more.
    pub count: u8,
}

impl SpecialMessageIndication {
    /// Whether the text is to be stored.
    pub const fn store(self) -> bool {
        self.indication & 0x80 != 0
    }

    /// What is waiting, by the basic indication type.
    pub const fn kind(self) -> WaitingKind {
        WaitingKind::from_bits(self.indication)
    }
}

const CONCATENATION_8: u8 = 0x00;
const SPECIAL_MESSAGE_INDICATION: u8 = 0x01;
const PORTS_8: u8 = 0x04;
const PORTS_16: u8 = 0x05;
const CONCATENATION_16: u8 = 0x08;
const SINGLE_SHIFT: u8 = 0x24;
const LOCKING_SHIFT: u8 = 0x25;

impl InformationElement {
    fn decode(identifier: u8, value: &[u8]) -> Self {
        let concatenation = |reference, part_count, part| {
            let concatenation = Concatenation {
                reference,
                part_count,
                part,
            };
            concatenation.is_valid().then_some(Self::Concatenation(concatenation))
        };
        let known = match (identifier, value) {
            (CONCATENATION_8, &[reference, part_count, part]) => {
                concatenation(ConcatenationReference::Bits8(reference), part_count, part)
            }
            (CONCATENATION_16, &[high, low, part_count, part]) => {
                let reference = u16::from_be_bytes([high, low]);
                concatenation(ConcatenationReference::Bits16(reference), part_count, part)
            }
            (SPECIAL_MESSAGE_INDICATION, &[indication, count]) => {
                Some(Self::MessageWaiting(SpecialMessageIndication { indication, count }))
            }
            (PORTS_8, &[destination, originator]) => Some(Self::Ports8 {
                destination,
                originator,
            }),
            (PORTS_16, &[a, b, c, d]) => Some(Self::Ports16 {
                destination: u16::from_be_bytes([a, b]),
                originator: u16::from_be_bytes([c, d]),
            }),
            (SINGLE_SHIFT, &[language]) => Some(Self::SingleShift(language)),
            (LOCKING_SHIFT, &[language]) => Some(Self::LockingShift(language)),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other {
            identifier,
            value: value.to_vec(),
        })
    }

    /// The identifier and the octets.
    pub fn parts(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Concatenation(Concatenation {
                reference,
                part_count,
                part,
            }) => match reference {
                ConcatenationReference::Bits8(reference) => (CONCATENATION_8, vec![*reference, *part_count, *part]),
                ConcatenationReference::Bits16(reference) => {
                    let [high, low] = reference.to_be_bytes();
                    (CONCATENATION_16, vec![high, low, *part_count, *part])
                }
            },
            Self::MessageWaiting(waiting) => (SPECIAL_MESSAGE_INDICATION, vec![waiting.indication, waiting.count]),
            Self::Ports8 {
                destination,
                originator,
            } => (PORTS_8, vec![*destination, *originator]),
            Self::Ports16 {
                destination,
                originator,
            } => (PORTS_16, [destination.to_be_bytes(), originator.to_be_bytes()].concat()),
            Self::SingleShift(language) => (SINGLE_SHIFT, vec![*language]),
            Self::LockingShift(language) => (LOCKING_SHIFT, vec![*language]),
            Self::Other { identifier, value } => (*identifier, value.clone()),
        }
    }
}

/// The user data header.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct UserDataHeader {
    /// The elements in the order of the PDU.
    pub elements: Vec<InformationElement>,
}

impl UserDataHeader {
    /// Reads the elements, without the length octet before them. None when one runs past the end.
    fn decode(mut octets: &[u8]) -> Option<Self> {
        let mut elements = Vec::new();
        while let [identifier, length, rest @ ..] = octets {
            let (value, rest) = rest.split_at_checked(usize::from(*length))?;
            elements.push(InformationElement::decode(*identifier, value));
            octets = rest;
        }
        octets.is_empty().then_some(Self { elements })
    }

    /// The header with its length octet; none when it is longer than the user data.
    fn encode(&self) -> Option<Vec<u8>> {
        let mut octets = vec![0];
        for element in &self.elements {
            let (identifier, value) = element.parts();
            octets.push(identifier);
            octets.push(u8::try_from(value.len()).ok()?);
            octets.extend(value);
        }
        octets[0] = u8::try_from(octets.len() - 1).ok()?;
        (octets.len() <= MAX_OCTETS).then_some(octets)
    }

    /// The concatenation, if there is one. Of several, the last counts (clause 9.2.3.24).
    pub fn concatenation(&self) -> Option<Concatenation> {
        let concatenations = self.elements.iter().rev().filter_map(|element| match element {
            InformationElement::Concatenation(concatenation) => Some(*concatenation),
            _ => None,
        });
        concatenations.into_iter().next()
    }

    /// The destination and originator ports, of either width.
    pub fn ports(&self) -> Option<(u16, u16)> {
        self.elements.iter().rev().find_map(|element| match element {
            InformationElement::Ports8 {
                destination,
                originator,
            } => Some(((*destination).into(), (*originator).into())),
            InformationElement::Ports16 {
                destination,
                originator,
            } => Some((*destination, *originator)),
            _ => None,
        })
    }

    /// The tables that a 7-bit body is written in. Reserved languages mean the default (clause 9.2.3.24.15).
    pub fn shift_tables(&self) -> ShiftTables {
        let mut tables = ShiftTables::default();
        for element in &self.elements {
            match element {
                InformationElement::SingleShift(language) => {
                    tables.single = NationalLanguage::from_identifier(*language)
                }
                InformationElement::LockingShift(language) => {
                    tables.locking = NationalLanguage::from_identifier(*language);
                }
                _ => {}
            }
        }
        tables
    }
}

/// What stands behind the header.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Unpacked septets of an uncompressed 7-bit text.
    Septets(Vec<u8>),
    /// The octets of everything else.
    Octets(Vec<u8>),
}

/// The user data of a TPDU. What it means depends on the data coding scheme beside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserData {
    /// Present exactly when TP-UDHI is set.
    pub header: Option<UserDataHeader>,
    /// The rest.
    pub body: Body,
}

/// Why user data cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserDataError {
    /// The header is longer than the user data, or an element longer than the header.
    #[error("the user data header is longer than what it is part of")]
    Header,
}

/// Why user data cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserDataEncodeError {
    /// More than 140 octets.
    #[error("{octets} octets of user data are more than the {MAX_OCTETS} of a message; send fewer")]
    TooLong {
        /// How many there are.
        octets: usize,
    },
    /// The header alone is more than 140 octets, or an element more than 255.
    #[error("the user data header does not fit into {MAX_OCTETS} octets")]
    HeaderTooLong,
    /// Septets with a coding that counts octets, or the other way round.
    #[error("the user data does not match its data coding scheme")]
    WrongBody,
}

/// The outcome of reading: what is there, and how many octets it says it has.
pub(super) struct DecodedUserData {
    pub(super) user_data: UserData,
    /// The octets that TP-UDL announces.
    pub(super) declared_octets: usize,
}

impl UserData {
    /// A body without a header.
    pub const fn new(body: Body) -> Self {
        Self { header: None, body }
    }

    /// Reads user data from what follows TP-UDL. Octets beyond the announced length are ignored; fewer are read as far
    /// as they go, and the caller compares with `declared_octets`.
    pub(super) fn decode(
        scheme: DataCodingScheme,
        has_header: bool,
        length: u8,
        octets: &[u8],
    ) -> Result<DecodedUserData, UserDataError> {
        let length = usize::from(length);
        let counts_septets = scheme.counts_septets();
        let declared_octets = if counts_septets {
            septets::packed_length(length, 0)
        } else {
            length
        };
        let octets = &octets[..octets.len().min(declared_octets)];
        let (header, header_octets) = if has_header {
            let header_length = usize::from(*octets.first().ok_or(UserDataError::Header)?);
            let elements = octets.get(1..=header_length).ok_or(UserDataError::Header)?;
            (
                Some(UserDataHeader::decode(elements).ok_or(UserDataError::Header)?),
                header_length + 1,
            )
        } else {
            (None, 0)
        };
        let rest = &octets[header_octets..];
        let body = if counts_septets {
            let (header_septets, fill_bits) = header_septets(header_octets);
            Body::Septets(septets::unpack(rest, fill_bits, length.saturating_sub(header_septets)))
        } else {
            Body::Octets(rest.to_vec())
        };
        Ok(DecodedUserData {
            user_data: Self { header, body },
            declared_octets,
        })
    }

    /// TP-UDL and the octets behind it.
    pub(super) fn encode(&self, scheme: DataCodingScheme) -> Result<(u8, Vec<u8>), UserDataEncodeError> {
        let header = self
            .header
            .as_ref()
            .map(|header| header.encode().ok_or(UserDataEncodeError::HeaderTooLong));
        let mut octets = header.transpose()?.unwrap_or_default();
        let length = match &self.body {
            Body::Septets(body) if scheme.counts_septets() => {
                let (header_septets, fill_bits) = header_septets(octets.len());
                octets.extend(septets::pack(body, fill_bits));
                header_septets + body.len()
            }
            Body::Octets(body) if !scheme.counts_septets() => {
                octets.extend(body);
                octets.len()
            }
            Body::Septets(_) | Body::Octets(_) => return Err(UserDataEncodeError::WrongBody),
        };
        match u8::try_from(length) {
            Ok(length) if octets.len() <= MAX_OCTETS => Ok((length, octets)),
            _ => Err(UserDataEncodeError::TooLong { octets: octets.len() }),
        }
    }

    /// The text; none for 8-bit and compressed bodies. A text that was cut into parts may lose the character at the cut:
    /// [`super::reassembly`] decodes across it.
    pub fn text(&self, scheme: DataCodingScheme) -> Option<String> {
        match (&self.body, scheme.alphabet()) {
            (Body::Septets(septets), _) => Some(self.shift_tables().decode(septets)),
            (Body::Octets(octets), Alphabet::Ucs2) if !scheme.is_compressed() => Some(ucs2::decode(octets)),
            (Body::Octets(_), _) => None,
        }
    }

    /// The concatenation of the header.
    pub fn concatenation(&self) -> Option<Concatenation> {
        self.header.as_ref().and_then(UserDataHeader::concatenation)
    }

    /// The tables that the header announces.
    pub fn shift_tables(&self) -> ShiftTables {
        self.header
            .as_ref()
            .map(UserDataHeader::shift_tables)
            .unwrap_or_default()
    }
}

/// How many septets a header takes, and the fill bits behind it that let the text start on a septet boundary.
pub(super) const fn header_septets(header_octets: usize) -> (usize, usize) {
    let septets = (header_octets * 8).div_ceil(7);
    (septets, septets * 7 - header_octets * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(identifier: u8, value: &[u8]) -> InformationElement {
        InformationElement::decode(identifier, value)
    }

    #[test]
    fn elements_with_a_wrong_length_or_impossible_numbers_are_kept_verbatim() {
        for (identifier, value) in [
            (0x00, &[1, 2][..]),
            (0x00, &[1, 0, 0]),
            (0x00, &[1, 2, 3]),
            (0x00, &[1, 2, 0]),
            (0x08, &[1, 2, 1]),
            (0x05, &[1]),
            (0x24, &[]),
            (0x0A, &[3, 25, 6]),
        ] {
            let expected = InformationElement::Other {
                identifier,
                value: value.to_vec(),
            };
            assert_eq!(element(identifier, value), expected);
            assert_eq!(expected.parts(), (identifier, value.to_vec()));
        }
    }

    #[test]
    fn of_two_concatenations_the_last_counts() {
        let header = UserDataHeader {
            elements: vec![element(0, &[1, 2, 1]), element(8, &[0, 7, 3, 2])],
        };
        let expected = Concatenation {
            reference: ConcatenationReference::Bits16(7),
            part_count: 3,
            part: 2,
        };
        assert_eq!(header.concatenation(), Some(expected));
    }

    #[test]
    fn headers_that_do_not_add_up_are_refused() {
        let scheme = DataCodingScheme(0x04);
        for octets in [&[][..], &[1], &[3, 0, 3, 1], &[5, 0, 3, 1, 2], &[200, 0, 0]] {
            let length = u8::try_from(octets.len()).expect("short");
            assert!(UserData::decode(scheme, true, length, octets).is_err(), "{octets:?}");
        }
    }

    #[test]
    fn fill_bits_bring_the_text_to_a_septet_boundary() {
        for (header_octets, expected) in [(0, (0, 0)), (4, (5, 3)), (6, (7, 1)), (7, (8, 0)), (12, (14, 2))] {
            assert_eq!(header_septets(header_octets), expected);
        }
    }

    #[test]
    fn a_message_waiting_element_tells_kind_count_and_storage() {
        let InformationElement::MessageWaiting(waiting) = element(0x01, &[0x82, 4]) else {
            panic!("the element is known");
        };
        assert!(waiting.store());
        assert_eq!((waiting.kind(), waiting.count), (WaitingKind::Email, 4));
    }
}
