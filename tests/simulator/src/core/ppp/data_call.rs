//! The data call on the modem port: its states (V.250 clause 6.3, 27.007 clause 10.2), and what the network makes of it.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::escape::EscapeWatch;
use super::layers::{Identifiers, Settings4};
use super::proof::Proof;
use super::{Drawn, Event, Granted, Over, Peer, Phase};
use crate::core::Modem;
use crate::core::books::{DataCallEnd, DataCallRecord};
use crate::core::port::PortId;
use crate::core::qmi::{ADDRESS_V6, AUTHENTICATION_FAILED, Asked, NO_SERVICE};
use crate::core::result_code::Code;
use crate::core::schedule::Action;
use crate::core::usb::Function;
use crate::core::{internet, router};

/// A data call.
#[derive(Debug)]
pub(crate) struct DataCall {
    peer: Peer,
    context: u32,
    /// Versions of IP that the context has.
    families: &'static [u8],
    apn: Option<String>,
    credentials: (String, String),
    /// Bits of the protocols for them.
    protocols: Option<u32>,
    /// Versions of IP that the network gives, and when it does.
    activation: Option<(Instant, Vec<u8>)>,
    /// Versions of IP whose packets go.
    up: Vec<u8>,
    /// The port is in the data state, not in the online command state.
    is_online: bool,
    escape: EscapeWatch,
    end: Option<DataCallEnd>,
}

impl DataCall {
    pub(super) fn context(&self) -> u32 {
        self.context
    }

    fn due(&self) -> Option<Instant> {
        let activation = self.activation.as_ref().map(|(due, _)| *due);
        [self.peer.due(), self.escape.due, activation]
            .into_iter()
            .flatten()
            .min()
    }

    /// State at a glance.
    pub(in crate::core) fn shown(&self) -> String {
        let phase = match self.peer.phase() {
            Phase::Establish => "establish",
            Phase::Authenticate => "authenticate",
            Phase::Network => "network",
            Phase::Over => "over",
        };
        let state = if self.is_online { "data" } else { "command" };
        format!("context {}, {state} state, phase {phase}", self.context)
    }
}

fn families(kind: &str) -> &'static [u8] {
    match kind {
        "IPV6" => &[6],
        "IPV4V6" => &[4, 6],
        _ => &[4],
    }
}

fn identifier(address: Ipv6Addr) -> u64 {
    address.to_bits() as u64
}

impl Modem {
    /// Whether octets on a port belong to a data call.
    pub(in crate::core) fn is_in_data_state(&self, port: PortId) -> bool {
        port == PortId::Modem && self.data_call.as_ref().is_some_and(|call| call.is_online)
    }

    /// Addresses of the data call whose packets can go.
    pub(in crate::core) fn data_call_addresses(&self) -> Vec<IpAddr> {
        let up = self.data_call.as_ref().map_or(&[][..], |call| &call.up);
        let given = self.given_by_ppp();
        let v4 = given.v4.filter(|_| up.contains(&4)).map(|v4| IpAddr::V4(v4.address));
        let v6 = up.contains(&6).then_some(IpAddr::V6(ADDRESS_V6));
        v4.into_iter().chain(v6).collect()
    }

    /// The address by which `AT+CGPADDR` shows a context, if the data call is over it.
    pub(in crate::core) fn data_call_address(&self, context: u32) -> Option<IpAddr> {
        self.data_call.as_ref().filter(|call| call.context == context)?;
        self.data_call_addresses().first().copied()
    }

    /// What the network gives to a session, whatever it refuses. A server of DHCP has nothing to say here: PPP tells addresses
    /// by itself.
    fn given_by_ppp(&self) -> Granted {
        let given = self.packet.given(&[4, 6]);
        let v4 = given
            .v4
            .zip(given.name_servers_v4.first_chunk())
            .map(|((address, _), name_servers)| Settings4 {
                address,
                name_servers: *name_servers,
            });
        let v6 = given
            .v6
            .zip(given.gateway_v6)
            .map(|((address, _), gateway)| Identifiers {
                host: identifier(address),
                module: identifier(gateway),
            });
        Granted { v4, v6 }
    }

