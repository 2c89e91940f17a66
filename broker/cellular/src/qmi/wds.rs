//! Wireless data: sessions, one client for each IP family.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::tlv::{Tlvs, Value};
use super::{DecodeError, EndReason, Endpoint, Indication, ProtocolError, Refusal, Request, Response, Service};

pub use crate::packet::{Authentication, Family, Session, Settings};

/// The indication *Packet Service Status*.
pub const PACKET_SERVICE_STATUS: u16 = 0x0022;

/// Setting up a session takes the network.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Stands for whatever session there is.
const ANY_SESSION: u32 = 0xFFFF_FFFF;

/// Name servers, address, gateway, MTU, domains and family.
const REQUESTED_SETTINGS: u32 = 0x0000_E330;

impl Family {
    const fn number(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    /// The client that serves this family.
    #[must_use]
    pub const fn endpoint(self) -> Endpoint {
        Endpoint {
            service: Service::WDS,
            number: match self {
                Self::V4 => 0,
                Self::V6 => 1,
            },
        }
    }
}

fn request(family: Family, id: u16, tlvs: Tlvs) -> Request {
    Request {
        endpoint: family.endpoint(),
        ..Request::new(Service::WDS, id, tlvs)
    }
}

/// Says which family a client is for.
#[must_use]
pub fn set_ip_family(family: Family) -> Request {
    request(family, 0x004D, Tlvs::default().with_u8(0x01, family.number()))
}

/// Sets a session up.
#[must_use]
pub fn start_network(family: Family, session: &Session) -> Request {
    let mut tlvs = Tlvs::default();
    if session.autoconnect {
        tlvs = tlvs.with_u8(0x33, 1);
    }
    if let Some(profile) = session.profile {
        tlvs = tlvs.with_u8(0x31, profile);
    }
    tlvs = tlvs.with_u8(0x19, family.number());
    if session.authentication != Authentication::None {
        let bits = match session.authentication {
            Authentication::None => 0,
            Authentication::Pap => 1,
            Authentication::Chap => 2,
            Authentication::Both => 3,
        };
        tlvs = tlvs
            .with(0x18, session.password.as_bytes())
            .with(0x17, session.user.as_bytes())
            .with_u8(0x16, bits);
    }
    if !session.apn.is_empty() {
        tlvs = tlvs.with(0x14, session.apn.as_bytes());
    }
    Request {
        limit: START_LIMIT,
        ..request(family, 0x0020, tlvs)
    }
}

/// A session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(u32);

impl Handle {
    /// Whatever session there is: one that was set up after we had stopped waiting, or by somebody else.
    pub const ANY: Self = Self(ANY_SESSION);
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStarted {
    /// The network or the modem said why.
    #[error("{0}")]
    Ended(EndReason),
    /// The modem refused without a reason.
    #[error("{0}")]
    Refused(Refusal),
}

/// Reads the answer to [`start_network`]. That a session is there already is a success: an earlier request may have been
/// carried out after its time.
pub fn started(response: &Response) -> Result<Handle, NotStarted> {
    let handle = || {
        let handle = response.tlvs.find(0x01).and_then(|mut handle| handle.u32().ok());
        handle.map_or(Handle::ANY, Handle)
    };
    match response.result() {
        Ok(()) | Err(Refusal::Protocol(ProtocolError::NO_EFFECT)) => Ok(handle()),
        Err(refusal) => Err(match end_reason(&response.tlvs) {
            Ok(Some(reason)) => NotStarted::Ended(reason),
            _ => NotStarted::Refused(refusal),
        }),
    }
}

fn end_reason(tlvs: &Tlvs) -> Result<Option<EndReason>, DecodeError> {
    let Some(mut verbose) = tlvs.find(0x11) else {
        return Ok(None);
    };
    Ok(Some(EndReason {
        layer: verbose.u16()?,
        number: verbose.i16()?,
    }))
}

/// Ends a session. `for_good` also stops the firmware from starting it again by itself.
#[must_use]
pub fn stop_network(family: Family, handle: Handle, for_good: bool) -> Request {
    let mut tlvs = Tlvs::default();
    if for_good {
        tlvs = tlvs.with_u8(0x10, 1);
    }
    Request {
        limit: STOP_LIMIT,
        ..request(family, 0x0021, tlvs.with_u32(0x01, handle.0))
    }
}

/// Reads the answer to [`stop_network`]. That there was none is a success.
pub fn stopped(response: &Response) -> Result<(), Refusal> {
    match response.result() {
        Err(Refusal::Protocol(ProtocolError::NO_EFFECT | ProtocolError::OUT_OF_CALL)) => Ok(()),
        result => result,
    }
}

/// Whether packets can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// No session.
    Disconnected,
    /// A session.
    Connected,
    /// A session that rests, for instance during a call in 2G.
    Suspended,
    /// Being set up.
    Authenticating,
    /// Another number.
    Other(u8),
}

impl From<u8> for Connection {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Disconnected,
            2 => Self::Connected,
            3 => Self::Suspended,
            4 => Self::Authenticating,
            other => Self::Other(other),
        }
    }
}

