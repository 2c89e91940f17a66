//! Network access: registration and signal.

use super::tlv::Tlvs;
use super::{DecodeError, Indication, Refusal, Request, Response, Service};

/// The indication *Serving System*.
pub const SERVING_SYSTEM: u16 = 0x0024;
/// The indication *Signal Info*.
pub const SIGNAL_INFO: u16 = 0x0051;

/// Asks to be told of changes of the registration, and of the signal if wanted: a signal that moves wakes the host.
#[must_use]
pub fn register_indications(signal: bool) -> Request {
    let tlvs = Tlvs::default().with_u8(0x13, 1).with_u8(0x19, u8::from(signal));
    Request::new(Service::NAS, 0x0003, tlvs)
}

/// Registration with a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Not registered, not searching.
    NotRegistered,
    /// Registered.
    Registered,
    /// Searching.
    Searching,
    /// Denied.
    Denied,
    /// Not known.
    Unknown,
}

/// The network that serves the modem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingSystem {
    /// Registration.
    pub registration: Registration,
    /// Attached for calls.
    pub circuit_switched: bool,
    /// Attached for packets.
    pub packet_switched: bool,
    /// Whether it roams; `None` when the modem does not tell, which happens while it searches.
    pub roaming: Option<bool>,
    /// Country and network code, and the operator's name.
    pub network: Option<(u16, u16, String)>,
}

/// Asks for the network that serves the modem.
#[must_use]
pub fn get_serving_system() -> Request {
    Request::new(Service::NAS, SERVING_SYSTEM, Tlvs::default())
}

/// Reads the answer to [`get_serving_system`].
pub fn serving_system(response: &Response) -> Result<ServingSystem, Refusal> {
    response.result()?;
    Ok(read_serving_system(&response.tlvs)?)
}

/// Reads an indication of [`SERVING_SYSTEM`].
pub fn serving_system_changed(indication: &Indication) -> Result<ServingSystem, DecodeError> {
    read_serving_system(&indication.tlvs)
}

fn read_serving_system(tlvs: &Tlvs) -> Result<ServingSystem, DecodeError> {
    const ATTACHED: u8 = 1;
    let mut state = tlvs.need(0x01)?;
    let registration = match state.u8()? {
        0 => Registration::NotRegistered,
        1 => Registration::Registered,
        2 => Registration::Searching,
        3 => Registration::Denied,
        _ => Registration::Unknown,
    };
    let (circuit_switched, packet_switched) = (state.u8()? == ATTACHED, state.u8()? == ATTACHED);
    // The indicator is the wrong way round: 0 says that it roams, 1 that it does not, others are kinds of roaming.
    let roaming = match tlvs.find(0x10) {
        Some(mut indicator) => Some(indicator.u8()? != 1),
        None => None,
    };
    let network = match tlvs.find(0x12) {
        Some(mut network) => Some((network.u16()?, network.u16()?, network.short_text()?)),
        None => None,
    };
    Ok(ServingSystem {
        registration,
        circuit_switched,
        packet_switched,
        roaming,
        network,
    })
}

/// The signal of LTE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LteSignal {
    /// dBm
    pub rssi: i8,
    /// dB
    pub rsrq: i8,
    /// dBm
    pub rsrp: i16,
    /// Tenths of a decibel.
    pub snr_tenths: i16,
}

/// Asks for the signal.
#[must_use]
pub fn get_signal_info() -> Request {
    Request::new(Service::NAS, 0x004F, Tlvs::default())
}

/// Reads the signal of LTE from the answer to [`get_signal_info`]; `None` in another technology.
pub fn signal_info(response: &Response) -> Result<Option<LteSignal>, Refusal> {
    response.result()?;
    Ok(read_signal(&response.tlvs)?)
}

/// Reads an indication of [`SIGNAL_INFO`].
pub fn signal_changed(indication: &Indication) -> Result<Option<LteSignal>, DecodeError> {
    read_signal(&indication.tlvs)
}

fn read_signal(tlvs: &Tlvs) -> Result<Option<LteSignal>, DecodeError> {
    let Some(mut lte) = tlvs.find(0x14) else {
        return Ok(None);
    };
    Ok(Some(LteSignal {
        rssi: lte.i8()?,
        rsrq: lte.i8()?,
        rsrp: lte.i16()?,
        snr_tenths: lte.i16()?,
    }))
}
