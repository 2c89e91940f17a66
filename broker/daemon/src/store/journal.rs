//! The journal: every change once, in order, readable from any cursor that retention has not passed.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::tail::Appended;
use super::unreadable::Reading;
use super::writer::Writing;
use super::{Store, StoreError, read_sequence, stored_sequence, stored_time};
use crate::resource::{Change, ChangeKind, Event, Sequence};

/// Events that one read looks at, matching or not: bounds the work of a filter that hardly anything passes.
const SCAN_LIMIT: i64 = 4096;

/// Which events are wanted. The default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these kinds.
    pub kinds: Option<Vec<ChangeKind>>,
    /// Only these modems, by name; empty for all.
    pub modems: Vec<String>,
}

impl Filter {
    /// Whether an event is wanted.
    pub fn lets_pass(&self, event: &Event) -> bool {
        let kind = event.change.kind();
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
            && (self.modems.is_empty() || self.modems.contains(&event.modem))
    }
}

/// How much one read gives at most. The first event is given whatever its size, so that a reader always gets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Events.
    pub events: usize,
    /// What they take in the journal, in octets; in a response they take about as much.
    pub octets: usize,
}

impl From<usize> for Most {
    /// So many events of any size.
    fn from(events: usize) -> Self {
        Self {
            events,
            octets: usize::MAX,
        }
    }
}

impl Most {
    /// Whether one more event is too much.
    pub(super) fn is_exceeded_by(self, events: usize, octets: usize, more: usize) -> bool {
        events >= self.events.max(1) || (events > 0 && octets.saturating_add(more) > self.octets)
    }
}

/// Events read in one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Events in order.
    pub events: Vec<Event>,
    /// What they take in the journal.
    pub octets: usize,
    /// Everything up to here was considered.
    pub cursor: Sequence,
    /// Whether the journal had nothing more.
    pub caught_up: bool,
}

impl Store {
    /// Appends a change that has no row of its own.
    pub async fn append(&self, modem: &str, change: Change) -> Result<Sequence, StoreError> {
        let modem = modem.to_owned();
        self.write("append to the journal", move |writing| writing.append(&modem, &change))
            .await
    }

    /// The oldest cursor that can be read from: every event up to it was deleted by retention.
    pub async fn oldest(&self) -> Result<Sequence, StoreError> {
        self.read("read the journal", |reading| oldest(reading.connection))
            .await
    }

    /// Returns a cursor from which nothing is left out, and refuses one of which that cannot be said.
    pub async fn check_cursor(&self, cursor: Sequence) -> Result<Sequence, StoreError> {
        self.read("read the journal", move |reading| {
            check_cursor(reading.connection, cursor).map(|_| cursor)
        })
        .await
    }

    /// Reads the events after `cursor`, and no more than so many of them.
    pub async fn events_after(
        &self,
        cursor: Sequence,
        most: impl Into<Most>,
        filter: &Filter,
    ) -> Result<Batch, StoreError> {
        let most = most.into();
        if let Some(batch) = self.writer.tail().events_after(cursor, most, filter) {
            return Ok(batch);
        }
        let filter = filter.clone();
        self.read("read the journal", move |reading| {
            events_after(reading, cursor, most, &filter)
        })
        .await
    }
}

impl Writing<'_> {
    /// Appends an event in the write's own transaction.
    pub(super) fn append(&self, modem: &str, change: &Change) -> Result<Sequence, StoreError> {
        if let Change::Sim(sim) = change {
            self.cards.learn(modem, sim);
        }
        self.append_after(modem, change, None)
    }

    /// The same, for a resource of which `previous` told before.
    pub(super) fn append_after(
        &self,
        modem: &str,
        change: &Change,
        previous: Option<i64>,
    ) -> Result<Sequence, StoreError> {
        let (time, written) = (stored_time(self.now), serde_json::to_string(change)?);
        self.connection
            .prepare_cached("INSERT INTO event (time, modem, kind, change, previous) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![time, modem, change.kind() as u8, written, previous])?;
        let sequence = read_sequence(self.connection.last_insert_rowid());
        self.appended.borrow_mut().push(Appended {
            event: Event {
                sequence,
                time: read_time(time),
                modem: modem.to_owned(),
                change: change.clone(),
            },
            octets: written.len(),
        });
        Ok(sequence)
    }
}

fn read_time(stored: i64) -> Timestamp {
    Timestamp::from_microsecond(stored).unwrap_or_default()
}

/// The newest event that ever was, also when retention has deleted it.
pub(super) fn latest(connection: &Connection) -> Result<Sequence, StoreError> {
    let stored = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'event'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(read_sequence(stored.unwrap_or(0)))
}