    /// The port enters the data state: with a new call over a context, or with the call that is there.
    pub(in crate::core) fn enter_data_state(&mut self, context: Option<u32>) {
        let now = self.now;
        match (context, &mut self.data_call) {
            (None, Some(call)) => {
                call.is_online = true;
                call.escape = EscapeWatch::new(now);
            }
            (Some(context), None) => self.begin_data_call(context),
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.carry_data_call();
    }

    fn begin_data_call(&mut self, context: u32) {
        let Some((kind, apn)) = self.network.contexts.get(&context).cloned() else {
            return;
        };
        let mut challenge = [0; 16];
        for part in challenge.chunks_mut(8) {
            part.copy_from_slice(&self.random.next().to_be_bytes());
        }
        let magic = (self.random.next() >> 32) as u32;
        let (protocols, user, password) = match self.network.authentication(context) {
            Some((kind, user, password)) => (Some(kind), user, password),
            None => (None, String::new(), String::new()),
        };
        self.data_call = Some(DataCall {
            peer: Peer::new(self.now, Drawn { magic, challenge }),
            context,
            families: families(&kind),
            apn: Some(apn).filter(|apn| !apn.is_empty()),
            credentials: (user, password),
            protocols,
            activation: None,
            up: Vec::new(),
            is_online: true,
            escape: EscapeWatch::new(self.now),
            end: None,
        });
        let record = DataCallRecord {
            at_ms: self.elapsed_ms(),
            context,
            ..DataCallRecord::default()
        };
        self.books.data_calls.push(record);
    }

    /// Takes octets of the host in the data state.
    pub(in crate::core) fn data_input(&mut self, octets: &[u8]) {
        let (now, guard) = (self.now, self.general.escape_guard());
        let Some(call) = &mut self.data_call else { return };
        let data = call.escape.pass(now, guard, octets);
        if !self.packet.silent {
            call.peer.receive(now, &data);
        }
        self.carry_data_call();
    }

    /// Something of the data call is due.
    pub(in crate::core) fn data_call_due(&mut self) {
        let now = self.now;
        let Some(call) = &mut self.data_call else { return };
        call.peer.timeout(now);
        let escaped = call.escape.due.take_if(|due| *due <= now).is_some();
        let activation = call.activation.take_if(|(due, _)| *due <= now);
        if escaped {
            call.escape = EscapeWatch::new(now);
            call.is_online = false;
            self.tell_host(Code::Ok);
        }
        if let Some((_, granted)) = activation {
            self.network_answers(&granted);
        }
        self.carry_data_call();
    }

    /// Carries out what the peer says, and comes back when it wants to.
    fn carry_data_call(&mut self) {
        while let Some(event) = self.data_call.as_mut().and_then(|call| call.peer.poll()) {
            let now = self.now;
            match event {
                Event::Octets(octets) => {
                    if self.is_in_data_state(PortId::Modem) && !self.packet.silent {
                        self.emit(Function::Modem, &octets);
                    }
                }
                Event::Authenticate(proof) => {
                    let good = self.admits(&proof);
                    if let Some(call) = &mut self.data_call {
                        call.peer.admit(now, good);
                    }
                }
                Event::Activate => self.ask_network(),
                Event::Up(family) => self.family_is_up(family),
                Event::Down(family) => {
                    if let Some(call) = &mut self.data_call {
                        call.up.retain(|up| *up != family);
                    }
                }
                Event::Packet(packet) => self.packet_of_host(&packet),
                Event::Over(over) => {
                    let end = match over {
                        Over::Terminated | Over::Closed => DataCallEnd::Terminated,
                        Over::GivenUp => DataCallEnd::Unanswered,
                    };
                    self.end_data_call(end);
                    self.tell_host(Code::NoCarrier);
                }
            }
        }
        self.schedule.cancel(|action| matches!(action, Action::DataCall));
        if let Some(due) = self.data_call.as_ref().and_then(DataCall::due) {
            self.schedule.at(due, Action::DataCall);
        }
    }

    fn tell_host(&mut self, code: Code) {
        let verbosity = self.settings.number("+CMEE", 0);
        let octets = self.port(PortId::Modem).result(code, verbosity);
        self.emit(Function::Modem, &octets);
    }

    /// Whether the network lets a host pass that shows this.
    fn admits(&mut self, proof: &Proof) -> bool {
        let Some(call) = &mut self.data_call else { return false };
        // A host that calls itself nothing leaves it to what the context has.
        if !proof.user().is_empty() {
            let password = match (proof, &self.packet.credentials) {
                (Proof::Password { password, .. }, _) => password.clone(),
                (Proof::Response { .. }, Some((_, known))) if proof.holds(known) => known.clone(),
                (Proof::Response { .. }, _) => String::new(),
            };
            call.credentials = (proof.user().to_owned(), password);
            call.protocols = Some(proof.protocol());
        }
        let asked = asked(call);
        let (families, context) = (call.families, call.context);
        let refusals: Vec<_> = families
            .iter()
            .map(|family| (*family, self.session_refusal(*family, &asked)))
            .collect();
        let failed = |(_, refusal): &(u8, Option<_>)| *refusal == Some(AUTHENTICATION_FAILED);
        if !refusals.iter().all(failed) {
            // Whatever else stands in the way is told when the context is activated.
            return true;
        }
        for (family, refusal) in refusals {
            self.note_session(family, u8::try_from(context).ok(), &asked, refusal);
        }
        self.refuse_data_call(AUTHENTICATION_FAILED);
        false
    }

    fn refuse_data_call(&mut self, (layer, number): (u16, u16)) {
        if let Some(call) = &mut self.data_call {
            call.end.get_or_insert(DataCallEnd::Refused { layer, number });
        }
    }

    /// The context is activated when the host begins with a network protocol.
    fn ask_network(&mut self) {
        let Some(call) = &self.data_call else { return };
        let (asked, families, context) = (asked(call), call.families, call.context);
        let (mut granted, mut reason) = (Vec::new(), None);
        for family in families {
            let refusal = self.session_refusal(*family, &asked);
            self.note_session(*family, u8::try_from(context).ok(), &asked, refusal);
            match refusal {
                None => granted.push(*family),
                Some(refusal) => reason = Some(refusal),
            }
        }
        if let Some(reason) = reason.filter(|_| granted.is_empty()) {
            self.refuse_data_call(reason);
        }
        let delay = Duration::from_millis(self.packet.start_after_ms) + self.random.within(self.delays.session);
        if delay.is_zero() || granted.is_empty() {
            self.network_answers(&granted);
        } else if let Some(call) = &mut self.data_call {
            call.activation = Some((self.now + delay, granted));
        }
    }

    fn network_answers(&mut self, granted: &[u8]) {
        let mut given = self.given_by_ppp();
        given.v4.take_if(|_| !granted.contains(&4));
        given.v6.take_if(|_| !granted.contains(&6));
        if !granted.is_empty() && !self.packets_are_served() {
            self.refuse_data_call(NO_SERVICE);
            given = Granted { v4: None, v6: None };
        }
        let Some(call) = &mut self.data_call else { return };
        call.peer.activate(self.now, given);
        if given.v4.is_some() || given.v6.is_some() {
            let context = call.context;
            self.network.set_active(context, true);
        }
    }

    fn family_is_up(&mut self, family: u8) {
        if let Some(call) = &mut self.data_call {
            call.up.push(family);
        }
        if family == 6 {
            // Nobody has to ask (29.061 11.2.1.3.2): the host may have done so before it could be heard.
            if let Some(advertisement) = self.advertised() {
                self.packet_for_host(&advertisement);
            }
        }
    }

    fn packet_of_host(&mut self, packet: &[u8]) {
        if let Some(record) = self.books.data_calls.records.back_mut() {
            record.uplink_packets += 1;
            record.uplink_octets += packet.len() as u64;
        }
        let reply = if router::is_solicitation(packet) {
            self.solicited()
        } else {
            let own = self.data_call_addresses();
            internet::answer(packet)
                .filter(|reply| internet::destination(reply).is_some_and(|to| internet::reaches(&own, to)))
        };
        if let Some(reply) = reply {
            self.packet_for_host(&reply);
        }
    }

    fn packet_for_host(&mut self, packet: &[u8]) {
        let sent = self.data_call.as_mut().is_some_and(|call| call.peer.send(packet));
        if sent && let Some(record) = self.books.data_calls.records.back_mut() {
            record.downlink_packets += 1;
            record.downlink_octets += packet.len() as u64;
        }
    }

    /// The call is over; whoever has to be told is told by the caller.
    pub(in crate::core) fn end_data_call(&mut self, end: DataCallEnd) {
        let Some(call) = self.data_call.take() else { return };
        let ended_ms = self.elapsed_ms();
        if let Some(record) = self.books.data_calls.records.back_mut() {
            record.ended_ms = Some(ended_ms);
            // What began the end is why it ended.
            record.end = Some(call.end.unwrap_or(end));
            record.damaged_frames = call.peer.damaged();
        }
        self.network.set_active(call.context, false);
        self.schedule.cancel(|action| matches!(action, Action::DataCall));
    }

    /// The network or somebody at another port ends it: the host hears of that over the link, as long as it listens.
    pub(in crate::core) fn terminate_data_call(&mut self, end: DataCallEnd) {
        let now = self.now;
        let Some(call) = &mut self.data_call else { return };
        if call.is_online {
            call.end.get_or_insert(end);
            call.peer.terminate(now);
            self.carry_data_call();
        } else {
            self.end_data_call(end);
            self.tell_host(Code::NoCarrier);
        }
    }

    /// The carrier is gone, and with it the way to tell the host of it but one.
    pub(in crate::core) fn lose_carrier(&mut self) {
        if self.data_call.is_some() {
            self.end_data_call(DataCallEnd::CarrierLost);
            self.tell_host(Code::NoCarrier);
        }
    }

    pub(in crate::core) fn data_call_follows_registration(&mut self) {
        if !self.packets_are_served() {
            self.lose_carrier();
        }
    }

    /// The host closed the port: what `AT&D` says of a line that drops.
    pub(in crate::core) fn data_port_closed(&mut self) {
        match self.general.data_terminal_ready {
            0 => {}
            1 => {
                if let Some(call) = &mut self.data_call {
                    call.is_online = false;
                }
            }
            _ => self.end_data_call(DataCallEnd::PortClosed),
        }
    }
}

fn asked(call: &DataCall) -> Asked {
    Asked {
        apn: call.apn.clone(),
        credentials: call.credentials.clone(),
        protocols: call.protocols,
    }
}
