//! The addresses and the routes of a modem's network interface.
//!
//! Routes carry a protocol number of their own (`ip route show proto 109`), so that those of a broker that was killed are
//! recognised. Nothing else on the machine is touched.
//!
//! A default route through the interface is always in a table of its own ([`TABLE`]), for programs that send from the modem's
//! address; in the main table, where it concerns everybody, it is only when the layout has a metric. No two modems have the
//! same metric, and no route is ever replaced: what is there with the same metric belongs to somebody else.

use std::ffi::CString;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use super::netlink::{Body, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE, Netlink, attributes};

/// The protocol of the broker's routes, from the range that `rtnetlink(7)` leaves to programs.
pub const ROUTE_PROTOCOL: u8 = 109;

/// The routing table with the way through the modem.
pub const TABLE: u8 = 109;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;

const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_PRIORITY: u16 = 6;

/// The metric in the table of its own, to which the index of the interface is added, so that each modem has another one.
const OWN_METRIC: u32 = 700;

const IFF_UP: u32 = 1;
/// Addresses of a point-to-point link belong to nobody else, so nothing has to be detected.
const IFA_F_NODAD: u8 = 0x02;
/// Somebody else has it (*duplicate*), it is not to be used any more (*deprecated*), or not yet (*tentative*).
const IFA_F_DADFAILED: u8 = 0x08;
const IFA_F_DEPRECATED: u8 = 0x20;
const IFA_F_TENTATIVE: u8 = 0x40;
const RT_TABLE_MAIN: u8 = 254;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// What an interface is to be like while a session is up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Addresses with the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// IPv6 addresses come from router advertisements; the kernel owns them and the broker leaves them alone.
    pub is_advertised: bool,
    /// Largest packet.
    pub mtu: Option<u32>,
    /// Metric of the default route of each family that has an address; none in the main table without it.
    pub metric: Option<u32>,
}

/// An address that an interface has.
struct Held {
    family: u8,
    prefix: u8,
    flags: u8,
    octets: Vec<u8>,
}

/// An interface.
pub struct Link {
    netlink: Netlink,
    /// Its number.
    pub index: u32,
    /// Whether it is up.
    pub is_up: bool,
}

const fn family_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

