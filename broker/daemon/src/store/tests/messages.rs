//! Outgoing messages and calls: requests, states, reports, recovery, lists.

use super::*;
use crate::resource::CallEndCause;
use crate::store::{CallQuery, MessageQuery, Queued, ReportOutcome, StatusReport, StoreError};

async fn queue(fixture: &Fixture, message: Message) -> Message {
    fixture
        .store
        .queue_message(message, b"content", &Limits::default())
        .await
        .unwrap()
        .into_inner()
}

async fn sent(fixture: &Fixture, id: &str, references: &[u8], part_count: u32) -> Message {
    let mut message = queue(
        fixture,
        Message {
            part_count,
            ..outgoing(id, None)
        },
    )
    .await;
    message.state = MessageState::Sending;
    fixture.store.update_message(message.clone()).await.unwrap();
    message.state = MessageState::Sent;
    message.message_references = references.to_vec();
    message.parts_done = references.len() as u32;
    fixture.store.update_message(message.clone()).await.unwrap();
    message
}

fn report(message_reference: u8, outcome: ReportOutcome) -> StatusReport {
    let recipient = "+491700000001".to_owned();
    StatusReport {
        modem: "sim1".into(),
        message_reference,
        recipient,
        outcome,
        time: Timestamp::now(),
    }
}

async fn state(fixture: &Fixture, id: &str) -> MessageState {
    fixture.store.message(id).await.unwrap().unwrap().state
}

#[tokio::test]
async fn a_request_is_done_once_and_its_id_is_not_for_another() {
    let fixture = Fixture::new().await;
    let first = fixture
        .store
        .queue_message(outgoing("m1", Some("r1")), b"a", &Limits::default())
        .await
        .unwrap();
    assert!(matches!(first, Queued::New(_)));
    let fixture = fixture.reopened().await;
    let again = fixture
        .store
        .queue_message(outgoing("m2", Some("r1")), b"a", &Limits::default())
        .await
        .unwrap();
    assert!(
        matches!(&again, Queued::Existing(message) if message.id == "m1"),
        "{again:?}"
    );
    let other = fixture
        .store
        .queue_message(outgoing("m3", Some("r1")), b"b", &Limits::default())
        .await;
    assert!(matches!(other, Err(StoreError::RequestIdReused { .. })));
    let dial = fixture.store.remember_dial(
        Call {
            request_id: Some("r1".into()),
            ..call("c1", CallState::Dialing)
        },
        b"a",
    );
    assert!(matches!(dial.await, Err(StoreError::RequestIdReused { .. })));
    assert_eq!(fixture.events().await.len(), 1, "one message was made");
}

#[tokio::test]
async fn a_dial_is_remembered() {
    let fixture = Fixture::new().await;
    let dial = || Call {
        request_id: Some("r1".into()),
        ..call("c1", CallState::Dialing)
    };
    assert!(matches!(
        fixture.store.remember_dial(dial(), b"a").await.unwrap(),
        Queued::New(_)
    ));
    fixture
        .store
        .record_call(Call {
            request_id: Some("r1".into()),
            ..call("c1", CallState::Active)
        })
        .await
        .unwrap();
    assert_eq!(fixture.store.dialled("r1", b"a").await.unwrap().unwrap().id, "c1");
    assert_eq!(fixture.store.dialled("r2", b"a").await.unwrap(), None);
    assert!(matches!(
        fixture.store.dialled("r1", b"b").await,
        Err(StoreError::RequestIdReused { .. })
    ));
    let again = fixture
        .store
        .remember_dial(
            Call {
                id: "c2".into(),
                ..dial()
            },
            b"a",
        )
        .await
        .unwrap();
    assert!(matches!(again, Queued::Existing(call) if call.id == "c1" && call.state == CallState::Active));
}

#[tokio::test]
async fn a_message_that_was_cancelled_meanwhile_is_not_sent() {
    let fixture = Fixture::new().await;
    queue(&fixture, outgoing("m1", None)).await;
    let mut found = fixture.next_queued("sim1").await.unwrap();
    fixture.store.cancel_message("m1").await.unwrap();
    found.state = MessageState::Sending;
    let refused = fixture.store.update_message(found).await;
    assert!(matches!(
        refused,
        Err(StoreError::MessageState {
            state: MessageState::Cancelled
        })
    ));
    assert_eq!(state(&fixture, "m1").await, MessageState::Cancelled);
    let again = fixture.store.cancel_message("m1").await.unwrap();
    assert_eq!(again.state, MessageState::Cancelled, "a repeated request is no error");
    assert_eq!(fixture.next_queued("sim1").await, None);
}

