//! An IPv6 address by router advertisement (RFC 4861, RFC 4862), for modems whose session tells none.
//!
//! It is how a 3GPP network assigns the prefix of a session in any case (29.061 11.2.1.3); addresses by DHCPv6 are not in use
//! there. The kernel does the work: it solicits, forms an address in the prefix and keeps it for as long as it is advertised.
//! What it must not do is to add a default route of its own, because which way packets go is decided elsewhere.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::address::Link;
use super::bounded;
use super::netlink::Announcements;

const SETTINGS: &str = "/proc/sys/net/ipv6/conf";

/// Takes advertisements, also where the machine forwards packets, forms addresses from them, one for each prefix, and adds
/// no routes.
const ACCEPTING: [(&str, &str); 6] = [
    ("accept_ra", "2"),
    ("accept_ra_pinfo", "1"),
    ("autoconf", "1"),
    ("use_tempaddr", "0"),
    ("accept_ra_defrtr", "0"),
    ("accept_ra_rtr_pref", "0"),
];

/// How the kernel forms the link-local address: not at all, or at random, which every kind of link can do.
const ADDRESS_MODE: &str = "addr_gen_mode";
const ADDRESS_MODE_NONE: &str = "1";
const ADDRESS_MODE_RANDOM: &str = "3";

/// Changes of IPv6 addresses, and options of router advertisements that are for programs (`RTNLGRP_ND_USEROPT`).
const GROUP_ADDRESSES: u32 = 0x100;
const GROUP_OPTIONS: u32 = 1 << 19;
const RTM_NEWNDUSEROPT: u16 = 68;

const ROUTER_ADVERTISEMENT: u8 = 134;
/// Recursive DNS Server (RFC 8106 5.1).
const RECURSIVE_DNS_SERVER: u8 = 25;

/// Name servers are in the same advertisement as the prefix, but the kernel tells of them separately.
const NAME_SERVER_PAUSE: Duration = Duration::from_millis(300);

/// What a router advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// What the kernel made of it, with the length of the prefix.
    pub address: (Ipv6Addr, u8),
    /// Name servers.
    pub name_servers: Vec<Ipv6Addr>,
    /// Largest packet: the interface's, or less.
    pub mtu: Option<u32>,
}

/// Why there is no address. The messages say what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is described by its message")]
pub enum AdvertisementError {
    #[error(
        "the modem names no IPv6 address, and no router advertises one through {0}; set ip = \"ipv4\" in [modem.data] if the \
         carrier has no IPv6"
    )]
    NoAnswer(String),
    #[error(
        "IPv6 is switched off for {0} on this machine; switch it on (sysctl net.ipv6.conf.{0}.disable_ipv6=0), or set \
         ip = \"ipv4\" in [modem.data]"
    )]
    SwitchedOff(String),
    #[error(
        "{path} cannot be written: {source}; a service needs CAP_NET_ADMIN and ReadWritePaths=/proc/sys/net/ipv6/conf for it, \
         a container a /proc/sys that is writable"
    )]
    Setting { path: String, source: io::Error },
    #[error("the IPv6 address {0} is not advertised any more")]
    Withdrawn(Ipv6Addr),
    #[error("IPv6 by router advertisement through {interface}: {source}")]
    Kernel { interface: String, source: io::Error },
}

impl AdvertisementError {
    /// Whether only a change of this machine helps.
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::SwitchedOff(_) | Self::Setting { .. })
    }
}

/// Writes a setting of an interface, unless it is so already: then it may well be that nobody may write it.
fn set(interface: &str, name: &str, value: &str) -> io::Result<()> {
    let path = Path::new(SETTINGS).join(interface).join(name);
    match fs::read_to_string(&path) {
        Ok(found) if found.trim() == value => Ok(()),
        Ok(_) => fs::write(&path, value),
        Err(error) => Err(error),
    }
}

