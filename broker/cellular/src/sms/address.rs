//! Addresses as a PDU carries them (23.040 clause 9.1.2.5), and telephone numbers as people type them.

use super::alphabet::{ShiftTables, UnencodableCharacter, septets};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// An address holds ten octets, two digits each (clause 9.1.2.5).
pub const MAX_DIGITS: usize = 20;

/// Ten octets hold eleven septets.
pub const MAX_ALPHANUMERIC_SEPTETS: usize = 11;

/// The longest international number: E.164 clause 6.
pub const MAX_INTERNATIONAL_DIGITS: usize = 15;

/// The semi-octets 0 to 14 as characters (clause 9.1.2.3); 15 is the filler.
const SEMI_OCTET_DIGITS: &[u8; 15] = b"0123456789*#abc";

const FILLER: u8 = 0x0F;

/// What sort of number follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeOfNumber {
    /// Nothing is known; short codes and national numbers come like this.
    Unknown,
    /// With the country code, shown with a plus.
    International,
    /// Without the country code.
    National,
    /// Specific to the network.
    NetworkSpecific,
    /// Within the subscriber's area.
    Subscriber,
    /// Septets of the GSM 7-bit default alphabet.
    Alphanumeric,
    /// Abbreviated.
    Abbreviated,
    /// Reserved by the standard.
    Reserved,
}

/// The type-of-address octet, whole, so that reserved values survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TypeOfAddress(pub u8);

impl TypeOfAddress {
    /// Nothing known, ISDN numbering plan.
    pub const UNKNOWN: Self = Self(0x81);
    /// International number, ISDN numbering plan.
    pub const INTERNATIONAL: Self = Self(0x91);
    /// Alphanumeric, no numbering plan.
    pub const ALPHANUMERIC: Self = Self(0xD0);

    /// The sort of number.
    pub const fn type_of_number(self) -> TypeOfNumber {
        match self.0 >> 4 & 0b111 {
            0 => TypeOfNumber::Unknown,
            1 => TypeOfNumber::International,
            2 => TypeOfNumber::National,
            3 => TypeOfNumber::NetworkSpecific,
            4 => TypeOfNumber::Subscriber,
            5 => TypeOfNumber::Alphanumeric,
            6 => TypeOfNumber::Abbreviated,
            _ => TypeOfNumber::Reserved,
        }
    }

    /// The numbering plan identification: 1 is ISDN (E.164), 8 national, 9 private.
    pub const fn numbering_plan(self) -> u8 {
        self.0 & 0x0F
    }
}

/// Why an address cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// More semi-octets than an address holds.
    #[error("an address of {semi_octets} semi-octets is longer than {MAX_DIGITS}")]
    TooLong {
        /// How many there are.
        semi_octets: usize,
    },
    /// A character that is no semi-octet.
    #[error("{character:?} is no digit of an address: use 0-9, *, #, a, b or c")]
    NotADigit {
        /// The character.
        character: char,
    },
    /// A letter that the default alphabet lacks.
    #[error("the name cannot be an address: {0}")]
    Unencodable(UnencodableCharacter),
}

/// The originating, destination, recipient or service centre address of a PDU.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Address {
    /// How to read the value.
    pub type_of_address: TypeOfAddress,
    /// Digits `0-9 * # a b c` as the semi-octets spell them, or the text of an alphanumeric address. The plus of an
    /// international number is not part of it: see `Display`.
    pub value: String,
}

impl Address {
    /// An alphanumeric address, as senders use in place of a number.
    pub fn alphanumeric(text: &str) -> Result<Self, AddressError> {
        let address = Self {
            type_of_address: TypeOfAddress::ALPHANUMERIC,
            value: text.to_owned(),
        };
        address.value_octets().map(|_| address)
    }

    /// Whether the value is text rather than digits.
    pub const fn is_alphanumeric(&self) -> bool {
        matches!(self.type_of_address.type_of_number(), TypeOfNumber::Alphanumeric)
    }

    /// The number to answer to, when the address is one that can be answered.
    pub fn phone_number(&self) -> Option<PhoneNumber> {
        if self.is_alphanumeric() {
            return None;
        }
        self.to_string().parse().ok()
    }

    /// Reads the value that follows the type of address, for a length in semi-octets.
    pub(super) fn from_semi_octets(type_of_address: TypeOfAddress, semi_octets: usize, octets: &[u8]) -> Self {
        let value = if type_of_address.type_of_number() == TypeOfNumber::Alphanumeric {
            // Seven semi-octets of padding-free text are four septets; what is left over is no character.
            let septet_count = semi_octets * 4 / 7;
            ShiftTables::default().decode(&septets::unpack(octets, 0, septet_count))
        } else {
            let digits = octets
                .iter()
                .flat_map(|octet| [octet & 0x0F, octet >> 4])
                .take(semi_octets);
            digits
                .map_while(|digit| SEMI_OCTET_DIGITS.get(usize::from(digit)).copied().map(char::from))
                .collect()
        };
        Self { type_of_address, value }
    }

