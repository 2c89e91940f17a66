//! Climbing the recovery ladder: what [`cellular::recovery`] decides is carried out here.
//!
//! While the modem is served, ports are probed, reopened and exchanged without ending anything else. What ends calls, and
//! what takes the module off the bus, waits until no call is alive, unless the call is dead anyway.
//!
//! The whole table of the ladder is the snapshot `cellular/src/recovery/transitions.txt`. A command without an answer
//! makes the session resynchronise: it asks once a second, and at once when a silent modem says anything. Probes without
//! an answer make the port be reopened in place, and then the other port serve every role: handles are led to it, so
//! nothing else ends. Steps that end calls wait for them, unless no port answers the list of calls *and* the call's
//! audio stands still. What takes the module off the bus ends the serving, and the actor climbs on in `presence`. A
//! module that answers never loses its power. Success is a minute of service; a relapse within it goes on upwards.
//!
//! Attempts are stored before they are made, so that a broker that is restarted in a loop does not reset the module in a
//! loop. What is switched off is stored as well, and switched on by the next life. Storing them is the one thing that a
//! turn waits for.

mod power_hook;
mod serving;

use std::time::Duration;

use cellular::at::command;
use cellular::recovery::{Decision, Evidence, Ladder, Policy, State, Step};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::link::Link;
use super::presence::Stopping;
use super::{Absence, ModemActor, RecoveryStatus, StepCounter};
use crate::device::{CycleError, Switch};
use crate::resource::{Change, Health};
use crate::store::Store;
use crate::supervisor;

pub(super) use serving::{Done, Trouble};

/// How long a module may take to leave the bus after it was told to restart. Real ones take less than a second.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// How long it may take to come back. Real ones take 14 to 20 s.
const RETURN_LIMIT: Duration = Duration::from_secs(60);

/// How long a port stays off. Capacitors hold a module for a second or two; a de-authorised one was seen to need 3 s.
const OFF: Duration = Duration::from_secs(3);

/// A modem that has been gone for so long without anybody having asked for it is taken to need its power switched.
const ABSENCE_PATIENCE: Duration = Duration::from_secs(60);

/// Between two attempts to serve while the ladder pauses.
const PAUSED_RETRY: Duration = Duration::from_secs(10);

/// The ladder of a modem, and what it stands on.
pub(super) struct Recovery {
    pub(super) ladder: Ladder,
    pub(super) evidence: String,
}

impl Recovery {
    pub(super) fn new(modem: &str) -> Recovery {
        // Modems that fail together, on one host or on many, must not all come back at the same instant.
        let seed =
            Timestamp::now().as_nanosecond() as u64 ^ modem.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte));
        Recovery {
            ladder: Ladder::new(Policy::default(), seed),
            evidence: String::new(),
        }
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// The same moment on the wall clock.
fn on_the_clock(instant: std::time::Instant) -> Timestamp {
    let now = now();
    let (wall, signed) = (Timestamp::now(), |length: Duration| {
        SignedDuration::try_from(length).unwrap_or(SignedDuration::ZERO)
    });
    if instant >= now {
        wall.saturating_add(signed(instant - now)).unwrap_or(wall)
    } else {
        wall.saturating_sub(signed(now - instant)).unwrap_or(wall)
    }
}

impl ModemActor {
    /// Counts what an earlier process did against the budgets.
    pub(super) async fn recall_recovery(&mut self) {
        match self.setup.store.recovery_attempts(&self.status.name).await {
            Ok(attempts) => {
                let (now, wall) = (now(), Timestamp::now());
                for (number, time) in attempts {
                    let step = Step::ALL.into_iter().find(|step| *step as u8 == number);
                    // A clock that was set back makes the past the future; then it was just now.
                    let age = Duration::try_from(wall.duration_since(time)).unwrap_or_default();
                    if let (Some(step), Some(at)) = (step, now.checked_sub(age)) {
                        self.recovery.ladder.remember(step, at);
                    }
                }
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not read earlier recovery attempts; their hourly limits start again"
            ),
        }
        self.publish_recovery();
    }

