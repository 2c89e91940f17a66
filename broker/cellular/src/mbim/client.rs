//! The dialogue on one MBIM port, without I/O and without a clock.
//!
//! Requests are under way at the same time; each has its own deadline, and its transaction connects it with its answer. An
//! answer that comes after its deadline is dropped, and so is everything that a function says before it is open: it may be
//! meant for a program that was killed.

use std::collections::VecDeque;
use std::time::Instant;

use super::message::{Assembler, Body, Framer, Irregular, Message, TRANSFER_MAX, TRANSFER_MIN};
use super::{ProtocolError, Request, Response, Uuid, Work};
use crate::packet::dialogue::{self, Dialogue, RequestId};

/// Requests under way, together.
const REQUESTS_MAX: usize = 32;

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No answer in time.
    #[error("the modem did not answer in time")]
    TimedOut,
    /// The modem could not read the request.
    #[error("the modem did not take the request: {0}")]
    Protocol(ProtocolError),
    /// The modem restarted its MBIM function meanwhile.
    #[error("the modem restarted its MBIM function")]
    Restarted,
    /// Too many requests are under way.
    #[error("too many requests are under way")]
    Busy,
    /// The port is closed.
    #[error("the MBIM port is closed")]
    Closed,
}

/// Something that the modem told by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indication {
    /// The service that told it.
    pub service: Uuid,
    /// Of which of its commands.
    pub command: u32,
    /// Its contents.
    pub information: Vec<u8>,
}

/// What the client wants done, or has to tell.
pub type Output = dialogue::Output<Response, Failure, Indication>;

/// What an answer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Open,
    Close,
    Command(Uuid, u32),
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    id: RequestId,
    awaited: Awaited,
    transaction: u32,
    deadline: Instant,
}

/// The state machine.
#[derive(Clone, Debug)]
pub struct Client {
    max_transfer: usize,
    framer: Framer,
    assembler: Assembler,
    pending: Vec<Pending>,
    outputs: VecDeque<Output>,
    last_request: u64,
    last_transaction: u32,
    unanswered: u32,
    is_open: bool,
    closed: bool,
}

impl Client {
    /// A dialogue that has not begun. `max_transfer` is the function's `wMaxControlMessage` (6.4).
    #[must_use]
    pub fn new(max_transfer: usize) -> Self {
        Self {
            max_transfer: max_transfer.clamp(TRANSFER_MIN, TRANSFER_MAX),
            framer: Framer::default(),
            assembler: Assembler::default(),
            pending: Vec::new(),
            outputs: VecDeque::new(),
            last_request: 0,
            last_transaction: 0,
            unanswered: 0,
            is_open: false,
            closed: false,
        }
    }

    /// Whether the function has been opened and not closed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Never 0, which is an indication's. Far fewer are under way than there are numbers, so none meets another one with its
    /// number.
    fn next_transaction(&mut self) -> u32 {
        self.last_transaction = self.last_transaction.checked_add(1).unwrap_or(1);
        self.last_transaction
    }

    fn transmit(&mut self, message: &Message) {
        let frames = message.encode(self.max_transfer);
        self.outputs.extend(frames.into_iter().map(Output::Transmit));
    }

    /// Tells the function that what it said cannot be read (9.3.4). A request that waits for it ends with its deadline.
    fn complain(&mut self, irregular: Irregular) {
        if self.is_open {
            self.transmit(&Message {
                transaction: irregular.transaction,
                body: Body::HostError(irregular.error),
            });
        }
    }

    fn take(&mut self, message: Message) {
        let Message { transaction, body } = message;
        let (awaited, status, information) = match body {
            Body::OpenDone(status) => (Awaited::Open, status, Vec::new()),
            Body::CloseDone(status) => (Awaited::Close, status, Vec::new()),
            Body::CommandDone {
                service,
                command,
                status,
                information,
            } => (Awaited::Command(service, command), status, information),
            Body::Indication {
                service,
                command,
                information,
            } => {
                self.unanswered = 0;
                if self.is_open {
                    self.outputs.push_back(Output::Indication(Indication {
                        service,
                        command,
                        information,
                    }));
                }
                return;
            }
            Body::FunctionError(error) => return self.function_error(transaction, error),
            // Only hosts say these.
            Body::Open { .. } | Body::Close | Body::Command { .. } | Body::HostError(_) => return,
        };
        self.unanswered = 0;
        let place = |pending: &Pending| (pending.transaction, pending.awaited) == (transaction, awaited);
        if let Some(place) = self.pending.iter().position(place) {
            let id = self.pending.swap_remove(place).id;
            let response = Response { status, information };
            match awaited {
                Awaited::Open => self.is_open = response.result().is_ok(),
                Awaited::Close => self.is_open = false,
                Awaited::Command(..) => {}
            }
            self.finish(id, Ok(response));
        }
    }

