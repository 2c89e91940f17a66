//! `VoiceService`.

use std::pin::Pin;
use std::time::Duration;

use api::v1::monitor_call_response::Response as ToListener;
use api::v1::stream_call_attach::Target;
use api::v1::stream_call_request::Request as FromClient;
use api::v1::stream_call_response::Response as ToClient;
use api::v1::voice_service_server::VoiceService;
use api::v1::{
    AnswerRequest, AnswerResponse, AudioEncoding, AudioFlow, AudioFormat, AudioFrame, AudioMark, DialRequest,
    DialResponse, DtmfReceived, GetCallForwardingRequest, GetCallForwardingResponse, GetCallRequest, GetCallResponse,
    HangUpRequest, HangUpResponse, HoldRequest, HoldResponse, ListCallsRequest, ListCallsResponse, MonitorCallRequest,
    MonitorCallResponse, RejectRequest, RejectResponse, ResumeRequest, ResumeResponse, SendDtmfRequest,
    SendDtmfResponse, SetCallForwardingRequest, SetCallForwardingResponse, SetRecordingRequest, SetRecordingResponse,
    StreamCallAttach, StreamCallAttached, StreamCallDtmf, StreamCallMark, StreamCallRequest, StreamCallResponse,
    UplinkAudio, UplinkAudioFrame,
};
use cellular::pcm::{Buffering, SampleRate, Supply};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::auth::scopes_of;
use super::{Context, ResponseStream, convert, status, validate};
use crate::audio::{AttachOptions, Downlink, PREBUFFER_MAX_MS};
use crate::modem::{self, Attachment, CallUpdate, ModemHandle, Monitored, Reply};
use crate::refusal::Refusal;
use crate::resource::{Call, CallState};
use crate::scope::Scope;
use crate::store::CallQuery;

/// Responses that may wait for a client. Audio is trimmed before this, where the oldest can still be dropped.
const RESPONSE_DEPTH: usize = 8;

/// Octets of audio in one message at most: 10 s, or 5 s at 16 kHz.
const AUDIO_MESSAGE_MAX: usize = 160_000;

/// Collected of live audio when the client does not say: two frames, for the jitter of a network and the slot of a frame.
const LIVE_PREBUFFER_MS: u32 = 40;

/// Tones of a stream that may wait.
const TONES_WAITING_MAX: usize = 256;

/// How long after the end of the audio the end of the call may be told.
const END_GRACE: Duration = Duration::from_secs(3);

#[tonic::async_trait]
impl VoiceService for Context {
    async fn dial(&self, request: Request<DialRequest>) -> Result<Response<DialResponse>, Status> {
        let call = self.dial_now(request.into_inner(), "number").await?;
        Ok(Response::new(DialResponse {
            call: Some(convert::call(&call)),
        }))
    }

    async fn answer(&self, request: Request<AnswerRequest>) -> Result<Response<AnswerResponse>, Status> {
        let call = self
            .ask_about(request.into_inner().call_id, |call_id, reply| modem::Request::Answer {
                call_id,
                reply,
            })
            .await?;
        Ok(Response::new(AnswerResponse {
            call: Some(convert::call(&call)),
        }))
    }

    async fn reject(&self, request: Request<RejectRequest>) -> Result<Response<RejectResponse>, Status> {
        let hang_up = |call_id, reply| modem::Request::HangUp {
            call_id,
            reject: true,
            reply,
        };
        let call = self.ask_about(request.into_inner().call_id, hang_up).await?;
        Ok(Response::new(RejectResponse {
            call: Some(convert::call(&call)),
        }))
    }

