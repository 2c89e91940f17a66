//! The packet data contexts: the carrier's access points before the modem registers, the activation afterwards.

use cellular::at::command::Authentication;
use cellular::at::reply::{self, Domain, PdpContext, PdpType};
use cellular::at::{Command, ResultCode, command};
use cellular::profile::sim7600;
use tokio::time::Instant;

use super::{BringUp, BringUpError, Progress};
use crate::resource::{CarrierSource, Stage};

/// The context for data.
const DATA: u8 = 1;

/// The context that the firmware registers with the IMS through.
const IMS: u8 = 2;

/// User and password of the data access point.
#[derive(Clone, Default)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) authentication: Authentication,
    /// They are the operator's own and not out of a table.
    pub(super) configured: bool,
}

impl BringUp {
    /// Compares and writes only what differs. Done before the modem registers where that is possible: the first attach then
    /// asks for the right access point. A modem that is attached already has to attach anew after a change.
    pub(super) async fn define_contexts(&mut self) -> Result<(), BringUpError> {
        let response = self.ask(command::list_pdp_contexts()).await?;
        if !response.result.is_ok() {
            return Err(BringUpError::Refused("AT+CGDCONT?", response.result));
        }
        let present = reply::pdp_contexts(&response.lines);
        let find = |id| present.iter().find(|context| context.id == id);
        let mut attach_changed = false;
        if self.carrier.source == CarrierSource::Fallback {
            // Nobody knows better than the module and the network: what is there stays and is what is in use.
            self.carrier.data_apn = find(DATA).map(|context| context.apn.clone()).unwrap_or_default();
            self.tell(Progress::Carrier(self.carrier.clone())).await?;
        } else if !self.carrier.data_apn.is_empty() {
            let data_apn = self.carrier.data_apn.clone();
            attach_changed = self.define(DATA, find(DATA), &data_apn, None).await?;
            attach_changed |= self.authenticate().await?;
        }
        let ims_apn = self.carrier.ims_apn.clone();
        self.define(IMS, find(IMS), &ims_apn, Some(PdpType::Ipv4v6)).await?;
        if attach_changed {
            self.attach_anew().await?;
        }
        Ok(())
    }

    /// Defines a context unless it is right. The type of one that exists is kept where none is wanted.
    async fn define(
        &mut self,
        id: u8,
        present: Option<&PdpContext>,
        apn: &str,
        wanted: Option<PdpType>,
    ) -> Result<bool, BringUpError> {
        // Access point names are compared like domain names (23.003 clause 9.1).
        let is_right = |context: &PdpContext| {
            context.apn.eq_ignore_ascii_case(apn) && (wanted.is_none() || context.pdp_type == wanted)
        };
        if present.is_some_and(is_right) {
            return Ok(false);
        }
        let pdp_type = wanted
            .or_else(|| present.and_then(|context| context.pdp_type))
            .unwrap_or(PdpType::Ipv4);
        let command = command::define_pdp_context(id, pdp_type, apn)
            .map_err(|error| BringUpError::Unusable(format!("{error}: it cannot be written to the modem")))?;
        tracing::info!(modem = self.needs.name, context = id, apn, "defining a context");
        self.write_calmly("AT+CGDCONT", command).await?;
        Ok(true)
    }

    /// Sets user and password of the data context. No firmware tells the password, so one that is configured is written at
    /// every start; one out of a table goes with its user.
    async fn authenticate(&mut self) -> Result<bool, BringUpError> {
        let response = self.ask(command::context_authentications()).await?;
        let known = response.result.is_ok();
        let present = reply::context_authentications(&response.lines);
        let present = present.into_iter().find(|(id, ..)| *id == DATA);
        let (kind, user) = present.map_or((0, String::new()), |(_, kind, user)| (kind, user));
        let Credentials {
            user: wanted_user,
            password,
            authentication,
            configured,
        } = self.credentials.clone();
        let wanted = if wanted_user.is_empty() {
            Authentication::None
        } else {
            authentication
        };
        let differs = kind != wanted.number() || (wanted != Authentication::None && user != wanted_user);
        let is_needed = wanted != Authentication::None || (known && kind != 0);
        if !is_needed || !(differs || (configured && !password.is_empty())) {
            return Ok(false);
        }
        let command = command::context_authentication(DATA, wanted, &wanted_user, &password).map_err(|error| {
            BringUpError::Unusable(format!("{error} of the data access point: it cannot be written"))
        })?;
        self.write_calmly("AT+CGAUTH", command).await?;
        Ok(differs)
    }

    async fn write_calmly(&mut self, what: &'static str, command: Command) -> Result<(), BringUpError> {
        self.calm().await;
        let result = self.set(&self.needs.at, what, command).await;
        self.calm_until = Instant::now() + sim7600::CONTEXT_PAUSE;
        result
    }

    /// An attach that is already there was made with the old access point.
    async fn attach_anew(&mut self) -> Result<(), BringUpError> {
        let response = self.ask(command::registration(Domain::Eps)).await?;
        let attached = reply::registration(&response.lines, Domain::Eps)
            .is_ok_and(|registration| registration.state.is_registered());
        let calls = self.ask_on(&self.needs.at_calls, command::list_current_calls()).await?;
        if !attached || !reply::current_calls(&calls.lines).is_empty() {
            return Ok(());
        }
        tracing::info!(
            modem = self.needs.name,
            "attaching again, because the access point has changed"
        );
        self.write_calmly("AT+CGATT=0", command::packet_attachment(false))
            .await?;
        self.write_calmly("AT+CGATT=1", command::packet_attachment(true)).await
    }

    /// Activates the data context, which the IMS of some carriers waits for. Not while roaming: that may cost.
    pub(super) async fn activate_context(&self) -> Result<(), BringUpError> {
        if !self.needs.carrier.activate {
            return Ok(());
        }
        let response = self.ask(command::pdp_activations()).await?;
        if reply::pdp_activations(&response.lines).contains(&(DATA, true)) {
            return Ok(());
        }
        for domain in [Domain::Ps, Domain::Eps] {
            let response = self.ask(command::registration(domain)).await?;
            if reply::registration(&response.lines, domain).is_ok_and(|found| found.state.is_roaming()) {
                return self
                    .enter(Stage::Data, "the data context stays inactive while roaming")
                    .await;
            }
        }
        let mut command =
            command::activate_pdp_context(DATA, true).map_err(|error| BringUpError::Unusable(error.to_string()))?;
        if let Some(bound) = super::plan::rule(Stage::Data).bound {
            // The port is needed for messages; the network's own two minutes are not waited for.
            command.timeout = bound - (bound / 4);
        }
        match self.ask(command).await?.result {
            ResultCode::Ok => Ok(()),
            refused => Err(BringUpError::Refused("AT+CGACT=1,1", refused)),
        }
    }
}
