//! Replies about the network: registration and signal.

use super::super::line::{Argument, Arguments, arguments_after};
use super::{UnexpectedReply, last};

/// What one registers for, each with a command of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Domain {
    /// Circuit switched: `+CREG` (27.007 7.2).
    Cs,
    /// Packet switched, GPRS and UMTS: `+CGREG` (27.007 10.1.20).
    Ps,
    /// Evolved packet system, LTE: `+CEREG` (27.007 10.1.22). It is what tells on a network where voice is VoLTE only.
    Eps,
    /// 5G system: `+C5GREG` (27.007 10.1.47).
    FiveGs,
}

impl Domain {
    pub(in crate::at) const ALL: [Self; 4] = [Self::Cs, Self::Ps, Self::Eps, Self::FiveGs];

    /// The prefix of its command.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Cs => "+CREG",
            Self::Ps => "+CGREG",
            Self::Eps => "+CEREG",
            Self::FiveGs => "+C5GREG",
        }
    }
}

/// `<stat>` of the registration commands (27.007 7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RegistrationState {
    /// 0: not registered, not searching.
    NotRegistered,
    /// 1
    Home,
    /// 2: not registered, searching.
    Searching,
    /// 3
    Denied,
    /// 4, for example out of coverage.
    Unknown,
    /// 5
    Roaming,
    /// 6: home network, short messages only.
    HomeSmsOnly,
    /// 7: roaming, short messages only.
    RoamingSmsOnly,
    /// 8: emergency calls only.
    EmergencyOnly,
    /// 9: home network, circuit switched fallback not preferred.
    HomeCsfbNotPreferred,
    /// 10: roaming, circuit switched fallback not preferred.
    RoamingCsfbNotPreferred,
    /// 11: attached for restricted local operator services.
    AttachedRlos,
}

impl RegistrationState {
    /// The state with this number.
    #[must_use]
    pub fn from_number(stat: u8) -> Option<Self> {
        Some(match stat {
            0 => Self::NotRegistered,
            1 => Self::Home,
            2 => Self::Searching,
            3 => Self::Denied,
            4 => Self::Unknown,
            5 => Self::Roaming,
            6 => Self::HomeSmsOnly,
            7 => Self::RoamingSmsOnly,
            8 => Self::EmergencyOnly,
            9 => Self::HomeCsfbNotPreferred,
            10 => Self::RoamingCsfbNotPreferred,
            11 => Self::AttachedRlos,
            _ => return None,
        })
    }

    /// True if the network gives service beyond short messages and emergency calls.
    #[must_use]
    pub fn is_registered(self) -> bool {
        matches!(
            self,
            Self::Home | Self::Roaming | Self::HomeCsfbNotPreferred | Self::RoamingCsfbNotPreferred
        )
    }

    /// True on a visited network.
    #[must_use]
    pub fn is_roaming(self) -> bool {
        matches!(
            self,
            Self::Roaming | Self::RoamingSmsOnly | Self::RoamingCsfbNotPreferred
        )
    }
}

/// `<AcT>` (27.007 7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessTechnology {
    /// 0
    Gsm,
    /// 1
    GsmCompact,
    /// 2
    Utran,
    /// 3
    GsmEgprs,
    /// 4
    UtranHsdpa,
    /// 5
    UtranHsupa,
    /// 6
    UtranHspa,
    /// 7
    EUtran,
    /// 8
    EcGsmIot,
    /// 9
    EUtranNbIot,
    /// 10
    EUtranFiveGc,
    /// 11
    NrFiveGc,
    /// 12
    NgRan,
    /// 13
    EUtranNrDual,
}

