//! Whose traffic it is: routes, rules and name servers of a network namespace are led by one broker at a time.
//!
//! The claim is a name of the abstract socket namespace. There is one for each network namespace, as there is one set of
//! routes, and the kernel gives it back when its holder dies, however that was. So whoever gets it knows that what leads the
//! traffic with the broker's protocol number belongs to nobody who lives. What belongs to a bearer needs no claim: its
//! interface says whose it is, and the lock of the QMI port that nobody else uses it.
//!
//! Who does not get it stays connected to its holder, who never looks: the connection ends with the claim, which tells
//! without a poll when it is worth asking again.
//!
//! Anybody may take such a name. One that is held by somebody else than this user or root is no broker's, and ignored:
//! otherwise every program of the machine could keep the failover from working.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::geteuid;

const NAME: &str = "modem-broker-wan";

/// Held while this broker leads the traffic; given back by dropping it.
#[derive(Debug)]
pub struct Claim {
    /// `None` where somebody holds the name who cannot have set routes.
    _listener: Option<UnixListener>,
}

/// Another broker holds the claim.
#[derive(Debug)]
pub struct Other {
    connection: tokio::net::UnixStream,
}

impl Claim {
    /// Gets it, or what tells when another broker gives it back. Does not wait.
    pub fn get() -> io::Result<Result<Self, Other>> {
        Self::named(NAME)
    }

    fn named(name: &str) -> io::Result<Result<Self, Other>> {
        let address = SocketAddr::from_abstract_name(name)?;
        match UnixListener::bind_addr(&address) {
            Ok(listener) => Ok(Ok(Self {
                _listener: Some(listener),
            })),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if let Some(other) = Other::at(&address) {
                    return Ok(Err(other));
                }
                tracing::warn!(
                    name,
                    "another program holds the socket name that brokers use to find each other"
                );
                Ok(Ok(Self { _listener: None }))
            }
            Err(error) => Err(error),
        }
    }
}

impl Other {
    /// The broker at an address; `None` if nobody listens there, or another user.
    fn at(address: &SocketAddr) -> Option<Self> {
        let connection = UnixStream::connect_addr(address).ok()?;
        let user = getsockopt(&connection, PeerCredentials).ok()?.uid();
        if user != 0 && user != geteuid().as_raw() {
            return None;
        }
        connection.set_nonblocking(true).ok()?;
        let connection = tokio::net::UnixStream::from_std(connection).ok()?;
        Some(Self { connection })
    }

    /// Waits until the claim is given back.
    pub async fn gone(&self) {
        // Nothing is ever sent, so what makes it readable is its end.
        let _ = self.connection.readable().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_has_it_and_who_waits_is_told_when_it_is_free() {
        let name = format!("modem-broker-test-{}", std::process::id());
        let held = Claim::named(&name).unwrap().expect("nobody has it");
        let mut waiting = Vec::new();
        for _ in 0..3 {
            waiting.push(Claim::named(&name).unwrap().expect_err("it is held"));
        }
        let soon = Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, waiting[0].gone()).await.is_err());
        drop(held);
        for other in waiting {
            other.gone().await;
        }
        assert!(Claim::named(&name).unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_name_at_which_nobody_listens_is_no_brokers() {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
        use std::os::fd::AsRawFd as _;
        let name = format!("modem-broker-deaf-{}", std::process::id());
        let deaf = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
        bind(deaf.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes()).unwrap()).unwrap();
        assert!(Claim::named(&name).unwrap().is_ok());
    }
}
