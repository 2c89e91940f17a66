//! The crash proof: messages go both ways while the broker is killed and the modem misbehaves, and afterwards every ledger
//! has to agree.
//!
//! One [`run`] follows a [`Plan`] that is drawn from a seed. Four parties act at the same time: the network delivers
//! messages, senders ask for messages to be sent and repeat a request whose answer was lost, an [`archive`] consumes events
//! and commits its position, and the broker is killed again and again, by the clock or by the virtual modem at the very
//! moment of a command. When all is quiet the [`verdict`] compares what the network booked, what the broker says and what
//! the archive was given.

mod archive;
mod lives;
mod plan;
mod senders;
mod verdict;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use api::v1::{ListMessagesRequest, Message, MessageState};
use client::{Broker, Settings};
use simulator::{Books, Control, Fate};
use tokio::sync::watch;

pub use plan::{Blow, Incoming, Life, Mishap, Outgoing, Plan};
pub use verdict::{Account, Verdict};

use crate::{LIMIT, Process, Rig, Setup, until};

/// How long after the last blow everything may take to come to rest. Generous: one waiting time of the broker fits in.
const REST_LIMIT: Duration = Duration::from_secs(90);

/// Pause before a client asks again whom it could not reach.
const RETRY: Duration = Duration::from_millis(3);

/// What has happened so far, for whoever waits for it.
#[derive(Debug)]
struct Pulse {
    /// Lives of the broker that have begun.
    lives: watch::Sender<usize>,
    /// Requests on their way to the broker.
    requests: watch::Sender<u32>,
    /// Events that the archive was given.
    events: watch::Sender<u32>,
    /// Up to where the archive has seen the journal.
    position: watch::Sender<u64>,
    /// True once nobody has to act any more.
    done: watch::Sender<bool>,
}

impl Pulse {
    /// Waits until a life of the broker has begun; the first has the number 0.
    async fn reached(&self, life: usize) -> anyhow::Result<()> {
        self.lives.subscribe().wait_for(|begun| *begun > life).await?;
        Ok(())
    }
}

/// Carries out a plan and judges the outcome. An error is a run that could not be judged.
pub async fn run(plan: &Plan) -> anyhow::Result<Verdict> {
    let mut setup = Setup::default();
    for modem in &mut setup.modems {
        modem.seed = plan.seed;
    }
    let rig = Rig::prepare(setup).await?;
    let pulse = Pulse {
        lives: watch::Sender::new(0),
        requests: watch::Sender::new(0),
        events: watch::Sender::new(0),
        position: watch::Sender::new(0),
        done: watch::Sender::new(false),
    };
    let broker = Broker::connect_lazily(&Settings::for_endpoint(rig.endpoint()))?;
    let action = async {
        let acted = act(plan, &rig, &broker, &pulse).await;
        pulse.done.send_replace(true);
        acted
    };
    let archive = archive::follow(&broker, plan.seed, &pulse);
    let (acted, archive) = tokio::join!(action, archive);
    let (acted, mut verdict) = match acted {
        Ok(acted) => (acted, Verdict::default()),
        Err(error) => {
            let dialogue = last_dialogue(&rig.sim()).await;
            anyhow::bail!("{error:#}\n{}\n{dialogue}", last_words(rig.path(), plan.seed))
        }
    };
    verdict.judge(plan, &acted, &archive);
    if !verdict.is_clean() {
        verdict.log = last_words(rig.path(), plan.seed);
    }
    drop(acted);
    rig.stop().await?;
    Ok(verdict)
}

/// What is left when all is quiet.
struct Acted {
    /// The last of the processes, still alive, so that its end is ours.
    _process: Process,
    books: Books,
    messages: Vec<Message>,
    sent: Vec<senders::Answered>,
    kills: lives::Kills,
}

async fn act(plan: &Plan, rig: &Rig, broker: &Broker, pulse: &Pulse) -> anyhow::Result<Acted> {
    let sim = rig.sim();
    let ((kills, process), (), sent) = tokio::try_join!(
        lives::live(plan, rig, pulse),
        deliver(&sim, &plan.incoming, pulse),
        senders::send(broker, plan, pulse),
    )?;
    let (books, messages) = rest(&sim, broker, pulse).await?;
    Ok(Acted {
        _process: process,
        books,
        messages,
        sent,
        kills,
    })
}

async fn deliver(sim: &Control, incoming: &[Incoming], pulse: &Pulse) -> anyhow::Result<()> {
    for message in incoming {
        pulse.reached(message.life).await?;
        tokio::time::sleep(message.pause).await;
        sim.deliver_text(&message.from, &message.text).await?;
    }
    Ok(())
}

/// Waits until the module is empty, nothing waits to be sent, and the archive has seen the end of the journal.
async fn rest(sim: &Control, broker: &Broker, pulse: &Pulse) -> anyhow::Result<(Books, Vec<Message>)> {
    let mut last = String::from("nothing was looked at");
    let settled = until("everything is at rest", REST_LIMIT, async || {
        let books = sim.books().await?;
        let held = books
            .deliveries
            .records
            .iter()
            .filter(|delivery| *delivery.fate() != Fate::Deleted);
        if let Some(first) = held.clone().next() {
            last = format!(
                "{} messages are in the network or in the module, such as {first:?}",
                held.count()
            );
            return Ok(None);
        }
        let Ok(listed) = list(broker).await else {
            last = String::from("the broker does not answer");
            return Ok(None);
        };
        let open = |message: &&Message| matches!(message.state(), MessageState::Queued | MessageState::Sending);
        let open: Vec<_> = listed.iter().filter(open).collect();
        if let Some(message) = open.first() {
            last = format!("{} messages are open, such as {message:?}", open.len());
            return Ok(None);
        }
        Ok(Some(()))
    })
    .await;
    settled.with_context(|| last.clone())?;
    // What is judged is what the archive saw the end of, and what the network has after it.
    let (messages, cursor) = list_with_cursor(broker).await?;
    let books = sim.books().await?;
    let mut position = pulse.position.subscribe();
    tokio::time::timeout(LIMIT, position.wait_for(|position| *position >= cursor))
        .await
        .context("the archive has not seen the end of the journal")??;
    Ok((books, messages))
}

async fn list(broker: &Broker) -> Result<Vec<Message>, tonic::Status> {
    list_with_cursor(broker).await.map(|(messages, _)| messages)
}

async fn list_with_cursor(broker: &Broker) -> Result<(Vec<Message>, u64), tonic::Status> {
    let request = ListMessagesRequest {
        page_size: 1000,
        ..Default::default()
    };
    let page = broker.sms().list_messages(request).await?.into_inner();
    Ok((page.messages, page.cursor))
}

/// The end of what crossed the ports, for whoever has to find out.
async fn last_dialogue(sim: &Control) -> String {
    const ENTRIES: usize = 400;
    let mut transcript = sim.transcript(None);
    let mut entries = std::collections::VecDeque::new();
    while let Ok(Some(entry)) = transcript.next(Duration::from_millis(100)).await {
        if entries.len() == ENTRIES {
            entries.pop_front();
        }
        entries.push_back(format!(
            "{:>7} {:?} {:?} {}",
            entry.at_ms, entry.port, entry.way, entry.text
        ));
    }
    let entries: Vec<String> = entries.into();
    format!("the last dialogue:\n{}", entries.join("\n"))
}

/// The end of the broker's log, for whoever has to find out.
fn last_words(directory: &Path, seed: u64) -> String {
    const LINES: usize = 25;
    let log = std::fs::read_to_string(directory.join("broker.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    format!("seed {seed}; the broker's last words:\n{}", lines[from..].join("\n"))
}
