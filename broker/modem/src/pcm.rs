//! The audio of a call as the module's serial port carries it: signed 16-bit little endian, mono, 8000 Hz, nothing around it.
//!
//! [`Pacer`] decides when a frame may be written, [`Playout`] what is in it, [`Framer`] cuts what was read into frames and
//! heals a lost octet, [`dtmf`] hears keys, [`Meter`] levels. None of them waits or knows a thread; time is a duration since
//! some fixed instant.

mod alignment;
pub mod dtmf;
mod meter;
mod pacer;
mod playout;

use std::time::Duration;

use alignment::Alignment;
pub use meter::Meter;
pub use pacer::Pacer;
pub use playout::{Buffering, Filled, Playout, Source, Supply};

/// Samples in a second.
pub const SAMPLE_RATE_HZ: u32 = 8000;
/// Samples in a frame of 20 ms.
pub const FRAME_SAMPLES: usize = 160;
/// Octets in a frame.
pub const FRAME_BYTES: usize = 2 * FRAME_SAMPLES;
/// Duration of a frame.
pub const FRAME: Duration = Duration::from_millis(20);

/// A frame with the index of its first sample, counted from the start of PCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Index of the first sample.
    pub first_sample: u64,
    /// 160 samples.
    pub pcm: [u8; FRAME_BYTES],
}

/// Cuts octets in any chunking into frames.
#[derive(Clone, Debug)]
pub struct Framer {
    partial: [u8; FRAME_BYTES],
    filled: usize,
    next_sample: u64,
    alignment: Alignment,
    slips: u64,
    /// The next octet is to be left out.
    skip: bool,
}

impl Default for Framer {
    fn default() -> Self {
        Framer {
            partial: [0; FRAME_BYTES],
            filled: 0,
            next_sample: 0,
            alignment: Alignment::default(),
            slips: 0,
            skip: false,
        }
    }
}

impl Framer {
    /// Adds octets and hands out every frame that became complete.
    pub fn push(&mut self, mut bytes: &[u8], mut complete: impl FnMut(Frame)) {
        while let [_, rest @ ..] = bytes {
            if std::mem::take(&mut self.skip) {
                bytes = rest;
                continue;
            }
            let count = bytes.len().min(FRAME_BYTES - self.filled);
            self.partial[self.filled..self.filled + count].copy_from_slice(&bytes[..count]);
            self.filled += count;
            bytes = &bytes[count..];
            if self.filled == FRAME_BYTES {
                complete(Frame {
                    first_sample: self.next_sample,
                    pcm: self.partial,
                });
                self.next_sample += FRAME_SAMPLES as u64;
                self.filled = 0;
                if self.alignment.is_slipped(&self.partial) {
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
        fn frames_do_not_depend_on_the_chunking(bytes in proptest::collection::vec(any::<u8>(), 0..4000), cuts in proptest::collection::vec(1_usize..700, 1..30)) {
            let mut whole = Vec::new();
            Framer::default().push(&bytes, |frame| whole.push(frame));
            let mut chunked = Vec::new();
            let mut framer = Framer::default();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                framer.push(now, |frame| chunked.push(frame));
                rest = later;
            }
            prop_assert_eq!(&whole, &chunked);
            let joined: Vec<u8> = whole.iter().flat_map(|frame| frame.pcm).collect();
            prop_assert_eq!(&joined[..], &bytes[..joined.len()]);
        }
    }
}
