//! From a text, or octets, to as few SMS-SUBMITs as possible.
//!
//! Composition has two steps, so that a caller learns the price before anything is sent: [`compose_text`] chooses the
//! alphabet and cuts the text, and [`Composition::submits`] addresses the parts.

use super::address::{Address, PhoneNumber};
use super::alphabet::{NationalLanguage, ShiftTables, UnencodableCharacter, ucs2};
use super::data_coding::{Alphabet, DataCodingScheme, MessageClass};
use super::pdu::{ProtocolIdentifier, Submit};
use super::transliteration;
use super::user_data::{
    Body, Concatenation, ConcatenationReference, InformationElement, MAX_OCTETS, UserData, UserDataHeader,
};
use super::validity::ValidityPeriod;
use serde::{Deserialize, Serialize};

/// The part number of a concatenation is one octet.
pub const MAX_SEGMENTS: usize = 255;

/// Why nothing can be composed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// The caller insists on the 7-bit alphabet and it lacks a character.
    #[error(transparent)]
    Unencodable(#[from] UnencodableCharacter),
    /// More parts than a concatenation counts.
    #[error("the message needs {segment_count} parts, at most {MAX_SEGMENTS} can be sent; shorten it")]
    TooLong {
        /// How many parts there would be.
        segment_count: usize,
    },
}

/// Which alphabet a text may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextCoding {
    /// The one that takes the fewest parts: the default alphabet wherever it has every character, otherwise UCS2 or, if
    /// they are allowed and take fewer parts, national tables.
    #[default]
    Cheapest,
    /// The default alphabet, or national tables if they are allowed; a character that they lack is an error.
    Gsm7,
    /// UCS2.
    Ucs2,
}

/// The destination and originator port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ports {
    /// The port at the receiver.
    pub destination: u16,
    /// The port at the sender.
    pub originator: u16,
}

/// What every part has in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Layout {
    /// Whether the parts of a long message share a reference of 16 bits in the place of 8. It costs an octet in each part
    /// and makes it rarer that two messages are mixed up.
    pub wide_reference: bool,
    /// Application ports.
    pub ports: Option<Ports>,
}

/// How to code and cut a text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TextOptions {
    /// The alphabet.
    pub coding: TextCoding,
    /// The languages whose tables may be used. Many handsets know none of them, so there are none by default.
    pub national_languages: Vec<NationalLanguage>,
    /// Whether characters that the default alphabet lacks may be replaced by similar ones, where this saves parts or
    /// where only the 7-bit alphabet is allowed.
    pub transliterate: bool,
    /// The header.
    pub layout: Layout,
}

/// What the SMS-SUBMITs of one message have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubmitOptions {
    /// The class; class 0 is a flash message.
    pub class: Option<MessageClass>,
    /// How long the service centre is to try.
    pub validity_period: Option<ValidityPeriod>,
    /// Whether reports are wanted, one for each part.
    pub status_report_request: bool,
    /// The protocol identifier, for replaceable and silent messages.
    pub protocol_identifier: ProtocolIdentifier,
    /// Whether the service centre is to refuse a repetition of the same message reference.
    pub reject_duplicates: bool,
    /// Whether a reply is to travel over the same service centre.
    pub reply_path: bool,
}

/// How full a part is, in the units of its alphabet: septets, octets, or 16-bit units of UCS2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSize {
    /// Units in it.
    pub units: usize,
    /// Units that fit.
    pub capacity: usize,
}

/// A message, coded and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composition {
    alphabet: Alphabet,
    tables: ShiftTables,
    layout: Layout,
    bodies: Vec<Body>,
}

impl Composition {
    /// How many parts there are, which is what the message costs.
    pub const fn segment_count(&self) -> usize {
        self.bodies.len()
    }

    /// The alphabet that was chosen.
    pub const fn alphabet(&self) -> Alphabet {
        self.alphabet
    }

    /// The national tables that were chosen; the default for other alphabets.
    pub const fn shift_tables(&self) -> ShiftTables {
        self.tables
    }

    /// How full each part is, in order.
    pub fn part_sizes(&self) -> impl Iterator<Item = PartSize> {
        let octets = MAX_OCTETS - header_octets(self.tables, self.layout, self.bodies.len() > 1);
        self.bodies.iter().map(move |body| match (body, self.alphabet) {
            (Body::Septets(septets), _) => PartSize {
                units: septets.len(),
                capacity: octets * 8 / 7,
            },
            (Body::Octets(units), Alphabet::Ucs2) => PartSize {
                units: units.len() / 2,
                capacity: octets / 2,
            },
            (Body::Octets(units), _) => PartSize {
                units: units.len(),
                capacity: octets,
            },
        })
    }

