//! `modemctl status`.

use api::v1::{
    GetNetworkStatusRequest, GetSimRequest, ListModemsRequest, Modem, ModemHealth, ModemStage, NetworkStatus, Port, Sim,
};
use client::json::to_value;
use client::status::describe;
use serde_json::{Value, json};
use tonic::Status;

use crate::Session;
use crate::console::{Console, Tone};
use crate::failure::Failure;
use crate::present::{self, word};
use crate::table::{clean, shorten};

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
        if session.json {
            let value = |found: Option<Value>| found.unwrap_or(Value::Null);
            session.console.json(&json!({
                "modem": to_value(modem),
                "sim": value(sim.as_ref().ok().map(to_value)),
                "network": value(network.as_ref().ok().map(to_value)),
            }))?;
            continue;
        }
        if index > 0 {
            session.console.line("")?;
        }
        for line in card(session.console, modem, &sim, &network) {
            session.console.line(&line)?;
        }
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

fn card(
    console: &Console,
    modem: &Modem,
    sim: &Result<Sim, String>,
    network: &Result<NetworkStatus, String>,
) -> Vec<String> {
    let stage = word!(modem.stage(), "MODEM_STAGE_");
    let heading = format!(
        "{}  {}",
        console.paint(Tone::Heading, &clean(&modem.name)),
        bar(console, modem, &stage)
    );
    let mut lines = vec![heading];
    let mut add = |name: &str, tone: Tone, text: String| {
        if text.is_empty() {
            return;
        }
        let text = clean(&text);
        let text = console.width.map_or_else(
            || text.clone(),
            |width| shorten(&text, width.saturating_sub(NAME + 3).max(20)),
        );
        lines.push(format!(
            "  {} {}",
            console.paint(Tone::Quiet, &format!("{name:NAME$}")),
            console.paint(tone, &text)
        ));
    };
    add("stage", Tone::Warning, modem.stage_detail.clone());
    let health = word!(modem.health(), "MODEM_HEALTH_");
    let health = match modem.health() {
        ModemHealth::Degraded | ModemHealth::Failed => format!("{health}: {}", modem.health_reason),
        _ => health,
    };
    add("health", present::health_tone(modem.health()), health);
    let revision = if modem.revision.is_empty() {
        String::new()
    } else {
        format!("firmware {}", modem.revision)
    };
    let imei = if modem.imei.is_empty() {
        String::new()
    } else {
        format!("IMEI {}", modem.imei)
    };
    let product = present::list([modem.manufacturer.clone(), modem.model.clone()], " ");
    add("device", Tone::Plain, present::list([product, revision, imei], ", "));
    let composition = if modem.composition.is_empty() {
        String::new()
    } else {
        format!("composition {}", modem.composition)
    };
    add(
        "usb",
        Tone::Plain,
        present::list([modem.usb_path.clone(), composition], ", "),
    );
    let (tone, text) = match sim {
        Ok(sim) => (Tone::Plain, present::sim(sim)),
        Err(problem) => (Tone::Quiet, problem.clone()),
    };
    add("sim", tone, text);
    let (tone, text) = match network {
        Ok(network) => (Tone::Plain, present::network(network)),
        Err(problem) => (Tone::Quiet, problem.clone()),
    };
    add("network", tone, text);
    for (index, port) in modem.ports.iter().enumerate() {
        let (tone, text) = port_line(port);
        add(if index == 0 { "ports" } else { "" }, tone, text);
    }
    lines
}

/// The stage with a bar, which a pipe does not get.
fn bar(console: &Console, modem: &Modem, stage: &str) -> String {
    let tone = present::stage_tone(modem.stage());
    let stage = console.paint(tone, stage);
    if console.width.is_none() || modem.stage() == ModemStage::Ready {
        return if modem.stage() == ModemStage::Ready {
            stage
        } else {
            format!("{stage} {} %", modem.progress_percent)
        };
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
