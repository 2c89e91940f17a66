//! Unsolicited result codes, as values.

use super::line::{Arguments, is_hex, split_prefix};
use super::reply::{
    Clock, CurrentCall, Domain, PdpEvent, Registration, SignalQuality, SimStatus, SystemMode, Ussd, pdu_fits, text,
};

/// What the modem says on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Urc {
    /// `RING`, or `+CRING: <type>` after `AT+CRC=1` (27.007 6.11): an incoming call.
    Ring(RingType),
    /// `+CLIP` (27.007 7.6): who calls.
    CallerId(CallerId),
    /// `+CNAP` (27.007 7.30): the caller's name as the network knows it.
    CallerName(String),
    /// `+CCWA` (27.007 7.12): another call waits.
    CallWaiting {
        /// Who calls; empty if withheld.
        number: String,
        /// `<class>`: 1 for voice.
        class: Option<u8>,
    },
    /// `+COLP` (27.007 7.8): who is connected.
    ConnectedLine(String),
    /// `VOICE CALL: BEGIN`
    VoiceCallBegin,
    /// `VOICE CALL: END`, with the duration if the call was connected.
    VoiceCallEnd {
        /// In seconds.
        duration_s: Option<u32>,
    },
    /// `MISSED_CALL`
    MissedCall {
        /// Who called, if told.
        number: Option<String>,
    },
    /// `NO CARRIER` outside a command that establishes a call.
    NoCarrier,
    /// `BUSY`, likewise.
    Busy,
    /// `NO ANSWER`, likewise.
    NoAnswer,
    /// `+CLCC` after `AT+CLCC=1`: a report about the calls named in it, not about the others. Each line is reported by
    /// itself.
    CallList(Vec<CurrentCall>),
    /// `+RXDTMF`: the other side pressed a key.
    Dtmf(char),
    /// `+CSSI` and `+CSSU` (27.007 7.17): what a supplementary service did to a call.
    SupplementaryService {
        /// True for `+CSSU`, about a call that exists.
        unsolicited: bool,
        /// `<code1>` or `<code2>`
        code: u8,
    },
    /// `+CMTI` (27.005 3.4.1): a message was stored.
    MessageStored {
        /// Where.
        storage: String,
        /// At which index.
        index: u16,
    },
    /// `+CMT` in PDU mode: a message that was not stored.
    MessageDelivered {
        /// Octets of the TPDU.
        length: u16,
        /// In hexadecimal, service centre address first.
        pdu: String,
    },
    /// `+CDSI`: a status report was stored.
    StatusReportStored {
        /// Where.
        storage: String,
        /// At which index.
        index: u16,
    },
    /// `+CDS` in PDU mode: a status report that was not stored.
    StatusReportDelivered {
        /// Octets of the TPDU.
        length: u16,
        /// In hexadecimal, service centre address first.
        pdu: String,
    },
    /// `+CBM`: a cell broadcast.
    CellBroadcast {
        /// The page in hexadecimal.
        pdu: String,
    },
    /// `+SMS FULL`: the storage is full, and the network keeps further messages.
    StorageFull,
    /// `+CREG` and its like.
    Registration(Registration),
    /// `+CSQ` after `AT+AUTOCSQ`.
    SignalQuality(SignalQuality),
    /// `+CNSMOD` after `AT+CNSMOD=1`.
    SystemMode(SystemMode),
    /// `+CPIN`
    SimStatus(SimStatus),
    /// `SMS DONE`: message commands work.
    SmsReady,
    /// `PB DONE`: phone book commands work.
    PhonebookReady,
    /// `RDY`: the module has started.
    ModuleReady,
    /// `OPL DONE`, `PNN DONE` and their `UPDATING`: operator names are read from the SIM.
    OperatorNames,
    /// `+CUSD` (27.007 7.15)
    Ussd(Ussd),
    /// `+CGEV` (27.007 10.1.19)
    PdpEvent(PdpEvent),
    /// `+CTZV`, `+CTZE`, `*PSUTTZ`, `DST` (27.007 8.41): the network's time or time zone.
    NetworkTime {
        /// Local time minus UTC.
        utc_offset_minutes: Option<i16>,
        /// The time, if it came along.
        clock: Option<Clock>,
    },
    /// `+VOICEMAIL`
    Voicemail {
        /// Messages waiting; `None` if only that there are new ones is told.
        waiting: Option<u16>,
    },
    /// `+CGPS: 0`: the receiver has stopped.
    GnssStopped,
    /// A NMEA sentence on an AT port.
    Nmea,
    /// Anything else.
    Unknown,
}

/// What kind of call rings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingType {
    /// `RING`: not told.
    Unspecified,
    /// `VOICE`
    Voice,
    /// Data, fax or another kind, as received.
    Other(String),
}

