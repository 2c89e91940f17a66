//! Messages: one row each, written together with its event.

use rusqlite::{Connection, OptionalExtension, params};

use super::writer::Writing;
use super::{
    Page, Queued, Store, StoreError, journal, page, page_limit, page_start, report, request, stored_time, word,
};
use crate::resource::{Change, Message, MessageDirection, MessageState, Sequence};

/// Which messages are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageQuery {
    /// Only messages of this modem.
    pub modem: Option<String>,
    /// Only messages of this direction.
    pub direction: Option<MessageDirection>,
    /// Only messages of these states; empty for every state.
    pub states: Vec<MessageState>,
    /// Only messages whose text contains every one of these, in upper or lower case.
    pub words: Vec<String>,
    /// At most this many; 0 for the default.
    pub page_size: u32,
    /// Where the page begins; none for the first.
    pub page_token: Option<String>,
}

impl Store {
    /// Makes a message to be sent durable, with its request id. A message without `request_id` is always new.
    pub async fn queue_message(&self, message: Message, content_hash: &[u8]) -> Result<Queued<Message>, StoreError> {
        let content_hash = content_hash.to_owned();
        self.write("queue a message", move |writing| {
            if let Some(known) = request::known(writing.connection, message.request_id.as_deref(), &content_hash)? {
                let id = known.message_id.clone().ok_or_else(|| known.reused())?;
                return Ok(Queued::Existing(require(writing.connection, &id)?));
            }
            writing.insert_message(&message)?;
            writing.keep_request(message.request_id.as_deref(), &content_hash, Some(&message.id), None)?;
            Ok(Queued::New(message))
        })
        .await
    }

    /// Writes a message's changed state, with its event. It becomes SENDING only from QUEUED or SENDING: a message that
    /// was cancelled since it was looked up is refused with its state, and is not to be sent.
    pub async fn update_message(&self, mut message: Message) -> Result<Sequence, StoreError> {
        self.write("update a message", move |writing| {
            if message.state == MessageState::Sending {
                let state = require(writing.connection, &message.id)?.state;
                if !matches!(state, MessageState::Queued | MessageState::Sending) {
                    return Err(StoreError::MessageState { state });
                }
            }
            writing.keep_outgoing_parts(&message)?;
            // Reports of the first parts may come while the last ones are still being sent.
            report::settle(writing.connection, &mut message)?;
            writing.save_message(&message)
        })
        .await
    }

    /// One message.
    pub async fn message(&self, id: &str) -> Result<Option<Message>, StoreError> {
        let id = id.to_owned();
        self.read("read a message", move |connection| find(connection, &id))
            .await
    }

    /// Lists messages, newest first.
    pub async fn messages(&self, query: MessageQuery) -> Result<Page<Message>, StoreError> {
        self.read("list messages", move |connection| list(connection, &query))
            .await
    }

    /// The message of a modem that has waited longest to be sent.
    pub async fn next_queued(&self, modem: &str) -> Result<Option<Message>, StoreError> {
        let modem = modem.to_owned();
        self.read("read the queue of messages", move |connection| {
            Ok(in_state(connection, &modem, MessageState::Queued, 1)?.pop())
        })
        .await
    }

    /// Cancels a message that is still queued, and returns it.
    pub async fn cancel_message(&self, id: &str) -> Result<Message, StoreError> {
        let id = id.to_owned();
        self.write("cancel a message", move |writing| {
            let mut message = require(writing.connection, &id)?;
            if message.state != MessageState::Queued {
                return Err(StoreError::MessageState { state: message.state });
            }
            message.state = MessageState::Cancelled;
            message.update_time = writing.now;
            writing.save_message(&message)?;
            Ok(message)
        })
        .await
    }

    /// Deletes a message. One that is queued has to be cancelled first; one that is being sent has to end first. Events
    /// that carried it stay in the journal until retention deletes them.
    pub async fn delete_message(&self, id: &str) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write("delete a message", move |writing| {
            let state = require(writing.connection, &id)?.state;
            if matches!(state, MessageState::Queued | MessageState::Sending) {
                return Err(StoreError::MessageState { state });
            }
            remove(writing.connection, &id)
        })
        .await
    }
}

