//! The asynchronous side of a call's audio: one owner, any number of listeners.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use modem::pcm::{FRAME_SAMPLES, Frame, SAMPLE_RATE_HZ};
use rtrb::{Consumer, Producer, RingBuffer};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::bell::{Bell, Ear, bell};
use super::owner::{Listener, Owner, OwnerEnd};
use super::pump::Ends;
use super::{AlreadyOwned, AudioConfig, Cleared, Counters, Downlink, Heard, load};
use crate::resource::AudioStatistics;

/// Octets of one millisecond.
const BYTES_PER_MS: u64 = 2 * SAMPLE_RATE_HZ as u64 / 1000;

/// Frames between the pump and the session: 2 s, more than any stall of the runtime that leaves a call usable.
const RING_FRAMES: usize = 100;

/// More would be a delay that nobody can talk with.
const PREBUFFER_MAX_MS: u32 = 1000;

/// Clears between two turns of the session.
const CLEARS_MAX: usize = 64;

/// Frames that wait for a listener before its own are dropped.
const LISTENER_FRAMES: usize = 100;

/// How to attach.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttachOptions {
    /// Takes the audio over from another owner.
    pub takeover: bool,
    /// Audio that is collected before playing begins after silence, at most a second.
    pub prebuffer_ms: u32,
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
    ear: Option<Ear>,
    ended: Option<oneshot::Receiver<String>>,
    pub(super) end_reason: Option<String>,
}

/// The session of one call's audio.
pub(super) struct Session {
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
}

impl Session {
    pub(super) fn new(config: AudioConfig) -> std::io::Result<(Arc<Session>, Ends)> {
        let queue_bytes =
            usize::try_from(config.uplink_queue_max.as_millis()).unwrap_or(usize::MAX / 32) * BYTES_PER_MS as usize;
        let (uplink, uplink_out) = RingBuffer::new(queue_bytes.max(2 * 320));
        let (downlink_in, downlink) = RingBuffer::new(RING_FRAMES);
        let (written_in, written) = RingBuffer::new(RING_FRAMES);
        let (cleared, clears) = RingBuffer::new(CLEARS_MAX);
        let (ended, is_ended) = oneshot::channel();
        let counters = Arc::new(Counters::default());
        let (bell, ear) = bell()?;
        let bell = Arc::new(bell);
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
            ear: Some(ear),
            ended: Some(is_ended),
            end_reason: None,
        };
        let session = Arc::new(Session {
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
        });
        let ends = Ends {
            downlink: downlink_in,
            written: written_in,
            uplink: uplink_out,
            counters,
            cleared,
            bell,
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
        loop {
            tokio::select! {
                rung = bell.rung() => if let Err(error) = rung {
                    return self.end(&mut self.shared(), format!("wait for the audio thread: {error}"));
                },
                _ = second.tick() => {
                    let statistics = self.statistics();
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
            self.to_owner(shared, frame);
            hear(&mut shared.listeners, false, &frame);
        }
        while let Ok(frame) = shared.written.pop() {
            hear(&mut shared.listeners, true, &frame);
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

    fn end(&self, shared: &mut Shared, reason: String) {
        shared.ended = None;
        shared.listeners.clear();
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
        let dropped = owner.hear(&frame) * FRAME_SAMPLES;
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
                let uplink_samples = load(&self.counters.uplink_frames) * FRAME_SAMPLES as u64;
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
                queued_ms: milliseconds(queued),
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
        self.counters.clear_before.store(shared.pushed, Ordering::Release);
    }

    pub(super) fn attach(session: &Arc<Session>, options: AttachOptions) -> Result<Owner, AlreadyOwned> {
        let mut shared = session.shared();
        if shared.owner.is_some() && !options.takeover {
            return Err(AlreadyOwned);
        }
        // What the last owner had queued is not the new one's.
        session.clear_uplink(&shared);
        shared.marks.clear();
        shared.stopped = false;
        let prebuffer_ms = u64::from(options.prebuffer_ms.min(PREBUFFER_MAX_MS));
        session.counters.prebuffer_ms.store(prebuffer_ms, Ordering::Release);
        let id = shared.next_owner;
        shared.next_owner += 1;
        let mut owner = OwnerEnd::new(id);
        if let Some(reason) = &shared.end_reason {
            owner.queue.push_back(Downlink::Ended(reason.clone()));
        }
        shared.owner = Some(owner);
        // Told under the lock: a drop and an attachment at the same time must not be told in the other order.
        session.present.send_replace(true);
        session.owner_bell.notify_waiters();
        Ok(Owner::new(Arc::clone(session), id))
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

    pub(super) fn listen(session: &Arc<Session>) -> Listener {
        let (sender, receiver) = mpsc::channel(LISTENER_FRAMES);
        let mut shared = session.shared();
        if shared.ended.is_some() {
            shared.listeners.push(sender);
        }
        Listener::new(receiver)
    }

    pub(super) fn owner_present(&self) -> watch::Receiver<bool> {
        self.present.subscribe()
    }

    pub(super) fn statistics(&self) -> AudioStatistics {
        let counters = &self.counters;
        let queued = self.queued_bytes(&self.shared());
        let lost = load(&counters.downlink_frames_lost);
        AudioStatistics {
            downlink_samples: load(&counters.downlink_bytes) / 2,
            uplink_samples: load(&counters.uplink_frames) * FRAME_SAMPLES as u64,
            downlink_frames: self.downlink_frames.load(Ordering::Relaxed),
            uplink_frames: load(&counters.uplink_frames),
            uplink_silence_frames: load(&counters.uplink_silence_frames),
            uplink_underruns: load(&counters.uplink_underruns),
            downlink_dropped_samples: self.downlink_dropped.load(Ordering::Relaxed) + lost * FRAME_SAMPLES as u64,
            uplink_dropped_samples: self.uplink_refused.load(Ordering::Relaxed) / 2,
            downlink_discontinuities: self.downlink_gaps.load(Ordering::Relaxed),
            uplink_queued_ms: milliseconds(queued),
            pcm_open_attempts: 0,
        }
    }

    /// What the contract's statistics have no field for.
    pub(super) fn log_totals(&self) {
        let counters = &self.counters;
        tracing::debug!(
            write_stalls = load(&counters.write_stalls),
            uplink_skipped_frames = load(&counters.uplink_skipped_frames),
            uplink_stretched_frames = load(&counters.uplink_stretched_frames),
            uplink_cleared_samples = load(&counters.uplink_cleared) / 2,
            downlink_unowned_frames = self.downlink_unowned.load(Ordering::Relaxed),
            "audio closed"
        );
    }
}

pub(super) fn milliseconds(bytes: u64) -> u32 {
    u32::try_from(bytes / BYTES_PER_MS).unwrap_or(u32::MAX)
}

/// A slow listener loses its own frames only; one that is gone is forgotten.
fn hear(listeners: &mut Vec<mpsc::Sender<Heard>>, uplink: bool, frame: &Frame) {
    if listeners.is_empty() {
        return;
    }
    let heard = Heard {
        uplink,
        first_sample: frame.first_sample,
        pcm: Bytes::copy_from_slice(&frame.pcm),
    };
    listeners.retain(|listener| {
        !matches!(
            listener.try_send(heard.clone()),
            Err(mpsc::error::TrySendError::Closed(_))
        )
    });
}
