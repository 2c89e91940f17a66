//! The queue: order, time, limits, and reports that overtake results.

use std::time::Duration;

use jiff::SignedDuration;

use cellular::carrier::Country;

use super::*;
use crate::resource::Priority;
use crate::store::{MessageQuery, ReportOutcome, Retention, StatusReport, StoreError};

async fn accept(fixture: &Fixture, message: Message, limits: &Limits) -> Result<Message, StoreError> {
    let queued = fixture.store.queue_message(message, b"content", limits).await;
    queued.map(crate::store::Queued::into_inner)
}

async fn queue(fixture: &Fixture, message: Message) -> Message {
    accept(fixture, message, &Limits::default()).await.unwrap()
}

/// Takes what is to be sent, one after the other, and calls it sent.
async fn sent_in_order(fixture: &Fixture) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(mut message) = fixture.next_queued("sim1").await {
        message.state = MessageState::Sent;
        ids.push(message.id.clone());
        fixture.store.update_message(message).await.unwrap();
    }
    ids
}

#[tokio::test]
async fn a_higher_priority_goes_first_and_within_one_the_oldest() {
    let fixture = Fixture::new().await;
    for (id, priority) in [
        ("low", Priority::Low),
        ("first", Priority::Normal),
        ("second", Priority::Normal),
        ("alarm", Priority::High),
    ] {
        let message = Message {
            priority,
            ..outgoing(id, None)
        };
        queue(&fixture, message).await;
    }
    assert_eq!(sent_in_order(&fixture).await, ["alarm", "first", "second", "low"]);
}

#[tokio::test]
async fn nothing_comes_between_the_parts_of_a_message() {
    let fixture = Fixture::new().await;
    let mut begun = queue(
        &fixture,
        Message {
            part_count: 2,
            priority: Priority::Low,
            ..outgoing("begun", None)
        },
    )
    .await;
    begun.parts_done = 1;
    begun.message_references = vec![7];
    fixture.store.update_message(begun).await.unwrap();
    let alarm = Message {
        priority: Priority::High,
        ..outgoing("alarm", None)
    };
    queue(&fixture, alarm).await;
    let fixture = fixture.reopened().await;
    assert_eq!(sent_in_order(&fixture).await, ["begun", "alarm"]);
}

#[tokio::test]
async fn a_message_waits_for_its_time_also_across_a_restart() {
    let fixture = Fixture::new().await;
    let now = Timestamp::now();
    // The store keeps microseconds.
    let later = time("2100-01-01T12:00:00.000001Z");
    let scheduled = Message {
        send_time: Some(later),
        priority: Priority::High,
        ..outgoing("scheduled", None)
    };
    queue(&fixture, scheduled).await;
    let next = |store: &Store, now| {
        let store = store.clone();
        async move { store.next_queued("sim1", now).await.unwrap() }
    };
    let fixture = fixture.reopened().await;
    assert_eq!(next(&fixture.store, now).await, NextQueued::At(later));
    queue(&fixture, outgoing("now", None)).await;
    let NextQueued::Message(first) = next(&fixture.store, now).await else {
        panic!("the other one is due")
    };
    assert_eq!(first.id, "now");
    fixture.store.cancel_message("now").await.unwrap();
    let NextQueued::Message(due) = next(&fixture.store, later).await else {
        panic!("its time has come")
    };
    assert_eq!(due.id, "scheduled");
    fixture.store.cancel_message("scheduled").await.unwrap();
    assert_eq!(next(&fixture.store, later).await, NextQueued::Nothing);
}

