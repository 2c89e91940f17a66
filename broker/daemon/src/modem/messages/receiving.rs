//! From the module's storage into ours.

use std::collections::{HashSet, VecDeque};

use cellular::at::command::{self, Storage};
use cellular::at::reply::{self, ListedMessage, MessageStatus};
use cellular::at::{Response, ResultCode};
use cellular::sms::identity::MessageIdentity;
use cellular::sms::pdu::{DecodeError, Deliver, StatusReport};
use cellular::sms::stored;
use cellular::sms::timestamp::TimestampOctets;
use cellular::sms::user_data::ConcatenationReference;
use cellular::sms::{Direction, Pdu, Tpdu};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;

use super::assembly::assemble;
use super::storages::{self, Selection};
use super::{Direct, Place};
use crate::modem::{StorageUse, reliance};
use crate::port::at::{AtHandle, Lane};
use crate::store::{self, Concatenation, IncomingPart, Received, Store, StoredPlace, Undecodable};

/// Messages that are being made durable while the next is read.
const COMMITS_AT_ONCE: usize = 64;

/// How often a message is read that does not come out whole.
const READINGS: u32 = 3;

pub(super) struct Receiver {
    pub(super) store: Store,
    pub(super) modem: String,
    pub(super) sim: String,
    pub(super) at: AtHandle,
    /// Places that the module said to have freed although they still hold their message.
    pub(super) stuck: HashSet<Place>,
}

/// What became of everything that was there to receive.
#[derive(Debug, Default)]
pub(in crate::modem) struct Report {
    /// How full the storages are after a sweep; empty without one.
    pub(super) storages: Vec<StorageUse>,
    /// Places that hold what is no received message, and that a sweep need not read again.
    pub(super) foreign: HashSet<Place>,
    /// Messages that stayed in the module although they should not: they could not be read, stored, or deleted.
    pub(super) kept_back: usize,
    /// Places whose message did not come out whole. It stays there and is tried again.
    pub(super) unreadable: HashSet<Place>,
    /// Places that the module said to have freed although they still hold their message.
    pub(super) stuck: HashSet<Place>,
    /// The module may have stored messages without announcing them.
    pub(super) unannounced: bool,
    /// Not everything that was to be looked at was: the module was busy, or did not answer.
    pub(super) cut_short: bool,
}

/// What became of a stored message.
enum Fate {
    /// It is durable here, under this identity, and the module says that it is gone there.
    Freed(String),
    /// It is none of ours.
    Foreign,
    /// It is still there and has to be tried again.
    KeptBack,
}

/// What a place was found to hold.
enum Reading {
    /// A message as the module stores it.
    Message(ListedMessage),
    /// No message.
    Nothing,
    /// Nobody knows: the port does not answer.
    Unanswered,
    /// A message that the module did not hand out, or that noise made unreadable.
    Unread,
}

/// What became of a PDU.
enum Kept {
    /// Durable under this identity.
    Durable(String),
    /// A SUBMIT: only what somebody stored there to be sent is one, and the broker never does.
    Foreign,
    /// The store failed.
    Failed,
}

impl Receiver {
    /// Receives what was handed over and what was announced, or with `sweep` everything that is stored. `foreign` are places
    /// of which it is known already that they hold nothing for us.
    pub(super) async fn receive(
        &self,
        sweep: bool,
        places: VecDeque<Place>,
        direct: VecDeque<Direct>,
        foreign: HashSet<Place>,
    ) -> Report {
        let mut report = Report {
            foreign,
            ..Report::default()
        };
        self.take_over(direct, &mut report).await;
        if sweep {
            self.sweep(&mut report).await;
        }
        self.fetch_announced(places, &mut report).await;
        report
    }

    /// Receives what the module did not store. Where the service demands it (27.005 3.4.4), each is acknowledged after it is
    /// durable; the network sends again what is not.
    async fn take_over(&self, direct: VecDeque<Direct>, report: &mut Report) {
        if direct.is_empty() {
            return;
        }
        let acknowledge = match self.at.execute(Lane::Normal, command::message_service_query()).await {
            Ok(response) => reply::message_service(&response.lines).is_ok_and(|service| service == 1),
            Err(_) => false,
        };
        for Direct { pdu, length } in direct {
            let kept = self.keep(&pdu, Some(length), None).await;
            let received = !matches!(kept, Kept::Failed);
            let confirmed = !acknowledge || self.acknowledge(received).await;
            report.unannounced |= !confirmed;
            if let (Kept::Durable(identity), true) = (kept, confirmed) {
                self.release(&identity, None).await;
            }
        }
    }

