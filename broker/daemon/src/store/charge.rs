//! Limits on what clients hand over for sending: by destination and by client, over the last hour and the last day.
//!
//! A part is what a message costs, so parts are counted, at the moment at which a message is accepted. The counts are rows:
//! a restart forgets none of them, and neither does whoever deletes messages.

use std::time::Duration;

use cellular::carrier::Country;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use super::writer::Writing;
use super::{StoreError, stored_time};
use crate::resource::Message;

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How many parts may be handed over; none for no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// For one destination, in an hour.
    pub destination_per_hour: Option<u32>,
    /// For one destination, in a day.
    pub destination_per_day: Option<u32>,
    /// By one client, in an hour.
    pub client_per_hour: Option<u32>,
    /// By one client, in a day.
    pub client_per_day: Option<u32>,
    /// The country of the SIM, whose numbers may be written in two ways and are one destination all the same.
    pub home: Option<Country>,
}

/// One of the limits, ready to be looked up.
struct Limit<'a> {
    key: &'static str,
    parts: Option<u32>,
    window: SignedDuration,
    query: &'static str,
    of: &'a str,
}

const BY_DESTINATION: &str = "SELECT time, parts FROM charge WHERE destination = ?1 AND time > ?2 ORDER BY time DESC";
const BY_CLIENT: &str = "SELECT time, parts FROM charge WHERE client = ?1 AND time > ?2 ORDER BY time DESC";

impl Limits {
    /// The destination as it is counted.
    fn destination(&self, address: &str) -> String {
        self.home
            .map_or_else(|| address.to_owned(), |home| home.international(address))
    }

    fn all<'a>(&self, destination: &'a str, client: &'a str) -> [Limit<'a>; 4] {
        let limit = |key, parts, window, query, of| Limit {
            key,
            parts,
            window,
            query,
            of,
        };
        [
            limit(
                "sms.limits.destination_per_hour",
                self.destination_per_hour,
                HOUR,
                BY_DESTINATION,
                destination,
            ),
            limit(
                "sms.limits.destination_per_day",
                self.destination_per_day,
                DAY,
                BY_DESTINATION,
                destination,
            ),
            limit(
                "sms.limits.client_per_hour",
                self.client_per_hour,
                HOUR,
                BY_CLIENT,
                client,
            ),
            limit("sms.limits.client_per_day", self.client_per_day, DAY, BY_CLIENT, client),
        ]
    }
}

impl Writing<'_> {
    /// Counts a message that is being accepted, or refuses it.
    pub(super) fn charge(&self, message: &Message, limits: &Limits) -> Result<(), StoreError> {
        let destination = limits.destination(&message.address);
        for limit in limits.all(&destination, &message.client) {
            limit.check(self.connection, message.part_count, self.now)?;
        }
        self.connection
            .prepare_cached(
                "INSERT INTO charge (message_id, time, destination, client, parts) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                message.id,
                stored_time(self.now),
                destination,
                message.client,
                message.part_count
            ])?;
        Ok(())
    }

    /// Gives back what a message counted that never went out.
    pub(super) fn refund(&self, message_id: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("DELETE FROM charge WHERE message_id = ?1")?
            .execute([message_id])?;
        Ok(())
    }
}

impl Limit<'_> {
    fn check(&self, connection: &Connection, parts: u32, now: Timestamp) -> Result<(), StoreError> {
        let Some(allowed) = self.parts else { return Ok(()) };
        let limited = |retry_after| StoreError::RateLimited {
            key: self.key,
            allowed,
            retry_after,
        };
        let Some(mut room) = allowed.checked_sub(parts) else {
            return Err(limited(None));
        };
        let since = now.saturating_sub(self.window).unwrap_or(Timestamp::MIN);
        let mut statement = connection.prepare_cached(self.query)?;
        let mut rows = statement.query(params![self.of, stored_time(since)])?;
        while let Some(row) = rows.next()? {
            let (time, counted): (i64, u32) = (row.get(0)?, row.get(1)?);
            match room.checked_sub(counted) {
                Some(left) => room = left,
                // Everything up to this one has to grow older than the window; what is younger leaves room enough.
                None => return Err(limited(Some(wait(time, self.window, now)))),
            }
        }
        Ok(())
    }
}

fn wait(time: i64, window: SignedDuration, now: Timestamp) -> Duration {
    let counted = Timestamp::from_microsecond(time).unwrap_or(now);
    let free = counted.saturating_add(window).unwrap_or(now);
    // A clock that was set back makes a charge look younger than it is; nobody waits longer than the window for that.
    let left = free.duration_since(now).clamp(SignedDuration::from_millis(1), window);
    left.unsigned_abs()
}

/// Forgets what no limit looks back to any more.
pub(super) fn prune(connection: &Connection, now: Timestamp, clock: Timestamp) -> Result<(), StoreError> {
    // The clock was ahead and was set back: what was counted meanwhile counts from now on, and not until that time comes.
    connection.execute("UPDATE charge SET time = ?1 WHERE time > ?1", [stored_time(clock)])?;
    let oldest = now.saturating_sub(DAY).unwrap_or(Timestamp::MIN);
    connection.execute("DELETE FROM charge WHERE time < ?1", [stored_time(oldest)])?;
    Ok(())
}
