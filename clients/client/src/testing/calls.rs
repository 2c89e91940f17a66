//! Calls of the scripted broker: the caller speaks and listens in frames of 20 ms.

use api::v1::monitor_call_response::Response as Heard;
use api::v1::stream_call_attach::Target;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::v1::stream_call_request::Request as Uplink;
use api::v1::stream_call_response::Response as Downlink;
use api::v1::{self, CallAudioState, CallEndCause, CallState};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::server::{Services, Streamed, refuse};
use super::{Caller, Shared};
use crate::audio::{FRAME_SAMPLES, from_octets, to_octets};

type Answer<T> = Result<Response<T>, Status>;

fn find(shared: &Shared, call_id: &str) -> Result<v1::Call, Status> {
    let state = shared.lock();
    let alive = |call: &&v1::Call| call.state() != CallState::Disconnected;
    let found = match call_id {
        "" => state.calls.iter().find(alive),
        id => state.calls.iter().find(|call| call.call_id == id),
    };
    found.cloned().ok_or_else(|| {
        let metadata = [("call_id", call_id.to_owned())];
        refuse(
            Code::NotFound,
            "CALL_NOT_FOUND",
            format!("no such call: {call_id}"),
            &metadata,
        )
    })
}

fn end(shared: &Shared, call_id: &str, cause: CallEndCause) -> Option<v1::Call> {
    let mut call = find(shared, call_id).ok()?;
    if call.state() != CallState::Disconnected {
        call.state = CallState::Disconnected.into();
        call.end_cause = cause.into();
        shared.put_call(call.clone());
    }
    Some(call)
}

fn activate(shared: &Shared, mut call: v1::Call) -> v1::Call {
    if call.state() != CallState::Active {
        call.state = CallState::Active.into();
        call.audio = CallAudioState::On.into();
        shared.put_call(call.clone());
    }
    call
}

#[tonic::async_trait]
impl v1::voice_service_server::VoiceService for Services {
    type StreamCallStream = Streamed<v1::StreamCallResponse>;
    type MonitorCallStream = Streamed<v1::MonitorCallResponse>;

    async fn dial(&self, request: Request<v1::DialRequest>) -> Answer<v1::DialResponse> {
        let request = request.into_inner();
        let call = v1::Call {
            call_id: format!("c{}", self.0.lock().calls.len() + 1),
            modem: "sim1".into(),
            direction: v1::CallDirection::Outgoing.into(),
            state: CallState::Dialing.into(),
            number: request.number,
            request_id: request.request_id,
            ..Default::default()
        };
        self.0.put_call(call.clone());
        Ok(Response::new(v1::DialResponse { call: Some(call) }))
    }

    async fn answer(&self, request: Request<v1::AnswerRequest>) -> Answer<v1::AnswerResponse> {
        let call = activate(&self.0, find(&self.0, &request.into_inner().call_id)?);
        Ok(Response::new(v1::AnswerResponse { call: Some(call) }))
    }

    async fn reject(&self, request: Request<v1::RejectRequest>) -> Answer<v1::RejectResponse> {
        let call = find(&self.0, &request.into_inner().call_id)?;
        Ok(Response::new(v1::RejectResponse {
            call: end(&self.0, &call.call_id, CallEndCause::Rejected),
        }))
    }

    async fn hang_up(&self, request: Request<v1::HangUpRequest>) -> Answer<v1::HangUpResponse> {
        let call = find(&self.0, &request.into_inner().call_id)?;
        Ok(Response::new(v1::HangUpResponse {
            call: end(&self.0, &call.call_id, CallEndCause::Local),
        }))
    }

    async fn set_recording(&self, _: Request<v1::SetRecordingRequest>) -> Answer<v1::SetRecordingResponse> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn hold(&self, _: Request<v1::HoldRequest>) -> Answer<v1::HoldResponse> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn resume(&self, _: Request<v1::ResumeRequest>) -> Answer<v1::ResumeResponse> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn send_dtmf(&self, request: Request<v1::SendDtmfRequest>) -> Answer<v1::SendDtmfResponse> {
        let request = request.into_inner();
        find(&self.0, &request.call_id)?;
        self.0.lock().tones.push_str(&request.tones);
        Ok(Response::new(v1::SendDtmfResponse {}))
    }

