//! Retention: what is too old or too much is deleted. No consumer's position holds events back for ever; one that comes
//! too late is told so (`CURSOR_EXPIRED`).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use super::writer::Writing;
use super::{Store, StoreError, charge, stored_time};
use crate::resource::{Change, Deleted, DeletedKind, DeletionCause};

/// Rows deleted in one transaction, so that writes that matter never wait long behind it.
const STEP_LIMIT: u32 = 500;
/// Free pages that are given back to the file system in one step.
const VACUUM_PAGES: u32 = 1000;
/// A consumer that has not committed for this long is forgotten.
const CONSUMER_AGE: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Messages that wait for something (their other parts, a report) are kept for this long whatever their number.
const UNSETTLED_AGE: SignedDuration = SignedDuration::from_hours(72);
/// How far retention's idea of the time moves on from one run to the next.
const CLOCK_STEP: SignedDuration = SignedDuration::from_hours(24);
/// Octets that the database takes at most before the oldest events go, and then the oldest messages.
const OCTET_LIMIT: u64 = 1024 * 1024 * 1024;
/// Time between two runs.
const INTERVAL: Duration = Duration::from_secs(3600);

/// How long and how much is kept. What exceeds either bound goes, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Age of events.
    pub event_age: SignedDuration,
    /// Number of events.
    pub event_count: u64,
    /// Age of messages, since they changed last. Request ids are kept as long.
    pub message_age: SignedDuration,
    /// Number of messages.
    pub message_count: u64,
    /// Age of calls, since they began. USSD sessions are kept as long.
    pub call_age: SignedDuration,
    /// Number of calls.
    pub call_count: u64,
}

/// How much was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Events.
    pub events: u64,
    /// Messages.
    pub messages: u64,
    /// Calls.
    pub calls: u64,
}

impl Store {
    /// Deletes what is too old or too much at `now`, in steps between which other writes pass.
    pub async fn prune(&self, retention: &Retention, now: Timestamp) -> Result<Pruned, StoreError> {
        let events = self.prune_in_steps(retention, now, prune_events).await?;
        if events > 0 {
            self.writer.tail().clear();
        }
        let events = events + self.prune_octets(OCTET_LIMIT).await?;
        let messages = self.prune_in_steps(retention, now, prune_messages).await?;
        if messages > 0 {
            self.writer.tail().clear();
        }
        Ok(Pruned {
            events,
            messages,
            calls: self.prune_in_steps(retention, now, prune_calls).await?,
        })
    }

