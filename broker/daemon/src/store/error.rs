//! What can go wrong in the store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::ErrorCode;

use crate::refusal::Refusal;
use crate::resource::{MessageState, Sequence};

/// Why the store could not do something. Cheap to clone, because one failed transaction fails everything grouped in it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No space is left; nothing of the transaction was kept.
    #[error("failed to {action}: the disk is full")]
    Full {
        /// What was attempted.
        action: &'static str,
    },
    /// SQLite failed.
    #[error("failed to {action}")]
    Database {
        /// What was attempted.
        action: &'static str,
        /// SQLite's error.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// The operating system failed.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Another broker has the state directory.
    #[error(
        "the state directory {} is in use by another broker{}: stop that one, or give this one a broker.state_directory of its own",
        directory.display(), pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
    )]
    DirectoryTaken {
        /// The directory.
        directory: PathBuf,
        /// The other broker's process, when it is known.
        pid: Option<u32>,
    },
    /// The file was deleted or replaced while it was open.
    #[error(
        "the database {} was deleted or replaced while the broker runs: put it back if you can, and restart the broker",
        path.display()
    )]
    Gone {
        /// The database.
        path: PathBuf,
    },
    /// The file was written by a newer broker.
    #[error("failed to open {}: its version is {version}, this broker knows up to {known}; use the newer broker", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// The version in the file.
        version: u32,
        /// The newest version this broker knows.
        known: u32,
    },
    /// A stored value cannot be read back or a value cannot be written as JSON.
    #[error("failed to {action}: a stored value is not readable")]
    Value {
        /// What was attempted.
        action: &'static str,
        /// What is wrong with it.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// The transaction was given up, because another part of its group failed or because code in it panicked.
    #[error("failed to {action}: the transaction was given up")]
    GivenUp {
        /// What was attempted.
        action: &'static str,
    },
    /// The `request_id` belongs to another request.
    #[error("request_id {request_id} was used before with another content; use a new UUID")]
    RequestIdReused {
        /// The id.
        request_id: String,
    },
    /// No such message.
    #[error("no such message: {message_id}")]
    MessageNotFound {
        /// The id.
        message_id: String,
    },
    /// The message is in a state in which this cannot be done.
    #[error("the message {state}")]
    MessageState {
        /// The state.
        state: MessageState,
    },
    /// Too much was handed over lately.
    #[error("{key} allows {allowed} parts")]
    RateLimited {
        /// The limit, by its key in the configuration.
        key: &'static str,
        /// How many parts it allows.
        allowed: u32,
        /// When there is room; none if there never is.
        retry_after: Option<Duration>,
    },
    /// No such call.
    #[error("no such call: {call_id}")]
    CallNotFound {
        /// The id.
        call_id: String,
    },
    /// The page token was not made by this store.
    #[error("the page token is not one of this broker's")]
    PageToken,
    /// The cursor points before the oldest stored event.
    #[error("cursor {} is older than the oldest stored event", cursor.0)]
    CursorExpired {
        /// The cursor.
        cursor: Sequence,
        /// The oldest cursor that can be read from.
        oldest: Sequence,
    },
    /// The cursor is of the journal that this one is a copy of.
    #[error("cursor {} is of another journal", cursor.0)]
    CursorForeign {
        /// The cursor.
        cursor: Sequence,
        /// The oldest cursor that can be read from.
        oldest: Sequence,
    },
    /// The cursor points beyond the newest event, so it belongs to another journal.
    #[error("cursor {} is beyond the newest event", cursor.0)]
    CursorAhead {
        /// The cursor.
        cursor: Sequence,
        /// The newest event.
        latest: Sequence,
        /// The oldest cursor that can be read from.
        oldest: Sequence,
    },
}

impl StoreError {
    /// Names what was attempted, where SQLite's or serde's error was taken over by `?` without a name.
    pub(super) fn during(mut self, attempted: &'static str) -> Self {
        match &mut self {
            Self::Full { action }
            | Self::Database { action, .. }
            | Self::Value { action, .. }
            | Self::GivenUp { action } => *action = attempted,
            _ => {}
        }
        self
    }

    /// What is wrong with the store, and what to do about it.
    pub(super) fn cure(&self) -> String {
        match self {
            Self::Full { .. } => {
                "the disk is full: free some space, or keep less ([store] in the configuration)".to_owned()
            }
            Self::Database { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::ReadOnly) => {
                    "the database is read-only: remount its file system for writing, or give the broker's user the right to it"
                        .to_owned()
                }
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    "the database is damaged: check the disk and restart the broker, which sets the file aside".to_owned()
                }
                _ => format!("{source}: check the disk and the rights of the state directory"),
            },
            other => other.to_string(),
        }
    }

    /// Whether it is not the write that failed but what it is written to.
    pub(super) fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Gone { .. } => true,
            Self::Database { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(
                    ErrorCode::ReadOnly
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::DatabaseCorrupt
                        | ErrorCode::CannotOpen
                )
            ),
            _ => false,
        }
    }

    /// Whether the file's content, and not its surroundings, is what failed.
    pub(super) fn is_corruption(&self) -> bool {
        match self {
            Self::Database { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            _ => false,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let action = "use the database";
        // SQLite tells a full disk in two ways: for the file itself, and for the shared memory of the write-ahead log.
        let full = error.sqlite_error().is_some_and(|sqlite| {
            sqlite.code == ErrorCode::DiskFull || sqlite.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
        });
        if full {
            Self::Full { action }
        } else {
            Self::Database {
                action,
                source: Arc::new(error),
            }
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Value {
            action: "use the database",
            source: Arc::new(error),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full { .. } => Refusal::StorageFull,
            StoreError::RequestIdReused { request_id } => Refusal::RequestIdReused { request_id },
            StoreError::MessageNotFound { message_id } => Refusal::MessageNotFound { message_id },
            StoreError::MessageState { state } => Refusal::MessageState { state },
            StoreError::RateLimited {
                key,
                allowed,
                retry_after,
            } => Refusal::RateLimited {
                key,
                allowed,
                retry_after,
            },
            StoreError::CallNotFound { call_id } => Refusal::CallNotFound { call_id },
            StoreError::PageToken => Refusal::FieldInvalid {
                field: "page_token",
                problem: "is not one that this broker returned".to_owned(),
            },
            StoreError::CursorExpired { cursor, oldest } => Refusal::CursorExpired { cursor, oldest },
            StoreError::CursorAhead { cursor, oldest, .. } | StoreError::CursorForeign { cursor, oldest } => {
                Refusal::CursorForeign { cursor, oldest }
            }
            StoreError::Database { .. }
            | StoreError::Io { .. }
            | StoreError::DirectoryTaken { .. }
            | StoreError::Gone { .. }
            | StoreError::Newer { .. }
            | StoreError::Value { .. }
            | StoreError::GivenUp { .. } => Refusal::StoreFailed(Arc::new(error)),
        }
    }
}
