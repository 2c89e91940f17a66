use super::*;
use crate::port::PortAddress;
use crate::resource::AccessTechnology;
use crate::scope::{Scope, Scopes};
use crate::server::settings::{ListenAddress, MemberConfig};

const EXAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/modem-broker.toml"));
const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn parse(text: &str) -> Config {
    Config::parse(text, "test.toml").unwrap()
}

fn complaint(text: &str) -> String {
    Config::parse(text, "test.toml")
        .expect_err("this must be refused")
        .to_string()
}

#[test]
fn the_example_shows_the_defaults() {
    let mut example = parse(EXAMPLE);
    assert_eq!(example.modems[0].name, "sim1");
    example.modems[0].name = "modem".to_owned();
    assert_eq!(example, Config::default());
}

/// Keys that the example comments out are read too, so that it cannot show one that does not exist.
#[test]
fn the_example_with_everything_uncommented_is_understood_key_by_key() {
    let written = |line: &str| {
        let key = line.split(['=', ']']).next().unwrap_or_default().trim();
        (line.contains(" = ") && !key.contains(' '))
            || (line.starts_with('[') && line.ends_with(']') && !line.contains(' '))
    };
    let text: String = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| written(rest)).unwrap_or(line))
        // Each of these excludes another one.
        .filter(|line| !line.starts_with("pin_file") && !line.starts_with("usb_path"))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = parse(&text);
    assert!(config.broker.tls.is_some_and(|tls| tls.client_ca.is_some()));
    assert_eq!(config.broker.tokens.len(), 1);
    assert_eq!(config.broker.certificates.len(), 1);
    let of = |groups: &[MemberConfig]| {
        groups
            .iter()
            .map(|group| (group.name.clone(), group.scopes))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(&config.broker.groups),
        of(&parse("").broker.groups),
        "the example shows the groups that hold anyway"
    );
    assert_eq!(config.broker.socket_group.as_deref(), Some("dialout"));
    let modem = &config.modems[0];
    assert!(modem.pin.is_some() && modem.imei.is_some());
    assert_eq!(modem.ports.as_ref().unwrap().addresses().count(), 7);
}

#[test]
fn who_is_on_this_machine_is_not_let_in_by_accident() {
    let config = parse("");
    assert_eq!(config.broker.socket_scopes, Scopes::READ);
    assert_eq!(config.broker.loopback_scopes, None);
    let error = Config::parse("[broker]\nlisten = [\"tcp:127.0.0.1:7700\"]", "test.toml")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("[[broker.tokens]]") && error.contains("loopback_scopes"),
        "{error}"
    );
    let token = format!("[[broker.tokens]]\nname = \"vps\"\nsha256 = \"{}\"", "0".repeat(64));
    assert_eq!(
        parse(&token).broker.tokens[0].scopes,
        Scopes::ALL,
        "a token without scopes may do everything"
    );
    let scoped = format!("{token}\nscopes = [\"sms.read\", \"sms.send\"]");
    assert_eq!(
        parse(&scoped).broker.tokens[0].scopes,
        Scopes::of(&[Scope::SmsRead, Scope::SmsSend])
    );
    let wrong = Config::parse(&format!("{token}\nscopes = [\"sms\"]"), "test.toml")
        .unwrap_err()
        .to_string();
    assert!(
        wrong.contains("broker.tokens[0].scopes[0]") && wrong.contains("sms.send"),
        "{wrong}"
    );
}

