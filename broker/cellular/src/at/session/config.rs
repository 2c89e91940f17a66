//! Limits of a [`super::Session`].

use std::time::Duration;

/// Limits of a session. [`Config::default`] suits a SIM7600 on USB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// A line longer than this is discarded and reported. The longest useful one is a list of operators.
    pub max_line_bytes: usize,
    /// A reply longer than this is given up. A full message storage takes about 80 kB.
    pub max_reply_bytes: usize,
    /// How long the port must be silent after a time-out before a probe goes out.
    pub quiet: Duration,
    /// The same on a port that has just been opened, and before a probe is repeated on one that answers: what is owed then
    /// comes at once or was never asked for.
    pub quiet_answering: Duration,
    /// A port that never falls silent is probed after this.
    pub drain_limit: Duration,
    /// How long a probe may take before the next one goes out, so that a modem that is back is soon noticed. A busy SIM7600
    /// takes 3 to 4 s for a plain command, which is less than [`Config::probe_limit`] of them take together. On a modem that
    /// says something and does not answer the time doubles with each further one.
    pub probe_timeout: Duration,
    /// For so many probes to a modem that says nothing at all; from then on the time doubles there as well, because one that
    /// kept everything that it was given would answer all of it.
    pub probe_repeats: u32,
    /// The longest time between two probes.
    pub probe_timeout_max: Duration,
    /// From this many probes without an answer on, each further one reports [`super::Output::Unresponsive`].
    pub probe_limit: u32,
    /// The probes, sent in turn. Each needs an answer of its own that no SIM and no network takes part in.
    pub probes: &'static [Probe],
    /// How long the modem may take for the final result code after an abort.
    pub abort_timeout: Duration,
    /// How long the second line of an unsolicited message may take.
    pub continuation_timeout: Duration,
}

/// A read command whose reply can be told from that of every other probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The command line.
    pub line: &'static str,
    /// The prefix of its only information line, without the colon.
    pub prefix: &'static str,
}

const PROBES: &[Probe] = &[
    Probe {
        line: "AT+CMEE?",
        prefix: "+CMEE",
    },
    Probe {
        line: "AT+CFUN?",
        prefix: "+CFUN",
    },
    Probe {
        line: "AT+CRC?",
        prefix: "+CRC",
    },
    Probe {
        line: "AT+CSCS?",
        prefix: "+CSCS",
    },
];

impl Default for Config {
    fn default() -> Self {
        Self {
            max_line_bytes: 8 * 1024,
            max_reply_bytes: 256 * 1024,
            quiet: Duration::from_millis(200),
            quiet_answering: Duration::from_millis(50),
            drain_limit: Duration::from_secs(2),
            probe_timeout: Duration::from_secs(1),
            probe_repeats: 120,
            probe_timeout_max: Duration::from_secs(60),
            probe_limit: 4,
            probes: PROBES,
            abort_timeout: Duration::from_secs(5),
            continuation_timeout: Duration::from_secs(1),
        }
    }
}
