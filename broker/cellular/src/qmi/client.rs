//! The dialogue on one QMI port, without I/O and without a clock.
//!
//! A service wants its requests to come from a client id that the control service handed out. An id is asked for with the
//! first request that needs it and kept for the life of the [`Client`], because releasing the id of a data session ends the
//! session, and because ids that are asked for again and again run out. [`Dialogue::leave`] gives them back at the end.
//!
//! Requests of several services are under way at the same time; each has its own deadline. An answer that comes after its
//! deadline is dropped, but a client id in it is given back.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::message::{Framer, Kind, Message};
use super::tlv::Tlvs;
use super::{Endpoint, ORDINARY_LIMIT, ProtocolError, Refusal, Request, Response, Service, ctl};
use crate::packet::dialogue::{self, Dialogue, RequestId};

/// Requests under way and waiting for a client id, together.
const REQUESTS_MAX: usize = 32;

/// Addresses every client of a service.
const EVERY_CLIENT: u8 = 0xFF;

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No answer in time.
    #[error("the modem did not answer in time")]
    TimedOut,
    /// The modem gave no client id for the service.
    #[error("no client id for the service: {0}")]
    NoClient(Refusal),
    /// The modem restarted its services meanwhile.
    #[error("the modem restarted its QMI services")]
    Restarted,
    /// Too many requests are under way.
    #[error("too many requests are under way")]
    Busy,
    /// The port is closed.
    #[error("the QMI port is closed")]
    Closed,
}

/// Something that the modem told by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indication {
    /// The service that told it.
    pub service: Service,
    /// The client that it is for; `None` for every client of the service.
    pub endpoint: Option<Endpoint>,
    /// Which message of the service.
    pub id: u16,
    /// Its contents.
    pub tlvs: Tlvs,
}

/// What the client wants done, or has to tell.
pub type Output = dialogue::Output<Response, Failure, Indication>;

#[derive(Clone, Debug)]
enum Purpose {
    Request(RequestId, Endpoint),
    Allocate(Endpoint),
    Release,
}

#[derive(Clone, Debug)]
struct Pending {
    purpose: Purpose,
    service: Service,
    client: u8,
    transaction: u16,
    deadline: Instant,
}

/// A request that waits for its client id.
#[derive(Clone, Debug)]
struct Waiting {
    id: RequestId,
    request: Request,
    deadline: Instant,
}

/// The state machine.
#[derive(Clone, Debug, Default)]
pub struct Client {
    framer: Framer,
    ids: BTreeMap<Endpoint, u8>,
    pending: Vec<Pending>,
    waiting: Vec<Waiting>,
    outputs: VecDeque<Output>,
    last_request: u64,
    last_control_transaction: u8,
    last_transaction: u16,
    unanswered: u32,
    closed: bool,
}

