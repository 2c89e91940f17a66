//! The actor of one modem.
//!
//! One task owns everything that is known of a modem. Each turn takes one thing that happened (a request, something a port
//! said, work that finished, a deadline), folds it in without waiting, and starts whatever work follows from it. Work is
//! `async fn` over an [`AtHandle`]; it runs inside the same task and reports back as a [`Done`].

mod bearer;
mod bring_up;
mod calls;
mod composition;
mod link;
mod location;
mod messages;
mod network;
mod operators;
mod port_map;
mod presence;
mod recorder;
mod recovery;
mod reliance;
mod services;
mod serving;
mod sim;
mod terminal;
mod ussd;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cellular::at::reply::FoundOperator;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::audio;
use crate::config::{ModemConfig, VoiceConfig};
use crate::device::{Bus, Device, Sighting};
use crate::metrics::CallTotals;
use crate::port::at::AtError;
use crate::port::terminal::Terminal;
use crate::port::trace::Trace;
use crate::refusal::Refusal;
use crate::resource::{
    AccessTechnology, Bearer, Call, Fix, Forwarding, Health, ModemStatus, NetworkStatus, Port, PortRole, Sim,
    UssdSession,
};
use crate::store::Store;
use crate::systemd::Progress;
use composition::Switches;
use presence::port;
use recorder::Recorder;
use recovery::Recovery;

pub use calls::{Attachment, CallUpdate};
pub use location::Location;
pub use messages::{Composed, Composition, Content, Validity};
pub use network::SignalHistory;
pub use operators::technology_of;
pub use recorder::Snapshot;
pub use recovery::{RecoveryStatus, StepCounter};
pub use reliance::is_relied_on;
pub use services::{by_hand, refused as qmi_refused};
pub use sim::{SimCode, SimOperation};

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
        /// An emergency number, which the configuration allows.
        emergency: bool,
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
    /// Puts a call on hold.
    Hold {
        /// Which one; `None`: the only one.
        call_id: Option<String>,
        /// The call, held.
        reply: Reply<Call>,
    },
    /// Takes a held call back.
    Resume {
        /// Which one; `None`: the only one.
        call_id: Option<String>,
        /// The call, active.
        reply: Reply<Call>,
    },
    /// Begins or ends the recording of a call.
    SetRecording {
        /// Which one; `None`: the only one.
        call_id: Option<String>,
        /// Begins.
        enabled: bool,
        /// The call.
        reply: Reply<Call>,
    },
    /// Asks the network for its call forwardings.
    GetForwarding {
        /// One for each reason.
        reply: Reply<Vec<Forwarding>>,
    },
    /// Sets a call forwarding.
    SetForwarding {
        /// As it is wanted.
        forwarding: Forwarding,
        /// As the network confirms it.
        reply: Reply<Forwarding>,
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
        /// The samples that the listener wants.
        rate: cellular::pcm::SampleRate,
        /// The listener's end.
        reply: Reply<audio::Listener>,
    },
    /// A message was queued in the store.
    MessageQueued,
    /// Starts a USSD session.
    StartUssd {
        /// The code, validated.
        code: String,
        /// Makes the request repeatable.
        request_id: String,
        /// Hash of what was asked.
        content_hash: ContentHash,
        /// The session with the network's answer.
        reply: Reply<UssdSession>,
    },
    /// Replies to the network in a USSD session.
    ReplyUssd {
        /// Which session.
        session_id: String,
        /// The reply.
        text: String,
        /// The session with the network's answer.
        reply: Reply<UssdSession>,
    },
    /// Cancels a USSD session.
    CancelUssd {
        /// Which session.
        session_id: String,
        /// The session, over.
        reply: Reply<UssdSession>,
    },
    /// Opens a terminal on the port of messages and status.
    OpenTerminal {
        /// How long nobody may say anything.
        idle: Duration,
        /// The terminal, once the port is free.
        reply: Reply<Terminal>,
    },
    /// Gets the last position of the GNSS receiver.
    GetFix {
        /// The position, if the receiver has one.
        reply: Reply<Option<Fix>>,
    },
    /// Runs one AT command in the background lane.
    Execute {
        /// The command.
        command: cellular::at::Command,
        /// What the modem said.
        reply: Reply<cellular::at::Response>,
    },
    /// Reads the network status from the modem.
    RefreshNetwork {
        /// The status.
        reply: Reply<NetworkStatus>,
    },
    /// Scans for operators. Dropping the answer aborts it.
    ScanOperators {
        /// What was found.
        reply: Reply<Vec<FoundOperator>>,
    },
    /// Selects an operator.
    SelectOperator {
        /// MCC and MNC, validated; `None`: the modem selects.
        plmn: Option<String>,
        /// In which technology; any if none.
        technology: Option<AccessTechnology>,
        /// The status afterwards.
        reply: Reply<NetworkStatus>,
    },
    /// Sets which technologies may be used.
    SetNetworkModes {
        /// These, the preferred one first; at least one.
        technologies: Vec<AccessTechnology>,
        /// The status afterwards.
        reply: Reply<NetworkStatus>,
    },
    /// Connects the data bearer. With a dynamic composition the module changes to the one for data if it has to, as soon as
    /// no message is on its way; a call refuses it. Data is wanted until [`Request::DisconnectBearer`].
    ConnectBearer {
        /// Access point name; the configured or the carrier's if none.
        apn: Option<String>,
        /// Whether everybody's packets may take it, behind other ways with a better metric.
        default_route: bool,
        /// The bearer, connected.
        reply: Reply<Bearer>,
    },
    /// Disconnects it. With a dynamic composition the module changes back to the one for calls.
    DisconnectBearer {
        /// The bearer, disconnected.
        reply: Reply<Bearer>,
    },
    /// Does something with the SIM that its PIN or PUK guards.
    OperateSim {
        /// What.
        operation: SimOperation,
        /// Also when one attempt is left.
        spend_last_attempt: bool,
        /// The SIM afterwards.
        reply: Reply<Sim>,
    },
    /// Switches the SIM off and on.
    RestartSim {
        /// The SIM, once it answers again.
        reply: Reply<Sim>,
    },
    /// Makes requests to QMI services, one after the other.
    AskQmi {
        /// These.
        requests: Vec<cellular::qmi::Request>,
        /// An answer for each.
        reply: Reply<Vec<Result<cellular::qmi::Response, Refusal>>>,
    },
    /// Reads how full the message storages are.
    CheckStorage {
        /// The storages.
        reply: Reply<Vec<StorageUse>>,
    },
    /// Resets the module.
    Reset {
        /// Also while a call is alive.
        force: bool,
        /// The modem, on its way down.
        reply: Reply<ModemStatus>,
    },
    /// Sets the phone functionality.
    SetFunctionality {
        /// Which.
        level: cellular::at::command::Functionality,
        /// The modem.
        reply: Reply<ModemStatus>,
    },
    /// Switches the USB composition.
    SwitchComposition {
        /// Its product id.
        product: u16,
        /// The modem, back in it.
        reply: Reply<ModemStatus>,
    },
}

