//! The audio of a call: a dedicated thread at the port, an asynchronous session in front of it.
//!
//! ```text
//! modem tty ──read──▶ pump thread ──▶ [downlink ring of frames] ──▶ session ──▶ owner and listeners
//! modem tty ◀─write── pump thread ◀── [uplink ring of octets]   ◀── owner
//! ```
//! The rings are wait-free, so nothing that happens on the asynchronous side can delay the thread. What must be immediate
//! crosses as an atomic position: `clear` tells the thread up to where queued audio is to be dropped.
//!
//! # The clock
//!
//! The modem's clock is the only one: the thread writes one frame of 20 ms for each frame that the modem sent. Bursts
//! are spread out again, because what the kernel and the module hold cannot be taken back. When the modem sends nothing,
//! frames go out on a schedule and count against what comes later.
//!
//! # Who has the port
//!
//! The port belongs to one call at a time, from before it is opened until it is closed (`AudioTurn`). A call that
//! becomes active takes it from one that is held.
//!
//! # Queues
//!
//! Audio beyond the prebuffer is delay for a live speaker and harmless for a file. The client says which it sends
//! (`pcm::Supply`); a live queue shrinks in pauses to the prebuffer. An owner's frames are dropped by how long they have
//! waited, not by how many there are: what the machine held back is late already, and an owner that reads gets it whole.
//!
//! A recording is a listener with a thread of its own. It writes samples first, then the sizes in the WAV header.
//!
//! # What ordinary programs can do to it
//!
//! The thread beats every ordinary program, but a thread of the kernel with ordinary priority carries what a terminal
//! receives. Where a kernel leaves that one unserved (2.8 s were seen, beside a processor hog whose session or control
//! group is scheduled as one), the audio stands still, is counted as a gap and as stalled writes, and goes on.
//!
//! # Rates
//!
//! A call has the rate that its module passes. Only a restart of the module leads back from 16 kHz, so the broker asks
//! before each call. A client that wants 8 kHz of a call with 16 gets them filtered (`pcm::rate`); the other way round
//! is refused.

mod bell;
mod buffering;
mod driver_queue;
mod owner;
mod priority;
mod pump;
mod recording;
mod session;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cellular::pcm::SampleRate;
use cellular::pcm::dtmf::Press;
use tokio::sync::{mpsc, watch};

use crate::figures::{CallTotals, Counted, Histogram};
use crate::refusal::Refusal;
use crate::resource::{AudioProblems, AudioStatistics};

pub use owner::{Listener, Owner};
pub use recording::{Recording, record};
use session::Session;
pub use session::{AttachOptions, PREBUFFER_MAX_MS};

/// How a call's audio is treated.
#[derive(Clone, Copy, Debug)]
pub struct AudioConfig {
    /// What the module passes.
    pub rate: SampleRate,
    /// Uplink audio that is queued at most.
    pub uplink_queue_max: Duration,
    /// Keys are listened for in the downlink.
    pub detect_dtmf: bool,
}

/// Counters of the pump. Every one has a single writer.
#[derive(Debug, Default)]
struct Counters {
    downlink_bytes: AtomicU64,
    uplink_frames: AtomicU64,
    uplink_silence_frames: AtomicU64,
    uplink_underruns: AtomicU64,
    /// Octets that left the uplink ring, written to the port or cleared.
    uplink_taken: AtomicU64,
    /// Octets before this position are to be dropped instead of played.
    clear_before: AtomicU64,
    /// Octets of the uplink ring that were dropped by a clear.
    uplink_cleared: AtomicU64,
    downlink_frames_lost: AtomicU64,
    /// How the owner's audio is queued, as [`buffering`] writes it.
    buffering: AtomicU64,
    /// Frames that were due while the port took nothing.
    write_stalls: AtomicU64,
    uplink_skipped_frames: AtomicU64,
    uplink_stretched_frames: AtomicU64,
    uplink_partial_writes: AtomicU64,
    /// Frames of silence within interrupted audio.
    uplink_underrun_frames: AtomicU64,
    downlink_short_reads: AtomicU64,
    downlink_slips: AtomicU64,
    downlink_gap_max_us: AtomicU64,
    /// The first and the latest read, in microseconds since the start, and the octets of the first: what the module's clock
    /// is measured by.
    first_read_us: AtomicU64,
    first_read_bytes: AtomicU64,
    last_read_us: AtomicU64,
    lateness_max_us: AtomicU64,
    /// When the latest clear was asked for, and how long the pump took to carry it out.
    clear_asked_us: AtomicU64,
    clear_latency_us: AtomicU64,
    driver_max_bytes: AtomicU64,
    times: Times,
}

/// How long things took on the audio thread.
#[derive(Debug)]
struct Times {
    /// Between two reads.
    gaps: Histogram,
    /// From the moment at which a frame was due to its write.
    lateness: Histogram,
    /// From a clear to the drop of what it meant.
    clears: Histogram,
}

/// Around the 20 and 40 ms in which modules send, and up to the standstill that is a problem.
const GAP_BOUNDS_US: &[u64] = &[
    10_000, 18_000, 22_000, 30_000, 42_000, 60_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
];

/// Up to two frames; later than that the other side hears it.
const LATENESS_BOUNDS_US: &[u64] = &[250, 500, 1000, 2000, 5000, 10_000, 20_000, 40_000];

