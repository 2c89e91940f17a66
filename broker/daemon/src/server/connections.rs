//! How many clients at once: as many as there are descriptors for, less what the modems and the store need.
//!
//! A listener that accepts until it has no descriptor left takes the store's and the ports' as well, and then turns in
//! circles, because a connection that cannot be accepted stays due. Here the next client is accepted when there is room;
//! until then it waits in the queue of the socket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::Connected;

/// Descriptors that clients do not get: ports, the database and its readers, sockets, the runtime.
const RESERVED: u64 = 64;
/// Descriptors that are enough for everybody.
const ENOUGH: u64 = 16_384;
/// Clients that are let in however few descriptors there are.
const CLIENTS_MIN: u64 = 16;
/// Pause after a connection that could not be accepted; it stays due, and asking at once would ask without end.
const PAUSE: Duration = Duration::from_millis(100);

/// The room for clients of all listeners together.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
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
        Self::for_clients(clients(available))
    }

    fn for_clients(clients: usize) -> Self {
        Self(Arc::new(Semaphore::new(clients)))
    }

    /// The connections of a listener, each only when there is room for it.
    pub(super) fn admit<S, I>(&self, incoming: S) -> impl Stream<Item = io::Result<Admitted<I>>> + use<S, I>
    where
        S: Stream<Item = io::Result<I>> + Unpin,
    {
        stream::unfold((Arc::clone(&self.0), incoming), |(room, mut incoming)| async move {
            loop {
                // Nobody closes the semaphore.
                let place = Arc::clone(&room).acquire_owned().await.ok()?;
                match incoming.next().await? {
                    Ok(connection) => {
                        let admitted = Admitted {
                            connection,
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

/// A connection and its place.
pub(super) struct Admitted<I> {
    connection: I,
    _place: OwnedSemaphorePermit,
}

impl<I: Connected> Connected for Admitted<I> {
    type ConnectInfo = I::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.connection.connect_info()
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Admitted<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
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
