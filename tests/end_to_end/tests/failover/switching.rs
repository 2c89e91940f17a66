//! Faults of the primary: each is seen, told with its evidence, survived and forgotten again.

use anyhow::Context as _;
use api::v1::{BearerState, GetBearerRequest, GetWanStatusRequest, WanPrimaryState, WanRole};
use end_to_end::lab::{
    BACKUP, Lab, NAME_SERVER, PRIMARY, TARGETS, TARGETS_V6, TCP_PORT, Weather, inside, of_the_broker, way_to,
};
use end_to_end::{LIMIT, Process, Rig, until};
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt as _;

use crate::namespace::{HOST_V4, HOST_V6, ping};
use crate::{check, settled, status};

const NOTHING: [&str; 0] = [];
const SILENT: Weather = Weather {
    silent: true,
    nameless: false,
    loss_percent: 0,
    portal: false,
};

async fn works(rig: &Rig) -> anyhow::Result<()> {
    let good = settled(rig, "the primary works", |status| {
        status.primary_state() == WanPrimaryState::Good
    })
    .await?;
    assert_eq!(
        (good.active(), good.primary_interface.as_str()),
        (WanRole::Primary, PRIMARY)
    );
    assert_eq!(way_to(TARGETS[0])?.as_deref(), Some(PRIMARY));
    Ok(())
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_cable_that_is_pulled_is_survived_with_names_and_connections_and_nothing_is_left_behind() -> anyhow::Result<()> {
    inside(async || {
        let lab = Lab::build().await?;
        let rig = lab
            .rig("mode = \"backup\"\nprofile = \"fast\"\nhold_seconds = 1", "")
            .await?;
        works(&rig).await?;
        assert_eq!(of_the_broker()?, NOTHING, "an idle broker changes nothing");
        let mut connection = tokio::net::TcpStream::connect((TARGETS[0], TCP_PORT)).await?;
        let mut news = rig.news().await?;
        lab.carrier(false).await?;
        let told = news.wan("it fails over", |wan| wan.active() == WanRole::Backup).await?;
        assert!(told.reason.contains("wlan0 has no carrier"), "{}", told.reason);
        assert_eq!((told.backup_interface.as_str(), told.failover_count), (BACKUP, 1));
        assert_eq!(way_to(TARGETS[0])?.as_deref(), Some(BACKUP));
        assert!(ping(HOST_V4).await?, "packets go through the modem");
        let resolv_conf = || std::fs::read_to_string(lab.resolv_conf());
        let written = resolv_conf()?;
        assert!(
            written.contains("192.0.2.53") && !written.contains(&NAME_SERVER.to_string()),
            "{written}"
        );
        // SOCK_DESTROY, where the kernel has it.
        let ended = tokio::time::timeout(LIMIT, connection.read(&mut [0; 1])).await?;
        assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);

        lab.carrier(true).await?;
        let told = news.wan("it returns", |wan| wan.active() == WanRole::Primary).await?;
        assert!(told.reason.contains("wlan0 works"), "{}", told.reason);
        assert_eq!(way_to(TARGETS[0])?.as_deref(), Some(PRIMARY));
        until("the modem is disconnected", LIMIT, async || {
            Ok(of_the_broker()?.is_empty().then_some(()))
        })
        .await?;
        assert_eq!(resolv_conf()?, format!("nameserver {NAME_SERVER}\n"));
        until("the hook was told of it all", LIMIT, async || {
            let log = lab.hook_log();
            let both = log.contains(&"none backup".to_owned()) && log.contains(&"backup primary".to_owned());
            Ok(both.then_some(()))
        })
        .await?;
        rig.stop().await
    })
}

