//! A virtual SIM7600: AT, PCM, QMI, SMS and a small network, with faults on demand.
//!
//! [`core::Modem`] is the device and its network as one state machine without I/O or clock. [`start`] puts it on
//! pseudo-terminals with a `sys` tree and a control socket, as another process would find it; [`start_in_process`] gives
//! streams in memory, for tests on a paused clock. [`Control`] is the handle to everything that happens outside the
//! modem: other people, the network, the cable, and faults.
//!
//! Nothing here shares a state machine or a codec with the programs that are tested against it.

#![deny(unsafe_code)]

pub mod audio;
pub mod control;
pub mod core;

mod client;
mod host;
mod transcript;

pub use client::{Control, ControlError, TranscriptFollower};
pub use control::{
    CallAudio, Card, Domain, DtmfWay, OutgoingPolicy, Refusal, RegistrationState, RingOptions, Signal, Status,
    TranscriptEntry, Way,
};
pub use core::{
    AudioFault, Books, Code, Composition, Config, Cure, DataCallEnd, DataCallRecord, Fate, Fault, FaultAction,
    Function, ImsRegistration, LeaseRecord, PacketNetwork, Phase, PinState, Timing, Trigger,
};
pub use host::{Attachment, InProcess, Options, Place, Running, StartError, start, start_in_process};
