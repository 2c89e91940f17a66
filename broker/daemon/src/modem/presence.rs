//! The actor's life around a device: it waits for one, opens it, serves it, and starts over when it goes away.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cellular::profile::UsbComposition;
use jiff::Timestamp;
use tokio::time::Instant;

use super::link::Link;
use super::serving::{End, Serving};
use super::{Absence, ModemActor, Request, port_map};
use crate::device::{Claim, Device, Unusable, choose};
use crate::port::OpenErrorKind;
use crate::port::PortAddress;
use crate::refusal::Refusal;
use crate::resource::{Change, Degradation, Health, NetworkStatus, Port, PortRole, PortState, Sim, Stage};
use crate::supervisor;

/// The shortest pause before ports that could not be opened are tried again; it doubles up to 64 times this.
const RETRY: Duration = Duration::from_millis(500);

/// How long a closed port may be ahead of the news that its device left the bus.
const DEPARTURE: Duration = Duration::from_secs(1);

/// How often an absent modem is looked for although nothing was heard.
const LOOK: Duration = Duration::from_secs(10);

/// While ports are still appearing.
const LOOK_APPEARING: Duration = Duration::from_millis(200);

/// An actor turns at least this often, so that the watchdog can tell an idle one from one that hangs.
pub(super) const TURN_INTERVAL: Duration = Duration::from_secs(5);

/// What is to be opened.
pub(super) struct Found {
    pub(super) addresses: BTreeMap<PortRole, PortAddress>,
    pub(super) device: Option<Device>,
    /// Held for as long as the ports are open.
    _claim: Option<Claim>,
}

/// The broker stops.
pub(super) struct Stopping;

/// What happens while no modem is served.
enum Idle {
    Request(Option<Request>),
    /// Calls that were carried over have waited for long enough.
    CallsLost,
    Turn,
}

impl ModemActor {
    /// Lives until the shutdown.
    pub async fn run(mut self) {
        self.recall_recovery().await;
        self.heal_switches().await;
        // Ends with the shutdown only.
        let Err(Stopping) = self.live().await;
    }

    async fn live(&mut self) -> Result<std::convert::Infallible, Stopping> {
        let mut failures = 0_u32;
        loop {
            self.give_up_switch();
            let found = match self.find() {
                Ok(found) => found,
                Err(unusable) => {
                    failures = 0;
                    self.ports_refused = false;
                    self.absent(unusable).await?;
                    continue;
                }
            };
            self.absent_since = None;
            self.device.clone_from(&found.device);
            // Ports that cannot be opened are tried again and again; that is told once.
            if !self.ports_refused {
                self.status.health = Health::Degraded;
                self.status.health_reason = "coming up: opening the ports".to_owned();
                self.enter(Stage::Enumerated, "opening the ports").await;
            }
            let (name, locks) = (self.status.name.clone(), self.setup.lock_directory.clone());
            let opened = self
                .meanwhile(Link::open(
                    name,
                    locks,
                    found.addresses.clone(),
                    self.setup.trace.clone(),
                ))
                .await?;
            match opened {
                Ok(link) => {
                    failures = 0;
                    self.ports_refused = false;
                    self.serve(found, link).await?;
                }
                Err(absence) => {
                    let hangs = absence.hangs;
                    self.ports_refused = true;
                    self.tell_absent(absence).await;
                    drop(found);
                    if hangs {
                        self.open_hung().await?;
                    }
                    failures += 1;
                    self.wait_for_news(RETRY * 2_u32.pow(failures.min(7) - 1)).await?;
                }
            }
        }
    }

    async fn serve(&mut self, found: Found, link: Link) -> Result<(), Stopping> {
        self.last_absence.clear();
        self.describe_device(&found);
        let (end, link) = Serving::new(self, link).run().await;
        match end {
            End::Stopping => {
                link.close(None).await;
                self.remove_port_map().await;
                return Err(Stopping);
            }
            End::WrongModem(reason) => {
                link.close(None).await;
                drop(found);
                self.tell_absent(Absence::because(reason)).await;
            }
            End::Gone(reason) => {
                tracing::warn!(modem = self.status.name, reason, "the modem is gone");
                link.close(None).await;
                self.tell_absent(Absence::because(reason.clone())).await;
                self.ports_closed(&found, reason).await?;
            }
            End::Recover(step, reason) => {
                tracing::warn!(
                    modem = self.status.name,
                    reason,
                    step = step.name(),
                    "recovering the modem"
                );
                self.tell_absent(Absence::because(reason)).await;
                self.climb(step, Some(link)).await?;
            }
            End::GaveUp(reason) => {
                self.tell_absent(Absence::because(reason)).await;
                link.close(None).await;
                self.still_given_up().await?;
            }
            End::Restarting(what) => {
                link.close(None).await;
                self.tell_absent(Absence::because(what)).await;
                self.await_return().await?;
            }
        }
        Ok(())
    }

