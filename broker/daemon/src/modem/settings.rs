//! What a modem is told: which device it is, and how its calls, its data and its recovery are treated.

use std::path::PathBuf;
use std::time::Duration;

use cellular::at::command::Authentication;
use cellular::pcm::SampleRate;
use cellular::profile::Profile;
use cellular::qmi::wds::Family;

use crate::device::Wanted;
use crate::port::PortAddress;
use crate::resource::{AccessTechnology, PortRole};
use crate::secret::Secret;

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
    /// Which family of modules it is of.
    pub profile: &'static Profile,
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

impl ModemConfig {
    /// Which device it is to have.
    pub fn device(&self) -> Wanted<'_> {
        Wanted {
            modem: &self.name,
            profile: self.profile,
            imei: self.imei.as_deref(),
            usb_path: self.usb_path.as_deref(),
        }
    }
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

impl Default for RecoveryConfig {
    fn default() -> Self {
        Self {
            power_hook: None,
            power_hook_timeout: Duration::from_secs(60),
        }
    }
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
