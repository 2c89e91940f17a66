//! The broker's events as a test reads them: in order, each once, waiting for the one that matters.

use std::collections::VecDeque;
use std::time::Duration;

use api::v1::event::Change;
use api::v1::watch_events_request::Start;
use api::v1::{
    Bearer, Call, Event, EventFilter, Message, Modem, WanStatus, WatchEventsRequest, WatchEventsResponse,
    WatchFromBeginning, WatchFromNow,
};
use client::Broker;
use tonic::Streaming;

use crate::LIMIT;

/// Events that a complaint shows.
const SHOWN: usize = 12;

/// A watch with a memory.
pub struct Journal {
    stream: Streaming<WatchEventsResponse>,
    ready: VecDeque<Event>,
    seen: Vec<Event>,
    cursor: u64,
    caught_up: bool,
}

impl Journal {
    /// From the oldest event on.
    pub async fn beginning(broker: &Broker) -> anyhow::Result<Journal> {
        Journal::open(broker, Start::Beginning(WatchFromBeginning {}), EventFilter::default()).await
    }

    /// From now on.
    pub async fn now(broker: &Broker) -> anyhow::Result<Journal> {
        Journal::open(broker, Start::Now(WatchFromNow {}), EventFilter::default()).await
    }

    /// After a cursor.
    pub async fn after(broker: &Broker, cursor: u64) -> anyhow::Result<Journal> {
        Journal::open(broker, Start::Cursor(cursor), EventFilter::default()).await
    }

    /// From any start, with a filter.
    pub async fn open(broker: &Broker, start: Start, filter: EventFilter) -> anyhow::Result<Journal> {
        let request = WatchEventsRequest {
            start: Some(start),
            filter: Some(filter),
            ..Default::default()
        };
        let stream = broker.events().watch_events(request).await?.into_inner();
        Ok(Journal {
            stream,
            ready: VecDeque::new(),
            seen: Vec::new(),
            cursor: 0,
            caught_up: false,
        })
    }

    /// The cursor of the last batch.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Every event so far.
    pub fn seen(&self) -> &[Event] {
        &self.seen
    }

    /// The next event, or `None` if none comes in time.
    pub async fn next(&mut self, wait: Duration) -> anyhow::Result<Option<Event>> {
        let next = async {
            while self.ready.is_empty() {
                self.read().await?;
            }
            anyhow::Ok(self.ready.pop_front())
        };
        let Ok(event) = tokio::time::timeout(wait, next).await else {
            return Ok(None);
        };
        let event = event?;
        self.seen.extend(event.clone());
        Ok(event)
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        let Some(batch) = self.stream.message().await? else {
            anyhow::bail!("the broker ended the watch")
        };
        self.cursor = batch.cursor;
        self.caught_up = batch.caught_up;
        self.ready.extend(batch.events);
        Ok(())
    }

    /// Reads everything that is stored and returns it.
    pub async fn catch_up(&mut self) -> anyhow::Result<&[Event]> {
        let read = async {
            while !self.caught_up {
                self.read().await?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(LIMIT, read).await??;
        self.seen.extend(self.ready.drain(..));
        Ok(&self.seen)
    }

    /// Waits for an event of which `pick` makes something.
    pub async fn find<T>(&mut self, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> anyhow::Result<T> {
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let Some(event) = self.next(left).await? else {
                let last: Vec<String> = self.seen.iter().rev().take(SHOWN).rev().map(brief).collect();
                anyhow::bail!(
                    "{what}: not within {LIMIT:?}; the last events were:\n{}",
                    last.join("\n")
                );
            };
            if let Some(found) = pick(&event) {
                return Ok(found);
            }
        }
    }

    /// Waits for a change of a modem.
    pub async fn modem(&mut self, what: &str, fits: impl Fn(&Modem) -> bool) -> anyhow::Result<Modem> {
        self.find(what, |event| match &event.change {
            Some(Change::ModemChanged(modem)) => Some(modem.clone()).filter(&fits),
            _ => None,
        })
        .await
    }

    /// Waits for a change of the bearer.
    pub async fn bearer(&mut self, what: &str, fits: impl Fn(&Bearer) -> bool) -> anyhow::Result<Bearer> {
        self.find(what, |event| match &event.change {
            Some(Change::BearerChanged(bearer)) => Some(bearer.clone()).filter(&fits),
            _ => None,
        })
        .await
    }

    /// Waits for a change of the WAN.
    pub async fn wan(&mut self, what: &str, fits: impl Fn(&WanStatus) -> bool) -> anyhow::Result<WanStatus> {
        self.find(what, |event| match &event.change {
            Some(Change::WanChanged(status)) => Some(status.clone()).filter(&fits),
            _ => None,
        })
        .await
    }

    /// Waits for a change of a message.
    pub async fn message(&mut self, what: &str, fits: impl Fn(&Message) -> bool) -> anyhow::Result<Message> {
        self.find(what, |event| match &event.change {
            Some(Change::MessageChanged(message)) => Some(message.clone()).filter(&fits),
            _ => None,
        })
        .await
    }

    /// Waits for a change of a call.
    pub async fn call(&mut self, what: &str, fits: impl Fn(&Call) -> bool) -> anyhow::Result<Call> {
        self.find(what, |event| match &event.change {
            Some(Change::CallChanged(call)) => Some(call.clone()).filter(&fits),
            _ => None,
        })
        .await
    }
}

fn brief(event: &Event) -> String {
    let sequence = event.sequence;
    match &event.change {
        Some(Change::ModemChanged(modem)) => format!("{sequence} modem {:?} {}", modem.stage(), modem.stage_detail),
        Some(Change::MessageChanged(message)) => {
            format!(
                "{sequence} message {:?} {} {:?} {}",
                message.state(),
                message.address,
                message.text,
                message.failure
            )
        }
        Some(Change::CallChanged(call)) => {
            format!(
                "{sequence} call {:?} {:?} {:?} {}",
                call.state(),
                call.audio(),
                call.end_cause(),
                call.end_detail
            )
        }
        other => format!("{sequence} {other:?}"),
    }
}
