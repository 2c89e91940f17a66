//! Unstructured supplementary service data (27.007 clause 7.15) with a small scripted menu.

use super::Modem;
use super::line::{Command, Form};
use super::reply::{Outcome, Reply};
use super::schedule::Action;

/// `<m>` of `+CUSD`.
const DONE: u8 = 0;
const MORE: u8 = 1;
const ENDED_BY_NETWORK: u8 = 2;
const NOT_SUPPORTED: u8 = 4;

/// The session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ussd {
    reporting: u32,
    menu_open: bool,
}

impl Modem {
    /// Answers `AT+CUSD`.
    pub(super) fn ussd_command(&mut self, command: &Command) -> Option<Outcome> {
        if command.name != "+CUSD" {
            return None;
        }
        let reply = match command.form {
            Form::Read => Reply::line(format!("+CUSD: {}", self.ussd.reporting)),
            Form::Test => Reply::line("+CUSD: (0-2)"),
            Form::Execute => Reply::ok(),
            Form::Set => match command.number(0) {
                Some(2) => {
                    self.ussd.menu_open = false;
                    Reply::ok()
                }
                Some(mode @ 0..=1) => {
                    self.ussd.reporting = mode;
                    match command.value(1).map(str::to_owned) {
                        Some(request) => self.ussd_request(&request),
                        None => Reply::ok(),
                    }
                }
                _ => Reply::error(),
            },
        };
        Some(reply.into())
    }

    fn ussd_request(&mut self, request: &str) -> Reply {
        if !self.is_served() {
            return Reply::cme(30);
        }
        let request = self.from_character_set(request);
        let (text, mode) = match (self.ussd.menu_open, request.as_str()) {
            (_, "*100#" | "*101#") => ("Balance: 12.34 EUR", DONE),
            (_, "*123#") => ("1 Balance\n2 Number\n0 End", MORE),
            (true, "1") => ("Balance: 12.34 EUR", DONE),
            (true, "2") => ("Your number is on the card", DONE),
            (true, _) => ("Goodbye", ENDED_BY_NETWORK),
            (false, _) => ("", NOT_SUPPORTED),
        };
        self.ussd.menu_open = mode == MORE;
        let after = self.random.within(self.delays.ussd);
        Reply::ok().then(
            after,
            Action::Ussd {
                text: text.to_owned(),
                mode,
            },
        )
    }

    /// The network's text, as `+CUSD` in the character set of `AT+CSCS`.
    pub(super) fn ussd_text(&mut self, text: &str, mode: u8) {
        if self.ussd.reporting != 1 {
            return;
        }
        let line = if mode == NOT_SUPPORTED {
            format!("+CUSD: {mode}")
        } else {
            let coding = if self.general.character_set == "UCS2" { 72 } else { 15 };
            format!("+CUSD: {mode},\"{}\",{coding}", self.to_character_set(text))
        };
        self.unsolicited(&line);
    }
}
