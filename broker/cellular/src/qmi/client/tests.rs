use std::time::Duration;

use super::*;
use crate::qmi::tlv::Value;
use crate::qmi::{dms, wds};

const SECOND: Duration = Duration::from_secs(1);

/// A client and what it said, with a modem's answers made by hand.
struct Bench {
    client: Client,
    now: Instant,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "a test has to begin at some instant")]
    fn new() -> Self {
        Self {
            client: Client::new(),
            now: Instant::now(),
        }
    }

    fn start(&mut self, request: Request) -> RequestId {
        self.client.start(self.now, request)
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.client.poll_output()).collect()
    }

    /// The only frame that goes out.
    fn sent(&mut self) -> Message {
        match self.outputs().as_slice() {
            [Output::Transmit(frame)] => Message::decode(frame).expect("what is sent can be read"),
            other => panic!("one frame and nothing else: {other:?}"),
        }
    }

    fn receive(&mut self, message: &Message) {
        self.client.handle_input(self.now, &message.encode());
    }

    fn answer(&mut self, request: &Message, error: u16, tlvs: &[(u8, &[u8])]) {
        self.receive(&answer(request, error, tlvs));
    }

    /// Gets a client id for the service of a request that was just started, and returns the request.
    fn allocate(&mut self, client: u8) -> Message {
        let asked = self.sent();
        assert_eq!((asked.service, asked.id), (Service::CTL, ctl::ALLOCATE));
        let service = asked.tlvs.find(1).expect("a service").octets()[0];
        self.answer(&asked, 0, &[(0x01, &[service, client])]);
        self.sent()
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
    }
}

fn answer(request: &Message, error: u16, tlvs: &[(u8, &[u8])]) -> Message {
    let [low, high] = error.to_le_bytes();
    let result = [u8::from(error != 0), 0, low, high];
    let tlvs = tlvs
        .iter()
        .fold(Tlvs::default().with(0x02, &result), |all, (kind, value)| {
            all.with(*kind, value)
        });
    Message {
        kind: Kind::Response,
        tlvs,
        ..request.clone()
    }
}

fn indication(service: Service, client: u8, id: u16) -> Message {
    Message {
        service,
        client,
        transaction: 0,
        kind: Kind::Indication,
        id,
        tlvs: Tlvs::default().with(0x01, &[2, 0]),
    }
}

