//! The registration and the status of the network while the ports are open.

use cellular::qmi::nas;

use super::super::{Done, Reply, network, operators};
use super::Serving;
use crate::modem::bring_up::registration::DENIED;
use crate::port::at::{AtError, Lane};
use crate::resource::{Change, Health, NetworkStatus, RegistrationState, Stage};

impl Serving<'_> {
    pub(in crate::modem) fn is_registered(&self) -> bool {
        self.modem.network.is_registered()
    }

    pub(in crate::modem) async fn network_changed(&mut self, changed: bool) {
        let registered = self.is_registered();
        self.registered
            .send_if_modified(|known| std::mem::replace(known, registered) != registered);
        if changed {
            self.modem
                .recorder
                .record(Change::Network(self.modem.network.clone()))
                .await;
        }
        self.guard_roaming().await;
        if !self.brought_up {
            return;
        }
        match (self.modem.status.stage, registered) {
            (Stage::Ready, false) => self.registration_lost().await,
            (Stage::Registering, true) => self.become_ready().await,
            // What somebody set meanwhile may be why.
            (Stage::Registering, false) if self.modem.status.health_reason != self.why_not_registered() => {
                self.registration_lost().await;
            }
            _ => {}
        }
    }

    pub(super) async fn registration_lost(&mut self) {
        self.modem.status.health = Health::Degraded;
        self.modem.status.health_reason = self.why_not_registered();
        self.modem
            .enter(Stage::Registering, self.modem.status.health_reason.clone())
            .await;
    }

    fn why_not_registered(&self) -> String {
        why_not_registered(&self.modem.network, self.modem.radio_off)
    }

    pub(super) async fn become_ready(&mut self) {
        self.modem.become_ready().await;
        self.read_status(None);
    }

    /// Tells people that the configured network is used after all, because somebody set it.
    async fn assess_selection(&mut self) {
        let wanted = &self.modem.setup.config.network;
        let network = &self.modem.network;
        let selected = |plmn: &String| network.manual_selection == Some(true) && network.operator_plmn == *plmn;
        let are_allowed = |wanted: &Vec<_>| operators::are_same(&network.allowed_technologies, wanted);
        let degradations = &self.modem.status.degradations;
        if degradations.iter().any(|known| known.stage == Stage::Registering)
            && wanted.plmn.as_ref().is_none_or(selected)
            && wanted.technologies.as_ref().is_none_or(are_allowed)
        {
            self.restored(Stage::Registering).await;
        }
    }

    /// Reads the status of the network soon.
    pub(in crate::modem) fn read_network(&mut self) {
        if !self.status_pending {
            self.read_status(None);
        }
    }

    pub(in crate::modem) fn read_status(&mut self, reply: Option<Reply<NetworkStatus>>) {
        self.status_pending |= reply.is_none();
        let lane = if reply.is_some() {
            Lane::Normal
        } else {
            Lane::Background
        };
        let (at, qmi) = (self.link.at.clone(), self.data.qmi());
        self.start(async move {
            let mut reading = network::read(&at, lane).await;
            if let (Ok(reading), Some(_)) = (&mut reading, &reply) {
                reading.allowed_technologies = operators::allowed(qmi.as_ref(), &at).await;
            }
            Done::Network(reading, reply)
        });
    }

    /// The modem told of its signal by itself.
    pub(in crate::modem) async fn signal_told(&mut self, signal: nas::Signal) {
        let changed = network::apply_signal(&mut self.modem.network, signal);
        self.modem.signals.keep(self.modem.network.signal.clone());
        self.network_changed(changed).await;
        if !changed {
            self.modem.recorder.show(self.modem.network.clone()).await;
        }
    }

    pub(super) async fn status_read(
        &mut self,
        reading: Result<network::Reading, AtError>,
        reply: Option<Reply<NetworkStatus>>,
    ) {
        self.status_pending &= reply.is_some();
        match reading {
            Ok(reading) => {
                if let Some(card) = reading.card.clone() {
                    self.check_card(card).await;
                }
                let changed = network::apply_reading(&mut self.modem.network, &self.told, reading);
                self.modem.signals.keep(self.modem.network.signal.clone());
                self.network_changed(changed).await;
                if !changed {
                    self.modem.recorder.show(self.modem.network.clone()).await;
                }
                self.assess_selection().await;
                if let Some(reply) = reply {
                    let _ = reply.send(Ok(self.modem.network.clone()));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the network status was not read");
                if let Some(reply) = reply {
                    let _ = reply.send(Err(error.into()));
                }
            }
        }
    }
}

fn why_not_registered(network: &NetworkStatus, radio_off: bool) -> String {
    let domains = [
        network.circuit_switched,
        network.packet_switched,
        network.evolved_packet,
    ];
    if radio_off {
        "the radio is off, as was asked for; switch it on with: modemctl modem functionality full".to_owned()
    } else if domains.contains(&Some(RegistrationState::Denied)) {
        DENIED.to_owned()
    } else if let Some(restriction) = operators::restriction(network) {
        format!("registration was lost, and {restriction}")
    } else {
        "registration was lost; check antenna and coverage".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As at a cold start: antenna and coverage are not what to check.
    #[test]
    fn a_sim_that_is_barred_while_it_runs_is_told_so() {
        let network = |circuit_switched, evolved_packet| NetworkStatus {
            circuit_switched: Some(circuit_switched),
            evolved_packet: Some(evolved_packet),
            ..NetworkStatus::default()
        };
        let searching = network(RegistrationState::Searching, RegistrationState::Searching);
        let barred = network(RegistrationState::Searching, RegistrationState::Denied);
        assert!(why_not_registered(&searching, false).contains("antenna"));
        assert_eq!(why_not_registered(&barred, false), DENIED);
        assert!(why_not_registered(&barred, true).contains("radio is off"));
    }
}
