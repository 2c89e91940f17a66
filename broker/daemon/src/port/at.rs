//! The task that owns an AT port, and the handle by which everybody else asks it for something.
//!
//! The dialogue itself is [`cellular::at::Session`]; this task feeds it bytes, commands and deadlines and carries out what it
//! says. Commands wait in three lanes, so that a hang-up passes before a send and a poll waits for both.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cellular::at::command::Expects;
use cellular::at::{Command, CommandId, Config, Failure, Output, Response, Session, Unsolicited};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::terminal::{self, Purpose, Terminal, TerminalEnd, TerminalJob};
use super::trace::{Direction, Trace};
use super::{OpenPort, PortLock, PortStream, sleep_until};
use crate::refusal::Refusal;
use crate::resource::PortRole;
use crate::supervisor;

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

/// How long a port may take to write its last command and to close.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// Why a command has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AtError {
    /// The port is closed and nothing of the command reached the modem.
    #[error("the AT port is closed")]
    Closed,
    /// It was withdrawn before anything of it reached the modem.
    #[error("the command was given up before it was sent")]
    Withdrawn,
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
            AtError::Closed | AtError::Withdrawn => false,
            AtError::Failed { failure, .. } => failure.payload_sent(),
        }
    }
}

impl From<AtError> for Refusal {
    fn from(error: AtError) -> Self {
        match error {
            AtError::Closed => Refusal::ModemDisconnected {
                detail: "its AT port is closed".to_owned(),
            },
            AtError::Failed {
                failure: Failure::PortClosed { .. },
                ..
            } => Refusal::ModemDisconnected {
                detail: "its AT port closed before it answered".to_owned(),
            },
            AtError::Withdrawn => Refusal::ModemTimeout {
                command: "the commands before this one".to_owned(),
            },
            AtError::Failed { command, .. } => Refusal::ModemTimeout { command },
        }
    }
}

/// A command's place in the queue. Who gives the command up learns from it, without a race, whether the modem ever sees it.
#[derive(Clone, Debug, Default)]
pub struct Ticket(Arc<AtomicU8>);

impl Ticket {
    const WAITS: u8 = 0;
    const BEGUN: u8 = 1;
    const WITHDRAWN: u8 = 2;

    fn leave_queue(&self, to: u8) -> bool {
        let order = Ordering::AcqRel;
        let left = self.0.compare_exchange(Ticket::WAITS, to, order, Ordering::Acquire);
        left.is_ok() || left == Err(to)
    }

    /// Gives the command up. True when nothing of it reaches the modem; false when it has begun.
    pub fn withdraw(&self) -> bool {
        self.leave_queue(Ticket::WITHDRAWN)
    }

    /// Whether it is still in the queue.
    pub fn waits(&self) -> bool {
        self.0.load(Ordering::Acquire) == Ticket::WAITS
    }
}

enum Job {
    Command {
        command: Command,
        reply: oneshot::Sender<Result<Response, AtError>>,
        ticket: Ticket,
    },
    Terminal(TerminalJob),
}

/// What an AT port tells the modem's actor.
#[derive(Debug)]
pub enum AtEvent {
    /// An unsolicited result code.
    Unsolicited(Unsolicited),
    /// A command of the broker's own got no final result code; the session resynchronises. The command line, arguments left
    /// out.
    TimedOut(String),
    /// The modem does not answer; this many probes went unanswered.
    Unresponsive(u32),
    /// It answers again.
    Resynchronised,
    /// A terminal has ended, and what the broker relies on is set again.
    TerminalEnded,
    /// The port is gone.
    Closed(String),
}

type Lanes = [mpsc::Sender<Job>; 3];

/// Asks an AT port. Cheap to clone. What it asks can be led to another port while it is in use: every clone follows.
#[derive(Clone, Debug)]
pub struct AtHandle {
    role: PortRole,
    route: Arc<RwLock<Lanes>>,
}

impl AtHandle {
    /// What this handle is for. The port behind it may be another one.
    pub fn role(&self) -> PortRole {
        self.role
    }

    /// Runs a command and waits for its final result code. Waits first for whatever is ahead of it in its lane.
    pub async fn execute(&self, lane: Lane, command: Command) -> Result<Response, AtError> {
        self.execute_with(lane, command, Ticket::default()).await
    }

    /// The same for a command that may be withdrawn while it waits.
    pub async fn execute_with(&self, lane: Lane, command: Command, ticket: Ticket) -> Result<Response, AtError> {
        let (reply, response) = oneshot::channel();
        let lane = self.lanes()[lane as usize].clone();
        lane.send(Job::Command { command, reply, ticket })
            .await
            .map_err(|_| AtError::Closed)?;
        response.await.unwrap_or(Err(AtError::Closed))
    }

