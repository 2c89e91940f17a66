//! Opening and closing ports with a bound: on a tty whose device does not answer, both wait for control transfers and for output
//! to drain, and a dead hub keeps them for ever.

use std::time::Duration;

use super::{OpenErrorKind, OpenPort};
use crate::supervisor::{Hung, SystemCalls};

/// Opening takes milliseconds, and as long as a control transfer (5 s) when the device is slow to answer.
const OPEN_LIMIT: Duration = Duration::from_secs(6);

/// Closing takes milliseconds; it waits up to 30 s for output that a hung module does not take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

static CALLS: SystemCalls = SystemCalls::new("port");

/// System calls on ports that hang in the kernel at this moment.
pub fn hanging_calls() -> usize {
    CALLS.hanging()
}

/// Opens on a thread of its own, for at most [`OPEN_LIMIT`].
pub(super) async fn bounded<T: Send + 'static>(
    open: impl FnOnce() -> Result<T, OpenErrorKind> + Send + 'static,
) -> Result<T, OpenErrorKind> {
    CALLS.run(OPEN_LIMIT, open).await
}

/// Closes a port and then gives its lock back. Returns when that is done, or after a second while it goes on.
pub async fn close(port: OpenPort) {
    let close = move || {
        let OpenPort { stream, lock } = port;
        drop(stream);
        drop(lock);
    };
    if let Err(Hung { hanging }) = CALLS.run_anyway(CLOSE_LIMIT, close).await {
        tracing::warn!(
            hanging,
            "closing a port hangs in the kernel; unplug the modem if it stays so"
        );
    }
}
