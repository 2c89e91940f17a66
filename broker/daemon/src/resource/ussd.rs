//! USSD sessions.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// State of a USSD session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UssdState {
    /// The network is to answer.
    Waiting,
    /// The network asked and waits for a reply.
    UserAction,
    /// Over.
    Ended,
}

/// In words that go on from "the USSD session".
impl std::fmt::Display for UssdState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            UssdState::Waiting => "waits for the network",
            UssdState::UserAction => "waits for a reply",
            UssdState::Ended => "is over",
        })
    }
}

/// Why a USSD session ended. The contract's `UssdEndCause` says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UssdEndCause {
    /// By the final answer.
    Answered,
    /// By the network.
    Terminated,
    /// The network does not know the code.
    NotSupported,
    /// The network gave up.
    NetworkTimeout,
    /// The network did not answer.
    NoAnswer,
    /// Nobody replied.
    NoReply,
    /// A client cancelled it.
    Cancelled,
    /// A call took the modem.
    Call,
    /// The modem refused it.
    Refused,
    /// The modem or the broker went away.
    Lost,
    /// Another client of the modem answered.
    OtherClient,
    /// A text that the network sent on its own.
    Notification,
}

/// A USSD session. The code that began it is not kept: codes carry vouchers and PINs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UssdSession {
    /// The broker's identifier.
    pub id: String,
    /// The modem.
    pub modem: String,
    /// Its state.
    pub state: UssdState,
    /// The network's last text.
    pub text: String,
    /// Why it ended.
    pub end_cause: Option<UssdEndCause>,
    /// More about the end.
    pub end_detail: String,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// The network began it.
    pub network_initiated: bool,
    /// The request that made it.
    pub request_id: Option<String>,
}

impl UssdSession {
    /// A session that begins now.
    pub fn begin(modem: &str, request_id: Option<String>) -> UssdSession {
        UssdSession {
            id: uuid::Uuid::new_v4().to_string(),
            modem: modem.to_owned(),
            state: UssdState::Waiting,
            text: String::new(),
            end_cause: None,
            end_detail: String::new(),
            start_time: Timestamp::now(),
            end_time: None,
            network_initiated: request_id.is_none(),
            request_id,
        }
    }

    /// Ends it now.
    pub fn end(&mut self, cause: UssdEndCause, detail: impl Into<String>) {
        self.state = UssdState::Ended;
        self.end_cause = Some(cause);
        self.end_detail = detail.into();
        self.end_time = Some(Timestamp::now());
    }
}
