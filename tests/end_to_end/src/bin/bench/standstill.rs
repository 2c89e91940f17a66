//! When the machine, or the bench itself, stood still: what is measured at such a moment is not the broker.

use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{Pid, read, write};

/// A thread or a speaker that is later than this stood still: the prebuffer less the frame that is being played and one of
/// jitter.
const STANDSTILL: Duration = Duration::from_millis(20);

/// Notes when the machine stood still, by threads that do nothing but sleep; when its terminals did, by a terminal that nobody
/// else uses; and when a speaker did.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<Standstills>>);

#[derive(Default)]
struct Standstills {
    last: Option<Instant>,
    count: u64,
    longest: Duration,
}

impl Watch {
    const NAP: Duration = Duration::from_millis(5);

    /// Watches the machine until the other ends are gone.
    pub fn start() -> anyhow::Result<Watch> {
        let watch = Watch::default();
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        // One on each processor: the host of a virtual machine takes time from one of them, and who waits there waits on.
        for processor in 0..CpuSet::count() {
            if !allowed.is_set(processor)? {
                continue;
            }
            let mut only = CpuSet::new();
            only.set(processor)?;
            let machine = Arc::downgrade(&watch.0);
            std::thread::spawn(move || {
                if let Err(error) = sched_setaffinity(Pid::from_raw(0), &only) {
                    tracing::warn!(%error, processor, "the processor is watched from elsewhere");
                }
                loop {
                    let began = Instant::now();
                    // Nobody wakes it.
                    std::thread::park_timeout(Watch::NAP);
                    let Some(watch) = machine.upgrade() else { return };
                    Watch(watch).late(began.elapsed().saturating_sub(Watch::NAP));
                }
            });
        }
        watch.follow_a_terminal()?;
        Ok(watch)
    }

    /// What a terminal is given the kernel hands over on a thread of its own, which may be late while all others are not.
    fn follow_a_terminal(&self) -> anyhow::Result<()> {
        let pair = openpty(None, None)?;
        let mut settings = tcgetattr(&pair.slave)?;
        cfmakeraw(&mut settings);
        tcsetattr(&pair.slave, SetArg::TCSANOW, &settings)?;
        let terminals = Arc::downgrade(&self.0);
        std::thread::spawn(move || {
            let pass_on = || -> nix::Result<()> {
                write(&pair.master, &[0])?;
                let mut fds = [PollFd::new(pair.slave.as_fd(), PollFlags::POLLIN)];
                poll(&mut fds, PollTimeout::NONE)?;
                read(&pair.slave, &mut [0; 16]).map(drop)
            };
            loop {
                std::thread::park_timeout(Watch::NAP);
                let began = Instant::now();
                let passed = pass_on();
                let Some(watch) = terminals.upgrade() else { return };
                if let Err(error) = passed {
                    tracing::warn!(%error, "terminals are not watched");
                    return;
                }
                Watch(watch).late(began.elapsed());
            }
        });
        Ok(())
    }

    /// Somebody was this late.
    pub fn late(&self, by: Duration) {
        if by < STANDSTILL {
            return;
        }
        let mut standstills = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        standstills.last = Some(Instant::now());
        standstills.count += 1;
        standstills.longest = standstills.longest.max(by);
    }

    /// Whether anything stood still lately.
    pub fn stood_still(&self, within: Duration) -> bool {
        let standstills = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        standstills.last.is_some_and(|last| last.elapsed() < within)
    }

    /// How many, and the longest.
    pub fn so_far(&self) -> (u64, Duration) {
        let standstills = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (standstills.count, standstills.longest)
    }
}
