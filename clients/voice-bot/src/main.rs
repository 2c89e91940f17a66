//! `voice-bot`: answers calls.

#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use voice_bot::{Config, ConfigError, Options};

/// Answers calls: greets, listens until the caller has finished, plays back what it heard, hangs up.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 stopped by a signal, 1 failure, 64 usage, 78 configuration."
)]
struct Arguments {
    /// Configuration file (TOML). What the command line says goes first.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only calls of this modem.
    #[arg(long, value_name = "NAME")]
    modem: Option<String>,
    /// RINGs before the call is answered, 1 to 10.
    #[arg(long, value_name = "COUNT")]
    answer_after_rings: Option<u32>,
    /// WAV file to greet with.
    #[arg(long, value_name = "FILE")]
    greeting: Option<PathBuf>,
    /// Silence that ends the caller's turn, in milliseconds.
    #[arg(long, value_name = "MS")]
    silence_ms: Option<u32>,
    /// File to which a line of JSON is appended for each call.
    #[arg(long, value_name = "FILE")]
    report_file: Option<PathBuf>,
    #[command(flatten)]
    broker: client::Settings,
}

impl Arguments {
    fn into_config(self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        config.modem = self.modem.unwrap_or(config.modem);
        config.answer_after_rings = self.answer_after_rings.unwrap_or(config.answer_after_rings);
        config.silence_ms = self.silence_ms.unwrap_or(config.silence_ms);
        config.greeting_wav = self.greeting.or(config.greeting_wav);
        config.report_file = self.report_file.or(config.report_file);
        config.broker = self.broker.or_env().or(config.broker);
        config.check()?;
        Ok(config)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        // A journal is no terminal: escape sequences would only be in the way there.
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing is left to do when even the help text cannot be written.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    let config = match arguments.into_config() {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::from(78);
        }
    };
    match voice_bot::run(config, Options::default(), termination()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Completes with SIGINT or SIGTERM.
async fn termination() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be caught; calls are not ended when the process is");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
