//! `modemctl network`.

use std::time::Duration;

use api::v1::{
    AccessTechnology, Bearer, BearerState, ConnectBearerRequest, DisconnectBearerRequest, FailurePersistence,
    GetBearerRequest, GetNetworkStatusRequest, GetSignalHistoryRequest, Ims, ImsRegistration, ImsService,
    NetworkStatus, ScanOperatorsRequest, SelectOperatorRequest, SetNetworkModesRequest,
};
use client::json::to_value;
use jiff::SignedDuration;

use super::present as required;
use crate::Session;
use crate::arguments::{AllowedTechnology, Kind, NetworkCommand, NetworkOptions, Technology, WatchOptions};
use crate::console::Tone;
use crate::failure::Failure;
use crate::present::{self, word};
use crate::table::{Table, clean};

/// A selection takes two minutes at most, and one that failed is followed by an automatic one.
const SELECT_TIMEOUT: Duration = Duration::from_secs(260);

/// Setting up a session takes a minute at most, and as long again when a session was in the way.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(180);

pub(crate) async fn network(session: &mut Session<'_>, options: NetworkOptions) -> Result<(), Failure> {
    let modem = session.modem.clone();
    let status = match options.command {
        None => None,
        Some(NetworkCommand::Scan) => return scan(session).await,
        Some(NetworkCommand::History { span }) => return history(session, span).await,
        Some(NetworkCommand::Cells) => return super::radio::cells(session).await,
        Some(NetworkCommand::Statistics) => return super::radio::statistics(session).await,
        Some(NetworkCommand::Profiles) => return super::radio::profiles(session).await,
        Some(NetworkCommand::Select { operator, technology }) => {
            let request = SelectOperatorRequest {
                modem,
                plmn: if operator == "auto" { String::new() } else { operator },
                technology: technology
                    .map_or(AccessTechnology::Unspecified, access_technology)
                    .into(),
            };
            let mut service = session.broker.network();
            let selecting = service.select_operator(request);
            Some(session.ask_within(SELECT_TIMEOUT, "selecting", selecting).await?.status)
        }
        Some(NetworkCommand::Modes { technologies }) => {
            let all = technologies.contains(&AllowedTechnology::All);
            let named = technologies.into_iter().filter(|_| !all).filter_map(|technology| {
                let technology = match technology {
                    AllowedTechnology::Gsm => Technology::Gsm,
                    AllowedTechnology::Umts => Technology::Umts,
                    AllowedTechnology::Lte => Technology::Lte,
                    AllowedTechnology::All => return None,
                };
                Some(access_technology(technology).into())
            });
            let request = SetNetworkModesRequest {
                modem,
                technologies: named.collect(),
            };
            let mut service = session.broker.network();
            let setting = service.set_network_modes(request);
            Some(
                session
                    .ask_within(SELECT_TIMEOUT, "setting the modes", setting)
                    .await?
                    .status,
            )
        }
        Some(command) => return bearer(session, command).await,
    };
    if let Some(status) = status {
        let status = required(status)?;
        return match session.json {
            true => session.console.json(&to_value(&status)),
            false => show(session, &status),
        };
    }
    let request = GetNetworkStatusRequest {
        modem: session.modem.clone(),
        refresh: options.refresh,
    };
    let mut service = session.broker.network();
    let answer = session
        .ask("asking for the network", service.get_network_status(request))
        .await?;
    let status = required(answer.status)?;
    if session.json {
        session.console.json(&to_value(&status))?;
    } else {
        show(session, &status)?;
    }
    if options.watch {
        let options = WatchOptions {
            kinds: vec![Kind::Network],
            ..WatchOptions::default()
        };
        return super::watch::watch(session, options).await;
    }
    Ok(())
}

fn access_technology(technology: Technology) -> AccessTechnology {
    match technology {
        Technology::Gsm => AccessTechnology::Gsm,
        Technology::Umts => AccessTechnology::Umts,
        Technology::Lte => AccessTechnology::Lte,
    }
}

/// What was found; every while a note that it goes on.
async fn scan(session: &mut Session<'_>) -> Result<(), Failure> {
    let request = ScanOperatorsRequest {
        modem: session.modem.clone(),
    };
    let mut service = session.broker.network();
    let mut stream = session.ask("scanning", service.scan_operators(request)).await?;
    while let Some(message) = stream.message().await? {
        if session.json && !message.finished {
            continue;
        }
        if session.json {
            session.console.json(&to_value(&message))?;
        } else if message.finished {
            let mut table = Table::new(&["plmn", "technology", "", "name"]);
            for operator in &message.operators {
                table.push(vec![
                    (Tone::Plain, clean(&operator.plmn)),
                    (
                        Tone::Plain,
                        word!(operator.technology(), "ACCESS_TECHNOLOGY_").to_uppercase(),
                    ),
                    (Tone::Quiet, word!(operator.availability(), "OPERATOR_AVAILABILITY_")),
                    (Tone::Plain, clean(&operator.name)),
                ]);
            }
            session.table(&table)?;
            if message.operators.is_empty() {
                session.console.note("no operator was found");
            }
        } else if let Some(elapsed) = message.elapsed.filter(|elapsed| elapsed.seconds % 15 == 14) {
            session
                .console
                .note(&format!("still scanning after {} s", elapsed.seconds + 1));
        }
    }
    Ok(())
}

