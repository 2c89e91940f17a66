//! The QMI services beside the bearer's: the card and its power, new messages, what the radio sees, requests made by hand.
//!
//! They are second voices: what the AT ports tell of the card and of messages is often lost over USB, and then it is told
//! here.
//!
//! Whichever of AT and QMI reports a message first counts; the second report is ignored (`messages::voices` counts how
//! far one is ahead of the other, by place). Messages themselves are read by AT commands only. Nothing is polled: the
//! second voice costs two client ids and four requests when the port is opened. A `RestartSim` takes the SIM's power for
//! a second and gives it back whatever happens; if the broker is killed meanwhile, the next one does.

mod guard;
mod requests;
mod sim_power;

use cellular::qmi::uim::{self, Card, CardStatus};
use cellular::qmi::{Failure, Indication, Request, Response, wms};

use super::serving::Serving;
use super::{Reply, bearer};
use crate::port::qmi::QmiHandle;
use crate::refusal::Refusal;
use crate::resource::{Sim, SimState};

pub use guard::by_hand;

/// Work of these services that finished.
pub(super) enum Done {
    /// What the modem tells from now on, and the card now.
    Followed(Option<CardStatus>),
    /// The SIM was switched off and on.
    SimRestarted {
        /// How often the SIM had gone away before.
        changes: u64,
        result: Result<CardStatus, Refusal>,
        reply: Reply<Sim>,
    },
}

/// What the actor keeps of these services.
#[derive(Default)]
pub(super) struct Services {
    /// The SIM is being switched off and on.
    restarting_sim: bool,
}

impl Services {
    pub(super) fn is_restarting_sim(&self) -> bool {
        self.restarting_sim
    }
}

impl Serving<'_> {
    /// Asks the modem to tell of the card and of messages, once the port is open.
    pub(super) fn follow_services(&mut self) {
        let Some(qmi) = self.data.qmi() else { return };
        let name = self.modem.status.name.clone();
        let work = async move {
            if let Err(error) = ask(&qmi, wms::set_event_report()).await {
                tracing::debug!(modem = name, error, "the modem does not tell of messages by QMI");
            }
            super::Done::Service(Done::Followed(follow_card(&qmi, &name).await))
        };
        let bound = self.data.while_open(work, || super::Done::Answered);
        self.start(bound);
    }

    /// Takes an indication of these services.
    pub(super) async fn service_told(&mut self, indication: &Indication) {
        match (indication.service, indication.id) {
            (cellular::qmi::Service::UIM, uim::CARD_STATUS) => {
                if let Ok(status) = uim::card_status_changed(indication) {
                    self.sim_heard_of(state_of(status.card)).await;
                }
            }
            (cellular::qmi::Service::WMS, wms::EVENT_REPORT) => {
                if let Ok(Some((storage, index))) = wms::stored_message(indication) {
                    self.messages.told_by_qmi(storage, index);
                }
            }
            _ => {}
        }
    }

    pub(super) async fn service_done(&mut self, done: Done) {
        match done {
            Done::Followed(Some(status)) => self.sim_heard_of(state_of(status.card)).await,
            Done::Followed(None) => {}
            Done::SimRestarted { changes, result, reply } => self.sim_restarted(changes, result, reply).await,
        }
    }
}

/// Asks to be told of the card, and how it is. One without power was left so by a broker that was killed in the midst of
/// switching it off and on.
async fn follow_card(qmi: &QmiHandle, modem: &str) -> Option<CardStatus> {
    if let Err(error) = ask(qmi, uim::register_events()).await {
        tracing::debug!(modem, error, "the modem does not tell of the SIM by QMI");
        return None;
    }
    let status = uim::card_status(&qmi.ask(uim::get_card_status()).await.ok()?).ok()?;
    if status.card == Card::PoweredDown {
        tracing::warn!(modem, "an earlier run left the SIM without power; switching it on");
        if let Err(error) = ask(qmi, uim::power_on()).await {
            tracing::error!(
                modem,
                error,
                "could not switch the SIM on; reset the module with: modemctl modem reset"
            );
        }
    }
    Some(status)
}

async fn ask(qmi: &QmiHandle, request: Request) -> Result<Response, String> {
    let response = qmi.ask(request).await.map_err(|failure| failure.to_string())?;
    response.result().map_err(|refusal| refusal.to_string())?;
    Ok(response)
}

/// The SIM's state as QMI tells it; unknown is what says nothing about whether the card can be used.
fn state_of(card: Card) -> SimState {
    match card {
        Card::Absent | Card::PoweredDown => SimState::Absent,
        Card::Failed(_) | Card::Blocked => SimState::Failed,
        Card::PinRequired => SimState::PinRequired,
        Card::PukRequired => SimState::PukRequired,
        Card::Ready => SimState::Ready,
        // One that is starting has been lost or is told again, and the network's opinion is not the card's.
        Card::Starting | Card::Illegal => SimState::Unknown,
    }
}

/// Why there was no answer.
fn refusal_of(failure: Failure, what: &str) -> Refusal {
    match failure {
        Failure::TimedOut => Refusal::ModemTimeout {
            command: what.to_owned(),
        },
        Failure::NoClient(refusal) => refused(refusal, what),
        other => Refusal::QmiNotAvailable {
            detail: other.to_string(),
        },
    }
}

/// Why the answer is a refusal.
pub fn refused(refusal: cellular::qmi::Refusal, what: &str) -> Refusal {
    match refusal.protocol() {
        Some(error) => Refusal::Refused {
            what: what.to_owned(),
            kind: "QMI",
            number: error.0.to_string(),
            name: error.name().unwrap_or("unknown").to_owned(),
        },
        None => Refusal::ModemProtocol {
            line: format!("{what}: {refusal}"),
        },
    }
}

/// Why QMI cannot be used now.
fn not_available(bearer: &bearer::Data) -> Refusal {
    Refusal::QmiNotAvailable {
        detail: bearer.why_closed(),
    }
}
