//! Who may begin: everything that begins anything asks here, and here asks `cellular::arbitration`.
//!
//! A request that has to wait is kept as it is and taken up again at the end of each turn.

use std::collections::VecDeque;
use std::time::Duration;

use cellular::arbitration::{Activities, Activity, Verdict, Wanted, decide};
use cellular::at::command::Functionality;
use tokio::time::Instant;

use super::Serving;
use crate::modem::{Done, Request};
use crate::refusal::Refusal;
use crate::resource::{BearerState, CallState, MessageState, Stage};

/// How long a request waits for what is under way, which is the time that a message may take.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// Requests that may wait; the next one is refused with what it would wait for.
const WAITING_MAX: usize = 16;

/// One call at a time has audio; a second one may only wait.
const CALL_LIMIT: usize = 1;

/// Requests that wait for the end of what is under way.
#[derive(Default)]
pub(super) struct Waiting(VecDeque<(Request, Instant)>);

impl Waiting {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|(_, until)| *until).min()
    }

    /// Nothing that they wait for comes any more.
    pub(super) fn refuse(&mut self, refusal: impl Fn() -> Refusal) {
        for (request, _) in self.0.drain(..) {
            request.refuse(&refusal);
        }
    }
}

impl Request {
    /// What is to begin; `None` for what begins nothing: it is answered from what is known, or is about a call that is there.
    fn wanted(&self) -> Option<Wanted> {
        Some(match self {
            Request::Dial { emergency: true, .. } => Wanted::EmergencyCall,
            Request::Dial { .. } => Wanted::Dial,
            Request::StartUssd { .. } => Wanted::Ussd,
            Request::ReplyUssd { .. } => Wanted::UssdReply,
            Request::GetForwarding { .. } | Request::SetForwarding { .. } => Wanted::Forwarding,
            Request::OpenTerminal { .. } => Wanted::Terminal,
            Request::ScanOperators { .. } => Wanted::Scan,
            Request::SelectOperator { .. } | Request::SetNetworkModes { .. } => Wanted::NetworkChange,
            Request::ConnectBearer { .. } => Wanted::Bearer,
            Request::OperateSim { .. } => Wanted::SimOperation,
            Request::RestartSim { .. } => Wanted::SimRestart,
            Request::SetFunctionality { level, .. } if *level == Functionality::Full => Wanted::RadioOn,
            Request::SetFunctionality { .. } => Wanted::RadioOff,
            Request::Reset { force: true, .. } => Wanted::ForcedReset,
            Request::Reset { .. } => Wanted::Reset,
            Request::SwitchComposition { .. } => Wanted::Composition,
            Request::Answer { .. }
            | Request::HangUp { .. }
            | Request::Hold { .. }
            | Request::Resume { .. }
            | Request::SetRecording { .. }
            | Request::SendDtmf { .. }
            | Request::Attach { .. }
            | Request::Monitor { .. }
            | Request::MessageQueued
            | Request::CancelUssd { .. }
            | Request::GetFix { .. }
            | Request::Execute { .. }
            | Request::RefreshNetwork { .. }
            | Request::DisconnectBearer { .. }
            | Request::AskQmi { .. }
            | Request::CheckStorage { .. } => return None,
        })
    }
}

