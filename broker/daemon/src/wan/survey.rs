//! What the kernel knows of the machine's network: links, addresses, default routes; and which of them is the primary WAN.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use super::policy;
use crate::net::address::ROUTE_PROTOCOL;
use crate::net::netlink::{Announcements, Body, Netlink, attributes};

const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;

const IFLA_IFNAME: u16 = 3;
const IFLA_STATS64: u16 = 23;
const IFLA_CARRIER: u16 = 33;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_MULTIPATH: u16 = 9;

const IFF_UP: u32 = 1;
const RT_TABLE_MAIN: u8 = 254;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Links, addresses and routes of either family (`RTMGRP_…` of `rtnetlink(7)`).
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/// What the interface of a primary WAN is called when nobody said.
const NAMES: [&str; 4] = ["eth", "enp", "wlan", "wlp"];

/// USB vendors whose network interfaces are modems, which are no primary WAN: SIMCom.
const MODEM_VENDORS: [&str; 1] = ["1e0e"];

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Switched on, with a carrier.
    pub is_up: bool,
    /// Its addresses with the lengths of their prefixes, without those that reach no further than the link.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Its default routes in the main table that are not the broker's.
    pub default_routes: Vec<DefaultRoute>,
    /// Octets received and sent since it exists.
    pub octets: (u64, u64),
}

/// A default route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRoute {
    /// Whether it is for IPv6.
    pub is_v6: bool,
    /// The gateway; none on links that have two ends only.
    pub gateway: Option<IpAddr>,
    /// Its metric; the lowest wins.
    pub metric: u32,
}

impl Seen {
    /// What the policy wants to know of it.
    pub fn link(&self) -> policy::Link {
        match (self.is_up, self.default_routes.is_empty()) {
            (false, _) => policy::Link::Down,
            (true, true) => policy::Link::NoRoute,
            (true, false) => policy::Link::Up,
        }
    }

    /// Whether it has a default route for a family.
    pub fn routes(&self, is_v6: bool) -> bool {
        self.default_routes.iter().any(|route| route.is_v6 == is_v6)
    }

    fn metric(&self) -> u32 {
        self.default_routes
            .iter()
            .map(|route| route.metric)
            .min()
            .unwrap_or(u32::MAX)
    }
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn long(octets: &[u8], at: usize) -> Option<u64> {
    octets.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes)
}

pub(super) fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

/// Looks at every interface.
pub fn survey() -> io::Result<Vec<Seen>> {
    let mut netlink = Netlink::open()?;
    let mut seen = links(&mut netlink)?;
    let mut header = [0; 8];
    for family in [AF_INET, AF_INET6] {
        header[0] = family;
        netlink.list(RTM_GETADDR, &Body::new(&header), |_, address| {
            fold_address(&mut seen, address);
        })?;
    }
    for family in [AF_INET, AF_INET6] {
        let mut header = [0; 12];
        header[0] = family;
        netlink.list(RTM_GETROUTE, &Body::new(&header), |_, route| {
            fold_route(&mut seen, route)
        })?;
    }
    Ok(seen)
}

fn links(netlink: &mut Netlink) -> io::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    netlink.list(RTM_GETLINK, &Body::new(&[0; 16]), |_, link| {
        let (Some(index), Some(flags)) = (word(link, 4), word(link, 8)) else {
            return;
        };
        let mut interface = Seen {
            index,
            ..Seen::default()
        };
        let mut carrier = true;
        for (kind, value) in attributes(link.get(16..).unwrap_or_default()) {
            match kind {
                IFLA_IFNAME => {
                    let name = value.split(|octet| *octet == 0).next().unwrap_or_default();
                    interface.name = String::from_utf8_lossy(name).into_owned();
                }
                IFLA_CARRIER => carrier = value.first() != Some(&0),
                // rx_bytes and tx_bytes come after the two counts of packets.
                IFLA_STATS64 => interface.octets = long(value, 16).zip(long(value, 24)).unwrap_or_default(),
                _ => {}
            }
        }
        interface.is_up = flags & IFF_UP != 0 && carrier;
        seen.push(interface);
    })?;
    Ok(seen)
}

