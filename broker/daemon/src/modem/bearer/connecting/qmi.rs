//! Sessions by QMI.
//!
//! Both ends of the network interface have to agree on raw IP: the modem by WDA, the driver by its `raw_ip` attribute, which
//! it takes only while the link is down. Composition 9001 carries data this way beside voice and messages; with the
//! driver's default, an Ethernet header, every packet is lost.

use std::sync::atomic::{AtomicBool, Ordering};

use cellular::packet::{Family, end_reason::Consequence};
use cellular::qmi::wda::{self, LinkLayer};
use cellular::qmi::wds::{self, Connection, Handle, NotStarted};
use cellular::qmi::{Failure, ProtocolError, Request, Response};

use super::{ConnectError, Held, IN_USE_PAUSE, Session};
use crate::modem::settings::{DataConfig, DataFamilies};
use crate::net;
use crate::net::interface::Interface;
use crate::port::qmi::QmiHandle;

async fn ask(qmi: &QmiHandle, what: &'static str, request: Request) -> Result<Response, ConnectError> {
    let unanswered = |source| ConnectError::Unanswered { what, source };
    qmi.ask(request).await.map_err(unanswered)
}

/// Sets up what is wanted, as far as it can be had; what is up is in the session even if that fails.
pub(super) async fn start(
    qmi: &QmiHandle,
    interface: &Interface,
    wanted: &wds::Session,
    config: &DataConfig,
    given_up: &AtomicBool,
    session: &mut Session,
) -> Result<(), ConnectError> {
    agree_on_raw_ip(qmi, interface).await?;
    start_families(qmi, wanted, config, given_up, session).await
}

async fn agree_on_raw_ip(qmi: &QmiHandle, interface: &Interface) -> Result<(), ConnectError> {
    let what = "Set Data Format";
    let response = ask(qmi, what, wda::set_data_format(LinkLayer::RawIp)).await?;
    match wda::data_format(&response) {
        Ok(LinkLayer::RawIp) => {}
        Ok(other) => return Err(ConnectError::Format(other)),
        Err(source) => return Err(ConnectError::Refused { what, source }),
    }
    let interface = interface.clone();
    Ok(net::bounded(move || interface.set_raw_ip()).await?)
}

/// One family may fail when both are wanted: many networks have only one.
async fn start_families(
    qmi: &QmiHandle,
    wanted: &wds::Session,
    config: &DataConfig,
    given_up: &AtomicBool,
    session: &mut Session,
) -> Result<(), ConnectError> {
    let mut first_error = None;
    for family in config.families.list() {
        let mut wanted = wanted.clone();
        if *family == Family::V6 {
            // The access point of a profile is overridden by one that is named.
            if let Some(profile) = config.profile_v6 {
                (wanted.profile, wanted.apn) = (Some(profile), String::new());
            }
            if let Some(apn) = &config.apn_v6 {
                wanted.apn.clone_from(apn);
            }
        }
        match start_family(qmi, *family, &wanted, given_up, session).await {
            Ok(()) => {}
            Err(error) => {
                tracing::debug!(?family, %error, "no session");
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        Some(error) if session.families().is_empty() => Err(error),
        _ => Ok(()),
    }
}

async fn start_family(
    qmi: &QmiHandle,
    family: Family,
    wanted: &wds::Session,
    given_up: &AtomicBool,
    session: &mut Session,
) -> Result<(), ConnectError> {
    // Firmware that serves both families with any client does not know the message.
    ask(qmi, "Set IP Family", wds::set_ip_family(family)).await?;
    let handle = match start_network(qmi, family, wanted, given_up).await {
        Err(error) if is_in_the_way(&error) => {
            free(qmi, family).await?;
            tokio::time::sleep(IN_USE_PAUSE).await;
            start_network(qmi, family, wanted, given_up).await?
        }
        other => other?,
    };
    match &mut session.held {
        Some(Held::Qmi(handles)) => handles.push((family, handle)),
        held => *held = Some(Held::Qmi(vec![(family, handle)])),
    }
    let what = "Get Current Settings";
    let response = ask(qmi, what, wds::get_current_settings(family)).await?;
    let settings = wds::current_settings(&response).map_err(|source| ConnectError::Refused { what, source })?;
    session.settings.push(settings);
    Ok(())
}

async fn start_network(
    qmi: &QmiHandle,
    family: Family,
    wanted: &wds::Session,
    given_up: &AtomicBool,
) -> Result<Handle, ConnectError> {
    // A stop that comes before its start would stop nothing.
    if given_up.load(Ordering::Relaxed) {
        return Err(ConnectError::GivenUp);
    }
    let what = "Start Network";
    let response = match ask(qmi, what, wds::start_network(family, wanted)).await {
        // It may have been carried out all the same; a session that nobody knows of would cost money.
        Err(
            error @ ConnectError::Unanswered {
                source: Failure::TimedOut,
                ..
            },
        ) => {
            if is_up(qmi, &[family]).await {
                return Ok(Handle::ANY);
            }
            let _ = ask(qmi, "Stop Network", wds::stop_network(family, Handle::ANY, true)).await;
            return Err(error);
        }
        other => other?,
    };
    wds::started(&response).map_err(|not_started| match not_started {
        NotStarted::Ended(reason) => ConnectError::Ended(reason),
        NotStarted::Refused(source) => ConnectError::Refused { what, source },
    })
}

/// Whether a session that somebody else began, often the firmware itself, is in the way.
fn is_in_the_way(error: &ConnectError) -> bool {
    match error {
        ConnectError::Ended(reason) => reason.consequence() == Consequence::InUse,
        ConnectError::Refused { source, .. } => source.protocol() == Some(ProtocolError::POLICY_MISMATCH),
        _ => false,
    }
}

async fn free(qmi: &QmiHandle, family: Family) -> Result<(), ConnectError> {
    tracing::info!(?family, "another program's data session is in the way; ending it");
    ask(qmi, "Set Autoconnect", wds::set_autoconnect(wds::Autoconnect::Disabled)).await?;
    ask(qmi, "Stop Network", wds::stop_network(family, Handle::ANY, true)).await?;
    Ok(())
}

/// Whether the session of every family is up.
pub(super) async fn is_up(qmi: &QmiHandle, families: &[Family]) -> bool {
    for family in families {
        let status = match qmi.ask(wds::get_packet_service_status(*family)).await {
            Ok(response) => wds::packet_service_status(&response).ok(),
            Err(_) => None,
        };
        if !matches!(status, Some(Connection::Connected | Connection::Suspended)) {
            return false;
        }
    }
    true
}

/// Makes the modem give up a session that it is setting up.
pub(super) async fn give_up(qmi: &QmiHandle, families: DataFamilies) {
    for family in families.list() {
        if let Err(failure) = qmi.ask(wds::stop_network(*family, Handle::ANY, false)).await {
            tracing::debug!(%failure, "a session was not given up");
        }
    }
}

/// Ends sessions. Nothing here fails: what does not answer has no session.
pub(super) async fn stop(qmi: &QmiHandle, handles: Vec<(Family, Handle)>) {
    for (family, handle) in handles {
        match qmi.ask(wds::stop_network(family, handle, false)).await {
            Ok(response) => {
                if let Err(refusal) = wds::stopped(&response) {
                    tracing::debug!(?family, %refusal, "the session was over");
                }
            }
            Err(failure) => tracing::debug!(?family, %failure, "the session was not ended"),
        }
    }
}

#[cfg(test)]
mod tests;
