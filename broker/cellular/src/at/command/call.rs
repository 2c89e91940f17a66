//! Calls, their audio, and supplementary services.

use super::{Command, InvalidArgument, checked, in_range, limit};
use crate::call::CallIndex;
use crate::pcm::SampleRate;

/// A dial string: digits, `*`, `#` and a `+` at the beginning (27.007 6.2 without its modifiers, which could turn a number
/// into something else).
fn dial_string<'a>(argument: &'static str, number: &'a str) -> Result<&'a str, InvalidArgument> {
    let digits = number.strip_prefix('+').unwrap_or(number);
    // 24.008 10.5.4.7 carries up to 40 octets; real numbers end at 20 digits.
    checked(argument, digits, 40, |byte| {
        byte.is_ascii_digit() || byte == b'*' || byte == b'#'
    })?;
    Ok(number)
}

/// `ATD<number>;` (27.007 6.2): dial a voice call. Answered at once; what becomes of the call is unsolicited.
///
/// # Errors
/// [`InvalidArgument`] unless the number is digits, `*` and `#` with an optional `+` before them.
pub fn dial(number: &str) -> Result<Command, InvalidArgument> {
    Ok(Command::action(
        format!("ATD{};", dial_string("number", number)?),
        limit::DIAL,
    ))
}

/// `ATA` (V.250 6.3.5): answer.
#[must_use]
pub fn answer() -> Command {
    Command::action("ATA", limit::ANSWER)
}

/// `AT+CHUP` (27.007 6.5): hang up every call. `ATH` may do nothing, see [`hang_up_control`].
#[must_use]
pub fn hang_up() -> Command {
    Command::action("AT+CHUP", limit::HANG_UP)
}

/// `AT+CVHU=0` (27.007 6.20): let `ATH` end voice calls.
#[must_use]
pub fn hang_up_control() -> Command {
    Command::action("AT+CVHU=0", limit::LOCAL)
}

/// `AT+CLCC` (27.007 7.18): list current calls.
#[must_use]
pub fn list_current_calls() -> Command {
    Command::query("AT+CLCC", &["+CLCC"], limit::LOCAL)
}

/// `AT+CLCC=1`: report every change of a call.
#[must_use]
pub fn call_list_reports() -> Command {
    Command::action("AT+CLCC=1", limit::LOCAL)
}

/// `AT+CLIP=1` (27.007 7.6): show who calls.
#[must_use]
pub fn caller_id_on() -> Command {
    Command::action("AT+CLIP=1", limit::SUPPLEMENTARY_SERVICE)
}

/// `AT+CNAP=1` (27.007 7.30): show the caller's name where the network knows it.
#[must_use]
pub fn caller_name_on() -> Command {
    Command::action("AT+CNAP=1", limit::SUPPLEMENTARY_SERVICE)
}

/// `AT+CRC=1` (27.007 6.11): tell the kind of call with each ring.
#[must_use]
pub fn extended_ring() -> Command {
    Command::action("AT+CRC=1", limit::LOCAL)
}

/// `AT+CCWA=<n>` (27.007 7.12): show waiting calls.
#[must_use]
pub fn call_waiting_indication(on: bool) -> Command {
    Command::action(format!("AT+CCWA={}", u8::from(on)), limit::SUPPLEMENTARY_SERVICE)
}

/// What `AT+CHLD` does to the calls that there are (27.007 7.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallHold {
    /// 0: release the held calls, or reject the waiting one.
    ReleaseHeldOrRejectWaiting,
    /// 1: release the active calls and accept the other one.
    ReleaseActive,
    /// 1x: release one call.
    Release(CallIndex),
    /// 2: hold the active calls and accept the other one.
    HoldActive,
    /// 2x: hold all but one call.
    Split(CallIndex),
    /// 3: join the held calls to the conversation.
    Join,
}

