//! From a cable that is plugged in to a modem that works, and back.

use api::v1::{
    AccessTechnology, GetNetworkStatusRequest, GetPortsRequest, GetSignalHistoryRequest, GetSimRequest, ModemHealth,
    ModemStage, PortRole, PortState, RegistrationState, SimState,
};
use end_to_end::{Naming, Rig, Setup};
use simulator::{PinState, Signal};

#[tokio::test(flavor = "multi_thread")]
async fn a_modem_comes_up_with_identity_ports_sim_and_network() -> anyhow::Result<()> {
    let rig = Rig::with(Setup {
        unplugged: true,
        ..Setup::default()
    })
    .await?;
    let sim = rig.sim();
    sim.set_operator("Example Mobile", "26202").await?;
    sim.set_signal(Signal {
        rssi: Some(20),
        rsrp: Some(-97),
        rsrq: Some(-11),
        snr: Some(13),
    })
    .await?;
    let mut journal = rig.journal().await?;
    journal
        .modem("the modem is absent", |modem| modem.stage() == ModemStage::Absent)
        .await?;
    sim.replug(false).await?;
    let modem = journal
        .modem("the modem is ready", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    assert_eq!(
        (modem.name.as_str(), modem.health(), modem.progress_percent),
        ("sim1", ModemHealth::Ok, 100)
    );
    assert_eq!(
        (modem.imei.as_str(), modem.revision.as_str()),
        ("867584030000017", "LE20B04SIM7600G22")
    );
    let usb = modem.usb.clone().unwrap_or_default();
    assert_eq!((usb.composition.as_str(), usb.path.as_str()), ("9001", "1-1"));
    assert!(
        !modem.manufacturer.is_empty() && modem.model.contains("SIM7600"),
        "{modem:?}"
    );

    let stages: Vec<ModemStage> = journal
        .seen()
        .iter()
        .filter_map(|event| match &event.change {
            Some(api::v1::event::Change::ModemChanged(modem)) => Some(modem.stage()),
            _ => None,
        })
        .collect();
    assert!(stages.is_sorted(), "stages are passed in their order: {stages:?}");

    let ports = rig
        .broker()
        .modems()
        .get_ports(GetPortsRequest::default())
        .await?
        .into_inner()
        .ports;
    let state_of = |role| {
        ports
            .iter()
            .find(|port| port.role() == role)
            .map(|port| (port.state(), port.path.ends_with(node_of(role))))
    };
    for (role, state) in [
        (PortRole::At, PortState::Open),
        (PortRole::AtCalls, PortState::Open),
        (PortRole::Audio, PortState::Unused),
        (PortRole::Diagnostics, PortState::Unused),
    ] {
        assert_eq!(state_of(role), Some((state, true)), "{role:?}: {ports:?}");
    }

    let card = rig
        .broker()
        .sims()
        .get_sim(GetSimRequest::default())
        .await?
        .into_inner()
        .sim
        .unwrap_or_default();
    assert_eq!(card.state(), SimState::Ready);
    assert_eq!(
        (card.imsi.as_str(), card.iccid.as_str()),
        ("001010000000001", "8900101000000000017")
    );
    assert_eq!(card.own_numbers, ["+447700900001"]);

    let request = GetNetworkStatusRequest {
        refresh: true,
        ..Default::default()
    };
    let network = rig
        .broker()
        .network()
        .get_network_status(request)
        .await?
        .into_inner()
        .status
        .unwrap_or_default();
    assert_eq!(
        (network.operator_name.as_str(), network.operator_plmn.as_str()),
        ("Example Mobile", "26202")
    );
    let mut service = rig.broker().network();
    let history = service.get_signal_history(GetSignalHistoryRequest::default());
    let history = history.await?.into_inner().signals;
    assert_eq!(history.last(), network.signal.as_ref(), "each measure is kept");
    assert_eq!(
        (network.technology(), network.evolved_packet()),
        (AccessTechnology::Lte, RegistrationState::Home)
    );
    let signal = network.signal.unwrap_or_default();
    assert_eq!(
        (signal.rsrp_dbm, signal.rsrq_db),
        (Some(-97.0), Some(-11.0)),
        "{signal:?}"
    );
    assert!(network.registered && !network.roaming);
    rig.stop().await
}

fn node_of(role: PortRole) -> &'static str {
    match role {
        PortRole::Diagnostics => "ttyUSB0",
        PortRole::At => "ttyUSB2",
        PortRole::AtCalls => "ttyUSB3",
        PortRole::Audio => "ttyUSB4",
        _ => "",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unplugged_modem_is_absent_and_comes_back_under_other_numbers() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    rig.sim().unplug().await?;
    let gone = news
        .modem("the modem is absent", |modem| modem.stage() == ModemStage::Absent)
        .await?;
    assert_eq!(gone.health(), ModemHealth::Failed);
    assert!(!gone.health_reason.is_empty(), "{gone:?}");
    rig.sim().replug(true).await?;
    let back = news
        .modem("the modem is ready again", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    let at = back
        .ports
        .iter()
        .find(|port| port.role() == PortRole::At)
        .map(|port| port.path.clone())
        .unwrap_or_default();
    assert!(at.ends_with("ttyUSB3"), "the AT port has a new number: {at}");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_modems_live_side_by_side() -> anyhow::Result<()> {
    let modem = |imei: &str| simulator::Config {
        imei: imei.to_owned(),
        ..Setup::default().modems.remove(0)
    };
    let modems = vec![modem("867584030000017"), modem("867584030000025")];
    let rig = Rig::with(Setup {
        modems,
        naming: Naming::Path,
        ..Setup::default()
    })
    .await?;
    assert_eq!(rig.ready("sim1").await?.imei, "867584030000017");
    assert_eq!(rig.ready("sim2").await?.imei, "867584030000025");
    let mut news = rig.news().await?;
    rig.sim_at(1).deliver_text("+447700900123", "for the second").await?;
    assert_eq!(
        news.message("the second modem's message", |_| true).await?.modem,
        "sim2"
    );
    rig.sim_at(0).unplug().await?;
    news.modem("the first is absent", |modem| {
        modem.name == "sim1" && modem.stage() == ModemStage::Absent
    })
    .await?;
    rig.sim_at(1).deliver_text("+447700900123", "still there").await?;
    news.message("the second modem goes on", |message| message.text == "still there")
        .await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_over_tcp_work_like_device_nodes() -> anyhow::Result<()> {
    let rig = Rig::with(Setup {
        naming: Naming::Tcp,
        ..Setup::default()
    })
    .await?;
    let modem = rig.ready("sim1").await?;
    assert!(
        modem.ports.iter().all(|port| port.path.starts_with("tcp:127.0.0.1:")),
        "{:?}",
        modem.ports
    );
    let mut news = rig.news().await?;
    rig.sim().deliver_text("+447700900123", "over the wire").await?;
    news.message("a message", |message| message.text == "over the wire")
        .await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_pin_is_entered_and_a_wrong_one_only_once() -> anyhow::Result<()> {
    let locked = || {
        vec![simulator::Config {
            pin: Some("4711".to_owned()),
            ..Setup::default().modems.remove(0)
        }]
    };
    let rig = Rig::with(Setup {
        modems: locked(),
        modem: "pin = \"4711\"".to_owned(),
        ..Setup::default()
    })
    .await?;
    rig.stop().await?;

    let wrong = Setup {
        modems: locked(),
        modem: "pin = \"0815\"".to_owned(),
        unplugged: true,
        ..Setup::default()
    };
    let rig = Rig::with(wrong).await?;
    let mut journal = rig.journal().await?;
    rig.sim().replug(false).await?;
    let refused = |modem: &api::v1::Modem| modem.stage() == ModemStage::Sim && modem.stage_detail.contains("refused");
    let modem = journal.modem("the PIN was refused", refused).await?;
    assert!(modem.stage_detail.contains("2 attempts left"), "{}", modem.stage_detail);
    // The SIM is asked again and again whether it is ready; that must not spend attempts.
    let polls = |books: &simulator::Books| {
        books
            .commands
            .records
            .iter()
            .filter(|command| command.line == "AT+CPIN?")
            .count()
            >= 4
    };
    let books = rig.sim().books_when(end_to_end::LIMIT, polls).await?;
    let entered = books
        .commands
        .records
        .iter()
        .filter(|command| command.line.starts_with("AT+CPIN="))
        .count();
    assert_eq!(entered, 1);
    assert_eq!(rig.sim().status().await?.sim, PinState::Pin);
    rig.stop().await
}
