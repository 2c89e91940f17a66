//! Message format, storage and indications (27.005).

use std::time::Duration;

use cellular::at::command::{self, Storage};
use cellular::at::{ResultCode, reply};
use tokio::time::Instant;

use super::{BringUp, BringUpError, Progress};
use crate::modem::messages::indicate;
use crate::modem::reliance::{MESSAGE_FORMAT, MESSAGE_INDICATION, MESSAGE_STORAGE};

/// How long registering waits for the message storage, which the module reads some seconds after it took the SIM.
pub(super) const EARLY: Duration = Duration::from_secs(10);

/// How long the stage of its own waits.
const LATE: Duration = Duration::from_secs(25);

/// The storage tells by `SMS DONE` that it is ready, which over USB is often lost.
const STORAGE_POLL: Duration = Duration::from_millis(500);

impl BringUp {
    /// Makes messages come in and go out as PDUs by way of the SIM. False when the storage was not ready in time.
    pub(super) async fn configure_messages(&mut self, limit: Duration) -> Result<bool, BringUpError> {
        let until = Instant::now() + limit;
        loop {
            match self.write_message_settings().await {
                Ok(()) => break,
                Err(BringUpError::Refused(_, result)) if is_busy(&result) && Instant::now() < until => {
                    tokio::time::sleep(STORAGE_POLL).await;
                }
                Err(BringUpError::Refused(_, result)) if is_busy(&result) && limit == EARLY => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if !std::mem::replace(&mut self.messages_ready, true) {
            self.tell(Progress::MessagesReady).await?;
        }
        Ok(true)
    }

    /// Messages work, or it is said why not.
    pub(super) async fn check_messages(&mut self) -> Result<(), BringUpError> {
        if !self.messages_ready {
            self.configure_messages(LATE).await?;
        }
        let response = self.ask(command::message_storage_query()).await?;
        if response.result.is_ok() {
            Ok(())
        } else {
            Err(BringUpError::Refused("AT+CPMS?", response.result))
        }
    }

    async fn write_message_settings(&self) -> Result<(), BringUpError> {
        let at = &self.needs.at;
        self.rely_on(at, &MESSAGE_FORMAT).await?;
        let response = self.ask(command::message_storage_query()).await?;
        let states = reply::storage_states(&response.lines).unwrap_or_default();
        let on_sim = |state: &reply::StorageState| state.storage.as_deref() == Some(Storage::Sim.as_str());
        if !response.result.is_ok() || states.len() != 3 || !states.iter().all(on_sim) {
            self.rely_on(at, &MESSAGE_STORAGE).await?;
        }
        self.indicate_messages().await
    }

    async fn indicate_messages(&self) -> Result<(), BringUpError> {
        let at = &self.needs.at;
        if self.is_as_wanted(at, &MESSAGE_INDICATION).await? {
            return Ok(());
        }
        match indicate(at).await? {
            ResultCode::Ok => Ok(()),
            refused => Err(BringUpError::Refused(MESSAGE_INDICATION.what, refused)),
        }
    }
}

/// `SIM busy`: 314 of 27.005 3.2.5, 14 of 27.007 9.2.1.
fn is_busy(result: &ResultCode) -> bool {
    match result {
        ResultCode::Cms(code) => code.number == Some(314),
        ResultCode::Cme(code) => code.number == Some(14),
        _ => false,
    }
}
