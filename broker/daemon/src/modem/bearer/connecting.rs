//! From a QMI port that answers to packets that go, as one sequence that reads from top to bottom.
//!
//! Both ends of the network interface have to agree on raw IP: the modem by WDA, the driver by its `raw_ip` attribute, which
//! it takes only while the link is down. Composition 9001 carries data this way beside voice and messages; with the
//! driver's default, an Ethernet header, every packet is lost.

mod addressing;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::modem::qmi::end_reason::Consequence;
use ::modem::qmi::wda::{self, LinkLayer};
use ::modem::qmi::wds::{self, Connection, Family, Handle, NotStarted, Settings};
use ::modem::qmi::{EndReason, Failure, ProtocolError, Refusal as QmiRefusal, Request, Response};
use tokio::sync::watch;

use crate::config::{DataConfig, DataFamilies};
use crate::port::qmi::QmiHandle;
use crate::refusal::Refusal;
use crate::resource::Persistence;
use crate::wan::address::Layout;
use crate::wan::dhcp::{self, Lease, LeaseError};
use crate::wan::interface::{Interface, NotReady};

/// The kernel configures a link in milliseconds, and as long as control transfers take when the device is slow.
const LINK_LIMIT: Duration = Duration::from_secs(10);

/// Between ending a session that is in the way and the next try.
const IN_USE_PAUSE: Duration = Duration::from_secs(1);

/// A session that is up.
pub(in crate::modem) struct Session {
    handles: Vec<(Family, Handle)>,
    settings: Vec<Settings>,
    /// The configured largest packet.
    mtu: Option<u32>,
    /// The lease of its IPv4 address, if that came by DHCP.
    lease: Option<Lease>,
    /// Dropped with it, to end what is done for it meanwhile.
    held: watch::Sender<()>,
}

impl Session {
    fn new(mtu: Option<u32>) -> Self {
        Self {
            handles: Vec::new(),
            settings: Vec::new(),
            mtu,
            lease: None,
            held: watch::Sender::new(()),
        }
    }

    /// Waits until the lease has to be prolonged and does it; `None` when the session is over before. Nothing to do without
    /// a lease.
    pub(super) fn prolonging(
        &self,
        interface: &Interface,
    ) -> Option<impl Future<Output = Option<Result<Lease, LeaseError>>> + Send + use<>> {
        let (lease, name) = (self.lease.clone()?, interface.name.clone());
        let mut held = self.held.subscribe();
        Some(async move {
            tokio::select! {
                _ = held.changed() => None,
                outcome = dhcp::prolong(&name, &lease) => Some(outcome),
            }
        })
    }

    /// The lease was prolonged.
    pub(super) fn prolonged(&mut self, lease: Lease) {
        self.lease = Some(lease);
    }

    pub(super) fn has(&self, family: Family) -> bool {
        self.handles.iter().any(|(has, _)| *has == family)
    }

    pub(super) fn families(&self) -> Vec<Family> {
        self.handles.iter().map(|(family, _)| *family).collect()
    }

    /// Addresses, name servers, access point and largest packet, for people.
    pub(super) fn described(&self) -> (Vec<String>, Vec<String>, Option<String>, Option<u32>) {
        let shown = |(address, prefix): &(IpAddr, u8)| format!("{address}/{prefix}");
        let addresses = layout(&self.settings, None).addresses.iter().map(shown).collect();
        let v4 = self.settings.iter().flat_map(|settings| &settings.name_servers_v4);
        let v6 = self.settings.iter().flat_map(|settings| &settings.name_servers_v6);
        let name_servers = v4.map(ToString::to_string).chain(v6.map(ToString::to_string)).collect();
        let apn = self.settings.iter().find_map(|settings| settings.apn.clone());
        (
            addresses,
            name_servers,
            apn,
            self.mtu.or(layout(&self.settings, None).mtu),
        )
    }
}

