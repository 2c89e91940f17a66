//! A consumer that archives messages, commits its position, and is itself cut off now and then.
//!
//! It keeps no position of its own: each time it comes back it asks for what follows the position that the broker keeps.
//! Before a commit an event may come again, and then it is the same under the same sequence. After a commit that the broker
//! confirmed, nothing up to it may ever come again.

use std::collections::BTreeMap;

use api::v1::event::Change;
use api::v1::watch_events_request::Start;
use api::v1::{CommitCursorRequest, EventFilter, EventKind, Message, WatchEventsRequest, WatchEventsResponse};
use client::{Broker, status};
use fastrand::Rng;
use tonic::Status;

use super::{Pulse, RETRY};

const CONSUMER: &str = "archive";

/// Sets its dice apart from those of the plan.
const SALT: u64 = 0x00A5_C11E;

/// Everything that it was given.
#[derive(Debug, Default)]
pub(super) struct Archive {
    entries: BTreeMap<u64, Message>,
    /// The broker confirmed this position.
    pub(super) committed: u64,
    /// Events that came again before their commit, as they may.
    pub(super) repeated: u64,
    pub(super) commits: u64,
    pub(super) openings: u64,
    /// What must not happen.
    pub(super) violations: Vec<String>,
}

impl Archive {
    /// The events in order, each once.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&u64, &Message)> {
        self.entries.iter()
    }

    fn take(&mut self, batch: WatchEventsResponse, last: &mut u64) {
        for event in batch.events {
            let sequence = event.sequence;
            if sequence <= self.committed {
                let committed = self.committed;
                self.violations
                    .push(format!("event {sequence} came again after the commit of {committed}"));
            }
            if sequence <= *last {
                self.violations
                    .push(format!("event {sequence} came after event {last} in one watch"));
            }
            *last = sequence;
            let Some(Change::MessageChanged(message)) = event.change else {
                self.violations.push(format!("event {sequence} is not about a message"));
                continue;
            };
            match self.entries.get(&sequence) {
                Some(known) if *known == message => self.repeated += 1,
                Some(_) => self
                    .violations
                    .push(format!("event {sequence} came again with another content")),
                None => drop(self.entries.insert(sequence, message)),
            }
        }
    }
}

/// Consumes until the pulse says that it is done.
pub(super) async fn follow(broker: &Broker, seed: u64, pulse: &Pulse) -> Archive {
    let mut archive = Archive::default();
    let mut random = Rng::with_seed(seed ^ SALT);
    let mut done = pulse.done.subscribe();
    loop {
        let watched = watch_once(broker, &mut archive, &mut random, pulse);
        let status = tokio::select! {
            watched = watched => watched,
            _ = done.wait_for(|done| *done) => return archive,
        };
        if let Err(status) = status
            && !status::is_temporary(&status)
        {
            archive.violations.push(format!("the archive was refused: {status}"));
            return archive;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// One watch, until it breaks or the dice cut it off.
async fn watch_once(broker: &Broker, archive: &mut Archive, random: &mut Rng, pulse: &Pulse) -> Result<(), Status> {
    let request = WatchEventsRequest {
        start: Some(Start::Consumer(CONSUMER.to_owned())),
        filter: Some(EventFilter {
            kinds: vec![EventKind::Message.into()],
            modems: Vec::new(),
        }),
        ..Default::default()
    };
    let mut stream = broker.events().watch_events(request).await?.into_inner();
    archive.openings += 1;
    let mut last = 0;
    while let Some(batch) = stream.message().await? {
        let (cursor, caught_up) = (batch.cursor, batch.caught_up);
        let count = u32::try_from(batch.events.len()).unwrap_or(u32::MAX);
        archive.take(batch, &mut last);
        pulse.events.send_modify(|events| *events += count);
        pulse.position.send_replace(cursor);
        // It dies before it could commit.
        if random.u8(..20) == 0 && !caught_up {
            return Ok(());
        }
        if random.bool() || caught_up {
            let request = CommitCursorRequest {
                consumer: CONSUMER.to_owned(),
                cursor,
                rewind: false,
            };
            let kept = broker.events().commit_cursor(request).await?.into_inner().cursor;
            archive.commits += 1;
            if kept < cursor {
                archive
                    .violations
                    .push(format!("the commit of {cursor} was confirmed as {kept}"));
            }
            archive.committed = archive.committed.max(kept);
        }
        if random.u8(..20) == 0 {
            return Ok(());
        }
    }
    Ok(())
}
