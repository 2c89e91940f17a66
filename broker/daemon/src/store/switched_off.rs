//! Devices that are switched off for a moment, so that a broker that is killed in it switches them on when it is back: while
//! its hub port is off a device cannot even be seen.

use std::path::{Path, PathBuf};

use rusqlite::params;

use super::{Store, StoreError};

impl Store {
    /// Makes durable that a modem's device is about to be switched off by this file.
    pub async fn remember_switched_off(&self, modem: &str, switch: &Path) -> Result<(), StoreError> {
        let (modem, switch) = (modem.to_owned(), switch.display().to_string());
        self.write("remember that a device is switched off", move |writing| {
            writing
                .connection
                .prepare_cached("INSERT OR IGNORE INTO switched_off (modem, switch) VALUES (?1, ?2)")?
                .execute(params![modem, switch])?;
            Ok(())
        })
        .await
    }

    /// It is on again.
    pub async fn forget_switched_off(&self, modem: &str, switch: &Path) -> Result<(), StoreError> {
        let (modem, switch) = (modem.to_owned(), switch.display().to_string());
        self.write("forget that a device was switched off", move |writing| {
            writing
                .connection
                .prepare_cached("DELETE FROM switched_off WHERE modem = ?1 AND switch = ?2")?
                .execute(params![modem, switch])?;
            Ok(())
        })
        .await
    }

    /// What was switched off and not on again.
    pub async fn switched_off(&self, modem: &str) -> Result<Vec<PathBuf>, StoreError> {
        let modem = modem.to_owned();
        self.read("read what is switched off", move |reading| {
            let connection = reading.connection;
            let mut statement =
                connection.prepare_cached("SELECT switch FROM switched_off WHERE modem = ?1 ORDER BY switch")?;
            let rows = statement.query_map([modem], |row| row.get::<_, String>(0))?;
            Ok(rows
                .collect::<Result<Vec<_>, _>>()?
                .into_iter()
                .map(PathBuf::from)
                .collect())
        })
        .await
    }
}
