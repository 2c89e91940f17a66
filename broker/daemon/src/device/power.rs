//! Switching a device off and on: by the power of its hub port where the hub and the kernel can, otherwise by taking its
//! authorisation away and giving it back, which enumerates it anew without cutting its power.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::supervisor;

/// A write to these files waits in the kernel for whatever the device is doing.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

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
pub enum CycleError {
    /// There is no file to switch it with.
    #[error("the device has no power switch in sysfs")]
    NoSwitch,
    /// The kernel did not take it.
    #[error("write to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

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

    /// Switches it off and on again.
    pub async fn cycle(&self, off_for: Duration) -> Result<(), CycleError> {
        let mut result = Err(CycleError::NoSwitch);
        for (path, off, on) in [(&self.port, "1", "0"), (&self.authorized, "0", "1")] {
            let Some(path) = path else { continue };
            result = switch(path, off, on, off_for).await;
            match &result {
                Ok(()) => return result,
                Err(error) => tracing::debug!(error = error as &dyn std::error::Error, "this switch did not work"),
            }
        }
        result
    }
}

async fn switch(path: &Path, off: &'static str, on: &'static str, off_for: Duration) -> Result<(), CycleError> {
    write(path, off).await?;
    tokio::time::sleep(off_for).await;
    // A hub forgets a port that stays off, so switching on is tried again.
    match write(path, on).await {
        Ok(()) => Ok(()),
        Err(_) => write(path, on).await,
    }
}

async fn write(path: &Path, value: &'static str) -> Result<(), CycleError> {
    let failed = |source| CycleError::Write {
        path: path.to_owned(),
        source,
    };
    let target = path.to_owned();
    // Not created: a switch that is gone together with the device must not become a file.
    let write = move || {
        let mut file = std::fs::OpenOptions::new().write(true).open(target)?;
        io::Write::write_all(&mut file, value.as_bytes())
    };
    let written = supervisor::blocking("usb power", write).map_err(failed)?;
    match tokio::time::timeout(WRITE_LIMIT, written).await {
        Ok(Ok(result)) => result.map_err(failed),
        Ok(Err(_)) | Err(_) => Err(failed(io::Error::new(
            io::ErrorKind::TimedOut,
            "the kernel did not answer",
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_device_without_a_switch_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let power = Power::of(directory.path());
        assert!(matches!(power.cycle(Duration::ZERO).await, Err(CycleError::NoSwitch)));
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
        power.cycle(Duration::ZERO).await.unwrap();
        assert_eq!(std::fs::read_to_string(port.join("disable")).unwrap(), "0\n");
        assert_eq!(std::fs::read_to_string(device.join("authorized")).unwrap(), "1\n");
    }
}
