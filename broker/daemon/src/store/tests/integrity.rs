//! Which journal this is, and what happens when the disk, the file or the clock is not what it should be.

use jiff::SignedDuration;

use super::*;
use crate::store::{CallQuery, DirectoryLock, MessageQuery, Retention, StoreError, StoreState};

#[tokio::test]
async fn a_new_journal_begins_after_every_cursor_of_an_earlier_one() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("broker.db");
    let before = Store::open(&path).await.unwrap();
    let old = before.append("sim1", dtmf('1')).await.unwrap();
    let (old_id, count) = (before.journal_id().to_owned(), before.event_count());
    assert_eq!(count, 1);
    drop(before);
    let again = Store::open(&path).await.unwrap();
    assert_eq!(again.journal_id(), old_id, "a restart changes nothing");
    assert_eq!(again.append("sim1", dtmf('2')).await.unwrap(), Sequence(old.0 + 1));
    drop(again);
    std::fs::remove_dir_all(directory.path()).unwrap();

    let after = Store::open(&path).await.unwrap();
    assert_ne!(after.journal_id(), old_id);
    for _ in 0..100 {
        after.append("sim1", dtmf('1')).await.unwrap();
    }
    // However many events there are by now, the old cursor does not continue in the midst of them.
    let resumed = after.events_after(Sequence(old.0 + 1), 10, &Filter::default()).await;
    assert!(matches!(resumed, Err(StoreError::CursorExpired { .. })), "{resumed:?}");
}

#[tokio::test]
async fn a_restored_copy_is_another_journal_from_the_copy_on() {
    let fixture = Fixture::new().await;
    for tone in ['1', '2', '3'] {
        fixture.store.append("sim1", dtmf(tone)).await.unwrap();
    }
    let id = fixture.store.journal_id().to_owned();
    let copy = fixture.directory.path().join("copy");
    rusqlite::Connection::open(fixture.path())
        .unwrap()
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    for tone in ['4', '5'] {
        fixture.store.append("sim1", dtmf(tone)).await.unwrap();
    }
    let path = fixture.path();
    drop(fixture.store);
    for companion in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{companion}", path.display()));
    }
    std::fs::rename(&copy, &path).unwrap();

    let restored = Store::open(&path).await.unwrap();
    assert_ne!(restored.journal_id(), id);
    assert_eq!(restored.event_count(), 3);
    restored.append("sim1", dtmf('6')).await.unwrap();
    let all = Filter::default();
    // A cursor of what the copy has goes on, and passes over what it lacks.
    let mut batch = restored.events_after(Sequence(2), 10, &all).await.unwrap();
    let mut seen: Vec<_> = batch.events.drain(..).map(|event| event.change).collect();
    while !batch.caught_up {
        batch = restored.events_after(batch.cursor, 10, &all).await.unwrap();
        seen.extend(batch.events.drain(..).map(|event| event.change));
    }
    assert_eq!(seen, [dtmf('3'), dtmf('6')]);
    // One of what the copy lacks does not: what it points at was never told here.
    let foreign = restored.events_after(Sequence(5), 10, &all).await;
    assert!(matches!(foreign, Err(StoreError::CursorForeign { .. })), "{foreign:?}");
    assert_eq!(restored.event_count(), 4);
}

#[test]
fn a_second_broker_on_the_same_directory_is_refused_with_the_first_ones_process() {
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("state/broker.db");
    let held = DirectoryLock::take(&database).unwrap();
    let error = DirectoryLock::take(&database).unwrap_err();
    let told = error.to_string();
    assert!(told.contains(&format!("(process {})", std::process::id())), "{told}");
    assert!(!database.exists(), "nothing was touched");
    drop(held);
    DirectoryLock::take(&database).unwrap();
}

#[tokio::test]
async fn a_database_that_was_deleted_takes_nothing_more() {
    let fixture = Fixture::new().await;
    fixture.store.append("sim1", dtmf('1')).await.unwrap();
    fixture.store.look_after().await;
    assert_eq!(fixture.store.health().state, StoreState::Ok);
    std::fs::remove_dir_all(fixture.directory.path()).unwrap();
    let refused = fixture.store.append("sim1", dtmf('2')).await;
    assert!(matches!(refused, Err(StoreError::Gone { .. })), "{refused:?}");
    let health = fixture.store.health();
    assert_eq!(health.state, StoreState::Failed);
    assert!(health.detail.contains("restart the broker"), "{}", health.detail);
    fixture.store.look_after().await;
    assert_eq!(
        fixture.store.health().state,
        StoreState::Failed,
        "it does not heal by itself"
    );
}

