//! How much data a modem carried in the current period, counted by the kernel at its interface. It is looked at once a minute
//! while the bearer is connected and when it ends; the modem is not asked.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use tokio::sync::watch;

use super::actor::bounded;
use super::survey;
use crate::modem::Snapshot;
use crate::resource::{BearerState, DataUsage};
use crate::store::{Counters, Store};

/// How often the counters are looked at. What a power cut makes forget is at most what went in this time.
const INTERVAL: Duration = Duration::from_secs(60);

/// The period that an instant is in: it begins at midnight UTC on this day of the month.
pub fn period_start(now: Timestamp, day: i8) -> Timestamp {
    let today = now.to_zoned(TimeZone::UTC).date();
    let in_month_of = |date: Date| {
        let last = date.last_of_month().day();
        date.with().day(day.clamp(1, last)).build().unwrap_or(date)
    };
    let this = in_month_of(today);
    let start = if this <= today {
        this
    } else {
        in_month_of(today.first_of_month().saturating_sub(1.day()))
    };
    start.to_zoned(TimeZone::UTC).map_or(now, |start| start.timestamp())
}

/// Looks at the counters of an interface, adds what came since the last look, and says what the period's total is.
pub async fn count(store: &Store, modem: &str, interface: &str, day: i8) -> DataUsage {
    let name = interface.to_owned();
    let seen = bounded(survey::survey).await.unwrap_or_default();
    let counters = seen.into_iter().find(|seen| seen.name == name);
    let counters = counters.map(|seen| Counters {
        interface: seen.index,
        downlink: seen.octets.0,
        uplink: seen.octets.1,
    });
    let start = period_start(Timestamp::now(), day);
    match store.count_data(modem, counters, start).await {
        Ok(usage) => usage,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not count the data used"
            );
            DataUsage {
                period_start: start,
                ..DataUsage::default()
            }
        }
    }
}

/// Counts while the bearer is connected; never ends.
pub async fn keep_counted(
    store: Store,
    modem: String,
    mut snapshots: watch::Receiver<Snapshot>,
    day: i8,
    usage: watch::Sender<DataUsage>,
) {
    let mut was_connected = false;
    loop {
        let bearer = snapshots.borrow_and_update().bearer.clone();
        let connected = bearer.state == BearerState::Connected;
        if connected || was_connected {
            let counted = count(&store, &modem, &bearer.interface, day).await;
            usage.send_if_modified(|known| std::mem::replace(known, counted) != counted);
        }
        was_connected = connected;
        let changed = async {
            // The actor's end outlives this task; without it nothing changes any more.
            if snapshots.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        if connected {
            let _ = tokio::time::timeout(INTERVAL, changed).await;
        } else {
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_begins_on_its_day_or_on_the_last_one_of_a_shorter_month() {
        for (now, day, start) in [
            ("2026-11-21T10:00:00Z", 1, "2026-11-01T00:00:00Z"),
            ("2026-11-21T10:00:00Z", 21, "2026-11-21T00:00:00Z"),
            ("2026-11-21T10:00:00Z", 22, "2026-10-22T00:00:00Z"),
            ("2026-03-05T10:00:00Z", 31, "2026-02-28T00:00:00Z"),
            ("2026-01-05T10:00:00Z", 10, "2025-12-10T00:00:00Z"),
            ("2026-02-28T23:59:59Z", 31, "2026-02-28T00:00:00Z"),
        ] {
            let now: Timestamp = now.parse().unwrap();
            assert_eq!(period_start(now, day).to_string(), start, "{now} {day}");
        }
    }
}
