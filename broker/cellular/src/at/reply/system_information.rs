//! `+CPSI`: the serving cell as SIMCom modules describe it.

use super::super::line::{Arguments, arguments_after};
use super::UnexpectedReply;

/// The serving cell. Levels are in tenths of dB or dBm.
///
/// Field order and units are those of the SIM7600 (AT command manual V1.12; checked against captures of real units): RSRQ
/// comes before RSRP, areas are hexadecimal, cell identities decimal. The NB-IoT modules of the same maker send whole units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemInformation {
    /// `NO SERVICE`
    NoService {
        /// `Online`, `Offline`, `Low Power Mode`, …
        operation_mode: String,
    },
    /// `GSM`
    Gsm(GsmCell),
    /// `WCDMA`
    Wcdma(WcdmaCell),
    /// `LTE`
    Lte(LteCell),
    /// A system that a SIM7600 does not have.
    Other {
        /// Its name.
        system: String,
    },
}

impl SystemInformation {
    /// Which cell it is; `None` without one.
    #[must_use]
    pub const fn identity(&self) -> Option<&CellIdentity> {
        match self {
            Self::Gsm(cell) => Some(&cell.identity),
            Self::Wcdma(cell) => Some(&cell.identity),
            Self::Lte(cell) => Some(&cell.identity),
            Self::NoService { .. } | Self::Other { .. } => None,
        }
    }
}

/// What the description of every cell begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellIdentity {
    /// `Online`, `Offline`, `Low Power Mode`, …
    pub operation_mode: String,
    /// Mobile country code, three digits.
    pub mcc: String,
    /// Mobile network code. Two and three digits differ, so zeros at the beginning stay.
    pub mnc: String,
    /// Location or tracking area code.
    pub area: u32,
    /// Cell identity.
    pub cell: u64,
}

/// A GSM cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GsmCell {
    /// Network, area and cell.
    pub identity: CellIdentity,
    /// Absolute radio frequency channel number.
    pub arfcn: Option<u16>,
    /// Band: `EGSM 900`.
    pub band: Option<String>,
    /// Received level.
    pub rx_level_dbm_tenths: Option<i32>,
}

/// A WCDMA cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WcdmaCell {
    /// Network, area and cell.
    pub identity: CellIdentity,
    /// Band: `WCDMA 850`.
    pub band: Option<String>,
    /// Primary scrambling code.
    pub scrambling_code: Option<u16>,
    /// Downlink channel number.
    pub uarfcn: Option<u32>,
    /// Energy per chip over noise.
    pub ecio_db_tenths: Option<i32>,
    /// Received signal code power, which the module writes without its sign.
    pub rscp_dbm_tenths: Option<i32>,
}

/// An LTE cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LteCell {
    /// Network, tracking area and cell.
    pub identity: CellIdentity,
    /// Physical cell identity.
    pub physical_cell: Option<u16>,
    /// Number of the E-UTRA band.
    pub band: Option<u16>,
    /// Downlink channel number.
    pub earfcn: Option<u32>,
    /// Downlink bandwidth in tenths of MHz.
    pub downlink_bandwidth_mhz_tenths: Option<u16>,
    /// Uplink bandwidth in tenths of MHz.
    pub uplink_bandwidth_mhz_tenths: Option<u16>,
    /// Reference signal received quality.
    pub rsrq_db_tenths: Option<i32>,
    /// Reference signal received power.
    pub rsrp_dbm_tenths: Option<i32>,
    /// Received signal strength.
    pub rssi_dbm_tenths: Option<i32>,
    /// Signal to noise ratio, whole units as received.
    pub snr: Option<i32>,
}

impl SystemInformation {
    /// Reads one line.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let arguments = arguments_after(line, "+CPSI")?;
        let system = arguments.at(0).non_empty()?;
        let mode = || arguments.at(1).text().to_owned();
        match system {
            "NO SERVICE" => Some(Self::NoService { operation_mode: mode() }),
            "GSM" => gsm(&arguments).map(Self::Gsm),
            "WCDMA" => wcdma(&arguments).map(Self::Wcdma),
            "LTE" => lte(&arguments, 1).map(Self::Lte),
            // The same fields, but whole units.
            "LTE NB-IOT" | "LTE CAT-M1" => lte(&arguments, 10).map(Self::Lte),
            other => Some(Self::Other {
                system: other.to_owned(),
            }),
        }
    }
}

