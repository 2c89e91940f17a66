//! Lists by what people ask for, conversations, read marks, consumers; and what they cost.

use jiff::SignedDuration;
use rusqlite::Connection;

use super::*;
use crate::store::{IncomingPart, Marked, MessageQuery, listing};

async fn receive(fixture: &Fixture, address: &str, text: &str) -> String {
    let part = IncomingPart {
        modem: "sim1".into(),
        identity: format!("{address} {text}"),
        place: None,
        address: address.into(),
        pdu: "00".into(),
        service_centre_time: None,
        concatenation: None,
    };
    let text = text.to_owned();
    let received = fixture.store.receive_part(part, move |_| crate::store::Assembled {
        text,
        ..Default::default()
    });
    let crate::store::Received::New(message) = received.await.unwrap() else {
        panic!("it is new")
    };
    message.id
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.text.as_str()).collect()
}

#[tokio::test]
async fn messages_are_listed_by_time_client_conversation_and_what_is_unread() {
    let fixture = Fixture::new().await;
    let connection = Connection::open(fixture.path()).unwrap();
    let month = |number: usize| time(&format!("2026-{number:02}-15T00:00:00Z"));
    for number in 1..=6 {
        let id = receive(&fixture, &format!("+4477009001{:02}", number % 2), &number.to_string()).await;
        connection
            .execute(
                "UPDATE message SET create_time = ?1 WHERE id = ?2",
                rusqlite::params![month(number).as_microsecond(), id],
            )
            .unwrap();
    }
    let sent = outgoing("out", None);
    fixture
        .store
        .queue_message(sent, b"", &Limits::default())
        .await
        .unwrap();
    let list = async |query: MessageQuery| fixture.store.messages(query).await.unwrap().items;
    let march = MessageQuery {
        after: Some(time("2026-03-01T00:00:00Z")),
        before: Some(time("2026-04-01T00:00:00Z")),
        ..MessageQuery::default()
    };
    assert_eq!(texts(&list(march).await), ["3"]);
    let conversation = MessageQuery {
        conversation: Some("+447700900101".into()),
        ..MessageQuery::default()
    };
    assert_eq!(texts(&list(conversation).await), ["5", "3", "1"]);
    let client = MessageQuery {
        client: Some("uid:1000".into()),
        ..MessageQuery::default()
    };
    assert_eq!(texts(&list(client).await), ["Grüße"]);
    let marked = fixture
        .store
        .mark(Marked::Conversation("+447700900101".into()), false)
        .await
        .unwrap();
    assert_eq!(marked, 3);
    let unread = MessageQuery {
        unread_only: true,
        ..MessageQuery::default()
    };
    assert_eq!(texts(&list(unread).await), ["6", "4", "2"]);
}

#[tokio::test]
async fn conversations_count_and_follow_what_is_received_read_and_deleted() {
    let fixture = Fixture::new().await;
    let (one, other) = ("+447700900101", "+447700900102");
    let first = receive(&fixture, one, "1").await;
    receive(&fixture, other, "2").await;
    let third = receive(&fixture, one, "3").await;
    let told = async || {
        let page = fixture.store.conversations(0, None).await.unwrap();
        let shown = page.items.into_iter().map(|conversation| {
            let last = conversation.last_message.text;
            (
                conversation.name,
                last,
                conversation.message_count,
                conversation.unread_count,
            )
        });
        shown.collect::<Vec<_>>()
    };
    let row = |name: &str, last: &str, messages, unread| (name.to_owned(), last.to_owned(), messages, unread);
    assert_eq!(told().await, [row(one, "3", 2, 2), row(other, "2", 1, 1)]);
    let mark = async |unread| {
        fixture
            .store
            .mark(Marked::Messages(vec![first.clone()]), unread)
            .await
            .unwrap()
    };
    assert_eq!(
        (mark(false).await, mark(false).await),
        (1, 0),
        "what is so already is no change"
    );
    assert!(
        fixture
            .store
            .message(&first)
            .await
            .unwrap()
            .unwrap()
            .read_time
            .is_some()
    );
    assert_eq!(told().await, [row(one, "3", 2, 1), row(other, "2", 1, 1)]);
    fixture.store.delete_message(&third).await.unwrap();
    assert_eq!(told().await, [row(other, "2", 1, 1), row(one, "1", 1, 0)]);
    assert_eq!(mark(true).await, 1);
    fixture.store.delete_message(&first).await.unwrap();
    assert_eq!(told().await, [row(other, "2", 1, 1)]);
    let page = fixture.store.conversations(1, None).await.unwrap();
    assert_eq!(page.next_page_token, None);
}

