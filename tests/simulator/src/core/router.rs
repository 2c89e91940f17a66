//! The network's router as an IPv6 host sees it: what it advertises, and who asks for it (RFC 4861, RFC 8106, 3GPP 29.061
//! clause 11.2.1.3).

use std::net::Ipv6Addr;

use super::internet::{put_checksum, sum};

const IPV6_HEADER: usize = 40;
const ICMPV6: u8 = 58;

const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// What comes from further away than the link is forged (RFC 4861 6.1).
const FROM_THE_LINK: u8 = 255;

/// `AdvDefaultLifetime`, three times the longest interval of 21600 s between advertisements: a mobile is not woken for them.
const ROUTER_LIFETIME: u16 = 64_800;

const FOREVER: u32 = u32::MAX;

/// Hosts form addresses in the prefix by themselves (flag A). Flag L is off: each mobile has a prefix of its own, and no
/// neighbour in it.
const AUTONOMOUS: u8 = 0x40;

/// Name servers stay for as long as the router does.
const NAME_SERVER_LIFETIME: u32 = ROUTER_LIFETIME as u32;

/// A router advertisement to all nodes, as a raw IP packet: the router at a link-local address, one prefix of 64 bits,
/// and name servers.
#[must_use]
pub fn advertisement(source: Ipv6Addr, prefix: Ipv6Addr, name_servers: &[Ipv6Addr]) -> Vec<u8> {
    // Current hop limit; neither M nor O, since no DHCPv6 server is there; reachable time and retransmission timer are the
    // host's own.
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, 64, 0];
    message.extend(ROUTER_LIFETIME.to_be_bytes());
    message.extend([0; 8]);
    // Prefix Information (RFC 4861 4.6.2), of four times eight octets.
    message.extend([3, 4, 64, AUTONOMOUS]);
    message.extend(FOREVER.to_be_bytes());
    message.extend(FOREVER.to_be_bytes());
    message.extend([0; 4]);
    message.extend((prefix.to_bits() & !u128::from(u64::MAX)).to_be_bytes());
    if !name_servers.is_empty() {
        // Recursive DNS Server (RFC 8106 5.1); the length counts eight octets, and so half an address.
        let length = u8::try_from(1 + 2 * name_servers.len()).unwrap_or(u8::MAX);
        message.extend([25, length, 0, 0]);
        message.extend(NAME_SERVER_LIFETIME.to_be_bytes());
        let most = usize::from(length / 2);
        message.extend(name_servers.iter().take(most).flat_map(Ipv6Addr::octets));
    }
    packet(source, ALL_NODES, &message)
}

/// Whether a raw IP packet is a router solicitation that a router answers (RFC 4861 6.1.1).
#[must_use]
pub fn is_solicitation(packet: &[u8]) -> bool {
    let Some((header, message)) = packet.split_at_checked(IPV6_HEADER) else {
        return false;
    };
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let is_icmp = header[0] >> 4 == 6 && header[6] == ICMPV6 && header[7] == FROM_THE_LINK;
    let Some(message) = message.get(..length).filter(|message| is_icmp && message.len() >= 8) else {
        return false;
    };
    message[0] == SOLICITATION && message[1] == 0 && is_whole(header, message)
}

/// Whether the checksum is right: with it, the sum folds to all ones.
fn is_whole(header: &[u8], message: &[u8]) -> bool {
    let mut total = sum_with_header(header, message);
    while total > 0xFFFF {
        total = (total & 0xFFFF) + (total >> 16);
    }
    total == 0xFFFF
}

/// With the pseudo header of RFC 8200 8.1.
fn sum_with_header(header: &[u8], message: &[u8]) -> u32 {
    sum(&header[8..40]) + message.len() as u32 + u32::from(ICMPV6) + sum(message)
}

fn packet(source: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([ICMPV6, FROM_THE_LINK]);
    packet.extend(source.octets());
    packet.extend(to.octets());
    packet.extend_from_slice(message);
    put_checksum(&mut packet, IPV6_HEADER + 2, |packet| {
        let (header, message) = packet.split_at(IPV6_HEADER);
        sum_with_header(header, message)
    });
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 2);
    const NAME_SERVER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0x53, 0, 0, 0, 1);

    /// A router solicitation without options, as a host sends it.
    fn solicitation(source: Ipv6Addr) -> Vec<u8> {
        let all_routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
        packet(source, all_routers, &[SOLICITATION, 0, 0, 0, 0, 0, 0, 0])
    }

    #[test]
    fn an_advertisement_holds_the_prefix_for_addresses_of_the_hosts_own_and_the_name_servers() {
        let packet = advertisement(ROUTER, PREFIX, &[NAME_SERVER]);
        let (header, message) = packet.split_at(IPV6_HEADER);
        assert_eq!(header[..8], [0x60, 0, 0, 0, 0, 72, ICMPV6, 255]);
        assert_eq!(
            (&header[8..24], &header[24..]),
            (&ROUTER.octets()[..], &ALL_NODES.octets()[..])
        );
        assert!(is_whole(header, message));
        assert_eq!(
            (message[..2].as_ref(), &message[4..16]),
            (&[134, 0][..], &[64, 0, 0xFD, 0x20, 0, 0, 0, 0, 0, 0, 0, 0][..])
        );
        let (prefix, servers) = message[16..].split_at(32);
        assert_eq!(prefix[..12], [3, 4, 64, 0x40, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(
            prefix[16..],
            Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0).octets(),
            "without the bits of a host"
        );
        assert_eq!(servers[..8], [25, 3, 0, 0, 0, 0, 0xFD, 0x20]);
        assert_eq!(servers[8..], NAME_SERVER.octets());
        let without = advertisement(ROUTER, PREFIX, &[]);
        assert_eq!(without.len(), IPV6_HEADER + 48);
    }

    #[test]
    fn only_a_solicitation_from_the_link_that_arrived_whole_is_one() {
        let host = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
        for source in [host, Ipv6Addr::UNSPECIFIED] {
            assert!(is_solicitation(&solicitation(source)), "{source}");
        }
        let whole = solicitation(host);
        for length in 0..whole.len() {
            assert!(!is_solicitation(&whole[..length]), "{length} octets");
        }
        for (place, what) in [
            (7, "routed"),
            (6, "no ICMPv6"),
            (40, "another type"),
            (41, "another code"),
            (43, "damaged"),
        ] {
            let mut packet = whole.clone();
            packet[place] = packet[place].wrapping_sub(1);
            assert!(!is_solicitation(&packet), "{what}");
        }
        assert!(!is_solicitation(&advertisement(ROUTER, PREFIX, &[])));
    }
}
