//! The packet side of a modem: its registration with the IP multimedia subsystem, and its data bearer.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Registration with the IP multimedia subsystem (24.229), which carries VoLTE and SMS over IMS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ims {
    /// Registration as a whole; `None` while it is not known.
    pub registration: Option<ImsRegistration>,
    /// Voice over IMS.
    pub voice: Option<ImsService>,
    /// Short messages over IMS.
    pub sms: Option<ImsService>,
    /// Why it is not registered, or why it is not known.
    pub detail: String,
}

/// State of the registration with the IMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImsRegistration {
    /// Not registered.
    NotRegistered,
    /// Being registered.
    Registering,
    /// Registered.
    Registered,
    /// Registered for some services only.
    Limited,
}

/// Whether a service is to be had over the IMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImsService {
    /// Not available.
    Unavailable,
    /// With limits.
    Limited,
    /// Available.
    Available,
}

/// State of a data bearer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BearerState {
    /// It cannot be connected; the detail says why and what to do.
    #[default]
    NotReady,
    /// Disconnected.
    Disconnected,
    /// Connecting.
    Connecting,
    /// Connected.
    Connected,
    /// Disconnecting.
    Disconnecting,
}

/// Whether another try can help after a bearer failed or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Persistence {
    /// It may work later without anybody's doing.
    Transient,
    /// Somebody has to change something first.
    Permanent,
}

/// A modem's data bearer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bearer {
    /// Its state.
    pub state: BearerState,
    /// The network interface; empty if there is none.
    pub interface: String,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<String>,
    /// Name servers.
    pub name_servers: Vec<String>,
    /// Access point name; empty for the one that the network chose.
    pub apn: String,
    /// Largest packet, where the network told it.
    pub mtu: Option<u32>,
    /// Why it is not connected, and what to do.
    pub detail: String,
    /// Of the last failure or end.
    pub persistence: Option<Persistence>,
    /// When the state was entered.
    pub state_time: Timestamp,
}
