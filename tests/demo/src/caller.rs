//! The caller of the demo: two recorded sentences with the pauses of somebody who waits for an answer.

use std::path::Path;

use anyhow::Context as _;

const SAMPLE_RATE: usize = 8000;

/// Recordings of a LibriVox volunteer, public domain; see `tests/speech/ATTRIBUTION.md`.
const FIRST: &[u8] = include_bytes!("../../speech/sense-and-sensibility-0880.wav");
const SECOND: &[u8] = include_bytes!("../../speech/sense-and-sensibility-0930.wav");

/// Lets the greeting pass.
const BEFORE_FIRST_S: usize = 4;
/// Enough for the end of the turn (0.8 s) and the answer, which is as long as the sentence.
const BETWEEN_S: usize = 6;
const AFTER_SECOND_S: usize = 6;

/// Writes the caller's part and returns its length in milliseconds.
pub(crate) fn write(path: &Path) -> anyhow::Result<u64> {
    let mut samples = vec![0_i16; BEFORE_FIRST_S * SAMPLE_RATE];
    samples.extend(read(FIRST)?);
    samples.extend(std::iter::repeat_n(0, BETWEEN_S * SAMPLE_RATE));
    samples.extend(read(SECOND)?);
    samples.extend(std::iter::repeat_n(0, AFTER_SECOND_S * SAMPLE_RATE));
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE as u32,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).with_context(|| format!("write {}", path.display()))?;
    for sample in &samples {
        writer.write_sample(*sample)?;
    }
    writer.finalize()?;
    Ok((samples.len() * 1000 / SAMPLE_RATE) as u64)
}

fn read(wav: &[u8]) -> anyhow::Result<Vec<i16>> {
    let reader = hound::WavReader::new(wav).context("read the caller's recording")?;
    reader
        .into_samples()
        .collect::<Result<_, _>>()
        .context("read the caller's recording")
}
