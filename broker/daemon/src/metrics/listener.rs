//! HTTP/1.1 for one page.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{Sources, page};

/// Clients at the same time; a scraper is one.
const CLIENTS_MAX: usize = 4;

/// How long a client may take for its request and our answer.
const CLIENT_LIMIT: Duration = Duration::from_secs(10);

/// A connection that could not be accepted stays due, and asking at once would ask without end.
const PAUSE: Duration = Duration::from_millis(100);

/// The listener could not be had.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address} for metrics; set metrics.listen to an address that is free")]
pub struct MetricsListenError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// A listener on which a scraper can already connect.
pub struct MetricsListener(TcpListener);

impl MetricsListener {
    /// Binds the configured address.
    pub async fn bind(address: SocketAddr) -> Result<Self, MetricsListenError> {
        TcpListener::bind(address)
            .await
            .map(MetricsListener)
            .map_err(|source| MetricsListenError { address, source })
    }

    /// Serves until it is aborted.
    pub async fn serve(self, sources: Sources) {
        if let Ok(address) = self.0.local_addr() {
            tracing::info!(%address, "serving metrics");
        }
        let room = Arc::new(Semaphore::new(CLIENTS_MAX));
        loop {
            // Nobody closes the semaphore.
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            match self.0.accept().await {
                Ok((stream, _)) => {
                    let sources = sources.clone();
                    let client = async move {
                        let _place = place;
                        answer(stream, sources).await;
                    };
                    crate::supervisor::spawn("metrics client", "", client);
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a metrics client");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn answer(stream: TcpStream, sources: Sources) {
    let service = service_fn(move |request| respond(request, sources.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CLIENT_LIMIT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away or says nothing is nobody's fault here.
    let _ = tokio::time::timeout(CLIENT_LIMIT, connection).await;
}

async fn respond<B>(request: Request<B>, sources: Sources) -> Result<Response<String>, Infallible> {
    let mut response = Response::new(String::new());
    let is_page = request.uri().path() == "/metrics";
    if !is_page {
        *response.status_mut() = StatusCode::NOT_FOUND;
        *response.body_mut() = "only /metrics is here\n".to_owned();
    } else if request.method() != Method::GET {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let get = hyper::header::HeaderValue::from_static("GET");
        response.headers_mut().insert(ALLOW, get);
        *response.body_mut() = "only GET\n".to_owned();
    } else {
        *response.body_mut() = page::make(&sources).await;
    }
    let kind = if is_page {
        "text/plain; version=0.0.4; charset=utf-8"
    } else {
        "text/plain; charset=utf-8"
    };
    let kind = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
