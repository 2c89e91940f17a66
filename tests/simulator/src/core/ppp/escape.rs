//! The way from the data state to the command state: `+++` with silence before and behind it (V.250 leaves it to the maker;
//! command manual V1.12 clause 3.9).

use std::time::{Duration, Instant};

/// The sequence that leads from the data state to the command state.
const ESCAPE: u8 = b'+';
const ESCAPE_LENGTH: usize = 3;

/// Looks for `+++` with silence before and behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct EscapeWatch {
    /// The last octet of the host.
    last: Instant,
    /// What came of the sequence so far; kept back until it is clear that it is none.
    held: usize,
    /// When the silence behind it is long enough.
    pub(super) due: Option<Instant>,
}

impl EscapeWatch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            last: now,
            held: 0,
            due: None,
        }
    }

    /// Takes octets of the host and gives back those that are data.
    pub(super) fn pass(&mut self, now: Instant, guard: Duration, octets: &[u8]) -> Vec<u8> {
        if octets.is_empty() {
            return Vec::new();
        }
        let silence = now.saturating_duration_since(self.last) >= guard;
        self.last = now;
        self.due = None;
        let mut data = Vec::new();
        if silence {
            // What was kept back stood alone.
            data.resize(std::mem::take(&mut self.held), ESCAPE);
        }
        let may_be_escape = (silence || self.held > 0) && octets.iter().all(|octet| *octet == ESCAPE);
        if may_be_escape && self.held + octets.len() <= ESCAPE_LENGTH {
            self.held += octets.len();
            self.due = (self.held == ESCAPE_LENGTH).then(|| now + guard);
        } else {
            let length = data.len() + std::mem::take(&mut self.held);
            data.resize(length, ESCAPE);
            data.extend_from_slice(octets);
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_pluses_with_silence_around_them_are_an_escape() {
        let guard = Duration::from_secs(1);
        // Milliseconds after the one before, octets, what passes as data, and whether an escape may follow.
        type Step = (u64, &'static str, &'static str, bool);
        let cases: [&[Step]; 7] = [
            &[(1_000, "+++", "", true)],
            &[(1_000, "+", "", false), (200, "+", "", false), (200, "+", "", true)],
            &[(900, "+++", "+++", false)],
            &[(1_000, "+++", "", true), (100, "~", "+++~", false)],
            &[(1_000, "++++", "++++", false)],
            &[(1_000, "++", "", false), (1_000, "+++", "++", true)],
            &[(1_000, "+++ATH", "+++ATH", false)],
        ];
        for steps in cases {
            let mut now = Instant::now();
            let mut watch = EscapeWatch::new(now);
            for (ms, octets, data, escape) in steps {
                now += Duration::from_millis(*ms);
                let passed = watch.pass(now, guard, octets.as_bytes());
                assert_eq!(String::from_utf8_lossy(&passed), *data, "{steps:?}");
                assert_eq!(watch.due.is_some(), *escape, "{steps:?}");
            }
        }
    }
}
