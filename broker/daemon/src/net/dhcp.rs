//! An IPv4 address by DHCP (RFC 2131), for modems whose session tells none.
//!
//! An ordinary UDP socket does where the link is raw IP, if three things are seen to. The answer has to come by broadcast, which
//! the request says. Where `rp_filter` is not 0, as on Debian, the kernel drops it unless a rule says that it comes the right
//! way ([`admit_answers`]). And the interface has an address of the link meanwhile ([`BOOTSTRAP`]), because the
//! kernel would send from that of another one.

mod message;

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket as StdUdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::sys::socket::sockopt::{BindToDevice, Broadcast, ReuseAddr};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::netlink::Netlink;
use super::{address, bounded, rule};
use message::{Answer, Kind, Question};

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// The protocol number of IP.
const UDP: u8 = 17;

/// What the interface has while it asks: of the link (RFC 3927), so that nobody answers to it beyond.
pub const BOOTSTRAP: (Ipv4Addr, u8) = (Ipv4Addr::new(169, 254, 109, 1), 32);

/// How long an answer may take, try by try (RFC 2131 4.1 begins with 4 s, for networks with many clients).
const TRIES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// How long the answer to a renewal may take.
const RENEWAL_LIMIT: Duration = Duration::from_secs(4);

/// The shortest pause between two tries to renew; otherwise half of what is left (RFC 2131 4.4.5).
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);

/// No lease is renewed more often, whatever the server says.
const RENEWAL_MIN: Duration = Duration::from_secs(1);

/// Where a server does not say how long: it is asked again soon.
const LEASE_DEFAULT: Duration = Duration::from_secs(3600);

/// No message is longer.
const MESSAGE_MAX: usize = 1500;

/// An address for a time.
#[derive(Clone, Debug)]
pub struct Lease {
    /// With the length of its prefix.
    pub address: (Ipv4Addr, u8),
    /// Name servers.
    pub name_servers: Vec<Ipv4Addr>,
    /// Largest packet.
    pub mtu: Option<u32>,
    server: Ipv4Addr,
    renewal: Instant,
    rebinding: Instant,
    end: Instant,
}

/// Why there is no address. The messages say what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is described by its message")]
pub enum LeaseError {
    #[error("the modem names no IPv4 address, and no DHCP server answers on {0}")]
    NoAnswer(String),
    #[error("the DHCP server took the address {0} back")]
    Refused(Ipv4Addr),
    #[error("the lease of the address {0} ran out, and no DHCP server answered")]
    Expired(Ipv4Addr),
    #[error(
        "the broker may not use UDP port 68 for DHCP; give it CAP_NET_BIND_SERVICE (AmbientCapabilities= in its systemd unit), \
         or run it as root"
    )]
    Capability,
    #[error("DHCP through {interface}: {source}")]
    Socket { interface: String, source: io::Error },
}

impl Lease {
    fn new(answer: Answer, now: Instant) -> Self {
        let length = answer.lease.unwrap_or(LEASE_DEFAULT).max(RENEWAL_MIN * 2);
        // RFC 2131 4.4.5, also where a server says what makes no sense.
        let within = |told: Option<Duration>, eighths: u32| {
            told.filter(|told| *told < length)
                .unwrap_or(length * eighths / 8)
                .max(RENEWAL_MIN)
        };
        let renewal = within(answer.renewal, 4);
        Self {
            address: (answer.address, answer.prefix),
            name_servers: answer.name_servers,
            mtu: answer.mtu,
            server: answer.server,
            renewal: now + renewal,
            rebinding: now + within(answer.rebinding, 7).max(renewal),
            end: now + length,
        }
    }
}

/// A socket through an interface, wherever the routes lead.
fn open(interface: &str) -> Result<UdpSocket, LeaseError> {
    let opened = || -> io::Result<UdpSocket> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
        // Another client may serve another interface.
        setsockopt(&socket, ReuseAddr, &true)?;
        setsockopt(&socket, Broadcast, &true)?;
        setsockopt(&socket, BindToDevice, &OsString::from(interface))?;
        bind(socket.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, CLIENT_PORT))?;
        UdpSocket::from_std(StdUdpSocket::from(socket))
    };
    opened().map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => LeaseError::Capability,
        _ => LeaseError::Socket {
            interface: interface.to_owned(),
            source,
        },
    })
}

fn transaction() -> u32 {
    (uuid::Uuid::new_v4().as_u128() & u128::from(u32::MAX)) as u32
}

