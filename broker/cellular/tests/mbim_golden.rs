//! MBIM as libmbim's `mbimcli` 1.28.2 speaks it: what it sent is what our requests must be, octet for octet, and every
//! message of both directions is read and written again unchanged.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use cellular::mbim::basic_connect::{
    self, Activation, Attachment, AuthProtocol, IpType, Lock, NotConnected, PinType, ReadyState, RegistrationState,
};
use cellular::mbim::message::{Assembler, Body, Framer, Message};
use cellular::mbim::{Client, Output, Request, Response, Status};
use cellular::packet::dialogue::Dialogue as _;
use cellular::packet::{EndReason, Session};

/// Whether the modem sent it, and the octets of one read or write.
type Frame = (bool, Vec<u8>);

/// Commands, each with its frames.
fn golden() -> Vec<(String, Vec<Frame>)> {
    let mut commands: Vec<(String, Vec<Frame>)> = Vec::new();
    for line in include_str!("data/mbim_golden.txt").lines() {
        if let Some(command) = line.strip_prefix("## ") {
            commands.push((command.to_owned(), Vec::new()));
        } else if let Some((direction, hex)) = line.split_once(' ')
            && matches!(direction, "H>M" | "M>H")
        {
            let (_, frames) = commands.last_mut().expect("a command before its frames");
            frames.push((direction == "M>H", octets(hex)));
        }
    }
    assert_eq!(commands.len(), 20);
    commands
}

