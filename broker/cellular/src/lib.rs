//! The modem as the standards define it.
//!
//! Contract: bytes and instants go in, bytes and facts come out. Nothing here opens a file, asks for the time, waits or
//! starts a thread, so every behaviour can be replayed from a trace, in any chunking, with the same result.

#![forbid(unsafe_code)]

pub mod arbitration;
pub mod at;
pub mod call;
pub mod carrier;
pub mod location;
pub mod mbim;
pub mod packet;
pub mod pcm;
pub mod profile;
pub mod qmi;
pub mod recovery;
pub mod sms;
pub mod trace;
pub mod ussd;
