//! From our queue to the network.

use std::time::Duration;

use ::modem::at::{ResultCode, command, reply};
use ::modem::sms::compose::{ComposeError, SubmitOptions, TextOptions, compose_data, compose_text};
use ::modem::sms::data_coding::MessageClass;
use ::modem::sms::validity::{RelativeValidity, ValidityPeriod};
use ::modem::sms::{Pdu, PhoneNumber, Tpdu};
use jiff::Timestamp;
use tokio::sync::watch;

use super::encoding;
use crate::port::at::{AtHandle, Lane};
use crate::refusal::Refusal;
use crate::resource::{Message, MessageDirection, MessageState};
use crate::store::{self, Store};

/// Parts of one message at most: the part count is one octet (23.040 9.2.3.24.1).
const PARTS_MAX: usize = 255;

/// Pause after a send that failed before anything reached the network. It is tried again for as long as the message is
/// wanted: nothing was spent, and a client can cancel it.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// A message to be composed; every field is valid.
#[derive(Clone, Debug)]
pub struct Composition {
    /// Where it goes.
    pub to: PhoneNumber,
    /// The text; empty for a data message.
    pub text: String,
    /// The octets of a data message.
    pub data: Vec<u8>,
    /// Class 0.
    pub flash: bool,
    /// Ask for a delivery report.
    pub delivery_report: bool,
    /// How long the service centre keeps trying.
    pub validity: Option<Duration>,
}

/// Makes the message that is queued, cut into its parts.
pub fn compose(modem: &str, request_id: &str, composition: Composition) -> Result<Message, Refusal> {
    let composed = if composition.data.is_empty() {
        compose_text(&composition.text, &TextOptions::default())
    } else {
        compose_data(&composition.data, Default::default())
    };
    let composed = composed.map_err(|error| match error {
        ComposeError::TooLong { segment_count } => Refusal::MessageTooLong { segment_count },
        other => Refusal::FieldInvalid {
            field: "content",
            problem: other.to_string(),
        },
    })?;
    if composed.segment_count() > PARTS_MAX {
        return Err(Refusal::MessageTooLong {
            segment_count: composed.segment_count(),
        });
    }
    let options = SubmitOptions {
        class: composition.flash.then_some(MessageClass::Class0),
        validity_period: composition.validity.map(|validity| {
            ValidityPeriod::Relative(RelativeValidity::at_least(
                u32::try_from(validity.as_secs()).unwrap_or(u32::MAX),
            ))
        }),
        status_report_request: composition.delivery_report,
        ..SubmitOptions::default()
    };
    let id = uuid::Uuid::new_v4();
    let [high, low, ..] = *id.as_bytes();
    let submits = composed.submits(&composition.to, u16::from_be_bytes([high, low]), &options);
    let pdus = submits
        .into_iter()
        .map(|submit| {
            Pdu {
                service_centre: None,
                tpdu: Tpdu::Submit(submit),
            }
            .encode()
            .map(|encoded| encoded.hex)
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Refusal::FieldInvalid {
            field: "content",
            problem: error.to_string(),
        })?;
    let now = Timestamp::now();
    Ok(Message {
        id: id.to_string(),
        modem: modem.to_owned(),
        direction: MessageDirection::Outgoing,
        state: MessageState::Queued,
        address: composition.to.to_string(),
        text: composition.text,
        data: composition.data,
        encoding: Some(encoding(composed.alphabet())),
        part_count: pdus.len() as u32,
        parts_done: 0,
        create_time: now,
        update_time: now,
        service_centre_time: None,
        message_references: Vec::new(),
        failure: String::new(),
        request_id: Some(request_id.to_owned()),
        message_class: composition.flash.then_some(0),
        pdus,
        delivery_report_requested: composition.delivery_report,
    })
}

pub(super) struct Sender {
    pub(super) store: Store,
    pub(super) modem: String,
    pub(super) at: AtHandle,
    /// True from the moment at which nothing more is to be started.
    pub(super) stopped: watch::Receiver<bool>,
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
    /// Sends until the queue is empty. `Some`: look again after this pause.
    pub(super) async fn send_queued(&self) -> Option<Duration> {
        loop {
            if *self.stopped.borrow() {
                return None;
            }
            let message = match self.store.next_queued(&self.modem).await {
                Ok(Some(message)) => message,
                Ok(None) => return None,
                Err(error) => {
                    tracing::error!(
                        modem = self.modem,
                        error = &error as &dyn std::error::Error,
                        "the queue of messages was not read"
                    );
                    return Some(RETRY_PAUSE);
                }
            };
            match self.send(message).await {
                Ok(true) => {}
                Ok(false) => return Some(RETRY_PAUSE),
                Err(error) => {
                    tracing::error!(
                        modem = self.modem,
                        error = &error as &dyn std::error::Error,
                        "the state of a message was not stored"
                    );
                    return Some(RETRY_PAUSE);
                }
            }
        }
    }

    /// Sends one message. False when it is queued again because nothing reached the network.
    async fn send(&self, mut message: Message) -> Result<bool, store::StoreError> {
        message.state = MessageState::Sending;
        message.update_time = Timestamp::now();
        match self.store.update_message(message.clone()).await {
            Ok(_) => {}
            // It was cancelled since it was looked up.
            Err(store::StoreError::MessageState { .. }) => return Ok(true),
            Err(error) => return Err(error),
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
        tracing::info!(modem = self.modem, message_id = message.id, state = ?message.state, parts = message.parts_done, "message");
        Ok(message.state != MessageState::Queued)
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
            Ok(response) => Outcome::Refused(Refusal::refused("AT+CMGS", &response.result).to_string()),
            Err(error) if error.payload_sent() => {
                Outcome::Unknown(format!("no final result came ({error}); the network may have sent it"))
            }
            Err(error) => Outcome::NotSent(error.to_string()),
        }
    }
}
