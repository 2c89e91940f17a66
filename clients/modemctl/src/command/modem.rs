//! `modemctl modem`.

use std::time::Duration;

use api::v1::{
    Functionality, GetPortsRequest, GetRecoveryRequest, GetRecoveryResponse, Modem, Port, PortRole, PortState,
    RecoveryStep, ResetModemRequest, SetFunctionalityRequest, SwitchCompositionRequest,
};
use client::json::to_value;

use super::present as required;
use crate::Session;
use crate::arguments::{FunctionalityLevel, ModemCommand};
use crate::console::Tone;
use crate::failure::Failure;
use crate::present::{self, word};
use crate::table::{Table, clean};

/// A module takes up to 20 s to come back, and a slow one longer.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) async fn run(session: &mut Session<'_>, command: ModemCommand) -> Result<(), Failure> {
    let modem = session.modem.clone();
    let mut service = session.broker.modems();
    match command {
        ModemCommand::Reset { force } => {
            let request = ResetModemRequest { modem, force };
            let answer = session.ask("resetting", service.reset_modem(request)).await?;
            done(session, &required(answer.modem)?, "is being reset")
        }
        ModemCommand::Functionality { level } => {
            let functionality = match level {
                FunctionalityLevel::Minimum => Functionality::Minimum,
                FunctionalityLevel::Full => Functionality::Full,
                FunctionalityLevel::Flight => Functionality::Flight,
            };
            let request = SetFunctionalityRequest {
                modem,
                functionality: functionality.into(),
            };
            let answer = session
                .ask("setting the functionality", service.set_functionality(request))
                .await?;
            let what = format!("has {} functionality", word!(functionality, "FUNCTIONALITY_"));
            done(session, &required(answer.modem)?, &what)
        }
        ModemCommand::Composition { product } => {
            let request = SwitchCompositionRequest {
                modem,
                composition: product,
            };
            let answer = session
                .ask_within(SWITCH_TIMEOUT, "switching", service.switch_composition(request))
                .await?;
            let modem = required(answer.modem)?;
            let what = format!(
                "is in composition {}",
                modem.usb.clone().unwrap_or_default().composition
            );
            done(session, &modem, &what)
        }
        ModemCommand::Ports => {
            let answer = session
                .ask("asking for the ports", service.get_ports(GetPortsRequest { modem }))
                .await?;
            if session.json {
                return answer
                    .ports
                    .iter()
                    .try_for_each(|port| session.console.json(&to_value(port)));
            }
            let mut table = Table::new(&["role", "state", "path", "detail"]);
            for port in &answer.ports {
                table.push(row(port));
            }
            session.table(&table)
        }
        ModemCommand::Recovery => {
            let request = GetRecoveryRequest { modem };
            let answer = session
                .ask("asking for the recovery", service.get_recovery(request))
                .await?;
            if session.json {
                return session.console.json(&to_value(&answer));
            }
            recovery(session, &answer)
        }
    }
}

fn done(session: &mut Session<'_>, modem: &Modem, what: &str) -> Result<(), Failure> {
    if session.json {
        return session.console.json(&to_value(modem));
    }
    session.console.line(&format!("{} {what}", clean(&modem.name)))
}

fn row(port: &Port) -> Vec<(Tone, String)> {
    let tone = match port.state() {
        PortState::Open => Tone::Good,
        PortState::Unused | PortState::Unspecified => Tone::Quiet,
        PortState::Silent => Tone::Warning,
        PortState::Missing | PortState::Held | PortState::Failed => Tone::Bad,
    };
    let never = port.role() == PortRole::Diagnostics && port.detail.is_empty();
    let detail = if never {
        "never opened".to_owned()
    } else {
        port.detail.clone()
    };
    vec![
        (Tone::Plain, word!(port.role(), "PORT_ROLE_")),
        (tone, word!(port.state(), "PORT_STATE_")),
        (Tone::Plain, port.path.clone()),
        (Tone::Quiet, detail),
    ]
}

/// What is wrong and what comes next, and then what was tried.
fn recovery(session: &mut Session<'_>, answer: &GetRecoveryResponse) -> Result<(), Failure> {
    let (tone, state) = match answer.current_step() {
        RecoveryStep::Unspecified if answer.evidence.is_empty() => (Tone::Good, "nothing to recover".to_owned()),
        RecoveryStep::Unspecified => (Tone::Warning, clean(&answer.detail)),
        RecoveryStep::GiveUp => (Tone::Bad, clean(&answer.detail)),
        _ => (Tone::Warning, clean(&answer.detail)),
    };
    let state = session.console.paint(tone, &state);
    session.console.line(&state)?;
    if answer.next_attempt_time.is_some() {
        let next = present::time(answer.next_attempt_time, &session.console.zone);
        session.console.line(&format!("next attempt {next}"))?;
    }
    if answer.hanging_calls > 0 {
        let hanging = format!(
            "{} calls to the kernel hang at this modem's ports",
            answer.hanging_calls
        );
        let hanging = session.console.paint(Tone::Bad, &hanging);
        session.console.line(&hanging)?;
    }
    let mut table = Table::new(&["step", "tried", "helped", "left", "last"]).with_numbers(&[1, 2, 3]);
    for counter in &answer.counters {
        let tone = if counter.budget_left == 0 {
            Tone::Bad
        } else {
            Tone::Plain
        };
        table.push(vec![
            (Tone::Plain, word!(counter.step(), "RECOVERY_STEP_")),
            (Tone::Plain, counter.attempts.to_string()),
            (Tone::Plain, counter.successes.to_string()),
            (tone, counter.budget_left.to_string()),
            (Tone::Quiet, present::time(counter.last_time, &session.console.zone)),
        ]);
    }
    session.table(&table)
}
