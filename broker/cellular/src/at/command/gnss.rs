//! The satellite receiver.

use super::{Command, limit};

/// `AT+CGPS=1,1`: start the receiver. ERROR if it runs.
#[must_use]
pub fn gnss_on() -> Command {
    Command::action("AT+CGPS=1,1", limit::GNSS)
}

/// `AT+CGPS=0`: stop the receiver. It has stopped when `+CGPS: 0` comes.
#[must_use]
pub fn gnss_off() -> Command {
    Command::action("AT+CGPS=0", limit::GNSS)
}

/// `AT+CGPS?`: does the receiver run?
#[must_use]
pub fn gnss_query() -> Command {
    Command::query("AT+CGPS?", &["+CGPS"], limit::LOCAL)
}

/// `AT+CGPSNMEARATE?`: how often the receiver tells a position.
#[must_use]
pub fn nmea_rate_query() -> Command {
    Command::query("AT+CGPSNMEARATE?", &["+CGPSNMEARATE"], limit::LOCAL)
}

/// `AT+CGPSNMEARATE=<rate>`: ten positions a second, or one. It takes effect at the next start.
#[must_use]
pub fn nmea_rate(fast: bool) -> Command {
    Command::action(format!("AT+CGPSNMEARATE={}", u8::from(fast)), limit::LOCAL)
}

/// `AT+CGPSINFO`: position.
#[must_use]
pub fn gps_information() -> Command {
    Command::query("AT+CGPSINFO", &["+CGPSINFO"], limit::LOCAL)
}

/// `AT+CGNSSINFO`: position, with satellites and precision.
#[must_use]
pub fn gnss_information() -> Command {
    Command::query("AT+CGNSSINFO", &["+CGNSSINFO"], limit::LOCAL)
}
