//! Short messages (27.005), in PDU mode only: in text mode a message could end its own prompt.

use super::super::line::is_hex;
use super::super::reply::{MessageStatus, NewMessageIndication};
use super::{Command, Expects, InvalidArgument, in_range, limit};

/// `<mem>` of `+CPMS` (27.005 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Storage {
    /// `ME`: the module's memory.
    Module,
    /// `SM`: the SIM.
    Sim,
    /// `MT`: both.
    Both,
    /// `SR`: status reports.
    StatusReports,
}

impl Storage {
    /// As the commands write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Module => "ME",
            Self::Sim => "SM",
            Self::Both => "MT",
            Self::StatusReports => "SR",
        }
    }
}

/// `AT+CPMS?` (27.005 3.2.2): the preferred storages and how full they are.
#[must_use]
pub fn message_storage_query() -> Command {
    Command::query("AT+CPMS?", &["+CPMS"], limit::STORAGE)
}

/// `AT+CPMS=…` (27.005 3.2.2): the storage for reading and deleting, for writing and sending, and for receiving.
#[must_use]
pub fn message_storage(read: Storage, write: Storage, receive: Storage) -> Command {
    let line = format!(
        "AT+CPMS=\"{}\",\"{}\",\"{}\"",
        read.as_str(),
        write.as_str(),
        receive.as_str()
    );
    Command::query(line, &["+CPMS"], limit::STORAGE)
}

/// `AT+CMGF=0` (27.005 3.2.3): PDU mode.
#[must_use]
pub fn message_format_pdu() -> Command {
    Command::action("AT+CMGF=0", limit::LOCAL)
}

/// `AT+CNMI=…` (27.005 3.4.1): how new messages are indicated.
///
/// # Errors
/// [`InvalidArgument`] outside the ranges that a SIM7600 lists.
pub fn new_message_indication(indication: NewMessageIndication) -> Result<Command, InvalidArgument> {
    let NewMessageIndication {
        mode,
        deliver,
        broadcast,
        status_report,
        buffer,
    } = indication;
    let field = |name, value: u8, max| in_range(name, u32::from(value), 0..=max);
    let line = format!(
        "AT+CNMI={},{},{},{},{}",
        field("mode", mode, 2)?,
        field("mt", deliver, 3)?,
        field("bm", broadcast, 2)?,
        field("ds", status_report, 2)?,
        field("bfr", buffer, 1)?
    );
    Ok(Command::action(line, limit::LOCAL))
}

/// `AT+CNMI?` (27.005 3.4.1)
#[must_use]
pub fn new_message_indication_query() -> Command {
    Command::query("AT+CNMI?", &["+CNMI"], limit::LOCAL)
}

/// `AT+CSMS=<service>` (27.005 3.2.1): 1 asks for acknowledgement of delivered messages with `AT+CNMA`.
#[must_use]
pub fn message_service(acknowledge: bool) -> Command {
    Command::query(format!("AT+CSMS={}", u8::from(acknowledge)), &["+CSMS"], limit::LOCAL)
}

/// `AT+CSCA?` (27.005 3.3.1): service centre address.
#[must_use]
pub fn service_centre_query() -> Command {
    Command::query("AT+CSCA?", &["+CSCA"], limit::STORAGE)
}

/// `AT+CMGL=<stat>` (27.005 3.4.2): list stored messages, all of them without a status. Unread ones become read.
#[must_use]
pub fn list_messages(status: Option<MessageStatus>) -> Command {
    let stat = match status {
        Some(MessageStatus::Unread) => 0,
        Some(MessageStatus::Read) => 1,
        Some(MessageStatus::Unsent) => 2,
        Some(MessageStatus::Sent) => 3,
        None => 4,
    };
    Command::new(
        format!("AT+CMGL={stat}"),
        Expects::PrefixedWithBody(&["+CMGL"]),
        limit::STORAGE_BULK,
    )
}

/// `AT+CMGR=<index>` (27.005 3.4.3): read a stored message.
#[must_use]
pub fn read_message(index: u16) -> Command {
    Command::new(
        format!("AT+CMGR={index}"),
        Expects::PrefixedWithBody(&["+CMGR"]),
        limit::STORAGE,
    )
}

/// `AT+CMGD=<index>` (27.005 3.5.4): delete a stored message.
#[must_use]
pub fn delete_message(index: u16) -> Command {
    Command::action(format!("AT+CMGD={index}"), limit::STORAGE_DELETE)
}

/// `AT+CMGS=<length>` (27.005 3.5.1): send a message. `tpdu_length` counts octets without the service centre address; `pdu`
/// is hexadecimal with it.
///
/// # Errors
/// [`InvalidArgument`] unless the PDU is hexadecimal and has this length. A wrong length makes the module wait for ever.
pub fn send_message(tpdu_length: usize, pdu: &str) -> Result<Command, InvalidArgument> {
    // A SUBMIT has at most 164 octets (23.040 9.2.3), and a service centre address 12 (24.011 8.2.5).
    if !(1..=164).contains(&tpdu_length) {
        return Err(InvalidArgument::new("TPDU length", "out of range"));
    }
    if !is_hex(pdu) {
        return Err(InvalidArgument::new("PDU", "not hexadecimal"));
    }
    let service_centre = pdu
        .get(..2)
        .and_then(|octet| usize::from_str_radix(octet, 16).ok())
        .unwrap_or(usize::MAX);
    if service_centre > 11 || pdu.len() != 2 * (1 + service_centre + tpdu_length) {
        return Err(InvalidArgument::new("PDU", "not of the given length"));
    }
    Ok(Command {
        payload: Some(pdu.to_ascii_uppercase().into_bytes()),
        payload_timeout: Some(limit::MESSAGE_SUBMISSION),
        ..Command::query(format!("AT+CMGS={tpdu_length}"), &["+CMGS"], limit::MESSAGE_PROMPT)
    })
}

/// `AT+CMMS=2` (27.005 3.5.6): keep the radio link open between messages that follow each other within 1 to 5 s.
#[must_use]
pub fn more_messages() -> Command {
    Command::action("AT+CMMS=2", limit::LOCAL)
}

/// `AT+CSMS?` (27.005 3.2.1): the service, which says whether delivered messages have to be acknowledged.
#[must_use]
pub fn message_service_query() -> Command {
    Command::query("AT+CSMS?", &["+CSMS"], limit::LOCAL)
}

/// `AT+CNMA=<n>` (27.005 3.4.4) in PDU mode: acknowledges a message or report that was handed over without being stored, or
/// tells the network that it was not received.
#[must_use]
pub fn acknowledge_message(received: bool) -> Command {
    Command::action(if received { "AT+CNMA=0" } else { "AT+CNMA=2" }, limit::LOCAL)
}

/// `AT+CMGD=?` (27.005 3.5.4): the indices at which the selected storage holds something.
#[must_use]
pub fn stored_indices() -> Command {
    Command::query("AT+CMGD=?", &["+CMGD"], limit::STORAGE)
}
