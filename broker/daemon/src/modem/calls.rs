//! Calls: what the ports say and what clients ask, and the audio that belongs to each.
//!
//! The list of current calls (`AT+CLCC`) is the truth. It is read every 500 ms while there is a call, and a call that a
//! full list showed connected is over with the first list that lacks it. `AT+CHUP` ends every call, so with several of
//! them one is released by `AT+CHLD`, and a hold counts when the list shows it. A key is one event whether the module
//! reports it, the audio has it, or both (`pcm::dtmf::Keypad`).
//!
//! Ports that go away while a call is set up do not end it at once: it is carried over to the next ports, whose list
//! says whether it is still there. A module that refused a call's audio at first is reset through the ladder, within its
//! budget, when nothing has needed the modem for ten seconds.

mod audio;
mod carrying;
mod forwarding;
mod hold;
mod listening;
mod requests;

use std::time::Duration;

use cellular::at::reply;
use cellular::at::{ResultCode, Urc, command};
use cellular::call::{CallKey, CallTable, End, Input, Row, State};
use cellular::pcm::dtmf::{Keypad, Press};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::audio::{AudioTurn, OpenAudio};
pub(super) use self::carrying::Carried;
use self::hold::Holding;
use super::serving::Serving;
use super::{Attachment, CallUpdate, Reply};
use crate::audio::{AttachOptions, Recording};
use crate::modem::settings::{OnAbandoned, RecordedCalls};
use crate::port::at::{AtError, Lane, Ticket};
use crate::port::trace::Direction;
use crate::refusal::Refusal;
use crate::resource::{
    AudioProblem, AudioProblems, Call, CallAudio, CallDirection, CallEndCause, CallState, Change, PortRole,
};
use crate::store::Queued;

/// How often the list of current calls is read while there is a call. Reports may be lost and the list is the truth, so this
/// is how long the end of a call may go unnoticed.
const LIST_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is read after a hang-up, until the call is gone.
const LIST_INTERVAL_ENDING: Duration = Duration::from_millis(250);

/// How long a call may stay in the list after the module said OK to the hang-up.
const END_LIMIT: Duration = Duration::from_secs(5);

/// How long a hang-up may take while the broker stops. The module takes 0.7 s.
const END_CALLS_LIMIT: Duration = Duration::from_secs(2);

/// Work about calls that finished.
pub(super) enum Done {
    Dialled {
        call_id: String,
        outcome: Box<Result<Queued<Call>, Refusal>>,
        reply: Reply<Call>,
    },
    /// Nobody waits for it any more, and the modem never saw it.
    NotDialled(String),
    Answered(CallKey, Result<ResultCode, AtError>),
    HungUp(CallKey, Result<ResultCode, AtError>),
    ChangedPlaces(CallKey, Result<ResultCode, AtError>),
    Listed(Result<Vec<Row>, AtError>),
    AudioOpened(CallKey, Result<OpenAudio, String>),
    Pressed(CallKey, Press, mpsc::Receiver<Press>),
    Problems(CallKey, watch::Receiver<AudioProblems>),
    RecordingBegun(
        CallKey,
        std::io::Result<(Recording, std::path::PathBuf)>,
        Option<Reply<Call>>,
    ),
    RecordingEnded(CallKey, std::io::Result<()>),
    Abandoned(CallKey),
    Explained(Box<Call>),
}

enum Audio {
    Off,
    Opening,
    On(OpenAudio),
    Failed(String),
}

struct Live {
    key: CallKey,
    call: Call,
    /// How it ends if it ends now, because somebody asked for it.
    asked_end: Option<CallEndCause>,
    began: Instant,
    /// When the module was last told to end it.
    asked_at: Instant,
    audio: Audio,
    attaching: Vec<(AttachOptions, Reply<Attachment>)>,
    answering: Vec<Reply<Call>>,
    ending: Vec<Reply<Call>>,
    holding: Vec<Holding>,
    /// Commands about it that may still wait for the port. They end with it: the next call must not hear of them.
    tickets: Vec<Ticket>,
    /// Dropped with it.
    alive: watch::Sender<()>,
    updates: Vec<mpsc::Sender<CallUpdate>>,
    keypad: Keypad,
    /// It is to be recorded once its audio is on.
    record: bool,
    recording: Option<Recording>,
}

