//! The bot in calls of the scripted broker, whose caller speaks twenty times faster than real.

use std::path::Path;
use std::time::Duration;

use api::v1::{Call, CallDirection, CallState};
use client::audio::read_wav;
use client::testing::{Caller, FakeBroker};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use voice_bot::{Clips, Config, EndReason, Options, Report, Story};

struct Bot {
    stories: mpsc::Receiver<Story>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinSet<anyhow::Result<()>>,
}

impl Bot {
    fn start(config: Config) -> Self {
        let (sender, stories) = mpsc::channel(256);
        let (stop, stopped) = oneshot::channel::<()>();
        let mut running = JoinSet::new();
        running.spawn(voice_bot::run(config, Options { on_story: Some(sender) }, async {
            let _ = stopped.await;
        }));
        Self {
            stories,
            stop: Some(stop),
            running,
        }
    }

    async fn story<T>(&mut self, what: &str, mut wanted: impl FnMut(&Story) -> Option<T>) -> T {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let story = self.stories.recv().await.expect("the bot ended");
                if let Some(found) = wanted(&story) {
                    return found;
                }
            }
        });
        waited.await.unwrap_or_else(|_| panic!("gave up waiting: {what}"))
    }

    async fn report(&mut self) -> Report {
        let ended = |story: &Story| match story {
            Story::Ended(report) => Some((**report).clone()),
            _ => None,
        };
        self.story("the report", ended).await
    }

    async fn stop(mut self) -> Vec<Story> {
        self.stop.take().unwrap().send(()).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.running.join_next()).await;
        ended.expect("the bot should stop").unwrap().unwrap().unwrap();
        let mut left = Vec::new();
        while let Ok(story) = self.stories.try_recv() {
            left.push(story);
        }
        left
    }
}

fn config(fake: &FakeBroker) -> Config {
    Config {
        broker: fake.settings(),
        no_input_ms: 3000,
        ..Config::default()
    }
}

fn ringing(rings: u32) -> Call {
    Call {
        call_id: "c1".into(),
        modem: "sim1".into(),
        direction: CallDirection::Incoming.into(),
        state: CallState::Incoming.into(),
        number: "+15550100".into(),
        rings,
        ..Call::default()
    }
}

fn spoken() -> Vec<i16> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/speech/sense-and-sensibility-0880.wav"
    );
    [vec![0; 16_000], read_wav(Path::new(path)).unwrap()].concat()
}

/// Where `part` begins in `whole`.
fn find(whole: &[i16], part: &[i16]) -> Option<usize> {
    whole.windows(part.len()).position(|window| window == part)
}

