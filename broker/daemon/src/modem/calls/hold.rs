//! Two calls at a time: holding, taking back, answering and releasing one of them (22.030 6.5.5.1, `AT+CHLD`).

use std::time::Duration;

use cellular::at::command::{self, CallHold};
use cellular::at::{Command, ResultCode};
use cellular::call::CallKey;
use tokio::time::Instant;

use super::{Calls, Done};
use crate::modem::serving::Serving;
use crate::modem::{self, Reply};
use crate::port::at::{AtError, Lane};
use crate::refusal::Refusal;
use crate::resource::{Call, CallState};

/// How long the list of calls may take to show what `AT+CHLD` was said to have done.
const HOLD_LIMIT: Duration = Duration::from_secs(5);

/// Somebody waits for a call to be held or active.
pub(super) struct Holding {
    wanted: CallState,
    until: Instant,
    reply: Reply<Call>,
}

impl Holding {
    pub(super) fn is_fulfilled(&self, state: CallState) -> bool {
        self.wanted == state || state == CallState::Disconnected
    }

    /// The answer, when the call is as it was wanted or is over.
    pub(super) fn answer(self, call: &Call) {
        let answer = if call.state == self.wanted {
            Ok(call.clone())
        } else {
            Err(Refusal::CallState { state: call.state })
        };
        let _ = self.reply.send(answer);
    }
}

impl Calls {
    /// Ends one call and no other. `AT+CHUP` ends all of them, so it is for the only one.
    pub(super) fn release(&self, key: CallKey) -> Command {
        let state = |key| {
            self.live
                .iter()
                .find(|live| live.key == key)
                .map(|live| live.call.state)
        };
        let index = self
            .table
            .calls()
            .iter()
            .find(|call| call.key == key)
            .and_then(|call| call.index);
        let one_waits = self.live.iter().any(|live| live.call.state == CallState::Waiting);
        let action = match state(key) {
            _ if self.live.len() < 2 => None,
            Some(CallState::Waiting) => Some(CallHold::ReleaseHeldOrRejectWaiting),
            Some(CallState::Held) if !one_waits => Some(CallHold::ReleaseHeldOrRejectWaiting),
            _ => index.map(CallHold::Release),
        };
        // Better all of them than a hang-up that does nothing.
        action
            .and_then(|action| command::call_hold(action).ok())
            .unwrap_or_else(command::hang_up)
    }

    /// Answers a call: a waiting one puts the active one on hold.
    pub(super) fn accept(&self, key: CallKey) -> Command {
        let waits = |live: &super::Live| live.key == key && live.call.state == CallState::Waiting;
        if self.live.iter().any(waits) {
            command::call_hold(CallHold::HoldActive).unwrap_or_else(|_| command::answer())
        } else {
            command::answer()
        }
    }
}

impl Serving<'_> {
    pub(in crate::modem) fn hold(&mut self, call_id: Option<&str>, reply: Reply<Call>) {
        let waiting = self
            .calls
            .live
            .iter()
            .find(|live| live.call.state == CallState::Waiting);
        if let Some(waiting) = waiting {
            let state = waiting.call.state;
            return drop(reply.send(Err(Refusal::CallState { state })));
        }
        self.change_places(call_id, CallState::Active, CallState::Held, reply);
    }

    pub(in crate::modem) fn resume(&mut self, call_id: Option<&str>, reply: Reply<Call>) {
        self.change_places(call_id, CallState::Held, CallState::Active, reply);
    }

    /// `AT+CHLD=2` makes the active call held and the held one active, whichever of them there are.
    fn change_places(&mut self, call_id: Option<&str>, from: CallState, to: CallState, reply: Reply<Call>) {
        let live = match self.calls.find(call_id) {
            Ok(live) => live,
            Err(refusal) => return drop(reply.send(Err(refusal))),
        };
        let state = live.call.state;
        if state == to {
            return drop(reply.send(Ok(live.call.clone())));
        }
        if state != from {
            return drop(reply.send(Err(Refusal::CallState { state })));
        }
        if !live.holding.is_empty() {
            // A second command would undo the first.
            return drop(reply.send(Err(Refusal::CallState { state })));
        }
        live.holding.push(Holding {
            wanted: to,
            until: Instant::now() + HOLD_LIMIT,
            reply,
        });
        let (key, ticket) = (live.key, live.ticket());
        let at = self.link.at_calls.clone();
        self.start(async move {
            let outcome = match command::call_hold(CallHold::HoldActive) {
                Ok(command) => {
                    let outcome = at.execute_with(Lane::Urgent, command, ticket).await;
                    outcome.map(|response| response.result)
                }
                Err(_) => Ok(ResultCode::Error),
            };
            modem::Done::Call(Done::ChangedPlaces(key, outcome))
        });
    }

    pub(super) fn changed_places(&mut self, key: CallKey, outcome: Result<ResultCode, AtError>) {
        let refusal = match outcome {
            // OK is a promise; the list of calls shows whether it was kept.
            Ok(ResultCode::Ok) => None,
            Ok(refused) => Some(Refusal::refused("AT+CHLD=2", &refused)),
            Err(error) => Some(error.into()),
        };
        if let (Some(refusal), Some(live)) = (refusal, self.calls.by_key(key))
            && let Some(holding) = live.holding.pop()
        {
            let _ = holding.reply.send(Err(refusal));
        }
        self.calls.plan_list(Duration::ZERO);
    }

    /// Whoever waits for a state that the list does not show is told so.
    pub(super) fn give_up_holding(&mut self) {
        for live in &mut self.calls.live {
            for late in live.holding.extract_if(.., |holding| holding.until <= Instant::now()) {
                let _ = late.reply.send(Err(Refusal::ModemTimeout {
                    command: "AT+CHLD=2".to_owned(),
                }));
            }
        }
    }
}
