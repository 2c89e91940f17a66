//! Short messages between the network and the module's storages: delivery, submission, reports (23.040, 27.005 clause 3.4).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::books::{Delivery, Fate, Submit};
use super::reply::{Entry, Outcome, Reply, Target};
use super::schedule::{Action, Effect};
use super::storage::{MessageStatus, Storage, Stored};
use super::tpdu::{self, Envelope};
use super::{Config, Modem, Refused};

/// Room of the storages: 23 as a real SIM7600G-H shows for ME, 50 for its SIM.
const CAPACITIES: [(&str, usize); 3] = [("ME", 23), ("SM", 50), ("SR", 30)];

/// Messages that the network keeps for the modem; beyond that it refuses more.
const WAITING_LIMIT: usize = 10_000;

/// What a SUBMIT leaves behind until its report.
#[derive(Debug, Clone)]
struct Reportable {
    submit: tpdu::Submit,
    reference: u8,
}

/// Everything about short messages.
#[derive(Debug, Clone)]
pub(crate) struct Messages {
    pub(crate) storages: [Storage; 3],
    /// `<mem1>` to `<mem3>` as positions of `storages`.
    pub(crate) memories: [usize; 3],
    /// `SMS DONE` has been seen.
    pub(crate) ready: bool,
    /// `<service>` of `AT+CSMS`.
    pub(crate) service: u32,
    pub(crate) service_centre: String,
    /// `AT+CSMP`: first octet, validity, protocol, data coding.
    pub(crate) parameters: [u8; 4],
    pub(crate) waiting: VecDeque<(u64, Vec<u8>)>,
    /// Handed over with `+CMT` or `+CDS` and not acknowledged yet.
    awaiting: Option<(u64, Vec<u8>)>,
    full_announced: bool,
    reference: u8,
    concatenation: u8,
    deliveries: u64,
    submits: u64,
    reportable: BTreeMap<u64, Reportable>,
    /// TP-ST that the network reports; `None` if it never does.
    pub(crate) report_status: Option<u8>,
}

impl Messages {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            storages: CAPACITIES.map(|(name, capacity)| Storage::new(name, capacity)),
            memories: [0; 3],
            ready: false,
            service: 0,
            service_centre: config.service_centre.clone(),
            parameters: [17, 167, 0, 0],
            waiting: VecDeque::new(),
            awaiting: None,
            full_announced: false,
            reference: 0,
            concatenation: 0,
            deliveries: 0,
            submits: 0,
            reportable: BTreeMap::new(),
            report_status: Some(0),
        }
    }

    /// The position of a storage; `MT` stands for the module's own.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        let name = if name == "MT" { "ME" } else { name };
        self.storages.iter().position(|storage| storage.name == name)
    }

    pub(crate) fn storage(&mut self, memory: usize) -> &mut Storage {
        &mut self.storages[self.memories[memory]]
    }

    /// Takes all room away that is still free.
    pub(crate) fn fill(&mut self, name: &str) {
        if let Some(position) = self.position(name) {
            let used = self.storages[position].slots.len();
            self.storages[position].capacity = used;
        }
    }

    pub(crate) fn set_capacity(&mut self, name: &str, capacity: usize) -> Result<(), Refused> {
        let position = self
            .position(name)
            .ok_or_else(|| Refused(format!("there is no storage {name}")))?;
        self.storages[position].capacity = capacity;
        Ok(())
    }
}

impl Modem {
    pub(super) fn power_down_messages(&mut self) {
        self.messages.ready = false;
        self.messages.service = 0;
        self.messages.parameters = [17, 167, 0, 0];
        self.messages.full_announced = false;
        if let Some(again) = self.messages.awaiting.take() {
            self.messages.waiting.push_front(again);
        }
    }

    /// Queues a text in the network.
    pub(super) fn deliver_text(&mut self, from: &str, text: &str, flash: bool) -> Result<Vec<u64>, Refused> {
        self.messages.concatenation = self.messages.concatenation.wrapping_add(1);
        let envelope = Envelope {
            centre: &self.config.service_centre,
            from,
            at: self.local_time(),
            flash,
            reference: self.messages.concatenation,
        };
        let pdus = tpdu::deliver(&envelope, text);
        pdus.into_iter().map(|pdu| self.queue_delivery(pdu)).collect()
    }