    async fn acknowledge(&self, received: bool) -> bool {
        let result = self
            .at
            .execute(Lane::Normal, command::acknowledge_message(received))
            .await;
        if matches!(&result, Ok(response) if response.result.is_ok()) {
            return true;
        }
        // It came too late. The module has switched its indications off (27.005 3.4.4) and the network sends again.
        tracing::warn!(
            modem = self.modem,
            "a message was acknowledged too late; the network sends it again"
        );
        if let Err(error) = storages::indicate(&self.at).await {
            tracing::warn!(modem = self.modem, %error, "the modem does not announce new messages any more; they are found by the sweep every ten minutes");
        }
        false
    }

    /// Empties every storage, whatever was announced. They are read place by place: the list of a full storage would be one
    /// reply of tens of kilobytes, of which one lost octet loses everything.
    async fn sweep(&self, report: &mut Report) {
        for storage in storages::SWEPT {
            let state = match storages::select(&self.at, storage).await {
                Selection::Selected(state) => state,
                Selection::Absent => {
                    tracing::debug!(
                        modem = self.modem,
                        storage = storage.as_str(),
                        "the module has no such storage"
                    );
                    continue;
                }
                Selection::Unknown => {
                    tracing::debug!(
                        modem = self.modem,
                        storage = storage.as_str(),
                        "this storage cannot be looked at now"
                    );
                    report.cut_short = true;
                    continue;
                }
            };
            let occupied = storages::occupied(&self.at, &state).await;
            if let Some(occupied) = &occupied {
                self.release_vacated(storage, occupied).await;
            }
            let known = report.foreign.iter().filter(|place| place.storage == storage).count();
            let stored = usize::try_from(state.used).unwrap_or(usize::MAX);
            if stored == known {
                report.storages.push(state);
                continue;
            }
            // Something else is there, and may lie where something foreign was.
            report.foreign.retain(|place| place.storage != storage);
            let count = occupied.as_ref().map_or(stored, Vec::len);
            let indices = occupied.unwrap_or_else(|| storages::all_indices(&state));
            let places = indices.into_iter().map(|index| Place { storage, index }).collect();
            self.fetch(places, count, report).await;
            self.look_back(storage, state, report).await;
        }
    }

    /// What is left in a storage after it was emptied. Something that came meanwhile may have been found in place of something
    /// older, so whatever is left without a reason has to be looked at again, announced or not.
    async fn look_back(&self, storage: Storage, before: StorageUse, report: &mut Report) {
        let Selection::Selected(state) = storages::select(&self.at, storage).await else {
            report.cut_short = true;
            return report.storages.push(before);
        };
        let foreign = report.foreign.iter().filter(|place| place.storage == storage).count();
        report.cut_short |= usize::try_from(state.used).is_ok_and(|used| used > foreign);
        report.storages.push(state);
    }

    /// Fetches announced places, which are in the storage for received messages but for a few.
    async fn fetch_announced(&self, mut places: VecDeque<Place>, report: &mut Report) {
        let mut selected = storages::RECEIVING;
        while let Some(storage) = places.front().map(|place| place.storage) {
            let rest = places
                .iter()
                .position(|place| place.storage != storage)
                .map_or_else(VecDeque::new, |other| places.split_off(other));
            let together = std::mem::replace(&mut places, rest);
            if storage == selected || self.select(storage, report).await {
                selected = storage;
                self.fetch(together, usize::MAX, report).await;
            }
        }
        if selected != storages::RECEIVING {
            self.select(storages::RECEIVING, report).await;
        }
    }

    /// Selects a storage in which something was announced.
    async fn select(&self, storage: Storage, report: &mut Report) -> bool {
        let selected = matches!(storages::select(&self.at, storage).await, Selection::Selected(_));
        report.cut_short |= !selected;
        selected
    }

