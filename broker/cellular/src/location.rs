//! Positions: NMEA 0183 sentences and what they add up to.
//!
//! A receiver tells the same moment in several sentences of several talkers (GP, GL, GA, BD, GN …). A [`FixBuilder`] puts
//! those of one moment together: date, speed and course are in RMC, altitude and satellites in GGA or GNS, the error in GST.

use crate::at::reply::{self, GnssFix};

/// The longest sentence of NMEA 0183 has 82 characters; receivers are known to send longer ones.
const SENTENCE_MAX: usize = 256;

/// A knot is 1852 metres an hour.
const KNOT_MPS: f64 = 1852.0 / 3600.0;

/// A moment in UTC, as sentences tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UtcTime {
    /// Year, four digits.
    pub year: u16,
    /// Month, from 1.
    pub month: u8,
    /// Day, from 1.
    pub day: u8,
    /// Hour.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second; 60 in a leap second.
    pub second: u8,
    /// Millisecond.
    pub millisecond: u16,
}

/// A position at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Fix {
    /// North positive.
    pub latitude_degrees: f64,
    /// East positive.
    pub longitude_degrees: f64,
    /// Above mean sea level.
    pub altitude_m: Option<f64>,
    /// Over ground.
    pub speed_mps: Option<f64>,
    /// Over ground, from north by east.
    pub course_degrees: Option<f64>,
    /// When.
    pub time: UtcTime,
    /// Satellites in use.
    pub satellites_used: Option<u32>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f64>,
    /// One standard deviation of the horizontal error, where the receiver tells it (GST).
    pub horizontal_accuracy_m: Option<f64>,
}

/// What a sentence changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// A new position.
    Fix(Fix),
    /// The receiver has none.
    NoFix,
}

/// Cuts bytes into sentences and checks their checksums.
#[derive(Debug, Default)]
pub struct SentenceReader {
    line: Vec<u8>,
    overlong: bool,
    /// Sentences whose checksum is wrong or missing.
    damaged: u64,
}

impl SentenceReader {
    /// Takes bytes in any chunking and hands each good sentence on, without its line end.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for &byte in bytes {
            match byte {
                b'\r' | b'\n' => {
                    let overlong = std::mem::take(&mut self.overlong);
                    if !self.line.is_empty() || overlong {
                        match std::str::from_utf8(&self.line)
                            .ok()
                            .filter(|line| !overlong && is_intact(line))
                        {
                            Some(sentence) => each(sentence),
                            None => self.damaged += 1,
                        }
                    }
                    self.line.clear();
                }
                // A sentence that lost its end is followed by one that is whole.
                b'$' if !self.line.is_empty() => {
                    self.damaged += 1;
                    self.overlong = false;
                    self.line.clear();
                    self.line.push(byte);
                }
                byte if self.line.len() < SENTENCE_MAX => self.line.push(byte),
                _ => self.overlong = true,
            }
        }
    }

    /// Sentences whose checksum was wrong or missing so far.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }
}

/// `$` or `!`, the body, `*`, and the exclusive or of the body in two hexadecimal digits.
fn is_intact(line: &str) -> bool {
    let Some((body, checksum)) = line.strip_prefix(['$', '!']).and_then(|rest| rest.rsplit_once('*')) else {
        return false;
    };
    let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    body.bytes().all(|byte| (0x20..0x7F).contains(&byte))
        && checksum.len() == 2
        && u8::from_str_radix(checksum, 16) == Ok(sum)
}

/// Hour, minute, second and millisecond: what the sentences of one moment share.
type Clock = (u8, u8, u8, u16);

#[derive(Debug, Default)]
struct Moment {
    clock: Clock,
    rmc: Option<Rmc>,
    quality: Option<Quality>,
    accuracy: Option<f64>,
    told: bool,
}

#[derive(Debug)]
struct Rmc {
    latitude: f64,
    longitude: f64,
    speed_mps: Option<f64>,
    course: Option<f64>,
    date: (u16, u8, u8),
}

#[derive(Debug)]
struct Quality {
    satellites: Option<u32>,
    hdop: Option<f64>,
    altitude: Option<f64>,
}

/// Puts sentences of one moment together.
#[derive(Debug, Default)]
pub struct FixBuilder {
    moment: Moment,
    /// GST may come after the sentences that it belongs to; the one of the moment before is as good.
    last_accuracy: Option<f64>,
}

