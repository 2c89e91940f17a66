//! The daemon's command line: configuration, log, signals, exit codes (64 usage, 78 configuration, 1 everything else).

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use broker::config::Config;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

const DEFAULT_CONFIG: &str = "/etc/modem-broker/modem-broker.toml";

/// Holds every port of the modems exclusively and serves gRPC.
#[derive(Parser)]
#[command(name = "modem-broker", version)]
struct Arguments {
    /// Configuration file [default: /etc/modem-broker/modem-broker.toml, if it exists].
    #[arg(long, value_name = "FILE", env = "MODEM_BROKER_CONFIG")]
    config: Option<PathBuf>,
    /// Check the configuration and exit.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        std::process::exit(if error.use_stderr() { 64 } else { 0 })
    });
    broker::systemd::start_log();
    let path = arguments
        .config
        .or_else(|| Some(PathBuf::from(DEFAULT_CONFIG)).filter(|path| path.exists()));
    let config = match path.map_or_else(|| Ok(Config::default()), |path| Config::load(&path)) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{:#}", anyhow::Error::new(error));
            return ExitCode::from(78);
        }
    };
    if arguments.check {
        return ExitCode::SUCCESS;
    }
    let Err(error) = run(config) else {
        return ExitCode::SUCCESS;
    };
    tracing::error!("{error:#}");
    ExitCode::FAILURE
}

#[tokio::main]
async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let shutdown = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("shutting down");
    };
    Ok(broker::run(config, shutdown).await?)
}