    /// The modem came up.
    pub(super) async fn become_ready(&mut self) {
        self.status.stage = Stage::Ready;
        self.status.stage_time = Timestamp::now();
        tracing::info!(modem = self.status.name, "ready");
        self.judge(None);
        self.enter(Stage::Ready, "").await;
    }

    /// The device said who it is.
    pub(super) fn identified(&self, imei: &str) {
        if let Some(device) = &self.device {
            self.setup.bus.identify(device, imei);
        }
    }

    fn describe_device(&mut self, found: &Found) {
        let device = found.device.as_ref();
        self.status.composition = device.map(Device::composition).unwrap_or_default();
        self.status.usb_path = device.map(|device| device.usb_path.clone()).unwrap_or_default();
        self.status
            .degradations
            .retain(|degradation| degradation.stage != Stage::Enumerated);
        let layout = device.and_then(Device::layout);
        let lacks = layout
            .map(|layout| layout.lacks(self.setup.config.data.ppp))
            .unwrap_or_default();
        if !lacks.is_empty() {
            self.status.degradations.push(Degradation {
                stage: Stage::Enumerated,
                reason: format!(
                    "composition {} has {}; 9001 has everything: modemctl modem composition 9001",
                    self.status.composition,
                    lacks.join(", ")
                ),
            });
        }
    }

    fn find(&mut self) -> Result<Found, Unusable> {
        let config = &self.setup.config;
        let seen = self.seen.borrow_and_update().clone();
        let (addresses, device) = match &config.ports {
            Some(ports) => {
                let addresses: BTreeMap<_, _> = ports.addresses().collect();
                let paths = addresses.values().filter_map(PortAddress::path);
                (
                    addresses.clone(),
                    self.setup.bus.device_with(&paths.collect::<Vec<&Path>>()),
                )
            }
            None => {
                let device = choose(config.device(), &seen, Instant::now())?;
                let nodes = device.nodes.iter();
                let addresses = nodes.map(|(role, path)| (*role, PortAddress::Path(path.clone())));
                let mut addresses: BTreeMap<_, _> = addresses.collect();
                let may_dial = device.layout().is_some_and(UsbComposition::may_dial);
                // Never the only AT port.
                if config.data.ppp
                    && may_dial
                    && addresses.contains_key(&PortRole::At)
                    && let Some(address) = addresses.remove(&PortRole::AtCalls)
                {
                    addresses.insert(PortRole::Ppp, address);
                }
                (addresses, Some(device))
            }
        };
        let claim = device.as_ref().map(|device| {
            let claim = self.setup.bus.claim(&device.usb_path, &config.name);
            claim.ok_or_else(|| Unusable {
                detail: format!(
                    "the modem at USB path {} was taken by another modem's ports",
                    device.usb_path
                ),
                nothing_there: false,
            })
        });
        Ok(Found {
            _claim: claim.transpose()?,
            addresses,
            device,
        })
    }

    /// Nothing can be opened: waits for news from the bus.
    async fn absent(&mut self, unusable: Unusable) -> Result<(), Stopping> {
        let appearing = unusable.detail.ends_with("being enumerated");
        if unusable.nothing_there {
            self.absent_since.get_or_insert_with(Instant::now);
        } else {
            self.absent_since = None;
        }
        self.tell_absent(Absence::because(unusable.detail)).await;
        self.wait_for_news(if appearing { LOOK_APPEARING } else { LOOK })
            .await?;
        self.absent_for_long().await
    }

    /// A port closed by itself. When its device left the bus at the same time somebody pulled it or the module restarted;
    /// otherwise something is wrong.
    async fn ports_closed(&mut self, found: &Found, reason: String) -> Result<(), Stopping> {
        let Some(device) = &found.device else {
            // Without a device there is no telling; a network peer comes and goes.
            return self.wait_for_news(RETRY).await;
        };
        if self.departed(device, DEPARTURE).await? {
            return Ok(());
        }
        self.port_closed(reason).await
    }

