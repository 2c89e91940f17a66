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

pub use cellular::at::command::Authentication;
use cellular::pcm::SampleRate;
use cellular::qmi::wds::Family;

use crate::resource::{AccessTechnology, PortRole};
use crate::scope::Scopes;
use crate::store::{Limits, Retention};
use crate::wan::name_server::Resolver;
use crate::wan::policy::{Mode, Timing};
use crate::wan::probe::{PortalCheck, Target};

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

/// `[wan]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WanConfig {
    /// How the modem's data is used.
    pub mode: Mode,
    /// The modem that is the backup; the only one if none.
    pub modem: Option<String>,
    /// The primary's interface; found if none.
    pub primary: Option<String>,
    /// How fast the primary is judged.
    pub timing: Timing,
    /// What answers probes; at least one.
    pub targets: Vec<Target>,
    /// Whether the primary's name servers are probed too.
    pub probe_names: bool,
    /// The name that they are asked for.
    pub probe_name: String,
    /// A page that is empty where the internet is.
    pub portal_check: Option<PortalCheck>,
    /// Metric with which everything goes through the modem.
    pub metric: u32,
    /// Whether connections of an address that leads nowhere are aborted.
    pub abort_connections: bool,
    /// Who answers this machine's questions; found out if none.
    pub resolver: Option<Resolver>,
    /// The machine's name servers.
    pub resolv_conf: PathBuf,
    /// A program and its arguments that is run at each change.
    pub hook: Option<Vec<String>>,
    /// How long it may take.
    pub hook_timeout: Duration,
    /// Octets that a period allows.
    pub cap: Option<u64>,
    /// The day of the month on which a period begins.
    pub cap_day: i8,
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
    /// What single client certificates may do.
    pub certificates: Vec<TokenConfig>,
    /// What whoever connects over TCP from this machine may do without a token; nobody may if none.
    pub loopback_scopes: Option<Scopes>,
    /// What whoever can open the unix socket may do.
    pub socket_scopes: Scopes,
    /// What users may do over the unix socket beyond that.
    pub users: Vec<MemberConfig>,
    /// What members of groups may do over it beyond that.
    pub groups: Vec<MemberConfig>,
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
    /// What a certificate of that authority may do that has no scopes of its own.
    pub client_scopes: Scopes,
}

/// `[[broker.tokens]]`: a bearer token, of which only the hash is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// Whose it is, for the log.
    pub name: String,
    /// SHA-256 of the token, or of a certificate's DER.
    pub sha256: [u8; 32],
    /// What its owner may do.
    pub scopes: Scopes,
}

/// A user or a group of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberConfig {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Whether nobody wrote it: then it need not exist.
    pub is_default: bool,
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
    /// Whether emergency numbers may be dialled.
    pub emergency_calls: bool,
    /// Whether keys are listened for in the audio, besides what the module reports.
    pub detect_dtmf: bool,
    /// What the module is asked to pass.
    pub sample_rate: SampleRate,
    /// Whether a module that refused a call's audio at first is reset once nothing needs it.
    pub reset_degraded_audio: bool,
    /// Recordings.
    pub recording: RecordingConfig,
}

/// `[voice.recording]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingConfig {
    /// Which calls are recorded.
    pub calls: RecordedCalls,
    /// Where recordings go; `recordings` in the state directory if none.
    pub directory: Option<PathBuf>,
    /// Octets that they may take together. The oldest go first.
    pub total_max: u64,
}

/// Which calls are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedCalls {
    /// None, whatever clients ask.
    Never,
    /// Those for which a client asks.
    OnRequest,
    /// All of them, until a client ends it.
    Always,
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
    /// Its data bearer.
    pub data: DataConfig,
    /// How long the network may take to answer a USSD code.
    pub ussd_timeout: Duration,
    /// Its GNSS receiver.
    pub gnss: GnssConfig,
    /// Its ports, where they are named instead of discovered.
    pub ports: Option<PortsConfig>,
    /// Which USB composition it is to be in.
    pub composition: CompositionPolicy,
    /// How it is recovered.
    pub recovery: RecoveryConfig,
    /// What the operator knows better about the carrier.
    pub carrier: CarrierConfig,
    /// Which network it is to use.
    pub network: NetworkConfig,
    /// Where other programs read which port is which.
    pub port_map: Option<PathBuf>,
}

/// Which USB composition a modem is to be in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompositionPolicy {
    /// The one that it is in.
    #[default]
    Leave,
    /// This one; switched once after the start if it is another.
    Fixed(u16),
    /// One for calls, and another one while the modem is the way to the internet.
    Dynamic {
        /// While it is not.
        voice: u16,
        /// While it is.
        data: u16,
    },
}

