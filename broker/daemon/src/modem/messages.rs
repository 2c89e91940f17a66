//! Short messages: from the module's storage into ours, and from our queue to the network.
//!
//! Receiving: announced places are read one after the other while those already read are being made durable; a place is freed
//! only after that. Sending: one message at a time, its parts in order; what may have reached the network is never sent again.
//!
//! # In
//!
//! A message that is shown again after a crash is recognised by its identity and its place, so equal messages at two
//! places stay two. If an equal message arrives in the same place and the deletion of the first was never confirmed, it
//! counts as new when it is unread or when the place was seen empty. One case is left: a broker that ends a second time
//! between reading such a message and storing it takes it for the first.
//!
//! All storages (ME, SR, SM) are emptied place by place, whatever was announced: at the start, every ten minutes, after
//! a port resynchronised, after a line that noise damaged, and when somebody asks how full they are. No list of a whole
//! storage is asked for. A pass that was cut short, or left something behind, is repeated after a second, then less and
//! less often. Only one pass at a time selects storages. A message that the module hands over without storing it
//! (`+CMT`, `+CDS`) is acknowledged after it is durable, where `AT+CSMS?` says so. A storage that stays above 70 % is a
//! degradation. Over the IMS nothing differs at AT level.
//!
//! # Out
//!
//! `SendMessage` returns after the message and its `request_id` are on disk; limits (`store::charge`) are counted in the
//! same transaction. The queue's order is a column: begun messages first, then priority, then age. A message with a time
//! waits for it; the actor sleeps until the next one, and compares the clock on the wall at each turn in case that was
//! set. The parts of a message go out over one radio link (`AT+CMMS=2`), each once. If a final result is lost after the
//! PDU went out, or an error does not say for certain that the network refused it (`sms::refusal` is the table), the
//! message is *outcome unknown*; a delivery report may settle it later. A report that overtakes its final result waits
//! in `early_report`.
//!
//! # Replacing
//!
//! 23.040 9.2.3.9 has a message with TP-PID 41 to 47 (hex) replace the earlier one of its kind and sender. Nothing is
//! destroyed here: the earlier one is marked with what replaced it, and lists leave it out unless asked.

mod assembly;
mod composition;
mod receiving;
mod sending;
mod storages;
#[cfg(test)]
mod tests;
mod voices;

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use cellular::at::Urc;
use cellular::at::command::Storage;
use cellular::qmi::wms;
use cellular::sms::data_coding::Alphabet;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use self::receiving::{Receiver, Report};
use self::sending::{Resume, Sender};
use self::voices::{Voice, Voices};
use super::{Reply, StorageUse, Work};
use crate::port::at::AtHandle;
use crate::refusal::Refusal;
use crate::resource::{MessageCoding, Sim};
use crate::store::Store;

pub use self::composition::{Composed, Content, Draft, Validity};
pub(super) use self::storages::indicate;

/// How often the storages are emptied without an announcement, for messages whose announcement was lost.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// When the storages are looked at again if something stayed there or could not be looked at: at first soon, and each time
/// it fails again half as often, down to the slow sweep.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Announced places that are remembered; beyond, the storages are emptied as a whole.
const PLACES_LIMIT: usize = 1000;

/// Messages that the module handed over and that wait for the store.
const DIRECT_LIMIT: usize = 1000;

/// Requests for the state of the storages that may wait for one sweep.
const WAITING_LIMIT: usize = 64;

/// Work about messages that finished.
pub(super) enum Done {
    /// What was there to receive was received.
    Received(Report),
    /// Nothing more is to be sent for now.
    Sent(Resume),
}

/// A place in a storage of the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    storage: Storage,
    index: u16,
}

/// Something that arrived without being stored by the module.
struct Direct {
    pdu: String,
    /// What the module says the TPDU has.
    length: u16,
}

