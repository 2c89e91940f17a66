//! What can be configured of a bearer, seen from the network: its books say what it was asked for.

use std::process::Command;
use std::time::{Duration, Instant};

use api::v1::{BearerState, FailurePersistence};
use end_to_end::lab::way_to;
use end_to_end::{LIMIT, Rig, until};
use simulator::PacketNetwork;

use crate::namespace::{
    HOST_V4, HOST_V6, INTERFACE, MBIM, QMI, connect, disconnect, inside, ping, ready, rig, setup, traces,
};

/// Types of DHCP messages (RFC 2132 9.6).
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

fn said_of_the_link() -> anyhow::Result<String> {
    let output = Command::new("ip").args(["link", "show", INTERFACE]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn access_points_profiles_credentials_packet_size_and_delay_are_what_the_configuration_says() -> anyhow::Result<()> {
    const DELAY: Duration = Duration::from_secs(1);
    inside(async || {
        let begin = Instant::now();
        let rig = rig("[modem.carrier]\ndata_apn = \"internet\"\nuser = \"web\"\npassword = \"open sesame\"\n\
             authentication = \"both\"\n[modem.data]\nip = \"ipv4v6\"\nprofile = 2\nprofile_v6 = 3\napn_v6 = \"internet6\"\n\
             mtu = 1400\ndelay_seconds = 1\n")
        .await?;
        ready(&rig).await?;
        assert!(begin.elapsed() >= DELAY, "the port was left alone");
        let packet = PacketNetwork {
            apn: Some("internet".to_owned()),
            apn_v6: Some("internet6".to_owned()),
            credentials: Some(("web".to_owned(), "open sesame".to_owned())),
            ..PacketNetwork::default()
        };
        rig.sim().set_packet_network(packet).await?;
        let both = connect(&rig, "").await?;
        assert_eq!(both.addresses, ["10.64.0.2/30", "2001:db8:0:1::2/64"]);
        assert!(ping(HOST_V4).await? && ping(HOST_V6).await?);
        let books = rig.sim().books().await?;
        let asked: Vec<_> = books
            .sessions
            .records
            .iter()
            .map(|session| {
                let names = (session.apn.as_str(), session.user.as_str());
                (session.family, names, session.profile, session.authentication)
            })
            .collect();
        let expected = [
            (4, ("internet", "web"), Some(2), Some(3)),
            (6, ("internet6", "web"), Some(3), Some(3)),
        ];
        assert_eq!(asked, expected);
        assert_eq!(both.mtu, Some(1400));
        let link = said_of_the_link()?;
        assert!(link.contains("mtu 1400 "), "{link}");
        disconnect(&rig).await?;
        // Whoever names an access point means that one, for both.
        assert_eq!(connect(&rig, "internet").await?.addresses, ["10.64.0.2/30"]);
        let books = rig.sim().books().await?;
        let last = books.sessions.records.back().expect("there was a session");
        assert_eq!((last.family, last.apn.as_str()), (6, "internet"));
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn without_a_default_route_the_machine_keeps_its_ways() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("[modem.data]\ndefault_route = false\n").await?;
        ready(&rig).await?;
        connect(&rig, "").await?;
        assert_eq!(way_to(HOST_V4)?, None);
        let output = Command::new("ip").args(["route", "show", "table", "109"]).output()?;
        let own_table = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(own_table.contains(&format!("default dev {INTERFACE}")), "{own_table}");
        disconnect(&rig).await?;
        assert_eq!(traces()?, [] as [&str; 0]);
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn an_address_that_the_settings_do_not_hold_comes_by_dhcp_and_is_prolonged_until_it_is_taken_back() -> anyhow::Result<()>
{
    by_dhcp(QMI)
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn an_address_comes_by_dhcp_also_where_mbim_tells_none() -> anyhow::Result<()> {
    by_dhcp(MBIM)
}

fn by_dhcp(product: u16) -> anyhow::Result<()> {
    inside(async || {
        let rig = Rig::with(setup(product, "")).await?;
        // The kernel drops what comes in by another way than it would go out.
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1")?;
        ready(&rig).await?;
        let leased = PacketNetwork {
            lease_seconds: Some(2),
            ..PacketNetwork::default()
        };
        rig.sim().set_packet_network(leased.clone()).await?;
        let mut news = rig.news().await?;
        let connected = connect(&rig, "").await?;
        assert_eq!(
            (connected.addresses.as_slice(), connected.mtu),
            (&["10.64.0.2/30".to_owned()][..], Some(1420))
        );
        assert_eq!(connected.name_servers, ["192.0.2.53", "198.51.100.53"]);
        assert!(ping(HOST_V4).await?, "packets go");
        let books = until("the lease is prolonged twice", LIMIT, async || {
            let books = rig.sim().books().await?;
            let prolonged = books.leases.records.iter().filter(|lease| lease.is_renewal).count();
            Ok((prolonged >= 2).then_some(books))
        })
        .await?;
        let asked: Vec<u8> = books.leases.records.iter().map(|lease| lease.asked).collect();
        assert_eq!(asked[..4], [DISCOVER, REQUEST, REQUEST, REQUEST], "{asked:?}");
        assert!(books.leases.records.iter().skip(1).all(|lease| lease.answered == ACK));
        assert!(ping(HOST_V4).await?, "and still go");
        rig.sim()
            .set_packet_network(PacketNetwork {
                lease_refused: true,
                ..leased
            })
            .await?;
        let ended = news
            .bearer("it is told", |bearer| {
                bearer.state() == BearerState::Disconnected && !bearer.detail.is_empty()
            })
            .await?;
        assert!(
            ended.detail.contains("took the address 10.64.0.2 back"),
            "{}",
            ended.detail
        );
        assert_eq!(ended.persistence(), FailurePersistence::Transient);
        assert_eq!(traces()?, [] as [&str; 0]);
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn where_only_the_settings_count_none_of_them_is_no_address() -> anyhow::Result<()> {
    inside(async || {
        let rig = rig("[modem.data]\naddresses = \"settings\"\n").await?;
        ready(&rig).await?;
        let leased = PacketNetwork {
            lease_seconds: Some(60),
            ..PacketNetwork::default()
        };
        rig.sim().set_packet_network(leased).await?;
        let refused = connect(&rig, "").await.unwrap_err();
        assert!(refused.message().contains("gave no address"), "{}", refused.message());
        assert_eq!(rig.sim().books().await?.leases.total(), 0);
        rig.stop().await
    })
}
