//! What may be shown of the bytes on a port: the dialogue, without what is personal in it.
//!
//! Phone numbers, PINs, texts, PDUs and positions are masked in place, so that lengths and syntax stay visible; identities
//! of SIM and device are shortened to the part that names issuer and model. What is not known to be harmless is masked:
//! a command or a line that this module does not know shows its name at most.
//!
//! Masking works on whole lines, because half a line cannot be judged. A line that has begun before the first byte that is
//! known, or that never ends, is masked as a whole.

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the modem.
    FromModem,
    /// To the modem.
    ToModem,
}

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// AT commands and replies.
    At,
    /// NMEA sentences.
    Nmea,
    /// Frames of a binary protocol, one in each piece that is pushed.
    Frames,
    /// MBIM messages.
    Mbim,
}

/// Bytes that may be shown, of the same length as those that were pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<M> {
    /// Which way they went.
    pub direction: Direction,
    /// What was given with their first byte.
    pub mark: M,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Lines longer than this are masked as they come.
const LINE_MAX: usize = 4096;

/// The header of a QMI message: which service, client, transaction and message (QMUX, 6 octets, and 7 of the message).
const FRAME_HEADER: usize = 13;

/// What an identity of 14 digits or more shows: MCC and MNC of an IMSI, the issuer of an ICCID, the maker of an IMEI.
const IDENTITY_SHOWN: usize = 6;
const IDENTITY_DIGITS: usize = 14;

const MASK: u8 = b'x';

/// Redacts the bytes of one port, in order. `M` is whatever the caller wants back with each piece, such as a time.
#[derive(Debug)]
pub struct Redactor<M> {
    dialect: Dialect,
    from: Pending<M>,
    to: Pending<M>,
    /// A message in text mode follows its header until a final result code.
    in_body: bool,
}

#[derive(Debug)]
struct Pending<M> {
    bytes: Vec<u8>,
    mark: Option<M>,
    /// The beginning of the line was seen.
    whole: bool,
}

impl<M: Clone> Redactor<M> {
    /// `from_the_beginning` unless bytes of the port are missing before the first ones that will be pushed.
    pub fn new(dialect: Dialect, from_the_beginning: bool) -> Self {
        let pending = || Pending {
            bytes: Vec::new(),
            mark: None,
            whole: from_the_beginning,
        };
        Self {
            dialect,
            from: pending(),
            to: pending(),
            in_body: !from_the_beginning,
        }
    }

    /// Takes bytes and answers what can be shown by now.
    pub fn push(&mut self, direction: Direction, mark: &M, bytes: &[u8]) -> Vec<Piece<M>> {
        let frames = match self.dialect {
            Dialect::Frames => Some(masked_frame(bytes)),
            Dialect::Mbim => Some(masked_mbim(bytes)),
            Dialect::At | Dialect::Nmea => None,
        };
        if let Some(bytes) = frames {
            return vec![Piece {
                direction,
                mark: mark.clone(),
                bytes,
            }];
        }
        let mut pieces = Vec::new();
        for &byte in bytes {
            let pending = self.pending(direction);
            pending.mark.get_or_insert_with(|| mark.clone());
            pending.bytes.push(byte);
            if pending.is_complete(direction) || pending.bytes.len() >= LINE_MAX {
                pieces.extend(self.take(direction));
            }
        }
        pieces
    }

    /// What is left at the end: lines that have not ended, masked.
    pub fn finish(mut self) -> Vec<Piece<M>> {
        let mut pieces = Vec::new();
        for direction in [Direction::FromModem, Direction::ToModem] {
            self.pending(direction).whole = false;
            pieces.extend(self.take(direction));
        }
        pieces
    }

    fn pending(&mut self, direction: Direction) -> &mut Pending<M> {
        match direction {
            Direction::FromModem => &mut self.from,
            Direction::ToModem => &mut self.to,
        }
    }

