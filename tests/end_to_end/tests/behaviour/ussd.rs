//! USSD: codes, menus, and everything that can end a session.

use api::v1::event::Change;
use api::v1::{
    CallState, CancelUssdSessionRequest, DialRequest, ErrorReason, ReplyToUssdSessionRequest, StartUssdSessionRequest,
    UssdEndCause, UssdSession, UssdState,
};
use client::Broker;
use end_to_end::{Journal, LIMIT, Rig, Setup, reason};
use simulator::{Books, Fault, FaultAction, Phase, RingOptions};
use tonic::{Code, Status};

async fn start(broker: &Broker, code: &str, request_id: &str) -> Result<UssdSession, Status> {
    let request = StartUssdSessionRequest {
        code: code.to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    let response = broker.ussd().start_ussd_session(request).await?.into_inner();
    Ok(response.session.unwrap_or_default())
}

async fn reply(broker: &Broker, session: &UssdSession, text: &str) -> Result<UssdSession, Status> {
    let request = ReplyToUssdSessionRequest {
        session_id: session.session_id.clone(),
        text: text.to_owned(),
    };
    let response = broker.ussd().reply_to_ussd_session(request).await?.into_inner();
    Ok(response.session.unwrap_or_default())
}

async fn cancel(broker: &Broker, session: &UssdSession) -> Result<UssdSession, Status> {
    let request = CancelUssdSessionRequest {
        session_id: session.session_id.clone(),
    };
    let response = broker.ussd().cancel_ussd_session(request).await?.into_inner();
    Ok(response.session.unwrap_or_default())
}

async fn ussd(journal: &mut Journal, what: &str, fits: impl Fn(&UssdSession) -> bool) -> anyhow::Result<UssdSession> {
    journal
        .find(what, |event| match &event.change {
            Some(Change::UssdChanged(session)) => Some(session.clone()).filter(&fits),
            _ => None,
        })
        .await
}

fn commands(books: &Books, prefix: &str) -> Vec<String> {
    let lines = books.commands.records.iter().map(|command| command.line.clone());
    lines.filter(|line| line.starts_with(prefix)).collect()
}

/// A network that takes 300 s would make a test slow; the limit of the broker is what these tests are about.
async fn impatient_rig() -> anyhow::Result<Rig> {
    Rig::with(Setup {
        modem: "ussd_timeout_seconds = 1".to_owned(),
        ..Setup::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_answered_in_every_alphabet_and_every_end_has_its_cause() -> anyhow::Result<()> {
    let rig = impatient_rig().await?;
    for (code, text, cause) in [
        ("*101#", "Balance: 12.34 EUR", UssdEndCause::Answered),
        ("*102#", "Баланс: 12,34 €", UssdEndCause::Answered),
        ("*777#", "", UssdEndCause::NotSupported),
        ("*198#", "", UssdEndCause::NetworkTimeout),
        ("*199#", "", UssdEndCause::NoAnswer),
        ("*101#", "Balance: 12.34 EUR", UssdEndCause::Answered),
    ] {
        let session = start(&rig.broker(), code, "").await?;
        assert_eq!(
            (session.state(), session.text.as_str(), session.end_cause()),
            (UssdState::Ended, text, cause),
            "{code}: {session:?}"
        );
        assert!(session.end_time.is_some() && !session.network_initiated, "{session:?}");
    }
    // The network that never answered was told that nobody waits any more.
    let released = |books: &Books| !commands(books, "AT+CUSD=2").is_empty();
    rig.sim().books_when(LIMIT, released).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_menu_of_several_steps_is_walked_and_told_in_events() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let broker = rig.broker();
    let mut news = rig.news().await?;
    let menu = start(&broker, "*123#", "").await?;
    assert_eq!(menu.state(), UssdState::UserAction);
    assert_eq!(menu.text, "1 Balance\n2 Number\n3 Recharge\n0 End");
    let busy = start(&broker, "*101#", "").await.expect_err("one session at a time");
    assert_eq!(
        (busy.code(), reason(&busy)),
        (Code::ResourceExhausted, Some(ErrorReason::UssdBusy))
    );
    let voucher = reply(&broker, &menu, "3").await?;
    assert_eq!(
        (voucher.state(), voucher.text.as_str()),
        (UssdState::UserAction, "Voucher?")
    );
    let thanks = reply(&broker, &voucher, "да").await?;
    assert_eq!(
        (thanks.end_cause(), thanks.text.as_str()),
        (UssdEndCause::Answered, "Спасибо")
    );
    let mut states = Vec::new();
    ussd(&mut news, "the end of the session", |session| {
        session.session_id == menu.session_id && session.state() == UssdState::Ended
    })
    .await?;
    for event in news.seen() {
        if let Some(Change::UssdChanged(session)) = &event.change {
            assert_eq!(session.session_id, menu.session_id);
            states.push(session.state());
        }
    }
    let (waiting, user, ended) = (UssdState::Waiting, UssdState::UserAction, UssdState::Ended);
    assert_eq!(states, [waiting, user, waiting, user, waiting, ended]);
    for refused in [
        reply(&broker, &menu, "1").await,
        reply(
            &broker,
            &UssdSession {
                session_id: "x".into(),
                ..menu.clone()
            },
            "1",
        )
        .await,
    ] {
        let status = refused.expect_err("it is over, or was never there");
        assert!(
            matches!(
                reason(&status),
                Some(ErrorReason::UssdState | ErrorReason::UssdSessionNotFound)
            ),
            "{status:?}"
        );
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_never_starts_twice_not_even_after_a_restart() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let id = "3f0a5a64-2f0c-4b39-9f57-0f4f5f1f0001";
    let first = start(&rig.broker(), "*101#", id).await?;
    assert_eq!(start(&rig.broker(), "*101#", id).await?, first);
    let other = start(&rig.broker(), "*102#", id).await.expect_err("another code");
    assert_eq!(reason(&other), Some(ErrorReason::RequestIdReused));
    let dial = DialRequest {
        number: "+447700900123".to_owned(),
        request_id: id.to_owned(),
        ..Default::default()
    };
    let dialled = rig.broker().voice().dial(dial).await.expect_err("the id was used");
    assert_eq!(reason(&dialled), Some(ErrorReason::RequestIdReused));
    rig.stop_broker().await?;
    rig.start_broker().await?;
    rig.ready("sim1").await?;
    assert_eq!(start(&rig.broker(), "*101#", id).await?, first);
    assert_eq!(commands(&rig.sim().books().await?, "AT+CUSD=1,").len(), 1);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_session_is_over_for_everybody() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let broker = rig.broker();
    let waits = start(&broker, "*199#", "");
    let cancels = async {
        let session = ussd(&mut news, "the session", |session| {
            session.state() == UssdState::Waiting
        })
        .await?;
        let sent = |books: &Books| !commands(books, "AT+CUSD=1,\"*199#\"").is_empty();
        rig.sim().books_when(LIMIT, sent).await?;
        anyhow::Ok((cancel(&broker, &session).await?, session))
    };
    let (waited, cancelled) = tokio::join!(waits, cancels);
    let (cancelled, session) = cancelled?;
    assert_eq!(cancelled.end_cause(), UssdEndCause::Cancelled);
    assert_eq!(waited?, cancelled, "whoever waited for the network hears it");
    assert_eq!(cancel(&broker, &session).await?, cancelled, "again changes nothing");
    let released = |books: &Books| commands(books, "AT+CUSD=2").len() == 1;
    rig.sim().books_when(LIMIT, released).await?;
    assert_eq!(start(&broker, "*101#", "").await?.end_cause(), UssdEndCause::Answered);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_comes_in_ends_the_session_and_is_not_delayed() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let menu = start(&rig.broker(), "*123#", "").await?;
    rig.sim()
        .ring(RingOptions {
            from: "+447700900123".to_owned(),
            ..RingOptions::default()
        })
        .await?;
    let over = ussd(&mut news, "the session is over", |session| {
        session.state() == UssdState::Ended
    })
    .await?;
    assert_eq!(
        (over.session_id.as_str(), over.end_cause()),
        (menu.session_id.as_str(), UssdEndCause::Call)
    );
    let rang = |event: &api::v1::Event| match &event.change {
        Some(Change::CallChanged(call)) => call.state() == CallState::Incoming,
        _ => false,
    };
    assert!(
        news.seen().iter().any(rang),
        "the call is told before the session's end: {:?}",
        news.seen()
    );
    let refused = start(&rig.broker(), "*101#", "").await.expect_err("there is a call");
    assert_eq!(reason(&refused), Some(ErrorReason::CallState));
    rig.sim().hang_up().await?;
    news.call("the call is over", |call| call.state() == CallState::Disconnected)
        .await?;
    assert_eq!(
        start(&rig.broker(), "*101#", "").await?.end_cause(),
        UssdEndCause::Answered
    );
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_may_begin() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    // Reporting is on after the first code.
    start(&rig.broker(), "*101#", "").await?;
    let mut news = rig.news().await?;
    rig.sim().ussd("You have 1 GB left", 0).await?;
    let notice = ussd(&mut news, "a notification", |session| session.network_initiated).await?;
    assert_eq!(
        (notice.text.as_str(), notice.end_cause()),
        ("You have 1 GB left", UssdEndCause::Notification)
    );
    rig.sim().ussd("Renew? 1 yes", 1).await?;
    let question = ussd(&mut news, "a question", |session| {
        session.state() == UssdState::UserAction
    })
    .await?;
    assert!(question.network_initiated);
    let answered = reply(&rig.broker(), &question, "1").await?;
    assert_eq!(answered.end_cause(), UssdEndCause::NotSupported, "{answered:?}");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modem_that_refuses_hangs_or_goes_away_ends_the_session() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let broker = rig.broker();
    let mut news = rig.news().await?;
    let refusal = FaultAction::Refuse {
        code: simulator::core::Code::Cme(30),
    };
    rig.sim()
        .inject(Fault::on_command("+CUSD=1", Phase::Before, refusal))
        .await?;
    let status = start(&broker, "*101#", "").await.expect_err("the modem refuses");
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::FailedPrecondition, Some(ErrorReason::Refused))
    );
    let over = ussd(&mut news, "it is over", |session| session.state() == UssdState::Ended).await?;
    assert_eq!(over.end_cause(), UssdEndCause::Refused);

    let waits = start(&broker, "*199#", "");
    let pulls = async {
        let sent = |books: &Books| !commands(books, "AT+CUSD=1,\"*199#\"").is_empty();
        rig.sim().books_when(LIMIT, sent).await?;
        anyhow::Ok(rig.sim().unplug().await?)
    };
    let (waited, pulled) = tokio::join!(waits, pulls);
    pulled?;
    assert_eq!(waited?.end_cause(), UssdEndCause::Lost);
    rig.sim().replug(false).await?;
    news.modem("it is gone", |modem| modem.stage() == api::v1::ModemStage::Absent)
        .await?;
    news.modem("it is back", |modem| modem.stage() == api::v1::ModemStage::Ready)
        .await?;
    assert_eq!(start(&broker, "*101#", "").await?.end_cause(), UssdEndCause::Answered);
    rig.stop().await
}
