use super::*;
use crate::scope::Scope;

fn token(token: &str, scopes: Scopes) -> TokenConfig {
    TokenConfig {
        name: token.into(),
        sha256: Sha256::digest(token).into(),
        scopes,
    }
}

fn headers(value: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(value) = value {
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
    }
    headers
}

#[test]
fn only_a_known_token_passes() {
    let tokens = ["first", "second"].map(|name| token(name, Scopes::ALL));
    for (value, expected) in [
        (Some("Bearer first"), Some("first")),
        (Some("bearer second"), Some("second")),
        (Some("Bearer third"), None),
        (Some("Bearer "), None),
        (Some("first"), None),
        (Some("Basic first"), None),
        (None, None),
    ] {
        let name = known(&tokens, &headers(value)).map(|token| token.name.as_str());
        assert_eq!(name, expected, "{value:?}");
    }
}

fn peer(uid: u32, groups: &[u32]) -> Peer {
    Peer {
        uid,
        groups: groups.into(),
    }
}

const SEND: Scopes = Scopes::of(&[Scope::SmsSend]);
const DIAL: Scopes = Scopes::of(&[Scope::CallControl]);

#[test]
fn a_user_has_the_sum_of_its_groups_and_nobody_has_more_than_the_socket_gives() {
    let rules = Rules {
        socket: Scopes::READ,
        users: vec![(4_000_001, DIAL)],
        groups: vec![(4_000_007, SEND), (4_000_008, DIAL)],
        ..Rules::default()
    };
    for (peer, expected) in [
        (peer(0, &[]), Scopes::ALL),
        (peer(Uid::effective().as_raw(), &[]), Scopes::ALL),
        (peer(4_000_002, &[4_000_009]), Scopes::READ),
        (peer(4_000_002, &[4_000_007]), Scopes::READ.and(SEND)),
        (
            peer(4_000_002, &[4_000_007, 4_000_008]),
            Scopes::READ.and(SEND).and(DIAL),
        ),
        (peer(4_000_001, &[4_000_007]), Scopes::READ.and(SEND).and(DIAL)),
    ] {
        assert_eq!(rules.of_peer(&peer), expected, "{peer:?}");
    }
}

fn from(address: &str) -> Extensions {
    let mut extensions = Extensions::new();
    let address: std::net::IpAddr = address.parse().unwrap();
    extensions.insert(Guest::of_address(Some(address.to_canonical())));
    extensions
}

#[test]
fn over_tcp_a_token_is_needed_unless_loopback_was_given_scopes() {
    let with_token = || vec![token("vps", SEND)];
    for (tokens, loopback, shown, address, expected) in [
        (with_token(), None, Some("Bearer vps"), "192.0.2.1", Some(SEND)),
        (with_token(), None, Some("Bearer x"), "127.0.0.1", None),
        (with_token(), None, None, "127.0.0.1", None),
        (with_token(), Some(Scopes::READ), None, "127.0.0.1", Some(Scopes::READ)),
        // A token that is not valid any more is told, and not taken for none.
        (with_token(), Some(Scopes::READ), Some("Bearer x"), "127.0.0.1", None),
        (with_token(), Some(Scopes::READ), None, "192.0.2.1", None),
        (Vec::new(), Some(Scopes::ALL), None, "::1", Some(Scopes::ALL)),
        (
            Vec::new(),
            Some(Scopes::ALL),
            None,
            "::ffff:127.0.0.1",
            Some(Scopes::ALL),
        ),
        (Vec::new(), Some(Scopes::ALL), None, "192.0.2.1", None),
        (Vec::new(), None, None, "127.0.0.1", None),
    ] {
        let rules = Rules {
            tokens,
            loopback,
            ..Rules::default()
        };
        let admitted = rules.admit(&headers(shown), &from(address));
        assert_eq!(admitted.map(|(_, scopes)| scopes), expected, "{shown:?} from {address}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_scope_is_named_a_reload_gives_it_and_health_needs_none() {
    let answer = tower::service_fn(|_: Request<()>| async { Ok::<_, std::convert::Infallible>(Response::new(())) });
    let access = Access::default();
    let put = |tokens| {
        let rules = Rules {
            tokens,
            ..Rules::default()
        };
        *access.rules.write().unwrap() = Arc::new(rules);
    };
    let mut service = AuthenticateLayer::new(access.clone()).layer(answer);
    let mut ask = async |path: &str| {
        let mut request = Request::builder().uri(path).body(()).unwrap();
        *request.headers_mut() = headers(Some("Bearer vps"));
        let response = service.call(request).await.unwrap();
        let text = |name: &str| {
            response
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        (text("grpc-status"), text("grpc-message").unwrap_or_default())
    };
    put(vec![token("vps", SEND)]);
    assert_eq!(ask("/modembroker.v1.SmsService/SendMessage").await.0, None);
    // PERMISSION_DENIED is 7, UNAUTHENTICATED 16.
    let (code, message) = ask("/modembroker.v1.SmsService/ListMessages").await;
    assert_eq!(code.as_deref(), Some("7"));
    assert!(message.contains("sms.read"), "{message}");
    put(vec![token("vps", Scopes::READ)]);
    assert_eq!(ask("/modembroker.v1.SmsService/ListMessages").await.0, None);
    put(vec![token("other", Scopes::ALL)]);
    assert_eq!(
        ask("/modembroker.v1.SmsService/ListMessages").await.0.as_deref(),
        Some("16")
    );
    assert_eq!(ask("/grpc.health.v1.Health/Check").await.0, None);
}
