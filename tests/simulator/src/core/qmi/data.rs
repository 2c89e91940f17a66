//! Data sessions: WDS, and the format of the packets (WDA).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::frame::{Request, Tlv};
use super::{
    CALL_FAILED, INVALID_HANDLE, INVALID_PROFILE, INVALID_QMI_COMMAND, MISSING_ARGUMENT, NO_EFFECT, OUT_OF_CALL,
    Refused, WDS, refused,
};
use crate::control::Domain;
use crate::core::Modem;
use crate::core::books::SessionRecord;
use crate::core::dhcp::Offer;
use crate::core::router;
use crate::core::schedule::Action;
use crate::core::usb::Function;

/// Verbose call end reasons: the layer and the number.
type Reason = (u16, u16);

pub(crate) const NO_SERVICE: Reason = (3, 1016);
const CALL_ENDED_LOCALLY: Reason = (2, 202);
const INTERFACE_IN_USE: Reason = (2, 241);
const UNKNOWN_APN: Reason = (6, 27);
pub(crate) const AUTHENTICATION_FAILED: Reason = (6, 29);
const ONLY_V4: Reason = (6, 50);
const ONLY_V6: Reason = (6, 51);

const ANY_HANDLE: u32 = 0xffff_ffff;

const DISCONNECTED: u8 = 1;
const CONNECTED: u8 = 2;

const ETHERNET: u32 = 1;
const RAW_IP: u32 = 2;

/// What the network gives.
const fn address_v4(subnet: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 64, subnet, 2)
}
const fn gateway_v4(subnet: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 64, subnet, 1)
}
const MASK_V4: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 252);
const NAME_SERVERS_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 53), Ipv4Addr::new(198, 51, 100, 53)];
pub(crate) const ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 2);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);
/// The interface identifier that the network gives (3GPP 23.060 9.2.1.1), as an address of the link.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
/// A router is known by its address of the link (RFC 4861 6.1.2).
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const NAME_SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0x53, 0, 0, 0, 1);
const PREFIX_V6: u8 = 64;
const MTU: u32 = 1420;

/// How the packet side of the network and of the module behaves. It stays when the module is switched off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PacketNetwork {
    /// The only access point that the subscription has; any if absent. One that is not named is always there.
    pub apn: Option<String>,
    /// The same for sessions of IPv6, where it is another one.
    pub apn_v6: Option<String>,
    /// User name and password that it wants.
    pub credentials: Option<(String, String)>,
    /// The only protocol for them, by its bit (PAP 1, CHAP 2); either if absent.
    pub protocol: Option<u32>,
    /// The only IP version, 4 or 6, that it gives; both if absent.
    pub only_family: Option<u8>,
    /// Layer and number of the reason with which it refuses every session.
    pub refuse: Option<(u16, u16)>,
    /// How long a session takes to come up.
    pub start_after_ms: u64,
    /// The firmware holds a session of its own, until it is told to end it for good.
    pub held_by_firmware: bool,
    /// The control channel, and the link of a data call, swallow everything.
    pub silent: bool,
    /// The third octet of the IPv4 addresses that it gives, so that two modems have different ones.
    pub subnet: u8,
    /// The settings of a session hold no IPv4 address; a DHCP server gives it for so many seconds.
    pub lease_seconds: Option<u32>,
    /// The DHCP server refuses to prolong a lease.
    pub lease_refused: bool,
    /// The settings of a session hold no IPv6 address (by QMI), or one of the link only (by MBIM): the host forms one in the
    /// prefix that a router advertises.
    pub advertised_only: bool,
    /// No router advertises anything.
    pub router_silent: bool,
}

/// How a session was asked for.
pub(crate) struct Asked {
    pub(crate) apn: Option<String>,
    /// User name and password.
    pub(crate) credentials: (String, String),
    /// Bits of the protocols for them, if any: PAP 1, CHAP 2.
    pub(crate) protocols: Option<u32>,
}

