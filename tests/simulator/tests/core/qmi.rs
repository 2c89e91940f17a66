//! The QMI control channel, with the requests of the real qmicli 1.32.2 (`--dms-get-ids`, `--nas-get-serving-system`).

use simulator::control::Request;
use simulator::{Function, PacketNetwork};

use crate::bench::Bench;

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("hexadecimal"))
        .collect()
}

fn exchange(bench: &mut Bench, hex: &str) -> String {
    bench
        .send_bytes(Function::Qmi, &octets(hex))
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

#[test]
fn a_client_is_allocated_used_and_released() {
    let mut bench = Bench::quiet();
    for (request, response) in [
        // Internal Proxy Open, Sync, Allocate CID for DMS
        (
            "011700000000000100ff0c000109002f6465762f6e756c6c",
            "011200800000010100ff070002040000000000",
        ),
        ("010b00000000000327000000", "01120080000001032700070002040000000000"),
        (
            "010f0000000000042200040001010002",
            "011700800000010422000c00020400000000000102000201",
        ),
        // Get IDs: ESN "0" and the IMEI
        (
            "010c0000020100010025000000",
            "01290080020102010025001d0002040000000000100100301\
             10f00383637353834303330303030303137",
        ),
        // A message that is not there, then Release CID, and the client is gone.
        ("010c0000020100020055000000", "0113008002010202005500070002040001004700"),
        (
            "0110000000000005230005000102000201",
            "011700800000010523000c00020400000000000102000201",
        ),
        ("010c0000020100030025000000", "0113008002010203002500070002040001000700"),
    ] {
        assert_eq!(exchange(&mut bench, request), response, "{request}");
    }
}

#[test]
fn the_serving_system_and_the_signal_are_those_of_the_network() {
    let mut bench = Bench::quiet();
    exchange(&mut bench, "010f0000000000022200040001010003");
    assert_eq!(
        exchange(&mut bench, "010c0000030100010024000000"),
        "013400800301020100240028000204000000000001060001010102010810010001121100010001000c54657374204e6574776f726b"
    );
    assert_eq!(
        exchange(&mut bench, "010c000003010002004f000000"),
        "011c008003010202004f001000020400000000001406\
         00b9f6a1ff7800"
    );
}

#[test]
fn frames_may_be_cut_joined_or_surrounded_by_noise() {
    let mut bench = Bench::quiet();
    let sync = "010b00000000000327000000";
    let answer = "01120080000001032700070002040000000000";
    assert_eq!(exchange(&mut bench, &sync[..10]), "");
    assert_eq!(exchange(&mut bench, &sync[10..]), answer);
    assert_eq!(exchange(&mut bench, &format!("ff00{sync}{sync}")), answer.repeat(2));
}

/// A request of a service's first client: message, transaction, TLVs.
pub fn request(service: u8, message: u16, transaction: u16, tlvs: &[(u8, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in tlvs {
        body.push(*kind);
        body.extend((value.len() as u16).to_le_bytes());
        body.extend_from_slice(value);
    }
    let mut frame = vec![1, 0, 0, 0, service, u8::from(service != 0), 0];
    frame.push(transaction.to_le_bytes()[0]);
    if service != 0 {
        frame.push(transaction.to_le_bytes()[1]);
    }
    frame.extend(message.to_le_bytes());
    frame.extend((body.len() as u16).to_le_bytes());
    frame.extend(body);
    let length = ((frame.len() - 1) as u16).to_le_bytes();
    frame[1..3].copy_from_slice(&length);
    frame
}

/// The messages in what the modem said: service, whether it is an indication, message, error, TLVs without the result.
pub fn said(mut octets: &[u8]) -> Vec<(u8, bool, u16, u16, Vec<u8>)> {
    let mut messages = Vec::new();
    while octets.len() > 3 {
        let (frame, rest) = octets.split_at(usize::from(u16::from_le_bytes([octets[1], octets[2]])) + 1);
        octets = rest;
        let service = frame[4];
        let indication = service != 0 && frame[6] == 4;
        let body = &frame[if service == 0 { 8 } else { 9 }..];
        let message = u16::from_le_bytes([body[0], body[1]]);
        let (error, tlvs) = match &body[4..] {
            [2, 4, 0, _, _, low, high, tlvs @ ..] => (u16::from_le_bytes([*low, *high]), tlvs),
            tlvs => (0, tlvs),
        };
        messages.push((service, indication, message, error, tlvs.to_vec()));
    }
    messages
}

const WDS: u8 = 1;

fn with_data_client() -> Bench {
    let mut bench = Bench::quiet();
    bench.send_bytes(Function::Qmi, &request(0, 0x22, 1, &[(1, &[WDS])]));
    bench
}

#[test]
fn a_session_begins_with_its_request_and_ends_with_its_client_the_network_or_the_registration() {
    let start = request(WDS, 0x20, 2, &[(0x19, &[4]), (0x14, b"internet")]);
    for (name, end, layer_and_reason) in [
        ("stop", Some(request(WDS, 0x21, 3, &[(1, &[0xff; 4])])), [2, 0, 202, 0]),
        ("network", None, [6, 0, 39, 0]),
        ("registration", None, [3, 0, 0xF8, 3]),
    ] {
        let mut bench = with_data_client();
        // Without raw IP in the modem no packet goes.
        assert_eq!(bench.modem.status().sessions, [] as [std::net::IpAddr; 0]);
        let answer = said(&bench.send_bytes(Function::Qmi, &start));
        let kinds: Vec<_> = answer.iter().map(|said| (said.1, said.2, said.3)).collect();
        assert_eq!(kinds, [(true, 0x22, 0), (false, 0x20, 0)], "{name}");
        let again = said(&bench.send_bytes(Function::Qmi, &start));
        assert_eq!(again[0].3, 26, "{name}: a second one has no effect");
        let told = match (end, name) {
            (Some(end), _) => bench.send_bytes(Function::Qmi, &end),
            (None, "network") => bench.tell_and_take(Request::EndSessions { layer: 6, number: 39 }),
            (None, _) => bench.tell_and_take(Request::SetRegistration {
                domain: None,
                state: simulator::RegistrationState::Denied,
            }),
        };
        let ended = said(&told).into_iter().find(|said| said.1 && said.2 == 0x22);
        let (.., tlvs) = ended.unwrap_or_else(|| panic!("{name}: the end is told"));
        assert_eq!(tlvs[..5], [1, 2, 0, 1, 0], "{name}: disconnected");
        assert!(
            tlvs.windows(7)
                .any(|part| part[..3] == [0x11, 4, 0] && part[3..] == layer_and_reason),
            "{name}: {tlvs:?}"
        );
    }
}

#[test]
fn the_network_refuses_a_session_for_its_reasons() {
    let start = |apn: &[u8]| request(WDS, 0x20, 2, &[(0x19, &[4]), (0x14, apn), (0x17, b"u"), (0x18, b"p")]);
    let open = PacketNetwork::default();
    for (packet, apn, reason) in [
        (
            PacketNetwork {
                apn: Some("internet".into()),
                ..open.clone()
            },
            "wrong",
            [6, 0, 27, 0],
        ),
        (
            PacketNetwork {
                credentials: Some(("u".into(), "q".into())),
                ..open.clone()
            },
            "x",
            [6, 0, 29, 0],
        ),
        (
            PacketNetwork {
                only_family: Some(6),
                ..open.clone()
            },
            "x",
            [6, 0, 51, 0],
        ),
        (
            PacketNetwork {
                refuse: Some((6, 33)),
                ..open.clone()
            },
            "x",
            [6, 0, 33, 0],
        ),
        (
            PacketNetwork {
                held_by_firmware: true,
                ..open
            },
            "x",
            [2, 0, 241, 0],
        ),
    ] {
        let mut bench = with_data_client();
        bench.tell_and_take(Request::SetPacketNetwork(packet));
        let answer = said(&bench.send_bytes(Function::Qmi, &start(apn.as_bytes())));
        assert_eq!(answer[0].3, 14, "{reason:?}");
        assert!(answer[0].4.ends_with(&reason), "{reason:?}: {answer:?}");
    }
}

#[test]
fn packets_go_when_the_modem_speaks_raw_ip_and_client_ids_run_out() {
    let mut bench = with_data_client();
    bench.send_bytes(Function::Qmi, &request(WDS, 0x20, 2, &[(0x19, &[4])]));
    bench.send_bytes(Function::Qmi, &request(0, 0x22, 2, &[(1, &[0x1a])]));
    assert!(bench.modem.status().sessions.is_empty());
    bench.send_bytes(Function::Qmi, &request(0x1a, 0x20, 3, &[(0x11, &[2, 0, 0, 0])]));
    assert_eq!(bench.modem.status().sessions.len(), 1);
    let errors: Vec<u16> = (0..16)
        .map(|_| said(&bench.send_bytes(Function::Qmi, &request(0, 0x22, 4, &[(1, &[WDS])])))[0].3)
        .collect();
    assert_eq!((&errors[..15], errors[15]), (&[0; 15][..], 5));
    // Sync gives all of them back and ends the session.
    bench.send_bytes(Function::Qmi, &request(0, 0x27, 5, &[]));
    assert!(bench.modem.status().sessions.is_empty());
}

#[test]
fn the_ims_follows_the_registration_and_what_is_granted() {
    const IMSA: u8 = 0x21;
    let mut bench = Bench::quiet();
    bench.send_bytes(Function::Qmi, &request(0, 0x22, 1, &[(1, &[IMSA])]));
    bench.send_bytes(Function::Qmi, &request(IMSA, 0x22, 2, &[(0x10, &[1]), (0x11, &[1])]));
    let status = said(&bench.send_bytes(Function::Qmi, &request(IMSA, 0x20, 3, &[])));
    assert_eq!(status[0].4[..7], [0x12, 4, 0, 2, 0, 0, 0], "registered");
    let limited = Request::SetIms {
        registration: Some(simulator::ImsRegistration::Limited),
    };
    let told = said(&bench.tell_and_take(limited));
    assert_eq!(
        told.iter().map(|said| (said.1, said.2)).collect::<Vec<_>>(),
        [(true, 0x23), (true, 0x24)]
    );
    assert_eq!(told[0].4[..7], [0x11, 4, 0, 3, 0, 0, 0]);
}
