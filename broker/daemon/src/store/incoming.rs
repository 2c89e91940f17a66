//! Received messages: each PDU once, parts of a concatenated short message together (23.040 9.2.3.24.1).
//!
//! A PDU is made durable first and deleted from the modem afterwards, so a broker that ends in between meets it again. It is
//! recognised by what it is (its identity) together with where it lies; equal messages at different places stay two.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::writer::Writing;
use super::{Store, StoreError, message, stored_time};
use crate::resource::{
    ApplicationPorts, InformationElement, Message, MessageCoding, MessageDirection, MessageState, MessageWaiting,
};

/// Parts of one message are stamped by the service centre within this time. A reference has 8 or 16 bits and comes again:
/// what is further apart belongs to another message.
const CONCATENATION_WINDOW: SignedDuration = SignedDuration::from_hours(6);

/// One PDU that a modem received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingPart {
    /// The modem.
    pub modem: String,
    /// What it is: equal PDUs have equal identities.
    pub identity: String,
    /// Where it lies in the modem; none if the modem handed it over without storing it.
    pub place: Option<StoredPlace>,
    /// Originating address.
    pub address: String,
    /// The PDU in hexadecimal.
    pub pdu: String,
    /// TP-SCTS, where it is a valid time.
    pub service_centre_time: Option<Timestamp>,
    /// Its place in a concatenated short message.
    pub concatenation: Option<Concatenation>,
}

/// Where a PDU lies in a modem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPlace {
    /// The storage, with the card if it is on one.
    pub storage: String,
    /// The index in it.
    pub index: u16,
    /// The modem says that nobody has read it yet. What was received from there before has been read, so this is not it.
    pub unread: bool,
}

/// A place in a concatenated short message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concatenation {
    /// The reference that all parts have.
    pub reference: u16,
    /// Number of this part, from 1.
    pub part: u8,
    /// Number of parts.
    pub part_count: u8,
}

impl Concatenation {
    /// A part of number zero or beyond the last is to be received as if it stood alone (23.040 9.2.3.24.1).
    fn valid(self) -> Option<Self> {
        (self.part >= 1 && self.part <= self.part_count).then_some(self)
    }
}

/// What the parts that arrived so far say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembled {
    /// The text.
    pub text: String,
    /// The octets of a data message.
    pub data: Vec<u8>,
    /// How characters are coded.
    pub coding: Option<MessageCoding>,
    /// Message class.
    pub message_class: Option<u8>,
    /// TP-PID.
    pub protocol_identifier: u8,
    /// A message waiting indication.
    pub message_waiting: Option<MessageWaiting>,
    /// Application ports.
    pub application_ports: Option<ApplicationPorts>,
    /// Other elements of the user data header.
    pub information_elements: Vec<InformationElement>,
    /// Whether the parts cannot be decoded; the PDUs are kept.
    pub raw: bool,
}

/// A PDU that cannot be decoded, or not as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undecodable {
    /// The modem.
    pub modem: String,
    /// What it is: equal ones have equal identities.
    pub identity: String,
    /// Where it lies in the modem; none if the modem handed it over without storing it.
    pub place: Option<StoredPlace>,
    /// The PDU in hexadecimal, or whatever came in its place.
    pub pdu: String,
    /// Why it cannot be decoded.
    pub problem: String,
    /// The originating address, where that much could be read.
    pub address: String,
    /// As much of the text as could be read.
    pub text: String,
}

/// What became of a received PDU. Whatever it is, it is durable and may be deleted from the modem.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// A message of one part.
    New(Message),
    /// The last missing part of a message.
    Completed(Message),
    /// A part of a message that is not complete yet.
    Part(Message),
    /// It was received before.
    Duplicate,
}

impl Store {
    /// Receives one PDU. `assemble` is called with the parts of the message that arrived so far, this one included, as
    /// (number, PDU) in order.
    pub async fn receive_part(
        &self,
        part: IncomingPart,
        assemble: impl FnOnce(&[(u8, String)]) -> Assembled + Send + 'static,
    ) -> Result<Received, StoreError> {
        self.write("receive a message", move |writing| {
            if writing.is_known(&part)? {
                return Ok(Received::Duplicate);
            }
            match part.concatenation.and_then(Concatenation::valid) {
                None => writing.receive_single(&part, assemble),
                Some(concatenation) => writing.receive_concatenated(&part, concatenation, assemble),
            }
        })
        .await
    }

    /// Keeps a PDU that cannot be decoded, so that a person can see it.
    pub async fn receive_raw(&self, undecodable: Undecodable) -> Result<Received, StoreError> {
        let Undecodable {
            modem,
            identity,
            place,
            pdu,
            problem,
            address,
            text,
        } = undecodable;
        let part = IncomingPart {
            modem,
            identity,
            place,
            address,
            pdu,
            service_centre_time: None,
            concatenation: None,
        };
        self.write("receive a message", move |writing| {
            if writing.is_known(&part)? {
                return Ok(Received::Duplicate);
            }
            let mut message = new_message(&part, writing.now, 1);
            message.state = MessageState::Raw;
            message.failure = problem;
            message.text = text;
            writing.insert_message(&mut message)?;
            writing.keep_incoming_part(&part, None, &message.id)?;
            Ok(Received::New(message))
        })
        .await
    }

