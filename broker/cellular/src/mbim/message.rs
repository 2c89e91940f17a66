//! Messages on the control channel (9.3, 9.4), cut into fragments where they are longer than a transfer may be (9.5).

use std::time::{Duration, Instant};

use super::{DecodeError, Kind, ProtocolError, Status, Uuid};

/// Type, length, transaction.
const HEADER: usize = 12;

/// The header, how many fragments there are, and which one this is.
const FRAGMENT_HEADER: usize = HEADER + 8;

/// The least that a function may set as its largest transfer (6.4, `wMaxControlMessage`).
pub const TRANSFER_MIN: usize = 64;

/// The largest transfer that is believed. Functions set 4 KiB or less; a length beyond this is noise.
pub const TRANSFER_MAX: usize = 16 * 1024;

/// The longest message that is put together. A list of a hundred networks has a tenth of it.
const MESSAGE_MAX: usize = 64 * 1024;

/// Messages that are put together at the same time. A function ends one before it begins the next, but for indications.
const ASSEMBLIES_MAX: usize = 4;

/// How long the next fragment may take (9.5, 1250 ms).
const FRAGMENT_LIMIT: Duration = Duration::from_millis(1250);

const OPEN: u32 = 1;
const CLOSE: u32 = 2;
const COMMAND: u32 = 3;
const HOST_ERROR: u32 = 4;
const OPEN_DONE: u32 = 0x8000_0001;
const CLOSE_DONE: u32 = 0x8000_0002;
const COMMAND_DONE: u32 = 0x8000_0003;
const FUNCTION_ERROR: u32 = 0x8000_0004;
const INDICATE_STATUS: u32 = 0x8000_0007;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The host begins.
    Open {
        /// The largest transfer that it takes.
        max_transfer: u32,
    },
    /// The host ends.
    Close,
    /// The host wants something of a service.
    Command {
        /// The service.
        service: Uuid,
        /// Which of its commands.
        command: u32,
        /// What to do.
        kind: Kind,
        /// Its contents.
        information: Vec<u8>,
    },
    /// The host could not read a message.
    HostError(ProtocolError),
    /// The function has begun.
    OpenDone(Status),
    /// The function has ended.
    CloseDone(Status),
    /// The function's answer to a command.
    CommandDone {
        /// The service.
        service: Uuid,
        /// Which of its commands.
        command: u32,
        /// Whether it was done.
        status: Status,
        /// Its contents.
        information: Vec<u8>,
    },
    /// The function could not read a message.
    FunctionError(ProtocolError),
    /// The function tells something by itself.
    Indication {
        /// The service.
        service: Uuid,
        /// Of which command.
        command: u32,
        /// Its contents.
        information: Vec<u8>,
    },
}

impl Body {
    const fn number(&self) -> u32 {
        match self {
            Self::Open { .. } => OPEN,
            Self::Close => CLOSE,
            Self::Command { .. } => COMMAND,
            Self::HostError(_) => HOST_ERROR,
            Self::OpenDone(_) => OPEN_DONE,
            Self::CloseDone(_) => CLOSE_DONE,
            Self::CommandDone { .. } => COMMAND_DONE,
            Self::FunctionError(_) => FUNCTION_ERROR,
            Self::Indication { .. } => INDICATE_STATUS,
        }
    }
}

const fn is_fragmented(number: u32) -> bool {
    matches!(number, COMMAND | COMMAND_DONE | INDICATE_STATUS)
}

const fn is_known(number: u32) -> bool {
    matches!(
        number,
        OPEN | CLOSE | HOST_ERROR | OPEN_DONE | CLOSE_DONE | FUNCTION_ERROR
    ) || is_fragmented(number)
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Connects an answer with its request; 0 in an indication.
    pub transaction: u32,
    /// What it says.
    pub body: Body,
}

