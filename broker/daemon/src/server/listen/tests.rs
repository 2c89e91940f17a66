use tempfile::TempDir;

use super::*;
use crate::config::Config;

fn config(listen: &[String]) -> BrokerConfig {
    let listen: Vec<_> = listen.iter().map(|address| format!("{address:?}")).collect();
    Config::parse(
        &format!(
            "[broker]\nlisten = [{}]\nsocket_mode = \"0600\"\nloopback_scopes = [\"all\"]",
            listen.join(", ")
        ),
        "test",
    )
    .unwrap()
    .broker
}

fn unix(directory: &TempDir) -> (PathBuf, BrokerConfig) {
    let path = directory.path().join("made/broker.sock");
    (path.clone(), config(&[format!("unix:{}", path.display())]))
}

#[tokio::test]
async fn a_second_broker_is_told_who_the_first_is_and_does_not_take_its_socket() {
    let directory = TempDir::new().unwrap();
    let (path, config) = unix(&directory);
    let first = bind(&config).await.unwrap();
    let error = bind(&config).await.unwrap_err().to_string();
    let pid = std::process::id();
    assert_eq!(
        error,
        format!("a broker is already running on {} (pid {pid})", path.display())
    );
    UnixStream::connect(&path).await.expect("the first still listens");
    drop(first);
    assert!(!path.exists(), "a broker that ends removes its socket");
}

#[tokio::test]
async fn a_socket_that_a_killed_broker_left_is_replaced() {
    let directory = TempDir::new().unwrap();
    let (path, config) = unix(&directory);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _listeners = bind(&config).await.unwrap();
    UnixStream::connect(&path).await.expect("the new one listens");
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(
        fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1,
        "nothing unfinished is left"
    );
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_removed() {
    let directory = TempDir::new().unwrap();
    let (path, config) = unix(&directory);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "precious").unwrap();
    assert!(matches!(bind(&config).await, Err(ListenError::NotASocket { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind(&config(&[format!("tcp:{address}")]))
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!("failed to listen on {address}: another program already does")
    );
}

#[tokio::test]
async fn an_unknown_group_and_a_missing_certificate_say_which() {
    let directory = TempDir::new().unwrap();
    let (path, mut config) = unix(&directory);
    config.socket_group = Some("no-such-group-here".into());
    assert!(
        bind(&config)
            .await
            .unwrap_err()
            .to_string()
            .contains("no-such-group-here")
    );
    assert!(!path.exists());
    config.tls = Some(TlsConfig {
        certificate: "/nowhere/cert.pem".into(),
        key: "/nowhere/key.pem".into(),
        client_ca: None,
        client_scopes: crate::scope::Scopes::ALL,
    });
    assert!(
        bind(&config)
            .await
            .unwrap_err()
            .to_string()
            .contains("/nowhere/cert.pem")
    );
}

#[tokio::test]
async fn serving_ends_in_bounded_time_although_a_client_stays_connected() {
    let directory = TempDir::new().unwrap();
    let (path, config) = unix(&directory);
    let listeners = bind(&config).await.unwrap();
    let access = Access::new(&config);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move { drop(stopped.await) };
    let serving = serve(listeners, Routes::default(), &access, shutdown);
    let client = async {
        let stream = UnixStream::connect(&path).await.unwrap();
        stop.send(()).unwrap();
        stream
    };
    let both = async { tokio::join!(serving, client) };
    let (served, _stream) = tokio::time::timeout(SHUTDOWN_LIMIT * 3, both).await.expect("it ends");
    served.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn over_tcp_a_token_is_asked_for_and_over_a_unix_socket_none() {
    use api::v1::ListEventsRequest;
    use api::v1::event_service_client::EventServiceClient;
    use api::v1::event_service_server::EventServiceServer;
    use sha2::{Digest, Sha256};
    use tonic::transport::Endpoint;
    use tonic::{Code, Request};

    use crate::server::event::Events;
    use crate::server::settings::TokenConfig;
    use crate::store::Store;

    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("broker.sock");
    let mut config = config(&["tcp:127.0.0.1:0".to_owned(), format!("unix:{}", socket.display())]);
    config.tokens = vec![TokenConfig {
        name: "vps".into(),
        sha256: Sha256::digest("secret").into(),
        scopes: crate::scope::Scopes::READ,
    }];
    config.loopback_scopes = None;
    let access = Access::new(&config);
    let store = Store::open(&directory.path().join("broker.db")).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let routes = Routes::new(EventServiceServer::new(Events::new(
        store,
        Default::default(),
        stopped.clone(),
    )));
    let listeners = bind(&config).await.unwrap();
    let ListenAddress::Tcp(address) = *listeners[0].address() else {
        panic!("not TCP")
    };
    let mut shutdown = stopped;
    let serving = serve(listeners, routes, &access, async move {
        let _ = shutdown.wait_for(|stop| *stop).await;
    });
    let clients = async {
        let list = async |url: String, token: &str| {
            let mut client = EventServiceClient::new(Endpoint::from_shared(url).unwrap().connect().await.unwrap());
            let mut request = Request::new(ListEventsRequest::default());
            if !token.is_empty() {
                request
                    .metadata_mut()
                    .insert("authorization", format!("Bearer {token}").parse().unwrap());
            }
            client
                .list_events(request)
                .await
                .map_or_else(|status| status.code(), |_| Code::Ok)
        };
        let tcp = format!("http://{address}");
        let codes = [
            list(tcp.clone(), "secret").await,
            list(tcp.clone(), "wrong").await,
            list(tcp, "").await,
            list(format!("unix://{}", socket.display()), "").await,
        ];
        assert_eq!(
            codes,
            [Code::Ok, Code::Unauthenticated, Code::Unauthenticated, Code::Ok]
        );
        stop.send_replace(true);
    };
    let (served, ()) = tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(serving, clients) })
        .await
        .expect("it ends");
    served.unwrap();
}
