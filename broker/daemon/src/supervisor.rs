//! The only place that starts tasks and threads, so that every one of them has a name and an end.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

/// Calls of one kind that may hang before no further one is begun: each holds a thread, and often a descriptor.
const HANGING_MAX: usize = 8;

/// Starts a task under a name that its log lines carry.
pub fn spawn<F>(name: &'static str, modem: &str, task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let span = tracing::debug_span!("task", name, modem);
    #[expect(clippy::disallowed_methods, reason = "this is the place where tasks are started")]
    tokio::spawn(task.instrument(span))
}

/// Starts a thread. What its work returns comes over the channel; the channel closes without it when the work panics.
/// Unlike a blocking task of the runtime, a thread does not keep the process from ending.
pub fn thread<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let (sender, outcome) = oneshot::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody waits any more when it took too long; what was opened is closed then.
        let _ = sender.send(work());
    })?;
    Ok(outcome)
}

/// Begins short work on the disk, on a thread that the runtime has at hand.
///
/// It has no bound: who asked for it needs the outcome, and a disk gives one, late or as an error. In tests a paused clock
/// stands still meanwhile.
pub fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

/// System calls that the kernel may hold for long, or for ever: on a tty whose device does not answer, on a network link, on a
/// switch of the USB. Each runs on a thread of its own. One that takes too long is left behind and counted, and while too
/// many of a kind hang no further one is begun.
#[derive(Debug)]
pub struct SystemCalls {
    name: &'static str,
    hanging: AtomicUsize,
}

/// The kernel does not return from a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel does not answer ({hanging} calls hang)")]
pub struct Hung {
    /// How many calls of this kind hang by now.
    pub hanging: usize,
}

impl From<Hung> for io::Error {
    fn from(hung: Hung) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, hung)
    }
}

impl SystemCalls {
    /// A kind of calls; the name is that of their threads.
    pub const fn new(name: &'static str) -> Self {
        SystemCalls {
            name,
            hanging: AtomicUsize::new(0),
        }
    }

    /// How many hang at this moment.
    pub fn hanging(&self) -> usize {
        self.hanging.load(Ordering::Relaxed)
    }

    /// Runs a call for at most this long, unless too many hang already.
    pub async fn run<T, E>(
        &'static self,
        limit: Duration,
        call: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Hung> + Send + 'static,
    {
        if self.hanging() >= HANGING_MAX {
            return Err(Hung {
                hanging: self.hanging(),
            }
            .into());
        }
        self.run_anyway(limit, call).await.map_err(E::from)?
    }

    /// Runs a call for at most this long, however many hang: for what gives back.
    pub async fn run_anyway<T: Send + 'static>(
        &'static self,
        limit: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Hung> {
        // Whoever is second of the call's end and the end of patience settles the count.
        let settled = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&settled);
        let counted = move || {
            let outcome = call();
            if theirs.swap(true, Ordering::AcqRel) {
                self.hanging.fetch_sub(1, Ordering::Relaxed);
            }
            outcome
        };
        let hung = |_| Hung {
            hanging: self.hanging(),
        };
        let mut outcome = thread(self.name, counted).map_err(|error| {
            tracing::error!(%error, "could not start a thread");
            hung(())
        })?;
        if let Ok(outcome) = tokio::time::timeout(limit, &mut outcome).await {
            return outcome.map_err(|_| hung(()));
        }
        self.hanging.fetch_add(1, Ordering::Relaxed);
        if !settled.swap(true, Ordering::AcqRel) {
            return Err(hung(()));
        }
        // It ended at the same moment.
        self.hanging.fetch_sub(1, Ordering::Relaxed);
        outcome.await.map_err(|_| hung(()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn calls_that_hang_are_left_behind_counted_and_bounded() {
        static CALLS: SystemCalls = SystemCalls::new("test");
        let (short, long) = (Duration::from_millis(20), Duration::from_secs(30));
        let seven = || Ok::<_, io::Error>(7);
        assert_eq!(CALLS.run(long, seven).await.unwrap(), 7);
        let mut releases = Vec::new();
        for hanging in 1..=HANGING_MAX {
            let (release, wait) = mpsc::sync_channel::<()>(1);
            releases.push(release);
            let hangs = move || wait.recv().ok();
            assert_eq!(CALLS.run_anyway(short, hangs).await, Err(Hung { hanging }));
            assert_eq!(CALLS.hanging(), hanging);
        }
        let refused = CALLS.run(long, seven).await.unwrap_err();
        assert_eq!(refused.to_string(), "the kernel does not answer (8 calls hang)");
        assert_eq!(CALLS.run_anyway(long, || 7).await, Ok(7), "what gives back is begun");
        drop(releases);
        let freed = async {
            while CALLS.hanging() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(long, freed)
            .await
            .expect("a call that returns late is not counted any more");
        assert!(CALLS.run(long, seven).await.is_ok());
    }

    #[tokio::test]
    async fn work_that_panics_has_no_outcome() {
        static CALLS: SystemCalls = SystemCalls::new("test");
        let panics = || -> () { panic!("on purpose") };
        let long = Duration::from_secs(30);
        assert_eq!(CALLS.run_anyway(long, panics).await, Err(Hung { hanging: 0 }));
        assert!(on_disk(panics).await.is_err());
    }
}
