//! The recovery ladder: what is tried next with a modem that does not answer.
//!
//! ```text
//!          trouble                    it answers               held for a minute
//!   Well ───────────▶ Trying(step) ───────────────▶ Held(step) ─────────────────▶ Well
//!     ▲                 │  ▲    ▲                      │
//!     │        it fails │  │    └──── trouble again ───┘  with the next step, not the first
//!     │                 ▼  │ pause over
//!     │             Waiting(next step) ── no step left ──▶ GaveUp ── long pause ──┐
//!     └───────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Steps become harsher upwards. Evidence says where to begin and where to end: a module that answers is not helped by its
//! power being cut. Each step has a budget within a window, so that no step is repeated for ever, and the harsh ones pause
//! between two uses. Success is service held for a while; a relapse within it goes on upwards instead of starting over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A rung of the ladder, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Step {
    /// Make sure that no late reply can come, and ask again. The session does so by itself.
    Resynchronise,
    /// Close and reopen the port.
    ReopenPort,
    /// Let the other AT port take over all roles.
    SwitchPort,
    /// Radio off and on (27.007 8.2, `AT+CFUN=4`, `AT+CFUN=1`).
    CycleRadio,
    /// Restart the module (`AT+CRESET`).
    ResetModule,
    /// Switch the power or the authorisation of the USB port.
    CycleUsb,
    /// Run the configured power hook.
    PowerHook,
}

impl Step {
    /// All of them, upwards.
    pub const ALL: [Step; 7] = [
        Step::Resynchronise,
        Step::ReopenPort,
        Step::SwitchPort,
        Step::CycleRadio,
        Step::ResetModule,
        Step::CycleUsb,
        Step::PowerHook,
    ];

    /// Whether it ends calls, and so has to wait for them.
    #[must_use]
    pub fn is_disruptive(self) -> bool {
        self >= Step::CycleRadio
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::Resynchronise => "resynchronising the AT session",
            Step::ReopenPort => "reopening the port",
            Step::SwitchPort => "letting the other AT port take over",
            Step::CycleRadio => "switching the radio off and on (AT+CFUN)",
            Step::ResetModule => "resetting the module (AT+CRESET)",
            Step::CycleUsb => "switching the USB port off and on",
            Step::PowerHook => "running the power hook",
        }
    }

    fn next(self) -> Option<Step> {
        Step::ALL.get(self as usize + 1).copied()
    }

    fn previous(self) -> Step {
        Step::ALL[(self as usize).saturating_sub(1)]
    }
}

/// What shows that something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// A command got no final result code.
    CommandUnanswered,
    /// Probes of the session got no answer either.
    ProbeUnanswered,
    /// The port died while the device stayed on the bus.
    PortClosed,
    /// The module answers and refuses what it has to do.
    Refused,
    /// The kernel does not return from opening a port.
    OpenHangs,
    /// The device left the bus by itself and does not come back.
    Vanished,
    /// The module refused a call's audio at first, which only a restart is known to cure.
    AudioRefused,
}

impl Evidence {
    /// All of them.
    pub const ALL: [Evidence; 7] = [
        Evidence::CommandUnanswered,
        Evidence::ProbeUnanswered,
        Evidence::PortClosed,
        Evidence::Refused,
        Evidence::OpenHangs,
        Evidence::Vanished,
        Evidence::AudioRefused,
    ];

    /// The first and the last step that make sense.
    fn range(self) -> (Step, Step) {
        match self {
            Evidence::CommandUnanswered => (Step::Resynchronise, Step::ResetModule),
            Evidence::ProbeUnanswered | Evidence::PortClosed => (Step::ReopenPort, Step::PowerHook),
            Evidence::Refused => (Step::ReopenPort, Step::ResetModule),
            Evidence::AudioRefused => (Step::ResetModule, Step::ResetModule),
            Evidence::OpenHangs | Evidence::Vanished => (Step::CycleUsb, Step::PowerHook),
        }
    }
}

