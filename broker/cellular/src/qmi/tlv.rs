//! Type, length, value: what every QMI message is made of. Numbers are little-endian.

use super::DecodeError;

/// Type of the result that every response carries.
pub const RESULT: u8 = 0x02;

/// The TLVs of a message, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs(Vec<u8>);

impl Tlvs {
    /// Takes the octets after a message's header. They are looked at only when something is asked for, and what is cut off
    /// at the end is as if it were not there.
    #[must_use]
    pub const fn from_octets(octets: Vec<u8>) -> Self {
        Self(octets)
    }

    /// The octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// All of them, type and value.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (&[kind, low, high], after) = rest.split_first_chunk()?;
            let (value, after) = after.split_at_checked(usize::from(u16::from_le_bytes([low, high])))?;
            rest = after;
            Some((kind, value))
        })
    }

    /// The value of the first one of a type.
    #[must_use]
    pub fn find(&self, kind: u8) -> Option<Value<'_>> {
        self.iter()
            .find(|(found, _)| *found == kind)
            .map(|(_, value)| Value { kind, rest: value })
    }

    /// The same for one that the message cannot do without.
    pub fn need(&self, kind: u8) -> Result<Value<'_>, DecodeError> {
        self.find(kind).ok_or(DecodeError::Missing { kind })
    }

    /// Adds one. A value beyond what a length can say is cut; no argument that is checked where it is made comes near.
    #[must_use]
    pub fn with(mut self, kind: u8, value: &[u8]) -> Self {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.0.push(kind);
        self.0.extend((value.len() as u16).to_le_bytes());
        self.0.extend_from_slice(value);
        self
    }

    /// Adds one octet.
    #[must_use]
    pub fn with_u8(self, kind: u8, value: u8) -> Self {
        self.with(kind, &[value])
    }

    /// Adds 32 bits.
    #[must_use]
    pub fn with_u32(self, kind: u8, value: u32) -> Self {
        self.with(kind, &value.to_le_bytes())
    }
}

/// A value that is read from its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Value<'a> {
    /// The next octets.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(DecodeError::Short { kind: self.kind })?;
        self.rest = rest;
        Ok(*array)
    }

    /// The next octet.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[octet]| octet)
    }

    /// The next octet, signed.
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.array().map(i8::from_le_bytes)
    }

    /// The next 16 bits.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next 16 bits, signed.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_le_bytes)
    }

    /// The next 32 bits.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next 32 bits, signed.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_le_bytes)
    }

    /// The next 64 bits.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Octets with their number before them.
    pub fn short_octets(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::from(self.u8()?);
        let (octets, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(DecodeError::Short { kind: self.kind })?;
        self.rest = rest;
        Ok(octets)
    }

    /// A text with its length in one octet, as texts inside a structure are.
    pub fn short_text(&mut self) -> Result<String, DecodeError> {
        self.short_octets().map(text_of)
    }

    /// All that is left, as a text: a text that is a value of its own has no length before it.
    #[must_use]
    pub fn text(self) -> String {
        text_of(self.rest)
    }

    /// All that is left.
    #[must_use]
    pub const fn octets(self) -> &'a [u8] {
        self.rest
    }
}

/// Some firmware ends a text with NUL, and none says which encoding it has.
fn text_of(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_order_and_never_beyond_their_end() {
        let tlvs = Tlvs::default()
            .with(0x10, &[0xEA, 0x00, 0x0F, 0x00, 3, b'a', b'b', b'c', 0xFE])
            .with_u8(0x11, 7)
            .with_u32(0x12, 0x0A40_4001);
        let mut value = tlvs.find(0x10).expect("it is there");
        assert_eq!((value.u16(), value.i16()), (Ok(234), Ok(15)));
        assert_eq!(value.short_text().as_deref(), Ok("abc"));
        assert_eq!(value.i8(), Ok(-2));
        assert_eq!(value.u8(), Err(DecodeError::Short { kind: 0x10 }));
        assert_eq!(tlvs.find(0x12).map(|mut value| value.u32()), Some(Ok(0x0A40_4001)));
        assert_eq!(tlvs.need(0x13).map(|_| ()), Err(DecodeError::Missing { kind: 0x13 }));
    }

    #[test]
    fn what_is_cut_off_is_as_if_it_were_not_there() {
        let whole = Tlvs::default().with_u8(0x01, 1).with(0x02, &[1, 2, 3]);
        for length in 0..whole.octets().len() {
            let cut = Tlvs::from_octets(whole.octets()[..length].to_vec());
            assert_eq!(cut.iter().count(), usize::from(length >= 4), "{length} octets");
        }
        let mut short = Tlvs::default()
            .with(0x01, &[9, b'a'])
            .find(0x01)
            .map(|mut value| value.short_text());
        assert_eq!(short.take(), Some(Err(DecodeError::Short { kind: 1 })));
    }
}
