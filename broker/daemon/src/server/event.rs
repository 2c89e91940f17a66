//! `EventService`: the journal, read from any point on.
//!
//! Replay and live are one path: mark the doorbell seen, read after the cursor, send; nothing left: wait for the doorbell.
//! Nothing is read before the client took what was read last, so a slow client costs only itself and needs no queue.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::v1::event_service_server::EventService;
use api::v1::watch_events_request::Start;
use api::v1::{
    CommitCursorRequest, CommitCursorResponse, Consumer, ConsumerStart, DeleteConsumerRequest, DeleteConsumerResponse,
    EventFilter, EventKind, ListConsumersRequest, ListConsumersResponse, ListEventsRequest, ListEventsResponse,
    WatchEventsRequest, WatchEventsResponse,
};
use futures_util::stream;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::auth::{Client, scopes_of};
use super::budget::{Budget, Held};
use super::{ResponseStream, convert, status, validate};
use crate::refusal::Refusal;
use crate::resource::{Event, Sequence};
use crate::scope::{Scope, Scopes};
use crate::store::{Filter, Most, Store};
use crate::tail;

/// Events in one message of a watch, and of a list when the caller has no wish.
const BATCH_LIMIT: u32 = 256;
/// Octets in one message of a watch: what a client that does not read keeps from the others, for each of its watches.
const WATCH_OCTETS: u32 = 64 * 1024;
/// Octets in a list.
const LIST_OCTETS: u32 = 960 * 1024;
/// Names in a filter.
const FILTER_LIMIT: usize = 64;
/// A checkpoint after this long without anything to send. The contract promises 30 seconds; it also keeps NAT entries and
/// proxies awake.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(20);
/// Length of a consumer's name.
const CONSUMER_NAME_LIMIT: usize = 64;

/// The service.
#[derive(Clone)]
pub struct Events {
    store: Store,
    budget: Arc<Budget>,
    shutdown: watch::Receiver<bool>,
}

impl Events {
    /// Serves a store until `shutdown` becomes true.
    pub fn new(store: Store, budget: Arc<Budget>, shutdown: watch::Receiver<bool>) -> Self {
        Self {
            store,
            budget,
            shutdown,
        }
    }

    /// A cursor of another journal is refused, whatever its number.
    async fn same_journal(&self, journal_id: &str, start: &Option<Start>) -> Result<(), Refusal> {
        if journal_id.is_empty() || journal_id == self.store.journal_id() {
            return Ok(());
        }
        let cursor = match start {
            Some(Start::Cursor(cursor)) => Sequence(*cursor),
            _ => self.store.latest(),
        };
        let oldest = self.store.oldest().await?;
        Err(Refusal::CursorForeign { cursor, oldest })
    }

    async fn start(&self, start: Option<Start>, of_a_new_consumer: ConsumerStart) -> Result<Sequence, Refusal> {
        match start {
            None | Some(Start::Now(_)) => Ok(self.store.latest()),
            Some(Start::Beginning(_)) => Ok(self.store.oldest().await?),
            Some(Start::Cursor(cursor)) => Ok(self.store.check_cursor(Sequence(cursor)).await?),
            Some(Start::Consumer(name)) => {
                let name = consumer_name(&name)?;
                match self.store.cursor_of(name).await? {
                    Some(cursor) => Ok(self.store.check_cursor(cursor).await?),
                    None if of_a_new_consumer == ConsumerStart::Now => {
                        // Kept at once: what happens until its first commit is not missed after a break.
                        let now = self.store.latest();
                        Ok(self.store.commit_cursor(name, now, false).await?)
                    }
                    None => Ok(self.store.oldest().await?),
                }
            }
        }
    }
}

