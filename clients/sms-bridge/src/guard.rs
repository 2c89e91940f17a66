//! Who may ask: a token, and never a web page of somebody else.
//!
//! A browser sends requests to this machine for any page that it shows. Such a page cannot know the token, but it can send a
//! form without a preflight, and it can give its own host name the address of this machine (DNS rebinding).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};

use crate::http::refuse;

/// What requests are checked against.
pub(crate) struct Guard {
    token: Option<[u8; 32]>,
}

type Refusal = (StatusCode, String);

impl Guard {
    pub(crate) fn new(token: Option<&str>) -> Self {
        Self {
            token: token.map(|token| Sha256::digest(token).into()),
        }
    }

    fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        match &self.token {
            Some(expected) => check_token(expected, headers)?,
            // Without a token the name by which the bridge was reached is all that tells a rebound page from a caller.
            None => check_host(headers)?,
        }
        check_origin(headers)?;
        if method == Method::POST {
            check_content_type(headers)?;
        }
        Ok(())
    }
}

/// Lets a request through that is allowed to pass.
pub(crate) async fn admit(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, problem)) => refuse(status, problem),
    }
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Digests are compared rather than tokens, so that the time of a comparison tells nothing about the token.
fn check_token(expected: &[u8; 32], headers: &HeaderMap) -> Result<(), Refusal> {
    let given = text(headers, header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match given {
        Some(token) if <[u8; 32]>::from(Sha256::digest(token)) == *expected => Ok(()),
        _ => Err((
            StatusCode::UNAUTHORIZED,
            "a valid token is needed: send the header Authorization: Bearer TOKEN with what token_file holds"
                .to_owned(),
        )),
    }
}

fn check_host(headers: &HeaderMap) -> Result<(), Refusal> {
    if text(headers, header::HOST).is_some_and(is_this_machine) {
        return Ok(());
    }
    Err((
        StatusCode::MISDIRECTED_REQUEST,
        "without a token the bridge is reached as localhost, 127.0.0.1 or [::1] only; for another name set token_file"
            .to_owned(),
    ))
}

/// Whether a `Host` is a loopback address or `localhost`, with any port.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _port)) => return address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => host.split_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Browsers say whose page sends a request (Fetch Metadata `Sec-Fetch-Site`, RFC 6454 `Origin`); other programs say nothing.
fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let site = text(headers, "sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let origin = match headers.get(header::ORIGIN) {
        None => true,
        Some(origin) => {
            let authority = origin.to_str().ok().and_then(|origin| {
                origin
                    .strip_prefix("http://")
                    .or_else(|| origin.strip_prefix("https://"))
            });
            authority.is_some() && authority == text(headers, header::HOST)
        }
    };
    if site && origin {
        return Ok(());
    }
    Err((
        StatusCode::FORBIDDEN,
        "a web page of another site sent this; call the bridge from a program instead".to_owned(),
    ))
}

/// A page of another site cannot send `application/json` without asking first, which nobody answers here.
fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let given = text(headers, header::CONTENT_TYPE).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let problem = match kind.as_str() {
        "application/json" => return Ok(()),
        "application/x-www-form-urlencoded" | "multipart/form-data" => "a form was sent",
        "" => "the header Content-Type is missing",
        _ => "the header Content-Type names something else",
    };
    Err((
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("{problem}; send JSON with the header Content-Type: application/json"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn verdict(token: Option<&str>, method: &Method, headers: &[(&'static str, &str)]) -> u16 {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let checked = Guard::new(token).check(method, &headers);
        checked.map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn a_page_of_another_site_gets_nothing() {
        let json = ("content-type", "application/json");
        let here = ("host", "127.0.0.1:8088");
        for (headers, expected) in [
            (vec![here, json], 200),
            (vec![here, ("content-type", "Application/JSON; charset=utf-8")], 200),
            (vec![here, ("content-type", "text/plain")], 415),
            (vec![here, ("content-type", "application/x-www-form-urlencoded")], 415),
            (vec![here, ("content-type", "application/jsonp")], 415),
            (vec![here], 415),
            (vec![here, json, ("origin", "http://attacker.example")], 403),
            (vec![here, json, ("origin", "null")], 403),
            (vec![here, json, ("origin", "http://127.0.0.1:8088")], 200),
            (vec![here, json, ("origin", "http://127.0.0.1:9999")], 403),
            (vec![here, json, ("sec-fetch-site", "cross-site")], 403),
            (vec![here, json, ("sec-fetch-site", "same-site")], 403),
            (vec![here, json, ("sec-fetch-site", "none")], 200),
            (vec![json, ("host", "attacker.example")], 421),
            (vec![json], 421),
        ] {
            assert_eq!(verdict(None, &Method::POST, &headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn without_a_token_only_this_machine_is_a_host() {
        for (host, expected) in [
            ("localhost", 200),
            ("LOCALHOST:8088", 200),
            ("127.0.0.1", 200),
            ("127.1.2.3:80", 200),
            ("[::1]:8088", 200),
            ("[::2]:8088", 421),
            ("192.168.1.2:8088", 421),
            ("127.0.0.1.attacker.example", 421),
            ("localhost.attacker.example:8088", 421),
            ("", 421),
        ] {
            assert_eq!(verdict(None, &Method::GET, &[("host", host)]), expected, "{host}");
        }
    }

    #[test]
    fn with_a_token_any_name_will_do_and_no_other_token() {
        let host = ("host", "pi.home.example:8088");
        for (authorization, expected) in [
            (Some("Bearer 0123456789abcdef"), 200),
            (Some("bearer 0123456789abcdef"), 200),
            (Some("Bearer 0123456789abcdeF"), 401),
            (Some("Basic 0123456789abcdef"), 401),
            (None, 401),
        ] {
            let mut headers = vec![host];
            headers.extend(authorization.map(|value| ("authorization", value)));
            assert_eq!(
                verdict(Some(TOKEN), &Method::GET, &headers),
                expected,
                "{authorization:?}"
            );
        }
    }
}
