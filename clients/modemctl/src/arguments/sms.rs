//! The command line of `sms`.

use api::v1::{MessageCoding, MessagePriority, MessageState, NationalLanguage};
use clap::{Args, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

const SEND_EXAMPLES: &str = "\
Examples:
  modemctl sms send +447700900123 'I am late'
  modemctl sms send 07700900123 'good morning' --at 2030-01-31T08:00
  modemctl sms send +447700900123 'arrived?' --report --wait
  uptime | modemctl sms send +447700900123 -";

/// What to do with short messages.
#[derive(Debug, Subcommand)]
pub enum SmsCommand {
    /// Sends a message.
    #[command(after_help = SEND_EXAMPLES)]
    Send(SendOptions),
    /// Lists messages, newest first.
    List(ListOptions),
    /// Shows one message with everything that is known about it.
    Show {
        /// The message, or the beginning of its id.
        id: String,
    },
    /// Shows messages as they come and go.
    Watch,
    /// Deletes a message from the broker's store.
    Delete {
        /// The message, or the beginning of its id.
        id: String,
    },
    /// Cancels a message that is still queued, for its turn or for its time.
    Cancel {
        /// The message, or the beginning of its id.
        id: String,
    },
    /// Writes every message, newest first, as JSON lines or as a table for a spreadsheet.
    Export(ExportOptions),
    /// Shows how full the modem's message storages are.
    Storage,
    /// Shows every field of PDUs, without a broker.
    Decode(DecodeOptions),
    /// Shows the parts of a message with every field, without a broker. Nothing is sent.
    Encode(EncodeOptions),
}

/// How a message is made; the same for sending and for showing.
#[derive(Debug, Default, Args)]
pub struct CodingOptions {
    /// Octets in hexadecimal instead of a text.
    #[arg(long, value_name = "HEX", value_parser = octets, conflicts_with = "text")]
    pub data: Option<Octets>,
    /// The alphabet; otherwise the one that takes the fewest parts.
    #[arg(long, value_name = "ALPHABET")]
    pub coding: Option<Coding>,
    /// Languages whose 7-bit tables may be used where they save parts, with commas between them. Many handsets know none.
    #[arg(long, value_name = "LANGUAGE", value_delimiter = ',')]
    pub language: Vec<Language>,
    /// Replaces characters that the 7-bit alphabet lacks by similar ones, where that saves parts.
    #[arg(long)]
    pub transliterate: bool,
    /// Shows it at once on the receiver's screen (class 0).
    #[arg(long)]
    pub flash: bool,
    /// Asks for a delivery report.
    #[arg(long)]
    pub report: bool,
    /// How long the service centre keeps trying, such as 30m or 2d.
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "valid_until")]
    pub validity: Option<SignedDuration>,
    /// Nobody wants it after this: a time, or + and a duration.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub valid_until: Option<Moment>,
    /// The service centre tries once only.
    #[arg(long, conflicts_with = "valid_until")]
    pub single_attempt: bool,
    /// Replaces the message of this number, 1 to 7, that the receiver has from us.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=7))]
    pub replace: Option<u8>,
    /// The port at the receiver, for a message to a program.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// The port at the sender.
    #[arg(long, value_name = "PORT", default_value_t = 0, requires = "port")]
    pub from_port: u16,
}

/// Options of `sms send`.
#[derive(Debug, Args)]
pub struct SendOptions {
    /// The destination: +49…, a national number or a short code.
    #[arg(allow_hyphen_values = true)]
    pub to: String,
    /// The text, or - to read it from the standard input.
    #[arg(required_unless_present = "data", default_value = "", hide_default_value = true)]
    pub text: String,
    /// Waits until the network took the message, or with --report until it was delivered.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 180, requires = "wait")]
    pub timeout: u64,
    /// A UUID: the same one never sends twice.
    #[arg(long, value_name = "UUID")]
    pub request_id: Option<String>,
    /// Which message goes first.
    #[arg(long, value_name = "PRIORITY")]
    pub priority: Option<Importance>,
    /// Sends it at this time: 2030-01-31T08:00 here, 2030-01-31T08:00:00Z, or + and a duration such as +90m.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub at: Option<Moment>,
    /// Tells what it would be and sends nothing.
    #[arg(long, conflicts_with_all = ["wait", "request_id", "at"])]
    pub dry_run: bool,
    /// How it is made.
    #[command(flatten)]
    pub coding: CodingOptions,
}

/// Options of `sms encode`.
#[derive(Debug, Args)]
pub struct EncodeOptions {
    /// The destination: +49…, a national number or a short code.
    #[arg(allow_hyphen_values = true)]
    pub to: String,
    /// The text, or - to read it from the standard input.
    #[arg(required_unless_present = "data", default_value = "", hide_default_value = true)]
    pub text: String,
    /// The reference that the parts of a long message share.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub reference: u16,
    /// A reference of 16 bits in the place of 8.
    #[arg(long)]
    pub wide_reference: bool,
    /// How it is made.
    #[command(flatten)]
    pub coding: CodingOptions,
}

/// Options of `sms decode`.
#[derive(Debug, Args)]
pub struct DecodeOptions {
    /// PDUs in hexadecimal, as the modem shows them; several parts of one message are also shown together. Without any, or
    /// with -, the lines of the standard input that are hexadecimal.
    #[arg(value_name = "HEX")]
    pub pdus: Vec<String>,
    /// They are from the network; otherwise that is told from their type.
    #[arg(long, conflicts_with = "sent")]
    pub received: bool,
    /// They are to the network.
    #[arg(long)]
    pub sent: bool,
    /// They begin with the TPDU: no service centre address is in front.
    #[arg(long)]
    pub tpdu: bool,
}

