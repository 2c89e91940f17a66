//! Conversations, and which received messages somebody has read.

use rusqlite::params;

use super::unreadable::Source;
use super::{Page, PageRequest, Store, StoreError, journal, message};
use crate::resource::{Message, MessageDirection};

/// Messages that one request marks.
pub const MARK_LIMIT: usize = 1000;

/// The messages that are exchanged with one address.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    /// With whom.
    pub name: String,
    /// The newest message.
    pub last_message: Message,
    /// How many there are.
    pub message_count: u64,
    /// How many received ones nobody has read.
    pub unread_count: u64,
}

/// Which messages are marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marked {
    /// These.
    Messages(Vec<String>),
    /// All of a conversation.
    Conversation(String),
}

impl Store {
    /// Lists conversations, the one with the newest message first.
    pub async fn conversations(
        &self,
        page_size: u32,
        page_token: Option<String>,
    ) -> Result<Page<Conversation>, StoreError> {
        self.read("list conversations", move |reading| {
            let page = PageRequest::new(page_token.as_deref(), page_size, &"conversations")?;
            let mut statement = reading.connection.prepare_cached(
                "SELECT last_number, body, name, message_count, unread_count
                 FROM conversation CROSS JOIN message ON message.number = conversation.last_number
                 WHERE last_number < ?1 ORDER BY last_number DESC",
            )?;
            let mut rows = statement.query([page.before])?;
            let mut filling = page.begin();
            while let Some(row) = rows.next()? {
                let Some((number, octets, last_message)) = reading.value(Source::Message, row)? else {
                    continue;
                };
                let conversation = Conversation {
                    name: row.get(2)?,
                    last_message,
                    message_count: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
                    unread_count: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
                };
                if !filling.take(number, octets, conversation) {
                    break;
                }
            }
            Ok(filling.end(journal::latest(reading.connection)?))
        })
        .await
    }

    /// Marks received messages as read, or as unread again, and returns how many changed.
    pub async fn mark(&self, which: Marked, unread: bool) -> Result<u32, StoreError> {
        self.write("mark messages as read", move |writing| {
            let messages: Vec<Message> = match &which {
                Marked::Messages(ids) => {
                    let found = ids.iter().map(|id| message::require(&writing.reading(), id));
                    found.collect::<Result<_, _>>()?
                }
                Marked::Conversation(name) => writing.reading().all(
                    Source::Message,
                    "SELECT number, body FROM message INDEXED BY message_conversation
                     WHERE conversation = ?1 AND unread <> ?2 AND direction = 'incoming' ORDER BY number LIMIT ?3",
                    params![name, unread, MARK_LIMIT as i64],
                )?,
            };
            let mut changed = 0;
            for mut message in messages {
                if message.direction != MessageDirection::Incoming || message.read_time.is_none() == unread {
                    continue;
                }
                message.read_time = (!unread).then_some(writing.now);
                writing.save_message(&message)?;
                changed += 1;
            }
            Ok(changed)
        })
        .await
    }
}
