//! What the server is told: where clients connect, who they are, and what they may do.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::scope::Scopes;

/// `[broker]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Where clients connect; at least one.
    pub listen: Vec<ListenAddress>,
    /// Where the database lives.
    pub state_directory: PathBuf,
    /// Where port locks go.
    pub lock_directory: PathBuf,
    /// Mode of a unix socket.
    pub socket_mode: u32,
    /// Group of a unix socket; the daemon's own if none.
    pub socket_group: Option<String>,
    /// TLS of the TCP listeners.
    pub tls: Option<TlsConfig>,
    /// Who may connect over TCP.
    pub tokens: Vec<TokenConfig>,
    /// What single client certificates may do.
    pub certificates: Vec<TokenConfig>,
    /// What whoever connects over TCP from this machine may do without a token; nobody may if none.
    pub loopback_scopes: Option<Scopes>,
    /// What whoever can open the unix socket may do.
    pub socket_scopes: Scopes,
    /// What users may do over the unix socket beyond that.
    pub users: Vec<MemberConfig>,
    /// What members of groups may do over it beyond that.
    pub groups: Vec<MemberConfig>,
}

impl BrokerConfig {
    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.state_directory.join("broker.db")
    }
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `tcp:ADDRESS:PORT`.
    Tcp(SocketAddr),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// `[broker.tls]`: files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority that has to have signed a client's certificate; clients need none if this is not set.
    pub client_ca: Option<PathBuf>,
    /// What a certificate of that authority may do that has no scopes of its own.
    pub client_scopes: Scopes,
}

/// `[[broker.tokens]]`: a bearer token, of which only the hash is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// Whose it is, for the log.
    pub name: String,
    /// SHA-256 of the token, or of a certificate's DER.
    pub sha256: [u8; 32],
    /// What its owner may do.
    pub scopes: Scopes,
}

/// A user or a group of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberConfig {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Whether nobody wrote it: then it need not exist.
    pub is_default: bool,
}
