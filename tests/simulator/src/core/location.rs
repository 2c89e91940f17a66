//! The GNSS receiver: `AT+CGPS`, `AT+CGPSINFO` and sentences on the NMEA port.

use std::time::Duration;

use super::Modem;
use super::line::{Command, Form};
use super::reply::{Outcome, Reply};
use super::schedule::Action;
use super::usb::Function;

/// By `AT+CGPSNMEARATE`, which takes effect when the receiver starts.
const NMEA_INTERVALS: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(100)];

/// The receiver.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    running: bool,
    generation: u64,
    interval: Duration,
    /// Degrees north and east; `None` without a fix.
    pub(crate) position: Option<(f64, f64)>,
}

impl Default for Location {
    fn default() -> Self {
        // The example of the command manual: somewhere in Shanghai.
        Self {
            running: false,
            generation: 0,
            interval: NMEA_INTERVALS[0],
            position: Some((31.222_388, 121.353_734)),
        }
    }
}

impl Location {
    pub(crate) fn stop(&mut self) {
        self.running = false;
        self.generation += 1;
    }
}

/// `ddmm.mmmmmm` and the hemisphere, as NMEA 0183 has it.
fn sexagesimal(degrees: f64, width: usize, hemispheres: [char; 2]) -> (String, char) {
    let total = degrees.abs();
    let whole = total.trunc();
    let minutes = (total - whole) * 60.0;
    let text = format!("{whole:0width$.0}{minutes:09.6}");
    (text, hemispheres[usize::from(degrees < 0.0)])
}

fn sentence(body: &str) -> String {
    let checksum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${body}*{checksum:02X}\r\n")
}

impl Modem {
    /// Answers commands about the receiver.
    pub(super) fn location_command(&mut self, command: &Command) -> Option<Outcome> {
        let reply = match (command.name.as_str(), &command.form) {
            ("+CGPS", Form::Read) => Reply::line(format!("+CGPS: {},1", u8::from(self.location.running))),
            ("+CGPS", Form::Test) => Reply::line("+CGPS: (0-1),(1-3)"),
            ("+CGPS", Form::Set) => match (command.number(0), self.location.running) {
                (Some(1), false) => {
                    self.location.running = true;
                    self.location.generation += 1;
                    self.location.interval = NMEA_INTERVALS[usize::from(self.settings.is_on("+CGPSNMEARATE"))];
                    let generation = self.location.generation;
                    Reply::ok().then(self.location.interval, Action::Nmea { generation })
                }
                (Some(0), true) => {
                    self.location.stop();
                    let line = "+CGPS: 0".to_owned();
                    Reply::ok().then(self.random.within(self.delays.command), Action::Unsolicited { line })
                }
                _ => Reply::error(),
            },
            ("+CGPSINFO", Form::Execute) => Reply::line(format!("+CGPSINFO: {}", self.position_fields())),
            ("+CGPSINFO", Form::Read) => Reply::line("+CGPSINFO: 0"),
            ("+CGPSINFO", Form::Test) => Reply::line("+CGPSINFO: (0-255)"),
            ("+CGPSINFO", Form::Set) => Reply::ok(),
            ("+CGNSSINFO", Form::Execute) => Reply::line(self.gnss_line()),
            _ => return None,
        };
        Some(reply.into())
    }

    fn fix(&self) -> Option<(f64, f64)> {
        self.location.position.filter(|_| self.location.running)
    }

    fn position_fields(&self) -> String {
        let Some((north, east)) = self.fix() else {
            return ",,,,,,,,".to_owned();
        };
        let (latitude, ns) = sexagesimal(north, 2, ['N', 'S']);
        let (longitude, ew) = sexagesimal(east, 3, ['E', 'W']);
        let (time, _) = self.local_time();
        let (date, clock) = (time.strftime("%d%m%y"), time.strftime("%H%M%S"));
        format!("{latitude},{ns},{longitude},{ew},{date},{clock}.0,44.1,0.0,0")
    }

    fn gnss_line(&self) -> String {
        if self.fix().is_none() {
            return "+CGNSSINFO: ,,,,,,,,,,,,,,,".to_owned();
        }
        let fields = self.position_fields();
        let base = fields.trim_end_matches(",44.1,0.0,0");
        format!("+CGNSSINFO: 2,09,05,00,{base},32.9,0.0,255.0,1.1,0.8,0.7")
    }

    pub(super) fn nmea_due(&mut self, generation: u64) {
        if generation != self.location.generation || !self.location.running {
            return;
        }
        let (time, _) = self.local_time();
        let (date, clock) = (time.strftime("%d%m%y").to_string(), time.strftime("%H%M%S").to_string());
        let tenth = time.millisecond() / 100;
        let (rmc, gga) = match self.fix() {
            Some((north, east)) => {
                let (latitude, ns) = sexagesimal(north, 2, ['N', 'S']);
                let (longitude, ew) = sexagesimal(east, 3, ['E', 'W']);
                let place = format!("{latitude},{ns},{longitude},{ew}");
                (
                    format!("GPRMC,{clock}.{tenth},A,{place},0.0,0.0,{date},,,A"),
                    format!("GPGGA,{clock}.{tenth},{place},1,10,0.8,44.1,M,0,M,,"),
                )
            }
            None => (
                format!("GPRMC,{clock}.{tenth},V,,,,,,,{date},,,N"),
                "GPGGA,,,,,,0,,,,,,,,".to_owned(),
            ),
        };
        let text = sentence(&gga) + &sentence(&rmc);
        self.emit(Function::Nmea, text.as_bytes());
        self.schedule
            .at(self.now + self.location.interval, Action::Nmea { generation });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sentence is an example of the command manual V1.12, clause 17.
    #[test]
    fn a_sentence_ends_with_the_checksum_of_nmea() {
        let body = "GPGGA,051147.0,3113.320991,N,12121.248076,E,1,10,0.8,47.5,M,0,M,,";
        assert_eq!(sentence(body), format!("${body}*45\r\n"));
    }

    #[test]
    fn degrees_become_degrees_and_minutes() {
        assert_eq!(sexagesimal(31.222_388, 2, ['N', 'S']), ("3113.343280".to_owned(), 'N'));
        assert_eq!(sexagesimal(-0.5, 3, ['E', 'W']), ("00030.000000".to_owned(), 'W'));
    }
}