/// `+CLIP` (27.007 7.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerId {
    /// Who calls; empty if withheld.
    pub number: String,
    /// `<type>`: 145 for an international number, 129 for any other.
    pub number_type: Option<u8>,
    /// `<alpha>`: the name in the phone book.
    pub name: Option<String>,
    /// `<CLI validity>`: 0 valid, 1 withheld, 2 not available.
    pub validity: Option<u8>,
}

impl Urc {
    /// Reads an unsolicited result code: one line, or a header and its body.
    #[must_use]
    pub fn parse(lines: &[impl AsRef<str>]) -> Self {
        let Some(first) = lines.first().map(|line| line.as_ref().trim()) else {
            return Self::Unknown;
        };
        let body = lines.get(1).map(|line| line.as_ref().trim());
        Self::bare(first)
            .or_else(|| Self::prefixed(first, body))
            .unwrap_or(Self::Unknown)
    }

    /// Those without the prefix of an extended command.
    fn bare(line: &str) -> Option<Self> {
        Some(match line {
            "RING" => Self::Ring(RingType::Unspecified),
            "NO CARRIER" => Self::NoCarrier,
            "BUSY" => Self::Busy,
            "NO ANSWER" => Self::NoAnswer,
            "RDY" => Self::ModuleReady,
            "SMS DONE" => Self::SmsReady,
            "PB DONE" => Self::PhonebookReady,
            "OPL DONE" | "PNN DONE" | "OPL UPDATING" | "PNN UPDATING" => Self::OperatorNames,
            "+SMS FULL" | "SMS FULL" => Self::StorageFull,
            _ if line.starts_with("$G") && line.contains(',') => Self::Nmea,
            _ => {
                if let Some(rest) = line.strip_prefix("VOICE CALL:") {
                    return voice_call(rest.trim());
                }
                let number = line
                    .strip_prefix("MISSED_CALL:")?
                    .trim()
                    .split_once(' ')
                    .map(|(_, number)| number.trim());
                Self::MissedCall {
                    number: number.filter(|number| !number.is_empty()).map(str::to_owned),
                }
            }
        })
    }

    fn prefixed(line: &str, body: Option<&str>) -> Option<Self> {
        let (prefix, rest) = split_prefix(line)?;
        let arguments = Arguments::parse(rest);
        let storage = || arguments.at(0).text().to_owned();
        let pdu = || body.filter(|body| is_hex(body)).map(str::to_owned);
        match prefix {
            "+CRING" => Some(Self::Ring(if rest == "VOICE" {
                RingType::Voice
            } else {
                RingType::Other(rest.to_owned())
            })),
            "+CLIP" => caller_id(&arguments).map(Self::CallerId),
            "+CNAP" => Some(Self::CallerName(text::name(arguments.at(0).text()))),
            "+CCWA" => Some(Self::CallWaiting {
                number: text::number(arguments.at(0).text()),
                class: arguments.at(2).number(),
            }),
            "+COLP" => Some(Self::ConnectedLine(text::number(arguments.at(0).text()))),
            "+CLCC" => CurrentCall::parse(&arguments).map(|call| Self::CallList(vec![call])),
            "+RXDTMF" | "+DTMF" => dtmf(rest).map(Self::Dtmf),
            "+CSSI" | "+CSSU" => Some(Self::SupplementaryService {
                unsolicited: prefix == "+CSSU",
                code: arguments.at(0).number()?,
            }),
            "+CMTI" => Some(Self::MessageStored {
                storage: storage(),
                index: arguments.at(1).number()?,
            }),
            "+CDSI" => Some(Self::StatusReportStored {
                storage: storage(),
                index: arguments.at(1).number()?,
            }),
            "+CMT" => Some(Self::MessageDelivered {
                length: announced_length(line)?,
                pdu: pdu()?,
            }),
            "+CDS" => Some(Self::StatusReportDelivered {
                length: announced_length(line)?,
                pdu: pdu()?,
            }),
            "+CBM" => Some(Self::CellBroadcast { pdu: pdu()? }),
            "+SMS FULL" => Some(Self::StorageFull),
            "+CSQ" => SignalQuality::parse(&arguments).map(Self::SignalQuality),
            "+CNSMOD" if arguments.len() == 1 => {
                Some(Self::SystemMode(SystemMode::from_number(arguments.at(0).number()?)))
            }
            "+CPIN" => SimStatus::parse(rest).map(Self::SimStatus),
            "+CUSD" => Ussd::parse(rest).map(Self::Ussd),
            "+CGEV" => PdpEvent::parse(rest).map(Self::PdpEvent),
            "+CTZV" | "+CTZE" | "*PSUTTZ" => Some(network_time(rest, &arguments)),
            "+VOICEMAIL" => Some(Self::Voicemail {
                waiting: if rest == "EMPTY" {
                    Some(0)
                } else {
                    arguments.at(1).number()
                },
            }),
            "+CGPS" if rest == "0" => Some(Self::GnssStopped),
            _ => Registration::parse(line).map(Self::Registration),
        }
    }
}

