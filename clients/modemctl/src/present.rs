//! The contract's messages in words.

use api::v1::event::Change;
use api::v1::{
    Call, CallDirection, CallEndCause, CallState, Carrier, CarrierSource, Degradation, Event, Message,
    MessageDirection, MessageState, Modem, ModemHealth, ModemStage, NetworkStatus, RegistrationState, Signal, Sim,
    SimState,
};
use client::label;
use jiff::Zoned;
use jiff::tz::TimeZone;
use prost_types::Timestamp;

use crate::console::{Console, Tone};

/// A value of an enum of the contract, in words.
macro_rules! word {
    ($value:expr, $prefix:literal) => {
        client::label($value.as_str_name(), $prefix).replace('-', " ")
    };
}
pub(crate) use word;

/// A time that was told. The first second of 1970 is how a time that nobody knows looks.
fn known(time: Option<Timestamp>, zone: &TimeZone) -> Option<Zoned> {
    let time = time.filter(|time| time.seconds > 0)?;
    let time = jiff::Timestamp::new(time.seconds, time.nanos).ok()?;
    Some(time.to_zoned(zone.clone()))
}

pub(crate) fn time(time: Option<Timestamp>, zone: &TimeZone) -> String {
    known(time, zone)
        .map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}

/// A time in a table: whole for a pipe, as short as it is clear for people.
pub(crate) fn table_time(time: Option<Timestamp>, console: &Console) -> String {
    short_time(time, console, ["%H:%M", "%e %b %H:%M", "%Y-%m-%d"])
}

/// The time of an event, to the second: many happen within a minute.
pub(crate) fn event_time(time: Option<Timestamp>, console: &Console) -> String {
    short_time(time, console, ["%H:%M:%S", "%e %b %H:%M:%S", "%Y-%m-%d %H:%M:%S"])
}

/// In one of three formats: for today, for this year, for another one.
fn short_time(time: Option<Timestamp>, console: &Console, formats: [&str; 3]) -> String {
    if console.width.is_none() {
        return self::time(time, &console.zone);
    }
    let now = console.now().to_zoned(console.zone.clone());
    let Some(time) = known(time, &console.zone) else {
        return String::new();
    };
    let format = match (time.date() == now.date(), time.year() == now.year()) {
        (true, _) => formats[0],
        (_, true) => formats[1],
        _ => formats[2],
    };
    time.strftime(format).to_string()
}

/// A time with its zone, for one that somebody typed.
pub(crate) fn time_in_zone(time: Option<Timestamp>, zone: &TimeZone) -> String {
    known(time, zone)
        .map(|time| time.strftime("%Y-%m-%d %H:%M:%S %Z").to_string())
        .unwrap_or_default()
}

/// Digits of an identifier in a table. Every command takes the beginning of one.
const SHORT_ID: usize = 8;

/// An identifier in a table: whole for a pipe, its beginning for people.
pub(crate) fn table_id(id: &str, console: &Console) -> String {
    match console.width {
        Some(_) => id.chars().take(SHORT_ID).collect(),
        None => id.to_owned(),
    }
}

