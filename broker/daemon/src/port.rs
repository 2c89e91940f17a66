//! The ports of a modem: one owner per file descriptor, opened exclusively, with a lock that names its holder.

mod address;
pub mod at;
pub mod control;
mod exclusive;
mod lock;
pub mod mbim;
pub mod nmea;
mod patience;
pub mod qmi;
mod serial;
pub mod terminal;
pub mod trace;

use std::fmt;

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::supervisor::Hung;

pub use address::PortAddress;
pub use lock::{Held, LockError, PortLock};
pub use patience::{close, hanging_calls};
pub use serial::{open_audio, open_serial};

/// What a port task reads from and writes to.
pub trait PortStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> PortStream for T {}

/// A tty that takes no bytes for this long is dead: no command line is longer than what the driver buffers.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes everything, or says why the port is dead.
async fn write_all(stream: &mut dyn PortStream, bytes: &[u8]) -> Result<(), String> {
    let write = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    match tokio::time::timeout(WRITE_TIMEOUT, write).await {
        Ok(result) => result.map_err(|error| format!("write: {error}")),
        Err(_) => Err("write: the port takes no bytes".to_owned()),
    }
}

/// Waits for a deadline, for ever without one.
async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// An open port together with its lock. The lock is released after the descriptor is closed.
pub struct OpenPort {
    /// The bytes.
    pub stream: Box<dyn PortStream>,
    /// Kept for as long as the port is open.
    pub lock: Option<PortLock>,
}

impl OpenPort {
    /// Writes everything, or says why the port is dead.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        write_all(&mut *self.stream, bytes).await
    }
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
    /// The kernel holds the call.
    Hung(Hung),
}

impl From<Hung> for OpenErrorKind {
    fn from(hung: Hung) -> Self {
        Self::Hung(hung)
    }
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
            OpenErrorKind::Hung(Hung { hanging }) => write!(
                f,
                "open {address}: the kernel does not return from it ({hanging} calls hang); cut the modem's power, and \
                 restart the machine if that does not help"
            ),
        }
    }
}
