//! Connections of an address that leads nowhere any more are aborted, so that programs connect anew at once instead of
//! waiting for minutes (`sock_diag(7)`, SOCK_DESTROY).

use std::io;
use std::net::IpAddr;

use super::survey::ip_address;
use crate::net::netlink::{Body, Netlink};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;

/// Every state of a connection but LISTEN and TIME_WAIT (`enum` of `tcp_states.h`, as bits).
const STATES: u32 = 0xFFF & !(1 << 10) & !(1 << 6);

/// Octets of `struct inet_diag_sockid`: two ports, two addresses, an interface, a cookie.
const IDENTITY: usize = 48;

/// A connection as the kernel identifies it.
struct Found {
    family: u8,
    identity: Vec<u8>,
}

/// `struct inet_diag_req_v2`.
fn request(family: u8, identity: &[u8]) -> Body {
    let mut octets = vec![family, IPPROTO_TCP, 0, 0];
    octets.extend(STATES.to_ne_bytes());
    octets.extend_from_slice(identity);
    Body::new(&octets)
}

/// An address of a connection; one of IPv4 on a socket of IPv6 as what it is.
fn side(family: u8, octets: &[u8]) -> Option<IpAddr> {
    let length = if family == AF_INET { 4 } else { 16 };
    ip_address(octets.get(..length)?).map(|address| address.to_canonical())
}

/// Whether an address belongs to a network.
fn is_within(address: IpAddr, (network, prefix): (IpAddr, u8)) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            u32::from(address) & mask == u32::from(network) & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            u128::from(address) & mask == u128::from(network) & mask
        }
        _ => false,
    }
}

/// Aborts every TCP connection from one of these addresses, unless its other side is in the neighbourhood: what is on the
/// same link does not need the internet. Returns how many there were.
pub fn abort(addresses: &[(IpAddr, u8)]) -> io::Result<usize> {
    let mut netlink = Netlink::open_sockets()?;
    let mut found = Vec::new();
    for family in [AF_INET, AF_INET6] {
        netlink.list(SOCK_DIAG_BY_FAMILY, &request(family, &[0; IDENTITY]), |_, socket| {
            // `struct inet_diag_msg`: family, state, timer, retransmissions, then the identity.
            let (Some(&family), Some(identity)) = (socket.first(), socket.get(4..4 + IDENTITY)) else {
                return;
            };
            let (Some(source), Some(destination)) = (side(family, &identity[4..20]), side(family, &identity[20..36]))
            else {
                return;
            };
            let own = addresses.iter().any(|(address, _)| *address == source);
            let near = addresses.iter().any(|network| is_within(destination, *network));
            if own && !near {
                found.push(Found {
                    family,
                    identity: identity.to_vec(),
                });
            }
        })?;
    }
    let mut aborted = 0;
    for Found { family, identity } in &found {
        match netlink.change(SOCK_DESTROY, 0, &request(*family, identity)) {
            Ok(()) => aborted += 1,
            // It ended by itself meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(aborted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neighbourhood_of_an_address_is_what_its_prefix_covers() {
        for (address, network, prefix, expected) in [
            ("192.168.1.7", "192.168.1.2", 24, true),
            ("192.168.2.7", "192.168.1.2", 24, false),
            ("192.168.1.2", "192.168.1.2", 32, true),
            ("192.168.1.3", "192.168.1.2", 32, false),
            ("8.8.8.8", "10.0.0.1", 0, true),
            ("2001:db8:1::7", "2001:db8:1::2", 64, true),
            ("2001:db8:2::7", "2001:db8:1::2", 64, false),
            ("8.8.8.8", "2001:db8:1::2", 0, false),
        ] {
            let (address, network) = (address.parse().unwrap(), network.parse().unwrap());
            assert_eq!(
                is_within(address, (network, prefix)),
                expected,
                "{address} {network}/{prefix}"
            );
        }
    }
}
