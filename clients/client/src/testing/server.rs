//! The services.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use api::v1::watch_events_request::Start;
use api::v1::{self, event::Change};
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Router;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::Shared;

type Answer<T> = Result<Response<T>, Status>;
pub(super) type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A refusal as the broker gives it.
pub fn refuse(code: Code, reason: &str, message: impl Into<String>, metadata: &[(&str, String)]) -> Status {
    let metadata: HashMap<String, String> = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    let details = ErrorDetails::with_error_info(reason, api::ERROR_DOMAIN, metadata);
    Status::with_error_details(code, message, details)
}

/// Methods that no test needs, in the form in which `async_trait` would write them.
macro_rules! not_scripted {
    ($($name:ident($request:ty) -> $response:ty;)*) => { $(
        fn $name<'a, 'async_trait>(
            &'a self,
            _request: Request<$request>,
        ) -> Pin<Box<dyn Future<Output = Answer<$response>> + Send + 'async_trait>>
        where
            'a: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async { Err(Status::unimplemented("not scripted")) })
        }
    )* };
}

#[derive(Clone)]
pub(super) struct Services(pub(super) Arc<Shared>);

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let services = Services(shared);
    tonic::transport::Server::builder()
        .add_service(v1::modem_service_server::ModemServiceServer::new(services.clone()))
        .add_service(v1::sim_service_server::SimServiceServer::new(services.clone()))
        .add_service(v1::network_service_server::NetworkServiceServer::new(services.clone()))
        .add_service(v1::sms_service_server::SmsServiceServer::new(services.clone()))
        .add_service(v1::voice_service_server::VoiceServiceServer::new(services.clone()))
        .add_service(v1::event_service_server::EventServiceServer::new(services.clone()))
        .add_service(v1::diagnostics_service_server::DiagnosticsServiceServer::new(services))
}

#[tonic::async_trait]
impl v1::modem_service_server::ModemService for Services {
    async fn list_modems(&self, _: Request<v1::ListModemsRequest>) -> Answer<v1::ListModemsResponse> {
        let state = self.0.lock();
        let cursor = state.events.last().map_or(0, |event| event.sequence);
        Ok(Response::new(v1::ListModemsResponse {
            modems: state.modems.clone(),
            cursor,
        }))
    }

    async fn get_recovery(&self, request: Request<v1::GetRecoveryRequest>) -> Answer<v1::GetRecoveryResponse> {
        let recovery = self.0.lock().recoveries.get(&request.into_inner().modem).cloned();
        Ok(Response::new(recovery.unwrap_or_default()))
    }

    not_scripted! {
        get_modem(v1::GetModemRequest) -> v1::GetModemResponse;
        reset_modem(v1::ResetModemRequest) -> v1::ResetModemResponse;
        set_functionality(v1::SetFunctionalityRequest) -> v1::SetFunctionalityResponse;
        switch_composition(v1::SwitchCompositionRequest) -> v1::SwitchCompositionResponse;
        get_ports(v1::GetPortsRequest) -> v1::GetPortsResponse;
    }
}

#[tonic::async_trait]
impl v1::sim_service_server::SimService for Services {
    async fn get_sim(&self, request: Request<v1::GetSimRequest>) -> Answer<v1::GetSimResponse> {
        let sim = self.0.lock().sims.get(&request.into_inner().modem).cloned();
        Ok(Response::new(v1::GetSimResponse { sim }))
    }

    not_scripted! {
        enter_pin(v1::EnterPinRequest) -> v1::EnterPinResponse;
        change_pin(v1::ChangePinRequest) -> v1::ChangePinResponse;
        set_pin_lock(v1::SetPinLockRequest) -> v1::SetPinLockResponse;
        unblock_pin(v1::UnblockPinRequest) -> v1::UnblockPinResponse;
        restart_sim(v1::RestartSimRequest) -> v1::RestartSimResponse;
    }
}

#[tonic::async_trait]
impl v1::network_service_server::NetworkService for Services {
    type ScanOperatorsStream = Streamed<v1::ScanOperatorsResponse>;

