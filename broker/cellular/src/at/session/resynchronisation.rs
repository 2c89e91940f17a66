//! After a time-out: making sure that the late reply cannot complete another command.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::command::Command;
use super::super::line::split_prefix;
use super::super::result_code::ResultCode;
use super::super::urc;
use super::exchange::{Exchange, claims};
use super::{Config, ESCAPE, Output, Phase, Probe, doubled};

#[derive(Debug)]
pub(super) enum Verdict {
    /// A late reply, or part of the answer to a probe.
    Consumed,
    /// The latest probe was answered, and nothing older can still come.
    Synchronous,
    /// Not of any command.
    Unsolicited(String),
}

#[derive(Debug)]
enum Stage {
    /// Waiting for a silence of this length, but not beyond `limit`.
    Draining {
        quiet: Duration,
        quiet_at: Instant,
        limit: Instant,
    },
    /// Waiting for the answer to a probe.
    Probing {
        probe: Probe,
        sent: Instant,
        deadline: Instant,
        answered: bool,
    },
}

#[derive(Debug)]
pub(super) struct Resynchronisation {
    stage: Stage,
    /// The command whose reply may still come, until a final result code was seen.
    cause: Option<Command>,
    prompt_possible: bool,
    /// The probes that the cause cannot be mistaken for.
    probes: Vec<Probe>,
    next_probe: usize,
    /// Probes sent since the port was last known to be drained.
    outstanding: usize,
    /// Whoever had the port before may have left probes of its own without an answer, so one answer is not enough.
    confirm: bool,
    /// Every other probe also sets the form of answers, in case that the modem does not take both in one line.
    restores_form: bool,
    /// Probes without an answer since the beginning.
    failed: u32,
    timeout: Duration,
    /// Something came since the latest probe.
    heard: bool,
    /// Something came although probes had gone unanswered: the modem lives.
    alive: bool,
}

impl Resynchronisation {
    pub(super) fn begin(
        now: Instant,
        cause: Option<Exchange>,
        config: &Config,
        outputs: &mut VecDeque<Output>,
    ) -> Self {
        let cause = cause.map(|exchange| exchange.command);
        // Without a known cause the port was somebody else's, and anything may be open.
        let prompt_possible = cause.as_ref().is_none_or(|command| command.payload.is_some());
        let names_probe = |probe: &&Probe| {
            let line = cause.as_ref().map(|command| command.line.to_ascii_uppercase());
            line.is_some_and(|line| line.contains(probe.prefix))
        };
        let distinct: Vec<Probe> = config
            .probes
            .iter()
            .filter(|probe| !names_probe(probe))
            .copied()
            .collect();
        let probes = if distinct.is_empty() {
            config.probes.to_vec()
        } else {
            distinct
        };
        if prompt_possible {
            outputs.push_back(Output::Transmit(vec![ESCAPE]));
        }
        Self {
            stage: Self::draining(
                now,
                if cause.is_none() {
                    config.quiet_answering
                } else {
                    config.quiet
                },
                config,
            ),
            confirm: cause.is_none(),
            cause,
            prompt_possible,
            probes,
            next_probe: 0,
            outstanding: 0,
            restores_form: false,
            failed: 0,
            timeout: config.probe_timeout,
            heard: false,
            alive: false,
        }
    }

    fn draining(now: Instant, quiet: Duration, config: &Config) -> Stage {
        Stage::Draining {
            quiet,
            quiet_at: now + quiet,
            limit: now + config.drain_limit,
        }
    }

    /// See [`super::Session::take_back`].
    pub(super) fn restore_form(&mut self) {
        self.restores_form = true;
    }

    pub(super) fn phase(&self) -> Phase {
        match self.stage {
            Stage::Draining { .. } => Phase::Draining,
            Stage::Probing { .. } => Phase::Probing,
        }
    }

    pub(super) fn prompt_possible(&self) -> bool {
        self.prompt_possible
    }

    pub(super) fn next_deadline(&self) -> Instant {
        match self.stage {
            Stage::Draining { quiet_at, limit, .. } => quiet_at.min(limit),
            Stage::Probing { deadline, .. } => deadline,
        }
    }

