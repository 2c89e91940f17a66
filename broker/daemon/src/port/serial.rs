//! Opening a port: a tty, a pseudo terminal, or `tcp:HOST:PORT` (ser2net, another program's modem emulator).

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_serial::SerialPortBuilderExt as _;

use super::lock::{LockError, PortLock};
use super::patience::bounded;
use super::{Held, OpenError, OpenErrorKind, OpenPort};
use crate::port::PortAddress;

/// USB serial ports ignore the rate; a UART of the module begins with this one.
const BAUD: u32 = 115_200;

/// A network peer that does not answer is as absent as an unplugged modem.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens a port for a task that reads and writes bytes.
pub async fn open_serial(address: &PortAddress, lock_directory: &Path) -> Result<OpenPort, OpenError> {
    let fail = |kind| OpenError {
        address: address.clone(),
        kind,
    };
    match address {
        PortAddress::Tcp { host, port } => {
            let stream = connect(host, *port)
                .await
                .map_err(|error| fail(OpenErrorKind::Io(error)))?;
            Ok(OpenPort {
                stream: Box::new(stream),
                lock: None,
            })
        }
        // A proxy is for QMI only, and the configuration takes it nowhere else.
        PortAddress::Path(path) | PortAddress::Proxy(path) => {
            let (path, directory) = (path.clone(), lock_directory.to_owned());
            let runtime = tokio::runtime::Handle::current();
            let open = move || {
                let lock = acquire(&path, &directory)?;
                let _runtime = runtime.enter();
                // The builder sets raw mode and TIOCEXCL.
                let stream = tokio_serial::new(path.to_string_lossy(), BAUD)
                    .flow_control(tokio_serial::FlowControl::None)
                    .open_native_async()
                    .map_err(|error| kind_of(&path, error.into()))?;
                Ok(OpenPort {
                    stream: Box::new(stream),
                    lock: Some(lock),
                })
            };
            bounded(open).await.map_err(fail)
        }
    }
}

/// Opens the audio port as a bare descriptor for the real-time thread.
pub async fn open_audio(
    address: &PortAddress,
    lock_directory: &Path,
) -> Result<(OwnedFd, Option<PortLock>), OpenError> {
    let fail = |kind| OpenError {
        address: address.clone(),
        kind,
    };
    match address {
        PortAddress::Tcp { host, port } => {
            let stream = connect(host, *port)
                .await
                .and_then(TcpStream::into_std)
                .map_err(|error| fail(OpenErrorKind::Io(error)))?;
            Ok((stream.into(), None))
        }
        // A proxy is for QMI only, and the configuration takes it nowhere else.
        PortAddress::Path(path) | PortAddress::Proxy(path) => {
            let (path, directory) = (path.clone(), lock_directory.to_owned());
            let open = move || {
                let lock = acquire(&path, &directory)?;
                let port = serialport_fd(&path).map_err(|error| kind_of(&path, error))?;
                Ok((port, Some(lock)))
            };
            bounded(open).await.map_err(fail)
        }
    }
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port)))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection within 5 s"))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub(super) fn acquire(path: &Path, lock_directory: &Path) -> Result<PortLock, OpenErrorKind> {
    if !path.exists() {
        return Err(OpenErrorKind::Missing);
    }
    PortLock::acquire(lock_directory, path).map_err(|error| match error {
        LockError::Held(held) => OpenErrorKind::Held(held),
        LockError::Io { path, source } => OpenErrorKind::Io(io::Error::new(
            source.kind(),
            format!("lock file {}: {source}", path.display()),
        )),
    })
}

pub(super) fn kind_of(path: &Path, error: io::Error) -> OpenErrorKind {
    match error.raw_os_error().map(nix::errno::Errno::from_raw) {
        // TIOCEXCL of another holder shows as EBUSY.
        Some(nix::errno::Errno::EBUSY) => OpenErrorKind::Held(Held {
            pid: None,
            command: None,
        }),
        Some(nix::errno::Errno::ENOENT | nix::errno::Errno::ENXIO | nix::errno::Errno::ENODEV) => {
            OpenErrorKind::Missing
        }
        _ if !path.exists() => OpenErrorKind::Missing,
        _ => OpenErrorKind::Io(error),
    }
}

/// A raw, exclusive, non-blocking descriptor of a tty.
fn serialport_fd(path: &Path) -> io::Result<OwnedFd> {
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::Mode;
    use nix::sys::termios::{FlushArg, SetArg, cfmakeraw, tcflush, tcgetattr, tcsetattr};

    let fd = open(
        path,
        OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let mut settings = tcgetattr(&fd)?;
    cfmakeraw(&mut settings);
    tcsetattr(&fd, SetArg::TCSANOW, &settings)?;
    // What an earlier call left in the driver is not this call's audio.
    tcflush(&fd, FlushArg::TCIOFLUSH)?;
    super::exclusive::set(&fd)?;
    Ok(fd)
}