impl Serving<'_> {
    /// What is under way.
    fn under_way(&self) -> Activities {
        let bearer = self.modem.bearer.state;
        let network = self.undertaking.under_way();
        Activities::default()
            .with(Activity::Call, self.calls.any_alive())
            .with(Activity::Message, self.messages.is_sending())
            .with(Activity::Ussd, self.ussd.session_id().is_some())
            .with(Activity::Terminal, self.terminal.is_taken())
            .with(
                Activity::Scan,
                network.is_some_and(|(activity, _)| activity == Activity::Scan),
            )
            .with(
                Activity::NetworkChange,
                network.is_some_and(|(activity, _)| activity == Activity::NetworkChange),
            )
            .with(Activity::Connecting, bearer == BearerState::Connecting)
            .with(
                Activity::Data,
                matches!(bearer, BearerState::Connected | BearerState::Disconnecting),
            )
            .with(Activity::SimOperation, self.operating_sim)
            .with(Activity::SimRestart, self.services.is_restarting_sim())
            .with(Activity::RadioChange, self.changing_radio)
            .with(Activity::Awaited, !self.waiting.0.is_empty() || self.data_is_awaited())
            .with(Activity::Restart, self.told_to_restart)
    }

    /// Whether something may begin, as far as what is under way is concerned.
    pub(in crate::modem) fn verdict(&self, wanted: Wanted) -> Verdict {
        decide(wanted, self.under_way())
    }

    /// The same for the rest of a restart that has begun.
    pub(in crate::modem) fn may_go_on(&self, wanted: Wanted) -> Result<(), Refusal> {
        match decide(wanted, self.under_way().without(Activity::Restart)) {
            Verdict::Refuse(activity) | Verdict::Wait(activity) => Err(self.busy_with(activity, wanted)),
            Verdict::Begin | Verdict::Displace(_) => Ok(()),
        }
    }

    /// Takes a request: it begins, waits or is refused.
    pub(super) async fn admit(&mut self, request: Request) {
        let Some(wanted) = request.wanted() else {
            return self.request(request).await;
        };
        if let Err(refusal) = self.ready_for(wanted) {
            return self.refuse(request, refusal);
        }
        match self.verdict(wanted) {
            Verdict::Begin => self.request(request).await,
            Verdict::Displace(displaced) => {
                self.displace(displaced, wanted).await;
                self.request(request).await;
            }
            Verdict::Wait(_) if self.waiting.0.len() < WAITING_MAX => {
                self.waiting.0.push_back((request, Instant::now() + WAIT_LIMIT));
            }
            Verdict::Wait(activity) | Verdict::Refuse(activity) => {
                let refusal = self.busy_with(activity, wanted);
                self.refuse(request, refusal);
            }
        }
    }

    /// Takes up what waited and need not any more.
    pub(super) async fn take_up_waiting(&mut self) {
        let now = Instant::now();
        for _ in 0..self.waiting.0.len() {
            let Some((request, until)) = self.waiting.0.pop_front() else {
                return;
            };
            let Some(wanted) = request.wanted() else { continue };
            match self.verdict(wanted) {
                _ if request.is_given_up() => {}
                Verdict::Wait(_) if until > now => self.waiting.0.push_back((request, until)),
                Verdict::Wait(activity) => {
                    let refusal = self.busy_with(activity, wanted);
                    self.refuse(request, refusal);
                }
                Verdict::Begin | Verdict::Displace(_) | Verdict::Refuse(_) => self.admit(request).await,
            }
        }
    }

    /// The network brings a call, or one is there: what would keep the port or the radio from it ends.
    pub(super) async fn make_way_for_calls(&mut self) {
        if !self.calls.any_alive() {
            return;
        }
        if let Verdict::Displace(displaced) = self.verdict(Wanted::IncomingCall) {
            self.displace(displaced, Wanted::IncomingCall).await;
        }
    }

    async fn displace(&mut self, displaced: Activities, by: Wanted) {
        for activity in displaced.iter() {
            match activity {
                Activity::Ussd => self.yield_ussd_to_call().await,
                Activity::Terminal => self.yield_terminal_to_call(),
                Activity::Scan if by == Wanted::Bearer => self.end_scan(self.busy_with(Activity::Connecting, by)),
                Activity::Scan => self.end_scan(self.busy_with(Activity::Call, by)),
                Activity::Call
                | Activity::Message
                | Activity::NetworkChange
                | Activity::Connecting
                | Activity::Data
                | Activity::SimOperation
                | Activity::SimRestart
                | Activity::RadioChange
                | Activity::Awaited
                | Activity::Restart => {
                    tracing::error!(
                        ?activity,
                        ?by,
                        "the table of arbitration ends what nothing here can end"
                    );
                }
            }
        }
    }

    /// Refuses a request. One that is repeated gets its first answer also when a new one would be refused.
    fn refuse(&mut self, request: Request, refusal: Refusal) {
        let store = self.modem.setup.store.clone();
        match request {
            Request::Dial {
                request_id,
                content_hash,
                reply,
                ..
            } => self.start(async move {
                let known = store.dialled(&request_id, &content_hash).await.map_err(Refusal::from);
                let _ = reply.send(known.and_then(|known| known.ok_or(refusal)));
                Done::Answered
            }),
            Request::StartUssd {
                request_id,
                content_hash,
                reply,
                ..
            } => self.start(async move {
                let known = store.started_ussd(&request_id, &content_hash).await;
                let known = known.map_err(Refusal::from);
                let _ = reply.send(known.and_then(|known| known.ok_or(refusal)));
                Done::Answered
            }),
            other => other.refuse(|| refusal.clone()),
        }
    }

    /// What the modem has to have come to for this, whatever is under way.
    fn ready_for(&self, wanted: Wanted) -> Result<(), Refusal> {
        let status = &self.modem.status;
        let reached = |needed| {
            if status.stage >= needed {
                return Ok(());
            }
            Err(Refusal::ModemStarting {
                stage: status.stage,
                detail: status.stage_detail.clone(),
            })
        };
        match wanted {
            // 22.101 10.1: emergency calls need no SIM and no network of one's own.
            Wanted::EmergencyCall => reached(Stage::Sim),
            Wanted::Dial | Wanted::Ussd | Wanted::Forwarding => {
                reached(Stage::Registering)?;
                self.registered()
            }
            // While a SIM waits for its PIN. Elsewhere the sequence that brings the modem up would wait for the terminal, and
            // give the modem up.
            Wanted::Terminal if status.stage == Stage::Sim => Ok(()),
            Wanted::Terminal | Wanted::Scan | Wanted::NetworkChange => reached(Stage::Registering),
            Wanted::IncomingCall
            | Wanted::Message
            | Wanted::UssdReply
            | Wanted::Bearer
            | Wanted::SimOperation
            | Wanted::SimRestart
            | Wanted::RadioOn
            | Wanted::RadioOff
            | Wanted::Reset
            | Wanted::ForcedReset
            | Wanted::Composition
            | Wanted::PolicyComposition
            | Wanted::AudioReset
            | Wanted::RecoveryStep => Ok(()),
        }
    }

    fn registered(&self) -> Result<(), Refusal> {
        if self.is_registered() {
            return Ok(());
        }
        let registration = self
            .modem
            .network
            .circuit_switched
            .map_or("unknown".to_owned(), |state| format!("{state:?}"));
        Err(Refusal::NotRegistered { registration })
    }

    /// Says who is in the way.
    fn busy_with(&self, activity: Activity, wanted: Wanted) -> Refusal {
        let network = |what| Refusal::NetworkBusy { what };
        match activity {
            Activity::Call if matches!(wanted, Wanted::Dial | Wanted::EmergencyCall) => {
                Refusal::CallLimit { limit: CALL_LIMIT }
            }
            // One that was carried over from the last ports was being set up.
            Activity::Call => Refusal::CallState {
                state: self.calls.state().unwrap_or(CallState::Dialing),
            },
            Activity::Message => Refusal::MessageState {
                state: MessageState::Sending,
            },
            Activity::Ussd => Refusal::UssdBusy {
                session_id: self.ussd.session_id().unwrap_or_default().to_owned(),
            },
            Activity::Terminal => Refusal::TerminalTaken {
                modem: self.modem.status.name.clone(),
            },
            Activity::Scan | Activity::NetworkChange => {
                network(self.undertaking.under_way().map_or("the network", |(_, what)| what))
            }
            Activity::Connecting => network("setting up the data bearer"),
            Activity::Data => network("data"),
            Activity::SimOperation => network("an operation on the SIM"),
            Activity::SimRestart => network("restarting the SIM"),
            Activity::RadioChange => network("switching the radio"),
            Activity::Awaited => network("another request"),
            Activity::Restart => Refusal::ModemResetting {
                detail: "it was told to restart".to_owned(),
            },
        }
    }
}