/// The calls of a modem while its ports are open.
#[derive(Default)]
pub(super) struct Calls {
    table: CallTable,
    live: Vec<Live>,
    /// A dial whose call the module has not reported yet.
    dialing: Option<Call>,
    next_list: Option<Instant>,
    listing: bool,
    /// Whose turn it is at the audio port.
    audio_turn: AudioTurn,
    /// Calls of the last ports, which the module has not shown yet.
    carried: Option<Carried>,
}

impl Calls {
    /// Whether an unsolicited code is about calls.
    pub(super) fn concerns(urc: &Urc) -> bool {
        input_of(urc).is_some() || matches!(urc, Urc::Dtmf(_))
    }

    /// Whether a call is up, rings or is being dialled.
    pub(super) fn any_alive(&self) -> bool {
        !self.live.is_empty() || self.dialing.is_some() || self.carried.is_some()
    }

    /// Samples that came in on the open audio port; `None` while there is none.
    pub(super) fn samples_heard(&self) -> Option<u64> {
        self.live.iter().find_map(|live| match &live.audio {
            Audio::On(open) => Some(open.statistics().downlink_samples),
            _ => None,
        })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let list = self.next_list.filter(|_| !self.listing);
        list.into_iter().chain(self.carried_until()).min()
    }

    /// The state of a call that is there or being dialled.
    pub(super) fn state(&self) -> Option<CallState> {
        let dialing = self.dialing.as_ref().map(|call| call.state);
        self.live.first().map(|live| live.call.state).or(dialing)
    }

