//! `POST /send`: one message into the broker.

use std::time::Duration;

use api::v1::{ErrorReason, Message, SendMessageRequest, send_message_request::Content};
use axum::http::StatusCode;
use client::{Broker, status};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status};

use crate::payload::encoding;

/// Existing callers wait about five seconds.
const BUDGET: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_REQUEST_ID: usize = 200;

/// The body of a request. What it does not know is ignored, as existing callers send more.
#[derive(Debug)]
pub(crate) struct SendBody {
    to: String,
    message: String,
    request_id: Option<String>,
    delivery_report: bool,
    modem: Option<String>,
}

/// The body of an answer.
#[derive(Serialize)]
pub(crate) struct Sent {
    success: bool,
    message_id: String,
    encoding: &'static str,
    parts: u32,
    queued: bool,
    request_id: String,
}

impl From<Message> for Sent {
    fn from(message: Message) -> Self {
        let encoding = encoding(&message);
        let parts = message.part_count;
        Self {
            success: true,
            message_id: message.message_id,
            encoding,
            parts,
            queued: true,
            request_id: message.request_id,
        }
    }
}

/// What a value is, for people.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Takes a text; null is as good as nothing.
fn string(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("{name}: expected a string, got {}", kind(&other))),
    }
}

impl SendBody {
    /// Reads a body. A problem names the place and the type only, never what was found there: it may be a number or a text.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let mut fields = match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => fields,
            Ok(other) => return Err(format!("the body: expected an object, got {}", kind(&other))),
            Err(_) if body.is_empty() => return Err("the body is empty; send {\"to\": …, \"message\": …}".to_owned()),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                return Err(format!("the body is not JSON: line {line}, column {column}"));
            }
        };
        let delivery_report = match fields.remove("delivery_report") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(wanted)) => wanted,
            Some(other) => return Err(format!("delivery_report: expected true or false, got {}", kind(&other))),
        };
        Ok(Self {
            to: string(&mut fields, "to")?.unwrap_or_default(),
            message: string(&mut fields, "message")?.unwrap_or_default(),
            request_id: string(&mut fields, "request_id")?,
            delivery_report,
            modem: string(&mut fields, "modem")?,
        })
    }

    /// The request to the broker, or what is wrong.
    pub(crate) fn into_request(
        self,
        default_modem: &str,
        idempotency_key: Option<&str>,
    ) -> Result<SendMessageRequest, &'static str> {
        let to: String = self
            .to
            .chars()
            .filter(|character| !matches!(character, ' ' | '-' | '(' | ')'))
            .collect();
        if to.is_empty() || self.message.is_empty() {
            return Err("Missing recipient or message");
        }
        let given = self
            .request_id
            .as_deref()
            .filter(|id| !id.is_empty())
            .or(idempotency_key);
        if given.is_some_and(|id| id.len() > LONGEST_REQUEST_ID) {
            return Err("request_id is longer than 200 characters");
        }
        Ok(SendMessageRequest {
            modem: self.modem.unwrap_or_else(|| default_modem.to_owned()),
            address: to,
            content: Some(Content::Text(self.message)),
            // Without one, each request is a message of its own; the bridge itself can then still repeat it safely.
            request_id: given.map_or_else(uuid::Uuid::new_v4, request_id).to_string(),
            delivery_report: self.delivery_report,
            ..SendMessageRequest::default()
        })
    }
}

/// The caller's identifier as a UUID: itself if it is one, else one that is derived from it (RFC 9562 5.8).
fn request_id(given: &str) -> uuid::Uuid {
    uuid::Uuid::parse_str(given).unwrap_or_else(|_| {
        let digest = Sha256::digest(given.as_bytes());
        let mut octets = [0; 16];
        octets.copy_from_slice(&digest[..16]);
        uuid::Builder::from_custom_bytes(octets).into_uuid()
    })
}

/// Hands the message to the broker. A lost connection is tried again within the time that callers wait; the
/// `request_id` keeps that from being two messages.
pub(crate) async fn send(broker: &Broker, request: SendMessageRequest) -> Result<Message, Status> {
    let deadline = Instant::now() + BUDGET;
    loop {
        let answer = timeout_at(deadline, broker.sms().send_message(request.clone())).await;
        match answer {
            Ok(Ok(response)) => {
                let message = response.into_inner().message;
                return message.ok_or_else(|| Status::internal("the broker returned no message"));
            }
            Ok(Err(refusal)) if status::is_unreachable(&refusal) && Instant::now() + PAUSE < deadline => {
                sleep(PAUSE).await;
            }
            Ok(Err(refusal)) => return Err(refusal),
            Err(_) => return Err(Status::deadline_exceeded("the broker did not answer in time")),
        }
    }
}

/// 400, 404 and 422 are final for existing callers; whatever can succeed later must be 503.
pub(crate) fn http_status(refusal: &Status) -> StatusCode {
    match status::reason(refusal) {
        Some(
            ErrorReason::PhoneNumberInvalid
            | ErrorReason::MessageTooLong
            | ErrorReason::RequestIdReused
            | ErrorReason::DestinationNotAllowed,
        ) => StatusCode::UNPROCESSABLE_ENTITY,
        Some(ErrorReason::FieldInvalid | ErrorReason::Ambiguous) => StatusCode::BAD_REQUEST,
        Some(ErrorReason::ModemNotFound | ErrorReason::MessageNotFound) => StatusCode::NOT_FOUND,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
        None => match refusal.code() {
            Code::InvalidArgument => StatusCode::BAD_REQUEST,
            Code::NotFound => StatusCode::NOT_FOUND,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_another_form_is_named_as_what_it_is() {
        for (body, expected) in [
            (
                r#"{"to": "+15550100", "message": 12}"#,
                "message: expected a string, got a number",
            ),
            (
                r#"{"to": 15550100, "message": "x"}"#,
                "to: expected a string, got a number",
            ),
            (
                r#"{"to": ["+15550100"], "message": "x"}"#,
                "to: expected a string, got an array",
            ),
            (
                r#"{"delivery_report": "yes"}"#,
                "delivery_report: expected true or false, got a string",
            ),
            (r#"["to"]"#, "the body: expected an object, got an array"),
            ("to=%2B15550100&message=x", "the body is not JSON: line 1, column 2"),
            ("", "the body is empty; send {\"to\": …, \"message\": …}"),
        ] {
            assert_eq!(SendBody::parse(body.as_bytes()).unwrap_err(), expected);
        }
        let body = SendBody::parse(br#"{"to": "1", "message": "x", "request_id": null, "priority": 3}"#).unwrap();
        assert_eq!((body.to.as_str(), body.request_id), ("1", None));
    }

    #[test]
    fn any_request_id_becomes_a_uuid_and_always_the_same() {
        let uuid = "0b5a7c1e-63f5-4a5e-9a43-6f6e8a1b2c3d";
        assert_eq!(request_id(uuid).to_string(), uuid);
        assert_eq!(request_id("order-17"), request_id("order-17"));
        assert_ne!(request_id("order-17"), request_id("order-18"));
        assert_eq!(request_id("order-17").get_version_num(), 8);
    }
}
