//! Wireless messaging: that a short message was stored. Messages themselves go by AT commands, where every storage and every
//! outcome is known.

use super::tlv::Tlvs;
use super::{DecodeError, Indication, Request, Service};

/// The indication *Event Report*.
pub const EVENT_REPORT: u16 = 0x0001;

/// Asks to be told of new messages.
#[must_use]
pub fn set_event_report() -> Request {
    Request::new(Service::WMS, EVENT_REPORT, Tlvs::default().with_u8(0x10, 1))
}

/// Where messages are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// On the SIM.
    Sim,
    /// In the module.
    Module,
}

/// Reads an indication of [`EVENT_REPORT`]: where a new message lies; `None` when it tells of something else, or of a storage
/// that is not known.
pub fn stored_message(indication: &Indication) -> Result<Option<(Storage, u32)>, DecodeError> {
    let Some(mut message) = indication.tlvs.find(0x10) else {
        return Ok(None);
    };
    let storage = match message.u8()? {
        0 => Some(Storage::Sim),
        1 => Some(Storage::Module),
        _ => None,
    };
    let index = message.u32()?;
    Ok(storage.map(|storage| (storage, index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_where_the_message_lies() {
        for (tlvs, expected) in [
            (
                Tlvs::default().with(0x10, &[0, 7, 0, 0, 0]),
                Ok(Some((Storage::Sim, 7))),
            ),
            (
                Tlvs::default().with_u8(0x12, 1).with(0x10, &[1, 0, 1, 0, 0]),
                Ok(Some((Storage::Module, 256))),
            ),
            (Tlvs::default().with(0x10, &[2, 7, 0, 0, 0]), Ok(None)),
            (Tlvs::default().with(0x11, &[0; 10]), Ok(None)),
            (
                Tlvs::default().with(0x10, &[0, 7]),
                Err(DecodeError::Short { kind: 0x10 }),
            ),
        ] {
            let indication = Indication {
                service: Service::WMS,
                endpoint: None,
                id: EVENT_REPORT,
                tlvs,
            };
            assert_eq!(stored_message(&indication), expected);
        }
    }
}