/// Asks whether packets can go.
#[must_use]
pub fn get_packet_service_status(family: Family) -> Request {
    request(family, PACKET_SERVICE_STATUS, Tlvs::default())
}

/// Reads the answer to [`get_packet_service_status`].
pub fn packet_service_status(response: &Response) -> Result<Connection, Refusal> {
    response.result()?;
    Ok(response.tlvs.need(0x01)?.u8()?.into())
}

/// A change of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// Which family, if told.
    pub family: Option<Family>,
    /// Whether packets can go.
    pub connection: Connection,
    /// The address may have changed.
    pub reconfigure: bool,
    /// Why it ended.
    pub reason: Option<EndReason>,
}

/// Reads an indication of [`PACKET_SERVICE_STATUS`].
pub fn status_change(indication: &Indication) -> Result<StatusChange, DecodeError> {
    let mut status = indication.tlvs.need(0x01)?;
    let (connection, reconfigure) = (status.u8()?, status.u8()?);
    let told = indication.tlvs.find(0x12).map(|mut family| family.u8()).transpose()?;
    let of_client = indication.endpoint.map(|endpoint| endpoint.number);
    Ok(StatusChange {
        family: match (told, of_client) {
            (Some(4), _) | (None, Some(0)) => Some(Family::V4),
            (Some(6), _) | (None, Some(1)) => Some(Family::V6),
            _ => None,
        },
        connection: connection.into(),
        reconfigure: reconfigure != 0,
        reason: end_reason(&indication.tlvs)?,
    })
}

/// Asks for the addresses.
#[must_use]
pub fn get_current_settings(family: Family) -> Request {
    request(family, 0x002D, Tlvs::default().with_u32(0x10, REQUESTED_SETTINGS))
}

/// Reads the answer to [`get_current_settings`].
pub fn current_settings(response: &Response) -> Result<Settings, Refusal> {
    response.result()?;
    let tlvs = &response.tlvs;
    // The mask is a gateway's on Ethernet; a host route says the same on a point-to-point link.
    let prefix = v4(tlvs, 0x21)?.map_or(32, |mask| mask.to_bits().leading_ones() as u8);
    let name_servers_v4 = [v4(tlvs, 0x15)?, v4(tlvs, 0x16)?].into_iter().flatten();
    let name_servers_v6 = [v6(tlvs, 0x27)?, v6(tlvs, 0x28)?].into_iter().flatten();
    let mtu = tlvs.find(0x29).map(|mut mtu| mtu.u32()).transpose()?;
    Ok(Settings {
        address_v4: v4(tlvs, 0x1E)?.map(|address| (address, prefix)),
        gateway_v4: v4(tlvs, 0x20)?,
        address_v6: v6_with_prefix(tlvs, 0x25)?,
        gateway_v6: v6_with_prefix(tlvs, 0x26)?.map(|(gateway, _)| gateway),
        name_servers_v4: name_servers_v4.collect(),
        name_servers_v6: name_servers_v6.map(|(address, _)| address).collect(),
        mtu: mtu.filter(|mtu| *mtu != 0),
        apn: tlvs.find(0x14).map(Value::text).filter(|apn| !apn.is_empty()),
    })
}

