//! From an open port to a modem that works, stage by stage.
//!
//! Each stage reads what is there and writes only what differs. How long it may take, how often it is tried and what its
//! failure means is data in [`plan`]. The sequence lives as long as the ports are open: when the SIM goes away it starts
//! again at the SIM, and what could not be set up is tried again from time to time.
//!
//! Only differences are written, so a modem that is set up is not written to at all. A stage that fails has one of three
//! meanings: the ports are opened anew (probing, identifying); the broker waits and says for whom (SIM, registering); or
//! the modem comes up degraded and the stage is tried again after 30 s, then less and less often. Carrier and contexts
//! come *before* registering: the first attach then asks for the right access point, and only a modem that is attached
//! with another one has to attach anew. Pauses between changes of the contexts and of the radio are data of the module's
//! profile, and cost nothing when nothing is written.
//!
//! What the configuration says of the carrier wins key by key; then the built-in table, told apart by service provider's
//! name and group where operators share a network; then the package mobile-broadband-provider-info, read only for what
//! the table lacks. Otherwise the module's own contexts stay as they are.

mod carrier;
mod contexts;
mod identity;
mod messages;
mod network;
mod plan;
pub(in crate::modem) mod registration;
mod reports;
mod sim;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use cellular::at::command::Setting;
use cellular::at::reply::{self, Domain};
use cellular::at::{Command, Response, ResultCode, command};
use cellular::pcm::SampleRate;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::plan::{OnFailure, rule};
use super::reliance::Reliance;
use crate::modem::settings::{CarrierConfig, NetworkConfig};
use crate::port::at::{AtError, AtHandle, Lane};
use crate::resource::{Carrier, PortRole, PortState, RegistrationState, Sim, Stage};
use crate::secret::Secret;
use crate::store::Store;

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
    Carrier(Carrier),
    /// Messages can be read now.
    MessagesReady,
    Registration(Domain, RegistrationState),
    /// Something does not work; the modem comes up all the same.
    Degraded(Stage, String),
    /// It works now.
    Restored(Stage),
    /// Every stage is behind.
    Finished,
    /// The SIM went away or was exchanged; what depends on it is not valid any more.
    SimLost,
    /// A port that is not an AT port was opened, or failed.
    Port(PortRole, PortState, String),
}

