//! One row that cannot be read does not stop the others.

use jiff::SignedDuration;
use rusqlite::Connection;

use super::*;
use crate::resource::{CallState, DeletedKind, DeletionCause};
use crate::store::{MessageQuery, Retention, StoreError};

/// Flips one bit in the body of a row.
fn damage(fixture: &Fixture, table: &str, id: &str) {
    let connection = Connection::open(fixture.path()).unwrap();
    let body: String = connection
        .query_row(&format!("SELECT body FROM {table} WHERE id = ?1"), [id], |row| {
            row.get(0)
        })
        .unwrap();
    let mut octets = body.into_bytes();
    // The quotation mark of a key, and an octet that is no text at all.
    octets[1] ^= 1;
    octets[10] ^= 0x80;
    connection
        .execute(
            &format!("UPDATE {table} SET body = CAST(?1 AS TEXT) WHERE id = ?2"),
            rusqlite::params![octets, id],
        )
        .unwrap();
}

async fn queue(fixture: &Fixture, id: &str) {
    fixture
        .store
        .queue_message(outgoing(id, Some(id)), b"", &Limits::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_flipped_bit_in_the_queue_costs_that_message_alone() {
    let fixture = Fixture::new().await;
    for id in ["first", "second", "third"] {
        queue(&fixture, id).await;
    }
    damage(&fixture, "message", "first");
    assert_eq!(fixture.next_queued("sim1").await.unwrap().id, "second");
    let listed = fixture.store.messages(MessageQuery::default()).await.unwrap().items;
    let ids: Vec<_> = listed.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids, ["third", "second"]);
    assert_eq!(fixture.store.unreadable_rows().await.unwrap(), 1);
    assert_eq!(fixture.store.queued_messages("sim1").await.unwrap(), 2);
    let deleted = fixture.events().await.pop().unwrap().change;
    let Change::Deleted(deleted) = deleted else {
        panic!("{deleted:?}")
    };
    assert_eq!(
        (deleted.kind, deleted.id.as_str(), deleted.cause),
        (DeletedKind::Message, "first", DeletionCause::Unreadable)
    );
    // What is left of it can still be looked at.
    let connection = Connection::open(fixture.path()).unwrap();
    let kept: Vec<u8> = connection
        .query_row("SELECT body FROM unreadable WHERE id = 'first'", [], |row| row.get(0))
        .unwrap();
    assert!(kept.len() > 100);
    // And it is not sent a second time because somebody repeats the request.
    let repeated = fixture
        .store
        .queue_message(outgoing("again", Some("first")), b"", &Limits::default())
        .await;
    assert!(
        matches!(repeated, Err(StoreError::MessageNotFound { .. })),
        "{repeated:?}"
    );
}

#[tokio::test]
async fn recovery_and_retention_go_on() {
    let fixture = Fixture::new().await;
    for id in ["first", "second"] {
        queue(&fixture, id).await;
        let mut message = fixture.store.message(id).await.unwrap().unwrap();
        message.state = MessageState::Sending;
        fixture.store.update_message(message).await.unwrap();
        fixture
            .store
            .record_call(call(&format!("call of {id}"), CallState::Active))
            .await
            .unwrap();
    }
    damage(&fixture, "message", "first");
    damage(&fixture, "call", "call of first");
    let recovered = fixture.store.recover("sim1").await.unwrap();
    assert_eq!((recovered.messages.len(), recovered.calls.len()), (1, 1));
    assert_eq!(fixture.store.unreadable_rows().await.unwrap(), 2);

    queue(&fixture, "third").await;
    let mut message = fixture.store.message("third").await.unwrap().unwrap();
    message.state = MessageState::Sent;
    fixture.store.update_message(message).await.unwrap();
    damage(&fixture, "message", "third");
    let hour = SignedDuration::from_hours(1);
    let retention = Retention {
        event_age: hour,
        event_count: 1000,
        message_age: hour,
        message_count: 1000,
        call_age: hour,
        call_count: 1000,
    };
    let later = Timestamp::now() + SignedDuration::from_hours(24 * 7);
    let pruned = fixture.store.prune(&retention, later).await.unwrap();
    assert_eq!((pruned.messages, pruned.calls), (2, 1), "the damaged one as well");
}
