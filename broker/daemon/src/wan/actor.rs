//! The actor of the WAN: one task that watches the links, probes, connects the modem and leads the traffic.
//!
//! While the mode is off it waits for requests and does nothing else: no socket is open and nothing is probed.

mod leading;
mod probing;
mod status;
mod watching;

use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};

use super::claim::{Claim, Other};
use super::hook::{self, Told};
use super::name_server::NameServers;
use super::policy::{Action, Backup, Input, Link, Policy, Primary, Round};
use super::probe::{self, Report};
use super::survey::{Bell, Seen};
use crate::modem::{self, ModemHandle, Snapshot};
use crate::refusal::Refusal;
use crate::resource::{Bearer, BearerState, DataUsage, Persistence, Sequence, WanMode, WanRole, WanStatus};
use crate::store::Store;
use crate::supervisor::{Hung, SystemCalls};
use crate::wan::settings::WanConfig;

/// Requests that may wait.
const REQUEST_DEPTH: usize = 16;

/// The kernel answers in milliseconds, unless a driver holds the lock of all links.
const KERNEL_LIMIT: Duration = Duration::from_secs(10);

/// How a request is answered.
pub type Reply = oneshot::Sender<Result<WanStatus, Refusal>>;

/// What can be asked.
pub enum Request {
    /// Probe the primary now and say what came out.
    Check(Reply),
    /// Set how the modem's data is used.
    SetMode(WanMode, Reply),
    /// Force a WAN, or release it.
    Force(Option<WanRole>, Reply),
}

/// Asks the actor. Cheap to clone.
#[derive(Clone)]
pub struct WanHandle {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<WanStatus>,
}

impl WanHandle {
    /// What is known.
    pub fn status(&self) -> WanStatus {
        self.status.borrow().clone()
    }

    /// Asks and waits for the answer.
    pub async fn ask(&self, request: impl FnOnce(Reply) -> Request) -> Result<WanStatus, Refusal> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply)).await;
        sent.map_err(|_| Refusal::ShuttingDown)?;
        answer.await.unwrap_or(Err(Refusal::ShuttingDown))
    }
}

/// What the actor is given.
pub struct Setup {
    /// `[wan]`.
    pub config: WanConfig,
    /// The modem that is the backup.
    pub modem: ModemHandle,
    /// Whether its data may roam.
    pub roaming: bool,
    /// How much it carried.
    pub usage: watch::Receiver<DataUsage>,
    /// The store.
    pub store: Store,
    /// Where sysfs is mounted.
    pub sysfs: PathBuf,
    /// Where what has to survive is kept.
    pub state_directory: PathBuf,
}

/// Work that finished.
enum Done {
    Probed(u64, Report),
    BackupProbed(u64, Report),
    /// A check that the policy did not ask for.
    Checked(Report),
    Connected(Result<Bearer, Refusal>),
    Disconnected,
}

type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

/// The actor.
pub struct WanActor {
    config: WanConfig,
    modem: ModemHandle,
    roaming: bool,
    store: Store,
    sysfs: PathBuf,
    name_servers: NameServers,
    requests: mpsc::Receiver<Request>,
    snapshots: watch::Receiver<Snapshot>,
    usage: watch::Receiver<DataUsage>,
    doorbell: watch::Receiver<Sequence>,
    shutdown: watch::Receiver<bool>,
    cursor: Sequence,
    bell: Option<Bell>,
    policy: Policy,
    primary: Option<Seen>,
    work: FuturesUnordered<Work>,
    checks: Vec<Reply>,
    /// Checks of a primary that nobody watches.
    single_checks: Vec<Reply>,
    /// Whether the broker connected the bearer for the WAN, and not somebody who asked for it.
    owns_bearer: bool,
    last_trigger: Option<Instant>,
    /// Why the modem cannot be connected, or was not.
    backup_detail: String,
    /// What did not work when the traffic was led.
    leading_problem: String,
    /// What is led through the modem now.
    led: Option<super::route::Ways>,
    /// Held while something is.
    claim: Option<Claim>,
    /// Another broker leads the traffic of this machine, and keeps this one from what it wants to do.
    other: Option<Other>,
    /// What an earlier life left is still to be looked for.
    unclean: bool,
    status: watch::Sender<WanStatus>,
    /// What the last event said.
    told: WanStatus,
    hook: Option<mpsc::Sender<Told>>,
}

