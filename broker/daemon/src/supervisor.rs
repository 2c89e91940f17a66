//! The only place that starts tasks and short-lived threads, so that every one of them has a name and an end.

use std::future::Future;

use tokio::sync::oneshot;
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

/// Runs a system call that the kernel may hold for long, or for ever, on a thread of its own; what it returns comes over
/// the channel. A thread that hangs is left behind: unlike a blocking task of the runtime it does not keep the process from
/// ending.
pub fn blocking<T: Send + 'static>(
    name: &'static str,
    call: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<oneshot::Receiver<T>> {
    let (sender, outcome) = oneshot::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody waits any more when it took too long; what was opened is closed then.
        let _ = sender.send(call());
    })?;
    Ok(outcome)
}
