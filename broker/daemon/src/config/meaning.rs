//! From what is written to what it means: defaults, ranges, and what must fit together.

mod wan;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use modem::pcm::SampleRate;
use modem::profile::sim7600;

use super::written::{At, Section, Source};
use super::{
    Addresses, Authentication, BrokerConfig, CarrierConfig, CarriersConfig, CompositionPolicy, Config, ConfigError,
    DataConfig, DataFamilies, DiagnosticsConfig, DiscoveryConfig, GnssConfig, ListenAddress, MetricsConfig,
    ModemConfig, NetworkConfig, OnAbandoned, PortAddress, PortsConfig, Profile, RecordedCalls, RecordingConfig,
    RecoveryConfig, Secret, TlsConfig, TokenConfig, VoiceConfig,
};
use crate::resource::AccessTechnology;
use crate::store::{Limits, Retention};

const DEFAULT_SOCKET: &str = "/run/modem-broker/broker.sock";
const DEFAULT_STATE_DIRECTORY: &str = "/var/lib/modem-broker";
const DEFAULT_LOCK_DIRECTORY: &str = "/run/lock";
const DEFAULT_PROVIDER_INFO: &str = "/usr/share/mobile-broadband-provider-info/serviceproviders.xml";
/// What the only modem is called when none is configured.
const DEFAULT_MODEM: &str = "modem";

/// Ten years: beyond it a value is a mistake.
const DAYS: RangeInclusive<u64> = 1..=3650;
const COUNT: RangeInclusive<u64> = 100..=100_000_000;

pub(super) fn config(source: Source<'_>) -> Result<Config, ConfigError> {
    let mut file = Section::parse(source)?;
    let broker = broker(file.section("broker")?)?;
    let store = retention(file.section("store")?)?;
    let limits = sms(file.section("sms")?)?;
    let diagnostics = diagnostics(file.section("diagnostics")?)?;
    let metrics = metrics(file.section("metrics")?)?;
    let discovery = discovery(file.section("discovery")?)?;
    let voice = voice(file.section("voice")?)?;
    let carriers = carriers(file.section("carriers")?)?;
    let modems = modems(&mut file, &discovery)?;
    let wan = wan::wan(file.section("wan")?, &modems)?;
    file.finish()?;
    Ok(Config {
        broker,
        store,
        limits,
        diagnostics,
        metrics,
        discovery,
        voice,
        carriers,
        wan,
        modems,
    })
}

fn broker(mut section: Section<'_>) -> Result<BrokerConfig, ConfigError> {
    let listen = section.strings("listen")?;
    let state_directory = section
        .path("state_directory")?
        .unwrap_or_else(|| DEFAULT_STATE_DIRECTORY.into());
    let lock_directory = section
        .path("lock_directory")?
        .unwrap_or_else(|| DEFAULT_LOCK_DIRECTORY.into());
    let socket_mode = match section.string("socket_mode")? {
        Some(mode) => mode.try_map(|mode| socket_mode(&mode))?.value,
        None => 0o660,
    };
    let socket_group = section.string("socket_group")?.map(|group| group.value);
    let tls = section.optional_section("tls")?.map(tls).transpose()?;
    let tokens = tokens(section.sections("tokens")?)?;
    let authenticated = !tokens.is_empty() || tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let listen = match listen {
        None => vec![ListenAddress::Unix(DEFAULT_SOCKET.into())],
        Some(addresses) if addresses.is_empty() => return Err(section.error("listen: expected at least one address")),
        Some(addresses) => listeners(addresses, tls.is_some(), authenticated)?,
    };
    section.finish()?;
    Ok(BrokerConfig {
        listen,
        state_directory,
        lock_directory,
        socket_mode,
        socket_group,
        tls,
        tokens,
    })
}

