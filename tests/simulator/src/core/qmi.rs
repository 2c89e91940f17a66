//! The QMI control channel (QMUX) at a minimal level: client ids, identity of the device, serving system and signal.
//!
//! Messages and TLVs are named as libqmi names them. A stream may carry messages cut or joined; a real `cdc-wdm` node
//! would give one message per read.

use super::Modem;
use super::usb::Function;
use crate::control::{Domain, RegistrationState};

/// First octet of every QMUX frame.
const MARKER: u8 = 0x01;

/// Octets that wait for the rest of their frame; a frame's length has 16 bits.
const BUFFER_LIMIT: usize = 66_000;

const CTL: u8 = 0x00;
const DMS: u8 = 0x02;
const NAS: u8 = 0x03;

/// Services with their versions, as `Get Version Info` lists them.
const SERVICES: [(u8, u16, u16); 3] = [(CTL, 1, 5), (DMS, 1, 14), (NAS, 1, 25)];

const TLV_RESULT: u8 = 0x02;

/// `QMI_ERR` numbers.
const MALFORMED_MESSAGE: u16 = 1;
const INVALID_CLIENT_ID: u16 = 5;
const CLIENT_IDS_EXHAUSTED: u16 = 6;
const INVALID_SERVICE_TYPE: u16 = 31;
const INVALID_QMI_COMMAND: u16 = 71;

/// Radio interface LTE.
const LTE: u8 = 8;

/// The state of the channel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Qmi {
    buffer: Vec<u8>,
    clients: Vec<(u8, u8)>,
}

/// A TLV under construction or received.
type Tlv = (u8, Vec<u8>);

/// A request taken out of its frame.
struct Request {
    service: u8,
    client: u8,
    transaction: u16,
    message: u16,
    tlvs: Vec<Tlv>,
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes([*octets.get(at)?, *octets.get(at + 1)?]))
}

fn parse_tlvs(mut octets: &[u8]) -> Vec<Tlv> {
    let mut tlvs = Vec::new();
    while let [kind, low, high, rest @ ..] = octets {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let Some((value, after)) = rest.split_at_checked(length) else {
            break;
        };
        tlvs.push((*kind, value.to_vec()));
        octets = after;
    }
    tlvs
}

impl Request {
    /// Reads a frame: marker, length, flags, service, client; then flags, transaction, message and length of the TLVs.
    fn parse(frame: &[u8]) -> Option<Self> {
        let (service, client) = (*frame.get(4)?, *frame.get(5)?);
        let (transaction, rest) = match service {
            CTL => (u16::from(*frame.get(7)?), frame.get(8..)?),
            _ => (u16_at(frame, 7)?, frame.get(9..)?),
        };
        Some(Self {
            service,
            client,
            transaction,
            message: u16_at(rest, 0)?,
            tlvs: parse_tlvs(rest.get(4..)?),
        })
    }

    fn value(&self, kind: u8) -> Option<&[u8]> {
        self.tlvs
            .iter()
            .find(|(tlv, _)| *tlv == kind)
            .map(|(_, value)| value.as_slice())
    }

    fn response(&self, outcome: Result<Vec<Tlv>, u16>) -> Vec<u8> {
        let (error, tlvs) = match outcome {
            Ok(tlvs) => (0, tlvs),
            Err(error) => (error, Vec::new()),
        };
        let mut result = u16::from(error != 0).to_le_bytes().to_vec();
        result.extend(error.to_le_bytes());
        let mut body = Vec::new();
        for (kind, value) in std::iter::once((TLV_RESULT, result)).chain(tlvs) {
            body.push(kind);
            body.extend(length_octets(value.len()));
            body.extend(value);
        }
        let mut frame = vec![MARKER, 0, 0, 0x80, self.service, self.client];
        let [low, high] = self.transaction.to_le_bytes();
        // The response flag is another bit in the control service, and its transaction has one octet.
        frame.extend_from_slice(if self.service == CTL { &[0x01] } else { &[0x02] });
        frame.push(low);
        if self.service != CTL {
            frame.push(high);
        }
        frame.extend(self.message.to_le_bytes());
        frame.extend(length_octets(body.len()));
        frame.extend(body);
        let length = length_octets(frame.len() - 1);
        frame[1..3].copy_from_slice(&length);
        frame
    }
}

fn length_octets(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes()
}

impl Qmi {
    /// Takes the next whole frame, skipping what is none.
    fn next_frame(&mut self) -> Option<Vec<u8>> {
        let start = self
            .buffer
            .iter()
            .position(|octet| *octet == MARKER)
            .unwrap_or(self.buffer.len());
        self.buffer.drain(..start);
        let length = usize::from(u16_at(&self.buffer, 1)?) + 1;
        (self.buffer.len() >= length).then(|| self.buffer.drain(..length).collect())
    }

