//! What comes in, to the webhook's receiver: in order, at least once, confirmed before the broker forgets it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::v1::{CommitCursorRequest, Event, EventFilter, EventKind, ListEventsRequest};
use client::{BackOff, Broker, Start, Update, Watch, WatchError, status};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use crate::config::{ConfigError, Webhook};
use crate::dead_letters::DeadLetters;
use crate::payload::{Payload, payload};
use crate::signature::Signer;
use crate::{Stories, Story};

const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
const LIST_TIMEOUT: Duration = Duration::from_secs(15);
/// The largest single event that is taken; a batch has gRPC's usual 4 MiB.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Pauses after a refusal that somebody has to do something about, such as a token that is not valid any more.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
const REFUSED_PAUSE_LONGEST: Duration = Duration::from_secs(60);

/// How far the receiver has come, for `GET /status`.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    delivered: u64,
    skipped: u64,
    failed_attempts: u64,
    committed_cursor: u64,
    last_problem: Option<String>,
    pub(crate) dead_letters: DeadLetters,
}

impl Progress {
    pub(crate) fn new(settings: Option<&Webhook>) -> Self {
        let file = settings.and_then(|settings| settings.dead_letter_file.as_deref());
        Self {
            dead_letters: DeadLetters::load(file),
            ..Self::default()
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "delivered": self.delivered,
            "skipped": self.skipped,
            "failed_attempts": self.failed_attempts,
            "committed_cursor": self.committed_cursor,
            "last_problem": self.last_problem,
        })
    }
}

/// What came of an attempt.
enum Outcome {
    Confirmed,
    /// The receiver or the way to it failed: it is tried again for ever, because a message must not be lost to an outage.
    Failed {
        problem: String,
        retry_after: Option<Duration>,
    },
    /// The receiver does not want it. It is tried some more times, because a receiver in the middle of an update says 404
    /// too; then it is skipped, because one event must not hold up all that follow.
    Refused {
        problem: String,
    },
}

fn filter() -> EventFilter {
    EventFilter {
        kinds: vec![EventKind::Message.into()],
        modems: Vec::new(),
    }
}

/// Whether an answer was larger than this side takes: gRPC's own refusal, without a reason of the broker's.
fn is_too_large(refusal: &Status) -> bool {
    status::reason(refusal).is_none() && matches!(refusal.code(), Code::OutOfRange | Code::ResourceExhausted)
}

/// Scheme and host of a URL, without the name and the password that may be before the host.
fn receiver(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}")
}

pub(crate) struct Forwarder<'a> {
    broker: Broker,
    settings: &'a Webhook,
    signer: Option<Signer>,
    /// The receiver for people: a path may hold a secret.
    receiver: String,
    agent: ureq::Agent,
    progress: Arc<Mutex<Progress>>,
    stories: Stories,
    committed: u64,
}

