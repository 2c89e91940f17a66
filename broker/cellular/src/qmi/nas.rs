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

/// A radio interface, by its number in this service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RadioInterface {
    /// GSM.
    Gsm,
    /// UMTS.
    Umts,
    /// LTE.
    Lte,
}

impl RadioInterface {
    const ALL: [Self; 3] = [Self::Gsm, Self::Umts, Self::Lte];

    const fn number(self) -> u8 {
        match self {
            Self::Gsm => 4,
            Self::Umts => 5,
            Self::Lte => 8,
        }
    }

    /// Its bit where a set of them is told.
    const fn mode(self) -> u16 {
        match self {
            Self::Gsm => 1 << 2,
            Self::Umts => 1 << 3,
            Self::Lte => 1 << 4,
        }
    }
}

/// Sets which radio interfaces may be used, the first one preferred, until somebody sets it again.
#[must_use]
pub fn set_system_selection_preference(interfaces: &[RadioInterface]) -> Request {
    const PERMANENT: u8 = 1;
    let modes = interfaces.iter().fold(0, |modes, interface| modes | interface.mode());
    let mut order = vec![interfaces.len().min(usize::from(u8::MAX)) as u8];
    order.extend(interfaces.iter().map(|interface| interface.number()));
    let tlvs = Tlvs::default()
        .with(0x1E, &order)
        .with_u8(0x17, PERMANENT)
        .with(0x11, &modes.to_le_bytes());
    Request::new(Service::NAS, 0x0033, tlvs)
}

/// Asks which radio interfaces may be used.
#[must_use]
pub fn get_system_selection_preference() -> Request {
    Request::new(Service::NAS, 0x0034, Tlvs::default())
}

/// Reads the answer to [`get_system_selection_preference`]: those that may be used, the preferred ones first. Interfaces that
/// no modem of ours has are left out.
pub fn system_selection_preference(response: &Response) -> Result<Vec<RadioInterface>, Refusal> {
    response.result()?;
    let modes = response.tlvs.need(0x11)?.u16()?;
    let allowed = |interface: &RadioInterface| modes & interface.mode() != 0;
    let known = |number: &u8| RadioInterface::ALL.into_iter().find(|known| known.number() == *number);
    let order = response.tlvs.find(0x1C).map(|order| order.octets()).unwrap_or_default();
    let mut interfaces: Vec<_> = order.iter().skip(1).filter_map(known).filter(allowed).collect();
    // Firmware may leave the order out, or leave some out of it.
    for interface in RadioInterface::ALL.into_iter().rev().filter(allowed) {
        if !interfaces.contains(&interface) {
            interfaces.push(interface);
        }
    }
    Ok(interfaces)
}

/// Has the signal told only when it crosses one of a few thresholds, averaged, so that a modem at rest stays quiet: each
/// indication wakes the host. Measures that have no threshold here come along with those that have one.
#[must_use]
pub fn config_signal_info() -> Request {
    /// dBm
    const RSSI: [i8; 5] = [-105, -95, -85, -75, -65];
    /// dBm
    const RSRP: [i16; 5] = [-120, -112, -104, -96, -84];
    /// The slowest rate and the longest average that there are, in seconds.
    const REPORT: [u8; 2] = [5, 10];
    let mut rssi = vec![RSSI.len() as u8];
    rssi.extend(RSSI.map(i8::to_le_bytes).concat());
    let mut rsrp = vec![RSRP.len() as u8];
    rsrp.extend(RSRP.map(i16::to_le_bytes).concat());
    let tlvs = Tlvs::default().with(0x17, &REPORT).with(0x16, &rsrp).with(0x10, &rssi);
    Request::new(Service::NAS, 0x0050, tlvs)
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

/// The signal, in the technology that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// GSM: RSSI in dBm.
    Gsm(i8),
    /// UMTS: RSSI in dBm.
    Umts(i8),
    /// LTE.
    Lte(LteSignal),
}

/// Asks for the signal.
#[must_use]
pub fn get_signal_info() -> Request {
    Request::new(Service::NAS, 0x004F, Tlvs::default())
}

/// Reads the answer to [`get_signal_info`]; `None` in another technology and without service.
pub fn signal_info(response: &Response) -> Result<Option<Signal>, Refusal> {
    response.result()?;
    Ok(read_signal(&response.tlvs)?)
}

/// Reads an indication of [`SIGNAL_INFO`].
pub fn signal_changed(indication: &Indication) -> Result<Option<Signal>, DecodeError> {
    read_signal(&indication.tlvs)
}

fn read_signal(tlvs: &Tlvs) -> Result<Option<Signal>, DecodeError> {
    if let Some(mut lte) = tlvs.find(0x14) {
        return Ok(Some(Signal::Lte(LteSignal {
            rssi: lte.i8()?,
            rsrq: lte.i8()?,
            rsrp: lte.i16()?,
            snr_tenths: lte.i16()?,
        })));
    }
    if let Some(mut umts) = tlvs.find(0x13) {
        return Ok(Some(Signal::Umts(umts.i8()?)));
    }
    match tlvs.find(0x12) {
        Some(mut gsm) => Ok(Some(Signal::Gsm(gsm.i8()?))),
        None => Ok(None),
    }
}
