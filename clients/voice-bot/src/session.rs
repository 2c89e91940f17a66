//! One call: the stream of its audio, and the conversation on it.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use api::v1::stream_call_attach::Target;
use api::v1::stream_call_request::Request;
use api::v1::stream_call_response::Response;
use api::v1::{Call, CallState, ErrorReason, HangUpRequest, StreamCallAttach, StreamCallHangUp, UplinkAudio};
use client::audio::{FRAME_SAMPLES, from_octets};
use client::call::{CallStream, Playout};
use client::{BackOff, Broker, status};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use crate::clip::Clips;
use crate::config::Config;
use crate::conversation::{Action, Conversation, EndReason, TurnRecord};
use crate::turn::WebRtcVad;
use crate::{Stories, Story};

/// Frames come every 20 ms. A call that is silent on the stream for so long is lost.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);
/// How long the end of the call may take to come after the bot hung up.
const HANG_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// What is known about a call after its end. Without the caller's number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The call.
    pub call_id: String,
    /// The modem.
    pub modem: String,
    /// RINGs before it was answered.
    pub rings: u32,
    /// From the decision to answer until the audio was attached.
    pub answer_ms: u64,
    /// The length of the conversation.
    pub duration_ms: u64,
    /// Why it ended.
    pub end: EndReason,
    /// How often the audio was lost and attached again.
    pub reattachments: u32,
    /// Samples of the caller that were lost on the way.
    pub lost_samples: u64,
    /// The turns.
    pub turns: Vec<TurnRecord>,
}

/// Appends the report to the file, or to the log.
pub(crate) fn write(report: &Report, path: Option<&Path>) {
    let line = match serde_json::to_string(report) {
        Ok(line) => line,
        Err(error) => return tracing::error!("failed to write a report: {error}"),
    };
    let Some(path) = path else {
        return tracing::info!(report = line, "call ended");
    };
    let appended = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        // One write, so that lines of calls that end together do not mix.
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    if let Err(error) = appended {
        tracing::error!(report = line, "failed to append to {}: {error}", path.display());
    }
}

/// Why a stream was left.
enum Left {
    Ended(EndReason),
    Broken(Status),
}

struct Session<'a> {
    broker: &'a Broker,
    call_id: &'a str,
    conversation: Conversation<'a, WebRtcVad>,
    stories: &'a Stories,
    next_sample: Option<u64>,
    lost_samples: u64,
}

/// Answers the call and talks until its end.
pub(crate) async fn answer(
    broker: Broker,
    call: Call,
    config: &Config,
    clips: &Clips,
    stories: Stories,
    mut stopped: watch::Receiver<bool>,
) -> Report {
    let began = Instant::now();
    let mut session = Session {
        broker: &broker,
        call_id: &call.call_id,
        conversation: Conversation::new(config, clips, WebRtcVad::new(config.vad_mode)),
        stories: &stories,
        next_sample: None,
        lost_samples: 0,
    };
    let mut report = Report {
        call_id: call.call_id.clone(),
        modem: call.modem.clone(),
        rings: call.rings,
        answer_ms: 0,
        duration_ms: 0,
        end: EndReason::NotAnswered,
        reattachments: 0,
        lost_samples: 0,
        turns: Vec::new(),
    };
    let attached = tokio::select! {
        attached = session.attach(true) => attached,
        _ = stopped.wait_for(|stopped| *stopped) => Err(Status::cancelled("the bot was stopped")),
    };
    let mut stream = match attached {
        Ok(stream) => stream,
        Err(refusal) => {
            tracing::warn!(
                call_id = call.call_id,
                problem = status::describe(&refusal),
                "failed to answer"
            );
            return report;
        }
    };
    report.answer_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    stories.tell(Story::Answered {
        call_id: call.call_id.clone(),
    });
    let mut actions = session.conversation.begin();
    report.end = loop {
        let problem = match session.talk(&mut stream, actions, &mut stopped).await {
            Left::Ended(end) => break end,
            Left::Broken(problem) => problem,
        };
        tracing::warn!(
            call_id = call.call_id,
            problem = status::describe(&problem),
            "lost the call's audio"
        );
        match session.reattach(Duration::from_millis(config.reattach_ms)).await {
            Some(again) => stream = again,
            None => break EndReason::Lost,
        }
        report.reattachments += 1;
        actions = session.conversation.resume();
    };
    report.duration_ms = session.conversation.duration_ms();
    report.lost_samples = session.lost_samples;
    report.turns = session.conversation.turns().to_vec();
    report
}

