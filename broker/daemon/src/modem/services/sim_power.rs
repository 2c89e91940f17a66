//! Switching the SIM off and on without the module.

use std::time::Duration;

use cellular::qmi::ProtocolError;
use cellular::qmi::uim::{self, Card, CardStatus};
use tokio::time::Instant;

use super::{Done, not_available, refusal_of, refused, state_of};
use crate::modem::Reply;
use crate::modem::serving::Serving;
use crate::port::qmi::QmiHandle;
use crate::refusal::Refusal;
use crate::resource::{Sim, SimState};

/// How long the card is without power. 7816-3 asks for 10 ms; this is enough for the capacitors before it as well.
const PAUSE: Duration = Duration::from_secs(1);

/// How often giving the power back is tried: a SIM that stays off means a journey.
const TRIES: u32 = 3;

/// How long the card may take to start.
const START_LIMIT: Duration = Duration::from_secs(15);

/// How often it is looked at meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

impl Serving<'_> {
    /// Switches the SIM off and on.
    pub(in crate::modem) fn restart_sim(&mut self, reply: Reply<Sim>) {
        let Some(qmi) = self.data.qmi() else {
            return drop(reply.send(Err(not_available(&self.data))));
        };
        tracing::warn!(
            modem = self.modem.status.name,
            "switching the SIM off and on, as a client asked"
        );
        self.services.restarting_sim = true;
        let changes = self.sim_changes();
        let (sender, result) = tokio::sync::oneshot::channel();
        let bound = self.data.while_open(
            async move {
                let _ = sender.send(restart(&qmi).await);
                crate::modem::Done::Answered
            },
            || crate::modem::Done::Answered,
        );
        self.start(bound);
        // Told also when the port closes in its midst: then the module restarts, and the card with it.
        self.start(async move {
            let closed = Refusal::QmiNotAvailable {
                detail: "the QMI port closed meanwhile".to_owned(),
            };
            let result = result.await.unwrap_or(Err(closed));
            crate::modem::Done::Service(Done::SimRestarted { changes, result, reply })
        });
    }

    pub(super) async fn sim_restarted(&mut self, changes: u64, result: Result<CardStatus, Refusal>, reply: Reply<Sim>) {
        self.services.restarting_sim = false;
        if result.is_ok() && self.sim_changes() == changes && self.modem.sim.state == SimState::Ready {
            // Nobody told that it had been away, and what hangs on it has to be set up again.
            self.lose_sim(SimState::Busy).await;
        }
        let answer = result.map(|status| Sim {
            state: state_of(status.card),
            pin_attempts_left: Some(u32::from(status.pin_attempts)),
            puk_attempts_left: Some(u32::from(status.puk_attempts)),
            ..self.modem.sim.clone()
        });
        let _ = reply.send(answer);
    }
}

async fn restart(qmi: &QmiHandle) -> Result<CardStatus, Refusal> {
    power(qmi, uim::power_off(), "switching the SIM off").await?;
    tokio::time::sleep(PAUSE).await;
    let mut on = power(qmi, uim::power_on(), "switching the SIM on").await;
    for _ in 1..TRIES {
        if on.is_err() {
            tokio::time::sleep(PAUSE).await;
            on = power(qmi, uim::power_on(), "switching the SIM on").await;
        }
    }
    on?;
    let until = Instant::now() + START_LIMIT;
    loop {
        let what = "reading the SIM's status";
        let response = qmi.ask(uim::get_card_status()).await;
        let response = response.map_err(|failure| refusal_of(failure, what))?;
        let status = uim::card_status(&response).map_err(|refusal| refused(refusal, what))?;
        let is_starting = matches!(status.card, Card::Starting | Card::PoweredDown);
        if !is_starting || Instant::now() >= until {
            return Ok(status);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn power(qmi: &QmiHandle, request: cellular::qmi::Request, what: &str) -> Result<(), Refusal> {
    let response = qmi.ask(request).await.map_err(|failure| refusal_of(failure, what))?;
    match response.result() {
        Ok(()) => Ok(()),
        // It is so already.
        Err(refusal) if refusal.protocol() == Some(ProtocolError::NO_EFFECT) => Ok(()),
        Err(refusal) => Err(refused(refusal, what)),
    }
}
