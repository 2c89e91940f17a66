//! The audio of a call, from the moment at which it becomes active.

use cellular::at::{Failure, command, reply};
use cellular::call::CallKey;
use cellular::pcm::SampleRate;
use cellular::profile::sim7600;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::Instant;

use super::{Audio, Done};
use crate::audio::{AudioConfig, AudioPath};
use crate::modem::serving::Serving;
use crate::modem::settings::OnAbandoned;
use crate::modem::{self, Work};
use crate::port::PortAddress;
use crate::port::at::{AtError, AtHandle, Lane};
use crate::port::{PortLock, open_audio};
use crate::refusal::Refusal;
use crate::resource::{AudioStatistics, CallAudio, CallDirection, CallState};

/// How long the audio of a call may wait for the port, which the last call may still be closing.
const TURN_LIMIT: Duration = Duration::from_secs(10);

/// Whose turn it is at the audio port: one call's at a time, from before it is opened until after it is closed.
pub(super) type AudioTurn = Arc<Mutex<()>>;

/// The audio of a call, open.
pub(in crate::modem) struct OpenAudio {
    pub(super) path: AudioPath,
    lock: Option<PortLock>,
    _turn: OwnedMutexGuard<()>,
    pub(super) attempts: u32,
}

impl Serving<'_> {
    /// Watches for as long as the audio is open whether somebody owns it: from the first owner on, and a call that was dialled
    /// from the beginning, because whoever dials is expected to speak.
    pub(super) fn watch_owner(&mut self, key: CallKey, mut present: watch::Receiver<bool>, dialled: bool) {
        let grace = self.modem.setup.voice.reattach_grace;
        if self.modem.setup.voice.on_abandoned != OnAbandoned::HangUp {
            return;
        }
        self.start(async move {
            if dialled {
                match tokio::time::timeout(grace, present.wait_for(|present| *present)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) => return modem::Done::Answered,
                    Err(_) => return modem::Done::Call(Done::Abandoned(key)),
                }
            }
            loop {
                let there = present.wait_for(|present| *present).await.is_ok();
                if !there || present.wait_for(|present| !present).await.is_err() {
                    return modem::Done::Answered;
                }
                match tokio::time::timeout(grace, present.wait_for(|present| *present)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) => return modem::Done::Answered,
                    Err(_) => return modem::Done::Call(Done::Abandoned(key)),
                }
            }
        });
    }

    pub(super) fn open_audio(&mut self, key: CallKey) {
        let Some(address) = self.link.audio.clone() else {
            return self.start(async move {
                modem::Done::Call(Done::AudioOpened(key, Err("the modem has no audio port".to_owned())))
            });
        };
        let Some(live) = self.calls.by_key(key) else { return };
        if !matches!(live.audio, Audio::Off) {
            return;
        }
        live.audio = Audio::Opening;
        let at = self.link.at_calls.clone();
        let lock_directory = self.modem.setup.lock_directory.clone();
        let config = AudioConfig {
            rate: self.modem.setup.voice.sample_rate,
            uplink_queue_max: self.modem.setup.voice.uplink_queue_max,
            detect_dtmf: self.modem.setup.voice.detect_dtmf,
        };
        let turn = Arc::clone(&self.calls.audio_turn);
        let totals = self.modem.setup.totals.clone();
        let work: Work = Box::pin(async move {
            let outcome = match tokio::time::timeout(TURN_LIMIT, turn.lock_owned()).await {
                Ok(turn) => match open_port(&at, &address, &lock_directory, config).await {
                    Ok((path, lock)) => switch_on(&at, path.counted(totals.as_ref()), lock, turn).await,
                    Err(no_audio) => Err(no_audio),
                },
                Err(_) => Err(NoAudio::Because("another call still has the audio port".to_owned())),
            };
            let outcome = match outcome {
                Ok(open) => Ok(open),
                Err(NoAudio::Because(cause)) => Err(cause),
                // The port tells the actor so itself, and the call may go on with the next ports.
                Err(NoAudio::PortsGone) => return modem::Done::Answered,
            };
            modem::Done::Call(Done::AudioOpened(key, outcome))
        });
        self.start(work);
    }

    /// The audio port is the active call's: a call that is on hold meanwhile gives it away.
    pub(super) async fn take_audio_from_others(&mut self, key: CallKey) {
        let has_audio = |live: &&mut super::Live| live.key != key && matches!(live.audio, Audio::On(_));
        let Some(other) = self.calls.live.iter_mut().find(has_audio) else {
            return;
        };
        let other_key = other.key;
        other.recording = None;
        (other.call.audio, other.call.recording) = (CallAudio::Off, false);
        if let Audio::On(open) = std::mem::replace(&mut other.audio, Audio::Off) {
            other.call.audio_statistics = Some(open.statistics());
            let at = self.link.at_calls.clone();
            self.start(async move {
                open.close(Some(&at)).await;
                modem::Done::Answered
            });
        }
        self.record_call(other_key).await;
    }

    pub(super) async fn audio_opened(&mut self, key: CallKey, outcome: Result<OpenAudio, String>) {
        let Some(live) = self.calls.by_key(key) else {
            // The call ended while its audio was being opened.
            if let Ok(open) = outcome {
                let at = self.link.at_calls.clone();
                self.start(async move {
                    open.close(Some(&at)).await;
                    modem::Done::Answered
                });
            }
            return;
        };
        if live.call.state == CallState::Held
            && let Ok(open) = outcome
        {
            // Another call became the active one meanwhile.
            live.audio = Audio::Off;
            let at = self.link.at_calls.clone();
            return self.start(async move {
                open.close(Some(&at)).await;
                modem::Done::Answered
            });
        }
        let refused = match &outcome {
            Ok(open) => open.attempts > 1,
            Err(_) => true,
        };
        match outcome {
            Ok(open) => {
                live.call.audio = if open.attempts > 1 {
                    CallAudio::Degraded
                } else {
                    CallAudio::On
                };
                let present = open.path.owner_present();
                let (presses, problems) = (open.path.presses(), open.path.problems());
                let dialled = live.call.direction == CallDirection::Outgoing;
                let record = live.record;
                live.audio = Audio::On(open);
                let attaching = std::mem::take(&mut live.attaching);
                self.record_call(key).await;
                self.watch_owner(key, present, dialled);
                if let Some(presses) = presses {
                    self.await_press(key, presses);
                }
                if let Some(problems) = problems {
                    self.await_problems(key, problems);
                }
                if record {
                    self.start_recording(key, None);
                }
                for (options, reply) in attaching {
                    self.attach_now(key, options, reply);
                }
            }
            Err(cause) => {
                tracing::warn!(call_id = live.call.id, cause, "the call has no audio");
                live.call.audio = CallAudio::Failed;
                for (_, reply) in live.attaching.drain(..) {
                    let _ = reply.send(Err(Refusal::AudioNotAvailable { cause: cause.clone() }));
                }
                live.audio = Audio::Failed(cause);
                self.record_call(key).await;
            }
        }
        if refused && self.link.audio.is_some() && self.modem.setup.voice.reset_degraded_audio {
            self.plan_audio_reset();
        }
    }
}

