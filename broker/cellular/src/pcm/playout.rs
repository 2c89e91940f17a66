//! What is in a frame that is written.

use std::time::Duration;

use super::SampleRate;

/// Where the playout takes its octets from: a queue that can be looked into.
pub trait Source {
    /// Octets that are queued, always even.
    fn available(&self) -> usize;
    /// Takes octets; at most [`Source::available`] are asked for.
    fn take(&mut self, into: &mut [u8]);
    /// Throws octets away; at most [`Source::available`] are asked for.
    fn discard(&mut self, count: usize);
}

/// What a sender's audio is, which decides what may be changed in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Supply {
    /// Nobody said. With a prebuffer it is live audio, unless the queue is deeper than a live sender's gets by itself.
    #[default]
    Unknown,
    /// It comes as it is spoken: delay is worse than a shorter pause.
    Live,
    /// A file or synthetic speech, sent ahead: every sample is played.
    Finished,
}

/// How a sender's audio is queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffering {
    /// What it is.
    pub supply: Supply,
    /// What is collected before playing begins after silence.
    pub prebuffer: Duration,
}

/// What a frame was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// Octets of it that came from the queue; the rest is silence.
    pub queued_bytes: usize,
    /// Octets that were taken from the queue and left out: quiet ones, because the sender's clock is faster or audio came
    /// late; or whatever a live sender's queue held beyond a second of delay.
    pub skipped_bytes: usize,
    /// A frame of silence was put between two quiet ones, because the sender's clock is slower.
    pub stretched: bool,
    /// Audio went on after it had run dry in its middle.
    pub underrun: bool,
    /// Frames of silence that this cost.
    pub underrun_frames: u32,
}

/// Fills uplink frames from a queue, with silence where there is nothing.
///
/// A live sender's clock differs from the module's by some tens of parts per million. The queue then grows or shrinks by a
/// frame every few minutes, and a whole frame is left out or put in where the audio is quiet. What a stall of the network
/// made late is caught up in the same way: every other frame of a pause is left out until the delay is the prebuffer's
/// again. In finished audio nothing is changed.
#[derive(Clone, Debug)]
pub struct Playout {
    rate: SampleRate,
    supply: Supply,
    prebuffer_bytes: usize,
    playing: bool,
    /// Frames for which queued audio has waited for the prebuffer.
    waited_frames: u32,
    /// Silent frames since the queue ran dry in the middle of audio.
    dry_frames: Option<u32>,
    last_value: i16,
    last_frame_quiet: bool,
    drift: Drift,
}

impl Playout {
    /// Audio that comes back within this many frames was interrupted rather than over.
    const INTERRUPTION_FRAMES: u32 = 25;
    /// A step to silence clicks; a ramp of a quarter of a frame, 5 ms, does not.
    const RAMP_PARTS: usize = 4;
    /// 40 dB below full scale: pauses between words on any line, and no vowel.
    const QUIET_PEAK: u16 = 328;

    /// A playout that waits for the prebuffer, or as long as that, before it begins after silence.
    #[must_use]
    pub fn new(rate: SampleRate, buffering: Buffering) -> Self {
        Playout {
            rate,
            supply: buffering.supply,
            prebuffer_bytes: prebuffer_bytes(rate, buffering.prebuffer),
            playing: false,
            waited_frames: 0,
            dry_frames: None,
            last_value: 0,
            last_frame_quiet: true,
            drift: Drift::default(),
        }
    }

    /// Another sender; its prebuffer counts from the next beginning.
    pub fn set_buffering(&mut self, buffering: Buffering) {
        self.supply = buffering.supply;
        self.prebuffer_bytes = prebuffer_bytes(self.rate, buffering.prebuffer);
        self.drift = Drift::default();
    }

    /// Forgets what was playing, after the queue was cleared on purpose.
    pub fn cleared(&mut self) {
        self.playing = false;
        self.dry_frames = None;
        self.waited_frames = 0;
        self.drift = Drift::default();
    }

