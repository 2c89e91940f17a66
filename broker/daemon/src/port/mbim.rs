//! The task that owns an MBIM port, and the handle by which everybody else asks it for something.
//!
//! The dialogue itself is [`modem::mbim::Client`]; this task feeds it octets, requests and deadlines and carries out what it
//! says. On `/dev/cdc-wdm*` a read gives one message, or a fragment of one, and a write takes one. A pseudo terminal (the
//! virtual modem) carries the same frames in any chunks.

use std::io;
use std::path::Path;
use std::time::Duration;

use ::modem::mbim::message::{TRANSFER_MAX, TRANSFER_MIN};
use ::modem::mbim::{Client, Failure, Indication, Output, Request, RequestId, Response};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::trace::{Direction, Trace};
use super::{OpenPort, PortLock, PortStream, sleep_until, write_all};
use crate::resource::PortRole;

/// Requests that may wait for the task before the next one has to wait outside.
const REQUEST_DEPTH: usize = 16;

/// The largest transfer where the descriptors do not tell it: what Qualcomm's functions have.
const TRANSFER_DEFAULT: u16 = 4096;

/// How long closing the function may take at the end.
const CLOSE_LIMIT: Duration = Duration::from_millis(1200);

/// How long a message on the control channel of a node may be: `wMaxControlMessage` of the functional descriptor (MBIM 1.0,
/// 6.4). The kernel tells it by an `ioctl` as well, which would need `unsafe`.
pub fn max_transfer(sysfs: &Path, node: &Path) -> u16 {
    let name = node.file_name().unwrap_or_default();
    let interface = sysfs.join("class/usbmisc").join(name).join("device");
    let descriptors = std::fs::canonicalize(interface)
        .ok()
        .and_then(|interface| std::fs::read(interface.parent()?.join("descriptors")).ok());
    descriptors
        .and_then(|descriptors| max_control_message(&descriptors))
        .unwrap_or(TRANSFER_DEFAULT)
}

/// Descriptors follow each other; each begins with its length and its type.
fn max_control_message(mut descriptors: &[u8]) -> Option<u16> {
    const CS_INTERFACE: u8 = 0x24;
    const MBIM: u8 = 0x1B;
    let believed = TRANSFER_MIN as u16..=TRANSFER_MAX as u16;
    while let [length @ 2..=u8::MAX, ..] = *descriptors {
        let (descriptor, rest) = descriptors.split_at_checked(usize::from(length))?;
        if let [_, CS_INTERFACE, MBIM, _, _, low, high, ..] = *descriptor {
            return Some(u16::from_le_bytes([low, high])).filter(|octets| believed.contains(octets));
        }
        descriptors = rest;
    }
    None
}

struct Job {
    request: Request,
    reply: oneshot::Sender<Result<Response, Failure>>,
}

/// What an MBIM port tells the modem's actor.
#[derive(Debug)]
pub enum MbimEvent {
    /// The modem told something by itself.
    Indication(Indication),
    /// The function is not open any more: sessions are gone.
    Restarted,
    /// So many requests in a row had no answer.
    Unresponsive(u32),
    /// The port is gone.
    Closed(String),
}

/// Asks an MBIM port. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MbimHandle {
    jobs: mpsc::Sender<Job>,
}

impl MbimHandle {
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

/// The task's side. [`MbimTask::run`] is the one future that owns the port.
pub struct MbimTask {
    stream: Box<dyn PortStream>,
    /// Dropped after the stream: fields are dropped in the order of their declaration.
    lock: Option<PortLock>,
    trace: Trace,
    client: Client,
    buffer: Vec<u8>,
    jobs: mpsc::Receiver<Job>,
    events: mpsc::Sender<MbimEvent>,
    running: Vec<(RequestId, oneshot::Sender<Result<Response, Failure>>)>,
}

/// Makes the handle and the task of an MBIM port whose function takes messages of at most `max_transfer` octets.
pub fn start(
    port: OpenPort,
    max_transfer: u16,
    trace: Trace,
    events: mpsc::Sender<MbimEvent>,
) -> (MbimHandle, MbimTask) {
    let (jobs, receiver) = mpsc::channel(REQUEST_DEPTH);
    let task = MbimTask {
        stream: port.stream,
        lock: port.lock,
        trace,
        client: Client::new(usize::from(max_transfer)),
        // `cdc-wdm` refuses a read that is shorter than the message.
        buffer: vec![0; TRANSFER_DEFAULT.max(max_transfer).into()],
        jobs: receiver,
        events,
        running: Vec::new(),
    };
    (MbimHandle { jobs }, task)
}

enum Wake {
    Input(io::Result<usize>),
    Job(Option<Job>),
    Deadline,
}

impl MbimTask {
    /// Serves the port until it closes or every handle is gone. Tells the actor why it closed.
    pub async fn run(mut self) {
        let end = self.serve().await;
        if end.is_ok() {
            // A function that stays open would keep its session.
            let _ = tokio::time::timeout(CLOSE_LIMIT, self.close_function()).await;
        }
        self.client.close();
        let _ = self.drain().await;
        let MbimTask {
            stream, lock, events, ..
        } = self;
        super::close(OpenPort { stream, lock }).await;
        if let Err(reason) = end {
            // The actor may already be gone; then nobody has to know.
            let _ = events.send(MbimEvent::Closed(reason)).await;
        }
    }

    async fn serve(&mut self) -> Result<(), String> {
        loop {
            let room = self.client.has_room();
            let deadline = self.client.poll_timeout().map(Instant::from_std);
            let wake = tokio::select! {
                biased;
                result = self.stream.read(&mut self.buffer) => Wake::Input(result),
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
                other => self.take(other)?,
            }
            self.drain().await?;
        }
    }

    async fn close_function(&mut self) -> Result<(), String> {
        if self.client.is_open() {
            self.client.start(Instant::now().into_std(), Request::close());
            self.drain().await?;
        }
        while !self.client.is_idle() {
            let deadline = self.client.poll_timeout().map(Instant::from_std);
            let wake = tokio::select! {
                biased;
                result = self.stream.read(&mut self.buffer) => Wake::Input(result),
                () = sleep_until(deadline) => Wake::Deadline,
            };
            self.take(wake)?;
            self.drain().await?;
        }
        Ok(())
    }

    fn take(&mut self, wake: Wake) -> Result<(), String> {
        let now = Instant::now().into_std();
        match wake {
            Wake::Input(Ok(0)) => return Err("end of file: the device went away".to_owned()),
            Wake::Input(Ok(count)) => {
                let octets = &self.buffer[..count];
                self.trace.record(PortRole::Mbim, Direction::FromModem, octets);
                self.client.handle_input(now, octets);
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
                    self.trace.record(PortRole::Mbim, Direction::ToModem, &frame);
                    write_all(&mut *self.stream, &frame).await?;
                }
                Output::Finished { id, outcome } => {
                    if let Some(place) = self.running.iter().position(|(running, _)| *running == id) {
                        let (_, reply) = self.running.swap_remove(place);
                        let _ = reply.send(outcome);
                    }
                }
                Output::Indication(indication) => self.tell(MbimEvent::Indication(indication)).await,
                Output::Restarted => self.tell(MbimEvent::Restarted).await,
                Output::Unresponsive { requests } => self.tell(MbimEvent::Unresponsive(requests)).await,
            }
        }
        Ok(())
    }

    /// A full queue makes the port wait: what is unread stays in the kernel.
    async fn tell(&mut self, event: MbimEvent) {
        let _ = self.events.send(event).await;
    }
}

#[cfg(test)]
mod tests;
