//! From a closed port to one that answers, with the IMS read, as far as it can be, and the network interface found.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cellular::at::{Config, command};
use cellular::mbim::{self, basic_connect};
use cellular::qmi::imsa::{Registration, RegistrationStatus, ServiceStatus, Services};
use cellular::qmi::{Failure, Request, Response, ctl, imsa, nas};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::connecting::ppp::{self, PppHandle};
use super::control::{Control, Events};
use crate::net;
use crate::net::interface::{Driver, Interface, NotReady};
use crate::port::PortAddress;
use crate::port::at::{AtPort, Lane};
use crate::port::mbim::{self as mbim_port, MbimHandle};
use crate::port::qmi::{self, QmiHandle};
use crate::port::trace::Trace;
use crate::port::{OpenErrorKind, OpenPort, open_serial};
use crate::resource::{Ims, ImsRegistration, ImsService, PortRole, PortState};
use crate::supervisor;

/// Indications that may wait for the actor.
const EVENT_DEPTH: usize = 64;

/// A port that was just opened, or whose modem is busy, may lose the first request.
const TRIES: usize = 3;

/// The change of the signal that MBIM is to tell, in steps of 2 dB: one that is worth an event.
const SIGNAL_STEPS: u32 = 3;

/// Where the port and its interface are.
#[derive(Clone)]
pub(in crate::modem) struct Place {
    pub(super) modem: String,
    pub(super) address: Option<PortAddress>,
    /// What the composition or the configuration takes the port for; the driver that is bound has the last word.
    pub(super) role: PortRole,
    pub(super) sysfs: PathBuf,
    pub(super) lock_directory: PathBuf,
    pub(super) trace: Trace,
}

impl Place {
    /// The port, for people.
    pub(super) const fn name(&self) -> &'static str {
        match self.role {
            PortRole::Mbim => "MBIM port",
            PortRole::Ppp => "port for PPP",
            _ => "QMI port",
        }
    }

    const fn driver(&self) -> Driver {
        match self.role {
            PortRole::Mbim => Driver::Mbim,
            PortRole::Ppp => Driver::Ppp,
            _ => Driver::Qmi,
        }
    }
}

/// An open port.
pub(in crate::modem) struct Opened {
    pub(super) control: Control,
    pub(super) events: Events,
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
        return Err(failed(PortState::Missing, format!("no {}", place.name())));
    };
    let interface = interface_of(&place, address);
    if let Err(not_ready @ NotReady::Driver { .. }) = &interface {
        return Err(failed(PortState::Failed, not_ready.to_string()));
    }
    let opened = match place.role {
        PortRole::Ppp => open_serial(address, &place.lock_directory).await,
        _ => qmi::open(address, &place.lock_directory).await,
    };
    let port = opened.map_err(|error| {
        let state = match error.kind {
            OpenErrorKind::Missing => PortState::Missing,
            OpenErrorKind::Held(_) => PortState::Held,
            _ => PortState::Failed,
        };
        failed(state, error.to_string())
    })?;
    let driver = interface
        .as_ref()
        .map_or_else(|_| place.driver(), |interface| interface.driver);
    let begun = match driver {
        Driver::Qmi => begin_qmi(&place, address, port).await,
        Driver::Mbim => begin_mbim(&place, address, port).await,
        Driver::Ppp => begin_ppp(&place, port).await,
    };
    let (control, events, task, ims) =
        begun.map_err(|error| failed(PortState::Silent, format!("the {} {address}: {error}", place.name())))?;
    let interface = match interface {
        Ok(interface) => prepare(interface).await,
        Err(not_ready) => Err(not_ready),
    };
    Ok(Opened {
        control,
        events,
        task,
        interface,
        ims,
    })
}

type Begun = (Control, Events, JoinHandle<()>, Ims);

async fn begin_qmi(place: &Place, address: &PortAddress, port: OpenPort) -> Result<Begun, String> {
    let (sender, events) = mpsc::channel(EVENT_DEPTH);
    let (handle, task) = qmi::start(port, place.trace.clone(), sender);
    let task = supervisor::spawn("qmi port", &place.modem, task.run());
    begin(&handle, address).await?;
    let ims = read_ims(&handle).await;
    follow_signal(&handle).await;
    Ok((Control::Qmi(handle), Events::Qmi(events), task, ims))
}

