//! What the broker costs, measured against the instant virtual modem: latencies, memory, start-up, idle load, throughput.
//!
//! The broker is a process of its own, as in service. Whatever is compared is measured in turns within one run, so that the
//! machine's mood hits both sides. Build both as packages are built: `cargo build --profile dist -p broker -p end_to_end`,
//! then `target/dist/bench`.

#![forbid(unsafe_code)]

mod autogroup;
mod bare;
mod bring_up;
mod calls;
mod chirp;
mod exact;
mod failover;
mod idle;
mod latency;
mod neighbour;
mod presence;
mod recovery;
mod report;
mod sending;
mod standstill;
mod subscribers;

use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use end_to_end::{Process, Rig, Setup, binaries};
use recovery::Trouble;
use report::Row;

/// Measures the broker against the virtual modem.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Fewer rounds and shorter waits: 10 s instead of 180 s of idling (the latter sees the status being read twice, the
    /// former not once), 5 s of a silent modem instead of 60, 20 messages at 1 s instead of 200, one crowd instead of two.
    #[arg(long)]
    quick: bool,
    /// The rows as a JSON array on standard output.
    #[arg(long)]
    json: bool,
    /// Only these parts [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// How long the four calls of `exact` last [default: 2, with --quick a third].
    #[arg(long)]
    minutes: Option<f64>,
}

/// What can be measured on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// From the start of the process to its first answer.
    Start,
    /// From a modem that is there to one that works.
    BringUp,
    /// Memory, processor time and commands while nothing happens.
    Idle,
    /// Commands, messages in, messages out, one at a time.
    Latency,
    /// Two hundred messages at once.
    Burst,
    /// A modem that needs a second for each message.
    Sending,
    /// A modem that is silent, unplugged, or noisy in the middle of a burst.
    Recovery,
    /// From a pulled cable or a hang to the news of it, and to service.
    Presence,
    /// A modem beside one that is dead.
    Neighbour,
    /// A thousand subscribers.
    Subscribers,
    /// From a primary WAN that fails to packets that go through the modem. Needs root, and only when it is named.
    Failover,
    /// Rings, ends of calls, and how long audio takes each way.
    Calls,
    /// Four calls at once beside two CPU hogs, sample by sample.
    Exact,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Plan {
    rounds: usize,
    starts: usize,
    cold_starts: usize,
    idle: Duration,
    queue: usize,
    silence: Duration,
    replugs: usize,
    hangs: usize,
    crowds: &'static [usize],
    failover: failover::Extent,
    calls: usize,
    audio: Duration,
    exact: Duration,
}

const FULL: Plan = Plan {
    rounds: 1000,
    starts: 20,
    cold_starts: 5,
    idle: Duration::from_secs(180),
    queue: 200,
    silence: Duration::from_secs(60),
    replugs: 100,
    hangs: 4,
    crowds: &[4, 1000],
    failover: failover::Extent {
        rounds: 9,
        loss: Duration::from_secs(120),
        flaps: 20,
        kills: 10,
    },
    calls: 40,
    audio: Duration::from_secs(60),
    exact: Duration::from_secs(120),
};

const QUICK: Plan = Plan {
    rounds: 200,
    starts: 5,
    cold_starts: 1,
    idle: Duration::from_secs(10),
    queue: 20,
    silence: Duration::from_secs(5),
    replugs: 10,
    hangs: 1,
    crowds: &[4],
    failover: failover::Extent {
        rounds: 2,
        loss: Duration::from_secs(30),
        flaps: 3,
        kills: 2,
    },
    calls: 6,
    audio: Duration::from_secs(10),
    exact: Duration::from_secs(20),
};

/// How long the cable is out.
const UNPLUGGED: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut plan = if arguments.quick { QUICK } else { FULL };
    if let Some(minutes) = arguments.minutes {
        plan.exact = Duration::try_from_secs_f64(minutes * 60.0).context("--minutes is no length of time")?;
    }
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let rows = measure(plan, &arguments.only, wanted).await?;
    report::print(&rows, arguments.json)
}

async fn measure(plan: Plan, only: &[Part], wanted: impl Fn(Part) -> bool) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    if only == [Part::Failover] {
        return failover::measure(plan.failover);
    }
    if wanted(Part::Start) {
        rows.extend(idle::starts(plan.starts).await?);
    }
    if wanted(Part::BringUp) {
        rows.extend(bring_up::bring_up(plan.starts, plan.cold_starts).await?);
    }
    if wanted(Part::Neighbour) {
        rows.extend(neighbour::dead(plan.rounds.min(300)).await?);
    }
    let rig = Rig::prepare(Setup::default()).await?;
    let process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    // Idle first: afterwards the allocator keeps what the load needed.
    if wanted(Part::Idle) {
        rows.extend(idle::load(&rig, &process, plan.idle).await?);
    }
    if wanted(Part::Latency) {
        rows.extend(latency::command(&broker, plan.rounds).await?);
        rows.push(latency::sync(rig.path(), plan.rounds)?);
        rows.extend(latency::announcement(&rig, &broker, plan.rounds.min(400)).await?);
        rows.push(latency::submission(&rig, &broker, plan.rounds.min(400)).await?);
    }
    if wanted(Part::Burst) {
        rows.extend(latency::burst(&rig, &broker).await?);
    }
    if wanted(Part::Sending) {
        rows.extend(sending::queue(&rig, &broker, plan.queue).await?);
    }
    if wanted(Part::Recovery) {
        for trouble in [
            Trouble::Garbage,
            Trouble::Unplugged(UNPLUGGED),
            Trouble::Silence(plan.silence),
        ] {
            rows.extend(recovery::burst(&rig, &broker, trouble).await?);
            binaries::ready(&broker, "sim1").await?;
        }
    }
    if wanted(Part::Presence) {
        rows.extend(presence::replug(&rig, &broker, plan.replugs).await?);
        rows.extend(presence::hung(plan.hangs).await?);
    }
    if wanted(Part::Calls) {
        rows.extend(calls::control(&rig, &broker, plan.calls).await?);
        rows.push(calls::hanging_up(&rig, &broker, plan.calls / 2).await?);
        rows.push(calls::hanging_up_during_a_search(&rig, &broker, plan.calls / 2).await?);
        rows.push(calls::losing(&rig, &broker, plan.calls / 2).await?);
        rows.extend(calls::audio(&rig, &broker, plan.audio).await?);
        rows.extend(chirp::round_trip(&rig, &broker, plan.calls).await?);
        rows.push(calls::clearing(&rig, &broker, plan.calls).await?);
    }
    rows.push(idle::memory_after(&process)?);
    if wanted(Part::Subscribers) {
        for connections in plan.crowds {
            rows.extend(subscribers::crowd(&rig, &process, *connections, plan.rounds.min(100)).await?);
        }
    }
    if wanted(Part::Exact) {
        drop(process);
        rows.extend(exact::calls(plan.exact).await?);
    }
    Ok(rows)
}
