//! `POST /send`: one message into the broker.

use std::time::Duration;

use api::v1::{ErrorReason, Message, SendMessageRequest, send_message_request::Content};
use axum::http::StatusCode;
use client::{Broker, status};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status};

use crate::payload::encoding;

/// Existing callers wait about five seconds.
const BUDGET: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_REQUEST_ID: usize = 200;

/// The body of a request. What it does not know is ignored, as existing callers send more.
#[derive(Deserialize)]
pub(crate) struct SendBody {
    #[serde(default)]
    to: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    delivery_report: bool,
    #[serde(default)]
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

impl SendBody {
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
            to,
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
    fn any_request_id_becomes_a_uuid_and_always_the_same() {
        let uuid = "0b5a7c1e-63f5-4a5e-9a43-6f6e8a1b2c3d";
        assert_eq!(request_id(uuid).to_string(), uuid);
        assert_eq!(request_id("order-17"), request_id("order-17"));
        assert_ne!(request_id("order-17"), request_id("order-18"));
        assert_eq!(request_id("order-17").get_version_num(), 8);
    }
}
