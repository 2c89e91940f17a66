//! The actor of one modem.
//!
//! One task owns everything that is known of a modem. Each turn takes one thing that happened (a request, something a port
//! said, work that finished, a deadline), folds it in without waiting, and starts whatever work follows from it. Work is
//! `async fn` over an [`AtHandle`]; it runs inside the same task and reports back as a [`Done`].

mod bring_up;
mod calls;
mod link;
mod messages;
mod network;
mod recorder;
mod serving;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use crate::audio;
use crate::config::{ModemConfig, PortAddress, VoiceConfig};
use crate::port::at::AtError;
use crate::refusal::Refusal;
use crate::resource::{Call, Change, Health, ModemStatus, NetworkStatus, Port, PortRole, PortState, Sim, Stage};
use crate::store::Store;
use crate::systemd::Progress;
use recorder::Recorder;

pub use calls::{Attachment, CallUpdate};
pub use messages::{Composition, compose};
pub use recorder::Snapshot;

/// Requests that may wait for the actor before the next one is refused.
const REQUEST_DEPTH: usize = 64;

/// Tells two requests with the same `request_id` apart.
pub type ContentHash = [u8; 32];

/// How a request is answered.
pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// What can be asked of a modem.
pub enum Request {
    /// Dials.
    Dial {
        /// The number, validated.
        number: String,
        /// Makes the request repeatable.
        request_id: String,
        /// Hash of what was asked.
        content_hash: ContentHash,
        /// The call, dialing.
        reply: Reply<Call>,
    },
    /// Answers a ringing call.
    Answer {
        /// Which one; `None`: the only one.
        call_id: Option<String>,
        /// The call, active.
        reply: Reply<Call>,
    },
    /// Ends a call.
    HangUp {
        /// Which one; `None`: the only one.
        call_id: Option<String>,
        /// Only a ringing call, and it counts as rejected.
        reject: bool,
        /// The call, over.
        reply: Reply<Call>,
    },
    /// Sends tones.
    SendDtmf {
        /// Which call; `None`: the only one.
        call_id: Option<String>,
        /// The tones, validated.
        tones: String,
        /// When the module accepted them.
        reply: Reply<()>,
    },
    /// Attaches to a call's audio as its owner.
    Attach {
        /// Which call.
        call_id: String,
        /// Answers it first if it rings.
        answer: bool,
        /// How.
        options: audio::AttachOptions,
        /// The owner's end.
        reply: Reply<Attachment>,
    },
    /// Listens to a call.
    Monitor {
        /// Which call.
        call_id: String,
        /// The listener's end.
        reply: Reply<audio::Listener>,
    },
    /// A message was queued in the store.
    MessageQueued,
    /// Runs one AT command in the background lane.
    Execute {
        /// The command.
        command: ::modem::at::Command,
        /// What the modem said.
        reply: Reply<::modem::at::Response>,
    },
    /// Reads the network status from the modem.
    RefreshNetwork {
        /// The status.
        reply: Reply<NetworkStatus>,
    },
    /// Reads how full the message storages are.
    GetStorage {
        /// The storages.
        reply: Reply<Vec<StorageUse>>,
    },
}

/// How full a message storage of the modem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageUse {
    /// Its name.
    pub name: String,
    /// Places in use.
    pub used: u32,
    /// Places in all.
    pub total: u32,
}

/// Asks a modem. Cheap to clone.
#[derive(Clone)]
pub struct ModemHandle {
    name: Arc<str>,
    requests: mpsc::Sender<Request>,
    snapshot: watch::Receiver<Snapshot>,
}

impl ModemHandle {
    /// The configured name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is known without asking the modem.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// Asks and waits for the answer.
    pub async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(request(reply))
            .await
            .map_err(|_| Refusal::ShuttingDown)?;
        answer.await.unwrap_or(Err(Refusal::ShuttingDown))
    }

    /// Says that a message waits in the store. Losing this is harmless: a full queue means that the actor is busy, and it
    /// looks into the store again before it rests.
    pub fn message_queued(&self) {
        let _ = self.requests.try_send(Request::MessageQueued);
    }
}

/// Every modem of the broker, by name.
#[derive(Clone, Default)]
pub struct Modems(Arc<BTreeMap<String, ModemHandle>>);

