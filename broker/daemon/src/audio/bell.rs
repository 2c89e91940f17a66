//! How the audio thread wakes the session: a pipe, because ringing it takes no lock that a task could hold, allocates
//! nothing and never waits.

use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use tokio::net::unix::pipe;

/// The end that rings.
#[derive(Debug)]
pub(super) struct Bell(OwnedFd);

/// The end that hears, before it belongs to a runtime.
#[derive(Debug)]
pub(super) struct Ear(OwnedFd);

/// A bell and who hears it.
pub(super) fn bell() -> io::Result<(Bell, Ear)> {
    let (ear, bell) = nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
    Ok((Bell(bell), Ear(ear)))
}

impl Bell {
    pub(super) fn ring(&self) {
        // It only fails when the pipe is full, and then it rings already, or when nobody hears it any more.
        let _ = nix::unistd::write(&self.0, &[1]);
    }
}

impl Ear {
    /// Joins the runtime that runs the caller.
    pub(super) fn listen(self) -> io::Result<Listening> {
        pipe::Receiver::from_owned_fd(self.0).map(Listening)
    }
}

/// The end that hears.
#[derive(Debug)]
pub(super) struct Listening(pipe::Receiver);

impl Listening {
    /// Waits until it has rung since the last time.
    pub(super) async fn rung(&self) -> io::Result<()> {
        self.0.readable().await?;
        let mut rings = [0; 64];
        match self.0.try_read(&mut rings) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}
