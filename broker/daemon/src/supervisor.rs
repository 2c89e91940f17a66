//! The only place that starts tasks, so that every one of them has a name and an end.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument as _;

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
