//! Calls at 16 kHz, for modules that can and clients that want it, and what becomes of the others.

use api::v1::monitor_call_response::Response as Heard;
use api::v1::stream_call_response::Response;
use api::v1::{AudioFormat, Call, ErrorReason, HangUpRequest, MonitorCallRequest, StreamCallAttach};
use client::call::CallStream;
use end_to_end::{LIMIT, Rig, Setup, reason};
use simulator::{CallAudio, Code, Fault, FaultAction, Phase, RingOptions};

use crate::alone;
use crate::call::{Counter, account, attach, counter, read_to_end, ring};

/// Samples of a second.
const WIDE: u64 = 16_000;
const NARROW: u64 = 8_000;

/// What the fade at the end of uplink audio takes.
const FADE_SAMPLES: u64 = 80;

async fn wide_rig() -> anyhow::Result<Rig> {
    let setup = Setup {
        voice: "wideband = true".to_owned(),
        ..Setup::default()
    };
    Rig::with(setup).await
}

fn format(rate: u64) -> Option<AudioFormat> {
    Some(AudioFormat {
        sample_rate_hz: u32::try_from(rate).unwrap_or_default(),
        ..AudioFormat::default()
    })
}

fn attach_at(call: &Call, rate: u64) -> StreamCallAttach {
    StreamCallAttach {
        format: format(rate),
        ..attach(call, true)
    }
}

async fn ringing(rig: &Rig, audio: CallAudio) -> anyhow::Result<Call> {
    let options = RingOptions {
        audio,
        ..RingOptions::default()
    };
    ring(rig, options).await
}

fn attached(stream: &CallStream) -> (u32, u32) {
    let attached = stream.attached();
    let format = attached.format.unwrap_or_default();
    (format.sample_rate_hz, attached.frame_bytes)
}

