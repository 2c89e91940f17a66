//! Data by PPP: the real pppd against the virtual modem in a composition with neither QMI nor MBIM. These need root and
//! `/dev/ppp`, so `cargo test` leaves them out; `tests/run` runs them with `--ignored` in a virtual machine.

#[path = "../bearer/namespace.rs"]
#[expect(dead_code, reason = "the tests of bearers need more of it")]
mod namespace;

use std::net::IpAddr;

use api::v1::{
    Bearer, BearerState, CallState, ErrorReason, FailurePersistence, MessageState, PortRole, PortState,
    SendMessageRequest, send_message_request::Content,
};
use end_to_end::{LIMIT, Process, Rig, Setup, until};
use nix::sys::signal::Signal;
use simulator::{PacketNetwork, RingOptions};

use namespace::{HOST_V4, HOST_V6, bearer, connect, disconnect, inside, ping, ready};

/// The interface of the modem `sim1`.
const INTERFACE: &str = "ppp-sim1";

fn setup(modem: &str) -> Setup {
    Setup {
        // The interface is the kernel's, not the virtual modem's.
        tun: None,
        ..namespace::setup(0x9006, modem)
    }
}

async fn rig(data: &str) -> anyhow::Result<Rig> {
    Rig::with(setup(&format!("[modem.data]\nppp = true\n{data}"))).await
}

fn exists() -> bool {
    std::fs::read_to_string("/proc/thread-self/net/dev").is_ok_and(|devices| devices.contains(INTERFACE))
}

async fn goes_away() -> anyhow::Result<()> {
    until("the interface goes away", LIMIT, async || Ok((!exists()).then_some(()))).await
}

/// What a machine says that cannot do it: on this one one of three things is missing, or nothing.
#[tokio::test]
async fn a_machine_that_lacks_what_ppp_needs_says_what_to_do() -> anyhow::Result<()> {
    let rig = rig("").await?;
    rig.ready("sim1").await?;
    let told = until("the port was opened", LIMIT, async || {
        let bearer = bearer(&rig).await?;
        Ok((!bearer.detail.contains("being opened")).then_some(bearer))
    })
    .await?;
    let helps = ["apt install ppp", "modprobe ppp_async", "CAP_NET_ADMIN", "--with ppp"];
    let is_ready = told.state() == BearerState::Disconnected;
    assert!(
        is_ready || helps.iter().any(|help| told.detail.contains(help)),
        "{}",
        told.detail
    );
    let modem = rig.ready("sim1").await?;
    let roles = [PortRole::At, PortRole::Ppp].map(|role| {
        let port = modem.ports.iter().find(|port| port.role() == role);
        port.map(|port| port.state())
    });
    assert_eq!(roles, [Some(PortState::Open); 2]);
    assert!(!modem.ports.iter().any(|port| port.role() == PortRole::AtCalls));
    rig.stop().await
}

#[tokio::test]
async fn without_being_asked_the_second_port_stays_for_calls_and_the_bearer_says_how() -> anyhow::Result<()> {
    let rig = Rig::with(setup("")).await?;
    let modem = rig.ready("sim1").await?;
    assert!(modem.ports.iter().any(|port| port.role() == PortRole::AtCalls));
    let told = bearer(&rig).await?;
    assert_eq!(told.state(), BearerState::NotReady);
    assert!(told.detail.contains("set ppp = true"), "{}", told.detail);
    rig.stop().await
}

#[test]
#[ignore = "needs root and /dev/ppp"]
fn packets_go_beside_a_call_and_a_message_and_nothing_is_left_behind() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("").await?;
        ready(&rig).await?;
        assert!(!ping(HOST_V4).await?, "no packet goes without a session");
        for _ in 0..2 {
            let connected = connect(&rig, "internet").await?;
            assert_eq!(
                (connected.state(), connected.interface.as_str()),
                (BearerState::Connected, INTERFACE)
            );
            assert_eq!(connected.addresses, ["10.64.0.2/32"]);
            assert_eq!(connected.name_servers.len(), 2, "{:?}", connected.name_servers);
            assert!(ping(HOST_V4).await?, "packets go");

            let mut news = rig.news().await?;
            rig.sim()
                .ring(RingOptions {
                    from: "+447700900123".to_owned(),
                    ..RingOptions::default()
                })
                .await?;
            let ringing = news
                .call("it rings", |call| call.state() == CallState::Incoming)
                .await?;
            let request = SendMessageRequest {
                address: "+447700900124".to_owned(),
                content: Some(Content::Text("during the session".to_owned())),
                ..Default::default()
            };
            rig.broker().sms().send_message(request).await?;
            news.message("a message goes out", |message| message.state() == MessageState::Sent)
                .await?;
            rig.sim().hang_up().await?;
            news.call("the call is over", |over| {
                over.call_id == ringing.call_id && over.state() == CallState::Disconnected
            })
            .await?;
            assert!(ping(HOST_V4).await?, "the session outlives the call");
            assert_eq!(disconnect(&rig).await?.state(), BearerState::Disconnected);
            goes_away().await?;
            assert!(!ping(HOST_V4).await?);
        }
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/ppp"]
fn both_versions_of_ip_go() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("ip = \"ipv4v6\"\n").await?;
        ready(&rig).await?;
        let connected = connect(&rig, "internet").await?;
        let is_v6 = |address: &&String| {
            let (address, _) = address.split_once('/').unwrap_or((address, ""));
            address.parse().is_ok_and(|address: IpAddr| address.is_ipv6())
        };
        assert_eq!(connected.addresses.len(), 2, "{:?}", connected.addresses);
        assert_eq!(
            connected.addresses.iter().filter(is_v6).count(),
            1,
            "{:?}",
            connected.addresses
        );
        assert!(ping(HOST_V4).await? && ping(HOST_V6).await?);
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/ppp"]
fn user_and_password_are_shown_by_either_protocol_and_a_wrong_one_is_told() -> anyhow::Result<()> {
    inside(async || {
        for protocol in ["pap", "chap"] {
            let wanted = format!("[modem.carrier]\nuser = \"u\"\npassword = \"p \"\nauthentication = \"{protocol}\"\n");
            let rig = Rig::with(setup(&format!("{wanted}[modem.data]\nppp = true\n"))).await?;
            ready(&rig).await?;
            let network = |password: &str| PacketNetwork {
                credentials: Some(("u".to_owned(), password.to_owned())),
                ..PacketNetwork::default()
            };
            rig.sim().set_packet_network(network("another")).await?;
            let refused = connect(&rig, "").await.unwrap_err();
            assert_eq!(end_to_end::reason(&refused), Some(ErrorReason::BearerFailed));
            assert!(
                refused.message().contains("refused") && refused.message().contains("user and password"),
                "{refused}"
            );
            assert_eq!(bearer(&rig).await?.persistence(), FailurePersistence::Permanent);
            goes_away().await?;
            rig.sim().set_packet_network(network("p ")).await?;
            assert_eq!(connect(&rig, "").await?.state(), BearerState::Connected, "{protocol}");
            assert!(ping(HOST_V4).await?);
            rig.stop().await?;
        }
        Ok(())
    })
}