impl<'a> Forwarder<'a> {
    pub(crate) fn new(
        broker: Broker,
        settings: &'a Webhook,
        progress: Arc<Mutex<Progress>>,
        stories: Stories,
    ) -> Result<Self, ConfigError> {
        let signer = settings.secret()?.map(|secret| Signer::new(&secret));
        // A redirect would turn the POST into a GET, or carry messages to a host that nobody configured.
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(settings.timeout_s)))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build()
            .into();
        Ok(Self {
            broker,
            settings,
            signer,
            receiver: receiver(&settings.url),
            agent,
            progress,
            stories,
            committed: 0,
        })
    }

    /// Runs until `stopped`. Nothing that the broker or the receiver says ends it.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        tokio::select! {
            () = self.forward_for_ever() => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    async fn forward_for_ever(&mut self) {
        let mut refusals = BackOff::new(REFUSED_PAUSE, REFUSED_PAUSE_LONGEST);
        let mut watch = self.watch(self.start());
        loop {
            match watch.next().await {
                Ok(Update::Batch(batch)) => {
                    refusals.reset();
                    for event in &batch.events {
                        self.forward(event).await;
                    }
                    self.commit(batch.cursor).await;
                }
                Ok(Update::Interrupted { status, retry_in }) => {
                    tracing::warn!(problem = status::describe(&status), ?retry_in, "lost the broker");
                }
                Err(WatchError::CursorExpired { oldest, .. }) => {
                    tracing::error!(
                        oldest,
                        "messages are gone that were never forwarded; continuing with the oldest"
                    );
                    watch = self.watch(Start::Beginning);
                }
                Err(WatchError::Refused(refusal)) => {
                    let passed = match watch.cursor() {
                        _ if !is_too_large(&refusal) => None,
                        Some(cursor) => self.forward_one_by_one(cursor).await,
                        None => match self.committed_at_the_broker().await {
                            Some(cursor) => self.forward_one_by_one(cursor).await,
                            None => None,
                        },
                    };
                    if let Some(cursor) = passed {
                        watch = self.watch(Start::Cursor(cursor));
                        continue;
                    }
                    let pause = refusals.next_pause();
                    let problem = status::describe(&refusal);
                    tracing::error!(
                        problem,
                        ?pause,
                        "the broker refuses to tell what comes in; trying again"
                    );
                    self.note(|progress| progress.last_problem = Some(problem));
                    sleep(pause).await;
                }
            }
        }
    }

    fn start(&self) -> Start {
        Start::Consumer(self.settings.consumer.clone())
    }

    /// The position that the broker keeps, which committing nothing tells.
    async fn committed_at_the_broker(&self) -> Option<u64> {
        let request = CommitCursorRequest {
            consumer: self.settings.consumer.clone(),
            cursor: 0,
            rewind: false,
        };
        let mut events = self.broker.events();
        let answer = timeout(COMMIT_TIMEOUT, events.commit_cursor(request)).await.ok()?;
        answer.ok().map(|response| response.into_inner().cursor)
    }

    /// Reads events singly where a batch of them is too large, up to the first page after an event that is itself too large,
    /// which becomes a dead letter. Returns the position to watch from, or none when the broker does not answer.
    async fn forward_one_by_one(&mut self, mut cursor: u64) -> Option<u64> {
        let mut events = self.broker.events().max_decoding_message_size(EVENT_BYTES_MAX);
        loop {
            let request = ListEventsRequest {
                cursor,
                page_size: 1,
                filter: Some(filter()),
            };
            match timeout(LIST_TIMEOUT, events.list_events(request)).await {
                Ok(Ok(response)) => {
                    let page = response.into_inner();
                    for event in &page.events {
                        self.forward(event).await;
                    }
                    let reached = page.cursor.max(cursor);
                    self.commit(reached).await;
                    if page.caught_up || reached == cursor {
                        return Some(reached);
                    }
                    cursor = reached;
                }
                Ok(Err(refusal)) if is_too_large(&refusal) => {
                    cursor += 1;
                    self.give_up(cursor, None, "the event is larger than 16 MiB".to_owned());
                    self.commit(cursor).await;
                }
                Ok(Err(refusal)) => {
                    tracing::warn!(problem = status::describe(&refusal), "failed to read events one by one");
                    return None;
                }
                Err(_) => return None,
            }
        }
    }

    /// Puts an event on the list of those that were not forwarded.
    fn give_up(&self, sequence: u64, message_id: Option<String>, problem: String) {
        tracing::error!(
            sequence,
            message_id,
            problem,
            "not forwarded: now a dead letter, see GET /dead-letters"
        );
        self.stories.tell(Story::Skipped {
            message_id: message_id.clone().unwrap_or_default(),
        });
        self.note(|progress| {
            progress.skipped += 1;
            progress.last_problem = Some(problem.clone());
            progress.dead_letters.add(sequence, message_id, problem);
        });
    }

    fn watch(&self, start: Start) -> Watch {
        Watch::new(self.broker.clone(), start, filter())
    }

    fn note(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn forward(&mut self, event: &Event) {
        let Some(payload) = payload(event, self.settings) else {
            return;
        };
        self.deliver(event.sequence, &payload).await;
        self.commit(event.sequence).await;
    }

    /// Returns when the receiver confirmed it, or when it became a dead letter.
    async fn deliver(&self, sequence: u64, payload: &Payload) {
        let message_id = &payload.message_id;
        let body: Arc<[u8]> = match crate::json::to_bytes(&payload.body) {
            Ok(body) => body.into(),
            Err(error) => return self.give_up(sequence, Some(message_id.clone()), error.to_string()),
        };
        let first_pause = Duration::from_millis(self.settings.first_pause_ms);
        let longest_pause = Duration::from_secs(self.settings.longest_pause_s);
        let mut back_off = BackOff::new(first_pause, longest_pause);
        let (mut attempt, mut refusals) = (0, 0);
        loop {
            attempt += 1;
            let (problem, retry_after) = match self.post(&payload.webhook_id, Arc::clone(&body)).await {
                Outcome::Confirmed => {
                    tracing::info!(message_id, attempt, "forwarded");
                    self.note(|progress| (progress.delivered, progress.last_problem) = (progress.delivered + 1, None));
                    self.stories.tell(Story::Delivered {
                        message_id: message_id.clone(),
                        attempt,
                    });
                    return;
                }
                Outcome::Failed { problem, retry_after } => (problem, retry_after),
                Outcome::Refused { problem } => {
                    refusals += 1;
                    if refusals >= self.settings.refused_attempts {
                        return self.give_up(sequence, Some(message_id.clone()), problem);
                    }
                    (problem, None)
                }
            };
            let pause = back_off
                .next_pause()
                .max(retry_after.unwrap_or_default().min(longest_pause));
            tracing::warn!(message_id, attempt, problem, ?pause, "not forwarded; trying again");
            self.note(|progress| {
                progress.failed_attempts += 1;
                progress.last_problem = Some(problem);
            });
            self.stories.tell(Story::Retrying {
                message_id: message_id.clone(),
                attempt,
            });
            sleep(pause).await;
        }
    }

    async fn post(&self, webhook_id: &str, body: Arc<[u8]>) -> Outcome {
        let timestamp = jiff::Timestamp::now().as_second();
        let mut request = self
            .agent
            .post(&self.settings.url)
            .header("content-type", "application/json")
            .header(
                "user-agent",
                concat!("modem-broker-sms-bridge/", env!("CARGO_PKG_VERSION")),
            )
            .header("webhook-id", webhook_id)
            .header("webhook-timestamp", timestamp.to_string());
        if let Some(signer) = &self.signer {
            request = request.header("webhook-signature", signer.sign(webhook_id, timestamp, &body));
        }
        // One short blocking task for each attempt; the agent's own limit bounds it.
        let sent = tokio::task::spawn_blocking(move || request.send(&body[..])).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                return Outcome::Failed {
                    problem: format!("{} did not answer: {error}", self.receiver),
                    retry_after: None,
                };
            }
            Err(error) => {
                return Outcome::Failed {
                    problem: format!("{} was not asked: {error}", self.receiver),
                    retry_after: None,
                };
            }
        };
        let problem = format!("{} answered {}", self.receiver, response.status());
        match response.status().as_u16() {
            200..=299 => Outcome::Confirmed,
            408 | 429 | 500..=599 => {
                let seconds = response
                    .headers()
                    .get("retry-after")
                    .and_then(|value| value.to_str().ok()?.parse().ok());
                Outcome::Failed {
                    problem,
                    retry_after: seconds.map(Duration::from_secs),
                }
            }
            _ => Outcome::Refused { problem },
        }
    }

    /// A commit that fails is made up for by the next one; until then a restart would send events again.
    async fn commit(&mut self, cursor: u64) {
        if cursor <= self.committed {
            return;
        }
        let request = CommitCursorRequest {
            consumer: self.settings.consumer.clone(),
            cursor,
            rewind: false,
        };
        let mut events = self.broker.events();
        match timeout(COMMIT_TIMEOUT, events.commit_cursor(request)).await {
            Ok(Ok(response)) => {
                self.committed = response.into_inner().cursor;
                let committed = self.committed;
                self.note(|progress| progress.committed_cursor = committed);
            }
            Ok(Err(refusal)) => tracing::warn!(problem = status::describe(&refusal), "failed to commit the position"),
            Err(_) => tracing::warn!("failed to commit the position: the broker did not answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_receiver_is_named_without_its_secrets() {
        for (url, expected) in [
            ("https://example.net/hook/4f1c?key=secret", "https://example.net"),
            ("http://user:secret@10.8.0.1:8088", "http://10.8.0.1:8088"),
            ("https://[2001:db8::1]:443?x=@y", "https://[2001:db8::1]:443"),
        ] {
            assert_eq!(super::receiver(url), expected);
        }
    }
}
