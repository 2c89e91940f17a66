//! `NetworkService`.

use api::v1::network_service_server::NetworkService;
use api::v1::{
    CheckWanRequest, CheckWanResponse, ConnectBearerRequest, ConnectBearerResponse, DisconnectBearerRequest,
    DisconnectBearerResponse, ForceWanRequest, ForceWanResponse, GetBearerRequest, GetBearerResponse,
    GetBearerStatisticsRequest, GetBearerStatisticsResponse, GetCellsRequest, GetCellsResponse, GetDataUsageRequest,
    GetDataUsageResponse, GetNetworkStatusRequest, GetNetworkStatusResponse, GetSignalHistoryRequest,
    GetSignalHistoryResponse, GetWanStatusRequest, GetWanStatusResponse, ListDataProfilesRequest,
    ListDataProfilesResponse, ScanOperatorsRequest, ScanOperatorsResponse, SelectOperatorRequest,
    SelectOperatorResponse, SetNetworkModesRequest, SetNetworkModesResponse, SetWanModeRequest, SetWanModeResponse,
};
use std::time::Duration;

use cellular::at::reply::FoundOperator;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::{Context, ResponseStream, convert, radio, validate};
use crate::refusal::Refusal;
use crate::{modem, wan};

/// How often a scan tells that it goes on.
const SCAN_PROGRESS: Duration = Duration::from_secs(1);

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
        request: Request<GetSignalHistoryRequest>,
    ) -> Result<Response<GetSignalHistoryResponse>, Status> {
        let GetSignalHistoryRequest { modem, span } = request.into_inner();
        let modem = self.modems.find(&modem)?;
        let start = validate::span_start(span)?;
        let signals = modem.signals().since(start);
        Ok(Response::new(GetSignalHistoryResponse {
            signals: signals.iter().map(convert::signal).collect(),
        }))
    }

    async fn get_cells(&self, request: Request<GetCellsRequest>) -> Result<Response<GetCellsResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        Ok(Response::new(radio::cells(modem).await?))
    }

    async fn get_bearer_statistics(
        &self,
        request: Request<GetBearerStatisticsRequest>,
    ) -> Result<Response<GetBearerStatisticsResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        Ok(Response::new(radio::statistics(modem).await?))
    }

    async fn list_data_profiles(
        &self,
        request: Request<ListDataProfilesRequest>,
    ) -> Result<Response<ListDataProfilesResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        Ok(Response::new(ListDataProfilesResponse {
            profiles: radio::profiles(modem).await?,
        }))
    }

    type ScanOperatorsStream = ResponseStream<ScanOperatorsResponse>;

    async fn scan_operators(
        &self,
        request: Request<ScanOperatorsRequest>,
    ) -> Result<Response<Self::ScanOperatorsStream>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?.clone();
        let scan = async move { modem.ask(|reply| modem::Request::ScanOperators { reply }).await };
        Ok(Response::new(Box::pin(with_progress(scan))))
    }

    async fn select_operator(
        &self,
        request: Request<SelectOperatorRequest>,
    ) -> Result<Response<SelectOperatorResponse>, Status> {
        let request = request.into_inner();
        let modem = self.modems.find(&request.modem)?;
        let asked = validate::known("technology", request.technology)?;
        let (plmn, technology) = validate::operator(request.plmn, asked)?;
        let select = |reply| modem::Request::SelectOperator {
            plmn,
            technology,
            reply,
        };
        let status = modem.ask(select).await?;
        Ok(Response::new(SelectOperatorResponse {
            status: Some(convert::network(modem.name(), &status)),
        }))
    }

    async fn set_network_modes(
        &self,
        request: Request<SetNetworkModesRequest>,
    ) -> Result<Response<SetNetworkModesResponse>, Status> {
        let request = request.get_ref();
        let modem = self.modems.find(&request.modem)?;
        let technologies = validate::technologies(&request.technologies)?;
        let set = |reply| modem::Request::SetNetworkModes { technologies, reply };
        let status = modem.ask(set).await?;
        Ok(Response::new(SetNetworkModesResponse {
            status: Some(convert::network(modem.name(), &status)),
        }))
    }

    async fn get_wan_status(&self, _: Request<GetWanStatusRequest>) -> Result<Response<GetWanStatusResponse>, Status> {
        let status = self.wan()?.status();
        Ok(Response::new(GetWanStatusResponse {
            status: Some(convert::wan(&status)),
        }))
    }

    async fn check_wan(&self, _: Request<CheckWanRequest>) -> Result<Response<CheckWanResponse>, Status> {
        let status = self.wan()?.ask(wan::Request::Check).await?;
        Ok(Response::new(CheckWanResponse {
            status: Some(convert::wan(&status)),
        }))
    }

    async fn set_wan_mode(&self, request: Request<SetWanModeRequest>) -> Result<Response<SetWanModeResponse>, Status> {
        let mode = validate::wan_mode(validate::known("mode", request.get_ref().mode)?)?;
        let status = self.wan()?.ask(|reply| wan::Request::SetMode(mode, reply)).await?;
        Ok(Response::new(SetWanModeResponse {
            status: Some(convert::wan(&status)),
        }))
    }

    async fn force_wan(&self, request: Request<ForceWanRequest>) -> Result<Response<ForceWanResponse>, Status> {
        let role = validate::forced_wan(validate::known("role", request.get_ref().role)?)?;
        let status = self.wan()?.ask(|reply| wan::Request::Force(role, reply)).await?;
        Ok(Response::new(ForceWanResponse {
            status: Some(convert::wan(&status)),
        }))
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
        let connect = |reply| modem::Request::ConnectBearer {
            apn,
            default_route: true,
            reply,
        };
        let bearer = modem.ask(connect).await?;
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

    async fn get_data_usage(
        &self,
        request: Request<GetDataUsageRequest>,
    ) -> Result<Response<GetDataUsageResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        let interface = modem.snapshot().bearer.interface;
        let usage = wan::usage::count(&self.store, modem.name(), &interface, self.data_cap.day).await;
        Ok(Response::new(GetDataUsageResponse {
            downlink_bytes: usage.downlink,
            uplink_bytes: usage.uplink,
            period_start_time: Some(convert::timestamp(usage.period_start)),
            cap_bytes: self.data_cap.bytes.unwrap_or(0),
        }))
    }
}

