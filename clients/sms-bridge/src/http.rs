//! The HTTP side.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use api::v1::{
    GetMessageRequest, GetNetworkStatusRequest, ListMessagesRequest, ListModemsRequest, MessageDirection, MessageState,
    Modem, ModemStage,
};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use client::{Broker, json::to_value, status};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::Status;

use crate::config::Config;
use crate::json::Answer;
use crate::sending::{self, SendBody, Sent};
use crate::webhook::Progress;
use crate::{Stories, Story};

/// A text of 255 parts has at most 39 015 characters; JSON escapes can make each six octets long.
const BODY_LIMIT: usize = 256 * 1024;
const QUERY_TIMEOUT: Duration = Duration::from_secs(4);
/// How long open requests may take after the signal to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

struct App {
    broker: Broker,
    modem: String,
    token: Option<[u8; 32]>,
    progress: Option<Arc<Mutex<Progress>>>,
    stories: Stories,
}

pub(crate) async fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    config.check()?;
    let listen = config.listen;
    TcpListener::bind(listen)
        .await
        .with_context(|| format!("failed to listen on {listen}"))
}

pub(crate) async fn serve(
    config: &Config,
    listener: TcpListener,
    broker: Broker,
    progress: Arc<Mutex<Progress>>,
    stories: Stories,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let app = Arc::new(App {
        broker,
        modem: config.modem.clone(),
        token: config.token()?.map(|token| Sha256::digest(token).into()),
        progress: config.webhook.as_ref().map(|_| progress),
        stories,
    });
    tracing::info!(listen = %listener.local_addr()?, "serving HTTP");
    let mut stopping = stopped.clone();
    let serving = axum::serve(listener, router(app)).with_graceful_shutdown(async move {
        // The sender lives as long as the bridge.
        let _ = stopping.wait_for(|stopped| *stopped).await;
    });
    let drained = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        result = serving => result.context("failed to serve HTTP"),
        () = drained => Ok(()),
    }
}

fn router(app: Arc<App>) -> Router {
    let protected = Router::new()
        .route("/send", post(send))
        .route("/send_sms", post(send))
        .route("/sms/send", post(send))
        .route("/pi_send_message", post(send))
        .route("/messages", get(list_messages))
        .route("/messages/{id}", get(get_message))
        .route("/status", get(bridge_status))
        .layer(from_fn_with_state(Arc::clone(&app), authorize));
    Router::new()
        .merge(protected)
        // Without a token: it tells nothing that a caller could misuse.
        .route("/health", get(health))
        .fallback(async || refuse(StatusCode::NOT_FOUND, "no such resource"))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(app)
}

fn refuse(status: StatusCode, error: impl Into<String>) -> Response {
    Answer(status, json!({ "success": false, "error": error.into() })).into_response()
}

