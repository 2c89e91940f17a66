use super::*;

#[expect(clippy::disallowed_methods, reason = "a test has to begin at some instant")]
fn begin() -> Instant {
    Instant::now()
}

fn every_kind() -> Vec<Body> {
    let (service, command) = (Uuid::BASIC_CONNECT, 12);
    vec![
        Body::Open { max_transfer: 4096 },
        Body::Close,
        Body::Command {
            service,
            command,
            kind: Kind::Set,
            information: (0..200).collect(),
        },
        Body::HostError(ProtocolError::TIMEOUT_FRAGMENT),
        Body::OpenDone(Status::SUCCESS),
        Body::CloseDone(Status::BUSY),
        Body::CommandDone {
            service,
            command,
            status: Status::FAILURE,
            information: (0..100).collect(),
        },
        Body::FunctionError(ProtocolError::NOT_OPENED),
        Body::Indication {
            service,
            command,
            information: Vec::new(),
        },
    ]
}

fn message(body: Body) -> Message {
    Message { transaction: 9, body }
}

#[test]
fn every_message_is_read_as_it_was_written_whatever_the_largest_transfer() {
    let now = begin();
    for body in every_kind() {
        for max_transfer in [0, TRANSFER_MIN, 65, 128, 4096] {
            let message = message(body.clone());
            let frames = message.encode(max_transfer);
            let limit = max_transfer.max(TRANSFER_MIN);
            assert!(frames.iter().all(|frame| frame.len() <= limit), "{max_transfer}");
            let mut assembler = Assembler::default();
            let mut outcomes: Vec<_> = frames.iter().map(|frame| assembler.push(now, frame)).collect();
            assert_eq!(outcomes.pop(), Some(Ok(Some(message))), "{max_transfer}");
            assert!(outcomes.iter().all(|outcome| *outcome == Ok(None)));
            assert_eq!(assembler.poll_timeout(), None);
        }
    }
}

#[test]
fn frames_come_out_of_any_chunks_and_noise() {
    let frames: Vec<Vec<u8>> = every_kind()
        .into_iter()
        .flat_map(|body| message(body).encode(64))
        .collect();
    // An impossible length, and a type that there is not.
    let noise = [3, 0, 0, 0, 5, 0, 0, 0, 1, 9, 0, 0x80, 0x55];
    let octets = [&noise[..], &frames.concat()].concat();
    for chunk in [1, 2, 3, 5, 11, 64, 1000] {
        let mut framer = Framer::default();
        let mut found = Vec::new();
        for part in octets.chunks(chunk) {
            framer.push(part);
            found.extend(std::iter::from_fn(|| framer.next_frame()));
        }
        assert_eq!(found, frames, "chunks of {chunk}");
        assert_eq!(framer.take_discarded(), noise.len());
    }
}

#[test]
fn messages_whose_fragments_are_mixed_are_told_apart() {
    let now = begin();
    let information: Vec<u8> = (0..100).collect();
    let indication = Message {
        transaction: 0,
        body: Body::Indication {
            service: Uuid::BASIC_CONNECT,
            command: 11,
            information,
        },
    };
    let answer = message(every_kind().swap_remove(6));
    let (first, second) = (indication.encode(64), answer.encode(64));
    let mut assembler = Assembler::default();
    let mut found = Vec::new();
    for (one, other) in first.iter().zip(&second) {
        for frame in [one, other] {
            found.extend(assembler.push(now, frame).expect("in sequence"));
        }
    }
    assert_eq!(found, [indication, answer]);
}

#[test]
fn a_fragment_out_of_sequence_ends_its_message_and_the_sender_is_told() {
    let now = begin();
    let frames = message(every_kind().swap_remove(2)).encode(64);
    assert!(frames.len() > 3);
    let mut assembler = Assembler::default();
    assert_eq!(assembler.push(now, &frames[0]), Ok(None));
    let told = Err(Irregular {
        transaction: 9,
        error: ProtocolError::FRAGMENT_OUT_OF_SEQUENCE,
    });
    assert_eq!(assembler.push(now, &frames[2]), told);
    assert_eq!(assembler.push(now, &frames[1]), told, "it is over");
    // A second try begins anew.
    let outcomes: Vec<_> = frames.iter().map(|frame| assembler.push(now, frame)).collect();
    assert!(matches!(outcomes.last(), Some(Ok(Some(_)))));
}

#[test]
fn a_message_whose_fragments_stay_away_is_forgotten_after_its_time() {
    let now = begin();
    let frames = message(every_kind().swap_remove(2)).encode(64);
    let mut assembler = Assembler::default();
    assert_eq!(assembler.push(now, &frames[0]), Ok(None));
    assert_eq!(assembler.handle_timeout(now), []);
    let due = assembler.poll_timeout().expect("it waits");
    let over = assembler.handle_timeout(due);
    assert_eq!(
        over,
        [Irregular {
            transaction: 9,
            error: ProtocolError::TIMEOUT_FRAGMENT
        }]
    );
    assert_eq!(assembler.poll_timeout(), None);
}

#[test]
fn a_sender_that_never_ends_a_message_is_bounded() {
    let now = begin();
    let mut assembler = Assembler::default();
    for transaction in 1..100 {
        let first = Message {
            transaction,
            body: every_kind().swap_remove(2),
        };
        assert_eq!(assembler.push(now, &first.encode(64)[0]), Ok(None));
    }
    assert_eq!(assembler.assemblies.len(), ASSEMBLIES_MAX);
    let mut frame = message(every_kind().swap_remove(2)).encode(4096).remove(0);
    frame[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    let outcomes: Vec<_> = (0_u32..1000)
        .map(|current| {
            frame[16..20].copy_from_slice(&current.to_le_bytes());
            assembler.push(now, &frame)
        })
        .collect();
    assert!(outcomes.iter().any(Result::is_err), "it grows without end");
}

#[test]
fn a_frame_that_is_cut_off_or_lies_about_its_length_is_no_message() {
    let now = begin();
    for body in every_kind() {
        let frame = message(body).encode(4096).remove(0);
        for length in 0..frame.len() {
            let outcome = Assembler::default().push(now, &frame[..length]);
            assert!(!matches!(outcome, Ok(Some(_))), "{length} of {frame:?}");
        }
    }
    // The information is said to be longer than the message.
    let mut frame = message(every_kind().swap_remove(6)).encode(4096).remove(0);
    frame[44] = 0xFF;
    assert!(Assembler::default().push(now, &frame).is_err());
}
