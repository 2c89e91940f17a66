//! Identification, functionality and the commands that belong to no other group; and the order in which groups are asked.

use std::time::Duration;

use super::Modem;
use super::line::{Command, Form};
use super::port::PortId;
use super::reply::{Outcome, Reply};
use super::schedule::{Action, Effect, Return};
use super::settings::Settings;
use super::usb::Composition;

/// What has no better place.
#[derive(Debug, Clone)]
pub(crate) struct General {
    pub(crate) functionality: u32,
    pub(crate) character_set: &'static str,
    /// `+CEVOLTE`, for both kinds of access.
    volte: [u32; 2],
    s_registers: [u8; 16],
    /// `AT&D`: what a port that the host closes means for its data call.
    pub(crate) data_terminal_ready: u32,
}

impl Default for General {
    fn default() -> Self {
        let mut s_registers = [0; 16];
        for (register, value) in [
            (3, 13),
            (4, 10),
            (5, 8),
            (6, 2),
            (7, 50),
            (8, 2),
            (9, 6),
            (10, 14),
            (11, 95),
            (GUARD_TIME, 50),
        ] {
            s_registers[register] = value;
        }
        Self {
            functionality: 1,
            character_set: "IRA",
            volte: [0, 0],
            s_registers,
            data_terminal_ready: 2,
        }
    }
}

/// The S-parameter for the silence around `+++`, in fiftieths of a second.
const GUARD_TIME: usize = 12;

impl General {
    /// The silence that belongs to an escape from the data state.
    pub(crate) fn escape_guard(&self) -> Duration {
        Duration::from_millis(20) * u32::from(self.s_registers[GUARD_TIME])
    }
}

impl Modem {
    /// Executes one command.
    pub(super) fn execute(&mut self, port: PortId, command: &Command) -> Outcome {
        self.basic_command(port, command)
            .or_else(|| self.data_call_command(port, command))
            .or_else(|| self.identification(command))
            .or_else(|| self.module_command(command))
            .or_else(|| self.sim_command(command))
            .or_else(|| self.network_command(command))
            .or_else(|| self.call_command(port, command))
            .or_else(|| self.message_command(command))
            .or_else(|| self.location_command(command))
            .or_else(|| self.ussd_command(command))
            .or_else(|| self.settings.execute(command))
            .unwrap_or_else(|| Reply::error().into())
    }

    /// Carries out the effect of a slow command.
    pub(super) fn apply(&mut self, effect: Effect) -> Reply {
        match effect {
            Effect::Submit { target, payload } => self.submit_payload(&target, &payload),
            Effect::SendStored { index, destination } => self.send_stored(index, destination.as_deref()),
            Effect::Answer => self.answer_now(),
            Effect::HangUp => self.hang_up_all(),
            Effect::Reply(reply) => reply,
        }
    }

    /// V.250 basic commands and S-parameters.
    fn basic_command(&mut self, port: PortId, command: &Command) -> Option<Outcome> {
        let value = command.number(0).unwrap_or(0);
        let flag = value == 1;
        let reply = match command.name.as_str() {
            "" => Reply::ok(),
            "E" if value <= 1 => {
                self.port(port).echo = flag;
                Reply::ok()
            }
            "V" if value <= 1 => {
                self.port(port).verbose = flag;
                Reply::ok()
            }
            "Q" if value <= 1 => {
                self.port(port).quiet = flag;
                Reply::ok()
            }
            "Z" | "&F" => {
                self.restore_defaults(port);
                Reply::ok()
            }
            "&V" => Reply::line("&C: 0; &D: 2; &F: 0; E: 1; L: 0; M: 0; Q: 0; V: 1; X: 0; Z: 0; S0: 0;"),
            "&D" if value <= 2 => {
                self.general.data_terminal_ready = value;
                Reply::ok()
            }
            "X" | "L" | "M" | "&C" | "&S" | "&W" | "&E" | "T" | "P" => Reply::ok(),
            "\\Q" | "\\S" | "\\V" => Reply::ok(),
            "I" => Reply::lines(vec![
                "Manufacturer: SIMCOM INCORPORATED".to_owned(),
                format!("Model: {}", self.config.model),
                "Revision: SIM7600G_V2.0.2".to_owned(),
                format!("IMEI: {}", self.config.imei),
                "+GCAP: +CGSM".to_owned(),
            ]),
            name if name.starts_with('S') => self.s_register(name, command),
            _ => return None,
        };
        Some(reply.into())
    }

