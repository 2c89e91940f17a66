//! How many clients at once: as many as there are descriptors for, less what the modems and the store need.
//!
//! A listener that accepts until it has no descriptor left takes the store's and the ports' as well, and then turns in
//! circles, because a connection that cannot be accepted stays due. Here the next client is accepted when there is room;
//! until then it waits in the queue of the socket. Unix sockets have places of their own, so that the network cannot keep the
//! people of this machine out, and an address has at most its share. Who has not said who it is in time has to leave.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::transport::server::Connected;

use super::peer::Peer;

/// Descriptors that clients do not get: ports, the database and its readers, sockets, the runtime.
const RESERVED: u64 = 64;
/// Descriptors that are enough for everybody.
const ENOUGH: u64 = 16_384;
/// Clients that are let in however few descriptors there are.
const CLIENTS_MIN: u64 = 16;
/// Pause after a connection that could not be accepted; it stays due, and asking at once would ask without end.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections of one address of another machine.
const OF_AN_ADDRESS: usize = 64;
/// How long a connection over TCP may last before a request on it was let in: the handshake, HTTP/2's preface, a token. A
/// health check needs no token, and asks again over another connection.
const UNKNOWN_LIMIT: Duration = Duration::from_secs(30);

/// The room for clients of one kind of listeners.
#[derive(Clone, Debug)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    of_addresses: Addresses,
    unknown_limit: Duration,
}

/// The rooms of this process.
#[derive(Clone, Debug)]
pub(super) struct Rooms {
    /// For unix sockets: a quarter.
    pub(super) local: Room,
    /// For TCP: the rest.
    pub(super) network: Room,
}

impl Rooms {
    /// Asks for as many descriptors as may be had and are of use: the usual soft limit of 1024 is for programs that use
    /// `select`, which cannot take higher numbers.
    pub(super) fn of_this_process() -> Self {
        let available = match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((soft, hard)) if soft < hard.min(ENOUGH) => {
                let wanted = hard.min(ENOUGH);
                setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map_or(soft, |()| wanted)
            }
            Ok((soft, _)) => soft,
            Err(error) => {
                tracing::debug!(%error, "the limit of descriptors is not known");
                RESERVED + CLIENTS_MIN
            }
        };
        let clients = clients(available);
        let local = clients.div_ceil(4);
        Self {
            local: Room::for_clients(local),
            network: Room::for_clients(clients - local),
        }
    }
}

impl Room {
    fn for_clients(clients: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(clients)),
            of_addresses: Addresses::default(),
            unknown_limit: UNKNOWN_LIMIT,
        }
    }

    /// The connections of a listener, each only when there is room for it.
    pub(super) fn admit<S, I>(&self, incoming: S) -> impl Stream<Item = io::Result<Admitted<I>>> + use<S, I>
    where
        S: Stream<Item = io::Result<I>> + Unpin,
        I: Arriving,
    {
        stream::unfold((self.clone(), incoming), |(room, mut incoming)| async move {
            loop {
                // Nobody closes the semaphore.
                let place = Arc::clone(&room.places).acquire_owned().await.ok()?;
                match incoming.next().await? {
                    Ok(connection) => {
                        let guest = connection.guest();
                        // One too many of an address is closed at once, and costs nobody else the wait.
                        let Ok(share) = room.of_addresses.take(guest.address) else {
                            continue;
                        };
                        let limit = (!guest.is_known()).then(|| Box::pin(tokio::time::sleep(room.unknown_limit)));
                        let admitted = Admitted {
                            connection,
                            guest,
                            limit,
                            _share: share,
                            _place: place,
                        };
                        return Some((Ok(admitted), (room, incoming)));
                    }
                    Err(error) => {
                        drop(place);
                        tracing::warn!(%error, "could not accept a client");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        })
    }
}

fn clients(descriptors: u64) -> usize {
    let clients = descriptors.min(ENOUGH).saturating_sub(RESERVED).max(CLIENTS_MIN);
    usize::try_from(clients).unwrap_or(usize::MAX)
}

/// Who is at the other end, for every request on a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Guest {
    /// The address, over TCP.
    pub(super) address: Option<IpAddr>,
    /// The user, over a unix socket.
    pub(super) peer: Option<Peer>,
    known: Arc<AtomicBool>,
}

impl Guest {
    pub(super) fn of_address(address: Option<IpAddr>) -> Self {
        Self {
            address,
            ..Self::default()
        }
    }

    /// A request was let in: the connection may stay.
    pub(super) fn is_welcome(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }
}

/// A connection that was accepted.
pub(super) trait Arriving {
    /// Who it is.
    fn guest(&self) -> Guest;
}

impl Arriving for TcpStream {
    fn guest(&self) -> Guest {
        Guest::of_address(self.peer_addr().ok().map(|address| address.ip().to_canonical()))
    }
}

/// Who may open a unix socket is known by the kernel, and says nothing more.
impl Arriving for UnixStream {
    fn guest(&self) -> Guest {
        let guest = Guest {
            peer: Some(Peer::of(self)),
            ..Guest::default()
        };
        guest.is_welcome();
        guest
    }
}

/// How many connections each address has.
#[derive(Clone, Debug, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection's share of what its address may have.
#[derive(Debug)]
struct Share {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    /// A share; none is needed on this machine, where everybody has the same address.
    fn take(&self, address: Option<IpAddr>) -> Result<Option<Share>, ()> {
        let Some(address) = address.filter(|address| !address.is_loopback()) else {
            return Ok(None);
        };
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.entry(address).or_default();
        if *own >= OF_AN_ADDRESS {
            return Err(());
        }
        *own += 1;
        let addresses = self.clone();
        Ok(Some(Share { addresses, address }))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.address) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                taken.remove(&self.address);
            }
        }
    }
}