/// Has the kernel ignore advertisements through an interface: with addresses that are known, they would only bring a second
/// one and a default route past everything that was decided.
pub fn ignore(interface: &str) -> io::Result<()> {
    match set(interface, "accept_ra", "0") {
        // A kernel without IPv6 hears of none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn accept(interface: &str, link_local: Option<Ipv6Addr>) -> Result<(), AdvertisementError> {
    let directory = Path::new(SETTINGS).join(interface);
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
    if read("disable_ipv6").trim() != "0" {
        return Err(AdvertisementError::SwitchedOff(interface.to_owned()));
    }
    let mode = match link_local {
        Some(_) => Some(ADDRESS_MODE_NONE),
        None => Some(ADDRESS_MODE_RANDOM).filter(|_| read(ADDRESS_MODE).trim() == ADDRESS_MODE_NONE),
    };
    let mode = mode.map(|mode| (ADDRESS_MODE, mode));
    for (name, value) in ACCEPTING.into_iter().chain(mode) {
        match set(interface, name, value) {
            // Not every kernel is built with all of them.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                let path = directory.join(name).display().to_string();
                return Err(AdvertisementError::Setting { path, source });
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Takes the interface down and up again, with the settings between: the kernel solicits when it gets a link-local address.
fn solicit(interface: &str, link_local: Option<Ipv6Addr>) -> io::Result<Result<u32, AdvertisementError>> {
    let mut link = Link::find(interface)?;
    link.clear()?;
    link.set_up(false)?;
    if let Err(error) = accept(interface, link_local) {
        return Ok(Err(error));
    }
    link.set_up(true)?;
    if let Some(address) = link_local {
        link.add_address(IpAddr::V6(address), 64)?;
    }
    Ok(Ok(link.index))
}

/// Name servers in what the kernel tells of an advertisement through an interface (`struct nduseroptmsg` of
/// `linux/rtnetlink.h`, then the options). Those that are withdrawn have no time left.
fn name_servers(body: &[u8], index: u32) -> Vec<Ipv6Addr> {
    let read = || {
        let (header, rest) = body.split_first_chunk::<16>()?;
        let length = usize::from(u16::from_ne_bytes([header[2], header[3]]));
        let from = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
        (from == index && header[8] == ROUTER_ADVERTISEMENT).then(|| rest.get(..length))?
    };
    let mut options = read().unwrap_or_default();
    let mut found = Vec::new();
    while let [kind, length, ..] = *options {
        let Some((option, rest)) = options.split_at_checked(usize::from(length) * 8).filter(|_| length > 0) else {
            break;
        };
        options = rest;
        if kind == RECURSIVE_DNS_SERVER && option[4..8] != [0; 4] {
            found.extend(
                option[8..]
                    .as_chunks::<16>()
                    .0
                    .iter()
                    .map(|octets| Ipv6Addr::from(*octets)),
            );
        }
    }
    found
}

async fn usable(interface: &str) -> io::Result<Vec<(Ipv6Addr, u8)>> {
    let name = interface.to_owned();
    bounded(move || Link::find(&name)?.usable_v6()).await
}

/// Gets an address, within a time, with the link-local address that the session told, if it told one (3GPP 23.060 9.2.1.1 has
/// the network choose its interface identifier). The interface is up afterwards, without any other address.
pub async fn acquire(
    interface: &str,
    link_local: Option<Ipv6Addr>,
    limit: Duration,
) -> Result<Advertised, AdvertisementError> {
    let failed = |source| AdvertisementError::Kernel {
        interface: interface.to_owned(),
        source,
    };
    let end = Instant::now() + limit;
    let announcements = Announcements::open(GROUP_ADDRESSES | GROUP_OPTIONS).map_err(failed)?;
    let name = interface.to_owned();
    let index = bounded(move || solicit(&name, link_local)).await.map_err(failed)??;
    let mut servers = Vec::new();
    let address = loop {
        if let Some(address) = usable(interface).await.map_err(failed)?.first() {
            break *address;
        }
        let told = timeout_at(end, hear(&announcements, index, &mut servers)).await;
        told.map_err(|_| AdvertisementError::NoAnswer(interface.to_owned()))?
            .map_err(failed)?;
    };
    let pause = Instant::now() + NAME_SERVER_PAUSE;
    while servers.is_empty()
        && let Ok(told) = timeout_at(pause, hear(&announcements, index, &mut servers)).await
    {
        told.map_err(failed)?;
    }
    Ok(Advertised {
        address,
        name_servers: servers,
        mtu: mtu(interface),
    })
}

async fn hear(announcements: &Announcements, index: u32, servers: &mut Vec<Ipv6Addr>) -> io::Result<()> {
    let told = announcements.next(|kind, body| {
        if kind == RTM_NEWNDUSEROPT {
            for server in name_servers(body, index) {
                if !servers.contains(&server) {
                    servers.push(server);
                }
            }
        }
    });
    told.await
}

/// The kernel keeps what a router says of the largest packet to IPv6.
fn mtu(interface: &str) -> Option<u32> {
    let told = fs::read_to_string(Path::new(SETTINGS).join(interface).join("mtu")).ok()?;
    told.trim().parse().ok()
}

/// Waits until an address is not there any more, or not to be used for anything new.
pub async fn withdrawn(interface: &str, address: Ipv6Addr) -> AdvertisementError {
    let failed = |source| AdvertisementError::Kernel {
        interface: interface.to_owned(),
        source,
    };
    let announcements = match Announcements::open(GROUP_ADDRESSES) {
        Ok(announcements) => announcements,
        Err(source) => return failed(source),
    };
    loop {
        match usable(interface).await {
            Ok(found) if found.iter().any(|(found, _)| *found == address) => {}
            Ok(_) => return AdvertisementError::Withdrawn(address),
            Err(source) => return failed(source),
        }
        if let Err(source) = announcements.next(|_, _| {}).await {
            return failed(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: u32 = 7;

    /// What the kernel tells of an advertisement through the interface [`INDEX`].
    fn told(options: &[u8]) -> Vec<u8> {
        let mut body = vec![10, 0];
        body.extend((options.len() as u16).to_ne_bytes());
        body.extend(INDEX.to_ne_bytes());
        body.extend([ROUTER_ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0]);
        body.extend_from_slice(options);
        // NDUSEROPT_SRCADDR, which is of no interest.
        body.extend([20, 0, 1, 0]);
        body.extend(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets());
        body
    }

    fn servers(lifetime: u32, servers: &[Ipv6Addr]) -> Vec<u8> {
        let mut option = vec![RECURSIVE_DNS_SERVER, 1 + 2 * servers.len() as u8, 0, 0];
        option.extend(lifetime.to_be_bytes());
        option.extend(servers.iter().flat_map(Ipv6Addr::octets));
        option
    }

    #[test]
    fn name_servers_are_read_from_what_the_kernel_tells() {
        let [first, second] = [0x53, 0x54].map(|last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
        // DNS Search List (RFC 8106 5.2), in between.
        let search = [31, 2, 0, 0, 0, 0, 14, 16, 1, b'a', 0, 0, 0, 0, 0, 0];
        let both = [&search[..], &servers(1800, &[first, second])].concat();
        assert_eq!(name_servers(&told(&both), INDEX), [first, second]);
        assert_eq!(
            name_servers(&told(&both), INDEX + 1),
            [] as [Ipv6Addr; 0],
            "another interface"
        );
        let withdrawn = [servers(0, &[first]), servers(1800, &[second])].concat();
        assert_eq!(name_servers(&told(&withdrawn), INDEX), [second]);
    }

    #[test]
    fn what_is_cut_off_or_without_length_names_no_server_and_ends() {
        let whole = told(&servers(1800, &[Ipv6Addr::LOCALHOST]));
        for length in 0..16 + 24 {
            assert_eq!(
                name_servers(&whole[..length], INDEX),
                [] as [Ipv6Addr; 0],
                "{length} octets"
            );
        }
        for odd in [
            &[25, 0, 0, 0, 0, 0, 0, 0][..],
            &[25, 1, 0, 0, 0, 0, 0, 1],
            &[25],
            &[0; 24],
        ] {
            assert_eq!(name_servers(&told(odd), INDEX), [] as [Ipv6Addr; 0], "{odd:?}");
        }
    }

    #[test]
    fn what_only_the_machine_can_mend_is_permanent_and_says_how() {
        let setting = AdvertisementError::Setting {
            path: "/proc/sys/net/ipv6/conf/wwan0/accept_ra".to_owned(),
            source: io::Error::from_raw_os_error(30),
        };
        for (error, permanent, said) in [
            (setting, true, "ReadWritePaths=/proc/sys/net/ipv6/conf"),
            (
                AdvertisementError::SwitchedOff("wwan0".to_owned()),
                true,
                "sysctl net.ipv6.conf.wwan0.disable_ipv6=0",
            ),
            (AdvertisementError::NoAnswer("wwan0".to_owned()), false, "through wwan0"),
            (AdvertisementError::Withdrawn(Ipv6Addr::LOCALHOST), false, "::1"),
        ] {
            assert_eq!(error.is_permanent(), permanent, "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
