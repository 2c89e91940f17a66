//! Commands about calls and about their audio.

use super::Modem;
use super::calls::CallState;
use super::line::{Command, Form};
use super::port::PortId;
use super::reply::{Outcome, Reply};
use super::result_code::Code;
use super::schedule::Effect;

/// The most tones that one `AT+VTS` takes (command manual V1.12).
const MOST_TONES: usize = 29;

impl Modem {
    /// Answers commands about calls.
    pub(super) fn call_command(&mut self, port: PortId, command: &Command) -> Option<Outcome> {
        let reply = match (command.name.as_str(), &command.form) {
            ("D", _) => self.dial_string(port, command),
            ("A", _) => {
                if !self.has_call_in(&[CallState::Incoming, CallState::Waiting]) {
                    return Some(Reply::code(Code::NoCarrier).into());
                }
                return Some(Outcome::After(self.random.within(self.delays.answer), Effect::Answer));
            }
            // Without AT+CVHU=0 the module says OK and goes on with the call.
            ("H", _) if self.settings.is_on("+CVHU") => Reply::ok(),
            ("+CHUP", Form::Test) => Reply::ok(),
            ("H" | "+CHUP", Form::Execute) => {
                if self.calls.is_empty() {
                    return Some(Reply::ok().into());
                }
                return Some(Outcome::After(self.random.within(self.delays.hang_up), Effect::HangUp));
            }
            ("+CLCC", Form::Execute) => Reply::lines(self.calls.iter().map(|call| call.line(call.state)).collect()),
            ("+CHLD", Form::Set) => self.hold_command(command),
            ("+CHLD", Form::Test) => Reply::line("+CHLD: (0,1,1x,2,2x,3,4)"),
            ("+CPAS", Form::Execute) => Reply::line(format!("+CPAS: {}", self.activity())),
            ("+CPAS", Form::Test) => Reply::line("+CPAS: (0,3,4)"),
            ("+CEER", Form::Execute) => Reply::line(format!("+CEER: {}", self.telephony.last_cause)),
            ("+VTS", Form::Set) => self.send_tones(command),
            ("+VTS", Form::Test) => Reply::line("+VTS: (0-9,*,#,A,B,C,D)"),
            ("+CMUT", Form::Set) if self.calls.is_empty() => Reply::cme(3),
            ("+CPCMREG", Form::Set) => self.pcm_command(command),
            // The module switches from 8 to 16 kHz but not back (command manual V1.12).
            ("+CPCMFRM", Form::Set) if self.settings.is_on("+CPCMFRM") && command.number(0) == Some(0) => {
                Reply::error()
            }
            ("+CCFC", Form::Set) => self.telephony.forward(command),
            ("+CCFC", Form::Test) => Reply::line("+CCFC: (0,1,2,3,4,5)"),
            ("+CCWA", Form::Set) if command.number(1) == Some(2) => {
                Reply::line(format!("+CCWA: {},1", self.settings.number("+CCWA", 0)))
            }
            ("+CCWA", Form::Set) => {
                let Some(n @ 0..=1) = command.number(1).or(command.number(0)) else {
                    return Some(Reply::error().into());
                };
                self.settings.set("+CCWA", 0, n);
                Reply::ok()
            }
            ("+CLIP", Form::Read) => Reply::line(format!("+CLIP: {},1", self.settings.number("+CLIP", 0))),
            ("+CLIR", Form::Read) => Reply::line(format!("+CLIR: {},4", self.settings.number("+CLIR", 0))),
            ("+COLP", Form::Read) => Reply::line(format!("+COLP: {},0", self.settings.number("+COLP", 0))),
            _ => return None,
        };
        Some(reply.into())
    }