fn fold_address(seen: &mut [Seen], address: &[u8]) {
    let Some((&[_, prefix, _, scope, ..], rest)) = address.split_first_chunk::<8>() else {
        return;
    };
    let Some(owner) = word(address, 4) else { return };
    let find = |wanted| attributes(rest).find(|(kind, _)| *kind == wanted);
    let value = find(IFA_LOCAL).or_else(|| find(IFA_ADDRESS));
    let address = value.and_then(|(_, value)| ip_address(value));
    if let Some(interface) = seen.iter_mut().find(|interface| interface.index == owner)
        && let Some(address) = address.filter(|_| scope < RT_SCOPE_LINK)
    {
        interface.addresses.push((address, prefix));
    }
}

fn fold_route(seen: &mut [Seen], route: &[u8]) {
    let Some((&[family, prefix, _, _, table, protocol, _, kind, ..], rest)) = route.split_first_chunk::<12>() else {
        return;
    };
    let is_default = prefix == 0 && table == RT_TABLE_MAIN && kind == RTN_UNICAST;
    if !is_default || protocol == ROUTE_PROTOCOL {
        return;
    }
    let (mut owner, mut gateway, mut metric) = (None, None, 0);
    for (kind, value) in attributes(rest) {
        match kind {
            RTA_OIF => owner = word(value, 0),
            RTA_GATEWAY => gateway = ip_address(value),
            RTA_PRIORITY => metric = word(value, 0).unwrap_or(0),
            // Of several ways at once the first one stands for all: `struct rtnexthop`, then attributes.
            RTA_MULTIPATH => {
                owner = word(value, 4);
                let inner = attributes(value.get(8..).unwrap_or_default()).find(|(kind, _)| *kind == RTA_GATEWAY);
                gateway = inner.and_then(|(_, value)| ip_address(value));
            }
            _ => {}
        }
    }
    if let Some(interface) = seen.iter_mut().find(|interface| Some(interface.index) == owner) {
        interface.default_routes.push(DefaultRoute {
            is_v6: family == AF_INET6,
            gateway,
            metric,
        });
    }
}

/// Whether an interface belongs to a modem, whatever it is called: a router composition (RNDIS, ECM) looks like Ethernet.
fn is_of_modem(sysfs: &Path, name: &str) -> bool {
    let Ok(mut device) = fs::canonicalize(sysfs.join("class/net").join(name).join("device")) else {
        return false;
    };
    // The interface's own directory, then the USB device's.
    for _ in 0..3 {
        if let Ok(vendor) = fs::read_to_string(device.join("idVendor")) {
            return MODEM_VENDORS.contains(&vendor.trim());
        }
        if !device.pop() {
            return false;
        }
    }
    false
}

/// The primary WAN: the configured interface, otherwise the one with the best default route among those that are named like
/// Ethernet or WLAN; while none has one, the one that it was. Never an interface of a modem.
pub fn primary<'a>(
    seen: &'a [Seen],
    configured: Option<&str>,
    before: &str,
    modems: &BTreeSet<String>,
    sysfs: &Path,
) -> Option<&'a Seen> {
    if let Some(configured) = configured {
        return seen.iter().find(|interface| interface.name == configured);
    }
    let fits = |interface: &&Seen| {
        NAMES.iter().any(|name| interface.name.starts_with(name))
            && !modems.contains(&interface.name)
            && !is_of_modem(sysfs, &interface.name)
    };
    let candidates: Vec<&Seen> = seen.iter().filter(fits).collect();
    let works = |interface: &&&Seen| interface.link() == policy::Link::Up;
    let best = candidates
        .iter()
        .filter(works)
        .min_by_key(|interface| interface.metric());
    let same = || candidates.iter().find(|interface| interface.name == before);
    let any = || candidates.iter().min_by_key(|interface| !interface.is_up);
    best.or_else(same).or_else(any).copied()
}

/// Tells that something changed.
pub struct Bell(Announcements);

impl Bell {
    /// Listens from now on.
    pub fn open() -> io::Result<Self> {
        Ok(Self(Announcements::open(GROUPS)?))
    }

    /// Waits until something changes; what changed is found by [`survey`].
    pub async fn rung(&self) -> io::Result<()> {
        self.0.next(|_, _| {}).await
    }
}

#[cfg(test)]
mod tests;
