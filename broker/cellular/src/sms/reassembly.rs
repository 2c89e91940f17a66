//! From the parts of concatenated short messages, in any order, to whole messages (23.040 clause 9.2.3.24.1).
//!
//! Parts belong together when originator, reference and number of parts agree. A reference has 8 or 16 bits and comes
//! round again, so that is not enough: a part also has to fit a slot that is free, and its time stamp has to lie near
//! those of the others. What does not fit starts a set of its own; nothing is dropped and nothing is mixed.

use super::address::Address;
use super::alphabet::{SeptetDecoder, ucs2};
use super::data_coding::{Alphabet, DataCodingScheme};
use super::identity::{Digest, MessageIdentity};
use super::pdu::Deliver;
use super::timestamp::{Timestamp, TimestampOctets};
use super::user_data::{Body, ConcatenationReference, UserData};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Service centres stamp the parts of a message within seconds; a sender in bad coverage may take hours between two.
pub const DEFAULT_MAX_SPAN_SECONDS: u64 = 6 * 60 * 60;

/// Enough for a busy box, and small enough to be kept in memory and written to disk as a whole.
pub const DEFAULT_MAX_SETS: usize = 256;

/// How many parts of messages that are already whole are remembered, so that one that is delivered again is known.
const REMEMBERED_PARTS: usize = 1024;

/// What the parts of one message share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PartKey {
    /// TP-OA.
    pub originator: Address,
    /// The reference with its width.
    pub reference: ConcatenationReference,
    /// How many parts the message has.
    pub part_count: u8,
    /// Whether the parts are 8-bit data, which never mix with text.
    pub is_data: bool,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    key: PartKey,
    part: u8,
    identity: MessageIdentity,
    service_centre_timestamp: TimestampOctets,
    data_coding_scheme: DataCodingScheme,
    user_data: UserData,
}

impl Part {
    /// The part that a received PDU carries; none when it is a message of its own. The identity is the caller's way to
    /// find the PDU again.
    pub fn new(deliver: &Deliver, identity: MessageIdentity) -> Option<Self> {
        let concatenation = deliver.user_data.concatenation()?;
        let scheme = deliver.data_coding_scheme;
        let key = PartKey {
            originator: deliver.originating_address.clone(),
            reference: concatenation.reference,
            part_count: concatenation.part_count,
            is_data: scheme.is_compressed() || scheme.alphabet() == Alphabet::Data8,
        };
        Some(Self {
            key,
            part: concatenation.part,
            identity,
            service_centre_timestamp: deliver.service_centre_timestamp,
            data_coding_scheme: scheme,
            user_data: deliver.user_data.clone(),
        })
    }

    /// What the part shares with the others.
    pub const fn key(&self) -> &PartKey {
        &self.key
    }

    /// The number of the part, from 1.
    pub const fn part(&self) -> u8 {
        self.part
    }

    /// The name that the caller gave.
    pub const fn identity(&self) -> MessageIdentity {
        self.identity
    }

    /// The user data with its coding.
    pub const fn user_data(&self) -> (DataCodingScheme, &UserData) {
        (self.data_coding_scheme, &self.user_data)
    }

    fn unix_seconds(&self) -> Option<i64> {
        self.service_centre_timestamp
            .timestamp()
            .ok()
            .map(Timestamp::unix_seconds)
    }

    /// Whether both are the same part of the same message, delivered twice. How the network delivered it does not count.
    fn is_repetition_of(&self, other: &Self) -> bool {
        let content = |part: &Self| (part.part, part.service_centre_timestamp, part.data_coding_scheme);
        self.key == other.key && content(self) == content(other) && self.user_data == other.user_data
    }

    fn fingerprint(&self) -> MessageIdentity {
        let mut digest = Digest::new("part");
        digest.address(&self.key.originator);
        digest.octets(&self.service_centre_timestamp.0);
        digest.octets(&[self.data_coding_scheme.0]);
        digest.user_data(&self.user_data);
        digest.finish()
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content {
    /// A text, in whatever alphabet.
    Text(String),
    /// 8-bit data, or octets that are compressed.
    Data(Vec<u8>),
}

/// Parts that belong together: all of a message, or those that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageParts {
    key: PartKey,
    parts: BTreeMap<u8, Part>,
}

impl MessageParts {
    /// What the parts share.
    pub const fn key(&self) -> &PartKey {
        &self.key
    }

    /// The parts that came, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.values()
    }

    /// The numbers of the parts that did not come.
    pub fn missing(&self) -> impl Iterator<Item = u8> {
        (1..=self.key.part_count).filter(|part| !self.parts.contains_key(part))
    }

    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.parts.len() == usize::from(self.key.part_count)
    }

    /// The parts decoded as one, so that a character that was cut in two comes out whole. Of an incomplete message it is
    /// what there is, without a mark where something is missing.
    pub fn content(&self) -> Content {
        if self.key.is_data {
            let bodies = self.parts().map(|part| match &part.user_data.body {
                Body::Septets(octets) | Body::Octets(octets) => octets.as_slice(),
            });
            return Content::Data(bodies.collect::<Vec<_>>().concat());
        }
        let mut decoder = PartDecoder::default();
        for part in self.parts() {
            decoder.push(part);
        }
        Content::Text(decoder.finish())
    }

    /// The first and the last time stamp among the parts that have a valid one.
    fn time_range(&self) -> Option<(i64, i64)> {
        let times = || self.parts().filter_map(Part::unix_seconds);
        Some((times().min()?, times().max()?))
    }

    /// How far a part lies from the others in seconds; none when it is too far for the same message. A time stamp that
    /// makes no sense speaks neither for nor against.
    fn distance(&self, part: &Part, max_span_seconds: u64) -> Option<u64> {
        let (Some((first, last)), Some(time)) = (self.time_range(), part.unix_seconds()) else {
            return Some(0);
        };
        let span = first.min(time).abs_diff(last.max(time));
        let distance = if time < first {
            first.abs_diff(time)
        } else {
            time.saturating_sub(last).max(0).unsigned_abs()
        };
        (span <= max_span_seconds).then_some(distance)
    }
}

