//! Cables that are pulled and put back, several modems on one host, other USB compositions, and restarts on request.

use std::time::Duration;

use api::v1::event::Change;
use api::v1::{
    ErrorReason, Functionality, GetModemRequest, ListModemsRequest, Modem, ModemHealth, ModemStage, ResetModemRequest,
    SetFunctionalityRequest, SwitchCompositionRequest,
};
use end_to_end::{Journal, LIMIT, Process, Rig, Setup, binaries, invalid_fields, reason, until};
use simulator::{Composition, Cure, FaultAction, PinState};
use tonic::{Code, Status};

fn modem(change: impl FnOnce(&mut simulator::Config)) -> Vec<simulator::Config> {
    let mut modem = Setup::default().modems.remove(0);
    change(&mut modem);
    vec![modem]
}

/// The stages that a modem passes on its way up, from what a journal has seen.
fn stages(journal: &Journal) -> Vec<ModemStage> {
    let mut stages: Vec<ModemStage> = Vec::new();
    for event in journal.seen() {
        if let Some(Change::ModemChanged(modem)) = &event.change {
            stages.push(modem.stage());
        }
    }
    stages.dedup();
    stages
}

/// A hundred times the cable is pulled, each time at another stage, and the ports come back under other numbers. Nothing
/// may be left behind: no descriptor, no thread, no memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_replugs_at_every_stage_leave_nothing_behind() -> anyhow::Result<()> {
    const CYCLES: usize = 100;
    /// Until then the journal's and the database's caches fill.
    const WARM_UP: usize = 60;
    let rig = Rig::prepare(Setup::default()).await?;
    let process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    let journal = Journal::beginning(&broker).await?;
    let mut journal = journal;
    journal
        .modem("it came up", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    let passed: Vec<ModemStage> = stages(&journal)
        .into_iter()
        .filter(|stage| *stage > ModemStage::Absent)
        .collect();
    assert!(passed.len() >= 5, "{passed:?}");

    let usage = |process: &Process| -> anyhow::Result<(usize, usize, u64)> {
        let id = process.id()?;
        let count = |what: &str| Ok::<_, std::io::Error>(std::fs::read_dir(format!("/proc/{id}/{what}"))?.count());
        let memory = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let memory = memory.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let memory = memory
            .and_then(|text| text.split_whitespace().next())
            .unwrap_or_default();
        Ok((count("fd")?, count("task")?, memory.parse()?))
    };
    let mut before = None;
    let mut news = Journal::now(&broker).await?;
    for cycle in 0..CYCLES {
        rig.sim().unplug().await?;
        news.modem("it is gone", |modem| modem.stage() == ModemStage::Absent)
            .await?;
        if cycle == WARM_UP {
            before = Some(settled(&process, &usage).await?);
        }
        rig.sim().replug(cycle % 2 == 0).await?;
        let stage = passed[cycle % passed.len()];
        news.modem("it comes as far as this", |modem| modem.stage() >= stage)
            .await?;
    }
    rig.sim().unplug().await?;
    news.modem("it is gone", |modem| modem.stage() == ModemStage::Absent)
        .await?;
    let (descriptors, threads, memory) = before.unwrap_or_default();
    let lean = async || {
        let (now_descriptors, now_threads, _) = usage(&process)?;
        Ok((now_descriptors <= descriptors && now_threads <= threads).then_some(()))
    };
    until("descriptors and threads are given back", LIMIT, lean).await?;
    let (.., now) = usage(&process)?;
    // A leak of the buffers of a cycle's ports would be more than this.
    assert!(now <= memory + 2048, "{memory} KiB before, {now} KiB after");
    rig.sim().replug(false).await?;
    news.modem("it is ready", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    rig.sim().deliver_text("+447700900123", "after all that").await?;
    news.message("a message", |message| message.text == "after all that")
        .await?;
    Ok(())
}

/// Usage once the threads that close ports have ended.
async fn settled<T: PartialEq>(process: &Process, usage: &impl Fn(&Process) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let mut last = usage(process)?;
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = usage(process)?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
}

/// The same in one process, where the runtime can be asked for its tasks.
#[tokio::test(flavor = "multi_thread")]
async fn replugs_leave_no_task_behind() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let metrics = tokio::runtime::Handle::current().metrics();
    let mut counts = Vec::new();
    for _ in 0..8 {
        rig.sim().unplug().await?;
        news.modem("it is gone", |modem| modem.stage() == ModemStage::Absent)
            .await?;
        counts.push(metrics.num_alive_tasks());
        rig.sim().replug(true).await?;
        news.modem("it is ready", |modem| modem.stage() == ModemStage::Ready)
            .await?;
    }
    rig.sim().unplug().await?;
    news.modem("it is gone", |modem| modem.stage() == ModemStage::Absent)
        .await?;
    let most = counts.iter().copied().max().unwrap_or_default();
    until("tasks end", LIMIT, async || {
        Ok((metrics.num_alive_tasks() <= most).then_some(()))
    })
    .await?;
    rig.stop().await
}

