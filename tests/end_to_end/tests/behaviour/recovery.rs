//! The recovery ladder, rung by rung: a port that hangs, a module that hangs, and what brings each of them back.

use std::time::Duration;

use api::v1::{
    GetRecoveryRequest, GetRecoveryResponse, Modem, ModemHealth, ModemStage, PortRole, PortState, RecoveryStep,
};
use end_to_end::{LIMIT, Rig, Setup, binaries, until};
use simulator::{Cure, Fault, FaultAction, Function, Phase};

async fn recovery(rig: &Rig) -> anyhow::Result<GetRecoveryResponse> {
    let request = GetRecoveryRequest::default();
    Ok(rig.broker().modems().get_recovery(request).await?.into_inner())
}

/// The steps that were tried, upwards.
async fn tried(rig: &Rig) -> anyhow::Result<Vec<RecoveryStep>> {
    let counters = recovery(rig).await?.counters;
    let used = counters.iter().filter(|counter| counter.attempts > 0);
    Ok(used.map(|counter| counter.step()).collect())
}

/// A modem that is ready and has been asked everything that it is asked at first.
async fn quiet_rig(setup: Setup) -> anyhow::Result<Rig> {
    let rig = Rig::with(setup).await?;
    let read = async || {
        let request = api::v1::GetNetworkStatusRequest::default();
        let status = rig
            .broker()
            .network()
            .get_network_status(request)
            .await?
            .into_inner()
            .status;
        Ok(status.filter(|status| !status.operator_name.is_empty()))
    };
    until("the status is read", LIMIT, read).await?;
    Ok(rig)
}

async fn hang(rig: &Rig, port: Option<Function>, until: Cure) -> anyhow::Result<()> {
    rig.sim().inject_now(FaultAction::Hang { port, until }).await?;
    Ok(())
}

/// Asks something that needs the port for messages and status.
fn ask(rig: &Rig) -> impl Future<Output = bool> + use<> {
    let request = api::v1::GetNetworkStatusRequest {
        refresh: true,
        ..Default::default()
    };
    let broker = rig.broker();
    async move { broker.network().get_network_status(request).await.is_ok() }
}

/// Asks until there is an answer.
async fn serves(rig: &Rig) -> anyhow::Result<()> {
    until("the modem answers", LIMIT * 2, async || {
        Ok(ask(rig).await.then_some(()))
    })
    .await
}

