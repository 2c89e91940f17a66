//! The asynchronous side of a call's audio: one owner, any number of listeners.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cellular::pcm::dtmf::{Detector, Press};
use cellular::pcm::{Buffering, Frame, Meter, SampleRate};
use rtrb::{Consumer, Producer, RingBuffer};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::bell::{Bell, Ear, bell};
use super::owner::{Listener, Owner, OwnerEnd};
use super::pump::Ends;
use super::{AttachError, AudioConfig, Cleared, Counters, Downlink, Heard, buffering, load, micros};
use crate::figures::{AudioFigures, AudioSource};
use crate::resource::{AudioProblem, AudioProblems, AudioStatistics};

/// Milliseconds of a frame.
const FRAME_MS: u64 = 20;

/// Frames between the pump and the session: 2 s, more than any stall of the runtime that leaves a call usable.
pub(super) const RING_FRAMES: usize = 100;

/// The longest prebuffer: more would be a delay that nobody can talk with.
pub const PREBUFFER_MAX_MS: u32 = 1000;

/// Clears between two turns of the session.
const CLEARS_MAX: usize = 64;

/// Frames that wait for a listener before its own are dropped.
const LISTENER_FRAMES: usize = 100;

/// The same for a recording, whose disk may take its time: 10 s of both directions.
const RECORDING_FRAMES: usize = 1000;

/// Presses that may wait for the actor: more keys than anybody has fingers.
const PRESSES_MAX: usize = 32;

/// Seconds without anything from the module, or without anything taken by it, that are a problem.
const STANDSTILL_SECONDS: u32 = 2;

/// How long nothing but zeros is no problem yet.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Frames of a second that were not taken and make it one in which the module took nothing.
const STALLED_FRAMES: u64 = 40;

/// The module's clock is told once it was measured for so long: reads come 20 ms apart, which is 2000 ppm of this.
const RATE_MEASURED: Duration = Duration::from_secs(10);

/// How to attach.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttachOptions {
    /// Takes the audio over from another owner.
    pub takeover: bool,
    /// The samples that the owner sends and gets. Half of what the module passes is converted, twice as many cannot be.
    pub rate: SampleRate,
    /// How its audio is queued; the prebuffer is at most [`PREBUFFER_MAX_MS`].
    pub buffering: Buffering,
}

/// What the asynchronous tasks share. Held for moments, never across an await.
pub(super) struct Shared {
    pub(super) uplink: Producer<u8>,
    /// Octets pushed into the uplink ring since the start.
    pub(super) pushed: u64,
    pub(super) marks: VecDeque<(u64, String)>,
    /// What clears dropped and a mark may still ask for.
    cleared: VecDeque<Cleared>,
    clears: Consumer<Cleared>,
    pub(super) owner: Option<OwnerEnd>,
    next_owner: u64,
    stopped: bool,
    listeners: Vec<mpsc::Sender<Heard>>,
    downlink: Consumer<Frame>,
    written: Consumer<Frame>,
    detector: Option<Detector>,
    /// Where presses are told, until the end.
    presses: Option<mpsc::Sender<Press>>,
    heard_presses: Option<mpsc::Receiver<Press>>,
    problems: Option<watch::Sender<AudioProblems>>,
    downlink_meter: Meter,
    uplink_meter: Meter,
    ear: Option<Ear>,
    ended: Option<oneshot::Receiver<String>>,
    pub(super) end_reason: Option<String>,
}

/// The session of one call's audio.
pub(super) struct Session {
    /// What the module passes.
    pub(super) rate: SampleRate,
    shared: Mutex<Shared>,
    counters: Arc<Counters>,
    pub(super) bell: Arc<Bell>,
    /// Rung when the owner has something to fetch.
    pub(super) owner_bell: Notify,
    pub(super) present: watch::Sender<bool>,
    downlink_frames: AtomicU64,
    downlink_dropped: AtomicU64,
    downlink_gaps: AtomicU64,
    /// Frames that came while nobody owned the audio.
    downlink_unowned: AtomicU64,
    uplink_refused: AtomicU64,
    listener_dropped: AtomicU64,
    began: Instant,
}

/// What the last look at the counters showed, once a second.
#[derive(Default)]
struct Watched {
    seconds: u32,
    downlink_bytes: u64,
    write_stalls: u64,
    still_seconds: u32,
    stalled_seconds: u32,
    /// Seconds in which far more came than a call has.
    fast_seconds: u32,
}

