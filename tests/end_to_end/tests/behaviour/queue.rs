//! What waits to be sent: in which order, until when, and how much of it.

use std::time::Duration;

use api::v1::send_message_request::Content;
use api::v1::{
    CancelMessageRequest, ComposeMessageRequest, ComposeMessageResponse, ErrorReason, Message, MessageCoding,
    MessagePriority, MessageState, ModemStage, NationalLanguage, SendMessageRequest,
};
use end_to_end::{LIMIT, Rig, Setup, invalid_fields, reason};
use simulator::{Code, Fault, FaultAction, Phase, RegistrationState};
use tonic::{Code as Status, Status as Refused};
use tonic_types::StatusExt as _;

const TO: &str = "+447700900123";

fn request(text: &str) -> SendMessageRequest {
    SendMessageRequest {
        address: TO.to_owned(),
        content: Some(Content::Text(text.to_owned())),
        ..Default::default()
    }
}

async fn send(rig: &Rig, request: SendMessageRequest) -> Result<Message, Refused> {
    let response = rig.broker().sms().send_message(request).await?;
    Ok(response.into_inner().message.unwrap_or_default())
}

async fn compose(rig: &Rig, message: SendMessageRequest) -> Result<ComposeMessageResponse, Refused> {
    let message = Some(message);
    Ok(rig
        .broker()
        .sms()
        .compose_message(ComposeMessageRequest { message })
        .await?
        .into_inner())
}

fn in_seconds(seconds: i64) -> Option<prost_types::Timestamp> {
    let time = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    Some(prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    })
}

