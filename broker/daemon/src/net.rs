//! The network side of this machine as a bearer needs it: links, addresses, routes and rules by rtnetlink, the interface beside
//! a modem's port, DHCP and router advertisements, and pppd.

pub mod address;
pub mod advertisement;
pub mod dhcp;
pub mod interface;
pub(crate) mod netlink;
pub mod pppd;
pub(crate) mod rule;

use std::time::Duration;

use crate::supervisor::{Hung, SystemCalls};

/// How long the kernel may take to change something.
const LIMIT: Duration = Duration::from_secs(10);

static CALLS: SystemCalls = SystemCalls::new("net");

/// Runs what waits for the kernel, with a bound.
pub async fn bounded<T, E>(call: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Hung> + Send + 'static,
{
    CALLS.run(LIMIT, call).await
}
