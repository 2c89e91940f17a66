//! From our queue to the network.

use std::time::Duration;

use cellular::at::{Failure, ResultCode, command, reply};
use cellular::sms::refusal;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::port::at::{AtError, AtHandle, Lane};
use crate::refusal::Refusal;
use crate::resource::{Message, MessageState};
use crate::store::{self, NextQueued, Store};

/// Pause after a send that failed before anything reached the network. It is tried again for as long as the message is
/// wanted: nothing was spent, and a client can cancel it.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Sender {
    pub(super) store: Store,
    pub(super) modem: String,
    pub(super) at: AtHandle,
    /// True from the moment at which nothing more is to be started.
    pub(super) stopped: watch::Receiver<bool>,
    /// True while the next message has to wait.
    pub(super) held_back: watch::Receiver<bool>,
}

/// When the queue is to be looked at again, without anything new in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::modem) enum Resume {
    /// Never: it is empty.
    WhenQueued,
    /// As soon as messages may be sent again.
    WhenAllowed,
    /// After a pause.
    After(Duration),
    /// At the time of the next message that waits for its own.
    At(Timestamp),
}

/// How the sending of a part ended.
enum Outcome {
    Accepted(u8),
    Refused(String),
    /// Nothing reached the network.
    NotSent(String),
    /// It may have.
    Unknown(String),
}

impl Sender {
    /// Sends until nothing is due any more.
    pub(super) async fn send_queued(&self) -> Resume {
        loop {
            if *self.stopped.borrow() {
                return Resume::WhenQueued;
            }
            if *self.held_back.borrow() {
                return Resume::WhenAllowed;
            }
            let message = match self.store.next_queued(&self.modem, Timestamp::now()).await {
                Ok(NextQueued::Message(message)) => *message,
                Ok(NextQueued::At(time)) => return Resume::At(time),
                Ok(NextQueued::Nothing) => return Resume::WhenQueued,
                Err(error) => {
                    tracing::error!(
                        modem = self.modem,
                        error = &error as &dyn std::error::Error,
                        "could not read the queue of messages; it is tried again in 30 s"
                    );
                    return Resume::After(RETRY_PAUSE);
                }
            };
            match self.send(message).await {
                Ok(true) => {}
                Ok(false) => return Resume::After(RETRY_PAUSE),
                Err(error) => {
                    tracing::error!(
                        modem = self.modem,
                        error = &error as &dyn std::error::Error,
                        "could not save the state of a message; the queue goes on in 30 s"
                    );
                    return Resume::After(RETRY_PAUSE);
                }
            }
        }
    }

    /// Sends one message. False when it is queued again because nothing reached the network.
    async fn send(&self, mut message: Message) -> Result<bool, store::StoreError> {
        message.update_time = Timestamp::now();
        message.state = if message.expire_time.is_some_and(|until| until <= message.update_time) {
            message.failure = "its validity ended before it could be sent".to_owned();
            MessageState::Failed
        } else {
            MessageState::Sending
        };
        match self.store.update_message(message.clone()).await {
            Ok(_) => {}
            // It was cancelled since it was looked up.
            Err(store::StoreError::MessageState { .. }) => return Ok(true),
            Err(error) => return Err(error),
        }
        if message.state == MessageState::Failed {
            self.tell(&message);
            return Ok(true);
        }
        if message.part_count - message.parts_done > 1 {
            self.keep_link().await;
        }
        let from = message.parts_done as usize;
        for pdu in message.pdus.clone().iter().skip(from) {
            match self.send_part(pdu).await {
                Outcome::Accepted(reference) => {
                    message.message_references.push(reference);
                    message.parts_done += 1;
                }
                Outcome::Refused(why) => {
                    message.state = MessageState::Failed;
                    message.failure = why;
                }
                Outcome::NotSent(why) => {
                    message.state = MessageState::Queued;
                    message.failure = why;
                }
                Outcome::Unknown(why) => {
                    message.state = MessageState::OutcomeUnknown;
                    message.failure = why;
                }
            }
            if message.state != MessageState::Sending {
                break;
            }
            // After each part: a crash must not forget which parts the network has.
            if message.parts_done < message.part_count {
                self.store.update_message(message.clone()).await?;
            }
        }
        if message.parts_done == message.part_count {
            message.state = MessageState::Sent;
            message.failure.clear();
        }
        message.update_time = Timestamp::now();
        self.store.update_message(message.clone()).await?;
        self.tell(&message);
        Ok(message.state != MessageState::Queued)
    }

