//! What the bot does in a call, as a pure value: audio and marks in, actions out. Its clock is the caller's audio.

use serde::Serialize;

use crate::clip::Clips;
use crate::config::{Config, DuringPlayout};
use crate::turn::{SpeechClassifier, TurnDetector, TurnEvent, Utterance, ms, samples};

/// How much later than its length a playout's mark may come before the bot stops waiting for it.
const MARK_GRACE_MS: u32 = 5000;
/// How long the bot may part before it hangs up in the middle of its words.
const GOODBYE_GRACE_MS: u32 = 20_000;

/// What the bot does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Plays audio. The first mark goes after the first frame, the second to the end.
    Play {
        /// The audio.
        samples: Vec<i16>,
        /// The mark after the first frame.
        begun: String,
        /// The mark at the end.
        done: String,
    },
    /// Drops what was not played yet.
    Clear,
    /// Hangs up.
    HangUp,
    /// A turn ended; for the story.
    Heard {
        /// The turn, from 1.
        turn: usize,
        /// How long the caller spoke.
        heard_ms: u64,
    },
    /// The first sample of an answer was played; for the story.
    Replied {
        /// The turn, from 1.
        turn: usize,
        /// From the caller's last sample to the first of the answer.
        after_ms: u64,
    },
    /// The caller is asked again; for the story.
    Reprompted,
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The caller hung up, or the network ended the call.
    Caller,
    /// The bot had answered as often as it should.
    MaxTurns,
    /// The caller said nothing.
    NoInput,
    /// The call was as long as it may be.
    MaxDuration,
    /// The bot was stopped.
    Stopped,
    /// Another client took the call.
    TakenOver,
    /// The audio or the broker was lost.
    Lost,
    /// The call could not be answered.
    NotAnswered,
}

/// The times of one turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TurnRecord {
    /// The turn, from 1.
    pub turn: usize,
    /// How long the caller spoke.
    pub heard_ms: u64,
    /// From the caller's last speech to the decision that the turn is over.
    pub endpoint_ms: u64,
    /// How long the answer waited for the caller or for the playout before it.
    pub held_ms: u64,
    /// From the decision to the first sample of the answer; none if it was never played.
    pub reply_ms: Option<u64>,
    /// Whether the turn was ended for its length.
    pub forced: bool,
    /// Whether the answer began although the caller was speaking, because it had waited long enough.
    pub talked_over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Greeting,
    Reply(usize),
    Reprompt,
    Goodbye,
}

struct Playing {
    purpose: Purpose,
    begun: String,
    done: String,
    started_at: u64,
    deadline: u64,
}

struct Reply {
    turn: usize,
    samples: Vec<i16>,
    decided_at: u64,
}

/// A conversation with one caller.
pub struct Conversation<'a, C> {
    config: &'a Config,
    clips: &'a Clips,
    detector: TurnDetector<C>,
    /// Samples heard, lost ones included.
    clock: u64,
    playing: Option<Playing>,
    held: Option<Reply>,
    /// The last sample at which either side said something.
    idle_since: u64,
    reprompted: bool,
    parting: Option<EndReason>,
    parting_since: u64,
    hung_up: bool,
    playouts: usize,
    turns: Vec<TurnRecord>,
}

impl<'a, C: SpeechClassifier> Conversation<'a, C> {
    /// A conversation that has not begun.
    pub fn new(config: &'a Config, clips: &'a Clips, classifier: C) -> Self {
        Self {
            config,
            clips,
            detector: TurnDetector::new(classifier, config.turn_settings()),
            clock: 0,
            playing: None,
            held: None,
            idle_since: 0,
            reprompted: false,
            parting: None,
            parting_since: 0,
            hung_up: false,
            playouts: 0,
            turns: Vec::new(),
        }
    }

    /// The times of the turns so far.
    pub fn turns(&self) -> &[TurnRecord] {
        &self.turns
    }

    /// The length of the conversation so far.
    pub fn duration_ms(&self) -> u64 {
        ms(self.clock)
    }

    /// Why the bot itself ends the call, once it does.
    pub fn end_reason(&self) -> Option<EndReason> {
        self.parting
    }

