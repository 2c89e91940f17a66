//! Who shows a token that is not valid: told once in a while, and made to wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The pause after the first refusal; it doubles with each, up to the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// An address that was quiet for this long begins anew; one that is not is told of this often.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered. Those beyond are made to wait the longest, and told of together.
const ADDRESSES_MAX: usize = 1024;

/// The addresses that were refused lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Strangers(Arc<Mutex<HashMap<IpAddr, Refused>>>);

#[derive(Debug)]
struct Refused {
    since: Instant,
    last: Instant,
    times: u32,
    untold: u32,
}

impl Strangers {
    /// Counts a refusal, and says how long its answer has to wait. A valid token from the same address waits for nothing.
    pub(super) fn refuse(&self, address: Option<IpAddr>) -> Duration {
        let now = Instant::now();
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        if !refused.contains_key(&address) && refused.len() >= ADDRESSES_MAX {
            refused.retain(|_, entry| now.duration_since(entry.last) < WINDOW);
            if refused.len() >= ADDRESSES_MAX {
                address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            }
        }
        let entry = refused.entry(address).or_insert(Refused {
            since: now,
            last: now,
            times: 0,
            untold: 0,
        });
        if now.duration_since(entry.last) >= WINDOW {
            entry.times = 0;
        }
        let first = entry.times == 0;
        entry.last = now;
        entry.times = entry.times.saturating_add(1);
        entry.untold += 1;
        if first || now.duration_since(entry.since) >= WINDOW {
            tracing::warn!(%address, times = entry.untold, "requests without a valid token were refused");
            (entry.since, entry.untold) = (now, 0);
        }
        PAUSE
            .saturating_mul(1 << entry.times.saturating_sub(1).min(10))
            .min(PAUSE_LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refusals_cost_more_and_more_time_and_quiet_is_forgiven() {
        let strangers = Strangers::default();
        let one = Some(IpAddr::from([192, 0, 2, 7]));
        let pauses: Vec<_> = (0..8).map(|_| strangers.refuse(one).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(strangers.refuse(Some(IpAddr::from([192, 0, 2, 8]))), PAUSE);
        tokio::time::advance(WINDOW).await;
        assert_eq!(strangers.refuse(one), PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_take_a_bounded_memory() {
        let strangers = Strangers::default();
        for number in 0..5000_u32 {
            strangers.refuse(Some(IpAddr::from(number.to_be_bytes())));
        }
        assert!(strangers.0.lock().unwrap().len() <= ADDRESSES_MAX + 1);
    }
}
