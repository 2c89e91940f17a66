//! How long the virtual modem and its network take: data, so that a test can have either none or the real ones.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which delays apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// Replies come at once; only the cadences that give an order to things (rings, re-enumeration) take time.
    #[default]
    Instant,
    /// The times measured on real modules.
    Realistic,
}

/// A range of milliseconds from which each delay is drawn.
pub(crate) type Range = (u64, u64);

/// Every delay by what causes it.
#[derive(Debug, Clone)]
pub(crate) struct Delays {
    /// A plain command.
    pub(crate) command: Range,
    /// From the end of the payload of a short message to its `+CMGS`.
    pub(crate) submit: Range,
    /// Between two messages that the network delivers.
    pub(crate) deliver: Range,
    /// From an accepted SUBMIT to its STATUS-REPORT.
    pub(crate) report: Range,
    /// From `+CMT` to the moment the network gives up waiting for `+CNMA` (24.011 TC1M-like).
    pub(crate) acknowledge: Range,
    /// From power-on to `RDY`, counted from the attachment of the ports.
    pub(crate) ready: Range,
    /// From `RDY` to `+CPIN: READY`.
    pub(crate) sim: Range,
    /// From `+CPIN: READY` to `SMS DONE` and then to `PB DONE`, each.
    pub(crate) stores: Range,
    /// From a ready SIM to registration.
    pub(crate) register: Range,
    /// From `CFUN=1` to registration.
    pub(crate) register_again: Range,
    /// `AT+COPS=?`
    pub(crate) scan: Range,
    /// From `OK` of a reset to the loss of the ports.
    pub(crate) leave: Range,
    /// From the loss of the ports by a reset to their return.
    pub(crate) reset: Range,
    /// The same for a change of the composition.
    pub(crate) enumerate: Range,
    /// Between two `RING`s.
    pub(crate) ring: Range,
    /// `ATA`
    pub(crate) answer: Range,
    /// `AT+CHUP`
    pub(crate) hang_up: Range,
    /// From `ATD` to alerting.
    pub(crate) alert: Range,
    /// From alerting to the answer of the default policy.
    pub(crate) remote_answer: Range,
    /// After the start of a call, during which `AT+CPCMREG=1` is refused.
    pub(crate) pcm_refusal: Range,
    /// `AT+CUSD` to the network's text.
    pub(crate) ussd: Range,
    /// A data session; an assumption, for want of a measurement.
    pub(crate) session: Range,
}

impl Delays {
    pub(crate) fn of(timing: Timing) -> Self {
        match timing {
            Timing::Instant => Self {
                command: (0, 0),
                submit: (0, 0),
                deliver: (0, 0),
                report: (5, 5),
                acknowledge: (2_000, 2_000),
                ready: (0, 0),
                sim: (0, 0),
                stores: (0, 0),
                register: (0, 0),
                register_again: (0, 0),
                scan: (20, 20),
                leave: (10, 10),
                reset: (100, 100),
                enumerate: (50, 50),
                ring: (1_000, 1_000),
                answer: (0, 0),
                hang_up: (0, 0),
                alert: (20, 20),
                remote_answer: (50, 50),
                pcm_refusal: (0, 0),
                ussd: (5, 5),
                session: (0, 0),
            },
            // Sources: 4 s from plug to ports, 60 s to registration, CMGS 5 s typical, CRESET 14-20 s, hang-up 656 ms,
            // 100 ms before CPCMREG is accepted (ModemManager), all of them observed on SIM7600 modules.
            Timing::Realistic => Self {
                command: (5, 20),
                submit: (1_000, 5_000),
                deliver: (300, 1_500),
                report: (1_500, 6_000),
                acknowledge: (15_000, 15_000),
                ready: (1_000, 2_000),
                sim: (2_000, 4_000),
                stores: (1_500, 3_000),
                register: (8_000, 30_000),
                register_again: (1_800, 2_500),
                scan: (20_000, 60_000),
                leave: (300, 700),
                reset: (14_000, 20_000),
                enumerate: (4_000, 6_000),
                ring: (3_000, 3_000),
                answer: (300, 700),
                hang_up: (500, 800),
                alert: (1_500, 3_500),
                remote_answer: (2_000, 6_000),
                pcm_refusal: (100, 100),
                ussd: (1_000, 4_000),
                session: (800, 3_000),
            },
        }
    }
}

/// A small generator of repeatable numbers (splitmix64): the same seed gives the same run.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn within(&mut self, (low, high): Range) -> Duration {
        let span = high.saturating_sub(low) + 1;
        Duration::from_millis(low + self.next() % span)
    }
}
