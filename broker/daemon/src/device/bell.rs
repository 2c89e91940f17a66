//! What tells that something happened on the bus, so that nobody has to look all the time: the kernel's uevents, or
//! inotify where sysfs is a directory of files, as the simulator makes it.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, setsockopt, socket, sockopt,
};
use nix::sys::statfs::{SYSFS_MAGIC, statfs};
use tokio::net::unix::pipe;

/// The kernel's multicast group. The other one, 2, is what udev repeats after its rules; it is not there without udev.
const KERNEL_GROUP: u32 = 1;

/// A plug-in makes a few dozen events of less than 1 KiB each.
const RECEIVE_BUFFER: usize = 128 * 1024;

/// No event is longer than this (UEVENT_BUFFER_SIZE is 2048, plus its header).
const EVENT_BYTES: usize = 8 * 1024;

pub(super) struct Bell {
    /// Nothing is asked of it but `read` and readiness, which a netlink socket and inotify have as well as a pipe.
    descriptor: pipe::Receiver,
    uevents: bool,
}

impl Bell {
    /// Listens to what fits the directory.
    pub(super) fn open(sysfs: &Path) -> io::Result<Bell> {
        let uevents = statfs(sysfs).is_ok_and(|kind| kind.filesystem_type() == SYSFS_MAGIC);
        let descriptor = if uevents { open_uevents()? } else { open_inotify(sysfs)? };
        Ok(Bell {
            descriptor: pipe::Receiver::from_owned_fd_unchecked(descriptor)?,
            uevents,
        })
    }

    /// Waits until something happens that may concern a modem.
    pub(super) async fn rung(&self) -> io::Result<()> {
        loop {
            self.descriptor.readable().await?;
            if self.drain()? {
                return Ok(());
            }
        }
    }

    /// Reads what is there. True if it may concern a modem.
    pub(super) fn drain(&self) -> io::Result<bool> {
        let mut concerned = false;
        let mut buffer = [0_u8; EVENT_BYTES];
        loop {
            match self.descriptor.try_read(&mut buffer) {
                Ok(0) => return Ok(concerned),
                Ok(count) => concerned |= !self.uevents || concerns_modems(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(concerned),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Events were lost because nobody read in time: what they were about is in sysfs.
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => concerned = true,
                Err(error) => return Err(error),
            }
        }
    }
}

fn open_uevents() -> nix::Result<OwnedFd> {
    let descriptor = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkKObjectUEvent,
    )?;
    setsockopt(&descriptor, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    // Port 0: the kernel chooses, since the process id may be taken by another socket of ours.
    bind(descriptor.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP))?;
    Ok(descriptor)
}

fn open_inotify(sysfs: &Path) -> nix::Result<OwnedFd> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(
        &sysfs.join("bus/usb/devices"),
        AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVE | AddWatchFlags::IN_DELETE_SELF,
    )?;
    Ok(inotify.into())
}

/// `ACTION@DEVPATH` and then `KEY=value` with a NUL after each. Sent by the kernel only: group 1 takes root to send to, and
/// all that follows is one more look.
fn concerns_modems(event: &[u8]) -> bool {
    event
        .split(|byte| *byte == 0)
        .filter_map(|pair| pair.strip_prefix(b"SUBSYSTEM="))
        .any(|subsystem| matches!(subsystem, b"usb" | b"usb-serial" | b"tty" | b"usbmisc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_other_subsystems_are_not_looked_into() {
        let event = |subsystem: &str| format!("add@/devices/x\0ACTION=add\0SUBSYSTEM={subsystem}\0SEQNUM=7\0");
        for (subsystem, concerned) in [
            ("usb", true),
            ("tty", true),
            ("usbmisc", true),
            ("net", false),
            ("block", false),
        ] {
            assert_eq!(concerns_modems(event(subsystem).as_bytes()), concerned, "{subsystem}");
        }
        assert!(!concerns_modems(b"add@/devices/SUBSYSTEM=usb"));
    }

    /// The kernel itself rings: writing to the uevent file of a device makes it send one. `tests/run` runs this where that
    /// can be.
    #[tokio::test]
    #[ignore = "needs root, and the kernel's own user namespace: it sends plug events to no other"]
    async fn an_event_of_the_kernel_rings() {
        let bell = Bell::open(Path::new("/sys")).unwrap();
        assert!(bell.uevents, "/sys is no sysfs");
        let trigger = |path: &str| std::fs::write(Path::new("/sys").join(path), "change").unwrap();
        // What concerns no modem does not ring, so that the one after it does.
        trigger("devices/virtual/mem/null/uevent");
        trigger("class/tty/tty/uevent");
        let rung = tokio::time::timeout(std::time::Duration::from_secs(30), bell.rung());
        rung.await.expect("the kernel told").unwrap();
        assert!(!bell.drain().unwrap(), "one event, one ring");
    }
}
