//! From the module's storage into ours.

use std::collections::{HashSet, VecDeque};

use ::modem::at::command::{self, Storage};
use ::modem::at::reply::{self, ListedMessage};
use ::modem::sms::data_coding::MessageClass;
use ::modem::sms::identity::MessageIdentity;
use ::modem::sms::pdu::{Deliver, StatusReport};
use ::modem::sms::reassembly::{Content, Insertion, Part, Reassembly};
use ::modem::sms::timestamp::TimestampOctets;
use ::modem::sms::user_data::{Body, ConcatenationReference};
use ::modem::sms::{Direction, Pdu, Tpdu};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;

use super::{Direct, Place, encoding};
use crate::port::at::{AtError, AtHandle, Lane};
use crate::store::{self, Assembled, Concatenation, IncomingPart, Received, Store};

/// Messages that are being made durable while the next is read.
const COMMITS_AT_ONCE: usize = 64;

pub(super) struct Receiver {
    pub(super) store: Store,
    pub(super) modem: String,
    pub(super) sim: String,
    pub(super) at: AtHandle,
}

impl Receiver {
    pub(super) async fn receive(&self, sweep: bool, mut places: VecDeque<Place>, direct: VecDeque<Direct>) {
        for Direct { pdu } in direct {
            // Not stored by the module, so there is no place to free and nothing more that can be done.
            let _ = self.keep(&pdu).await;
        }
        let mut finishing = FuturesUnordered::new();
        // Places that were read and are not free yet. A place is never in work twice: the second deletion could hit a
        // message that arrived after the first and that nobody has read.
        let mut occupied = HashSet::new();
        if sweep {
            match self.list().await {
                Ok(listed) => {
                    for message in listed {
                        if let Some(index) = message.index
                            && occupied.insert(index)
                        {
                            finishing.push(self.finish(index, message.pdu));
                        }
                    }
                }
                Err(error) => tracing::warn!(modem = self.modem, %error, "the message storage was not listed"),
            }
        }
        let mut selected = Storage::Sim;
        while !places.is_empty() || !finishing.is_empty() {
            let next_is_free = places.front().is_some_and(|place| !occupied.contains(&place.index));
            if !next_is_free || finishing.len() >= COMMITS_AT_ONCE {
                if let Some(index) = finishing.next().await {
                    occupied.remove(&index);
                }
                continue;
            }
            let Some(place) = places.pop_front() else { continue };
            if place.storage != selected {
                // Places in another storage are rare (status reports); what was read before is freed under its own storage.
                while finishing.next().await.is_some() {}
                occupied.clear();
                if !self.select(place.storage).await {
                    continue;
                }
                selected = place.storage;
            }
            let read = self.read(place.index);
            tokio::pin!(read);
            let message = loop {
                tokio::select! {
                    message = &mut read => break message,
                    Some(index) = finishing.next(), if !finishing.is_empty() => {
                        occupied.remove(&index);
                    }
                }
            };
            if let Some(message) = message {
                occupied.insert(place.index);
                finishing.push(self.finish(place.index, message.pdu));
            }
        }
        drop(finishing);
        if selected != Storage::Sim {
            self.select(Storage::Sim).await;
        }
    }

    async fn select(&self, storage: Storage) -> bool {
        let command = command::message_storage(storage, Storage::Sim, Storage::Sim);
        matches!(self.at.execute(Lane::Normal, command).await, Ok(response) if response.result.is_ok())
    }

    async fn list(&self) -> Result<Vec<ListedMessage>, AtError> {
        let response = self.at.execute(Lane::Normal, command::list_messages(None)).await?;
        Ok(reply::listed_messages(&response.lines))
    }

    async fn read(&self, index: u16) -> Option<ListedMessage> {
        match self.at.execute(Lane::Normal, command::read_message(index)).await {
            Ok(response) => reply::read_message(&response.lines),
            Err(error) => {
                // It stays in the module; the sweep after the resynchronisation finds it.
                tracing::warn!(modem = self.modem, index, %error, "a message was not read");
                None
            }
        }
    }

    /// Makes a message durable, then frees its place; returns the place. A crash in between shows the message again, and it
    /// is recognised by its identity. Once the place is free the identity is released, because an equal PDU that comes later
    /// is another message.
    async fn finish(&self, index: u16, pdu: String) -> u16 {
        let Some(identity) = self.keep(&pdu).await else {
            return index;
        };
        match self.at.execute(Lane::Normal, command::delete_message(index)).await {
            Ok(response) if response.result.is_ok() => {
                if let Err(error) = self.store.release_identity(&self.modem, &identity).await {
                    tracing::warn!(modem = self.modem, %error, "an equal message would be taken for this one");
                }
            }
            Ok(response) => {
                tracing::warn!(modem = self.modem, index, result = %response.result, "a stored message was not deleted from the module");
            }
            Err(error) => {
                tracing::warn!(modem = self.modem, index, %error, "a stored message was not deleted from the module")
            }
        }
        index
    }

