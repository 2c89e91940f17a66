//! Unsolicited result codes, and those that take more than one line.

use std::time::Instant;

use super::super::command::Expects;
use super::super::line::is_hex;
use super::super::result_code::ResultCode;
use super::super::urc::{self, Urc};
use super::{Output, Session, State, Unsolicited, exchange};

/// An unsolicited result code whose next line is still to come.
#[derive(Debug)]
pub(super) struct Continuation {
    pub(super) deadline: Instant,
    lines: Vec<String>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `+CMT`, `+CDS`, `+CBM`: a message follows its header (27.005 3.4.1).
    Message,
    /// `+CUSD`: the text of the network holds line breaks.
    Text,
}

impl Session {
    /// Offers a line to the unsolicited result code that waits for one. Answers the line if it is something else.
    pub(super) fn continue_unsolicited(&mut self, now: Instant, line: String) -> Option<String> {
        let Some(mut continuation) = self.continuation.take() else {
            return Some(line);
        };
        match continuation.kind {
            Kind::Message if self.is_body_of_reply(&continuation, &line) => {
                self.continuation = Some(continuation);
                Some(line)
            }
            Kind::Message if is_hex(&line) || !self.has_a_meaning_of_its_own(&line) => {
                continuation.lines.push(line);
                self.emit(continuation.lines);
                None
            }
            Kind::Message => {
                self.emit(continuation.lines);
                Some(line)
            }
            Kind::Text => {
                continuation.lines.push(line);
                let text = continuation.lines.join("\n");
                let is_open = urc::is_open_text(&text);
                if is_open && text.len() <= self.config.max_line_bytes {
                    self.continuation = Some(continuation);
                } else if is_open {
                    self.continuation = Some(continuation);
                    self.give_up_continuation(now);
                } else {
                    self.emit(vec![text]);
                }
                None
            }
        }
    }

    /// The rest did not come in time: reports what there is. Lines that were taken for the rest of a text are read again for
    /// what they are by themselves, so that an opening quote cannot swallow a final result code.
    pub(super) fn give_up_continuation(&mut self, now: Instant) {
        let Some(continuation) = self.continuation.take() else {
            return;
        };
        let mut lines = continuation.lines.into_iter();
        self.emit(lines.next().into_iter().collect());
        for line in lines {
            self.handle_line(now, line);
        }
    }

    /// Reports a line that belongs to no command, or waits for the line that completes it.
    pub(super) fn handle_unsolicited(&mut self, now: Instant, line: String) {
        let kind = if urc::has_body(&line) {
            Kind::Message
        } else if urc::is_open_text(&line) {
            Kind::Text
        } else {
            return self.emit(vec![line]);
        };
        let deadline = now + self.config.continuation_timeout;
        self.continuation = Some(Continuation {
            deadline,
            lines: vec![line],
            kind,
        });
    }

    fn emit(&mut self, lines: Vec<String>) {
        if !lines.is_empty() {
            let urc = Urc::parse(&lines);
            self.outputs.push_back(Output::Unsolicited(Unsolicited { lines, urc }));
        }
    }

    /// A message can arrive between the header of a listed message and its PDU. The lengths tell whose a PDU is; if they do
    /// not, it belongs to the header that came last.
    fn is_body_of_reply(&self, continuation: &Continuation, line: &str) -> bool {
        let State::Active(exchange) = &self.state else {
            return false;
        };
        let of_unsolicited = continuation
            .lines
            .last()
            .is_some_and(|header| urc::announces_pdu(header, line));
        !of_unsolicited && exchange.awaits_pdu(line)
    }

    /// True for lines that cannot be a message in text mode, for lack of anything better.
    fn has_a_meaning_of_its_own(&self, line: &str) -> bool {
        let of_command = match &self.state {
            State::Active(exchange) => {
                let declared = matches!(
                    exchange.command.expects,
                    Expects::Prefixed(_) | Expects::PrefixedWithBody(_) | Expects::BareOrPrefixed(_)
                );
                line == exchange.command.line || (declared && exchange::claims(&exchange.command, line))
            }
            _ => false,
        };
        of_command || ResultCode::parse(line).is_some() || urc::is_known(line)
    }
}
