//! End-to-end tests and benchmarks: gRPC on one side, the virtual modem on the other.
//!
//! [`Rig`] holds virtual modems on pseudo-terminals, a broker on a unix socket in front of them, and the directory in which
//! all of it lives. [`Journal`] follows the broker's events and waits, with a bound, for the one that a test is about.
//! [`Process`] is the same broker as a program of its own, for what only a process can show.

#![forbid(unsafe_code)]

pub mod binaries;
mod bridge;
pub mod crash;
mod journal;
pub mod lab;
mod rig;

pub use binaries::Process;
pub use bridge::{Bridge, open_raw};
pub use journal::Journal;
pub use rig::{Naming, Rig, Setup};

use std::time::Duration;

/// How long anything may take that is not slow by its nature. Generous, because it only matters when something is broken.
pub const LIMIT: Duration = Duration::from_secs(30);

/// How often a condition without a doorbell is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `look` finds something, for at most `limit`. For conditions that nobody announces.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let found = async {
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(limit, found).await {
        Ok(found) => found,
        Err(_) => anyhow::bail!("{what}: not within {limit:?}"),
    }
}

/// Starts a task of the harness.
fn spawn<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of the harness that starts tasks"
    )]
    tokio::spawn(task)
}

/// The USB composition that a modem is in.
pub fn composition(modem: &api::v1::Modem) -> &str {
    modem.usb.as_ref().map_or("", |usb| &usb.composition)
}

/// The reason in a refusal of the broker.
pub fn reason(status: &tonic::Status) -> Option<api::v1::ErrorReason> {
    client::status::reason(status)
}

/// The fields that an INVALID_ARGUMENT names.
pub fn invalid_fields(status: &tonic::Status) -> Vec<String> {
    use tonic_types::StatusExt as _;
    let violations = status.get_details_bad_request().map(|request| request.field_violations);
    violations
        .into_iter()
        .flatten()
        .map(|violation| violation.field)
        .collect()
}
