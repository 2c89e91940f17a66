//! How fast calls are told of, ended and heard.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use api::v1::send_message_request::Content;
use api::v1::stream_call_attach::Target;
use api::v1::stream_call_request::Request;
use api::v1::stream_call_response::Response;
use api::v1::{
    Call, CallState, ExecuteAtCommandRequest, HangUpRequest, RejectRequest, SendMessageRequest, StreamCallAttach,
    StreamCallClear, StreamCallHangUp, UplinkAudio,
};
use client::Broker;
use client::call::CallStream;
use end_to_end::{Journal, LIMIT, Rig, binaries};
use simulator::core::AudioAccount;
use simulator::{CallAudio, Fault, FaultAction, Function, Phase, RingOptions};
use tokio::time::MissedTickBehavior;

use crate::report::Row;

const CALLER: &str = "+447700900123";

/// A frame of the signal that the virtual modem takes for loud, and one that it does not.
const LOUD: i16 = 1000;

/// Loud frames of a live signal come this far apart.
const PULSE: usize = 10;

pub const FRAME: Duration = Duration::from_millis(20);

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Unix time, which the virtual modem notes as well.
pub fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

/// A call that somebody makes to a modem, with an owner.
pub async fn answered(
    rig: &Rig,
    broker: &Broker,
    index: usize,
    audio: CallAudio,
    prebuffer_ms: u32,
) -> anyhow::Result<CallStream> {
    let mut news = Journal::now(broker).await?;
    let from = format!("{CALLER}{index}");
    rig.sim_at(index)
        .ring(RingOptions {
            from: from.clone(),
            audio,
            ..RingOptions::default()
        })
        .await?;
    let call = news
        .call("it rings", |call| {
            call.state() == CallState::Incoming && call.number == from
        })
        .await?;
    let attach = StreamCallAttach {
        target: Some(Target::CallId(call.call_id)),
        answer: true,
        prebuffer_ms,
        uplink: if prebuffer_ms > 0 {
            UplinkAudio::Live
        } else {
            UplinkAudio::Finished
        }
        .into(),
        ..Default::default()
    };
    Ok(CallStream::attach(broker, attach).await?)
}

