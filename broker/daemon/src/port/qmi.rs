//! The task that owns a QMI port, and the handle by which everybody else asks it for something.
//!
//! The dialogue itself is [`modem::qmi::Client`]; this task feeds it octets, requests and deadlines and carries out what it
//! says. On `/dev/cdc-wdm*` a read gives one message and a write takes one. A pseudo terminal (the virtual modem) and TCP
//! carry the same frames in any chunks, and so does the socket of libqmi's proxy, by which several programs share a port.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream as StdUnixStream};
use std::path::Path;
use std::time::Duration;

use ::modem::qmi::{Client, Failure, Indication, Output, Request, RequestId, Response};
use nix::fcntl::{OFlag, open as open_node};
use nix::sys::stat::Mode;
use nix::sys::termios::{FlushArg, SetArg, cfmakeraw, tcflush, tcgetattr, tcsetattr};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::patience::bounded;
use super::trace::{Direction, Trace};
use super::{OpenError, OpenErrorKind, OpenPort, PortLock, PortStream, serial, sleep_until, write_all};
use crate::config::PortAddress;
use crate::resource::PortRole;

/// Requests that may wait for the task before the next one has to wait outside.
const REQUEST_DEPTH: usize = 16;

/// What one read takes: `cdc-wdm` gives no message of more than 4 KiB.
const READ_SIZE: usize = 4096;

/// How long giving the client ids back may take at the end.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

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

struct Job {
    request: Request,
    reply: oneshot::Sender<Result<Response, Failure>>,
}

/// What a QMI port tells the modem's actor.
#[derive(Debug)]
pub enum QmiEvent {
    /// The modem told something by itself.
    Indication(Indication),
    /// The modem restarted its services: sessions are gone.
    Restarted,
    /// So many requests in a row had no answer.
    Unresponsive(u32),
    /// The port is gone.
    Closed(String),
}

/// Asks a QMI port. Cheap to clone.
#[derive(Clone, Debug)]
pub struct QmiHandle {
    jobs: mpsc::Sender<Job>,
}

impl QmiHandle {
    /// Sends a request and waits for its answer, as long as the request says.
    pub async fn ask(&self, request: Request) -> Result<Response, Failure> {
        let (reply, response) = oneshot::channel();
        self.jobs
            .send(Job { request, reply })
            .await
            .map_err(|_| Failure::Closed)?;
        response.await.unwrap_or(Err(Failure::Closed))
    }
}

/// The task's side. [`QmiTask::run`] is the one future that owns the port.
pub struct QmiTask {
    stream: Box<dyn PortStream>,
    /// Dropped after the stream: fields are dropped in the order of their declaration.
    lock: Option<PortLock>,
    trace: Trace,
    client: Client,
    jobs: mpsc::Receiver<Job>,
    events: mpsc::Sender<QmiEvent>,
    running: Vec<(RequestId, oneshot::Sender<Result<Response, Failure>>)>,
}

/// Makes the handle and the task of a QMI port.
pub fn start(port: OpenPort, trace: Trace, events: mpsc::Sender<QmiEvent>) -> (QmiHandle, QmiTask) {
    let (jobs, receiver) = mpsc::channel(REQUEST_DEPTH);
    let task = QmiTask {
        stream: port.stream,
        lock: port.lock,
        trace,
        client: Client::new(),
        jobs: receiver,
        events,
        running: Vec::new(),
    };
    (QmiHandle { jobs }, task)
}

enum Wake {
    Input(io::Result<usize>),
    Job(Option<Job>),
    Deadline,
}

impl QmiTask {
    /// Serves the port until it closes or every handle is gone. Tells the actor why it closed.
    pub async fn run(mut self) {
        let end = self.serve().await;
        if end.is_ok() {
            // The modem has few client ids, and those of a session keep it alive.
            let _ = tokio::time::timeout(RELEASE_LIMIT, self.release()).await;
        }
        self.client.close();
        let _ = self.drain().await;
        let QmiTask {
            stream, lock, events, ..
        } = self;
        super::close(OpenPort { stream, lock }).await;
        if let Err(reason) = end {
            // The actor may already be gone; then nobody has to know.
            let _ = events.send(QmiEvent::Closed(reason)).await;
        }
    }

    async fn serve(&mut self) -> Result<(), String> {
        let mut buffer = [0_u8; READ_SIZE];
        loop {
            let room = self.client.has_room();
            let deadline = self.client.poll_timeout().map(Instant::from_std);
            let wake = tokio::select! {
                biased;
                result = self.stream.read(&mut buffer) => Wake::Input(result),
                () = sleep_until(deadline) => Wake::Deadline,
                job = self.jobs.recv(), if room => Wake::Job(job),
            };
            match wake {
                Wake::Job(None) => return Ok(()),
                // Nobody waits for it any more and nothing of it reached the modem.
                Wake::Job(Some(job)) if job.reply.is_closed() => {}
                Wake::Job(Some(job)) => {
                    let id = self.client.start(Instant::now().into_std(), job.request);
                    self.running.push((id, job.reply));
                }
                other => self.take(other, &buffer)?,
            }
            self.drain().await?;
        }
    }

    /// Gives the client ids back.
    async fn release(&mut self) -> Result<(), String> {
        let mut buffer = [0_u8; READ_SIZE];
        self.client.release(Instant::now().into_std());
        self.drain().await?;
        while !self.client.is_idle() {
            let deadline = self.client.poll_timeout().map(Instant::from_std);
            let wake = tokio::select! {
                biased;
                result = self.stream.read(&mut buffer) => Wake::Input(result),
                () = sleep_until(deadline) => Wake::Deadline,
            };
            self.take(wake, &buffer)?;
            self.drain().await?;
        }
        Ok(())
    }

    fn take(&mut self, wake: Wake, buffer: &[u8]) -> Result<(), String> {
        let now = Instant::now().into_std();
        match wake {
            Wake::Input(Ok(0)) => return Err("end of file: the device went away".to_owned()),
            Wake::Input(Ok(count)) => {
                self.trace.record(PortRole::Qmi, Direction::FromModem, &buffer[..count]);
                self.client.handle_input(now, &buffer[..count]);
            }
            Wake::Input(Err(error)) => return Err(format!("read: {error}")),
            Wake::Deadline => self.client.handle_timeout(now),
            Wake::Job(_) => {}
        }
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), String> {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Transmit(frame) => {
                    self.trace.record(PortRole::Qmi, Direction::ToModem, &frame);
                    write_all(&mut *self.stream, &frame).await?;
                }
                Output::Finished { id, outcome } => {
                    if let Some(place) = self.running.iter().position(|(running, _)| *running == id) {
                        let (_, reply) = self.running.swap_remove(place);
                        let _ = reply.send(outcome);
                    }
                }
                Output::Indication(indication) => self.tell(QmiEvent::Indication(indication)).await,
                Output::Restarted => self.tell(QmiEvent::Restarted).await,
                Output::Unresponsive { requests } => self.tell(QmiEvent::Unresponsive(requests)).await,
            }
        }
        Ok(())
    }

    /// A full queue makes the port wait: what is unread stays in the kernel.
    async fn tell(&mut self, event: QmiEvent) {
        let _ = self.events.send(event).await;
    }
}

#[cfg(test)]
mod tests;
