//! What the broker tells about: plain values that the actor produces, the store keeps and the server converts.
//!
//! An [`Event`] carries the whole resource after the change, so a reader never has to ask again. These values are written
//! to disk as JSON inside the journal: a field may be added with a `#[serde(default)]`, and none may change its meaning.

mod call;
mod data;
mod message;
mod modem;
mod network;
mod ussd;
mod wan;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::message::{
    ApplicationPorts, InformationElement, Message, MessageCoding, MessageDirection, MessageState, MessageWaiting,
    Priority, WaitingKind,
};
pub use self::modem::{
    Carrier, CarrierSource, Degradation, Health, ModemStatus, Port, PortRole, PortState, Sim, SimCode, SimState, Stage,
};
pub use call::{
    AudioProblem, AudioProblems, AudioStatistics, Call, CallAudio, CallDirection, CallEndCause, CallState, Dtmf,
    Forwarding, ForwardingReason,
};
pub use data::{Bearer, BearerState, Ims, ImsRegistration, ImsService, Persistence};
pub use network::{AccessTechnology, Cell, NetworkStatus, RegistrationState, Signal};
pub use ussd::{UssdEndCause, UssdSession, UssdState};
pub use wan::{DataUsage, PrimaryState, ProbeResult, WanMode, WanRole, WanStatus};

/// Position in the journal. Grows from event to event and is never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the journal.
    pub sequence: Sequence,
    /// When it happened.
    pub time: Timestamp,
    /// The modem it is about.
    pub modem: String,
    /// What changed.
    pub change: Change,
}

/// The resource after a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A modem's stage, health or ports.
    Modem(ModemStatus),
    /// A SIM.
    Sim(Sim),
    /// A short message.
    Message(Message),
    /// A call.
    Call(Call),
    /// Registration, operator, technology or signal.
    Network(NetworkStatus),
    /// A USSD session.
    Ussd(UssdSession),
    /// The choice of the WAN.
    Wan(WanStatus),
    /// The data bearer.
    Bearer(Bearer),
    /// A tone was received in a call.
    Dtmf(Dtmf),
    /// A stored resource is gone.
    Deleted(Deleted),
}

/// A stored resource that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// What it was.
    pub kind: DeletedKind,
    /// Its identifier.
    pub id: String,
    /// Why.
    pub cause: DeletionCause,
}

/// What is stored and can be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletedKind {
    /// A message.
    Message,
    /// A call.
    Call,
    /// A USSD session.
    Ussd,
}

/// Why a stored resource is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletionCause {
    /// A client deleted it.
    Client,
    /// It was too old, or there were too many.
    Retention,
    /// The disk damaged it.
    Unreadable,
}

/// Kinds of changes, for filters. The numbers are the contract's `EventKind` and are stored in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ChangeKind {
    /// [`Change::Modem`].
    Modem = 1,
    /// [`Change::Sim`].
    Sim = 2,
    /// [`Change::Message`].
    Message = 3,
    /// [`Change::Call`].
    Call = 4,
    /// [`Change::Network`].
    Network = 5,
    /// [`Change::Ussd`].
    Ussd = 6,
    /// [`Change::Wan`].
    Wan = 7,
    /// [`Change::Bearer`].
    Bearer = 8,
    /// [`Change::Dtmf`].
    Dtmf = 9,
    /// [`Change::Deleted`].
    Deleted = 10,
}

impl Change {
    /// The kind, for filters.
    pub fn kind(&self) -> ChangeKind {
        match self {
            Change::Modem(_) => ChangeKind::Modem,
            Change::Sim(_) => ChangeKind::Sim,
            Change::Message(_) => ChangeKind::Message,
            Change::Call(_) => ChangeKind::Call,
            Change::Network(_) => ChangeKind::Network,
            Change::Ussd(_) => ChangeKind::Ussd,
            Change::Wan(_) => ChangeKind::Wan,
            Change::Bearer(_) => ChangeKind::Bearer,
            Change::Dtmf(_) => ChangeKind::Dtmf,
            Change::Deleted(_) => ChangeKind::Deleted,
        }
    }
}

/// A position of the GNSS receiver. It is never stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Fix {
    /// Degrees, north positive.
    pub latitude_degrees: f64,
    /// Degrees, east positive.
    pub longitude_degrees: f64,
    /// Above mean sea level.
    pub altitude_m: Option<f64>,
    /// Over ground.
    pub speed_mps: Option<f64>,
    /// Over ground.
    pub course_degrees: Option<f64>,
    /// When, by the satellites.
    pub fix_time: Timestamp,
    /// When the broker heard of it.
    pub receive_time: Timestamp,
    /// Satellites in use.
    pub satellites_used: Option<u32>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f64>,
    /// One standard deviation of the horizontal error.
    pub horizontal_accuracy_m: Option<f64>,
}