#[tonic::async_trait]
impl EventService for Events {
    type WatchEventsStream = ResponseStream<WatchEventsResponse>;

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let client = request.extensions().get::<Client>().cloned().unwrap_or_default();
        let scopes = scopes_of(&request);
        let request = request.into_inner();
        let filter = filter(permitted(request.filter.unwrap_or_default(), scopes)?)?;
        // Subscribed before the start is read, so that nothing falls in between.
        let doorbell = self.store.doorbell();
        let consumer_start = consumer_start(request.consumer_start)?;
        self.same_journal(&request.journal_id, &request.start).await?;
        let cursor = self.start(request.start, consumer_start).await?;
        let watch = Watch {
            store: self.store.clone(),
            doorbell,
            shutdown: self.shutdown.clone(),
            filter,
            cursor,
            unstored: self.store.unstored(),
            told_caught_up: false,
            client,
            budget: Arc::clone(&self.budget),
            held: None,
        };
        Ok(Response::new(watch.into_stream()))
    }

    async fn list_events(&self, request: Request<ListEventsRequest>) -> Result<Response<ListEventsResponse>, Status> {
        let client = request.extensions().get::<Client>().cloned().unwrap_or_default();
        let scopes = scopes_of(&request);
        let request = request.into_inner();
        let limit = validate::page_size(request.page_size, BATCH_LIMIT)?;
        let filter = filter(permitted(request.filter.unwrap_or_default(), scopes)?)?;
        let cursor = match request.cursor {
            0 => self.store.oldest().await.map_err(Refusal::from)?,
            cursor => Sequence(cursor),
        };
        let mut held = self.budget.take(&client, LIST_OCTETS).await;
        let most = Most {
            events: limit as usize,
            octets: LIST_OCTETS as usize,
        };
        let batch = self
            .store
            .events_after(cursor, most, &filter)
            .await
            .map_err(Refusal::from)?;
        let mut response = Response::new(ListEventsResponse {
            events: batch.events.iter().map(convert::event).collect(),
            cursor: batch.cursor.0,
            caught_up: batch.caught_up,
        });
        if let Some(mut held) = held.take() {
            held.shrink_to(batch.octets);
            held.keep_for(&mut response);
        }
        Ok(response)
    }

    async fn commit_cursor(
        &self,
        request: Request<CommitCursorRequest>,
    ) -> Result<Response<CommitCursorResponse>, Status> {
        let request = request.into_inner();
        let consumer = consumer_name(&request.consumer)?;
        let cursor = Sequence(request.cursor);
        let cursor = self
            .store
            .commit_cursor(consumer, cursor, request.rewind)
            .await
            .map_err(Refusal::from)?;
        Ok(Response::new(CommitCursorResponse { cursor: cursor.0 }))
    }

    async fn list_consumers(
        &self,
        _: Request<ListConsumersRequest>,
    ) -> Result<Response<ListConsumersResponse>, Status> {
        let consumers = self.store.consumers().await.map_err(Refusal::from)?;
        let consumers = consumers.into_iter().map(|consumer| Consumer {
            consumer: consumer.name,
            cursor: consumer.position.0,
            lag: consumer.lag,
            commit_time: Some(convert::timestamp(consumer.commit_time)),
        });
        Ok(Response::new(ListConsumersResponse {
            consumers: consumers.collect(),
        }))
    }

    async fn delete_consumer(
        &self,
        request: Request<DeleteConsumerRequest>,
    ) -> Result<Response<DeleteConsumerResponse>, Status> {
        let consumer = consumer_name(&request.get_ref().consumer)?;
        // One that is gone already is as it was asked for.
        self.store.delete_consumer(consumer).await.map_err(Refusal::from)?;
        Ok(Response::new(DeleteConsumerResponse {}))
    }
}

/// One client's watch.
struct Watch {
    store: Store,
    doorbell: watch::Receiver<Sequence>,
    shutdown: watch::Receiver<bool>,
    filter: Filter,
    cursor: Sequence,
    /// Events that could not be stored.
    unstored: tail::Reader<Event>,
    /// Whether the last message said that nothing more was there.
    told_caught_up: bool,
    client: Client,
    budget: Arc<Budget>,
    /// The room of the last message: nobody asks for the next one before the transport has taken it.
    held: Option<Held>,
}

impl Watch {
    fn into_stream(self) -> ResponseStream<WatchEventsResponse> {
        Box::pin(stream::unfold(Some(self), |watch| async move {
            let mut watch = watch?;
            match watch.next().await {
                Ok(response) => Some((Ok(response), Some(watch))),
                // An error is the last thing in a stream.
                Err(refusal) => Some((Err(Status::from(refusal)), None)),
            }
        }))
    }

    async fn next(&mut self) -> Result<WatchEventsResponse, Refusal> {
        self.held = None;
        let checkpoint = tokio::time::sleep(CHECKPOINT_INTERVAL);
        let mut checkpoint = std::pin::pin!(checkpoint);
        loop {
            if *self.shutdown.borrow() {
                return Err(Refusal::ShuttingDown);
            }
            let held = tokio::select! {
                held = self.budget.take(&self.client, WATCH_OCTETS) => held,
                _ = self.shutdown.wait_for(|shutdown| *shutdown) => return Err(Refusal::ShuttingDown),
            };
            // Before reading: what is committed after the read rings again.
            self.doorbell.borrow_and_update();
            let most = Most {
                events: BATCH_LIMIT as usize,
                octets: WATCH_OCTETS as usize,
            };
            let batch = self.store.events_after(self.cursor, most, &self.filter).await?;
            self.cursor = batch.cursor;
            if !batch.events.is_empty() || (batch.caught_up && !self.told_caught_up) {
                self.told_caught_up = batch.caught_up;
                self.held = held.map(|mut held| {
                    held.shrink_to(batch.octets);
                    held
                });
                let events = batch.events.iter().map(convert::event).collect();
                return Ok(WatchEventsResponse {
                    events,
                    cursor: self.cursor.0,
                    caught_up: batch.caught_up,
                    journal_id: self.store.journal_id().to_owned(),
                });
            }
            drop(held);
            if !batch.caught_up {
                continue;
            }
            tokio::select! {
                           rang = rang(&mut self.doorbell, &mut self.shutdown, checkpoint.as_mut()) => {
                               if rang? {
                                   continue;
                               }
                           }
                           Some(told) = self.unstored.next() => {
                               let wanted = told.items.iter().filter(|event| self.filter.lets_pass(event));
                               let events: Vec<_> = wanted.map(convert::event).collect();
                               if events.is_empty() {
                                   continue;
                               }
                               return Ok(WatchEventsResponse {
                                   events,
                                   cursor: self.cursor.0,
                                   caught_up: true,
            journal_id: self.store.journal_id().to_owned(),
                               });
                           }
                       }
            return Ok(WatchEventsResponse {
                events: Vec::new(),
                cursor: self.cursor.0,
                caught_up: true,
                journal_id: self.store.journal_id().to_owned(),
            });
        }
    }
}

