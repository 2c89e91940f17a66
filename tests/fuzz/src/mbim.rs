//! An MBIM port whose modem says arbitrary octets.
//!
//! Nothing may panic, no deadline may stay due, every request must end exactly once, and what the client sends must be
//! messages that can be read.

use std::time::{Duration, Instant};

use cellular::mbim::basic_connect::{self, AuthProtocol, IpType};
use cellular::mbim::message::Assembler;
use cellular::mbim::{Client, Output, Request, Response};
use cellular::packet::Session;
use cellular::packet::dialogue::Dialogue as _;

/// Reads one input: the first octet of each record says what happens, the second how much of it.
pub fn check(octets: &[u8]) {
    let (mut client, mut now) = (Client::new(64), Instant::now());
    let (mut started, mut ended) = (0, 0);
    let mut rest = octets;
    while let [what, amount, following @ ..] = rest {
        rest = following;
        match what % 8 {
            0 => {
                started += 1;
                client.start(now, request(*amount));
            }
            1 => {
                now += Duration::from_millis(u64::from(*amount) * 300);
                client.handle_timeout(now);
                assert!(
                    client.poll_timeout().is_none_or(|due| due > now),
                    "a deadline stays due"
                );
            }
            2 if *amount == 0 => client.close(),
            _ => {
                let (said, after) = rest.split_at(rest.len().min(usize::from(*amount)));
                client.handle_input(now, said);
                rest = after;
            }
        }
        ended += drain(&mut client, now);
    }
    client.close();
    ended += drain(&mut client, now);
    assert_eq!(started, ended, "every request ends once");
}

fn request(which: u8) -> Request {
    let session = || Session {
        apn: "an.access.point.that.makes.fragments".to_owned(),
        ..Session::default()
    };
    match which % 8 {
        0 => Request::open(),
        1 => Request::close(),
        2 => basic_connect::device_caps(),
        3 => basic_connect::subscriber_ready(),
        4 => basic_connect::pin(),
        5 => basic_connect::ip_configuration(),
        6 => basic_connect::signal_state(),
        _ => basic_connect::connect(&session(), AuthProtocol::Chap, IpType::V4V6),
    }
}

fn drain(client: &mut Client, now: Instant) -> usize {
    let (mut ended, mut assembler) = (0, Assembler::default());
    while let Some(output) = client.poll_output() {
        match output {
            Output::Transmit(frame) => {
                assembler.push(now, &frame).expect("what is sent can be read");
            }
            Output::Finished { outcome, .. } => {
                ended += 1;
                if let Ok(response) = outcome {
                    read(&response);
                }
            }
            Output::Indication(told) => read_information(&told.information),
            Output::Restarted | Output::Unresponsive { .. } => {}
        }
    }
    ended
}

fn read(response: &Response) {
    let _ = (
        basic_connect::read_device_caps(response),
        basic_connect::read_pin(response),
        basic_connect::read_home_provider(response),
    );
    let _ = (
        basic_connect::connected(response),
        basic_connect::read_ip_configuration(response),
        basic_connect::read_packet_statistics(response),
    );
    read_information(&response.information);
}

fn read_information(information: &[u8]) {
    let _ = (
        basic_connect::read_subscriber_ready(information),
        basic_connect::read_registration(information),
        basic_connect::read_packet_service(information),
    );
    let _ = (
        basic_connect::read_signal(information),
        basic_connect::read_connection(information),
    );
}

/// What a modem said to libmbim's mbimcli, after the requests that lead there.
pub fn seeds() -> Vec<Vec<u8>> {
    include_str!("../../../broker/cellular/tests/data/mbim_golden.txt")
        .lines()
        .filter_map(|line| line.strip_prefix("M>H "))
        .filter_map(octets)
        .filter_map(|said| {
            let length = u8::try_from(said.len()).ok()?;
            let requests = [[0, 0], [0, 2], [0, 3], [0, 5], [0, 7]].concat();
            Some([requests, vec![7, length], said].concat())
        })
        .collect()
}

fn octets(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