/// Budgets and pauses. [`Policy::default`] suits a modem that nobody can walk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Uses of each step within the window.
    pub budgets: [u32; Step::ALL.len()],
    /// How long a use counts.
    pub window: Duration,
    /// How long service has to hold for a step to have succeeded.
    pub hold: Duration,
    /// The pause before the second use of a disruptive step within the window. It doubles with each further one.
    pub pause: Duration,
    /// The longest such pause.
    pub pause_max: Duration,
    /// How long nothing is tried after giving up. It doubles each time.
    pub rest: Duration,
    /// The longest such rest.
    pub rest_max: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // A status that is read every 90 s and never answered must not use the first one up.
            budgets: [60, 12, 6, 4, 4, 3, 2],
            window: Duration::from_secs(3600),
            hold: Duration::from_secs(60),
            pause: Duration::from_secs(30),
            pause_max: Duration::from_secs(900),
            rest: Duration::from_secs(900),
            rest_max: Duration::from_secs(4 * 3600),
        }
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Nothing,
    /// Take this step, and tell how it went.
    Take(Step),
    /// Wait; then [`Ladder::due`] says what to do.
    Wait(Instant),
    /// Nothing is left to try before this instant. Somebody has to be told.
    GiveUp(Instant),
}

/// Where the ladder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The modem is well.
    Well,
    /// A step is being taken, and it is not known yet whether it helps.
    Trying {
        /// The step.
        step: Step,
        /// Why.
        evidence: Evidence,
    },
    /// A step is to be taken after a pause.
    Waiting {
        /// The step.
        step: Step,
        /// When.
        until: Instant,
        /// Why.
        evidence: Evidence,
    },
    /// The modem answers again after a step, but not for long enough.
    Held {
        /// The step.
        step: Step,
        /// Since when it answers.
        since: Instant,
    },
    /// Everything that made sense was tried.
    GaveUp {
        /// When to begin again.
        until: Instant,
        /// Why.
        evidence: Evidence,
    },
}

/// How often a step was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Since the beginning.
    pub attempts: u64,
    /// How often service held afterwards.
    pub successes: u64,
    /// The last use.
    pub last: Option<Instant>,
    uses: VecDeque<Instant>,
}

/// The ladder of one modem.
#[derive(Clone, Debug)]
pub struct Ladder {
    policy: Policy,
    state: State,
    counters: [Counter; Step::ALL.len()],
    gave_up: u32,
    random: u64,
}

impl Ladder {
    /// A ladder for a modem that is taken to be well. The seed draws the jitter of pauses.
    #[must_use]
    pub fn new(policy: Policy, seed: u64) -> Self {
        Self {
            policy,
            state: State::Well,
            counters: Default::default(),
            gave_up: 0,
            random: seed,
        }
    }

