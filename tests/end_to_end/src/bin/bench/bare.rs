//! A terminal without a broker: the same command, written and read by the shortest way there is.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const ANSWER_LIMIT_MS: u16 = 5000;

/// An open AT port.
pub struct BarePort(File);

impl BarePort {
    /// Opens it and switches the echo off.
    pub fn open(device: &Path) -> anyhow::Result<BarePort> {
        let mut port = BarePort(end_to_end::open_raw(device)?);
        port.exchange("ATE0")?;
        Ok(port)
    }

    /// Writes a command and reads up to its `OK`; how long that took.
    pub fn exchange(&mut self, command: &str) -> anyhow::Result<Duration> {
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        let started = Instant::now();
        self.0.write_all(format!("{command}\r").as_bytes())?;
        while !answer.ends_with(b"OK\r\n") {
            let mut waiting = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut waiting, PollTimeout::from(ANSWER_LIMIT_MS))?;
            anyhow::ensure!(ready > 0, "no answer to {command}");
            let count = self.0.read(&mut buffer)?;
            answer.extend(buffer.get(..count).context("more than there is room for")?);
        }
        Ok(started.elapsed())
    }
}
