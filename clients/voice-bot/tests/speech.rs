//! The turn detector on recorded speech (tests/speech/ATTRIBUTION.md).

use std::path::Path;

use client::audio::read_wav;
use voice_bot::{Config, TurnDetector, TurnEvent, Utterance, WebRtcVad};

const RATE: usize = 8000;
const CLIPS: [&str; 5] = ["0870", "0880", "0890", "0920", "0930"];

fn clip(number: &str) -> Vec<i16> {
    let path = format!(
        "{}/../../tests/speech/sense-and-sensibility-{number}.wav",
        env!("CARGO_MANIFEST_DIR")
    );
    read_wav(Path::new(&path)).unwrap()
}

/// Silence as a telephone network sends it: comfort noise at -60 dBov, the same in every run.
fn silence(samples: usize) -> Vec<i16> {
    let mut seed = 1u32;
    let noise = |_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as i16 % 57
    };
    (0..samples).map(noise).collect()
}

/// The last sample of the last 20 ms whose level is above -40 dBov: speech, and not the reader's breath after it.
fn end_of_speech(audio: &[i16]) -> usize {
    let loud = |frame: &[i16]| {
        let power = frame.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / frame.len() as f64;
        power.sqrt() > 328.0
    };
    let frames = audio.chunks(160).collect::<Vec<_>>();
    (frames.iter().rposition(|frame| loud(frame)).unwrap() + 1) * 160
}

fn turns(audio: &[i16]) -> Vec<Utterance> {
    let config = Config::default();
    let mut detector = TurnDetector::new(WebRtcVad::new(config.vad_mode), config.turn_settings());
    detector
        .hear(audio)
        .into_iter()
        .filter_map(|event| match event {
            TurnEvent::Ended(utterance) => Some(utterance),
            _ => None,
        })
        .collect()
}

#[test]
fn each_sentence_is_one_turn_that_ends_in_time_and_loses_no_word() {
    let lead = 2 * RATE;
    for number in CLIPS {
        let speech = clip(number);
        let audio = [silence(lead), speech.clone(), silence(2 * RATE)].concat();
        let found = turns(&audio);
        assert_eq!(found.len(), 1, "{number}: {} turns", found.len());
        let utterance = &found[0];
        assert!(!utterance.forced);
        let end = (lead + end_of_speech(&speech)) as i64;
        let delay_ms = (utterance.decided_at as i64 - end) / 8;
        assert!(
            (780..=1100).contains(&delay_ms),
            "{number}: decided {delay_ms} ms after the last speech"
        );
        let loud = speech.iter().position(|sample| sample.abs() > 600).unwrap() + lead;
        assert!(
            utterance.first_sample + 1200 <= loud as u64,
            "{number}: less than 150 ms before the first word"
        );
        let first = utterance.first_sample as usize;
        assert_eq!(
            utterance.samples,
            audio[first..first + utterance.samples.len()],
            "{number}: not the caller's words"
        );
        assert!(
            first + utterance.samples.len() >= end as usize,
            "{number}: the last word is cut"
        );
    }
}

#[test]
fn a_pause_for_breath_does_not_end_a_turn_and_a_long_one_does() {
    for (pause_ms, expected) in [(200, 1), (400, 1), (1500, 5), (3000, 5)] {
        let mut audio = silence(RATE);
        for number in CLIPS {
            let speech = clip(number);
            // The recordings carry silence of their own at both ends; the pause is to be exact.
            let first = speech.iter().position(|sample| sample.abs() > 400).unwrap();
            audio.extend(&speech[first..end_of_speech(&speech)]);
            audio.extend(silence(pause_ms * 8));
        }
        audio.extend(silence(2 * RATE));
        assert_eq!(turns(&audio).len(), expected, "pauses of {pause_ms} ms");
    }
}

#[test]
fn a_quiet_line_has_no_turns() {
    assert!(
        turns(&silence(60 * RATE)).len() <= 1,
        "at most one false turn in a minute"
    );
    assert!(turns(&vec![0; 60 * RATE]).is_empty());
}
