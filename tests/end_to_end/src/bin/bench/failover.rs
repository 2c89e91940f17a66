//! How fast the way to the internet changes when the primary fails, in the lab of two ways. Needs root.
//!
//! What is timed ends when the kernel's table leads through the modem, which is what packets follow.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use api::v1::{CheckWanRequest, GetWanStatusRequest, WanPrimaryState, WanRole, WanStatus};
use client::Broker;
use end_to_end::lab::{Lab, PRIMARY, Weather, inside, led_through_modem, of_the_broker, time_until, way_to};
use end_to_end::{LIMIT, Process, Rig, binaries, until};
use nix::sys::signal::Signal;
use simulator::{PacketNetwork, RingOptions};

use crate::report::Row;

const SILENT: Weather = Weather {
    silent: true,
    nameless: false,
    loss_percent: 0,
    portal: false,
};
const NAMELESS: Weather = Weather {
    silent: false,
    nameless: true,
    loss_percent: 0,
    portal: false,
};

/// How long a network takes to attach a modem, in these measurements.
const ATTACH: Duration = Duration::from_millis(800);
const SLOW_ATTACH: Duration = Duration::from_secs(3);

/// The kernel tells of a link at most once a second.
const CALM: Duration = Duration::from_millis(1100);

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Faults of each kind.
    pub rounds: usize,
    /// How long a third of all packets is lost.
    pub loss: Duration,
    /// Failovers in a row.
    pub flaps: usize,
    /// Brokers that are killed.
    pub kills: usize,
}

/// A broker, as a process, in the lab.
struct Bench {
    lab: Lab,
    rig: Rig,
    process: Process,
    broker: Broker,
}

impl Bench {
    async fn start(wan: &str, attach: Duration) -> anyhow::Result<Bench> {
        let lab = Lab::build().await?;
        let rig = Rig::prepare(lab.setup(wan, "")).await?;
        let packet = PacketNetwork {
            start_after_ms: attach.as_millis() as u64,
            ..PacketNetwork::default()
        };
        rig.sim().set_packet_network(packet).await?;
        let process = Process::broker(rig.path(), rig.configuration())?;
        let broker = process.connect(&rig.endpoint()).await?;
        binaries::ready(&broker, "sim1").await?;
        Ok(Bench {
            lab,
            rig,
            process,
            broker,
        })
    }

    async fn status(&self) -> anyhow::Result<WanStatus> {
        let answer = self.broker.network().get_wan_status(GetWanStatusRequest {}).await?;
        Ok(answer.into_inner().status.unwrap_or_default())
    }

    async fn settled(&self, what: &str, fits: impl Fn(&WanStatus) -> bool) -> anyhow::Result<WanStatus> {
        until(what, LIMIT * 4, async || {
            Ok(Some(self.status().await?).filter(|status| fits(status)))
        })
        .await
    }

