//! The same bearer by MBIM: composition 9003, whose port has the driver `cdc_mbim`.

use api::v1::{
    Bearer, BearerState, CallState, ErrorReason, FailurePersistence, GetNetworkStatusRequest, MessageState, PortRole,
    PortState, RegistrationState, SendMessageRequest, send_message_request::Content,
};
use end_to_end::{LIMIT, Process, Rig, until};
use nix::sys::signal::Signal;
use simulator::{CallAudio, PacketNetwork, RegistrationState as Granted};

use crate::namespace::{
    HOST_V4, HOST_V6, INTERFACE, MBIM, bearer, connect, disconnect, inside, ping, ready, setup, traces,
};
use crate::refusing::each_refusal;
use crate::voice;

async fn rig(modem: &str) -> anyhow::Result<Rig> {
    Rig::with(setup(MBIM, modem)).await
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn packets_go_beside_a_call_and_a_message_and_nothing_is_left_behind() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("[modem.data]\nip = \"ipv4v6\"\n").await?;
        ready(&rig).await?;
        let modem = rig.ready("sim1").await?;
        let port = modem.ports.iter().find(|port| port.role() == PortRole::Mbim);
        assert_eq!(port.map(|port| port.state()), Some(PortState::Open));
        assert!(!modem.ports.iter().any(|port| port.role() == PortRole::Qmi));
        assert!(!ping(HOST_V4).await?, "no packet goes without a session");
        let connected = connect(&rig, "internet").await?;
        assert_eq!(
            (connected.state(), connected.interface.as_str(), connected.mtu),
            (BearerState::Connected, INTERFACE, Some(1420))
        );
        assert_eq!(connected.addresses, ["10.64.0.2/30", "2001:db8:0:1::2/64"]);
        assert_eq!(connected.name_servers.len(), 3);
        assert!(ping(HOST_V4).await? && ping(HOST_V6).await?, "packets go");

        let mut news = rig.news().await?;
        let (call, stream) = voice::answered(&rig, CallAudio::Counter).await?;
        assert!(ping(HOST_V4).await?, "during the call");
        let request = SendMessageRequest {
            address: "+447700900124".to_owned(),
            content: Some(Content::Text("during the call".to_owned())),
            ..Default::default()
        };
        rig.broker().sms().send_message(request).await?;
        news.message("a message goes out", |message| message.state() == MessageState::Sent)
            .await?;
        rig.sim().hang_up().await?;
        news.call("the call is over", |over| {
            over.call_id == call.call_id && over.state() == CallState::Disconnected
        })
        .await?;
        drop(stream);
        assert!(ping(HOST_V4).await?, "the session outlives the call");
        assert_eq!(disconnect(&rig).await?.state(), BearerState::Disconnected);
        assert!(!ping(HOST_V4).await?);
        assert_eq!(traces()?, [] as [&str; 0], "nothing is left behind");
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn every_refusal_of_the_network_is_told_apart_and_says_what_to_do() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("").await?;
        ready(&rig).await?;
        each_refusal(&rig).await?;
        // One that the firmware holds is ended first.
        let held = PacketNetwork {
            held_by_firmware: true,
            ..PacketNetwork::default()
        };
        rig.sim().set_packet_network(held).await?;
        assert_eq!(connect(&rig, "").await?.state(), BearerState::Connected);
        rig.sim().set_registration(None, Granted::Denied).await?;
        let told = until("the session is over", LIMIT, async || {
            let bearer = bearer(&rig).await?;
            Ok((bearer.state() == BearerState::Disconnected).then_some(bearer))
        })
        .await?;
        assert_eq!(told.persistence(), FailurePersistence::Transient);
        until("the broker knows that it is denied", LIMIT, async || {
            let refused = connect(&rig, "").await.err();
            Ok(refused.filter(|refused| end_to_end::reason(refused) == Some(ErrorReason::NotRegistered)))
        })
        .await?;
        rig.stop().await
    })
}

