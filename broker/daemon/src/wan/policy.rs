//! Which WAN is to carry the traffic, and what has to be done for it: a state machine without I/O and without a clock.
//!
//! What was seen goes in as an [`Input`] with the instant at which it was seen; what has to be done comes out as
//! [`Action`]s. The primary is judged by rounds of probes. One round that fails proves nothing, so it is followed by a burst
//! of volleys within about a second, in which a single answer is enough to acquit; that is what keeps a link with
//! heavy loss from being given up, and still takes no longer than a second. What the kernel says of the link needs no proof.
//! The way back is slower: the primary has to answer in a row and to be without fault for a hold that doubles while it flaps.

use std::time::{Duration, Instant};

use crate::resource::{WanMode, WanRole};

mod timing;
mod words;

pub use timing::{Burst, Timing};
pub use words::{Action, Backup, Cause, Finding, Input, Link, Persistent, Primary, Round};

/// Probes through the modem in a row that fail before its session is set up anew.
const BACKUP_FAILURES: u32 = 3;

/// A round that is under way, or the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probing {
    Idle,
    Next(Instant),
    UnderWay(u64, Round),
}

/// The state machine.
#[derive(Clone, Debug)]
pub struct Policy {
    timing: Timing,
    mode: WanMode,
    forced: Option<WanRole>,
    capped: bool,
    link: Link,
    primary: Primary,
    backup: Backup,
    role: WanRole,
    probing: Probing,
    round: u64,
    /// The round that was asked for last.
    announced: u64,
    /// Rounds in a row that failed, or that were good while the primary counts as failed.
    in_a_row: u32,
    /// When the primary was last seen not to work.
    last_bad: Instant,
    /// Failovers that followed one another closely.
    flaps: u32,
    returned: Option<Instant>,
    connect_failures: u32,
    backup_probing: Probing,
    backup_rounds: u64,
    backup_failures: u32,
    random: u32,
}

impl Policy {
    /// A policy that is off. `seed` spreads the pauses between tries to connect.
    pub fn new(timing: Timing, now: Instant, seed: u32) -> Self {
        Self {
            timing,
            mode: WanMode::Off,
            forced: None,
            capped: false,
            link: Link::Absent,
            primary: Primary::Unwatched,
            backup: Backup::NotReady,
            role: WanRole::Primary,
            probing: Probing::Idle,
            round: 0,
            announced: 0,
            in_a_row: 0,
            last_bad: now,
            flaps: 0,
            returned: None,
            connect_failures: 0,
            backup_probing: Probing::Idle,
            backup_rounds: 0,
            backup_failures: 0,
            random: seed | 1,
        }
    }

    /// How the modem's data is used.
    pub fn mode(&self) -> WanMode {
        self.mode
    }

    /// Which WAN is forced.
    pub fn forced(&self) -> Option<WanRole> {
        self.forced
    }

    /// Whether the data of the period is used up.
    pub fn capped(&self) -> bool {
        self.capped
    }

    /// Which WAN carries the traffic.
    pub fn role(&self) -> WanRole {
        self.role
    }

    /// What is known of the primary.
    pub fn primary(&self) -> Primary {
        self.primary
    }

    /// What is known of the bearer.
    pub fn backup(&self) -> Backup {
        self.backup
    }

    /// How long the primary has to be without fault before it is used again.
    pub fn hold(&self) -> Duration {
        let doublings = self.flaps.saturating_sub(self.timing.flaps_free).min(16);
        (self.timing.hold * (1 << doublings)).min(self.timing.hold_max)
    }

    /// Whether the bearer is wanted, whatever became of it.
    pub fn wants_bearer(&self) -> bool {
        let begun = matches!(self.backup, Backup::Connecting | Backup::Up);
        let needed = match (self.mode, self.primary) {
            (WanMode::Standby | WanMode::AlwaysOn, _) => true,
            // What was begun is not given up for a suspicion in the other direction.
            (WanMode::Backup, Primary::Suspect) if begun && self.forced.is_none() => true,
            _ => self.wants_backup(),
        };
        let forced = self.forced == Some(WanRole::Backup);
        self.mode != WanMode::Off && needed && (forced || !self.capped)
    }

