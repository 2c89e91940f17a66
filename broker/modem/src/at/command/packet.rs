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
