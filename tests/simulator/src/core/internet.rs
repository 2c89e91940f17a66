//! The internet behind the packet domain, as far as it goes: every address answers a ping (RFC 792, RFC 4443).

use std::net::IpAddr;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const ICMP_HEADER: usize = 8;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// The answer to a raw IP packet, if there is one.
#[must_use]
pub fn answer(packet: &[u8]) -> Option<Vec<u8>> {
    match packet.first()? >> 4 {
        4 => answer_v4(packet),
        6 => answer_v6(packet),
        _ => None,
    }
}

/// Where a raw IP packet goes.
#[must_use]
pub fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(IpAddr::from(*packet.get(16..)?.first_chunk::<4>()?)),
        6 => Some(IpAddr::from(*packet.get(24..)?.first_chunk::<16>()?)),
        _ => None,
    }
}

/// Whether one of these addresses, or of the prefix of 64 bits that came with it, is where a packet goes: the whole prefix
/// belongs to a session (3GPP 23.401 5.3.1.2.2).
#[must_use]
pub fn reaches(addresses: &[IpAddr], to: IpAddr) -> bool {
    let same = |address: &IpAddr| match (address, to) {
        (IpAddr::V6(address), IpAddr::V6(to)) => address.segments()[..4] == to.segments()[..4],
        (address, to) => *address == to,
    };
    addresses.iter().any(same)
}

fn answer_v4(packet: &[u8]) -> Option<Vec<u8>> {
    let header = usize::from(packet[0] & 0x0F) * 4;
    let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    if header < IPV4_HEADER || total < header + ICMP_HEADER || packet.len() < total || packet[9] != ICMP {
        return None;
    }
    // Fragments are not put together: nobody pings with more than the link carries.
    let is_fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x3FFF != 0;
    if is_fragment || packet[header] != 8 {
        return None;
    }
    let mut reply = packet[..total].to_vec();
    reply[8] = 64;
    reply[12..16].copy_from_slice(&packet[16..20]);
    reply[16..20].copy_from_slice(&packet[12..16]);
    put_checksum(&mut reply, 10, |reply| sum(&reply[..header]));
    reply[header] = 0;
    put_checksum(&mut reply, header + 2, |reply| sum(&reply[header..]));
    Some(reply)
}

fn answer_v6(packet: &[u8]) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]));
    let total = IPV6_HEADER + length;
    if length < ICMP_HEADER || packet.len() < total || packet[6] != ICMPV6 || packet[IPV6_HEADER] != 128 {
        return None;
    }
    let mut reply = packet[..total].to_vec();
    reply[7] = 64;
    reply[8..24].copy_from_slice(&packet[24..40]);
    reply[24..40].copy_from_slice(&packet[8..24]);
    reply[IPV6_HEADER] = 129;
    put_checksum(&mut reply, IPV6_HEADER + 2, |reply| {
        // The pseudo header of RFC 8200 8.1: both addresses, the length, the protocol.
        sum(&reply[8..40]) + length as u32 + u32::from(ICMPV6) + sum(&reply[IPV6_HEADER..])
    });
    Some(reply)
}

/// The ones' complement sum of RFC 1071, not folded.
pub(super) fn sum(octets: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    octets.chunks(2).map(word).sum()
}

pub(super) fn put_checksum(packet: &mut [u8], at: usize, sum_of: impl Fn(&[u8]) -> u32) {
    packet[at..at + 2].fill(0);
    let mut sum = sum_of(packet);
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    packet[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ping as Linux sends it from 10.64.0.2 to 192.0.2.1, with its right checksums.
    const PING: [u8; 32] = [
        0x45, 0, 0, 32, 0x12, 0x34, 0x40, 0, 64, 1, 0x5C, 0x70, 10, 64, 0, 2, 192, 0, 2, 1, //
        8, 0, 0x86, 0xEA, 0x12, 0x34, 0, 1, b'p', b'i', b'n', b'g',
    ];

    #[test]
    fn ping_is_answered_with_addresses_exchanged_and_checksums_that_add_up() {
        let mut request = PING;
        put_checksum(&mut request, 10, |packet| sum(&packet[..20]));
        put_checksum(&mut request, 22, |packet| sum(&packet[20..]));
        let reply = answer(&request).expect("a ping is answered");
        assert_eq!(reply[12..16], [192, 0, 2, 1]);
        assert_eq!(reply[16..20], [10, 64, 0, 2]);
        assert_eq!((reply[20], &reply[24..]), (0, &request[24..]));
        // With the checksum in it, a sum that is right folds to all ones.
        for part in [&reply[..20], &reply[20..]] {
            let total = sum(part);
            assert_eq!((total & 0xFFFF) + (total >> 16), 0xFFFF);
        }
    }

    #[test]
    fn a_session_has_its_ipv4_address_and_the_whole_prefix_of_its_ipv6_address() {
        let sessions = ["10.64.0.2", "2001:db8:0:1::2"].map(|address| address.parse::<IpAddr>().expect("an address"));
        for (to, expected) in [
            ("10.64.0.2", true),
            ("10.64.0.1", false),
            ("2001:db8:0:1:dead:beef::1", true),
            ("2001:db8:0:2::2", false),
        ] {
            assert_eq!(reaches(&sessions, to.parse().expect("an address")), expected, "{to}");
        }
    }

    #[test]
    fn what_is_no_ping_and_what_is_cut_off_is_not_answered() {
        assert_eq!(answer(&[]), None);
        for length in 1..PING.len() {
            assert_eq!(answer(&PING[..length]), None, "{length} octets");
        }
        let mut udp = PING;
        udp[9] = 17;
        assert_eq!(answer(&udp), None);
        assert_eq!(answer(&[0x60; 40]), None);
    }
}