    /// Tells everybody who asks where the ladder stands.
    pub(super) fn publish_recovery(&self) {
        let Recovery { ladder, evidence } = &self.recovery;
        let clock = |instant| Some(on_the_clock(instant));
        let (current, next, detail) = match ladder.state() {
            State::Well => (None, None, String::new()),
            State::Trying { step, .. } => (Some(Some(step)), None, format!("{}: {evidence}", step.name())),
            State::Waiting { step, until, .. } => (
                Some(Some(step)),
                clock(until),
                format!("{evidence}; next: {}", step.name()),
            ),
            State::Held { step, .. } => (None, None, format!("back after {}: {evidence}", step.name())),
            State::GaveUp { until, .. } => (
                Some(None),
                clock(until),
                format!("{evidence}; nothing helped: check the modem, its cable and its power supply"),
            ),
        };
        let counters = Step::ALL.map(|step| {
            let counter = ladder.counter(step);
            StepCounter {
                step,
                attempts: counter.attempts,
                successes: counter.successes,
                budget_left: ladder.budget_left(step, now()),
                last: counter.last.and_then(clock),
            }
        });
        self.recovery_status.send_replace(RecoveryStatus {
            current,
            counters: counters.to_vec(),
            next_attempt: next,
            evidence: if ladder.state() == State::Well {
                String::new()
            } else {
                evidence.clone()
            },
            detail,
            hanging_calls: crate::port::hanging_calls(),
        });
    }

