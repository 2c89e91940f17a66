//! Waiting for the SIM, and its PIN.

use std::time::Duration;

use cellular::at::{command, reply};
use tokio::time::Instant;

use super::{BringUp, BringUpError, Progress};
use crate::modem::sim;
use crate::resource::{Sim, SimState, Stage};
use crate::store::{PinMemory, StoreError};

/// A SIM takes a few seconds after power-up; it tells by `+CPIN`, but over USB that is often lost.
const POLL: Duration = Duration::from_secs(1);

/// The same while it starts.
const POLL_BUSY: Duration = Duration::from_millis(500);

/// After this somebody has to do something, and asking seldom is enough.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause from then on.
const POLL_LATER: Duration = Duration::from_secs(10);

/// A PIN attempt is spent only while more than this many are left.
const ATTEMPTS_RESERVED: u32 = 1;

/// What became of the configured PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    /// None is configured.
    NoPin,
    /// It was not tried: too few attempts are left, or their number is not known.
    TooFew,
    /// The SIM refused it, now or in an earlier life of the broker.
    Refused,
    /// It was sent; the SIM is on its way.
    Accepted,
    /// The store could not remember the attempt, so none was made.
    NotRemembered,
}

impl BringUp {
    pub(super) async fn wait_for_sim(&mut self) -> Result<(), BringUpError> {
        self.radio_on(true).await?;
        let began = Instant::now();
        let mut tried = None;
        let mut told = None;
        loop {
            let mut card = sim::read_state(&self.needs.at).await?;
            if card.state == SimState::Ready {
                self.read_subscriber(&mut card).await?;
                self.sim = card;
                return self.tell(Progress::Sim(self.sim.clone())).await;
            }
            card.iccid = self.read_iccid().await?;
            if card.state == SimState::PinRequired && matches!(tried, None | Some(Tried::TooFew | Tried::NotRemembered))
            {
                let now = self.try_pin(&card).await?;
                tried = Some(now);
                if matches!(now, Tried::Accepted | Tried::Refused) {
                    let iccid = std::mem::take(&mut card.iccid);
                    card = sim::read_state(&self.needs.at).await?;
                    card.iccid = iccid;
                    if card.state == SimState::Ready {
                        continue;
                    }
                }
            }
            let (state, attempts) = (card.state, card.pin_attempts_left);
            let now = (state, attempts, card.puk_attempts_left, tried);
            if told != Some(now) {
                told = Some(now);
                let detail = detail(&card, tried);
                self.tell(Progress::Sim(card)).await?;
                self.enter(Stage::Sim, detail).await?;
            }
            let pause = match state {
                _ if began.elapsed() > PATIENCE => POLL_LATER,
                SimState::Busy | SimState::Unknown => POLL_BUSY,
                _ => POLL,
            };
            // Woken early when the modem says something about the SIM or somebody entered a PIN.
            let told_more = tokio::time::timeout(pause, self.needs.sim_told.changed()).await;
            if let Ok(Err(_)) = told_more {
                return Err(BringUpError::Gone);
            }
        }
    }

    /// Spends one attempt when that is safe. Before it is spent the store knows of it, so that no second life of the broker
    /// tries the same PIN again: a blocked SIM means a journey.
    async fn try_pin(&self, card: &Sim) -> Result<Tried, BringUpError> {
        let Some(pin) = &self.needs.pin else {
            return Ok(Tried::NoPin);
        };
        let Some(left) = card.pin_attempts_left.filter(|left| *left > ATTEMPTS_RESERVED) else {
            return Ok(Tried::TooFew);
        };
        let Ok(command) = command::enter_pin(pin.expose()) else {
            return Ok(Tried::NoPin);
        };
        let memory = PinMemory::new(&self.needs.name, &card.iccid);
        match self.needs.store.begin_pin_attempt(&memory, pin.expose(), left).await {
            Ok(true) => {}
            Ok(false) => return Ok(Tried::Refused),
            Err(error) => return Ok(self.not_remembered(&error)),
        }
        if self.ask(command).await?.result.is_ok() {
            if let Err(error) = self.needs.store.forget_pin(&memory).await {
                tracing::warn!(%error, "could not save that the PIN was accepted; the next start does not try it");
            }
            return Ok(Tried::Accepted);
        }
        if let Err(error) = self.needs.store.refuse_pin(&memory).await {
            tracing::warn!(modem = self.needs.name, %error, "could not save that the PIN was refused; it counts as tried and is not tried again");
        }
        tracing::error!(
            modem = self.needs.name,
            "the SIM refused the configured PIN; it is not tried again by itself"
        );
        Ok(Tried::Refused)
    }

    fn not_remembered(&self, error: &StoreError) -> Tried {
        tracing::error!(modem = self.needs.name, %error, "the PIN is not tried: could not save the attempt first");
        Tried::NotRemembered
    }

    async fn read_iccid(&self) -> Result<String, BringUpError> {
        Ok(reply::iccid(&self.ask(command::iccid()).await?.lines).unwrap_or_default())
    }

    async fn read_subscriber(&self, card: &mut Sim) -> Result<(), BringUpError> {
        card.imsi = reply::imsi(&self.ask(command::imsi()).await?.lines).unwrap_or_default();
        card.iccid = self.read_iccid().await?;
        card.own_numbers = reply::own_numbers(&self.ask(command::own_numbers()).await?.lines);
        card.pin_lock_enabled = reply::pin_lock(&self.ask(command::pin_lock_query()).await?.lines).ok();
        Ok(())
    }
}

fn detail(card: &Sim, tried: Option<Tried>) -> String {
    let left = |attempts: Option<u32>| match attempts {
        Some(1) => " (1 attempt left)".to_owned(),
        Some(left) => format!(" ({left} attempts left)"),
        None => String::new(),
    };
    let pin = left(card.pin_attempts_left);
    match card.state {
        SimState::Absent => "no SIM: insert one".to_owned(),
        SimState::Busy => "the SIM is starting".to_owned(),
        SimState::PinRequired => match tried {
            Some(Tried::Refused) => format!(
                "the SIM refused the configured PIN{pin}: correct it in the configuration, or enter it with \
                 `modemctl sim pin`"
            ),
            Some(Tried::TooFew) => format!(
                "the SIM waits for its PIN{pin}, and the broker leaves the last attempt to you: `modemctl sim pin`"
            ),
            Some(Tried::NotRemembered) => {
                format!("the SIM waits for its PIN{pin}, which is not tried while the store fails: see the log")
            }
            Some(Tried::Accepted) => "the SIM took its PIN and is starting".to_owned(),
            Some(Tried::NoPin) | None => {
                format!("the SIM waits for its PIN{pin}: `modemctl sim pin`, or set `pin` in the configuration")
            }
        },
        SimState::PukRequired => format!(
            "the SIM is blocked and waits for its PUK{}: `modemctl sim puk`",
            left(card.puk_attempts_left)
        ),
        SimState::Failed => "the SIM failed or is locked to another network: try it in a phone".to_owned(),
        SimState::Unknown | SimState::Ready => "waiting for the SIM".to_owned(),
    }
}
