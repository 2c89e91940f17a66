//! What clients ask of calls.

use std::time::Duration;

use cellular::at::{ResultCode, command};
use cellular::call::{CallKey, Input};
use cellular::pcm::SampleRate;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Attachment, Audio, Done};
use crate::audio::{AttachOptions, Listener};
use crate::modem::serving::Serving;
use crate::modem::{self, ContentHash, Reply};
use crate::port::at::{AtError, AtHandle, Lane};
use crate::refusal::Refusal;
use crate::resource::{Call, CallDirection, CallEndCause, CallState, Change, Stage};
use crate::store::{Queued, Store};

/// One call at a time has audio; a second one may only wait.
const CALL_LIMIT: usize = 1;

/// Updates that may wait for an owner. It is told the state of the call, so the newest is all that matters.
const UPDATE_DEPTH: usize = 64;

impl Serving<'_> {
    pub(in crate::modem) fn dial(
        &mut self,
        number: String,
        request_id: String,
        content_hash: ContentHash,
        emergency: bool,
        reply: Reply<Call>,
    ) {
        if let Err(refusal) = self.may_dial(emergency) {
            // A repeated request gets its first answer also when a new one would be refused.
            let store = self.modem.setup.store.clone();
            self.start(async move {
                let known = store.dialled(&request_id, &content_hash).await.map_err(Refusal::from);
                let _ = reply.send(known.and_then(|known| known.ok_or(refusal)));
                modem::Done::Answered
            });
            return;
        }
        let call = Call {
            number: number.clone(),
            request_id: Some(request_id),
            ..Call::begin(&self.modem.status.name, CallDirection::Outgoing, CallState::Dialing)
        };
        self.calls.dialing = Some(call.clone());
        let (at, store) = (self.link.at_calls.clone(), self.modem.setup.store.clone());
        self.start(async move {
            let call_id = call.id.clone();
            let lane = if emergency { Lane::Urgent } else { Lane::Normal };
            let outcome = Box::new(dial(&at, lane, &store, call, content_hash).await);
            modem::Done::Call(Done::Dialled {
                call_id,
                outcome,
                reply,
            })
        });
    }

    /// 22.101 10.1: emergency calls need no SIM and no network of one's own.
    pub(super) fn may_dial(&self, emergency: bool) -> Result<(), Refusal> {
        let status = &self.modem.status;
        let needed = if emergency { Stage::Sim } else { Stage::Registering };
        if status.stage < needed {
            return Err(Refusal::ModemStarting {
                stage: status.stage,
                detail: status.stage_detail.clone(),
            });
        }
        if !emergency {
            self.may_reach_network()?;
        }
        if !self.calls.live.is_empty() || self.calls.dialing.is_some() {
            return Err(Refusal::CallLimit { limit: CALL_LIMIT });
        }
        Ok(())
    }

    /// Whether something can be asked of the network.
    pub(super) fn may_reach_network(&self) -> Result<(), Refusal> {
        let status = &self.modem.status;
        if status.stage < Stage::Registering {
            return Err(Refusal::ModemStarting {
                stage: status.stage,
                detail: status.stage_detail.clone(),
            });
        }
        if !self.is_registered() {
            let registration = self
                .modem
                .network
                .circuit_switched
                .map_or("unknown".to_owned(), |state| format!("{state:?}"));
            return Err(Refusal::NotRegistered { registration });
        }
        Ok(())
    }

    pub(super) async fn dialled(&mut self, call_id: &str, outcome: Result<Queued<Call>, Refusal>, reply: Reply<Call>) {
        match outcome {
            Ok(Queued::New(call)) => {
                self.apply(Input::DialAccepted(call.number.clone())).await;
                let now = self
                    .calls
                    .live
                    .iter()
                    .find(|live| live.call.id == call.id)
                    .map(|live| live.call.clone());
                let _ = reply.send(Ok(now.unwrap_or(call)));
            }
            Ok(Queued::Existing(call)) => {
                self.calls.dialing = None;
                let _ = reply.send(Ok(call));
            }
            Err(refusal) => {
                self.dial_failed(call_id, &refusal).await;
                let _ = reply.send(Err(refusal));
            }
        }
    }

    pub(super) async fn dial_failed(&mut self, call_id: &str, refusal: &Refusal) {
        if matches!(refusal, Refusal::OutcomeUnknown { .. }) && self.calls.dialing.is_some() {
            // The list of current calls tells whether the module dials; the call stays until it has been asked twice.
            self.apply(Input::DialAccepted(String::new())).await;
            self.calls.plan_list(Duration::ZERO);
            return;
        }
        if let Some(mut call) = self.calls.dialing.take_if(|call| call.id == call_id) {
            call.state = CallState::Disconnected;
            call.end_time = Some(Timestamp::now());
            call.end_cause = Some(CallEndCause::NotConnected);
            call.end_detail = refusal.to_string();
            if !matches!(
                refusal,
                Refusal::RequestIdReused { .. } | Refusal::StoreFailed(_) | Refusal::StorageFull
            ) {
                self.modem.recorder.record(Change::Call(call)).await;
            }
        }
    }

    pub(in crate::modem) fn answer(&mut self, call_id: Option<&str>, reply: Reply<Call>) {
        let live = match self.calls.find(call_id) {
            Ok(live) => live,
            Err(refusal) => return drop(reply.send(Err(refusal))),
        };
        match live.call.state {
            CallState::Active => drop(reply.send(Ok(live.call.clone()))),
            CallState::Incoming | CallState::Waiting => {
                live.answering.push(reply);
                let key = live.key;
                self.start_answer(key);
            }
            state => drop(reply.send(Err(Refusal::CallState { state }))),
        }
    }

    pub(super) fn start_answer(&mut self, key: CallKey) {
        let at = self.link.at_calls.clone();
        let command = self.calls.accept(key);
        self.start(async move {
            let outcome = at.execute(Lane::Urgent, command).await.map(|response| response.result);
            modem::Done::Call(Done::Answered(key, outcome))
        });
    }

    pub(super) async fn answered(&mut self, key: CallKey, outcome: Result<ResultCode, AtError>) {
        match outcome {
            Ok(ResultCode::Ok | ResultCode::Connect(_)) => self.apply(Input::Begin).await,
            Ok(ResultCode::NoCarrier) => {}
            Ok(refused) => self.fail_answer(key, || Refusal::refused("ATA", &refused)),
            Err(error) => self.fail_answer(key, || Refusal::from(error.clone())),
        }
        self.calls.plan_list(Duration::ZERO);
    }

    pub(super) fn fail_answer(&mut self, key: CallKey, refusal: impl Fn() -> Refusal) {
        let Some(live) = self.calls.by_key(key) else { return };
        if live.call.state == CallState::Active {
            return;
        }
        for reply in live.answering.drain(..) {
            let _ = reply.send(Err(refusal()));
        }
        for (_, reply) in live.attaching.drain(..) {
            let _ = reply.send(Err(refusal()));
        }
    }

    pub(in crate::modem) fn hang_up(&mut self, call_id: Option<&str>, reject: bool, reply: Reply<Call>) {
        let live = match self.calls.find(call_id) {
            Ok(live) => live,
            Err(refusal) => return drop(reply.send(Err(refusal))),
        };
        let ringing = matches!(live.call.state, CallState::Incoming | CallState::Waiting);
        if reject && !ringing {
            return drop(reply.send(Err(Refusal::CallState { state: live.call.state })));
        }
        live.ending.push(reply);
        let key = live.key;
        self.end_call(
            key,
            if ringing {
                CallEndCause::Rejected
            } else {
                CallEndCause::Local
            },
        );
    }

    pub(super) fn end_call(&mut self, key: CallKey, cause: CallEndCause) {
        let Some(live) = self.calls.by_key(key) else { return };
        live.asked_end.get_or_insert(cause);
        live.asked_at = Instant::now();
        let at = self.link.at_calls.clone();
        // ATH is answered with OK and does nothing on this module; CHUP ends calls in every state.
        let command = self.calls.release(key);
        self.start(async move {
            let outcome = at.execute(Lane::Urgent, command).await.map(|response| response.result);
            modem::Done::Call(Done::HungUp(key, outcome))
        });
    }

    pub(super) fn hung_up(&mut self, key: CallKey, outcome: Result<ResultCode, AtError>) {
        let refusal = match outcome {
            Ok(ResultCode::Ok) => None,
            Ok(refused) => Some(Refusal::refused("AT+CHUP", &refused)),
            Err(error) => Some(error.into()),
        };
        if let (Some(refusal), Some(live)) = (refusal, self.calls.by_key(key)) {
            live.asked_end = None;
            let mut refusal = Some(refusal);
            for reply in live.ending.drain(..) {
                let told = refusal.take().unwrap_or(Refusal::ModemTimeout {
                    command: "AT+CHUP".to_owned(),
                });
                let _ = reply.send(Err(told));
            }
        }
        // OK is not the end: only the list shows that the call is gone.
        self.calls.plan_list(Duration::ZERO);
    }

    pub(in crate::modem) fn send_dtmf(&mut self, call_id: Option<&str>, tones: &str, reply: Reply<()>) {
        let state = match self.calls.find(call_id) {
            Ok(live) => live.call.state,
            Err(refusal) => return drop(reply.send(Err(refusal))),
        };
        if state != CallState::Active {
            return drop(reply.send(Err(Refusal::CallState { state })));
        }
        let at = self.link.at_calls.clone();
        let tones = tones.to_owned();
        self.start(async move {
            let _ = reply.send(send_tones(&at, &tones).await);
            modem::Done::Answered
        });
    }

    pub(in crate::modem) fn attach(
        &mut self,
        call_id: &str,
        answer: bool,
        options: AttachOptions,
        reply: Reply<Attachment>,
    ) {
        let live = match self.calls.find(Some(call_id)) {
            Ok(live) => live,
            Err(refusal) => return drop(reply.send(Err(refusal))),
        };
        let (key, state) = (live.key, live.call.state);
        match (&live.audio, state) {
            (Audio::Failed(cause), _) => drop(reply.send(Err(Refusal::AudioNotAvailable { cause: cause.clone() }))),
            (Audio::On(_), _) => self.attach_now(key, options, reply),
            (_, CallState::Incoming | CallState::Waiting) if !answer => {
                drop(reply.send(Err(Refusal::CallState { state })))
            }
            // While another call has the audio port.
            (_, CallState::Held) => drop(reply.send(Err(Refusal::CallState { state }))),
            _ => {
                live.attaching.push((options, reply));
                let rings = matches!(state, CallState::Incoming | CallState::Waiting);
                if answer && rings && live.attaching.len() == 1 {
                    self.start_answer(key);
                }
            }
        }
    }

    pub(super) fn attach_now(&mut self, key: CallKey, options: AttachOptions, reply: Reply<Attachment>) {
        let Some(live) = self.calls.by_key(key) else { return };
        let Audio::On(open) = &live.audio else { return };
        let owner = match open.path.attach(options) {
            Ok(owner) => owner,
            Err(error) => return drop(reply.send(Err(error.into()))),
        };
        let (sender, updates) = mpsc::channel(UPDATE_DEPTH);
        live.updates.push(sender);
        let _ = reply.send(Ok(Attachment {
            call: live.call.clone(),
            owner,
            updates,
        }));
    }

    /// The owner's stream ended and nobody took over in time: a call must not stay up without anybody in it.
    pub(super) fn abandoned(&mut self, key: CallKey) {
        if let Some(live) = self.calls.by_key(key)
            && let Audio::On(open) = &live.audio
            && !*open.path.owner_present().borrow()
        {
            tracing::info!(call_id = live.call.id, "no client owns the call any more, hanging up");
            self.end_call(key, CallEndCause::Abandoned);
        }
    }

    pub(in crate::modem) fn monitor(&mut self, call_id: &str, rate: SampleRate, reply: Reply<Listener>) {
        let answer = self.calls.find(Some(call_id)).and_then(|live| match &live.audio {
            Audio::On(open) => open.path.listen(rate).map_err(Refusal::from),
            Audio::Failed(cause) => Err(Refusal::AudioNotAvailable { cause: cause.clone() }),
            Audio::Off | Audio::Opening => Err(Refusal::CallState { state: live.call.state }),
        });
        let _ = reply.send(answer);
    }
}

