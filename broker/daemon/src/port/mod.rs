//! The ports of a modem: one owner per file descriptor, opened exclusively, with a lock that names its holder.

pub mod at;
mod exclusive;
mod lock;
mod serial;

use std::fmt;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::PortAddress;

pub use lock::{Held, LockError, PortLock};
pub use serial::{open_audio, open_serial};

/// What a port task reads from and writes to.
pub trait PortStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> PortStream for T {}

/// An open port together with its lock. The lock is released after the descriptor is closed.
pub struct OpenPort {
    /// The bytes.
    pub stream: Box<dyn PortStream>,
    /// Kept for as long as the port is open.
    pub lock: Option<PortLock>,
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub struct OpenError {
    /// Which port.
    pub address: PortAddress,
    /// Why.
    pub kind: OpenErrorKind,
}

/// Kinds of [`OpenError`].
#[derive(Debug)]
pub enum OpenErrorKind {
    /// The device node does not exist.
    Missing,
    /// Somebody holds it.
    Held(Held),
    /// The operating system refused.
    Io(std::io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        match &self.kind {
            OpenErrorKind::Missing => write!(f, "open {address}: no such device; is the modem plugged in?"),
            OpenErrorKind::Held(held) => write!(
                f,
                "open {address}: held by {held}; stop it, the broker needs the port for itself"
            ),
            OpenErrorKind::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                write!(
                    f,
                    "open {address}: permission denied; add the broker's user to the group of the device (dialout)"
                )
            }
            OpenErrorKind::Io(error) => write!(f, "open {address}: {error}"),
        }
    }
}
