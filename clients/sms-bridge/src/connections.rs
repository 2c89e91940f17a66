//! HTTP/1.1 connections: how many there may be, and how long one may say nothing.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections at the same time. Each costs a descriptor, and a service has 1024 of them.
const CONNECTIONS_MAX: usize = 256;
/// Connections of one address of another machine, so that a neighbour does not hold them all.
const CONNECTIONS_OF_AN_ADDRESS: usize = 32;
/// How long the head of a request may take, and how long a connection may stay without one.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection is used; then the request under way is the last one.
const CONNECTION_LIMIT: Duration = Duration::from_secs(120);
/// How long that last one may take: longer than any request, so that only a peer that does not read its answer is cut off.
const LAST_REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// A connection that could not be accepted stays due, and asking at once would ask without end.
const PAUSE: Duration = Duration::from_millis(100);
/// How long open requests may take after the signal to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Limits of the connections; tests have shorter ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) of_an_address: usize,
    pub(crate) head: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS_MAX,
            of_an_address: CONNECTIONS_OF_AN_ADDRESS,
            head: HEAD_LIMIT,
        }
    }
}

/// How many connections each address has.
#[derive(Clone, Default)]
struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection's place among those of its address.
struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    /// A place, unless the address or everybody together has too many. On this machine everybody has the same address.
    fn take(&self, address: IpAddr, limits: Limits) -> Option<Place> {
        let address = address.to_canonical();
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&address).copied().unwrap_or_default();
        let most = if address.is_loopback() {
            limits.connections
        } else {
            limits.of_an_address
        };
        if own >= most || taken.values().sum::<usize>() >= limits.connections {
            return None;
        }
        taken.insert(address, own + 1);
        Some(Place {
            places: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.address) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                taken.remove(&self.address);
            }
        }
    }
}

/// Serves until `stopped`, then lets requests end for a bounded time.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits, mut stopped: watch::Receiver<bool>) {
    let places = Places::default();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Those that ended are let go of.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        match accepted {
            Ok((stream, peer)) => match places.take(peer.ip(), limits) {
                Some(place) => {
                    let (router, stopped) = (router.clone(), stopped.clone());
                    connections.spawn(async move {
                        let _place = place;
                        answer(stream, router, limits, stopped).await;
                    });
                }
                // Closed at once: waiting would hold up those who come after it.
                None => tracing::debug!(peer = %peer.ip(), "too many connections; one was closed"),
            },
            Err(error) => not_accepted(&error).await,
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    // What takes longer is cut off when the set is dropped.
    let _ = timeout(DRAIN_LIMIT, ended).await;
}

async fn not_accepted(error: &io::Error) {
    tracing::warn!(%error, "a connection was not accepted");
    sleep(PAUSE).await;
}

async fn answer(stream: TcpStream, router: Router, limits: Limits, mut stopped: watch::Receiver<bool>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stopped.wait_for(|stopped| *stopped) => None,
        () = sleep(CONNECTION_LIMIT) => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        // A caller that went away or was too slow is nobody's fault here.
        let _ = timeout(LAST_REQUEST_LIMIT, connection).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn a_neighbour_takes_its_own_places_and_gives_them_back() {
        let limits = Limits {
            connections: 4,
            of_an_address: 2,
            head: HEAD_LIMIT,
        };
        let places = Places::default();
        let neighbour: IpAddr = "192.0.2.7".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        let first = places.take(neighbour, limits).unwrap();
        let _second = places.take(mapped, limits).unwrap();
        assert!(places.take(neighbour, limits).is_none(), "both were its own");
        let _local: Vec<_> = (0..2).map(|_| places.take(here, limits).unwrap()).collect();
        assert!(places.take(here, limits).is_none(), "there are four in all");
        drop(first);
        assert!(places.take(here, limits).is_some());
    }

    #[tokio::test]
    async fn half_a_request_is_not_kept_and_does_not_keep_others_out() {
        let limits = Limits {
            connections: 2,
            of_an_address: 2,
            head: Duration::from_millis(200),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let router = Router::new().route("/", axum::routing::get(async || "here"));
        let clients = async {
            let mut silent = Vec::new();
            for _ in 0..2 {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(b"GET / HTTP/1.1\r\nHost: a").await.unwrap();
                silent.push(stream);
            }
            for stream in &mut silent {
                // The end of the connection, whether it is told with an answer or not.
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
            }
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            stop.send_replace(true);
            answer
        };
        let both = async { tokio::join!(serve(listener, router, limits, stopped), clients) };
        let ((), answer) = timeout(Duration::from_secs(30), both).await.expect("it ends");
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"),
            "{answer}"
        );
    }
}
