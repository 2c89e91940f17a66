//! Data on a modem whose composition has no network interface: with the dynamic policy, whoever connects the bearer makes the
//! module switch to the composition for data, and whoever disconnects it makes it switch back.
//!
//! Data is wanted from `ConnectBearer` to `DisconnectBearer`, and while the failover says so (`ModemHandle::want_data`), which
//! connects once the bearer is ready. A switch waits for a message that is being sent and for the end of a call; a request does
//! not wait for a call, which may last for hours, but is refused.

use std::time::Duration;

use cellular::profile::UsbComposition;
use tokio::time::Instant;

use super::super::serving::Serving;
use super::super::{ModemActor, Reply};
use crate::modem::settings::CompositionPolicy;
use crate::refusal::Refusal;
use crate::resource::{Bearer, Persistence, Stage};

/// How long somebody waits: for a message to be sent, for the switch, and for the registration after it.
const LIMIT: Duration = Duration::from_secs(150);

/// Whoever waits for data that the present composition does not have.
pub(super) struct Awaited {
    apn: Option<String>,
    until: Instant,
    /// With whether the default route goes there.
    replies: Vec<(bool, Reply<Bearer>)>,
}

impl Awaited {
    fn refuse(self, refusal: impl Fn() -> Refusal) {
        for (_, reply) in self.replies {
            let _ = reply.send(Err(refusal()));
        }
    }
}

impl Serving<'_> {
    /// Data is wanted from now on: connects the bearer, in another composition if this one cannot.
    pub(in crate::modem) async fn connect_data(
        &mut self,
        apn: Option<String>,
        default_route: bool,
        reply: Reply<Bearer>,
    ) {
        let Some(product) = self.data_is_elsewhere() else {
            self.modem.switches.data_wanted = true;
            return self.connect_bearer(apn, default_route, reply).await;
        };
        if let Some(awaited) = &mut self.modem.switches.awaited {
            if apn == awaited.apn {
                awaited.replies.push((default_route, reply));
            } else {
                let problem = "somebody else waits for the data of another access point; disconnect the bearer first";
                let _ = reply.send(Err(Refusal::FieldInvalid {
                    field: "apn",
                    problem: problem.to_owned(),
                }));
            }
            return;
        }
        tracing::info!(
            modem = self.modem.status.name,
            composition = format!("{product:04x}"),
            "data is wanted; switching to the composition that has it as soon as nothing is in the way"
        );
        self.modem.switches.data_wanted = true;
        self.modem.switches.awaited = Some(Awaited {
            apn,
            until: Instant::now() + LIMIT,
            replies: vec![(default_route, reply)],
        });
    }

    /// Data is not wanted any more: disconnects the bearer; the composition for calls follows when nothing is in its way.
    pub(in crate::modem) async fn disconnect_data(&mut self, reply: Reply<Bearer>) {
        self.modem.switches.data_wanted = false;
        if let Some(awaited) = self.modem.switches.awaited.take() {
            awaited.refuse(|| Refusal::BearerFailed {
                detail: "the bearer was disconnected before it was connected".to_owned(),
                reason: None,
                persistence: Persistence::Transient,
            });
        }
        self.disconnect_bearer(reply).await;
    }

    /// The composition to which the policy goes for data, if the present one has none.
    pub(super) fn data_is_elsewhere(&self) -> Option<u16> {
        let CompositionPolicy::Dynamic { data, .. } = self.modem.setup.config.composition else {
            return None;
        };
        let device = self.modem.device.as_ref()?;
        let has_data = device.layout().is_none_or(UsbComposition::has_control_channel);
        (device.product != data && !has_data).then_some(data)
    }

    /// Whether somebody wants data.
    pub(super) fn wants_data(&self) -> bool {
        self.modem.switches.data_wanted || *self.modem.want_data.borrow()
    }

    /// Whether somebody waits for the composition with data.
    pub(in crate::modem) fn data_is_awaited(&self) -> bool {
        self.modem.switches.awaited.is_some() && self.data_is_elsewhere().is_some()
    }

    /// Goes on with what somebody waits for: refuses it, or connects the bearer as soon as that is possible.
    pub(in crate::modem) async fn follow_wanted_data(&mut self) {
        let Some(awaited) = &self.modem.switches.awaited else {
            return;
        };
        let over = awaited.until <= Instant::now();
        let refusal = match self.data_is_elsewhere() {
            Some(product) => self.never_reached(product, over),
            None if self.modem.status.stage != Stage::Ready && !over => return,
            None if self.data_is_opening() && !over => return,
            None => None,
        };
        match refusal {
            Some(refusal) => {
                self.modem.switches.data_wanted = false;
                if let Some(awaited) = self.modem.switches.awaited.take() {
                    awaited.refuse(|| refusal.clone());
                }
            }
            None if self.data_is_elsewhere().is_some() => {}
            None => {
                if let Some(awaited) = self.modem.switches.awaited.take() {
                    for (default_route, reply) in awaited.replies {
                        self.connect_bearer(awaited.apn.clone(), default_route, reply).await;
                    }
                }
            }
        }
    }

    /// Why the composition with data is not waited for any more.
    fn never_reached(&self, product: u16, over: bool) -> Option<Refusal> {
        let not_ready = |why: &str| Refusal::DataNotReady {
            detail: format!("data needs composition {product:04X}, and {why}"),
        };
        if let Some(state) = self.calls.state() {
            return Some(Refusal::CallState { state });
        }
        if self.modem.switches.unreachable == Some(product) {
            return Some(not_ready("the module did not switch to it; see: modemctl status"));
        }
        over.then(|| not_ready("the module could not be switched in time; try again"))
    }
}

impl ModemActor {
    /// Nobody is kept waiting for the data of a module that does not come back.
    pub(super) fn give_up_wanted_data(&mut self) {
        let late = |awaited: &mut Awaited| awaited.until <= Instant::now();
        if let Some(awaited) = self.switches.awaited.take_if(late) {
            self.switches.data_wanted = false;
            let detail = self.status.health_reason.clone();
            awaited.refuse(|| Refusal::ModemDisconnected { detail: detail.clone() });
        }
    }
}
