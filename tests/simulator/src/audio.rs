//! The flow of PCM during a call as a pure pump: instants and uplink bytes go in, downlink bytes come out.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::control::CallAudio;
use crate::core::{AudioAccount, AudioFault, AudioFlow};

/// Bytes of a frame of 20 ms at 8 kHz.
const FRAME_BYTES: u64 = 320;

/// How much is made up for at once after a standstill of whoever runs this. A module does not stand still, so nobody is
/// prepared for more to come at once than the largest chunks of modules: beyond it the module's clock stood still as well.
const CATCH_UP: Duration = Duration::from_millis(100);

/// Echoed bytes that wait to be played.
const ECHO_LIMIT: usize = 160_000;

/// The longest file that is read: ten minutes.
const WAV_LIMIT: usize = 8_000 * 600;

/// Samples of this and more are loud.
const LOUD: u16 = 1_000;

/// Samples without a loud one that end loud audio.
const PAUSE_SAMPLES: u64 = 160;

/// Begins and ends of loud audio that are kept.
const MOMENTS_LIMIT: usize = 16_384;

/// Amplitude of the comfort noise, about -60 dBov.
const NOISE_PEAK: i64 = 57;

/// Why a flow could not begin as asked.
#[derive(Debug, thiserror::Error)]
#[error("failed to open the audio file {path}")]
pub struct AudioFileError {
    path: String,
    #[source]
    source: hound::Error,
}

#[derive(Debug)]
enum Source {
    Silence,
    Noise(u64),
    Counter,
    Echo(VecDeque<u8>),
    Samples(Vec<i16>),
}

/// One flow of PCM.
pub struct Pump {
    call: u64,
    source: Source,
    recording: Option<hound::WavWriter<BufWriter<File>>>,
    bytes_per_second: u64,
    fault: AudioFault,
    begin: Instant,
    /// Bytes of the downlink since `begin`.
    position: u64,
    /// Bytes taken from the source since the flow began, so that a changed clock or chunk repeats no sample.
    taken: u64,
    stalled_until: Option<Instant>,
    carry: Option<u8>,
    previous: Option<i16>,
    /// Tones that sound instead of the source, and the sample of the flow at which they begin.
    tones: (u64, Vec<i16>),
    /// A byte is to be lost.
    slip: bool,
    /// The port did not take the last chunk whole.
    is_dropping: bool,
    /// Loud audio of the host: since when it is quiet in samples, and when it was loud last.
    quiet_samples: u64,
    loud_us: Option<u64>,
    account: AudioAccount,
}

impl Pump {
    /// A flow that begins now, which is this moment of Unix time.
    pub fn new(flow: &AudioFlow, now: Instant, unix_us: u64) -> Result<Self, AudioFileError> {
        let source = match &flow.source {
            CallAudio::Silence => Source::Silence,
            CallAudio::Noise => Source::Noise(flow.call),
            CallAudio::Counter => Source::Counter,
            CallAudio::Echo => Source::Echo(VecDeque::new()),
            CallAudio::Wav(path) => Source::Samples(read_wav(path, flow.sample_rate)?),
        };
        let recording = flow
            .record
            .as_deref()
            .map(|path| create_wav(path, flow.sample_rate))
            .transpose()?;
        let mut pump = Self {
            call: flow.call,
            source,
            recording,
            bytes_per_second: u64::from(flow.sample_rate) * 2,
            fault: AudioFault::None,
            begin: now,
            position: 0,
            taken: 0,
            stalled_until: None,
            carry: None,
            previous: None,
            tones: (0, Vec::new()),
            slip: false,
            is_dropping: false,
            quiet_samples: u64::MAX,
            loud_us: None,
            account: AudioAccount {
                downlink_begin_us: unix_us,
                ..AudioAccount::default()
            },
        };
        pump.set_fault(flow.fault, now);
        Ok(pump)
    }

