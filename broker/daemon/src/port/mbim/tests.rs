use std::time::Duration;

use cellular::mbim::message::{Assembler, Body, Framer, Message};
use cellular::mbim::{Failure, Request};
use cellular::mbim::{Status, basic_connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

/// A function at the other end of a port that does everything, and remembers what it was asked.
async fn do_everything(mut port: DuplexStream) -> Vec<Body> {
    let (mut framer, mut assembler, mut asked) = (Framer::default(), Assembler::default(), Vec::new());
    let mut buffer = [0; 512];
    while let Ok(count @ 1..) = port.read(&mut buffer).await {
        framer.push(&buffer[..count]);
        while let Some(frame) = framer.next_frame() {
            let pushed = assembler.push(Instant::now().into_std(), &frame);
            let Some(Message { transaction, body }) = pushed.unwrap() else {
                continue;
            };
            let answer = match &body {
                Body::Open { .. } => Body::OpenDone(Status::SUCCESS),
                Body::Close => Body::CloseDone(Status::SUCCESS),
                Body::Command { service, command, .. } => Body::CommandDone {
                    service: *service,
                    command: *command,
                    status: Status::SUCCESS,
                    information: vec![1; 200],
                },
                other => panic!("no host says {other:?}"),
            };
            asked.push(body);
            // In fragments, and in pieces as a terminal may deliver them.
            let message = Message {
                transaction,
                body: answer,
            };
            for piece in message.encode(64).concat().chunks(5) {
                port.write_all(piece).await.unwrap();
            }
        }
    }
    asked
}

fn port(stream: DuplexStream) -> OpenPort {
    OpenPort {
        stream: Box::new(stream),
        lock: None,
    }
}

#[tokio::test]
async fn the_function_is_closed_when_nobody_holds_the_port_any_more() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let (events, _kept) = mpsc::channel(1);
    let (handle, task) = start(port(ours), 4096, Trace::new(0), events);
    let use_it = async move {
        handle.ask(Request::open()).await.unwrap();
        let response = handle.ask(basic_connect::signal_state()).await.unwrap();
        assert_eq!(response.information.len(), 200, "put together from its fragments");
    };
    let (_, (), asked) = tokio::time::timeout(LIMIT, async { tokio::join!(task.run(), use_it, do_everything(theirs)) })
        .await
        .unwrap();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert_eq!(asked[0], Body::Open { max_transfer: 4096 });
    assert_eq!(asked[2], Body::Close);
}

#[tokio::test]
async fn a_port_that_goes_away_ends_every_request_and_is_told() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let (events, mut told) = mpsc::channel(4);
    let (handle, task) = start(port(ours), 4096, Trace::new(0), events);
    let ask = handle.ask(Request::open());
    let unplug = async {
        tokio::task::yield_now().await;
        drop(theirs);
    };
    let all = async { tokio::join!(task.run(), ask, unplug) };
    let ((), outcome, ()) = tokio::time::timeout(LIMIT, all).await.unwrap();
    assert_eq!(outcome, Err(Failure::Closed));
    assert!(matches!(told.recv().await, Some(MbimEvent::Closed(_))));
}

#[test]
fn the_largest_transfer_is_the_one_of_the_functional_descriptor() {
    let device = [18, 1, 0, 2, 0, 0, 0, 64, 0x0E, 0x1E, 0x03, 0x90, 0x18, 3, 1, 2, 3, 1];
    let mbim = |low: u8, high: u8| [12, 0x24, 0x1B, 0, 1, low, high, 32, 128, 0, 6, 0x20];
    let header = [5, 0x24, 0x00, 0x10, 0x01];
    let all = |functional: &[u8]| [&device[..], &header, functional].concat();
    assert_eq!(max_control_message(&all(&mbim(0, 2))), Some(512));
    assert_eq!(max_control_message(&all(&mbim(0, 16))), Some(4096));
    for (name, descriptors) in [
        ("no such descriptor", all(&[])),
        ("less than there may be", all(&mbim(8, 0))),
        ("more than is believed", all(&mbim(0, 0xFF))),
        ("cut off", all(&mbim(0, 2)[..8])),
        ("no end", vec![0, 0, 0]),
        ("nothing", Vec::new()),
    ] {
        assert_eq!(max_control_message(&descriptors), None, "{name}");
    }
}
