//! `modemctl wan`.

use api::v1::{
    CheckWanRequest, ForceWanRequest, GetDataUsageRequest, GetWanStatusRequest, ProbeResult, SetWanModeRequest,
    WanMode, WanPrimaryState, WanRole, WanStatus,
};
use client::json::to_value;

use super::present as required;
use crate::Session;
use crate::arguments::{ForcedWay, WanCommand, WanOptions, WanPolicy};
use crate::console::Tone;
use crate::failure::Failure;
use crate::present::{self, word};
use crate::table::clean;

pub(crate) async fn wan(session: &mut Session<'_>, options: WanOptions) -> Result<(), Failure> {
    let mut service = session.broker.network();
    let mut checked = false;
    let status = match options.command {
        Some(WanCommand::Usage) => return usage(session).await,
        None => {
            let request = service.get_wan_status(GetWanStatusRequest {});
            session.ask("asking for the WAN", request).await?.status
        }
        Some(WanCommand::Check) => {
            checked = true;
            let request = service.check_wan(CheckWanRequest {});
            session.ask("probing the primary", request).await?.status
        }
        Some(WanCommand::Policy { mode }) => {
            let mode = match mode {
                WanPolicy::Off => WanMode::Off,
                WanPolicy::Backup => WanMode::Backup,
                WanPolicy::Standby => WanMode::Standby,
                WanPolicy::AlwaysOn => WanMode::AlwaysOn,
            };
            let request = service.set_wan_mode(SetWanModeRequest { mode: mode.into() });
            session.ask("setting the policy", request).await?.status
        }
        Some(WanCommand::Force { way }) => {
            let role = match way {
                ForcedWay::Primary => WanRole::Primary,
                ForcedWay::Backup => WanRole::Backup,
                ForcedWay::Release => WanRole::None,
            };
            let request = service.force_wan(ForceWanRequest { role: role.into() });
            session.ask("forcing a way", request).await?.status
        }
    };
    let status = required(status)?;
    if session.json {
        session.console.json(&to_value(&status))?;
    } else {
        show(session, &status)?;
    }
    if checked && status.primary_state() != WanPrimaryState::Good {
        return Err(Failure::new(format!("the primary does not work: {}", status.reason)));
    }
    Ok(())
}

fn show(session: &mut Session<'_>, status: &WanStatus) -> Result<(), Failure> {
    let mode = word!(status.mode(), "WAN_MODE_").replace('_', " ");
    let primary = word!(status.primary_state(), "WAN_PRIMARY_STATE_").replace('_', " ");
    let forced = match status.forced() {
        WanRole::Unspecified => String::new(),
        role => word!(role, "WAN_ROLE_"),
    };
    let hold = status.hold.filter(|hold| hold.seconds > 0);
    let rows = [
        ("active", word!(status.active(), "WAN_ROLE_")),
        ("why", status.reason.clone()),
        ("since", present::time(status.since_time, &session.console.zone)),
        ("mode", mode),
        ("forced", forced),
        (
            "primary",
            present::list([status.primary_interface.clone(), primary], ", "),
        ),
        (
            "modem",
            present::list([status.backup_interface.clone(), status.backup_detail.clone()], ", "),
        ),
        (
            "returns",
            hold.map(|hold| format!("after {} s without fault", hold.seconds))
                .unwrap_or_default(),
        ),
    ];
    session.rows(rows)?;
    for probe in &status.probes {
        let line = clean(&probe_line(probe));
        let name = session.console.paint(Tone::Quiet, "probe  ");
        session.console.line(&format!("{name}  {line}"))?;
    }
    Ok(())
}

fn probe_line(probe: &ProbeResult) -> String {
    let outcome = match (&probe.round_trip, probe.ok) {
        (Some(time), true) => {
            let milliseconds = time.seconds as f64 * 1e3 + f64::from(time.nanos) / 1e6;
            format!("{milliseconds:.1} ms")
        }
        (None, true) => "ok".to_owned(),
        (_, false) => probe.detail.clone(),
    };
    format!("{} {}: {outcome}", probe.interface, probe.target)
}

async fn usage(session: &mut Session<'_>) -> Result<(), Failure> {
    let mut service = session.broker.network();
    let request = GetDataUsageRequest {
        modem: session.modem.clone(),
    };
    let usage = session
        .ask("asking for the data used", service.get_data_usage(request))
        .await?;
    if session.json {
        return session.console.json(&to_value(&usage));
    }
    let mebibytes = |octets: u64| format!("{:.1} MiB", octets as f64 / 1_048_576.0);
    let cap = match usage.cap_bytes {
        0 => String::new(),
        cap => format!(" of {}", mebibytes(cap)),
    };
    let since = present::time(usage.period_start_time, &session.console.zone);
    session.console.line(&format!(
        "{}{cap} since {since} (down {}, up {})",
        mebibytes(usage.downlink_bytes + usage.uplink_bytes),
        mebibytes(usage.downlink_bytes),
        mebibytes(usage.uplink_bytes)
    ))
}