    async fn hang_up(&self, request: Request<HangUpRequest>) -> Result<Response<HangUpResponse>, Status> {
        let hang_up = |call_id, reply| modem::Request::HangUp {
            call_id,
            reject: false,
            reply,
        };
        let call_id = request.into_inner().call_id;
        let call = match self.ask_about(call_id.clone(), hang_up).await {
            // A repeated request finds what the first one did.
            Err(Refusal::CallState {
                state: CallState::Disconnected,
            }) => self.call(&call_id, "call_id").await?,
            call => call?,
        };
        Ok(Response::new(HangUpResponse {
            call: Some(convert::call(&call)),
        }))
    }

    async fn hold(&self, request: Request<HoldRequest>) -> Result<Response<HoldResponse>, Status> {
        let hold = |call_id, reply| modem::Request::Hold { call_id, reply };
        let call = self.ask_about(request.into_inner().call_id, hold).await?;
        Ok(Response::new(HoldResponse {
            call: Some(convert::call(&call)),
        }))
    }

    async fn resume(&self, request: Request<ResumeRequest>) -> Result<Response<ResumeResponse>, Status> {
        let resume = |call_id, reply| modem::Request::Resume { call_id, reply };
        let call = self.ask_about(request.into_inner().call_id, resume).await?;
        Ok(Response::new(ResumeResponse {
            call: Some(convert::call(&call)),
        }))
    }

    async fn set_recording(
        &self,
        request: Request<SetRecordingRequest>,
    ) -> Result<Response<SetRecordingResponse>, Status> {
        let request = request.into_inner();
        let enabled = request.enabled;
        let set = |call_id, reply| modem::Request::SetRecording {
            call_id,
            enabled,
            reply,
        };
        let call = self.ask_about(request.call_id, set).await?;
        Ok(Response::new(SetRecordingResponse {
            call: Some(convert::call(&call)),
        }))
    }

    async fn send_dtmf(&self, request: Request<SendDtmfRequest>) -> Result<Response<SendDtmfResponse>, Status> {
        let request = request.into_inner();
        let tones = validate::tones(&request.tones, "tones")?;
        self.ask_about(request.call_id, |call_id, reply| modem::Request::SendDtmf {
            call_id,
            tones: tones.clone(),
            reply,
        })
        .await?;
        Ok(Response::new(SendDtmfResponse {}))
    }

    async fn get_call(&self, request: Request<GetCallRequest>) -> Result<Response<GetCallResponse>, Status> {
        let call = self.call(&request.get_ref().call_id, "call_id").await?;
        Ok(Response::new(GetCallResponse {
            call: Some(convert::call(&call)),
        }))
    }

    async fn list_calls(&self, request: Request<ListCallsRequest>) -> Result<Response<ListCallsResponse>, Status> {
        let request = request.into_inner();
        let query = CallQuery {
            modem: validate::optional(request.modem),
            alive_only: request.alive_only,
            page_size: validate::page_size(request.page_size, 100)?,
            page_token: validate::optional(request.page_token),
            ..CallQuery::default()
        };
        let page = self.store.calls(query).await.map_err(Refusal::from)?;
        Ok(Response::new(ListCallsResponse {
            calls: page.items.iter().map(convert::call).collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
            cursor: page.cursor.0,
        }))
    }

    type StreamCallStream = ResponseStream<StreamCallResponse>;

