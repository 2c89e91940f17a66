//! The configuration: what may be written in the file, and what it means.
//!
//! [`written`] knows where everything stands in the file; the types here are what the rest of the broker works with, and
//! whatever is in them is valid. A complaint names file, line, column, key and what was expected.

mod meaning;
mod written;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::resource::PortRole;
use crate::store::Retention;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Listeners, directories and who may connect.
    pub broker: BrokerConfig,
    /// How long and how much is kept.
    pub store: Retention,
    /// What is allowed for debugging.
    pub diagnostics: DiagnosticsConfig,
    /// Where modems are looked for.
    pub discovery: DiscoveryConfig,
    /// How calls are treated.
    pub voice: VoiceConfig,
    /// The modems; at least one.
    pub modems: Vec<ModemConfig>,
}

/// `[broker]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Where clients connect; at least one.
    pub listen: Vec<ListenAddress>,
    /// Where the database lives.
    pub state_directory: PathBuf,
    /// Where port locks go.
    pub lock_directory: PathBuf,
    /// Mode of a unix socket.
    pub socket_mode: u32,
    /// Group of a unix socket; the daemon's own if none.
    pub socket_group: Option<String>,
    /// TLS of the TCP listeners.
    pub tls: Option<TlsConfig>,
    /// Who may connect over TCP.
    pub tokens: Vec<TokenConfig>,
}

impl BrokerConfig {
    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.state_directory.join("broker.db")
    }
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `tcp:ADDRESS:PORT`.
    Tcp(SocketAddr),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// `[broker.tls]`: files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority that has to have signed a client's certificate; clients need none if this is not set.
    pub client_ca: Option<PathBuf>,
}

/// `[[broker.tokens]]`: a bearer token, of which only the hash is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// Whose it is, for the log.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
}

/// `[diagnostics]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiagnosticsConfig {
    /// Whether clients may send AT commands of their own.
    pub raw_at: bool,
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

/// `[voice]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoiceConfig {
    /// How long a call whose client went away waits for another.
    pub reattach_grace: Duration,
    /// What happens then.
    pub on_abandoned: OnAbandoned,
    /// How much uplink audio may wait to be played.
    pub uplink_queue_max: Duration,
    /// How long a call may last; no limit if none.
    pub max_call: Option<Duration>,
}

/// What happens to a call that no client owns any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAbandoned {
    /// It is hung up.
    HangUp,
    /// It stays up and waits.
    Keep,
}

/// `[[modem]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModemConfig {
    /// What requests call it.
    pub name: String,
    /// Only the device with this IMEI.
    pub imei: Option<String>,
    /// Only the device at this USB path.
    pub usb_path: Option<String>,
    /// Which module it is.
    pub profile: Profile,
    /// The PIN of its SIM.
    pub pin: Option<Secret>,
    /// Its ports, where they are named instead of discovered.
    pub ports: Option<PortsConfig>,
}

/// Which module a modem is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// SIMCom SIM7600 series.
    #[default]
    Sim7600,
}

/// `[modem.ports]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortsConfig {
    /// Messages and status.
    pub at: PortAddress,
    /// Calls; `at` serves them too if none.
    pub at_calls: Option<PortAddress>,
    /// PCM.
    pub audio: Option<PortAddress>,
    /// NMEA sentences.
    pub nmea: Option<PortAddress>,
    /// QMI control.
    pub qmi: Option<PortAddress>,
}

impl PortsConfig {
    /// The ports that are named, by role.
    pub fn addresses(&self) -> impl Iterator<Item = (PortRole, PortAddress)> {
        [
            (PortRole::At, Some(&self.at)),
            (PortRole::AtCalls, self.at_calls.as_ref()),
            (PortRole::Audio, self.audio.as_ref()),
            (PortRole::Nmea, self.nmea.as_ref()),
            (PortRole::Qmi, self.qmi.as_ref()),
        ]
        .into_iter()
        .filter_map(|(role, address)| Some((role, address?.clone())))
    }
}

/// Where a port is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortAddress {
    /// A device node.
    Path(PathBuf),
    /// `tcp:HOST:PORT`.
    Tcp {
        /// Name or address; an IPv6 address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

impl fmt::Display for PortAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

/// A value that never appears in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
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
