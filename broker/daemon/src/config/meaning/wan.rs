//! `[wan]`.

use std::path::PathBuf;
use std::time::Duration;

use super::super::ConfigError;
use super::super::written::{At, Section};
use crate::modem::settings::ModemConfig;
use crate::resource::WanMode;
use crate::wan::name_server::Resolver;
use crate::wan::policy::Timing;
use crate::wan::probe::Target;
use crate::wan::settings::WanConfig;

/// Public resolvers of three operators that have answered on these ports for many years.
const TARGETS: [&str; 5] = [
    "tcp:1.1.1.1:443",
    "dns:8.8.8.8",
    "dns:9.9.9.9",
    "tcp:[2606:4700:4700::1111]:443",
    "dns:2001:4860:4860::8888",
];

/// A name of the DNS itself, which is answered for ever.
const NAME: &str = "a.root-servers.net";

const MEBIBYTE: u64 = 1024 * 1024;

pub(super) fn wan(mut section: Section<'_>, modems: &[ModemConfig]) -> Result<WanConfig, ConfigError> {
    let mode = chosen(&mut section, "mode", &MODES)?.unwrap_or_default();
    let modem = modem(&mut section, mode, modems)?;
    let primary = section
        .string("primary")?
        .map(|name| name.try_map(interface_name))
        .transpose()?;
    let timing = timing(&mut section)?;
    let targets = targets(&mut section)?;
    let probe_names = section.boolean("probe_names")?.unwrap_or(true);
    let probe_name = section.string("probe_name")?.map(|name| name.value);
    let portal_check = section
        .string("portal_check")?
        .map(|url| url.try_map(|url| url.parse()))
        .transpose()?;
    let metric = section.integer("metric", 1..=90)?.unwrap_or(50);
    let abort_connections = section.boolean("abort_connections")?.unwrap_or(true);
    let resolver = chosen(&mut section, "resolver", &RESOLVERS)?.flatten();
    let resolv_conf = section.path("resolv_conf")?;
    let hook = section.strings("hook")?;
    if let Some(program) = hook.as_ref().and_then(|hook| hook.first())
        && !program.value.starts_with('/')
    {
        return Err(program.error("expected the full path of a program"));
    }
    let hook = hook.map(|hook| hook.into_iter().map(|word| word.value).collect::<Vec<_>>());
    let hook_timeout = section.integer("hook_timeout_seconds", 1..=600)?.unwrap_or(30);
    let cap = section.integer("cap_mib", 0..=100_000_000)?.unwrap_or(0);
    let cap_day = section.integer("cap_day", 1..=31)?.unwrap_or(1);
    section.finish()?;
    Ok(WanConfig {
        mode,
        modem,
        primary: primary.map(|name| name.value),
        timing,
        targets,
        probe_names,
        probe_name: probe_name.unwrap_or_else(|| NAME.to_owned()),
        portal_check: portal_check.map(|check| check.value),
        metric: u32::try_from(metric).unwrap_or(50),
        abort_connections,
        resolver,
        resolv_conf: resolv_conf.unwrap_or_else(|| PathBuf::from("/etc/resolv.conf")),
        hook: hook.filter(|hook| !hook.is_empty()),
        hook_timeout: Duration::from_secs(hook_timeout),
        cap: (cap > 0).then_some(cap * MEBIBYTE),
        cap_day: i8::try_from(cap_day).unwrap_or(1),
    })
}

const MODES: [(&str, WanMode); 4] = [
    ("off", WanMode::Off),
    ("backup", WanMode::Backup),
    ("standby", WanMode::Standby),
    ("always_on", WanMode::AlwaysOn),
];

const RESOLVERS: [(&str, Option<Resolver>); 5] = [
    ("auto", None),
    ("resolved", Some(Resolver::Resolved)),
    ("resolvconf", Some(Resolver::Resolvconf)),
    ("file", Some(Resolver::File)),
    ("leave", Some(Resolver::Leave)),
];

const PROFILES: [(&str, Timing); 3] = [
    ("adaptive", Timing::ADAPTIVE),
    ("fast", Timing::FAST),
    ("guide", Timing::GUIDE),
];

fn chosen<T: Clone>(
    section: &mut Section<'_>,
    key: &'static str,
    known: &[(&'static str, T)],
) -> Result<Option<T>, ConfigError> {
    let Some(written) = section.string(key)? else {
        return Ok(None);
    };
    let found = known.iter().find(|(word, _)| *word == written.value);
    match found {
        Some((_, meant)) => Ok(Some(meant.clone())),
        None => {
            let words: Vec<String> = known.iter().map(|(word, _)| format!("{word:?}")).collect();
            Err(written.error(format!("expected {}, found {:?}", words.join(" or "), written.value)))
        }
    }
}

fn modem(section: &mut Section<'_>, mode: WanMode, modems: &[ModemConfig]) -> Result<Option<String>, ConfigError> {
    let modem = section.string("modem")?;
    match modem {
        Some(name) if !modems.iter().any(|modem| modem.name == name.value) => {
            let known: Vec<&str> = modems.iter().map(|modem| modem.name.as_str()).collect();
            Err(name.error(format!("expected the name of a [[modem]]: {}", known.join(", "))))
        }
        Some(name) => Ok(Some(name.value)),
        None if modems.len() > 1 && mode != WanMode::Off => {
            Err(section.error("expected modem, because there are several: which of them is the backup?"))
        }
        None => Ok(None),
    }
}

fn interface_name(written: String) -> Result<String, &'static str> {
    let fits = (1..=15).contains(&written.len())
        && written
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
    if fits {
        Ok(written)
    } else {
        Err("expected the name of a network interface, of 1 to 15 characters")
    }
}

fn timing(section: &mut Section<'_>) -> Result<Timing, ConfigError> {
    let profile = chosen(section, "profile", &PROFILES)?.unwrap_or(Timing::ADAPTIVE);
    let interval = section.integer("interval_seconds", 1..=3600)?.map(Duration::from_secs);
    let recovery_interval = section.integer("recovery_interval_seconds", 1..=3600)?;
    let hold = section.integer("hold_seconds", 0..=86_400)?.map(Duration::from_secs);
    let hold = hold.unwrap_or(profile.hold);
    let hold_max = section
        .integer("hold_max_seconds", 0..=86_400)?
        .map(Duration::from_secs);
    if hold_max.is_some_and(|hold_max| hold_max < hold) {
        let problem = format!(
            "hold_max_seconds: expected at least hold_seconds, which is {}",
            hold.as_secs()
        );
        return Err(section.error(problem));
    }
    Ok(Timing {
        interval: interval.unwrap_or(profile.interval),
        recovery_interval: recovery_interval.map_or(profile.recovery_interval, Duration::from_secs),
        hold,
        hold_max: hold_max.unwrap_or(profile.hold_max.max(hold)),
        ..profile
    })
}

fn targets(section: &mut Section<'_>) -> Result<Vec<Target>, ConfigError> {
    let written: Vec<At<'_, String>> = match section.strings("targets")? {
        Some(targets) if targets.len() < 2 => {
            let problem = "targets: expected at least two, because a single one may fail while everything else works";
            return Err(section.error(problem));
        }
        Some(targets) => targets,
        None => return Ok(TARGETS.iter().filter_map(|target| target.parse().ok()).collect()),
    };
    let read = written
        .into_iter()
        .map(|target| target.try_map(|target| target.parse::<Target>()));
    read.map(|target| target.map(|target| target.value)).collect()
}
