//! How fast the primary is judged, as data.

use std::time::Duration;

/// The volleys of a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// How many.
    pub volleys: u32,
    /// From one to the next.
    pub spacing: Duration,
    /// From the first to the verdict.
    pub limit: Duration,
}

/// How fast the primary is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between rounds while the primary works.
    pub interval: Duration,
    /// How long a single volley may take.
    pub timeout: Duration,
    /// From a round that failed to the next one; a burst at once if none.
    pub failure_interval: Option<Duration>,
    /// Rounds in a row without an answer that prove a failure without a burst.
    pub failures: u32,
    /// What a burst is.
    pub burst: Burst,
    /// Between rounds while the primary does not work.
    pub recovery_interval: Duration,
    /// Rounds in a row that have to be good.
    pub recoveries: u32,
    /// How long the primary has to be without fault.
    pub hold: Duration,
    /// The longest hold.
    pub hold_max: Duration,
    /// A failover this soon after the return counts as flapping.
    pub flap_window: Duration,
    /// Failovers after which the hold begins to double.
    pub flaps_free: u32,
    /// The first pause between two tries to connect the bearer; each is twice the one before.
    pub retry: Duration,
    /// The longest.
    pub retry_max: Duration,
    /// The pause when somebody has to change something first.
    pub retry_persistent: Duration,
    /// Failed tries up to which a trigger cuts the pause short.
    pub patience: u32,
    /// Between probes through the modem while it carries the traffic.
    pub backup_interval: Duration,
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// With two targets and a loss of 30 % one burst in 170 000 condemns a link that works, for round-trip times up to half a
/// second.
const BURST: Burst = Burst {
    volleys: 5,
    spacing: Duration::from_millis(150),
    limit: Duration::from_millis(1100),
};

impl Timing {
    /// A round every half minute, and a burst as soon as one fails. The default: it costs 0.5 MB a month and target, and a
    /// silent fault is found after a quarter of a minute on average.
    pub const ADAPTIVE: Timing = Timing {
        interval: seconds(30),
        timeout: seconds(1),
        failure_interval: None,
        failures: u32::MAX,
        burst: BURST,
        recovery_interval: seconds(10),
        recoveries: 3,
        hold: seconds(60),
        hold_max: seconds(600),
        flap_window: seconds(600),
        flaps_free: 2,
        retry: seconds(1),
        retry_max: seconds(60),
        retry_persistent: seconds(600),
        patience: 4,
        backup_interval: seconds(60),
    };

    /// A round every second, for a primary that costs nothing.
    pub const FAST: Timing = Timing {
        interval: seconds(1),
        recovery_interval: seconds(2),
        hold: seconds(20),
        ..Timing::ADAPTIVE
    };

    /// A round every half minute, and a failure after three in a row.
    pub const GUIDE: Timing = Timing {
        timeout: seconds(5),
        failure_interval: Some(seconds(30)),
        failures: 3,
        recovery_interval: seconds(30),
        recoveries: 1,
        hold: Duration::ZERO,
        hold_max: Duration::ZERO,
        ..Timing::ADAPTIVE
    };
}
