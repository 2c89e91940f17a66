//! The two rates at which a module passes audio, and the way from one to the other.

use std::f32::consts::PI;

/// Samples in a second of a call's audio (`AT+CPCMFRM`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SampleRate {
    /// 8000, what every module does.
    #[default]
    Hz8000,
    /// 16,000
    Hz16000,
}

impl SampleRate {
    /// Samples in a second.
    #[must_use]
    pub const fn hz(self) -> u32 {
        match self {
            SampleRate::Hz8000 => 8000,
            SampleRate::Hz16000 => 16_000,
        }
    }

    /// Samples in a frame of 20 ms.
    #[must_use]
    pub const fn frame_samples(self) -> usize {
        self.hz() as usize / 50
    }

    /// Octets in a frame.
    #[must_use]
    pub const fn frame_bytes(self) -> usize {
        2 * self.frame_samples()
    }

    /// Octets in a millisecond.
    #[must_use]
    pub const fn bytes_per_ms(self) -> u64 {
        2 * self.hz() as u64 / 1000
    }
}

/// Coefficients on each side of the middle one.
const REACH: usize = 37;

/// What has to be remembered of the past.
const HISTORY: usize = 2 * REACH;

/// A low-pass filter for 16,000 Hz that halves at 4000 Hz: a sinc in a Blackman window. Up to 3.4 kHz, the edge of the
/// telephone band, it changes nothing; from 4.6 kHz on a 500th is left at most.
fn half_band() -> [f32; HISTORY + 1] {
    std::array::from_fn(|index| {
        let distance = index as f32 - REACH as f32;
        let position = index as f32 / HISTORY as f32;
        let window = 0.42 - 0.5 * (2.0 * PI * position).cos() + 0.08 * (4.0 * PI * position).cos();
        let sinc = if index == REACH {
            0.5
        } else {
            (PI * distance / 2.0).sin() / (PI * distance)
        };
        sinc * window
    })
}

/// A filter and the samples that it still needs.
#[derive(Clone, Debug)]
struct HalfBand {
    coefficients: [f32; HISTORY + 1],
    /// The newest first.
    past: [f32; HISTORY + 1],
}

impl HalfBand {
    fn new() -> Self {
        HalfBand {
            coefficients: half_band(),
            past: [0.0; HISTORY + 1],
        }
    }

    fn push(&mut self, sample: f32) {
        self.past.copy_within(..HISTORY, 1);
        self.past[0] = sample;
    }

    fn value(&self) -> f32 {
        self.past
            .iter()
            .zip(self.coefficients)
            .map(|(sample, c)| sample * c)
            .sum()
    }
}

fn samples(pcm: &[u8]) -> impl Iterator<Item = f32> {
    pcm.chunks_exact(2)
        .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])))
}

/// The cast saturates.
fn octets(value: f32) -> [u8; 2] {
    (value.round() as i16).to_le_bytes()
}

/// From 16,000 to 8000 Hz: what 8000 Hz cannot say is filtered, not folded back.
#[derive(Clone, Debug)]
pub struct Halver {
    filter: HalfBand,
    odd: bool,
}

impl Default for Halver {
    fn default() -> Self {
        Halver {
            filter: HalfBand::new(),
            odd: false,
        }
    }
}

impl Halver {
    /// Takes whole samples; half as many come out, over all.
    pub fn push(&mut self, pcm: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(pcm.len() / 2 + 2);
        for sample in samples(pcm) {
            self.filter.push(sample);
            if !self.odd {
                out.extend(octets(self.filter.value()));
            }
            self.odd = !self.odd;
        }
        out
    }
}

/// From 8000 to 16,000 Hz: a zero after each sample, and the images that this makes filtered.
#[derive(Clone, Debug)]
pub struct Doubler {
    filter: HalfBand,
}

impl Default for Doubler {
    fn default() -> Self {
        Doubler {
            filter: HalfBand::new(),
        }
    }
}

