//! The control service: client ids.

use std::time::Duration;

use super::tlv::Tlvs;
use super::{DecodeError, Refusal, Request, Response, Service};

/// Number of *Allocate CID*.
pub(super) const ALLOCATE: u16 = 0x0022;
/// Number of *Sync*, as a request and as an indication.
pub(super) const SYNC: u16 = 0x0027;

/// A modem that answers at all answers this at once.
const SYNC_LIMIT: Duration = Duration::from_secs(3);

/// Frees the client ids of everybody and ends their sessions. For whoever has the port alone, at the start: it takes back
/// what an earlier life that was killed has left behind.
#[must_use]
pub fn sync() -> Request {
    Request {
        limit: SYNC_LIMIT,
        ..Request::new(Service::CTL, SYNC, Tlvs::default())
    }
}

/// Names the port that libqmi's proxy is to open: the first message to it. It never reaches a modem.
#[must_use]
pub fn open_by_proxy(path: &str) -> Request {
    let tlvs = Tlvs::default().with(0x01, path.as_bytes());
    Request::new(Service::CTL, 0xFF00, tlvs)
}

/// Asks which services the firmware has.
#[must_use]
pub fn get_version_info() -> Request {
    Request::new(Service::CTL, 0x0021, Tlvs::default())
}

/// A service of the firmware with its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The service.
    pub service: Service,
    /// Incompatible changes.
    pub major: u16,
    /// Compatible ones.
    pub minor: u16,
}

/// Reads the answer to [`get_version_info`].
pub fn version_info(response: &Response) -> Result<Vec<Version>, Refusal> {
    response.result()?;
    let mut list = response.tlvs.need(0x01)?;
    let count = list.u8()?;
    let version = |_| -> Result<Version, DecodeError> {
        Ok(Version {
            service: Service(list.u8()?),
            major: list.u16()?,
            minor: list.u16()?,
        })
    };
    Ok((0..count).map(version).collect::<Result<_, _>>()?)
}

/// Asks for a client id of a service.
pub(super) fn allocate(service: Service) -> Request {
    Request::new(Service::CTL, ALLOCATE, Tlvs::default().with_u8(0x01, service.0))
}

/// Reads the answer to [`allocate`].
pub(super) fn allocated(response: &Response) -> Result<(Service, u8), Refusal> {
    response.result()?;
    let mut info = response.tlvs.need(0x01)?;
    Ok((Service(info.u8()?), info.u8()?))
}

/// Gives a client id back.
pub(super) fn release(service: Service, client: u8) -> Request {
    Request::new(Service::CTL, 0x0023, Tlvs::default().with(0x01, &[service.0, client]))
}