    /// Queues a PDU in the network as it is.
    pub(super) fn deliver_pdu(&mut self, hex: &str) -> Result<Vec<u64>, Refused> {
        let octets = tpdu::from_hex(hex).map_err(|error| Refused(error.to_string()))?;
        if tpdu::tpdu_length(&octets) == 0 {
            return Err(Refused("no TPDU behind the service centre".to_owned()));
        }
        Ok(vec![self.queue_delivery(octets)?])
    }

    fn queue_delivery(&mut self, pdu: Vec<u8>) -> Result<u64, Refused> {
        if self.messages.waiting.len() >= WAITING_LIMIT {
            return Err(Refused("the network keeps too many messages already".to_owned()));
        }
        self.messages.deliveries += 1;
        let id = self.messages.deliveries;
        let from = tpdu::Deliver::parse(&pdu)
            .map(|deliver| deliver.from)
            .unwrap_or_default();
        let steps = vec![(self.elapsed_ms(), Fate::Waiting)];
        self.books.deliveries.push(Delivery {
            id,
            pdu: tpdu::to_hex(&pdu),
            from,
            steps,
        });
        self.messages.waiting.push_back((id, pdu));
        self.schedule_delivery();
        Ok(id)
    }

    /// Makes the network try soon, unless it is about to.
    pub(super) fn schedule_delivery(&mut self) {
        if self.messages.waiting.is_empty() {
            return;
        }
        self.schedule.cancel(|action| matches!(action, Action::Deliver));
        let after = self.random.within(self.delays.deliver);
        self.schedule.at(self.now + after, Action::Deliver);
    }

    pub(super) fn deliver_next(&mut self) {
        let reachable = self.attached && self.messages.ready && self.is_served() && self.messages.awaiting.is_none();
        if !reachable {
            return;
        }
        let Some((id, pdu)) = self.messages.waiting.pop_front() else {
            return;
        };
        let is_report = first_octet(&pdu) & 0x03 == 0x02;
        let routed = if is_report {
            self.route_report(id, &pdu)
        } else {
            self.route_message(id, &pdu)
        };
        if routed {
            self.schedule_delivery();
        } else {
            self.messages.waiting.push_front((id, pdu));
            if !std::mem::replace(&mut self.messages.full_announced, true) {
                self.unsolicited("+SMS FULL");
            }
        }
    }

    fn step(&mut self, id: u64, fate: Fate) {
        let at_ms = self.elapsed_ms();
        self.books.delivery_step(id, at_ms, fate);
    }

    /// `<mode>` 0 keeps unsolicited codes back.
    fn announces(&self) -> bool {
        self.settings.number("+CNMI", 0) != 0
    }

    fn route_message(&mut self, id: u64, pdu: &[u8]) -> bool {
        let class = tpdu::Deliver::parse(pdu)
            .ok()
            .and_then(|deliver| tpdu::class_of(deliver.dcs));
        let direct = match self.settings.number("+CNMI", 1) {
            2 => class != Some(2),
            3 => class == Some(3) || class == Some(0),
            _ => false,
        };
        if direct && self.announces() {
            self.hand_over(id, pdu, "+CMT");
            return true;
        }
        // Class 2 belongs to the SIM wherever the others go (23.038 clause 4).
        let position = if class == Some(2) { 1 } else { self.messages.memories[2] };
        let quiet = self.settings.number("+CNMI", 1) == 0 || !self.announces();
        self.store_delivery(id, pdu, position, (!quiet).then_some("+CMTI"))
    }

    fn route_report(&mut self, id: u64, pdu: &[u8]) -> bool {
        match self.settings.number("+CNMI", 3) {
            1 if self.announces() => {
                self.hand_over(id, pdu, "+CDS");
                true
            }
            2 => {
                let quiet = !self.announces();
                self.store_delivery(id, pdu, 2, (!quiet).then_some("+CDSI"))
            }
            _ => {
                self.step(id, Fate::Deleted);
                true
            }
        }
    }

    fn store_delivery(&mut self, id: u64, pdu: &[u8], position: usize, announce: Option<&str>) -> bool {
        let message = Stored {
            pdu: pdu.to_vec(),
            status: MessageStatus::Unread,
            delivery: Some(id),
        };
        let storage = &mut self.messages.storages[position];
        let name = storage.name;
        let Some(index) = storage.store(message) else {
            return false;
        };
        self.step(
            id,
            Fate::Stored {
                storage: name.to_owned(),
                index,
            },
        );
        if let Some(code) = announce {
            self.unsolicited(&format!("{code}: \"{name}\",{index}"));
        }
        self.qmi_follows_message(name, index);
        true
    }

