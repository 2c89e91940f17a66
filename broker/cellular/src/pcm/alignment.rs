//! Whether octets are put together to the right samples.

/// Notices that an octet was lost, so that every sample since is made of halves of two.
///
/// Audio is smooth: neighbouring samples differ little. Read one octet off, the fine half of each sample becomes its coarse
/// half, and the same octets look like noise. When that holds for several frames on end, and the other way of putting the
/// octets together is much smoother, an octet is missing. Silence looks the same both ways and says nothing.
#[derive(Clone, Debug, Default)]
pub struct Alignment {
    suspicious: u32,
}

impl Alignment {
    /// Frames that have to agree: 100 ms of noise, which nobody has to hear for longer.
    const FRAMES: u32 = 5;
    /// How much smoother the other way has to be.
    const MUCH: u64 = 8;
    /// Least step for a frame to say anything, on average: less is silence with its last bits.
    const STEP_MIN: u64 = 64;

    /// Looks at a frame as it was put together; true if an octet is missing and the next one is to be left out.
    pub fn is_slipped(&mut self, frame: &[u8]) -> bool {
        let (as_read, shifted) = (roughness(frame), roughness(&frame[1..frame.len() - 1]));
        if as_read.max(shifted) < Self::STEP_MIN * (frame.len() as u64 / 2) {
            return false;
        }
        if as_read > Self::MUCH * shifted {
            self.suspicious += 1;
        } else {
            self.suspicious = 0;
        }
        let slipped = self.suspicious >= Self::FRAMES;
        if slipped {
            self.suspicious = 0;
        }
        slipped
    }
}

/// Sum of the steps from each sample to the next.
fn roughness(octets: &[u8]) -> u64 {
    let mut samples = octets
        .chunks_exact(2)
        .map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]])));
    let Some(mut last) = samples.next() else { return 0 };
    let mut steps = 0;
    for sample in samples {
        steps += u64::from(sample.abs_diff(last));
        last = sample;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::{Framer, SampleRate};

    fn sine(samples: usize, frequency: f32, level: f32) -> Vec<u8> {
        (0..samples)
            .map(|n| (level * (std::f32::consts::TAU * frequency * n as f32 / 8000.0).sin()) as i16)
            .flat_map(i16::to_le_bytes)
            .collect()
    }

    fn slips(octets: &[u8]) -> u64 {
        let mut framer = Framer::new(SampleRate::Hz8000);
        framer.push(octets, |_| {});
        framer.slips()
    }

    #[test]
    fn audio_without_a_slip_is_left_alone() {
        let mut seed = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        })
        .take(64_000)
        .collect();
        let counter: Vec<u8> = (0..100_000_u32).flat_map(|n| (n as u16).to_le_bytes()).collect();
        let square: Vec<u8> = (0..32_000)
            .flat_map(|n| if n / 20 % 2 == 0 { 0x7D7C_i16 } else { -0x7D7C }.to_le_bytes())
            .collect();
        for (name, octets) in [
            ("silence", vec![0; 64_000]),
            ("last bits", [0, 0, 255, 255].repeat(16_000)),
            ("white noise", noise),
            ("counter", counter),
            ("loud square", square),
            ("440 Hz", sine(32_000, 440.0, 8000.0)),
            ("3400 Hz", sine(32_000, 3400.0, 20_000.0)),
            ("quiet", sine(32_000, 300.0, 100.0)),
        ] {
            assert_eq!(slips(&octets), 0, "{name}");
        }
    }

    #[test]
    fn speech_without_a_slip_is_left_alone_and_one_with_a_slip_is_healed() {
        let speech = include_bytes!("../../../../tests/speech/sense-and-sensibility-0870.wav")[44..].to_vec();
        assert_eq!(slips(&speech), 0);
        for at in [8_000, 16_001, 20_003] {
            let mut slipped = speech.clone();
            slipped.remove(at);
            assert_eq!(slips(&slipped), 1, "the octet {at} is missing");
        }
    }

    #[test]
    fn lost_octet_costs_a_moment_and_not_the_rest() {
        for (name, mut octets) in [
            ("440 Hz", sine(16_000, 440.0, 8000.0)),
            (
                "counter",
                (0..16_000_u32).flat_map(|n| (n as u16).to_le_bytes()).collect(),
            ),
        ] {
            let whole = octets.clone();
            octets.remove(5_001);
            let mut framer = Framer::new(SampleRate::Hz8000);
            let mut heard = Vec::new();
            framer.push(&octets, |frame| heard.extend_from_slice(frame.pcm()));
            assert_eq!(framer.slips(), 1, "{name}");
            // An octet lost and one left out: a sample less, and the rest in its place.
            let tail = heard.len() - 16_000;
            assert_eq!(heard[tail..], whole[tail + 2..heard.len() + 2], "{name}");
        }
    }
}
