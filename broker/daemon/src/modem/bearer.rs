//! The packet side of a modem: its QMI or MBIM port, or the one for PPP, what the IMS says there, and the data bearer.
//!
//! The port is optional. Without it, or when the machine cannot use it, messages and calls work all the same, and the
//! bearer says why it is not ready and what to do. The driver that is bound to the port decides the protocol, of which only
//! `control`, `opening`, `listening` and `connecting` know. The data session lives as long as the QMI client ids do, or as
//! the MBIM function is open, so it ends with the broker.
//!
//! # Opening
//!
//! It begins with a CTL *Sync* or an MBIM *Open*, which takes back what a killed broker left; the port's lock says that
//! nobody else uses it. One client id for each service and IP family is kept until the end, because a session ends with
//! its id, as one of MBIM does with *Close*. With `qmi_proxy` the frames go through libqmi's proxy (its abstract socket;
//! the first message names the port). There is no lock and no *Sync* then, which would take everybody's client ids; the
//! proxy frees none by itself, so those of a killed broker stay taken.
//!
//! # Connecting
//!
//! By QMI: WDA and the driver's `raw_ip` agree on raw IP while the link is down, one WDS session for each family,
//! addresses from *Get Current Settings*. By MBIM: attached, one context for both families, addresses from *IP
//! Configuration*. Where they hold none, DHCP for IPv4 and the router's advertisement for IPv6. The modem is never
//! polled for any of it.
//!
//! # PPP
//!
//! In a composition with neither QMI nor MBIM, and if `ppp = true`, the second AT port is kept for data calls from the
//! beginning: a port that is lent and taken back would change who serves calls at every session. A session is a data
//! call on it (`ATD*99***N#`), lent by the port's task as to a terminal, without a trace. The octets go through the
//! broker to the real pppd on a pseudo terminal. So the port keeps its one owner, who hears the module hang up (between
//! frames only: what somebody sends cannot end a call), takes the port back, and frees it from what a killed broker
//! left. Routes and name servers are the broker's, as with the others. The interface comes and goes with the session.

mod connecting;
mod control;
mod listening;
mod opening;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cellular::packet::{self, EndReason};
use cellular::profile::UsbComposition;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::serving::Serving;
use super::{Reply, Setup};
use crate::device::Device;
use crate::modem::settings::DataConfig;
use crate::net;
use crate::net::advertisement::AdvertisementError;
use crate::net::dhcp::{Lease, LeaseError};
use crate::net::interface::Interface;
use crate::port::PortAddress;
use crate::port::qmi::QmiHandle;
use crate::refusal::Refusal;
use crate::resource::{Bearer, BearerState, Change, Ims, Persistence, PortRole, PortState};
use cellular::at::command::Authentication;
use connecting::{ConnectError, Session};
pub(in crate::modem) use control::Event;
use control::{Control, Events};
use opening::{Opened, OpeningFailed};

/// Pauses between two tries to open the port: a driver that is loaded later is noticed, and nothing is hammered.
const REOPEN_PAUSE: Duration = Duration::from_secs(2);
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(300);

/// Requests without an answer after which the port is opened anew.
const UNANSWERED_MAX: u32 = 5;

/// How long the port may take to give its client ids back, or the function to close.
const CLOSE_LIMIT: Duration = Duration::from_millis(1500);

/// Work of the packet side that finished.
pub(super) enum Done {
    Opened(Result<Opened, OpeningFailed>),
    Connected(Result<Session, ConnectError>),
    /// Whether the session was still up when asked.
    Verified(bool),
    Disconnected,
    /// The lease of an address was prolonged, or not.
    Prolonged(Result<Lease, LeaseError>),
    /// An advertised address is not to be used any more.
    Withdrawn(AdvertisementError),
    /// The port was closed meanwhile.
    Ended,
}

/// What the actor keeps of the packet side while the ports are open.
pub(super) struct Data {
    config: DataConfig,
    place: opening::Place,
    port: Option<OpenControl>,
    /// The interface, once the port is open.
    interface: Option<Interface>,
    session: Option<Session>,
    connecting: Vec<Reply<Bearer>>,
    disconnecting: Vec<Reply<Bearer>>,
    /// Told to a session that is being set up and not wanted any more.
    given_up: Arc<AtomicBool>,
    /// A session ended while one was being set up, and it is not known which.
    ended_meanwhile: Option<Option<EndReason>>,
    failures: u32,
    /// Dropped to end all work of the packet side.
    alive: Option<watch::Sender<()>>,
}

