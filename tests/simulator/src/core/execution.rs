//! From bytes on an AT port to a running command and back to its result, with the faults that strike on the way.

use std::time::Duration;

use super::books::CommandRecord;
use super::faults::{AudioFault, FaultAction, Phase};
use super::line;
use super::port::{HELD_LIMIT, LINE_LIMIT, PAYLOAD_LIMIT, PortId, Running};
use super::reply::{Entry, Outcome, Reply};
use super::result_code::Code;
use super::schedule::{Action, Effect, Return};
use super::{Modem, Output, Refused};

const ESCAPE: u8 = 0x1b;
const CONTROL_Z: u8 = 0x1a;

impl Modem {
    /// Takes bytes of the host for an AT port.
    pub(super) fn at_input(&mut self, port: PortId, bytes: &[u8]) {
        if self.is_silent(port) || self.swallowed(port, bytes) {
            return;
        }
        if self.is_in_data_state(port) {
            return self.data_input(bytes);
        }
        let held = &mut self.port(port).held;
        let room = HELD_LIMIT.saturating_sub(held.len());
        held.extend(bytes.iter().take(room));
        self.work_off(port);
    }

    fn is_silent(&mut self, port: PortId) -> bool {
        let now = self.now;
        self.port(port).silent_until.is_some_and(|until| now < until)
    }

    /// Works through the input until a command has to be waited for.
    pub(super) fn work_off(&mut self, port: PortId) {
        loop {
            self.advance(port);
            let state = self.port(port);
            if let Some(running) = &state.running
                && state.entry.is_none()
            {
                if !running.abortable || state.held.is_empty() {
                    return;
                }
                state.held.clear();
                state.epoch += 1;
                self.finish(port, Reply::ok());
                continue;
            }
            let Some(byte) = state.held.pop_front() else { return };
            if state.entry.is_some() {
                self.payload_byte(port, byte);
            } else {
                self.line_byte(port, byte);
            }
        }
    }

    fn line_byte(&mut self, port: PortId, byte: u8) {
        if self.port(port).echo {
            self.emit(port.function(), &[byte]);
        }
        let state = self.port(port);
        match byte {
            b'\r' => {
                let bytes = std::mem::take(&mut state.line);
                if std::mem::take(&mut state.overlong) {
                    self.finish_line(port, Code::Error);
                    return;
                }
                self.command_line(port, &String::from_utf8_lossy(&bytes));
            }
            b'\n' if state.line.is_empty() => {}
            0x08 => {
                state.line.pop();
            }
            b'/' if state.line.eq_ignore_ascii_case(b"A") => {
                state.line.clear();
                let again = state.last_line.clone();
                self.command_line(port, &again);
            }
            byte if state.line.len() < LINE_LIMIT => state.line.push(byte),
            _ => state.overlong = true,
        }
    }

    fn command_line(&mut self, port: PortId, text: &str) {
        // The prefix may follow noise; a line without it is none and gets no answer (V.250 clause 5.2.1).
        let Some(start) = text.to_ascii_uppercase().find("AT") else {
            return;
        };
        let Some(text) = text.get(start..).map(str::trim_end) else {
            return;
        };
        let at_ms = self.elapsed_ms();
        self.books.commands.push(CommandRecord {
            at_ms,
            port: port.function(),
            line: text.to_owned(),
        });
        self.port(port).last_line = text.to_owned();
        match line::parse(text) {
            Some(commands) if commands.is_empty() => {
                // A bare `AT` can be struck by faults as well, so it runs like a command.
                let bare = line::Command {
                    name: String::new(),
                    form: line::Form::Execute,
                    arguments: Vec::new(),
                    text: String::new(),
                };
                self.port(port).chain.push_back(bare);
            }
            Some(commands) => self.port(port).chain.extend(commands),
            None => self.finish_line(port, Code::Error),
        }
    }

    /// A command of another program, on a port that is not simulated: what it does is done, and nobody here hears the answer.
    pub(super) fn foreign_command(&mut self, line: &str) -> Result<(), Refused> {
        let commands = line::parse(line).ok_or_else(|| Refused("no command line".to_owned()))?;
        for command in commands {
            let code = match self.execute(PortId::Modem, &command) {
                Outcome::Reply(reply) => reply.code,
                Outcome::After(_, effect) => self.apply(effect).code,
                Outcome::Prompt(_) => return Err(Refused("there is nobody to answer a prompt".to_owned())),
            };
            if code != Code::Ok {
                return Err(Refused(format!("{}: {}", command.text, code.line(1))));
            }
        }
        Ok(())
    }

    /// Starts the commands of the line that can start.
    fn advance(&mut self, port: PortId) {
        while self.attached && self.port(port).running.is_none() {
            let Some(command) = self.port(port).chain.pop_front() else {
                return;
            };
            self.start(port, &command);
        }
    }

