//! What must survive a power cut: the journal of events, messages, calls, request ids and consumers' positions.
//!
//! One SQLite file, one writer that groups what is waiting into one transaction, a few readers. Nothing here blocks an
//! async thread: every transaction is a short `spawn_blocking`. A row and its event are always written together, and an
//! event can be seen only after it is durable.
//!
//! To follow the journal: mark the doorbell seen, read after the cursor until nothing is left, then wait for the doorbell.
//! Marking *after* reading would lose what was committed in between.
//!
//! # From a byte to an event
//!
//! What a port says on its own reaches the actor through a bounded queue. The actor folds it in without waiting. What
//! changed there goes by way of `modem::recorder`, in its order; messages, dials, USSD sessions, PIN attempts and
//! recovery steps write here themselves, because they must be durable before the next byte goes out. Both roads end in
//! one transaction with row and journal entry. After the commit the snapshot is published, whoever waits is answered,
//! and the doorbell rings.
//!
//! The newest events are also kept in memory, after their commit, so that a thousand watches cost no read of the disk
//! each. Replay and live are one path: there is no gap and no duplicate, and a slow client costs disk only.

mod attempt;
mod call;
mod card;
mod charge;
mod consumer;
mod conversation;
mod error;
mod health;
mod identity;
mod incoming;
mod journal;
mod listing;
mod lock;
mod message;
mod pin;
mod reader;
mod recovery;
mod report;
mod request;
mod retention;
mod schema;
mod search;
mod switched_off;
mod tail;
mod unreadable;
mod unstored;
mod usage;
mod ussd;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

pub use self::call::CallQuery;
pub use self::charge::Limits;
pub use self::consumer::Consumer;
pub use self::conversation::{Conversation, MARK_LIMIT, Marked};
pub use self::error::StoreError;
use self::health::OpenFile;
pub use self::health::{StoreHealth, StoreState};
pub use self::incoming::{Assembled, Concatenation, IncomingPart, Received, StoredPlace, Undecodable};
pub use self::journal::{Batch, Filter, Most};
pub use self::listing::MessageQuery;
pub use self::lock::DirectoryLock;
pub use self::message::NextQueued;
pub use self::pin::PinMemory;
use self::reader::Readers;
pub use self::recovery::Recovered;
pub use self::report::{ReportOutcome, StatusReport};
pub use self::request::Queued;
pub use self::retention::{Pruned, Retention};
use self::unreadable::{Reading, Source, Unreadable};
use self::unstored::Unstored;
pub use self::usage::Counters;
use self::writer::{Writer, Writing};
use crate::resource::Sequence;
use crate::supervisor;

/// Entries of a page when the caller has no wish.
pub const DEFAULT_PAGE_SIZE: u32 = 100;
/// Entries of a page at most.
pub const PAGE_SIZE_LIMIT: u32 = 1000;

/// The broker's memory. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    unstored: Arc<Unstored>,
    journal_id: Arc<str>,
    broker_id: Arc<str>,
    /// The sequence before the first event.
    beginning: Sequence,
    set_aside: Option<PathBuf>,
}

/// Some entries of a list, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// What they take in the store.
    pub octets: usize,
    /// Where the next page begins; none on the last.
    pub next_page_token: Option<String>,
    /// The newest event when the list was read: a watch from here misses nothing that the list does not show.
    pub cursor: Sequence,
}

impl Store {
    /// Opens the database file and makes it, with its directory, if it is missing.
    ///
    /// A new journal counts from the microseconds since 1970 on, so that a cursor of any earlier one lies before its
    /// beginning and is refused, whatever happens afterwards.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        Self::open_beginning_at(path, Sequence(now)).await
    }

    /// The same, with a new journal whose first event is the one after `beginning`.
    pub(crate) async fn open_beginning_at(path: &Path, beginning: Sequence) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let opening = supervisor::on_disk(move || {
            let opened = schema::open_for_writing(&path)?;
            let path_of_id = path.with_file_name("broker-id");
            let file = OpenFile::new(&path).map_err(|source| StoreError::Io {
                action: "look at",
                path: path.clone(),
                source: Arc::new(source),
            })?;
            let identity = identity::establish(&opened.connection, file.inode, beginning)?;
            let latest = journal::latest(&opened.connection)?;
            Ok(Self {
                writer: Arc::new(Writer::new(opened.connection, file, latest)),
                readers: Arc::new(Readers::new(path)),
                unstored: Arc::default(),
                journal_id: identity.journal_id.into(),
                broker_id: identity::broker_id(&path_of_id)?.into(),
                beginning: identity.beginning,
                set_aside: opened.set_aside,
            })
        });
        let action = "open the database";
        match opening.await {
            Ok(opened) => opened.map_err(|error: StoreError| error.during(action)),
            Err(_) => Err(StoreError::GivenUp { action }),
        }
    }

    /// Where a damaged database was moved to when this one was opened. People have to be told.
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }

    /// Which journal this is. A cursor is of use in the journal that it is of.
    pub fn journal_id(&self) -> &str {
        &self.journal_id
    }

    /// Which broker this is, kept beside the database so that it outlives it.
    pub fn broker_id(&self) -> &str {
        &self.broker_id
    }

    /// How many events there were since the journal was begun.
    pub fn event_count(&self) -> u64 {
        self.latest().0.saturating_sub(self.beginning.0)
    }

    /// Rings after every commit that appended events, with the sequence of the newest. Mark it seen *before* reading.
    pub fn doorbell(&self) -> watch::Receiver<Sequence> {
        self.writer.doorbell()
    }

    /// The newest committed event; zero if there never was one.
    pub fn latest(&self) -> Sequence {
        self.writer.latest()
    }

    async fn write<T, F>(&self, action: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Writing<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let unreadable = Unreadable::default();
        let outcome = self.writer.write(action, unreadable.clone(), work).await;
        self.set_rows_aside(&unreadable).await;
        outcome
    }

    async fn read<T, F>(&self, action: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Reading<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let unreadable = Unreadable::default();
        let outcome = self.readers.read(action, unreadable.clone(), work).await;
        self.set_rows_aside(&unreadable).await;
        outcome
    }
}

