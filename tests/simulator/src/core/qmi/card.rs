//! User identity module (UIM): the card in the holder and its power.

use std::collections::BTreeSet;

use super::frame::{Request, Tlv};
use super::{INVALID_QMI_COMMAND, MISSING_ARGUMENT, NO_EFFECT, Refused, UIM, refused};
use crate::core::Modem;
use crate::core::schedule::{Action, Boot};
use crate::core::sim_card::PinState;

/// AID of a USIM application: the registered provider 3GPP, then the application's code (101 220 annex E).
const USIM: [u8; 7] = [0xa0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02];

/// No card is provisioned there.
const NONE: [u8; 2] = [0xff, 0xff];

/// Who listens, and what they heard last.
#[derive(Debug, Clone, Default)]
pub(super) struct Holder {
    listeners: BTreeSet<u8>,
    told: Vec<u8>,
}

impl Holder {
    pub(super) fn client_gone(&mut self, client: u8) {
        self.listeners.remove(&client);
    }

    pub(super) fn has_listeners(&self) -> bool {
        !self.listeners.is_empty()
    }
}

impl Modem {
    pub(super) fn user_identity(&mut self, request: &Request) -> Result<Vec<Tlv>, Refused> {
        let slot = |request: &Request| match request.octet(0x01) {
            Some(1) => Ok(()),
            _ => Err(refused(MISSING_ARGUMENT)),
        };
        Ok(match request.message {
            // Register Events: bit 0 is the card's status.
            0x002e => {
                let mask = request.number(0x01).ok_or_else(|| refused(MISSING_ARGUMENT))? & 1;
                let holder = &mut self.qmi.holder;
                if mask == 1 {
                    holder.listeners.insert(request.client);
                } else {
                    holder.listeners.remove(&request.client);
                }
                self.qmi.holder.told = self.card_status();
                vec![(0x10, mask.to_le_bytes().to_vec())]
            }
            // Get Card Status
            0x002f => vec![(0x10, self.card_status())],
            // Power Off SIM, Power On SIM
            0x0030 => {
                slot(request)?;
                self.power_card_off()?
            }
            0x0031 => {
                slot(request)?;
                self.power_card_on()?
            }
            _ => return Err(refused(INVALID_QMI_COMMAND)),
        })
    }

    /// Another program switches it.
    pub(in crate::core) fn set_sim_power(&mut self, on: bool) {
        // What is so already stays so.
        let _ = if on {
            self.power_card_on()
        } else {
            self.power_card_off()
        };
    }

    fn power_card_off(&mut self) -> Result<Vec<Tlv>, Refused> {
        if !self.sim.has_power() {
            return Err(refused(NO_EFFECT));
        }
        let was_ready = self.sim.is_ready();
        self.sim.cut_power();
        self.schedule.cancel(|action| matches!(action, Action::Boot(_)));
        self.announce_sim();
        if was_ready {
            self.sim_became_unusable();
        }
        Ok(Vec::new())
    }

    fn power_card_on(&mut self) -> Result<Vec<Tlv>, Refused> {
        if self.sim.has_power() {
            return Err(refused(NO_EFFECT));
        }
        self.sim.give_power();
        let after = self.random.within(self.delays.sim);
        self.schedule.at(self.now + after, Action::Boot(Boot::Sim));
        Ok(Vec::new())
    }

    /// Tells who listens, if the card is another than it was.
    pub(in crate::core) fn qmi_follows_card(&mut self) {
        if self.qmi.holder.listeners.is_empty() {
            return;
        }
        let status = self.card_status();
        if status != self.qmi.holder.told {
            self.qmi.holder.told.clone_from(&status);
            let listeners: Vec<u8> = self.qmi.holder.listeners.iter().copied().collect();
            self.indicate(UIM, &listeners, 0x0032, &[(0x10, status)]);
        }
    }

    fn card_status(&self) -> Vec<u8> {
        let card = &self.sim;
        let is_there = card.has_power() && card.state != PinState::Absent;
        let primary = if is_there { [0, 0] } else { NONE };
        let mut status = [primary, NONE, NONE, NONE].concat();
        status.push(1);
        // Absent, or present, or failed: without power. Then the universal PIN, which there is none of, and the error.
        status.extend(match (card.state, card.has_power()) {
            (PinState::Absent, _) => [0, 0, 0, 0, 0],
            (_, true) => [1, 0, 0, 0, 0],
            (_, false) => [2, 0, 0, 0, 1],
        });
        if !is_there {
            status.push(0);
            return status;
        }
        let (verify, unblock) = card.attempts();
        let application = match card.state {
            _ if !card.is_started() => 1,
            PinState::Pin => 2,
            PinState::Puk => 3,
            PinState::Blocked => 5,
            PinState::Ready | PinState::Absent => 7,
        };
        let pin = match card.state {
            PinState::Pin => 1,
            PinState::Puk => 4,
            PinState::Blocked => 5,
            _ if card.is_locked() => 2,
            _ => 3,
        };
        // One application, a USIM: personalisation is not used (11), and the universal PIN does not replace its PIN.
        status.extend([1, 2, application, 2, 11, 0, 0, USIM.len().to_le_bytes()[0]]);
        status.extend(USIM);
        status.extend([0, pin, verify, unblock, 2, 3, 10]);
        status
    }
}