    /// Bytes came. When they come that late after a probe they are hardly its answer, and a modem that was silent may not
    /// have heard it: it is asked again at once.
    pub(super) fn heard_something(&mut self, now: Instant, config: &Config) {
        match &mut self.stage {
            Stage::Draining { quiet, quiet_at, .. } => *quiet_at = now + *quiet,
            Stage::Probing { sent, .. } => {
                self.heard = true;
                if !self.alive && now.saturating_duration_since(*sent) >= config.quiet {
                    self.alive = true;
                    self.timeout = doubled(config.probe_timeout, config.probe_timeout_max);
                    self.stage = Self::draining(now, config.quiet_answering, config);
                }
            }
        }
    }

    /// A prompt opened after all. Ctrl-Z would send whatever is in it; ESC discards it.
    pub(super) fn cancel_prompt(&mut self, outputs: &mut VecDeque<Output>) {
        outputs.push_back(Output::Transmit(vec![ESCAPE]));
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, config: &Config, outputs: &mut VecDeque<Output>) {
        if now < self.next_deadline() {
            return;
        }
        if let Stage::Probing { .. } = self.stage {
            self.failed = self.failed.saturating_add(1);
            self.alive &= self.heard;
            self.timeout = if !self.alive && self.failed < config.probe_repeats {
                config.probe_timeout
            } else {
                doubled(self.timeout, config.probe_timeout_max)
            };
            if self.failed >= config.probe_limit {
                outputs.push_back(Output::Unresponsive { probes: self.failed });
            }
            if self.prompt_possible {
                outputs.push_back(Output::Transmit(vec![ESCAPE]));
            }
        }
        self.send_probe(now, outputs);
    }

    fn send_probe(&mut self, now: Instant, outputs: &mut VecDeque<Output>) {
        let probe = self.probes[self.next_probe % self.probes.len()];
        self.next_probe = (self.next_probe + 1) % self.probes.len();
        self.outstanding += 1;
        self.heard = false;
        let line = match probe.line.strip_prefix("AT") {
            Some(extended) if self.restores_form && self.failed.is_multiple_of(2) => format!("ATE0Q0V1{extended}\r"),
            _ => format!("{}\r", probe.line),
        };
        outputs.push_back(Output::Transmit(line.into_bytes()));
        self.stage = Stage::Probing {
            probe,
            sent: now,
            deadline: now + self.timeout,
            answered: false,
        };
    }

    pub(super) fn handle_line(&mut self, now: Instant, line: String, config: &Config) -> Verdict {
        if let Some(result) = ResultCode::parse(&line) {
            // Whoever follows the calls must learn that one has ended, even if it ended a command that was given up.
            if result.is_call_progress() {
                return Verdict::Unsolicited(line);
            }
            self.cause = None;
            return self.final_result(now, &result, config);
        }
        if let Stage::Probing { probe, answered, .. } = &mut self.stage
            && split_prefix(&line).is_some_and(|(prefix, _)| prefix == probe.prefix)
        {
            *answered = true;
            return Verdict::Consumed;
        }
        let late_reply = self.cause.as_ref().is_some_and(|command| claims(command, &line));
        if !late_reply && (urc::is_known(&line) || urc::has_body(&line)) {
            return Verdict::Unsolicited(line);
        }
        // Echoes, and lines that belong to a reply for which nobody waits.
        Verdict::Consumed
    }

    fn final_result(&mut self, now: Instant, result: &ResultCode, config: &Config) -> Verdict {
        match self.stage {
            Stage::Probing { answered: true, .. } if result.is_ok() => {
                if self.outstanding <= self.probes.len() && !self.confirm {
                    return Verdict::Synchronous;
                }
                // The same probe was sent more than once, so this may be the answer to an older one. What else is owed comes
                // at once now that the modem answers: drain it and ask again.
                self.confirm = false;
                self.outstanding = 0;
                self.stage = Self::draining(now, config.quiet_answering, config);
                Verdict::Consumed
            }
            _ => Verdict::Consumed,
        }
    }
}
