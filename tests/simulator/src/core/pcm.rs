//! The audio path of a call: when PCM may be asked for and when it flows.

use std::time::Duration;

use super::calls::{Call, CallState};
use super::faults::AudioFault;
use super::{AudioFlow, Modem, Output};
use crate::control::CallAudio;

/// The audio path.
#[derive(Debug, Clone)]
pub(crate) struct Pcm {
    /// How many times `AT+CPCMREG=1` is still refused.
    pub(crate) refusals: u32,
    pub(crate) fault: AudioFault,
    /// The call whose PCM flows, and whether it has been answered.
    pub(crate) flowing: Option<(u64, bool)>,
    /// From the second call after a start on, `AT+CPCMREG=1` is refused so often (firmware LE20B05).
    pub(crate) wears_out: Option<u32>,
    /// Calls with audio since the start, and the latest.
    calls: (u32, Option<u64>),
}

impl Default for Pcm {
    fn default() -> Self {
        Self {
            refusals: 0,
            fault: AudioFault::None,
            flowing: None,
            wears_out: None,
            calls: (0, None),
        }
    }
}

impl Pcm {
    pub(crate) fn power_down(&mut self) {
        self.flowing = None;
        self.refusals = 0;
        self.calls = (0, None);
    }
}

/// Whether the network may send audio in this state: the ringback of an outgoing call, or the other party.
fn carries_audio(call: &Call) -> bool {
    matches!(call.state, CallState::Active | CallState::Dialing | CallState::Alerting)
}

impl Modem {
    /// Whether the module accepts `AT+CPCMREG=1` now: only in a call, and with real timing not in its first moments.
    pub(super) fn pcm_allowed(&self) -> bool {
        let settle = Duration::from_millis(self.delays.pcm_refusal.0);
        self.calls.iter().any(|call| {
            let since = self
                .now
                .saturating_duration_since(call.answered.unwrap_or(call.started));
            carries_audio(call) && since >= settle
        })
    }

    /// A call asks for its audio: from the second one on a module that wears out refuses.
    pub(super) fn count_pcm_call(&mut self) {
        let asking = self.calls.iter().find(|call| carries_audio(call)).map(|call| call.id);
        let (count, latest) = &mut self.pcm.calls;
        if *latest == asking {
            return;
        }
        *latest = asking;
        *count += 1;
        if *count > 1
            && let Some(refusals) = self.pcm.wears_out
        {
            self.pcm.refusals = refusals;
        }
    }

    /// Starts or stops the flow of PCM according to the calls and `AT+CPCMREG`.
    pub(super) fn update_audio(&mut self) {
        let wanted = self
            .calls
            .iter()
            .find(|call| carries_audio(call))
            .filter(|_| self.settings.is_on("+CPCMREG"));
        let flow = wanted.map(|call| (call.id, call.answered.is_some()));
        if self.pcm.flowing == flow {
            return;
        }
        let started = wanted.map(|call| {
            // Before the answer the module sends digital silence.
            let (source, record) = match call.answered {
                Some(_) => (call.audio.clone(), call.record.clone()),
                None => (CallAudio::Silence, None),
            };
            AudioFlow {
                call: call.id,
                source,
                record,
                sample_rate: if self.settings.is_on("+CPCMFRM") { 16_000 } else { 8_000 },
                fault: self.pcm.fault,
            }
        });
        if std::mem::replace(&mut self.pcm.flowing, flow).is_some() {
            self.outputs.push_back(Output::AudioOff);
        }
        self.outputs.extend(started.map(Output::AudioOn));
    }
}
