//! The operator and the technologies of `[modem.network]`.

use cellular::at::{command, reply};
use cellular::profile::sim7600;
use tokio::time::Instant;

use super::{BringUp, BringUpError, Progress};
use crate::modem::operators;
use crate::refusal::Refusal;
use crate::resource::{AccessTechnology, Stage};

impl BringUp {
    /// Sets what is configured and is not so in the module. What is refused is told, and not tried again before the next
    /// start or the next card: each try takes the modem off its network.
    pub(super) async fn settle_network(&mut self) -> Result<(), BringUpError> {
        if std::mem::replace(&mut self.network_settled, true) {
            return Ok(());
        }
        let mut problems = Vec::new();
        if let Some(technologies) = self.needs.network.technologies.clone() {
            problems.extend(self.settle_technologies(&technologies).await?);
        }
        if let Some(plmn) = self.needs.network.plmn.clone() {
            problems.extend(self.settle_operator(&plmn).await?);
        }
        if problems.is_empty() {
            return Ok(());
        }
        self.tell(Progress::Degraded(Stage::Registering, problems.join("; ")))
            .await
    }

    async fn settle_technologies(&mut self, wanted: &[AccessTechnology]) -> Result<Option<String>, BringUpError> {
        let allowed = operators::allowed(None, &self.needs.at).await;
        if allowed.is_some_and(|allowed| operators::are_same(&allowed, wanted)) {
            return Ok(None);
        }
        const REMEDY: &str = "check modes in [modem.network], or set them with: modemctl network modes";
        if self.is_in_call().await? {
            return Ok(Some(format!("the technologies were not set during a call; {REMEDY}")));
        }
        tracing::info!(
            modem = self.needs.name,
            ?wanted,
            "setting the technologies that may be used"
        );
        self.calm().await;
        let outcome = operators::allow(None, &self.needs.at, wanted).await;
        self.calm_until = Instant::now() + sim7600::RADIO_PAUSE;
        Ok(outcome.err().map(|refusal| format!("{refusal}; {REMEDY}")))
    }

    async fn settle_operator(&mut self, plmn: &str) -> Result<Option<String>, BringUpError> {
        if self.is_selected(plmn).await? {
            return Ok(None);
        }
        let remedy = format!("check plmn in [modem.network], or try it again with: modemctl network select {plmn}");
        if self.is_in_call().await? {
            return Ok(Some(format!("the operator was not selected during a call; {remedy}")));
        }
        self.enter(Stage::Registering, format!("selecting the operator {plmn}"))
            .await?;
        self.calm().await;
        let outcome = operators::select(&self.needs.at, Some(plmn), None).await;
        self.calm_until = Instant::now() + sim7600::RADIO_PAUSE;
        Ok(outcome.err().map(|refusal: Refusal| format!("{refusal}; {remedy}")))
    }

    /// Whether the operator was selected by its name and serves: `+COPS?` names it as the last command wanted it named, so
    /// the numbers are those of the cell.
    async fn is_selected(&self, plmn: &str) -> Result<bool, BringUpError> {
        let response = self.ask(command::operator()).await?;
        let selection = reply::operator_selection(&response.lines);
        if !selection.is_ok_and(|selection| matches!(selection.mode, 1 | 4) && selection.operator.is_some()) {
            return Ok(false);
        }
        let response = self.ask(command::system_information()).await?;
        let system = reply::system_information(&response.lines).ok();
        let identity = system.as_ref().and_then(reply::SystemInformation::identity);
        Ok(identity.is_some_and(|identity| format!("{}{}", identity.mcc, identity.mnc) == plmn))
    }

    /// A change of the network would end it.
    async fn is_in_call(&self) -> Result<bool, BringUpError> {
        let listed = self.ask_on(&self.needs.at_calls, command::list_current_calls()).await?;
        Ok(reply::current_calls(&listed.lines).iter().any(|call| call.voice))
    }
}