    fn take(&mut self, direction: Direction) -> Option<Piece<M>> {
        let pending = self.pending(direction);
        let mark = pending.mark.take()?;
        let bytes = std::mem::take(&mut pending.bytes);
        let complete = bytes.last().is_some_and(|byte| is_end(*byte)) || is_prompt(&bytes);
        // A line that is cut here goes on in the next piece, where its beginning is not seen any more.
        let whole = std::mem::replace(&mut pending.whole, complete) && complete;
        let mut shown = Vec::with_capacity(bytes.len());
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let content = rest.iter().position(|byte| is_end(*byte)).unwrap_or(rest.len());
            let (line, after) = rest.split_at(content);
            let ends = after.iter().take_while(|byte| is_end(**byte)).count();
            if !line.is_empty() {
                let first = shown.iter().all(|byte| is_end(*byte));
                shown.extend(self.line(direction, line, whole || !first && complete));
            }
            shown.extend_from_slice(&after[..ends]);
            rest = &after[ends..];
        }
        Some(Piece {
            direction,
            mark,
            bytes: shown,
        })
    }

    fn line(&mut self, direction: Direction, line: &[u8], whole: bool) -> Vec<u8> {
        let Some(text) = std::str::from_utf8(line).ok().filter(|text| whole && text.is_ascii()) else {
            return masked(line);
        };
        match (self.dialect, direction) {
            (Dialect::Nmea, _) => sentence(text),
            (_, Direction::ToModem) => command_line(text),
            (_, Direction::FromModem) => self.reply(text),
        }
    }

    fn reply(&mut self, text: &str) -> Vec<u8> {
        let trimmed = text.trim();
        if is_word(trimmed) {
            self.in_body = false;
            return text.as_bytes().to_vec();
        }
        let prefix = prefix(trimmed);
        if self.in_body && !prefix.is_some_and(is_known) {
            return masked(text.as_bytes());
        }
        match prefix {
            Some(prefix) => {
                self.in_body = BODIED.contains(&prefix);
                information(prefix, text)
            }
            None if trimmed.starts_with("$G") => sentence(text),
            None if trimmed.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("AT")) => command_line(text),
            None if trimmed.starts_with("SIMCOM") || trimmed.starts_with("SIM7") => text.as_bytes().to_vec(),
            None if trimmed.len() >= IDENTITY_DIGITS && trimmed.bytes().all(|byte| byte.is_ascii_digit()) => {
                values_masked(text)
            }
            None => masked(text.as_bytes()),
        }
    }
}

impl<M> Pending<M> {
    fn is_complete(&self, direction: Direction) -> bool {
        let Some(last) = self.bytes.last() else { return false };
        let content = self.bytes.iter().any(|byte| !is_end(*byte));
        match direction {
            // A reply ends with CR LF; what ends with CR alone is shown with the line after it.
            Direction::FromModem => (*last == b'\n' && content) || is_prompt(&self.bytes),
            Direction::ToModem => is_end(*last),
        }
    }
}

/// CR, LF, and what ends or cancels a text after a prompt (27.005 3.5.1).
fn is_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0x1A | 0x1B)
}

/// The prompt has no line end.
fn is_prompt(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\n> ")
}

fn is_word(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "OK",
        "ERROR",
        "NO CARRIER",
        "BUSY",
        "NO ANSWER",
        "NO DIALTONE",
        "RING",
        "CONNECT",
        "RDY",
        "SMS DONE",
        "PB DONE",
        "OPL DONE",
        "PNN DONE",
        "OPL UPDATING",
        "PNN UPDATING",
        "SMS FULL",
        "+SMS FULL",
        ">",
    ];
    let digit = text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_digit());
    let duration = text.strip_prefix("VOICE CALL:").is_some_and(|rest| {
        rest.bytes()
            .all(|byte| byte.is_ascii_uppercase() || b" :".contains(&byte) || byte.is_ascii_digit())
    });
    digit || duration || WORDS.contains(&text)
}

/// Information whose values say nothing about people.
const PLAIN: &[&str] = &[
    "+AUTOCSQ",
    "+CATR",
    "+CCLK",
    "+CEER",
    "+CEREG",
    "+CEVOLTE",
    "+CFUN",
    "+CGACT",
    "+CGDCONT",
    "+CGMR",
    "+CGPS",
    "+CGPSNMEARATE",
    "+CGREG",
    "+CME ERROR",
    "+CMEE",
    "+CMGF",
    "+CMGS",
    "+CMS ERROR",
    "+CMTI",
    "+CDSI",
    "+CNMI",
    "+CNMP",
    "+CNSMOD",
    "+COPS",
    "+CPAS",
    "+CPCMREG",
    "+CPIN",
    "+CPMS",
    "+CPSI",
    "+CRC",
    "+CREG",
    "+CRING",
    "+CSCLK",
    "+CSCS",
    "+CSQ",
    "+CSUB",
    "+CTZV",
    "+CUSBPIDSWITCH",
];

/// Headers of messages, which a text or a PDU may follow.
const BODIED: &[&str] = &["+CMGR", "+CMGL", "+CMT", "+CBM", "+CDS"];

/// Others whose names end the body of a message.
const OTHER: &[&str] = &["+CUSD", "+CLIP", "+CLCC"];

/// Information of which only the first value is shown: a text or a position follows.
const FIRST_ONLY: &[&str] = &["+CUSD", "+CGPSINFO", "+CGNSSINFO", "+RXDTMF", "+DTMF", "+CNAP"];

