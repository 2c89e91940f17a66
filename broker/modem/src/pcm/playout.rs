//! What is in a frame that is written.

use std::time::Duration;

use super::{FRAME_BYTES, SAMPLE_RATE_HZ};

/// Where the playout takes its octets from: a queue that can be looked into.
pub trait Source {
    /// Octets that are queued, always even.
    fn available(&self) -> usize;
    /// Takes octets; at most [`Source::available`] are asked for.
    fn take(&mut self, into: &mut [u8]);
}

/// What a frame was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// Octets of it that came from the queue; the rest is silence.
    pub queued_bytes: usize,
    /// Octets of quiet audio that were taken from the queue and left out, because the sender's clock is faster.
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
/// With a prebuffer the sender is taken to be live, which means that its clock differs from the module's by some tens of
/// parts per million. The queue then grows or shrinks by a frame every few minutes, and a whole frame is left out or put in
/// where the audio is quiet. Without a prebuffer the queue holds finished audio and nothing is changed in it.
#[derive(Clone, Debug)]
pub struct Playout {
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
    /// A step to silence clicks; a ramp of 5 ms does not.
    const RAMP_SAMPLES: usize = 40;
    /// 40 dB below full scale: pauses between words on any line, and no vowel.
    const QUIET_PEAK: u16 = 328;

    /// A playout that waits for `prebuffer` of audio, or as long as that, before it begins after silence.
    #[must_use]
    pub fn new(prebuffer: Duration) -> Self {
        Playout {
            prebuffer_bytes: prebuffer_bytes(prebuffer),
            playing: false,
            waited_frames: 0,
            dry_frames: None,
            last_value: 0,
            last_frame_quiet: true,
            drift: Drift::default(),
        }
    }

    /// Changes the prebuffer for the next beginning.
    pub fn set_prebuffer(&mut self, prebuffer: Duration) {
        self.prebuffer_bytes = prebuffer_bytes(prebuffer);
        self.drift = Drift::default();
    }

    /// Forgets what was playing, after the queue was cleared on purpose.
    pub fn cleared(&mut self) {
        self.playing = false;
        self.dry_frames = None;
        self.waited_frames = 0;
        self.drift = Drift::default();
    }

    /// Fills one frame.
    pub fn fill(&mut self, source: &mut impl Source, frame: &mut [u8; FRAME_BYTES]) -> Filled {
        let available = source.available();
        let interruption = self.begin(available);
        let mut filled = Filled {
            underrun: interruption.is_some(),
            underrun_frames: interruption.unwrap_or(0),
            ..Filled::default()
        };
        let correction = if self.playing {
            self.drift.correction(available, self.prebuffer_bytes)
        } else {
            Correction::None
        };
        if correction == Correction::Stretch && self.last_frame_quiet {
            self.drift.corrected();
            self.ramp_to_silence(frame);
            filled.stretched = true;
            return filled;
        }
        if self.playing {
            filled.queued_bytes = available.min(FRAME_BYTES) & !1;
            source.take(&mut frame[..filled.queued_bytes]);
        }
        if correction == Correction::Skip && available >= 2 * FRAME_BYTES && is_quiet(frame) {
            self.drift.corrected();
            filled.skipped_bytes = FRAME_BYTES;
            source.take(frame);
        }
        if let Some(last) = frame[..filled.queued_bytes].last_chunk() {
            self.last_value = i16::from_le_bytes(*last);
        }
        if filled.queued_bytes < FRAME_BYTES {
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
        let waited = self.waited_frames as usize * FRAME_BYTES;
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
        for (index, sample) in rest.chunks_exact_mut(2).enumerate() {
            let left = Self::RAMP_SAMPLES.saturating_sub(index + 1) as i32;
            let value = (from * left / Self::RAMP_SAMPLES as i32) as i16;
            sample.copy_from_slice(&value.to_le_bytes());
        }
    }
}

fn prebuffer_bytes(prebuffer: Duration) -> usize {
    let samples = prebuffer.as_millis() * u128::from(SAMPLE_RATE_HZ) / 1000;
    usize::try_from(2 * samples).unwrap_or(usize::MAX)
}

fn is_quiet(frame: &[u8; FRAME_BYTES]) -> bool {
    frame
        .chunks_exact(2)
        .all(|sample| i16::from_le_bytes([sample[0], sample[1]]).unsigned_abs() <= Playout::QUIET_PEAK)
}

/// What the depth of a live sender's queue asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Correction {
    #[default]
    None,
    Skip,
    Stretch,
}

