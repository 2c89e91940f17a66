//! `SimService`.

use api::v1;
use api::v1::sim_service_server::SimService;
use api::v1::{
    ChangePinRequest, ChangePinResponse, EnterPinRequest, EnterPinResponse, GetSimRequest, GetSimResponse,
    RestartSimRequest, RestartSimResponse, SetPinLockRequest, SetPinLockResponse, UnblockPinRequest,
    UnblockPinResponse,
};
use tonic::{Request, Response, Status};

use super::{Context, convert};
use crate::modem::{self, SimOperation};
use crate::refusal::Refusal;
use crate::secret::Secret;

#[tonic::async_trait]
impl SimService for Context {
    async fn get_sim(&self, request: Request<GetSimRequest>) -> Result<Response<GetSimResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        Ok(Response::new(GetSimResponse {
            sim: Some(convert::sim(modem.name(), &modem.snapshot().sim)),
        }))
    }

    async fn enter_pin(&self, request: Request<EnterPinRequest>) -> Result<Response<EnterPinResponse>, Status> {
        let request = request.into_inner();
        let operation = SimOperation::EnterPin {
            pin: pin("pin", request.pin)?,
        };
        let sim = self
            .operate(&request.modem, operation, request.spend_last_attempt)
            .await?;
        Ok(Response::new(EnterPinResponse { sim: Some(sim) }))
    }

    async fn change_pin(&self, request: Request<ChangePinRequest>) -> Result<Response<ChangePinResponse>, Status> {
        let request = request.into_inner();
        let operation = SimOperation::ChangePin {
            pin: pin("current_pin", request.current_pin)?,
            new_pin: pin("new_pin", request.new_pin)?,
        };
        let sim = self
            .operate(&request.modem, operation, request.spend_last_attempt)
            .await?;
        Ok(Response::new(ChangePinResponse { sim: Some(sim) }))
    }

    async fn set_pin_lock(&self, request: Request<SetPinLockRequest>) -> Result<Response<SetPinLockResponse>, Status> {
        let request = request.into_inner();
        let operation = SimOperation::SetPinLock {
            enabled: request.enabled,
            pin: pin("pin", request.pin)?,
        };
        let sim = self
            .operate(&request.modem, operation, request.spend_last_attempt)
            .await?;
        Ok(Response::new(SetPinLockResponse { sim: Some(sim) }))
    }

    async fn unblock_pin(&self, request: Request<UnblockPinRequest>) -> Result<Response<UnblockPinResponse>, Status> {
        let request = request.into_inner();
        let operation = SimOperation::UnblockPin {
            puk: digits("puk", request.puk, 8..=8)?,
            new_pin: pin("new_pin", request.new_pin)?,
        };
        let sim = self
            .operate(&request.modem, operation, request.spend_last_attempt)
            .await?;
        Ok(Response::new(UnblockPinResponse { sim: Some(sim) }))
    }

    async fn restart_sim(&self, request: Request<RestartSimRequest>) -> Result<Response<RestartSimResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        let sim = modem.ask(|reply| modem::Request::RestartSim { reply }).await?;
        Ok(Response::new(RestartSimResponse {
            sim: Some(convert::sim(modem.name(), &sim)),
        }))
    }
}

impl Context {
    async fn operate(
        &self,
        modem: &str,
        operation: SimOperation,
        spend_last_attempt: bool,
    ) -> Result<v1::Sim, Refusal> {
        let modem = self.modems.find(modem)?;
        let sim = modem
            .ask(|reply| modem::Request::OperateSim {
                operation,
                spend_last_attempt,
                reply,
            })
            .await?;
        Ok(convert::sim(modem.name(), &sim))
    }
}

fn pin(field: &'static str, value: String) -> Result<Secret, Refusal> {
    digits(field, value, 4..=8)
}

/// The value stays out of the refusal: it is a secret even when it is wrong.
fn digits(field: &'static str, value: String, length: std::ops::RangeInclusive<usize>) -> Result<Secret, Refusal> {
    if length.contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Secret::new(value));
    }
    let expected = if length.start() == length.end() {
        format!("expected {} digits", length.start())
    } else {
        format!("expected {} to {} digits", length.start(), length.end())
    };
    Err(Refusal::FieldInvalid {
        field,
        problem: expected,
    })
}
