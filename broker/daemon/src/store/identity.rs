//! Which journal this is, so that a cursor of another one is told apart from one of this.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{StoreError, journal, read_sequence, stored_sequence};
use crate::resource::Sequence;

/// Which journal this is.
pub(super) struct Identity {
    pub(super) journal_id: String,
    /// The sequence before the first event.
    pub(super) beginning: Sequence,
}

/// Reads the identity, and gives one to a new journal and to the copy of another one that was restored. A copy is known by
/// lying in another file; it goes on after everything that the other may have told since, so that nothing has two meanings.
pub(super) fn establish(connection: &Connection, inode: u64, beginning: Sequence) -> Result<Identity, StoreError> {
    // SQLite's integers are signed; the number only has to be the same each time.
    let inode = inode.cast_signed();
    let (id, known, begun): (String, Option<i64>, i64) =
        connection.query_row("SELECT id, inode, beginning FROM journal", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    if !id.is_empty() && known == Some(inode) {
        return Ok(Identity {
            journal_id: id,
            beginning: read_sequence(begun),
        });
    }
    let id = Uuid::new_v4().to_string();
    let latest = journal::latest(connection)?;
    let transaction = connection.unchecked_transaction()?;
    let mut begun = read_sequence(begun);
    if known.is_some() {
        let until = Sequence(beginning.0.max(latest.0 + 1));
        count_from(&transaction, until)?;
        transaction.execute(
            "UPDATE journal SET gap_after = ?1, gap_until = ?2, beginning = beginning + ?2 - ?1",
            params![stored_sequence(latest), stored_sequence(until)],
        )?;
        begun = Sequence(begun.0 + until.0 - latest.0);
        tracing::warn!(
            "the database is a copy that was restored: its journal gets an identity of its own, and cursors from after the \
             copy was made are refused"
        );
    } else if latest == Sequence(0) {
        count_from(&transaction, beginning)?;
        transaction.execute(
            "UPDATE journal SET pruned_to = ?1, beginning = ?1",
            [stored_sequence(beginning)],
        )?;
        begun = beginning;
    }
    transaction.execute("UPDATE journal SET id = ?1, inode = ?2", params![id, inode])?;
    transaction.commit()?;
    Ok(Identity {
        journal_id: id,
        beginning: begun,
    })
}

/// Reads the broker's identity, and makes one where there is none.
pub(super) fn broker_id(path: &Path) -> Result<String, StoreError> {
    if let Ok(written) = std::fs::read_to_string(path)
        && let Ok(id) = Uuid::parse_str(written.trim())
    {
        return Ok(id.to_string());
    }
    let id = Uuid::new_v4().to_string();
    std::fs::write(path, format!("{id}\n")).map_err(|source| StoreError::Io {
        action: "write the broker's identity to",
        path: path.to_owned(),
        source: Arc::new(source),
    })?;
    Ok(id)
}

/// The next event is the one after this.
fn count_from(connection: &Connection, sequence: Sequence) -> Result<(), StoreError> {
    let there = connection
        .query_row("SELECT 1 FROM sqlite_sequence WHERE name = 'event'", [], |_| Ok(()))
        .optional()?;
    let statement = match there {
        Some(()) => "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'event'",
        None => "INSERT INTO sqlite_sequence (name, seq) VALUES ('event', ?1)",
    };
    connection.execute(statement, [stored_sequence(sequence)])?;
    Ok(())
}
