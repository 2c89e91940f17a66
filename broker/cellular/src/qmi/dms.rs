//! Device management: identity and operating mode.

use super::tlv::Tlvs;
use super::{Refusal, Request, Response, Service};

/// Asks for the serial numbers.
#[must_use]
pub fn get_ids() -> Request {
    Request::new(Service::DMS, 0x0025, Tlvs::default())
}

/// Reads the IMEI from the answer to [`get_ids`].
pub fn imei(response: &Response) -> Result<String, Refusal> {
    response.result()?;
    Ok(response.tlvs.need(0x11)?.text())
}

/// Asks for the firmware's revision.
#[must_use]
pub fn get_revision() -> Request {
    Request::new(Service::DMS, 0x0023, Tlvs::default())
}

/// Reads the answer to [`get_revision`].
pub fn revision(response: &Response) -> Result<String, Refusal> {
    response.result()?;
    Ok(response.tlvs.need(0x01)?.text())
}

/// How far the modem is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatingMode {
    /// The radio works.
    Online,
    /// The radio is off.
    LowPower,
    /// For the factory.
    Factory,
    /// Off until a reset.
    Offline,
    /// Resets itself.
    Reset,
    /// Shuts down.
    ShuttingDown,
    /// The radio is off, also after a reset.
    PersistentLowPower,
    /// Another number.
    Other(u8),
}

/// Asks for the operating mode.
#[must_use]
pub fn get_operating_mode() -> Request {
    Request::new(Service::DMS, 0x002D, Tlvs::default())
}

/// Reads the answer to [`get_operating_mode`].
pub fn operating_mode(response: &Response) -> Result<OperatingMode, Refusal> {
    response.result()?;
    Ok(match response.tlvs.need(0x01)?.u8()? {
        0 => OperatingMode::Online,
        1 => OperatingMode::LowPower,
        2 => OperatingMode::Factory,
        3 => OperatingMode::Offline,
        4 => OperatingMode::Reset,
        5 => OperatingMode::ShuttingDown,
        6 => OperatingMode::PersistentLowPower,
        other => OperatingMode::Other(other),
    })
}

/// Switches the radio on or off.
#[must_use]
pub fn set_online(online: bool) -> Request {
    Request::new(Service::DMS, 0x002E, Tlvs::default().with_u8(0x01, u8::from(!online)))
}
