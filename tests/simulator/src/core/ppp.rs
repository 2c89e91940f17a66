//! PPP on the modem port (RFC 1661): the module's end of the link, and the data call of the port.
//!
//! [`Peer`] takes octets and instants and gives octets and packets; who may pass and what the network gives is asked of
//! whoever holds it.

mod data_call;
mod dial;
mod escape;
mod frame;
mod layers;
mod negotiation;
mod proof;

use std::collections::VecDeque;
use std::time::Instant;

use frame::{Frame, Incoming, Manner, lay_out};
use layers::{Authentication, Identifiers, Link, Settings4};
use negotiation::{Automaton, CONFIGURE_REQUEST, Change, Packet};
use proof::{Doorkeeper, Proof, Reply};

pub(crate) use data_call::DataCall;

const LCP: u16 = 0xC021;
const PAP: u16 = 0xC023;
const CHAP: u16 = 0xC223;
const IPCP: u16 = 0x8021;
const IPV6CP: u16 = 0x8057;
const IPV4: u16 = 0x0021;
const IPV6: u16 = 0x0057;

/// Codes that only LCP has.
const PROTOCOL_REJECT: u8 = 8;
const ECHO_REQUEST: u8 = 9;
const ECHO_REPLY: u8 = 10;
const DISCARD_REQUEST: u8 = 11;

/// What the peer tells whoever holds it, or asks of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Octets for the host.
    Octets(Vec<u8>),
    /// Is it right? Answered with [`Peer::admit`].
    Authenticate(Proof),
    /// The host begins to negotiate a network protocol. Answered with [`Peer::activate`].
    Activate,
    /// Packets of this version of IP go from now on.
    Up(u8),
    /// They do not any more.
    Down(u8),
    /// A raw IP packet of the host.
    Packet(Vec<u8>),
    /// The link is over.
    Over(Over),
}

/// Why a link is over, as far as the peer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The host terminated it.
    Terminated,
    /// It was terminated here.
    Closed,
    /// The host did not answer, or agreed to nothing.
    GivenUp,
}

/// How far a link is (RFC 1661 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Establish,
    Authenticate,
    Network,
    Over,
}

/// What the network gives; nothing for a version of IP that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Granted {
    v4: Option<Settings4>,
    v6: Option<Identifiers>,
}

/// Numbers that nobody can guess, and that are the same in each run of a test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawn {
    pub(crate) magic: u32,
    pub(crate) challenge: [u8; 16],
}

/// The module's end of a link.
#[derive(Debug)]
pub(crate) struct Peer {
    incoming: Incoming,
    phase: Phase,
    lcp: Automaton<Link>,
    door: Doorkeeper,
    /// None before the network has given something, and for what it does not give.
    ipcp: Option<Automaton<Settings4>>,
    ipv6cp: Option<Automaton<Identifiers>>,
    /// The network was asked, and whether it has answered.
    asked: Option<bool>,
    /// Requests for network protocols that wait for that: the last of each.
    waiting: [Option<Packet>; 2],
    /// The host did not do what it had to.
    gave_up: bool,
    events: VecDeque<Event>,
}

