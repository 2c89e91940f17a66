//! The audio of a call as the module's serial port carries it: signed 16-bit little endian, mono, 8000 or 16,000 Hz, nothing
//! around it.
//!
//! [`Pacer`] decides when a frame may be written, [`Playout`] what is in it, [`Framer`] cuts what was read into frames and
//! heals a lost octet, [`dtmf`] hears keys, [`Meter`] levels, [`Halver`] and [`Doubler`] go between the two rates. None of
//! them waits or knows a thread; time is a duration since some fixed instant.

mod alignment;
pub mod dtmf;
mod meter;
mod pacer;
mod playout;
mod rate;

use std::time::Duration;

use alignment::Alignment;
pub use meter::Meter;
pub use pacer::Pacer;
pub use playout::{Buffering, Filled, Playout, Source, Supply};
pub use rate::{Doubler, Halver, SampleRate};

/// Octets in a frame of 20 ms at the higher rate.
const FRAME_BYTES_MAX: usize = SampleRate::Hz16000.frame_bytes();
/// Duration of a frame.
pub const FRAME: Duration = Duration::from_millis(20);

/// A frame with the index of its first sample, counted from the start of PCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Index of the first sample.
    pub first_sample: u64,
    rate: SampleRate,
    octets: [u8; FRAME_BYTES_MAX],
}

impl Frame {
    /// A frame of silence.
    #[must_use]
    pub fn silent(rate: SampleRate) -> Self {
        Frame {
            first_sample: 0,
            rate,
            octets: [0; FRAME_BYTES_MAX],
        }
    }

    /// Its octets.
    #[must_use]
    pub fn pcm(&self) -> &[u8] {
        &self.octets[..self.rate.frame_bytes()]
    }

    /// The same, to be filled.
    pub fn pcm_mut(&mut self) -> &mut [u8] {
        &mut self.octets[..self.rate.frame_bytes()]
    }
}

/// Cuts octets in any chunking into frames.
#[derive(Clone, Debug)]
pub struct Framer {
    partial: Frame,
    filled: usize,
    alignment: Alignment,
    slips: u64,
    /// The next octet is to be left out.
    skip: bool,
}

impl Framer {
    /// Cuts into frames of this rate.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        Framer {
            partial: Frame::silent(rate),
            filled: 0,
            alignment: Alignment::default(),
            slips: 0,
            skip: false,
        }
    }

    /// Adds octets and hands out every frame that became complete.
    pub fn push(&mut self, mut bytes: &[u8], mut complete: impl FnMut(Frame)) {
        while let [_, rest @ ..] = bytes {
            if std::mem::take(&mut self.skip) {
                bytes = rest;
                continue;
            }
            let free = &mut self.partial.pcm_mut()[self.filled..];
            let count = bytes.len().min(free.len());
            free[..count].copy_from_slice(&bytes[..count]);
            let complete_now = count == free.len();
            self.filled += count;
            bytes = &bytes[count..];
            if complete_now {
                complete(self.partial);
                self.partial.first_sample += self.partial.rate.frame_samples() as u64;
                self.filled = 0;
                if self.alignment.is_slipped(self.partial.pcm()) {
                    self.slips += 1;
                    // What comes next is the second half of a sample; its first half ended this frame.
                    self.skip = true;
                }
            }
        }
    }

    /// How often an octet was missing.
    #[must_use]
    pub fn slips(&self) -> u64 {
        self.slips
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_do_not_depend_on_the_chunking(wide: bool, bytes in proptest::collection::vec(any::<u8>(), 0..4000), cuts in proptest::collection::vec(1_usize..700, 1..30)) {
            let rate = if wide { SampleRate::Hz16000 } else { SampleRate::Hz8000 };
            let mut whole = Vec::new();
            Framer::new(rate).push(&bytes, |frame| whole.push(frame));
            let mut chunked = Vec::new();
            let mut framer = Framer::new(rate);
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                framer.push(now, |frame| chunked.push(frame));
                rest = later;
            }
            prop_assert_eq!(&whole, &chunked);
            let joined: Vec<u8> = whole.iter().flat_map(|frame| frame.pcm().to_vec()).collect();
            prop_assert_eq!(&joined[..], &bytes[..joined.len()]);
        }
    }
}
