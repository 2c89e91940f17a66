//! Replies about short messages (27.005).

use super::super::line::{Arguments, arguments_after, is_hex};
use super::{UnexpectedReply, last};

/// One of the three preferred storages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageState {
    /// `<mem>`: `ME`, `SM`, …; the reply to a setting leaves it out.
    pub storage: Option<String>,
    /// Messages in it.
    pub used: u16,
    /// Messages that fit.
    pub capacity: u16,
}

/// `+CPMS?` and `+CPMS=…` (27.005 3.2.2): for reading and deleting, for writing and sending, for receiving. Modems answer
/// for as many as they were given.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn storage_states(lines: &[impl AsRef<str>]) -> Result<Vec<StorageState>, UnexpectedReply> {
    last(lines, "+CPMS", |arguments| {
        let named = arguments.at(0).number::<u16>().is_none();
        let width = if named { 3 } else { 2 };
        let fields: Vec<_> = arguments.iter().collect();
        let states: Option<Vec<_>> = fields
            .chunks_exact(width)
            .map(|fields| {
                let (name, numbers) = fields.split_at(width - 2);
                Some(StorageState {
                    storage: name.first().and_then(|name| name.non_empty()).map(str::to_owned),
                    used: numbers[0].number()?,
                    capacity: numbers[1].number()?,
                })
            })
            .collect();
        states.filter(|states| !states.is_empty())
    })
}

/// `+CPMS=?`: the storages that each of the three may be.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn storages(lines: &[impl AsRef<str>]) -> Result<Vec<Vec<String>>, UnexpectedReply> {
    last(lines, "+CPMS", |arguments| {
        // One old modem puts another pair of parentheses around the whole list.
        let nested = (arguments.len() == 1).then(|| arguments.at(0).group()).flatten();
        let groups = nested.filter(|inner| inner.at(0).raw().starts_with('('));
        let groups = groups.as_ref().unwrap_or(arguments);
        Some(groups.iter().map(|group| group.strings()).collect())
    })
}

/// `<stat>` of a stored message (27.005 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageStatus {
    /// 0: received, unread.
    Unread,
    /// 1: received, read.
    Read,
    /// 2: stored, unsent.
    Unsent,
    /// 3: stored, sent.
    Sent,
}

impl MessageStatus {
    fn read(arguments: &Arguments<'_>, position: usize) -> Option<Self> {
        match arguments.at(position).text() {
            "0" | "REC UNREAD" => Some(Self::Unread),
            "1" | "REC READ" => Some(Self::Read),
            "2" | "STO UNSENT" => Some(Self::Unsent),
            "3" | "STO SENT" => Some(Self::Sent),
            _ => None,
        }
    }
}

/// A stored message in PDU mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedMessage {
    /// Where it is; `None` when read by its index.
    pub index: Option<u16>,
    /// `None` if the modem left it out, which one is known to do for status reports.
    pub status: Option<MessageStatus>,
    /// `<length>` of the TPDU in octets, without the service centre address.
    pub tpdu_length: Option<u16>,
    /// The PDU in hexadecimal, service centre address first. Empty if the storage holds an empty message.
    pub pdu: String,
}

impl ListedMessage {
    /// True if the PDU has the length that its header announces.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.tpdu_length.is_none_or(|length| pdu_fits(length, &self.pdu))
    }
}

/// `+CMGL` in PDU mode (27.005 3.4.2). Messages without a readable index are left out: they could not be deleted.
#[must_use]
pub fn listed_messages(lines: &[impl AsRef<str>]) -> Vec<ListedMessage> {
    let mut messages: Vec<ListedMessage> = Vec::new();
    for line in lines {
        let line = line.as_ref();
        match arguments_after(line, "+CMGL") {
            Some(arguments) => {
                let Some(index) = arguments.at(0).number() else {
                    continue;
                };
                messages.push(ListedMessage {
                    index: Some(index),
                    status: MessageStatus::read(&arguments, 1),
                    // `<alpha>` stands before the length, and some modems leave out even its comma.
                    tpdu_length: last_number(&arguments, 2),
                    pdu: String::new(),
                });
            }
            None => append_body(messages.last_mut(), line),
        }
    }
    messages
}

