//! What happens later: a queue ordered by time and, at the same time, by the order of scheduling.

use std::collections::BTreeMap;
use std::time::Instant;

use super::PortId;
use super::reply::{Reply, Target};

/// Something that is due at an instant.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// The delayed end of a command; ignored when the port has been reset since.
    Finish { port: PortId, epoch: u64, reply: Reply },
    /// The delayed effect and end of a command.
    Effect { port: PortId, epoch: u64, effect: Effect },
    /// Power-on messages.
    Boot(Boot),
    /// The ports vanish; with a composition they come back after the delay that belongs to the cause.
    Leave { back: Option<Return> },
    /// The ports come back.
    Arrive,
    /// It comes back on the bus; the module never stopped.
    Reappear,
    /// Registration with the network is complete.
    Registered { generation: u64 },
    /// One more ring of an incoming call.
    Ring { call: u64 },
    /// The next step of an outgoing call.
    Progress { call: u64, step: CallStep },
    /// The network hangs up.
    RemoteHangUp { call: u64 },
    /// The network tries to deliver the next message that waits.
    Deliver,
    /// `+CNMA` did not come in time.
    AcknowledgeTimeout { delivery: u64 },
    /// A STATUS-REPORT arrives.
    Report { submit: u64 },
    /// The text of the network on a USSD request.
    Ussd { text: String, mode: u8, generation: u64 },
    /// Periodic sentences of the GNSS receiver.
    Nmea { generation: u64 },
    /// An unsolicited line.
    Unsolicited { line: String },
    /// A data session is there; ignored when it was given up since.
    Session { id: u64 },
    /// The same of the MBIM function.
    MbimSession { id: u64 },
    /// The modem port enters the data state: with a new call over a context, or with the one that is there.
    DataState { context: Option<u32> },
    /// Something of the data call is due.
    DataCall,
}

/// Stages of power-on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boot {
    Ready,
    Sim,
    Messages,
    Phonebook,
}

/// Why the ports come back and how long that takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Return {
    Reset,
    Enumeration,
    After(u64),
    /// When the host says so.
    Authorization,
}

/// Progress of an outgoing call, as the network reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallStep {
    Alert,
    Answer,
    Busy,
    NoAnswer,
    Reject,
}

/// What a slow command does at its end.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Submit { target: Target, payload: Vec<u8> },
    SendStored { index: usize, destination: Option<String> },
    Answer,
    HangUp,
    Reply(Reply),
}

/// The queue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schedule {
    entries: BTreeMap<(Instant, u64), Action>,
    sequence: u64,
}

impl Schedule {
    pub(crate) fn at(&mut self, when: Instant, action: Action) {
        self.sequence += 1;
        self.entries.insert((when, self.sequence), action);
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.entries.keys().next().map(|(when, _)| *when)
    }

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Action> {
        let key = *self.entries.keys().next().filter(|(when, _)| *when <= now)?;
        self.entries.remove(&key)
    }

    /// Forgets what fits.
    pub(crate) fn cancel(&mut self, fits: impl Fn(&Action) -> bool) {
        self.entries.retain(|_, action| !fits(action));
    }
}
