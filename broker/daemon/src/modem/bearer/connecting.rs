//! From a port that answers to packets that go: the session, its addresses, the network interface. What the protocol of the
//! port has to do with it is in [`qmi`], [`mbim`] and [`ppp`]; what follows from a cause of the network is the same for all.

mod addressing;
mod mbim;
pub(super) mod ppp;
mod qmi;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cellular::mbim::{Failure as MbimFailure, Refusal as MbimRefusal, Status};
use cellular::packet::{EndReason, Family, Session as Wanted, Settings, end_reason::Consequence};
use cellular::qmi::wda::LinkLayer;
use cellular::qmi::wds::Handle;
use cellular::qmi::{Failure, ProtocolError, Refusal as QmiRefusal};

use tokio::sync::watch;

use ppp::PppError;

use super::Control;
use crate::modem::settings::{DataConfig, DataFamilies};
use crate::net;
use crate::net::address::Layout;
use crate::net::advertisement::{self, AdvertisementError};
use crate::net::dhcp::{self, Lease, LeaseError};
use crate::net::interface::{Interface, NotReady};
use crate::refusal::Refusal;
use crate::resource::Persistence;

/// Between ending a session that is in the way and the next try.
const IN_USE_PAUSE: Duration = Duration::from_secs(1);

/// What the modem holds of a session, in the terms of the protocol that set it up.
#[derive(Debug)]
enum Held {
    /// A handle for each family.
    Qmi(Vec<(Family, Handle)>),
    /// One context for these families.
    Mbim(Vec<Family>),
    /// A data call.
    Ppp { call: ppp::Call, families: Vec<Family> },
}

impl Held {
    fn families(&self) -> Vec<Family> {
        match self {
            Self::Qmi(handles) => handles.iter().map(|(family, _)| *family).collect(),
            Self::Mbim(families) | Self::Ppp { families, .. } => families.clone(),
        }
    }
}

/// A session that is being set up or is up.
pub(in crate::modem) struct Session {
    /// Nothing at first.
    held: Option<Held>,
    settings: Vec<Settings>,
    /// The configured largest packet.
    mtu: Option<u32>,
    /// The lease of its IPv4 address, if that came by DHCP.
    lease: Option<Lease>,
    /// Its IPv6 address, if the kernel made that of router advertisements.
    advertised: Option<Ipv6Addr>,
    /// Dropped with it, to end what is done for it meanwhile.
    alive: watch::Sender<()>,
}

impl Session {
    fn new(mtu: Option<u32>) -> Self {
        Self {
            held: None,
            settings: Vec::new(),
            mtu,
            lease: None,
            advertised: None,
            alive: watch::Sender::new(()),
        }
    }

    /// Waits until the lease has to be prolonged and does it; `None` when the session is over before. Nothing to do without
    /// a lease.
    pub(super) fn prolonging(
        &self,
        interface: &Interface,
    ) -> Option<impl Future<Output = Option<Result<Lease, LeaseError>>> + Send + use<>> {
        let (lease, name) = (self.lease.clone()?, interface.name.clone());
        let mut alive = self.alive.subscribe();
        Some(async move {
            tokio::select! {
                _ = alive.changed() => None,
                outcome = dhcp::prolong(&name, &lease) => Some(outcome),
            }
        })
    }

    /// Waits until its advertised address is withdrawn; `None` when the session is over before. Nothing to do without one.
    pub(super) fn withdrawing(
        &self,
        interface: &Interface,
    ) -> Option<impl Future<Output = Option<AdvertisementError>> + Send + use<>> {
        let (address, name) = (self.advertised?, interface.name.clone());
        let mut alive = self.alive.subscribe();
        Some(async move {
            tokio::select! {
                biased;
                _ = alive.changed() => None,
                withdrawn = advertisement::withdrawn(&name, address) => Some(withdrawn),
            }
        })
    }

    /// The lease was prolonged.
    pub(super) fn prolonged(&mut self, lease: Lease) {
        self.lease = Some(lease);
    }

    pub(super) fn has(&self, family: Family) -> bool {
        self.families().contains(&family)
    }

