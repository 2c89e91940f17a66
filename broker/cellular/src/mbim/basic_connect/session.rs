//! Sessions: connecting, addresses, what they moved (10.5.12, 10.5.20, 10.5.31).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::{CONNECT, IP_CONFIGURATION, PACKET_STATISTICS, query, set};
use crate::mbim::information::{Reader, Writer};
use crate::mbim::{DecodeError, Kind, Refusal, Request, Response, Status, Uuid};
use crate::packet::{EndReason, Family, Session, Settings};

/// Setting up a session takes the network.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);
const DISCONNECT_LIMIT: Duration = Duration::from_secs(30);

/// The session whose packets have no VLAN tag on the network interface.
const SESSION: u32 = 0;

/// How to authenticate. There is no value for *either*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthProtocol {
    /// Not at all.
    None,
    /// PAP.
    Pap,
    /// CHAP.
    Chap,
}

impl AuthProtocol {
    const fn number(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Pap => 1,
            Self::Chap => 2,
        }
    }
}

/// Which versions of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpType {
    /// What the module thinks best.
    Default,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Both in one context.
    V4V6,
    /// Both, each in a context.
    V4AndV6,
}

impl IpType {
    const fn number(self) -> u32 {
        match self {
            Self::Default => 0,
            Self::V4 => 1,
            Self::V6 => 2,
            Self::V4V6 => 3,
            Self::V4AndV6 => 4,
        }
    }

    /// Whether packets of a version go.
    #[must_use]
    pub const fn has(self, family: Family) -> bool {
        match self {
            Self::V4 => matches!(family, Family::V4),
            Self::V6 => matches!(family, Family::V6),
            // Firmware that answers with its default means whatever it gave addresses for.
            Self::Default | Self::V4V6 | Self::V4AndV6 => true,
        }
    }
}

impl From<u32> for IpType {
    fn from(number: u32) -> Self {
        match number {
            1 => Self::V4,
            2 => Self::V6,
            3 => Self::V4V6,
            4 => Self::V4AndV6,
            _ => Self::Default,
        }
    }
}

/// Sets a session up.
#[must_use]
pub fn connect(session: &Session, protocol: AuthProtocol, ip: IpType) -> Request {
    const ACTIVATE: u32 = 1;
    // Who does not authenticate has no name either: some networks refuse one that they did not ask for.
    let (user, password) = match protocol {
        AuthProtocol::None => ("", ""),
        AuthProtocol::Pap | AuthProtocol::Chap => (session.user.as_str(), session.password.as_str()),
    };
    Request {
        limit: CONNECT_LIMIT,
        ..activation(ACTIVATE, [&session.apn, user, password], protocol, ip)
    }
}

/// Ends the session.
#[must_use]
pub fn disconnect() -> Request {
    const DEACTIVATE: u32 = 0;
    Request {
        limit: DISCONNECT_LIMIT,
        ..activation(DEACTIVATE, ["", "", ""], AuthProtocol::None, IpType::Default)
    }
}

fn activation(command: u32, texts: [&str; 3], protocol: AuthProtocol, ip: IpType) -> Request {
    const NO_COMPRESSION: u32 = 0;
    let information = Writer::default().with_u32(SESSION).with_u32(command);
    let information = texts.iter().fold(information, |all, text| all.with_text(text));
    let information = information
        .with_u32(NO_COMPRESSION)
        .with_u32(protocol.number())
        .with_u32(ip.number())
        .with_uuid(Uuid::INTERNET);
    set(CONNECT, information)
}

/// Asks whether the session is up.
#[must_use]
pub fn connection_state() -> Request {
    let information = Writer::default().with_u32(SESSION).with_u32(0).with_u32(0).with_u32(0);
    let information = information.with_uuid(Uuid::INTERNET).with_u32(0).finish();
    Request::command(Uuid::BASIC_CONNECT, CONNECT, Kind::Query, information)
}

/// Whether a session is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// It is.
    Activated,
    /// On its way.
    Activating,
    /// It is not.
    Deactivated,
    /// On its way out.
    Deactivating,
    /// Not known, or another number.
    Other(u32),
}

impl From<u32> for Activation {
    fn from(number: u32) -> Self {
        match number {
            1 => Self::Activated,
            2 => Self::Activating,
            3 => Self::Deactivated,
            4 => Self::Deactivating,
            other => Self::Other(other),
        }
    }
}

/// A session as the function sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Which one.
    pub session: u32,
    /// Whether it is up.
    pub activation: Activation,
    /// Which versions of IP it has.
    pub ip: IpType,
    /// Why it is not, or not any more.
    pub reason: Option<EndReason>,
}

impl Connection {
    /// Whether it is the one that we use.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        self.session == SESSION
    }
}

/// Reads the answer to [`connection_state`], or what an indication tells.
pub fn read_connection(information: &[u8]) -> Result<Connection, DecodeError> {
    let mut reader = Reader::new(information);
    let (session, activation) = (reader.u32()?, reader.u32()?);
    let _voice_call = reader.u32()?;
    let ip = reader.u32()?;
    reader.uuid()?;
    Ok(Connection {
        session,
        activation: activation.into(),
        ip: ip.into(),
        reason: end_reason(reader.u32()?),
    })
}