async fn history(session: &mut Session<'_>, span: Option<SignedDuration>) -> Result<(), Failure> {
    let request = GetSignalHistoryRequest {
        modem: session.modem.clone(),
        span: span.map(|span| prost_types::Duration {
            seconds: span.as_secs(),
            nanos: span.subsec_nanos(),
        }),
    };
    let mut service = session.broker.network();
    let answer = session
        .ask("asking for the signal", service.get_signal_history(request))
        .await?;
    for signal in &answer.signals {
        if session.json {
            session.console.json(&to_value(signal))?;
        } else {
            let time = present::time(signal.measure_time, &session.console.zone);
            let measures = present::signal(signal).replacen("signal ", "", 1);
            session.console.line(&format!("{time}  {measures}"))?;
        }
    }
    Ok(())
}

fn show(session: &mut Session<'_>, status: &NetworkStatus) -> Result<(), Failure> {
    let operator = match (status.operator_name.as_str(), status.operator_plmn.as_str()) {
        (name, "") => name.to_owned(),
        (name, plmn) => format!("{name} ({plmn})").trim_start().to_owned(),
    };
    let cell = status.cell.clone().unwrap_or_default();
    let part = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}")).unwrap_or_default();
    let cell = [
        cell.band.clone(),
        part("channel", cell.channel.map(|channel| channel.to_string())),
        part("area", cell.area_code.map(|code| format!("{code:04X}"))),
        part("cell", cell.cell_id.map(|id| format!("{id:X}"))),
    ];
    let rows = [
        ("modem", status.modem.clone()),
        ("operator", operator),
        (
            "selection",
            status
                .manual_selection
                .filter(|manual| *manual)
                .map(|_| "by hand".to_owned())
                .unwrap_or_default(),
        ),
        (
            "allowed",
            present::list(
                status
                    .allowed_technologies()
                    .map(|technology| word!(technology, "ACCESS_TECHNOLOGY_").to_uppercase()),
                ", ",
            ),
        ),
        (
            "technology",
            word!(status.technology(), "ACCESS_TECHNOLOGY_").to_uppercase(),
        ),
        ("LTE", present::registration_word(status.evolved_packet())),
        ("calls", present::registration_word(status.circuit_switched())),
        ("packets", present::registration_word(status.packet_switched())),
        ("IMS", status.ims.as_ref().map(ims).unwrap_or_default()),
        (
            "signal",
            status
                .signal
                .as_ref()
                .map(present::signal)
                .unwrap_or_default()
                .replacen("signal ", "", 1),
        ),
        ("cell", present::list(cell, ", ")),
        ("read", present::time(status.update_time, &session.console.zone)),
    ];
    session.rows(rows)
}

/// Registration with the IMS, with its services; nothing while it is not known.
fn ims(ims: &Ims) -> String {
    if ims.registration() == ImsRegistration::Unspecified {
        return ims.detail.clone();
    }
    let registration = word!(ims.registration(), "IMS_REGISTRATION_");
    let service = |name, service: ImsService| {
        let state = word!(service, "IMS_SERVICE_");
        if state.is_empty() {
            state
        } else {
            format!("{name} {state}")
        }
    };
    let parts = [
        registration,
        service("voice", ims.voice()),
        service("SMS", ims.sms()),
        ims.detail.clone(),
    ];
    present::list(parts, ", ")
}

async fn bearer(session: &mut Session<'_>, command: NetworkCommand) -> Result<(), Failure> {
    let modem = session.modem.clone();
    let mut service = session.broker.network();
    let bearer = match command {
        NetworkCommand::Bearer => {
            let request = GetBearerRequest { modem };
            let asked = session
                .ask("asking for the bearer", service.get_bearer(request))
                .await?;
            asked.bearer
        }
        NetworkCommand::Connect { apn } => {
            let connecting = service.connect_bearer(ConnectBearerRequest { modem, apn });
            let connected = session.ask_within(CONNECT_TIMEOUT, "connecting", connecting).await?;
            connected.bearer
        }
        NetworkCommand::Disconnect => {
            let request = DisconnectBearerRequest { modem };
            let asked = session.ask("disconnecting", service.disconnect_bearer(request)).await?;
            asked.bearer
        }
        NetworkCommand::Scan
        | NetworkCommand::Cells
        | NetworkCommand::Statistics
        | NetworkCommand::Profiles
        | NetworkCommand::Select { .. }
        | NetworkCommand::Modes { .. }
        | NetworkCommand::History { .. } => None,
    };
    let bearer = required(bearer)?;
    if session.json {
        return session.console.json(&to_value(&bearer));
    }
    show_bearer(session, &bearer)
}

fn show_bearer(session: &mut Session<'_>, bearer: &Bearer) -> Result<(), Failure> {
    let detail = match bearer.persistence() {
        FailurePersistence::Permanent if bearer.state() != BearerState::Connected => {
            format!("{} (trying again does not help)", bearer.detail)
        }
        _ => bearer.detail.clone(),
    };
    let rows = [
        ("modem", bearer.modem.clone()),
        ("data", word!(bearer.state(), "BEARER_STATE_")),
        (
            "why",
            if bearer.detail.is_empty() {
                String::new()
            } else {
                detail
            },
        ),
        ("interface", bearer.interface.clone()),
        ("addresses", bearer.addresses.join(" ")),
        ("DNS", bearer.name_servers.join(" ")),
        ("APN", bearer.apn.clone()),
        ("MTU", bearer.mtu.map(|mtu| mtu.to_string()).unwrap_or_default()),
        ("since", present::time(bearer.state_time, &session.console.zone)),
    ];
    session.rows(rows)
}
