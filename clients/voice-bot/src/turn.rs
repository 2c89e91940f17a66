//! When a turn of the caller begins and ends.

use std::collections::VecDeque;

use client::audio::FRAME_SAMPLES;

const SAMPLES_PER_MS: usize = 8;
/// Silence kept at the end of an utterance; the rest of what ended the turn is of no use to anybody.
const TAIL_MS: usize = 200;

/// Whether a frame of 20 ms has speech in it.
pub trait SpeechClassifier {
    /// Judges the next frame.
    fn is_speech(&mut self, frame: &[i16; FRAME_SAMPLES]) -> bool;
}

/// WebRTC's detector. It adapts to the line, so that each call needs a new one.
pub struct WebRtcVad(webrtc_vad::Vad);

impl WebRtcVad {
    /// A detector of this aggressiveness, 0 to 3.
    pub fn new(mode: u8) -> Self {
        let mode = match mode {
            0 => webrtc_vad::VadMode::Quality,
            1 => webrtc_vad::VadMode::LowBitrate,
            2 => webrtc_vad::VadMode::Aggressive,
            _ => webrtc_vad::VadMode::VeryAggressive,
        };
        Self(webrtc_vad::Vad::new_with_rate_and_mode(
            webrtc_vad::SampleRate::Rate8kHz,
            mode,
        ))
    }
}

impl SpeechClassifier for WebRtcVad {
    fn is_speech(&mut self, frame: &[i16; FRAME_SAMPLES]) -> bool {
        // It refuses frames of a wrong length only. Should it ever, a turn that never ends would be worse than a lost one.
        self.0.is_voice_segment(frame).unwrap_or(false)
    }
}

/// The settings of a [`TurnDetector`]; see [`crate::Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnSettings {
    /// Speech that begins a turn.
    pub start_ms: u32,
    /// Silence that ends a turn.
    pub silence_ms: u32,
    /// Audio kept from before the beginning.
    pub pre_roll_ms: u32,
    /// A turn with less speech is a noise.
    pub min_speech_ms: u32,
    /// A turn that is longer ends here.
    pub max_utterance_ms: u32,
}

/// What the caller said in one turn. Positions are samples since the detector's first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utterance {
    /// The audio, from the pre-roll to a little after the last speech.
    pub samples: Vec<i16>,
    /// Where the audio begins.
    pub first_sample: u64,
    /// Where the speech begins, as far as the detector can tell.
    pub speech_start: u64,
    /// Where the last speech ends.
    pub speech_end: u64,
    /// Where it was decided that the turn is over.
    pub decided_at: u64,
    /// Whether it was ended for its length.
    pub forced: bool,
}

/// What a frame brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnEvent {
    /// The caller began to speak.
    Started,
    /// The turn is over.
    Ended(Utterance),
    /// It was a noise.
    Dismissed,
}

struct Turn {
    samples: Vec<i16>,
    first_sample: u64,
    speech_start: u64,
    speech_end: u64,
    speech_frames: usize,
}

/// Finds the caller's turns in audio of any chunking.
pub struct TurnDetector<C> {
    classifier: C,
    settings: TurnSettings,
    /// The end of the last chunk that did not fill a frame.
    rest: Vec<i16>,
    /// The last audio before a turn.
    history: VecDeque<i16>,
    /// Speech frames in a row while no turn is open.
    onset_frames: usize,
    turn: Option<Turn>,
    /// A turn was ended for its length, and the caller has not paused since.
    unfinished: bool,
    position: u64,
}

impl<C: SpeechClassifier> TurnDetector<C> {
    /// A detector at the beginning of a call.
    pub fn new(classifier: C, settings: TurnSettings) -> Self {
        Self {
            classifier,
            settings,
            rest: Vec::with_capacity(FRAME_SAMPLES),
            history: VecDeque::new(),
            onset_frames: 0,
            turn: None,
            unfinished: false,
            position: 0,
        }
    }

    /// Samples heard so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether the caller speaks, or spoke so shortly ago that the turn is not over.
    pub fn is_caller_speaking(&self) -> bool {
        self.turn.is_some() || self.onset_frames > 0 || self.unfinished
    }

    /// Forgets an open turn.
    pub fn reset(&mut self) {
        self.turn = None;
        self.onset_frames = 0;
        self.unfinished = false;
        self.history.clear();
    }

    /// Hears the next samples.
    pub fn hear(&mut self, mut samples: &[i16]) -> Vec<TurnEvent> {
        let mut events = Vec::new();
        while !samples.is_empty() {
            let (taken, left) = samples.split_at(samples.len().min(FRAME_SAMPLES - self.rest.len()));
            self.rest.extend_from_slice(taken);
            samples = left;
            if let Ok(frame) = <[i16; FRAME_SAMPLES]>::try_from(self.rest.as_slice()) {
                self.rest.clear();
                events.extend(self.hear_frame(&frame));
            }
        }
        events
    }

    fn hear_frame(&mut self, frame: &[i16; FRAME_SAMPLES]) -> Option<TurnEvent> {
        let speech = self.classifier.is_speech(frame);
        self.position += FRAME_SAMPLES as u64;
        self.unfinished &= speech;
        match &mut self.turn {
            None => self.wait_for_onset(frame, speech),
            Some(turn) => {
                turn.samples.extend_from_slice(frame);
                if speech {
                    turn.speech_end = self.position;
                    turn.speech_frames += 1;
                }
                let silence = self.position - turn.speech_end;
                let length = turn.speech_end - turn.speech_start;
                let over = silence >= samples(self.settings.silence_ms);
                let forced = !over && length >= samples(self.settings.max_utterance_ms);
                if over || forced { self.end_turn(forced) } else { None }
            }
        }
    }

