//! The network side of a modem: registration, signal, cells.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Ims;

/// Registration in a domain (27.007 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationState {
    /// Not registered, not searching.
    NotRegistered,
    /// Home network.
    Home,
    /// Searching.
    Searching,
    /// Denied.
    Denied,
    /// Unknown.
    Unknown,
    /// Roaming.
    Roaming,
}

impl RegistrationState {
    /// Whether service can be had in this domain.
    pub fn is_registered(self) -> bool {
        matches!(self, RegistrationState::Home | RegistrationState::Roaming)
    }
}

/// Radio access technology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessTechnology {
    /// No service.
    NoService,
    /// GSM, GPRS, EDGE.
    Gsm,
    /// UMTS, HSPA.
    Umts,
    /// LTE.
    Lte,
}

/// Signal measures, in the units of the standards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// RSSI in dBm.
    pub rssi_dbm: Option<f64>,
    /// RSRP in dBm.
    pub rsrp_dbm: Option<f64>,
    /// RSRQ in dB.
    pub rsrq_db: Option<f64>,
    /// SINR in dB.
    pub sinr_db: Option<f64>,
    /// When it was measured.
    pub time: Timestamp,
}

/// The serving cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Location or tracking area code.
    pub area_code: Option<u32>,
    /// Cell identity.
    pub cell_id: Option<u64>,
    /// Band as the module names it.
    pub band: String,
    /// Channel number.
    pub channel: Option<u32>,
}

/// What the modem knows of the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// `+CREG`.
    pub circuit_switched: Option<RegistrationState>,
    /// `+CGREG`.
    pub packet_switched: Option<RegistrationState>,
    /// `+CEREG`.
    pub evolved_packet: Option<RegistrationState>,
    /// Operator's name.
    pub operator_name: String,
    /// Operator's MCC and MNC.
    pub operator_plmn: String,
    /// Technology.
    pub technology: Option<AccessTechnology>,
    /// Serving cell.
    pub cell: Cell,
    /// Signal.
    pub signal: Signal,
    /// Registration with the IMS.
    #[serde(default)]
    pub ims: Ims,
    /// Somebody selected the operator.
    #[serde(default)]
    pub manual_selection: Option<bool>,
    /// Technologies that may be used, the preferred one first; empty while that is not known.
    #[serde(default)]
    pub allowed_technologies: Vec<AccessTechnology>,
    /// When it was last read or told.
    pub update_time: Timestamp,
}

impl NetworkStatus {
    fn domains(&self) -> impl Iterator<Item = RegistrationState> {
        [self.circuit_switched, self.packet_switched, self.evolved_packet]
            .into_iter()
            .flatten()
    }

    /// Registered in any domain: a VoLTE-only SIM is denied in the circuit-switched one and works all the same.
    pub fn is_registered(&self) -> bool {
        self.domains().any(RegistrationState::is_registered)
    }

    /// Roaming in any domain.
    pub fn is_roaming(&self) -> bool {
        self.domains().any(|state| state == RegistrationState::Roaming)
    }
}
