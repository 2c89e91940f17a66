//! The newest events, in memory: a thousand watches that wait for the same event cost no read of the disk each.
//!
//! Only what is durable comes here, after the commit and before the doorbell. It is the same that the disk would give; what
//! is older is read from there.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::journal::{Batch, Filter, Most};
use crate::resource::{Event, Sequence};

/// Events that are kept.
const EVENT_LIMIT: usize = 256;
/// What they take in the journal, in octets, which is about what they take here.
const OCTET_LIMIT: usize = 256 * 1024;

/// An event that was appended, and its size in the journal.
#[derive(Debug)]
pub(super) struct Appended {
    pub(super) event: Event,
    pub(super) octets: usize,
}

/// The end of the journal.
#[derive(Debug)]
pub(super) struct Tail(Mutex<Recent>);

#[derive(Debug)]
struct Recent {
    /// All events after `after`, without a gap.
    events: VecDeque<Appended>,
    octets: usize,
    after: Sequence,
    latest: Sequence,
}

impl Tail {
    pub(super) fn new(latest: Sequence) -> Self {
        Self(Mutex::new(Recent {
            events: VecDeque::new(),
            octets: 0,
            after: latest,
            latest,
        }))
    }

    /// Takes what a commit appended, in order.
    pub(super) fn extend(&self, appended: Vec<Appended>) {
        let mut recent = self.recent();
        for appended in appended {
            recent.latest = appended.event.sequence;
            recent.octets += appended.octets;
            recent.events.push_back(appended);
        }
        while recent.events.len() > EVENT_LIMIT || recent.octets > OCTET_LIMIT {
            let Some(oldest) = recent.events.pop_front() else { break };
            recent.octets -= oldest.octets;
            recent.after = oldest.event.sequence;
        }
    }

    /// Forgets everything: what retention has deleted must not be seen any more.
    pub(super) fn clear(&self) {
        let mut recent = self.recent();
        recent.events.clear();
        recent.octets = 0;
        recent.after = recent.latest;
    }

    /// No more than so many events after `cursor`. `None`: the journal has to say.
    pub(super) fn events_after(&self, cursor: Sequence, most: Most, filter: &Filter) -> Option<Batch> {
        let recent = self.recent();
        if cursor < recent.after || cursor > recent.latest {
            return None;
        }
        let from = recent
            .events
            .partition_point(|appended| appended.event.sequence <= cursor);
        let (mut events, mut octets) = (Vec::<Event>::new(), 0);
        let mut considered = recent.latest;
        let matching = recent.events.range(from..);
        for appended in matching.filter(|appended| filter.lets_pass(&appended.event)) {
            if most.is_exceeded_by(events.len(), octets, appended.octets) {
                considered = events.last().map_or(cursor, |last| last.sequence);
                break;
            }
            octets += appended.octets;
            events.push(appended.event.clone());
        }
        Some(Batch {
            events,
            octets,
            cursor: considered,
            caught_up: considered == recent.latest,
        })
    }

    /// A panic leaves nothing half changed that is read afterwards: events are pushed and popped whole.
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
