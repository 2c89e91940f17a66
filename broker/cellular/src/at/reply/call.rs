//! Replies about calls (27.007 clause 7).

use super::super::line::Arguments;
use super::{UnexpectedReply, last, rows, text};
use crate::call::{CallIndex, Direction, State};
use crate::pcm::SampleRate;

/// A row of the list of current calls: `+CLCC` (27.007 7.18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentCall {
    /// `<idx>`
    pub index: CallIndex,
    /// `<dir>`
    pub direction: Direction,
    /// `<stat>`
    pub state: State,
    /// `<mode>`: true for voice. Data calls are listed too.
    pub voice: bool,
    /// `<mpty>`: part of a conference.
    pub multiparty: bool,
    /// `<number>`, unless withheld or not known.
    pub number: Option<String>,
    /// `<type>`: 145 for an international number, 129 for any other.
    pub number_type: Option<u8>,
    /// `<alpha>`: the name in the phone book.
    pub name: Option<String>,
}

impl CurrentCall {
    /// Reads the arguments of one `+CLCC` line.
    #[must_use]
    pub fn parse(arguments: &Arguments<'_>) -> Option<Self> {
        Some(Self {
            index: CallIndex(arguments.at(0).number()?),
            direction: match arguments.at(1).number::<u8>()? {
                0 => Direction::Outgoing,
                1 => Direction::Incoming,
                _ => return None,
            },
            state: call_state(arguments.at(2).number()?)?,
            voice: arguments.at(3).number::<u8>() == Some(0),
            multiparty: arguments.at(4).number::<u8>() == Some(1),
            number: arguments.at(5).non_empty().map(text::number),
            number_type: arguments.at(6).number(),
            name: arguments.at(7).non_empty().map(text::name),
        })
    }
}

/// 27.007 7.18 `<stat>`; 6 is SIMCom's own for a call that has just ended.
fn call_state(stat: u8) -> Option<State> {
    Some(match stat {
        0 => State::Active,
        1 => State::Held,
        2 => State::Dialing,
        3 => State::Alerting,
        4 => State::Incoming,
        5 => State::Waiting,
        6 => State::Disconnected,
        _ => return None,
    })
}

/// `+CLCC` (27.007 7.18). An empty list means that there is no call. A report may come between the rows of the reply, so
/// the last row of an index counts.
#[must_use]
pub fn current_calls(lines: &[impl AsRef<str>]) -> Vec<CurrentCall> {
    let mut calls: Vec<CurrentCall> = Vec::new();
    for call in rows(lines, "+CLCC").filter_map(|arguments| CurrentCall::parse(&arguments)) {
        match calls.iter_mut().find(|known| known.index == call.index) {
            Some(known) => *known = call,
            None => calls.push(call),
        }
    }
    calls
}

/// One row of `+CCFC=<reason>,2` (27.007 7.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallForwarding {
    /// `<status>`
    pub active: bool,
    /// `<classx>`: a sum of 1 voice, 2 data, 4 fax, 8 short messages and others.
    pub class: u8,
    /// `<number>`
    pub number: Option<String>,
    /// `<time>` in seconds before an unanswered call is forwarded.
    pub delay_s: Option<u8>,
}

/// `+CCFC` query.
///
/// # Errors
/// [`UnexpectedReply`] without a row.
pub fn call_forwarding(lines: &[impl AsRef<str>]) -> Result<Vec<CallForwarding>, UnexpectedReply> {
    let parse = |arguments: Arguments<'_>| {
        Some(CallForwarding {
            active: binary(&arguments, 0)?,
            class: arguments.at(1).number()?,
            number: arguments.at(2).non_empty().map(str::to_owned),
            delay_s: arguments.at(6).number(),
        })
    };
    non_empty(rows(lines, "+CCFC").filter_map(parse).collect(), "+CCFC")
}

/// `+CCWA=<n>,2` (27.007 7.12): each class and whether call waiting is active for it.
///
/// # Errors
/// [`UnexpectedReply`] without a row.
pub fn call_waiting(lines: &[impl AsRef<str>]) -> Result<Vec<(u8, bool)>, UnexpectedReply> {
    let parse = |arguments: Arguments<'_>| Some((arguments.at(1).number()?, binary(&arguments, 0)?));
    non_empty(rows(lines, "+CCWA").filter_map(parse).collect(), "+CCWA")
}

/// `+CEER` (27.007 6.10): why the last call ended, in words.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn extended_error_report(lines: &[impl AsRef<str>]) -> Result<String, UnexpectedReply> {
    let reason = |line: &str| line.strip_prefix("+CEER:").map(|reason| reason.trim().to_owned());
    lines
        .iter()
        .filter_map(|line| reason(line.as_ref()))
        .last()
        .ok_or(UnexpectedReply { command: "+CEER" })
}

/// `+CPCMREG?`: true while the module passes PCM to its audio port.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn pcm_registered(lines: &[impl AsRef<str>]) -> Result<bool, UnexpectedReply> {
    last(lines, "+CPCMREG", |arguments| binary(arguments, 0))
}

/// `+CPCMFRM?`
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn pcm_sample_rate(lines: &[impl AsRef<str>]) -> Result<SampleRate, UnexpectedReply> {
    last(lines, "+CPCMFRM", |arguments| {
        let rate = |wide| if wide { SampleRate::Hz16000 } else { SampleRate::Hz8000 };
        binary(arguments, 0).map(rate)
    })
}

/// `+CLVL?` (27.007 8.23): the loudspeaker level.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn loudspeaker_level(lines: &[impl AsRef<str>]) -> Result<u8, UnexpectedReply> {
    last(lines, "+CLVL", |arguments| arguments.at(0).number())
}

fn binary(arguments: &Arguments<'_>, position: usize) -> Option<bool> {
    match arguments.at(position).number::<u8>()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn non_empty<T>(rows: Vec<T>, command: &'static str) -> Result<Vec<T>, UnexpectedReply> {
    if rows.is_empty() {
        Err(UnexpectedReply { command })
    } else {
        Ok(rows)
    }
}