fn limited(result: Result<Message, StoreError>) -> Option<(&'static str, Option<Duration>)> {
    match result {
        Err(StoreError::RateLimited { key, retry_after, .. }) => Some((key, retry_after)),
        Ok(_) => None,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_number_is_one_destination_however_it_is_written() {
    let fixture = Fixture::new().await;
    let at_home = Limits {
        destination_per_hour: Some(2),
        home: Country::of_imsi("234150000000001"),
        ..Limits::default()
    };
    let to = |id: &str, address: &str| Message {
        address: address.into(),
        ..outgoing(id, None)
    };
    accept(&fixture, to("m1", "+447700900123"), &at_home).await.unwrap();
    accept(&fixture, to("m2", "07700900123"), &at_home).await.unwrap();
    let (key, _) = limited(accept(&fixture, to("m3", "00447700900123"), &at_home).await).expect("2 of 2 are used");
    assert_eq!(key, "sms.limits.destination_per_hour");
    accept(&fixture, to("m4", "07700900124"), &at_home)
        .await
        .expect("another number");
}

#[tokio::test]
async fn limits_count_parts_and_survive_a_restart_and_a_deletion() {
    let fixture = Fixture::new().await;
    let limits = Limits {
        destination_per_hour: Some(3),
        client_per_day: Some(5),
        ..Limits::default()
    };
    let of = |id: &str, address: &str, client: &str, part_count| Message {
        address: address.into(),
        client: client.into(),
        part_count,
        ..outgoing(id, Some(id))
    };
    accept(&fixture, of("m1", "+1", "a", 3), &limits).await.unwrap();
    let again = accept(&fixture, of("m1", "+1", "a", 3), &limits).await;
    assert_eq!(again.unwrap().id, "m1", "a repeated request is no second message");
    fixture.store.cancel_message("m1").await.unwrap();
    accept(&fixture, of("m2", "+1", "a", 2), &limits)
        .await
        .expect("what was cancelled unsent does not count");
    let mut sent = accept(&fixture, of("m3", "+1", "a", 1), &limits).await.unwrap();
    sent.state = MessageState::Sent;
    fixture.store.update_message(sent).await.unwrap();
    fixture.store.delete_message("m3").await.unwrap();
    let fixture = fixture.reopened().await;
    let (key, retry_after) = limited(accept(&fixture, of("m4", "+1", "b", 1), &limits).await).expect("3 of 3 are used");
    assert_eq!(key, "sms.limits.destination_per_hour");
    let retry_after = retry_after.expect("there is room again in an hour");
    assert!(
        retry_after <= Duration::from_secs(3600) && retry_after > Duration::from_secs(3000),
        "{retry_after:?}"
    );
    accept(&fixture, of("m5", "+2", "a", 2), &limits)
        .await
        .expect("another destination");
    let (key, _) = limited(accept(&fixture, of("m6", "+3", "a", 1), &limits).await).expect("5 of 5 are used");
    assert_eq!(key, "sms.limits.client_per_day");
    accept(&fixture, of("m7", "+3", "b", 3), &limits)
        .await
        .expect("another client");
    let alone = limited(accept(&fixture, of("m8", "+4", "c", 4), &limits).await);
    assert_eq!(
        alone,
        Some(("sms.limits.destination_per_hour", None)),
        "it can never pass"
    );
    accept(&fixture, of("m9", "+1", "a", 200), &Limits::default())
        .await
        .expect("there is no limit unless one is set");
}

pub(super) fn keep(message_count: u64) -> Retention {
    let year = SignedDuration::from_hours(24 * 365);
    Retention {
        event_age: year,
        event_count: 1000,
        message_age: year,
        message_count,
        call_age: year,
        call_count: 1000,
    }
}

#[tokio::test]
async fn retention_deletes_the_oldest_but_nothing_that_waits_for_something() {
    let fixture = Fixture::new().await;
    for (id, state, delivery_report_requested) in [
        ("queued", MessageState::Queued, false),
        ("sending", MessageState::Sending, false),
        ("unknown", MessageState::OutcomeUnknown, true),
        ("reported later", MessageState::Sent, true),
        ("sent", MessageState::Sent, false),
        ("failed", MessageState::Failed, true),
        ("newest", MessageState::Delivered, true),
    ] {
        let mut message = Message {
            text: "findable".into(),
            delivery_report_requested,
            ..outgoing(id, None)
        };
        message = queue(&fixture, message).await;
        message.state = state;
        fixture.store.update_message(message).await.unwrap();
    }
    let left = |store: &Store| {
        let query = MessageQuery {
            words: vec!["find".into()],
            ..MessageQuery::default()
        };
        let store = store.clone();
        async move {
            let page = store.messages(query).await.unwrap();
            page.items
                .into_iter()
                .rev()
                .map(|message| message.id)
                .collect::<Vec<_>>()
        }
    };
    let hours = |hours| Timestamp::now() + SignedDuration::from_hours(hours);
    fixture.store.prune(&keep(1), Timestamp::now()).await.unwrap();
    assert_eq!(
        left(&fixture.store).await,
        ["queued", "sending", "unknown", "reported later", "newest"],
        "by number"
    );
    fixture.store.prune(&keep(1), hours(73)).await.unwrap();
    assert_eq!(
        left(&fixture.store).await,
        ["queued", "sending", "newest"],
        "nothing that was waited for can come any more"
    );
    fixture.store.prune(&keep(1), hours(24 * 366)).await.unwrap();
    assert_eq!(left(&fixture.store).await, ["queued", "sending"], "by age");
}

#[tokio::test]
async fn counts_are_forgotten_when_no_limit_looks_back_to_them() {
    let fixture = Fixture::new().await;
    queue(&fixture, outgoing("m1", None)).await;
    let retention = keep(1000);
    let limits = Limits {
        client_per_day: Some(1),
        ..Limits::default()
    };
    for (hours, allowed) in [(23, false), (25, true)] {
        let later = Timestamp::now() + SignedDuration::from_hours(hours);
        fixture.store.prune(&retention, later).await.unwrap();
        let result = accept(&fixture, outgoing(&format!("after {hours}"), None), &limits).await;
        assert_eq!(limited(result).is_none(), allowed, "after {hours} hours");
    }
}

fn report(message_reference: u8, outcome: ReportOutcome) -> StatusReport {
    StatusReport {
        modem: "sim1".into(),
        message_reference,
        recipient: "+491700000001".into(),
        outcome,
        time: Timestamp::now(),
    }
}

/// A message whose first part is on its way.
async fn sending(fixture: &Fixture, id: &str) -> Message {
    let mut message = queue(fixture, outgoing(id, None)).await;
    message.state = MessageState::Sending;
    fixture.store.update_message(message.clone()).await.unwrap();
    message
}

#[tokio::test]
async fn a_report_that_overtakes_the_final_result_is_matched_afterwards() {
    let fixture = Fixture::new().await;
    let mut message = sending(&fixture, "m1").await;
    let noted = fixture
        .store
        .apply_status_report(report(9, ReportOutcome::Delivered))
        .await;
    assert_eq!(noted.unwrap(), None, "nobody knows yet what it is about");
    message.state = MessageState::Sent;
    message.message_references = vec![9];
    message.parts_done = 1;
    fixture.store.update_message(message).await.unwrap();
    let message = fixture.store.message("m1").await.unwrap().unwrap();
    assert_eq!(message.state, MessageState::Delivered);
    assert!(message.service_centre_time.is_some());
    // The reference comes again; the report must not be there any more.
    let mut next = sending(&fixture, "m2").await;
    next.state = MessageState::Sent;
    next.message_references = vec![9];
    next.parts_done = 1;
    fixture.store.update_message(next).await.unwrap();
    assert_eq!(
        fixture.store.message("m2").await.unwrap().unwrap().state,
        MessageState::Sent
    );
}

#[tokio::test]
async fn a_report_that_overtakes_a_lost_result_settles_it() {
    for crashed in [true, false] {
        let mut fixture = Fixture::new().await;
        let mut message = sending(&fixture, "m1").await;
        fixture
            .store
            .apply_status_report(report(9, ReportOutcome::Delivered))
            .await
            .unwrap();
        if crashed {
            fixture = fixture.reopened().await;
            fixture.store.recover("sim1").await.unwrap();
        } else {
            message.state = MessageState::OutcomeUnknown;
            fixture.store.update_message(message).await.unwrap();
        }
        let message = fixture.store.message("m1").await.unwrap().unwrap();
        assert_eq!(
            (message.state, message.message_references.as_slice()),
            (MessageState::Delivered, [9].as_slice()),
            "crashed: {crashed}"
        );
    }
}