/// Commands whose values say nothing about people, when they are set.
const PLAIN_COMMANDS: &[&str] = &[
    "+AUTOCSQ",
    "+CATR",
    "+CEREG",
    "+CEVOLTE",
    "+CFUN",
    "+CGACT",
    "+CGDCONT",
    "+CGPS",
    "+CGPSINFO",
    "+CGPSNMEA",
    "+CGPSNMEARATE",
    "+CGREG",
    "+CHLD",
    "+CLCC",
    "+CLIP",
    "+CLVL",
    "+CMEE",
    "+CMGD",
    "+CMGF",
    "+CMGL",
    "+CMGR",
    "+CMICGAIN",
    "+CMUT",
    "+CNMI",
    "+CNMP",
    "+CNSMOD",
    "+COPS",
    "+COUTGAIN",
    "+CPCMBANDWIDTH",
    "+CPCMFRM",
    "+CPCMREG",
    "+CPMS",
    "+CRC",
    "+CREG",
    "+CSCLK",
    "+CSCS",
    "+CSDH",
    "+CSMS",
    "+CTZR",
    "+CTZU",
    "+CUSBPIDSWITCH",
    "+CVHU",
    "+DDET",
];

fn is_known(prefix: &str) -> bool {
    PLAIN.contains(&prefix) || BODIED.contains(&prefix) || OTHER.contains(&prefix)
}

/// `+CREG` of `+CREG: 0,1`.
fn prefix(text: &str) -> Option<&str> {
    let (name, _) = text.split_once(':')?;
    let name = name.trim_end();
    let formed = name.len() <= 20
        && name.starts_with(['+', '^', '*'])
        && name[1..]
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ');
    formed.then_some(name)
}

fn information(prefix: &str, text: &str) -> Vec<u8> {
    let values = text.find(':').map_or(text.len(), |colon| colon + 1);
    let (name, values) = text.split_at(values);
    let mut shown = name.as_bytes().to_vec();
    if PLAIN.contains(&prefix) {
        shown.extend_from_slice(values.as_bytes());
    } else if FIRST_ONLY.contains(&prefix) {
        let first = values.find(',').filter(|first| *first <= 3).unwrap_or(0);
        let (first, rest) = values.split_at(first);
        shown.extend_from_slice(first.as_bytes());
        shown.extend(masked(rest.as_bytes()));
    } else {
        shown.extend(values_masked(values));
    }
    shown
}

/// A command line, or a payload after a prompt, which is masked.
fn command_line(text: &str) -> Vec<u8> {
    let Some((start, body)) = text
        .split_at_checked(2)
        .filter(|(start, _)| start.eq_ignore_ascii_case("AT"))
    else {
        return masked(text.as_bytes());
    };
    let mut shown = start.as_bytes().to_vec();
    let mut rest = body;
    while !rest.is_empty() {
        let end = end_of_command(rest);
        let (command, after) = rest.split_at(end);
        shown.extend(self::command(command));
        let separator = usize::from(after.starts_with(';'));
        shown.extend_from_slice(&after.as_bytes()[..separator]);
        rest = &after[separator..];
    }
    shown
}

/// The first `;` outside quotes.
fn end_of_command(text: &str) -> usize {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b';' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn command(text: &str) -> Vec<u8> {
    let Some(plus) = text.find(['+', '^', '*', '$', '#', '%']).filter(|_| !is_dial(text)) else {
        return basic(text);
    };
    let (before, extended) = text.split_at(plus);
    let mut shown = basic(before);
    let name_end = extended[1..]
        .find(|c: char| !c.is_ascii_alphanumeric())
        .map_or(extended.len(), |at| at + 1);
    let (name, form) = extended.split_at(name_end);
    let upper = name.to_ascii_uppercase();
    let values = form.strip_prefix('=').filter(|values| !values.is_empty());
    let harmless = match values {
        None => matches!(form, "" | "?" | "="),
        Some("?") => true,
        // The length of a PDU, or 1 and 2 of +CUSD.
        Some(values) if matches!(upper.as_str(), "+CMGS" | "+CMGW" | "+CUSD") => {
            values.len() <= 3 && values.bytes().all(|byte| byte.is_ascii_digit())
        }
        Some(_) => PLAIN_COMMANDS.contains(&upper.as_str()),
    };
    if harmless && name.len() <= 20 {
        shown.extend_from_slice(extended.as_bytes());
    } else if name.len() <= 20 {
        shown.extend_from_slice(name.as_bytes());
        shown.extend(masked(form.as_bytes()));
    } else {
        shown.extend(masked(extended.as_bytes()));
    }
    shown
}

fn is_dial(text: &str) -> bool {
    text.trim_start().starts_with(['D', 'd'])
}

/// V.250 basic commands, several in a row: `E0Q0V1`. A text that only begins like one is masked.
fn basic(text: &str) -> Vec<u8> {
    let formed = !is_dial(text)
        && text.len() <= 16
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"&\\=?".contains(&byte));
    // Letters without a number between them are a word.
    let wordy = text
        .as_bytes()
        .windows(3)
        .any(|three| three.iter().all(u8::is_ascii_alphabetic));
    let number = text
        .as_bytes()
        .windows(4)
        .any(|four| four.iter().all(u8::is_ascii_digit));
    if formed && !wordy && !number {
        return text.as_bytes().to_vec();
    }
    if is_dial(text) {
        let dial = text.len() - text.trim_start().len() + 1;
        let mut shown = text.as_bytes()[..dial].to_vec();
        shown.extend(masked(&text.as_bytes()[dial..]));
        return shown;
    }
    masked(text.as_bytes())
}

