//! The SIM: its PIN, its PUK and what they allow (27.007 clauses 8.3 and 7.4).

use serde::{Deserialize, Serialize};

use super::line::{Command, Form};
use super::reply::{Outcome, Reply};
use super::schedule::{Action, Boot};
use super::{Config, Modem};

const PIN_ATTEMPTS: u32 = 3;
const PUK_ATTEMPTS: u32 = 10;

/// What the SIM wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinState {
    /// Nothing.
    #[default]
    Ready,
    /// Its PIN.
    Pin,
    /// Its PUK.
    Puk,
    /// It is blocked for good.
    Blocked,
    /// It is not there.
    Absent,
}

/// The card.
#[derive(Debug, Clone)]
pub(crate) struct SimCard {
    pub(crate) state: PinState,
    pin: String,
    lock_enabled: bool,
    pin_attempts: u32,
    puk_attempts: u32,
    /// The module has finished reading it after power-on; before that everything is `SIM busy`.
    powered: bool,
    /// The host took its power away, until it gives it back or the module restarts.
    cut_off: bool,
}

impl SimCard {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            state: if config.pin.is_some() {
                PinState::Pin
            } else {
                PinState::Ready
            },
            pin: config.pin.clone().unwrap_or_else(|| "0000".to_owned()),
            lock_enabled: config.pin.is_some(),
            pin_attempts: PIN_ATTEMPTS,
            puk_attempts: PUK_ATTEMPTS,
            powered: false,
            cut_off: false,
        }
    }

    pub(crate) fn power_down(&mut self) {
        self.powered = false;
        self.cut_off = false;
        if self.state == PinState::Ready && self.lock_enabled {
            self.state = PinState::Pin;
        }
    }

    pub(crate) fn power_up(&mut self) {
        self.powered = true;
    }

    pub(crate) fn cut_power(&mut self) {
        self.power_down();
        self.cut_off = true;
    }

    /// It starts again, as after power-on.
    pub(crate) fn give_power(&mut self) {
        self.cut_off = false;
    }

    pub(crate) fn has_power(&self) -> bool {
        !self.cut_off
    }

    pub(crate) fn is_started(&self) -> bool {
        self.powered
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.lock_enabled
    }

    /// Attempts left for PIN and PUK.
    pub(crate) fn attempts(&self) -> (u8, u8) {
        let octet = |attempts: u32| attempts.to_le_bytes()[0];
        (octet(self.pin_attempts), octet(self.puk_attempts))
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.powered && self.state == PinState::Ready
    }

    /// The `+CME ERROR` that stands in the way of using the card.
    pub(crate) fn obstacle(&self) -> Option<u16> {
        match self.state {
            _ if self.cut_off => Some(10),
            _ if !self.powered => Some(14),
            PinState::Ready => None,
            PinState::Pin => Some(11),
            PinState::Puk => Some(12),
            PinState::Blocked => Some(13),
            PinState::Absent => Some(10),
        }
    }

    fn verify(&mut self, pin: &str) -> bool {
        if pin == self.pin {
            self.pin_attempts = PIN_ATTEMPTS;
            return true;
        }
        self.pin_attempts = self.pin_attempts.saturating_sub(1);
        if self.pin_attempts == 0 {
            self.state = PinState::Puk;
        }
        false
    }

    fn unblock(&mut self, puk: &str, expected: &str, pin: &str) -> bool {
        if puk == expected {
            pin.clone_into(&mut self.pin);
            self.pin_attempts = PIN_ATTEMPTS;
            self.puk_attempts = PUK_ATTEMPTS;
            self.state = PinState::Ready;
            return true;
        }
        self.puk_attempts = self.puk_attempts.saturating_sub(1);
        if self.puk_attempts == 0 {
            self.state = PinState::Blocked;
        }
        false
    }
}

