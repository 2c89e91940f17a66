//! The configuration.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::turn::TurnSettings;

/// The configuration of the bot.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How to reach the broker.
    pub broker: client::Settings,
    /// Only calls of this modem. Empty: of every modem.
    pub modem: String,
    /// RINGs before the call is answered.
    pub answer_after_rings: u32,
    /// WAV file to greet with. None: a chime.
    pub greeting_wav: Option<PathBuf>,
    /// WAV file to play before what the caller said. None: nothing.
    pub reply_prefix_wav: Option<PathBuf>,
    /// WAV file for a caller who says nothing. None: a chime.
    pub reprompt_wav: Option<PathBuf>,
    /// WAV file to part with. None: a chime.
    pub goodbye_wav: Option<PathBuf>,
    /// Aggressiveness of the detector, 0 to 3. Mode 2 is the best for telephony; mode 3 goes deaf in long calls.
    pub vad_mode: u8,
    /// Speech that begins a turn.
    pub start_ms: u32,
    /// Silence that ends a turn.
    pub silence_ms: u32,
    /// Audio kept from before the beginning of a turn, so that a soft first sound is not lost.
    pub pre_roll_ms: u32,
    /// A turn with less speech is a noise.
    pub min_speech_ms: u32,
    /// A turn that is longer ends here: in the noise of a car or of music the detector hears no silence.
    pub max_utterance_ms: u32,
    /// How long an answer waits for a caller who speaks again.
    pub hold_max_ms: u32,
    /// What happens to what the caller says while the bot plays.
    pub during_playout: DuringPlayout,
    /// Silence of the caller after which it is asked once, and then left.
    pub no_input_ms: u32,
    /// Answers after which the bot parts. 0: no limit.
    pub max_turns: usize,
    /// The longest call.
    pub max_call_s: u32,
    /// How long to try to get a call's audio back when the broker was lost.
    pub reattach_ms: u64,
    /// File to which a line of JSON is appended for each call. None: the log.
    pub report_file: Option<PathBuf>,
}

/// What happens to what the caller says while the bot plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DuringPlayout {
    /// It is not heard. For lines on which the bot hears its own echo.
    Ignore,
    /// It is heard, and answered when the bot has finished.
    Listen,
    /// The bot falls silent at once.
    BargeIn,
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is described by its message")]
pub enum ConfigError {
    #[error("failed to read {path}: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("failed to understand {path}: {source}", path = path.display())]
    Malformed {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    #[error("{key} = {value} is not allowed: {minimum} to {maximum}")]
    OutOfRange {
        key: &'static str,
        value: u64,
        minimum: u64,
        maximum: u64,
    },
    #[error(transparent)]
    Audio(#[from] client::audio::AudioError),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            broker: client::Settings::default(),
            modem: String::new(),
            answer_after_rings: 1,
            greeting_wav: None,
            reply_prefix_wav: None,
            reprompt_wav: None,
            goodbye_wav: None,
            vad_mode: 2,
            start_ms: 60,
            silence_ms: 800,
            pre_roll_ms: 400,
            min_speech_ms: 160,
            max_utterance_ms: 30_000,
            hold_max_ms: 6000,
            during_playout: DuringPlayout::Listen,
            no_input_ms: 8000,
            max_turns: 0,
            max_call_s: 600,
            reattach_ms: 3000,
            report_file: None,
        }
    }
}

impl Config {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|source| ConfigError::Malformed {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Checks what the types cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (key, value, minimum, maximum) in [
            ("answer_after_rings", self.answer_after_rings.into(), 1, 10),
            ("vad_mode", self.vad_mode.into(), 0, 3),
            ("start_ms", self.start_ms.into(), 20, 500),
            ("silence_ms", self.silence_ms.into(), 200, 5000),
            ("pre_roll_ms", self.pre_roll_ms.into(), 0, 2000),
            ("min_speech_ms", self.min_speech_ms.into(), 0, 2000),
            ("max_utterance_ms", self.max_utterance_ms.into(), 1000, 60_000),
            ("hold_max_ms", self.hold_max_ms.into(), 0, 60_000),
            ("no_input_ms", self.no_input_ms.into(), 1000, 120_000),
            ("max_turns", self.max_turns as u64, 0, 1000),
            ("max_call_s", self.max_call_s.into(), 10, 14_400),
            ("reattach_ms", self.reattach_ms, 0, 30_000),
        ] {
            if !(minimum..=maximum).contains(&value) {
                return Err(ConfigError::OutOfRange {
                    key,
                    value,
                    minimum,
                    maximum,
                });
            }
        }
        Ok(())
    }

    pub(crate) fn modems(&self) -> Vec<String> {
        if self.modem.is_empty() {
            Vec::new()
        } else {
            vec![self.modem.clone()]
        }
    }

    /// The settings of the turn detector.
    pub fn turn_settings(&self) -> TurnSettings {
        TurnSettings {
            start_ms: self.start_ms,
            silence_ms: self.silence_ms,
            pre_roll_ms: self.pre_roll_ms,
            min_speech_ms: self.min_speech_ms,
            max_utterance_ms: self.max_utterance_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/voice-bot.toml"));

    #[test]
    fn the_example_shows_the_defaults() {
        let example: Config = toml::from_str(EXAMPLE).unwrap();
        assert_eq!(format!("{example:?}"), format!("{:?}", Config::default()));
    }

    /// Keys that the example comments out are read too, so that it cannot show one that does not exist.
    #[test]
    fn the_example_with_everything_uncommented_is_understood_key_by_key() {
        let written =
            |line: &str| line.contains(" = ") && !line.split('=').next().unwrap_or_default().trim().contains(' ');
        let text: String = EXAMPLE
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| written(rest)).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let config: Config = toml::from_str(&text).unwrap();
        assert!(config.goodbye_wav.is_some() && config.report_file.is_some() && config.broker.server_name.is_some());
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("voice-bot.toml");
        for (text, expected) in [
            ("", ""),
            (
                "silence_ms = 500\nduring_playout = 'barge-in'\n[broker]\nendpoint = '/x'",
                "",
            ),
            ("silence_ms = 50", "silence_ms = 50 is not allowed: 200 to 5000"),
            ("answer_after_rings = 0", "answer_after_rings"),
            ("answer_after_rings = -1", "answer_after_rings"),
            ("silence = 500", "unknown field `silence`"),
            ("during_playout = 'shout'", "unknown variant `shout`"),
        ] {
            std::fs::write(&path, text).unwrap();
            let problem = match Config::load(&path).and_then(|config| config.check()) {
                Ok(()) => String::new(),
                Err(error) => error.to_string(),
            };
            assert!(
                problem.contains(expected) && problem.is_empty() == expected.is_empty(),
                "{text}: {problem}"
            );
        }
    }
}
