//! Locks that name their holder.
//!
//! Three things keep a port ours: `TIOCEXCL` keeps other users' opens out, an advisory `flock` on the device is what other
//! modem programs test, and a lock file in the classic UUCP place and format (`LCK..ttyUSB2`, the process id in ten
//! characters) tells people and older programs who holds it. The lock file is itself locked with `flock`, so one that a crash
//! left behind is recognised by being unlocked and is taken over.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// A lock file that is held.
#[derive(Debug)]
pub struct PortLock {
    file: Option<Flock<File>>,
    path: PathBuf,
}

/// Who holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its process id, when the lock file tells.
    pub pid: Option<u32>,
    /// Its command name, when the process can be seen.
    pub command: Option<String>,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.command, self.pid) {
            (Some(command), Some(pid)) => write!(f, "{command} (pid {pid})"),
            (None, Some(pid)) => write!(f, "process {pid}"),
            _ => f.write_str("another process"),
        }
    }
}

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody holds it.
    #[error("held by {0}")]
    Held(Held),
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl PortLock {
    /// Takes the lock of a device in a directory of lock files.
    pub fn acquire(directory: &Path, device: &Path) -> Result<Self, LockError> {
        let path = directory.join(lock_name(device));
        let io = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(directory).map_err(io)?;
        // The holder may remove the file between our open and our lock; a lock on a file without a name protects nobody.
        for _ in 0..8 {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(io)?;
            let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => file,
                Err((file, nix::errno::Errno::EWOULDBLOCK)) => return Err(LockError::Held(holder(file))),
                Err((_, errno)) => return Err(io(errno.into())),
            };
            if !is_same_file(&file, &path) {
                continue;
            }
            if let Some(held) = foreign_holder(&mut file) {
                return Err(LockError::Held(held));
            }
            file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
            writeln!(file, "{:>10}", std::process::id()).map_err(io)?;
            return Ok(PortLock { file: Some(file), path });
        }
        Err(io(io::Error::other("the lock file keeps being replaced")))
    }
}

impl Drop for PortLock {
    fn drop(&mut self) {
        // Removed while it is still locked, so that nobody takes a lock on a file that is about to lose its name.
        let _ = std::fs::remove_file(&self.path);
        self.file.take();
    }
}

/// `LCK..` and the device's name below `/dev`; for a symbolic link the device that it leads to, since that is what two
/// programs would fight over.
fn lock_name(device: &Path) -> String {
    let real = std::fs::canonicalize(device).unwrap_or_else(|_| device.to_owned());
    let below = real.strip_prefix("/dev").unwrap_or(&real);
    format!(
        "LCK..{}",
        below.to_string_lossy().trim_start_matches('/').replace('/', "_")
    )
}

fn is_same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(named)) => held.ino() == named.ino() && held.dev() == named.dev(),
        _ => false,
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(64).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn holder(mut file: File) -> Held {
    let pid = read_pid(&mut file);
    Held {
        pid,
        command: pid.and_then(command_name),
    }
}

/// A program that writes UUCP lock files without `flock` holds the port as long as its process lives.
fn foreign_holder(file: &mut File) -> Option<Held> {
    let pid = read_pid(file)?;
    if pid == std::process::id() {
        return None;
    }
    command_name(pid)
        .filter(|command| !command.starts_with("modem-broker"))
        .map(|command| Held {
            pid: Some(pid),
            command: Some(command),
        })
}

fn command_name(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_holder_is_told_who_holds_the_port() {
        let directory = tempfile::tempdir().unwrap();
        let device = directory.path().join("ttyUSB2");
        File::create(&device).unwrap();
        let first = PortLock::acquire(directory.path(), &device).unwrap();
        let error = PortLock::acquire(directory.path(), &device).unwrap_err();
        let LockError::Held(held) = error else {
            panic!("{error}")
        };
        assert_eq!(held.pid, Some(std::process::id()));
        drop(first);
        PortLock::acquire(directory.path(), &device).expect("free again after the holder is gone");
    }

    #[test]
    fn lock_file_of_a_dead_process_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let device = directory.path().join("ttyUSB2");
        let path = directory.path().join(lock_name(&device));
        // Process ids end at 4194304 on Linux, so this one never lives.
        std::fs::write(&path, "   4194999\n").unwrap();
        PortLock::acquire(directory.path(), &device).unwrap();
    }

    #[test]
    fn lock_file_of_a_living_foreign_process_is_respected() {
        let directory = tempfile::tempdir().unwrap();
        let device = directory.path().join("ttyUSB2");
        let path = directory.path().join(lock_name(&device));
        std::fs::write(&path, format!("{:>10}\n", 1)).unwrap();
        let LockError::Held(held) = PortLock::acquire(directory.path(), &device).unwrap_err() else {
            panic!()
        };
        assert_eq!(held.pid, Some(1));
    }
}
