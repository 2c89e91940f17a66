//! Positions of named consumers, so that one that lost its own state continues where it stopped.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, StoreError, journal, read_sequence, stored_sequence, stored_time};
use crate::resource::Sequence;

/// Consumers in a list.
const LIST_LIMIT: i64 = 1000;

/// A named consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// Everything up to here is done.
    pub position: Sequence,
    /// When it committed last.
    pub commit_time: Timestamp,
    /// Events after its position.
    pub lag: u64,
}

impl Store {
    /// Keeps a consumer's position and returns where it is now. It moves back only with `rewind`.
    pub async fn commit_cursor(&self, consumer: &str, cursor: Sequence, rewind: bool) -> Result<Sequence, StoreError> {
        let consumer = consumer.to_owned();
        self.write("keep a consumer's position", move |writing| {
            journal::check_cursor(writing.connection, cursor)?;
            let position = match position(writing.connection, &consumer)? {
                Some(position) if position > cursor && !rewind => position,
                _ => cursor,
            };
            writing
                .connection
                .prepare_cached(
                    "INSERT INTO consumer (name, position, update_time) VALUES (?1, ?2, ?3)
                     ON CONFLICT (name) DO UPDATE SET position = excluded.position, update_time = excluded.update_time",
                )?
                .execute(params![consumer, stored_sequence(position), stored_time(writing.now)])?;
            Ok(position)
        })
        .await
    }

    /// The consumers by name, at most [`LIST_LIMIT`].
    pub async fn consumers(&self) -> Result<Vec<Consumer>, StoreError> {
        self.read("list the consumers", |reading| {
            let mut statement = reading.connection.prepare_cached(
                "SELECT name, position, update_time,
                        (SELECT count(*) FROM event WHERE sequence > consumer.position)
                 FROM consumer ORDER BY name LIMIT ?1",
            )?;
            let rows = statement.query_map([LIST_LIMIT], |row| {
                let lag: i64 = row.get(3)?;
                Ok(Consumer {
                    name: row.get(0)?,
                    position: read_sequence(row.get(1)?),
                    commit_time: Timestamp::from_microsecond(row.get(2)?).unwrap_or_default(),
                    lag: u64::try_from(lag).unwrap_or(0),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Forgets a consumer; says whether there was one.
    pub async fn delete_consumer(&self, consumer: &str) -> Result<bool, StoreError> {
        let consumer = consumer.to_owned();
        self.write("forget a consumer", move |writing| {
            let deleted = writing
                .connection
                .prepare_cached("DELETE FROM consumer WHERE name = ?1")?
                .execute([consumer])?;
            Ok(deleted > 0)
        })
        .await
    }

    /// Where a consumer committed last; `None` if it never did.
    pub async fn cursor_of(&self, consumer: &str) -> Result<Option<Sequence>, StoreError> {
        let consumer = consumer.to_owned();
        self.read("read a consumer's position", move |reading| {
            let connection = reading.connection;
            position(connection, &consumer)
        })
        .await
    }
}

fn position(connection: &Connection, consumer: &str) -> Result<Option<Sequence>, StoreError> {
    let stored = connection
        .prepare_cached("SELECT position FROM consumer WHERE name = ?1")?
        .query_row([consumer], |row| row.get(0))
        .optional()?;
    Ok(stored.map(read_sequence))
}