#[test]
fn complaints_say_where_and_what_was_expected() {
    let table = [
        (
            "[broker]\nlisten = 5",
            "test.toml:2:10: broker.listen: expected an array, found integer",
        ),
        (
            "[broker]\nlisten = [\"unix:x\"]",
            "test.toml:2:11: broker.listen[0]: expected \"unix:/PATH\"",
        ),
        (
            "[broker]\n  lisen = []",
            "test.toml:2:3: broker.lisen: unknown key; did you mean listen?",
        ),
        (
            "[diagnostics]\nzebra = 1",
            "test.toml:2:1: diagnostics.zebra: unknown key; known here: raw_at, raw_qmi, trace_kib",
        ),
        (
            "[metrics]\nlisten = \"0.0.0.0:9476\"",
            "test.toml:2:10: metrics.listen: 0.0.0.0:9476 can be reached from the network",
        ),
        (
            "[metrics]\nlisten = \"9476\"",
            "metrics.listen: expected \"ADDRESS:PORT\", such as \"127.0.0.1:9476\"",
        ),
        ("[brokr]", "test.toml:1:2: brokr: unknown key; did you mean broker?"),
        (
            "[diagnostics]\nraw_at = \"yes\"",
            "test.toml:2:10: diagnostics.raw_at: expected true or false, found string",
        ),
        (
            "[store]\nkeep_events_days = 0",
            "test.toml:2:20: store.keep_events_days: expected a whole number from 1 to 3650, found 0",
        ),
        (
            "[store]\nkeep_events_days = -1",
            "expected a whole number from 1 to 3650, found -1",
        ),
        (
            "[voice]\non_abandoned = \"drop\"",
            "test.toml:2:16: voice.on_abandoned: expected \"hang_up\" or \"keep\"",
        ),
        ("[broker]\nsocket_mode = \"9\"", "expected three or four octal digits"),
        (
            "[broker]\nsocket_mode = \"0044\"",
            "the owner has to be able to read and write",
        ),
        (
            "[[broker.tokens]]\nname = \"a\"\nsha256 = \"ab\"",
            "test.toml:3:10: broker.tokens[0].sha256: expected 64 hexadecimal",
        ),
        ("[broker.tls]\nkey = \"/k\"", "broker.tls: certificate is missing"),
        (
            "[[modem]]\nname = \"Sim 1\"",
            "test.toml:2:8: modem[0].name: expected 1 to 32 characters",
        ),
        ("[[modem]]", "test.toml:1:1: modem[0]: name is missing"),
        (
            "[[modem]]\nnme = \"a\"",
            "test.toml:2:1: modem[0].nme: unknown key; did you mean name?",
        ),
        ("[[modem]]\nname=\"a\"\nimei=\"1\"", "modem[0].imei: expected 15 digits"),
        (
            "[[modem]]\nname=\"a\"\n[modem.ports]\naudio=\"/dev/x\"",
            "modem[0].ports: at is missing",
        ),
        (
            "[[modem]]\nname=\"a\"\n[modem.ports]\nat=\"ttyUSB2\"",
            "modem[0].ports.at: expected a path such as",
        ),
        (
            "[[modem]]\nname=\"a\"\n[modem.ports]\nat=\"tcp:host:0\"",
            "modem[0].ports.at: expected a path such as",
        ),
        (
            "[[modem]]\nname=\"a\"\n[modem.ports]\nat=\"/dev/x\"\nqmi=\"/dev/x\"",
            "ports.qmi: this port already has another role",
        ),
        (
            "[[modem]]\nname=\"a\"\n[[modem]]\nname=\"b\"",
            "with several modems each has to say which device it is",
        ),
        (
            "[[modem]]\nname=\"a\"\nimei=\"490154203237518\"\n[[modem]]\nname=\"a\"\nusb_path=\"1-1\"",
            "is used twice",
        ),
        (
            "[[modem]]\nname=\"a\"\n[modem.data]\naddresses=\"static\"",
            "modem[0].data.addresses: expected \"auto\", \"settings\" or \"dhcp\"",
        ),
        (
            "[[modem]]\nname=\"a\"\n[modem.data]\napn_v6=\"two words\"",
            "modem[0].data.apn_v6: expected",
        ),
        (
            "[wan]\nhold_seconds = 30\nhold_max_seconds = 20",
            "hold_max_seconds: expected at least hold_seconds, which is 30",
        ),
        (
            "[discovery]\nenabled = false",
            "expected a [[modem]] with [modem.ports]",
        ),
        ("[broker", "test.toml:1:8: "),
    ];
    for (text, expected) in table {
        let complaint = complaint(text);
        assert!(complaint.contains(expected), "{text:?}:\n  {complaint}\n  {expected}");
    }
}

#[test]
fn columns_are_counted_in_characters() {
    assert!(complaint("[broker]\n\"ü\" = 1").starts_with("test.toml:2:1: "));
    assert!(complaint("[modem]").contains("expected an array, found table"));
}

#[test]
fn a_network_listener_needs_encryption_and_authentication() {
    let tls = "[broker.tls]\ncertificate=\"/c\"\nkey=\"/k\"\n";
    let client_ca = "client_ca=\"/ca\"\n";
    let tokens = format!("[[broker.tokens]]\nname=\"a\"\nsha256=\"{HASH}\"\n");
    for (listen, rest, missing) in [
        (
            "0.0.0.0:7700",
            String::new(),
            Some("set [broker.tls] certificate and key, and [[broker.tokens]] or"),
        ),
        ("[::]:7700", String::new(), Some("set [broker.tls]")),
        (
            "192.0.2.1:7700",
            tls.to_owned(),
            Some("set [[broker.tokens]] or broker.tls.client_ca"),
        ),
        (
            "192.0.2.1:7700",
            tokens.clone(),
            Some("set [broker.tls] certificate and key"),
        ),
        ("192.0.2.1:7700", format!("{tls}{tokens}"), None),
        ("192.0.2.1:7700", format!("{tls}{client_ca}"), None),
        ("127.0.0.1:7700", String::new(), Some("set [[broker.tokens]]")),
        ("127.0.0.1:7700", tokens.clone(), None),
        ("[::1]:7700", "loopback_scopes = [\"all\"]".to_owned(), None),
        (
            "192.0.2.1:7700",
            "loopback_scopes = [\"all\"]".to_owned(),
            Some("set [broker.tls] certificate and key"),
        ),
    ] {
        let text = format!("[broker]\nlisten = [\"tcp:{listen}\"]\n{rest}");
        match missing {
            None => assert_eq!(
                parse(&text).broker.listen,
                [ListenAddress::Tcp(listen.parse().unwrap())]
            ),
            Some(missing) => assert!(complaint(&text).contains(missing), "{}", complaint(&text)),
        }
    }
}