fn port_state(modem: &Modem, role: PortRole) -> Option<PortState> {
    modem
        .ports
        .iter()
        .find(|port| port.role() == role)
        .map(|port| port.state())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_port_that_comes_back_when_it_is_reopened_costs_nothing_else() -> anyhow::Result<()> {
    let rig = quiet_rig(Setup::default()).await?;
    let mut news = rig.news().await?;
    let detachments = rig.sim().books().await?.detachments;
    hang(&rig, Some(Function::At), Cure::Reopen).await?;
    assert!(!ask(&rig).await, "nobody answers");
    let silent = |modem: &Modem| port_state(modem, PortRole::At) == Some(PortState::Silent);
    let modem = news.modem("the port is noticed", silent).await?;
    assert_eq!(modem.stage(), ModemStage::Ready, "{modem:?}");
    serves(&rig).await?;
    assert_eq!(
        tried(&rig).await?,
        [RecoveryStep::Resynchronise, RecoveryStep::ReopenPort]
    );
    assert_eq!(
        rig.sim().books().await?.detachments,
        detachments,
        "the module was left alone"
    );
    let well = async || Ok((rig.ready("sim1").await?.health() == ModemHealth::Ok).then_some(()));
    until("it is well", LIMIT, well).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_port_takes_over_from_one_that_hangs_and_gives_back() -> anyhow::Result<()> {
    let rig = quiet_rig(Setup::default()).await?;
    let mut news = rig.news().await?;
    hang(&rig, Some(Function::At), Cure::Reset).await?;
    assert!(!ask(&rig).await, "nobody answers");
    let taken_over = |modem: &Modem| modem.health_reason.contains("serves calls and messages together");
    // What was asked meanwhile and waits at the port that hangs must not wait for ever.
    let (modem, served) = tokio::join!(news.modem("the other port takes over", taken_over), serves(&rig));
    let modem = modem?;
    served?;
    assert_eq!(
        (modem.stage(), modem.health()),
        (ModemStage::Ready, ModemHealth::Degraded)
    );
    assert_eq!(
        tried(&rig).await?,
        [
            RecoveryStep::Resynchronise,
            RecoveryStep::ReopenPort,
            RecoveryStep::SwitchPort
        ]
    );
    // Messages and calls go over the port that is left.
    rig.sim().deliver_text("+447700900123", "over the other port").await?;
    news.message("a message", |message| message.text == "over the other port")
        .await?;
    let call = api::v1::DialRequest {
        number: "+447700900123".to_owned(),
        ..Default::default()
    };
    let call = rig
        .broker()
        .voice()
        .dial(call)
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    let request = api::v1::HangUpRequest { call_id: call.call_id };
    rig.broker().voice().hang_up(request).await?;
    rig.stop().await
}

/// Which rung brings a module back whose every port hangs, and which are tried before.
#[tokio::test(flavor = "multi_thread")]
async fn a_hung_module_is_brought_back_by_the_rung_that_helps() -> anyhow::Result<()> {
    use RecoveryStep::{CycleUsb, PowerHook, ReopenPort, ResetModule, Resynchronise, SwitchPort};
    let cases: [(Cure, &[RecoveryStep]); 3] = [
        (Cure::Reset, &[Resynchronise, ReopenPort, SwitchPort, ResetModule]),
        (
            Cure::Usb,
            &[Resynchronise, ReopenPort, SwitchPort, ResetModule, CycleUsb],
        ),
        (
            Cure::Power,
            &[Resynchronise, ReopenPort, SwitchPort, ResetModule, CycleUsb, PowerHook],
        ),
    ];
    let climbed = cases.map(async |(cure, expected)| {
        let directory = tempfile::tempdir()?;
        let link = directory.path().join("modem");
        let hook = [
            binaries::program("modem-sim")?.display().to_string(),
            "ctl".to_owned(),
            "--dir".to_owned(),
            link.display().to_string(),
            "power-cycle".to_owned(),
        ];
        let rig = quiet_rig(Setup {
            modem: format!("[modem.recovery]\npower_hook = {hook:?}"),
            ..Setup::default()
        })
        .await?;
        std::os::unix::fs::symlink(rig.path().join("sim1"), &link)?;
        let mut news = rig.news().await?;
        hang(&rig, None, cure).await?;
        assert!(!ask(&rig).await, "nobody answers");
        news.modem("it is down", |modem| modem.stage() == ModemStage::Absent)
            .await?;
        news.modem("it is back", |modem| modem.stage() == ModemStage::Ready)
            .await?;
        serves(&rig).await?;
        let tried = tried(&rig).await?;
        assert_eq!(tried, expected, "{cure:?}");
        rig.stop().await
    });
    for outcome in futures_util::future::join_all(climbed).await {
        outcome?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_port_is_switched_off_for_a_module_that_needs_its_power_cut() -> anyhow::Result<()> {
    let rig = quiet_rig(Setup {
        hub_power: true,
        ..Setup::default()
    })
    .await?;
    let mut news = rig.news().await?;
    hang(&rig, None, Cure::Power).await?;
    assert!(!ask(&rig).await, "nobody answers");
    news.modem("it is down", |modem| modem.stage() == ModemStage::Absent)
        .await?;
    news.modem("it is back", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    assert!(tried(&rig).await?.ends_with(&[RecoveryStep::CycleUsb]));
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_helps_raises_an_alarm_once_and_a_new_plug_in_is_tried_at_once() -> anyhow::Result<()> {
    let rig = quiet_rig(Setup::default()).await?;
    let mut news = rig.news().await?;
    hang(&rig, None, Cure::Power).await?;
    assert!(!ask(&rig).await, "nobody answers");
    news.modem("it is down", |modem| modem.stage() == ModemStage::Absent)
        .await?;
    let alarm = |modem: &Modem| modem.health_reason.contains("cannot be recovered");
    let modem = news.modem("the alarm", alarm).await?;
    assert_eq!(modem.health(), ModemHealth::Failed);
    let told = recovery(&rig).await?;
    assert_eq!(told.current_step(), RecoveryStep::GiveUp);
    assert!(
        told.next_attempt_time.is_some() && !told.evidence.is_empty(),
        "{told:?}"
    );
    rig.sim().unplug().await?;
    rig.sim().replug(true).await?;
    news.modem("it is back", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    rig.stop().await
}

/// A call whose audio flows is alive although no port answers: nothing may end it.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_alive_is_not_ended_by_a_recovery() -> anyhow::Result<()> {
    let rig = quiet_rig(Setup {
        voice: "on_abandoned = \"keep\"".to_owned(),
        ..Setup::default()
    })
    .await?;
    let mut news = rig.news().await?;
    let dial = api::v1::DialRequest {
        number: "+447700900123".to_owned(),
        ..Default::default()
    };
    let call = rig
        .broker()
        .voice()
        .dial(dial)
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    news.call("the audio is on", |call| call.audio() == api::v1::CallAudioState::On)
        .await?;
    hang(&rig, None, Cure::Reset).await?;
    // The broker asks for the list of calls every two seconds, and so notices by itself.
    let stuck = async || {
        let told = recovery(&rig).await?;
        Ok(Some(told).filter(|told| told.current_step() == RecoveryStep::ResetModule))
    };
    until("the reset is due", LIMIT, stuck).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(rig.sim().books().await?.detachments, 0, "the call goes on");
    assert_eq!(rig.sim().status().await?.calls.len(), 1);
    // Now it dies as well, and with it the reason to wait.
    rig.sim().hang_up().await?;
    let over = news
        .call("the call is lost", |ended| {
            ended.call_id == call.call_id && ended.end_time.is_some()
        })
        .await?;
    assert_eq!(over.end_cause(), api::v1::CallEndCause::Lost);
    news.modem("it is back", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_diagnostics_port_is_never_opened() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    rig.sim().unplug().await?;
    news.modem("it is gone", |modem| modem.stage() == ModemStage::Absent)
        .await?;
    rig.sim().replug(true).await?;
    news.modem("it is back", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    let openings = rig.sim().books().await?.openings;
    assert_eq!(
        openings.get(&Function::Diag).copied().unwrap_or_default(),
        0,
        "{openings:?}"
    );
    assert_eq!(openings.get(&Function::At), Some(&2), "{openings:?}");
    rig.stop().await
}

/// A command that the module never answers, although it answers everything else, is no reason to reset it at once.
#[tokio::test(flavor = "multi_thread")]
async fn one_unanswered_command_is_resynchronised_and_forgotten() -> anyhow::Result<()> {
    let rig = quiet_rig(Setup::default()).await?;
    rig.sim()
        .inject(Fault::on_command("+CSQ", Phase::Before, FaultAction::LoseReply))
        .await?;
    assert!(!ask(&rig).await, "the answer is lost");
    serves(&rig).await?;
    assert_eq!(tried(&rig).await?, [RecoveryStep::Resynchronise]);
    let well = async || Ok((rig.ready("sim1").await?.health() == ModemHealth::Ok).then_some(()));
    until("it is well", LIMIT, well).await?;
    rig.stop().await
}

/// A module that refuses what it has to do, until its radio was off and on: no milder step helps, no harsher one is needed.
#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_refuses_until_its_radio_was_off_is_not_reset() -> anyhow::Result<()> {
    let rig = Rig::with(Setup {
        unplugged: true,
        ..Setup::default()
    })
    .await?;
    let refuse = FaultAction::RefuseUntilRadioCycled {
        code: simulator::Code::Error,
    };
    rig.sim()
        .inject(Fault::on_command("+CMEE=1", Phase::Before, refuse))
        .await?;
    let mut news = rig.news().await?;
    rig.sim().replug(false).await?;
    news.modem("it comes up", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    assert_eq!(tried(&rig).await?, [RecoveryStep::ReopenPort, RecoveryStep::CycleRadio]);
    let told = |line: &str| line == "AT+CFUN=4" || line == "AT+CFUN=1" || line == "AT+CRESET";
    let books = rig.sim().books().await?;
    let lines = books.commands.records.iter().map(|command| command.line.as_str());
    assert_eq!(
        lines.filter(|line| told(line)).collect::<Vec<_>>(),
        ["AT+CFUN=4", "AT+CFUN=1"]
    );
    rig.stop().await
}