    /// Makes a step durable before it is taken, so that a process that dies of it does not take it for ever.
    pub(super) async fn record_step(&mut self, step: Step) {
        if !step.is_disruptive() {
            return;
        }
        if let Err(error) = self
            .setup
            .store
            .record_recovery_attempt(&self.status.name, step as u8)
            .await
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not save a recovery attempt; if the broker restarts now, its hourly limit starts again"
            );
        }
    }

    /// Switches on what an earlier process switched off and did not live to switch on.
    pub(super) async fn heal_switches(&self) {
        let switched_off = match self.setup.store.switched_off(&self.status.name).await {
            Ok(switched_off) => switched_off,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "could not read what an earlier run switched off; a device may still be off"
                );
                return;
            }
        };
        for switch in switched_off.into_iter().map(Switch::at) {
            let path = switch.path().display().to_string();
            tracing::warn!(
                modem = self.status.name,
                path,
                "an earlier run left the device switched off; switching it on"
            );
            if switch.path().exists()
                && let Err(error) = switch.on().await
            {
                tracing::error!(
                    modem = self.status.name,
                    error = &error as &dyn std::error::Error,
                    "could not switch the device on; give the broker the right to write there, or write there yourself: 1 to \
                     authorized, 0 to disable"
                );
                continue;
            }
            forget(&switch, &self.setup.store, &self.status.name).await;
        }
    }

    /// Opening a port hangs in the kernel.
    pub(super) async fn open_hung(&mut self) -> Result<(), Stopping> {
        self.recovery.evidence = self.status.health_reason.clone();
        let decision = self.recovery.ladder.trouble(now(), Evidence::OpenHangs);
        self.follow(decision, None).await
    }

    /// A port closed although its device is there.
    pub(super) async fn port_closed(&mut self, reason: String) -> Result<(), Stopping> {
        self.recovery.evidence = reason;
        let decision = self.recovery.ladder.trouble(now(), Evidence::PortClosed);
        self.follow(decision, None).await
    }

    /// The device has been gone for a while. A pulled cable is no fault of the modem; one that is switched by a hub port or
    /// by a hook may have lost its power or hang without showing itself.
    pub(super) async fn absent_for_long(&mut self) -> Result<(), Stopping> {
        let can_be_switched = self.setup.config.recovery.power_hook.is_some()
            || self.device.as_ref().is_some_and(|device| device.power.has_port());
        let long = self
            .absent_since
            .is_some_and(|since| since.elapsed() >= ABSENCE_PATIENCE);
        if !long || !can_be_switched {
            return Ok(());
        }
        self.recovery.evidence.clone_from(&self.status.health_reason);
        let decision = self.recovery.ladder.trouble(now(), Evidence::Vanished);
        match decision {
            // A person who took the modem away needs no alarm, and one that lies about its power gets one at the next look.
            Decision::Wait(_) | Decision::GiveUp(_) | Decision::Nothing => {
                self.publish_recovery();
                Ok(())
            }
            Decision::Take(_) => self.follow(decision, None).await,
        }
    }

    /// Takes a step, and those above it while they cannot be taken here or do not help.
    pub(super) async fn climb(&mut self, step: Step, link: Option<Link>) -> Result<(), Stopping> {
        self.follow(Decision::Take(step), link).await
    }

    async fn follow(&mut self, mut decision: Decision, mut link: Option<Link>) -> Result<(), Stopping> {
        loop {
            self.publish_recovery();
            let step = match decision {
                Decision::Take(step) => step,
                Decision::Nothing => {
                    close(link).await;
                    return Ok(());
                }
                Decision::Wait(until) => {
                    close(link).await;
                    let left = until.saturating_duration_since(now());
                    return self.rest(left.min(PAUSED_RETRY)).await;
                }
                Decision::GiveUp(until) => {
                    close(link).await;
                    return self.give_up(until.saturating_duration_since(now())).await;
                }
            };
            let what = format!("{}: {}", step.name(), self.recovery.evidence);
            self.tell_absent(Absence::because(what)).await;
            decision = match self.take_step(step, link.take()).await? {
                Outcome::Helped => return Ok(()),
                Outcome::Failed => self.recovery.ladder.failed(now()),
                Outcome::Impossible => self.recovery.ladder.impossible(now()),
            };
        }
    }

    async fn take_step(&mut self, step: Step, link: Option<Link>) -> Result<Outcome, Stopping> {
        match step {
            // The ports are opened anew by whoever asked for this.
            Step::Resynchronise | Step::ReopenPort => {
                close(link).await;
                Ok(Outcome::Helped)
            }
            // These need ports that are open and a modem that is being served.
            Step::SwitchPort | Step::CycleRadio => {
                close(link).await;
                Ok(Outcome::Impossible)
            }
            Step::ResetModule => self.reset_module(link).await,
            Step::CycleUsb => {
                close(link).await;
                self.cycle_usb().await
            }
            Step::PowerHook => {
                close(link).await;
                self.run_power_hook().await
            }
        }
    }

    async fn reset_module(&mut self, link: Option<Link>) -> Result<Outcome, Stopping> {
        let Some(link) = link else {
            return Ok(Outcome::Impossible);
        };
        self.record_step(Step::ResetModule).await;
        // It may obey although it does not answer.
        link.close(Some(command::reset())).await;
        let Some(device) = self.device.clone() else {
            // Nothing shows whether it obeyed but the next attempt to serve it.
            self.rest(RETURN_LIMIT / 2).await?;
            return Ok(Outcome::Helped);
        };
        if !self.departed(&device, LEAVE_LIMIT).await? {
            return Ok(Outcome::Failed);
        }
        self.returned(RETURN_LIMIT).await
    }

    async fn cycle_usb(&mut self) -> Result<Outcome, Stopping> {
        let device = self.device.as_ref();
        let switches: Vec<Switch> = device
            .map(|device| device.power.switches().collect())
            .unwrap_or_default();
        if switches.is_empty() {
            return Ok(Outcome::Impossible);
        }
        self.record_step(Step::CycleUsb).await;
        let (store, name) = (self.setup.store.clone(), self.status.name.clone());
        // A task of its own: once it is off it has to be switched on again, also when the broker stops meanwhile.
        let mut cycle = supervisor::spawn("usb power", &self.status.name, async move {
            cycle(switches, &store, &name).await
        });
        let outcome = match self.meanwhile(&mut cycle).await {
            Ok(outcome) => outcome,
            Err(Stopping) => {
                let _ = cycle.await;
                return Err(Stopping);
            }
        };
        match outcome {
            Ok(Ok(())) => self.returned(RETURN_LIMIT).await,
            Err(_) => Ok(Outcome::Impossible),
            Ok(Err(error)) => {
                tracing::warn!(
                    modem = self.status.name,
                    error = &error as &dyn std::error::Error,
                    "could not switch the USB port; give the broker the right to write there"
                );
                Ok(Outcome::Impossible)
            }
        }
    }

    async fn run_power_hook(&mut self) -> Result<Outcome, Stopping> {
        let Some(hook) = self.setup.config.recovery.power_hook.clone() else {
            return Ok(Outcome::Impossible);
        };
        self.record_step(Step::PowerHook).await;
        let device = self.device.clone();
        let usb_path = device
            .as_ref()
            .map(|device| device.usb_path.clone())
            .unwrap_or_default();
        let (modem, limit) = (self.status.name.clone(), self.setup.config.recovery.power_hook_timeout);
        let outcome = self
            .meanwhile(async move { power_hook::run(&hook, &modem, &usb_path, limit).await })
            .await?;
        if let Err(error) = outcome {
            tracing::error!(
                modem = self.status.name,
                error = &error as &dyn std::error::Error,
                "the power hook failed; the module keeps its power"
            );
            return Ok(Outcome::Failed);
        }
        tracing::info!(modem = self.status.name, "the power hook ran");
        // A hook that returned has switched the module off already; it is gone or was never there.
        if let Some(device) = device {
            self.departed(&device, LEAVE_LIMIT).await?;
        }
        self.returned(RETURN_LIMIT).await
    }

    /// Waits until a device for this modem is on the bus and complete.
    async fn returned(&mut self, limit: Duration) -> Result<Outcome, Stopping> {
        let until = Instant::now() + limit;
        loop {
            self.setup.bus.look();
            if self.is_there() {
                return Ok(Outcome::Helped);
            }
            if Instant::now() >= until {
                return Ok(Outcome::Failed);
            }
            self.wait_for_news((until - Instant::now()).min(Duration::from_secs(1)))
                .await?;
        }
    }

    fn is_there(&mut self) -> bool {
        let seen = self.seen.borrow_and_update();
        match &self.device {
            Some(device) => seen
                .iter()
                .any(|there| there.device.usb_path == device.usb_path && there.device.is_complete()),
            None => crate::device::choose(self.setup.config.device(), &seen, Instant::now()).is_ok(),
        }
    }

    /// The module restarts because somebody asked for it.
    pub(super) async fn await_return(&mut self) -> Result<(), Stopping> {
        self.restarting = true;
        let waited = self.await_restart().await;
        self.restarting = false;
        waited
    }

    async fn await_restart(&mut self) -> Result<(), Stopping> {
        let Some(device) = self.device.clone() else {
            return self.rest(Duration::from_secs(1)).await;
        };
        if self.departed(&device, LEAVE_LIMIT).await? {
            self.returned(RETURN_LIMIT).await?;
        }
        Ok(())
    }

    /// The ladder gave up while the modem was served, and nothing of it answers.
    pub(super) async fn still_given_up(&mut self) -> Result<(), Stopping> {
        match self.recovery.ladder.state() {
            State::GaveUp { until, .. } => self.give_up(until.saturating_duration_since(now())).await,
            _ => Ok(()),
        }
    }

    async fn rest(&mut self, length: Duration) -> Result<(), Stopping> {
        self.meanwhile(tokio::time::sleep(length)).await
    }

    /// Nothing is left: somebody has to look. A new plug-in is tried at once, everything else after a long rest.
    async fn give_up(&mut self, rest: Duration) -> Result<(), Stopping> {
        let reason = format!(
            "the modem cannot be recovered: {}; check its cable and power supply; the next attempt is in {} minutes",
            self.recovery.evidence,
            rest.as_secs().div_ceil(60)
        );
        tracing::error!(
            modem = self.status.name,
            reason,
            "nothing helped; check the modem and its power supply"
        );
        self.tell_absent(Absence::because(reason)).await;
        let until = Instant::now() + rest;
        let Some(device) = self.device.clone() else {
            return self.rest(rest).await;
        };
        while Instant::now() < until {
            self.wait_for_news(until - Instant::now()).await?;
            let seen = self.seen.borrow_and_update();
            if !seen.iter().any(|there| there.device.is_same_enumeration(&device)) {
                tracing::info!(modem = self.status.name, "the device was plugged in anew");
                drop(seen);
                self.recovery.ladder.replugged();
                break;
            }
        }
        self.recovery.ladder.due(now());
        self.publish_recovery();
        Ok(())
    }

    /// The health of a modem whose ports are open, from what is wrong with it.
    pub(super) fn judge(&mut self, trouble: Option<(Health, String)>) {
        let status = &mut self.status;
        if let Some((health, reason)) = trouble {
            (status.health, status.health_reason) = (health, reason);
            return;
        }
        if status.stage != crate::resource::Stage::Ready {
            return;
        }
        let reasons: Vec<&str> = status
            .degradations
            .iter()
            .map(|degradation| degradation.reason.as_str())
            .collect();
        status.health = if reasons.is_empty() {
            Health::Ok
        } else {
            Health::Degraded
        };
        status.health_reason = reasons.join("; ");
    }

    pub(super) async fn record_status(&mut self) {
        self.recorder.record(Change::Modem(self.status.clone())).await;
    }
}