#[test]
fn a_pin_never_appears_in_a_log() {
    let config = parse("[[modem]]\nname = \"sim1\"\npin = \"4711\"");
    assert_eq!(config.modems[0].pin.as_ref().unwrap().expose(), "4711");
    assert!(!format!("{config:?}").contains("4711"));
    for wrong in [
        "pin = 4711",
        "pin = \"4711x\"",
        "pin = \"4711\"\npin_file = \"/x\"",
        "pin_file = 4711",
        "pni = 4711",
    ] {
        let complaint = complaint(&format!("[[modem]]\nname = \"sim1\"\n{wrong}"));
        assert!(!complaint.contains("4711"), "{complaint}");
    }
}

#[test]
fn a_pin_file_is_read_and_a_missing_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pin");
    std::fs::write(&file, "4711\n").unwrap();
    let text = format!("[[modem]]\nname = \"sim1\"\npin_file = {:?}", file.to_str().unwrap());
    assert_eq!(parse(&text).modems[0].pin.as_ref().unwrap().expose(), "4711");
    std::fs::remove_file(&file).unwrap();
    assert!(complaint(&text).contains("test.toml:3:12: modem[0].pin_file: failed to read"));
}

#[test]
fn ports_are_paths_or_network_addresses() {
    let text = "[[modem]]\nname=\"a\"\n[modem.ports]\nat=\"tcp:[::1]:4000\"\nat_calls=\"tcp:sim:4001\"\naudio=\"/dev/ttyUSB4\"";
    let ports = parse(text).modems.remove(0).ports.unwrap();
    assert_eq!(
        ports.at,
        PortAddress::Tcp {
            host: "::1".into(),
            port: 4000
        }
    );
    assert_eq!(
        ports.at_calls,
        Some(PortAddress::Tcp {
            host: "sim".into(),
            port: 4001
        })
    );
    let shown: Vec<_> = ports.addresses().map(|(_, address)| address.to_string()).collect();
    assert_eq!(shown, ["tcp:[::1]:4000", "tcp:sim:4001", "/dev/ttyUSB4"]);
    let text = "[[modem]]\nname=\"a\"\n[modem.ports]\nat=\"/dev/ttyUSB2\"\nqmi=\"proxy:/dev/cdc-wdm0\"";
    let ports = parse(text).modems.remove(0).ports.unwrap();
    assert_eq!(ports.qmi, Some(PortAddress::Proxy("/dev/cdc-wdm0".into())));
    for wrong in [
        "qmi=\"proxy:\"",
        "qmi=\"proxy:cdc-wdm0\"",
        "audio=\"proxy:/dev/ttyUSB4\"",
    ] {
        let text = format!("[[modem]]\nname=\"a\"\n[modem.ports]\nat=\"/dev/ttyUSB2\"\n{wrong}");
        assert!(complaint(&text).contains("expected a path"), "{wrong}");
    }
}

#[test]
fn an_operator_is_its_digits_and_each_mode_is_named_once() {
    let network = |keys: &str| format!("[[modem]]\nname = \"a\"\n[modem.network]\n{keys}\n");
    let read = parse(&network("plmn = \"26201\"\nmodes = [\"umts\", \"lte\"]"))
        .modems
        .remove(0)
        .network;
    assert_eq!(
        (read.plmn.as_deref(), read.technologies),
        (Some("26201"), Some(vec![AccessTechnology::Umts, AccessTechnology::Lte]))
    );
    for (keys, expected) in [
        (
            "plmn = \"2620\"",
            "test.toml:4:8: modem[0].network.plmn: expected the 5 or 6 digits",
        ),
        ("plmn = \"26201;\"", "modem[0].network.plmn: expected the 5 or 6 digits"),
        ("modes = []", "at least one of"),
        (
            "modes = [\"lte\", \"5g\"]",
            "modem[0].network.modes[1]: expected \"lte\"",
        ),
        (
            "modes = [\"lte\", \"lte\"]",
            "modem[0].network.modes[1]: this one is there already",
        ),
        ("operator = \"26201\"", "modem[0].network.operator"),
    ] {
        let complaint = complaint(&network(keys));
        assert!(complaint.contains(expected), "{keys}: {complaint}");
    }
}

/// With equal metrics nobody would know which of two modems is the way.
#[test]
fn each_modem_has_a_metric_of_its_own_unless_it_is_told_another() {
    let config = parse(
        "[[modem]]\nname=\"a\"\nusb_path=\"1-1\"\n[[modem]]\nname=\"b\"\nusb_path=\"1-2\"\n[[modem]]\nname=\"c\"\n\
         usb_path=\"1-3\"\n[modem.data]\nmetric = 90",
    );
    let metrics: Vec<u32> = config.modems.iter().map(|modem| modem.data.metric).collect();
    assert_eq!(metrics, [700, 701, 90]);
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nowhere/modem-broker.toml")).unwrap_err();
    assert_eq!(error.to_string(), "failed to read /nowhere/modem-broker.toml");
}
