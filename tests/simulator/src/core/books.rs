//! The ledger of the virtual network: what it accepted, delivered and connected, and what the host asked the module.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::usb::Function;

/// Records kept per kind; older ones leave and are counted.
const LIMIT: usize = 65_536;

/// A bounded list that counts what it forgot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: serde::de::DeserializeOwned"))]
pub struct Ledger<T> {
    /// The newest records, oldest first.
    pub records: VecDeque<T>,
    /// How many older ones were forgotten.
    pub forgotten: u64,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self {
            records: VecDeque::new(),
            forgotten: 0,
        }
    }
}

impl<T> Ledger<T> {
    pub(crate) fn push(&mut self, record: T) {
        if self.records.len() == LIMIT {
            self.records.pop_front();
            self.forgotten += 1;
        }
        self.records.push_back(record);
    }

    /// How many records there ever were.
    pub fn total(&self) -> u64 {
        self.forgotten + self.records.len() as u64
    }
}

/// A message that the network accepted from the modem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// Counts from 1 over the life of the network.
    pub number: u64,
    /// Milliseconds since the start of the simulator.
    pub at_ms: u64,
    /// TP-MR, as the module assigned it.
    pub reference: u8,
    /// TP-DA.
    pub destination: String,
    /// The whole PDU, with the module's TP-MR, upper-case hexadecimal.
    pub pdu: String,
    /// The text, where it has one; of one part if it is a part.
    pub text: Option<String>,
    /// Concatenation: reference, number of parts, this part.
    pub concatenation: Option<(u16, u8, u8)>,
    /// TP-SRR: a status report was asked for.
    pub report_requested: bool,
    /// TP-ST of the report that was sent back.
    pub report: Option<u8>,
}

/// What became of a message for the modem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The network has it and could not deliver it yet.
    Waiting,
    /// Stored in the module.
    Stored {
        /// `ME` or `SM`.
        storage: String,
        /// Index there.
        index: usize,
    },
    /// Handed to the host with `+CMT` or `+CDS`.
    Routed,
    /// The host acknowledged it with `+CNMA`.
    Acknowledged,
    /// The host read it with `+CMGR` or `+CMGL`.
    Read,
    /// The host deleted it.
    Deleted,
}

/// A message from the network to the modem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Counts from 1 over the life of the network.
    pub id: u64,
    /// The PDU, upper-case hexadecimal.
    pub pdu: String,
    /// Originating address, where it is a DELIVER.
    pub from: String,
    /// Every step with its time in milliseconds since the start.
    pub steps: Vec<(u64, Fate)>,
}

impl Delivery {
    /// The latest step.
    pub fn fate(&self) -> &Fate {
        self.steps.last().map_or(&Fate::Waiting, |(_, fate)| fate)
    }
}

/// Who started a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The host dialled.
    Outgoing,
    /// The network rang.
    Incoming,
}

/// A call with its times in milliseconds since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Counts from 1 over the life of the network.
    pub id: u64,
    /// Who started it.
    pub direction: Direction,
    /// The other party.
    pub number: String,
    /// Start.
    pub started_ms: u64,
    /// Answer.
    pub answered_ms: Option<u64>,
    /// End.
    pub ended_ms: Option<u64>,
    /// Why it ended.
    pub cause: Option<String>,
    /// How often it rang.
    pub rings: u32,
    /// Tones that the host sent.
    pub dtmf: String,
    /// What crossed the audio port, once the flow ended.
    pub audio: Option<AudioAccount>,
}

/// What crossed the audio port during one flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioAccount {
    /// Bytes offered to the host.
    pub downlink_bytes: u64,
    /// Bytes of these that the port could not take because nobody read.
    pub downlink_dropped_bytes: u64,
    /// How often that began: a host cannot know of it.
    #[serde(default)]
    pub downlink_gaps: u64,
    /// How long the module's clock stood still, because the machine did that runs the virtual one.
    #[serde(default)]
    pub standstill_us: u64,
    /// Bytes that the host wrote.
    pub uplink_bytes: u64,
    /// Whole samples in the uplink that were not zero.
    pub uplink_nonzero_samples: u64,
    /// Steps of a counter signal (`s[n] = n mod 65536`) that came in their order.
    pub counter_steps: u64,
    /// Breaks in that order, where a counter signal was seen at all.
    pub counter_breaks: u64,
    /// When the first sample of the downlink was spoken, in microseconds of Unix time.
    #[serde(default)]
    pub downlink_begin_us: u64,
    /// When loud audio of the host (1000 and more) began after 20 ms without, likewise.
    #[serde(default)]
    pub onsets_us: Vec<u64>,
    /// When the last loud sample before such a pause arrived, likewise.
    #[serde(default)]
    pub offsets_us: Vec<u64>,
}