/// Hangs up and reads to the end; the call.
pub async fn hang_up(stream: &mut CallStream) -> anyhow::Result<Call> {
    stream.send(Request::HangUp(StreamCallHangUp {}))?;
    let mut last = Call::default();
    let read = async {
        while let Some(response) = stream.next().await? {
            if let Response::Call(call) = response {
                last = call;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(LIMIT, read).await??;
    Ok(last)
}

/// What crossed the audio port in the last call of a modem, which is over.
pub async fn account(rig: &Rig, index: usize) -> anyhow::Result<AudioAccount> {
    let last = |books: &simulator::Books| books.calls.records.back().and_then(|call| call.audio.clone());
    let books = rig
        .sim_at(index)
        .books_when(LIMIT, |books| last(books).is_some())
        .await?;
    last(&books).context("the virtual modem kept no account of the call")
}

/// Ring to event, and the end of a call by the other side to its event: told by the module, and not told at all.
pub async fn control(rig: &Rig, broker: &Broker, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let (mut rung, mut ended, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut news = Journal::now(broker).await?;
        let started = Instant::now();
        let ring = RingOptions {
            from: CALLER.to_owned(),
            ..RingOptions::default()
        };
        rig.sim().ring(ring).await?;
        news.call("it rings", |call| call.state() == CallState::Incoming)
            .await?;
        rung.push(millis(started.elapsed()));
        broker.voice().reject(RejectRequest::default()).await?;

        let muted = round % 2 == 1;
        let mut stream = answered(rig, broker, 0, CallAudio::Noise, 0).await?;
        // The end is to be found at any moment between two looks at the list.
        tokio::time::sleep(Duration::from_millis(700 + 37 * round as u64 % 500)).await;
        rig.sim().inject_now(FaultAction::MuteCallReports { muted }).await?;
        let mut news = Journal::now(broker).await?;
        let started = Instant::now();
        rig.sim().hang_up().await?;
        news.call("it is over", |call| call.state() == CallState::Disconnected)
            .await?;
        if muted { &mut silent } else { &mut ended }.push(millis(started.elapsed()));
        rig.sim()
            .inject_now(FaultAction::MuteCallReports { muted: false })
            .await?;
        while stream.next().await?.is_some() {}
    }
    Ok(vec![
        Row::new(
            "ring",
            "+CRING written by the modem -> event at a subscribed client, durable",
            "ms",
            rung,
        )
        .within(20.0, 20.0),
        Row::new(
            "remote hang-up",
            "the other side hangs up -> event, told by VOICE CALL: END",
            "ms",
            ended,
        )
        .within(700.0, 700.0),
        Row::new(
            "remote hang-up, silent",
            "the same while every report of the module is lost: found in the list of current calls",
            "ms",
            silent,
        )
        .within(700.0, 700.0),
    ])
}

/// From the request to `AT+CHUP` at the modem, while a message that is being sent holds the other port.
pub async fn hanging_up(rig: &Rig, broker: &Broker, rounds: usize) -> anyhow::Result<Row> {
    let mut values = Vec::new();
    for round in 0..rounds {
        let mut stream = answered(rig, broker, 0, CallAudio::Silence, 0).await?;
        let held = FaultAction::Delay { ms: 800 };
        rig.sim().inject(Fault::on_command("+CMGS", Phase::After, held)).await?;
        let mut messages = rig.sim().transcript(Some(Function::At));
        while messages.next(Duration::ZERO).await?.is_some() {}
        let message = SendMessageRequest {
            address: CALLER.to_owned(),
            content: Some(Content::Text(format!("hold {round}"))),
            ..Default::default()
        };
        broker.sms().send_message(message).await?;
        while !messages
            .next(LIMIT)
            .await?
            .context("no message is sent")?
            .text
            .starts_with("AT+CMGS")
        {}
        values.push(to_the_wire(rig, broker).await?);
        while stream.next().await?.is_some() {}
        // The next round waits for the port.
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    let meaning = "rpc HangUp -> AT+CHUP at the modem, while a message in the network's hands holds the other port";
    Ok(Row::new("hang-up to CHUP", meaning, "ms", values).within(5.0, 5.0))
}

/// From the request to `AT+CHUP` at the modem.
async fn to_the_wire(rig: &Rig, broker: &Broker) -> anyhow::Result<f64> {
    let mut calls = rig.sim().transcript(Some(Function::Modem));
    while calls.next(Duration::ZERO).await?.is_some() {}
    let started = Instant::now();
    let at_the_modem = async {
        while !calls
            .next(LIMIT)
            .await?
            .context("nothing is hung up")?
            .text
            .starts_with("AT+CHUP")
        {}
        anyhow::Ok(millis(started.elapsed()))
    };
    let mut voice = broker.voice();
    let (took, hung_up) = tokio::join!(at_the_modem, voice.hang_up(HangUpRequest::default()));
    hung_up?;
    took
}

/// The same while a search for operators holds the other port.
pub async fn hanging_up_during_a_search(rig: &Rig, broker: &Broker, rounds: usize) -> anyhow::Result<Row> {
    let mut values = Vec::new();
    for _ in 0..rounds {
        let mut stream = answered(rig, broker, 0, CallAudio::Silence, 0).await?;
        let held = FaultAction::Delay { ms: 1500 };
        rig.sim()
            .inject(Fault::on_command("+COPS", Phase::Before, held))
            .await?;
        let mut messages = rig.sim().transcript(Some(Function::At));
        while messages.next(Duration::ZERO).await?.is_some() {}
        let mut diagnostics = broker.diagnostics();
        let search = diagnostics.execute_at_command(ExecuteAtCommandRequest {
            command: "AT+COPS=?".to_owned(),
            ..Default::default()
        });
        let hang_up = async {
            while !messages
                .next(LIMIT)
                .await?
                .context("nothing is searched for")?
                .text
                .starts_with("AT+COPS=?")
            {}
            to_the_wire(rig, broker).await
        };
        let (_, took) = tokio::join!(search, hang_up);
        values.push(took?);
        while stream.next().await?.is_some() {}
    }
    let meaning = "the same while a search for operators (AT+COPS=?) holds the other port";
    Ok(Row::new("hang-up to CHUP, searching", meaning, "ms", values).within(5.0, 5.0))
}

/// From a cable that is pulled in the middle of a call to the end of the call at the client that owns its audio.
pub async fn losing(rig: &Rig, broker: &Broker, rounds: usize) -> anyhow::Result<Row> {
    let mut values = Vec::new();
    for _ in 0..rounds {
        let mut stream = answered(rig, broker, 0, CallAudio::Noise, 0).await?;
        while !matches!(stream.next().await?, Some(Response::Audio(_)) | None) {}
        let pulled = Instant::now();
        rig.sim().unplug().await?;
        let told = async {
            loop {
                match stream.next().await? {
                    Some(Response::Call(call)) if call.state() == CallState::Disconnected => break,
                    Some(_) => {}
                    None => anyhow::bail!("the stream ended before the call"),
                }
            }
            Ok(millis(pulled.elapsed()))
        };
        values.push(tokio::time::timeout(LIMIT, told).await??);
        rig.sim().replug(true).await?;
        binaries::ready(broker, "sim1").await?;
    }
    let meaning = "cable pulled in the middle of a call -> its end, lost, at the client that owns the audio";
    Ok(Row::new("unplug in a call", meaning, "ms", values).within(1000.0, 1000.0))
}

fn frame(value: i16) -> Request {
    client::call::audio(client::audio::to_octets(&[value; 160]))
}

/// Each frame of the downlink from its first sample, and loud frames of a live uplink to the tty.
pub async fn audio(rig: &Rig, broker: &Broker, duration: Duration) -> anyhow::Result<Vec<Row>> {
    let mut stream = answered(rig, broker, 0, CallAudio::Counter, 40).await?;
    let (mut arrived, mut sent) = (Vec::new(), Vec::new());
    let mut clock = tokio::time::interval(FRAME);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    let mut count = 0_usize;
    while started.elapsed() < duration {
        tokio::select! {
            _ = clock.tick() => {
                let loud = count % PULSE == PULSE - 1;
                if loud {
                    sent.push(unix_us());
                }
                stream.send(frame(if loud { LOUD } else { 1 }))?;
                count += 1;
            }
            response = stream.next() => match response? {
                Some(Response::Audio(frame)) => arrived.push((unix_us(), frame.first_sample)),
                Some(_) => {}
                None => anyhow::bail!("the stream ended"),
            },
        }
    }
    let call = hang_up(&mut stream).await?;
    let account = account(rig, 0).await?;
    let downlink = arrived
        .iter()
        .map(|(at, sample)| at.saturating_sub(account.downlink_begin_us + sample * 125) as f64 / 1000.0)
        .collect();
    // What was on its way at the end did not arrive.
    let uplink = sent
        .iter()
        .zip(&account.onsets_us)
        .map(|(sent, onset)| (*onset as f64 - *sent as f64) / 1000.0)
        .collect();
    let statistics = call.audio_statistics.unwrap_or_default();
    Ok(vec![
        Row::new(
            "downlink",
            "first sample of a frame spoken at the modem -> frame at the gRPC client; 20 ms are the frame itself",
            "ms",
            downlink,
        )
        .within(23.0, 40.0),
        Row::new(
            "uplink, live",
            "frame sent by the gRPC client -> on the modem's tty, prebuffer 40 ms",
            "ms",
            uplink,
        )
        .within(60.0, 80.0),
        Row::new(
            "uplink underruns",
            "times a live sender's audio ran dry",
            "",
            vec![statistics.uplink_underruns as f64],
        ),
    ])
}

/// From a clear to the last sample of what it was to drop.
pub async fn clearing(rig: &Rig, broker: &Broker, rounds: usize) -> anyhow::Result<Row> {
    let mut stream = answered(rig, broker, 0, CallAudio::Silence, 0).await?;
    let mut sent = Vec::new();
    for round in 0..rounds {
        for _ in 0..100 {
            stream.send(frame(LOUD))?;
        }
        // At any moment of a frame.
        drain(&mut stream, Duration::from_micros(300_000 + 3_170 * round as u64)).await?;
        sent.push(unix_us());
        stream.send(Request::Clear(StreamCallClear {}))?;
        drain(&mut stream, Duration::from_millis(300)).await?;
    }
    hang_up(&mut stream).await?;
    let account = account(rig, 0).await?;
    anyhow::ensure!(
        account.offsets_us.len() == rounds,
        "{} of {rounds} clears ended something",
        account.offsets_us.len()
    );
    let values = sent
        .iter()
        .zip(&account.offsets_us)
        .map(|(sent, offset)| offset.saturating_sub(*sent) as f64 / 1000.0)
        .collect();
    Ok(Row::new(
        "clear",
        "clear sent by the gRPC client -> last old sample on the modem's tty",
        "ms",
        values,
    )
    .within(20.0, 45.0))
}

async fn drain(stream: &mut CallStream, duration: Duration) -> anyhow::Result<()> {
    let until = tokio::time::Instant::now() + duration;
    while let Ok(response) = tokio::time::timeout_at(until, stream.next()).await {
        anyhow::ensure!(response?.is_some(), "the stream ended");
    }
    Ok(())
}
