//! Packets through the virtual modem in composition 9001: each test in a network namespace of its own, with the modem's
//! interface as a TUN device. They need root and `/dev/net/tun`, so `cargo test` leaves them out; `tests/run` runs them with
//! `--ignored` where it can.

mod advertised;
mod connecting;
mod dynamic;
mod mbim;
mod namespace;
mod options;
mod proxy;
mod refusing;
#[path = "../real_time/call.rs"]
#[expect(dead_code, reason = "the tests of calls need more of it")]
mod voice;
