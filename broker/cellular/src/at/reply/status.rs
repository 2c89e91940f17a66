//! Replies about the module, its SIM and its settings.

use super::super::line::{Arguments, arguments_after, split_prefix};
use super::{UnexpectedReply, last, rows, text};

/// `+CPIN` (27.007 8.3): what the SIM waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimStatus {
    /// Nothing.
    Ready,
    /// `SIM PIN`
    Pin,
    /// `SIM PUK`
    Puk,
    /// `SIM PIN2`
    Pin2,
    /// `SIM PUK2`
    Puk2,
    /// `PH-SIM PIN`: the module is locked to another SIM.
    PhoneToSimPin,
    /// `PH-NET PIN`: the module is locked to a network.
    NetworkPersonalizationPin,
    /// `NOT READY` and `NOT INSERTED`, which modems send unasked.
    Absent,
    /// Another of the personalisation locks, as received.
    Other(String),
}

impl SimStatus {
    /// Reads what follows `+CPIN:`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_matches('"');
        Some(match text {
            "" => return None,
            "READY" => Self::Ready,
            "SIM PIN" => Self::Pin,
            "SIM PUK" => Self::Puk,
            "SIM PIN2" => Self::Pin2,
            "SIM PUK2" => Self::Puk2,
            "PH-SIM PIN" => Self::PhoneToSimPin,
            "PH-NET PIN" => Self::NetworkPersonalizationPin,
            "NOT READY" | "NOT INSERTED" | "SIM REMOVED" => Self::Absent,
            other => Self::Other(other.to_owned()),
        })
    }
}

/// `+CPIN?`.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn sim_status(lines: &[impl AsRef<str>]) -> Result<SimStatus, UnexpectedReply> {
    last(lines, "+CPIN", |arguments| SimStatus::parse(arguments.at(0).text()))
}

/// The text that answers an identification command (27.007 5.1 to 5.4), with the prefix that some firmwares put before it.
///
/// # Errors
/// [`UnexpectedReply`] without such a line.
pub fn identification(lines: &[impl AsRef<str>], prefix: &'static str) -> Result<String, UnexpectedReply> {
    let text = |line: &str| match split_prefix(line) {
        Some((found, rest)) => found
            .eq_ignore_ascii_case(prefix)
            .then(|| rest.trim_matches('"').to_owned()),
        // `Revision: …` has a colon too, but no prefix of an extended command.
        None => Some(line.trim().trim_matches('"').to_owned()),
    };
    let found = lines
        .iter()
        .find_map(|line| text(line.as_ref()))
        .filter(|text| !text.is_empty());
    found.ok_or(UnexpectedReply { command: prefix })
}

/// The IMEI: `+CGSN` (27.007 5.4), 15 digits.
///
/// # Errors
/// [`UnexpectedReply`] without 15 digits.
pub fn serial_number(lines: &[impl AsRef<str>]) -> Result<String, UnexpectedReply> {
    digits(lines, "+CGSN", 15..=15)
}

/// The IMSI: `+CIMI` (27.007 5.6), at most 15 digits.
///
/// # Errors
/// [`UnexpectedReply`] without such digits.
pub fn imsi(lines: &[impl AsRef<str>]) -> Result<String, UnexpectedReply> {
    digits(lines, "+CIMI", 6..=15)
}