impl FixBuilder {
    /// Takes a sentence whose checksum was right. At most one thing changes by it.
    pub fn push(&mut self, sentence: &str) -> Option<Update> {
        let body = sentence.strip_prefix(['$', '!'])?.split('*').next()?;
        let fields: Vec<&str> = body.split(',').collect();
        // Two letters for the talker, three for the sentence; proprietary ones begin with P.
        let name = fields
            .first()
            .filter(|name| name.len() == 5 && !name.starts_with('P'))?;
        let name = name.get(2..)?;
        if !matches!(name, "RMC" | "GGA" | "GNS" | "GST") {
            return None;
        }
        let field = |position: usize| fields.get(position).copied().unwrap_or_default();
        if name == "RMC" && field(2) != "A" {
            self.moment = Moment::default();
            return Some(Update::NoFix);
        }
        let clock = clock(field(1))?;
        let mut overdue = None;
        if clock != self.moment.clock {
            // A receiver that sends RMC alone never completes a moment, so the next one does.
            overdue = self.complete(false);
            self.last_accuracy = self.moment.accuracy;
            self.moment = Moment {
                clock,
                ..Moment::default()
            };
        }
        match name {
            "RMC" => self.moment.rmc = rmc(&field),
            "GGA" if field(6) != "0" => self.moment.quality = Some(quality(&field)),
            "GNS" if field(6).bytes().any(|mode| mode != b'N') && self.moment.quality.is_none() => {
                self.moment.quality = Some(quality(&field));
            }
            "GST" => self.moment.accuracy = error(&field),
            _ => {}
        }
        overdue.or_else(|| self.complete(true))
    }

    fn complete(&mut self, whole: bool) -> Option<Update> {
        let moment = &mut self.moment;
        if moment.told || (whole && moment.quality.is_none()) {
            return None;
        }
        let rmc = moment.rmc.as_ref()?;
        moment.told = true;
        let (year, month, day) = rmc.date;
        let (hour, minute, second, millisecond) = moment.clock;
        let quality = moment.quality.as_ref();
        Some(Update::Fix(Fix {
            latitude_degrees: rmc.latitude,
            longitude_degrees: rmc.longitude,
            altitude_m: quality.and_then(|quality| quality.altitude),
            speed_mps: rmc.speed_mps,
            course_degrees: rmc.course,
            time: UtcTime {
                year,
                month,
                day,
                hour,
                minute,
                second,
                millisecond,
            },
            satellites_used: quality.and_then(|quality| quality.satellites),
            hdop: quality.and_then(|quality| quality.hdop),
            horizontal_accuracy_m: moment.accuracy.or(self.last_accuracy),
        }))
    }
}

/// The position of `+CGPSINFO` or `+CGNSSINFO`. `None` if its date or time cannot be read.
#[must_use]
pub fn fix_of(told: &GnssFix) -> Option<Fix> {
    let (hour, minute, second, millisecond) = clock(&told.time)?;
    let (year, month, day) = date(&told.date)?;
    Some(Fix {
        latitude_degrees: told.latitude_deg,
        longitude_degrees: told.longitude_deg,
        altitude_m: told.altitude_m,
        speed_mps: told.speed_kn.map(|knots| knots * KNOT_MPS),
        course_degrees: told.course_deg,
        time: UtcTime {
            year,
            month,
            day,
            hour,
            minute,
            second,
            millisecond,
        },
        satellites_used: told.satellites.map(u32::from),
        hdop: told.hdop,
        horizontal_accuracy_m: None,
    })
}

fn rmc<'a>(field: &impl Fn(usize) -> &'a str) -> Option<Rmc> {
    Some(Rmc {
        latitude: reply::coordinate(field(3), field(4), 90.0)?,
        longitude: reply::coordinate(field(5), field(6), 180.0)?,
        speed_mps: number(field(7)).map(|knots| knots * KNOT_MPS),
        course: number(field(8)),
        date: date(field(9))?,
    })
}

/// GGA and GNS have these at the same places.
fn quality<'a>(field: &impl Fn(usize) -> &'a str) -> Quality {
    Quality {
        satellites: field(7).parse().ok(),
        hdop: number(field(8)),
        altitude: number(field(9)),
    }
}

