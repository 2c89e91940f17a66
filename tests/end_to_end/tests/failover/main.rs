//! Which way packets take when one of two fails: each test in network namespaces of its own, as [`end_to_end::lab`] builds
//! them. They need root and `/dev/net/tun`, so `cargo test` leaves them out; `tests/run` runs them with `--ignored` where it
//! can. How long things take is measured by `bench --only failover`; here counts what happens and in which order.

mod modes;
#[path = "../bearer/namespace.rs"]
#[expect(dead_code, reason = "the tests of the bearer need more of it")]
mod namespace;
mod several;
mod switching;

use api::v1::{CheckWanRequest, ForceWanRequest, GetWanStatusRequest, SetWanModeRequest, WanMode, WanRole, WanStatus};
use end_to_end::{LIMIT, Rig, until};

async fn status(rig: &Rig) -> anyhow::Result<WanStatus> {
    let answer = rig.broker().network().get_wan_status(GetWanStatusRequest {}).await?;
    Ok(answer.into_inner().status.unwrap_or_default())
}

async fn check(rig: &Rig) -> Result<WanStatus, tonic::Status> {
    let answer = rig.broker().network().check_wan(CheckWanRequest {}).await?;
    Ok(answer.into_inner().status.unwrap_or_default())
}

async fn set_mode(rig: &Rig, mode: WanMode) -> Result<WanStatus, tonic::Status> {
    let request = SetWanModeRequest { mode: mode.into() };
    let answer = rig.broker().network().set_wan_mode(request).await?;
    Ok(answer.into_inner().status.unwrap_or_default())
}

async fn force(rig: &Rig, role: WanRole) -> Result<WanStatus, tonic::Status> {
    let request = ForceWanRequest { role: role.into() };
    let answer = rig.broker().network().force_wan(request).await?;
    Ok(answer.into_inner().status.unwrap_or_default())
}

/// Waits until the status fits.
async fn settled(rig: &Rig, what: &str, fits: impl Fn(&WanStatus) -> bool) -> anyhow::Result<WanStatus> {
    until(what, LIMIT, async || {
        Ok(Some(status(rig).await?).filter(|status| fits(status)))
    })
    .await
}