/// Makes the handle, the actor and the task of its hook; the supervisor starts them.
pub fn open(
    setup: Setup,
    shutdown: watch::Receiver<bool>,
) -> (WanHandle, WanActor, Option<impl Future<Output = ()> + Send>) {
    let (requests, receiver) = mpsc::channel(REQUEST_DEPTH);
    let (status, watcher) = watch::channel(WanStatus::default());
    let config = setup.config;
    let (hook, hook_task) = match config.hook.clone() {
        Some(program) => {
            let (sender, task) = hook::open(program, config.hook_timeout);
            (Some(sender), Some(task))
        }
        None => (None, None),
    };
    let handle = WanHandle {
        requests,
        status: watcher,
    };
    let seed = (uuid::Uuid::new_v4().as_u128() & u128::from(u32::MAX)) as u32;
    let actor = WanActor {
        policy: Policy::new(config.timing.clone(), Instant::now(), seed),
        name_servers: NameServers {
            file: config.resolv_conf.clone(),
            state_directory: setup.state_directory,
            configured: config.resolver,
        },
        snapshots: setup.modem.snapshots(),
        usage: setup.usage,
        doorbell: setup.store.doorbell(),
        cursor: setup.store.latest(),
        config,
        modem: setup.modem,
        roaming: setup.roaming,
        store: setup.store,
        sysfs: setup.sysfs,
        requests: receiver,
        shutdown,
        bell: None,
        primary: None,
        work: FuturesUnordered::new(),
        checks: Vec::new(),
        single_checks: Vec::new(),
        owns_bearer: false,
        last_trigger: None,
        backup_detail: String::new(),
        leading_problem: String::new(),
        led: None,
        claim: None,
        other: None,
        unclean: true,
        status,
        told: WanStatus::default(),
        hook,
    };
    (handle, actor, hook_task)
}

/// Runs what waits for the kernel or for a program, with a bound.
pub(super) async fn bounded<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Hung> + Send + 'static,
{
    static CALLS: SystemCalls = SystemCalls::new("wan");
    CALLS.run(KERNEL_LIMIT, work).await
}

enum Turn {
    Stop,
    Request(Request),
    LinkChanged(std::io::Result<()>),
    ModemChanged,
    Used,
    OtherGone,
    Happened,
    Done(Done),
    Due,
}

impl WanActor {
    /// Serves until the broker stops; then nothing of it is left on the machine.
    pub async fn run(mut self) {
        self.clean_up().await;
        if self.config.mode != WanMode::Off {
            self.set_mode(self.config.mode).await;
        }
        loop {
            match self.wait().await {
                Turn::Stop => break,
                turn => self.turn(turn).await,
            }
        }
        if self.led.is_some() {
            self.lead(WanRole::Primary).await;
        }
    }

