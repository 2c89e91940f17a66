//! The SIM while the ports are open: what is heard of it, and what is done with it on request.

use super::super::sim::{self, Card, SimOperation};
use super::super::{Done, Reply};
use super::Serving;
use crate::refusal::Refusal;
use crate::resource::{Change, Sim, SimState};
use crate::store::PinMemory;

/// What an operation on the SIM came to.
pub(in crate::modem) struct SimOutcome {
    operation: SimOperation,
    result: Result<Sim, Refusal>,
    /// State and attempts afterwards, where they could be read.
    after: Option<Sim>,
    reply: Reply<Sim>,
}

impl Serving<'_> {
    /// The modem said how the SIM is. One that was ready and is not any more takes everything with it that came from it.
    pub(in crate::modem) async fn sim_heard_of(&mut self, state: SimState) {
        match (self.modem.sim.state, state) {
            (_, SimState::Unknown) => {}
            (SimState::Ready, SimState::Ready) => {}
            (SimState::Ready, lost) => self.lose_sim(lost).await,
            // The sequence reads the rest of it.
            _ => drop(self.sim_told.send(())),
        }
    }

    /// How often the SIM went away or was exchanged.
    pub(in crate::modem) fn sim_changes(&self) -> u64 {
        *self.sim_changes.borrow()
    }

    pub(in crate::modem) async fn lose_sim(&mut self, state: SimState) {
        tracing::warn!(
            modem = self.modem.status.name,
            ?state,
            "the SIM went away or was exchanged"
        );
        self.modem.sim = Sim {
            state,
            ..Sim::default()
        };
        self.modem.recorder.record(Change::Sim(self.modem.sim.clone())).await;
        self.sim_changes.send_modify(|changes| *changes += 1);
    }

    /// The card that answers now, beside the one that was brought up.
    pub(super) async fn check_card(&mut self, card: Card) {
        let known = &self.modem.sim;
        if known.state != SimState::Ready {
            return;
        }
        match card {
            Card::Obstacle(state) => self.lose_sim(state).await,
            Card::Present(iccid) if !known.iccid.is_empty() && iccid != known.iccid => {
                self.lose_sim(SimState::Unknown).await;
            }
            Card::Present(_) => {}
        }
    }

    pub(super) fn operate_sim(&mut self, operation: SimOperation, spend_last_attempt: bool, reply: Reply<Sim>) {
        self.operating_sim = true;
        let at = self.link.at.clone();
        let store = self.modem.setup.store.clone();
        let name = self.modem.status.name.clone();
        let memory = PinMemory::new(&name, &self.modem.sim.iccid);
        self.start(async move {
            let result = sim::operate(&at, &name, &operation, spend_last_attempt).await;
            if result.is_ok() {
                // What the broker refuses to try by itself may be right from now on.
                let forgotten = match operation.proven_pin() {
                    Some(pin) => store.forget_this_pin(&memory, pin.expose()).await,
                    None => store.forget_pin(&memory).await,
                };
                if let Err(error) = forgotten {
                    tracing::warn!(modem = name, %error, "could not save that the PIN works; the configured PIN is not tried by itself");
                }
            }
            let after = match &result {
                Ok(after) => Some(after.clone()),
                Err(_) => sim::read_state(&at).await.ok(),
            };
            Done::Sim(Box::new(SimOutcome {
                operation,
                result,
                after,
                reply,
            }))
        });
    }

    pub(super) async fn sim_operated(&mut self, outcome: SimOutcome) {
        self.operating_sim = false;
        let SimOutcome {
            operation,
            result,
            after,
            reply,
        } = outcome;
        let before = self.modem.sim.clone();
        let known = &mut self.modem.sim;
        if let Some(after) = &after {
            known.pin_attempts_left = after.pin_attempts_left;
            known.puk_attempts_left = after.puk_attempts_left;
        }
        if let (SimOperation::SetPinLock { enabled, .. }, Ok(_)) = (&operation, &result) {
            known.pin_lock_enabled = Some(*enabled);
        }
        let answer = result.map(|after| Sim {
            state: after.state,
            ..known.clone()
        });
        if *known != before {
            self.modem.recorder.record(Change::Sim(self.modem.sim.clone())).await;
        }
        if let Some(after) = after {
            self.sim_heard_of(after.state).await;
        }
        let _ = reply.send(answer);
    }
}