/// What the network gives to a session.
pub(crate) struct Given {
    pub(crate) v4: Option<(Ipv4Addr, u8)>,
    pub(crate) v6: Option<(Ipv6Addr, u8)>,
    pub(crate) gateway_v4: Option<Ipv4Addr>,
    pub(crate) gateway_v6: Option<Ipv6Addr>,
    pub(crate) name_servers_v4: Vec<Ipv4Addr>,
    pub(crate) name_servers_v6: Vec<Ipv6Addr>,
    pub(crate) mtu: u32,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    client: u8,
    family: u8,
    handle: u32,
}

/// The module's side. It is lost with the power.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    /// Family by client.
    families: BTreeMap<u8, u8>,
    sessions: Vec<Session>,
    last_handle: u32,
    link_layer: u32,
    /// Sessions that are still coming up, with the family.
    pending: Vec<(u64, Request, u8)>,
    last_pending: u64,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            families: BTreeMap::new(),
            sessions: Vec::new(),
            last_handle: 0x4000,
            link_layer: ETHERNET,
            pending: Vec::new(),
            last_pending: 0,
        }
    }
}

fn call_failed((layer, number): Reason) -> Refused {
    (
        CALL_FAILED,
        vec![(0x10, vec![1, 0]), (0x11, reason_octets((layer, number)))],
    )
}

fn reason_octets((layer, number): Reason) -> Vec<u8> {
    [layer.to_le_bytes(), number.to_le_bytes()].concat()
}

/// IPv4 addresses are numbers with the least octet first.
fn reversed(address: Ipv4Addr) -> Vec<u8> {
    address.octets().into_iter().rev().collect()
}

fn with_prefix(address: Ipv6Addr, prefix: u8) -> Vec<u8> {
    [&address.octets()[..], &[prefix]].concat()
}

/// What a mask of counters asks for. Nobody here counts, so that the values only tell them apart.
fn statistics(mask: u32) -> Vec<Tlv> {
    let narrow = (0..6_u8).map(|bit| (bit, 0x10 + bit, vec![bit + 1, 0, 0, 0]));
    let wide = (6..8_u8).map(|bit| (bit, 0x13 + bit, vec![bit + 1, 0, 0, 0, 1, 0, 0, 0]));
    let dropped = (8..10_u8).map(|bit| (bit, 0x15 + bit, vec![bit + 1, 0, 0, 0]));
    narrow
        .chain(wide)
        .chain(dropped)
        .filter(|(bit, ..)| mask & (1 << bit) != 0)
        .map(|(_, kind, value)| (kind, value))
        .collect()
}

impl PacketNetwork {
    /// What it gives to a session of these versions of IP.
    pub(in crate::core) fn given(&self, families: &[u8]) -> Given {
        let v4 = families.contains(&4);
        let v6 = families.contains(&6);
        Given {
            v4: v4.then_some((address_v4(self.subnet), MASK_V4.to_bits().leading_ones() as u8)),
            v6: v6.then_some((ADDRESS_V6, PREFIX_V6)),
            gateway_v4: v4.then_some(gateway_v4(self.subnet)),
            gateway_v6: v6.then_some(GATEWAY_V6),
            name_servers_v4: NAME_SERVERS_V4.into_iter().filter(|_| v4).collect(),
            name_servers_v6: v6.then_some(NAME_SERVER_V6).into_iter().collect(),
            mtu: MTU,
        }
    }

    /// What its DHCP server hands out, if it has one.
    pub(in crate::core) fn offer(&self) -> Option<Offer> {
        Some(Offer {
            address: address_v4(self.subnet),
            gateway: gateway_v4(self.subnet),
            mask: MASK_V4,
            name_servers: NAME_SERVERS_V4,
            mtu: u16::try_from(MTU).unwrap_or(u16::MAX),
            seconds: self.lease_seconds?,
            refused: self.lease_refused,
        })
    }
}

impl Modem {
    /// Addresses of the sessions, when packets can go at all: with the format of the modem at raw IP, as composition 9001
    /// needs it.
    pub(in crate::core) fn session_addresses(&self) -> Vec<IpAddr> {
        let address = |session: &Session| match session.family {
            6 => IpAddr::V6(ADDRESS_V6),
            _ => IpAddr::V4(address_v4(self.packet.subnet)),
        };
        let data = &self.qmi.data;
        let sessions = data.sessions.iter().filter(|_| data.link_layer == RAW_IP);
        sessions.map(address).collect()
    }

