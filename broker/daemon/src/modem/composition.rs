//! Restarting the module because somebody asked for it, or because the configuration wants another USB composition.
//!
//! A switch is one `AT+CUSBPIDSWITCH` and the return of the device, awaited on the bus. With the policy `dynamic` data
//! is wanted from `ConnectBearer` to `DisconnectBearer`, and while the failover says so; `wanted` holds the request over
//! the restart and connects once the module is ready. A message on its way is waited for, and the next one is held back
//! meanwhile. A call refuses the request. The way back waits for both. The same switch is not made twice within ten
//! minutes.

mod wanted;

use std::time::Duration;

use cellular::arbitration::{Verdict, Wanted};
use cellular::at::command::{self, Functionality};
use cellular::at::reply;
use cellular::profile::{Profile, UsbComposition};
use tokio::time::Instant;

use super::serving::{End, Serving};
use super::{ModemActor, Reply};
use crate::modem::settings::CompositionPolicy;
use crate::port::at::{AtHandle, Lane};
use crate::refusal::Refusal;
use crate::resource::{Degradation, Health, ModemStatus, Stage};
use wanted::Awaited;

/// Before the broker switches by itself to the same composition again: a module that leaves it has a reason.
const DWELL: Duration = Duration::from_secs(600);

/// How long a module may take to answer in its new composition.
const SWITCH_LIMIT: Duration = Duration::from_secs(90);

/// Work of this kind that finished.
pub(super) enum Done {
    Reset(Result<(), Refusal>, Reply<ModemStatus>),
    FunctionalitySet(Functionality, Result<(), Refusal>, Reply<ModemStatus>),
    Listed(u16, Result<Vec<u16>, Refusal>, Option<Reply<ModemStatus>>),
    Switched(u16, Result<(), Refusal>, Option<Reply<ModemStatus>>),
}

/// A switch whose end somebody waits for.
pub(super) struct Switching {
    product: u16,
    until: Instant,
    reply: Option<Reply<ModemStatus>>,
}

/// What the actor remembers of switches over the module's restarts.
#[derive(Default)]
pub(super) struct Switches {
    pending: Option<Switching>,
    /// Where the broker switched to by itself last, and when.
    last: Option<(u16, Instant)>,
    /// The bearer is to be connected, or was until somebody disconnects it.
    data_wanted: bool,
    /// Who waits for a composition with data.
    awaited: Option<Awaited>,
    /// A composition that the policy wants and the module does not take.
    unreachable: Option<u16>,
}

