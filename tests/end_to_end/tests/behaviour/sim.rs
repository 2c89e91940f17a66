//! The SIM and what hangs on it: PIN and PUK, a card that is pulled or exchanged, the carrier, the contexts.

use api::v1::{
    CarrierSource, ChangePinRequest, DialRequest, EnterPinRequest, ErrorReason, GetModemRequest,
    GetNetworkStatusRequest, GetSimRequest, Modem, ModemHealth, ModemStage, RegistrationState, SetPinLockRequest, Sim,
    SimState, UnblockPinRequest,
};
use end_to_end::{LIMIT, Rig, Setup, reason, until};
use simulator::{Card, Domain, PinState};

fn modem(change: impl FnOnce(&mut simulator::Config)) -> Vec<simulator::Config> {
    let mut modems = Setup::default().modems;
    change(&mut modems[0]);
    modems
}

fn locked() -> Vec<simulator::Config> {
    modem(|config| config.pin = Some("4711".to_owned()))
}

async fn entered(rig: &Rig) -> anyhow::Result<usize> {
    let books = rig.sim().books().await?;
    let entered = books.commands.records.iter();
    Ok(entered.filter(|command| command.line.starts_with("AT+CPIN=")).count())
}

async fn card(rig: &Rig) -> anyhow::Result<Sim> {
    let answer = rig.broker().sims().get_sim(GetSimRequest::default()).await?;
    Ok(answer.into_inner().sim.unwrap_or_default())
}