    async fn wait(&mut self) -> Turn {
        let is_on = self.policy.mode() != WanMode::Off;
        let deadline = self.policy.deadline();
        let due = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let rung = async {
            match &self.bell {
                Some(bell) => bell.rung().await,
                None => std::future::pending().await,
            }
        };
        let other_gone = async {
            match &self.other {
                Some(other) => other.gone().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.shutdown.wait_for(|stop| *stop) => Turn::Stop,
            Some(request) = self.requests.recv() => Turn::Request(request),
            Some(done) = self.work.next(), if !self.work.is_empty() => Turn::Done(done),
            rung = rung => Turn::LinkChanged(rung),
            Ok(()) = self.snapshots.changed(), if is_on => Turn::ModemChanged,
            Ok(()) = self.doorbell.changed(), if is_on => Turn::Happened,
            Ok(()) = self.usage.changed(), if is_on => Turn::Used,
            () = other_gone => Turn::OtherGone,
            () = due => Turn::Due,
        }
    }

    async fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Stop => {}
            Turn::Request(request) => self.request(request).await,
            Turn::LinkChanged(Ok(())) => self.look_at_links().await,
            Turn::LinkChanged(Err(error)) => {
                tracing::warn!(%error, "lost the kernel's news of network interfaces; listening again");
                self.bell = self.listen();
                self.look_at_links().await;
            }
            Turn::ModemChanged => self.look_at_modem().await,
            Turn::Used => self.look_at_usage().await,
            Turn::OtherGone => self.other_gone().await,
            Turn::Happened => self.look_at_events().await,
            Turn::Done(done) => self.done(done).await,
            Turn::Due => self.feed(Input::Due).await,
        }
        self.publish().await;
        if !self.policy.is_probing() {
            for reply in std::mem::take(&mut self.checks) {
                let _ = reply.send(Ok(self.status.borrow().clone()));
            }
        }
    }

    fn listen(&self) -> Option<Bell> {
        match Bell::open() {
            Ok(bell) => Some(bell),
            Err(error) => {
                tracing::error!(%error, "no news of network interfaces from the kernel; only probes notice a failure");
                None
            }
        }
    }

    async fn request(&mut self, request: Request) {
        match request {
            Request::SetMode(mode, reply) => {
                self.set_mode(mode).await;
                self.publish().await;
                let _ = reply.send(Ok(self.status.borrow().clone()));
            }
            Request::Force(role, reply) => {
                if role.is_some() && self.policy.mode() == WanMode::Off {
                    let _ = reply.send(Err(Refusal::NotEnabled { key: "wan.mode" }));
                    return;
                }
                self.feed(Input::Force(role)).await;
                self.publish().await;
                let _ = reply.send(Ok(self.status.borrow().clone()));
            }
            Request::Check(reply) if self.policy.primary() == Primary::Unwatched => {
                self.single_checks.push(reply);
                self.look_at_links().await;
                let plan = self.plan(Round::Burst);
                self.work
                    .push(Box::pin(async move { Done::Checked(probe::round(plan).await) }));
            }
            Request::Check(reply) => {
                self.checks.push(reply);
                self.feed(Input::Triggered).await;
            }
        }
    }

    async fn set_mode(&mut self, mode: WanMode) {
        if mode == WanMode::Off {
            self.bell = None;
        } else if self.bell.is_none() {
            // Listening begins before the first look, so that nothing is missed in between.
            self.bell = self.listen();
            self.cursor = self.store.latest();
            self.look_at_links().await;
            self.look_at_modem().await;
            self.look_at_usage().await;
        }
        self.feed(Input::Mode(mode)).await;
    }

    async fn done(&mut self, done: Done) {
        match done {
            Done::Probed(round, report) => {
                self.keep_results(&report);
                self.feed(Input::Probed(round, report.finding)).await;
            }
            Done::Checked(report) => {
                self.keep_results(&report);
                let status = self.checked(&report);
                for reply in std::mem::take(&mut self.single_checks) {
                    let _ = reply.send(Ok(status.clone()));
                }
            }
            Done::BackupProbed(round, report) => {
                self.keep_results(&report);
                let answered = report.results.iter().any(|result| result.ok);
                self.feed(Input::BackupProbed(round, answered)).await;
            }
            Done::Connected(Ok(_)) => {
                self.backup_detail.clear();
                // The snapshot was published before the answer was given.
                self.feed(Input::Connected).await;
            }
            Done::Connected(Err(refusal)) => {
                let persistent = match &refusal {
                    Refusal::BearerFailed { persistence, .. } => *persistence == Persistence::Permanent,
                    Refusal::RoamingNotAllowed => true,
                    _ => false,
                };
                self.backup_detail = refusal.to_string();
                self.owns_bearer = false;
                tracing::warn!(error = %refusal, persistent, "could not connect the modem's data");
                self.feed(Input::NotConnected(persistent)).await;
            }
            Done::Disconnected => {}
        }
    }

    async fn feed(&mut self, input: Input) {
        let actions = self.policy.take(Instant::now(), input);
        tracing::debug!(?input, ?actions, primary = ?self.policy.primary(), backup = ?self.policy.backup(), "wan");
        for action in actions {
            self.carry_out(action).await;
        }
        self.modem.want_data(self.policy.wants_bearer());
    }

    async fn carry_out(&mut self, action: Action) {
        match action {
            Action::Probe(round, kind) => {
                let plan = self.plan(kind);
                self.work
                    .push(Box::pin(async move { Done::Probed(round, probe::round(plan).await) }));
            }
            Action::ProbeBackup(round) => {
                let plan = self.backup_plan();
                self.work.push(Box::pin(
                    async move { Done::BackupProbed(round, probe::round(plan).await) },
                ));
            }
            Action::Connect => self.connect(),
            Action::Disconnect => self.disconnect(),
            Action::Use(role) => self.lead(role).await,
        }
    }

    fn connect(&mut self) {
        self.owns_bearer = self.snapshots.borrow().bearer.state != BearerState::Connected;
        let modem = self.modem.clone();
        self.work.push(Box::pin(async move {
            let connect = |reply| modem::Request::ConnectBearer {
                apn: None,
                default_route: false,
                reply,
            };
            Done::Connected(modem.ask(connect).await)
        }));
    }

    fn disconnect(&mut self) {
        if !std::mem::take(&mut self.owns_bearer) {
            return;
        }
        let modem = self.modem.clone();
        self.work.push(Box::pin(async move {
            if let Err(refusal) = modem.ask(|reply| modem::Request::DisconnectBearer { reply }).await {
                tracing::debug!(%refusal, "the bearer was not disconnected");
            }
            Done::Disconnected
        }));
    }
}