impl Serving<'_> {
    pub(super) fn reset(&mut self, reply: Reply<ModemStatus>) {
        self.told_to_restart = true;
        let at = self.link.at.clone();
        self.start(async move {
            let outcome = set(&at, "AT+CRESET", command::reset()).await;
            super::Done::Composition(Done::Reset(outcome, reply))
        });
    }

    pub(super) fn set_functionality(&mut self, level: Functionality, reply: Reply<ModemStatus>) {
        self.changing_radio = true;
        let at = self.link.at.clone();
        self.start(async move {
            let outcome = set(&at, "AT+CFUN", command::functionality(level)).await;
            super::Done::Composition(Done::FunctionalitySet(level, outcome, reply))
        });
    }

    /// Asks the module first which compositions it has.
    pub(super) fn switch_composition(&mut self, product: u16, reply: Option<Reply<ModemStatus>>) {
        if let Err(refusal) = has_at(self.modem.setup.config.profile, product) {
            return answer(reply, Err(refusal));
        }
        self.told_to_restart = true;
        let at = self.link.at.clone();
        self.start(async move {
            let listed = listed(&at).await;
            super::Done::Composition(Done::Listed(product, listed, reply))
        });
    }

    pub(super) async fn composition_done(&mut self, done: Done) -> Option<End> {
        match done {
            Done::Reset(Ok(()), reply) => {
                let _ = reply.send(Ok(self.modem.status.clone()));
                Some(End::Restarting(
                    "the module is being reset, as was asked for".to_owned(),
                ))
            }
            Done::Reset(Err(refusal), reply) => {
                self.told_to_restart = false;
                let _ = reply.send(Err(refusal));
                None
            }
            Done::FunctionalitySet(level, outcome, reply) => {
                self.changing_radio = false;
                if outcome.is_ok() {
                    self.functionality_set(level).await;
                }
                let _ = reply.send(outcome.map(|()| self.modem.status.clone()));
                None
            }
            Done::Listed(product, listed, reply) => {
                match listed.and_then(|listed| self.chosen(product, &listed)) {
                    Ok(Some(switch)) => {
                        let at = self.link.at.clone();
                        self.start(async move {
                            let outcome = set(&at, "AT+CUSBPIDSWITCH", switch).await;
                            super::Done::Composition(Done::Switched(product, outcome, reply))
                        });
                    }
                    Ok(None) => {
                        self.told_to_restart = false;
                        answer(reply, Ok(self.modem.status.clone()));
                    }
                    Err(refusal) => self.not_switched(product, refusal, reply).await,
                }
                None
            }
            Done::Switched(product, Ok(()), reply) => {
                self.modem.switches.pending = Some(Switching {
                    product,
                    until: Instant::now() + SWITCH_LIMIT,
                    reply,
                });
                Some(End::Restarting(format!(
                    "the module is switching to composition {product:04x}"
                )))
            }
            Done::Switched(product, Err(refusal), reply) => {
                self.not_switched(product, refusal, reply).await;
                None
            }
        }
    }

    /// The command, or none if the module is in this composition already. A call may have come while the list was read.
    fn chosen(&self, product: u16, listed: &[u16]) -> Result<Option<command::Command>, Refusal> {
        self.may_go_on(Wanted::Composition)?;
        let present = self.modem.device.as_ref().map(|device| device.product);
        if present == Some(product) {
            return Ok(None);
        }
        command::composition_switch(product, listed).map(Some).map_err(|_| {
            let offered: Vec<String> = listed.iter().map(|product| format!("{product:04X}")).collect();
            Refusal::FieldInvalid {
                field: "composition",
                problem: format!(
                    "the module does not offer {product:04X}; it offers {}",
                    offered.join(", ")
                ),
            }
        })
    }

    /// A switch that the policy wants is not tried again: the module said why not.
    async fn not_switched(&mut self, product: u16, refusal: Refusal, reply: Option<Reply<ModemStatus>>) {
        self.told_to_restart = false;
        let passing = matches!(refusal, Refusal::CallState { .. } | Refusal::MessageState { .. });
        if passing && reply.is_none() {
            // It follows as soon as nothing is in its way.
            self.modem.switches.last = None;
        } else if reply.is_none() {
            self.modem.switches.unreachable = Some(product);
            let reason = format!("the configuration wants composition {product:04X}: {refusal}");
            tracing::error!(
                modem = self.modem.status.name,
                reason,
                "could not switch the USB composition"
            );
            self.modem.status.degradations.push(Degradation {
                stage: Stage::Enumerated,
                reason,
            });
            self.modem.judge(None);
            self.modem.record_status().await;
        }
        answer(reply, Err(refusal));
    }

    async fn functionality_set(&mut self, level: Functionality) {
        let reason = match level {
            Functionality::Full => None,
            Functionality::Minimum => Some("the radio and the SIM are off (AT+CFUN=0), as was asked for"),
            Functionality::RadioOff => Some("the radio is off (AT+CFUN=4), as was asked for"),
        };
        tracing::info!(
            modem = self.modem.status.name,
            ?level,
            "the radio was switched, as a client asked"
        );
        self.modem.radio_off = reason.is_some();
        if let Some(reason) = reason {
            let how = "switch it on with: modemctl modem functionality full";
            self.modem.judge(Some((Health::Degraded, format!("{reason}; {how}"))));
        } else {
            self.modem.judge(None);
        }
        self.modem.record_status().await;
        self.read_network();
    }

    /// Switches the composition if the configuration wants another one and nothing is going on.
    pub(super) fn follow_composition_policy(&mut self) {
        let Some(present) = self.modem.device.as_ref().map(|device| device.product) else {
            return;
        };
        let switches = &self.modem.switches;
        let wanted = match self.modem.setup.config.composition {
            CompositionPolicy::Leave => return,
            // Once: a module that comes back in another one has a reason.
            CompositionPolicy::Fixed(_) if switches.last.is_some() => return,
            CompositionPolicy::Fixed(product) => product,
            CompositionPolicy::Dynamic { voice, .. } => match (self.wants_data(), self.data_is_elsewhere()) {
                (true, Some(data)) => data,
                (true, None) => return,
                (false, _) => voice,
            },
        };
        let rested = switches
            .last
            .is_none_or(|(last, when)| last != wanted || when.elapsed() >= DWELL);
        let quiet =
            self.modem.status.stage == Stage::Ready && self.verdict(Wanted::PolicyComposition) == Verdict::Begin;
        if wanted == present || switches.unreachable == Some(wanted) || !rested || !quiet {
            return;
        }
        tracing::info!(
            modem = self.modem.status.name,
            from = format!("{present:04x}"),
            to = format!("{wanted:04x}"),
            "switching the USB composition, as configured"
        );
        self.modem.switches.last = Some((wanted, Instant::now()));
        self.switch_composition(wanted, None);
    }
}

