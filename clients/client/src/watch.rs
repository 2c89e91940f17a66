//! Events across lost connections.

use std::time::Duration;

use api::v1::watch_events_request::Start as WireStart;
use api::v1::{
    ErrorReason, Event, EventFilter, WatchEventsRequest, WatchEventsResponse, WatchFromBeginning, WatchFromNow,
};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Status, Streaming};

use crate::back_off::BackOff;
use crate::connection::Broker;
use crate::status;

/// How long opening a stream may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// The contract promises a checkpoint every 30 s. Three missing ones mean that the stream is dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(90);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Where a watch starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// After this sequence, such as the `cursor` of a list.
    Cursor(u64),
    /// Where this named consumer committed last.
    Consumer(String),
    /// At the oldest stored event.
    Beginning,
    /// With what happens next. Events are missed if the connection breaks before the first batch came; a list's cursor
    /// has no such gap.
    Now,
}

/// Events in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The events; none in a checkpoint.
    pub events: Vec<Event>,
    /// Everything up to here was considered.
    pub cursor: u64,
    /// Whether the journal had nothing more.
    pub caught_up: bool,
}

/// What a watch has to tell.
#[derive(Debug)]
pub enum Update {
    /// Events, or a checkpoint.
    Batch(Batch),
    /// The stream broke. The next call of [`Watch::next`] waits `retry_in` and continues where it stopped.
    Interrupted {
        /// Why.
        status: Box<Status>,
        /// The pause before the next attempt.
        retry_in: Duration,
    },
}

/// Why a watch cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Events after the cursor are gone from the journal: whoever needs the state has to list it again.
    #[error("events were missed: {message}", message = status::describe(.refusal))]
    CursorExpired {
        /// The oldest stored event, when the broker told.
        oldest: Option<u64>,
        /// What the broker said: events are gone, or the journal is another one.
        refusal: Box<Status>,
    },
    /// The broker refused, and would refuse again.
    #[error("events cannot be watched: {message}", message = status::describe(.0))]
    Refused(#[source] Box<Status>),
}

/// A stream of events that reconnects with growing pauses and continues after the last event that it yielded.
pub struct Watch {
    broker: Broker,
    start: Start,
    filter: EventFilter,
    cursor: Option<u64>,
    stream: Option<Streaming<WatchEventsResponse>>,
    back_off: BackOff,
    retry_at: Option<Instant>,
}

impl Watch {
    /// A watch; nothing is sent before [`Watch::next`].
    pub fn new(broker: Broker, start: Start, filter: EventFilter) -> Self {
        let back_off = BackOff::new(FIRST_PAUSE, LONGEST_PAUSE);
        Self {
            broker,
            start,
            filter,
            cursor: None,
            stream: None,
            back_off,
            retry_at: None,
        }
    }

    /// Everything up to here was yielded; none before the first batch.
    pub fn cursor(&self) -> Option<u64> {
        self.cursor
    }

    /// The next batch or interruption. Cancel safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Update, WatchError> {
        loop {
            let status = match &mut self.stream {
                None => match self.open().await {
                    Ok(stream) => {
                        self.stream = Some(stream);
                        continue;
                    }
                    Err(status) => status,
                },
                Some(stream) => match timeout(SILENCE_LIMIT, stream.message()).await {
                    Ok(Ok(Some(response))) => return Ok(Update::Batch(self.accept(response))),
                    Ok(Ok(None)) => Status::unavailable("the broker ended the stream"),
                    Ok(Err(status)) => status,
                    Err(_) => Status::unavailable("the broker fell silent"),
                },
            };
            self.stream = None;
            if matches!(
                status::reason(&status),
                Some(ErrorReason::CursorExpired | ErrorReason::CursorForeign)
            ) {
                let oldest = status::metadata(&status)
                    .get("oldest_cursor")
                    .and_then(|text| text.parse().ok());
                return Err(WatchError::CursorExpired {
                    oldest,
                    refusal: Box::new(status),
                });
            }
            if !status::is_temporary(&status) {
                return Err(WatchError::Refused(Box::new(status)));
            }
            let retry_in = self.back_off.next_pause();
            self.retry_at = Some(Instant::now() + retry_in);
            return Ok(Update::Interrupted {
                status: Box::new(status),
                retry_in,
            });
        }
    }

    async fn open(&mut self) -> Result<Streaming<WatchEventsResponse>, Status> {
        if let Some(at) = self.retry_at {
            sleep_until(at).await;
        }
        let start = match (self.cursor, &self.start) {
            (Some(cursor), _) => WireStart::Cursor(cursor),
            (None, Start::Cursor(cursor)) => WireStart::Cursor(*cursor),
            (None, Start::Consumer(consumer)) => WireStart::Consumer(consumer.clone()),
            (None, Start::Beginning) => WireStart::Beginning(WatchFromBeginning {}),
            (None, Start::Now) => WireStart::Now(WatchFromNow {}),
        };
        let request = WatchEventsRequest {
            start: Some(start),
            filter: Some(self.filter.clone()),
            ..Default::default()
        };
        match timeout(OPEN_TIMEOUT, self.broker.events().watch_events(request)).await {
            Ok(response) => Ok(response?.into_inner()),
            Err(_) => Err(Status::unavailable("the broker did not answer")),
        }
    }

    fn accept(&mut self, response: WatchEventsResponse) -> Batch {
        self.back_off.reset();
        self.retry_at = None;
        let seen = self.cursor;
        let mut events = response.events;
        // Delivery is at least once; within one watch it is once. What could not be stored has no place in the order.
        events.retain(|event| event.sequence == 0 || seen.is_none_or(|seen| event.sequence > seen));
        let cursor = seen.unwrap_or(0).max(response.cursor);
        self.cursor = Some(cursor);
        Batch {
            events,
            cursor,
            caught_up: response.caught_up,
        }
    }
}
