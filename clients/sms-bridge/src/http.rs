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
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use client::{Broker, json::to_value, status};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::Status;

use crate::config::Config;
use crate::connections::{self, Limits};
use crate::guard::{self, Guard};
use crate::json::Answer;
use crate::sending::{self, SendBody, Sent};
use crate::webhook::Progress;
use crate::{Stories, Story};

/// A text of 255 parts has at most 39 015 characters; JSON escapes can make each six octets long.
const BODY_LIMIT: usize = 256 * 1024;
const QUERY_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a request may take from its head to its answer: a body that does not come, and a broker that does not answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);

struct App {
    broker: Broker,
    modem: String,
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
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let guard = Arc::new(Guard::new(config.token()?.as_deref()));
    let app = Arc::new(App {
        broker,
        modem: config.modem.clone(),
        progress: config.webhook.as_ref().map(|_| progress),
        stories,
    });
    tracing::info!(listen = %listener.local_addr()?, "serving HTTP");
    connections::serve(listener, router(app, guard), Limits::default(), stopped).await;
    Ok(())
}

fn router(app: Arc<App>, guard: Arc<Guard>) -> Router {
    let protected = Router::new()
        .route("/send", post(send))
        .route("/send_sms", post(send))
        .route("/sms/send", post(send))
        .route("/pi_send_message", post(send))
        .route("/messages", get(list_messages))
        .route("/messages/{id}", get(get_message))
        .route("/status", get(bridge_status))
        .route("/dead-letters", get(dead_letters))
        .layer(from_fn_with_state(guard, guard::admit));
    Router::new()
        .merge(protected)
        // Without a token: it tells nothing that a caller could misuse.
        .route("/health", get(health))
        .fallback(async || refuse(StatusCode::NOT_FOUND, "no such resource"))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn(in_time))
        .with_state(app)
}

async fn in_time(request: Request, next: Next) -> Response {
    match timeout(REQUEST_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => refuse(
            StatusCode::REQUEST_TIMEOUT,
            "the request took too long; send it as a whole",
        ),
    }
}

pub(crate) fn refuse(status: StatusCode, error: impl Into<String>) -> Response {
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

async fn send(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    let body = match SendBody::parse(&body) {
        Ok(body) => body,
        Err(problem) => return refuse(StatusCode::BAD_REQUEST, problem),
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

/// What the webhook gave up, the oldest first.
async fn dead_letters(State(app): State<Arc<App>>) -> Response {
    let letters = app.progress.as_ref().map(|progress| {
        let progress = progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        progress.dead_letters.entries().cloned().collect::<Vec<_>>()
    });
    let body = json!({ "success": true, "dead_letters": letters.unwrap_or_default() });
    Answer(StatusCode::OK, body).into_response()
}

async fn health(State(app): State<Arc<App>>) -> Response {
    let (code, verdict) = match modems(&app).await {
        Ok(found) if found.iter().any(|modem| modem.stage() == ModemStage::Ready) => (StatusCode::OK, "ok"),
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "no modem is ready"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the broker does not answer"),
    };
    Answer(code, json!({ "status": verdict })).into_response()
}
