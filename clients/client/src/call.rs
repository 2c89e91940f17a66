//! The audio of a call: an attached stream, and a playout that keeps the broker's queue short.

use std::collections::VecDeque;
use std::time::Duration;

use api::v1::stream_call_request::Request;
use api::v1::stream_call_response::Response;
use api::v1::{StreamCallAttach, StreamCallAttached, StreamCallClear, StreamCallRequest, StreamCallResponse};
use api::v1::{StreamCallDtmf, StreamCallMark, UplinkAudioFrame};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::audio::{FRAME_SAMPLES, to_octets};
use crate::connection::Broker;

/// Requests that wait for the transport. One goes out for each 20 ms frame that comes in, so that a full queue means a
/// connection that has not moved for seconds.
const REQUEST_QUEUE: usize = 256;
/// Answering and opening the audio path take seconds on a modem.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(30);

/// Uplink audio: 16-bit samples, little endian.
pub fn audio(pcm: Vec<u8>) -> Request {
    Request::Audio(UplinkAudioFrame { pcm: pcm.into() })
}

/// A mark behind what was sent so far.
pub fn mark(name: impl Into<String>) -> Request {
    Request::Mark(StreamCallMark { name: name.into() })
}

/// Tones to send.
pub fn dtmf(tones: impl Into<String>) -> Request {
    Request::Dtmf(StreamCallDtmf { tones: tones.into() })
}

/// One client's hold of a call's audio. Dropping it lets go; the broker then falls back as it is configured.
pub struct CallStream {
    requests: Option<mpsc::Sender<StreamCallRequest>>,
    responses: Streaming<StreamCallResponse>,
    attached: StreamCallAttached,
}

impl CallStream {
    /// Attaches, and answers first if `attach` says so.
    pub async fn attach(broker: &Broker, attach: StreamCallAttach) -> Result<Self, Status> {
        timeout(ATTACH_TIMEOUT, Self::open(broker, attach))
            .await
            .unwrap_or_else(|_| {
                Err(Status::deadline_exceeded(
                    "the call's audio was not attached within 30 s",
                ))
            })
    }

    async fn open(broker: &Broker, attach: StreamCallAttach) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(REQUEST_QUEUE);
        let first = StreamCallRequest {
            request: Some(Request::Attach(attach)),
        };
        requests.try_send(first).expect("a new queue has room");
        let mut responses = broker
            .voice()
            .stream_call(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        loop {
            match responses.message().await?.and_then(|message| message.response) {
                Some(Response::Attached(attached)) => {
                    return Ok(Self {
                        requests: Some(requests),
                        responses,
                        attached,
                    });
                }
                Some(_) => {}
                None => return Err(Status::aborted("the call ended before its audio was attached")),
            }
        }
    }

    /// What the broker said when it attached the stream.
    pub fn attached(&self) -> &StreamCallAttached {
        &self.attached
    }

    /// The next message; none after the call's end. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Response>, Status> {
        loop {
            match self.responses.message().await? {
                None => return Ok(None),
                Some(StreamCallResponse {
                    response: Some(response),
                }) => return Ok(Some(response)),
                // A kind of message that this build does not know.
                Some(StreamCallResponse { response: None }) => {}
            }
        }
    }

    /// Sends without waiting. An error means that the connection has not moved for seconds or is gone.
    pub fn send(&self, request: Request) -> Result<(), Status> {
        let Some(requests) = &self.requests else {
            return Err(Status::failed_precondition("the call's stream was finished"));
        };
        requests
            .try_send(StreamCallRequest { request: Some(request) })
            .map_err(|_| Status::unavailable("the call's stream does not take anything any more"))
    }

    /// Ends this side of the stream: no more uplink. What is queued is played, and responses go on until the call's end.
    pub fn finish(&mut self) {
        self.requests = None;
    }
}

enum Item {
    Audio { samples: Vec<i16>, position: usize },
    Mark(String),
}

/// Audio on its way into a call. It hands a bounded lead to the broker and then exactly as much as was played, with the
/// downlink as the clock: what waits here can still be taken back, and no queue ever overflows.
pub struct Playout {
    items: VecDeque<Item>,
    lead_samples: usize,
    ahead_samples: usize,
    stopped: bool,
}

impl Playout {
    /// A lead that survives the jitter of a busy machine or a mobile link.
    const LEAD_SAMPLES: usize = 400 * 8;