fn octets(hex: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test has to begin at some instant")]
fn begin() -> Instant {
    Instant::now()
}

/// Every message in some octets.
fn messages(octets: &[u8]) -> Vec<Message> {
    let (mut framer, mut assembler, now) = (Framer::default(), Assembler::default(), begin());
    framer.push(octets);
    let mut messages = Vec::new();
    while let Some(frame) = framer.next_frame() {
        messages.extend(assembler.push(now, &frame).expect("a message that can be read"));
    }
    assert_eq!(framer.take_discarded(), 0);
    messages
}

fn messages_of(command: &str, from_modem: bool) -> Vec<Message> {
    let (_, frames) = golden()
        .into_iter()
        .find(|(name, _)| name.contains(command))
        .unwrap_or_else(|| panic!("{command} is not among the vectors"));
    let frames = frames.iter().filter(|(sender, _)| *sender == from_modem);
    frames.flat_map(|(_, octets)| messages(octets)).collect()
}

/// The first answer to a command.
fn answer(command: &str) -> Response {
    messages_of(command, true)
        .into_iter()
        .find_map(|message| match message.body {
            Body::CommandDone {
                status, information, ..
            } => Some(Response { status, information }),
            _ => None,
        })
        .unwrap_or_else(|| panic!("{command} has no answer"))
}

/// What the modem told by itself meanwhile.
fn indicated(command: &str, wanted: u32) -> Vec<u8> {
    messages_of(command, true)
        .into_iter()
        .find_map(|message| match message.body {
            Body::Indication {
                command, information, ..
            } if command == wanted => Some(information),
            _ => None,
        })
        .unwrap_or_else(|| panic!("{command} has no such indication"))
}

#[test]
fn every_message_is_read_and_written_again_unchanged() {
    for (command, frames) in golden() {
        for (from_modem, octets) in frames {
            let written: Vec<Vec<u8>> = messages(&octets)
                .iter()
                .inspect(|message| {
                    let is_from_host = matches!(message.body, Body::Open { .. } | Body::Close | Body::Command { .. });
                    assert_eq!(is_from_host, !from_modem, "{command}: {message:?}");
                })
                .flat_map(|message| message.encode(4096))
                .collect();
            assert_eq!(written.concat(), octets, "{command}");
        }
    }
}

#[test]
fn all_messages_in_a_row_are_cut_at_the_right_places_in_any_chunks() {
    let all: Vec<u8> = golden()
        .into_iter()
        .flat_map(|(_, frames)| frames)
        .flat_map(|(_, octets)| octets)
        .collect();
    let whole = messages(&all);
    for chunk in [1, 7, 64, 4096] {
        let (mut framer, mut frames) = (Framer::default(), Vec::new());
        for part in all.chunks(chunk) {
            framer.push(part);
            frames.extend(std::iter::from_fn(|| framer.next_frame()));
        }
        assert_eq!(frames.len(), whole.len(), "chunks of {chunk}");
        assert_eq!(frames.concat(), all);
    }
}

/// The whole way through a client that has opened the function and whose transactions are mbimcli's.
#[test]
fn requests_are_those_of_mbimcli() {
    let session = |apn: &str| Session {
        apn: apn.to_owned(),
        user: "u".to_owned(),
        password: "p".to_owned(),
        ..Session::default()
    };
    let cases: [(&str, Request); 20] = [
        ("--query-device-caps", basic_connect::device_caps()),
        ("--query-subscriber-ready-status", basic_connect::subscriber_ready()),
        ("--query-radio-state", basic_connect::radio_state()),
        ("--set-radio-state=on", basic_connect::set_radio_state(true)),
        ("--query-pin-state", basic_connect::pin()),
        ("--query-home-provider", basic_connect::home_provider()),
        ("--query-registration-state", basic_connect::register_state()),
        ("--register-automatic", basic_connect::register_automatically()),
        ("--query-packet-service-state", basic_connect::packet_service()),
        ("--attach-packet-service", basic_connect::attach(true)),
        ("--query-signal-state", basic_connect::signal_state()),
        ("--set-signal-state", basic_connect::set_signal_thresholds(3)),
        ("--query-packet-statistics", basic_connect::packet_statistics()),
        (
            "access-string=internet",
            basic_connect::connect(&session("internet"), AuthProtocol::Chap, IpType::V4V6),
        ),
        ("--query-connection-state", basic_connect::connection_state()),
        ("--query-ip-configuration", basic_connect::ip_configuration()),
        ("--disconnect", basic_connect::disconnect()),
        (
            "access-string=nosuch",
            basic_connect::connect(&session("nosuch"), AuthProtocol::None, IpType::V4),
        ),
        ("--enter-pin=9999", basic_connect::enter_pin(PinType::Pin1, "9999", "")),
        ("--enter-pin=1234", basic_connect::enter_pin(PinType::Pin1, "1234", "")),
    ];
    let now = begin();
    for (command, request) in cases {
        let sent = messages_of(command, false);
        let golden = sent
            .iter()
            .find(|message| matches!(message.body, Body::Command { .. }))
            .expect("a command");
        let mut client = Client::new(4096);
        client.start(now, Request::open());
        let Some(Output::Transmit(open)) = client.poll_output() else {
            panic!("it is opened");
        };
        if let Some(
            first @ Message {
                body: Body::Open { .. },
                ..
            },
        ) = sent.first()
        {
            assert_eq!(first.encode(4096), [open], "{command}");
        }
        client.start(now, request);
        let Some(Output::Transmit(mut frame)) = client.poll_output() else {
            panic!("{command}: nothing was sent");
        };
        frame[8..12].copy_from_slice(&golden.transaction.to_le_bytes());
        assert_eq!(golden.encode(4096), [frame], "{command}");
        assert_eq!(client.poll_output(), None);
    }
}

#[test]
fn answers_about_the_device_and_its_sim_are_read() {
    let caps = basic_connect::read_device_caps(&answer("--query-device-caps")).expect("it can be read");
    assert_eq!(caps.device_id, "867584030000017");
    assert_eq!((caps.data_class, caps.max_sessions), (0x3F, 1));
    assert_eq!(
        (caps.firmware.as_str(), caps.hardware.as_str()),
        ("LE20B04SIM7600G22", "SIMCOM_SIM7600G-H")
    );
    let told = indicated("--enter-pin=1234", basic_connect::SUBSCRIBER_READY_STATUS);
    for information in [answer("--query-subscriber-ready-status").information, told] {
        let sim = basic_connect::read_subscriber_ready(&information).expect("it can be read");
        assert_eq!(sim.state, ReadyState::Initialized);
        assert_eq!(
            (sim.imsi.as_str(), sim.iccid.as_str()),
            ("001010000000001", "8900101000000000017")
        );
    }
    let radio = basic_connect::read_radio_state(&answer("--set-radio-state=on")).expect("it can be read");
    assert!(radio.hardware && radio.software);
    let cases = [
        ("--query-pin-state", Lock::Unlocked, 3),
        ("--enter-pin=9999", Lock::Locked, 2),
        ("--enter-pin=1234", Lock::Unlocked, 3),
    ];
    for (command, lock, left) in cases {
        let pin = basic_connect::read_pin(&answer(command)).expect("it can be read");
        assert_eq!(
            (pin.kind, pin.lock, pin.attempts_left),
            (PinType::Pin1, lock, Some(left))
        );
    }
    assert_eq!(answer("--enter-pin=9999").status, Status::FAILURE);
}

#[test]
fn answers_about_the_network_are_read() {
    let home = basic_connect::read_home_provider(&answer("--query-home-provider")).expect("it can be read");
    assert_eq!((home.plmn.as_str(), home.name.as_str()), ("00101", "Test Network"));
    let told = indicated("--enter-pin=1234", basic_connect::REGISTER_STATE);
    for information in [answer("--query-registration-state").information, told] {
        let registration = basic_connect::read_registration(&information).expect("it can be read");
        assert_eq!((registration.state, registration.cause), (RegistrationState::Home, 0));
        assert_eq!(
            (
                registration.plmn.as_str(),
                registration.name.as_str(),
                registration.manual
            ),
            ("00101", "Test Network", false)
        );
    }
    let told = indicated("--enter-pin=1234", basic_connect::PACKET_SERVICE);
    for information in [answer("--attach-packet-service").information, told] {
        let service = basic_connect::read_packet_service(&information).expect("it can be read");
        assert_eq!((service.attachment, service.cause), (Attachment::Attached, 0));
        assert_eq!((service.uplink, service.downlink), (50_000_000, 150_000_000));
    }
    let signal = basic_connect::read_signal(&answer("--query-signal-state").information).expect("it can be read");
    assert_eq!(signal.rssi_dbm(), Some(-71));
}

#[test]
fn answers_about_sessions_are_read() {
    let connection = basic_connect::connected(&answer("access-string=internet")).expect("it is up");
    assert!(connection.is_ours());
    assert_eq!(
        (connection.activation, connection.ip, connection.reason),
        (Activation::Activated, IpType::V4V6, None)
    );
    let state = basic_connect::read_connection(&answer("--query-connection-state").information);
    assert_eq!(state, Ok(connection));
    let refused = basic_connect::connected(&answer("access-string=nosuch"));
    let unknown_apn = EndReason {
        layer: EndReason::SESSION_MANAGEMENT,
        number: 27,
    };
    assert_eq!(refused, Err(NotConnected::Ended(unknown_apn)));
    let settings = basic_connect::read_ip_configuration(&answer("--query-ip-configuration")).expect("it can be read");
    assert_eq!(settings.address_v4, Some((Ipv4Addr::new(10, 64, 0, 2), 30)));
    assert_eq!(settings.gateway_v4, Some(Ipv4Addr::new(10, 64, 0, 1)));
    let address_v6: Ipv6Addr = "2001:db8:0:1::2".parse().expect("an address");
    assert_eq!(settings.address_v6, Some((address_v6, 64)));
    assert_eq!(
        settings.name_servers_v4,
        [Ipv4Addr::new(192, 0, 2, 53), Ipv4Addr::new(198, 51, 100, 53)]
    );
    assert_eq!((settings.name_servers_v6.len(), settings.mtu), (1, Some(1420)));
    assert_eq!(basic_connect::disconnected(&answer("--disconnect")), Ok(()));
    let moved = basic_connect::read_packet_statistics(&answer("--query-packet-statistics"));
    assert_eq!(moved.map(|moved| (moved.uplink, moved.downlink)), Ok((0, 0)));
}

/// Some functions tell a wrong access point by the status instead of the network's cause.
#[test]
fn causes_that_are_told_by_the_status_are_those_of_the_network() {
    let refused = |status: Status| {
        let response = Response {
            status,
            information: Vec::new(),
        };
        basic_connect::connected(&response)
    };
    for (status, number) in [(Status::INVALID_ACCESS_STRING, 27), (Status::INVALID_USER_NAME_PWD, 29)] {
        let Err(NotConnected::Ended(reason)) = refused(status) else {
            panic!("{status} is a cause");
        };
        assert_eq!((reason.layer, reason.number), (EndReason::SESSION_MANAGEMENT, number));
    }
    assert!(matches!(refused(Status::PIN_REQUIRED), Err(NotConnected::Refused(_))));
}
