//! Probes: whether something beyond an interface answers. Every socket is bound to the interface (`SO_BINDTODEVICE`), so that
//! no probe leaves by another one, wherever the routes lead.
//!
//! A TCP connection and a DNS query need no permission and are what people use; an ICMP echo needs the group of the process
//! in `net.ipv4.ping_group_range`. One kind alone can be filtered by somebody's firewall, so several are used.

mod dns;
mod http;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket};
use std::str::FromStr;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::{sleep, timeout};

use super::policy::{Burst, Finding};
use crate::resource::ProbeResult;

pub use http::PortalCheck;

const DNS_PORT: u16 = 53;

/// Something that answers probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An ICMP echo (RFC 792, RFC 4443).
    Icmp(IpAddr),
    /// A TCP connection, which is closed at once.
    Tcp(SocketAddr),
    /// A DNS query.
    Dns(SocketAddr),
}

impl Target {
    /// Where it is.
    pub fn address(self) -> IpAddr {
        match self {
            Target::Icmp(address) => address,
            Target::Tcp(address) | Target::Dns(address) => address.ip(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp(address) => write!(f, "icmp:{address}"),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Dns(address) if address.port() == DNS_PORT => write!(f, "dns:{}", address.ip()),
            Self::Dns(address) => write!(f, "dns:{address}"),
        }
    }
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let expected = "expected \"icmp:ADDRESS\", \"tcp:ADDRESS:PORT\" or \"dns:ADDRESS\", with [] around an IPv6 address that \
                        has a port";
        let (kind, place) = written.split_once(':').ok_or(expected)?;
        let address = || place.parse::<SocketAddr>().ok().filter(|place| place.port() != 0);
        let host = || {
            place
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse::<IpAddr>()
                .ok()
        };
        let target = match kind {
            "icmp" => host().map(Target::Icmp),
            "tcp" => address().map(Target::Tcp),
            "dns" => host()
                .map(|host| SocketAddr::new(host, DNS_PORT))
                .or_else(address)
                .map(Target::Dns),
            _ => None,
        };
        target.ok_or(expected)
    }
}

/// What a round looks at.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The interface that every probe goes through.
    pub interface: String,
    /// One answer of any of them is enough.
    pub targets: Vec<Target>,
    /// Name servers; one answer of any of them is enough. None are asked if there are none.
    pub name_servers: Vec<IpAddr>,
    /// The name that they are asked for.
    pub name: String,
    /// Whether somebody else answers in place of the internet.
    pub portal: Option<PortalCheck>,
    /// The volleys; a round without a burst has one.
    pub burst: Burst,
}

/// What a round found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The verdict.
    pub finding: Finding,
    /// The last probe of each target and name server.
    pub results: Vec<ProbeResult>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Reach,
    Names,
    Portal,
}

/// Makes a round. Ends as soon as the verdict is certain, and never after the limit.
pub async fn round(plan: Plan) -> Report {
    let end = Instant::now() + plan.burst.limit;
    let mut probes = FuturesUnordered::new();
    for (purpose, target, delay) in volleys(&plan) {
        let plan = &plan;
        probes.push(futures_util::future::Either::Left(async move {
            sleep(delay).await;
            (purpose, probe(plan, target, end).await)
        }));
    }
    if let Some(check) = &plan.portal {
        let plan = &plan;
        probes.push(futures_util::future::Either::Right(async move {
            (Purpose::Portal, http::check(plan, check, end).await)
        }));
    }
    let mut seen = Seen {
        // With nothing to ask there is nothing to find fault with.
        reached: plan.targets.is_empty(),
        named: plan.name_servers.is_empty(),
        portal: plan.portal.is_none().then_some(false),
    };
    let mut results: Vec<ProbeResult> = Vec::new();
    while !seen.is_certain()
        && let Some((purpose, result)) = probes.next().await
    {
        seen.fold(purpose, result.ok);
        match results.iter_mut().find(|known| known.target == result.target) {
            // One answer is what counts.
            Some(known) if known.ok => {}
            Some(known) => *known = result,
            None => results.push(result),
        }
    }
    Report {
        finding: seen.finding(),
        results,
    }
}

