//! How the modem's data is used, and what keeps it from being used.

use api::v1::{BearerState, ErrorReason, GetBearerRequest, GetDataUsageRequest, WanMode, WanPrimaryState, WanRole};
use end_to_end::lab::{BACKUP, Lab, PRIMARY, TARGETS, Weather, inside, of_the_broker, way_to};
use end_to_end::{LIMIT, Rig, reason, until};
use simulator::{Composition, RegistrationState};

use crate::namespace::{HOST_V4, MBIM, QMI, ping};
use crate::{check, force, set_mode, settled, status};

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_wan_that_is_off_touches_nothing_and_can_be_switched_on_forced_and_released() -> anyhow::Result<()> {
    inside(async || {
        let lab = Lab::build().await?;
        let rig = lab.rig("profile = \"fast\"", "").await?;
        let off = status(&rig).await?;
        assert_eq!(
            (off.mode(), off.active(), off.probes.len()),
            (WanMode::Off, WanRole::Primary, 0)
        );
        lab.weather(Weather {
            silent: true,
            ..Weather::default()
        })
        .await?;
        let checked = check(&rig).await?;
        assert_eq!(
            (checked.active(), checked.primary_state()),
            (WanRole::Primary, WanPrimaryState::NoAnswer),
            "it is looked at and left as it is"
        );
        assert_eq!(
            reason(&force(&rig, WanRole::Backup).await.unwrap_err()),
            Some(ErrorReason::NotEnabled)
        );
        assert!(set_mode(&rig, WanMode::Unspecified).await.is_err());
        lab.weather(Weather::default()).await?;
        set_mode(&rig, WanMode::Backup).await?;
        settled(&rig, "the primary works", |status| {
            status.primary_state() == WanPrimaryState::Good
        })
        .await?;
        force(&rig, WanRole::Backup).await?;
        settled(&rig, "the modem is used", |status| status.active() == WanRole::Backup).await?;
        assert_eq!(way_to(TARGETS[0])?.as_deref(), Some(BACKUP));
        force(&rig, WanRole::Unspecified).await?;
        settled(&rig, "it is released", |status| status.active() == WanRole::Primary).await?;
        force(&rig, WanRole::Primary).await?;
        lab.carrier(false).await?;
        settled(&rig, "the fault is seen", |status| {
            status.primary_state() == WanPrimaryState::LinkDown
        })
        .await?;
        assert_eq!(status(&rig).await?.active(), WanRole::Primary, "forced is forced");
        set_mode(&rig, WanMode::Off).await?;
        until("nothing is left", LIMIT, async || {
            Ok(of_the_broker()?.is_empty().then_some(()))
        })
        .await?;
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_modem_that_is_always_on_leads_and_is_connected_again_whenever_it_drops() -> anyhow::Result<()> {
    always_on(QMI)
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_modem_with_mbim_is_always_on_as_well() -> anyhow::Result<()> {
    always_on(MBIM)
}

fn always_on(product: u16) -> anyhow::Result<()> {
    inside(async || {
        let lab = Lab::build().await?;
        let mut setup = lab.setup("mode = \"always_on\"", "");
        setup.modems[0].composition = Composition(product);
        let rig = Rig::with(setup).await?;
        let mut news = rig.news().await?;
        settled(&rig, "the modem is used", |status| status.active() == WanRole::Backup).await?;
        assert_eq!(way_to(TARGETS[0])?.as_deref(), Some(BACKUP));
        for _ in 0..3 {
            // Reactivation requested (24.008, cause 39): a network does that at night.
            rig.sim().end_sessions(6, 39).await?;
            news.wan("it drops", |wan| wan.active() == WanRole::None).await?;
            news.wan("it is back", |wan| wan.active() == WanRole::Backup).await?;
            assert!(ping(HOST_V4).await?);
        }
        // Somebody has to change something first: it is told, and not tried again and again.
        rig.sim()
            .set_packet_network(simulator::PacketNetwork {
                refuse: Some((6, 33)),
                ..Default::default()
            })
            .await?;
        rig.sim().end_sessions(6, 33).await?;
        let told = news
            .wan("it is told", |wan| wan.backup_detail.contains("not subscribed"))
            .await?;
        assert_eq!(told.active(), WanRole::None);
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn what_keeps_the_modem_from_being_used_is_told_and_ends_by_itself() -> anyhow::Result<()> {
    inside(async || {
        let lab = Lab::build().await?;
        let rig = lab.rig("mode = \"backup\"\nprofile = \"fast\"", "").await?;
        settled(&rig, "the primary works", |status| {
            status.primary_state() == WanPrimaryState::Good
        })
        .await?;
        rig.sim().set_registration(None, RegistrationState::Roaming).await?;
        lab.carrier(false).await?;
        let told = settled(&rig, "nothing works", |status| {
            status.active() == WanRole::None && status.backup_detail.contains("roaming = true")
        })
        .await?;
        assert!(
            told.reason.contains("no carrier") && told.reason.contains("roams"),
            "{}",
            told.reason
        );
        rig.sim().set_registration(None, RegistrationState::Denied).await?;
        settled(&rig, "the reason changes", |status| {
            status.backup_detail.contains("not registered")
        })
        .await?;
        rig.sim().set_registration(None, RegistrationState::Home).await?;
        settled(&rig, "the modem is used", |status| status.active() == WanRole::Backup).await?;
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn data_is_counted_and_a_forced_way_ends_with_its_release() -> anyhow::Result<()> {
    inside(async || {
        let lab = Lab::build().await?;
        let rig = lab
            .rig("mode = \"standby\"\nprofile = \"fast\"\ncap_mib = 1", "")
            .await?;
        settled(&rig, "the modem stands by", |status| {
            status.backup_detail == "connected"
        })
        .await?;
        let usage = async || {
            let answer = rig
                .broker()
                .network()
                .get_data_usage(GetDataUsageRequest::default())
                .await?;
            anyhow::Ok(answer.into_inner())
        };
        let before = usage().await?;
        assert_eq!(before.cap_bytes, 1024 * 1024);
        force(&rig, WanRole::Backup).await?;
        settled(&rig, "the modem is used", |status| status.active() == WanRole::Backup).await?;
        for _ in 0..10 {
            assert!(ping(HOST_V4).await?);
        }
        let after = usage().await?;
        // An echo of 16 octets with its headers.
        assert!(after.uplink_bytes >= before.uplink_bytes + 440 && after.downlink_bytes > before.downlink_bytes);
        assert_eq!(usage().await?.period_start_time, before.period_start_time);
        assert_eq!(way_to(TARGETS[0])?.as_deref(), Some(BACKUP));
        force(&rig, WanRole::None).await?;
        settled(&rig, "it is released", |status| status.active() == WanRole::Primary).await?;
        assert_eq!(way_to(TARGETS[0])?.as_deref(), Some(PRIMARY));
        rig.stop().await
    })
}

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn a_modem_that_carried_what_the_period_allows_is_not_used_any_more_unless_it_is_forced() -> anyhow::Result<()> {
    inside(async || {
        let lab = Lab::build().await?;
        let rig = lab
            .rig("mode = \"standby\"\nprofile = \"fast\"\ncap_mib = 1", "")
            .await?;
        settled(&rig, "the modem stands by", |status| {
            status.backup_detail == "connected"
        })
        .await?;
        lab.carrier(false).await?;
        settled(&rig, "the modem is used", |status| status.active() == WanRole::Backup).await?;
        let socket = tokio::net::UdpSocket::bind("0.0.0.0:0").await?;
        until("more than the cap is counted", LIMIT, async || {
            // What the interface has no room for is dropped and not counted.
            for _ in 0..50 {
                let _ = socket.send_to(&[0; 1200], (HOST_V4, 9)).await;
            }
            let request = GetDataUsageRequest::default();
            let used = rig.broker().network().get_data_usage(request).await?.into_inner();
            Ok((used.uplink_bytes + used.downlink_bytes > used.cap_bytes).then_some(()))
        })
        .await?;
        // It is looked at once a minute, and whenever anything about the modem changes.
        let mut loud = false;
        let told = until("it is not used", LIMIT, async || {
            loud = !loud;
            let rsrp = Some(if loud { -80 } else { -110 });
            let signal = simulator::Signal {
                rsrp,
                ..Default::default()
            };
            rig.sim().set_signal(signal).await?;
            Ok(Some(status(&rig).await?).filter(|status| status.active() == WanRole::None))
        })
        .await?;
        assert!(
            told.backup_detail
                .contains("the data that the period allows is used up"),
            "{told:?}"
        );
        assert!(
            told.reason.contains("no carrier") && told.reason.contains("used up"),
            "{}",
            told.reason
        );
        until("nothing leads through it and it is disconnected", LIMIT, async || {
            let answer = rig.broker().network().get_bearer(GetBearerRequest::default()).await?;
            let state = answer.into_inner().bearer.unwrap_or_default().state();
            Ok((of_the_broker()?.is_empty() && state == BearerState::Disconnected).then_some(()))
        })
        .await?;
        force(&rig, WanRole::Backup).await?;
        settled(&rig, "it is forced", |status| status.active() == WanRole::Backup).await?;
        assert!(ping(HOST_V4).await?);
        rig.stop().await
    })
}