    fn hand_over(&mut self, id: u64, pdu: &[u8], code: &str) {
        let lines = if self.settings.is_on("+CMGF") {
            self.text_mode_direct(code, pdu)
        } else {
            let length = tpdu::tpdu_length(pdu);
            let alpha = if code == "+CMT" { "," } else { "" };
            vec![format!("{code}: {alpha}{length}"), tpdu::to_hex(pdu)]
        };
        self.unsolicited_lines(&lines);
        self.step(id, Fate::Routed);
        if self.messages.service == 1 {
            self.messages.awaiting = Some((id, pdu.to_vec()));
            let after = self.random.within(self.delays.acknowledge);
            self.schedule
                .at(self.now + after, Action::AcknowledgeTimeout { delivery: id });
        }
    }

    /// Without `+CNMA` in time the module stops handing over, and the network tries again later (27.005 clause 3.4.4).
    pub(super) fn acknowledge_timeout(&mut self, delivery: u64) {
        if self.messages.awaiting.as_ref().is_none_or(|(id, _)| *id != delivery) {
            return;
        }
        if let Some(again) = self.messages.awaiting.take() {
            self.messages.waiting.push_front(again);
        }
        self.settings.set("+CNMI", 1, 0);
        self.settings.set("+CNMI", 3, 0);
        self.step(delivery, Fate::Waiting);
        self.schedule_delivery();
    }

    /// `AT+CNMA`: `n` 2 is a negative acknowledgement.
    pub(super) fn acknowledge(&mut self, n: u32) -> Reply {
        let Some((id, pdu)) = self.messages.awaiting.take() else {
            return Reply::cms(340);
        };
        if n == 2 {
            self.messages.waiting.push_front((id, pdu));
            self.step(id, Fate::Waiting);
            let retry = Duration::from_secs(1) + self.random.within(self.delays.deliver);
            self.schedule.at(self.now + retry, Action::Deliver);
        } else {
            self.step(id, Fate::Acknowledged);
            self.schedule_delivery();
        }
        Reply::ok()
    }

    /// What follows a prompt has been ended with Ctrl-Z.
    pub(super) fn complete_entry(&mut self, entry: Entry, payload: Vec<u8>) -> Outcome {
        match entry {
            Entry::Send(target) => {
                let after = self.random.within(self.delays.submit);
                Outcome::After(after, Effect::Submit { target, payload })
            }
            Entry::Write(target, status) => self.write_message(&target, &payload, status).into(),
            Entry::Acknowledge => self.acknowledge(1).into(),
        }
    }

    fn payload_pdu(&self, target: &Target, payload: &[u8]) -> Result<(Vec<u8>, Option<usize>), Reply> {
        let text = String::from_utf8_lossy(payload);
        match target {
            Target::Length(length) => tpdu::from_hex(&text)
                .map(|octets| (octets, Some(*length)))
                .map_err(|_| Reply::cms(304)),
            Target::Destination(destination) => {
                let [first, validity, protocol, dcs] = self.messages.parameters;
                let text = self.from_character_set(&text);
                Ok((
                    tpdu::Submit::compose(first, destination, protocol, dcs, validity, &text),
                    None,
                ))
            }
        }
    }

    /// The network gets a message from the module.
    pub(super) fn submit_payload(&mut self, target: &Target, payload: &[u8]) -> Reply {
        let (octets, length) = match self.payload_pdu(target, payload) {
            Ok(pdu) => pdu,
            Err(refusal) => return refusal,
        };
        match self.submit(&octets, length) {
            Ok(reference) => Reply::line(format!("+CMGS: {reference}")),
            Err(number) => Reply::cms(number),
        }
    }

    pub(super) fn submit(&mut self, octets: &[u8], length: Option<usize>) -> Result<u8, u16> {
        let submit = tpdu::Submit::parse(octets, length).map_err(|_| 304u16)?;
        if !self.is_served() {
            return Err(331);
        }
        if !submit.has_service_centre && self.messages.service_centre.is_empty() {
            return Err(330);
        }
        let reference = self.messages.reference;
        self.messages.reference = reference.wrapping_add(1);
        self.messages.submits += 1;
        let number = self.messages.submits;
        self.books.submits.push(Submit {
            number,
            at_ms: self.elapsed_ms(),
            reference,
            destination: submit.destination.clone(),
            pdu: tpdu::to_hex(&submit.with_reference(reference)),
            text: submit.data.text.clone(),
            concatenation: submit.data.concatenation,
            report_requested: submit.report_requested,
            report: None,
        });
        if submit.report_requested && self.messages.report_status.is_some() {
            self.messages
                .reportable
                .insert(number, Reportable { submit, reference });
            let after = self.random.within(self.delays.report);
            self.schedule.at(self.now + after, Action::Report { submit: number });
        }
        Ok(reference)
    }