fn refuse_status(refusal: &Status) -> Response {
    let code = sending::http_status(refusal);
    let mut response = refuse(code, status::describe(refusal));
    if code == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = status::retry_delay(refusal).map_or(5, |delay| delay.as_secs().clamp(1, 3600));
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Digests are compared rather than tokens, so that the time of a comparison tells nothing about the token.
async fn authorize(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(expected) = app.token else {
        return next.run(request).await;
    };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match given {
        Some(token) if <[u8; 32]>::from(Sha256::digest(token.trim())) == expected => next.run(request).await,
        _ => refuse(StatusCode::UNAUTHORIZED, "a valid bearer token is needed"),
    }
}

async fn send(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    let body: SendBody = match serde_json::from_slice(&body) {
        Ok(body) => body,
        // The error names the place only: serde would repeat what it found there, which may be a number or a text.
        Err(error) => {
            let place = format!("Invalid JSON at line {}, column {}", error.line(), error.column());
            return refuse(StatusCode::BAD_REQUEST, place);
        }
    };
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok());
    let request = match body.into_request(&app.modem, key) {
        Ok(request) => request,
        Err(problem) => return refuse(StatusCode::BAD_REQUEST, problem),
    };
    match sending::send(&app.broker, request).await {
        Ok(message) => {
            tracing::info!(
                message_id = message.message_id,
                parts = message.part_count,
                "message accepted"
            );
            app.stories.tell(Story::Accepted {
                message_id: message.message_id.clone(),
            });
            Answer(StatusCode::OK, Sent::from(message)).into_response()
        }
        Err(refusal) => {
            let reason = status::reason(&refusal).map(|reason| reason.as_str_name());
            tracing::warn!(code = ?refusal.code(), reason, "message refused");
            refuse_status(&refusal)
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    direction: Option<String>,
    state: Option<String>,
    #[serde(default)]
    query: String,
    #[serde(default)]
    limit: u32,
    #[serde(default)]
    page_token: String,
    modem: Option<String>,
}

impl ListQuery {
    fn into_request(self, default_modem: &str) -> Result<ListMessagesRequest, String> {
        let value = |prefix: &str, text: &str| format!("{prefix}{}", text.to_ascii_uppercase().replace('-', "_"));
        let direction = match &self.direction {
            None => MessageDirection::Unspecified,
            Some(text) => MessageDirection::from_str_name(&value("MESSAGE_DIRECTION_", text))
                .ok_or("direction is incoming or outgoing")?,
        };
        let states = self
            .state
            .as_deref()
            .unwrap_or_default()
            .split(',')
            .filter(|text| !text.is_empty());
        let states = states
            .map(|text| {
                MessageState::from_str_name(&value("MESSAGE_STATE_", text))
                    .map(i32::from)
                    .ok_or_else(|| "state is not one of the contract's, such as received, sent or failed".to_owned())
            })
            .collect::<Result<_, _>>()?;
        Ok(ListMessagesRequest {
            modem: self.modem.unwrap_or_else(|| default_modem.to_owned()),
            direction: direction.into(),
            states,
            page_size: self.limit,
            page_token: self.page_token,
            query: self.query,
            ..ListMessagesRequest::default()
        })
    }
}

/// A query that the broker may take seconds to answer.
async fn bounded<T>(query: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Result<T, Status> {
    match timeout(QUERY_TIMEOUT, query).await {
        Ok(response) => response.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("the broker did not answer in time")),
    }
}

async fn list_messages(
    State(app): State<Arc<App>>,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let request = match query.map_err(|error| error.body_text()) {
        Ok(Query(query)) => query.into_request(&app.modem),
        Err(problem) => Err(problem),
    };
    let request = match request {
        Ok(request) => request,
        Err(problem) => return refuse(StatusCode::BAD_REQUEST, problem),
    };
    match bounded(app.broker.sms().list_messages(request)).await {
        Ok(list) => {
            let messages: Vec<Value> = list.messages.iter().map(to_value).collect();
            let body = json!({
                "success": true,
                "messages": messages,
                "next_page_token": list.next_page_token,
                "cursor": list.cursor,
            });
            Answer(StatusCode::OK, body).into_response()
        }
        Err(refusal) => refuse_status(&refusal),
    }
}

async fn get_message(State(app): State<Arc<App>>, Path(message_id): Path<String>) -> Response {
    match bounded(app.broker.sms().get_message(GetMessageRequest { message_id })).await {
        Ok(found) => match found.message {
            Some(message) => Answer(StatusCode::OK, to_value(&message)).into_response(),
            None => refuse(StatusCode::NOT_FOUND, "no such message"),
        },
        Err(refusal) => refuse_status(&refusal),
    }
}

async fn modems(app: &App) -> Result<Vec<Modem>, Status> {
    bounded(app.broker.modems().list_modems(ListModemsRequest {}))
        .await
        .map(|list| list.modems)
}

async fn bridge_status(State(app): State<Arc<App>>) -> Response {
    let found = match modems(&app).await {
        Ok(found) => found,
        Err(refusal) => return refuse_status(&refusal),
    };
    let mut list = Vec::new();
    for modem in found {
        let mut value = to_value(&modem);
        let request = GetNetworkStatusRequest {
            modem: modem.name,
            refresh: false,
        };
        let network = bounded(app.broker.network().get_network_status(request)).await;
        value["network"] = network
            .ok()
            .and_then(|network| network.status)
            .map_or(Value::Null, |status| to_value(&status));
        list.push(value);
    }
    let progress = app.progress.as_ref().map(|progress| {
        progress
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .to_json()
    });
    Answer(
        StatusCode::OK,
        json!({ "success": true, "modems": list, "webhook": progress }),
    )
    .into_response()
}

async fn health(State(app): State<Arc<App>>) -> Response {
    let (code, verdict) = match modems(&app).await {
        Ok(found) if found.iter().any(|modem| modem.stage() == ModemStage::Ready) => (StatusCode::OK, "ok"),
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "no modem is ready"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the broker does not answer"),
    };
    Answer(code, json!({ "status": verdict })).into_response()
}
