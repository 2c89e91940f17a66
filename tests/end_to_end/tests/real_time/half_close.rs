//! A client that ends its side of the stream is done speaking, and not with the call.

use api::v1::monitor_call_response::Response as Heard;
use api::v1::stream_call_attach::Target;
use api::v1::stream_call_response::Response;
use api::v1::{
    CallEndCause, CallState, ErrorReason, MonitorCallRequest, StreamCallAttach, StreamCallDial, UplinkAudio,
};
use client::call::CallStream;
use end_to_end::{LIMIT, Rig, invalid_fields, reason};
use simulator::CallAudio;

use crate::alone;
use crate::call::{CALLER, Counter, account, answered, counter, dial, read, read_to_end};

const SECOND: u64 = 8000;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_a_half_close_is_played_and_the_downlink_goes_on() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (call, mut stream) = answered(&rig, CallAudio::Counter).await?;
    assert_eq!(stream.attached().reattach_grace.map(|grace| grace.seconds), Some(3));
    let request = MonitorCallRequest {
        call_id: call.call_id.clone(),
        format: None,
    };
    let mut monitor = rig.broker().voice().monitor_call(request).await?.into_inner();
    stream.send(client::call::audio(counter(2 * SECOND as usize)))?;
    stream.send(client::call::mark("said"))?;
    stream.finish();
    let (mut heard, mut said) = (Counter::default(), None);
    // Longer than the audio and the grace together: the call is not abandoned.
    while said.is_none() || heard.samples < 6 * SECOND {
        match tokio::time::timeout(LIMIT, stream.next()).await?? {
            Some(Response::Audio(frame)) => heard.take(&frame)?,
            Some(Response::Mark(mark)) => said = Some(mark),
            Some(Response::Call(call)) => assert_ne!(call.state(), CallState::Disconnected, "{call:?}"),
            Some(_) => {}
            None => anyhow::bail!("the stream ended"),
        }
    }
    assert!(said.is_some_and(|mark| mark.name == "said" && !mark.cleared && mark.uplink_samples >= 2 * SECOND));
    rig.sim().hang_up().await?;
    let over = read_to_end(&mut stream).await?.unwrap_or_default();
    assert_eq!(over.end_cause(), CallEndCause::Remote);
    let mut last = None;
    while let Some(message) = tokio::time::timeout(LIMIT, monitor.message()).await?? {
        last = message.response;
    }
    let Some(Heard::Call(told)) = last else {
        anyhow::bail!("the last message of a listener was {last:?}")
    };
    assert_eq!(
        (told.call_id, told.state),
        (call.call_id, CallState::Disconnected.into())
    );
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_dials_speaks_and_hangs_up() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let attach = StreamCallAttach {
        target: Some(Target::Dial(StreamCallDial {
            number: CALLER.to_owned(),
            ..StreamCallDial::default()
        })),
        uplink: UplinkAudio::Finished.into(),
        hang_up_when_done: true,
        ..StreamCallAttach::default()
    };
    let mut stream = CallStream::attach(&rig.broker(), attach).await?;
    stream.send(client::call::audio(counter(SECOND as usize)))?;
    stream.send(client::call::dtmf("5"))?;
    stream.finish();
    let over = read_to_end(&mut stream).await?.unwrap_or_default();
    assert_eq!(
        (over.state(), over.end_cause()),
        (CallState::Disconnected, CallEndCause::Local)
    );
    let played = over.audio_statistics.unwrap_or_default().uplink_samples;
    assert!(played >= SECOND, "{played} samples went out");
    let crossed = account(&rig).await?;
    assert!(crossed.uplink_nonzero_samples >= SECOND - 10, "{crossed:?}");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialled_call_that_nobody_attaches_to_does_not_stay_up() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let call = dial(&rig).await?;
    let over = news
        .call("it ends", |changed| {
            changed.call_id == call.call_id && changed.state() == CallState::Disconnected
        })
        .await?;
    assert_eq!(over.end_cause(), CallEndCause::Abandoned);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_sample_is_refused_instead_of_becoming_noise() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (_, mut stream) = answered(&rig, CallAudio::Silence).await?;
    stream.send(client::call::audio(vec![0; 321]))?;
    let ended = read(&mut stream, "it is refused", |_| None::<()>)
        .await
        .expect_err("it ends");
    let status = ended.downcast::<tonic::Status>()?;
    assert_eq!(reason(&status), Some(ErrorReason::FieldInvalid));
    assert_eq!(invalid_fields(&status), ["audio.pcm"]);
    rig.stop().await
}