fn layout(settings: &[Settings], metric: Option<u32>) -> Layout {
    let v4 = settings.iter().filter_map(|settings| settings.address_v4);
    let v6 = settings.iter().filter_map(|settings| settings.address_v6);
    let v4 = v4.map(|(address, prefix)| (IpAddr::from(address), prefix));
    let v6 = v6.map(|(address, prefix)| (IpAddr::from(address), prefix));
    Layout {
        addresses: v4.chain(v6).collect(),
        mtu: settings.iter().filter_map(|settings| settings.mtu).min(),
        metric,
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(in crate::modem) enum ConnectError {
    #[error(transparent)]
    NotReady(#[from] NotReady),
    #[error("{what}: {source}")]
    Unanswered { what: &'static str, source: Failure },
    #[error("{what}: {source}")]
    Refused { what: &'static str, source: QmiRefusal },
    #[error("{0}")]
    Ended(EndReason),
    #[error("the modem does not carry raw IP, it wants {0:?}")]
    Format(LinkLayer),
    #[error("it was given up")]
    GivenUp,
    #[error("the network gave no address")]
    NoAddress,
    #[error(transparent)]
    Lease(#[from] LeaseError),
}

impl ConnectError {
    /// Whether the modem has no client id left: others that were killed have left theirs behind.
    pub(super) fn is_exhausted(&self) -> bool {
        let Self::Unanswered {
            source: Failure::NoClient(refusal),
            ..
        } = self
        else {
            return false;
        };
        refusal.protocol() == Some(ProtocolError::CLIENT_IDS_EXHAUSTED)
    }

    /// What whoever asked is told, with what to do.
    pub(super) fn refusal(&self) -> Refusal {
        let failed = |detail: String, reason, persistence| Refusal::BearerFailed {
            detail,
            reason,
            persistence,
        };
        match self {
            Self::NotReady(not_ready) => Refusal::DataNotReady {
                detail: not_ready.to_string(),
            },
            Self::Ended(reason) if reason.consequence() == Consequence::Roaming => Refusal::RoamingNotAllowed,
            Self::Ended(reason) => {
                let advice = advice(*reason);
                let persistence = match reason.consequence() {
                    Consequence::Permanent => Persistence::Permanent,
                    _ => Persistence::Transient,
                };
                failed(format!("{reason}; {advice}"), Some(*reason), persistence)
            }
            Self::Unanswered {
                source: Failure::TimedOut,
                what,
            } => Refusal::ModemTimeout {
                command: (*what).to_owned(),
            },
            Self::Lease(LeaseError::Capability) => failed(self.to_string(), None, Persistence::Permanent),
            Self::Format(_) => failed(
                format!("{self}; a newer firmware may do it, or composition 9018 (ECM)"),
                None,
                Persistence::Permanent,
            ),
            other => failed(format!("{other}; try again"), None, Persistence::Transient),
        }
    }
}

fn advice(reason: EndReason) -> &'static str {
    match reason.consequence() {
        _ if reason.is_access_point() => "set data_apn in [modem.carrier] to an access point name of the subscription",
        _ if reason.is_authentication() => {
            "set user, password and authentication in [modem.carrier] as the carrier wants them"
        }
        Consequence::Permanent => "ask the carrier whether the subscription includes data with this access point",
        Consequence::OtherFamily => "set ip in [modem.data] to what the network gives",
        Consequence::InUse => "the firmware keeps a session of its own; reset the modem",
        Consequence::RetryLate => "the network wants to be left alone for a while; try again in some minutes",
        Consequence::Roaming => "data may not roam",
        Consequence::Retry => "try again",
    }
}

/// Runs what waits for the kernel, with a bound.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NotReady> + Send + 'static,
) -> Result<T, NotReady> {
    let hung = |problem: &str| NotReady::Link {
        name: "(any)".to_owned(),
        source: std::io::Error::other(problem.to_owned()),
    };
    match tokio::time::timeout(LINK_LIMIT, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(hung("the work was given up")),
        Err(_) => Err(hung("the kernel does not answer")),
    }
}

async fn ask(qmi: &QmiHandle, what: &'static str, request: Request) -> Result<Response, ConnectError> {
    let unanswered = |source| ConnectError::Unanswered { what, source };
    qmi.ask(request).await.map_err(unanswered)
}

/// Connects.
pub(super) async fn connect(
    qmi: QmiHandle,
    interface: Interface,
    wanted: wds::Session,
    config: DataConfig,
    default_route: bool,
    given_up: Arc<AtomicBool>,
) -> Result<Session, ConnectError> {
    agree_on_raw_ip(&qmi, &interface).await?;
    let mut session = Session::new(config.mtu);
    match start_families(&qmi, &wanted, &config, &given_up, &mut session).await {
        Ok(()) => {}
        Err(error) => {
            disconnect(Some(qmi), None, session).await;
            return Err(error);
        }
    }
    if let Err(error) = addressing::configure(&interface, &config, default_route, &mut session).await {
        disconnect(Some(qmi), Some(interface), session).await;
        return Err(error);
    }
    Ok(session)
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
    Ok(blocking(move || interface.set_raw_ip()).await?)
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
        Some(error) if session.handles.is_empty() => Err(error),
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
    let handle = match start(qmi, family, wanted, given_up).await {
        Err(error) if is_in_the_way(&error) => {
            free(qmi, family).await?;
            tokio::time::sleep(IN_USE_PAUSE).await;
            start(qmi, family, wanted, given_up).await?
        }
        other => other?,
    };
    session.handles.push((family, handle));
    let what = "Get Current Settings";
    let response = ask(qmi, what, wds::get_current_settings(family)).await?;
    let settings = wds::current_settings(&response).map_err(|source| ConnectError::Refused { what, source })?;
    session.settings.push(settings);
    Ok(())
}

async fn start(
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
            if is_up(qmi.clone(), vec![family]).await {
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
    tracing::info!(?family, "another session is in the way; ending it");
    ask(qmi, "Set Autoconnect", wds::set_autoconnect(wds::Autoconnect::Disabled)).await?;
    ask(qmi, "Stop Network", wds::stop_network(family, Handle::ANY, true)).await?;
    Ok(())
}

/// Whether the session of every family is up.
pub(super) async fn is_up(qmi: QmiHandle, families: Vec<Family>) -> bool {
    for family in families {
        let status = match qmi.ask(wds::get_packet_service_status(family)).await {
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
pub(super) async fn give_up(qmi: QmiHandle, families: DataFamilies) {
    for family in families.list() {
        if let Err(failure) = qmi.ask(wds::stop_network(*family, Handle::ANY, false)).await {
            tracing::debug!(%failure, "a session was not given up");
        }
    }
}

/// Takes the link down and ends the session. Nothing here fails: what does not answer has no session.
pub(super) async fn disconnect(qmi: Option<QmiHandle>, interface: Option<Interface>, session: Session) {
    if let Some(interface) = interface
        && let Err(error) = blocking(move || interface.clear()).await
    {
        tracing::warn!(%error, "the network interface was not cleared");
    }
    let Some(qmi) = qmi else { return };
    for (family, handle) in session.handles {
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
