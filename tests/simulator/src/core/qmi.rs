//! The QMI control channel: client ids, identity of the device, serving system and signal, data sessions, the IMS, the card,
//! messages.
//!
//! Messages and TLVs are named as libqmi names them. A stream may carry messages cut or joined; a real `cdc-wdm` node
//! would give one message per read.

mod access;
mod card;
mod cells;
mod data;
mod frame;
mod ims;
mod messaging;

use std::collections::BTreeSet;

use super::Modem;
use super::usb::Function;
use frame::{Frames, Request, Tlv};

pub use data::PacketNetwork;
pub(crate) use data::{ADDRESS_V6, AUTHENTICATION_FAILED, Asked, Given, NO_SERVICE};
pub use ims::ImsRegistration;

const CTL: u8 = 0x00;
const WDS: u8 = 0x01;
const DMS: u8 = 0x02;
const NAS: u8 = 0x03;
const WMS: u8 = 0x05;
const UIM: u8 = 0x0b;
const WDA: u8 = 0x1a;
const IMSA: u8 = 0x21;

/// Services with their versions, as `Get Version Info` lists them.
const SERVICES: [(u8, u16, u16); 8] = [
    (CTL, 1, 5),
    (WDS, 1, 67),
    (DMS, 1, 14),
    (NAS, 1, 25),
    (WMS, 1, 10),
    (UIM, 1, 46),
    (WDA, 1, 16),
    (IMSA, 1, 7),
];

/// Client ids of one service; real firmware has between 10 and 20.
const CLIENTS_MAX: u8 = 16;

/// `QMI_ERR` numbers.
const MALFORMED_MESSAGE: u16 = 1;
const CLIENT_IDS_EXHAUSTED: u16 = 5;
const INVALID_CLIENT_ID: u16 = 7;
const INVALID_HANDLE: u16 = 9;
const INVALID_PROFILE: u16 = 10;
const NO_NETWORK_FOUND: u16 = 13;
const CALL_FAILED: u16 = 14;
const OUT_OF_CALL: u16 = 15;
const NOT_PROVISIONED: u16 = 16;
const MISSING_ARGUMENT: u16 = 17;
const NO_EFFECT: u16 = 26;
const INVALID_SERVICE_TYPE: u16 = 31;
const INVALID_INDEX: u16 = 49;
const WMS_CAUSE_CODE: u16 = 54;
const WMS_ENCODING: u16 = 58;
const NO_SERVICE_CENTRE: u16 = 73;
const INVALID_QMI_COMMAND: u16 = 71;
const INFORMATION_UNAVAILABLE: u16 = 74;

/// A request that is not carried out: the error and what is told beside it.
type Refused = (u16, Vec<Tlv>);

fn refused(error: u16) -> Refused {
    (error, Vec::new())
}

/// The state of the channel. It is lost with the power.
#[derive(Debug, Clone, Default)]
pub(crate) struct Qmi {
    frames: Frames,
    clients: BTreeSet<(u8, u8)>,
    access: access::Access,
    pub(super) ims: ims::Ims,
    pub(super) data: data::Data,
    holder: card::Holder,
    messaging: messaging::Messaging,
}

impl Modem {
    /// Takes bytes of the control channel.
    pub(super) fn qmi_input(&mut self, bytes: &[u8]) {
        self.qmi.frames.push(bytes);
        while let Some(frame) = self.qmi.frames.next_frame() {
            let Some(request) = Request::parse(&frame) else {
                continue;
            };
            if self.packet.silent {
                continue;
            }
            let outcome = match request.service {
                CTL => self.control(&request).map(Some),
                service if !self.qmi.clients.contains(&(service, request.client)) => Err(refused(INVALID_CLIENT_ID)),
                DMS => self.device_management(&request).map(Some),
                NAS => self.network_access(&request).map(Some),
                WDA => self.data_administration(&request).map(Some),
                WMS => self.wireless_messaging(&request).map(Some),
                UIM => self.user_identity(&request).map(Some),
                IMSA => self.ims_application(&request).map(Some),
                WDS => self.wireless_data(&request),
                _ => Err(refused(INVALID_SERVICE_TYPE)),
            };
            // A session that takes its time is answered when it is there.
            if let Some(outcome) = outcome.transpose() {
                self.emit(Function::Qmi, &request.response(outcome));
            }
        }
    }

    fn control(&mut self, request: &Request) -> Result<Vec<Tlv>, Refused> {
        match request.message {
            // Sync: all clients are gone, and with them what they held.
            0x0027 => {
                for (service, client) in std::mem::take(&mut self.qmi.clients) {
                    self.client_gone(service, client);
                }
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
                let service = request.value(0x01).and_then(<[u8]>::first).copied();
                let service = service.ok_or_else(|| refused(MALFORMED_MESSAGE))?;
                if service == CTL || !SERVICES.iter().any(|(known, _, _)| *known == service) {
                    return Err(refused(INVALID_SERVICE_TYPE));
                }
                let free = (1..=CLIENTS_MAX).find(|client| !self.qmi.clients.contains(&(service, *client)));
                let client = free.ok_or_else(|| refused(CLIENT_IDS_EXHAUSTED))?;
                self.qmi.clients.insert((service, client));
                Ok(vec![(0x01, vec![service, client])])
            }
            // Release CID
            0x0023 => {
                let Some(&[service, client]) = request.value(0x01) else {
                    return Err(refused(MALFORMED_MESSAGE));
                };
                if !self.qmi.clients.remove(&(service, client)) {
                    return Err(refused(INVALID_CLIENT_ID));
                }
                self.client_gone(service, client);
                Ok(vec![(0x01, vec![service, client])])
            }
            _ => Err(refused(INVALID_QMI_COMMAND)),
        }
    }

    /// A client id was given back: what it wanted to hear and the session that hangs on it go with it.
    fn client_gone(&mut self, service: u8, client: u8) {
        match service {
            NAS => self.qmi.access.client_gone(client),
            IMSA => self.qmi.ims.client_gone(client),
            WMS => self.qmi.messaging.client_gone(client),
            UIM => self.qmi.holder.client_gone(client),
            WDS => self.session_client_gone(client),
            _ => {}
        }
    }

    /// Services whose clients listen to what the card and the messages do.
    pub(super) fn qmi_listeners(&self) -> Vec<u8> {
        let listened = [
            (WMS, self.qmi.messaging.has_listeners()),
            (UIM, self.qmi.holder.has_listeners()),
        ];
        let listened = listened.into_iter().filter(|(_, listened)| *listened);
        listened.map(|(service, _)| service).collect()
    }

    /// Tells clients of a service something.
    fn indicate(&mut self, service: u8, clients: &[u8], message: u16, tlvs: &[Tlv]) {
        if self.packet.silent {
            return;
        }
        for client in clients {
            let frame = frame::indication(service, *client, message, tlvs);
            self.emit(Function::Qmi, &frame);
        }
    }

    fn device_management(&mut self, request: &Request) -> Result<Vec<Tlv>, Refused> {
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
            _ => return Err(refused(INVALID_QMI_COMMAND)),
        })
    }

    /// Registration changed: whoever listens hears of it, and what needs a registration ends or begins.
    pub(super) fn qmi_follows_registration(&mut self) {
        self.serving_system_changed();
        self.sessions_follow_registration();
        self.ims_changed();
    }
}