fn socket_mode(written: &str) -> Result<u32, &'static str> {
    let problem = "expected three or four octal digits such as \"0660\"";
    let mode = u32::from_str_radix(written, 8).map_err(|_| problem)?;
    if !(3..=4).contains(&written.len()) || mode > 0o777 {
        return Err(problem);
    }
    if mode & 0o600 != 0o600 {
        return Err("the owner has to be able to read and write");
    }
    Ok(mode)
}

fn listeners(
    addresses: Vec<At<'_, String>>,
    encrypted: bool,
    authenticated: bool,
) -> Result<Vec<ListenAddress>, ConfigError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = address.clone().try_map(|address| listen_address(&address))?;
        if listeners.contains(&listener.value) {
            return Err(address.error("this address is listed twice"));
        }
        if let ListenAddress::Tcp(tcp) = &listener.value
            && !tcp.ip().is_loopback()
            && !(encrypted && authenticated)
        {
            let missing = match (encrypted, authenticated) {
                (false, true) => "set [broker.tls] certificate and key",
                (true, false) => "set [[broker.tokens]] or broker.tls.client_ca",
                _ => "set [broker.tls] certificate and key, and [[broker.tokens]] or broker.tls.client_ca",
            };
            return Err(address.error(format!(
                "{tcp} can be reached from the network, which needs TLS and authentication: {missing}; or listen on \
                 127.0.0.1"
            )));
        }
        listeners.push(listener.value);
    }
    Ok(listeners)
}

fn listen_address(written: &str) -> Result<ListenAddress, &'static str> {
    let expected = "expected \"unix:/PATH\" or \"tcp:ADDRESS:PORT\", such as \"tcp:127.0.0.1:7700\"";
    match written.split_once(':') {
        Some(("unix", path)) if path.starts_with('/') => Ok(ListenAddress::Unix(path.into())),
        Some(("tcp", address)) => address
            .parse::<SocketAddr>()
            .map(ListenAddress::Tcp)
            .map_err(|_| expected),
        _ => Err(expected),
    }
}

fn tls(mut section: Section<'_>) -> Result<TlsConfig, ConfigError> {
    let certificate = required_path(&mut section, "certificate")?;
    let key = required_path(&mut section, "key")?;
    let client_ca = section.path("client_ca")?;
    section.finish()?;
    Ok(TlsConfig {
        certificate,
        key,
        client_ca,
    })
}

fn required_path(section: &mut Section<'_>, name: &'static str) -> Result<PathBuf, ConfigError> {
    section
        .path(name)?
        .ok_or_else(|| section.error(format!("{name} is missing")))
}

fn tokens(sections: Vec<Section<'_>>) -> Result<Vec<TokenConfig>, ConfigError> {
    let mut names = HashSet::new();
    let mut tokens = Vec::new();
    for mut section in sections {
        let name = section
            .string("name")?
            .ok_or_else(|| section.error("name is missing"))?;
        if !names.insert(name.value.clone()) {
            return Err(name.error("this name is used twice"));
        }
        let sha256 = section
            .string("sha256")?
            .ok_or_else(|| section.error("sha256 is missing"))?;
        let sha256 = sha256.try_map(|written| {
            sha256_digits(&written).ok_or("expected 64 hexadecimal digits: printf %s TOKEN | sha256sum")
        })?;
        section.finish()?;
        tokens.push(TokenConfig {
            name: name.value,
            sha256: sha256.value,
        });
    }
    Ok(tokens)
}

