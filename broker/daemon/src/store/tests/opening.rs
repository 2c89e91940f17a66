//! Files: released versions, damage, permissions, a full disk.

use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;

use super::*;
use crate::refusal::Refusal;
use crate::store::{MessageQuery, StoreError};

#[tokio::test]
async fn a_database_of_every_released_version_opens_with_its_content() {
    // Copies of what each release made, so that a changed migration does not change its own test.
    let versions = [(1, include_str!("released/version_1.sql"))];
    for (version, schema) in versions {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("broker.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(schema).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
        drop(connection);
        let store = Store::open(&path).await.unwrap();
        let batch = store.events_after(Sequence(0), 10, &Filter::default()).await.unwrap();
        assert_eq!(batch.events.len(), 1, "version {version}");
        let query = MessageQuery {
            words: vec!["grusse".into()],
            address: Some("+491700000001".into()),
            ..MessageQuery::default()
        };
        let found = store.messages(query).await.unwrap().items;
        assert_eq!(
            found.len(),
            1,
            "version {version}: old messages are found by their words"
        );
        assert_eq!(store.latest(), Sequence(1));
    }
}

#[tokio::test]
async fn a_newer_database_is_refused_and_left_alone() {
    let fixture = Fixture::new().await;
    let path = fixture.path();
    drop(fixture.store);
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Store::open(&path)
        .await
        .err()
        .expect("a newer database must not be touched");
    assert!(matches!(error, StoreError::Newer { version: 99, .. }), "{error}");
    assert!(path.exists());
}

#[tokio::test]
async fn a_damaged_database_is_set_aside_and_a_new_one_is_begun() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("broker.db");
    let damaged = [b"this is not a database. ".as_slice(); 100].concat();
    std::fs::write(&path, &damaged).unwrap();
    let store = Store::open(&path).await.unwrap();
    let aside = store.set_aside().expect("people must be told").to_owned();
    assert_eq!(std::fs::read(&aside).unwrap(), damaged, "nothing of it is lost");
    store.append("sim1", dtmf('1')).await.unwrap();
}

#[tokio::test]
async fn files_are_for_the_owner_only() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("made/broker.db");
    let store = Store::open(&path).await.unwrap();
    store.append("sim1", dtmf('1')).await.unwrap();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(directory.path().join("made")), 0o700);
    for name in ["broker.db", "broker.db-wal", "broker.db-shm"] {
        assert_eq!(mode(directory.path().join("made").join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_full_disk_is_told_apart_and_costs_nothing_that_was_stored() {
    let fixture = Fixture::new().await;
    fixture.store.append("sim1", dtmf('1')).await.unwrap();
    // A limit on the pages is SQLite's own way to meet a full disk.
    fixture
        .store
        .write("limit the file", |writing| {
            let pages: i64 = writing
                .connection
                .query_row("PRAGMA page_count", [], |row| row.get(0))?;
            writing
                .connection
                .query_row(&format!("PRAGMA max_page_count = {}", pages + 2), [], |_| Ok(()))?;
            Ok(())
        })
        .await
        .unwrap();
    let mut message = outgoing("m1", None);
    message.text = "x".repeat(100_000);
    let error = fixture
        .store
        .queue_message(message, b"hash", &Limits::default())
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(matches!(Refusal::from(error), Refusal::StorageFull));
    assert_eq!(fixture.events().await.len(), 1);
    fixture
        .store
        .append("sim1", dtmf('2'))
        .await
        .expect("what still fits is still stored");
}

#[tokio::test]
async fn retention_gives_pages_back() {
    let fixture = Fixture::new().await;
    for _ in 0..50 {
        let mut message = outgoing(&uuid::Uuid::new_v4().to_string(), None);
        message.state = MessageState::Failed;
        message.text = "x".repeat(20_000);
        fixture
            .store
            .queue_message(message, b"", &Limits::default())
            .await
            .unwrap();
    }
    let pages = |fixture: &Fixture| {
        let connection = Connection::open(fixture.path()).unwrap();
        connection
            .query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    let before = pages(&fixture);
    let nothing = jiff::SignedDuration::ZERO;
    let retention = crate::store::Retention {
        event_age: nothing,
        event_count: 0,
        message_age: nothing,
        message_count: 0,
        call_age: nothing,
        call_count: 0,
    };
    let pruned = fixture.store.prune(&retention, Timestamp::now()).await.unwrap();
    assert_eq!((pruned.events, pruned.messages), (50, 50));
    assert!(
        pages(&fixture) < before / 4,
        "{} of {before} pages are left",
        pages(&fixture)
    );
}

#[tokio::test]
async fn what_a_database_was_before_a_migration_is_kept() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("broker.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(include_str!("released/version_1.sql"))
        .unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    drop(connection);
    drop(Store::open(&path).await.unwrap());
    let copies = || {
        let entries = std::fs::read_dir(directory.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("before-version")).collect::<Vec<_>>()
    };
    let [copy] = &copies()[..] else {
        panic!("{:?}", copies())
    };
    let kept = Connection::open(directory.path().join(copy)).unwrap();
    let version: u32 = kept.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let messages: u32 = kept
        .query_row("SELECT count(*) FROM message", [], |row| row.get(0))
        .unwrap();
    assert_eq!((version, messages), (1, 1));
    drop(Store::open(&path).await.unwrap());
    assert_eq!(copies().len(), 1, "one copy, and none without a migration");
}