    /// The text as the receiver will read it; none for data. Transliteration makes it differ from what was given.
    pub fn text(&self) -> Option<String> {
        if self.alphabet == Alphabet::Data8 {
            return None;
        }
        let decode = |body: &Body| match body {
            Body::Septets(septets) => self.tables.decode(septets),
            Body::Octets(octets) => ucs2::decode(octets),
        };
        Some(self.bodies.iter().map(decode).collect())
    }

    /// The parts in order. The reference tells this message from others to the same destination, so it should differ from
    /// the last one; with a narrow reference only its low octet counts.
    pub fn submits(&self, destination: &PhoneNumber, reference: u16, options: &SubmitOptions) -> Vec<Submit> {
        let part_count = self.bodies.len().to_le_bytes()[0];
        let parts = (1..=part_count).zip(&self.bodies);
        parts
            .map(|(part, body)| Submit {
                reject_duplicates: options.reject_duplicates,
                reply_path: options.reply_path,
                status_report_request: options.status_report_request,
                message_reference: 0,
                destination_address: Address::from(destination),
                protocol_identifier: options.protocol_identifier,
                data_coding_scheme: DataCodingScheme::general(self.alphabet, options.class),
                validity_period: options.validity_period,
                user_data: UserData {
                    header: self.header(reference, part_count, part),
                    body: body.clone(),
                },
            })
            .collect()
    }

    fn header(&self, reference: u16, part_count: u8, part: u8) -> Option<UserDataHeader> {
        let reference = if self.layout.wide_reference {
            ConcatenationReference::Bits16(reference)
        } else {
            ConcatenationReference::Bits8(reference.to_le_bytes()[0])
        };
        let concatenation = Concatenation {
            reference,
            part_count,
            part,
        };
        let elements: Vec<_> = [
            (part_count > 1).then_some(InformationElement::Concatenation(concatenation)),
            self.layout.ports.map(
                |Ports {
                     destination,
                     originator,
                 }| InformationElement::Ports16 {
                    destination,
                    originator,
                },
            ),
            self.tables
                .single
                .map(|language| InformationElement::SingleShift(language.identifier())),
            self.tables
                .locking
                .map(|language| InformationElement::LockingShift(language.identifier())),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!elements.is_empty()).then_some(UserDataHeader { elements })
    }

    fn checked(self) -> Result<Self, ComposeError> {
        let segment_count = self.bodies.len();
        if segment_count > MAX_SEGMENTS {
            Err(ComposeError::TooLong { segment_count })
        } else {
            Ok(self)
        }
    }
}

/// Chooses the alphabet for a text and cuts it.
///
/// A cut never falls between an escape and its character or inside a surrogate pair. An empty text is one empty part.
pub fn compose_text(text: &str, options: &TextOptions) -> Result<Composition, ComposeError> {
    let layout = options.layout;
    if options.coding == TextCoding::Ucs2 {
        return compose_ucs2(text, layout).checked();
    }
    let unencodable = match compose_septets(text, ShiftTables::default(), layout) {
        Ok(composition) => return composition.checked(),
        Err(unencodable) => unencodable,
    };
    let national = cheapest_national(text, options);
    let exact = if options.coding == TextCoding::Cheapest {
        // At the same price UCS2 is the safer choice: every handset knows it.
        let ucs2 = compose_ucs2(text, layout);
        Some(
            national
                .filter(|national| national.segment_count() < ucs2.segment_count())
                .unwrap_or(ucs2),
        )
    } else {
        national
    };
    let similar = options.transliterate.then(|| compose_similar(text, layout)).transpose();
    match (exact, similar) {
        (Some(exact), Ok(Some(similar))) if similar.segment_count() < exact.segment_count() => similar.checked(),
        (Some(exact), _) => exact.checked(),
        (None, Ok(Some(similar))) => similar.checked(),
        (None, Ok(None)) => Err(unencodable.into()),
        (None, Err(unencodable)) => Err(unencodable.into()),
    }
}