fn sha256_digits(written: &str) -> Option<[u8; 32]> {
    if written.len() != 64 || !written.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(written.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(hash)
}

fn retention(mut section: Section<'_>) -> Result<Retention, ConfigError> {
    let mut days = |name, default| {
        let days = section.integer(name, DAYS)?.unwrap_or(default);
        Ok(SignedDuration::from_hours(days as i64 * 24))
    };
    let (event_age, message_age, call_age) = (
        days("keep_events_days", 30)?,
        days("keep_messages_days", 365)?,
        days("keep_calls_days", 365)?,
    );
    let mut count = |name, default| Ok(section.integer(name, COUNT)?.unwrap_or(default));
    let retention = Retention {
        event_age,
        event_count: count("keep_events_count", 500_000)?,
        message_age,
        message_count: count("keep_messages_count", 100_000)?,
        call_age,
        call_count: count("keep_calls_count", 100_000)?,
    };
    section.finish()?;
    Ok(retention)
}

fn sms(mut section: Section<'_>) -> Result<Limits, ConfigError> {
    let limits = limits(section.section("limits")?)?;
    section.finish()?;
    Ok(limits)
}

fn limits(mut section: Section<'_>) -> Result<Limits, ConfigError> {
    // Zero is no limit, as with the longest call.
    let mut parts = |name| {
        let parts = section.integer(name, 0..=1_000_000)?.unwrap_or(0);
        Ok(u32::try_from(parts).ok().filter(|parts| *parts > 0))
    };
    let limits = Limits {
        destination_per_hour: parts("destination_per_hour")?,
        destination_per_day: parts("destination_per_day")?,
        client_per_hour: parts("client_per_hour")?,
        client_per_day: parts("client_per_day")?,
        home: None,
    };
    section.finish()?;
    Ok(limits)
}

fn diagnostics(mut section: Section<'_>) -> Result<DiagnosticsConfig, ConfigError> {
    let raw_at = section.boolean("raw_at")?.unwrap_or(false);
    let raw_qmi = section.boolean("raw_qmi")?.unwrap_or(false);
    let trace_kib = section.integer("trace_kib", 0..=1024)?.unwrap_or(64);
    section.finish()?;
    Ok(DiagnosticsConfig {
        raw_at,
        raw_qmi,
        // The range fits every address space.
        trace_bytes: usize::try_from(trace_kib * 1024).unwrap_or(0),
    })
}

fn metrics(mut section: Section<'_>) -> Result<MetricsConfig, ConfigError> {
    let listen = section.string("listen")?;
    let listen = listen.map(|written| {
        written.try_map(|written| match written.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(address),
            // It has neither TLS nor tokens, and who calls whom when is nobody's business.
            Ok(address) => Err(format!(
                "{address} can be reached from the network, and metrics are served without TLS and authentication: \
                 listen on 127.0.0.1, and let a proxy or an agent on this machine pass them on"
            )),
            Err(_) => Err("expected \"ADDRESS:PORT\", such as \"127.0.0.1:9476\"".to_owned()),
        })
    });
    let listen = listen.transpose()?.map(|listen| listen.value);
    section.finish()?;
    Ok(MetricsConfig { listen })
}

fn discovery(mut section: Section<'_>) -> Result<DiscoveryConfig, ConfigError> {
    let enabled = section.boolean("enabled")?.unwrap_or(true);
    let sysfs = section.path("sysfs")?.unwrap_or_else(|| "/sys".into());
    let dev = section.path("dev")?.unwrap_or_else(|| "/dev".into());
    section.finish()?;
    Ok(DiscoveryConfig { enabled, sysfs, dev })
}

fn voice(mut section: Section<'_>) -> Result<VoiceConfig, ConfigError> {
    let reattach_grace = section.integer("reattach_grace_ms", 0..=600_000)?.unwrap_or(3000);
    let on_abandoned = match section.string("on_abandoned")? {
        None => OnAbandoned::HangUp,
        Some(written) => {
            let meant = written.try_map(|written| match written.as_str() {
                "hang_up" => Ok(OnAbandoned::HangUp),
                "keep" => Ok(OnAbandoned::Keep),
                other => Err(format!("expected \"hang_up\" or \"keep\", found {other:?}")),
            })?;
            meant.value
        }
    };
    let uplink_queue_max = section.integer("uplink_queue_max_ms", 200..=600_000)?.unwrap_or(60_000);
    let max_call = section.integer("max_call_seconds", 0..=86_400)?.unwrap_or(7200);
    let emergency_calls = section.boolean("emergency_calls")?.unwrap_or(false);
    let detect_dtmf = section.boolean("detect_dtmf")?.unwrap_or(true);
    let reset_degraded_audio = section.boolean("reset_degraded_audio")?.unwrap_or(true);
    let sample_rate = if section.boolean("wideband")?.unwrap_or(false) {
        SampleRate::Hz16000
    } else {
        SampleRate::Hz8000
    };
    let recording = recording(section.section("recording")?)?;
    section.finish()?;
    Ok(VoiceConfig {
        reattach_grace: Duration::from_millis(reattach_grace),
        on_abandoned,
        uplink_queue_max: Duration::from_millis(uplink_queue_max),
        max_call: Some(Duration::from_secs(max_call)).filter(|limit| !limit.is_zero()),
        emergency_calls,
        detect_dtmf,
        reset_degraded_audio,
        sample_rate,
        recording,
    })
}

