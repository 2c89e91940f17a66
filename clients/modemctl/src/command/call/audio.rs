//! `modemctl call record`, `modemctl call play`.

use std::path::Path;
use std::time::Duration;

use api::v1::monitor_call_response::Response as Heard;
use api::v1::stream_call_attach::Target;
use api::v1::stream_call_request::Request;
use api::v1::stream_call_response::Response;
use api::v1::{
    AudioFrame, CallState, ErrorReason, MonitorCallRequest, StreamCallAttach, StreamCallHangUp, UplinkAudio,
};
use client::audio::{SAMPLE_RATE_HZ, from_octets};
use client::call::{CallStream, Playout};
use client::status;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Code, Status};

use crate::Session;
use crate::failure::Failure;
use crate::table::clean;

/// Frames come every 20 ms; without any for so long, the audio is gone.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);
/// A gap is filled with silence, so that the recording keeps the call's time; a longer one is not a gap any more.
const LONGEST_GAP_SAMPLES: u64 = 10 * SAMPLE_RATE_HZ as u64;
const PLAYED: &str = "played";

/// A WAV file that grows with the call.
struct Recording {
    writer: hound::WavWriter<std::io::BufWriter<std::fs::File>>,
    stereo: bool,
    next_sample: Option<u64>,
    samples: u64,
}

impl Recording {
    fn create(path: &Path, stereo: bool) -> Result<Self, Failure> {
        let spec = hound::WavSpec {
            channels: if stereo { 2 } else { 1 },
            sample_rate: SAMPLE_RATE_HZ,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let writer = hound::WavWriter::create(path, spec)
            .map_err(|error| Failure::new(format!("failed to write {}: {error}", path.display())))?;
        Ok(Self {
            writer,
            stereo,
            next_sample: None,
            samples: 0,
        })
    }

    fn push(&mut self, downlink: Option<AudioFrame>, uplink: Option<AudioFrame>) -> Result<(), Failure> {
        let (downlink, uplink) = (downlink.unwrap_or_default(), uplink.unwrap_or_default());
        // Without stereo only the other side is recorded, so that a message with our side alone is none.
        let count = (downlink.pcm.len() / 2).max(if self.stereo { uplink.pcm.len() / 2 } else { 0 });
        if count == 0 {
            return Ok(());
        }
        let first = if downlink.pcm.is_empty() {
            uplink.first_sample
        } else {
            downlink.first_sample
        };
        let gap = self
            .next_sample
            .map_or(0, |next| first.saturating_sub(next))
            .min(LONGEST_GAP_SAMPLES);
        self.next_sample = Some(first + count as u64);
        for _ in 0..gap {
            self.write(0, 0)?;
        }
        let (mut down, mut up) = (from_octets(&downlink.pcm), from_octets(&uplink.pcm));
        for _ in 0..count {
            self.write(down.next().unwrap_or(0), up.next().unwrap_or(0))?;
        }
        Ok(())
    }

    fn write(&mut self, downlink: i16, uplink: i16) -> Result<(), Failure> {
        let failed = |error| Failure::new(format!("failed to write the recording: {error}"));
        self.samples += 1;
        self.writer.write_sample(downlink).map_err(failed)?;
        if self.stereo {
            self.writer.write_sample(uplink).map_err(failed)?;
        }
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.samples as f64 / f64::from(SAMPLE_RATE_HZ)
    }
}

/// Where the audio of a recording comes from.
enum Source {
    Listener(Box<tonic::Streaming<api::v1::MonitorCallResponse>>),
    Owner(Box<CallStream>),
}

impl Source {
    async fn open(session: &Session<'_>, call_id: &str) -> Result<Self, Status> {
        let mut service = session.broker.voice();
        let request = MonitorCallRequest {
            call_id: call_id.to_owned(),
            format: None,
        };
        let refusal = match service.monitor_call(request).await {
            Ok(response) => return Ok(Self::Listener(Box::new(response.into_inner()))),
            Err(refusal) => refusal,
        };
        let absent =
            refusal.code() == Code::Unimplemented || status::reason(&refusal) == Some(ErrorReason::NotBuiltYet);
        if !absent {
            return Err(refusal);
        }
        let attach = StreamCallAttach {
            target: Some(Target::CallId(call_id.to_owned())),
            ..StreamCallAttach::default()
        };
        Ok(Self::Owner(Box::new(
            CallStream::attach(&session.broker, attach).await?,
        )))
    }