#[tokio::test]
async fn a_full_disk_is_told_until_there_is_room_again() {
    let fixture = Fixture::new().await;
    let limit = async |pages: i64| {
        fixture
            .store
            .write("limit the file", move |writing| {
                let connection = writing.connection;
                let now: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
                connection.query_row(&format!("PRAGMA max_page_count = {}", now + pages), [], |_| Ok(()))?;
                Ok(())
            })
            .await
    };
    limit(2).await.unwrap();
    let mut message = outgoing("m1", None);
    message.text = "x".repeat(100_000);
    let queued = fixture.store.queue_message(message, b"", &Limits::default()).await;
    assert!(matches!(queued, Err(StoreError::Full { .. })), "{queued:?}");
    let health = fixture.store.health();
    assert_eq!(health.state, StoreState::Failed);
    assert!(health.detail.contains("free some space"), "{}", health.detail);
    limit(1000).await.unwrap();
    fixture.store.look_after().await;
    assert_eq!(fixture.store.health().state, StoreState::Ok);
}

#[tokio::test]
async fn a_call_that_cannot_be_stored_is_told_and_listed_while_it_lives() {
    let fixture = Fixture::new().await;
    let mut listening = fixture.store.unstored();
    let mut ringing = call("ringing", CallState::Incoming);
    fixture.store.tell_unstored("sim1", Change::Call(ringing.clone()));
    let told = listening.next().await.unwrap().items;
    assert_eq!(
        (told[0].sequence, &told[0].change),
        (Sequence(0), &Change::Call(ringing.clone()))
    );
    let listed = fixture.store.calls(CallQuery::default()).await.unwrap().items;
    assert_eq!(listed, [ringing.clone()]);
    assert_eq!(fixture.store.call("ringing").await.unwrap(), Some(ringing.clone()));
    // There is room again: the store is the truth.
    ringing.rings = 2;
    fixture.store.record_call(ringing.clone()).await.unwrap();
    ringing.state = CallState::Disconnected;
    fixture.store.record_call(ringing).await.unwrap();
    let listed = fixture.store.calls(CallQuery::default()).await.unwrap().items;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].state, CallState::Disconnected);
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_deletes_nothing_at_once() {
    let fixture = Fixture::new().await;
    fixture.store.append("sim1", dtmf('1')).await.unwrap();
    let now = Timestamp::now();
    let day = SignedDuration::from_hours(24);
    let in_forty_years = now + SignedDuration::from_hours(40 * 365 * 24);
    let first = fixture.store.plausible_now(in_forty_years).await.unwrap();
    assert!(first.duration_since(now) <= day);
    let second = fixture.store.plausible_now(in_forty_years).await.unwrap();
    assert_eq!(second.duration_since(first), day, "it is believed step by step");
    assert_eq!(
        fixture.store.plausible_now(now).await.unwrap(),
        now,
        "set back is set back"
    );
}

#[tokio::test]
async fn what_was_counted_by_a_clock_ahead_does_not_count_for_ever() {
    let fixture = Fixture::new().await;
    let limits = Limits {
        client_per_hour: Some(1),
        ..Limits::default()
    };
    fixture
        .store
        .queue_message(outgoing("m1", None), b"", &limits)
        .await
        .unwrap();
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    let in_forty_years = Timestamp::now() + SignedDuration::from_hours(40 * 365 * 24);
    connection
        .execute("UPDATE charge SET time = ?1", [in_forty_years.as_microsecond()])
        .unwrap();
    let refused = fixture.store.queue_message(outgoing("m2", None), b"", &limits).await;
    assert!(matches!(refused, Err(StoreError::RateLimited { .. })), "{refused:?}");
    let retention = Retention {
        event_age: SignedDuration::from_hours(24),
        event_count: 1000,
        message_age: SignedDuration::from_hours(24),
        message_count: 1000,
        call_age: SignedDuration::from_hours(24),
        call_count: 1000,
    };
    fixture.store.prune(&retention, Timestamp::now()).await.unwrap();
    let latest: i64 = connection
        .query_row("SELECT max(time) FROM charge", [], |row| row.get(0))
        .unwrap();
    assert!(
        latest <= Timestamp::now().as_microsecond(),
        "it grows old like the others"
    );
}

#[tokio::test]
async fn the_store_takes_a_bounded_room_on_the_disk() {
    let fixture = Fixture::new().await;
    for number in 0..1200 {
        let mut message = outgoing(&format!("m{number}"), None);
        message.state = MessageState::Failed;
        message.text = "x".repeat(2000);
        let store = fixture.store.clone();
        // In groups: what is stored matters here, and not how often the disk was asked.
        if number % 50 == 49 {
            store.queue_message(message, b"", &Limits::default()).await.unwrap();
        } else {
            let limits = Limits::default();
            let mut queued = std::pin::pin!(store.queue_message(message, b"", &limits));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let _ = queued.as_mut().poll(&mut context);
        }
    }
    fixture.store.prune_octets(1024 * 1024).await.unwrap();
    let used: i64 = rusqlite::Connection::open(fixture.path())
        .unwrap()
        .query_row(
            "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!(used <= 1024 * 1024, "{used}");
    let newest = MessageQuery {
        page_size: 1,
        ..MessageQuery::default()
    };
    let kept = fixture.store.messages(newest).await.unwrap();
    let events = fixture.store.events_after(kept.cursor, 1, &Filter::default()).await;
    assert!(events.unwrap().caught_up, "the newest cursor is good");
}