    /// A playout for a stream that was attached.
    pub fn new(attached: &StreamCallAttached) -> Self {
        let queue_samples = attached.uplink_queue_max_ms as usize * 8;
        let lead_samples = match queue_samples {
            0 => Self::LEAD_SAMPLES,
            // Half of the broker's queue leaves room for its own framing.
            _ => Self::LEAD_SAMPLES.min(queue_samples / 2).max(FRAME_SAMPLES),
        };
        Self {
            items: VecDeque::new(),
            lead_samples,
            ahead_samples: 0,
            stopped: false,
        }
    }

    /// Appends audio.
    pub fn push_audio(&mut self, samples: impl Into<Vec<i16>>) {
        self.items.push_back(Item::Audio {
            samples: samples.into(),
            position: 0,
        });
    }

    /// Appends a mark, which comes back when everything before it was played.
    pub fn push_mark(&mut self, name: impl Into<String>) {
        self.items.push_back(Item::Mark(name.into()));
    }

    /// Takes back what was not played yet. The broker returns the marks that it has; those that never left are returned
    /// here.
    pub fn clear(&mut self) -> (Request, Vec<String>) {
        self.ahead_samples = 0;
        let marks = self
            .items
            .drain(..)
            .filter_map(|item| match item {
                Item::Mark(name) => Some(name),
                Item::Audio { .. } => None,
            })
            .collect();
        (Request::Clear(StreamCallClear {}), marks)
    }

    /// Whether everything was handed over.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The broker's queue is full, or has room again (`AudioFlow`).
    pub fn set_stopped(&mut self, stopped: bool) {
        self.stopped = stopped;
    }

    /// A downlink frame came: as many samples were played.
    pub fn advance(&mut self, samples: usize) {
        self.ahead_samples = self.ahead_samples.saturating_sub(samples);
    }

    /// The next message to send now, if any.
    pub fn next_request(&mut self) -> Option<Request> {
        if self.stopped {
            return None;
        }
        loop {
            match self.items.front_mut()? {
                Item::Mark(_) => match self.items.pop_front() {
                    Some(Item::Mark(name)) => return Some(mark(name)),
                    _ => return None,
                },
                Item::Audio { samples, position } => {
                    let rest = &samples[*position..];
                    if rest.is_empty() {
                        self.items.pop_front();
                        continue;
                    }
                    let room = self.lead_samples.saturating_sub(self.ahead_samples);
                    let count = rest.len().min(FRAME_SAMPLES);
                    if room < count {
                        return None;
                    }
                    let octets = to_octets(&rest[..count]);
                    *position += count;
                    self.ahead_samples += count;
                    return Some(audio(octets));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(playout: &mut Playout) -> (usize, Vec<String>) {
        let (mut samples, mut marks) = (0, Vec::new());
        while let Some(request) = playout.next_request() {
            match request {
                Request::Audio(frame) => samples += frame.pcm.len() / 2,
                Request::Mark(mark) => marks.push(mark.name),
                other => panic!("unexpected {other:?}"),
            }
        }
        (samples, marks)
    }

    #[test]
    fn the_lead_is_bounded_and_the_downlink_is_the_clock() {
        let mut playout = Playout::new(&StreamCallAttached {
            uplink_queue_max_ms: 200,
            ..Default::default()
        });
        playout.push_audio(vec![1; 2000]);
        playout.push_mark("end");
        assert_eq!(drain(&mut playout), (800, vec![]), "half of the broker's queue");
        playout.advance(160);
        assert_eq!(drain(&mut playout), (160, vec![]));
        for _ in 0..5 {
            playout.advance(160);
        }
        playout.set_stopped(true);
        assert_eq!(drain(&mut playout), (0, vec![]), "the broker said stop");
        playout.set_stopped(false);
        assert_eq!(drain(&mut playout), (800, vec![]));
        playout.advance(160);
        playout.advance(160);
        assert_eq!(drain(&mut playout), (240, vec!["end".to_owned()]));
        assert!(playout.is_empty());
    }

    #[test]
    fn marks_that_never_left_come_back_from_clear() {
        let mut playout = Playout::new(&StreamCallAttached::default());
        playout.push_mark("sent");
        playout.push_audio(vec![1; 80_000]);
        playout.push_mark("kept");
        assert_eq!(drain(&mut playout).1, ["sent"]);
        let (request, marks) = playout.clear();
        assert!(matches!(request, Request::Clear(_)));
        assert_eq!(marks, ["kept"]);
        playout.push_audio(vec![1; 160]);
        assert_eq!(drain(&mut playout).0, 160, "a cleared queue has room at once");
    }
}
