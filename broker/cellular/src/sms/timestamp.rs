//! Time stamps: the service centre time stamp, the discharge time and the absolute validity period
//! (23.040 clauses 9.2.3.11, 9.2.3.13 and 9.2.3.12.2).

use serde::{Deserialize, Serialize};
use std::fmt;

/// Two-digit years from here on belong to the 1900s. The first short message was sent in December 1992, so 90 to 99 can
/// only be the past, and the pivot is good until 2089.
const FIRST_YEAR_OF_1900S: u8 = 90;

const SECONDS_PER_QUARTER_HOUR: i64 = 15 * 60;
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// Why seven octets, or seven numbers, are not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// A semi-octet above nine.
    #[error("octet {octet:#04x} of the time stamp is not two decimal digits")]
    NotDecimal {
        /// The octet as received.
        octet: u8,
    },
    /// A number that no calendar or clock has.
    #[error("{value} cannot be the {field} of a time stamp")]
    OutOfRange {
        /// Which number.
        field: &'static str,
        /// Its value.
        value: i64,
    },
}

/// A local time with its distance from UTC, to the second. The fields are valid by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "TimestampFields", into = "TimestampFields")]
pub struct Timestamp {
    fields: TimestampFields,
}

/// The numbers of a [`Timestamp`], unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimestampFields {
    /// 1990 to 2089: what two digits can say around the pivot.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to the length of the month.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Local time minus UTC in quarters of an hour, -79 to 79.
    pub offset_quarter_hours: i8,
}

impl Timestamp {
    /// Checks the numbers.
    pub fn new(fields: TimestampFields) -> Result<Self, TimestampError> {
        let check = |field, value: i64, range: std::ops::RangeInclusive<i64>| {
            if range.contains(&value) {
                Ok(())
            } else {
                Err(TimestampError::OutOfRange { field, value })
            }
        };
        check("year", fields.year.into(), 1990..=2089)?;
        check("month", fields.month.into(), 1..=12)?;
        check("day", fields.day.into(), 1..=days_in_month(fields.year, fields.month))?;
        check("hour", fields.hour.into(), 0..=23)?;
        check("minute", fields.minute.into(), 0..=59)?;
        check("second", fields.second.into(), 0..=59)?;
        check("offset in quarter hours", fields.offset_quarter_hours.into(), -79..=79)?;
        Ok(Self { fields })
    }

    /// The numbers.
    pub const fn fields(self) -> TimestampFields {
        self.fields
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn unix_seconds(self) -> i64 {
        let TimestampFields {
            year,
            month,
            day,
            hour,
            minute,
            second,
            offset_quarter_hours,
        } = self.fields;
        let days = days_since_1970(year.into(), month.into(), day.into());
        let clock = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
        days * SECONDS_PER_DAY + clock - i64::from(offset_quarter_hours) * SECONDS_PER_QUARTER_HOUR
    }

    /// The local time at an instant, for a distance from UTC. It fails outside the years 1990 to 2089.
    pub fn from_unix_seconds(seconds: i64, offset_quarter_hours: i8) -> Result<Self, TimestampError> {
        let offset = i64::from(offset_quarter_hours) * SECONDS_PER_QUARTER_HOUR;
        let local = seconds.checked_add(offset).ok_or(TimestampError::OutOfRange {
            field: "instant",
            value: seconds,
        })?;
        let (year, month, day) = date_of_day(local.div_euclid(SECONDS_PER_DAY));
        let clock = local.rem_euclid(SECONDS_PER_DAY);
        let small = |value: i64| u8::try_from(value).unwrap_or(u8::MAX);
        Self::new(TimestampFields {
            year: u16::try_from(year).map_err(|_| TimestampError::OutOfRange {
                field: "year",
                value: year,
            })?,
            month: small(month),
            day: small(day),
            hour: small(clock / 3600),
            minute: small(clock / 60 % 60),
            second: small(clock % 60),
            offset_quarter_hours,
        })
    }
}

impl TryFrom<TimestampFields> for Timestamp {
    type Error = TimestampError;

    fn try_from(fields: TimestampFields) -> Result<Self, TimestampError> {
        Self::new(fields)
    }
}

impl From<Timestamp> for TimestampFields {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.fields
    }
}

/// RFC 3339, as in `2002-08-26T19:37:41+02:00`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TimestampFields {
            year,
            month,
            day,
            hour,
            minute,
            second,
            offset_quarter_hours,
        } = self.fields;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        let minutes = u32::from(offset_quarter_hours.unsigned_abs()) * 15;
        let sign = if offset_quarter_hours < 0 { '-' } else { '+' };
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// The seven octets of a time stamp as a PDU carries them.
///
/// They are kept as received, because a message whose time stamp makes no sense is still a message, and some networks do
/// send zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimestampOctets(pub [u8; 7]);