    /// The next frames of both sides; none after the call's end.
    async fn next(&mut self) -> Result<Option<(Option<AudioFrame>, Option<AudioFrame>)>, Status> {
        match self {
            Self::Listener(stream) => loop {
                let Some(message) = stream.message().await? else {
                    return Ok(None);
                };
                match message.response {
                    Some(Heard::Downlink(frame)) => return Ok(Some((Some(frame), None))),
                    Some(Heard::Uplink(frame)) => return Ok(Some((None, Some(frame)))),
                    Some(Heard::Call(_)) => return Ok(None),
                    None => {}
                }
            },
            Self::Owner(stream) => loop {
                match stream.next().await? {
                    Some(Response::Audio(frame)) => return Ok(Some((Some(frame), None))),
                    Some(Response::Call(call)) if call.state() == CallState::Disconnected => return Ok(None),
                    Some(_) => {}
                    None => return Ok(None),
                }
            },
        }
    }
}

pub(crate) async fn record(
    session: &mut Session<'_>,
    call_id: String,
    out: &Path,
    seconds: Option<u64>,
    stereo: bool,
) -> Result<(), Failure> {
    let mut source = Source::open(session, &call_id).await?;
    let mut recording = Recording::create(out, stereo)?;
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let limit = seconds.map(|seconds| seconds * u64::from(SAMPLE_RATE_HZ));
    let recorded = async {
        // The file is closed properly also when the recording is interrupted or the broker is lost.
        let interrupted = tokio::signal::ctrl_c();
        let mut interrupted = std::pin::pin!(interrupted);
        loop {
            if limit.is_some_and(|limit| recording.samples >= limit) {
                return Ok(());
            }
            let frames = tokio::select! {
                frames = timeout(SILENCE_LIMIT, source.next()) => frames,
                _ = &mut interrupted => return Ok(()),
                () = async { match end { Some(end) => sleep_until(end).await, None => std::future::pending().await } } => return Ok(()),
            };
            match frames {
                Ok(Ok(Some((downlink, uplink)))) => recording.push(downlink, uplink)?,
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(refusal)) => return Err(Failure::from(refusal)),
                Err(_) => {
                    return Err(Failure::new(
                        "the call has had no audio for 10 s; modemctl call show says why",
                    ));
                }
            }
        }
    };
    let result = session.console.wait("recording (Ctrl-C ends it)", recorded).await;
    let length = recording.seconds();
    recording
        .writer
        .finalize()
        .map_err(|error| Failure::new(format!("failed to write {}: {error}", out.display())))?;
    if session.json {
        let value = serde_json::json!({ "call_id": call_id, "file": out.display().to_string(), "seconds": length });
        session.console.json(&value)?;
    } else {
        session.console.line(&format!(
            "{length:.1} s of call {} in {}",
            clean(&call_id),
            out.display()
        ))?;
    }
    result
}

pub(crate) async fn play(
    session: &mut Session<'_>,
    call_id: String,
    samples: Vec<i16>,
    then_hang_up: bool,
    takeover: bool,
) -> Result<(), Failure> {
    let length = samples.len() as f64 / f64::from(SAMPLE_RATE_HZ);
    let attach = StreamCallAttach {
        target: Some(Target::CallId(call_id.clone())),
        takeover,
        uplink: UplinkAudio::Finished.into(),
        ..StreamCallAttach::default()
    };
    let attaching = CallStream::attach(&session.broker, attach);
    let mut stream = session.console.wait("attaching to the call's audio", attaching).await?;
    let mut playout = Playout::new(stream.attached());
    playout.push_audio(samples);
    playout.push_mark(PLAYED);
    session
        .console
        .wait("playing", until_played(&mut stream, &mut playout))
        .await?;
    if then_hang_up {
        stream.send(Request::HangUp(StreamCallHangUp {}))?;
        session
            .console
            .wait("hanging up", timeout(SILENCE_LIMIT, until_over(&mut stream)))
            .await
            .map_err(|_| Failure::new("the call did not end within 10 s; modemctl call list --alive shows it"))??;
    }
    if session.json {
        return session
            .console
            .json(&serde_json::json!({ "call_id": call_id, "seconds": length }));
    }
    session
        .console
        .line(&format!("played {length:.1} s into call {}", clean(&call_id)))
}

async fn until_played(stream: &mut CallStream, playout: &mut Playout) -> Result<(), Failure> {
    loop {
        while let Some(request) = playout.next_request() {
            stream.send(request)?;
        }
        match timeout(SILENCE_LIMIT, stream.next()).await {
            Ok(Ok(Some(Response::Audio(frame)))) => playout.advance(frame.pcm.len() / 2),
            Ok(Ok(Some(Response::Flow(flow)))) => playout.set_stopped(flow.stop),
            Ok(Ok(Some(Response::Mark(mark)))) if mark.name == PLAYED => return Ok(()),
            Ok(Ok(Some(Response::Call(call)))) if call.state() == CallState::Disconnected => {
                return Err(Failure::new("the call ended before everything was played"));
            }
            Ok(Ok(Some(_))) => {}
            Ok(Ok(None)) => return Err(Failure::new("the call ended before everything was played")),
            Ok(Err(refusal)) => return Err(refusal.into()),
            Err(_) => {
                return Err(Failure::new(
                    "the call has had no audio for 10 s; modemctl call show says why",
                ));
            }
        }
    }
}

async fn until_over(stream: &mut CallStream) -> Result<(), Failure> {
    while let Some(response) = stream.next().await? {
        if matches!(&response, Response::Call(call) if call.state() == CallState::Disconnected) {
            break;
        }
    }
    Ok(())
}
