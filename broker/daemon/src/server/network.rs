//! `NetworkService`.

use api::v1::network_service_server::NetworkService;
use api::v1::{
    CheckWanRequest, CheckWanResponse, ConnectBearerRequest, ConnectBearerResponse, DisconnectBearerRequest,
    DisconnectBearerResponse, ForceWanRequest, ForceWanResponse, GetBearerRequest, GetBearerResponse,
    GetDataUsageRequest, GetDataUsageResponse, GetNetworkStatusRequest, GetNetworkStatusResponse,
    GetSignalHistoryRequest, GetSignalHistoryResponse, GetWanStatusRequest, GetWanStatusResponse, ScanOperatorsRequest,
    ScanOperatorsResponse, SelectOperatorRequest, SelectOperatorResponse, SetNetworkModesRequest,
    SetNetworkModesResponse, SetWanPolicyRequest, SetWanPolicyResponse,
};
use tonic::{Request, Response, Status};

use super::{Context, ResponseStream, convert, not_built_yet, validate};
use crate::modem;

#[tonic::async_trait]
impl NetworkService for Context {
    async fn get_network_status(
        &self,
        request: Request<GetNetworkStatusRequest>,
    ) -> Result<Response<GetNetworkStatusResponse>, Status> {
        let request = request.get_ref();
        let modem = self.modems.find(&request.modem)?;
        let status = if request.refresh {
            modem.ask(|reply| modem::Request::RefreshNetwork { reply }).await?
        } else {
            modem.snapshot().network
        };
        Ok(Response::new(GetNetworkStatusResponse {
            status: Some(convert::network(modem.name(), &status)),
        }))
    }

    async fn get_signal_history(
        &self,
        _: Request<GetSignalHistoryRequest>,
    ) -> Result<Response<GetSignalHistoryResponse>, Status> {
        not_built_yet("GetSignalHistory")
    }

    type ScanOperatorsStream = ResponseStream<ScanOperatorsResponse>;

    async fn scan_operators(
        &self,
        _: Request<ScanOperatorsRequest>,
    ) -> Result<Response<Self::ScanOperatorsStream>, Status> {
        not_built_yet("ScanOperators")
    }

    async fn select_operator(
        &self,
        _: Request<SelectOperatorRequest>,
    ) -> Result<Response<SelectOperatorResponse>, Status> {
        not_built_yet("SelectOperator")
    }

    async fn set_network_modes(
        &self,
        _: Request<SetNetworkModesRequest>,
    ) -> Result<Response<SetNetworkModesResponse>, Status> {
        not_built_yet("SetNetworkModes")
    }

    async fn get_wan_status(&self, _: Request<GetWanStatusRequest>) -> Result<Response<GetWanStatusResponse>, Status> {
        not_built_yet("GetWanStatus")
    }

    async fn check_wan(&self, _: Request<CheckWanRequest>) -> Result<Response<CheckWanResponse>, Status> {
        not_built_yet("CheckWan")
    }

    async fn set_wan_policy(&self, _: Request<SetWanPolicyRequest>) -> Result<Response<SetWanPolicyResponse>, Status> {
        not_built_yet("SetWanPolicy")
    }

    async fn force_wan(&self, _: Request<ForceWanRequest>) -> Result<Response<ForceWanResponse>, Status> {
        not_built_yet("ForceWan")
    }

    async fn get_bearer(&self, request: Request<GetBearerRequest>) -> Result<Response<GetBearerResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        Ok(Response::new(GetBearerResponse {
            bearer: Some(convert::bearer(modem.name(), &modem.snapshot().bearer)),
        }))
    }

    async fn connect_bearer(
        &self,
        request: Request<ConnectBearerRequest>,
    ) -> Result<Response<ConnectBearerResponse>, Status> {
        let ConnectBearerRequest { modem, apn } = request.into_inner();
        let modem = self.modems.find(&modem)?;
        let apn = validate::access_point_name(apn)?;
        let bearer = modem.ask(|reply| modem::Request::ConnectBearer { apn, reply }).await?;
        Ok(Response::new(ConnectBearerResponse {
            bearer: Some(convert::bearer(modem.name(), &bearer)),
        }))
    }

    async fn disconnect_bearer(
        &self,
        request: Request<DisconnectBearerRequest>,
    ) -> Result<Response<DisconnectBearerResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        let bearer = modem.ask(|reply| modem::Request::DisconnectBearer { reply }).await?;
        Ok(Response::new(DisconnectBearerResponse {
            bearer: Some(convert::bearer(modem.name(), &bearer)),
        }))
    }

    async fn get_data_usage(&self, _: Request<GetDataUsageRequest>) -> Result<Response<GetDataUsageResponse>, Status> {
        not_built_yet("GetDataUsage")
    }
}