    /// The call was answered.
    pub fn begin(&mut self) -> Vec<Action> {
        vec![self.play(Purpose::Greeting, self.clips.greeting.clone())]
    }

    /// The caller's audio. `lost` samples before it did not arrive.
    pub fn hear(&mut self, audio: &[i16], lost: u64) -> Vec<Action> {
        self.clock += lost + audio.len() as u64;
        let mut actions = Vec::new();
        if self.parting.is_none() {
            if self.playing.is_some() && self.config.during_playout == DuringPlayout::Ignore {
                self.detector.reset();
            } else {
                for event in self.detector.hear(audio) {
                    self.take(event, &mut actions);
                }
            }
            if self.detector.is_caller_speaking() {
                self.idle_since = self.clock;
            }
        }
        self.tick(&mut actions);
        actions
    }

    /// A mark came back.
    pub fn reach(&mut self, mark: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(playing) = &self.playing else { return actions };
        if mark == playing.begun {
            if let Purpose::Reply(turn) = playing.purpose {
                let waited = self.clock - playing.started_at;
                actions.extend(self.note_reply(turn, waited));
            }
        } else if mark == playing.done {
            self.finish_playout(&mut actions);
        }
        actions
    }

    /// The stream broke and was attached again: what was played before will never be confirmed.
    pub fn resume(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        self.detector.reset();
        if self.playing.is_some() {
            self.finish_playout(&mut actions);
        }
        actions
    }

    fn take(&mut self, event: TurnEvent, actions: &mut Vec<Action>) {
        match event {
            TurnEvent::Started => {
                if self.config.during_playout == DuringPlayout::BargeIn && self.playing.take().is_some() {
                    actions.push(Action::Clear);
                }
            }
            TurnEvent::Dismissed => {}
            TurnEvent::Ended(utterance) => self.answer(utterance, actions),
        }
    }

    fn answer(&mut self, said: Utterance, actions: &mut Vec<Action>) {
        // The detector counts what arrived; the conversation counts what was lost, too.
        let lost = self.clock - self.detector.position().min(self.clock);
        let turn = self.turns.len() + 1;
        let heard_ms = ms(said.speech_end - said.speech_start);
        self.turns.push(TurnRecord {
            turn,
            heard_ms,
            endpoint_ms: ms(said.decided_at - said.speech_end),
            held_ms: 0,
            reply_ms: None,
            forced: said.forced,
            talked_over: false,
        });
        actions.push(Action::Heard { turn, heard_ms });
        self.reprompted = false;
        let mut audio = self.clips.reply_prefix.clone();
        audio.extend(said.samples);
        // The caller went on before the last answer could be played: the newest words are the ones to answer.
        self.held = Some(Reply {
            turn,
            samples: audio,
            decided_at: said.decided_at + lost,
        });
    }

    fn tick(&mut self, actions: &mut Vec<Action>) {
        if self.hung_up {
            return;
        }
        if self.parting.is_some() && self.clock - self.parting_since >= samples(GOODBYE_GRACE_MS) {
            self.hung_up = true;
            actions.push(Action::HangUp);
            return;
        }
        if self
            .playing
            .as_ref()
            .is_some_and(|playing| self.clock >= playing.deadline)
        {
            self.finish_playout(actions);
        }
        if self.parting.is_none() && self.clock >= samples(self.config.max_call_s * 1000) {
            if self.playing.take().is_some() {
                actions.push(Action::Clear);
            }
            self.part(EndReason::MaxDuration, actions);
        }
        if self.playing.is_some() || self.parting.is_some() {
            return;
        }
        if self.held.is_some() {
            self.release(actions);
        } else if !self.detector.is_caller_speaking()
            && self.clock - self.idle_since >= samples(self.config.no_input_ms)
        {
            if self.reprompted {
                self.part(EndReason::NoInput, actions);
            } else {
                self.reprompted = true;
                actions.push(Action::Reprompted);
                let action = self.play(Purpose::Reprompt, self.clips.reprompt.clone());
                actions.push(action);
            }
        }
    }

