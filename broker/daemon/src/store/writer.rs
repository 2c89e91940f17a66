//! The one writer: a bounded queue in front of one connection.
//!
//! What waits while a transaction is being made durable is grouped into the next one, so that a burst costs a few
//! `fsync`s instead of one for each write. A group runs as one short `spawn_blocking`; there is no thread or task that
//! lives longer than the work, which also keeps tokio's paused clock right in tests (it stands still while a blocking
//! task runs, and would stand still for ever beside a loop).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::card::Cards;
use super::error::StoreError;
use super::health::{Monitor, OpenFile};
use super::tail::{Appended, Tail};
use super::unreadable::{Reading, Unreadable};
use crate::resource::Sequence;
use crate::supervisor;

/// Writes that may wait. Whoever comes when it is full waits for room, so that a slow disk slows its users down.
const QUEUE_LIMIT: usize = 256;
/// Writes in one transaction: bounds how long the first of them waits for the last.
const GROUP_LIMIT: usize = 64;

/// A transaction as one write sees it.
pub(super) struct Writing<'a> {
    /// The connection, inside a transaction.
    pub(super) connection: &'a Connection,
    /// When the write was asked for.
    pub(super) now: Timestamp,
    /// The events that this write appended, in order.
    pub(super) appended: RefCell<Vec<Appended>>,
    /// The SIM in each modem.
    pub(super) cards: &'a Cards,
    unreadable: &'a Unreadable,
}

impl Writing<'_> {
    /// What a read would see.
    pub(super) fn reading(&self) -> Reading<'_> {
        Reading {
            connection: self.connection,
            unreadable: self.unreadable,
        }
    }

    /// The last event that this write appended.
    pub(super) fn last_appended(&self) -> Option<Sequence> {
        self.appended.borrow().last().map(|appended| appended.event.sequence)
    }
}

/// The writing side of the store.
pub(super) struct Writer {
    waiting: Mutex<Waiting>,
    connection: Mutex<Connection>,
    file: OpenFile,
    monitor: Monitor,
    room: Arc<Semaphore>,
    tail: Tail,
    doorbell: watch::Sender<Sequence>,
    cards: Cards,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Box<dyn Job>>,
    /// Whether a blocking task is at work; it takes everything that is added before it clears this.
    working: bool,
}

impl Writer {
    pub(super) fn new(connection: Connection, file: OpenFile, latest: Sequence) -> Self {
        Self {
            waiting: Mutex::default(),
            connection: Mutex::new(connection),
            file,
            monitor: Monitor::default(),
            room: Arc::new(Semaphore::new(QUEUE_LIMIT)),
            tail: Tail::new(latest),
            doorbell: watch::Sender::new(latest),
            cards: Cards::default(),
        }
    }

    /// Rings after every commit that appended events, with the newest one.
    pub(super) fn doorbell(&self) -> watch::Receiver<Sequence> {
        self.doorbell.subscribe()
    }

    /// The file that is written.
    pub(super) fn file(&self) -> &OpenFile {
        &self.file
    }

    /// How it goes.
    pub(super) fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// The newest committed events.
    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The newest committed event.
    pub(super) fn latest(&self) -> Sequence {
        *self.doorbell.borrow()
    }

    /// Runs `work` in a transaction and returns when it is durable. An error undoes what `work` did and nothing else. Once
    /// queued, the work is done even if nobody waits for the answer any more.
    pub(super) async fn write<T, F>(
        self: &Arc<Self>,
        action: &'static str,
        unreadable: Unreadable,
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Writing<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let given_up = StoreError::GivenUp { action };
        let Ok(room) = Arc::clone(&self.room).acquire_owned().await else {
            return Err(given_up);
        };
        let (answer, answered) = oneshot::channel();
        let now = Timestamp::now();
        let job = Box::new(Pending {
            action,
            now,
            work: Some(work),
            unreadable,
            outcome: None,
            answer,
            _room: room,
        });
        let idle = {
            let mut waiting = unpoisoned(&self.waiting);
            waiting.jobs.push_back(job);
            !std::mem::replace(&mut waiting.working, true)
        };
        if idle {
            let writer = Arc::clone(self);
            supervisor::on_disk(move || writer.work_off());
        }
        answered.await.unwrap_or(Err(given_up))
    }