    /// The identity under which it is durable, whatever it is; none when it must stay in the module.
    async fn keep(&self, pdu: &str) -> Option<String> {
        let decoded = match Pdu::decode_hex(pdu, Direction::FromNetwork) {
            Ok(decoded) => decoded,
            // Only what somebody stored there to be sent is a SUBMIT; the broker never does, so it is no message for us.
            Err(_) if Pdu::decode_hex(pdu, Direction::ToNetwork).is_ok() => return None,
            Err(error) => {
                let identity = MessageIdentity::of_undecodable(&self.sim, pdu.as_bytes()).to_string();
                let kept = self
                    .store
                    .receive_raw(&self.modem, &identity, pdu, &error.to_string())
                    .await
                    .map(|_| ());
                return self.kept(identity, kept);
            }
        };
        let identity = MessageIdentity::new(&self.sim, &decoded).to_string();
        let kept = match &decoded.tpdu {
            Tpdu::Deliver(deliver) => self.keep_message(identity.clone(), deliver, pdu).await,
            Tpdu::StatusReport(report) => self.keep_report(report).await,
            Tpdu::Submit(_) => return None,
        };
        self.kept(identity, kept)
    }

    fn kept(&self, identity: String, kept: Result<(), store::StoreError>) -> Option<String> {
        match kept {
            Ok(()) => Some(identity),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    modem = self.modem,
                    error,
                    "a received message stays in the module: it could not be stored"
                );
                None
            }
        }
    }

    async fn keep_message(&self, identity: String, deliver: &Deliver, hex: &str) -> Result<(), store::StoreError> {
        let part = IncomingPart {
            modem: self.modem.clone(),
            identity,
            address: deliver.originating_address.to_string(),
            pdu: hex.to_owned(),
            service_centre_time: time(deliver.service_centre_timestamp),
            concatenation: deliver.user_data.concatenation().map(|concatenation| Concatenation {
                reference: match concatenation.reference {
                    ConcatenationReference::Bits8(reference) => u16::from(reference),
                    ConcatenationReference::Bits16(reference) => reference,
                },
                part: concatenation.part,
                part_count: concatenation.part_count,
            }),
        };
        match self.store.receive_part(part, assemble).await? {
            Received::New(message) | Received::Completed(message) => {
                tracing::info!(
                    modem = self.modem,
                    message_id = message.id,
                    parts = message.part_count,
                    "message received"
                );
            }
            Received::Part(message) => {
                tracing::info!(
                    modem = self.modem,
                    message_id = message.id,
                    parts = message.parts_done,
                    of = message.part_count,
                    "part of a message received"
                );
            }
            Received::Duplicate => tracing::debug!(modem = self.modem, "a message was read again"),
        }
        Ok(())
    }

    async fn keep_report(&self, report: &StatusReport) -> Result<(), store::StoreError> {
        let meaning = report.status.meaning().to_owned();
        let outcome = if report.status.is_delivered() {
            store::ReportOutcome::Delivered
        } else if report.status.is_final() {
            store::ReportOutcome::Failed(meaning)
        } else {
            store::ReportOutcome::Temporary(meaning)
        };
        let report = store::StatusReport {
            modem: self.modem.clone(),
            message_reference: report.message_reference,
            recipient: report.recipient_address.to_string(),
            outcome,
            time: time(report.discharge_time).unwrap_or_else(Timestamp::now),
        };
        self.store.apply_status_report(report).await.map(|_| ())
    }
}

fn time(octets: TimestampOctets) -> Option<Timestamp> {
    octets
        .timestamp()
        .ok()
        .and_then(|time| Timestamp::from_second(time.unix_seconds()).ok())
}

/// What the parts that arrived so far say.
fn assemble(parts: &[(u8, String)]) -> Assembled {
    let delivers: Vec<(MessageIdentity, Deliver)> = parts
        .iter()
        .filter_map(|(_, hex)| {
            let pdu = Pdu::decode_hex(hex, Direction::FromNetwork).ok()?;
            let identity = MessageIdentity::new("", &pdu);
            match pdu.tpdu {
                Tpdu::Deliver(deliver) => Some((identity, deliver)),
                _ => None,
            }
        })
        .collect();
    let Some((_, first)) = delivers.first() else {
        return Assembled {
            raw: true,
            ..Assembled::default()
        };
    };
    let scheme = first.data_coding_scheme;
    let mut assembled = Assembled {
        encoding: Some(encoding(scheme.alphabet())),
        message_class: scheme.class().map(class_number),
        ..Assembled::default()
    };
    let content = match join(&delivers) {
        Some(content) => content,
        None => match first.user_data.text(scheme) {
            Some(text) => Content::Text(text),
            None => Content::Data(body_octets(first)),
        },
    };
    match content {
        Content::Text(text) => assembled.text = text,
        Content::Data(data) => assembled.data = data,
    }
    assembled
}

fn join(delivers: &[(MessageIdentity, Deliver)]) -> Option<Content> {
    let mut reassembly = Reassembly::default();
    let mut whole = None;
    for (identity, deliver) in delivers {
        if let Insertion::Complete(message) = reassembly.insert(Part::new(deliver, *identity)?) {
            whole = Some(message.content());
        }
    }
    whole.or_else(|| reassembly.incomplete().next().map(|message| message.content()))
}

fn body_octets(deliver: &Deliver) -> Vec<u8> {
    match &deliver.user_data.body {
        Body::Septets(octets) | Body::Octets(octets) => octets.clone(),
    }
}

fn class_number(class: MessageClass) -> u8 {
    match class {
        MessageClass::Class0 => 0,
        MessageClass::Class1 => 1,
        MessageClass::Class2 => 2,
        MessageClass::Class3 => 3,
    }
}
