//! What the fuzz targets check, apart from what feeds them: libFuzzer, or [`replay`] where there is none.

#![forbid(unsafe_code)]

pub mod at_session;
pub mod mbim;
pub mod pdu;
pub mod qmux;
pub mod replay;
