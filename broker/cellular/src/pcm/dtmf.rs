//! Keys that the other side presses, heard in the audio (ITU-T Q.23, Q.24), and made one with what the module reports.
//!
//! Not every firmware reports keys, some report one press twice, and on some networks the tones are carried beside the audio.
//! So both are listened to, and [`Keypad`] makes one key of what belongs together.

use std::time::Duration;

use super::SampleRate;

const ROWS_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS_HZ: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const KEYS: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];

/// A window is 16 ms, which tells neighbours apart and still hears a frequency that is 1.5 % off (Q.24).
const WINDOW_MS: usize = 16;
/// So many windows begin in the time of one.
const OVERLAP: usize = 2;
/// Windows in a row that begin a press: 32 ms, of the 40 ms that Q.24 asks for at least.
const HITS: u32 = 3;
/// Windows in a row without the key that end a press. A pause is 40 ms at least, and a drop-out of 10 ms is none.
const MISSES: u32 = 3;
/// Power of each tone in a window, relative to full scale: -40 dB. Quieter ones are crosstalk.
const QUIETEST: f32 = 1e-4;
/// How much stronger one tone may be than the other, as a ratio of powers: 8 dB.
const TWIST: f32 = 6.3;
/// How much stronger a tone has to be than its neighbours in its own group, likewise.
const CLEARANCE: f32 = 4.0;
/// Share of the two tones in the power of the window. Speech has its power elsewhere as well.
const SHARE: f32 = 0.6;

/// What [`Detector::push`] hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    /// A key is down.
    Began(char),
    /// It is up again.
    Ended(char),
}

/// Hears keys in downlink audio.
#[derive(Clone, Debug)]
pub struct Detector {
    /// Of 128 or 256 samples.
    window: Box<[f32]>,
    filled: usize,
    coefficients: [f32; 8],
    candidate: Option<char>,
    hits: u32,
    down: Option<char>,
    misses: u32,
}

impl Detector {
    /// Listens to audio of this rate.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        let mut coefficients = [0.0; 8];
        for (slot, frequency) in coefficients.iter_mut().zip(ROWS_HZ.into_iter().chain(COLUMNS_HZ)) {
            *slot = 2.0 * (2.0 * std::f32::consts::PI * frequency / rate.hz() as f32).cos();
        }
        Detector {
            window: vec![0.0; rate.hz() as usize / 1000 * WINDOW_MS].into(),
            filled: 0,
            coefficients,
            candidate: None,
            hits: 0,
            down: None,
            misses: 0,
        }
    }

    /// Adds audio, 16 bit little endian, and tells of every press that began or ended in it.
    pub fn push(&mut self, pcm: &[u8], mut told: impl FnMut(Press)) {
        for sample in pcm.chunks_exact(2) {
            self.window[self.filled] = f32::from(i16::from_le_bytes([sample[0], sample[1]])) / 32_768.0;
            self.filled += 1;
            if self.filled == self.window.len() {
                let key = self.key();
                self.take(key, &mut told);
                let hop = self.window.len() / OVERLAP;
                self.window.copy_within(hop.., 0);
                self.filled = self.window.len() - hop;
            }
        }
    }

    fn take(&mut self, key: Option<char>, told: &mut impl FnMut(Press)) {
        if let Some(down) = self.down {
            self.misses = if key == self.down { 0 } else { self.misses + 1 };
            if self.misses >= MISSES {
                self.down = None;
                told(Press::Ended(down));
            }
        }
        self.hits = if key.is_some() && key == self.candidate {
            self.hits + 1
        } else {
            u32::from(key.is_some())
        };
        self.candidate = key;
        if self.hits >= HITS
            && self.down != key
            && let Some(key) = key
        {
            // The next key can begin before the last one was missed for long enough.
            if let Some(last) = self.down.replace(key) {
                told(Press::Ended(last));
            }
            self.misses = 0;
            told(Press::Began(key));
        }
    }

    /// The key whose two tones fill this window.
    fn key(&self) -> Option<char> {
        let power: f32 = self.window.iter().map(|sample| sample * sample).sum::<f32>() / self.window.len() as f32;
        if power < 2.0 * QUIETEST {
            return None;
        }
        let powers = self.coefficients.map(|coefficient| self.goertzel(coefficient));
        let (row, row_power) = strongest(&powers[..4])?;
        let (column, column_power) = strongest(&powers[4..])?;
        let loud = row_power.min(column_power) >= QUIETEST;
        let balanced = row_power <= TWIST * column_power && column_power <= TWIST * row_power;
        let alone = row_power + column_power >= SHARE * power;
        (loud && balanced && alone).then(|| KEYS[row][column])
    }

    /// Goertzel's algorithm: the power of a sine of this frequency in the window.
    fn goertzel(&self, coefficient: f32) -> f32 {
        let (mut last, mut before) = (0.0_f32, 0.0_f32);
        for sample in &self.window {
            let next = sample + coefficient * last - before;
            before = last;
            last = next;
        }
        let magnitude = last * last + before * before - coefficient * last * before;
        2.0 * magnitude / (self.window.len() * self.window.len()) as f32
    }
}

