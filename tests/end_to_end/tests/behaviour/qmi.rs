//! QMI services beside the data session: the card, new messages, what the radio sees, requests made by hand.

use api::v1::{
    AccessTechnology, CallState, ErrorReason, ExecuteQmiRequestRequest, GetBearerStatisticsRequest, GetCellsRequest,
    ListDataProfilesRequest, ListQmiServicesRequest, ModemStage, QmiTlv, RestartSimRequest, SimState,
};
use end_to_end::{LIMIT, Naming, Rig, Setup, reason, until};
use simulator::{FaultAction, PinState, RingOptions};

const WMS: u8 = 5;
const UIM: u8 = 11;

/// A ready modem that tells of its card and its messages.
async fn told(setup: Setup) -> anyhow::Result<Rig> {
    let rig = Rig::with(setup).await?;
    until("the broker listens", LIMIT, async || {
        let listeners = rig.sim().status().await?.qmi_listeners;
        Ok((listeners == [WMS, UIM]).then_some(()))
    })
    .await?;
    Ok(rig)
}

/// Lines of the AT ports that tell of something are lost from now on.
async fn lose(rig: &Rig, prefix: &str, times: u32) -> anyhow::Result<()> {
    let prefix = prefix.to_owned();
    rig.sim()
        .inject_now(FaultAction::LoseUnsolicited { prefix, times })
        .await?;
    Ok(())
}