/// IPv4 addresses are numbers, so their octets are the other way round.
fn v4(tlvs: &Tlvs, kind: u8) -> Result<Option<Ipv4Addr>, DecodeError> {
    let address = tlvs.find(kind).map(|mut address| address.u32()).transpose()?;
    Ok(address
        .map(Ipv4Addr::from_bits)
        .filter(|address| !address.is_unspecified()))
}

/// IPv6 addresses are octets in network order.
fn v6(tlvs: &Tlvs, kind: u8) -> Result<Option<(Ipv6Addr, u8)>, DecodeError> {
    let Some(mut value) = tlvs.find(kind) else {
        return Ok(None);
    };
    let address = Ipv6Addr::from(value.array::<16>()?);
    Ok(Some((address, 128)).filter(|_| !address.is_unspecified()))
}

fn v6_with_prefix(tlvs: &Tlvs, kind: u8) -> Result<Option<(Ipv6Addr, u8)>, DecodeError> {
    let prefix = |mut value: Value<'_>| {
        value.array::<16>()?;
        value.u8()
    };
    let prefix = tlvs.find(kind).map(prefix).transpose()?;
    Ok(v6(tlvs, kind)?.map(|(address, host)| (address, prefix.unwrap_or(host).min(host))))
}

/// Whether the firmware starts sessions by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autoconnect {
    /// It does not.
    Disabled,
    /// It does, `home_only` not while it roams.
    Enabled {
        /// Not while it roams.
        home_only: bool,
    },
}

/// Sets whether the firmware starts sessions by itself.
#[must_use]
pub fn set_autoconnect(autoconnect: Autoconnect) -> Request {
    let (status, home_only) = match autoconnect {
        Autoconnect::Disabled => (0, true),
        Autoconnect::Enabled { home_only } => (1, home_only),
    };
    let tlvs = Tlvs::default().with_u8(0x10, u8::from(home_only)).with_u8(0x01, status);
    request(Family::V4, 0x0051, tlvs)
}

/// What a session moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Octets sent.
    pub uplink: u64,
    /// Octets received.
    pub downlink: u64,
    /// Packets sent, as far as the modem counts them, as it does with all that follows.
    pub uplink_packets: Option<u32>,
    /// Packets received.
    pub downlink_packets: Option<u32>,
    /// Packets that were to be sent and had errors.
    pub uplink_errors: Option<u32>,
    /// Packets received with errors.
    pub downlink_errors: Option<u32>,
    /// Packets that were to be sent and were dropped.
    pub uplink_dropped: Option<u32>,
    /// Packets received and dropped.
    pub downlink_dropped: Option<u32>,
}

/// Asks what the present session moved.
#[must_use]
pub fn get_packet_statistics(family: Family) -> Request {
    /// Packets and those with errors, octets, packets dropped.
    const COUNTERS: u32 = 0x0F | 0xC0 | 0x300;
    request(family, 0x0024, Tlvs::default().with_u32(0x01, COUNTERS))
}

/// Reads the answer to [`get_packet_statistics`].
pub fn packet_statistics(response: &Response) -> Result<Statistics, Refusal> {
    /// What the modem tells while it does not count.
    const NOT_COUNTED: u32 = u32::MAX;
    response.result()?;
    let octets = |kind| -> Result<u64, DecodeError> {
        let count = response.tlvs.find(kind).map(|mut count| count.u64()).transpose()?;
        Ok(count.unwrap_or(0))
    };
    let packets = |kind| -> Result<Option<u32>, DecodeError> {
        let count = response.tlvs.find(kind).map(|mut count| count.u32()).transpose()?;
        Ok(count.filter(|count| *count != NOT_COUNTED))
    };
    Ok(Statistics {
        uplink: octets(0x19)?,
        downlink: octets(0x1A)?,
        uplink_packets: packets(0x10)?,
        downlink_packets: packets(0x11)?,
        uplink_errors: packets(0x12)?,
        downlink_errors: packets(0x13)?,
        uplink_dropped: packets(0x1D)?,
        downlink_dropped: packets(0x1E)?,
    })
}
