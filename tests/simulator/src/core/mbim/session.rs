//! The data session of the function: one, with the addresses of the network that QMI has as well.

use std::net::IpAddr;
use std::time::Duration;

use super::frame::{Command, Field, lay_out};
use super::{
    CONNECT, CONTEXT_NOT_ACTIVATED, FAILURE, INVALID_PARAMETERS, MAX_ACTIVATED_CONTEXTS, PACKET_SERVICE_DETACHED,
    Refused, refused,
};
use crate::core::Modem;
use crate::core::qmi::{ADDRESS_V6, Asked, Given};
use crate::core::schedule::Action;

const INTERNET: [u8; 16] = 0x7e5e_2a7e_4e6f_7272_736b_656e_7e5e_2a7e_u128.to_be_bytes();

const ACTIVATED: u32 = 1;
const DEACTIVATED: u32 = 3;

/// `MBIM_CONTEXT_IP_TYPE`
const V4: u32 = 1;
const V6: u32 = 2;
const V4V6: u32 = 3;

/// The layer of the session management in QMI's reasons, whose causes MBIM tells as they are.
const SESSION_MANAGEMENT: u16 = 6;

/// The session of the function.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions {
    /// The versions of IP that are up.
    up: Option<u32>,
    /// One that is still coming up, with the versions that it will have.
    pending: Option<(u64, Command, u32)>,
    last_pending: u64,
}

impl Sessions {
    /// Ends what there is; nobody is told.
    pub(super) fn forget(&mut self) {
        self.up = None;
        self.pending = None;
    }
}

fn families(ip: u32) -> &'static [u8] {
    match ip {
        V6 => &[6],
        V4V6 => &[4, 6],
        _ => &[4],
    }
}

fn cause((layer, number): (u16, u16)) -> u32 {
    if layer == SESSION_MANAGEMENT {
        u32::from(number)
    } else {
        0
    }
}

fn information(state: u32, ip: u32, cause: u32) -> Vec<u8> {
    lay_out(&[
        Field::Number(0),
        Field::Number(state),
        Field::Number(0),
        Field::Number(ip),
        Field::Uuid(INTERNET),
        Field::Number(cause),
    ])
}

impl Modem {
    /// Addresses of the session: packets are raw IP by themselves.
    pub(in crate::core) fn mbim_session_addresses(&self) -> Vec<IpAddr> {
        let Some(ip) = self.mbim.session.up else {
            return Vec::new();
        };
        let Given { v4, .. } = self.given(families(ip));
        // One that a DHCP server gives is the session's as well.
        let leased = self.packet.offer().filter(|_| families(ip).contains(&4));
        let v4 = v4.map(|(address, _)| address).or(leased.map(|offer| offer.address));
        let v6 = families(ip).contains(&6).then_some(IpAddr::V6(ADDRESS_V6));
        v4.map(IpAddr::V4).into_iter().chain(v6).collect()
    }

    pub(super) fn connection(&self) -> Vec<u8> {
        match self.mbim.session.up {
            Some(ip) => information(ACTIVATED, ip, 0),
            None => information(DEACTIVATED, 0, 0),
        }
    }

    /// Answers *Connect*; `None` when the answer comes later.
    pub(super) fn activate(&mut self, command: &Command) -> Result<Option<Vec<u8>>, Refused> {
        const ACTIVATE: u32 = 1;
        if command.number(0) != 0 || command.information.get(44..60) != Some(&INTERNET[..]) {
            return Err(refused(INVALID_PARAMETERS));
        }
        if command.number(4) != ACTIVATE {
            return self.deactivate().map(Some);
        }
        if let Some(status) = self.obstacle_to_service() {
            return Err(refused(status));
        }
        if !self.is_attached() {
            return Err(refused(PACKET_SERVICE_DETACHED));
        }
        let is_taken = self.packet.held_by_firmware || self.data_call.is_some();
        if is_taken || self.mbim.session.up.is_some() || self.mbim.session.pending.is_some() {
            return Err(refused(MAX_ACTIVATED_CONTEXTS));
        }
        let ip = match command.number(40) {
            ip @ (V4 | V6 | V4V6) => ip,
            _ => V4,
        };
        let ip = self.grant(command, ip)?;
        let delay = Duration::from_millis(self.packet.start_after_ms) + self.random.within(self.delays.session);
        if delay.is_zero() {
            return Ok(Some(self.begin_mbim_session(ip)));
        }
        let sessions = &mut self.mbim.session;
        sessions.last_pending += 1;
        let id = sessions.last_pending;
        sessions.pending = Some((id, command.clone(), ip));
        self.schedule.at(self.now + delay, Action::MbimSession { id });
        Ok(None)
    }

