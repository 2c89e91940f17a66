//! The readers: a few connections that see the last commit and never wait for the writer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::error::StoreError;
use super::schema;
use super::unreadable::{Reading, Unreadable};
use crate::supervisor;

/// Reads at the same time. One slow search must not hold up a watch.
const READER_LIMIT: usize = 4;

/// The reading side of the store.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    free: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Mutex::default(),
            free: Arc::new(Semaphore::new(READER_LIMIT)),
        }
    }

    /// Runs `work` on one snapshot of the database.
    pub(super) async fn read<T, F>(
        self: &Arc<Self>,
        action: &'static str,
        unreadable: Unreadable,
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Reading<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let given_up = StoreError::GivenUp { action };
        let Ok(permit) = Arc::clone(&self.free).acquire_owned().await else {
            return Err(given_up);
        };
        let readers = Arc::clone(self);
        let reading = supervisor::on_disk(move || {
            // Held until the connection is back, also when the caller stops waiting.
            let _permit = permit;
            let mut connection = readers.take()?;
            let outcome = snapshot(&mut connection, &unreadable, work);
            readers
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            outcome
        });
        match reading.await {
            Ok(outcome) => outcome.map_err(|error| error.during(action)),
            // The connection went with the panic; the next reader opens another one.
            Err(_) => Err(given_up),
        }
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => schema::open_for_reading(&self.path),
        }
    }
}

fn snapshot<T>(
    connection: &mut Connection,
    unreadable: &Unreadable,
    work: impl FnOnce(&Reading<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Deferred: the snapshot is taken by the first statement, and all others see the same.
    let transaction = connection.transaction()?;
    work(&Reading {
        connection: &transaction,
        unreadable,
    })
}
