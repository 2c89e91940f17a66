//! The file that tells other programs which port is which, in the form that the gateway's older scripts read.
//!
//! It is there only while the modem is, since the numbers of ttys are given to other devices afterwards; it is replaced as a
//! whole, so a reader sees the old one or the new one.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::resource::{ModemStatus, PortRole, Stage};
use crate::supervisor;

/// The content. Ports that the device does not have are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Map {
    #[serde(skip_serializing_if = "Option::is_none")]
    config_port: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nmea: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sms_port: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ims_apn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<String>,
}

/// The file of a modem, and what was written to it.
pub(super) struct PortMap {
    path: Option<PathBuf>,
    written: Option<String>,
    writing: bool,
}

impl PortMap {
    /// A file from an earlier life is not trusted.
    pub(super) fn new(path: Option<PathBuf>) -> PortMap {
        PortMap {
            written: path.as_ref().map(|_| "unknown".to_owned()),
            path,
            writing: false,
        }
    }

    /// Work that brings the file up to date, if that is needed and none is under way.
    pub(super) fn due(&mut self, status: &ModemStatus) -> Option<impl Future<Output = Option<String>> + Send + use<>> {
        let path = self.path.clone()?;
        let wanted = content(status);
        if self.writing || self.written == wanted {
            return None;
        }
        self.writing = true;
        Some(async move {
            let file = path.clone();
            let content = wanted.clone();
            let done = supervisor::on_disk(move || match content {
                Some(content) => replace(&file, &content),
                None => remove(&file),
            });
            match done.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(path = %path.display(), %error, "could not write the port map"),
                Err(_) => {
                    tracing::error!(path = %path.display(), "could not write the port map: its disk does not answer")
                }
            }
            // A file that cannot be written is not tried again before something changes.
            wanted
        })
    }

    /// The work is done.
    pub(super) fn done(&mut self, written: Option<String>) {
        self.writing = false;
        self.written = written;
    }
}

/// What the file should hold; `None`: it should not be there.
fn content(status: &ModemStatus) -> Option<String> {
    let carrier = status.carrier.as_ref().filter(|_| status.stage > Stage::Carrier)?;
    let path_of = |role: PortRole| {
        let port = status.ports.iter().find(|port| port.role == role)?;
        Some(port.path.clone())
    };
    let calls = path_of(PortRole::AtCalls).or_else(|| path_of(PortRole::At));
    let not_empty = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let map = Map {
        config_port: calls.clone(),
        nmea: path_of(PortRole::Nmea),
        sms_port: path_of(PortRole::At),
        at_command: calls,
        audio: path_of(PortRole::Audio),
        apn: not_empty(&carrier.data_apn),
        ims_apn: not_empty(&carrier.ims_apn),
        carrier: not_empty(&carrier.name),
    };
    serde_json::to_string_pretty(&map).ok().map(|text| text + "\n")
}

/// Writes beside the file, makes it durable, and puts it in its place.
fn replace(path: &Path, content: &str) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(directory)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = directory.join(name);
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    std::fs::File::open(directory)?.sync_all()
}

pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use jiff::Timestamp;

    use super::*;
    use crate::resource::{Carrier, Port, PortState};

    fn status(stage: Stage) -> ModemStatus {
        let port = |role, path: &str| Port {
            role,
            state: PortState::Open,
            path: path.to_owned(),
            detail: String::new(),
            state_time: Timestamp::UNIX_EPOCH,
        };
        ModemStatus {
            stage,
            ports: vec![
                port(PortRole::Diagnostics, "/dev/ttyUSB0"),
                port(PortRole::Nmea, "/dev/ttyUSB1"),
                port(PortRole::At, "/dev/ttyUSB2"),
                port(PortRole::AtCalls, "/dev/ttyUSB3"),
                port(PortRole::Audio, "/dev/ttyUSB4"),
            ],
            carrier: Some(Carrier {
                name: "O2 UK".to_owned(),
                data_apn: "mobile.o2.co.uk".to_owned(),
                ims_apn: "ims".to_owned(),
                ..Carrier::default()
            }),
            ..ModemStatus::default()
        }
    }

    #[test]
    fn the_file_has_the_keys_that_older_scripts_read() {
        expect![[r#"
            {
              "config_port": "/dev/ttyUSB3",
              "nmea": "/dev/ttyUSB1",
              "sms_port": "/dev/ttyUSB2",
              "at_command": "/dev/ttyUSB3",
              "audio": "/dev/ttyUSB4",
              "apn": "mobile.o2.co.uk",
              "ims_apn": "ims",
              "carrier": "O2 UK"
            }
        "#]]
        .assert_eq(&content(&status(Stage::Ready)).unwrap_or_default());
        assert_eq!(content(&status(Stage::Sim)), None, "without a SIM nothing is known");
        assert_eq!(content(&status(Stage::Absent)), None);
    }

    #[tokio::test]
    async fn the_file_follows_the_modem_and_is_never_half_written() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("run/ports.json");
        let mut map = PortMap::new(Some(path.clone()));
        for (stage, there) in [(Stage::Absent, false), (Stage::Ready, true), (Stage::Sim, false)] {
            let work = map.due(&status(stage)).expect("something to do");
            assert!(map.due(&status(stage)).is_none(), "one at a time");
            let written = work.await;
            map.done(written);
            assert!(map.due(&status(stage)).is_none(), "nothing left to do");
            assert_eq!(path.exists(), there, "{stage:?}");
        }
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(PortMap::new(None).due(&status(Stage::Ready)).is_none());
    }
}
