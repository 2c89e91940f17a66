//! A modem that misbehaves: the broker recovers by itself and never mistakes one answer for another.

use std::time::Duration;

use api::v1::{ErrorReason, ExecuteAtCommandRequest, GetNetworkStatusRequest, ModemStage};
use end_to_end::{LIMIT, Rig, reason, until};
use simulator::{Fault, FaultAction, Phase, RegistrationState};
use tonic::{Code, Status};

async fn execute(rig: &Rig, command: &str, timeout_ms: i32) -> Result<Vec<String>, Status> {
    let timeout = prost_types::Duration {
        seconds: i64::from(timeout_ms / 1000),
        nanos: timeout_ms % 1000 * 1_000_000,
    };
    let request = ExecuteAtCommandRequest {
        command: command.to_owned(),
        timeout: Some(timeout),
        ..Default::default()
    };
    Ok(rig
        .broker()
        .diagnostics()
        .execute_at_command(request)
        .await?
        .into_inner()
        .lines)
}

/// A modem that is ready and has nothing to do: its status, which is read right afterwards, has been read.
async fn idle_rig() -> anyhow::Result<Rig> {
    let rig = Rig::start().await?;
    let read = async || {
        let response = rig
            .broker()
            .network()
            .get_network_status(GetNetworkStatusRequest::default())
            .await?;
        let status = response.into_inner().status.unwrap_or_default();
        Ok(Some(()).filter(|()| !status.operator_name.is_empty()))
    };
    until("the status is read", LIMIT, read).await?;
    Ok(rig)
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_around_and_inside_replies_is_harmless() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let noise = || FaultAction::InjectBytes {
        hex: "FF00C3280D0A7E7E0D0A".to_owned(),
    };
    let line = || FaultAction::InjectUnsolicited {
        line: "+SIMCARD: NOT AVAILABLE, OR SO".to_owned(),
    };
    for (phase, action) in [
        (Phase::Before, noise()),
        (Phase::After, noise()),
        (Phase::After, line()),
        (Phase::Before, line()),
    ] {
        rig.sim()
            .inject(Fault::on_command("+CGSN", phase, action.clone()))
            .await?;
        let lines = execute(&rig, "AT+CGSN", 10_000).await?;
        assert!(
            lines.iter().any(|line| line == "867584030000017"),
            "{phase:?} {action:?}: {lines:?}"
        );
    }
    rig.sim().inject_now(noise()).await?;
    let lines = execute(&rig, "AT+CGSN", 10_000).await?;
    assert!(lines.iter().any(|line| line == "867584030000017"), "{lines:?}");
    assert_eq!(rig.ready("sim1").await?.stage(), ModemStage::Ready);
    rig.stop().await
}

/// An unsolicited message announcement in the middle of a reply belongs to neither the reply nor the void.
#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_inside_a_reply_is_heard() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let held = FaultAction::Delay { ms: 300 };
    rig.sim()
        .inject(Fault::on_command("+CGMM", Phase::Before, held))
        .await?;
    let asked = execute(&rig, "AT+CGMM", 10_000);
    let delivered = async {
        let asked = |books: &simulator::Books| {
            books
                .commands
                .records
                .iter()
                .filter(|command| command.line == "AT+CGMM")
                .count()
                == 2
        };
        rig.sim().books_when(LIMIT, asked).await?;
        anyhow::Ok(rig.sim().deliver_text("+447700900123", "in between").await?)
    };
    let (lines, delivered) = tokio::join!(asked, delivered);
    delivered?;
    let lines = lines?;
    assert!(lines.len() == 1 && lines[0].contains("SIM7600"), "{lines:?}");
    news.message("the message", |message| message.text == "in between")
        .await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_result_never_answers_the_next_command() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    rig.sim()
        .inject(Fault::on_command(
            "+CGMR",
            Phase::Before,
            FaultAction::Delay { ms: 1500 },
        ))
        .await?;
    let status = execute(&rig, "AT+CGMR", 300).await.expect_err("it takes too long");
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::DeadlineExceeded, Some(ErrorReason::ModemTimeout))
    );
    assert_eq!(
        execute(&rig, "AT+CGSN", 10_000).await?,
        ["867584030000017"],
        "the answer to this one and no other"
    );
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_falls_silent_is_used_again_when_it_answers() -> anyhow::Result<()> {
    let rig = idle_rig().await?;
    rig.sim().inject_now(FaultAction::Silence { ms: 4000 }).await?;
    let status = execute(&rig, "AT+CSQ", 500).await.expect_err("nobody answers");
    assert_eq!(reason(&status), Some(ErrorReason::ModemTimeout));
    let answered = async || {
        Ok(execute(&rig, "AT+CGSN", 10_000)
            .await
            .ok()
            .filter(|lines| lines == &["867584030000017"]))
    };
    until("the port answers again", LIMIT, answered).await?;
    rig.ready("sim1").await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_stays_silent_is_opened_anew() -> anyhow::Result<()> {
    let rig = idle_rig().await?;
    let mut news = rig.news().await?;
    rig.sim().inject_now(FaultAction::Silence { ms: 18_000 }).await?;
    let status = execute(&rig, "AT+CSQ", 500).await.expect_err("nobody answers");
    assert_eq!(reason(&status), Some(ErrorReason::ModemTimeout));
    let down = news
        .modem("the modem is not ready any more", |modem| {
            modem.stage() != ModemStage::Ready
        })
        .await?;
    assert!(!down.health_reason.is_empty(), "{down:?}");
    news.modem("it comes up again", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_resets_itself_comes_up_again() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    rig.sim().inject_now(FaultAction::Reset).await?;
    news.modem("it is gone", |modem| modem.stage() == ModemStage::Absent)
        .await?;
    news.modem("it is back", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    rig.sim().deliver_text("+447700900123", "after the reset").await?;
    news.message("a message", |message| message.text == "after the reset")
        .await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_coverage_is_a_stage_and_what_is_queued_goes_out_afterwards() -> anyhow::Result<()> {
    use api::v1::send_message_request::Content;
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    rig.sim().set_registration(None, RegistrationState::Searching).await?;
    news.modem("registration is lost", |modem| modem.stage() == ModemStage::Registering)
        .await?;
    let content = Some(Content::Text("from the tunnel".to_owned()));
    let request = api::v1::SendMessageRequest {
        address: "+447700900123".to_owned(),
        content,
        ..Default::default()
    };
    rig.broker().sms().send_message(request).await?;
    let dial = api::v1::DialRequest {
        number: "+447700900123".to_owned(),
        ..Default::default()
    };
    let status = rig.broker().voice().dial(dial).await.expect_err("there is no network");
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::FailedPrecondition, Some(ErrorReason::NotRegistered))
    );
    assert!(rig.sim().books().await?.submits.records.is_empty());
    rig.sim().set_registration(None, RegistrationState::Home).await?;
    news.modem("it is back", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    let sent = |books: &simulator::Books| books.submits.records.len() == 1;
    rig.sim().books_when(Duration::from_secs(10), sent).await?;
    rig.stop().await
}