#[tokio::test]
async fn a_deleted_text_is_nowhere_any_more() {
    let fixture = Fixture::new().await;
    let id = receive(&fixture, "+447700900101", "a secret word").await;
    fixture
        .store
        .mark(Marked::Messages(vec![id.clone()]), false)
        .await
        .unwrap();
    receive(&fixture, "+447700900102", "another").await;
    fixture.store.delete_message(&id).await.unwrap();
    let events = fixture.events().await;
    assert!(
        events.iter().all(|event| !format!("{event:?}").contains("secret")),
        "{events:?}"
    );
    let Change::Deleted(deleted) = &events.last().unwrap().change else {
        panic!("the deletion is told")
    };
    assert_eq!(deleted.id, id);
    let fixture = fixture.reopened().await;
    assert!(
        fixture
            .events()
            .await
            .iter()
            .all(|event| !format!("{event:?}").contains("secret"))
    );
}

#[tokio::test]
async fn consumers_are_listed_with_their_lag_and_forgotten() {
    let fixture = Fixture::new().await;
    for _ in 0..5 {
        fixture.store.append("sim1", dtmf('1')).await.unwrap();
    }
    fixture.store.commit_cursor("b", Sequence(2), false).await.unwrap();
    fixture.store.commit_cursor("a", Sequence(5), false).await.unwrap();
    let listed = fixture.store.consumers().await.unwrap();
    let told: Vec<_> = listed
        .iter()
        .map(|one| (one.name.as_str(), one.position.0, one.lag))
        .collect();
    assert_eq!(told, [("a", 5, 0), ("b", 2, 3)]);
    assert!(fixture.store.delete_consumer("b").await.unwrap());
    assert!(!fixture.store.delete_consumer("b").await.unwrap());
    assert_eq!(fixture.store.cursor_of("b").await.unwrap(), None);
}

/// What SQLite does for a list, step by step.
fn plan(connection: &Connection, query: &MessageQuery) -> String {
    let (text, parameters) = listing::statement(query, i64::MAX, 101).unwrap();
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3));
    rows.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn every_list_is_served_by_an_index() {
    let fixture = Fixture::new().await;
    let connection = Connection::open(fixture.path()).unwrap();
    let hour = Timestamp::now() - SignedDuration::from_hours(1);
    let by = |query: MessageQuery, index: &str| {
        let plan = plan(&connection, &query);
        assert!(plan.contains(index), "{query:?}: {plan}");
        assert!(
            !plan.contains("SCAN message\n") && !plan.ends_with("SCAN message"),
            "{query:?}: {plan}"
        );
    };
    let default = MessageQuery::default;
    by(default(), "INTEGER PRIMARY KEY");
    by(
        MessageQuery {
            after: Some(hour),
            ..default()
        },
        "message_create_time (create_time>?",
    );
    by(
        MessageQuery {
            before: Some(hour),
            ..default()
        },
        "message_create_time (create_time<?",
    );
    by(
        MessageQuery {
            conversation: Some("+447700900123".into()),
            ..default()
        },
        "message_conversation (conversation=?",
    );
    by(
        MessageQuery {
            client: Some("uid:0".into()),
            ..default()
        },
        "message_client (client=?",
    );
    by(
        MessageQuery {
            states: vec![MessageState::Failed],
            ..default()
        },
        "message_state (state=?",
    );
    by(
        MessageQuery {
            states: vec![MessageState::Failed, MessageState::Queued],
            modem: Some("sim1".into()),
            ..default()
        },
        "message_state (state=?",
    );
    by(
        MessageQuery {
            words: vec!["code".into()],
            ..default()
        },
        "message_text VIRTUAL TABLE INDEX",
    );
}

#[tokio::test]
async fn what_is_stored_survives_a_power_cut() {
    let fixture = Fixture::new().await;
    let (synchronous, journal): (i64, String) = fixture
        .store
        .write("read the pragmas", |writing| {
            let of = |pragma| writing.connection.pragma_query_value(None, pragma, |row| row.get(0));
            let synchronous = of("synchronous")?;
            let journal = writing
                .connection
                .pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            Ok((synchronous, journal))
        })
        .await
        .unwrap();
    // FULL (2): with NORMAL or OFF the log is not synced at each commit.
    assert_eq!((synchronous, journal.as_str()), (2, "wal"));
}
