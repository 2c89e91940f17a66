//! What may be shown of AT commands and their replies.

use super::{IDENTITY_DIGITS, IDENTITY_SHOWN, masked};

pub(super) fn is_word(text: &str) -> bool {
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
pub(super) const BODIED: &[&str] = &["+CMGR", "+CMGL", "+CMT", "+CBM", "+CDS"];

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

pub(super) fn is_known(prefix: &str) -> bool {
    PLAIN.contains(&prefix) || BODIED.contains(&prefix) || OTHER.contains(&prefix)
}

/// `+CREG` of `+CREG: 0,1`.
pub(super) fn prefix(text: &str) -> Option<&str> {
    let (name, _) = text.split_once(':')?;
    let name = name.trim_end();
    let formed = name.len() <= 20
        && name.starts_with(['+', '^', '*'])
        && name[1..]
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ');
    formed.then_some(name)
}

pub(super) fn information(prefix: &str, text: &str) -> Vec<u8> {
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
pub(super) fn command_line(text: &str) -> Vec<u8> {
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

/// Values between commas: what stands in quotes is masked, and so is every long number outside them.
pub(super) fn values_masked(text: &str) -> Vec<u8> {
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
