//! DHCP messages (RFC 2131, RFC 2132): as much of them as the only client of a point-to-point link needs.

use std::net::Ipv4Addr;
use std::time::Duration;

/// The fixed part of RFC 951, and the cookie that options follow (RFC 2132 2).
const FIXED: usize = 236;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Older servers drop what is shorter than a BOOTP message (RFC 1542 2.1).
const LENGTH_MIN: usize = 300;

/// A link without hardware addresses: one that is administered locally, the same each time, since it is alone there.
const HARDWARE_ADDRESS: [u8; 6] = [0x02, b'm', b'o', b'd', b'e', b'm'];
const ETHERNET: u8 = 1;

/// "Answer by broadcast": without an address nothing else arrives (RFC 2131 4.1).
const BROADCAST: u16 = 0x8000;

const MASK: u8 = 1;
const NAME_SERVERS: u8 = 6;
const MTU: u8 = 26;
const WANTED: u8 = 50;
const LEASE_TIME: u8 = 51;
const KIND: u8 = 53;
const SERVER: u8 = 54;
const PARAMETERS: u8 = 55;
const RENEWAL_TIME: u8 = 58;
const REBINDING_TIME: u8 = 59;
const CLIENT: u8 = 61;
const PAD: u8 = 0;
const END: u8 = 255;

/// Kinds of messages (RFC 2132 9.6), without those that only servers of many clients need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Ack = 5,
    Nak = 6,
}

/// What the client says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) kind: Kind,
    pub(super) transaction: u32,
    /// The address that it has already and wants to keep.
    pub(super) current: Option<Ipv4Addr>,
    /// The address that it was offered, and by whom.
    pub(super) offered: Option<(Ipv4Addr, Ipv4Addr)>,
}

impl Question {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut message = vec![0; FIXED];
        (message[0], message[1], message[2]) = (1, ETHERNET, HARDWARE_ADDRESS.len() as u8);
        message[4..8].copy_from_slice(&self.transaction.to_be_bytes());
        match self.current {
            Some(current) => message[12..16].copy_from_slice(&current.octets()),
            None => message[10..12].copy_from_slice(&BROADCAST.to_be_bytes()),
        }
        message[28..34].copy_from_slice(&HARDWARE_ADDRESS);
        message.extend(COOKIE);
        let mut option = |code: u8, value: &[u8]| {
            message.extend([code, value.len() as u8]);
            message.extend_from_slice(value);
        };
        option(KIND, &[self.kind as u8]);
        option(CLIENT, &[&[ETHERNET], &HARDWARE_ADDRESS[..]].concat());
        if let Some((address, server)) = self.offered {
            option(WANTED, &address.octets());
            option(SERVER, &server.octets());
        }
        let wanted = [MASK, NAME_SERVERS, MTU, LEASE_TIME, RENEWAL_TIME, REBINDING_TIME];
        option(PARAMETERS, &wanted);
        message.push(END);
        message.resize(message.len().max(LENGTH_MIN), PAD);
        message
    }
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) kind: Kind,
    pub(super) transaction: u32,
    pub(super) address: Ipv4Addr,
    pub(super) server: Ipv4Addr,
    pub(super) prefix: u8,
    pub(super) name_servers: Vec<Ipv4Addr>,
    pub(super) mtu: Option<u32>,
    /// Until the address is given back.
    pub(super) lease: Option<Duration>,
    /// Until it is asked for again, of this server; until it is asked for of any.
    pub(super) renewal: Option<Duration>,
    pub(super) rebinding: Option<Duration>,
}

fn addresses(value: &[u8]) -> impl Iterator<Item = Ipv4Addr> {
    value.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets))
}

fn seconds(value: &[u8]) -> Option<Duration> {
    let octets = value.try_into().ok()?;
    Some(Duration::from_secs(u64::from(u32::from_be_bytes(octets))))
}

