//! What happens in a run, drawn from a seed.

use std::time::Duration;

use fastrand::Rng;
use simulator::{Code, Fault, FaultAction, Phase};

/// Messages each way.
const MESSAGES: usize = 50;

/// The order of events of one run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it was drawn from.
    pub seed: u64,
    /// What the network delivers.
    pub incoming: Vec<Incoming>,
    /// What clients ask to be sent.
    pub outgoing: Vec<Outgoing>,
    /// The lives of the broker that end with a kill. One more follows, in which all comes to rest.
    pub lives: Vec<Life>,
}

/// A message for the modem.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Not before this life of the broker, so that each of them has something to do.
    pub life: usize,
    /// After the one before.
    pub pause: Duration,
    /// Who sent it.
    pub from: String,
    /// No two are equal.
    pub text: String,
}

/// A message that a client wants to send.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Not before this life of the broker.
    pub life: usize,
    /// After the one before of the same client.
    pub pause: Duration,
    /// To whom.
    pub to: String,
    /// No two are equal, and no part of one is a part of another.
    pub text: String,
    /// Its request id.
    pub request_id: String,
    /// A delivery report is asked for.
    pub report: bool,
    /// The client asks a second time although it was answered.
    pub asked_again: bool,
}

/// One life of the broker.
#[derive(Clone, Debug)]
pub struct Life {
    /// What the modem does wrong meanwhile.
    pub mishaps: Vec<Mishap>,
    /// How it ends.
    pub blow: Blow,
    /// Until the next life.
    pub pause: Duration,
}

/// When the broker is killed.
#[derive(Clone, Debug)]
pub enum Blow {
    /// So long after its start.
    Time(Duration),
    /// So long after the archive was given the first event of this life.
    Work(Duration),
    /// At a command, at the moment that the phase says.
    Command {
        /// As a fault names it.
        matches: &'static str,
        /// Which one of them.
        nth: u32,
        /// Before it, after it, or at its prompt.
        phase: Phase,
    },
    /// When the archive was given so many more events.
    Event(u32),
    /// When so many more requests are on their way to it.
    Request(u32),
}

/// Something that the modem does wrong.
#[derive(Clone, Debug)]
pub struct Mishap(pub Fault);

impl Plan {
    /// Kills only.
    pub fn of_kills(seed: u64) -> Plan {
        Plan::draw(seed, false)
    }

    /// Kills, and a modem that misbehaves.
    pub fn of_mishaps(seed: u64) -> Plan {
        Plan::draw(seed, true)
    }

    fn draw(seed: u64, mishaps: bool) -> Plan {
        let mut random = Rng::with_seed(seed);
        let lives: Vec<Life> = (0..random.usize(3..=6)).map(|_| life(&mut random, mishaps)).collect();
        // The last share is left for the life after the last blow.
        let life_of = |number: usize| number * (lives.len() + 1) / MESSAGES;
        let incoming = (0..MESSAGES)
            .map(|number| incoming(&mut random, number, life_of(number)))
            .collect();
        let outgoing = (0..MESSAGES)
            .map(|number| outgoing(&mut random, number, life_of(number)))
            .collect();
        Plan {
            seed,
            incoming,
            outgoing,
            lives,
        }
    }
}

fn millis(random: &mut Rng, range: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_millis(random.u64(range))
}

fn incoming(random: &mut Rng, number: usize, life: usize) -> Incoming {
    let long = random.u8(..10) == 0;
    Incoming {
        life,
        // Most come in bursts.
        pause: if random.bool() {
            Duration::ZERO
        } else {
            millis(random, 0..=16)
        },
        from: format!("+4477009001{:02}", random.u8(..4)),
        text: text("in", number, long),
    }
}

fn outgoing(random: &mut Rng, number: usize, life: usize) -> Outgoing {
    let long = random.u8(..8) == 0;
    Outgoing {
        life,
        pause: millis(random, 0..=12),
        to: format!("+4477009002{:02}", random.u8(..4)),
        text: text("out", number, long),
        request_id: uuid(random),
        report: random.bool(),
        asked_again: random.u8(..4) == 0,
    }
}