    /// Says that the modem no longer holds a PDU, so that an equal one is a new one.
    pub async fn release_identity(
        &self,
        modem: &str,
        identity: &str,
        place: Option<StoredPlace>,
    ) -> Result<(), StoreError> {
        let (modem, identity) = (modem.to_owned(), identity.to_owned());
        self.write("release a received part", move |writing| {
            let place = place.as_ref();
            writing
                .connection
                .prepare_cached(
                    "UPDATE incoming_part SET identity = NULL
                     WHERE modem = ?1 AND identity = ?2 AND storage IS ?3 AND place IS ?4",
                )?
                .execute(params![
                    modem,
                    identity,
                    place.map(|place| &place.storage),
                    place.map(|place| place.index)
                ])?;
            Ok(())
        })
        .await
    }

    /// Says which places of a storage hold something. Whatever else was received from there is gone from the modem, also
    /// where nobody was told so.
    pub async fn release_vacated(&self, modem: &str, storage: &str, occupied: &[u16]) -> Result<(), StoreError> {
        let (modem, storage) = (modem.to_owned(), storage.to_owned());
        let occupied = serde_json::to_string(occupied)?;
        self.write("release received parts", move |writing| {
            writing
                .connection
                .prepare_cached(
                    "UPDATE incoming_part SET identity = NULL
                     WHERE modem = ?1 AND storage = ?2 AND identity IS NOT NULL
                       AND place NOT IN (SELECT value FROM json_each(?3))",
                )?
                .execute([modem, storage, occupied])?;
            Ok(())
        })
        .await
    }
}

impl Writing<'_> {
    /// Whether this very PDU was received before and is still there, or comes again because it was not acknowledged.
    ///
    /// At its place an equal one is the same, unless the modem says that nobody has read it: then the other is gone, and
    /// this one has taken its place. Elsewhere an equal one is another, unless the other was handed over and not stored:
    /// the network sends that again, and it may be stored then.
    fn is_known(&self, part: &IncomingPart) -> Result<bool, StoreError> {
        let Some(place) = &part.place else {
            let known = self
                .connection
                .prepare_cached("SELECT 1 FROM incoming_part WHERE modem = ?1 AND identity = ?2 AND storage IS NULL")?
                .exists([&part.modem, &part.identity])?;
            return Ok(known);
        };
        // What else was received from this place is gone: something lies there that is not it.
        self.connection
            .prepare_cached(
                "UPDATE incoming_part SET identity = NULL
                 WHERE modem = ?1 AND storage = ?2 AND place = ?3 AND identity IS NOT NULL AND (?5 OR identity <> ?4)",
            )?
            .execute(params![
                part.modem,
                place.storage,
                place.index,
                part.identity,
                place.unread
            ])?;
        let here = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM incoming_part WHERE modem = ?1 AND identity = ?2 AND storage = ?3 AND place = ?4",
            )?
            .exists(params![part.modem, part.identity, place.storage, place.index])?;
        if here {
            return Ok(true);
        }
        let adopted = self
            .connection
            .prepare_cached(
                "UPDATE incoming_part SET storage = ?3, place = ?4
                 WHERE number = (SELECT min(number) FROM incoming_part
                                 WHERE modem = ?1 AND identity = ?2 AND storage IS NULL)",
            )?
            .execute(params![part.modem, part.identity, place.storage, place.index])?;
        Ok(adopted > 0)
    }

    fn receive_single(
        &self,
        part: &IncomingPart,
        assemble: impl FnOnce(&[(u8, String)]) -> Assembled,
    ) -> Result<Received, StoreError> {
        let mut message = new_message(part, self.now, 1);
        fill(&mut message, vec![(1, part.pdu.clone())], assemble);
        self.insert_message(&mut message)?;
        self.keep_incoming_part(part, None, &message.id)?;
        self.replace_earlier(&message)?;
        Ok(Received::New(message))
    }

    fn receive_concatenated(
        &self,
        part: &IncomingPart,
        concatenation: Concatenation,
        assemble: impl FnOnce(&[(u8, String)]) -> Assembled,
    ) -> Result<Received, StoreError> {
        if let Some(message_id) = repeated_part(self.connection, part, concatenation)? {
            self.keep_incoming_part(part, Some(concatenation), &message_id)?;
            return Ok(Received::Duplicate);
        }
        let open = open_message(self.connection, part, concatenation, self.now)?;
        let is_new = open.is_none();
        let mut message = match open {
            Some(id) => message::require(&self.reading(), &id)?,
            None => new_message(part, self.now, concatenation.part_count.into()),
        };
        self.keep_incoming_part(part, Some(concatenation), &message.id)?;
        let parts = parts_of(self.connection, &message.id)?;
        message.update_time = self.now;
        fill(&mut message, parts, assemble);
        if is_new {
            self.insert_message(&mut message)?;
        } else {
            self.index_text(&message.id, &message.text)?;
            self.save_message(&message)?;
        }
        if message.state == MessageState::Received {
            self.replace_earlier(&message)?;
        }
        Ok(match message.state {
            MessageState::Incomplete => Received::Part(message),
            _ if is_new => Received::New(message),
            _ => Received::Completed(message),
        })
    }

    fn keep_incoming_part(
        &self,
        part: &IncomingPart,
        concatenation: Option<Concatenation>,
        message_id: &str,
    ) -> Result<(), StoreError> {
        let place = part.place.as_ref();
        self.connection
            .prepare_cached(
                "INSERT INTO incoming_part
                     (modem, identity, message_id, address, reference, part_count, part, service_centre_time, receive_time, pdu,
                      storage, place)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                part.modem,
                part.identity,
                message_id,
                part.address,
                concatenation.map(|concatenation| concatenation.reference),
                concatenation.map(|concatenation| concatenation.part_count),
                concatenation.map(|concatenation| concatenation.part),
                part.service_centre_time.map(stored_time),
                stored_time(self.now),
                part.pdu,
                place.map(|place| &place.storage),
                place.map(|place| place.index),
            ])?;
        Ok(())
    }
}

