//! Sessions whose IPv6 address no settings tell: the kernel forms it from what the network's router advertises.

use std::process::Command;

use api::v1::{Bearer, BearerState, ErrorReason, FailurePersistence};
use end_to_end::lab::way_to;
use end_to_end::{Rig, Setup};
use simulator::{Composition, PacketNetwork};

use crate::namespace::{HOST_V4, HOST_V6, INTERFACE, connect, disconnect, inside, ping, ready, rig, traces};

const NAME_SERVER: &str = "2001:db8:0:53::1";
/// What a session is told where it is told an address.
const TOLD: &str = "2001:db8:0:1::2/64";

fn advertised() -> PacketNetwork {
    PacketNetwork {
        advertised_only: true,
        ..PacketNetwork::default()
    }
}

fn ip(arguments: &str) -> anyhow::Result<String> {
    let output = Command::new("ip").args(arguments.split(' ')).output()?;
    anyhow::ensure!(output.status.success(), "ip {arguments}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The default routes are the broker's: the kernel, which hears the router as well, adds none.
fn only_routes_of_the_broker() -> anyhow::Result<()> {
    let routes = ip("-6 route show table all")?;
    for line in routes.lines().filter(|line| line.starts_with("default")) {
        anyhow::ensure!(line.contains("proto 109"), "{routes}");
    }
    Ok(())
}

async fn carries_advertised(bearer: &Bearer) -> anyhow::Result<()> {
    let [address] = bearer.addresses.as_slice() else {
        anyhow::bail!("one address: {:?}", bearer.addresses);
    };
    anyhow::ensure!(
        address.starts_with("2001:db8:0:1:") && address.ends_with("/64"),
        "{address}"
    );
    anyhow::ensure!(address != TOLD, "nobody told it");
    anyhow::ensure!(bearer.name_servers == [NAME_SERVER], "{:?}", bearer.name_servers);
    anyhow::ensure!(ping(HOST_V6).await?, "packets go");
    anyhow::ensure!(way_to(HOST_V6)?.as_deref() == Some(INTERFACE));
    only_routes_of_the_broker()
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn an_ipv6_address_is_formed_from_what_the_router_advertises_and_the_session_ends_with_it() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("[modem.data]\nip = \"ipv6\"\n").await?;
        // A machine that leads packets for others hears no router unless it is told to.
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")?;
        ready(&rig).await?;
        rig.sim().set_packet_network(advertised()).await?;
        for _ in 0..2 {
            carries_advertised(&connect(&rig, "").await?).await?;
            disconnect(&rig).await?;
            assert_eq!(traces()?, [] as [&str; 0]);
        }
        // As the kernel does it when the lifetime of a prefix is over.
        let bearer = connect(&rig, "").await?;
        let mut news = rig.news().await?;
        ip(&format!("-6 address delete {} dev {INTERFACE}", bearer.addresses[0]))?;
        let ended = news
            .bearer("it is told", |bearer| bearer.state() == BearerState::Disconnected)
            .await?;
        assert!(ended.detail.contains("not advertised any more"), "{}", ended.detail);
        assert_eq!(ended.persistence(), FailurePersistence::Transient);
        assert_eq!(traces()?, [] as [&str; 0]);
        carries_advertised(&connect(&rig, "").await?).await?;
        rig.stop().await
    })
}

/// With the interface identifier that the network chose, which MBIM tells as an address of the link.
#[test]
#[ignore = "needs root and /dev/net/tun"]
fn an_address_of_the_link_says_how_the_other_one_is_formed() -> anyhow::Result<()> {
    inside(async || {
        let mut mbim = Setup::default().modems.remove(0);
        mbim.composition = Composition::find(0x9003).unwrap_or(Composition::DEFAULT);
        let rig = Rig::with(Setup {
            modems: vec![mbim],
            tun: Some(INTERFACE.to_owned()),
            modem: "[modem.data]\nip = \"ipv4v6\"\n".to_owned(),
            ..Setup::default()
        })
        .await?;
        ready(&rig).await?;
        rig.sim().set_packet_network(advertised()).await?;
        let bearer = connect(&rig, "").await?;
        assert_eq!(bearer.addresses, ["10.64.0.2/30", TOLD]);
        assert_eq!(bearer.name_servers, ["192.0.2.53", "198.51.100.53", NAME_SERVER]);
        assert!(ping(HOST_V4).await? && ping(HOST_V6).await?);
        only_routes_of_the_broker()?;
        disconnect(&rig).await?;
        assert_eq!(traces()?, [] as [&str; 0]);
        rig.stop().await
    })
}

/// What the router of every network says would otherwise be a second address, and a way to the internet that nobody asked for.
#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_session_with_known_addresses_asks_no_router_and_gets_no_route_of_its() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("[modem.data]\nip = \"ipv6\"\n").await?;
        ready(&rig).await?;
        assert_eq!(connect(&rig, "").await?.addresses, [TOLD]);
        // Packets are carried in order: one that was sent when the link came up was answered before this one.
        assert!(ping(HOST_V6).await?);
        assert_eq!(rig.sim().books().await?.solicitations, 0);
        only_routes_of_the_broker()?;
        disconnect(&rig).await?;
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn where_no_router_answers_ipv4_goes_alone_and_ipv6_says_what_to_do() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("[modem.data]\nip = \"ipv4v6\"\n").await?;
        ready(&rig).await?;
        let silent = PacketNetwork {
            router_silent: true,
            ..advertised()
        };
        rig.sim().set_packet_network(silent.clone()).await?;
        assert_eq!(connect(&rig, "").await?.addresses, ["10.64.0.2/30"]);
        assert!(ping(HOST_V4).await? && !ping(HOST_V6).await?);
        assert!(rig.sim().books().await?.solicitations > 0);
        rig.stop().await?;

        let rig = crate::namespace::rig("[modem.data]\nip = \"ipv6\"\n").await?;
        ready(&rig).await?;
        rig.sim().set_packet_network(silent).await?;
        // What the machine itself does not want takes no time.
        let switch = format!("/proc/sys/net/ipv6/conf/{INTERFACE}/disable_ipv6");
        std::fs::write(&switch, "1")?;
        refused(
            &rig,
            "sysctl net.ipv6.conf.wwan0.disable_ipv6=0",
            FailurePersistence::Permanent,
        )
        .await?;
        std::fs::write(&switch, "0")?;
        refused(
            &rig,
            "no router advertises one through wwan0",
            FailurePersistence::Transient,
        )
        .await?;
        rig.stop().await
    })
}

async fn refused(rig: &Rig, said: &str, persistence: FailurePersistence) -> anyhow::Result<()> {
    let refused = connect(rig, "").await.unwrap_err();
    assert_eq!(end_to_end::reason(&refused), Some(ErrorReason::BearerFailed));
    assert!(refused.message().contains(said), "{}", refused.message());
    let after = crate::namespace::bearer(rig).await?;
    assert_eq!(
        (after.state(), after.persistence()),
        (BearerState::Disconnected, persistence)
    );
    assert_eq!(traces()?, [] as [&str; 0]);
    Ok(())
}
