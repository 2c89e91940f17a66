//! The stages as data: what each waits for, how long it may take, how often it is tried, and what its failure means.

use std::time::Duration;

use crate::resource::Stage;

/// What it means that a stage could not be passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnFailure {
    /// Nothing works without it: the ports are opened anew.
    StartOver,
    /// The modem comes up without it, degraded, and it is tried again from time to time.
    Degrade,
}

/// A stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) stage: Stage,
    /// In words for people.
    pub(super) waits_for: &'static str,
    /// Of one try. `None`: it waits for people or for the network, and says for what.
    pub(super) bound: Option<Duration>,
    /// A command that was answered too late is tried again, since all that a stage does can be repeated.
    pub(super) tries: u32,
    pub(super) on_failure: OnFailure,
    /// What to do about a failure, in words for people.
    pub(super) remedy: &'static str,
}

const fn rule_of(
    stage: Stage,
    waits_for: &'static str,
    bound: u64,
    tries: u32,
    on_failure: OnFailure,
    remedy: &'static str,
) -> Rule {
    let bound = match bound {
        0 => None,
        seconds => Some(Duration::from_secs(seconds)),
    };
    Rule {
        stage,
        waits_for,
        bound,
        tries,
        on_failure,
        remedy,
    }
}

use OnFailure::{Degrade, StartOver};

/// Every stage between open ports and a modem that is ready, in order.
///
/// Bounds leave room for a command that is not answered (5 s, and as long again for the port to come to its senses).
pub(super) const RULES: [Rule; 11] = [
    rule_of(
        Stage::Probing,
        "waiting for the AT ports to answer",
        20,
        2,
        StartOver,
        "",
    ),
    rule_of(
        Stage::Identifying,
        "reading manufacturer, model, revision and IMEI",
        30,
        2,
        StartOver,
        "",
    ),
    rule_of(Stage::Sim, "waiting for the SIM", 0, 3, StartOver, ""),
    rule_of(
        Stage::Carrier,
        "reading from the SIM who issued it",
        30,
        2,
        Degrade,
        "the module's own access points stay; name data_apn in [modem.carrier] if data does not work",
    ),
    rule_of(
        Stage::Contexts,
        "comparing the access points with the carrier's",
        45,
        2,
        Degrade,
        "check data_apn and ims_apn in [modem.carrier]",
    ),
    rule_of(
        Stage::Configuring,
        "switching on message storage and reports",
        60,
        2,
        Degrade,
        "reports of calls or of the network may be missing until this is passed",
    ),
    rule_of(Stage::Registering, "waiting for a network", 0, 3, StartOver, ""),
    rule_of(
        Stage::Volte,
        "asking for voice over LTE",
        20,
        2,
        Degrade,
        "calls may fail where there is LTE only",
    ),
    rule_of(
        Stage::Sms,
        "checking the message storage",
        60,
        2,
        Degrade,
        "messages are queued but neither sent nor received; take the SIM out and look at it if this lasts",
    ),
    rule_of(
        Stage::Voice,
        "checking reports of calls and the audio port",
        30,
        2,
        Degrade,
        "calls may be without audio or go unnoticed",
    ),
    rule_of(
        Stage::Data,
        "activating the data context",
        45,
        1,
        Degrade,
        "check the SIM's plan and data_apn in [modem.carrier]",
    ),
];

/// The rule of a stage. Stages that nothing is done in are passed at once.
pub(super) fn rule(stage: Stage) -> Rule {
    RULES
        .into_iter()
        .find(|rule| rule.stage == stage)
        .unwrap_or(rule_of(stage, "", 0, 1, StartOver, ""))
}