    /// Everything is well, and has been for a moment: the kernel delays what it tells of a link that changed just before.
    async fn calm(&self, warm: bool) -> anyhow::Result<()> {
        self.lab.carrier(true).await?;
        self.lab.weather(Weather::default()).await?;
        let detail = if warm { "connected" } else { "not connected" };
        until("everything is well", LIMIT * 2, async || {
            // Asking is what shortens the way back, which is not what is measured.
            self.broker.network().check_wan(CheckWanRequest {}).await?;
            let status = self.status().await?;
            let good = status.active() == WanRole::Primary && status.primary_state() == WanPrimaryState::Good;
            if good && status.backup_detail == detail {
                return Ok(Some(()));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(None)
        })
        .await?;
        // A fault comes at any moment between two probes.
        tokio::time::sleep(CALM + Duration::from_millis(fastrand::u64(0..1000))).await;
        Ok(())
    }

    async fn switched(&self) -> anyhow::Result<f64> {
        Ok(millis(time_until("it fails over", LIMIT * 2, led_through_modem).await?))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Carrier,
    Silence,
    Names,
}

/// Faults, one after the other, each after a calm.
async fn faults(fault: Fault, mode: &str, rounds: usize) -> anyhow::Result<Vec<f64>> {
    let wan = format!("mode = \"{mode}\"\nprofile = \"fast\"\nhold_seconds = 0");
    let bench = Bench::start(&wan, ATTACH).await?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        bench.calm(mode == "standby").await?;
        match fault {
            Fault::Carrier => bench.lab.carrier(false).await?,
            Fault::Silence => bench.lab.weather(SILENT).await?,
            Fault::Names => bench.lab.weather(NAMELESS).await?,
        }
        times.push(bench.switched().await?);
    }
    Ok(times)
}

/// A trigger two seconds after a silent fault, with the profile that probes every half minute.
async fn triggered(rounds: usize) -> anyhow::Result<[Vec<f64>; 3]> {
    let bench = Bench::start("mode = \"backup\"\nhold_seconds = 0", SLOW_ATTACH).await?;
    let (mut verdicts, mut asked, mut rung) = (Vec::new(), Vec::new(), Vec::new());
    let well = async || {
        bench.calm(false).await?;
        bench.lab.weather(SILENT).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        anyhow::Ok(())
    };
    for _ in 0..rounds {
        well().await?;
        let begin = Instant::now();
        let checked = bench.broker.network().check_wan(CheckWanRequest {}).await?.into_inner();
        let state = checked.status.unwrap_or_default().primary_state();
        // A round of the steady probes may have been first.
        anyhow::ensure!(state == WanPrimaryState::NoAnswer, "the verdict is {state:?}");
        verdicts.push(millis(begin.elapsed()));
        bench.switched().await?;
        asked.push(millis(begin.elapsed()));
        well().await?;
        let begin = Instant::now();
        bench.rig.sim().ring(RingOptions::default()).await?;
        bench.switched().await?;
        rung.push(millis(begin.elapsed()));
        bench.rig.sim().hang_up().await?;
    }
    Ok([verdicts, asked, rung])
}

/// A third of all packets is lost for a while; how often it failed over.
async fn loss(time: Duration) -> anyhow::Result<f64> {
    let bench = Bench::start("mode = \"standby\"\nprofile = \"fast\"", ATTACH).await?;
    bench.calm(true).await?;
    bench
        .lab
        .weather(Weather {
            loss_percent: 30,
            ..Weather::default()
        })
        .await?;
    tokio::time::sleep(time).await;
    Ok(bench.status().await?.failover_count as f64)
}

/// From a cable that is back to the way that is, with a hold of five seconds.
async fn returns(rounds: usize) -> anyhow::Result<Vec<f64>> {
    let bench = Bench::start("mode = \"standby\"\nprofile = \"fast\"\nhold_seconds = 5", ATTACH).await?;
    let mut times = Vec::new();
    // The third would have twice the hold.
    for _ in 0..rounds.min(2) {
        bench.calm(true).await?;
        bench.lab.carrier(false).await?;
        bench.switched().await?;
        bench.lab.carrier(true).await?;
        times.push(millis(
            time_until("it returns", LIMIT, || Ok(!led_through_modem()?)).await?,
        ));
    }
    Ok(times)
}

/// A primary that comes and goes; the hold in seconds after so many failovers, with one of a second in the beginning and of
/// two at most, because each is waited for.
async fn flaps(count: usize) -> anyhow::Result<f64> {
    let wan = "mode = \"standby\"\nprofile = \"fast\"\nhold_seconds = 1\nhold_max_seconds = 2";
    let bench = Bench::start(wan, ATTACH).await?;
    let mut hold = 0.0;
    for _ in 0..count {
        bench.calm(true).await?;
        bench.lab.carrier(false).await?;
        let told = bench
            .settled("it fails over", |status| status.active() == WanRole::Backup)
            .await?;
        hold = told.hold.map_or(0.0, |hold| hold.seconds as f64);
    }
    Ok(hold)
}

/// The broker is killed at a drawn moment around a failover and started again; how many routes and rules of the dead one were
/// left once the next one served with a primary that works.
async fn killed(kills: usize) -> anyhow::Result<f64> {
    let mut left = 0;
    let wan = "mode = \"backup\"\nprofile = \"fast\"\nhold_seconds = 0";
    let mut bench = Bench::start(wan, Duration::from_millis(100)).await?;
    for _ in 0..kills {
        bench.calm(false).await?;
        bench.lab.carrier(false).await?;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..400))).await;
        bench.process.signal(Signal::SIGKILL)?;
        bench.process.ended(LIMIT).await?;
        bench.lab.carrier(true).await?;
        bench.process = Process::broker(bench.rig.path(), bench.rig.configuration())?;
        bench.broker = bench.process.connect(&bench.rig.endpoint()).await?;
        binaries::ready(&bench.broker, "sim1").await?;
        bench.calm(false).await?;
        left += of_the_broker()?.len();
        anyhow::ensure!(way_to([203, 0, 113, 1].into())?.as_deref() == Some(PRIMARY));
    }
    Ok(left as f64)
}

