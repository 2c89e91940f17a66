//! The task that owns a control port (QMI, MBIM), and the handle by which everybody else asks it for something.
//!
//! What is said is a [`Dialogue`]; this task feeds it octets, requests and deadlines and carries out what it says. On
//! `/dev/cdc-wdm*` a read gives one message, or a fragment of one, and a write takes one. A pseudo terminal (the virtual modem)
//! and TCP carry the same frames in any chunks, and so does the socket of libqmi's proxy.

use std::fmt;
use std::io;
use std::time::Duration;

use cellular::packet::dialogue::{Dialogue, Output, RequestId};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::trace::{Direction, Trace};
use super::{OpenPort, PortLock, PortStream, sleep_until, write_all};
use crate::resource::PortRole;

/// Requests that may wait for the task before the next one has to wait outside.
const REQUEST_DEPTH: usize = 16;

/// How long taking leave of the modem may take at the end: with it its session ends.
const LEAVE_LIMIT: Duration = Duration::from_millis(1200);

type Reply<D> = oneshot::Sender<Result<<D as Dialogue>::Response, <D as Dialogue>::Failure>>;

struct Job<D: Dialogue> {
    request: D::Request,
    reply: Reply<D>,
}

/// What a control port tells the modem's actor.
#[derive(Debug)]
pub enum ControlEvent<Indication> {
    /// The modem told something by itself.
    Indication(Indication),
    /// The modem restarted what is behind the port: sessions are gone.
    Restarted,
    /// So many requests in a row had no answer.
    Unresponsive(u32),
    /// The port is gone.
    Closed(String),
}

/// Asks a control port. Cheap to clone.
pub struct ControlHandle<D: Dialogue> {
    jobs: mpsc::Sender<Job<D>>,
}

impl<D: Dialogue> Clone for ControlHandle<D> {
    fn clone(&self) -> Self {
        let jobs = self.jobs.clone();
        Self { jobs }
    }
}

impl<D: Dialogue> fmt::Debug for ControlHandle<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlHandle").finish_non_exhaustive()
    }
}

impl<D: Dialogue> ControlHandle<D> {
    /// Sends a request and waits for its answer, as long as the request says.
    pub async fn ask(&self, request: D::Request) -> Result<D::Response, D::Failure> {
        let (reply, response) = oneshot::channel();
        self.jobs.send(Job { request, reply }).await.map_err(|_| D::CLOSED)?;
        response.await.unwrap_or(Err(D::CLOSED))
    }
}

/// The task's side. [`ControlTask::run`] is the one future that owns the port.
pub struct ControlTask<D: Dialogue> {
    stream: Box<dyn PortStream>,
    /// Dropped after the stream: fields are dropped in the order of their declaration.
    lock: Option<PortLock>,
    trace: Trace,
    role: PortRole,
    dialogue: D,
    buffer: Vec<u8>,
    jobs: mpsc::Receiver<Job<D>>,
    events: mpsc::Sender<ControlEvent<D::Indication>>,
    running: Vec<(RequestId, Reply<D>)>,
}

/// Makes the handle and the task of a port. `cdc-wdm` refuses a read that is shorter than the message, so `read_size` is that of
/// the longest.
pub fn start<D: Dialogue>(
    port: OpenPort,
    role: PortRole,
    dialogue: D,
    read_size: usize,
    trace: Trace,
    events: mpsc::Sender<ControlEvent<D::Indication>>,
) -> (ControlHandle<D>, ControlTask<D>) {
    let (jobs, receiver) = mpsc::channel(REQUEST_DEPTH);
    let task = ControlTask {
        stream: port.stream,
        lock: port.lock,
        trace,
        role,
        dialogue,
        buffer: vec![0; read_size],
        jobs: receiver,
        events,
        running: Vec::new(),
    };
    (ControlHandle { jobs }, task)
}

enum Wake<D: Dialogue> {
    Input(io::Result<usize>),
    Deadline,
    Job(Option<Job<D>>),
}

impl<D: Dialogue> ControlTask<D> {
    /// Serves the port until it closes or every handle is gone. Tells the actor why it closed.
    pub async fn run(mut self) {
        let end = self.serve().await;
        if end.is_ok() {
            let _ = tokio::time::timeout(LEAVE_LIMIT, self.leave()).await;
        }
        self.dialogue.close();
        let _ = self.drain().await;
        let ControlTask {
            stream, lock, events, ..
        } = self;
        super::close(OpenPort { stream, lock }).await;
        if let Err(reason) = end {
            // The actor may already be gone; then nobody has to know.
            let _ = events.send(ControlEvent::Closed(reason)).await;
        }
    }

    async fn serve(&mut self) -> Result<(), String> {
        loop {
            let takes_jobs = self.dialogue.has_room();
            match self.wait(takes_jobs).await {
                Wake::Job(None) => return Ok(()),
                // Nobody waits for it any more and nothing of it reached the modem.
                Wake::Job(Some(job)) if job.reply.is_closed() => {}
                Wake::Job(Some(job)) => {
                    let id = self.dialogue.start(Instant::now().into_std(), job.request);
                    self.running.push((id, job.reply));
                }
                Wake::Input(read) => self.take(read)?,
                Wake::Deadline => self.dialogue.handle_timeout(Instant::now().into_std()),
            }
            self.drain().await?;
        }
    }

    async fn leave(&mut self) -> Result<(), String> {
        self.dialogue.leave(Instant::now().into_std());
        self.drain().await?;
        while !self.dialogue.is_idle() {
            match self.wait(false).await {
                Wake::Input(read) => self.take(read)?,
                _ => self.dialogue.handle_timeout(Instant::now().into_std()),
            }
            self.drain().await?;
        }
        Ok(())
    }

    async fn wait(&mut self, takes_jobs: bool) -> Wake<D> {
        let deadline = self.dialogue.poll_timeout().map(Instant::from_std);
        tokio::select! {
            biased;
            read = self.stream.read(&mut self.buffer) => Wake::Input(read),
            () = sleep_until(deadline) => Wake::Deadline,
            job = self.jobs.recv(), if takes_jobs => Wake::Job(job),
        }
    }

    fn take(&mut self, read: io::Result<usize>) -> Result<(), String> {
        let count = read.map_err(|error| format!("read: {error}"))?;
        if count == 0 {
            return Err("end of file: the device went away".to_owned());
        }
        let octets = &self.buffer[..count];
        self.trace.record(self.role, Direction::FromModem, octets);
        self.dialogue.handle_input(Instant::now().into_std(), octets);
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), String> {
        while let Some(output) = self.dialogue.poll_output() {
            match output {
                Output::Transmit(frame) => {
                    self.trace.record(self.role, Direction::ToModem, &frame);
                    write_all(&mut *self.stream, &frame).await?;
                }
                Output::Finished { id, outcome } => {
                    if let Some(place) = self.running.iter().position(|(running, _)| *running == id) {
                        let (_, reply) = self.running.swap_remove(place);
                        let _ = reply.send(outcome);
                    }
                }
                Output::Indication(indication) => self.tell(ControlEvent::Indication(indication)).await,
                Output::Restarted => self.tell(ControlEvent::Restarted).await,
                Output::Unresponsive { requests } => self.tell(ControlEvent::Unresponsive(requests)).await,
            }
        }
        Ok(())
    }

    /// A full queue makes the port wait: what is unread stays in the kernel.
    async fn tell(&mut self, event: ControlEvent<D::Indication>) {
        let _ = self.events.send(event).await;
    }
}
