//! The IMS application service: registration with the IMS and what it offers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::frame::{Request, Tlv};
use super::{IMSA, INVALID_QMI_COMMAND, Refused, refused};
use crate::control::Domain;
use crate::core::Modem;

/// Registration with the IMS, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImsRegistration {
    /// 0
    NotRegistered,
    /// 1
    Registering,
    /// 2
    Registered,
    /// 3: for some services only; here, no voice.
    Limited,
}

const UNAVAILABLE: u32 = 0;
const AVAILABLE: u32 = 2;

/// Service over the mobile network, not over a WLAN.
const WWAN: u32 = 1;

/// The module's side.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ims {
    registration_listeners: BTreeSet<u8>,
    service_listeners: BTreeSet<u8>,
    told: Option<ImsRegistration>,
}

impl Ims {
    pub(super) fn client_gone(&mut self, client: u8) {
        self.registration_listeners.remove(&client);
        self.service_listeners.remove(&client);
    }
}

fn number(number: u32) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

impl Modem {
    /// Without a word from outside it follows the registration with LTE.
    fn ims_registration(&self) -> ImsRegistration {
        match self.registration(Domain::Eps).is_registered() {
            true => self.ims_granted.unwrap_or(ImsRegistration::Registered),
            false => ImsRegistration::NotRegistered,
        }
    }

    pub(super) fn ims_application(&mut self, request: &Request) -> Result<Vec<Tlv>, Refused> {
        Ok(match request.message {
            // Get IMS Registration Status
            0x0020 => vec![(0x12, number(self.ims_registration() as u32)), (0x14, number(WWAN))],
            // Get IMS Services Status
            0x0021 => self.ims_services(),
            // Register Indications
            0x0022 => {
                let ims = &mut self.qmi.ims;
                for (tlv, listeners) in [
                    (0x10, &mut ims.registration_listeners),
                    (0x11, &mut ims.service_listeners),
                ] {
                    match request.octet(tlv) {
                        Some(0) => drop(listeners.remove(&request.client)),
                        Some(_) => drop(listeners.insert(request.client)),
                        None => {}
                    }
                }
                self.qmi.ims.told = Some(self.ims_registration());
                Vec::new()
            }
            _ => return Err(refused(INVALID_QMI_COMMAND)),
        })
    }

    /// SMS, voice and video, each with its technology.
    fn ims_services(&self) -> Vec<Tlv> {
        let registration = self.ims_registration();
        let status = |works: bool| number(if works { AVAILABLE } else { UNAVAILABLE });
        let whole = registration == ImsRegistration::Registered;
        vec![
            (0x10, status(whole || registration == ImsRegistration::Limited)),
            (0x11, status(whole)),
            (0x12, status(false)),
            (0x13, number(WWAN)),
            (0x14, number(WWAN)),
        ]
    }

    /// Tells who listens, if something changed.
    pub(in crate::core) fn ims_changed(&mut self) {
        let registration = self.ims_registration();
        if self.qmi.ims.told.replace(registration) == Some(registration) {
            return;
        }
        let registered = self.qmi.ims.registration_listeners.iter().copied().collect::<Vec<_>>();
        self.indicate(
            IMSA,
            &registered,
            0x0023,
            &[(0x11, number(registration as u32)), (0x13, number(WWAN))],
        );
        let served = self.qmi.ims.service_listeners.iter().copied().collect::<Vec<_>>();
        let services = self.ims_services();
        self.indicate(IMSA, &served, 0x0024, &services);
    }
}
