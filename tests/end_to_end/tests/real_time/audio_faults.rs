//! What goes wrong with the audio, and what becomes of it: noticed, counted, told, healed.

use std::time::Duration;

use api::v1::stream_call_request::Request;
use api::v1::stream_call_response::Response;
use api::v1::{
    AudioProblem, AudioStatistics, Call, CallAudioState, CallState, HangUpRequest, ModemStage, SetRecordingRequest,
    StreamCallAttach, StreamCallHangUp, UplinkAudio,
};
use client::call::CallStream;
use end_to_end::{Journal, LIMIT, Process, Rig, Setup, binaries, reason};
use nix::sys::signal::Signal;
use simulator::{AudioFault, CallAudio, FaultAction, RingOptions};

use crate::alone;
use crate::call::{CALLER, Counter, account, answered, attach, counter, read, read_to_end, ring};

const SECOND: u64 = 8000;

/// What the fade at the end of uplink audio takes: breaks in a counter, behind its last step.
const FADE_SAMPLES: u64 = 40;

fn is_audio(response: Response) -> Option<()> {
    matches!(response, Response::Audio(_)).then_some(())
}

async fn hang_up(stream: &mut CallStream) -> anyhow::Result<AudioStatistics> {
    stream.send(Request::HangUp(StreamCallHangUp {}))?;
    let over = read_to_end(stream).await?.unwrap_or_default();
    Ok(over.audio_statistics.unwrap_or_default())
}

/// However the module cuts its audio, no sample of it is lost in either direction.
#[tokio::test(flavor = "multi_thread")]
async fn chunks_and_bursts_lose_nothing() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    for fault in [
        AudioFault::Late { ms: 300 },
        AudioFault::Burst { frames: 5 },
        AudioFault::Chunk { bytes: 640 },
        AudioFault::Chunk { bytes: 1600 },
        AudioFault::Chunk { bytes: 321 },
        AudioFault::Chunk { bytes: 33 },
    ] {
        rig.sim().inject_now(FaultAction::Audio(fault)).await?;
        let (_, mut stream) = answered(&rig, CallAudio::Counter).await?;
        stream.send(client::call::audio(counter(SECOND as usize)))?;
        stream.send(client::call::mark("said"))?;
        let (mut heard, mut said) = (Counter::default(), false);
        while !said || heard.samples < SECOND {
            match tokio::time::timeout(LIMIT, stream.next()).await?? {
                Some(Response::Audio(frame)) => heard.take(&frame)?,
                Some(Response::Mark(_)) => said = true,
                Some(_) => {}
                None => anyhow::bail!("{fault:?}: the stream ended"),
            }
        }
        let statistics = hang_up(&mut stream).await?;
        let losses = (
            statistics.downlink_dropped_samples,
            statistics.downlink_byte_slips,
            statistics.uplink_underruns,
        );
        assert_eq!(losses, (0, 0, 0), "{fault:?}: {statistics:?}");
        let account = account(&rig).await?;
        assert!(
            (SECOND - 1..=SECOND).contains(&account.counter_steps) && account.counter_breaks <= FADE_SAMPLES,
            "{fault:?}: {account:?}"
        );
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_octet_is_noticed_and_healed() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (_, mut stream) = answered(&rig, CallAudio::Counter).await?;
    read(&mut stream, "audio", is_audio).await?;
    rig.sim().inject_now(FaultAction::Audio(AudioFault::ByteSlip)).await?;
    let told = |response| match response {
        Response::Statistics(statistics) if statistics.downlink_byte_slips == 1 => Some(()),
        _ => None,
    };
    read(&mut stream, "the slip", told).await?;
    // From here on every sample is whole again.
    let mut heard = Counter::default();
    while heard.samples < SECOND {
        if let Some(Response::Audio(frame)) = tokio::time::timeout(LIMIT, stream.next()).await?? {
            heard.take(&frame)?;
        }
    }
    assert_eq!(hang_up(&mut stream).await?.downlink_byte_slips, 1);
    rig.stop().await
}

