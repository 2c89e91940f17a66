//! Wireless data administration: the format of the packets on the network interface.

use super::tlv::Tlvs;
use super::{Refusal, Request, Response, Service};

/// What stands before an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLayer {
    /// An Ethernet header, which the modem makes up.
    Ethernet,
    /// Nothing.
    RawIp,
    /// Another number.
    Other(u32),
}

impl std::fmt::Display for LinkLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ethernet => f.write_str("Ethernet frames"),
            Self::RawIp => f.write_str("raw IP"),
            Self::Other(number) => write!(f, "link layer {number}"),
        }
    }
}

impl LinkLayer {
    const fn number(self) -> u32 {
        match self {
            Self::Ethernet => 1,
            Self::RawIp => 2,
            Self::Other(number) => number,
        }
    }
}

/// Sets the format, without aggregation in either direction: `qmi_wwan` takes one packet per frame.
#[must_use]
pub fn set_data_format(link_layer: LinkLayer) -> Request {
    let tlvs = Tlvs::default()
        .with_u32(0x13, 0)
        .with_u32(0x12, 0)
        .with_u32(0x11, link_layer.number());
    Request::new(Service::WDA, 0x0020, tlvs)
}

/// Asks for the format.
#[must_use]
pub fn get_data_format() -> Request {
    Request::new(Service::WDA, 0x0021, Tlvs::default())
}

/// Reads the answer to [`set_data_format`] and [`get_data_format`]: what holds now, which may differ from what was asked.
pub fn data_format(response: &Response) -> Result<LinkLayer, Refusal> {
    response.result()?;
    Ok(match response.tlvs.need(0x11)?.u32()? {
        1 => LinkLayer::Ethernet,
        2 => LinkLayer::RawIp,
        other => LinkLayer::Other(other),
    })
}
