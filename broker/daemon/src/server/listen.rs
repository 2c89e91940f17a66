//! Listeners: everything is bound before anything is served, and a second broker finds out before it disturbs the first.

use std::fs;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::try_join_all;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use super::auth::{Access, AuthenticateLayer};
use super::budget;
use super::connections::Rooms;
use crate::server::settings::{BrokerConfig, ListenAddress, TlsConfig};

/// How long whoever owns a socket may take to accept a connection.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long streams may take to end at shutdown.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);
/// A peer that vanished behind a NAT or a tunnel is noticed within the sum of both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that connects and says nothing does not stay.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests of one connection at the same time; a client's further ones wait without a word. A gateway may watch for a
/// thousand users over one connection and has to get a unary request through beside them.
const STREAM_LIMIT: u32 = 2048;
const HEADER_LIMIT_BYTES: u32 = 16 * 1024;

/// Why a listener could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another broker answers on the socket.
    #[error("a broker is already running on {}{}", path.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    AlreadyRunning {
        /// The socket.
        path: PathBuf,
        /// Its process.
        pid: Option<i32>,
    },
    /// Something that is no socket is where the socket should be.
    #[error("failed to listen on {}: it exists and is not a socket; remove it or set broker.listen", path.display())]
    NotASocket {
        /// What is there.
        path: PathBuf,
    },
    /// The address is taken.
    #[error("failed to listen on {address}: another program already does")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The operating system failed.
    #[error("failed to {action} {subject}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// With what.
        subject: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The group does not exist.
    #[error("failed to give {} to group {group}: there is no such group; set broker.socket_group", path.display())]
    NoSuchGroup {
        /// The socket.
        path: PathBuf,
        /// The group.
        group: String,
    },
    /// Certificate and key do not make a working TLS configuration.
    #[error("failed to use certificate {} with key {}", certificate.display(), key.display())]
    Tls {
        /// The certificate.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
}

/// Serving failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to serve on {address}")]
pub struct ServeError {
    address: String,
    #[source]
    source: tonic::transport::Error,
}

/// A listener on which clients can already connect.
#[derive(Debug)]
pub struct BoundListener {
    address: ListenAddress,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener, SocketFile),
    Tcp(TcpListener, Option<Box<ServerTlsConfig>>),
}

impl BoundListener {
    /// Where it listens. For port 0 in the configuration this has the port that was given.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }
}

/// Binds every configured listener, or none.
pub async fn bind(config: &BrokerConfig) -> Result<Vec<BoundListener>, ListenError> {
    let tls = config.tls.as_ref().map(tls).transpose()?;
    let mut listeners = Vec::new();
    for address in &config.listen {
        listeners.push(match address {
            ListenAddress::Unix(path) => bind_unix(path, config).await?,
            ListenAddress::Tcp(address) => bind_tcp(*address, tls.clone()).await?,
        });
    }
    Ok(listeners)
}

/// Serves until `shutdown`, then lets streams end for a bounded time.
pub async fn serve(
    listeners: Vec<BoundListener>,
    routes: Routes,
    access: &Access,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let shutdown = shutdown.shared();
    let rooms = Rooms::of_this_process();
    let serving = listeners.into_iter().map(|listener| {
        serve_one(
            listener,
            routes.clone(),
            access.clone(),
            rooms.clone(),
            shutdown.clone(),
        )
    });
    let deadline = async {
        shutdown.clone().await;
        tokio::time::sleep(SHUTDOWN_LIMIT).await;
    };
    tokio::select! {
        served = try_join_all(serving) => served.map(drop),
        () = deadline => {
            tracing::warn!("clients did not end their streams in time and were disconnected");
            Ok(())
        }
    }
}

async fn serve_one(
    listener: BoundListener,
    routes: Routes,
    access: Access,
    rooms: Rooms,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let BoundListener { address, socket } = listener;
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(HEADER_LIMIT_BYTES)
        .max_concurrent_streams(STREAM_LIMIT);
    tracing::info!(%address, "listening");
    let served = match socket {
        Socket::Unix(listener, _file) => {
            let incoming = rooms.local.admit(UnixListenerStream::new(listener));
            let mut server = server
                .layer(tower::util::MapResponseLayer::new(budget::hold))
                .layer(AuthenticateLayer::new(access));
            server
                .add_routes(routes)
                .serve_with_incoming_shutdown(incoming, shutdown)
                .await
        }
        Socket::Tcp(listener, tls) => {
            let server = match tls {
                Some(tls) => server.tls_config(*tls),
                None => Ok(server),
            };
            match server {
                Ok(server) => {
                    let incoming = TcpIncoming::from(listener)
                        .with_nodelay(Some(true))
                        .with_keepalive(Some(KEEPALIVE_INTERVAL))
                        .with_keepalive_interval(Some(KEEPALIVE_TIMEOUT));
                    let incoming = rooms.network.admit(incoming);
                    let mut server = server
                        .layer(tower::util::MapResponseLayer::new(budget::hold))
                        .layer(AuthenticateLayer::new(access));
                    server
                        .add_routes(routes)
                        .serve_with_incoming_shutdown(incoming, shutdown)
                        .await
                }
                Err(error) => Err(error),
            }
        }
    };
    served.map_err(|source| ServeError {
        address: address.to_string(),
        source,
    })
}