    fn find(&mut self, call_id: Option<&str>) -> Result<&mut Live, Refusal> {
        match call_id {
            Some(id) => self
                .live
                .iter_mut()
                .find(|live| live.call.id == id)
                .ok_or_else(|| Refusal::CallNotFound { call_id: id.to_owned() }),
            None if self.live.len() > 1 => Err(Refusal::Ambiguous {
                field: "call_id",
                candidates: self
                    .live
                    .iter()
                    .map(|live| live.call.id.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
            None => self.live.first_mut().ok_or(Refusal::CallNotFound {
                call_id: "there is no call".to_owned(),
            }),
        }
    }

    fn by_key(&mut self, key: CallKey) -> Option<&mut Live> {
        self.live.iter_mut().find(|live| live.key == key)
    }

    fn plan_list(&mut self, wait: Duration) {
        let at = Instant::now() + wait;
        self.next_list = Some(self.next_list.map_or(at, |planned| planned.min(at)));
    }
}

impl Live {
    /// The place in the queue of a command that is about this call alone.
    fn ticket(&mut self) -> Ticket {
        self.tickets.retain(Ticket::waits);
        let ticket = Ticket::default();
        self.tickets.push(ticket.clone());
        ticket
    }
}

fn input_of(urc: &Urc) -> Option<Input> {
    Some(match urc {
        Urc::Ring(_) => Input::Ring,
        // 27.007 7.6: validity 1 is a number that the caller keeps back, 2 one that the network does not know.
        Urc::CallerId(caller) if caller.number.is_empty() && caller.validity == Some(1) => Input::CallerWithheld,
        Urc::CallerId(caller) => Input::CallerId(caller.number.clone()),
        Urc::CallerName(name) => Input::CallerName(name.clone()),
        Urc::CallWaiting { number, class } if class.is_none_or(|class| class & 1 != 0) => {
            Input::Waiting(number.clone())
        }
        Urc::CallList(calls) => Input::Reported(row_of(calls.first()?)),
        Urc::VoiceCallBegin => Input::Begin,
        Urc::VoiceCallEnd { .. } => Input::Ended,
        Urc::MissedCall { .. } => Input::Missed,
        Urc::NoCarrier => Input::NoCarrier,
        Urc::Busy => Input::Busy,
        Urc::NoAnswer => Input::NoAnswer,
        _ => return None,
    })
}

fn row_of(call: &reply::CurrentCall) -> Row {
    Row {
        index: call.index,
        direction: call.direction,
        state: call.state,
        number: call.number.clone(),
    }
}

impl Serving<'_> {
    pub(super) async fn call_urc(&mut self, urc: Urc) {
        if let Urc::Dtmf(tone) = urc {
            return self.tone_reported(tone).await;
        }
        if let Urc::CallList(calls) = &urc {
            for call in calls.iter().filter(|call| call.voice) {
                self.apply(Input::Reported(row_of(call))).await;
            }
        } else if let Some(input) = input_of(&urc) {
            self.apply(input).await;
        }
        if matches!(urc, Urc::VoiceCallEnd { .. }) && !self.calls.live.is_empty() {
            // With several calls only the list tells whose end it is.
            self.calls.plan_list(Duration::ZERO);
        }
    }

    async fn apply(&mut self, input: Input) {
        for changed in self.calls.table.apply(input) {
            self.call_changed(changed).await;
        }
        if self.calls.live.is_empty() {
            self.calls.next_list = None;
        }
    }

    async fn call_changed(&mut self, changed: cellular::call::Call) {
        let mut comes_to_audio = false;
        if self.calls.by_key(changed.key).is_none() {
            if let Some(live) = self.calls.take_carried(&changed) {
                comes_to_audio = true;
                self.calls.live.push(live);
            } else {
                let live = self.new_live(&changed);
                self.calls.live.push(live);
            }
            self.calls.plan_list(LIST_INTERVAL);
        }
        let Some(live) = self.calls.by_key(changed.key) else {
            return;
        };
        comes_to_audio |= live.call.state != CallState::Active;
        live.call.state = state_of(changed.state);
        live.call.rings = changed.rings;
        live.call.number_withheld = changed.withheld;
        if !changed.name.is_empty() {
            live.call.caller_name = changed.name;
        }
        if live.call.number.is_empty() {
            live.call.number = changed.number;
        }
        if live.call.state == CallState::Active && live.call.answer_time.is_none() {
            live.call.answer_time = Some(Timestamp::now());
        }
        match changed.end {
            Some(end) => self.call_ended(changed.key, end).await,
            None => {
                comes_to_audio &= live.call.state == CallState::Active;
                self.record_call(changed.key).await;
                if comes_to_audio {
                    self.take_audio_from_others(changed.key).await;
                    self.open_audio(changed.key);
                }
            }
        }
    }

    fn new_live(&mut self, changed: &cellular::call::Call) -> Live {
        let call = self.new_call(changed);
        Live {
            key: changed.key,
            call,
            asked_end: None,
            began: Instant::now(),
            asked_at: Instant::now(),
            audio: Audio::Off,
            attaching: Vec::new(),
            answering: Vec::new(),
            ending: Vec::new(),
            holding: Vec::new(),
            tickets: Vec::new(),
            alive: watch::Sender::default(),
            updates: Vec::new(),
            keypad: Keypad::default(),
            record: self.modem.setup.voice.recording.calls == RecordedCalls::Always,
            recording: None,
        }
    }

    fn new_call(&mut self, changed: &cellular::call::Call) -> Call {
        let direction = match changed.direction {
            cellular::call::Direction::Outgoing => CallDirection::Outgoing,
            cellular::call::Direction::Incoming => CallDirection::Incoming,
        };
        if direction == CallDirection::Outgoing
            && let Some(call) = self.calls.dialing.take()
        {
            return call;
        }
        Call::begin(&self.modem.status.name, direction, state_of(changed.state))
    }

    /// Records the call and tells everybody who waits for this state, after it is durable.
    async fn record_call(&mut self, key: CallKey) {
        let Some(live) = self.calls.by_key(key) else { return };
        live.updates.retain(|update| !update.is_closed());
        let call = live.call.clone();
        let updates = live.updates.clone();
        let over = call.state == CallState::Disconnected;
        let mut replies = Vec::new();
        if over || call.state == CallState::Active {
            replies.append(&mut live.answering);
        }
        if over {
            replies.append(&mut live.ending);
        }
        let state = call.state;
        let held: Vec<Holding> = live
            .holding
            .extract_if(.., |holding| holding.is_fulfilled(state))
            .collect();
        let told = call.clone();
        let tell = move || {
            for update in updates {
                // A full queue means that the owner does not read; the stream's end or the next change tells it.
                let _ = update.try_send(CallUpdate::Call(Box::new(told.clone())));
            }
            for reply in replies {
                let _ = reply.send(Ok(told.clone()));
            }
            for holding in held {
                holding.answer(&told);
            }
        };
        self.modem
            .recorder
            .record_then(Change::Call(call), Some(Box::new(tell)))
            .await;
    }

    async fn call_ended(&mut self, key: CallKey, end: End) {
        let Some(live) = self.calls.by_key(key) else { return };
        live.call.end_time = Some(Timestamp::now());
        live.call.end_cause = Some(live.asked_end.unwrap_or(match end {
            End::Released => CallEndCause::Remote,
            End::Unanswered => CallEndCause::Missed,
            End::Busy => CallEndCause::Busy,
            End::NoAnswer => CallEndCause::NoAnswer,
            End::NotConnected => CallEndCause::NotConnected,
            End::Lost => CallEndCause::Lost,
        }));
        for ticket in live.tickets.drain(..) {
            ticket.withdraw();
        }
        let refusal = || Refusal::CallState {
            state: CallState::Disconnected,
        };
        for (_, reply) in live.attaching.drain(..) {
            let _ = reply.send(Err(refusal()));
        }
        let audio = std::mem::replace(&mut live.audio, Audio::Off);
        if let Audio::On(open) = &audio {
            let statistics = open.statistics();
            live.call.audio_statistics = Some(statistics);
            let trace = &self.modem.setup.trace;
            trace.count(PortRole::Audio, Direction::FromModem, statistics.downlink_samples * 2);
            trace.count(PortRole::Audio, Direction::ToModem, statistics.uplink_samples * 2);
        }
        live.call.audio = CallAudio::Off;
        (live.call.downlink_problem, live.call.uplink_problem) = (AudioProblem::None, AudioProblem::None);
        live.call.recording = false;
        let call = live.call.clone();
        self.record_call(key).await;
        self.calls.live.retain(|live| live.key != key);
        let lost = call.end_cause == Some(CallEndCause::Lost);
        if let Audio::On(open) = audio {
            let at = self.link.at_calls.clone();
            self.start(async move {
                open.close((!lost).then_some(&at)).await;
                super::Done::Answered
            });
        }
        if call.end_cause == Some(CallEndCause::NotConnected) {
            self.explain(call);
        }
    }

    /// Asks the module for its own words, which it keeps only until the next call.
    fn explain(&mut self, mut call: Call) {
        let at = self.link.at_calls.clone();
        self.start(async move {
            if let Ok(response) = at.execute(Lane::Normal, command::extended_error_report()).await {
                call.end_detail = reply::extended_error_report(&response.lines).unwrap_or_default();
            }
            super::Done::Call(Done::Explained(Box::new(call)))
        });
    }

    /// Hangs up because the broker stops: a line that nobody is on costs money and keeps the next caller out.
    pub(super) async fn end_calls(&mut self) {
        if self.calls.live.is_empty() || self.modem.setup.voice.on_abandoned == OnAbandoned::Keep {
            return;
        }
        for live in &mut self.calls.live {
            live.asked_end.get_or_insert(CallEndCause::Abandoned);
        }
        let hang_up = self.link.at_calls.execute(Lane::Urgent, command::hang_up());
        match tokio::time::timeout(END_CALLS_LIMIT, hang_up).await {
            Ok(Ok(response)) if response.result.is_ok() => {}
            outcome => tracing::warn!(
                modem = self.modem.status.name,
                ?outcome,
                "could not hang up before the broker stops; a call may still be up"
            ),
        }
    }

    /// Every call ends with the ports.
    pub(super) async fn lose_calls(&mut self) {
        self.apply(Input::Lost).await;
        if let Some(mut call) = self.calls.dialing.take() {
            call.state = CallState::Disconnected;
            call.end_time = Some(Timestamp::now());
            call.end_cause = Some(CallEndCause::Lost);
            self.modem.recorder.record(Change::Call(call)).await;
        }
    }

    pub(super) async fn call_deadline(&mut self) {
        let now = Instant::now();
        if self.calls.next_list.is_some_and(|due| due <= now) && !self.calls.listing {
            self.list_calls();
        }
        if self.calls.carried_until().is_some_and(|until| until <= now) {
            self.lose_carried().await;
        }
    }

    pub(super) fn list_calls(&mut self) {
        self.calls.listing = true;
        self.calls.next_list = None;
        let at = self.link.at_calls.clone();
        self.start(async move {
            let listed = at.execute(Lane::Normal, command::list_current_calls()).await;
            let rows = listed.map(|response| {
                reply::current_calls(&response.lines)
                    .iter()
                    .filter(|call| call.voice)
                    .map(row_of)
                    .collect()
            });
            super::Done::Call(Done::Listed(rows))
        });
    }

    pub(super) async fn call_done(&mut self, done: Done) {
        match done {
            Done::Dialled {
                call_id,
                outcome,
                reply,
            } => self.dialled(&call_id, *outcome, reply).await,
            Done::NotDialled(call_id) => self.dial_given_up(&call_id).await,
            Done::Answered(key, outcome) => self.answered(key, outcome).await,
            Done::HungUp(key, outcome) => self.hung_up(key, outcome),
            Done::ChangedPlaces(key, outcome) => self.changed_places(key, outcome),
            Done::Pressed(key, press, presses) => self.pressed(key, press, presses).await,
            Done::Problems(key, problems) => self.problems_changed(key, problems).await,
            Done::RecordingBegun(key, begun, reply) => self.recording_begun(key, begun, reply).await,
            Done::RecordingEnded(key, ended) => self.recording_ended(key, ended).await,
            Done::Listed(rows) => {
                self.calls.listing = false;
                if let Ok(rows) = rows {
                    self.apply(Input::Listed(rows)).await;
                    self.lose_carried().await;
                }
                self.end_again();
                self.end_overlong();
                self.give_up_holding();
                if !self.calls.live.is_empty() {
                    let hurries = |live: &Live| live.asked_end.is_some() || !live.holding.is_empty();
                    let ending = self.calls.live.iter().any(hurries);
                    self.calls
                        .plan_list(if ending { LIST_INTERVAL_ENDING } else { LIST_INTERVAL });
                }
            }
            Done::AudioOpened(key, outcome) => self.audio_opened(key, outcome).await,
            Done::Abandoned(key) => self.abandoned(key),
            Done::Explained(call) => self.modem.recorder.record(Change::Call(*call)).await,
        }
    }

    /// A call that is up for longer than the configuration allows ends: calls cost money while nobody looks.
    fn end_overlong(&mut self) {
        let Some(limit) = self.modem.setup.voice.max_call else {
            return;
        };
        let overlong = |live: &&Live| live.asked_end.is_none() && live.began.elapsed() >= limit;
        if let Some(live) = self.calls.live.iter().find(overlong) {
            tracing::warn!(
                call_id = live.call.id,
                "hanging up: the call is longer than max_call_seconds in [voice]"
            );
            let key = live.key;
            self.end_call(key, CallEndCause::Abandoned);
        }
    }

    /// A call that the module still lists long after it said OK to the hang-up is hung up again; whoever waits is told.
    fn end_again(&mut self) {
        let stuck = |live: &&mut Live| live.asked_end.is_some() && live.asked_at.elapsed() >= END_LIMIT;
        let Some(live) = self.calls.live.iter_mut().find(stuck) else {
            return;
        };
        for reply in live.ending.drain(..) {
            let _ = reply.send(Err(Refusal::ModemTimeout {
                command: "AT+CHUP".to_owned(),
            }));
        }
        if let (key, Some(cause)) = (live.key, live.asked_end) {
            self.end_call(key, cause);
        }
    }
}

fn state_of(state: State) -> CallState {
    match state {
        State::Active => CallState::Active,
        State::Held => CallState::Held,
        State::Dialing => CallState::Dialing,
        State::Alerting => CallState::Alerting,
        State::Incoming => CallState::Incoming,
        State::Waiting => CallState::Waiting,
        State::Disconnected => CallState::Disconnected,
    }
}