fn octets_of(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// `struct ifinfomsg`.
fn link_header(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    header.extend(index.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header.extend(change.to_ne_bytes());
    header
}

/// `struct ifaddrmsg`.
fn address_header(family: u8, prefix: u8, index: u32) -> Vec<u8> {
    let mut header = vec![
        family,
        prefix,
        if family == AF_INET6 { IFA_F_NODAD } else { 0 },
        RT_SCOPE_UNIVERSE,
    ];
    header.extend(index.to_ne_bytes());
    header
}

/// `struct rtmsg` of a default route.
fn route_header(family: u8, table: u8, protocol: u8) -> Vec<u8> {
    let scope = if family == AF_INET {
        RT_SCOPE_LINK
    } else {
        RT_SCOPE_UNIVERSE
    };
    vec![family, 0, 0, 0, table, protocol, scope, RTN_UNICAST, 0, 0, 0, 0]
}

impl Link {
    /// Finds an interface.
    pub fn find(name: &str) -> io::Result<Self> {
        let mut netlink = Netlink::open()?;
        let name = CString::new(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let body = Body::new(&link_header(0, 0, 0)).with(IFLA_IFNAME, name.as_bytes_with_nul());
        let mut found = None;
        netlink.get(RTM_GETLINK, &body, |_, link| {
            let word = |at: usize| link.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
            found = word(4).zip(word(8));
        })?;
        let (index, flags) = found.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Self {
            netlink,
            index,
            is_up: flags & IFF_UP != 0,
        })
    }

    /// Takes it up or down.
    pub fn set_up(&mut self, up: bool) -> io::Result<()> {
        let body = Body::new(&link_header(self.index, if up { IFF_UP } else { 0 }, IFF_UP));
        self.netlink.change(RTM_NEWLINK, 0, &body)?;
        self.is_up = up;
        Ok(())
    }

    /// Gives it its addresses, takes it up and adds the routes. What was there before goes.
    pub fn configure(&mut self, layout: &Layout) -> io::Result<()> {
        let is_kept = |family: u8| layout.is_advertised && family == AF_INET6;
        self.clear_but(is_kept)?;
        if let Some(mtu) = layout.mtu {
            let body = Body::new(&link_header(self.index, 0, 0)).with_u32(IFLA_MTU, mtu);
            self.netlink.change(RTM_NEWLINK, 0, &body)?;
        }
        self.set_up(true)?;
        for (address, prefix) in &layout.addresses {
            if !is_kept(family_of(*address)) {
                self.add_address(*address, *prefix)?;
            }
        }
        let mut families: Vec<u8> = layout
            .addresses
            .iter()
            .map(|(address, _)| family_of(*address))
            .collect();
        families.dedup();
        let own_table = (TABLE, OWN_METRIC.saturating_add(self.index));
        let main = layout.metric.map(|metric| (RT_TABLE_MAIN, metric));
        for family in families {
            for (table, metric) in [own_table].into_iter().chain(main) {
                self.change_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, family, table, metric)?;
            }
        }
        Ok(())
    }

    /// Gives it an address.
    pub fn add_address(&mut self, address: IpAddr, prefix: u8) -> io::Result<()> {
        let octets = octets_of(address);
        let body = Body::new(&address_header(family_of(address), prefix, self.index))
            .with(IFA_LOCAL, &octets)
            .with(IFA_ADDRESS, &octets);
        self.netlink.change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &body)
    }

    fn change_route(&mut self, kind: u16, flags: u16, family: u8, table: u8, metric: u32) -> io::Result<()> {
        let body = Body::new(&route_header(family, table, ROUTE_PROTOCOL))
            .with_u32(RTA_OIF, self.index)
            .with_u32(RTA_PRIORITY, metric);
        self.netlink.change(kind, flags, &body)
    }

    /// Removes the broker's routes through it, and its addresses.
    pub fn clear(&mut self) -> io::Result<()> {
        self.clear_but(|_| false)
    }

    fn clear_but(&mut self, is_kept: impl Fn(u8) -> bool) -> io::Result<()> {
        for (family, table, metric) in self.routes()? {
            self.change_route(RTM_DELROUTE, 0, family, table, metric)?;
        }
        for held in self.addresses()?.into_iter().filter(|held| !is_kept(held.family)) {
            let body = Body::new(&address_header(held.family, held.prefix, self.index)).with(IFA_LOCAL, &held.octets);
            self.netlink.change(RTM_DELADDR, 0, &body)?;
        }
        Ok(())
    }

    /// The IPv6 addresses that may be used, without those that reach no further than the link.
    pub fn usable_v6(&mut self) -> io::Result<Vec<(Ipv6Addr, u8)>> {
        const UNUSABLE: u8 = IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TENTATIVE;
        let addresses = self.addresses()?.into_iter();
        let usable = addresses.filter(|held| held.family == AF_INET6 && held.flags & UNUSABLE == 0);
        Ok(usable
            .filter_map(|held| Some((Ipv6Addr::from(<[u8; 16]>::try_from(held.octets).ok()?), held.prefix)))
            .collect())
    }

    /// The same, and the link down, if the broker's routes show that it was the broker who took it up.
    pub fn clear_if_ours(&mut self) -> io::Result<usize> {
        let routes = self.routes()?.len();
        if routes > 0 {
            self.clear()?;
            self.set_up(false)?;
        }
        Ok(routes)
    }

    /// Family, table and metric of the broker's default routes through it, without the copies of routes that are somebody
    /// else's.
    fn routes(&mut self) -> io::Result<Vec<(u8, u8, u32)>> {
        let (mut routes, index) = (Vec::new(), self.index);
        for family in [AF_INET, AF_INET6] {
            self.netlink
                .list(RTM_GETROUTE, &Body::new(&route_header(family, 0, 0)), |_, route| {
                    let Some((header, rest)) = route.split_first_chunk::<12>() else {
                        return;
                    };
                    let number = |wanted| {
                        let (_, value) = attributes(rest).find(|(kind, _)| *kind == wanted)?;
                        value.try_into().ok().map(u32::from_ne_bytes)
                    };
                    let (table, protocol) = (header[4], header[5]);
                    let is_ours = protocol == ROUTE_PROTOCOL && matches!(table, RT_TABLE_MAIN | TABLE);
                    if is_ours && number(RTA_OIF) == Some(index) {
                        routes.push((family, table, number(RTA_PRIORITY).unwrap_or(0)));
                    }
                })?;
        }
        Ok(routes)
    }

    /// Its addresses, without those that reach no further than the link, which the kernel gives itself.
    fn addresses(&mut self) -> io::Result<Vec<Held>> {
        let (mut addresses, index) = (Vec::new(), self.index);
        let body = Body::new(&address_header(0, 0, 0));
        self.netlink.list(RTM_GETADDR, &body, |_, address| {
            let Some((header, rest)) = address.split_first_chunk::<8>() else {
                return;
            };
            let [family, prefix, flags, scope, ..] = *header;
            let owner = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
            let local = attributes(rest).find(|(kind, _)| *kind == IFA_LOCAL);
            let value = local.or_else(|| attributes(rest).find(|(kind, _)| *kind == IFA_ADDRESS));
            if let Some((_, value)) = value.filter(|_| owner == index && scope != RT_SCOPE_LINK) {
                addresses.push(Held {
                    family,
                    prefix,
                    flags,
                    octets: value.to_vec(),
                });
            }
        })?;
        Ok(addresses)
    }
}