/// GST tells the deviations of latitude and longitude apart.
fn error<'a>(field: &impl Fn(usize) -> &'a str) -> Option<f64> {
    let (latitude, longitude) = (number(field(6))?, number(field(7))?);
    Some(latitude.hypot(longitude))
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// `hhmmss` or `hhmmss.sss`.
fn clock(text: &str) -> Option<Clock> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (hour, minute, second) = three_pairs(whole)?;
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let millisecond = digits.parse().ok()?;
    (hour < 24 && minute < 60 && second <= 60).then_some((hour, minute, second, millisecond))
}

/// `ddmmyy`; satellites for navigation exist since this century's receivers.
fn date(text: &str) -> Option<(u16, u8, u8)> {
    let (day, month, year) = three_pairs(text)?;
    let days = match month {
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=days)
        .contains(&day)
        .then_some((2000 + u16::from(year), month, day))
}

fn three_pairs(text: &str) -> Option<(u8, u8, u8)> {
    if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let pair = |at: usize| text.get(at..at + 2)?.parse().ok();
    Some((pair(0)?, pair(2)?, pair(4)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_no_calendar_has_is_no_date() {
        for (text, expected) in [
            ("290224", Some((2024, 2, 29))),
            ("290226", None),
            ("310426", None),
            ("311226", Some((2026, 12, 31))),
            ("001226", None),
            ("011326", None),
            ("", None),
        ] {
            assert_eq!(date(text), expected, "{text}");
        }
    }
    use proptest::prelude::*;

    /// Sentences of the command manual V1.12, clause 17, as a SIM7600 sends them every second.
    const MANUAL: &str = include_str!("../tests/data/at_transcripts/simcom_manual_v112_gnss.txt");

    fn sentences(bytes: &[u8], chunk: usize) -> (Vec<String>, u64) {
        let mut reader = SentenceReader::default();
        let mut found = Vec::new();
        for chunk in bytes.chunks(chunk.max(1)) {
            reader.push(chunk, |sentence| found.push(sentence.to_owned()));
        }
        (found, reader.damaged())
    }

    fn with_checksum(body: &str) -> String {
        format!("${body}*{:02X}", body.bytes().fold(0, |sum, byte| sum ^ byte))
    }

    fn updates(bodies: &[&str]) -> Vec<Update> {
        let mut builder = FixBuilder::default();
        bodies
            .iter()
            .filter_map(|body| builder.push(&with_checksum(body)))
            .collect()
    }

    #[test]
    fn the_sentences_of_the_manual_make_one_fix() {
        let (found, _) = sentences(MANUAL.replace('\n', "\r\n").as_bytes(), 7);
        let mut builder = FixBuilder::default();
        let fixes: Vec<Update> = found.iter().filter_map(|sentence| builder.push(sentence)).collect();
        let [Update::Fix(fix)] = &fixes[..] else {
            panic!("{fixes:?}")
        };
        assert!((fix.latitude_degrees - 31.222_016_5).abs() < 1e-6, "{fix:?}");
        assert!((fix.longitude_degrees - 121.354_134_6).abs() < 1e-6, "{fix:?}");
        assert_eq!(
            (fix.altitude_m, fix.satellites_used, fix.hdop),
            (Some(47.5), Some(10), Some(0.8))
        );
        let UtcTime {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = fix.time;
        assert_eq!((year, month, day, hour, minute, second), (2011, 12, 21, 5, 11, 47));
    }

    #[test]
    fn damaged_sentences_are_counted_and_never_read() {
        let good = with_checksum("GPGGA,051147.0,3113.320991,N,12121.248076,E,1,10,0.8,47.5,M,0,M,,");
        for (text, expected, damaged) in [
            (format!("{good}\r\n"), 1, 0),
            (format!("\r\n\r\n{good}\n{good}\r"), 2, 0),
            (format!("{}\r\n", good.replace("47.5", "97.5")), 0, 1),
            ("$GPGGA,051147.0\r\n".to_owned(), 0, 1),
            (format!("$GPRMC,0511{good}\r\n"), 1, 1),
            (format!("{}\r\n{good}\r\n", "x".repeat(10_000)), 1, 1),
            (format!("{good}0\r\n"), 0, 1),
            (good, 0, 0),
        ] {
            let (found, count) = sentences(text.as_bytes(), 3);
            assert_eq!((found.len(), count), (expected, damaged), "{text:?}");
        }
    }

    #[test]
    fn moments_are_put_together_in_any_order_and_by_any_talker() {
        let gga = "GNGGA,101500.00,5231.200,N,01324.600,E,1,07,1.1,35.2,M,,M,,";
        let rmc = "GNRMC,101500.00,A,5231.200,N,01324.600,E,10.0,90.0,211126,,,A";
        let gns = "GNGNS,101500.00,5231.200,N,01324.600,E,AAN,12,0.7,36.0,,,";
        let gst = "GPGST,101500.00,,,,,3.0,4.0,9.0";
        let next = "GPRMC,101501.00,A,5231.200,S,01324.600,W,,,211126,,,A";
        let altitude = |update: &Update| match update {
            Update::Fix(fix) => fix.altitude_m,
            Update::NoFix => None,
        };
        assert_eq!(
            updates(&[gga, rmc]).iter().map(altitude).collect::<Vec<_>>(),
            [Some(35.2)]
        );
        assert_eq!(
            updates(&[rmc, gga, rmc]).iter().map(altitude).collect::<Vec<_>>(),
            [Some(35.2)]
        );
        assert_eq!(
            updates(&[gns, rmc]).iter().map(altitude).collect::<Vec<_>>(),
            [Some(36.0)]
        );
        // RMC alone is told when the next moment begins.
        assert_eq!(updates(&[rmc]), []);
        let alone = updates(&[rmc, next]);
        let [Update::Fix(fix)] = &alone[..] else {
            panic!("{alone:?}")
        };
        assert!((fix.speed_mps.unwrap_or_default() - 5.144).abs() < 1e-3);
        assert_eq!(fix.course_degrees, Some(90.0));
        let told = updates(&[gst, gga, rmc]);
        let [Update::Fix(fix)] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(fix.horizontal_accuracy_m, Some(5.0));
    }

    #[test]
    fn a_receiver_without_a_fix_says_so() {
        assert_eq!(updates(&["GPRMC,101500.00,V,,,,,,,211126,,,N"]), [Update::NoFix]);
        assert_eq!(updates(&["GPRMC,,V,,,,,,,,,,N"]), [Update::NoFix]);
        assert_eq!(updates(&["GPGGA,,,,,,0,,,,,,,,", "GPGSV,1,1,00", "PSIMNE,1"]), []);
        for hostile in [
            "GPRMC,251500.00,A,5231.200,N,01324.600,E,,,211126",
            "GPRMC,101500.00,A,9931.200,N,01324.600,E,,,211126",
            "GPRMC,101500.00,A,5231.200,N,01324.600,E,,,991399",
            "GNRMC",
            "ÄÖRMC,1",
            "GPGGA",
        ] {
            assert_eq!(
                updates(&[hostile, hostile]),
                if hostile.contains(",A,") || !hostile.contains("RMC") || hostile.starts_with('Ä') {
                    vec![]
                } else {
                    vec![Update::NoFix; 2]
                },
                "{hostile}"
            );
        }
    }

    #[test]
    fn what_an_at_command_tells_is_a_fix_as_well() {
        let told = reply::gps_information(&["+CGPSINFO:3113.343286,N,12121.234064,E,250311,072809.3,44.1,1.0,0"]);
        let fix = told.ok().flatten().as_ref().and_then(fix_of).expect("a fix");
        assert_eq!((fix.time.millisecond, fix.time.second, fix.time.year), (300, 9, 2011));
        assert!((fix.speed_mps.unwrap_or_default() - 0.514).abs() < 1e-3);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunking_give_the_same_sentences(bytes: Vec<u8>, chunk in 1usize..64) {
            let mut bytes = bytes;
            bytes.extend_from_slice(MANUAL.as_bytes());
            prop_assert_eq!(sentences(&bytes, chunk), sentences(&bytes, bytes.len()));
        }

        #[test]
        fn no_sentence_can_break_the_builder(bodies in proptest::collection::vec("[A-Z]{2}(RMC|GGA|GNS|GST)(,[0-9.NSEWAV-]{0,12}){0,14}", 0..20)) {
            for update in updates(&bodies.iter().map(String::as_str).collect::<Vec<_>>()) {
                if let Update::Fix(fix) = update {
                    prop_assert!(fix.latitude_degrees.abs() <= 90.0 && fix.longitude_degrees.abs() <= 180.0);
                }
            }
        }
    }
}
