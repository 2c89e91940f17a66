use std::time::Duration;

use super::*;
use crate::mbim::{Kind, Status, basic_connect};

const SECOND: Duration = Duration::from_secs(1);

/// A client and what it said, with a modem's answers made by hand.
struct Bench {
    client: Client,
    now: Instant,
    frames: Assembler,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "a test has to begin at some instant")]
    fn closed() -> Self {
        Self {
            client: Client::new(128),
            now: Instant::now(),
            frames: Assembler::default(),
        }
    }

    fn new() -> Self {
        let mut bench = Self::closed();
        let id = bench.start(Request::open());
        let open = bench.sent();
        assert_eq!(open.body, Body::Open { max_transfer: 128 });
        bench.receive(open.transaction, Body::OpenDone(Status::SUCCESS));
        assert_eq!(bench.finished(), [(id, Ok(Status::SUCCESS))]);
        assert!(bench.client.is_open());
        bench
    }

    fn start(&mut self, request: Request) -> RequestId {
        self.client.start(self.now, request)
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.client.poll_output()).collect()
    }

    /// The only message that goes out.
    fn sent(&mut self) -> Message {
        let mut messages = Vec::new();
        for output in self.outputs() {
            let Output::Transmit(frame) = output else {
                panic!("a message and nothing else: {output:?}");
            };
            messages.extend(self.frames.push(self.now, &frame).expect("what is sent can be read"));
        }
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    fn receive(&mut self, transaction: u32, body: Body) {
        for frame in (Message { transaction, body }).encode(64) {
            self.client.handle_input(self.now, &frame);
        }
    }

    fn finished(&mut self) -> Vec<(RequestId, Result<Status, Failure>)> {
        let finished = |output| match output {
            Output::Finished { id, outcome } => Some((id, outcome.map(|response| response.status))),
            _ => None,
        };
        self.outputs().into_iter().filter_map(finished).collect()
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
    }
}

fn done(command: u32, status: Status) -> Body {
    Body::CommandDone {
        service: Uuid::BASIC_CONNECT,
        command,
        status,
        information: vec![0; 100],
    }
}

fn told() -> Body {
    Body::Indication {
        service: Uuid::BASIC_CONNECT,
        command: basic_connect::SIGNAL_STATE,
        information: vec![7; 20],
    }
}

#[test]
fn answers_meet_their_requests_in_any_order() {
    let mut bench = Bench::new();
    let first = bench.start(basic_connect::radio_state());
    let asked_first = bench.sent().transaction;
    let second = bench.start(basic_connect::signal_state());
    let asked_second = bench.sent().transaction;
    // An answer of another command has another transaction, or is none.
    bench.receive(asked_second, done(basic_connect::RADIO_STATE, Status::SUCCESS));
    assert_eq!(bench.finished(), []);
    bench.receive(asked_second, done(basic_connect::SIGNAL_STATE, Status::SUCCESS));
    bench.receive(asked_first, done(basic_connect::RADIO_STATE, Status::BUSY));
    assert_eq!(
        bench.finished(),
        [(second, Ok(Status::SUCCESS)), (first, Ok(Status::BUSY))]
    );
    assert!(bench.client.is_idle());
    bench.receive(asked_first, done(basic_connect::RADIO_STATE, Status::SUCCESS));
    assert_eq!(bench.outputs(), [], "a second answer belongs to nobody");
}

#[test]
fn what_a_function_says_before_it_is_open_is_not_for_us() {
    let mut bench = Bench::closed();
    let id = bench.start(Request::open());
    let open = bench.sent();
    bench.receive(0, told());
    bench.receive(1, done(basic_connect::CONNECT, Status::SUCCESS));
    assert_eq!(bench.outputs(), []);
    bench.receive(open.transaction, Body::OpenDone(Status::SUCCESS));
    assert_eq!(bench.finished(), [(id, Ok(Status::SUCCESS))]);
    bench.receive(0, told());
    assert!(matches!(bench.outputs().as_slice(), [Output::Indication(_)]));
}