/// A text of which every stretch of a word's length is unlike any other, so that a part tells what it is a part of.
fn text(way: &str, number: usize, long: bool) -> String {
    let words = if long { 30 } else { 2 };
    (0..words)
        .map(|word| format!("{way}-{number:03}-{word:02}. "))
        .collect()
}

fn uuid(random: &mut Rng) -> String {
    let octets = random.u128(..).to_be_bytes();
    ::uuid::Builder::from_random_bytes(octets).into_uuid().to_string()
}

fn life(random: &mut Rng, mishaps: bool) -> Life {
    let count = if mishaps { random.usize(0..=2) } else { 0 };
    Life {
        mishaps: (0..count).map(|_| mishap(random)).collect(),
        blow: blow(random),
        pause: millis(random, 0..=20),
    }
}

fn blow(random: &mut Rng) -> Blow {
    match random.u8(..10) {
        0 => Blow::Time(millis(random, 1..=160)),
        1..3 => Blow::Work(millis(random, 0..=60)),
        3 => Blow::Event(random.u32(1..=40)),
        4 => Blow::Request(random.u32(1..=20)),
        _ => {
            let (matches, most) = *random
                .choice(&[
                    ("+CMGS", 10),
                    ("+CMGS", 3),
                    ("+CMGD", 10),
                    ("+CMGD", 3),
                    ("+CMGR", 10),
                    ("+CMMS", 2),
                    ("", 80),
                ])
                .unwrap_or(&("", 1));
            let phases: &[Phase] = if matches == "+CMGS" {
                &[Phase::Before, Phase::Prompted, Phase::After, Phase::After]
            } else {
                &[Phase::Before, Phase::After]
            };
            Blow::Command {
                matches,
                nth: random.u32(1..=most),
                phase: *random.choice(phases).unwrap_or(&Phase::After),
            }
        }
    }
}

fn mishap(random: &mut Rng) -> Mishap {
    let unplug = |random: &mut Rng| FaultAction::Unplug {
        replug_after_ms: Some(random.u64(5..=60)),
        renumber: random.bool(),
    };
    let garbage = |random: &mut Rng| FaultAction::InjectBytes {
        hex: (0..random.usize(1..=300))
            .map(|_| format!("{:02X}", random.u8(..)))
            .collect(),
    };
    let (matches, phase, action) = match random.u8(..12) {
        // Between the durable message and the freed place.
        0 => ("+CMGD", Phase::Before, unplug(random)),
        1 => ("+CMGD", Phase::After, unplug(random)),
        2 => ("+CMGR", Phase::After, unplug(random)),
        // The network has it, and nobody says so.
        3 => ("+CMGS", Phase::After, unplug(random)),
        4 => ("+CMGS", Phase::Prompted, unplug(random)),
        5 => ("+CMGS", Phase::Before, FaultAction::ResetAfterPrompt),
        6 => ("+CMGS", Phase::Before, FaultAction::LoseFinalResult),
        7 => ("+CMGS", Phase::Before, FaultAction::Delay { ms: random.u64(1..=80) }),
        8 => {
            let code = Code::Cms(*random.choice(&[38, 42, 304, 330, 500, 512]).unwrap_or(&500));
            ("+CMGS", Phase::Before, FaultAction::Refuse { code })
        }
        9 => ("+CMG", Phase::Before, garbage(random)),
        10 => ("+CMG", Phase::After, garbage(random)),
        _ => ("+CMGD", Phase::Before, FaultAction::Delay { ms: random.u64(1..=80) }),
    };
    Mishap(Fault::on_command(matches, phase, action).at_nth(random.u32(1..=8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_no_two_texts_share_a_word() {
        let plan = Plan::of_mishaps(7);
        assert_eq!(format!("{plan:?}"), format!("{:?}", Plan::of_mishaps(7)));
        assert_ne!(format!("{plan:?}"), format!("{:?}", Plan::of_mishaps(8)));
        let texts = plan.incoming.iter().map(|message| &message.text);
        let texts = texts.chain(plan.outgoing.iter().map(|message| &message.text));
        let mut words: Vec<&str> = texts.flat_map(|text| text.split_whitespace()).collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }
}
