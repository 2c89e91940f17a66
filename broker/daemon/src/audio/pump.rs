//! The thread that owns the audio port of a call.

use std::io::{self, ErrorKind, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cellular::pcm::{Buffering, Frame, Framer, Pacer, Playout, SampleRate, Source};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use rtrb::{Consumer, Producer};
use tokio::sync::oneshot;

use super::bell::Bell;
use super::{Cleared, Counters, add, buffering, driver_queue, load, micros, priority, raise};
use crate::supervisor;

/// Frames that the driver may hold. What it holds is played whatever a `clear` says, and a backlog that builds up while the
/// module takes nothing would delay the whole rest of the call.
const DRIVER_FRAMES: usize = 2;

/// The longest a turn waits, so that a `clear` and another sender are seen without a wake-up of their own.
const TURN_MAX: Duration = Duration::from_millis(20);

/// The pump's ends of the rings.
pub(super) struct Ends {
    pub(super) downlink: Producer<Frame>,
    pub(super) written: Producer<Frame>,
    pub(super) uplink: Consumer<u8>,
    pub(super) counters: Arc<Counters>,
    /// What clears dropped, so that marks can tell played from dropped.
    pub(super) cleared: Producer<Cleared>,
    /// Rung after every turn that moved a frame.
    pub(super) bell: Arc<Bell>,
    /// What the counters' times count from.
    pub(super) began: Instant,
    /// Told once, with the reason, when the port is gone or the pump was stopped.
    pub(super) ended: oneshot::Sender<String>,
}

/// Stops the pump.
pub(super) struct Stop {
    wake: Arc<EventFd>,
    closed: oneshot::Receiver<()>,
}

impl Stop {
    /// Stops it and waits until the port is closed.
    pub(super) async fn close(mut self) {
        self.ring();
        let _ = (&mut self.closed).await;
    }

    fn ring(&self) {
        // It can only fail when the counter is full, and then the pump is awake anyway.
        let _ = self.wake.write(1);
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.ring();
    }
}

/// Starts the thread.
pub(super) fn spawn(fd: OwnedFd, rate: SampleRate, ends: Ends) -> io::Result<Stop> {
    let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
    let thread_wake = Arc::clone(&wake);
    nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    let closed = supervisor::thread("pcm", move || {
        let scheduling = priority::raise();
        tracing::debug!(scheduling, "audio thread started");
        let mut pump = Pump::new(fd, rate, thread_wake, ends);
        let reason = pump.run();
        let Pump { ends, port, .. } = pump;
        drop(port);
        let _ = ends.ended.send(reason);
        ends.bell.ring();
    })?;
    Ok(Stop { wake, closed })
}

struct Pump {
    port: OwnedFd,
    rate: SampleRate,
    wake: Arc<EventFd>,
    ends: Ends,
    began: Instant,
    framer: Framer,
    pacer: Pacer,
    playout: Playout,
    /// What the playout was told, as the session wrote it.
    buffering: u64,
    /// A frame that the port did not take whole. The rest must follow, or every later sample would be torn apart.
    unwritten: Frame,
    unwritten_from: usize,
    /// That frame is nothing but silence.
    unwritten_silence: bool,
    /// Octets taken from the uplink ring, those of the unwritten frame included.
    taken: u64,
    uplink_sample: u64,
    is_tty: bool,
    last_read: Option<Duration>,
}

/// Why a turn begins.
struct Turn {
    stop: bool,
    readable: bool,
}

impl Pump {
    fn new(port: OwnedFd, rate: SampleRate, wake: Arc<EventFd>, ends: Ends) -> Self {
        Pump {
            is_tty: port.is_terminal(),
            port,
            rate,
            wake,
            began: ends.began,
            ends,
            framer: Framer::new(rate),
            pacer: Pacer::new(rate, Duration::ZERO),
            playout: Playout::new(rate, Buffering::default()),
            buffering: 0,
            unwritten: Frame::silent(rate),
            unwritten_from: rate.frame_bytes(),
            unwritten_silence: false,
            taken: 0,
            uplink_sample: 0,
            last_read: None,
        }
    }

    /// Turns until the port is gone or the pump is stopped; returns why. No allocation, lock or log until then.
    fn run(&mut self) -> String {
        loop {
            let turn = match self.wait() {
                Ok(turn) => turn,
                Err(error) => return format!("poll of the audio port: {error}"),
            };
            if turn.stop {
                return "closed".to_owned();
            }
            match self.turn(turn.readable) {
                Ok(true) => self.ends.bell.ring(),
                Ok(false) => {}
                Err(error) => return error.to_string(),
            }
        }
    }

    /// True if a frame went either way or a clear dropped something.
    fn turn(&mut self, readable: bool) -> io::Result<bool> {
        let mut moved = readable && self.read()?;
        moved |= self.clear();
        moved |= self.write()?;
        Ok(moved)
    }

    fn wait(&self) -> nix::Result<Turn> {
        let pending = self.is_pending();
        let interest = if pending {
            PollFlags::POLLIN | PollFlags::POLLOUT
        } else {
            PollFlags::POLLIN
        };
        let mut fds = [
            PollFd::new(self.port.as_fd(), interest),
            PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
        ];
        let due = self.pacer.next_due().saturating_sub(self.began.elapsed());
        let timeout = if pending { TURN_MAX } else { due.min(TURN_MAX) };
        match ppoll(&mut fds, Some(TimeSpec::from_duration(timeout)), None) {
            Ok(_) => {
                let rung = |fd: &PollFd<'_>, besides| fd.revents().is_some_and(|events| !(events - besides).is_empty());
                Ok(Turn {
                    readable: rung(&fds[0], PollFlags::POLLOUT),
                    stop: rung(&fds[1], PollFlags::empty()),
                })
            }
            Err(Errno::EINTR) => Ok(Turn {
                stop: false,
                readable: false,
            }),
            Err(error) => Err(error),
        }
    }

    /// Reads once. Called only when the port has something to say: a tty that is set to return at once (VMIN 0) answers
    /// every other read with nothing, which is not its end.
    fn read(&mut self) -> io::Result<bool> {
        let mut moved = false;
        let mut buffer = [0; 4096];
        match nix::unistd::read(&self.port, &mut buffer) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the audio port went away")),
            Ok(count) => {
                let now = self.began.elapsed();
                self.pacer.read(now, count);
                self.account_for_read(now, count);
                let (downlink, counters) = (&mut self.ends.downlink, &self.ends.counters);
                self.framer.push(&buffer[..count], |frame| {
                    moved = true;
                    if downlink.push(frame).is_err() {
                        add(&counters.downlink_frames_lost, 1);
                    }
                });
                counters.downlink_slips.store(self.framer.slips(), Ordering::Release);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(failed("read of", error)),
        }
        Ok(moved)
    }

    fn account_for_read(&mut self, now: Duration, count: usize) {
        let counters = &self.ends.counters;
        add(&counters.downlink_bytes, count as u64);
        add(
            &counters.downlink_short_reads,
            u64::from(count < self.rate.frame_bytes()),
        );
        match self.last_read.replace(now) {
            Some(last) => {
                let gap = micros(now.saturating_sub(last));
                raise(&counters.downlink_gap_max_us, gap);
                counters.times.gaps.observe(gap);
            }
            None => {
                counters.first_read_us.store(micros(now), Ordering::Release);
                counters.first_read_bytes.store(count as u64, Ordering::Release);
            }
        }
        counters.last_read_us.store(micros(now), Ordering::Release);
    }

    fn write(&mut self) -> io::Result<bool> {
        let mut wrote = self.flush()?;
        // Frames that fall due while the port takes nothing are not caught up: the module has played silence meanwhile.
        loop {
            let (due, now) = (self.pacer.next_due(), self.began.elapsed());
            if !self.pacer.take_due(now) {
                break;
            }
            // Nothing is due before the read that it is written for.
            let due = due.max(self.last_read.unwrap_or_default());
            if !due.is_zero() {
                let late = micros(now.saturating_sub(due));
                raise(&self.ends.counters.lateness_max_us, late);
                self.ends.counters.times.lateness.observe(late);
            }
            if self.is_pending() || self.driver_is_full() {
                add(&self.ends.counters.write_stalls, 1);
                continue;
            }
            self.fill();
            wrote |= self.flush()?;
        }
        Ok(wrote)
    }

    fn driver_is_full(&self) -> bool {
        let octets = if self.is_tty {
            driver_queue::octets(&self.port)
        } else {
            None
        };
        let octets = octets.unwrap_or(0);
        raise(&self.ends.counters.driver_max_bytes, octets as u64);
        octets >= DRIVER_FRAMES * self.rate.frame_bytes()
    }

    fn clear(&mut self) -> bool {
        let before = load(&self.ends.counters.clear_before);
        if before <= self.taken {
            return false;
        }
        let drop = usize::try_from(before - self.taken)
            .unwrap_or(usize::MAX)
            .min(self.ends.uplink.slots());
        let Ok(chunk) = self.ends.uplink.read_chunk(drop) else {
            return false;
        };
        chunk.commit_all();
        let from = self.taken;
        self.taken += drop as u64;
        // A full ring means 64 clears since the session last looked; the marks of this one then count as played.
        let _ = self.ends.cleared.push(Cleared { from, to: self.taken });
        let counters = &self.ends.counters;
        add(&counters.uplink_cleared, drop as u64);
        let latency = micros(self.began.elapsed()).saturating_sub(load(&counters.clear_asked_us));
        counters.clear_latency_us.store(latency, Ordering::Release);
        counters.times.clears.observe(latency);
        self.publish_taken();
        self.playout.cleared();
        drop > 0
    }

    /// Marks are reached when the audio before them is written, so a frame that is not written whole is not told of yet.
    fn publish_taken(&self) {
        if !self.is_pending() {
            self.ends.counters.uplink_taken.store(self.taken, Ordering::Release);
        }
    }

    fn fill(&mut self) {
        let counters = Arc::clone(&self.ends.counters);
        let written = load(&counters.buffering);
        if written != self.buffering {
            self.buffering = written;
            self.playout.set_buffering(buffering::read(written));
        }
        let filled = self
            .playout
            .fill(&mut Ring(&mut self.ends.uplink), self.unwritten.pcm_mut());
        self.unwritten.first_sample = self.uplink_sample;
        self.uplink_sample += self.rate.frame_samples() as u64;
        self.unwritten_from = 0;
        self.unwritten_silence = filled.queued_bytes == 0;
        self.taken += (filled.queued_bytes + filled.skipped_bytes) as u64;
        add(
            &counters.uplink_skipped_frames,
            (filled.skipped_bytes / self.rate.frame_bytes()) as u64,
        );
        add(&counters.uplink_stretched_frames, u64::from(filled.stretched));
        add(&counters.uplink_underruns, u64::from(filled.underrun));
        add(&counters.uplink_underrun_frames, u64::from(filled.underrun_frames));
    }

    /// A frame was not taken whole.
    fn is_pending(&self) -> bool {
        self.unwritten_from < self.rate.frame_bytes()
    }

    /// Writes what is left of the frame. One frame in one write: the driver makes one USB transfer of it.
    fn flush(&mut self) -> io::Result<bool> {
        if !self.is_pending() {
            return Ok(false);
        }
        match nix::unistd::write(&self.port, &self.unwritten.pcm()[self.unwritten_from..]) {
            Ok(count) => {
                self.unwritten_from += count;
                if self.is_pending() {
                    add(&self.ends.counters.uplink_partial_writes, 1);
                    return Ok(false);
                }
                add(&self.ends.counters.uplink_frames, 1);
                add(
                    &self.ends.counters.uplink_silence_frames,
                    u64::from(self.unwritten_silence),
                );
                self.publish_taken();
                // Nobody may be listening to what was said; a full ring then only means that.
                let _ = self.ends.written.push(self.unwritten);
                Ok(true)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
            Err(error) => Err(failed("write to", error)),
        }
    }
}

fn failed(what: &str, errno: Errno) -> io::Error {
    io::Error::new(io::Error::from(errno).kind(), format!("{what} the audio port: {errno}"))
}

struct Ring<'a>(&'a mut Consumer<u8>);

impl Source for Ring<'_> {
    fn available(&self) -> usize {
        self.0.slots() & !1
    }

    fn take(&mut self, into: &mut [u8]) {
        if let Ok(chunk) = self.0.read_chunk(into.len()) {
            let (first, second) = chunk.as_slices();
            into[..first.len()].copy_from_slice(first);
            into[first.len()..].copy_from_slice(second);
            chunk.commit_all();
        }
    }

    fn discard(&mut self, count: usize) {
        if let Ok(chunk) = self.0.read_chunk(count) {
            chunk.commit_all();
        }
    }
}
