//! `[[modem]]`: which device it is, its SIM, its data, what is done when it hangs.

use std::path::PathBuf;
use std::time::Duration;

use cellular::profile::{PROFILES, Profile, sim7600};

use super::super::written::{At, Section};
use super::super::{ConfigError, DiscoveryConfig};
use crate::modem::settings::{
    Addresses, CarrierConfig, CompositionPolicy, DataConfig, DataFamilies, GnssConfig, ModemConfig, NetworkConfig,
    PortsConfig, RecoveryConfig,
};
use crate::port::PortAddress;
use crate::resource::AccessTechnology;
use crate::secret::Secret;
use cellular::at::command::Authentication;

/// What the only modem is called when none is configured.
const DEFAULT_MODEM: &str = "modem";

/// The family that a modem is of when nobody says which.
const DEFAULT_PROFILE: &Profile = &sim7600::PROFILE;

/// Data by QMI and calls at once.
const VOICE_COMPOSITION: u16 = 0x9001;
const DATA_COMPOSITION: u16 = 0x9001;

/// What stands before the path of a QMI port that is reached by libqmi's proxy.
const PROXY: &str = "proxy:";

pub(super) fn modems(file: &mut Section<'_>, discovery: &DiscoveryConfig) -> Result<Vec<ModemConfig>, ConfigError> {
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
            profile: DEFAULT_PROFILE,
            pin: None,
            data: DataConfig::default(),
            ussd_timeout: cellular::ussd::ANSWER_LIMIT,
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
    let name = section.string("name")?.ok_or_else(|| section.missing("name"))?;
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
        None => DEFAULT_PROFILE,
        Some(written) => written.try_map(|written| profile(&written))?.value,
    };
    let pin = pin(&mut section)?;
    let data = data(section.section("data")?, position)?;
    let ussd_timeout = section
        .integer("ussd_timeout_seconds", 1..=600)?
        .map_or(cellular::ussd::ANSWER_LIMIT, Duration::from_secs);
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
    let composition = composition(&mut section, profile)?;
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
    let ppp = section.boolean("ppp")?.unwrap_or(default.ppp);
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
        ppp,
    })
}

fn profile(written: &str) -> Result<&'static Profile, String> {
    let known = PROFILES.iter().find(|profile| profile.name == written);
    known.copied().ok_or_else(|| {
        let names: Vec<String> = PROFILES.iter().map(|profile| format!("{:?}", profile.name)).collect();
        format!("expected {}, found {written:?}", names.join(" or "))
    })
}

fn composition(section: &mut Section<'_>, profile: &Profile) -> Result<CompositionPolicy, ConfigError> {
    let written = section.string("composition")?;
    let product = |written: At<'_, String>| {
        written
            .try_map(|written| composition_product(profile, &written))
            .map(|at| at.value)
    };
    let mut one = |name| section.string(name)?.map(product).transpose();
    let voice = one("voice_composition")?;
    let data = match section.string("data_composition")? {
        Some(written) => Some(written.try_map(|written| data_composition(profile, &written))?.value),
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

/// One in which the broker can connect the bearer. With RNDIS and ECM the module itself is the host's router.
fn data_composition(profile: &Profile, written: &str) -> Result<u16, String> {
    let product = composition_product(profile, written)?;
    match profile.composition(product) {
        Some(composition) if composition.has_control_channel() => Ok(product),
        _ => Err(format!(
            "{written} has no QMI or MBIM port, by which the broker connects the bearer; 9001 has one"
        )),
    }
}

fn composition_product(profile: &Profile, written: &str) -> Result<u16, String> {
    let product = u16::from_str_radix(written, 16).ok();
    let known = product.and_then(|product| profile.composition(product));
    let offered = || {
        let with_at = profile.compositions.iter().filter(|composition| composition.has_at());
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
        password: password.map(|password| Secret::new(password.value)),
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
        (Some(pin), None) if valid(&pin.value) => Ok(Some(Secret::new(pin.value))),
        (Some(pin), None) => Err(pin.error(expected)),
        (None, Some(file)) => {
            let content = std::fs::read_to_string(&file.value)
                .map_err(|error| file.error(format!("failed to read {}: {error}", file.value)))?;
            let pin = content.trim();
            if valid(pin) {
                Ok(Some(Secret::new(pin.to_owned())))
            } else {
                Err(file.error(format!("in the file: {expected}")))
            }
        }
    }
}

fn ports(mut section: Section<'_>) -> Result<PortsConfig, ConfigError> {
    let at = section.string("at")?.ok_or_else(|| section.missing("at"))?;
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
    let mut optional = |name| section.string(name)?.map(&mut address).transpose();
    let (mbim, ppp) = (optional("mbim")?, optional("ppp")?);
    section.finish()?;
    Ok(PortsConfig {
        at,
        at_calls,
        audio,
        nmea,
        qmi,
        mbim,
        ppp,
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