impl AccessTechnology {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The technology with this number.
    #[must_use]
    pub fn from_number(act: u8) -> Option<Self> {
        Some(match act {
            0 => Self::Gsm,
            1 => Self::GsmCompact,
            2 => Self::Utran,
            3 => Self::GsmEgprs,
            4 => Self::UtranHsdpa,
            5 => Self::UtranHsupa,
            6 => Self::UtranHspa,
            7 => Self::EUtran,
            8 => Self::EcGsmIot,
            9 => Self::EUtranNbIot,
            10 => Self::EUtranFiveGc,
            11 => Self::NrFiveGc,
            12 => Self::NgRan,
            13 => Self::EUtranNrDual,
            _ => return None,
        })
    }

    pub(super) fn read(argument: Argument<'_>) -> Option<Self> {
        argument.number().and_then(Self::from_number)
    }
}

/// Registration in one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Which domain.
    pub domain: Domain,
    /// `<stat>`
    pub state: RegistrationState,
    /// `<lac>` or `<tac>`: location, routing or tracking area.
    pub area: Option<u32>,
    /// `<ci>`: cell identity.
    pub cell: Option<u64>,
    /// `<AcT>`
    pub access_technology: Option<AccessTechnology>,
}

impl Registration {
    /// Reads one line, be it a reply (`<n>,<stat>,…`) or unsolicited (`<stat>,…`).
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (domain, arguments) = registration_arguments(line)?;
        let stat = usize::from(has_mode(&arguments));
        let area = arguments.at(stat + 1);
        // Some firmwares put a routing area code, at most two digits, between tracking area and cell.
        let short = arguments.at(stat + 2).text().len() <= 2;
        let has_routing_area = domain != Domain::Cs && short && arguments.at(stat + 3).text().len() > 2;
        let cell = stat + 2 + usize::from(has_routing_area);
        Some(Self {
            domain,
            state: RegistrationState::from_number(arguments.at(stat).number()?)?,
            area: area.hexadecimal().and_then(|area| u32::try_from(area).ok()),
            cell: arguments.at(cell).hexadecimal(),
            access_technology: AccessTechnology::read(arguments.at(cell + 1)),
        })
    }

    /// True if `line` is a registration line in its unsolicited form, which has no `<n>`.
    pub(in crate::at) fn is_unsolicited(line: &str) -> bool {
        registration_arguments(line).is_some_and(|(_, arguments)| !has_mode(&arguments))
    }
}

fn registration_arguments(line: &str) -> Option<(Domain, Arguments<'_>)> {
    Domain::ALL
        .into_iter()
        .find_map(|domain| Some((domain, arguments_after(line, domain.prefix())?)))
}

/// A reply starts with `<n>,<stat>`, an unsolicited line with `<stat>`. An area always has four digits or quotes, so a
/// second field that is short and bare is a `<stat>`; one that is long and bare before a quoted area is a padded one.
fn has_mode(arguments: &Arguments<'_>) -> bool {
    let second = arguments.at(1);
    let bare_number = !second.is_quoted() && second.number::<u8>().is_some();
    bare_number && (second.raw().len() <= 3 || arguments.at(2).is_quoted())
}

/// `<n>` of `+CREG?` and its like: which changes are reported. 2 is everything.
#[must_use]
pub fn registration_reports(lines: &[impl AsRef<str>], domain: Domain) -> Option<u8> {
    let reports = |line: &str| {
        let (found, arguments) = registration_arguments(line)?;
        (found == domain && has_mode(&arguments)).then(|| arguments.at(0).number())?
    };
    lines.iter().filter_map(|line| reports(line.as_ref())).last()
}

/// The reply to `+CREG?`, `+CGREG?` or `+CEREG?`.
///
/// # Errors
/// [`UnexpectedReply`] without the line of this domain.
pub fn registration(lines: &[impl AsRef<str>], domain: Domain) -> Result<Registration, UnexpectedReply> {
    let found = lines
        .iter()
        .filter_map(|line| Registration::parse(line.as_ref()))
        .filter(|r| r.domain == domain)
        .last();
    found.ok_or(UnexpectedReply {
        command: domain.prefix(),
    })
}

