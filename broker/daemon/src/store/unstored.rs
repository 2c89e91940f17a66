//! What could not be stored and concerns people now: a call must reach those who listen also when the disk is full.
//!
//! Such an event is told to live watches only, with the sequence 0, and is kept nowhere. A live call is known here until it is
//! over or can be stored.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::Store;
use crate::resource::{Call, CallState, Change, Event, Sequence};
use crate::tail::{Reader, Tail};

/// Events that a slow watch may fall behind.
const TOLD: usize = 256;

/// What is not on disk.
pub(super) struct Unstored {
    calls: Mutex<BTreeMap<String, Call>>,
    told: Tail<Event>,
}

impl Default for Unstored {
    fn default() -> Self {
        Self {
            calls: Mutex::default(),
            told: Tail::new(TOLD),
        }
    }
}

impl Unstored {
    /// The calls, as they are.
    pub(super) fn calls(&self) -> MutexGuard<'_, BTreeMap<String, Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Tells a change that could not be stored to whoever listens just now.
    pub fn tell_unstored(&self, modem: &str, change: Change) {
        if let Change::Call(call) = &change {
            let mut calls = self.unstored.calls();
            if call.state == CallState::Disconnected {
                calls.remove(&call.id);
            } else {
                calls.insert(call.id.clone(), call.clone());
            }
        }
        let event = Event {
            sequence: Sequence(0),
            time: Timestamp::now(),
            modem: modem.to_owned(),
            change,
        };
        self.unstored.told.push(event, 1);
    }

    /// Events that cannot be stored, from now on.
    pub fn unstored(&self) -> Reader<Event> {
        self.unstored.told.from_now()
    }
}
