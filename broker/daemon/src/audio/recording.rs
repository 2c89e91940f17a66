//! Recording a call: a WAV file with the downlink left and the uplink right.
//!
//! A thread of its own writes it, so that a slow disk delays nobody. The sizes in the header are brought up to date with each
//! second that is written; what a broker that is killed leaves behind is a whole file up to that second.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cellular::pcm::SampleRate;
use tokio::sync::oneshot;

use super::Heard;
use super::owner::Listener;
use crate::supervisor;

/// RIFF, `fmt ` and the head of `data`.
const HEADER_BYTES: u64 = 44;

/// Octets of one sample of both channels.
const BLOCK_BYTES: u32 = 4;

/// Frames by which one direction may be behind before silence stands in for it: 200 ms, more than any burst.
const LAG_MAX_FRAMES: usize = 10;

/// Seconds of silence that stand in for a gap at most, which is what may have been dropped at once.
const GAP_MAX_SECONDS: u32 = 10;

/// The largest a WAV file can say that it is, less a second.
const FILE_MAX: u64 = u32::MAX as u64 - (2 * SampleRate::Hz16000.hz() * BLOCK_BYTES) as u64;

/// A recording under way. Dropping it ends it.
#[derive(Debug)]
pub struct Recording {
    stop: Arc<AtomicBool>,
    ended: Option<oneshot::Receiver<io::Result<()>>>,
}

impl Recording {
    /// How it ends; once.
    pub fn ended(&mut self) -> Option<oneshot::Receiver<io::Result<()>>> {
        self.ended.take()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Looked at with every frame.
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Records what a listener hears into a new file, until the audio ends.
pub fn record(path: &Path, rate: SampleRate, mut listener: Listener) -> io::Result<Recording> {
    let mut wav = Wav::create(path, rate)?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let ended = supervisor::thread("recording", move || {
        while let Some(heard) = listener.blocking_next() {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            wav.take(&heard)?;
        }
        wav.finish()
    })?;
    Ok(Recording {
        stop,
        ended: Some(ended),
    })
}

/// One direction on its way into the file.
#[derive(Debug, Default)]
struct Channel {
    waiting: VecDeque<i16>,
    next_sample: Option<u64>,
}

impl Channel {
    fn take(&mut self, heard: &Heard, gap_max: u64) {
        let missing = self
            .next_sample
            .map_or(0, |expected| heard.first_sample.saturating_sub(expected));
        // What a full queue dropped is silence, so that the two directions stay side by side.
        self.waiting.extend((0..missing.min(gap_max)).map(|_| 0));
        let samples = heard
            .pcm
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        self.waiting.extend(samples);
        self.next_sample = Some(heard.first_sample + heard.pcm.len() as u64 / 2);
    }
}

#[derive(Debug)]
struct Wav {
    file: File,
    rate: SampleRate,
    downlink: Channel,
    uplink: Channel,
    unwritten: Vec<u8>,
    data_bytes: u64,
}

impl Wav {
    /// A new file that only its owner and group can read: it is somebody's voice.
    fn create(path: &Path, rate: SampleRate) -> io::Result<Wav> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path)?;
        file.write_all(&header(rate, 0))?;
        Ok(Wav {
            file,
            rate,
            downlink: Channel::default(),
            uplink: Channel::default(),
            unwritten: Vec::with_capacity(flush_bytes(rate) + 4096),
            data_bytes: 0,
        })
    }

    fn take(&mut self, heard: &Heard) -> io::Result<()> {
        let direction = if heard.uplink {
            &mut self.uplink
        } else {
            &mut self.downlink
        };
        direction.take(heard, u64::from(GAP_MAX_SECONDS * self.rate.hz()));
        let (down, up) = (self.downlink.waiting.len(), self.uplink.waiting.len());
        let ready = down
            .min(up)
            .max(down.max(up).saturating_sub(LAG_MAX_FRAMES * self.rate.frame_samples()));
        self.interleave(ready);
        if self.unwritten.len() >= flush_bytes(self.rate) {
            self.flush()?;
        }
        Ok(())
    }

    fn interleave(&mut self, samples: usize) {
        for _ in 0..samples {
            for channel in [&mut self.downlink, &mut self.uplink] {
                let sample = channel.waiting.pop_front().unwrap_or(0);
                self.unwritten.extend(sample.to_le_bytes());
            }
        }
    }