    /// Whether there are sessions at all.
    pub(in crate::core) fn has_qmi_sessions(&self) -> bool {
        !self.qmi.data.sessions.is_empty()
    }

    pub(in crate::core) fn packets_are_served(&self) -> bool {
        [Domain::Ps, Domain::Eps]
            .into_iter()
            .any(|domain| self.registration(domain).is_registered())
    }

    pub(super) fn data_administration(&mut self, request: &Request) -> Result<Vec<Tlv>, Refused> {
        match request.message {
            // Set Data Format and Get Data Format
            0x0020 => self.qmi.data.link_layer = request.number(0x11).unwrap_or(self.qmi.data.link_layer),
            0x0021 => {}
            _ => return Err(refused(INVALID_QMI_COMMAND)),
        }
        let number = |number: u32| number.to_le_bytes().to_vec();
        Ok(vec![
            (0x10, vec![0]),
            (0x11, number(self.qmi.data.link_layer)),
            (0x12, number(0)),
            (0x13, number(0)),
        ])
    }

    fn family_of(&self, request: &Request) -> u8 {
        let set = self.qmi.data.families.get(&request.client).copied();
        request.octet(0x19).or(set).unwrap_or(4)
    }

    /// Answers a request of WDS; `None` when the answer comes later.
    pub(super) fn wireless_data(&mut self, request: &Request) -> Result<Option<Vec<Tlv>>, Refused> {
        let family = self.family_of(request);
        let own = |session: &&Session| session.client == request.client;
        Ok(Some(match request.message {
            // Set IP Family
            0x004d => {
                let family = request.octet(0x01).ok_or_else(|| refused(MISSING_ARGUMENT))?;
                self.qmi.data.families.insert(request.client, family);
                Vec::new()
            }
            // Start Network
            0x0020 => return self.start_network(request, family),
            // Stop Network
            0x0021 => self.stop_network(request)?,
            // Get Packet Service Status
            0x0022 => {
                let is_up = self.qmi.data.sessions.iter().any(|session| session.family == family);
                vec![(0x01, vec![if is_up { CONNECTED } else { DISCONNECTED }])]
            }
            // Get Packet Statistics: packets and octets sent and received
            0x0024 => {
                let mask = request.number(0x01).ok_or_else(|| refused(MISSING_ARGUMENT))?;
                let is_up = self.qmi.data.sessions.iter().any(|session| own(&session));
                if !is_up {
                    return Err(refused(OUT_OF_CALL));
                }
                statistics(mask)
            }
            // Get Profile List, Get Profile Settings: of 3GPP
            0x002a => self.profile_list(),
            0x002b => match request.value(0x01) {
                Some([0, cid]) => self.profile_settings(*cid).ok_or_else(|| refused(INVALID_PROFILE))?,
                _ => return Err(refused(INVALID_PROFILE)),
            },
            // Get Current Settings
            0x002d => {
                let session = self.qmi.data.sessions.iter().find(own);
                let other = self.qmi.data.sessions.iter().find(|session| session.family == family);
                let session = session.or(other).ok_or_else(|| refused(OUT_OF_CALL))?;
                settings(session.family, &self.packet)
            }
            // Set Autoconnect Settings
            0x0051 => {
                if request.octet(0x01) == Some(0) {
                    self.packet.held_by_firmware = false;
                }
                Vec::new()
            }
            _ => return Err(refused(INVALID_QMI_COMMAND)),
        }))
    }

    fn start_network(&mut self, request: &Request, family: u8) -> Result<Option<Vec<Tlv>>, Refused> {
        if let Some(session) = self.qmi.data.sessions.iter().find(|session| session.family == family) {
            return Err((NO_EFFECT, vec![(0x01, session.handle.to_le_bytes().to_vec())]));
        }
        let asked = Asked {
            apn: request.text(0x14),
            credentials: (
                request.text(0x17).unwrap_or_default(),
                request.text(0x18).unwrap_or_default(),
            ),
            protocols: request.octet(0x16).map(u32::from),
        };
        let in_use = (self.packet.held_by_firmware || self.data_call.is_some()).then_some(INTERFACE_IN_USE);
        let reason = in_use.or_else(|| self.session_refusal(family, &asked));
        self.note_session(family, request.octet(0x31), &asked, reason);
        if let Some(reason) = reason {
            return Err(call_failed(reason));
        }
        let delay = Duration::from_millis(self.packet.start_after_ms) + self.random.within(self.delays.session);
        if delay.is_zero() {
            return Ok(Some(self.begin_session(request.client, family)));
        }
        let data = &mut self.qmi.data;
        data.last_pending += 1;
        let id = data.last_pending;
        data.pending.push((id, request.clone(), family));
        self.schedule.at(self.now + delay, Action::Session { id });
        Ok(None)
    }

