//! What was tried to recover a modem, so that a broker that dies of it does not try it again and again.

use jiff::{SignedDuration, Timestamp};
use rusqlite::params;

use super::{Store, StoreError, stored_time};

/// Attempts are of interest for an hour; a day leaves room for longer windows.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

impl Store {
    /// Makes an attempt durable before it is made. `step` is the number of the rung.
    pub async fn record_recovery_attempt(&self, modem: &str, step: u8) -> Result<(), StoreError> {
        let modem = modem.to_owned();
        self.write("keep a recovery attempt", move |writing| {
            let before = writing.now.saturating_sub(KEPT).unwrap_or(writing.now);
            writing
                .connection
                .prepare_cached("DELETE FROM recovery_attempt WHERE time < ?1")?
                .execute(params![stored_time(before)])?;
            writing
                .connection
                .prepare_cached("INSERT INTO recovery_attempt (modem, step, time) VALUES (?1, ?2, ?3)")?
                .execute(params![modem, step, stored_time(writing.now)])?;
            Ok(())
        })
        .await
    }

    /// The attempts of the last day, oldest first.
    pub async fn recovery_attempts(&self, modem: &str) -> Result<Vec<(u8, Timestamp)>, StoreError> {
        let modem = modem.to_owned();
        self.read("read the recovery attempts", move |reading| {
            let connection = reading.connection;
            let mut statement =
                connection.prepare_cached("SELECT step, time FROM recovery_attempt WHERE modem = ?1 ORDER BY time")?;
            let rows = statement.query_map([modem], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let rows = rows.collect::<Result<Vec<(u8, i64)>, _>>()?;
            let readable = |(step, time)| Some((step, Timestamp::from_microsecond(time).ok()?));
            Ok(rows.into_iter().filter_map(readable).collect())
        })
        .await
    }
}
