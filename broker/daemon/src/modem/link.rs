//! The open ports of a modem.

use std::collections::BTreeMap;

use ::modem::at::Config;
use tokio::sync::mpsc;

use super::{Absence, Setup, port};
use crate::config::PortAddress;
use crate::port::at::{self, AtEvent, AtHandle};
use crate::port::{OpenErrorKind, open_serial};
use crate::resource::{Port, PortRole, PortState};
use crate::supervisor;

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
    /// What the ports say.
    pub(super) events: mpsc::Receiver<(PortRole, AtEvent)>,
    /// All ports with their states.
    pub(super) ports: Vec<Port>,
}

impl Link {
    /// Opens the AT ports. The first is needed, the second taken when it is there.
    pub(super) async fn open(setup: &Setup, addresses: &BTreeMap<PortRole, PortAddress>) -> Result<Link, Absence> {
        let (events, receiver) = mpsc::channel(EVENT_DEPTH);
        let mut ports = Vec::new();
        let mut handles = Vec::new();
        for (&role, address) in addresses {
            if !matches!(role, PortRole::At | PortRole::AtCalls) {
                ports.push(port(role, address, PortState::Unused, String::new()));
                continue;
            }
            match open_serial(address, &setup.lock_directory).await {
                Ok(opened) => {
                    let (handle, task) = at::open(role, opened, Config::default(), events.clone());
                    supervisor::spawn("at port", &setup.config.name, task.run());
                    handles.push(handle);
                    ports.push(port(role, address, PortState::Open, String::new()));
                }
                Err(error) => {
                    let state = match error.kind {
                        OpenErrorKind::Missing => PortState::Missing,
                        OpenErrorKind::Held(_) => PortState::Held,
                        OpenErrorKind::Io(_) => PortState::Failed,
                    };
                    ports.push(port(role, address, state, error.to_string()));
                }
            }
        }
        let find = |role| handles.iter().find(|handle| handle.role() == role).cloned();
        let Some(at) = find(PortRole::At).or_else(|| find(PortRole::AtCalls)) else {
            let detail = ports
                .iter()
                .find(|port| port.role == PortRole::At && !port.detail.is_empty())
                .map_or_else(|| "no AT port".to_owned(), |port| port.detail.clone());
            return Err(Absence { ports, detail });
        };
        let at_calls = find(PortRole::AtCalls).unwrap_or_else(|| at.clone());
        Ok(Link {
            at,
            at_calls,
            audio: addresses.get(&PortRole::Audio).cloned(),
            events: receiver,
            ports,
        })
    }

    /// Whether calls have a port of their own.
    pub(super) fn has_two_ports(&self) -> bool {
        self.at.role() != self.at_calls.role()
    }
}
