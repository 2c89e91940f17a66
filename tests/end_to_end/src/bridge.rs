//! A port of the virtual modem as a TCP server, the way ser2net offers a serial port.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Serves one port to one connection after the other. Dropping it closes both sides.
pub struct Bridge {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Bridge {
    /// Listens on a free port of loopback; the device is opened for each connection.
    pub async fn start(device: PathBuf) -> io::Result<Bridge> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = crate::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Err(error) = carry(stream, &device).await {
                    tracing::debug!(%error, device = %device.display(), "a bridged connection ended");
                }
            }
        });
        Ok(Bridge { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(stream: TcpStream, device: &Path) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let port = open_raw(device)?;
    // A terminal is read and written like the two ends of a pipe, and has no type of its own in tokio.
    let mut writer = pipe::Sender::from_file_unchecked(port.try_clone()?)?;
    let mut reader = pipe::Receiver::from_file_unchecked(port)?;
    let (mut from_host, mut to_host) = stream.into_split();
    tokio::select! {
        copied = tokio::io::copy(&mut from_host, &mut writer) => copied,
        copied = tokio::io::copy(&mut reader, &mut to_host) => copied,
    }
    .map(drop)
}

/// A raw, non-blocking descriptor of a terminal.
pub fn open_raw(device: &Path) -> io::Result<std::fs::File> {
    let fd = open(
        device,
        OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let mut settings = tcgetattr(&fd)?;
    cfmakeraw(&mut settings);
    tcsetattr(&fd, SetArg::TCSANOW, &settings)?;
    Ok(std::fs::File::from(fd))
}
