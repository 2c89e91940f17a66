//! From an open port to a modem that works, as one sequence that reads from top to bottom. What is already right is read and
//! left alone, and every wait has a bound.

use std::time::Duration;

use ::modem::at::command::Storage;
use ::modem::at::reply::{self, Domain, NewMessageIndication, SimStatus};
use ::modem::at::{Command, Response, ResultCode, command};
use ::modem::call::State;
use tokio::sync::{mpsc, watch};

use super::network;
use crate::config::Secret;
use crate::port::at::{AtError, AtHandle, Lane};
use crate::resource::{RegistrationState, Sim, SimState, Stage};

/// What the sequence tells the actor on its way.
#[derive(Debug)]
pub(super) enum Progress {
    Stage(Stage, String),
    Identity {
        manufacturer: String,
        model: String,
        revision: String,
        imei: String,
    },
    Sim(Sim),
    /// Messages can be read now.
    MessagesReady,
    Registration(Domain, RegistrationState),
}

/// Why the modem did not come up. The actor closes the ports and starts over.
#[derive(Debug, thiserror::Error)]
pub(super) enum BringUpError {
    #[error("the modem stopped answering while it came up: {0}")]
    At(#[from] AtError),
    #[error("{0} was refused: {1}")]
    Refused(&'static str, ResultCode),
    #[error("the actor is gone")]
    Gone,
}

/// The sequence and what it needs.
pub(super) struct BringUp {
    pub(super) at: AtHandle,
    pub(super) at_calls: AtHandle,
    pub(super) pin: Option<Secret>,
    pub(super) progress: mpsc::Sender<Progress>,
    /// Whether the actor knows the modem to be registered.
    pub(super) registered: watch::Receiver<bool>,
    /// Calls without a client stay up.
    pub(super) keep_calls: bool,
}

/// A SIM takes a few seconds after power-up; it tells by `+CPIN`, but over USB that is often lost.
const SIM_POLL: Duration = Duration::from_secs(1);

/// Registration is told by unsolicited codes; this is for the case that one was lost.
const REGISTRATION_POLL: Duration = Duration::from_secs(10);

/// A PIN attempt is spent only while more than this many are left.
const PIN_ATTEMPTS_RESERVED: u8 = 1;

impl BringUp {
    pub(super) async fn run(mut self) -> Result<(), BringUpError> {
        self.probe().await?;
        self.tell(Progress::Stage(
            Stage::Identifying,
            "reading manufacturer, model, revision and IMEI".into(),
        ))
        .await?;
        self.identify().await?;
        self.wait_for_sim().await?;
        self.tell(Progress::Stage(
            Stage::Configuring,
            "switching on message storage and reports".into(),
        ))
        .await?;
        self.end_stray_calls().await?;
        self.configure_reports().await?;
        self.configure_messages().await?;
        self.tell(Progress::MessagesReady).await?;
        self.tell(Progress::Stage(Stage::Registering, "waiting for a network".into()))
            .await?;
        self.wait_for_registration().await
    }

    async fn tell(&self, progress: Progress) -> Result<(), BringUpError> {
        self.progress.send(progress).await.map_err(|_| BringUpError::Gone)
    }

    async fn ask(&self, command: Command) -> Result<Response, BringUpError> {
        Ok(self.at.execute(Lane::Normal, command).await?)
    }

    /// Sets something that every firmware knows.
    async fn set(&self, at: &AtHandle, what: &'static str, command: Command) -> Result<(), BringUpError> {
        match at.execute(Lane::Normal, command).await?.result {
            ResultCode::Ok => Ok(()),
            refused => Err(BringUpError::Refused(what, refused)),
        }
    }

    /// Sets something that a firmware may not know; its absence is told once and not fatal.
    async fn try_set(&self, at: &AtHandle, what: &'static str, command: Command) -> Result<bool, BringUpError> {
        let result = at.execute(Lane::Normal, command).await?.result;
        if !result.is_ok() {
            tracing::debug!(what, %result, "not known to this firmware");
        }
        Ok(result.is_ok())
    }

    fn ports(&self) -> Vec<&AtHandle> {
        if self.at.role() == self.at_calls.role() {
            vec![&self.at]
        } else {
            vec![&self.at, &self.at_calls]
        }
    }

    async fn probe(&self) -> Result<(), BringUpError> {
        for at in self.ports() {
            self.set(at, "AT", command::probe()).await?;
            self.set(at, "ATE0", command::echo_off()).await?;
            self.set(
                at,
                "AT+CMEE=1",
                command::error_reporting(command::ErrorReporting::Numeric),
            )
            .await?;
        }
        Ok(())
    }

    async fn identify(&self) -> Result<(), BringUpError> {
        let manufacturer = self.ask(command::manufacturer()).await?;
        let model = self.ask(command::model()).await?;
        let revision = self.ask(command::revision()).await?;
        let imei = self.ask(command::serial_number()).await?;
        self.tell(Progress::Identity {
            manufacturer: reply::identification(&manufacturer.lines, "+CGMI").unwrap_or_default(),
            model: reply::identification(&model.lines, "+CGMM").unwrap_or_default(),
            revision: reply::identification(&revision.lines, "+CGMR").unwrap_or_default(),
            imei: reply::serial_number(&imei.lines).unwrap_or_default(),
        })
        .await
    }

    async fn wait_for_sim(&self) -> Result<(), BringUpError> {
        let mut pin_tried = false;
        let mut told = None;
        loop {
            let mut sim = self.read_sim().await?;
            if sim.state == SimState::Ready {
                self.read_subscriber(&mut sim).await?;
                return self.tell(Progress::Sim(sim)).await;
            }
            let (state, attempts) = (sim.state, sim.pin_attempts_left);
            if told != Some((state, attempts)) {
                told = Some((state, attempts));
                self.tell(Progress::Sim(sim)).await?;
                self.tell(Progress::Stage(
                    Stage::Sim,
                    sim_detail(state, attempts, self.pin.is_some(), pin_tried),
                ))
                .await?;
            }
            if state == SimState::PinRequired && !pin_tried {
                pin_tried = self.enter_pin(attempts).await?;
                if pin_tried {
                    continue;
                }
            }
            tokio::time::sleep(SIM_POLL).await;
        }
    }

    async fn read_sim(&self) -> Result<Sim, BringUpError> {
        let response = self.ask(command::pin_status()).await?;
        let state = match &response.result {
            ResultCode::Ok => reply::sim_status(&response.lines).map_or(SimState::Unknown, |status| sim_state(&status)),
            // 27.007 9.2.1: 10 SIM not inserted, 13 SIM failure, 14 SIM busy.
            ResultCode::Cme(code) => match code.number {
                Some(10) => SimState::Absent,
                Some(13) => SimState::Failed,
                Some(14) => SimState::Busy,
                _ => SimState::Unknown,
            },
            _ => SimState::Unknown,
        };
        let mut sim = Sim {
            state,
            ..Sim::default()
        };
        if matches!(state, SimState::PinRequired | SimState::PukRequired) {
            let response = self.ask(command::pin_attempts()).await?;
            if let Ok(attempts) = reply::pin_attempts(&response.lines) {
                sim.pin_attempts_left = Some(u32::from(attempts.pin));
                sim.puk_attempts_left = Some(u32::from(attempts.puk));
            }
        }
        Ok(sim)
    }

    /// Spends one attempt when that is safe. Tried once for each time the ports are opened; when the number of attempts is
    /// not told, none is spent, because a blocked SIM means a journey.
    async fn enter_pin(&self, attempts: Option<u32>) -> Result<bool, BringUpError> {
        let Some(pin) = &self.pin else { return Ok(false) };
        if attempts.is_none_or(|attempts| attempts <= u32::from(PIN_ATTEMPTS_RESERVED)) {
            return Ok(false);
        }
        let Ok(command) = command::enter_pin(pin.expose()) else {
            return Ok(false);
        };
        let result = self.ask(command).await?.result;
        if !result.is_ok() {
            tracing::error!(%result, "the SIM refused the configured PIN; it is not tried again before the ports are opened anew");
        }
        Ok(true)
    }

    async fn read_subscriber(&self, sim: &mut Sim) -> Result<(), BringUpError> {
        sim.imsi = reply::imsi(&self.ask(command::imsi()).await?.lines).unwrap_or_default();
        sim.iccid = reply::iccid(&self.ask(command::iccid()).await?.lines).unwrap_or_default();
        sim.own_numbers = reply::own_numbers(&self.ask(command::own_numbers()).await?.lines);
        // The length of the MNC is in the SIM (EF_AD) and not in the IMSI; until it is read the home network is its MCC.
        sim.home_plmn = sim.imsi.get(..3).unwrap_or_default().to_owned();
        Ok(())
    }

    /// A call that a broker left behind when it was killed: nobody is on the line, and nobody else would end it.
    async fn end_stray_calls(&self) -> Result<(), BringUpError> {
        let listed = self
            .at_calls
            .execute(Lane::Normal, command::list_current_calls())
            .await?;
        let is_up = |call: &reply::CurrentCall| call.voice && !matches!(call.state, State::Incoming | State::Waiting);
        if !self.keep_calls && reply::current_calls(&listed.lines).iter().any(is_up) {
            tracing::warn!("a call was up that no client can know of; hanging up");
            self.try_set(&self.at_calls, "AT+CHUP", command::hang_up()).await?;
        }
        Ok(())
    }

    async fn configure_reports(&self) -> Result<(), BringUpError> {
        // A sleeping UART loses the first bytes of a command and shows as I/O errors.
        self.try_set(&self.at, "AT+CSCLK=0", command::sleep_off()).await?;
        for domain in [Domain::Cs, Domain::Ps, Domain::Eps] {
            self.try_set(&self.at, "registration reports", command::registration_reports(domain))
                .await?;
        }
        self.try_set(&self.at_calls, "AT+CLIP=1", command::caller_id_on())
            .await?;
        self.try_set(&self.at_calls, "AT+CRC=1", command::extended_ring())
            .await?;
        self.try_set(&self.at_calls, "AT+CLCC=1", command::call_list_reports())
            .await?;
        // VoLTE calls run at 16 kHz unless told otherwise, and the audio path here is 8 kHz throughout.
        let narrow = command::pcm_bandwidth(command::PcmFormat::Narrow, command::PcmFormat::Narrow);
        self.try_set(&self.at_calls, "AT+CPCMBANDWIDTH=1,1", narrow).await?;
        self.try_set(&self.at_calls, "AT+DDET=1", command::dtmf_detection())
            .await?;
        Ok(())
    }

    async fn configure_messages(&self) -> Result<(), BringUpError> {
        self.set(&self.at, "AT+CMGF=0", command::message_format_pdu()).await?;
        self.set(
            &self.at,
            "AT+CPMS",
            command::message_storage(Storage::Sim, Storage::Sim, Storage::Sim),
        )
        .await?;
        // Reports are stored when the firmware can, so that none is lost while the broker is away; otherwise sent as they
        // come, otherwise none.
        for status_report in [2, 1, 0] {
            let indication = NewMessageIndication {
                mode: 2,
                deliver: 1,
                broadcast: 0,
                status_report,
                buffer: 0,
            };
            if let Ok(command) = command::new_message_indication(indication)
                && self.try_set(&self.at, "AT+CNMI", command).await?
            {
                return Ok(());
            }
        }
        Err(BringUpError::Refused("AT+CNMI", ResultCode::Error))
    }

    async fn wait_for_registration(&mut self) -> Result<(), BringUpError> {
        loop {
            for domain in [Domain::Cs, Domain::Ps, Domain::Eps] {
                let response = self.ask(command::registration(domain)).await?;
                if let Ok(registration) = reply::registration(&response.lines, domain) {
                    self.tell(Progress::Registration(
                        domain,
                        network::registration_state(registration.state),
                    ))
                    .await?;
                }
            }
            let waiting = self.registered.wait_for(|registered| *registered);
            match tokio::time::timeout(REGISTRATION_POLL, waiting).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(_)) => return Err(BringUpError::Gone),
                Err(_) => {}
            }
        }
    }
}

