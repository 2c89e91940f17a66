//! The modem's network interface as a TUN device: raw IP, as composition 9001 carries it once the link is in raw-ip mode.

#![expect(
    unsafe_code,
    reason = "TUNSETIFF and SIOCGIFFLAGS have no safe wrappers; the request lives on the stack for the one call"
)]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::Control;
use crate::core::{dhcp, internet, router};

nix::ioctl_write_ptr_bad!(tunsetiff, libc::TUNSETIFF, libc::ifreq);
nix::ioctl_readwrite_bad!(siocgifflags, libc::SIOCGIFFLAGS, libc::ifreq);

/// No link of this kind carries more.
const MTU_MAX: usize = 2048;

/// How often an interface without traffic is looked at. It is a tool for tests, not a fast path.
const POLL: Duration = Duration::from_millis(2);

/// Makes the interface. Needs `CAP_NET_ADMIN`.
pub(super) fn open(name: &str) -> io::Result<File> {
    let device = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    let mut request = request(name)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the descriptor is open and the request is a valid `ifreq` with a terminated name.
    unsafe { tunsetiff(device.as_raw_fd(), &request) }?;
    Ok(device)
}

/// A request about an interface.
fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is plain data, valid when zeroed.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an interface name has 1 to 15 printable characters",
        ));
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    Ok(request)
}

/// Whether the link is up.
fn is_up(socket: &UdpSocket, name: &str) -> io::Result<bool> {
    let mut request = request(name)?;
    // SAFETY: the descriptor is open, and the kernel writes the flags into the request.
    unsafe { siocgifflags(socket.as_raw_fd(), &mut request) }?;
    // SAFETY: the call has filled in this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok(libc::c_int::from(flags) & libc::IFF_UP != 0)
}

/// Carries packets to the network and its answers back, while a data session of their IP version is up.
///
/// `interface` is its directory in the simulator's sysfs tree. The driver takes the attribute `qmi/raw_ip` only while the
/// link is down, so what it says when the link comes up holds until the link goes down; `operstate` tells which it is. With `N` the driver would put an Ethernet header
/// before each packet, and the modem, which speaks raw IP, would drop them all. An interface of MBIM has no such attribute:
/// its packets are raw IP in any case.
pub(super) async fn serve(mut device: File, name: String, interface: PathBuf, control: Control) {
    // Only for asking.
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) else {
        return;
    };
    let mut packet = [0; MTU_MAX];
    // `None` while the link is down.
    let mut format = None;
    loop {
        // Read first: the host sends at the moment that the link comes up, and that it is up is what has to be seen then.
        let read = device.read(&mut packet);
        let up = is_up(&socket, &name).unwrap_or(false);
        if up != format.is_some() {
            // The tree goes away while the cable is out.
            let _ = std::fs::write(interface.join("operstate"), if up { "up\n" } else { "down\n" });
        }
        if up {
            format.get_or_insert_with(|| {
                let qmi = interface.join("qmi");
                std::fs::read_to_string(qmi.join("raw_ip")).map_or(!qmi.exists(), |written| written.trim() == "Y")
            });
        } else {
            format = None;
        }
        match read {
            Ok(count) => {
                let Ok(status) = control.status().await else { return };
                let reply = answer(&packet[..count], &status.sessions, &control).await;
                if let Some(reply) = reply.filter(|_| format == Some(true)) {
                    // A full queue loses packets, as every network does.
                    let _ = device.write(&reply);
                }
            }
            // Nothing to read, or the interface is down; it may come up again.
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// What the network answers to a packet of these sessions.
async fn answer(packet: &[u8], sessions: &[IpAddr], control: &Control) -> Option<Vec<u8>> {
    if dhcp::is_for_server(packet) && sessions.iter().any(IpAddr::is_ipv4) {
        return control.lease(packet).await.ok().flatten();
    }
    if router::is_solicitation(packet) && sessions.iter().any(IpAddr::is_ipv6) {
        return control.solicit().await.ok().flatten();
    }
    internet::answer(packet).filter(|reply| {
        let to = internet::destination(reply);
        to.is_some_and(|to| internet::reaches(sessions, to))
    })
}