    /// Fills one frame; `frame` has the octets of one.
    pub fn fill(&mut self, source: &mut impl Source, frame: &mut [u8]) -> Filled {
        let available = source.available();
        let frame_bytes = self.rate.frame_bytes();
        let interruption = self.begin(available);
        let mut filled = Filled {
            underrun: interruption.is_some(),
            underrun_frames: interruption.unwrap_or(0),
            ..Filled::default()
        };
        let correction = if self.playing {
            self.drift
                .correction(available, self.supply, self.prebuffer_bytes, frame_bytes)
        } else {
            Correction::None
        };
        match correction {
            Correction::Stretch if self.last_frame_quiet => {
                self.drift.corrected();
                self.ramp_to_silence(frame);
                filled.stretched = true;
                return filled;
            }
            Correction::Cut => {
                self.drift.corrected();
                filled.skipped_bytes = available.saturating_sub(self.prebuffer_bytes) / frame_bytes * frame_bytes;
                source.discard(filled.skipped_bytes);
                self.ramp_to_silence(frame);
                self.last_frame_quiet = false;
                return filled;
            }
            Correction::None | Correction::Stretch | Correction::Skip => {}
        }
        if self.playing {
            filled.queued_bytes = available.min(frame_bytes) & !1;
            source.take(&mut frame[..filled.queued_bytes]);
        }
        // The verdict is up to a second old: what a stall has used up since then is not too much any more.
        let too_much = available > self.prebuffer_bytes + frame_bytes;
        if correction == Correction::Skip && too_much && is_quiet(frame) {
            self.drift.skipped();
            filled.skipped_bytes = frame_bytes;
            source.take(frame);
        }
        if let Some(last) = frame[..filled.queued_bytes].last_chunk() {
            self.last_value = i16::from_le_bytes(*last);
        }
        if filled.queued_bytes < frame_bytes {
            self.ramp_to_silence(&mut frame[filled.queued_bytes..]);
            self.run_dry();
        }
        self.last_frame_quiet = is_quiet(frame);
        filled
    }

    /// Begins to play when enough is queued; the length of the interruption in frames if that continues interrupted audio.
    fn begin(&mut self, available: usize) -> Option<u32> {
        if self.playing || available == 0 {
            return None;
        }
        let waited = self.waited_frames as usize * self.rate.frame_bytes();
        if available < self.prebuffer_bytes && waited < self.prebuffer_bytes {
            self.waited_frames += 1;
            return None;
        }
        self.playing = true;
        self.waited_frames = 0;
        self.drift = Drift::default();
        self.dry_frames.take().filter(|dry| *dry <= Self::INTERRUPTION_FRAMES)
    }

    fn run_dry(&mut self) {
        if self.playing {
            self.playing = false;
            self.dry_frames = Some(0);
        } else if let Some(dry) = &mut self.dry_frames {
            *dry = dry.saturating_add(1);
        }
    }

    fn ramp_to_silence(&mut self, rest: &mut [u8]) {
        let from = i32::from(std::mem::take(&mut self.last_value));
        let ramp = self.rate.frame_samples() / Self::RAMP_PARTS;
        for (index, sample) in rest.chunks_exact_mut(2).enumerate() {
            let left = ramp.saturating_sub(index + 1) as i32;
            let value = (from * left / ramp as i32) as i16;
            sample.copy_from_slice(&value.to_le_bytes());
        }
    }
}

fn prebuffer_bytes(rate: SampleRate, prebuffer: Duration) -> usize {
    let bytes = prebuffer.as_millis() * u128::from(rate.bytes_per_ms());
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn is_quiet(frame: &[u8]) -> bool {
    frame
        .chunks_exact(2)
        .all(|sample| i16::from_le_bytes([sample[0], sample[1]]).unsigned_abs() <= Playout::QUIET_PEAK)
}

/// What the depth of a live sender's queue asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Correction {
    #[default]
    None,
    /// Leave a quiet frame out.
    Skip,
    /// Put a frame of silence in.
    Stretch,
    /// Drop the oldest, whatever it is.
    Cut,
}

/// Watches the depth of the queue over a second at a time. Its lowest point is what matters: chunks and jitter only ever
/// make it deeper.
#[derive(Clone, Debug)]
struct Drift {
    frames: u32,
    lowest: usize,
    highest: usize,
    verdict: Correction,
    /// Frames that are too many, while the verdict is to leave some out.
    surplus: usize,
}

impl Default for Drift {
    fn default() -> Self {
        Drift {
            frames: 0,
            lowest: usize::MAX,
            highest: 0,
            verdict: Correction::None,
            surplus: 0,
        }
    }
}

