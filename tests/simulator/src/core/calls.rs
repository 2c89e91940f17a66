//! Voice calls: their states (27.007 `+CLCC`), the lines that announce them, and the PCM that belongs to them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::books::{CallRecord, Direction};
use super::line::Command;
use super::reply::Reply;
use super::result_code::Code;
use super::schedule::{Action, CallStep};
use super::{Modem, Output, Refused, port::PortId};
use crate::control::{CallAudio, DtmfWay, OutgoingPolicy, Refusal, RingOptions};

/// `<stat>` of `+CLCC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallState {
    Active = 0,
    Held = 1,
    Dialing = 2,
    Alerting = 3,
    Incoming = 4,
    Waiting = 5,
    /// SIMCom's own: shown once in the report on a call that ends.
    Disconnected = 6,
}

/// A call in progress.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// In the books.
    pub(crate) id: u64,
    /// 27.007 `<idx>`
    pub(crate) index: u8,
    pub(crate) direction: Direction,
    pub(crate) state: CallState,
    pub(crate) number: String,
    withheld: bool,
    name: String,
    pub(crate) started: Instant,
    pub(crate) answered: Option<Instant>,
    pub(crate) audio: CallAudio,
    pub(crate) record: Option<PathBuf>,
    hang_up_after_answer: Option<Duration>,
    /// Where it was dialled: its failure is the result code there.
    port: Option<PortId>,
}

/// What the network does with calls.
#[derive(Debug, Clone)]
pub(crate) struct Telephony {
    sequence: u64,
    policy: OutgoingPolicy,
    policies: Vec<(String, OutgoingPolicy)>,
    pub(crate) last_cause: &'static str,
    /// Changes of calls are not reported.
    pub(crate) muted: bool,
    /// Call forwardings in the network, by `<reason>` (27.007 7.11).
    forwardings: std::collections::BTreeMap<u32, Forwarding>,
}

/// A call forwarding that was registered.
#[derive(Debug, Clone)]
struct Forwarding {
    active: bool,
    number: String,
    classes: u32,
    time: Option<u32>,
}

impl Telephony {
    /// `AT+CCFC` (27.007 7.11): the answer of the network.
    pub(crate) fn forward(&mut self, command: &Command) -> Reply {
        let (Some(reason @ 0..=3), Some(mode)) = (command.number(0), command.number(1)) else {
            return Reply::error();
        };
        match mode {
            0 | 1 => match self.forwardings.get_mut(&reason) {
                Some(known) => {
                    known.active = mode == 1;
                    Reply::ok()
                }
                // 27.007 9.2.1: operation not allowed.
                None => Reply::cme(3),
            },
            2 => Reply::line(match self.forwardings.get(&reason) {
                Some(known) => {
                    let time = known.time.map(|time| format!(",,,{time}")).unwrap_or_default();
                    format!(
                        "+CCFC: {},{},\"{}\",{}{time}",
                        u8::from(known.active),
                        known.classes,
                        known.number,
                        type_of_number(&known.number)
                    )
                }
                None => "+CCFC: 0,255".to_owned(),
            }),
            3 => {
                let number = command.value(2).unwrap_or_default().trim_matches('"').to_owned();
                if number.is_empty() {
                    return Reply::error();
                }
                let known = Forwarding {
                    active: true,
                    number,
                    classes: command.number(4).unwrap_or(7),
                    time: command.number(7),
                };
                self.forwardings.insert(reason, known);
                Reply::ok()
            }
            4 => {
                self.forwardings.remove(&reason);
                Reply::ok()
            }
            _ => Reply::error(),
        }
    }

    pub(crate) fn new(policy: OutgoingPolicy) -> Self {
        Self {
            sequence: 0,
            policy,
            policies: Vec::new(),
            last_cause: "No cause information available",
            muted: false,
            forwardings: std::collections::BTreeMap::new(),
        }
    }

    pub(crate) fn set_policy(&mut self, number: Option<String>, policy: OutgoingPolicy) {
        match number {
            None => self.policy = policy,
            Some(number) => {
                self.policies.retain(|(known, _)| *known != number);
                self.policies.push((number, policy));
            }
        }
    }

    fn policy_for(&self, number: &str) -> OutgoingPolicy {
        self.policies
            .iter()
            .find(|(known, _)| known == number)
            .map_or(&self.policy, |(_, policy)| policy)
            .clone()
    }
}

/// 27.007 `<type>`: 145 with a plus, else 129; 128 where the number is unknown.
pub(crate) fn type_of_number(number: &str) -> u8 {
    match number {
        "" => 128,
        number if number.starts_with('+') => 145,
        _ => 129,
    }
}

fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{:02}{:02}{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

impl Call {
    /// The line of `+CLCC` for this call.
    pub(crate) fn line(&self, state: CallState) -> String {
        let direction = u8::from(self.direction == Direction::Incoming);
        let head = format!("+CLCC: {},{direction},{},0,0", self.index, state as u8);
        if self.withheld {
            head
        } else {
            format!("{head},\"{}\",{}", self.number, type_of_number(&self.number))
        }
    }
}

impl Modem {
    pub(super) fn call(&mut self, id: u64) -> Option<&mut Call> {
        self.calls.iter_mut().find(|call| call.id == id)
    }

    pub(super) fn has_call_in(&self, states: &[CallState]) -> bool {
        self.calls.iter().any(|call| states.contains(&call.state))
    }

    fn free_index(&self) -> u8 {
        (1..=7)
            .find(|index| self.calls.iter().all(|call| call.index != *index))
            .unwrap_or(7)
    }

    /// Changes a call without a word.
    fn move_call(&mut self, id: u64, state: CallState) {
        if let Some(call) = self.call(id) {
            call.state = state;
        }
        self.update_audio();
    }

    /// Changes a call and reports it where `AT+CLCC=1` asks for that.
    pub(super) fn set_call_state(&mut self, id: u64, state: CallState) {
        self.move_call(id, state);
        if let Some(line) = self
            .call(id)
            .map(|call| call.line(state))
            .filter(|_| self.settings.is_on("+CLCC"))
        {
            self.unsolicited(&line);
        }
    }

    fn open_call(&mut self, call: Call) {
        self.books.calls.push(CallRecord {
            id: call.id,
            direction: call.direction,
            number: call.number.clone(),
            started_ms: self.elapsed_ms(),
            answered_ms: None,
            ended_ms: None,
            cause: None,
            rings: 0,
            dtmf: String::new(),
            audio: None,
        });
        self.calls.push(call);
    }

    /// The network rings.
    pub(super) fn ring(&mut self, options: RingOptions) -> Result<u64, Refused> {
        if !self.attached || !self.is_served() {
            return Err(Refused("the modem is not registered".to_owned()));
        }
        let ringing = self.has_call_in(&[
            CallState::Incoming,
            CallState::Waiting,
            CallState::Dialing,
            CallState::Alerting,
        ]);
        let busy = !self.calls.is_empty();
        if ringing || (busy && !self.settings.is_on("+CCWA")) {
            return Err(Refused("the modem is busy".to_owned()));
        }
        self.telephony.sequence += 1;
        let id = self.telephony.sequence;
        let state = if busy { CallState::Waiting } else { CallState::Incoming };
        self.open_call(Call {
            id,
            index: self.free_index(),
            direction: Direction::Incoming,
            state,
            number: options.from,
            withheld: options.number_withheld,
            name: options.name,
            started: self.now,
            answered: None,
            audio: options.audio,
            record: options.record,
            hang_up_after_answer: options.hang_up_after_answer_ms.map(Duration::from_millis),
            port: None,
        });
        if let Some(ms) = options.hang_up_after_ms {
            self.schedule
                .at(self.now + Duration::from_millis(ms), Action::RemoteHangUp { call: id });
        }
        if state == CallState::Waiting {
            let (number, kind) = self.shown_number(id);
            self.unsolicited(&format!("+CCWA: \"{number}\",{kind},1"));
            self.set_call_state(id, state);
        } else {
            self.announce_ring(id);
            self.set_call_state(id, state);
        }
        Ok(id)
    }

    fn shown_number(&mut self, id: u64) -> (String, u8) {
        let number = self
            .call(id)
            .filter(|call| !call.withheld)
            .map(|call| call.number.clone())
            .unwrap_or_default();
        let kind = type_of_number(&number);
        (number, kind)
    }

    fn announce_ring(&mut self, id: u64) {
        if let Some(record) = self.books.call(id) {
            record.rings += 1;
        }
        let ring = if self.settings.is_on("+CRC") {
            "+CRING: VOICE"
        } else {
            "RING"
        };
        self.unsolicited(ring);
        if self.settings.is_on("+CLIP") {
            let (number, kind) = self.shown_number(id);
            let validity = u8::from(number.is_empty());
            self.unsolicited(&format!("+CLIP: \"{number}\",{kind},,,\"\",{validity}"));
        }
        let name = self.call(id).map(|call| call.name.clone()).unwrap_or_default();
        if self.settings.is_on("+CNAP") && !name.is_empty() {
            self.unsolicited(&format!("+CNAP: \"{name}\",0"));
        }
        let after = self.random.within(self.delays.ring);
        self.schedule.at(self.now + after, Action::Ring { call: id });
    }

    pub(super) fn ring_again(&mut self, id: u64) {
        if self.call(id).is_some_and(|call| call.state == CallState::Incoming) {
            self.announce_ring(id);
        }
    }

    /// `ATD…;`
    pub(super) fn dial(&mut self, port: PortId, number: &str) -> Reply {
        let emergency = matches!(number, "112" | "911" | "999" | "000" | "110" | "118" | "119");
        let radio = self.attached && matches!(self.general.functionality, 1);
        if !radio || (!emergency && !self.is_served()) {
            self.telephony.last_cause = "No service available";
            return Reply::code(Code::NoCarrier);
        }
        if self.has_call_in(&[
            CallState::Dialing,
            CallState::Alerting,
            CallState::Incoming,
            CallState::Active,
        ]) {
            return Reply::code(Code::NoCarrier);
        }
        self.telephony.sequence += 1;
        let id = self.telephony.sequence;
        let policy = self.telephony.policy_for(number);
        let (audio, record, hang_up_after_answer) = match &policy {
            OutgoingPolicy::AnswerAfter {
                audio,
                record,
                hang_up_after_ms,
                ..
            } => (
                audio.clone(),
                record.clone(),
                hang_up_after_ms.map(Duration::from_millis),
            ),
            _ => (CallAudio::Silence, None, None),
        };
        self.open_call(Call {
            id,
            index: self.free_index(),
            direction: Direction::Outgoing,
            state: CallState::Dialing,
            number: number.to_owned(),
            withheld: false,
            name: String::new(),
            started: self.now,
            answered: None,
            audio,
            record,
            hang_up_after_answer,
            port: Some(port),
        });
        self.plan_outgoing(id, &policy);
        let mut reply = Reply::ok();
        if self.settings.is_on("+CLCC")
            && let Some(call) = self.call(id)
        {
            let line = call.line(CallState::Dialing);
            reply = reply.then(Duration::ZERO, Action::Unsolicited { line });
        }
        self.update_audio();
        reply
    }

    fn plan_outgoing(&mut self, id: u64, policy: &OutgoingPolicy) {
        let alert = self.random.within(self.delays.alert);
        let mut plan = |after: Duration, step| self.schedule.at(self.now + after, Action::Progress { call: id, step });
        match policy {
            OutgoingPolicy::Answer => {
                let answer = self.random.within(self.delays.remote_answer);
                plan(alert, CallStep::Alert);
                plan(alert + answer, CallStep::Answer);
            }
            OutgoingPolicy::AnswerAfter { ms, .. } => {
                plan(alert, CallStep::Alert);
                plan(alert + Duration::from_millis(*ms), CallStep::Answer);
            }
            OutgoingPolicy::Manual => {}
            OutgoingPolicy::Refuse { cause, after_ms } => {
                let after = Duration::from_millis(*after_ms);
                if *cause == Refusal::NoAnswer {
                    plan(alert.min(after), CallStep::Alert);
                }
                plan(after, step_of(*cause));
            }
        }
    }

    /// The called party or the network does something about the call that the host dialled.
    pub(super) fn progress_outgoing(&mut self, step: CallStep) -> Result<(), Refused> {
        let outgoing = |call: &&Call| matches!(call.state, CallState::Dialing | CallState::Alerting);
        let id = self.calls.iter().find(outgoing).map(|call| call.id);
        let id = id.ok_or_else(|| Refused("no outgoing call waits for an answer".to_owned()))?;
        self.call_progress(id, step);
        Ok(())
    }

    pub(super) fn refuse_outgoing(&mut self, cause: Refusal) -> Result<(), Refused> {
        self.progress_outgoing(step_of(cause))
    }

    pub(super) fn call_progress(&mut self, id: u64, step: CallStep) {
        let Some(call) = self.call(id) else { return };
        if !matches!(call.state, CallState::Dialing | CallState::Alerting) {
            return;
        }
        let (code, cause) = match step {
            CallStep::Alert => {
                self.set_call_state(id, CallState::Alerting);
                return;
            }
            CallStep::Answer => {
                self.unsolicited("VOICE CALL: BEGIN");
                self.connect(id);
                self.set_call_state(id, CallState::Active);
                return;
            }
            CallStep::Busy => (Code::Busy, "User busy"),
            CallStep::NoAnswer => (Code::NoAnswer, "User alerting, no answer"),
            CallStep::Reject => (Code::NoCarrier, "Call rejected"),
        };
        let port = call.port;
        self.close_call(id, cause);
        if let Some(port) = port {
            let verbosity = self.settings.number("+CMEE", 0);
            let bytes = self.port(port).result(code, verbosity);
            self.emit(port.function(), &bytes);
        }
    }

    /// Both parties talk from now on.
    fn connect(&mut self, id: u64) {
        let now = self.now;
        let at_ms = self.elapsed_ms();
        if let Some(record) = self.books.call(id) {
            record.answered_ms = Some(at_ms);
        }
        let Some(call) = self.call(id) else { return };
        call.answered = Some(now);
        if let Some(after) = call.hang_up_after_answer {
            self.schedule.at(now + after, Action::RemoteHangUp { call: id });
        }
        self.move_call(id, CallState::Active);
    }

    /// `ATA`: the line before `OK`, the report after it.
    pub(super) fn answer_now(&mut self) -> Reply {
        let ringing = self
            .calls
            .iter()
            .find(|call| matches!(call.state, CallState::Incoming | CallState::Waiting));
        let Some(id) = ringing.map(|call| call.id) else {
            return Reply::code(Code::NoCarrier);
        };
        let active = self
            .calls
            .iter()
            .find(|call| call.state == CallState::Active)
            .map(|call| call.id);
        if let Some(active) = active {
            self.set_call_state(active, CallState::Held);
        }
        self.connect(id);
        let reports = self.settings.is_on("+CLCC");
        let mut reply = Reply::line("VOICE CALL: BEGIN");
        if let Some(call) = self.call(id).filter(|_| reports) {
            let line = call.line(CallState::Active);
            reply = reply.then(Duration::ZERO, Action::Unsolicited { line });
        }
        reply
    }

    /// The other party hangs up.
    pub(super) fn remote_hang_up(&mut self, id: u64) {
        let Some(call) = self.call(id) else { return };
        if call.answered.is_some() {
            let duration = self.end_call(id, "Normal call clearing");
            self.unsolicited(&format!("VOICE CALL: END: {}", clock(duration)));
        } else if call.direction == Direction::Incoming {
            let number = if call.withheld {
                String::new()
            } else {
                call.number.clone()
            };
            self.close_call(id, "missed");
            let (time, _) = self.local_time();
            let line = format!("MISSED_CALL: {} {number}", time.strftime("%I:%M%p"));
            self.unsolicited(line.trim_end());
        } else {
            self.call_progress(id, CallStep::Reject);
        }
    }

    /// `AT+CHUP`: one line per call that was connected or ringing, in the reply.
    pub(super) fn hang_up_all(&mut self) -> Reply {
        let ids: Vec<u64> = self.calls.iter().map(|call| call.id).collect();
        self.hang_up_calls(&ids)
    }

    pub(super) fn hang_up_calls(&mut self, ids: &[u64]) -> Reply {
        let mut lines = Vec::new();
        for id in ids {
            let duration = self.end_call(*id, "Client ended call");
            lines.push(format!("VOICE CALL: END: {}", clock(duration)));
        }
        Reply::lines(lines)
    }

    /// Ends a call with its report and gives its duration.
    fn end_call(&mut self, id: u64, cause: &'static str) -> Duration {
        let now = self.now;
        let answered = self.call(id).and_then(|call| call.answered);
        self.close_call(id, cause);
        answered.map_or(Duration::ZERO, |answered| now.saturating_duration_since(answered))
    }

    fn close_call(&mut self, id: u64, cause: &'static str) {
        let at_ms = self.elapsed_ms();
        if let Some(record) = self.books.call(id) {
            record.ended_ms = Some(at_ms);
            record.cause = Some(cause.to_owned());
        }
        self.telephony.last_cause = cause;
        self.set_call_state(id, CallState::Disconnected);
        self.calls.retain(|call| call.id != id);
        if self.calls.is_empty() {
            self.settings.set("+CMUT", 0, 0);
        }
        self.update_audio();
    }

    pub(super) fn end_all_calls(&mut self, cause: &'static str) {
        for id in self.calls.iter().map(|call| call.id).collect::<Vec<_>>() {
            let answered = self.call(id).is_some_and(|call| call.answered.is_some());
            let duration = self.end_call(id, cause);
            if answered {
                self.unsolicited(&format!("VOICE CALL: END: {}", clock(duration)));
            }
        }
    }

    /// The other party presses keys; the host hears of it with `AT+DDET=1`.
    pub(super) fn remote_tones(&mut self, digits: &str, way: DtmfWay) -> Result<(), Refused> {
        if !self.has_call_in(&[CallState::Active]) {
            return Err(Refused("there is no active call".to_owned()));
        }
        if way != DtmfWay::Reported {
            self.outputs.push_back(Output::AudioTones(digits.to_owned()));
        }
        if way != DtmfWay::InBand && self.settings.is_on("+DDET") {
            for digit in digits.chars() {
                self.unsolicited(&format!("+RXDTMF: {digit}"));
            }
        }
        Ok(())
    }
}

fn step_of(cause: Refusal) -> CallStep {
    match cause {
        Refusal::Busy => CallStep::Busy,
        Refusal::NoAnswer => CallStep::NoAnswer,
        Refusal::Rejected => CallStep::Reject,
    }
}