impl Request {
    /// Answers that it cannot be done.
    fn refuse(self, refusal: impl Fn() -> Refusal) {
        match self {
            Request::Dial { reply, .. }
            | Request::Answer { reply, .. }
            | Request::HangUp { reply, .. }
            | Request::Hold { reply, .. }
            | Request::Resume { reply, .. }
            | Request::SetRecording { reply, .. } => {
                drop(reply.send(Err(refusal())));
            }
            Request::GetForwarding { reply } => drop(reply.send(Err(refusal()))),
            Request::SetForwarding { reply, .. } => drop(reply.send(Err(refusal()))),
            Request::SendDtmf { reply, .. } => drop(reply.send(Err(refusal()))),
            Request::Attach { reply, .. } => drop(reply.send(Err(refusal()))),
            Request::Monitor { reply, .. } => drop(reply.send(Err(refusal()))),
            Request::StartUssd { reply, .. } | Request::ReplyUssd { reply, .. } | Request::CancelUssd { reply, .. } => {
                drop(reply.send(Err(refusal())));
            }
            Request::OpenTerminal { reply, .. } => drop(reply.send(Err(refusal()))),
            Request::OperateSim { reply, .. } | Request::RestartSim { reply } => drop(reply.send(Err(refusal()))),
            Request::AskQmi { reply, .. } => drop(reply.send(Err(refusal()))),
            Request::GetFix { reply } => drop(reply.send(Err(refusal()))),
            Request::Execute { reply, .. } => drop(reply.send(Err(refusal()))),
            Request::ScanOperators { reply } => drop(reply.send(Err(refusal()))),
            Request::RefreshNetwork { reply }
            | Request::SelectOperator { reply, .. }
            | Request::SetNetworkModes { reply, .. } => drop(reply.send(Err(refusal()))),
            Request::CheckStorage { reply } => drop(reply.send(Err(refusal()))),
            Request::ConnectBearer { reply, .. } | Request::DisconnectBearer { reply } => {
                drop(reply.send(Err(refusal())));
            }
            Request::Reset { reply, .. }
            | Request::SetFunctionality { reply, .. }
            | Request::SwitchComposition { reply, .. } => drop(reply.send(Err(refusal()))),
            Request::MessageQueued => {}
        }
    }
}

impl Request {
    /// Whether whoever asked, for something that may have to wait, waits no more.
    fn is_given_up(&self) -> bool {
        match self {
            Request::OpenTerminal { reply, .. } => reply.is_closed(),
            Request::ScanOperators { reply } => reply.is_closed(),
            Request::SelectOperator { reply, .. } | Request::SetNetworkModes { reply, .. } => reply.is_closed(),
            Request::RestartSim { reply } => reply.is_closed(),
            Request::Reset { reply, .. }
            | Request::SetFunctionality { reply, .. }
            | Request::SwitchComposition { reply, .. } => reply.is_closed(),
            _ => false,
        }
    }
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
    recovery: watch::Receiver<RecoveryStatus>,
    want_data: Arc<watch::Sender<bool>>,
    location: Location,
    trace: Trace,
    signals: SignalHistory,
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