    fn start(&mut self, port: PortId, command: &line::Command) {
        let epoch = self.port(port).epoch;
        let abortable = command.name == "+COPS" && command.form == line::Form::Test;
        let mut running = Running {
            strikes: self.script.strike(port.function(), &command.text),
            abortable,
        };
        let mut answer = None;
        let mut later = Vec::new();
        for (phase, action) in std::mem::take(&mut running.strikes) {
            match action {
                FaultAction::Refuse { code } if phase == Phase::Before => answer = Some(Reply::code(code)),
                FaultAction::RefuseUntilRadioCycled { code } => answer = Some(Reply::code(code)),
                FaultAction::Answer { lines, code } => {
                    answer = Some(Reply {
                        code,
                        ..Reply::lines(lines)
                    });
                }
                FaultAction::EchoTwice => {
                    let echo = format!("{}\r", self.port(port).last_line);
                    self.emit(port.function(), echo.as_bytes());
                }
                FaultAction::LoseFinalResult
                | FaultAction::LoseReply
                | FaultAction::Delay { .. }
                | FaultAction::LosePrompt
                | FaultAction::ResetAfterPrompt
                | FaultAction::Refuse { .. }
                | FaultAction::InjectUnsolicited { .. } => later.push((phase, action)),
                action if phase != Phase::Before => later.push((phase, action)),
                action => self.strike(Some(port), action),
            }
        }
        running.strikes = later;
        // A fault may have taken the port away or silenced it: then the command never runs.
        if self.port(port).epoch != epoch || !self.attached || self.is_silent(port) {
            self.port(port).chain.clear();
            return;
        }
        self.port(port).running = Some(running);
        let outcome = match answer {
            Some(reply) => reply.into(),
            None => self.execute(port, command),
        };
        self.lead_on(port, outcome);
    }

    /// Carries an outcome out: now, later, or after data.
    fn lead_on(&mut self, port: PortId, outcome: Outcome) {
        let epoch = self.port(port).epoch;
        match outcome {
            Outcome::Reply(reply) => {
                let after = self.random.within(self.delays.command);
                if after.is_zero() {
                    self.finish(port, reply);
                } else {
                    self.schedule
                        .at(self.now + after, Action::Finish { port, epoch, reply });
                }
            }
            Outcome::After(after, effect) if after.is_zero() => self.effect(port, effect),
            Outcome::After(after, effect) => {
                self.schedule
                    .at(self.now + after, Action::Effect { port, epoch, effect });
            }
            Outcome::Prompt(entry) => self.prompt(port, entry),
        }
    }

    fn prompt(&mut self, port: PortId, entry: Entry) {
        let state = self.port(port);
        state.entry = Some((entry, Vec::new()));
        let mut lost = false;
        let mut reset = false;
        let mut prompted = Vec::new();
        if let Some(running) = &mut state.running {
            let strikes = |(phase, action): &mut (Phase, FaultAction)| {
                *phase == Phase::Prompted && !matches!(action, FaultAction::Refuse { .. })
            };
            prompted.extend(running.strikes.extract_if(.., strikes));
            lost = running.take(|action| *action == FaultAction::LosePrompt).is_some();
            reset = running
                .take(|action| *action == FaultAction::ResetAfterPrompt)
                .is_some();
        }
        if !lost {
            self.emit(port.function(), b"\r\n> ");
        }
        for (_, action) in prompted {
            self.strike(Some(port), action);
        }
        if reset {
            self.leave(Some(Return::Reset));
        }
    }

    fn payload_byte(&mut self, port: PortId, byte: u8) {
        let echo = self.port(port).echo;
        let Some((entry, payload)) = &mut self.port(port).entry else {
            return;
        };
        match byte {
            ESCAPE => {
                // The manual's own word: ESC gives up and the answer is OK.
                self.port(port).entry = None;
                self.lead_on(port, Reply::ok().into());
            }
            CONTROL_Z => {
                let (entry, payload) = (entry.clone(), std::mem::take(payload));
                self.port(port).entry = None;
                let outcome = match self.refusal_of_payload(port) {
                    Some(code) => Reply::code(code).into(),
                    None => self.complete_entry(entry, payload),
                };
                self.lead_on(port, outcome);
            }
            b'\r' => {
                payload.push(b'\n');
                self.emit(port.function(), b"\r\n> ");
            }
            b'\n' => {}
            byte => {
                if payload.len() < PAYLOAD_LIMIT {
                    payload.push(byte);
                }
                if echo {
                    self.emit(port.function(), &[byte]);
                }
            }
        }
    }

    /// A fault that lets the module take what follows the prompt and do nothing with it.
    fn refusal_of_payload(&mut self, port: PortId) -> Option<Code> {
        let running = self.port(port).running.as_mut()?;
        let prompted = |(phase, action): &(Phase, FaultAction)| {
            *phase == Phase::Prompted && matches!(action, FaultAction::Refuse { .. })
        };
        let position = running.strikes.iter().position(prompted)?;
        match running.strikes.remove(position).1 {
            FaultAction::Refuse { code } => Some(code),
            _ => None,
        }
    }

    /// The delayed effect of a slow command, unless the port was reset meanwhile.
    pub(super) fn effect_due(&mut self, port: PortId, epoch: u64, effect: Effect) {
        if self.port(port).epoch == epoch {
            self.effect(port, effect);
            self.work_off(port);
        }
    }