/// Says a counter signal and listens until it was said and `samples` were heard.
async fn talk(
    stream: &mut CallStream,
    samples: u64,
    mut heard: impl FnMut(api::v1::AudioFrame) -> anyhow::Result<u64>,
) -> anyhow::Result<()> {
    stream.send(client::call::audio(counter(samples as usize)))?;
    stream.send(client::call::mark("said"))?;
    let (mut said, mut count) = (false, 0);
    while !said || count < samples {
        match tokio::time::timeout(LIMIT, stream.next()).await?? {
            Some(Response::Audio(frame)) => count = heard(frame)?,
            Some(Response::Mark(_)) => said = true,
            Some(_) => {}
            None => anyhow::bail!("the stream ended"),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_arrives_at_16_khz() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = wide_rig().await?;
    let call = ringing(&rig, CallAudio::Counter).await?;
    let mut stream = CallStream::attach(&rig.broker(), attach_at(&call, WIDE)).await?;
    assert_eq!(attached(&stream), (16_000, 640));
    let mut heard = Counter::default();
    talk(&mut stream, 2 * WIDE, |frame| {
        heard.take(&frame)?;
        Ok(heard.samples)
    })
    .await?;
    rig.broker().voice().hang_up(HangUpRequest::default()).await?;
    let over = read_to_end(&mut stream).await?.unwrap_or_default();
    let statistics = over.audio_statistics.unwrap_or_default();
    assert_eq!(
        (
            statistics.downlink_dropped_samples,
            statistics.uplink_underruns,
            statistics.downlink_byte_slips
        ),
        (0, 0, 0),
        "{statistics:?}"
    );
    assert_eq!(over.downlink_problem, 0, "{over:?}");
    let account = account(&rig).await?;
    assert!(
        (2 * WIDE - 1..=2 * WIDE).contains(&account.counter_steps) && account.counter_breaks <= FADE_SAMPLES,
        "{account:?}"
    );
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_8_khz_gets_them_from_a_wide_call() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = wide_rig().await?;
    let call = ringing(&rig, CallAudio::Noise).await?;
    // A client that says nothing of rates.
    let mut stream = CallStream::attach(&rig.broker(), attach(&call, true)).await?;
    assert_eq!(attached(&stream), (8000, 320));
    let request = |rate| MonitorCallRequest {
        call_id: call.call_id.clone(),
        format: format(rate),
    };
    let mut monitors = Vec::new();
    for rate in [NARROW, WIDE] {
        let monitor = rig.broker().voice().monitor_call(request(rate)).await?.into_inner();
        monitors.push((monitor, rate as usize / 50 * 2));
    }
    let mut next = None;
    talk(&mut stream, NARROW, |frame| {
        anyhow::ensure!(frame.pcm.len() == 320, "{} octets", frame.pcm.len());
        anyhow::ensure!(next.is_none_or(|next| next == frame.first_sample), "a gap");
        next = Some(frame.first_sample + 160);
        Ok(frame.first_sample + 160)
    })
    .await?;
    for (monitor, octets) in &mut monitors {
        let mut expected = [None; 2];
        for _ in 0..50 {
            let heard = tokio::time::timeout(LIMIT, monitor.message())
                .await??
                .unwrap_or_default();
            let (direction, frame) = match heard.response {
                Some(Heard::Downlink(frame)) => (0, frame),
                Some(Heard::Uplink(frame)) => (1, frame),
                other => anyhow::bail!("the listener was told {other:?}"),
            };
            assert_eq!(frame.pcm.len(), *octets);
            assert!(
                expected[direction].is_none_or(|expected| expected == frame.first_sample),
                "a gap"
            );
            expected[direction] = Some(frame.first_sample + *octets as u64 / 2);
        }
    }
    rig.broker().voice().hang_up(HangUpRequest::default()).await?;
    read_to_end(&mut stream).await?;
    let said = account(&rig).await?.uplink_nonzero_samples;
    assert!(
        (2 * NARROW - 100..2 * NARROW + 100).contains(&said),
        "a second at 16 kHz: {said} samples"
    );
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firmware_that_refuses_stays_at_8_khz_and_says_so_to_who_wants_more() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = wide_rig().await?;
    let refuse = FaultAction::Refuse { code: Code::Error };
    rig.sim()
        .inject(Fault::on_command("+CPCMFRM=1", Phase::Before, refuse))
        .await?;
    let call = ringing(&rig, CallAudio::Counter).await?;
    let refused = CallStream::attach(&rig.broker(), attach_at(&call, WIDE)).await;
    let Err(status) = refused else {
        anyhow::bail!("attached at a rate that the call does not have")
    };
    assert_eq!(reason(&status), Some(ErrorReason::AudioNotAvailable));
    assert!(status.message().contains("wideband"), "{}", status.message());
    // The call was answered all the same, and is there for who takes what there is.
    let mut stream = CallStream::attach(&rig.broker(), attach_at(&call, NARROW)).await?;
    assert_eq!(attached(&stream), (8000, 320));
    let mut heard = Counter::default();
    talk(&mut stream, NARROW, |frame| {
        heard.take(&frame)?;
        Ok(heard.samples)
    })
    .await?;
    rig.stop().await
}

/// What the module says of its rate is worth less than the call.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_the_rate_that_is_lost_does_not_cost_the_audio() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    rig.sim()
        .inject(Fault::on_command("+CPCMFRM?", Phase::Before, FaultAction::LoseReply))
        .await?;
    let call = ringing(&rig, CallAudio::Counter).await?;
    let mut stream = CallStream::attach(&rig.broker(), attach(&call, true)).await?;
    let mut heard = Counter::default();
    talk(&mut stream, NARROW, |frame| {
        heard.take(&frame)?;
        Ok(heard.samples)
    })
    .await?;
    rig.stop().await
}

/// There is no way back to 8 kHz but a restart of the module, so the next broker finds it as the last one left it.
#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_was_left_at_16_khz_is_taken_as_it_is() -> anyhow::Result<()> {
    let _alone = alone().await;
    let mut rig = wide_rig().await?;
    let call = ringing(&rig, CallAudio::Silence).await?;
    let mut stream = CallStream::attach(&rig.broker(), attach_at(&call, WIDE)).await?;
    rig.broker().voice().hang_up(HangUpRequest::default()).await?;
    read_to_end(&mut stream).await?;
    drop(stream);
    rig.stop_broker().await?;
    let narrow = rig.configuration().replace("wideband = true", "wideband = false");
    rig.set_configuration(narrow);
    rig.start_broker().await?;
    rig.ready("sim1").await?;
    let call = ringing(&rig, CallAudio::Noise).await?;
    let mut stream = CallStream::attach(&rig.broker(), attach(&call, true)).await?;
    assert_eq!(attached(&stream), (8000, 320));
    talk(&mut stream, NARROW, |frame| Ok(frame.first_sample + 160)).await?;
    rig.broker().voice().hang_up(HangUpRequest::default()).await?;
    let over = read_to_end(&mut stream).await?.unwrap_or_default();
    let statistics = over.audio_statistics.unwrap_or_default();
    assert_eq!(over.downlink_problem, 0, "{over:?}");
    assert_eq!(
        statistics.uplink_samples,
        320 * statistics.uplink_frames,
        "the port has 16 kHz still"
    );
    rig.stop().await
}
