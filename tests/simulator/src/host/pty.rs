//! The front end on pseudo-terminals: `dev` with the nodes, `sys` with what the kernel would say about them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{FlushArg, SetArg, cfmakeraw, tcflush, tcgetattr, tcsetattr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::driver::{Place, StartError};
use super::presence::{PortPresence, Presence};
use super::sysfs::Tree;
use super::{Bench, Event, Line, Links, PORT_QUEUE, audio_port};
use crate::core::{Composition, Function};

/// How often is looked whether hosts still have their ports open.
const PRESENCE_CHECK: Duration = Duration::from_millis(100);

/// Ports below a directory.
pub(super) struct PtyBench {
    tree: Tree,
    switches: Option<tokio::task::JoinHandle<()>>,
}

impl PtyBench {
    pub(super) fn new(directory: &Path, place: &Place, interface: Option<&str>) -> Result<Self, StartError> {
        let tree =
            Tree::new(directory, place, interface).map_err(|error| StartError::new("prepare", directory, error))?;
        Ok(Self { tree, switches: None })
    }

    fn forget_switches(&mut self) {
        if let Some(watch) = self.switches.take() {
            watch.abort();
        }
    }
}

/// The driver ended.
struct Gone;

/// Who has a pseudo-terminal open.
pub(super) struct Listener {
    /// Keeps the terminal alive, and raw, while no host has it open.
    slave: OwnedFd,
    presence: PortPresence,
    /// Closings that were told of.
    told: AtomicU64,
}

impl Listener {
    /// Whether a host has it open. If not, what an earlier one left unread is forgotten, so that it does not meet the next.
    pub(super) fn is_present(&self) -> bool {
        let present = self.presence.is_open();
        if !present && let Err(error) = tcflush(&self.slave, FlushArg::TCIFLUSH) {
            tracing::debug!(%error, "failed to discard unread bytes");
        }
        present
    }

    /// How often a host opened it.
    pub(super) fn openings(&self) -> u64 {
        self.presence.openings()
    }

    /// Tells once of each time that the last host was gone, and before anything that comes from the next one.
    async fn tell_closed(&self, port: Function, generation: u64, events: &mpsc::Sender<Event>) -> Result<(), Gone> {
        let closings = self.presence.closings();
        if self.told.swap(closings, Ordering::Relaxed) == closings {
            return Ok(());
        }
        events.send(Event::Closed { port, generation }).await.map_err(|_| Gone)
    }

    /// Forgets a host's claim to be the only one (`TIOCEXCL`), as a driver does with the last close. The terminal would keep
    /// it, because this side has it open too, and without privileges nobody could open the port again.
    fn forget_claim(&self) {
        if let Err(error) = rustix::termios::ioctl_tiocnxcl(&self.slave) {
            tracing::debug!(%error, "failed to end a claim to a port");
        }
    }
}

