//! Calls: one row each, written together with its event.

use rusqlite::{Connection, OptionalExtension, params};

use super::writer::Writing;
use super::{Page, Queued, Store, StoreError, journal, page, page_limit, page_start, request, stored_time};
use crate::resource::{Call, CallState, Change, Sequence};

/// Which calls are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallQuery {
    /// Only calls of this modem.
    pub modem: Option<String>,
    /// Only calls that are not over.
    pub alive_only: bool,
    /// At most this many; 0 for the default.
    pub page_size: u32,
    /// Where the page begins; none for the first.
    pub page_token: Option<String>,
}

impl Store {
    /// Writes a call as it is now, new or changed, with its event.
    pub async fn record_call(&self, call: Call) -> Result<Sequence, StoreError> {
        self.write("record a call", move |writing| writing.save_call(&call))
            .await
    }

    /// Makes the intent to dial durable before the first byte goes out. A call without `request_id` is always new.
    pub async fn remember_dial(&self, call: Call, content_hash: &[u8]) -> Result<Queued<Call>, StoreError> {
        let content_hash = content_hash.to_owned();
        self.write("record a call", move |writing| {
            if let Some(call) = dialled(writing.connection, call.request_id.as_deref(), &content_hash)? {
                return Ok(Queued::Existing(call));
            }
            writing.save_call(&call)?;
            writing.keep_request(call.request_id.as_deref(), &content_hash, request::Made::Call(&call.id))?;
            Ok(Queued::New(call))
        })
        .await
    }

    /// The call that a request dialled before, as it is now.
    pub async fn dialled(&self, request_id: &str, content_hash: &[u8]) -> Result<Option<Call>, StoreError> {
        let (request_id, content_hash) = (request_id.to_owned(), content_hash.to_owned());
        self.read("read a call", move |connection| {
            dialled(connection, Some(&request_id), &content_hash)
        })
        .await
    }

    /// One call.
    pub async fn call(&self, id: &str) -> Result<Option<Call>, StoreError> {
        let id = id.to_owned();
        self.read("read a call", move |connection| find(connection, &id)).await
    }

    /// Lists calls, newest first.
    pub async fn calls(&self, query: CallQuery) -> Result<Page<Call>, StoreError> {
        self.read("list calls", move |connection| {
            let limit = page_limit(query.page_size);
            let mut statement = connection.prepare_cached(
                "SELECT number, body FROM call
                 WHERE number < ?1 AND (?2 IS NULL OR modem = ?2) AND (alive OR NOT ?3)
                 ORDER BY number DESC LIMIT ?4",
            )?;
            let parameters = params![
                page_start(query.page_token.as_deref())?,
                query.modem,
                query.alive_only,
                limit as i64 + 1
            ];
            let mut rows = statement.query(parameters)?;
            let mut calls = Vec::new();
            while let Some(row) = rows.next()? {
                calls.push((row.get(0)?, serde_json::from_str(&row.get::<_, String>(1)?)?));
            }
            Ok(page(calls, limit, journal::latest(connection)?))
        })
        .await
    }
}

impl Writing<'_> {
    /// Writes the row and appends the event.
    pub(super) fn save_call(&self, call: &Call) -> Result<Sequence, StoreError> {
        let alive = call.state != CallState::Disconnected;
        self.connection
            .prepare_cached(
                "INSERT INTO call (id, modem, alive, start_time, body) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (id) DO UPDATE SET alive = excluded.alive, body = excluded.body",
            )?
            .execute(params![
                call.id,
                call.modem,
                alive,
                stored_time(call.start_time),
                serde_json::to_string(call)?
            ])?;
        self.append(&call.modem, &Change::Call(call.clone()))
    }
}

fn dialled(connection: &Connection, request_id: Option<&str>, content_hash: &[u8]) -> Result<Option<Call>, StoreError> {
    let Some(known) = request::known(connection, request_id, content_hash)? else {
        return Ok(None);
    };
    let id = known.call_id.clone().ok_or_else(|| known.reused())?;
    find(connection, &id)?
        .ok_or(StoreError::CallNotFound { call_id: id })
        .map(Some)
}

fn find(connection: &Connection, id: &str) -> Result<Option<Call>, StoreError> {
    let body: Option<String> = connection
        .prepare_cached("SELECT body FROM call WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
}

/// Calls of a modem that are not over.
pub(super) fn alive(connection: &Connection, modem: &str) -> Result<Vec<Call>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT body FROM call WHERE modem = ?1 AND alive ORDER BY number")?;
    let mut rows = statement.query([modem])?;
    let mut calls = Vec::new();
    while let Some(row) = rows.next()? {
        calls.push(serde_json::from_str(&row.get::<_, String>(0)?)?);
    }
    Ok(calls)
}
