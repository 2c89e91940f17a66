//! The dialogue on one AT port, without I/O and without a clock.
//!
//! ```text
//!            start             start with payload
//!   Ready ───────────▶ AwaitingResult ◀──── prompt ──── AwaitingPrompt
//!     ▲  ◀── final ──┘    │   │ abort                    │  │ abort
//!     │                   │   └──▶ Aborting ◀────────────┼──┘
//!     │                   └───────────┬── time-out ──────┘
//!     └── answer to the latest probe  ▼
//!          Probing ◀── silence ── Draining
//! ```
//!
//! A command that is not answered in time is finished at once, but nothing else starts until the session can tell that its
//! reply cannot come any more: a late `OK` would otherwise complete the next command. The proof is the answer to a probe,
//! a read command whose information line no other outstanding command can produce. A modem answers in the order in which it
//! was asked, so with that line and its final result code everything older is done.

mod config;
mod exchange;
mod framer;
mod resynchronisation;
mod unsolicited;

pub use config::{Config, Probe};

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::command::Command;
use super::result_code::ResultCode;
use super::urc::Urc;
use exchange::Exchange;
use framer::{Framer, Token};
use resynchronisation::Resynchronisation;
use unsolicited::Continuation;

/// Cancels an open prompt (27.005 3.5.1).
const ESCAPE: u8 = 0x1B;
/// Ends the text after a prompt and sends the message (27.005 3.5.1).
const CTRL_Z: u8 = 0x1A;

/// Identifies a command within its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(u64);

/// Refusal of [`Session::start`]: a command is in flight, the session resynchronises, or the port is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the port is busy")]
pub struct Busy;

/// A reply that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The lines that belong to the command, in order, without echo and unsolicited lines.
    pub lines: Vec<String>,
    /// The final result code.
    pub result: ResultCode,
}

/// Why a command has no reply.
///
/// `payload_sent` says whether what followed the prompt left for the modem. If it did, a message may or may not have reached
/// the network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No final result code in time.
    #[error("the modem did not answer in time")]
    TimedOut {
        /// See [`Failure`].
        payload_sent: bool,
    },
    /// Stopped by [`Session::abort`].
    #[error("the command was aborted")]
    Aborted {
        /// See [`Failure`].
        payload_sent: bool,
    },
    /// A final result code came in place of the prompt, so nothing of the payload was sent.
    #[error("the modem answered {0} in place of a prompt")]
    PromptRefused(ResultCode),
    /// The port died.
    #[error("the port was closed")]
    PortClosed {
        /// See [`Failure`].
        payload_sent: bool,
    },
    /// The reply is longer than [`Config::max_reply_bytes`].
    #[error("the reply is too long")]
    ReplyTooLong {
        /// See [`Failure`].
        payload_sent: bool,
    },
}

impl Failure {
    /// True if the payload may have reached the network although the command failed.
    #[must_use]
    pub fn payload_sent(&self) -> bool {
        match self {
            Self::TimedOut { payload_sent }
            | Self::Aborted { payload_sent }
            | Self::PortClosed { payload_sent }
            | Self::ReplyTooLong { payload_sent } => *payload_sent,
            Self::PromptRefused(_) => false,
        }
    }
}

/// What the modem said on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsolicited {
    /// The lines as received: one, or a header and its body.
    pub lines: Vec<String>,
    /// What they mean.
    pub urc: Urc,
}

/// What the session wants done or known. Outputs are to be taken in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes to the port.
    Transmit(Vec<u8>),
    /// A command is done.
    Finished {
        /// Which command.
        id: CommandId,
        /// Its reply, or why there is none.
        outcome: Result<Response, Failure>,
    },
    /// The modem said something on its own.
    Unsolicited(Unsolicited),
    /// So many bytes made no line and were discarded.
    Garbage {
        /// How many.
        bytes: usize,
    },
    /// Resynchronisation goes on, but so many probes in a row stayed without an answer. The owner decides what to do about
    /// the port or the modem.
    Unresponsive {
        /// Probes without an answer so far.
        probes: u32,
    },
    /// The modem answers again, and nothing of what went before can be mistaken for the reply to a new command.
    Resynchronised,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A command can be started.
    Ready,
    /// A command with a payload waits for the prompt.
    AwaitingPrompt,
    /// A command waits for its final result code.
    AwaitingResult,
    /// A command is being stopped and waits for its final result code.
    Aborting,
    /// After a time-out: waiting for the port to fall silent.
    Draining,
    /// After a time-out: waiting for the answer to a probe.
    Probing,
    /// The port died.
    Closed,
}

