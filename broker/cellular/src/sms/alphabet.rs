//! The alphabets of 23.038: GSM 7-bit with its national language tables, and UCS2.

pub mod septets;
mod tables;
pub mod ucs2;

use serde::{Deserialize, Serialize};
use tables::{LockingTable, SingleShiftTable, UNASSIGNED};

/// The septet that announces a character of the single shift table (23.038 clause 6.2.1).
pub const ESCAPE: u8 = 0x1B;

/// A language with tables of its own, by its *National Language Identifier* (23.038 clause 6.2.1.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum NationalLanguage {
    /// Identifier 1.
    Turkish = 1,
    /// Identifier 2. It has a single shift table only.
    Spanish = 2,
    /// Identifier 3.
    Portuguese = 3,
    /// Identifier 4, Bengali and Assamese.
    Bengali = 4,
    /// Identifier 5.
    Gujarati = 5,
    /// Identifier 6.
    Hindi = 6,
    /// Identifier 7.
    Kannada = 7,
    /// Identifier 8.
    Malayalam = 8,
    /// Identifier 9.
    Oriya = 9,
    /// Identifier 10.
    Punjabi = 10,
    /// Identifier 11.
    Tamil = 11,
    /// Identifier 12.
    Telugu = 12,
    /// Identifier 13.
    Urdu = 13,
}

impl NationalLanguage {
    /// Every language, in the order of the identifiers.
    pub const ALL: [Self; 13] = [
        Self::Turkish,
        Self::Spanish,
        Self::Portuguese,
        Self::Bengali,
        Self::Gujarati,
        Self::Hindi,
        Self::Kannada,
        Self::Malayalam,
        Self::Oriya,
        Self::Punjabi,
        Self::Tamil,
        Self::Telugu,
        Self::Urdu,
    ];

    /// The language with this identifier; none for the reserved identifiers 0 and 14 to 255.
    pub fn from_identifier(identifier: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|language| language.identifier() == identifier)
    }

    /// The identifier as the user data header carries it.
    pub const fn identifier(self) -> u8 {
        self as u8
    }

    /// Whether the language replaces the whole alphabet, not only the characters behind the escape.
    pub const fn has_locking_table(self) -> bool {
        !matches!(self, Self::Spanish)
    }

    const fn locking_table(self) -> &'static LockingTable {
        match self {
            Self::Turkish => &tables::TURKISH_LOCKING,
            Self::Spanish => &tables::DEFAULT_LOCKING,
            Self::Portuguese => &tables::PORTUGUESE_LOCKING,
            Self::Bengali => &tables::BENGALI_LOCKING,
            Self::Gujarati => &tables::GUJARATI_LOCKING,
            Self::Hindi => &tables::HINDI_LOCKING,
            Self::Kannada => &tables::KANNADA_LOCKING,
            Self::Malayalam => &tables::MALAYALAM_LOCKING,
            Self::Oriya => &tables::ORIYA_LOCKING,
            Self::Punjabi => &tables::PUNJABI_LOCKING,
            Self::Tamil => &tables::TAMIL_LOCKING,
            Self::Telugu => &tables::TELUGU_LOCKING,
            Self::Urdu => &tables::URDU_LOCKING,
        }
    }

    const fn single_shift_table(self) -> &'static SingleShiftTable {
        match self {
            Self::Turkish => tables::TURKISH_SINGLE_SHIFT,
            Self::Spanish => tables::SPANISH_SINGLE_SHIFT,
            Self::Portuguese => tables::PORTUGUESE_SINGLE_SHIFT,
            Self::Bengali => tables::BENGALI_SINGLE_SHIFT,
            Self::Gujarati => tables::GUJARATI_SINGLE_SHIFT,
            Self::Hindi => tables::HINDI_SINGLE_SHIFT,
            Self::Kannada => tables::KANNADA_SINGLE_SHIFT,
            Self::Malayalam => tables::MALAYALAM_SINGLE_SHIFT,
            Self::Oriya => tables::ORIYA_SINGLE_SHIFT,
            Self::Punjabi => tables::PUNJABI_SINGLE_SHIFT,
            Self::Tamil => tables::TAMIL_SINGLE_SHIFT,
            Self::Telugu => tables::TELUGU_SINGLE_SHIFT,
            Self::Urdu => tables::URDU_SINGLE_SHIFT,
        }
    }
}

