//! Replies about short messages (27.005).

use super::super::line::{Argument, Arguments, arguments_after, is_hex};
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
    /// The PDU in hexadecimal, service centre address first. Empty if it did not come.
    pub pdu: String,
    /// The header is one of text mode (27.005 3.4.3): the module has left PDU mode, and what follows is no PDU.
    pub in_text_mode: bool,
}

impl ListedMessage {
    /// True if the PDU has the length that its header announces. Some modules leave the service centre address out, and
    /// some count it. Without a length nobody knows.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let fits = |length| pdu_fits(length, &self.pdu) || self.pdu.len() == 2 * usize::from(length);
        !self.is_empty() && self.tpdu_length.is_some_and(fits)
    }

    /// True if the place is empty: some modules answer it with a length of 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tpdu_length == Some(0) && !self.in_text_mode && self.pdu.len() <= 2
    }

    /// Reads a header whose `<stat>` is at `status`.
    fn of_header(index: Option<u16>, header: &Arguments<'_>, status: usize) -> Self {
        let lone_length = || header.at(0).number().filter(|length| *length > 3);
        Self {
            index,
            status: MessageStatus::read(header, status),
            // `<alpha>` stands before the length, and some modems leave out even its comma, or all but the length.
            tpdu_length: match header.len() {
                1 => lone_length(),
                _ => last_number(header, status + 1),
            },
            pdu: String::new(),
            in_text_mode: is_text_mode(header, status),
        }
    }

    /// Takes what stands in the line of the header or in those behind it. A long PDU may be broken into several lines.
    fn append(&mut self, text: &str) {
        // A quote behind the last digit was seen in the field.
        let text = text.trim().trim_end_matches('"');
        if self.in_text_mode
            || !is_hex(text)
            || (!self.pdu.is_empty() && (self.tpdu_length.is_none() || self.is_complete()))
        {
            return;
        }
        self.pdu.push_str(&text.to_ascii_uppercase());
    }
}

/// In text mode the status is a word with a sender or a time behind it; in PDU mode, also where the status is a word, a
/// length comes last and nothing but a name before it.
fn is_text_mode(header: &Arguments<'_>, status: usize) -> bool {
    let is_word = header.at(status).number::<u8>().is_none() && !header.at(status).is_empty();
    let mut fields = header.iter().skip(status + 1);
    let is_time = |field: Argument<'_>| is_time(field.text());
    let is_text = |field: Argument<'_>| field.non_empty().is_some() && field.number::<u16>().is_none();
    is_word
        && match last_number(header, status + 1) {
            Some(_) => fields.any(is_time),
            None => fields.any(is_text),
        }
}

/// `yy/MM/dd,hh:mm:ss±zz`, as far as a firmware keeps to it.
fn is_time(text: &str) -> bool {
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.split(['/', ',', ':']);
    parts.by_ref().take(3).filter(|part| digits(part)).count() == 3 && parts.next().is_some()
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
                messages.push(ListedMessage::of_header(Some(index), &arguments, 1));
            }
            None => {
                if let Some(message) = messages.last_mut() {
                    message.append(line);
                }
            }
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
                let message = message.insert(ListedMessage::of_header(None, &header, 0));
                message.append(tail.unwrap_or_default());
            }
            None => {
                if let Some(message) = &mut message {
                    message.append(line);
                }
            }
        }
    }
    message
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