/// The word under which a unit variant is stored, the same in a column as inside the JSON.
fn word(value: &impl Serialize) -> Result<String, StoreError> {
    match serde_json::to_value(value)? {
        serde_json::Value::String(word) => Ok(word),
        other => Ok(other.to_string()),
    }
}

/// SQLite's integers are signed. A cursor from outside may be larger, and is then beyond every event anyway.
fn stored_sequence(sequence: Sequence) -> i64 {
    i64::try_from(sequence.0).unwrap_or(i64::MAX)
}

/// What this store wrote is never negative.
fn read_sequence(stored: i64) -> Sequence {
    Sequence(u64::try_from(stored).unwrap_or(0))
}

fn stored_time(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// Octets of the rows of a page, which is about what they are in a response: well below the 4 MiB that clients take.
pub const PAGE_OCTETS: u32 = 960 * 1024;

/// Which page of a list is wanted, and of which list: a token is of use with the filters that it was made with.
struct PageRequest {
    /// Rows below this number.
    before: i64,
    limit: usize,
    filters: String,
}

impl PageRequest {
    /// `filters` are the filters of the list, whatever they are.
    fn new(token: Option<&str>, page_size: u32, filters: &impl std::fmt::Debug) -> Result<Self, StoreError> {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(format!("{filters:?}"));
        let filters: String = digest.iter().take(4).map(|octet| format!("{octet:02x}")).collect();
        let before = match token {
            None => i64::MAX,
            Some(token) => token
                .split_once('-')
                .filter(|(_, of)| *of == filters)
                .and_then(|(number, _)| number.parse().ok())
                .filter(|number| *number > 0)
                .ok_or(StoreError::PageToken)?,
        };
        let limit = if page_size == 0 {
            DEFAULT_PAGE_SIZE
        } else {
            page_size.min(PAGE_SIZE_LIMIT)
        };
        Ok(Self {
            before,
            limit: limit as usize,
            filters,
        })
    }

    /// Makes a page of a statement's rows, whose first columns are number and body.
    fn fill<T: serde::de::DeserializeOwned>(
        &self,
        reading: &Reading<'_>,
        source: Source,
        mut rows: rusqlite::Rows<'_>,
    ) -> Result<Page<T>, StoreError> {
        let mut filling = self.begin();
        while let Some(row) = rows.next()? {
            let Some((number, octets, item)) = reading.value(source, row)? else {
                continue;
            };
            if !filling.take(number, octets, item) {
                break;
            }
        }
        Ok(filling.end(journal::latest(reading.connection)?))
    }

    fn begin<T>(&self) -> Filling<'_, T> {
        Filling {
            request: self,
            items: Vec::new(),
            octets: 0,
            last: self.before,
            more: false,
        }
    }
}

/// A page that is being filled.
struct Filling<'a, T> {
    request: &'a PageRequest,
    items: Vec<T>,
    octets: usize,
    last: i64,
    more: bool,
}

impl<T> Filling<'_, T> {
    /// Takes an item; false when the page is full, and the item is for the next one.
    fn take(&mut self, number: i64, octets: usize, item: T) -> bool {
        let full = self.items.len() == self.request.limit
            || (!self.items.is_empty() && self.octets + octets > PAGE_OCTETS as usize);
        if full {
            self.more = true;
            return false;
        }
        self.octets += octets;
        self.last = number;
        self.items.push(item);
        true
    }

    fn end(self, cursor: Sequence) -> Page<T> {
        Page {
            next_page_token: self.more.then(|| format!("{}-{}", self.last, self.request.filters)),
            items: self.items,
            octets: self.octets,
            cursor,
        }
    }
}
