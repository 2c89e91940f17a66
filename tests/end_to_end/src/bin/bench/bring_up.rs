//! From a modem that is there to one that works.

use std::time::{Duration, Instant};

use api::v1::ModemStage;
use end_to_end::{Journal, LIMIT, Process, Rig, Setup, binaries, until};
use nix::sys::signal::Signal;
use simulator::Timing;

use crate::report::Row;

/// A cold modem registers after half a minute at most, and takes some seconds before that.
const COLD_LIMIT: Duration = Duration::from_secs(90);

/// `warm` starts of the broker beside a modem that is set up, and `cold` plug-ins of a modem that takes its time.
pub async fn bring_up(warm: usize, cold: usize) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![
        Row::new(
            "bring-up, set up",
            "start of the broker's process -> READY, the instant modem being set up by an earlier life",
            "s",
            warm_starts(warm).await?,
        )
        .at_most(2.0, Some(2.0)),
    ];
    let (beyond, whole) = cold_starts(cold).await?;
    let meaning =
        "what READY takes beyond the modem's own time: from its registration on, the realistic modem being plugged in";
    rows.push(Row::new("bring-up, cold", meaning, "s", beyond).at_most(2.0, Some(2.0)));
    let meaning = "plugging the realistic modem in -> READY, most of it the modem's own time";
    rows.push(Row::new("bring-up, whole", meaning, "s", whole));
    Ok(rows)
}

async fn warm_starts(count: usize) -> anyhow::Result<Vec<f64>> {
    let rig = Rig::prepare(Setup::default()).await?;
    let mut took = Vec::new();
    for round in 0..=count {
        let started = Instant::now();
        let mut process = Process::broker(rig.path(), rig.configuration())?;
        let broker = process.connect(&rig.endpoint()).await?;
        binaries::ready(&broker, "sim1").await?;
        // The first life sets the modem up.
        if round > 0 {
            took.push(started.elapsed().as_secs_f64());
        }
        drop(broker);
        process.signal(Signal::SIGTERM)?;
        process.ended(LIMIT).await?;
    }
    rig.stop().await?;
    Ok(took)
}

async fn cold_starts(count: usize) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let setup = Setup {
        timing: Timing::Realistic,
        unplugged: true,
        ..Setup::default()
    };
    let rig = Rig::prepare(setup).await?;
    let process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    let (mut beyond, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let sim = rig.sim();
        let mut news = Journal::now(&broker).await?;
        let plugged = Instant::now();
        sim.replug(false).await?;
        let registered = async {
            let look = async || {
                let registered = sim
                    .status()
                    .await?
                    .registration
                    .iter()
                    .all(|state| state.is_registered());
                Ok(registered.then(Instant::now))
            };
            until("the modem is registered", COLD_LIMIT, look).await
        };
        let ready = async {
            loop {
                // A wait of the journal is bounded by what is slow by no nature; this is.
                let waiting = news.modem("the modem is ready", |modem| modem.stage() == ModemStage::Ready);
                match waiting.await {
                    Ok(_) => return anyhow::Ok(Instant::now()),
                    Err(error) if plugged.elapsed() > COLD_LIMIT => return Err(error),
                    Err(_) => {}
                }
            }
        };
        let (registered, ready) = tokio::try_join!(registered, ready)?;
        beyond.push(ready.saturating_duration_since(registered).as_secs_f64());
        whole.push(ready.duration_since(plugged).as_secs_f64());
        let mut news = Journal::now(&broker).await?;
        sim.unplug().await?;
        news.modem("the modem is gone", |modem| modem.stage() == ModemStage::Absent)
            .await?;
    }
    rig.stop().await?;
    Ok((beyond, whole))
}