    /// Reads places of the selected storage one after the other, until so many messages were found, while those already read
    /// are being committed. A place is freed after that, and never twice: the second deletion could hit a message that
    /// arrived after the first and that nobody has read.
    async fn fetch(&self, mut places: VecDeque<Place>, count: usize, report: &mut Report) {
        let mut finishing = FuturesUnordered::new();
        let mut occupied: HashSet<u16> = HashSet::new();
        let mut freed: Vec<(Place, String)> = Vec::new();
        let mut found = 0;
        loop {
            if found >= count {
                places.clear();
            }
            let is_free = places.front().is_some_and(|place| !occupied.contains(&place.index));
            if !is_free || finishing.len() >= COMMITS_AT_ONCE {
                match finishing.next().await {
                    Some((place, fate)) => report.note(place, fate, &mut occupied, &mut freed),
                    None => break,
                }
                continue;
            }
            let Some(place) = places.pop_front() else { continue };
            let read = self.read(place.index);
            tokio::pin!(read);
            let message = loop {
                tokio::select! {
                    message = &mut read => break message,
                    Some((place, fate)) = finishing.next(), if !finishing.is_empty() => {
                        report.note(place, fate, &mut occupied, &mut freed);
                    }
                }
            };
            match message {
                Reading::Message(message) => {
                    found += 1;
                    occupied.insert(place.index);
                    finishing.push(self.finish(place, message));
                }
                Reading::Unread => {
                    report.kept_back += 1;
                    report.unreadable.insert(place);
                }
                Reading::Unanswered => {
                    report.cut_short = true;
                    places.clear();
                }
                Reading::Nothing => {}
            }
        }
        drop(finishing);
        self.release_freed(freed, report).await;
    }

    /// Releases the identities of what was deleted, once its place was seen empty: an equal message that comes later is
    /// another one, and a message that the module says to have deleted and still holds is the same. One question answers it
    /// for an empty storage.
    async fn release_freed(&self, freed: Vec<(Place, String)>, report: &mut Report) {
        let Some((first, _)) = freed.first() else { return };
        let storage = self.storage_name(first.storage);
        let is_empty = match self.at.execute(Lane::Normal, command::message_storage_query()).await {
            Ok(response) => reply::storage_states(&response.lines)
                .is_ok_and(|states| states.first().is_some_and(|state| state.used == 0)),
            Err(_) => false,
        };
        for (place, identity) in freed {
            let gone = is_empty
                || match self.still_holds(place.index, &identity).await {
                    Some(still) => !still,
                    None => {
                        report.cut_short = true;
                        continue;
                    }
                };
            if gone {
                let place = StoredPlace {
                    storage: storage.clone(),
                    index: place.index,
                    unread: false,
                };
                self.release(&identity, Some(place)).await;
            } else {
                tracing::warn!(
                    modem = self.modem,
                    index = place.index,
                    "the module says that it deleted a message and still holds it"
                );
                report.kept_back += 1;
                report.stuck.insert(place);
            }
        }
    }

    /// Whether a place still holds a message that was read and deleted; none if nobody knows. An equal one that nobody has
    /// read is another, unless this module does not change the status of what is read.
    async fn still_holds(&self, index: u16, identity: &str) -> Option<bool> {
        let found = self.look_at(index, identity).await?;
        if found != Some(MessageStatus::Unread) {
            return Some(found.is_some());
        }
        Some(self.look_at(index, identity).await? == Some(MessageStatus::Unread))
    }

    /// The status of this very message at a place, if it is there; none if nobody knows.
    async fn look_at(&self, index: u16, identity: &str) -> Option<Option<MessageStatus>> {
        let response = self.at.execute(Lane::Normal, command::read_message(index)).await.ok()?;
        let Some(found) = reply::read_message(&response.lines) else {
            return is_empty_place(&response).then_some(None);
        };
        if found.is_empty() {
            return Some(None);
        }
        let same = self.identity_of(&found)? == identity;
        Some(same.then_some(found.status.unwrap_or(MessageStatus::Read)))
    }