impl OpenAudio {
    pub(super) fn statistics(&self) -> AudioStatistics {
        AudioStatistics {
            pcm_open_attempts: self.attempts,
            ..self.path.statistics()
        }
    }

    pub(super) async fn close(self, at: Option<&AtHandle>) {
        if let Some(at) = at {
            let _ = at.execute(Lane::Normal, command::pcm_off()).await;
        }
        self.path.close().await;
        drop(self.lock);
    }
}

/// Why a call has no audio.
enum NoAudio {
    /// The AT port went away while it was opened.
    PortsGone,
    /// Anything else.
    Because(String),
}

impl From<AtError> for NoAudio {
    fn from(error: AtError) -> Self {
        match error {
            AtError::Closed
            | AtError::Failed {
                failure: Failure::PortClosed { .. },
                ..
            } => NoAudio::PortsGone,
            error => NoAudio::Because(error.to_string()),
        }
    }
}

/// What the module will pass. 16 kHz are asked for anew before each call: the setting is volatile, and one firmware had a
/// silent uplink when it was not made just before PCM was switched on. There is no way back until the module restarts, so
/// a module that was left at 16 kHz is taken as it is.
async fn settle_rate(at: &AtHandle, wanted: SampleRate) -> Result<SampleRate, NoAudio> {
    let command = match wanted {
        SampleRate::Hz8000 => command::pcm_format_query(),
        SampleRate::Hz16000 => command::pcm_format(wanted),
    };
    let response = match at.execute(Lane::Urgent, command).await.map_err(NoAudio::from) {
        Ok(response) => response,
        Err(NoAudio::PortsGone) => return Err(NoAudio::PortsGone),
        // Only the answer was lost, as far as anybody knows, and no audio would be worse than the wrong rate, which is told.
        Err(NoAudio::Because(cause)) => {
            tracing::warn!(
                cause,
                rate = wanted.hz(),
                "the module did not say its sample rate; assuming the configured one"
            );
            return Ok(wanted);
        }
    };
    match wanted {
        // A firmware that does not know the command has the one rate only.
        SampleRate::Hz8000 => Ok(reply::pcm_sample_rate(&response.lines).unwrap_or(wanted)),
        SampleRate::Hz16000 if response.result.is_ok() => Ok(wanted),
        SampleRate::Hz16000 => {
            tracing::warn!(refused = %response.result, "AT+CPCMFRM=1 was refused; this call is at 8 kHz");
            Ok(SampleRate::Hz8000)
        }
    }
}

