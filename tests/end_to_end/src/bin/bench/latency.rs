//! How long things take.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use api::v1::send_message_request::Content;
use api::v1::{ExecuteAtCommandRequest, MessageState, SendMessageRequest};
use client::Broker;
use end_to_end::{Journal, LIMIT, Rig, Setup};
use simulator::Fate;
use simulator::core::Function;

use crate::bare::BarePort;
use crate::report::Row;

/// Rounds that are not counted.
const WARM_UP: usize = 50;

const COMMAND: &str = "AT+CSQ";

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A unary call that needs one AT command, and the same command on a terminal of a second virtual modem, in turns.
pub async fn command(broker: &Broker, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let idle = Rig::prepare(Setup::default()).await?;
    let device = idle.path().join("sim1/dev/ttyUSB2");
    let mut port = BarePort::open(&device)?;
    let (mut bare, mut whole, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..WARM_UP + rounds {
        let (returned, alone) = tokio::task::spawn_blocking(move || {
            let alone = port.exchange(COMMAND);
            (port, alone)
        })
        .await?;
        port = returned;
        let alone = alone?;
        let request = ExecuteAtCommandRequest {
            command: COMMAND.to_owned(),
            ..Default::default()
        };
        let started = Instant::now();
        let response = broker.diagnostics().execute_at_command(request).await?.into_inner();
        let through = started.elapsed();
        anyhow::ensure!(response.ok, "{COMMAND} was refused: {}", response.result);
        if round >= WARM_UP {
            bare.push(micros(alone));
            whole.push(micros(through));
            added.push(micros(through) - micros(alone));
        }
    }
    idle.stop().await?;
    Ok(vec![
        Row::new(
            "command, bare",
            "AT+CSQ written to and read from a pseudo-terminal without a broker",
            "us",
            bare,
        ),
        Row::new(
            "command, gRPC",
            "AT+CSQ by ExecuteAtCommand over the unix socket",
            "us",
            whole,
        ),
        Row::new(
            "command, added",
            "the difference of each pair: what gRPC and the broker add",
            "us",
            added,
        )
        .at_most(300.0, Some(1000.0)),
    ])
}

/// What the disk makes of one durable write: the least that any durable event can take.
pub fn sync(directory: &Path, rounds: usize) -> anyhow::Result<Row> {
    let mut file = File::create(directory.join("sync"))?;
    let mut values = Vec::new();
    for _ in 0..rounds {
        let started = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        values.push(millis(started.elapsed()));
    }
    Ok(Row::new(
        "fdatasync",
        "4 KiB appended and synced in the directory of the store: the disk's part of what follows",
        "ms",
        values,
    ))
}

/// From a message that the network hands to the modem to its event at a client, with reading and the durable commit; and to
/// the command that frees its place, which is sent only after that commit.
pub async fn announcement(rig: &Rig, broker: &Broker, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let sim = rig.sim();
    let mut transcript = sim.transcript(Some(Function::At));
    // Skips what was said so far.
    while transcript.next(Duration::ZERO).await?.is_some() {}
    let mut news = Journal::now(broker).await?;
    let (mut seen, mut durable) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + rounds {
        let text = format!("announcement {round}");
        let started = Instant::now();
        sim.deliver_text("+447700900123", &text).await?;
        let arrived = async {
            news.message("the message", |message| message.text == text).await?;
            anyhow::Ok(started.elapsed())
        };
        let freed = async {
            loop {
                let entry = transcript.next(LIMIT).await?.context("the place was not freed")?;
                if entry.text.starts_with("AT+CMGD") {
                    return anyhow::Ok(started.elapsed());
                }
            }
        };
        let (arrived, freed) = tokio::try_join!(arrived, freed)?;
        if round >= WARM_UP {
            seen.push(millis(arrived));
            durable.push(millis(freed));
        }
        // The next one must not wait for the deletion of this one.
        sim.books_when(LIMIT, |books| {
            books
                .deliveries
                .records
                .back()
                .is_some_and(|last| *last.fate() == Fate::Deleted)
        })
        .await?;
    }
    let meaning =
        "+CMTI written by the modem -> event at a subscribed gRPC client, AT+CMGR and the durable commit included";
    let and_durable = "+CMTI written by the modem -> AT+CMGD at the modem, which follows the durable commit";
    Ok(vec![
        Row::new("CMTI to event", meaning, "ms", seen).at_most(3.0, Some(10.0)),
        Row::new("CMTI to durable", and_durable, "ms", durable).at_most(3.0, Some(10.0)),
    ])
}

/// From SendMessage to `AT+CMGS` at the modem, with the durable commits of the message and of its state.
pub async fn submission(rig: &Rig, broker: &Broker, rounds: usize) -> anyhow::Result<Row> {
    let mut transcript = rig.sim().transcript(Some(Function::At));
    // Skips what was said so far.
    while transcript.next(Duration::ZERO).await?.is_some() {}
    let mut news = Journal::now(broker).await?;
    let mut values = Vec::new();
    for round in 0..WARM_UP + rounds {
        let content = Some(Content::Text(format!("submission {round}")));
        let request = SendMessageRequest {
            address: "+447700900123".to_owned(),
            content,
            ..Default::default()
        };
        let started = Instant::now();
        let arrived = async {
            loop {
                let entry = transcript.next(LIMIT).await?.context("the modem was asked nothing")?;
                if entry.text.starts_with("AT+CMGS") {
                    return anyhow::Ok(started.elapsed());
                }
            }
        };
        let mut sms = broker.sms();
        let (arrived, sent) = tokio::join!(arrived, sms.send_message(request));
        let id = sent?.into_inner().message.unwrap_or_default().message_id;
        if round >= WARM_UP {
            values.push(millis(arrived?));
        }
        news.message("it is sent", |message| {
            message.message_id == id && message.state() == MessageState::Sent
        })
        .await?;
    }
    let meaning = "rpc SendMessage -> AT+CMGS at the modem, two durable commits included";
    Ok(Row::new("send to CMGS", meaning, "ms", values).at_most(2.0, None))
}

/// Two hundred messages that the network delivers at once, until the last event.
pub async fn burst(rig: &Rig, broker: &Broker) -> anyhow::Result<Vec<Row>> {
    const MESSAGES: usize = 200;
    let mut news = Journal::now(broker).await?;
    let started = Instant::now();
    for number in 0..MESSAGES {
        rig.sim()
            .deliver_text("+447700900123", &format!("burst {number}"))
            .await?;
    }
    let mut texts = std::collections::BTreeSet::new();
    for _ in 0..MESSAGES {
        let message = news
            .message("the next message", |message| message.text.starts_with("burst "))
            .await?;
        texts.insert(message.text);
    }
    let rate = MESSAGES as f64 / started.elapsed().as_secs_f64();
    let meaning = "200 messages at once: from the first delivery to the last event, each durable on its own";
    let lost = (MESSAGES - texts.len()) as f64;
    Ok(vec![
        Row::new("burst", meaning, "1/s", vec![rate]).at_least(500.0),
        Row::new(
            "burst, lost",
            "messages of these 200 that did not arrive",
            "",
            vec![lost],
        )
        .at_most(0.0, None),
    ])
}