async fn begin_mbim(place: &Place, address: &PortAddress, port: OpenPort) -> Result<Begun, String> {
    let node = match address {
        PortAddress::Path(path) => path.as_path(),
        PortAddress::Tcp { .. } => Path::new(""),
        PortAddress::Proxy(_) => {
            return Err(
                "the driver is cdc_mbim, and qmi-proxy speaks QMI; name the port as mbim in [modem.ports]".to_owned(),
            );
        }
    };
    let (sender, events) = mpsc::channel(EVENT_DEPTH);
    let max_transfer = mbim_port::max_transfer(&place.sysfs, node);
    let (handle, task) = mbim_port::start(port, max_transfer, place.trace.clone(), sender);
    let task = supervisor::spawn("mbim port", &place.modem, task.run());
    open_function(&handle).await?;
    subscribe(&handle).await;
    let ims = Ims {
        detail: "MBIM does not tell of the IMS".to_owned(),
        ..Ims::default()
    };
    Ok((Control::Mbim(handle), Events::Mbim(events), task, ims))
}

/// The port of data calls is an AT port until one is dialled.
async fn begin_ppp(place: &Place, mut port: OpenPort) -> Result<Begun, String> {
    ppp::escape(&mut port).await?;
    let (sender, events) = mpsc::channel(EVENT_DEPTH);
    let (ended, sessions) = mpsc::channel(1);
    let (open, mut held) = mpsc::channel(1);
    let port = AtPort::start(
        PortRole::Ppp,
        &place.modem,
        port,
        Config::default(),
        sender,
        place.trace.clone(),
    );
    let handle = PppHandle {
        at: port.handle(PortRole::Ppp),
        modem: place.modem.clone(),
        ended,
        is_up: Arc::default(),
        _open: open,
    };
    let task = supervisor::spawn("ppp port", &place.modem, async move {
        // Nothing is ever sent: it returns when the last handle is gone.
        let _: Option<()> = held.recv().await;
        port.close(None).await;
    });
    let answered = handle.at.execute(Lane::Normal, command::list_pdp_contexts()).await;
    answered.map_err(|error| error.to_string())?;
    let ims = Ims {
        detail: "AT commands do not tell of the IMS".to_owned(),
        ..Ims::default()
    };
    let events = Events::Ppp { port: events, sessions };
    Ok((Control::Ppp(handle), events, task, ims))
}

/// Opens the function, which ends the session that a killed broker has left: we hold the port alone, as its lock says.
async fn open_function(handle: &MbimHandle) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match handle.ask(mbim::Request::open()).await {
            Ok(response) if response.result().is_ok() => return Ok(()),
            Ok(response) => last = format!("it cannot be opened: {}", response.status),
            Err(failure @ mbim::Failure::TimedOut) => last = failure.to_string(),
            Err(failure) => return Err(failure.to_string()),
        }
        // Some functions have to be closed first, when a host has left them open.
        let _ = handle.ask(mbim::Request::close()).await;
    }
    Err(last)
}

/// Asks to be told of what the broker follows, and of the signal where it matters. Firmware that refuses tells everything, or
/// nothing; then the status is read by AT commands, as always.
async fn subscribe(handle: &MbimHandle) {
    let commands = [
        basic_connect::REGISTER_STATE,
        basic_connect::PACKET_SERVICE,
        basic_connect::SIGNAL_STATE,
        basic_connect::CONNECT,
    ];
    for request in [
        basic_connect::subscribe(&commands),
        basic_connect::set_signal_thresholds(SIGNAL_STEPS),
    ] {
        let outcome = match handle.ask(request).await {
            Ok(response) => response.result().map_err(|refusal| refusal.to_string()),
            Err(failure) => Err(failure.to_string()),
        };
        if let Err(error) = outcome {
            tracing::debug!(error, "the modem does not tell what it was asked to");
        }
    }
}

fn interface_of(place: &Place, address: &PortAddress) -> Result<Interface, NotReady> {
    match address {
        _ if place.role == PortRole::Ppp => Ok(Interface::by_ppp(&place.modem)),
        PortAddress::Path(path) | PortAddress::Proxy(path) => Interface::beside(&place.sysfs, path, place.driver()),
        PortAddress::Tcp { .. } => Err(NotReady::NoInterface {
            node: address.to_string(),
            driver: place.driver(),
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
    for _ in 0..TRIES {
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
    net::bounded(move || {
        interface.check()?;
        match interface.clear_stale() {
            Ok(true) => tracing::warn!(
                interface = interface.name,
                "removed addresses and routes that an earlier run left"
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