impl Writing<'_> {
    /// Makes the row and appends the event.
    pub(super) fn insert_message(&self, message: &Message) -> Result<Sequence, StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO message (id, modem, direction, state, folded_text, update_time, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                message.id,
                message.modem,
                word(&message.direction)?,
                word(&message.state)?,
                message.text.to_lowercase(),
                stored_time(message.update_time),
                serde_json::to_string(message)?,
            ])?;
        self.append(&message.modem, &Change::Message(message.clone()))
    }

    /// Changes the row and appends the event.
    pub(super) fn save_message(&self, message: &Message) -> Result<Sequence, StoreError> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE message SET state = ?2, folded_text = ?3, update_time = ?4, body = ?5 WHERE id = ?1",
            )?
            .execute(params![
                message.id,
                word(&message.state)?,
                message.text.to_lowercase(),
                stored_time(message.update_time),
                serde_json::to_string(message)?,
            ])?;
        if changed == 0 {
            return Err(StoreError::MessageNotFound {
                message_id: message.id.clone(),
            });
        }
        self.append(&message.modem, &Change::Message(message.clone()))
    }
}

/// One message, by its id.
pub(super) fn find(connection: &Connection, id: &str) -> Result<Option<Message>, StoreError> {
    let body: Option<String> = connection
        .prepare_cached("SELECT body FROM message WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
}

/// One message that must be there.
pub(super) fn require(connection: &Connection, id: &str) -> Result<Message, StoreError> {
    find(connection, id)?.ok_or_else(|| StoreError::MessageNotFound {
        message_id: id.to_owned(),
    })
}

/// The oldest messages of a modem in a state.
pub(super) fn in_state(
    connection: &Connection,
    modem: &str,
    state: MessageState,
    limit: u32,
) -> Result<Vec<Message>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT body FROM message WHERE modem = ?1 AND state = ?2 ORDER BY number LIMIT ?3")?;
    let mut rows = statement.query(params![modem, word(&state)?, limit])?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next()? {
        messages.push(serde_json::from_str(&row.get::<_, String>(0)?)?);
    }
    Ok(messages)
}

/// Deletes the row and the texts of its parts. What identifies the parts stays, so that a PDU that the modem still holds
/// is not received a second time.
pub(super) fn remove(connection: &Connection, id: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM message WHERE id = ?1")?
        .execute([id])?;
    connection
        .prepare_cached("DELETE FROM outgoing_part WHERE message_id = ?1")?
        .execute([id])?;
    connection
        .prepare_cached("UPDATE incoming_part SET message_id = NULL, pdu = '', address = '' WHERE message_id = ?1")?
        .execute([id])?;
    Ok(())
}

fn list(connection: &Connection, query: &MessageQuery) -> Result<Page<Message>, StoreError> {
    let limit = page_limit(query.page_size);
    let direction = query.direction.as_ref().map(word).transpose()?;
    let states = if query.states.is_empty() {
        None
    } else {
        Some(serde_json::to_string(&query.states)?)
    };
    let words: Vec<String> = query.words.iter().map(|word| word.to_lowercase()).collect();
    let mut statement = connection.prepare_cached(
        "SELECT number, body FROM message
         WHERE number < ?1
           AND (?2 IS NULL OR modem = ?2)
           AND (?3 IS NULL OR direction = ?3)
           AND (?4 IS NULL OR state IN (SELECT value FROM json_each(?4)))
           AND NOT EXISTS (SELECT 1 FROM json_each(?5) WHERE instr(folded_text, value) = 0)
         ORDER BY number DESC LIMIT ?6",
    )?;
    let mut rows = statement.query(params![
        page_start(query.page_token.as_deref())?,
        query.modem,
        direction,
        states,
        serde_json::to_string(&words)?,
        limit as i64 + 1,
    ])?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next()? {
        messages.push((row.get(0)?, serde_json::from_str(&row.get::<_, String>(1)?)?));
    }
    Ok(page(messages, limit, journal::latest(connection)?))
}