/// How long a scan has been running, again and again until it is over; then what it found. Dropping the stream drops the scan.
fn with_progress(
    scan: impl Future<Output = Result<Vec<FoundOperator>, Refusal>> + Send + 'static,
) -> impl Stream<Item = Result<ScanOperatorsResponse, Status>> + Send {
    let begin = Instant::now();
    // Not at once: a scan that is refused says that first.
    let mut ticks = tokio::time::interval_at(begin + SCAN_PROGRESS, SCAN_PROGRESS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = Some((Box::pin(scan), ticks));
    futures_util::stream::unfold(state, move |state| async move {
        let (mut scan, mut ticks) = state?;
        tokio::select! {
            biased;
            found = &mut scan => {
                let last = found.map(|found| ScanOperatorsResponse {
                    elapsed: prost_types::Duration::try_from(begin.elapsed()).ok(),
                    operators: found.iter().map(convert::found_operator).collect(),
                    finished: true,
                });
                Some((last.map_err(Status::from), None))
            }
            _ = ticks.tick() => {
                let progress = ScanOperatorsResponse {
                    elapsed: prost_types::Duration::try_from(begin.elapsed()).ok(),
                    ..ScanOperatorsResponse::default()
                };
                Some((Ok(progress), Some((scan, ticks))))
            }
        }
    })
}

impl Context {
    fn wan(&self) -> Result<&wan::WanHandle, Refusal> {
        self.wan.as_ref().ok_or(Refusal::NotEnabled { key: "wan.modem" })
    }
}