impl Doubler {
    /// Takes whole samples; twice as many come out.
    pub fn push(&mut self, pcm: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 * pcm.len());
        for sample in samples(pcm) {
            // The zeros take half of the power with them.
            for value in [2.0 * sample, 0.0] {
                self.filter.push(value);
                out.extend(octets(self.filter.value()));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(frequency: f32, rate: SampleRate, count: usize) -> Vec<u8> {
        (0..count)
            .flat_map(|n| octets(8000.0 * (2.0 * PI * frequency * n as f32 / rate.hz() as f32).sin()))
            .collect()
    }

    /// Level relative to that of the tones, in dB, without the filter's beginning.
    fn level(pcm: &[u8]) -> f32 {
        let settled = &pcm[4 * HISTORY..];
        let power: f32 = samples(settled).map(|sample| sample * sample).sum::<f32>() / (settled.len() / 2) as f32;
        10.0 * (power / (8000.0 * 8000.0 / 2.0)).log10()
    }

    #[test]
    fn the_telephone_band_passes_and_what_would_fold_back_does_not() {
        for (frequency, at_least, at_most) in [
            (300.0, -0.1, 0.1),
            (1000.0, -0.1, 0.1),
            (3400.0, -0.5, 0.1),
            (4600.0, f32::NEG_INFINITY, -54.0),
            (6000.0, f32::NEG_INFINITY, -55.0),
        ] {
            let level = level(&Halver::default().push(&tone(frequency, SampleRate::Hz16000, 8000)));
            assert!(
                (at_least..=at_most).contains(&level),
                "{frequency} Hz halved: {level} dB"
            );
        }
        for frequency in [300.0, 1000.0, 3400.0] {
            let doubled = Doubler::default().push(&tone(frequency, SampleRate::Hz8000, 8000));
            let whole = level(&doubled);
            assert!((-0.5..0.1).contains(&whole), "{frequency} Hz doubled: {whole} dB");
            // What is left after a notch at the tone itself are images.
            let image: Vec<u8> = {
                let c = 2.0 * (2.0 * PI * frequency / 16_000.0).cos();
                let values: Vec<f32> = samples(&doubled).collect();
                values.windows(3).flat_map(|w| octets(w[0] - c * w[1] + w[2])).collect()
            };
            assert!(
                level(&image) < -45.0,
                "{frequency} Hz doubled: images at {} dB",
                level(&image)
            );
        }
    }

    #[test]
    fn the_chunking_does_not_matter_and_nothing_is_lost() {
        let pcm = tone(700.0, SampleRate::Hz16000, 3001);
        let (halved, doubled) = (Halver::default().push(&pcm), Doubler::default().push(&pcm));
        assert_eq!((halved.len(), doubled.len()), (2 * 1501, 2 * 6002));
        for samples in [1, 3, 160, 319] {
            let (mut halver, mut doubler) = (Halver::default(), Doubler::default());
            let chunks = || pcm.chunks(2 * samples);
            assert_eq!(
                chunks().flat_map(|chunk| halver.push(chunk)).collect::<Vec<_>>(),
                halved
            );
            assert_eq!(
                chunks().flat_map(|chunk| doubler.push(chunk)).collect::<Vec<_>>(),
                doubled
            );
        }
    }

    #[test]
    fn full_scale_does_not_wrap_around() {
        let square: Vec<u8> = (0..4000)
            .flat_map(|n: i32| if n / 40 % 2 == 0 { i16::MAX } else { i16::MIN }.to_le_bytes())
            .collect();
        let steps = |pcm: &[u8]| {
            let values: Vec<f32> = samples(pcm).collect();
            values
                .windows(2)
                .filter(|pair| (pair[0] - pair[1]).abs() > 40_000.0)
                .count()
        };
        assert_eq!(steps(&Doubler::default().push(&square)), 0);
        assert!(
            steps(&Halver::default().push(&square)) <= 100,
            "no more than the signal has itself"
        );
    }
}
