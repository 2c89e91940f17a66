//! The ways in which a session is set up or refused, one row each, against a function that follows a script.

use cellular::mbim::information::{Reader, Writer};
use cellular::mbim::message::{Assembler, Body, Framer, Message};
use cellular::mbim::{Kind, Uuid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;

use super::*;
use crate::port::OpenPort;
use crate::port::mbim;
use crate::port::trace::Trace;

/// What the function says to an activation.
#[derive(Clone, Copy, Debug)]
enum Activate {
    /// It is up, with this type of IP.
    Done(u32),
    /// The network refuses with this cause.
    Failed(u32),
    /// The function refuses with this status.
    Refused(Status),
    Silence,
}

struct Row {
    name: &'static str,
    authentication: Authentication,
    families: DataFamilies,
    attached: bool,
    /// To attaching.
    attach: Status,
    activations: &'static [Activate],
    /// The state if somebody asks.
    up: bool,
    asked: &'static [&'static str],
    outcome: Result<&'static [Family], &'static str>,
}

const USUAL: Row = Row {
    name: "as it should be",
    authentication: Authentication::None,
    families: DataFamilies::V4,
    attached: true,
    attach: Status::SUCCESS,
    activations: &[Activate::Done(1)],
    up: true,
    asked: &["attached?", "connect none v4", "addresses?"],
    outcome: Ok(&[Family::V4]),
};

const ROWS: [Row; 13] = [
    USUAL,
    Row {
        name: "detached: it attaches first",
        attached: false,
        asked: &["attached?", "attach", "connect none v4", "addresses?"],
        ..USUAL
    },
    Row {
        name: "no SIM",
        attached: false,
        attach: Status::SIM_NOT_INSERTED,
        asked: &["attached?", "attach"],
        outcome: Err("insert a SIM"),
        ..USUAL
    },
    Row {
        name: "a PIN is needed",
        attached: false,
        attach: Status::PIN_REQUIRED,
        asked: &["attached?", "attach"],
        outcome: Err("set pin of [[modem]], or enter it"),
        ..USUAL
    },
    Row {
        name: "either protocol is CHAP and then PAP",
        authentication: Authentication::Both,
        activations: &[Activate::Failed(29), Activate::Done(1)],
        asked: &["attached?", "connect chap v4", "connect pap v4", "addresses?"],
        ..USUAL
    },
    Row {
        name: "both protocols are refused",
        authentication: Authentication::Both,
        activations: &[Activate::Failed(29), Activate::Refused(Status::INVALID_USER_NAME_PWD)],
        asked: &["attached?", "connect chap v4", "connect pap v4"],
        outcome: Err("user authentication failed (3GPP 29); set user, password"),
        ..USUAL
    },
    Row {
        name: "another cause is not tried again with PAP",
        authentication: Authentication::Both,
        activations: &[Activate::Failed(27)],
        asked: &["attached?", "connect chap v4"],
        outcome: Err("unknown access point name (3GPP 27); set data_apn"),
        ..USUAL
    },
    Row {
        name: "a session that is in the way is ended, once",
        activations: &[Activate::Refused(Status::MAX_ACTIVATED_CONTEXTS), Activate::Done(1)],
        asked: &[
            "attached?",
            "connect none v4",
            "disconnect",
            "connect none v4",
            "addresses?",
        ],
        ..USUAL
    },
    Row {
        name: "it stays in the way",
        activations: &[
            Activate::Refused(Status::MAX_ACTIVATED_CONTEXTS),
            Activate::Refused(Status::MAX_ACTIVATED_CONTEXTS),
        ],
        asked: &["attached?", "connect none v4", "disconnect", "connect none v4"],
        outcome: Err("reset the modem"),
        ..USUAL
    },
    Row {
        name: "a network with IPv6 only, which says so",
        families: DataFamilies::Both,
        activations: &[Activate::Failed(51), Activate::Done(2)],
        asked: &["attached?", "connect none v4v6", "connect none v6", "addresses?"],
        outcome: Ok(&[Family::V6]),
        ..USUAL
    },
    Row {
        name: "a network with IPv4 only, which gives that",
        families: DataFamilies::Both,
        activations: &[Activate::Done(1)],
        asked: &["attached?", "connect none v4v6", "addresses?"],
        ..USUAL
    },
    Row {
        name: "a success that nobody heard of",
        activations: &[Activate::Silence],
        asked: &["attached?", "connect none v4", "connected?", "addresses?"],
        ..USUAL
    },
    Row {
        name: "no answer and no session: what may come late is ended",
        activations: &[Activate::Silence],
        up: false,
        asked: &["attached?", "connect none v4", "connected?", "disconnect"],
        outcome: Err("did not answer Connect"),
        ..USUAL
    },
];

fn connection(state: u32, ip: u32, cause: u32) -> Vec<u8> {
    let fields = Writer::default().with_u32(0).with_u32(state).with_u32(0).with_u32(ip);
    fields.with_uuid(Uuid::INTERNET).with_u32(cause).finish()
}

