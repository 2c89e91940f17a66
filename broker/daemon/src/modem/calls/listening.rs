//! What is heard in a call's audio, besides its owner: keys, trouble, and the recording.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cellular::call::CallKey;
use cellular::pcm::dtmf::Press;
use tokio::sync::{mpsc, watch};

use super::{Audio, Done};
use crate::audio::{Recording, record};
use crate::modem::serving::Serving;
use crate::modem::settings::{RecordedCalls, RecordingConfig};
use crate::modem::{self, Reply};
use crate::refusal::Refusal;
use crate::resource::{AudioProblems, Call, CallState, Change, Dtmf};
use crate::supervisor;

/// What a recording is called before its number, if a call has several.
const NUMBERS: std::ops::Range<u32> = 1..1000;

impl Serving<'_> {
    /// The module reported a key (`+RXDTMF`).
    pub(super) async fn tone_reported(&mut self, tone: char) {
        let active = |live: &&mut super::Live| live.call.state == CallState::Active;
        let Some(live) = self.calls.live.iter_mut().find(active) else {
            return;
        };
        let (key, now) = (live.key, live.began.elapsed());
        if live.keypad.reported(now, tone) {
            self.tone(key, tone).await;
        }
    }

    /// Waits for the next key in the audio.
    pub(super) fn await_press(&mut self, key: CallKey, mut presses: mpsc::Receiver<Press>) {
        self.start(async move {
            match presses.recv().await {
                Some(press) => modem::Done::Call(Done::Pressed(key, press, presses)),
                None => modem::Done::Answered,
            }
        });
    }

    pub(super) async fn pressed(&mut self, key: CallKey, press: Press, presses: mpsc::Receiver<Press>) {
        let Some(live) = self.calls.by_key(key) else { return };
        let now: Duration = live.began.elapsed();
        let news = live.keypad.heard(now, press);
        if let (true, Press::Began(tone)) = (news, press) {
            self.tone(key, tone).await;
        }
        self.await_press(key, presses);
    }

    async fn tone(&mut self, key: CallKey, tone: char) {
        let Some(live) = self.calls.by_key(key) else { return };
        let change = Change::Dtmf(Dtmf {
            call_id: live.call.id.clone(),
            tone,
        });
        let updates = live.updates.clone();
        let tell = move || {
            updates
                .iter()
                .for_each(|update| drop(update.try_send(modem::CallUpdate::Dtmf(tone))))
        };
        self.modem.recorder.record_then(change, Some(Box::new(tell))).await;
    }

    /// Waits for something to go wrong with the audio, or to be right again.
    pub(super) fn await_problems(&mut self, key: CallKey, mut problems: watch::Receiver<AudioProblems>) {
        self.start(async move {
            match problems.changed().await {
                Ok(()) => modem::Done::Call(Done::Problems(key, problems)),
                Err(_) => modem::Done::Answered,
            }
        });
    }

    pub(super) async fn problems_changed(&mut self, key: CallKey, mut problems: watch::Receiver<AudioProblems>) {
        let now = *problems.borrow_and_update();
        let Some(live) = self.calls.by_key(key) else { return };
        (live.call.downlink_problem, live.call.uplink_problem) = (now.downlink, now.uplink);
        tracing::warn!(call_id = live.call.id, downlink = ?now.downlink, uplink = ?now.uplink, "the audio of the call changed");
        self.record_call(key).await;
        self.await_problems(key, problems);
    }

    pub(in crate::modem) async fn set_recording(&mut self, call_id: Option<&str>, enabled: bool, reply: Reply<Call>) {
        let policy = self.modem.setup.voice.recording.calls;
        let live = match self.calls.find(call_id) {
            Ok(live) => live,
            Err(refusal) => return drop(reply.send(Err(refusal))),
        };
        if enabled && policy == RecordedCalls::Never {
            let key = "voice.recording.calls";
            return drop(reply.send(Err(Refusal::NotEnabled { key })));
        }
        live.record = enabled;
        let key = live.key;
        if !enabled {
            live.recording = None;
            live.call.recording = false;
            let call = live.call.clone();
            self.record_call(key).await;
            return drop(reply.send(Ok(call)));
        }
        let pending = live.recording.is_some() || !matches!(live.audio, Audio::On(_));
        if pending {
            return drop(reply.send(Ok(live.call.clone())));
        }
        self.start_recording(key, Some(reply));
    }

    /// Begins to record a call whose audio is on.
    pub(super) fn start_recording(&mut self, key: CallKey, reply: Option<Reply<Call>>) {
        let config = self.modem.setup.voice.recording.clone();
        let Some(live) = self.calls.by_key(key) else { return };
        let Audio::On(open) = &live.audio else { return };
        let (listener, rate) = (open.path.listen_patiently(), open.path.rate());
        let name = format!("{}-{}", live.call.start_time.strftime("%Y%m%dT%H%M%SZ"), live.call.id);
        self.start(async move {
            let begin = move || {
                let path = make_room(&config, &name)?;
                record(&path, rate, listener).map(|recording| (recording, path))
            };
            let begun = match supervisor::thread("recording", begin) {
                Ok(begun) => begun.await.unwrap_or_else(|_| Err(io::Error::other("its thread died"))),
                Err(error) => Err(error),
            };
            modem::Done::Call(Done::RecordingBegun(key, begun, reply))
        });
    }

    pub(super) async fn recording_begun(
        &mut self,
        key: CallKey,
        begun: io::Result<(Recording, PathBuf)>,
        reply: Option<Reply<Call>>,
    ) {
        let Some(live) = self.calls.by_key(key) else { return };
        let answer = match begun {
            Ok((mut recording, path)) => {
                let ended = recording.ended();
                live.call.recording_file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                live.call.recording = live.record;
                live.recording = live.record.then_some(recording);
                let call = live.call.clone();
                self.record_call(key).await;
                if let Some(ended) = ended {
                    self.start(async move {
                        let ended = ended.await.unwrap_or_else(|_| Err(io::Error::other("its thread died")));
                        modem::Done::Call(Done::RecordingEnded(key, ended))
                    });
                }
                Ok(call)
            }
            Err(error) => {
                tracing::error!(call_id = live.call.id, %error, "could not record the call; check the directory of recordings and its disk");
                Err(Refusal::RecordingFailed {
                    detail: error.to_string(),
                })
            }
        };
        if let Some(reply) = reply {
            let _ = reply.send(answer);
        }
    }

    pub(super) async fn recording_ended(&mut self, key: CallKey, ended: io::Result<()>) {
        if let Err(error) = &ended {
            tracing::error!(%error, "a recording ended early; check its disk");
        }
        let Some(live) = self.calls.by_key(key) else { return };
        if ended.is_err() && live.call.recording {
            live.recording = None;
            live.call.recording = false;
            self.record_call(key).await;
        }
    }
}

