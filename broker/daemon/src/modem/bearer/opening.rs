//! From a closed QMI port to one that answers, with the IMS read and the network interface found.

use std::path::PathBuf;

use ::modem::qmi::imsa::{Registration, RegistrationStatus, ServiceStatus, Services};
use ::modem::qmi::{Failure, Request, Response, ctl, imsa, nas};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::PortAddress;
use crate::port::OpenErrorKind;
use crate::port::qmi::{self, QmiEvent, QmiHandle};
use crate::port::trace::Trace;
use crate::resource::{Ims, ImsRegistration, ImsService, PortState};
use crate::supervisor;
use crate::wan::interface::{Interface, NotReady};

/// Indications that may wait for the actor.
const EVENT_DEPTH: usize = 64;

/// A port that was just opened, or whose modem is busy, may lose the first request.
const SYNC_TRIES: usize = 3;

/// Where the port and its interface are.
#[derive(Clone)]
pub(in crate::modem) struct Place {
    pub(super) modem: String,
    pub(super) address: Option<PortAddress>,
    pub(super) sysfs: PathBuf,
    pub(super) lock_directory: PathBuf,
    pub(super) trace: Trace,
}

/// An open port.
pub(in crate::modem) struct Opened {
    pub(super) handle: QmiHandle,
    pub(super) events: mpsc::Receiver<QmiEvent>,
    pub(super) task: JoinHandle<()>,
    pub(super) interface: Result<Interface, NotReady>,
    pub(super) ims: Ims,
}

/// Why a port could not be used.
pub(in crate::modem) struct OpeningFailed {
    pub(super) state: PortState,
    pub(super) detail: String,
}

pub(super) async fn open(place: Place) -> Result<Opened, OpeningFailed> {
    let failed = |state, detail| OpeningFailed { state, detail };
    let Some(address) = &place.address else {
        return Err(failed(PortState::Missing, "no QMI port".to_owned()));
    };
    let interface = interface_of(&place, address);
    if let Err(not_ready @ NotReady::Driver { .. }) = &interface {
        return Err(failed(PortState::Failed, not_ready.to_string()));
    }
    let port = qmi::open(address, &place.lock_directory).await.map_err(|error| {
        let state = match error.kind {
            OpenErrorKind::Missing => PortState::Missing,
            OpenErrorKind::Held(_) => PortState::Held,
            _ => PortState::Failed,
        };
        failed(state, error.to_string())
    })?;
    let (sender, events) = mpsc::channel(EVENT_DEPTH);
    let (handle, task) = qmi::start(port, place.trace.clone(), sender);
    let task = supervisor::spawn("qmi port", &place.modem, task.run());
    if let Err(error) = begin(&handle, address).await {
        return Err(failed(PortState::Silent, format!("the QMI port {address}: {error}")));
    }
    let interface = match interface {
        Ok(interface) => prepare(interface).await,
        Err(not_ready) => Err(not_ready),
    };
    let ims = read_ims(&handle).await;
    follow_signal(&handle).await;
    Ok(Opened {
        handle,
        events,
        task,
        interface,
        ims,
    })
}

fn interface_of(place: &Place, address: &PortAddress) -> Result<Interface, NotReady> {
    match address {
        PortAddress::Path(path) | PortAddress::Proxy(path) => Interface::beside(&place.sysfs, path),
        PortAddress::Tcp { .. } => Err(NotReady::NoInterface {
            node: address.to_string(),
        }),
    }
}

/// The first words on a port: those of its only owner, or those to a proxy. A sync by way of a proxy would take the client
/// ids of all other programs away.
async fn begin(handle: &QmiHandle, address: &PortAddress) -> Result<(), String> {
    let PortAddress::Proxy(path) = address else {
        return synchronise(handle).await;
    };
    // The proxy tells ports apart by the names that it is given, so each has to have one name.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    match handle.ask(ctl::open_by_proxy(&path.to_string_lossy())).await {
        Ok(response) => response.result().map_err(|refusal| format!("the proxy: {refusal}")),
        Err(Failure::Closed) => Err(
            "the proxy closed the connection: unless it was built otherwise it serves root only, so the broker has to run as \
             root (User=root in a drop-in of the service)"
                .to_owned(),
        ),
        Err(failure) => Err(format!("the proxy: {failure}")),
    }
}

