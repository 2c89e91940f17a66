//! From what is written to what it means: defaults, ranges, and what must fit together.

mod broker;
mod modem;
mod wan;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use cellular::pcm::SampleRate;
use jiff::SignedDuration;

use super::written::{Section, Source};
use super::{CarriersConfig, Config, ConfigError, DiagnosticsConfig, DiscoveryConfig, MetricsConfig};
use crate::modem::settings::{OnAbandoned, RecordedCalls, RecordingConfig, VoiceConfig};
use crate::store::{Limits, Retention};

const DEFAULT_PROVIDER_INFO: &str = "/usr/share/mobile-broadband-provider-info/serviceproviders.xml";

/// Ten years: beyond it a value is a mistake.
const DAYS: RangeInclusive<u64> = 1..=3650;
const COUNT: RangeInclusive<u64> = 100..=100_000_000;

pub(super) fn config(source: Source<'_>) -> Result<Config, ConfigError> {
    let mut file = Section::parse(source)?;
    let broker = broker::broker(file.section("broker")?)?;
    let store = retention(file.section("store")?)?;
    let limits = sms(file.section("sms")?)?;
    let diagnostics = diagnostics(file.section("diagnostics")?)?;
    let metrics = metrics(file.section("metrics")?)?;
    let discovery = discovery(file.section("discovery")?)?;
    let voice = voice(file.section("voice")?)?;
    let carriers = carriers(file.section("carriers")?)?;
    let modems = modem::modems(&mut file, &discovery)?;
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
    let mut parts = |name, unless_written| {
        let parts = section.integer(name, 0..=1_000_000)?.unwrap_or(unless_written);
        Ok(u32::try_from(parts).ok().filter(|parts| *parts > 0))
    };
    let limits = Limits {
        destination_per_hour: parts("destination_per_hour", 1000)?,
        destination_per_day: parts("destination_per_day", 2000)?,
        client_per_hour: parts("client_per_hour", 3000)?,
        client_per_day: parts("client_per_day", 5000)?,
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