#[tokio::test]
async fn messages_are_sent_in_the_order_in_which_they_came_each_by_its_modem() {
    let fixture = Fixture::new().await;
    queue(
        &fixture,
        Message {
            modem: "sim2".into(),
            ..outgoing("m0", None)
        },
    )
    .await;
    queue(&fixture, outgoing("m1", None)).await;
    queue(&fixture, outgoing("m2", None)).await;
    assert_eq!(fixture.next_queued("sim1").await.unwrap().id, "m1");
    let refused = fixture.store.delete_message("m1").await;
    assert!(
        matches!(refused, Err(StoreError::MessageState { .. })),
        "what is queued is cancelled, not deleted"
    );
}

#[tokio::test]
async fn a_message_is_delivered_when_every_part_was() {
    let fixture = Fixture::new().await;
    sent(&fixture, "m1", &[255, 0], 2).await;
    let first = fixture
        .store
        .apply_status_report(report(0, ReportOutcome::Delivered))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.state, MessageState::Sent);
    let repeated = fixture
        .store
        .apply_status_report(report(0, ReportOutcome::Delivered))
        .await
        .unwrap();
    assert_eq!(repeated, None);
    let waiting = report(255, ReportOutcome::Temporary("busy".into()));
    assert_eq!(
        fixture.store.apply_status_report(waiting).await.unwrap().unwrap().state,
        MessageState::Sent
    );
    let second = fixture
        .store
        .apply_status_report(report(255, ReportOutcome::Delivered))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(second.state, MessageState::Delivered);
}

#[tokio::test]
async fn a_report_is_for_the_newest_part_with_its_reference_and_recipient() {
    let fixture = Fixture::new().await;
    sent(&fixture, "old", &[7], 1).await;
    sent(&fixture, "new", &[7], 1).await;
    let reported = fixture
        .store
        .apply_status_report(report(7, ReportOutcome::Failed("expired".into())))
        .await
        .unwrap();
    let reported = reported.unwrap();
    assert_eq!((reported.id.as_str(), reported.state), ("new", MessageState::Failed));
    assert_eq!(reported.failure, "not delivered: expired");
    assert_eq!(state(&fixture, "old").await, MessageState::Sent);
    let stranger = StatusReport {
        recipient: "+491700000099".into(),
        ..report(7, ReportOutcome::Delivered)
    };
    assert_eq!(fixture.store.apply_status_report(stranger).await.unwrap(), None);
}

#[tokio::test]
async fn a_report_before_the_last_part_was_sent_is_not_lost() {
    let fixture = Fixture::new().await;
    let mut message = queue(
        &fixture,
        Message {
            part_count: 2,
            ..outgoing("m1", None)
        },
    )
    .await;
    message.state = MessageState::Sending;
    message.message_references = vec![1];
    message.parts_done = 1;
    fixture.store.update_message(message.clone()).await.unwrap();
    fixture
        .store
        .apply_status_report(report(1, ReportOutcome::Delivered))
        .await
        .unwrap()
        .unwrap();
    message.state = MessageState::Sent;
    message.message_references.push(2);
    message.parts_done = 2;
    fixture.store.update_message(message).await.unwrap();
    assert_eq!(state(&fixture, "m1").await, MessageState::Sent);
    fixture
        .store
        .apply_status_report(report(2, ReportOutcome::Delivered))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(state(&fixture, "m1").await, MessageState::Delivered);
}

#[tokio::test]
async fn what_was_in_progress_at_the_end_of_the_broker_is_settled_by_the_next() {
    let fixture = Fixture::new().await;
    let mut message = queue(&fixture, outgoing("m1", None)).await;
    message.state = MessageState::Sending;
    fixture.store.update_message(message).await.unwrap();
    queue(&fixture, outgoing("m2", None)).await;
    fixture.store.record_call(call("c1", CallState::Active)).await.unwrap();
    let fixture = fixture.reopened().await;
    let recovered = fixture.store.recover("sim1").await.unwrap();
    assert_eq!((recovered.messages.len(), recovered.calls.len()), (1, 1));
    assert_eq!(state(&fixture, "m1").await, MessageState::OutcomeUnknown);
    assert_eq!(state(&fixture, "m2").await, MessageState::Queued);
    let call = fixture.store.call("c1").await.unwrap().unwrap();
    assert_eq!(
        (call.state, call.end_cause),
        (CallState::Disconnected, Some(CallEndCause::Lost))
    );
    assert_eq!(
        fixture.store.recover("sim1").await.unwrap(),
        Default::default(),
        "once is enough"
    );
    // The service centre's report proves that it went out after all.
    let report = fixture
        .store
        .apply_status_report(report(42, ReportOutcome::Delivered))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (report.id.as_str(), report.state, report.parts_done),
        ("m1", MessageState::Delivered, 1)
    );
    assert_eq!(
        (report.message_references.as_slice(), report.failure.as_str()),
        ([42].as_slice(), "")
    );
}

