//! What a command leads to.

use std::time::Duration;

use super::result_code::Code;
use super::schedule::{Action, Effect};

/// The answer to one command: its lines, its result code, and what it sets in motion afterwards.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) lines: Vec<String>,
    pub(crate) code: Code,
    /// Happens once the result code is out.
    pub(crate) then: Vec<(Duration, Action)>,
}

impl Reply {
    pub(crate) fn ok() -> Self {
        Self::code(Code::Ok)
    }

    pub(crate) fn error() -> Self {
        Self::code(Code::Error)
    }

    pub(crate) fn cme(number: u16) -> Self {
        Self::code(Code::Cme(number))
    }

    pub(crate) fn cms(number: u16) -> Self {
        Self::code(Code::Cms(number))
    }

    pub(crate) fn code(code: Code) -> Self {
        Self {
            lines: Vec::new(),
            code,
            then: Vec::new(),
        }
    }

    pub(crate) fn line(line: impl Into<String>) -> Self {
        Self::lines(vec![line.into()])
    }

    pub(crate) fn lines(lines: Vec<String>) -> Self {
        Self {
            lines,
            code: Code::Ok,
            then: Vec::new(),
        }
    }

    pub(crate) fn then(mut self, after: Duration, action: Action) -> Self {
        self.then.push((after, action));
        self
    }
}

/// What a port collects after the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// `AT+CMGS`: the length of the TPDU, or the destination in text mode.
    Send(Target),
    /// `AT+CMGW` with the status to store.
    Write(Target, u8),
    /// `AT+CNMA` with a payload: the answer to the network.
    Acknowledge,
}

/// To what a payload after the prompt belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// PDU mode: octets of the TPDU.
    Length(usize),
    /// Text mode: the destination address.
    Destination(String),
}

/// What executing a command leads to.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Reply(Reply),
    /// The command takes time and has its effect at the end of it.
    After(Duration, Effect),
    Prompt(Entry),
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}
