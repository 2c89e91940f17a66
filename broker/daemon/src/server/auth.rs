//! Who may come in over TCP: bearer tokens, of which the configuration knows only hashes.
//!
//! A unix socket needs none, since its mode and group say who may open it. A client certificate is checked before this, in
//! the TLS handshake. Whoever passes is given a name, [`Client`], for the record and for limits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use sha2::{Digest, Sha256};
use tonic::codegen::http::{Extensions, HeaderMap, Request, Response, header};
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo, UdsConnectInfo};
use tower::{Layer, Service};

use super::status;
use crate::config::TokenConfig;

/// A health check tells nothing but that the broker runs, and load balancers cannot send tokens.
const OPEN_SERVICE: &str = "/grpc.health.v1.Health/";

/// Who sends a request: `token:NAME`, `certificate:FINGERPRINT`, `uid:NUMBER` or `address:ADDRESS`, whichever is the first
/// that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client(pub String);

impl Client {
    fn of(token: Option<&TokenConfig>, connection: &Extensions) -> Self {
        if let Some(token) = token {
            return Self(format!("token:{}", token.name));
        }
        let tls = connection.get::<TlsConnectInfo<TcpConnectInfo>>();
        if let Some(certificate) = tls
            .and_then(TlsConnectInfo::peer_certs)
            .and_then(|chain| chain.first().cloned())
        {
            // 64 bits tell a handful of certificates apart, and a person can compare them.
            let fingerprint = Sha256::digest(&certificate);
            let digits: String = fingerprint.iter().take(8).map(|octet| format!("{octet:02x}")).collect();
            return Self(format!("certificate:{digits}"));
        }
        if let Some(peer) = connection.get::<UdsConnectInfo>().and_then(|unix| unix.peer_cred) {
            return Self(format!("uid:{}", peer.uid()));
        }
        let address = tls
            .and_then(|tls| tls.get_ref().remote_addr())
            .or_else(|| connection.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr));
        Self(address.map_or_else(
            || "address:unknown".to_owned(),
            |address| format!("address:{}", address.ip()),
        ))
    }
}

/// Asks every request for a token.
#[derive(Clone, Debug)]
pub struct AuthenticateLayer {
    tokens: Arc<[TokenConfig]>,
}

impl AuthenticateLayer {
    /// With no tokens, every request passes.
    pub fn new(tokens: &[TokenConfig]) -> Self {
        Self { tokens: tokens.into() }
    }
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authenticate {
            inner,
            tokens: Arc::clone(&self.tokens),
        }
    }
}

/// A service behind [`AuthenticateLayer`].
#[derive(Clone, Debug)]
pub struct Authenticate<S> {
    inner: S,
    tokens: Arc<[TokenConfig]>,
}

impl<S, RequestBody, ResponseBody> Service<Request<RequestBody>> for Authenticate<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>>,
    S::Future: Send + 'static,
    ResponseBody: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let open = self.tokens.is_empty() || request.uri().path().starts_with(OPEN_SERVICE);
        let token = known(&self.tokens, request.headers());
        if !open && token.is_none() {
            tracing::warn!(
                path = request.uri().path(),
                "a request without a valid token was refused"
            );
            return Box::pin(async { Ok(status::token_invalid().into_http()) });
        }
        let client = Client::of(token, request.extensions());
        request.extensions_mut().insert(client);
        Box::pin(self.inner.call(request))
    }
}

fn known<'a>(tokens: &'a [TokenConfig], headers: &HeaderMap) -> Option<&'a TokenConfig> {
    let shown: [u8; 32] = Sha256::digest(bearer(headers)?).into();
    // Every token and every octet is looked at, so that the time taken says nothing about how much was right.
    tokens.iter().fold(None, |known, token| {
        if equal(&token.sha256, &shown) {
            Some(token)
        } else {
            known
        }
    })
}

fn equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    // The scheme is compared without regard to case (RFC 9110 11.1).
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then_some(token)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Vec<TokenConfig> {
        ["first", "second"]
            .map(|token| TokenConfig {
                name: token.into(),
                sha256: Sha256::digest(token).into(),
            })
            .into()
    }

    #[test]
    fn only_a_known_token_passes() {
        for (value, expected) in [
            (Some("Bearer first"), Some("first")),
            (Some("bearer second"), Some("second")),
            (Some("Bearer third"), None),
            (Some("Bearer "), None),
            (Some("first"), None),
            (Some("Basic first"), None),
            (None, None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            let tokens = tokens();
            let name = known(&tokens, &headers).map(|token| token.name.as_str());
            assert_eq!(name, expected, "{value:?}");
        }
    }

    #[tokio::test]
    async fn health_needs_no_token_and_a_unix_socket_asks_for_none() {
        let answer = tower::service_fn(|_: Request<()>| async { Ok::<_, std::convert::Infallible>(Response::new(())) });
        for (configured, path, passes) in [
            (tokens(), "/modembroker.v1.ModemService/ListModems", false),
            (tokens(), "/grpc.health.v1.Health/Check", true),
            (Vec::new(), "/modembroker.v1.ModemService/ListModems", true),
        ] {
            let mut service = AuthenticateLayer::new(&configured).layer(answer);
            let response = service
                .call(Request::builder().uri(path).body(()).unwrap())
                .await
                .unwrap();
            // UNAUTHENTICATED is 16.
            let refused = response
                .headers()
                .get("grpc-status")
                .is_some_and(|status| status == "16");
            assert_eq!(refused, !passes, "{path}");
        }
    }
}
