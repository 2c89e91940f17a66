//! When the machine, or the bench itself, stood still: what is measured at such a moment is not the broker.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// A thread or a speaker that is later than this stood still: the prebuffer less the frame that is being played and one of
/// jitter.
const STANDSTILL: Duration = Duration::from_millis(20);

/// Notes when the machine stood still, by threads that do nothing but sleep, and when a speaker did.
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
        Ok(watch)
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
