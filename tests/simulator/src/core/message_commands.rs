//! Commands about short messages (27.005).

use super::Modem;
use super::line::{Command, Form};
use super::reply::{Entry, Outcome, Reply, Target};
use super::schedule::Effect;
use super::sim_card::PinState;
use super::storage::MessageStatus;
use super::tpdu;

/// The longest TPDU (23.040 clause 9.2.3).
const LONGEST_TPDU: usize = 164;

impl Modem {
    /// Answers commands about short messages.
    pub(super) fn message_command(&mut self, command: &Command) -> Option<Outcome> {
        let name = command.name.as_str();
        let stored = matches!(
            name,
            "+CMGL" | "+CMGR" | "+CMGD" | "+CMGS" | "+CMGW" | "+CMSS" | "+CPMS" | "+CSCA" | "+CMGRD"
        );
        if stored
            && command.form != Form::Test
            && let Some(obstacle) = self.message_obstacle()
        {
            return Some(Reply::cms(obstacle).into());
        }
        let reply = match (name, &command.form) {
            ("+CSMS", form) => self.service_command(form, command),
            ("+CPMS", form) => self.storage_command(form, command),
            ("+CNMI", Form::Set) if command.number(0) == Some(0) && command.number(1).is_some_and(|mt| mt >= 2) => {
                Reply::cms(303)
            }
            ("+CNMA", Form::Execute) => self.acknowledge(0),
            ("+CNMA", Form::Set) => match (command.number(0), command.number(1)) {
                (Some(n @ 0..=2), None) => self.acknowledge(n),
                (Some(1 | 2), Some(_)) => return Some(Outcome::Prompt(Entry::Acknowledge)),
                _ => Reply::cms(305),
            },
            ("+CNMA", Form::Test) => Reply::line("+CNMA: (0-2)"),
            ("+CSCA", Form::Read) => {
                let centre = self.messages.service_centre.clone();
                let kind = super::calls::type_of_number(&centre);
                Reply::line(format!("+CSCA: \"{}\",{kind}", self.to_character_set(&centre)))
            }
            ("+CSCA", Form::Set) => {
                self.messages.service_centre = self.from_character_set(command.value(0).unwrap_or_default());
                Reply::ok()
            }
            ("+CSCA", Form::Test) => Reply::ok(),
            ("+CSMP", form) => self.parameter_command(form, command),
            ("+CSCB", Form::Read) => Reply::line("+CSCB: 0,\"\",\"\""),
            ("+CSCB", Form::Test) => Reply::line("+CSCB: (0,1)"),
            ("+CSCB", Form::Set) => Reply::ok(),
            ("+CMGL", form) => self.list_command(form, command),
            ("+CMGR" | "+CMGRD", Form::Set) => self.read_command(command),
            ("+CMGD", form) => self.delete_command(form, command),
            ("+CMGS", Form::Set) => return Some(self.send_command(command)),
            ("+CMGW", Form::Set) => return Some(self.write_command(command)),
            ("+CMSS", Form::Set) => match command.number(0) {
                Some(index) => {
                    let destination = command.value(1).map(|text| self.from_character_set(text));
                    let effect = Effect::SendStored {
                        index: index as usize,
                        destination,
                    };
                    return Some(Outcome::After(self.random.within(self.delays.submit), effect));
                }
                None => Reply::cms(305),
            },
            ("+CMGR" | "+CMGS" | "+CMGW" | "+CMSS", Form::Test) => Reply::ok(),
            _ => return None,
        };
        Some(reply.into())
    }

    fn message_obstacle(&self) -> Option<u16> {
        match self.sim.state {
            _ if self.sim.obstacle() == Some(14) => Some(314),
            PinState::Absent => Some(310),
            PinState::Pin => Some(311),
            PinState::Puk => Some(316),
            PinState::Blocked => Some(313),
            PinState::Ready if !self.messages.ready => Some(314),
            PinState::Ready => None,
        }
    }