/// The sequences that a restored copy leaves out: after the first, before the second.
fn gap(connection: &Connection) -> Result<(Sequence, Sequence), StoreError> {
    let gap = connection
        .prepare_cached("SELECT gap_after, gap_until FROM journal")?
        .query_row([], |row| Ok((read_sequence(row.get(0)?), read_sequence(row.get(1)?))))?;
    Ok(gap)
}

pub(super) fn oldest(connection: &Connection) -> Result<Sequence, StoreError> {
    let stored = connection
        .prepare_cached("SELECT pruned_to FROM journal")?
        .query_row([], |row| row.get(0))?;
    Ok(read_sequence(stored))
}

/// Refuses a cursor from which reading would silently leave events out.
pub(super) fn check_cursor(connection: &Connection, cursor: Sequence) -> Result<Sequence, StoreError> {
    let (oldest, latest) = (oldest(connection)?, latest(connection)?);
    let (gap_after, gap_until) = gap(connection)?;
    if cursor > gap_after && cursor < gap_until {
        return Err(StoreError::CursorForeign { cursor, oldest });
    }
    if cursor < oldest {
        return Err(StoreError::CursorExpired { cursor, oldest });
    }
    // The file was replaced, by a restored copy or after damage: events up to the cursor would come again under the
    // same numbers and never be seen.
    if cursor > latest {
        return Err(StoreError::CursorAhead { cursor, latest, oldest });
    }
    Ok(latest)
}

/// Deletes the events that tell of a resource, from the newest backwards. Their sequences are never used again.
pub(super) fn scrub(connection: &Connection, newest: Option<i64>) -> Result<(), StoreError> {
    let mut next = newest;
    while let Some(sequence) = next {
        next = connection
            .prepare_cached("DELETE FROM event WHERE sequence = ?1 RETURNING previous")?
            .query_row([sequence], |row| row.get(0))
            .optional()?
            // What retention has deleted has nothing left before it.
            .flatten();
    }
    Ok(())
}

pub(super) fn events_after(
    reading: &Reading<'_>,
    cursor: Sequence,
    most: Most,
    filter: &Filter,
) -> Result<Batch, StoreError> {
    let connection = reading.connection;
    let latest = check_cursor(connection, cursor)?;
    let from = stored_sequence(cursor);
    let (gap_after, gap_until) = gap(connection)?;
    // What a restored copy leaves out is passed over in one step.
    let (from, end) = match cursor {
        _ if cursor == gap_after => (stored_sequence(gap_until).max(from), latest),
        _ if cursor < gap_after => (from, gap_after),
        _ => (from, latest),
    };
    let to = from.saturating_add(SCAN_LIMIT).min(stored_sequence(end));
    let kinds = filter
        .kinds
        .as_ref()
        .map(|kinds| kinds.iter().fold(0_i64, |mask, kind| mask | 1 << *kind as u8));
    let modems = if filter.modems.is_empty() {
        None
    } else {
        Some(serde_json::to_string(&filter.modems)?)
    };
    let mut statement = connection.prepare_cached(
        "SELECT sequence, time, modem, change FROM event
         WHERE sequence > ?1 AND sequence <= ?2
           AND (?3 IS NULL OR (1 << kind) & ?3 <> 0)
           AND (?4 IS NULL OR modem IN (SELECT value FROM json_each(?4)))
         ORDER BY sequence",
    )?;
    let mut rows = statement.query(params![from, to, kinds, modems])?;
    let (mut events, mut octets) = (Vec::new(), 0);
    // Everything up to `to` was considered, unless there was too much of it.
    let mut considered = read_sequence(to);
    let mut last = cursor;
    while let Some(row) = rows.next()? {
        let change = row.get_ref(3)?.as_bytes().map_err(rusqlite::Error::from)?;
        if most.is_exceeded_by(events.len(), octets, change.len()) {
            considered = last;
            break;
        }
        last = read_sequence(row.get(0)?);
        let size = change.len();
        match serde_json::from_slice(change) {
            Ok(change) => {
                octets += size;
                let time = read_time(row.get(1)?);
                events.push(Event {
                    sequence: last,
                    time,
                    modem: row.get(2)?,
                    change,
                });
            }
            // One event that cannot be read (written by a newer broker) must not hold up all that follow.
            Err(error) => {
                tracing::error!(sequence = last.0, %error, "an event in the journal cannot be read; it is skipped")
            }
        }
    }
    Ok(Batch {
        events,
        octets,
        cursor: considered,
        caught_up: considered == latest,
    })
}