#[derive(Debug)]
enum State {
    Ready,
    Active(Exchange),
    Resynchronising(Resynchronisation),
    Closed,
}

/// The dialogue on one port. Bytes and instants go in, [`Output`]s come out.
#[derive(Debug)]
pub struct Session {
    config: Config,
    framer: Framer,
    state: State,
    continuation: Option<Continuation>,
    next_id: u64,
    outputs: VecDeque<Output>,
}

impl Session {
    /// A session on a port that has just been opened and whose modem owes no reply. If that is not certain, call
    /// [`Session::resynchronise`] before the first command.
    #[must_use]
    pub fn new(mut config: Config) -> Self {
        if config.probes.is_empty() {
            config.probes = Config::default().probes;
        }
        Self {
            framer: Framer::new(config.max_line_bytes),
            config,
            state: State::Ready,
            continuation: None,
            next_id: 1,
            outputs: VecDeque::new(),
        }
    }

    /// Sends a command. One at a time: the modem has one command line.
    ///
    /// # Errors
    /// [`Busy`] unless [`Session::is_ready`].
    pub fn start(&mut self, now: Instant, command: Command) -> Result<CommandId, Busy> {
        if !self.is_ready() {
            return Err(Busy);
        }
        let id = CommandId(self.next_id);
        self.next_id += 1;
        let mut bytes: Vec<u8> = command.line.bytes().filter(|byte| !byte.is_ascii_control()).collect();
        bytes.push(b'\r');
        self.outputs.push_back(Output::Transmit(bytes));
        self.state = State::Active(Exchange::new(now, id, command));
        Ok(id)
    }