    fn service_command(&mut self, form: &Form, command: &Command) -> Reply {
        match form {
            Form::Read => Reply::line(format!("+CSMS: {},1,1,1", self.messages.service)),
            Form::Test => Reply::line("+CSMS: (0-1)"),
            Form::Set => match command.number(0) {
                Some(service @ 0..=1) => {
                    self.messages.service = service;
                    Reply::line("+CSMS: 1,1,1")
                }
                _ => Reply::cms(303),
            },
            Form::Execute => Reply::error(),
        }
    }

    fn storage_command(&mut self, form: &Form, command: &Command) -> Reply {
        match form {
            Form::Test => Reply::line("+CPMS: (\"ME\",\"MT\",\"SM\",\"SR\"),(\"ME\",\"MT\",\"SM\"),(\"ME\",\"SM\")"),
            Form::Read => {
                let parts = self.messages.memories.map(|position| {
                    let storage = &self.messages.storages[position];
                    format!("\"{}\",{},{}", storage.name, storage.slots.len(), storage.capacity)
                });
                Reply::line(format!("+CPMS: {}", parts.join(",")))
            }
            Form::Set => {
                let mut memories = self.messages.memories;
                for (memory, name) in command.arguments.iter().enumerate().take(3) {
                    match self.messages.position(name) {
                        Some(2) if memory > 0 => return Reply::cms(302),
                        Some(position) => memories[memory] = position,
                        None if name.is_empty() => {}
                        None => return Reply::cms(302),
                    }
                }
                self.messages.memories = memories;
                let parts = memories.map(|position| {
                    let storage = &self.messages.storages[position];
                    format!("{},{}", storage.slots.len(), storage.capacity)
                });
                Reply::line(format!("+CPMS: {}", parts.join(",")))
            }
            Form::Execute => Reply::error(),
        }
    }

    fn parameter_command(&mut self, form: &Form, command: &Command) -> Reply {
        match form {
            Form::Read => {
                let [first, validity, protocol, coding] = self.messages.parameters;
                Reply::line(format!("+CSMP: {first},{validity},{protocol},{coding}"))
            }
            Form::Set => {
                for (position, parameter) in self.messages.parameters.iter_mut().enumerate() {
                    match command.value(position).map(str::parse) {
                        Some(Ok(value)) => *parameter = value,
                        Some(Err(_)) => return Reply::cms(305),
                        None => {}
                    }
                }
                Reply::ok()
            }
            _ => Reply::ok(),
        }
    }

    fn list_command(&mut self, form: &Form, command: &Command) -> Reply {
        let text_mode = self.settings.is_on("+CMGF");
        if *form == Form::Test {
            return Reply::line(if text_mode {
                "+CMGL: (\"REC UNREAD\",\"REC READ\",\"STO UNSENT\",\"STO SENT\",\"ALL\")"
            } else {
                "+CMGL: (0-4)"
            });
        }
        let all = [
            MessageStatus::Unread,
            MessageStatus::Read,
            MessageStatus::Unsent,
            MessageStatus::Sent,
        ];
        let wanted: Vec<MessageStatus> = match command.value(0) {
            None => vec![MessageStatus::Unread],
            Some("ALL") if text_mode => all.to_vec(),
            Some(name) if text_mode => all.into_iter().filter(|status| status.name() == name).collect(),
            Some("4") => all.to_vec(),
            Some(number) => number
                .parse()
                .ok()
                .and_then(MessageStatus::from_number)
                .into_iter()
                .collect(),
        };
        if wanted.is_empty() {
            return Reply::cms(if text_mode { 305 } else { 304 });
        }
        let storage = self.messages.storage(0);
        let matching: Vec<_> = storage
            .slots
            .iter()
            .filter(|(_, stored)| wanted.contains(&stored.status))
            .map(|(index, stored)| (*index, stored.clone()))
            .collect();
        let mut lines = Vec::new();
        for (index, stored) in matching {
            if text_mode {
                lines.extend(self.text_mode_listing(index, &stored));
            } else {
                lines.push(format!(
                    "+CMGL: {index},{},,{}",
                    stored.status as u8,
                    tpdu::tpdu_length(&stored.pdu)
                ));
                lines.push(tpdu::to_hex(&stored.pdu));
            }
            self.mark_read(index);
        }
        Reply::lines(lines)
    }