    pub(super) fn report_submit(&mut self, number: u64) {
        let Some(Reportable { submit, reference }) = self.messages.reportable.remove(&number) else {
            return;
        };
        let Some(status) = self.messages.report_status else {
            return;
        };
        let pdu = submit.report(&self.config.service_centre, reference, self.local_time(), status);
        if let Some(record) = self
            .books
            .submits
            .records
            .iter_mut()
            .find(|record| record.number == number)
        {
            record.report = Some(status);
        }
        if self.queue_delivery(pdu).is_err() {
            tracing::warn!(number, "the network has no room for a status report");
        }
    }

    fn write_message(&mut self, target: &Target, payload: &[u8], status: u8) -> Reply {
        let (pdu, length) = match self.payload_pdu(target, payload) {
            Ok(pdu) => pdu,
            Err(refusal) => return refusal,
        };
        if length.is_some_and(|length| tpdu::tpdu_length(&pdu) != length) {
            return Reply::cms(304);
        }
        let status = MessageStatus::from_number(status).unwrap_or(MessageStatus::Unsent);
        match self.messages.storage(1).store(Stored {
            pdu,
            status,
            delivery: None,
        }) {
            Some(index) => Reply::line(format!("+CMGW: {index}")),
            None => Reply::cms(322),
        }
    }

    /// `AT+CMSS`
    pub(super) fn send_stored(&mut self, index: usize, destination: Option<&str>) -> Reply {
        let Some(stored) = self.messages.storage(1).slots.get(&index) else {
            return Reply::cms(321);
        };
        let mut pdu = stored.pdu.clone();
        if let Some(destination) = destination {
            let Ok(submit) = tpdu::Submit::parse(&pdu, None) else {
                return Reply::cms(302);
            };
            let [first, validity, protocol, _] = self.messages.parameters;
            let text = submit.data.text.unwrap_or_default();
            pdu = tpdu::Submit::compose(first, destination, protocol, submit.dcs, validity, &text);
        }
        match self.submit(&pdu, None) {
            Ok(reference) => {
                if let Some(stored) = self.messages.storage(1).slots.get_mut(&index) {
                    stored.status = MessageStatus::Sent;
                }
                Reply::line(format!("+CMSS: {reference}"))
            }
            Err(number) => Reply::cms(number),
        }
    }

    /// Marks a message as read by the host, in the books too.
    pub(super) fn mark_read(&mut self, index: usize) {
        self.mark_read_in(self.messages.memories[0], index);
    }

    /// The same in a storage by its position.
    pub(super) fn mark_read_in(&mut self, position: usize, index: usize) {
        let Some(stored) = self.messages.storages[position].slots.get_mut(&index) else {
            return;
        };
        let first_time = stored.status == MessageStatus::Unread;
        if first_time {
            stored.status = MessageStatus::Read;
        }
        if let Some(id) = stored.delivery.filter(|_| first_time) {
            self.step(id, Fate::Read);
        }
    }

    /// Deletes messages and lets the network try again with what waits for room.
    pub(super) fn delete_messages(&mut self, indices: &[usize]) {
        self.delete_messages_in(self.messages.memories[0], indices);
    }

    /// The same in a storage by its position.
    pub(super) fn delete_messages_in(&mut self, position: usize, indices: &[usize]) {
        for index in indices {
            let removed = self.messages.storages[position].slots.remove(index);
            if let Some(id) = removed.and_then(|stored| stored.delivery) {
                self.step(id, Fate::Deleted);
            }
        }
        self.messages.full_announced = false;
        self.schedule_delivery();
    }
}

/// The first octet of the TPDU.
pub(super) fn first_octet(pdu: &[u8]) -> u8 {
    let centre = pdu.first().map_or(0, |centre| usize::from(*centre));
    pdu.get(centre + 1).copied().unwrap_or(0)
}
