//! The known ways in which firmware fails to start a session, one row each, against a modem that follows a script.

use cellular::qmi::message::{Framer, Kind, Message};
use cellular::qmi::{Service, Tlvs};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;

use super::*;
use crate::port::OpenPort;
use crate::port::qmi;
use crate::port::trace::Trace;

const ALLOCATE: u16 = 0x22;
const SET_FAMILY: u16 = 0x4D;
const START: u16 = 0x20;
const STOP: u16 = 0x21;
const STATUS: u16 = 0x22;
const SETTINGS: u16 = 0x2D;
const AUTOCONNECT: u16 = 0x51;

/// What the modem says to a start.
#[derive(Clone, Copy, Debug)]
enum Start {
    Done,
    /// CallFailed with this verbose reason.
    Failed(u16, i16),
    /// Another error, with or without a handle.
    Error(u16, Option<u32>),
    Silence,
}

/// One way to fail.
struct Row {
    name: &'static str,
    starts: &'static [Start],
    /// The status if somebody asks.
    connected: bool,
    /// Whether client ids are left.
    exhausted: bool,
    asked: &'static [u16],
    outcome: Result<Option<u32>, &'static str>,
}

const ROWS: [Row; 10] = [
    Row {
        name: "the session is there already (236)",
        starts: &[Start::Failed(2, 236), Start::Done],
        connected: false,
        exhausted: false,
        asked: &[SET_FAMILY, START, AUTOCONNECT, STOP, START, SETTINGS],
        outcome: Ok(Some(HANDLE)),
    },
    Row {
        name: "the interface is in use (237)",
        starts: &[Start::Failed(2, 237), Start::Done],
        connected: false,
        exhausted: false,
        asked: &[SET_FAMILY, START, AUTOCONNECT, STOP, START, SETTINGS],
        outcome: Ok(Some(HANDLE)),
    },
    Row {
        name: "the interface is in use with the same configuration (241)",
        starts: &[Start::Failed(2, 241), Start::Done],
        connected: false,
        exhausted: false,
        asked: &[SET_FAMILY, START, AUTOCONNECT, STOP, START, SETTINGS],
        outcome: Ok(Some(HANDLE)),
    },
    Row {
        name: "it stays in use: once is enough",
        starts: &[Start::Failed(2, 241), Start::Failed(2, 241)],
        connected: false,
        exhausted: false,
        asked: &[SET_FAMILY, START, AUTOCONNECT, STOP, START],
        outcome: Err("reset the modem"),
    },
    Row {
        name: "PolicyMismatch, of a client id that was left over",
        starts: &[Start::Error(79, None), Start::Done],
        connected: false,
        exhausted: false,
        asked: &[SET_FAMILY, START, AUTOCONNECT, STOP, START, SETTINGS],
        outcome: Ok(Some(HANDLE)),
    },
    Row {
        name: "NoEffect with the handle of the session that is there",
        starts: &[Start::Error(26, Some(HANDLE))],
        connected: true,
        exhausted: false,
        asked: &[SET_FAMILY, START, SETTINGS],
        outcome: Ok(Some(HANDLE)),
    },
    Row {
        name: "NoEffect without one",
        starts: &[Start::Error(26, None)],
        connected: true,
        exhausted: false,
        asked: &[SET_FAMILY, START, SETTINGS],
        outcome: Ok(None),
    },
    Row {
        name: "a success that nobody heard of",
        starts: &[Start::Silence],
        connected: true,
        exhausted: false,
        asked: &[SET_FAMILY, START, STATUS, SETTINGS],
        outcome: Ok(None),
    },
    Row {
        name: "no answer and no session: what may come late is stopped",
        starts: &[Start::Silence],
        connected: false,
        exhausted: false,
        asked: &[SET_FAMILY, START, STATUS, STOP],
        outcome: Err("did not answer Start Network"),
    },
    Row {
        name: "no client id is left",
        starts: &[],
        connected: false,
        exhausted: true,
        asked: &[],
        outcome: Err("no client id"),
    },
];