fn waits_for_pin(modem: &Modem) -> bool {
    modem.stage() == ModemStage::Sim && modem.stage_detail.contains("modemctl sim pin")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_pin_costs_one_attempt_in_two_lives_of_the_broker() -> anyhow::Result<()> {
    let mut rig = Rig::prepare(Setup {
        modems: locked(),
        modem: "pin = \"0815\"".to_owned(),
        ..Setup::default()
    })
    .await?;
    let refused = |modem: &Modem| {
        modem
            .stage_detail
            .contains("refused the configured PIN (2 attempts left)")
    };
    for _ in 0..2 {
        rig.start_broker().await?;
        let modem = rig.journal().await?.modem("the PIN is refused", refused).await?;
        assert_eq!(modem.health(), ModemHealth::Failed, "{modem:?}");
        rig.stop_broker().await?;
        assert_eq!(entered(&rig).await?, 1);
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_enters_changes_and_unblocks_with_attempts_that_are_told() -> anyhow::Result<()> {
    let mut rig = Rig::prepare(Setup {
        modems: locked(),
        ..Setup::default()
    })
    .await?;
    rig.start_broker().await?;
    let mut journal = rig.journal().await?;
    journal.modem("the SIM waits", waits_for_pin).await?;
    let enter = async |pin: &str, spend_last_attempt| {
        let request = EnterPinRequest {
            pin: pin.to_owned(),
            spend_last_attempt,
            ..EnterPinRequest::default()
        };
        rig.broker().sims().enter_pin(request).await
    };
    for (pin, spend, expected) in [
        ("47", false, ErrorReason::FieldInvalid),
        ("0000", false, ErrorReason::SimCodeWrong),
        ("1111", false, ErrorReason::SimCodeWrong),
        // One is left, and it was not asked for by name.
        ("4711", false, ErrorReason::SimLastAttempt),
        ("2222", true, ErrorReason::SimCodeWrong),
        ("4711", true, ErrorReason::SimPukRequired),
    ] {
        let refusal = enter(pin, spend).await.expect_err("refused");
        assert_eq!(reason(&refusal), Some(expected), "{pin}: {refusal:?}");
        assert!(!refusal.message().contains(pin), "no code is told: {refusal:?}");
    }
    assert_eq!(entered(&rig).await?, 3);
    journal
        .modem("the SIM is blocked", |modem| {
            modem.stage_detail.contains("modemctl sim puk")
        })
        .await?;
    let unblock = UnblockPinRequest {
        puk: "12345678".to_owned(),
        new_pin: "9876".to_owned(),
        ..UnblockPinRequest::default()
    };
    let unblocked = rig
        .broker()
        .sims()
        .unblock_pin(unblock)
        .await?
        .into_inner()
        .sim
        .unwrap_or_default();
    assert_eq!(
        (unblocked.state(), unblocked.pin_attempts_left),
        (SimState::Ready, Some(3))
    );
    rig.ready("sim1").await?;

    let change = ChangePinRequest {
        current_pin: "9876".to_owned(),
        new_pin: "4444".to_owned(),
        ..ChangePinRequest::default()
    };
    rig.broker().sims().change_pin(change.clone()).await?;
    let refusal = rig
        .broker()
        .sims()
        .change_pin(change)
        .await
        .expect_err("it is another one now");
    assert_eq!(reason(&refusal), Some(ErrorReason::SimCodeWrong));
    let lock = SetPinLockRequest {
        pin: "4444".to_owned(),
        enabled: false,
        ..SetPinLockRequest::default()
    };
    let unlocked = rig
        .broker()
        .sims()
        .set_pin_lock(lock)
        .await?
        .into_inner()
        .sim
        .unwrap_or_default();
    assert_eq!(unlocked.pin_lock_enabled, Some(false));
    let refusal = enter("4444", false).await.expect_err("nothing to enter");
    assert_eq!(reason(&refusal), Some(ErrorReason::SimState));
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_is_entered_by_hand_brings_the_modem_up() -> anyhow::Result<()> {
    let mut rig = Rig::prepare(Setup {
        modems: locked(),
        ..Setup::default()
    })
    .await?;
    rig.start_broker().await?;
    let mut journal = rig.journal().await?;
    journal.modem("the SIM waits", waits_for_pin).await?;
    let request = EnterPinRequest {
        pin: "4711".to_owned(),
        ..EnterPinRequest::default()
    };
    rig.broker().sims().enter_pin(request).await?;
    rig.ready("sim1").await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sim_that_is_pulled_and_exchanged_is_another_subscriber_of_another_carrier() -> anyhow::Result<()> {
    let rig = Rig::with(Setup {
        modems: modem(|config| config.imsi = "262021234567890".to_owned()),
        ..Setup::default()
    })
    .await?;
    let mut news = rig.news().await?;
    rig.sim().deliver_text("+447700900123", "for the first").await?;
    let first = news.message("the first card's message", |_| true).await?;
    rig.sim().set_sim(PinState::Absent).await?;
    let gone = news
        .modem("the SIM is gone", |modem| modem.stage_detail.contains("insert one"))
        .await?;
    assert_eq!((gone.stage(), gone.health()), (ModemStage::Sim, ModemHealth::Failed));
    assert_eq!(card(&rig).await?.state(), SimState::Absent);
    rig.sim()
        .exchange_sim(Card {
            imsi: "246031234567890".to_owned(),
            iccid: "8937003000000000013".to_owned(),
            own_number: "+37060000001".to_owned(),
            service_provider_name: String::new(),
        })
        .await?;
    rig.sim().set_sim(PinState::Ready).await?;
    let back = news
        .modem("it is ready with the other card", |modem| {
            modem.stage() == ModemStage::Ready
        })
        .await?;
    let carrier = back.carrier.unwrap_or_default();
    assert_eq!(
        (
            carrier.name.as_str(),
            carrier.plmn.as_str(),
            carrier.data_apn.as_str(),
            carrier.source()
        ),
        ("Tele2 Lietuva", "24603", "internet.tele2.lt", CarrierSource::BuiltIn)
    );
    let card = card(&rig).await?;
    assert_eq!(
        (card.imsi.as_str(), card.home_plmn.as_str()),
        ("246031234567890", "24603")
    );
    // At the same place of the new card, and yet another message.
    rig.sim().deliver_text("+447700900123", "for the second").await?;
    let second = news
        .message("the second card's message", |message| message.text == "for the second")
        .await?;
    assert_ne!(first.message_id, second.message_id);
    assert_eq!(rig.sim().books().await?.detachments, 0, "nothing was restarted for it");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchanged_sim_that_nobody_announced_is_noticed_with_the_next_reading() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    rig.sim()
        .exchange_sim(Card {
            imsi: "260061234567890".to_owned(),
            iccid: "8948060000000000017".to_owned(),
            ..Card::default()
        })
        .await?;
    let request = GetNetworkStatusRequest {
        refresh: true,
        ..GetNetworkStatusRequest::default()
    };
    rig.broker().network().get_network_status(request).await?;
    let with_play = |modem: &Modem| {
        let carrier = modem.carrier.as_ref().map(|carrier| carrier.name.as_str());
        modem.stage() == ModemStage::Ready && carrier == Some("Play")
    };
    news.modem("it is ready with the other card", with_play).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sim_for_volte_only_is_registered_and_calls_work() -> anyhow::Result<()> {
    let mut rig = Rig::prepare(Setup::default()).await?;
    rig.sim()
        .set_registration(Some(Domain::Cs), simulator::RegistrationState::Denied)
        .await?;
    rig.start_broker().await?;
    let modem = rig.ready("sim1").await?;
    assert_eq!(modem.health(), ModemHealth::Ok, "{modem:?}");
    let request = GetNetworkStatusRequest {
        refresh: true,
        ..GetNetworkStatusRequest::default()
    };
    let status = rig
        .broker()
        .network()
        .get_network_status(request)
        .await?
        .into_inner()
        .status
        .unwrap_or_default();
    assert_eq!(
        (status.circuit_switched(), status.evolved_packet(), status.registered),
        (RegistrationState::Denied, RegistrationState::Home, true)
    );
    let mut news = rig.news().await?;
    let dial = DialRequest {
        number: "+447700900123".to_owned(),
        request_id: "0b9c3e0e-5d0c-4f0e-9a54-1d7cf1a5b001".to_owned(),
        ..DialRequest::default()
    };
    rig.broker().voice().dial(dial).await?;
    news.call("the call is answered", |call| {
        call.state() == api::v1::CallState::Active
    })
    .await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_map_is_there_while_the_modem_is() -> anyhow::Result<()> {
    let maps = tempfile::tempdir()?;
    let path = maps.path().join("ports.json");
    let mut rig = Rig::prepare(Setup {
        modems: modem(|config| config.imsi = "234101234567890".to_owned()),
        modem: format!("port_map = \"{}\"", path.display()),
        ..Setup::default()
    })
    .await?;
    rig.start_broker().await?;
    rig.ready("sim1").await?;
    let there = async |expected: bool| {
        until("the port map follows the modem", LIMIT, async || {
            Ok((path.exists() == expected).then_some(()))
        })
        .await
    };
    there(true).await?;
    let map: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    for (key, end) in [
        ("config_port", "ttyUSB3"),
        ("nmea", "ttyUSB1"),
        ("sms_port", "ttyUSB2"),
        ("at_command", "ttyUSB3"),
        ("audio", "ttyUSB4"),
        ("apn", "mobile.o2.co.uk"),
        ("ims_apn", "ims"),
        ("carrier", "O2 UK"),
    ] {
        assert!(
            map[key].as_str().is_some_and(|value| value.ends_with(end)),
            "{key}: {map}"
        );
    }
    rig.sim().unplug().await?;
    there(false).await?;
    rig.sim().replug(true).await?;
    there(true).await?;
    let map: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    assert!(
        map["sms_port"].as_str().is_some_and(|port| port.ends_with("ttyUSB3")),
        "{map}"
    );
    rig.stop_broker().await?;
    there(false).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firmware_that_nobody_knows_is_named_and_works() -> anyhow::Result<()> {
    let rig = Rig::with(Setup {
        modems: modem(|config| config.revision = "LE99B01SIM7600G22".to_owned()),
        ..Setup::default()
    })
    .await?;
    let answer = rig.broker().modems().get_modem(GetModemRequest::default()).await?;
    let modem = answer.into_inner().modem.unwrap_or_default();
    assert_eq!(modem.health(), ModemHealth::Degraded);
    assert!(
        modem.health_reason.contains("LE99B01SIM7600G22"),
        "{}",
        modem.health_reason
    );
    assert_eq!(modem.degradations.len(), 1);
    let mut news = rig.news().await?;
    rig.sim().deliver_text("+447700900123", "works").await?;
    news.message("a message", |message| message.text == "works").await?;
    rig.stop().await
}
