//! USSD sessions: what clients ask, what the network says, and the call that comes first.
//!
//! A session runs on the messages port, so that a call has its own port at once; with a single port the hang-up and the
//! answer pass in their lane.
//!
//! The intent to start is durable before the code goes out; the code itself is not kept. When a call appears the session
//! ends in the same turn; the network is told later, on the other port.

use cellular::at::reply::Ussd as Said;
use cellular::at::{Command, ResultCode, command};
use cellular::ussd::{Dialogue, End, Limits, Phase, Step, text};
use tokio::time::Instant;

use super::serving::Serving;
use super::{ContentHash, Reply};
use crate::port::at::{AtError, Lane, Ticket};
use crate::refusal::Refusal;
use crate::resource::{Change, UssdEndCause, UssdSession, UssdState};
use crate::store::Queued;

/// What is told of a session whose code never left.
const NOTHING_SENT: &str = "before anything was sent";

/// The sessions of a modem while its ports are open: at most one is alive.
pub(super) struct Ussd {
    dialogue: Dialogue,
    live: Option<Live>,
    /// Ended while it was on its way to the store, which has to hear of that afterwards.
    ended_early: Option<UssdSession>,
}

struct Live {
    session: UssdSession,
    /// Whether the session is in the store, so that its changes may be.
    durable: bool,
    /// The network knows of the session.
    opened: bool,
    /// The code or the reply that was sent last.
    ticket: Ticket,
    /// Whoever waits for the network's next word.
    waiting: Vec<Reply<UssdSession>>,
}

/// Work about a session that finished.
pub(super) enum Done {
    /// The intent is in the store, or an earlier one with the same request was found.
    Remembered {
        session_id: String,
        command: Command,
        outcome: Box<Result<Queued<UssdSession>, Refusal>>,
    },
    /// A code or a reply was taken by the modem, or not.
    Sent {
        session_id: String,
        outcome: Result<ResultCode, AtError>,
    },
}

impl Ussd {
    pub(super) fn new(answer_limit: std::time::Duration) -> Ussd {
        Ussd {
            dialogue: Dialogue::new(Limits {
                answer: answer_limit,
                ..Limits::default()
            }),
            live: None,
            ended_early: None,
        }
    }

    /// The session that is alive.
    pub(super) fn session_id(&self) -> Option<&str> {
        self.live.as_ref().map(|live| live.session.id.as_str())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.dialogue.poll_timeout().map(Instant::from_std)
    }

    fn live(&mut self, session_id: &str) -> Option<&mut Live> {
        self.live.as_mut().filter(|live| live.session.id == session_id)
    }
}

