//! What may be shown of the bytes on a port: the dialogue, without what is personal in it.
//!
//! Phone numbers, PINs, texts, PDUs and positions are masked in place, so that lengths and syntax stay visible; identities
//! of SIM and device are shortened to the part that names issuer and model. What is not known to be harmless is masked:
//! a command or a line that this module does not know shows its name at most.
//!
//! Masking works on whole lines, because half a line cannot be judged. A line that has begun before the first byte that is
//! known, or that never ends, is masked as a whole.

mod dialogue;
mod frames;

use dialogue::{BODIED, command_line, information, is_known, is_word, prefix, values_masked};
use frames::{masked_frame, masked_mbim};

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the modem.
    FromModem,
    /// To the modem.
    ToModem,
}

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// AT commands and replies.
    At,
    /// NMEA sentences.
    Nmea,
    /// Frames of a binary protocol, one in each piece that is pushed.
    Frames,
    /// MBIM messages.
    Mbim,
}

/// Bytes that may be shown, of the same length as those that were pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<M> {
    /// Which way they went.
    pub direction: Direction,
    /// What was given with their first byte.
    pub mark: M,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Lines longer than this are masked as they come.
const LINE_MAX: usize = 4096;

/// What an identity of 14 digits or more shows: MCC and MNC of an IMSI, the issuer of an ICCID, the maker of an IMEI.
const IDENTITY_SHOWN: usize = 6;

const IDENTITY_DIGITS: usize = 14;

const MASK: u8 = b'x';

/// Redacts the bytes of one port, in order. `M` is whatever the caller wants back with each piece, such as a time.
#[derive(Debug)]
pub struct Redactor<M> {
    dialect: Dialect,
    from: Pending<M>,
    to: Pending<M>,
    /// A message in text mode follows its header until a final result code.
    in_body: bool,
}

#[derive(Debug)]
struct Pending<M> {
    bytes: Vec<u8>,
    mark: Option<M>,
    /// The beginning of the line was seen.
    whole: bool,
}

impl<M: Clone> Redactor<M> {
    /// `from_the_beginning` unless bytes of the port are missing before the first ones that will be pushed.
    pub fn new(dialect: Dialect, from_the_beginning: bool) -> Self {
        let pending = || Pending {
            bytes: Vec::new(),
            mark: None,
            whole: from_the_beginning,
        };
        Self {
            dialect,
            from: pending(),
            to: pending(),
            in_body: !from_the_beginning,
        }
    }

    /// Takes bytes and answers what can be shown by now.
    pub fn push(&mut self, direction: Direction, mark: &M, bytes: &[u8]) -> Vec<Piece<M>> {
        let frames = match self.dialect {
            Dialect::Frames => Some(masked_frame(bytes)),
            Dialect::Mbim => Some(masked_mbim(bytes)),
            Dialect::At | Dialect::Nmea => None,
        };
        if let Some(bytes) = frames {
            return vec![Piece {
                direction,
                mark: mark.clone(),
                bytes,
            }];
        }
        let mut pieces = Vec::new();
        for &byte in bytes {
            let pending = self.pending(direction);
            pending.mark.get_or_insert_with(|| mark.clone());
            pending.bytes.push(byte);
            if pending.is_complete(direction) || pending.bytes.len() >= LINE_MAX {
                pieces.extend(self.take(direction));
            }
        }
        pieces
    }

    /// What is left at the end: lines that have not ended, masked.
    pub fn finish(mut self) -> Vec<Piece<M>> {
        let mut pieces = Vec::new();
        for direction in [Direction::FromModem, Direction::ToModem] {
            self.pending(direction).whole = false;
            pieces.extend(self.take(direction));
        }
        pieces
    }

    fn pending(&mut self, direction: Direction) -> &mut Pending<M> {
        match direction {
            Direction::FromModem => &mut self.from,
            Direction::ToModem => &mut self.to,
        }
    }

