//! Messages: one row each, written together with its event.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::unreadable::{Reading, Source};
use super::writer::Writing;
use super::{Limits, Queued, Store, StoreError, journal, report, request, search, stored_time, word};
use crate::resource::{Change, Deleted, DeletedKind, DeletionCause, Message, MessageDirection, MessageState, Sequence};

/// Above every priority: parts of it are out already, and nothing may come between them and the others.
const RANK_BEGUN: i64 = 1000;

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
        mut message: Message,
        content_hash: &[u8],
        limits: &Limits,
    ) -> Result<Queued<Message>, StoreError> {
        let (content_hash, limits) = (content_hash.to_owned(), limits.clone());
        self.write("queue a message", move |writing| {
            if let Some(known) = request::known(writing.connection, message.request_id.as_deref(), &content_hash)? {
                let id = known.message_id.clone().ok_or_else(|| known.reused())?;
                return Ok(Queued::Existing(require(&writing.reading(), &id)?));
            }
            writing.charge(&message, &limits)?;
            writing.insert_message(&mut message)?;
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
            let stored = require(&writing.reading(), &message.id)?;
            let state = stored.state;
            message.conversation = stored.conversation;
            // The SIM that pays is the one that is in when the first part goes out.
            message.iccid = match (stored.iccid.is_empty(), message.state) {
                (true, MessageState::Sending) => writing.cards.iccid(&message.modem),
                _ => stored.iccid,
            };
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

    /// One message, with its PDUs.
    pub async fn message(&self, id: &str) -> Result<Option<Message>, StoreError> {
        let id = id.to_owned();
        self.read("read a message", move |reading| {
            let Some((number, mut message)) = numbered(reading, &id)? else {
                return Ok(None);
            };
            message.pdus = pdus(reading.connection, number, &message)?;
            Ok(Some(message))
        })
        .await
    }

    /// What a modem is to send at `now`: the message of the highest priority, of several the one that has waited longest.
    pub async fn next_queued(&self, modem: &str, now: Timestamp) -> Result<NextQueued, StoreError> {
        let modem = modem.to_owned();
        self.read("read the queue of messages", move |reading| {
            next_queued(reading, &modem, now)
        })
        .await
    }

    /// How many messages wait to be sent by a modem.
    pub async fn queued_messages(&self, modem: &str) -> Result<u64, StoreError> {
        let modem = modem.to_owned();
        self.read("count the queue of messages", move |reading| {
            let count: i64 = reading
                .connection
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
            let mut message = require(&writing.reading(), &id)?;
            match message.state {
                MessageState::Queued => {}
                // A repeated request finds what the first one did.
                MessageState::Cancelled => return Ok(message),
                state => return Err(StoreError::MessageState { state }),
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

    /// Deletes a message, also from the journal, with an event that says so. One that is queued has to be cancelled first;
    /// one that is being sent has to end first.
    pub async fn delete_message(&self, id: &str) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write("delete a message", move |writing| {
            let message = require(&writing.reading(), &id)?;
            if matches!(message.state, MessageState::Queued | MessageState::Sending) {
                return Err(StoreError::MessageState { state: message.state });
            }
            writing.remove_message(&id, DeletionCause::Client)
        })
        .await?;
        // What memory has of the journal's end may be of this message.
        self.writer.tail().clear();
        Ok(())
    }
}

impl Writing<'_> {
    /// Makes the row and appends the event.
    pub(super) fn insert_message(&self, message: &mut Message) -> Result<Sequence, StoreError> {
        message.conversation = self.cards.conversation(&message.modem, &message.address);
        let incoming = message.direction == MessageDirection::Incoming;
        if incoming {
            message.iccid = self.cards.iccid(&message.modem);
        }
        let told = message.told();
        let body = serde_json::to_string(&told)?;
        let sequence = self.append(&message.modem, &Change::Message(told))?;
        self.connection
            .prepare_cached(
                "INSERT INTO message
                     (id, modem, direction, state, address, rank, send_time, replace_type, update_time, body, create_time,
                      client, conversation, unread, last_sequence)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
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
                body,
                stored_time(message.create_time),
                message.client,
                message.conversation,
                incoming && message.read_time.is_none(),
                super::stored_sequence(sequence),
            ])?;
        let number = self.connection.last_insert_rowid();
        if !incoming && !message.pdus.is_empty() {
            self.connection
                .prepare_cached("INSERT INTO outgoing_pdu (number, pdus) VALUES (?1, ?2)")?
                .execute(params![number, serde_json::to_string(&message.pdus)?])?;
        }
        self.index_text(&message.id, &message.text)?;
        Ok(sequence)
    }

    /// Changes the row and appends the event. The text is taken to be the same; see [`Writing::index_text`].
    pub(super) fn save_message(&self, message: &Message) -> Result<Sequence, StoreError> {
        let stored: Option<(i64, Option<i64>)> = self
            .connection
            .prepare_cached("SELECT number, last_sequence FROM message WHERE id = ?1")?
            .query_row([&message.id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (number, previous) = stored.ok_or_else(|| StoreError::MessageNotFound {
            message_id: message.id.clone(),
        })?;
        let told = message.told();
        let body = serde_json::to_string(&told)?;
        let sequence = self.append_after(&message.modem, &Change::Message(told), previous)?;
        self.connection
            .prepare_cached(
                "UPDATE message
                 SET state = ?2, rank = ?3, replaced = ?4, update_time = ?5, body = ?6, unread = ?7, last_sequence = ?8
                 WHERE number = ?1",
            )?
            .execute(params![
                number,
                word(&message.state)?,
                rank(message),
                message.replaced_by.is_some(),
                stored_time(message.update_time),
                body,
                message.direction == MessageDirection::Incoming && message.read_time.is_none(),
                super::stored_sequence(sequence),
            ])?;
        Ok(sequence)
    }

    /// Deletes a message with everything that holds its text or its address, and says so. What identifies its parts
    /// stays, so that a PDU that the modem still holds is not received a second time.
    pub(super) fn remove_message(&self, id: &str, cause: DeletionCause) -> Result<(), StoreError> {
        let found: Option<(i64, String, Option<i64>)> = self
            .connection
            .prepare_cached("SELECT number, modem, last_sequence FROM message WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((number, modem, newest)) = found else {
            return Ok(());
        };
        journal::scrub(self.connection, newest)?;
        search::forget(self.connection, number)?;
        for statement in [
            "DELETE FROM message WHERE number = ?1",
            "DELETE FROM outgoing_pdu WHERE number = ?1",
        ] {
            self.connection.prepare_cached(statement)?.execute([number])?;
        }
        for statement in [
            "DELETE FROM outgoing_part WHERE message_id = ?1",
            "UPDATE incoming_part SET message_id = NULL, pdu = '', address = '' WHERE message_id = ?1",
        ] {
            self.connection.prepare_cached(statement)?.execute([id])?;
        }
        let deleted = Deleted {
            kind: DeletedKind::Message,
            id: id.to_owned(),
            cause,
        };
        self.append(&modem, &Change::Deleted(deleted)).map(|_| ())
    }

    /// Marks the message whose place a received one takes: the last of the same *replace short message type* from the same
    /// address (23.040 9.2.3.9). The standard has it replaced; here it is kept, and shown to whoever asks for it.
    pub(super) fn replace_earlier(&self, message: &Message) -> Result<(), StoreError> {
        let Some(replace_type) = message.replace_type() else {
            return Ok(());
        };
        let earlier: Option<(i64, Message)> = self.reading().first(
            Source::Message,
            "SELECT number, body FROM message
             WHERE modem = ?1 AND address = ?2 AND replace_type = ?3 AND direction = 'incoming' AND NOT replaced AND id <> ?4
             ORDER BY number DESC",
            params![message.modem, message.address, replace_type, message.id],
        )?;
        let Some((_, mut earlier)) = earlier else { return Ok(()) };
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

fn next_queued(reading: &Reading<'_>, modem: &str, now: Timestamp) -> Result<NextQueued, StoreError> {
    let connection = reading.connection;
    let now = stored_time(now);
    let due: Option<(i64, Message)> = reading.first(
        Source::Message,
        "SELECT number, body FROM message
         WHERE modem = ?1 AND state = 'queued' AND (send_time IS NULL OR send_time <= ?2)
         ORDER BY rank DESC, number",
        params![modem, now],
    )?;
    if let Some((number, mut message)) = due {
        message.pdus = pdus(connection, number, &message)?;
        return Ok(NextQueued::Message(Box::new(message)));
    }
    let next: Option<i64> = connection
        .prepare_cached("SELECT min(send_time) FROM message WHERE modem = ?1 AND state = 'queued' AND send_time > ?2")?
        .query_row(params![modem, now], |row| row.get(0))?;
    let next = next.and_then(|time| Timestamp::from_microsecond(time).ok());
    Ok(next.map_or(NextQueued::Nothing, NextQueued::At))
}

/// The PDUs of a message's parts, in order.
fn pdus(connection: &Connection, number: i64, message: &Message) -> Result<Vec<String>, StoreError> {
    if message.direction == MessageDirection::Outgoing {
        let written: Option<String> = connection
            .prepare_cached("SELECT pdus FROM outgoing_pdu WHERE number = ?1")?
            .query_row([number], |row| row.get(0))
            .optional()?;
        return Ok(written
            .map(|written| serde_json::from_str(&written))
            .transpose()?
            .unwrap_or_default());
    }
    let mut statement = connection.prepare_cached(
        "SELECT pdu FROM incoming_part WHERE message_id = ?1 GROUP BY part HAVING number = min(number) ORDER BY part",
    )?;
    let rows = statement.query_map([&message.id], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn numbered(reading: &Reading<'_>, id: &str) -> Result<Option<(i64, Message)>, StoreError> {
    reading.first(Source::Message, "SELECT number, body FROM message WHERE id = ?1", [id])
}

/// One message that must be there.
pub(super) fn require(reading: &Reading<'_>, id: &str) -> Result<Message, StoreError> {
    let found = numbered(reading, id)?.map(|(_, message)| message);
    found.ok_or_else(|| StoreError::MessageNotFound {
        message_id: id.to_owned(),
    })
}

/// The oldest messages of a modem that are being sent.
pub(super) fn sending(reading: &Reading<'_>, modem: &str) -> Result<Vec<Message>, StoreError> {
    reading.all(
        Source::Message,
        "SELECT number, body FROM message WHERE state = 'sending' AND modem = ?1 ORDER BY number",
        [modem],
    )
}

/// The oldest messages of a modem whose outcome is unknown.
pub(super) fn of_unknown_outcome(reading: &Reading<'_>, modem: &str, limit: u32) -> Result<Vec<Message>, StoreError> {
    reading.all(
        Source::Message,
        "SELECT number, body FROM message WHERE state = 'outcome_unknown' AND modem = ?1 ORDER BY number LIMIT ?2",
        params![modem, limit],
    )
}
