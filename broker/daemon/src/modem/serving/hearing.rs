//! Unsolicited result codes of two AT ports.
//!
//! A module mostly tells every port, some firmwares and settings one of them only (`AT+CATR`). One port is believed at once;
//! what the other one announces counts when the first has not said the same within a moment, so that everything counts once.

use std::collections::HashMap;
use std::time::Duration;

use cellular::at::Urc;
use tokio::time::Instant;

/// How long the believed port may take to say what the other one said.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long it is remembered that one port has said something. What is not said by then was lost.
const APART: Duration = Duration::from_secs(5);

/// Lines that are remembered. More are forgotten: then something may count twice.
const LIMIT: usize = 256;

/// What each port has said that the other one has not.
#[derive(Default)]
pub(super) struct Hearing {
    /// How far the believed port is ahead, by the words of a line.
    ahead: HashMap<String, (i32, Instant)>,
    /// What only the other port has said so far, in order.
    held: Vec<(Instant, String, Urc)>,
}

impl Hearing {
    /// The believed port said something. False if it counts already.
    pub(super) fn believed(&mut self, line: &str, now: Instant) -> bool {
        if let Some(position) = self.held.iter().position(|(_, held, _)| held == line) {
            self.held.remove(position);
            return true;
        }
        self.move_ahead(line, 1, now) > 0
    }

    /// The other port said something. What tells of a state is read from time to time, and late it may be wrong; what tells
    /// of something that happened is not told again.
    pub(super) fn other(&mut self, line: String, urc: Urc, now: Instant) {
        if !is_announcement(&urc) {
            return;
        }
        let is_said = self
            .ahead
            .get(&line)
            .is_some_and(|(ahead, at)| *ahead > 0 && now - *at < APART);
        if is_said {
            self.move_ahead(&line, -1, now);
        } else if self.held.len() < LIMIT {
            self.held.push((now + PATIENCE, line, urc));
        }
    }

    /// What the other port said and the believed one did not.
    pub(super) fn due(&mut self, now: Instant) -> Option<Urc> {
        if self.held.first()?.0 > now {
            return None;
        }
        let (_, line, urc) = self.held.remove(0);
        self.move_ahead(&line, -1, now);
        Some(urc)
    }

    /// When [`Hearing::due`] has something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.held.first().map(|(due, ..)| *due)
    }

    fn move_ahead(&mut self, line: &str, by: i32, now: Instant) -> i32 {
        if self.ahead.len() >= LIMIT {
            self.ahead.clear();
        }
        let known = self.ahead.remove(line).filter(|(_, at)| now - *at < APART);
        let ahead = known.map_or(0, |(ahead, _)| ahead) + by;
        if ahead != 0 {
            self.ahead.insert(line.to_owned(), (ahead, now));
        }
        ahead
    }
}

fn is_announcement(urc: &Urc) -> bool {
    matches!(
        urc,
        Urc::Ring(_)
            | Urc::CallerId(_)
            | Urc::CallWaiting { .. }
            | Urc::Dtmf(_)
            | Urc::MessageStored { .. }
            | Urc::StatusReportStored { .. }
            | Urc::MessageDelivered { .. }
            | Urc::StatusReportDelivered { .. }
            | Urc::StorageFull
            | Urc::Ussd(_)
            | Urc::SmsReady
            | Urc::ModuleReady
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a line counts that is said like this: `b` by the believed port, `o` by the other one, `.` a pause.
    fn counted(said: &str) -> usize {
        let mut hearing = Hearing::default();
        let mut now = Instant::now();
        let mut count = 0;
        for step in said.chars() {
            match step {
                'b' => count += usize::from(hearing.believed("RING", now)),
                'o' => hearing.other("RING".to_owned(), Urc::StorageFull, now),
                _ => now += APART / 2,
            }
            while hearing.due(now).is_some() {
                count += 1;
            }
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn every_line_counts_once_whichever_port_says_it() {
        for (said, expected) in [
            ("bo.", 1),
            ("ob.", 1),
            ("b.b.b.", 3),
            ("o.o.o.", 3),
            ("bo.bo.ob.", 3),
            ("bboo.", 2),
            // The believed port is later than its moment.
            ("o.b.", 1),
            // The other one lost a line.
            ("b...o.", 2),
        ] {
            assert_eq!(counted(said), expected, "{said}");
        }
    }
}
