//! Commands about the data call: dialling, the way back to the data state, hanging up (27.007 clause 10, V.250 clause 6.3).

use std::time::Duration;

use crate::core::Modem;
use crate::core::books::DataCallEnd;
use crate::core::line::{Command, Form};
use crate::core::port::PortId;
use crate::core::reply::{Outcome, Reply};
use crate::core::result_code::Code;
use crate::core::schedule::Action;

/// Contexts that the module has.
const CONTEXT_MAX: u32 = 24;

/// The context of a dial string that names none.
const CONTEXT_DEFAULT: u32 = 1;

/// Why a data call cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    Card(u16),
    NoService,
    NoContext,
    /// There is one, or a session by QMI or MBIM has the context.
    InUse,
}

/// The context of `*99[*[<called address>][*[<L2P>][*[<cid>]]]]#` (27.007 10.2.1.1). None if it is not such a dial string,
/// an error if it is a wrong one.
fn dialled_context(text: &str) -> Option<Result<u32, ()>> {
    let text = text.trim_start_matches(['T', 't', 'P', 'p']).trim_start();
    let fields = text.strip_prefix("*99")?.strip_suffix('#')?;
    if fields.is_empty() {
        return Some(Ok(CONTEXT_DEFAULT));
    }
    let mut fields = fields.strip_prefix('*')?.split('*').skip(1);
    // The digit is what 27.007 gives to hosts that can dial digits only.
    let protocol = fields.next().unwrap_or_default();
    let context = fields.next().filter(|cid| !cid.is_empty());
    let is_ppp = matches!(protocol, "" | "1") || protocol.eq_ignore_ascii_case("PPP");
    let context = context.map_or(Ok(CONTEXT_DEFAULT), str::parse);
    Some(match context {
        Ok(context @ 1..=CONTEXT_MAX) if is_ppp && fields.next().is_none() => Ok(context),
        _ => Err(()),
    })
}

impl Modem {
    /// Answers commands about the data call.
    pub(in crate::core) fn data_call_command(&mut self, port: PortId, command: &Command) -> Option<Outcome> {
        let reply = match (command.name.as_str(), &command.form) {
            ("D", _) => match dialled_context(command.value(0).unwrap_or_default())? {
                Ok(context) => match self.obstacle_to_data_call(port, context) {
                    None => connect(Some(context)),
                    Some(_) => Reply::code(Code::NoCarrier),
                },
                Err(()) => Reply::error(),
            },
            ("+CGDATA", Form::Test) => Reply::line("+CGDATA: (\"PPP\")"),
            ("+CGDATA", Form::Set) => self.enter_data(port, command),
            ("O", _) if port == PortId::Modem && self.data_call.is_some() => connect(None),
            ("O", _) => Reply::code(Code::NoCarrier),
            ("H", _) if port == PortId::Modem && self.data_call.is_some() => {
                self.end_data_call(DataCallEnd::HungUp);
                Reply::ok()
            }
            ("+CGACT" | "+CGATT", Form::Set) => {
                self.deactivate_data_call(command);
                return None;
            }
            _ => return None,
        };
        Some(reply.into())
    }

    fn enter_data(&self, port: PortId, command: &Command) -> Reply {
        let is_ppp = command
            .value(0)
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case("PPP"));
        let context = match command.value(1) {
            None => Some(CONTEXT_DEFAULT),
            Some(_) => command.number(1).filter(|cid| (1..=CONTEXT_MAX).contains(cid)),
        };
        let Some(context) = context.filter(|_| is_ppp && command.arguments.len() <= 2) else {
            return Reply::error();
        };
        match self.obstacle_to_data_call(port, context) {
            None => connect(Some(context)),
            Some(Obstacle::Card(error)) => Reply::cme(error),
            Some(Obstacle::NoService) => Reply::cme(30),
            Some(Obstacle::NoContext) => Reply::cme(21),
            Some(Obstacle::InUse) => Reply::code(Code::NoCarrier),
        }
    }

    fn obstacle_to_data_call(&self, port: PortId, context: u32) -> Option<Obstacle> {
        let in_use = self.data_call.is_some()
            || self.packet.held_by_firmware
            || self.has_qmi_sessions()
            || !self.mbim_session_addresses().is_empty();
        match self.sim.obstacle() {
            Some(error) => Some(Obstacle::Card(error)),
            None if !self.packets_are_served() => Some(Obstacle::NoService),
            None if !self.network.contexts.contains_key(&context) => Some(Obstacle::NoContext),
            // The module sends packets of one port only: that of the modem.
            None if in_use || port != PortId::Modem => Some(Obstacle::InUse),
            None => None,
        }
    }

    /// A context that is deactivated, or a module that is detached, has no data call.
    fn deactivate_data_call(&mut self, command: &Command) {
        let Some(own) = self.data_call.as_ref().map(super::DataCall::context) else {
            return;
        };
        let ends = match command.name.as_str() {
            "+CGATT" => command.number(0) == Some(0),
            _ => command.number(0) == Some(0) && command.number(1).is_none_or(|cid| cid == own),
        };
        if ends {
            self.terminate_data_call(DataCallEnd::Deactivated);
        }
    }
}

/// `CONNECT`, and then the data state.
fn connect(context: Option<u32>) -> Reply {
    Reply::code(Code::Connect).then(Duration::ZERO, Action::DataState { context })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_string_names_its_context_or_means_the_first() {
        let cases = [
            ("*99#", Some(Ok(1))),
            ("T*99#", Some(Ok(1))),
            ("*99***1#", Some(Ok(1))),
            ("T*99***3#", Some(Ok(3))),
            ("*99**1*2#", Some(Ok(2))),
            ("*99**PPP*24#", Some(Ok(24))),
            ("*99*10.0.0.1**5#", Some(Ok(5))),
            ("*99*#", Some(Ok(1))),
            ("*99***0#", Some(Err(()))),
            ("*99***25#", Some(Err(()))),
            ("*99***x#", Some(Err(()))),
            ("*99**2*1#", Some(Err(()))),
            ("*99***1*2#", Some(Err(()))),
            ("*99", None),
            ("*990#", None),
            ("*100#", None),
            ("+491234567;", None),
        ];
        for (text, context) in cases {
            assert_eq!(dialled_context(text), context, "{text}");
        }
    }
}
