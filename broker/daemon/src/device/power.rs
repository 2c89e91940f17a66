//! Switching a device off and on: by the power of its hub port where the hub and the kernel can, otherwise by taking its
//! authorisation away and giving it back, which enumerates it anew without cutting its power.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::supervisor::SystemCalls;

/// A write to these files waits in the kernel for whatever the device is doing.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

static CALLS: SystemCalls = SystemCalls::new("usb power");

/// Where a device can be switched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Power {
    /// `authorized` of the device.
    authorized: Option<PathBuf>,
    /// `disable` of the hub port that it hangs on (Linux 6.0).
    port: Option<PathBuf>,
}

/// Why a device could not be switched.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written", path.display())]
pub struct CycleError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    source: io::Error,
}

/// A file of sysfs that switches a device off and on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch(PathBuf);

impl Power {
    /// Looks for the switches of a device by its directory.
    pub(super) fn of(directory: &Path) -> Power {
        let existing = |path: PathBuf| path.exists().then_some(path);
        let port = std::fs::canonicalize(directory.join("port")).ok();
        Power {
            authorized: existing(directory.join("authorized")),
            port: port.and_then(|port| existing(port.join("disable"))),
        }
    }

    /// Whether the power of its hub port can be cut, also after the device is gone.
    pub fn has_port(&self) -> bool {
        self.port.is_some()
    }

    /// The switches that there are, the more thorough one first.
    pub fn switches(&self) -> impl Iterator<Item = Switch> {
        [&self.port, &self.authorized]
            .into_iter()
            .flatten()
            .cloned()
            .map(Switch)
    }
}

impl Switch {
    /// A switch that was used before, by its file.
    pub fn at(path: PathBuf) -> Switch {
        Switch(path)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What is written to switch off and on: the two kinds of file count the other way round.
    fn values(&self) -> (&'static str, &'static str) {
        if self.0.ends_with("authorized") {
            ("0", "1")
        } else {
            ("1", "0")
        }
    }

    /// Switches off.
    pub async fn off(&self) -> Result<(), CycleError> {
        write(&self.0, self.values().0).await
    }

    /// Switches on.
    pub async fn on(&self) -> Result<(), CycleError> {
        let (_, on) = self.values();
        // A hub forgets a port that stays off, so that it is tried again.
        match write(&self.0, on).await {
            Ok(()) => Ok(()),
            Err(_) => write(&self.0, on).await,
        }
    }
}

async fn write(path: &Path, value: &'static str) -> Result<(), CycleError> {
    let failed = |source| CycleError {
        path: path.to_owned(),
        source,
    };
    let target = path.to_owned();
    // Not created: a switch that is gone together with the device must not become a file.
    let write = move || {
        let mut file = std::fs::OpenOptions::new().write(true).open(target)?;
        io::Write::write_all(&mut file, value.as_bytes())
    };
    CALLS.run(WRITE_LIMIT, write).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_switch_that_is_gone_does_not_become_a_file() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Power::of(directory.path()).switches().count(), 0);
        let switch = Switch::at(directory.path().join("authorized"));
        assert!(switch.on().await.is_err());
        assert!(!switch.path().exists());
    }

    #[tokio::test]
    async fn the_hub_port_comes_before_the_authorisation() {
        let root = tempfile::tempdir().unwrap();
        let (device, port) = (root.path().join("1-1"), root.path().join("usb1-port1"));
        for directory in [&device, &port] {
            std::fs::create_dir(directory).unwrap();
        }
        std::fs::write(device.join("authorized"), "1\n").unwrap();
        assert!(!Power::of(&device).has_port());
        std::fs::write(port.join("disable"), "x\n").unwrap();
        std::os::unix::fs::symlink(&port, device.join("port")).unwrap();
        let power = Power::of(&device);
        assert!(power.has_port());
        let read = |path: &Path| std::fs::read_to_string(path).unwrap().trim().to_owned();
        let switches: Vec<Switch> = power.switches().collect();
        assert!(switches[0].path().ends_with("disable") && switches[1].path().ends_with("authorized"));
        for (switch, off, on) in [(&switches[0], "1", "0"), (&switches[1], "0", "1")] {
            switch.off().await.unwrap();
            assert_eq!(read(switch.path()), off);
            switch.on().await.unwrap();
            assert_eq!(read(switch.path()), on);
        }
    }
}
