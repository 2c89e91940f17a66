//! What is counted beside the work itself, cheaply enough for the audio thread; the page for Prometheus shows it.

mod call_totals;
mod histogram;

pub(crate) use call_totals::Shown;
pub use call_totals::{AudioFigures, AudioSource, CallTotals, Counted};
pub use histogram::{Distribution, Histogram};