    fn dial_string(&mut self, port: PortId, command: &Command) -> Reply {
        let text = command.value(0).unwrap_or_default();
        // Without the semicolon it is a data call, which an LTE network does not have.
        let Some(number) = text.strip_suffix(';') else {
            return Reply::code(Code::NoCarrier);
        };
        let number: String = number
            .trim_end_matches(['I', 'i', 'G', 'g'])
            .chars()
            .filter(|c| *c != '-' && *c != ' ')
            .collect();
        let digits = number.strip_prefix('+').unwrap_or(&number);
        if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit() || "*#ABCDabcd,".contains(c)) {
            return Reply::error();
        }
        self.dial(port, &number)
    }

    fn activity(&self) -> u8 {
        if self.has_call_in(&[CallState::Incoming]) {
            3
        } else if self.calls.is_empty() {
            0
        } else {
            4
        }
    }

    fn ids_in(&self, states: &[CallState]) -> Vec<u64> {
        self.calls
            .iter()
            .filter(|call| states.contains(&call.state))
            .map(|call| call.id)
            .collect()
    }

    /// `AT+CHLD` (22.030 clause 6.5.5.1).
    fn hold_command(&mut self, command: &Command) -> Reply {
        let text = command.value(0).unwrap_or_default();
        let chosen = text.get(1..).and_then(|digits| digits.parse::<u8>().ok());
        let waiting = self.ids_in(&[CallState::Waiting, CallState::Incoming]);
        let (active, held) = (self.ids_in(&[CallState::Active]), self.ids_in(&[CallState::Held]));
        match (text.get(..1), chosen) {
            (Some("0"), None) if !waiting.is_empty() => self.hang_up_calls(&waiting),
            (Some("0"), None) if !held.is_empty() => self.hang_up_calls(&held),
            (Some("1"), Some(index)) => {
                let ids: Vec<u64> = self
                    .calls
                    .iter()
                    .filter(|call| call.index == index)
                    .map(|call| call.id)
                    .collect();
                if ids.is_empty() {
                    Reply::cme(3)
                } else {
                    self.hang_up_calls(&ids)
                }
            }
            (Some("1"), None) if !active.is_empty() => {
                let mut reply = self.hang_up_calls(&active);
                if !waiting.is_empty() {
                    let answered = self.answer_now();
                    reply.lines.extend(answered.lines);
                    reply.then.extend(answered.then);
                } else {
                    self.move_calls(&held, CallState::Active);
                }
                reply
            }
            (Some("2"), _) if !waiting.is_empty() => self.answer_now(),
            (Some("2"), _) if !(active.is_empty() && held.is_empty()) => {
                self.move_calls(&active, CallState::Held);
                self.move_calls(&held, CallState::Active);
                Reply::ok()
            }
            (Some("3"), None) if !(active.is_empty() || held.is_empty()) => {
                self.move_calls(&held, CallState::Active);
                Reply::ok()
            }
            _ => Reply::cme(3),
        }
    }

    fn move_calls(&mut self, ids: &[u64], state: CallState) {
        for id in ids {
            self.set_call_state(*id, state);
        }
    }

    fn send_tones(&mut self, command: &Command) -> Reply {
        let text = command.text.split_once('=').map_or("", |(_, text)| text);
        let quoted = text.trim().strip_prefix('"').and_then(|text| text.split_once('"'));
        let tones: String = match quoted {
            Some((list, _)) => list.chars().filter(|c| *c != ',').collect(),
            None => command.value(0).unwrap_or_default().to_owned(),
        };
        let valid =
            !tones.is_empty() && tones.len() <= MOST_TONES && tones.chars().all(|c| "0123456789*#ABCDabcd".contains(c));
        let active = self.ids_in(&[CallState::Active]);
        let Some(id) = active.first().copied().filter(|_| valid) else {
            return if valid { Reply::cme(3) } else { Reply::error() };
        };
        if let Some(record) = self.books.call(id) {
            record.dtmf.push_str(&tones);
        }
        Reply::ok()
    }

    fn pcm_command(&mut self, command: &Command) -> Reply {
        match (command.number(0), command.arguments.len()) {
            (Some(1), 1) => {
                if !self.pcm_allowed() {
                    return Reply::error();
                }
                self.count_pcm_call();
                if self.pcm.refusals > 0 {
                    self.pcm.refusals -= 1;
                    return Reply::error();
                }
                self.settings.set("+CPCMREG", 0, 1);
                self.update_audio();
                Reply::ok()
            }
            (Some(0), 1) if self.config.strict_pcm_off => Reply::error(),
            (Some(0), 1 | 2) if command.number(1).unwrap_or(0) <= 1 => {
                self.settings.set("+CPCMREG", 0, 0);
                self.update_audio();
                Reply::ok()
            }
            _ => Reply::error(),
        }
    }
}