/// MBIM has no value for *either protocol*.
#[test]
#[ignore = "needs root and /dev/net/tun"]
fn either_protocol_is_chap_and_then_pap() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("[modem.carrier]\nuser = \"u\"\npassword = \"p\"\nauthentication = \"both\"\n").await?;
        ready(&rig).await?;
        const PAP: u32 = 1;
        let packet = PacketNetwork {
            credentials: Some(("u".to_owned(), "p".to_owned())),
            protocol: Some(PAP),
            ..PacketNetwork::default()
        };
        rig.sim().set_packet_network(packet).await?;
        assert_eq!(connect(&rig, "").await?.state(), BearerState::Connected);
        let tried = rig.sim().books().await?.sessions.records;
        let tried: Vec<_> = tried
            .iter()
            .map(|record| (record.authentication, record.refused))
            .collect();
        assert_eq!(tried, [(Some(2), Some((6, 29))), (Some(1), None)]);
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_session_that_the_network_ends_is_told_with_its_reason_and_data_does_not_roam() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("").await?;
        ready(&rig).await?;
        for (number, said, persistence) in [
            (39, "reactivation requested (3GPP 39)", FailurePersistence::Transient),
            (
                33,
                "service option not subscribed (3GPP 33)",
                FailurePersistence::Permanent,
            ),
        ] {
            connect(&rig, "").await?;
            let mut news = rig.news().await?;
            rig.sim().end_sessions(6, number).await?;
            let ended = news
                .bearer("it is told", |bearer| bearer.state() == BearerState::Disconnected)
                .await?;
            assert!(ended.detail.contains(said), "{}", ended.detail);
            assert_eq!(ended.persistence(), persistence);
            assert_eq!(traces()?, [] as [&str; 0]);
        }
        connect(&rig, "").await?;
        let mut news = rig.news().await?;
        rig.sim().set_registration(None, Granted::Roaming).await?;
        let stopped = news
            .bearer("data stops", |bearer| bearer.state() == BearerState::Disconnected)
            .await?;
        assert!(stopped.detail.contains("roaming = true"), "{}", stopped.detail);
        let refused = connect(&rig, "").await.unwrap_err();
        assert_eq!(end_to_end::reason(&refused), Some(ErrorReason::RoamingNotAllowed));
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_session_that_is_slow_is_given_up_by_a_request_and_by_pulling_the_cable() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("").await?;
        ready(&rig).await?;
        let slow = PacketNetwork {
            start_after_ms: 50_000,
            ..PacketNetwork::default()
        };
        rig.sim().set_packet_network(slow).await?;
        let connecting = |bearer: &Bearer| bearer.state() == BearerState::Connecting;
        let mut news = rig.news().await?;
        let give_up = async {
            news.bearer("it is connecting", connecting).await?;
            anyhow::Ok(disconnect(&rig).await?)
        };
        let both = async { tokio::join!(connect(&rig, ""), give_up) };
        let (connected, disconnected) = tokio::time::timeout(LIMIT, both).await?;
        assert_eq!(
            end_to_end::reason(&connected.unwrap_err()),
            Some(ErrorReason::BearerFailed)
        );
        assert_eq!(disconnected?.state(), BearerState::Disconnected);

        let mut news = rig.news().await?;
        let pull = async {
            news.bearer("it is connecting again", connecting).await?;
            rig.sim().unplug().await?;
            news.bearer("it is gone", |bearer| bearer.state() == BearerState::NotReady)
                .await
        };
        let both = async { tokio::join!(connect(&rig, ""), pull) };
        let (connected, gone) = tokio::time::timeout(LIMIT, both).await?;
        gone?;
        // Whichever is seen first: that the port closed, or that the modem is gone.
        let reason = end_to_end::reason(&connected.unwrap_err());
        let expected = [ErrorReason::ModemDisconnected, ErrorReason::BearerFailed];
        assert!(reason.is_some_and(|reason| expected.contains(&reason)), "{reason:?}");
        assert_eq!(traces()?, [] as [&str; 0]);
        // Put back, it is as good as new; until then it is refused, and that at once.
        rig.sim().set_packet_network(PacketNetwork::default()).await?;
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

/// The function is still open, with the session of the broker that was killed, and says so to nobody.
#[test]
#[ignore = "needs root and /dev/net/tun"]
fn what_a_killed_broker_left_in_the_function_and_on_the_link_is_ended_by_the_next_one() -> anyhow::Result<()> {
    inside(async || {
        let rig = Rig::prepare(setup(MBIM, "")).await?;
        let mut first = Process::broker(rig.path(), rig.configuration())?;
        let broker = first.connect(&rig.endpoint()).await?;
        end_to_end::binaries::ready(&broker, "sim1").await?;
        let mut network = broker.network();
        until("the bearer is connected", LIMIT, async || {
            let request = api::v1::ConnectBearerRequest::default();
            Ok(network.connect_bearer(request).await.ok())
        })
        .await?;
        first.signal(Signal::SIGKILL)?;
        first.ended(LIMIT).await?;
        drop((network, broker, first));
        assert!(!traces()?.is_empty(), "a killed one cannot clean up");
        assert_eq!(rig.sim().status().await?.sessions.len(), 1, "the function goes on");

        let second = Process::broker(rig.path(), rig.configuration())?;
        let broker = second.connect(&rig.endpoint()).await?;
        let mut network = broker.network();
        until("the bearer is ready", LIMIT, async || {
            let answer = network.get_bearer(api::v1::GetBearerRequest::default()).await?;
            let bearer = answer.into_inner().bearer.unwrap_or_default();
            Ok((bearer.state() == BearerState::Disconnected).then_some(()))
        })
        .await?;
        assert_eq!(traces()?, [] as [&str; 0], "stale addresses and routes are gone");
        assert_eq!(rig.sim().status().await?.sessions.len(), 0, "the old session is over");
        drop(second);
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn the_signal_and_the_registration_reach_the_status_and_a_silent_port_is_opened_again() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("").await?;
        ready(&rig).await?;
        rig.ready("sim1").await?;
        let status = async |what: &str, fits: fn(&api::v1::NetworkStatus) -> bool| {
            until(what, LIMIT, async || {
                let request = GetNetworkStatusRequest::default();
                let answer = rig.broker().network().get_network_status(request).await?;
                Ok(answer.into_inner().status.filter(fits))
            })
            .await
        };
        status("it is registered", |status| {
            status.evolved_packet() == RegistrationState::Home
        })
        .await?;
        rig.sim().set_registration(None, Granted::Roaming).await?;
        status("it roams", |status| status.roaming).await?;
        rig.sim().set_registration(None, Granted::Home).await?;

        let silent = PacketNetwork {
            silent: true,
            ..PacketNetwork::default()
        };
        rig.sim().set_packet_network(silent).await?;
        rig.sim().unplug().await?;
        rig.sim().replug(false).await?;
        let mut news = rig.news().await?;
        let is_silent = |modem: &api::v1::Modem| {
            let port = modem.ports.iter().find(|port| port.role() == PortRole::Mbim);
            port.is_some_and(|port| port.state() == PortState::Silent)
        };
        until("the port is silent", LIMIT, async || {
            Ok(is_silent(&rig.ready("sim1").await?).then_some(()))
        })
        .await?;
        rig.sim().set_packet_network(PacketNetwork::default()).await?;
        news.bearer("it is opened again", |bearer| {
            bearer.state() == BearerState::Disconnected
        })
        .await?;
        assert_eq!(connect(&rig, "").await?.state(), BearerState::Connected);
        rig.stop().await
    })
}