#[test]
fn a_client_id_is_asked_for_once_and_given_back_at_the_end() {
    let mut bench = Bench::new();
    let first = bench.start(dms::get_ids());
    let second = bench.start(dms::get_revision());
    let asked = bench.sent();
    bench.answer(&asked, 0, &[(0x01, &[Service::DMS.0, 9])]);
    let sent = bench.outputs();
    let frames: Vec<Message> = sent
        .iter()
        .map(|output| match output {
            Output::Transmit(frame) => Message::decode(frame).expect("a frame"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        frames.iter().map(|frame| (frame.client, frame.id)).collect::<Vec<_>>(),
        [(9, 0x25), (9, 0x23)]
    );
    // Answers may come in any order.
    bench.answer(&frames[1], 0, &[(0x01, b"LE20B04")]);
    bench.answer(&frames[0], 0, &[(0x11, b"867584030000017")]);
    let finished: Vec<RequestId> = bench
        .outputs()
        .into_iter()
        .map(|output| match output {
            Output::Finished { id, outcome: Ok(_) } => id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(finished, [second, first]);
    bench.client.leave(bench.now);
    let release = bench.sent();
    assert_eq!(release.tlvs.find(1).map(Value::octets), Some(&[Service::DMS.0, 9][..]));
    bench.answer(&release, 0, &[]);
    assert!(bench.client.is_idle());
}

#[test]
fn each_family_has_a_client_of_its_own() {
    let mut bench = Bench::new();
    bench.start(wds::set_ip_family(wds::Family::V4));
    assert_eq!(bench.allocate(1).client, 1);
    bench.start(wds::set_ip_family(wds::Family::V6));
    assert_eq!(bench.allocate(2).client, 2);
    bench.receive(&indication(Service::WDS, 2, wds::PACKET_SERVICE_STATUS));
    let outputs = bench.outputs();
    let [Output::Indication(told)] = outputs.as_slice() else {
        panic!("one indication: {outputs:?}")
    };
    let change = wds::status_change(told).expect("it can be read");
    assert_eq!(
        (change.family, change.connection),
        (Some(wds::Family::V6), wds::Connection::Connected)
    );
}

#[test]
fn a_late_answer_completes_nothing_and_a_late_client_id_is_given_back() {
    let mut bench = Bench::new();
    let id = bench.start(dms::get_ids());
    let asked = bench.sent();
    bench.wait(ORDINARY_LIMIT);
    let outputs = bench.outputs();
    assert!(
        matches!(outputs[0], Output::Finished { id: over, outcome: Err(Failure::TimedOut) } if over == id),
        "{outputs:?}"
    );
    assert_eq!(outputs.last(), Some(&Output::Unresponsive { requests: 1 }));
    bench.answer(&asked, 0, &[(0x01, &[Service::DMS.0, 3])]);
    let release = bench.sent();
    assert_eq!(
        (release.id, release.tlvs.find(1).map(Value::octets)),
        (0x0023, Some(&[Service::DMS.0, 3][..]))
    );
    bench.answer(&release, 0, &[]);

    bench.start(dms::get_ids());
    let request = bench.allocate(4);
    bench.wait(ORDINARY_LIMIT);
    bench.outputs();
    bench.answer(&request, 0, &[(0x11, b"1")]);
    assert_eq!(bench.outputs(), []);
    assert!(bench.client.is_idle());
}

#[test]
fn requests_without_an_answer_are_counted_until_the_modem_says_something() {
    let mut bench = Bench::new();
    bench.start(dms::get_ids());
    bench.allocate(1);
    for requests in 1..=3 {
        bench.wait(ORDINARY_LIMIT);
        assert_eq!(bench.outputs().last(), Some(&Output::Unresponsive { requests }));
        bench.start(dms::get_ids());
        bench.outputs();
    }
    bench.receive(&indication(Service::NAS, EVERY_CLIENT, 0x24));
    bench.wait(ORDINARY_LIMIT);
    assert_eq!(bench.outputs().last(), Some(&Output::Unresponsive { requests: 1 }));
}

#[test]
fn a_restart_of_the_modem_ends_what_is_under_way_and_forgets_the_client_ids() {
    let mut bench = Bench::new();
    let id = bench.start(dms::get_ids());
    bench.allocate(5);
    bench.receive(&indication(Service::CTL, 0, ctl::SYNC));
    assert_eq!(
        bench.outputs(),
        [
            Output::Finished {
                id,
                outcome: Err(Failure::Restarted)
            },
            Output::Restarted
        ]
    );
    bench.start(dms::get_ids());
    assert_eq!(bench.sent().id, ctl::ALLOCATE);
}

#[test]
fn a_client_id_that_the_modem_forgot_is_asked_for_anew() {
    let mut bench = Bench::new();
    bench.start(dms::get_ids());
    let request = bench.allocate(5);
    bench.answer(&request, ProtocolError::INVALID_CLIENT_ID.0, &[]);
    bench.outputs();
    bench.start(dms::get_ids());
    assert_eq!(bench.sent().id, ctl::ALLOCATE);
}

#[test]
fn a_service_without_client_ids_refuses_everything_that_waits_for_one() {
    let mut bench = Bench::new();
    let ids = [bench.start(dms::get_ids()), bench.start(dms::get_revision())];
    let asked = bench.sent();
    bench.answer(&asked, ProtocolError::CLIENT_IDS_EXHAUSTED.0, &[]);
    let failure = Failure::NoClient(Refusal::Protocol(ProtocolError::CLIENT_IDS_EXHAUSTED));
    let expected = ids.map(|id| Output::Finished {
        id,
        outcome: Err(failure),
    });
    assert_eq!(bench.outputs(), expected);
}

#[test]
fn there_is_a_bound_and_after_the_end_nothing_starts() {
    let mut bench = Bench::new();
    for _ in 0..REQUESTS_MAX {
        bench.start(dms::get_ids());
    }
    bench.outputs();
    let id = bench.start(dms::get_ids());
    assert_eq!(
        bench.outputs(),
        [Output::Finished {
            id,
            outcome: Err(Failure::Busy)
        }]
    );
    bench.client.close();
    // One place is taken by the request for the client id.
    assert_eq!(bench.outputs().len(), REQUESTS_MAX - 1);
    let id = bench.start(dms::get_ids());
    assert_eq!(
        bench.outputs(),
        [Output::Finished {
            id,
            outcome: Err(Failure::Closed)
        }]
    );
    bench.wait(SECOND);
    assert!(bench.client.is_idle() && bench.client.poll_timeout().is_none());
}
