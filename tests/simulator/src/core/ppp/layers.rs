//! What LCP, IPCP and IPV6CP negotiate (RFC 1661 clause 6, RFC 1332, RFC 1877, RFC 5072).

use std::net::Ipv4Addr;

use super::frame::{ALL_CONTROL_CHARACTERS, Manner};
use super::negotiation::{ControlOption, Layer, Verdict, option};

/// Options of LCP.
const MAXIMUM_RECEIVE_UNIT: u8 = 1;
const CONTROL_CHARACTERS: u8 = 2;
const AUTHENTICATION: u8 = 3;
const MAGIC_NUMBER: u8 = 5;
const SHORT_PROTOCOL: u8 = 7;
const SHORT_ADDRESS: u8 = 8;

/// Options of IPCP.
const IP_ADDRESS: u8 = 3;
const NAME_SERVERS: [u8; 2] = [129, 131];

/// The option of IPV6CP.
const INTERFACE_IDENTIFIER: u8 = 1;

/// What is taken when nothing is said, and the least that IPv4 can live with.
const UNIT_DEFAULT: u16 = 1_500;
const UNIT_MIN: u16 = 68;

/// How the host has to show who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Authentication {
    Nobody,
    Password,
    Challenge,
}

impl Authentication {
    /// Its protocol, and MD5 as the algorithm of CHAP.
    fn value(self) -> Option<&'static [u8]> {
        match self {
            Self::Nobody => None,
            Self::Password => Some(&[0xC0, 0x23]),
            Self::Challenge => Some(&[0xC2, 0x23, 5]),
        }
    }
}

/// The link itself.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) magic: u32,
    pub(super) authentication: Authentication,
    /// The options that the host would not have.
    declined: Vec<u8>,
    escaped: u32,
    /// How the host wants to be sent to.
    pub(super) manner: Manner,
    /// The longest packet that it takes.
    pub(super) unit: u16,
}

impl Link {
    pub(super) fn new(magic: u32) -> Self {
        Self {
            magic,
            authentication: Authentication::Challenge,
            declined: Vec::new(),
            escaped: 0,
            manner: Manner::default(),
            unit: UNIT_DEFAULT,
        }
    }

    /// The control characters that the host escapes, once it agreed to that.
    pub(super) fn control_characters(&self) -> u32 {
        if self.declined.contains(&CONTROL_CHARACTERS) {
            ALL_CONTROL_CHARACTERS
        } else {
            self.escaped
        }
    }
}

impl Layer for Link {
    fn wanted(&self) -> Vec<ControlOption> {
        // In the order in which the module's chip has them.
        let mut wanted = vec![option(CONTROL_CHARACTERS, self.escaped.to_be_bytes())];
        wanted.extend(self.authentication.value().map(|value| option(AUTHENTICATION, value)));
        wanted.push(option(MAGIC_NUMBER, self.magic.to_be_bytes()));
        wanted.push(option(SHORT_PROTOCOL, []));
        wanted.push(option(SHORT_ADDRESS, []));
        wanted.retain(|option| !self.declined.contains(&option.kind));
        wanted
    }

    fn suggested(&mut self, option: &ControlOption) {
        match (option.kind, &option.value[..]) {
            (CONTROL_CHARACTERS, &[a, b, c, d]) => self.escaped |= u32::from_be_bytes([a, b, c, d]),
            (AUTHENTICATION, [0xC2, 0x23, 5, ..]) => self.authentication = Authentication::Challenge,
            // Whatever else it was, such as EAP or MS-CHAP: passwords are the last that is left.
            (AUTHENTICATION, _) => self.authentication = Authentication::Password,
            (MAGIC_NUMBER, _) => self.magic = self.magic.rotate_left(7).wrapping_add(1),
            _ => {}
        }
    }

    fn declined(&mut self, kind: u8) {
        if kind == AUTHENTICATION {
            self.authentication = Authentication::Nobody;
        }
        if !self.declined.contains(&kind) {
            self.declined.push(kind);
        }
    }

