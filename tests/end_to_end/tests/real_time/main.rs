//! Calls and their audio. These tests keep time with the wall clock, so each runs alone.

mod audio;
mod audio_faults;
mod call;
mod calls;
mod half_close;
mod metrics;
mod ownership;
mod services;
mod wideband;

use tokio::sync::{Mutex, MutexGuard};

static ALONE: Mutex<()> = Mutex::const_new(());

/// Waits until no other test of this program runs. On a machine with few cores two calls at a time would measure each other.
pub async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}