const HANDLE: u32 = 0x4711;

/// What the modem answers; `None` for nothing.
fn answer(row: &Row, starts: &mut impl Iterator<Item = Start>, request: &Message) -> Option<Tlvs> {
    let result = |error: u16| {
        let status = u16::from(error != 0).to_le_bytes();
        Tlvs::default().with(0x02, &[status, error.to_le_bytes()].concat())
    };
    if request.service == Service::CTL {
        return Some(match request.id {
            ALLOCATE if row.exhausted => result(5),
            _ => result(0).with(0x01, &[Service::WDS.0, 1]),
        });
    }
    Some(match request.id {
        START => match starts.next().expect("no more starts than the row has") {
            Start::Done => result(0).with_u32(0x01, HANDLE),
            Start::Failed(layer, number) => {
                let reason = [layer.to_le_bytes(), number.to_le_bytes()].concat();
                result(14).with(0x10, &[1, 0]).with(0x11, &reason)
            }
            Start::Error(error, handle) => match handle {
                Some(handle) => result(error).with_u32(0x01, handle),
                None => result(error),
            },
            Start::Silence => return None,
        },
        STATUS => result(0).with_u8(0x01, if row.connected { 2 } else { 1 }),
        _ => result(0),
    })
}

/// A modem that follows the row; the requests of the data service that it was asked.
async fn follow(row: &Row, mut port: DuplexStream) -> Vec<u16> {
    let (mut framer, mut asked) = (Framer::default(), Vec::new());
    let mut starts = row.starts.iter().copied();
    let mut buffer = [0; 512];
    while let Ok(count @ 1..) = port.read(&mut buffer).await {
        framer.push(&buffer[..count]);
        while let Some(frame) = framer.next_frame() {
            let request = Message::decode(&frame).unwrap();
            if request.service == Service::WDS {
                asked.push(request.id);
            }
            if let Some(tlvs) = answer(row, &mut starts, &request) {
                let answer = Message {
                    kind: Kind::Response,
                    tlvs,
                    ..request
                };
                port.write_all(&answer.encode()).await.unwrap();
            }
        }
    }
    asked
}

#[tokio::test(start_paused = true)]
async fn every_known_failure_is_handled_as_its_row_says() {
    for row in ROWS {
        let (ours, theirs) = tokio::io::duplex(4096);
        let (events, mut told) = mpsc::channel(8);
        let open = OpenPort {
            stream: Box::new(ours),
            lock: None,
        };
        let (handle, task) = qmi::start(open, Trace::new(0), events);
        let connecting = async move {
            let mut session = Session::new(None);
            let config = DataConfig::default();
            let wanted = wds::Session::default();
            let given_up = AtomicBool::new(false);
            let outcome = start_families(&handle, &wanted, &config, &given_up, &mut session).await;
            outcome.map(|()| match session.held {
                Some(Held::Qmi(handles)) => handles,
                other => panic!("{other:?} by QMI"),
            })
        };
        let listening = async { while told.recv().await.is_some() {} };
        let ((), outcome, asked, ()) = tokio::join!(task.run(), connecting, follow(&row, theirs), listening);
        assert_eq!(asked, row.asked, "{}", row.name);
        match (outcome, row.outcome) {
            (Ok(handles), Ok(handle)) => {
                let response = Response {
                    tlvs: Tlvs::default().with(0x02, &[0; 4]),
                };
                let expected = match handle {
                    Some(handle) => wds::started(&Response {
                        tlvs: response.tlvs.with_u32(0x01, handle),
                    }),
                    None => Ok(Handle::ANY),
                };
                assert_eq!(handles, [(Family::V4, expected.unwrap())], "{}", row.name);
            }
            (Err(error), Err(said)) => {
                let refusal = error.refusal().to_string();
                assert!(refusal.contains(said), "{}: {refusal}", row.name);
                assert_eq!(error.is_exhausted(), row.exhausted, "{}", row.name);
            }
            (outcome, expected) => panic!("{}: {outcome:?} instead of {expected:?}", row.name),
        }
    }
}
