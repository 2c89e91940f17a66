//! Why a PDU cannot be read or written.

use super::{Direction, Pdu};
use crate::sms::address::AddressError;
use crate::sms::user_data::{UserDataEncodeError, UserDataError};

/// How much of the user data is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserDataTruncated {
    /// The octets that TP-UDL announces.
    pub declared_octets: usize,
    /// The octets that are there.
    pub received_octets: usize,
}

/// Why a PDU cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A character that is no hexadecimal digit.
    #[error("{character:?} at position {position} is no hexadecimal digit")]
    InvalidHexDigit {
        /// The character.
        character: char,
        /// Its position, counted in octets from 0.
        position: usize,
    },
    /// Half an octet at the end.
    #[error("{digits} hexadecimal digits are an odd number: one is missing")]
    OddHexDigits {
        /// How many digits there are.
        digits: usize,
    },
    /// The PDU ends before a field does.
    #[error("the PDU ends too early: the {field} at octet {offset} is not whole")]
    Truncated {
        /// The field.
        field: &'static str,
        /// Where it, or its missing piece, begins.
        offset: usize,
    },
    /// A message type that carries no message, or that belongs to the other direction.
    #[error("message type {type_indicator:#04b} does not come {direction}")]
    UnsupportedType {
        /// TP-MTI.
        type_indicator: u8,
        /// The direction that the caller stated.
        direction: Direction,
    },
    /// An address that is longer than addresses are.
    #[error("the {field} cannot be read: {problem}")]
    Address {
        /// Whose address.
        field: &'static str,
        /// Why.
        problem: AddressError,
    },
    /// The user data header contradicts itself.
    #[error(transparent)]
    UserData(#[from] UserDataError),
    /// The user data ends early. Everything before it was read, and so was what there is of it.
    #[error("{} octets of user data are announced, and only {} follow", truncated.declared_octets, truncated.received_octets)]
    UserDataTruncated {
        /// How much is missing.
        truncated: UserDataTruncated,
        /// What could be read, for those who prefer half a message to none.
        partial: Box<Pdu>,
    },
}

/// Why a PDU cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// An address with a character that no PDU can carry, or too many of them.
    #[error("the {field} cannot be written: {problem}")]
    Address {
        /// Whose address.
        field: &'static str,
        /// Why.
        problem: AddressError,
    },
    /// User data that is too long or does not fit its coding.
    #[error(transparent)]
    UserData(#[from] UserDataEncodeError),
}

impl EncodeError {
    pub(super) fn address(field: &'static str) -> impl FnOnce(AddressError) -> Self {
        move |problem| Self::Address { field, problem }
    }
}