/// Why the modem did not come up. The actor closes the ports and starts over.
#[derive(Debug, thiserror::Error)]
pub(super) enum BringUpError {
    #[error("the modem stopped answering while it came up: {0}")]
    At(#[from] AtError),
    #[error("{0} was refused: {1}")]
    Refused(&'static str, ResultCode),
    #[error("{}: not within {} s", .0.name(), .1.as_secs())]
    TooSlow(Stage, Duration),
    #[error("{0}")]
    Unusable(String),
    #[error("the actor is gone")]
    Gone,
}

impl BringUpError {
    /// Whether it is of no use to go on with these ports.
    fn is_final(&self) -> bool {
        use cellular::at::Failure;
        match self {
            BringUpError::Gone | BringUpError::At(AtError::Closed | AtError::Withdrawn) => true,
            BringUpError::At(AtError::Failed { failure, .. }) => matches!(failure, Failure::PortClosed { .. }),
            BringUpError::Refused(..) | BringUpError::TooSlow(..) | BringUpError::Unusable(_) => false,
        }
    }
}

/// What the sequence needs.
pub(super) struct Needs {
    pub(super) at: AtHandle,
    pub(super) at_calls: AtHandle,
    /// The configured name of the modem.
    pub(super) name: String,
    pub(super) pin: Option<Secret>,
    pub(super) carrier: CarrierConfig,
    pub(super) network: NetworkConfig,
    /// The database of mobile-broadband-provider-info.
    pub(super) provider_info: PathBuf,
    pub(super) store: Store,
    pub(super) progress: mpsc::Sender<Progress>,
    /// Whether the actor knows the modem to be registered.
    pub(super) registered: watch::Receiver<bool>,
    /// Counts what the actor heard about the SIM: each change starts the sequence again at the SIM.
    pub(super) sim_changes: watch::Receiver<u64>,
    /// Wakes the wait for the SIM.
    pub(super) sim_told: watch::Receiver<()>,
    /// Calls without a client stay up.
    pub(super) keep_calls: bool,
    /// What the audio port is to pass.
    pub(super) sample_rate: SampleRate,
    /// Why calls will have no audio, when the device has no port for it.
    pub(super) no_audio: Option<String>,
}

/// The sequence.
pub(super) struct BringUp {
    needs: Needs,
    sim: Sim,
    carrier: Carrier,
    /// User and password of the data access point.
    credentials: contexts::Credentials,
    messages_ready: bool,
    /// Operator and technologies were set as configured, or could not be: once for each card.
    network_settled: bool,
    /// Stages that could not be passed and are tried again.
    failed: Vec<Stage>,
    /// Until then nothing else is written that makes the radio work.
    calm_until: Instant,
}

/// Between two tries of what could not be set up: doubled each time, up to the second.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));

impl BringUp {
    pub(super) fn new(needs: Needs) -> Self {
        BringUp {
            needs,
            sim: Sim::default(),
            carrier: Carrier::default(),
            credentials: contexts::Credentials::default(),
            messages_ready: false,
            network_settled: false,
            failed: Vec::new(),
            calm_until: Instant::now(),
        }
    }

    /// Lives as long as the ports are of use; says why they are not any more.
    pub(super) async fn run(mut self) -> BringUpError {
        for stage in [Stage::Probing, Stage::Identifying] {
            if let Err(error) = self.pass(stage).await {
                return error;
            }
        }
        let mut sim_changes = self.needs.sim_changes.clone();
        loop {
            sim_changes.borrow_and_update();
            let changed = tokio::select! {
                biased;
                changed = sim_changes.changed() => changed,
                error = self.with_sim() => return error,
            };
            if changed.is_err() {
                return BringUpError::Gone;
            }
            if let Err(error) = self.tell(Progress::SimLost).await {
                return error;
            }
        }
    }

    /// Everything from the SIM on; ends only with an error.
    async fn with_sim(&mut self) -> BringUpError {
        self.messages_ready = false;
        self.network_settled = false;
        self.failed.clear();
        match self.all_stages().await {
            Ok(()) => {}
            Err(error) => return error,
        }
        let mut pause = RETRY_PAUSE.0;
        loop {
            if self.failed.is_empty() {
                return std::future::pending().await;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_PAUSE.1);
            if let Err(error) = self.try_again().await {
                return error;
            }
        }
    }

    async fn all_stages(&mut self) -> Result<(), BringUpError> {
        for stage in Stage::ALL {
            if (Stage::Sim..Stage::Ready).contains(&stage) {
                self.pass(stage).await?;
            }
        }
        self.tell(Progress::Finished).await
    }

    /// Passes a stage, within the time and with the tries that the plan gives it.
    async fn pass(&mut self, stage: Stage) -> Result<(), BringUpError> {
        let rule = rule(stage);
        self.enter(stage, rule.waits_for).await?;
        let error = match self.attempts(stage).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if error.is_final() || rule.on_failure == OnFailure::StartOver {
            return Err(error);
        }
        self.failed.push(stage);
        self.tell(Progress::Degraded(stage, format!("{error}; {}", rule.remedy)))
            .await
    }

    /// Once more what failed, without showing the stage: the modem is ready meanwhile.
    async fn try_again(&mut self) -> Result<(), BringUpError> {
        for stage in std::mem::take(&mut self.failed) {
            match self.attempts(stage).await {
                Ok(()) => self.tell(Progress::Restored(stage)).await?,
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    tracing::debug!(modem = self.needs.name, ?stage, %error, "still not");
                    self.failed.push(stage);
                }
            }
        }
        Ok(())
    }

    async fn attempts(&mut self, stage: Stage) -> Result<(), BringUpError> {
        let rule = rule(stage);
        let mut result = Ok(());
        for _ in 0..rule.tries {
            let attempt = self.attempt(stage);
            result = match rule.bound {
                None => attempt.await,
                Some(bound) => match tokio::time::timeout(bound, attempt).await {
                    Ok(result) => result,
                    Err(_) => Err(BringUpError::TooSlow(stage, bound)),
                },
            };
            match &result {
                Ok(()) => break,
                Err(error) if error.is_final() => break,
                Err(error) => tracing::debug!(modem = self.needs.name, ?stage, %error, "a stage was not passed"),
            }
        }
        result
    }

    async fn attempt(&mut self, stage: Stage) -> Result<(), BringUpError> {
        match stage {
            Stage::Probing => self.probe().await,
            Stage::Identifying => self.identify().await,
            Stage::Sim => self.wait_for_sim().await,
            Stage::Carrier => self.find_carrier().await,
            Stage::Contexts => self.define_contexts().await,
            Stage::Configuring => self.configure().await,
            Stage::Registering => self.wait_for_registration().await,
            Stage::Volte => self.switch_volte_on().await,
            Stage::Sms => self.check_messages().await,
            Stage::Voice => self.check_voice().await,
            Stage::Data => self.activate_context().await,
            Stage::Absent | Stage::Enumerated | Stage::Ready => Ok(()),
        }
    }

    async fn enter(&self, stage: Stage, detail: impl Into<String>) -> Result<(), BringUpError> {
        self.tell(Progress::Stage(stage, detail.into())).await
    }

    async fn tell(&self, progress: Progress) -> Result<(), BringUpError> {
        self.needs.progress.send(progress).await.map_err(|_| BringUpError::Gone)
    }

    async fn ask(&self, command: Command) -> Result<Response, BringUpError> {
        self.ask_on(&self.needs.at, command).await
    }

    async fn ask_on(&self, at: &AtHandle, command: Command) -> Result<Response, BringUpError> {
        Ok(at.execute(Lane::Normal, command).await?)
    }

    /// Sets something that has to be set.
    async fn set(&self, at: &AtHandle, what: &'static str, command: Command) -> Result<(), BringUpError> {
        match self.ask_on(at, command).await?.result {
            ResultCode::Ok => Ok(()),
            refused => Err(BringUpError::Refused(what, refused)),
        }
    }

    /// Sets something that a firmware may not know; its absence is told once and not fatal.
    async fn try_set(&self, at: &AtHandle, what: &'static str, command: Command) -> Result<bool, BringUpError> {
        let result = self.ask_on(at, command).await?.result;
        if !result.is_ok() {
            tracing::debug!(modem = self.needs.name, what, %result, "not known to this firmware");
        }
        Ok(result.is_ok())
    }

    /// Sets what has to be set, unless it is.
    async fn rely_on(&self, at: &AtHandle, reliance: &Reliance) -> Result<(), BringUpError> {
        if self.is_as_wanted(at, reliance).await? {
            return Ok(());
        }
        for command in (reliance.writes)() {
            self.set(at, reliance.what, command).await?;
        }
        Ok(())
    }

    /// The same for what a firmware may not know.
    async fn try_to_rely_on(&self, at: &AtHandle, reliance: &Reliance) -> Result<(), BringUpError> {
        if self.is_as_wanted(at, reliance).await? {
            return Ok(());
        }
        for command in (reliance.writes)() {
            self.try_set(at, reliance.what, command).await?;
        }
        Ok(())
    }

    async fn is_as_wanted(&self, at: &AtHandle, reliance: &Reliance) -> Result<bool, BringUpError> {
        match reliance.wanted {
            Some((setting, wanted)) => self.is_set(at, setting, wanted).await,
            None => Ok(false),
        }
    }

    /// Whether a setting already begins with these values. A setting that cannot be read is not.
    async fn is_set(&self, at: &AtHandle, setting: Setting, wanted: &[u32]) -> Result<bool, BringUpError> {
        let response = self.ask_on(at, command::setting_query(setting)).await?;
        let values = reply::setting_values(&response.lines, setting.prefix());
        Ok(response.result.is_ok() && values.is_ok_and(|values| values.starts_with(wanted)))
    }

    /// Waits until the radio may be disturbed again.
    async fn calm(&self) {
        tokio::time::sleep_until(self.calm_until).await;
    }

    fn ports(&self) -> Vec<&AtHandle> {
        if self.needs.at.role() == self.needs.at_calls.role() {
            vec![&self.needs.at]
        } else {
            vec![&self.needs.at, &self.needs.at_calls]
        }
    }
}