fn recording(mut section: Section<'_>) -> Result<RecordingConfig, ConfigError> {
    let calls = match section.string("calls")? {
        None => RecordedCalls::Never,
        Some(written) => {
            let meant = written.try_map(|written| match written.as_str() {
                "never" => Ok(RecordedCalls::Never),
                "on_request" => Ok(RecordedCalls::OnRequest),
                "always" => Ok(RecordedCalls::Always),
                other => Err(format!(
                    "expected \"never\", \"on_request\" or \"always\", found {other:?}"
                )),
            })?;
            meant.value
        }
    };
    let directory = section.path("directory")?;
    let total_max_mib = section.integer("total_max_mib", 1..=1_000_000)?.unwrap_or(1024);
    section.finish()?;
    Ok(RecordingConfig {
        calls,
        directory,
        total_max: total_max_mib * 1024 * 1024,
    })
}

fn carriers(mut section: Section<'_>) -> Result<CarriersConfig, ConfigError> {
    let provider_info = section
        .path("provider_info")?
        .unwrap_or_else(|| DEFAULT_PROVIDER_INFO.into());
    section.finish()?;
    Ok(CarriersConfig { provider_info })
}

fn modems(file: &mut Section<'_>, discovery: &DiscoveryConfig) -> Result<Vec<ModemConfig>, ConfigError> {
    let sections = file.sections("modem")?;
    let several = sections.len() > 1;
    let mut modems: Vec<ModemConfig> = Vec::new();
    for section in sections {
        let whole = section.at();
        let modem = modem(section, modems.len())?;
        if modems.iter().any(|other| other.name == modem.name) {
            return Err(whole.error(format!("the name {:?} is used twice", modem.name)));
        }
        if modem.ports.is_none() {
            if !discovery.enabled {
                return Err(whole.error("expected [modem.ports], because discovery.enabled is false"));
            }
            if several && modem.imei.is_none() && modem.usb_path.is_none() {
                return Err(whole.error(
                    "expected imei, usb_path or [modem.ports]: with several modems each has to say which device it is",
                ));
            }
        }
        modems.push(modem);
    }
    if modems.is_empty() {
        if !discovery.enabled {
            return Err(file.error("expected a [[modem]] with [modem.ports], because discovery.enabled is false"));
        }
        modems.push(ModemConfig {
            name: DEFAULT_MODEM.to_owned(),
            imei: None,
            usb_path: None,
            profile: Profile::Sim7600,
            pin: None,
            data: DataConfig::default(),
            ussd_timeout: ::modem::ussd::ANSWER_LIMIT,
            gnss: GnssConfig::default(),
            ports: None,
            composition: CompositionPolicy::default(),
            recovery: RecoveryConfig::default(),
            carrier: CarrierConfig::default(),
            network: NetworkConfig::default(),
            port_map: None,
        });
    }
    Ok(modems)
}

