//! `ModemService` and `SimService`.

use api::v1::modem_service_server::ModemService;
use api::v1::sim_service_server::SimService;
use api::v1::{
    ChangePinRequest, ChangePinResponse, EnterPinRequest, EnterPinResponse, GetModemRequest, GetModemResponse,
    GetPortsRequest, GetPortsResponse, GetRecoveryRequest, GetRecoveryResponse, GetSimRequest, GetSimResponse,
    ListModemsRequest, ListModemsResponse, ResetModemRequest, ResetModemResponse, SetFunctionalityRequest,
    SetFunctionalityResponse, SetPinLockRequest, SetPinLockResponse, SwitchCompositionRequest,
    SwitchCompositionResponse, UnblockPinRequest, UnblockPinResponse,
};
use tonic::{Request, Response, Status};

use super::{Context, convert, not_built_yet};

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

    async fn reset_modem(&self, _: Request<ResetModemRequest>) -> Result<Response<ResetModemResponse>, Status> {
        not_built_yet("ResetModem")
    }

    async fn set_functionality(
        &self,
        _: Request<SetFunctionalityRequest>,
    ) -> Result<Response<SetFunctionalityResponse>, Status> {
        not_built_yet("SetFunctionality")
    }

    async fn switch_composition(
        &self,
        _: Request<SwitchCompositionRequest>,
    ) -> Result<Response<SwitchCompositionResponse>, Status> {
        not_built_yet("SwitchComposition")
    }

    async fn get_recovery(&self, _: Request<GetRecoveryRequest>) -> Result<Response<GetRecoveryResponse>, Status> {
        not_built_yet("GetRecovery")
    }
}

#[tonic::async_trait]
impl SimService for Context {
    async fn get_sim(&self, request: Request<GetSimRequest>) -> Result<Response<GetSimResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        Ok(Response::new(GetSimResponse {
            sim: Some(convert::sim(modem.name(), &modem.snapshot().sim)),
        }))
    }

    async fn enter_pin(&self, _: Request<EnterPinRequest>) -> Result<Response<EnterPinResponse>, Status> {
        not_built_yet("EnterPin")
    }

    async fn change_pin(&self, _: Request<ChangePinRequest>) -> Result<Response<ChangePinResponse>, Status> {
        not_built_yet("ChangePin")
    }

    async fn set_pin_lock(&self, _: Request<SetPinLockRequest>) -> Result<Response<SetPinLockResponse>, Status> {
        not_built_yet("SetPinLock")
    }

    async fn unblock_pin(&self, _: Request<UnblockPinRequest>) -> Result<Response<UnblockPinResponse>, Status> {
        not_built_yet("UnblockPin")
    }
}