/// What was asked, in words.
fn in_words(command: u32, kind: Kind, information: &[u8]) -> String {
    let mut reader = Reader::new(information);
    match (command, kind) {
        (basic_connect::PACKET_SERVICE, Kind::Query) => "attached?".to_owned(),
        (basic_connect::PACKET_SERVICE, Kind::Set) => "attach".to_owned(),
        (basic_connect::CONNECT, Kind::Query) => "connected?".to_owned(),
        (basic_connect::IP_CONFIGURATION, _) => "addresses?".to_owned(),
        (basic_connect::CONNECT, Kind::Set) if information[4] == 0 => "disconnect".to_owned(),
        (basic_connect::CONNECT, Kind::Set) => {
            reader.array::<36>().unwrap();
            let protocol = ["none", "pap", "chap"][reader.u32().unwrap() as usize];
            let ip = ["default", "v4", "v6", "v4v6"][reader.u32().unwrap() as usize];
            format!("connect {protocol} {ip}")
        }
        (other, _) => panic!("nobody asks for {other}"),
    }
}

/// What the function answers; `None` for nothing.
fn answer(row: &Row, activations: &mut impl Iterator<Item = Activate>, words: &str) -> Option<(Status, Vec<u8>)> {
    let attachment = |attached: bool| {
        let fields = Writer::default().with_u32(0).with_u32(if attached { 2 } else { 4 });
        fields.with_u32(0).with_u64(0).with_u64(0).finish()
    };
    Some(match words {
        "attached?" => (Status::SUCCESS, attachment(row.attached)),
        "attach" => (row.attach, attachment(true)),
        "connected?" => (Status::SUCCESS, connection(if row.up { 1 } else { 3 }, 1, 0)),
        "disconnect" => (Status::SUCCESS, connection(3, 0, 0)),
        "addresses?" => (Status::SUCCESS, vec![0; 60]),
        _ => match activations.next().expect("no more activations than the row has") {
            Activate::Done(ip) => (Status::SUCCESS, connection(1, ip, 0)),
            Activate::Failed(cause) => (Status::FAILURE, connection(3, 0, cause)),
            Activate::Refused(status) => (status, Vec::new()),
            Activate::Silence => return None,
        },
    })
}

/// A function that follows the row; what it was asked.
async fn follow(row: &Row, mut port: DuplexStream) -> Vec<String> {
    let (mut framer, mut assembler, mut asked) = (Framer::default(), Assembler::default(), Vec::new());
    let mut activations = row.activations.iter().copied();
    let mut buffer = [0; 512];
    while let Ok(count @ 1..) = port.read(&mut buffer).await {
        framer.push(&buffer[..count]);
        while let Some(frame) = framer.next_frame() {
            let now = tokio::time::Instant::now().into_std();
            let Some(Message { transaction, body }) = assembler.push(now, &frame).unwrap() else {
                continue;
            };
            let Body::Command {
                service,
                command,
                kind,
                information,
            } = body
            else {
                panic!("{body:?} is no command");
            };
            let words = in_words(command, kind, &information);
            let answer = answer(row, &mut activations, &words);
            asked.push(words);
            if let Some((status, information)) = answer {
                let body = Body::CommandDone {
                    service,
                    command,
                    status,
                    information,
                };
                let message = Message { transaction, body };
                port.write_all(&message.encode(4096).concat()).await.unwrap();
            }
        }
    }
    asked
}

#[tokio::test(start_paused = true)]
async fn every_way_to_a_session_or_to_a_reason_is_as_its_row_says() {
    for row in ROWS {
        let (ours, theirs) = tokio::io::duplex(4096);
        let (events, mut told) = mpsc::channel(8);
        let open = OpenPort {
            stream: Box::new(ours),
            lock: None,
        };
        let (handle, task) = mbim::start(open, 4096, Trace::new(0), events);
        let (authentication, families) = (row.authentication, row.families);
        let connecting = async move {
            let mut session = Session::new(None);
            let config = DataConfig {
                families,
                ..DataConfig::default()
            };
            let wanted = packet::Session {
                authentication,
                ..packet::Session::default()
            };
            let given_up = AtomicBool::new(false);
            let outcome = start(&handle, &wanted, &config, &given_up, &mut session).await;
            outcome.map(|()| session.families())
        };
        let listening = async { while told.recv().await.is_some() {} };
        let ((), outcome, asked, ()) = tokio::join!(task.run(), connecting, follow(&row, theirs), listening);
        assert_eq!(asked, row.asked, "{}", row.name);
        match (outcome, row.outcome) {
            (Ok(families), Ok(expected)) => assert_eq!(families, expected, "{}", row.name),
            (Err(error), Err(said)) => {
                let refusal = error.refusal().to_string();
                assert!(refusal.contains(said), "{}: {refusal}", row.name);
            }
            (outcome, expected) => panic!("{}: {outcome:?} instead of {expected:?}", row.name),
        }
    }
}