/// The SIM's state as `+CPIN` tells it.
pub(super) fn sim_state(status: &SimStatus) -> SimState {
    match status {
        SimStatus::Ready => SimState::Ready,
        // PIN2 and PUK2 guard fixed dialling and the like; everything the broker does works without.
        SimStatus::Pin2 | SimStatus::Puk2 => SimState::Ready,
        SimStatus::Pin => SimState::PinRequired,
        SimStatus::Puk => SimState::PukRequired,
        SimStatus::Absent => SimState::Absent,
        SimStatus::PhoneToSimPin | SimStatus::NetworkPersonalizationPin => SimState::Failed,
        SimStatus::Other(_) => SimState::Unknown,
    }
}

fn sim_detail(state: SimState, attempts: Option<u32>, pin_configured: bool, pin_tried: bool) -> String {
    let left = attempts
        .map(|left| format!(" ({left} attempts left)"))
        .unwrap_or_default();
    match state {
        SimState::Absent => "no SIM: insert one".to_owned(),
        SimState::Busy => "the SIM is starting".to_owned(),
        SimState::PinRequired if pin_tried => {
            format!("the SIM refused the configured PIN{left}: correct it in the configuration")
        }
        SimState::PinRequired if pin_configured => format!("the SIM waits for its PIN{left}"),
        SimState::PinRequired => format!("the SIM waits for its PIN{left}: set `pin` in the configuration"),
        SimState::PukRequired => format!("the SIM is blocked and waits for its PUK{left}"),
        SimState::Failed => "the SIM failed or is locked to another network".to_owned(),
        SimState::Unknown | SimState::Ready => "waiting for the SIM".to_owned(),
    }
}
