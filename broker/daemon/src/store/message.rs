//! Messages: one row each, written together with its event.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::search::Wanted;
use super::writer::Writing;
use super::{
    Limits, Page, Queued, Store, StoreError, journal, page, page_limit, page_start, report, request, search,
    stored_time, word,
};
use crate::resource::{Change, Message, MessageDirection, MessageState, Sequence};

/// Above every priority: parts of it are out already, and nothing may come between them and the others.
const RANK_BEGUN: i64 = 1000;

/// Which messages are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageQuery {
    /// Only messages of this modem.
    pub modem: Option<String>,
    /// Only messages of this direction.
    pub direction: Option<MessageDirection>,
    /// Only messages of these states; empty for every state.
    pub states: Vec<MessageState>,
    /// Only messages to or from this address.
    pub address: Option<String>,
    /// Only messages whose text has a word that begins with it, for each of these.
    pub words: Vec<String>,
    /// Messages that a later one replaced, too.
    pub show_replaced: bool,
    /// At most this many; 0 for the default.
    pub page_size: u32,
    /// Where the page begins; none for the first.
    pub page_token: Option<String>,
}

/// What a modem is to send.
#[derive(Clone, Debug, PartialEq)]
pub enum NextQueued {
    /// This, now.
    Message(Box<Message>),
    /// Something at this time, and nothing before.
    At(Timestamp),
    /// Nothing.
    Nothing,
}

impl Store {
    /// Makes a message to be sent durable, with its request id. A message without `request_id` is always new. What is
    /// beyond the limits is refused, unless the request was accepted before.
    pub async fn queue_message(
        &self,
        message: Message,
        content_hash: &[u8],
        limits: &Limits,
    ) -> Result<Queued<Message>, StoreError> {
        let (content_hash, limits) = (content_hash.to_owned(), limits.clone());
        self.write("queue a message", move |writing| {
            if let Some(known) = request::known(writing.connection, message.request_id.as_deref(), &content_hash)? {
                let id = known.message_id.clone().ok_or_else(|| known.reused())?;
                return Ok(Queued::Existing(require(writing.connection, &id)?));
            }
            writing.charge(&message, &limits)?;
            writing.insert_message(&message)?;
            writing.keep_request(
                message.request_id.as_deref(),
                &content_hash,
                request::Made::Message(&message.id),
            )?;
            Ok(Queued::New(message))
        })
        .await
    }