async fn commands(rig: &Rig, prefix: &str) -> anyhow::Result<usize> {
    let books = rig.sim().books().await?;
    let lines = books.commands.records.iter();
    Ok(lines.filter(|command| command.line.starts_with(prefix)).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sim_that_goes_away_is_noticed_although_no_at_port_tells() -> anyhow::Result<()> {
    let rig = told(Setup::default()).await?;
    let mut news = rig.news().await?;
    lose(&rig, "+", u32::MAX).await?;
    rig.sim().set_sim(PinState::Absent).await?;
    news.modem("the SIM is missed", |modem| {
        modem.stage() == ModemStage::Sim && modem.stage_detail.contains("no SIM")
    })
    .await?;
    rig.sim().clear_faults().await?;
    rig.sim().set_sim(PinState::Ready).await?;
    news.modem("it is ready again", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_announcement_was_lost_is_read_at_once() -> anyhow::Result<()> {
    let rig = told(Setup::default()).await?;
    let mut news = rig.news().await?;
    for text in ["first", "second"] {
        lose(&rig, "+CMTI", 1).await?;
        rig.sim().deliver_text("+447700900123", text).await?;
        news.message("it comes without +CMTI", |message| message.text == text)
            .await?;
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_which_two_voices_tell_is_read_once() -> anyhow::Result<()> {
    let rig = told(Setup::default()).await?;
    let mut news = rig.news().await?;
    let before = commands(&rig, "AT+CMGR").await?;
    let deleted = commands(&rig, "AT+CMGD").await?;
    for number in 0..10 {
        let text = format!("message {number}");
        rig.sim().deliver_text("+447700900123", &text).await?;
        news.message("it comes", |message| message.text == text).await?;
    }
    // Once to get it, and at most once more to see that its place is free while the next one lies in the storage.
    let read = commands(&rig, "AT+CMGR").await? - before;
    assert!((10..=20).contains(&read), "{read}");
    assert!(
        commands(&rig, "AT+CMGD").await? - deleted <= 10,
        "none is deleted twice"
    );
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sim_is_restarted_without_the_module_and_gets_its_pin_again() -> anyhow::Result<()> {
    let mut modems = Setup::default().modems;
    modems[0].pin = Some("4711".to_owned());
    let rig = told(Setup {
        modems,
        modem: "pin = \"4711\"".to_owned(),
        ..Setup::default()
    })
    .await?;
    let restart = async || rig.broker().sims().restart_sim(RestartSimRequest::default()).await;
    let mut news = rig.news().await?;
    rig.sim().ring(RingOptions::default()).await?;
    news.call("it rings", |call| call.state() == CallState::Incoming)
        .await?;
    let refused = restart().await.expect_err("a call is alive");
    assert_eq!(reason(&refused), Some(ErrorReason::CallState));
    rig.sim().hang_up().await?;
    news.call("the call is over", |call| call.state() == CallState::Disconnected)
        .await?;

    let restarted = restart().await?.into_inner().sim.unwrap_or_default();
    assert!(
        matches!(restarted.state(), SimState::PinRequired | SimState::Ready),
        "{restarted:?}"
    );
    news.modem("the SIM was away", |modem| modem.stage() == ModemStage::Sim)
        .await?;
    news.modem("it is ready again", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    assert_eq!(commands(&rig, "AT+CPIN=").await?, 2, "once for each time it started");
    assert_eq!(rig.sim().books().await?.detachments, 0, "the module went on");
    rig.sim().deliver_text("+447700900123", "afterwards").await?;
    news.message("messages come", |message| message.text == "afterwards")
        .await?;
    rig.stop().await
}

/// The broker was killed between taking the power and giving it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_sim_that_was_left_without_power_gets_it_back_at_the_start() -> anyhow::Result<()> {
    let mut rig = Rig::prepare(Setup::default()).await?;
    rig.sim().set_sim_power(false).await?;
    rig.start_broker().await?;
    rig.ready("sim1").await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_radio_sees_is_told_on_request() -> anyhow::Result<()> {
    let rig = told(Setup::default()).await?;
    let mut network = rig.broker().network();
    let seen = network.get_cells(GetCellsRequest::default()).await?.into_inner();
    let cells: Vec<_> = seen
        .cells
        .iter()
        .map(|cell| {
            (
                cell.technology(),
                cell.serving,
                cell.channel.unwrap_or_default(),
                cell.physical_cell_id,
            )
        })
        .collect();
    assert_eq!(
        cells,
        [
            (AccessTechnology::Lte, true, 100, Some(448)),
            (AccessTechnology::Lte, false, 100, Some(449)),
            (AccessTechnology::Lte, false, 1300, Some(77)),
            (AccessTechnology::Umts, false, 10638, Some(312)),
            (AccessTechnology::Gsm, false, 62, Some(28)),
        ]
    );
    let serving = &seen.cells[0];
    assert_eq!(
        (
            serving.plmn.as_str(),
            serving.area_code,
            serving.cell_id,
            serving.rsrp_dbm,
            serving.rsrq_db
        ),
        ("00101", Some(0xB0F5), Some(0x00C9_19E4), Some(-95.0), Some(-10.0))
    );
    let carriers: Vec<_> = seen
        .carriers
        .iter()
        .map(|carrier| (carrier.primary, carrier.band, carrier.bandwidth_khz))
        .collect();
    assert_eq!(
        carriers,
        [(true, Some(1), Some(10_000)), (false, Some(3), Some(20_000))]
    );
    assert_eq!((seen.receivers.len(), seen.transmitted_power_dbm), (2, Some(13.5)));

    let profiles = network.list_data_profiles(ListDataProfilesRequest::default()).await?;
    let profiles = profiles.into_inner().profiles;
    let listed: Vec<_> = profiles
        .iter()
        .map(|profile| (profile.index, profile.pdp_type.as_str()))
        .collect();
    assert_eq!(listed.len(), 3, "{profiles:?}");
    let statistics = network
        .get_bearer_statistics(GetBearerStatisticsRequest::default())
        .await;
    assert_eq!(
        reason(&statistics.expect_err("no session")),
        Some(ErrorReason::DataNotReady)
    );
    let services = rig
        .broker()
        .diagnostics()
        .list_qmi_services(ListQmiServicesRequest::default())
        .await?;
    let services = services.into_inner().services;
    let names: Vec<_> = services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["ctl", "wds", "dms", "nas", "wms", "uim", "wda", "imsa"]);
    rig.stop().await
}

fn by_hand(service: u32, message: u32, tlvs: &[(u32, &[u8])]) -> ExecuteQmiRequestRequest {
    let tlvs = tlvs.iter().map(|(kind, value)| QmiTlv {
        r#type: *kind,
        value: value.to_vec().into(),
    });
    ExecuteQmiRequestRequest {
        service,
        message,
        tlvs: tlvs.collect(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_by_hand_are_answered_unless_the_broker_relies_on_it() -> anyhow::Result<()> {
    let rig = told(Setup::default()).await?;
    let mut diagnostics = rig.broker().diagnostics();
    // DMS Get Model, and WMS List Messages of the SIM.
    let model = diagnostics
        .execute_qmi_request(by_hand(2, 0x22, &[]))
        .await?
        .into_inner();
    let text = model
        .tlvs
        .iter()
        .find(|tlv| tlv.r#type == 1)
        .map(|tlv| tlv.value.to_vec());
    assert_eq!((model.error, text.as_deref()), (None, Some(&b"SIMCOM_SIM7600G-H"[..])));
    let list = diagnostics
        .execute_qmi_request(by_hand(5, 0x31, &[(1, &[0])]))
        .await?
        .into_inner();
    assert_eq!(list.tlvs.len(), 1, "{list:?}");
    // Its error is an answer too.
    let unknown = diagnostics
        .execute_qmi_request(by_hand(3, 0x5555, &[]))
        .await?
        .into_inner();
    assert_eq!(
        (unknown.error, unknown.error_name.as_str()),
        (Some(71), "unknown message")
    );
    for (request, expected) in [
        (by_hand(0, 0x27, &[]), ErrorReason::QmiRequestDenied),
        (by_hand(1, 0x20, &[]), ErrorReason::QmiRequestDenied),
        (by_hand(11, 0x30, &[(1, &[1])]), ErrorReason::QmiRequestDenied),
        (by_hand(256, 0x30, &[]), ErrorReason::FieldInvalid),
        (by_hand(3, 0x33, &[(1, &[0; 5000])]), ErrorReason::FieldInvalid),
        (by_hand(0x77, 1, &[]), ErrorReason::Refused),
    ] {
        let refused = diagnostics.execute_qmi_request(request.clone()).await;
        let refused = refused.expect_err("it is refused");
        assert_eq!(reason(&refused), Some(expected), "{request:?}: {refused:?}");
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_qmi_port_or_permission_the_refusal_says_so() -> anyhow::Result<()> {
    let rig = Rig::with(Setup {
        naming: Naming::Path,
        raw_at: false,
        ..Setup::default()
    })
    .await?;
    let cells = rig.broker().network().get_cells(GetCellsRequest::default()).await;
    assert_eq!(reason(&cells.expect_err("no port")), Some(ErrorReason::QmiNotAvailable));
    let restarted = rig.broker().sims().restart_sim(RestartSimRequest::default()).await;
    assert_eq!(
        reason(&restarted.expect_err("no port")),
        Some(ErrorReason::QmiNotAvailable)
    );
    let by_hand = rig
        .broker()
        .diagnostics()
        .execute_qmi_request(by_hand(2, 0x22, &[]))
        .await;
    assert_eq!(
        reason(&by_hand.expect_err("not enabled")),
        Some(ErrorReason::NotEnabled)
    );
    rig.stop().await
}