/// Cuts octets for an 8-bit message.
pub fn compose_data(data: &[u8], layout: Layout) -> Result<Composition, ComposeError> {
    let capacity = |is_long| MAX_OCTETS - header_octets(ShiftTables::default(), layout, is_long);
    let capacity = if data.len() <= capacity(false) {
        capacity(false)
    } else {
        capacity(true)
    };
    let mut bodies: Vec<_> = data
        .chunks(capacity)
        .map(|chunk| Body::Octets(chunk.to_vec()))
        .collect();
    if bodies.is_empty() {
        bodies.push(Body::Octets(Vec::new()));
    }
    Composition {
        alphabet: Alphabet::Data8,
        tables: ShiftTables::default(),
        layout,
        bodies,
    }
    .checked()
}

fn cheapest_national(text: &str, options: &TextOptions) -> Option<Composition> {
    let languages = || options.national_languages.iter().copied().map(Some);
    let locking = || languages().filter(|language| language.is_some_and(NationalLanguage::has_locking_table));
    // The default comes first, so that of equally cheap pairs the one with fewer tables wins.
    let pairs = [None].into_iter().chain(locking()).flat_map(|locking| {
        [None]
            .into_iter()
            .chain(languages())
            .map(move |single| ShiftTables { locking, single })
    });
    pairs
        .filter(|tables| *tables != ShiftTables::default())
        .filter_map(|tables| compose_septets(text, tables, options.layout).ok())
        .min_by_key(Composition::segment_count)
}

fn compose_similar(text: &str, layout: Layout) -> Result<Composition, UnencodableCharacter> {
    compose_septets(
        &transliteration::to_default_alphabet(text),
        ShiftTables::default(),
        layout,
    )
}

fn compose_septets(text: &str, tables: ShiftTables, layout: Layout) -> Result<Composition, UnencodableCharacter> {
    let septets = text.chars().map(|character| {
        let mut septets = Vec::with_capacity(2);
        tables
            .encode_character(character)
            .ok_or(UnencodableCharacter { character })?
            .append_to(&mut septets);
        Ok(septets)
    });
    let septets: Vec<Vec<u8>> = septets.collect::<Result<_, _>>()?;
    let capacity = |is_long| (MAX_OCTETS - header_octets(tables, layout, is_long)) * 8 / 7;
    let bodies = cut(&septets, capacity(false), capacity(true))
        .into_iter()
        .map(Body::Septets)
        .collect();
    Ok(Composition {
        alphabet: Alphabet::Gsm7,
        tables,
        layout,
        bodies,
    })
}

fn compose_ucs2(text: &str, layout: Layout) -> Composition {
    let mut buffer = [0; 4];
    let octets: Vec<Vec<u8>> = text
        .chars()
        .map(|character| ucs2::encode(character.encode_utf8(&mut buffer)))
        .collect();
    // The capacity is even, so that a part ends with a whole code unit.
    let capacity = |is_long| (MAX_OCTETS - header_octets(ShiftTables::default(), layout, is_long)) & !1;
    let bodies = cut(&octets, capacity(false), capacity(true))
        .into_iter()
        .map(Body::Octets)
        .collect();
    Composition {
        alphabet: Alphabet::Ucs2,
        tables: ShiftTables::default(),
        layout,
        bodies,
    }
}

/// The length of the header with its length octet. A part of a long message has the concatenation as well.
const fn header_octets(tables: ShiftTables, layout: Layout, is_long: bool) -> usize {
    let mut octets = 0;
    if is_long {
        octets += if layout.wide_reference { 6 } else { 5 };
    }
    if layout.ports.is_some() {
        octets += 6;
    }
    if tables.single.is_some() {
        octets += 3;
    }
    if tables.locking.is_some() {
        octets += 3;
    }
    if octets > 0 { octets + 1 } else { 0 }
}