/// The messages of a modem while its ports are open.
pub(super) struct Messages {
    store: Store,
    modem: String,
    /// Names the SIM in identities, so that the same place on another card is another message.
    sim: String,
    at: AtHandle,
    places: VecDeque<Place>,
    /// Which of two announcements of a message is the first.
    voices: Voices,
    direct: VecDeque<Direct>,
    /// Message commands work; before, the module would refuse them.
    usable: bool,
    sweep: bool,
    /// What the broker relies on is to be set again first.
    restores: bool,
    last_sweep: Instant,
    /// When what stayed in the module is fetched again.
    resume_receiving: Option<Instant>,
    /// How often in a row that was necessary.
    failed_sweeps: u32,
    /// Places that hold what is no message for us.
    foreign: HashSet<Place>,
    /// Places whose message does not come out whole.
    unreadable: HashSet<Place>,
    /// Places that the module said to have freed although they still hold their message.
    stuck: HashSet<Place>,
    /// How full the storages were when they were last emptied.
    storages: Vec<StorageUse>,
    /// The module said that its storage is full, and it has not been emptied since.
    is_full: bool,
    /// Who waits for the state of the storages.
    waiting: Vec<Reply<Vec<StorageUse>>>,
    receiving: bool,
    sending: bool,
    may_be_queued: bool,
    resume_sending: Option<Instant>,
    /// When the next message is due that waits for its time. By the clock on the wall, which may be set meanwhile.
    scheduled: Option<Timestamp>,
    stopped: watch::Sender<bool>,
    held_back: watch::Sender<bool>,
}

