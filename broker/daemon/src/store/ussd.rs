//! USSD sessions: one row each, written together with its event.

use rusqlite::params;

use super::unreadable::{Reading, Source};
use super::writer::Writing;
use super::{Queued, Store, StoreError, request, stored_time};
use crate::resource::{Change, Sequence, UssdSession, UssdState};

impl Store {
    /// Writes a session as it is now, new or changed, with its event.
    pub async fn record_ussd(&self, session: UssdSession) -> Result<Sequence, StoreError> {
        self.write("record a USSD session", move |writing| writing.save_ussd(&session))
            .await
    }

    /// Makes the intent to start a session durable before the first byte goes out.
    pub async fn remember_ussd(
        &self,
        session: UssdSession,
        content_hash: &[u8],
    ) -> Result<Queued<UssdSession>, StoreError> {
        let content_hash = content_hash.to_owned();
        self.write("record a USSD session", move |writing| {
            let request_id = session.request_id.as_deref();
            if let Some(session) = started(&writing.reading(), request_id, &content_hash)? {
                return Ok(Queued::Existing(session));
            }
            writing.save_ussd(&session)?;
            writing.keep_request(request_id, &content_hash, request::Made::UssdSession(&session.id))?;
            Ok(Queued::New(session))
        })
        .await
    }

    /// The session that a request started before, as it is now.
    pub async fn started_ussd(&self, request_id: &str, content_hash: &[u8]) -> Result<Option<UssdSession>, StoreError> {
        let (request_id, content_hash) = (request_id.to_owned(), content_hash.to_owned());
        self.read("read a USSD session", move |reading| {
            started(reading, Some(&request_id), &content_hash)
        })
        .await
    }

    /// One session.
    pub async fn ussd(&self, id: &str) -> Result<Option<UssdSession>, StoreError> {
        let id = id.to_owned();
        self.read("read a USSD session", move |reading| find(reading, &id))
            .await
    }
}

impl Writing<'_> {
    /// Writes the row and appends the event.
    pub(super) fn save_ussd(&self, session: &UssdSession) -> Result<Sequence, StoreError> {
        let alive = session.state != UssdState::Ended;
        self.connection
            .prepare_cached(
                "INSERT INTO ussd_session (id, modem, alive, start_time, body) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (id) DO UPDATE SET alive = excluded.alive, body = excluded.body",
            )?
            .execute(params![
                session.id,
                session.modem,
                alive,
                stored_time(session.start_time),
                serde_json::to_string(session)?
            ])?;
        self.append(&session.modem, &Change::Ussd(session.clone()))
    }
}

fn started(
    reading: &Reading<'_>,
    request_id: Option<&str>,
    content_hash: &[u8],
) -> Result<Option<UssdSession>, StoreError> {
    let Some(known) = request::known(reading.connection, request_id, content_hash)? else {
        return Ok(None);
    };
    let id = known.ussd_session_id.clone().ok_or_else(|| known.reused())?;
    // Retention keeps a request longer than what it made: the id was used, and nothing is started again.
    find(reading, &id)?.ok_or_else(|| known.reused()).map(Some)
}

fn find(reading: &Reading<'_>, id: &str) -> Result<Option<UssdSession>, StoreError> {
    let found = reading.first(
        Source::UssdSession,
        "SELECT number, body FROM ussd_session WHERE id = ?1",
        [id],
    )?;
    Ok(found.map(|(_, session)| session))
}

/// Sessions of a modem that are not over.
pub(super) fn alive(reading: &Reading<'_>, modem: &str) -> Result<Vec<UssdSession>, StoreError> {
    reading.all(
        Source::UssdSession,
        "SELECT number, body FROM ussd_session WHERE modem = ?1 AND alive ORDER BY number",
        [modem],
    )
}
