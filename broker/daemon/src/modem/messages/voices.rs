//! Two voices tell of each message that the module stored: `+CMTI` on the AT port, and an event report by QMI. Either may be
//! lost; the first that comes is believed, and the other one for the same message is not news.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Place;

/// How long the second voice may take. What is not told by then was lost.
const APART: Duration = Duration::from_secs(5);

/// Places of which one voice was heard. More are forgotten: then a place that is already empty is read once.
const HEARD_LIMIT: usize = 1000;

/// Who tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    /// `+CMTI`
    At,
    /// The event report.
    Qmi,
}

/// How far one voice is ahead of the other, by place: a place is used again as soon as it is free.
#[derive(Default)]
pub(super) struct Voices(HashMap<Place, (i64, Instant)>);

impl Voices {
    /// Whether nobody has told of this message yet.
    pub(super) fn is_news(&mut self, voice: Voice, place: &Place, now: Instant) -> bool {
        if self.0.len() >= HEARD_LIMIT {
            self.0.clear();
        }
        let recent = |(_, heard): &(i64, Instant)| now.saturating_duration_since(*heard) < APART;
        let ahead = self.0.remove(place).filter(recent).map_or(0, |(ahead, _)| ahead);
        let (ahead, is_news) = match voice {
            Voice::At => (ahead + 1, ahead + 1 > 0),
            Voice::Qmi => (ahead - 1, ahead - 1 < 0),
        };
        if ahead != 0 {
            self.0.insert(place.clone(), (ahead, now));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use cellular::at::command::Storage;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_message_is_news_once_whichever_voice_is_lost() {
        use Voice::{At, Qmi};
        let (first, second) = (0, 1);
        // Voices in their order, each with its place and whether it is news.
        let cases: [&[(Voice, u16, bool)]; 6] = [
            &[
                (At, first, true),
                (Qmi, first, false),
                (At, first, true),
                (Qmi, first, false),
            ],
            &[
                (Qmi, first, true),
                (At, first, false),
                (At, first, true),
                (Qmi, first, false),
            ],
            // The place is used again before the other voice has told of the first message.
            &[
                (At, first, true),
                (At, first, true),
                (Qmi, first, false),
                (Qmi, first, false),
            ],
            // One voice only.
            &[(At, first, true), (At, second, true), (At, first, true)],
            &[(Qmi, first, true), (Qmi, second, true), (Qmi, first, true)],
            // A voice is lost once: the next message in this place is told by its second voice.
            &[
                (Qmi, first, true),
                (At, first, false),
                (Qmi, first, true),
                (At, first, false),
                (Qmi, first, true),
            ],
        ];
        for case in cases {
            let mut voices = Voices::default();
            for (step, (voice, index, is_news)) in case.iter().enumerate() {
                let place = Place {
                    storage: Storage::Sim,
                    index: *index,
                };
                assert_eq!(
                    voices.is_news(*voice, &place, Instant::now()),
                    *is_news,
                    "{case:?} {step}"
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_voice_that_was_lost_long_ago_is_not_taken_for_the_next_message() {
        let place = Place {
            storage: Storage::Sim,
            index: 0,
        };
        let mut voices = Voices::default();
        assert!(voices.is_news(Voice::Qmi, &place, Instant::now()));
        tokio::time::advance(APART).await;
        assert!(voices.is_news(Voice::At, &place, Instant::now()));
    }
}