    /// A line for the journal; numbers and texts are not in it.
    fn tell(&self, message: &Message) {
        let (modem, message_id, parts, why) = (&self.modem, &message.id, message.parts_done, &message.failure);
        match message.state {
            MessageState::Sent => tracing::info!(modem, message_id, parts, "message sent"),
            MessageState::Queued => tracing::warn!(modem, message_id, why, "message not sent yet; it is tried again"),
            MessageState::OutcomeUnknown => {
                tracing::warn!(
                    modem,
                    message_id,
                    why,
                    "message may have been sent; it is not sent again"
                );
            }
            _ => tracing::warn!(modem, message_id, why, "message not sent"),
        }
    }

    /// Asks for one radio link for all parts (27.005 3.5.6): setting one up for each costs seconds. 2 keeps it also when the
    /// result of a part takes long; it closes by itself 1 to 5 s after the last. A module that cannot do this sends all the
    /// same.
    async fn keep_link(&self) {
        match self.at.execute(Lane::Normal, command::more_messages()).await {
            Ok(response) if response.result.is_ok() => {}
            Ok(response) => tracing::debug!(modem = self.modem, result = %response.result, "AT+CMMS was refused"),
            Err(error) => tracing::debug!(modem = self.modem, %error, "AT+CMMS was not answered"),
        }
    }

    async fn send_part(&self, pdu: &str) -> Outcome {
        // A part that is begun now would be cut off, and its outcome unknown for no reason.
        if *self.stopped.borrow() {
            return Outcome::NotSent("the modem is being closed".to_owned());
        }
        // No service centre address is in the PDU: the one of the SIM is used. Its length octet is not part of the TPDU.
        let tpdu_length = pdu.len() / 2 - 1;
        let command = match command::send_message(tpdu_length, pdu) {
            Ok(command) => command,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        match self.at.execute(Lane::Normal, command).await {
            Ok(response) if response.result == ResultCode::Ok => match reply::message_reference(&response.lines) {
                Ok(reference) => Outcome::Accepted(reference),
                // OK without +CMGS: the network has it, only its reference is unknown.
                Err(_) => Outcome::Unknown("the module said OK without a message reference".to_owned()),
            },
            Ok(response) => after_payload(&response.result),
            Err(AtError::Failed {
                failure: Failure::PromptRefused(result),
                ..
            }) => at_prompt(&result),
            Err(error) if error.payload_sent() => {
                Outcome::Unknown(format!("no final result came ({error}); the network may have sent it"))
            }
            Err(error) => Outcome::NotSent(error.to_string()),
        }
    }
}

/// An error in place of the message reference.
fn after_payload(result: &ResultCode) -> Outcome {
    let why = Refusal::refused("AT+CMGS", result).to_string();
    match refusal::of_number(cms_number(result)) {
        refusal::Refusal::Permanent => Outcome::Refused(why),
        refusal::Refusal::Temporary => Outcome::Refused(format!("{why}; it may be accepted later")),
        refusal::Refusal::NotTried => Outcome::NotSent(why),
        refusal::Refusal::Unknown => Outcome::Unknown(format!("{why}; the network may have sent it")),
    }
}

/// An error in place of the prompt: nothing of the message has left.
fn at_prompt(result: &ResultCode) -> Outcome {
    let why = Refusal::refused("AT+CMGS", result).to_string();
    match refusal::of_number(cms_number(result)) {
        refusal::Refusal::NotTried => Outcome::NotSent(why),
        refusal::Refusal::Permanent | refusal::Refusal::Temporary | refusal::Refusal::Unknown => Outcome::Refused(why),
    }
}

fn cms_number(result: &ResultCode) -> Option<u16> {
    match result {
        ResultCode::Cms(code) => code.number,
        _ => None,
    }
}
