//! The information buffer: what commands, answers and indications are made of (10.3).
//!
//! Fixed fields come first, little-endian. What has a variable length is behind them, at an offset from the buffer's begin
//! that one of the fixed fields tells; it begins at a multiple of four octets.

use super::{DecodeError, Uuid};

/// Reads fixed fields in their order, and what they lead to.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    buffer: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Begins with the first field.
    #[must_use]
    pub const fn new(buffer: &'a [u8]) -> Self {
        Self { buffer, at: 0 }
    }

    /// The next octets.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let octets = self.buffer.get(self.at..).and_then(<[u8]>::first_chunk);
        self.at += N;
        octets.copied().ok_or(DecodeError::Truncated {
            octets: self.buffer.len(),
        })
    }

    /// A number of 32 bits.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number of 64 bits.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A service or a context type.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.array().map(Uuid)
    }

    /// Text: its offset and its length in octets; UTF-16, and what is none is replaced.
    pub fn text(&mut self) -> Result<String, DecodeError> {
        let (offset, length) = (self.u32()?, self.u32()?);
        let (units, _) = self.part(offset, length)?.as_chunks();
        let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        Ok(String::from_utf16_lossy(&units))
    }

    /// Elements of one size: their number and where they begin.
    pub fn elements<const N: usize>(&mut self) -> Result<Vec<[u8; N]>, DecodeError> {
        let (count, offset) = (self.u32()?, self.u32()?);
        let length = count.saturating_mul(N as u32);
        let (elements, _) = self.part(offset, length)?.as_chunks();
        Ok(elements.to_vec())
    }

    /// One element, or none where the offset is 0.
    pub fn element<const N: usize>(&mut self) -> Result<Option<[u8; N]>, DecodeError> {
        match self.u32()? {
            0 => Ok(None),
            offset => Ok(self.part(offset, N as u32)?.first_chunk().copied()),
        }
    }

    /// Nothing may have any offset.
    fn part(&self, offset: u32, length: u32) -> Result<&'a [u8], DecodeError> {
        if length == 0 {
            return Ok(&[]);
        }
        let end = (offset as usize).checked_add(length as usize);
        end.and_then(|end| self.buffer.get(offset as usize..end))
            .ok_or(DecodeError::Beyond { offset, length })
    }
}

/// Builds an information buffer.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    fixed: Vec<u8>,
    /// What follows the fixed fields, with the place of the field that tells its offset.
    parts: Vec<(usize, Vec<u8>)>,
}

impl Writer {
    /// A number of 32 bits.
    #[must_use]
    pub fn with_u32(mut self, number: u32) -> Self {
        self.fixed.extend(number.to_le_bytes());
        self
    }

    /// A number of 64 bits.
    #[must_use]
    pub fn with_u64(mut self, number: u64) -> Self {
        self.fixed.extend(number.to_le_bytes());
        self
    }

    /// A service or a context type.
    #[must_use]
    pub fn with_uuid(mut self, uuid: Uuid) -> Self {
        self.fixed.extend(uuid.0);
        self
    }

    /// Text: its offset and its length in octets.
    #[must_use]
    pub fn with_text(self, text: &str) -> Self {
        self.with_part(text.encode_utf16().flat_map(u16::to_le_bytes).collect())
    }

    /// Octets: their offset and how many they are. Nothing is at 0.
    #[must_use]
    pub fn with_part(mut self, octets: Vec<u8>) -> Self {
        let length = octets.len() as u32;
        if length > 0 {
            self.parts.push((self.fixed.len(), octets));
        }
        self.with_u32(0).with_u32(length)
    }

    /// The buffer.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut buffer = self.fixed;
        for (field, octets) in self.parts {
            let offset = buffer.len() as u32;
            buffer[field..field + 4].copy_from_slice(&offset.to_le_bytes());
            buffer.extend(octets);
            buffer.resize(buffer.len().next_multiple_of(4), 0);
        }
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let buffer = Writer::default()
            .with_u32(7)
            .with_text("интернет")
            .with_text("")
            .with_u64(1 << 40)
            .with_text("odd")
            .with_uuid(Uuid::INTERNET)
            .finish();
        assert_eq!(buffer.len() % 4, 0);
        let mut reader = Reader::new(&buffer);
        assert_eq!(reader.u32(), Ok(7));
        assert_eq!(reader.text().as_deref(), Ok("интернет"));
        assert_eq!(reader.text().as_deref(), Ok(""));
        assert_eq!(reader.u64(), Ok(1 << 40));
        assert_eq!(reader.text().as_deref(), Ok("odd"));
        assert_eq!(reader.uuid(), Ok(Uuid::INTERNET));
        assert_eq!(
            reader.u32().map(|_| ()),
            Ok(()),
            "what follows the fields is the first text"
        );
    }

    #[test]
    fn what_leads_beyond_the_end_is_an_error_and_no_panic() {
        for (offset, length) in [(8, 1), (u32::MAX, u32::MAX), (0, 9), (u32::MAX, 1)] {
            let buffer = [offset.to_le_bytes(), length.to_le_bytes()].concat();
            assert_eq!(
                Reader::new(&buffer).text(),
                Err(DecodeError::Beyond { offset, length }),
                "{length} octets at {offset}"
            );
        }
        let many = [u32::MAX.to_le_bytes(), 8_u32.to_le_bytes()].concat();
        assert!(Reader::new(&many).elements::<8>().is_err());
        assert_eq!(Reader::new(&[0; 8]).elements::<8>(), Ok(Vec::new()));
        assert_eq!(Reader::new(&[0; 3]).u32(), Err(DecodeError::Truncated { octets: 3 }));
    }
}