    /// The delayed end of a command, unless the port was reset meanwhile.
    pub(super) fn finish_due(&mut self, port: PortId, epoch: u64, reply: Reply) {
        if self.port(port).epoch == epoch {
            self.finish(port, reply);
            self.work_off(port);
        }
    }

    fn effect(&mut self, port: PortId, effect: Effect) {
        let reply = self.apply(effect);
        self.finish(port, reply);
    }

    /// Ends the running command with a reply.
    fn finish(&mut self, port: PortId, reply: Reply) {
        let Some(mut running) = self.port(port).running.take() else {
            return;
        };
        let reply = match running.take(|action| matches!(action, FaultAction::Refuse { .. })) {
            // It was done all the same.
            Some(FaultAction::Refuse { code }) => Reply::code(code),
            _ => reply,
        };
        if let Some(FaultAction::Delay { ms }) = running.take(|action| matches!(action, FaultAction::Delay { .. })) {
            let epoch = self.port(port).epoch;
            self.port(port).running = Some(running);
            let when = self.now + Duration::from_millis(ms);
            self.schedule.at(when, Action::Finish { port, epoch, reply });
            return;
        }
        let lost = running.take(|action| *action == FaultAction::LoseReply).is_some();
        let no_result = running.take(|action| *action == FaultAction::LoseFinalResult).is_some() || lost;
        let before = self.port(port).epoch;
        if !lost {
            let information = self.port(port).information(&reply.lines);
            self.emit(port.function(), &information);
        }
        for (_, action) in running.strikes {
            self.strike(Some(port), action);
        }
        if self.port(port).epoch != before || !self.attached {
            return;
        }
        for (after, action) in reply.then {
            self.schedule.at(self.now + after, action);
        }
        if no_result {
            self.port(port).chain.clear();
        } else if reply.code != Code::Ok || self.port(port).chain.is_empty() {
            self.finish_line(port, reply.code);
        }
    }

    fn finish_line(&mut self, port: PortId, code: Code) {
        let verbosity = self.settings.number("+CMEE", 0);
        let state = self.port(port);
        state.chain.clear();
        let bytes = state.result(code, verbosity);
        self.emit(port.function(), &bytes);
    }

    /// Lets a fault happen.
    pub(super) fn strike(&mut self, port: Option<PortId>, action: FaultAction) {
        let ports = port.map_or_else(|| PortId::ALL.to_vec(), |port| vec![port]);
        match action {
            FaultAction::InjectUnsolicited { line } if port.is_none() => self.unsolicited(&line),
            FaultAction::InjectUnsolicited { line } => {
                for port in ports {
                    if self.is_in_data_state(port) {
                        continue;
                    }
                    self.emit(port.function(), format!("\r\n{line}\r\n").as_bytes());
                }
            }
            FaultAction::InjectBytes { hex } => {
                let bytes = super::tpdu::from_hex(&hex).unwrap_or_default();
                for port in ports {
                    self.emit(port.function(), &bytes);
                }
            }
            FaultAction::Silence { ms } => {
                let until = self.now + Duration::from_millis(ms);
                for port in ports {
                    let state = self.port(port);
                    state.silent_until = Some(until);
                    state.held.clear();
                }
            }
            FaultAction::Hang { port, until } => self.hangs.add(port, until),
            FaultAction::Reset => self.leave(Some(Return::Reset)),
            FaultAction::KillHost { pid } => self.outputs.push_back(Output::Kill { pid }),
            FaultAction::Unplug {
                replug_after_ms,
                renumber,
            } => {
                self.renumber = renumber;
                self.leave(replug_after_ms.map(Return::After));
            }
            FaultAction::StorageFull { storage } => self.messages.fill(&storage),
            FaultAction::RefusePcm { times } => self.pcm.refusals = times,
            FaultAction::PcmWearsOut { times } => self.pcm.wears_out = Some(times).filter(|times| *times > 0),
            FaultAction::MuteCallReports { muted } => self.telephony.muted = muted,
            FaultAction::LoseUnsolicited { prefix, times } => self.script.lose_lines(prefix, times),
            FaultAction::Reenumerate { ms, renumber } => self.reenumerate(ms, renumber),
            FaultAction::Audio(fault) => {
                self.pcm.fault = if fault == AudioFault::ByteSlip {
                    AudioFault::None
                } else {
                    fault
                };
                self.outputs.push_back(Output::AudioFault(fault));
            }
            FaultAction::Registration { state } => self.set_registration(None, state),
            FaultAction::Sim { state } => self.set_sim(state),
            // These belong to a command in progress; without one there is nothing they could change.
            FaultAction::LoseFinalResult
            | FaultAction::LoseReply
            | FaultAction::Delay { .. }
            | FaultAction::Refuse { .. }
            | FaultAction::RefuseUntilRadioCycled { .. }
            | FaultAction::Answer { .. }
            | FaultAction::LosePrompt
            | FaultAction::ResetAfterPrompt
            | FaultAction::EchoTwice => {}
        }
    }
}
