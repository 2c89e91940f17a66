//! TP-VP, how long the service centre is to try (23.040 clause 9.2.3.12).

use super::timestamp::{TimestampError, TimestampOctets, decimal, semi_octets};
use serde::{Deserialize, Serialize};

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;

/// Bits of the functionality indicator of the enhanced format (clause 9.2.3.12.3).
const HAS_EXTENSION: u8 = 0x80;
const SINGLE_SHOT: u8 = 0x40;
/// The formats of the period, in bits 2 to 0.
const FORMAT: u8 = 0x07;
const AS_RELATIVE: u8 = 0b001;
const IN_SECONDS: u8 = 0b010;
const IN_HOURS_MINUTES_SECONDS: u8 = 0b011;

/// The three formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidityPeriod {
    /// From the moment that the service centre receives the message.
    Relative(RelativeValidity),
    /// Until a time.
    Absolute(TimestampOctets),
    /// The seven octets of the enhanced format.
    Enhanced(EnhancedValidity),
}

/// The octet of the relative format (clause 9.2.3.12.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RelativeValidity(pub u8);

impl RelativeValidity {
    /// The longest period: 63 weeks.
    pub const LONGEST: Self = Self(255);

    /// The period in seconds.
    pub const fn seconds(self) -> u32 {
        let value = self.0 as u32;
        match self.0 {
            0..=143 => (value + 1) * 5 * MINUTE,
            144..=167 => 12 * HOUR + (value - 143) * 30 * MINUTE,
            168..=196 => (value - 166) * DAY,
            197..=255 => (value - 192) * 7 * DAY,
        }
    }

    /// The shortest period that the format can state and that is not shorter than asked; at most the longest.
    pub fn at_least(seconds: u32) -> Self {
        (0..=u8::MAX)
            .map(Self)
            .find(|period| period.seconds() >= seconds)
            .unwrap_or(Self::LONGEST)
    }
}

/// The seven octets of the enhanced format (clause 9.2.3.12.3): a functionality indicator, then the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnhancedValidity(pub [u8; 7]);

impl EnhancedValidity {
    /// One attempt only or as many as usual, and a period if one is wanted: in seconds, then in hours, minutes and seconds,
    /// then as the relative format, whichever is the first that can state it. It is never shorter than asked, except that
    /// 63 weeks are the longest.
    pub fn new(single_shot: bool, seconds: Option<u32>) -> Self {
        let indicator = if single_shot { SINGLE_SHOT } else { 0 };
        let mut octets = [indicator, 0, 0, 0, 0, 0, 0];
        match seconds.map(|seconds| (seconds, u8::try_from(seconds))) {
            None => {}
            // Zero is reserved in this format.
            Some((_, Ok(seconds @ 1..))) => {
                octets[0] |= IN_SECONDS;
                octets[1] = seconds;
            }
            Some((seconds, _)) if seconds < 100 * HOUR => {
                octets[0] |= IN_HOURS_MINUTES_SECONDS;
                let fields = [seconds / HOUR, seconds / MINUTE % 60, seconds % 60];
                for (octet, field) in octets[1..].iter_mut().zip(fields) {
                    // Each is below 100.
                    *octet = semi_octets(field.to_le_bytes()[0]);
                }
            }
            Some((seconds, _)) => {
                octets[0] |= AS_RELATIVE;
                octets[1] = RelativeValidity::at_least(seconds).0;
            }
        }
        Self(octets)
    }

    /// Whether the service centre is to try only once.
    pub const fn is_single_shot(self) -> bool {
        self.0[0] & SINGLE_SHOT != 0
    }

