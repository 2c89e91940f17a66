//! The bridge between a scripted broker, HTTP callers and a webhook's receiver.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::v1::{Message, MessageDirection, MessageState, Modem, ModemStage};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use client::testing::{FakeBroker, refuse};
use serde_json::{Value, json};
use sms_bridge::{Config, ForwardedEvent, Options, Story, Webhook};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tonic::Code;

struct Bridge {
    address: SocketAddr,
    stories: mpsc::Receiver<Story>,
    stop: oneshot::Sender<()>,
    running: JoinSet<anyhow::Result<()>>,
}

impl Bridge {
    async fn start(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, stories) = mpsc::channel(64);
        let (stop, stopped) = oneshot::channel::<()>();
        let mut running = JoinSet::new();
        let options = Options {
            listener: Some(listener),
            on_story: Some(sender),
        };
        running.spawn(sms_bridge::run(config, options, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            stories,
            stop,
            running,
        }
    }

    async fn stop(mut self) {
        self.stop.send(()).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(8), self.running.join_next()).await;
        ended.expect("the bridge should stop").unwrap().unwrap().unwrap();
    }

    async fn story(&mut self, mut wanted: impl FnMut(&Story) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(10), async {
            while let Some(story) = self.stories.recv().await {
                if wanted(&story) {
                    return;
                }
            }
            panic!("the bridge ended");
        });
        waited.await.expect("the story should be told");
    }

    async fn request(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = axum::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body.to_owned()).unwrap();
        tokio::task::spawn_blocking(move || {
            let mut response = agent.run(request).unwrap();
            (
                response.status().as_u16(),
                response.body_mut().read_to_string().unwrap(),
            )
        })
        .await
        .unwrap()
    }
}

fn config(fake: &FakeBroker) -> Config {
    Config {
        broker: fake.settings(),
        without_token: true,
        ..Config::default()
    }
}

#[derive(Clone, Default)]
struct Receiver {
    answers: Arc<Mutex<VecDeque<u16>>>,
    requests: Arc<Mutex<Vec<(HeaderMap, String)>>>,
}

