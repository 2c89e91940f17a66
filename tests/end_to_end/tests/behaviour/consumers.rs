//! Many consumers at once, slow ones and dead ones: each gets everything once, and none is another's business.

use std::time::Duration;

use api::v1::watch_events_request::Start;
use api::v1::{EventFilter, EventKind, ListMessagesRequest, MessageState, WatchFromNow};
use client::{Broker, Settings};
use end_to_end::{Journal, LIMIT, Process, Rig, Setup, binaries};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

const SUBSCRIBERS: usize = 1000;
const MESSAGES: usize = 10;

/// What a broker may take at most while all of this happens. Idle it takes 12 MiB in a release build; the bound is for what
/// grows with every subscriber or with every event.
const MEMORY_LIMIT_MIB: f64 = 160.0;

async fn watch(broker: &Broker) -> anyhow::Result<Journal> {
    let messages = EventFilter {
        kinds: vec![EventKind::Message.into()],
        modems: Vec::new(),
    };
    let mut journal = Journal::open(broker, Start::Now(WatchFromNow {}), messages).await?;
    // Its first answer says that it is there.
    journal.catch_up().await?;
    Ok(journal)
}

/// Subscribers over so many connections.
async fn subscribe(endpoint: &str, connections: usize) -> anyhow::Result<Vec<Journal>> {
    let settings = Settings::for_endpoint(endpoint);
    let mut journals = Vec::new();
    for _ in 0..connections {
        let broker = Broker::connect(&settings).await?;
        let share = (0..SUBSCRIBERS / connections).map(|_| watch(&broker));
        for journal in futures_util::future::join_all(share).await {
            journals.push(journal?);
        }
    }
    Ok(journals)
}

/// Reads until the last message; every text that was received, in order.
async fn received(journal: &mut Journal) -> anyhow::Result<Vec<String>> {
    let last = text(MESSAGES - 1);
    journal
        .message("the last message", |message| message.text == last)
        .await?;
    let sequences: Vec<u64> = journal.seen().iter().map(|event| event.sequence).collect();
    anyhow::ensure!(
        sequences.windows(2).all(|pair| pair[0] < pair[1]),
        "out of order: {sequences:?}"
    );
    let message = |event: &api::v1::Event| match &event.change {
        Some(api::v1::event::Change::MessageChanged(message)) => Some(message.text.clone()),
        _ => None,
    };
    Ok(journal.seen().iter().filter_map(message).collect())
}

fn text(number: usize) -> String {
    format!("to all of you, {number}")
}

async fn everybody_gets_everything_once(connections: usize) -> anyhow::Result<()> {
    let rig = Rig::prepare(Setup::default()).await?;
    let process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    let mut journals = subscribe(&rig.endpoint(), connections).await?;
    assert_eq!(journals.len(), SUBSCRIBERS);
    for number in 0..MESSAGES {
        rig.sim().deliver_text("+447700900123", &text(number)).await?;
    }
    let expected: Vec<String> = (0..MESSAGES).map(text).collect();
    let mut reading: FuturesUnordered<_> = journals.iter_mut().map(received).collect();
    let mut done = 0;
    while let Some(texts) = reading.next().await {
        assert_eq!(texts?, expected);
        done += 1;
    }
    assert_eq!(done, SUBSCRIBERS);
    let memory = process.memory_mib()?;
    assert!(
        memory < MEMORY_LIMIT_MIB,
        "{memory:.1} MiB with {SUBSCRIBERS} subscribers"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_subscribers_on_two_connections_get_every_event_once() -> anyhow::Result<()> {
    everybody_gets_everything_once(2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_subscribers_on_a_connection_each_get_every_event_once() -> anyhow::Result<()> {
    everybody_gets_everything_once(SUBSCRIBERS).await
}

/// Watches that are never read, and some whose connection is cut, beside one that reads: it gets everything, the broker
/// does not keep for the others what they do not take, and who wakes up late gets all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_and_a_dead_consumer_harm_nobody() -> anyhow::Result<()> {
    const IDLE: usize = 50;
    const LOAD: usize = 400;
    let rig = Rig::prepare(Setup::default()).await?;
    let process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    let settings = Settings::for_endpoint(rig.endpoint());
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(watch(&Broker::connect(&settings).await?).await?);
    }
    let mut reader = watch(&broker).await?;
    let before = process.memory_mib()?;
    // Long texts, so that what would be queued for each of them could not be overlooked.
    let long = |number: usize| format!("{number:04} {}", "and so on and on ".repeat(40));
    for number in 0..LOAD {
        rig.sim().deliver_text("+447700900123", &long(number)).await?;
        if number == LOAD / 2 {
            // The dead: nobody says goodbye.
            idle.truncate(IDLE / 2);
        }
    }
    let mut complete = Vec::new();
    while complete.len() < LOAD {
        let message = reader
            .message("the next message", |message| message.state() == MessageState::Received)
            .await?;
        complete.push(message.text);
    }
    let mut sorted = complete.clone();
    sorted.sort_unstable();
    assert!(
        sorted == (0..LOAD).map(long).collect::<Vec<_>>(),
        "not each of them once"
    );
    let grown = process.memory_mib()? - before;
    assert!(grown < MEMORY_LIMIT_MIB / 2.0, "the broker grew by {grown:.1} MiB");
    // The slow one: everything is there for it, in the order in which it happened.
    let mut slow = idle.pop().expect("half of them are still there");
    let mut late = Vec::new();
    while late.len() < LOAD {
        let message = slow
            .message("a message for the slow one", |message| {
                message.state() == MessageState::Received
            })
            .await?;
        late.push(message.text);
    }
    assert!(late == complete, "the same events in the same order");
    Ok(())
}

/// More clients than the broker has descriptors for wait for their turn; those that are in are served.
#[tokio::test(flavor = "multi_thread")]
async fn clients_beyond_the_limit_of_descriptors_wait_and_the_others_are_served() -> anyhow::Result<()> {
    const DESCRIPTORS: u64 = 160;
    let rig = Rig::prepare(Setup::default()).await?;
    let process = Process::limited_broker(rig.path(), rig.configuration(), DESCRIPTORS)?;
    let broker = process.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    let path = rig.endpoint().trim_start_matches("unix:").to_owned();
    let mut crowd = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        // The queue of the socket takes some more than the broker; who does not fit is not the matter here.
        if let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(50), tokio::net::UnixStream::connect(&path)).await
        {
            crowd.push(stream);
        }
    }
    rig.sim().deliver_text("+447700900123", "in the crowd").await?;
    let mut journal = Journal::beginning(&broker).await?;
    journal
        .message("the message", |message| message.text == "in the crowd")
        .await?;
    let listed = broker.sms().list_messages(ListMessagesRequest::default()).await?;
    assert_eq!(listed.into_inner().messages.len(), 1);
    drop(crowd);
    let late = tokio::time::timeout(LIMIT, process.connect(&rig.endpoint())).await??;
    late.sms().list_messages(ListMessagesRequest::default()).await?;
    Ok(())
}