    /// Waits until this enumeration of a device has left the bus; false if it stays.
    pub(super) async fn departed(&mut self, device: &Device, limit: Duration) -> Result<bool, Stopping> {
        self.setup.bus.look();
        let mut seen = self.setup.bus.subscribe();
        let device = device.clone();
        let gone = async move {
            let left = seen.wait_for(|seen| !seen.iter().any(|there| there.device.is_same_enumeration(&device)));
            tokio::time::timeout(limit, left).await.is_ok()
        };
        self.meanwhile(gone).await
    }

    /// Waits for a change on the bus, for at most `limit`.
    pub(super) async fn wait_for_news(&mut self, limit: Duration) -> Result<(), Stopping> {
        let mut seen = self.seen.clone();
        let news = async move {
            // An error would mean that the bus is gone, which lives as long as the broker.
            let _ = tokio::time::timeout(limit, seen.changed()).await;
        };
        self.meanwhile(news).await
    }

    /// Does something while no modem is served: requests are refused meanwhile.
    pub(super) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stopping> {
        let mut work = std::pin::pin!(work);
        loop {
            self.setup.progress.made();
            let carried_until = self.carried.as_ref().map(|carried| carried.until);
            let lose_carried = tokio::time::sleep_until(carried_until.unwrap_or_else(Instant::now));
            let idle = tokio::select! {
                biased;
                _ = self.shutdown.wait_for(|stop| *stop) => return Err(Stopping),
                done = &mut work => return Ok(done),
                request = self.requests.recv() => Idle::Request(request),
                () = lose_carried, if carried_until.is_some() => Idle::CallsLost,
                () = tokio::time::sleep(TURN_INTERVAL) => Idle::Turn,
            };
            match idle {
                Idle::Request(Some(request)) => self.refuse(request),
                Idle::Request(None) => return Err(Stopping),
                Idle::CallsLost => self.lose_carried().await,
                Idle::Turn => {}
            }
        }
    }

    fn refuse(&self, request: Request) {
        let detail = || self.status.health_reason.clone();
        let refusal = || match self.restarting {
            true => Refusal::ModemResetting { detail: detail() },
            false => Refusal::ModemDisconnected { detail: detail() },
        };
        request.refuse(refusal);
    }

    pub(super) async fn tell_absent(&mut self, absence: Absence) {
        if self.last_absence == absence.detail {
            return;
        }
        self.last_absence.clone_from(&absence.detail);
        self.status.ports = absence.ports;
        self.status.health = Health::Failed;
        self.status.health_reason = absence.detail.clone();
        self.status.carrier = None;
        self.status.degradations.clear();
        // Nobody is to read of a network or a SIM that went away with the modem.
        if std::mem::take(&mut self.network) != NetworkStatus::default() {
            self.recorder.record(Change::Network(self.network.clone())).await;
        }
        if std::mem::take(&mut self.sim) != Sim::default() {
            self.recorder.record(Change::Sim(self.sim.clone())).await;
        }
        self.remove_port_map().await;
        self.enter(Stage::Absent, absence.detail).await;
    }

    /// Nobody is to open ports of that name any more: they may belong to another device soon.
    async fn remove_port_map(&self) {
        let Some(path) = self.setup.config.port_map.clone() else {
            return;
        };
        let removing = supervisor::on_disk(move || port_map::remove(&path));
        if let Ok(Err(error)) = removing.await {
            tracing::error!(modem = self.status.name, %error, "could not remove the port map; it may name ports of another device");
        }
    }

    /// Enters a stage, or tells more about the present one.
    pub(super) async fn enter(&mut self, stage: Stage, detail: impl Into<String>) {
        let detail = detail.into();
        if self.status.stage != stage {
            self.status.stage = stage;
            self.status.stage_time = Timestamp::now();
            tracing::info!(modem = self.status.name, ?stage, detail, "stage");
        }
        self.status.stage_detail = detail;
        self.recorder.record(Change::Modem(self.status.clone())).await;
    }
}

impl Absence {
    pub(super) fn because(detail: String) -> Absence {
        Absence {
            ports: Vec::new(),
            detail,
            hangs: false,
        }
    }
}

/// A port in a state, as of now.
pub(super) fn port(role: PortRole, address: &PortAddress, state: PortState, detail: String) -> Port {
    Port {
        role,
        state,
        path: address.to_string(),
        detail,
        state_time: Timestamp::now(),
    }
}

/// The state of a port that could not be opened.
pub(super) fn state_of(error: &OpenErrorKind) -> PortState {
    match error {
        OpenErrorKind::Missing => PortState::Missing,
        OpenErrorKind::Held(_) => PortState::Held,
        OpenErrorKind::Io(_) | OpenErrorKind::Hung(_) => PortState::Failed,
    }
}
