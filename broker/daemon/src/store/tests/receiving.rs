//! Received messages: each PDU once, parts together.

use futures_util::future::join_all;

use super::*;
use crate::store::{Assembled, Concatenation, IncomingPart, MessageQuery, Received, StoredPlace, Undecodable};

/// A stand-in for the codec: the "PDU" is the text.
fn assemble(parts: &[(u8, String)]) -> Assembled {
    let text = parts.iter().map(|(_, pdu)| pdu.as_str()).collect();
    Assembled {
        text,
        ..Assembled::default()
    }
}

fn part(identity: &str, pdu: &str, reference: u16, part: u8, part_count: u8) -> IncomingPart {
    IncomingPart {
        modem: "sim1".into(),
        identity: identity.into(),
        place: None,
        address: "+491700000002".into(),
        pdu: pdu.into(),
        service_centre_time: Some(time("2026-01-01T12:00:00Z")),
        concatenation: Some(Concatenation {
            reference,
            part,
            part_count,
        }),
    }
}

fn single(identity: &str, pdu: &str) -> IncomingPart {
    IncomingPart {
        concatenation: None,
        ..part(identity, pdu, 0, 1, 1)
    }
}

async fn receive(fixture: &Fixture, part: IncomingPart) -> Received {
    fixture.store.receive_part(part, assemble).await.unwrap()
}

fn text(received: &Received) -> (&'static str, &str) {
    match received {
        Received::New(message) => ("new", &message.text),
        Received::Completed(message) => ("completed", &message.text),
        Received::Part(message) => ("part", &message.text),
        Received::Duplicate => ("duplicate", ""),
    }
}

#[tokio::test]
async fn a_crash_between_commit_and_deletion_from_the_modem_receives_nothing_twice() {
    let fixture = Fixture::new().await;
    assert_eq!(
        text(&receive(&fixture, single("ME:1:x", "hello")).await),
        ("new", "hello")
    );
    let fixture = fixture.reopened().await;
    assert_eq!(receive(&fixture, single("ME:1:x", "hello")).await, Received::Duplicate);
    assert_eq!(fixture.events().await.len(), 1);
    fixture.store.release_identity("sim1", "ME:1:x", None).await.unwrap();
    let repeated = receive(&fixture, single("ME:1:x", "hello")).await;
    assert_eq!(
        text(&repeated),
        ("new", "hello"),
        "the same text again, after the first was deleted from the modem"
    );
}

/// The same PDU as it lies at a place.
fn at(index: u16, unread: bool) -> IncomingPart {
    IncomingPart {
        place: Some(StoredPlace {
            storage: "SM card".into(),
            index,
            unread,
        }),
        ..single("equal", "equal")
    }
}

/// A broker that ended between storing the first of them and deleting it made one of two.
#[tokio::test]
async fn equal_messages_at_two_places_stay_two_across_a_crash() {
    let fixture = Fixture::new().await;
    assert_eq!(text(&receive(&fixture, at(0, true)).await).0, "new");
    let fixture = fixture.reopened().await;
    assert_eq!(receive(&fixture, at(0, false)).await, Received::Duplicate, "read again");
    assert_eq!(text(&receive(&fixture, at(1, true)).await).0, "new", "the other one");
    let place = at(0, false).place;
    fixture.store.release_identity("sim1", "equal", place).await.unwrap();
    assert_eq!(
        receive(&fixture, at(1, false)).await,
        Received::Duplicate,
        "the other one again"
    );
    assert_eq!(text(&receive(&fixture, at(0, false)).await).0, "new", "a third one");
}

#[tokio::test]
async fn an_equal_message_that_took_the_place_of_one_deleted_unawares_is_another() {
    for (what, unread, occupied, expected) in [
        ("nobody has read what lies there", true, vec![3], "new"),
        ("it was seen to be empty", false, vec![], "new"),
        ("nothing says that it is another", false, vec![3], "duplicate"),
    ] {
        let fixture = Fixture::new().await;
        receive(&fixture, at(3, true)).await;
        fixture
            .store
            .release_vacated("sim1", "SM card", &occupied)
            .await
            .unwrap();
        assert_eq!(text(&receive(&fixture, at(3, unread)).await).0, expected, "{what}");
    }
}

#[tokio::test]
async fn another_message_at_its_place_shows_that_the_first_is_gone() {
    let fixture = Fixture::new().await;
    receive(&fixture, at(3, true)).await;
    let other = IncomingPart {
        identity: "other".into(),
        ..at(3, true)
    };
    receive(&fixture, other).await;
    assert_eq!(text(&receive(&fixture, at(3, false)).await).0, "new");
}