impl Modems {
    /// Collects handles.
    pub fn new(handles: impl IntoIterator<Item = ModemHandle>) -> Self {
        Modems(Arc::new(
            handles
                .into_iter()
                .map(|handle| (handle.name().to_owned(), handle))
                .collect(),
        ))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &ModemHandle> {
        self.0.values()
    }

    /// The one of this name; with an empty name the only one.
    pub fn find(&self, name: &str) -> Result<&ModemHandle, Refusal> {
        let known = || self.0.keys().cloned().collect::<Vec<_>>().join(", ");
        if !name.is_empty() {
            return self.0.get(name).ok_or_else(|| Refusal::ModemNotFound {
                modem: name.to_owned(),
                known: known(),
            });
        }
        match self.0.values().next() {
            Some(only) if self.0.len() == 1 => Ok(only),
            Some(_) => Err(Refusal::Ambiguous {
                field: "modem",
                candidates: known(),
            }),
            None => Err(Refusal::ModemNotFound {
                modem: String::new(),
                known: "none".to_owned(),
            }),
        }
    }
}

/// What the actor is given.
pub struct Setup {
    /// The modem's part of the configuration.
    pub config: ModemConfig,
    /// How calls are treated.
    pub voice: VoiceConfig,
    /// Where discovery looks.
    pub sysfs: PathBuf,
    /// Where device nodes are.
    pub dev: PathBuf,
    /// Where port locks go.
    pub lock_directory: PathBuf,
    /// The store.
    pub store: Store,
    /// Told at every turn of the actor.
    pub progress: Progress,
}

/// Work that was started and reports back.
type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Work that finished.
enum Done {
    BringUp(Result<(), bring_up::BringUpError>),
    Call(calls::Done),
    Message(messages::Done),
    Network(Result<network::Reading, AtError>, Option<Reply<NetworkStatus>>),
    /// Work that answered for itself.
    Answered,
}

/// The actor's life-long part; what exists only while ports are open is in [`link::Link`].
pub struct ModemActor {
    setup: Setup,
    requests: mpsc::Receiver<Request>,
    recorder: Recorder,
    status: ModemStatus,
    sim: Sim,
    network: NetworkStatus,
    shutdown: watch::Receiver<bool>,
    /// Where the absence was told last, so that a lasting one is one event and not one a second.
    last_absence: String,
    /// USB paths of modems that turned out to have another IMEI than the configured one.
    rejected: BTreeSet<String>,
}

/// How long after a lost device the next look at the bus is taken.
const RESCAN: Duration = Duration::from_millis(500);

/// Ports that were open for less than this did not serve; the next try waits longer.
const SHORT_LIFE: Duration = Duration::from_secs(60);

/// Makes the handle, the actor and its recorder; the supervisor starts both tasks.
pub fn open(
    setup: Setup,
    shutdown: watch::Receiver<bool>,
) -> (ModemHandle, ModemActor, impl Future<Output = ()> + Send) {
    let (requests, receiver) = mpsc::channel(REQUEST_DEPTH);
    let now = Timestamp::now();
    let status = ModemStatus {
        name: setup.config.name.clone(),
        stage_detail: "starting".to_owned(),
        stage_time: now,
        health: Health::Failed,
        ..ModemStatus::default()
    };
    let (snapshot, watcher) = watch::channel(Snapshot {
        status: status.clone(),
        ..Snapshot::default()
    });
    let (recorder, task) = recorder::open(setup.store.clone(), setup.config.name.clone(), snapshot);
    let handle = ModemHandle {
        name: setup.config.name.as_str().into(),
        requests,
        snapshot: watcher,
    };
    let actor = ModemActor {
        setup,
        requests: receiver,
        recorder,
        status,
        sim: Sim::default(),
        network: NetworkStatus::default(),
        shutdown,
        last_absence: String::new(),
        rejected: BTreeSet::new(),
    };
    (handle, actor, task.run())
}

impl ModemActor {
    /// Lives until the shutdown: waits for the device, serves it, and starts over when it goes away.
    pub async fn run(mut self) {
        let mut pause = Duration::ZERO;
        let mut failures = 0_u32;
        loop {
            if self.stopped_while_absent(pause).await {
                return;
            }
            pause = RESCAN;
            let ports = match self.find_ports() {
                Ok(ports) => ports,
                Err(absence) => {
                    failures = 0;
                    self.tell_absent(absence).await;
                    continue;
                }
            };
            match link::Link::open(&self.setup, &ports).await {
                Ok(opened) => {
                    self.last_absence.clear();
                    let began = tokio::time::Instant::now();
                    let reason = serving::Serving::new(&mut self, ports, opened).run().await;
                    if *self.shutdown.borrow() {
                        return;
                    }
                    tracing::warn!(modem = self.status.name, reason, "the modem is gone");
                    // A module that is there and does not come up is not hammered.
                    failures = if began.elapsed() < SHORT_LIFE { failures + 1 } else { 0 };
                    pause = RESCAN * 2_u32.pow(failures.min(6));
                    self.tell_absent(Absence {
                        ports: Vec::new(),
                        detail: reason,
                    })
                    .await;
                }
                Err(absence) => self.tell_absent(absence).await,
            }
        }
    }