/// A character that the chosen tables do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the 7-bit alphabet has no {character:?}; choose another coding or allow transliteration")]
pub struct UnencodableCharacter {
    /// The first such character of the text.
    pub character: char,
}

/// The septets that stand for one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CharacterSeptets {
    /// The character is in the locking table.
    Plain(u8),
    /// The character is in the single shift table: it costs the escape and this septet.
    Escaped(u8),
}

impl CharacterSeptets {
    /// How many septets the character takes.
    pub const fn septet_count(self) -> usize {
        match self {
            Self::Plain(_) => 1,
            Self::Escaped(_) => 2,
        }
    }

    /// Appends the septets.
    pub fn append_to(self, septets: &mut Vec<u8>) {
        match self {
            Self::Plain(septet) => septets.push(septet),
            Self::Escaped(septet) => septets.extend([ESCAPE, septet]),
        }
    }
}

/// The pair of tables in force for a 7-bit text. The default value is the GSM 7-bit default alphabet and its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ShiftTables {
    /// The language whose locking shift table replaces the default alphabet. Spanish has none and means the default.
    pub locking: Option<NationalLanguage>,
    /// The language whose single shift table replaces the extension table.
    pub single: Option<NationalLanguage>,
}

impl ShiftTables {
    /// The septets for a character, if the tables have it. The locking table is preferred, as it is half the price.
    pub fn encode_character(self, character: char) -> Option<CharacterSeptets> {
        let unit = u16::try_from(u32::from(character))
            .ok()
            .filter(|unit| *unit != UNASSIGNED)?;
        if let Some(code) = (0u8..)
            .zip(self.locking_table())
            .find_map(|(code, entry)| (*entry == unit).then_some(code))
        {
            return Some(CharacterSeptets::Plain(code));
        }
        let single = self.single_shift_table();
        single
            .iter()
            .find(|(_, entry)| *entry == unit)
            .map(|(code, _)| CharacterSeptets::Escaped(*code))
    }

    /// Encodes a whole text, one septet per octet, unpacked.
    pub fn encode(self, text: &str) -> Result<Vec<u8>, UnencodableCharacter> {
        let mut septets = Vec::with_capacity(text.len());
        for character in text.chars() {
            self.encode_character(character)
                .ok_or(UnencodableCharacter { character })?
                .append_to(&mut septets);
        }
        Ok(septets)
    }

    /// Decodes unpacked septets. It cannot fail: see [`SeptetDecoder`].
    pub fn decode(self, septets: &[u8]) -> String {
        let mut decoder = SeptetDecoder::default();
        decoder.push(self, septets);
        decoder.finish()
    }

    fn decode_plain(self, septet: u8) -> char {
        character(self.locking_table()[usize::from(septet & 0x7F)])
    }

    fn decode_escaped(self, septet: u8) -> char {
        let septet = septet & 0x7F;
        let single = self.single_shift_table();
        match single.binary_search_by_key(&septet, |(code, _)| *code) {
            Ok(position) => character(single[position].1),
            Err(_) => self.decode_plain(septet),
        }
    }

    fn locking_table(self) -> &'static LockingTable {
        self.locking
            .map_or(&tables::DEFAULT_LOCKING, NationalLanguage::locking_table)
    }

    fn single_shift_table(self) -> &'static SingleShiftTable {
        self.single
            .map_or(tables::DEFAULT_SINGLE_SHIFT, NationalLanguage::single_shift_table)
    }
}

/// Decodes septets that arrive in pieces, so that an escape at the end of one part and its character at the start of the
/// next come out as one character.
///
/// Reserved codes read as a space, a code without an entry in the single shift table as its character in the locking
/// table, and an escape followed by an escape as a space (23.038 clause 6.2.1.1). An escape with nothing behind it says
/// nothing and is dropped.
#[derive(Debug, Clone, Default)]
pub struct SeptetDecoder {
    text: String,
    escaped: bool,
}

impl SeptetDecoder {
    /// Decodes the next septets, under the tables that their part announces.
    pub fn push(&mut self, tables: ShiftTables, septets: &[u8]) {
        for &septet in septets {
            if self.escaped {
                self.text.push(tables.decode_escaped(septet));
                self.escaped = false;
            } else if septet == ESCAPE {
                self.escaped = true;
            } else {
                self.text.push(tables.decode_plain(septet));
            }
        }
    }

