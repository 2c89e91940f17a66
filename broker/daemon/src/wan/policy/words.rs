//! What the policy is told, what it says, and what it knows.

use std::time::Instant;

use crate::resource::{WanMode, WanRole};

/// What the kernel says of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// There is no such interface.
    Absent,
    /// It has no carrier, or is switched off.
    Down,
    /// It has no default route.
    NoRoute,
    /// It is up and has a default route.
    Up,
}

/// What a round of probes found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Targets answer, and so do name servers.
    Good,
    /// No target answers.
    NoAnswer,
    /// Targets answer, name servers do not.
    NoNames,
    /// A captive portal answers in place of the internet.
    Portal,
}

/// Kinds of rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// One volley.
    Single,
    /// Several volleys, a verdict within about a second.
    Burst,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Somebody set the mode.
    Mode(WanMode),
    /// Somebody forced a WAN, or released it.
    Force(Option<WanRole>),
    /// The data that the period allows is used up, or is not any more.
    Capped(bool),
    /// What the kernel says of the primary. Told again when its addresses or routes changed.
    Link(Link),
    /// Something came that makes the internet important now: a call, a message, a request.
    Triggered,
    /// A round of probes through the primary ended.
    Probed(u64, Finding),
    /// The modem could be connected, or cannot be.
    Ready(bool),
    /// The modem's bearer is connected.
    Connected,
    /// It was not connected; whether somebody has to change something first.
    NotConnected(Persistent),
    /// It was connected and is not any more.
    Lost(Persistent),
    /// A probe through the modem ended.
    BackupProbed(u64, bool),
    /// The deadline came.
    Due,
}

/// Whether a failure stays until somebody changes something.
pub type Persistent = bool;

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Probe the primary.
    Probe(u64, Round),
    /// Probe the modem.
    ProbeBackup(u64),
    /// Connect the modem's bearer.
    Connect,
    /// Disconnect it.
    Disconnect,
    /// Lead the traffic.
    Use(WanRole),
}

/// What is known of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primary {
    /// Nobody wants to know.
    Unwatched,
    /// It works.
    Good,
    /// It is being looked at closely: nothing was known of it, or something makes it doubtful.
    Suspect,
    /// It does not work.
    Failed(Cause),
}

/// Why the primary does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The kernel says so.
    Link(Link),
    /// Probes say so.
    Probes(Finding),
}

/// What is known of the modem's bearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backup {
    /// It cannot be connected.
    NotReady,
    /// It is not connected, and may be from this instant on.
    Down(Instant),
    /// It is being connected.
    Connecting,
    /// It is connected.
    Up,
}