    fn judge(&self, option: &ControlOption) -> Verdict {
        let unit = |high: u8, low: u8| u16::from_be_bytes([high, low]);
        match (option.kind, &option.value[..]) {
            (MAXIMUM_RECEIVE_UNIT, &[high, low]) if unit(high, low) >= UNIT_MIN => Verdict::Good,
            (MAXIMUM_RECEIVE_UNIT, _) => Verdict::Rather(UNIT_DEFAULT.to_be_bytes().to_vec()),
            (CONTROL_CHARACTERS, [_, _, _, _]) | (SHORT_PROTOCOL | SHORT_ADDRESS, []) => Verdict::Good,
            // One's own number means that one's own octets come back (RFC 1661 6.4).
            (MAGIC_NUMBER, &[a, b, c, d]) if u32::from_be_bytes([a, b, c, d]) != self.magic => Verdict::Good,
            (MAGIC_NUMBER, [_, _, _, _]) => Verdict::Rather((!self.magic).to_be_bytes().to_vec()),
            // The module has nothing with which it could show who it is.
            _ => Verdict::Never,
        }
    }

    fn granted(&mut self, options: &[ControlOption]) {
        (self.manner, self.unit) = (Manner::default(), UNIT_DEFAULT);
        for each in options {
            match (each.kind, &each.value[..]) {
                (CONTROL_CHARACTERS, &[a, b, c, d]) => {
                    self.manner.control_characters = u32::from_be_bytes([a, b, c, d]);
                }
                (MAXIMUM_RECEIVE_UNIT, &[high, low]) => self.unit = u16::from_be_bytes([high, low]),
                (SHORT_PROTOCOL, _) => self.manner.short_protocol = true,
                (SHORT_ADDRESS, _) => self.manner.short_address = true,
                _ => {}
            }
        }
    }
}

/// What the network gives for IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings4 {
    pub(crate) address: Ipv4Addr,
    pub(crate) name_servers: [Ipv4Addr; 2],
}

impl Layer for Settings4 {
    /// Nothing: the module has no address of its own, and hosts make one up.
    fn wanted(&self) -> Vec<ControlOption> {
        Vec::new()
    }

    fn suggested(&mut self, _: &ControlOption) {}

    fn declined(&mut self, _: u8) {}

    fn judge(&self, option: &ControlOption) -> Verdict {
        let given = match option.kind {
            IP_ADDRESS => self.address,
            kind if kind == NAME_SERVERS[0] => self.name_servers[0],
            kind if kind == NAME_SERVERS[1] => self.name_servers[1],
            // Compression of headers, the two addresses of RFC 1172, servers of NetBIOS names.
            _ => return Verdict::Never,
        };
        if option.value == given.octets() {
            Verdict::Good
        } else {
            Verdict::Rather(given.octets().to_vec())
        }
    }

    fn granted(&mut self, _: &[ControlOption]) {}
}

/// Identifiers of the two interfaces: the lower half of their link-local addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identifiers {
    pub(crate) host: u64,
    pub(crate) module: u64,
}

impl Layer for Identifiers {
    fn wanted(&self) -> Vec<ControlOption> {
        vec![option(INTERFACE_IDENTIFIER, self.module.to_be_bytes())]
    }

    fn suggested(&mut self, _: &ControlOption) {}

    fn declined(&mut self, _: u8) {}

    fn judge(&self, option: &ControlOption) -> Verdict {
        match option.kind {
            INTERFACE_IDENTIFIER if option.value == self.host.to_be_bytes() => Verdict::Good,
            // The network chooses it, so that link-local addresses are unique (3GPP 29.061 11.2.1.3.1).
            INTERFACE_IDENTIFIER => Verdict::Rather(self.host.to_be_bytes().to_vec()),
            _ => Verdict::Never,
        }
    }

    fn granted(&mut self, _: &[ControlOption]) {}
}
