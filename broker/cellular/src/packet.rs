//! What a data session is, whichever protocol sets it up.
//!
//! QMI and MBIM carry the same session management (24.008, 24.301): an access point, versions of IP, credentials, and a cause
//! when there is none.

pub mod dialogue;
pub mod end_reason;

use std::net::{Ipv4Addr, Ipv6Addr};

pub use end_reason::EndReason;

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// How the access point wants to be shown who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Not at all.
    #[default]
    None,
    /// PAP.
    Pap,
    /// CHAP.
    Chap,
    /// Either.
    Both,
}

/// What a session is to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Access point name; empty for the one of the attach.
    pub apn: String,
    /// The profile of the modem that fills in what is not said here. MBIM has none.
    pub profile: Option<u8>,
    /// How to authenticate.
    pub authentication: Authentication,
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
    /// The firmware starts the session again by itself. MBIM cannot ask for it.
    pub autoconnect: bool,
}

/// The addresses of a session. What the network did not tell is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// IPv4 address and length of its prefix.
    pub address_v4: Option<(Ipv4Addr, u8)>,
    /// IPv4 gateway; not needed on a point-to-point link.
    pub gateway_v4: Option<Ipv4Addr>,
    /// IPv6 address and length of its prefix.
    pub address_v6: Option<(Ipv6Addr, u8)>,
    /// IPv6 gateway.
    pub gateway_v6: Option<Ipv6Addr>,
    /// Name servers for IPv4.
    pub name_servers_v4: Vec<Ipv4Addr>,
    /// Name servers for IPv6.
    pub name_servers_v6: Vec<Ipv6Addr>,
    /// Largest packet.
    pub mtu: Option<u32>,
    /// The access point that the network chose.
    pub apn: Option<String>,
}