impl Messages {
    pub(super) fn new(store: Store, modem: String, at: AtHandle) -> Self {
        Messages {
            store,
            modem,
            sim: String::new(),
            at,
            places: VecDeque::new(),
            voices: Voices::default(),
            direct: VecDeque::new(),
            usable: false,
            sweep: false,
            restores: false,
            last_sweep: Instant::now(),
            resume_receiving: None,
            failed_sweeps: 0,
            foreign: HashSet::new(),
            unreadable: HashSet::new(),
            stuck: HashSet::new(),
            storages: Vec::new(),
            is_full: false,
            waiting: Vec::new(),
            receiving: false,
            sending: false,
            may_be_queued: true,
            resume_sending: None,
            scheduled: None,
            stopped: watch::Sender::new(false),
            held_back: watch::Sender::new(false),
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

    /// Whether a message is on its way to the network.
    pub(super) fn is_sending(&self) -> bool {
        self.sending
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

    /// The SIM is gone, and its storage with it.
    pub(super) fn become_unusable(&mut self) {
        self.usable = false;
        self.sweep = false;
        self.is_full = false;
        self.resume_receiving = None;
        self.places.clear();
        self.foreign.clear();
        self.unreadable.clear();
        self.stuck.clear();
        self.storages.clear();
    }

    /// The storages are to be emptied, because announcements may have been lost.
    pub(super) fn sweep_due(&mut self) {
        self.sweep = self.usable;
    }

    /// The module may have restarted behind a port that never closed. Everything that the broker relies on is set again
    /// before the next message is read: in text mode its content would be lost.
    pub(super) fn settings_doubtful(&mut self) {
        self.restores |= self.usable;
        self.sweep_due();
    }

    /// The storages are to be looked at again soon. What fails again and again is tried less and less often.
    fn look_again(&mut self) {
        if self.resume_receiving.is_none() {
            self.resume_receiving = Some(Instant::now() + retry_pause(self.failed_sweeps));
            self.failed_sweeps += 1;
        }
    }

    pub(super) fn sweep_if_due(&mut self) {
        if self.usable && self.last_sweep.elapsed() >= SWEEP_INTERVAL {
            self.sweep = true;
        }
    }

    /// A line that nobody understands. Noise may have made it of an announcement.
    pub(super) fn unknown_line(&mut self, line: &str) {
        let damaged = line.contains(char::REPLACEMENT_CHARACTER);
        if self.usable && (damaged || line.contains("CMT") || line.contains("CDS")) {
            self.look_again();
        }
    }

    /// The module stored a message and tells of it by QMI. What comes before message commands work is found by the first
    /// sweep.
    pub(super) fn told_by_qmi(&mut self, storage: wms::Storage, index: u32) {
        let storage = match storage {
            wms::Storage::Sim => Storage::Sim,
            wms::Storage::Module => Storage::Module,
        };
        match u16::try_from(index) {
            Ok(index) if self.usable => self.announced(Place { storage, index }, Voice::Qmi),
            _ => self.sweep_due(),
        }
    }

    fn announced(&mut self, place: Place, voice: Voice) {
        if !self.voices.is_news(voice, &place, Instant::now()) {
            return;
        }
        if self.places.len() >= PLACES_LIMIT {
            return self.sweep_due();
        }
        self.places.push_back(place);
    }

    pub(super) fn urc(&mut self, urc: Urc) {
        match urc {
            Urc::MessageStored { storage, index } | Urc::StatusReportStored { storage, index } => {
                match storage_named(&storage) {
                    Some(storage) => self.announced(Place { storage, index }, Voice::At),
                    None => self.sweep_due(),
                }
            }
            Urc::MessageDelivered { .. } | Urc::StatusReportDelivered { .. } if self.direct.len() >= DIRECT_LIMIT => {
                // The store takes nothing and memory is finite. Where the module waits for acknowledgements the network
                // keeps it.
                tracing::error!(
                    modem = self.modem,
                    "lost a message that the module did not store: too many wait for the disk"
                );
            }
            Urc::MessageDelivered { pdu, length } | Urc::StatusReportDelivered { pdu, length } => {
                self.direct.push_back(Direct { pdu, length })
            }
            Urc::StorageFull => {
                tracing::warn!(
                    modem = self.modem,
                    "the module's message storage is full; the network keeps what comes until it is emptied"
                );
                self.is_full = true;
                self.sweep_due();
            }
            Urc::SmsReady => self.settings_doubtful(),
            _ => {}
        }
    }

    /// Answers with the state of the storages, after they were emptied. Only a pass of the receiver may select a storage: a
    /// deletion by another's index would hit the wrong message.
    pub(super) fn report_storages(&mut self, reply: Reply<Vec<StorageUse>>) {
        let refusal = if !self.usable {
            Refusal::ModemStarting {
                stage: crate::resource::Stage::Configuring,
                detail: "message commands do not work yet".to_owned(),
            }
        } else if self.waiting.len() >= WAITING_LIMIT {
            Refusal::ModemTimeout {
                command: "AT+CPMS".to_owned(),
            }
        } else {
            self.waiting.push(reply);
            self.sweep = true;
            return;
        };
        // Whoever asked may be gone.
        let _ = reply.send(Err(refusal));
    }

    /// Why a person should look at the module's storages.
    pub(super) fn storage_alarm(&self) -> Option<String> {
        if self.is_full {
            return Some(
                "the module's message storage is full and new messages wait in the network; it is being emptied"
                    .to_owned(),
            );
        }
        let stays = [
            storages::places_alarm(
                &self.unreadable,
                "cannot be read as a whole; it stays there and is read again: take the SIM out and look at it if this lasts",
            ),
            storages::places_alarm(
                &self.stuck,
                "is kept, and the module does not delete it although it says so: delete it by another means if this lasts",
            ),
            storages::alarm(&self.storages),
        ];
        let stays: Vec<String> = stays.into_iter().flatten().collect();
        (!stays.is_empty()).then(|| stays.join("; "))
    }

    /// When something is to be done that nothing announces.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if !self.usable {
            return None;
        }
        let receiving = self.resume_receiving.filter(|_| !self.receiving);
        let may_send = !*self.held_back.borrow() && !self.sending;
        let resumed = self.resume_sending.filter(|_| may_send && self.may_be_queued);
        let scheduled = self.scheduled.filter(|_| may_send).map(|time| {
            let left = time.duration_since(Timestamp::now()).max(jiff::SignedDuration::ZERO);
            Instant::now() + left.unsigned_abs()
        });
        [receiving, resumed, scheduled].into_iter().flatten().min()
    }

    /// Says whether the next message may begin. The one that is on its way goes on.
    pub(super) fn hold_back(&mut self, is: bool) {
        self.held_back
            .send_if_modified(|held| std::mem::replace(held, is) != is);
    }

    /// Work that can be started now.
    pub(super) fn due(&mut self) -> Vec<Work> {
        let now = Instant::now();
        let allowed = !*self.held_back.borrow();
        let mut work: Vec<Work> = Vec::new();
        if self.usable && self.resume_receiving.take_if(|at| *at <= now).is_some() {
            self.sweep = true;
        }
        let something_came = self.sweep || !self.places.is_empty() || !self.direct.is_empty();
        if self.usable && !self.receiving && something_came {
            work.push(self.receive());
        }
        if self.scheduled.take_if(|time| *time <= Timestamp::now()).is_some() {
            self.may_be_queued = true;
        }
        let resumed = self.resume_sending.is_none_or(|at| at <= now);
        if self.usable && allowed && !self.sending && self.may_be_queued && resumed {
            self.sending = true;
            self.may_be_queued = false;
            self.resume_sending = None;
            let sender = Sender {
                store: self.store.clone(),
                modem: self.modem.clone(),
                at: self.at.clone(),
                stopped: self.stopped.subscribe(),
                held_back: self.held_back.subscribe(),
            };
            work.push(Box::pin(async move {
                super::Done::Message(Done::Sent(sender.send_queued().await))
            }));
        }
        work
    }

    fn receive(&mut self) -> Work {
        self.receiving = true;
        let sweep = std::mem::take(&mut self.sweep);
        if sweep {
            self.last_sweep = Instant::now();
            self.resume_receiving = None;
            // The sweep finds the announced places as well.
            self.places.clear();
        }
        let receiver = Receiver {
            store: self.store.clone(),
            modem: self.modem.clone(),
            sim: self.sim.clone(),
            at: self.at.clone(),
            stuck: self.stuck.clone(),
        };
        let places = std::mem::take(&mut self.places);
        let direct = std::mem::take(&mut self.direct);
        let foreign = std::mem::take(&mut self.foreign);
        let restores = std::mem::take(&mut self.restores);
        Box::pin(async move {
            if restores {
                receiver.restore_settings().await;
            }
            let report = receiver.receive(sweep, places, direct, foreign).await;
            super::Done::Message(Done::Received(report))
        })
    }

    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Received(report) => self.received(report),
            Done::Sent(resume) => {
                self.sending = false;
                match resume {
                    Resume::WhenQueued => self.scheduled = None,
                    Resume::WhenAllowed => self.may_be_queued = true,
                    Resume::At(time) => self.scheduled = Some(time),
                    Resume::After(pause) => {
                        self.may_be_queued = true;
                        self.resume_sending = Some(Instant::now() + pause);
                    }
                }
            }
        }
    }

    fn received(&mut self, report: Report) {
        self.receiving = false;
        self.foreign = report.foreign;
        self.sweep |= report.unannounced;
        if report.kept_back > 0 || report.cut_short {
            self.look_again();
        } else if !report.storages.is_empty() {
            self.failed_sweeps = 0;
        }
        if report.storages.is_empty() {
            self.unreadable.extend(report.unreadable);
            self.stuck.extend(report.stuck);
            return;
        }
        self.is_full = false;
        self.storages = report.storages;
        // A sweep has looked at every place.
        self.unreadable.clear();
        self.stuck.clear();
        self.unreadable.extend(report.unreadable);
        self.stuck.extend(report.stuck);
        for reply in self.waiting.drain(..) {
            // Whoever asked may be gone.
            let _ = reply.send(Ok(self.storages.clone()));
        }
    }
}

/// How long after so many failures in a row the storages are looked at again.
fn retry_pause(failed: u32) -> Duration {
    RETRY_INTERVAL
        .saturating_mul(1_u32.checked_shl(failed).unwrap_or(u32::MAX))
        .min(SWEEP_INTERVAL)
}

fn storage_named(name: &str) -> Option<Storage> {
    [Storage::Module, Storage::Sim, Storage::Both, Storage::StatusReports]
        .into_iter()
        .find(|storage| storage.as_str() == name)
}

fn coding(alphabet: Alphabet) -> MessageCoding {
    match alphabet {
        Alphabet::Gsm7 => MessageCoding::Gsm7,
        Alphabet::Data8 => MessageCoding::Data,
        Alphabet::Ucs2 => MessageCoding::Ucs2,
    }
}
