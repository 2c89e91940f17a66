//! Recorded audio as a call wants it: 16-bit linear, mono, 8000 Hz.

use std::path::{Path, PathBuf};

/// Samples in a second of a call's audio.
pub const SAMPLE_RATE_HZ: u32 = 8000;
/// Samples in a frame of 20 ms.
pub const FRAME_SAMPLES: usize = 160;
/// The longest file that is read: ten minutes, so that a wrong file cannot fill the memory.
const LONGEST_S: u32 = 600;
/// Zero crossings of the interpolation kernel on each side: about 60 dB of alias rejection, plenty for 8 kHz speech.
const KERNEL_CROSSINGS: f64 = 12.0;

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is described by its message")]
pub enum AudioError {
    #[error("failed to read {path}: {source}", path = path.display())]
    Wav { path: PathBuf, source: hound::Error },
    #[error("failed to use {path}: {problem}", path = path.display())]
    Unsuitable { path: PathBuf, problem: &'static str },
}

/// Reads a WAV file of any rate, width and number of channels.
pub fn read_wav(path: &Path) -> Result<Vec<i16>, AudioError> {
    let wav = |source| AudioError::Wav {
        path: path.to_owned(),
        source,
    };
    let unsuitable = |problem| AudioError::Unsuitable {
        path: path.to_owned(),
        problem,
    };
    let mut reader = hound::WavReader::open(path).map_err(wav)?;
    let spec = reader.spec();
    if spec.channels == 0 || !(4000..=384_000).contains(&spec.sample_rate) {
        return Err(unsuitable("its sample rate or its number of channels makes no sense"));
    }
    if reader.duration() / spec.sample_rate >= LONGEST_S {
        return Err(unsuitable("it is longer than ten minutes"));
    }
    let samples: Vec<f64> = match spec.sample_format {
        hound::SampleFormat::Float => reader
            .samples::<f32>()
            .map(|sample| sample.map(f64::from))
            .collect::<Result<_, _>>()
            .map_err(wav)?,
        hound::SampleFormat::Int => {
            let full_scale = 2f64.powi(i32::from(spec.bits_per_sample) - 1);
            reader
                .samples::<i32>()
                .map(|sample| sample.map(|sample| f64::from(sample) / full_scale))
                .collect::<Result<_, _>>()
                .map_err(wav)?
        }
    };
    let channels = usize::from(spec.channels);
    let mono: Vec<f64> = samples
        .chunks_exact(channels)
        .map(|frame| frame.iter().sum::<f64>() / channels as f64)
        .collect();
    Ok(resample(&mono, spec.sample_rate, SAMPLE_RATE_HZ)
        .into_iter()
        .map(|sample| (sample.clamp(-1.0, 1.0) * f64::from(i16::MAX)).round() as i16)
        .collect())
}

/// Band-limited interpolation with a windowed sinc: what lies above half of the lower rate is filtered, not folded back.
fn resample(input: &[f64], from_hz: u32, to_hz: u32) -> Vec<f64> {
    if from_hz == to_hz {
        return input.to_vec();
    }
    let step = f64::from(from_hz) / f64::from(to_hz);
    // A little below the Nyquist limit, because a short kernel has no sharp edge.
    let cutoff = 0.95 / step.max(1.0);
    let reach = KERNEL_CROSSINGS / cutoff;
    let count = (input.len() as f64 / step).floor() as usize;
    (0..count)
        .map(|index| {
            let centre = index as f64 * step;
            let first = (centre - reach).ceil().max(0.0) as usize;
            let last = ((centre + reach).floor() as usize).min(input.len().saturating_sub(1));
            input[first..=last]
                .iter()
                .enumerate()
                .map(|(offset, sample)| sample * kernel((first + offset) as f64 - centre, cutoff, reach))
                .sum()
        })
        .collect()
}

fn kernel(distance: f64, cutoff: f64, reach: f64) -> f64 {
    use std::f64::consts::PI;
    let window = 0.5 + 0.5 * (PI * distance / reach).cos();
    let x = PI * cutoff * distance;
    let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
    cutoff * sinc * window
}

/// Samples as the octets that a call's stream carries (PCM_S16LE).
pub fn to_octets(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// The samples of octets from a call's stream. An odd octet at the end is dropped: the contract sends whole samples.
pub fn from_octets(octets: &[u8]) -> impl Iterator<Item = i16> + '_ {
    octets
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate: u32, seconds: f64) -> Vec<f64> {
        let count = (seconds * f64::from(rate)) as usize;
        (0..count)
            .map(|n| 0.5 * (std::f64::consts::TAU * hz * n as f64 / f64::from(rate)).sin())
            .collect()
    }

    fn rms(samples: &[f64]) -> f64 {
        (samples.iter().map(|sample| sample * sample).sum::<f64>() / samples.len() as f64).sqrt()
    }

    #[test]
    fn speech_passes_and_what_would_alias_does_not() {
        for rate in [16_000, 22_050, 44_100, 48_000] {
            let kept = resample(&tone(1000.0, rate, 0.5), rate, 8000);
            assert_eq!(kept.len(), 4000, "{rate}");
            let level = rms(&kept[200..3800]) / rms(&tone(1000.0, 8000, 0.5));
            assert!((0.99..1.01).contains(&level), "1 kHz at {rate} Hz: {level}");
            let folded = rms(&resample(&tone(5500.0, rate, 0.5), rate, 8000)[200..3800]);
            assert!(folded < 0.002, "5.5 kHz at {rate} Hz: {folded}");
        }
        let raised = resample(&tone(400.0, 4000, 0.5), 4000, 8000);
        assert!((rms(&raised[200..3800]) / rms(&tone(400.0, 8000, 0.5)) - 1.0).abs() < 0.01);
    }

    #[test]
    fn files_of_any_width_and_channels_are_read() {
        let directory = tempfile::tempdir().unwrap();
        for (bits, format, channels) in [
            (8, hound::SampleFormat::Int, 1),
            (16, hound::SampleFormat::Int, 2),
            (24, hound::SampleFormat::Int, 1),
            (32, hound::SampleFormat::Float, 2),
        ] {
            let path = directory.path().join("x.wav");
            let spec = hound::WavSpec {
                channels,
                sample_rate: 8000,
                bits_per_sample: bits,
                sample_format: format,
            };
            let mut writer = hound::WavWriter::create(&path, spec).unwrap();
            for _ in 0..800 * channels {
                match format {
                    hound::SampleFormat::Float => writer.write_sample(0.5f32).unwrap(),
                    hound::SampleFormat::Int => writer.write_sample(1i32 << (bits - 2)).unwrap(),
                }
            }
            writer.finalize().unwrap();
            let samples = read_wav(&path).unwrap();
            assert_eq!(samples.len(), 800);
            assert!(
                samples.iter().all(|sample| (16_200..=16_500).contains(sample)),
                "{bits} bit"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_wav_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.wav");
        std::fs::write(&path, "RIFF but not really").unwrap();
        assert!(read_wav(&path).unwrap_err().to_string().contains("notes.wav"));
    }
}
