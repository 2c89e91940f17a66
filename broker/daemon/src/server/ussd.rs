//! `UssdService`.

use api::v1::ussd_service_server::UssdService;
use api::v1::{CancelRequest, CancelResponse, ReplyRequest, ReplyResponse, StartRequest, StartResponse};
use tonic::{Request, Response, Status};

use super::{Context, content_hash, convert, validate};
use crate::modem;
use crate::refusal::Refusal;
use crate::resource::{UssdSession, UssdState};

#[tonic::async_trait]
impl UssdService for Context {
    async fn start(&self, request: Request<StartRequest>) -> Result<Response<StartResponse>, Status> {
        let request = request.into_inner();
        let modem = self.modems.find(&request.modem)?;
        let request_id = validate::request_id(&request.request_id)?;
        validate::ussd_code(&request.code)?;
        // Naming the only modem or leaving its name out is the same request.
        let content_hash = content_hash(&StartRequest {
            modem: modem.name().to_owned(),
            request_id: String::new(),
            ..request.clone()
        });
        let session = modem
            .ask(|reply| modem::Request::StartUssd {
                code: request.code,
                request_id,
                content_hash,
                reply,
            })
            .await?;
        let session = Some(convert::ussd_session(&session));
        Ok(Response::new(StartResponse { session }))
    }

    async fn reply(&self, request: Request<ReplyRequest>) -> Result<Response<ReplyResponse>, Status> {
        let ReplyRequest { session_id, text } = request.into_inner();
        let session = self.ussd_session(&session_id).await?;
        if session.state == UssdState::Ended {
            return Err(Refusal::UssdState { state: session.state }.into());
        }
        let modem = self.modems.find(&session.modem)?;
        let session = modem
            .ask(|reply| modem::Request::ReplyUssd {
                session_id,
                text,
                reply,
            })
            .await?;
        let session = Some(convert::ussd_session(&session));
        Ok(Response::new(ReplyResponse { session }))
    }

    async fn cancel(&self, request: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let session_id = request.into_inner().session_id;
        let mut session = self.ussd_session(&session_id).await?;
        if session.state != UssdState::Ended {
            let modem = self.modems.find(&session.modem)?;
            session = modem
                .ask(|reply| modem::Request::CancelUssd { session_id, reply })
                .await?;
        }
        let session = Some(convert::ussd_session(&session));
        Ok(Response::new(CancelResponse { session }))
    }
}

impl Context {
    async fn ussd_session(&self, session_id: &str) -> Result<UssdSession, Refusal> {
        if session_id.is_empty() {
            return Err(Refusal::FieldInvalid {
                field: "session_id",
                problem: "must be given".to_owned(),
            });
        }
        let found = self.store.ussd(session_id).await?;
        found.ok_or_else(|| Refusal::UssdSessionNotFound {
            session_id: session_id.to_owned(),
        })
    }
}