/// `[modem.recovery]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryConfig {
    /// A program and its arguments that switches the modem's power off and on.
    pub power_hook: Option<Vec<String>>,
    /// How long it may take.
    pub power_hook_timeout: Duration,
}

/// `[modem.network]`: what is not given stays as the module has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkConfig {
    /// The only operator that may be used: MCC and MNC.
    pub plmn: Option<String>,
    /// The technologies that may be used; never empty.
    pub technologies: Option<Vec<AccessTechnology>>,
}

/// `[modem.carrier]`: each key wins over what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierConfig {
    /// Name of the carrier.
    pub name: Option<String>,
    /// Access point for data.
    pub data_apn: Option<String>,
    /// Access point of the IMS.
    pub ims_apn: Option<String>,
    /// User of the data access point.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// How it checks them.
    pub authentication: Authentication,
    /// Whether the data context is activated.
    pub activate: bool,
}

impl Default for CarrierConfig {
    fn default() -> Self {
        CarrierConfig {
            name: None,
            data_apn: None,
            ims_apn: None,
            user: None,
            password: None,
            authentication: Authentication::Pap,
            activate: true,
        }
    }
}

/// `[modem.gnss]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GnssConfig {
    /// Whether the receiver is switched on.
    pub enabled: bool,
    /// Ten fixes a second instead of one.
    pub fast: bool,
}

/// Which module a modem is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// SIMCom SIM7600 series.
    #[default]
    Sim7600,
}

/// `[modem.data]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataConfig {
    /// Which versions of IP.
    pub families: DataFamilies,
    /// Whether data may roam.
    pub roaming: bool,
    /// Metric of the default route through the modem.
    pub metric: u32,
    /// Largest packet, instead of what the network says.
    pub mtu: Option<u32>,
    /// The profile of the modem that a session is started with.
    pub profile: Option<u8>,
    /// The same for IPv6, where it is another one.
    pub profile_v6: Option<u8>,
    /// The access point of IPv6, where it is another one.
    pub apn_v6: Option<String>,
    /// Where IPv4 addresses come from.
    pub addresses: Addresses,
    /// Whether the default route of the machine may lead through the modem.
    pub default_route: bool,
    /// How long the QMI port is left alone after the modem appeared.
    pub delay: Duration,
    /// The QMI port is shared with other programs, by way of libqmi's proxy.
    pub qmi_proxy: bool,
    /// In a composition with neither QMI nor MBIM the second AT port is for PPP.
    pub ppp: bool,
}

/// Where the addresses of a bearer come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addresses {
    /// The session's settings; where they hold none, DHCP for IPv4 and router advertisements for IPv6.
    #[default]
    Auto,
    /// The session's settings alone.
    Settings,
    /// DHCP and router advertisements, whatever the settings say.
    Dhcp,
}

/// Versions of IP that a bearer carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataFamilies {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
    /// Both, or what the network gives of them.
    Both,
}

impl DataFamilies {
    /// One session is needed for each.
    pub fn list(self) -> &'static [Family] {
        match self {
            Self::V4 => &[Family::V4],
            Self::V6 => &[Family::V6],
            Self::Both => &[Family::V4, Family::V6],
        }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            families: DataFamilies::default(),
            roaming: false,
            // Behind Ethernet (100) and WLAN (600) of NetworkManager and dhcpcd.
            metric: 700,
            mtu: None,
            profile: None,
            profile_v6: None,
            apn_v6: None,
            addresses: Addresses::default(),
            default_route: true,
            delay: Duration::ZERO,
            qmi_proxy: false,
            ppp: false,
        }
    }
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
    /// MBIM control.
    pub mbim: Option<PortAddress>,
    /// An AT port for PPP.
    pub ppp: Option<PortAddress>,
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
            (PortRole::Mbim, self.mbim.as_ref()),
            (PortRole::Ppp, self.ppp.as_ref()),
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
    /// `proxy:PATH`: libqmi's proxy, which has the device node open for several programs. For QMI only.
    Proxy(PathBuf),
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        Self {
            power_hook: None,
            power_hook_timeout: Duration::from_secs(60),
        }
    }
}

impl PortAddress {
    /// The device node, unless it is a network address.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) | Self::Proxy(path) => Some(path),
            Self::Tcp { .. } => None,
        }
    }
}

impl fmt::Display for PortAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Proxy(path) => write!(f, "proxy:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

/// A value that never appears in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a value out of logs from here on.
    pub fn new(value: String) -> Self {
        Secret(value)
    }

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