    /// The value as octets with its length in semi-octets.
    pub(super) fn value_octets(&self) -> Result<(u8, Vec<u8>), AddressError> {
        let (semi_octets, octets) = if self.is_alphanumeric() {
            let encoded = ShiftTables::default().encode(&self.value);
            let septets = encoded.map_err(AddressError::Unencodable)?;
            ((septets.len() * 7).div_ceil(4), septets::pack(&septets, 0))
        } else {
            let digits: Vec<u8> = self.value.chars().map(semi_octet).collect::<Result<_, _>>()?;
            let pairs = digits
                .chunks(2)
                .map(|pair| pair[0] | pair.get(1).copied().unwrap_or(FILLER) << 4);
            (digits.len(), pairs.collect())
        };
        match u8::try_from(semi_octets) {
            Ok(length) if semi_octets <= MAX_DIGITS => Ok((length, octets)),
            _ => Err(AddressError::TooLong { semi_octets }),
        }
    }
}

fn semi_octet(character: char) -> Result<u8, AddressError> {
    (0u8..)
        .zip(SEMI_OCTET_DIGITS)
        .find_map(|(value, digit)| (char::from(*digit) == character).then_some(value))
        .ok_or(AddressError::NotADigit { character })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.type_of_address.type_of_number() == TypeOfNumber::International {
            f.write_str("+")?;
        }
        f.write_str(&self.value)
    }
}

/// Why what somebody typed is not a telephone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneNumberError {
    /// Nothing, or a plus alone.
    #[error("no digits; write a number such as +447700900123")]
    NoDigits,
    /// A character that no dialling pad has, or a plus that is not the first character.
    #[error(
        "{character:?} at position {position} is not part of a telephone number; use digits, with + in front of a country code"
    )]
    InvalidCharacter {
        /// The character.
        character: char,
        /// Its position, counted in characters from 1.
        position: usize,
    },
    /// A star or hash in an international number, which has digits only.
    #[error("{character:?} does not go with a country code; use digits only, or leave out the +")]
    NotInternational {
        /// The character.
        character: char,
    },
    /// An international number that starts with a zero: no country code does.
    #[error("no country code starts with 0; write +44…, not +044… or +0044…")]
    CountryCodeZero,
    /// The zero in parentheses that is dialled inside the country only, as in `+44 (0)7700 900123`.
    #[error("the (0) is not dialled after a country code; leave it out")]
    TrunkPrefix,
    /// More digits than the numbering plan or an address has.
    #[error("{digits} digits are too many; at most {limit} are possible")]
    TooLong {
        /// How many there are.
        digits: usize,
        /// How many there may be.
        limit: usize,
    },
}

/// A telephone number or short code: an optional plus, then digits; `*` and `#` only without the plus.
///
/// Parsing removes what people put between digits to read them: spaces, dashes, parentheses, slashes, full stops, and the
/// invisible marks of direction that telephones copy along. Everything else is refused: a letter is a slip, and a slip that
/// is repaired silently sends the message to somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// The number without separators.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it starts with a plus.
    pub fn is_international(&self) -> bool {
        self.0.starts_with('+')
    }
}

impl FromStr for PhoneNumber {
    type Err = PhoneNumberError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut number = String::with_capacity(text.len());
        for (position, character) in (1..).zip(text.chars()) {
            match character {
                '+' if number.is_empty() => number.push(character),
                '0'..='9' => number.push(character),
                '*' | '#' if number.starts_with('+') => return Err(PhoneNumberError::NotInternational { character }),
                '*' | '#' => number.push(character),
                _ if is_separator(character) => {}
                _ => return Err(PhoneNumberError::InvalidCharacter { character, position }),
            }
        }
        let international = number.strip_prefix('+');
        let digits = international.unwrap_or(&number);
        let limit = if international.is_some() {
            MAX_INTERNATIONAL_DIGITS
        } else {
            MAX_DIGITS
        };
        match digits.len() {
            0 => Err(PhoneNumberError::NoDigits),
            _ if international.is_some() && digits.starts_with('0') => Err(PhoneNumberError::CountryCodeZero),
            _ if international.is_some() && text.contains("(0)") => Err(PhoneNumberError::TrunkPrefix),
            count if count > limit => Err(PhoneNumberError::TooLong { digits: count, limit }),
            _ => Ok(Self(number)),
        }
    }
}