    async fn stream_call(
        &self,
        request: Request<Streaming<StreamCallRequest>>,
    ) -> Result<Response<Self::StreamCallStream>, Status> {
        let scopes = scopes_of(&request);
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|message| message.request);
        let Some(FromClient::Attach(attach)) = first else {
            let problem = "the first message of the stream must be `attach`".to_owned();
            return Err(Refusal::FieldInvalid {
                field: "request",
                problem,
            }
            .into());
        };
        // The stream itself asks for the audio alone; to dial or to answer by it is control of calls all the same.
        let controls = attach.answer || matches!(attach.target, Some(Target::Dial(_)));
        if controls && !scopes.contains(Scope::CallControl) {
            return Err(status::scope_missing(Scope::CallControl));
        }
        let options = attach_options(&attach)?;
        let call = match attach.target {
            Some(Target::CallId(call_id)) => self.call(&call_id, "attach.call_id").await?,
            Some(Target::Dial(dial)) => {
                let dial = DialRequest {
                    modem: dial.modem,
                    number: dial.number,
                    request_id: dial.request_id,
                };
                self.dial_now(dial, "attach.dial.number").await?
            }
            None => {
                return Err(Refusal::FieldInvalid {
                    field: "attach.target",
                    problem: "either call_id or dial must be given".to_owned(),
                }
                .into());
            }
        };
        if call.state == CallState::Disconnected {
            return Err(Refusal::CallState { state: call.state }.into());
        }
        let modem = self.modems.find(&call.modem)?.clone();
        let (call_id, answer) = (call.id, attach.answer);
        let attachment = modem
            .ask(|reply| modem::Request::Attach {
                call_id,
                answer,
                options,
                reply,
            })
            .await?;
        let (responses, stream) = mpsc::channel(RESPONSE_DEPTH);
        let tones = Tones {
            modem: modem.clone(),
            call_id: attachment.call.id.clone(),
            waiting: String::new(),
            sending: None,
        };
        let task = CallStream {
            modem,
            attachment,
            responses: Responses(responses),
            tones,
            reattach_grace: self.reattach_grace,
            uplink: Uplink::Open {
                hang_up_when_done: attach.hang_up_when_done,
            },
        }
        .run(requests);
        crate::supervisor::spawn("call stream", "", task);
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    type MonitorCallStream = ResponseStream<MonitorCallResponse>;

