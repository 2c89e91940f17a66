//! `sms-bridge`: short messages over HTTP.

#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sms_bridge::{Config, ConfigError, Options, Webhook};
use tokio::signal::unix::{SignalKind, signal};

/// Short messages over HTTP: POST /send, GET /messages, GET /status, GET /health, and a webhook for what comes in.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 stopped by a signal, 1 failure, 64 usage, 78 configuration."
)]
struct Arguments {
    /// Configuration file (TOML). What the command line says goes first.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to serve HTTP. Beyond loopback only with a token.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// File with the bearer token that callers must present.
    #[arg(long, value_name = "FILE")]
    http_token_file: Option<PathBuf>,
    /// Ask for no token: everybody on this machine may send and read messages.
    #[arg(long, conflicts_with = "http_token_file")]
    without_token: bool,
    /// Where to send what comes in.
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// File with the secret that signs what is sent there.
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
    #[command(flatten)]
    broker: client::Settings,
}

impl Arguments {
    fn into_config(self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        config.listen = self.listen.unwrap_or(config.listen);
        if let Some(path) = self.http_token_file {
            (config.token_file, config.without_token) = (path, false);
        }
        config.without_token |= self.without_token;
        config.broker = self.broker.or_env().or(config.broker);
        if let Some(url) = self.webhook_url {
            config.webhook = Some(match config.webhook {
                Some(webhook) => Webhook { url, ..webhook },
                None => Webhook::new(url),
            });
        }
        if let (Some(webhook), Some(path)) = (&mut config.webhook, self.webhook_secret_file) {
            webhook.secret_file = Some(path);
        }
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
    match sms_bridge::run(config, Options::default(), termination()).await {
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
        tracing::warn!("signals cannot be caught; the process ends without draining requests");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