/// With `rp_filter=1` the kernel drops the replies to the probes as soon as the better route is there, and the primary would
/// never work again.
#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_silent_primary_is_left_and_comes_back_even_where_the_kernel_filters_strictly() -> anyhow::Result<()> {
    inside(async || {
        let lab = Lab::build().await?;
        lab.filter_strictly()?;
        let rig = lab
            .rig("mode = \"standby\"\nprofile = \"fast\"\nhold_seconds = 1", "")
            .await?;
        works(&rig).await?;
        settled(&rig, "the modem stands by", |status| {
            status.backup_detail == "connected"
        })
        .await?;
        assert_eq!(way_to(HOST_V4)?.as_deref(), Some(PRIMARY), "it takes nothing over");
        let mut news = rig.news().await?;
        lab.weather(SILENT).await?;
        let told = news.wan("it fails over", |wan| wan.active() == WanRole::Backup).await?;
        assert_eq!(told.primary_state(), WanPrimaryState::NoAnswer);
        for evidence in [
            "dns:203.0.113.1: no answer in time",
            "dns:203.0.113.2: no answer in time",
        ] {
            assert!(told.reason.contains(evidence), "{}", told.reason);
        }
        assert!(ping(HOST_V4).await?);
        lab.weather(Weather::default()).await?;
        news.wan("it returns", |wan| wan.active() == WanRole::Primary).await?;
        assert_eq!(way_to(HOST_V4)?.as_deref(), Some(PRIMARY));
        rig.stop().await?;
        assert_eq!(of_the_broker()?, NOTHING);
        Ok(())
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn names_that_are_not_resolved_and_routes_that_are_gone_are_faults_too() -> anyhow::Result<()> {
    inside(async || {
        let lab = Lab::build().await?;
        let rig = lab
            .rig("mode = \"standby\"\nprofile = \"fast\"\nhold_seconds = 1", "")
            .await?;
        works(&rig).await?;
        let mut news = rig.news().await?;
        lab.weather(Weather {
            nameless: true,
            ..Weather::default()
        })
        .await?;
        let told = news.wan("it fails over", |wan| wan.active() == WanRole::Backup).await?;
        assert_eq!(told.primary_state(), WanPrimaryState::NoNames);
        assert!(
            told.reason.contains("names are not resolved through wlan0"),
            "{}",
            told.reason
        );
        lab.weather(Weather::default()).await?;
        news.wan("it returns", |wan| wan.active() == WanRole::Primary).await?;
        // A lease that ran out.
        lab.without(6)?;
        lab.without(4)?;
        let told = news.wan("it fails over", |wan| wan.active() == WanRole::Backup).await?;
        assert!(told.reason.contains("no default route"), "{}", told.reason);
        assert!(ping(HOST_V4).await?);
        rig.stop().await
    })
}

/// Names are resolved and everything answers behind a portal; only not with what was asked for.
#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_captive_portal_is_told_apart_and_left() -> anyhow::Result<()> {
    inside(async || {
        let lab = Lab::build().await?;
        let wan = format!(
            "mode = \"standby\"\nprofile = \"fast\"\nhold_seconds = 1\nportal_check = \"http://{}/empty\"",
            TARGETS[0]
        );
        let rig = lab.rig(&wan, "").await?;
        works(&rig).await?;
        let mut news = rig.news().await?;
        lab.weather(Weather {
            portal: true,
            ..Weather::default()
        })
        .await?;
        let told = news.wan("it fails over", |wan| wan.active() == WanRole::Backup).await?;
        assert_eq!(told.primary_state(), WanPrimaryState::Portal);
        assert!(
            told.reason.contains("a captive portal is behind wlan0"),
            "{}",
            told.reason
        );
        let mut said = told.probes.iter().filter(|probe| probe.target.starts_with("portal:"));
        assert!(said.any(|probe| probe.detail.contains("(302)")), "{:?}", told.probes);
        assert!(ping(HOST_V4).await?);
        lab.weather(Weather::default()).await?;
        news.wan("it returns", |wan| wan.active() == WanRole::Primary).await?;
        rig.stop().await
    })
}

/// The recommended profile probes every half minute; whoever needs the internet now does not wait for that.
#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_request_a_ring_and_a_message_make_it_look_at_once() -> anyhow::Result<()> {
    inside(async || {
        let lab = Lab::build().await?;
        let rig = lab.rig("mode = \"standby\"\nhold_seconds = 0", "").await?;
        works(&rig).await?;
        settled(&rig, "the modem stands by", |status| {
            status.backup_detail == "connected"
        })
        .await?;
        let checked = check(&rig).await?;
        assert_eq!(
            (checked.active(), checked.primary_state()),
            (WanRole::Primary, WanPrimaryState::Good)
        );
        assert!(
            checked
                .probes
                .iter()
                .any(|probe| probe.interface == PRIMARY && probe.ok)
        );
        for trigger in ["request", "ring", "message"] {
            let mut news = rig.news().await?;
            lab.weather(SILENT).await?;
            match trigger {
                "request" => {
                    let checked = check(&rig).await?;
                    assert_eq!(checked.primary_state(), WanPrimaryState::NoAnswer);
                }
                "ring" => drop(rig.sim().ring(simulator::RingOptions::default()).await?),
                _ => drop(rig.sim().deliver_text("+447700900123", "where are you?").await?),
            }
            news.wan(trigger, |wan| wan.active() == WanRole::Backup).await?;
            lab.weather(Weather::default()).await?;
            // The way back is not a matter of a second with this profile, unless somebody asks.
            until("it returns", LIMIT, async || {
                let checked = check(&rig).await?;
                Ok((checked.active() == WanRole::Primary).then_some(()))
            })
            .await?;
            if trigger == "ring" {
                rig.sim().hang_up().await?;
            }
            // A storm of triggers counts once in five seconds.
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        }
        rig.stop().await
    })
}

