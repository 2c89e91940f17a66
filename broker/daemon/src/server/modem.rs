//! `ModemService`.

use api::v1::modem_service_server::ModemService;
use api::v1::{
    GetModemRequest, GetModemResponse, GetPortsRequest, GetPortsResponse, GetRecoveryRequest, GetRecoveryResponse,
    ListModemsRequest, ListModemsResponse, RecoveryCounter, RecoveryStep, ResetModemRequest, ResetModemResponse,
    SetFunctionalityRequest, SetFunctionalityResponse, SwitchCompositionRequest, SwitchCompositionResponse,
};
use cellular::at::command::Functionality;
use cellular::recovery::Step;
use tonic::{Request, Response, Status};

use super::{Context, convert};
use crate::modem::{self, RecoveryStatus};
use crate::refusal::Refusal;

#[tonic::async_trait]
impl ModemService for Context {
    async fn list_modems(&self, _: Request<ListModemsRequest>) -> Result<Response<ListModemsResponse>, Status> {
        // The cursor is read first: a change in between is then told twice rather than never.
        let cursor = self.store.latest().0;
        let modems = self
            .modems
            .iter()
            .map(|modem| convert::modem(&modem.snapshot().status))
            .collect();
        Ok(Response::new(ListModemsResponse { modems, cursor }))
    }

    async fn get_modem(&self, request: Request<GetModemRequest>) -> Result<Response<GetModemResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        Ok(Response::new(GetModemResponse {
            modem: Some(convert::modem(&modem.snapshot().status)),
        }))
    }

    async fn get_ports(&self, request: Request<GetPortsRequest>) -> Result<Response<GetPortsResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        let ports = modem.snapshot().status.ports.iter().map(convert::port).collect();
        Ok(Response::new(GetPortsResponse { ports }))
    }

    async fn reset_modem(&self, request: Request<ResetModemRequest>) -> Result<Response<ResetModemResponse>, Status> {
        let request = request.into_inner();
        let modem = self.modems.find(&request.modem)?;
        let force = request.force;
        let status = modem.ask(|reply| modem::Request::Reset { force, reply }).await?;
        Ok(Response::new(ResetModemResponse {
            modem: Some(convert::modem(&status)),
        }))
    }

    async fn set_functionality(
        &self,
        request: Request<SetFunctionalityRequest>,
    ) -> Result<Response<SetFunctionalityResponse>, Status> {
        let request = request.into_inner();
        let modem = self.modems.find(&request.modem)?;
        let level = match request.functionality() {
            api::v1::Functionality::Minimum => Functionality::Minimum,
            api::v1::Functionality::Full => Functionality::Full,
            api::v1::Functionality::Flight => Functionality::RadioOff,
            api::v1::Functionality::Unspecified => {
                return Err(Refusal::FieldInvalid {
                    field: "functionality",
                    problem: "expected MINIMUM, FULL or FLIGHT".to_owned(),
                }
                .into());
            }
        };
        let status = modem
            .ask(|reply| modem::Request::SetFunctionality { level, reply })
            .await?;
        Ok(Response::new(SetFunctionalityResponse {
            modem: Some(convert::modem(&status)),
        }))
    }

    async fn switch_composition(
        &self,
        request: Request<SwitchCompositionRequest>,
    ) -> Result<Response<SwitchCompositionResponse>, Status> {
        let request = request.into_inner();
        let modem = self.modems.find(&request.modem)?;
        let written = request.composition.trim();
        let product = u16::from_str_radix(written, 16)
            .ok()
            .filter(|_| written.len() == 4)
            .ok_or_else(|| Refusal::FieldInvalid {
                field: "composition",
                problem: "expected a USB product id of four hexadecimal digits, such as 9001".to_owned(),
            })?;
        let status = modem
            .ask(|reply| modem::Request::SwitchComposition { product, reply })
            .await?;
        Ok(Response::new(SwitchCompositionResponse {
            modem: Some(convert::modem(&status)),
        }))
    }

    async fn get_recovery(
        &self,
        request: Request<GetRecoveryRequest>,
    ) -> Result<Response<GetRecoveryResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        Ok(Response::new(recovery(&modem.recovery())))
    }
}

fn recovery(status: &RecoveryStatus) -> GetRecoveryResponse {
    let counters = status.counters.iter().map(|counter| RecoveryCounter {
        step: step(counter.step).into(),
        attempts: counter.attempts,
        successes: counter.successes,
        budget_left: counter.budget_left,
        last_time: counter.last.map(convert::timestamp),
    });
    let current = match status.current {
        None => RecoveryStep::Unspecified,
        Some(None) => RecoveryStep::GiveUp,
        Some(Some(current)) => step(current),
    };
    GetRecoveryResponse {
        current_step: current.into(),
        counters: counters.collect(),
        next_attempt_time: status.next_attempt.map(convert::timestamp),
        detail: status.detail.clone(),
        evidence: status.evidence.clone(),
        hanging_calls: u32::try_from(status.hanging_calls).unwrap_or(u32::MAX),
    }
}

fn step(step: Step) -> RecoveryStep {
    match step {
        Step::Resynchronise => RecoveryStep::Resynchronise,
        Step::ReopenPort => RecoveryStep::ReopenPort,
        Step::SwitchPort => RecoveryStep::SwitchPort,
        Step::CycleRadio => RecoveryStep::CycleRadio,
        Step::ResetModule => RecoveryStep::ResetModule,
        Step::CycleUsb => RecoveryStep::CycleUsb,
        Step::PowerHook => RecoveryStep::PowerHook,
    }
}
