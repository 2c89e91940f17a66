//! What the broker takes while nothing happens, and until it serves.

use std::time::{Duration, Instant};

use api::v1::ListModemsRequest;
use client::{Broker, Settings};
use end_to_end::{LIMIT, Process, Rig, Setup};
use nix::sys::signal::Signal;
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

use crate::report::Row;

/// How long the broker is left alone before anything of it counts as idle.
const SETTLE: Duration = Duration::from_secs(3);

/// From the start of the process to its first answer: once without a store, then with one.
pub async fn starts(count: usize) -> anyhow::Result<Vec<Row>> {
    let rig = Rig::prepare(Setup::default()).await?;
    let mut first = Vec::new();
    let mut later = Vec::new();
    for round in 0..=count {
        let started = Instant::now();
        let mut process = Process::broker(rig.path(), rig.configuration())?;
        answered(&rig.endpoint()).await?;
        let took = started.elapsed().as_secs_f64() * 1e3;
        if round == 0 {
            first.push(took)
        } else {
            later.push(took)
        }
        process.signal(Signal::SIGTERM)?;
        process.ended(LIMIT).await?;
    }
    rig.stop().await?;
    let meaning = "start of the process -> first gRPC answer, the store being created";
    let again = "start of the process -> first gRPC answer, with a store that exists";
    Ok(vec![
        Row::new("first start", meaning, "ms", first).at_most(100.0, None),
        Row::new("start", again, "ms", later).at_most(100.0, None),
    ])
}

async fn answered(endpoint: &str) -> anyhow::Result<()> {
    let settings = Settings::for_endpoint(endpoint);
    let answer = async || {
        let Ok(broker) = Broker::connect(&settings).await else {
            return Ok(None);
        };
        Ok(broker.modems().list_modems(ListModemsRequest {}).await.ok().map(drop))
    };
    end_to_end::until("the broker answers", LIMIT, answer).await
}

/// Memory, processor time and AT commands of a broker whose modem is ready and which has no client.
pub async fn load(rig: &Rig, process: &Process, window: Duration) -> anyhow::Result<Vec<Row>> {
    tokio::time::sleep(SETTLE).await;
    let (pid, memory) = (process.id()?, process.memory_mib()?);
    let commands = rig.sim().books().await?.commands.total();
    let (started, before) = (Instant::now(), processor_time(pid)?);
    tokio::time::sleep(window).await;
    let (passed, after) = (started.elapsed(), processor_time(pid)?);
    let asked = rig.sim().books().await?.commands.total() - commands;
    let load = after.saturating_sub(before).as_secs_f64() / passed.as_secs_f64() * 100.0;
    let a_minute = asked as f64 / passed.as_secs_f64() * 60.0;
    Ok(vec![
        Row::new(
            "idle memory",
            "proportional set size of a broker with one modem that is ready (smaps_rollup)",
            "MiB",
            vec![memory],
        )
        .at_most(12.0, None),
        Row::new(
            "idle load",
            "processor time of all its threads, in percent of one core",
            "%",
            vec![load],
        )
        .at_most(0.1, None),
        Row::new("idle commands", "AT commands on all ports", "1/min", vec![a_minute]).at_most(6.0, None),
    ])
}

/// Memory after all the load of this run.
pub fn memory_after(process: &Process) -> anyhow::Result<Row> {
    let memory = process.memory_mib()?;
    Ok(Row::new(
        "memory after load",
        "proportional set size at the end of this run",
        "MiB",
        vec![memory],
    ))
}

/// Processor time of all threads, also of those that have ended: the pool of blocking threads shrinks while nothing happens.
pub fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?))?;
    Ok(clock.now()?.into())
}
