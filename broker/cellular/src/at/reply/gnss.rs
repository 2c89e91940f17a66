//! `+CGPSINFO` and `+CGNSSINFO`: the position as SIMCom modules report it.

use super::super::line::Arguments;
use super::{UnexpectedReply, last};

/// A position.
#[derive(Debug, Clone, PartialEq)]
pub struct GnssFix {
    /// Degrees, north positive.
    pub latitude_deg: f64,
    /// Degrees, east positive.
    pub longitude_deg: f64,
    /// UTC date as ddmmyy.
    pub date: String,
    /// UTC time as hhmmss.s.
    pub time: String,
    /// Metres above mean sea level.
    pub altitude_m: Option<f64>,
    /// Speed over ground in knots.
    pub speed_kn: Option<f64>,
    /// Course over ground in degrees.
    pub course_deg: Option<f64>,
    /// Satellites in use: GPS, GLONASS and BeiDou; only `+CGNSSINFO` tells.
    pub satellites: Option<u16>,
    /// Horizontal dilution of precision; only `+CGNSSINFO` tells.
    pub hdop: Option<f64>,
}

/// `+CGPSINFO`. `None` without a fix.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn gps_information(lines: &[impl AsRef<str>]) -> Result<Option<GnssFix>, UnexpectedReply> {
    last(lines, "+CGPSINFO", |arguments| {
        (arguments.len() >= 8).then(|| fix(arguments, 0))
    })
}

/// `+CGNSSINFO`. `None` without a fix.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn gnss_information(lines: &[impl AsRef<str>]) -> Result<Option<GnssFix>, UnexpectedReply> {
    last(lines, "+CGNSSINFO", |arguments| {
        (arguments.len() >= 12).then(|| {
            let satellites = (1..=3).filter_map(|position| arguments.at(position).number::<u16>());
            let satellites = satellites.fold(0, u16::saturating_add);
            fix(arguments, 4).map(|fix| GnssFix {
                satellites: Some(satellites),
                hdop: float(arguments, 14),
                ..fix
            })
        })
    })
}

/// `+CGPS?`: true while the receiver runs.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn gnss_running(lines: &[impl AsRef<str>]) -> Result<bool, UnexpectedReply> {
    last(lines, "+CGPS", |arguments| {
        arguments.at(0).number::<u8>().map(|on| on == 1)
    })
}

/// `+CGPSNMEARATE?`: true for ten fixes a second instead of one.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn nmea_rate(lines: &[impl AsRef<str>]) -> Result<bool, UnexpectedReply> {
    last(lines, "+CGPSNMEARATE", |arguments| {
        arguments.at(0).number::<u8>().map(|rate| rate == 1)
    })
}

/// Latitude, its hemisphere, longitude, its hemisphere, date, time, altitude, speed, course.
fn fix(arguments: &Arguments<'_>, first: usize) -> Option<GnssFix> {
    let at = |offset: usize| arguments.at(first + offset);
    Some(GnssFix {
        latitude_deg: coordinate(at(0).text(), at(1).text(), 90.0)?,
        longitude_deg: coordinate(at(2).text(), at(3).text(), 180.0)?,
        date: at(4).non_empty()?.to_owned(),
        time: at(5).non_empty()?.to_owned(),
        altitude_m: float(arguments, first + 6),
        speed_kn: float(arguments, first + 7),
        course_deg: float(arguments, first + 8),
        satellites: None,
        hdop: None,
    })
}

/// `3113.343286` is 31 degrees and 13.343286 minutes.
pub(crate) fn coordinate(text: &str, hemisphere: &str, limit_deg: f64) -> Option<f64> {
    let sign = match hemisphere {
        "N" | "E" => 1.0,
        "S" | "W" => -1.0,
        _ => return None,
    };
    let point = text.find('.').unwrap_or(text.len());
    let (degrees, minutes) = text.split_at_checked(point.checked_sub(2)?)?;
    let degrees: f64 = if degrees.is_empty() { 0.0 } else { degrees.parse().ok()? };
    let minutes: f64 = minutes.parse().ok().filter(|minutes| (0.0..60.0).contains(minutes))?;
    let magnitude = degrees + minutes / 60.0;
    (0.0..=limit_deg).contains(&magnitude).then_some(sign * magnitude)
}

fn float(arguments: &Arguments<'_>, position: usize) -> Option<f64> {
    arguments.at(position).number().filter(|value: &f64| value.is_finite())
}