async fn texts(rig: &Rig, count: usize) -> anyhow::Result<Vec<String>> {
    let books = rig
        .sim()
        .books_when(LIMIT, |books| books.submits.records.len() >= count)
        .await?;
    let submits = books.submits.records.into_iter();
    Ok(submits.filter_map(|submit| submit.text).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_matters_most_goes_first_after_an_outage() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    rig.sim().set_registration(None, RegistrationState::Searching).await?;
    news.modem("coverage is lost", |modem| modem.stage() == ModemStage::Registering)
        .await?;
    for (text, priority) in [
        ("newsletter", MessagePriority::Low),
        ("first", MessagePriority::Unspecified),
        ("second", MessagePriority::Normal),
        ("alarm", MessagePriority::High),
    ] {
        let priority = priority.into();
        send(
            &rig,
            SendMessageRequest {
                priority,
                ..request(text)
            },
        )
        .await?;
    }
    rig.sim().set_registration(None, RegistrationState::Home).await?;
    assert_eq!(texts(&rig, 4).await?, ["alarm", "first", "second", "newsletter"]);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_message_go_out_as_one_unit_over_one_link() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let long = "x".repeat(400);
    // A module that cannot keep the link sends all the same.
    let refuse = FaultAction::Refuse { code: Code::Cms(302) };
    rig.sim()
        .inject(Fault::on_command("+CMMS", Phase::Before, refuse))
        .await?;
    for _ in 0..2 {
        let queued = send(&rig, request(&long)).await?;
        news.message("it is sent", |message| {
            message.message_id == queued.message_id && message.state() == MessageState::Sent
        })
        .await?;
    }
    send(&rig, request("short")).await?;
    let books = rig
        .sim()
        .books_when(LIMIT, |books| books.submits.records.len() == 7)
        .await?;
    let sending: Vec<&str> = books
        .commands
        .records
        .iter()
        .map(|command| command.line.split_inclusive('=').next().unwrap_or_default())
        .filter(|name| ["AT+CMMS=", "AT+CMGS="].contains(name))
        .collect();
    let (link, part) = ("AT+CMMS=", "AT+CMGS=");
    assert_eq!(sending, [link, part, part, part, link, part, part, part, part]);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_for_its_time_through_a_restart() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let (soon, never) = (in_seconds(4), in_seconds(3600));
    let at = |send_time, text| SendMessageRequest {
        send_time,
        ..request(text)
    };
    let scheduled = send(&rig, at(soon, "later")).await?;
    assert_eq!((scheduled.state(), scheduled.send_time), (MessageState::Queued, soon));
    let cancelled = send(&rig, at(never, "never")).await?;
    send(&rig, request("now")).await?;
    texts(&rig, 1).await?;
    rig.stop_broker().await?;
    rig.start_broker().await?;
    let cancel = CancelMessageRequest {
        message_id: cancelled.message_id,
    };
    let message = rig.broker().sms().cancel_message(cancel).await?.into_inner().message;
    assert_eq!(message.unwrap_or_default().state(), MessageState::Cancelled);
    let mut journal = rig.journal().await?;
    let sent = journal
        .message("it is sent", |message| {
            message.text == "later" && message.state() == MessageState::Sent
        })
        .await?;
    let instant = |time: prost_types::Timestamp| (time.seconds, time.nanos / 1000);
    assert!(
        sent.update_time.map(instant) >= soon.map(instant),
        "not before its time: {sent:?}"
    );
    let mut sent = texts(&rig, 2).await?;
    sent.sort();
    assert_eq!(sent, ["later", "now"]);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_wants_any_more_is_not_sent() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let stale = SendMessageRequest {
        expire_time: in_seconds(-1),
        ..request("stale")
    };
    send(&rig, stale).await?;
    let failed = news
        .message("it failed", |message| message.state() == MessageState::Failed)
        .await?;
    assert!(failed.failure.contains("validity"), "{}", failed.failure);
    let fresh = SendMessageRequest {
        expire_time: in_seconds(3600),
        ..request("fresh")
    };
    send(&rig, fresh).await?;
    assert_eq!(texts(&rig, 1).await?, ["fresh"]);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_refused_with_the_time_to_wait_also_after_a_restart() -> anyhow::Result<()> {
    let mut rig = Rig::with(Setup {
        sections: "[sms.limits]\ndestination_per_day = 3\nclient_per_hour = 4".to_owned(),
        ..Setup::default()
    })
    .await?;
    let to = |to: &str, text: &str| SendMessageRequest {
        address: to.to_owned(),
        ..request(text)
    };
    let accepted = send(&rig, request(&"x".repeat(200))).await?;
    let user = nix::unistd::getuid();
    assert_eq!(accepted.client, format!("uid:{user}"));
    send(&rig, request("third part")).await?;
    rig.stop_broker().await?;
    rig.start_broker().await?;
    for (request, limit) in [
        (request("fourth"), "sms.limits.destination_per_day"),
        (to("+447700900124", &"x".repeat(200)), "sms.limits.client_per_hour"),
    ] {
        let refused = send(&rig, request).await.expect_err(limit);
        assert_eq!(
            (refused.code(), reason(&refused)),
            (Status::ResourceExhausted, Some(ErrorReason::RateLimited))
        );
        let metadata = refused
            .get_details_error_info()
            .map(|info| info.metadata)
            .unwrap_or_default();
        assert_eq!(metadata.get("limit").map(String::as_str), Some(limit));
        let delay = refused.get_details_retry_info().and_then(|retry| retry.retry_delay);
        assert!(delay.is_some_and(|delay| delay > Duration::from_secs(60)), "{delay:?}");
    }
    send(&rig, to("+447700900124", "another")).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_price_is_told_before_anything_is_sent() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let turkish = || SendMessageRequest {
        national_languages: vec![NationalLanguage::Turkish.into()],
        ..request(&"Şişli'de ılık bir gün".repeat(5))
    };
    let transliterated = SendMessageRequest {
        transliterate: true,
        ..request(&"dimineață ".repeat(10))
    };
    for (message, coding, parts, single_shift, units) in [
        (request("hello €"), MessageCoding::Gsm7, 1, 0, vec![(8, 160)]),
        (
            request(&"x".repeat(161)),
            MessageCoding::Gsm7,
            2,
            0,
            vec![(153, 153), (8, 153)],
        ),
        (
            request(&"ж".repeat(71)),
            MessageCoding::Ucs2,
            2,
            0,
            vec![(67, 67), (4, 67)],
        ),
        (turkish(), MessageCoding::Gsm7, 1, 1, vec![(125, 155)]),
        (transliterated, MessageCoding::Gsm7, 1, 0, vec![(100, 160)]),
    ] {
        let composed = compose(&rig, message.clone()).await?;
        let sizes: Vec<_> = composed.parts.iter().map(|part| (part.units, part.capacity)).collect();
        assert_eq!(
            (composed.coding(), composed.part_count, composed.single_shift, sizes),
            (coding, parts, single_shift, units),
            "{message:?}"
        );
    }
    let refused = compose(
        &rig,
        SendMessageRequest {
            coding: MessageCoding::Gsm7.into(),
            ..request("日本")
        },
    )
    .await
    .expect_err("7 bits have no such characters");
    assert_eq!(invalid_fields(&refused), ["content"]);
    assert!(rig.sim().books().await?.submits.records.is_empty());
    rig.stop().await
}

/// The report is announced while the result of the part is still on its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_overtakes_its_final_result_counts() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let slow = FaultAction::Delay { ms: 700 };
    rig.sim().inject(Fault::on_command("+CMGS", Phase::After, slow)).await?;
    let requested = SendMessageRequest {
        delivery_report: true,
        ..request("fast report")
    };
    send(&rig, requested).await?;
    news.message("it is delivered", |message| message.state() == MessageState::Delivered)
        .await?;
    rig.stop().await
}

/// A network without circuit-switched service carries messages over the IMS. Nothing differs at AT level.
#[tokio::test(flavor = "multi_thread")]
async fn messages_travel_over_lte_alone() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    for domain in [simulator::Domain::Cs, simulator::Domain::Ps] {
        rig.sim()
            .set_registration(Some(domain), RegistrationState::Denied)
            .await?;
    }
    send(&rig, request("over LTE")).await?;
    assert_eq!(texts(&rig, 1).await?, ["over LTE"]);
    rig.sim().deliver_text(TO, "and back").await?;
    news.message("the answer", |message| message.text == "and back").await?;
    rig.stop().await
}
