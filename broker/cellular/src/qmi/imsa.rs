//! IMS application: whether the modem is registered with the IMS, and which services it has there.

use super::tlv::{Tlvs, Value};
use super::{DecodeError, Indication, Refusal, Request, Response, Service};

/// The indication *IMS Registration Status Changed*.
pub const REGISTRATION_CHANGED: u16 = 0x0023;
/// The indication *IMS Services Status Changed*.
pub const SERVICES_CHANGED: u16 = 0x0024;

/// Registration with the IMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationStatus {
    /// Not registered.
    NotRegistered,
    /// Being registered.
    Registering,
    /// Registered.
    Registered,
    /// Registered for some services only.
    Limited,
    /// Another number.
    Other(u32),
}

/// The registration, with what the IMS said when it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The state.
    pub status: RegistrationStatus,
    /// SIP status code of the last failure.
    pub error_code: Option<u16>,
    /// Its reason phrase.
    pub error_message: Option<String>,
}

/// Whether a service is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceStatus {
    /// Not available.
    Unavailable,
    /// With limits.
    Limited,
    /// Available.
    Available,
    /// Another number.
    Other(u32),
}

/// The services that the broker cares about; `None` where the modem does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Services {
    /// Short messages.
    pub sms: Option<ServiceStatus>,
    /// Voice.
    pub voice: Option<ServiceStatus>,
}

/// Asks to be told of both.
#[must_use]
pub fn register_indications() -> Request {
    Request::new(Service::IMSA, 0x0022, Tlvs::default().with_u8(0x10, 1).with_u8(0x11, 1))
}

/// Asks for the registration.
#[must_use]
pub fn get_registration_status() -> Request {
    Request::new(Service::IMSA, 0x0020, Tlvs::default())
}

/// Reads the answer to [`get_registration_status`]. Its TLVs are numbered otherwise than those of the indication. Without a
/// status TLV, which firmware leaves out before the first attempt, nothing is registered.
pub fn registration(response: &Response) -> Result<Registration, Refusal> {
    response.result()?;
    Ok(read_registration(&response.tlvs, 0x12, 0x11, 0x13)?)
}

/// Reads an indication of [`REGISTRATION_CHANGED`].
pub fn registration_changed(indication: &Indication) -> Result<Registration, DecodeError> {
    read_registration(&indication.tlvs, 0x11, 0x10, 0x12)
}

fn read_registration(tlvs: &Tlvs, status: u8, code: u8, message: u8) -> Result<Registration, DecodeError> {
    let status = tlvs.find(status).map(|mut value| value.u32()).transpose()?;
    let error_code = tlvs.find(code).map(|mut value| value.u16()).transpose()?;
    Ok(Registration {
        status: match status {
            None | Some(0) => RegistrationStatus::NotRegistered,
            Some(1) => RegistrationStatus::Registering,
            Some(2) => RegistrationStatus::Registered,
            Some(3) => RegistrationStatus::Limited,
            Some(other) => RegistrationStatus::Other(other),
        },
        error_code: error_code.filter(|code| *code != 0),
        error_message: tlvs.find(message).map(Value::text).filter(|text| !text.is_empty()),
    })
}

/// Asks for the services.
#[must_use]
pub fn get_services_status() -> Request {
    Request::new(Service::IMSA, 0x0021, Tlvs::default())
}

/// Reads the answer to [`get_services_status`].
pub fn services(response: &Response) -> Result<Services, Refusal> {
    response.result()?;
    Ok(read_services(&response.tlvs)?)
}

/// Reads an indication of [`SERVICES_CHANGED`].
pub fn services_changed(indication: &Indication) -> Result<Services, DecodeError> {
    read_services(&indication.tlvs)
}

fn read_services(tlvs: &Tlvs) -> Result<Services, DecodeError> {
    let status = |kind| -> Result<Option<ServiceStatus>, DecodeError> {
        let Some(mut value) = tlvs.find(kind) else {
            return Ok(None);
        };
        Ok(Some(match value.u32()? {
            0 => ServiceStatus::Unavailable,
            1 => ServiceStatus::Limited,
            2 => ServiceStatus::Available,
            other => ServiceStatus::Other(other),
        }))
    };
    Ok(Services {
        sms: status(0x10)?,
        voice: status(0x11)?,
    })
}
