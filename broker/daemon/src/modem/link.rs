//! The open ports of a modem, and which of them serves which role.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cellular::at::{Command, Config};
use tokio::sync::mpsc;

use super::presence::state_of;
use super::{Absence, port};
use crate::port::PortAddress;
use crate::port::at::{AtEvent, AtHandle, AtPort};
use crate::port::trace::Trace;
use crate::port::{OpenErrorKind, OpenPort, open_serial};
use crate::resource::{Port, PortRole, PortState};

/// What ports may say before the actor has to listen: a burst of 200 stored messages, heard on two ports.
const EVENT_DEPTH: usize = 512;

/// The ports that are open while a modem is there.
pub(super) struct Link {
    /// Messages and status.
    pub(super) at: AtHandle,
    /// Calls; the same port as `at` when there is only one.
    pub(super) at_calls: AtHandle,
    /// Opened for each call.
    pub(super) audio: Option<PortAddress>,
    /// Opened while the GNSS receiver is wanted.
    pub(super) nmea: Option<PortAddress>,
    /// Opened for the data bearer: a QMI or MBIM port, or an AT port for PPP.
    pub(super) control: Option<(PortRole, PortAddress)>,
    /// What the ports say.
    pub(super) events: mpsc::Receiver<(PortRole, AtEvent)>,
    /// All ports with their states.
    pub(super) ports: Vec<Port>,
    modem: String,
    lock_directory: PathBuf,
    addresses: BTreeMap<PortRole, PortAddress>,
    trace: Trace,
    sender: mpsc::Sender<(PortRole, AtEvent)>,
    open: BTreeMap<PortRole, AtPort>,
    /// Which port serves the calls and which everything else.
    serving: BTreeMap<PortRole, PortRole>,
}

impl Link {
    /// Opens the AT ports. One is needed, the second taken when it is there.
    pub(super) async fn open(
        modem: String,
        lock_directory: PathBuf,
        addresses: BTreeMap<PortRole, PortAddress>,
        trace: Trace,
    ) -> Result<Link, Absence> {
        let mut ports = Vec::new();
        let mut open = BTreeMap::new();
        let mut hangs = false;
        for (&role, address) in &addresses {
            if !matches!(role, PortRole::At | PortRole::AtCalls) {
                ports.push(port(role, address, PortState::Unused, String::new()));
                continue;
            }
            match open_serial(address, &lock_directory).await {
                Ok(opened) => {
                    open.insert(role, opened);
                    ports.push(port(role, address, PortState::Open, String::new()));
                }
                Err(error) => {
                    hangs |= matches!(error.kind, OpenErrorKind::Hung(_));
                    ports.push(port(role, address, state_of(&error.kind), error.to_string()));
                }
            }
        }
        if open.is_empty() {
            let detail = ports
                .iter()
                .find(|port| port.role == PortRole::At && !port.detail.is_empty())
                .map_or_else(|| "no AT port".to_owned(), |port| port.detail.clone());
            return Err(Absence { ports, detail, hangs });
        }
        Ok(Link::over(modem, lock_directory, addresses, trace, ports, open))
    }

    /// Starts a task for each of these ports, of which there is one at least.
    pub(super) fn over(
        modem: String,
        lock_directory: PathBuf,
        addresses: BTreeMap<PortRole, PortAddress>,
        trace: Trace,
        ports: Vec<Port>,
        opened: BTreeMap<PortRole, OpenPort>,
    ) -> Link {
        let (sender, events) = mpsc::channel(EVENT_DEPTH);
        let open: BTreeMap<_, _> = opened
            .into_iter()
            .map(|(role, port)| {
                let started = AtPort::start(role, &modem, port, Config::default(), sender.clone(), trace.clone());
                (role, started)
            })
            .collect();
        let serving_at = if open.contains_key(&PortRole::At) {
            PortRole::At
        } else {
            PortRole::AtCalls
        };
        let serving_calls = if open.contains_key(&PortRole::AtCalls) {
            PortRole::AtCalls
        } else {
            serving_at
        };
        Link {
            at: open[&serving_at].handle(PortRole::At),
            at_calls: open[&serving_calls].handle(PortRole::AtCalls),
            audio: addresses.get(&PortRole::Audio).cloned(),
            nmea: addresses.get(&PortRole::Nmea).cloned(),
            control: [PortRole::Qmi, PortRole::Mbim, PortRole::Ppp]
                .into_iter()
                .find_map(|role| Some((role, addresses.get(&role)?.clone()))),
            events,
            ports,
            modem,
            lock_directory,
            addresses,
            trace,
            sender,
            open,
            serving: BTreeMap::from([(PortRole::At, serving_at), (PortRole::AtCalls, serving_calls)]),
        }
    }

    /// Which port serves a role at present.
    pub(super) fn server_of(&self, role: PortRole) -> PortRole {
        self.serving[&role]
    }

    /// Whether a port is open at present.
    pub(super) fn is_open(&self, port: PortRole) -> bool {
        self.open.contains_key(&port)
    }

    /// The other open AT port.
    pub(super) fn other(&self, port: PortRole) -> Option<PortRole> {
        self.open.keys().copied().find(|role| *role != port)
    }

    /// A handle to a port whatever role it serves.
    pub(super) fn handle_of(&self, port: PortRole) -> Option<AtHandle> {
        Some(self.open.get(&port)?.handle(port))
    }

    /// Lets one port serve every role.
    pub(super) fn take_over(&mut self, port: PortRole) {
        for role in [PortRole::At, PortRole::AtCalls] {
            self.lead(role, port);
        }
    }

    /// Lets each port that is open serve its own role again.
    pub(super) fn give_back(&mut self, port: PortRole) {
        if self.open.contains_key(&port) {
            self.lead(port, port);
        }
    }

    fn lead(&mut self, role: PortRole, port: PortRole) {
        let Some(open) = self.open.get(&port) else { return };
        open.serve(if role == PortRole::At { &self.at } else { &self.at_calls });
        self.serving.insert(role, port);
    }

    /// Closes a port and opens it again; what comes out is to be given to [`Link::opened`]. Whoever waited for the port hears
    /// that it is closed.
    pub(super) fn reopen(&mut self, port: PortRole) -> impl Future<Output = Result<OpenPort, String>> + Send + 'static {
        let old = self.open.remove(&port);
        let address = self.addresses.get(&port).cloned();
        let lock_directory = self.lock_directory.clone();
        async move {
            if let Some(old) = old {
                old.close(None).await;
            }
            let Some(address) = address else {
                return Err("the port has no address".to_owned());
            };
            open_serial(&address, &lock_directory)
                .await
                .map_err(|error| error.to_string())
        }
    }

    /// A port was opened again: it serves the roles that it served before.
    pub(super) fn opened(&mut self, port: PortRole, opened: OpenPort) {
        let started = AtPort::start(
            port,
            &self.modem,
            opened,
            Config::default(),
            self.sender.clone(),
            self.trace.clone(),
        );
        self.open.insert(port, started);
        for role in [PortRole::At, PortRole::AtCalls] {
            if self.server_of(role) == port {
                self.lead(role, port);
            }
        }
    }

    /// Closes the ports. A last command is written to each first, for a module that may obey although it does not answer.
    pub(super) async fn close(self, last: Option<Command>) {
        // Gone first, so that no port waits for the actor to listen.
        drop(self.events);
        let closing = self.open.into_values().map(|port| port.close(last.clone()));
        futures_util::future::join_all(closing).await;
    }
}
