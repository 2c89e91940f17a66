//! Kills the broker in the middle of its work, many times, and compares the ledgers afterwards.
//!
//! Every run is drawn from a seed, which a failure names: `crash --runs 1 --seed SEED` draws the same plan again (what the
//! operating system makes of the same moments is its own). Build it with the programs it runs:
//! `cargo build --release -p broker -p simulator -p end_to_end`.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use end_to_end::crash::{self, Account, Plan, Verdict};
use futures_util::StreamExt as _;
use serde::Serialize;

/// Proves that no message is lost, doubled or sent twice, however the broker ends.
#[derive(Debug, Parser)]
#[command(name = "crash")]
struct Arguments {
    /// How many runs.
    #[arg(long, default_value_t = 20)]
    runs: u64,
    /// The seed of the first run; each further run takes the next one.
    #[arg(long)]
    seed: Option<u64>,
    /// What goes wrong beside the kills.
    #[arg(long, value_enum, default_value_t = Kind::Both)]
    kind: Kind,
    /// Runs at the same time.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// The summary as JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Nothing else.
    Kills,
    /// The modem misbehaves as well.
    Mishaps,
    /// Even seeds the one, odd seeds the other.
    Both,
}

impl Kind {
    fn plan(self, seed: u64) -> Plan {
        match self {
            Kind::Kills => Plan::of_kills(seed),
            Kind::Mishaps => Plan::of_mishaps(seed),
            Kind::Both if seed.is_multiple_of(2) => Plan::of_kills(seed),
            Kind::Both => Plan::of_mishaps(seed),
        }
    }
}

/// The outcome of all runs.
#[derive(Debug, Serialize)]
struct Summary {
    first_seed: u64,
    kind: Kind,
    seconds: f64,
    failed_seeds: Vec<u64>,
    /// Runs that could not be judged: something never came to rest.
    broken_seeds: Vec<u64>,
    #[serde(flatten)]
    account: Account,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let first = arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    writeln!(
        std::io::stderr(),
        "{} runs, seeds from {first}, {} at a time",
        arguments.runs,
        arguments.workers
    )?;
    let begin = Instant::now();
    let mut summary = Summary {
        first_seed: first,
        kind: arguments.kind,
        seconds: 0.0,
        failed_seeds: Vec::new(),
        broken_seeds: Vec::new(),
        account: Account::default(),
    };
    let runs = (first..first + arguments.runs).map(|seed| async move {
        let plan = arguments.kind.plan(seed);
        (seed, crash::run(&plan).await)
    });
    let mut runs = futures_util::stream::iter(runs).buffer_unordered(arguments.workers.max(1));
    while let Some((seed, outcome)) = runs.next().await {
        summary.take(seed, outcome)?;
    }
    summary.seconds = begin.elapsed().as_secs_f64();
    summary.print(arguments.json)?;
    anyhow::ensure!(
        summary.failed_seeds.is_empty() && summary.broken_seeds.is_empty(),
        "{} runs failed, {} could not be judged",
        summary.failed_seeds.len(),
        summary.broken_seeds.len()
    );
    Ok(())
}

impl Summary {
    fn take(&mut self, seed: u64, outcome: anyhow::Result<Verdict>) -> anyhow::Result<()> {
        let mut err = std::io::stderr().lock();
        match outcome {
            Ok(verdict) => {
                self.account.add(&verdict.account);
                if !verdict.is_clean() {
                    self.failed_seeds.push(seed);
                    writeln!(err, "FAILED seed {seed}\n  {}", verdict.violations.join("\n  "))?;
                    writeln!(err, "{}", verdict.log)?;
                }
            }
            Err(error) => {
                self.broken_seeds.push(seed);
                writeln!(err, "BROKEN seed {seed}: {error:#}")?;
            }
        }
        let done = self.account.runs + self.broken_seeds.len() as u64;
        if done.is_multiple_of(50) {
            writeln!(err, "{done} runs")?;
        }
        Ok(())
    }

    fn print(&self, json: bool) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut out, self)?;
            writeln!(out)?;
            return Ok(());
        }
        let serde_json::Value::Object(fields) = serde_json::to_value(self)? else {
            return Ok(());
        };
        for (name, value) in fields {
            writeln!(out, "{:24} {value}", name.replace('_', " "))?;
        }
        Ok(())
    }
}
