//! Wireless messaging (WMS): the same storages and the same network as those of the AT ports, by other numbers.

use std::collections::BTreeSet;

use super::frame::{Request, Tlv};
use super::{INVALID_INDEX, INVALID_QMI_COMMAND, MISSING_ARGUMENT, NO_SERVICE_CENTRE, NOT_PROVISIONED, Refused, WMS};
use super::{WMS_ENCODING, refused};
use crate::core::Modem;
use crate::core::storage::{MessageStatus, Storage};

/// PDUs of GSM and UMTS, the service centre before them.
const POINT_TO_POINT: u8 = 6;

/// Storages by their numbers.
const STORAGES: [(u8, &str); 2] = [(0, "SM"), (1, "ME")];

/// Who listens.
#[derive(Debug, Clone, Default)]
pub(super) struct Messaging {
    listeners: BTreeSet<u8>,
}

impl Messaging {
    pub(super) fn client_gone(&mut self, client: u8) {
        self.listeners.remove(&client);
    }

    pub(super) fn has_listeners(&self) -> bool {
        !self.listeners.is_empty()
    }
}

/// The tag of a message: read, unread, sent, not sent.
fn tag_of(status: MessageStatus) -> u8 {
    match status {
        MessageStatus::Read => 0,
        MessageStatus::Unread => 1,
        MessageStatus::Sent => 2,
        MessageStatus::Unsent => 3,
    }
}

fn counted(octets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(octets.len()).unwrap_or(u16::MAX);
    [&length.to_le_bytes()[..], octets].concat()
}

impl Modem {
    pub(super) fn wireless_messaging(&mut self, request: &Request) -> Result<Vec<Tlv>, Refused> {
        // Listening and the routes need no card, messages do.
        if matches!(request.message, 0x0020 | 0x0022 | 0x0024 | 0x0031) && !self.sim.is_ready() {
            return Err(refused(NOT_PROVISIONED));
        }
        match request.message {
            // Set Event Report
            0x0001 => {
                let listeners = &mut self.qmi.messaging.listeners;
                match request.octet(0x10) {
                    Some(0) => drop(listeners.remove(&request.client)),
                    Some(_) => drop(listeners.insert(request.client)),
                    None => {}
                }
                Ok(Vec::new())
            }
            0x0020 => self.raw_send(request),
            0x0022 => self.raw_read(request),
            0x0024 => self.delete_stored(request),
            // Get Message Protocol: that of GSM and UMTS
            0x0030 => Ok(vec![(0x01, vec![1])]),
            0x0031 => self.list_stored(request),
            // Set Routes: where messages of class 0, 1, 2 and none are stored
            0x0032 => {
                let routes = request.value(0x01).ok_or_else(|| refused(MISSING_ARGUMENT))?;
                let (routes, _) = routes.get(2..).unwrap_or_default().as_chunks::<4>();
                let storage = routes.iter().find(|[kind, class, ..]| (*kind, *class) == (0, 4));
                let storage = storage.or(routes.first()).map(|[_, _, storage, _]| *storage);
                let position = self.storage_position(storage.ok_or_else(|| refused(MISSING_ARGUMENT))?)?;
                self.messages.memories[2] = position;
                Ok(Vec::new())
            }
            // Get Routes: messages that the network delivers are stored, and that is told.
            0x0033 => {
                const STORE_AND_NOTIFY: u8 = 1;
                let storage = self.messages.storages[self.messages.memories[2]].name;
                let storage = STORAGES.iter().find(|(_, name)| *name == storage);
                let storage = storage.map_or(0, |(number, _)| *number);
                let mut routes = 5_u16.to_le_bytes().to_vec();
                for class in 0..5 {
                    let storage = if class == 2 { 0 } else { storage };
                    routes.extend([0, class, storage, STORE_AND_NOTIFY]);
                }
                Ok(vec![(0x01, routes)])
            }
            _ => Err(refused(INVALID_QMI_COMMAND)),
        }
    }

    fn storage_position(&self, number: u8) -> Result<usize, Refused> {
        let known = STORAGES.iter().find(|(known, _)| *known == number);
        known
            .and_then(|(_, name)| self.messages.position(name))
            .ok_or_else(|| refused(MISSING_ARGUMENT))
    }

