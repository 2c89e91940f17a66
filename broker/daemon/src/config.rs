//! The configuration: what may be written in the file, and what it means. Each part of the broker owns the type of its
//! settings; what belongs to no part is here.
//!
//! [`written`] knows where everything stands in the file; the types here are what the rest of the broker works with, and
//! whatever is in them is valid. A complaint names file, line, column, key and what was expected.

mod meaning;
mod written;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::modem::settings::{ModemConfig, VoiceConfig};
use crate::server::settings::BrokerConfig;
use crate::store::{Limits, Retention};
use crate::wan::settings::WanConfig;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Listeners, directories and who may connect.
    pub broker: BrokerConfig,
    /// How long and how much is kept.
    pub store: Retention,
    /// How much clients may send.
    pub limits: Limits,
    /// What is allowed for debugging.
    pub diagnostics: DiagnosticsConfig,
    /// Figures for Prometheus.
    pub metrics: MetricsConfig,
    /// Where modems are looked for.
    pub discovery: DiscoveryConfig,
    /// How calls are treated.
    pub voice: VoiceConfig,
    /// Where carriers are looked up that the broker's own table lacks.
    pub carriers: CarriersConfig,
    /// Which WAN carries the traffic.
    pub wan: WanConfig,
    /// The modems; at least one.
    pub modems: Vec<ModemConfig>,
}

impl Config {
    /// Reads and checks a file, and the PIN files that it names.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Checks a configuration; `name` is what complaints call it.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        meaning::config(written::Source { name, text })
    }
}

impl Default for Config {
    /// What an empty file means.
    fn default() -> Self {
        Self::parse("", "defaults").expect("every key has a valid default, as a test shows")
    }
}

/// `[diagnostics]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiagnosticsConfig {
    /// Whether clients may send AT commands of their own.
    pub raw_at: bool,
    /// Whether clients may make QMI requests of their own.
    pub raw_qmi: bool,
    /// How much of what crosses the ports of each modem is kept in memory; nothing for zero.
    pub trace_bytes: usize,
}

/// `[metrics]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Where `GET /metrics` is answered, on loopback; nowhere if none.
    pub listen: Option<SocketAddr>,
}

/// `[discovery]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryConfig {
    /// Whether modems are looked for on USB.
    pub enabled: bool,
    /// Where sysfs is mounted.
    pub sysfs: PathBuf,
    /// Where device nodes are.
    pub dev: PathBuf,
}

/// `[carriers]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriersConfig {
    /// `serviceproviders.xml` of the package mobile-broadband-provider-info; it may be missing.
    pub provider_info: PathBuf,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file, or one that it names, cannot be read.
    #[error("failed to read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{file}:{line}:{column}: {}{problem}", if key.is_empty() { String::new() } else { format!("{key}: ") })]
    Invalid {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// The full key.
        key: String,
        /// What is wrong and what was expected.
        problem: String,
    },
}