    async fn get_network_status(
        &self,
        request: Request<v1::GetNetworkStatusRequest>,
    ) -> Answer<v1::GetNetworkStatusResponse> {
        let modem = request.into_inner().modem;
        let state = self.0.lock();
        let status = if modem.is_empty() {
            state.networks.values().next()
        } else {
            state.networks.get(&modem)
        };
        Ok(Response::new(v1::GetNetworkStatusResponse {
            status: status.cloned(),
        }))
    }

    not_scripted! {
        get_signal_history(v1::GetSignalHistoryRequest) -> v1::GetSignalHistoryResponse;
        scan_operators(v1::ScanOperatorsRequest) -> Streamed<v1::ScanOperatorsResponse>;
        select_operator(v1::SelectOperatorRequest) -> v1::SelectOperatorResponse;
        set_network_modes(v1::SetNetworkModesRequest) -> v1::SetNetworkModesResponse;
        get_wan_status(v1::GetWanStatusRequest) -> v1::GetWanStatusResponse;
        check_wan(v1::CheckWanRequest) -> v1::CheckWanResponse;
        set_wan_mode(v1::SetWanModeRequest) -> v1::SetWanModeResponse;
        force_wan(v1::ForceWanRequest) -> v1::ForceWanResponse;
        get_bearer(v1::GetBearerRequest) -> v1::GetBearerResponse;
        connect_bearer(v1::ConnectBearerRequest) -> v1::ConnectBearerResponse;
        disconnect_bearer(v1::DisconnectBearerRequest) -> v1::DisconnectBearerResponse;
        get_data_usage(v1::GetDataUsageRequest) -> v1::GetDataUsageResponse;
        get_cells(v1::GetCellsRequest) -> v1::GetCellsResponse;
        get_bearer_statistics(v1::GetBearerStatisticsRequest) -> v1::GetBearerStatisticsResponse;
        list_data_profiles(v1::ListDataProfilesRequest) -> v1::ListDataProfilesResponse;
    }
}

#[tonic::async_trait]
impl v1::sms_service_server::SmsService for Services {
    async fn send_message(&self, request: Request<v1::SendMessageRequest>) -> Answer<v1::SendMessageResponse> {
        let request = request.into_inner();
        let mut state = self.0.lock();
        state.sends.push(request.clone());
        if let Some(status) = state.refusals.pop_front() {
            return Err(status);
        }
        let known = |message: &&v1::Message| !request.request_id.is_empty() && message.request_id == request.request_id;
        if let Some(message) = state.messages.iter().find(known) {
            return Ok(Response::new(v1::SendMessageResponse {
                message: Some(message.clone()),
            }));
        }
        let text = match request.content {
            Some(v1::send_message_request::Content::Text(text)) => text,
            _ => String::new(),
        };
        let coding = if text.is_ascii() {
            v1::MessageCoding::Gsm7
        } else {
            v1::MessageCoding::Ucs2
        };
        let message = v1::Message {
            message_id: format!("m{}", state.sends.len()),
            modem: "sim1".into(),
            direction: v1::MessageDirection::Outgoing.into(),
            state: v1::MessageState::Queued.into(),
            address: request.address,
            part_count: text.chars().count().div_ceil(153).max(1) as u32,
            text,
            coding: coding.into(),
            request_id: request.request_id,
            delivery_report_requested: request.delivery_report,
            send_time: request.send_time,
            ..Default::default()
        };
        state.messages.insert(0, message.clone());
        drop(state);
        self.0.append(Change::MessageChanged(message.clone()));
        Ok(Response::new(v1::SendMessageResponse { message: Some(message) }))
    }

    async fn get_message(&self, request: Request<v1::GetMessageRequest>) -> Answer<v1::GetMessageResponse> {
        let message_id = request.into_inner().message_id;
        let message = self
            .0
            .lock()
            .messages
            .iter()
            .find(|message| message.message_id == message_id)
            .cloned();
        match message {
            Some(message) => Ok(Response::new(v1::GetMessageResponse { message: Some(message) })),
            None => Err(refuse(
                Code::NotFound,
                "MESSAGE_NOT_FOUND",
                format!("no such message: {message_id}"),
                &[("message_id", message_id.clone())],
            )),
        }
    }

