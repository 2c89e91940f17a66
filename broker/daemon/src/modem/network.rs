//! What the modem says about the network, folded into one status.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use cellular::at::command;
use cellular::at::reply::{self, Domain, SystemInformation};
use cellular::at::{Command, Urc};
use cellular::qmi::nas;
use jiff::Timestamp;
use tokio::time::Instant;

use super::sim::Card;
use crate::port::at::{AtError, AtHandle, Lane};
use crate::resource::{AccessTechnology, Cell, NetworkStatus, RegistrationState, Signal};

/// Measures that are kept: a day of them while nobody asks for more.
const HISTORY_MAX: usize = 1024;

/// The recent measures of the signal, oldest first. Kept in memory: each would be a write to an SD card.
#[derive(Clone, Default)]
pub struct SignalHistory(Arc<Mutex<VecDeque<Signal>>>);

impl SignalHistory {
    /// Keeps a measure, and lets the oldest go. The lock is held for that and never across an await.
    pub(super) fn keep(&self, signal: Signal) {
        let mut signals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if signals.len() >= HISTORY_MAX {
            signals.pop_front();
        }
        signals.push_back(signal);
    }

    /// The measures since an instant.
    pub fn since(&self, start: Timestamp) -> Vec<Signal> {
        let signals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        signals.iter().filter(|signal| signal.time >= start).cloned().collect()
    }
}

/// What one round of questions told.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    system: Option<SystemInformation>,
    rssi_dbm: Option<f64>,
    operator: Option<String>,
    manual_selection: Option<bool>,
    /// Technologies that may be used; only read for somebody who asks.
    pub(super) allowed_technologies: Option<Vec<AccessTechnology>>,
    /// With the instant of the question.
    registrations: Vec<(Domain, RegistrationState, Instant)>,
    /// The SIM in the modem, because what it tells when it is pulled is often lost.
    pub(super) card: Option<Card>,
}

/// When the modem last told of a registration by itself. A round of questions takes a while, and what the modem tells
/// meanwhile is newer than an answer it gave before.
#[derive(Default)]
pub(super) struct Told(Vec<(Domain, Instant)>);

impl Told {
    /// The modem told of this domain now.
    fn note(&mut self, domain: Domain) {
        self.0.retain(|(known, _)| *known != domain);
        self.0.push((domain, Instant::now()));
    }

    /// Whether an answer to a question of that instant is out of date.
    fn outdates(&self, domain: Domain, asked: Instant) -> bool {
        self.0.iter().any(|(known, told)| *known == domain && *told > asked)
    }
}

/// Asks for everything that is in a status. A question that the firmware does not know is left out of the reading; only a
/// modem that does not answer is an error.
pub(super) async fn read(at: &AtHandle, lane: Lane) -> Result<Reading, AtError> {
    let mut reading = Reading::default();
    let ask = |command: Command| async { at.execute(lane, command).await };
    for domain in [Domain::Cs, Domain::Ps, Domain::Eps] {
        let asked = Instant::now();
        let response = ask(command::registration(domain)).await?;
        if let Ok(registration) = reply::registration(&response.lines, domain) {
            reading
                .registrations
                .push((domain, registration_state(registration.state), asked));
        }
    }
    let response = ask(command::system_information()).await?;
    reading.system = reply::system_information(&response.lines).ok();
    let response = ask(command::signal_quality()).await?;
    reading.rssi_dbm = reply::signal_quality(&response.lines)
        .ok()
        .and_then(|quality| quality.rssi_dbm())
        .map(f64::from);
    let response = ask(command::operator()).await?;
    if let Ok(selection) = reply::operator_selection(&response.lines) {
        reading.manual_selection = Some(matches!(selection.mode, 1 | 4));
        reading.operator = selection.operator;
    }
    reading.card = super::sim::read_card(at, lane).await?;
    Ok(reading)
}

/// Folds a reading in, but for what is out of date by now. True when something changed that is worth an event.
pub(super) fn apply_reading(status: &mut NetworkStatus, told: &Told, reading: Reading) -> bool {
    let before = status.clone();
    for (domain, state, asked) in reading.registrations {
        if !told.outdates(domain, asked) {
            set_registration(status, domain, state);
        }
    }
    let now = Timestamp::now();
    status.signal = Signal {
        rssi_dbm: reading.rssi_dbm,
        time: now,
        ..Signal::default()
    };
    status.operator_name = reading.operator.unwrap_or_default();
    status.manual_selection = reading.manual_selection.or(status.manual_selection);
    if let Some(technologies) = reading.allowed_technologies {
        status.allowed_technologies = technologies;
    }
    match reading.system {
        Some(SystemInformation::Lte(cell)) => {
            status.technology = Some(AccessTechnology::Lte);
            status.operator_plmn = format!("{}{}", cell.identity.mcc, cell.identity.mnc);
            status.cell = Cell {
                area_code: Some(cell.identity.area),
                cell_id: Some(cell.identity.cell),
                band: cell.band.map(|band| format!("EUTRAN-BAND{band}")).unwrap_or_default(),
                channel: cell.earfcn,
            };
            status.signal.rsrp_dbm = cell.rsrp_dbm_tenths.map(tenths);
            status.signal.rsrq_db = cell.rsrq_db_tenths.map(tenths);
            status.signal.rssi_dbm = cell.rssi_dbm_tenths.map(tenths).or(reading.rssi_dbm);
            status.signal.sinr_db = cell.snr.map(f64::from);
        }
        Some(SystemInformation::Wcdma(cell)) => {
            status.technology = Some(AccessTechnology::Umts);
            status.operator_plmn = format!("{}{}", cell.identity.mcc, cell.identity.mnc);
            status.cell = Cell {
                area_code: Some(cell.identity.area),
                cell_id: Some(cell.identity.cell),
                band: cell.band.unwrap_or_default(),
                channel: cell.uarfcn,
            };
        }
        Some(SystemInformation::Gsm(cell)) => {
            status.technology = Some(AccessTechnology::Gsm);
            status.operator_plmn = format!("{}{}", cell.identity.mcc, cell.identity.mnc);
            status.cell = Cell {
                area_code: Some(cell.identity.area),
                cell_id: Some(cell.identity.cell),
                band: cell.band.unwrap_or_default(),
                channel: cell.arfcn.map(u32::from),
            };
            status.signal.rssi_dbm = cell.rx_level_dbm_tenths.map(tenths).or(reading.rssi_dbm);
        }
        Some(SystemInformation::NoService { .. }) => {
            status.technology = Some(AccessTechnology::NoService);
            status.operator_plmn.clear();
            status.cell = Cell::default();
        }
        Some(SystemInformation::Other { .. }) | None => {}
    }
    status.update_time = now;
    differs(&before, status)
}

