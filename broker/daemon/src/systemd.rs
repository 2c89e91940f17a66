//! What the service manager is told: a log, readiness, a line of status, and that the broker makes progress.
//!
//! Outside systemd (no `NOTIFY_SOCKET`) nothing is sent and nobody is told.

use std::io::IsTerminal as _;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing_subscriber::EnvFilter;

use crate::modem::Modems;
use crate::resource::{ModemStatus, Stage};
use crate::watchdog::Watchdog;

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
        tracing::warn!(%error, "systemd could not be told how the broker is");
    }
}

/// The watchdog that systemd waits for (`WatchdogSec=`), if it does.
pub fn watchdog() -> Watchdog {
    match sd_notify::watchdog_enabled() {
        Some(limit) => Watchdog::new(limit / 4, || notify(NotifyState::Watchdog)),
        None => Watchdog::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