    async fn list_messages(&self, request: Request<v1::ListMessagesRequest>) -> Answer<v1::ListMessagesResponse> {
        let request = request.into_inner();
        let mut state = self.0.lock();
        state.lists.push(request.clone());
        let page = if request.page_size == 0 {
            100
        } else {
            request.page_size as usize
        };
        let first = request.page_token.parse().unwrap_or(0usize);
        let wanted: Vec<_> = state
            .messages
            .iter()
            .filter(|message| request.direction == 0 || message.direction == request.direction)
            .filter(|message| request.states.is_empty() || request.states.contains(&message.state))
            .cloned()
            .collect();
        let next = first + page;
        Ok(Response::new(v1::ListMessagesResponse {
            next_page_token: if next < wanted.len() {
                next.to_string()
            } else {
                String::new()
            },
            messages: wanted.into_iter().skip(first).take(page).collect(),
            cursor: state.events.last().map_or(0, |event| event.sequence),
        }))
    }

    async fn delete_message(&self, request: Request<v1::DeleteMessageRequest>) -> Answer<v1::DeleteMessageResponse> {
        let message_id = request.into_inner().message_id;
        self.0
            .lock()
            .messages
            .retain(|message| message.message_id != message_id);
        Ok(Response::new(v1::DeleteMessageResponse {}))
    }

    not_scripted! {
        cancel_message(v1::CancelMessageRequest) -> v1::CancelMessageResponse;
        list_conversations(v1::ListConversationsRequest) -> v1::ListConversationsResponse;
        mark_messages(v1::MarkMessagesRequest) -> v1::MarkMessagesResponse;
        compose_message(v1::ComposeMessageRequest) -> v1::ComposeMessageResponse;
        check_storage(v1::CheckStorageRequest) -> v1::CheckStorageResponse;
    }
}

#[tonic::async_trait]
impl v1::diagnostics_service_server::DiagnosticsService for Services {
    type OpenAtTerminalStream = Streamed<v1::OpenAtTerminalResponse>;
    type StreamTraceStream = Streamed<v1::StreamTraceResponse>;

    async fn execute_at_command(
        &self,
        request: Request<v1::ExecuteAtCommandRequest>,
    ) -> Answer<v1::ExecuteAtCommandResponse> {
        let mut state = self.0.lock();
        state.at_commands.push(request.into_inner());
        Ok(Response::new(state.at_answer.clone()))
    }

    not_scripted! {
        execute_qmi_request(v1::ExecuteQmiRequestRequest) -> v1::ExecuteQmiRequestResponse;
        list_qmi_services(v1::ListQmiServicesRequest) -> v1::ListQmiServicesResponse;
        open_at_terminal(tonic::Streaming<v1::OpenAtTerminalRequest>) -> Streamed<v1::OpenAtTerminalResponse>;
        stream_trace(v1::StreamTraceRequest) -> Streamed<v1::StreamTraceResponse>;
        get_trace(v1::GetTraceRequest) -> v1::GetTraceResponse;
    }
}

fn kind(change: &Change) -> v1::EventKind {
    match change {
        Change::ModemChanged(_) => v1::EventKind::Modem,
        Change::SimChanged(_) => v1::EventKind::Sim,
        Change::MessageChanged(_) => v1::EventKind::Message,
        Change::CallChanged(_) => v1::EventKind::Call,
        Change::NetworkChanged(_) => v1::EventKind::Network,
        Change::UssdChanged(_) => v1::EventKind::Ussd,
        Change::WanChanged(_) => v1::EventKind::Wan,
        Change::BearerChanged(_) => v1::EventKind::Bearer,
        Change::DtmfReceived(_) => v1::EventKind::Dtmf,
        Change::Deleted(_) => v1::EventKind::Deleted,
    }
}

