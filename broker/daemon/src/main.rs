//! The daemon's command line: configuration, log, signals, exit codes (64 usage, 78 configuration, 1 everything else).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use broker::config::{Config, ConfigError};
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

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
    let config = match load(path.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{:#}", anyhow::Error::new(error));
            return ExitCode::from(78);
        }
    };
    if arguments.check {
        return ExitCode::SUCCESS;
    }
    let Err(error) = run(config, path) else {
        return ExitCode::SUCCESS;
    };
    tracing::error!("{error:#}");
    ExitCode::FAILURE
}

fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    path.map_or_else(|| Ok(Config::default()), Config::load)
}

/// Reads the configuration again at each SIGHUP. A wrong one changes nothing.
async fn reload(mut hangup: Signal, path: Option<PathBuf>, reloads: mpsc::Sender<Config>) {
    while hangup.recv().await.is_some() {
        match load(path.as_deref()) {
            Ok(config) => {
                if reloads.send(config).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::error!("{:#}; what was in force stays", anyhow::Error::new(error)),
        }
    }
}

#[tokio::main]
async fn run(config: Config, path: Option<PathBuf>) -> anyhow::Result<()> {
    let hangup = signal(SignalKind::hangup()).context("failed to listen for SIGHUP")?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let shutdown = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("shutting down");
    };
    let (sender, reloads) = mpsc::channel(1);
    let reloading = reload(hangup, path, sender);
    let serving = broker::run_reloading(config, reloads, shutdown);
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => Ok(served?),
        () = reloading => Ok(serving.await?),
    }
}
