//! Who comes in, and what they may do.
//!
//! Over TCP a bearer token or a client certificate says who somebody is; the certificate itself is checked before this, in
//! the TLS handshake. Over a unix socket the kernel says it. Whoever passes is given a name, [`Client`], for the record and
//! for limits, and its [`Scopes`], which every method asks for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use nix::unistd::{Group, Uid, User};
use sha2::{Digest, Sha256};
use tonic::codegen::http::{Extensions, HeaderMap, Request, Response, header};
use tonic::transport::server::TlsConnectInfo;
use tower::{Layer, Service};

use super::connections::Guest;
use super::methods;
use super::peer::Peer;
use super::status;
use super::strangers::Strangers;
use crate::scope::Scopes;
use crate::server::settings::{BrokerConfig, MemberConfig, TokenConfig};

/// A health check tells nothing but that the broker runs, and load balancers cannot send tokens.
const OPEN_SERVICE: &str = "/grpc.health.v1.Health/";

/// Who sends a request: `token:NAME`, `certificate:FINGERPRINT`, `uid:NUMBER` or `address:ADDRESS`, whichever is the first
/// that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client(pub String);

/// Who may do what, as the configuration says. Names of users and groups are looked up once.
#[derive(Debug, Default)]
struct Rules {
    tokens: Vec<TokenConfig>,
    certificates: Vec<TokenConfig>,
    any_certificate: Scopes,
    loopback: Option<Scopes>,
    socket: Scopes,
    users: Vec<(u32, Scopes)>,
    groups: Vec<(u32, Scopes)>,
}

/// The rules in force, which a reload replaces for every connection at once.
#[derive(Clone, Debug, Default)]
pub struct Access {
    rules: Arc<RwLock<Arc<Rules>>>,
    strangers: Strangers,
}

impl Access {
    /// The rules of a configuration.
    pub fn new(config: &BrokerConfig) -> Self {
        let access = Self::default();
        access.replace(config);
        access
    }

    /// Puts the rules of another configuration in force, for the next request of everybody.
    pub fn replace(&self, config: &BrokerConfig) {
        let rules = Arc::new(Rules::new(config));
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Rules {
    fn new(config: &BrokerConfig) -> Self {
        let tls = config.tls.as_ref();
        Self {
            tokens: config.tokens.clone(),
            certificates: config.certificates.clone(),
            any_certificate: tls.map_or(Scopes::NONE, |tls| tls.client_scopes),
            loopback: config.loopback_scopes,
            socket: config.socket_scopes,
            users: numbers(&config.users, |name| {
                User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
            }),
            groups: numbers(&config.groups, |name| {
                Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
            }),
        }
    }

    /// Who somebody is and what they may do; none for somebody who has to show a token and does not.
    fn admit(&self, headers: &HeaderMap, connection: &Extensions) -> Option<(Client, Scopes)> {
        if let Some(peer) = guest(connection).and_then(|guest| guest.peer.as_ref()) {
            return Some((Client(format!("uid:{}", peer.uid)), self.of_peer(peer)));
        }
        if let Some(token) = known(&self.tokens, headers) {
            return Some((Client(format!("token:{}", token.name)), token.scopes));
        }
        let shows_a_token = headers.contains_key(header::AUTHORIZATION);
        if shows_a_token && !self.tokens.is_empty() {
            return None;
        }
        if self.tokens.is_empty()
            && let Some(admitted) = self.by_certificate(connection)
        {
            return Some(admitted);
        }
        let address = guest(connection).and_then(|guest| guest.address);
        let loopback = address.is_some_and(|address| address.is_loopback());
        let scopes = self.loopback.filter(|_| loopback)?;
        let name = address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
        Some((Client(format!("address:{name}")), scopes))
    }

    fn by_certificate(&self, connection: &Extensions) -> Option<(Client, Scopes)> {
        let chain = connection.get::<TlsConnectInfo<Guest>>()?.peer_certs()?;
        let fingerprint: [u8; 32] = Sha256::digest(chain.first()?).into();
        if let Some(certificate) = self.certificates.iter().find(|known| known.sha256 == fingerprint) {
            return Some((Client(format!("certificate:{}", certificate.name)), certificate.scopes));
        }
        // 64 bits tell a handful of certificates apart, and a person can compare them.
        let digits: String = fingerprint.iter().take(8).map(|octet| format!("{octet:02x}")).collect();
        Some((Client(format!("certificate:{digits}")), self.any_certificate))
    }

    /// Root and the broker's own user could take everything anyway. Who is in several groups has the sum of what these have.
    fn of_peer(&self, peer: &Peer) -> Scopes {
        if peer.uid == 0 || peer.uid == Uid::effective().as_raw() {
            return Scopes::ALL;
        }
        let users = self.users.iter().filter(|(uid, _)| *uid == peer.uid);
        let groups = self.groups.iter().filter(|(gid, _)| peer.groups.contains(gid));
        users
            .chain(groups)
            .fold(self.socket, |sum, (_, scopes)| sum.and(*scopes))
    }
}

/// A name that nobody has gives nobody anything, so it is said and not fatal.
fn numbers(members: &[MemberConfig], find: impl Fn(&str) -> Option<u32>) -> Vec<(u32, Scopes)> {
    let found = members.iter().filter_map(|member| {
        let number = find(&member.name);
        if number.is_none() && !member.is_default {
            tracing::warn!(
                name = member.name,
                "the configuration gives scopes to somebody who does not exist"
            );
        }
        Some((number?, member.scopes))
    });
    found.collect()
}

/// Who is at the other end, with TLS or without.
fn guest(connection: &Extensions) -> Option<&Guest> {
    let tls = connection.get::<TlsConnectInfo<Guest>>();
    tls.map(TlsConnectInfo::get_ref).or_else(|| connection.get::<Guest>())
}

/// Asks every request who sends it, and whether it may.
#[derive(Clone, Debug)]
pub struct AuthenticateLayer {
    access: Access,
}

impl AuthenticateLayer {
    /// A layer that follows these rules.
    pub fn new(access: Access) -> Self {
        Self { access }
    }
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authenticate {
            inner,
            access: self.access.clone(),
        }
    }
}

/// A service behind [`AuthenticateLayer`].
#[derive(Clone, Debug)]
pub struct Authenticate<S> {
    inner: S,
    access: Access,
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
        let path = request.uri().path();
        if path.starts_with(OPEN_SERVICE) {
            return Box::pin(self.inner.call(request));
        }
        let Some((client, scopes)) = self.access.rules().admit(request.headers(), request.extensions()) else {
            let address = guest(request.extensions()).and_then(|guest| guest.address);
            let pause = self.access.strangers.refuse(address);
            return Box::pin(async move {
                tokio::time::sleep(pause).await;
                Ok(status::token_invalid().into_http())
            });
        };
        if let Some(missing) = methods::need(path).missing(scopes) {
            tracing::info!(client = client.0, path, scope = %missing, "a request was refused: its scope is missing");
            return Box::pin(async move { Ok(status::scope_missing(missing).into_http()) });
        }
        if let Some(guest) = guest(request.extensions()) {
            guest.is_welcome();
        }
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(scopes);
        Box::pin(self.inner.call(request))
    }
}

/// What whoever sent a request may do. Inside the broker, without the layer, everything.
pub(super) fn scopes_of<T>(request: &tonic::Request<T>) -> Scopes {
    request.extensions().get::<Scopes>().copied().unwrap_or(Scopes::ALL)
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
mod tests;
