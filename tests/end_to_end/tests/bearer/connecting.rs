//! Sessions that come up, carry packets beside calls and messages, and go down again.

use std::net::{IpAddr, Ipv4Addr};

use api::v1::send_message_request::Content;
use api::v1::stream_call_response::Response;
use api::v1::{BearerState, CallState, FailurePersistence, MessageState, SendMessageRequest};
use broker::net::address::{Layout, Link};
use end_to_end::{LIMIT, Process, Rig, Setup, until};
use nix::sys::signal::Signal;
use simulator::CallAudio;

use crate::namespace::{HOST_V4, HOST_V6, INTERFACE, bearer, connect, disconnect, inside, ping, ready, rig, traces};
use crate::voice;

/// What the guide wanted composition 1025 for: voice, messages and data at the same time, on 9001.
#[test]
#[ignore = "needs root and /dev/net/tun"]
fn pings_are_answered_while_a_call_carries_audio_and_messages_come_and_go() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("").await?;
        let before = ready(&rig).await?;
        assert_eq!(
            (before.state(), before.interface.as_str()),
            (BearerState::Disconnected, INTERFACE)
        );
        assert!(!ping(HOST_V4).await?, "no packet goes without a session");
        let connected = connect(&rig, "internet").await?;
        assert_eq!(connected.state(), BearerState::Connected);
        assert_eq!(
            (connected.addresses.as_slice(), connected.mtu),
            (&["10.64.0.2/30".to_owned()][..], Some(1420))
        );
        assert_eq!(connected.name_servers, ["192.0.2.53", "198.51.100.53"]);
        assert!(ping(HOST_V4).await?, "packets go");

        let mut news = rig.news().await?;
        let (call, mut stream) = voice::answered(&rig, CallAudio::Counter).await?;
        let mut counter = voice::Counter::default();
        for round in 0..10 {
            voice::read(&mut stream, "audio", |response| match response {
                Response::Audio(frame) => Some(frame),
                _ => None,
            })
            .await
            .and_then(|frame| counter.take(&frame))?;
            assert!(ping(HOST_V4).await?, "ping {round} during the call");
        }
        rig.sim().deliver_text("+447700900123", "during the call").await?;
        news.message("a message comes in", |message| message.text == "during the call")
            .await?;
        let request = SendMessageRequest {
            address: "+447700900124".to_owned(),
            content: Some(Content::Text("during the call as well".to_owned())),
            ..Default::default()
        };
        rig.broker().sms().send_message(request).await?;
        news.message("a message goes out", |message| message.state() == MessageState::Sent)
            .await?;
        assert!(ping(HOST_V4).await?, "after both messages");
        let alive = rig.sim().status().await?;
        assert!(alive.audio && alive.calls.len() == 1, "the call is still up: {alive:?}");

        rig.sim().hang_up().await?;
        news.call("the call is over", |over| {
            over.call_id == call.call_id && over.state() == CallState::Disconnected
        })
        .await?;
        assert!(
            counter.samples > 0 && ping(HOST_V4).await?,
            "the session outlives the call"
        );
        let disconnected = disconnect(&rig).await?;
        assert_eq!(
            (disconnected.state(), disconnected.addresses.len()),
            (BearerState::Disconnected, 0)
        );
        assert!(!ping(HOST_V4).await?);
        assert_eq!(traces()?, [] as [&str; 0], "nothing is left behind");
        rig.stop().await
    })
}

