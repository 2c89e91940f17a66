//! The command in flight: which lines are its reply, and how it ends.

use std::time::{Duration, Instant};

use super::super::command::{Command, Expects};
use super::super::line::{is_hex, split_prefix};
use super::super::result_code::ResultCode;
use super::super::urc;
use super::{CTRL_Z, CommandId, Config, ESCAPE, Failure, Phase, Response};

/// V.250 5.6.1: the modem ignores characters for 125 ms after the end of the command line, lest a LF aborts the command.
const ABORT_DELAY: Duration = Duration::from_millis(125);

#[derive(Debug)]
pub(super) enum Verdict {
    /// Echo, or part of the reply.
    Consumed,
    /// The final result code.
    Final(ResultCode),
    /// Not of this command.
    Unsolicited(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Abort {
    None,
    Requested,
    Sent,
}

#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) id: CommandId,
    pub(super) command: Command,
    pub(super) deadline: Instant,
    pub(super) payload_sent: bool,
    pub(super) reply_bytes: usize,
    started: Instant,
    awaits_prompt: bool,
    awaits_body: bool,
    abort: Abort,
    lines: Vec<String>,
}

impl Exchange {
    pub(super) fn new(now: Instant, id: CommandId, command: Command) -> Self {
        Self {
            id,
            deadline: now + command.timeout,
            payload_sent: false,
            reply_bytes: 0,
            started: now,
            awaits_prompt: command.payload.is_some(),
            awaits_body: false,
            abort: Abort::None,
            lines: Vec::new(),
            command,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        if self.abort == Abort::Sent {
            Phase::Aborting
        } else if self.awaits_prompt {
            Phase::AwaitingPrompt
        } else {
            Phase::AwaitingResult
        }
    }

    pub(super) fn awaits_prompt(&self) -> bool {
        self.awaits_prompt
    }

    pub(super) fn next_deadline(&self) -> Instant {
        match self.abort_due() {
            Some(due) => due.min(self.deadline),
            None => self.deadline,
        }
    }

    pub(super) fn request_abort(&mut self) {
        if self.abort == Abort::None && (self.awaits_prompt || self.command.abortable) {
            self.abort = Abort::Requested;
        }
    }

    fn abort_due(&self) -> Option<Instant> {
        // A command with a payload is cancelled at its prompt and by nothing else.
        (self.abort == Abort::Requested && self.command.payload.is_none()).then(|| self.started + ABORT_DELAY)
    }

    pub(super) fn abort_is_due(&self, now: Instant) -> bool {
        self.abort_due().is_some_and(|due| due <= now)
    }

    pub(super) fn abort_sent(&mut self, now: Instant, config: &Config) {
        self.abort = Abort::Sent;
        self.deadline = self.deadline.min(now + config.abort_timeout);
    }

    /// What to transmit now that the prompt is there.
    pub(super) fn answer_prompt(&mut self, now: Instant, config: &Config) -> Vec<u8> {
        self.awaits_prompt = false;
        if self.abort == Abort::Requested {
            self.abort = Abort::Sent;
            self.deadline = now + config.abort_timeout;
            return vec![ESCAPE];
        }
        self.payload_sent = true;
        self.deadline = now + self.command.payload_timeout.unwrap_or(self.command.timeout);
        // A Ctrl-Z or ESC inside would end or cancel the text early and turn the rest into a command line.
        let payload = self.command.payload.iter().flatten().copied();
        payload
            .filter(|byte| !matches!(*byte, CTRL_Z | ESCAPE))
            .chain([CTRL_Z])
            .collect()
    }

    pub(super) fn handle_line(&mut self, line: String) -> Verdict {
        if self.is_echo(&line) {
            return Verdict::Consumed;
        }
        if self.awaits_body && is_hex(&line) {
            self.awaits_body = false;
            return self.keep(line);
        }
        if let Some(result) = ResultCode::parse(&line)
            && (!result.is_call_progress() || may_establish_a_call(&self.command.line))
        {
            return Verdict::Final(result);
        }
        if claims(&self.command, &line) {
            self.awaits_body = matches!(self.command.expects, Expects::PrefixedWithBody(_));
            return self.keep(line);
        }
        // The body of a message in text mode is any text, in one line or in several.
        let in_listing = matches!(self.command.expects, Expects::PrefixedWithBody(_)) && !self.lines.is_empty();
        if in_listing && split_prefix(&line).is_none() && !urc::is_known(&line) {
            self.awaits_body = false;
            return self.keep(line);
        }
        Verdict::Unsolicited(line)
    }

    fn keep(&mut self, line: String) -> Verdict {
        self.reply_bytes += line.len();
        self.lines.push(line);
        Verdict::Consumed
    }

    /// True if a PDU of this length is what the last line of the reply announced, and it has not come yet.
    pub(super) fn awaits_pdu(&self, pdu: &str) -> bool {
        self.awaits_body && self.lines.last().is_some_and(|header| urc::announces_pdu(header, pdu))
    }

    /// The command line, or the payload if the modem echoes that too. It can come more than once.
    fn is_echo(&self, line: &str) -> bool {
        let payload_is_echoed = || {
            self.command
                .payload
                .as_deref()
                .is_some_and(|payload| payload == line.as_bytes())
        };
        line == self.command.line.trim() || (self.payload_sent && payload_is_echoed())
    }

    pub(super) fn conclude(self, result: ResultCode) -> (CommandId, Result<Response, Failure>) {
        let outcome = if self.abort == Abort::Sent && self.lines.is_empty() {
            Err(Failure::Aborted {
                payload_sent: self.payload_sent,
            })
        } else if self.awaits_prompt {
            Err(Failure::PromptRefused(result))
        } else {
            // A reply that was complete before the abort reached the modem is still the reply.
            Ok(Response {
                lines: self.lines,
                result,
            })
        };
        (self.id, outcome)
    }
}

/// True if `line` is information text of `command`.
pub(super) fn claims(command: &Command, line: &str) -> bool {
    let bare = || split_prefix(line).is_none() && !urc::is_known(line);
    let prefixed = |prefixes: &[&str]| {
        let declared = |found: &str| prefixes.iter().any(|prefix| prefix.eq_ignore_ascii_case(found));
        split_prefix(line).is_some_and(|(found, _)| declared(found)) && !urc::has_unsolicited_form(line)
    };
    match command.expects {
        Expects::Nothing => false,
        Expects::Prefixed(prefixes) | Expects::PrefixedWithBody(prefixes) => prefixed(prefixes),
        Expects::Bare => bare(),
        Expects::BareOrPrefixed(prefixes) => bare() || prefixed(prefixes),
        Expects::Any => {
            let named = split_prefix(line).is_some_and(|(prefix, _)| names(&command.line, prefix));
            if named {
                !urc::has_unsolicited_form(line)
            } else {
                !urc::is_known(line)
            }
        }
    }
}

/// True if the command line contains the command `prefix`: `AT+CREG?;+CSQ` contains `+CSQ`, not `+CS`.
fn names(command_line: &str, prefix: &str) -> bool {
    let line = command_line.to_ascii_uppercase();
    let prefix = prefix.to_ascii_uppercase();
    line.match_indices(&prefix)
        .any(|(at, _)| !line[at + prefix.len()..].starts_with(|next: char| next.is_ascii_alphanumeric()))
}

/// True for command lines that `NO CARRIER`, `BUSY` and their like can end (V.250 6.3): dial, answer, return to data.
fn may_establish_a_call(line: &str) -> bool {
    let line = line.to_ascii_uppercase();
    let body = line.strip_prefix("AT").unwrap_or(&line);
    body.split(';').map(str::trim).any(|command| {
        command.starts_with('D') || command == "A" || command.starts_with('O') || command.starts_with("+CGDATA")
    })
}