impl Message {
    /// The frames, none longer than `max_transfer`: one, unless the message has to be cut.
    #[must_use]
    pub fn encode(&self, max_transfer: usize) -> Vec<Vec<u8>> {
        let number = self.body.number();
        let payload = self.payload();
        let frame = |fragment: &[u8], payload: &[u8]| {
            let length = HEADER + fragment.len() + payload.len();
            let mut frame = number.to_le_bytes().to_vec();
            frame.extend((length as u32).to_le_bytes());
            frame.extend(self.transaction.to_le_bytes());
            frame.extend_from_slice(fragment);
            frame.extend_from_slice(payload);
            frame
        };
        if !is_fragmented(number) {
            return vec![frame(&[], &payload)];
        }
        let room = max_transfer.clamp(TRANSFER_MIN, TRANSFER_MAX) - FRAGMENT_HEADER;
        let total = payload.len().div_ceil(room) as u32;
        let fragment = |current: u32| [total.to_le_bytes(), current.to_le_bytes()].concat();
        (0..)
            .zip(payload.chunks(room))
            .map(|(current, part)| frame(&fragment(current), part))
            .collect()
    }

    /// What follows the header, or the header of the fragment.
    fn payload(&self) -> Vec<u8> {
        let command = |service: &Uuid, command: u32, what: Option<u32>, information: &[u8]| {
            let mut payload = service.0.to_vec();
            payload.extend(command.to_le_bytes());
            payload.extend(what.iter().flat_map(|what| what.to_le_bytes()));
            payload.extend((information.len() as u32).to_le_bytes());
            payload.extend_from_slice(information);
            payload
        };
        match &self.body {
            Body::Close => Vec::new(),
            Body::Open { max_transfer: number }
            | Body::HostError(ProtocolError(number))
            | Body::FunctionError(ProtocolError(number))
            | Body::OpenDone(Status(number))
            | Body::CloseDone(Status(number)) => number.to_le_bytes().to_vec(),
            Body::Command {
                service,
                command: id,
                kind,
                information,
            } => command(service, *id, Some(u32::from(*kind == Kind::Set)), information),
            Body::CommandDone {
                service,
                command: id,
                status,
                information,
            } => command(service, *id, Some(status.0), information),
            Body::Indication {
                service,
                command: id,
                information,
            } => command(service, *id, None, information),
        }
    }

    fn decode(number: u32, transaction: u32, payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = super::information::Reader::new(payload);
        let body = match number {
            OPEN => Body::Open {
                max_transfer: reader.u32()?,
            },
            CLOSE => Body::Close,
            HOST_ERROR => Body::HostError(ProtocolError(reader.u32()?)),
            OPEN_DONE => Body::OpenDone(Status(reader.u32()?)),
            CLOSE_DONE => Body::CloseDone(Status(reader.u32()?)),
            FUNCTION_ERROR => Body::FunctionError(ProtocolError(reader.u32()?)),
            _ => {
                let (service, command) = (reader.uuid()?, reader.u32()?);
                let what = match number {
                    INDICATE_STATUS => 0,
                    _ => reader.u32()?,
                };
                let length = reader.u32()? as usize;
                let begin = payload.len().min(if number == INDICATE_STATUS { 24 } else { 28 });
                let information = payload[begin..].get(..length).map(<[u8]>::to_vec);
                let information = information.ok_or(DecodeError::Beyond {
                    offset: begin as u32,
                    length: length as u32,
                })?;
                match number {
                    COMMAND => Body::Command {
                        service,
                        command,
                        kind: if what == 0 { Kind::Query } else { Kind::Set },
                        information,
                    },
                    COMMAND_DONE => Body::CommandDone {
                        service,
                        command,
                        status: Status(what),
                        information,
                    },
                    _ => Body::Indication {
                        service,
                        command,
                        information,
                    },
                }
            }
        };
        Ok(Self { transaction, body })
    }
}

/// What a frame's header tells.
#[derive(Clone, Copy)]
struct Header {
    number: u32,
    length: usize,
    transaction: u32,
}

impl Header {
    fn read(octets: &[u8]) -> Option<Self> {
        let (fields, _) = octets.first_chunk::<HEADER>()?.as_chunks();
        let [number, length, transaction] = [0, 1, 2].map(|at: usize| u32::from_le_bytes(fields[at]));
        Some(Self {
            number,
            length: length as usize,
            transaction,
        })
    }

    /// Whether a frame can begin like this.
    const fn is_plausible(self) -> bool {
        let least = if is_fragmented(self.number) {
            FRAGMENT_HEADER
        } else {
            HEADER
        };
        is_known(self.number) && self.length >= least && self.length <= TRANSFER_MAX
    }
}

