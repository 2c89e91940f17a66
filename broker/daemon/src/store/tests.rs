//! The store's promises.

mod bounds;
mod following;
mod history;
mod integrity;
mod messages;
mod opening;
mod queue;
mod receiving;
mod tail;
mod unreadable;

use std::path::PathBuf;

use jiff::Timestamp;
use tempfile::TempDir;

use super::{Filter, Limits, NextQueued, Store};
use crate::resource::{
    Call, CallDirection, CallState, Change, Dtmf, Event, Message, MessageDirection, MessageState, Sequence,
};

/// A store in a directory of its own.
struct Fixture {
    store: Store,
    directory: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let store = Store::open_beginning_at(&directory.path().join("broker.db"), Sequence(0))
            .await
            .unwrap();
        Self { store, directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("broker.db")
    }

    /// What a restart of the broker does.
    async fn reopened(self) -> Self {
        let path = self.path();
        drop(self.store);
        Self {
            store: Store::open(&path).await.unwrap(),
            directory: self.directory,
        }
    }

    /// What a modem is to send now.
    async fn next_queued(&self, modem: &str) -> Option<Message> {
        match self.store.next_queued(modem, Timestamp::now()).await.unwrap() {
            NextQueued::Message(message) => Some(*message),
            NextQueued::At(_) | NextQueued::Nothing => None,
        }
    }

    async fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut cursor = Sequence(0);
        loop {
            let batch = self.store.events_after(cursor, 100, &Filter::default()).await.unwrap();
            events.extend(batch.events);
            cursor = batch.cursor;
            if batch.caught_up {
                return events;
            }
        }
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn dtmf(tone: char) -> Change {
    Change::Dtmf(Dtmf {
        call_id: "call".into(),
        tone,
    })
}

fn outgoing(id: &str, request_id: Option<&str>) -> Message {
    Message {
        id: id.into(),
        modem: "sim1".into(),
        direction: MessageDirection::Outgoing,
        state: MessageState::Queued,
        address: "+491700000001".into(),
        text: "Grüße".into(),
        part_count: 1,
        create_time: Timestamp::now(),
        update_time: Timestamp::now(),
        request_id: request_id.map(str::to_owned),
        delivery_report_requested: true,
        client: "uid:1000".into(),
        ..Message::default()
    }
}

fn call(id: &str, state: CallState) -> Call {
    Call {
        id: id.into(),
        number: "+491700000001".into(),
        ..Call::begin("sim1", CallDirection::Outgoing, state)
    }
}