/// What stands between digits for the eye alone.
fn is_separator(character: char) -> bool {
    matches!(
        character,
        ' ' | '-' | '(' | ')' | '/' | '.'
            | '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}'
            | '\u{2010}'..='\u{2014}' | '\u{2212}'
            | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

impl TryFrom<String> for PhoneNumber {
    type Error = PhoneNumberError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PhoneNumber> for String {
    fn from(number: PhoneNumber) -> Self {
        number.0
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&PhoneNumber> for Address {
    fn from(number: &PhoneNumber) -> Self {
        match number.0.strip_prefix('+') {
            Some(digits) => Self {
                type_of_address: TypeOfAddress::INTERNATIONAL,
                value: digits.to_owned(),
            },
            None => Self {
                type_of_address: TypeOfAddress::UNKNOWN,
                value: number.0.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_letters_do_not_grow_an_at_sign() {
        for text in [
            "sipgate",
            "Megafon",
            "diafaan",
            "FONIC",
            "www.tim.it",
            "InternetSMS",
            "a",
            "12345678",
        ] {
            let address = Address::alphanumeric(text).expect("the text fits");
            let (semi_octets, octets) = address.value_octets().expect("the text fits");
            let again = Address::from_semi_octets(TypeOfAddress::ALPHANUMERIC, usize::from(semi_octets), &octets);
            assert_eq!(again, address);
        }
    }

    #[test]
    fn alphanumeric_addresses_end_at_eleven_septets() {
        assert!(Address::alphanumeric("elevenchars").is_ok());
        assert_eq!(
            Address::alphanumeric("twelve chars"),
            Err(AddressError::TooLong { semi_octets: 21 })
        );
        assert_eq!(Address::alphanumeric("日本").ok(), None);
    }

    #[test]
    fn semi_octets_spell_every_digit_and_end_at_the_filler() {
        for (value, octets) in [("123", &[0x21, 0xF3][..]), ("*#abc0", &[0xBA, 0xDC, 0x0E]), ("", &[])] {
            let address = Address {
                type_of_address: TypeOfAddress::UNKNOWN,
                value: value.to_owned(),
            };
            assert_eq!(
                address.value_octets(),
                Ok((u8::try_from(value.len()).expect("short"), octets.to_vec()))
            );
            assert_eq!(
                Address::from_semi_octets(TypeOfAddress::UNKNOWN, octets.len() * 2, octets),
                address
            );
        }
    }

    #[test]
    fn display_adds_the_plus_to_international_numbers_only() {
        for (type_of_address, text) in [(0x91, "+49151"), (0x81, "49151"), (0xA1, "49151"), (0xC8, "49151")] {
            let address = Address {
                type_of_address: TypeOfAddress(type_of_address),
                value: "49151".into(),
            };
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_people_put_between_digits_is_removed() {
        for (text, number) in [
            ("+44 7700 900123", "+447700900123"),
            ("(030) 90 18-20", "030901820"),
            (" 030/901.820 ", "030901820"),
            ("+49\u{a0}30\u{202f}90\u{2011}18\u{2013}20", "+4930901820"),
            ("\u{202a}+44 7700 900123\u{202c}", "+447700900123"),
            ("* 100 #", "*100#"),
        ] {
            assert_eq!(
                text.parse::<PhoneNumber>().as_ref().map(PhoneNumber::as_str),
                Ok(number),
                "{text:?}"
            );
        }
    }

    #[test]
    fn numbers_are_taken_or_refused() {
        use PhoneNumberError::{CountryCodeZero, InvalidCharacter, NoDigits, NotInternational, TooLong, TrunkPrefix};
        for (text, expected) in [
            ("+4915112345678", Ok(())),
            ("015112345678", Ok(())),
            ("8080", Ok(())),
            ("*100#", Ok(())),
            ("", Err(NoDigits)),
            ("+", Err(NoDigits)),
            ("+0049151", Err(CountryCodeZero)),
            ("+49*1", Err(NotInternational { character: '*' })),
            ("- ( )", Err(NoDigits)),
            ("+44 (0)7700 900123", Err(TrunkPrefix)),
            ("(0)30 901820", Ok(())),
            (
                "0151\t123",
                Err(InvalidCharacter {
                    character: '\t',
                    position: 5,
                }),
            ),
            (
                "49+1",
                Err(InvalidCharacter {
                    character: '+',
                    position: 3,
                }),
            ),
            (
                "++49",
                Err(InvalidCharacter {
                    character: '+',
                    position: 2,
                }),
            ),
            (
                "+49a",
                Err(InvalidCharacter {
                    character: 'a',
                    position: 4,
                }),
            ),
            (
                "٠١٢",
                Err(InvalidCharacter {
                    character: '٠',
                    position: 1,
                }),
            ),
            (
                "1\r\nAT",
                Err(InvalidCharacter {
                    character: '\r',
                    position: 2,
                }),
            ),
            ("+1234567890123456", Err(TooLong { digits: 16, limit: 15 })),
            ("123456789012345678901", Err(TooLong { digits: 21, limit: 20 })),
        ] {
            assert_eq!(text.parse::<PhoneNumber>().map(|_| ()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_number_can_be_answered_and_a_name_cannot() {
        let number: PhoneNumber = "+4915112345678".parse().expect("a number");
        assert_eq!(Address::from(&number).phone_number(), Some(number));
        assert_eq!(Address::alphanumeric("sipgate").expect("short").phone_number(), None);
    }

    #[test]
    fn numbers_are_checked_when_read_back() {
        assert!(serde_json::from_str::<PhoneNumber>("\"+4915112345678\"").is_ok());
        assert!(serde_json::from_str::<PhoneNumber>("\"call me\"").is_err());
    }
}
