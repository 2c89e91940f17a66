//! `modemctl status`.

use api::v1::{
    GetNetworkStatusRequest, GetRecoveryRequest, GetRecoveryResponse, GetSimRequest, GetWanStatusRequest,
    ListModemsRequest, Modem, ModemHealth, ModemStage, NetworkStatus, Port, RecoveryStep, Sim, WanMode,
};
use client::json::to_value;
use client::status::describe;
use serde_json::{Value, json};
use tonic::Status;

use crate::Session;
use crate::console::{Console, Tone};
use crate::failure::Failure;
use crate::present::{self, word};
use crate::table::{clean, wrap};

const BAR: usize = 20;
/// Width of the names on a card.
const NAME: usize = 9;

pub(crate) async fn status(session: &mut Session<'_>) -> Result<(), Failure> {
    let mut service = session.broker.modems();
    let list = session
        .ask("asking for modems", service.list_modems(ListModemsRequest {}))
        .await?;
    let modems: Vec<Modem> = list
        .modems
        .into_iter()
        .filter(|modem| session.modem.is_empty() || modem.name == session.modem)
        .collect();
    if modems.is_empty() && !session.modem.is_empty() {
        return Err(Failure::new(format!("no modem is called {:?}", session.modem)));
    }
    if modems.is_empty() && !session.json {
        session
            .console
            .line("The broker has no modem yet: is one plugged in or configured?")?;
    }
    for (index, modem) in modems.iter().enumerate() {
        let (mut sims, mut networks) = (session.broker.sims(), session.broker.network());
        let sim = sims.get_sim(GetSimRequest {
            modem: modem.name.clone(),
        });
        let sim = settle(session.ask("asking for the SIM", fold(sim)).await?, |found| found.sim);
        let request = GetNetworkStatusRequest {
            modem: modem.name.clone(),
            refresh: false,
        };
        let network = networks.get_network_status(request);
        let network = settle(session.ask("asking for the network", fold(network)).await?, |found| {
            found.status
        });
        let mut recoveries = session.broker.modems();
        let recovery = recoveries.get_recovery(GetRecoveryRequest {
            modem: modem.name.clone(),
        });
        let recovery = settle(session.ask("asking for the recovery", fold(recovery)).await?, Some);
        if session.json {
            let value = |found: Option<Value>| found.unwrap_or(Value::Null);
            session.console.json(&json!({
                "modem": to_value(modem),
                "sim": value(sim.as_ref().ok().map(to_value)),
                "network": value(network.as_ref().ok().map(to_value)),
                "recovery": value(recovery.as_ref().ok().map(to_value)),
            }))?;
            continue;
        }
        if index > 0 {
            session.console.line("")?;
        }
        for line in card(session.console, modem, &sim, &network, recovery.as_ref().ok()) {
            session.console.line(&line)?;
        }
    }
    if session.json {
        return Ok(());
    }
    // Where nobody chooses a way there is nothing to say of it.
    let mut networks = session.broker.network();
    let wan = networks.get_wan_status(GetWanStatusRequest {});
    let wan = settle(session.ask("asking for the WAN", fold(wan)).await?, |found| {
        found.status
    });
    if let Ok(wan) = wan
        && !matches!(wan.mode(), WanMode::Off | WanMode::Unspecified)
    {
        let active = word!(wan.active(), "WAN_ROLE_");
        let line = present::list([format!("internet: {active}"), wan.reason], ", ");
        session.console.line("")?;
        session.console.line(&clean(&line))?;
    }
    Ok(())
}

/// A refusal of one part must not hide the others, so that it becomes part of the answer; a lost broker is a failure.
async fn fold<T>(
    request: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<tonic::Response<Result<T, Status>>, Status> {
    match request.await {
        Ok(response) => Ok(tonic::Response::new(Ok(response.into_inner()))),
        Err(refusal) if client::status::is_unreachable(&refusal) => Err(refusal),
        Err(refusal) => Ok(tonic::Response::new(Err(refusal))),
    }
}

fn settle<T, U>(answer: Result<T, Status>, part: impl FnOnce(T) -> Option<U>) -> Result<U, String> {
    match answer {
        Ok(answer) => part(answer).ok_or_else(|| "not known yet".to_owned()),
        Err(refusal) => Err(describe(&refusal)),
    }
}

/// The lines about one modem: a name in the margin, and as many lines of text beside it as it takes.
struct Card<'a> {
    console: &'a Console,
    lines: Vec<String>,
}

impl Card<'_> {
    fn add(&mut self, name: &str, tone: Tone, text: &str) {
        if text.is_empty() {
            return;
        }
        let text = clean(text);
        let lines = match self.console.width {
            // What to do stands at the end of a reason: nothing may be cut off.
            Some(width) => wrap(&text, width.saturating_sub(NAME + 3).max(20)),
            None => vec![text],
        };
        for (index, line) in lines.iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            let line = format!(
                "  {} {}",
                self.console.paint(Tone::Quiet, &format!("{name:NAME$}")),
                self.console.paint(tone, line)
            );
            self.lines.push(line.trim_end().to_owned());
        }
    }

    /// Several values of one name, the name beside the first.
    fn add_all(&mut self, name: &str, values: impl IntoIterator<Item = (Tone, String)>) {
        for (index, (tone, text)) in values.into_iter().enumerate() {
            self.add(if index == 0 { name } else { "" }, tone, &text);
        }
    }
}