impl Session {
    pub(super) fn new(config: AudioConfig) -> std::io::Result<(Arc<Session>, Ends)> {
        let rate = config.rate;
        let queue_ms = usize::try_from(config.uplink_queue_max.as_millis()).unwrap_or(usize::MAX / 64);
        let queue_bytes = queue_ms * rate.bytes_per_ms() as usize;
        let (uplink, uplink_out) = RingBuffer::new(queue_bytes.max(2 * rate.frame_bytes()));
        let (downlink_in, downlink) = RingBuffer::new(RING_FRAMES);
        let (written_in, written) = RingBuffer::new(RING_FRAMES);
        let (cleared, clears) = RingBuffer::new(CLEARS_MAX);
        let (ended, is_ended) = oneshot::channel();
        let counters = Arc::new(Counters::default());
        let (bell, ear) = bell()?;
        let bell = Arc::new(bell);
        let (presses, heard_presses) = mpsc::channel(PRESSES_MAX);
        let began = Instant::now();
        let shared = Shared {
            uplink,
            pushed: 0,
            marks: VecDeque::new(),
            cleared: VecDeque::new(),
            clears,
            owner: None,
            next_owner: 0,
            stopped: false,
            listeners: Vec::new(),
            downlink,
            written,
            detector: config.detect_dtmf.then(|| Detector::new(rate)),
            presses: Some(presses),
            heard_presses: Some(heard_presses),
            problems: Some(watch::Sender::new(AudioProblems::default())),
            downlink_meter: Meter::default(),
            uplink_meter: Meter::default(),
            ear: Some(ear),
            ended: Some(is_ended),
            end_reason: None,
        };
        let session = Arc::new(Session {
            rate,
            shared: Mutex::new(shared),
            counters: Arc::clone(&counters),
            bell: Arc::clone(&bell),
            owner_bell: Notify::new(),
            present: watch::Sender::new(false),
            downlink_frames: AtomicU64::new(0),
            downlink_dropped: AtomicU64::new(0),
            downlink_gaps: AtomicU64::new(0),
            downlink_unowned: AtomicU64::new(0),
            uplink_refused: AtomicU64::new(0),
            listener_dropped: AtomicU64::new(0),
            began,
        });
        let ends = Ends {
            downlink: downlink_in,
            written: written_in,
            uplink: uplink_out,
            counters,
            cleared,
            bell,
            began,
            ended,
        };
        Ok((session, ends))
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        // Nothing inside can panic half-way through a change.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries frames until the pump ends.
    pub(super) async fn run(self: Arc<Self>) {
        let Some(ear) = self.shared().ear.take() else { return };
        let bell = match ear.listen() {
            Ok(bell) => bell,
            Err(error) => return self.end(&mut self.shared(), format!("wait for the audio thread: {error}")),
        };
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick comes at once.
        second.tick().await;
        let mut watched = Watched::default();
        loop {
            tokio::select! {
                rung = bell.rung() => if let Err(error) = rung {
                    return self.end(&mut self.shared(), format!("wait for the audio thread: {error}"));
                },
                _ = second.tick() => {
                    let statistics = self.statistics();
                    self.watch(&mut watched);
                    if let Some(owner) = &mut self.shared().owner {
                        owner.tell_latest(Downlink::Statistics(statistics));
                    }
                    self.owner_bell.notify_waiters();
                }
            }
            if self.turn() {
                return;
            }
        }
    }

    /// Moves what there is. True at the end.
    fn turn(&self) -> bool {
        let mut shared = self.shared();
        let shared = &mut *shared;
        // Asked first: what the pump left in the rings before it ended is carried too.
        let ended = shared.ended.as_mut().and_then(|ended| match ended.try_recv() {
            Ok(reason) => Some(reason),
            Err(oneshot::error::TryRecvError::Closed) => Some("the audio thread died".to_owned()),
            Err(oneshot::error::TryRecvError::Empty) => None,
        });
        while let Ok(frame) = shared.downlink.pop() {
            shared.downlink_meter.push(frame.pcm());
            if let (Some(detector), Some(presses)) = (&mut shared.detector, &shared.presses) {
                // A full queue means that nobody follows.
                detector.push(frame.pcm(), |press| {
                    let _ = presses.try_send(press);
                });
            }
            self.to_owner(shared, frame);
            self.hear(&mut shared.listeners, false, &frame);
        }
        while let Ok(frame) = shared.written.pop() {
            shared.uplink_meter.push(frame.pcm());
            self.hear(&mut shared.listeners, true, &frame);
        }
        self.reached_marks(shared);
        self.flow(shared);
        let at_end = ended.is_some();
        if let Some(reason) = ended {
            self.end(shared, reason);
        }
        self.owner_bell.notify_waiters();
        at_end
    }

    /// Looks whether both directions move.
    fn watch(&self, watched: &mut Watched) {
        let (bytes, stalls) = (load(&self.counters.downlink_bytes), load(&self.counters.write_stalls));
        let (read, stalled) = (bytes - watched.downlink_bytes, stalls - watched.write_stalls);
        (watched.downlink_bytes, watched.write_stalls) = (bytes, stalls);
        watched.seconds += 1;
        let count = |seconds: &mut u32, holds: bool| *seconds = if holds { *seconds + 1 } else { 0 };
        count(&mut watched.still_seconds, read == 0);
        count(&mut watched.stalled_seconds, stalled >= STALLED_FRAMES);
        // Half as much again is no burst that catches up, and a module on the wrong rate sends twice as much.
        count(&mut watched.fast_seconds, read > 1500 * self.rate.bytes_per_ms());
        let shared = self.shared();
        let silent = shared.downlink_meter.digital_silence() >= SILENCE_MAX;
        let downlink = if watched.still_seconds >= STANDSTILL_SECONDS {
            AudioProblem::NoAudio
        } else if watched.fast_seconds >= STANDSTILL_SECONDS {
            AudioProblem::WrongRate
        } else if silent {
            AudioProblem::DigitalSilence
        } else {
            AudioProblem::None
        };
        let uplink = if watched.stalled_seconds >= STANDSTILL_SECONDS {
            AudioProblem::NotTaken
        } else {
            AudioProblem::None
        };
        if let Some(problems) = &shared.problems {
            problems.send_if_modified(|known| {
                let now = AudioProblems { downlink, uplink };
                std::mem::replace(known, now) != now
            });
        }
    }

    fn end(&self, shared: &mut Shared, reason: String) {
        shared.ended = None;
        shared.listeners.clear();
        // Whoever follows them stops, also while an owner still holds the session.
        shared.presses = None;
        shared.problems = None;
        if let Some(owner) = &mut shared.owner {
            owner.queue.push_back(Downlink::Ended(reason.clone()));
        }
        shared.end_reason = Some(reason);
        self.owner_bell.notify_waiters();
    }

    fn to_owner(&self, shared: &mut Shared, frame: Frame) {
        let Some(owner) = &mut shared.owner else {
            self.downlink_unowned.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let dropped = owner.hear(&frame, Instant::now()) * self.rate.frame_samples();
        self.downlink_dropped.fetch_add(dropped as u64, Ordering::Relaxed);
    }

    /// Marks come back when all audio before them has left the ring, played out or cleared.
    fn reached_marks(&self, shared: &mut Shared) {
        // Read before the clears: a position that includes a clear is told after it.
        let taken = load(&self.counters.uplink_taken);
        while let Ok(next) = shared.clears.pop() {
            match shared.cleared.back_mut() {
                Some(last) if last.to == next.from => last.to = next.to,
                _ => shared.cleared.push_back(next),
            }
        }
        while shared.marks.front().is_some_and(|(position, _)| *position <= taken) {
            let Some((position, name)) = shared.marks.pop_front() else {
                break;
            };
            if let Some(owner) = &mut shared.owner {
                let cleared = shared
                    .cleared
                    .iter()
                    .any(|range| range.from < position && position <= range.to);
                let uplink_samples = self.samples(load(&self.counters.uplink_frames));
                owner.reach(name, cleared, uplink_samples);
            }
        }
        // A range ends with its last mark: that one may still be on its way while the end equals the position.
        shared.cleared.retain(|range| range.to >= taken);
    }

    /// Stop above nine tenths of the queue, go below eight.
    fn flow(&self, shared: &mut Shared) {
        let capacity = shared.uplink.buffer().capacity() as u64;
        let queued = self.queued_bytes(shared);
        let stop = if shared.stopped {
            queued > capacity / 10 * 8
        } else {
            queued > capacity / 10 * 9
        };
        if stop == shared.stopped {
            return;
        }
        shared.stopped = stop;
        if let Some(owner) = &mut shared.owner {
            owner.tell_latest(Downlink::Flow {
                stop,
                queued_ms: self.milliseconds(queued),
            });
        }
    }

    /// Octets that are to be played and not written yet.
    fn queued_bytes(&self, shared: &Shared) -> u64 {
        let gone = load(&self.counters.uplink_taken).max(load(&self.counters.clear_before));
        shared.pushed.saturating_sub(gone)
    }

    /// Drops what is queued. The pump does it at its next turn; from here on it counts as gone.
    pub(super) fn clear_uplink(&self, shared: &Shared) {
        self.counters
            .clear_asked_us
            .store(micros(self.began.elapsed()), Ordering::Release);
        self.counters.clear_before.store(shared.pushed, Ordering::Release);
    }

    pub(super) fn attach(session: &Arc<Session>, options: AttachOptions) -> Result<Owner, AttachError> {
        let halved = session.is_halved(options.rate)?;
        let mut shared = session.shared();
        if shared.owner.is_some() && !options.takeover {
            return Err(AttachError::AlreadyOwned);
        }
        // What the last owner had queued is not the new one's.
        session.clear_uplink(&shared);
        shared.marks.clear();
        shared.stopped = false;
        let written = buffering::write(options.buffering);
        session.counters.buffering.store(written, Ordering::Release);
        let id = shared.next_owner;
        shared.next_owner += 1;
        let mut owner = OwnerEnd::new(id, halved);
        if let Some(reason) = &shared.end_reason {
            owner.queue.push_back(Downlink::Ended(reason.clone()));
        }
        shared.owner = Some(owner);
        // Told under the lock: a drop and an attachment at the same time must not be told in the other order.
        session.present.send_replace(true);
        session.owner_bell.notify_waiters();
        Ok(Owner::new(Arc::clone(session), id, halved))
    }

    /// Accounts for what the owner fetched.
    pub(super) fn delivered(&self, item: &Downlink, gap: bool) {
        if matches!(item, Downlink::Frame { .. }) {
            self.downlink_frames.fetch_add(1, Ordering::Relaxed);
            self.downlink_gaps.fetch_add(u64::from(gap), Ordering::Relaxed);
        }
    }

    /// Counts octets for which the uplink queue had no room.
    pub(super) fn refused(&self, octets: usize) {
        self.uplink_refused.fetch_add(octets as u64, Ordering::Relaxed);
    }

    /// Whether somebody's samples are half of the module's.
    fn is_halved(&self, rate: SampleRate) -> Result<bool, AttachError> {
        match (self.rate, rate) {
            (SampleRate::Hz16000, SampleRate::Hz8000) => Ok(true),
            (SampleRate::Hz8000, SampleRate::Hz16000) => Err(AttachError::NotWide),
            _ => Ok(false),
        }
    }

    pub(super) fn listen(session: &Arc<Session>, rate: SampleRate) -> Result<Listener, AttachError> {
        let halved = session.is_halved(rate)?;
        Ok(Session::listen_with(session, LISTENER_FRAMES, halved))
    }

    /// Listens with room for a disk that takes its time.
    pub(super) fn listen_patiently(session: &Arc<Session>) -> Listener {
        Session::listen_with(session, RECORDING_FRAMES, false)
    }

    fn listen_with(session: &Arc<Session>, frames: usize, halved: bool) -> Listener {
        let (sender, receiver) = mpsc::channel(frames);
        let mut shared = session.shared();
        if shared.ended.is_some() {
            shared.listeners.push(sender);
        }
        Listener::new(receiver, halved)
    }

    pub(super) fn owner_present(&self) -> watch::Receiver<bool> {
        self.present.subscribe()
    }

    pub(super) fn presses(&self) -> Option<mpsc::Receiver<Press>> {
        self.shared().heard_presses.take()
    }

    pub(super) fn problems(&self) -> Option<watch::Receiver<AudioProblems>> {
        self.shared().problems.as_ref().map(watch::Sender::subscribe)
    }

    /// The module's clock against ours.
    fn rate_ppm(&self) -> i32 {
        let counters = &self.counters;
        let span_us = load(&counters.last_read_us).saturating_sub(load(&counters.first_read_us));
        if span_us < micros(RATE_MEASURED) {
            return 0;
        }
        let bytes = load(&counters.downlink_bytes).saturating_sub(load(&counters.first_read_bytes));
        let due = span_us as f64 * self.rate.bytes_per_ms() as f64 / 1000.0;
        // A cast of a float saturates.
        ((bytes as f64 / due - 1.0) * 1e6).round() as i32
    }

    pub(super) fn statistics(&self) -> AudioStatistics {
        let counters = &self.counters;
        let shared = self.shared();
        let queued = self.queued_bytes(&shared);
        let (downlink, uplink) = (shared.downlink_meter.clone(), shared.uplink_meter.clone());
        drop(shared);
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let lost = load(&counters.downlink_frames_lost);
        AudioStatistics {
            downlink_samples: load(&counters.downlink_bytes) / 2,
            downlink_read_frames: load(&counters.downlink_bytes) / self.rate.frame_bytes() as u64,
            uplink_samples: self.samples(load(&counters.uplink_frames)),
            downlink_frames: self.downlink_frames.load(Ordering::Relaxed),
            uplink_frames: load(&counters.uplink_frames),
            uplink_silence_frames: load(&counters.uplink_silence_frames),
            uplink_underruns: load(&counters.uplink_underruns),
            downlink_dropped_samples: self.downlink_dropped.load(Ordering::Relaxed) + self.samples(lost),
            uplink_dropped_samples: self.uplink_refused.load(Ordering::Relaxed) / 2,
            downlink_discontinuities: self.downlink_gaps.load(Ordering::Relaxed),
            uplink_queued_ms: self.milliseconds(queued),
            pcm_open_attempts: 0,
            uplink_write_stalls: load(&counters.write_stalls),
            uplink_partial_writes: load(&counters.uplink_partial_writes),
            uplink_underrun_ms: load(&counters.uplink_underrun_frames) * FRAME_MS,
            uplink_drift_dropped_frames: load(&counters.uplink_skipped_frames),
            uplink_drift_inserted_frames: load(&counters.uplink_stretched_frames),
            downlink_short_reads: load(&counters.downlink_short_reads),
            downlink_gap_max_ms: small(load(&counters.downlink_gap_max_us) / 1000),
            downlink_byte_slips: load(&counters.downlink_slips),
            downlink_rate_ppm: self.rate_ppm(),
            downlink_clipped_ppm: downlink.clipped_ppm(),
            uplink_clipped_ppm: uplink.clipped_ppm(),
            downlink_rms_dbov: downlink.rms_dbov(),
            uplink_rms_dbov: uplink.rms_dbov(),
            pacing_lateness_max_us: small(load(&counters.lateness_max_us)),
            clear_latency_us: small(load(&counters.clear_latency_us)),
            driver_queue_max_bytes: small(load(&counters.driver_max_bytes)),
            listener_dropped_frames: self.listener_dropped.load(Ordering::Relaxed),
        }
    }

    /// A slow listener loses its own frames only; one that is gone is forgotten.
    fn hear(&self, listeners: &mut Vec<mpsc::Sender<Heard>>, uplink: bool, frame: &Frame) {
        if listeners.is_empty() {
            return;
        }
        let heard = Heard {
            uplink,
            first_sample: frame.first_sample,
            pcm: Bytes::copy_from_slice(frame.pcm()),
        };
        listeners.retain(|listener| match listener.try_send(heard.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.listener_dropped.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }

    fn samples(&self, frames: u64) -> u64 {
        frames * self.rate.frame_samples() as u64
    }

    pub(super) fn milliseconds(&self, bytes: u64) -> u32 {
        u32::try_from(bytes / self.rate.bytes_per_ms()).unwrap_or(u32::MAX)
    }

    /// What the contract's statistics have no field for.
    pub(super) fn log_totals(&self) {
        let counters = &self.counters;
        tracing::debug!(
            uplink_cleared_samples = load(&counters.uplink_cleared) / 2,
            downlink_unowned_frames = self.downlink_unowned.load(Ordering::Relaxed),
            "audio closed"
        );
    }
}

impl AudioSource for Session {
    fn audio(&self) -> AudioFigures {
        let times = &self.counters.times;
        AudioFigures {
            statistics: self.statistics(),
            gaps: times.gaps.distribution(),
            lateness: times.lateness.distribution(),
            clears: times.clears.distribution(),
            cleared_samples: load(&self.counters.uplink_cleared) / 2,
            problems: self
                .shared()
                .problems
                .as_ref()
                .map_or_else(AudioProblems::default, |problems| *problems.borrow()),
        }
    }
}