async fn problem(stream: &mut CallStream, fits: impl Fn(&Call) -> bool) -> anyhow::Result<Call> {
    read(stream, "the problem of a direction", |response| match response {
        Response::Call(call) if fits(&call) => Some(call),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_that_goes_one_way_only_is_told_by_direction() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (_, mut stream) = answered(&rig, CallAudio::Noise).await?;
    let none = AudioProblem::Unspecified;
    for (fault, downlink, uplink) in [
        (AudioFault::DeadUplink, none, AudioProblem::NotTaken),
        (AudioFault::None, none, none),
        (AudioFault::DeadDownlink, AudioProblem::NoAudio, none),
        (AudioFault::None, none, none),
    ] {
        rig.sim().inject_now(FaultAction::Audio(fault)).await?;
        let fits = |call: &Call| (call.downlink_problem(), call.uplink_problem()) == (downlink, uplink);
        problem(&mut stream, fits).await?;
    }
    rig.stop().await
}

/// A stall costs what was said meanwhile, and the call goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stall_ends_and_the_call_goes_on() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (_, mut stream) = answered(&rig, CallAudio::Counter).await?;
    read(&mut stream, "audio", is_audio).await?;
    rig.sim()
        .inject_now(FaultAction::Audio(AudioFault::Stall { ms: 700 }))
        .await?;
    let told = |response| match response {
        Response::Statistics(statistics) if statistics.downlink_gap_max_ms >= 500 => Some(()),
        _ => None,
    };
    read(&mut stream, "the gap", told).await?;
    let mut heard = Counter::default();
    while heard.samples < SECOND {
        if let Some(Response::Audio(frame)) = tokio::time::timeout(LIMIT, stream.next()).await?? {
            heard.take(&frame)?;
        }
    }
    rig.stop().await
}

/// Firmware LE20B05: from the second call on the module refuses audio at first, until it is restarted.
#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_wears_out_is_reset_when_it_is_idle() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    rig.sim().inject_now(FaultAction::PcmWearsOut { times: 2 }).await?;
    for expected in [CallAudioState::On, CallAudioState::Degraded] {
        let (_, mut stream) = answered(&rig, CallAudio::Counter).await?;
        read(&mut stream, "audio", is_audio).await?;
        let audio = stream.attached().call.as_ref().map(Call::audio);
        assert_eq!(audio, Some(expected));
        hang_up(&mut stream).await?;
    }
    let mut news = rig.news().await?;
    assert_eq!(
        rig.sim().books().await?.detachments,
        0,
        "not while somebody may call again"
    );
    news.modem("the modem is gone", |modem| modem.stage() < ModemStage::Ready)
        .await?;
    news.modem("it is back", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    assert_eq!(rig.sim().books().await?.detachments, 1, "once is enough");
    let (_, mut stream) = answered(&rig, CallAudio::Counter).await?;
    read(&mut stream, "audio", is_audio).await?;
    assert_eq!(
        stream.attached().call.as_ref().map(Call::audio),
        Some(CallAudioState::On)
    );
    rig.stop().await
}

fn recorded(setup: &str) -> Setup {
    Setup {
        sections: format!("[voice.recording]\ncalls = \"{setup}\"\n"),
        ..Setup::default()
    }
}

/// Left and right of a recording.
fn channels(path: &std::path::Path) -> anyhow::Result<(Vec<i16>, Vec<i16>)> {
    let mut reader = hound::WavReader::open(path)?;
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, 8000));
    let samples: Vec<i16> = reader.samples::<i16>().collect::<Result<_, _>>()?;
    Ok((
        samples.iter().copied().step_by(2).collect(),
        samples.iter().copied().skip(1).step_by(2).collect(),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_recorded_when_a_client_asks_and_the_configuration_allows_it() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (call, stream) = answered(&rig, CallAudio::Counter).await?;
    let request = |enabled| SetRecordingRequest {
        call_id: call.call_id.clone(),
        enabled,
    };
    let status = rig
        .broker()
        .voice()
        .set_recording(request(true))
        .await
        .expect_err("not allowed");
    assert_eq!(reason(&status), Some(api::v1::ErrorReason::NotEnabled));
    drop(stream);
    rig.stop().await?;

    let rig = Rig::with(recorded("on_request")).await?;
    let (call, mut stream) = answered(&rig, CallAudio::Counter).await?;
    let request = SetRecordingRequest {
        call_id: call.call_id.clone(),
        enabled: true,
    };
    read(&mut stream, "audio", is_audio).await?;
    let recording = rig
        .broker()
        .voice()
        .set_recording(request)
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    assert!(
        recording.recording && recording.recording_file.ends_with(".wav"),
        "{recording:?}"
    );
    assert!(!recording.recording_file.contains("447700"), "a name tells no number");
    stream.send(client::call::audio(counter(SECOND as usize)))?;
    stream.send(client::call::mark("said"))?;
    read(&mut stream, "the mark", |response| {
        matches!(response, Response::Mark(_)).then_some(())
    })
    .await?;
    hang_up(&mut stream).await?;
    let path = rig.path().join("state/recordings").join(&recording.recording_file);
    // The file is completed a moment after the call.
    let complete = async || {
        let (down, up) = channels(&path)?;
        let said = up.iter().filter(|sample| **sample != 0).count() as u64;
        Ok((said >= SECOND - 200).then_some((down, up)))
    };
    let (down, up) = end_to_end::until("the recording is complete", LIMIT, complete).await?;
    let steps = down
        .windows(2)
        .filter(|pair| pair[1] == pair[0].wrapping_add(1))
        .count() as u64;
    assert!(steps >= SECOND / 2, "{steps} steps of the downlink");
    assert_eq!(down.len(), up.len());
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_survives_a_broker_that_is_killed() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::prepare(recorded("always")).await?;
    let mut process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    rig.sim()
        .ring(RingOptions {
            from: CALLER.to_owned(),
            audio: CallAudio::Counter,
            ..RingOptions::default()
        })
        .await?;
    let mut journal = Journal::beginning(&broker).await?;
    let call = journal
        .call("it rings", |call| call.state() == CallState::Incoming)
        .await?;
    let mut stream = CallStream::attach(&broker, StreamCallAttach { ..attach(&call, true) }).await?;
    let recording = journal.call("it is recorded", |call| call.recording).await?;
    let mut heard = Counter::default();
    while heard.samples < 3 * SECOND {
        if let Some(Response::Audio(frame)) = tokio::time::timeout(LIMIT, stream.next()).await?? {
            heard.take(&frame)?;
        }
    }
    process.signal(Signal::SIGKILL)?;
    process.ended(LIMIT).await?;
    let path = rig.path().join("state/recordings").join(&recording.recording_file);
    let (down, _) = channels(&path)?;
    assert!(down.len() as u64 >= SECOND, "{} samples are left", down.len());
    let steps = down
        .windows(2)
        .filter(|pair| pair[1] == pair[0].wrapping_add(1))
        .count();
    assert!(steps + 400 >= down.len(), "{steps} steps in {} samples", down.len());
    rig.stop().await
}

/// The device left the bus and came back while the call was set up; the module and the call went on.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_survives_a_device_that_enumerates_anew_while_it_is_set_up() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let bounce = FaultAction::Reenumerate {
        ms: 300,
        renumber: true,
    };
    rig.sim()
        .inject(simulator::Fault::on_command(
            "+CPCMREG=1",
            simulator::Phase::Before,
            bounce,
        ))
        .await?;
    let (call, mut stream) = answered(&rig, CallAudio::Counter).await?;
    read(&mut stream, "audio", is_audio).await?;
    let over = hang_up(&mut stream).await?;
    assert!(over.downlink_samples > 0);
    assert_eq!(rig.sim().books().await?.calls.total(), 1, "{call:?}");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_over_a_clock_that_is_off() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    rig.sim()
        .inject_now(FaultAction::Audio(AudioFault::Clock { ppm: 20_000 }))
        .await?;
    let (_, mut stream) = answered(&rig, CallAudio::Counter).await?;
    stream.send(client::call::audio(counter(4 * SECOND as usize)))?;
    stream.send(client::call::mark("said"))?;
    let (mut heard, mut said) = (Counter::default(), false);
    while !said {
        match tokio::time::timeout(LIMIT, stream.next()).await?? {
            Some(Response::Audio(frame)) => heard.take(&frame)?,
            Some(Response::Mark(_)) => said = true,
            _ => {}
        }
    }
    rig.broker().voice().hang_up(HangUpRequest::default()).await?;
    read_to_end(&mut stream).await?;
    let account = account(&rig).await?;
    assert!(
        account.counter_steps >= 4 * SECOND - 1 && account.counter_breaks <= FADE_SAMPLES,
        "{account:?}"
    );
    rig.stop().await
}