fn card(
    console: &Console,
    modem: &Modem,
    sim: &Result<Sim, String>,
    network: &Result<NetworkStatus, String>,
    recovery: Option<&GetRecoveryResponse>,
) -> Vec<String> {
    let stage = word!(modem.stage(), "MODEM_STAGE_");
    let name = console.paint(Tone::Heading, &clean(&modem.name));
    let heading = format!("{name}  {}", bar(console, modem, &stage));
    let mut card = Card {
        console,
        lines: vec![heading],
    };
    let since = present::time(modem.stage_time, &console.zone);
    // Why a modem is not there is its health as well, and said there.
    let detail = match modem.health_reason.contains(&modem.stage_detail) {
        true => String::new(),
        false => modem.stage_detail.clone(),
    };
    let stage = match (modem.stage(), since.is_empty()) {
        (ModemStage::Ready, _) | (_, true) => detail,
        _ => present::list([detail, format!("since {since}")], ", "),
    };
    card.add("stage", Tone::Warning, &stage);
    let health = word!(modem.health(), "MODEM_HEALTH_");
    let health = match modem.health() {
        ModemHealth::Degraded | ModemHealth::Failed => format!("{health}: {}", modem.health_reason),
        _ => health,
    };
    card.add("health", present::health_tone(modem.health()), &health);
    // What the verdict does not say already.
    let others = modem.degradations.iter();
    let others = others.filter(|degradation| !modem.health_reason.contains(&degradation.reason));
    card.add_all(
        "",
        others.map(|degradation| (Tone::Warning, present::degradation(degradation))),
    );
    if let Some(recovery) = recovery {
        card.add("recovery", Tone::Warning, &recovery_text(recovery, console));
    }
    card.add("device", Tone::Plain, &device(modem));
    let usb = modem.usb.clone().unwrap_or_default();
    let composition = named("composition", &usb.composition);
    card.add("usb", Tone::Plain, &present::list([usb.path, composition], ", "));
    let (tone, text) = match sim {
        Ok(sim) => (Tone::Plain, present::sim(sim)),
        Err(problem) => (Tone::Quiet, problem.clone()),
    };
    card.add("sim", tone, &text);
    if let Some(carrier) = &modem.carrier {
        card.add("carrier", Tone::Plain, &present::carrier(carrier));
    }
    let (tone, text) = match network {
        Ok(network) => (Tone::Plain, present::network(network)),
        Err(problem) => (Tone::Quiet, problem.clone()),
    };
    card.add("network", tone, &text);
    card.add_all("ports", modem.ports.iter().map(port_line));
    card.lines
}

/// A value with its name, or nothing without a value.
fn named(name: &str, value: &str) -> String {
    if value.is_empty() {
        String::new()
    } else {
        format!("{name} {value}")
    }
}

fn device(modem: &Modem) -> String {
    let product = present::list([modem.manufacturer.clone(), modem.model.clone()], " ");
    let parts = [product, named("firmware", &modem.revision), named("IMEI", &modem.imei)];
    present::list(parts, ", ")
}

/// What recovery does at the moment; nothing while the modem is well.
fn recovery_text(recovery: &GetRecoveryResponse, console: &Console) -> String {
    if recovery.current_step() == RecoveryStep::Unspecified {
        return String::new();
    }
    let step = match recovery.current_step() {
        // Nobody is told to give up.
        RecoveryStep::GiveUp => "gave up".to_owned(),
        // The detail names the step.
        _ if !recovery.detail.is_empty() && recovery.next_attempt_time.is_none() => String::new(),
        step => word!(step, "RECOVERY_STEP_").replace('-', " "),
    };
    let next = present::time(recovery.next_attempt_time, &console.zone);
    present::list([step, recovery.detail.clone(), named("next attempt at", &next)], ", ")
}

/// The stage with a bar, which a pipe does not get.
fn bar(console: &Console, modem: &Modem, stage: &str) -> String {
    let tone = present::stage_tone(modem.stage());
    match (modem.stage(), modem.health()) {
        // Green must not be what is seen first of a modem that has something to say.
        (ModemStage::Ready, health @ (ModemHealth::Degraded | ModemHealth::Failed)) => {
            let health = format!("{stage}, {}", word!(health, "MODEM_HEALTH_"));
            return console.paint(present::health_tone(modem.health()), &health);
        }
        // It is not on its way anywhere.
        (ModemStage::Ready | ModemStage::Absent, _) => return console.paint(tone, stage),
        _ => {}
    }
    let stage = console.paint(tone, stage);
    if console.width.is_none() {
        return format!("{stage} {} %", modem.progress_percent);
    }
    let filled = (modem.progress_percent as usize * BAR / 100).min(BAR);
    let bar = format!("{}{}", "█".repeat(filled), "░".repeat(BAR - filled));
    format!("{stage} {} {} %", console.paint(tone, &bar), modem.progress_percent)
}

fn port_line(port: &Port) -> (Tone, String) {
    use api::v1::PortState;
    let tone = match port.state() {
        PortState::Open => Tone::Plain,
        PortState::Unused | PortState::Unspecified => Tone::Quiet,
        PortState::Silent => Tone::Warning,
        PortState::Missing | PortState::Held | PortState::Failed => Tone::Bad,
    };
    let role = word!(port.role(), "PORT_ROLE_");
    let state = word!(port.state(), "PORT_STATE_");
    let detail = if port.detail.is_empty() {
        String::new()
    } else {
        format!("  {}", port.detail)
    };
    (tone, format!("{role:<11}  {state:<7}  {}{detail}", port.path))
}