    /// `AT&F` and `ATZ` restore what `AT&W` stores; here these are the settings that have a default, except those that the
    /// module keeps by itself.
    fn restore_defaults(&mut self, port: PortId) {
        let state = self.port(port);
        (state.echo, state.verbose, state.quiet) = (true, true, false);
        let kept = ["+CNMI", "+CNMP", "+CPCMREG", "+CATR"];
        let mut fresh = Settings::initial();
        for name in kept {
            for position in 0..5 {
                fresh.set(name, position, self.settings.number(name, position));
            }
        }
        self.settings = fresh;
        let fresh = General::default();
        self.general.s_registers = fresh.s_registers;
        self.general.data_terminal_ready = fresh.data_terminal_ready;
    }

    fn s_register(&mut self, name: &str, command: &Command) -> Reply {
        let number = name.get(1..).and_then(|digits| digits.parse::<usize>().ok());
        let Some(register) = number.and_then(|number| self.general.s_registers.get_mut(number)) else {
            return Reply::error();
        };
        match command.form {
            Form::Read => Reply::line(format!("{register:03}")),
            Form::Set => match command.number(0).and_then(|value| u8::try_from(value).ok()) {
                Some(value) => {
                    *register = value;
                    Reply::ok()
                }
                None => Reply::error(),
            },
            _ => Reply::ok(),
        }
    }

    fn identification(&self, command: &Command) -> Option<Outcome> {
        if command.form == Form::Test {
            let known = matches!(
                command.name.as_str(),
                "+CGMI" | "+GMI" | "+CGMM" | "+GMM" | "+CGMR" | "+GMR" | "+CGSN" | "+GSN" | "+SIMCOMATI"
            );
            return known.then(|| Reply::ok().into());
        }
        let reply = match command.name.as_str() {
            "+CGMI" | "+GMI" => Reply::line("SIMCOM INCORPORATED"),
            "+CGMM" | "+GMM" => Reply::line(self.config.model.clone()),
            "+CGMR" | "+GMR" => Reply::line(format!("+CGMR: {}", self.config.revision)),
            "+CGSN" | "+GSN" => Reply::line(self.config.imei.clone()),
            "+GCAP" => Reply::line("+GCAP: +CGSM,+FCLASS,+DS"),
            "+SIMCOMATI" => Reply::lines(vec![
                "Manufacturer: SIMCOM INCORPORATED".to_owned(),
                format!("Model: {}", self.config.model),
                format!("Revision: {}", self.config.revision),
                format!("IMEI: {}", self.config.imei),
                "+GCAP: +CGSM".to_owned(),
                "DeviceInfo: 173,170".to_owned(),
            ]),
            "+CSUB" => Reply::lines(vec![
                "+CSUB: B04V03".to_owned(),
                "+CSUB: MDM9x07_LE20_G-H_22_V1.16_221104".to_owned(),
            ]),
            _ => return None,
        };
        Some(reply.into())
    }