/// A connection and its place.
pub(super) struct Admitted<I> {
    connection: I,
    guest: Guest,
    /// When it has to leave unless somebody was let in; none when that is settled.
    limit: Option<Pin<Box<Sleep>>>,
    _share: Option<Share>,
    _place: OwnedSemaphorePermit,
}

impl<I> Connected for Admitted<I> {
    type ConnectInfo = Guest;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.guest.clone()
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Admitted<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.guest.is_known() {
            self.limit = None;
        }
        if let Some(limit) = &mut self.limit
            && limit.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Admitted<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Arriving for tokio::io::DuplexStream {
        fn guest(&self) -> Guest {
            Guest::of_address(Some(IpAddr::from([192, 0, 2, 7])))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_say_who_it_is_has_to_leave_and_who_did_may_stay() {
        use tokio::io::AsyncReadExt as _;

        let streams: Vec<_> = (0..2).map(|_| tokio::io::duplex(8)).collect();
        let (arriving, _others): (Vec<_>, Vec<_>) = streams.into_iter().unzip();
        // The third place is for the end of the stream, which is looked for with a place in hand.
        let room = Room::for_clients(3);
        let admitted: Vec<_> = room.admit(stream::iter(arriving.into_iter().map(Ok))).collect().await;
        let [mut silent, mut known] = <[_; 2]>::try_from(admitted)
            .unwrap_or_else(|_| panic!("two"))
            .map(Result::unwrap);
        known.connect_info().is_welcome();
        let ended = silent.read_u8().await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        let waits = tokio::time::timeout(UNKNOWN_LIMIT * 10, known.read_u8()).await;
        assert!(waits.is_err(), "nothing was said, and it stays");
    }

    #[test]
    fn an_address_has_its_share_and_this_machine_has_no_limit() {
        let addresses = Addresses::default();
        let neighbour = Some(IpAddr::from([192, 0, 2, 7]));
        let mut shares: Vec<_> = (0..OF_AN_ADDRESS).map(|_| addresses.take(neighbour).unwrap()).collect();
        assert!(addresses.take(neighbour).is_err());
        assert!(addresses.take(Some(IpAddr::from([192, 0, 2, 8]))).is_ok());
        assert!(addresses.take(Some(IpAddr::from([127, 0, 0, 1]))).unwrap().is_none());
        shares.pop();
        assert!(addresses.take(neighbour).is_ok());
        drop(shares);
        assert!(addresses.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_client_is_accepted_when_another_one_has_left() {
        let (one, _other) = tokio::io::duplex(8);
        let (two, _another) = tokio::io::duplex(8);
        let failure = || Err(io::Error::from_raw_os_error(24));
        let incoming = stream::iter([Ok(one), failure(), Ok(two)]);
        let room = Room::for_clients(1);
        let mut admitted = std::pin::pin!(room.admit(incoming));
        let first = admitted.next().await.unwrap().unwrap();
        let waits = tokio::time::timeout(Duration::from_millis(10), admitted.next()).await;
        assert!(waits.is_err(), "there is no room for a second one");
        drop(first);
        assert!(
            admitted.next().await.unwrap().is_ok(),
            "a failure in between is not the end"
        );
        assert!(admitted.next().await.is_none());
    }

    #[test]
    fn the_broker_keeps_descriptors_for_itself() {
        for (descriptors, expected) in [(0, 16), (64, 16), (1024, 960), (u64::MAX, 16_320)] {
            assert_eq!(clients(descriptors), expected, "{descriptors}");
        }
    }
}
