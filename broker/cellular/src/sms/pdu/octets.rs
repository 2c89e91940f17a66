//! Octets in and out: hexadecimal digits, and a cursor that knows the name of what it reads.

use super::DecodeError;

const HEX_DIGITS: &[u8; 16] = b"0123456789ABCDEF";

pub(super) fn from_hex(hex: &str) -> Result<Vec<u8>, DecodeError> {
    let hex = hex.trim_ascii();
    let digit = |(position, character): (usize, char)| {
        let value = character.to_digit(16).and_then(|value| u8::try_from(value).ok());
        value.ok_or(DecodeError::InvalidHexDigit { character, position })
    };
    let digits: Vec<u8> = hex.char_indices().map(digit).collect::<Result<_, _>>()?;
    match digits.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect()),
        _ => Err(DecodeError::OddHexDigits { digits: digits.len() }),
    }
}

pub(super) fn to_hex(octets: &[u8]) -> String {
    let digits = octets.iter().flat_map(|octet| [octet >> 4, octet & 0x0F]);
    digits.map(|digit| char::from(HEX_DIGITS[usize::from(digit)])).collect()
}

pub(super) struct Reader<'a> {
    octets: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(octets: &'a [u8]) -> Self {
        Self { octets, offset: 0 }
    }

    pub(super) fn octet(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(|[octet]| octet)
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (array, _) = self.rest().split_first_chunk().ok_or_else(|| self.truncated(field))?;
        self.offset += N;
        Ok(*array)
    }

    pub(super) fn take(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], DecodeError> {
        let (octets, _) = self
            .rest()
            .split_at_checked(length)
            .ok_or_else(|| self.truncated(field))?;
        self.offset += length;
        Ok(octets)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.octets[self.offset..]
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest().is_empty()
    }

    const fn truncated(&self, field: &'static str) -> DecodeError {
        DecodeError::Truncated {
            field,
            offset: self.offset,
        }
    }
}

#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn octet(&mut self, octet: u8) {
        self.0.push(octet);
    }

    pub(super) fn octets(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_of_either_case() {
        assert_eq!(from_hex("00fFA9\r"), Ok(vec![0x00, 0xFF, 0xA9]));
        assert_eq!(to_hex(&[0x00, 0xFF, 0xA9]), "00FFA9");
        assert_eq!(from_hex("0"), Err(DecodeError::OddHexDigits { digits: 1 }));
        assert_eq!(
            from_hex("0G"),
            Err(DecodeError::InvalidHexDigit {
                character: 'G',
                position: 1
            })
        );
        assert_eq!(
            from_hex("0é"),
            Err(DecodeError::InvalidHexDigit {
                character: 'é',
                position: 1
            })
        );
    }
}
