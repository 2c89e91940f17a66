//! What the service manager is told: a log, readiness, a line of status, and that the broker makes progress.
//!
//! Outside systemd (no `NOTIFY_SOCKET`) nothing is sent and nobody is told.

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use crate::modem::Modems;
use crate::resource::{ModemStatus, Stage};

/// How often the line of status is brought up to date.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);

/// Begins to log to standard error. The journal stamps lines itself, and colours would be noise in it.
pub fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().init();
    } else {
        log.init();
    }
}

/// Says that the broker serves.
pub fn ready() {
    notify(NotifyState::Ready);
}

/// Says that the broker is on its way down.
pub fn stopping() {
    notify(NotifyState::Stopping);
}

/// Keeps the line of status (`systemctl status`) up to date; never ends.
pub async fn keep_told(modems: Modems) {
    let mut told = String::new();
    loop {
        let now = status_line(modems.iter().map(|modem| modem.snapshot().status));
        if now != told {
            notify(NotifyState::Status(&now));
            told = now;
        }
        tokio::time::sleep(STATUS_INTERVAL).await;
    }
}

fn status_line(modems: impl Iterator<Item = ModemStatus>) -> String {
    let describe = |modem: ModemStatus| match modem.stage {
        Stage::Ready => format!("{}: ready", modem.name),
        stage if modem.stage_detail.is_empty() => format!("{}: {}", modem.name, stage.name()),
        stage => format!("{}: {} ({})", modem.name, stage.name(), modem.stage_detail),
    };
    modems.map(describe).collect::<Vec<_>>().join("; ")
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// Pets systemd's watchdog (`WatchdogSec=`) when everyone who has to make progress did, and not from a timer: a broker
/// whose modem actor hangs is restarted although its other tasks are well.
#[derive(Clone, Debug)]
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
    /// Reads from the environment whether systemd waits for pings, and how often.
    pub fn from_environment() -> Self {
        match sd_notify::watchdog_enabled() {
            Some(limit) => Self::new(limit / 4, || notify(NotifyState::Watchdog)),
            None => Self { shared: None },
        }
    }

    fn new(spacing: Duration, ping: fn()) -> Self {
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

    #[test]
    fn the_line_of_status_names_every_modem() {
        let modem = |name: &str, stage, detail: &str| ModemStatus {
            name: name.into(),
            stage,
            stage_detail: detail.into(),
            ..ModemStatus::default()
        };
        let modems = [
            modem("sim1", Stage::Ready, ""),
            modem("sim2", Stage::Absent, "no SIM7600 on USB"),
        ];
        assert_eq!(
            status_line(modems.into_iter()),
            "sim1: ready; sim2: absent (no SIM7600 on USB)"
        );
    }
}