/// Joins characters into one piece if `whole` units hold them all, otherwise into pieces of at most `piece` units.
fn cut(characters: &[Vec<u8>], whole: usize, piece: usize) -> Vec<Vec<u8>> {
    let total: usize = characters.iter().map(Vec::len).sum();
    if total <= whole {
        return vec![characters.concat()];
    }
    let mut pieces = vec![Vec::new()];
    for character in characters {
        match pieces.last_mut() {
            Some(last) if last.len() + character.len() <= piece => last.extend(character),
            _ => pieces.push(character.clone()),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str, options: &TextOptions) -> (Alphabet, usize) {
        let composition = compose_text(text, options).expect("the text can be composed");
        (composition.alphabet(), composition.segment_count())
    }

    #[test]
    fn limits_of_one_and_of_many_parts() {
        use Alphabet::{Gsm7, Ucs2};
        let narrow = TextOptions::default();
        let wide = TextOptions {
            layout: Layout {
                wide_reference: true,
                ports: None,
            },
            ..TextOptions::default()
        };
        for (character, length, expected_narrow, expected_wide) in [
            ("a", 0, (Gsm7, 1), (Gsm7, 1)),
            ("a", 160, (Gsm7, 1), (Gsm7, 1)),
            ("a", 161, (Gsm7, 2), (Gsm7, 2)),
            ("a", 304, (Gsm7, 2), (Gsm7, 2)),
            ("a", 306, (Gsm7, 2), (Gsm7, 3)),
            ("a", 307, (Gsm7, 3), (Gsm7, 3)),
            ("€", 80, (Gsm7, 1), (Gsm7, 1)),
            ("€", 152, (Gsm7, 2), (Gsm7, 2)),
            ("€", 153, (Gsm7, 3), (Gsm7, 3)),
            ("ж", 70, (Ucs2, 1), (Ucs2, 1)),
            ("ж", 132, (Ucs2, 2), (Ucs2, 2)),
            ("ж", 134, (Ucs2, 2), (Ucs2, 3)),
            ("ж", 135, (Ucs2, 3), (Ucs2, 3)),
            ("😁", 35, (Ucs2, 1), (Ucs2, 1)),
            ("😁", 66, (Ucs2, 2), (Ucs2, 2)),
            ("😁", 67, (Ucs2, 3), (Ucs2, 3)),
        ] {
            let text = character.repeat(length);
            assert_eq!(count(&text, &narrow), expected_narrow, "{length} x {character}");
            assert_eq!(count(&text, &wide), expected_wide, "{length} x {character}, wide");
        }
    }

    #[test]
    fn limits_of_data() {
        for (length, wide_reference, expected) in [
            (0, false, 1),
            (140, false, 1),
            (141, false, 2),
            (268, false, 2),
            (268, true, 3),
            (269, false, 3),
        ] {
            let layout = Layout {
                wide_reference,
                ports: None,
            };
            let composition = compose_data(&vec![0xAB; length], layout).expect("short enough");
            assert_eq!(composition.segment_count(), expected, "{length}");
        }
    }

    #[test]
    fn sixty_emoji_are_two_parts_not_one() {
        assert_eq!(count(&"😁".repeat(60), &TextOptions::default()), (Alphabet::Ucs2, 2));
    }

    #[test]
    fn eighty_brackets_among_a_hundred_and_sixty_characters_are_two_parts() {
        assert_eq!(count(&"a[".repeat(80), &TextOptions::default()), (Alphabet::Gsm7, 2));
    }

    #[test]
    fn no_part_ends_with_an_escape_or_half_a_surrogate_pair() {
        for text in ["a".repeat(152) + &"€".repeat(100), "ж".repeat(66) + &"😁".repeat(100)] {
            for body in compose_text(&text, &TextOptions::default())
                .expect("short enough")
                .bodies
            {
                match body {
                    Body::Septets(septets) => assert_ne!(septets.last(), Some(&crate::sms::alphabet::ESCAPE)),
                    Body::Octets(octets) => assert!(!ucs2::decode(&octets).contains('\u{fffd}')),
                }
            }
        }
    }

    #[test]
    fn national_tables_are_used_only_when_allowed_and_cheaper() {
        let turkish = TextOptions {
            national_languages: vec![NationalLanguage::Turkish],
            ..TextOptions::default()
        };
        let short = "Şişli'de ılık bir gün";
        let long = short.repeat(5);
        assert_eq!(count(&long, &TextOptions::default()), (Alphabet::Ucs2, 2));
        assert_eq!(count(&long, &turkish), (Alphabet::Gsm7, 1));
        assert_eq!(count(short, &turkish), (Alphabet::Ucs2, 1));
        let forced = TextOptions {
            coding: TextCoding::Gsm7,
            ..turkish
        };
        let composition = compose_text(short, &forced).expect("Turkish has every character");
        assert_eq!(
            composition.shift_tables(),
            ShiftTables {
                locking: None,
                single: Some(NationalLanguage::Turkish)
            }
        );
    }

    #[test]
    fn transliteration_happens_only_when_asked_and_when_it_helps() {
        let asked = TextOptions {
            transliterate: true,
            ..TextOptions::default()
        };
        let text = "Mâine dimineață".repeat(10);
        assert_eq!(count(&text, &TextOptions::default()), (Alphabet::Ucs2, 3));
        assert_eq!(count(&text, &asked), (Alphabet::Gsm7, 1));
        assert_eq!(
            count("dimineață", &asked),
            (Alphabet::Ucs2, 1),
            "nothing is saved, so nothing is lost"
        );
        assert_eq!(
            count(&"Ж".repeat(100), &asked),
            (Alphabet::Ucs2, 2),
            "there is nothing similar"
        );
        let forced = TextOptions {
            coding: TextCoding::Gsm7,
            ..asked
        };
        assert_eq!(count("dimineață", &forced), (Alphabet::Gsm7, 1));
    }

    #[test]
    fn a_character_that_the_demanded_alphabet_lacks_is_named() {
        for transliterate in [false, true] {
            let options = TextOptions {
                coding: TextCoding::Gsm7,
                transliterate,
                ..TextOptions::default()
            };
            let error = ComposeError::Unencodable(UnencodableCharacter { character: 'Ж' });
            assert_eq!(compose_text("aЖ", &options), Err(error));
        }
    }

    #[test]
    fn the_room_in_a_part_depends_on_its_header() {
        let sizes = |text: &str, options: &TextOptions| -> Vec<(usize, usize)> {
            let composition = compose_text(text, options).expect("the text can be composed");
            assert_eq!(composition.text().as_deref(), Some(text));
            composition
                .part_sizes()
                .map(|size| (size.units, size.capacity))
                .collect()
        };
        let usual = TextOptions::default();
        let wide = TextOptions {
            layout: Layout {
                wide_reference: true,
                ports: None,
            },
            ..TextOptions::default()
        };
        assert_eq!(sizes("a€", &usual), [(3, 160)]);
        assert_eq!(sizes(&"a".repeat(161), &usual), [(153, 153), (8, 153)]);
        assert_eq!(sizes(&"a".repeat(161), &wide), [(152, 152), (9, 152)]);
        assert_eq!(sizes("ж😁", &usual), [(3, 70)]);
        assert_eq!(sizes(&"ж".repeat(71), &usual), [(67, 67), (4, 67)]);
        let data = compose_data(&[1; 141], Layout::default()).expect("short enough");
        let sizes: Vec<_> = data.part_sizes().map(|size| (size.units, size.capacity)).collect();
        assert_eq!(
            (sizes.as_slice(), data.text()),
            ([(134, 134), (7, 134)].as_slice(), None)
        );
    }

    #[test]
    fn the_256th_part_is_one_too_many() {
        assert_eq!(count(&"a".repeat(255 * 153), &TextOptions::default()).1, 255);
        let error = ComposeError::TooLong { segment_count: 256 };
        assert_eq!(
            compose_text(&"a".repeat(255 * 153 + 1), &TextOptions::default()),
            Err(error)
        );
        assert_eq!(compose_data(&vec![0; 255 * 134 + 1], Layout::default()), Err(error));
    }

    #[test]
    fn options_reach_the_pdu() {
        let destination = "+4915112345678".parse().expect("a number");
        let layout = Layout {
            wide_reference: true,
            ports: Some(Ports {
                destination: 2948,
                originator: 9200,
            }),
        };
        let text = TextOptions {
            layout,
            ..TextOptions::default()
        };
        let options = SubmitOptions {
            class: Some(MessageClass::Class0),
            validity_period: Some(ValidityPeriod::Relative(
                crate::sms::validity::RelativeValidity::at_least(86_400),
            )),
            status_report_request: true,
            protocol_identifier: ProtocolIdentifier::from_replace_type(3).expect("1 to 7"),
            reject_duplicates: true,
            reply_path: true,
        };
        let composition = compose_text(&"x".repeat(200), &text).expect("short enough");
        let submits = composition.submits(&destination, 0x1234, &options);
        assert_eq!(submits.len(), 2);
        let pdu = crate::sms::Pdu {
            service_centre: None,
            tpdu: crate::sms::Tpdu::Submit(submits[1].clone()),
        };
        let hex = pdu.encode().expect("a valid message").hex;
        assert!(hex.starts_with("00F5000D91945111325476F84310A7"), "{hex}");
        assert!(hex.contains("0C0804123402020504") && hex.contains("0B8423F0"), "{hex}");
    }
}
