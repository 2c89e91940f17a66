//! `NetworkService`, and `LocationService` and `UssdService`, of which nothing is built yet.

use api::v1::location_service_server::LocationService;
use api::v1::network_service_server::NetworkService;
use api::v1::ussd_service_server::UssdService;
use api::v1::{
    CancelRequest, CancelResponse, CheckWanRequest, CheckWanResponse, ConnectBearerRequest, ConnectBearerResponse,
    DisconnectBearerRequest, DisconnectBearerResponse, ForceWanRequest, ForceWanResponse, GetDataUsageRequest,
    GetDataUsageResponse, GetFixRequest, GetFixResponse, GetNetworkStatusRequest, GetNetworkStatusResponse,
    GetSignalHistoryRequest, GetSignalHistoryResponse, GetWanStatusRequest, GetWanStatusResponse, ReplyRequest,
    ReplyResponse, ScanOperatorsRequest, ScanOperatorsResponse, SelectOperatorRequest, SelectOperatorResponse,
    SetNetworkModesRequest, SetNetworkModesResponse, SetWanPolicyRequest, SetWanPolicyResponse, StartRequest,
    StartResponse, StreamFixesRequest, StreamFixesResponse, StreamNmeaRequest, StreamNmeaResponse,
};
use tonic::{Request, Response, Status};

use super::{Context, ResponseStream, convert, not_built_yet};
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

    async fn connect_bearer(
        &self,
        _: Request<ConnectBearerRequest>,
    ) -> Result<Response<ConnectBearerResponse>, Status> {
        not_built_yet("ConnectBearer")
    }

    async fn disconnect_bearer(
        &self,
        _: Request<DisconnectBearerRequest>,
    ) -> Result<Response<DisconnectBearerResponse>, Status> {
        not_built_yet("DisconnectBearer")
    }

    async fn get_data_usage(&self, _: Request<GetDataUsageRequest>) -> Result<Response<GetDataUsageResponse>, Status> {
        not_built_yet("GetDataUsage")
    }
}

#[tonic::async_trait]
impl LocationService for Context {
    async fn get_fix(&self, _: Request<GetFixRequest>) -> Result<Response<GetFixResponse>, Status> {
        not_built_yet("GetFix")
    }

    type StreamFixesStream = ResponseStream<StreamFixesResponse>;

    async fn stream_fixes(&self, _: Request<StreamFixesRequest>) -> Result<Response<Self::StreamFixesStream>, Status> {
        not_built_yet("StreamFixes")
    }

    type StreamNmeaStream = ResponseStream<StreamNmeaResponse>;

    async fn stream_nmea(&self, _: Request<StreamNmeaRequest>) -> Result<Response<Self::StreamNmeaStream>, Status> {
        not_built_yet("StreamNmea")
    }
}

#[tonic::async_trait]
impl UssdService for Context {
    async fn start(&self, _: Request<StartRequest>) -> Result<Response<StartResponse>, Status> {
        not_built_yet("Start")
    }

    async fn reply(&self, _: Request<ReplyRequest>) -> Result<Response<ReplyResponse>, Status> {
        not_built_yet("Reply")
    }

    async fn cancel(&self, _: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        not_built_yet("Cancel")
    }
}
