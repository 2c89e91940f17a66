//! Where the broker listens.

use std::path::PathBuf;
use std::str::FromStr;

/// Where the broker listens unless it is told otherwise.
pub const DEFAULT_ENDPOINT: &str = "unix:/run/modem-broker/broker.sock";

/// Where the broker listens: `unix:/path`, `/path`, `tcp:HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// Plain TCP, `HOST:PORT`. For loopback: a token never goes over it to another host.
    Tcp(String),
    /// TLS over TCP, `HOST:PORT`.
    Tls(String),
}

/// Why a text is not an [`Address`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a broker's address ({problem}); write unix:/path, /path, tcp:HOST:PORT or https://HOST:PORT")]
pub struct EndpointError {
    text: String,
    problem: &'static str,
}

impl FromStr for Address {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let wrong = |problem| EndpointError {
            text: text.to_owned(),
            problem,
        };
        let trimmed = text.trim();
        if let Some(path) = trimmed.strip_prefix("unix:") {
            // `unix:///path` is gRPC's spelling of an absolute path with an empty authority.
            let path = path.strip_prefix("//").unwrap_or(path);
            return absolute(path).ok_or_else(|| wrong("the path must be absolute"));
        }
        if trimmed.starts_with('/') {
            return absolute(trimmed).ok_or_else(|| wrong("the path must be absolute"));
        }
        let (rest, tls) = if let Some(rest) = trimmed.strip_prefix("https://") {
            (rest, true)
        } else if let Some(rest) = trimmed.strip_prefix("http://").or_else(|| trimmed.strip_prefix("tcp:")) {
            (rest, false)
        } else {
            return Err(wrong("unknown scheme"));
        };
        let authority = rest.trim_start_matches("//").trim_end_matches('/');
        check_authority(authority).map_err(wrong)?;
        Ok(if tls {
            Self::Tls(authority.to_owned())
        } else {
            Self::Tcp(authority.to_owned())
        })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp:{authority}"),
            Self::Tls(authority) => write!(f, "https://{authority}"),
        }
    }
}

impl Address {
    /// The host of a network address, without the brackets of an IPv6 literal.
    pub(crate) fn host(&self) -> Option<&str> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(authority) | Self::Tls(authority) => authority
                .rsplit_once(':')
                .map(|(host, _)| host.trim_start_matches('[').trim_end_matches(']')),
        }
    }

    /// Whether what is sent there can be read by another host on the way.
    pub(crate) fn is_exposed(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Tls(_) => false,
            Self::Tcp(_) => self.host().is_none_or(|host| {
                host != "localhost"
                    && !host
                        .parse::<std::net::IpAddr>()
                        .is_ok_and(|address| address.is_loopback())
            }),
        }
    }
}

fn absolute(path: &str) -> Option<Address> {
    (path.starts_with('/') && path.len() > 1).then(|| Address::Unix(PathBuf::from(path)))
}

fn check_authority(authority: &str) -> Result<(), &'static str> {
    let Some((host, port)) = authority.rsplit_once(':') else {
        return Err("the port is missing");
    };
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err("the port must be 1 to 65535");
    }
    if host.is_empty() {
        return Err("the host is missing");
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err("an IPv6 address needs brackets");
    }
    if authority.contains(['/', '@', '?', '#', ' ']) {
        return Err("only a host and a port are allowed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_understood() {
        for (text, expected) in [
            ("unix:/run/x.sock", Address::Unix("/run/x.sock".into())),
            ("unix:///run/x.sock", Address::Unix("/run/x.sock".into())),
            ("/run/x.sock", Address::Unix("/run/x.sock".into())),
            ("tcp:127.0.0.1:7000", Address::Tcp("127.0.0.1:7000".into())),
            ("tcp://pi.example:7000", Address::Tcp("pi.example:7000".into())),
            ("http://[::1]:7000/", Address::Tcp("[::1]:7000".into())),
            ("https://pi.example:7443", Address::Tls("pi.example:7443".into())),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address, expected, "{text}");
            assert_eq!(
                address.to_string().parse::<Address>().unwrap(),
                expected,
                "display of {text}"
            );
        }
    }

    #[test]
    fn a_wrong_address_says_what_is_wrong() {
        for (text, problem) in [
            ("unix:relative.sock", "absolute"),
            ("unix:", "absolute"),
            ("pi.example:7000", "scheme"),
            ("tcp:pi.example", "port is missing"),
            ("tcp:pi.example:0", "1 to 65535"),
            ("tcp:pi.example:seven", "1 to 65535"),
            ("tcp::7000", "host is missing"),
            ("tcp:::1:7000", "brackets"),
            ("https://user@pi.example:7000", "only a host"),
            ("https://pi.example/x:7000", "only a host"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn only_plain_tcp_beyond_loopback_is_exposed() {
        for (text, exposed) in [
            ("/x", false),
            ("tcp:127.0.0.1:1", false),
            ("tcp:[::1]:1", false),
            ("tcp:localhost:1", false),
            ("tcp:10.0.0.1:1", true),
            ("tcp:localhost.example:1", true),
            ("https://10.0.0.1:1", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_exposed(), exposed, "{text}");
        }
    }
}