/// The causes of the session management (24.008 10.5.6.6) are told as they are.
fn end_reason(cause: u32) -> Option<EndReason> {
    let number = i16::try_from(cause).ok().filter(|number| *number > 0)?;
    Some(EndReason {
        layer: EndReason::SESSION_MANAGEMENT,
        number,
    })
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotConnected {
    /// The network said why.
    #[error("{0}")]
    Ended(EndReason),
    /// The modem refused without a cause of the network.
    #[error("{0}")]
    Refused(Refusal),
}

/// Reads the answer to [`connect`].
pub fn connected(response: &Response) -> Result<Connection, NotConnected> {
    let read = read_connection(&response.information);
    let reason = read.ok().and_then(|connection| connection.reason);
    let of_network = |number| EndReason {
        layer: EndReason::SESSION_MANAGEMENT,
        number,
    };
    match (response.status, reason) {
        (Status::SUCCESS, _) => {
            let connection = read.map_err(|error| NotConnected::Refused(error.into()))?;
            match (connection.activation, reason) {
                (Activation::Deactivated | Activation::Deactivating, Some(reason)) => Err(NotConnected::Ended(reason)),
                (Activation::Deactivated | Activation::Deactivating, None) => {
                    Err(NotConnected::Refused(Refusal::Status(Status::CONTEXT_NOT_ACTIVATED)))
                }
                _ => Ok(connection),
            }
        }
        (_, Some(reason)) => Err(NotConnected::Ended(reason)),
        // These two are the network's own causes under another name.
        (Status::INVALID_ACCESS_STRING, None) => Err(NotConnected::Ended(of_network(27))),
        (Status::INVALID_USER_NAME_PWD, None) => Err(NotConnected::Ended(of_network(29))),
        (status, None) => Err(NotConnected::Refused(Refusal::Status(status))),
    }
}

/// Reads the answer to [`disconnect`]. That there was none is a success.
pub const fn disconnected(response: &Response) -> Result<(), Refusal> {
    match response.status {
        Status::CONTEXT_NOT_ACTIVATED => Ok(()),
        _ => response.result(),
    }
}

/// Asks for the addresses.
#[must_use]
pub fn ip_configuration() -> Request {
    // The fields of the answer, of which only the session says something.
    let information = (0..14).fold(Writer::default().with_u32(SESSION), |fields, _| fields.with_u32(0));
    Request::command(Uuid::BASIC_CONNECT, IP_CONFIGURATION, Kind::Query, information.finish())
}

/// Reads the answer to [`ip_configuration`]. What the function does not have is not there, and DHCP has to find it.
pub fn read_ip_configuration(response: &Response) -> Result<Settings, Refusal> {
    const ADDRESS: u32 = 1;
    const GATEWAY: u32 = 2;
    const NAME_SERVERS: u32 = 4;
    const MTU: u32 = 8;
    response.result()?;
    let mut reader = Reader::new(&response.information);
    let _session = reader.u32()?;
    let (has_v4, has_v6) = (reader.u32()?, reader.u32()?);
    let addresses_v4 = reader.elements::<8>()?;
    let addresses_v6 = reader.elements::<20>()?;
    let (gateway_v4, gateway_v6) = (reader.element::<4>()?, reader.element::<16>()?);
    let name_servers_v4 = reader.elements::<4>()?;
    let name_servers_v6 = reader.elements::<16>()?;
    let (mtu_v4, mtu_v6) = (reader.u32()?, reader.u32()?);
    let mtu = [(mtu_v4, has_v4), (mtu_v6, has_v6)];
    Ok(Settings {
        address_v4: addresses_v4
            .iter()
            .map(|element| address_v4(*element))
            .find(|(address, _)| has_v4 & ADDRESS != 0 && !address.is_unspecified()),
        gateway_v4: gateway_v4.map(Ipv4Addr::from).filter(|_| has_v4 & GATEWAY != 0),
        address_v6: addresses_v6
            .iter()
            .map(|element| address_v6(*element))
            .find(|(address, _)| has_v6 & ADDRESS != 0 && !address.is_unspecified()),
        gateway_v6: gateway_v6.map(Ipv6Addr::from).filter(|_| has_v6 & GATEWAY != 0),
        name_servers_v4: name_servers_v4
            .into_iter()
            .map(Ipv4Addr::from)
            .filter(|server| has_v4 & NAME_SERVERS != 0 && !server.is_unspecified())
            .collect(),
        name_servers_v6: name_servers_v6
            .into_iter()
            .map(Ipv6Addr::from)
            .filter(|server| has_v6 & NAME_SERVERS != 0 && !server.is_unspecified())
            .collect(),
        mtu: mtu
            .iter()
            .filter(|(mtu, has)| has & MTU != 0 && *mtu != 0)
            .map(|(mtu, _)| *mtu)
            .min(),
        apn: None,
    })
}

/// The length of the prefix, and the address in network order.
fn address_v4(element: [u8; 8]) -> (Ipv4Addr, u8) {
    let [low, _, _, _, address @ ..] = element;
    (Ipv4Addr::from(address), low.min(32))
}

fn address_v6(element: [u8; 20]) -> (Ipv6Addr, u8) {
    let [low, _, _, _, address @ ..] = element;
    (Ipv6Addr::from(address), low.min(128))
}

/// What sessions moved since they are up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Octets sent.
    pub uplink: u64,
    /// Octets received.
    pub downlink: u64,
}

/// Asks what sessions moved.
#[must_use]
pub fn packet_statistics() -> Request {
    query(PACKET_STATISTICS)
}

/// Reads the answer to [`packet_statistics`].
pub fn read_packet_statistics(response: &Response) -> Result<Statistics, Refusal> {
    response.result()?;
    let mut reader = Reader::new(&response.information);
    // Packets that were discarded, and that had errors.
    reader.array::<8>()?;
    let downlink = reader.u64()?;
    let _packets = reader.u64()?;
    Ok(Statistics {
        uplink: reader.u64()?,
        downlink,
    })
}
