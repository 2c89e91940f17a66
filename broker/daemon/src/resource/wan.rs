//! The choice of the WAN.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which WAN carries the traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WanRole {
    /// The primary.
    #[default]
    Primary,
    /// The modem.
    Backup,
    /// None works.
    None,
}

/// How the modem's data is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WanMode {
    /// Not at all.
    #[default]
    Off,
    /// When the primary fails.
    Backup,
    /// As a backup that is kept connected.
    Standby,
    /// Always.
    AlwaysOn,
}

/// What is known of the primary WAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrimaryState {
    /// Nobody wants to know.
    #[default]
    Unwatched,
    /// It works.
    Good,
    /// It is being looked at closely.
    Suspect,
    /// It has no link, no address or no default route.
    LinkDown,
    /// Nothing behind it answers.
    NoAnswer,
    /// Name servers do not answer.
    NoNames,
    /// A captive portal stands in the way.
    Portal,
}

/// What a probe saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProbeResult {
    /// The interface it went through.
    pub interface: String,
    /// The target.
    pub target: String,
    /// Whether it was answered as it should be.
    pub ok: bool,
    /// Round-trip time of an answer.
    pub round_trip: Duration,
    /// When it was sent.
    pub probe_time: Timestamp,
    /// What went wrong.
    pub detail: String,
}

/// State of the WANs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WanStatus {
    /// Which one carries the traffic.
    pub active: WanRole,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// How the modem's data is used.
    pub mode: WanMode,
    /// Which one somebody forced.
    pub forced: Option<WanRole>,
    /// What is known of the primary.
    pub primary: PrimaryState,
    /// The primary's interface.
    pub primary_interface: String,
    /// The modem's interface.
    pub backup_interface: String,
    /// The state of the modem as a way, in words.
    pub backup_detail: String,
    /// How long the primary has to be without fault before it is used again.
    pub hold: Duration,
    /// Failovers since the broker started.
    pub failovers: u64,
    /// The last probe of each target.
    pub probes: Vec<ProbeResult>,
}

/// The data that a modem carried in the current period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataUsage {
    /// Octets received.
    pub downlink: u64,
    /// Octets sent.
    pub uplink: u64,
    /// When the period began.
    pub period_start: Timestamp,
}