    fn function_error(&mut self, transaction: u32, error: ProtocolError) {
        self.unanswered = 0;
        if error == ProtocolError::NOT_OPENED && std::mem::take(&mut self.is_open) {
            self.fail_all(Failure::Restarted);
            self.outputs.push_back(Output::Restarted);
            return;
        }
        let place = self
            .pending
            .iter()
            .position(|pending| pending.transaction == transaction);
        if let Some(place) = place {
            let id = self.pending.swap_remove(place).id;
            self.finish(id, Err(Failure::Protocol(error)));
        }
    }

    fn fail_all(&mut self, failure: Failure) {
        for pending in std::mem::take(&mut self.pending) {
            self.finish(pending.id, Err(failure));
        }
    }

    fn finish(&mut self, id: RequestId, outcome: Result<Response, Failure>) {
        self.outputs.push_back(Output::Finished { id, outcome });
    }
}

impl Dialogue for Client {
    type Request = Request;
    type Response = Response;
    type Failure = Failure;
    type Indication = Indication;

    const CLOSED: Failure = Failure::Closed;

    fn has_room(&self) -> bool {
        !self.closed && self.pending.len() < REQUESTS_MAX
    }

    fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    fn start(&mut self, now: Instant, request: Request) -> RequestId {
        self.last_request += 1;
        let id = RequestId(self.last_request);
        if self.closed || !self.has_room() {
            let failure = if self.closed { Failure::Closed } else { Failure::Busy };
            self.finish(id, Err(failure));
            return id;
        }
        let (awaited, body) = match request.work {
            Work::Open => {
                // Whatever was being said is over with it.
                self.is_open = false;
                self.assembler.clear();
                let max_transfer = self.max_transfer as u32;
                (Awaited::Open, Body::Open { max_transfer })
            }
            Work::Close => (Awaited::Close, Body::Close),
            Work::Command {
                service,
                command,
                kind,
                information,
            } => {
                let body = Body::Command {
                    service,
                    command,
                    kind,
                    information,
                };
                (Awaited::Command(service, command), body)
            }
        };
        let transaction = self.next_transaction();
        self.transmit(&Message { transaction, body });
        self.pending.push(Pending {
            id,
            awaited,
            transaction,
            deadline: now + request.limit,
        });
        id
    }

    fn leave(&mut self, now: Instant) {
        // A function that stays open would keep its session.
        if self.is_open {
            self.start(now, Request::close());
        }
    }

    fn handle_input(&mut self, now: Instant, octets: &[u8]) {
        if self.closed {
            return;
        }
        self.framer.push(octets);
        while let Some(frame) = self.framer.next_frame() {
            match self.assembler.push(now, &frame) {
                Ok(Some(message)) => self.take(message),
                Ok(None) => {}
                Err(irregular) => self.complain(irregular),
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        for irregular in self.assembler.handle_timeout(now) {
            self.complain(irregular);
        }
        let over: Vec<Pending> = self.pending.extract_if(.., |pending| pending.deadline <= now).collect();
        if over.is_empty() {
            return;
        }
        // The rest of a frame that has not come by now belongs to what just timed out.
        self.framer.clear();
        self.unanswered = self.unanswered.saturating_add(over.len() as u32);
        for pending in over {
            self.finish(pending.id, Err(Failure::TimedOut));
        }
        let requests = self.unanswered;
        self.outputs.push_back(Output::Unresponsive { requests });
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let pending = self.pending.iter().map(|pending| pending.deadline);
        pending.chain(self.assembler.poll_timeout()).min()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn close(&mut self) {
        self.closed = true;
        self.is_open = false;
        self.assembler.clear();
        self.fail_all(Failure::Closed);
    }
}

#[cfg(test)]
mod tests;
