//! `modemctl network cells`, `statistics` and `profiles`: what the module is asked by QMI.

use api::v1::{
    AccessTechnology, Cell, ComponentCarrier, GetBearerStatisticsRequest, GetCellsRequest, ListDataProfilesRequest,
};
use client::json::to_value;

use crate::Session;
use crate::console::Tone;
use crate::failure::Failure;
use crate::present::word;
use crate::table::Table;

fn plain(text: impl ToString) -> (Tone, String) {
    (Tone::Plain, text.to_string())
}

fn told(value: Option<impl ToString>) -> (Tone, String) {
    plain(value.map(|value| value.to_string()).unwrap_or_default())
}

pub(super) async fn cells(session: &mut Session<'_>) -> Result<(), Failure> {
    let request = GetCellsRequest {
        modem: session.modem.clone(),
    };
    let mut service = session.broker.network();
    let answer = session.ask("asking for the cells", service.get_cells(request)).await?;
    if session.json {
        return session.console.json(&to_value(&answer));
    }
    if answer.cells.is_empty() {
        return session.console.line("no cell is heard");
    }
    let mut table = Table::new(&[
        "",
        "technology",
        "network",
        "area",
        "cell",
        "channel",
        "physical",
        "power",
        "quality",
        "rssi",
    ])
    .with_numbers(&[5, 7, 8, 9]);
    for cell in &answer.cells {
        table.push(row(cell));
    }
    session.table(&table)?;
    if !answer.carriers.is_empty() {
        session.console.line("")?;
        let mut table =
            Table::new(&["carrier", "band", "channel", "physical", "bandwidth", "state"]).with_numbers(&[1, 2, 4]);
        answer
            .carriers
            .iter()
            .for_each(|carrier| table.push(carrier_row(carrier)));
        session.table(&table)?;
    }
    if !answer.receivers.is_empty() {
        session.console.line("")?;
    }
    for receiver in &answer.receivers {
        session.console.line(&format!(
            "receiver {}: {:.1} dBm, reference {:.1} dBm",
            receiver.number, receiver.power_dbm, receiver.reference_power_dbm
        ))?;
    }
    if let Some(power) = answer.transmitted_power_dbm {
        session.console.line(&format!("transmitter: {power:.1} dBm"))?;
    }
    Ok(())
}

fn row(cell: &Cell) -> Vec<(Tone, String)> {
    let measure = |measure: Option<f64>, unit: &str| told(measure.map(|measure| format!("{measure:.1} {unit}")));
    let physical = match cell.technology() {
        AccessTechnology::Umts => "PSC",
        AccessTechnology::Gsm => "BSIC",
        _ => "PCI",
    };
    vec![
        plain(if cell.serving { "serves" } else { "" }),
        plain(word!(cell.technology(), "ACCESS_TECHNOLOGY_").to_uppercase()),
        plain(&cell.plmn),
        told(cell.area_code.map(|area| format!("{area:04X}"))),
        told(cell.cell_id.map(|cell| format!("{cell:X}"))),
        told(cell.channel.map(|channel| channel.to_string())),
        told(cell.physical_cell_id.map(|identity| format!("{physical} {identity}"))),
        measure(cell.rsrp_dbm.or(cell.rscp_dbm), "dBm"),
        measure(cell.rsrq_db.or(cell.ecio_db), "dB"),
        measure(cell.rssi_dbm, "dBm"),
    ]
}

fn carrier_row(carrier: &ComponentCarrier) -> Vec<(Tone, String)> {
    vec![
        plain(if carrier.primary { "primary" } else { "secondary" }),
        told(carrier.band),
        plain(carrier.channel),
        plain(format!("PCI {}", carrier.physical_cell_id)),
        told(
            carrier
                .bandwidth_khz
                .map(|khz| format!("{:.1} MHz", f64::from(khz) / 1000.0)),
        ),
        plain(if carrier.active { "active" } else { "idle" }),
    ]
}

pub(super) async fn statistics(session: &mut Session<'_>) -> Result<(), Failure> {
    let request = GetBearerStatisticsRequest {
        modem: session.modem.clone(),
    };
    let mut service = session.broker.network();
    let asking = service.get_bearer_statistics(request);
    let answer = session.ask("asking for the statistics", asking).await?;
    if session.json {
        return session.console.json(&to_value(&answer));
    }
    let mut table = Table::new(&["", "bytes", "packets", "errors", "dropped"]).with_numbers(&[1, 2, 3, 4]);
    table.push(vec![
        plain("down"),
        plain(answer.downlink_bytes),
        told(answer.downlink_packets),
        told(answer.downlink_errors),
        told(answer.downlink_dropped),
    ]);
    table.push(vec![
        plain("up"),
        plain(answer.uplink_bytes),
        told(answer.uplink_packets),
        told(answer.uplink_errors),
        told(answer.uplink_dropped),
    ]);
    session.table(&table)
}

pub(super) async fn profiles(session: &mut Session<'_>) -> Result<(), Failure> {
    let request = ListDataProfilesRequest {
        modem: session.modem.clone(),
    };
    let mut service = session.broker.network();
    let answer = session
        .ask("asking for the profiles", service.list_data_profiles(request))
        .await?;
    if session.json {
        return session.console.json(&to_value(&answer));
    }
    let mut table = Table::new(&["index", "type", "apn", "user", "roaming", "name"]);
    for profile in &answer.profiles {
        let roaming = match profile.roaming_disallowed {
            Some(true) => "no",
            Some(false) => "yes",
            None => "",
        };
        table.push(vec![
            plain(profile.index),
            plain(&profile.pdp_type),
            plain(&profile.apn),
            plain(&profile.user),
            plain(roaming),
            plain(&profile.name),
        ]);
    }
    session.table(&table)
}