/// Waits for something new; `false` when the checkpoint is due first.
async fn rang(
    doorbell: &mut watch::Receiver<Sequence>,
    shutdown: &mut watch::Receiver<bool>,
    checkpoint: Pin<&mut impl Future<Output = ()>>,
) -> Result<bool, Refusal> {
    tokio::select! {
        // The store and the supervisor outlive every watch; if one is gone, the broker is ending.
        changed = doorbell.changed() => changed.map(|()| true).map_err(|_| Refusal::ShuttingDown),
        _ = shutdown.wait_for(|shutdown| *shutdown) => Err(Refusal::ShuttingDown),
        () = checkpoint => Ok(false),
    }
}

/// The scope that shows a kind of events.
fn scope(kind: EventKind) -> Scope {
    match kind {
        EventKind::Message | EventKind::Deleted => Scope::SmsRead,
        EventKind::Call => Scope::CallRead,
        // Keys are what is said in a call.
        EventKind::Dtmf => Scope::CallAudio,
        EventKind::Network | EventKind::Wan | EventKind::Bearer | EventKind::Ussd => Scope::NetworkRead,
        EventKind::Modem | EventKind::Sim | EventKind::Unspecified => Scope::ModemRead,
    }
}

/// A filter that names no kinds shows those that the caller may see; to name one that it may not is refused.
fn permitted(mut written: EventFilter, scopes: Scopes) -> Result<EventFilter, Status> {
    let hidden = |kind: &i32| {
        let scope = EventKind::try_from(*kind).map(scope).ok()?;
        Some(scope).filter(|scope| !scopes.contains(*scope))
    };
    if let Some(missing) = written.kinds.iter().find_map(hidden) {
        return Err(status::scope_missing(missing));
    }
    if written.kinds.is_empty() && scopes != Scopes::ALL {
        let every = (1..)
            .map_while(|number| EventKind::try_from(number).ok())
            .map(i32::from);
        written.kinds = every.filter(|kind| hidden(kind).is_none()).collect();
    }
    Ok(written)
}

fn filter(written: EventFilter) -> Result<Filter, Refusal> {
    if written.modems.len() > FILTER_LIMIT {
        let problem = format!("has {} names, at most {FILTER_LIMIT} are allowed", written.modems.len());
        return Err(Refusal::FieldInvalid {
            field: "filter.modems",
            problem,
        });
    }
    let mut kinds = Vec::new();
    for kind in &written.kinds {
        match EventKind::try_from(*kind) {
            Ok(EventKind::Unspecified) | Err(_) => {
                let problem = format!("{kind} is not a kind of events");
                return Err(Refusal::FieldInvalid {
                    field: "filter.kinds",
                    problem,
                });
            }
            Ok(kind) => kinds.extend(convert::change_kind(kind)),
        }
    }
    // A filter of only kinds that never happen lets nothing pass; an empty one lets everything pass.
    Ok(Filter {
        kinds: Some(kinds).filter(|_| !written.kinds.is_empty()),
        modems: written.modems,
    })
}

fn consumer_start(written: i32) -> Result<ConsumerStart, Refusal> {
    ConsumerStart::try_from(written).map_err(|_| Refusal::FieldInvalid {
        field: "consumer_start",
        problem: format!("{written} is no start"),
    })
}

fn consumer_name(written: &str) -> Result<&str, Refusal> {
    let fits = (1..=CONSUMER_NAME_LIMIT).contains(&written.len())
        && written
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
    if fits {
        return Ok(written);
    }
    Err(Refusal::FieldInvalid {
        field: "consumer",
        problem: "must be 1 to 64 characters of a-z, 0-9, '.', '_' and '-'".to_owned(),
    })
}

#[cfg(test)]
mod tests;
