//! The lives and deaths of the broker.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use simulator::{Control, Fault, FaultAction};

use super::plan::{Blow, Life, Plan};
use super::{LIMIT, Pulse};
use crate::{Process, Rig};

/// A moment that does not come: the broker is then killed all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the lives ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kills {
    /// At the very moment of a command.
    pub at_command: u32,
    /// At an event, a request or a time.
    pub otherwise: u32,
}

/// Lets the broker live and die as the plan says; returns the process that stays.
pub(super) async fn live(plan: &Plan, rig: &Rig, pulse: &Pulse) -> anyhow::Result<(Kills, Process)> {
    let mut kills = Kills::default();
    for life in &plan.lives {
        let mut process = Process::broker(rig.path(), rig.configuration())?;
        pulse.lives.send_modify(|lives| *lives += 1);
        let sim = rig.sim();
        for mishap in &life.mishaps {
            sim.inject(mishap.0.clone()).await?;
        }
        let struck = strike(life, &mut process, &sim, pulse).await?;
        let status = match struck {
            Some(status) => {
                kills.at_command += 1;
                status
            }
            None => {
                kills.otherwise += 1;
                // It may have ended by itself, which its status tells.
                let _ = process.signal(Signal::SIGKILL);
                process.ended(LIMIT).await?
            }
        };
        anyhow::ensure!(
            status.signal() == Some(Signal::SIGKILL as i32),
            "the broker ended by itself, with {status}"
        );
        sim.clear_faults().await?;
        tokio::time::sleep(life.pause).await;
    }
    let last = Process::broker(rig.path(), rig.configuration())?;
    pulse.lives.send_modify(|lives| *lives += 1);
    Ok((kills, last))
}

/// Waits for the moment of the blow. `Some`: the modem dealt it.
async fn strike(
    life: &Life,
    process: &mut Process,
    sim: &Control,
    pulse: &Pulse,
) -> anyhow::Result<Option<ExitStatus>> {
    match &life.blow {
        Blow::Time(time) => tokio::time::sleep(*time).await,
        Blow::Work(time) => {
            more(&pulse.events, 1).await;
            tokio::time::sleep(*time).await;
        }
        Blow::Command { matches, nth, phase } => {
            let kill = FaultAction::KillHost { pid: process.id()? };
            sim.inject(Fault::on_command(*matches, *phase, kill).at_nth(*nth))
                .await?;
            if let Ok(ended) = tokio::time::timeout(PATIENCE, process.ended(LIMIT)).await {
                return Ok(Some(ended?));
            }
        }
        Blow::Event(count) => more(&pulse.events, *count).await,
        Blow::Request(count) => more(&pulse.requests, *count).await,
    }
    Ok(None)
}

/// Waits until a count has grown by so much.
async fn more(count: &tokio::sync::watch::Sender<u32>, by: u32) {
    let mut count = count.subscribe();
    let target = *count.borrow_and_update() + by;
    // The sender outlives this, and a count that stands still is no reason to wait longer.
    let _ = tokio::time::timeout(PATIENCE, count.wait_for(|count| *count >= target)).await;
}
