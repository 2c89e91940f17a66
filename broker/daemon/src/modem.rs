//! The actor of one modem.
//!
//! One task owns everything that is known of a modem. Each turn takes one thing that happened (a request, something a port
//! said, work that finished, a deadline), folds it in without waiting, and starts whatever work follows from it. Work is
//! `async fn` over an [`AtHandle`]; it runs inside the same task and reports back as a [`Done`].

mod bearer;
mod bring_up;
mod calls;
mod composition;
mod handle;
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
pub mod settings;
mod sim;
mod terminal;
mod ussd;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::device::{Bus, Device, Sighting};
use crate::figures::CallTotals;
use crate::modem::settings::{ModemConfig, VoiceConfig};
use crate::port::at::AtError;
use crate::port::trace::Trace;
use crate::resource::{Bearer, Health, ModemStatus, NetworkStatus, Port, PortRole, Sim};
use crate::store::Store;
use crate::watchdog::Progress;
use composition::Switches;
use presence::port;
use recorder::Recorder;
use recovery::Recovery;

pub use handle::{
    Attachment, CallUpdate, ContentHash, ModemHandle, Modems, Monitored, RecoveryStatus, Reply, Request, Snapshot,
    StepCounter, StorageUse,
};
pub use location::Location;
pub use messages::{Composed, Content, Draft, Validity};
pub use network::SignalHistory;
pub use operators::technology_of;
pub use reliance::is_relied_on;
pub use services::{by_hand, refused as qmi_refused};
pub use sim::SimOperation;

/// Requests that may wait for the actor before the next one is refused.
const REQUEST_DEPTH: usize = 64;

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
