//! QMI ports: a node, a network peer, or the socket of libqmi's proxy, by which several programs share a port.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream as StdUnixStream};
use std::path::Path;

use cellular::qmi::{Client, Indication};
use nix::fcntl::{OFlag, open as open_node};
use nix::sys::stat::Mode;
use nix::sys::termios::{FlushArg, SetArg, cfmakeraw, tcflush, tcgetattr, tcsetattr};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::control::{self, ControlEvent, ControlHandle, ControlTask};
use super::patience::bounded;
use super::trace::Trace;
use super::{OpenError, OpenErrorKind, OpenPort, PortStream, serial};
use crate::port::PortAddress;
use crate::resource::PortRole;

/// What one read takes: `cdc-wdm` gives no message of more than 4 KiB.
const READ_SIZE: usize = 4096;

/// Opens a QMI port.
pub async fn open(address: &PortAddress, lock_directory: &Path) -> Result<OpenPort, OpenError> {
    let fail = |kind| OpenError {
        address: address.clone(),
        kind,
    };
    let path = match address {
        PortAddress::Path(path) => path,
        PortAddress::Proxy(path) => {
            let (path, runtime) = (path.clone(), tokio::runtime::Handle::current());
            let open = move || {
                let _runtime = runtime.enter();
                connect_proxy(&path)
            };
            return bounded(open).await.map_err(fail);
        }
        PortAddress::Tcp { .. } => return serial::open_serial(address, lock_directory).await,
    };
    let (path, directory) = (path.clone(), lock_directory.to_owned());
    let runtime = tokio::runtime::Handle::current();
    let open = move || {
        let lock = serial::acquire(&path, &directory)?;
        let _runtime = runtime.enter();
        let stream = open_path(&path).map_err(|error| serial::kind_of(&path, error))?;
        Ok(OpenPort {
            stream: Box::new(stream),
            lock: Some(lock),
        })
    };
    bounded(open).await.map_err(fail)
}

/// Connects to libqmi's proxy, whose socket has a name in the network namespace and no file. No lock is taken: others may
/// have the port as well, by the same proxy.
fn connect_proxy(path: &Path) -> Result<OpenPort, OpenErrorKind> {
    if !path.exists() {
        return Err(OpenErrorKind::Missing);
    }
    let connect = || {
        let stream = StdUnixStream::connect_addr(&SocketAddr::from_abstract_name("qmi-proxy")?)?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    };
    let stream = connect().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => OpenErrorKind::Io(io::Error::other(
            "no qmi-proxy is running; start ModemManager, or `qmi-proxy --no-exit` as a service",
        )),
        _ => OpenErrorKind::Io(error),
    })?;
    Ok(OpenPort {
        stream: Box::new(stream),
        lock: None,
    })
}

fn open_path(path: &Path) -> io::Result<impl PortStream + use<>> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let node = open_node(path, flags, Mode::empty())?;
    // A pseudo terminal would change octets and echo them; `cdc-wdm` is no terminal and says so.
    if let Ok(mut settings) = tcgetattr(&node) {
        cfmakeraw(&mut settings);
        tcsetattr(&node, SetArg::TCSANOW, &settings)?;
        tcflush(&node, FlushArg::TCIOFLUSH)?;
        super::exclusive::set(&node)?;
    }
    // The pipe types ask nothing of a descriptor but `read`, `write` and readiness.
    let reader = pipe::Receiver::from_owned_fd_unchecked(node.try_clone()?)?;
    let writer = pipe::Sender::from_owned_fd_unchecked(node)?;
    Ok(tokio::io::join(reader, writer))
}

/// Asks a QMI port.
pub type QmiHandle = ControlHandle<Client>;

/// What a QMI port tells.
pub type QmiEvent = ControlEvent<Indication>;

/// Makes the handle and the task of a QMI port.
pub fn start(port: OpenPort, trace: Trace, events: mpsc::Sender<QmiEvent>) -> (QmiHandle, ControlTask<Client>) {
    control::start(port, PortRole::Qmi, Client::new(), READ_SIZE, trace, events)
}

#[cfg(test)]
mod tests;
