//! Leading the traffic: default routes and rules of the broker's own.
//!
//! What others set up stays as it is. While the modem is the way, a default route with a better metric leads through it; the
//! routes of the primary are copied into a table of their own, and a rule lets what is sent from the primary's addresses go
//! there. Without that rule a kernel with `rp_filter=1` drops the replies to the probes, and the primary never works again.
//! Everything carries the broker's protocol number, by which what a killed broker left is recognised.

use std::io;

use super::survey::Seen;
use crate::net::address::{self, ROUTE_PROTOCOL};
use crate::net::netlink::{Body, NLM_F_CREATE, NLM_F_REPLACE, Netlink, attributes};
use crate::net::rule::{self, AF_INET, AF_INET6, FAMILIES, absent_is_fine, octets};

/// The table with the copies of the primary's default routes.
const PRIMARY_TABLE: u8 = 110;

/// In the table of the bearers, before their own routes: what is sent from the address of the modem that leads must not go
/// out by another one.
const LED_METRIC: u32 = 1;

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;

const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;

const RT_TABLE_MAIN: u8 = 254;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const RTN_UNREACHABLE: u8 = 7;
const RTNH_F_ONLINK: u8 = 4;

const fn is_v6(family: u8) -> bool {
    family == AF_INET6
}

/// What is to be led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ways {
    /// The primary, if there is one.
    pub primary: Option<Seen>,
    /// The modem's interface.
    pub backup: Seen,
    /// The metric with which everything goes through the modem.
    pub metric: u32,
}

/// `struct rtmsg` of a default route.
fn route_header(family: u8, table: u8, scope: u8, kind: u8, flags: u8) -> [u8; 12] {
    // The flags are 32 bits in the order of the machine, and the one that is used is in the lowest octet.
    let flags = u32::from(flags).to_ne_bytes();
    [
        family,
        0,
        0,
        0,
        table,
        ROUTE_PROTOCOL,
        scope,
        kind,
        flags[0],
        flags[1],
        flags[2],
        flags[3],
    ]
}

/// Leads everything through the modem. Can be repeated after either side changed.
pub fn lead_to_backup(ways: &Ways) -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    // What is there already stays until its replacement is: packets that find no way in between would go out wrongly.
    for family in FAMILIES {
        let has = |seen: &Seen| seen.addresses.iter().any(|(ip, _)| ip.is_ipv6() == is_v6(family));
        let wanted = ways
            .primary
            .as_ref()
            .is_some_and(|primary| primary.routes(is_v6(family)));
        if has(&ways.backup) {
            let scope = if is_v6(family) {
                RT_SCOPE_UNIVERSE
            } else {
                RT_SCOPE_LINK
            };
            for (table, metric) in [(address::TABLE, LED_METRIC), (RT_TABLE_MAIN, ways.metric)] {
                let body = Body::new(&route_header(family, table, scope, RTN_UNICAST, 0))
                    .with_u32(RTA_OIF, ways.backup.index)
                    .with_u32(RTA_PRIORITY, metric);
                netlink.change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body)?;
            }
        } else if wanted {
            // Programs that prefer this family have to hear at once that there is no way, instead of waiting for the dead one.
            let body = Body::new(&route_header(
                family,
                RT_TABLE_MAIN,
                RT_SCOPE_UNIVERSE,
                RTN_UNREACHABLE,
                0,
            ))
            .with_u32(RTA_PRIORITY, ways.metric);
            netlink.change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body)?;
        }
    }
    rule::remove_all(&mut netlink)?;
    remove_routes(&mut netlink, |route| route.table == PRIMARY_TABLE)?;
    if let Some(primary) = &ways.primary {
        copy_routes(&mut netlink, primary)?;
        for (address, _) in &primary.addresses {
            // What the main table says of the neighbourhood comes first: only the default is another one.
            rule::add_from(&mut netlink, *address, RT_TABLE_MAIN, rule::PREFERENCE, Some(0))?;
            rule::add_from(&mut netlink, *address, PRIMARY_TABLE, rule::PREFERENCE + 1, None)?;
        }
    }
    for (address, _) in &ways.backup.addresses {
        rule::add_from(&mut netlink, *address, address::TABLE, rule::PREFERENCE + 1, None)?;
    }
    Ok(())
}