fn digits(
    lines: &[impl AsRef<str>],
    command: &'static str,
    length: std::ops::RangeInclusive<usize>,
) -> Result<String, UnexpectedReply> {
    let value = |line: &str| {
        let text = split_prefix(line)
            .map_or(line, |(_, rest)| rest)
            .trim()
            .trim_matches('"')
            .to_owned();
        (length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
    };
    lines
        .iter()
        .find_map(|line| value(line.as_ref()))
        .ok_or(UnexpectedReply { command })
}

/// The ICCID: `+CICCID`. Modems pad it with `F`, and some print the digits of each octet swapped (11.11 10.1.1).
///
/// # Errors
/// [`UnexpectedReply`] unless it begins with 89, as every telecommunication card does (ITU-T E.118), and has 18 digits or more.
pub fn iccid(lines: &[impl AsRef<str>]) -> Result<String, UnexpectedReply> {
    let value = |line: &str| normalised_iccid(split_prefix(line).map_or(line, |(_, rest)| rest));
    lines
        .iter()
        .find_map(|line| value(line.as_ref()))
        .ok_or(UnexpectedReply { command: "+CICCID" })
}

fn normalised_iccid(text: &str) -> Option<String> {
    let text = text.trim().trim_matches('"');
    if !(18..=20).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let straight = text.to_owned();
    let swapped = text
        .as_bytes()
        .chunks(2)
        .flat_map(|pair| pair.iter().rev())
        .map(|&digit| char::from(digit))
        .collect();
    [straight, swapped].into_iter().find_map(|candidate: String| {
        let digits = candidate.trim_end_matches(['F', 'f']);
        let plausible = digits.len() >= 18 && digits.starts_with("89") && digits.bytes().all(|b| b.is_ascii_hexdigit());
        plausible.then(|| digits.to_owned())
    })
}

/// `+CFUN?` (27.007 8.2): 0 minimum, 1 full, 4 radio off, others by the maker.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn functionality(lines: &[impl AsRef<str>]) -> Result<u8, UnexpectedReply> {
    last(lines, "+CFUN", |arguments| arguments.at(0).number())
}

/// The first number behind `prefix`, for settings that are one number: `+CMEE`, `+CMGF`, `+CRC`, `+CATR`, `+CNMP`, `+CSCLK`.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn setting(lines: &[impl AsRef<str>], prefix: &'static str) -> Result<u32, UnexpectedReply> {
    last(lines, prefix, |arguments| arguments.at(0).number())
}

/// All numbers behind `prefix`, for settings that are several: `+CNMI`, `+CPCMBANDWIDTH`, `+CEVOLTE`.
///
/// # Errors
/// [`UnexpectedReply`] without a line of numbers.
pub fn setting_values(lines: &[impl AsRef<str>], prefix: &'static str) -> Result<Vec<u32>, UnexpectedReply> {
    last(lines, prefix, |arguments| {
        let values: Option<Vec<u32>> = arguments.iter().map(|argument| argument.number()).collect();
        values.filter(|values| !values.is_empty())
    })
}

/// `+CLCK` (27.007 7.4): whether the PIN is asked for at power-on.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn pin_lock(lines: &[impl AsRef<str>]) -> Result<bool, UnexpectedReply> {
    last(lines, "+CLCK", |arguments| match arguments.at(0).number::<u8>()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    })
}

/// `+CRSM` (27.007 8.18): the content of a file. `None` when the SIM does not have it or does not allow it to be read.
///
/// # Errors
/// [`UnexpectedReply`] without the line, or with a content that is not hexadecimal.
pub fn sim_file(lines: &[impl AsRef<str>]) -> Result<Option<Vec<u8>>, UnexpectedReply> {
    last(lines, "+CRSM", |arguments| {
        // Status words of success (102 221 clause 10.2.1.1): 90 00, 91 xx with a proactive command waiting.
        if !matches!(arguments.at(0).number::<u8>()?, 0x90 | 0x91) {
            return Some(None);
        }
        octets(arguments.at(2).text()).map(Some)
    })
}

fn octets(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits = hexadecimal.as_bytes();
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}

/// `+CSCS?` (27.007 5.5): the character set of strings.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn character_set(lines: &[impl AsRef<str>]) -> Result<String, UnexpectedReply> {
    last(lines, "+CSCS", |arguments| {
        let argument = arguments.at(0);
        argument
            .group()
            .is_none()
            .then(|| argument.non_empty().map(str::to_owned))
            .flatten()
    })
}

/// `+CSCS=?`: the character sets that can be chosen.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn character_sets(lines: &[impl AsRef<str>]) -> Result<Vec<String>, UnexpectedReply> {
    last(lines, "+CSCS", |arguments| Some(arguments.at(0).strings()))
}

/// `+CNUM` (27.007 7.1): the subscriber's own numbers, as far as they are on the SIM.
#[must_use]
pub fn own_numbers(lines: &[impl AsRef<str>]) -> Vec<String> {
    rows(lines, "+CNUM")
        .filter_map(|arguments| arguments.at(1).non_empty().map(text::number))
        .collect()
}

