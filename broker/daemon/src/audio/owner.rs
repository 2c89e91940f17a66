//! Who hears a call: its one owner, and listeners.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cellular::pcm::{Doubler, Frame, Halver, SampleRate};
use tokio::sync::mpsc;

use super::session::{RING_FRAMES, Session};
use super::{Downlink, Heard};

/// The longest a frame waits for an owner. One that has not read for so long loses all but the newest, in one gap: late
/// audio is worth less than the delay it causes. What comes in one go, because the machine stood still, is late already, and
/// an owner that reads gets all of it.
const OWNER_WAIT_MAX: Duration = Duration::from_millis(500);

/// Frames that wait at most, whenever they came: all that the pump can hand over at once.
const OWNER_FRAMES_MAX: usize = RING_FRAMES;

/// Frames that are left of those.
const OWNER_FRAMES_KEPT: usize = 5;

/// Marks that may be outstanding, those included that were reached and not fetched yet.
const MARKS_MAX: usize = 256;

/// What waits for the owner: at most [`OWNER_FRAMES_MAX`] frames, [`MARKS_MAX`] marks, and one of every other kind.
pub(super) struct OwnerEnd {
    pub(super) id: u64,
    pub(super) queue: VecDeque<Downlink>,
    /// When each of the frames in it came.
    came: VecDeque<Instant>,
    marks: usize,
    /// Where the next frame begins if nothing is missing.
    next_sample: Option<u64>,
    downlink: Downsampler,
}

impl OwnerEnd {
    pub(super) fn new(id: u64, halved: bool) -> Self {
        OwnerEnd {
            id,
            queue: VecDeque::new(),
            came: VecDeque::new(),
            marks: 0,
            next_sample: None,
            downlink: Downsampler::new(halved),
        }
    }

    /// Queues something of which only the latest matters.
    pub(super) fn tell_latest(&mut self, item: Downlink) {
        let kind = std::mem::discriminant(&item);
        match self
            .queue
            .iter_mut()
            .find(|queued| std::mem::discriminant(*queued) == kind)
        {
            Some(queued) => *queued = item,
            None => self.queue.push_back(item),
        }
    }

    /// Queues a frame that came now; returns how many older ones were dropped for it.
    pub(super) fn hear(&mut self, frame: &Frame, now: Instant) -> usize {
        let oldest = self.came.front().copied().unwrap_or(now);
        let does_not_read = now.saturating_duration_since(oldest) >= OWNER_WAIT_MAX;
        let dropped = if does_not_read || self.came.len() >= OWNER_FRAMES_MAX {
            self.came.len().saturating_sub(OWNER_FRAMES_KEPT)
        } else {
            0
        };
        let mut left = dropped;
        self.queue.retain(|item| {
            let drop = left > 0 && matches!(item, Downlink::Frame { .. });
            left -= usize::from(drop);
            !drop
        });
        self.came.drain(..dropped);
        self.came.push_back(now);
        let (first_sample, pcm) = self
            .downlink
            .take(frame.first_sample, Bytes::copy_from_slice(frame.pcm()));
        self.queue.push_back(Downlink::Frame { first_sample, pcm });
        dropped
    }

    /// Queues a mark that was reached.
    pub(super) fn reach(&mut self, name: String, cleared: bool, uplink_samples: u64) {
        self.queue.push_back(Downlink::Mark {
            name,
            cleared,
            uplink_samples,
        });
        self.marks += 1;
    }

    /// Takes what is next, and tells whether samples are missing before it.
    fn fetch(&mut self) -> Option<(Downlink, bool)> {
        let item = self.queue.pop_front()?;
        let mut gap = false;
        match &item {
            Downlink::Frame { first_sample, pcm } => {
                self.came.pop_front();
                gap = self.next_sample.is_some_and(|expected| expected != *first_sample);
                self.next_sample = Some(first_sample + pcm.len() as u64 / 2);
            }
            Downlink::Mark { .. } => self.marks -= 1,
            Downlink::Flow { .. } | Downlink::Statistics(_) | Downlink::Superseded | Downlink::Ended(_) => {}
        }
        Some((item, gap))
    }
}

/// The end of whoever owns the audio. Dropping it leaves the call without an owner.
pub struct Owner {
    session: Arc<Session>,
    id: u64,
    odd: Option<u8>,
    /// For an owner with half of the module's samples.
    doubler: Option<Doubler>,
    superseded: AtomicBool,
}

impl Owner {
    pub(super) fn new(session: Arc<Session>, id: u64, halved: bool) -> Self {
        Owner {
            session,
            id,
            odd: None,
            doubler: halved.then(Doubler::default),
            superseded: AtomicBool::new(false),
        }
    }

    /// The next thing from the call, in order. `None` after [`Downlink::Ended`] or [`Downlink::Superseded`].
    pub async fn next(&self) -> Option<Downlink> {
        loop {
            let bell = self.session.owner_bell.notified();
            tokio::pin!(bell);
            // Registered before looking, so that what comes in between rings.
            bell.as_mut().enable();
            {
                let mut shared = self.session.shared();
                let shared = &mut *shared;
                match &mut shared.owner {
                    Some(owner) if owner.id == self.id => {
                        if let Some((item, gap)) = owner.fetch() {
                            self.session.delivered(&item, gap);
                            return Some(item);
                        }
                        if shared.end_reason.is_some() {
                            return None;
                        }
                    }
                    _ if self.superseded.swap(true, Ordering::Relaxed) => return None,
                    _ => return Some(Downlink::Superseded),
                }
            }
            bell.await;
        }
    }