    /// Prunes every hour, beginning at once; never ends.
    pub async fn keep_pruned(&self, retention: Retention) {
        loop {
            let pruned = match self.plausible_now(Timestamp::now()).await {
                Ok(now) => self.prune(&retention, now).await,
                Err(error) => Err(error),
            };
            match pruned {
                Ok(pruned) if pruned == Pruned::default() => {}
                Ok(pruned) => tracing::info!(pruned.events, pruned.messages, pruned.calls, "the store was pruned"),
                Err(error) => tracing::error!(%error, "the store could not be pruned; it is tried again in an hour"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// The time that retention goes by: it moves on by at most a day from one run to the next, whatever the clock does, so
    /// that one that jumps ahead by years deletes next to nothing before somebody sets it right.
    pub(super) async fn plausible_now(&self, clock: Timestamp) -> Result<Timestamp, StoreError> {
        let known = self
            .read("read when retention ran", |reading| {
                let known: Option<i64> = reading.connection.query_row(
                    "SELECT coalesce(prune_time, (SELECT time FROM event ORDER BY sequence DESC LIMIT 1)) FROM journal",
                    [],
                    |row| row.get(0),
                )?;
                Ok(known.and_then(|time| Timestamp::from_microsecond(time).ok()))
            })
            .await?;
        let Some(known) = known else { return Ok(clock) };
        let now = clock.min(known.saturating_add(CLOCK_STEP).unwrap_or(clock));
        // Once a day is enough to remember it, and costs the disk nothing in between.
        if now.duration_since(known) >= CLOCK_STEP || clock < known {
            let time = stored_time(now);
            self.write("note when retention ran", move |writing| {
                writing
                    .connection
                    .execute("UPDATE journal SET prune_time = ?1", [time])?;
                Ok(())
            })
            .await?;
        }
        Ok(now)
    }

    /// Deletes the oldest events, and then the oldest messages that nothing waits for, until the database takes no more than
    /// so many octets. Returns how many events went.
    pub(super) async fn prune_octets(&self, limit: u64) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let (events, messages) = self
                .write("prune the store", move |writing| {
                    if octets_used(writing.connection)? <= limit {
                        return Ok((0, 0));
                    }
                    let events = prune_oldest_events(writing.connection)?;
                    let messages = if events == 0 {
                        prune_oldest_messages(writing)?
                    } else {
                        0
                    };
                    give_back_pages(writing.connection)?;
                    Ok((events, messages))
                })
                .await?;
            if events + messages == 0 {
                return Ok(total);
            }
            self.writer.tail().clear();
            total += events;
            tracing::warn!(
                events,
                messages,
                "the store takes more room than it may; its oldest entries were deleted"
            );
        }
    }

    async fn prune_in_steps(
        &self,
        retention: &Retention,
        now: Timestamp,
        step: fn(&Writing<'_>, &Retention, Timestamp) -> Result<u64, StoreError>,
    ) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let retention = retention.clone();
            let pruned = self
                .write("prune the store", move |writing| {
                    let pruned = step(writing, &retention, now)?;
                    if pruned > 0 {
                        give_back_pages(writing.connection)?;
                    }
                    Ok(pruned)
                })
                .await?;
            if pruned == 0 {
                return Ok(total);
            }
            total += pruned;
        }
    }
}

fn cutoff(now: Timestamp, age: SignedDuration) -> i64 {
    stored_time(now.saturating_sub(age).unwrap_or(Timestamp::MIN))
}

fn count(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Only a prefix of the journal is ever deleted, so that whatever a cursor still reaches has no gaps. An event that looks
/// too old in the midst of younger ones (the clock was wrong) waits for its turn.
fn prune_events(writing: &Writing<'_>, retention: &Retention, now: Timestamp) -> Result<u64, StoreError> {
    let connection = writing.connection;
    let deleted = connection
        .prepare_cached(
            "DELETE FROM event WHERE sequence IN (
                 SELECT sequence FROM event
                 WHERE sequence < coalesce((SELECT sequence FROM event WHERE time >= ?1 ORDER BY sequence LIMIT 1), ?4)
                    OR sequence <= (SELECT sequence FROM event ORDER BY sequence DESC LIMIT 1 OFFSET ?2)
                 ORDER BY sequence LIMIT ?3)",
        )?
        .execute(params![
            cutoff(now, retention.event_age),
            count(retention.event_count),
            STEP_LIMIT,
            i64::MAX
        ])?;
    if deleted > 0 {
        note_pruned(connection)?;
    }
    Ok(deleted as u64)
}

/// The oldest cursor that can be read from is the one before the oldest event.
fn note_pruned(connection: &Connection) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE journal SET pruned_to = coalesce(
             (SELECT min(sequence) - 1 FROM event),
             (SELECT seq FROM sqlite_sequence WHERE name = 'event'))",
        [],
    )?;
    Ok(())
}

/// What the database takes, without its free pages.
fn octets_used(connection: &Connection) -> Result<u64, StoreError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok(u64::try_from(pages * number("page_size")?).unwrap_or(0))
}

/// The newest stay: whoever is a moment behind must not lose anything.
fn prune_oldest_events(connection: &Connection) -> Result<u64, StoreError> {
    let deleted = connection
        .prepare_cached(
            "DELETE FROM event WHERE sequence IN (
                 SELECT sequence FROM event
                 WHERE sequence <= (SELECT sequence FROM event ORDER BY sequence DESC LIMIT 1 OFFSET ?1)
                 ORDER BY sequence LIMIT ?1)",
        )?
        .execute([STEP_LIMIT])?;
    if deleted > 0 {
        note_pruned(connection)?;
    }
    Ok(deleted as u64)
}

