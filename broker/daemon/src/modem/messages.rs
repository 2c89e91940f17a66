//! Short messages: from the module's storage into ours, and from our queue to the network.
//!
//! Receiving: announced places are read one after the other while those already read are being made durable; a place is freed
//! only after that. Sending: one message at a time, its parts in order; what may have reached the network is never sent again.

mod receiving;
mod sending;

use std::collections::VecDeque;
use std::time::Duration;

use ::modem::at::command::{self, Storage};
use ::modem::at::{Urc, reply};
use ::modem::sms::data_coding::Alphabet;
use tokio::sync::watch;
use tokio::time::Instant;

use self::receiving::Receiver;
use self::sending::Sender;
use super::{StorageUse, Work};
use crate::port::at::{AtHandle, Lane};
use crate::refusal::Refusal;
use crate::resource::{MessageEncoding, Sim};
use crate::store::Store;

pub use self::sending::{Composition, compose};

/// How often the whole storage is listed, for messages whose announcement was lost.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Work about messages that finished.
pub(super) enum Done {
    /// The batch of places was read.
    Received,
    /// The queue is empty, or it is to be looked at again after a pause.
    Sent(Option<Duration>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    storage: Storage,
    index: u16,
}

/// Something that arrived without being stored by the module.
struct Direct {
    pdu: String,
}

/// The messages of a modem while its ports are open.
pub(super) struct Messages {
    store: Store,
    modem: String,
    /// Names the SIM in identities, so that the same place on another card is another message.
    sim: String,
    at: AtHandle,
    places: VecDeque<Place>,
    direct: VecDeque<Direct>,
    /// Message commands work; before, the module would refuse them.
    usable: bool,
    sweep: bool,
    last_sweep: Instant,
    receiving: bool,
    sending: bool,
    may_be_queued: bool,
    resume_sending: Option<Instant>,
    stopped: watch::Sender<bool>,
}

impl Messages {
    pub(super) fn new(store: Store, modem: String, at: AtHandle) -> Self {
        Messages {
            store,
            modem,
            sim: String::new(),
            at,
            places: VecDeque::new(),
            direct: VecDeque::new(),
            usable: false,
            sweep: false,
            last_sweep: Instant::now(),
            receiving: false,
            sending: false,
            may_be_queued: true,
            resume_sending: None,
            stopped: watch::Sender::new(false),
        }
    }

    /// Nothing more is sent: what is on its way may finish, the rest stays queued.
    pub(super) fn stop(&mut self) {
        self.stopped.send_replace(true);
        self.usable = false;
    }

    pub(super) fn set_sim(&mut self, sim: &Sim) {
        self.sim = if sim.iccid.is_empty() {
            sim.imsi.clone()
        } else {
            sim.iccid.clone()
        };
    }

    /// A message waits in the store.
    pub(super) fn queued(&mut self) {
        self.may_be_queued = true;
    }

    /// Message commands work from now on; what came while nobody listened is in the storage.
    pub(super) fn become_usable(&mut self) {
        self.usable = true;
        self.sweep = true;
    }

    /// The storage is to be listed, because announcements may have been lost.
    pub(super) fn sweep_due(&mut self) {
        self.sweep = self.usable;
    }

    pub(super) fn sweep_if_due(&mut self) {
        if self.usable && self.last_sweep.elapsed() >= SWEEP_INTERVAL {
            self.sweep = true;
        }
    }

    pub(super) fn urc(&mut self, urc: Urc) {
        match urc {
            Urc::MessageStored { storage, index } | Urc::StatusReportStored { storage, index } => {
                match storage_named(&storage) {
                    Some(storage) => self.places.push_back(Place { storage, index }),
                    None => self.sweep_due(),
                }
            }
            Urc::MessageDelivered { pdu, .. } | Urc::StatusReportDelivered { pdu, .. } => {
                self.direct.push_back(Direct { pdu })
            }
            Urc::StorageFull => {
                tracing::warn!(
                    modem = self.modem,
                    "the module's message storage is full; the network keeps what comes until it is emptied"
                );
                self.sweep_due();
            }
            Urc::SmsReady => self.sweep_due(),
            _ => {}
        }
    }

    /// Work that can be started now.
    pub(super) fn due(&mut self, registered: bool) -> Vec<Work> {
        let mut work: Vec<Work> = Vec::new();
        let something_came = self.sweep || !self.places.is_empty() || !self.direct.is_empty();
        if self.usable && !self.receiving && something_came {
            self.receiving = true;
            if std::mem::take(&mut self.sweep) {
                self.last_sweep = Instant::now();
                // The list shows the announced places as well.
                self.places.clear();
                work.push(self.receive(true));
            } else {
                work.push(self.receive(false));
            }
        }
        let resumed = self.resume_sending.is_none_or(|at| at <= Instant::now());
        if self.usable && registered && !self.sending && self.may_be_queued && resumed {
            self.sending = true;
            self.may_be_queued = false;
            self.resume_sending = None;
            let sender = Sender {
                store: self.store.clone(),
                modem: self.modem.clone(),
                at: self.at.clone(),
                stopped: self.stopped.subscribe(),
            };
            work.push(Box::pin(async move {
                super::Done::Message(Done::Sent(sender.send_queued().await))
            }));
        }
        work
    }

    fn receive(&mut self, sweep: bool) -> Work {
        let receiver = Receiver {
            store: self.store.clone(),
            modem: self.modem.clone(),
            sim: self.sim.clone(),
            at: self.at.clone(),
        };
        let places = std::mem::take(&mut self.places);
        let direct = std::mem::take(&mut self.direct);
        Box::pin(async move {
            receiver.receive(sweep, places, direct).await;
            super::Done::Message(Done::Received)
        })
    }

    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Received => self.receiving = false,
            Done::Sent(pause) => {
                self.sending = false;
                if let Some(pause) = pause {
                    self.may_be_queued = true;
                    self.resume_sending = Some(Instant::now() + pause);
                }
            }
        }
    }
}

fn storage_named(name: &str) -> Option<Storage> {
    [Storage::Module, Storage::Sim, Storage::Both, Storage::StatusReports]
        .into_iter()
        .find(|storage| storage.as_str() == name)
}

fn encoding(alphabet: Alphabet) -> MessageEncoding {
    match alphabet {
        Alphabet::Gsm7 => MessageEncoding::Gsm7,
        Alphabet::Data8 => MessageEncoding::Data,
        Alphabet::Ucs2 => MessageEncoding::Ucs2,
    }
}

/// How full the storages are.
pub(super) async fn storage(at: &AtHandle) -> Result<Vec<StorageUse>, Refusal> {
    let response = at.execute(Lane::Normal, command::message_storage_query()).await?;
    if !response.result.is_ok() {
        return Err(Refusal::refused("AT+CPMS?", &response.result));
    }
    let states = reply::storage_states(&response.lines).map_err(|_| Refusal::ModemProtocol {
        line: response.lines.join(" "),
    })?;
    let mut uses: Vec<StorageUse> = Vec::new();
    for state in states {
        let name = state.storage.unwrap_or_default();
        if !uses.iter().any(|known| known.name == name) {
            uses.push(StorageUse {
                name,
                used: u32::from(state.used),
                total: u32::from(state.capacity),
            });
        }
    }
    Ok(uses)
}
