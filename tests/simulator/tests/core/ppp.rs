//! The data call of the modem port: from `ATD*99#` to `NO CARRIER`, with a host that is written down.

use simulator::control::Request;
use simulator::{
    Composition, Config, DataCallEnd, DataCallRecord, Fault, FaultAction, Function, PacketNetwork, PinState,
    RegistrationState, Timing, Trigger,
};

use crate::bench::Bench;

const MODEM: Function = Function::Modem;

/// Echo requests to 192.0.2.1 from the address that the network gives, and to a host of the documentation prefix from an
/// address of the host's own making in the prefix that the router advertises.
const PING_V4: &str = "0021 4500001c000100004001ae9d 0a400002 c0000201 0800f7fe00000001";
const PONG_V4: &str = "0021 4500001c000100004001ae9d c0000201 0a400002 0000fffe00000001";
const PING_V6: &str =
    "0057 6000000000083a40 20010db8000000010000000000001234 20010db8000000990000000000000001 8000117b00000001";

const HOST: &str = "c021 01010014 020600000000 050621e96b39 0702 0802";
const HOST_ACCEPTED: &str = "c021 02010014 020600000000 050621e96b39 0702 0802";

/// The end of a call as the host sees it.
const NO_CARRIER: &[u8] = b"\r\nNO CARRIER\r\n";

fn plain(text: &str) -> String {
    text.chars().filter(|c| *c != ' ').collect()
}

fn sequence(octets: &[u8]) -> u16 {
    let mut sequence = 0xFFFF_u16;
    for octet in octets {
        sequence ^= u16::from(*octet);
        for _ in 0..8 {
            let carry = sequence & 1 == 1;
            sequence = sequence >> 1 ^ if carry { 0x8408 } else { 0 };
        }
    }
    sequence
}

/// A frame, with every control character escaped.
fn frame(text: &str) -> Vec<u8> {
    let text = plain(text);
    let mut body = vec![0xFF, 0x03];
    body.extend(
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")),
    );
    let check = !sequence(&body);
    body.extend(check.to_le_bytes());
    let mut line = vec![0x7E];
    for octet in body {
        match octet {
            0..0x20 | 0x7D | 0x7E => line.extend([0x7D, octet ^ 0x20]),
            octet => line.push(octet),
        }
    }
    line.push(0x7E);
    line
}

/// The frames among octets, with their protocols in full.
fn frames(octets: &[u8]) -> Vec<String> {
    let mut frames = Vec::new();
    for line in octets.split(|octet| *octet == 0x7E) {
        let mut body = Vec::new();
        let mut escaped = false;
        for octet in line {
            match octet {
                0x7D => escaped = true,
                octet => body.push(octet ^ if std::mem::take(&mut escaped) { 0x20 } else { 0 }),
            }
        }
        if body.len() < 4 || sequence(&body) != 0xF0B8 {
            continue;
        }
        let body = &body[..body.len() - 2];
        let body = body.strip_prefix(&[0xFF, 0x03]).unwrap_or(body);
        let high = if body[0] & 1 == 1 { "00" } else { "" };
        let text: String = body.iter().map(|octet| format!("{octet:02x}")).collect();
        frames.push(format!("{high}{text}"));
    }
    frames
}

fn bench() -> Bench {
    let config = Config {
        composition: Composition::find(0x9006).expect("the module has it"),
        ..Config::default()
    };
    let mut bench = Bench::with(Timing::Instant, config);
    bench.send("ATE0\r");
    bench.send_to(MODEM, "ATE0\r");
    bench.clear();
    bench
}

fn say(bench: &mut Bench, text: &str) -> Vec<String> {
    frames(&bench.send_bytes(MODEM, &frame(text)))
}

/// What came on the modem port since it was last asked.
fn heard(bench: &mut Bench) -> Vec<u8> {
    bench.send_bytes(MODEM, &[])
}

