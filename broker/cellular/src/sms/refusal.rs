//! What a `+CMS ERROR` in place of a message reference says about the message (27.005 3.2.5).
//!
//! A message that was refused is not with the service centre and somebody may send it again. One whose fate is unknown may
//! be, and sending it again could deliver it twice. So only causes that leave no doubt are a refusal.

/// What became of a message that was handed over and answered with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It was not accepted, and will not be as it is.
    Permanent,
    /// The network did not accept it now, and may later.
    Temporary,
    /// The module did not try: it has no network or no SIM that serves it at present. Nothing was spent.
    NotTried,
    /// Nobody knows. The network may have it.
    Unknown,
}

use Refusal::{NotTried, Permanent, Temporary, Unknown};

/// Causes by ranges, in order. What is in none is [`Refusal::Unknown`]: 300 ME failure, 320 to 322 memory, 332 network timeout,
/// 500 unknown error, and what a manufacturer adds. The message may have left before that went wrong.
const CAUSES: &[(u16, u16, Refusal)] = &[
    // RP-ERROR of the network (24.011 8.2.5.4, table 8.4): the message was not accepted.
    (1, 1, Permanent),     // unassigned number
    (8, 8, Permanent),     // operator determined barring
    (10, 10, Permanent),   // call barred
    (21, 21, Permanent),   // short message transfer rejected
    (27, 27, Temporary),   // destination out of order
    (28, 30, Permanent),   // unidentified subscriber, facility rejected, unknown subscriber
    (38, 38, Temporary),   // network out of order
    (41, 42, Temporary),   // temporary failure, congestion
    (47, 47, Temporary),   // resources unavailable
    (50, 50, Permanent),   // requested facility not subscribed
    (69, 69, Permanent),   // requested facility not implemented
    (81, 81, Permanent),   // invalid short message transfer reference value
    (95, 99, Permanent),   // semantically incorrect message and its like
    (111, 111, Permanent), // protocol error
    (127, 127, Permanent), // interworking
    // Any other is to be taken for a temporary failure by the mobile (24.011 8.2.5.4).
    (2, 126, Temporary),
    // SMS-SUBMIT-REPORT for RP-ERROR: TP-FCS of the service centre (23.040 9.2.3.22).
    (0x80, 0xBF, Permanent),
    (0xC0, 0xC0, Temporary), // SC busy
    (0xC2, 0xC2, Temporary), // SC system failure
    (0xC1, 0xCF, Permanent),
    // 0xD0 to 0xDF are said by mobiles about what they received, and no answer to a message of theirs.
    (0xE0, 0xFF, Permanent),
    // The module's own (27.005 3.2.5).
    (301, 301, NotTried),  // SMS service of ME reserved
    (302, 305, Permanent), // operation not allowed or supported, invalid parameter
    (310, 314, NotTried),  // SIM not inserted, PIN required, failure, busy
    (315, 315, Permanent), // SIM wrong
    (316, 316, NotTried),  // SIM PUK required
    (317, 318, Permanent), // PIN2 and PUK2: only fixed numbers are allowed
    (330, 330, Permanent), // service centre address unknown
    (331, 331, NotTried),  // no network service
    (342, 342, Permanent), // larger than expected (SIM7600 manual V1.12, 19.3)
];

/// What the number of a `+CMS ERROR` says. Without a number (`ERROR`, `+CME ERROR`) nothing is known.
#[must_use]
pub fn of_number(number: Option<u16>) -> Refusal {
    let Some(number) = number else { return Unknown };
    let row = CAUSES
        .iter()
        .find(|(first, last, _)| (*first..=*last).contains(&number));
    row.map_or(Unknown, |(_, _, refusal)| *refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_causes_without_doubt_are_a_refusal() {
        for (numbers, expected) in [
            (
                &[1, 8, 10, 21, 28, 29, 30, 50, 69, 81, 95, 96, 97, 98, 99, 111, 127][..],
                Permanent,
            ),
            (&[27, 38, 41, 42, 47, 22, 17, 126], Temporary),
            (
                &[128, 143, 159, 175, 176, 193, 195, 196, 197, 198, 199, 224, 255],
                Permanent,
            ),
            (&[192, 194], Temporary),
            (&[301, 310, 311, 312, 313, 314, 316, 331], NotTried),
            (&[302, 303, 304, 305, 315, 317, 318, 330, 342], Permanent),
            (
                &[
                    0, 208, 211, 223, 256, 300, 320, 321, 322, 332, 340, 341, 500, 512, 65535,
                ],
                Unknown,
            ),
        ] {
            for number in numbers {
                assert_eq!(of_number(Some(*number)), expected, "{number}");
            }
        }
        assert_eq!(of_number(None), Unknown);
    }
}