    /// Whether nothing was decoded yet.
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty() && !self.escaped
    }

    /// The text so far.
    pub fn finish(self) -> String {
        self.text
    }
}

fn character(unit: u16) -> char {
    match unit {
        UNASSIGNED => ' ',
        unit => char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_shift_tables_are_sorted_for_the_binary_search() {
        let languages = NationalLanguage::ALL.map(NationalLanguage::single_shift_table);
        for table in languages.into_iter().chain([tables::DEFAULT_SINGLE_SHIFT]) {
            assert!(table.is_sorted_by(|left, right| left.0 < right.0));
            assert!(
                table
                    .iter()
                    .all(|(code, unit)| *code < 0x80 && *code != ESCAPE && *unit != UNASSIGNED)
            );
        }
    }

    #[test]
    fn every_character_of_every_table_survives_encoding_and_decoding() {
        for language in NationalLanguage::ALL {
            let tables = ShiftTables {
                locking: Some(language),
                single: Some(language),
            };
            let plain = language.locking_table().iter().filter(|unit| **unit != UNASSIGNED);
            let escaped = language.single_shift_table().iter().map(|(_, unit)| unit);
            let text: String = plain.chain(escaped).map(|unit| character(*unit)).collect();
            let septets = tables.encode(&text).expect("the characters come from the tables");
            assert_eq!(tables.decode(&septets), text, "{language:?}");
        }
    }

    /// Every locking table keeps these characters at the codes of the default alphabet, so one that lacks the comma or a
    /// digit was copied wrongly.
    #[test]
    fn locking_tables_keep_what_all_of_them_share() {
        for language in NationalLanguage::ALL {
            let tables = ShiftTables {
                locking: Some(language),
                single: None,
            };
            for (character, code) in [
                ('\n', 0x0A),
                ('\r', 0x0D),
                (' ', 0x20),
                ('!', 0x21),
                (',', 0x2C),
                ('.', 0x2E),
                ('0', 0x30),
                ('9', 0x39),
                ('?', 0x3F),
                ('a', 0x61),
                ('z', 0x7A),
            ] {
                assert_eq!(
                    tables.encode_character(character),
                    Some(CharacterSeptets::Plain(code)),
                    "{language:?}"
                );
            }
        }
    }

    #[test]
    fn every_language_has_the_euro_and_the_brackets_behind_the_escape() {
        for single in NationalLanguage::ALL.into_iter().map(Some).chain([None]) {
            let tables = ShiftTables { locking: None, single };
            for (character, code) in [
                ('{', 0x28),
                ('}', 0x29),
                ('\\', 0x2F),
                ('[', 0x3C),
                ('~', 0x3D),
                (']', 0x3E),
                ('|', 0x40),
                ('€', 0x65),
            ] {
                assert_eq!(
                    tables.encode_character(character),
                    Some(CharacterSeptets::Escaped(code)),
                    "{single:?}"
                );
            }
        }
    }

    #[test]
    fn unusual_escapes_follow_clause_6_2_1_1() {
        let tables = ShiftTables::default();
        for (septets, text) in [
            (&[ESCAPE, 0x65][..], "€"),
            (&[ESCAPE, 0x41], "A"),
            (&[ESCAPE, ESCAPE, 0x41], " A"),
            (&[0x41, ESCAPE], "A"),
            (&[ESCAPE, 0x0A], "\u{c}"),
        ] {
            assert_eq!(tables.decode(septets), text, "{septets:02X?}");
        }
    }

    #[test]
    fn nul_and_escape_are_not_characters_of_the_alphabet() {
        assert_eq!(ShiftTables::default().encode_character('\0'), None);
        assert_eq!(ShiftTables::default().encode_character('\u{1b}'), None);
    }

    #[test]
    fn identifiers_are_those_of_clause_6_2_1_2_4() {
        for identifier in 0..=u8::MAX {
            let language = NationalLanguage::from_identifier(identifier);
            assert_eq!(language.is_some(), (1..=13).contains(&identifier));
            assert!(language.is_none_or(|language| language.identifier() == identifier));
        }
    }
}