    async fn get_call(&self, request: Request<v1::GetCallRequest>) -> Answer<v1::GetCallResponse> {
        let call = find(&self.0, &request.into_inner().call_id)?;
        Ok(Response::new(v1::GetCallResponse { call: Some(call) }))
    }

    async fn list_calls(&self, request: Request<v1::ListCallsRequest>) -> Answer<v1::ListCallsResponse> {
        let alive_only = request.into_inner().alive_only;
        let state = self.0.lock();
        let wanted = |call: &&v1::Call| !alive_only || call.state() != CallState::Disconnected;
        Ok(Response::new(v1::ListCallsResponse {
            calls: state.calls.iter().filter(wanted).cloned().collect(),
            next_page_token: String::new(),
            cursor: state.events.last().map_or(0, |event| event.sequence),
        }))
    }

    async fn stream_call(&self, request: Request<Streaming<v1::StreamCallRequest>>) -> Answer<Self::StreamCallStream> {
        let mut uplink = request.into_inner();
        let Some(Uplink::Attach(attach)) = uplink.message().await?.and_then(|message| message.request) else {
            return Err(Status::invalid_argument("the first message must attach"));
        };
        let mut call = match &attach.target {
            Some(Target::CallId(call_id)) => find(&self.0, call_id)?,
            _ => return Err(Status::unimplemented("this fake does not dial")),
        };
        if attach.answer {
            call = activate(&self.0, call);
        }
        self.0.lock().attachments.push(attach);
        self.0.ring();
        let (sender, receiver) = mpsc::channel(64);
        let caller = self.0.lock().caller.clone();
        let leg = Leg {
            shared: Arc::clone(&self.0),
            call,
            caller,
            sender,
            queue: VecDeque::new(),
            position: 0,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with its stream: the send fails when the client is gone"
        )]
        tokio::spawn(async move {
            // A client that is gone needs no answer.
            let _ = leg.run(uplink).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn monitor_call(&self, request: Request<v1::MonitorCallRequest>) -> Answer<Self::MonitorCallStream> {
        let call = find(&self.0, &request.into_inner().call_id)?;
        let speech = self.0.lock().caller.speech.clone();
        let frames: Vec<_> = speech
            .chunks(FRAME_SAMPLES)
            .enumerate()
            .flat_map(|(index, chunk)| {
                let first_sample = (index * FRAME_SAMPLES) as u64;
                let downlink = v1::AudioFrame {
                    first_sample,
                    pcm: to_octets(chunk).into(),
                };
                let uplink = v1::AudioFrame {
                    first_sample,
                    pcm: vec![0; chunk.len() * 2].into(),
                };
                [Heard::Downlink(downlink), Heard::Uplink(uplink)]
            })
            .map(|response| {
                Ok(v1::MonitorCallResponse {
                    response: Some(response),
                })
            })
            .collect();
        end(&self.0, &call.call_id, CallEndCause::Remote);
        Ok(Response::new(Box::pin(tokio_stream::iter(frames))))
    }

    async fn set_call_forwarding(
        &self,
        _: Request<v1::SetCallForwardingRequest>,
    ) -> Answer<v1::SetCallForwardingResponse> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn get_call_forwarding(
        &self,
        _: Request<v1::GetCallForwardingRequest>,
    ) -> Answer<v1::GetCallForwardingResponse> {
        Err(Status::unimplemented("not scripted"))
    }
}

enum Queued {
    Sample(i16),
    Mark(String),
}

/// One attached stream.
struct Leg {
    shared: Arc<Shared>,
    call: v1::Call,
    caller: Caller,
    sender: mpsc::Sender<Result<v1::StreamCallResponse, Status>>,
    queue: VecDeque<Queued>,
    position: usize,
}

/// The client is gone.
struct Gone;

impl Leg {
    async fn send(&self, response: Downlink) -> Result<(), Gone> {
        self.sender
            .send(Ok(v1::StreamCallResponse {
                response: Some(response),
            }))
            .await
            .map_err(|_| Gone)
    }

    async fn run(mut self, mut uplink: Streaming<v1::StreamCallRequest>) -> Result<(), Gone> {
        self.send(Downlink::Attached(v1::StreamCallAttached {
            call: Some(self.call.clone()),
            format: None,
            frame_bytes: 320,
            uplink_queue_max_ms: 60_000,
            reattach_grace: None,
        }))
        .await?;
        let frame_time = self.caller.frame_time.max(Duration::from_millis(1));
        let mut clock = tokio::time::interval(frame_time);
        let mut doorbell = self.shared.doorbell.subscribe();
        loop {
            tokio::select! {
                message = uplink.message() => match message {
                    Ok(Some(message)) => {
                        if self.accept(message).await? {
                            return self.finish(CallEndCause::Local).await;
                        }
                    }
                    _ => return Ok(()),
                },
                _ = clock.tick() => {
                    if self.caller.hangs_up_after.is_some_and(|after| self.position >= after) {
                        return self.finish(CallEndCause::Remote).await;
                    }
                    self.frame().await?;
                }
                _ = doorbell.changed() => {
                    let ended = find(&self.shared, &self.call.call_id).ok();
                    if ended.is_none_or(|call| call.state() == CallState::Disconnected) {
                        return self.finish(CallEndCause::Local).await;
                    }
                }
            }
        }
    }

    async fn finish(&self, cause: CallEndCause) -> Result<(), Gone> {
        match end(&self.shared, &self.call.call_id, cause) {
            Some(call) => self.send(Downlink::Call(call)).await,
            None => Ok(()),
        }
    }

    /// Whether the client hung up.
    async fn accept(&mut self, message: v1::StreamCallRequest) -> Result<bool, Gone> {
        match message.request {
            Some(Uplink::Audio(octets)) => self.queue.extend(from_octets(&octets.pcm).map(Queued::Sample)),
            Some(Uplink::Mark(mark)) => self.queue.push_back(Queued::Mark(mark.name)),
            Some(Uplink::Dtmf(tones)) => self.shared.lock().tones.push_str(&tones.tones),
            Some(Uplink::Clear(_)) => {
                for item in std::mem::take(&mut self.queue) {
                    if let Queued::Mark(name) = item {
                        self.mark(name, true).await?;
                    }
                }
            }
            Some(Uplink::HangUp(_)) => return Ok(true),
            Some(Uplink::Attach(_)) | None => {}
        }
        Ok(false)
    }

    async fn mark(&self, name: String, cleared: bool) -> Result<(), Gone> {
        let uplink_samples = self.position as u64;
        self.send(Downlink::Mark(v1::AudioMark {
            name,
            cleared,
            uplink_samples,
        }))
        .await
    }

    async fn frame(&mut self) -> Result<(), Gone> {
        let spoken = self.caller.speech.get(self.position..).unwrap_or(&[]);
        let mut downlink: Vec<i16> = spoken.iter().take(FRAME_SAMPLES).copied().collect();
        downlink.resize(FRAME_SAMPLES, 0);
        let first_sample = self.position as u64;
        self.position += FRAME_SAMPLES;
        let mut played = Vec::with_capacity(FRAME_SAMPLES);
        loop {
            if let Some(Queued::Mark(_)) = self.queue.front() {
                if let Some(Queued::Mark(name)) = self.queue.pop_front() {
                    self.mark(name, false).await?;
                }
                continue;
            }
            if played.len() == FRAME_SAMPLES {
                break;
            }
            match self.queue.pop_front() {
                Some(Queued::Sample(sample)) => played.push(sample),
                _ => break,
            }
        }
        self.shared.lock().uplink.extend(played);
        self.send(Downlink::Audio(v1::AudioFrame {
            first_sample,
            pcm: to_octets(&downlink).into(),
        }))
        .await
    }
}