struct OpenControl {
    control: Control,
    events: Events,
    task: JoinHandle<()>,
}

impl Data {
    pub(super) fn new(setup: &Setup, address: Option<(PortRole, PortAddress)>) -> Self {
        let role = address.as_ref().map_or(PortRole::Qmi, |(role, _)| *role);
        let address = address.map(|address| match address {
            (PortRole::Qmi, PortAddress::Path(path)) if setup.config.data.qmi_proxy => PortAddress::Proxy(path),
            (_, other) => other,
        });
        Data {
            config: setup.config.data.clone(),
            place: opening::Place {
                modem: setup.config.name.clone(),
                address,
                role,
                sysfs: setup.sysfs.clone(),
                lock_directory: setup.lock_directory.clone(),
                trace: setup.trace.clone(),
            },
            port: None,
            interface: None,
            session: None,
            connecting: Vec::new(),
            disconnecting: Vec::new(),
            given_up: Arc::default(),
            ended_meanwhile: None,
            failures: 0,
            alive: Some(watch::Sender::new(())),
        }
    }

    /// What the port tells; never while it is closed.
    pub(super) async fn event(&mut self) -> Event {
        match &mut self.port {
            Some(port) => port.events.next().await,
            None => std::future::pending().await,
        }
    }

    fn control(&self) -> Option<Control> {
        self.port.as_ref().map(|port| port.control.clone())
    }

    /// The QMI port, while it is open.
    pub(super) fn qmi(&self) -> Option<QmiHandle> {
        match self.control()? {
            Control::Qmi(handle) => Some(handle),
            Control::Mbim(_) | Control::Ppp(_) => None,
        }
    }

    /// Why the QMI port is not open, for people.
    pub(super) fn why_closed(&self) -> String {
        match self.place.address {
            Some(_) if self.place.role == PortRole::Mbim => {
                "there is no QMI port, the modem speaks MBIM; composition 9001 with the driver qmi_wwan has one"
                    .to_owned()
            }
            Some(_) if self.place.role == PortRole::Ppp => {
                "there is no QMI port, data goes by PPP; composition 9001 with the driver qmi_wwan has one".to_owned()
            }
            Some(_) => "the QMI port is not open; see: modemctl status".to_owned(),
            None => "there is no QMI port; composition 9001 with the driver qmi_wwan has one".to_owned(),
        }
    }

    /// Ends with the packet side, whatever it waits for.
    fn bound(
        &self,
        work: impl Future<Output = Done> + Send + 'static,
    ) -> impl Future<Output = super::Done> + Send + 'static {
        let work = async move { super::Done::Bearer(work.await) };
        self.while_open(work, || super::Done::Bearer(Done::Ended))
    }

    /// The same for work of another kind.
    pub(super) fn while_open(
        &self,
        work: impl Future<Output = super::Done> + Send + 'static,
        ended: impl FnOnce() -> super::Done + Send + 'static,
    ) -> impl Future<Output = super::Done> + Send + 'static {
        let alive = self.alive.as_ref().map(watch::Sender::subscribe);
        async move {
            let Some(mut alive) = alive else {
                return ended();
            };
            tokio::select! {
                biased;
                _ = alive.changed() => ended(),
                done = work => done,
            }
        }
    }
}