    /// Plays the answer that waits, unless the caller is speaking: the check is made at the moment of playback.
    fn release(&mut self, actions: &mut Vec<Action>) {
        let speaking = self.detector.is_caller_speaking();
        let waited = self.held.as_ref().map_or(0, |reply| self.clock - reply.decided_at);
        if speaking && waited < samples(self.config.hold_max_ms) {
            return;
        }
        let Some(reply) = self.held.take() else { return };
        if let Some(record) = self.turns.get_mut(reply.turn - 1) {
            record.held_ms = ms(waited);
            record.talked_over = speaking;
        }
        let action = self.play(Purpose::Reply(reply.turn), reply.samples);
        actions.push(action);
    }

    fn play(&mut self, purpose: Purpose, audio: Vec<i16>) -> Action {
        self.playouts += 1;
        let (begun, done) = (format!("{}-begun", self.playouts), format!("{}-done", self.playouts));
        let deadline = self.clock + audio.len() as u64 + samples(MARK_GRACE_MS);
        self.playing = Some(Playing {
            purpose,
            begun: begun.clone(),
            done: done.clone(),
            started_at: self.clock,
            deadline,
        });
        Action::Play {
            samples: audio,
            begun,
            done,
        }
    }

    fn note_reply(&mut self, turn: usize, waited: u64) -> Option<Action> {
        let record = self.turns.get_mut(turn - 1)?;
        let reply_ms = record.held_ms + ms(waited);
        record.reply_ms = Some(reply_ms);
        Some(Action::Replied {
            turn,
            after_ms: record.endpoint_ms + reply_ms,
        })
    }

    fn finish_playout(&mut self, actions: &mut Vec<Action>) {
        let Some(playing) = self.playing.take() else { return };
        self.idle_since = self.clock;
        match playing.purpose {
            Purpose::Goodbye => {
                self.hung_up = true;
                actions.push(Action::HangUp);
            }
            Purpose::Reply(turn) if self.config.max_turns > 0 && turn >= self.config.max_turns => {
                self.part(EndReason::MaxTurns, actions);
            }
            Purpose::Greeting | Purpose::Reply(_) | Purpose::Reprompt => {}
        }
    }

    fn part(&mut self, reason: EndReason, actions: &mut Vec<Action>) {
        self.parting = Some(reason);
        self.parting_since = self.clock;
        self.held = None;
        let action = self.play(Purpose::Goodbye, self.clips.goodbye.clone());
        actions.push(action);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::tests::{Loudness, draw};

    /// Lets a caller speak to a conversation whose playouts take exactly as long as their audio; returns the story, with
    /// the tenths of a second at which each line was told.
    fn converse(config: &Config, picture: &str) -> (Vec<String>, Vec<TurnRecord>) {
        let clips = Clips {
            greeting: vec![1; 2400],
            reply_prefix: vec![],
            reprompt: vec![1; 1600],
            goodbye: vec![1; 1600],
        };
        let mut conversation = Conversation::new(config, &clips, Loudness);
        let mut story = Vec::new();
        let mut marks: Vec<(usize, String)> = Vec::new();
        let mut pending = conversation.begin();
        let audio = draw(picture);
        'call: for (index, frame) in audio.chunks(160).enumerate() {
            let now = index * 160;
            pending.extend(conversation.hear(frame, 0));
            let due: Vec<_> = marks
                .iter()
                .filter(|(at, _)| *at <= now)
                .map(|(_, mark)| mark.clone())
                .collect();
            marks.retain(|(at, _)| *at > now);
            for mark in due {
                pending.extend(conversation.reach(&mark));
            }
            for action in pending.drain(..) {
                let tenths = now / 800;
                match action {
                    Action::Play { samples, begun, done } => {
                        story.push(format!("{tenths}: play {}", samples.len() / 8));
                        marks.push((now + 160, begun));
                        marks.push((now + samples.len(), done));
                    }
                    Action::Clear => {
                        story.push(format!("{tenths}: clear"));
                        marks.clear();
                    }
                    Action::HangUp => {
                        story.push(format!("{tenths}: hang up ({:?})", conversation.end_reason()));
                        break 'call;
                    }
                    Action::Heard { turn, heard_ms } => story.push(format!("{tenths}: heard {turn}, {heard_ms}")),
                    Action::Replied { turn, .. } => story.push(format!("{tenths}: replied {turn}")),
                    Action::Reprompted => story.push(format!("{tenths}: reprompt")),
                }
            }
        }
        (story, conversation.turns().to_vec())
    }