/// What is asked of whom after how long. There are often several targets and only one name server, so that in a burst it is
/// asked twice as often: a loss that several targets survive must not condemn a single one.
fn volleys(plan: &Plan) -> Vec<(Purpose, Target, Duration)> {
    let Burst { volleys, spacing, .. } = plan.burst;
    let targets = plan
        .targets
        .iter()
        .map(|target| (Purpose::Reach, *target, volleys, spacing));
    let (more, denser) = match volleys {
        1 => (1, spacing),
        volleys => (volleys * 2, spacing / 2),
    };
    let servers = plan
        .name_servers
        .iter()
        .map(|server| SocketAddr::new(*server, DNS_PORT));
    let servers = servers.map(|server| (Purpose::Names, Target::Dns(server), more, denser));
    let all = targets.chain(servers);
    all.flat_map(|(purpose, target, count, spacing)| (0..count).map(move |volley| (purpose, target, spacing * volley)))
        .collect()
}

struct Seen {
    reached: bool,
    named: bool,
    portal: Option<bool>,
}

impl Seen {
    fn fold(&mut self, purpose: Purpose, ok: bool) {
        match purpose {
            Purpose::Reach => self.reached |= ok,
            Purpose::Names => self.named |= ok,
            Purpose::Portal => self.portal = Some(!ok),
        }
    }

    fn is_certain(&self) -> bool {
        self.portal == Some(true) || (self.reached && self.named && self.portal.is_some())
    }

    fn finding(&self) -> Finding {
        match (self.portal, self.reached, self.named) {
            (Some(true), ..) => Finding::Portal,
            (_, false, _) => Finding::NoAnswer,
            (_, true, false) => Finding::NoNames,
            (_, true, true) => Finding::Good,
        }
    }
}

async fn probe(plan: &Plan, target: Target, end: Instant) -> ProbeResult {
    let (begin, probe_time) = (Instant::now(), Timestamp::now());
    let interface = plan.interface.as_str();
    let work = async {
        match target {
            Target::Icmp(address) => echo(interface, address).await.map_err(|error| error.to_string()),
            Target::Tcp(address) => connect(interface, address)
                .await
                .map(drop)
                .map_err(|error| error.to_string()),
            Target::Dns(server) => dns::ask(interface, server, &plan.name, false).await.map(drop),
        }
    };
    let outcome = match timeout(end.saturating_duration_since(begin), work).await {
        Ok(outcome) => outcome,
        Err(_) => Err("no answer in time".to_owned()),
    };
    ProbeResult {
        interface: plan.interface.clone(),
        target: target.to_string(),
        ok: outcome.is_ok(),
        round_trip: outcome.as_ref().map_or(Duration::ZERO, |()| begin.elapsed()),
        probe_time,
        detail: outcome.err().unwrap_or_default(),
    }
}

fn unspecified(like: IpAddr) -> SocketAddr {
    match like {
        IpAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
        IpAddr::V6(_) => SocketAddr::from(([0_u16; 8], 0)),
    }
}

async fn connect(interface: &str, address: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.bind_device(Some(interface.as_bytes()))?;
    match socket.connect(address).await {
        Ok(stream) => Ok(stream),
        Err(error) => Err(error),
    }
}

async fn udp(interface: &str, to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(unspecified(to.ip())).await?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.connect(to).await?;
    Ok(socket)
}

async fn echo(interface: &str, address: IpAddr) -> io::Result<()> {
    const PAYLOAD: [u8; 16] = *b"modem-broker wan";
    let (family, protocol, request, reply) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, 8, 0),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, 128, 129),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Datagram, flags, protocol).map_err(|errno| match io::Error::from(errno) {
        error if error.kind() == io::ErrorKind::PermissionDenied => {
            let advice = "ICMP is not permitted; let net.ipv4.ping_group_range include the broker's group";
            io::Error::new(error.kind(), advice)
        }
        error => error,
    })?;
    // A ping socket sends and receives as one of UDP does; the kernel sets its identifier and checksum.
    let socket = UdpSocket::from_std(StdUdpSocket::from(socket))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.connect(SocketAddr::new(address, 0)).await?;
    let mut message = vec![request, 0, 0, 0, 0, 0, 0, 1];
    message.extend(PAYLOAD);
    socket.send(&message).await?;
    let mut buffer = [0; 256];
    loop {
        let count = socket.recv(&mut buffer).await?;
        if buffer[0] == reply && buffer[..count].ends_with(&PAYLOAD) {
            return Ok(());
        }
    }
}

/// How long the modem's own probe may take: a radio that sleeps needs a second to wake up.
pub const BACKUP_LIMIT: Burst = Burst {
    volleys: 2,
    spacing: Duration::from_secs(2),
    limit: Duration::from_secs(5),
};

#[cfg(test)]
mod tests;