    fn work_off(&self) {
        loop {
            let group: Vec<_> = {
                let mut waiting = unpoisoned(&self.waiting);
                if waiting.jobs.is_empty() {
                    waiting.working = false;
                    return;
                }
                let count = waiting.jobs.len().min(GROUP_LIMIT);
                waiting.jobs.drain(..count).collect()
            };
            self.commit(group);
        }
    }

    fn commit(&self, mut group: Vec<Box<dyn Job>>) {
        // Before and after: what is written into a file without a name must not be taken for stored.
        let outcome = self.file.check().and_then(|()| {
            let appended = perform(
                &mut unpoisoned(&self.connection),
                &self.cards,
                &self.monitor,
                &mut group,
            )?;
            self.file.check().map(|()| appended)
        });
        self.monitor.note(outcome.as_ref().map(drop));
        let outcome = outcome.map(|appended| {
            if let Some(latest) = appended.last().map(|last| last.event.sequence) {
                self.tail.extend(appended);
                // Before the answers, so that whoever got one finds `latest` at or past its own event.
                self.doorbell.send_replace(latest);
            }
        });
        for job in group {
            job.answer(outcome.clone());
        }
    }
}

/// Does a group in one transaction and returns the events that it appended.
fn perform(
    connection: &mut Connection,
    cards: &Cards,
    monitor: &Monitor,
    group: &mut [Box<dyn Job>],
) -> Result<Vec<Appended>, StoreError> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut all = Vec::new();
    for job in group {
        let mut savepoint = transaction.savepoint()?;
        match job.perform(&savepoint, cards) {
            Ok(appended) => {
                savepoint.commit()?;
                all.extend(appended);
            }
            Err(Undone) => {
                // SQLite itself rolls the whole transaction back on some errors, a full disk among them. The group is
                // then lost as a whole, and everybody in it has to be told so.
                if savepoint.is_autocommit() {
                    return Err(job.cause());
                }
                savepoint.rollback()?;
                savepoint.commit()?;
                let cause = job.cause();
                if cause.is_of_the_disk() {
                    monitor.note(Err(&cause));
                }
            }
        }
    }
    transaction.commit()?;
    Ok(all)
}

/// The work failed and is to be undone.
struct Undone;

trait Job: Send {
    fn perform(&mut self, connection: &Connection, cards: &Cards) -> Result<Vec<Appended>, Undone>;
    /// Why the work failed.
    fn cause(&self) -> StoreError;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Pending<T, F> {
    action: &'static str,
    now: Timestamp,
    work: Option<F>,
    unreadable: Unreadable,
    outcome: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
    _room: OwnedSemaphorePermit,
}

impl<T, F> Job for Pending<T, F>
where
    T: Send,
    F: FnOnce(&Writing<'_>) -> Result<T, StoreError> + Send,
{
    fn perform(&mut self, connection: &Connection, cards: &Cards) -> Result<Vec<Appended>, Undone> {
        let work = self.work.take().ok_or(Undone)?;
        let writing = Writing {
            connection,
            now: self.now,
            appended: RefCell::default(),
            cards,
            unreadable: &self.unreadable,
        };
        // A panic is kept to the write that caused it: the others of the group wait for their answers.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&writing)))
            .unwrap_or(Err(StoreError::GivenUp { action: self.action }));
        let done = outcome.is_ok();
        self.outcome = Some(outcome);
        if done {
            Ok(writing.appended.into_inner())
        } else {
            Err(Undone)
        }
    }

    fn cause(&self) -> StoreError {
        match &self.outcome {
            Some(Err(error)) => error.clone(),
            _ => StoreError::GivenUp { action: self.action },
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Pending {
            action,
            outcome,
            answer,
            ..
        } = *self;
        let outcome = outcome.unwrap_or(Err(StoreError::GivenUp { action }));
        let outcome = committed.and(outcome).map_err(|error| error.during(action));
        // Nobody waits when the caller was cancelled; the write stands all the same.
        let _ = answer.send(outcome);
    }
}

/// Nothing guarded here is left half changed by a panic: the queue changes in single steps, and a connection rolls back.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
