//! Short messages to the network: exactly those that were asked for, each once.

use api::v1::send_message_request::Content;
use api::v1::{ErrorReason, Message, MessageCoding, MessageState, SendMessageRequest};
use client::Broker;
use end_to_end::{LIMIT, Rig, Setup, reason};
use simulator::{Code, Fault, FaultAction, Phase};
use tonic::Code as Status;

const TO: &str = "+447700900123";

fn request(text: &str) -> SendMessageRequest {
    SendMessageRequest {
        address: TO.to_owned(),
        content: Some(Content::Text(text.to_owned())),
        ..Default::default()
    }
}

async fn send(broker: &Broker, request: SendMessageRequest) -> Result<Message, tonic::Status> {
    Ok(broker
        .sms()
        .send_message(request)
        .await?
        .into_inner()
        .message
        .unwrap_or_default())
}

/// What the network has accepted: destination and text.
async fn accepted(rig: &Rig) -> anyhow::Result<Vec<(String, String)>> {
    let books = rig.sim().books().await?;
    Ok(books
        .submits
        .records
        .into_iter()
        .map(|submit| (submit.destination, submit.text.unwrap_or_default()))
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_alphabet_and_length_reaches_the_network_as_it_was_written() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let long = "All work and no play makes Jack a dull boy. ".repeat(9);
    let long_unicode = "Съешь ещё этих мягких французских булок 🥐. ".repeat(5);
    for (text, coding, parts) in [
        ("plain [and extended] €", MessageCoding::Gsm7, 1),
        ("Grüße, 世界 🌍", MessageCoding::Ucs2, 1),
        (long.as_str(), MessageCoding::Gsm7, 3),
        (long_unicode.as_str(), MessageCoding::Ucs2, 4),
    ] {
        let before = rig.sim().books().await?.submits.records.len();
        let queued = send(&rig.broker(), request(text)).await?;
        assert_eq!(
            (queued.state(), queued.coding(), queued.part_count),
            (MessageState::Queued, coding, parts),
            "{text}"
        );
        let sent = news
            .message("it is sent", |message| {
                message.message_id == queued.message_id && message.state() == MessageState::Sent
            })
            .await?;
        assert_eq!(
            (sent.parts_done, sent.message_references.len()),
            (parts, parts as usize)
        );
        let submits: Vec<_> = rig
            .sim()
            .books()
            .await?
            .submits
            .records
            .into_iter()
            .skip(before)
            .collect();
        assert!(submits.iter().all(|submit| submit.destination == TO));
        let references: Vec<u32> = submits.iter().map(|submit| u32::from(submit.reference)).collect();
        assert_eq!(references, sent.message_references);
        let numbers: Vec<u8> = submits
            .iter()
            .filter_map(|submit| submit.concatenation)
            .map(|(_, _, part)| part)
            .collect();
        let expected: Vec<u8> = if parts == 1 {
            Vec::new()
        } else {
            (1..=parts as u8).collect()
        };
        assert_eq!(numbers, expected);
        let arrived: String = submits.into_iter().filter_map(|submit| submit.text).collect();
        assert_eq!(arrived, text);
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_sends_once_and_is_bound_to_its_content() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let request_id = uuid::Uuid::new_v4().to_string();
    let with_id = |text: &str| SendMessageRequest {
        request_id: request_id.clone(),
        ..request(text)
    };
    let first = send(&rig.broker(), with_id("once")).await?;
    assert_eq!(send(&rig.broker(), with_id("once")).await?.message_id, first.message_id);
    rig.journal()
        .await?
        .message("it is sent", |message| message.state() == MessageState::Sent)
        .await?;
    assert_eq!(send(&rig.broker(), with_id("once")).await?.message_id, first.message_id);
    rig.stop_broker().await?;
    rig.start_broker().await?;
    rig.ready("sim1").await?;
    let again = send(&rig.broker(), with_id("once")).await?;
    assert_eq!(
        (&again.message_id, again.state()),
        (&first.message_id, MessageState::Sent),
        "it survives a restart"
    );
    let refused = send(&rig.broker(), with_id("another"))
        .await
        .expect_err("another content");
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Status::InvalidArgument, Some(ErrorReason::RequestIdReused))
    );
    // Whatever is queued wrongly would go out before this one.
    send(&rig.broker(), request("the last")).await?;
    rig.journal()
        .await?
        .message("the last is sent", |message| {
            message.text == "the last" && message.state() == MessageState::Sent
        })
        .await?;
    let texts: Vec<String> = accepted(&rig).await?.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["once", "the last"]);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_reports_settle_the_message() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    // TP-ST of 23.040 9.2.3.15: 0 is delivered, 0x46 means that the validity period expired.
    for (status, state, text) in [
        (0, MessageState::Delivered, "short"),
        (0x46, MessageState::Failed, "into the void"),
    ] {
        rig.sim().set_reports(Some(status)).await?;
        let queued = send(
            &rig.broker(),
            SendMessageRequest {
                delivery_report: true,
                ..request(text)
            },
        )
        .await?;
        let id = queued.message_id;
        let settled = news
            .message("the report", |message| {
                message.message_id == id && message.state() == state
            })
            .await?;
        assert_eq!(
            settled.failure.is_empty(),
            state == MessageState::Delivered,
            "{settled:?}"
        );
    }
    let long = "x".repeat(400);
    rig.sim().set_reports(Some(0)).await?;
    let queued = send(
        &rig.broker(),
        SendMessageRequest {
            delivery_report: true,
            ..request(&long)
        },
    )
    .await?;
    let whole =
        |message: &Message| message.message_id == queued.message_id && message.state() == MessageState::Delivered;
    assert_eq!(news.message("all three parts are reported", whole).await?.part_count, 3);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_network_fails_the_message_with_its_number() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let refuse = FaultAction::Refuse { code: Code::Cms(38) };
    rig.sim()
        .inject(Fault::on_command("+CMGS", Phase::Before, refuse))
        .await?;
    send(&rig.broker(), request("refused")).await?;
    let failed = news
        .message("it failed", |message| message.state() == MessageState::Failed)
        .await?;
    assert!(failed.failure.contains("38"), "{}", failed.failure);
    send(&rig.broker(), request("accepted")).await?;
    news.message("the next is sent", |message| {
        message.text == "accepted" && message.state() == MessageState::Sent
    })
    .await?;
    assert_eq!(accepted(&rig).await?, [(TO.to_owned(), "accepted".to_owned())]);
    rig.stop().await
}