/// `+CSQ` (27.007 8.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalQuality {
    /// `<rssi>`: 0 to 31; `None` for 99, not known.
    pub rssi: Option<u8>,
    /// `<ber>`: 0 to 7; `None` for 99, as always on LTE.
    pub bit_error_rate: Option<u8>,
}

impl SignalQuality {
    /// Reads the arguments of a `+CSQ` line.
    #[must_use]
    pub fn parse(arguments: &Arguments<'_>) -> Option<Self> {
        let known = |value: u8, max| (value <= max).then_some(value);
        let rssi: u8 = arguments.at(0).number()?;
        Some(Self {
            rssi: known(rssi, 31),
            bit_error_rate: arguments.at(1).number().and_then(|ber| known(ber, 7)),
        })
    }

    /// Received signal strength in dBm: 2 dB per step from -113 dBm.
    #[must_use]
    pub fn rssi_dbm(self) -> Option<i16> {
        self.rssi.map(|rssi| -113 + 2 * i16::from(rssi))
    }
}

/// `+CSQ`.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn signal_quality(lines: &[impl AsRef<str>]) -> Result<SignalQuality, UnexpectedReply> {
    last(lines, "+CSQ", SignalQuality::parse)
}

/// `+CESQ` (27.007 8.69), in tenths of dB and dBm, each the lower end of its step. `None` where the modem does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedSignalQuality {
    /// GSM received signal strength.
    pub rssi_dbm_tenths: Option<i16>,
    /// UMTS received signal code power.
    pub rscp_dbm_tenths: Option<i16>,
    /// UMTS energy per chip over noise.
    pub ecno_db_tenths: Option<i16>,
    /// LTE reference signal received quality.
    pub rsrq_db_tenths: Option<i16>,
    /// LTE reference signal received power.
    pub rsrp_dbm_tenths: Option<i16>,
}

/// `+CESQ`.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn extended_signal_quality(lines: &[impl AsRef<str>]) -> Result<ExtendedSignalQuality, UnexpectedReply> {
    last(lines, "+CESQ", |arguments| {
        let scaled = |position: usize, max: i16, base: i16, step: i16| {
            let level: i16 = arguments.at(position).number()?;
            (0..=max).contains(&level).then(|| base + step * level)
        };
        arguments.at(0).number::<u8>()?;
        Some(ExtendedSignalQuality {
            rssi_dbm_tenths: scaled(0, 63, -1110, 10),
            rscp_dbm_tenths: scaled(2, 96, -1210, 10),
            ecno_db_tenths: scaled(3, 49, -245, 5),
            rsrq_db_tenths: scaled(4, 34, -200, 5),
            rsrp_dbm_tenths: scaled(5, 97, -1410, 10),
        })
    })
}

/// `+CNSMOD`: what the module uses, finer than `<AcT>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemMode {
    /// 0
    NoService,
    /// 1
    Gsm,
    /// 2
    Gprs,
    /// 3
    Edge,
    /// 4
    Wcdma,
    /// 5
    Hsdpa,
    /// 6
    Hsupa,
    /// 7
    Hspa,
    /// 8
    Lte,
    /// A number that the manual does not list for this module.
    Other(u8),
}

impl SystemMode {
    /// The mode with this number.
    #[must_use]
    pub fn from_number(stat: u8) -> Self {
        match stat {
            0 => Self::NoService,
            1 => Self::Gsm,
            2 => Self::Gprs,
            3 => Self::Edge,
            4 => Self::Wcdma,
            5 => Self::Hsdpa,
            6 => Self::Hsupa,
            7 => Self::Hspa,
            8 => Self::Lte,
            other => Self::Other(other),
        }
    }
}

/// `+CNSMOD?`.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn system_mode(lines: &[impl AsRef<str>]) -> Result<SystemMode, UnexpectedReply> {
    last(lines, "+CNSMOD", |arguments| {
        let position = arguments.len().checked_sub(1)?.min(1);
        arguments.at(position).number().map(SystemMode::from_number)
    })
}
