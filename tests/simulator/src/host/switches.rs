//! The files in `sys` with which a host switches a device off and on: `authorized` of the device and `disable` of its hub
//! port. They are files like any other here, so inotify tells that one was written.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Event;

/// Where they are.
#[derive(Debug, Clone)]
pub(super) struct Switches {
    pub(super) authorized: PathBuf,
    pub(super) disable: Option<PathBuf>,
}

impl Switches {
    fn read(&self) -> (bool, bool) {
        let reads = |path: &Path, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
        let powered = !self.disable.as_ref().is_some_and(|path| reads(path, "1"));
        (!reads(&self.authorized, "0"), powered)
    }
}

/// Tells the driver whenever one of them was switched.
pub(super) fn watch(switches: Switches, events: mpsc::Sender<Event>) -> io::Result<JoinHandle<()>> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    for path in std::iter::once(&switches.authorized).chain(&switches.disable) {
        inotify.add_watch(path, AddWatchFlags::IN_MODIFY)?;
    }
    let descriptor = pipe::Receiver::from_owned_fd_unchecked(OwnedFd::from(inotify))?;
    Ok(super::driver::spawn_task(async move {
        let mut known = switches.read();
        let mut buffer = [0; 1024];
        while descriptor.readable().await.is_ok() {
            while matches!(descriptor.try_read(&mut buffer), Ok(count) if count > 0) {}
            let now = switches.read();
            if now == known {
                continue;
            }
            known = now;
            let (authorized, powered) = now;
            if events.send(Event::Switched { authorized, powered }).await.is_err() {
                return;
            }
        }
    }))
}
