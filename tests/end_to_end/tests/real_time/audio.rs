//! The audio path, sample by sample.

use std::time::{Duration, Instant};

use api::v1::monitor_call_response::Response as Heard;
use api::v1::stream_call_request::Request;
use api::v1::stream_call_response::Response;
use api::v1::{AudioMark, CallEndCause, HangUpRequest, MonitorCallRequest, StreamCallClear, StreamCallHangUp};
use client::call::CallStream;
use end_to_end::{LIMIT, Rig};
use simulator::CallAudio;

use crate::alone;
use crate::call::{Counter, account, answered, counter, read, read_to_end};

const SECOND: u64 = 8000;

async fn mark(stream: &mut CallStream) -> anyhow::Result<AudioMark> {
    read(stream, "a mark", |response| match response {
        Response::Mark(mark) => Some(mark),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_arrives_in_both_directions() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (_, mut stream) = answered(&rig, CallAudio::Counter).await?;
    let attached = stream.attached().clone();
    assert_eq!(
        (attached.frame_bytes, attached.format.unwrap_or_default().sample_rate_hz),
        (320, 8000)
    );
    // In pieces of odd sizes, since the broker frames what it gets.
    let signal = counter(4 * SECOND as usize);
    for piece in signal.chunks(4_446) {
        stream.send(client::call::audio(piece.to_vec()))?;
    }
    stream.send(client::call::mark("said"))?;
    let (mut heard, mut said) = (Counter::default(), None);
    while said.is_none() || heard.samples < 4 * SECOND {
        let response = tokio::time::timeout(LIMIT, stream.next()).await??;
        match response {
            Some(Response::Audio(frame)) => heard.take(&frame)?,
            Some(Response::Mark(mark)) => said = Some(mark),
            Some(Response::Flow(flow)) => anyhow::bail!("4 s fit into the queue: {flow:?}"),
            Some(_) => {}
            None => anyhow::bail!("the stream ended"),
        }
    }
    assert!(said.is_some_and(|mark| mark.name == "said" && !mark.cleared && mark.uplink_samples >= 4 * SECOND));
    stream.send(Request::HangUp(StreamCallHangUp {}))?;
    let over = read_to_end(&mut stream).await?.unwrap_or_default();
    assert_eq!(over.end_cause(), CallEndCause::Local);
    let statistics = over.audio_statistics.unwrap_or_default();
    let losses = (
        statistics.downlink_dropped_samples,
        statistics.uplink_dropped_samples,
        statistics.downlink_discontinuities,
    );
    assert_eq!(losses, (0, 0, 0), "{statistics:?}");
    let account = account(&rig).await?;
    // The step from silence to the first sample counts as well; the step back into silence is the one break.
    assert!(
        (4 * SECOND - 1..=4 * SECOND).contains(&account.counter_steps),
        "{account:?}"
    );
    assert!(account.counter_breaks <= 1, "{account:?}");
    assert_eq!(account.downlink_dropped_bytes, 0);
    rig.stop().await
}

/// What plays takes as long as it lasts, in whatever haste it was sent.
#[tokio::test(flavor = "multi_thread")]
async fn marks_come_when_the_audio_before_them_was_played() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (_, mut stream) = answered(&rig, CallAudio::Silence).await?;
    let started = Instant::now();
    for name in ["first", "second"] {
        stream.send(client::call::audio(counter(SECOND as usize)))?;
        stream.send(client::call::mark(name))?;
    }
    for (name, seconds) in [("first", 1), ("second", 2)] {
        let mark = mark(&mut stream).await?;
        let after = started.elapsed();
        assert_eq!((mark.name.as_str(), mark.cleared), (name, false));
        let due = Duration::from_secs(seconds);
        assert!(
            after + Duration::from_millis(100) >= due && after < due + Duration::from_secs(5),
            "{name} after {after:?}"
        );
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn clear_drops_what_was_not_played_and_returns_its_marks() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (_, mut stream) = answered(&rig, CallAudio::Silence).await?;
    stream.send(client::call::audio(counter(SECOND as usize / 2)))?;
    stream.send(client::call::mark("begun"))?;
    for _ in 0..3 {
        stream.send(client::call::audio(counter(8 * SECOND as usize)))?;
    }
    stream.send(client::call::mark("interrupted"))?;
    let begun = mark(&mut stream).await?;
    assert_eq!((begun.name.as_str(), begun.cleared), ("begun", false));
    let cleared = Instant::now();
    stream.send(Request::Clear(StreamCallClear {}))?;
    let interrupted = mark(&mut stream).await?;
    assert_eq!((interrupted.name.as_str(), interrupted.cleared), ("interrupted", true));
    assert!(
        cleared.elapsed() < Duration::from_secs(12),
        "24 s were dropped within {:?}",
        cleared.elapsed()
    );
    // What is sent afterwards is played.
    stream.send(client::call::audio(counter(SECOND as usize / 2)))?;
    stream.send(client::call::mark("again"))?;
    let again = mark(&mut stream).await?;
    assert_eq!((again.name.as_str(), again.cleared), ("again", false));
    stream.send(Request::HangUp(StreamCallHangUp {}))?;
    read_to_end(&mut stream).await?;
    let played = account(&rig).await?.uplink_nonzero_samples;
    assert!(
        (SECOND - 10..3 * SECOND).contains(&played),
        "half a second, a little, half a second: {played}"
    );
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_uplink_queue_says_stop_and_go() -> anyhow::Result<()> {
    let _alone = alone().await;
    let setup = end_to_end::Setup {
        voice: "uplink_queue_max_ms = 1000".to_owned(),
        ..Default::default()
    };
    let rig = Rig::with(setup).await?;
    let (_, mut stream) = answered(&rig, CallAudio::Silence).await?;
    assert_eq!(stream.attached().uplink_queue_max_ms, 1000);
    stream.send(client::call::audio(counter(3 * SECOND as usize)))?;
    for expected in [true, false] {
        let flow = read(&mut stream, "flow control", |response| match response {
            Response::Flow(flow) => Some(flow),
            _ => None,
        });
        assert_eq!(flow.await?.stop, expected);
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_hang_up_ends_the_stream_with_its_cause() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (_, mut stream) = answered(&rig, CallAudio::Noise).await?;
    read(&mut stream, "audio", |response| {
        matches!(response, Response::Audio(_)).then_some(())
    })
    .await?;
    rig.sim().hang_up().await?;
    assert_eq!(
        read_to_end(&mut stream).await?.map(|call| call.end_cause()),
        Some(CallEndCause::Remote)
    );
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_hears_both_directions() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (call, mut stream) = answered(&rig, CallAudio::Counter).await?;
    let request = MonitorCallRequest {
        call_id: call.call_id,
        format: None,
    };
    let mut monitor = rig.broker().voice().monitor_call(request).await?.into_inner();
    stream.send(client::call::audio(counter(2 * SECOND as usize)))?;
    let (mut downlink, mut said) = (Counter::default(), 0);
    let listening = async {
        while downlink.samples < SECOND || said < SECOND {
            let Some(heard) = monitor.message().await? else {
                anyhow::bail!("the listener's stream ended")
            };
            match heard.response {
                Some(Heard::Downlink(frame)) => downlink.take(&frame)?,
                Some(Heard::Uplink(frame)) => {
                    said += client::audio::from_octets(&frame.pcm)
                        .filter(|sample| *sample != 0)
                        .count() as u64;
                }
                other => anyhow::bail!("the listener was told {other:?}"),
            }
        }
        anyhow::Ok(())
    };
    let owner = async {
        while stream.next().await?.is_some() {}
        anyhow::Ok(())
    };
    tokio::select! {
        heard = tokio::time::timeout(LIMIT, listening) => heard??,
        owned = owner => anyhow::bail!("the owner's stream ended: {owned:?}"),
    }
    rig.broker().voice().hang_up(HangUpRequest::default()).await?;
    let ended = async {
        while monitor.message().await?.is_some() {}
        anyhow::Ok(())
    };
    tokio::time::timeout(LIMIT, ended).await??;
    rig.stop().await
}