fn new_message(part: &IncomingPart, now: Timestamp, part_count: u32) -> Message {
    Message {
        id: Uuid::new_v4().to_string(),
        modem: part.modem.clone(),
        direction: MessageDirection::Incoming,
        state: MessageState::Received,
        address: part.address.clone(),
        part_count,
        parts_done: 1,
        create_time: now,
        update_time: now,
        service_centre_time: part.service_centre_time,
        pdus: vec![part.pdu.clone()],
        ..Message::default()
    }
}

/// Sets what follows from the parts that arrived.
fn fill(message: &mut Message, parts: Vec<(u8, String)>, assemble: impl FnOnce(&[(u8, String)]) -> Assembled) {
    let assembled = assemble(&parts);
    message.parts_done = parts.len() as u32;
    message.state = if message.parts_done < message.part_count {
        MessageState::Incomplete
    } else if assembled.raw {
        MessageState::Raw
    } else {
        MessageState::Received
    };
    message.text = assembled.text;
    message.data = assembled.data;
    message.coding = assembled.coding;
    message.message_class = assembled.message_class;
    message.protocol_identifier = assembled.protocol_identifier;
    message.message_waiting = assembled.message_waiting;
    message.application_ports = assembled.application_ports;
    message.information_elements = assembled.information_elements;
    // The part count is one octet.
    let last = u8::try_from(message.part_count).unwrap_or(u8::MAX);
    message.missing_parts = (1..=last)
        .filter(|number| parts.iter().all(|(part, _)| part != number))
        .collect();
    message.pdus = parts.into_iter().map(|(_, pdu)| pdu).collect();
}

/// The message that has this very part already. The service centre sends a part again when the modem's acknowledgement
/// was lost; it is the same to the octet, time stamp included, but lies elsewhere in the modem's storage.
fn repeated_part(
    connection: &Connection,
    part: &IncomingPart,
    concatenation: Concatenation,
) -> Result<Option<String>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT message_id FROM incoming_part
             WHERE modem = ?1 AND address = ?2 AND reference = ?3 AND part_count = ?4 AND part = ?5 AND pdu = ?6
               AND message_id IS NOT NULL",
        )?
        .query_row(
            params![
                part.modem,
                part.address,
                concatenation.reference,
                concatenation.part_count,
                concatenation.part,
                part.pdu
            ],
            |row| row.get(0),
        )
        .optional()?;
    Ok(found)
}

/// The incomplete message that this part belongs to: same reference, its place free, its parts stamped at about the same
/// time. Of several, the one that is nearest in time.
fn open_message(
    connection: &Connection,
    part: &IncomingPart,
    concatenation: Concatenation,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let time = stored_time(part.service_centre_time.unwrap_or(now));
    let window = i64::try_from(CONCATENATION_WINDOW.as_micros()).unwrap_or(i64::MAX);
    let found = connection
        .prepare_cached(
            "SELECT message_id,
                    max(abs(coalesce(incoming_part.service_centre_time, incoming_part.receive_time) - ?5)) AS distance
             FROM incoming_part JOIN message ON message.id = incoming_part.message_id
             WHERE incoming_part.modem = ?1 AND incoming_part.address = ?2 AND reference = ?3 AND part_count = ?4
               AND message.state = 'incomplete'
             GROUP BY message_id
             HAVING distance <= ?6 AND sum(part = ?7) = 0
             ORDER BY distance LIMIT 1",
        )?
        .query_row(
            params![
                part.modem,
                part.address,
                concatenation.reference,
                concatenation.part_count,
                time,
                window,
                concatenation.part
            ],
            |row| row.get(0),
        )
        .optional()?;
    Ok(found)
}

/// The parts of a message in order, each once.
fn parts_of(connection: &Connection, message_id: &str) -> Result<Vec<(u8, String)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT part, pdu FROM incoming_part WHERE message_id = ?1 AND part IS NOT NULL
         GROUP BY part HAVING number = min(number) ORDER BY part",
    )?;
    let rows = statement.query_map([message_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
