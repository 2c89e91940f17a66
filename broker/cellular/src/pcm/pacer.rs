//! When a frame is written.

use std::time::Duration;

use super::{FRAME, SampleRate};

/// Decides when the next uplink frame is due.
///
/// The module's clock is the only clock: one frame may go out for each frame that came in, so neither side ever runs ahead of
/// the other, whatever the two crystals say. Chunks that arrive together are spread out again, because what the kernel and the
/// module hold cannot be taken back by a barge-in. When nothing arrives (a dead downlink, a module that sends nothing before
/// the answer) frames go out on a schedule of their own, and those count against what arrives in one go afterwards.
#[derive(Clone, Debug)]
pub struct Pacer {
    frame_bytes: i64,
    /// Octets that may still be written, negative when the schedule has lent some.
    credit: i64,
    last_read: Duration,
    last_write: Option<Duration>,
    last_turn: Duration,
    pause: Option<Pause>,
}

/// The first moments after a pause, in which what piled up meanwhile arrives.
#[derive(Clone, Copy, Debug)]
struct Pause {
    over: Duration,
    credit_max: i64,
}

impl Pacer {
    /// Two frames are never written closer than this. Less than a frame, so that a faster module can be followed.
    const SPACING: Duration = Duration::from_millis(18);
    /// Silence of the module after which the schedule takes over. The largest regular chunks seen are 40 ms apart.
    const QUIET: Duration = Duration::from_millis(60);
    /// Turns further apart than this mean that this side stood still: the schedule alone asks for one every 60 ms.
    const STANDSTILL: Duration = Duration::from_millis(100);
    /// What piled up during a pause is read within this time, however many reads it takes.
    const PILE: Duration = Duration::from_millis(10);
    /// Credit and debt are bounded to the largest chunk that modules are known to send, 100 ms.
    const CREDIT_MAX_FRAMES: i64 = 5;

    /// Begins at `now` with nothing owed.
    #[must_use]
    pub fn new(rate: SampleRate, now: Duration) -> Self {
        Pacer {
            frame_bytes: rate.frame_bytes() as i64,
            credit: 0,
            last_read: now,
            last_write: None,
            last_turn: now,
            pause: None,
        }
    }

    /// Takes note of octets that were read.
    pub fn read(&mut self, now: Duration, count: usize) {
        if count == 0 {
            return;
        }
        if now.saturating_sub(self.last_turn) > Self::STANDSTILL {
            // The module played silence for what this side did not write. Paying all of it back would add that much delay
            // for the rest of the call.
            self.pause = Some(Pause {
                over: now + Self::PILE,
                credit_max: self.frame_bytes,
            });
        } else if now.saturating_sub(self.last_read) >= Self::QUIET {
            self.pause = Some(Pause {
                over: now + Self::PILE,
                credit_max: self.credit_max(),
            });
        } else if self.pause.is_some_and(|pause| now > pause.over) {
            // What the schedule lent and the pile did not pay back was never sent by the module, so it is owed by nobody.
            self.credit = self.credit.max(0);
            self.pause = None;
        }
        let limit = self.pause.map_or(self.credit_max(), |pause| pause.credit_max);
        self.credit = (self.credit + i64::try_from(count).unwrap_or(self.credit_max())).min(limit);
        self.last_read = now;
        self.last_turn = now;
    }

    /// Whether a frame is to be written now. Each `true` accounts for one frame.
    pub fn take_due(&mut self, now: Duration) -> bool {
        self.last_turn = now;
        let due = self.next_due();
        if now < due {
            return false;
        }
        self.credit = (self.credit - self.frame_bytes).max(-self.credit_max());
        // On schedule, the due time and not the time of the wake-up is kept: late wake-ups must not add up.
        let on_schedule = self.credit < 0 && now < due + FRAME;
        self.last_write = Some(if on_schedule { due } else { now });
        true
    }

    fn credit_max(&self) -> i64 {
        Self::CREDIT_MAX_FRAMES * self.frame_bytes
    }

