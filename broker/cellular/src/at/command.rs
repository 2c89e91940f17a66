//! Command lines, one constructor per function, with the command in its first line of documentation.
//!
//! Everything that a user can supply is checked here: a value that could end the command line, open another command or
//! close a string never reaches a port. Time limits are data in [`limit`].

mod call;
mod gnss;
mod identity;
pub mod limit;
mod message;
mod network;
mod packet;
mod status;

pub use call::*;
pub use gnss::*;
pub use identity::*;
pub use message::*;
pub use network::*;
pub use packet::*;
pub use status::*;

use std::time::Duration;

/// A command line and what its sender knows about the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The command line without the CR that ends it. The session transmits no control character of it.
    pub line: String,
    /// Which lines belong to the reply.
    pub expects: Expects,
    /// Sent after the prompt; the session adds the Ctrl-Z that ends it (27.005 3.5.1).
    pub payload: Option<Vec<u8>>,
    /// How long the modem may take for the final result code, or for the prompt if there is a payload.
    pub timeout: Duration,
    /// How long it may take after the payload went out. `None`: as long as `timeout`.
    pub payload_timeout: Option<Duration>,
    /// True if the modem stops the command when it receives a character (V.250 5.6.1).
    pub abortable: bool,
}

impl Command {
    /// A command as somebody typed it, for a diagnostic console: every line but a well-known unsolicited one counts as reply.
    ///
    /// # Errors
    /// [`InvalidArgument`] unless it is one line of printable ASCII that begins with `AT` and is at most 512 characters long.
    pub fn raw(line: &str, timeout: Duration) -> Result<Self, InvalidArgument> {
        let line = line.trim();
        let begins = line.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("AT"));
        if !begins {
            return Err(InvalidArgument::new("command line", "does not begin with AT"));
        }
        if line.len() > MAX_COMMAND_LINE {
            return Err(InvalidArgument::new("command line", "too long"));
        }
        if !line.bytes().all(|b| (0x20..0x7F).contains(&b)) {
            return Err(InvalidArgument::new("command line", "not printable ASCII"));
        }
        Ok(Self::new(line, Expects::Any, timeout))
    }

    /// A command without payload that cannot be aborted.
    fn new(line: impl Into<String>, expects: Expects, timeout: Duration) -> Self {
        Self {
            line: line.into(),
            expects,
            payload: None,
            timeout,
            payload_timeout: None,
            abortable: false,
        }
    }

    /// A command that answers with a final result code only.
    fn action(line: impl Into<String>, timeout: Duration) -> Self {
        Self::new(line, Expects::Nothing, timeout)
    }

    /// A command that answers with information text under `prefixes`.
    fn query(line: impl Into<String>, prefixes: &'static [&'static str], timeout: Duration) -> Self {
        Self::new(line, Expects::Prefixed(prefixes), timeout)
    }
}

/// A bound of ours, well above every line built here: a modem cuts a line that its buffer cannot hold, and says nothing.
const MAX_COMMAND_LINE: usize = 512;

/// Which lines belong to the reply of a command. Everything else is unsolicited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expects {
    /// Only the final result code.
    Nothing,
    /// Lines that begin with one of these, without the colon: `+CREG`.
    Prefixed(&'static [&'static str]),
    /// As above, and each of these lines is followed by one line with a body: `+CMGL`, `+CMGR` (27.005 3.4.2, 3.4.3).
    PrefixedWithBody(&'static [&'static str]),
    /// Lines without a prefix: the serial number that answers `AT+CGSN`.
    Bare,
    /// Lines without a prefix or with one of these: firmware versions differ in how they answer `AT+CGMR`.
    BareOrPrefixed(&'static [&'static str]),
    /// Every line that is not a well-known unsolicited one.
    Any,
}

/// An argument that cannot be put into a command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{argument}: {reason}")]
pub struct InvalidArgument {
    /// Which argument.
    pub argument: &'static str,
    /// What is wrong with it. The value itself stays out of errors, because it may be a number or a PIN.
    pub reason: &'static str,
}

impl InvalidArgument {
    fn new(argument: &'static str, reason: &'static str) -> Self {
        Self { argument, reason }
    }
}

/// Checks the length and the alphabet of an argument.
fn checked<'a>(
    argument: &'static str,
    value: &'a str,
    max_bytes: usize,
    allowed: impl Fn(u8) -> bool,
) -> Result<&'a str, InvalidArgument> {
    if value.is_empty() {
        Err(InvalidArgument::new(argument, "empty"))
    } else if value.len() > max_bytes {
        Err(InvalidArgument::new(argument, "too long"))
    } else if !value.bytes().all(allowed) {
        Err(InvalidArgument::new(argument, "holds a character that is not allowed"))
    } else {
        Ok(value)
    }
}

/// Checks a number against a range.
fn in_range(argument: &'static str, value: u32, range: std::ops::RangeInclusive<u32>) -> Result<u32, InvalidArgument> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(InvalidArgument::new(argument, "out of range"))
    }
}

#[cfg(test)]
mod tests;