/// Takes back client ids that an earlier broker has left behind when it was killed, and ends its session. We hold the port
/// alone, as its lock says.
async fn synchronise(handle: &QmiHandle) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..SYNC_TRIES {
        match handle.ask(ctl::sync()).await {
            Ok(response) => return response.result().map_err(|refusal| refusal.to_string()),
            Err(Failure::TimedOut) => last = Failure::TimedOut.to_string(),
            Err(failure) => return Err(failure.to_string()),
        }
    }
    Err(last)
}

/// Looks whether the interface can be used, and takes away what a broker that was killed has left on it.
async fn prepare(interface: Interface) -> Result<Interface, NotReady> {
    super::connecting::blocking(move || {
        interface.check()?;
        match interface.clear_stale() {
            Ok(true) => tracing::warn!(
                interface = interface.name,
                "addresses and routes of an earlier life were removed"
            ),
            Ok(false) => {}
            // The link may come later than its entry in sysfs; connecting looks again.
            Err(error) => tracing::debug!(%error, "the network interface was not looked at"),
        }
        Ok(interface)
    })
    .await
}

/// Asks for the registration with the IMS and to be told of its changes. Firmware without the service leaves it unknown.
async fn read_ims(handle: &QmiHandle) -> Ims {
    let mut ims = Ims::default();
    let ask = async |request: Request| -> Result<Response, String> {
        let response = handle.ask(request).await.map_err(|failure| failure.to_string())?;
        response.result().map_err(|refusal| refusal.to_string())?;
        Ok(response)
    };
    if let Err(error) = ask(imsa::register_indications()).await {
        tracing::debug!(error, "the modem does not tell of the IMS by itself");
    }
    match ask(imsa::get_registration_status()).await {
        Ok(response) => {
            if let Ok(registration) = imsa::registration(&response) {
                fold_registration(&mut ims, registration);
            }
        }
        Err(error) => {
            ims.detail = format!("the modem does not tell of the IMS: {error}");
            return ims;
        }
    }
    if let Ok(response) = ask(imsa::get_services_status()).await
        && let Ok(services) = imsa::services(&response)
    {
        fold_services(&mut ims, services);
    }
    ims
}

/// Asks to be told of the signal where it matters. Firmware that does not tell is asked for it by AT commands, as all are.
async fn follow_signal(handle: &QmiHandle) {
    // In this order: without thresholds each change would be told.
    for request in [nas::config_signal_info(), nas::register_indications(true)] {
        let outcome = match handle.ask(request).await {
            Ok(response) => response.result().map_err(|refusal| refusal.to_string()),
            Err(failure) => Err(failure.to_string()),
        };
        if let Err(error) = outcome {
            tracing::debug!(error, "the modem does not tell of its signal by itself");
            return;
        }
    }
}

/// Folds a registration in.
pub(super) fn fold_registration(ims: &mut Ims, registration: Registration) {
    ims.registration = match registration.status {
        RegistrationStatus::NotRegistered => Some(ImsRegistration::NotRegistered),
        RegistrationStatus::Registering => Some(ImsRegistration::Registering),
        RegistrationStatus::Registered => Some(ImsRegistration::Registered),
        RegistrationStatus::Limited => Some(ImsRegistration::Limited),
        RegistrationStatus::Other(_) => None,
    };
    ims.detail = match (registration.error_code, registration.error_message) {
        (Some(code), Some(message)) => format!("the IMS refused: {code} {message}"),
        (Some(code), None) => format!("the IMS refused: {code}"),
        (None, Some(message)) => format!("the IMS refused: {message}"),
        (None, None) => String::new(),
    };
}

/// Folds services in.
pub(super) fn fold_services(ims: &mut Ims, services: Services) {
    let service = |status: Option<ServiceStatus>| {
        status.and_then(|status| match status {
            ServiceStatus::Unavailable => Some(ImsService::Unavailable),
            ServiceStatus::Limited => Some(ImsService::Limited),
            ServiceStatus::Available => Some(ImsService::Available),
            ServiceStatus::Other(_) => None,
        })
    };
    ims.voice = service(services.voice);
    ims.sms = service(services.sms);
}