/// Asks once; what answers it, if that comes in time. What cannot be sent is lost, as on every network.
async fn ask(socket: &UdpSocket, question: Question, to: Ipv4Addr, end: Instant) -> Option<Answer> {
    let sent = socket
        .send_to(&question.encode(), SocketAddrV4::new(to, SERVER_PORT))
        .await;
    if let Err(error) = sent {
        tracing::debug!(%error, "a DHCP message was not sent");
    }
    let mut buffer = [0; MESSAGE_MAX];
    loop {
        let received = timeout_at(end, socket.recv_from(&mut buffer)).await.ok()?;
        let Ok((count, _)) = received else {
            // Such as what an ICMP message says of the last datagram.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let answer = Answer::decode(&buffer[..count]).filter(|answer| answer.transaction == question.transaction);
        let fits = |answer: &Answer| match question.kind {
            Kind::Discover => answer.kind == Kind::Offer,
            _ => matches!(answer.kind, Kind::Ack | Kind::Nak),
        };
        if let Some(answer) = answer.filter(fits) {
            return Some(answer);
        }
    }
}

/// Gets an address, within about a quarter of a minute. The interface has to be up, with [`BOOTSTRAP`] if it has no other.
pub async fn acquire(interface: &str) -> Result<Lease, LeaseError> {
    let socket = open(interface)?;
    let outcome = negotiate(&socket, interface).await;
    if let Err(error) = bounded(|| admit_answers(false)).await {
        tracing::debug!(%error, "the rule for answers of a DHCP server was not removed");
    }
    outcome
}

/// Lets what DHCP servers answer by broadcast in through the modem's interface, or not any more. Where `rp_filter` is not 0 the
/// kernel looks for the way back to the server, as for a datagram of this machine that has no address yet, and drops the
/// answer if that way is another one.
fn admit_answers(admit: bool) -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    let range = |port: u16| [port.to_ne_bytes(), port.to_ne_bytes()].concat();
    let body = rule::rule(Ipv4Addr::UNSPECIFIED.into(), address::TABLE, rule::DHCP_PREFERENCE)
        .with(rule::FRA_IP_PROTO, &[UDP])
        .with(rule::FRA_SPORT_RANGE, &range(CLIENT_PORT))
        .with(rule::FRA_DPORT_RANGE, &range(SERVER_PORT));
    match admit {
        true => rule::add(&mut netlink, &body),
        false => rule::remove(&mut netlink, &body),
    }
}

async fn negotiate(socket: &UdpSocket, interface: &str) -> Result<Lease, LeaseError> {
    for limit in TRIES {
        if let Err(error) = bounded(|| admit_answers(true)).await {
            tracing::warn!(%error, "rp_filter may drop the answers of the DHCP server; set it to 0 or 2 for the modem's interface");
        }
        let discover = Question {
            kind: Kind::Discover,
            transaction: transaction(),
            current: None,
            offered: None,
        };
        let end = Instant::now() + limit;
        let Some(offer) = ask(socket, discover, Ipv4Addr::BROADCAST, end).await else {
            continue;
        };
        let request = Question {
            kind: Kind::Request,
            offered: Some((offer.address, offer.server)),
            ..discover
        };
        let asked = Instant::now();
        match ask(socket, request, Ipv4Addr::BROADCAST, end).await {
            Some(answer) if answer.kind == Kind::Ack => return Ok(Lease::new(answer, asked)),
            // Given to somebody else meanwhile, or lost: from the beginning.
            _ => {}
        }
    }
    Err(LeaseError::NoAnswer(interface.to_owned()))
}

/// Keeps an address until it is prolonged, refused or over: asks the server that gave it, later any.
pub async fn prolong(interface: &str, lease: &Lease) -> Result<Lease, LeaseError> {
    sleep_until(lease.renewal).await;
    let address = lease.address.0;
    loop {
        let now = Instant::now();
        if now >= lease.end {
            return Err(LeaseError::Expired(address));
        }
        let (to, phase_end) = match now < lease.rebinding {
            true => (lease.server, lease.rebinding),
            false => (Ipv4Addr::BROADCAST, lease.end),
        };
        let request = Question {
            kind: Kind::Request,
            transaction: transaction(),
            current: Some(address),
            offered: None,
        };
        // Opened for each try: what waits for days holds nothing.
        let socket = open(interface)?;
        match ask(&socket, request, to, (now + RENEWAL_LIMIT).min(phase_end)).await {
            Some(answer) if answer.kind == Kind::Nak => return Err(LeaseError::Refused(address)),
            Some(answer) if answer.address != address => return Err(LeaseError::Refused(address)),
            Some(answer) => return Ok(Lease::new(answer, now)),
            None => {}
        }
        let left = phase_end.saturating_duration_since(Instant::now());
        sleep((left / 2).max(RENEWAL_PAUSE).min(left)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lease: u64, renewal: Option<u64>, rebinding: Option<u64>) -> Answer {
        Answer {
            kind: Kind::Ack,
            transaction: 1,
            address: Ipv4Addr::new(10, 64, 0, 2),
            server: Ipv4Addr::new(10, 64, 0, 1),
            prefix: 30,
            name_servers: Vec::new(),
            mtu: None,
            lease: Some(Duration::from_secs(lease)),
            renewal: renewal.map(Duration::from_secs),
            rebinding: rebinding.map(Duration::from_secs),
        }
    }

    /// Whatever a server says, a lease is asked for again before it is over, and not without a pause.
    #[tokio::test(start_paused = true)]
    async fn renewal_rebinding_and_end_come_in_this_order() {
        let now = Instant::now();
        for (answer, expected) in [
            (told(3600, None, None), [1800, 3150, 3600]),
            (told(3600, Some(900), Some(2700)), [900, 2700, 3600]),
            (told(3600, Some(3000), Some(2000)), [3000, 3000, 3600]),
            (told(3600, Some(7200), Some(7200)), [1800, 3150, 3600]),
            (told(0, Some(0), Some(0)), [1, 1, 2]),
        ] {
            let lease = Lease::new(answer.clone(), now);
            let times = [lease.renewal, lease.rebinding, lease.end].map(|at| (at - now).as_secs());
            assert_eq!(times, expected, "{answer:?}");
        }
        // Without end (RFC 2131 3.3).
        let endless = Lease::new(told(u64::from(u32::MAX), None, None), now);
        assert!(endless.renewal > now + Duration::from_secs(60 * 60 * 24 * 365));
    }
}