/// True if the line is an unsolicited result code that this module knows, also if its body is still to come.
pub(in crate::at) fn is_known(line: &str) -> bool {
    has_body(line) || Urc::parse(&[line]) != Urc::Unknown
}

/// True if a line that carries the prefix of the command in flight is not its reply: the two have different forms.
pub(in crate::at) fn has_unsolicited_form(line: &str) -> bool {
    let Some((prefix, rest)) = split_prefix(line) else {
        return false;
    };
    let arguments = Arguments::parse(rest);
    match prefix {
        // Unsolicited with a number first, as a reply with a setting.
        "+CLIP" | "+COLP" | "+CCWA" | "+CNAP" => arguments.at(0).is_quoted(),
        // Unsolicited without the setting that a reply begins with.
        "+CNSMOD" => arguments.len() == 1,
        "+CGPS" => rest == "0",
        // Unsolicited with a text.
        "+CUSD" => arguments.len() > 1,
        "+CMTI" | "+CDSI" | "+CGEV" | "+CRING" => true,
        _ if Domain::ALL.iter().any(|domain| domain.prefix() == prefix) => Registration::is_unsolicited(line),
        _ => false,
    }
}

/// True if a message follows in the next line (27.005 3.4.1). A status report in text mode has no second line; its header
/// is longer.
pub(in crate::at) fn has_body(line: &str) -> bool {
    match split_prefix(line) {
        Some(("+CMT" | "+CBM", _)) => true,
        Some(("+CDS", rest)) => Arguments::parse(rest).len() == 1,
        _ => false,
    }
}

/// True if the line is the beginning of a text that goes on in the next line.
pub(in crate::at) fn is_open_text(line: &str) -> bool {
    split_prefix(line).is_some_and(|(prefix, rest)| prefix == "+CUSD" && Ussd::is_open(rest))
}

/// True if `pdu` has the length that `header` announces.
pub(in crate::at) fn announces_pdu(header: &str, pdu: &str) -> bool {
    announced_length(header).is_some_and(|length| pdu_fits(length, pdu))
}

/// `<length>` is the last field of every PDU mode header. `None` in text mode.
fn announced_length(header: &str) -> Option<u16> {
    let (_, rest) = split_prefix(header)?;
    let last = Arguments::parse(rest).iter().last()?;
    if last.is_quoted() { None } else { last.number() }
}

fn caller_id(arguments: &Arguments<'_>) -> Option<CallerId> {
    let number = arguments.at(0);
    // The reply to `AT+CLIP?` is two numbers; here a number stands in quotes, also an empty one.
    if !number.is_quoted() {
        return None;
    }
    Some(CallerId {
        number: text::number(number.text()),
        number_type: arguments.at(1).number(),
        name: arguments.at(4).non_empty().map(text::name),
        validity: arguments.at(5).number(),
    })
}

fn voice_call(rest: &str) -> Option<Urc> {
    if rest == "BEGIN" {
        return Some(Urc::VoiceCallBegin);
    }
    let duration = rest.strip_prefix("END")?.trim_start_matches([':', ' ']);
    Some(Urc::VoiceCallEnd {
        duration_s: hhmmss(duration),
    })
}

/// `000041` is 41 seconds.
fn hhmmss(text: &str) -> Option<u32> {
    if text.len() < 6 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, rest) = text.split_at(text.len() - 4);
    let (minutes, seconds) = rest.split_at(2);
    let hours: u32 = hours.parse().ok().filter(|hours| *hours < 100_000)?;
    Some(hours * 3600 + minutes.parse::<u32>().ok()? * 60 + seconds.parse::<u32>().ok()?)
}

fn dtmf(text: &str) -> Option<char> {
    // Some firmwares tell how long it was pressed as well.
    let key = text.split(',').next().unwrap_or_default().trim().trim_matches('"');
    let mut keys = key.chars();
    let key = keys.next()?.to_ascii_uppercase();
    (keys.next().is_none() && matches!(key, '0'..='9' | 'A'..='D' | '*' | '#')).then_some(key)
}

fn network_time(rest: &str, arguments: &Arguments<'_>) -> Urc {
    // `+CTZV: +08` or `+CTZV: 32,"…"`: quarters of an hour, and a time in some firmwares.
    let quarters = arguments.at(0).number::<i16>().filter(|quarters| quarters.abs() <= 96);
    let clock = rest.split_once(',').and_then(|(_, time)| Clock::parse(time));
    Urc::NetworkTime {
        utc_offset_minutes: quarters.map(|quarters| quarters * 15),
        clock,
    }
}