    /// Whether a round through the primary is under way.
    pub fn is_probing(&self) -> bool {
        matches!(self.probing, Probing::UnderWay(..))
    }

    fn is_bursting(&self) -> bool {
        matches!(self.probing, Probing::UnderWay(_, Round::Burst))
    }

    /// When [`Input::Due`] has to come at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let next = |probing| match probing {
            Probing::Next(at) => Some(at),
            Probing::Idle | Probing::UnderWay(..) => None,
        };
        let connect = match self.backup {
            Backup::Down(at) if self.wants_bearer() => Some(at),
            _ => None,
        };
        [next(self.probing), next(self.backup_probing), connect]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes what happened and says what has to be done, in this order.
    pub fn take(&mut self, now: Instant, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        match input {
            Input::Mode(mode) => self.set_mode(now, mode),
            Input::Force(role) => self.forced = role.filter(|role| *role != WanRole::None),
            Input::Capped(capped) => self.capped = capped,
            Input::Link(link) => self.set_link(now, link),
            Input::Triggered => self.triggered(now),
            Input::Probed(round, finding) => self.probed(now, round, finding),
            Input::Ready(ready) => self.set_ready(now, ready),
            Input::Connected if self.backup == Backup::Connecting => self.connected(now),
            Input::NotConnected(persistent) if self.backup == Backup::Connecting => self.retry_later(now, persistent),
            Input::Lost(persistent) if self.backup == Backup::Up => {
                self.connect_failures = u32::from(persistent);
                self.retry_later(now, persistent);
            }
            Input::Connected | Input::NotConnected(_) | Input::Lost(_) | Input::Due => {}
            Input::BackupProbed(round, answered) => self.backup_probed(now, round, answered, &mut actions),
        }
        self.start_rounds(now, &mut actions);
        self.settle(now, &mut actions);
        actions
    }

    fn set_mode(&mut self, now: Instant, mode: WanMode) {
        let watched = |mode| matches!(mode, WanMode::Backup | WanMode::Standby);
        if mode != self.mode {
            self.connect_failures = 0;
            if let Backup::Down(at) = &mut self.backup {
                *at = now;
            }
        }
        match (watched(self.mode), watched(mode)) {
            (false, true) => {
                self.mode = mode;
                (self.primary, self.flaps, self.returned) = (Primary::Suspect, 0, None);
                self.set_link(now, self.link);
            }
            (true, false) => {
                self.primary = Primary::Unwatched;
                (self.probing, self.in_a_row) = (Probing::Idle, 0);
            }
            _ => {}
        }
        self.mode = mode;
    }

    fn set_link(&mut self, now: Instant, link: Link) {
        self.link = link;
        if self.primary == Primary::Unwatched {
            return;
        }
        match link {
            Link::Up => match self.primary {
                // Where the modem was never used there is nothing to fear from flapping: look closely, at once.
                Primary::Failed(_) if self.role != WanRole::Backup => self.suspect(),
                Primary::Failed(Cause::Link(_)) => {
                    self.last_bad = now;
                    self.probing = Probing::Next(now);
                }
                Primary::Failed(Cause::Probes(_)) => self.triggered(now),
                _ => self.suspect(),
            },
            link => self.fail(now, Cause::Link(link)),
        }
    }

    fn suspect(&mut self) {
        if !self.is_bursting() {
            self.primary = Primary::Suspect;
            self.begin(Round::Burst);
        }
    }

    fn begin(&mut self, round: Round) {
        self.round += 1;
        self.probing = Probing::UnderWay(self.round, round);
    }

    fn triggered(&mut self, now: Instant) {
        match self.primary {
            Primary::Unwatched => {}
            Primary::Failed(Cause::Link(_)) if self.link != Link::Up => {}
            Primary::Failed(_) => {
                if let Probing::Next(_) = self.probing {
                    self.probing = Probing::Next(now);
                }
            }
            Primary::Good | Primary::Suspect => self.suspect(),
        }
        // Whoever needs the internet now does not wait for a pause to end.
        if let Backup::Down(at) = &mut self.backup
            && self.connect_failures < self.timing.patience
        {
            *at = (*at).min(now);
        }
    }

    fn fail(&mut self, now: Instant, cause: Cause) {
        self.last_bad = now;
        self.in_a_row = 0;
        self.primary = Primary::Failed(cause);
        self.probing = match self.link {
            Link::Up => Probing::Next(now + self.timing.recovery_interval),
            // The kernel tells when it is there again.
            _ => Probing::Idle,
        };
    }

    fn probed(&mut self, now: Instant, round: u64, finding: Finding) {
        let Probing::UnderWay(expected, kind) = self.probing else {
            return;
        };
        if expected != round {
            return;
        }
        match (self.primary, finding) {
            (Primary::Unwatched, _) => self.probing = Probing::Idle,
            (Primary::Failed(_), Finding::Good) => self.recovering(now),
            (Primary::Failed(_), bad) => self.fail(now, Cause::Probes(bad)),
            (Primary::Good | Primary::Suspect, Finding::Good) => {
                (self.primary, self.in_a_row) = (Primary::Good, 0);
                self.probing = Probing::Next(now + self.timing.interval);
            }
            // A burst is proof.
            (Primary::Good | Primary::Suspect, bad) if kind == Round::Burst => self.fail(now, Cause::Probes(bad)),
            (Primary::Good | Primary::Suspect, bad) => {
                self.in_a_row += 1;
                if self.in_a_row >= self.timing.failures {
                    self.fail(now, Cause::Probes(bad));
                } else {
                    match self.timing.failure_interval {
                        None => self.suspect(),
                        Some(pause) => {
                            self.primary = Primary::Suspect;
                            self.probing = Probing::Next(now + pause);
                        }
                    }
                }
            }
        }
    }

    /// The primary, which failed, answers.
    fn recovering(&mut self, now: Instant) {
        self.in_a_row += 1;
        let held = now >= self.last_bad + self.hold() && self.in_a_row >= self.timing.recoveries;
        if held || self.role != WanRole::Backup {
            if self.role == WanRole::Backup {
                self.returned = Some(now);
            }
            (self.primary, self.in_a_row) = (Primary::Good, 0);
            self.probing = Probing::Next(now + self.timing.interval);
        } else {
            let end_of_hold = self.last_bad + self.hold();
            let next = now + self.timing.recovery_interval;
            let enough = self.in_a_row >= self.timing.recoveries;
            self.probing = Probing::Next(if enough { next.min(end_of_hold.max(now)) } else { next });
        }
    }

    fn set_ready(&mut self, now: Instant, ready: bool) {
        match (ready, self.backup) {
            (true, Backup::NotReady) => self.backup = Backup::Down(now),
            (false, _) => self.backup = Backup::NotReady,
            (true, _) => {}
        }
        if !ready {
            self.backup_probing = Probing::Idle;
        }
    }

    fn connected(&mut self, now: Instant) {
        self.backup = Backup::Up;
        (self.connect_failures, self.backup_failures) = (0, 0);
        self.backup_probing = Probing::Next(now + self.timing.backup_interval);
    }

    fn retry_later(&mut self, now: Instant, persistent: Persistent) {
        self.backup_probing = Probing::Idle;
        let doubled = self.timing.retry * (1 << self.connect_failures.min(16));
        let pause = match persistent {
            true => self.timing.retry_persistent,
            false => doubled.min(self.timing.retry_max),
        };
        self.connect_failures += 1;
        self.backup = Backup::Down(now + self.jittered(pause));
    }

    /// Between three quarters and five quarters of a pause, so that a street of modems does not come back at once.
    fn jittered(&mut self, pause: Duration) -> Duration {
        // Marsaglia's xorshift; nothing hangs on its quality.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        pause * (768 + self.random % 512) / 1024
    }

    fn backup_probed(&mut self, now: Instant, round: u64, answered: bool, actions: &mut Vec<Action>) {
        if !matches!(self.backup_probing, Probing::UnderWay(expected, _) if expected == round) {
            return;
        }
        self.backup_failures = if answered { 0 } else { self.backup_failures + 1 };
        let pause = match answered {
            true => self.timing.backup_interval,
            false => self.timing.backup_interval / 6,
        };
        self.backup_probing = Probing::Next(now + pause);
        if self.backup_failures >= BACKUP_FAILURES && self.backup == Backup::Up {
            // The session is up and carries nothing: a new one may.
            actions.push(Action::Disconnect);
            self.retry_later(now, false);
        }
    }

    fn start_rounds(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if matches!(self.probing, Probing::Next(at) if at <= now) {
            self.begin(Round::Single);
        }
        if let Probing::UnderWay(round, kind) = self.probing
            && round == self.round
            && self.announced != round
        {
            self.announced = round;
            actions.push(Action::Probe(round, kind));
        }
        if matches!(self.backup_probing, Probing::Next(at) if at <= now) {
            if self.backup == Backup::Up && self.role == WanRole::Backup {
                self.backup_rounds += 1;
                self.backup_probing = Probing::UnderWay(self.backup_rounds, Round::Single);
                actions.push(Action::ProbeBackup(self.backup_rounds));
            } else {
                // Nothing is sent over a link that costs money and is not used.
                self.backup_probing = Probing::Next(now + self.timing.backup_interval);
            }
        }
    }

    fn wants_backup(&self) -> bool {
        match (self.mode, self.forced) {
            (WanMode::Off, _) | (_, Some(WanRole::Primary | WanRole::None)) => false,
            (_, Some(WanRole::Backup)) | (WanMode::AlwaysOn, None) => true,
            (WanMode::Backup | WanMode::Standby, None) => matches!(self.primary, Primary::Failed(_)),
        }
    }

    fn settle(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let wanted = self.wants_bearer();
        match self.backup {
            Backup::Down(at) if wanted && at <= now => {
                self.backup = Backup::Connecting;
                actions.push(Action::Connect);
            }
            _ => {}
        }
        let allowed = self.forced == Some(WanRole::Backup) || !self.capped;
        let role = match (self.wants_backup() && allowed, self.backup) {
            (true, Backup::Up) => WanRole::Backup,
            _ if self.mode == WanMode::Off || self.forced == Some(WanRole::Primary) => WanRole::Primary,
            // Where the modem is always used nobody knows whether the primary works.
            (true, _) if self.mode == WanMode::AlwaysOn => WanRole::None,
            _ if matches!(self.primary, Primary::Failed(_)) => WanRole::None,
            _ => WanRole::Primary,
        };
        if role != self.role {
            if role == WanRole::Backup && self.mode != WanMode::AlwaysOn && self.forced.is_none() {
                let flapped = self.returned.is_some_and(|at| now < at + self.timing.flap_window);
                self.flaps = if flapped { self.flaps + 1 } else { 1 };
            }
            self.role = role;
            actions.push(Action::Use(role));
        }
        // Only after the traffic is led elsewhere.
        if !wanted && matches!(self.backup, Backup::Connecting | Backup::Up) {
            self.backup = Backup::Down(now);
            self.backup_probing = Probing::Idle;
            self.connect_failures = 0;
            actions.push(Action::Disconnect);
        }
    }
}

#[cfg(test)]
mod tests;