/// Runs one part in namespaces of its own, on a thread that enters them.
fn part<T: Send>(work: impl AsyncFnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    let thread = || {
        let mut result = None;
        inside(async || {
            result = Some(work().await?);
            Ok(())
        })?;
        result.context("the part did not end")
    };
    let ended = std::thread::scope(|scope| scope.spawn(thread).join());
    ended.map_err(|_| anyhow::anyhow!("the part panicked"))?
}

/// Everything. What only counts runs beside something else: packets that are lost do not load the machine, and what is killed
/// and what flaps is not timed.
pub fn measure(extent: Extent) -> anyhow::Result<Vec<Row>> {
    std::thread::scope(|scope| {
        let losing = scope.spawn(|| part(async || loss(extent.loss).await));
        let mut rows = timed(extent)?;
        let flapping = scope.spawn(|| part(async || flaps(extent.flaps).await));
        let left = part(async || killed(extent.kills).await)?;
        let counted = |thread: std::thread::ScopedJoinHandle<'_, anyhow::Result<f64>>| {
            thread.join().map_err(|_| anyhow::anyhow!("the part panicked"))?
        };
        let meaning = "failovers while 30 % of all probes are lost";
        rows.push(Row::new("loss", meaning, "failovers", vec![counted(losing)?]).at_most(0.0, None));
        let meaning = "routes and rules of brokers that were killed around a failover, after the next one started";
        rows.push(Row::new("kill -9", meaning, "left", vec![left]).at_most(0.0, None));
        let meaning = "the hold after flapping, which began with 1 s and may grow to 2 s";
        rows.push(Row::new("flaps", meaning, "s", vec![counted(flapping)?]));
        Ok(rows)
    })
}

fn timed(extent: Extent) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, meaning, fault, mode, limit) in FAULTS {
        let times = part(async || faults(fault, mode, extent.rounds).await)?;
        rows.push(Row::new(name, meaning, "ms", times).at_most(limit, Some(limit)));
    }
    let [verdicts, asked, rung] = part(async || triggered(extent.rounds.div_ceil(3)).await)?;
    let verdict = "CheckWan 2 s after a silent fault -> verdict; steady probes every 30 s";
    rows.push(Row::new("check", verdict, "ms", verdicts).at_most(1200.0, Some(1200.0)));
    let switched = "the same -> packets go through the modem; attach 3 s";
    rows.push(Row::new("check, cold", switched, "ms", asked).at_most(10_000.0, Some(10_000.0)));
    let switched = "a call rings 2 s after a silent fault -> packets go through the modem; attach 3 s";
    rows.push(Row::new("ring, cold", switched, "ms", rung).at_most(10_000.0, Some(10_000.0)));
    let back = "carrier is back -> packets go through it again; hold 5 s";
    let times = part(async || returns(extent.rounds / 2).await)?;
    rows.push(Row::new("return", back, "ms", times).at_most(8000.0, Some(8000.0)));
    Ok(rows)
}

const FAULTS: [(&str, &str, Fault, &str, f64); 5] = [
    (
        "carrier, cold",
        "carrier lost -> packets go through the modem; attach 0.8 s",
        Fault::Carrier,
        "backup",
        1500.0,
    ),
    (
        "carrier, warm",
        "the same with the modem standing by",
        Fault::Carrier,
        "standby",
        300.0,
    ),
    (
        "silence, cold",
        "nothing answers any more -> packets go through the modem; attach 0.8 s",
        Fault::Silence,
        "backup",
        5800.0,
    ),
    (
        "silence, warm",
        "the same with the modem standing by",
        Fault::Silence,
        "standby",
        5000.0,
    ),
    (
        "names, warm",
        "name servers do not answer any more -> packets go through the modem, which stands by",
        Fault::Names,
        "standby",
        5000.0,
    ),
];
