//! `modemctl sim`.

use std::io::BufRead as _;
use std::time::Duration;

use api::v1::{
    ChangePinRequest, EnterPinRequest, GetSimRequest, RestartSimRequest, SetPinLockRequest, Sim, UnblockPinRequest,
};
use client::json::to_value;

use super::present as required;
use crate::Session;
use crate::arguments::{Lock, SimCommand};
use crate::failure::Failure;
use crate::present::word;

/// A second without power, tries to give it back, and the time a card takes to start.
const RESTART_TIMEOUT: Duration = Duration::from_secs(90);

pub(crate) async fn run(session: &mut Session<'_>, command: Option<SimCommand>) -> Result<(), Failure> {
    let modem = session.modem.clone();
    let mut service = session.broker.sims();
    let sim = match command.unwrap_or(SimCommand::Status) {
        SimCommand::Status => {
            let request = GetSimRequest { modem };
            session.ask("asking for the SIM", service.get_sim(request)).await?.sim
        }
        SimCommand::Pin { pin, attempt } => {
            let request = EnterPinRequest {
                modem,
                pin: code(pin, "PIN")?,
                spend_last_attempt: attempt.spend_last_attempt,
            };
            session.ask("entering the PIN", service.enter_pin(request)).await?.sim
        }
        SimCommand::Puk { puk, new_pin, attempt } => {
            let request = UnblockPinRequest {
                modem,
                puk: code(puk, "PUK")?,
                new_pin: code(new_pin, "new PIN")?,
                spend_last_attempt: attempt.spend_last_attempt,
            };
            session
                .ask("unblocking the SIM", service.unblock_pin(request))
                .await?
                .sim
        }
        SimCommand::Change { pin, new_pin, attempt } => {
            let request = ChangePinRequest {
                modem,
                current_pin: code(pin, "PIN")?,
                new_pin: code(new_pin, "new PIN")?,
                spend_last_attempt: attempt.spend_last_attempt,
            };
            session.ask("changing the PIN", service.change_pin(request)).await?.sim
        }
        SimCommand::Restart => {
            let request = RestartSimRequest { modem };
            let restarting = service.restart_sim(request);
            session
                .ask_within(RESTART_TIMEOUT, "restarting the SIM", restarting)
                .await?
                .sim
        }
        SimCommand::Lock { state, pin, attempt } => {
            let request = SetPinLockRequest {
                modem,
                enabled: state == Lock::On,
                pin: code(pin, "PIN")?,
                spend_last_attempt: attempt.spend_last_attempt,
            };
            session
                .ask("setting the PIN check", service.set_pin_lock(request))
                .await?
                .sim
        }
    };
    let sim = required(sim)?;
    if session.json {
        session.console.json(&to_value(&sim))
    } else {
        show(session, &sim)
    }
}

/// A code as given, or the next line of the standard input.
fn code(given: Option<String>, what: &str) -> Result<String, Failure> {
    if let Some(code) = given {
        return Ok(code);
    }
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::new(format!("failed to read the {what} from the standard input: {error}")))?;
    let code = line.trim();
    if code.is_empty() {
        return Err(Failure::usage(format!(
            "the {what} is missing: give it as an argument or on the standard input"
        )));
    }
    Ok(code.to_owned())
}

fn show(session: &mut Session<'_>, sim: &Sim) -> Result<(), Failure> {
    let attempts = |left: Option<u32>| left.map(|left| left.to_string()).unwrap_or_default();
    let lock = match sim.pin_lock_enabled {
        Some(true) => "asked for at power-on",
        Some(false) => "not asked for",
        None => "",
    };
    let rows = [
        ("modem", sim.modem.clone()),
        ("state", word!(sim.state(), "SIM_STATE_")),
        ("ICCID", sim.iccid.clone()),
        ("IMSI", sim.imsi.clone()),
        ("network", sim.home_plmn.clone()),
        ("numbers", sim.own_numbers.join(" ")),
        ("PIN", lock.to_owned()),
        ("PIN left", attempts(sim.pin_attempts_left)),
        ("PUK left", attempts(sim.puk_attempts_left)),
    ];
    session.rows(rows)
}