fn modem(mut section: Section<'_>, position: usize) -> Result<ModemConfig, ConfigError> {
    let name = section
        .string("name")?
        .ok_or_else(|| section.error("name is missing"))?;
    let name = name.try_map(|name| {
        let fits = (1..=32).contains(&name.len())
            && name
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if fits {
            Ok(name)
        } else {
            Err("expected 1 to 32 characters of a-z, 0-9, '_' and '-'")
        }
    })?;
    let imei = section
        .string("imei")?
        .map(|imei| imei.try_map(imei_digits))
        .transpose()?;
    let usb_path = section.string("usb_path")?;
    if let (Some(imei), Some(_)) = (&imei, &usb_path) {
        return Err(imei.error("expected either imei or usb_path, not both"));
    }
    let profile = match section.string("profile")? {
        None => Profile::default(),
        Some(written) if written.value == "sim7600" => Profile::Sim7600,
        Some(written) => return Err(written.error(format!("expected \"sim7600\", found {:?}", written.value))),
    };
    let pin = pin(&mut section)?;
    let data = data(section.section("data")?, position)?;
    let ussd_timeout = section
        .integer("ussd_timeout_seconds", 1..=600)?
        .map_or(::modem::ussd::ANSWER_LIMIT, Duration::from_secs);
    let gnss = gnss(section.section("gnss")?)?;
    let ports = section.optional_section("ports")?.map(ports).transpose()?;
    let carrier = carrier(section.section("carrier")?)?;
    let network = network(section.section("network")?)?;
    let port_map = section
        .string("port_map")?
        .map(|path| {
            path.try_map(|path| {
                let path = PathBuf::from(path);
                if path.is_absolute() && path.file_name().is_some() {
                    Ok(path)
                } else {
                    Err("expected the absolute path of a file")
                }
            })
        })
        .transpose()?;
    if let (Some(usb_path), Some(_)) = (&usb_path, &ports) {
        return Err(usb_path.error("expected either usb_path or [modem.ports], not both"));
    }
    let composition = composition(&mut section)?;
    let recovery = recovery(section.section("recovery")?)?;
    section.finish()?;
    Ok(ModemConfig {
        composition,
        recovery,
        name: name.value,
        imei: imei.map(|imei| imei.value),
        usb_path: usb_path.map(|path| path.value),
        profile,
        pin,
        data,
        ussd_timeout,
        gnss,
        ports,
        carrier,
        network,
        port_map: port_map.map(|path| path.value),
    })
}

fn data(mut section: Section<'_>, position: usize) -> Result<DataConfig, ConfigError> {
    let default = DataConfig::default();
    let families = match section.string("ip")? {
        None => default.families,
        Some(written) => {
            let meant = written.try_map(|written| match written.as_str() {
                "ipv4" => Ok(DataFamilies::V4),
                "ipv6" => Ok(DataFamilies::V6),
                "ipv4v6" => Ok(DataFamilies::Both),
                other => Err(format!("expected \"ipv4\", \"ipv6\" or \"ipv4v6\", found {other:?}")),
            })?;
            meant.value
        }
    };
    let roaming = section.boolean("roaming")?.unwrap_or(default.roaming);
    let metric = section.integer("metric", 1..=u64::from(u32::MAX))?;
    // 8200 3.1 for IPv6, and what a SIM7600 takes at most.
    let mtu = section.integer("mtu", 1280..=1500)?;
    let mut profile = |key| -> Result<Option<u8>, ConfigError> {
        let number = section.integer(key, 1..=24)?;
        Ok(number.and_then(|number| u8::try_from(number).ok()))
    };
    let (profile, profile_v6) = (profile("profile")?, profile("profile_v6")?);
    let apn_v6 = section.string("apn_v6")?;
    let apn_v6 = apn_v6.map(|apn| apn.try_map(access_point_name)).transpose()?;
    let addresses = match section.string("addresses")? {
        None => default.addresses,
        Some(written) => {
            let meant = written.try_map(|written| match written.as_str() {
                "auto" => Ok(Addresses::Auto),
                "settings" => Ok(Addresses::Settings),
                "dhcp" => Ok(Addresses::Dhcp),
                other => Err(format!("expected \"auto\", \"settings\" or \"dhcp\", found {other:?}")),
            })?;
            meant.value
        }
    };
    let default_route = section.boolean("default_route")?.unwrap_or(default.default_route);
    let delay = section.integer("delay_seconds", 0..=300)?;
    let qmi_proxy = section.boolean("qmi_proxy")?.unwrap_or(default.qmi_proxy);
    section.finish()?;
    Ok(DataConfig {
        families,
        roaming,
        mtu: mtu.and_then(|mtu| u32::try_from(mtu).ok()),
        profile,
        profile_v6,
        apn_v6: apn_v6.map(|apn| apn.value),
        addresses,
        default_route,
        delay: delay.map_or(default.delay, Duration::from_secs),
        metric: metric
            .and_then(|metric| u32::try_from(metric).ok())
            // With the same metric nobody would know which of several modems is the way.
            .unwrap_or_else(|| {
                default
                    .metric
                    .saturating_add(u32::try_from(position).unwrap_or(u32::MAX))
            }),
        qmi_proxy,
    })
}