#[test]
#[ignore = "needs root and /dev/ppp"]
fn a_wrong_access_point_is_told_and_the_port_takes_the_next_call() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("").await?;
        ready(&rig).await?;
        let network = PacketNetwork {
            apn: Some("internet".to_owned()),
            ..PacketNetwork::default()
        };
        rig.sim().set_packet_network(network).await?;
        let refused = connect(&rig, "nosuch").await.unwrap_err();
        assert_eq!(end_to_end::reason(&refused), Some(ErrorReason::BearerFailed));
        assert!(refused.message().contains("data_apn"), "{refused}");
        goes_away().await?;
        assert_eq!(connect(&rig, "internet").await?.state(), BearerState::Connected);
        assert!(ping(HOST_V4).await?);
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/ppp"]
fn a_session_that_ends_by_itself_is_told_and_the_next_one_works() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("").await?;
        ready(&rig).await?;
        let over = |bearer: &Bearer| bearer.state() == BearerState::Disconnected;
        connect(&rig, "").await?;
        let mut news = rig.news().await?;
        rig.sim().end_sessions(6, 39).await?;
        let told = news.bearer("the network ended it", over).await?;
        assert!(told.detail.contains("ended"), "{}", told.detail);
        assert_eq!(told.persistence(), FailurePersistence::Transient);
        goes_away().await?;

        connect(&rig, "").await?;
        assert!(ping(HOST_V4).await?);
        let mut news = rig.news().await?;
        let killed = std::process::Command::new("pkill")
            .args(["-KILL", "-x", "pppd"])
            .status()?;
        assert!(killed.success());
        news.bearer("pppd was killed", over).await?;

        connect(&rig, "").await?;
        assert!(ping(HOST_V4).await?);
        let mut news = rig.news().await?;
        rig.sim().unplug().await?;
        news.bearer("the modem was pulled", |bearer| bearer.state() == BearerState::NotReady)
            .await?;
        goes_away().await?;
        rig.sim().replug(false).await?;
        let again = until("it is connected again", LIMIT, async || {
            Ok(connect(&rig, "").await.ok())
        })
        .await?;
        assert_eq!(again.state(), BearerState::Connected);
        assert!(ping(HOST_V4).await?);
        rig.stop().await
    })
}

/// The module is still in its data call then, and takes no commands.
#[test]
#[ignore = "needs root and /dev/ppp"]
fn what_a_killed_broker_left_is_ended_by_the_next_one() -> anyhow::Result<()> {
    inside(async || {
        let rig = Rig::prepare(setup("[modem.data]\nppp = true\n")).await?;
        let mut first = Process::broker(rig.path(), rig.configuration())?;
        let broker = first.connect(&rig.endpoint()).await?;
        end_to_end::binaries::ready(&broker, "sim1").await?;
        let connected = async |broker: &client::Broker| {
            let mut network = broker.network();
            until("the bearer is connected", LIMIT, async || {
                let request = api::v1::ConnectBearerRequest::default();
                Ok(network.connect_bearer(request).await.ok())
            })
            .await
        };
        connected(&broker).await?;
        assert!(ping(HOST_V4).await?);
        first.signal(Signal::SIGKILL)?;
        first.ended(LIMIT).await?;
        drop((broker, first));
        goes_away().await?;
        let second = Process::broker(rig.path(), rig.configuration())?;
        let broker = second.connect(&rig.endpoint()).await?;
        connected(&broker).await?;
        assert!(ping(HOST_V4).await?);
        drop((broker, second));
        rig.stop().await
    })
}
