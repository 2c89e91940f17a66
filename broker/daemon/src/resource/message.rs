//! Short messages, as the store keeps them and the server shows them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which way a message goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageDirection {
    /// SMS-DELIVER.
    #[default]
    Incoming,
    /// SMS-SUBMIT.
    Outgoing,
}

/// State of a message. The contract's `MessageState` says what each means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Durable, waiting for its turn.
    Queued,
    /// On its way.
    Sending,
    /// Accepted by the network.
    Sent,
    /// Reported delivered.
    Delivered,
    /// Failed with a cause.
    Failed,
    /// The final result was lost.
    OutcomeUnknown,
    /// Cancelled before it was sent.
    Cancelled,
    /// Received, complete.
    #[default]
    Received,
    /// Received, parts are missing.
    Incomplete,
    /// Received, not decodable.
    Raw,
}

/// In words that go on from "the message".
impl std::fmt::Display for MessageState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            MessageState::Queued => "is queued",
            MessageState::Sending => "is on its way to the network",
            MessageState::Sent => "was sent already",
            MessageState::Delivered => "was delivered already",
            MessageState::Failed => "failed already",
            MessageState::OutcomeUnknown => "was given to the modem, and nobody knows what became of it",
            MessageState::Cancelled => "was cancelled already",
            MessageState::Received => "is one that came in",
            MessageState::Incomplete => "is one that came in, with parts missing",
            MessageState::Raw => "is one that came in and cannot be read",
        })
    }
}

/// How characters are coded (23.038).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageCoding {
    /// GSM 7-bit.
    Gsm7,
    /// 8-bit data.
    Data,
    /// UCS2.
    Ucs2,
}

/// Which message is sent first. The order of the variants is that of the queue, the last first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// After all others.
    Low,
    /// The usual one.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// What waits, in a message waiting indication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingKind {
    /// Voicemail.
    Voicemail,
    /// A fax.
    Fax,
    /// Electronic mail.
    Email,
    /// Something else.
    Other,
}

/// A message waiting indication (23.038 4, 23.040 9.2.3.24.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageWaiting {
    /// What waits.
    pub kind: WaitingKind,
    /// Whether something waits; otherwise an earlier indication is taken back.
    pub active: bool,
    /// Whether the text is to be kept; otherwise only the indication counts.
    pub store: bool,
    /// How many wait, where it is told.
    pub count: Option<u8>,
}

/// Application ports (23.040 9.2.3.24.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationPorts {
    /// The port at the receiver.
    pub destination: u16,
    /// The port at the sender.
    pub originator: u16,
}

/// An element of the user data header that has no field of its own here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InformationElement {
    /// What it is.
    pub identifier: u8,
    /// Its octets.
    pub value: Vec<u8>,
}

/// A short message, all its parts together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The broker's identifier.
    pub id: String,
    /// The modem.
    pub modem: String,
    /// Which way it goes.
    pub direction: MessageDirection,
    /// Its state.
    pub state: MessageState,
    /// The other side.
    pub address: String,
    /// The text.
    pub text: String,
    /// The octets of a data message.
    pub data: Vec<u8>,
    /// How characters are coded.
    #[serde(alias = "encoding")]
    pub coding: Option<MessageCoding>,
    /// Number of parts.
    pub part_count: u32,
    /// Parts received, or accepted by the network.
    pub parts_done: u32,
    /// When it was stored.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
    /// TP-SCTS of the first part that arrived, or the time of the delivery report.
    pub service_centre_time: Option<Timestamp>,
    /// TP-MR of the accepted parts, in order.
    pub message_references: Vec<u8>,
    /// Why it failed or is unknown.
    pub failure: String,
    /// The request that made it.
    pub request_id: Option<String>,
    /// Message class.
    pub message_class: Option<u8>,
    /// PDUs of the parts in hexadecimal, in order; for an incoming message those that arrived. They are stored once, beside
    /// the message, and are here where somebody reads them: to send it, to show it alone, or because nothing else is known
    /// of it ([`MessageState::Raw`]).
    #[serde(default, skip_serializing_if = "is_default")]
    pub pdus: Vec<String>,
    /// Whether a delivery report was asked for.
    pub delivery_report_requested: bool,
    /// Incoming: the parts that did not arrive yet.
    #[serde(default, skip_serializing_if = "is_default")]
    pub missing_parts: Vec<u8>,
    /// TP-PID of the first part.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol_identifier: u8,
    /// The message that took the place of this one (23.040 9.2.3.9).
    #[serde(default, skip_serializing_if = "is_default")]
    pub replaced_by: Option<String>,
    /// A message waiting indication.
    #[serde(default, skip_serializing_if = "is_default")]
    pub message_waiting: Option<MessageWaiting>,
    /// Application ports.
    #[serde(default, skip_serializing_if = "is_default", alias = "ports")]
    pub application_ports: Option<ApplicationPorts>,
    /// Other elements of the user data header.
    #[serde(default, skip_serializing_if = "is_default")]
    pub information_elements: Vec<InformationElement>,
    /// Which message goes first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: Priority,
    /// Nothing of it is sent before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub send_time: Option<Timestamp>,
    /// Its sending is not begun after this.
    #[serde(default, skip_serializing_if = "is_default", alias = "valid_until")]
    pub expire_time: Option<Timestamp>,
    /// Who handed it over.
    #[serde(default, skip_serializing_if = "is_default")]
    pub client: String,
    /// Whom it is exchanged with: the address, an international number where the country is known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub conversation: String,
    /// Incoming: when somebody read it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_time: Option<Timestamp>,
    /// The SIM that it came to, or that it went out by.
    #[serde(default, skip_serializing_if = "is_default")]
    pub iccid: String,
}

impl Message {
    /// The message as it is told again and again: its PDUs stay out, unless they are all that there is.
    pub fn told(&self) -> Message {
        let pdus = match self.state {
            MessageState::Raw => self.pdus.clone(),
            _ => Vec::new(),
        };
        Message { pdus, ..self.clone() }
    }

    /// *Replace short message type* 1 to 7 (23.040 9.2.3.9), if it is one.
    pub fn replace_type(&self) -> Option<u8> {
        match self.protocol_identifier {
            0x41..=0x47 => Some(self.protocol_identifier - 0x40),
            _ => None,
        }
    }
}

/// What is usual is left out of the journal, which holds every state of every message.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