/// A client whose network stood still: what it said is heard whole, and its pauses are shortened until the delay is gone.
#[tokio::test(flavor = "multi_thread")]
async fn live_audio_that_came_late_is_caught_up_in_its_pauses() -> anyhow::Result<()> {
    const FRAME_SAMPLES: usize = 160;
    const SPEECH_FRAMES: u32 = 20;
    const PAUSE_FRAMES: u32 = 30;
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let call = ring(&rig, RingOptions::default()).await?;
    let live = StreamCallAttach {
        uplink: UplinkAudio::Live.into(),
        ..attach(&call, true)
    };
    let mut stream = CallStream::attach(&rig.broker(), live).await?;
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    let (mut frames, mut spoken, mut deepest, mut dropped, mut depth) = (0_u32, 0, 0, 0, u32::MAX);
    let talk = async {
        // At least until the delay was seen, and is gone. It is told once a second, in which a part of it may be caught up.
        while frames < 200 || deepest < 300 || depth > 100 {
            tokio::select! {
                _ = clock.tick() => {
                    // Nothing for 600 ms, then all of it at once.
                    let sent = match frames {
                        100..130 => 0,
                        130 => 31,
                        _ => 1,
                    };
                    for frame in frames + 1 - sent..=frames {
                        let speaks = frame % (SPEECH_FRAMES + PAUSE_FRAMES) < SPEECH_FRAMES;
                        spoken += u64::from(speaks) * FRAME_SAMPLES as u64;
                        let signal = vec![if speaks { 4000 } else { 0 }; FRAME_SAMPLES];
                        stream.send(client::call::audio(client::audio::to_octets(&signal)))?;
                    }
                    frames += 1;
                }
                response = stream.next() => match response? {
                    Some(Response::Statistics(statistics)) => {
                        depth = statistics.uplink_queued_ms;
                        deepest = deepest.max(depth);
                        dropped = statistics.uplink_drift_dropped_frames;
                    }
                    Some(_) => {}
                    None => anyhow::bail!("the stream ended"),
                },
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(LIMIT, talk).await??;
    assert!(dropped >= 20, "{dropped} frames were left out for 600 ms");
    stream.send(client::call::mark("said"))?;
    let is_mark = |response| matches!(response, Response::Mark(_)).then_some(());
    read(&mut stream, "the end", is_mark).await?;
    hang_up(&mut stream).await?;
    let heard = account(&rig).await?.uplink_nonzero_samples;
    // Beside the speech: fades where the queue ran dry.
    assert!(
        (spoken..spoken + 20 * FADE_SAMPLES).contains(&heard),
        "{heard} of {spoken} samples of speech"
    );
    rig.stop().await
}