impl Serving<'_> {
    /// Starts a session. A repeated request gets the session that it made, also when a new one would be refused.
    pub(super) fn start_ussd(
        &mut self,
        code: &str,
        request_id: String,
        content_hash: ContentHash,
        reply: Reply<UssdSession>,
    ) {
        let command = command::ussd(code).map_err(|error| Refusal::FieldInvalid {
            field: "code",
            problem: error.to_string(),
        });
        let command = match command {
            Ok(command) => command,
            Err(refusal) => return drop(reply.send(Err(refusal))),
        };
        let store = self.modem.setup.store.clone();
        let session = UssdSession::begin(&self.modem.status.name, Some(request_id));
        self.ussd.dialogue.begin(Instant::now().into_std());
        self.ussd.live = Some(Live {
            session: session.clone(),
            durable: false,
            opened: false,
            ticket: Ticket::default(),
            waiting: vec![reply],
        });
        self.start(async move {
            let session_id = session.id.clone();
            let outcome = store.remember_ussd(session, &content_hash).await;
            super::Done::Ussd(Done::Remembered {
                session_id,
                command,
                outcome: Box::new(outcome.map_err(Refusal::from)),
            })
        });
    }

    /// Replies to the network.
    pub(super) async fn reply_ussd(&mut self, session_id: &str, text: &str, reply: Reply<UssdSession>) {
        let Some(live) = self.ussd.live(session_id) else {
            // The server has found it in the store, so it was there.
            let state = UssdState::Ended;
            return drop(reply.send(Err(Refusal::UssdState { state })));
        };
        if live.session.state != UssdState::UserAction {
            let state = live.session.state;
            return drop(reply.send(Err(Refusal::UssdState { state })));
        }
        let command = match command::ussd_reply(text) {
            Ok(command) => command,
            Err(error) => {
                let refusal = Refusal::FieldInvalid {
                    field: "text",
                    problem: error.to_string(),
                };
                return drop(reply.send(Err(refusal)));
            }
        };
        live.session.state = UssdState::Waiting;
        live.waiting.push(reply);
        let session = live.session.clone();
        self.ussd.dialogue.reply(Instant::now().into_std());
        self.modem.recorder.record(Change::Ussd(session)).await;
        self.send_ussd(session_id.to_owned(), command);
    }

    fn send_ussd(&mut self, session_id: String, command: Command) {
        let at = self.link.at.clone();
        let ticket = Ticket::default();
        if let Some(live) = self.ussd.live(&session_id) {
            live.ticket = ticket.clone();
        }
        self.start(async move {
            let outcome = at.execute_with(Lane::Normal, command, ticket).await;
            super::Done::Ussd(Done::Sent {
                session_id,
                outcome: outcome.map(|response| response.result),
            })
        });
    }

    /// Cancels a session.
    pub(super) async fn cancel_ussd(&mut self, session_id: &str, reply: Reply<UssdSession>) {
        if let Some(live) = self.ussd.live(session_id) {
            live.waiting.push(reply);
            return self.abandon_ussd(UssdEndCause::Cancelled, "").await;
        }
        // It ended while the request was on its way here.
        let store = self.modem.setup.store.clone();
        let session_id = session_id.to_owned();
        self.start(async move {
            let found = store.ussd(&session_id).await.map_err(Refusal::from);
            let found = found.and_then(|found| found.ok_or(Refusal::UssdSessionNotFound { session_id }));
            let _ = reply.send(found);
            super::Done::Answered
        });
    }

    /// A call is there: the session ends, and nothing about the call waits for that.
    pub(super) async fn yield_ussd_to_call(&mut self) {
        if self.ussd.live.is_some() {
            self.abandon_ussd(UssdEndCause::Call, "").await;
        }
    }

    /// Ends the session from our side and tells the network so, if it knows of the session. What still waits for the port is
    /// never sent.
    async fn abandon_ussd(&mut self, cause: UssdEndCause, detail: &str) {
        let Some(live) = self.ussd.live.as_mut().filter(|live| live.durable) else {
            return self.end_ussd(cause, detail).await;
        };
        live.opened |= !live.ticket.withdraw();
        if live.opened {
            self.end_ussd(cause, detail).await;
            self.release_ussd();
        } else {
            self.end_ussd(cause, NOTHING_SENT).await;
        }
    }

    fn release_ussd(&mut self) {
        let at = self.link.at.clone();
        self.start(async move {
            if let Err(error) = at.execute(Lane::Normal, command::ussd_cancel()).await {
                tracing::debug!(%error, "the network was not told of the end of a USSD session");
            }
            super::Done::Answered
        });
    }

    pub(super) async fn ussd_done(&mut self, done: Done) {
        match done {
            Done::Remembered {
                session_id,
                command,
                outcome,
            } => self.ussd_remembered(session_id, command, *outcome).await,
            Done::Sent { session_id, outcome } => self.ussd_sent(&session_id, outcome).await,
        }
    }

    async fn ussd_remembered(
        &mut self,
        session_id: String,
        command: Command,
        outcome: Result<Queued<UssdSession>, Refusal>,
    ) {
        let Some(live) = self.ussd.live(&session_id) else {
            // What was written meanwhile says that it runs.
            let ended = self.ussd.ended_early.take_if(|session| session.id == session_id);
            if let (Ok(Queued::New(_)), Some(session)) = (outcome, ended) {
                self.modem.recorder.record(Change::Ussd(session)).await;
            }
            return;
        };
        match outcome {
            Ok(Queued::New(_)) => {
                live.durable = true;
                self.send_ussd(session_id, command);
            }
            Ok(Queued::Existing(session)) => self.answer_unstarted(|| Ok(session.clone())),
            Err(refusal) => {
                let mut refusal = Some(refusal);
                self.answer_unstarted(|| Err(refusal.take().unwrap_or(Refusal::ShuttingDown)));
            }
        }
    }

    /// Forgets a session of which nothing was sent or stored.
    fn answer_unstarted(&mut self, mut answer: impl FnMut() -> Result<UssdSession, Refusal>) {
        self.ussd.dialogue.end();
        if let Some(live) = self.ussd.live.take() {
            for reply in live.waiting {
                let _ = reply.send(answer());
            }
        }
    }

    async fn ussd_sent(&mut self, session_id: &str, outcome: Result<ResultCode, AtError>) {
        let Some(live) = self.ussd.live(session_id) else {
            // It ended while the code was on its way, and the network must not be left with an open dialogue. Whatever
            // ended by the network's word needs no release.
            return;
        };
        live.opened |= outcome.is_ok();
        // The network's word may overtake the final result code.
        if live.session.state != UssdState::Waiting {
            return;
        }
        match outcome {
            Ok(ResultCode::Ok) => {}
            Ok(refused) => {
                let refusal = Refusal::refused("AT+CUSD", &refused);
                let detail = refusal.to_string();
                self.fail_ussd(UssdEndCause::Refused, detail, || Refusal::refused("AT+CUSD", &refused))
                    .await;
            }
            Err(error) => {
                let refusal = || Refusal::OutcomeUnknown {
                    what: "the USSD code".to_owned(),
                };
                self.fail_ussd(UssdEndCause::Lost, error.to_string(), refusal).await;
            }
        }
    }

    async fn fail_ussd(&mut self, cause: UssdEndCause, detail: String, refusal: impl Fn() -> Refusal) {
        let waiting = match &mut self.ussd.live {
            Some(live) => std::mem::take(&mut live.waiting),
            None => Vec::new(),
        };
        self.end_ussd(cause, detail).await;
        for reply in waiting {
            let _ = reply.send(Err(refusal()));
        }
    }

    /// What the network said.
    pub(super) async fn ussd_said(&mut self, said: &Said) {
        let now = Instant::now().into_std();
        let unsent = self.ussd.live.as_ref().is_some_and(|live| !live.durable);
        if unsent {
            // Nothing was sent yet, so this is the end of what was before.
            return;
        }
        match self.ussd.dialogue.handle(now, said) {
            Some(Step::Asks { opened }) => {
                if opened || self.ussd.live.is_none() {
                    self.ussd.live = Some(Live {
                        session: UssdSession::begin(&self.modem.status.name, None),
                        durable: true,
                        opened: true,
                        ticket: Ticket::default(),
                        waiting: Vec::new(),
                    });
                }
                if let Some(live) = &mut self.ussd.live {
                    live.opened = true;
                    live.session.text = text(said);
                    live.session.state = UssdState::UserAction;
                    let session = live.session.clone();
                    let waiting = std::mem::take(&mut live.waiting);
                    self.record_ussd(session, waiting).await;
                }
            }
            Some(Step::Over(end)) => {
                let text = text(said);
                if let Some(live) = self.ussd.live.as_mut().filter(|_| !text.is_empty()) {
                    live.session.text = text;
                }
                self.end_ussd(cause_of(end), "").await;
            }
            Some(Step::Notification) => {
                let mut session = UssdSession::begin(&self.modem.status.name, None);
                session.text = text(said);
                session.end(UssdEndCause::Notification, "");
                self.record_ussd(session, Vec::new()).await;
            }
            None => {}
        }
    }

    pub(super) async fn ussd_deadline(&mut self) {
        let now = Instant::now().into_std();
        let asked = self.ussd.dialogue.phase() == Phase::AwaitingUser;
        if let Some(Step::Over(end)) = self.ussd.dialogue.handle_timeout(now) {
            let detail = if asked {
                "nobody replied to the network in time"
            } else {
                "the network did not answer in time; it may have acted"
            };
            self.abandon_ussd(cause_of(end), detail).await;
        }
    }

    /// The ports are gone, and the session with them.
    pub(super) async fn lose_ussd(&mut self) {
        if self.ussd.live.is_some() {
            self.end_ussd(UssdEndCause::Lost, "the modem went away; the network may have acted")
                .await;
        }
    }

    async fn end_ussd(&mut self, cause: UssdEndCause, detail: impl Into<String>) {
        self.ussd.dialogue.end();
        let Some(mut live) = self.ussd.live.take() else { return };
        live.session.end(cause, detail);
        if live.durable {
            self.record_ussd(live.session, live.waiting).await;
        } else {
            live.session.end_detail = NOTHING_SENT.to_owned();
            for reply in live.waiting {
                let _ = reply.send(Ok(live.session.clone()));
            }
            self.ussd.ended_early = Some(live.session);
        }
    }

    /// Records a session and answers whoever waits for it, after it is durable.
    async fn record_ussd(&mut self, session: UssdSession, waiting: Vec<Reply<UssdSession>>) {
        let told = session.clone();
        let tell = move || {
            for reply in waiting {
                let _ = reply.send(Ok(told.clone()));
            }
        };
        self.modem
            .recorder
            .record_then(Change::Ussd(session), Some(Box::new(tell)))
            .await;
    }
}

fn cause_of(end: End) -> UssdEndCause {
    match end {
        End::Answered => UssdEndCause::Answered,
        End::Terminated => UssdEndCause::Terminated,
        End::OtherClient => UssdEndCause::OtherClient,
        End::NotSupported => UssdEndCause::NotSupported,
        End::NetworkTimeout => UssdEndCause::NetworkTimeout,
        End::NoAnswer => UssdEndCause::NoAnswer,
        End::NoReply => UssdEndCause::NoReply,
    }
}