impl Drift {
    const WINDOW_FRAMES: u32 = 50;
    /// A queue that is deeper than this above the prebuffer holds finished audio, if nobody said that it is live.
    const SHALLOW_FRAMES: usize = 20;
    /// A second late is no conversation any more, and speech or noise without a pause would stay late for ever.
    const LATE_FRAMES: usize = 50;

    fn correction(&mut self, available: usize, supply: Supply, prebuffer: usize, frame: usize) -> Correction {
        if supply == Supply::Finished || prebuffer < 2 * frame {
            return Correction::None;
        }
        self.frames += 1;
        self.lowest = self.lowest.min(available);
        self.highest = self.highest.max(available);
        if self.frames == Self::WINDOW_FRAMES {
            *self = Drift {
                verdict: self.verdict(supply, prebuffer, frame),
                surplus: match supply {
                    Supply::Live => self.lowest.saturating_sub(prebuffer) / frame,
                    // One at a time, in case that it is finished audio after all.
                    Supply::Unknown | Supply::Finished => 1,
                },
                ..Drift::default()
            };
        }
        self.verdict
    }

    fn verdict(&self, supply: Supply, prebuffer: usize, frame: usize) -> Correction {
        let live = supply == Supply::Live;
        if !live && self.highest > prebuffer + Self::SHALLOW_FRAMES * frame {
            Correction::None
        } else if live && self.lowest > prebuffer + Self::LATE_FRAMES * frame {
            Correction::Cut
        } else if self.lowest > prebuffer + frame {
            Correction::Skip
        } else if self.lowest < frame + frame / 2 {
            Correction::Stretch
        } else {
            Correction::None
        }
    }

    /// Accounts for a frame that was left out.
    fn skipped(&mut self) {
        self.surplus = self.surplus.saturating_sub(1);
        if self.surplus == 0 {
            self.corrected();
        }
    }

