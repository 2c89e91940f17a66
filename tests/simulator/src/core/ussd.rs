//! Unstructured supplementary service data (27.007 clause 7.15) with a small scripted menu.

use super::Modem;
use super::gsm_alphabet::septets_of;
use super::line::{Command, Form};
use super::reply::{Outcome, Reply};
use super::schedule::Action;

/// `<m>` of `+CUSD`.
const DONE: u8 = 0;
const MORE: u8 = 1;
const ENDED_BY_NETWORK: u8 = 2;
const NOT_SUPPORTED: u8 = 4;

const NETWORK_TIMEOUT: u8 = 5;

/// Where a dialogue stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Menu {
    #[default]
    Closed,
    Top,
    /// Below entry 3 of the top, to show a dialogue of several steps.
    Recharge,
}

/// The session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ussd {
    reporting: u32,
    menu: Menu,
    /// Grows with each request and each end, so that a text that is late belongs to nothing any more.
    generation: u64,
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
                    self.ussd.menu = Menu::Closed;
                    self.ussd.generation += 1;
                    Reply::ok()
                }
                Some(mode @ 0..=1) => {
                    self.ussd.reporting = mode;
                    match command.value(1).map(str::to_owned) {
                        Some(request) => self.ussd_request(&request, command.number(2)),
                        None => Reply::ok(),
                    }
                }
                _ => Reply::error(),
            },
        };
        Some(reply.into())
    }

    fn ussd_request(&mut self, request: &str, coding: Option<u32>) -> Reply {
        if !self.is_served() {
            return Reply::cme(30);
        }
        // UCS2 is hexadecimal in every character set.
        let request = match coding {
            Some(72) => text_of_ucs2(request),
            _ => self.from_character_set(request),
        };
        self.ussd.generation += 1;
        let (text, mode, menu) = match (self.ussd.menu, request.as_str()) {
            (_, "*100#" | "*101#") => ("Balance: 12.34 EUR", DONE, Menu::Closed),
            (_, "*102#") => ("Баланс: 12,34 €", DONE, Menu::Closed),
            (_, "*123#") => ("1 Balance\n2 Number\n3 Recharge\n0 End", MORE, Menu::Top),
            (_, "*198#") => ("", NETWORK_TIMEOUT, Menu::Closed),
            // The network that never answers.
            (_, "*199#") => return Reply::ok(),
            (Menu::Top, "1") => ("Balance: 12.34 EUR", DONE, Menu::Closed),
            (Menu::Top, "2") => ("Your number is on the card", DONE, Menu::Closed),
            (Menu::Top, "3") => ("Voucher?", MORE, Menu::Recharge),
            (Menu::Recharge, "да") => ("Спасибо", DONE, Menu::Closed),
            (Menu::Recharge, _) => ("Thank you", DONE, Menu::Closed),
            (Menu::Top, _) => ("Goodbye", ENDED_BY_NETWORK, Menu::Closed),
            (Menu::Closed, _) => ("", NOT_SUPPORTED, Menu::Closed),
        };
        self.ussd.menu = menu;
        let after = self.random.within(self.delays.ussd);
        let generation = self.ussd.generation;
        Reply::ok().then(
            after,
            Action::Ussd {
                text: text.to_owned(),
                mode,
                generation,
            },
        )
    }

    /// The network's answer, unless the host has given up meanwhile.
    pub(super) fn ussd_due(&mut self, text: &str, mode: u8, generation: u64) {
        if generation == self.ussd.generation {
            self.ussd_text(text, mode);
        }
    }

    /// The network's text, as `+CUSD`: GSM 7-bit in the character set of `AT+CSCS`, UCS2 in hexadecimal.
    pub(super) fn ussd_text(&mut self, text: &str, mode: u8) {
        if self.ussd.reporting != 1 {
            return;
        }
        let gsm = text.chars().all(|c| septets_of(c).is_some());
        let line = if mode == NOT_SUPPORTED || mode == NETWORK_TIMEOUT {
            format!("+CUSD: {mode}")
        } else if gsm {
            format!("+CUSD: {mode},\"{}\",15", self.to_character_set(text))
        } else {
            format!("+CUSD: {mode},\"{}\",72", ucs2_of_text(text))
        };
        self.unsolicited(&line);
    }
}

fn ucs2_of_text(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("{unit:04X}")).collect()
}

fn text_of_ucs2(digits: &str) -> String {
    let units = digits
        .as_bytes()
        .chunks_exact(4)
        .filter_map(|digits| u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}