/// The reply to `+CPSI?`: the first line is the serving cell.
///
/// # Errors
/// [`UnexpectedReply`] without such a line.
pub fn system_information(lines: &[impl AsRef<str>]) -> Result<SystemInformation, UnexpectedReply> {
    let found = lines.iter().find_map(|line| SystemInformation::parse(line.as_ref()));
    found.ok_or(UnexpectedReply { command: "+CPSI" })
}

fn identity(arguments: &Arguments<'_>) -> Option<CellIdentity> {
    let (mcc, mnc) = arguments.at(2).text().split_once('-')?;
    let cell: i64 = arguments.at(4).number()?;
    Some(CellIdentity {
        operation_mode: arguments.at(1).text().to_owned(),
        mcc: mcc.to_owned(),
        mnc: mnc.to_owned(),
        area: u32::try_from(arguments.at(3).hexadecimal()?).ok()?,
        // Firmwares print 32 bits as a signed number.
        cell: u64::try_from(cell)
            .ok()
            .or_else(|| i32::try_from(cell).ok().map(|cell| u64::from(cell.cast_unsigned())))?,
    })
}

fn gsm(arguments: &Arguments<'_>) -> Option<GsmCell> {
    // `27 EGSM 900`
    let (arfcn, band) = arguments.at(5).text().split_once(' ').unzip();
    Some(GsmCell {
        identity: identity(arguments)?,
        arfcn: arfcn.and_then(|arfcn| arfcn.parse().ok()),
        band: band.map(str::to_owned),
        rx_level_dbm_tenths: arguments.at(6).number::<i16>().map(|level| i32::from(level) * 10),
    })
}

fn wcdma(arguments: &Arguments<'_>) -> Option<WcdmaCell> {
    let magnitude = |position| {
        arguments
            .at(position)
            .number::<i16>()
            .map(|value| i32::from(value).abs() * 10)
    };
    Some(WcdmaCell {
        identity: identity(arguments)?,
        band: arguments.at(5).non_empty().map(str::to_owned),
        scrambling_code: arguments.at(6).number(),
        uarfcn: arguments.at(7).number(),
        ecio_db_tenths: arguments
            .at(9)
            .text()
            .parse::<f32>()
            .ok()
            .filter(|db| db.abs() < 100.0)
            .map(|db| {
                // Printed as a magnitude by some firmwares and with its sign by others; it is never above zero.
                #[expect(clippy::cast_possible_truncation, reason = "bounded to 1000 by the filter above")]
                let tenths = (db.abs() * 10.0).round() as i32;
                -tenths
            }),
        rscp_dbm_tenths: magnitude(10).map(|level| -level),
    })
}

fn lte(arguments: &Arguments<'_>, unit_in_tenths: i32) -> Option<LteCell> {
    let level = |position| {
        arguments
            .at(position)
            .number::<i16>()
            .map(|value| i32::from(value) * unit_in_tenths)
    };
    Some(LteCell {
        identity: identity(arguments)?,
        physical_cell: arguments.at(5).number(),
        band: arguments
            .at(6)
            .text()
            .strip_prefix("EUTRAN-BAND")
            .and_then(|band| band.parse().ok()),
        earfcn: arguments.at(7).number(),
        downlink_bandwidth_mhz_tenths: bandwidth(arguments.at(8).number()),
        uplink_bandwidth_mhz_tenths: bandwidth(arguments.at(9).number()),
        rsrq_db_tenths: level(10),
        rsrp_dbm_tenths: level(11),
        rssi_dbm_tenths: level(12),
        snr: arguments.at(13).number(),
    })
}

/// 1.4, 3, 5, 10, 15 and 20 MHz by number.
fn bandwidth(number: Option<u8>) -> Option<u16> {
    [14, 30, 50, 100, 150, 200].get(usize::from(number?)).copied()
}
