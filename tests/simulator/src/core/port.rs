//! One AT port: its input line, its echo, and the command that runs on it.

use std::collections::VecDeque;
use std::time::Instant;

use super::faults::{FaultAction, Phase};
use super::line::Command;
use super::reply::Entry;
use super::result_code::Code;
use super::usb::Function;

/// Bytes of input that wait behind a running command; more are lost, as in the module's own buffer.
pub(crate) const HELD_LIMIT: usize = 8_192;

/// The longest command line.
pub(crate) const LINE_LIMIT: usize = 1_024;

/// The longest payload after a prompt.
pub(crate) const PAYLOAD_LIMIT: usize = 2_048;

/// The two ports that take AT commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortId {
    At,
    Modem,
}

impl PortId {
    pub(crate) const ALL: [Self; 2] = [Self::At, Self::Modem];

    pub(crate) fn function(self) -> Function {
        match self {
            Self::At => Function::At,
            Self::Modem => Function::Modem,
        }
    }

    pub(crate) fn of(function: Function) -> Option<Self> {
        match function {
            Function::At => Some(Self::At),
            Function::Modem => Some(Self::Modem),
            _ => None,
        }
    }
}

/// A command in progress.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    /// Faults of this command that have not shown yet.
    pub(crate) strikes: Vec<(Phase, FaultAction)>,
    /// Any input ends it (27.007 `+COPS=?`).
    pub(crate) abortable: bool,
}

impl Running {
    /// Takes a fault out of the list if it is there.
    pub(crate) fn take(&mut self, wanted: impl Fn(&FaultAction) -> bool) -> Option<FaultAction> {
        let position = self.strikes.iter().position(|(_, action)| wanted(action))?;
        Some(self.strikes.remove(position).1)
    }
}

/// The state of a port.
#[derive(Debug, Clone)]
pub(crate) struct AtPort {
    pub(crate) echo: bool,
    pub(crate) verbose: bool,
    pub(crate) quiet: bool,
    pub(crate) line: Vec<u8>,
    pub(crate) overlong: bool,
    pub(crate) last_line: String,
    pub(crate) chain: VecDeque<Command>,
    pub(crate) running: Option<Running>,
    pub(crate) entry: Option<(Entry, Vec<u8>)>,
    pub(crate) held: VecDeque<u8>,
    /// Grows with each reset, so that what was scheduled before it has no effect.
    pub(crate) epoch: u64,
    pub(crate) silent_until: Option<Instant>,
}

impl AtPort {
    pub(crate) fn new() -> Self {
        Self {
            echo: true,
            verbose: true,
            quiet: false,
            line: Vec::new(),
            overlong: false,
            last_line: String::new(),
            chain: VecDeque::new(),
            running: None,
            entry: None,
            held: VecDeque::new(),
            epoch: 0,
            silent_until: None,
        }
    }

    /// Forgets everything but the count of resets.
    pub(crate) fn reset(&mut self) {
        *self = Self {
            epoch: self.epoch + 1,
            ..Self::new()
        };
    }

    /// Information lines in the form that V.250 clause 5.7.1 gives them.
    pub(crate) fn information(&self, lines: &[String]) -> Vec<u8> {
        let before = if self.verbose { "\r\n" } else { "" };
        let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        if text.is_empty() {
            Vec::new()
        } else {
            format!("{before}{text}").into_bytes()
        }
    }

    /// A result code in the form that `ATV`, `ATQ` and `AT+CMEE` ask for.
    pub(crate) fn result(&self, code: Code, verbosity: u32) -> Vec<u8> {
        if self.quiet {
            return Vec::new();
        }
        match code.digit().filter(|_| !self.verbose) {
            Some(digit) => format!("{digit}\r").into_bytes(),
            None => format!("\r\n{}\r\n", code.line(verbosity)).into_bytes(),
        }
    }
}
