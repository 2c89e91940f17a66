//! `VoiceService`.

use std::pin::Pin;
use std::time::Duration;

use api::v1::stream_call_request::Request as FromClient;
use api::v1::stream_call_response::Response as ToClient;
use api::v1::voice_service_server::VoiceService;
use api::v1::{
    AnswerRequest, AnswerResponse, AudioEncoding, AudioFlow, AudioFormat, AudioFrame, AudioMark, DialRequest,
    DialResponse, GetCallForwardingRequest, GetCallForwardingResponse, GetCallRequest, GetCallResponse, HangUpRequest,
    HangUpResponse, HoldRequest, HoldResponse, ListCallsRequest, ListCallsResponse, MonitorCallRequest,
    MonitorCallResponse, RejectRequest, RejectResponse, ResumeRequest, ResumeResponse, SendDtmfRequest,
    SendDtmfResponse, SetCallForwardingRequest, SetCallForwardingResponse, SetRecordingRequest, SetRecordingResponse,
    StreamCallAttach, StreamCallAttached, StreamCallRequest, StreamCallResponse, UplinkAudio,
};
use cellular::pcm::{Buffering, SampleRate, Supply};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::auth::scopes_of;
use super::{Context, ResponseStream, convert, status, validate};
use crate::audio::{AttachOptions, Downlink, PREBUFFER_MAX_MS};
use crate::modem::{self, Attachment, CallUpdate, ModemHandle, Reply};
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
        let request = request.into_inner();
        let modem = self.modems.find(&request.modem)?;
        let callee = validate::callee(&request.number, self.emergency_calls)?;
        let request_id = validate::request_id(&request.request_id)?;
        let content_hash = super::content_hash(&DialRequest {
            request_id: String::new(),
            ..request
        });
        let call = modem
            .ask(|reply| modem::Request::Dial {
                number: callee.number,
                request_id,
                content_hash,
                emergency: callee.emergency,
                reply,
            })
            .await?;
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
        let call = self.ask_about(request.into_inner().call_id, hang_up).await?;
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
        let tones = validate::tones(&request.tones)?;
        self.ask_about(request.call_id, |call_id, reply| modem::Request::SendDtmf {
            call_id,
            tones: tones.clone(),
            reply,
        })
        .await?;
        Ok(Response::new(SendDtmfResponse {}))
    }

    async fn get_call(&self, request: Request<GetCallRequest>) -> Result<Response<GetCallResponse>, Status> {
        let call = self.call(&request.get_ref().call_id).await?;
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
        if attach.answer && !scopes.contains(Scope::CallControl) {
            return Err(status::scope_missing(Scope::CallControl));
        }
        let options = attach_options(&attach)?;
        let call = self.call(&attach.call_id).await?;
        let modem = self.modems.find(&call.modem)?.clone();
        let (call_id, answer) = (attach.call_id, attach.answer);
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
        let call = self.call(&call_id).await?;
        let modem = self.modems.find(&call.modem)?;
        let listener = modem
            .ask(|reply| modem::Request::Monitor { call_id, rate, reply })
            .await?;
        let stream = futures_util::stream::unfold(listener, |mut listener| async {
            let heard = listener.next().await?;
            let frame = Some(AudioFrame {
                first_sample: heard.first_sample,
                pcm: heard.pcm,
            });
            let response = if heard.uplink {
                MonitorCallResponse {
                    downlink: None,
                    uplink: frame,
                }
            } else {
                MonitorCallResponse {
                    downlink: frame,
                    uplink: None,
                }
            };
            Some((Ok(response), listener))
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
    async fn call(&self, call_id: &str) -> Result<Call, Refusal> {
        if call_id.is_empty() {
            return Err(Refusal::FieldInvalid {
                field: "call_id",
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
        let call = self.call(&call_id).await?;
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
    if !matches!(format.encoding(), AudioEncoding::Unspecified | AudioEncoding::PcmS16le) {
        return Err(Refusal::FieldInvalid {
            field: encoding,
            problem: "only PCM_S16LE is known".to_owned(),
        });
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
    let Ok(uplink) = UplinkAudio::try_from(attach.uplink) else {
        return Err(Refusal::FieldInvalid {
            field: "attach.uplink",
            problem: format!("{} is not known to this broker", attach.uplink),
        });
    };
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
        };
        let mut next = self.responses.send(ToClient::Attached(attached)).await;
        while matches!(next, Next::Go) {
            next = tokio::select! {
                biased;
                update = self.attachment.updates.recv() => self.update(update).await,
                request = requests.next() => self.request(request).await,
                sent = self.tones.sent() => match sent {
                    Ok(()) => Next::Go,
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
            Some(CallUpdate::Dtmf(tone)) => self.responses.send(ToClient::Dtmf(tone.to_string())).await,
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
        let wait = async {
            while let Some(update) = self.attachment.updates.recv().await {
                if let CallUpdate::Call(call) = update
                    && call.state == CallState::Disconnected
                {
                    return Some(*call);
                }
            }
            None
        };
        match tokio::time::timeout(END_GRACE, wait).await {
            Ok(Some(call)) => {
                let _ = self.responses.send(ToClient::Call(convert::call(&call))).await;
                Next::End
            }
            Ok(None) | Err(_) => {
                self.responses
                    .fail(Refusal::AudioNotAvailable {
                        cause: "the audio port went away".to_owned(),
                    })
                    .await
            }
        }
    }

    async fn request(&mut self, request: Option<Result<StreamCallRequest, Status>>) -> Next {
        let Some(Ok(StreamCallRequest { request })) = request else {
            return Next::End;
        };
        match request {
            Some(FromClient::Audio(pcm)) if pcm.len() > AUDIO_MESSAGE_MAX => {
                let problem = format!("{} octets in one message, at most {AUDIO_MESSAGE_MAX}", pcm.len());
                self.responses
                    .fail(Refusal::FieldInvalid {
                        field: "audio",
                        problem,
                    })
                    .await
            }
            Some(FromClient::Audio(pcm)) => {
                self.attachment.owner.push_audio(&pcm);
                Next::Go
            }
            Some(FromClient::Mark(name)) => {
                if self.attachment.owner.mark(name) {
                    Next::Go
                } else {
                    self.responses
                        .fail(Refusal::FieldInvalid {
                            field: "mark",
                            problem: "too many marks are outstanding".to_owned(),
                        })
                        .await
                }
            }
            Some(FromClient::Clear(_)) => {
                self.attachment.owner.clear();
                Next::Go
            }
            Some(FromClient::Dtmf(tones)) => self.dtmf(&tones).await,
            Some(FromClient::HangUp(_)) => {
                let call_id = Some(self.attachment.call.id.clone());
                match self
                    .modem
                    .ask(|reply| modem::Request::HangUp {
                        call_id,
                        reject: false,
                        reply,
                    })
                    .await
                {
                    // The update with the end of the call ends the stream.
                    Ok(_) => Next::Go,
                    Err(refusal) => self.responses.fail(refusal).await,
                }
            }
            Some(FromClient::Attach(_)) | None => {
                let problem = "only the first message may be `attach`, and none may be empty".to_owned();
                self.responses
                    .fail(Refusal::FieldInvalid {
                        field: "request",
                        problem,
                    })
                    .await
            }
        }
    }

    async fn dtmf(&mut self, tones: &str) -> Next {
        match validate::tones(tones) {
            Ok(tones) if self.tones.waiting.len() + tones.len() <= TONES_WAITING_MAX => {
                self.tones.waiting.push_str(&tones);
                Next::Go
            }
            Ok(_) => {
                let problem = format!("more than {TONES_WAITING_MAX} tones wait to be sent");
                self.responses
                    .fail(Refusal::FieldInvalid { field: "dtmf", problem })
                    .await
            }
            Err(refusal) => self.responses.fail(refusal).await,
        }
    }
}
