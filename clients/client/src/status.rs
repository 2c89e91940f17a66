//! The broker's refusals as values: `google.rpc.ErrorInfo` of a status, and what to tell people.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::time::Duration;

use api::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The reason of a refusal, when the broker itself gave one.
pub fn reason(status: &Status) -> Option<ErrorReason> {
    let info = status.get_details_error_info()?;
    if info.domain != api::ERROR_DOMAIN {
        return None;
    }
    ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason))
}

/// What varies in the message of a refusal, by the keys that `error_reason.proto` documents.
pub fn metadata(status: &Status) -> HashMap<String, String> {
    status
        .get_details_error_info()
        .map(|info| info.metadata)
        .unwrap_or_default()
}

/// How long the broker asks to wait before the next attempt.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// Whether the broker was not reached at all, as opposed to a broker that refused.
pub fn is_unreachable(status: &Status) -> bool {
    reason(status).is_none() && (status.code() == Code::Unavailable || is_lost_connection(status))
}

/// Whether an attempt at the same later can succeed without anybody changing anything.
pub fn is_temporary(status: &Status) -> bool {
    match reason(status) {
        // Without a delay it can never pass.
        Some(ErrorReason::RateLimited) => status
            .get_details_retry_info()
            .is_some_and(|retry| retry.retry_delay.is_some()),
        Some(_) => matches!(
            status.code(),
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded
        ),
        // Without a reason of the broker's it is the transport that speaks.
        None => !matches!(
            status.code(),
            Code::InvalidArgument
                | Code::NotFound
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::OutOfRange
                | Code::Unimplemented
                | Code::FailedPrecondition
        ),
    }
}

/// A refusal for people: the broker's words, and what to do where that is not in them.
pub fn describe(status: &Status) -> String {
    if is_unreachable(status) {
        // What HTTP/2 says of a lost connection helps nobody; the operating system and our own words do.
        let detail = match (io_error(status), status.source()) {
            (Some(error), _) => format!(" ({error})"),
            (None, Some(_)) => String::new(),
            (None, None) => format!(" ({})", status.message()),
        };
        return format!("the broker cannot be reached{detail}: is modem-broker running?");
    }
    let message = match status.message() {
        "" => format!("the broker refused without a word ({})", status.code().description()),
        message => message.to_owned(),
    };
    match advice(reason(status)) {
        Some(advice) => format!("{message}; {advice}"),
        None => message,
    }
}

fn advice(reason: Option<ErrorReason>) -> Option<&'static str> {
    Some(match reason? {
        ErrorReason::TokenInvalid => "give a valid one with --token-file or MODEM_BROKER_TOKEN",
        ErrorReason::ScopeMissing => {
            "on the broker's machine join the group modem-broker (usermod -aG modem-broker USER) and log in again; elsewhere use a token with that scope"
        }
        ErrorReason::OutcomeUnknown => "look before doing it again",
        ErrorReason::ModemProtocol => "please report it with the output of `modemctl trace`",
        _ => return None,
    })
}

fn is_lost_connection(status: &Status) -> bool {
    matches!(status.code(), Code::Unknown | Code::Internal | Code::Cancelled) && status.source().is_some()
}

/// The operating system's error behind another error.
pub(crate) fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn refusal(code: Code, reason: &str, domain: &str) -> Status {
        let details =
            ErrorDetails::with_error_info(reason, domain, HashMap::from([("modem".to_owned(), "sim1".to_owned())]));
        Status::with_error_details(code, "no modem is called \"x\"", details)
    }

    #[test]
    fn reasons_are_typed_and_foreign_ones_are_not() {
        let ours = refusal(Code::NotFound, "MODEM_NOT_FOUND", api::ERROR_DOMAIN);
        assert_eq!(reason(&ours), Some(ErrorReason::ModemNotFound));
        assert_eq!(metadata(&ours)["modem"], "sim1");
        assert_eq!(reason(&refusal(Code::NotFound, "MODEM_NOT_FOUND", "example.com")), None);
        assert_eq!(
            reason(&refusal(Code::NotFound, "OF_THE_FUTURE", api::ERROR_DOMAIN)),
            None
        );
        assert_eq!(reason(&Status::not_found("x")), None);
    }

    #[test]
    fn what_people_read() {
        for (status, text, unreachable, temporary) in [
            (
                refusal(Code::NotFound, "MODEM_NOT_FOUND", api::ERROR_DOMAIN),
                "no modem is called \"x\"",
                false,
                false,
            ),
            (
                refusal(Code::Unavailable, "MODEM_STARTING", api::ERROR_DOMAIN),
                "no modem is called \"x\"",
                false,
                true,
            ),
            (
                refusal(Code::Unknown, "OUTCOME_UNKNOWN", api::ERROR_DOMAIN),
                "look before doing it again",
                false,
                false,
            ),
            (
                Status::unavailable("tcp connect error"),
                "is modem-broker running?",
                true,
                true,
            ),
            (Status::permission_denied(""), "permission", false, false),
        ] {
            assert!(describe(&status).contains(text), "{status:?}: {}", describe(&status));
            assert_eq!(is_unreachable(&status), unreachable, "{status:?}");
            assert_eq!(is_temporary(&status), temporary, "{status:?}");
        }
    }
}
