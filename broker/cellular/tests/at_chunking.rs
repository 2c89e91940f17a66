//! The same bytes in any chunking and the same instants give the same outputs, whatever the bytes are.

use std::time::{Duration, Instant};

use cellular::at::{Command, CommandId, Config, Expects, Output, Session, command};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Start(usize),
    Receive(Vec<u8>),
    Wait(u64),
    Abort,
    Close,
    Resynchronise,
}

const COMMANDS: usize = 7;

fn command(which: usize) -> Command {
    match which {
        0 => command::signal_quality(),
        1 => command::send_message(2, "000001").expect("valid"),
        2 => command::list_messages(None),
        3 => command::scan_operators(),
        4 => command::dial("+15550100").expect("valid"),
        5 => command::revision(),
        _ => Command {
            expects: Expects::Any,
            ..command::registration(cellular::at::reply::Domain::Cs)
        },
    }
}

/// What a modem says, whole and in pieces, in and out of place.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    const FRAGMENTS: &[&str] = &[
        "\r\nOK\r\n",
        "\r\nERROR\r\n",
        "\r\n+CME ERROR: SIM busy\r\n",
        "\r\n+CMS ERROR: 331\r\n",
        "\r\n> ",
        "\r\nNO CARRIER\r\n",
        "\r\r\nRING\r\r\n",
        "\r\n+CSQ: 20,99\r\n",
        "\r\n+CMGS: 7\r\n",
        "\r\n+CMGL: 1,1,,5\r\n0001020304\r\n",
        "\r\n+CMT: ,4\r\n",
        "0001020304\r\n",
        "\r\n+CUSD: 0,\"half",
        " a text\",15\r\n",
        "\r\n+CREG: 1\r\n",
        "\r\n+CREG: 2,1,\"00A1\",\"01\",7\r\n",
        "\r\n+CMEE: 1\r\n\r\nOK\r\n",
        "\r\n+CFUN: 1\r\n\r\nOK\r\n",
        "AT+CSQ\r\r\n",
        "\r\nVOICE CALL: END: 000008\r\n",
        "\r",
        "\n",
    ];
    prop_oneof![
        9 => proptest::sample::select(FRAGMENTS).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..COMMANDS).prop_map(Step::Start),
        12 => fragment().prop_map(Step::Receive),
        2 => prop_oneof![Just(50), Just(200), Just(1_000), Just(5_000), Just(200_000)].prop_map(Step::Wait),
        1 => Just(Step::Abort),
        1 => prop_oneof![Just(Step::Close), Just(Step::Resynchronise)],
    ]
}

/// Runs the steps with inputs cut at the sizes that `sizes` yields.
fn run(steps: &[Step], mut sizes: impl Iterator<Item = usize>) -> Vec<Output> {
    let config = Config {
        max_line_bytes: 200,
        max_reply_bytes: 2_000,
        ..Config::default()
    };
    let mut session = Session::new(config);
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to begin with; all others are sums"
    )]
    let mut now = Instant::now();
    let mut outputs = Vec::new();
    let mut running: Option<CommandId> = None;
    for step in steps {
        match step {
            Step::Start(which) => {
                let ready = session.is_ready();
                let started = session.start(now, command(*which));
                assert_eq!(ready, started.is_ok(), "is_ready tells whether start is accepted");
                running = started.ok().or(running);
            }
            Step::Receive(bytes) => {
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let (chunk, next) = rest.split_at(sizes.next().unwrap_or(rest.len()).clamp(1, rest.len()));
                    session.handle_input(now, chunk);
                    rest = next;
                }
            }
            Step::Wait(milliseconds) => {
                let until = now + Duration::from_millis(*milliseconds);
                while let Some(deadline) = session.poll_timeout().filter(|deadline| *deadline <= until) {
                    now = now.max(deadline);
                    session.handle_timeout(now);
                    assert!(
                        session.poll_timeout().is_none_or(|next| next > now),
                        "a deadline stayed due"
                    );
                }
                now = until;
            }
            Step::Abort => {
                if let Some(id) = running {
                    session.abort(now, id);
                }
            }
            Step::Close => session.close(),
            Step::Resynchronise => session.resynchronise(now),
        }
        outputs.extend(std::iter::from_fn(|| session.poll_output()));
    }
    outputs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chunking_does_not_matter(
        steps in proptest::collection::vec(step(), 0..60),
        sizes in proptest::collection::vec(1_usize..12, 1..40),
    ) {
        let whole = run(&steps, std::iter::empty());
        prop_assert_eq!(&whole, &run(&steps, std::iter::repeat(1)));
        prop_assert_eq!(&whole, &run(&steps, sizes.into_iter().cycle()));
    }

    #[test]
    fn every_command_is_finished_exactly_once_and_in_order(steps in proptest::collection::vec(step(), 0..60)) {
        // Far enough for every time-out, then the port goes.
        let steps: Vec<Step> = steps.into_iter().chain([Step::Wait(200_000), Step::Close]).collect();
        let outputs = run(&steps, std::iter::empty());
        let mut finished = Vec::new();
        for output in &outputs {
            if let Output::Finished { id, .. } = output {
                finished.push(*id);
            }
        }
        prop_assert!(finished.is_sorted(), "finished out of order");
        prop_assert!(finished.windows(2).all(|pair| pair[0] != pair[1]), "finished twice");
        let lines = outputs.iter().filter(|output| is_command_line(output)).count();
        prop_assert_eq!(lines, finished.len());
    }

    #[test]
    fn a_ctrl_z_leaves_only_behind_a_payload(steps in proptest::collection::vec(step(), 0..60)) {
        for output in run(&steps, std::iter::empty()) {
            if let Output::Transmit(bytes) = output {
                let ends = bytes.iter().filter(|byte| **byte == 0x1A).count();
                prop_assert!(ends == 0 || bytes == b"000001\x1A", "{}", bytes.escape_ascii());
            }
        }
    }
}

/// True for command lines other than probes.
fn is_command_line(output: &Output) -> bool {
    let Output::Transmit(bytes) = output else { return false };
    let probes = Config::default().probes;
    let is_probe = probes
        .iter()
        .any(|probe| bytes.strip_suffix(b"\r") == Some(probe.line.as_bytes()));
    bytes.starts_with(b"AT") && !is_probe
}
