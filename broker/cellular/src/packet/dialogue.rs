//! What the dialogues on control channels have in common for whoever feeds them: octets, requests and instants in; frames and
//! outcomes out. [`crate::qmi::Client`] and [`crate::mbim::Client`] are such.

use std::time::Instant;

/// Identifies a request within its dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

/// What a dialogue wants done, or has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<Response, Failure, Indication> {
    /// One frame for the port, to be written at once: `cdc-wdm` takes a message, or a fragment of one, per write.
    Transmit(Vec<u8>),
    /// A request is over.
    Finished {
        /// Which one.
        id: RequestId,
        /// How it ended. A response may still say that the modem refused.
        outcome: Result<Response, Failure>,
    },
    /// The modem told something by itself.
    Indication(Indication),
    /// The modem restarted what is behind the port: what it held for us, and sessions, are gone.
    Restarted,
    /// So many requests in a row had no answer.
    Unresponsive {
        /// This many.
        requests: u32,
    },
}

/// A dialogue, without I/O and without a clock.
pub trait Dialogue {
    /// What can be asked.
    type Request;
    /// What is answered.
    type Response;
    /// Why there is no answer.
    type Failure;
    /// What the modem tells by itself.
    type Indication;

    /// That the port is closed.
    const CLOSED: Self::Failure;

    /// Whether another request can be under way.
    fn has_room(&self) -> bool;

    /// Whether nothing is under way.
    fn is_idle(&self) -> bool;

    /// Starts a request. It ends with an [`Output::Finished`] in any case.
    fn start(&mut self, now: Instant, request: Self::Request) -> RequestId;

    /// Begins to take leave: what the modem holds for us is given back, and sessions that hang on it end. It is over when
    /// nothing is under way.
    fn leave(&mut self, now: Instant);

    /// Takes octets from the port.
    fn handle_input(&mut self, now: Instant, octets: &[u8]);

    /// Ends what is overdue.
    fn handle_timeout(&mut self, now: Instant);

    /// When [`Dialogue::handle_timeout`] wants to be called.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next thing to do or to tell.
    fn poll_output(&mut self) -> Option<Output<Self::Response, Self::Failure, Self::Indication>>;

    /// The port is gone: everything under way ends.
    fn close(&mut self);
}
