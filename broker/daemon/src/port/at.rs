//! The task that owns an AT port, and the handle by which everybody else asks it for something.
//!
//! The dialogue itself is [`modem::at::Session`]; this task feeds it bytes, commands and deadlines and carries out what it
//! says. Commands wait in three lanes, so that a hang-up passes before a send and a poll waits for both.

use std::time::Duration;

use ::modem::at::{Command, CommandId, Config, Failure, Output, Response, Session, Unsolicited};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{OpenPort, PortLock, PortStream};
use crate::resource::PortRole;

/// Which commands pass first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Hang-up, answer, emergency. An abortable command in flight is aborted for it.
    Urgent,
    /// What somebody waits for.
    Normal,
    /// Polls and housekeeping.
    Background,
}

/// Commands that may wait in one lane before the next one has to wait outside.
const LANE_DEPTH: usize = 32;

/// A tty that takes no bytes for this long is dead: no command line is longer than what the driver buffers.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a command has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AtError {
    /// The port is closed and nothing of the command reached the modem.
    #[error("the AT port is closed")]
    Closed,
    /// It was sent and its outcome is not known, or it was aborted.
    #[error("{command}: {failure}")]
    Failed {
        /// The command line, arguments left out.
        command: String,
        /// How it failed.
        failure: Failure,
    },
}

impl AtError {
    /// Whether the modem may have acted on the payload (a short message that was handed over).
    pub fn payload_sent(&self) -> bool {
        match self {
            AtError::Closed => false,
            AtError::Failed { failure, .. } => failure.payload_sent(),
        }
    }
}

struct Job {
    command: Command,
    reply: oneshot::Sender<Result<Response, AtError>>,
}

/// What an AT port tells the modem's actor.
#[derive(Debug)]
pub enum AtEvent {
    /// An unsolicited result code.
    Unsolicited(Unsolicited),
    /// The modem does not answer; this many probes went unanswered.
    Unresponsive(u32),
    /// It answers again.
    Resynchronised,
    /// The port is gone.
    Closed(String),
}

/// Asks an AT port. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AtHandle {
    role: PortRole,
    lanes: [mpsc::Sender<Job>; 3],
}

impl AtHandle {
    /// Which port this is.
    pub fn role(&self) -> PortRole {
        self.role
    }

    /// Runs a command and waits for its final result code. Waits first for whatever is ahead of it in its lane.
    pub async fn execute(&self, lane: Lane, command: Command) -> Result<Response, AtError> {
        let (reply, response) = oneshot::channel();
        self.lanes[lane as usize]
            .send(Job { command, reply })
            .await
            .map_err(|_| AtError::Closed)?;
        response.await.unwrap_or(Err(AtError::Closed))
    }
}

/// The task's side. [`AtTask::run`] is the one future that owns the port.
pub struct AtTask {
    stream: Box<dyn PortStream>,
    /// Dropped after the stream: fields are dropped in the order of their declaration.
    _lock: Option<PortLock>,
    session: Session,
    lanes: [mpsc::Receiver<Job>; 3],
    events: mpsc::Sender<(PortRole, AtEvent)>,
    role: PortRole,
    running: Option<Running>,
    urgent: Option<Job>,
}

struct Running {
    id: CommandId,
    name: String,
    abortable: bool,
    reply: oneshot::Sender<Result<Response, AtError>>,
}

/// Makes the handle and the task of an AT port.
pub fn open(
    role: PortRole,
    port: OpenPort,
    config: Config,
    events: mpsc::Sender<(PortRole, AtEvent)>,
) -> (AtHandle, AtTask) {
    let (urgent, urgent_jobs) = mpsc::channel(LANE_DEPTH);
    let (normal, normal_jobs) = mpsc::channel(LANE_DEPTH);
    let (background, background_jobs) = mpsc::channel(LANE_DEPTH);
    let task = AtTask {
        stream: port.stream,
        _lock: port.lock,
        session: Session::new(config),
        lanes: [urgent_jobs, normal_jobs, background_jobs],
        events,
        role,
        running: None,
        urgent: None,
    };
    (
        AtHandle {
            role,
            lanes: [urgent, normal, background],
        },
        task,
    )
}

enum Wake {
    Input(std::io::Result<usize>),
    Job(Job),
    Urgent(Job),
    Deadline,
    NoHandles,
}