/// `AT+CHLD=<n>` (27.007 7.13): hold, release, join.
///
/// # Errors
/// [`InvalidArgument`] unless the index is 1 to 7.
pub fn call_hold(action: CallHold) -> Result<Command, InvalidArgument> {
    let index = |index: CallIndex| in_range("call index", u32::from(index.0), 1..=7);
    let n = match action {
        CallHold::ReleaseHeldOrRejectWaiting => "0".to_owned(),
        CallHold::ReleaseActive => "1".to_owned(),
        CallHold::Release(call) => format!("1{}", index(call)?),
        CallHold::HoldActive => "2".to_owned(),
        CallHold::Split(call) => format!("2{}", index(call)?),
        CallHold::Join => "3".to_owned(),
    };
    Ok(Command::action(format!("AT+CHLD={n}"), limit::HANG_UP))
}

/// `AT+VTS=<key>` (27.007 C.2.11): send one key in the active call.
///
/// # Errors
/// [`InvalidArgument`] unless the key is one of `0` to `9`, `A` to `D`, `*` and `#`.
pub fn dtmf(key: char) -> Result<Command, InvalidArgument> {
    let key = key.to_ascii_uppercase();
    if !matches!(key, '0'..='9' | 'A'..='D' | '*' | '#') {
        return Err(InvalidArgument::new("key", "no DTMF key"));
    }
    Ok(Command::action(format!("AT+VTS={key}"), limit::LOCAL))
}

/// `AT+DDET=1`: report the keys that the other side presses.
#[must_use]
pub fn dtmf_detection() -> Command {
    Command::action("AT+DDET=1", limit::LOCAL)
}

/// `AT+CEER` (27.007 6.10): why the last call ended.
#[must_use]
pub fn extended_error_report() -> Command {
    Command::query("AT+CEER", &["+CEER"], limit::LOCAL)
}

/// `AT+CPCMREG=1`: pass PCM to the audio port. Only in a call.
#[must_use]
pub fn pcm_on() -> Command {
    Command::action("AT+CPCMREG=1", limit::LOCAL)
}

/// `AT+CPCMREG=0,1`: stop passing PCM. Newer firmwares refuse the form without the second parameter.
#[must_use]
pub fn pcm_off() -> Command {
    Command::action("AT+CPCMREG=0,1", limit::LOCAL)
}

/// `AT+CPCMREG?`: is PCM passed?
#[must_use]
pub fn pcm_query() -> Command {
    Command::query("AT+CPCMREG?", &["+CPCMREG"], limit::LOCAL)
}

/// `AT+CPCMFRM=<n>`: sample rate of the audio port. The module goes from 8 to 16 kHz only, until it restarts.
#[must_use]
pub fn pcm_format(rate: SampleRate) -> Command {
    Command::action(
        format!("AT+CPCMFRM={}", u8::from(rate == SampleRate::Hz16000)),
        limit::LOCAL,
    )
}

/// `AT+CPCMFRM?`
#[must_use]
pub fn pcm_format_query() -> Command {
    Command::query("AT+CPCMFRM?", &["+CPCMFRM"], limit::LOCAL)
}

/// `AT+CPCMBANDWIDTH=<volte>,<other>`: sample rate in VoLTE and in other calls. Unless told otherwise, VoLTE calls run at
/// 16 kHz.
#[must_use]
pub fn pcm_bandwidth(volte: SampleRate, other: SampleRate) -> Command {
    let narrow = |rate| u8::from(rate == SampleRate::Hz8000);
    Command::action(
        format!("AT+CPCMBANDWIDTH={},{}", narrow(volte), narrow(other)),
        limit::LOCAL,
    )
}

/// `AT+CUSD=1,"<string>",15` (27.007 7.15): send a supplementary service code. The network's text is unsolicited.
///
/// # Errors
/// [`InvalidArgument`] for characters that have another meaning in a string or in the GSM alphabet.
pub fn ussd(code: &str) -> Result<Command, InvalidArgument> {
    // 182 characters: 23.038 with 160 octets. Codes and answers to menus are digits, letters and these signs.
    Ok(Command::action(
        format!("AT+CUSD=1,\"{}\",15", checked("text", code, 182, is_plain_ussd)?),
        limit::USSD,
    ))
}