fn page(shared: &Shared, after: u64, limit: usize, filter: &v1::EventFilter) -> (Vec<v1::Event>, u64, bool) {
    let state = shared.lock();
    let later: Vec<_> = state
        .events
        .iter()
        .filter(|event| event.sequence > after)
        .take(limit + 1)
        .cloned()
        .collect();
    let caught_up = later.len() <= limit;
    let page: Vec<_> = later.into_iter().take(limit).collect();
    let cursor = page.last().map_or(after, |event| event.sequence);
    let wanted = |event: &v1::Event| {
        let kind = event.change.as_ref().map_or(v1::EventKind::Unspecified, kind);
        filter.kinds.is_empty() || filter.kinds.contains(&kind.into())
    };
    (page.into_iter().filter(wanted).collect(), cursor, caught_up)
}

#[tonic::async_trait]
impl v1::event_service_server::EventService for Services {
    type WatchEventsStream = Streamed<v1::WatchEventsResponse>;

    async fn watch_events(&self, request: Request<v1::WatchEventsRequest>) -> Answer<Self::WatchEventsStream> {
        let request = request.into_inner();
        let filter = request.filter.unwrap_or_default();
        let shared = Arc::clone(&self.0);
        let mut doorbell = shared.doorbell.subscribe();
        let (mut after, expired) = {
            let state = shared.lock();
            let newest = state.events.last().map_or(state.expired, |event| event.sequence);
            let after = match request.start {
                Some(Start::Cursor(cursor)) => cursor,
                Some(Start::Consumer(consumer)) => state.consumers.get(&consumer).copied().unwrap_or(state.expired),
                Some(Start::Beginning(_)) => state.expired,
                Some(Start::Now(_)) | None => newest,
            };
            (after, state.expired)
        };
        if after < expired {
            let oldest = expired + 1;
            return Err(refuse(
                Code::OutOfRange,
                "CURSOR_EXPIRED",
                format!("cursor {after} is older than the oldest stored event; start at {oldest}"),
                &[("oldest_cursor", oldest.to_string())],
            ));
        }
        let (sender, receiver) = mpsc::channel(4);
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with its stream: the send fails when the client is gone"
        )]
        tokio::spawn(async move {
            let mut first = true;
            loop {
                doorbell.borrow_and_update();
                let (events, cursor, caught_up) = page(&shared, after, 256, &filter);
                if cursor > after || first {
                    (after, first) = (cursor, false);
                    let response = v1::WatchEventsResponse {
                        events,
                        cursor,
                        caught_up,
                        ..Default::default()
                    };
                    if sender.send(Ok(response)).await.is_err() {
                        return;
                    }
                    continue;
                }
                tokio::select! {
                    changed = doorbell.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn list_events(&self, request: Request<v1::ListEventsRequest>) -> Answer<v1::ListEventsResponse> {
        let request = request.into_inner();
        let limit = if request.page_size == 0 {
            256
        } else {
            request.page_size as usize
        };
        let filter = request.filter.unwrap_or_default();
        let (events, cursor, caught_up) = page(&self.0, request.cursor, limit, &filter);
        Ok(Response::new(v1::ListEventsResponse {
            events,
            cursor,
            caught_up,
        }))
    }

    async fn commit_cursor(&self, request: Request<v1::CommitCursorRequest>) -> Answer<v1::CommitCursorResponse> {
        let request = request.into_inner();
        let cursor = {
            let mut state = self.0.lock();
            state.commits.push((request.consumer.clone(), request.cursor));
            let position = state.consumers.entry(request.consumer).or_default();
            *position = if request.rewind {
                request.cursor
            } else {
                request.cursor.max(*position)
            };
            *position
        };
        self.0.ring();
        Ok(Response::new(v1::CommitCursorResponse { cursor }))
    }

    not_scripted! {
        list_consumers(v1::ListConsumersRequest) -> v1::ListConsumersResponse;
        delete_consumer(v1::DeleteConsumerRequest) -> v1::DeleteConsumerResponse;
    }
}