fn dial(bench: &mut Bench, line: &str) -> Vec<String> {
    let answer = bench.send_bytes(MODEM, format!("{line}\r").as_bytes());
    let octets = answer.strip_prefix(b"\r\nCONNECT 115200\r\n");
    frames(octets.unwrap_or_else(|| panic!("{line}: {}", String::from_utf8_lossy(&answer))))
}

/// Agrees to what the module asked for but, as a host without secrets, to no authentication.
fn link(bench: &mut Bench, begun: &[String]) {
    assert_eq!(begun.len(), 1, "the module begins: {begun:?}");
    assert!(begun[0].starts_with("c02101000019"), "{begun:?}");
    let again = say(bench, "c021 04000009 0305c22305");
    assert_eq!(say(bench, HOST), [plain(HOST_ACCEPTED)]);
    let accepted = again[0].replacen("c02101", "c02102", 1);
    let discard = say(bench, &accepted);
    assert_eq!(discard.len(), 1);
    assert!(discard[0].starts_with("c0210b"), "{discard:?}");
}

/// Takes the address and the name servers that the network gives.
fn take_v4(bench: &mut Bench) {
    let suggested = say(bench, "8021 01010016 030600000000 810600000000 830600000000");
    assert_eq!(
        suggested[1],
        plain("8021 03010016 03060a400002 8106c0000235 8306c6336435")
    );
    say(bench, "8021 02000004");
    let options = "03060a400002 8106c0000235 8306c6336435";
    assert_eq!(
        say(bench, &format!("8021 01020016 {options}")),
        [plain(&format!("8021 02020016 {options}"))]
    );
}

fn connected() -> Bench {
    let mut bench = bench();
    let begun = dial(&mut bench, "ATD*99#");
    link(&mut bench, &begun);
    take_v4(&mut bench);
    assert_eq!(
        bench.modem.status().sessions,
        ["10.64.0.2".parse::<std::net::IpAddr>().expect("an address")]
    );
    bench
}

fn record(bench: &Bench) -> DataCallRecord {
    bench
        .modem
        .books()
        .data_calls
        .records
        .back()
        .expect("a data call")
        .clone()
}

fn assert_command_state(bench: &mut Bench) {
    assert_eq!(bench.send_to(MODEM, "AT\r"), "|OK|");
    assert_eq!(bench.modem.status().data_call, None);
    assert!(bench.modem.status().sessions.is_empty());
}

#[test]
fn a_call_is_dialled_left_resumed_and_hung_up() {
    let mut bench = connected();
    assert_eq!(say(&mut bench, PING_V4), [plain(PONG_V4)]);
    // An address that is not the host's gets no answer: it belongs to somebody else.
    assert_eq!(
        say(&mut bench, &PING_V4.replace("0a400002", "0a400102")),
        [] as [&str; 0]
    );
    bench.wait(1_000);
    assert_eq!(
        bench.send_bytes(MODEM, b"+++"),
        b"",
        "the silence behind it is still to come"
    );
    bench.wait(1_000);
    assert_eq!(heard(&mut bench), b"\r\nOK\r\n");
    assert_eq!(bench.send_to(MODEM, "AT+CSQ\r"), "|+CSQ: 21,99||OK|");
    assert!(
        bench
            .modem
            .status()
            .data_call
            .is_some_and(|call| call.contains("command state"))
    );
    assert_eq!(bench.send_to(MODEM, "ATO\r"), "|CONNECT 115200|");
    assert_eq!(say(&mut bench, PING_V4), [plain(PONG_V4)]);
    bench.wait(1_000);
    bench.send_bytes(MODEM, b"+++");
    bench.wait(1_000);
    heard(&mut bench);
    assert_eq!(bench.send_to(MODEM, "ATH\r"), "|OK|");
    assert_command_state(&mut bench);
    assert_eq!(bench.send_to(MODEM, "ATO\r"), "|NO CARRIER|");
    let record = record(&bench);
    assert_eq!(record.end, Some(DataCallEnd::HungUp));
    assert_eq!([record.uplink_packets, record.uplink_octets], [3, 84]);
    assert_eq!([record.downlink_packets, record.downlink_octets], [2, 56]);
    let session = bench.modem.books().sessions.records.back().expect("a session");
    assert_eq!((session.family, session.profile, session.refused), (4, Some(1), None));
    // Once more, as if nothing had been.
    let begun = dial(&mut bench, "ATD*99#");
    link(&mut bench, &begun);
    take_v4(&mut bench);
}