    /// Why the network gives no such session.
    pub(in crate::core) fn session_refusal(&self, family: u8, asked: &Asked) -> Option<Reason> {
        let PacketNetwork {
            apn,
            apn_v6,
            credentials,
            protocol,
            only_family,
            refuse,
            ..
        } = &self.packet;
        let apn = apn_v6.as_ref().filter(|_| family == 6).or(apn.as_ref());
        let differs = |name: &String| apn.is_some_and(|only| only != name);
        let protocol_fits = protocol.is_none_or(|only| asked.protocols.unwrap_or(0) & only != 0);
        let is_known = |wanted: &(String, String)| *wanted == asked.credentials && protocol_fits;
        match (family, only_family) {
            _ if !self.packets_are_served() => Some(NO_SERVICE),
            _ if asked.apn.as_ref().is_some_and(differs) => Some(UNKNOWN_APN),
            _ if !credentials.as_ref().is_none_or(is_known) => Some(AUTHENTICATION_FAILED),
            (6, Some(4)) => Some(ONLY_V4),
            (4, Some(6)) => Some(ONLY_V6),
            _ => *refuse,
        }
    }

    /// A router solicitation came; what the router answers, if it does.
    pub(in crate::core) fn solicited(&mut self) -> Option<Vec<u8>> {
        self.books.solicitations += 1;
        self.advertised()
    }

    /// What the router says, asked or not.
    pub(in crate::core) fn advertised(&self) -> Option<Vec<u8>> {
        let advertised = || router::advertisement(ROUTER_V6, ADDRESS_V6, &[NAME_SERVER_V6]);
        (!self.packet.router_silent).then(advertised)
    }

    /// A session was asked for.
    pub(in crate::core) fn note_session(
        &mut self,
        family: u8,
        profile: Option<u8>,
        asked: &Asked,
        refused: Option<Reason>,
    ) {
        self.books.sessions.push(SessionRecord {
            at_ms: self.elapsed_ms(),
            family,
            apn: asked.apn.clone().unwrap_or_default(),
            profile,
            authentication: asked.protocols.map(|bits| bits.to_le_bytes()[0]),
            user: asked.credentials.0.clone(),
            refused,
        });
    }

    /// What the network tells a session of these versions of IP; what comes by DHCP or is advertised is not told.
    pub(in crate::core) fn given(&self, families: &[u8]) -> Given {
        let is_told = |family: &u8| match family {
            4 => self.packet.lease_seconds.is_none(),
            _ => !self.packet.advertised_only,
        };
        let told: Vec<u8> = families.iter().copied().filter(is_told).collect();
        let mut given = self.packet.given(&told);
        if families.contains(&6) && self.packet.advertised_only {
            // Of which an address is formed then.
            given.v6 = Some((LINK_LOCAL, PREFIX_V6));
        }
        given
    }

    /// A session that took its time is there.
    pub(in crate::core) fn session_due(&mut self, id: u64) {
        let pending = &mut self.qmi.data.pending;
        let Some(place) = pending.iter().position(|(pending, ..)| *pending == id) else {
            return;
        };
        let (_, request, family) = pending.swap_remove(place);
        let outcome = match self.packets_are_served() {
            true => Ok(self.begin_session(request.client, family)),
            false => Err(call_failed(NO_SERVICE)),
        };
        if !self.packet.silent {
            self.emit(Function::Qmi, &request.response(outcome));
        }
    }

