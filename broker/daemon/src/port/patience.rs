//! System calls on ports that may hang in the kernel: opening and closing a tty whose device does not answer waits for
//! control transfers and for output to drain, and a dead hub keeps both for ever. Each runs on a thread of its own; one that
//! takes too long is left behind and counted, and when too many hang no further one is begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::{OpenErrorKind, OpenPort};
use crate::supervisor;

/// Opening takes milliseconds, and as long as a control transfer (5 s) when the device is slow to answer.
const OPEN_LIMIT: Duration = Duration::from_secs(6);

/// Closing takes milliseconds; it waits up to 30 s for output that a hung module does not take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Calls that may hang before no further one is begun: each holds a thread and a descriptor.
const ABANDONED_MAX: usize = 8;

static ABANDONED: AtomicUsize = AtomicUsize::new(0);

/// System calls on ports that hang in the kernel at this moment.
pub fn abandoned() -> usize {
    ABANDONED.load(Ordering::Relaxed)
}

/// Whoever is second of the call's end and the loss of patience settles the count.
#[derive(Default)]
struct Settled(AtomicBool);

impl Settled {
    fn first(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Opens on a thread of its own, for at most [`OPEN_LIMIT`].
pub(super) async fn bounded<T: Send + 'static>(
    open: impl FnOnce() -> Result<T, OpenErrorKind> + Send + 'static,
) -> Result<T, OpenErrorKind> {
    if abandoned() >= ABANDONED_MAX {
        return Err(OpenErrorKind::Hung(abandoned()));
    }
    match patiently("open port", OPEN_LIMIT, open).await {
        Some(outcome) => outcome,
        None => Err(OpenErrorKind::Hung(abandoned())),
    }
}

/// Closes a port and then gives its lock back. Returns when that is done, or after a second while it goes on.
pub async fn close(port: OpenPort) {
    let done = patiently("close port", CLOSE_LIMIT, move || {
        let OpenPort { stream, lock } = port;
        drop(stream);
        drop(lock);
    });
    if done.await.is_none() {
        tracing::warn!(abandoned = abandoned(), "closing a port hangs in the kernel");
    }
}

/// What the call returned, or `None` when patience ended or no thread could be had.
async fn patiently<T: Send + 'static>(
    name: &'static str,
    limit: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let settled = Arc::new(Settled::default());
    let theirs = settled.clone();
    let counted = move || {
        let outcome = call();
        if !theirs.first() {
            ABANDONED.fetch_sub(1, Ordering::Relaxed);
        }
        outcome
    };
    let mut outcome = match supervisor::blocking(name, counted) {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(%error, "no thread for a system call");
            return None;
        }
    };
    match tokio::time::timeout(limit, &mut outcome).await {
        Ok(outcome) => outcome.ok(),
        Err(_) => {
            ABANDONED.fetch_add(1, Ordering::Relaxed);
            if settled.first() {
                return None;
            }
            // It ended at the same moment.
            ABANDONED.fetch_sub(1, Ordering::Relaxed);
            outcome.await.ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// One test, since the count is the process's.
    #[tokio::test]
    async fn calls_that_hang_are_left_behind_counted_and_bounded() {
        let short = Duration::from_millis(20);
        assert_eq!(patiently("test", Duration::from_secs(30), || 7).await, Some(7));
        let mut releases = Vec::new();
        for hanging in 1..=ABANDONED_MAX {
            let (release, wait) = mpsc::sync_channel::<()>(1);
            releases.push(release);
            assert_eq!(patiently("test", short, move || wait.recv().ok()).await, None);
            assert_eq!(abandoned(), hanging);
        }
        let refused = bounded(|| Ok(())).await;
        assert!(matches!(refused, Err(OpenErrorKind::Hung(ABANDONED_MAX))));
        drop(releases);
        let freed = async {
            while abandoned() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), freed)
            .await
            .expect("a call that returns late is not counted any more");
        assert!(bounded(|| Ok(())).await.is_ok());
    }
}
