//! The data that modems carried, by period.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreError, stored_time};
use crate::resource::DataUsage;

/// What the kernel counted at an interface since it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// The interface's number; another one has counters of its own.
    pub interface: u32,
    /// Octets received.
    pub downlink: u64,
    /// Octets sent.
    pub uplink: u64,
}

/// SQLite's integers are signed; nobody carries more.
fn stored(octets: u64) -> i64 {
    i64::try_from(octets).unwrap_or(i64::MAX)
}

fn read(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// What was carried since the last look. Counters that are lower, or of another interface, began anew.
fn grown(before: Option<(u32, u64)>, interface: u32, now: u64) -> u64 {
    match before {
        Some((same, before)) if same == interface && before <= now => now - before,
        _ => now,
    }
}

impl Store {
    /// Adds what the counters grew by since they were given last, and returns the period's total.
    pub async fn count_data(
        &self,
        modem: &str,
        counters: Option<Counters>,
        period_start: Timestamp,
    ) -> Result<DataUsage, StoreError> {
        let modem = modem.to_owned();
        self.write("count the data used", move |writing| {
            let start = stored_time(period_start);
            let row = writing
                .connection
                .prepare_cached(
                    "SELECT interface, downlink_counter, uplink_counter, period_start, downlink, uplink
                     FROM data_usage WHERE modem = ?1",
                )?
                .query_row([&modem], |row| {
                    let numbers: (u32, i64, i64, i64, i64, i64) = (
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                        row.get(5)?,
                    );
                    Ok(numbers)
                })
                .optional()?;
            let (mut downlink, mut uplink) = match row {
                Some((_, _, _, since, downlink, uplink)) if since == start => (read(downlink), read(uplink)),
                _ => (0, 0),
            };
            if let Some(now) = counters {
                let before = |counter: i64| row.map(|(interface, ..)| (interface, read(counter)));
                let (down, up) = row.map_or((0, 0), |(_, down, up, ..)| (down, up));
                downlink += grown(before(down), now.interface, now.downlink);
                uplink += grown(before(up), now.interface, now.uplink);
                writing
                    .connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO data_usage
                         (modem, interface, downlink_counter, uplink_counter, period_start, downlink, uplink)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    )?
                    .execute(params![
                        modem,
                        now.interface,
                        stored(now.downlink),
                        stored(now.uplink),
                        start,
                        stored(downlink),
                        stored(uplink)
                    ])?;
            }
            Ok(DataUsage {
                downlink,
                uplink,
                period_start,
            })
        })
        .await
    }
}