impl AtTask {
    /// Serves the port until it closes or every handle is gone. Tells the actor why.
    pub async fn run(mut self) {
        let reason = match self.serve().await {
            Ok(()) => return,
            Err(error) => error,
        };
        self.session.close();
        let _ = self.drain().await;
        // The actor may already be gone; then nobody has to know.
        let _ = self.events.send((self.role, AtEvent::Closed(reason))).await;
    }

    async fn serve(&mut self) -> Result<(), String> {
        let mut buffer = [0_u8; 4096];
        // Whatever an earlier owner left open (a prompt, half a line, a reply on its way) ends here.
        self.session.resynchronise(Instant::now().into_std());
        self.drain().await?;
        loop {
            let wake = self.wait(&mut buffer).await;
            let now = Instant::now().into_std();
            match wake {
                Wake::NoHandles => return Ok(()),
                Wake::Input(Ok(0)) => return Err("end of file: the device went away".to_owned()),
                Wake::Input(Ok(count)) => self.session.handle_input(now, &buffer[..count]),
                Wake::Input(Err(error)) => return Err(format!("read: {error}")),
                Wake::Deadline => self.session.handle_timeout(now),
                Wake::Job(job) => self.start(job),
                Wake::Urgent(job) => {
                    self.urgent = Some(job);
                    if let Some(running) = self.running.as_ref().filter(|running| running.abortable) {
                        self.session.abort(now, running.id);
                    }
                }
            }
            self.drain().await?;
            if self.session.is_ready()
                && let Some(job) = self.urgent.take()
            {
                self.start(job);
                self.drain().await?;
            }
        }
    }

    async fn wait(&mut self, buffer: &mut [u8]) -> Wake {
        let ready = self.session.is_ready();
        let deadline = self.session.poll_timeout().map(Instant::from_std);
        let may_overtake = !ready && self.urgent.is_none();
        let [urgent, normal, background] = &mut self.lanes;
        tokio::select! {
            biased;
            result = self.stream.read(buffer) => Wake::Input(result),
            () = sleep_until(deadline) => Wake::Deadline,
            job = urgent.recv(), if ready || may_overtake => match job {
                Some(job) if ready => Wake::Job(job),
                Some(job) => Wake::Urgent(job),
                None => Wake::NoHandles,
            },
            Some(job) = normal.recv(), if ready => Wake::Job(job),
            Some(job) = background.recv(), if ready => Wake::Job(job),
        }
    }

    fn start(&mut self, job: Job) {
        // Nobody waits for it any more and nothing of it reached the modem, so it is as if it had never been asked.
        if job.reply.is_closed() {
            return;
        }
        let name = job.command.line.split(['=', '?']).next().unwrap_or_default().to_owned();
        let abortable = job.command.abortable;
        match self.session.start(Instant::now().into_std(), job.command) {
            Ok(id) => {
                self.running = Some(Running {
                    id,
                    name,
                    abortable,
                    reply: job.reply,
                })
            }
            // Unreachable while jobs are only taken from a ready session; answering is still better than dropping.
            Err(_) => {
                let _ = job.reply.send(Err(AtError::Closed));
            }
        }
    }

    async fn drain(&mut self) -> Result<(), String> {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit(bytes) => self.write(&bytes).await?,
                Output::Finished { id, outcome } => {
                    if let Some(running) = self.running.take_if(|running| running.id == id) {
                        let outcome = match outcome {
                            Ok(response) => Ok(response),
                            // A final code in place of the prompt is an answer like any other.
                            Err(Failure::PromptRefused(result)) => Ok(Response {
                                lines: Vec::new(),
                                result,
                            }),
                            Err(failure) => Err(AtError::Failed {
                                command: running.name,
                                failure,
                            }),
                        };
                        let _ = running.reply.send(outcome);
                    }
                }
                Output::Unsolicited(unsolicited) => self.tell(AtEvent::Unsolicited(unsolicited)).await,
                Output::Unresponsive { probes } => self.tell(AtEvent::Unresponsive(probes)).await,
                Output::Garbage { bytes } => {
                    tracing::debug!(role = ?self.role, bytes, "bytes that are no line were discarded")
                }
                Output::Resynchronised => self.tell(AtEvent::Resynchronised).await,
            }
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(WRITE_TIMEOUT, write).await {
            Ok(result) => result.map_err(|error| format!("write: {error}")),
            Err(_) => Err("write: the port takes no bytes".to_owned()),
        }
    }

    /// A full queue makes the port wait: unread bytes stay in the kernel, nothing is lost.
    async fn tell(&mut self, event: AtEvent) {
        let _ = self.events.send((self.role, event)).await;
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