/// The path of a new recording, after the oldest ones made room for it.
fn make_room(config: &RecordingConfig, name: &str) -> io::Result<PathBuf> {
    let directory = config
        .directory
        .as_deref()
        .ok_or_else(|| io::Error::other("no directory is configured"))?;
    std::fs::create_dir_all(directory)?;
    prune(directory, config.total_max)?;
    let free = NUMBERS
        .map(|number| match number {
            1 => directory.join(format!("{name}.wav")),
            number => directory.join(format!("{name}-{number}.wav")),
        })
        .find(|path| !path.exists());
    free.ok_or_else(|| io::Error::other("this call has a thousand recordings"))
}

/// Deletes the oldest recordings until the others take no more than they may.
fn prune(directory: &Path, total_max: u64) -> io::Result<()> {
    let mut recordings = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "wav") {
            let metadata = entry.metadata()?;
            recordings.push((metadata.modified()?, metadata.len(), entry.path()));
        }
    }
    recordings.sort_unstable();
    let mut total: u64 = recordings.iter().map(|(_, length, _)| length).sum();
    for (_, length, path) in recordings {
        if total <= total_max {
            break;
        }
        std::fs::remove_file(&path)?;
        total = total.saturating_sub(length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_recordings_make_room_and_other_files_stay() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, age_s: u64| {
            let path = directory.path().join(name);
            std::fs::write(&path, [0; 100]).unwrap();
            let modified = std::time::SystemTime::now() - Duration::from_secs(age_s);
            std::fs::File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(modified)
                .unwrap();
        };
        for (name, age_s) in [("new.wav", 1), ("old.wav", 100), ("older.wav", 200), ("notes.txt", 300)] {
            write(name, age_s);
        }
        let config = RecordingConfig {
            calls: RecordedCalls::Always,
            directory: Some(directory.path().to_owned()),
            total_max: 250,
        };
        assert_eq!(make_room(&config, "call").unwrap(), directory.path().join("call.wav"));
        let left = |name| directory.path().join(name).exists();
        assert_eq!(
            ["new.wav", "old.wav", "older.wav", "notes.txt"].map(left),
            [true, true, false, true]
        );
        write("call.wav", 0);
        assert_eq!(make_room(&config, "call").unwrap(), directory.path().join("call-2.wav"));
    }
}
