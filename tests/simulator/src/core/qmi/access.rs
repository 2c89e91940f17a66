//! Network access (NAS): the serving system, the signal, which technologies may be used, a scan.

use std::collections::{BTreeMap, BTreeSet};

use super::frame::{Request, Tlv, u16_of};
use super::{INFORMATION_UNAVAILABLE, INVALID_QMI_COMMAND, MISSING_ARGUMENT, NAS, NO_NETWORK_FOUND, Refused, refused};
use crate::control::{Domain, RegistrationState};
use crate::core::Modem;

/// Radio interfaces.
const GSM: u8 = 4;
const UMTS: u8 = 5;
const LTE: u8 = 8;

/// `AT+CNMP` modes with their radio interfaces as the bits of a mode preference: GSM 4, UMTS 8, LTE 16. Both commands write
/// the same item of the module's memory.
const MODES: [(u32, u16); 8] = [
    (2, 28),
    (39, 28),
    (13, 4),
    (14, 8),
    (38, 16),
    (48, 12),
    (51, 20),
    (54, 24),
];

/// Where a measure has to cross for an indication.
#[derive(Debug, Clone, Default)]
struct Thresholds {
    rssi: Vec<i16>,
    rsrp: Vec<i16>,
}

/// The module's side. It is lost with the power.
#[derive(Debug, Clone, Default)]
pub(super) struct Access {
    /// Clients that want to hear of the serving system.
    serving_listeners: BTreeSet<u8>,
    /// The serving system that was told last.
    told_serving: Vec<Tlv>,
    /// Clients that want to hear of the signal, with RSSI and RSRP that each heard last.
    signal_listeners: BTreeMap<u8, (i16, i16)>,
    thresholds: Thresholds,
    /// Radio interfaces by preference.
    order: Vec<u8>,
}

impl Access {
    pub(super) fn client_gone(&mut self, client: u8) {
        self.serving_listeners.remove(&client);
        self.signal_listeners.remove(&client);
    }
}

impl Thresholds {
    /// Without any, each change counts.
    fn is_crossed(&self, before: (i16, i16), now: (i16, i16)) -> bool {
        let between =
            |list: &[i16], before: i16, now: i16| list.iter().any(|limit| (before < *limit) != (now < *limit));
        match (self.rssi.is_empty(), self.rsrp.is_empty()) {
            (true, true) => before != now,
            _ => between(&self.rssi, before.0, now.0) || between(&self.rsrp, before.1, now.1),
        }
    }
}

impl Modem {
    pub(super) fn network_access(&mut self, request: &Request) -> Result<Vec<Tlv>, Refused> {
        let (rssi, _, rsrp, _) = self.radio_conditions();
        Ok(match request.message {
            // Register Indications: serving system, signal info
            0x0003 => {
                let access = &mut self.qmi.access;
                match request.octet(0x13) {
                    Some(0) => drop(access.serving_listeners.remove(&request.client)),
                    Some(_) => drop(access.serving_listeners.insert(request.client)),
                    None => {}
                }
                match request.octet(0x19) {
                    Some(0) => drop(access.signal_listeners.remove(&request.client)),
                    Some(_) => drop(access.signal_listeners.insert(request.client, (rssi, rsrp))),
                    None => {}
                }
                self.qmi.access.told_serving = self.serving_system();
                Vec::new()
            }
            // Get Signal Strength: dBm and radio interface
            0x0020 => vec![(0x01, vec![rssi.to_le_bytes()[0], LTE])],
            // Network Scan
            0x0021 => self.found_networks()?,
            // Get Serving System
            0x0024 => self.serving_system(),
            // Set System Selection Preference
            0x0033 => self.prefer(request)?,
            // Get System Selection Preference: modes, automatic selection, order
            0x0034 => {
                let order = &self.qmi.access.order;
                let order = if order.is_empty() { &[LTE, UMTS, GSM][..] } else { order };
                let list = [&[order.len().to_le_bytes()[0]], order].concat();
                let manual = u8::from(self.network.is_selected_by_hand());
                vec![
                    (0x11, self.allowed_modes().to_le_bytes().to_vec()),
                    (0x16, vec![manual]),
                    (0x1c, list),
                ]
            }
            0x0043 => self.cell_location(),
            // Get Signal Info
            0x004f => self.signal_information(),
            // Config Signal Info: thresholds, counted in octets or pairs of them
            0x0050 => {
                let one = |value: &[u8]| value.iter().skip(1).map(|dbm| i16::from(dbm.cast_signed())).collect();
                let two = |value: &[u8]| {
                    let (pairs, _) = value.get(1..).unwrap_or_default().as_chunks();
                    pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
                };
                self.qmi.access.thresholds = Thresholds {
                    rssi: request.value(0x10).map(one).unwrap_or_default(),
                    rsrp: request.value(0x16).map(two).unwrap_or_default(),
                };
                Vec::new()
            }
            // Get Tx Rx Info: of a radio interface
            0x005a => match request.octet(0x01) {
                Some(LTE) => self.receivers(),
                Some(_) => return Err(refused(INFORMATION_UNAVAILABLE)),
                None => return Err(refused(MISSING_ARGUMENT)),
            },
            0x00ac => self.aggregated_carriers(),
            _ => return Err(refused(INVALID_QMI_COMMAND)),
        })
    }