impl TimestampOctets {
    /// The time that the octets state.
    pub fn timestamp(self) -> Result<Timestamp, TimestampError> {
        let [year, month, day, hour, minute, second, offset] = self.0;
        let year = decimal(year)?;
        let century = if year >= FIRST_YEAR_OF_1900S { 1900 } else { 2000 };
        // Bit 3 of the first semi-octet is the sign (clause 9.2.3.11), so the tens have three bits.
        let quarters = decimal(offset & !0x08).map_err(|_| TimestampError::NotDecimal { octet: offset })?;
        let quarters = quarters.cast_signed();
        Timestamp::new(TimestampFields {
            year: century + u16::from(year),
            month: decimal(month)?,
            day: decimal(day)?,
            hour: decimal(hour)?,
            minute: decimal(minute)?,
            second: decimal(second)?,
            offset_quarter_hours: if offset & 0x08 == 0 { quarters } else { -quarters },
        })
    }
}

impl From<Timestamp> for TimestampOctets {
    fn from(timestamp: Timestamp) -> Self {
        let fields = timestamp.fields;
        // The year is below 2090 and the rest below 100, so the remainder always fits an octet.
        let year = (fields.year % 100).to_le_bytes()[0];
        let sign = if fields.offset_quarter_hours < 0 { 0x08 } else { 0 };
        Self([
            semi_octets(year),
            semi_octets(fields.month),
            semi_octets(fields.day),
            semi_octets(fields.hour),
            semi_octets(fields.minute),
            semi_octets(fields.second),
            semi_octets(fields.offset_quarter_hours.unsigned_abs()) | sign,
        ])
    }
}

/// Reads two decimal digits, the first in the low semi-octet (clause 9.1.2.3).
pub(super) fn decimal(octet: u8) -> Result<u8, TimestampError> {
    let (tens, units) = (octet & 0x0F, octet >> 4);
    if tens > 9 || units > 9 {
        return Err(TimestampError::NotDecimal { octet });
    }
    Ok(tens * 10 + units)
}

/// Writes a number below 100 as two decimal digits, the first in the low semi-octet.
pub(super) const fn semi_octets(number: u8) -> u8 {
    ((number % 10) << 4) | (number / 10)
}

fn days_in_month(year: u16, month: u8) -> i64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar. The year is counted from March, so that the leap day is its last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// The inverse of [`days_since_1970`]: year, month and day.
fn date_of_day(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_400_YEARS: i64 = 146_097;
    let days = days + 719_468;
    let day_of_era = days.rem_euclid(DAYS_PER_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = year_of_era + days.div_euclid(DAYS_PER_400_YEARS) * 400;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(octets: [u8; 7]) -> Result<String, TimestampError> {
        TimestampOctets(octets)
            .timestamp()
            .map(|timestamp| timestamp.to_string())
    }

    #[test]
    fn octets_read_as_local_time_with_offset() {
        for (octets, expected) in [
            ([0x20, 0x80, 0x62, 0x91, 0x73, 0x14, 0x08], "2002-08-26T19:37:41+00:00"),
            ([0x20, 0x80, 0x62, 0x91, 0x73, 0x14, 0x48], "2002-08-26T19:37:41-01:00"),
            ([0x51, 0x30, 0x21, 0x51, 0x74, 0x00, 0x20], "2015-03-12T15:47:00+00:30"),
            ([0x99, 0x21, 0x13, 0x32, 0x95, 0x95, 0x25], "1999-12-31T23:59:59+13:00"),
            ([0x98, 0x20, 0x82, 0x00, 0x00, 0x00, 0x00], "2089-02-28T00:00:00+00:00"),
            ([0x42, 0x20, 0x92, 0x00, 0x00, 0x00, 0x00], "2024-02-29T00:00:00+00:00"),
        ] {
            assert_eq!(parse(octets).as_deref(), Ok(expected), "{octets:02X?}");
        }
    }

    #[test]
    fn what_is_no_time_is_an_error() {
        let no_leap_year = [0x98, 0x20, 0x92, 0, 0, 0, 0];
        for octets in [
            no_leap_year,
            [0; 7],
            [0x42, 0x31, 0x10, 0, 0, 0, 0],
            [0x42, 0x10, 0x10, 0x42, 0, 0, 0],
            [0xFF; 7],
        ] {
            assert!(parse(octets).is_err(), "{octets:02X?}");
        }
    }

    #[test]
    fn unix_seconds_of_known_instants() {
        for (octets, seconds) in [
            ([0x20, 0x80, 0x62, 0x91, 0x73, 0x14, 0x80], 1_030_390_661 - 2 * 3600),
            ([0x07, 0x10, 0x10, 0x00, 0x00, 0x00, 0x00], 3_155_760_000),
            ([0x00, 0x20, 0x92, 0x21, 0x00, 0x00, 0x00], 951_825_600),
        ] {
            assert_eq!(
                TimestampOctets(octets).timestamp().map(Timestamp::unix_seconds),
                Ok(seconds),
                "{octets:02X?}"
            );
        }
    }

    proptest! {
        #[test]
        fn instants_survive_the_octets(seconds in 631_238_400i64..3_786_825_600, offset in -48i8..=56) {
            let timestamp = Timestamp::from_unix_seconds(seconds, offset);
            if let Ok(timestamp) = timestamp {
                prop_assert_eq!(timestamp.unix_seconds(), seconds);
                prop_assert_eq!(TimestampOctets::from(timestamp).timestamp(), Ok(timestamp));
            }
        }

        #[test]
        fn instants_of_any_size_do_not_panic(seconds: i64, offset: i8) {
            let _ = Timestamp::from_unix_seconds(seconds, offset);
        }
    }
}
