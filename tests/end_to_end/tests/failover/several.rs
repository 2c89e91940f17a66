//! Several modems, and several brokers, in one network namespace.

use api::v1::{ConnectBearerRequest, DisconnectBearerRequest, GetBearerRequest, WanMode, WanRole};
use end_to_end::lab::{BACKUP, Lab, PRIMARY, TARGETS, inside, of_the_broker, way_to};
use end_to_end::{LIMIT, Process, Rig, Setup, until};
use nix::sys::signal::Signal;
use simulator::PacketNetwork;

use crate::namespace::{HOST_V4, ping};
use crate::{force, set_mode, settled};

const NOTHING: [&str; 0] = [];
const OTHER: &str = "wwan1";

/// The broker's routes through an interface.
fn through(interface: &str) -> anyhow::Result<Vec<String>> {
    let is_through = |line: &String| line.contains(&format!("dev {interface} "));
    Ok(of_the_broker()?.into_iter().filter(is_through).collect())
}

/// Different addresses, as two carriers give them.
fn elsewhere() -> PacketNetwork {
    PacketNetwork {
        subnet: 1,
        ..PacketNetwork::default()
    }
}

/// With equal metrics the kernel took the route of the second modem for the replacement of the first one's.
#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_modem_that_connects_leaves_the_routes_of_another_one_as_they_are() -> anyhow::Result<()> {
    inside(async || {
        let first = Setup::default().modems.remove(0);
        let second = simulator::Config {
            imei: "352099001761481".to_owned(),
            ..first.clone()
        };
        let setup = Setup {
            modems: vec![first, second],
            tun: Some(BACKUP.to_owned()),
            ..Setup::default()
        };
        let rig = Rig::with(setup).await?;
        rig.sim_at(1).set_packet_network(elsewhere()).await?;
        let connect = async |modem: &str| {
            let (broker, modem) = (rig.broker(), modem.to_owned());
            until("the bearer is connected", LIMIT, async || {
                let request = ConnectBearerRequest {
                    modem: modem.clone(),
                    ..Default::default()
                };
                Ok(broker.network().connect_bearer(request).await.ok())
            })
            .await
        };
        connect("sim1").await?;
        let alone = through(BACKUP)?;
        assert_eq!(alone.len(), 2, "in the main table and in its own: {alone:?}");
        assert!(alone.iter().any(|route| route.contains("metric 700")), "{alone:?}");
        connect("sim2").await?;
        assert_eq!(through(BACKUP)?, alone);
        let others = through(OTHER)?;
        assert_eq!(others.len(), 2, "{others:?}");
        assert!(others.iter().any(|route| route.contains("metric 701")), "{others:?}");
        assert_eq!(way_to(HOST_V4)?.as_deref(), Some(BACKUP), "the first one is the way");
        let request = DisconnectBearerRequest {
            modem: "sim1".to_owned(),
        };
        rig.broker().network().disconnect_bearer(request).await?;
        assert_eq!((through(BACKUP)?, through(OTHER)?), (Vec::new(), others));
        assert!(ping(HOST_V4).await?, "packets go through the other one");
        rig.stop().await?;
        assert_eq!(of_the_broker()?, NOTHING);
        Ok(())
    })
}

/// Their routes have the same number, so one that starts took what the other one led by for a dead one's.
#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_second_broker_leaves_alone_what_the_first_leads_by_and_leads_when_the_first_is_dead() -> anyhow::Result<()> {
    inside(async || {
        let lab = Lab::build().await?;
        let first = Rig::prepare(lab.setup("mode = \"backup\"\nprofile = \"fast\"", "")).await?;
        let mut process = Process::broker(first.path(), first.configuration())?;
        let broker = process.connect(&first.endpoint()).await?;
        end_to_end::binaries::ready(&broker, "sim1").await?;
        lab.carrier(false).await?;
        let carriers_name_server = async || {
            until("the name servers are the carrier's", LIMIT, async || {
                let written = std::fs::read_to_string(lab.resolv_conf())?;
                Ok(written.contains("192.0.2.53").then_some(()))
            })
            .await
        };
        carriers_name_server().await?;
        let led = of_the_broker()?;
        assert!(!led.is_empty());
        let gone = || -> anyhow::Result<Vec<String>> {
            let now = of_the_broker()?;
            Ok(led
                .iter()
                .filter(|of_the_first| !now.contains(of_the_first))
                .cloned()
                .collect())
        };

        let setup = Setup {
            tun: Some(OTHER.to_owned()),
            ..lab.setup("profile = \"fast\"", "")
        };
        let second = Rig::with(setup).await?;
        second.sim().set_packet_network(elsewhere()).await?;
        assert_eq!(gone()?, NOTHING, "it starts, and is off");
        let lead = async || {
            set_mode(&second, WanMode::Standby).await?;
            force(&second, WanRole::Backup).await?;
            settled(&second, "it is refused", |status| {
                status.active() == WanRole::Backup && status.reason.contains("another broker")
            })
            .await
        };
        lead().await?;
        assert_eq!(gone()?, NOTHING, "it was told to lead");
        set_mode(&second, WanMode::Off).await?;
        until("its bearer is disconnected", LIMIT, async || {
            Ok(through(OTHER)?.is_empty().then_some(()))
        })
        .await?;
        assert_eq!(gone()?, NOTHING, "it gave up what it did not have");
        assert_eq!(way_to(HOST_V4)?.as_deref(), Some(BACKUP));

        lead().await?;
        process.signal(Signal::SIGKILL)?;
        process.ended(LIMIT).await?;
        settled(&second, "it leads", |status| {
            status.active() == WanRole::Backup && !status.reason.contains("another broker")
        })
        .await?;
        assert_eq!(way_to(TARGETS[0])?.as_deref(), Some(OTHER));
        drop(broker);
        // The first one lives again: its bearer's rows go, and those of the second one stay.
        let led_by_second = through(OTHER)?;
        lab.carrier(true).await?;
        let process = Process::broker(first.path(), first.configuration())?;
        let broker = process.connect(&first.endpoint()).await?;
        end_to_end::binaries::ready(&broker, "sim1").await?;
        until("its bearer's rows are gone", LIMIT, async || {
            Ok(through(BACKUP)?.is_empty().then_some(()))
        })
        .await?;
        assert_eq!(through(OTHER)?, led_by_second);
        let bearer = broker.network().get_bearer(GetBearerRequest::default()).await?;
        assert!(bearer.into_inner().bearer.unwrap_or_default().addresses.is_empty());
        second.stop().await?;
        until("everything is clean", LIMIT, async || {
            let name_servers = std::fs::read_to_string(lab.resolv_conf())?;
            let restored = !name_servers.contains("192.0.2.53");
            Ok((of_the_broker()?.is_empty() && restored).then_some(()))
        })
        .await?;
        assert_eq!(way_to(TARGETS[0])?.as_deref(), Some(PRIMARY));
        drop(process);
        first.stop().await
    })
}
