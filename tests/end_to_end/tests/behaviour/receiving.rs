//! Short messages from the network: each once, none lost, none deleted from the modem before it is durable.

use std::time::Duration;

use api::v1::watch_events_request::Start;
use api::v1::{
    CheckStorageRequest, EventFilter, EventKind, GetMessageRequest, ListMessagesRequest, Message, MessageCoding,
    MessageDirection, MessageState, WatchFromNow,
};
use end_to_end::{Journal, LIMIT, Rig};
use simulator::{Books, Fate};

use crate::vectors;

fn all_deleted(books: &Books) -> bool {
    books
        .deliveries
        .records
        .iter()
        .all(|delivery| *delivery.fate() == Fate::Deleted)
}

async fn listed(rig: &Rig) -> anyhow::Result<Vec<Message>> {
    let request = ListMessagesRequest {
        page_size: 1000,
        ..Default::default()
    };
    Ok(rig.broker().sms().list_messages(request).await?.into_inner().messages)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_message_is_an_event_and_a_resource_and_leaves_the_modem() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    for (row, coding) in [(36, MessageCoding::Gsm7), (18, MessageCoding::Ucs2)] {
        let vector = vectors::row(row)?;
        rig.sim().deliver_pdu(&vector.pdu).await?;
        let message = news.message("the message", |_| true).await?;
        assert_eq!(
            (message.state(), message.direction()),
            (MessageState::Received, MessageDirection::Incoming)
        );
        assert_eq!(Some(&message.text), vector.text.as_ref());
        assert_eq!(Some(&message.address), vector.from_or_to.as_ref());
        assert_eq!((message.coding(), message.pdus.len()), (coding, 0));
        assert!(message.service_centre_time.is_some());
        let request = GetMessageRequest {
            message_id: message.message_id.clone(),
        };
        let got = rig.broker().sms().get_message(request).await?.into_inner().message;
        let mut got = got.unwrap_or_default();
        let pdus = std::mem::take(&mut got.pdus);
        assert_eq!(
            pdus,
            std::slice::from_ref(&vector.pdu),
            "only who asks for it alone gets the PDUs"
        );
        assert_eq!(got, message);
        assert_eq!(listed(&rig).await?.first(), Some(&message), "the newest comes first");
    }
    rig.sim().books_when(LIMIT, all_deleted).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_in_any_order_become_one_message() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let (first, second) = (vectors::row(58)?, vectors::row(59)?);
    rig.sim().deliver_pdu(&second.pdu).await?;
    let incomplete = news.message("the second part alone", |_| true).await?;
    assert_eq!(
        (incomplete.state(), incomplete.part_count, incomplete.parts_done),
        (MessageState::Incomplete, 2, 1)
    );
    rig.sim().deliver_pdu(&first.pdu).await?;
    let whole = news
        .message("the whole message", |message| message.state() == MessageState::Received)
        .await?;
    assert_eq!((&whole.message_id, whole.parts_done), (&incomplete.message_id, 2));
    assert_eq!(
        whole.text,
        format!("{}{}", first.text.unwrap_or_default(), second.text.unwrap_or_default())
    );
    assert_eq!(listed(&rig).await?.len(), 1);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decoded_is_kept_raw_and_does_not_block_what_follows() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    // A DELIVER that ends in the middle of its originating address.
    let broken = "07911326040000F0040B913104";
    rig.sim().deliver_pdu(broken).await?;
    let raw = news.message("the broken message", |_| true).await?;
    assert_eq!(
        (raw.state(), raw.pdus.as_slice()),
        (MessageState::Raw, [broken.to_owned()].as_slice())
    );
    rig.sim().deliver_text("+447700900123", "after it").await?;
    news.message("the next message", |message| message.text == "after it")
        .await?;
    rig.sim().books_when(LIMIT, all_deleted).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_are_all_there_and_the_modem_is_empty() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    for number in 0..200 {
        rig.sim()
            .deliver_text("+447700900123", &format!("number {number}"))
            .await?;
    }
    let mut texts = std::collections::BTreeMap::new();
    while texts.len() < 200 {
        let message = news
            .message("the next of 200", |message| message.state() == MessageState::Received)
            .await?;
        *texts.entry(message.text).or_insert(0) += 1;
    }
    assert!(texts.values().all(|count| *count == 1), "each came once: {texts:?}");
    rig.sim().books_when(LIMIT, all_deleted).await?;
    assert_eq!(listed(&rig).await?.len(), 200);
    let storages = rig
        .broker()
        .sms()
        .check_storage(CheckStorageRequest::default())
        .await?
        .into_inner()
        .storages;
    assert!(
        !storages.is_empty() && storages.iter().all(|storage| storage.used == 0 && storage.total > 0),
        "{storages:?}"
    );
    rig.stop().await
}

/// A sender may say the same twice within a second; then even the time stamps are equal, and the PDUs with them.
#[tokio::test(flavor = "multi_thread")]
async fn equal_messages_stay_two() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let pdu = vectors::row(36)?.pdu;
    for _ in 0..2 {
        let mut news = rig.news().await?;
        rig.sim().deliver_pdu(&pdu).await?;
        news.message("a message", |_| true).await?;
        rig.sim().books_when(LIMIT, all_deleted).await?;
    }
    assert_eq!(listed(&rig).await?.len(), 2, "one after the other");
    for _ in 0..2 {
        rig.sim().deliver_pdu(&pdu).await?;
    }
    rig.sim().books_when(LIMIT, all_deleted).await?;
    assert_eq!(listed(&rig).await?.len(), 4, "both in the module at the same time");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_deleted_from_the_modem_only_after_it_is_durable() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let messages = EventFilter {
        kinds: vec![EventKind::Message.into()],
        modems: Vec::new(),
    };
    let mut news = Journal::open(&rig.broker(), Start::Now(WatchFromNow {}), messages).await?;
    let database = rusqlite::Connection::open(rig.path().join("state/broker.db"))?;
    // While another connection writes, nothing of the broker's can become durable.
    database.execute_batch("BEGIN IMMEDIATE")?;
    rig.sim().deliver_text("+447700900123", "precious").await?;
    let was_read = |books: &Books| {
        books
            .deliveries
            .records
            .iter()
            .any(|delivery| *delivery.fate() == Fate::Read)
    };
    rig.sim().books_when(LIMIT, was_read).await?;
    assert!(
        news.next(Duration::from_millis(500)).await?.is_none(),
        "nobody hears of what is not durable"
    );
    assert!(!all_deleted(&rig.sim().books().await?), "it stays in the modem");
    database.execute_batch("ROLLBACK")?;
    news.message("the message", |message| message.text == "precious")
        .await?;
    rig.sim().books_when(LIMIT, all_deleted).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_came_while_the_broker_was_away_are_fetched() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    rig.stop_broker().await?;
    rig.sim().deliver_text("+447700900123", "while away").await?;
    rig.start_broker().await?;
    let mut journal = rig.journal().await?;
    journal
        .message("the message", |message| message.text == "while away")
        .await?;
    rig.sim().books_when(LIMIT, all_deleted).await?;
    assert_eq!(listed(&rig).await?.len(), 1);
    rig.stop().await
}
