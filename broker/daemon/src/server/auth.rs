//! Who may come in over TCP: bearer tokens, of which the configuration knows only hashes.
//!
//! A unix socket needs none, since its mode and group say who may open it. A client certificate is checked before this, in
//! the TLS handshake.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use sha2::{Digest, Sha256};
use tonic::codegen::http::{HeaderMap, Request, Response, header};
use tower::{Layer, Service};

use super::status;
use crate::config::TokenConfig;

/// A health check tells nothing but that the broker runs, and load balancers cannot send tokens.
const OPEN_SERVICE: &str = "/grpc.health.v1.Health/";

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

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let open = self.tokens.is_empty() || request.uri().path().starts_with(OPEN_SERVICE);
        if !open && !is_known(&self.tokens, request.headers()) {
            tracing::warn!(
                path = request.uri().path(),
                "a request without a valid token was refused"
            );
            return Box::pin(async { Ok(status::token_invalid().into_http()) });
        }
        Box::pin(self.inner.call(request))
    }
}

fn is_known(tokens: &[TokenConfig], headers: &HeaderMap) -> bool {
    let Some(shown) = bearer(headers) else { return false };
    let shown: [u8; 32] = Sha256::digest(shown).into();
    // Every token and every octet is looked at, so that the time taken says nothing about how much was right.
    tokens
        .iter()
        .fold(false, |known, token| known | equal(&token.sha256, &shown))
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
            (Some("Bearer first"), true),
            (Some("bearer second"), true),
            (Some("Bearer third"), false),
            (Some("Bearer "), false),
            (Some("first"), false),
            (Some("Basic first"), false),
            (None, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(is_known(&tokens(), &headers), expected, "{value:?}");
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