    /// Whatever a client is still setting up fails.
    fn give_up_pending(&mut self, client: u8) {
        let pending = std::mem::take(&mut self.qmi.data.pending);
        for (id, request, family) in pending {
            if request.client != client {
                self.qmi.data.pending.push((id, request, family));
            } else if !self.packet.silent {
                self.emit(Function::Qmi, &request.response(Err(call_failed(CALL_ENDED_LOCALLY))));
            }
        }
    }

    fn begin_session(&mut self, client: u8, family: u8) -> Vec<Tlv> {
        let data = &mut self.qmi.data;
        data.last_handle += 1;
        let handle = data.last_handle;
        data.sessions.push(Session { client, family, handle });
        self.announce_session(client, family, CONNECTED, None);
        vec![(0x01, handle.to_le_bytes().to_vec())]
    }

    fn stop_network(&mut self, request: &Request) -> Result<Vec<Tlv>, Refused> {
        let handle = request.number(0x01).ok_or_else(|| refused(MISSING_ARGUMENT))?;
        if request.octet(0x10) == Some(1) {
            self.packet.held_by_firmware = false;
        }
        let client = request.client;
        self.give_up_pending(client);
        let wanted = |session: &Session| match handle {
            ANY_HANDLE => session.client == client,
            handle => session.handle == handle,
        };
        if !self.qmi.data.sessions.iter().any(wanted) {
            return Err(refused(if handle == ANY_HANDLE {
                NO_EFFECT
            } else {
                INVALID_HANDLE
            }));
        }
        self.end_sessions(CALL_ENDED_LOCALLY, wanted);
        Ok(Vec::new())
    }

    pub(super) fn session_client_gone(&mut self, client: u8) {
        self.qmi.data.families.remove(&client);
        self.qmi.data.pending.retain(|(_, request, _)| request.client != client);
        self.end_sessions(CALL_ENDED_LOCALLY, |session| session.client == client);
    }

    pub(super) fn sessions_follow_registration(&mut self) {
        if !self.packets_are_served() {
            self.end_sessions(NO_SERVICE, |_| true);
        }
    }

    /// The network ends every session.
    pub(in crate::core) fn network_ends_sessions(&mut self, reason: (u16, u16)) {
        self.end_sessions(reason, |_| true);
    }

    fn end_sessions(&mut self, reason: Reason, ends: impl Fn(&Session) -> bool) {
        let (over, kept): (Vec<_>, Vec<_>) = self.qmi.data.sessions.drain(..).partition(ends);
        self.qmi.data.sessions = kept;
        for session in over {
            self.announce_session(session.client, session.family, DISCONNECTED, Some(reason));
        }
    }

    fn announce_session(&mut self, client: u8, family: u8, status: u8, reason: Option<Reason>) {
        let mut tlvs = vec![(0x01, vec![status, 0])];
        if let Some(reason) = reason {
            tlvs.push((0x10, vec![1, 0]));
            tlvs.push((0x11, reason_octets(reason)));
        }
        tlvs.push((0x12, vec![family]));
        // A client that is gone hears nothing more.
        if self.qmi.clients.contains(&(WDS, client)) {
            self.indicate(WDS, &[client], 0x0022, &tlvs);
        }
    }
}

fn settings(family: u8, network: &PacketNetwork) -> Vec<Tlv> {
    let mut tlvs = vec![(0x29, MTU.to_le_bytes().to_vec()), (0x2b, vec![family])];
    if family == 6 {
        if network.advertised_only {
            return tlvs;
        }
        tlvs.push((0x25, with_prefix(ADDRESS_V6, PREFIX_V6)));
        tlvs.push((0x26, with_prefix(GATEWAY_V6, PREFIX_V6)));
        tlvs.push((0x27, NAME_SERVER_V6.octets().to_vec()));
    } else if network.lease_seconds.is_none() {
        tlvs.push((0x15, reversed(NAME_SERVERS_V4[0])));
        tlvs.push((0x16, reversed(NAME_SERVERS_V4[1])));
        tlvs.push((0x1e, reversed(address_v4(network.subnet))));
        tlvs.push((0x20, reversed(gateway_v4(network.subnet))));
        tlvs.push((0x21, reversed(MASK_V4)));
    }
    tlvs
}
