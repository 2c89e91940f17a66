use super::*;

fn seen(name: &str, is_up: bool, metrics: &[u32]) -> Seen {
    let route = |metric: &u32| DefaultRoute {
        is_v6: false,
        gateway: None,
        metric: *metric,
    };
    Seen {
        name: name.to_owned(),
        is_up,
        default_routes: metrics.iter().map(route).collect(),
        ..Seen::default()
    }
}

#[test]
fn the_primary_is_the_best_of_those_that_work_and_never_the_modem() {
    let modems = BTreeSet::from(["eth7".to_owned()]);
    let directory = tempfile::tempdir().unwrap();
    // An interface of the modem in a router composition looks like Ethernet.
    let device = directory.path().join("class/net/eth9/device");
    std::fs::create_dir_all(&device).unwrap();
    std::fs::write(device.join("idVendor"), "1e0e\n").unwrap();
    let (lo, wwan) = (seen("lo", true, &[]), seen("wwan0", true, &[50]));
    let (own, disguised) = (seen("eth7", true, &[1]), seen("eth9", true, &[1]));
    let others = [lo, wwan, own, disguised];
    for (mine, configured, before, expected) in [
        (vec![seen("wlan0", true, &[600])], None, "", Some("wlan0")),
        (
            vec![seen("wlan0", true, &[600]), seen("eth0", true, &[100])],
            None,
            "wlan0",
            Some("eth0"),
        ),
        (
            vec![seen("wlan0", true, &[600]), seen("eth0", false, &[100])],
            None,
            "eth0",
            Some("wlan0"),
        ),
        (
            vec![seen("wlp2s0", false, &[]), seen("enp1s0", true, &[])],
            None,
            "wlp2s0",
            Some("wlp2s0"),
        ),
        (
            vec![seen("wlp2s0", false, &[]), seen("enp1s0", true, &[])],
            None,
            "",
            Some("enp1s0"),
        ),
        (
            vec![seen("br0", true, &[10]), seen("wlan0", true, &[600])],
            Some("br0"),
            "",
            Some("br0"),
        ),
        (vec![], None, "wlan0", None),
        (vec![seen("wlan0", true, &[600])], Some("br0"), "", None),
    ] {
        let all = [others.to_vec(), mine].concat();
        let found = primary(&all, configured, before, &modems, directory.path());
        assert_eq!(
            found.map(|found| found.name.as_str()),
            expected,
            "{configured:?} {before} {all:?}"
        );
    }
}

#[test]
fn this_machine_is_surveyed() {
    let seen = survey().unwrap();
    let loopback = seen.iter().find(|interface| interface.name == "lo").unwrap();
    assert!(loopback.default_routes.is_empty());
}