fn composition(section: &mut Section<'_>) -> Result<CompositionPolicy, ConfigError> {
    let written = section.string("composition")?;
    let product = |written: At<'_, String>| {
        written
            .try_map(|written| composition_product(&written))
            .map(|at| at.value)
    };
    let mut one = |name| section.string(name)?.map(product).transpose();
    let voice = one("voice_composition")?;
    let data = match section.string("data_composition")? {
        Some(written) => Some(written.try_map(|written| data_composition(&written))?.value),
        None => None,
    };
    match written {
        Some(written) if written.value == "dynamic" => Ok(CompositionPolicy::Dynamic {
            voice: voice.unwrap_or(VOICE_COMPOSITION),
            data: data.unwrap_or(DATA_COMPOSITION),
        }),
        Some(written) if written.value == "leave" => Ok(CompositionPolicy::Leave),
        Some(written) => product(written).map(CompositionPolicy::Fixed),
        None => Ok(CompositionPolicy::Leave),
    }
}

/// QMI data and calls at once.
const VOICE_COMPOSITION: u16 = 0x9001;
const DATA_COMPOSITION: u16 = 0x9001;

/// One in which the broker can connect the bearer. With RNDIS and ECM the module itself is the host's router.
fn data_composition(written: &str) -> Result<u16, String> {
    let product = composition_product(written)?;
    match sim7600::composition(product) {
        Some(composition) if composition.has_qmi() => Ok(product),
        _ => Err(format!(
            "{written} has no QMI port, by which the broker connects the bearer; 9001 has one"
        )),
    }
}

fn composition_product(written: &str) -> Result<u16, String> {
    let known = u16::from_str_radix(written, 16).ok().and_then(sim7600::composition);
    let offered = || {
        let with_at = sim7600::COMPOSITIONS.iter().filter(|composition| composition.has_at());
        let products: Vec<String> = with_at
            .map(|composition| format!("{:04X}", composition.product))
            .collect();
        format!("expected \"leave\", \"dynamic\" or one of {}", products.join(", "))
    };
    match known {
        Some(composition) if composition.has_at() => Ok(composition.product),
        Some(_) => Err(format!("{written} has no AT port; {}", offered())),
        None => Err(offered()),
    }
}

fn recovery(mut section: Section<'_>) -> Result<RecoveryConfig, ConfigError> {
    let hook = section.strings("power_hook")?;
    if let Some(program) = hook.as_ref().and_then(|hook| hook.first())
        && !program.value.starts_with('/')
    {
        return Err(program.error("expected the full path of a program"));
    }
    let power_hook = hook.map(|hook| hook.into_iter().map(|word| word.value).collect::<Vec<_>>());
    let limit = section
        .integer("power_hook_timeout_seconds", 1..=600)?
        .map(Duration::from_secs);
    section.finish()?;
    Ok(RecoveryConfig {
        power_hook: power_hook.filter(|hook| !hook.is_empty()),
        power_hook_timeout: limit.unwrap_or(RecoveryConfig::default().power_hook_timeout),
    })
}

