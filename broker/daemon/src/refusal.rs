//! Why a request cannot be done: the domain's side of the contract's `ErrorReason`. `server::status` turns each into a
//! code, a reason and metadata by one exhaustive `match`.

use cellular::at::ResultCode;

use crate::resource::{CallState, MessageState, Persistence, Sequence, SimCode, SimState, Stage, UssdState};

/// Why a request cannot be done. Messages are for people and say what to do.
#[derive(Clone, Debug, thiserror::Error)]
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
    #[error("no such USSD session: {session_id}")]
    UssdSessionNotFound { session_id: String },
    #[error("the USSD session {state}")]
    UssdState { state: UssdState },
    #[error("USSD session {session_id} is under way; cancel it or wait for its end")]
    UssdBusy { session_id: String },
    #[error("the position is not available: {cause}")]
    LocationNotAvailable { cause: String },
    #[error(
        "another client has the terminal of modem {modem}; it ends when that one leaves or says nothing for a while"
    )]
    TerminalTaken { modem: String },
    #[error("the terminal was closed: {detail}")]
    TerminalClosed { cause: &'static str, detail: String },
    #[error("no SIM is in modem {modem}; insert one")]
    SimAbsent { modem: String },
    #[error("the SIM of modem {modem} waits for its PIN or PUK; enter it with EnterPin or `modemctl sim pin`")]
    SimPinRequired { modem: String, attempts_left: Option<u32> },
    #[error("the SIM is blocked and waits for its PUK: unblock it with UnblockPin or `modemctl sim puk`")]
    SimPukRequired { attempts_left: Option<u32> },
    #[error("{problem}; the SIM {state}")]
    SimState { state: SimState, problem: String },
    #[error(
        "the SIM refused the {code}; attempts left: {left}",
        code = code.name(), left = left_in_words(*attempts_left)
    )]
    SimCodeWrong { code: SimCode, attempts_left: Option<u32> },
    #[error(
        "attempts left for the {code}: {left}; a refused last one blocks the SIM, so it has to be asked for with \
         spend_last_attempt (`--spend-last-attempt`)",
        code = code.name(), left = left_in_words(*attempts_left)
    )]
    SimLastAttempt { code: SimCode, attempts_left: Option<u32> },
    #[error("the modem is not registered with a network; `modemctl status` says why")]
    NotRegistered { registration: String },
    #[error("the call {state}")]
    CallState { state: CallState },
    #[error("the message {state}")]
    MessageState { state: MessageState },
    #[error("the call has no audio: {cause}")]
    AudioNotAvailable { cause: String },
    #[error("the call is not recorded: {detail}; check voice.recording.directory and its disk")]
    RecordingFailed { detail: String },
    #[error("the modem refused {what}: {kind} error {number} ({name})")]
    Refused {
        what: String,
        kind: &'static str,
        number: String,
        name: String,
    },
    #[error("this is not enabled; set {key} in the configuration")]
    NotEnabled { key: &'static str },
    #[error("{limit} calls are alive, and no more are possible at once; end one first")]
    CallLimit { limit: usize },
    #[error("the modem is busy with {what}; try again when that is over")]
    NetworkBusy { what: &'static str },
    #[error("the disk of the broker's store is full; free space on it")]
    StorageFull,
    #[error(
        "{key} allows {allowed} parts: {}",
        retry_after.map_or_else(
            || "this message alone has more; shorten it or raise the limit".to_owned(),
            |delay| format!("try again in {} s", delay.as_secs() + 1)
        )
    )]
    RateLimited {
        key: &'static str,
        allowed: u32,
        retry_after: Option<std::time::Duration>,
    },
    #[error("another client owns the call's audio; attach with takeover to take it")]
    AudioTaken,
    #[error("another client took the call's audio over")]
    Superseded,
    #[error("data is not ready: {detail}")]
    DataNotReady { detail: String },
    #[error("the modem roams, and data may not: set roaming = true in [modem.data] if that is worth its price")]
    RoamingNotAllowed,
    #[error("QMI is not available: {detail}")]
    QmiNotAvailable { detail: String },
    #[error("{what} cannot be sent with ExecuteQmiRequest: {instead}")]
    QmiRequestDenied { what: String, instead: &'static str },
    #[error("the data bearer was not connected: {detail}")]
    BearerFailed {
        detail: String,
        reason: Option<cellular::qmi::EndReason>,
        persistence: Persistence,
    },
    #[error("the modem is not ready ({}: {detail}); try again", stage.name())]
    ModemStarting { stage: Stage, detail: String },
    #[error("the modem is not there: {detail}")]
    ModemDisconnected { detail: String },
    #[error("the modem is being reset: {detail}; try again")]
    ModemResetting { detail: String },
    #[error("the broker is shutting down; try again when it is back")]
    ShuttingDown,
    #[error("the modem did not answer {command}")]
    ModemTimeout { command: String },
    #[error("cursor {cursor} is older than the oldest stored event; start at {oldest}", cursor = cursor.0, oldest = oldest.0)]
    CursorExpired { cursor: Sequence, oldest: Sequence },
    #[error("{what} got no final result; the network may have acted, so it is not repeated")]
    OutcomeUnknown { what: String },
    #[error("the modem said something that cannot be read: {line:?}")]
    ModemProtocol { line: String },
    #[error("the broker's store failed; its log says why")]
    StoreFailed(#[source] std::sync::Arc<dyn std::error::Error + Send + Sync>),
    #[error(
        "cursor {cursor} is of another journal: the broker's store was replaced; list again, or start at {oldest}",
        cursor = cursor.0, oldest = oldest.0
    )]
    CursorForeign { cursor: Sequence, oldest: Sequence },
}

fn left_in_words(attempts: Option<u32>) -> String {
    attempts.map_or_else(|| "the module does not tell".to_owned(), |left| left.to_string())
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
