//! `SmsService`.

use std::time::Duration;

use api::v1::send_message_request::Content;
use api::v1::sms_service_server::SmsService;
use api::v1::{
    CancelMessageRequest, CancelMessageResponse, DeleteMessageRequest, DeleteMessageResponse, GetMessageRequest,
    GetMessageResponse, GetStorageRequest, GetStorageResponse, ListMessagesRequest, ListMessagesResponse,
    SendMessageRequest, SendMessageResponse, Storage,
};
use tonic::{Request, Response, Status};

use super::{Context, convert, validate};
use crate::modem::{self, Composition};
use crate::refusal::Refusal;
use crate::store::{MessageQuery, Queued};

/// 23.040 9.2.3.12.1: the relative format ends at 63 weeks.
const VALIDITY_MAX: Duration = Duration::from_secs(63 * 7 * 24 * 3600);

#[tonic::async_trait]
impl SmsService for Context {
    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        let request = request.into_inner();
        let modem = self.modems.find(&request.modem)?;
        let request_id = validate::request_id(&request.request_id)?;
        let content_hash = super::content_hash(&SendMessageRequest {
            request_id: String::new(),
            ..request.clone()
        });
        let message = modem::compose(modem.name(), &request_id, composition(request)?)?;
        let message = match self
            .store
            .queue_message(message, &content_hash)
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
        let request = request.into_inner();
        let query = MessageQuery {
            modem: validate::optional(request.modem.clone()),
            direction: convert::message_direction(request.direction()),
            states: request.states().filter_map(convert::message_state).collect(),
            words: request.query.split_whitespace().map(str::to_owned).collect(),
            page_size: validate::page_size(request.page_size, 100)?,
            page_token: validate::optional(request.page_token),
        };
        let page = self.store.messages(query).await.map_err(Refusal::from)?;
        Ok(Response::new(ListMessagesResponse {
            messages: page.items.iter().map(convert::message).collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
            cursor: page.cursor.0,
        }))
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

    async fn get_storage(&self, request: Request<GetStorageRequest>) -> Result<Response<GetStorageResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        let storages = modem.ask(|reply| modem::Request::GetStorage { reply }).await?;
        let storages = storages.into_iter().map(|storage| Storage {
            name: storage.name,
            used: storage.used,
            total: storage.total,
        });
        Ok(Response::new(GetStorageResponse {
            storages: storages.collect(),
        }))
    }
}

fn composition(request: SendMessageRequest) -> Result<Composition, Refusal> {
    let to = validate::message_recipient(&request.to)?;
    let validity = request
        .validity
        .map(|validity| {
            Duration::try_from(validity)
                .ok()
                .filter(|validity| !validity.is_zero() && *validity <= VALIDITY_MAX)
                .ok_or_else(|| Refusal::FieldInvalid {
                    field: "validity",
                    problem: "must be more than 0 and at most 63 weeks".to_owned(),
                })
        })
        .transpose()?;
    let (text, data) = match request.content {
        Some(Content::Text(text)) => (text, Vec::new()),
        Some(Content::Data(data)) if !data.is_empty() => (String::new(), data.to_vec()),
        Some(Content::Data(_)) => {
            return Err(Refusal::FieldInvalid {
                field: "data",
                problem: "is empty".to_owned(),
            });
        }
        None => {
            return Err(Refusal::FieldInvalid {
                field: "content",
                problem: "either text or data must be given".to_owned(),
            });
        }
    };
    Ok(Composition {
        to,
        text,
        data,
        flash: request.flash,
        delivery_report: request.delivery_report,
        validity,
    })
}