#[tokio::test]
async fn a_caller_is_greeted_heard_and_answered_with_the_own_words() {
    let fake = FakeBroker::start();
    let speech = spoken();
    fake.with(|state| {
        state.caller = Caller {
            speech: speech.clone(),
            ..Caller::default()
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let report_file = directory.path().join("calls.jsonl");
    let mut bot = Bot::start(Config {
        answer_after_rings: 2,
        max_turns: 1,
        report_file: Some(report_file.clone()),
        ..config(&fake)
    });
    fake.put_call(ringing(1));
    bot.story("the first ring", |story| {
        matches!(story, Story::Ringing { rings: 1, .. }).then_some(())
    })
    .await;
    assert!(fake.with(|state| state.attachments.is_empty()), "one ring is too few");
    fake.put_call(ringing(2));
    let report = bot.report().await;
    assert_eq!(
        (report.end, report.rings, report.turns.len()),
        (EndReason::MaxTurns, 2, 1)
    );
    let turn = &report.turns[0];
    assert!((1500..3000).contains(&turn.heard_ms), "{turn:?}");
    assert!((780..=820).contains(&turn.endpoint_ms), "{turn:?}");
    assert!(turn.reply_ms.is_some() && !turn.talked_over, "{turn:?}");

    let (uplink, attachments) = fake.with(|state| (state.uplink.clone(), state.attachments.clone()));
    assert!(attachments[0].answer);
    let clips = Clips::load(&Config::default()).unwrap();
    let greeted = find(&uplink, &clips.greeting).expect("the greeting was played whole");
    let answered = find(&uplink, &speech[20_000..36_000]).expect("the caller's words were played back");
    let parted = find(&uplink, &clips.goodbye).expect("the goodbye was played whole");
    assert!(greeted < answered && answered < parted);

    let line = std::fs::read_to_string(report_file).unwrap();
    assert_eq!(line.lines().count(), 1);
    assert!(
        line.contains(r#""end":"max-turns""#) && !line.contains("5550100"),
        "{line}"
    );
    bot.stop().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_ends_the_call_cleanly_and_the_next_one_is_answered() {
    let fake = FakeBroker::start();
    fake.with(|state| {
        state.caller = Caller {
            hangs_up_after: Some(8000),
            ..Caller::default()
        }
    });
    let mut bot = Bot::start(config(&fake));
    fake.put_call(ringing(1));
    assert_eq!(bot.report().await.end, EndReason::Caller);
    fake.put_call(Call {
        call_id: "c2".into(),
        ..ringing(1)
    });
    let report = bot.report().await;
    assert_eq!((report.call_id.as_str(), report.end), ("c2", EndReason::Caller));
    bot.stop().await;
}

#[tokio::test]
async fn a_silent_caller_is_asked_once_and_then_left() {
    let fake = FakeBroker::start();
    let mut bot = Bot::start(config(&fake));
    fake.put_call(ringing(1));
    bot.story("the prompt", |story| {
        matches!(story, Story::Reprompted { .. }).then_some(())
    })
    .await;
    let report = bot.report().await;
    assert_eq!((report.end, report.turns.len()), (EndReason::NoInput, 0));
    assert_eq!(fake.with(|state| state.calls[0].state()), CallState::Disconnected);
    bot.stop().await;
}

#[tokio::test]
async fn a_broker_that_crashes_in_a_call_gets_it_back() {
    let mut fake = FakeBroker::start();
    fake.with(|state| {
        state.caller = Caller {
            speech: spoken(),
            ..Caller::default()
        }
    });
    let mut bot = Bot::start(Config {
        max_turns: 1,
        ..config(&fake)
    });
    fake.put_call(ringing(1));
    bot.story("the answer", |story| {
        matches!(story, Story::Answered { .. }).then_some(())
    })
    .await;
    fake.crash().await;
    fake.resume();
    let report = bot.report().await;
    assert_eq!(
        (report.end, report.reattachments),
        (EndReason::MaxTurns, 1),
        "{report:?}"
    );
    let attachments = fake.with(|state| state.attachments.clone());
    assert!(attachments[0].answer && !attachments[1].answer);
    bot.stop().await;
}

#[tokio::test]
async fn a_call_that_rings_already_is_answered_and_a_stop_hangs_up() {
    let fake = FakeBroker::start();
    fake.put_call(ringing(3));
    fake.put_call(Call {
        call_id: "out".into(),
        direction: CallDirection::Outgoing.into(),
        ..ringing(3)
    });
    let mut bot = Bot::start(Config {
        no_input_ms: 120_000,
        max_call_s: 14_400,
        ..config(&fake)
    });
    let call_id = bot
        .story("the answer", |story| match story {
            Story::Answered { call_id } => Some(call_id.clone()),
            _ => None,
        })
        .await;
    assert_eq!(call_id, "c1");
    let left = bot.stop().await;
    assert!(
        matches!(&left[..], [.., Story::Ended(report)] if report.end == EndReason::Stopped),
        "{left:?}"
    );
    let call = fake.with(|state| state.calls.iter().find(|call| call.call_id == "c1").cloned().unwrap());
    assert_eq!(call.state(), CallState::Disconnected);
}