/// Watches the depth of the queue over a second at a time. Its lowest point is what matters: chunks and jitter only ever
/// make it deeper.
#[derive(Clone, Debug)]
struct Drift {
    frames: u32,
    lowest: usize,
    highest: usize,
    verdict: Correction,
}

impl Default for Drift {
    fn default() -> Self {
        Drift {
            frames: 0,
            lowest: usize::MAX,
            highest: 0,
            verdict: Correction::None,
        }
    }
}

impl Drift {
    const WINDOW_FRAMES: u32 = 50;
    /// A queue that is deeper than this above the prebuffer holds finished audio, whose pauses are not ours to shorten.
    const LIVE_DEPTH: usize = 20 * FRAME_BYTES;

    fn correction(&mut self, available: usize, prebuffer: usize) -> Correction {
        if prebuffer < 2 * FRAME_BYTES {
            return Correction::None;
        }
        self.frames += 1;
        self.lowest = self.lowest.min(available);
        self.highest = self.highest.max(available);
        if self.frames == Self::WINDOW_FRAMES {
            let verdict = if self.highest > prebuffer + Self::LIVE_DEPTH {
                Correction::None
            } else if self.lowest > prebuffer + FRAME_BYTES {
                Correction::Skip
            } else if self.lowest < FRAME_BYTES + FRAME_BYTES / 2 {
                Correction::Stretch
            } else {
                Correction::None
            };
            *self = Drift {
                verdict,
                ..Drift::default()
            };
        }
        self.verdict
    }

    /// One frame at a time: the next second shows whether another is needed.
    fn corrected(&mut self) {
        *self = Drift::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::FRAME_SAMPLES;
    use super::*;

    struct Queue(Vec<u8>);
    impl Source for Queue {
        fn available(&self) -> usize {
            self.0.len()
        }
        fn take(&mut self, into: &mut [u8]) {
            into.copy_from_slice(&self.0[..into.len()]);
            self.0.drain(..into.len());
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
        let mut playout = Playout::new(Duration::ZERO);
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
        let mut playout = Playout::new(Duration::from_millis(60));
        let mut queue = Queue(vec![1; FRAME_BYTES]);
        let mut frame = [0; FRAME_BYTES];
        let began = (0..10).position(|_| playout.fill(&mut queue, &mut frame).queued_bytes > 0);
        assert_eq!(began, Some(3));
    }

    #[test]
    fn interruption_counts_as_underrun_and_an_end_does_not() {
        let mut playout = Playout::new(Duration::ZERO);
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
    fn play_live(every: i32, prebuffer_ms: u64, frames: i32, loud: impl Fn(i32) -> bool) -> (usize, usize, usize) {
        let mut playout = Playout::new(Duration::from_millis(prebuffer_ms));
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
        let (skipped, stretched, underruns) = play_live(500, 60, 30_000, loud);
        assert!(
            (50..=60).contains(&skipped) && stretched == 0 && underruns == 0,
            "{skipped} {stretched} {underruns}"
        );
        let (skipped, stretched, underruns) = play_live(-500, 60, 30_000, loud);
        assert!(
            (50..=60).contains(&stretched) && skipped == 0 && underruns == 0,
            "{skipped} {stretched} {underruns}"
        );
        let speech_only = play_live(500, 60, 3000, |_| true);
        assert_eq!(speech_only, (0, 0, 0), "nothing is cut out of speech");
    }

    #[test]
    fn finished_audio_is_played_as_it_is() {
        for prebuffer_ms in [0, 60] {
            let mut playout = Playout::new(Duration::from_millis(prebuffer_ms));
            let mut queue = Queue(vec![0; 1000 * FRAME_BYTES]);
            let mut frame = [0; FRAME_BYTES];
            let frames = (0..)
                .take_while(|_| playout.fill(&mut queue, &mut frame).queued_bytes > 0)
                .count();
            assert_eq!(
                frames, 1000,
                "pauses in it were shortened or stretched with a prebuffer of {prebuffer_ms} ms"
            );
        }
    }

    proptest! {
        #[test]
        fn playout_takes_every_queued_octet_once(chunks in proptest::collection::vec(0_usize..330, 1..400)) {
            let mut playout = Playout::new(Duration::from_millis(40));
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
