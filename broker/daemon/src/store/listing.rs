//! Lists of messages, newest first, whatever they are asked by.
//!
//! A statement is put together from what is asked for, so that SQLite sees which index serves it: with a condition that may
//! be absent (`?1 IS NULL OR …`) it would read the whole table.

use jiff::Timestamp;
use rusqlite::types::Value;

use super::search::Wanted;
use super::unreadable::{Reading, Source};
use super::{Page, PageRequest, Store, StoreError, stored_time, word};
use crate::resource::{Message, MessageDirection, MessageState};

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
    /// Only messages of this conversation.
    pub conversation: Option<String>,
    /// Only messages that this client handed over.
    pub client: Option<String>,
    /// Only messages that were stored at this time or later.
    pub after: Option<Timestamp>,
    /// Only messages that were stored before this time.
    pub before: Option<Timestamp>,
    /// Only received messages that nobody has read.
    pub unread_only: bool,
    /// Only messages whose text has a word that begins with it, for each of these.
    pub words: Vec<String>,
    /// Messages that a later one replaced, too.
    pub show_replaced: bool,
    /// At most this many; 0 for the default.
    pub page_size: u32,
    /// Where the page begins; none for the first.
    pub page_token: Option<String>,
}

impl Store {
    /// Lists messages, newest first.
    pub async fn messages(&self, query: MessageQuery) -> Result<Page<Message>, StoreError> {
        self.read("list messages", move |reading| list(reading, &query)).await
    }
}

/// A statement under construction.
struct Statement {
    from: &'static str,
    conditions: Vec<String>,
    parameters: Vec<Value>,
}

impl Statement {
    fn require(&mut self, condition: &str) {
        self.conditions.push(condition.to_owned());
    }

    /// Adds a condition with one parameter, which is written `?`.
    fn require_of(&mut self, condition: &str, parameter: impl Into<Value>) {
        self.parameters.push(parameter.into());
        self.conditions
            .push(condition.replace('?', &format!("?{}", self.parameters.len())));
    }
}

/// States that the index of the few has.
const FEW: [MessageState; 7] = [
    MessageState::Queued,
    MessageState::Sending,
    MessageState::Failed,
    MessageState::OutcomeUnknown,
    MessageState::Cancelled,
    MessageState::Incomplete,
    MessageState::Raw,
];

/// The statement that lists what a query asks for, and its parameters. Its first columns are number and body.
pub(super) fn statement(query: &MessageQuery, before: i64, limit: i64) -> Result<(String, Vec<Value>), StoreError> {
    let wanted = Wanted::new(&query.words);
    let indexed_words = wanted.expression.is_some();
    let mut statement = Statement {
        from: "message",
        conditions: Vec::new(),
        parameters: Vec::new(),
    };
    if let Some(expression) = wanted.expression {
        // From the index to the rows: it gives the newest first by itself.
        statement.from = "message_text CROSS JOIN message ON message.number = message_text.rowid";
        statement.require_of("message_text MATCH ?", expression);
        statement.require_of("message_text.rowid < ?", before);
    } else {
        statement.require_of("number < ?", before);
    }
    for fragment in wanted.fragments {
        statement.require_of("instr(json_extract(body, '$.text'), ?) > 0", fragment);
    }
    if let Some(conversation) = &query.conversation {
        statement.require_of("conversation = ?", conversation.clone());
    }
    if let Some(address) = &query.address {
        statement.require_of("address = ?", address.clone());
    }
    if let Some(client) = &query.client {
        statement.require_of("client = ?", client.clone());
        statement.require("client <> ''");
    }
    if let Some(after) = query.after {
        statement.require_of("create_time >= ?", stored_time(after));
    }
    if let Some(before) = query.before {
        statement.require_of("create_time < ?", stored_time(before));
    }
    if let Some(modem) = &query.modem {
        statement.require_of("modem = ?", modem.clone());
    }
    if let Some(direction) = &query.direction {
        statement.require_of("direction = ?", word(direction)?);
    }
    if query.unread_only {
        statement.require("unread");
    }
    if !query.show_replaced {
        statement.require("NOT replaced");
    }
    if !query.states.is_empty() {
        // Words of ours, so that the index of the few states is seen to be enough.
        let words = query.states.iter().map(|state| Ok(format!("'{}'", word(state)?)));
        let words = words.collect::<Result<Vec<_>, StoreError>>()?;
        statement.require(&format!("state IN ({})", words.join(", ")));
        if query.states.iter().all(|state| FEW.contains(state)) {
            statement.require(
                "state IN ('queued', 'sending', 'failed', 'outcome_unknown', 'cancelled', 'incomplete', 'raw')",
            );
        }
    }
    let order = if indexed_words { "message_text.rowid" } else { "number" };
    if !indexed_words {
        statement.from = best_index(query);
    }
    statement.parameters.push(Value::from(limit));
    // The numbers first: what has to be sorted is small then, and only the rows of the page are read as a whole.
    let text = format!(
        "SELECT number, body FROM message WHERE number IN (
             SELECT {order} FROM {} WHERE {} ORDER BY {order} DESC LIMIT ?{})
         ORDER BY number DESC",
        statement.from,
        statement.conditions.join(" AND "),
        statement.parameters.len()
    );
    Ok((text, statement.parameters))
}

/// The table with the index that leaves the fewest rows. Said outright, because SQLite prefers the order of the numbers to
/// any index, and would read every message for a month of long ago.
fn best_index(query: &MessageQuery) -> &'static str {
    if query.conversation.is_some() {
        "message INDEXED BY message_conversation"
    } else if query.client.is_some() {
        "message INDEXED BY message_client"
    } else if !query.states.is_empty() && query.states.iter().all(|state| FEW.contains(state)) {
        "message INDEXED BY message_state"
    } else if query.after.is_some() || query.before.is_some() {
        "message INDEXED BY message_create_time"
    } else {
        "message"
    }
}

fn list(reading: &Reading<'_>, query: &MessageQuery) -> Result<Page<Message>, StoreError> {
    let filters = MessageQuery {
        page_size: 0,
        page_token: None,
        ..query.clone()
    };
    let page = PageRequest::new(query.page_token.as_deref(), query.page_size, &filters)?;
    // One more than is shown tells whether there is another page.
    let (text, parameters) = statement(query, page.before, page.limit as i64 + 1)?;
    let mut statement = reading.connection.prepare_cached(&text)?;
    let rows = statement.query(rusqlite::params_from_iter(parameters))?;
    page.fill(reading, Source::Message, rows)
}