impl AudioAccount {
    /// A call may have several flows, one before and one after the answer.
    pub(crate) fn add(&mut self, other: &Self) {
        self.downlink_bytes += other.downlink_bytes;
        self.downlink_dropped_bytes += other.downlink_dropped_bytes;
        self.downlink_gaps += other.downlink_gaps;
        self.standstill_us += other.standstill_us;
        self.uplink_bytes += other.uplink_bytes;
        self.uplink_nonzero_samples += other.uplink_nonzero_samples;
        self.counter_steps += other.counter_steps;
        self.counter_breaks += other.counter_breaks;
        self.downlink_begin_us = other.downlink_begin_us;
        self.onsets_us.extend(&other.onsets_us);
        self.offsets_us.extend(&other.offsets_us);
    }
}

/// A command line of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// Where it came in.
    pub port: Function,
    /// The line as it came.
    pub line: String,
}

/// A data session that the host asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// Version of IP.
    pub family: u8,
    /// Access point name; empty for the one of the profile or of the attach.
    pub apn: String,
    /// The module's profile.
    pub profile: Option<u8>,
    /// PAP is 1, CHAP 2, either 3.
    pub authentication: Option<u8>,
    /// User name.
    pub user: String,
    /// Layer and number of the reason with which it was refused.
    pub refused: Option<(u16, u16)>,
}

/// Why a data call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataCallEnd {
    /// The network refused what the host asked for, by layer and number of a verbose call end reason.
    Refused {
        /// 2 the modem, 3 the call management, 6 3GPP.
        layer: u16,
        /// Its number there.
        number: u16,
    },
    /// The network ended it, with its reason.
    Network {
        /// As above.
        layer: u16,
        /// As above.
        number: u16,
    },
    /// The network, or the module, was gone.
    CarrierLost,
    /// The host terminated the link (LCP).
    Terminated,
    /// The host did not answer, or agreed to nothing.
    Unanswered,
    /// `ATH`
    HungUp,
    /// The host closed the port.
    PortClosed,
    /// `AT+CGACT` or `AT+CGATT` on the other port.
    Deactivated,
}

/// A data call of the modem port: PPP from `CONNECT` to `NO CARRIER`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataCallRecord {
    /// Milliseconds since the start of the simulator.
    pub at_ms: u64,
    /// The context that was dialled.
    pub context: u32,
    /// End.
    pub ended_ms: Option<u64>,
    /// Why it ended.
    pub end: Option<DataCallEnd>,
    /// IP packets of the host.
    pub uplink_packets: u64,
    /// Their octets.
    pub uplink_octets: u64,
    /// IP packets for the host.
    pub downlink_packets: u64,
    /// Their octets.
    pub downlink_octets: u64,
    /// Frames of the host that were lost to noise, known at the end.
    pub damaged_frames: u64,
}

/// What the DHCP server was asked, and what it answered, as message types of RFC 2132 9.6.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// By the client.
    pub asked: u8,
    /// By the server.
    pub answered: u8,
    /// The client had the address already.
    pub is_renewal: bool,
}

/// All of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Books {
    /// Accepted from the modem, in order.
    pub submits: Ledger<Submit>,
    /// For the modem, in order.
    pub deliveries: Ledger<Delivery>,
    /// In order of their start.
    pub calls: Ledger<CallRecord>,
    /// What the host sent on the AT ports.
    pub commands: Ledger<CommandRecord>,
    /// How often the ports vanished.
    pub detachments: u64,
    /// How often the host opened each port. Interface 0, diagnostics, is not to be opened.
    #[serde(default)]
    pub openings: BTreeMap<Function, u64>,
    /// Data sessions that the host asked for, in order.
    #[serde(default)]
    pub sessions: Ledger<SessionRecord>,
    /// Data calls of the modem port, in order.
    #[serde(default)]
    pub data_calls: Ledger<DataCallRecord>,
    /// What the DHCP server did, in order.
    #[serde(default)]
    pub leases: Ledger<LeaseRecord>,
    /// How often the host asked the router what it advertises.
    #[serde(default)]
    pub solicitations: u64,
}

impl Books {
    pub(crate) fn delivery_step(&mut self, id: u64, at_ms: u64, fate: Fate) {
        if let Some(delivery) = self
            .deliveries
            .records
            .iter_mut()
            .rev()
            .find(|delivery| delivery.id == id)
        {
            delivery.steps.push((at_ms, fate));
        }
    }

    pub(crate) fn call(&mut self, id: u64) -> Option<&mut CallRecord> {
        self.calls.records.iter_mut().rev().find(|call| call.id == id)
    }
}