impl Serving<'_> {
    /// Opens the port, beside everything else.
    pub(super) async fn open_data(&mut self) {
        if self.data.place.address.is_none() {
            let detail = self.why_no_port();
            self.ims_unknown(&detail).await;
            self.bearer_not_ready(detail).await;
            return;
        }
        let name = self.data.place.name();
        self.bearer_not_ready(format!("the {name} is being opened")).await;
        self.start_opening(self.data.config.delay);
    }

    fn why_no_port(&self) -> String {
        if self.modem.setup.config.ports.is_some() {
            return "no QMI or MBIM port is configured; name it in [modem.ports] as qmi or mbim, or an AT port as ppp"
                .to_owned();
        }
        let composition = &self.modem.status.composition;
        let layout = self.modem.device.as_ref().and_then(Device::layout);
        if layout.is_some_and(UsbComposition::may_dial) {
            return format!(
                "composition {composition} has neither QMI nor MBIM; for data by PPP on its second AT port set ppp = true in \
                 [modem.data], or switch to 9001: modemctl modem composition 9001"
            );
        }
        if layout.is_some_and(UsbComposition::has_mbim) {
            return format!(
                "no MBIM port in composition {composition}: the driver cdc_mbim is not loaded (modprobe cdc_mbim)"
            );
        }
        format!(
            "no QMI port in composition {composition}: it has none, or the driver qmi_wwan is not loaded (modprobe qmi_wwan)"
        )
    }

    /// Whether the port is on its way to be open for the first time.
    pub(super) fn data_is_opening(&self) -> bool {
        self.data.place.address.is_some() && self.data.port.is_none() && self.data.failures == 0
    }

    fn start_opening(&mut self, after: Duration) {
        let place = self.data.place.clone();
        let work = async move {
            tokio::time::sleep(after).await;
            Done::Opened(opening::open(place).await)
        };
        self.start(self.data.bound(work));
    }

    fn reopen_later(&mut self) {
        let pause = REOPEN_PAUSE * 2_u32.saturating_pow(self.data.failures.min(16));
        self.data.failures += 1;
        self.start_opening(pause.min(REOPEN_PAUSE_MAX));
    }

    async fn tell_bearer(&mut self, change: impl FnOnce(&mut Bearer)) {
        self.tell_bearer_then(change, None).await;
    }

    /// Changes the bearer, and answers whoever waited for it after the change can be seen by everybody.
    async fn tell_bearer_then(
        &mut self,
        change: impl FnOnce(&mut Bearer),
        answer: Option<Box<dyn FnOnce(Bearer) + Send>>,
    ) {
        let bearer = &mut self.modem.bearer;
        let before = bearer.clone();
        change(bearer);
        if bearer.state != before.state {
            bearer.state_time = Timestamp::now();
            tracing::info!(modem = self.modem.status.name, state = ?bearer.state, detail = bearer.detail, "data bearer");
        }
        let after = bearer.clone();
        if after != before || answer.is_some() {
            let told = after.clone();
            let then = answer.map(|answer| Box::new(move || answer(told)) as Box<dyn FnOnce() + Send>);
            self.modem.recorder.record_then(Change::Bearer(after), then).await;
        }
    }

    async fn bearer_not_ready(&mut self, detail: String) {
        self.tell_bearer(|bearer| {
            *bearer = Bearer {
                detail,
                state_time: bearer.state_time,
                ..Bearer::default()
            };
        })
        .await;
    }

    async fn bearer_disconnected(
        &mut self,
        detail: String,
        persistence: Option<Persistence>,
        refusal: Option<Box<dyn Fn() -> Refusal + Send>>,
    ) {
        let interface = self.data.interface.as_ref().map(|interface| interface.name.clone());
        let connecting = match refusal {
            Some(_) => std::mem::take(&mut self.data.connecting),
            None => Vec::new(),
        };
        let disconnecting = std::mem::take(&mut self.data.disconnecting);
        let waited = !(connecting.is_empty() && disconnecting.is_empty());
        let answer = Box::new(move |bearer: Bearer| {
            for (reply, refusal) in connecting.into_iter().zip(refusal.iter().cycle()) {
                let _ = reply.send(Err(refusal()));
            }
            for reply in disconnecting {
                let _ = reply.send(Ok(bearer.clone()));
            }
        });
        let change = |bearer: &mut Bearer| {
            *bearer = Bearer {
                state: BearerState::Disconnected,
                interface: interface.unwrap_or_default(),
                detail,
                persistence,
                state_time: bearer.state_time,
                ..Bearer::default()
            };
        };
        self.tell_bearer_then(change, waited.then_some(answer as _)).await;
    }

    async fn ims_unknown(&mut self, detail: &str) {
        self.set_ims(Ims {
            detail: detail.to_owned(),
            ..Ims::default()
        })
        .await;
    }

    async fn set_ims(&mut self, ims: Ims) {
        if self.modem.network.ims != ims {
            self.modem.network.ims = ims;
            self.network_changed(true).await;
        }
    }

    pub(super) async fn bearer_done(&mut self, done: Done) {
        match done {
            Done::Opened(Ok(opened)) => self.data_opened(opened).await,
            Done::Opened(Err(failed)) => {
                self.set_port_state(self.data.place.role, failed.state, failed.detail.clone())
                    .await;
                self.ims_unknown(&failed.detail).await;
                self.bearer_not_ready(failed.detail).await;
                self.reopen_later();
            }
            Done::Connected(Ok(session)) => self.connected(session).await,
            Done::Connected(Err(error)) => self.not_connected(error).await,
            Done::Verified(true) | Done::Ended => {}
            Done::Verified(false) => self.session_over(None).await,
            Done::Disconnected => self.disconnected().await,
            Done::Prolonged(Ok(lease)) => {
                if let Some(session) = &mut self.data.session {
                    session.prolonged(lease);
                }
                self.keep_lease();
            }
            // Another prefix is another session's: it is connected anew by whoever wants it.
            Done::Withdrawn(error) => self.end_session(error.to_string(), Persistence::Transient).await,
            Done::Prolonged(Err(error)) => self.end_session(error.to_string(), Persistence::Transient).await,
        }
    }

    async fn data_opened(&mut self, opened: Opened) {
        let Opened {
            control,
            events,
            task,
            interface,
            ims,
        } = opened;
        self.data.failures = 0;
        self.data.port = Some(OpenControl { control, events, task });
        self.set_port_state(self.data.place.role, PortState::Open, String::new())
            .await;
        self.set_ims(ims).await;
        self.follow_services();
        match interface {
            Ok(interface) => {
                self.data.interface = Some(interface);
                self.bearer_disconnected(String::new(), None, None).await;
            }
            Err(not_ready) => self.bearer_not_ready(not_ready.to_string()).await,
        }
    }

    fn start_disconnecting(&mut self, session: Session) {
        let control = self.data.control();
        let interface = self.data.interface.clone();
        let work = async move {
            connecting::disconnect(control, interface, session).await;
            Done::Disconnected
        };
        self.start(self.data.bound(work));
    }

    /// Connects the bearer, or joins whoever is connecting it.
    pub(super) async fn connect_bearer(&mut self, apn: Option<String>, default_route: bool, reply: Reply<Bearer>) {
        if let Err(refusal) = self.may_connect(apn.as_deref()) {
            let _ = reply.send(Err(refusal));
            return;
        }
        if self.modem.bearer.state == BearerState::Connected {
            let _ = reply.send(Ok(self.modem.bearer.clone()));
            return;
        }
        self.data.connecting.push(reply);
        let (Some(control), Some(interface)) = (self.data.control(), self.data.interface.clone()) else {
            return;
        };
        if self.modem.bearer.state == BearerState::Connecting {
            return;
        }
        let names_apn = apn.is_some();
        let wanted = self.wanted_session(apn);
        let apn = wanted.apn.clone();
        let mut config = self.data.config.clone();
        if names_apn {
            (config.apn_v6, config.profile_v6) = (None, None);
        }
        let default_route = default_route && config.default_route;
        self.data.ended_meanwhile = None;
        self.data.given_up = Arc::default();
        let given_up = self.data.given_up.clone();
        let work = async move {
            let connected = connecting::connect(control, interface, wanted, config, default_route, given_up);
            Done::Connected(connected.await)
        };
        self.start(self.data.bound(work));
        self.tell_bearer(|bearer| {
            bearer.state = BearerState::Connecting;
            bearer.apn = apn;
            bearer.detail.clear();
            bearer.persistence = None;
        })
        .await;
    }

    fn may_connect(&self, apn: Option<&str>) -> Result<(), Refusal> {
        let bearer = &self.modem.bearer;
        let other_apn = apn.is_some_and(|apn| apn != bearer.apn);
        match bearer.state {
            BearerState::NotReady => Err(Refusal::DataNotReady {
                detail: bearer.detail.clone(),
            }),
            BearerState::Connecting | BearerState::Connected if other_apn => Err(Refusal::FieldInvalid {
                field: "apn",
                problem: format!("the bearer uses {:?}; disconnect it first", bearer.apn),
            }),
            BearerState::Disconnecting => Err(Refusal::BearerFailed {
                detail: "the bearer is being disconnected; try again".to_owned(),
                reason: None,
                persistence: Persistence::Transient,
            }),
            BearerState::Connecting | BearerState::Connected | BearerState::Disconnected => {
                let network = &self.modem.network;
                if !network.is_registered() {
                    let states = [network.packet_switched, network.evolved_packet];
                    let told = states.into_iter().flatten().next_back();
                    return Err(Refusal::NotRegistered {
                        registration: told.map_or("UNKNOWN".to_owned(), |state| format!("{state:?}").to_uppercase()),
                    });
                }
                if network.is_roaming() && !self.data.config.roaming {
                    return Err(Refusal::RoamingNotAllowed);
                }
                Ok(())
            }
        }
    }

    /// The access point of the request, of the configuration or of the carrier, in this order.
    fn wanted_session(&self, apn: Option<String>) -> packet::Session {
        let configured = &self.modem.setup.config.carrier;
        let of_carrier = || Some(self.modem.status.carrier.as_ref()?.data_apn.clone());
        let authentication = match (&configured.user, configured.authentication) {
            (None, _) | (Some(_), Authentication::None) => packet::Authentication::None,
            (Some(_), Authentication::Pap) => packet::Authentication::Pap,
            (Some(_), Authentication::Chap) => packet::Authentication::Chap,
            (Some(_), Authentication::Both) => packet::Authentication::Both,
        };
        let profile = self.data.config.profile;
        let named = apn.or_else(|| configured.data_apn.clone());
        packet::Session {
            // A profile has an access point of its own, which only somebody's word overrides.
            apn: match profile {
                Some(_) => named,
                None => named.or_else(of_carrier),
            }
            .unwrap_or_default(),
            profile,
            authentication,
            user: configured.user.clone().unwrap_or_default(),
            password: configured
                .password
                .as_ref()
                .map(|password| password.expose().to_owned())
                .unwrap_or_default(),
            autoconnect: false,
        }
    }

    async fn connected(&mut self, session: Session) {
        let (addresses, name_servers, apn, mtu) = session.described();
        self.data.session = Some(session);
        self.keep_lease();
        self.watch_advertised();
        let waiting = std::mem::take(&mut self.data.connecting);
        let answer = Box::new(move |bearer: Bearer| {
            for reply in waiting {
                let _ = reply.send(Ok(bearer.clone()));
            }
        });
        let change = |bearer: &mut Bearer| {
            bearer.state = BearerState::Connected;
            bearer.addresses = addresses;
            bearer.name_servers = name_servers;
            bearer.mtu = mtu;
            if let Some(apn) = apn {
                bearer.apn = apn;
            }
        };
        self.tell_bearer_then(change, Some(answer)).await;
        // What was asked or seen while it was being set up counts now.
        if !self.data.disconnecting.is_empty() {
            self.begin_disconnect(String::new()).await;
        } else if self.data.ended_meanwhile.take().is_some() {
            self.verify_session();
        }
        self.guard_roaming().await;
    }

    /// Has the address prolonged before its lease is over, for as long as there is a session.
    fn keep_lease(&mut self) {
        let (Some(session), Some(interface)) = (&self.data.session, &self.data.interface) else {
            return;
        };
        if let Some(work) = session.prolonging(interface) {
            let work = async move { work.await.map_or(Done::Ended, Done::Prolonged) };
            self.start(self.data.bound(work));
        }
    }

    /// Hears of it when the kernel gives an advertised address up, for as long as there is a session.
    fn watch_advertised(&mut self) {
        let (Some(session), Some(interface)) = (&self.data.session, &self.data.interface) else {
            return;
        };
        if let Some(work) = session.withdrawing(interface) {
            let work = async move { work.await.map_or(Done::Ended, Done::Withdrawn) };
            self.start(self.data.bound(work));
        }
    }

    fn verify_session(&mut self) {
        let (Some(control), Some(session)) = (self.data.control(), &self.data.session) else {
            return;
        };
        let work = connecting::is_up(control, session.families());
        self.start(self.data.bound(async move { Done::Verified(work.await) }));
    }

    async fn not_connected(&mut self, error: ConnectError) {
        let refusal = error.refusal();
        let persistence = match &refusal {
            Refusal::BearerFailed { persistence, .. } => *persistence,
            Refusal::RoamingNotAllowed | Refusal::DataNotReady { .. } => Persistence::Permanent,
            _ => Persistence::Transient,
        };
        let told = refusal.to_string();
        let exhausted = error.is_exhausted();
        self.bearer_disconnected(told, Some(persistence), Some(Box::new(move || error.refusal())))
            .await;
        if exhausted {
            // Opening it begins with a sync, which takes back every id that is left over, if we hold the port alone.
            let detail = match self.data.place.address {
                Some(PortAddress::Proxy(_)) => {
                    "the modem has no client id left, and qmi-proxy does not take back those of programs that were killed: \
                     modemctl modem reset"
                }
                _ => "the modem has no client id left",
            };
            self.close_port(PortState::Failed, detail.to_owned()).await;
        }
    }

    fn answer_disconnecting(&mut self) {
        for reply in std::mem::take(&mut self.data.disconnecting) {
            let _ = reply.send(Ok(self.modem.bearer.clone()));
        }
    }

    /// Disconnects the bearer; a session that is still being set up is given up.
    pub(super) async fn disconnect_bearer(&mut self, reply: Reply<Bearer>) {
        match self.modem.bearer.state {
            BearerState::NotReady | BearerState::Disconnected => {
                let _ = reply.send(Ok(self.modem.bearer.clone()));
            }
            BearerState::Disconnecting => self.data.disconnecting.push(reply),
            BearerState::Connected => {
                self.data.disconnecting.push(reply);
                self.begin_disconnect(String::new()).await;
            }
            BearerState::Connecting => {
                self.data.disconnecting.push(reply);
                self.data.given_up.store(true, Ordering::Relaxed);
                if let Some(control) = self.data.control() {
                    let give_up = connecting::give_up(control, self.data.config.families);
                    self.start(self.data.bound(async move {
                        give_up.await;
                        Done::Ended
                    }));
                }
            }
        }
    }

    async fn begin_disconnect(&mut self, detail: String) {
        let Some(session) = self.data.session.take() else {
            return;
        };
        self.tell_bearer(|bearer| {
            bearer.state = BearerState::Disconnecting;
            bearer.persistence = (!detail.is_empty()).then_some(Persistence::Permanent);
            bearer.detail = detail;
        })
        .await;
        self.start_disconnecting(session);
    }

    async fn disconnected(&mut self) {
        let (detail, persistence) = (self.modem.bearer.detail.clone(), self.modem.bearer.persistence);
        self.bearer_disconnected(detail, persistence, None).await;
    }

    /// Data never roams unless the configuration says that it may.
    pub(super) async fn guard_roaming(&mut self) {
        let connected = self.modem.bearer.state == BearerState::Connected;
        if connected && self.modem.network.is_roaming() && !self.data.config.roaming {
            self.begin_disconnect(Refusal::RoamingNotAllowed.to_string()).await;
        }
    }

    async fn close_port(&mut self, state: PortState, detail: String) {
        tracing::warn!(modem = self.modem.status.name, detail, "the data port is closed");
        self.end_data(&detail).await;
        self.data.alive = Some(watch::Sender::new(()));
        self.set_port_state(self.data.place.role, state, detail.clone()).await;
        self.ims_unknown(&detail).await;
        self.bearer_not_ready(detail).await;
        self.reopen_later();
    }

    /// Ends the session and closes the port: its task gives the client ids back, or closes the function, which ends what
    /// hangs on them.
    pub(super) async fn end_data(&mut self, reason: &str) {
        self.data.alive = None;
        for reply in std::mem::take(&mut self.data.connecting) {
            let _ = reply.send(Err(Refusal::ModemDisconnected {
                detail: reason.to_owned(),
            }));
        }
        let (interface, session) = (self.data.interface.take(), self.data.session.take());
        // The task ends when the last handle is gone: this one, and those in work that ends at its next turn.
        let task = self.data.port.take().map(|port| port.task);
        self.start(async move {
            if let Some(interface) = interface.filter(|_| session.is_some())
                && let Err(error) = net::bounded(move || interface.clear()).await
            {
                tracing::debug!(%error, "the network interface was not cleared");
            }
            if let Some(task) = task {
                let _ = tokio::time::timeout(CLOSE_LIMIT, task).await;
            }
            super::Done::Bearer(Done::Ended)
        });
        self.bearer_not_ready(reason.to_owned()).await;
        self.answer_disconnecting();
    }
}
