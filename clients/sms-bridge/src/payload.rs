//! What the webhook's receiver gets for an event.

use api::v1::event::Change;
use api::v1::{Event, Message, MessageDirection, MessageState};
use serde_json::{Value, json};

use crate::config::{ForwardedEvent, Webhook};

/// A request to the receiver.
pub(crate) struct Payload {
    pub(crate) message_id: String,
    /// The same for every attempt and after every restart, so that a receiver can drop what it has.
    pub(crate) webhook_id: String,
    pub(crate) body: Value,
}

/// The request for an event, if it is one that is wanted.
pub(crate) fn payload(event: &Event, settings: &Webhook) -> Option<Payload> {
    let Some(Change::MessageChanged(message)) = &event.change else {
        return None;
    };
    let kind = kind(message)?;
    if !settings.events.contains(&kind) {
        return None;
    }
    let mut body = match kind {
        ForwardedEvent::Received => incoming("message.received", message),
        ForwardedEvent::Incomplete => incoming("message.incomplete", message),
        ForwardedEvent::Raw => incoming("message.raw", message),
        ForwardedEvent::State => outgoing(message),
    };
    body["message_id"] = json!(message.message_id);
    body["modem"] = json!(message.modem);
    body["sequence"] = json!(event.sequence);
    if let Some(gateway_ip) = &settings.gateway_ip {
        body["gateway_ip"] = json!(gateway_ip);
    }
    let webhook_id = format!("msg_{}_{}", message.message_id, event.sequence);
    Some(Payload {
        message_id: message.message_id.clone(),
        webhook_id,
        body,
    })
}

fn kind(message: &Message) -> Option<ForwardedEvent> {
    match (message.direction(), message.state()) {
        (MessageDirection::Incoming, MessageState::Received) => Some(ForwardedEvent::Received),
        (MessageDirection::Incoming, MessageState::Incomplete) => Some(ForwardedEvent::Incomplete),
        (MessageDirection::Incoming, MessageState::Raw) => Some(ForwardedEvent::Raw),
        (
            MessageDirection::Outgoing,
            MessageState::Sent
            | MessageState::Delivered
            | MessageState::Failed
            | MessageState::OutcomeUnknown
            | MessageState::Cancelled,
        ) => Some(ForwardedEvent::State),
        _ => None,
    }
}

/// `from`, `message` and `received` are what existing receivers read; `received` is local time without a zone there.
fn incoming(event: &str, message: &Message) -> Value {
    let time = message
        .service_centre_time
        .or(message.create_time)
        .and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok());
    let local = time.map(|time| time.to_zoned(jiff::tz::TimeZone::system()));
    let mut body = json!({
        "event": event,
        "from": message.address,
        "message": message.text,
        "received": local.map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string()),
        "received_time": time.map(|time| time.to_string()),
        "encoding": encoding(message),
        "parts": message.part_count,
        "parts_done": message.parts_done,
    });
    if message.state() == MessageState::Raw {
        body["pdus"] = json!(message.pdus);
    }
    body
}

fn outgoing(message: &Message) -> Value {
    json!({
        "event": "message.state",
        "to": message.address,
        "state": client::label(message.state().as_str_name(), "MESSAGE_STATE_"),
        "failure": message.failure,
        "request_id": message.request_id,
        "parts": message.part_count,
        "parts_done": message.parts_done,
    })
}

/// The coding by the names that existing callers know: `GSM7`, `DATA`, `UCS2`.
pub(crate) fn encoding(message: &Message) -> &'static str {
    message.coding().as_str_name().trim_start_matches("MESSAGE_CODING_")
}
