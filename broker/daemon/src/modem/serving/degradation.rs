//! What does not work although the modem does, as people are told of it.

use std::time::Duration;

use tokio::time::Instant;

use super::Serving;
use crate::resource::{Degradation, ImsRegistration, ImsService, NetworkStatus, Stage};

/// How long a modem may be without any way to call before people are told: after a registration the IMS takes a few seconds.
const VOICE_GRACE: Duration = Duration::from_secs(10);

/// What was told of things that are no stage's to judge.
#[derive(Default)]
pub(super) struct Alarms {
    /// Of the module's message storages.
    storage: Option<String>,
    /// Since when no domain takes calls.
    speechless_since: Option<Instant>,
    /// Of that.
    voice: Option<String>,
}

impl Alarms {
    /// Nothing is known any more.
    pub(super) fn forget(&mut self) {
        *self = Alarms::default();
    }
}

/// Why nobody can call or be called, as far as the network and the IMS say. What is not known speaks against nothing.
fn speechless(network: &NetworkStatus) -> Option<String> {
    let circuits = network.circuit_switched.is_some_and(|state| !state.is_registered());
    let ims = &network.ims;
    let over_ims = ims.voice == Some(ImsService::Available)
        || matches!(ims.registration, None | Some(ImsRegistration::Registered)) && ims.voice.is_none();
    (network.is_registered() && circuits && ims.registration.is_some() && !over_ims).then(|| {
        "calls do not work: the network offers no circuit-switched domain here, and the IMS no voice (VoLTE); check ims_apn \
         in [modem.carrier], and with the carrier whether VoLTE is allowed for this SIM and module"
            .to_owned()
    })
}

impl Serving<'_> {
    /// Tells people that calls cannot work, once that has lasted for a while, and when they can again.
    pub(super) async fn assess_voice(&mut self) {
        let why = speechless(&self.modem.network).filter(|_| self.brought_up);
        let since = match why {
            Some(_) => *self.alarms.speechless_since.get_or_insert_with(Instant::now),
            None => {
                self.alarms.speechless_since = None;
                Instant::now()
            }
        };
        let alarm = why.filter(|_| since.elapsed() >= VOICE_GRACE);
        if alarm == self.alarms.voice {
            return;
        }
        let last = std::mem::replace(&mut self.alarms.voice, alarm.clone());
        self.exchange(Stage::Volte, last, alarm).await;
    }

    /// Puts a degradation in the place of another one.
    async fn exchange(&mut self, stage: Stage, last: Option<String>, next: Option<String>) {
        let status = &mut self.modem.status;
        if let Some(last) = last {
            status.degradations.retain(|degradation| degradation.reason != last);
        }
        if let Some(reason) = next {
            tracing::warn!(modem = status.name, stage = stage.name(), reason, "degraded");
            status.degradations.push(Degradation { stage, reason });
        }
        self.modem.judge(None);
        self.modem.record_status().await;
    }

    /// Tells people when a storage of the module fills up, and when it is empty again.
    pub(super) async fn assess_storages(&mut self) {
        let alarm = self.messages.storage_alarm();
        if alarm == self.alarms.storage {
            return;
        }
        let last = std::mem::replace(&mut self.alarms.storage, alarm.clone());
        self.exchange(Stage::Sms, last, alarm).await;
    }

    pub(super) async fn degraded(&mut self, stage: Stage, reason: String) {
        tracing::warn!(modem = self.modem.status.name, stage = stage.name(), reason, "degraded");
        self.forget_degradation(stage);
        self.modem.status.degradations.push(Degradation { stage, reason });
    }

    /// Alarms are not a stage's to forget.
    pub(super) fn forget_degradation(&mut self, stage: Stage) {
        let alarms = [&self.alarms.storage, &self.alarms.voice];
        self.modem
            .status
            .degradations
            .retain(|known| known.stage != stage || alarms.contains(&&Some(known.reason.clone())));
    }

    pub(super) async fn restored(&mut self, stage: Stage) {
        tracing::info!(modem = self.modem.status.name, stage = stage.name(), "works again");
        self.forget_degradation(stage);
        self.modem.judge(None);
        self.modem.record_status().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Ims, RegistrationState};

    #[test]
    fn only_a_modem_that_is_registered_and_has_no_way_to_call_is_speechless() {
        use ImsRegistration::{Limited, NotRegistered, Registered};
        use ImsService::{Available, Unavailable};
        use RegistrationState::{Denied, Home};
        for (circuits, evolved, registration, voice, expected) in [
            (Some(Home), Some(Home), Some(NotRegistered), None, false),
            (Some(Denied), Some(Home), Some(Registered), Some(Available), false),
            (Some(Denied), Some(Home), Some(Registered), None, false),
            (Some(Denied), Some(Home), None, None, false),
            (Some(Denied), Some(Home), Some(NotRegistered), None, true),
            (Some(Denied), Some(Home), Some(Limited), Some(Unavailable), true),
            (Some(Denied), Some(Denied), Some(NotRegistered), None, false),
            (None, Some(Home), Some(NotRegistered), None, false),
        ] {
            let network = NetworkStatus {
                circuit_switched: circuits,
                evolved_packet: evolved,
                ims: Ims {
                    registration,
                    voice,
                    ..Ims::default()
                },
                ..NetworkStatus::default()
            };
            assert_eq!(speechless(&network).is_some(), expected, "{network:?}");
        }
    }
}