#[test]
fn a_late_answer_is_dropped_and_silence_is_counted_until_something_comes() {
    let mut bench = Bench::new();
    let first = bench.start(basic_connect::radio_state());
    let asked = bench.sent().transaction;
    let due = bench.client.poll_timeout().expect("it has a deadline");
    assert_eq!(due, bench.now + crate::mbim::ORDINARY_LIMIT);
    bench.wait(5 * SECOND);
    assert_eq!(
        bench.outputs(),
        [
            Output::Finished {
                id: first,
                outcome: Err(Failure::TimedOut)
            },
            Output::Unresponsive { requests: 1 }
        ]
    );
    bench.start(basic_connect::radio_state());
    bench.wait(5 * SECOND);
    assert!(bench.outputs().contains(&Output::Unresponsive { requests: 2 }));
    bench.receive(asked, done(basic_connect::RADIO_STATE, Status::SUCCESS));
    assert_eq!(bench.outputs(), [], "nobody waits for it any more");
    bench.start(basic_connect::radio_state());
    bench.wait(5 * SECOND);
    assert!(bench.outputs().contains(&Output::Unresponsive { requests: 1 }));
}

#[test]
fn a_long_command_goes_out_in_fragments() {
    let mut bench = Bench::new();
    bench.start(Request::command(Uuid::BASIC_CONNECT, 12, Kind::Set, vec![1; 500]));
    let frames: Vec<Output> = bench.outputs();
    assert!(frames.len() > 4, "{frames:?}");
    for frame in &frames {
        assert!(matches!(frame, Output::Transmit(frame) if frame.len() <= 128));
    }
}

#[test]
fn a_function_that_is_not_open_any_more_ends_everything() {
    let mut bench = Bench::new();
    let first = bench.start(basic_connect::radio_state());
    let second = bench.start(basic_connect::signal_state());
    bench.outputs();
    bench.receive(77, Body::FunctionError(ProtocolError::NOT_OPENED));
    let over = |id| Output::Finished {
        id,
        outcome: Err(Failure::Restarted),
    };
    assert_eq!(bench.outputs(), [over(first), over(second), Output::Restarted]);
    // To one that has not been opened yet it is an answer like any other.
    let id = bench.start(basic_connect::radio_state());
    let asked = bench.sent().transaction;
    bench.receive(asked, Body::FunctionError(ProtocolError::NOT_OPENED));
    assert_eq!(
        bench.finished(),
        [(id, Err(Failure::Protocol(ProtocolError::NOT_OPENED)))]
    );
}

#[test]
fn the_function_is_told_of_fragments_that_do_not_fit() {
    let mut bench = Bench::new();
    let frames = (Message {
        transaction: 5,
        body: done(12, Status::SUCCESS),
    })
    .encode(64);
    bench.client.handle_input(bench.now, &frames[1]);
    assert_eq!(
        bench.sent(),
        Message {
            transaction: 5,
            body: Body::HostError(ProtocolError::FRAGMENT_OUT_OF_SEQUENCE)
        }
    );
    bench.client.handle_input(bench.now, &frames[0]);
    let due = bench.client.poll_timeout().expect("the next fragment is awaited");
    bench.wait(due - bench.now);
    assert_eq!(bench.sent().body, Body::HostError(ProtocolError::TIMEOUT_FRAGMENT));
    assert_eq!(bench.client.poll_timeout(), None);
}

#[test]
fn more_requests_than_there_may_be_end_at_once() {
    let mut bench = Bench::new();
    for _ in 0..REQUESTS_MAX {
        bench.start(basic_connect::radio_state());
    }
    assert!(!bench.client.has_room());
    bench.outputs();
    let id = bench.start(basic_connect::radio_state());
    assert_eq!(bench.finished(), [(id, Err(Failure::Busy))]);
    bench.client.close();
    assert_eq!(bench.finished().len(), REQUESTS_MAX);
    let id = bench.start(basic_connect::radio_state());
    assert_eq!(bench.finished(), [(id, Err(Failure::Closed))]);
}
