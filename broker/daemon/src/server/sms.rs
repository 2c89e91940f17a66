//! `SmsService`.

mod composition;

use api::v1::MessageState;
use api::v1::sms_service_server::SmsService;
use api::v1::{
    CancelMessageRequest, CancelMessageResponse, CheckStorageRequest, CheckStorageResponse, ComposeMessageRequest,
    ComposeMessageResponse, Conversation, DeleteMessageRequest, DeleteMessageResponse, GetMessageRequest,
    GetMessageResponse, ListConversationsRequest, ListConversationsResponse, ListMessagesRequest, ListMessagesResponse,
    MarkMessagesRequest, MarkMessagesResponse, MessageStorage, SendMessageRequest, SendMessageResponse,
};
use cellular::carrier::Country;
use tonic::{Request, Response, Status};

use super::auth::Client;
use super::{Context, convert, validate};
use crate::modem;
use crate::refusal::Refusal;
use crate::store::{self, Limits, Marked, MessageQuery, Queued};

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
        if !request.modem.is_empty() {
            self.modems.find(&request.modem)?;
        }
        let query = MessageQuery {
            modem: validate::optional(request.modem.clone()),
            direction: convert::message_direction(validate::known("direction", request.direction)?),
            states: states.into_iter().filter_map(convert::message_state).collect(),
            words: request.query.split_whitespace().map(str::to_owned).collect(),
            page_size: validate::page_size(request.page_size, 100)?,
            page_token: validate::optional(request.page_token),
            address: validate::correspondent(request.address),
            show_replaced: request.show_replaced,
            client: validate::optional(request.client),
            conversation: validate::optional(request.conversation),
            after: request
                .after_time
                .map(|time| validate::time("after_time", time))
                .transpose()?,
            before: request
                .before_time
                .map(|time| validate::time("before_time", time))
                .transpose()?,
            unread_only: request.unread_only,
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

    async fn list_conversations(
        &self,
        request: Request<ListConversationsRequest>,
    ) -> Result<Response<ListConversationsResponse>, Status> {
        let client = request.extensions().get::<Client>().cloned().unwrap_or_default();
        let request = request.into_inner();
        let size = validate::page_size(request.page_size, 100)?;
        let token = validate::optional(request.page_token);
        let held = self.budget.take(&client, store::PAGE_OCTETS).await;
        let page = self.store.conversations(size, token).await.map_err(Refusal::from)?;
        let conversations = page.items.into_iter().map(|conversation| Conversation {
            conversation: conversation.name,
            last_message: Some(convert::message(&conversation.last_message)),
            message_count: conversation.message_count,
            unread_count: conversation.unread_count,
        });
        let mut response = Response::new(ListConversationsResponse {
            conversations: conversations.collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
            cursor: page.cursor.0,
        });
        if let Some(mut held) = held {
            held.shrink_to(page.octets);
            held.keep_for(&mut response);
        }
        Ok(response)
    }

    async fn mark_messages(
        &self,
        request: Request<MarkMessagesRequest>,
    ) -> Result<Response<MarkMessagesResponse>, Status> {
        let request = request.into_inner();
        let invalid = |problem: String| Refusal::FieldInvalid {
            field: "message_ids",
            problem,
        };
        let which = match (request.message_ids, request.conversation) {
            (ids, conversation) if ids.is_empty() && !conversation.is_empty() => Marked::Conversation(conversation),
            (ids, conversation) if !ids.is_empty() && conversation.is_empty() => Marked::Messages(ids),
            _ => return Err(invalid("give either message_ids or a conversation".to_owned()).into()),
        };
        if let Marked::Messages(ids) = &which
            && ids.len() > store::MARK_LIMIT
        {
            return Err(invalid(format!(
                "has {} ids, at most {} are allowed",
                ids.len(),
                store::MARK_LIMIT
            ))
            .into());
        }
        let changed_count = self.store.mark(which, request.unread).await.map_err(Refusal::from)?;
        Ok(Response::new(MarkMessagesResponse { changed_count }))
    }
}