    fn take(&mut self, direction: Direction) -> Option<Piece<M>> {
        let pending = self.pending(direction);
        let mark = pending.mark.take()?;
        let bytes = std::mem::take(&mut pending.bytes);
        let complete = bytes.last().is_some_and(|byte| is_end(*byte)) || is_prompt(&bytes);
        // A line that is cut here goes on in the next piece, where its beginning is not seen any more.
        let whole = std::mem::replace(&mut pending.whole, complete) && complete;
        let mut shown = Vec::with_capacity(bytes.len());
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let content = rest.iter().position(|byte| is_end(*byte)).unwrap_or(rest.len());
            let (line, after) = rest.split_at(content);
            let ends = after.iter().take_while(|byte| is_end(**byte)).count();
            if !line.is_empty() {
                let first = shown.iter().all(|byte| is_end(*byte));
                shown.extend(self.line(direction, line, whole || !first && complete));
            }
            shown.extend_from_slice(&after[..ends]);
            rest = &after[ends..];
        }
        Some(Piece {
            direction,
            mark,
            bytes: shown,
        })
    }

    fn line(&mut self, direction: Direction, line: &[u8], whole: bool) -> Vec<u8> {
        let Some(text) = std::str::from_utf8(line).ok().filter(|text| whole && text.is_ascii()) else {
            return masked(line);
        };
        match (self.dialect, direction) {
            (Dialect::Nmea, _) => sentence(text),
            (_, Direction::ToModem) => command_line(text),
            (_, Direction::FromModem) => self.reply(text),
        }
    }

    fn reply(&mut self, text: &str) -> Vec<u8> {
        let trimmed = text.trim();
        if is_word(trimmed) {
            self.in_body = false;
            return text.as_bytes().to_vec();
        }
        let prefix = prefix(trimmed);
        if self.in_body && !prefix.is_some_and(is_known) {
            return masked(text.as_bytes());
        }
        match prefix {
            Some(prefix) => {
                self.in_body = BODIED.contains(&prefix);
                information(prefix, text)
            }
            None if trimmed.starts_with("$G") => sentence(text),
            None if trimmed.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("AT")) => command_line(text),
            None if trimmed.starts_with("SIMCOM") || trimmed.starts_with("SIM7") => text.as_bytes().to_vec(),
            None if trimmed.len() >= IDENTITY_DIGITS && trimmed.bytes().all(|byte| byte.is_ascii_digit()) => {
                values_masked(text)
            }
            None => masked(text.as_bytes()),
        }
    }
}

impl<M> Pending<M> {
    fn is_complete(&self, direction: Direction) -> bool {
        let Some(last) = self.bytes.last() else { return false };
        let content = self.bytes.iter().any(|byte| !is_end(*byte));
        match direction {
            // A reply ends with CR LF; what ends with CR alone is shown with the line after it.
            Direction::FromModem => (*last == b'\n' && content) || is_prompt(&self.bytes),
            Direction::ToModem => is_end(*last),
        }
    }
}

/// CR, LF, and what ends or cancels a text after a prompt (27.005 3.5.1).
fn is_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0x1A | 0x1B)
}

/// The prompt has no line end.
fn is_prompt(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\n> ")
}

/// A sentence of the receiver without the position.
fn sentence(text: &str) -> Vec<u8> {
    let name = text.trim_start().get(3..6).unwrap_or_default();
    let position = match name {
        "RMC" => 3..=6,
        "GGA" | "GNS" => 2..=5,
        "GLL" => 1..=4,
        "GSA" | "GSV" | "VTG" | "ZDA" | "GST" => return text.as_bytes().to_vec(),
        _ => return masked(text.as_bytes()),
    };
    let mut shown = Vec::with_capacity(text.len());
    for (number, field) in text.split(',').enumerate() {
        if number > 0 {
            shown.push(b',');
        }
        if position.contains(&number) {
            shown.extend(masked(field.as_bytes()));
        } else {
            shown.extend_from_slice(field.as_bytes());
        }
    }
    shown
}

/// Everything that could be read as a word or a number.
fn masked(bytes: &[u8]) -> Vec<u8> {
    let hide = |byte: &u8| {
        if byte.is_ascii_alphanumeric() || !byte.is_ascii() {
            MASK
        } else {
            *byte
        }
    };
    bytes.iter().map(hide).collect()
}

#[cfg(test)]
mod tests;
