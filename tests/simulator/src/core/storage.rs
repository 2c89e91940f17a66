//! The message storages of the module (27.005 clause 3.2.3).

use std::collections::BTreeMap;

/// `<stat>` of 27.005 clause 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageStatus {
    Unread = 0,
    Read = 1,
    Unsent = 2,
    Sent = 3,
}

impl MessageStatus {
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Unread, Self::Read, Self::Unsent, Self::Sent]
            .get(usize::from(number))
            .copied()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unread => "REC UNREAD",
            Self::Read => "REC READ",
            Self::Unsent => "STO UNSENT",
            Self::Sent => "STO SENT",
        }
    }
}

/// A stored message.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) pdu: Vec<u8>,
    pub(crate) status: MessageStatus,
    /// Its number in the books, if the network delivered it.
    pub(crate) delivery: Option<u64>,
}

/// One storage.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    pub(crate) name: &'static str,
    pub(crate) capacity: usize,
    pub(crate) slots: BTreeMap<usize, Stored>,
}

impl Storage {
    pub(crate) fn new(name: &'static str, capacity: usize) -> Self {
        Self {
            name,
            capacity,
            slots: BTreeMap::new(),
        }
    }

    /// Stores a message at the lowest free index.
    pub(crate) fn store(&mut self, message: Stored) -> Option<usize> {
        let index = (0..self.capacity).find(|index| !self.slots.contains_key(index))?;
        if self.slots.len() >= self.capacity {
            return None;
        }
        self.slots.insert(index, message);
        Some(index)
    }
}