/// Time from one point to another, in seconds.
pub(crate) fn span(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<i64> {
    Some((to?.seconds - from?.seconds).max(0))
}

/// Joins what is not empty.
pub(crate) fn list(parts: impl IntoIterator<Item = String>, separator: &str) -> String {
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(separator)
}

pub(crate) fn stage_tone(stage: ModemStage) -> Tone {
    match stage {
        ModemStage::Ready => Tone::Good,
        ModemStage::Absent => Tone::Bad,
        _ => Tone::Warning,
    }
}

pub(crate) fn health_tone(health: ModemHealth) -> Tone {
    match health {
        ModemHealth::Ok => Tone::Good,
        ModemHealth::Degraded => Tone::Warning,
        ModemHealth::Failed => Tone::Bad,
        ModemHealth::Unspecified => Tone::Quiet,
    }
}

pub(crate) fn message_tone(state: MessageState) -> Tone {
    match state {
        MessageState::Sent | MessageState::Delivered | MessageState::Received => Tone::Good,
        MessageState::Failed => Tone::Bad,
        MessageState::OutcomeUnknown | MessageState::Incomplete | MessageState::Raw => Tone::Warning,
        _ => Tone::Quiet,
    }
}

pub(crate) fn call_tone(state: CallState) -> Tone {
    match state {
        CallState::Active => Tone::Good,
        CallState::Disconnected | CallState::Unspecified => Tone::Quiet,
        _ => Tone::Warning,
    }
}

pub(crate) fn number(text: &str) -> &str {
    if text.is_empty() { "(no number)" } else { text }
}

pub(crate) fn sim(sim: &Sim) -> String {
    let attempts = match (sim.state(), sim.pin_attempts_left, sim.puk_attempts_left) {
        (SimState::PinRequired, Some(left), _) | (SimState::PukRequired, _, Some(left)) => {
            format!("{left} attempts left")
        }
        _ => String::new(),
    };
    let named = |name: &str, value: &str| {
        if value.is_empty() {
            String::new()
        } else {
            format!("{name} {value}")
        }
    };
    let parts = [
        word!(sim.state(), "SIM_STATE_"),
        attempts,
        sim.own_numbers.join(" "),
        named("ICCID", &sim.iccid),
        named("IMSI", &sim.imsi),
    ];
    list(parts, ", ")
}

/// The carrier with the access point names in use, and how sure they are.
pub(crate) fn carrier(carrier: &Carrier) -> String {
    let name = match (carrier.name.as_str(), carrier.plmn.as_str()) {
        ("", plmn) => plmn.to_owned(),
        (name, "") => name.to_owned(),
        (name, plmn) => format!("{name} ({plmn})"),
    };
    let access = |kind: &str, apn: &str| {
        if apn.is_empty() {
            String::new()
        } else {
            format!("{kind} APN {apn}")
        }
    };
    let source = match carrier.source() {
        CarrierSource::Unspecified | CarrierSource::BuiltIn => "",
        CarrierSource::Configured => "as configured",
        CarrierSource::Package => "from mobile-broadband-provider-info",
        CarrierSource::Fallback => "not in the carrier table",
    };
    let parts = [
        name,
        access("data", &carrier.data_apn),
        access("IMS", &carrier.ims_apn),
        source.to_owned(),
    ];
    list(parts, ", ")
}

/// What does not work, and at which stage it showed.
pub(crate) fn degradation(degradation: &Degradation) -> String {
    match degradation.stage() {
        ModemStage::Unspecified => degradation.reason.clone(),
        stage => format!("{}: {}", word!(stage, "MODEM_STAGE_"), degradation.reason),
    }
}

pub(crate) fn signal(signal: &Signal) -> String {
    let measure = |name: &str, value: Option<f64>, unit: &str| {
        value.map(|value| format!("{name} {value} {unit}")).unwrap_or_default()
    };
    let measures = [
        measure("RSRP", signal.rsrp_dbm, "dBm"),
        measure("RSRQ", signal.rsrq_db, "dB"),
        measure("SINR", signal.sinr_db, "dB"),
        measure("RSSI", signal.rssi_dbm, "dBm"),
    ];
    let measures = list(measures, ", ");
    if measures.is_empty() && signal.quality_percent == 0 {
        // Nothing was measured yet, which is not the same as a bad signal.
        return String::new();
    }
    let measures = if measures.is_empty() {
        String::new()
    } else {
        format!(" ({measures})")
    };
    format!("signal {} %{measures}", signal.quality_percent)
}

/// The registration that matters: any domain that is registered, else what the modem is doing about it.
pub(crate) fn registration(status: &NetworkStatus) -> RegistrationState {
    let domains = [
        status.evolved_packet(),
        status.circuit_switched(),
        status.packet_switched(),
    ];
    let served = |state: &&RegistrationState| matches!(state, RegistrationState::Home | RegistrationState::Roaming);
    let known = |state: &&RegistrationState| **state != RegistrationState::Unspecified;
    domains
        .iter()
        .find(served)
        .or_else(|| domains.iter().find(known))
        .copied()
        .unwrap_or_default()
}

/// A registration state in words: that it is the home network goes without saying.
pub(crate) fn registration_word(state: RegistrationState) -> String {
    match state {
        RegistrationState::Home => "registered".to_owned(),
        RegistrationState::Roaming => "registered, roaming".to_owned(),
        other => word!(other, "REGISTRATION_STATE_"),
    }
}

pub(crate) fn network(status: &NetworkStatus) -> String {
    let operator = match (status.operator_name.as_str(), status.operator_plmn.as_str()) {
        ("", plmn) => plmn.to_owned(),
        (name, "") => name.to_owned(),
        (name, plmn) => format!("{name} ({plmn})"),
    };
    let parts = [
        registration_word(registration(status)),
        operator,
        word!(status.technology(), "ACCESS_TECHNOLOGY_").to_uppercase(),
        status.cell.as_ref().map(|cell| cell.band.clone()).unwrap_or_default(),
        status.signal.as_ref().map(signal).unwrap_or_default(),
    ];
    list(parts, ", ")
}

pub(crate) fn message_line(message: &Message) -> String {
    let state = word!(message.state(), "MESSAGE_STATE_");
    let other = match message.direction() {
        MessageDirection::Incoming => format!("from {}", number(&message.address)),
        _ => format!("to {}", number(&message.address)),
    };
    let parts = match message.part_count {
        0 | 1 => String::new(),
        count => format!(" [{}/{count}]", message.parts_done),
    };
    let failure = if message.failure.is_empty() {
        String::new()
    } else {
        format!(" ({})", message.failure)
    };
    format!("{state} {other}{parts}{failure}: {}", message.text)
}

/// Who is at the other side: the number, and the name that the network told.
pub(crate) fn other_side(call: &Call) -> String {
    match (call.number.as_str(), call.caller_name.as_str()) {
        ("", "") if call.number_withheld => "(withheld)".to_owned(),
        (number, "") => self::number(number).to_owned(),
        ("", name) => name.to_owned(),
        (number, name) => format!("{number} {name}"),
    }
}

/// Why a call ended.
pub(crate) fn end_cause(call: &Call) -> String {
    let cause = match call.end_cause() {
        CallEndCause::Local => "hung up here".to_owned(),
        CallEndCause::Remote => "hung up there".to_owned(),
        other => word!(other, "CALL_END_CAUSE_"),
    };
    list([cause, call.end_detail.clone()], ", ")
}

pub(crate) fn call_state(state: CallState) -> String {
    match state {
        CallState::Alerting => "ringing there".to_owned(),
        CallState::Disconnected => "over".to_owned(),
        other => word!(other, "CALL_STATE_"),
    }
}

pub(crate) fn call_line(call: &Call) -> String {
    let number = other_side(call);
    let way = match call.direction() {
        CallDirection::Incoming => "from",
        _ => "to",
    };
    let head = match call.state() {
        CallState::Dialing => format!("dialling {number}"),
        CallState::Alerting => format!("ringing at {number}"),
        CallState::Disconnected => format!("call {way} {number}"),
        other => format!("{} {way} {number}", word!(other, "CALL_STATE_")),
    };
    let rings = match (call.state(), call.rings) {
        (CallState::Incoming | CallState::Waiting, rings) if rings > 0 => format!("ring {rings}"),
        _ => String::new(),
    };
    list([head, rings, end_cause(call)], ", ")
}

/// Whether a modem is on its way up, and nothing is wrong but that it is not there yet.
pub(crate) fn is_coming_up(modem: &Modem) -> bool {
    let stage = modem.stage();
    let is_on_its_way = !matches!(stage, ModemStage::Ready | ModemStage::Absent | ModemStage::Unspecified);
    is_on_its_way && modem.health_reason.starts_with("coming up")
}

fn modem_line(modem: &Modem) -> String {
    let stage = word!(modem.stage(), "MODEM_STAGE_");
    let health = match modem.health() {
        _ if is_coming_up(modem) => String::new(),
        ModemHealth::Ok | ModemHealth::Unspecified => String::new(),
        health => format!("{}: {}", word!(health, "MODEM_HEALTH_"), modem.health_reason),
    };
    let detail = match modem.health_reason.contains(&modem.stage_detail) && !health.is_empty() {
        true => String::new(),
        false => modem.stage_detail.clone(),
    };
    list([stage, detail, health], ", ")
}

/// What an event is about, so that two of the same can be told from two of different things.
pub(crate) fn subject(event: &Event) -> String {
    let id = match &event.change {
        Some(Change::MessageChanged(message)) => message.message_id.as_str(),
        Some(Change::CallChanged(call)) => call.call_id.as_str(),
        Some(Change::UssdChanged(session)) => session.session_id.as_str(),
        _ => "",
    };
    format!("{} {id}", event.modem)
}

/// An event's kind and its line.
pub(crate) fn event(event: &Event) -> (&'static str, Tone, String) {
    match &event.change {
        Some(Change::ModemChanged(modem)) => ("modem", stage_tone(modem.stage()), modem_line(modem)),
        Some(Change::SimChanged(changed)) => ("sim", Tone::Plain, sim(changed)),
        Some(Change::MessageChanged(message)) => ("message", message_tone(message.state()), message_line(message)),
        Some(Change::CallChanged(call)) => ("call", call_tone(call.state()), call_line(call)),
        Some(Change::NetworkChanged(status)) => ("network", Tone::Plain, network(status)),
        Some(Change::UssdChanged(session)) => {
            let state = word!(session.state(), "USSD_STATE_");
            (
                "ussd",
                Tone::Plain,
                list([state, session.text.clone(), session.end_detail.clone()], ", "),
            )
        }
        Some(Change::WanChanged(status)) => {
            let active = label(status.active().as_str_name(), "WAN_ROLE_");
            (
                "wan",
                Tone::Plain,
                list([format!("active: {active}"), status.reason.clone()], ", "),
            )
        }
        Some(Change::BearerChanged(bearer)) => {
            let state = word!(bearer.state(), "BEARER_STATE_");
            (
                "bearer",
                Tone::Plain,
                list(
                    [
                        state,
                        bearer.interface.clone(),
                        bearer.addresses.join(" "),
                        bearer.detail.clone(),
                    ],
                    ", ",
                ),
            )
        }
        Some(Change::DtmfReceived(dtmf)) => (
            "dtmf",
            Tone::Plain,
            format!("tone {} in call {}", dtmf.tone, dtmf.call_id),
        ),
        Some(Change::Deleted(deleted)) => {
            let cause = word!(deleted.cause(), "DELETION_CAUSE_");
            let kind = word!(deleted.kind(), "EVENT_KIND_");
            ("deleted", Tone::Quiet, format!("{kind} {} ({cause})", deleted.id))
        }
        None => ("?", Tone::Quiet, "an event that this version does not know".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sim_that_is_denied_in_one_domain_and_served_in_another_is_served() {
        let mut status = NetworkStatus::default();
        status.set_circuit_switched(RegistrationState::Denied);
        assert_eq!(registration(&status), RegistrationState::Denied);
        status.set_evolved_packet(RegistrationState::Home);
        assert_eq!(registration(&status), RegistrationState::Home);
    }
}