    async fn monitor_call(
        &self,
        request: Request<MonitorCallRequest>,
    ) -> Result<Response<Self::MonitorCallStream>, Status> {
        let MonitorCallRequest { call_id, format } = request.into_inner();
        let rate = sample_rate(format.as_ref(), ["format.encoding", "format.sample_rate_hz"])?;
        let call = self.call(&call_id, "call_id").await?;
        if call.state == CallState::Disconnected {
            return Err(Refusal::CallState { state: call.state }.into());
        }
        let modem = self.modems.find(&call.modem)?;
        let monitored = modem
            .ask(|reply| modem::Request::Monitor { call_id, rate, reply })
            .await?;
        let stream = futures_util::stream::unfold(Some(monitored), |monitored| async {
            let (response, rest) = heard(monitored?).await;
            let response = response.map(|response| MonitorCallResponse {
                response: Some(response),
            });
            Some((response.map_err(Status::from), rest))
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn set_call_forwarding(
        &self,
        request: Request<SetCallForwardingRequest>,
    ) -> Result<Response<SetCallForwardingResponse>, Status> {
        let request = request.into_inner();
        let modem = self.modems.find(&request.modem)?;
        let forwarding = validate::forwarding(request.forwarding.unwrap_or_default())?;
        let confirmed = modem
            .ask(|reply| modem::Request::SetForwarding { forwarding, reply })
            .await?;
        Ok(Response::new(SetCallForwardingResponse {
            forwarding: Some(convert::call_forwarding(&confirmed)),
        }))
    }

    async fn get_call_forwarding(
        &self,
        request: Request<GetCallForwardingRequest>,
    ) -> Result<Response<GetCallForwardingResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        let forwardings = modem.ask(|reply| modem::Request::GetForwarding { reply }).await?;
        Ok(Response::new(GetCallForwardingResponse {
            forwardings: forwardings.iter().map(convert::call_forwarding).collect(),
        }))
    }
}

impl Context {
    async fn dial_now(&self, request: DialRequest, field: &'static str) -> Result<Call, Refusal> {
        let modem = self.modems.find(&request.modem)?;
        let callee = validate::callee(&request.number, field, self.emergency_calls)?;
        let request_id = validate::request_id(&request.request_id)?;
        // What it means and not how it was written: a repeated request may name the modem or leave the spaces out.
        let content_hash = super::content_hash(&DialRequest {
            modem: modem.name().to_owned(),
            number: callee.number.clone(),
            request_id: String::new(),
        });
        modem
            .ask(|reply| modem::Request::Dial {
                number: callee.number,
                request_id,
                content_hash,
                emergency: callee.emergency,
                reply,
            })
            .await
    }

    async fn call(&self, call_id: &str, field: &'static str) -> Result<Call, Refusal> {
        if call_id.is_empty() {
            return Err(Refusal::FieldInvalid {
                field,
                problem: "must be given".to_owned(),
            });
        }
        self.store.call(call_id).await?.ok_or_else(|| Refusal::CallNotFound {
            call_id: call_id.to_owned(),
        })
    }

    /// Asks the modem of a call; without a call id the only modem, which then takes its only call.
    async fn ask_about<T>(
        &self,
        call_id: String,
        request: impl FnOnce(Option<String>, Reply<T>) -> modem::Request,
    ) -> Result<T, Refusal> {
        if call_id.is_empty() {
            return self.modems.find("")?.ask(|reply| request(None, reply)).await;
        }
        let call = self.call(&call_id, "call_id").await?;
        if call.state == CallState::Disconnected {
            return Err(Refusal::CallState { state: call.state });
        }
        self.modems
            .find(&call.modem)?
            .ask(|reply| request(Some(call_id), reply))
            .await
    }
}

/// What a client wants; its fields are named as the client wrote them.
fn sample_rate(format: Option<&AudioFormat>, [encoding, rate]: [&'static str; 2]) -> Result<SampleRate, Refusal> {
    let Some(format) = format else {
        return Ok(SampleRate::default());
    };
    match validate::known(encoding, format.encoding)? {
        AudioEncoding::Unspecified | AudioEncoding::PcmS16le => {}
    }
    match format.sample_rate_hz {
        0 | 8000 => Ok(SampleRate::Hz8000),
        16_000 => Ok(SampleRate::Hz16000),
        other => Err(Refusal::FieldInvalid {
            field: rate,
            problem: format!("{other} is neither 8000 nor 16000"),
        }),
    }
}

fn attach_options(attach: &StreamCallAttach) -> Result<AttachOptions, Refusal> {
    let rate = sample_rate(
        attach.format.as_ref(),
        ["attach.format.encoding", "attach.format.sample_rate_hz"],
    )?;
    if attach.prebuffer_ms > PREBUFFER_MAX_MS {
        return Err(Refusal::FieldInvalid {
            field: "attach.prebuffer_ms",
            problem: format!("must be at most {PREBUFFER_MAX_MS}"),
        });
    }
    let uplink = validate::known("attach.uplink", attach.uplink)?;
    let (supply, prebuffer_ms) = match (uplink, attach.prebuffer_ms) {
        (UplinkAudio::Unspecified, prebuffer_ms) => (Supply::Unknown, prebuffer_ms),
        (UplinkAudio::Finished, prebuffer_ms) => (Supply::Finished, prebuffer_ms),
        (UplinkAudio::Live, 0) => (Supply::Live, LIVE_PREBUFFER_MS),
        (UplinkAudio::Live, prebuffer_ms) => (Supply::Live, prebuffer_ms),
    };
    Ok(AttachOptions {
        takeover: attach.takeover,
        rate,
        buffering: Buffering {
            supply,
            prebuffer: Duration::from_millis(prebuffer_ms.into()),
        },
    })
}

/// One owner's stream. Ends with the call, with the client's stream, or when another client takes over.
struct CallStream {
    modem: ModemHandle,
    attachment: Attachment,
    responses: Responses,
    tones: Tones,
    reattach_grace: Option<Duration>,
    uplink: Uplink,
}

/// How far the client is with its direction of the stream.
#[derive(Clone, Copy, PartialEq)]
enum Uplink {
    /// It sends.
    Open { hang_up_when_done: bool },
    /// It closed its direction, and the call goes on.
    Closed,
    /// It closed its direction; the call ends when this mark was reached and all tones were sent.
    Ending { played: bool },
}

/// The mark behind the last audio before a hang-up. No client's mark begins with this character.
const LAST_MARK: &str = "\0last";

/// Octets of a mark's name.
const MARK_NAME_MAX: usize = 256;

/// The next message for a listener, and what is left of its stream. The end of the call is the last message.
async fn heard(mut monitored: Monitored) -> (Result<ToListener, Refusal>, Option<Monitored>) {
    loop {
        tokio::select! {
            biased;
            update = monitored.updates.recv() => match update {
                Some(CallUpdate::Call(call)) if call.state == CallState::Disconnected => {
                    return (Ok(ToListener::Call(convert::call(&call))), None);
                }
                Some(_) => {}
                None => return (Err(audio_gone()), None),
            },
            heard = monitored.listener.next() => {
                let Some(heard) = heard else {
                    return match end_of_call(&mut monitored.updates).await {
                        Some(call) => (Ok(ToListener::Call(convert::call(&call))), None),
                        None => (Err(audio_gone()), None),
                    };
                };
                let frame = AudioFrame { first_sample: heard.first_sample, pcm: heard.pcm };
                let response = if heard.uplink { ToListener::Uplink(frame) } else { ToListener::Downlink(frame) };
                return (Ok(response), Some(monitored));
            }
        }
    }
}

fn audio_gone() -> Refusal {
    Refusal::AudioNotAvailable {
        cause: "the audio port went away".to_owned(),
    }
}

/// The call when it is over, which is told soon after its audio ended. None: it goes on without.
async fn end_of_call(updates: &mut mpsc::Receiver<CallUpdate>) -> Option<Call> {
    let wait = async {
        while let Some(update) = updates.recv().await {
            if let CallUpdate::Call(call) = update
                && call.state == CallState::Disconnected
            {
                return Some(*call);
            }
        }
        None
    };
    tokio::time::timeout(END_GRACE, wait).await.ok().flatten()
}

/// The way to the client.
struct Responses(mpsc::Sender<Result<StreamCallResponse, Status>>);

impl Responses {
    /// Waits for a slow client; meanwhile the owner's queue drops its oldest frames.
    async fn send(&self, response: ToClient) -> Next {
        match self
            .0
            .send(Ok(StreamCallResponse {
                response: Some(response),
            }))
            .await
        {
            Ok(()) => Next::Go,
            Err(_) => Next::End,
        }
    }

    async fn fail(&self, refusal: Refusal) -> Next {
        let _ = self.0.send(Err(refusal.into())).await;
        Next::End
    }

    async fn fail_field(&self, field: &'static str, problem: impl Into<String>) -> Next {
        let problem = problem.into();
        self.fail(Refusal::FieldInvalid { field, problem }).await
    }
}

/// A request to the modem on its way.
type Sending = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// Tones on their way to the modem. They take their time, and audio must flow meanwhile.
struct Tones {
    modem: ModemHandle,
    call_id: String,
    waiting: String,
    sending: Option<Sending>,
}

impl Tones {
    fn is_idle(&self) -> bool {
        self.sending.is_none() && self.waiting.is_empty()
    }

    /// Sends what waits and returns when a request was answered. Cancel safe. Never returns while there is nothing to send.
    async fn sent(&mut self) -> Result<(), Refusal> {
        if self.sending.is_none() && !self.waiting.is_empty() {
            let (modem, call_id) = (self.modem.clone(), Some(self.call_id.clone()));
            let tones = std::mem::take(&mut self.waiting);
            let ask = async move {
                modem
                    .ask(|reply| modem::Request::SendDtmf { call_id, tones, reply })
                    .await
            };
            self.sending = Some(Box::pin(ask));
        }
        match &mut self.sending {
            Some(sending) => {
                let answer = sending.await;
                self.sending = None;
                answer
            }
            None => std::future::pending().await,
        }
    }
}

enum Next {
    Go,
    End,
}

impl CallStream {
    async fn run(mut self, mut requests: Streaming<StreamCallRequest>) {
        let rate = self.attachment.owner.rate();
        let attached = StreamCallAttached {
            call: Some(convert::call(&self.attachment.call)),
            format: Some(AudioFormat {
                encoding: AudioEncoding::PcmS16le.into(),
                sample_rate_hz: rate.hz(),
            }),
            frame_bytes: rate.frame_bytes() as u32,
            uplink_queue_max_ms: self.attachment.owner.uplink_queue_max_ms(),
            reattach_grace: self
                .reattach_grace
                .and_then(|grace| prost_types::Duration::try_from(grace).ok()),
        };
        let mut next = self.responses.send(ToClient::Attached(attached)).await;
        while matches!(next, Next::Go) {
            next = tokio::select! {
                biased;
                update = self.attachment.updates.recv() => self.update(update).await,
                request = requests.next(), if matches!(self.uplink, Uplink::Open { .. }) => self.request(request).await,
                sent = self.tones.sent() => match sent {
                    Ok(()) => self.hang_up_if_done().await,
                    Err(refusal) => self.responses.fail(refusal).await,
                },
                item = self.attachment.owner.next() => self.downlink(item).await,
                () = self.responses.0.closed() => Next::End,
            };
        }
    }

    async fn update(&mut self, update: Option<CallUpdate>) -> Next {
        match update {
            Some(CallUpdate::Call(call)) => {
                let over = call.state == CallState::Disconnected;
                let sent = self.responses.send(ToClient::Call(convert::call(&call))).await;
                if over { Next::End } else { sent }
            }
            Some(CallUpdate::Dtmf(tone)) => {
                self.responses
                    .send(ToClient::Dtmf(DtmfReceived {
                        call_id: self.attachment.call.id.clone(),
                        tone: tone.to_string(),
                    }))
                    .await
            }
            None => Next::End,
        }
    }

    async fn downlink(&mut self, item: Option<Downlink>) -> Next {
        match item {
            Some(Downlink::Frame { first_sample, pcm }) => {
                self.responses
                    .send(ToClient::Audio(AudioFrame { first_sample, pcm }))
                    .await
            }
            Some(Downlink::Mark { name, .. }) if name == LAST_MARK => {
                self.uplink = Uplink::Ending { played: true };
                self.hang_up_if_done().await
            }
            Some(Downlink::Mark {
                name,
                cleared,
                uplink_samples,
            }) => {
                self.responses
                    .send(ToClient::Mark(AudioMark {
                        name,
                        cleared,
                        uplink_samples,
                    }))
                    .await
            }
            Some(Downlink::Flow { stop, queued_ms }) => {
                self.responses.send(ToClient::Flow(AudioFlow { stop, queued_ms })).await
            }
            Some(Downlink::Statistics(statistics)) => {
                self.responses
                    .send(ToClient::Statistics(convert::audio_statistics(&statistics)))
                    .await
            }
            Some(Downlink::Superseded) => self.responses.fail(Refusal::Superseded).await,
            Some(Downlink::Ended(_)) | None => self.end().await,
        }
    }

    /// The audio path is closed. The end of the call follows, with its cause; a call that goes on has lost its audio port.
    async fn end(&mut self) -> Next {
        match end_of_call(&mut self.attachment.updates).await {
            Some(call) => {
                let _ = self.responses.send(ToClient::Call(convert::call(&call))).await;
                Next::End
            }
            None => self.responses.fail(audio_gone()).await,
        }
    }

    /// The client closed its direction: no more uplink, and nothing else.
    async fn half_closed(&mut self) -> Next {
        let Uplink::Open { hang_up_when_done } = self.uplink else {
            return Next::Go;
        };
        if !hang_up_when_done {
            self.uplink = Uplink::Closed;
            return Next::Go;
        }
        let played = false;
        self.uplink = Uplink::Ending { played };
        if self.attachment.owner.mark(LAST_MARK.to_owned()) {
            return Next::Go;
        }
        self.responses
            .fail_field("mark", "too many marks are outstanding")
            .await
    }

    async fn hang_up_if_done(&mut self) -> Next {
        if self.uplink == (Uplink::Ending { played: true }) && self.tones.is_idle() {
            self.hang_up().await
        } else {
            Next::Go
        }
    }

    async fn hang_up(&mut self) -> Next {
        let call_id = Some(self.attachment.call.id.clone());
        let hang_up = |reply| modem::Request::HangUp {
            call_id,
            reject: false,
            reply,
        };
        match self.modem.ask(hang_up).await {
            // The update with the end of the call ends the stream.
            Ok(_)
            | Err(Refusal::CallState {
                state: CallState::Disconnected,
            }) => Next::Go,
            Err(refusal) => self.responses.fail(refusal).await,
        }
    }

    async fn request(&mut self, request: Option<Result<StreamCallRequest, Status>>) -> Next {
        let request = match request {
            Some(Ok(StreamCallRequest { request })) => request,
            // The connection is lost, or the client cancelled.
            Some(Err(_)) => return Next::End,
            None => return self.half_closed().await,
        };
        match request {
            Some(FromClient::Audio(UplinkAudioFrame { pcm })) if pcm.len() > AUDIO_MESSAGE_MAX => {
                let problem = format!("{} octets in one message, at most {AUDIO_MESSAGE_MAX}", pcm.len());
                self.responses.fail_field("audio.pcm", problem).await
            }
            // Whatever came after half a sample would be noise.
            Some(FromClient::Audio(UplinkAudioFrame { pcm })) if pcm.len() % 2 == 1 => {
                let problem = format!("{} octets are no whole number of 16-bit samples", pcm.len());
                self.responses.fail_field("audio.pcm", problem).await
            }
            Some(FromClient::Audio(UplinkAudioFrame { pcm })) => {
                self.attachment.owner.push_audio(&pcm);
                Next::Go
            }
            Some(FromClient::Mark(StreamCallMark { name })) if name.len() > MARK_NAME_MAX || name.starts_with('\0') => {
                let problem = format!("must be at most {MARK_NAME_MAX} octets and not begin with NUL");
                self.responses.fail_field("mark.name", problem).await
            }
            Some(FromClient::Mark(StreamCallMark { name })) => {
                if self.attachment.owner.mark(name) {
                    Next::Go
                } else {
                    self.responses
                        .fail_field("mark", "too many marks are outstanding")
                        .await
                }
            }
            Some(FromClient::Clear(_)) => {
                self.attachment.owner.clear();
                Next::Go
            }
            Some(FromClient::Dtmf(StreamCallDtmf { tones })) => self.dtmf(&tones).await,
            Some(FromClient::HangUp(_)) => self.hang_up().await,
            Some(FromClient::Attach(_)) | None => {
                self.responses
                    .fail_field(
                        "request",
                        "only the first message may be `attach`, and none may be empty",
                    )
                    .await
            }
        }
    }

    async fn dtmf(&mut self, tones: &str) -> Next {
        match validate::tones(tones, "dtmf.tones") {
            Ok(tones) if self.tones.waiting.len() + tones.len() <= TONES_WAITING_MAX => {
                self.tones.waiting.push_str(&tones);
                Next::Go
            }
            Ok(_) => {
                let problem = format!("more than {TONES_WAITING_MAX} tones wait to be sent");
                self.responses.fail_field("dtmf.tones", problem).await
            }
            Err(refusal) => self.responses.fail(refusal).await,
        }
    }
}