    fn control(&mut self, request: &Request) -> Result<Vec<Tlv>, u16> {
        match request.message {
            // Sync: all clients are gone.
            0x0027 => {
                self.clients.clear();
                Ok(Vec::new())
            }
            // Internal Proxy Open, which qmicli sends to whoever may be a proxy.
            0xff00 => Ok(Vec::new()),
            // Get Version Info
            0x0021 => {
                let mut list = vec![SERVICES.len().to_le_bytes()[0]];
                for (service, major, minor) in SERVICES {
                    list.push(service);
                    list.extend(major.to_le_bytes());
                    list.extend(minor.to_le_bytes());
                }
                Ok(vec![(0x01, list)])
            }
            // Allocate CID
            0x0022 => {
                let service = *request.value(0x01).and_then(<[u8]>::first).ok_or(MALFORMED_MESSAGE)?;
                if service == CTL || !SERVICES.iter().any(|(known, _, _)| *known == service) {
                    return Err(INVALID_SERVICE_TYPE);
                }
                let free = (1..=254).find(|client| !self.clients.contains(&(service, *client)));
                let client = free.ok_or(CLIENT_IDS_EXHAUSTED)?;
                self.clients.push((service, client));
                Ok(vec![(0x01, vec![service, client])])
            }
            // Release CID
            0x0023 => {
                let Some([service, client]) = request.value(0x01) else {
                    return Err(MALFORMED_MESSAGE);
                };
                let known = self.clients.iter().position(|entry| entry == &(*service, *client));
                self.clients.remove(known.ok_or(INVALID_CLIENT_ID)?);
                Ok(vec![(0x01, vec![*service, *client])])
            }
            _ => Err(INVALID_QMI_COMMAND),
        }
    }
}

impl Modem {
    /// Takes bytes of the control channel.
    pub(super) fn qmi_input(&mut self, bytes: &[u8]) {
        let room = BUFFER_LIMIT.saturating_sub(self.qmi.buffer.len());
        self.qmi.buffer.extend(bytes.iter().take(room));
        while let Some(frame) = self.qmi.next_frame() {
            let Some(request) = Request::parse(&frame) else {
                continue;
            };
            let outcome = if request.service == CTL {
                self.qmi.control(&request)
            } else if !self.qmi.clients.contains(&(request.service, request.client)) {
                Err(INVALID_CLIENT_ID)
            } else if request.service == DMS {
                self.device_management(&request)
            } else {
                self.network_access(&request)
            };
            self.emit(Function::Qmi, &request.response(outcome));
        }
    }

    fn device_management(&mut self, request: &Request) -> Result<Vec<Tlv>, u16> {
        let text = |text: &str| text.as_bytes().to_vec();
        Ok(match request.message {
            // Get Manufacturer, Get Model, Get Revision
            0x0021 => vec![(0x01, text("SIMCOM INCORPORATED"))],
            0x0022 => vec![(0x01, text("SIMCOM_SIM7600G-H"))],
            0x0023 => vec![(0x01, text(&self.config.revision))],
            // Get IDs: ESN and IMEI
            0x0025 => vec![(0x10, text("0")), (0x11, text(&self.config.imei))],
            // Get Operating Mode
            0x002d => vec![(0x01, vec![u8::from(self.general.functionality != 1)])],
            _ => return Err(INVALID_QMI_COMMAND),
        })
    }

    fn network_access(&mut self, request: &Request) -> Result<Vec<Tlv>, u16> {
        let (rssi, rsrq, rsrp, snr) = self.radio_conditions();
        Ok(match request.message {
            // Get Signal Strength: dBm and radio interface
            0x0020 => vec![(0x01, vec![rssi.to_le_bytes()[0], LTE])],
            // Get Signal Info, LTE: the ratio in tenths of a decibel
            0x004f => {
                let mut lte = vec![rssi.to_le_bytes()[0], rsrq.to_le_bytes()[0]];
                lte.extend(rsrp.to_le_bytes());
                lte.extend((snr * 10).to_le_bytes());
                vec![(0x14, lte)]
            }
            // Get Serving System
            0x0024 => self.serving_system(),
            _ => return Err(INVALID_QMI_COMMAND),
        })
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
            plmn.extend(country.parse::<u16>().unwrap_or(0).to_le_bytes());
            plmn.extend(network.parse::<u16>().unwrap_or(0).to_le_bytes());
            plmn.push(name.len().to_le_bytes()[0]);
            plmn.extend(name);
            tlvs.push((0x10, vec![u8::from(state == RegistrationState::Home)]));
            tlvs.push((0x12, plmn));
        }
        tlvs
    }
}