/// A wall clock reading with its offset from UTC: `+CCLK` (27.007 8.15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// 2000 to 2099.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Local time minus UTC; `None` if the modem does not know its time zone.
    pub utc_offset_minutes: Option<i16>,
}

impl Clock {
    /// Reads `yy/MM/dd,hh:mm:ss±zz`, where zz counts quarters of an hour.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_matches('"');
        let (date, time) = text.split_once(',')?;
        let (time, quarters) = match time.find(['+', '-']) {
            Some(at) => (
                &time[..at],
                Some(time[at..].parse::<i16>().ok().filter(|quarters| quarters.abs() <= 96)?),
            ),
            None => (time, None),
        };
        let mut date = date.splitn(3, '/').map(|field| field.trim().parse::<u16>().ok());
        let mut time = time.splitn(3, ':').map(|field| field.trim().parse::<u8>().ok());
        // The year has two digits, in some firmwares four.
        let year = date.next()?.filter(|year| *year < 100 || (2000..2100).contains(year))?;
        let mut small = || date.next()?.and_then(|value| u8::try_from(value).ok());
        Some(Self {
            year: if year < 100 { 2000 + year } else { year },
            month: small().filter(|month| (1..=12).contains(month))?,
            day: small().filter(|day| (1..=31).contains(day))?,
            hour: time.next()?.filter(|hour| *hour < 24)?,
            minute: time.next()?.filter(|minute| *minute < 60)?,
            second: time.next()?.filter(|second| *second < 60)?,
            utc_offset_minutes: quarters.map(|quarters| quarters * 15),
        })
    }
}

/// `+CCLK?`.
///
/// # Errors
/// [`UnexpectedReply`] without a readable time.
pub fn clock(lines: &[impl AsRef<str>]) -> Result<Clock, UnexpectedReply> {
    // Not every modem puts the time in quotes, and without them its comma separates arguments.
    let read = |line: &str| {
        split_prefix(line)
            .filter(|(prefix, _)| *prefix == "+CCLK")
            .and_then(|(_, rest)| Clock::parse(rest))
    };
    lines
        .iter()
        .filter_map(|line| read(line.as_ref()))
        .last()
        .ok_or(UnexpectedReply { command: "+CCLK" })
}

/// The product ids that `+CUSBPIDSWITCH=?` lists: the USB compositions that the module can take.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn compositions(lines: &[impl AsRef<str>]) -> Result<Vec<u16>, UnexpectedReply> {
    last(lines, "+CUSBPIDSWITCH", |arguments| {
        let list = arguments.at(0).group()?;
        list.iter().map(|id| u16::try_from(id.hexadecimal()?).ok()).collect()
    })
}

/// `+CUSBPIDSWITCH?`: the product id of the present composition, written in hexadecimal.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn composition(lines: &[impl AsRef<str>]) -> Result<u16, UnexpectedReply> {
    last(lines, "+CUSBPIDSWITCH", |arguments| {
        u16::try_from(arguments.at(0).hexadecimal()?).ok()
    })
}

/// `+SPIC`: attempts that are left for PIN, PUK, PIN2 and PUK2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinAttempts {
    /// For the PIN.
    pub pin: u8,
    /// For the PUK.
    pub puk: u8,
    /// For the PIN2.
    pub pin2: u8,
    /// For the PUK2.
    pub puk2: u8,
}

/// `+SPIC`.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn pin_attempts(lines: &[impl AsRef<str>]) -> Result<PinAttempts, UnexpectedReply> {
    last(lines, "+SPIC", |arguments: &Arguments<'_>| {
        let at = |position: usize| arguments.at(position).number();
        Some(PinAttempts {
            pin: at(0)?,
            puk: at(1)?,
            pin2: at(2)?,
            puk2: at(3)?,
        })
    })
}

/// `ATI`: the fields by name (`Manufacturer`, `Model`, `Revision`, `IMEI`).
#[must_use]
pub fn information_fields(lines: &[impl AsRef<str>]) -> Vec<(String, String)> {
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        (arguments_after(line, "+GCAP").is_none()).then(|| (name.trim().to_owned(), value.trim().to_owned()))
    };
    lines.iter().filter_map(|line| field(line.as_ref())).collect()
}
