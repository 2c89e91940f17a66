//! The ordered way from the actor to the store.
//!
//! The actor must not wait for the disk, since a hang-up may be next; nobody may see a change before it is durable. So changes
//! go through a bounded queue to one task, which commits them in order and only then publishes the new snapshot and runs what
//! was waiting for the commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Snapshot;
use crate::figures::CallTotals;
use crate::resource::{CallState, Change, Health, NetworkStatus};
use crate::store::Store;

/// Changes that may wait for the disk before the actor has to.
const DEPTH: usize = 1024;

enum Entry {
    /// Committed, then shown.
    Change(Box<Change>, Option<Box<dyn FnOnce() + Send>>),
    /// Shown only: newer measures, not worth an event.
    Shown(Box<NetworkStatus>),
}

/// The actor's end.
#[derive(Clone)]
pub(super) struct Recorder {
    entries: mpsc::Sender<Entry>,
}

/// The task's end.
pub(super) struct RecorderTask {
    entries: mpsc::Receiver<Entry>,
    store: Store,
    modem: String,
    snapshot: watch::Sender<Snapshot>,
    totals: Option<Arc<CallTotals>>,
    /// Calls that are told of, and whether they were answered.
    calls: BTreeMap<String, bool>,
}

pub(super) fn open(
    store: Store,
    modem: String,
    snapshot: watch::Sender<Snapshot>,
    totals: Option<Arc<CallTotals>>,
) -> (Recorder, RecorderTask) {
    let (entries, receiver) = mpsc::channel(DEPTH);
    (
        Recorder { entries },
        RecorderTask {
            entries: receiver,
            store,
            modem,
            snapshot,
            totals,
            calls: BTreeMap::new(),
        },
    )
}

impl Recorder {
    /// Hands a change over; returns as soon as it is queued.
    pub(super) async fn record(&self, change: Change) {
        self.record_then(change, None).await;
    }

    /// Hands a change over and runs something after it is durable.
    pub(super) async fn record_then(&self, change: Change, then: Option<Box<dyn FnOnce() + Send>>) {
        // The receiver lives as long as the supervisor's task; when it is gone the process is ending.
        let _ = self.entries.send(Entry::Change(Box::new(change), then)).await;
    }

    /// Shows a status that differs from the last event's in its measures alone. It takes its place among the changes, and
    /// costs no write to the disk.
    pub(super) async fn show(&self, network: NetworkStatus) {
        let _ = self.entries.send(Entry::Shown(Box::new(network))).await;
    }
}

impl RecorderTask {
    /// Commits what comes, in order, until every [`Recorder`] is gone.
    pub(super) async fn run(mut self) {
        while let Some(entry) = self.entries.recv().await {
            let (change, then) = match entry {
                Entry::Change(change, then) => (*change, then),
                Entry::Shown(network) => {
                    self.publish(Change::Network(*network));
                    continue;
                }
            };
            let result = match &change {
                Change::Call(call) => self.store.record_call(call.clone()).await,
                Change::Ussd(session) => self.store.record_ussd(session.clone()).await,
                other => self.store.append(&self.modem, other.clone()).await,
            };
            if let Err(error) = result {
                // The modem keeps working without its journal: a call must not end because a disk is full.
                tracing::error!(
                    modem = self.modem,
                    error = &error as &dyn std::error::Error,
                    "could not save an event; clients that watch now see it, later ones do not"
                );
                self.store.tell_unstored(&self.modem, change.clone());
            }
            self.publish(change);
            if let Some(then) = then {
                then();
            }
        }
    }

    /// The story of the modem for the log, in the words of its status: a line for each change of health and for what becomes of
    /// a call. No numbers.
    fn tell(&mut self, change: &Change) {
        let modem = &self.modem;
        match change {
            Change::Modem(status) => {
                let reason = &status.health_reason;
                match status.health {
                    health if health == self.snapshot.borrow().status.health => {}
                    Health::Ok => tracing::info!(modem, health = "OK", "the modem works"),
                    Health::Degraded => tracing::warn!(modem, health = "DEGRADED", reason, "the modem works in part"),
                    Health::Failed => tracing::error!(modem, health = "FAILED", reason, "the modem does not work"),
                }
            }
            Change::Call(call) => {
                let call_id = &call.id;
                let (answered, detail) = (call.answer_time.is_some(), &call.end_detail);
                match (call.state, self.calls.get(call_id)) {
                    (CallState::Disconnected, known) => {
                        let what = if known.is_some() {
                            "the call ended"
                        } else {
                            "why the call ended"
                        };
                        tracing::info!(modem, call_id, cause = ?call.end_cause, answered, detail, "{what}");
                        self.calls.remove(call_id);
                        return;
                    }
                    (_, None) => tracing::info!(modem, call_id, direction = ?call.direction, "a call began"),
                    (_, Some(false)) if answered => tracing::info!(modem, call_id, "the call was answered"),
                    (_, Some(_)) => {}
                }
                self.calls.insert(call_id.clone(), answered);
            }
            _ => {}
        }
    }

    fn publish(&mut self, change: Change) {
        self.tell(&change);
        if let (Change::Call(call), Some(totals)) = (&change, &self.totals) {
            totals.record(call);
        }
        self.snapshot.send_modify(|snapshot| match change {
            Change::Modem(status) => snapshot.status = status,
            Change::Sim(sim) => snapshot.sim = sim,
            Change::Network(network) => snapshot.network = network,
            Change::Bearer(bearer) => snapshot.bearer = bearer,
            Change::Message(_)
            | Change::Call(_)
            | Change::Ussd(_)
            | Change::Wan(_)
            | Change::Dtmf(_)
            | Change::Deleted(_) => {}
        });
    }
}
