//! `UssdService`.

use api::v1::ussd_service_server::UssdService;
use api::v1::{
    CancelUssdSessionRequest, CancelUssdSessionResponse, ReplyToUssdSessionRequest, ReplyToUssdSessionResponse,
    StartUssdSessionRequest, StartUssdSessionResponse,
};
use tonic::{Request, Response, Status};

use super::{Context, content_hash, convert, validate};
use crate::modem;
use crate::refusal::Refusal;
use crate::resource::{UssdSession, UssdState};

#[tonic::async_trait]
impl UssdService for Context {
    async fn start_ussd_session(
        &self,
        request: Request<StartUssdSessionRequest>,
    ) -> Result<Response<StartUssdSessionResponse>, Status> {
        let request = request.into_inner();
        let modem = self.modems.find(&request.modem)?;
        let request_id = validate::request_id(&request.request_id)?;
        validate::ussd_code(&request.code)?;
        // Naming the only modem or leaving its name out is the same request.
        let content_hash = content_hash(&StartUssdSessionRequest {
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
        Ok(Response::new(StartUssdSessionResponse { session }))
    }

    async fn reply_to_ussd_session(
        &self,
        request: Request<ReplyToUssdSessionRequest>,
    ) -> Result<Response<ReplyToUssdSessionResponse>, Status> {
        let ReplyToUssdSessionRequest { session_id, text } = request.into_inner();
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
        Ok(Response::new(ReplyToUssdSessionResponse { session }))
    }

    async fn cancel_ussd_session(
        &self,
        request: Request<CancelUssdSessionRequest>,
    ) -> Result<Response<CancelUssdSessionResponse>, Status> {
        let session_id = request.into_inner().session_id;
        let mut session = self.ussd_session(&session_id).await?;
        if session.state != UssdState::Ended {
            let modem = self.modems.find(&session.modem)?;
            session = modem
                .ask(|reply| modem::Request::CancelUssd { session_id, reply })
                .await?;
        }
        let session = Some(convert::ussd_session(&session));
        Ok(Response::new(CancelUssdSessionResponse { session }))
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