impl Peer {
    /// Begins to speak.
    pub(crate) fn new(now: Instant, drawn: Drawn) -> Self {
        let mut peer = Self {
            incoming: Incoming::new(frame::ALL_CONTROL_CHARACTERS),
            phase: Phase::Establish,
            lcp: Automaton::new(Link::new(drawn.magic)),
            door: Doorkeeper::new(drawn.challenge),
            ipcp: None,
            ipv6cp: None,
            asked: None,
            waiting: [None, None],
            gave_up: false,
            events: VecDeque::new(),
        };
        peer.lcp.open(now);
        peer.flush();
        peer
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Frames of the host that were lost to noise.
    pub(crate) fn damaged(&self) -> u64 {
        self.incoming.damaged
    }

    pub(crate) fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Peer::timeout`] wants to be called.
    pub(crate) fn due(&self) -> Option<Instant> {
        let [ipcp, ipv6cp] = [
            self.ipcp.as_ref().and_then(Automaton::due),
            self.ipv6cp.as_ref().and_then(Automaton::due),
        ];
        [self.lcp.due(), self.door.due(), ipcp, ipv6cp]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes octets of the host.
    pub(crate) fn receive(&mut self, now: Instant, octets: &[u8]) {
        for octet in octets {
            if let Some(frame) = self.incoming.push(*octet) {
                self.frame(now, frame);
            }
        }
        self.flush();
    }

    /// Says again what was not answered.
    pub(crate) fn timeout(&mut self, now: Instant) {
        if let Some(change) = self.lcp.timeout(now) {
            self.link_changed(now, change);
        }
        if self.door.timeout(now) {
            self.gave_up = true;
            self.lcp.close(now);
        }
        if let Some(change) = self.ipcp.as_mut().and_then(|ipcp| ipcp.timeout(now)) {
            self.network_changed(now, 4, change);
        }
        if let Some(change) = self.ipv6cp.as_mut().and_then(|ipv6cp| ipv6cp.timeout(now)) {
            self.network_changed(now, 6, change);
        }
        self.flush();
    }

    /// Whether the host may pass.
    pub(crate) fn admit(&mut self, now: Instant, good: bool) {
        self.door.admit(good);
        if self.phase == Phase::Authenticate {
            if good {
                self.phase = Phase::Network;
            } else {
                self.flush();
                self.lcp.close(now);
            }
        }
        self.flush();
    }

    /// What the network gives; a network that gives nothing ends the link.
    pub(crate) fn activate(&mut self, now: Instant, granted: Granted) {
        if self.phase != Phase::Network {
            return;
        }
        self.asked = Some(true);
        if granted.v4.is_none() && granted.v6.is_none() {
            self.lcp.close(now);
            self.flush();
            return;
        }
        self.ipcp = granted.v4.map(Automaton::new);
        self.ipv6cp = granted.v6.map(Automaton::new);
        if let Some(ipcp) = &mut self.ipcp {
            ipcp.open(now);
        }
        if let Some(ipv6cp) = &mut self.ipv6cp {
            ipv6cp.open(now);
        }
        let [v4, v6] = std::mem::take(&mut self.waiting);
        for (protocol, packet) in [(IPCP, v4), (IPV6CP, v6)] {
            if let Some(packet) = packet {
                self.network_control(now, protocol, &packet);
            }
        }
        self.flush();
    }

    /// Terminates the link.
    pub(crate) fn terminate(&mut self, now: Instant) {
        self.lcp.close(now);
        self.flush();
    }

    /// Sends a raw IP packet, if packets of its version go and the host takes so long ones.
    pub(crate) fn send(&mut self, packet: &[u8]) -> bool {
        let version = packet.first().map_or(0, |first| first >> 4);
        let goes = self.carries(version) && packet.len() <= usize::from(self.lcp.layer.unit);
        if goes {
            let protocol = if version == 4 { IPV4 } else { IPV6 };
            self.events
                .push_back(Event::Octets(lay_out(protocol, packet, self.lcp.layer.manner)));
        }
        goes
    }

    fn carries(&self, version: u8) -> bool {
        self.phase == Phase::Network
            && match version {
                4 => self.ipcp.as_ref().is_some_and(Automaton::is_open),
                6 => self.ipv6cp.as_ref().is_some_and(Automaton::is_open),
                _ => false,
            }
    }

    fn frame(&mut self, now: Instant, frame: Frame) {
        let Frame { protocol, information } = frame;
        if self.phase == Phase::Over {
            return;
        }
        if protocol == LCP {
            if let Some(packet) = Packet::parse(&information) {
                self.link_control(now, &packet);
            }
        } else if self.lcp.is_open() {
            // Before that, everything but LCP is discarded (RFC 1661 3.4).
            self.beyond_link(now, protocol, information);
        }
        self.flush();
    }

    fn beyond_link(&mut self, now: Instant, protocol: u16, information: Vec<u8>) {
        let packet = Packet::parse(&information);
        match (protocol, packet) {
            (PAP | CHAP, Some(packet)) => match self.door.receive(protocol, &packet) {
                Reply::Ask(proof) if self.phase == Phase::Authenticate => {
                    self.events.push_back(Event::Authenticate(proof));
                }
                Reply::Ask(_) | Reply::Nothing => {}
            },
            (IPCP | IPV6CP, Some(packet)) if self.phase == Phase::Network => {
                self.network_control(now, protocol, &packet);
            }
            (IPV4, _) if self.carries(4) => self.events.push_back(Event::Packet(information)),
            (IPV6, _) if self.carries(6) => self.events.push_back(Event::Packet(information)),
            (PAP | CHAP | IPCP | IPV6CP | IPV4 | IPV6, _) => {}
            _ => self.reject(protocol, &information),
        }
    }

    fn reject(&mut self, protocol: u16, information: &[u8]) {
        let quoted = [&protocol.to_be_bytes(), information].concat();
        self.lcp.quote(PROTOCOL_REJECT, &quoted);
    }

    fn link_control(&mut self, now: Instant, packet: &Packet) {
        match packet.code {
            PROTOCOL_REJECT => self.protocol_rejected(now, &packet.data),
            ECHO_REQUEST if self.lcp.is_open() => {
                // RFC 1661 5.8 wants the number of who answers in place of the host's; that chip puts it before what came.
                let mut data = self.lcp.layer.magic.to_be_bytes().to_vec();
                data.extend(&packet.data);
                self.lcp.send(ECHO_REPLY, packet.identifier, &data);
            }
            ECHO_REQUEST | ECHO_REPLY | DISCARD_REQUEST => {}
            _ => {
                if let Some(change) = self.lcp.receive(now, packet) {
                    self.link_changed(now, change);
                }
            }
        }
    }

    fn link_changed(&mut self, now: Instant, change: Change) {
        match change {
            Change::Up => {
                self.flush();
                self.incoming.control_characters = self.lcp.layer.control_characters();
                // The first thing that a Qualcomm module says over a new link.
                let magic = self.lcp.layer.magic.to_be_bytes();
                let identifier = self.lcp.next_identifier();
                self.lcp.send(DISCARD_REQUEST, identifier, &magic);
                self.flush();
                let authentication = self.lcp.layer.authentication;
                self.phase = if authentication == Authentication::Nobody {
                    Phase::Network
                } else {
                    Phase::Authenticate
                };
                self.door.open(now, authentication);
            }
            Change::Down => {
                self.phase = Phase::Establish;
                self.incoming.control_characters = frame::ALL_CONTROL_CHARACTERS;
                self.end_network();
            }
            Change::Terminated => self.over(Over::Terminated),
            Change::Closed if self.gave_up => self.over(Over::GivenUp),
            Change::Closed => self.over(Over::Closed),
            Change::GivenUp => self.over(Over::GivenUp),
        }
    }

    /// What stood above the link is gone; the network is asked again when the link is back.
    fn end_network(&mut self) {
        self.door.close();
        for (family, was_open) in [
            (4, self.ipcp.take().is_some_and(|ipcp| ipcp.is_open())),
            (6, self.ipv6cp.take().is_some_and(|ipv6cp| ipv6cp.is_open())),
        ] {
            if was_open {
                self.events.push_back(Event::Down(family));
            }
        }
        self.waiting = [None, None];
        self.asked = None;
    }

    fn over(&mut self, why: Over) {
        self.flush();
        self.end_network();
        self.phase = Phase::Over;
        self.events.push_back(Event::Over(why));
    }

    fn network_control(&mut self, now: Instant, protocol: u16, packet: &Packet) {
        if self.asked != Some(true) {
            if packet.code == CONFIGURE_REQUEST {
                self.waiting[usize::from(protocol == IPV6CP)] = Some(packet.clone());
                if self.asked.is_none() {
                    self.asked = Some(false);
                    self.events.push_back(Event::Activate);
                }
            }
            return;
        }
        let (family, change) = match (protocol, &mut self.ipcp, &mut self.ipv6cp) {
            (IPCP, Some(ipcp), _) => (4, ipcp.receive(now, packet)),
            (IPV6CP, _, Some(ipv6cp)) => (6, ipv6cp.receive(now, packet)),
            _ => return self.reject(protocol, &packet.octets()),
        };
        if let Some(change) = change {
            self.network_changed(now, family, change);
        }
    }

    fn network_changed(&mut self, now: Instant, family: u8, change: Change) {
        self.flush();
        match change {
            Change::Up => self.events.push_back(Event::Up(family)),
            Change::Down => self.events.push_back(Event::Down(family)),
            Change::Terminated | Change::Closed | Change::GivenUp => {
                self.events.push_back(Event::Down(family));
                self.end_without_network(now);
            }
        }
    }

    /// A link over which nothing can go is terminated.
    fn end_without_network(&mut self, now: Instant) {
        let v4 = self.ipcp.as_ref().is_none_or(Automaton::is_closed);
        let v6 = self.ipv6cp.as_ref().is_none_or(Automaton::is_closed);
        if v4 && v6 {
            self.lcp.close(now);
        }
    }

    /// The host does not have a protocol.
    fn protocol_rejected(&mut self, now: Instant, data: &[u8]) {
        let Some(protocol) = data.first_chunk().map(|octets| u16::from_be_bytes(*octets)) else {
            return;
        };
        match (protocol, &mut self.ipcp, &mut self.ipv6cp) {
            (LCP, ..) => self.over(Over::GivenUp),
            (PAP | CHAP, ..) if self.phase == Phase::Authenticate => self.lcp.close(now),
            (IPCP | IPV4, Some(ipcp), _) => {
                ipcp.forget();
                self.network_changed(now, 4, Change::GivenUp);
            }
            (IPV6CP | IPV6, _, Some(ipv6cp)) => {
                ipv6cp.forget();
                self.network_changed(now, 6, Change::GivenUp);
            }
            _ => {}
        }
    }

    /// Makes frames of what was said.
    fn flush(&mut self) {
        // LCP is understood by a host that has forgotten what was agreed on (RFC 1661 5, RFC 1662 7.1).
        for packet in self.lcp.take_outgoing() {
            self.say(LCP, &packet, Manner::default());
        }
        let manner = self.lcp.layer.manner;
        for (protocol, packet) in self.door.take_outgoing() {
            self.say(protocol, &packet, manner);
        }
        let ipcp = self.ipcp.as_mut().map(Automaton::take_outgoing);
        let ipv6cp = self.ipv6cp.as_mut().map(Automaton::take_outgoing);
        for (protocol, packets) in [(IPCP, ipcp), (IPV6CP, ipv6cp)] {
            for packet in packets.unwrap_or_default() {
                self.say(protocol, &packet, manner);
            }
        }
    }

    fn say(&mut self, protocol: u16, packet: &Packet, manner: Manner) {
        self.events
            .push_back(Event::Octets(lay_out(protocol, &packet.octets(), manner)));
    }
}

#[cfg(test)]
mod tests;
