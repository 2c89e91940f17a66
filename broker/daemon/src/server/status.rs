//! Refusals as gRPC statuses: a code for machines that retry, a reason for machines that decide, a message for people.

use std::collections::HashMap;
use std::time::Duration;

use api::v1::ErrorReason;
use cellular::qmi::EndReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::convert;
use crate::refusal::Refusal;
use crate::resource::{Persistence, SimCode};
use crate::scope::Scope;

/// When to try again what is unavailable: a modem comes up in tens of seconds.
const RETRY_DELAY: Duration = Duration::from_secs(2);

const REASON_PREFIX: &str = "ERROR_REASON_";

/// What a refusal is on the wire.
struct Meaning {
    code: Code,
    reason: ErrorReason,
    metadata: Vec<(&'static str, String)>,
}

fn meaning<const N: usize>(code: Code, reason: ErrorReason, metadata: [(&'static str, String); N]) -> Meaning {
    Meaning {
        code,
        reason,
        metadata: metadata.into(),
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let Meaning { code, reason, metadata } = meaning_of(&refusal);
        let mut details = error_info(reason, metadata);
        if let Refusal::FieldInvalid { field, problem } | Refusal::PhoneNumberInvalid { field, problem } = &refusal {
            details.add_bad_request_violation(*field, problem);
        }
        if code == Code::Unavailable {
            details.set_retry_info(Some(RETRY_DELAY));
        }
        if let Refusal::RateLimited { retry_after, .. } = &refusal {
            details.set_retry_info(*retry_after);
        }
        if let Refusal::StoreFailed(source) = &refusal {
            tracing::error!(
                error = source.as_ref() as &dyn std::error::Error,
                "the store failed a request"
            );
        }
        Status::with_error_details(code, refusal.to_string(), details)
    }
}

/// The status for whoever shows no valid token. Nothing tells a missing token from a wrong one.
pub(super) fn token_invalid() -> Status {
    Status::with_error_details(
        Code::Unauthenticated,
        "a valid token is needed: authorization: Bearer TOKEN",
        error_info(ErrorReason::TokenInvalid, Vec::new()),
    )
}

/// The status for whoever may not do this.
pub(super) fn scope_missing(scope: Scope) -> Status {
    Status::with_error_details(
        Code::PermissionDenied,
        format!("the scope {scope} is missing"),
        error_info(ErrorReason::ScopeMissing, vec![("scope", scope.name().to_owned())]),
    )
}

fn error_info(reason: ErrorReason, metadata: Vec<(&'static str, String)>) -> ErrorDetails {
    let name = reason.as_str_name();
    let metadata: HashMap<_, _> = metadata
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    ErrorDetails::with_error_info(
        name.strip_prefix(REASON_PREFIX).unwrap_or(name),
        api::ERROR_DOMAIN,
        metadata,
    )
}

fn attempts_metadata(left: Option<u32>) -> Vec<(&'static str, String)> {
    left.iter().map(|left| ("attempts_left", left.to_string())).collect()
}

fn sim_code(reason: ErrorReason, code: SimCode, attempts_left: Option<u32>) -> Meaning {
    let mut metadata = attempts_metadata(attempts_left);
    metadata.push(("code", code.name().to_owned()));
    Meaning {
        code: Code::FailedPrecondition,
        reason,
        metadata,
    }
}

fn bearer_failed(reason: Option<EndReason>, persistence: Persistence) -> Meaning {
    let (code, word) = match persistence {
        Persistence::Permanent => (Code::FailedPrecondition, "PERMANENT"),
        Persistence::Transient => (Code::Unavailable, "TRANSIENT"),
    };
    let mut metadata = vec![("persistence", word.to_owned())];
    if let Some(reason) = reason {
        metadata.push(("type", reason.layer_name().to_owned()));
        metadata.push(("number", reason.number.to_string()));
    }
    Meaning {
        code,
        reason: ErrorReason::BearerFailed,
        metadata,
    }
}

/// One exhaustive match, so that a new refusal cannot be forgotten here.
fn meaning_of(refusal: &Refusal) -> Meaning {
    match refusal {
        Refusal::FieldInvalid { field, .. } => meaning(
            Code::InvalidArgument,
            ErrorReason::FieldInvalid,
            [("field", (*field).to_owned())],
        ),
        Refusal::PhoneNumberInvalid { field, .. } => meaning(
            Code::InvalidArgument,
            ErrorReason::PhoneNumberInvalid,
            [("field", (*field).to_owned())],
        ),
        Refusal::MessageTooLong { segment_count } => meaning(
            Code::InvalidArgument,
            ErrorReason::MessageTooLong,
            [("segment_count", segment_count.to_string())],
        ),
        Refusal::RequestIdReused { request_id } => meaning(
            Code::InvalidArgument,
            ErrorReason::RequestIdReused,
            [("request_id", request_id.clone())],
        ),
        Refusal::Ambiguous { field, .. } => meaning(
            Code::InvalidArgument,
            ErrorReason::Ambiguous,
            [("field", (*field).to_owned())],
        ),
        Refusal::ModemNotFound { modem, .. } => {
            meaning(Code::NotFound, ErrorReason::ModemNotFound, [("modem", modem.clone())])
        }
        Refusal::CallNotFound { call_id } => meaning(
            Code::NotFound,
            ErrorReason::CallNotFound,
            [("call_id", call_id.clone())],
        ),
        Refusal::MessageNotFound { message_id } => meaning(
            Code::NotFound,
            ErrorReason::MessageNotFound,
            [("message_id", message_id.clone())],
        ),
        Refusal::UssdSessionNotFound { session_id } => meaning(
            Code::NotFound,
            ErrorReason::UssdSessionNotFound,
            [("session_id", session_id.clone())],
        ),
        Refusal::UssdState { state } => {
            let state = convert::ussd_state(*state)
                .as_str_name()
                .trim_start_matches("USSD_STATE_");
            meaning(
                Code::FailedPrecondition,
                ErrorReason::UssdState,
                [("state", state.to_owned())],
            )
        }
        Refusal::UssdBusy { session_id } => meaning(
            Code::ResourceExhausted,
            ErrorReason::UssdBusy,
            [("session_id", session_id.clone())],
        ),
        Refusal::LocationNotAvailable { cause } => meaning(
            Code::FailedPrecondition,
            ErrorReason::LocationNotAvailable,
            [("cause", cause.clone())],
        ),
        Refusal::TerminalTaken { modem } => meaning(
            Code::ResourceExhausted,
            ErrorReason::TerminalTaken,
            [("modem", modem.clone())],
        ),
        Refusal::TerminalClosed { cause, .. } => meaning(
            Code::Aborted,
            ErrorReason::TerminalClosed,
            [("cause", (*cause).to_owned())],
        ),
        Refusal::SimAbsent { modem } => meaning(
            Code::FailedPrecondition,
            ErrorReason::SimAbsent,
            [("modem", modem.clone())],
        ),
        Refusal::SimPinRequired { attempts_left, .. } => Meaning {
            code: Code::FailedPrecondition,
            reason: ErrorReason::SimPinRequired,
            metadata: attempts_metadata(*attempts_left),
        },
        Refusal::SimPukRequired { attempts_left } => Meaning {
            code: Code::FailedPrecondition,
            reason: ErrorReason::SimPukRequired,
            metadata: attempts_metadata(*attempts_left),
        },
        Refusal::SimState { state, .. } => {
            let state = convert::sim_state(*state)
                .as_str_name()
                .trim_start_matches("SIM_STATE_");
            meaning(
                Code::FailedPrecondition,
                ErrorReason::SimState,
                [("state", state.to_owned())],
            )
        }
        Refusal::SimCodeWrong { code, attempts_left } => sim_code(ErrorReason::SimCodeWrong, *code, *attempts_left),
        Refusal::SimLastAttempt { code, attempts_left } => sim_code(ErrorReason::SimLastAttempt, *code, *attempts_left),
        Refusal::NotRegistered { registration } => meaning(
            Code::FailedPrecondition,
            ErrorReason::NotRegistered,
            [("registration", registration.clone())],
        ),
        Refusal::DataNotReady { .. } => meaning(Code::FailedPrecondition, ErrorReason::DataNotReady, []),
        Refusal::QmiNotAvailable { .. } => meaning(Code::FailedPrecondition, ErrorReason::QmiNotAvailable, []),
        Refusal::QmiRequestDenied { .. } => meaning(Code::PermissionDenied, ErrorReason::QmiRequestDenied, []),
        Refusal::RoamingNotAllowed => meaning(Code::FailedPrecondition, ErrorReason::RoamingNotAllowed, []),
        Refusal::BearerFailed {
            reason, persistence, ..
        } => bearer_failed(*reason, *persistence),
        Refusal::CallState { state } => {
            let state = convert::call_state(*state)
                .as_str_name()
                .trim_start_matches("CALL_STATE_");
            meaning(
                Code::FailedPrecondition,
                ErrorReason::CallState,
                [("state", state.to_owned())],
            )
        }
        Refusal::MessageState { state } => {
            let state = convert::stored_message_state(*state)
                .as_str_name()
                .trim_start_matches("MESSAGE_STATE_");
            meaning(
                Code::FailedPrecondition,
                ErrorReason::MessageState,
                [("state", state.to_owned())],
            )
        }
        Refusal::AudioNotAvailable { cause } => meaning(
            Code::FailedPrecondition,
            ErrorReason::AudioNotAvailable,
            [("cause", cause.clone())],
        ),
        Refusal::RecordingFailed { detail } => meaning(
            Code::FailedPrecondition,
            ErrorReason::AudioNotAvailable,
            [("cause", detail.clone())],
        ),
        Refusal::Refused { kind, number, name, .. } => meaning(
            Code::FailedPrecondition,
            ErrorReason::Refused,
            [
                ("kind", (*kind).to_owned()),
                ("number", number.clone()),
                ("name", name.clone()),
            ],
        ),
        Refusal::NotEnabled { key } => meaning(
            Code::FailedPrecondition,
            ErrorReason::NotEnabled,
            [("key", (*key).to_owned())],
        ),
        Refusal::CallLimit { limit } => meaning(
            Code::ResourceExhausted,
            ErrorReason::CallLimit,
            [("limit", limit.to_string())],
        ),
        Refusal::StorageFull => meaning(Code::ResourceExhausted, ErrorReason::StorageFull, []),
        Refusal::RateLimited { key, retry_after, .. } => {
            let delay = retry_after.map(|delay| ("retry_after_ms", delay.as_millis().to_string()));
            Meaning {
                code: Code::ResourceExhausted,
                reason: ErrorReason::RateLimited,
                metadata: [("limit", (*key).to_owned())].into_iter().chain(delay).collect(),
            }
        }
        Refusal::AudioTaken => meaning(Code::Aborted, ErrorReason::AudioTaken, []),
        Refusal::Superseded => meaning(Code::Aborted, ErrorReason::Superseded, []),
        Refusal::ModemStarting { stage, .. } => {
            let stage = convert::stage(*stage).as_str_name().trim_start_matches("MODEM_STAGE_");
            meaning(
                Code::Unavailable,
                ErrorReason::ModemStarting,
                [("stage", stage.to_owned())],
            )
        }
        Refusal::ModemDisconnected { .. } => meaning(Code::Unavailable, ErrorReason::ModemDisconnected, []),
        Refusal::ModemResetting { .. } => meaning(Code::Unavailable, ErrorReason::ModemResetting, []),
        Refusal::ShuttingDown => meaning(Code::Unavailable, ErrorReason::ShuttingDown, []),
        Refusal::ModemTimeout { command } => meaning(
            Code::DeadlineExceeded,
            ErrorReason::ModemTimeout,
            [("command", command.clone())],
        ),
        Refusal::CursorExpired { oldest, .. } => meaning(
            Code::OutOfRange,
            ErrorReason::CursorExpired,
            [("oldest_cursor", oldest.0.to_string())],
        ),
        Refusal::CursorForeign { oldest, .. } => meaning(
            Code::OutOfRange,
            ErrorReason::CursorForeign,
            [("oldest_cursor", oldest.0.to_string())],
        ),
        Refusal::OutcomeUnknown { .. } => meaning(Code::Unknown, ErrorReason::OutcomeUnknown, []),
        Refusal::ModemProtocol { line } => {
            meaning(Code::Internal, ErrorReason::ModemProtocol, [("line", line.clone())])
        }
        Refusal::StoreFailed(source) => {
            let cause = source
                .source()
                .map_or_else(|| source.to_string(), |cause| format!("{source}: {cause}"));
            meaning(Code::Internal, ErrorReason::StoreFailed, [("cause", cause)])
        }
        Refusal::NetworkBusy { what } => meaning(
            Code::ResourceExhausted,
            ErrorReason::NetworkBusy,
            [("what", (*what).to_owned())],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{CallState, MessageState, Sequence, Stage};

    #[test]
    fn statuses_carry_code_reason_and_metadata() {
        let table = [
            (
                Refusal::FieldInvalid {
                    field: "page_size",
                    problem: "is too large".into(),
                },
                Code::InvalidArgument,
                "FIELD_INVALID",
                Some(("field", "page_size")),
            ),
            (
                Refusal::CallState {
                    state: CallState::Active,
                },
                Code::FailedPrecondition,
                "CALL_STATE",
                Some(("state", "ACTIVE")),
            ),
            (
                Refusal::MessageState {
                    state: MessageState::OutcomeUnknown,
                },
                Code::FailedPrecondition,
                "MESSAGE_STATE",
                Some(("state", "OUTCOME_UNKNOWN")),
            ),
            (
                Refusal::ModemStarting {
                    stage: Stage::Registering,
                    detail: String::new(),
                },
                Code::Unavailable,
                "MODEM_STARTING",
                Some(("stage", "REGISTERING")),
            ),
            (
                Refusal::SimPinRequired {
                    modem: "sim1".into(),
                    attempts_left: Some(3),
                },
                Code::FailedPrecondition,
                "SIM_PIN_REQUIRED",
                Some(("attempts_left", "3")),
            ),
            (
                Refusal::CursorExpired {
                    cursor: Sequence(1),
                    oldest: Sequence(7),
                },
                Code::OutOfRange,
                "CURSOR_EXPIRED",
                Some(("oldest_cursor", "7")),
            ),
            (Refusal::StorageFull, Code::ResourceExhausted, "STORAGE_FULL", None),
            (
                Refusal::OutcomeUnknown {
                    what: "the dial".into(),
                },
                Code::Unknown,
                "OUTCOME_UNKNOWN",
                None,
            ),
        ];
        for (refusal, code, reason, metadata) in table {
            let status = Status::from(refusal);
            assert_eq!(status.code(), code, "{reason}");
            let info = status.get_details_error_info().expect("every status has an ErrorInfo");
            assert_eq!(
                (info.reason.as_str(), info.domain.as_str()),
                (reason, api::ERROR_DOMAIN)
            );
            if let Some((key, value)) = metadata {
                assert_eq!(info.metadata.get(key).map(String::as_str), Some(value), "{reason}");
            }
        }
    }

    #[test]
    fn what_may_be_retried_says_when_and_what_is_invalid_says_which_field() {
        let status = Status::from(Refusal::ModemDisconnected { detail: String::new() });
        assert!(
            status
                .get_details_retry_info()
                .is_some_and(|retry| retry.retry_delay.is_some())
        );
        let status = Status::from(Refusal::OutcomeUnknown {
            what: "the send".into(),
        });
        assert!(
            status.get_details_retry_info().is_none(),
            "a repeated send could be a second message"
        );
        let status = Status::from(Refusal::PhoneNumberInvalid {
            field: "address",
            problem: "is empty".into(),
        });
        let request = status.get_details_bad_request().expect("a bad request");
        assert_eq!(request.field_violations[0].field, "address");
    }

    #[test]
    fn every_reason_is_named_after_the_contract() {
        assert!(ErrorReason::StoreFailed.as_str_name().starts_with(REASON_PREFIX));
    }
}
