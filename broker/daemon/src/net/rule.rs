//! The broker's routing policy rules (`ip rule`), known by their protocol number.

use std::io;
use std::net::IpAddr;

use super::address::ROUTE_PROTOCOL;
use super::netlink::{Body, NLM_F_CREATE, NLM_F_EXCL, Netlink, attributes};

/// Before the rule of the main table (32766). Those that lead the traffic have this one and the next.
pub(crate) const PREFERENCE: u32 = 10_900;

/// For answers of DHCP servers.
pub(super) const DHCP_PREFERENCE: u32 = PREFERENCE + 2;

const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;

const FRA_SRC: u16 = 2;
const FRA_PRIORITY: u16 = 6;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_PROTOCOL: u16 = 21;
pub(super) const FRA_IP_PROTO: u16 = 22;
pub(super) const FRA_SPORT_RANGE: u16 = 23;
pub(super) const FRA_DPORT_RANGE: u16 = 24;

const FR_ACT_TO_TBL: u8 = 1;

pub(crate) const AF_INET: u8 = 2;
pub(crate) const AF_INET6: u8 = 10;
pub(crate) const FAMILIES: [u8; 2] = [AF_INET, AF_INET6];

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A rule for what is sent from an address.
pub(super) fn rule(from: IpAddr, table: u8, preference: u32) -> Body {
    let bits = if from.is_ipv4() { 32 } else { 128 };
    let family = if from.is_ipv4() { AF_INET } else { AF_INET6 };
    // `struct fib_rule_hdr`
    let header = [family, 0, bits, 0, table, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0];
    Body::new(&header)
        .with(FRA_SRC, &octets(from))
        .with_u32(FRA_PRIORITY, preference)
        .with_u32(FRA_TABLE, u32::from(table))
        .with(FRA_PROTOCOL, &[ROUTE_PROTOCOL])
}

/// Has what is sent from an address look into a table; with `suppress`, only at routes that are longer than that.
pub(crate) fn add_from(
    netlink: &mut Netlink,
    from: IpAddr,
    table: u8,
    preference: u32,
    suppress: Option<u32>,
) -> io::Result<()> {
    let mut body = rule(from, table, preference);
    if let Some(length) = suppress {
        body = body.with_u32(FRA_SUPPRESS_PREFIXLEN, length);
    }
    add(netlink, &body)
}

pub(super) fn add(netlink: &mut Netlink, rule: &Body) -> io::Result<()> {
    match netlink.change(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

pub(super) fn remove(netlink: &mut Netlink, rule: &Body) -> io::Result<()> {
    absent_is_fine(netlink.change(RTM_DELRULE, 0, rule))
}

/// Removes every rule of the broker. Returns how many there were.
pub(crate) fn remove_all(netlink: &mut Netlink) -> io::Result<usize> {
    let rules = list(netlink)?;
    for rule in &rules {
        remove(netlink, rule)?;
    }
    Ok(rules.len())
}

/// The broker's rules, as the kernel lists them, without what it adds of its own.
fn list(netlink: &mut Netlink) -> io::Result<Vec<Body>> {
    let mut found = Vec::new();
    for family in FAMILIES {
        let mut header = [0; 12];
        header[0] = family;
        netlink.list(RTM_GETRULE, &Body::new(&header), |_, rule| {
            let Some((header, rest)) = rule.split_first_chunk::<12>() else {
                return;
            };
            let ours = attributes(rest).any(|(kind, value)| kind == FRA_PROTOCOL && value == [ROUTE_PROTOCOL]);
            if !ours {
                return;
            }
            let kept = [FRA_SRC, FRA_PRIORITY, FRA_SUPPRESS_PREFIXLEN, FRA_TABLE, FRA_PROTOCOL];
            let body = attributes(rest)
                .filter(|(kind, _)| kept.contains(kind))
                // -1 stands for a rule without suppression, and is not taken back.
                .filter(|(kind, value)| *kind != FRA_SUPPRESS_PREFIXLEN || *value != [0xFF; 4])
                .fold(Body::new(header), |body, (kind, value)| body.with(kind, value));
            found.push(body);
        })?;
    }
    Ok(found)
}

/// The kernel takes routes and rules away together with the interface.
pub(crate) fn absent_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT)) => Ok(()),
        other => other,
    }
}
