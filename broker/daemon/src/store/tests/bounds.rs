//! Octets: what one message, one list and one batch of events may take.

use super::*;
use crate::store::{Assembled, Concatenation, IncomingPart, MessageQuery, Most, Received};

/// Hexadecimal digits of a PDU of a full part.
const PDU: &str = "0791447779078404440ED0";

/// Receives a message of 255 parts, each with a text of 153 characters.
async fn receive_longest(store: &Store, address: &str) -> Message {
    let mut message = None;
    for number in 1..=255_u8 {
        let part = IncomingPart {
            modem: "sim1".into(),
            identity: format!("{address} {number}"),
            place: None,
            address: address.into(),
            pdu: format!("{}{number:02X}", PDU.repeat(14)),
            service_centre_time: None,
            concatenation: Some(Concatenation {
                reference: 7,
                part: number,
                part_count: 255,
            }),
        };
        let received = store
            .receive_part(part, |parts| Assembled {
                text: "x".repeat(153 * parts.len()),
                ..Assembled::default()
            })
            .await
            .unwrap();
        if let Received::Completed(complete) = received {
            message = Some(complete);
        }
    }
    message.expect("all parts are there")
}

#[tokio::test]
async fn pdus_are_with_the_message_alone() {
    let fixture = Fixture::new().await;
    let id = receive_longest(&fixture.store, "+447700900123").await.id;
    let mut sent = outgoing("out", None);
    sent.pdus = vec!["0001".into(), "0002".into()];
    fixture
        .store
        .queue_message(sent.clone(), b"", &Limits::default())
        .await
        .unwrap();
    let fixture = fixture.reopened().await;
    let of = async |id: &str| fixture.store.message(id).await.unwrap().unwrap().pdus;
    let received = of(&id).await;
    assert_eq!(received.len(), 255);
    assert!(received[254].ends_with("FF"), "in order");
    assert_eq!(of("out").await, sent.pdus);
    assert_eq!(fixture.next_queued("sim1").await.unwrap().pdus, sent.pdus);
    for event in fixture.events().await {
        let Change::Message(message) = event.change else {
            continue;
        };
        assert!(message.pdus.is_empty(), "event {}", event.sequence.0);
    }
    let list = fixture.store.messages(MessageQuery::default()).await.unwrap().items;
    assert!(list.iter().all(|message| message.pdus.is_empty()));
}

#[tokio::test]
async fn a_batch_is_bounded_in_octets_on_disk_and_in_memory() {
    let fixture = Fixture::new().await;
    receive_longest(&fixture.store, "+447700900123").await;
    let most = Most {
        events: 256,
        octets: 64 * 1024,
    };
    let (mut cursor, mut seen) = (Sequence(0), 0);
    loop {
        let batch = fixture
            .store
            .events_after(cursor, most, &Filter::default())
            .await
            .unwrap();
        assert!(batch.octets <= 64 * 1024 || batch.events.len() == 1);
        assert!(!batch.events.is_empty() || batch.caught_up, "it always gets on");
        seen += batch.events.len();
        cursor = batch.cursor;
        if batch.caught_up {
            break;
        }
    }
    assert_eq!(seen, 255);
}

#[tokio::test]
async fn a_page_is_bounded_in_octets_and_its_token_goes_on() {
    let fixture = Fixture::new().await;
    for number in 0..40 {
        let mut message = outgoing(&number.to_string(), None);
        message.text = "x".repeat(153 * 255);
        fixture
            .store
            .queue_message(message, b"", &Limits::default())
            .await
            .unwrap();
    }
    let mut query = MessageQuery::default();
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let page = fixture.store.messages(query.clone()).await.unwrap();
        assert!(page.octets <= crate::store::PAGE_OCTETS as usize);
        assert!(!page.items.is_empty());
        seen.extend(page.items.into_iter().map(|message| message.id));
        match page.next_page_token {
            Some(token) => query.page_token = Some(token),
            None => break,
        }
    }
    assert_eq!(seen.len(), 40);
}

#[tokio::test]
async fn a_page_token_is_of_use_with_its_filters_only() {
    let fixture = Fixture::new().await;
    for number in 0..3 {
        let message = outgoing(&number.to_string(), None);
        fixture
            .store
            .queue_message(message, b"", &Limits::default())
            .await
            .unwrap();
    }
    let query = MessageQuery {
        page_size: 1,
        ..MessageQuery::default()
    };
    let page_token = fixture.store.messages(query.clone()).await.unwrap().next_page_token;
    let next = MessageQuery {
        page_token,
        page_size: 2,
        ..MessageQuery::default()
    };
    assert_eq!(fixture.store.messages(next.clone()).await.unwrap().items.len(), 2);
    let of_another_list = MessageQuery {
        modem: Some("sim1".into()),
        ..next
    };
    assert!(fixture.store.messages(of_another_list).await.is_err());
}
