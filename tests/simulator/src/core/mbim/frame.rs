//! MBIM messages, read and written in this simulator's own way (MBIM 1.0, clauses 9 and 10.3).

use std::collections::BTreeMap;

/// Octets that wait for the rest of their message; a host's transfers are far shorter.
const BUFFER_LIMIT: usize = 66_000;

/// A header, and that of a fragment.
const HEADER: usize = 12;
const FRAGMENT_HEADER: usize = 20;

/// Messages of the host.
pub(super) const OPEN: u32 = 1;
pub(super) const CLOSE: u32 = 2;
pub(super) const COMMAND: u32 = 3;

/// Messages of the function.
pub(super) const OPEN_DONE: u32 = 0x8000_0001;
pub(super) const CLOSE_DONE: u32 = 0x8000_0002;
const COMMAND_DONE: u32 = 0x8000_0003;
pub(super) const FUNCTION_ERROR: u32 = 0x8000_0004;
const INDICATE: u32 = 0x8000_0007;

/// `MBIM_PROTOCOL_ERROR_CODES`
const FRAGMENT_OUT_OF_SEQUENCE: u32 = 2;
const LENGTH_MISMATCH: u32 = 3;

/// What the host said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Open {
        transaction: u32,
        max_transfer: u32,
    },
    Close {
        transaction: u32,
    },
    Command(Command),
    /// Something that cannot be read, with the protocol error for it.
    Wrong {
        transaction: u32,
        error: u32,
    },
}

/// A command, put together from its fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(super) transaction: u32,
    pub(super) service: [u8; 16],
    pub(super) cid: u32,
    pub(super) is_set: bool,
    pub(super) information: Vec<u8>,
}

fn number(octets: &[u8], at: usize) -> Option<u32> {
    octets
        .get(at..at + 4)
        .and_then(|word| word.try_into().ok())
        .map(u32::from_le_bytes)
}

impl Command {
    /// The number at a place of the information buffer; 0 if it is shorter.
    pub(super) fn number(&self, at: usize) -> u32 {
        number(&self.information, at).unwrap_or(0)
    }

    /// The text to which the field at this place leads.
    pub(super) fn text(&self, at: usize) -> String {
        let (begin, size) = (self.number(at) as usize, self.number(at + 4) as usize);
        let units = self
            .information
            .get(begin..begin.saturating_add(size))
            .unwrap_or_default();
        let units: Vec<u16> = units
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
            .collect();
        String::from_utf16_lossy(&units)
    }
}

/// What comes in: octets until a message is whole, fragments until a command is.
#[derive(Debug, Clone, Default)]
pub(super) struct Incoming {
    octets: Vec<u8>,
    /// By transaction: the next fragment and what there is so far.
    parts: BTreeMap<u32, (u32, Vec<u8>)>,
}

impl Incoming {
    pub(super) fn push(&mut self, octets: &[u8]) {
        let room = BUFFER_LIMIT.saturating_sub(self.octets.len());
        self.octets.extend(octets.iter().take(room));
    }

    /// What the host said next. Who writes nonsense is not understood until the port is opened anew.
    pub(super) fn next(&mut self) -> Option<Said> {
        loop {
            let length = number(&self.octets, 4)? as usize;
            if !(HEADER..=BUFFER_LIMIT).contains(&length) {
                self.octets.clear();
                return None;
            }
            if self.octets.len() < length {
                return None;
            }
            let message: Vec<u8> = self.octets.drain(..length).collect();
            if let Some(said) = self.read(&message) {
                return Some(said);
            }
        }
    }

    fn read(&mut self, message: &[u8]) -> Option<Said> {
        let transaction = number(message, 8)?;
        match number(message, 0)? {
            OPEN => Some(Said::Open {
                transaction,
                max_transfer: number(message, HEADER)?,
            }),
            CLOSE => Some(Said::Close { transaction }),
            COMMAND => self.fragment(transaction, message),
            _ => None,
        }
    }

