//! Registration, the packet service and the signal (10.5.6, 10.5.9 to 10.5.11).

use std::time::Duration;

use super::{HOME_PROVIDER, PACKET_SERVICE, REGISTER_STATE, SIGNAL_STATE, query, set};
use crate::mbim::information::{Reader, Writer};
use crate::mbim::{Refusal, Request, Response};

/// Attaching takes the network.
const ATTACH_LIMIT: Duration = Duration::from_secs(60);
const REGISTER_LIMIT: Duration = Duration::from_secs(60);

/// Asks for the network that issued the SIM.
#[must_use]
pub fn home_provider() -> Request {
    query(HOME_PROVIDER)
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// MCC and MNC.
    pub plmn: String,
    /// Its name.
    pub name: String,
}

/// Reads the answer to [`home_provider`].
pub fn read_home_provider(response: &Response) -> Result<Provider, Refusal> {
    response.result()?;
    let mut reader = Reader::new(&response.information);
    let plmn = reader.text()?;
    let _state = reader.u32()?;
    Ok(Provider {
        plmn,
        name: reader.text()?,
    })
}

/// Asks for the registration.
#[must_use]
pub fn register_state() -> Request {
    query(REGISTER_STATE)
}

/// Lets the module choose a network.
#[must_use]
pub fn register_automatically() -> Request {
    const AUTOMATIC: u32 = 0;
    const ANY_CLASS: u32 = 0;
    let information = Writer::default().with_text("").with_u32(AUTOMATIC).with_u32(ANY_CLASS);
    Request {
        limit: REGISTER_LIMIT,
        ..set(REGISTER_STATE, information)
    }
}

/// Whether and how it is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// Not registered and not looking.
    Deregistered,
    /// Looking for a network.
    Searching,
    /// In its home network.
    Home,
    /// In another network, as a partner's guest or any other.
    Roaming,
    /// The network refuses.
    Denied,
    /// Not known, or another number.
    Other(u32),
}

impl From<u32> for RegistrationState {
    fn from(number: u32) -> Self {
        match number {
            1 => Self::Deregistered,
            2 => Self::Searching,
            3 => Self::Home,
            4 | 5 => Self::Roaming,
            6 => Self::Denied,
            other => Self::Other(other),
        }
    }
}

/// The registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Why it was refused (24.008 10.5.3.6); 0 if it was not.
    pub cause: u32,
    /// Whether and how.
    pub state: RegistrationState,
    /// Whether somebody chose the network.
    pub manual: bool,
    /// MCC and MNC.
    pub plmn: String,
    /// The name of the network.
    pub name: String,
}

/// Reads the answer to [`register_state`], or what an indication tells.
pub fn read_registration(information: &[u8]) -> Result<Registration, Refusal> {
    let mut reader = Reader::new(information);
    let (cause, state, mode) = (reader.u32()?, reader.u32()?, reader.u32()?);
    // Data classes and cellular class.
    reader.array::<8>()?;
    Ok(Registration {
        cause,
        state: state.into(),
        manual: mode == 2,
        plmn: reader.text()?,
        name: reader.text()?,
    })
}

/// Asks whether it is attached.
#[must_use]
pub fn packet_service() -> Request {
    query(PACKET_SERVICE)
}

/// Attaches or detaches.
#[must_use]
pub fn attach(on: bool) -> Request {
    Request {
        limit: ATTACH_LIMIT,
        ..set(PACKET_SERVICE, Writer::default().with_u32(u32::from(!on)))
    }
}

/// Whether it is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// On its way.
    Attaching,
    /// Attached.
    Attached,
    /// On its way out.
    Detaching,
    /// Detached.
    Detached,
    /// Not known, or another number.
    Other(u32),
}

impl From<u32> for Attachment {
    fn from(number: u32) -> Self {
        match number {
            1 => Self::Attaching,
            2 => Self::Attached,
            3 => Self::Detaching,
            4 => Self::Detached,
            other => Self::Other(other),
        }
    }
}

/// The packet service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketService {
    /// Why it was refused (24.008 10.5.5.14); 0 if it was not.
    pub cause: u32,
    /// Whether it is attached.
    pub attachment: Attachment,
    /// Bits per second to the network.
    pub uplink: u64,
    /// Bits per second from the network.
    pub downlink: u64,
}

/// Reads the answer to [`packet_service`] and [`attach`], or what an indication tells.
pub fn read_packet_service(information: &[u8]) -> Result<PacketService, Refusal> {
    let mut reader = Reader::new(information);
    let (cause, state) = (reader.u32()?, reader.u32()?);
    let _data_class = reader.u32()?;
    Ok(PacketService {
        cause,
        attachment: state.into(),
        uplink: reader.u64()?,
        downlink: reader.u64()?,
    })
}

/// Asks for the signal.
#[must_use]
pub fn signal_state() -> Request {
    query(SIGNAL_STATE)
}

/// Asks to be told where the signal has changed by so many steps of 2 dB, and not of the error rate.
#[must_use]
pub fn set_signal_thresholds(steps: u32) -> Request {
    const DEFAULT_INTERVAL: u32 = 0;
    const NEVER: u32 = u32::MAX;
    let information = Writer::default().with_u32(DEFAULT_INTERVAL).with_u32(steps);
    set(SIGNAL_STATE, information.with_u32(NEVER))
}

/// The signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// In steps as of 27.007 8.5, where it is known.
    steps: Option<u32>,
}

impl Signal {
    /// RSSI.
    #[must_use]
    pub fn rssi_dbm(self) -> Option<i8> {
        let steps = i8::try_from(self.steps?.min(31)).ok()?;
        Some(-113 + 2 * steps)
    }
}

/// Reads the answer to [`signal_state`], or what an indication tells.
pub fn read_signal(information: &[u8]) -> Result<Signal, Refusal> {
    const UNKNOWN: u32 = 99;
    let steps = Reader::new(information).u32()?;
    Ok(Signal {
        steps: Some(steps).filter(|steps| *steps != UNKNOWN),
    })
}
