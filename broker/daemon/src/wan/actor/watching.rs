//! What the policy is told of: links, the modem, the data that it carried, calls and messages.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{WanActor, bounded};
use crate::modem::Snapshot;
use crate::refusal::Refusal;
use crate::resource::{BearerState, CallState, Change, ChangeKind, MessageState, Persistence};
use crate::store::Filter;
use crate::wan::policy::{Backup, Input, Link};
use crate::wan::survey::{self, Seen};

/// A storm of messages makes the internet important once.
const TRIGGER_PAUSE: Duration = Duration::from_secs(5);

/// Events that are read at once.
const BATCH: usize = 64;

impl WanActor {
    pub(super) async fn look_at_links(&mut self) {
        let seen = match bounded(survey::survey).await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(%error, "could not read the state of the network interfaces");
                return;
            }
        };
        let modems = BTreeSet::from([self.snapshots.borrow().bearer.interface.clone()]);
        let before = self.primary.take();
        let name = before.as_ref().map_or("", |seen| seen.name.as_str());
        let found = survey::primary(&seen, self.config.primary.as_deref(), name, &modems, &self.sysfs);
        self.primary = found.cloned();
        let counted = |seen: &Seen| Seen {
            octets: (0, 0),
            ..seen.clone()
        };
        if self.primary.as_ref().map(counted) != before.as_ref().map(counted) {
            let link = self.primary.as_ref().map_or(Link::Absent, Seen::link);
            self.feed(Input::Link(link)).await;
        }
        self.lead_again().await;
    }

    /// Why the modem cannot be connected now, if it cannot.
    fn obstacle(&self, snapshot: &Snapshot) -> Option<String> {
        let Snapshot { bearer, network, .. } = snapshot;
        match bearer.state {
            BearerState::NotReady => Some(bearer.detail.clone()),
            // What carries packets is not asked whether it may.
            BearerState::Connected => None,
            _ if !network.is_registered() => Some("the modem is not registered with a network".to_owned()),
            _ if network.is_roaming() && !self.roaming => Some(Refusal::RoamingNotAllowed.to_string()),
            _ => None,
        }
    }

    pub(super) async fn look_at_modem(&mut self) {
        let snapshot = self.snapshots.borrow_and_update().clone();
        let bearer = &snapshot.bearer;
        let connected = bearer.state == BearerState::Connected;
        if self.policy.backup() == Backup::Up && !connected {
            self.backup_detail.clone_from(&bearer.detail);
            let persistent = bearer.persistence == Some(Persistence::Permanent);
            self.feed(Input::Lost(persistent)).await;
        }
        let obstacle = self.obstacle(&snapshot);
        let ready = obstacle.is_none();
        if let Some(obstacle) = obstacle {
            self.backup_detail = obstacle;
        }
        if ready == (self.policy.backup() == Backup::NotReady) {
            if ready {
                self.backup_detail.clear();
            }
            self.feed(Input::Ready(ready)).await;
        }
        self.lead_again().await;
    }

    pub(super) async fn look_at_usage(&mut self) {
        let used = *self.usage.borrow_and_update();
        let capped = self.config.cap.is_some_and(|cap| used.downlink + used.uplink >= cap);
        if capped != self.policy.capped() {
            self.feed(Input::Capped(capped)).await;
        }
    }

    /// A call that rings and a message that came make the internet important.
    pub(super) async fn look_at_events(&mut self) {
        self.doorbell.borrow_and_update();
        let filter = Filter {
            kinds: Some(vec![ChangeKind::Call, ChangeKind::Message]),
            modems: Vec::new(),
        };
        let batch = match self.store.events_after(self.cursor, BATCH, &filter).await {
            Ok(batch) => batch,
            Err(_) => {
                // What was deleted meanwhile is of no interest any more.
                self.cursor = self.store.latest();
                return;
            }
        };
        self.cursor = batch.cursor;
        let important = batch.events.iter().any(|event| match &event.change {
            Change::Call(call) => call.state == CallState::Incoming,
            Change::Message(message) => message.state == MessageState::Received,
            _ => false,
        });
        if !batch.caught_up {
            // More is there; the doorbell rang for it already.
            self.doorbell.mark_changed();
        }
        let now = Instant::now();
        let soon = self.last_trigger.is_some_and(|last| now < last + TRIGGER_PAUSE);
        if important && !soon {
            self.last_trigger = Some(now);
            self.feed(Input::Triggered).await;
        }
    }
}