/// A clear waits for the thread's next turn, 20 ms at most.
const CLEAR_BOUNDS_US: &[u64] = &[1000, 2000, 5000, 10_000, 15_000, 20_000, 30_000, 45_000, 100_000];

impl Default for Times {
    fn default() -> Self {
        Times {
            gaps: Histogram::new(GAP_BOUNDS_US),
            lateness: Histogram::new(LATENESS_BOUNDS_US),
            clears: Histogram::new(CLEAR_BOUNDS_US),
        }
    }
}

/// Octets of the uplink ring that a clear dropped, as positions since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cleared {
    from: u64,
    to: u64,
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Acquire)
}

fn add(counter: &AtomicU64, count: u64) {
    // Each counter has one writer, so a plain load and store would do; this says it in one word.
    counter.fetch_add(count, Ordering::AcqRel);
}

/// For a counter with one writer.
fn raise(counter: &AtomicU64, value: u64) {
    counter.fetch_max(value, Ordering::AcqRel);
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What the owner of a call's audio hears of.
#[derive(Clone, Debug, PartialEq)]
pub enum Downlink {
    /// 20 ms from the network.
    Frame {
        /// Index of the first sample since PCM was opened. A jump is a gap.
        first_sample: u64,
        /// Samples, at the owner's rate.
        pcm: Bytes,
    },
    /// A mark was reached.
    Mark {
        /// Its name.
        name: String,
        /// The audio before it was cleared, at least its end.
        cleared: bool,
        /// Uplink samples written so far.
        uplink_samples: u64,
    },
    /// The uplink queue is full, or has room again.
    Flow {
        /// Stop or go.
        stop: bool,
        /// Audio in the queue.
        queued_ms: u32,
    },
    /// Once a second.
    Statistics(AudioStatistics),
    /// Another owner took over; nothing more comes.
    Superseded,
    /// The audio path is closed; nothing more comes.
    Ended(String),
}

/// A frame for a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// True for uplink, false for downlink.
    pub uplink: bool,
    /// Index of the first sample of its direction.
    pub first_sample: u64,
    /// Samples, at the listener's rate.
    pub pcm: Bytes,
}

/// The audio of one call. Dropping it closes the port.
pub struct AudioPath {
    session: Arc<Session>,
    stop: pump::Stop,
    /// Held for its end.
    _counted: Option<Counted>,
}

impl AudioPath {
    /// Takes over an open audio port. From now on it is read, so that nothing old is in it when the call's audio begins.
    pub fn start(fd: OwnedFd, config: AudioConfig) -> std::io::Result<AudioPath> {
        let (session, ends) = Session::new(config)?;
        let stop = pump::spawn(fd, config.rate, ends)?;
        Ok(AudioPath {
            session,
            stop,
            _counted: None,
        })
    }

    /// Counts this call for the totals of its modem, if anybody keeps some.
    #[must_use]
    pub fn counted(mut self, totals: Option<&Arc<CallTotals>>) -> Self {
        self._counted = totals.map(|totals| totals.count(Arc::clone(&self.session) as _));
        self
    }

    /// The task that carries frames between the rings and the owner; ends when the path does.
    pub fn task(&self) -> impl Future<Output = ()> + Send + 'static {
        Arc::clone(&self.session).run()
    }

    /// Becomes the owner. Without `takeover` only when nobody is.
    pub fn attach(&self, options: AttachOptions) -> Result<Owner, AttachError> {
        Session::attach(&self.session, options)
    }

    /// Listens without owning, at this rate.
    pub fn listen(&self, rate: SampleRate) -> Result<Listener, AttachError> {
        Session::listen(&self.session, rate)
    }

    /// Whether there is an owner, now and later.
    pub fn owner_present(&self) -> watch::Receiver<bool> {
        self.session.owner_present()
    }

    /// Keys that are heard in the downlink; once.
    pub fn presses(&self) -> Option<mpsc::Receiver<Press>> {
        self.session.presses()
    }

    /// What is wrong with the audio, now and later.
    pub fn problems(&self) -> Option<watch::Receiver<AudioProblems>> {
        self.session.problems()
    }

    /// Listens at the module's rate, with room for a disk that takes its time.
    pub fn listen_patiently(&self) -> Listener {
        Session::listen_patiently(&self.session)
    }

    /// What the module passes.
    pub fn rate(&self) -> SampleRate {
        self.session.rate
    }

    /// The counters so far.
    pub fn statistics(&self) -> AudioStatistics {
        self.session.statistics()
    }

    /// Closes the port and waits until it is closed, so that the next call can open it.
    pub async fn close(self) -> AudioStatistics {
        self.stop.close().await;
        self.session.log_totals();
        self.session.statistics()
    }
}

/// Why nobody could be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// Another client owns the audio.
    #[error("another client owns the call's audio")]
    AlreadyOwned,
    /// The module passes fewer samples. Those that it never had cannot be made up.
    #[error(
        "the audio of this call has 8000 samples a second; 16000 need wideband = true in [voice], and a firmware that can"
    )]
    NotWide,
}

impl From<AttachError> for Refusal {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::AlreadyOwned => Refusal::AudioTaken,
            AttachError::NotWide => Refusal::AudioNotAvailable {
                cause: error.to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