    /// Tells of every change of the [`Snapshot`].
    pub fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.clone()
    }

    /// How it recovers.
    pub fn recovery(&self) -> RecoveryStatus {
        self.recovery.borrow().clone()
    }

    /// Requests that the actor has not looked at yet.
    pub fn requests_waiting(&self) -> usize {
        self.requests.max_capacity() - self.requests.capacity()
    }

    /// Says whether the failover wants the modem as a way to the internet. With a dynamic composition the module changes to
    /// the one for data, if it has to, as soon as no call and no message is on its way; nobody waits for that here.
    pub fn want_data(&self, wanted: bool) {
        self.want_data.send_replace(wanted);
    }

    /// What its GNSS receiver says.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The recent measures of its signal.
    pub fn signals(&self) -> &SignalHistory {
        &self.signals
    }

    /// What crossed its ports.
    pub fn trace(&self) -> &Trace {
        &self.trace
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
    /// What is plugged in.
    pub bus: Bus,
    /// Where the drivers' settings are.
    pub sysfs: PathBuf,
    /// Where port locks go.
    pub lock_directory: PathBuf,
    /// Where carriers are looked up that the built-in table lacks.
    pub provider_info: PathBuf,
    /// The store.
    pub store: Store,
    /// Told at every turn of the actor.
    pub progress: Progress,
    /// Where what crosses the ports is kept.
    pub trace: Trace,
    /// What its calls come to, if anybody wants to know.
    pub totals: Option<Arc<CallTotals>>,
}

/// Work that was started and reports back.
type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Work that finished.
enum Done {
    BringUp(bring_up::BringUpError),
    Sim(Box<serving::SimOutcome>),
    /// What the port map holds now.
    PortMap(Option<String>),
    Call(calls::Done),
    Message(messages::Done),
    Bearer(bearer::Done),
    Service(services::Done),
    Network(Result<network::Reading, AtError>, Option<Reply<NetworkStatus>>),
    Recovery(recovery::Done),
    Composition(composition::Done),
    Ussd(ussd::Done),
    /// Work that answered for itself.
    Answered,
}

/// The actor's life-long part; what exists only while ports are open is in [`link::Link`].
pub struct ModemActor {
    setup: Setup,
    requests: mpsc::Receiver<Request>,
    recorder: Recorder,
    location: Location,
    status: ModemStatus,
    sim: Sim,
    network: NetworkStatus,
    signals: SignalHistory,
    bearer: Bearer,
    shutdown: watch::Receiver<bool>,
    /// Where the absence was told last, so that a lasting one is one event and not one a second.
    last_absence: String,
    seen: watch::Receiver<Vec<Sighting>>,
    /// The device whose ports are open, or were last.
    device: Option<Device>,
    /// Since when nothing that could be the modem is on the bus.
    absent_since: Option<Instant>,
    recovery: Recovery,
    /// Calls that wait for the ports to come back.
    carried: Option<calls::Carried>,
    recovery_status: watch::Sender<RecoveryStatus>,
    /// A port that hung; the next time the other one serves everything.
    avoided: Option<PortRole>,
    switches: Switches,
    want_data: watch::Receiver<bool>,
    /// The radio is off because somebody asked for it.
    radio_off: bool,
    /// The module restarts because somebody asked for it.
    restarting: bool,
    /// The last device that was there had ports which could not be opened.
    ports_refused: bool,
}

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
    let (recorder, task) = recorder::open(
        setup.store.clone(),
        setup.config.name.clone(),
        snapshot,
        setup.totals.clone(),
    );
    let (recovery_status, recovery) = watch::channel(RecoveryStatus::default());
    let (want_data, data_wanted) = watch::channel(false);
    let signals = SignalHistory::default();
    let location = Location::new(setup.config.gnss.enabled);
    let handle = ModemHandle {
        name: setup.config.name.as_str().into(),
        requests,
        snapshot: watcher,
        recovery,
        want_data: Arc::new(want_data),
        location: location.clone(),
        trace: setup.trace.clone(),
        signals: signals.clone(),
    };
    let actor = ModemActor {
        seen: setup.bus.subscribe(),
        device: None,
        absent_since: None,
        recovery: Recovery::new(&setup.config.name),
        recovery_status,
        avoided: None,
        carried: None,
        switches: Switches::default(),
        want_data: data_wanted,
        radio_off: false,
        restarting: false,
        setup,
        requests: receiver,
        recorder,
        location,
        status,
        sim: Sim::default(),
        network: NetworkStatus::default(),
        signals,
        bearer: Bearer::default(),
        shutdown,
        last_absence: String::new(),
        ports_refused: false,
    };
    (handle, actor, task.run())
}

/// Why a modem cannot be served now.
struct Absence {
    ports: Vec<Port>,
    detail: String,
    /// The kernel does not return from opening a port.
    hangs: bool,
}
