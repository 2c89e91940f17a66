//! The journal: order, cursors, the doorbell, grouping.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::resource::ChangeKind;
use crate::store::{Retention, StoreError};

fn retention(event_age_hours: i64, event_count: u64) -> Retention {
    let day = SignedDuration::from_hours(24);
    Retention {
        event_age: SignedDuration::from_hours(event_age_hours),
        event_count,
        message_age: day,
        message_count: 1000,
        call_age: day,
        call_count: 1000,
    }
}

#[tokio::test]
async fn an_event_can_be_read_as_soon_as_its_write_returns_and_not_before_the_doorbell() {
    let fixture = Fixture::new().await;
    let mut doorbell = fixture.store.doorbell();
    assert_eq!(fixture.store.latest(), Sequence(0));
    let sequence = fixture.store.append("sim1", dtmf('1')).await.unwrap();
    assert!(
        doorbell.has_changed().unwrap(),
        "the doorbell rang before the write returned"
    );
    assert_eq!(*doorbell.borrow_and_update(), sequence);
    assert_eq!(fixture.store.latest(), sequence);
    let events = fixture.events().await;
    assert_eq!(events[0].change, dtmf('1'));
}

#[tokio::test]
async fn two_hundred_writes_at_once_are_grouped_and_all_are_kept() {
    let fixture = Fixture::new().await;
    let appends = (0..200).map(|_| fixture.store.append("sim1", dtmf('1')));
    let sequences: BTreeSet<_> = join_all(appends).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(sequences.len(), 200);
    // Each transaction writes several pages to the log: 200 of them would be far more than this.
    let (_, pages, _): (i64, i64, i64) = rusqlite::Connection::open(fixture.path())
        .unwrap()
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert!(pages < 200, "{pages} pages were written");
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.events().await.len(), 200);
}

#[tokio::test]
async fn a_write_that_fails_or_panics_takes_nobody_else_with_it() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let panicking = store.write("panic", |writing| {
        writing.append("sim1", &dtmf('9'))?;
        if writing.now > Timestamp::MIN {
            panic!("as a bug would")
        }
        Ok(())
    });
    let refused = store.cancel_message("unknown");
    let (first, panicked, refused, second) = tokio::join!(
        store.append("sim1", dtmf('1')),
        panicking,
        refused,
        store.append("sim1", dtmf('2'))
    );
    first.unwrap();
    second.unwrap();
    assert!(matches!(panicked, Err(StoreError::GivenUp { .. })));
    assert!(matches!(refused, Err(StoreError::MessageNotFound { .. })));
    let tones: Vec<_> = fixture.events().await.into_iter().map(|event| event.change).collect();
    assert_eq!(tones, [dtmf('1'), dtmf('2')]);
}