    pub(super) fn families(&self) -> Vec<Family> {
        self.held.as_ref().map(Held::families).unwrap_or_default()
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
        is_advertised: false,
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
    #[error("{what}: {source}")]
    MbimUnanswered { what: &'static str, source: MbimFailure },
    #[error("{what}: {source}")]
    MbimRefused { what: &'static str, source: MbimRefusal },
    #[error(transparent)]
    Ppp(#[from] PppError),
    #[error("{0}")]
    Ended(EndReason),
    #[error("the modem does not carry raw IP, it wants {0}")]
    Format(LinkLayer),
    #[error("it was given up")]
    GivenUp,
    #[error("the network gave no address")]
    NoAddress,
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error(transparent)]
    Advertisement(#[from] AdvertisementError),
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
            }
            | Self::MbimUnanswered {
                source: MbimFailure::TimedOut,
                what,
            } => Refusal::ModemTimeout {
                command: (*what).to_owned(),
            },
            Self::MbimRefused {
                source: MbimRefusal::Status(status),
                ..
            } => {
                let (advice, persistence) = status_advice(*status);
                failed(format!("{self}; {advice}"), None, persistence)
            }
            Self::Ppp(error) => failed(error.to_string(), None, error.persistence()),
            Self::Advertisement(error) if error.is_permanent() => {
                failed(self.to_string(), None, Persistence::Permanent)
            }
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

/// What MBIM tells of the modem itself, before the network is asked.
const fn status_advice(status: Status) -> (&'static str, Persistence) {
    match status {
        Status::SIM_NOT_INSERTED => ("insert a SIM", Persistence::Permanent),
        Status::BAD_SIM => ("insert another SIM", Persistence::Permanent),
        Status::PIN_REQUIRED => (
            "set pin of [[modem]], or enter it: modemctl sim pin",
            Persistence::Permanent,
        ),
        Status::NOT_REGISTERED => (
            "wait until the modem is registered: modemctl status",
            Persistence::Transient,
        ),
        Status::RADIO_POWER_OFF => ("switch the radio on", Persistence::Permanent),
        Status::SERVICE_NOT_ACTIVATED => (
            "ask the carrier whether the subscription is in service and includes data",
            Persistence::Permanent,
        ),
        Status::VOICE_CALL_IN_PROGRESS => ("try again when the call is over", Persistence::Transient),
        Status::MAX_ACTIVATED_CONTEXTS => (
            "the firmware keeps a session of its own; reset the modem",
            Persistence::Transient,
        ),
        Status::CONTEXT_NOT_SUPPORTED | Status::NO_DEVICE_SUPPORT => (
            "the firmware cannot do it; use composition 9001 (QMI)",
            Persistence::Permanent,
        ),
        _ => ("try again", Persistence::Transient),
    }
}

/// Connects.
pub(super) async fn connect(
    control: Control,
    interface: Interface,
    wanted: Wanted,
    config: DataConfig,
    default_route: bool,
    given_up: Arc<AtomicBool>,
) -> Result<Session, ConnectError> {
    let mut session = Session::new(config.mtu);
    let started = match &control {
        Control::Qmi(qmi) => qmi::start(qmi, &interface, &wanted, &config, &given_up, &mut session).await,
        Control::Mbim(mbim) => mbim::start(mbim, &wanted, &config, &given_up, &mut session).await,
        Control::Ppp(ppp) => ppp::start(ppp, &interface.name, &wanted, &config, &given_up, &mut session).await,
    };
    if let Err(error) = started {
        disconnect(Some(control), None, session).await;
        return Err(error);
    }
    if let Err(error) = addressing::configure(&interface, &config, default_route, &mut session).await {
        disconnect(Some(control), Some(interface), session).await;
        return Err(error);
    }
    Ok(session)
}

/// Whether the session of every family is up.
pub(super) async fn is_up(control: Control, families: Vec<Family>) -> bool {
    match control {
        Control::Qmi(qmi) => qmi::is_up(&qmi, &families).await,
        Control::Mbim(mbim) => mbim::is_up(&mbim).await,
        Control::Ppp(ppp) => ppp.is_up(),
    }
}

/// Makes the modem give up a session that it is setting up.
pub(super) async fn give_up(control: Control, families: DataFamilies) {
    match control {
        Control::Qmi(qmi) => qmi::give_up(&qmi, families).await,
        Control::Mbim(mbim) => mbim::stop(&mbim).await,
        // It sees by itself that it is not wanted.
        Control::Ppp(_) => {}
    }
}

/// Takes the link down and ends the session. Nothing here fails: what does not answer has no session.
pub(super) async fn disconnect(control: Option<Control>, interface: Option<Interface>, session: Session) {
    // Nobody waits any more for what becomes of its addresses.
    let held = session.held;
    drop(session.alive);
    if let Some(interface) = interface
        && let Err(error) = net::bounded(move || interface.clear()).await
    {
        tracing::warn!(%error, "could not remove the addresses of the network interface");
    }
    match (control, held) {
        (Some(Control::Qmi(qmi)), Some(Held::Qmi(handles))) => qmi::stop(&qmi, handles).await,
        (Some(Control::Mbim(mbim)), Some(Held::Mbim(_))) => mbim::stop(&mbim).await,
        (_, Some(Held::Ppp { call, .. })) => call.end().await,
        _ => {}
    }
}
