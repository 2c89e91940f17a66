//! Whether the store can be written, and how much room is left for it: told before it is full, not after.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::{FsFlags, statvfs};
use tokio::sync::watch;

use super::{Store, StoreError};
use crate::supervisor;

/// Time between two looks at the file system. Nothing is written for it while the store is well.
const INTERVAL: Duration = Duration::from_secs(10);
/// Below this many free octets the disk is nearly full: room for some 20,000 messages, and time to do something.
const NEARLY_FULL_OCTETS: u64 = 64 * 1024 * 1024;

/// How the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// In a word.
    pub state: StoreState,
    /// What is wrong and what to do; empty while all is well.
    pub detail: String,
    /// Octets that are free on its file system.
    pub free_octets: u64,
}

/// How the store is, in a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreState {
    /// Well.
    #[default]
    Ok,
    /// Written, but not for long any more.
    Degraded,
    /// Nothing can be stored: received messages stay in the module, and events are told to those who listen just then.
    Failed,
}

/// The file that was opened. Another one under its name, or none, means that what is written is lost.
#[derive(Debug)]
pub(super) struct OpenFile {
    path: PathBuf,
    device: u64,
    pub(super) inode: u64,
}

impl OpenFile {
    pub(super) fn new(path: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Refuses when the file has no name any more.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match std::fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            _ => Err(StoreError::Gone {
                path: self.path.clone(),
            }),
        }
    }

    fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// What the file system says.
    fn look(&self) -> StoreHealth {
        if let Err(error) = self.check() {
            return failed(&error);
        }
        let directory = self.directory();
        let Ok(found) = statvfs(directory) else {
            return StoreHealth::default();
        };
        #[expect(clippy::useless_conversion, reason = "the types are shorter on 32-bit machines")]
        let free_octets = u64::from(found.blocks_available()) * u64::from(found.fragment_size());
        let (state, detail) = if found.flags().contains(FsFlags::ST_RDONLY) {
            let detail = format!(
                "the file system of {} is read-only: look for disk errors in the kernel's log, then remount it or exchange the disk",
                directory.display()
            );
            (StoreState::Failed, detail)
        } else if free_octets < NEARLY_FULL_OCTETS {
            let detail = format!(
                "only {} MiB are free for {}: free some space, or keep less ([store] in the configuration)",
                free_octets / (1024 * 1024),
                directory.display()
            );
            (StoreState::Degraded, detail)
        } else {
            (StoreState::Ok, String::new())
        };
        StoreHealth {
            state,
            detail,
            free_octets,
        }
    }
}

fn failed(error: &StoreError) -> StoreHealth {
    StoreHealth {
        state: StoreState::Failed,
        detail: error.cure(),
        free_octets: 0,
    }
}

/// The health, shared by the writer, who meets what fails, and by whoever shows it.
#[derive(Debug, Default)]
pub(super) struct Monitor(watch::Sender<StoreHealth>);

impl Monitor {
    /// A transaction ended like this.
    pub(super) fn note(&self, outcome: Result<(), &StoreError>) {
        let Err(error) = outcome else { return };
        let known = self.0.borrow().clone();
        let failed = StoreHealth {
            free_octets: known.free_octets,
            ..failed(error)
        };
        self.set(failed);
    }

    fn set(&self, health: StoreHealth) {
        self.0.send_if_modified(|known| {
            if (known.state, &known.detail) != (health.state, &health.detail) {
                match health.state {
                    StoreState::Ok => tracing::info!("the store is well again"),
                    StoreState::Degraded => tracing::warn!(detail = health.detail, "the store"),
                    StoreState::Failed => tracing::error!(detail = health.detail, "the store cannot be written"),
                }
            }
            let changed = *known != health;
            *known = health;
            changed
        });
    }
}

impl Store {
    /// How the store is.
    pub fn health(&self) -> StoreHealth {
        self.writer.monitor().0.borrow().clone()
    }

    /// Changes of the health.
    pub fn health_changes(&self) -> watch::Receiver<StoreHealth> {
        self.writer.monitor().0.subscribe()
    }

    /// Looks at the file system every few seconds; never ends.
    pub async fn keep_watched(&self) {
        loop {
            self.look_after().await;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Looks at the file system once. A store that failed is tried, so that it is found when it is well again.
    pub async fn look_after(&self) {
        let writer = std::sync::Arc::clone(&self.writer);
        let looked = supervisor::on_disk(move || writer.file().look()).await;
        let Ok(mut seen) = looked else { return };
        if seen.state != StoreState::Failed && self.health().state == StoreState::Failed {
            let tried = self
                .write("try whether the store can be written", |writing| {
                    writing
                        .connection
                        .execute("UPDATE journal SET pruned_to = pruned_to", [])?;
                    Ok(())
                })
                .await;
            if let Err(error) = tried {
                seen = StoreHealth {
                    free_octets: seen.free_octets,
                    ..failed(&error)
                };
            }
        }
        self.writer.monitor().set(seen);
    }
}