    /// The next second shows whether more is needed.
    fn corrected(&mut self) {
        *self = Drift::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: SampleRate = SampleRate::Hz8000;
    const FRAME_SAMPLES: usize = RATE.frame_samples();
    const FRAME_BYTES: usize = RATE.frame_bytes();

    struct Queue(Vec<u8>);
    impl Source for Queue {
        fn available(&self) -> usize {
            self.0.len()
        }
        fn take(&mut self, into: &mut [u8]) {
            into.copy_from_slice(&self.0[..into.len()]);
            self.0.drain(..into.len());
        }
        fn discard(&mut self, count: usize) {
            self.0.drain(..count);
        }
    }

    fn buffering(supply: Supply, prebuffer_ms: u64) -> Buffering {
        Buffering {
            supply,
            prebuffer: Duration::from_millis(prebuffer_ms),
        }
    }

    fn samples(frame: &[u8; FRAME_BYTES]) -> Vec<i16> {
        frame
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect()
    }

    #[test]
    fn silence_begins_with_a_ramp() {
        let mut playout = Playout::new(RATE, Buffering::default());
        let mut queue = Queue(std::iter::repeat_n(4000_i16.to_le_bytes(), 100).flatten().collect());
        let mut frame = [0; FRAME_BYTES];
        let filled = playout.fill(&mut queue, &mut frame);
        assert_eq!(
            filled,
            Filled {
                queued_bytes: 200,
                ..Filled::default()
            }
        );
        let values = samples(&frame);
        assert!(
            values.windows(2).all(|pair| (pair[0] - pair[1]).abs() <= 200),
            "a step of more than a 20th: {values:?}"
        );
        assert_eq!(values[140..], [0; 20]);
    }

    #[test]
    fn audio_waits_for_the_prebuffer_but_not_longer() {
        let mut playout = Playout::new(RATE, buffering(Supply::Unknown, 60));
        let mut queue = Queue(vec![1; FRAME_BYTES]);
        let mut frame = [0; FRAME_BYTES];
        let began = (0..10).position(|_| playout.fill(&mut queue, &mut frame).queued_bytes > 0);
        assert_eq!(began, Some(3));
    }

    #[test]
    fn interruption_counts_as_underrun_and_an_end_does_not() {
        let mut playout = Playout::new(RATE, Buffering::default());
        let mut frame = [0; FRAME_BYTES];
        let mut queue = Queue(vec![1; FRAME_BYTES]);
        assert!(!playout.fill(&mut queue, &mut frame).underrun);
        assert!(!playout.fill(&mut queue, &mut frame).underrun);
        queue.0 = vec![1; FRAME_BYTES];
        assert!(
            playout.fill(&mut queue, &mut frame).underrun,
            "audio went on 20 ms later"
        );
        for _ in 0..40 {
            playout.fill(&mut queue, &mut frame);
        }
        queue.0 = vec![1; FRAME_BYTES];
        assert!(
            !playout.fill(&mut queue, &mut frame).underrun,
            "800 ms later it is another utterance"
        );
    }

    /// Plays a live sender whose frames are `chunk(n)` and whose clock is off by a frame in `every`, positive when it is
    /// faster. Returns the frames left out, the frames put in and the underruns.
    fn play_live(every: i32, supply: Supply, frames: i32, loud: impl Fn(i32) -> bool) -> (usize, usize, usize) {
        let mut playout = Playout::new(RATE, buffering(supply, 60));
        let mut queue = Queue(Vec::new());
        let mut frame = [0; FRAME_BYTES];
        let (mut skipped, mut stretched, mut underruns) = (0, 0, 0);
        for n in 0..frames {
            let count = if n % every.abs() == 0 { 1 + every.signum() } else { 1 };
            for _ in 0..count {
                let value: i16 = if loud(n) { 8000 } else { 20 };
                queue
                    .0
                    .extend(std::iter::repeat_n(value.to_le_bytes(), FRAME_SAMPLES).flatten());
            }
            let filled = playout.fill(&mut queue, &mut frame);
            if filled.skipped_bytes > 0 || filled.stretched {
                assert!(is_quiet(&frame), "frame {n} is speech");
            }
            skipped += filled.skipped_bytes / FRAME_BYTES;
            stretched += usize::from(filled.stretched);
            underruns += usize::from(filled.underrun);
        }
        (skipped, stretched, underruns)
    }

    #[test]
    fn clock_of_a_live_sender_is_followed_in_the_pauses_only() {
        // A second of speech, a fifth of a second of pause; a frame too many or too few every ten seconds, for ten minutes.
        let loud = |n: i32| n % 60 < 50;
        for supply in [Supply::Unknown, Supply::Live] {
            let (skipped, stretched, underruns) = play_live(500, supply, 30_000, loud);
            assert!(
                (50..=60).contains(&skipped) && stretched == 0 && underruns == 0,
                "{skipped} {stretched} {underruns}"
            );
            let (skipped, stretched, underruns) = play_live(-500, supply, 30_000, loud);
            assert!(
                (50..=60).contains(&stretched) && skipped == 0 && underruns == 0,
                "{skipped} {stretched} {underruns}"
            );
            let speech_only = play_live(500, supply, 3000, |_| true);
            assert_eq!(speech_only, (0, 0, 0), "nothing is cut out of speech");
        }
    }

    fn spoken(value: i16, frames: usize) -> impl Iterator<Item = u8> {
        std::iter::repeat_n(value.to_le_bytes(), frames * FRAME_SAMPLES).flatten()
    }

    /// A live sender whose network stalled: `late` frames come at once, then one every 20 ms. Returns the depth in frames
    /// after `seconds` and how many loud frames were lost on the way.
    fn depth_after_a_stall(
        supply: Supply,
        late: usize,
        seconds: usize,
        loud: impl Fn(usize) -> bool,
    ) -> (usize, usize) {
        let value = |n: usize| if loud(n) { 8000 } else { 20 };
        let mut playout = Playout::new(RATE, buffering(supply, 60));
        let mut queue = Queue((0..late).flat_map(|n| spoken(value(n), 1)).collect());
        let mut frame = [0; FRAME_BYTES];
        let (mut sent, mut heard) = (0, 0);
        for n in 0..late {
            sent += usize::from(loud(n));
        }
        for n in late..late + 50 * seconds {
            queue.0.extend(spoken(value(n), 1));
            sent += usize::from(loud(n));
            playout.fill(&mut queue, &mut frame);
            heard += usize::from(samples(&frame).contains(&8000));
        }
        let waiting = queue
            .0
            .chunks(FRAME_BYTES)
            .filter(|frame| frame[..2] == 8000_i16.to_le_bytes());
        let waiting = waiting.count();
        (queue.0.len() / FRAME_BYTES, sent - heard - waiting)
    }

    #[test]
    fn live_audio_that_came_late_does_not_stay_late() {
        // Speech with a pause of a fifth of a second in each 1.2 s; speech alone; nothing but a pause.
        type Loud = fn(usize) -> bool;
        let talk: Loud = |n| n % 60 < 50;
        let speech: Loud = |_| true;
        let pause: Loud = |_| false;
        for (what, supply, late, seconds, loud, depth, lost) in [
            ("a little late", Supply::Live, 10, 10, talk, 2..=4, 0..=0),
            ("half a second", Supply::Live, 25, 10, talk, 2..=4, 0..=0),
            ("nearly a second", Supply::Live, 50, 20, talk, 2..=4, 0..=0),
            ("half a second in a pause", Supply::Live, 25, 3, pause, 2..=4, 0..=0),
            ("half a second of speech", Supply::Live, 25, 30, speech, 25..=26, 0..=0),
            ("two seconds of speech", Supply::Live, 100, 3, speech, 2..=5, 95..=99),
            ("nobody said", Supply::Unknown, 30, 20, talk, 30..=31, 0..=0),
            ("finished", Supply::Finished, 100, 20, talk, 100..=101, 0..=0),
        ] {
            let (deep, cut) = depth_after_a_stall(supply, late, seconds, loud);
            assert!(depth.contains(&deep), "{what}: {deep} frames deep, {cut} lost");
            assert!(lost.contains(&cut), "{what}: {cut} frames of speech lost");
        }
    }

    #[test]
    fn a_stall_after_audio_that_came_late_is_not_made_longer() {
        let mut playout = Playout::new(RATE, buffering(Supply::Live, 60));
        let mut queue = Queue(spoken(8000, 25).collect());
        let mut frame = [0; FRAME_BYTES];
        for _ in 0..75 {
            queue.0.extend(spoken(8000, 1));
            playout.fill(&mut queue, &mut frame);
        }
        // Half a second is too much, and there was no pause yet. Now nothing comes for just that long.
        queue.0 = spoken(20, 3).collect();
        for n in 0..3 {
            queue.0.extend(spoken(20, 1));
            let filled = playout.fill(&mut queue, &mut frame);
            assert_eq!(filled.skipped_bytes, 0, "frame {n} of the pause");
        }
    }

    #[test]
    fn finished_audio_is_played_as_it_is() {
        for (supply, prebuffer_ms) in [
            (Supply::Unknown, 0),
            (Supply::Unknown, 60),
            (Supply::Finished, 0),
            (Supply::Finished, 60),
        ] {
            // Also when it is sent with `stop` and `go`, so that the queue is shallow at times, and at its end.
            for depth in [1000, 10, 4] {
                if supply == Supply::Unknown && prebuffer_ms > 0 && depth < 1000 {
                    continue;
                }
                let mut playout = Playout::new(RATE, buffering(supply, prebuffer_ms));
                let mut queue = Queue(vec![0; depth * FRAME_BYTES]);
                let mut left = 1000 - depth;
                let mut frame = [0; FRAME_BYTES];
                let mut frames = 0;
                while playout.fill(&mut queue, &mut frame).queued_bytes > 0 {
                    frames += 1;
                    if left > 0 {
                        left -= 1;
                        queue.0.extend([0; FRAME_BYTES]);
                    }
                }
                assert_eq!(
                    frames, 1000,
                    "{supply:?} audio was shortened or stretched with {prebuffer_ms} ms and {depth} frames queued"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn playout_takes_every_queued_octet_once(
            chunks in proptest::collection::vec(0_usize..330, 1..400),
            supply in proptest::sample::select(vec![Supply::Unknown, Supply::Live, Supply::Finished]),
        ) {
            let mut playout = Playout::new(RATE, buffering(supply, 40));
            let mut queue = Queue(Vec::new());
            let (mut pushed, mut played) = (0, 0);
            let mut frame = [0; FRAME_BYTES];
            for chunk in chunks {
                queue.0.extend(std::iter::repeat_n(1, 2 * chunk));
                pushed += 2 * chunk;
                let filled = playout.fill(&mut queue, &mut frame);
                played += filled.queued_bytes + filled.skipped_bytes;
            }
            prop_assert_eq!(pushed, played + queue.0.len());
        }
    }
}
