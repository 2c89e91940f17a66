//! A broker that is killed in the middle of a recovery: its next life knows what this one did.

use std::path::PathBuf;
use std::time::Duration;

use api::v1::{GetNetworkStatusRequest, GetRecoveryRequest, ModemStage, RecoveryStep};
use client::Broker;
use end_to_end::{Journal, LIMIT, Process, Rig, Setup, binaries, until};
use nix::sys::signal::Signal;
use simulator::{Cure, FaultAction, Function, Way};

/// Two resets of the module are at least so far apart: half a minute less the jitter.
const RESET_PAUSE_MS: u64 = 24_000;

/// A broker of its own, beside a modem that hangs from now on and is asked for something.
async fn hanging(rig: &Rig, cure: Cure) -> anyhow::Result<Process> {
    let process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    let hang = FaultAction::Hang {
        port: None,
        until: cure,
    };
    rig.sim().inject_now(hang).await?;
    let refresh = GetNetworkStatusRequest {
        refresh: true,
        ..Default::default()
    };
    assert!(broker.network().get_network_status(refresh).await.is_err());
    Ok(process)
}

async fn kill(mut process: Process) -> anyhow::Result<()> {
    process.signal(Signal::SIGKILL)?;
    process.ended(LIMIT).await?;
    Ok(())
}

async fn budget_left(broker: &Broker, step: RecoveryStep) -> anyhow::Result<u32> {
    let recovery = broker.modems().get_recovery(GetRecoveryRequest::default()).await?;
    let counters = recovery.into_inner().counters;
    let counter = counters.iter().find(|counter| counter.step() == step);
    Ok(counter.map(|counter| counter.budget_left).unwrap_or_default())
}

/// When the module was told to reset itself, in the virtual modem's milliseconds. It is told on both ports, since it may obey
/// on either.
async fn resets(rig: &Rig) -> anyhow::Result<Vec<u64>> {
    let mut transcript = rig.sim().transcript(Some(Function::At));
    let mut resets = Vec::new();
    while let Some(entry) = transcript.next(Duration::ZERO).await? {
        if entry.way == Way::ToModem && entry.text.contains("AT+CRESET") {
            resets.push(entry.at_ms);
        }
    }
    Ok(resets)
}

/// For three seconds the device is off; a broker that is killed in them must not leave it off for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_a_killed_broker_left_switched_off_is_switched_on() -> anyhow::Result<()> {
    let cases = [
        (false, Cure::Usb, "1-1/authorized", "0"),
        (true, Cure::Power, "1-0:1.0/usb1-port1/disable", "1"),
    ];
    let healed = cases.map(async |(hub_power, cure, switch, off)| {
        let rig = Rig::prepare(Setup {
            hub_power,
            ..Setup::default()
        })
        .await?;
        let process = hanging(&rig, cure).await?;
        let switch: PathBuf = rig.path().join("sim1/sys/devices/platform/simulator/usb1").join(switch);
        let is_off = || std::fs::read_to_string(&switch).is_ok_and(|value| value.trim() == off);
        until("it is switched off", LIMIT * 2, async || Ok(is_off().then_some(()))).await?;
        kill(process).await?;
        assert!(is_off(), "nobody is left to switch it on");

        let process = Process::broker(rig.path(), rig.configuration())?;
        let broker = process.connect(&rig.endpoint()).await?;
        // What the first life used up is not given back.
        assert_eq!(budget_left(&broker, RecoveryStep::ResetModule).await?, 3);
        assert_eq!(budget_left(&broker, RecoveryStep::CycleUsb).await?, 2);
        Journal::beginning(&broker)
            .await?
            .modem("the modem is there", |modem| modem.stage() > ModemStage::Absent)
            .await?;
        binaries::ready(&broker, "sim1").await?;
        assert!(!is_off());
        assert_eq!(resets(&rig).await?.len(), 1);
        rig.stop().await
    });
    for outcome in futures_util::future::join_all(healed).await {
        outcome?;
    }
    Ok(())
}

/// A supervisor restarts a broker that dies: that must not become a module that is reset again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_after_a_reset_does_not_reset_again_at_once() -> anyhow::Result<()> {
    let rig = Rig::prepare(Setup::default()).await?;
    let process = hanging(&rig, Cure::Power).await?;
    until("the module is reset", LIMIT * 2, async || {
        Ok((!resets(&rig).await?.is_empty()).then_some(()))
    })
    .await?;
    kill(process).await?;
    let process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    assert_eq!(budget_left(&broker, RecoveryStep::ResetModule).await?, 3);
    // It climbs to the same step and waits there, or waited already.
    until("the reset is due again", LIMIT * 2, async || {
        let recovery = broker.modems().get_recovery(GetRecoveryRequest::default()).await?;
        let recovery = recovery.into_inner();
        let waits = recovery.current_step() == RecoveryStep::ResetModule && recovery.next_attempt_time.is_some();
        Ok((waits || resets(&rig).await?.len() > 1).then_some(()))
    })
    .await?;
    let resets = resets(&rig).await?;
    let pauses = resets.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(pauses.min().is_none_or(|pause| pause >= RESET_PAUSE_MS), "{resets:?}");
    rig.stop().await
}
