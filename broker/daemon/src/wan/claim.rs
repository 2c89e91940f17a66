//! Whose traffic it is: routes, rules and name servers of a network namespace are led by one broker at a time.
//!
//! The claim is a name of the abstract socket namespace. There is one for each network namespace, as there is one set of
//! routes, and the kernel gives it back when its holder dies, however that was. So whoever gets it knows that what is there
//! with the broker's protocol number belongs to nobody who lives.
//!
//! Anybody may take such a name. One that is held by somebody else than this user or root is no broker's, and ignored:
//! otherwise every program of the machine could keep the failover from working.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket};
use nix::unistd::geteuid;

const NAME: &str = "modem-broker-wan";

/// Held while this broker leads the traffic; given back by dropping it.
#[derive(Debug)]
pub struct Claim {
    /// `None` where somebody holds the name who cannot have set routes.
    listener: Option<UnixListener>,
}

impl Claim {
    /// Gets it, unless another broker has it. Does not wait.
    pub fn get() -> io::Result<Self> {
        Self::named(NAME)
    }

    fn named(name: &str) -> io::Result<Self> {
        match UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Self {
                    listener: Some(listener),
                })
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_of_a_broker(holder(name)) => {
                Err(io::Error::new(
                    error.kind(),
                    "another broker leads the traffic of this machine; only one of them can have a mode other than off in [wan]",
                ))
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tracing::warn!(
                    name,
                    "a program of another user holds the name by which brokers know of each other"
                );
                Ok(Self { listener: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Lets those who asked who holds it go, so that the next one can ask as well.
    pub fn answer(&self) {
        if let Some(listener) = &self.listener {
            while listener.accept().is_ok() {}
        }
    }
}

/// The user who holds a name; `None` if that is nobody, or somebody who lets nobody ask.
fn holder(name: &str) -> Option<u32> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let asking: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None).ok()?;
    connect(asking.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes()).ok()?).ok()?;
    Some(getsockopt(&asking, PeerCredentials).ok()?.uid())
}

fn is_of_a_broker(user: Option<u32>) -> bool {
    user.is_some_and(|user| user == 0 || user == geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_it_and_it_is_free_again_when_its_holder_is_gone() {
        let name = format!("modem-broker-test-{}", std::process::id());
        let held = Claim::named(&name).expect("nobody has it");
        for _ in 0..3 {
            let refused = Claim::named(&name).expect_err("it is held");
            assert!(refused.to_string().contains("another broker"), "{refused}");
            held.answer();
        }
        drop(held);
        assert!(Claim::named(&name).is_ok());
    }

    #[test]
    fn only_this_user_and_root_are_believed() {
        let me = geteuid().as_raw();
        for (user, expected) in [
            (Some(0), true),
            (Some(me), true),
            (Some(me + 4711), false),
            (None, false),
        ] {
            assert_eq!(is_of_a_broker(user), expected, "{user:?}");
        }
    }

    /// A queue that nobody empties must not make anybody wait.
    #[test]
    fn a_name_whose_holder_lets_nobody_ask_is_no_brokers() {
        let name = format!("modem-broker-full-{}", std::process::id());
        let deaf: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
        nix::sys::socket::bind(deaf.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes()).unwrap()).unwrap();
        // It does not even listen.
        assert_eq!(holder(&name), None);
        assert!(Claim::named(&name).unwrap().listener.is_none());
    }
}