#[test]
fn every_way_to_dial_names_its_context() {
    let lines = [
        ("ATD*99#", 1),
        ("ATDT*99***3#", 3),
        ("AT+CGDATA=\"PPP\",2", 2),
        ("AT+CGDCONT=5,\"IP\",\"internet\";D*99***5#", 5),
    ];
    for (line, context) in lines {
        let mut bench = bench();
        dial(&mut bench, line);
        assert_eq!(record(&bench).context, context, "{line}");
    }
    assert_eq!(bench().send_to(MODEM, "AT+CGDATA=?\r"), "|+CGDATA: (\"PPP\")||OK|");
    assert_eq!(bench().send_to(MODEM, "ATV0D*99#\r").get(..2), Some("1\r"));
}

#[test]
fn what_cannot_be_dialled_is_refused() {
    let registration = |state| Request::SetRegistration { domain: None, state };
    let held = PacketNetwork {
        held_by_firmware: true,
        ..PacketNetwork::default()
    };
    let cases = [
        (None, "ATD*99***7#", "|NO CARRIER|"),
        (None, "ATD*99***99#", "|ERROR|"),
        (None, "AT+CGDATA=\"PPP\",7", "|+CME ERROR: invalid index|"),
        (None, "AT+CGDATA=\"M-HEX\",1", "|ERROR|"),
        (
            Some(registration(RegistrationState::Searching)),
            "ATD*99#",
            "|NO CARRIER|",
        ),
        (
            Some(registration(RegistrationState::Denied)),
            "AT+CGDATA=\"PPP\",1",
            "|+CME ERROR: no network service|",
        ),
        (
            Some(Request::SetSim {
                state: PinState::Absent,
            }),
            "ATD*99#",
            "|NO CARRIER|",
        ),
        (
            Some(Request::SetSim {
                state: PinState::Absent,
            }),
            "AT+CGDATA=\"PPP\",1",
            "|+CME ERROR: SIM not inserted|",
        ),
        (Some(Request::SetPacketNetwork(held)), "ATD*99#", "|NO CARRIER|"),
    ];
    for (request, line, answer) in cases {
        let mut bench = bench();
        if let Some(request) = request {
            bench.tell(request);
            heard(&mut bench);
        }
        assert_eq!(bench.send_to(MODEM, &format!("{line}\r")), answer, "{line}");
        assert_command_state(&mut bench);
    }
    let mut bench = bench();
    bench.tell(registration(RegistrationState::Roaming));
    heard(&mut bench);
    dial(&mut bench, "ATD*99#");
    assert_eq!(
        bench.send("ATD*99#\r"),
        "|NO CARRIER|",
        "one port has the call, and the other one never does"
    );
}

#[test]
fn the_other_port_works_and_the_modem_port_hears_nothing_of_it() {
    let mut bench = connected();
    bench.tell(Request::Unsolicited {
        line: "+CMTI: \"ME\",0".to_owned(),
    });
    bench.tell(Request::Inject {
        fault: Fault {
            trigger: Trigger::Now,
            count: 1,
            action: FaultAction::InjectUnsolicited {
                line: "+CPIN: READY".to_owned(),
            },
        },
    });
    let told = bench.send("AT+CGACT?\r");
    assert!(
        told.starts_with("|+CMTI: \"ME\",0||+CPIN: READY||+CGACT: 1,1|"),
        "{told}"
    );
    assert_eq!(bench.send("AT+CGPADDR\r"), "|+CGPADDR: 1,10.64.0.2||OK|");
    assert_eq!(heard(&mut bench), b"");
    assert_eq!(say(&mut bench, PING_V4), [plain(PONG_V4)]);
    // Deactivating the context over there takes the link down.
    assert_eq!(bench.send("AT+CGACT=0,1\r"), "|OK|");
    let farewell = frames(&heard(&mut bench));
    assert!(farewell[0].starts_with("c02105"), "{farewell:?}");
    let answer = bench.send_bytes(MODEM, &frame(&farewell[0].replacen("c02105", "c02106", 1)));
    assert_eq!(answer, NO_CARRIER);
    assert_command_state(&mut bench);
    assert_eq!(record(&bench).end, Some(DataCallEnd::Deactivated));
}

