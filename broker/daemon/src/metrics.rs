//! Figures of the broker for Prometheus: a page of text behind `GET /metrics`, on loopback only and off by default.
//!
//! A page is made when somebody asks for it, out of what is at hand: the snapshot of each modem, its ladder, the length of its
//! queues, and its [`CallTotals`]. Nothing is counted for it beside what a call counts anyway, and while no listener is
//! configured there are no totals either.

mod exposition;
mod listener;
mod page;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::figures::CallTotals;
use crate::modem::Modems;
use crate::store::Store;

pub use listener::{MetricsListenError, MetricsListener};

/// What a page is made of.
#[derive(Clone)]
pub struct Sources {
    /// The modems.
    pub modems: Modems,
    /// The store, for the queues.
    pub store: Store,
    /// The totals of each modem, by its name.
    pub totals: BTreeMap<String, Arc<CallTotals>>,
}