fn prune_oldest_messages(writing: &Writing<'_>) -> Result<u64, StoreError> {
    let ids: Vec<String> = writing
        .connection
        .prepare_cached(
            "SELECT id FROM message WHERE state NOT IN ('queued', 'sending', 'incomplete') ORDER BY number LIMIT ?1",
        )?
        .query_map([STEP_LIMIT], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in &ids {
        writing.remove_message(id, DeletionCause::Retention)?;
    }
    Ok(ids.len() as u64)
}

/// Messages that are still to be sent stay, whatever their age; those that wait for something stay while it may come.
fn prune_messages(writing: &Writing<'_>, retention: &Retention, now: Timestamp) -> Result<u64, StoreError> {
    let connection = writing.connection;
    let cutoff_time = cutoff(now, retention.message_age);
    let ids: Vec<String> = connection
        .prepare_cached(
            "SELECT id FROM message
             WHERE state NOT IN ('queued', 'sending')
               AND (create_time < ?1 AND update_time < ?1
                    OR number <= (SELECT number FROM message ORDER BY number DESC LIMIT 1 OFFSET ?2))
               AND (update_time < ?4 OR state NOT IN ('incomplete', 'outcome_unknown', 'sent')
                    OR state = 'sent' AND NOT (json_valid(body) AND json_extract(body, '$.delivery_report_requested')))
             ORDER BY number LIMIT ?3",
        )?
        .query_map(
            params![
                cutoff_time,
                count(retention.message_count),
                STEP_LIMIT,
                cutoff(now, UNSETTLED_AGE)
            ],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    for id in &ids {
        writing.remove_message(id, DeletionCause::Retention)?;
    }
    connection.execute(
        "DELETE FROM incoming_part WHERE message_id IS NULL AND receive_time < ?1",
        [cutoff_time],
    )?;
    connection.execute(
        "DELETE FROM request WHERE create_time < ?1
         AND (message_id IS NULL OR message_id NOT IN (SELECT id FROM message WHERE state IN ('queued', 'sending')))",
        [cutoff_time],
    )?;
    charge::prune(connection, now, writing.now)?;
    connection.execute(
        "DELETE FROM consumer WHERE update_time < ?1",
        [cutoff(now, CONSUMER_AGE)],
    )?;
    Ok(ids.len() as u64)
}

fn prune_calls(writing: &Writing<'_>, retention: &Retention, now: Timestamp) -> Result<u64, StoreError> {
    let (age, most) = (cutoff(now, retention.call_age), count(retention.call_count));
    let mut total = 0;
    for (kind, statement) in [
        (
            DeletedKind::Call,
            "DELETE FROM call WHERE number IN (
                 SELECT number FROM call
                 WHERE NOT alive
                   AND (start_time < ?1 OR number <= (SELECT number FROM call ORDER BY number DESC LIMIT 1 OFFSET ?2))
                 ORDER BY number LIMIT ?3)
             RETURNING id, modem",
        ),
        (
            DeletedKind::Ussd,
            "DELETE FROM ussd_session WHERE number IN (
                 SELECT number FROM ussd_session
                 WHERE NOT alive
                   AND (start_time < ?1
                        OR number <= (SELECT number FROM ussd_session ORDER BY number DESC LIMIT 1 OFFSET ?2))
                 ORDER BY number LIMIT ?3)
             RETURNING id, modem",
        ),
    ] {
        let deleted: Vec<(String, String)> = writing
            .connection
            .prepare_cached(statement)?
            .query_map(params![age, most, STEP_LIMIT], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        total += deleted.len() as u64;
        for (id, modem) in deleted {
            let cause = DeletionCause::Retention;
            writing.append(&modem, &Change::Deleted(Deleted { kind, id, cause }))?;
        }
    }
    Ok(total)
}

/// Frees pages at the file's end; a full VACUUM would rewrite the whole file and block every writer meanwhile.
fn give_back_pages(connection: &Connection) -> Result<(), StoreError> {
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
