//! Recovering while the modem is served: ports that fall silent.

use std::collections::BTreeSet;
use std::time::Duration;

use cellular::arbitration::{Activities, Activity, Verdict, Wanted, decide};
use cellular::at::{Command, command};
use cellular::profile::sim7600;
use cellular::recovery::{Decision, Evidence, Step};
use tokio::time::Instant;

use super::now;
use crate::modem::serving::{End, Serving};
use crate::modem::{self, Work};
use crate::port::OpenPort;
use crate::port::at::{AtHandle, Lane};
use crate::resource::{Degradation, Health, PortRole, PortState, Stage};

/// How long the other port may take to show that it answers.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// How long a module whose audio is degraded has to be idle before it is reset: a caller who was cut off calls again.
const IDLE_BEFORE_RESET: Duration = Duration::from_secs(10);

/// How long the audio of a call has to stand still before the call is dead: as long as a pause between two looks.
const DEAD_AUDIO: Duration = Duration::from_secs(2);

/// Work of a recovery that finished.
pub(in crate::modem) enum Done {
    /// A port was closed and opened again.
    Reopened(PortRole, Result<OpenPort, String>),
    /// The other port was asked whether it answers.
    Probed {
        silent: PortRole,
        other: PortRole,
        answers: bool,
    },
    /// The radio was switched off and on.
    RadioCycled(bool),
    /// A port that was opened again was set up.
    SetUp,
}

/// What is wrong with the ports that are open.
#[derive(Default)]
pub(in crate::modem) struct Trouble {
    /// Ports whose probes go unanswered.
    silent: BTreeSet<PortRole>,
    /// Ports that answered since they were opened.
    heard: BTreeSet<PortRole>,
    /// A step that waits for a call to end, and the port that it is about.
    deferred: Option<(Step, PortRole)>,
    /// Samples of the call's audio at an earlier look.
    audio_seen: Option<(u64, Instant)>,
    /// The alarm, after everything was tried.
    gave_up: bool,
    /// The module refused a call's audio at first. It is reset when nothing has needed it since this moment.
    audio_refused: Option<Instant>,
}