    fn read_command(&mut self, command: &Command) -> Reply {
        let Some(index) = command.number(0).map(|index| index as usize) else {
            return Reply::cms(305);
        };
        let Some(stored) = self.messages.storage(0).slots.get(&index).cloned() else {
            return Reply::cms(321);
        };
        let lines = if self.settings.is_on("+CMGF") {
            self.text_mode_reading(&command.name, &stored)
        } else {
            let length = tpdu::tpdu_length(&stored.pdu);
            vec![
                format!("{}: {},,{length}", command.name, stored.status as u8),
                tpdu::to_hex(&stored.pdu),
            ]
        };
        self.mark_read(index);
        if command.name == "+CMGRD" {
            self.delete_messages(&[index]);
        }
        Reply::lines(lines)
    }

    fn delete_command(&mut self, form: &Form, command: &Command) -> Reply {
        let storage = self.messages.storage(0);
        let present: Vec<(usize, MessageStatus)> = storage
            .slots
            .iter()
            .map(|(index, stored)| (*index, stored.status))
            .collect();
        if *form == Form::Test {
            let indices: Vec<String> = present.iter().map(|(index, _)| index.to_string()).collect();
            return Reply::line(format!("+CMGD: ({}),(0-4)", indices.join(",")));
        }
        let Some(index) = command.number(0).map(|index| index as usize) else {
            return Reply::cms(305);
        };
        use MessageStatus::{Read, Sent, Unsent};
        let doomed: &[MessageStatus] = match command.number(1).unwrap_or(0) {
            0 => {
                if index >= self.messages.storage(0).capacity.max(present.len()) {
                    return Reply::cms(321);
                }
                self.delete_messages(&[index]);
                return Reply::ok();
            }
            1 => &[Read],
            2 => &[Read, Sent],
            3 => &[Read, Sent, Unsent],
            4 => &[Read, Sent, Unsent, MessageStatus::Unread],
            _ => return Reply::cms(305),
        };
        let indices: Vec<usize> = present
            .iter()
            .filter(|(_, status)| doomed.contains(status))
            .map(|(index, _)| *index)
            .collect();
        self.delete_messages(&indices);
        Reply::ok()
    }

    fn target(&self, command: &Command) -> Option<Target> {
        if self.settings.is_on("+CMGF") {
            return command
                .value(0)
                .map(|number| Target::Destination(self.from_character_set(number)));
        }
        let length = command.number(0).map(|length| length as usize);
        length
            .filter(|length| (1..=LONGEST_TPDU).contains(length))
            .map(Target::Length)
    }

    fn send_command(&mut self, command: &Command) -> Outcome {
        match self.target(command) {
            Some(target) => Outcome::Prompt(Entry::Send(target)),
            None => Reply::cms(if self.settings.is_on("+CMGF") { 305 } else { 304 }).into(),
        }
    }

    fn write_command(&mut self, command: &Command) -> Outcome {
        let text_mode = self.settings.is_on("+CMGF");
        let status = match command.value(if text_mode { 2 } else { 1 }) {
            Some("STO SENT" | "3") => 3,
            Some("REC UNREAD" | "0") => 0,
            Some("REC READ" | "1") => 1,
            _ => 2,
        };
        match self.target(command) {
            Some(target) => Outcome::Prompt(Entry::Write(target, status)),
            None => Reply::cms(if text_mode { 305 } else { 304 }).into(),
        }
    }
}
