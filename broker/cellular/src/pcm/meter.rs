//! How loud audio is, and whether there is any.

use std::time::Duration;

use super::FRAME;

/// Levels of one direction since its begin.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    samples: u64,
    clipped: u64,
    energy: f64,
    /// Frames of nothing but zeros at the end.
    empty_frames: u32,
}

impl Meter {
    /// Adds a frame.
    pub fn push(&mut self, frame: &[u8]) {
        let (mut energy, mut clipped, mut empty) = (0_u64, 0, true);
        for pair in frame.chunks_exact(2) {
            let sample = i16::from_le_bytes([pair[0], pair[1]]);
            energy += u64::from(sample.unsigned_abs()).pow(2);
            clipped += u64::from(sample == i16::MAX || sample == i16::MIN);
            empty &= sample == 0;
        }
        self.samples += frame.len() as u64 / 2;
        self.clipped += clipped;
        // Exact up to 2^53, which is an hour at full scale; beyond it the mean does not notice.
        self.energy += energy as f64;
        self.empty_frames = if empty { self.empty_frames.saturating_add(1) } else { 0 };
    }

    /// Samples at either end of the scale, in a million.
    #[must_use]
    pub fn clipped_ppm(&self) -> u32 {
        u32::try_from(self.clipped * 1_000_000 / self.samples.max(1)).unwrap_or(u32::MAX)
    }

    /// Root mean square relative to full scale, in dB. `None` for digital silence.
    #[must_use]
    pub fn rms_dbov(&self) -> Option<f32> {
        let mean = self.energy / self.samples.max(1) as f64;
        (mean > 0.0).then(|| (10.0 * (mean / (32_768.0 * 32_768.0)).log10()) as f32)
    }

    /// How long there has been nothing but zeros. A line has noise, real or made up; zeros mean that nobody is connected.
    #[must_use]
    pub fn digital_silence(&self) -> Duration {
        FRAME * self.empty_frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(value: i16) -> [u8; 320] {
        let mut frame = [0; 320];
        for pair in frame.chunks_exact_mut(2) {
            pair.copy_from_slice(&value.to_le_bytes());
        }
        frame
    }

    #[test]
    fn levels_are_those_of_the_signal() {
        let mut meter = Meter::default();
        assert_eq!((meter.rms_dbov(), meter.clipped_ppm()), (None, 0));
        meter.push(&frame(0));
        assert_eq!((meter.rms_dbov(), meter.digital_silence()), (None, FRAME));
        let mut meter = Meter::default();
        meter.push(&frame(16_384));
        assert_eq!(meter.digital_silence(), Duration::ZERO);
        assert!(meter.rms_dbov().is_some_and(|level| (level + 6.02).abs() < 0.01));
        meter.push(&frame(i16::MIN));
        assert_eq!(meter.clipped_ppm(), 500_000);
    }
}