/// Folds in what the modem told of its signal by itself. True when it is worth an event.
pub(super) fn apply_signal(status: &mut NetworkStatus, told: nas::Signal) -> bool {
    let before = status.clone();
    let now = Timestamp::now();
    status.signal = match told {
        nas::Signal::Gsm(rssi) | nas::Signal::Umts(rssi) => Signal {
            rssi_dbm: Some(rssi.into()),
            time: now,
            ..Signal::default()
        },
        nas::Signal::Lte(lte) => Signal {
            rssi_dbm: Some(lte.rssi.into()),
            rsrp_dbm: Some(lte.rsrp.into()),
            rsrq_db: Some(lte.rsrq.into()),
            sinr_db: Some(tenths(lte.snr_tenths.into())),
            time: now,
        },
    };
    status.update_time = now;
    differs(&before, status)
}

/// A change of the signal by less than this is not worth an event: every event is a write to an SD card.
const SIGNAL_STEP_DB: f64 = 6.0;

fn differs(before: &NetworkStatus, after: &NetworkStatus) -> bool {
    let moved = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() >= SIGNAL_STEP_DB,
        (a, b) => a.is_some() != b.is_some(),
    };
    let same_but_for_signal = NetworkStatus {
        signal: after.signal.clone(),
        update_time: after.update_time,
        ..before.clone()
    };
    same_but_for_signal != *after
        || moved(before.signal.rssi_dbm, after.signal.rssi_dbm)
        || moved(before.signal.rsrp_dbm, after.signal.rsrp_dbm)
}

/// Folds an unsolicited code in: `None` when it is about something else, otherwise whether something changed.
pub(super) fn apply_urc(status: &mut NetworkStatus, told: &mut Told, urc: &Urc) -> Option<bool> {
    match urc {
        Urc::Registration(registration) => {
            told.note(registration.domain);
            let state = registration_state(registration.state);
            Some(set_registration(status, registration.domain, state))
        }
        _ => None,
    }
}

/// Sets the registration of a domain. True when it changed.
pub(super) fn set_registration(status: &mut NetworkStatus, domain: Domain, state: RegistrationState) -> bool {
    let slot = match domain {
        Domain::Cs => &mut status.circuit_switched,
        Domain::Ps => &mut status.packet_switched,
        // 5GS does not exist on this module; its core is closest to EPS.
        Domain::Eps | Domain::FiveGs => &mut status.evolved_packet,
    };
    status.update_time = Timestamp::now();
    slot.replace(state) != Some(state)
}

pub(super) fn registration_state(state: reply::RegistrationState) -> RegistrationState {
    use reply::RegistrationState as Told;
    match state {
        Told::NotRegistered | Told::EmergencyOnly | Told::AttachedRlos => RegistrationState::NotRegistered,
        Told::Home | Told::HomeSmsOnly | Told::HomeCsfbNotPreferred => RegistrationState::Home,
        Told::Searching => RegistrationState::Searching,
        Told::Denied => RegistrationState::Denied,
        Told::Unknown => RegistrationState::Unknown,
        Told::Roaming | Told::RoamingSmsOnly | Told::RoamingCsfbNotPreferred => RegistrationState::Roaming,
    }
}

fn tenths(value: i32) -> f64 {
    f64::from(value) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_older_than_what_the_modem_told_is_left_out() {
        let mut status = NetworkStatus::default();
        let mut told = Told::default();
        let answer = |state, asked| Reading {
            registrations: vec![(Domain::Cs, state, asked)],
            ..Reading::default()
        };
        let before = Instant::now();
        let denied = reply::Registration::parse("+CREG: 3").unwrap();
        assert_eq!(
            apply_urc(&mut status, &mut told, &Urc::Registration(denied)),
            Some(true)
        );
        apply_reading(&mut status, &told, answer(RegistrationState::Home, before));
        assert_eq!(status.circuit_switched, Some(RegistrationState::Denied));
        apply_reading(&mut status, &told, answer(RegistrationState::Home, Instant::now()));
        assert_eq!(status.circuit_switched, Some(RegistrationState::Home));
    }

    #[test]
    fn the_history_is_bounded_and_begins_where_somebody_asks() {
        let history = SignalHistory::default();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        for second in 0..2000 {
            history.keep(Signal {
                time: at(second),
                ..Signal::default()
            });
        }
        assert_eq!(history.since(at(0)).len(), HISTORY_MAX);
        let last: Vec<_> = history.since(at(1998)).iter().map(|signal| signal.time).collect();
        assert_eq!(last, [at(1998), at(1999)]);
    }
}