/// Ends the claims of hosts that closed their ports or died, and tells of it.
async fn watch_closes(listeners: Vec<(Function, Arc<Listener>)>, generation: u64, events: mpsc::Sender<Event>) {
    let mut seen = vec![0; listeners.len()];
    loop {
        for ((port, listener), seen) in listeners.iter().zip(&mut seen) {
            let closings = listener.presence.closings();
            if std::mem::replace(seen, closings) != closings && !listener.presence.is_open() {
                listener.forget_claim();
            }
            if listener.tell_closed(*port, generation, &events).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(PRESENCE_CHECK).await;
    }
}

/// A pseudo-terminal.
pub(super) struct Port {
    pub(super) master: std::fs::File,
    pub(super) listener: Arc<Listener>,
}

impl Port {
    fn open(presence: &Presence) -> io::Result<(Self, PathBuf)> {
        let pair = openpty(None, None)?;
        let mut settings = tcgetattr(&pair.slave)?;
        cfmakeraw(&mut settings);
        tcsetattr(&pair.slave, SetArg::TCSANOW, &settings)?;
        let flags = OFlag::from_bits_truncate(fcntl(pair.master.as_fd(), FcntlArg::F_GETFL)?);
        fcntl(pair.master.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        for descriptor in [pair.master.as_fd(), pair.slave.as_fd()] {
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        let path = nix::unistd::ttyname(pair.slave.as_fd())?;
        let presence = presence.watch(&path)?;
        let listener = Arc::new(Listener {
            slave: pair.slave,
            presence,
            told: AtomicU64::new(0),
        });
        Ok((
            Self {
                master: pair.master.into(),
                listener,
            },
            path,
        ))
    }

    /// The master as asynchronous halves. The pipe types ask nothing of a descriptor but `read`, `write` and readiness,
    /// and, other than `AsyncFd`, they take it without `unsafe`.
    fn halves(&self) -> io::Result<(pipe::Receiver, pipe::Sender)> {
        let reader = pipe::Receiver::from_owned_fd_unchecked(self.master.try_clone()?.into())?;
        let writer = pipe::Sender::from_owned_fd_unchecked(self.master.try_clone()?.into())?;
        Ok((reader, writer))
    }
}

impl Bench for PtyBench {
    fn attach(
        &mut self,
        composition: Composition,
        renumber: bool,
        generation: u64,
        events: &mpsc::Sender<Event>,
    ) -> io::Result<Links> {
        let presence = Presence::new()?;
        let mut links = Links {
            serial: Vec::new(),
            audio: None,
            nodes: Vec::new(),
            tasks: tokio::task::JoinSet::new(),
        };
        let mut nodes = Vec::new();
        for interface in composition.interfaces() {
            let function = interface.function;
            if !function.is_serial() && !function.has_control_channel() {
                continue;
            }
            let (port, path) = Port::open(&presence)?;
            nodes.push((interface.number, path));
            links.nodes.push((function, port.listener.clone()));
            if function == Function::Audio {
                links.audio = Some(audio_port::spawn_thread(port, events.clone())?);
                continue;
            }
            let (queue, outgoing) = mpsc::channel(PORT_QUEUE);
            let listener = Some(port.listener.clone());
            links
                .tasks
                .spawn(carry(function, generation, port, outgoing, events.clone()));
            links.serial.push(Line {
                function,
                queue,
                listener,
            });
        }
        links
            .tasks
            .spawn(watch_closes(links.nodes.clone(), generation, events.clone()));
        self.tree.plug(composition, renumber, &nodes)?;
        self.forget_switches();
        self.switches = Some(super::switches::watch(self.tree.switches(), events.clone())?);
        Ok(links)
    }

    fn deauthorize(&mut self) {
        if let Err(error) = self.tree.deauthorize() {
            tracing::warn!(%error, "failed to remove the interfaces");
        }
    }

    fn detach(&mut self) {
        if let Err(error) = self.tree.unplug() {
            tracing::warn!(%error, "failed to remove the nodes");
        }
    }
}

impl Drop for PtyBench {
    fn drop(&mut self) {
        self.forget_switches();
        self.detach();
    }
}

/// Carries the bytes of one port both ways until the port vanishes.
async fn carry(
    function: Function,
    generation: u64,
    port: Port,
    mut outgoing: mpsc::Receiver<Vec<u8>>,
    events: mpsc::Sender<Event>,
) {
    let (mut reader, mut writer) = match port.halves() {
        Ok(halves) => halves,
        Err(error) => {
            tracing::error!(%function, %error, "failed to watch a port");
            return;
        }
    };
    let mut buffer = vec![0; 4_096];
    let mut pending: Vec<u8> = Vec::new();
    let mut openings = 0;
    loop {
        tokio::select! {
            read = reader.read(&mut buffer) => match read {
                Ok(count) if count > 0 => {
                    let bytes = buffer[..count].to_vec();
                    if port.listener.tell_closed(function, generation, &events).await.is_err() {
                        return;
                    }
                    let opened = port.listener.openings();
                    if std::mem::replace(&mut openings, opened) != opened
                        && events.send(Event::Opened { port: function, generation }).await.is_err()
                    {
                        return;
                    }
                    if events.send(Event::Input { port: function, generation, bytes }).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            bytes = outgoing.recv(), if pending.is_empty() => match bytes {
                Some(bytes) => pending = bytes,
                None => return,
            },
            written = writer.write(&pending), if !pending.is_empty() => {
                match written {
                    Ok(count) => drop(pending.drain(..count)),
                    Err(_) => return,
                }
            },
            () = tokio::time::sleep(PRESENCE_CHECK), if !pending.is_empty() => {
                if !port.listener.is_present() {
                    pending.clear();
                }
            }
        }
    }
}
