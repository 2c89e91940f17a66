//! What the bot plays besides the caller's own words.

use std::f64::consts::TAU;

use client::audio::{SAMPLE_RATE_HZ, read_wav};

use crate::config::{Config, ConfigError};

/// A quarter of full scale, -12 dBFS: clear, and no louder than speech.
const AMPLITUDE: f64 = 8192.0;
/// Notes begin and end softly; a step would click.
const FADE_S: f64 = 0.01;
const NOTE_S: f64 = 0.18;

/// The recordings of a bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clips {
    /// Played when the call is answered.
    pub greeting: Vec<i16>,
    /// Played before each answer; may be empty.
    pub reply_prefix: Vec<i16>,
    /// Played for a caller who says nothing.
    pub reprompt: Vec<i16>,
    /// Played at the end.
    pub goodbye: Vec<i16>,
}

impl Clips {
    /// Reads the configured files; a chime stands in for what is not configured.
    pub fn load(config: &Config) -> Result<Self, ConfigError> {
        let or_chime = |path: &Option<std::path::PathBuf>, notes: &[f64]| match path {
            Some(path) => read_wav(path),
            None => Ok(chime(notes)),
        };
        Ok(Self {
            greeting: or_chime(&config.greeting_wav, &[523.25, 659.26, 783.99])?,
            reply_prefix: or_chime(&config.reply_prefix_wav, &[])?,
            reprompt: or_chime(&config.reprompt_wav, &[659.26, 783.99])?,
            goodbye: or_chime(&config.goodbye_wav, &[783.99, 659.26, 523.25])?,
        })
    }
}

/// A sequence of notes, by their frequencies.
fn chime(notes: &[f64]) -> Vec<i16> {
    let rate = f64::from(SAMPLE_RATE_HZ);
    let length = (NOTE_S * rate) as usize;
    let note = |hz: &f64| {
        let hz = *hz;
        (0..length).map(move |n| {
            let t = n as f64 / rate;
            let fade = (t.min(NOTE_S - t) / FADE_S).clamp(0.0, 1.0);
            (AMPLITUDE * fade * (TAU * hz * t).sin()) as i16
        })
    };
    notes.iter().flat_map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chime_is_audible_and_does_not_click() {
        let clips = Clips::load(&Config::default()).unwrap();
        assert_eq!(clips.greeting.len(), 3 * 1440);
        assert!(clips.reply_prefix.is_empty());
        assert!(clips.greeting.iter().any(|sample| sample.abs() > 8000));
        let step = clips.greeting.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max();
        assert!(step < Some(6000), "{step:?}");
    }
}
