//! The programs as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use api::v1::Modem;
use client::Broker;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::LIMIT;

/// A program of the workspace, built with the same profile as the program that asks. Cargo builds the binaries of another
/// package only when that package is built, so they may be missing.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let mut directory = std::env::current_exe()?;
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    let path = directory.join(name);
    anyhow::ensure!(
        path.exists(),
        "{} is missing: build it with `cargo build -p broker -p simulator` and the same profile",
        path.display()
    );
    Ok(path)
}

/// A broker that runs as a process of its own. Dropping it kills it.
pub struct Process {
    child: Child,
    configuration: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts the broker with a configuration, which is written to `broker.toml` in the directory.
    pub fn broker(directory: &Path, configuration: &str) -> anyhow::Result<Process> {
        Process::start(directory, configuration, Command::new(program("modem-broker")?))
    }

    /// The same, with at most so many open descriptors.
    pub fn limited_broker(directory: &Path, configuration: &str, descriptors: u64) -> anyhow::Result<Process> {
        let mut command = Command::new("prlimit");
        command
            .arg(format!("--nofile={descriptors}:{descriptors}"))
            .arg(program("modem-broker")?);
        Process::start(directory, configuration, command)
    }

    /// The same without `CAP_NET_ADMIN`, whoever starts it.
    pub fn broker_without_network_rights(directory: &Path, configuration: &str) -> anyhow::Result<Process> {
        let broker = program("modem-broker")?;
        let command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--inh-caps=-net_admin", "--bounding-set=-net_admin", "--"])
                .arg(broker);
            command
        } else {
            Command::new(broker)
        };
        Process::start(directory, configuration, command)
    }

    fn start(directory: &Path, configuration: &str, mut command: Command) -> anyhow::Result<Process> {
        let path = directory.join("broker.toml");
        std::fs::write(&path, configuration)?;
        // A file rather than a pipe: nobody reads while the broker runs, and a full pipe would block it.
        let log = directory.join("broker.log");
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let child = command
            .arg("--config")
            .arg(&path)
            .env_remove("MODEM_BROKER_CONFIG")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Process {
            child,
            configuration: path,
            log,
        })
    }

    /// The configuration file.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// The process id.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.child.id().context("the broker has ended")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(Pid::from_raw(i32::try_from(self.id()?)?), signal)?;
        Ok(())
    }

    /// Its memory: the proportional set size, in MiB.
    pub fn memory_mib(&self) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id()?))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB"));
        Ok(kilobytes.context("no Pss in smaps_rollup")?.trim().parse::<f64>()? / 1024.0)
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let status = tokio::time::timeout(limit, self.child.wait()).await;
        Ok(status.with_context(|| format!("the broker did not end within {limit:?}"))??)
    }

    /// Waits until it ends by itself; its exit code and everything that it said.
    pub async fn said(mut self) -> anyhow::Result<(Option<i32>, String)> {
        let status = self.ended(LIMIT).await?;
        Ok((status.code(), std::fs::read_to_string(&self.log)?))
    }

    /// Connects as soon as it serves.
    pub async fn connect(&self, endpoint: &str) -> anyhow::Result<Broker> {
        crate::rig::connect(endpoint).await
    }
}

/// Waits until a modem of a broker is ready.
pub async fn ready(broker: &Broker, modem: &str) -> anyhow::Result<Modem> {
    crate::rig::ready(broker, modem).await
}
