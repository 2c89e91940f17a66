//! Calls: one row each, written together with its event.

use jiff::Timestamp;
use rusqlite::params;
use rusqlite::types::Value;

use super::unreadable::{Reading, Source};
use super::writer::Writing;
use super::{Page, PageRequest, Queued, Store, StoreError, request, stored_time};
use crate::resource::{Call, CallState, Change, Sequence};

/// Which calls are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallQuery {
    /// Only calls of this modem.
    pub modem: Option<String>,
    /// Only calls that are not over.
    pub alive_only: bool,
    /// Only calls that began at this time or later.
    pub after: Option<Timestamp>,
    /// Only calls that began before this time.
    pub before: Option<Timestamp>,
    /// At most this many; 0 for the default.
    pub page_size: u32,
    /// Where the page begins; none for the first.
    pub page_token: Option<String>,
}

impl Store {
    /// Writes a call as it is now, new or changed, with its event.
    pub async fn record_call(&self, call: Call) -> Result<Sequence, StoreError> {
        let id = call.id.clone();
        let recorded = self
            .write("record a call", move |writing| writing.save_call(&call))
            .await?;
        self.unstored.calls().remove(&id);
        Ok(recorded)
    }

    /// Makes the intent to dial durable before the first byte goes out. A call without `request_id` is always new.
    pub async fn remember_dial(&self, call: Call, content_hash: &[u8]) -> Result<Queued<Call>, StoreError> {
        let content_hash = content_hash.to_owned();
        self.write("record a call", move |writing| {
            if let Some(call) = dialled(&writing.reading(), call.request_id.as_deref(), &content_hash)? {
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
        self.read("read a call", move |reading| {
            dialled(reading, Some(&request_id), &content_hash)
        })
        .await
    }

    /// One call.
    pub async fn call(&self, id: &str) -> Result<Option<Call>, StoreError> {
        if let Some(call) = self.unstored.calls().get(id) {
            return Ok(Some(call.clone()));
        }
        let id = id.to_owned();
        self.read("read a call", move |reading| find(reading, &id)).await
    }

    /// Lists calls, newest first.
    pub async fn calls(&self, query: CallQuery) -> Result<Page<Call>, StoreError> {
        let unstored: Vec<Call> = match query.page_token {
            Some(_) => Vec::new(),
            None => self.unstored.calls().values().cloned().collect(),
        };
        let of_modem = query.modem.clone();
        let mut page = self.stored_calls(query).await?;
        for call in unstored {
            if of_modem.as_ref().is_none_or(|modem| *modem == call.modem) {
                page.items.retain(|stored| stored.id != call.id);
                page.items.insert(0, call);
            }
        }
        Ok(page)
    }

    async fn stored_calls(&self, query: CallQuery) -> Result<Page<Call>, StoreError> {
        self.read("list calls", move |reading| {
            let filters = CallQuery {
                page_size: 0,
                page_token: None,
                ..query.clone()
            };
            let page = PageRequest::new(query.page_token.as_deref(), query.page_size, &filters)?;
            let mut conditions = vec!["number < ?1".to_owned()];
            let mut parameters: Vec<Value> = vec![page.before.into()];
            let mut require = |condition: &str, parameter: Value| {
                parameters.push(parameter);
                conditions.push(format!("{condition} ?{}", parameters.len()));
            };
            if let Some(modem) = query.modem {
                require("modem =", modem.into());
            }
            if let Some(after) = query.after {
                require("start_time >=", stored_time(after).into());
            }
            if let Some(before) = query.before {
                require("start_time <", stored_time(before).into());
            }
            if query.alive_only {
                conditions.push("alive".to_owned());
            }
            let statement = format!(
                "SELECT number, body FROM call WHERE {} ORDER BY number DESC",
                conditions.join(" AND ")
            );
            let mut statement = reading.connection.prepare_cached(&statement)?;
            let rows = statement.query(rusqlite::params_from_iter(parameters))?;
            page.fill(reading, Source::Call, rows)
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

fn dialled(reading: &Reading<'_>, request_id: Option<&str>, content_hash: &[u8]) -> Result<Option<Call>, StoreError> {
    let Some(known) = request::known(reading.connection, request_id, content_hash)? else {
        return Ok(None);
    };
    let id = known.call_id.clone().ok_or_else(|| known.reused())?;
    find(reading, &id)?
        .ok_or(StoreError::CallNotFound { call_id: id })
        .map(Some)
}

fn find(reading: &Reading<'_>, id: &str) -> Result<Option<Call>, StoreError> {
    let found = reading.first(Source::Call, "SELECT number, body FROM call WHERE id = ?1", [id])?;
    Ok(found.map(|(_, call)| call))
}

/// Calls of a modem that are not over.
pub(super) fn alive(reading: &Reading<'_>, modem: &str) -> Result<Vec<Call>, StoreError> {
    reading.all(
        Source::Call,
        "SELECT number, body FROM call WHERE modem = ?1 AND alive ORDER BY number",
        [modem],
    )
}
