//! Who has to make progress, so that a broker that hangs is restarted. A [`Watchdog`] that was not given a ping watches nobody.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Pings the service manager's watchdog when everyone who has to make progress did, and not from a timer: a broker
/// whose modem actor hangs is restarted although its other tasks are well.
#[derive(Clone, Debug, Default)]
pub struct Watchdog {
    shared: Option<Arc<Shared>>,
}

/// Tells the watchdog about one who has to make progress. Dropping it releases the watchdog from waiting for that one.
#[derive(Debug)]
pub struct Progress {
    shared: Option<Arc<Shared>>,
    id: u64,
}

#[derive(Debug)]
struct Shared {
    /// No ping is sent sooner than this after the last: progress may come a thousand times a second.
    spacing: Duration,
    ping: fn(),
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next_id: u64,
    watched: HashSet<u64>,
    /// Who has not made progress since the last ping.
    owing: HashSet<u64>,
    pinged: Instant,
}

impl Watchdog {
    /// Pings no sooner than this after the last ping: progress may come a thousand times a second.
    pub fn new(spacing: Duration, ping: fn()) -> Self {
        let state = State {
            next_id: 0,
            watched: HashSet::new(),
            owing: HashSet::new(),
            pinged: Instant::now(),
        };
        Self {
            shared: Some(Arc::new(Shared {
                spacing,
                ping,
                state: Mutex::new(state),
            })),
        }
    }

    /// Adds one who has to make progress from now on.
    pub fn watch(&self) -> Progress {
        let id = self.shared.as_ref().map_or(0, |shared| {
            let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.next_id += 1;
            let id = state.next_id;
            state.watched.insert(id);
            state.owing.insert(id);
            id
        });
        Progress {
            shared: self.shared.clone(),
            id,
        }
    }
}

impl Progress {
    /// Says that progress was made. Cheap enough for every turn of a loop, which also has to turn when nothing happens.
    pub fn made(&self) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.owing.remove(&self.id);
        let now = Instant::now();
        if state.owing.is_empty() && now.duration_since(state.pinged) >= shared.spacing {
            state.pinged = now;
            state.owing = state.watched.clone();
            drop(state);
            (shared.ping)();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.watched.remove(&self.id);
            state.owing.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static PINGS: AtomicUsize = AtomicUsize::new(0);

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_pinged_only_when_everyone_made_progress() {
        let watchdog = Watchdog::new(Duration::from_secs(10), || {
            PINGS.fetch_add(1, Ordering::Relaxed);
        });
        let pings = || PINGS.load(Ordering::Relaxed);
        let (one, other) = (watchdog.watch(), watchdog.watch());
        tokio::time::sleep(Duration::from_secs(11)).await;
        one.made();
        assert_eq!(pings(), 0, "the other one hangs");
        other.made();
        assert_eq!(pings(), 1);
        other.made();
        one.made();
        assert_eq!(pings(), 1, "too soon for another ping");
        tokio::time::sleep(Duration::from_secs(11)).await;
        other.made();
        assert_eq!(pings(), 2, "both made progress since the last ping");
        drop(one);
        tokio::time::sleep(Duration::from_secs(11)).await;
        other.made();
        assert_eq!(pings(), 3, "who is gone is not waited for");
    }
}
