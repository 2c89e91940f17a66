//! What everybody else sees of a modem: the handle to ask it by, what can be asked, and the answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cellular::at::reply::FoundOperator;
use cellular::recovery::Step;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Location, SignalHistory, SimOperation};
use crate::audio;
use crate::port::terminal::Terminal;
use crate::port::trace::Trace;
use crate::refusal::Refusal;
use crate::resource::{AccessTechnology, Bearer, Call, Fix, Forwarding, ModemStatus, NetworkStatus, Sim, UssdSession};

/// Tells two requests with the same `request_id` apart.
pub type ContentHash = [u8; 32];

/// How a request is answered.
pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// Declares the requests, each once: what it is given and how it is answered. Every one of them has a `reply`.
macro_rules! requests {
    ($(#[$about:meta] $(#[$more:meta])* $name:ident { $($(#[$doc:meta])+ $field:ident: $type:ty,)+ },)+) => {
        /// What can be asked of a modem.
        pub enum Request {
            $(#[$about] $(#[$more])* $name { $($(#[$doc])+ $field: $type,)+ },)+
            /// A message was queued in the store. Nobody waits for an answer.
            MessageQueued,
        }

        impl Request {
            /// Answers that it cannot be done.
            pub(super) fn refuse(self, refusal: impl Fn() -> Refusal) {
                match self {
                    // Whoever asked may be gone.
                    $(Request::$name { reply, .. } => drop(reply.send(Err(refusal()))),)+
                    Request::MessageQueued => {}
                }
            }

            /// Whether whoever asked waits no more.
            pub(super) fn is_given_up(&self) -> bool {
                match self {
                    $(Request::$name { reply, .. } => reply.is_closed(),)+
                    Request::MessageQueued => false,
                }
            }
        }
    };
}

requests! {
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
        reply: Reply<Monitored>,
    },
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

/// What is known of a modem, every part of it already in the journal but for newer measures of the signal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The modem.
    pub status: ModemStatus,
    /// Its SIM.
    pub sim: Sim,
    /// The network.
    pub network: NetworkStatus,
    /// The data bearer.
    pub bearer: Bearer,
}

/// An owner's ends of a call.
pub struct Attachment {
    /// The call when it was attached.
    pub call: Call,
    /// Its audio.
    pub owner: audio::Owner,
    /// Its changes.
    pub updates: mpsc::Receiver<CallUpdate>,
}

/// A listener's ends of a call.
pub struct Monitored {
    /// Its audio.
    pub listener: audio::Listener,
    /// Its changes.
    pub updates: mpsc::Receiver<CallUpdate>,
}

/// What happens to a call besides its audio.
#[derive(Clone, Debug)]
pub enum CallUpdate {
    /// The call after a change, which is in the journal.
    Call(Box<Call>),
    /// A tone was received.
    Dtmf(char),
}

/// How the modem recovers, for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecoveryStatus {
    /// The step under way, or the one that is due next. [`None`] in it: everything was tried.
    pub current: Option<Option<Step>>,
    /// One for each step.
    pub counters: Vec<StepCounter>,
    /// When the next attempt is due.
    pub next_attempt: Option<Timestamp>,
    /// What shows that something is wrong.
    pub evidence: String,
    /// What is wrong and what will be tried.
    pub detail: String,
    /// System calls on ports that hang in the kernel, of all modems.
    pub hanging_calls: usize,
}

/// How often a step was used.
#[derive(Clone, Debug, PartialEq)]
pub struct StepCounter {
    /// The step.
    pub step: Step,
    /// Since the broker started.
    pub attempts: u64,
    /// How often service held afterwards.
    pub successes: u64,
    /// Uses left within the window.
    pub budget_left: u32,
    /// The last use.
    pub last: Option<Timestamp>,
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
    pub(super) name: Arc<str>,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) snapshot: watch::Receiver<Snapshot>,
    pub(super) recovery: watch::Receiver<RecoveryStatus>,
    pub(super) want_data: Arc<watch::Sender<bool>>,
    pub(super) location: Location,
    pub(super) trace: Trace,
    pub(super) signals: SignalHistory,
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
