//! Positions of named consumers, so that one that lost its own state continues where it stopped.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, StoreError, journal, read_sequence, stored_sequence, stored_time};
use crate::resource::Sequence;

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