/// The strongest of a group, if it stands out.
fn strongest(powers: &[f32]) -> Option<(usize, f32)> {
    let (index, power) = powers
        .iter()
        .copied()
        .enumerate()
        .max_by(|one, other| one.1.total_cmp(&other.1))?;
    powers
        .iter()
        .enumerate()
        .all(|(other, value)| other == index || value * CLEARANCE <= power)
        .then_some((index, power))
}

/// Two reports of the module within this time are one press, told twice: a press and the pause after it take 80 ms at least.
const BOUNCE: Duration = Duration::from_millis(75);

/// How far a report may be from the press that is heard: before its begin or after its end.
const SAME_PRESS: Duration = Duration::from_millis(800);

/// A press of which only one of the two witnesses has told.
#[derive(Clone, Copy, Debug)]
struct Witnessed {
    key: char,
    reported: bool,
    at: Duration,
    /// Of a press that is heard; `None` while the key is down.
    ended: Option<Duration>,
}

/// Makes one key of what is heard and what the module reports (`+RXDTMF`).
#[derive(Clone, Debug, Default)]
pub struct Keypad {
    /// At most [`Keypad::WAITING`], oldest first.
    waiting: Vec<Witnessed>,
    last_report: Option<(char, Duration)>,
}

impl Keypad {
    /// Nobody presses more keys within [`SAME_PRESS`].
    const WAITING: usize = 16;

    /// The module reported a key; true if that is news.
    pub fn reported(&mut self, now: Duration, key: char) -> bool {
        let bounced = self
            .last_report
            .is_some_and(|(last, at)| last == key && now.saturating_sub(at) < BOUNCE);
        self.last_report = Some((key, now));
        !bounced && self.witness(now, key, true)
    }

    /// A press was heard; true if that is news.
    pub fn heard(&mut self, now: Duration, press: Press) -> bool {
        match press {
            Press::Began(key) => self.witness(now, key, false),
            Press::Ended(key) => {
                let down =
                    |waiting: &&mut Witnessed| !waiting.reported && waiting.key == key && waiting.ended.is_none();
                if let Some(waiting) = self.waiting.iter_mut().find(down) {
                    waiting.ended = Some(now);
                }
                false
            }
        }
    }