    /// Writes what there is, then the sizes: in between the header tells of less than there is, never of more.
    fn flush(&mut self) -> io::Result<()> {
        if self.data_bytes + self.unwritten.len() as u64 > FILE_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "a WAV file has no more than 4 GiB",
            ));
        }
        self.file
            .write_all_at(&self.unwritten, HEADER_BYTES + self.data_bytes)?;
        self.data_bytes += self.unwritten.len() as u64;
        self.unwritten.clear();
        let size = u32::try_from(self.data_bytes).unwrap_or(u32::MAX);
        self.file.write_all_at(&header(self.rate, size), 0)
    }

    fn finish(mut self) -> io::Result<()> {
        let rest = self.downlink.waiting.len().max(self.uplink.waiting.len());
        self.interleave(rest);
        self.flush()?;
        self.file.sync_all()
    }
}

/// Octets between two updates of the header: a second.
fn flush_bytes(rate: SampleRate) -> usize {
    (rate.hz() * BLOCK_BYTES) as usize
}

/// The header of a file with so many octets of samples.
fn header(rate: SampleRate, data_bytes: u32) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    let rate = rate.hz();
    let fields: [(usize, &[u8]); 13] = [
        (0, b"RIFF"),
        (4, &(data_bytes.saturating_add(36)).to_le_bytes()),
        (8, b"WAVE"),
        (12, b"fmt "),
        (16, &16_u32.to_le_bytes()),
        // Linear PCM, two channels.
        (20, &1_u16.to_le_bytes()),
        (22, &2_u16.to_le_bytes()),
        (24, &rate.to_le_bytes()),
        (28, &(rate * BLOCK_BYTES).to_le_bytes()),
        (32, &4_u16.to_le_bytes()),
        (34, &16_u16.to_le_bytes()),
        (36, b"data"),
        (40, &data_bytes.to_le_bytes()),
    ];
    for (at, octets) in fields {
        header[at..at + octets.len()].copy_from_slice(octets);
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const RATE: SampleRate = SampleRate::Hz8000;
    const FRAME_SAMPLES: usize = RATE.frame_samples();

    fn heard(uplink: bool, first_sample: u64, value: i16) -> Heard {
        let pcm: Vec<u8> = std::iter::repeat_n(value.to_le_bytes(), FRAME_SAMPLES)
            .flatten()
            .collect();
        Heard {
            uplink,
            first_sample,
            pcm: Bytes::from(pcm),
        }
    }

    /// Left and right of what a file says that it holds.
    fn read(path: &Path) -> Vec<(i16, i16)> {
        let file = std::fs::read(path).unwrap();
        let size = u32::from_le_bytes(file[40..44].try_into().unwrap()) as usize;
        assert_eq!(u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize, size + 36);
        assert!(file.len() >= 44 + size, "the header tells of more than there is");
        let sample = |pair: &[u8]| i16::from_le_bytes([pair[0], pair[1]]);
        file[44..44 + size]
            .chunks_exact(4)
            .map(|block| (sample(&block[..2]), sample(&block[2..])))
            .collect()
    }

    #[test]
    fn directions_stay_side_by_side_over_gaps_and_standstills() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("call.wav");
        let mut wav = Wav::create(&path, RATE).unwrap();
        for frame in 0..100 {
            let first = frame * FRAME_SAMPLES as u64;
            // The uplink's frames 20 to 29 were dropped on the way, the downlink stands still from frame 60 on.
            if !(20..30).contains(&frame) {
                wav.take(&heard(true, first, 2)).unwrap();
            }
            if frame < 60 {
                wav.take(&heard(false, first, 1)).unwrap();
            }
        }
        wav.finish().unwrap();
        let samples = read(&path);
        assert_eq!(samples.len(), 100 * FRAME_SAMPLES);
        for (index, sample) in samples.iter().enumerate() {
            let frame = index / FRAME_SAMPLES;
            let expected = (i16::from(frame < 60), if (20..30).contains(&frame) { 0 } else { 2 });
            assert_eq!(*sample, expected, "frame {frame}");
        }
    }

    #[test]
    fn file_is_whole_after_every_second_without_an_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("call.wav");
        let mut wav = Wav::create(&path, RATE).unwrap();
        assert_eq!(read(&path), []);
        for frame in 0..125 {
            for uplink in [false, true] {
                wav.take(&heard(uplink, frame * FRAME_SAMPLES as u64, 7)).unwrap();
            }
        }
        // As a kill would leave it: two of two and a half seconds.
        assert_eq!(read(&path), vec![(7, 7); 16_000]);
        drop(wav);
        assert_eq!(read(&path).len(), 16_000);
    }

    #[test]
    fn nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("call.wav");
        drop(Wav::create(&path, RATE).unwrap());
        assert_eq!(
            Wav::create(&path, RATE).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
    }
}
