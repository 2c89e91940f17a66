//! A network namespace for one test, and what can be seen and sent in it.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use api::v1::{Bearer, ConnectBearerRequest, DisconnectBearerRequest, GetBearerRequest};
use end_to_end::{Rig, Setup};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use simulator::Composition;

pub const INTERFACE: &str = "wwan0";

/// Hosts behind the virtual modem: there, every address answers a ping.
pub const HOST_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub const HOST_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, 1));

/// A reply takes milliseconds. Waiting for one that must not come is what costs time.
const REPLY_LIMIT: Duration = Duration::from_millis(700);

/// Runs a test in a network namespace of its own: the thread enters it, and all threads that it starts are in it.
pub fn inside<F: Future<Output = anyhow::Result<()>>>(test: impl FnOnce() -> F) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(test())
}

/// Compositions with a control port, which is one of QMI or of MBIM.
pub const QMI: u16 = 0x9001;
pub const MBIM: u16 = 0x9003;

/// A modem with an interface, and a broker.
pub async fn rig(modem: &str) -> anyhow::Result<Rig> {
    Rig::with(setup(QMI, modem)).await
}

/// The same, in a composition.
pub fn setup(product: u16, modem: &str) -> Setup {
    let mut setup = Setup {
        tun: Some(INTERFACE.to_owned()),
        modem: modem.to_owned(),
        ..Setup::default()
    };
    for modem in &mut setup.modems {
        modem.composition = Composition(product);
    }
    setup
}

pub async fn connect(rig: &Rig, apn: &str) -> Result<Bearer, tonic::Status> {
    let request = ConnectBearerRequest {
        apn: apn.to_owned(),
        ..Default::default()
    };
    let answer = rig.broker().network().connect_bearer(request).await?;
    Ok(answer.into_inner().bearer.unwrap_or_default())
}

pub async fn disconnect(rig: &Rig) -> Result<Bearer, tonic::Status> {
    let request = DisconnectBearerRequest::default();
    let answer = rig.broker().network().disconnect_bearer(request).await?;
    Ok(answer.into_inner().bearer.unwrap_or_default())
}

pub async fn bearer(rig: &Rig) -> Result<Bearer, tonic::Status> {
    let answer = rig.broker().network().get_bearer(GetBearerRequest::default()).await?;
    Ok(answer.into_inner().bearer.unwrap_or_default())
}

/// Waits until the bearer can be connected.
pub async fn ready(rig: &Rig) -> anyhow::Result<Bearer> {
    end_to_end::until("the bearer is ready", end_to_end::LIMIT, async || {
        let bearer = bearer(rig).await?;
        Ok((bearer.state() != api::v1::BearerState::NotReady).then_some(bearer))
    })
    .await
}

/// Whether a host answers one ping.
pub async fn ping(host: IpAddr) -> anyhow::Result<bool> {
    Ok(tokio::task::spawn_blocking(move || ping_once(host)).await??)
}

fn ping_once(host: IpAddr) -> io::Result<bool> {
    const PAYLOAD: &[u8] = b"is anybody there";
    // ICMPv6 checksums are the kernel's work, those of ICMP are not.
    let (family, protocol, request, reply) = match host {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, 8, 0),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, 128, 129),
    };
    // A raw socket sends and receives as one of UDP does.
    let socket = UdpSocket::from(socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?);
    socket.set_read_timeout(Some(REPLY_LIMIT))?;
    let mut packet = [&[request, 0, 0, 0, 0x12, 0x34, 0, 1], PAYLOAD].concat();
    let sum = packet
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum::<u32>();
    packet[2..4].copy_from_slice(&(!((sum & 0xFFFF) + (sum >> 16)) as u16).to_be_bytes());
    if let Err(error) = socket.send_to(&packet, (host, 0)) {
        return match error.kind() {
            // There is no way to it, or the interface is down.
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown => {
                Ok(false)
            }
            _ => Err(error),
        };
    }
    let mut buffer = [0; 256];
    loop {
        match socket.recv(&mut buffer) {
            Ok(count) => {
                let start = if host.is_ipv4() { 20 } else { 0 };
                let message = buffer.get(start..count).unwrap_or_default();
                if message.first() == Some(&reply) && message.ends_with(PAYLOAD) {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Lines of the kernel's tables that name the modem's interface, without the addresses that it gives itself.
pub fn traces() -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for table in ["route", "ipv6_route", "if_inet6"] {
        let text = std::fs::read_to_string(format!("/proc/thread-self/net/{table}"))?;
        let of_the_kernel = |line: &str| line.starts_with("fe80") || line.starts_with("ff00");
        found.extend(
            text.lines()
                .filter(|line| line.contains(INTERFACE) && !of_the_kernel(line))
                .map(str::to_owned),
        );
    }
    Ok(found)
}
