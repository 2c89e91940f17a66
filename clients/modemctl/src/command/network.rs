//! `modemctl network`.

use api::v1::{GetNetworkStatusRequest, NetworkStatus};
use client::json::to_value;

use super::present as required;
use crate::Session;
use crate::arguments::{Kind, NetworkOptions, WatchOptions};
use crate::console::Tone;
use crate::failure::Failure;
use crate::present::{self, word};
use crate::table::clean;

pub(crate) async fn network(session: &mut Session<'_>, options: NetworkOptions) -> Result<(), Failure> {
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