    /// Reads a place until its message comes out whole: what is damaged on its way here is whole in the module. What is
    /// strange and comes out the same twice is what the module stores, if nothing of it can be missing.
    async fn read(&self, index: u16) -> Reading {
        let mut first_status = None;
        let mut last: Option<ListedMessage> = None;
        for _ in 0..READINGS {
            let response = match self.at.execute(Lane::Normal, command::read_message(index)).await {
                Ok(response) => response,
                Err(error) => {
                    tracing::warn!(modem = self.modem, index, %error, "a message was not read; it stays in the module");
                    return Reading::Unanswered;
                }
            };
            let mut message = match reply::read_message(&response.lines) {
                Some(message) if message.in_text_mode => {
                    self.set_pdu_mode().await;
                    continue;
                }
                Some(message) if message.is_empty() => return Reading::Nothing,
                Some(message) => message,
                None if is_empty_place(&response) => return Reading::Nothing,
                None => continue,
            };
            // To read a message changes its status.
            message.status = *first_status.get_or_insert(message.status);
            let readable = stored::is_readable(&stored::with_service_centre(&message.pdu, message.tpdu_length));
            let is_repeated = last.as_ref() == Some(&message);
            if message.is_complete() && readable || is_repeated && (message.is_complete() || readable) {
                return Reading::Message(message);
            }
            last = Some(message);
        }
        tracing::warn!(
            modem = self.modem,
            index,
            "a message did not come out whole; it stays in the module and is read again"
        );
        Reading::Unread
    }

    /// Sets again what the broker relies on. What a firmware does not know, it refuses as it did when it came up.
    pub(super) async fn restore_settings(&self) {
        tracing::warn!(
            modem = self.modem,
            "the module has restarted; what the broker relies on is set again"
        );
        for command in reliance::commands_but_audio() {
            if let Err(error) = self.at.execute(Lane::Normal, command).await {
                tracing::warn!(modem = self.modem, %error, "a setting that the broker relies on was not set again");
            }
        }
    }

    /// Somebody, or a restart that nobody saw, left the module in text mode.
    async fn set_pdu_mode(&self) {
        tracing::warn!(modem = self.modem, "the module was in text mode; PDU mode is set again");
        if let Err(error) = self.at.execute(Lane::Normal, command::message_format_pdu()).await {
            tracing::warn!(modem = self.modem, %error, "PDU mode could not be set");
        }
    }

    /// What names the message of a reply; none if it cannot be read.
    fn identity_of(&self, message: &ListedMessage) -> Option<String> {
        let hex = stored::with_service_centre(&message.pdu, message.tpdu_length);
        match Pdu::decode_hex(&hex, Direction::FromNetwork) {
            Ok(decoded) => Some(MessageIdentity::new(&self.sim, &decoded).to_string()),
            Err(_) if message.is_complete() => {
                Some(MessageIdentity::of_undecodable(&self.sim, hex.as_bytes()).to_string())
            }
            Err(_) => None,
        }
    }

    /// Makes a message durable, then frees its place. A crash in between shows the message again, and it is recognised by
    /// its identity and its place.
    async fn finish(&self, place: Place, message: ListedMessage) -> (Place, Fate) {
        let stored_place = StoredPlace {
            storage: self.storage_name(place.storage),
            index: place.index,
            // A place that is never freed holds the message from before, whatever its status says.
            unread: message.status == Some(MessageStatus::Unread) && !self.stuck.contains(&place),
        };
        let kept = self.keep(&message.pdu, message.tpdu_length, Some(stored_place)).await;
        let identity = match kept {
            Kept::Durable(identity) => identity,
            Kept::Foreign => return (place, Fate::Foreign),
            Kept::Failed => return (place, Fate::KeptBack),
        };
        let index = place.index;
        match self.at.execute(Lane::Normal, command::delete_message(index)).await {
            Ok(response) if response.result.is_ok() => (place, Fate::Freed(identity)),
            Ok(response) => {
                tracing::warn!(modem = self.modem, index, result = %response.result, "a stored message was not deleted from the module");
                (place, Fate::KeptBack)
            }
            Err(error) => {
                tracing::warn!(modem = self.modem, index, %error, "a stored message was not deleted from the module");
                (place, Fate::KeptBack)
            }
        }
    }

    /// The name of a storage for as long as it exists: another card has storages of its own.
    fn storage_name(&self, storage: Storage) -> String {
        format!("{} {}", storage.as_str(), self.sim)
    }