fn two_modems() -> Setup {
    let modem = |imei: &str| simulator::Config {
        imei: imei.to_owned(),
        ..Setup::default().modems.remove(0)
    };
    Setup {
        modems: vec![modem("867584030000025"), modem("867584030000017")],
        ..Setup::default()
    }
}

/// Both are found on one bus by their IMEI, and one that is dead does not slow the other down.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_modems_one_is_dead_and_the_other_keeps_its_pace() -> anyhow::Result<()> {
    let rig = Rig::with(two_modems()).await?;
    for (name, imei, path) in [("sim1", "867584030000025", "1-1"), ("sim2", "867584030000017", "1-2")] {
        let modem = rig.ready(name).await?;
        let found = modem.usb.as_ref().map(|usb| usb.path.as_str());
        assert_eq!((modem.imei.as_str(), found), (imei, Some(path)));
    }
    rig.sim_at(0)
        .inject_now(FaultAction::Hang {
            port: None,
            until: Cure::Never,
        })
        .await?;
    let refresh = api::v1::GetNetworkStatusRequest {
        modem: "sim1".to_owned(),
        refresh: true,
    };
    let broker = rig.broker();
    let dead = async move { broker.network().get_network_status(refresh).await.is_err() };
    let alive = async {
        let mut news = rig.news().await?;
        let mut late = Vec::new();
        // Until long after the dead one was given up.
        for number in 0..40 {
            let began = tokio::time::Instant::now();
            rig.sim_at(1)
                .deliver_text("+447700900123", &format!("message {number}"))
                .await?;
            let message = news
                .message("a message", |message| message.text == format!("message {number}"))
                .await?;
            assert_eq!(message.modem, "sim2");
            let took = began.elapsed();
            late.extend((took > Duration::from_secs(2)).then_some((number, took)));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        anyhow::Ok(late)
    };
    let (dead, alive) = tokio::join!(dead, alive);
    let late = alive?;
    // One that waited for the dead one's answers would be late each time; a machine that stands still makes one late.
    assert!(late.len() <= 2, "late: {late:?}");
    assert!(dead, "nobody answers");
    let listed = rig
        .broker()
        .modems()
        .list_modems(ListModemsRequest {})
        .await?
        .into_inner()
        .modems;
    let health: Vec<ModemHealth> = listed.iter().map(Modem::health).collect();
    assert_ne!(health[0], ModemHealth::Ok, "{listed:?}");
    assert_eq!(health[1], ModemHealth::Ok, "{listed:?}");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn modems_that_change_places_keep_their_names() -> anyhow::Result<()> {
    let rig = Rig::with(Setup {
        unplugged: true,
        ..two_modems()
    })
    .await?;
    let mut journal = rig.journal().await?;
    // Only the second is there, so the first finds a device and leaves it alone.
    rig.sim_at(1).replug(false).await?;
    let ready = |name: &'static str| move |modem: &Modem| modem.name == name && modem.stage() == ModemStage::Ready;
    let second = journal.modem("the second is ready", ready("sim2")).await?;
    assert_eq!(second.imei, "867584030000017");
    let request = GetModemRequest {
        modem: "sim1".to_owned(),
    };
    let told = async || {
        let modem = rig
            .broker()
            .modems()
            .get_modem(request.clone())
            .await?
            .into_inner()
            .modem
            .unwrap_or_default();
        Ok(Some(()).filter(|()| modem.health_reason.contains("867584030000025")))
    };
    until("the first says whom it misses", LIMIT, told).await?;
    rig.sim_at(0).replug(false).await?;
    journal.modem("the first is ready", ready("sim1")).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modem_in_its_storage_mode_is_recognised_and_used_once_it_is_switched() -> anyhow::Result<()> {
    let rig = Rig::prepare(Setup {
        modems: modem(|modem| modem.storage_mode = true),
        ..Setup::default()
    })
    .await?;
    let mut rig = rig;
    rig.start_broker().await?;
    let mut journal = rig.journal().await?;
    let modem = journal
        .modem("it is recognised", |modem| {
            modem.health_reason.contains("usb-modeswitch")
        })
        .await?;
    assert!(modem.health_reason.contains("1e0e:f000"), "{}", modem.health_reason);
    rig.sim().switch_mode().await?;
    journal
        .modem("it is ready", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    rig.stop().await
}

async fn switch(rig: &Rig, composition: &str) -> Result<Modem, Status> {
    let request = SwitchCompositionRequest {
        composition: composition.to_owned(),
        ..Default::default()
    };
    let answer = rig.broker().modems().switch_composition(request).await?;
    Ok(answer.into_inner().modem.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_composition_is_switched_and_awaited_by_event() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    for (composition, lacks) in [("9011", ""), ("9006", "no audio port"), ("9001", "")] {
        let modem = switch(&rig, composition).await?;
        assert_eq!(end_to_end::composition(&modem), composition);
        assert_eq!(rig.sim().status().await?.composition, composition);
        let modem = rig.ready("sim1").await?;
        assert!(modem.health_reason.contains(lacks), "{}", modem.health_reason);
        let healthy = modem.health() == ModemHealth::Ok;
        assert_eq!(healthy, lacks.is_empty(), "{composition}: {}", modem.health_reason);
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn compositions_that_make_no_sense_are_refused_with_what_the_module_offers() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    for (composition, told) in [
        ("1025", "it offers 9000,"),
        ("9016", "no AT port"),
        ("901", "four hexadecimal digits"),
        ("modem", "four hexadecimal digits"),
    ] {
        let status = switch(&rig, composition).await.expect_err(composition);
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(invalid_fields(&status), ["composition"]);
        assert!(status.message().contains(told), "{composition}: {}", status.message());
    }
    assert_eq!(
        end_to_end::composition(&switch(&rig, "9001").await?),
        "9001",
        "it is in it already"
    );
    assert_eq!(rig.sim().books().await?.detachments, 0);

    let request = api::v1::DialRequest {
        number: "+447700900123".to_owned(),
        ..Default::default()
    };
    rig.broker().voice().dial(request).await?;
    let refused = |status: Status| (status.code(), reason(&status));
    let call = (Code::FailedPrecondition, Some(ErrorReason::CallState));
    assert_eq!(refused(switch(&rig, "9011").await.expect_err("a call is alive")), call);
    let reset = ResetModemRequest::default();
    let status = rig
        .broker()
        .modems()
        .reset_modem(reset)
        .await
        .expect_err("a call is alive");
    assert_eq!(refused(status), call);
    let flight = SetFunctionalityRequest {
        functionality: Functionality::Flight.into(),
        ..Default::default()
    };
    let status = rig
        .broker()
        .modems()
        .set_functionality(flight)
        .await
        .expect_err("a call is alive");
    assert_eq!(refused(status), call);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_composition_is_switched_to_once() -> anyhow::Result<()> {
    let rig = Rig::with(Setup {
        modems: modem(|modem| modem.composition = Composition::find(0x9011).unwrap_or(Composition::DEFAULT)),
        modem: "composition = \"9001\"".to_owned(),
        ..Setup::default()
    })
    .await?;
    let mut journal = rig.journal().await?;
    let switched = |modem: &Modem| modem.stage() == ModemStage::Ready && end_to_end::composition(modem) == "9001";
    journal.modem("it is in the other composition", switched).await?;
    assert_eq!(rig.sim().books().await?.detachments, 1);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_and_the_flight_mode_on_request() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    rig.broker().modems().reset_modem(ResetModemRequest::default()).await?;
    let down = news
        .modem("it is down", |modem| modem.stage() == ModemStage::Absent)
        .await?;
    assert!(
        down.health_reason.contains("as was asked for"),
        "{}",
        down.health_reason
    );
    news.modem("it is back", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    let set = async |functionality: Functionality| {
        let request = SetFunctionalityRequest {
            functionality: functionality.into(),
            ..Default::default()
        };
        rig.broker().modems().set_functionality(request).await
    };
    set(Functionality::Flight).await?;
    let grounded = |modem: &Modem| modem.stage() == ModemStage::Registering;
    news.modem("it is not registered any more", grounded).await?;
    assert_eq!(rig.sim().status().await?.functionality, 4);
    set(Functionality::Full).await?;
    news.modem("it is back", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    assert_eq!(rig.sim().status().await?.sim, PinState::Ready);
    let status = set(Functionality::Unspecified).await.expect_err("this means nothing");
    assert_eq!(invalid_fields(&status), ["functionality"]);
    rig.stop().await
}