/// Opens the port and begins to read it. Before PCM is switched on: the order of the manual's example.
async fn open_port(
    at: &AtHandle,
    address: &PortAddress,
    lock_directory: &std::path::Path,
    config: AudioConfig,
) -> Result<(AudioPath, Option<PortLock>), NoAudio> {
    let (fd, lock) = open_audio(address, lock_directory)
        .await
        .map_err(|error| NoAudio::Because(error.to_string()))?;
    let config = AudioConfig {
        rate: settle_rate(at, config.rate).await?,
        ..config
    };
    let path =
        AudioPath::start(fd, config).map_err(|error| NoAudio::Because(format!("start the audio thread: {error}")))?;
    crate::supervisor::spawn("audio session", "", path.task());
    Ok((path, lock))
}

/// Switches PCM on, as often as the module needs to be asked.
async fn switch_on(
    at: &AtHandle,
    path: AudioPath,
    lock: Option<PortLock>,
    turn: OwnedMutexGuard<()>,
) -> Result<OpenAudio, NoAudio> {
    let until = Instant::now() + sim7600::PCM_OPEN_WINDOW;
    tokio::time::sleep(sim7600::PCM_SETTLE).await;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let refused = match at.execute(Lane::Urgent, command::pcm_on()).await {
            Ok(response) if response.result.is_ok() => {
                return Ok(OpenAudio {
                    path,
                    lock,
                    _turn: turn,
                    attempts,
                });
            }
            Ok(response) => response.result.to_string(),
            Err(error) => match NoAudio::from(error) {
                // Every further attempt would say so too.
                NoAudio::PortsGone => {
                    path.close().await;
                    return Err(NoAudio::PortsGone);
                }
                NoAudio::Because(cause) => cause,
            },
        };
        if Instant::now() + sim7600::PCM_RETRY_PAUSE >= until {
            path.close().await;
            return Err(NoAudio::Because(format!(
                "AT+CPCMREG=1 was refused {attempts} times: {refused}"
            )));
        }
        if attempts == 1 {
            // Once, because a registration that was left over from a broken call is refused like this.
            let _ = at.execute(Lane::Urgent, command::pcm_off()).await;
        }
        tokio::time::sleep(sim7600::PCM_RETRY_PAUSE).await;
    }
}
