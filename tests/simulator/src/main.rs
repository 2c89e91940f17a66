//! `modem-sim`: a virtual SIM7600 on pseudo-terminals, and the command line that acts on it.

#![forbid(unsafe_code)]

mod cli;
mod ctl;

use std::process::ExitCode;

use clap::Parser;

fn main() -> anyhow::Result<ExitCode> {
    let cli = cli::Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            None => cli::run(cli.run).await,
            Some(cli::Command::Ctl { directory, action }) => ctl::run(&directory, action).await,
        }
    })
}
