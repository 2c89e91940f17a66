//! Request ids: what reached the network once is not done again because somebody asked again.

use rusqlite::{Connection, OptionalExtension, params};

use super::writer::Writing;
use super::{StoreError, stored_time};

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Queued<T> {
    /// It was not known; its intent is durable now.
    New(T),
    /// It was made before; this is what it made, as it is now.
    Existing(T),
}

impl<T> Queued<T> {
    /// The resource, new or not.
    pub fn into_inner(self) -> T {
        match self {
            Self::New(resource) | Self::Existing(resource) => resource,
        }
    }
}

/// What a request made.
#[derive(Clone, Copy)]
pub(super) enum Made<'a> {
    Message(&'a str),
    Call(&'a str),
    UssdSession(&'a str),
}

/// A request that was made before.
pub(super) struct KnownRequest {
    request_id: String,
    pub(super) message_id: Option<String>,
    pub(super) call_id: Option<String>,
    pub(super) ussd_session_id: Option<String>,
}

impl KnownRequest {
    pub(super) fn reused(&self) -> StoreError {
        StoreError::RequestIdReused {
            request_id: self.request_id.clone(),
        }
    }
}

/// Looks a request up. One with the same id and another content is refused.
pub(super) fn known(
    connection: &Connection,
    request_id: Option<&str>,
    content_hash: &[u8],
) -> Result<Option<KnownRequest>, StoreError> {
    let Some(request_id) = request_id else { return Ok(None) };
    let found = connection
        .prepare_cached("SELECT content_hash, message_id, call_id, ussd_session_id FROM request WHERE request_id = ?1")?
        .query_row([request_id], |row| {
            let hash: Vec<u8> = row.get(0)?;
            let request_id = request_id.to_owned();
            Ok((
                hash,
                KnownRequest {
                    request_id,
                    message_id: row.get(1)?,
                    call_id: row.get(2)?,
                    ussd_session_id: row.get(3)?,
                },
            ))
        })
        .optional()?;
    match found {
        Some((hash, known)) if hash != content_hash => Err(known.reused()),
        found => Ok(found.map(|(_, known)| known)),
    }
}

impl Writing<'_> {
    /// Keeps a request with what it made.
    pub(super) fn keep_request(
        &self,
        request_id: Option<&str>,
        content_hash: &[u8],
        made: Made<'_>,
    ) -> Result<(), StoreError> {
        let Some(request_id) = request_id else { return Ok(()) };
        let (message_id, call_id, ussd_session_id) = match made {
            Made::Message(id) => (Some(id), None, None),
            Made::Call(id) => (None, Some(id), None),
            Made::UssdSession(id) => (None, None, Some(id)),
        };
        self.connection
            .prepare_cached(
                "INSERT INTO request (request_id, content_hash, message_id, call_id, ussd_session_id, create_time)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                request_id,
                content_hash,
                message_id,
                call_id,
                ussd_session_id,
                stored_time(self.now)
            ])?;
        Ok(())
    }
}
