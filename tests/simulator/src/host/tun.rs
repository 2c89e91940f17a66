//! The modem's network interface as a TUN device: raw IP, as composition 9001 carries it once the link is in raw-ip mode.

#![expect(
    unsafe_code,
    reason = "TUNSETIFF has no safe wrapper; the request lives on the stack for the one call"
)]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use crate::client::Control;
use crate::core::internet;

nix::ioctl_write_ptr_bad!(tunsetiff, libc::TUNSETIFF, libc::ifreq);

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
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the descriptor is open and the request is a valid `ifreq` with a terminated name.
    unsafe { tunsetiff(device.as_raw_fd(), &request) }?;
    Ok(device)
}

/// Carries packets to the network and its answers back, while the modem is attached and registered for packets.
pub(super) async fn serve(mut device: File, control: Control) {
    let mut packet = [0; MTU_MAX];
    loop {
        match device.read(&mut packet) {
            Ok(count) => {
                let Ok(status) = control.status().await else { return };
                let [_, packets, evolved] = status.registration;
                let connected = status.attached && (packets.is_registered() || evolved.is_registered());
                if let Some(reply) = internet::answer(&packet[..count]).filter(|_| connected) {
                    // A full queue loses packets, as every network does.
                    let _ = device.write(&reply);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(POLL).await,
            // The interface is down; it may come up again.
            Err(_) => tokio::time::sleep(10 * POLL).await,
        }
    }
}