/// A link with heavy loss is a bad link, and still the better one.
#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_link_that_loses_a_third_is_not_left() -> anyhow::Result<()> {
    inside(async || {
        let lab = Lab::build().await?;
        let rig = lab.rig("mode = \"standby\"\nprofile = \"fast\"", "").await?;
        works(&rig).await?;
        lab.weather(Weather {
            loss_percent: 30,
            ..Weather::default()
        })
        .await?;
        for _ in 0..20 {
            let checked = check(&rig).await?;
            assert_eq!(checked.active(), WanRole::Primary, "{}", checked.reason);
        }
        assert_eq!(status(&rig).await?.failover_count, 0);
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn the_hold_grows_while_the_primary_comes_and_goes() -> anyhow::Result<()> {
    inside(async || {
        let lab = Lab::build().await?;
        let wan = "mode = \"standby\"\nprofile = \"fast\"\nhold_seconds = 1\nhold_max_seconds = 2\n\
                   recovery_interval_seconds = 1";
        let rig = lab.rig(wan, "").await?;
        works(&rig).await?;
        settled(&rig, "the modem stands by", |status| {
            status.backup_detail == "connected"
        })
        .await?;
        let mut news = rig.news().await?;
        let mut holds = Vec::new();
        for _ in 0..5 {
            lab.carrier(false).await?;
            let told = news.wan("it fails over", |wan| wan.active() == WanRole::Backup).await?;
            holds.push(told.hold.map_or(0, |hold| hold.seconds));
            lab.carrier(true).await?;
            news.wan("it returns", |wan| wan.active() == WanRole::Primary).await?;
        }
        assert_eq!(holds, [1, 1, 2, 2, 2]);
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn each_family_is_led_and_one_that_the_modem_lacks_is_refused_at_once() -> anyhow::Result<()> {
    inside(async || {
        // A machine that has IPv6 only.
        let lab = Lab::build().await?;
        lab.without(4)?;
        let wan = "mode = \"backup\"\nprofile = \"fast\"\nhold_seconds = 1\nprobe_names = false";
        let rig = lab.rig(wan, "[modem.data]\nip = \"ipv6\"").await?;
        settled(&rig, "the primary works", |status| {
            status.primary_state() == WanPrimaryState::Good
        })
        .await?;
        let mut news = rig.news().await?;
        lab.weather(SILENT).await?;
        news.wan("it fails over", |wan| wan.active() == WanRole::Backup).await?;
        assert_eq!(way_to(TARGETS_V6[0])?.as_deref(), Some(BACKUP));
        assert!(ping(HOST_V6).await?);
        lab.weather(Weather::default()).await?;
        news.wan("it returns", |wan| wan.active() == WanRole::Primary).await?;
        rig.stop().await
    })?;
    inside(async || {
        // Both families, and a modem with both, then one with IPv4 only.
        let lab = Lab::build().await?;
        for (ip, v6) in [("ipv4v6", Some(BACKUP)), ("ipv4", None)] {
            let wan = "mode = \"backup\"\nprofile = \"fast\"\nhold_seconds = 1";
            let rig = lab.rig(wan, &format!("[modem.data]\nip = \"{ip}\"")).await?;
            works(&rig).await?;
            let mut news = rig.news().await?;
            lab.weather(SILENT).await?;
            news.wan("it fails over", |wan| wan.active() == WanRole::Backup).await?;
            assert_eq!(way_to(TARGETS[0])?.as_deref(), Some(BACKUP));
            assert_eq!(way_to(TARGETS_V6[0])?.as_deref(), v6, "{ip}");
            lab.weather(Weather::default()).await?;
            news.wan("it returns", |wan| wan.active() == WanRole::Primary).await?;
            rig.stop().await?;
            assert_eq!(of_the_broker()?, NOTHING);
        }
        Ok(())
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_broker_that_is_killed_while_the_modem_leads_leaves_nothing_that_the_next_one_does_not_remove() -> anyhow::Result<()>
{
    inside(async || {
        let lab = Lab::build().await?;
        let rig = Rig::prepare(lab.setup("mode = \"backup\"\nprofile = \"fast\"", "")).await?;
        let mut first = Process::broker(rig.path(), rig.configuration())?;
        let broker = first.connect(&rig.endpoint()).await?;
        end_to_end::binaries::ready(&broker, "sim1").await?;
        lab.carrier(false).await?;
        until("it fails over", LIMIT, async || {
            Ok((way_to(HOST_V4)?.as_deref() == Some(BACKUP)).then_some(()))
        })
        .await?;
        until("the name servers are the carrier's", LIMIT, async || {
            let written = std::fs::read_to_string(lab.resolv_conf())?;
            Ok(written.contains("192.0.2.53").then_some(()))
        })
        .await?;
        first.signal(Signal::SIGKILL)?;
        first.ended(LIMIT).await?;
        drop((broker, first));
        assert!(!of_the_broker()?.is_empty(), "a killed one cannot clean up");
        lab.carrier(true).await?;
        let second = Process::broker(rig.path(), rig.configuration())?;
        let broker = second.connect(&rig.endpoint()).await?;
        end_to_end::binaries::ready(&broker, "sim1").await?;
        until("it is clean", LIMIT, async || {
            Ok(of_the_broker()?.is_empty().then_some(()))
        })
        .await?;
        assert_eq!(way_to(HOST_V4)?.as_deref(), Some(PRIMARY));
        assert_eq!(
            std::fs::read_to_string(lab.resolv_conf())?,
            format!("nameserver {NAME_SERVER}\n")
        );
        drop(second);
        rig.stop().await
    })
}

/// Before anything was done, with a session that is coming up, between the first route and the last rule, or well after that:
/// whenever a broker is killed, the next one finds what it left.
#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_broker_that_is_killed_at_any_moment_of_a_failover_is_cleaned_up_after() -> anyhow::Result<()> {
    const ATTACH_MS: u64 = 100;
    inside(async || {
        let lab = Lab::build().await?;
        let rig = Rig::prepare(lab.setup("mode = \"backup\"\nprofile = \"fast\"\nhold_seconds = 0", "")).await?;
        let packet = simulator::PacketNetwork {
            start_after_ms: ATTACH_MS,
            ..Default::default()
        };
        rig.sim().set_packet_network(packet).await?;
        let start = async || {
            let process = Process::broker(rig.path(), rig.configuration())?;
            let broker = process.connect(&rig.endpoint()).await?;
            end_to_end::binaries::ready(&broker, "sim1").await?;
            until("everything is well", LIMIT, async || {
                let mut network = broker.network();
                let wan = network
                    .get_wan_status(GetWanStatusRequest {})
                    .await?
                    .into_inner()
                    .status;
                let good = wan.is_some_and(|wan| wan.primary_state() == WanPrimaryState::Good);
                let bearer = network
                    .get_bearer(GetBearerRequest::default())
                    .await?
                    .into_inner()
                    .bearer;
                let down = bearer.is_some_and(|bearer| bearer.state() == BearerState::Disconnected);
                Ok((good && down).then_some(()))
            })
            .await?;
            anyhow::Ok(process)
        };
        let mut broker = start().await?;
        for round in 0..4 {
            let moment = std::time::Duration::from_millis(fastrand::u64(0..3 * ATTACH_MS));
            lab.carrier(false).await?;
            tokio::time::sleep(moment).await;
            broker.signal(Signal::SIGKILL)?;
            broker.ended(LIMIT).await?;
            lab.carrier(true).await?;
            broker = start().await?;
            until("it is clean", LIMIT, async || {
                let name_servers = std::fs::read_to_string(lab.resolv_conf())?;
                let restored = name_servers == format!("nameserver {NAME_SERVER}\n");
                Ok((of_the_broker()?.is_empty() && restored).then_some(()))
            })
            .await
            .with_context(|| format!("round {round}, killed after {moment:?}: {:?}", of_the_broker()))?;
            assert_eq!(way_to(HOST_V4)?.as_deref(), Some(PRIMARY), "killed after {moment:?}");
        }
        drop(broker);
        rig.stop().await
    })
}
