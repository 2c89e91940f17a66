//! Packet data (27.007 clause 10).

use super::super::reply::PdpType;
use super::{Command, InvalidArgument, checked, in_range, limit};

/// `AT+CGDCONT=<cid>,"<type>","<apn>"` (27.007 10.1.1): define a context. An empty name lets the network choose.
///
/// # Errors
/// [`InvalidArgument`] unless the id is 1 to 24 and the name has the form of 23.003 9.1.
pub fn define_pdp_context(id: u8, pdp_type: PdpType, apn: &str) -> Result<Command, InvalidArgument> {
    let id = in_range("context id", u32::from(id), 1..=24)?;
    if !apn.is_empty() {
        // Letters, digits, hyphens and dots; underscores are not allowed there and yet in use.
        checked("access point name", apn, 100, |byte| {
            byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
        })?;
    }
    Ok(Command::action(
        format!("AT+CGDCONT={id},\"{}\",\"{apn}\"", pdp_type.as_str()),
        limit::LOCAL,
    ))
}

/// How an access point checks who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Authentication {
    /// 0: not at all.
    #[default]
    None,
    /// 1: PAP (RFC 1334).
    Pap,
    /// 2: CHAP (RFC 1994).
    Chap,
    /// 3: either.
    Both,
}

impl Authentication {
    /// `<auth_type>`
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Pap => 1,
            Self::Chap => 2,
            Self::Both => 3,
        }
    }
}

/// `AT+CGAUTH=<cid>,<auth_type>,"<password>","<user>"`: authentication of a context. The SIM7600 wants the password first.
///
/// # Errors
/// [`InvalidArgument`] unless the id is 1 to 24 and both texts are printable ASCII without quote, backslash and semicolon, at
/// most 127 characters.
pub fn context_authentication(
    id: u8,
    authentication: Authentication,
    user: &str,
    password: &str,
) -> Result<Command, InvalidArgument> {
    let id = in_range("context id", u32::from(id), 1..=24)?;
    if authentication == Authentication::None {
        return Ok(Command::action(format!("AT+CGAUTH={id},0"), limit::LOCAL));
    }
    let allowed = |byte: u8| (b' '..=b'~').contains(&byte) && !b"\"\\;".contains(&byte);
    let user = checked("user", user, 127, allowed)?;
    if !password.is_empty() {
        checked("password", password, 127, allowed)?;
    }
    Ok(Command::action(
        format!("AT+CGAUTH={id},{},\"{password}\",\"{user}\"", authentication.number()),
        limit::LOCAL,
    ))
}

/// `AT+CGAUTH?`: authentication of the contexts.
#[must_use]
pub fn context_authentications() -> Command {
    Command::query("AT+CGAUTH?", &["+CGAUTH"], limit::LOCAL)
}

/// `AT+CGATT=<state>` (27.007 10.1.9): attach to the packet domain or detach from it.
#[must_use]
pub fn packet_attachment(attached: bool) -> Command {
    Command::action(format!("AT+CGATT={}", u8::from(attached)), limit::PDP_ACTIVATION)
}

/// `ATD*99***<cid>#` (27.007 10.2.1): a data call through a context. After `CONNECT` the port carries PPP.
///
/// # Errors
/// [`InvalidArgument`] unless the id is 1 to 24.
pub fn dial_packet_domain(id: u8) -> Result<Command, InvalidArgument> {
    let id = in_range("context id", u32::from(id), 1..=24)?;
    Ok(Command::action(format!("ATD*99***{id}#"), limit::PDP_ACTIVATION))
}

/// `AT+CGDCONT?` (27.007 10.1.1): the defined contexts.
#[must_use]
pub fn list_pdp_contexts() -> Command {
    Command::query("AT+CGDCONT?", &["+CGDCONT"], limit::LOCAL)
}

/// `AT+CGACT=<state>,<cid>` (27.007 10.1.10): activate or deactivate a context.
///
/// # Errors
/// [`InvalidArgument`] unless the id is 1 to 24.
pub fn activate_pdp_context(id: u8, active: bool) -> Result<Command, InvalidArgument> {
    let id = in_range("context id", u32::from(id), 1..=24)?;
    Ok(Command::action(
        format!("AT+CGACT={},{id}", u8::from(active)),
        limit::PDP_ACTIVATION,
    ))
}

/// `AT+CGACT?` (27.007 10.1.10): which contexts are active.
#[must_use]
pub fn pdp_activations() -> Command {
    Command::query("AT+CGACT?", &["+CGACT"], limit::LOCAL)
}

/// `AT+CGPADDR` (27.007 10.1.14): addresses of the contexts.
#[must_use]
pub fn pdp_addresses() -> Command {
    Command::query("AT+CGPADDR", &["+CGPADDR"], limit::LOCAL)
}

/// `AT+CGCONTRDP` (27.007 10.1.23): what the network assigned to the active contexts.
#[must_use]
pub fn dynamic_parameters() -> Command {
    Command::query("AT+CGCONTRDP", &["+CGCONTRDP"], limit::LOCAL)
}

/// `AT+CGEREP=2,1` (27.007 10.1.19): report packet domain events.
#[must_use]
pub fn packet_event_reports() -> Command {
    Command::action("AT+CGEREP=2,1", limit::LOCAL)
}
