//! What the tty driver has accepted and not sent yet. No safe wrapper of the call exists, so this module is one.

#![expect(unsafe_code, reason = "one system call that fills one integer")]

use std::os::fd::{AsFd, AsRawFd};

/// Octets between a write and the wire (`TIOCOUTQ`); `None` where the kernel does not say. Only meaningful for a tty: a
/// socket counts its own bookkeeping too.
pub(super) fn octets(tty: &impl AsFd) -> Option<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the descriptor is open for as long as it is borrowed, and TIOCOUTQ writes one int to the pointer.
    let result = unsafe { libc::ioctl(tty.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if result == 0 { usize::try_from(count).ok() } else { None }
}
