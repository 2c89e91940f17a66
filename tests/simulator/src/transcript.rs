//! What crossed the ports, kept in a ring; readers follow it with a position of their own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::control::{TranscriptEntry, Way};
use crate::core::Function;

/// Entries kept; a reader that is further behind misses the oldest.
const KEPT: usize = 65_536;

/// The ring and its doorbell. Clones share it.
#[derive(Debug, Clone)]
pub struct Transcript {
    entries: Arc<Mutex<VecDeque<TranscriptEntry>>>,
    newest: watch::Sender<u64>,
}

impl Default for Transcript {
    fn default() -> Self {
        Self {
            entries: Arc::default(),
            newest: watch::Sender::new(0),
        }
    }
}

impl Transcript {
    pub(crate) fn record(&self, at_ms: u64, port: Function, way: Way, bytes: &[u8]) {
        let number = *self.newest.borrow() + 1;
        let text = bytes.escape_ascii().to_string();
        let mut entries = self.lock();
        if entries.len() == KEPT {
            entries.pop_front();
        }
        entries.push_back(TranscriptEntry {
            number,
            at_ms,
            port,
            way,
            text,
        });
        drop(entries);
        self.newest.send_replace(number);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<TranscriptEntry>> {
        // Nothing panics while it holds the lock, and the entries are whole at any time.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, after: u64, port: Option<Function>, limit: usize) -> (Vec<TranscriptEntry>, u64) {
        let entries = self.lock();
        let mut next = after;
        let mut found = Vec::new();
        for entry in entries.iter().filter(|entry| entry.number > after) {
            if found.len() == limit {
                break;
            }
            next = entry.number;
            if port.is_none_or(|port| port == entry.port) {
                found.push(entry.clone());
            }
        }
        (found, next)
    }

    /// Entries after a position, waiting for the first one if there is none; and the position to ask after next.
    pub async fn follow(
        &self,
        after: u64,
        port: Option<Function>,
        limit: usize,
        wait: Duration,
    ) -> (Vec<TranscriptEntry>, u64) {
        let deadline = tokio::time::Instant::now() + wait;
        let mut doorbell = self.newest.subscribe();
        let mut position = after;
        loop {
            doorbell.borrow_and_update();
            let (found, next) = self.read(position, port, limit.max(1));
            position = next;
            if !found.is_empty() {
                return (found, next);
            }
            match tokio::time::timeout_at(deadline, doorbell.changed()).await {
                Ok(Ok(())) => {}
                _ => return (Vec::new(), position),
            }
        }
    }
}