    /// The flow goes wrong in this way from now on.
    pub fn set_fault(&mut self, fault: AudioFault, now: Instant) {
        // A new clock must not move what has been played already.
        self.rebase(now);
        if fault == AudioFault::ByteSlip {
            self.slip = true;
            self.fault = AudioFault::None;
            return;
        }
        self.fault = fault;
        self.stalled_until = match fault {
            AudioFault::Stall { ms } | AudioFault::Late { ms } => Some(now + Duration::from_millis(ms)),
            _ => None,
        };
    }

    fn rebase(&mut self, now: Instant) {
        let whole = self.position;
        let spent = self.duration_of(whole);
        self.begin = (self.begin + spent).min(now.max(self.begin));
        self.position = 0;
    }

    fn duration_of(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let ppm = if let AudioFault::Clock { ppm } = self.fault {
            i128::from(ppm)
        } else {
            0
        };
        let nanos = i128::try_from(nanos).unwrap_or(i128::MAX) * 1_000_000 / (1_000_000 + ppm).max(1);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn chunk_bytes(&self) -> u64 {
        let frame = FRAME_BYTES * self.bytes_per_second / 16_000;
        match self.fault {
            AudioFault::Burst { frames } => frame * u64::from(frames.clamp(1, 100)),
            AudioFault::Chunk { bytes } => u64::from(bytes.clamp(1, 65_536)),
            _ => frame,
        }
    }

    /// When [`Pump::downlink`] has something again.
    pub fn deadline(&self) -> Instant {
        let due = self.begin + self.duration_of(self.position + self.chunk_bytes());
        self.stalled_until.map_or(due, |until| due.max(until))
    }

    /// The chunks that are due, oldest first.
    pub fn downlink(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if let Some(until) = self.stalled_until {
            if now < until {
                return Vec::new();
            }
            self.stalled_until = None;
            if matches!(self.fault, AudioFault::Late { .. }) {
                self.begin = until;
            } else {
                // What the caller said meanwhile is lost.
                while self.begin + self.duration_of(self.position + self.chunk_bytes()) < now {
                    self.generate(self.chunk_bytes());
                }
            }
            self.rebase(now);
            self.fault = AudioFault::None;
        }
        let behind = now.saturating_duration_since(self.deadline());
        if behind > CATCH_UP {
            self.begin += behind - CATCH_UP;
            self.account.standstill_us += u64::try_from((behind - CATCH_UP).as_micros()).unwrap_or(u64::MAX);
        }
        let mut chunks = Vec::new();
        while self.deadline() <= now {
            let mut chunk = self.generate(self.chunk_bytes());
            if std::mem::take(&mut self.slip) {
                chunk.pop();
            }
            if self.fault == AudioFault::DeadDownlink {
                continue;
            }
            self.account.downlink_bytes += chunk.len() as u64;
            chunks.push(chunk);
        }
        chunks
    }

    fn generate(&mut self, count: u64) -> Vec<u8> {
        let first = self.taken;
        self.position += count;
        self.taken += count;
        let (tones_from, tones) = &self.tones;
        let tone = |at: u64| {
            let index = (at / 2).checked_sub(*tones_from)?;
            let sample = tones.get(usize::try_from(index).ok()?)?;
            Some(sample.to_le_bytes()[usize::from(at % 2 == 1)])
        };
        let source = &mut self.source;
        (first..self.taken)
            .map(|at| {
                let spoken = source.byte(at);
                tone(at).unwrap_or(spoken)
            })
            .collect()
    }

    /// The other party presses these keys now, 80 ms each with pauses of 80 ms.
    pub fn press(&mut self, keys: &str) {
        let rate = f64::from(u32::try_from(self.bytes_per_second / 2).unwrap_or(8_000));
        let length = (rate * 0.08) as usize;
        let mut samples = Vec::new();
        for (row, column) in keys.chars().filter_map(frequencies) {
            let sine = |frequency: f64, at: usize| (std::f64::consts::TAU * frequency * at as f64 / rate).sin();
            samples.extend((0..length).map(|at| (5_000.0 * (sine(row, at) + sine(column, at))) as i16));
            samples.extend(std::iter::repeat_n(0, length));
        }
        self.tones = (self.taken.div_ceil(2), samples);
    }

    /// The port could not take so many bytes of a chunk of the downlink, or none.
    pub fn count_dropped(&mut self, bytes: usize) {
        self.account.downlink_dropped_bytes += bytes as u64;
        self.account.downlink_gaps += u64::from(bytes > 0 && !self.is_dropping);
        self.is_dropping = bytes > 0;
    }

    /// Whether the module takes what the host writes at this moment.
    pub fn accepts_uplink(&self) -> bool {
        let stalled = self.stalled_until.is_some() && matches!(self.fault, AudioFault::Stall { .. });
        !stalled && self.fault != AudioFault::DeadUplink
    }

    /// Takes bytes of the host, in any chunking, which arrived at this moment of Unix time.
    pub fn uplink(&mut self, bytes: &[u8], unix_us: u64) {
        self.account.uplink_bytes += bytes.len() as u64;
        if let Source::Echo(waiting) = &mut self.source {
            let room = ECHO_LIMIT.saturating_sub(waiting.len());
            waiting.extend(bytes.iter().take(room));
        }
        for byte in bytes {
            match self.carry.take() {
                None => self.carry = Some(*byte),
                Some(low) => {
                    let sample = i16::from_le_bytes([low, *byte]);
                    self.uplink_level(sample, unix_us);
                    self.uplink_sample(sample);
                }
            }
        }
    }

    /// Notes when loud audio begins and ends.
    fn uplink_level(&mut self, sample: i16, unix_us: u64) {
        if sample.unsigned_abs() >= LOUD {
            if self.quiet_samples >= PAUSE_SAMPLES && self.account.onsets_us.len() < MOMENTS_LIMIT {
                self.account.onsets_us.push(unix_us);
            }
            self.quiet_samples = 0;
            self.loud_us = Some(unix_us);
            return;
        }
        self.quiet_samples = self.quiet_samples.saturating_add(1);
        if self.quiet_samples == PAUSE_SAMPLES
            && let Some(loud_us) = self.loud_us.take()
            && self.account.offsets_us.len() < MOMENTS_LIMIT
        {
            self.account.offsets_us.push(loud_us);
        }
    }

    fn uplink_sample(&mut self, sample: i16) {
        self.account.uplink_nonzero_samples += u64::from(sample != 0);
        if let Some(previous) = self.previous.replace(sample) {
            if sample == previous.wrapping_add(1) {
                self.account.counter_steps += 1;
            } else if self.account.counter_steps > 0 && (sample != 0 || previous != 0) {
                self.account.counter_breaks += 1;
            }
        }
        if let Some(recording) = &mut self.recording
            && let Err(error) = recording.write_sample(sample)
        {
            tracing::warn!(%error, "recording ends: failed to write a sample");
            self.recording = None;
        }
    }

    /// Ends the flow: the call and what it moved.
    pub fn finish(self) -> (u64, AudioAccount) {
        if let Some(recording) = self.recording
            && let Err(error) = recording.finalize()
        {
            tracing::warn!(%error, "failed to complete a recording");
        }
        (self.call, self.account)
    }
}

impl Source {
    /// The byte at a position of the stream of little-endian samples.
    fn byte(&mut self, at: u64) -> u8 {
        let index = at / 2;
        let sample = match self {
            Self::Silence => 0,
            Self::Noise(seed) => noise(*seed, index),
            Self::Counter => {
                let [low, high, ..] = index.to_le_bytes();
                i16::from_le_bytes([low, high])
            }
            Self::Echo(waiting) => return waiting.pop_front().unwrap_or(0),
            Self::Samples(samples) => usize::try_from(index)
                .ok()
                .and_then(|index| samples.get(index))
                .copied()
                .unwrap_or(0),
        };
        sample.to_le_bytes()[usize::from(at % 2 == 1)]
    }
}

/// The two frequencies of a key (ITU-T Q.23).
fn frequencies(key: char) -> Option<(f64, f64)> {
    let at = "123A456B789C*0#D".find(key.to_ascii_uppercase())?;
    Some((
        [697.0, 770.0, 852.0, 941.0][at / 4],
        [1_209.0, 1_336.0, 1_477.0, 1_633.0][at % 4],
    ))
}

fn noise(seed: u64, index: u64) -> i16 {
    let mixed = (index ^ seed.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33;
    let spread = i64::try_from(mixed % 115).unwrap_or(0) - NOISE_PEAK;
    i16::try_from(spread).unwrap_or(0)
}

fn read_wav(path: &Path, sample_rate: u32) -> Result<Vec<i16>, AudioFileError> {
    let wrap = |source| AudioFileError {
        path: path.display().to_string(),
        source,
    };
    let mut reader = hound::WavReader::open(path).map_err(wrap)?;
    let spec = reader.spec();
    if spec.channels != 1 || spec.sample_rate != 8_000 || spec.bits_per_sample != 16 {
        return Err(wrap(hound::Error::Unsupported));
    }
    let repeat = (sample_rate / 8_000).max(1) as usize;
    let samples: Vec<i16> = reader
        .samples::<i16>()
        .take(WAV_LIMIT)
        .collect::<Result<_, _>>()
        .map_err(wrap)?;
    Ok(samples
        .into_iter()
        .flat_map(|sample| std::iter::repeat_n(sample, repeat))
        .collect())
}

fn create_wav(path: &Path, sample_rate: u32) -> Result<hound::WavWriter<BufWriter<File>>, AudioFileError> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    hound::WavWriter::create(path, spec).map_err(|source| AudioFileError {
        path: path.display().to_string(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(source: CallAudio, fault: AudioFault) -> AudioFlow {
        AudioFlow {
            call: 1,
            source,
            record: None,
            sample_rate: 8_000,
            fault,
        }
    }

    fn run(pump: &mut Pump, begin: Instant, ms: u64) -> Vec<(u64, Vec<u8>)> {
        let end = begin + Duration::from_millis(ms);
        let mut chunks = Vec::new();
        while pump.deadline() <= end {
            let now = pump.deadline();
            let at = now.duration_since(begin).as_millis() as u64;
            chunks.extend(pump.downlink(now).into_iter().map(|chunk| (at, chunk)));
        }
        chunks
    }

    fn samples(chunks: &[(u64, Vec<u8>)]) -> Vec<i16> {
        let bytes: Vec<u8> = chunks.iter().flat_map(|(_, chunk)| chunk.clone()).collect();
        bytes
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect()
    }

    #[test]
    fn each_fault_shapes_the_flow_and_keeps_the_samples_in_order() {
        let begin = Instant::now();
        for (fault, first_at, first_len, total_samples) in [
            (AudioFault::None, 20, 320, 8_000),
            (AudioFault::Burst { frames: 5 }, 100, 1_600, 8_000),
            (AudioFault::Chunk { bytes: 641 }, 40, 641, 7_692),
            (AudioFault::Late { ms: 200 }, 220, 320, 6_400),
            (AudioFault::Clock { ppm: 100_000 }, 18, 320, 8_800),
        ] {
            let mut pump = Pump::new(&flow(CallAudio::Counter, fault), begin, 0).expect("no file");
            let chunks = run(&mut pump, begin, 1_000);
            assert_eq!((chunks[0].0, chunks[0].1.len()), (first_at, first_len), "{fault:?}");
            let heard = samples(&chunks);
            assert_eq!(heard.len(), total_samples, "{fault:?}");
            assert!(
                heard.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)),
                "{fault:?}"
            );
        }
    }

    #[test]
    fn a_stall_loses_what_the_caller_said_meanwhile_and_nothing_else() {
        let begin = Instant::now();
        let mut pump = Pump::new(&flow(CallAudio::Counter, AudioFault::None), begin, 0).expect("no file");
        let mut heard = samples(&run(&mut pump, begin, 100));
        pump.set_fault(AudioFault::Stall { ms: 200 }, begin + Duration::from_millis(100));
        assert!(!pump.accepts_uplink());
        heard.extend(samples(&run(&mut pump, begin, 1_000)));
        assert!(pump.accepts_uplink());
        let breaks: Vec<_> = heard
            .windows(2)
            .filter(|pair| pair[1] != pair[0].wrapping_add(1))
            .collect();
        assert_eq!(breaks.len(), 1, "{breaks:?}");
        let lost = i32::from(breaks[0][1]) - i32::from(breaks[0][0]);
        assert!((1_440..=1_760).contains(&lost), "{lost}");
        assert!((6_240..=6_560).contains(&heard.len()), "{}", heard.len());
    }

    #[test]
    fn a_standstill_of_the_machine_is_one_of_the_clock_and_loses_nothing() {
        let begin = Instant::now();
        let mut pump = Pump::new(&flow(CallAudio::Counter, AudioFault::None), begin, 0).expect("no file");
        let mut chunks = run(&mut pump, begin, 100);
        let after = pump.downlink(begin + Duration::from_secs(2));
        assert!((5..=6).contains(&after.len()), "{} chunks at once", after.len());
        chunks.extend(after.into_iter().map(|chunk| (2_000, chunk)));
        chunks.extend(run(&mut pump, begin, 3_000));
        let heard = samples(&chunks);
        assert!(heard.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
        assert!(
            (8_800..=10_000).contains(&heard.len()),
            "1.2 s: {} samples",
            heard.len()
        );
        assert!((1_700_000..1_900_000).contains(&pump.finish().1.standstill_us));
    }

    #[test]
    fn a_slip_loses_one_byte_and_a_dead_downlink_everything() {
        let begin = Instant::now();
        let mut pump = Pump::new(&flow(CallAudio::Counter, AudioFault::None), begin, 0).expect("no file");
        pump.set_fault(AudioFault::ByteSlip, begin);
        let bytes = |chunks: Vec<(u64, Vec<u8>)>| chunks.iter().map(|(_, chunk)| chunk.len()).sum::<usize>();
        assert_eq!(bytes(run(&mut pump, begin, 1_000)), 15_999);
        pump.set_fault(AudioFault::DeadDownlink, begin + Duration::from_secs(1));
        assert_eq!(bytes(run(&mut pump, begin, 2_000)), 0);
        assert!(pump.accepts_uplink());
    }

    #[test]
    fn begins_and_ends_of_loud_audio_are_noted() {
        let mut pump = Pump::new(&flow(CallAudio::Silence, AudioFault::None), Instant::now(), 0).expect("no file");
        let block = |value: i16| value.to_le_bytes().repeat(160);
        for (at, value) in [(1, 0), (2, 1_000), (3, 1_000), (4, 999), (5, 0), (6, -1_000), (7, 0)] {
            pump.uplink(&block(value), at);
        }
        let (_, account) = pump.finish();
        assert_eq!((account.onsets_us, account.offsets_us), (vec![2, 6], vec![3, 6]));
    }

    #[test]
    fn a_counter_in_the_uplink_is_checked_across_odd_chunks() {
        let mut pump = Pump::new(&flow(CallAudio::Silence, AudioFault::None), Instant::now(), 0).expect("no file");
        let counter: Vec<u8> = (1..=1_000i16).flat_map(i16::to_le_bytes).collect();
        for chunk in counter.chunks(321) {
            pump.uplink(chunk, 0);
        }
        pump.uplink(&5_000i16.to_le_bytes(), 0);
        let (_, account) = pump.finish();
        assert_eq!(
            (account.counter_steps, account.counter_breaks, account.uplink_bytes),
            (999, 1, 2_002)
        );
    }
}
