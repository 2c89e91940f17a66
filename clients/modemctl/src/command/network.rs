//! `modemctl network`.

use std::time::Duration;

use api::v1::{
    Bearer, BearerState, ConnectBearerRequest, DisconnectBearerRequest, GetBearerRequest, GetNetworkStatusRequest, Ims,
    ImsRegistration, ImsService, NetworkStatus, Persistence,
};
use client::json::to_value;

use super::present as required;
use crate::Session;
use crate::arguments::{Kind, NetworkCommand, NetworkOptions, WatchOptions};
use crate::console::Tone;
use crate::failure::Failure;
use crate::present::{self, word};
use crate::table::clean;

/// Setting up a session takes a minute at most, and as long again when a session was in the way.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(180);

pub(crate) async fn network(session: &mut Session<'_>, options: NetworkOptions) -> Result<(), Failure> {
    if let Some(command) = options.command {
        return bearer(session, command).await;
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
        part("area", cell.area_code.map(|code| format!("{code:X}"))),
        part("cell", cell.cell_id.map(|id| id.to_string())),
    ];
    let rows = [
        ("modem", status.modem.clone()),
        ("operator", operator),
        (
            "technology",
            word!(status.technology(), "ACCESS_TECHNOLOGY_").to_uppercase(),
        ),
        ("LTE", word!(status.evolved_packet(), "REGISTRATION_STATE_")),
        ("calls", word!(status.circuit_switched(), "REGISTRATION_STATE_")),
        ("packets", word!(status.packet_switched(), "REGISTRATION_STATE_")),
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
    for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        let name = session.console.paint(Tone::Quiet, &format!("{name:<10}"));
        session.console.line(&format!("{name}  {}", clean(&value)))?;
    }
    Ok(())
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
    };
    let bearer = required(bearer)?;
    if session.json {
        return session.console.json(&to_value(&bearer));
    }
    show_bearer(session, &bearer)
}

fn show_bearer(session: &mut Session<'_>, bearer: &Bearer) -> Result<(), Failure> {
    let detail = match bearer.persistence() {
        Persistence::Permanent if bearer.state() != BearerState::Connected => {
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
    for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        let name = session.console.paint(Tone::Quiet, &format!("{name:<10}"));
        session.console.line(&format!("{name}  {}", clean(&value)))?;
    }
    Ok(())
}
