//! `SmsService`.

mod composition;

use api::v1::MessageState;
use api::v1::sms_service_server::SmsService;
use api::v1::{
    CancelMessageRequest, CancelMessageResponse, CheckStorageRequest, CheckStorageResponse, ComposeMessageRequest,
    ComposeMessageResponse, DeleteMessageRequest, DeleteMessageResponse, GetMessageRequest, GetMessageResponse,
    ListMessagesRequest, ListMessagesResponse, MessageStorage, SendMessageRequest, SendMessageResponse,
};
use cellular::carrier::Country;
use tonic::{Request, Response, Status};

use super::auth::Client;
use super::{Context, convert, validate};
use crate::modem;
use crate::refusal::Refusal;
use crate::store::{self, Limits, MessageQuery, Queued};

#[tonic::async_trait]
impl SmsService for Context {
    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        let client = request.extensions().get::<Client>().cloned().unwrap_or_default();
        let request = request.into_inner();
        let modem = self.modems.find(&request.modem)?;
        let request_id = validate::request_id(&request.request_id)?;
        let composition = composition::composition(request.clone())?;
        // What it means and not how it was written: a repeated request may name the modem or leave spaces out.
        let content_hash = super::content_hash(&SendMessageRequest {
            modem: modem.name().to_owned(),
            address: composition.address.to_string(),
            request_id: String::new(),
            ..request
        });
        let message = composition.message(modem.name(), &request_id, &client.0)?;
        let limits = Limits {
            home: Country::of_imsi(&modem.snapshot().sim.imsi),
            ..(*self.limits).clone()
        };
        let message = match self
            .store
            .queue_message(message, &content_hash, &limits)
            .await
            .map_err(Refusal::from)?
        {
            Queued::New(message) => {
                modem.message_queued();
                message
            }
            Queued::Existing(message) => message,
        };
        Ok(Response::new(SendMessageResponse {
            message: Some(convert::message(&message)),
        }))
    }

    async fn compose_message(
        &self,
        request: Request<ComposeMessageRequest>,
    ) -> Result<Response<ComposeMessageResponse>, Status> {
        let request = request.into_inner().message.unwrap_or_default();
        // Every reference takes the same room; what is shown here is not sent.
        let composed = composition::composition(request)?.compose(0)?;
        Ok(Response::new(composition::composed(composed)))
    }

    async fn get_message(&self, request: Request<GetMessageRequest>) -> Result<Response<GetMessageResponse>, Status> {
        let message_id = request.into_inner().message_id;
        let message = self
            .store
            .message(&message_id)
            .await
            .map_err(Refusal::from)?
            .ok_or(Refusal::MessageNotFound { message_id })?;
        Ok(Response::new(GetMessageResponse {
            message: Some(convert::message(&message)),
        }))
    }

    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        let client = request.extensions().get::<Client>().cloned().unwrap_or_default();
        let request = request.into_inner();
        let states: Vec<MessageState> = validate::all_known("states", &request.states)?;
        let query = MessageQuery {
            modem: validate::optional(request.modem.clone()),
            direction: convert::message_direction(validate::known("direction", request.direction)?),
            states: states.into_iter().filter_map(convert::message_state).collect(),
            words: request.query.split_whitespace().map(str::to_owned).collect(),
            page_size: validate::page_size(request.page_size, 100)?,
            page_token: validate::optional(request.page_token),
            address: validate::correspondent(request.address),
            show_replaced: request.show_replaced,
            ..MessageQuery::default()
        };
        let held = self.budget.take(&client, store::PAGE_OCTETS).await;
        let page = self.store.messages(query).await.map_err(Refusal::from)?;
        let mut response = Response::new(ListMessagesResponse {
            messages: page.items.iter().map(convert::message).collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
            cursor: page.cursor.0,
        });
        if let Some(mut held) = held {
            held.shrink_to(page.octets);
            held.keep_for(&mut response);
        }
        Ok(response)
    }

    async fn delete_message(
        &self,
        request: Request<DeleteMessageRequest>,
    ) -> Result<Response<DeleteMessageResponse>, Status> {
        self.store
            .delete_message(&request.get_ref().message_id)
            .await
            .map_err(Refusal::from)?;
        Ok(Response::new(DeleteMessageResponse {}))
    }

    async fn cancel_message(
        &self,
        request: Request<CancelMessageRequest>,
    ) -> Result<Response<CancelMessageResponse>, Status> {
        let message = self
            .store
            .cancel_message(&request.get_ref().message_id)
            .await
            .map_err(Refusal::from)?;
        Ok(Response::new(CancelMessageResponse {
            message: Some(convert::message(&message)),
        }))
    }

    async fn check_storage(
        &self,
        request: Request<CheckStorageRequest>,
    ) -> Result<Response<CheckStorageResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        let storages = modem.ask(|reply| modem::Request::CheckStorage { reply }).await?;
        let storages = storages.into_iter().map(|storage| MessageStorage {
            name: storage.name,
            used: storage.used,
            total: storage.total,
        });
        Ok(Response::new(CheckStorageResponse {
            storages: storages.collect(),
        }))
    }
}
