//! The same octets in any chunks and the same instants give the same outputs, whatever the octets are; every request ends
//! exactly once; nothing that a modem says makes a reader panic.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cellular::mbim::basic_connect::{self, AuthProtocol, IpType, PinType};
use cellular::mbim::message::{Body, Message};
use cellular::mbim::{Client, Output, ProtocolError, Request, Response, Status, Uuid};
use cellular::packet::Session;
use cellular::packet::dialogue::Dialogue as _;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Start(u8),
    Receive(Vec<u8>),
    Wait(u64),
    Close,
}

fn request(which: u8) -> Request {
    match which % 7 {
        0 => Request::open(),
        1 => Request::close(),
        2 => basic_connect::device_caps(),
        3 => basic_connect::signal_state(),
        4 => basic_connect::enter_pin(PinType::Puk1, "12345678", "1234"),
        5 => basic_connect::ip_configuration(),
        _ => basic_connect::connect(&Session::default(), AuthProtocol::Pap, IpType::V4V6),
    }
}

/// Messages that look like answers to what was asked: the first transactions, whole or in fragments.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let command = prop_oneof![Just(1_u32), Just(4), Just(11), Just(12), Just(15), any::<u32>()];
    let information = prop::collection::vec(any::<u8>(), 0..120);
    let status = prop_oneof![Just(0_u32), Just(2), any::<u32>()];
    let cut = prop_oneof![3 => Just(usize::MAX), 1 => 1_usize..200];
    (0_u8..6, 0_u32..6, command, information, status, cut).prop_map(
        |(kind, transaction, command, information, status, cut)| {
            let service = Uuid::BASIC_CONNECT;
            let body = match kind {
                0 => Body::OpenDone(Status(status)),
                1 => Body::CloseDone(Status(status)),
                2 => Body::FunctionError(ProtocolError(status)),
                3 => Body::Indication {
                    service,
                    command,
                    information,
                },
                _ => Body::CommandDone {
                    service,
                    command,
                    status: Status(status),
                    information,
                },
            };
            let mut octets = (Message { transaction, body }).encode(64).concat();
            octets.truncate(cut);
            octets
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<u8>().prop_map(Step::Start),
        6 => frames().prop_map(Step::Receive),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Receive),
        2 => (0_u64..70_000).prop_map(Step::Wait),
        1 => prop::bool::weighted(0.1).prop_map(|close| if close { Step::Close } else { Step::Wait(0) }),
    ];
    prop::collection::vec(step, 0..40)
}

fn run(steps: &[Step], chunk: usize, begin: Instant) -> (Vec<Output>, usize, Client) {
    let (mut client, mut now, mut started, mut outputs) = (Client::new(128), begin, 0, Vec::new());
    for step in steps {
        match step {
            Step::Start(which) => {
                started += 1;
                client.start(now, request(*which));
            }
            Step::Receive(octets) => octets.chunks(chunk).for_each(|part| client.handle_input(now, part)),
            Step::Wait(milliseconds) => {
                now += Duration::from_millis(*milliseconds);
                client.handle_timeout(now);
                assert!(
                    client.poll_timeout().is_none_or(|due| due > now),
                    "a deadline stays due"
                );
            }
            Step::Close => client.close(),
        }
        outputs.extend(std::iter::from_fn(|| client.poll_output()));
    }
    (outputs, started, client)
}

#[expect(clippy::disallowed_methods, reason = "a test has to begin at some instant")]
fn begin() -> Instant {
    Instant::now()
}

proptest! {
    #[test]
    fn chunks_make_no_difference_and_every_request_ends_once(steps in steps(), chunk in 1_usize..30) {
        let begin = begin();
        let (whole, started, mut client) = run(&steps, usize::MAX, begin);
        let (cut, _, _) = run(&steps, chunk, begin);
        prop_assert_eq!(&whole, &cut);
        client.close();
        let rest: Vec<Output> = std::iter::from_fn(|| client.poll_output()).collect();
        let ended: Vec<_> = whole
            .iter()
            .chain(&rest)
            .filter_map(|output| match output {
                Output::Finished { id, .. } => Some(*id),
                _ => None,
            })
            .collect();
        prop_assert_eq!(ended.len(), started);
        prop_assert_eq!(ended.iter().collect::<BTreeSet<_>>().len(), started);
    }

    #[test]
    fn readers_take_any_contents(information in prop::collection::vec(any::<u8>(), 0..160)) {
        let _ = (basic_connect::read_subscriber_ready(&information), basic_connect::read_registration(&information));
        let _ = (basic_connect::read_packet_service(&information), basic_connect::read_signal(&information));
        let _ = basic_connect::read_connection(&information);
        let response = Response { status: Status::SUCCESS, information };
        let _ = (basic_connect::read_device_caps(&response), basic_connect::read_pin(&response));
        let _ = (basic_connect::read_home_provider(&response), basic_connect::connected(&response));
        let _ = (basic_connect::read_ip_configuration(&response), basic_connect::read_packet_statistics(&response));
        let _ = basic_connect::read_radio_state(&response);
    }
}