async fn bind_tcp(address: SocketAddr, tls: Option<ServerTlsConfig>) -> Result<BoundListener, ListenError> {
    let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address },
        _ => ListenError::Io {
            action: "listen on",
            subject: address.to_string(),
            source,
        },
    })?;
    let address = listener.local_addr().unwrap_or(address);
    Ok(BoundListener {
        address: ListenAddress::Tcp(address),
        socket: Socket::Tcp(listener, tls.map(Box::new)),
    })
}

async fn bind_unix(path: &Path, config: &BrokerConfig) -> Result<BoundListener, ListenError> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|source| failed("create", directory, source))?;
    }
    refuse_if_answered(path).await?;
    // Bound under another name and moved into place when mode and group are right, so that nobody can come in before, and
    // so that a stale socket is replaced in one step.
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(name);
    let _ = fs::remove_file(&unfinished);
    let listener = UnixListener::bind(&unfinished).map_err(|source| failed("listen on", path, source))?;
    let finished = prepare_socket(&unfinished, path, config);
    if finished.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    Ok(BoundListener {
        address: ListenAddress::Unix(path.to_owned()),
        socket: Socket::Unix(listener, finished?),
    })
}

fn prepare_socket(unfinished: &Path, path: &Path, config: &BrokerConfig) -> Result<SocketFile, ListenError> {
    if let Some(group) = &config.socket_group {
        let gid = match nix::unistd::Group::from_name(group) {
            Ok(Some(found)) => found.gid.as_raw(),
            _ => {
                return Err(ListenError::NoSuchGroup {
                    path: path.to_owned(),
                    group: group.clone(),
                });
            }
        };
        std::os::unix::fs::chown(unfinished, None, Some(gid))
            .map_err(|source| failed("set the group of", path, source))?;
    }
    fs::set_permissions(unfinished, PermissionsExt::from_mode(config.socket_mode))
        .map_err(|source| failed("set the mode of", path, source))?;
    fs::rename(unfinished, path).map_err(|source| failed("put in place", path, source))?;
    let metadata = fs::symlink_metadata(path).map_err(|source| failed("look at", path, source))?;
    Ok(SocketFile {
        path: path.to_owned(),
        inode: metadata.ino(),
    })
}

/// A socket on which nobody answers is left over from a broker that was killed; one that answers is somebody's.
async fn refuse_if_answered(path: &Path) -> Result<(), ListenError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed("look at", path, source)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ListenError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match tokio::time::timeout(PROBE_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => {
            let pid = stream.peer_cred().ok().and_then(|credentials| credentials.pid());
            Err(ListenError::AlreadyRunning {
                path: path.to_owned(),
                pid,
            })
        }
        // Its queue is full: somebody is there, only busy.
        Err(_) => Err(ListenError::AlreadyRunning {
            path: path.to_owned(),
            pid: None,
        }),
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Ok(()),
            io::ErrorKind::WouldBlock => Err(ListenError::AlreadyRunning {
                path: path.to_owned(),
                pid: None,
            }),
            _ => Err(failed("connect to the existing", path, error)),
        },
    }
}

/// Removes the socket at the end, unless another broker has put its own there.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn tls(config: &TlsConfig) -> Result<ServerTlsConfig, ListenError> {
    let identity = Identity::from_pem(read(&config.certificate)?, read(&config.key)?);
    let mut tls = ServerTlsConfig::new().identity(identity).timeout(TLS_HANDSHAKE_TIMEOUT);
    if let Some(client_ca) = &config.client_ca {
        tls = tls.client_ca_root(Certificate::from_pem(read(client_ca)?));
    }
    // Tried once here, so that a wrong file stops the broker before it serves.
    match Server::builder().tls_config(tls.clone()) {
        Ok(_) => Ok(tls),
        Err(source) => {
            let (certificate, key) = (config.certificate.clone(), config.key.clone());
            Err(ListenError::Tls {
                certificate,
                key,
                source,
            })
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ListenError> {
    fs::read(path).map_err(|source| failed("read", path, source))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> ListenError {
    ListenError::Io {
        action,
        subject: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests;