impl Session<'_> {
    async fn attach(&self, answer: bool) -> Result<CallStream, Status> {
        let attach = StreamCallAttach {
            target: Some(Target::CallId(self.call_id.to_owned())),
            answer,
            // The second time, the broker may still hold the bot's own broken stream for the owner.
            takeover: !answer,
            uplink: UplinkAudio::Finished.into(),
            ..StreamCallAttach::default()
        };
        CallStream::attach(self.broker, attach).await
    }

    /// Tries to get the audio back for a while. None: the call is over, or the time is.
    async fn reattach(&mut self, limit: Duration) -> Option<CallStream> {
        let mut back_off = BackOff::new(Duration::from_millis(50), Duration::from_millis(500));
        let attempts = async {
            loop {
                sleep(back_off.next_pause()).await;
                match self.attach(false).await {
                    Ok(stream) => return Some(stream),
                    Err(refusal) if status::is_temporary(&refusal) => {}
                    Err(_) => return None,
                }
            }
        };
        let stream = timeout(limit, attempts).await.ok().flatten()?;
        self.next_sample = None;
        Some(stream)
    }

    /// Talks until the stream ends or breaks.
    async fn talk(
        &mut self,
        stream: &mut CallStream,
        actions: Vec<Action>,
        stopped: &mut watch::Receiver<bool>,
    ) -> Left {
        let mut playout = Playout::new(stream.attached());
        let mut pending = actions;
        loop {
            for action in pending.drain(..) {
                if action == Action::HangUp {
                    let reason = self.conversation.end_reason().unwrap_or(EndReason::Stopped);
                    return self.hang_up(stream, reason).await;
                }
                if let Err(problem) = self.act(action, stream, &mut playout) {
                    return Left::Broken(problem);
                }
            }
            while let Some(request) = playout.next_request() {
                if let Err(problem) = stream.send(request) {
                    return Left::Broken(problem);
                }
            }
            let response = tokio::select! {
                response = timeout(SILENCE_LIMIT, stream.next()) => response,
                _ = stopped.wait_for(|stopped| *stopped) => return self.hang_up(stream, EndReason::Stopped).await,
            };
            match response {
                Ok(Ok(Some(response))) => match self.take(response, &mut playout) {
                    Ok(actions) => pending = actions,
                    Err(end) => return Left::Ended(end),
                },
                Ok(Ok(None)) => return Left::Ended(EndReason::Caller),
                Ok(Err(problem)) if status::reason(&problem) == Some(ErrorReason::Superseded) => {
                    return Left::Ended(EndReason::TakenOver);
                }
                Ok(Err(problem)) => return Left::Broken(problem),
                // A caller who hears nothing and cannot be heard is better off with a dial tone.
                Err(_) => return self.hang_up(stream, EndReason::Lost).await,
            }
        }
    }

    fn act(&self, action: Action, stream: &CallStream, playout: &mut Playout) -> Result<(), Status> {
        let call_id = self.call_id.to_owned();
        match action {
            Action::Play {
                mut samples,
                begun,
                done,
            } => {
                let rest = samples.split_off(samples.len().min(FRAME_SAMPLES));
                playout.push_audio(samples);
                playout.push_mark(begun);
                playout.push_audio(rest);
                playout.push_mark(done);
            }
            Action::Clear => stream.send(playout.clear().0)?,
            Action::Heard { turn, heard_ms } => self.stories.tell(Story::Heard {
                call_id,
                turn,
                heard_ms,
            }),
            Action::Replied { turn, after_ms } => self.stories.tell(Story::Replied {
                call_id,
                turn,
                after_ms,
            }),
            Action::Reprompted => self.stories.tell(Story::Reprompted { call_id }),
            Action::HangUp => {}
        }
        Ok(())
    }

    fn take(&mut self, response: Response, playout: &mut Playout) -> Result<Vec<Action>, EndReason> {
        Ok(match response {
            Response::Audio(frame) => {
                let audio: Vec<i16> = from_octets(&frame.pcm).collect();
                let lost = self
                    .next_sample
                    .map_or(0, |next| frame.first_sample.saturating_sub(next));
                self.next_sample = Some(frame.first_sample + audio.len() as u64);
                self.lost_samples += lost;
                playout.advance(audio.len() + usize::try_from(lost).unwrap_or(usize::MAX - audio.len()));
                self.conversation.hear(&audio, lost)
            }
            Response::Mark(mark) if !mark.cleared => self.conversation.reach(&mark.name),
            Response::Call(call) if call.state() == CallState::Disconnected => return Err(EndReason::Caller),
            Response::Flow(flow) => {
                playout.set_stopped(flow.stop);
                Vec::new()
            }
            _ => Vec::new(),
        })
    }

    /// Hangs up on the stream, and by a request of its own if that does not end the call.
    async fn hang_up(&self, stream: &mut CallStream, reason: EndReason) -> Left {
        let ended = async {
            stream.send(Request::HangUp(StreamCallHangUp {}))?;
            while let Some(response) = stream.next().await? {
                if matches!(&response, Response::Call(call) if call.state() == CallState::Disconnected) {
                    break;
                }
            }
            Ok::<(), Status>(())
        };
        if !matches!(timeout(HANG_UP_TIMEOUT, ended).await, Ok(Ok(()))) {
            let mut voice = self.broker.voice();
            let request = voice.hang_up(HangUpRequest {
                call_id: self.call_id.to_owned(),
            });
            match timeout(HANG_UP_TIMEOUT, request).await {
                Ok(Ok(_)) => {}
                Ok(Err(refusal)) if status::reason(&refusal) == Some(ErrorReason::CallState) => {}
                Ok(Err(refusal)) => tracing::error!(problem = status::describe(&refusal), "failed to hang up"),
                Err(_) => tracing::error!("failed to hang up: the broker did not answer"),
            }
        }
        Left::Ended(reason)
    }
}