#[tokio::test]
async fn a_cancelled_caller_does_not_cancel_its_write() {
    let fixture = Fixture::new().await;
    let mut doorbell = fixture.store.doorbell();
    {
        let mut append = std::pin::pin!(fixture.store.append("sim1", dtmf('1')));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(append.as_mut().poll(&mut context).is_pending());
    }
    tokio::time::timeout(Duration::from_secs(10), doorbell.changed())
        .await
        .expect("the write is done")
        .unwrap();
    assert_eq!(fixture.events().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doorbell_never_loses_a_wake_up() {
    const COUNT: usize = 300;
    let fixture = Fixture::new().await;
    let reader = async {
        let mut doorbell = fixture.store.doorbell();
        let (mut cursor, mut seen) = (Sequence(0), Vec::new());
        while seen.len() < COUNT {
            doorbell.borrow_and_update();
            let batch = fixture.store.events_after(cursor, 7, &Filter::default()).await.unwrap();
            cursor = batch.cursor;
            seen.extend(batch.events.into_iter().map(|event| event.sequence.0));
            if batch.caught_up && seen.len() < COUNT {
                doorbell.changed().await.unwrap();
            }
        }
        seen
    };
    let writer = async {
        for _ in 0..COUNT / 3 {
            let append = || fixture.store.append("sim1", dtmf('1'));
            let (a, b, c) = tokio::join!(append(), append(), append());
            for appended in [a, b, c] {
                appended.unwrap();
            }
        }
    };
    let both = async { tokio::join!(reader, writer) };
    let (seen, ()) = tokio::time::timeout(Duration::from_secs(60), both)
        .await
        .expect("the reader was never woken");
    assert_eq!(seen, (1..=COUNT as u64).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_does_not_run_ahead_of_the_disk() {
    let fixture = Fixture::new().await;
    for _ in 0..20 {
        let append = fixture.store.append("sim1", dtmf('1'));
        tokio::time::timeout(Duration::from_millis(1), append)
            .await
            .expect("no virtual time passes")
            .unwrap();
    }
}

#[tokio::test]
async fn sequences_are_not_used_again_after_the_newest_events_were_deleted() {
    let fixture = Fixture::new().await;
    for _ in 0..3 {
        fixture.store.append("sim1", dtmf('1')).await.unwrap();
    }
    let in_two_hours = Timestamp::now() + SignedDuration::from_hours(2);
    fixture.store.prune(&retention(1, 1000), in_two_hours).await.unwrap();
    assert!(
        fixture
            .store
            .events_after(Sequence(3), 10, &Filter::default())
            .await
            .unwrap()
            .caught_up
    );
    let fixture = fixture.reopened().await;
    assert_eq!(
        (fixture.store.latest(), fixture.store.oldest().await.unwrap()),
        (Sequence(3), Sequence(3))
    );
    assert_eq!(fixture.store.append("sim1", dtmf('1')).await.unwrap(), Sequence(4));
}

#[tokio::test]
async fn a_cursor_that_would_leave_events_out_is_refused() {
    let fixture = Fixture::new().await;
    for _ in 0..10 {
        fixture.store.append("sim1", dtmf('1')).await.unwrap();
    }
    fixture.store.prune(&retention(1, 4), Timestamp::now()).await.unwrap();
    let all = Filter::default();
    let read = |cursor| fixture.store.events_after(Sequence(cursor), 100, &all);
    assert!(matches!(
        read(5).await,
        Err(StoreError::CursorExpired {
            oldest: Sequence(6),
            ..
        })
    ));
    assert_eq!(read(6).await.unwrap().events.len(), 4);
    assert!(matches!(
        read(11).await,
        Err(StoreError::CursorAhead {
            latest: Sequence(10),
            ..
        })
    ));
    assert!(matches!(read(u64::MAX).await, Err(StoreError::CursorAhead { .. })));
}

#[tokio::test]
async fn a_consumer_continues_where_it_stopped_and_does_not_pin_the_journal() {
    let fixture = Fixture::new().await;
    for _ in 0..10 {
        fixture.store.append("sim1", dtmf('1')).await.unwrap();
    }
    let store = &fixture.store;
    assert_eq!(store.cursor_of("vps").await.unwrap(), None);
    assert_eq!(
        store.commit_cursor("vps", Sequence(5), false).await.unwrap(),
        Sequence(5)
    );
    assert_eq!(
        store.commit_cursor("vps", Sequence(3), false).await.unwrap(),
        Sequence(5),
        "never back by itself"
    );
    assert_eq!(
        store.commit_cursor("vps", Sequence(3), true).await.unwrap(),
        Sequence(3)
    );
    assert!(store.commit_cursor("vps", Sequence(99), false).await.is_err());
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.store.cursor_of("vps").await.unwrap(), Some(Sequence(3)));
    fixture.store.prune(&retention(1, 2), Timestamp::now()).await.unwrap();
    let position = fixture.store.cursor_of("vps").await.unwrap().unwrap();
    assert!(matches!(
        fixture.store.check_cursor(position).await,
        Err(StoreError::CursorExpired { .. })
    ));
}

#[tokio::test]
async fn a_filter_moves_the_cursor_past_what_it_does_not_want() {
    let fixture = Fixture::new().await;
    for (modem, change) in [
        ("sim1", dtmf('1')),
        ("sim2", dtmf('2')),
        ("sim1", Change::Call(call("c", CallState::Active))),
        ("sim2", dtmf('3')),
    ] {
        fixture.store.append(modem, change).await.unwrap();
    }
    let table = [
        (Filter::default(), vec![1, 2, 3, 4]),
        (
            Filter {
                kinds: Some(vec![ChangeKind::Call]),
                modems: vec![],
            },
            vec![3],
        ),
        (
            Filter {
                kinds: Some(vec![]),
                modems: vec![],
            },
            vec![],
        ),
        (
            Filter {
                kinds: None,
                modems: vec!["sim2".into()],
            },
            vec![2, 4],
        ),
        (
            Filter {
                kinds: Some(vec![ChangeKind::Dtmf]),
                modems: vec!["sim1".into()],
            },
            vec![1],
        ),
    ];
    for (filter, expected) in table {
        let batch = fixture.store.events_after(Sequence(0), 10, &filter).await.unwrap();
        let sequences: Vec<_> = batch.events.iter().map(|event| event.sequence.0).collect();
        assert_eq!(
            (sequences, batch.cursor, batch.caught_up),
            (expected, Sequence(4), true),
            "{filter:?}"
        );
    }
}

#[tokio::test]
async fn an_event_of_a_newer_broker_does_not_hold_up_the_others() {
    let fixture = Fixture::new().await;
    fixture.store.append("sim1", dtmf('1')).await.unwrap();
    let insert = |writing: &crate::store::Writing<'_>| {
        writing.connection.execute(
            "INSERT INTO event (time, modem, kind, change) VALUES (0, 'sim1', 30, '{\"telepathy\":1}')",
            [],
        )?;
        Ok(())
    };
    fixture.store.write("write an unknown event", insert).await.unwrap();
    fixture.store.append("sim1", dtmf('3')).await.unwrap();
    let sequences: Vec<_> = fixture
        .events()
        .await
        .into_iter()
        .map(|event| event.sequence.0)
        .collect();
    assert_eq!(sequences, [1, 3]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Reading from any cursor in batches of any size gives the suffix of the whole, whatever was filtered.
    #[test]
    fn replay_from_any_cursor_is_a_suffix_of_the_whole(
        kinds in proptest::collection::vec(0..2_u8, 1..60),
        cursor in 0..60_u64,
        limit in 1..20_usize,
        only_calls in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new().await;
            for kind in &kinds {
                let change = if *kind == 0 { dtmf('1') } else { Change::Call(call("c", CallState::Active)) };
                fixture.store.append("sim1", change).await.unwrap();
            }
            let cursor = cursor % (kinds.len() as u64 + 1);
            let filter = Filter { kinds: only_calls.then(|| vec![ChangeKind::Call]), modems: vec![] };
            let expected: Vec<u64> = (1..).zip(&kinds)
                .filter(|(sequence, kind)| *sequence > cursor && (!only_calls || **kind == 1))
                .map(|(sequence, _)| sequence)
                .collect();
            let (mut position, mut read) = (Sequence(cursor), Vec::new());
            loop {
                let batch = fixture.store.events_after(position, limit, &filter).await.unwrap();
                assert!(batch.events.len() <= limit);
                read.extend(batch.events.iter().map(|event| event.sequence.0));
                position = batch.cursor;
                if batch.caught_up {
                    break;
                }
            }
            assert_eq!(read, expected);
        });
    }
}
