//! Registration with the network, judged by domain, and voice over LTE.

use std::time::Duration;

use cellular::at::command::{self, Functionality};
use cellular::at::reply::{self, Domain};
use cellular::profile::sim7600;
use tokio::time::Instant;

use super::{BringUp, BringUpError, Progress};
use crate::modem::network;
use crate::resource::{RegistrationState, Stage};

/// Registration is told by unsolicited codes; this is for the case that one was lost.
const REGISTRATION_POLL: Duration = Duration::from_secs(10);

/// A modem that is still not registered after this probably needs somebody.
const USUAL: Duration = Duration::from_secs(90);

impl BringUp {
    /// Switches the radio on where it is off; one that is on is left alone.
    pub(super) async fn radio_on(&mut self, minimum_only: bool) -> Result<(), BringUpError> {
        let response = self.ask(command::functionality_query()).await?;
        let level = reply::functionality(&response.lines).unwrap_or(1);
        // In flight mode (4) the SIM works, and the contexts are better set before the radio is on.
        if level == 1 || (minimum_only && level == 4) {
            return Ok(());
        }
        self.calm().await;
        tracing::info!(modem = self.needs.name, level, "switching the radio on");
        let full = command::functionality(Functionality::Full);
        let result = self.set(&self.needs.at, "AT+CFUN=1", full).await;
        self.calm_until = Instant::now() + sim7600::RADIO_PAUSE;
        result
    }

    pub(super) async fn wait_for_registration(&mut self) -> Result<(), BringUpError> {
        self.radio_on(false).await?;
        self.settle_network().await?;
        let began = Instant::now();
        let mut told = String::new();
        loop {
            let mut states = Vec::new();
            for domain in [Domain::Cs, Domain::Ps, Domain::Eps] {
                let response = self.ask(command::registration(domain)).await?;
                if let Ok(registration) = reply::registration(&response.lines, domain) {
                    let state = network::registration_state(registration.state);
                    states.push(state);
                    self.tell(Progress::Registration(domain, state)).await?;
                }
            }
            if states.iter().any(|state| state.is_registered()) {
                return Ok(());
            }
            let detail = registration_detail(&states, began.elapsed() > USUAL);
            if detail != told {
                self.enter(Stage::Registering, detail.clone()).await?;
                told = detail;
            }
            let waiting = self.needs.registered.wait_for(|registered| *registered);
            match tokio::time::timeout(REGISTRATION_POLL, waiting).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(_)) => return Err(BringUpError::Gone),
                Err(_) => {}
            }
        }
    }

    /// Most firmwares have no switch and answer `ERROR`: they follow the IMS context. That is no failure.
    pub(super) async fn switch_volte_on(&self) -> Result<(), BringUpError> {
        let response = self.ask(command::volte_query()).await?;
        let switched = reply::setting_values(&response.lines, "+CEVOLTE");
        if !response.result.is_ok() || switched.is_ok_and(|values| values.iter().all(|value| *value == 1)) {
            return Ok(());
        }
        self.try_set(&self.needs.at, "AT+CEVOLTE=1,1", command::volte_on())
            .await?;
        Ok(())
    }
}

/// What to do when the network does not want this SIM.
pub(in crate::modem) const DENIED: &str =
    "the network denies registration: check that the SIM is activated and allowed here";

/// In words for people: what the network said, and what to do when it takes long.
fn registration_detail(states: &[RegistrationState], long: bool) -> String {
    let said = |state| states.contains(&state);
    if said(RegistrationState::Denied) {
        return DENIED.to_owned();
    }
    if long {
        return "no network for a long time: check antenna and coverage, and whether the SIM may be used here"
            .to_owned();
    }
    if said(RegistrationState::Searching) {
        "searching for a network".to_owned()
    } else {
        "waiting for a network".to_owned()
    }
}