    async fn release(&self, identity: &str, place: Option<StoredPlace>) {
        if let Err(error) = self.store.release_identity(&self.modem, identity, place).await {
            tracing::warn!(modem = self.modem, %error, "could not note that a message left the modem; the same text sent again may be dropped as a duplicate");
        }
    }

    /// A deletion may have happened although nobody was told so.
    async fn release_vacated(&self, storage: Storage, occupied: &[u16]) {
        let storage = self.storage_name(storage);
        if let Err(error) = self.store.release_vacated(&self.modem, &storage, occupied).await {
            tracing::warn!(modem = self.modem, %error, "could not note which places of a storage are empty; the same text sent again may be dropped as a duplicate");
        }
    }

    /// Makes a PDU durable, whatever it is. `length` is what the module says the TPDU has.
    async fn keep(&self, hex: &str, length: Option<u16>, place: Option<StoredPlace>) -> Kept {
        let hex = stored::with_service_centre(hex, length);
        let decoded = match Pdu::decode_hex(&hex, Direction::FromNetwork) {
            Ok(decoded) => decoded,
            Err(_) if Pdu::decode_hex(&hex, Direction::ToNetwork).is_ok() => return Kept::Foreign,
            Err(error) => {
                let identity = MessageIdentity::of_undecodable(&self.sim, hex.as_bytes()).to_string();
                let kept = self
                    .store
                    .receive_raw(self.undecodable(identity.clone(), place, hex, &error))
                    .await
                    .map(drop);
                return self.kept(identity, kept);
            }
        };
        let identity = MessageIdentity::new(&self.sim, &decoded).to_string();
        let kept = match &decoded.tpdu {
            Tpdu::Deliver(deliver) => self.keep_message(identity.clone(), place, deliver, hex).await,
            Tpdu::StatusReport(report) => self.keep_report(report).await,
            Tpdu::Submit(_) => return Kept::Foreign,
        };
        self.kept(identity, kept)
    }

    /// As much as can be read of what cannot be read as a whole.
    fn undecodable(
        &self,
        identity: String,
        place: Option<StoredPlace>,
        pdu: String,
        error: &DecodeError,
    ) -> Undecodable {
        let partial = match error {
            DecodeError::UserDataTruncated { partial, .. } => Some(&partial.tpdu),
            _ => None,
        };
        Undecodable {
            modem: self.modem.clone(),
            identity,
            place,
            pdu,
            problem: error.to_string(),
            address: partial.map(|tpdu| tpdu.address().to_string()).unwrap_or_default(),
            text: partial.and_then(Tpdu::text).unwrap_or_default(),
        }
    }

    fn kept(&self, identity: String, kept: Result<(), store::StoreError>) -> Kept {
        match kept {
            Ok(()) => Kept::Durable(identity),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    modem = self.modem,
                    error,
                    "a received message stays in the module: it could not be stored"
                );
                Kept::Failed
            }
        }
    }

    async fn keep_message(
        &self,
        identity: String,
        place: Option<StoredPlace>,
        deliver: &Deliver,
        hex: String,
    ) -> Result<(), store::StoreError> {
        let part = IncomingPart {
            modem: self.modem.clone(),
            identity,
            place,
            address: deliver.originating_address.to_string(),
            pdu: hex,
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
        self.store.apply_status_report(report).await.map(drop)
    }
}

impl Report {
    fn note(&mut self, place: Place, fate: Fate, occupied: &mut HashSet<u16>, freed: &mut Vec<(Place, String)>) {
        occupied.remove(&place.index);
        match fate {
            Fate::Freed(identity) => freed.push((place, identity)),
            Fate::Foreign => {
                self.foreign.insert(place);
            }
            Fate::KeptBack => self.kept_back += 1,
        }
    }
}

/// Whether a reply without a message says that there is none: a bare `OK`, or that the index is invalid (27.005 3.2.5, 321).
fn is_empty_place(response: &Response) -> bool {
    const INVALID_INDEX: u16 = 321;
    match &response.result {
        ResultCode::Ok => response.lines.is_empty(),
        ResultCode::Cms(code) => code.number == Some(INVALID_INDEX),
        _ => false,
    }
}

fn time(octets: TimestampOctets) -> Option<Timestamp> {
    octets
        .timestamp()
        .ok()
        .and_then(|time| Timestamp::from_second(time.unix_seconds()).ok())
}