    fn brisk() -> Config {
        Config {
            pre_roll_ms: 0,
            no_input_ms: 2000,
            max_call_s: 60,
            ..Config::default()
        }
    }

    #[test]
    fn a_turn_is_answered_after_its_end_and_not_before() {
        let config = Config {
            max_turns: 1,
            ..brisk()
        };
        let (story, turns) = converse(&config, ".....#####..............................");
        assert_eq!(
            story,
            [
                "0: play 300",
                "17: heard 1, 500",
                "17: play 700",
                "18: replied 1",
                "24: play 200",
                "26: hang up (Some(MaxTurns))"
            ]
        );
        assert_eq!(
            (turns[0].endpoint_ms, turns[0].held_ms, turns[0].talked_over),
            (800, 0, false)
        );
        assert_eq!(turns[0].reply_ms, Some(20));
    }

    #[test]
    fn a_silent_caller_is_asked_once_and_then_left() {
        let (story, _) = converse(&brisk(), &".".repeat(80));
        assert_eq!(
            story,
            [
                "0: play 300",
                "23: reprompt",
                "23: play 200",
                "45: play 200",
                "47: hang up (Some(NoInput))"
            ]
        );
    }

    #[test]
    fn an_answer_is_held_while_the_caller_speaks_and_the_newest_words_are_answered() {
        // The second turn ends while the first answer plays; the third begins before that answer has ended.
        let (story, turns) = converse(
            &brisk(),
            "#################.........###........#####........................",
        );
        assert!(turns.iter().all(|turn| !turn.talked_over), "{turns:?}");
        let plays: Vec<_> = story.iter().filter(|line| line.contains("play")).collect();
        assert_eq!(turns.len(), 3);
        assert_eq!(turns[1].reply_ms, None, "superseded: {story:?}");
        assert!(turns[2].reply_ms.is_some(), "{story:?}");
        assert_eq!(plays.len(), 3, "greeting, first and third answer: {story:?}");
    }

    #[test]
    fn an_answer_is_not_held_for_ever() {
        let config = Config {
            max_utterance_ms: 2000,
            hold_max_ms: 1000,
            no_input_ms: 60_000,
            ..brisk()
        };
        let (_, turns) = converse(&config, &"#".repeat(80));
        assert!(turns[0].forced && turns[0].talked_over, "{turns:?}");
        assert_eq!(turns[0].held_ms, 1000);
    }

    #[test]
    fn what_is_said_during_the_playout_is_ignored_heard_or_interrupts() {
        let picture = ".....################..........##########...............................";
        for (during_playout, turns, clears) in [
            (DuringPlayout::Ignore, 1, 0),
            (DuringPlayout::Listen, 2, 0),
            (DuringPlayout::BargeIn, 2, 1),
        ] {
            let (story, heard) = converse(
                &Config {
                    during_playout,
                    no_input_ms: 60_000,
                    ..brisk()
                },
                picture,
            );
            assert_eq!(heard.len(), turns, "{during_playout:?}: {story:?}");
            assert_eq!(
                story.iter().filter(|line| line.contains("clear")).count(),
                clears,
                "{during_playout:?}"
            );
        }
    }

    #[test]
    fn a_call_has_an_end() {
        let config = Config {
            max_call_s: 10,
            no_input_ms: 60_000,
            ..brisk()
        };
        let (story, _) = converse(&config, &"#".repeat(400));
        assert_eq!(story.last().unwrap(), "101: hang up (Some(MaxDuration))");
    }

    #[test]
    fn a_mark_that_never_comes_back_does_not_silence_the_bot() {
        let (config, clips) = (brisk(), Clips::load(&Config::default()).unwrap());
        let mut conversation = Conversation::new(&config, &clips, Loudness);
        assert_eq!(conversation.begin().len(), 1);
        let told: Vec<_> = draw(&".".repeat(120))
            .chunks(160)
            .flat_map(|frame| conversation.hear(frame, 0))
            .collect();
        assert!(told.contains(&Action::Reprompted), "{told:?}");
    }
}