    /// Opens a terminal when the port is free. `stop` ends it; `afterwards` runs before any other command gets the port.
    pub async fn open_terminal(
        &self,
        idle: Duration,
        stop: oneshot::Receiver<TerminalEnd>,
        afterwards: Vec<Command>,
    ) -> Result<Terminal, AtError> {
        self.borrow(Purpose::Talk { idle }, stop, afterwards).await
    }

    /// Opens the port for a data call when it is free; the same, without an end by silence and without a trace.
    pub async fn open_data_call(&self, stop: oneshot::Receiver<TerminalEnd>) -> Result<Terminal, AtError> {
        self.borrow(Purpose::Data, stop, Vec::new()).await
    }

    async fn borrow(
        &self,
        purpose: Purpose,
        stop: oneshot::Receiver<TerminalEnd>,
        afterwards: Vec<Command>,
    ) -> Result<Terminal, AtError> {
        let (mut terminal, job) = terminal::pair(purpose, stop, afterwards);
        let lane = self.lanes()[Lane::Normal as usize].clone();
        lane.send(Job::Terminal(job)).await.map_err(|_| AtError::Closed)?;
        // The first piece is empty and says that it is open.
        terminal.output.recv().await.ok_or(AtError::Closed)?;
        Ok(terminal)
    }