#[tokio::test]
async fn what_was_handed_over_and_not_acknowledged_may_come_again_stored() {
    let fixture = Fixture::new().await;
    receive(&fixture, single("equal", "equal")).await;
    assert_eq!(receive(&fixture, single("equal", "equal")).await, Received::Duplicate);
    assert_eq!(receive(&fixture, at(5, true)).await, Received::Duplicate);
    assert_eq!(
        receive(&fixture, at(5, false)).await,
        Received::Duplicate,
        "and is read again there"
    );
    assert_eq!(text(&receive(&fixture, single("equal", "equal")).await).0, "new");
}

#[tokio::test]
async fn the_identity_of_a_deleted_message_is_still_known() {
    let fixture = Fixture::new().await;
    let Received::New(message) = receive(&fixture, single("ME:1:x", "hello")).await else {
        panic!("not new")
    };
    fixture.store.delete_message(&message.id).await.unwrap();
    assert_eq!(fixture.store.message(&message.id).await.unwrap(), None);
    assert_eq!(receive(&fixture, single("ME:1:x", "hello")).await, Received::Duplicate);
}

#[tokio::test]
async fn parts_come_together_in_any_order_and_across_a_restart() {
    let fixture = Fixture::new().await;
    assert_eq!(text(&receive(&fixture, part("3", "c", 9, 3, 3)).await), ("part", "c"));
    let fixture = fixture.reopened().await;
    assert_eq!(text(&receive(&fixture, part("1", "a", 9, 1, 3)).await), ("part", "ac"));
    assert_eq!(receive(&fixture, part("1", "a", 9, 1, 3)).await, Received::Duplicate);
    let last = receive(&fixture, part("2", "b", 9, 2, 3)).await;
    assert_eq!(text(&last), ("completed", "abc"));
    let Received::Completed(message) = last else {
        unreachable!()
    };
    assert_eq!(
        (message.state, message.parts_done, message.pdus.len()),
        (MessageState::Received, 3, 3)
    );
    let states: Vec<_> = fixture
        .events()
        .await
        .into_iter()
        .map(|event| match event.change {
            Change::Message(message) => message.state,
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    assert_eq!(
        states,
        [
            MessageState::Incomplete,
            MessageState::Incomplete,
            MessageState::Received
        ]
    );
}

#[tokio::test]
async fn a_part_that_the_service_centre_sends_again_is_a_duplicate_wherever_it_lies() {
    let fixture = Fixture::new().await;
    receive(&fixture, part("1", "a", 9, 1, 2)).await;
    assert_eq!(
        receive(&fixture, part("elsewhere", "a", 9, 1, 2)).await,
        Received::Duplicate
    );
    assert_eq!(
        text(&receive(&fixture, part("2", "b", 9, 2, 2)).await),
        ("completed", "ab")
    );
    assert_eq!(
        receive(&fixture, part("late", "b", 9, 2, 2)).await,
        Received::Duplicate,
        "also after completion"
    );
}

#[tokio::test]
async fn a_reused_reference_begins_another_message() {
    let fixture = Fixture::new().await;
    let later = Some(time("2026-01-02T12:00:00Z"));
    assert_eq!(text(&receive(&fixture, part("1", "a", 9, 1, 2)).await), ("part", "a"));
    let taken = receive(&fixture, part("2", "x", 9, 1, 2)).await;
    assert_eq!(text(&taken), ("part", "x"), "its place is taken");
    let far = receive(
        &fixture,
        IncomingPart {
            service_centre_time: later,
            ..part("3", "z", 9, 2, 2)
        },
    )
    .await;
    assert_eq!(text(&far), ("part", "z"), "a day later it is another message");
    let other_sender = receive(
        &fixture,
        IncomingPart {
            address: "INFO".into(),
            ..part("4", "i", 9, 2, 2)
        },
    )
    .await;
    assert_eq!(text(&other_sender), ("part", "i"));
    let first = IncomingPart {
        service_centre_time: later,
        ..part("5", "y", 9, 1, 2)
    };
    assert_eq!(
        text(&receive(&fixture, first).await),
        ("completed", "yz"),
        "the nearest in time"
    );
}

#[tokio::test]
async fn an_impossible_part_number_is_received_as_a_message_of_its_own() {
    let fixture = Fixture::new().await;
    for (number, count) in [(0, 2), (3, 2), (1, 0)] {
        let received = receive(&fixture, part(&format!("{number}/{count}"), "t", 9, number, count)).await;
        assert_eq!(text(&received), ("new", "t"), "{number} of {count}");
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_is_kept_as_it_is() {
    let fixture = Fixture::new().await;
    let undecodable = || Undecodable {
        modem: "sim1".into(),
        identity: "ME:4:y".into(),
        pdu: "FFFF".into(),
        problem: "too short".into(),
        ..Undecodable::default()
    };
    let Received::New(message) = fixture.store.receive_raw(undecodable()).await.unwrap() else {
        panic!("not new")
    };
    assert_eq!(
        (message.state, message.pdus.as_slice()),
        (MessageState::Raw, ["FFFF".to_owned()].as_slice())
    );
    assert_eq!(message.failure, "too short");
    assert_eq!(
        fixture.store.receive_raw(undecodable()).await.unwrap(),
        Received::Duplicate
    );
    let raw = |_: &[(u8, String)]| Assembled {
        raw: true,
        ..Assembled::default()
    };
    let received = fixture.store.receive_part(single("ME:5:z", "??"), raw).await.unwrap();
    assert!(matches!(received, Received::New(message) if message.state == MessageState::Raw));
}

#[tokio::test]
async fn two_hundred_parts_at_once_make_one_message() {
    let fixture = Fixture::new().await;
    let parts = (1..=200_u8).rev().map(|number| {
        receive(
            &fixture,
            part(&number.to_string(), &format!("{number},"), 7, number, 200),
        )
    });
    let received = join_all(parts).await;
    let completed: Vec<_> = received
        .iter()
        .filter(|received| matches!(received, Received::Completed(_)))
        .collect();
    let expected: String = (1..=200).map(|number| format!("{number},")).collect();
    assert_eq!(completed.len(), 1);
    assert_eq!(text(completed[0]).1, expected);
}

#[tokio::test]
async fn an_incomplete_message_names_the_parts_that_are_missing() {
    let fixture = Fixture::new().await;
    for (identity, number, missing) in [("b", 2, vec![1, 3]), ("c", 3, vec![1]), ("a", 1, vec![])] {
        let received = receive(&fixture, part(identity, "x", 7, number, 3)).await;
        let (Received::Part(message) | Received::Completed(message)) = received else {
            panic!("part {number} should belong to the message")
        };
        assert_eq!(message.missing_parts, missing, "after part {number}");
    }
}

/// A stand-in for the codec: the "PDU" is the text, and its first character the protocol identifier's last digit.
fn replacing(parts: &[(u8, String)]) -> Assembled {
    let digit = parts.first().and_then(|(_, pdu)| pdu.chars().next());
    Assembled {
        protocol_identifier: 0x40 + digit.and_then(|digit| digit.to_digit(10)).unwrap_or(0) as u8,
        ..assemble(parts)
    }
}

#[tokio::test]
async fn a_replacing_message_takes_the_place_of_the_last_of_its_kind_and_sender() {
    let fixture = Fixture::new().await;
    let other = IncomingPart {
        address: "+491700000003".into(),
        ..single("6", "1 from another")
    };
    for part in [
        single("1", "1 old"),
        single("2", "2 other kind"),
        single("3", "plain"),
        single("4", "1 newer"),
        single("5", "1 newest"),
        other,
    ] {
        fixture.store.receive_part(part, replacing).await.unwrap();
    }
    let list = |show_replaced| {
        let query = MessageQuery {
            show_replaced,
            ..MessageQuery::default()
        };
        let store = fixture.store.clone();
        async move {
            let page = store.messages(query).await.unwrap();
            page.items.into_iter().map(|message| message.text).collect::<Vec<_>>()
        }
    };
    assert_eq!(
        list(false).await,
        ["1 from another", "1 newest", "plain", "2 other kind"]
    );
    assert_eq!(list(true).await.len(), 6, "nothing is destroyed");
}

#[tokio::test]
async fn an_incomplete_message_is_kept_while_its_other_parts_may_come() {
    let fixture = Fixture::new().await;
    receive(&fixture, part("1", "a", 9, 1, 2)).await;
    receive(&fixture, single("2", "newest")).await;
    let in_hours = |hours| Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    let left = async |hours| {
        let retention = super::queue::keep(1);
        fixture.store.prune(&retention, in_hours(hours)).await.unwrap();
        let page = fixture.store.messages(MessageQuery::default()).await.unwrap();
        page.items.into_iter().map(|message| message.text).collect::<Vec<_>>()
    };
    assert_eq!(left(71).await, ["newest", "a"], "more than the count");
    assert_eq!(left(73).await, ["newest"]);
    let late = receive(&fixture, part("3", "b", 9, 2, 2)).await;
    assert_eq!(text(&late), ("part", "b"), "what comes too late is shown all the same");
}
