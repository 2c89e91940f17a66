//! A modem: how far it came up, its SIM, its ports, its carrier.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How far a modem came up. Stages are passed in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// No device, or its ports cannot be opened.
    #[default]
    Absent,
    /// The ports are being opened.
    Enumerated,
    /// The AT ports are being probed.
    Probing,
    /// Manufacturer, model, revision and IMEI are being read.
    Identifying,
    /// Waiting for the SIM.
    Sim,
    /// The carrier is being found.
    Carrier,
    /// The contexts are being compared with the carrier's.
    Contexts,
    /// Storage and reporting are being configured.
    Configuring,
    /// Waiting for the network.
    Registering,
    /// Voice over LTE is being switched on.
    Volte,
    /// The message storage is being checked.
    Sms,
    /// Reports of calls and the audio port are being checked.
    Voice,
    /// The packet data context is being activated.
    Data,
    /// Calls, messages and status work.
    Ready,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Stage; 14] = [
        Stage::Absent,
        Stage::Enumerated,
        Stage::Probing,
        Stage::Identifying,
        Stage::Sim,
        Stage::Carrier,
        Stage::Contexts,
        Stage::Configuring,
        Stage::Registering,
        Stage::Volte,
        Stage::Sms,
        Stage::Voice,
        Stage::Data,
        Stage::Ready,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Absent => "absent",
            Stage::Enumerated => "enumerated",
            Stage::Probing => "probing",
            Stage::Identifying => "identifying",
            Stage::Sim => "SIM",
            Stage::Carrier => "carrier",
            Stage::Contexts => "contexts",
            Stage::Configuring => "configuring",
            Stage::Registering => "registering",
            Stage::Volte => "VoLTE",
            Stage::Sms => "SMS",
            Stage::Voice => "voice",
            Stage::Data => "data",
            Stage::Ready => "ready",
        }
    }
}

/// Where what is known of a carrier comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CarrierSource {
    /// The configuration, at least in part.
    Configured,
    /// The broker's own table.
    BuiltIn,
    /// The database of mobile-broadband-provider-info.
    Package,
    /// Nowhere: the module's own settings stay.
    #[default]
    Fallback,
}

/// The carrier that issued a SIM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carrier {
    /// Its name.
    pub name: String,
    /// Its country; empty when it is not known.
    pub country: String,
    /// MCC and MNC.
    pub plmn: String,
    /// Access point name for data; empty: the network chooses.
    pub data_apn: String,
    /// Access point name of the IMS.
    pub ims_apn: String,
    /// Where this comes from.
    pub source: CarrierSource,
    /// The service provider's name on the SIM.
    pub service_provider_name: String,
}

/// Something that does not work although the modem came up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degradation {
    /// The stage that it was noticed in.
    pub stage: Stage,
    /// The evidence, and what to do.
    pub reason: String,
}

/// A verdict about a modem as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Everything asked lately was answered.
    #[default]
    Ok,
    /// It works, with a limitation.
    Degraded,
    /// It does not work.
    Failed,
}

/// A modem as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModemStatus {
    /// The configured name.
    pub name: String,
    /// How far it came up.
    pub stage: Stage,
    /// What the stage waits for, in words for people.
    pub stage_detail: String,
    /// When the stage was entered.
    pub stage_time: Timestamp,
    /// The verdict.
    pub health: Health,
    /// Evidence of a verdict other than OK, and what to do.
    pub health_reason: String,
    /// `AT+CGMI`.
    pub manufacturer: String,
    /// `AT+CGMM`.
    pub model: String,
    /// `AT+CGMR`.
    pub revision: String,
    /// `AT+CGSN`.
    pub imei: String,
    /// USB product id in hexadecimal; empty for ports named in the configuration.
    pub composition: String,
    /// The USB path in sysfs; empty for ports named in the configuration.
    pub usb_path: String,
    /// The ports.
    pub ports: Vec<Port>,
    /// The carrier, once it was found.
    #[serde(default)]
    pub carrier: Option<Carrier>,
    /// What does not work although the modem came up.
    #[serde(default)]
    pub degradations: Vec<Degradation>,
}

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortRole {
    /// Qualcomm diagnostics; never opened.
    Diagnostics,
    /// NMEA sentences.
    Nmea,
    /// Messages and status.
    At,
    /// Calls.
    AtCalls,
    /// PCM.
    Audio,
    /// QMI control.
    Qmi,
    /// MBIM control.
    Mbim,
    /// AT commands and data calls (PPP).
    Ppp,
}

/// What the broker does with a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// Not used.
    #[default]
    Unused,
    /// The device node is missing.
    Missing,
    /// Somebody else holds it.
    Held,
    /// Held and answering.
    Open,
    /// Held, but it does not answer.
    Silent,
    /// It failed with an error of the operating system.
    Failed,
}

/// A port of a modem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// What it is for.
    pub role: PortRole,
    /// What the broker does with it.
    pub state: PortState,
    /// Path of the node, or `tcp:HOST:PORT`.
    pub path: String,
    /// Who holds it, or the error.
    pub detail: String,
    /// When the state was entered.
    pub state_time: Timestamp,
}

/// State of a SIM (27.007 8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimState {
    /// Not read yet.
    #[default]
    Unknown,
    /// No SIM.
    Absent,
    /// Starting.
    Busy,
    /// Waits for the PIN.
    PinRequired,
    /// Waits for the PUK.
    PukRequired,
    /// Ready.
    Ready,
    /// Failed.
    Failed,
}

/// In words that go on from "the SIM".
impl std::fmt::Display for SimState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SimState::Unknown => "was not read yet",
            SimState::Absent => "is missing",
            SimState::Busy => "is starting",
            SimState::PinRequired => "waits for its PIN",
            SimState::PukRequired => "waits for its PUK",
            SimState::Ready => "is ready",
            SimState::Failed => "failed",
        })
    }
}

/// A SIM.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sim {
    /// Its state.
    pub state: SimState,
    /// Card identifier.
    pub iccid: String,
    /// Subscriber identity.
    pub imsi: String,
    /// Home network.
    pub home_plmn: String,
    /// The subscriber's own numbers.
    pub own_numbers: Vec<String>,
    /// Attempts left for the PIN.
    pub pin_attempts_left: Option<u32>,
    /// Attempts left for the PUK.
    pub puk_attempts_left: Option<u32>,
    /// Whether the PIN is asked for at power-on, when it was read.
    #[serde(default)]
    pub pin_lock_enabled: Option<bool>,
}

/// Which code of the SIM is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimCode {
    /// The PIN.
    Pin,
    /// The PUK, which unblocks a SIM whose PIN has no attempt left.
    Puk,
}

impl SimCode {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            SimCode::Pin => "PIN",
            SimCode::Puk => "PUK",
        }
    }
}