impl ModemActor {
    /// The module answers after a restart: whoever waits for a composition hears whether it is this one.
    pub(super) fn composition_reached(&mut self) {
        let Some(switching) = self.switches.pending.take() else {
            return;
        };
        let reached = self
            .device
            .as_ref()
            .is_some_and(|device| device.product == switching.product);
        let outcome = if reached {
            Ok(self.status.clone())
        } else {
            Err(not_reached(switching.product))
        };
        if outcome.is_err() {
            tracing::error!(
                modem = self.status.name,
                "the module did not come back in the composition it was switched to; it is not tried again"
            );
            self.switches.unreachable = Some(switching.product);
        }
        answer(switching.reply, outcome);
    }

    /// Nobody is kept waiting for a module that does not come back.
    pub(super) fn give_up_switch(&mut self) {
        self.give_up_wanted_data();
        if let Some(switching) = self
            .switches
            .pending
            .take_if(|switching| switching.until <= Instant::now())
        {
            answer(switching.reply, Err(not_reached(switching.product)));
        }
    }
}

/// A module without an AT port is out of the broker's reach for good.
fn has_at(profile: &Profile, product: u16) -> Result<(), Refusal> {
    if profile.composition(product).is_none_or(UsbComposition::has_at) {
        return Ok(());
    }
    Err(Refusal::FieldInvalid {
        field: "composition",
        problem: format!("{product:04X} has no AT port: the broker could not reach the modem any more"),
    })
}

fn not_reached(product: u16) -> Refusal {
    Refusal::ModemTimeout {
        command: format!("AT+CUSBPIDSWITCH={product:04X},1,1"),
    }
}

fn answer(reply: Option<Reply<ModemStatus>>, outcome: Result<ModemStatus, Refusal>) {
    if let Some(reply) = reply {
        let _ = reply.send(outcome);
    }
}

async fn listed(at: &AtHandle) -> Result<Vec<u16>, Refusal> {
    let response = at.execute(Lane::Normal, command::composition_list()).await?;
    if !response.result.is_ok() {
        return Err(Refusal::refused("AT+CUSBPIDSWITCH=?", &response.result));
    }
    reply::compositions(&response.lines).map_err(|_| Refusal::ModemProtocol {
        line: response.lines.join(" "),
    })
}

async fn set(at: &AtHandle, what: &str, command: command::Command) -> Result<(), Refusal> {
    let response = at.execute(Lane::Normal, command).await?;
    if response.result.is_ok() {
        Ok(())
    } else {
        Err(Refusal::refused(what, &response.result))
    }
}
