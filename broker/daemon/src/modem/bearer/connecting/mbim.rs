//! Sessions by MBIM: one context for every version of IP, whose packets are raw IP in any case.

use std::sync::atomic::{AtomicBool, Ordering};

use cellular::mbim::basic_connect::{self, Activation, Attachment, AuthProtocol, Connection, IpType, NotConnected};
use cellular::mbim::{Failure, Refusal, Request, Response, Status};
use cellular::packet::{self, Authentication, EndReason, Family};

use super::{ConnectError, Held, IN_USE_PAUSE, Session};
use crate::modem::settings::{DataConfig, DataFamilies};
use crate::port::mbim::MbimHandle;

async fn ask(mbim: &MbimHandle, what: &'static str, request: Request) -> Result<Response, ConnectError> {
    let unanswered = |source| ConnectError::MbimUnanswered { what, source };
    mbim.ask(request).await.map_err(unanswered)
}

/// Sets up what is wanted, as far as it can be had; what is up is in the session even if that fails.
pub(super) async fn start(
    mbim: &MbimHandle,
    wanted: &packet::Session,
    config: &DataConfig,
    given_up: &AtomicBool,
    session: &mut Session,
) -> Result<(), ConnectError> {
    attach(mbim).await?;
    let wanted = &named(wanted, config);
    let ip = match config.families {
        DataFamilies::V4 => IpType::V4,
        DataFamilies::V6 => IpType::V6,
        DataFamilies::Both => IpType::V4V6,
    };
    let connection = match activate(mbim, wanted, ip, given_up).await {
        Err(error) if is_in_the_way(&error) => {
            tracing::info!("another program's data session is in the way; ending it");
            ask(mbim, "Disconnect", basic_connect::disconnect()).await?;
            tokio::time::sleep(IN_USE_PAUSE).await;
            activate(mbim, wanted, ip, given_up).await?
        }
        // One family may be all that the network has.
        Err(ConnectError::Ended(reason)) if ip == IpType::V4V6 => match only(reason) {
            Some(ip) => activate(mbim, wanted, ip, given_up).await?,
            None => return Err(ConnectError::Ended(reason)),
        },
        other => other?,
    };
    let carried = [Family::V4, Family::V6];
    let families = carried.into_iter().filter(|family| connection.ip.has(*family));
    session.held = Some(Held::Mbim(families.collect()));
    let what = "IP Configuration";
    let response = ask(mbim, what, basic_connect::ip_configuration()).await?;
    let settings =
        basic_connect::read_ip_configuration(&response).map_err(|source| ConnectError::MbimRefused { what, source })?;
    session.settings.push(settings);
    Ok(())
}

/// One context has one access point: that of IPv6 counts where there is nothing else. Profiles are QMI's.
fn named(wanted: &packet::Session, config: &DataConfig) -> packet::Session {
    let apn = match (config.families, &config.apn_v6) {
        (DataFamilies::V6, Some(apn)) => apn,
        _ => &wanted.apn,
    };
    packet::Session {
        apn: apn.clone(),
        ..wanted.clone()
    }
}

/// The module attaches by itself as a rule; one that somebody detached is told to.
async fn attach(mbim: &MbimHandle) -> Result<(), ConnectError> {
    let what = "Packet Service";
    let response = ask(mbim, what, basic_connect::packet_service()).await?;
    let service = basic_connect::read_packet_service(&response.information);
    let attached = |service: basic_connect::PacketService| service.attachment == Attachment::Attached;
    if response.result().is_ok() && service.is_ok_and(attached) {
        return Ok(());
    }
    let what = "Attach";
    let response = ask(mbim, what, basic_connect::attach(true)).await?;
    let refused = |source| ConnectError::MbimRefused { what, source };
    response.result().map_err(refused)
}

/// The family that is left where the network gives no more (24.008 10.5.6.6: 50 IPv4 only, 51 IPv6 only, 52 one at a time).
const fn only(reason: EndReason) -> Option<IpType> {
    match (reason.layer, reason.number) {
        (EndReason::SESSION_MANAGEMENT, 50 | 52) => Some(IpType::V4),
        (EndReason::SESSION_MANAGEMENT, 51) => Some(IpType::V6),
        _ => None,
    }
}

