//! Sessions that do not come up: each cause is its own, with what to do, and nothing stays behind.

use api::v1::{BearerState, ErrorReason, FailurePersistence};
use end_to_end::{LIMIT, Rig, until};
use simulator::{PacketNetwork, RegistrationState};
use tonic::Code;

use crate::namespace::{HOST_V4, bearer, connect, disconnect, inside, ping, ready, rig, traces};

/// Each cause of the network, by whatever protocol the session is asked for.
pub async fn each_refusal(rig: &Rig) -> anyhow::Result<()> {
    let open = PacketNetwork::default();
    let cases = [
        (
            PacketNetwork {
                apn: Some("internet".to_owned()),
                ..open.clone()
            },
            Code::FailedPrecondition,
            "unknown access point name (3GPP 27); set data_apn",
        ),
        (
            PacketNetwork {
                credentials: Some(("somebody".to_owned(), "secret".to_owned())),
                ..open.clone()
            },
            Code::FailedPrecondition,
            "user authentication failed (3GPP 29); set user, password",
        ),
        (
            PacketNetwork {
                refuse: Some((6, 33)),
                ..open.clone()
            },
            Code::FailedPrecondition,
            "not subscribed (3GPP 33); ask the carrier",
        ),
        (
            PacketNetwork {
                refuse: Some((6, 26)),
                ..open.clone()
            },
            Code::Unavailable,
            "insufficient resources (3GPP 26); try again",
        ),
        (
            PacketNetwork {
                only_family: Some(6),
                ..open.clone()
            },
            Code::Unavailable,
            "only IPv6 is allowed (3GPP 51); set ip in [modem.data]",
        ),
    ];
    for (packet, code, said) in cases {
        rig.sim().set_packet_network(packet).await?;
        let refused = connect(rig, "nosuch").await.unwrap_err();
        assert_eq!(
            (refused.code(), end_to_end::reason(&refused)),
            (code, Some(ErrorReason::BearerFailed))
        );
        assert!(refused.message().contains(said), "{}", refused.message());
        let after = bearer(rig).await?;
        assert_eq!(after.state(), BearerState::Disconnected);
        let persistence = match code {
            Code::FailedPrecondition => FailurePersistence::Permanent,
            _ => FailurePersistence::Transient,
        };
        assert_eq!(after.persistence(), persistence, "{said}");
        assert!(after.detail.contains(said), "{}", after.detail);
        assert_eq!(traces()?, [] as [&str; 0], "{said}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn every_refusal_of_the_network_is_told_apart_and_says_what_to_do() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("").await?;
        ready(&rig).await?;
        each_refusal(&rig).await?;
        rig.sim().set_packet_network(PacketNetwork::default()).await?;
        rig.sim().set_registration(None, RegistrationState::Denied).await?;
        // Until the broker has heard of it, the network refuses.
        until("the broker knows that it is denied", LIMIT, async || {
            let refused = connect(&rig, "").await.err();
            Ok(refused.filter(|refused| end_to_end::reason(refused) == Some(ErrorReason::NotRegistered)))
        })
        .await?;
        let invalid = connect(&rig, "two words").await.unwrap_err();
        assert_eq!(end_to_end::invalid_fields(&invalid), ["apn"]);
        rig.stop().await
    })
}

/// CallFailed with 236, 237 or 241: the firmware holds a session of its own, which has to be ended for good first.
#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_session_of_the_firmware_is_ended_and_the_start_repeated_once() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("").await?;
        ready(&rig).await?;
        let held = PacketNetwork {
            held_by_firmware: true,
            ..PacketNetwork::default()
        };
        rig.sim().set_packet_network(held).await?;
        assert_eq!(connect(&rig, "").await?.state(), BearerState::Connected);
        assert!(ping(HOST_V4).await?);
        // Whoever connects a connected bearer gets it as it is.
        assert_eq!(connect(&rig, "").await?.state(), BearerState::Connected);
        let other = connect(&rig, "another").await.unwrap_err();
        assert_eq!(end_to_end::invalid_fields(&other), ["apn"]);
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_session_that_is_slow_to_come_up_can_be_given_up() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("").await?;
        ready(&rig).await?;
        let slow = PacketNetwork {
            start_after_ms: 50_000,
            ..PacketNetwork::default()
        };
        rig.sim().set_packet_network(slow).await?;
        let mut news = rig.news().await?;
        let give_up = async {
            news.bearer("it is connecting", |bearer| bearer.state() == BearerState::Connecting)
                .await?;
            anyhow::Ok(disconnect(&rig).await?)
        };
        let both = async { tokio::join!(connect(&rig, ""), give_up) };
        let (connected, disconnected) = tokio::time::timeout(LIMIT, both).await?;
        assert_eq!(
            end_to_end::reason(&connected.unwrap_err()),
            Some(ErrorReason::BearerFailed)
        );
        assert_eq!(disconnected?.state(), BearerState::Disconnected);
        assert_eq!(traces()?, [] as [&str; 0]);
        rig.stop().await
    })
}