fn carrier(mut section: Section<'_>) -> Result<CarrierConfig, ConfigError> {
    let name = section.string("name")?.map(|name| name.value);
    let mut apn = |key| {
        let written = section.string(key)?;
        written.map(|apn| apn.try_map(access_point_name)).transpose()
    };
    let (data_apn, ims_apn) = (apn("data_apn")?, apn("ims_apn")?);
    let mut credential = |key| {
        let written = section.string(key)?;
        written.map(|text| text.try_map(credential_text)).transpose()
    };
    let (user, password) = (credential("user")?, credential("password")?);
    if let (None, Some(password)) = (&user, &password) {
        return Err(password.error("expected a user as well"));
    }
    let authentication = match section.string("authentication")? {
        None => Authentication::Pap,
        Some(written) => {
            let meant = written.try_map(|written| match written.as_str() {
                "pap" => Ok(Authentication::Pap),
                "chap" => Ok(Authentication::Chap),
                "both" => Ok(Authentication::Both),
                other => Err(format!("expected \"pap\", \"chap\" or \"both\", found {other:?}")),
            })?;
            meant.value
        }
    };
    let activate = section.boolean("activate")?.unwrap_or(true);
    section.finish()?;
    Ok(CarrierConfig {
        name,
        data_apn: data_apn.map(|apn| apn.value),
        ims_apn: ims_apn.map(|apn| apn.value),
        user: user.map(|user| user.value),
        password: password.map(|password| Secret(password.value)),
        authentication,
        activate,
    })
}

fn network(mut section: Section<'_>) -> Result<NetworkConfig, ConfigError> {
    let plmn = section.string("plmn")?;
    let plmn = plmn.map(|plmn| plmn.try_map(plmn_digits)).transpose()?;
    let Some(written) = section.strings("modes")? else {
        section.finish()?;
        let plmn = plmn.map(|plmn| plmn.value);
        return Ok(NetworkConfig {
            plmn,
            technologies: None,
        });
    };
    if written.is_empty() {
        return Err(section.error("modes: expected at least one of \"lte\", \"umts\" and \"gsm\""));
    }
    let mut technologies = Vec::new();
    for mode in written {
        let technology = mode.clone().try_map(|mode| match mode.as_str() {
            "lte" => Ok(AccessTechnology::Lte),
            "umts" => Ok(AccessTechnology::Umts),
            "gsm" => Ok(AccessTechnology::Gsm),
            other => Err(format!("expected \"lte\", \"umts\" or \"gsm\", found {other:?}")),
        })?;
        if technologies.contains(&technology.value) {
            return Err(mode.error("this one is there already"));
        }
        technologies.push(technology.value);
    }
    section.finish()?;
    Ok(NetworkConfig {
        plmn: plmn.map(|plmn| plmn.value),
        technologies: Some(technologies),
    })
}

fn plmn_digits(written: String) -> Result<String, &'static str> {
    let fits = matches!(written.len(), 5 | 6) && written.bytes().all(|byte| byte.is_ascii_digit());
    if fits {
        Ok(written)
    } else {
        Err("expected the 5 or 6 digits of MCC and MNC")
    }
}

fn access_point_name(written: String) -> Result<String, &'static str> {
    let fits = written.len() <= 100
        && written
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if fits {
        Ok(written)
    } else {
        Err("expected at most 100 characters of A-Z, a-z, 0-9, '-', '.' and '_'")
    }
}

fn credential_text(written: String) -> Result<String, &'static str> {
    let fits = written.len() <= 127
        && written
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && !b"\"\\;".contains(&byte));
    if fits {
        Ok(written)
    } else {
        Err("expected at most 127 printable ASCII characters without quote, backslash and semicolon")
    }
}