    /// Writes a message's changed state, with its event. It becomes SENDING only from QUEUED or SENDING: a message that
    /// was cancelled since it was looked up is refused with its state, and is not to be sent.
    pub async fn update_message(&self, mut message: Message) -> Result<Sequence, StoreError> {
        self.write("update a message", move |writing| {
            let stored = require(writing.connection, &message.id)?;
            let state = stored.state;
            // A report may have come since the message was looked up.
            message.service_centre_time = message.service_centre_time.or(stored.service_centre_time);
            let is_open = matches!(state, MessageState::Queued | MessageState::Sending);
            if state == MessageState::Cancelled || (message.state == MessageState::Sending && !is_open) {
                return Err(StoreError::MessageState { state });
            }
            writing.keep_outgoing_parts(&message)?;
            // Reports of the first parts may come while the last ones are still being sent.
            report::settle(writing.connection, &mut message)?;
            let saved = writing.save_message(&message)?;
            Ok(writing.apply_early_reports(&message.modem)?.unwrap_or(saved))
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

    /// What a modem is to send at `now`: the message of the highest priority, of several the one that has waited longest.
    pub async fn next_queued(&self, modem: &str, now: Timestamp) -> Result<NextQueued, StoreError> {
        let modem = modem.to_owned();
        self.read("read the queue of messages", move |connection| {
            next_queued(connection, &modem, now)
        })
        .await
    }

    /// How many messages wait to be sent by a modem.
    pub async fn queued_messages(&self, modem: &str) -> Result<u64, StoreError> {
        let modem = modem.to_owned();
        self.read("count the queue of messages", move |connection| {
            let count: i64 = connection
                .prepare_cached("SELECT count(*) FROM message WHERE modem = ?1 AND state = 'queued'")?
                .query_row([modem], |row| row.get(0))?;
            Ok(u64::try_from(count).unwrap_or(0))
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
            if message.parts_done == 0 {
                writing.refund(&message.id)?;
            } else {
                message.failure = format!(
                    "{} of its {} parts had been sent before it was cancelled",
                    message.parts_done, message.part_count
                );
            }
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
                "INSERT INTO message
                     (id, modem, direction, state, address, rank, send_time, replace_type, update_time, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                message.id,
                message.modem,
                word(&message.direction)?,
                word(&message.state)?,
                message.address,
                rank(message),
                message.send_time.map(stored_time),
                message.replace_type(),
                stored_time(message.update_time),
                serde_json::to_string(message)?,
            ])?;
        self.index_text(&message.id, &message.text)?;
        self.append(&message.modem, &Change::Message(message.clone()))
    }

    /// Changes the row and appends the event. The text is taken to be the same; see [`Writing::index_text`].
    pub(super) fn save_message(&self, message: &Message) -> Result<Sequence, StoreError> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE message SET state = ?2, rank = ?3, replaced = ?4, update_time = ?5, body = ?6 WHERE id = ?1",
            )?
            .execute(params![
                message.id,
                word(&message.state)?,
                rank(message),
                message.replaced_by.is_some(),
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

    /// Marks the message whose place a received one takes: the last of the same *replace short message type* from the same
    /// address (23.040 9.2.3.9). The standard has it replaced; here it is kept, and shown to whoever asks for it.
    pub(super) fn replace_earlier(&self, message: &Message) -> Result<(), StoreError> {
        let Some(replace_type) = message.replace_type() else {
            return Ok(());
        };
        let earlier: Option<String> = self
            .connection
            .prepare_cached(
                "SELECT body FROM message
                 WHERE modem = ?1 AND address = ?2 AND replace_type = ?3 AND direction = 'incoming' AND NOT replaced
                   AND id <> ?4
                 ORDER BY number DESC LIMIT 1",
            )?
            .query_row(
                params![message.modem, message.address, replace_type, message.id],
                |row| row.get(0),
            )
            .optional()?;
        let Some(body) = earlier else { return Ok(()) };
        let mut earlier: Message = serde_json::from_str(&body)?;
        earlier.replaced_by = Some(message.id.clone());
        earlier.update_time = self.now;
        self.save_message(&earlier).map(|_| ())
    }
}

fn rank(message: &Message) -> i64 {
    if message.direction == MessageDirection::Outgoing && message.parts_done > 0 {
        RANK_BEGUN
    } else {
        message.priority as i64
    }
}

fn next_queued(connection: &Connection, modem: &str, now: Timestamp) -> Result<NextQueued, StoreError> {
    let now = stored_time(now);
    let due: Option<String> = connection
        .prepare_cached(
            "SELECT body FROM message
             WHERE modem = ?1 AND state = 'queued' AND (send_time IS NULL OR send_time <= ?2)
             ORDER BY rank DESC, number LIMIT 1",
        )?
        .query_row(params![modem, now], |row| row.get(0))
        .optional()?;
    if let Some(body) = due {
        return Ok(NextQueued::Message(Box::new(serde_json::from_str(&body)?)));
    }
    let next: Option<i64> = connection
        .prepare_cached("SELECT min(send_time) FROM message WHERE modem = ?1 AND state = 'queued'")?
        .query_row([modem], |row| row.get(0))?;
    let next = next.and_then(|time| Timestamp::from_microsecond(time).ok());
    Ok(next.map_or(NextQueued::Nothing, NextQueued::At))
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
    search::forget(connection, id)?;
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
    let wanted = Wanted::new(&query.words);
    let mut statement = connection.prepare_cached(
        "SELECT number, body FROM message
         WHERE number < ?1
           AND (?2 IS NULL OR modem = ?2)
           AND (?3 IS NULL OR direction = ?3)
           AND (?4 IS NULL OR state IN (SELECT value FROM json_each(?4)))
           AND (?5 IS NULL OR number IN (SELECT rowid FROM message_text WHERE message_text MATCH ?5))
           AND NOT EXISTS (SELECT 1 FROM json_each(?6) WHERE instr(json_extract(body, '$.text'), value) = 0)
           AND (?7 IS NULL OR address = ?7)
           AND (?8 OR NOT replaced)
         ORDER BY number DESC LIMIT ?9",
    )?;
    let mut rows = statement.query(params![
        page_start(query.page_token.as_deref())?,
        query.modem,
        direction,
        states,
        wanted.expression,
        serde_json::to_string(&wanted.fragments)?,
        query.address,
        query.show_replaced,
        limit as i64 + 1,
    ])?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next()? {
        messages.push((row.get(0)?, serde_json::from_str(&row.get::<_, String>(1)?)?));
    }
    Ok(page(messages, limit, journal::latest(connection)?))
}