    /// Takes bytes from the port.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if matches!(self.state, State::Closed) || bytes.is_empty() {
            return;
        }
        if let State::Resynchronising(resynchronisation) = &mut self.state {
            resynchronisation.heard_something(now, &self.config);
        }
        for &byte in bytes {
            match self.framer.push(byte, self.prompt_possible()) {
                None => {}
                Some(Token::Line(line)) => self.handle_line(now, line),
                Some(Token::Prompt) => self.handle_prompt(now),
                Some(Token::Overlong(bytes)) => self.outputs.push_back(Output::Garbage { bytes }),
            }
        }
    }

    /// Acts on every deadline up to `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self
            .continuation
            .as_ref()
            .is_some_and(|continuation| continuation.deadline <= now)
        {
            self.give_up_continuation(now);
        }
        match &mut self.state {
            State::Ready | State::Closed => {}
            State::Active(exchange) => {
                if exchange.deadline <= now {
                    let payload_sent = exchange.payload_sent;
                    self.fail_and_resynchronise(now, Failure::TimedOut { payload_sent });
                } else if exchange.abort_is_due(now) {
                    exchange.abort_sent(now, &self.config);
                    // V.250 5.6.1: any character aborts. A CR that comes too late is an empty command line, which is not
                    // answered.
                    self.outputs.push_back(Output::Transmit(vec![b'\r']));
                }
            }
            State::Resynchronising(resynchronisation) => {
                resynchronisation.handle_timeout(now, &self.config, &mut self.outputs);
            }
        }
    }

    /// Stops a command (V.250 5.6.1), unless it has finished. A command that waits for its prompt is cancelled when the
    /// prompt comes, an abortable one receives a character; any other goes on until its final result code.
    pub fn abort(&mut self, now: Instant, id: CommandId) {
        if let State::Active(exchange) = &mut self.state
            && exchange.id == id
        {
            exchange.request_abort();
        }
        // Without a delay to wait for, the character goes out in this turn.
        self.handle_timeout(now);
    }

    /// The port died: finishes what is in flight and forgets what had arrived in part. Before commands can be started again
    /// on a reopened port, call [`Session::resynchronise`].
    pub fn close(&mut self) {
        self.framer.clear();
        self.continuation = None;
        if let State::Active(exchange) = std::mem::replace(&mut self.state, State::Closed) {
            let payload_sent = exchange.payload_sent;
            self.outputs.push_back(Output::Finished {
                id: exchange.id,
                outcome: Err(Failure::PortClosed { payload_sent }),
            });
        }
    }

    /// Makes sure that the modem listens and owes no reply, whatever its port was used for before: cancels a prompt that may
    /// be open, waits for silence and probes, twice, since the one before may have left a probe. Does nothing while a command
    /// is in flight or a resynchronisation is under way.
    pub fn resynchronise(&mut self, now: Instant) {
        if matches!(self.state, State::Ready | State::Closed) {
            self.begin_resynchronisation(now, None);
        }
    }

    /// Like [`Session::resynchronise`], after the port was in other hands: also the form of answers is set again (V.250 6.2,
    /// `ATE`, `ATQ`, `ATV`), since without result codes, or with numeric ones, no probe would ever be answered.
    pub fn take_back(&mut self, now: Instant) {
        self.resynchronise(now);
        if let State::Resynchronising(resynchronisation) = &mut self.state {
            resynchronisation.restore_form();
        }
    }

    /// The next output, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Session::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let state = match &self.state {
            State::Ready | State::Closed => None,
            State::Active(exchange) => Some(exchange.next_deadline()),
            State::Resynchronising(resynchronisation) => Some(resynchronisation.next_deadline()),
        };
        let continuation = self.continuation.as_ref().map(|continuation| continuation.deadline);
        state.into_iter().chain(continuation).min()
    }

    /// True if [`Session::start`] would be accepted.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// Where the session stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Ready => Phase::Ready,
            State::Active(exchange) => exchange.phase(),
            State::Resynchronising(resynchronisation) => resynchronisation.phase(),
            State::Closed => Phase::Closed,
        }
    }

    fn prompt_possible(&self) -> bool {
        match &self.state {
            State::Ready | State::Closed => false,
            State::Active(exchange) => exchange.awaits_prompt(),
            State::Resynchronising(resynchronisation) => resynchronisation.prompt_possible(),
        }
    }

    fn handle_prompt(&mut self, now: Instant) {
        match &mut self.state {
            State::Ready | State::Closed => {}
            State::Active(exchange) => {
                let bytes = exchange.answer_prompt(now, &self.config);
                self.outputs.push_back(Output::Transmit(bytes));
            }
            State::Resynchronising(resynchronisation) => {
                resynchronisation.cancel_prompt(&mut self.outputs);
            }
        }
    }

    fn handle_line(&mut self, now: Instant, line: String) {
        let Some(line) = self.continue_unsolicited(now, line) else {
            return;
        };
        match &mut self.state {
            State::Closed => {}
            State::Ready => self.handle_unsolicited(now, line),
            State::Active(exchange) => match exchange.handle_line(line) {
                exchange::Verdict::Consumed => {
                    if exchange.reply_bytes > self.config.max_reply_bytes {
                        let payload_sent = exchange.payload_sent;
                        self.fail_and_resynchronise(now, Failure::ReplyTooLong { payload_sent });
                    }
                }
                exchange::Verdict::Final(result) => self.finish(result),
                exchange::Verdict::Unsolicited(line) => self.handle_unsolicited(now, line),
            },
            State::Resynchronising(resynchronisation) => match resynchronisation.handle_line(now, line, &self.config) {
                resynchronisation::Verdict::Consumed => {}
                resynchronisation::Verdict::Synchronous => {
                    self.state = State::Ready;
                    self.outputs.push_back(Output::Resynchronised);
                }
                resynchronisation::Verdict::Unsolicited(line) => self.handle_unsolicited(now, line),
            },
        }
    }

    fn finish(&mut self, result: ResultCode) {
        if let State::Active(exchange) = std::mem::replace(&mut self.state, State::Ready) {
            let (id, outcome) = exchange.conclude(result);
            self.outputs.push_back(Output::Finished { id, outcome });
        }
    }

    fn fail_and_resynchronise(&mut self, now: Instant, failure: Failure) {
        if let State::Active(exchange) = std::mem::replace(&mut self.state, State::Ready) {
            self.outputs.push_back(Output::Finished {
                id: exchange.id,
                outcome: Err(failure),
            });
            self.begin_resynchronisation(now, Some(exchange));
        }
    }

    fn begin_resynchronisation(&mut self, now: Instant, cause: Option<Exchange>) {
        let resynchronisation = Resynchronisation::begin(now, cause, &self.config, &mut self.outputs);
        self.state = State::Resynchronising(resynchronisation);
    }
}

/// Doubles a delay up to a limit.
fn doubled(delay: Duration, limit: Duration) -> Duration {
    delay.saturating_mul(2).min(limit)
}

#[cfg(test)]
mod tests;