#[test]
fn the_network_ends_a_call_with_a_farewell_and_a_lost_carrier_without() {
    let mut bench = connected();
    bench.tell(Request::EndSessions { layer: 6, number: 39 });
    assert_eq!(frames(&heard(&mut bench)), ["c02105030004"]);
    assert_eq!(bench.send_bytes(MODEM, &frame("c021 06030004")), NO_CARRIER);
    assert_command_state(&mut bench);
    assert_eq!(record(&bench).end, Some(DataCallEnd::Network { layer: 6, number: 39 }));

    let mut bench = connected();
    bench.tell(Request::SetRegistration {
        domain: None,
        state: RegistrationState::Searching,
    });
    assert_eq!(heard(&mut bench), NO_CARRIER);
    assert_command_state(&mut bench);
    assert_eq!(record(&bench).end, Some(DataCallEnd::CarrierLost));

    // A host that has gone to the command state hears of it there.
    let mut bench = connected();
    bench.wait(1_000);
    bench.send_bytes(MODEM, b"+++");
    bench.wait(1_000);
    heard(&mut bench);
    bench.tell(Request::EndSessions { layer: 6, number: 39 });
    assert_eq!(heard(&mut bench), NO_CARRIER);
    assert_command_state(&mut bench);
}

#[test]
fn a_host_ends_a_call_by_its_farewell_by_closing_the_port_and_by_saying_nothing() {
    let mut bench = connected();
    let answer = bench.send_bytes(MODEM, &frame("c021 05090004"));
    assert_eq!(frames(&answer), ["c02106090004"]);
    assert!(answer.ends_with(NO_CARRIER));
    assert_command_state(&mut bench);
    assert_eq!(record(&bench).end, Some(DataCallEnd::Terminated));

    // `AT&D`: 2 ends the call, 1 leads to the command state, 0 is no matter.
    for (setting, shown, end) in [
        ("AT&D2", None, Some(DataCallEnd::PortClosed)),
        ("AT&D1", Some("command state"), None),
        ("AT&D0", Some("data state"), None),
    ] {
        let mut bench = connected();
        bench.set(&[setting]);
        bench.close(Function::At);
        assert!(bench.modem.status().data_call.is_some());
        bench.close(MODEM);
        let call = bench.modem.status().data_call;
        assert_eq!(call.is_some(), shown.is_some(), "{setting}");
        assert!(
            call.unwrap_or_default().contains(shown.unwrap_or_default()),
            "{setting}"
        );
        assert_eq!(record(&bench).end, end, "{setting}");
    }

    let mut bench = self::bench();
    dial(&mut bench, "ATD*99#");
    bench.wait(40_000);
    assert!(heard(&mut bench).ends_with(NO_CARRIER));
    assert_command_state(&mut bench);
    assert_eq!(record(&bench).end, Some(DataCallEnd::Unanswered));
}

#[test]
fn an_access_point_that_the_network_lacks_is_told_when_the_host_wants_an_address() {
    let mut bench = bench();
    bench.set(&["AT+CGDCONT=1,\"IP\",\"wrong\""]);
    bench.tell(Request::SetPacketNetwork(PacketNetwork {
        apn: Some("internet".to_owned()),
        ..PacketNetwork::default()
    }));
    let begun = dial(&mut bench, "ATD*99#");
    link(&mut bench, &begun);
    assert_eq!(say(&mut bench, "8021 0101000a 030600000000"), ["c02105030004"]);
    assert_eq!(bench.send_bytes(MODEM, &frame("c021 06030004")), NO_CARRIER);
    assert_command_state(&mut bench);
    assert_eq!(record(&bench).end, Some(DataCallEnd::Refused { layer: 6, number: 27 }));
    let session = bench.modem.books().sessions.records.back().expect("a session");
    assert_eq!((session.apn.as_str(), session.refused), ("wrong", Some((6, 27))));
}

