//! What is told of the WAN: the status, and an event for each decision with what it rests on.

use std::time::Duration;

use jiff::Timestamp;

use super::{Backup, Link, Primary, WanActor};
use crate::resource::{Change, PrimaryState, ProbeResult, WanMode, WanRole, WanStatus};
use crate::wan::policy::{Cause, Finding};
use crate::wan::probe::Report;

/// Results that are kept: those of the targets and name servers of both ways.
const RESULTS_MAX: usize = 32;

fn primary_state(primary: Primary) -> PrimaryState {
    match primary {
        Primary::Unwatched => PrimaryState::Unwatched,
        Primary::Good | Primary::Failed(Cause::Link(Link::Up) | Cause::Probes(Finding::Good)) => PrimaryState::Good,
        Primary::Suspect => PrimaryState::Suspect,
        Primary::Failed(Cause::Link(_)) => PrimaryState::LinkDown,
        Primary::Failed(Cause::Probes(finding)) => found(finding),
    }
}

fn found(finding: Finding) -> PrimaryState {
    match finding {
        Finding::Good => PrimaryState::Good,
        Finding::NoAnswer => PrimaryState::NoAnswer,
        Finding::NoNames => PrimaryState::NoNames,
        Finding::Portal => PrimaryState::Portal,
    }
}

impl WanActor {
    /// Keeps the last result of each target.
    pub(super) fn keep_results(&mut self, report: &Report) {
        self.status.send_modify(|status| {
            for result in &report.results {
                let same =
                    |known: &&mut ProbeResult| known.interface == result.interface && known.target == result.target;
                match status.probes.iter_mut().find(same) {
                    Some(known) => known.clone_from(result),
                    None => status.probes.push(result.clone()),
                }
            }
            let excess = status.probes.len().saturating_sub(RESULTS_MAX);
            status.probes.drain(..excess);
        });
    }

    /// What a check found while nobody watches the primary.
    pub(super) fn checked(&self, report: &Report) -> WanStatus {
        let mut status = self.status.borrow().clone();
        status.primary_interface = self
            .primary
            .as_ref()
            .map(|primary| primary.name.clone())
            .unwrap_or_default();
        let link = self.primary.as_ref().map_or(Link::Absent, super::Seen::link);
        status.primary = match link {
            Link::Up => found(report.finding),
            _ => PrimaryState::LinkDown,
        };
        status
    }

    /// What is wrong with the primary, with the evidence.
    fn primary_detail(&self) -> String {
        let name = match (&self.primary, &self.config.primary) {
            (Some(primary), _) => primary.name.as_str(),
            (None, Some(configured)) => configured.as_str(),
            (None, None) => "the primary",
        };
        let evidence = |wanted: fn(&ProbeResult) -> bool| {
            let status = self.status.borrow();
            let mine = status
                .probes
                .iter()
                .filter(|probe| probe.interface == name && !probe.ok && wanted(probe));
            mine.map(|probe| format!("{}: {}", probe.target, probe.detail))
                .collect::<Vec<_>>()
                .join("; ")
        };
        match self.policy.primary() {
            Primary::Unwatched => "the primary is not watched".to_owned(),
            Primary::Good => format!("{name} works"),
            Primary::Suspect => format!("{name} is being checked"),
            Primary::Failed(Cause::Link(Link::Absent)) => format!("{name} is not there"),
            Primary::Failed(Cause::Link(Link::Down)) => format!("{name} has no carrier or is switched off"),
            Primary::Failed(Cause::Link(_)) => format!("{name} has no default route"),
            Primary::Failed(Cause::Probes(Finding::NoNames)) => {
                format!(
                    "names are not resolved through {name} ({})",
                    evidence(|probe| probe.target.starts_with("dns:"))
                )
            }
            Primary::Failed(Cause::Probes(Finding::Portal)) => format!("a captive portal is behind {name}"),
            Primary::Failed(Cause::Probes(_)) => format!("nothing answers through {name} ({})", evidence(|_| true)),
        }
    }