    fn module_command(&mut self, command: &Command) -> Option<Outcome> {
        let leave = |delays: &super::Delays, random: &mut super::Random, back| {
            let after = random.within(delays.leave);
            Reply::ok().then(after, Action::Leave { back })
        };
        let reply = match (command.name.as_str(), &command.form) {
            ("+CRESET", Form::Execute) => leave(&self.delays, &mut self.random, Some(Return::Reset)),
            ("+CPOF", Form::Execute) => leave(&self.delays, &mut self.random, None),
            ("+CFUN", Form::Read) => Reply::line(format!("+CFUN: {}", self.general.functionality)),
            ("+CFUN", Form::Test) => Reply::line("+CFUN: (0-1,4-7),(0-1)"),
            ("+CFUN", Form::Set) => return Some(self.set_functionality(command)),
            ("+CUSBPIDSWITCH", Form::Read) => Reply::line(format!("+CUSBPIDSWITCH: {:04X}", self.next_composition.0)),
            ("+CUSBPIDSWITCH", Form::Test) => {
                Reply::line(format!("+CUSBPIDSWITCH: ({}),(0-1),(0-1)", Composition::listing()))
            }
            ("+CUSBPIDSWITCH", Form::Set) => self.switch_composition(command),
            ("+CEVOLTE", Form::Read) if self.config.volte_switch => {
                let [home, roaming] = self.general.volte;
                Reply::line(format!("+CEVOLTE: {home},{roaming}"))
            }
            ("+CEVOLTE", Form::Set) if self.config.volte_switch => {
                match [0, 1].map(|position| command.number(position).filter(|value| *value <= 1)) {
                    [Some(home), Some(roaming)] => {
                        self.general.volte = [home, roaming];
                        Reply::ok()
                    }
                    _ => Reply::error(),
                }
            }
            ("+CSCS", Form::Read) => Reply::line(format!("+CSCS: \"{}\"", self.general.character_set)),
            ("+CSCS", Form::Test) => Reply::line("+CSCS: (\"IRA\",\"GSM\",\"UCS2\")"),
            ("+CSCS", Form::Set) => {
                match ["IRA", "GSM", "UCS2"]
                    .into_iter()
                    .find(|name| command.value(0) == Some(name))
                {
                    Some(name) => {
                        self.general.character_set = name;
                        Reply::ok()
                    }
                    None => Reply::error(),
                }
            }
            ("+CCLK", Form::Read) => {
                let (time, quarters) = self.local_time();
                Reply::line(format!(
                    "+CCLK: \"{}{quarters:+03}\"",
                    time.strftime("%y/%m/%d,%H:%M:%S")
                ))
            }
            ("+CCLK", Form::Set | Form::Test) => Reply::ok(),
            ("+CBC", Form::Execute) => Reply::line("+CBC: 3.968V"),
            ("+CBC", Form::Test) => Reply::ok(),
            ("+CPMUTEMP" | "+CPMUTEMP?", _) => Reply::line("+CPMUTEMP: 32"),
            // The phonebook is empty, but clients that look for one must not stumble.
            ("+CPBS", Form::Test) => Reply::line("+CPBS: (\"SM\",\"DC\",\"MC\",\"LD\",\"FD\",\"ON\",\"EN\")"),
            ("+CPBS", Form::Read) => Reply::line("+CPBS: \"SM\",0,250"),
            ("+CPBS", Form::Set) => Reply::ok(),
            ("+CPBR", Form::Test) => Reply::line("+CPBR: (1-250),40,14"),
            ("+CPBR" | "+CPBF", Form::Set) => Reply::ok(),
            ("+FCLASS", Form::Read) => Reply::line("+FCLASS: 0"),
            ("+FCLASS", Form::Test) => Reply::line("+FCLASS: (0,1,2)"),
            ("+FCLASS", Form::Set) => Reply::ok(),
            ("+WS46", Form::Test) => Reply::line("+WS46: (12,22,25,28,29,30,31)"),
            ("+WS46", Form::Read) => Reply::line("+WS46: 31"),
            ("+WS46", Form::Set) => Reply::ok(),
            // Multiplexing exists on the module's UART only.
            ("+CMUX", _) => Reply::error(),
            ("+CLAC", Form::Execute) => Reply::lines(
                [
                    "+CREG", "+CMGS", "+CMGL", "+CMGR", "+CMGD", "+CPMS", "+CNMI", "+CSQ", "+COPS", "+CPIN", "+CLCC",
                ]
                .map(str::to_owned)
                .to_vec(),
            ),
            _ => return None,
        };
        Some(reply.into())
    }

    fn set_functionality(&mut self, command: &Command) -> Outcome {
        let (Some(fun @ (0 | 1 | 4..=7)), reset) = (command.number(0), command.number(1).unwrap_or(0)) else {
            return Reply::error().into();
        };
        if reset == 1 || fun == 6 {
            if reset == 1 && fun != 1 {
                return Reply::error().into();
            }
            let after = self.random.within(self.delays.leave);
            return Reply::ok()
                .then(
                    after,
                    Action::Leave {
                        back: Some(Return::Reset),
                    },
                )
                .into();
        }
        self.change_functionality(fun);
        Reply::ok().into()
    }

    pub(super) fn change_functionality(&mut self, fun: u32) {
        let before = std::mem::replace(&mut self.general.functionality, fun);
        if before != fun {
            if fun == 1 {
                self.script.radio_cycled();
            }
            self.radio_changed();
        }
    }

    fn switch_composition(&mut self, command: &Command) -> Reply {
        let wanted = command
            .value(0)
            .and_then(|id| u16::from_str_radix(id, 16).ok())
            .and_then(Composition::find);
        let flags_fit = (1..=2).all(|position| command.number(position).is_some_and(|flag| flag <= 1));
        let Some(wanted) = wanted.filter(|_| flags_fit && command.arguments.len() == 3) else {
            return Reply::error();
        };
        if wanted == self.composition {
            return Reply::ok();
        }
        self.next_composition = wanted;
        let after = self.random.within(self.delays.leave);
        Reply::ok().then(
            after,
            Action::Leave {
                back: Some(Return::Enumeration),
            },
        )
    }
}