/// A sentence of the receiver without the position.
fn sentence(text: &str) -> Vec<u8> {
    let name = text.trim_start().get(3..6).unwrap_or_default();
    let position = match name {
        "RMC" => 3..=6,
        "GGA" | "GNS" => 2..=5,
        "GLL" => 1..=4,
        "GSA" | "GSV" | "VTG" | "ZDA" | "GST" => return text.as_bytes().to_vec(),
        _ => return masked(text.as_bytes()),
    };
    let mut shown = Vec::with_capacity(text.len());
    for (number, field) in text.split(',').enumerate() {
        if number > 0 {
            shown.push(b',');
        }
        if position.contains(&number) {
            shown.extend(masked(field.as_bytes()));
        } else {
            shown.extend_from_slice(field.as_bytes());
        }
    }
    shown
}

/// Everything that could be read as a word or a number.
fn masked(bytes: &[u8]) -> Vec<u8> {
    let hide = |byte: &u8| {
        if byte.is_ascii_alphanumeric() || !byte.is_ascii() {
            MASK
        } else {
            *byte
        }
    };
    bytes.iter().map(hide).collect()
}

/// The header is shown where a piece is one whole frame: its first octet is 1, and its length that of what follows.
/// QMI frames, one after the other: their headers, which TLVs are in them, and the values of those that are known to be
/// about nobody. All others are zero: among them are APN, user and password of a session, PINs, numbers and positions.
fn masked_frame(bytes: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [1, low, high, ..] = *rest
        && let Some((frame, after)) = rest.split_at_checked(usize::from(u16::from_le_bytes([low, high])) + 1)
    {
        shown.extend(masked_message(frame));
        rest = after;
    }
    shown.resize(bytes.len(), 0);
    shown
}

fn masked_message(frame: &[u8]) -> Vec<u8> {
    // The control service counts its transactions in one octet.
    let header = match frame.get(4) {
        Some(0) => FRAME_HEADER - 1,
        _ => FRAME_HEADER,
    };
    let Some((shown, mut tlvs)) = frame.split_at_checked(header) else {
        return vec![0; frame.len()];
    };
    let mut shown = shown.to_vec();
    let (service, id) = (frame[4], u16::from_le_bytes([frame[header - 4], frame[header - 3]]));
    while let Some((&[kind, low, high], after)) = tlvs.split_first_chunk()
        && let Some((value, after)) = after.split_at_checked(usize::from(u16::from_le_bytes([low, high])))
    {
        shown.extend([kind, low, high]);
        // A request may use the type of the result for something else.
        let is_result = frame[3] != 0 && kind == 2 && value.len() == 4;
        if is_result || PLAIN_TLVS.contains(&(service, id, kind)) && frame[3] != 0 {
            shown.extend_from_slice(value);
        } else {
            shown.resize(shown.len() + value.len(), 0);
        }
        tlvs = after;
    }
    shown.resize(frame.len(), 0);
    shown
}

/// MBIM frames, one after the other: which message, of which command, with which status. What is in a command's information
/// is zero: among it are IMSI, APN, user, password and PINs. What the modem says of a connection is about nobody.
fn masked_mbim(bytes: &[u8]) -> Vec<u8> {
    const HEADER: usize = 12;
    // Fragments, service, command, status or kind, length; an indication has no status.
    const COMMAND: usize = 48;
    const INDICATION: usize = 44;
    const CONNECTION: usize = 36;
    const CONNECT: [u8; 4] = [12, 0, 0, 0];
    let mut shown = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&[kind, _, _, from, low, high, 0, 0], _)) = rest.split_first_chunk()
        && let Some((frame, after)) = rest.split_at_checked(usize::from(u16::from_le_bytes([low, high])).max(HEADER))
    {
        let is_first = frame.get(16..20) == Some(&[0; 4]);
        let head = match (kind, from) {
            (3, _) if is_first => COMMAND,
            (7, _) if is_first => INDICATION,
            (3 | 7, _) => HEADER + 8,
            _ => HEADER + 4,
        };
        let of_connection = from == 0x80 && matches!(kind, 3 | 7) && frame.get(36..40) == Some(&CONNECT);
        let head = if of_connection && is_first {
            head + CONNECTION
        } else {
            head
        };
        shown.extend_from_slice(&frame[..head.min(frame.len())]);
        shown.resize(shown.len() + frame.len().saturating_sub(head), 0);
        rest = after;
    }
    shown.resize(bytes.len(), 0);
    shown
}