    /// A use before the beginning, which counts against the budget: a process that is restarted again and again must not
    /// reset the module each time.
    pub fn remember(&mut self, step: Step, at: Instant) {
        let counter = &mut self.counters[step as usize];
        counter.last = counter.last.max(Some(at));
        counter.uses.push_back(at);
        counter.uses.make_contiguous().sort_unstable();
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The step under way.
    #[must_use]
    pub fn trying(&self) -> Option<Step> {
        match self.state {
            State::Trying { step, .. } => Some(step),
            _ => None,
        }
    }

    /// How often a step was used.
    #[must_use]
    pub fn counter(&self, step: Step) -> &Counter {
        &self.counters[step as usize]
    }

    /// Uses of a step that are left at an instant.
    #[must_use]
    pub fn budget_left(&self, step: Step, now: Instant) -> u32 {
        let uses = u32::try_from(self.used(step, now)).unwrap_or(u32::MAX);
        self.policy.budgets[step as usize].saturating_sub(uses)
    }

    /// When [`Ladder::due`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Well | State::Trying { .. } => None,
            State::Waiting { until, .. } | State::GaveUp { until, .. } => Some(until),
            State::Held { since, .. } => Some(since + self.policy.hold),
        }
    }

    /// Something is wrong. While a step is being taken this means that it did not help.
    pub fn trouble(&mut self, now: Instant, evidence: Evidence) -> Decision {
        self.settle(now);
        let first = evidence.range().0;
        match self.state {
            State::Well => self.climb(now, Some(first), evidence),
            // One unanswered command is no reason to give up on a module that has just been brought back.
            State::Held { step, .. } if evidence == Evidence::CommandUnanswered && step >= evidence.range().1 => {
                self.climb(now, Some(first), evidence)
            }
            State::Trying { step, .. } | State::Held { step, .. } => {
                self.climb(now, step.next().map(|next| next.max(first)), evidence)
            }
            State::Waiting { until, .. } if now < until => Decision::Wait(until),
            State::GaveUp { until, .. } if now < until => Decision::GiveUp(until),
            State::Waiting { .. } => self.due(now),
            State::GaveUp { .. } => self.climb(now, Some(first), evidence),
        }
    }

    /// The step under way did not help.
    pub fn failed(&mut self, now: Instant) -> Decision {
        match self.state {
            State::Trying { step, evidence } => self.climb(now, step.next(), evidence),
            _ => Decision::Nothing,
        }
    }

    /// The step under way cannot be taken here: it does not count, and the next one is due at once.
    pub fn impossible(&mut self, now: Instant) -> Decision {
        let State::Trying { step, .. } = self.state else {
            return Decision::Nothing;
        };
        let counter = &mut self.counters[step as usize];
        counter.attempts = counter.attempts.saturating_sub(1);
        counter.uses.pop_back();
        counter.last = counter.uses.back().copied();
        self.failed(now)
    }

    /// The modem answers.
    pub fn answered(&mut self, now: Instant) {
        self.state = match self.state {
            State::Trying { step, .. } => State::Held { step, since: now },
            State::Waiting { step, .. } => State::Held {
                step: step.previous(),
                since: now,
            },
            State::GaveUp { .. } => State::Well,
            State::Well | State::Held { .. } => return,
        };
    }

    /// Somebody plugged the modem in anew: what was tried with the last one says nothing about this one. Budgets stay.
    pub fn replugged(&mut self) {
        self.state = State::Well;
        self.gave_up = 0;
    }

    /// A deadline of [`Ladder::poll_timeout`] has passed.
    pub fn due(&mut self, now: Instant) -> Decision {
        self.settle(now);
        match self.state {
            State::Waiting { step, until, evidence } if until <= now => self.begin(now, step, evidence),
            State::Waiting { until, .. } => Decision::Wait(until),
            State::GaveUp { until, .. } if until <= now => {
                self.state = State::Well;
                Decision::Nothing
            }
            State::GaveUp { until, .. } => Decision::GiveUp(until),
            State::Well | State::Trying { .. } | State::Held { .. } => Decision::Nothing,
        }
    }

    /// Service that held for long enough is a success.
    fn settle(&mut self, now: Instant) {
        if let State::Held { step, since } = self.state
            && now.saturating_duration_since(since) >= self.policy.hold
        {
            self.counters[step as usize].successes += 1;
            self.gave_up = 0;
            self.state = State::Well;
        }
    }

    fn climb(&mut self, now: Instant, from: Option<Step>, evidence: Evidence) -> Decision {
        let last = evidence.range().1;
        let possible =
            |step: &Step| from.is_some_and(|from| *step >= from) && *step <= last && self.budget_left(*step, now) > 0;
        let Some(step) = Step::ALL.into_iter().find(possible) else {
            self.gave_up += 1;
            let until = now + self.drawn(doubled(self.policy.rest, self.gave_up - 1, self.policy.rest_max));
            self.state = State::GaveUp { until, evidence };
            return Decision::GiveUp(until);
        };
        let uses = u32::try_from(self.used(step, now)).unwrap_or(u32::MAX);
        if !step.is_disruptive() || uses == 0 {
            return self.begin(now, step, evidence);
        }
        let pause = self.drawn(doubled(self.policy.pause, uses - 1, self.policy.pause_max));
        let last_use = self.counters[step as usize].last.unwrap_or(now);
        let until = last_use + pause;
        if until <= now {
            return self.begin(now, step, evidence);
        }
        self.state = State::Waiting { step, until, evidence };
        Decision::Wait(until)
    }

    fn begin(&mut self, now: Instant, step: Step, evidence: Evidence) -> Decision {
        let window = self.policy.window;
        let counter = &mut self.counters[step as usize];
        counter
            .uses
            .retain(|used| now.saturating_duration_since(*used) < window);
        counter.uses.push_back(now);
        counter.attempts += 1;
        counter.last = Some(now);
        self.state = State::Trying { step, evidence };
        Decision::Take(step)
    }

    fn used(&self, step: Step, now: Instant) -> usize {
        let window = self.policy.window;
        let counts = |used: &&Instant| now.saturating_duration_since(**used) < window;
        self.counters[step as usize].uses.iter().filter(counts).count()
    }

    /// Up to a fifth more or less, so that modems that failed together do not try together.
    fn drawn(&mut self, length: Duration) -> Duration {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let percent = 80 + u32::try_from((mixed ^ (mixed >> 31)) % 41).unwrap_or(0);
        length * percent / 100
    }
}

fn doubled(length: Duration, times: u32, limit: Duration) -> Duration {
    length
        .saturating_mul(1_u32.checked_shl(times.min(31)).unwrap_or(u32::MAX))
        .min(limit)
}

#[cfg(test)]
mod tests;
