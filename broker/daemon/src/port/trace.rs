//! What crossed the ports of a modem lately, kept in memory for a bug report.
//!
//! Ports hand over bytes as they come; nothing is redacted or cut into lines here, so that recording costs a copy and no
//! more. Whoever reads redacts (`cellular::trace`).

use bytes::Bytes;
use jiff::Timestamp;

use crate::resource::PortRole;
use crate::tail::{Reader, Tail};

pub use cellular::trace::Direction;

/// What a chunk costs besides its bytes.
const OVERHEAD: usize = 96;

/// Some bytes on a port.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// When.
    pub time: Timestamp,
    /// Where.
    pub port: PortRole,
    /// Which way.
    pub direction: Direction,
    /// What; empty where only the count is kept.
    pub bytes: Bytes,
    /// How many bytes crossed.
    pub count: u64,
}

/// The trace of one modem. Clones share it.
#[derive(Clone)]
pub struct Trace(Option<Tail<Chunk>>);

impl Trace {
    /// Keeps about so many bytes; none for zero.
    pub fn new(budget: usize) -> Trace {
        Trace((budget > 0).then(|| Tail::new(budget)))
    }

    /// Keeps bytes that crossed a port.
    pub fn record(&self, port: PortRole, direction: Direction, bytes: &[u8]) {
        if let Some(tail) = &self.0 {
            let chunk = Chunk {
                time: Timestamp::now(),
                port,
                direction,
                bytes: Bytes::copy_from_slice(bytes),
                count: bytes.len() as u64,
            };
            tail.push(chunk, bytes.len() + OVERHEAD);
        }
    }

    /// Keeps only how many bytes crossed: a call's audio is nobody's business and would push everything else out.
    pub fn count(&self, port: PortRole, direction: Direction, count: u64) {
        if let Some(tail) = &self.0 {
            let chunk = Chunk {
                time: Timestamp::now(),
                port,
                direction,
                bytes: Bytes::new(),
                count,
            };
            tail.push(chunk, OVERHEAD);
        }
    }

    /// Everything from the oldest chunk on; `None` if nothing is recorded.
    pub fn follow(&self) -> Option<Reader<Chunk>> {
        self.0.as_ref().map(Tail::from_oldest)
    }
}