/// Service, message and type of what the modem says about sessions and the IMS, and about nobody: why a session was not
/// started or has ended (WDS *Start Network* and *Packet Service Status*), and the states of IMSA.
const PLAIN_TLVS: &[(u8, u16, u8)] = &[
    (0x01, 0x0020, 0x10),
    (0x01, 0x0020, 0x11),
    (0x01, 0x0022, 0x01),
    (0x01, 0x0022, 0x10),
    (0x01, 0x0022, 0x11),
    (0x01, 0x0022, 0x12),
    (0x21, 0x0020, 0x11),
    (0x21, 0x0020, 0x12),
    (0x21, 0x0021, 0x10),
    (0x21, 0x0021, 0x11),
    (0x21, 0x0023, 0x10),
    (0x21, 0x0023, 0x11),
    (0x21, 0x0024, 0x10),
    (0x21, 0x0024, 0x11),
];

/// Values between commas: what stands in quotes is masked, and so is every long number outside them.
fn values_masked(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut shown = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = if bytes[at] == b'"' {
            // A string that never ends is masked to its end, and so are quotes inside quotes.
            let closing = (at + 1..bytes.len())
                .find(|end| bytes[*end] == b'"' && matches!(bytes.get(end + 1), None | Some(b',' | b')' | b' ')));
            let end = closing.unwrap_or(bytes.len());
            shown.push(b'"');
            shown.extend(masked(&bytes[at + 1..end]));
            if closing.is_some() {
                shown.push(b'"');
            }
            end + usize::from(closing.is_some())
        } else {
            let run = |byte: &u8| byte.is_ascii_alphanumeric();
            let length = bytes[at..].iter().take_while(|byte| run(byte)).count().max(1);
            let value = &bytes[at..at + length];
            let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
            if value.len() >= IDENTITY_DIGITS && digits == value.len() {
                shown.extend_from_slice(&value[..IDENTITY_SHOWN]);
                shown.extend(masked(&value[IDENTITY_SHOWN..]));
            } else if value.len() >= 4 || !value.is_ascii() {
                shown.extend(masked(value));
            } else {
                shown.extend_from_slice(value);
            }
            at + length
        };
        at = end;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::Direction::{FromModem, ToModem};
    use super::*;
    use proptest::prelude::*;

    fn shown(dialect: Dialect, direction: Direction, text: &str) -> String {
        let mut redactor = Redactor::new(dialect, true);
        let mut pieces = redactor.push(direction, &(), text.as_bytes());
        pieces.extend(redactor.finish());
        pieces
            .into_iter()
            .map(|piece| String::from_utf8(piece.bytes).expect("ASCII stays ASCII"))
            .collect()
    }

    #[test]
    fn commands_show_what_they_do_and_not_to_whom() {
        for (line, expected) in [
            ("AT+CSQ\r", "AT+CSQ\r"),
            ("ATE0Q0V1+CMEE?\r", "ATE0Q0V1+CMEE?\r"),
            ("AT+CREG?;+CGREG?;+CSQ\r", "AT+CREG?;+CGREG?;+CSQ\r"),
            ("ATD+447700900123;\r", "ATD+xxxxxxxxxxxx;\r"),
            ("atd*101#\r", "atd*xxx#\r"),
            ("AT+CPIN=\"4711\"\r", "AT+CPIN=\"xxxx\"\r"),
            ("at+cpin=4711\r", "at+cpin=xxxx\r"),
            ("AT+CSQ;+CPIN=\"4711\";+CREG?\r", "AT+CSQ;+CPIN=\"xxxx\";+CREG?\r"),
            (
                "AT+CPWD=\"SC\",\"4711\",\"1234\"\r",
                "AT+CPWD=\"xx\",\"xxxx\",\"xxxx\"\r",
            ),
            ("AT+CLCK=\"SC\",1,\"4711\"\r", "AT+CLCK=\"xx\",x,\"xxxx\"\r"),
            ("AT+CMGS=23\r", "AT+CMGS=23\r"),
            ("AT+CMGS=\"+447700900123\"\r", "AT+CMGS=\"+xxxxxxxxxxxx\"\r"),
            ("AT+CUSD=1,\"*103*4711#\",15\r", "AT+CUSD=x,\"*xxx*xxxx#\",xx\r"),
            ("AT+CUSD=2\r", "AT+CUSD=2\r"),
            ("AT+CMGF=0\r", "AT+CMGF=0\r"),
            ("AT+VTS=5\r", "AT+VTS=x\r"),
            (
                "0011000B914477009010320000AA0548656C6C6F\u{1a}",
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\u{1a}",
            ),
            ("At eight, Bob\u{1a}", "Atxxxxxx, xxx\u{1a}"),
            ("\u{1b}", "\u{1b}"),
            ("AT+CP", "xx+xx"),
        ] {
            let found = shown(Dialect::At, ToModem, line);
            assert_eq!(found.len(), line.len(), "{line:?}: {found:?}");
            if line.starts_with("At eight") {
                assert!(!found.contains("eight") && !found.contains("Bob"), "{found:?}");
            } else if line.starts_with("0011") {
                assert!(
                    found.trim_end_matches('\u{1a}').bytes().all(|byte| byte == b'x'),
                    "{found:?}"
                );
            } else {
                assert_eq!(found, expected, "{line:?}");
            }
        }
    }

    #[test]
    fn replies_show_their_form() {
        for (line, expected) in [
            ("\r\nOK\r\n", "\r\nOK\r\n"),
            ("\r\n+CSQ: 20,99\r\n", "\r\n+CSQ: 20,99\r\n"),
            ("\r\n+CPIN: READY\r\n", "\r\n+CPIN: READY\r\n"),
            ("\r\n+CME ERROR: 30\r\n", "\r\n+CME ERROR: 30\r\n"),
            ("\r\n867584030000017\r\n", "\r\n867584xxxxxxxxx\r\n"),
            (
                "\r\n+ICCID: 8900101000000000017\r\n",
                "\r\n+ICCID: 890010xxxxxxxxxxxxx\r\n",
            ),
            (
                "\r\n+CLIP: \"+447700900123\",145,,,\"Bob\",0\r\n",
                "\r\n+CLIP: \"+xxxxxxxxxxxx\",145,,,\"xxx\",0\r\n",
            ),
            (
                "\r\n+CLCC: 1,1,4,0,0,\"07700900123\",129\r\n",
                "\r\n+CLCC: 1,1,4,0,0,\"xxxxxxxxxxx\",129\r\n",
            ),
            (
                "\r\n+CNUM: \"\",\"+447700900001\",145\r\n",
                "\r\n+CNUM: \"\",\"+xxxxxxxxxxxx\",145\r\n",
            ),
            (
                "\r\n+CUSD: 1,\"Balance: 12\r\nVoucher 99\",15\r\n",
                "\r\n+CUSD: 1,\"xxxxxxx: xx\r\nxxxxxxx xx\",xx\r\n",
            ),
            (
                "\r\n+CMT: ,23\r\n0791447700900123\r\n",
                "\r\n+CMT: ,23\r\nxxxxxxxxxxxxxxxx\r\n",
            ),
            (
                "\r\n+CMGR: \"REC READ\",\"+447700900123\"\r\nAT home\r\n+at: 9\r\n\r\nOK\r\n",
                "\r\n+CMGR: \"xxx xxxx\",\"+xxxxxxxxxxxx\"\r\nxx xxxx\r\n+xx: x\r\n\r\nOK\r\n",
            ),
            ("AT+CPIN=4711\r\r\nOK\r\n", "AT+CPIN=xxxx\r\r\nOK\r\n"),
            (
                "\r\nMISSED_CALL: 11:01AM 07712345678\r\n",
                "\r\nxxxxxx_xxxx: xx:xxxx xxxxxxxxxxx\r\n",
            ),
            ("\r\n+RXDTMF: 5\r\n", "\r\n+RXDTMF: x\r\n"),
            ("\r\n> ", "\r\n> "),
            (
                "\r\n+CGPSINFO: 3113.343286,N,12121.234064,E,250311,072809.3,44.1,0.0,0\r\n",
                "\r\n+CGPSINFO: xxxx.xxxxxx,x,xxxxx.xxxxxx,x,xxxxxx,xxxxxx.x,xx.x,x.x,x\r\n",
            ),
        ] {
            assert_eq!(shown(Dialect::At, FromModem, line), expected, "{line:?}");
        }
    }

    #[test]
    fn sentences_and_frames_show_everything_but_the_position_and_the_content() {
        assert_eq!(
            shown(
                Dialect::Nmea,
                FromModem,
                "$GPGGA,051147.0,3113.320991,N,12121.248076,E,1,10*45\r\n$GPGSV,4*77\r\n"
            ),
            "$GPGGA,051147.0,xxxx.xxxxxx,x,xxxxx.xxxxxx,x,1,10*45\r\n$GPGSV,4*77\r\n"
        );
        let mut redactor = Redactor::new(Dialect::Frames, true);
        let mut frame: Vec<u8> = (1..=20).collect();
        let pieces = redactor.push(ToModem, &7, &frame);
        assert_eq!(
            (pieces[0].bytes.as_slice(), pieces[0].mark),
            ([0; 20].as_slice(), 7),
            "no frame"
        );
        frame[1..3].copy_from_slice(&[19, 0]);
        let pieces = redactor.push(ToModem, &8, &frame);
        assert_eq!(pieces[0].bytes[..13], frame[..13]);
        assert_eq!(pieces[0].bytes[13..], [0; 7]);
    }

    #[test]
    fn of_mbim_messages_headers_and_ends_of_sessions_are_shown_and_no_other_values() {
        use crate::mbim::basic_connect::{self, AuthProtocol, IpType, PinType};
        use crate::mbim::{Client, Output, Request};
        use crate::packet::Session;
        let session = Session {
            apn: "internet".to_owned(),
            user: "klmno".to_owned(),
            password: "7968".to_owned(),
            ..Session::default()
        };
        for max_transfer in [64, 4096] {
            for request in [
                basic_connect::connect(&session, AuthProtocol::Chap, IpType::V4),
                basic_connect::enter_pin(PinType::Pin1, "7968", ""),
                Request::open(),
            ] {
                let mut client = Client::new(max_transfer);
                #[expect(clippy::disallowed_methods, reason = "a test has to begin at some instant")]
                client.start(std::time::Instant::now(), request);
                while let Some(Output::Transmit(frame)) = client.poll_output() {
                    let shown = masked_mbim(&frame);
                    assert_eq!((shown.len(), &shown[..12]), (frame.len(), &frame[..12]));
                    assert!(shown.iter().skip(48).all(|octet| *octet == 0), "{shown:02x?}");
                    let secrets = b"intrekl79";
                    assert!(!shown.iter().any(|octet| secrets.contains(octet)), "{shown:02x?}");
                }
            }
        }
        let mut refused = vec![3, 0, 0, 0x80, 84, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        refused.extend(crate::mbim::Uuid::BASIC_CONNECT.0);
        refused.extend([12, 0, 0, 0, 2, 0, 0, 0, 36, 0, 0, 0]);
        refused.resize(80, 1);
        refused.extend([27, 0, 0, 0]);
        assert_eq!(masked_mbim(&refused), refused, "why a session ended is about nobody");
        let two = [&refused[..], &refused].concat();
        assert_eq!(masked_mbim(&two), two);
        assert_eq!(
            masked_mbim(&refused[1..]),
            vec![0; refused.len() - 1],
            "cut messages show nothing"
        );
        assert_eq!(masked_mbim(&[9; 7]), [0; 7]);
    }

    /// APN 0x14, user 0x17 and password 0x18 of *Start Network* (WDS 0x20), and the PIN of *Verify PIN* (DMS 0x28).
    #[test]
    fn of_qmi_messages_results_and_reasons_are_shown_and_no_other_values() {
        use crate::qmi::message::{Kind, Message};
        use crate::qmi::{Service, Tlvs};
        let message = |service, kind, id, tlvs| Message {
            service: Service(service),
            client: 3,
            transaction: 0x0102,
            kind,
            id,
            tlvs,
        };
        let secrets = Tlvs::default()
            .with(0x14, b"internet")
            .with(0x17, b"klmno")
            .with(0x18, b"7968");
        let request = message(1, Kind::Request, 0x20, secrets).encode();
        let pin = message(2, Kind::Request, 0x28, Tlvs::default().with(0x01, b"\x01\x047968")).encode();
        // A value that stands where a result would be.
        let odd = message(1, Kind::Request, 0x20, Tlvs::default().with(0x02, b"7968")).encode();
        for frame in [&request, &pin, &odd] {
            let shown = masked_frame(frame);
            assert_eq!(shown.len(), frame.len());
            assert_eq!(shown[..13], frame[..13]);
            let leaked = |secret: &[u8]| shown.windows(secret.len()).any(|window| window == secret);
            assert!(
                [&b"7968"[..], b"klmno", b"internet"]
                    .iter()
                    .all(|secret| !leaked(secret)),
                "{shown:?}"
            );
        }
        assert_eq!(
            masked_frame(&request)[13..16],
            [0x14, 8, 0],
            "which TLVs are in it is shown"
        );
        let refused = Tlvs::default()
            .with(0x02, &[1, 0, 14, 0])
            .with(0x10, &[3, 0])
            .with(0x99, &[7]);
        let response = message(1, Kind::Response, 0x20, refused).encode();
        let two = [response.as_slice(), &response].concat();
        let shown = masked_frame(&two);
        let mut expected = response.clone();
        if let Some(last) = expected.last_mut() {
            *last = 0;
        }
        assert_eq!(shown, expected.repeat(2), "two in one read");
        assert_eq!(
            masked_frame(&two[1..]),
            vec![0; two.len() - 1],
            "cut frames show nothing"
        );
    }

    /// Everything that is personal in it is a run of the letters k to w or of the digits 6 to 9, which nothing else has.
    const DIALOGUE: &[(Direction, &str)] = &[
        (ToModem, "AT+CPIN=\"7968\"\r"),
        (FromModem, "AT+CPIN=\"7968\"\r\r\nOK\r\n"),
        (ToModem, "ATE0;+CPWD=\"SC\",\"7968\",\"8679\"\r"),
        (FromModem, "\r\n+CME ERROR: 11\r\n"),
        (ToModem, "ATD+7968796879;\r"),
        (FromModem, "\r\nOK\r\n\r\n+CLCC: 1,0,2,0,0,\"+7968796879\",145\r\n"),
        (FromModem, "\r\n+CLIP: \"7968796879\",129,,,\"klmnop\",0\r\n"),
        (ToModem, "AT+CMGS=\"+7968796879\"\r"),
        (FromModem, "\r\n> "),
        (ToModem, "klmn opqrst AT+CSQ 7968\r\nAT klmn\u{1a}"),
        (FromModem, "\r\n+CMGS: 1\r\n\r\nOK\r\n"),
        (
            FromModem,
            "\r\n+CMT: \"+7968796879\",,\"20/01/01\"\r\nklmn opqr\r\nstuv, 7968\r\n",
        ),
        (FromModem, "\r\n+CMTI: \"SM\",1\r\n"),
        (ToModem, "AT+CMGL=4\r"),
        (
            FromModem,
            "\r\n+CMGL: 1,1,,23\r\n7968796879687968\r\n+CMGL: 2,1,,23\r\n8679867986798679\r\n\r\nOK\r\n",
        ),
        (FromModem, "\r\n+CUSD: 0,\"klmn 7968\",15\r\n"),
        (ToModem, "AT+CUSD=1,\"*7968*8679#\",15\r"),
        (FromModem, "\r\n+CSQ: 20,99\r\n\r\nOK\r\n"),
        (ToModem, "AT+UNKNOWN=7968,klmn\r"),
        (FromModem, "\r\nKLMNOP klmn 7968\r\n"),
    ];

    fn secrets(bytes: &[u8]) -> Option<&[u8]> {
        let secret = |byte: &u8| matches!(byte, b'k'..=b'w' | b'6'..=b'9');
        bytes.windows(3).find(|window| window.iter().all(secret))
    }

    proptest! {
        /// Chunks cut lines anywhere, and the oldest chunks of a ring are lost.
        #[test]
        fn nothing_personal_leaks_however_the_bytes_are_cut(cuts in proptest::collection::vec(1usize..12, 1..400), lost in 0usize..60) {
            let mut sizes = cuts.into_iter().cycle();
            let mut chunks = Vec::new();
            for (direction, text) in DIALOGUE {
                let mut rest = text.as_bytes();
                while !rest.is_empty() {
                    let (chunk, after) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
                    chunks.push((*direction, chunk));
                    rest = after;
                }
            }
            let mut redactor = Redactor::new(Dialect::At, lost == 0);
            let mut shown = [Vec::new(), Vec::new()];
            let kept = chunks.iter().skip(lost);
            let mut pieces: Vec<Piece<()>> = kept.clone().flat_map(|(direction, chunk)| redactor.push(*direction, &(), chunk)).collect();
            pieces.extend(redactor.finish());
            for piece in &pieces {
                // Each piece is one entry of the trace, so a secret must not be in one, nor across two.
                shown[piece.direction as usize].extend_from_slice(&piece.bytes);
            }
            for (direction, shown) in [FromModem, ToModem].into_iter().zip(&shown) {
                let given: usize = kept.clone().filter(|(way, _)| *way == direction).map(|(_, chunk)| chunk.len()).sum();
                prop_assert_eq!(shown.len(), given, "every byte is there");
                prop_assert_eq!(secrets(shown).map(String::from_utf8_lossy), None, "{}", String::from_utf8_lossy(shown));
            }
        }

        #[test]
        fn any_bytes_keep_their_number_and_never_break_it(bytes: Vec<u8>, chunk in 1usize..32, to: bool) {
            let direction = if to { ToModem } else { FromModem };
            for dialect in [Dialect::At, Dialect::Nmea] {
                let mut redactor = Redactor::new(dialect, true);
                let mut length = 0;
                for chunk in bytes.chunks(chunk) {
                    length += redactor.push(direction, &(), chunk).iter().map(|piece| piece.bytes.len()).sum::<usize>();
                }
                length += redactor.finish().iter().map(|piece| piece.bytes.len()).sum::<usize>();
                prop_assert_eq!(length, bytes.len());
            }
        }
    }
}
