//! QMI, the protocol of Qualcomm modems on `/dev/cdc-wdm*` (there is no public standard; names are those of libqmi).
//!
//! - [`Client`] is the dialogue on one port: client ids, transactions, deadlines, indications.
//! - [`ctl`], [`dms`], [`nas`], [`wds`], [`wda`], [`wms`], [`uim`] and [`imsa`] build the requests of a service and read its answers.
//! - [`cells`] and [`profiles`] are further requests to network access and to wireless data; [`names`] is what messages are
//!   called, for whoever builds them by hand.
//! - [`message`] is the framing that all services share, [`tlv`] what messages are made of.
//!
//! Numbers of messages, TLVs and values are facts that the free implementations (libqmi, uqmi) publish.

pub mod cells;
mod client;
pub mod ctl;
pub mod dms;
pub mod imsa;
pub mod message;
pub mod names;
pub mod nas;
pub mod profiles;
mod protocol_error;
pub mod tlv;
pub mod uim;
pub mod wda;
pub mod wds;
pub mod wms;

use std::time::Duration;

pub use crate::packet::{EndReason, end_reason};
pub use client::{Client, Failure, Indication, Output};
pub use protocol_error::ProtocolError;
pub use tlv::Tlvs;

/// A service of the modem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service(
    /// Its number.
    pub u8,
);

impl Service {
    /// Control: client ids.
    pub const CTL: Self = Self(0x00);
    /// Wireless data: sessions.
    pub const WDS: Self = Self(0x01);
    /// Device management: identity and operating mode.
    pub const DMS: Self = Self(0x02);
    /// Network access: registration and signal.
    pub const NAS: Self = Self(0x03);
    /// Wireless messaging: short messages.
    pub const WMS: Self = Self(0x05);
    /// User identity module: the card.
    pub const UIM: Self = Self(0x0B);
    /// Wireless data administration: the format on the network interface.
    pub const WDA: Self = Self(0x1A);
    /// IMS application: registration with the IMS.
    pub const IMSA: Self = Self(0x21);
}

/// One of our clients of a service. A data session of IPv6 needs another client than one of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The service.
    pub service: Service,
    /// Which of our clients, from 0.
    pub number: u8,
}

impl Endpoint {
    /// The first client of a service.
    #[must_use]
    pub const fn first(service: Service) -> Self {
        Self { service, number: 0 }
    }

    /// The client for requests that somebody builds by hand: what they subscribe to and change is not the others'.
    #[must_use]
    pub const fn by_hand(service: Service) -> Self {
        Self {
            service,
            number: Self::BY_HAND,
        }
    }

    /// Whether it is the one for requests built by hand.
    #[must_use]
    pub const fn is_by_hand(self) -> bool {
        self.number == Self::BY_HAND
    }

    const BY_HAND: u8 = u8::MAX;
}

/// How long a modem may take to answer what needs no network.
pub const ORDINARY_LIMIT: Duration = Duration::from_secs(5);

/// A request to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub endpoint: Endpoint,
    /// Which message of the service.
    pub id: u16,
    /// Its contents.
    pub tlvs: Tlvs,
    /// How long the answer may take.
    pub limit: Duration,
}

impl Request {
    const fn new(service: Service, id: u16, tlvs: Tlvs) -> Self {
        Self {
            endpoint: Endpoint::first(service),
            id,
            tlvs,
            limit: ORDINARY_LIMIT,
        }
    }
}

/// The answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Its contents, with the result.
    pub tlvs: Tlvs,
}

impl Response {
    /// Whether the modem did what was asked.
    pub fn result(&self) -> Result<(), Refusal> {
        let mut result = self.tlvs.need(tlv::RESULT)?;
        match (result.u16()?, result.u16()?) {
            (0, _) => Ok(()),
            (_, error) => Err(Refusal::Protocol(ProtocolError(error))),
        }
    }
}

/// Why an answer is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The modem refused.
    #[error("the modem refused: {0}")]
    Protocol(ProtocolError),
    /// The answer cannot be read.
    #[error("the modem's answer cannot be read")]
    Unreadable(#[from] DecodeError),
}

impl Refusal {
    /// The modem's error, if it told one.
    #[must_use]
    pub const fn protocol(self) -> Option<ProtocolError> {
        match self {
            Self::Protocol(error) => Some(error),
            Self::Unreadable(_) => None,
        }
    }
}

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The octets do not begin like a frame, or their length is another.
    #[error("no QMUX frame")]
    NoFrame,
    /// The frame ends too early.
    #[error("a frame of {octets} octets is cut off")]
    Truncated {
        /// What is there.
        octets: usize,
    },
    /// A TLV that has to be there is not.
    #[error("TLV {kind:#04x} is missing")]
    Missing {
        /// Its type.
        kind: u8,
    },
    /// A value ends too early.
    #[error("TLV {kind:#04x} is too short")]
    Short {
        /// Its type.
        kind: u8,
    },
}
