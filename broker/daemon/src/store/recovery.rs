//! What the broker's own end left half done is settled before a modem is used again.

use super::{Store, StoreError, call, message, ussd};
use crate::resource::{Call, CallEndCause, CallState, Message, MessageState, UssdEndCause};

/// What was settled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// Messages that were being sent; their outcome is unknown now.
    pub messages: Vec<Message>,
    /// Calls that were alive; they are lost now.
    pub calls: Vec<Call>,
}

impl Store {
    /// Settles what was in progress when the broker ended. Queued messages stay queued: no byte of them went out.
    pub async fn recover(&self, modem: &str) -> Result<Recovered, StoreError> {
        self.recover_all_but(modem, Vec::new()).await
    }

    /// The same, but for calls that go on without their ports.
    pub async fn recover_all_but(&self, modem: &str, calls_kept: Vec<String>) -> Result<Recovered, StoreError> {
        let modem = modem.to_owned();
        self.write("settle what was in progress", move |writing| {
            let mut messages = message::sending(&writing.reading(), &modem)?;
            for message in &mut messages {
                message.state = MessageState::OutcomeUnknown;
                message.failure =
                    "the broker ended before the modem's final result; the network may have sent it".to_owned();
                message.update_time = writing.now;
                writing.save_message(message)?;
            }
            writing.apply_early_reports(&modem)?;
            let mut calls = call::alive(&writing.reading(), &modem)?;
            calls.retain(|call| !calls_kept.contains(&call.id));
            for call in &mut calls {
                call.state = CallState::Disconnected;
                call.end_cause = Some(CallEndCause::Lost);
                call.end_time = Some(writing.now);
                call.end_detail = "the broker ended during the call".to_owned();
                writing.save_call(call)?;
            }
            for mut session in ussd::alive(&writing.reading(), &modem)? {
                session.end(
                    UssdEndCause::Lost,
                    "the modem or the broker went away during the session; the network may have acted",
                );
                writing.save_ussd(&session)?;
            }
            Ok(Recovered { messages, calls })
        })
        .await
    }
}