/// There is no value for *either protocol*: CHAP, which does not show the password, and then PAP.
const fn protocols(authentication: Authentication) -> &'static [AuthProtocol] {
    match authentication {
        Authentication::None => &[AuthProtocol::None],
        Authentication::Pap => &[AuthProtocol::Pap],
        Authentication::Chap => &[AuthProtocol::Chap],
        Authentication::Both => &[AuthProtocol::Chap, AuthProtocol::Pap],
    }
}

async fn activate(
    mbim: &MbimHandle,
    wanted: &packet::Session,
    ip: IpType,
    given_up: &AtomicBool,
) -> Result<Connection, ConnectError> {
    let mut outcome = Err(ConnectError::GivenUp);
    for protocol in protocols(wanted.authentication) {
        outcome = activate_with(mbim, wanted, *protocol, ip, given_up).await;
        match &outcome {
            Err(error) if concerns_authentication(error) => {}
            _ => return outcome,
        }
    }
    outcome
}

fn concerns_authentication(error: &ConnectError) -> bool {
    match error {
        ConnectError::Ended(reason) => reason.is_authentication(),
        // Firmware that does not know the protocol.
        ConnectError::MbimRefused { source, .. } => matches!(
            source,
            Refusal::Status(Status::INVALID_PARAMETERS | Status::NO_DEVICE_SUPPORT)
        ),
        _ => false,
    }
}

async fn activate_with(
    mbim: &MbimHandle,
    wanted: &packet::Session,
    protocol: AuthProtocol,
    ip: IpType,
    given_up: &AtomicBool,
) -> Result<Connection, ConnectError> {
    // A deactivation that comes before its activation would end nothing.
    if given_up.load(Ordering::Relaxed) {
        return Err(ConnectError::GivenUp);
    }
    let what = "Connect";
    match ask(mbim, what, basic_connect::connect(wanted, protocol, ip)).await {
        // It may have been carried out all the same; a session that nobody knows of would cost money.
        Err(
            error @ ConnectError::MbimUnanswered {
                source: Failure::TimedOut,
                ..
            },
        ) => match state(mbim).await {
            Some(connection) if connection.activation == Activation::Activated => Ok(connection),
            _ => {
                stop(mbim).await;
                Err(error)
            }
        },
        Err(error) => Err(error),
        Ok(response) => basic_connect::connected(&response).map_err(|not_connected| match not_connected {
            NotConnected::Ended(reason) => ConnectError::Ended(reason),
            NotConnected::Refused(_) if given_up.load(Ordering::Relaxed) => ConnectError::GivenUp,
            NotConnected::Refused(source) => ConnectError::MbimRefused { what, source },
        }),
    }
}

/// Whether a session that somebody else began, often the firmware itself, is in the way.
const fn is_in_the_way(error: &ConnectError) -> bool {
    matches!(
        error,
        ConnectError::MbimRefused {
            source: Refusal::Status(Status::MAX_ACTIVATED_CONTEXTS),
            ..
        }
    )
}

async fn state(mbim: &MbimHandle) -> Option<Connection> {
    let response = mbim.ask(basic_connect::connection_state()).await.ok()?;
    response.result().ok()?;
    basic_connect::read_connection(&response.information).ok()
}

/// Whether the session is up.
pub(super) async fn is_up(mbim: &MbimHandle) -> bool {
    let up = |connection: Connection| connection.activation == Activation::Activated;
    state(mbim).await.is_some_and(up)
}

/// Ends the session, or gives up one that is being set up. Nothing here fails: what does not answer has no session.
pub(super) async fn stop(mbim: &MbimHandle) {
    match mbim.ask(basic_connect::disconnect()).await {
        Ok(response) => {
            if let Err(refusal) = basic_connect::disconnected(&response) {
                tracing::debug!(%refusal, "the session was over");
            }
        }
        Err(failure) => tracing::debug!(%failure, "the session was not ended"),
    }
}

#[cfg(test)]
mod tests;
