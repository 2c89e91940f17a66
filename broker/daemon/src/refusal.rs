//! Why a request cannot be done: the domain's side of the contract's `ErrorReason`. `server::status` turns each into a
//! code, a reason and metadata by one exhaustive `match`.

use ::modem::at::ResultCode;

use crate::resource::{CallState, MessageState, Sequence, Stage};

/// Why a request cannot be done. Messages are for people and say what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is described by its message")]
pub enum Refusal {
    #[error("{field}: {problem}")]
    FieldInvalid { field: &'static str, problem: String },
    #[error("{field}: {problem}")]
    PhoneNumberInvalid { field: &'static str, problem: String },
    #[error("the text needs {segment_count} parts, at most 255 can be sent; shorten it")]
    MessageTooLong { segment_count: usize },
    #[error("request_id {request_id} was used before with another content; use a new UUID")]
    RequestIdReused { request_id: String },
    #[error("{field} must be given, because there is more than one: {candidates}")]
    Ambiguous { field: &'static str, candidates: String },
    #[error("no modem is called {modem:?}; known: {known}")]
    ModemNotFound { modem: String, known: String },
    #[error("no such call: {call_id}")]
    CallNotFound { call_id: String },
    #[error("no such message: {message_id}")]
    MessageNotFound { message_id: String },
    #[error("no SIM is in modem {modem}")]
    SimAbsent { modem: String },
    #[error("the SIM of modem {modem} waits for its PIN or PUK")]
    SimPinRequired { modem: String, attempts_left: Option<u32> },
    #[error("the modem is not registered with a network ({registration})")]
    NotRegistered { registration: String },
    #[error("the call is {state:?}")]
    CallState { state: CallState },
    #[error("the message is {state:?}")]
    MessageState { state: MessageState },
    #[error("the call has no audio: {cause}")]
    AudioNotAvailable { cause: String },
    #[error("the modem refused {what}: {kind} error {number} ({name})")]
    Refused {
        what: String,
        kind: &'static str,
        number: String,
        name: String,
    },
    #[error("not enabled: set {key} in the configuration")]
    NotEnabled { key: &'static str },
    #[error("no call slot is free, at most {limit} at once")]
    CallLimit { limit: usize },
    #[error("the disk of the broker's store is full")]
    StorageFull,
    #[error("another client owns the call's audio; attach with takeover to take it")]
    AudioTaken,
    #[error("another client took the call's audio over")]
    Superseded,
    #[error("the modem is coming up ({stage:?}: {detail}); try again")]
    ModemStarting { stage: Stage, detail: String },
    #[error("the modem is not there: {detail}")]
    ModemDisconnected { detail: String },
    #[error("the broker is shutting down")]
    ShuttingDown,
    #[error("the modem did not answer {command}")]
    ModemTimeout { command: String },
    #[error("cursor {cursor} is older than the oldest stored event; start at {oldest}", cursor = cursor.0, oldest = oldest.0)]
    CursorExpired { cursor: Sequence, oldest: Sequence },
    #[error("{what} got no final result; the network may have acted, so it is not repeated")]
    OutcomeUnknown { what: String },
    #[error("the modem said something that cannot be read: {line:?}")]
    ModemProtocol { line: String },
    #[error("the store failed")]
    StoreFailed(#[source] std::sync::Arc<dyn std::error::Error + Send + Sync>),
    #[error("{what} is defined in the contract and not built yet")]
    NotBuiltYet { what: &'static str },
    #[error(
        "cursor {cursor} is beyond the newest event {latest}: it is of another journal; start at {oldest}",
        cursor = cursor.0, latest = latest.0, oldest = oldest.0
    )]
    CursorAhead {
        cursor: Sequence,
        latest: Sequence,
        oldest: Sequence,
    },
}

impl Refusal {
    /// The module's refusal of a command.
    pub fn refused(what: &str, result: &ResultCode) -> Refusal {
        let (kind, code) = match result {
            ResultCode::Cme(code) => ("CME", code),
            ResultCode::Cms(code) => ("CMS", code),
            other => {
                return Refusal::Refused {
                    what: what.to_owned(),
                    kind: "V.250",
                    number: "-".to_owned(),
                    name: other.to_string(),
                };
            }
        };
        Refusal::Refused {
            what: what.to_owned(),
            kind,
            number: code.number.map_or("-".to_owned(), |number| number.to_string()),
            name: code.name.map_or_else(|| code.text.clone(), str::to_owned),
        }
    }
}

impl From<crate::port::at::AtError> for Refusal {
    fn from(error: crate::port::at::AtError) -> Self {
        use crate::port::at::AtError;
        use ::modem::at::Failure;
        match error {
            AtError::Closed => Refusal::ModemDisconnected {
                detail: "its AT port is closed".to_owned(),
            },
            AtError::Failed {
                failure: Failure::PortClosed { .. },
                ..
            } => Refusal::ModemDisconnected {
                detail: "its AT port closed before it answered".to_owned(),
            },
            AtError::Failed { command, .. } => Refusal::ModemTimeout { command },
        }
    }
}