/// How a step went.
enum Outcome {
    /// The modem may be served again; whether it answers is seen then.
    Helped,
    Failed,
    Impossible,
}

/// Switches a device off and on by the first of its switches that works. What is off is in the store until it is on again.
async fn cycle(switches: Vec<Switch>, store: &Store, modem: &str) -> Result<(), CycleError> {
    let mut result = Ok(());
    for switch in switches {
        if let Err(error) = store.remember_switched_off(modem, switch.path()).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not save that the device is off; if the broker dies now, nobody switches it on"
            );
        }
        result = switch.off().await;
        if result.is_ok() {
            tokio::time::sleep(OFF).await;
            // What stays off is still remembered, so that the next start tries it again.
            switch.on().await?;
        }
        forget(&switch, store, modem).await;
        match &result {
            Ok(()) => break,
            Err(error) => tracing::debug!(error = error as &dyn std::error::Error, "this switch did not work"),
        }
    }
    result
}

async fn forget(switch: &Switch, store: &Store, modem: &str) {
    if let Err(error) = store.forget_switched_off(modem, switch.path()).await {
        tracing::warn!(%error, "could not save that a device is on again; the next start switches it on once more");
    }
}

async fn close(link: Option<Link>) {
    if let Some(link) = link {
        link.close(None).await;
    }
}