    fn wait_for_onset(&mut self, frame: &[i16; FRAME_SAMPLES], speech: bool) -> Option<TurnEvent> {
        self.history.extend(frame);
        self.onset_frames = if speech { self.onset_frames + 1 } else { 0 };
        let onset = self.onset_frames * FRAME_SAMPLES;
        let keep = samples(self.settings.pre_roll_ms) as usize + onset.max(FRAME_SAMPLES);
        let surplus = self.history.len().saturating_sub(keep);
        self.history.drain(..surplus);
        if (onset as u64) < samples(self.settings.start_ms) || onset == 0 {
            return None;
        }
        self.turn = Some(Turn {
            first_sample: self.position - self.history.len() as u64,
            samples: std::mem::take(&mut self.history).into(),
            speech_start: self.position - onset as u64,
            speech_end: self.position,
            speech_frames: self.onset_frames,
        });
        self.onset_frames = 0;
        Some(TurnEvent::Started)
    }

    fn end_turn(&mut self, forced: bool) -> Option<TurnEvent> {
        let mut turn = self.turn.take()?;
        self.unfinished = forced;
        if !forced {
            // The silence that ended this turn is the pre-roll of one that begins at once.
            let kept = turn.samples.len().min(samples(self.settings.pre_roll_ms) as usize);
            self.history.extend(&turn.samples[turn.samples.len() - kept..]);
        }
        if ((turn.speech_frames * FRAME_SAMPLES) as u64) < samples(self.settings.min_speech_ms) {
            return Some(TurnEvent::Dismissed);
        }
        let spoken = (turn.speech_end - turn.first_sample) as usize;
        turn.samples.truncate(spoken + TAIL_MS * SAMPLES_PER_MS);
        Some(TurnEvent::Ended(Utterance {
            samples: turn.samples,
            first_sample: turn.first_sample,
            speech_start: turn.speech_start,
            speech_end: turn.speech_end,
            decided_at: self.position,
            forced,
        }))
    }
}

/// Milliseconds as samples.
pub(crate) fn samples(ms: u32) -> u64 {
    u64::from(ms) * SAMPLES_PER_MS as u64
}

/// Samples as milliseconds.
pub(crate) fn ms(samples: u64) -> u64 {
    samples / SAMPLES_PER_MS as u64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Config;

    /// Calls loud frames speech, so that a test can draw what the caller does.
    pub(crate) struct Loudness;

    impl SpeechClassifier for Loudness {
        fn is_speech(&mut self, frame: &[i16; FRAME_SAMPLES]) -> bool {
            frame.iter().any(|sample| sample.abs() > 100)
        }
    }

    /// `#` is 100 ms of speech, `.` is 100 ms of silence.
    pub(crate) fn draw(picture: &str) -> Vec<i16> {
        picture
            .chars()
            .flat_map(|character| [if character == '#' { 1000 } else { 0 }; 800])
            .collect()
    }

    fn hear(picture: &str, settings: TurnSettings) -> String {
        let mut detector = TurnDetector::new(Loudness, settings);
        let told = |event| match event {
            TurnEvent::Started => "start ".to_owned(),
            TurnEvent::Dismissed => "noise ".to_owned(),
            TurnEvent::Ended(said) => {
                let forced = if said.forced { "!" } else { "" };
                format!(
                    "end{forced}({}..{}@{}) ",
                    ms(said.first_sample),
                    ms(said.speech_end),
                    ms(said.decided_at)
                )
            }
        };
        detector
            .hear(&draw(picture))
            .into_iter()
            .map(told)
            .collect::<String>()
            .trim_end()
            .to_owned()
    }

    #[test]
    fn turns_by_picture() {
        let settings = Config::default().turn_settings();
        for (picture, expected) in [
            ("..........", ""),
            ("......###........", "start end(200..900@1700)"),
            ("###........", "start end(0..300@1100)"),
            ("......###.......###........", "start end(200..1900@2700)"),
            (
                "......###........###........",
                "start end(200..900@1700) start end(1300..2000@2800)",
            ),
            ("......#........", "start noise"),
            ("......#..#..#........", "start end(200..1300@2100)"),
        ] {
            assert_eq!(hear(picture, settings), expected, "{picture}");
        }
        let short = TurnSettings {
            max_utterance_ms: 1000,
            ..settings
        };
        assert_eq!(
            hear("......##############........", short),
            "start end!(200..1600@1600) start end(1600..2000@2800)"
        );
    }

    #[test]
    fn the_chunking_of_the_audio_changes_nothing() {
        let audio = draw("......###.......##........#####........");
        let settings = Config::default().turn_settings();
        let whole = TurnDetector::new(Loudness, settings).hear(&audio);
        for size in [1, 7, 160, 161, 4096] {
            let mut detector = TurnDetector::new(Loudness, settings);
            let chunked: Vec<_> = audio.chunks(size).flat_map(|chunk| detector.hear(chunk)).collect();
            assert_eq!(chunked, whole, "chunks of {size}");
        }
    }
}
