//! What the broker costs, measured against the instant virtual modem: latencies, memory, start-up, idle load, throughput.
//!
//! The broker is a process of its own, as in service. Whatever is compared is measured in turns within one run, so that the
//! machine's mood hits both sides. Build both with the same profile: `cargo build --release -p broker -p end_to_end`.

#![forbid(unsafe_code)]

mod bare;
mod idle;
mod latency;
mod report;

use std::time::Duration;

use clap::Parser;
use end_to_end::{Process, Rig, Setup, binaries};
use report::Row;

/// Measures the broker against the virtual modem.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Fewer rounds, and 10 s instead of 180 s of idling; the latter sees the status being read twice, the former not once.
    #[arg(long)]
    quick: bool,
    /// The rows as a JSON array on standard output.
    #[arg(long)]
    json: bool,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Plan {
    rounds: usize,
    starts: usize,
    idle: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let plan = if arguments.quick {
        Plan {
            rounds: 200,
            starts: 5,
            idle: Duration::from_secs(10),
        }
    } else {
        Plan {
            rounds: 1000,
            starts: 20,
            idle: Duration::from_secs(180),
        }
    };
    let rows = measure(plan).await?;
    report::print(&rows, arguments.json)
}

async fn measure(plan: Plan) -> anyhow::Result<Vec<Row>> {
    let mut rows = idle::starts(plan.starts).await?;
    let rig = Rig::prepare(Setup::default()).await?;
    let process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    // Idle first: afterwards the allocator keeps what the load needed.
    rows.extend(idle::load(&rig, process.id()?, plan.idle).await?);
    rows.extend(latency::command(&broker, plan.rounds).await?);
    rows.push(latency::sync(rig.path(), plan.rounds)?);
    rows.push(latency::announcement(&rig, &broker, plan.rounds.min(400)).await?);
    rows.push(latency::submission(&rig, &broker, plan.rounds.min(400)).await?);
    rows.push(latency::burst(&rig, &broker).await?);
    rows.push(idle::memory_after(process.id()?)?);
    Ok(rows)
}
