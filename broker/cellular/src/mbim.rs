//! MBIM, the protocol of modems with the driver `cdc_mbim` on `/dev/cdc-wdm*` (USB-IF, *Universal Serial Bus Communications
//! Class Subclass Specification for Mobile Broadband Interface Model*, revision 1.0; clauses here are its).
//!
//! - [`Client`] is the dialogue on one port: opening and closing, transactions, deadlines, indications.
//! - [`basic_connect`] builds the commands of the service that every function has, and reads its answers.
//! - [`message`] is the framing with its fragments, [`information`] what commands and answers are made of.

pub mod basic_connect;
mod client;
pub mod information;
pub mod message;
mod status;

use std::time::Duration;

pub use client::{Client, Failure, Indication, Output};
pub use status::{ProtocolError, Status};

/// A service of the function, or the type of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(
    /// In network order.
    pub [u8; 16],
);

impl Uuid {
    /// Basic IP connectivity (10.1).
    pub const BASIC_CONNECT: Self = Self(0xa289_cc33_bcbb_8b4f_b6b0_133e_c2aa_e6df_u128.to_be_bytes());
    /// The context type *internet* (10.5.12).
    pub const INTERNET: Self = Self(0x7e5e_2a7e_4e6f_7272_736b_656e_7e5e_2a7e_u128.to_be_bytes());
}

/// How long a modem may take to answer what needs no network.
pub const ORDINARY_LIMIT: Duration = Duration::from_secs(5);

/// Opening may make the module start its packet side.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// What a function is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It tells.
    Query,
    /// It changes something.
    Set,
}

/// What is asked of the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Begin. A function that is open already ends what there was and begins anew (9.3.1).
    Open,
    /// End: every session is over.
    Close,
    /// A command of a service.
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
}

/// A request to the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub work: Work,
    /// How long the answer may take.
    pub limit: Duration,
}

impl Request {
    /// Begins the dialogue.
    #[must_use]
    pub const fn open() -> Self {
        Self {
            work: Work::Open,
            limit: OPEN_LIMIT,
        }
    }

    /// Ends the dialogue, and with it every session.
    #[must_use]
    pub const fn close() -> Self {
        Self {
            work: Work::Close,
            limit: CLOSE_LIMIT,
        }
    }

    const fn command(service: Uuid, command: u32, kind: Kind, information: Vec<u8>) -> Self {
        Self {
            work: Work::Command {
                service,
                command,
                kind,
                information,
            },
            limit: ORDINARY_LIMIT,
        }
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Whether it was done.
    pub status: Status,
    /// Its contents. Some commands tell with a failure as well why it failed.
    pub information: Vec<u8>,
}

impl Response {
    /// Whether the modem did what was asked.
    pub const fn result(&self) -> Result<(), Refusal> {
        match self.status {
            Status::SUCCESS => Ok(()),
            status => Err(Refusal::Status(status)),
        }
    }
}

/// Why an answer is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The modem refused.
    #[error("the modem refused: {0}")]
    Status(Status),
    /// The answer cannot be read.
    #[error("the modem's answer cannot be read")]
    Unreadable(#[from] DecodeError),
}

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The type of the message is another, or its length is not that of the octets.
    #[error("no MBIM message")]
    NoMessage,
    /// A fixed field is missing.
    #[error("{octets} octets are too few")]
    Truncated {
        /// What is there.
        octets: usize,
    },
    /// What a field leads to is not within the buffer.
    #[error("{length} octets at {offset} are beyond the end")]
    Beyond {
        /// Where it should be.
        offset: u32,
        /// How long it should be.
        length: u32,
    },
}
