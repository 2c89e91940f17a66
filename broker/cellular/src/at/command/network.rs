//! Registration, operators and signal.

use super::super::reply::{AccessTechnology, Domain};
use super::{Command, InvalidArgument, checked, limit};

fn registration_name(domain: Domain) -> (&'static str, &'static [&'static str]) {
    match domain {
        Domain::Cs => ("+CREG", &["+CREG"]),
        Domain::Ps => ("+CGREG", &["+CGREG"]),
        Domain::Eps => ("+CEREG", &["+CEREG"]),
        Domain::FiveGs => ("+C5GREG", &["+C5GREG"]),
    }
}

/// `AT+CREG?`, `AT+CGREG?`, `AT+CEREG?` (27.007 7.2, 10.1.20, 10.1.22): registration.
#[must_use]
pub fn registration(domain: Domain) -> Command {
    let (name, prefixes) = registration_name(domain);
    Command::query(format!("AT{name}?"), prefixes, limit::LOCAL)
}

/// `AT+CREG=2` and its like: report registration, area and cell whenever they change.
#[must_use]
pub fn registration_reports(domain: Domain) -> Command {
    Command::action(format!("AT{}=2", registration_name(domain).0), limit::LOCAL)
}

/// `AT+CSQ` (27.007 8.5): signal quality.
#[must_use]
pub fn signal_quality() -> Command {
    Command::query("AT+CSQ", &["+CSQ"], limit::LOCAL)
}

/// `AT+CESQ` (27.007 8.69): extended signal quality.
#[must_use]
pub fn extended_signal_quality() -> Command {
    Command::query("AT+CESQ", &["+CESQ"], limit::LOCAL)
}

/// `AT+AUTOCSQ=1,1`: report the signal quality when it changes.
#[must_use]
pub fn signal_quality_reports() -> Command {
    Command::action("AT+AUTOCSQ=1,1", limit::LOCAL)
}

/// `AT+CPSI?`: the serving cell.
#[must_use]
pub fn system_information() -> Command {
    Command::query("AT+CPSI?", &["+CPSI"], limit::LOCAL)
}

/// `AT+CNSMOD?`: system mode.
#[must_use]
pub fn system_mode() -> Command {
    Command::query("AT+CNSMOD?", &["+CNSMOD"], limit::LOCAL)
}

/// `AT+CNSMOD=1`: report changes of the system mode.
#[must_use]
pub fn system_mode_reports() -> Command {
    Command::action("AT+CNSMOD=1", limit::LOCAL)
}

/// `AT+CNMP?`: preferred mode.
#[must_use]
pub fn preferred_mode_query() -> Command {
    Command::query("AT+CNMP?", &["+CNMP"], limit::LOCAL)
}

/// Which radio systems the module may use. The setting is kept over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreferredMode {
    /// 2
    Automatic,
    /// 13
    GsmOnly,
    /// 14
    WcdmaOnly,
    /// 38. Without VoLTE no call is possible.
    LteOnly,
    /// 39, without TD-SCDMA and CDMA, which 2 also has.
    GsmWcdmaLte,
    /// 48: anything but LTE.
    GsmWcdma,
    /// 51
    GsmLte,
    /// 54
    WcdmaLte,
}

impl PreferredMode {
    /// What allows exactly these; `None` for nothing at all.
    #[must_use]
    pub const fn of(gsm: bool, wcdma: bool, lte: bool) -> Option<Self> {
        Some(match (gsm, wcdma, lte) {
            (false, false, false) => return None,
            (true, false, false) => Self::GsmOnly,
            (false, true, false) => Self::WcdmaOnly,
            (false, false, true) => Self::LteOnly,
            (true, true, false) => Self::GsmWcdma,
            (true, false, true) => Self::GsmLte,
            (false, true, true) => Self::WcdmaLte,
            (true, true, true) => Self::GsmWcdmaLte,
        })
    }

    /// Whether GSM, WCDMA and LTE are allowed by `<mode>`; `None` for a mode with anything else alone.
    #[must_use]
    pub const fn allows(mode: u32) -> Option<(bool, bool, bool)> {
        Some(match mode {
            2 | 39 => (true, true, true),
            13 => (true, false, false),
            14 => (false, true, false),
            19 | 48 => (true, true, false),
            38 => (false, false, true),
            51 => (true, false, true),
            54 => (false, true, true),
            _ => return None,
        })
    }
}

/// `AT+CNMP=<mode>`: preferred mode.
#[must_use]
pub fn preferred_mode(mode: PreferredMode) -> Command {
    let mode = match mode {
        PreferredMode::Automatic => 2,
        PreferredMode::GsmOnly => 13,
        PreferredMode::WcdmaOnly => 14,
        PreferredMode::LteOnly => 38,
        PreferredMode::GsmWcdmaLte => 39,
        PreferredMode::GsmWcdma => 48,
        PreferredMode::GsmLte => 51,
        PreferredMode::WcdmaLte => 54,
    };
    Command::action(format!("AT+CNMP={mode}"), limit::PREFERRED_MODE)
}

/// `AT+COPS?` (27.007 7.3): the selected operator.
#[must_use]
pub fn operator() -> Command {
    Command::query("AT+COPS?", &["+COPS"], limit::OPERATOR)
}

/// `AT+COPS=3,2` (27.007 7.3): name operators by their numbers from now on.
#[must_use]
pub fn operator_format_numeric() -> Command {
    Command::action("AT+COPS=3,2", limit::LOCAL)
}

/// `AT+COPS=3,0` (27.007 7.3): name operators by their long names from now on.
#[must_use]
pub fn operator_format_long() -> Command {
    Command::action("AT+COPS=3,0", limit::LOCAL)
}

/// `AT+COPS=?` (27.007 7.3): search for operators. Takes minutes; any input stops it.
#[must_use]
pub fn scan_operators() -> Command {
    Command {
        abortable: true,
        ..Command::query("AT+COPS=?", &["+COPS"], limit::OPERATOR_SCAN)
    }
}

/// `AT+COPS=0` (27.007 7.3): let the module select an operator.
#[must_use]
pub fn select_operator_automatically() -> Command {
    Command {
        abortable: true,
        ..Command::action("AT+COPS=0", limit::OPERATOR_SELECTION)
    }
}

/// `AT+COPS=1,2,"<plmn>"[,<AcT>]` (27.007 7.3): select one operator, in one technology if that is wanted.
///
/// # Errors
/// [`InvalidArgument`] unless `plmn` is MCC and MNC, five or six digits.
pub fn select_operator(plmn: &str, technology: Option<AccessTechnology>) -> Result<Command, InvalidArgument> {
    let plmn = checked("operator", plmn, 6, |byte| byte.is_ascii_digit())?;
    if plmn.len() < 5 {
        return Err(InvalidArgument::new("operator", "too short"));
    }
    let technology = technology.map_or(String::new(), |technology| format!(",{}", technology.number()));
    Ok(Command {
        abortable: true,
        ..Command::action(format!("AT+COPS=1,2,\"{plmn}\"{technology}"), limit::OPERATOR_SELECTION)
    })
}

/// `AT+CEVOLTE?`: whether voice over LTE is switched on. Most firmwares have no such switch and answer `ERROR`; they follow
/// the IMS context.
#[must_use]
pub fn volte_query() -> Command {
    Command::query("AT+CEVOLTE?", &["+CEVOLTE"], limit::LOCAL)
}

/// `AT+CEVOLTE=1,1`: switch voice over LTE on.
#[must_use]
pub fn volte_on() -> Command {
    Command::action("AT+CEVOLTE=1,1", limit::LOCAL)
}