    fn named_storage(&self, request: &Request) -> Result<(usize, Option<usize>), Refused> {
        let place = request.value(0x01).ok_or_else(|| refused(MISSING_ARGUMENT))?;
        let number = place.first().ok_or_else(|| refused(MISSING_ARGUMENT))?;
        let index = place.get(1..5).and_then(|index| index.try_into().ok());
        let index = index.map(|index| u32::from_le_bytes(index) as usize);
        Ok((self.storage_position(*number)?, index))
    }

    fn raw_send(&mut self, request: &Request) -> Result<Vec<Tlv>, Refused> {
        let Some([POINT_TO_POINT, _, _, pdu @ ..]) = request.value(0x01) else {
            return Err(refused(MISSING_ARGUMENT));
        };
        let pdu = pdu.to_vec();
        match self.submit(&pdu, None) {
            Ok(reference) => Ok(vec![(0x01, u16::from(reference).to_le_bytes().to_vec())]),
            Err(330) => Err(refused(NO_SERVICE_CENTRE)),
            Err(304) => Err(refused(WMS_ENCODING)),
            // RP cause 38, network out of order (24.011 annex E-2), and no TP cause.
            Err(_) => Err((super::WMS_CAUSE_CODE, vec![(0x12, vec![38, 0, 0xff])])),
        }
    }

    fn raw_read(&mut self, request: &Request) -> Result<Vec<Tlv>, Refused> {
        let (position, index) = self.named_storage(request)?;
        let index = index.ok_or_else(|| refused(MISSING_ARGUMENT))?;
        let stored = self.messages.storages[position].slots.get(&index);
        let stored = stored.ok_or_else(|| refused(INVALID_INDEX))?;
        let message = [&[tag_of(stored.status), POINT_TO_POINT][..], &counted(&stored.pdu)].concat();
        self.mark_read_in(position, index);
        Ok(vec![(0x01, message)])
    }

    fn delete_stored(&mut self, request: &Request) -> Result<Vec<Tlv>, Refused> {
        let (position, _) = self.named_storage(request)?;
        let fits = |storage: &Storage| -> Vec<usize> {
            let tag = request.octet(0x11);
            let index = request.number(0x10).map(|index| index as usize);
            let slots = storage.slots.iter();
            slots
                .filter(|(at, stored)| {
                    index.is_none_or(|index| index == **at) && tag.is_none_or(|tag| tag == tag_of(stored.status))
                })
                .map(|(at, _)| *at)
                .collect()
        };
        let indices = fits(&self.messages.storages[position]);
        if indices.is_empty() && request.number(0x10).is_some() {
            return Err(refused(INVALID_INDEX));
        }
        self.delete_messages_in(position, &indices);
        Ok(Vec::new())
    }

    fn list_stored(&mut self, request: &Request) -> Result<Vec<Tlv>, Refused> {
        let (position, _) = self.named_storage(request)?;
        let wanted = request.octet(0x11);
        let stored: Vec<(u32, u8)> = self.messages.storages[position]
            .slots
            .iter()
            .map(|(at, stored)| (u32::try_from(*at).unwrap_or(u32::MAX), tag_of(stored.status)))
            .filter(|(_, tag)| wanted.is_none_or(|wanted| wanted == *tag))
            .collect();
        let mut list = u32::try_from(stored.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
        for (at, tag) in stored {
            list.extend(at.to_le_bytes());
            list.push(tag);
        }
        Ok(vec![(0x01, list)])
    }

    /// A message from the network was stored.
    pub(in crate::core) fn qmi_follows_message(&mut self, storage: &str, index: usize) {
        let listeners: Vec<u8> = self.qmi.messaging.listeners.iter().copied().collect();
        let Some((number, _)) = STORAGES.iter().find(|(_, name)| *name == storage) else {
            return;
        };
        let mut place = vec![*number];
        place.extend(u32::try_from(index).unwrap_or(u32::MAX).to_le_bytes());
        // The mode is that of GSM and UMTS.
        self.indicate(WMS, &listeners, 0x0001, &[(0x10, place), (0x12, vec![1])]);
    }
}
