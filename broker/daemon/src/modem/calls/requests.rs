//! What clients ask of calls.

use std::time::Duration;

use cellular::at::{Command, ResultCode, command};
use cellular::call::{CallKey, Input};
use cellular::pcm::SampleRate;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Audio, Done, Live};
use crate::audio::AttachOptions;
use crate::modem::serving::Serving;
use crate::modem::{self, Attachment, ContentHash, Monitored, Reply};
use crate::port::at::{AtError, AtHandle, Lane, Ticket};
use crate::refusal::Refusal;
use crate::resource::{Call, CallDirection, CallEndCause, CallState, Change};
use crate::store::{Queued, Store};

/// Updates that may wait for an owner. It is told the state of the call, so the newest is all that matters.
const UPDATE_DEPTH: usize = 64;

impl Serving<'_> {
    pub(in crate::modem) fn dial(
        &mut self,
        number: String,
        request_id: String,
        content_hash: ContentHash,
        emergency: bool,
        mut reply: Reply<Call>,
    ) {
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
            match dial(&at, lane, &store, call, content_hash, reply.closed()).await {
                Some(outcome) => modem::Done::Call(Done::Dialled {
                    call_id,
                    outcome: Box::new(outcome),
                    reply,
                }),
                None => modem::Done::Call(Done::NotDialled(call_id)),
            }
        });
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

    /// Whoever asked left before the port was free: a call that nobody is on is not begun.
    pub(super) async fn dial_given_up(&mut self, call_id: &str) {
        if let Some(mut call) = self.calls.dialing.take_if(|call| call.id == call_id) {
            call.state = CallState::Disconnected;
            call.end_time = Some(Timestamp::now());
            call.end_cause = Some(CallEndCause::Abandoned);
            call.end_detail = "whoever asked for it left before it was dialled".to_owned();
            self.modem.recorder.record(Change::Call(call)).await;
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
        let Some(ticket) = self.calls.by_key(key).map(Live::ticket) else {
            return;
        };
        self.start(async move {
            let outcome = at.execute_with(Lane::Urgent, command, ticket).await;
            let outcome = outcome.map(|response| response.result);
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
        let ticket = live.ticket();
        let at = self.link.at_calls.clone();
        // ATH is answered with OK and does nothing on this module; CHUP ends calls in every state.
        let command = self.calls.release(key);
        self.start(async move {
            let outcome = at.execute_with(Lane::Urgent, command, ticket).await;
            let outcome = outcome.map(|response| response.result);
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

    pub(in crate::modem) fn send_dtmf(&mut self, call_id: Option<&str>, tones: &str, mut reply: Reply<()>) {
        let (state, mut alive) = match self.calls.find(call_id) {
            Ok(live) => (live.call.state, live.alive.subscribe()),
            Err(refusal) => return drop(reply.send(Err(refusal))),
        };
        if state != CallState::Active {
            return drop(reply.send(Err(Refusal::CallState { state })));
        }
        let at = self.link.at_calls.clone();
        let tones = tones.to_owned();
        self.start(async move {
            // Neither the next call nor nobody is to hear the rest of them.
            let sent = tokio::select! {
                biased;
                _ = alive.changed() => Err(Refusal::CallState { state: CallState::Disconnected }),
                () = reply.closed() => return modem::Done::Answered,
                sent = send_tones(&at, &tones) => sent,
            };
            let _ = reply.send(sent);
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
            tracing::info!(call_id = live.call.id, "hanging up: no client is on the call any more");
            self.end_call(key, CallEndCause::Abandoned);
        }
    }

    pub(in crate::modem) fn monitor(&mut self, call_id: &str, rate: SampleRate, reply: Reply<Monitored>) {
        let answer = self.calls.find(Some(call_id)).and_then(|live| match &live.audio {
            Audio::On(open) => {
                let listener = open.path.listen(rate)?;
                let (sender, updates) = mpsc::channel(UPDATE_DEPTH);
                live.updates.push(sender);
                Ok(Monitored { listener, updates })
            }
            Audio::Failed(cause) => Err(Refusal::AudioNotAvailable { cause: cause.clone() }),
            Audio::Off | Audio::Opening => Err(Refusal::CallState { state: live.call.state }),
        });
        let _ = reply.send(answer);
    }
}

/// `None` when whoever asked left while the command still waited for the port, which never gets it then.
async fn dial(
    at: &AtHandle,
    lane: Lane,
    store: &Store,
    call: Call,
    content_hash: ContentHash,
    nobody_waits: impl Future<Output = ()>,
) -> Option<Result<Queued<Call>, Refusal>> {
    let (call, command) = match intend_to_dial(store, call, &content_hash).await {
        Ok((Queued::New(call), command)) => (call, command),
        Ok((existing, _)) => return Some(Ok(existing)),
        Err(refusal) => return Some(Err(refusal)),
    };
    let ticket = Ticket::default();
    let mut dialling = std::pin::pin!(at.execute_with(lane, command, ticket.clone()));
    let outcome = tokio::select! {
        biased;
        outcome = &mut dialling => outcome,
        () = nobody_waits => {
            if ticket.withdraw() {
                return None;
            }
            dialling.await
        }
    };
    Some(match outcome {
        Ok(response) if response.result.is_ok() => Ok(Queued::New(call)),
        Ok(response) => Err(Refusal::refused("ATD", &response.result)),
        Err(AtError::Closed | AtError::Withdrawn) => Err(Refusal::ModemDisconnected {
            detail: "the AT port closed before the call was dialled".to_owned(),
        }),
        Err(AtError::Failed { .. }) => Err(Refusal::OutcomeUnknown {
            what: "the dial command".to_owned(),
        }),
    })
}

/// Makes the intent durable before anything reaches the network.
async fn intend_to_dial(
    store: &Store,
    call: Call,
    content_hash: &ContentHash,
) -> Result<(Queued<Call>, Command), Refusal> {
    let command = command::dial(&call.number).map_err(|error| Refusal::PhoneNumberInvalid {
        field: "number",
        problem: error.to_string(),
    })?;
    Ok((store.remember_dial(call, content_hash).await?, command))
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
