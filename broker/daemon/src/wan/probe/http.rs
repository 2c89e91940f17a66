//! Whether a captive portal answers in place of the internet: a page that is known to be empty (204) is asked for over plain
//! HTTP, and whoever answers with anything else stands in the way. Nothing is ever filled in or followed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Instant;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::{DNS_PORT, Plan, connect, dns};
use crate::resource::ProbeResult;

/// A page that is empty where the internet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalCheck {
    host: String,
    port: u16,
    path: String,
}

impl FromStr for PortalCheck {
    type Err = &'static str;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let expected = "expected a URL such as \"http://connectivity-check.ubuntu.com/\", without TLS and of a page that answers 204";
        let rest = written.strip_prefix("http://").ok_or(expected)?;
        let (authority, path) = rest
            .split_once('/')
            .map_or((rest, ""), |(authority, path)| (authority, path));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, port.parse().map_err(|_| expected)?),
            _ => (authority, 80),
        };
        let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || port == 0 || !fits(host) || !fits(path) {
            return Err(expected);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            path: format!("/{path}"),
        })
    }
}

/// Checks. What cannot be asked is not known to be a portal, and counts as none.
pub(super) async fn check(plan: &Plan, check: &PortalCheck, end: Instant) -> ProbeResult {
    let (begin, probe_time) = (Instant::now(), Timestamp::now());
    let asked = timeout(end.saturating_duration_since(begin), ask(plan, check)).await;
    let (ok, detail) = match asked {
        Ok(Ok(204)) => (true, String::new()),
        Ok(Ok(code)) => (false, format!("a captive portal answered ({code})")),
        Ok(Err(error)) => (true, format!("not known: {error}")),
        Err(_) => (true, "not known: no answer in time".to_owned()),
    };
    ProbeResult {
        interface: plan.interface.clone(),
        target: format!("portal:http://{}:{}{}", check.host, check.port, check.path),
        ok,
        round_trip: begin.elapsed(),
        probe_time,
        detail,
    }
}

async fn ask(plan: &Plan, check: &PortalCheck) -> io::Result<u16> {
    let address = match check.host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => resolve(plan, &check.host).await?,
    };
    let mut stream = connect(&plan.interface, SocketAddr::new(address, check.port)).await?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nUser-Agent: modem-broker\r\n\r\n",
        check.path, check.host
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = Vec::new();
    let mut buffer = [0; 64];
    // `HTTP/1.1 204`
    while line.len() < 12 {
        match stream.read(&mut buffer).await? {
            0 => break,
            count => line.extend_from_slice(&buffer[..count]),
        }
    }
    let code = line
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    code.filter(|_| line.starts_with(b"HTTP/1."))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP"))
}

async fn resolve(plan: &Plan, host: &str) -> io::Result<IpAddr> {
    for server in &plan.name_servers {
        let server = SocketAddr::new(*server, DNS_PORT);
        if let Ok(found) = dns::ask(&plan.interface, server, host, server.is_ipv6()).await
            && let Some(address) = found.first()
        {
            return Ok(*address);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "its name was not found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_or_refused() {
        let read = |url: &str| {
            url.parse::<PortalCheck>()
                .map(|check| (check.host, check.port, check.path))
        };
        let known = |host: &str, port, path: &str| Ok((host.to_owned(), port, path.to_owned()));
        assert_eq!(read("http://example.org"), known("example.org", 80, "/"));
        assert_eq!(
            read("http://example.org:8080/a/b?c"),
            known("example.org", 8080, "/a/b?c")
        );
        assert_eq!(read("http://192.0.2.1/204"), known("192.0.2.1", 80, "/204"));
        for wrong in [
            "https://example.org/",
            "example.org",
            "http://",
            "http://a:0/",
            "http://a b/",
            "http://a/\r\nX: y",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
