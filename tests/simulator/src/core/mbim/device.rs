//! The device, its SIM, where it is registered.

use super::frame::{Command, Field, lay_out};
use super::{
    BAD_SIM, FAILURE, INVALID_PARAMETERS, NO_DEVICE_SUPPORT, NOT_INITIALIZED, NOT_REGISTERED, PIN_REQUIRED,
    RADIO_POWER_OFF, Refused, SIM_NOT_INSERTED, refused,
};
use crate::control::{Domain, RegistrationState};
use crate::core::sim_card::PinEntry;
use crate::core::{Modem, PinState};

/// GPRS, EDGE, UMTS, HSDPA, HSUPA, LTE.
const DATA_CLASSES: u32 = 0x3f;
const LTE: u32 = 0x20;

const PIN1: u32 = 2;
const PUK1: u32 = 11;

/// States of a provider.
const HOME: u32 = 1;
const FORBIDDEN: u32 = 2;
const VISIBLE: u32 = 8;
const REGISTERED: u32 = 16;

const UNKNOWN: u32 = 99;

/// How far the signal has to move, in steps, before the host is told.
const DEFAULT_THRESHOLD: u32 = 5;

/// When the host is told of the signal.
#[derive(Debug, Clone, Default)]
pub(super) struct SignalReports {
    interval: u32,
    threshold: u32,
    told: u8,
}

impl Modem {
    pub(super) fn device_caps(&self) -> Vec<u8> {
        let text = |text: &str| Field::Text(text.to_owned());
        // Removable, GSM, simultaneous voice and data, removable SIM; short messages as PDUs both ways; manual selection.
        let numbers = [2, 1, 3, 2, DATA_CLASSES, 3, 1, 1];
        let mut fields: Vec<Field> = numbers.map(Field::Number).into();
        fields.extend([
            text(""),
            text(&self.config.imei),
            text(&self.config.revision),
            text("SIMCOM_SIM7600G-H"),
        ]);
        lay_out(&fields)
    }

    pub(super) fn subscriber(&self) -> Vec<u8> {
        let state = match self.sim.obstacle() {
            None => 1,
            Some(10) => 2,
            Some(11 | 12) => 6,
            Some(13) => 3,
            Some(_) => 0,
        };
        let ready = state == 1;
        let told = |text: &str| Field::Text(if ready { text } else { "" }.to_owned());
        let mut fields = vec![
            Field::Number(state),
            told(&self.config.imsi),
            told(&self.config.iccid),
            Field::Number(0),
        ];
        match self.config.own_number.is_empty() || !ready {
            true => fields.push(Field::Number(0)),
            false => fields.extend([Field::Number(1), told(&self.config.own_number)]),
        }
        lay_out(&fields)
    }

    pub(super) fn radio(&self) -> Vec<u8> {
        let on = u32::from(self.general.functionality == 1);
        lay_out(&[Field::Number(1), Field::Number(on)])
    }

    pub(super) fn switch_radio(&mut self, command: &Command) -> Result<Vec<u8>, Refused> {
        let functionality = match command.number(0) {
            0 => 4,
            1 => 1,
            _ => return Err(refused(INVALID_PARAMETERS)),
        };
        self.change_functionality(functionality);
        Ok(self.radio())
    }

    pub(super) fn pin_information(&self) -> Vec<u8> {
        let (pin, puk) = self.sim.attempts_left();
        let fields = match self.sim.state {
            PinState::Pin => [PIN1, 1, pin],
            PinState::Puk => [PUK1, 1, puk],
            _ => [PIN1, 0, pin],
        };
        lay_out(&fields.map(Field::Number))
    }

    /// Entering only; what else there is to a PIN is done by AT commands.
    pub(super) fn change_pin_by_mbim(&mut self, command: &Command) -> Result<Vec<u8>, Refused> {
        const ENTER: u32 = 0;
        if command.number(4) != ENTER {
            return Err(refused(NO_DEVICE_SUPPORT));
        }
        let (pin, new) = (command.text(8), command.text(16));
        let new = (command.number(0) == PUK1).then_some(new.as_str());
        match self.present_pin(&pin, new) {
            PinEntry::Accepted => {
                self.sim_unlocked();
                Ok(self.pin_information())
            }
            PinEntry::Wrong => Err((FAILURE, self.pin_information())),
            PinEntry::NotWanted => Err(refused(FAILURE)),
        }
    }

    /// What stands in the way of anything that needs the network.
    pub(super) fn obstacle_to_service(&self) -> Option<u32> {
        Some(match self.sim.obstacle() {
            Some(10) => SIM_NOT_INSERTED,
            Some(11 | 12) => PIN_REQUIRED,
            Some(13) => BAD_SIM,
            Some(_) => NOT_INITIALIZED,
            None if self.general.functionality != 1 => RADIO_POWER_OFF,
            None if !self.packets_are_served() => NOT_REGISTERED,
            None => return None,
        })
    }

