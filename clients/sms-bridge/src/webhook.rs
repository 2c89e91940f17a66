//! What comes in, to the webhook's receiver: in order, at least once, confirmed before the broker forgets it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use api::v1::{CommitCursorRequest, Event, EventFilter, EventKind};
use client::{BackOff, Broker, Start, Update, Watch, WatchError, status};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::config::Webhook;
use crate::payload::{Payload, payload};
use crate::signature::Signer;
use crate::{Stories, Story};

const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// How far the receiver has come, for `GET /status`.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    delivered: u64,
    skipped: u64,
    failed_attempts: u64,
    committed_cursor: u64,
    last_problem: Option<String>,
}

impl Progress {
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

pub(crate) struct Forwarder<'a> {
    broker: Broker,
    settings: &'a Webhook,
    signer: Option<Signer>,
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
    ) -> anyhow::Result<Self> {
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
            agent,
            progress,
            stories,
            committed: 0,
        })
    }

    /// Runs until `stopped`.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) -> anyhow::Result<()> {
        let forwarding = async {
            let mut watch = self.watch(Start::Consumer(self.settings.consumer.clone()));
            loop {
                match watch.next().await {
                    Ok(Update::Batch(batch)) => {
                        for event in &batch.events {
                            self.forward(event).await?;
                        }
                        self.commit(batch.cursor).await;
                    }
                    Ok(Update::Interrupted { status, retry_in }) => {
                        tracing::warn!(problem = status::describe(&status), ?retry_in, "lost the broker");
                    }
                    Err(WatchError::CursorExpired { oldest }) => {
                        tracing::error!(
                            oldest,
                            "messages are gone that were never forwarded; continuing with the oldest"
                        );
                        watch = self.watch(Start::Beginning);
                    }
                    Err(error) => return Err(anyhow::Error::new(error)),
                }
            }
        };
        tokio::select! {
            result = forwarding => result,
            _ = stopped.wait_for(|stopped| *stopped) => Ok(()),
        }
    }

    fn watch(&self, start: Start) -> Watch {
        let filter = EventFilter {
            kinds: vec![EventKind::Message.into()],
            modems: Vec::new(),
        };
        Watch::new(self.broker.clone(), start, filter)
    }

    fn note(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn forward(&mut self, event: &Event) -> anyhow::Result<()> {
        let Some(payload) = payload(event, self.settings) else {
            return Ok(());
        };
        self.deliver(&payload).await?;
        self.commit(event.sequence).await;
        Ok(())
    }

    /// Returns when the receiver confirmed it, or when it was skipped.
    async fn deliver(&self, payload: &Payload) -> anyhow::Result<()> {
        let message_id = &payload.message_id;
        let body: Arc<[u8]> = crate::json::to_bytes(&payload.body)
            .context("failed to write JSON")?
            .into();
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
                    return Ok(());
                }
                Outcome::Failed { problem, retry_after } => (problem, retry_after),
                Outcome::Refused { problem } => {
                    refusals += 1;
                    if refusals >= self.settings.refused_attempts {
                        tracing::error!(message_id, attempt, problem, "skipped: the receiver keeps refusing it");
                        self.note(|progress| {
                            (progress.skipped, progress.last_problem) = (progress.skipped + 1, Some(problem))
                        });
                        self.stories.tell(Story::Skipped {
                            message_id: message_id.clone(),
                        });
                        return Ok(());
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
                    problem: error.to_string(),
                    retry_after: None,
                };
            }
            Err(error) => {
                return Outcome::Failed {
                    problem: error.to_string(),
                    retry_after: None,
                };
            }
        };
        let problem = format!("the receiver answered {}", response.status());
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