impl Serving<'_> {
    /// A command of ours got no final result code; the session makes sure that its reply cannot come any more.
    pub(in crate::modem) async fn command_unanswered(&mut self, port: PortRole, command: &str) -> Option<End> {
        if self.modem.recovery.ladder.trying().is_some() {
            // A step is under way, and its own outcome says whether it helped.
            return None;
        }
        self.modem.recovery.evidence = format!("port {} did not answer {command}", self.path_of(port));
        let decision = self.modem.recovery.ladder.trouble(now(), Evidence::CommandUnanswered);
        self.set_port_state(port, PortState::Silent, format!("no answer to {command}"))
            .await;
        self.carry_out(decision, port).await
    }

    /// Probes of a port go unanswered as well: it hangs.
    pub(in crate::modem) async fn probes_unanswered(&mut self, port: PortRole, probes: u32) -> Option<End> {
        let news = self.trouble.silent.insert(port);
        if news {
            self.set_port_state(port, PortState::Silent, format!("{probes} probes without an answer"))
                .await;
        }
        let serves = [PortRole::At, PortRole::AtCalls]
            .iter()
            .any(|role| self.link.server_of(*role) == port);
        if !serves {
            return None;
        }
        let other = self
            .link
            .other(port)
            .filter(|other| !self.trouble.silent.contains(other));
        match self.modem.recovery.ladder.trying() {
            // Whoever takes this step waits for its outcome.
            Some(Step::SwitchPort | Step::CycleRadio) => return None,
            Some(Step::ResetModule | Step::CycleUsb | Step::PowerHook) if self.modem.avoided.is_none() => {
                if let Some(other) = other {
                    // The module is back but for this port, or the other one will say that it is not.
                    let answers = self.trouble.heard.contains(&other);
                    return answers.then(|| self.switch_port(port)).flatten();
                }
            }
            _ => {}
        }
        if !news && self.modem.recovery.ladder.trying() != Some(Step::ReopenPort) {
            return None;
        }
        self.modem.recovery.evidence = format!("port {} does not answer", self.path_of(port));
        let decision = self.modem.recovery.ladder.trouble(now(), Evidence::ProbeUnanswered);
        self.carry_out(decision, port).await
    }

    /// A port answers, for the first time or again.
    pub(in crate::modem) async fn port_answers(&mut self, port: PortRole) -> Option<End> {
        self.trouble.silent.remove(&port);
        self.trouble.heard.insert(port);
        self.set_port_state(port, PortState::Open, String::new()).await;
        self.messages.sweep_due();
        if self.link.other(port).is_some() && self.brought_up() {
            self.link.give_back(port);
            self.port_lost(None);
        }
        if matches!(
            self.modem.recovery.ladder.trying(),
            Some(Step::Resynchronise | Step::ReopenPort)
        ) && self.brought_up()
        {
            self.set_up(port);
            self.recovered().await;
        }
        let silent = self.trouble.silent.first().copied();
        match silent {
            // What comes up waits for a port that hangs, while this one answers.
            Some(silent) if !self.brought_up() && self.modem.avoided.is_none() => self.switch_port(silent),
            _ => None,
        }
    }

    /// The modem came up. A port that hung before is used again if it answers by now.
    pub(in crate::modem) fn settle_ports(&mut self) {
        let Some(avoided) = self.modem.avoided.take() else {
            return;
        };
        if self.trouble.heard.contains(&avoided) {
            self.link.give_back(avoided);
            self.set_up(avoided);
            self.port_lost(None);
        } else if let Some(other) = self.link.other(avoided) {
            self.port_lost(Some(self.hangs(avoided, other)));
        }
    }

    fn hangs(&self, silent: PortRole, other: PortRole) -> String {
        format!(
            "port {} hangs; {} serves calls and messages together until it answers again",
            self.path_of(silent),
            self.path_of(other)
        )
    }

    /// The modem answers commands again, by whatever step.
    pub(in crate::modem) async fn recovered(&mut self) {
        self.modem.recovery.ladder.answered(now());
        self.trouble.deferred = None;
        self.trouble.gave_up = false;
        self.modem.publish_recovery();
        self.modem.judge(None);
        self.modem.record_status().await;
    }

    /// The module refuses what it has to do to come up.
    pub(in crate::modem) async fn refused(&mut self, reason: String) -> Option<End> {
        self.modem.recovery.evidence.clone_from(&reason);
        let mut decision = self.modem.recovery.ladder.trouble(now(), Evidence::Refused);
        if decision == Decision::Take(Step::SwitchPort) {
            // Both ports answer, and behind both is the same module.
            decision = self.modem.recovery.ladder.impossible(now());
        }
        match decision {
            Decision::Take(Step::CycleRadio) => self.carry_out(Decision::Take(Step::CycleRadio), PortRole::At).await,
            Decision::Take(step) => Some(End::Recover(step, reason)),
            Decision::Nothing | Decision::Wait(_) | Decision::GiveUp(_) => Some(End::Gone(reason)),
        }
    }

    pub(in crate::modem) async fn recovery_done(&mut self, done: Done) -> Option<End> {
        if matches!(done, Done::RadioCycled(_)) {
            self.changing_radio = false;
        }
        match done {
            Done::Reopened(port, Ok(opened)) => {
                self.link.opened(port, opened);
                None
            }
            Done::Reopened(port, Err(reason)) => {
                self.set_port_state(port, PortState::Failed, reason).await;
                let decision = self.modem.recovery.ladder.failed(now());
                self.carry_out(decision, port).await
            }
            Done::Probed {
                silent,
                other,
                answers: true,
            } => {
                self.link.take_over(other);
                let reason = self.hangs(silent, other);
                tracing::warn!(modem = self.modem.status.name, reason, "the other AT port took over");
                self.port_lost(Some(reason));
                self.set_up(other);
                self.recovered().await;
                None
            }
            Done::Probed {
                silent,
                other,
                answers: false,
            } => {
                self.trouble.silent.insert(other);
                let decision = self.modem.recovery.ladder.failed(now());
                self.carry_out(decision, silent).await
            }
            // What came up and was refused begins again; whether that helped is seen then.
            Done::RadioCycled(true) if !self.brought_up() => {
                Some(End::Recover(Step::ReopenPort, self.modem.recovery.evidence.clone()))
            }
            Done::RadioCycled(true) => {
                self.recovered().await;
                self.list_calls();
                None
            }
            Done::RadioCycled(false) => {
                let decision = self.modem.recovery.ladder.failed(now());
                self.carry_out(decision, PortRole::At).await
            }
            Done::SetUp => None,
        }
    }

    /// What the ladder's own deadlines and the end of calls make due.
    pub(in crate::modem) async fn recovery_due(&mut self) -> Option<End> {
        if let Some((step, port)) = self.trouble.deferred {
            return self.disrupt(step, port).await;
        }
        if let Some(idle_since) = self.trouble.audio_refused
            && self.is_idle()
            && idle_since.elapsed() >= IDLE_BEFORE_RESET
        {
            return self.reset_for_audio().await;
        }
        if self.modem.recovery.ladder.poll_timeout().is_none_or(|due| due > now()) {
            return None;
        }
        let decision = self.modem.recovery.ladder.due(now());
        self.modem.publish_recovery();
        self.carry_out(decision, PortRole::At).await
    }

    /// When [`Serving::recovery_due`] wants to be called.
    pub(in crate::modem) fn recovery_deadline(&self) -> Option<Instant> {
        let deferred = self.trouble.deferred.map(|_| Instant::now() + DEAD_AUDIO / 4);
        let ladder = self.modem.recovery.ladder.poll_timeout().map(Instant::from_std);
        deferred.into_iter().chain(ladder).min()
    }

    /// The module refused a call's audio at first. Only a restart is known to cure that (firmware LE20B05), so it gets one
    /// when nothing needs it.
    pub(in crate::modem) fn plan_audio_reset(&mut self) {
        self.trouble.audio_refused = Some(Instant::now());
    }

    /// Whether nothing that a restart would end is going on. What is going on begins the wait anew.
    fn is_idle(&mut self) -> bool {
        let idle = self.brought_up() && self.verdict(Wanted::AudioReset) == Verdict::Begin;
        if !idle {
            self.trouble.audio_refused = Some(Instant::now());
        }
        idle
    }

    async fn reset_for_audio(&mut self) -> Option<End> {
        self.trouble.audio_refused = None;
        let evidence =
            "the module refused the audio of a call at first, which makes audio unreliable until it restarts";
        evidence.clone_into(&mut self.modem.recovery.evidence);
        let decision = self.modem.recovery.ladder.trouble(now(), Evidence::AudioRefused);
        if matches!(decision, Decision::Wait(_) | Decision::GiveUp(_)) {
            // It works well enough to be left alone until the ladder's budget allows another reset.
            tracing::warn!(
                modem = self.modem.status.name,
                evidence,
                "the module is not reset now: it was reset too often lately"
            );
            self.modem.recovery.ladder.answered(now());
            self.modem.publish_recovery();
            return None;
        }
        self.carry_out(decision, PortRole::At).await
    }

    async fn carry_out(&mut self, decision: Decision, port: PortRole) -> Option<End> {
        let mut decision = decision;
        loop {
            self.modem.publish_recovery();
            self.tell_trouble(decision).await;
            let step = match decision {
                Decision::Take(step) => step,
                Decision::GiveUp(_) => return self.all_tried(),
                Decision::Nothing | Decision::Wait(_) => return None,
            };
            match step {
                // The session is at it.
                Step::Resynchronise => return None,
                // Whoever comes up on this port would stumble over it; the ports are opened anew as a whole.
                Step::ReopenPort if !self.brought_up() => {
                    return Some(End::Recover(step, self.modem.recovery.evidence.clone()));
                }
                Step::ReopenPort => {
                    self.trouble.silent.remove(&port);
                    let work = self.link.reopen(port);
                    self.start(async move { modem::Done::Recovery(Done::Reopened(port, work.await)) });
                    return None;
                }
                Step::SwitchPort => {
                    let other = self
                        .link
                        .other(port)
                        .filter(|other| !self.trouble.silent.contains(other));
                    if other.is_some() {
                        return self.switch_port(port);
                    }
                    decision = self.modem.recovery.ladder.impossible(now());
                }
                Step::CycleRadio if self.nothing_answers() => {
                    decision = self.modem.recovery.ladder.impossible(now());
                }
                Step::CycleRadio | Step::ResetModule | Step::CycleUsb | Step::PowerHook => {
                    return self.disrupt(step, port).await;
                }
            }
        }
    }

    /// Asks the other port and, if it answers, lets it serve everything.
    fn switch_port(&mut self, silent: PortRole) -> Option<End> {
        let other = self.link.other(silent)?;
        if !self.brought_up() {
            // What comes up now begins again, on the other port alone.
            self.modem.avoided = Some(silent);
            return Some(End::Recover(Step::ReopenPort, self.modem.recovery.evidence.clone()));
        }
        let at = self.link.handle_of(other)?;
        self.start(async move {
            let asked = tokio::time::timeout(PROBE_LIMIT, at.execute(Lane::Urgent, command::probe()));
            let answers = matches!(asked.await, Ok(Ok(_)));
            modem::Done::Recovery(Done::Probed { silent, other, answers })
        });
        None
    }

    /// A step that ends calls: at once if there is none, or if the one that there is is dead.
    async fn disrupt(&mut self, step: Step, port: PortRole) -> Option<End> {
        let call = Activities::default().with(Activity::Call, self.call_is_alive());
        if decide(Wanted::RecoveryStep, call) != Verdict::Begin {
            self.trouble.deferred = Some((step, port));
            return None;
        }
        self.trouble.deferred = None;
        self.trouble.audio_seen = None;
        if step != Step::CycleRadio {
            return Some(End::Recover(step, self.modem.recovery.evidence.clone()));
        }
        self.modem.record_step(step).await;
        let at = self.link.at.clone();
        self.changing_radio = true;
        let work: Work = Box::pin(async move { modem::Done::Recovery(Done::RadioCycled(cycle_radio(&at).await)) });
        self.start(work);
        None
    }

    /// Whether a call would be lost. While no port answers the list of calls, its audio is the only witness.
    fn call_is_alive(&mut self) -> bool {
        if !self.calls.any_alive() {
            return false;
        }
        if !self.nothing_answers() {
            return true;
        }
        let Some(samples) = self.calls.samples_heard() else {
            return false;
        };
        match self.trouble.audio_seen {
            Some((seen, since)) if seen == samples => since.elapsed() < DEAD_AUDIO,
            _ => {
                self.trouble.audio_seen = Some((samples, Instant::now()));
                true
            }
        }
    }

    fn nothing_answers(&self) -> bool {
        [PortRole::At, PortRole::AtCalls].iter().all(|role| {
            self.trouble.silent.contains(&self.link.server_of(*role)) || !self.link.is_open(self.link.server_of(*role))
        })
    }

    /// Everything was tried. What still answers is served on, with an alarm.
    fn all_tried(&mut self) -> Option<End> {
        if !std::mem::replace(&mut self.trouble.gave_up, true) {
            tracing::error!(
                modem = self.modem.status.name,
                evidence = self.modem.recovery.evidence,
                "nothing helped; check the modem and its power supply"
            );
        }
        self.nothing_answers()
            .then(|| End::GaveUp(self.modem.recovery.evidence.clone()))
    }

    async fn tell_trouble(&mut self, decision: Decision) {
        let evidence = &self.modem.recovery.evidence;
        let trouble = match decision {
            Decision::Nothing => return,
            Decision::Take(step) => (Health::Degraded, format!("{evidence}: {}", step.name())),
            Decision::Wait(_) => (
                Health::Degraded,
                format!("{evidence}: the next attempt follows after a pause"),
            ),
            Decision::GiveUp(_) => (
                Health::Failed,
                format!("{evidence}, and nothing helped: check the modem and its power supply"),
            ),
        };
        self.modem.judge(Some(trouble));
        self.modem.record_status().await;
    }

    /// Names in the health that a port is lost, or that it is not any more.
    fn port_lost(&mut self, reason: Option<String>) {
        let degradations = &mut self.modem.status.degradations;
        degradations.retain(|degradation| degradation.stage != Stage::Probing);
        degradations.extend(reason.map(|reason| Degradation {
            stage: Stage::Probing,
            reason,
        }));
    }

    /// What each port has for itself (V.250 6.2.4: echo) is set again.
    fn set_up(&mut self, port: PortRole) {
        let Some(at) = self.link.handle_of(port) else { return };
        self.start(async move {
            let numeric = command::error_reporting(command::ErrorReporting::Numeric);
            for command in [command::echo_off(), numeric] {
                let _ = at.execute(Lane::Normal, command).await;
            }
            modem::Done::Recovery(Done::SetUp)
        });
    }
}

/// 27.007 8.2: radio off, a pause, radio on.
async fn cycle_radio(at: &AtHandle) -> bool {
    let set = async |command: Command| {
        let outcome = at.execute(Lane::Normal, command).await;
        matches!(outcome, Ok(response) if response.result.is_ok())
    };
    let off = set(command::functionality(command::Functionality::RadioOff)).await;
    tokio::time::sleep(sim7600::RADIO_PAUSE).await;
    // Also when switching it off failed: it must not stay off.
    set(command::functionality(command::Functionality::Full)).await && off
}