    pub(super) fn home_provider(&self) -> Result<Vec<u8>, Refused> {
        match self.sim.is_ready() {
            true => Ok(self.provider(HOME, &self.network.plmn, &self.network.operator)),
            false => Err(refused(NOT_INITIALIZED)),
        }
    }

    fn provider(&self, state: u32, plmn: &str, name: &str) -> Vec<u8> {
        const GSM: u32 = 1;
        lay_out(&[
            Field::Text(plmn.to_owned()),
            Field::Number(state),
            Field::Text(name.to_owned()),
            Field::Number(GSM),
            Field::Number(u32::from(self.network.rssi)),
            Field::Number(UNKNOWN),
        ])
    }

    pub(super) fn visible_providers(&self) -> Result<Vec<u8>, Refused> {
        if self.general.functionality != 1 {
            return Err(refused(RADIO_POWER_OFF));
        }
        let registered = if self.is_served() { REGISTERED } else { 0 };
        let own = self.provider(HOME | VISIBLE | registered, &self.network.plmn, &self.network.operator);
        let other = self.provider(FORBIDDEN | VISIBLE, "00102", "Other Network");
        Ok(lay_out(&[Field::Number(2), Field::Part(own), Field::Part(other)]))
    }

    pub(super) fn register_information(&self) -> Vec<u8> {
        let state = self.registration(Domain::Eps);
        let number = match state {
            RegistrationState::None => 1,
            RegistrationState::Searching => 2,
            RegistrationState::Home => 3,
            RegistrationState::Roaming => 4,
            RegistrationState::Denied => 6,
            RegistrationState::Unknown => 0,
        };
        // 24.301 names this cause of a refusal *EPS services not allowed*.
        let cause = if state == RegistrationState::Denied { 7 } else { 0 };
        let manual = 1 + u32::from(self.network.is_selected_by_hand());
        let shown = |text: &str| Field::Text(if state.is_registered() { text } else { "" }.to_owned());
        let classes = if state.is_registered() { LTE } else { 0 };
        let numbers = [cause, number, manual, classes, 1].map(Field::Number);
        let texts = [
            shown(&self.network.plmn),
            shown(&self.network.operator),
            Field::Text(String::new()),
        ];
        lay_out(&[&numbers[..], &texts, &[Field::Number(0)]].concat())
    }

    /// By itself only: the network of somebody's choice is an AT command's.
    pub(super) fn register(&mut self, command: &Command) -> Result<Vec<u8>, Refused> {
        const AUTOMATIC: u32 = 0;
        if command.number(8) != AUTOMATIC {
            return Err(refused(NO_DEVICE_SUPPORT));
        }
        match self.sim.is_ready() {
            true => Ok(self.register_information()),
            false => Err(refused(self.obstacle_to_service().unwrap_or(NOT_INITIALIZED))),
        }
    }

    pub(super) fn is_attached(&self) -> bool {
        self.packets_are_served() && !self.mbim.detached
    }

    pub(super) fn packet_service(&self) -> Vec<u8> {
        const ATTACHED: u32 = 2;
        const DETACHED: u32 = 4;
        let attached = self.is_attached();
        let (state, class, up, down) = match attached {
            true => (ATTACHED, LTE, 50_000_000, 150_000_000),
            false => (DETACHED, 0, 0, 0),
        };
        lay_out(&[
            Field::Number(0),
            Field::Number(state),
            Field::Number(class),
            Field::Wide(up),
            Field::Wide(down),
        ])
    }

    pub(super) fn attach(&mut self, command: &Command) -> Result<Vec<u8>, Refused> {
        let detach = command.number(0) == 1;
        match self.obstacle_to_service() {
            Some(status) if !detach => return Err((status, self.packet_service())),
            _ => self.mbim.detached = detach,
        }
        Ok(self.packet_service())
    }

    pub(super) fn signal_information_by_mbim(&self) -> Vec<u8> {
        let rssi = match self.registration(Domain::Eps).is_registered() {
            true => u32::from(self.network.rssi),
            false => UNKNOWN,
        };
        let SignalReports {
            interval, threshold, ..
        } = self.mbim.signal;
        lay_out(&[rssi, UNKNOWN, interval, threshold, u32::MAX].map(Field::Number))
    }

    pub(super) fn report_signal(&mut self, command: &Command) -> Vec<u8> {
        self.mbim.signal.interval = command.number(0);
        self.mbim.signal.threshold = command.number(4);
        self.signal_told();
        self.signal_information_by_mbim()
    }

    pub(super) fn signal_told(&mut self) {
        self.mbim.signal.told = self.network.rssi;
    }

    /// Whether the signal moved far enough since the host heard of it.
    pub(super) fn signal_moved(&self) -> bool {
        let reports = &self.mbim.signal;
        let threshold = match reports.threshold {
            0 => DEFAULT_THRESHOLD,
            threshold => threshold,
        };
        u32::from(self.network.rssi.abs_diff(reports.told)) >= threshold
    }
}
