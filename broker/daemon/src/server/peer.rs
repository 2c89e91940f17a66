//! Who is at the other end of a unix socket: user and groups, as the kernel knew them when the connection was made.

#![expect(
    unsafe_code,
    reason = "SO_PEERGROUPS has no safe wrapper; the kernel writes at most the octets of the buffer that it is told of"
)]

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use tokio::net::UnixStream;

/// Supplementary groups that are looked at; Linux allows 65536.
const GROUPS_MAX: usize = 65_536;
/// Groups that most users have room in.
const GROUPS_USUAL: usize = 64;

/// The kernel's own number for a user that it cannot name (`overflowuid`).
const NOBODY: u32 = 65_534;

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) uid: u32,
    /// The group of the process and its supplementary ones.
    pub(super) groups: Arc<[u32]>,
}

impl Peer {
    /// Asks the kernel. One of whom it knows nothing is nobody.
    pub(super) fn of(stream: &UnixStream) -> Self {
        let Ok(credentials) = stream.peer_cred() else {
            return Self {
                uid: NOBODY,
                groups: Arc::default(),
            };
        };
        let mut groups = supplementary_groups(stream).unwrap_or_else(|error| {
            tracing::debug!(%error, "the groups of a client are not known");
            Vec::new()
        });
        groups.push(credentials.gid());
        Self {
            uid: credentials.uid(),
            groups: groups.into(),
        }
    }
}

fn supplementary_groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; GROUPS_USUAL];
    loop {
        let capacity = size_of_val(groups.as_slice());
        let mut octets = libc::socklen_t::try_from(capacity).map_err(io::Error::other)?;
        // SAFETY: the buffer is alive and `octets` long, and both pointers are to distinct, writable memory.
        let result = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut octets,
            )
        };
        if result == 0 {
            groups.truncate(octets as usize / size_of::<libc::gid_t>());
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || groups.len() >= GROUPS_MAX {
            return Err(error);
        }
        groups.resize(GROUPS_MAX, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_tells_user_and_groups() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one);
        assert_eq!(peer.uid, nix::unistd::getuid().as_raw());
        let own: Vec<u32> = nix::unistd::getgroups()
            .unwrap()
            .into_iter()
            .map(nix::unistd::Gid::as_raw)
            .collect();
        assert!(own.iter().all(|group| peer.groups.contains(group)), "{own:?} {peer:?}");
        assert!(peer.groups.contains(&nix::unistd::getgid().as_raw()));
    }
}