async fn dial(
    at: &AtHandle,
    lane: Lane,
    store: &Store,
    call: Call,
    content_hash: ContentHash,
) -> Result<Queued<Call>, Refusal> {
    let command = command::dial(&call.number).map_err(|error| Refusal::PhoneNumberInvalid {
        field: "number",
        problem: error.to_string(),
    })?;
    let queued = store.remember_dial(call, &content_hash).await?;
    let Queued::New(call) = queued else { return Ok(queued) };
    match at.execute(lane, command).await {
        Ok(response) if response.result.is_ok() => Ok(Queued::New(call)),
        Ok(response) => Err(Refusal::refused("ATD", &response.result)),
        Err(AtError::Closed) => Err(Refusal::ModemDisconnected {
            detail: "the AT port closed before the call was dialled".to_owned(),
        }),
        Err(AtError::Failed { .. }) => Err(Refusal::OutcomeUnknown {
            what: "the dial command".to_owned(),
        }),
    }
}

/// Long enough for a tone of the default length on any firmware.
const TONE_PAUSE: Duration = Duration::from_millis(100);

async fn send_tones(at: &AtHandle, tones: &str) -> Result<(), Refusal> {
    for tone in tones.chars() {
        let command = command::dtmf(tone).map_err(|error| Refusal::FieldInvalid {
            field: "tones",
            problem: error.to_string(),
        })?;
        let response = at.execute(Lane::Normal, command).await?;
        if !response.result.is_ok() {
            return Err(Refusal::refused("AT+VTS", &response.result));
        }
        tokio::time::sleep(TONE_PAUSE).await;
    }
    Ok(())
}
