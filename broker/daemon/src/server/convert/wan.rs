//! The choice of the WAN.

use api::v1;

use super::known_time;
use crate::resource::{PrimaryState, ProbeResult, WanMode, WanRole, WanStatus};

fn role(role: WanRole) -> v1::WanRole {
    match role {
        WanRole::Primary => v1::WanRole::Primary,
        WanRole::Backup => v1::WanRole::Backup,
        WanRole::None => v1::WanRole::None,
    }
}

/// A length of time; none that occurs here is beyond the contract's.
fn duration(duration: std::time::Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}

fn probe(result: &ProbeResult) -> v1::ProbeResult {
    v1::ProbeResult {
        interface: result.interface.clone(),
        target: result.target.clone(),
        ok: result.ok,
        round_trip: result.ok.then_some(result.round_trip).and_then(duration),
        probe_time: known_time(result.probe_time),
        detail: result.detail.clone(),
    }
}

/// The state of the WANs.
pub(in crate::server) fn wan(status: &WanStatus) -> v1::WanStatus {
    let mode = match status.mode {
        WanMode::Off => v1::WanMode::Off,
        WanMode::Backup => v1::WanMode::Backup,
        WanMode::Standby => v1::WanMode::Standby,
        WanMode::AlwaysOn => v1::WanMode::AlwaysOn,
    };
    let primary = match status.primary {
        PrimaryState::Unwatched => v1::WanPrimaryState::Unspecified,
        PrimaryState::Good => v1::WanPrimaryState::Good,
        PrimaryState::Suspect => v1::WanPrimaryState::Suspect,
        PrimaryState::LinkDown => v1::WanPrimaryState::LinkDown,
        PrimaryState::NoAnswer => v1::WanPrimaryState::NoAnswer,
        PrimaryState::NoNames => v1::WanPrimaryState::NoNames,
        PrimaryState::Portal => v1::WanPrimaryState::Portal,
    };
    v1::WanStatus {
        active: role(status.active).into(),
        reason: status.reason.clone(),
        since_time: known_time(status.since),
        mode: mode.into(),
        primary_interface: status.primary_interface.clone(),
        backup_interface: status.backup_interface.clone(),
        probes: status.probes.iter().map(probe).collect(),
        forced: status.forced.map_or(v1::WanRole::Unspecified, role).into(),
        primary_state: primary.into(),
        backup_detail: status.backup_detail.clone(),
        hold: duration(status.hold).filter(|hold| *hold != prost_types::Duration::default()),
        failover_count: status.failovers,
    }
}