/// Cuts frames out of what a port delivers: one frame at a time from `cdc-wdm`, any chunks from a terminal or a socket.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    discarded: usize,
}

impl Framer {
    /// Takes octets.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// The next whole frame. What cannot be the beginning of one is skipped.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        let noise = (0..self.buffer.len())
            .find(|at| Header::read(&self.buffer[*at..]).is_none_or(Header::is_plausible))
            .unwrap_or(self.buffer.len());
        self.discard(noise);
        let length = Header::read(&self.buffer)?.length;
        (self.buffer.len() >= length).then(|| self.buffer.drain(..length).collect())
    }

    fn discard(&mut self, octets: usize) {
        self.buffer.drain(..octets);
        self.discarded += octets;
    }

    /// Forgets the beginning of a frame whose rest did not come.
    pub fn clear(&mut self) {
        self.discard(self.buffer.len());
    }

    /// How many octets were skipped since this was asked last.
    pub fn take_discarded(&mut self) -> usize {
        std::mem::take(&mut self.discarded)
    }
}

/// What is wrong with a frame; the sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Irregular {
    /// Of which transaction.
    pub transaction: u32,
    /// What is wrong.
    pub error: ProtocolError,
}

#[derive(Clone, Debug)]
struct Assembly {
    number: u32,
    transaction: u32,
    total: u32,
    next: u32,
    payload: Vec<u8>,
    deadline: Instant,
}

/// Puts messages together from frames.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    assemblies: Vec<Assembly>,
}

impl Assembler {
    /// Takes a frame; the message, if that was the last of its fragments.
    pub fn push(&mut self, now: Instant, frame: &[u8]) -> Result<Option<Message>, Irregular> {
        let Some(header) = Header::read(frame).filter(|header| header.is_plausible()) else {
            return Ok(None);
        };
        let Header {
            number, transaction, ..
        } = header;
        let irregular = |error| Irregular { transaction, error };
        let message = |payload: &[u8]| {
            let message = Message::decode(number, transaction, payload);
            message.map(Some).map_err(|_| irregular(ProtocolError::LENGTH_MISMATCH))
        };
        if header.length != frame.len() {
            return Err(irregular(ProtocolError::LENGTH_MISMATCH));
        }
        if !is_fragmented(number) {
            return message(&frame[HEADER..]);
        }
        let mut reader = super::information::Reader::new(&frame[HEADER..]);
        let (Ok(total), Ok(current)) = (reader.u32(), reader.u32()) else {
            return Err(irregular(ProtocolError::LENGTH_MISMATCH));
        };
        let payload = &frame[FRAGMENT_HEADER..];
        let known = self
            .assemblies
            .iter()
            .position(|assembly| (assembly.number, assembly.transaction) == (number, transaction));
        let begun = known.map(|place| self.assemblies.swap_remove(place));
        let mut assembly = match (begun, current) {
            // The first one begins anew, whatever there was.
            (_, 0) => Assembly {
                number,
                transaction,
                total,
                next: 0,
                payload: Vec::new(),
                deadline: now,
            },
            (Some(begun), current) if (begun.total, begun.next) == (total, current) => begun,
            _ => return Err(irregular(ProtocolError::FRAGMENT_OUT_OF_SEQUENCE)),
        };
        if assembly.payload.len() + payload.len() > MESSAGE_MAX {
            return Err(irregular(ProtocolError::LENGTH_MISMATCH));
        }
        assembly.payload.extend_from_slice(payload);
        assembly.next += 1;
        if assembly.next >= assembly.total {
            return message(&assembly.payload);
        }
        assembly.deadline = now + FRAGMENT_LIMIT;
        if self.assemblies.len() >= ASSEMBLIES_MAX {
            self.assemblies.remove(0);
        }
        self.assemblies.push(assembly);
        Ok(None)
    }

    /// When the next fragment has to be there.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.assemblies.iter().map(|assembly| assembly.deadline).min()
    }

    /// Forgets messages whose next fragment did not come in time.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Irregular> {
        let over = self.assemblies.extract_if(.., |assembly| assembly.deadline <= now);
        let irregular = |assembly: Assembly| Irregular {
            transaction: assembly.transaction,
            error: ProtocolError::TIMEOUT_FRAGMENT,
        };
        over.map(irregular).collect()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.assemblies.clear();
    }
}

#[cfg(test)]
mod tests;
