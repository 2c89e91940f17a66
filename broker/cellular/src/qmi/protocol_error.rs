//! The errors of QMI by number.

use std::fmt;

/// An error as a response carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProtocolError(
    /// Its number.
    pub u16,
);

impl ProtocolError {
    /// Every client id of the service is taken.
    pub const CLIENT_IDS_EXHAUSTED: Self = Self(5);
    /// The client id is not, or no more, one of the modem's.
    pub const INVALID_CLIENT_ID: Self = Self(7);
    /// No session could be set up; the end reason says why.
    pub const CALL_FAILED: Self = Self(14);
    /// There is no session.
    pub const OUT_OF_CALL: Self = Self(15);
    /// It is already so.
    pub const NO_EFFECT: Self = Self(26);
    /// The firmware does not have the service.
    pub const INVALID_SERVICE_TYPE: Self = Self(31);
    /// The firmware does not know the message.
    pub const INVALID_QMI_COMMAND: Self = Self(71);
    /// It contradicts what the modem has been told before, for instance by a client that is gone.
    pub const POLICY_MISMATCH: Self = Self(79);
    /// The firmware does not do this.
    pub const NOT_SUPPORTED: Self = Self(94);

    /// Its name, where this client has met it.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "malformed message",
            2 => "no memory",
            3 => "internal",
            4 => "aborted",
            5 => "client ids exhausted",
            7 => "invalid client id",
            9 => "invalid handle",
            10 => "invalid profile",
            12 => "incorrect PIN",
            13 => "no network found",
            14 => "call failed",
            15 => "out of call",
            16 => "not provisioned",
            17 => "missing argument",
            23 => "device in use",
            26 => "no effect",
            31 => "invalid service type",
            34 => "authentication failed",
            35 => "PIN blocked",
            37 => "SIM uninitialised",
            43 => "interface not found",
            48 => "invalid argument",
            52 => "device not ready",
            53 => "network not ready",
            64 => "invalid IP family preference",
            69 => "disabled",
            70 => "invalid operation",
            71 => "unknown message",
            74 => "information unavailable",
            79 => "policy mismatch",
            82 => "access denied",
            83 => "hardware restricted",
            90 => "incompatible state",
            93 => "no radio",
            94 => "not supported",
            95 => "no subscription",
            97 => "network aborted",
            102 => "no SIM",
            _ => return None,
        })
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "error {}", self.0),
        }
    }
}