    fn backup_words(&self) -> String {
        let capped = self.policy.capped() && self.policy.forced() != Some(WanRole::Backup);
        let state = match self.policy.backup() {
            _ if capped => "the data that the period allows is used up",
            Backup::NotReady => "not ready",
            Backup::Down(_) if self.policy.wants_bearer() => "waits before the next try",
            Backup::Down(_) => "not connected",
            Backup::Connecting => "connecting",
            Backup::Up => "connected",
        };
        match self.backup_detail.as_str() {
            "" => state.to_owned(),
            _ if self.policy.backup() == Backup::Up => state.to_owned(),
            detail => format!("{state}: {detail}"),
        }
    }

    fn reason(&self) -> String {
        let (mode, forced) = (self.policy.mode(), self.policy.forced());
        let reason = match (mode, forced, self.policy.role()) {
            (WanMode::Off, ..) => "the modem's data is not used".to_owned(),
            (_, Some(WanRole::Backup), WanRole::Backup) => "the modem was forced".to_owned(),
            (_, Some(WanRole::Backup), _) => {
                format!("the modem was forced, and is not usable: {}", self.backup_words())
            }
            (_, Some(_), _) => "the primary was forced".to_owned(),
            (WanMode::AlwaysOn, None, WanRole::Backup) => "the modem is always used".to_owned(),
            (WanMode::AlwaysOn, None, _) => format!("the modem is to be used always; {}", self.backup_words()),
            (_, None, WanRole::None) => format!("{}; the modem: {}", self.primary_detail(), self.backup_words()),
            (_, None, _) => self.primary_detail(),
        };
        match self.leading_problem.as_str() {
            "" => reason,
            problem => format!("{reason}; {problem}"),
        }
    }

    /// The status as it is now; what was probed is kept.
    pub(super) fn describe(&self) -> WanStatus {
        let last = self.status.borrow().clone();
        let active = self.policy.role();
        let is_new = active != self.told.active || last.since == Timestamp::default();
        let failover = active == WanRole::Backup && active != self.told.active;
        let primary = self.primary.as_ref().map(|primary| primary.name.clone());
        WanStatus {
            active,
            reason: self.reason(),
            since: if is_new { Timestamp::now() } else { last.since },
            mode: self.policy.mode(),
            forced: self.policy.forced(),
            primary: primary_state(self.policy.primary()),
            primary_interface: primary.or_else(|| self.config.primary.clone()).unwrap_or_default(),
            backup_interface: self.snapshots.borrow().bearer.interface.clone(),
            backup_detail: self.backup_words(),
            hold: match self.policy.role() {
                WanRole::Backup => self.policy.hold(),
                _ => Duration::ZERO,
            },
            failovers: self.told.failovers + u64::from(failover),
            probes: last.probes,
        }
    }

    /// Whether two statuses say the same of what was decided. A primary that is looked at closely for a second and acquitted
    /// is no decision.
    fn same_decision(&self, now: &WanStatus) -> bool {
        let told = &self.told;
        let same_primary = now.primary == told.primary || now.primary == PrimaryState::Suspect;
        let parts = |status: &WanStatus| {
            (
                status.active,
                status.mode,
                status.forced,
                status.primary_interface.clone(),
                status.backup_detail.clone(),
            )
        };
        same_primary && parts(now) == parts(told)
    }

    /// Makes the status known, with an event if something was decided.
    pub(super) async fn publish(&mut self) {
        let now = self.describe();
        if now.mode == WanMode::Off && self.told.mode == WanMode::Off {
            return;
        }
        if !self.same_decision(&now) {
            let (active, before) = (now.active, self.told.active);
            if active != before {
                tracing::info!(?active, reason = now.reason, "wan");
            }
            let appended = self.store.append(self.modem.name(), Change::Wan(now.clone())).await;
            if let Err(error) = appended {
                tracing::error!(error = &error as &dyn std::error::Error, "an event could not be stored");
            }
            self.told.clone_from(&now);
        }
        self.status.send_replace(now);
    }
}