/// The virtual driver looks a few hundred times a second.
async fn link_is_down(rig: &Rig) -> anyhow::Result<()> {
    let operstate = rig.path().join(format!("sim1/sys/class/net/{INTERFACE}/operstate"));
    until("the virtual driver sees that the link is down", LIMIT, async || {
        let state = std::fs::read_to_string(&operstate)?;
        Ok((state.trim() == "down").then_some(()))
    })
    .await
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn with_ethernet_headers_every_packet_is_lost_and_connecting_sets_raw_ip_again() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("").await?;
        ready(&rig).await?;
        let raw_ip = rig.path().join(format!("sim1/sys/class/net/{INTERFACE}/qmi/raw_ip"));
        assert_eq!(std::fs::read_to_string(&raw_ip)?.trim(), "N", "the driver's default");
        connect(&rig, "").await?;
        assert_eq!(std::fs::read_to_string(&raw_ip)?.trim(), "Y");
        assert!(ping(HOST_V4).await?);
        // The attribute is taken while the link is down.
        let mut link = Link::find(INTERFACE)?;
        link.set_up(false)?;
        link_is_down(&rig).await?;
        std::fs::write(&raw_ip, "N\n")?;
        link.configure(&Layout {
            addresses: vec![(IpAddr::V4(Ipv4Addr::new(10, 64, 0, 2)), 30)],
            metric: Some(700),
            ..Layout::default()
        })?;
        for _ in 0..3 {
            assert!(!ping(HOST_V4).await?, "all packets are lost");
        }
        disconnect(&rig).await?;
        link_is_down(&rig).await?;
        connect(&rig, "").await?;
        assert!(ping(HOST_V4).await?, "packets go again");
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn both_families_come_up_and_one_is_enough() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("[modem.data]\nip = \"ipv4v6\"\n").await?;
        ready(&rig).await?;
        let both = connect(&rig, "").await?;
        assert_eq!(both.addresses, ["10.64.0.2/30", "2001:db8:0:1::2/64"]);
        assert!(ping(HOST_V4).await? && ping(HOST_V6).await?);
        disconnect(&rig).await?;
        assert_eq!(traces()?, [] as [&str; 0]);
        for (only, address, host) in [(4, "10.64.0.2/30", HOST_V4), (6, "2001:db8:0:1::2/64", HOST_V6)] {
            let packet = simulator::PacketNetwork {
                only_family: Some(only),
                ..Default::default()
            };
            rig.sim().set_packet_network(packet).await?;
            assert_eq!(connect(&rig, "").await?.addresses, [address]);
            assert!(ping(host).await?, "IPv{only}");
            disconnect(&rig).await?;
        }
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_session_that_the_network_ends_is_told_with_its_reason_and_can_be_connected_again() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("").await?;
        ready(&rig).await?;
        for (layer, number, said, persistence) in [
            (6, 39, "reactivation requested (3GPP 39)", FailurePersistence::Transient),
            (
                6,
                33,
                "service option not subscribed (3GPP 33)",
                FailurePersistence::Permanent,
            ),
        ] {
            connect(&rig, "").await?;
            assert!(ping(HOST_V4).await?);
            let mut news = rig.news().await?;
            rig.sim().end_sessions(layer, number).await?;
            let ended = news
                .bearer("it is told", |bearer| bearer.state() == BearerState::Disconnected)
                .await?;
            assert!(ended.detail.contains(said), "{}", ended.detail);
            assert_eq!(ended.persistence(), persistence);
            assert_eq!(traces()?, [] as [&str; 0]);
        }
        // A modem that is pulled and put back has no session, and can have a new one.
        connect(&rig, "").await?;
        let mut news = rig.news().await?;
        rig.sim().unplug().await?;
        news.bearer("it is gone", |bearer| bearer.state() == BearerState::NotReady)
            .await?;
        rig.sim().replug(false).await?;
        news.bearer("it is back", |bearer| bearer.state() == BearerState::Disconnected)
            .await?;
        rig.ready("sim1").await?;
        connect(&rig, "").await?;
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_broker_that_is_killed_leaves_nothing_that_the_next_one_does_not_remove() -> anyhow::Result<()> {
    inside(async || {
        let rig = Rig::prepare(Setup {
            tun: Some(INTERFACE.to_owned()),
            ..Setup::default()
        })
        .await?;
        let mut first = Process::broker(rig.path(), rig.configuration())?;
        let broker = first.connect(&rig.endpoint()).await?;
        end_to_end::binaries::ready(&broker, "sim1").await?;
        let mut network = broker.network();
        until("the bearer is connected", LIMIT, async || {
            Ok(network
                .connect_bearer(api::v1::ConnectBearerRequest::default())
                .await
                .ok())
        })
        .await?;
        assert!(!traces()?.is_empty());
        first.signal(Signal::SIGKILL)?;
        first.ended(LIMIT).await?;
        drop((network, broker, first));
        assert!(!traces()?.is_empty(), "a killed one cannot clean up");

        let second = Process::broker(rig.path(), rig.configuration())?;
        let broker = second.connect(&rig.endpoint()).await?;
        let mut network = broker.network();
        let found = until("the bearer is ready", LIMIT, async || {
            let answer = network.get_bearer(api::v1::GetBearerRequest::default()).await?;
            let bearer = answer.into_inner().bearer.unwrap_or_default();
            Ok((bearer.state() == BearerState::Disconnected).then_some(bearer))
        })
        .await?;
        assert_eq!(found.detail, "");
        assert_eq!(traces()?, [] as [&str; 0], "stale addresses and routes are gone");
        assert_eq!(rig.sim().status().await?.sessions.len(), 0, "the old session is over");
        drop(second);
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_connected_bearer_does_not_roam_unless_it_may() -> anyhow::Result<()> {
    use simulator::RegistrationState::{Home, Roaming};
    inside(async || {
        let rig = rig("").await?;
        ready(&rig).await?;
        connect(&rig, "").await?;
        let mut news = rig.news().await?;
        rig.sim().set_registration(None, Roaming).await?;
        let stopped = news
            .bearer("data stops", |bearer| bearer.state() == BearerState::Disconnected)
            .await?;
        assert!(stopped.detail.contains("roaming = true"), "{}", stopped.detail);
        let refused = connect(&rig, "").await.unwrap_err();
        assert_eq!(
            end_to_end::reason(&refused),
            Some(api::v1::ErrorReason::RoamingNotAllowed)
        );
        rig.sim().set_registration(None, Home).await?;
        until("it may be connected again", LIMIT, async || {
            Ok(connect(&rig, "").await.ok())
        })
        .await?;
        rig.stop().await?;

        let rig = crate::namespace::rig("[modem.data]\nroaming = true\n").await?;
        ready(&rig).await?;
        rig.sim().set_registration(None, Roaming).await?;
        until("the broker knows that it roams", LIMIT, async || {
            let request = api::v1::GetNetworkStatusRequest::default();
            let status = rig
                .broker()
                .network()
                .get_network_status(request)
                .await?
                .into_inner()
                .status;
            Ok(status.filter(|status| status.roaming))
        })
        .await?;
        assert_eq!(connect(&rig, "").await?.state(), BearerState::Connected);
        assert_eq!(bearer(&rig).await?.state(), BearerState::Connected);
        rig.stop().await
    })
}
