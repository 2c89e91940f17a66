//! One broker for each state directory. A second one would settle what the first has under way as if that were dead.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StoreError;

/// The lock of a state directory. The kernel gives it back when the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Locks the directory of a database, and makes it if it is missing. Comes before everything else that a broker does.
    pub fn take(database: &Path) -> Result<Self, StoreError> {
        let directory = match database.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let io = |action: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io {
                action,
                path,
                source: Arc::new(source),
            }
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io("create", directory))?;
        let path = PathBuf::from(directory).join("broker.lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // A name for people; that the lock is held is known without it.
                let _ = file.read_to_string(&mut pid);
                return Err(StoreError::DirectoryTaken {
                    directory: directory.to_owned(),
                    pid: pid.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock", &path)(source)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        // A full disk must not keep the broker from starting.
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "the process id is not in the lock file");
        }
        Ok(Self { _file: file })
    }
}