    /// Queues uplink audio of any length; an odd octet waits for its other half. Returns how many octets had no room.
    pub fn push_audio(&mut self, pcm: &[u8]) -> usize {
        let mut shared = self.session.shared();
        if shared.owner.as_ref().is_none_or(|owner| owner.id != self.id) {
            return 0;
        }
        let mut joined = Vec::with_capacity(pcm.len() + 1);
        joined.extend(self.odd.take());
        joined.extend_from_slice(pcm);
        if joined.len() % 2 == 1 {
            self.odd = joined.pop();
        }
        if let Some(doubler) = &mut self.doubler {
            joined = doubler.push(&joined);
        }
        let room = shared.uplink.slots() & !1;
        let count = joined.len().min(room);
        if let Ok(chunk) = shared.uplink.write_chunk_uninit(count) {
            chunk.fill_from_iter(joined[..count].iter().copied());
            shared.pushed += count as u64;
        }
        let refused = joined.len() - count;
        self.session.refused(refused);
        refused
    }

    /// Sets a mark behind everything that was queued so far. False when too many are outstanding.
    pub fn mark(&mut self, name: String) -> bool {
        let mut shared = self.session.shared();
        let Some(owner) = shared.owner.as_ref().filter(|owner| owner.id == self.id) else {
            return false;
        };
        if shared.marks.len() + owner.marks >= MARKS_MAX {
            return false;
        }
        let position = shared.pushed;
        shared.marks.push_back((position, name));
        drop(shared);
        // With an empty queue it is reached at once.
        self.session.bell.ring();
        true
    }

    /// Drops everything that was queued and not played out.
    pub fn clear(&mut self) {
        self.odd = None;
        self.doubler = self.doubler.take().map(|_| Doubler::default());
        let shared = self.session.shared();
        if shared.owner.as_ref().is_some_and(|owner| owner.id == self.id) {
            self.session.clear_uplink(&shared);
        }
    }

    /// Audio that waits at most, in milliseconds.
    pub fn uplink_queue_max_ms(&self) -> u32 {
        let octets = self.session.shared().uplink.buffer().capacity() as u64;
        self.session.milliseconds(octets)
    }

    /// What this owner sends and gets.
    pub fn rate(&self) -> SampleRate {
        match self.doubler {
            Some(_) => SampleRate::Hz8000,
            None => self.session.rate,
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut shared = self.session.shared();
        if shared.owner.as_ref().is_some_and(|owner| owner.id == self.id) {
            shared.owner = None;
            shared.marks.clear();
            // Nobody is left who could stop it.
            self.session.clear_uplink(&shared);
            self.session.present.send_replace(false);
        }
    }
}

/// Leaves every second sample out for who has half of the module's rate, and counts the rest like them.
struct Downsampler(Option<Halver>);

impl Downsampler {
    fn new(halved: bool) -> Self {
        Downsampler(halved.then(Halver::default))
    }

    /// Frames have an even number of samples, so the count is exact.
    fn take(&mut self, first_sample: u64, pcm: Bytes) -> (u64, Bytes) {
        match &mut self.0 {
            Some(halver) => (first_sample / 2, halver.push(&pcm).into()),
            None => (first_sample, pcm),
        }
    }
}

/// The end of a listener. Ends with the audio path.
pub struct Listener {
    frames: mpsc::Receiver<Heard>,
    downlink: Downsampler,
    uplink: Downsampler,
}

impl Listener {
    pub(super) fn new(frames: mpsc::Receiver<Heard>, halved: bool) -> Self {
        Listener {
            frames,
            downlink: Downsampler::new(halved),
            uplink: Downsampler::new(halved),
        }
    }

    /// The same on a thread that may wait.
    pub(super) fn blocking_next(&mut self) -> Option<Heard> {
        let heard = self.frames.blocking_recv()?;
        Some(self.convert(heard))
    }

    /// The next frame of either direction.
    pub async fn next(&mut self) -> Option<Heard> {
        let heard = self.frames.recv().await?;
        Some(self.convert(heard))
    }

    fn convert(&mut self, heard: Heard) -> Heard {
        let direction = if heard.uplink {
            &mut self.uplink
        } else {
            &mut self.downlink
        };
        let (first_sample, pcm) = direction.take(heard.first_sample, heard.pcm);
        Heard {
            uplink: heard.uplink,
            first_sample,
            pcm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames that come at these milliseconds to an owner that never reads; how many were dropped, and how many wait.
    fn dropped(times: impl IntoIterator<Item = u64>) -> (usize, usize) {
        let mut owner = OwnerEnd::new(1, false);
        let began = Instant::now();
        let frame = Frame::silent(SampleRate::Hz8000);
        let dropped = times
            .into_iter()
            .map(|ms| owner.hear(&frame, began + Duration::from_millis(ms)))
            .sum();
        (dropped, owner.queue.len())
    }

    #[test]
    fn frames_are_dropped_when_they_have_waited_and_not_because_they_came_together() {
        // Half a second in real time waits, and nothing of it once more has come.
        assert_eq!(dropped((0..25).map(|n| 20 * n)), (0, 25));
        assert_eq!(dropped((0..26).map(|n| 20 * n)), (20, 6));
        // More than a second that the kernel held back, in one go.
        assert_eq!(dropped(std::iter::repeat_n(1400, 70)), (0, 70));
        // It is bounded all the same.
        assert_eq!(dropped(std::iter::repeat_n(0, 101)), (95, 6));
    }
}