    /// The period in seconds; none when the octets do not state one or use a reserved format.
    pub fn seconds(self) -> Result<Option<u32>, TimestampError> {
        let [indicator, first, second, third, ..] = self.0;
        match indicator & FORMAT {
            // What an extension octet says is not defined, and it comes before the period.
            _ if indicator & HAS_EXTENSION != 0 => Ok(None),
            AS_RELATIVE => Ok(Some(RelativeValidity(first).seconds())),
            IN_SECONDS => Ok(Some(first.into())),
            IN_HOURS_MINUTES_SECONDS => {
                let [hours, minutes, seconds] = [decimal(first)?, decimal(second)?, decimal(third)?].map(u32::from);
                Ok(Some(hours * HOUR + minutes * MINUTE + seconds))
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_periods_of_clause_9_2_3_12_1() {
        for (octet, seconds) in [
            (0, 5 * MINUTE),
            (143, 12 * HOUR),
            (144, 12 * HOUR + 30 * MINUTE),
            (167, DAY),
            (168, 2 * DAY),
            (0xA9, 3 * DAY),
            (0xAA, 4 * DAY),
            (196, 30 * DAY),
            (197, 35 * DAY),
            (244, 52 * 7 * DAY),
            (255, 63 * 7 * DAY),
        ] {
            assert_eq!(RelativeValidity(octet).seconds(), seconds, "{octet}");
            assert_eq!(RelativeValidity::at_least(seconds), RelativeValidity(octet));
        }
    }

    #[test]
    fn periods_between_two_steps_are_rounded_up() {
        assert_eq!(RelativeValidity::at_least(0).seconds(), 5 * MINUTE);
        assert_eq!(
            RelativeValidity::at_least(12 * HOUR + 1).seconds(),
            12 * HOUR + 30 * MINUTE
        );
        assert_eq!(RelativeValidity::at_least(31 * DAY).seconds(), 35 * DAY);
        assert_eq!(RelativeValidity::at_least(u32::MAX), RelativeValidity::LONGEST);
    }

    #[test]
    fn enhanced_periods_of_clause_9_2_3_12_3() {
        for (octets, seconds, single_shot) in [
            ([0x00, 0, 0, 0, 0, 0, 0], None, false),
            ([0x01, 0xAA, 0, 0, 0, 0, 0], Some(4 * DAY), false),
            ([0x42, 30, 0, 0, 0, 0, 0], Some(30), true),
            (
                [0x03, 0x21, 0x43, 0x65, 0, 0, 0],
                Some(12 * HOUR + 34 * MINUTE + 56),
                false,
            ),
            ([0x07, 1, 2, 3, 0, 0, 0], None, false),
        ] {
            let validity = EnhancedValidity(octets);
            assert_eq!(validity.seconds(), Ok(seconds), "{octets:02X?}");
            assert_eq!(validity.is_single_shot(), single_shot, "{octets:02X?}");
        }
        assert!(EnhancedValidity([0x03, 0xFF, 0, 0, 0, 0, 0]).seconds().is_err());
    }

    #[test]
    fn enhanced_periods_take_the_first_format_that_can_state_them() {
        for (single_shot, seconds, octets, stated) in [
            (false, None, [0x00, 0, 0, 0, 0, 0, 0], None),
            (true, None, [0x40, 0, 0, 0, 0, 0, 0], None),
            (true, Some(30), [0x42, 30, 0, 0, 0, 0, 0], Some(30)),
            (false, Some(0), [0x03, 0, 0, 0, 0, 0, 0], Some(0)),
            (
                false,
                Some(12 * HOUR + 34 * MINUTE + 56),
                [0x03, 0x21, 0x43, 0x65, 0, 0, 0],
                Some(12 * HOUR + 34 * MINUTE + 56),
            ),
            (true, Some(100 * HOUR), [0x41, 0xAB, 0, 0, 0, 0, 0], Some(5 * DAY)),
            (false, Some(u32::MAX), [0x01, 255, 0, 0, 0, 0, 0], Some(63 * 7 * DAY)),
        ] {
            let validity = EnhancedValidity::new(single_shot, seconds);
            assert_eq!(validity, EnhancedValidity(octets), "{seconds:?}");
            assert_eq!(validity.seconds(), Ok(stated), "{seconds:?}");
            assert_eq!(validity.is_single_shot(), single_shot, "{seconds:?}");
        }
    }
}