fn guarded() -> Bench {
    let mut bench = bench();
    bench.tell(Request::SetPacketNetwork(PacketNetwork {
        credentials: Some(("user".to_owned(), "secret".to_owned())),
        ..PacketNetwork::default()
    }));
    bench
}

#[test]
fn a_password_passes_or_ends_the_call() {
    for (request, verdict, refused) in [
        ("c023 01070010 0475736572 06736563726574", "c0230207000500", None),
        (
            "c023 01070010 0475736572 06536563726574",
            "c0230307000500",
            Some((6, 29)),
        ),
    ] {
        let mut bench = guarded();
        dial(&mut bench, "ATD*99#");
        let again = say(&mut bench, "c021 03000008 0304c023");
        say(&mut bench, HOST);
        say(&mut bench, &again[0].replacen("c02101", "c02102", 1));
        let answers = say(&mut bench, request);
        assert_eq!(answers[0], verdict);
        match refused {
            None => take_v4(&mut bench),
            Some((layer, number)) => {
                assert!(answers[1].starts_with("c02105"), "{answers:?}");
                let end = answers[1].replacen("c02105", "c02106", 1);
                assert_eq!(bench.send_bytes(MODEM, &frame(&end)), NO_CARRIER);
                assert_eq!(record(&bench).end, Some(DataCallEnd::Refused { layer, number }));
            }
        }
        let session = bench.modem.books().sessions.records.back().expect("a session");
        assert_eq!(
            (session.user.as_str(), session.authentication, session.refused),
            ("user", Some(1), refused)
        );
    }
}

#[test]
fn a_host_that_shows_nothing_has_what_the_context_has() {
    for (password, refused) in [("secret", None), ("Secret", Some((6, 29)))] {
        let mut bench = guarded();
        bench.set(&[&format!("AT+CGAUTH=1,2,\"{password}\",\"user\"")]);
        let begun = dial(&mut bench, "ATD*99#");
        link(&mut bench, &begun);
        say(&mut bench, "8021 0101000a 03060a400002");
        let session = bench.modem.books().sessions.records.back().expect("a session");
        assert_eq!(
            (session.user.as_str(), session.authentication, session.refused),
            ("user", Some(2), refused)
        );
    }
}

#[test]
fn ipv6_comes_from_the_router_behind_the_link() {
    let mut bench = bench();
    bench.set(&["AT+CGDCONT=1,\"IPV6\",\"internet\""]);
    let begun = dial(&mut bench, "ATD*99#");
    link(&mut bench, &begun);
    let answers = say(&mut bench, "8057 0101000e 010a00000000cafe0001");
    assert_eq!(
        answers,
        ["80570100000e010a0000000000000001", "80570301000e010a0000000000000002"]
    );
    say(&mut bench, "8057 0102000e 010a0000000000000002");
    let advertised = say(&mut bench, "8057 0200000e 010a0000000000000001");
    let [advertisement] = &advertised[..] else {
        panic!("one advertisement, unasked: {advertised:?}");
    };
    assert!(advertisement.starts_with("00576000000000483aff"), "{advertisement}");
    assert!(advertisement.contains("fe800000000000000000000000000001ff020000000000000000000000000001860"));
    // From the link-local address that IPV6CP gave, to all routers.
    let solicitation =
        "0057 6000000000083aff fe800000000000000000000000000002 ff020000000000000000000000000002 85007d35 00000000";
    assert_eq!(say(&mut bench, solicitation), advertised, "and one that was asked for");
    let pong = say(&mut bench, PING_V6);
    assert!(
        pong[0].contains("20010db800000099000000000000000120010db8000000010000000000001234810"),
        "{pong:?}"
    );
    assert_eq!(
        say(&mut bench, "8021 0101000a 030600000000")[0][..6],
        *"c02108",
        "no IPv4 in this context"
    );
}