    fn lanes(&self) -> Lanes {
        self.route.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The actor's hold on a port that is open: the way to it, and its end.
pub struct AtPort {
    lanes: Lanes,
    stop: oneshot::Sender<Option<Command>>,
    task: JoinHandle<()>,
}

impl AtPort {
    /// Starts the task of a port.
    pub fn start(
        role: PortRole,
        modem: &str,
        port: OpenPort,
        config: Config,
        events: mpsc::Sender<(PortRole, AtEvent)>,
        trace: Trace,
    ) -> AtPort {
        let (urgent, urgent_jobs) = mpsc::channel(LANE_DEPTH);
        let (normal, normal_jobs) = mpsc::channel(LANE_DEPTH);
        let (background, background_jobs) = mpsc::channel(LANE_DEPTH);
        let (stop, stopped) = oneshot::channel();
        let task = AtTask {
            stream: port.stream,
            lock: port.lock,
            session: Session::new(config),
            lanes: [urgent_jobs, normal_jobs, background_jobs],
            stopped,
            events,
            trace,
            role,
            running: None,
            urgent: None,
        };
        AtPort {
            lanes: [urgent, normal, background],
            stop,
            task: supervisor::spawn("at port", modem, task.run()),
        }
    }

    /// A handle for a role that this port serves for now.
    pub fn handle(&self, role: PortRole) -> AtHandle {
        AtHandle {
            role,
            route: Arc::new(RwLock::new(self.lanes.clone())),
        }
    }

    /// Leads a handle, and every clone of it, to this port. What waits at the port behind it now stays there.
    pub fn serve(&self, handle: &AtHandle) {
        *handle.route.write().unwrap_or_else(PoisonError::into_inner) = self.lanes.clone();
    }

    /// Closes the port; whoever waits for it hears so. A last command is written first, for a module that may obey although
    /// it does not answer. Returns when the descriptor is closed, or after a while while the kernel still holds it.
    pub async fn close(self, last: Option<Command>) {
        // An error means that the task has ended by itself.
        let _ = self.stop.send(last);
        if tokio::time::timeout(STOP_LIMIT, self.task).await.is_err() {
            tracing::warn!("a port was not closed in time");
        }
    }
}

/// The task's side: the one owner of the descriptor.
struct AtTask {
    stream: Box<dyn PortStream>,
    lock: Option<PortLock>,
    session: Session,
    lanes: [mpsc::Receiver<Job>; 3],
    stopped: oneshot::Receiver<Option<Command>>,
    events: mpsc::Sender<(PortRole, AtEvent)>,
    trace: Trace,
    role: PortRole,
    running: Option<Running>,
    urgent: Option<Job>,
}

struct Running {
    id: CommandId,
    name: String,
    abortable: bool,
    /// Somebody typed it and chose its limit, so a time-out says nothing about the module.
    typed: bool,
    reply: oneshot::Sender<Result<Response, AtError>>,
}

enum Wake {
    Input(std::io::Result<usize>),
    Job(Job),
    Urgent(Job),
    /// Nobody waits for the command in flight any more.
    Abandoned,
    Deadline,
    Stopped(Option<Command>),
}

impl AtTask {
    /// Serves the port until it is stopped or dies, and closes it. The actor is told why it died.
    async fn run(mut self) {
        let died = match self.serve().await {
            Ok(last) => {
                if let Some(last) = last {
                    self.say_last(&last).await;
                }
                None
            }
            Err(reason) => Some(reason),
        };
        self.session.close();
        self.answer_running();
        let AtTask {
            stream,
            lock,
            events,
            role,
            ..
        } = self;
        super::close(OpenPort { stream, lock }).await;
        if let Some(reason) = died {
            // The actor may already be gone; then nobody has to know.
            let _ = events.send((role, AtEvent::Closed(reason))).await;
        }
    }

    /// Cancels a prompt that may be open, ends a line that may have begun, and writes the command.
    async fn say_last(&mut self, last: &Command) {
        let bytes = format!("\x1B\r{}\r", last.line);
        if let Err(reason) = self.write(bytes.as_bytes()).await {
            tracing::debug!(reason, "the last command could not be written");
        }
    }

    /// Tells whoever waits for the command in flight how it ended; nothing more is written.
    fn answer_running(&mut self) {
        while let Some(output) = self.session.poll_output() {
            if let Output::Finished { id, outcome } = output {
                self.finished(id, outcome);
            }
        }
    }

    async fn serve(&mut self) -> Result<Option<Command>, String> {
        let mut buffer = [0_u8; 4096];
        // Whatever an earlier owner left open (a prompt, half a line, a reply on its way) ends here.
        self.session.resynchronise(Instant::now().into_std());
        self.drain().await?;
        loop {
            let wake = self.wait(&mut buffer).await;
            let now = Instant::now().into_std();
            match wake {
                Wake::Stopped(last) => return Ok(last),
                Wake::Input(Ok(0)) => return Err("end of file: the device went away".to_owned()),
                Wake::Input(Ok(count)) => {
                    self.trace.record(self.role, Direction::FromModem, &buffer[..count]);
                    self.session.handle_input(now, &buffer[..count]);
                }
                Wake::Input(Err(error)) => return Err(format!("read: {error}")),
                Wake::Deadline => self.session.handle_timeout(now),
                Wake::Job(Job::Terminal(job)) => self.lend(job, &mut buffer).await?,
                Wake::Job(job) => self.start(job),
                Wake::Urgent(job) => {
                    self.urgent = Some(job);
                    if let Some(running) = self.running.as_ref().filter(|running| running.abortable) {
                        self.session.abort(now, running.id);
                    }
                }
                Wake::Abandoned => {
                    if let Some(running) = self.running.as_mut().filter(|running| running.abortable) {
                        // Once is enough.
                        running.abortable = false;
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

    /// Lends the port to a terminal, takes it back, and sets again what the broker relies on.
    async fn lend(&mut self, job: TerminalJob, buffer: &mut [u8]) -> Result<(), String> {
        if job.is_abandoned() {
            return Ok(());
        }
        let role = self.role;
        let loan = terminal::Loan {
            stream: &mut *self.stream,
            urgent: &mut self.lanes[Lane::Urgent as usize],
            role,
            trace: &self.trace,
            events: &self.events,
        };
        let ended = job.run(loan).await;
        tracing::info!(?role, end = ?ended.end, "a terminal has ended");
        self.urgent = self.urgent.take().or(ended.urgent);
        if let Some(problem) = ended.died {
            return Err(problem);
        }
        self.session.take_back(Instant::now().into_std());
        self.drain().await?;
        self.set_again(ended.afterwards, buffer).await?;
        self.tell(AtEvent::TerminalEnded).await;
        Ok(())
    }

    /// Runs commands before any lane is looked at. One that is refused was refused before; one that is not answered is the
    /// session's matter, which has begun to resynchronise and says so when that does not end.
    async fn set_again(&mut self, commands: Vec<Command>, buffer: &mut [u8]) -> Result<(), String> {
        for command in commands {
            while !self.session.is_ready() {
                self.turn(buffer).await?;
            }
            let line = command.line.clone();
            let (reply, mut outcome) = oneshot::channel();
            self.start(Job::Command {
                command,
                reply,
                ticket: Ticket::default(),
            });
            self.drain().await?;
            while self.running.is_some() {
                self.turn(buffer).await?;
            }
            match outcome.try_recv() {
                Ok(Ok(response)) if response.result.is_ok() => {}
                outcome => tracing::debug!(role = ?self.role, line, ?outcome, "not set again after a terminal"),
            }
        }
        Ok(())
    }

    /// Listens and keeps time, and takes no commands.
    async fn turn(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        let deadline = self.session.poll_timeout().map(Instant::from_std);
        tokio::select! {
            biased;
            read = self.stream.read(buffer) => {
                let count = read.map_err(|error| format!("read: {error}"))?;
                if count == 0 {
                    return Err("end of file: the device went away".to_owned());
                }
                self.trace.record(self.role, Direction::FromModem, &buffer[..count]);
                self.session.handle_input(Instant::now().into_std(), &buffer[..count]);
            }
            () = sleep_until(deadline) => self.session.handle_timeout(Instant::now().into_std()),
            () = self.events.closed() => return Err("nobody uses the port any more".to_owned()),
        }
        self.drain().await
    }

    async fn wait(&mut self, buffer: &mut [u8]) -> Wake {
        let ready = self.session.is_ready();
        let deadline = self.session.poll_timeout().map(Instant::from_std);
        let may_overtake = !ready && self.urgent.is_none();
        let [urgent, normal, background] = &mut self.lanes;
        let abandoned = abandoned(self.running.as_mut());
        tokio::select! {
            biased;
            // A sender that is gone means that the actor is: the port is not needed any more.
            last = &mut self.stopped => Wake::Stopped(last.unwrap_or(None)),
            result = self.stream.read(buffer) => Wake::Input(result),
            () = sleep_until(deadline) => Wake::Deadline,
            Some(job) = urgent.recv(), if ready || may_overtake => if ready { Wake::Job(job) } else { Wake::Urgent(job) },
            Some(job) = normal.recv(), if ready => Wake::Job(job),
            Some(job) = background.recv(), if ready => Wake::Job(job),
            () = abandoned => Wake::Abandoned,
        }
    }

    fn start(&mut self, job: Job) {
        let Job::Command { command, reply, ticket } = job else {
            return;
        };
        // Nobody waits for it any more and nothing of it reached the modem, so it is as if it had never been asked.
        if reply.is_closed() {
            return;
        }
        if !ticket.leave_queue(Ticket::BEGUN) {
            let _ = reply.send(Err(AtError::Withdrawn));
            return;
        }
        let name = command.line.split(['=', '?']).next().unwrap_or_default().to_owned();
        let abortable = command.abortable;
        let typed = command.expects == Expects::Any;
        match self.session.start(Instant::now().into_std(), command) {
            Ok(id) => {
                self.running = Some(Running {
                    id,
                    name,
                    abortable,
                    typed,
                    reply,
                })
            }
            // Unreachable while jobs are only taken from a ready session; answering is still better than dropping.
            Err(_) => {
                let _ = reply.send(Err(AtError::Closed));
            }
        }
    }

    async fn drain(&mut self) -> Result<(), String> {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit(bytes) => self.write(&bytes).await?,
                Output::Finished { id, outcome } => {
                    if let Some(command) = self.finished(id, outcome) {
                        self.tell(AtEvent::TimedOut(command)).await;
                    }
                }
                Output::Unsolicited(unsolicited) => self.tell(AtEvent::Unsolicited(unsolicited)).await,
                Output::Unresponsive { probes } => {
                    self.refuse_waiting();
                    self.tell(AtEvent::Unresponsive(probes)).await;
                }
                Output::Garbage { bytes } => {
                    tracing::debug!(role = ?self.role, bytes, "bytes that are no line were discarded")
                }
                Output::Resynchronised => self.tell(AtEvent::Resynchronised).await,
            }
        }
        Ok(())
    }

    /// Nobody is kept waiting for a port that hangs: nothing of what waits has reached the modem, and by the time it is asked
    /// again another port may serve it.
    fn refuse_waiting(&mut self) {
        let waiting = self
            .lanes
            .iter_mut()
            .flat_map(|lane| std::iter::from_fn(|| lane.try_recv().ok()));
        for job in self.urgent.take().into_iter().chain(waiting) {
            // A terminal hears so by losing its ends.
            if let Job::Command { reply, .. } = job {
                let _ = reply.send(Err(AtError::Closed));
            }
        }
    }

    /// Answers whoever waits. The name of the command if its time-out says something about the module.
    fn finished(&mut self, id: CommandId, outcome: Result<Response, Failure>) -> Option<String> {
        let running = self.running.take_if(|running| running.id == id)?;
        let timed_out = !running.typed && matches!(outcome, Err(Failure::TimedOut { .. }));
        let evidence = timed_out.then(|| running.name.clone());
        let outcome = match outcome {
            Ok(response) => Ok(response),
            Err(failure) => Err(AtError::Failed {
                command: running.name,
                failure,
            }),
        };
        let _ = running.reply.send(outcome);
        evidence
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.trace.record(self.role, Direction::ToModem, bytes);
        super::write_all(&mut *self.stream, bytes).await
    }

    /// A full queue makes the port wait: unread bytes stay in the kernel, nothing is lost.
    async fn tell(&mut self, event: AtEvent) {
        let _ = self.events.send((self.role, event)).await;
    }
}

/// Ends when nobody waits any more for a command that can be aborted: one that takes minutes would keep everybody else waiting
/// for nothing.
async fn abandoned(running: Option<&mut Running>) {
    match running.filter(|running| running.abortable) {
        Some(running) => running.reply.closed().await,
        None => std::future::pending().await,
    }
}
