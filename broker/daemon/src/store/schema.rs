//! Opening the database file, and its migrations.

use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use super::error::StoreError;

/// Numbered from 1 and append-only: a released one is never changed, because files exist that it made.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_ussd.sql"),
    include_str!("migrations/0003_messages.sql"),
    include_str!("migrations/0004_sim_pin.sql"),
    include_str!("migrations/0005_recovery.sql"),
    include_str!("migrations/0006_places.sql"),
    include_str!("migrations/0007_data_usage.sql"),
    include_str!("migrations/0008_switched_off.sql"),
    include_str!("migrations/0009_history.sql"),
];

/// How long to wait for somebody else's lock, such as an administrator's `sqlite3`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepared statements that a connection keeps: about as many as the store has.
const STATEMENTS_KEPT: usize = 96;
/// Databases from before a migration that are kept.
const COPY_SUFFIX: &str = ".before-version-";

/// A database that was opened for writing.
pub(super) struct Opened {
    /// The connection.
    pub(super) connection: Connection,
    /// Where a damaged file was moved to, if there was one.
    pub(super) set_aside: Option<PathBuf>,
}

/// Opens the file for the writer, makes it if it is missing, and migrates it.
///
/// A file whose content is damaged is moved aside and a new one is begun: an unattended broker has to go on receiving,
/// and the old file is kept for whoever repairs it. Any other failure (permissions, I/O, a newer version) is an error.
pub(super) fn open_for_writing(path: &Path) -> Result<Opened, StoreError> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| io("create", directory, source))?;
    }
    match open_checked(path) {
        Ok(connection) => Ok(Opened {
            connection,
            set_aside: None,
        }),
        Err(error) if error.is_corruption() => {
            let aside = set_aside(path)?;
            tracing::error!(
                database = %path.display(),
                set_aside = %aside.display(),
                %error,
                "the database is damaged; it was moved aside and a new one is begun: queued messages, request ids and \
                 events of the old one are not known any more"
            );
            Ok(Opened {
                connection: open_checked(path)?,
                set_aside: Some(aside),
            })
        }
        Err(error) => Err(error),
    }
}

/// Opens one more connection to an existing file, for reading only.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    // Not opened with SQLITE_OPEN_READ_ONLY: a reader must be able to make the shared memory of the write-ahead log.
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

fn open_checked(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)
        .map_err(|error| StoreError::from(error).during("open the database"))?;
    // The texts of messages are nobody else's business; the log and the shared memory inherit the mode.
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))
        .map_err(|source| io("set the mode of", path, source))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Takes effect only before the first table is made.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL, because an acknowledged message must survive a power cut; NORMAL may lose the last commits.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    // What is deleted is overwritten wherever that costs no further page: a deleted text is not for whoever finds the card.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    check(&connection)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

fn check(connection: &Connection) -> Result<(), StoreError> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    let source = Arc::new(rusqlite::Error::SqliteFailure(corrupt, Some(verdict)));
    Err(StoreError::Database {
        action: "check the database",
        source,
    })
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = MIGRATIONS.len() as u32;
    if version > known {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            version,
            known,
        });
    }
    if (1..known).contains(&version) {
        keep_copy(connection, path, known)?;
    }
    for (number, migration) in (1_u32..).zip(MIGRATIONS).skip(version as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Copies the database as it was before a migration, so that an upgrade can be taken back; one copy is kept.
fn keep_copy(connection: &Connection, path: &Path, version: u32) -> Result<(), StoreError> {
    for older in 0..=version {
        let copy = with_suffix(path, &format!("{COPY_SUFFIX}{older}"));
        match std::fs::remove_file(&copy) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("remove an older copy of the database", &copy, error));
            }
            _ => {}
        }
    }
    let copy = with_suffix(path, &format!("{COPY_SUFFIX}{version}"));
    let made = connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()]);
    if let Err(error) = made {
        // What is left of it must not be taken for a copy.
        let _ = std::fs::remove_file(&copy);
        return Err(StoreError::from(error).during("copy the database before it is migrated"));
    }
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o600))
        .map_err(|source| io("set the mode of", &copy, source))?;
    tracing::info!(
        copy = %copy.display(),
        "the database is migrated to version {version}; what it was before is kept"
    );
    Ok(())
}

/// Moves the database and its companions to a name that says what happened and when.
fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let mark = format!(".damaged-{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
    let aside = with_suffix(path, &mark);
    std::fs::rename(path, &aside).map_err(|source| io("move aside", path, source))?;
    for companion in ["-wal", "-shm"] {
        let file = with_suffix(path, companion);
        match std::fs::rename(&file, with_suffix(&aside, companion)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("move aside", &file, error)),
            _ => {}
        }
    }
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io {
        action,
        path: path.to_owned(),
        source: Arc::new(source),
    }
}
