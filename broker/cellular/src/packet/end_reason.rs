//! Why a data session could not be set up, or ended.

use std::fmt;

/// A verbose call end reason: the layer that ended the session and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndReason {
    /// The layer.
    pub layer: u16,
    /// The number, counted for each layer on its own.
    pub number: i16,
}

/// What follows from an end reason for whoever wants the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// It may work at the next try.
    Retry,
    /// The network wants to be left alone for a while.
    RetryLate,
    /// The other IP family works, or both apart.
    OtherFamily,
    /// Another session with the same parameters is in the way, often one that the firmware keeps by itself.
    InUse,
    /// Roaming is not allowed.
    Roaming,
    /// It does not work until the access point, the user name or the subscription is another.
    Permanent,
}

impl EndReason {
    /// The modem itself.
    pub const INTERNAL: u16 = 2;
    /// Call manager.
    pub const CALL_MANAGER: u16 = 3;
    /// The session management of 24.008 (10.5.6.6, SM cause).
    pub const SESSION_MANAGEMENT: u16 = 6;

    /// What follows from it.
    #[must_use]
    pub const fn consequence(self) -> Consequence {
        match (self.layer, self.number) {
            (Self::INTERNAL, 236 | 237 | 241) => Consequence::InUse,
            (Self::INTERNAL, 239 | 246 | 255) => Consequence::Roaming,
            (Self::INTERNAL, 209 | 211) => Consequence::RetryLate,
            (Self::INTERNAL, 208 | 210 | 231) | (Self::SESSION_MANAGEMENT, 50 | 51) => Consequence::OtherFamily,
            (Self::INTERNAL, 220 | 247 | 253 | 263) | (Self::SESSION_MANAGEMENT, 8 | 27 | 28 | 29 | 32 | 33) => {
                Consequence::Permanent
            }
            _ => Consequence::Retry,
        }
    }

    /// Whether the access point name is wrong.
    #[must_use]
    pub const fn is_access_point(self) -> bool {
        matches!(
            (self.layer, self.number),
            (Self::SESSION_MANAGEMENT, 27) | (Self::INTERNAL, 220 | 247 | 253 | 263)
        )
    }

    /// Whether user name or password are wrong.
    #[must_use]
    pub const fn is_authentication(self) -> bool {
        matches!((self.layer, self.number), (Self::SESSION_MANAGEMENT, 29))
    }

    /// The name of the layer.
    #[must_use]
    pub const fn layer_name(self) -> &'static str {
        match self.layer {
            1 => "Mobile IP",
            Self::INTERNAL => "modem",
            Self::CALL_MANAGER => "call manager",
            Self::SESSION_MANAGEMENT => "3GPP",
            7 => "PPP",
            9 => "IPv6",
            _ => "unknown layer",
        }
    }

    /// Its name, where it is known.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match (self.layer, self.number) {
            (Self::INTERNAL, 208) => "IPv4 is not allowed",
            (Self::INTERNAL, 209) => "IPv4 is throttled",
            (Self::INTERNAL, 210) => "IPv6 is not allowed",
            (Self::INTERNAL, 211) => "IPv6 is throttled",
            (Self::INTERNAL, 220) => "the access point is disabled",
            (Self::INTERNAL, 231) => "the IP versions do not fit",
            (Self::INTERNAL, 236) => "a session is there already",
            (Self::INTERNAL, 237 | 241) => "the interface is in use",
            (Self::INTERNAL, 239 | 246 | 255) => "roaming is not allowed",
            (Self::INTERNAL, 247 | 253 | 263) => "the access point name is not valid",
            (Self::SESSION_MANAGEMENT, 8) => "operator determined barring",
            (Self::SESSION_MANAGEMENT, 26) => "insufficient resources",
            (Self::SESSION_MANAGEMENT, 27) => "unknown access point name",
            (Self::SESSION_MANAGEMENT, 28) => "unknown PDP type",
            (Self::SESSION_MANAGEMENT, 29) => "user authentication failed",
            (Self::SESSION_MANAGEMENT, 30) => "rejected by the gateway",
            (Self::SESSION_MANAGEMENT, 31) => "rejected, unspecified",
            (Self::SESSION_MANAGEMENT, 32) => "service option not supported",
            (Self::SESSION_MANAGEMENT, 33) => "service option not subscribed",
            (Self::SESSION_MANAGEMENT, 34) => "service option out of order",
            (Self::SESSION_MANAGEMENT, 36) => "regular deactivation",
            (Self::SESSION_MANAGEMENT, 38) => "network failure",
            (Self::SESSION_MANAGEMENT, 39) => "reactivation requested",
            (Self::SESSION_MANAGEMENT, 50) => "only IPv4 is allowed",
            (Self::SESSION_MANAGEMENT, 51) => "only IPv6 is allowed",
            (Self::SESSION_MANAGEMENT, 55) => "several connections to one access point are not allowed",
            _ => return None,
        })
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layer = self.layer_name();
        match self.name() {
            Some(name) => write!(f, "{name} ({layer} {})", self.number),
            None => write!(f, "{layer} cause {}", self.number),
        }
    }
}