impl Receiver {
    async fn start(answers: &[u16], tasks: &mut JoinSet<()>) -> (Self, Webhook) {
        let receiver = Self {
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
            ..Self::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let state = receiver.clone();
        let handler = async move |headers: HeaderMap, body: Bytes| {
            state
                .requests
                .lock()
                .unwrap()
                .push((headers, String::from_utf8(body.to_vec()).unwrap()));
            let code = state.answers.lock().unwrap().pop_front().unwrap_or(200);
            StatusCode::from_u16(code).unwrap()
        };
        let router = Router::new().route("/hook", axum::routing::post(handler));
        tasks.spawn(async { axum::serve(listener, router).await.unwrap() });
        (
            receiver,
            Webhook {
                first_pause_ms: 5,
                longest_pause_s: 1,
                refused_attempts: 3,
                ..Webhook::new(url)
            },
        )
    }

    fn bodies(&self) -> Vec<Value> {
        self.requests
            .lock()
            .unwrap()
            .iter()
            .map(|(_, body)| serde_json::from_str(body).unwrap())
            .collect()
    }

    fn ids(&self) -> Vec<String> {
        self.bodies()
            .iter()
            .map(|body| body["message_id"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn incoming(id: &str, state: MessageState) -> Message {
    Message {
        message_id: id.into(),
        modem: "sim1".into(),
        direction: MessageDirection::Incoming.into(),
        state: state.into(),
        address: "+15550100".into(),
        text: "grüß dich".into(),
        part_count: 1,
        service_centre_time: Some(prost_types::Timestamp {
            seconds: 1_790_000_000,
            nanos: 0,
        }),
        ..Message::default()
    }
}

#[tokio::test]
async fn a_message_is_sent_by_every_alias_with_the_spacing_that_callers_look_for() {
    let fake = FakeBroker::start();
    let bridge = Bridge::start(config(&fake)).await;
    for path in ["/send", "/send_sms", "/sms/send", "/pi_send_message"] {
        let body = r#"{"to": "+1 (555) 0100", "message": "hello", "priority": "high"}"#;
        let (status, answer) = bridge.request("POST", path, None, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        assert!(answer.starts_with(r#"{"success": true, "message_id": "m"#), "{answer}");
        assert!(
            answer.contains(r#""encoding": "GSM7", "parts": 1, "queued": true"#),
            "{answer}"
        );
    }
    let sends = fake.with(|state| std::mem::take(&mut state.sends));
    assert!(
        sends
            .iter()
            .all(|send| send.address == "+15550100" && !send.request_id.is_empty())
    );
    bridge.stop().await;
}

#[tokio::test]
async fn only_what_can_never_succeed_is_answered_as_permanent() {
    let fake = FakeBroker::start();
    let bridge = Bridge::start(config(&fake)).await;
    for (body, expected) in [
        ("{", 400),
        ("[]", 400),
        (r#"{"to": "+15550100", "message": 7}"#, 400),
        (r#"{"to": "+15550100"}"#, 400),
        (r#"{"message": "x"}"#, 400),
    ] {
        let (status, answer) = bridge.request("POST", "/send", None, body).await;
        assert_eq!(status, expected, "{body}");
        assert!(
            answer.starts_with(r#"{"error": ""#) && answer.contains(r#""success": false"#),
            "{answer}"
        );
    }
    let body = json!({"to": "+15550100", "message": "x"}).to_string();
    for (code, reason, expected) in [
        (Code::InvalidArgument, "PHONE_NUMBER_INVALID", 422),
        (Code::InvalidArgument, "MESSAGE_TOO_LONG", 422),
        (Code::InvalidArgument, "REQUEST_ID_REUSED", 422),
        (Code::PermissionDenied, "DESTINATION_NOT_ALLOWED", 422),
        (Code::InvalidArgument, "AMBIGUOUS", 400),
        (Code::NotFound, "MODEM_NOT_FOUND", 404),
        (Code::FailedPrecondition, "SIM_ABSENT", 503),
        (Code::Unavailable, "MODEM_STARTING", 503),
        (Code::ResourceExhausted, "RATE_LIMITED", 503),
        (Code::Unauthenticated, "TOKEN_INVALID", 503),
        (Code::Internal, "STORE_FAILED", 503),
    ] {
        fake.with(|state| state.refusals.push_back(refuse(code, reason, "no", &[])));
        assert_eq!(
            bridge.request("POST", "/send", None, &body).await.0,
            expected,
            "{reason}"
        );
    }
    bridge.stop().await;
}

#[tokio::test]
async fn a_repeated_request_id_is_one_message_even_if_it_is_no_uuid() {
    let fake = FakeBroker::start();
    let bridge = Bridge::start(config(&fake)).await;
    let body = json!({"to": "+15550100", "message": "x", "request_id": "order-17"}).to_string();
    let first = bridge.request("POST", "/send", None, &body).await;
    assert_eq!(first, bridge.request("POST", "/send", None, &body).await);
    assert_eq!(fake.with(|state| state.messages.len()), 1);
    bridge.stop().await;
}

#[tokio::test]
async fn a_broker_that_restarts_costs_a_caller_nothing_but_time() {
    let mut fake = FakeBroker::start();
    let bridge = Bridge::start(config(&fake)).await;
    fake.crash().await;
    assert_eq!(bridge.request("GET", "/health", None, "").await.0, 503);
    let body = json!({"to": "+15550100", "message": "x"}).to_string();
    let (answer, ()) = tokio::join!(bridge.request("POST", "/send", None, &body), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        fake.resume();
    });
    assert_eq!(answer.0, 200, "{}", answer.1);
    bridge.stop().await;
}

#[tokio::test]
async fn messages_and_status_are_shown() {
    let fake = FakeBroker::start();
    fake.with(|state| {
        let stage = ModemStage::Ready.into();
        state.modems = vec![Modem {
            name: "sim1".into(),
            stage,
            ..Modem::default()
        }];
    });
    fake.put_message(incoming("a", MessageState::Received));
    let bridge = Bridge::start(config(&fake)).await;
    let (status, list) = bridge
        .request(
            "GET",
            "/messages?direction=incoming&state=received&limit=5&query=gr",
            None,
            "",
        )
        .await;
    assert_eq!(status, 200);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["messages"][0]["text"], "grüß dich");
    assert_eq!(list["messages"][0]["state"], "MESSAGE_STATE_RECEIVED");
    let asked = fake.with(|state| state.lists.pop().unwrap());
    assert_eq!((asked.page_size, asked.query.as_str()), (5, "gr"));
    for (path, expected) in [
        ("/messages/a", 200),
        ("/messages/b", 404),
        ("/messages?direction=sideways", 400),
        ("/messages?state=odd", 400),
        ("/messages?limt=5", 400),
        ("/status", 200),
        ("/health", 200),
        ("/nowhere", 404),
    ] {
        assert_eq!(bridge.request("GET", path, None, "").await.0, expected, "{path}");
    }
    bridge.stop().await;
}

#[tokio::test]
async fn with_a_token_everything_but_health_needs_it() {
    let fake = FakeBroker::start();
    let directory = tempfile::tempdir().unwrap();
    let token_file = directory.path().join("token");
    std::fs::write(&token_file, "0123456789abcdef\n").unwrap();
    let bridge = Bridge::start(Config {
        token_file,
        without_token: false,
        ..config(&fake)
    })
    .await;
    for (path, token, expected) in [
        ("/messages", None, 401),
        ("/messages", Some("0123456789abcdeF"), 401),
        ("/messages", Some("0123456789abcdef"), 200),
        ("/status", None, 401),
        ("/health", None, 503),
    ] {
        assert_eq!(
            bridge.request("GET", path, token, "").await.0,
            expected,
            "{path} {token:?}"
        );
    }
    bridge.stop().await;
}

#[tokio::test]
async fn what_comes_in_is_retried_in_order_and_committed_only_after_a_confirmation() {
    let mut tasks = JoinSet::new();
    let fake = FakeBroker::start();
    let (receiver, webhook) = Receiver::start(&[500, 429, 200, 503], &mut tasks).await;
    let first = fake.put_message(incoming("a", MessageState::Received));
    fake.put_message(incoming("partly", MessageState::Incomplete));
    let second = fake.put_message(incoming("b", MessageState::Received));
    let mut bridge = Bridge::start(Config {
        webhook: Some(webhook),
        ..config(&fake)
    })
    .await;
    bridge
        .story(|story| {
            *story
                == Story::Retrying {
                    message_id: "a".into(),
                    attempt: 1,
                }
        })
        .await;
    assert_eq!(
        fake.with(|state| state.commits.clone()),
        [],
        "nothing was confirmed yet"
    );
    bridge
        .story(|story| {
            *story
                == Story::Delivered {
                    message_id: "b".into(),
                    attempt: 2,
                }
        })
        .await;
    fake.wait_for("the commit", |state| state.consumers.get("sms-bridge") == Some(&second))
        .await;
    assert_eq!(receiver.ids(), ["a", "a", "a", "b", "b"]);
    let commits = fake.with(|state| state.commits.clone());
    assert_eq!(
        commits,
        [("sms-bridge".to_owned(), first), ("sms-bridge".to_owned(), second)]
    );
    let body = &receiver.bodies()[0];
    assert_eq!(body["event"], "message.received");
    assert_eq!(
        (&body["from"], &body["message"]),
        (&json!("+15550100"), &json!("grüß dich"))
    );
    assert_eq!(body["received_time"], "2026-09-21T14:13:20Z");
    assert_eq!(body["received"].as_str().unwrap().len(), "2026-09-21 14:13:20".len());
    let ids: Vec<_> = receiver
        .requests
        .lock()
        .unwrap()
        .iter()
        .map(|(headers, _)| headers["webhook-id"].clone())
        .collect();
    assert!(
        ids[0] == ids[2] && ids[2] != ids[3],
        "one id for each event, the same for every attempt: {ids:?}"
    );
    bridge.stop().await;
}

#[tokio::test]
async fn a_restarted_bridge_continues_where_the_receiver_confirmed() {
    let mut tasks = JoinSet::new();
    let fake = FakeBroker::start();
    let (receiver, webhook) = Receiver::start(&[], &mut tasks).await;
    let config = Config {
        webhook: Some(webhook),
        ..config(&fake)
    };
    let bridge = Bridge::start(config.clone()).await;
    let first = fake.put_message(incoming("a", MessageState::Received));
    fake.wait_for("the commit", |state| state.consumers.get("sms-bridge") == Some(&first))
        .await;
    bridge.stop().await;
    let second = fake.put_message(incoming("b", MessageState::Received));
    let bridge = Bridge::start(config).await;
    fake.wait_for("the commit", |state| state.consumers.get("sms-bridge") == Some(&second))
        .await;
    assert_eq!(receiver.ids(), ["a", "b"]);
    bridge.stop().await;
}

#[tokio::test]
async fn an_event_that_is_refused_again_and_again_does_not_hold_up_the_next() {
    let mut tasks = JoinSet::new();
    let fake = FakeBroker::start();
    let (receiver, webhook) = Receiver::start(&[422, 404, 302], &mut tasks).await;
    let mut bridge = Bridge::start(Config {
        webhook: Some(webhook),
        ..config(&fake)
    })
    .await;
    fake.put_message(incoming("a", MessageState::Received));
    fake.put_message(incoming("b", MessageState::Received));
    bridge
        .story(|story| *story == Story::Skipped { message_id: "a".into() })
        .await;
    bridge
        .story(|story| {
            *story
                == Story::Delivered {
                    message_id: "b".into(),
                    attempt: 1,
                }
        })
        .await;
    assert_eq!(receiver.ids(), ["a", "a", "a", "b"]);
    let status: Value = serde_json::from_str(&bridge.request("GET", "/status", None, "").await.1).unwrap();
    assert_eq!(
        (&status["webhook"]["delivered"], &status["webhook"]["skipped"]),
        (&json!(1), &json!(1))
    );
    let letters: Value = serde_json::from_str(&bridge.request("GET", "/dead-letters", None, "").await.1).unwrap();
    let letter = &letters["dead_letters"][0];
    assert_eq!((&letter["message_id"], &letter["sequence"]), (&json!("a"), &json!(1)));
    let problem = letter["problem"].as_str().unwrap();
    assert!(
        problem.contains("http://127.0.0.1:") && problem.contains("302"),
        "{problem}"
    );
    bridge.stop().await;
}

/// A batch and an event larger than gRPC's 4 MiB ended the bridge, at every start again.
#[tokio::test]
async fn events_too_large_for_a_batch_are_read_one_by_one_and_one_too_large_by_itself_is_a_dead_letter() {
    let mut tasks = JoinSet::new();
    let fake = FakeBroker::start();
    let (receiver, webhook) = Receiver::start(&[], &mut tasks).await;
    let large = |id: &str, mebibytes: usize| Message {
        // Not in what is forwarded of a decoded message, as the PDUs of a long one are.
        pdus: vec!["00".repeat(mebibytes * 1024 * 1024 / 2)],
        ..incoming(id, MessageState::Received)
    };
    fake.put_message(incoming("before", MessageState::Received));
    fake.put_message(large("large", 6));
    let lost = fake.put_message(large("too-large", 17));
    let last = fake.put_message(incoming("after", MessageState::Received));
    let bridge = Bridge::start(Config {
        webhook: Some(webhook),
        ..config(&fake)
    })
    .await;
    fake.wait_for("the commit", |state| state.consumers.get("sms-bridge") == Some(&last))
        .await;
    assert_eq!(receiver.ids(), ["before", "large", "after"]);
    let letters: Value = serde_json::from_str(&bridge.request("GET", "/dead-letters", None, "").await.1).unwrap();
    assert_eq!(letters["dead_letters"][0]["sequence"], json!(lost));
    // What comes next goes the usual way again.
    let next = fake.put_message(incoming("next", MessageState::Received));
    fake.wait_for("the commit", |state| state.consumers.get("sms-bridge") == Some(&next))
        .await;
    bridge.stop().await;
}

#[tokio::test]
async fn states_of_sent_messages_and_signatures_are_sent_when_asked_for() {
    let mut tasks = JoinSet::new();
    let fake = FakeBroker::start();
    let (receiver, mut webhook) = Receiver::start(&[], &mut tasks).await;
    let directory = tempfile::tempdir().unwrap();
    let secret_file = directory.path().join("secret");
    std::fs::write(&secret_file, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    webhook.secret_file = Some(secret_file);
    webhook.events = vec![ForwardedEvent::State];
    fake.put_message(incoming("ignored", MessageState::Received));
    for state in [
        MessageState::Queued,
        MessageState::Sending,
        MessageState::OutcomeUnknown,
    ] {
        fake.put_message(Message {
            message_id: "out".into(),
            direction: MessageDirection::Outgoing.into(),
            state: state.into(),
            failure: "no final result".into(),
            ..Message::default()
        });
    }
    let mut bridge = Bridge::start(Config {
        webhook: Some(webhook),
        ..config(&fake)
    })
    .await;
    bridge.story(|story| matches!(story, Story::Delivered { .. })).await;
    let bodies = receiver.bodies();
    assert_eq!(bodies.len(), 1);
    assert_eq!(
        (&bodies[0]["event"], &bodies[0]["state"]),
        (&json!("message.state"), &json!("outcome-unknown"))
    );
    let headers = receiver.requests.lock().unwrap()[0].0.clone();
    assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    assert!(headers.contains_key("webhook-timestamp"));
    bridge.stop().await;
}