/// `+CMGR` in PDU mode (27.005 3.4.3). `None` if there is no message at that index, which many modems answer with a bare
/// `OK`.
#[must_use]
pub fn read_message(lines: &[impl AsRef<str>]) -> Option<ListedMessage> {
    let mut message: Option<ListedMessage> = None;
    for line in lines {
        let line = line.as_ref();
        match arguments_after(line, "+CMGR") {
            Some(arguments) => {
                // The PDU may stand in the line of its header.
                let tail = line.rsplit(' ').next().filter(|tail| tail.len() >= 18 && is_hex(tail));
                let header = tail.map_or(line, |tail| line[..line.len() - tail.len()].trim_end());
                let header = arguments_after(header, "+CMGR").unwrap_or(arguments);
                message = Some(ListedMessage {
                    index: None,
                    status: MessageStatus::read(&header, 0),
                    tpdu_length: last_number(&header, 1),
                    pdu: tail.unwrap_or_default().to_ascii_uppercase(),
                });
            }
            None => append_body(message.as_mut(), line),
        }
    }
    message
}

fn append_body(message: Option<&mut ListedMessage>, line: &str) {
    // A quote behind the last digit was seen in the field.
    let line = line.trim().trim_end_matches('"');
    if let Some(message) = message
        && message.pdu.is_empty()
        && is_hex(line)
    {
        message.pdu = line.to_ascii_uppercase();
    }
}

fn last_number(arguments: &Arguments<'_>, from: usize) -> Option<u16> {
    arguments.iter().skip(from).last().and_then(|length| length.number())
}

/// True if `pdu` has a TPDU of `tpdu_length` octets behind its service centre address (27.005 3.1 `<length>`).
pub(in crate::at) fn pdu_fits(tpdu_length: u16, pdu: &str) -> bool {
    let service_centre = pdu.get(..2).and_then(|octet| usize::from_str_radix(octet, 16).ok());
    service_centre.is_some_and(|octets| pdu.len() == 2 * (1 + octets + usize::from(tpdu_length)))
}

/// `+CMGS: <mr>` (27.005 3.5.1): the message reference that the network's reports will carry.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn message_reference(lines: &[impl AsRef<str>]) -> Result<u8, UnexpectedReply> {
    last(lines, "+CMGS", |arguments| arguments.at(0).number())
}

/// `+CNMI?` (27.005 3.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewMessageIndication {
    /// `<mode>`: what happens while the port is in use.
    pub mode: u8,
    /// `<mt>`: received messages.
    pub deliver: u8,
    /// `<bm>`: cell broadcasts.
    pub broadcast: u8,
    /// `<ds>`: status reports.
    pub status_report: u8,
    /// `<bfr>`: what was buffered meanwhile.
    pub buffer: u8,
}

/// `+CNMI?`.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn new_message_indication(lines: &[impl AsRef<str>]) -> Result<NewMessageIndication, UnexpectedReply> {
    last(lines, "+CNMI", |arguments| {
        let field = |position: usize| arguments.at(position).number();
        Some(NewMessageIndication {
            mode: field(0)?,
            deliver: field(1)?,
            broadcast: field(2)?,
            status_report: field(3)?,
            buffer: field(4)?,
        })
    })
}

/// `+CSCA?` (27.005 3.3.1): the service centre address.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn service_centre(lines: &[impl AsRef<str>]) -> Result<Option<String>, UnexpectedReply> {
    last(lines, "+CSCA", |arguments| {
        Some(arguments.at(0).non_empty().map(str::to_owned))
    })
}

/// `+CSMS?` (27.005 3.2.1): `<service>`; 1 demands `AT+CNMA`.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn message_service(lines: &[impl AsRef<str>]) -> Result<u8, UnexpectedReply> {
    last(lines, "+CSMS", |arguments| arguments.at(0).number())
}

/// `+CMGD=?` (27.005 3.5.4): the indices that are in use. Some modules list the indices that could be, as a range; whoever
/// reads this compares their number with what `+CPMS` says is stored.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn stored_indices(lines: &[impl AsRef<str>]) -> Result<Vec<u16>, UnexpectedReply> {
    last(lines, "+CMGD", |arguments| {
        let listed = arguments.at(0).group()?;
        listed
            .iter()
            .filter(|index| !index.text().is_empty())
            .map(|index| index.number())
            .collect()
    })
}
