//! The last of something that never ends, for any number of readers at their own pace.
//!
//! What is too old leaves, whether it was read or not. A reader that is slow loses its own part and is told how much; the
//! writer never waits, and nobody else notices.
//!
//! Traces are one use: port tasks append what they read and write, at the price of a copy. The lock is held for that and
//! never across an await. A trace is redacted when it is read, line by line, and what is not known to be harmless is
//! masked; of QMI frames it shows headers, types, results and end reasons. So traces are on by default, since a bug is
//! seldom announced.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Items that one step of a reader takes, so that a long backlog is not copied at once.
const STEP: usize = 64;

/// The writing side. Clones share the same tail.
pub struct Tail<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Tail<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

struct Shared<T> {
    kept: Mutex<Kept<T>>,
    /// The position after the newest item.
    rung: watch::Sender<u64>,
    budget: usize,
}

struct Kept<T> {
    items: VecDeque<(usize, T)>,
    weight: usize,
    /// The position after the newest item.
    end: u64,
}

/// What a reader got in one step.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch<T> {
    /// Items that left before this reader came to them.
    pub lost: u64,
    /// Items in order.
    pub items: Vec<T>,
}

impl<T: Clone> Tail<T> {
    /// Keeps items of so much weight in all, and always the newest one.
    pub fn new(budget: usize) -> Self {
        let kept = Kept {
            items: VecDeque::new(),
            weight: 0,
            end: 0,
        };
        Self {
            shared: Arc::new(Shared {
                kept: Mutex::new(kept),
                rung: watch::Sender::new(0),
                budget,
            }),
        }
    }

    /// Appends an item.
    pub fn push(&self, item: T, weight: usize) {
        let end = {
            let mut kept = self.shared.lock();
            kept.items.push_back((weight, item));
            kept.weight += weight;
            while kept.weight > self.shared.budget && kept.items.len() > 1 {
                if let Some((weight, _)) = kept.items.pop_front() {
                    kept.weight -= weight;
                }
            }
            kept.end += 1;
            kept.end
        };
        if self.has_readers() {
            self.shared.rung.send_replace(end);
        }
    }

    /// Whether somebody follows.
    pub fn has_readers(&self) -> bool {
        self.shared.rung.receiver_count() > 0
    }

    /// Follows from the oldest item that is kept.
    pub fn from_oldest(&self) -> Reader<T> {
        let rung = self.shared.rung.subscribe();
        let kept = self.shared.lock();
        let position = kept.begin();
        drop(kept);
        self.reader(position, rung)
    }

    /// Follows from what comes next.
    pub fn from_now(&self) -> Reader<T> {
        let rung = self.shared.rung.subscribe();
        let position = self.shared.lock().end;
        self.reader(position, rung)
    }

    fn reader(&self, position: u64, rung: watch::Receiver<u64>) -> Reader<T> {
        Reader {
            shared: Arc::clone(&self.shared),
            position,
            rung,
        }
    }
}

impl<T> Shared<T> {
    /// Nothing guarded here is left half changed by a panic.
    fn lock(&self) -> MutexGuard<'_, Kept<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Kept<T> {
    fn begin(&self) -> u64 {
        self.end - self.items.len() as u64
    }
}

/// A reader with a position of its own.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    position: u64,
    rung: watch::Receiver<u64>,
}

impl<T: Clone> Reader<T> {
    /// Whether nothing at all was before this position.
    pub fn is_at_the_beginning(&self) -> bool {
        self.position == 0
    }

    /// What is there now; nothing when all was read.
    pub fn read(&mut self) -> Batch<T> {
        let kept = self.shared.lock();
        let begin = kept.begin();
        let lost = begin.saturating_sub(self.position);
        let first = self.position.max(begin);
        let skip = usize::try_from(first - begin).unwrap_or(usize::MAX);
        let items: Vec<T> = kept
            .items
            .iter()
            .skip(skip)
            .take(STEP)
            .map(|(_, item)| item.clone())
            .collect();
        self.position = first + items.len() as u64;
        Batch { lost, items }
    }

    /// Waits until something is there. `None` when nothing can come any more. Cancel safe.
    pub async fn next(&mut self) -> Option<Batch<T>> {
        loop {
            // Before reading: what comes after the read rings again.
            self.rung.borrow_and_update();
            let batch = self.read();
            if batch.lost > 0 || !batch.items.is_empty() {
                return Some(batch);
            }
            self.rung.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_loses_its_own_and_is_told_how_much() {
        let tail = Tail::new(3);
        let (mut slow, mut quick) = (tail.from_now(), tail.from_now());
        for number in 0..5 {
            tail.push(number, 1);
            assert_eq!(
                quick.read(),
                Batch {
                    lost: 0,
                    items: vec![number]
                }
            );
        }
        assert_eq!(
            slow.read(),
            Batch {
                lost: 2,
                items: vec![2, 3, 4]
            }
        );
        assert_eq!(slow.read(), Batch { lost: 0, items: vec![] });
        assert_eq!(tail.from_oldest().read().items, [2, 3, 4]);
        assert_eq!(tail.from_now().read().items, [] as [i32; 0]);
    }

    #[test]
    fn an_item_that_weighs_more_than_everything_is_kept_alone() {
        let tail = Tail::new(10);
        tail.push('a', 4);
        tail.push('b', 100);
        assert_eq!(tail.from_oldest().read().items, ['b']);
        tail.push('c', 1);
        assert_eq!(tail.from_oldest().read().items, ['c']);
    }

    #[tokio::test]
    async fn a_reader_waits_for_what_comes() {
        let tail = Tail::new(100);
        let mut reader = tail.from_now();
        let (batch, ()) = tokio::join!(reader.next(), async {
            tokio::task::yield_now().await;
            tail.push(1, 1);
        });
        assert_eq!(
            batch,
            Some(Batch {
                lost: 0,
                items: vec![1]
            })
        );
        for number in 0..100 {
            tail.push(number, 1);
        }
        let mut seen = Vec::new();
        while seen.len() < 100 {
            let batch = reader.next().await.unwrap();
            assert_eq!(batch.lost, 0);
            assert!(batch.items.len() <= STEP);
            seen.extend(batch.items);
        }
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }
}