    /// Waits between two looks, refusing requests meanwhile. True at shutdown.
    async fn stopped_while_absent(&mut self, pause: Duration) -> bool {
        let until = tokio::time::Instant::now() + pause;
        loop {
            self.setup.progress.made();
            let request = tokio::select! {
                biased;
                _ = self.shutdown.wait_for(|stop| *stop) => return true,
                request = self.requests.recv() => request,
                () = tokio::time::sleep_until(until) => return false,
            };
            match request {
                Some(request) => self.refuse(request),
                None => return true,
            }
        }
    }

    fn refuse(&self, request: Request) {
        let refusal = || Refusal::ModemDisconnected {
            detail: self.status.health_reason.clone(),
        };
        match request {
            Request::Dial { reply, .. } | Request::Answer { reply, .. } | Request::HangUp { reply, .. } => {
                let _ = reply.send(Err(refusal()));
            }
            Request::SendDtmf { reply, .. } => drop(reply.send(Err(refusal()))),
            Request::Attach { reply, .. } => drop(reply.send(Err(refusal()))),
            Request::Monitor { reply, .. } => drop(reply.send(Err(refusal()))),
            Request::Execute { reply, .. } => drop(reply.send(Err(refusal()))),
            Request::RefreshNetwork { reply } => drop(reply.send(Err(refusal()))),
            Request::GetStorage { reply } => drop(reply.send(Err(refusal()))),
            Request::MessageQueued => {}
        }
    }

    fn find_ports(&mut self) -> Result<BTreeMap<PortRole, PortAddress>, Absence> {
        if let Some(ports) = &self.setup.config.ports {
            return Ok(ports.addresses().collect());
        }
        let mut devices = crate::device::scan(&self.setup.sysfs, &self.setup.dev);
        if let Some(path) = &self.setup.config.usb_path {
            devices.retain(|device| device.usb_path == *path);
        }
        let Some(first) = devices.first().cloned() else {
            self.rejected.clear();
            let place = self
                .setup
                .config
                .usb_path
                .as_ref()
                .map_or("on USB".to_owned(), |path| format!("at USB path {path}"));
            let detail = format!("no SIM7600 {place} (vendor 1e0e): is it plugged in and powered?");
            return Err(Absence {
                ports: Vec::new(),
                detail,
            });
        };
        // One that had the wrong IMEI is asked again only after all others: it may have been exchanged.
        let device = devices
            .into_iter()
            .find(|device| !self.rejected.contains(&device.usb_path))
            .unwrap_or_else(|| {
                self.rejected.clear();
                first
            });
        Ok(device
            .nodes
            .into_iter()
            .map(|(role, path)| (role, PortAddress::Path(path)))
            .collect())
    }

    async fn tell_absent(&mut self, absence: Absence) {
        if self.last_absence == absence.detail {
            return;
        }
        self.last_absence.clone_from(&absence.detail);
        self.status.ports = absence.ports;
        self.status.health = Health::Failed;
        self.status.health_reason = absence.detail.clone();
        self.network = NetworkStatus::default();
        self.enter(Stage::Absent, absence.detail).await;
    }

    /// Enters a stage, or tells more about the present one.
    async fn enter(&mut self, stage: Stage, detail: impl Into<String>) {
        let detail = detail.into();
        if self.status.stage != stage {
            self.status.stage = stage;
            self.status.stage_time = Timestamp::now();
            tracing::info!(modem = self.status.name, ?stage, detail, "stage");
        }
        self.status.stage_detail = detail;
        self.recorder.record(Change::Modem(self.status.clone())).await;
    }
}

/// Why a modem cannot be served now.
struct Absence {
    ports: Vec<Port>,
    detail: String,
}

/// A port in a state, as of now.
fn port(role: PortRole, address: &PortAddress, state: PortState, detail: String) -> Port {
    Port {
        role,
        state,
        path: address.to_string(),
        detail,
        state_time: Timestamp::now(),
    }
}
