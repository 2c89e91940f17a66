use std::time::Duration;

use cellular::qmi::Failure;
use cellular::qmi::message::{Framer, Kind, Message};
use cellular::qmi::{Service, dms};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

/// A modem at the other end of a port that answers every request with success, and remembers what it was asked.
async fn answer_everything(mut port: DuplexStream) -> Vec<(Service, u16)> {
    let (mut framer, mut asked) = (Framer::default(), Vec::new());
    let mut buffer = [0; 512];
    while let Ok(count @ 1..) = port.read(&mut buffer).await {
        framer.push(&buffer[..count]);
        while let Some(frame) = framer.next_frame() {
            let request = Message::decode(&frame).unwrap();
            asked.push((request.service, request.id));
            let service = request.tlvs.find(0x01).map_or(0, |value| value.octets()[0]);
            let answer = Message {
                kind: Kind::Response,
                tlvs: cellular::qmi::Tlvs::default()
                    .with(0x02, &[0; 4])
                    .with(0x01, &[service, 7]),
                ..request
            };
            // In pieces, as a terminal may deliver them.
            for piece in answer.encode().chunks(5) {
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
async fn client_ids_are_given_back_when_nobody_holds_the_port_any_more() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let (events, _kept) = mpsc::channel(1);
    let (handle, task) = start(port(ours), Trace::new(0), events);
    let use_it = async move {
        handle.ask(dms::get_revision()).await.unwrap();
    };
    let (_, (), asked) = tokio::time::timeout(LIMIT, async {
        tokio::join!(task.run(), use_it, answer_everything(theirs))
    })
    .await
    .unwrap();
    assert_eq!(
        asked,
        [(Service::CTL, 0x22), (Service::DMS, 0x23), (Service::CTL, 0x23)],
        "allocated, used, released"
    );
}

#[tokio::test]
async fn a_port_that_goes_away_ends_every_request_and_is_told() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let (events, mut told) = mpsc::channel(4);
    let (handle, task) = start(port(ours), Trace::new(0), events);
    let ask = handle.ask(dms::get_revision());
    let unplug = async {
        tokio::task::yield_now().await;
        drop(theirs);
    };
    let all = async { tokio::join!(task.run(), ask, unplug) };
    let ((), outcome, ()) = tokio::time::timeout(LIMIT, all).await.unwrap();
    assert_eq!(outcome, Err(Failure::Closed));
    assert!(matches!(told.recv().await, Some(QmiEvent::Closed(_))));
}