/// Which messages.
#[derive(Debug, Args)]
pub struct Filter {
    /// Only messages that came in.
    #[arg(long, conflicts_with = "outgoing")]
    pub incoming: bool,
    /// Only messages that were sent.
    #[arg(long)]
    pub outgoing: bool,
    /// Only these states, with commas between them: queued, sent, received, failed, …
    #[arg(long, value_delimiter = ',', value_name = "STATE", value_parser = message_state)]
    pub state: Vec<MessageState>,
    /// Only messages with words that begin with all of these.
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
    pub query: String,
    /// Only messages to or from this number or name.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub address: String,
    /// Messages that a later one replaced, too.
    #[arg(long)]
    pub replaced: bool,
}

/// Options of `sms list`.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// Which ones.
    #[command(flatten)]
    pub filter: Filter,
    /// At most so many.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub limit: usize,
}

/// Options of `sms export`.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// The format: jsonl has every field, csv those that people read.
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    pub format: ExportFormat,
    /// Which ones.
    #[command(flatten)]
    pub filter: Filter,
}

/// Formats of `sms export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object per line.
    Jsonl,
    /// RFC 4180, with a header line.
    Csv,
}

/// Which message goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Importance {
    /// After all others.
    Low,
    /// The usual one.
    Normal,
    /// Before all others.
    High,
}

impl From<Importance> for MessagePriority {
    fn from(importance: Importance) -> Self {
        match importance {
            Importance::Low => Self::Low,
            Importance::Normal => Self::Normal,
            Importance::High => Self::High,
        }
    }
}

/// An alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Coding {
    /// GSM 7-bit.
    Gsm7,
    /// UCS2.
    Ucs2,
}

impl From<Coding> for MessageCoding {
    fn from(coding: Coding) -> Self {
        match coding {
            Coding::Gsm7 => Self::Gsm7,
            Coding::Ucs2 => Self::Ucs2,
        }
    }
}

/// A language with 7-bit tables of its own, by its identifier (23.038 6.2.1.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Turkish = 1,
    Spanish = 2,
    Portuguese = 3,
    Bengali = 4,
    Gujarati = 5,
    Hindi = 6,
    Kannada = 7,
    Malayalam = 8,
    Oriya = 9,
    Punjabi = 10,
    Tamil = 11,
    Telugu = 12,
    Urdu = 13,
}

impl From<Language> for NationalLanguage {
    fn from(language: Language) -> Self {
        Self::try_from(language as i32).unwrap_or_default()
    }
}

/// Octets that were written in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Octets(pub Vec<u8>);

fn octets(text: &str) -> Result<Octets, String> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    match digits.as_deref().map(<[u8]>::as_chunks::<2>) {
        Some((pairs, [])) if !pairs.is_empty() => Ok(Octets(pairs.iter().map(|[high, low]| high << 4 | low).collect())),
        _ => Err("pairs of hexadecimal digits".to_owned()),
    }
}

pub(super) fn duration(text: &str) -> Result<SignedDuration, String> {
    // Days are always of 24 hours here; `jiff` leaves them to spans, which know calendars.
    let days = text
        .strip_suffix('d')
        .and_then(|days| days.parse::<i64>().ok())
        .and_then(|days| days.checked_mul(24))
        .map(SignedDuration::from_hours);
    days.or_else(|| text.parse().ok())
        .filter(SignedDuration::is_positive)
        .ok_or_else(|| "a duration such as 90s, 30m, 2h 30m or 3d".to_owned())
}

/// A time that somebody wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long from now, or before now when it is negative.
    FromNow(SignedDuration),
    /// With its own zone.
    At(Timestamp),
    /// In the zone of whoever wrote it.
    Local(DateTime),
}

impl Moment {
    /// The time that is meant, for somebody who wrote it now in this zone.
    pub(crate) fn resolve(self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::FromNow(duration) => now.checked_add(duration).ok(),
            Self::At(time) => Some(time),
            Self::Local(time) => time.to_zoned(zone.clone()).ok().map(|time| time.timestamp()),
        }
    }
}

fn clock(text: &str) -> Option<Moment> {
    let zoned = text.parse::<Timestamp>().ok().map(Moment::At);
    zoned.or_else(|| text.parse::<DateTime>().ok().map(Moment::Local))
}

/// A time ahead.
fn moment(text: &str) -> Result<Moment, String> {
    match text.strip_prefix('+') {
        Some(after) => duration(after).map(Moment::FromNow),
        None => clock(text).ok_or_else(|| "a time such as 2030-01-31T08:00, 2030-01-31T08:00:00Z or +90m".to_owned()),
    }
}

/// A time that has been, or how long ago it was.
pub(super) fn past(text: &str) -> Result<Moment, String> {
    match duration(text) {
        Ok(ago) => Ok(Moment::FromNow(-ago)),
        Err(_) => clock(text).ok_or_else(|| "a time such as 2026-11-30T08:00, or how long ago, such as 3h".to_owned()),
    }
}

fn message_state(text: &str) -> Result<MessageState, String> {
    let name = format!("MESSAGE_STATE_{}", text.to_ascii_uppercase().replace('-', "_"));
    MessageState::from_str_name(&name)
        .filter(|state| *state != MessageState::Unspecified)
        .ok_or_else(|| {
            "one of queued, sending, sent, delivered, failed, outcome-unknown, cancelled, received, incomplete, raw"
                .to_owned()
        })
}
