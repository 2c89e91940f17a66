//! Where a port is.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a port is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortAddress {
    /// A device node.
    Path(PathBuf),
    /// `tcp:HOST:PORT`.
    Tcp {
        /// Name or address; an IPv6 address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `proxy:PATH`: libqmi's proxy, which has the device node open for several programs. For QMI only.
    Proxy(PathBuf),
}

impl PortAddress {
    /// The device node, unless it is a network address.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) | Self::Proxy(path) => Some(path),
            Self::Tcp { .. } => None,
        }
    }
}

impl fmt::Display for PortAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Proxy(path) => write!(f, "proxy:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}