#[test]
fn both_versions_go_and_the_network_may_give_one_of_them() {
    let mut bench = bench();
    bench.set(&["AT+CGDCONT=1,\"IPV4V6\",\"internet\""]);
    let begun = dial(&mut bench, "ATD*99#");
    link(&mut bench, &begun);
    take_v4(&mut bench);
    say(&mut bench, "8057 0200000e 010a0000000000000001");
    say(&mut bench, "8057 0102000e 010a0000000000000002");
    assert_eq!(bench.modem.status().sessions.len(), 2);
    assert_eq!(bench.modem.books().sessions.total(), 2);

    let mut bench = self::bench();
    bench.set(&["AT+CGDCONT=1,\"IPV4V6\",\"internet\""]);
    bench.tell(Request::SetPacketNetwork(PacketNetwork {
        only_family: Some(4),
        ..PacketNetwork::default()
    }));
    let begun = dial(&mut bench, "ATD*99#");
    link(&mut bench, &begun);
    take_v4(&mut bench);
    assert_eq!(say(&mut bench, "8057 0102000e 010a0000000000000002")[0][..6], *"c02108");
    assert_eq!(say(&mut bench, PING_V4), [plain(PONG_V4)]);
}

#[test]
fn a_network_that_takes_its_time_answers_what_was_asked_meanwhile() {
    let mut bench = bench();
    bench.tell(Request::SetPacketNetwork(PacketNetwork {
        start_after_ms: 4_000,
        ..PacketNetwork::default()
    }));
    let begun = dial(&mut bench, "ATD*99#");
    link(&mut bench, &begun);
    let wanted = "8021 0101000a 03060a400002";
    assert_eq!(say(&mut bench, wanted), [] as [&str; 0]);
    assert_eq!(say(&mut bench, wanted), [] as [&str; 0]);
    bench.wait(4_000);
    assert_eq!(
        frames(&heard(&mut bench)),
        [plain("8021 01000004"), plain("8021 0201000a 03060a400002")]
    );
}

#[test]
fn a_silent_module_and_a_noisy_line_are_faults_like_any_other() {
    let mut bench = connected();
    bench.tell(Request::Inject {
        fault: Fault {
            trigger: Trigger::Now,
            count: 1,
            action: FaultAction::InjectBytes { hex: "7E7D".to_owned() },
        },
    });
    heard(&mut bench);
    let mut damaged = frame(PING_V4);
    damaged[20] ^= 1;
    assert_eq!(bench.send_bytes(MODEM, &damaged), b"");
    assert_eq!(say(&mut bench, PING_V4), [plain(PONG_V4)]);
    bench.tell(Request::SetPacketNetwork(PacketNetwork {
        silent: true,
        ..PacketNetwork::default()
    }));
    assert_eq!(say(&mut bench, PING_V4), [] as [&str; 0]);
    bench.close(MODEM);
    assert_eq!(record(&bench).damaged_frames, 1);
}

#[test]
fn a_module_with_qmi_has_one_session_at_a_time() {
    let mut bench = Bench::quiet();
    bench.send_to(MODEM, "ATE0\r");
    dial(&mut bench, "ATD*99#");
    // A client id of WDS, and Start Network with it.
    bench.send_bytes(Function::Qmi, &[1, 15, 0, 0, 0, 0, 0, 1, 0x22, 0, 4, 0, 1, 1, 0, 1]);
    let start = [1, 12, 0, 0, 1, 1, 0, 2, 0, 0x20, 0, 0, 0];
    let refused = bench.send_bytes(Function::Qmi, &start);
    assert!(refused.windows(4).any(|tlv| tlv == [2, 0, 241, 0]), "{refused:02x?}");
    bench.close(MODEM);
    let started = bench.send_bytes(Function::Qmi, &start);
    assert!(
        started.windows(7).any(|tlv| tlv == [2, 4, 0, 0, 0, 0, 0]),
        "{started:02x?}"
    );
    assert_eq!(bench.send_to(MODEM, "ATD*99#\r"), "|NO CARRIER|");
}
