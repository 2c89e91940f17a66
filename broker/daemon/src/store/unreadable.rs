//! Rows that cannot be read: a flipped bit, or what a newer broker wrote. One of them must not hold up the others, so it is
//! set aside in a table of its own, told, and everything else goes on.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;

use super::writer::Writing;
use super::{Store, StoreError, search, stored_time};
use crate::resource::{Change, Deleted, DeletedKind, DeletionCause};

/// Where a row that cannot be read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Message,
    Call,
    UssdSession,
    EarlyReport,
}

impl Source {
    /// The table.
    const fn table(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Call => "call",
            Self::UssdSession => "ussd_session",
            Self::EarlyReport => "early_report",
        }
    }

    /// What a client knows it as.
    const fn kind(self) -> Option<DeletedKind> {
        match self {
            Self::Message => Some(DeletedKind::Message),
            Self::Call => Some(DeletedKind::Call),
            Self::UssdSession => Some(DeletedKind::Ussd),
            Self::EarlyReport => None,
        }
    }
}

/// The rows that one read or write met and could not read.
#[derive(Clone, Debug, Default)]
pub(super) struct Unreadable(Arc<Mutex<Vec<(Source, i64)>>>);

impl Unreadable {
    fn note(&self, source: Source, number: i64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((source, number));
    }

    fn take(&self) -> Vec<(Source, i64)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The database as a read sees it, and what it could not read of it.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// The connection, inside a transaction.
    pub(super) connection: &'a Connection,
    /// What could not be read.
    pub(super) unreadable: &'a Unreadable,
}

impl Reading<'_> {
    /// The value in a row whose first columns are its number and its body, with the octets of the latter; nothing if it
    /// cannot be read.
    pub(super) fn value<T: DeserializeOwned>(
        &self,
        source: Source,
        row: &Row<'_>,
    ) -> Result<Option<(i64, usize, T)>, StoreError> {
        let number: i64 = row.get(0)?;
        // As octets: a flipped bit makes text that is none.
        let body = row.get_ref(1)?.as_bytes().map_err(rusqlite::Error::from)?;
        match serde_json::from_slice(body) {
            Ok(value) => Ok(Some((number, body.len(), value))),
            Err(_) => {
                self.unreadable.note(source, number);
                Ok(None)
            }
        }
    }

    /// The first row that can be read of a statement whose first columns are number and body.
    pub(super) fn first<T: DeserializeOwned>(
        &self,
        source: Source,
        statement: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Option<(i64, T)>, StoreError> {
        let mut statement = self.connection.prepare_cached(statement)?;
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            if let Some((number, _, value)) = self.value(source, row)? {
                return Ok(Some((number, value)));
            }
        }
        Ok(None)
    }

    /// Every row that can be read.
    pub(super) fn all<T: DeserializeOwned>(
        &self,
        source: Source,
        statement: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(statement)?;
        let mut rows = statement.query(parameters)?;
        let mut values = Vec::new();
        while let Some(row) = rows.next()? {
            values.extend(self.value(source, row)?.map(|(_, _, value)| value));
        }
        Ok(values)
    }
}

impl Store {
    /// Moves what could not be read out of the way of everything else.
    pub(super) async fn set_rows_aside(&self, unreadable: &Unreadable) {
        let rows = unreadable.take();
        if rows.is_empty() {
            return;
        }
        let moved = self
            .writer
            .write(
                "set a row aside that cannot be read",
                Unreadable::default(),
                move |writing| {
                    for (source, number) in rows {
                        writing.set_row_aside(source, number)?;
                    }
                    Ok(())
                },
            )
            .await;
        if let Err(error) = moved {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a row that cannot be read was not set aside; it is passed over"
            );
        }
    }

    /// How many rows were set aside because they cannot be read.
    pub async fn unreadable_rows(&self) -> Result<u64, StoreError> {
        self.read("count the rows that cannot be read", |reading| {
            let count: i64 = reading
                .connection
                .query_row("SELECT count(*) FROM unreadable", [], |row| row.get(0))?;
            Ok(u64::try_from(count).unwrap_or(0))
        })
        .await
    }
}

impl Writing<'_> {
    fn set_row_aside(&self, source: Source, number: i64) -> Result<(), StoreError> {
        let table = source.table();
        let identity = if source == Source::EarlyReport {
            ("''", "modem", "report")
        } else {
            ("id", "modem", "body")
        };
        let (id, modem, body) = identity;
        let found: Option<(String, String)> = self
            .connection
            .query_row(
                &format!("SELECT {id}, {modem} FROM {table} WHERE number = ?1"),
                [number],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        // Somebody else met it as well and was faster.
        let Some((row_id, modem)) = found else { return Ok(()) };
        self.connection.execute(
            &format!(
                "INSERT INTO unreadable (source, id, time, body)
                 SELECT ?2, {id}, ?3, CAST({body} AS BLOB) FROM {table} WHERE number = ?1"
            ),
            params![number, table, stored_time(self.now)],
        )?;
        if source == Source::Message {
            search::forget(self.connection, number)?;
        }
        self.connection
            .execute(&format!("DELETE FROM {table} WHERE number = ?1"), [number])?;
        tracing::error!(
            table,
            id = row_id,
            "a stored row cannot be read; it was set aside in the table `unreadable`, and everything else goes on: check the disk"
        );
        if let Some(kind) = source.kind() {
            let deleted = Deleted {
                kind,
                id: row_id,
                cause: DeletionCause::Unreadable,
            };
            self.append(&modem, &Change::Deleted(deleted))?;
        }
        Ok(())
    }
}
