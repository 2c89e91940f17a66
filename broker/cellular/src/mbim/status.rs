//! Whether a command was done (9.4.5), and what is wrong with a message (9.3.4).

use std::fmt;

/// `MBIM_STATUS_CODES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(
    /// Its number.
    pub u32,
);

impl Status {
    /// It was done.
    pub const SUCCESS: Self = Self(0);
    /// The function is busy.
    pub const BUSY: Self = Self(1);
    /// It failed; of a connection the network's cause is beside it.
    pub const FAILURE: Self = Self(2);
    /// There is no SIM.
    pub const SIM_NOT_INSERTED: Self = Self(3);
    /// The SIM cannot be used.
    pub const BAD_SIM: Self = Self(4);
    /// A PIN is needed.
    pub const PIN_REQUIRED: Self = Self(5);
    /// The PIN is not in use.
    pub const PIN_DISABLED: Self = Self(6);
    /// Not registered.
    pub const NOT_REGISTERED: Self = Self(7);
    /// The device cannot do it.
    pub const NO_DEVICE_SUPPORT: Self = Self(9);
    /// Not attached.
    pub const PACKET_SERVICE_DETACHED: Self = Self(12);
    /// There are as many contexts as there can be.
    pub const MAX_ACTIVATED_CONTEXTS: Self = Self(13);
    /// The SIM is not ready yet.
    pub const NOT_INITIALIZED: Self = Self(14);
    /// A call keeps the data away.
    pub const VOICE_CALL_IN_PROGRESS: Self = Self(15);
    /// There is no such session.
    pub const CONTEXT_NOT_ACTIVATED: Self = Self(16);
    /// The subscription is not in service.
    pub const SERVICE_NOT_ACTIVATED: Self = Self(17);
    /// The access point is wrong.
    pub const INVALID_ACCESS_STRING: Self = Self(18);
    /// User name or password are wrong.
    pub const INVALID_USER_NAME_PWD: Self = Self(19);
    /// The radio is off.
    pub const RADIO_POWER_OFF: Self = Self(20);
    /// A value is none that the function takes.
    pub const INVALID_PARAMETERS: Self = Self(21);
    /// Now is not the time.
    pub const OPERATION_NOT_ALLOWED: Self = Self(28);
    /// The context type is none that the function has.
    pub const CONTEXT_NOT_SUPPORTED: Self = Self(38);

    /// Its name, where it is known.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::SUCCESS => "success",
            Self::BUSY => "busy",
            Self::FAILURE => "failure",
            Self::SIM_NOT_INSERTED => "no SIM is inserted",
            Self::BAD_SIM => "the SIM is invalid",
            Self::PIN_REQUIRED => "a PIN is needed",
            Self::PIN_DISABLED => "the PIN is not in use",
            Self::NOT_REGISTERED => "not registered",
            Self::NO_DEVICE_SUPPORT => "not supported",
            Self::PACKET_SERVICE_DETACHED => "not attached to the packet service",
            Self::MAX_ACTIVATED_CONTEXTS => "no more contexts can be activated",
            Self::NOT_INITIALIZED => "the SIM is not ready yet",
            Self::VOICE_CALL_IN_PROGRESS => "a call is in progress",
            Self::CONTEXT_NOT_ACTIVATED => "the context is not activated",
            Self::SERVICE_NOT_ACTIVATED => "the subscription is not activated",
            Self::INVALID_ACCESS_STRING => "invalid access point name",
            Self::INVALID_USER_NAME_PWD => "invalid user name or password",
            Self::RADIO_POWER_OFF => "the radio is off",
            Self::INVALID_PARAMETERS => "invalid parameters",
            Self::OPERATION_NOT_ALLOWED => "not allowed",
            Self::CONTEXT_NOT_SUPPORTED => "the context type is not supported",
            _ => return None,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} (status {})", self.0),
            None => write!(f, "status {}", self.0),
        }
    }
}

/// `MBIM_PROTOCOL_ERROR_CODES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProtocolError(
    /// Its number.
    pub u32,
);

impl ProtocolError {
    /// The next fragment did not come in time.
    pub const TIMEOUT_FRAGMENT: Self = Self(1);
    /// A fragment came out of its order.
    pub const FRAGMENT_OUT_OF_SEQUENCE: Self = Self(2);
    /// A length is not that of the message.
    pub const LENGTH_MISMATCH: Self = Self(3);
    /// The transaction is under way already.
    pub const DUPLICATED_TID: Self = Self(4);
    /// The function is not open.
    pub const NOT_OPENED: Self = Self(5);
    /// The message is unknown.
    pub const UNKNOWN: Self = Self(6);
    /// The operation is to be cancelled.
    pub const CANCEL: Self = Self(7);
    /// The largest transfer is not one that the function supports.
    pub const MAX_TRANSFER: Self = Self(8);
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::TIMEOUT_FRAGMENT => "a fragment did not come in time",
            Self::FRAGMENT_OUT_OF_SEQUENCE => "a fragment is out of sequence",
            Self::LENGTH_MISMATCH => "a length does not fit",
            Self::DUPLICATED_TID => "the transaction is under way already",
            Self::NOT_OPENED => "the function is not open",
            Self::UNKNOWN => "unknown message",
            Self::CANCEL => "cancelled",
            Self::MAX_TRANSFER => "the largest transfer is not supported",
            _ => return write!(f, "protocol error {}", self.0),
        };
        f.write_str(name)
    }
}
