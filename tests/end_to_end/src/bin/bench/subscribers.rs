//! What a thousand subscribers cost: time to the first and to the last of them, and memory.

use std::time::Instant;

use api::v1::event::Change;
use api::v1::watch_events_request::Start;
use api::v1::{EventFilter, EventKind, WatchFromNow};
use client::{Broker, Settings};
use end_to_end::{Journal, LIMIT, Process, Rig};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use simulator::Fate;

use crate::report::Row;

/// Watches at the same time.
const SUBSCRIBERS: usize = 1000;

/// Measures with the subscribers on so many connections.
pub async fn crowd(rig: &Rig, process: &Process, connections: usize, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let before = process.memory_mib()?;
    let settings = Settings::for_endpoint(rig.endpoint());
    let mut journals = Vec::new();
    for _ in 0..connections {
        let broker = Broker::connect(&settings).await?;
        let share = (0..SUBSCRIBERS / connections).map(|_| watch(&broker));
        for journal in futures_util::future::join_all(share).await {
            journals.push(journal?);
        }
    }
    let memory = process.memory_mib()?;
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let text = format!("to a crowd {round}");
        let started = Instant::now();
        rig.sim().deliver_text("+447700900123", &text).await?;
        let mut arrivals: FuturesUnordered<_> = journals.iter_mut().map(|journal| arrival(journal, &text)).collect();
        let mut times = Vec::with_capacity(SUBSCRIBERS);
        while let Some(arrived) = arrivals.next().await {
            times.push(arrived?.duration_since(started).as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        first.extend(times.first());
        last.extend(times.last());
        rig.sim()
            .books_when(LIMIT, |books| {
                let newest = books.deliveries.records.back();
                newest.is_some_and(|newest| *newest.fate() == Fate::Deleted)
            })
            .await?;
    }
    let loaded = process.memory_mib()?;
    let [name_first, name_last, name_memory, name_loaded] = names(connections);
    Ok(vec![
        Row::new(
            name_first,
            "message delivered by the network -> its event at the first of 1000 subscribers",
            "ms",
            first,
        ),
        Row::new(
            name_last,
            "the same to the last of them; the clients share the machine with the broker",
            "ms",
            last,
        ),
        Row::new(
            name_memory,
            "proportional set size with 1000 subscribers, less that without them",
            "MiB",
            vec![memory - before],
        ),
        Row::new(name_loaded, "the same after these events", "MiB", vec![loaded - before]),
    ])
}

fn names(connections: usize) -> [&'static str; 4] {
    if connections == SUBSCRIBERS {
        [
            "1000 apart, first",
            "1000 apart, last",
            "1000 apart, memory",
            "1000 apart, after",
        ]
    } else {
        [
            "1000 on 4, first",
            "1000 on 4, last",
            "1000 on 4, memory",
            "1000 on 4, after",
        ]
    }
}

async fn watch(broker: &Broker) -> anyhow::Result<Journal> {
    let messages = EventFilter {
        kinds: vec![EventKind::Message.into()],
        modems: Vec::new(),
    };
    let mut journal = Journal::open(broker, Start::Now(WatchFromNow {}), messages).await?;
    journal.catch_up().await?;
    Ok(journal)
}

async fn arrival(journal: &mut Journal, text: &str) -> anyhow::Result<Instant> {
    journal
        .find("the message", |event| match &event.change {
            Some(Change::MessageChanged(message)) if message.text == text => Some(Instant::now()),
            _ => None,
        })
        .await
}
