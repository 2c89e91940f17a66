//! `modemctl status`.

use std::time::Duration;

use api::v1::event::Change;
use api::v1::{
    Bearer, BearerState, Call, GetBearerRequest, GetNetworkStatusRequest, GetRecoveryRequest, GetRecoveryResponse,
    GetSimRequest, GetWanStatusRequest, ImsService, ListCallsRequest, ListMessagesRequest, ListModemsRequest,
    MessageDirection, MessageState, Modem, ModemHealth, ModemStage, NetworkStatus, Port, RecoveryStep,
    RegistrationState, Sim, WanMode,
};
use client::json::to_value;
use client::status::describe;
use client::{Start, Update, Watch};
use serde_json::{Value, json};
use tonic::Status;

use crate::Session;
use crate::arguments::{Kind, StatusOptions};
use crate::console::{Console, Tone};
use crate::failure::Failure;
use crate::present::{self, word};
use crate::table::{clean, wrap};

const BAR: usize = 20;
/// Width of the names on a card.
const NAME: usize = 9;

pub(crate) async fn run(session: &mut Session<'_>, options: StatusOptions) -> Result<(), Failure> {
    if let Some(seconds) = options.wait {
        let limit = Duration::from_secs(seconds);
        let (mut modems, cursor) = modems(session).await?;
        let waiting = tokio::time::timeout(limit, ready(session, &mut modems, cursor)).await;
        if waiting.is_err() {
            let late = modems
                .iter()
                .filter(|modem: &&Modem| modem.stage() != ModemStage::Ready);
            let late: Vec<String> = late.map(why_not_ready).collect();
            let why = match late.is_empty() {
                true => "the broker has no modem".to_owned(),
                false => late.join("; "),
            };
            return Err(Failure::new(format!("not ready after {seconds} s: {why}")));
        }
        waiting.unwrap_or(Ok(()))?;
    }
    status(session).await
}

fn why_not_ready(modem: &Modem) -> String {
    let stage = word!(modem.stage(), "MODEM_STAGE_");
    present::list(
        [format!("modem {} is {stage}", modem.name), modem.stage_detail.clone()],
        ", ",
    )
}

/// Every modem, or the one that was named, with the cursor of what follows.
async fn modems(session: &mut Session<'_>) -> Result<(Vec<Modem>, u64), Failure> {
    let mut service = session.broker.modems();
    let list = session
        .ask("asking for modems", service.list_modems(ListModemsRequest {}))
        .await?;
    let mut modems = list.modems;
    modems.retain(|modem| session.modem.is_empty() || modem.name == session.modem);
    if modems.is_empty() && !session.modem.is_empty() {
        return Err(Failure::new(format!(
            "no modem is called {}; modemctl status without --modem shows all",
            session.modem
        )));
    }
    Ok((modems, list.cursor))
}

/// Waits until all of them are ready.
async fn ready(session: &mut Session<'_>, modems: &mut Vec<Modem>, cursor: u64) -> Result<(), Failure> {
    let filter = session.filter(&[Kind::Modem]);
    let mut watch = Watch::new(session.broker.clone(), Start::Cursor(cursor), filter);
    while modems.is_empty() || modems.iter().any(|modem| modem.stage() != ModemStage::Ready) {
        let update = session.console.wait("waiting for the modem", watch.next()).await?;
        let Update::Batch(batch) = update else { continue };
        for event in batch.events {
            let Some(Change::ModemChanged(changed)) = event.change else {
                continue;
            };
            match modems.iter_mut().find(|modem| modem.name == changed.name) {
                Some(modem) => *modem = changed,
                None => modems.push(changed),
            }
        }
    }
    Ok(())
}

async fn status(session: &mut Session<'_>) -> Result<(), Failure> {
    let (modems, _) = modems(session).await?;
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
        let traffic = traffic(session, &modem.name).await?;
        for line in card(session.console, modem, &sim, &network, recovery.as_ref().ok(), &traffic) {
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

/// What goes through a modem.
#[derive(Default)]
struct Traffic {
    calls: Vec<Call>,
    /// Messages that are to be sent, and whether there are more than these.
    waiting: (usize, bool),
    bearer: Option<Bearer>,
}

async fn traffic(session: &mut Session<'_>, modem: &str) -> Result<Traffic, Failure> {
    let request = ListCallsRequest {
        modem: modem.to_owned(),
        alive_only: true,
        ..ListCallsRequest::default()
    };
    let mut voice = session.broker.voice();
    let calls = voice.list_calls(request);
    let calls = session.ask("asking for calls", fold(calls)).await?;
    let request = ListMessagesRequest {
        modem: modem.to_owned(),
        direction: MessageDirection::Outgoing.into(),
        states: vec![MessageState::Queued.into(), MessageState::Sending.into()],
        ..ListMessagesRequest::default()
    };
    let mut sms = session.broker.sms();
    let messages = sms.list_messages(request);
    let messages = session.ask("asking for messages", fold(messages)).await?;
    let request = GetBearerRequest {
        modem: modem.to_owned(),
    };
    let mut network = session.broker.network();
    let bearer = network.get_bearer(request);
    let bearer = session.ask("asking for the bearer", fold(bearer)).await?;
    Ok(Traffic {
        calls: calls.map(|found| found.calls).unwrap_or_default(),
        waiting: messages
            .map(|found| (found.messages.len(), !found.next_page_token.is_empty()))
            .unwrap_or_default(),
        bearer: bearer.ok().and_then(|found| found.bearer),
    })
}

fn waiting_line((count, more): (usize, bool)) -> String {
    match (count, more) {
        (0, _) => String::new(),
        (1, false) => "1 message waits to be sent".to_owned(),
        (count, false) => format!("{count} messages wait to be sent"),
        (count, true) => format!("more than {count} messages wait to be sent"),
    }
}

fn data_line(bearer: &Bearer) -> String {
    match bearer.state() {
        BearerState::Connected => present::list(
            [
                "connected".to_owned(),
                bearer.interface.clone(),
                bearer.addresses.join(" "),
            ],
            ", ",
        ),
        BearerState::Unspecified => String::new(),
        state => present::list([word!(state, "BEARER_STATE_"), bearer.detail.clone()], ", "),
    }
}

/// By which ways the network carries calls, once the modem is registered.
fn voice_line(network: &NetworkStatus) -> String {
    let served = |state| matches!(state, RegistrationState::Home | RegistrationState::Roaming);
    let circuit = served(network.circuit_switched());
    let ims = network.ims.as_ref().map_or(ImsService::Unspecified, |ims| ims.voice());
    match (network.registered, circuit, ims) {
        (true, true, ImsService::Available) => "circuit-switched and VoLTE",
        (true, true, _) => "circuit-switched",
        (true, false, ImsService::Available) => "VoLTE",
        (true, false, ImsService::Unavailable) => "none: this network carries no calls for this modem",
        _ => "",
    }
    .to_owned()
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
    traffic: &Traffic,
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
        // What it waits for stands above.
        _ if present::is_coming_up(modem) => String::new(),
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
    if let Ok(network) = network {
        card.add("voice", Tone::Plain, &voice_line(network));
    }
    let calls = traffic.calls.iter();
    card.add_all(
        "call",
        calls.map(|call| (present::call_tone(call.state()), present::call_line(call))),
    );
    card.add("queue", Tone::Plain, &waiting_line(traffic.waiting));
    if let Some(bearer) = &traffic.bearer {
        card.add("data", Tone::Plain, &data_line(bearer));
    }
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
        step => word!(step, "RECOVERY_STEP_"),
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