    fn fragment(&mut self, transaction: u32, message: &[u8]) -> Option<Said> {
        let wrong = |error| Some(Said::Wrong { transaction, error });
        let (Some(total), Some(current)) = (number(message, 12), number(message, 16)) else {
            return wrong(LENGTH_MISMATCH);
        };
        let (next, mut whole) = match current {
            0 => (0, Vec::new()),
            _ => self.parts.remove(&transaction).unwrap_or_default(),
        };
        if current != next || current >= total {
            return wrong(FRAGMENT_OUT_OF_SEQUENCE);
        }
        whole.extend_from_slice(&message[FRAGMENT_HEADER..]);
        if current + 1 < total {
            self.parts.insert(transaction, (next + 1, whole));
            return None;
        }
        let command = || {
            let length = number(&whole, 24)? as usize;
            Some(Said::Command(Command {
                transaction,
                service: whole.get(..16)?.try_into().ok()?,
                cid: number(&whole, 16)?,
                is_set: number(&whole, 20)? != 0,
                information: whole.get(28..28 + length)?.to_vec(),
            }))
        };
        command().or_else(|| wrong(LENGTH_MISMATCH))
    }
}

/// A message without fragments: its one number is a status or an error.
pub(super) fn plain(kind: u32, transaction: u32, value: u32) -> Vec<u8> {
    [kind, 16, transaction, value]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect()
}

/// An answer to a command.
pub(super) fn answer(command: &Command, status: u32, information: &[u8], max_transfer: usize) -> Vec<u8> {
    let head = [command.cid, status, information.len() as u32];
    fragments(
        COMMAND_DONE,
        command.transaction,
        command.service,
        &head,
        information,
        max_transfer,
    )
}

/// What the function tells by itself.
pub(super) fn indication(service: [u8; 16], cid: u32, information: &[u8], max_transfer: usize) -> Vec<u8> {
    fragments(
        INDICATE,
        0,
        service,
        &[cid, information.len() as u32],
        information,
        max_transfer,
    )
}

fn fragments(
    kind: u32,
    transaction: u32,
    service: [u8; 16],
    head: &[u32],
    information: &[u8],
    max_transfer: usize,
) -> Vec<u8> {
    let mut body = service.to_vec();
    body.extend(head.iter().flat_map(|word| word.to_le_bytes()));
    body.extend_from_slice(information);
    let parts: Vec<&[u8]> = body.chunks(max_transfer - FRAGMENT_HEADER).collect();
    let mut octets = Vec::new();
    for (current, part) in (0_u32..).zip(&parts) {
        let length = (FRAGMENT_HEADER + part.len()) as u32;
        for word in [kind, length, transaction, parts.len() as u32, current] {
            octets.extend(word.to_le_bytes());
        }
        octets.extend_from_slice(part);
    }
    octets
}

/// A field of an information buffer.
#[derive(Debug, Clone)]
pub(super) enum Field {
    Number(u32),
    Wide(u64),
    Uuid([u8; 16]),
    /// Offset and size of UTF-16.
    Text(String),
    /// Offset and size of octets.
    Part(Vec<u8>),
    /// Number and offset of elements.
    List(u32, Vec<u8>),
    /// Offset only.
    Place(Vec<u8>),
}

/// The buffer: the fields in order, then what they lead to.
pub(super) fn lay_out(fields: &[Field]) -> Vec<u8> {
    let size = |field: &Field| match field {
        Field::Number(_) | Field::Place(_) => 4,
        Field::Wide(_) | Field::Text(_) | Field::Part(_) | Field::List(..) => 8,
        Field::Uuid(_) => 16,
    };
    let mut next = fields.iter().map(size).sum::<usize>();
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    // Where the octets come to lie; nothing lies at 0.
    let mut place = |octets: &[u8]| {
        let begin = if octets.is_empty() { 0 } else { next };
        tail.extend_from_slice(octets);
        let padding = octets.len().next_multiple_of(4) - octets.len();
        tail.extend(std::iter::repeat_n(0, padding));
        next += octets.len() + padding;
        begin as u32
    };
    for field in fields {
        let words = match field {
            Field::Number(value) => vec![*value],
            Field::Place(octets) => vec![place(octets)],
            Field::List(count, octets) => vec![*count, place(octets)],
            Field::Part(octets) => vec![place(octets), octets.len() as u32],
            Field::Text(text) => {
                let octets: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                vec![place(&octets), octets.len() as u32]
            }
            Field::Wide(value) => {
                head.extend(value.to_le_bytes());
                continue;
            }
            Field::Uuid(uuid) => {
                head.extend_from_slice(uuid);
                continue;
            }
        };
        head.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
    head.append(&mut tail);
    head
}