#[tokio::test]
async fn a_report_that_could_answer_two_lost_results_answers_none() {
    let fixture = Fixture::new().await;
    for id in ["m1", "m2"] {
        let mut message = queue(&fixture, outgoing(id, None)).await;
        message.state = MessageState::OutcomeUnknown;
        fixture.store.update_message(message).await.unwrap();
    }
    assert_eq!(
        fixture
            .store
            .apply_status_report(report(1, ReportOutcome::Delivered))
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn pages_are_stable_while_messages_come_in() {
    let fixture = Fixture::new().await;
    for number in 0..5 {
        queue(&fixture, outgoing(&format!("m{number}"), None)).await;
    }
    let mut query = MessageQuery {
        page_size: 2,
        ..MessageQuery::default()
    };
    let mut ids = Vec::new();
    loop {
        let page = fixture.store.messages(query.clone()).await.unwrap();
        assert_eq!(page.cursor, fixture.store.latest());
        ids.extend(page.items.into_iter().map(|message| message.id));
        queue(&fixture, outgoing(&format!("late{}", ids.len()), None)).await;
        match page.next_page_token {
            Some(token) => query.page_token = Some(token),
            None => break,
        }
    }
    assert_eq!(ids, ["m4", "m3", "m2", "m1", "m0"]);
    let broken = MessageQuery {
        page_token: Some("x".into()),
        ..query
    };
    assert!(matches!(
        fixture.store.messages(broken).await,
        Err(StoreError::PageToken)
    ));
}

#[tokio::test]
async fn messages_are_found_by_what_is_asked_for() {
    let fixture = Fixture::new().await;
    queue(
        &fixture,
        Message {
            text: "Ihr Code: 100% GÜLTIG".into(),
            ..outgoing("m1", None)
        },
    )
    .await;
    queue(
        &fixture,
        Message {
            modem: "sim2".into(),
            text: "other: 在东京见".into(),
            ..outgoing("m2", None)
        },
    )
    .await;
    fixture.store.cancel_message("m2").await.unwrap();
    let words = |words: &[&str]| MessageQuery {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        ..MessageQuery::default()
    };
    let table = [
        (MessageQuery::default(), vec!["m2", "m1"]),
        (words(&["code", "gültig"]), vec!["m1"]),
        (words(&["100%"]), vec!["m1"]),
        (words(&["%"]), vec!["m1"]),
        (words(&["gult"]), vec!["m1"]),
        (words(&["ültig"]), vec![]),
        (words(&["\"", "code"]), vec![]),
        (words(&["oth", "东京"]), vec!["m2"]),
        (
            MessageQuery {
                address: Some("+491700000001".into()),
                ..words(&["other"])
            },
            vec!["m2"],
        ),
        (
            MessageQuery {
                address: Some("+49170000000".into()),
                ..MessageQuery::default()
            },
            vec![],
        ),
        (words(&["code", "other"]), vec![]),
        (
            MessageQuery {
                modem: Some("sim2".into()),
                ..MessageQuery::default()
            },
            vec!["m2"],
        ),
        (
            MessageQuery {
                states: vec![MessageState::Queued, MessageState::Sent],
                ..MessageQuery::default()
            },
            vec!["m1"],
        ),
        (
            MessageQuery {
                direction: Some(MessageDirection::Incoming),
                ..MessageQuery::default()
            },
            vec![],
        ),
    ];
    for (query, expected) in table {
        let page = fixture.store.messages(query.clone()).await.unwrap();
        let ids: Vec<_> = page.items.iter().map(|message| message.id.as_str()).collect();
        assert_eq!(ids, expected, "{query:?}");
    }
}

#[tokio::test]
async fn calls_are_listed_newest_first_and_by_whether_they_are_alive() {
    let fixture = Fixture::new().await;
    for id in ["c1", "c2"] {
        fixture.store.record_call(call(id, CallState::Dialing)).await.unwrap();
    }
    fixture
        .store
        .record_call(call("c1", CallState::Disconnected))
        .await
        .unwrap();
    let list = async |alive_only| {
        let page = fixture
            .store
            .calls(CallQuery {
                alive_only,
                ..CallQuery::default()
            })
            .await
            .unwrap();
        page.items.into_iter().map(|call| call.id).collect::<Vec<_>>()
    };
    assert_eq!(list(false).await, ["c2", "c1"]);
    assert_eq!(list(true).await, ["c2"]);
}
