use super::*;

#[test]
fn targets_are_read_as_they_are_shown() {
    for written in [
        "icmp:192.0.2.1",
        "icmp:2001:db8::1",
        "tcp:192.0.2.1:443",
        "tcp:[2001:db8::1]:443",
        "dns:192.0.2.1",
        "dns:2001:db8::1",
        "dns:192.0.2.1:5353",
    ] {
        assert_eq!(written.parse::<Target>().unwrap().to_string(), written);
    }
    assert_eq!(
        "dns:[2001:db8::1]".parse::<Target>().unwrap().to_string(),
        "dns:2001:db8::1"
    );
    for wrong in [
        "192.0.2.1",
        "icmp:example.org",
        "tcp:192.0.2.1",
        "tcp:192.0.2.1:0",
        "udp:192.0.2.1:1",
        "",
    ] {
        assert!(wrong.parse::<Target>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn one_answer_acquits_and_no_answer_takes_no_longer_than_the_limit() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let open = Target::Tcp(listener.local_addr().unwrap());
    // Nobody listens there, and it is told at once.
    let closed = {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Target::Tcp(gone.local_addr().unwrap())
    };
    let plan = |targets: Vec<Target>, name_servers: Vec<IpAddr>| Plan {
        interface: "lo".to_owned(),
        targets,
        name_servers,
        name: "example.org".to_owned(),
        portal: None,
        burst: Burst {
            volleys: 3,
            spacing: Duration::from_millis(10),
            limit: Duration::from_secs(20),
        },
    };
    let good = round(plan(vec![closed, open], Vec::new())).await;
    assert_eq!(good.finding, Finding::Good);
    let bad = round(plan(vec![closed], Vec::new())).await;
    assert_eq!(bad.finding, Finding::NoAnswer);
    assert_eq!((bad.results.len(), bad.results[0].ok), (1, false));
    assert!(!bad.results[0].detail.is_empty());
    // There is a way, but no name server at its end.
    let nameless = round(plan(vec![open], vec![IpAddr::from([127, 0, 0, 9])])).await;
    assert_eq!(nameless.finding, Finding::NoNames);
}