/// Leads everything as if there were no broker, also after one that was killed. Returns how many routes and rules went.
///
/// What belongs to the bearer itself stays: by that the bearer recognises an interface that it took up in an earlier life.
pub fn lead_to_primary(metric: u32) -> io::Result<usize> {
    let mut netlink = Netlink::open()?;
    let routes = remove_routes(&mut netlink, |route| {
        match route.table {
            PRIMARY_TABLE => true,
            // Of these there is none of a bearer, and the metric may have been another one in the earlier life.
            RT_TABLE_MAIN => route.metric == metric || route.kind == RTN_UNREACHABLE,
            _ => route.metric == LED_METRIC,
        }
    })?;
    Ok(routes + rule::remove_all(&mut netlink)?)
}

fn copy_routes(netlink: &mut Netlink, primary: &Seen) -> io::Result<()> {
    for route in &primary.default_routes {
        let family = if route.is_v6 { AF_INET6 } else { AF_INET };
        let (scope, flags) = match route.gateway {
            None if !route.is_v6 => (RT_SCOPE_LINK, 0),
            Some(_) => (RT_SCOPE_UNIVERSE, RTNH_F_ONLINK),
            None => (RT_SCOPE_UNIVERSE, 0),
        };
        let mut body = Body::new(&route_header(family, PRIMARY_TABLE, scope, RTN_UNICAST, flags))
            .with_u32(RTA_OIF, primary.index)
            .with_u32(RTA_PRIORITY, route.metric);
        if let Some(gateway) = route.gateway {
            body = body.with(RTA_GATEWAY, &octets(gateway));
        }
        match netlink.change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body) {
            // A link that is down carries no route; it is copied when the link is up again.
            Err(error) if error.kind() == io::ErrorKind::NetworkDown || !primary.is_up => {
                tracing::debug!(%error, interface = primary.name, "a route of the primary was not copied");
            }
            other => other?,
        }
    }
    Ok(())
}

/// One of the broker's routes.
struct Route {
    family: u8,
    table: u8,
    kind: u8,
    scope: u8,
    interface: Option<u32>,
    metric: u32,
}

fn remove_routes(netlink: &mut Netlink, which: impl Fn(&Route) -> bool) -> io::Result<usize> {
    let mut found = Vec::new();
    for family in FAMILIES {
        let mut header = [0; 12];
        header[0] = family;
        netlink.list(RTM_GETROUTE, &Body::new(&header), |_, route| {
            let Some((&[family, prefix, _, _, table, protocol, scope, kind, ..], rest)) =
                route.split_first_chunk::<12>()
            else {
                return;
            };
            let number = |wanted| {
                let (_, value) = attributes(rest).find(|(kind, _)| *kind == wanted)?;
                value.try_into().ok().map(u32::from_ne_bytes)
            };
            let ours = protocol == ROUTE_PROTOCOL && prefix == 0;
            if ours && matches!(table, RT_TABLE_MAIN | PRIMARY_TABLE | address::TABLE) {
                found.push(Route {
                    family,
                    table,
                    kind,
                    scope,
                    // The kernel lists those that lead nowhere in IPv6 with the loopback interface.
                    interface: number(RTA_OIF).filter(|_| kind == RTN_UNICAST),
                    metric: number(RTA_PRIORITY).unwrap_or(0),
                });
            }
        })?;
    }
    found.retain(which);
    for route in &found {
        let mut body = Body::new(&route_header(route.family, route.table, route.scope, route.kind, 0))
            .with_u32(RTA_PRIORITY, route.metric);
        if let Some(interface) = route.interface {
            body = body.with_u32(RTA_OIF, interface);
        }
        absent_is_fine(netlink.change(RTM_DELROUTE, 0, &body))?;
    }
    Ok(found.len())
}
