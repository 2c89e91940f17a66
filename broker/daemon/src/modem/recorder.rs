//! The ordered way from the actor to the store.
//!
//! The actor must not wait for the disk, since a hang-up may be next; nobody may see a change before it is durable. So changes
//! go through a bounded queue to one task, which commits them in order and only then publishes the new snapshot and runs what
//! was waiting for the commit.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Snapshot;
use crate::figures::CallTotals;
use crate::resource::{Change, NetworkStatus};
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
                    "an event could not be stored"
                );
                self.store.tell_unstored(&self.modem, change.clone());
            }
            self.publish(change);
            if let Some(then) = then {
                then();
            }
        }
    }

    fn publish(&self, change: Change) {
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
