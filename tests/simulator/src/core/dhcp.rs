//! The DHCP server behind the packet domain (RFC 2131), for modems that tell no addresses: one client, one address.

use std::net::Ipv4Addr;

use super::Modem;
use super::books::LeaseRecord;
use super::internet::{put_checksum, sum};

const UDP: u8 = 17;
const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// The fixed part of RFC 951 and the cookie of RFC 2132.
const FIXED: usize = 236;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// What is handed out.
pub(super) struct Offer {
    pub(super) address: Ipv4Addr,
    pub(super) gateway: Ipv4Addr,
    pub(super) mask: Ipv4Addr,
    pub(super) name_servers: [Ipv4Addr; 2],
    pub(super) mtu: u16,
    pub(super) seconds: u32,
    /// A lease is not prolonged.
    pub(super) refused: bool,
}

/// What a client said.
struct Asked<'a> {
    fixed: &'a [u8],
    kind: u8,
    wanted: Option<Ipv4Addr>,
}

/// Whether a raw IP packet is for a DHCP server.
#[must_use]
pub fn is_for_server(packet: &[u8]) -> bool {
    payload(packet).is_some()
}

fn payload(packet: &[u8]) -> Option<&[u8]> {
    let header = usize::from(packet.first()? & 0x0F) * 4;
    let udp = packet.get(header..)?;
    let port = u16::from_be_bytes([*udp.get(2)?, *udp.get(3)?]);
    (packet[0] >> 4 == 4 && *packet.get(9)? == UDP && port == SERVER_PORT).then(|| udp.get(UDP_HEADER..))?
}

fn read(message: &[u8]) -> Option<Asked<'_>> {
    let fixed = message.get(..FIXED)?;
    let mut options = message.get(FIXED..)?.strip_prefix(&COOKIE)?;
    let (mut kind, mut wanted) = (0, None);
    while let [code, rest @ ..] = options {
        match code {
            0 => options = rest,
            255 => break,
            code => {
                let (length, rest) = rest.split_first()?;
                let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                match (code, value) {
                    (53, [found]) => kind = *found,
                    (50, &[a, b, c, d]) => wanted = Some(Ipv4Addr::new(a, b, c, d)),
                    _ => {}
                }
                options = rest;
            }
        }
    }
    (fixed[0] == 1).then_some(Asked { fixed, kind, wanted })
}

impl Modem {
    /// What the DHCP server answers to a raw IP packet, as a raw IP packet.
    pub(in crate::core) fn lease(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let offer = self.packet.offer()?;
        let asked = read(payload(packet)?)?;
        let current = Ipv4Addr::from(*asked.fixed[12..].first_chunk::<4>()?);
        let is_renewal = !current.is_unspecified();
        let kind = match asked.kind {
            DISCOVER => OFFER,
            REQUEST if is_renewal && offer.refused => NAK,
            REQUEST if asked.wanted.unwrap_or(current) == offer.address => ACK,
            REQUEST => NAK,
            _ => return None,
        };
        self.books.leases.push(LeaseRecord {
            at_ms: self.elapsed_ms(),
            asked: asked.kind,
            answered: kind,
            is_renewal,
        });
        Some(answer(&asked, kind, current, &offer))
    }
}

fn answer(asked: &Asked<'_>, kind: u8, current: Ipv4Addr, offer: &Offer) -> Vec<u8> {
    let mut message = asked.fixed.to_vec();
    message[0] = 2;
    if kind != NAK {
        message[16..20].copy_from_slice(&offer.address.octets());
    }
    message.extend(COOKIE);
    let mut option = |code: u8, value: &[u8]| {
        message.extend([code, u8::try_from(value.len()).unwrap_or(0)]);
        message.extend_from_slice(value);
    };
    option(53, &[kind]);
    option(54, &offer.gateway.octets());
    if kind != NAK {
        option(51, &offer.seconds.to_be_bytes());
        option(1, &offer.mask.octets());
        option(3, &offer.gateway.octets());
        option(6, &offer.name_servers.map(|server| server.octets()).concat());
        option(26, &offer.mtu.to_be_bytes());
    }
    message.push(255);
    // RFC 2131 4.1: to the address that the client has, to all if it said that it can take nothing else.
    let broadcast = asked.fixed[10] & 0x80 != 0;
    let to = match (kind, current.is_unspecified(), broadcast) {
        (NAK, ..) | (_, true, true) => Ipv4Addr::BROADCAST,
        (_, false, _) => current,
        (_, true, false) => offer.address,
    };
    datagram(offer.gateway, to, &message)
}

fn datagram(from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let length = |octets: usize| u16::try_from(octets).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = vec![0x45, 0];
    packet.extend(length(IP_HEADER + UDP_HEADER + payload.len()));
    packet.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    put_checksum(&mut packet, 10, sum);
    packet.extend(SERVER_PORT.to_be_bytes());
    packet.extend(CLIENT_PORT.to_be_bytes());
    packet.extend(length(UDP_HEADER + payload.len()));
    // No checksum, which UDP over IPv4 allows.
    packet.extend([0, 0]);
    packet.extend_from_slice(payload);
    packet
}