impl Client {
    /// A dialogue that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn client_of(&self, endpoint: Endpoint) -> Option<u8> {
        if endpoint.service == Service::CTL {
            return Some(0);
        }
        self.ids.get(&endpoint).copied()
    }

    fn allocate(&mut self, now: Instant, endpoint: Endpoint) {
        let is_asked = |pending: &Pending| matches!(pending.purpose, Purpose::Allocate(asked) if asked == endpoint);
        if !self.pending.iter().any(is_asked) {
            let request = ctl::allocate(endpoint.service);
            self.send(0, &request, Purpose::Allocate(endpoint), now + request.limit);
        }
    }

    fn send(&mut self, client: u8, request: &Request, purpose: Purpose, deadline: Instant) {
        let service = request.endpoint.service;
        let transaction = self.next_transaction(service);
        let message = Message {
            service,
            client,
            transaction,
            kind: Kind::Request,
            id: request.id,
            tlvs: request.tlvs.clone(),
        };
        self.outputs.push_back(Output::Transmit(message.encode()));
        self.pending.push(Pending {
            purpose,
            service,
            client,
            transaction,
            deadline,
        });
    }

    /// Never 0, which some firmware treats as an indication. Far fewer are under way than there are numbers, so none meets
    /// another one with its number.
    fn next_transaction(&mut self, service: Service) -> u16 {
        if service == Service::CTL {
            self.last_control_transaction = self.last_control_transaction.checked_add(1).unwrap_or(1);
            u16::from(self.last_control_transaction)
        } else {
            self.last_transaction = self.last_transaction.checked_add(1).unwrap_or(1);
            self.last_transaction
        }
    }

    fn take(&mut self, now: Instant, message: Message) {
        self.unanswered = 0;
        match message.kind {
            Kind::Response => self.response(now, message),
            Kind::Indication if message.service == Service::CTL => {
                if message.id == ctl::SYNC {
                    self.restarted();
                }
            }
            Kind::Indication => self.indication(message),
            // Only we ask.
            Kind::Request => {}
        }
    }

    fn response(&mut self, now: Instant, message: Message) {
        let found = self.pending.iter().position(|pending| {
            (pending.service, pending.client, pending.transaction)
                == (message.service, message.client, message.transaction)
        });
        let response = Response { tlvs: message.tlvs };
        let Some(position) = found else {
            // Whoever wanted this client id has given up, and nobody else would ever release it.
            if message.service == Service::CTL
                && message.id == ctl::ALLOCATE
                && let Ok((service, client)) = ctl::allocated(&response)
            {
                self.send(
                    0,
                    &ctl::release(service, client),
                    Purpose::Release,
                    now + ORDINARY_LIMIT,
                );
            }
            return;
        };
        match self.pending.swap_remove(position).purpose {
            Purpose::Request(id, endpoint) => {
                let error = response.result().err().and_then(Refusal::protocol);
                if error == Some(ProtocolError::INVALID_CLIENT_ID) {
                    // The modem forgot us; the next request asks for a new one.
                    self.ids.remove(&endpoint);
                }
                if message.service == Service::CTL && message.id == ctl::SYNC && error.is_none() {
                    self.ids.clear();
                }
                self.finish(id, Ok(response));
            }
            Purpose::Allocate(endpoint) => match ctl::allocated(&response) {
                Ok((_, client)) => {
                    self.ids.insert(endpoint, client);
                    let ready = self
                        .waiting
                        .extract_if(.., |waiting| waiting.request.endpoint == endpoint);
                    for Waiting { id, request, deadline } in ready.collect::<Vec<_>>() {
                        self.send(client, &request, Purpose::Request(id, endpoint), deadline);
                    }
                }
                Err(refusal) => self.fail_waiting(Failure::NoClient(refusal), |waiting| waiting == endpoint),
            },
            Purpose::Release => {}
        }
    }

    fn indication(&mut self, message: Message) {
        let endpoint = self
            .ids
            .iter()
            .find(|(endpoint, client)| endpoint.service == message.service && **client == message.client)
            .map(|(endpoint, _)| *endpoint);
        // One for a client that is not ours: another program's, or one of an earlier life.
        if endpoint.is_none() && message.client != EVERY_CLIENT {
            return;
        }
        self.outputs.push_back(Output::Indication(Indication {
            service: message.service,
            endpoint,
            id: message.id,
            tlvs: message.tlvs,
        }));
    }

    fn restarted(&mut self) {
        self.ids.clear();
        self.fail_all(Failure::Restarted, |service| service != Service::CTL);
        self.outputs.push_back(Output::Restarted);
    }

    fn fail_all(&mut self, failure: Failure, mut concerns: impl FnMut(Service) -> bool) {
        let over: Vec<_> = self
            .pending
            .extract_if(.., |pending| concerns(pending.service))
            .collect();
        for pending in over {
            if let Purpose::Request(id, _) = pending.purpose {
                self.finish(id, Err(failure));
            }
        }
        self.fail_waiting(failure, |endpoint| concerns(endpoint.service));
    }

    fn fail_waiting(&mut self, failure: Failure, mut concerns: impl FnMut(Endpoint) -> bool) {
        let over: Vec<_> = self
            .waiting
            .extract_if(.., |waiting| concerns(waiting.request.endpoint))
            .collect();
        for waiting in over {
            self.finish(waiting.id, Err(failure));
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
        !self.closed && self.pending.len() + self.waiting.len() < REQUESTS_MAX
    }

    fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.waiting.is_empty()
    }

    fn start(&mut self, now: Instant, request: Request) -> RequestId {
        self.last_request += 1;
        let id = RequestId(self.last_request);
        let failure = match (self.closed, self.has_room()) {
            (true, _) => Some(Failure::Closed),
            (false, false) => Some(Failure::Busy),
            (false, true) => None,
        };
        if let Some(failure) = failure {
            self.finish(id, Err(failure));
            return id;
        }
        let (endpoint, deadline) = (request.endpoint, now + request.limit);
        match self.client_of(endpoint) {
            Some(client) => self.send(client, &request, Purpose::Request(id, endpoint), deadline),
            None => {
                self.waiting.push(Waiting { id, request, deadline });
                self.allocate(now, endpoint);
            }
        }
        id
    }

    fn leave(&mut self, now: Instant) {
        for (endpoint, client) in std::mem::take(&mut self.ids) {
            self.send(
                0,
                &ctl::release(endpoint.service, client),
                Purpose::Release,
                now + ORDINARY_LIMIT,
            );
        }
    }

    fn handle_input(&mut self, now: Instant, octets: &[u8]) {
        if self.closed {
            return;
        }
        self.framer.push(octets);
        while let Some(frame) = self.framer.next_frame() {
            if let Ok(message) = Message::decode(&frame) {
                self.take(now, message);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let (over, pending): (Vec<_>, Vec<_>) = self.pending.drain(..).partition(|pending| pending.deadline <= now);
        self.pending = pending;
        if !over.is_empty() {
            // The rest of a frame that has not come by now belongs to what just timed out.
            self.framer.clear();
            self.unanswered = self.unanswered.saturating_add(over.len() as u32);
        }
        for pending in &over {
            match pending.purpose {
                Purpose::Request(id, _) => self.finish(id, Err(Failure::TimedOut)),
                Purpose::Allocate(endpoint) => self.fail_waiting(Failure::TimedOut, |waiting| waiting == endpoint),
                Purpose::Release => {}
            }
        }
        let overdue: Vec<_> = self.waiting.extract_if(.., |waiting| waiting.deadline <= now).collect();
        for waiting in overdue {
            self.finish(waiting.id, Err(Failure::TimedOut));
        }
        if !over.is_empty() {
            let requests = self.unanswered;
            self.outputs.push_back(Output::Unresponsive { requests });
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let pending = self.pending.iter().map(|pending| pending.deadline);
        pending.chain(self.waiting.iter().map(|waiting| waiting.deadline)).min()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn close(&mut self) {
        self.closed = true;
        self.ids.clear();
        self.fail_all(Failure::Closed, |_| true);
    }
}

#[cfg(test)]
mod tests;