/// `AT+CUSD=1,"<string>",<dcs>` (27.007 7.15): answer the network.
///
/// Characters that are the same in IRA and in the GSM alphabet go as they are. A text with any other character goes as
/// UCS2 in hexadecimal with the coding scheme 72, which means the same under every character set of `AT+CSCS`.
///
/// # Errors
/// [`InvalidArgument`] for a text that is empty, holds a control character, or does not fit the 160 octets of 23.038.
pub fn ussd_reply(text: &str) -> Result<Command, InvalidArgument> {
    if text.bytes().all(is_plain_ussd) {
        return ussd(text);
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidArgument::new("text", "holds a control character"));
    }
    let units: Vec<u16> = text.encode_utf16().collect();
    if units.len() > 80 {
        return Err(InvalidArgument::new("text", "too long"));
    }
    let digits: String = units.iter().map(|unit| format!("{unit:04X}")).collect();
    Ok(Command::action(format!("AT+CUSD=1,\"{digits}\",72"), limit::USSD))
}

fn is_plain_ussd(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"*#+ .,-:/?!()".contains(&byte)
}

/// `AT+CUSD=1` (27.007 7.15): show what the network says on its own.
#[must_use]
pub fn ussd_reports() -> Command {
    Command::action("AT+CUSD=1", limit::LOCAL)
}

/// `AT+CUSD=2` (27.007 7.15): end the session.
#[must_use]
pub fn ussd_cancel() -> Command {
    Command::action("AT+CUSD=2", limit::USSD)
}

/// `<reason>` of call forwarding (27.007 7.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardingReason {
    /// 0
    Unconditional,
    /// 1
    Busy,
    /// 2
    NoReply,
    /// 3
    NotReachable,
    /// 4
    All,
    /// 5
    AllConditional,
}

impl ForwardingReason {
    fn number(self) -> u8 {
        match self {
            Self::Unconditional => 0,
            Self::Busy => 1,
            Self::NoReply => 2,
            Self::NotReachable => 3,
            Self::All => 4,
            Self::AllConditional => 5,
        }
    }
}

/// `AT+CCFC=<reason>,2` (27.007 7.11): is forwarding active?
///
/// # Errors
/// [`InvalidArgument`] for the two reasons that stand for several: they cannot be asked for.
pub fn call_forwarding_query(reason: ForwardingReason) -> Result<Command, InvalidArgument> {
    if matches!(reason, ForwardingReason::All | ForwardingReason::AllConditional) {
        return Err(InvalidArgument::new("reason", "stands for several"));
    }
    let line = format!("AT+CCFC={},2", reason.number());
    Ok(Command {
        abortable: true,
        ..Command::query(line, &["+CCFC"], limit::SUPPLEMENTARY_SERVICE)
    })
}

/// `AT+CCFC=<reason>,3,"<number>",<type>,<classx>[,,,<time>]` (27.007 7.11): forward calls of these classes, unanswered ones
/// after so many seconds.
///
/// # Errors
/// [`InvalidArgument`] unless the number can be dialled, there is a class, and the time is 5, 10, … 30 s and for
/// [`ForwardingReason::NoReply`].
pub fn call_forwarding_register(
    reason: ForwardingReason,
    number: &str,
    classes: u8,
    delay_s: Option<u8>,
) -> Result<Command, InvalidArgument> {
    let number = dial_string("number", number)?;
    let number_type = if number.starts_with('+') { 145 } else { 129 };
    in_range("classes", u32::from(classes), 1..=255)?;
    let delay = match delay_s {
        None => String::new(),
        Some(delay) if reason == ForwardingReason::NoReply && delay % 5 == 0 && (5..=30).contains(&delay) => {
            format!(",,,{delay}")
        }
        Some(_) => {
            return Err(InvalidArgument::new(
                "delay",
                "5, 10, … 30 s, for calls without an answer only",
            ));
        }
    };
    let line = format!(
        "AT+CCFC={},3,\"{number}\",{number_type},{classes}{delay}",
        reason.number()
    );
    Ok(Command::action(line, limit::SUPPLEMENTARY_SERVICE))
}

/// `AT+CCFC=<reason>,4` (27.007 7.11): forget a forwarding.
#[must_use]
pub fn call_forwarding_erase(reason: ForwardingReason) -> Command {
    Command::action(format!("AT+CCFC={},4", reason.number()), limit::SUPPLEMENTARY_SERVICE)
}