fn is_pin(text: &str) -> bool {
    (4..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

impl Modem {
    pub(super) fn set_sim(&mut self, state: PinState) {
        let was_ready = self.sim.is_ready();
        self.sim.state = state;
        self.announce_sim();
        if !was_ready && self.sim.is_ready() {
            self.sim_became_usable();
            self.schedule.at(self.now, Action::Boot(Boot::Messages));
        } else if was_ready && !self.sim.is_ready() {
            self.sim_became_unusable();
        }
    }

    pub(super) fn sim_became_unusable(&mut self) {
        self.messages.ready = false;
        self.announce_registration();
    }

    pub(super) fn announce_sim(&mut self) {
        let line = match self.sim.state {
            _ if !self.sim.has_power() => "+CPIN: NOT INSERTED",
            PinState::Ready => "+CPIN: READY",
            PinState::Pin => "+CPIN: SIM PIN",
            PinState::Puk => "+CPIN: SIM PUK",
            PinState::Blocked => "+SIMCARD: NOT AVAILABLE",
            PinState::Absent => "+CPIN: NOT INSERTED",
        };
        self.unsolicited(line);
    }

    /// Answers commands about the card.
    pub(super) fn sim_command(&mut self, command: &Command) -> Option<Outcome> {
        let reply = match (command.name.as_str(), &command.form) {
            ("+CPIN", Form::Read) => self.pin_status(),
            ("+CPIN", Form::Test) => Reply::ok(),
            ("+CPIN", Form::Set) => self.enter_pin(command),
            ("+SPIC", _) => Reply::line(format!(
                "+SPIC: {},{},3,10",
                self.sim.pin_attempts, self.sim.puk_attempts
            )),
            ("+CLCK", Form::Test) => {
                Reply::line("+CLCK: (\"AO\",\"OI\",\"OX\",\"AI\",\"IR\",\"AB\",\"AG\",\"AC\",\"SC\",\"FD\")")
            }
            ("+CLCK", Form::Set) => self.facility_lock(command),
            ("+CPWD", Form::Test) => Reply::line("+CPWD: (\"AB\",4),(\"SC\",8),(\"P2\",8)"),
            ("+CPWD", Form::Set) => self.change_pin(command),
            ("+CIMI", Form::Execute) => self.read_card(self.config.imsi.clone()),
            // The card tells its number to anybody (102 221 clause 13.2).
            ("+CICCID", Form::Execute | Form::Read) => match self.sim.obstacle() {
                Some(obstacle @ (10 | 13 | 14)) => Reply::cme(obstacle),
                _ => Reply::line(format!("+ICCID: {}", self.config.iccid)),
            },
            ("+CNUM", Form::Execute) => {
                let number = &self.config.own_number;
                self.read_card(format!(
                    "+CNUM: \"\",\"{number}\",{}",
                    super::calls::type_of_number(number)
                ))
            }
            ("+CSPN", Form::Read) => self.read_card(format!("+CSPN: \"{}\",0", self.network.operator)),
            ("+CIMI" | "+CICCID" | "+CNUM" | "+CSPN", Form::Test) => Reply::ok(),
            ("+CRSM", Form::Set) => self.restricted_access(command),
            _ => return None,
        };
        Some(reply.into())
    }

    fn read_card(&self, line: String) -> Reply {
        match self.sim.obstacle() {
            Some(obstacle) => Reply::cme(obstacle),
            None => Reply::line(line),
        }
    }

    fn pin_status(&self) -> Reply {
        match self.sim.state {
            _ if !self.sim.has_power() => Reply::cme(10),
            _ if self.sim.obstacle() == Some(14) => Reply::cme(14),
            PinState::Ready => Reply::line("+CPIN: READY"),
            PinState::Pin => Reply::line("+CPIN: SIM PIN"),
            PinState::Puk => Reply::line("+CPIN: SIM PUK"),
            PinState::Blocked => Reply::cme(13),
            PinState::Absent => Reply::cme(10),
        }
    }

    fn enter_pin(&mut self, command: &Command) -> Reply {
        let (Some(first), second) = (command.value(0), command.value(1)) else {
            return Reply::error();
        };
        let before = self.sim.state;
        let accepted = match (before, second) {
            (PinState::Pin, None) if is_pin(first) => self.sim.verify(first),
            (PinState::Puk, Some(new)) if is_pin(first) && is_pin(new) => {
                self.sim.unblock(first, &self.config.puk, new)
            }
            (PinState::Ready, _) => return Reply::cme(3),
            _ => return Reply::cme(16),
        };
        if !accepted {
            return match self.sim.state {
                PinState::Puk if before == PinState::Pin => Reply::cme(12),
                PinState::Blocked => Reply::cme(13),
                _ => Reply::cme(16),
            };
        }
        self.sim.state = PinState::Ready;
        self.sim_became_usable();
        let ready = Action::Unsolicited {
            line: "+CPIN: READY".to_owned(),
        };
        let stores = self.random.within(self.delays.stores);
        Reply::ok()
            .then(std::time::Duration::ZERO, ready)
            .then(stores, Action::Boot(Boot::Messages))
    }

    fn facility_lock(&mut self, command: &Command) -> Reply {
        if let Some(obstacle) = self.sim.obstacle() {
            return Reply::cme(obstacle);
        }
        match (command.value(0), command.number(1)) {
            (Some("SC"), Some(2)) => Reply::line(format!("+CLCK: {}", u8::from(self.sim.lock_enabled))),
            (Some("SC"), Some(mode @ (0 | 1))) => {
                let Some(pin) = command.value(2) else {
                    return Reply::cme(11);
                };
                if !self.sim.verify(pin) {
                    return Reply::cme(if self.sim.state == PinState::Puk { 12 } else { 16 });
                }
                self.sim.lock_enabled = mode == 1;
                Reply::ok()
            }
            (Some(_), Some(2)) => Reply::line("+CLCK: 0"),
            _ => Reply::cme(4),
        }
    }

    fn change_pin(&mut self, command: &Command) -> Reply {
        if let Some(obstacle) = self.sim.obstacle() {
            return Reply::cme(obstacle);
        }
        match (command.value(0), command.value(1), command.value(2)) {
            (Some("SC"), Some(old), Some(new)) if is_pin(new) => {
                if !self.sim.verify(old) {
                    return Reply::cme(16);
                }
                new.clone_into(&mut self.sim.pin);
                Reply::ok()
            }
            _ => Reply::error(),
        }
    }

    /// `AT+CRSM`: READ BINARY of the files that tell who issued the card; others are not found (102 221 status words).
    fn restricted_access(&self, command: &Command) -> Reply {
        const ICCID: u32 = 0x2FE2;
        let Some(file) = command.number(1) else {
            return Reply::error();
        };
        match self.sim.obstacle() {
            // The card tells its number to anybody.
            Some(11 | 12) if file == ICCID => {}
            Some(obstacle) => return Reply::cme(obstacle),
            None => {}
        }
        let content = match (command.number(0), file) {
            (Some(176), ICCID) => Some(iccid_file(&self.config.iccid)),
            (Some(176), 0x6F07) => Some(imsi_file(&self.config.imsi)),
            (Some(176), 0x6FAD) => Some(administrative_data_file(self.config.mnc_length)),
            (Some(176), 0x6F46) => service_provider_file(&self.config.service_provider_name),
            (Some(176), 0x6F3E) => Some(format!("{:F<8}", self.config.group_identifier))
                .filter(|_| !self.config.group_identifier.is_empty()),
            (Some(_), _) => None,
            (None, _) => return Reply::error(),
        };
        let Some(content) = content else {
            return Reply::line("+CRSM: 148,4");
        };
        let start = (command.number(2).unwrap_or(0) * 256 + command.number(3).unwrap_or(0)) as usize * 2;
        let length = command.number(4).unwrap_or(0) as usize * 2;
        let end = if length == 0 { content.len() } else { start + length };
        match content.get(start..end) {
            Some(part) => Reply::line(format!("+CRSM: 144,0,\"{part}\"")),
            // Wrong length; the second word is the right one.
            None => Reply::line(format!("+CRSM: 108,{}", content.len() / 2)),
        }
    }

    /// Another card lies in the holder. Nobody is told: a pulled card is [`PinState::Absent`] first.
    pub(super) fn exchange_sim(&mut self, card: crate::control::Card) {
        self.config.imsi = card.imsi;
        self.config.iccid = card.iccid;
        self.config.own_number = card.own_number;
        self.config.service_provider_name = card.service_provider_name;
        // What the old card stored went with it.
        for storage in self.messages.storages.iter_mut().filter(|storage| storage.name == "SM") {
            storage.slots.clear();
        }
    }
}

fn swapped(digits: &str) -> String {
    let digits: Vec<char> = digits.chars().collect();
    digits
        .chunks(2)
        .map(|pair| pair.iter().rev().collect::<String>())
        .collect()
}

/// EF ICCID (102 221 clause 13.2): swapped digits, padded to ten octets.
fn iccid_file(iccid: &str) -> String {
    swapped(&format!("{iccid:F<20}"))
}

/// EF AD (31.102 clause 4.2.18): the fourth octet is the length of the MNC, which old cards do not have.
fn administrative_data_file(mnc_length: u8) -> String {
    match mnc_length {
        0 => "000000".to_owned(),
        length => format!("000000{length:02X}"),
    }
}

/// EF SPN (31.102 clause 4.2.12): when to display it, then sixteen octets of text.
fn service_provider_file(name: &str) -> Option<String> {
    let text: String = name.bytes().take(16).map(|octet| format!("{octet:02X}")).collect();
    (!name.is_empty()).then(|| format!("01{text:F<32}"))
}

/// EF IMSI (31.102 clause 4.2.2): length, then swapped digits behind the parity nibble.
fn imsi_file(imsi: &str) -> String {
    format!("08{}", swapped(&format!("9{imsi:F<15}")))
}
