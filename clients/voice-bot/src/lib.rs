//! Answers calls: greets, ends the caller's turns by WebRTC VAD, answers each by playing back what it heard, hangs up.
//!
//! The clock of a conversation is the call's own audio: every decision is counted in samples, so that a conversation can
//! be tested without a second of real time, and a slow machine does not change it.

#![forbid(unsafe_code)]

mod clip;
mod config;
mod conversation;
mod session;
mod turn;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::v1::event::Change;
use api::v1::{Call, CallDirection, CallState, EventFilter, EventKind, ListCallsRequest};
use client::{BackOff, Broker, Start, Update, Watch, WatchError, status};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

pub use clip::Clips;
pub use config::{Config, ConfigError, DuringPlayout};
pub use conversation::{Action, Conversation, EndReason, TurnRecord};
pub use session::Report;
pub use turn::{SpeechClassifier, TurnDetector, TurnEvent, TurnSettings, Utterance, WebRtcVad};

const LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long calls may take to end after the signal to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// What a program that embeds the bot may add.
#[derive(Debug, Default)]
pub struct Options {
    /// Told about what happens, for a demonstration. What does not fit into the queue is not told: a call does not wait.
    pub on_story: Option<mpsc::Sender<Story>>,
}

/// Something that happened in a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Story {
    /// The bot watches for calls.
    Watching,
    /// A call rings.
    Ringing {
        /// The call.
        call_id: String,
        /// RINGs so far.
        rings: u32,
    },
    /// The bot answered and the audio is attached.
    Answered {
        /// The call.
        call_id: String,
    },
    /// The caller's turn ended.
    Heard {
        /// The call.
        call_id: String,
        /// The turn, from 1.
        turn: usize,
        /// How long the caller spoke.
        heard_ms: u64,
    },
    /// The first sample of the answer was played.
    Replied {
        /// The call.
        call_id: String,
        /// The turn, from 1.
        turn: usize,
        /// From the caller's last sample to the first of the answer.
        after_ms: u64,
    },
    /// The caller said nothing and was asked again.
    Reprompted {
        /// The call.
        call_id: String,
    },
    /// The call is over.
    Ended(Box<Report>),
}

#[derive(Clone, Debug, Default)]
struct Stories(Option<mpsc::Sender<Story>>);

impl Stories {
    fn tell(&self, story: Story) {
        if let Some(sender) = &self.0 {
            // A listener that does not keep up misses a line; a call does not wait for it.
            let _ = sender.try_send(story);
        }
    }
}

/// Answers calls until `shutdown` completes, or until something fails that a retry cannot mend.
pub async fn run(config: Config, options: Options, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    config.check()?;
    let clips = Arc::new(Clips::load(&config)?);
    let broker = Broker::connect_lazily(&config.broker)?;
    let (stop, stopped) = watch::channel(false);
    let mut bot = Bot {
        broker,
        config: Arc::new(config),
        clips,
        stories: Stories(options.on_story),
        calls: JoinSet::new(),
        alive: HashMap::new(),
        stopped,
    };
    let result = tokio::select! {
        result = bot.watch() => result,
        () = shutdown => Ok(()),
    };
    stop.send_replace(true);
    if timeout(DRAIN_TIMEOUT, bot.drain()).await.is_err() {
        tracing::warn!("a call did not end in time");
    }
    result
}

struct Bot {
    broker: Broker,
    config: Arc<Config>,
    clips: Arc<Clips>,
    stories: Stories,
    calls: JoinSet<Report>,
    alive: HashMap<String, tokio::task::Id>,
    stopped: watch::Receiver<bool>,
}

impl Bot {
    async fn watch(&mut self) -> anyhow::Result<()> {
        loop {
            // List, then watch from there: a call that rings already is not missed, and there is no gap.
            let cursor = self.list().await?;
            self.stories.tell(Story::Watching);
            let filter = EventFilter {
                kinds: vec![EventKind::Call.into()],
                modems: self.config.modems(),
            };
            let mut watch = Watch::new(self.broker.clone(), Start::Cursor(cursor), filter);
            loop {
                let update = tokio::select! {
                    update = watch.next() => update,
                    Some(ended) = self.calls.join_next_with_id() => {
                        self.finish(ended);
                        continue;
                    }
                };
                match update {
                    Ok(Update::Batch(batch)) => {
                        for event in batch.events {
                            if let Some(Change::CallChanged(call)) = event.change {
                                self.consider(call);
                            }
                        }
                    }
                    Ok(Update::Interrupted { status, retry_in }) => {
                        tracing::warn!(problem = status::describe(&status), ?retry_in, "lost the broker");
                    }
                    Err(WatchError::CursorExpired { .. }) => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    async fn list(&mut self) -> anyhow::Result<u64> {
        let mut back_off = BackOff::new(Duration::from_millis(250), Duration::from_secs(15));
        loop {
            let request = ListCallsRequest {
                alive_only: true,
                modem: self.config.modem.clone(),
                ..Default::default()
            };
            let mut voice = self.broker.voice();
            let refusal = match timeout(LIST_TIMEOUT, voice.list_calls(request)).await {
                Ok(Ok(response)) => {
                    let list = response.into_inner();
                    list.calls.into_iter().for_each(|call| self.consider(call));
                    return Ok(list.cursor);
                }
                Ok(Err(refusal)) => refusal,
                Err(_) => tonic::Status::deadline_exceeded("the broker did not answer"),
            };
            let problem = status::describe(&refusal);
            anyhow::ensure!(status::is_temporary(&refusal), "failed to list calls: {problem}");
            let pause = back_off.next_pause();
            tracing::warn!(problem, ?pause, "failed to list calls; trying again");
            sleep(pause).await;
        }
    }

    fn consider(&mut self, call: Call) {
        if call.direction() != CallDirection::Incoming || call.state() != CallState::Incoming {
            return;
        }
        if self.alive.contains_key(&call.call_id) {
            return;
        }
        self.stories.tell(Story::Ringing {
            call_id: call.call_id.clone(),
            rings: call.rings,
        });
        if call.rings < self.config.answer_after_rings {
            return;
        }
        let call_id = call.call_id.clone();
        let (broker, config, clips) = (self.broker.clone(), Arc::clone(&self.config), Arc::clone(&self.clips));
        let (stories, stopped) = (self.stories.clone(), self.stopped.clone());
        let runtime = tokio::runtime::Handle::current();
        // The detector of a call is not `Send` and lives for the call's length: the conversation has a thread of its own,
        // on which it also cannot be delayed by anything else.
        let task = self
            .calls
            .spawn_blocking(move || runtime.block_on(session::answer(broker, call, &config, &clips, stories, stopped)));
        self.alive.insert(call_id, task.id());
    }

    fn finish(&mut self, ended: Result<(tokio::task::Id, Report), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        self.alive.retain(|_, task| *task != id);
        match ended {
            Ok((_, report)) => {
                session::write(&report, self.config.report_file.as_deref());
                self.stories.tell(Story::Ended(Box::new(report)));
            }
            Err(error) => tracing::error!("a conversation broke off: {error}"),
        }
    }

    async fn drain(&mut self) {
        while let Some(ended) = self.calls.join_next_with_id().await {
            self.finish(ended);
        }
    }
}
