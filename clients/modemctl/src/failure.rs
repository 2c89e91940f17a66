//! Why a command failed, and the exit code that tells scripts.

use api::v1::ErrorReason;
use client::audio::AudioError;
use client::{ConnectError, WatchError, status};
use serde_json::{Value, json};
use tonic::Status;

use crate::table::clean;

/// Exit codes, as in sysexits(3).
pub mod exit_code {
    /// The command failed.
    pub const FAILURE: u8 = 1;
    /// The command line makes no sense.
    pub const USAGE: u8 = 64;
    /// The broker cannot be reached.
    pub const UNREACHABLE: u8 = 69;
}

/// Reasons of failures that are not the broker's. The broker's own are the values of `ErrorReason`.
mod reason {
    pub(super) const FAILED: &str = "FAILED";
    pub(super) const USAGE: &str = "USAGE";
    pub(super) const UNREACHABLE: &str = "BROKER_UNREACHABLE";
}

/// Why a command failed: one line that says what to do.
#[derive(Debug)]
pub enum Failure {
    /// To be told.
    Told {
        /// The exit code.
        code: u8,
        /// The reason, for programs.
        reason: String,
        /// The line.
        message: String,
    },
    /// Whoever read the output has gone away, as `head` does; nothing is wrong.
    OutputClosed,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::told(exit_code::FAILURE, reason::FAILED, message)
    }

    /// A command line that makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::told(exit_code::USAGE, reason::USAGE, message)
    }

    /// Whether the broker refused for this reason.
    pub(crate) fn has_reason(&self, wanted: ErrorReason) -> bool {
        matches!(self, Self::Told { reason, .. } if *reason == name(wanted))
    }

    /// A broker that cannot be reached.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::told(exit_code::UNREACHABLE, reason::UNREACHABLE, message)
    }

    fn told(code: u8, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Told {
            code,
            reason: reason.into(),
            message: clean(&message.into()),
        }
    }
}

/// A reason of the broker's as errors carry it.
fn name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// A failure as the one line that goes to the standard error with `--json`.
pub fn as_json(reason: &str, message: &str) -> Value {
    json!({"error": {"reason": reason, "message": message}})
}

impl From<Status> for Failure {
    fn from(refusal: Status) -> Self {
        let message = status::describe(&refusal);
        if status::is_unreachable(&refusal) {
            return Self::told(exit_code::UNREACHABLE, reason::UNREACHABLE, message);
        }
        let reason = status::reason(&refusal).map(name);
        Self::told(exit_code::FAILURE, reason.unwrap_or(reason::FAILED), message)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let (code, reason) = match error {
            ConnectError::Endpoint(_)
            | ConnectError::CaMissing
            | ConnectError::IdentityIncomplete
            | ConnectError::TokenInClear { .. }
            | ConnectError::TokenUnreadable
            | ConnectError::File { .. } => (exit_code::USAGE, reason::USAGE),
            _ => (exit_code::UNREACHABLE, reason::UNREACHABLE),
        };
        Self::told(code, reason, error.to_string())
    }
}

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<AudioError> for Failure {
    fn from(error: AudioError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::new(format!("failed to write the output: {error}")),
        }
    }
}