    /// When to look again, at the latest.
    #[must_use]
    pub fn next_due(&self) -> Duration {
        if self.credit >= self.frame_bytes {
            return self.last_write.map_or(Duration::ZERO, |last| last + Self::SPACING);
        }
        let quiet = self.last_read + Self::QUIET;
        self.last_write.map_or(quiet, |last| quiet.max(last + FRAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_BYTES: usize = SampleRate::Hz8000.frame_bytes();
    const MS: Duration = Duration::from_millis(1);

    /// Runs a pacer in steps of 1 ms against a module that sends `chunk` octets every `period_us`; returns write times in ms.
    fn writes(duration_ms: u64, chunk: usize, period_us: u64) -> Vec<u64> {
        writes_at(SampleRate::Hz8000, duration_ms, chunk, period_us)
    }

    fn writes_at(rate: SampleRate, duration_ms: u64, chunk: usize, period_us: u64) -> Vec<u64> {
        let mut pacer = Pacer::new(rate, Duration::ZERO);
        let mut next_us = period_us;
        let mut written = Vec::new();
        for ms in 1..=duration_ms {
            while next_us <= ms * 1000 {
                pacer.read(ms as u32 * MS, chunk);
                next_us += period_us;
            }
            while pacer.take_due(ms as u32 * MS) {
                written.push(ms);
            }
        }
        written
    }

    fn smallest_gap(times: &[u64]) -> u64 {
        times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(u64::MAX)
    }

    #[test]
    fn one_frame_is_written_for_each_that_is_read() {
        for (chunk, period_us) in [
            (320, 20_000),
            (640, 40_000),
            (1600, 100_000),
            (32, 2_000),
            (319, 19_937),
        ] {
            let times = writes(10_000, chunk, period_us);
            assert!(
                (494..=500).contains(&times.len()),
                "chunks of {chunk}: {} frames in 10 s",
                times.len()
            );
            assert!(smallest_gap(&times) >= 18, "chunks of {chunk}: a burst");
        }
    }

    #[test]
    fn a_frame_of_16_khz_lasts_as_long() {
        for (chunk, period_us) in [(640, 20_000), (3200, 100_000), (32, 1_000)] {
            let times = writes_at(SampleRate::Hz16000, 10_000, chunk, period_us);
            assert!(
                (494..=500).contains(&times.len()),
                "chunks of {chunk}: {} frames in 10 s",
                times.len()
            );
        }
    }

    #[test]
    fn a_module_whose_clock_differs_is_followed() {
        for ppm in [-100_i64, 100] {
            let seconds = 1800;
            let period_us = 20_000_000_000 / (1_000_000 + ppm) as u64;
            let frames = writes(seconds * 1000, 320, period_us).len() as i64;
            let sent = seconds as i64 * 1_000_000 / period_us as i64;
            assert!((frames - sent).abs() <= 2, "{ppm} ppm: {frames} written, {sent} read");
        }
    }

    #[test]
    fn without_a_downlink_the_schedule_is_kept() {
        let times = writes(10_000, 320, 60_000_000);
        assert!((495..=500).contains(&times.len()), "{} frames", times.len());
    }

    #[test]
    fn frames_lent_while_the_module_was_silent_are_paid_back() {
        let mut pacer = Pacer::new(SampleRate::Hz8000, Duration::ZERO);
        let mut written = 0;
        let mut at = |pacer: &mut Pacer, range: std::ops::Range<u32>| {
            written += range.filter(|ms| pacer.take_due(*ms * MS)).count()
        };
        // 100 ms of silence from the module, then the five frames it owed, then nothing again.
        pacer.read(1 * MS, FRAME_BYTES);
        at(&mut pacer, 1..101);
        pacer.read(101 * MS, 5 * FRAME_BYTES);
        at(&mut pacer, 101..160);
        assert_eq!(written, 6, "six frames were read");
    }

    #[test]
    fn stall_of_this_side_is_not_paid_back() {
        let mut pacer = Pacer::new(SampleRate::Hz8000, Duration::ZERO);
        pacer.read(20 * MS, FRAME_BYTES);
        assert!(pacer.take_due(20 * MS));
        // 300 ms later fifteen frames have piled up.
        pacer.read(320 * MS, 15 * FRAME_BYTES);
        let written = (320..400).filter(|ms| pacer.take_due(*ms * MS)).count();
        assert!(written <= 2, "{written} frames within 80 ms");
    }

    #[test]
    fn pile_after_a_stall_is_not_paid_back_when_it_takes_several_reads() {
        let mut pacer = Pacer::new(SampleRate::Hz8000, Duration::ZERO);
        let mut written = 0;
        for second in 0..2 {
            for ms in (20..=1000).step_by(20) {
                let now = (second * 2000 + ms) * MS;
                // The second second begins after one in which this side stood still and 16000 octets piled up.
                let reads: &[usize] = if (second, ms) == (1, 20) {
                    &[4095, 4095, 4095, 3715]
                } else {
                    &[FRAME_BYTES]
                };
                for count in reads {
                    pacer.read(now, *count);
                    written += u32::from(pacer.take_due(now));
                }
            }
        }
        assert!(
            (99..=101).contains(&written),
            "{written} frames for the two seconds that were not missed"
        );
    }

    #[test]
    fn pause_of_the_module_costs_two_frames_at_most() {
        let mut pacer = Pacer::new(SampleRate::Hz8000, Duration::ZERO);
        let mut written = 0;
        for ms in 1..=3000_u32 {
            // Regular frames, but nothing at all in the second second.
            if ms % 20 == 0 && !(1000..2000).contains(&ms) {
                pacer.read(ms * MS, FRAME_BYTES);
            }
            written += u32::from(pacer.take_due(ms * MS));
        }
        assert!((146..=151).contains(&written), "{written} frames in 3 s");
    }

    #[test]
    fn burst_of_five_frames_and_then_nothing_is_spread() {
        let mut pacer = Pacer::new(SampleRate::Hz8000, Duration::ZERO);
        pacer.read(MS, 5 * FRAME_BYTES);
        let times: Vec<u64> = (1..=200_u32)
            .filter(|ms| pacer.take_due(*ms * MS))
            .map(u64::from)
            .collect();
        assert!(smallest_gap(&times) >= 18, "{times:?}");
        assert!((9..=11).contains(&times.len()), "{times:?}");
    }
}