    fn witness(&mut self, now: Duration, key: char, reported: bool) -> bool {
        let near = |waiting: &Witnessed| {
            let over = if waiting.reported {
                Some(waiting.at)
            } else {
                waiting.ended
            };
            over.is_none_or(|over| now.saturating_sub(over) <= SAME_PRESS)
        };
        self.waiting.retain(near);
        let twin = self
            .waiting
            .iter()
            .position(|waiting| waiting.key == key && waiting.reported != reported);
        if let Some(twin) = twin {
            self.waiting.remove(twin);
            return false;
        }
        if self.waiting.len() == Self::WAITING {
            self.waiting.remove(0);
        }
        self.waiting.push(Witnessed {
            key,
            reported,
            at: now,
            ended: None,
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::Doubler;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Tones of a key for `ms`, `level` below full scale each, `off` of their frequencies.
    fn tones(key: char, ms: usize, row_level: f32, column_level: f32, off: f32) -> Vec<f32> {
        let position = KEYS.iter().flatten().position(|known| *known == key).unwrap();
        let (row, column) = (ROWS_HZ[position / 4] * off, COLUMNS_HZ[position % 4] * off);
        let sine = |frequency: f32, at: usize| (std::f32::consts::TAU * frequency * at as f32 / 8000.0).sin();
        (0..ms * 8)
            .map(|at| row_level * sine(row, at) + column_level * sine(column, at))
            .collect()
    }

    fn octets(signal: &[f32]) -> Vec<u8> {
        signal
            .iter()
            .flat_map(|value| ((value * 32_767.0) as i16).to_le_bytes())
            .collect()
    }

    fn keys(signal: &[f32], chunk: usize) -> String {
        heard(SampleRate::Hz8000, &octets(signal), chunk)
    }

    fn heard(rate: SampleRate, pcm: &[u8], chunk: usize) -> String {
        let mut detector = Detector::new(rate);
        let mut keys = String::new();
        for chunk in pcm.chunks(2 * chunk) {
            detector.push(chunk, |press| {
                if let Press::Began(key) = press {
                    keys.push(key);
                }
            });
        }
        keys
    }

    #[test]
    fn shortest_tones_and_pauses_are_heard_wherever_they_begin() {
        let all: String = KEYS.iter().flatten().collect();
        for lead in 0..64 {
            let mut signal = vec![0.0; lead];
            for key in all.chars().chain("55##".chars()) {
                signal.extend(tones(key, 40, 0.2, 0.2, 1.0));
                signal.extend(vec![0.0; 320]);
            }
            assert_eq!(keys(&signal, 160), format!("{all}55##"), "{lead} samples before");
            let wide = Doubler::default().push(&octets(&signal));
            assert_eq!(
                heard(SampleRate::Hz16000, &wide, 320),
                format!("{all}55##"),
                "16 kHz, {lead} samples before"
            );
        }
    }

    #[test]
    fn chunks_make_no_difference() {
        let signal = [tones('8', 60, 0.2, 0.2, 1.0), vec![0.0; 400]].concat();
        for chunk in [1, 7, 160, 1600] {
            assert_eq!(keys(&signal, chunk), "8", "chunks of {chunk}");
        }
    }

    #[test]
    fn what_q24_asks_to_accept_and_to_reject() {
        for (name, signal, expected) in [
            ("1.5 % too high", tones('D', 60, 0.2, 0.2, 1.015), "D"),
            ("1.5 % too low", tones('D', 60, 0.2, 0.2, 0.985), "D"),
            ("the row 6 dB stronger", tones('5', 60, 0.2, 0.1, 1.0), "5"),
            ("the column 6 dB stronger", tones('5', 60, 0.1, 0.2, 1.0), "5"),
            ("full scale", tones('0', 60, 0.49, 0.49, 1.0), "0"),
            ("quiet", tones('0', 60, 0.02, 0.02, 1.0), "0"),
            ("20 ms is a click", tones('1', 20, 0.2, 0.2, 1.0), ""),
            ("far too quiet", tones('1', 60, 0.003, 0.003, 1.0), ""),
            ("one tone", tones('1', 60, 0.2, 0.0, 1.0), ""),
            ("between two keys", tones('1', 60, 0.2, 0.2, 1.05), ""),
        ] {
            assert_eq!(keys(&[signal, vec![0.0; 400]].concat(), 160), expected, "{name}");
        }
    }

    #[test]
    fn long_press_with_a_drop_out_is_one_key() {
        let mut signal = tones('7', 2000, 0.2, 0.2, 1.0);
        signal[8000..8080].fill(0.0);
        signal.extend(vec![0.0; 400]);
        assert_eq!(keys(&signal, 160), "7");
    }

    #[test]
    fn keys_are_heard_through_noise() {
        let mut seed = 1_u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / 8_388_608.0 - 1.0
        };
        let mut signal = Vec::new();
        for key in "0123456789".chars() {
            signal.extend(tones(key, 60, 0.2, 0.2, 1.0));
            signal.extend(vec![0.0; 480]);
        }
        // 15 dB below the tones.
        signal.iter_mut().for_each(|value| *value += 0.06 * noise());
        assert_eq!(keys(&signal, 160), "0123456789");
    }

    /// Ten minutes of recorded speech would be better; these files are what the repository has.
    #[test]
    fn speech_presses_no_keys() {
        let recordings: [&[u8]; 5] = [
            include_bytes!("../../../../tests/speech/sense-and-sensibility-0870.wav"),
            include_bytes!("../../../../tests/speech/sense-and-sensibility-0880.wav"),
            include_bytes!("../../../../tests/speech/sense-and-sensibility-0890.wav"),
            include_bytes!("../../../../tests/speech/sense-and-sensibility-0920.wav"),
            include_bytes!("../../../../tests/speech/sense-and-sensibility-0930.wav"),
        ];
        let mut seconds = 0;
        for (index, wav) in recordings.into_iter().enumerate() {
            // The canonical header has 44 octets.
            let mut pressed = Vec::new();
            Detector::new(SampleRate::Hz8000).push(&wav[44..], |press| pressed.push(press));
            assert!(pressed.is_empty(), "recording {index}: {pressed:?}");
            seconds += wav.len() / 16_000;
        }
        assert!(seconds > 10, "{seconds} s of speech");
    }

    #[test]
    fn one_press_is_one_key_whoever_tells_of_it() {
        // (ms, key, by the module)
        let check = |told: &[(u32, &str)], expected: &str| {
            let mut keypad = Keypad::default();
            let mut keys = String::new();
            for (ms, what) in told {
                let now = *ms * MS;
                let key = what.chars().last().unwrap();
                let news = match &what[..1] {
                    "r" => keypad.reported(now, key),
                    "+" => keypad.heard(now, Press::Began(key)),
                    _ => keypad.heard(now, Press::Ended(key)),
                };
                if news {
                    keys.push(key);
                }
            }
            assert_eq!(keys, expected, "{told:?}");
        };
        check(&[(0, "r1")], "1");
        check(&[(0, "+1"), (60, "-1")], "1");
        check(&[(0, "r1"), (40, "r1")], "1");
        check(&[(0, "r1"), (90, "r1")], "11");
        check(&[(0, "+1"), (50, "r1"), (60, "-1")], "1");
        check(&[(0, "r1"), (300, "+1"), (360, "-1")], "1");
        // Held for two seconds, reported at the end.
        check(&[(0, "+1"), (2000, "-1"), (2300, "r1")], "1");
        check(
            &[
                (0, "+1"),
                (60, "-1"),
                (100, "+1"),
                (160, "-1"),
                (200, "r1"),
                (300, "r1"),
            ],
            "11",
        );
        check(
            &[
                (0, "+1"),
                (60, "-1"),
                (100, "+2"),
                (150, "r1"),
                (160, "-2"),
                (250, "r2"),
            ],
            "12",
        );
        // Too far apart to be the same press.
        check(&[(0, "r1"), (2000, "+1"), (2060, "-1")], "11");
    }
}