    /// The versions of IP that the network gives, or its cause.
    fn grant(&mut self, command: &Command, ip: u32) -> Result<u32, Refused> {
        let asked = Asked {
            apn: Some(command.text(8)).filter(|apn| !apn.is_empty()),
            credentials: (command.text(16), command.text(24)),
            protocols: Some(command.number(36)).filter(|bits| *bits != 0),
        };
        let (mut granted, mut reason) = (Vec::new(), None);
        for family in families(ip) {
            let refusal = self.session_refusal(*family, &asked);
            self.note_session(*family, None, &asked, refusal);
            match refusal {
                None => granted.push(*family),
                Some(refusal) => reason = Some(refusal),
            }
        }
        match (granted.as_slice(), reason) {
            ([4], _) => Ok(V4),
            ([6], _) => Ok(V6),
            ([_, _], _) => Ok(V4V6),
            (_, reason) => Err((FAILURE, information(DEACTIVATED, ip, reason.map_or(0, cause)))),
        }
    }

    fn begin_mbim_session(&mut self, ip: u32) -> Vec<u8> {
        self.mbim.session.up = Some(ip);
        information(ACTIVATED, ip, 0)
    }

    /// A session that took its time is there.
    pub(in crate::core) fn mbim_session_due(&mut self, id: u64) {
        let due = self.mbim.session.pending.take_if(|(pending, ..)| *pending == id);
        let Some((_, command, ip)) = due else { return };
        let outcome = match self.obstacle_to_service() {
            None => Ok(self.begin_mbim_session(ip)),
            Some(status) => Err(refused(status)),
        };
        self.mbim_answer(&command, outcome);
    }

    fn deactivate(&mut self) -> Result<Vec<u8>, Refused> {
        let pending = self.mbim.session.pending.take();
        if let Some((_, command, ip)) = &pending {
            self.mbim_answer(command, Err((FAILURE, information(DEACTIVATED, *ip, 0))));
        }
        let held = std::mem::take(&mut self.packet.held_by_firmware);
        match self.mbim.session.up.take() {
            Some(ip) => Ok(information(DEACTIVATED, ip, 0)),
            None if held || pending.is_some() => Ok(information(DEACTIVATED, 0, 0)),
            None => Err((CONTEXT_NOT_ACTIVATED, information(DEACTIVATED, 0, 0))),
        }
    }

    pub(super) fn mbim_sessions_follow_registration(&mut self) {
        if !self.is_attached() {
            self.network_ends_mbim_session((0, 0));
        }
    }

    /// The network ends the session.
    pub(in crate::core) fn network_ends_mbim_session(&mut self, reason: (u16, u16)) {
        if let Some(ip) = self.mbim.session.up.take() {
            self.mbim_indicate(CONNECT, &information(DEACTIVATED, ip, cause(reason)));
        }
    }

    pub(super) fn ip_configuration(&self) -> Result<Vec<u8>, Refused> {
        let ip = self.mbim.session.up.ok_or_else(|| refused(CONTEXT_NOT_ACTIVATED))?;
        let Given {
            v4,
            v6,
            gateway_v4,
            gateway_v6,
            name_servers_v4,
            name_servers_v6,
            mtu,
        } = self.given(families(ip));
        // Addresses, gateway, name servers and the largest packet are known, or only the last.
        let known = |there: bool, family: u8| match (there, families(ip).contains(&family)) {
            (true, _) => 15,
            (false, true) => 8,
            (false, false) => 0,
        };
        let element = |prefix: u8, address: &[u8]| [&[prefix, 0, 0, 0], address].concat();
        let list_v4: Vec<u8> = v4.map_or(Vec::new(), |(address, prefix)| element(prefix, &address.octets()));
        let list_v6: Vec<u8> = v6.map_or(Vec::new(), |(address, prefix)| element(prefix, &address.octets()));
        Ok(lay_out(&[
            Field::Number(0),
            Field::Number(known(v4.is_some(), 4)),
            Field::Number(known(v6.is_some(), 6)),
            Field::List(u32::from(v4.is_some()), list_v4),
            Field::List(u32::from(v6.is_some()), list_v6),
            Field::Place(gateway_v4.map_or(Vec::new(), |gateway| gateway.octets().to_vec())),
            Field::Place(gateway_v6.map_or(Vec::new(), |gateway| gateway.octets().to_vec())),
            Field::List(
                name_servers_v4.len() as u32,
                name_servers_v4.iter().flat_map(|server| server.octets()).collect(),
            ),
            Field::List(
                name_servers_v6.len() as u32,
                name_servers_v6.iter().flat_map(|server| server.octets()).collect(),
            ),
            Field::Number(mtu),
            Field::Number(mtu),
        ]))
    }
}