/// Decodes the bodies of consecutive parts as long as they are in the same alphabet, then starts anew.
#[derive(Default)]
struct PartDecoder {
    text: String,
    previous_part: u8,
    septets: SeptetDecoder,
    ucs2: Vec<u8>,
}

impl PartDecoder {
    fn push(&mut self, part: &Part) {
        let follows = self.previous_part.checked_add(1) == Some(part.part);
        match &part.user_data.body {
            Body::Septets(septets) => {
                if !follows || !self.ucs2.is_empty() {
                    self.flush();
                }
                self.septets.push(part.user_data.shift_tables(), septets);
            }
            Body::Octets(octets) => {
                if !follows || !self.septets.is_empty() {
                    self.flush();
                }
                self.ucs2.extend(octets);
            }
        }
        self.previous_part = part.part;
    }

    fn flush(&mut self) {
        self.text.push_str(&std::mem::take(&mut self.septets).finish());
        self.text.push_str(&ucs2::decode(&std::mem::take(&mut self.ucs2)));
    }

    fn finish(mut self) -> String {
        self.flush();
        self.text
    }
}

/// What became of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insertion {
    /// It was the last one missing.
    Complete(MessageParts),
    /// Others are missing.
    Incomplete {
        /// How many parts of the message are there.
        received: usize,
        /// The oldest incomplete message, which had to make room. It is now the caller's.
        displaced: Option<MessageParts>,
    },
    /// It is there already, or was part of a message that is whole.
    Duplicate,
}

/// Incomplete messages. The value can be written down and read back, or built again from its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassembly {
    max_span_seconds: u64,
    max_sets: usize,
    /// In the order in which their first parts came.
    sets: VecDeque<MessageParts>,
    remembered: VecDeque<MessageIdentity>,
}

impl Default for Reassembly {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_SPAN_SECONDS, DEFAULT_MAX_SETS)
    }
}

impl Reassembly {
    /// `max_span_seconds` bounds how far apart the time stamps of one message may be, `max_sets` how many incomplete
    /// messages are kept.
    pub const fn new(max_span_seconds: u64, max_sets: usize) -> Self {
        Self {
            max_span_seconds,
            max_sets,
            sets: VecDeque::new(),
            remembered: VecDeque::new(),
        }
    }

    /// Adds a part to the message that it belongs to.
    pub fn insert(&mut self, part: Part) -> Insertion {
        if self.is_known(&part) {
            return Insertion::Duplicate;
        }
        let index = self.matching_set(&part);
        let mut set = match index.and_then(|index| self.sets.remove(index)) {
            Some(set) => set,
            None => MessageParts {
                key: part.key.clone(),
                parts: BTreeMap::new(),
            },
        };
        set.parts.insert(part.part, part);
        if set.is_complete() {
            self.remember(&set);
            return Insertion::Complete(set);
        }
        let received = set.parts.len();
        match index {
            Some(index) => {
                self.sets.insert(index, set);
                Insertion::Incomplete {
                    received,
                    displaced: None,
                }
            }
            None => {
                self.sets.push_back(set);
                let is_full = self.sets.len() > self.max_sets.max(1);
                let displaced = if is_full { self.sets.pop_front() } else { None };
                Insertion::Incomplete { received, displaced }
            }
        }
    }

    /// The incomplete messages, the oldest first.
    pub fn incomplete(&self) -> impl Iterator<Item = &MessageParts> {
        self.sets.iter()
    }

    /// Gives up on the messages whose last part is older than an instant, and hands them over. Messages without a valid
    /// time stamp stay until room is needed.
    pub fn take_older_than(&mut self, unix_seconds: i64) -> Vec<MessageParts> {
        let is_old = |set: &MessageParts| set.time_range().is_some_and(|(_, last)| last < unix_seconds);
        let (old, kept) = std::mem::take(&mut self.sets)
            .into_iter()
            .partition::<Vec<_>, _>(is_old);
        self.sets = kept.into();
        old
    }

    fn is_known(&self, part: &Part) -> bool {
        let same_slot = self.sets.iter().filter_map(|set| set.parts.get(&part.part));
        same_slot.into_iter().any(|other| part.is_repetition_of(other)) || self.remembered.contains(&part.fingerprint())
    }

    /// The set with the same key in which the slot is free, the nearest in time; of equally near ones the oldest.
    fn matching_set(&self, part: &Part) -> Option<usize> {
        let sets = self.sets.iter().enumerate();
        sets.filter(|(_, set)| set.key == part.key && !set.parts.contains_key(&part.part))
            .filter_map(|(index, set)| Some((set.distance(part, self.max_span_seconds)?, index)))
            .min()
            .map(|(_, index)| index)
    }

    fn remember(&mut self, set: &MessageParts) {
        self.remembered.extend(set.parts().map(Part::fingerprint));
        let surplus = self.remembered.len().saturating_sub(REMEMBERED_PARTS);
        self.remembered.drain(..surplus);
    }
}
