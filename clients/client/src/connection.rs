//! The connection to the broker.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::v1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::endpoint::{Address, DEFAULT_ENDPOINT, EndpointError};
use crate::settings::Settings;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 pings keep NAT entries and tunnels alive and find a broker that vanished without a word.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long a ping may stay without an answer before the connection counts as lost.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A channel on which every request carries the credentials.
pub type Authenticated = InterceptedService<Channel, BearerToken>;

/// Adds `authorization: Bearer …` to every request, if there is a token.
#[derive(Clone, Default)]
pub struct BearerToken(Option<MetadataValue<Ascii>>);

impl Interceptor for BearerToken {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Why there is no connection to the broker. The messages say what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is described by its message")]
pub enum ConnectError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("there is no socket {path}: is modem-broker running? (systemctl status modem-broker; --broker or MODEM_BROKER names another place)", path = path.display())]
    SocketMissing { path: PathBuf },
    #[error("no permission to open {path}: join the group that owns the socket (ls -l {path}) and log in again", path = path.display())]
    PermissionDenied { path: PathBuf },
    #[error("nobody listens at {address}: is modem-broker running? (systemctl status modem-broker)")]
    Refused { address: Address },
    #[error("{address} did not answer within {seconds} s: is the host up, and does a firewall let the port through?")]
    TimedOut { address: Address, seconds: u64 },
    #[error("TLS with {address} failed: do --ca and the broker's certificate belong together? ({detail})")]
    Tls { address: Address, detail: String },
    #[error("https needs the broker's certificate authority: give it with --ca FILE")]
    CaMissing,
    #[error("a client certificate needs both files: --cert and --key")]
    IdentityIncomplete,
    #[error("a token would go to {address} in clear: use https://, or a tunnel that ends on loopback")]
    TokenInClear { address: Address },
    #[error("failed to read {path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the token has characters that a header cannot carry")]
    TokenUnreadable,
    #[error("failed to reach {address}: {detail}")]
    Other { address: Address, detail: String },
}

/// The broker, connected. Cheap to clone; a lost connection comes back with the next request.
#[derive(Clone)]
pub struct Broker {
    channel: Authenticated,
    address: Address,
}

impl Broker {
    /// Connects, or says within five seconds why not.
    pub async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        let prepared = Prepared::new(settings)?;
        let address = prepared.address.clone();
        let channel = match tokio::time::timeout(CONNECT_TIMEOUT, prepared.connect()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(diagnose(address, &error)),
            Err(_) => {
                return Err(ConnectError::TimedOut {
                    address,
                    seconds: CONNECT_TIMEOUT.as_secs(),
                });
            }
        };
        Ok(Self {
            channel: InterceptedService::new(channel, prepared.token),
            address,
        })
    }

    /// Connects with the first request: for services that may start before the broker. Must be called within a runtime.
    pub fn connect_lazily(settings: &Settings) -> Result<Self, ConnectError> {
        let prepared = Prepared::new(settings)?;
        let channel = prepared.connect_lazily();
        Ok(Self {
            channel: InterceptedService::new(channel, prepared.token),
            address: prepared.address,
        })
    }

    /// Where the broker is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Modems, their ports and their recovery.
    pub fn modems(&self) -> v1::modem_service_client::ModemServiceClient<Authenticated> {
        v1::modem_service_client::ModemServiceClient::new(self.channel.clone())
    }

    /// SIMs.
    pub fn sims(&self) -> v1::sim_service_client::SimServiceClient<Authenticated> {
        v1::sim_service_client::SimServiceClient::new(self.channel.clone())
    }

    /// Short messages.
    pub fn sms(&self) -> v1::sms_service_client::SmsServiceClient<Authenticated> {
        v1::sms_service_client::SmsServiceClient::new(self.channel.clone())
    }

    /// Calls and their audio.
    pub fn voice(&self) -> v1::voice_service_client::VoiceServiceClient<Authenticated> {
        v1::voice_service_client::VoiceServiceClient::new(self.channel.clone())
    }

    /// USSD.
    pub fn ussd(&self) -> v1::ussd_service_client::UssdServiceClient<Authenticated> {
        v1::ussd_service_client::UssdServiceClient::new(self.channel.clone())
    }

    /// The mobile network and the WANs.
    pub fn network(&self) -> v1::network_service_client::NetworkServiceClient<Authenticated> {
        v1::network_service_client::NetworkServiceClient::new(self.channel.clone())
    }

    /// The GNSS receiver.
    pub fn location(&self) -> v1::location_service_client::LocationServiceClient<Authenticated> {
        v1::location_service_client::LocationServiceClient::new(self.channel.clone())
    }

    /// Events. [`crate::Watch`] reads them across lost connections.
    pub fn events(&self) -> v1::event_service_client::EventServiceClient<Authenticated> {
        v1::event_service_client::EventServiceClient::new(self.channel.clone())
    }

    /// AT commands and traces.
    pub fn diagnostics(&self) -> v1::diagnostics_service_client::DiagnosticsServiceClient<Authenticated> {
        v1::diagnostics_service_client::DiagnosticsServiceClient::new(self.channel.clone())
    }
}

struct Prepared {
    address: Address,
    endpoint: Endpoint,
    token: BearerToken,
}