fn gnss(mut section: Section<'_>) -> Result<GnssConfig, ConfigError> {
    let enabled = section.boolean("enabled")?.unwrap_or(false);
    let rate = match section.integer("rate_hz", 1..=10)? {
        None | Some(1) => 1,
        Some(10) => 10,
        Some(other) => return Err(section.error(format!("rate_hz: expected 1 or 10, found {other}"))),
    };
    section.finish()?;
    Ok(GnssConfig {
        enabled,
        fast: rate == 10,
    })
}

fn imei_digits(written: String) -> Result<String, &'static str> {
    let fits = written.len() == 15 && written.bytes().all(|byte| byte.is_ascii_digit());
    if fits { Ok(written) } else { Err("expected 15 digits") }
}

fn pin(section: &mut Section<'_>) -> Result<Option<Secret>, ConfigError> {
    let expected = "expected 4 to 8 digits";
    let valid = |pin: &str| (4..=8).contains(&pin.len()) && pin.bytes().all(|byte| byte.is_ascii_digit());
    let written = section.string("pin")?;
    let file = section.string("pin_file")?;
    match (written, file) {
        (None, None) => Ok(None),
        (Some(pin), Some(_)) => Err(pin.error("expected either pin or pin_file, not both")),
        (Some(pin), None) if valid(&pin.value) => Ok(Some(Secret(pin.value))),
        (Some(pin), None) => Err(pin.error(expected)),
        (None, Some(file)) => {
            let content = std::fs::read_to_string(&file.value)
                .map_err(|error| file.error(format!("failed to read {}: {error}", file.value)))?;
            let pin = content.trim();
            if valid(pin) {
                Ok(Some(Secret(pin.to_owned())))
            } else {
                Err(file.error(format!("in the file: {expected}")))
            }
        }
    }
}

/// What stands before the path of a QMI port that is reached by libqmi's proxy.
const PROXY: &str = "proxy:";

fn ports(mut section: Section<'_>) -> Result<PortsConfig, ConfigError> {
    let at = section
        .string("at")?
        .ok_or_else(|| section.error("at is missing: without it nothing works"))?;
    let mut used: Vec<PortAddress> = Vec::new();
    let mut address = |written: At<'_, String>| {
        let parsed = written.clone().try_map(|written| port_address(&written))?.value;
        if used.contains(&parsed) {
            return Err(written.error("this port already has another role"));
        }
        used.push(parsed.clone());
        Ok(parsed)
    };
    let at = address(at)?;
    let mut optional = |name| section.string(name)?.map(&mut address).transpose();
    let (at_calls, audio) = (optional("at_calls")?, optional("audio")?);
    let nmea = optional("nmea")?;
    let qmi = match section.string("qmi")? {
        None => None,
        Some(written) => match written.value.strip_prefix(PROXY).map(PathBuf::from) {
            Some(path) if path.is_absolute() => Some(PortAddress::Proxy(path)),
            Some(_) => return Err(written.error("expected a path after proxy:, such as \"proxy:/dev/cdc-wdm0\"")),
            None => Some(address(written)?),
        },
    };
    section.finish()?;
    Ok(PortsConfig {
        at,
        at_calls,
        audio,
        nmea,
        qmi,
    })
}

fn port_address(written: &str) -> Result<PortAddress, &'static str> {
    let expected = "expected a path such as \"/dev/ttyUSB2\", or \"tcp:HOST:PORT\"";
    if let Some(network) = written.strip_prefix("tcp:") {
        let (host, port) = network.rsplit_once(':').ok_or(expected)?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(expected)?;
        if host.is_empty() {
            return Err(expected);
        }
        return Ok(PortAddress::Tcp {
            host: host.to_owned(),
            port,
        });
    }
    if written.starts_with('/') {
        Ok(PortAddress::Path(written.into()))
    } else {
        Err(expected)
    }
}
