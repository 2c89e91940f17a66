//! The newest events in memory are the same as on disk, and take little.

use super::*;
use crate::resource::ChangeKind;
use crate::store::unreadable::{Reading, Unreadable};
use crate::store::{Batch, StoreError, journal};

fn message(text: &str) -> Change {
    Change::Message(Message {
        text: text.to_owned(),
        ..outgoing("message", None)
    })
}

/// What a read gives, once from memory and once from disk.
async fn both(fixture: &Fixture, cursor: u64, limit: usize, filter: &Filter) -> (Option<Batch>, Batch) {
    let tail = fixture.store.writer.tail();
    let kept = tail.events_after(Sequence(cursor), limit.into(), filter);
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    let reading = Reading {
        connection: &connection,
        unreadable: &Unreadable::default(),
    };
    let read = journal::events_after(&reading, Sequence(cursor), limit.into(), filter).unwrap();
    (kept, read)
}

#[tokio::test]
async fn memory_and_disk_give_the_same_for_every_cursor_limit_and_filter() {
    let fixture = Fixture::new().await;
    for number in 0..12 {
        let modem = if number % 3 == 0 { "sim2" } else { "sim1" };
        fixture.store.append(modem, dtmf('1')).await.unwrap();
    }
    fixture.store.append("sim1", message("a text")).await.unwrap();
    let latest = fixture.store.latest().0;
    let of_sim2 = Filter {
        modems: vec!["sim2".to_owned()],
        ..Filter::default()
    };
    let messages = Filter {
        kinds: Some(vec![ChangeKind::Message]),
        ..Filter::default()
    };
    let nothing = Filter {
        kinds: Some(Vec::new()),
        ..Filter::default()
    };
    for filter in [Filter::default(), of_sim2, messages, nothing] {
        for cursor in 0..=latest {
            for limit in [1, 3, 100] {
                let (kept, read) = both(&fixture, cursor, limit, &filter).await;
                assert_eq!(kept, Some(read), "after {cursor}, {limit} of {filter:?}");
            }
        }
    }
    let beyond = fixture
        .store
        .events_after(Sequence(latest + 1), 1, &Filter::default())
        .await;
    assert!(matches!(beyond, Err(StoreError::CursorAhead { .. })), "{beyond:?}");
}

#[tokio::test]
async fn what_is_older_than_the_tail_is_read_from_disk_without_a_gap() {
    let fixture = Fixture::new().await;
    for _ in 0..300 {
        fixture.store.append("sim1", dtmf('1')).await.unwrap();
    }
    let tail = fixture.store.writer.tail();
    assert_eq!(
        tail.events_after(Sequence(43), 1.into(), &Filter::default()),
        None,
        "300 - 256 are not kept"
    );
    assert!(tail.events_after(Sequence(44), 1.into(), &Filter::default()).is_some());
    let mut cursor = Sequence(0);
    let mut sequences = Vec::new();
    loop {
        let batch = fixture.store.events_after(cursor, 7, &Filter::default()).await.unwrap();
        sequences.extend(batch.events.iter().map(|event| event.sequence.0));
        cursor = batch.cursor;
        if batch.caught_up {
            break;
        }
    }
    assert_eq!(sequences, (1..=300).collect::<Vec<_>>());
}

#[tokio::test]
async fn large_events_push_the_others_out_of_memory() {
    let fixture = Fixture::new().await;
    for _ in 0..10 {
        let large = message(&"x".repeat(100_000));
        fixture.store.append("sim1", large).await.unwrap();
    }
    let kept = |cursor| {
        fixture
            .store
            .writer
            .tail()
            .events_after(Sequence(cursor), 10.into(), &Filter::default())
    };
    assert_eq!(kept(7), None);
    assert_eq!(kept(8).map(|batch| batch.events.len()), Some(2));
}

#[tokio::test]
async fn a_write_that_was_undone_is_not_in_memory_either() {
    let fixture = Fixture::new().await;
    let undone = fixture
        .store
        .write("fail", |writing| {
            writing.append("sim1", &dtmf('1'))?;
            Err::<(), _>(StoreError::PageToken)
        })
        .await;
    assert!(undone.is_err());
    fixture.store.append("sim1", dtmf('2')).await.unwrap();
    let (kept, read) = both(&fixture, 0, 10, &Filter::default()).await;
    assert_eq!(kept, Some(read.clone()));
    assert_eq!(read.events.len(), 1);
}
