//! `TIOCEXCL`: further opens of the tty fail with `EBUSY`. No safe wrapper of this ioctl exists, so this module is one.

#![expect(
    unsafe_code,
    reason = "TIOCEXCL takes no argument and touches no memory; the descriptor is borrowed"
)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

nix::ioctl_none_bad!(tiocexcl, libc::TIOCEXCL);

/// Makes the open of a tty exclusive.
pub(super) fn set(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor is open for the duration of the call, and the request has no argument.
    unsafe { tiocexcl(fd.as_raw_fd()) }?;
    Ok(())
}