    /// The signal of LTE; the ratio in tenths of a decibel.
    fn signal_information(&self) -> Vec<Tlv> {
        let (rssi, rsrq, rsrp, snr) = self.radio_conditions();
        let mut lte = vec![rssi.to_le_bytes()[0], rsrq.to_le_bytes()[0]];
        lte.extend(rsrp.to_le_bytes());
        lte.extend((snr * 10).to_le_bytes());
        vec![(0x14, lte)]
    }

    /// Tells who listens, where a threshold is crossed.
    pub(in crate::core) fn qmi_follows_signal(&mut self) {
        let (rssi, _, rsrp, _) = self.radio_conditions();
        let Access {
            signal_listeners,
            thresholds,
            ..
        } = &mut self.qmi.access;
        let mut listeners = Vec::new();
        for (client, told) in signal_listeners {
            if thresholds.is_crossed(*told, (rssi, rsrp)) {
                *told = (rssi, rsrp);
                listeners.push(*client);
            }
        }
        let signal = self.signal_information();
        self.indicate(NAS, &listeners, 0x0051, &signal);
    }

    /// Which radio interfaces may be used, as the bits of a mode preference.
    fn allowed_modes(&self) -> u16 {
        let mode = self.settings.number("+CNMP", 0);
        MODES
            .iter()
            .find(|(known, _)| *known == mode)
            .map_or(28, |(_, bits)| *bits)
    }

    /// The only cell here is one of LTE.
    pub(in crate::core) fn lte_is_allowed(&self) -> bool {
        self.allowed_modes() & 16 != 0
    }

    fn prefer(&mut self, request: &Request) -> Result<Vec<Tlv>, Refused> {
        let modes = request
            .value(0x11)
            .and_then(|bits| bits.try_into().ok())
            .map(u16::from_le_bytes);
        let modes = modes.ok_or_else(|| refused(MISSING_ARGUMENT))? & 28;
        let (mode, _) = MODES
            .iter()
            .find(|(_, bits)| *bits == modes)
            .ok_or_else(|| refused(MISSING_ARGUMENT))?;
        self.settings.set("+CNMP", 0, *mode);
        if let Some([_, order @ ..]) = request.value(0x1e) {
            self.qmi.access.order = order.to_vec();
        }
        self.allowed_technologies_changed();
        Ok(Vec::new())
    }

    /// Current or forbidden, and with which radio interface.
    fn found_networks(&self) -> Result<Vec<Tlv>, Refused> {
        if self.general.functionality != 1 {
            return Err(refused(NO_NETWORK_FOUND));
        }
        let networks = [
            (self.network.plmn.clone(), self.network.operator.clone(), 0x01 | 0x04),
            ("00102".to_owned(), "Other Network".to_owned(), 0x02 | 0x10),
        ];
        let count = 2_u16.to_le_bytes();
        let (mut names, mut interfaces) = (count.to_vec(), count.to_vec());
        for (plmn, name, status) in networks {
            let (country, network) = plmn.split_at(3);
            let number = [u16_of(country).to_le_bytes(), u16_of(network).to_le_bytes()].concat();
            names.extend(&number);
            names.extend([status, name.len().to_le_bytes()[0]]);
            names.extend(name.as_bytes());
            interfaces.extend(&number);
            interfaces.push(LTE);
        }
        Ok(vec![(0x10, names), (0x11, interfaces)])
    }

    /// Tells who listens, if it changed.
    pub(super) fn serving_system_changed(&mut self) {
        let serving = self.serving_system();
        if self.qmi.access.told_serving != serving {
            self.qmi.access.told_serving.clone_from(&serving);
            let listeners: Vec<u8> = self.qmi.access.serving_listeners.iter().copied().collect();
            self.indicate(NAS, &listeners, 0x0024, &serving);
        }
    }

    fn serving_system(&self) -> Vec<Tlv> {
        let state = self.registration(Domain::Eps);
        let attached = |domain| {
            if self.registration(domain).is_registered() {
                1
            } else {
                2
            }
        };
        let number = match state {
            RegistrationState::None | RegistrationState::Unknown => 0,
            RegistrationState::Home | RegistrationState::Roaming => 1,
            RegistrationState::Searching => 2,
            RegistrationState::Denied => 3,
        };
        // Registration, CS, PS, network 3GPP, one radio interface.
        let mut tlvs = vec![(
            0x01,
            vec![number, attached(Domain::Cs), attached(Domain::Ps), 2, 1, LTE],
        )];
        if state.is_registered() {
            let (country, network) = self.network.plmn.split_at(3);
            let name = self.network.operator.as_bytes();
            let mut plmn = Vec::new();
            plmn.extend(u16_of(country).to_le_bytes());
            plmn.extend(u16_of(network).to_le_bytes());
            plmn.push(name.len().to_le_bytes()[0]);
            plmn.extend(name);
            // 0 says that it roams.
            tlvs.push((0x10, vec![u8::from(state == RegistrationState::Home)]));
            tlvs.push((0x12, plmn));
        }
        tlvs
    }
}
