//! Calls that outlive their ports.
//!
//! Some modules enumerate anew while a call is set up, and the call goes on in them. A call that somebody answered or dialled
//! and whose audio was never on is therefore not lost at once: it is carried over to the next ports, where the list of calls
//! shows whether it is still there. A call whose audio was on is lost with it, because whoever speaks has to hear of it now.

use std::time::Duration;

use cellular::call::Direction;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Audio, Calls, Live};
use crate::modem::ModemActor;
use crate::modem::serving::Serving;
use crate::refusal::Refusal;
use crate::resource::{CallAudio, CallDirection, CallEndCause, CallState, Change};

/// How long the ports may be gone. Ports come back within 4 to 6 s of an enumeration.
const ABSENCE_LIMIT: Duration = Duration::from_secs(10);

/// How long it may take from then on until the module has listed its calls.
const LIST_LIMIT: Duration = Duration::from_secs(30);

/// Calls without ports.
pub(in crate::modem) struct Carried {
    lives: Vec<Live>,
    pub(in crate::modem) until: Instant,
}

impl Live {
    /// Somebody wants it, and it has not come to audio yet.
    fn is_being_set_up(&self) -> bool {
        let wanted = !self.answering.is_empty()
            || !self.attaching.is_empty()
            || matches!(self.audio, Audio::Opening)
            || matches!(self.call.state, CallState::Dialing | CallState::Alerting);
        wanted && self.asked_end.is_none() && !matches!(self.audio, Audio::On(_) | Audio::Failed(_))
    }
}

impl Calls {
    /// Begins with the calls of the last ports.
    pub(in crate::modem) fn carrying(carried: Option<Carried>) -> Calls {
        Calls {
            carried: carried.map(|carried| Carried {
                until: Instant::now() + LIST_LIMIT,
                ..carried
            }),
            ..Calls::default()
        }
    }

    pub(super) fn carried_until(&self) -> Option<Instant> {
        self.carried.as_ref().map(|carried| carried.until)
    }

    /// The carried call that the module means by one that it shows now.
    pub(super) fn take_carried(&mut self, shown: &cellular::call::Call) -> Option<Live> {
        let direction = match shown.direction {
            Direction::Outgoing => CallDirection::Outgoing,
            Direction::Incoming => CallDirection::Incoming,
        };
        let carried = self.carried.as_mut()?;
        let fits = |live: &Live| {
            let numbers = [&live.call.number, &shown.number];
            live.call.direction == direction && (numbers[0] == numbers[1] || numbers.iter().any(|it| it.is_empty()))
        };
        let position = carried.lives.iter().position(fits)?;
        let live = carried.lives.remove(position);
        Some(Live { key: shown.key, ..live })
    }
}

impl Serving<'_> {
    /// The ports are gone: takes the calls aside that may go on without them. Returns their ids.
    pub(in crate::modem) fn carry_calls(&mut self) -> Vec<String> {
        let mut lives: Vec<Live> = self.calls.live.extract_if(.., |live| live.is_being_set_up()).collect();
        for live in &mut lives {
            self.calls.table.forget(live.key);
            live.audio = Audio::Off;
            live.call.audio = CallAudio::Off;
        }
        let mut until = Instant::now() + ABSENCE_LIMIT;
        if let Some(carried) = self.calls.carried.take() {
            until = until.min(carried.until);
            lives.extend(carried.lives);
        }
        let ids = lives.iter().map(|live| live.call.id.clone()).collect();
        self.modem.carried = Some(Carried { lives, until }).filter(|carried| !carried.lives.is_empty());
        ids
    }

    /// The module has listed its calls, or did not in time: what it did not show is over.
    pub(in crate::modem) async fn lose_carried(&mut self) {
        self.modem.carried = self.calls.carried.take();
        self.modem.lose_carried().await;
    }
}

impl ModemActor {
    /// Calls that were carried over are lost after all.
    pub(in crate::modem) async fn lose_carried(&mut self) {
        for mut live in self.carried.take().into_iter().flat_map(|carried| carried.lives) {
            live.call.state = CallState::Disconnected;
            live.call.end_cause = Some(CallEndCause::Lost);
            live.call.end_time = Some(Timestamp::now());
            let refusal = || Refusal::CallState {
                state: CallState::Disconnected,
            };
            for reply in live.answering.drain(..) {
                let _ = reply.send(Err(refusal()));
            }
            for (_, reply) in live.attaching.drain(..) {
                let _ = reply.send(Err(refusal()));
            }
            self.recorder.record(Change::Call(live.call)).await;
        }
    }
}
