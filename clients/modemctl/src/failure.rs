//! Why a command failed, and the exit code that tells scripts.

use client::audio::AudioError;
use client::{ConnectError, WatchError, status};
use tonic::Status;

/// Exit codes, as in sysexits(3).
pub mod exit_code {
    /// The command failed.
    pub const FAILURE: u8 = 1;
    /// The command line makes no sense.
    pub const USAGE: u8 = 64;
    /// The broker cannot be reached.
    pub const UNREACHABLE: u8 = 69;
}

/// Why a command failed: one line that says what to do.
#[derive(Debug)]
pub enum Failure {
    /// To be told.
    Told {
        /// The exit code.
        code: u8,
        /// The line.
        message: String,
    },
    /// Whoever read the output has gone away, as `head` does; nothing is wrong.
    OutputClosed,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Told {
            code: exit_code::FAILURE,
            message: message.into(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Told {
            code: exit_code::USAGE,
            message: message.into(),
        }
    }
}

impl From<Status> for Failure {
    fn from(refusal: Status) -> Self {
        let code = if status::is_unreachable(&refusal) {
            exit_code::UNREACHABLE
        } else {
            exit_code::FAILURE
        };
        Self::Told {
            code,
            message: status::describe(&refusal),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let code = match error {
            ConnectError::Endpoint(_)
            | ConnectError::CaMissing
            | ConnectError::IdentityIncomplete
            | ConnectError::TokenInClear { .. }
            | ConnectError::TokenUnreadable
            | ConnectError::File { .. } => exit_code::USAGE,
            _ => exit_code::UNREACHABLE,
        };
        Self::Told {
            code,
            message: error.to_string(),
        }
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