/// The network has the message, but the modem is gone before it can say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_final_result_is_an_unknown_outcome_and_never_a_second_message() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let gone = FaultAction::Unplug {
        replug_after_ms: Some(300),
        renumber: false,
    };
    rig.sim().inject(Fault::on_command("+CMGS", Phase::After, gone)).await?;
    let request_id = uuid::Uuid::new_v4().to_string();
    let once = SendMessageRequest {
        request_id,
        ..request("once at most")
    };
    send(&rig.broker(), once.clone()).await?;
    let unknown = news
        .message("the outcome is unknown", |message| {
            message.state() == MessageState::OutcomeUnknown
        })
        .await?;
    assert!(!unknown.failure.is_empty());
    rig.ready("sim1").await?;
    rig.stop_broker().await?;
    rig.start_broker().await?;
    rig.ready("sim1").await?;
    assert_eq!(
        send(&rig.broker(), once).await?.state(),
        MessageState::OutcomeUnknown,
        "its request says so as well"
    );
    send(&rig.broker(), request("the next")).await?;
    rig.journal()
        .await?
        .message("the next is sent", |message| {
            message.text == "the next" && message.state() == MessageState::Sent
        })
        .await?;
    let texts: Vec<String> = accepted(&rig).await?.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["once at most", "the next"]);
    rig.stop().await
}

/// The modem stays and only its answer is lost; the broker ends while it waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_ends_while_it_sends_does_not_send_again() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    rig.sim()
        .inject(Fault::on_command("+CMGS", Phase::After, FaultAction::LoseFinalResult))
        .await?;
    send(&rig.broker(), request("half way")).await?;
    rig.sim()
        .books_when(LIMIT, |books| books.submits.records.len() == 1)
        .await?;
    rig.stop_broker().await?;
    rig.start_broker().await?;
    rig.ready("sim1").await?;
    send(&rig.broker(), request("the next")).await?;
    let mut journal = rig.journal().await?;
    journal
        .message("it is unknown", |message| {
            message.text == "half way" && message.state() == MessageState::OutcomeUnknown
        })
        .await?;
    journal
        .message("the next is sent", |message| {
            message.text == "the next" && message.state() == MessageState::Sent
        })
        .await?;
    assert_eq!(accepted(&rig).await?.len(), 2);
    rig.stop().await
}

/// Each answer takes a while; what has not begun when the broker ends goes out after the next start, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_ends_with_a_long_queue_leaves_the_rest_queued() -> anyhow::Result<()> {
    const COUNT: usize = 8;
    let mut rig = Rig::start().await?;
    let slow = Fault::on_command("+CMGS", Phase::After, FaultAction::Delay { ms: 400 });
    rig.sim().inject(slow.times(COUNT as u32)).await?;
    for number in 0..COUNT {
        send(&rig.broker(), request(&format!("number {number}"))).await?;
    }
    rig.sim()
        .books_when(LIMIT, |books| books.submits.records.len() == 2)
        .await?;
    rig.stop_broker().await?;
    rig.sim().clear_faults().await?;
    rig.start_broker().await?;
    rig.ready("sim1").await?;
    let mut journal = rig.journal().await?;
    journal
        .message("the last is sent", |message| {
            assert_ne!(message.state(), MessageState::OutcomeUnknown, "{}", message.text);
            message.text == format!("number {}", COUNT - 1) && message.state() == MessageState::Sent
        })
        .await?;
    let texts: Vec<String> = accepted(&rig).await?.into_iter().map(|(_, text)| text).collect();
    let expected: Vec<String> = (0..COUNT).map(|number| format!("number {number}")).collect();
    assert_eq!(texts, expected);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_an_absent_modem_waits_for_it() -> anyhow::Result<()> {
    let rig = Rig::with(Setup {
        unplugged: true,
        ..Setup::default()
    })
    .await?;
    let queued = send(&rig.broker(), request("patience")).await?;
    assert_eq!(queued.state(), MessageState::Queued);
    rig.sim().replug(false).await?;
    rig.journal()
        .await?
        .message("it is sent", |message| message.state() == MessageState::Sent)
        .await?;
    assert_eq!(accepted(&rig).await?, [(TO.to_owned(), "patience".to_owned())]);
    rig.stop().await
}