impl Answer {
    /// Reads a message; `None` for what is none for this client.
    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let (fixed, rest) = message.split_at_checked(FIXED)?;
        let mut options = rest.strip_prefix(&COOKIE)?;
        if fixed[0] != 2 || fixed[28..34] != HARDWARE_ADDRESS {
            return None;
        }
        let word = |at: usize| [fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]];
        let mut kind = None;
        let mut answer = Answer {
            kind: Kind::Nak,
            transaction: u32::from_be_bytes(word(4)),
            address: Ipv4Addr::from(word(16)),
            server: Ipv4Addr::UNSPECIFIED,
            prefix: 32,
            name_servers: Vec::new(),
            mtu: None,
            lease: None,
            renewal: None,
            rebinding: None,
        };
        while let [code, after @ ..] = options {
            if *code == PAD {
                options = after;
                continue;
            }
            if *code == END {
                break;
            }
            let (length, after) = after.split_first()?;
            let (value, after) = after.split_at_checked(usize::from(*length))?;
            options = after;
            match *code {
                KIND => kind = value.first().copied(),
                SERVER => answer.server = addresses(value).next()?,
                MASK => answer.prefix = addresses(value).next()?.to_bits().leading_ones() as u8,
                NAME_SERVERS => answer.name_servers = addresses(value).collect(),
                // RFC 2132 5.1: less than 68 is none.
                MTU => {
                    let mtu = u16::from_be_bytes(value.try_into().ok()?);
                    answer.mtu = Some(u32::from(mtu)).filter(|mtu| *mtu >= 68);
                }
                LEASE_TIME => answer.lease = seconds(value),
                RENEWAL_TIME => answer.renewal = seconds(value),
                REBINDING_TIME => answer.rebinding = seconds(value),
                _ => {}
            }
        }
        answer.kind = [Kind::Offer, Kind::Ack, Kind::Nak]
            .into_iter()
            .find(|known| Some(*known as u8) == kind)?;
        // What gives an address has to say which, and who gives it.
        let gives = !answer.address.is_unspecified() && !answer.server.is_unspecified();
        (gives || answer.kind == Kind::Nak).then_some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An acknowledgement as a server sends it, with padding and an option that nobody asked for.
    fn acknowledgement() -> Vec<u8> {
        let mut message = vec![0; FIXED];
        message[0] = 2;
        message[4..8].copy_from_slice(&[1, 2, 3, 4]);
        message[16..20].copy_from_slice(&[10, 64, 0, 2]);
        message[28..34].copy_from_slice(&HARDWARE_ADDRESS);
        message.extend(COOKIE);
        message.extend([53, 1, 5, 0, 0, 54, 4, 10, 64, 0, 1, 1, 4, 255, 255, 255, 252]);
        message.extend([6, 8, 192, 0, 2, 53, 198, 51, 100, 53, 26, 2, 5, 0x8C]);
        message.extend([12, 3, b'l', b't', b'e', 51, 4, 0, 0, 14, 16, 58, 4, 0, 0, 7, 8, 255]);
        message
    }

    #[test]
    fn an_acknowledgement_is_read_with_all_that_it_gives() {
        let expected = Answer {
            kind: Kind::Ack,
            transaction: 0x0102_0304,
            address: Ipv4Addr::new(10, 64, 0, 2),
            server: Ipv4Addr::new(10, 64, 0, 1),
            prefix: 30,
            name_servers: vec![Ipv4Addr::new(192, 0, 2, 53), Ipv4Addr::new(198, 51, 100, 53)],
            mtu: Some(1420),
            lease: Some(Duration::from_secs(3600)),
            renewal: Some(Duration::from_secs(1800)),
            rebinding: None,
        };
        assert_eq!(Answer::decode(&acknowledgement()), Some(expected));
    }

    #[test]
    fn what_is_cut_off_or_for_somebody_else_is_no_answer() {
        let whole = acknowledgement();
        // Up to and with the server's address it says too little.
        for length in 0..FIXED + 4 + 11 {
            assert_eq!(Answer::decode(&whole[..length]), None, "{length} octets");
        }
        for length in FIXED + 4 + 11..whole.len() {
            let _ = Answer::decode(&whole[..length]);
        }
        for (at, octet) in [(0, 1), (30, 0), (FIXED, 0), (FIXED + 6, 1)] {
            let mut other = whole.clone();
            other[at] = octet;
            assert_eq!(Answer::decode(&other), None, "octet {at}");
        }
    }

    #[test]
    fn a_client_without_an_address_asks_for_broadcast_and_one_with_an_address_names_it() {
        let question = Question {
            kind: Kind::Request,
            transaction: 0x0102_0304,
            current: None,
            offered: Some((Ipv4Addr::new(10, 64, 0, 2), Ipv4Addr::new(10, 64, 0, 1))),
        };
        let selecting = question.encode();
        assert_eq!(
            (selecting.len(), selecting[10], &selecting[12..16]),
            (300, 0x80, &[0; 4][..])
        );
        let has = |message: &[u8], option: &[u8]| message.windows(option.len()).any(|octets| octets == option);
        assert!(has(&selecting, &[53, 1, 3]) && has(&selecting, &[50, 4, 10, 64, 0, 2]));
        let renewing = Question {
            current: Some(Ipv4Addr::new(10, 64, 0, 2)),
            offered: None,
            ..question
        };
        let renewing = renewing.encode();
        assert_eq!((renewing[10], &renewing[12..16]), (0, &[10, 64, 0, 2][..]));
        assert!(!has(&renewing, &[50, 4]) && !has(&renewing, &[54, 4]), "RFC 2131 4.3.2");
    }
}