impl Prepared {
    fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let address: Address = settings.endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT).parse()?;
        let token = read_token(settings)?;
        if token.0.is_some() && address.is_exposed() {
            return Err(ConnectError::TokenInClear { address });
        }
        let uri = match &address {
            // The connector ignores it; HTTP/2 wants an authority all the same.
            Address::Unix(_) => "http://localhost".to_owned(),
            Address::Tcp(authority) => format!("http://{authority}"),
            Address::Tls(authority) => format!("https://{authority}"),
        };
        let other = |error: tonic::transport::Error| ConnectError::Other {
            address: address.clone(),
            detail: chain(&error),
        };
        let mut endpoint = Endpoint::from_shared(uri)
            .map_err(other)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        if matches!(address, Address::Tls(_)) {
            endpoint = endpoint.tls_config(tls(settings)?).map_err(|error| ConnectError::Tls {
                address: address.clone(),
                detail: chain(&error),
            })?;
        }
        Ok(Self {
            address,
            endpoint,
            token,
        })
    }

    async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        match self.address.clone() {
            Address::Unix(path) => self.endpoint.connect_with_connector(unix_connector(path)).await,
            Address::Tcp(authority) => self.endpoint.connect_with_connector(tcp_connector(authority)).await,
            Address::Tls(_) => self.endpoint.connect().await,
        }
    }

    fn connect_lazily(&self) -> Channel {
        match self.address.clone() {
            Address::Unix(path) => self.endpoint.connect_with_connector_lazy(unix_connector(path)),
            Address::Tcp(authority) => self.endpoint.connect_with_connector_lazy(tcp_connector(authority)),
            Address::Tls(_) => self.endpoint.connect_lazy(),
        }
    }
}

type Connecting<S> = std::pin::Pin<Box<dyn Future<Output = io::Result<TokioIo<S>>> + Send>>;

fn unix_connector(
    path: PathBuf,
) -> impl tower::Service<
    tonic::transport::Uri,
    Response = TokioIo<UnixStream>,
    Error = io::Error,
    Future = Connecting<UnixStream>,
> + Send
+ 'static {
    tower::service_fn(move |_: tonic::transport::Uri| {
        let path = path.clone();
        Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) }) as Connecting<UnixStream>
    })
}

/// Connects by itself rather than by hyper's connector, whose errors hide the cause.
fn tcp_connector(
    authority: String,
) -> impl tower::Service<
    tonic::transport::Uri,
    Response = TokioIo<TcpStream>,
    Error = io::Error,
    Future = Connecting<TcpStream>,
> + Send
+ 'static {
    tower::service_fn(move |_: tonic::transport::Uri| {
        let authority = authority.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        }) as Connecting<TcpStream>
    })
}

fn read_token(settings: &Settings) -> Result<BearerToken, ConnectError> {
    let token = match (&settings.token, &settings.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(path)) => std::fs::read_to_string(path).map_err(|source| ConnectError::File {
            path: path.clone(),
            source,
        })?,
        (None, None) => return Ok(BearerToken::default()),
    };
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim())
        .parse()
        .map_err(|_| ConnectError::TokenUnreadable)?;
    value.set_sensitive(true);
    Ok(BearerToken(Some(value)))
}

fn tls(settings: &Settings) -> Result<ClientTlsConfig, ConnectError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| ConnectError::File {
            path: path.to_owned(),
            source,
        })
    };
    let ca = settings.ca_file.as_deref().ok_or(ConnectError::CaMissing)?;
    let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?));
    config = match (&settings.certificate_file, &settings.key_file) {
        (Some(certificate), Some(key)) => config.identity(Identity::from_pem(read(certificate)?, read(key)?)),
        (None, None) => config,
        _ => return Err(ConnectError::IdentityIncomplete),
    };
    Ok(match &settings.server_name {
        Some(name) => config.domain_name(name),
        None => config,
    })
}

fn diagnose(address: Address, error: &tonic::transport::Error) -> ConnectError {
    let cause = crate::status::io_error(error).map(io::Error::kind);
    match (cause, &address) {
        (Some(io::ErrorKind::NotFound), Address::Unix(path)) => ConnectError::SocketMissing { path: path.clone() },
        (Some(io::ErrorKind::PermissionDenied), Address::Unix(path)) => {
            ConnectError::PermissionDenied { path: path.clone() }
        }
        (Some(io::ErrorKind::ConnectionRefused), _) => ConnectError::Refused { address },
        (Some(io::ErrorKind::TimedOut), _) => ConnectError::TimedOut {
            address,
            seconds: CONNECT_TIMEOUT.as_secs(),
        },
        (_, Address::Tls(_)) => ConnectError::Tls {
            address,
            detail: chain(error),
        },
        _ => ConnectError::Other {
            address,
            detail: chain(error),
        },
    }
}

/// The last cause, which is the one that tells something: tonic's own layers only say "transport error".
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(settings: &Settings) -> String {
        Broker::connect(settings)
            .await
            .err()
            .expect("the connection should fail")
            .to_string()
    }

    #[tokio::test]
    async fn a_failed_connection_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broker.sock");
        let settings = Settings::for_endpoint(format!("unix:{}", path.display()));
        assert!(refusal(&settings).await.contains("is modem-broker running?"));

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(refusal(&settings).await.starts_with("nobody listens at unix:"));

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = refusal(&Settings::for_endpoint(format!("tcp:{address}"))).await;
        assert!(
            error.starts_with(&format!("nobody listens at tcp:{address}")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn credentials_are_checked_before_anything_is_sent() {
        let mut settings = Settings::for_endpoint("tcp:192.0.2.1:7000");
        settings.token = Some("secret".into());
        assert!(refusal(&settings).await.contains("in clear"));
        assert!(
            refusal(&Settings::for_endpoint("https://192.0.2.1:7000"))
                .await
                .contains("--ca")
        );
        settings.endpoint = Some("/nowhere".into());
        settings.token = Some("sec\nret".into());
        assert!(refusal(&settings).await.contains("header"));
        assert!(!format!("{settings:?}").contains("sec"), "a token must not be printed");
    }
}
