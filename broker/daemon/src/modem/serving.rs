//! The actor's turns while the ports are open.

use std::collections::BTreeMap;
use std::time::Duration;

use ::modem::at::Urc;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::bring_up::{self, Progress};
use super::calls::Calls;
use super::link::Link;
use super::messages::Messages;
use super::{Done, ModemActor, Request, Work, network};
use crate::config::{OnAbandoned, PortAddress};
use crate::port::at::{AtEvent, Lane};
use crate::refusal::Refusal;
use crate::resource::{Change, Health, PortRole, PortState, SimState, Stage};

/// How often signal and cell are read while nothing happens. Together with the calls' own polls this keeps an idle modem
/// below six commands a minute.
const STATUS_INTERVAL: Duration = Duration::from_secs(90);

/// An actor turns at least this often, so that the watchdog can tell an idle one from one that hangs.
const TURN_INTERVAL: Duration = Duration::from_secs(5);

/// How long work may take to notice that its port is gone.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);

/// Work beyond this waits as requests in their queue.
const MAX_WORK: usize = 256;

/// A modem whose ports are open.
pub(super) struct Serving<'a> {
    pub(super) modem: &'a mut ModemActor,
    pub(super) link: Link,
    pub(super) calls: Calls,
    pub(super) messages: Messages,
    work: FuturesUnordered<Work>,
    progress: mpsc::Receiver<Progress>,
    registered: watch::Sender<bool>,
    brought_up: bool,
    next_status: Instant,
    status_pending: bool,
}

enum Turn {
    Stop,
    Event(PortRole, AtEvent),
    Progress(Progress),
    Done(Done),
    Request(Request),
    Deadline,
}

impl<'a> Serving<'a> {
    pub(super) fn new(modem: &'a mut ModemActor, addresses: BTreeMap<PortRole, PortAddress>, link: Link) -> Self {
        let (progress_sender, progress) = mpsc::channel(16);
        let (registered, is_registered) = watch::channel(false);
        let work = FuturesUnordered::new();
        let bring_up = bring_up::BringUp {
            at: link.at.clone(),
            at_calls: link.at_calls.clone(),
            pin: modem.setup.config.pin.clone(),
            progress: progress_sender,
            registered: is_registered,
            keep_calls: modem.setup.voice.on_abandoned == OnAbandoned::Keep,
        };
        work.push(Box::pin(async move { Done::BringUp(bring_up.run().await) }) as Work);
        let device = crate::device::scan(&modem.setup.sysfs, &modem.setup.dev)
            .into_iter()
            .find(|device| {
                device.nodes.values().any(|node| {
                    addresses
                        .values()
                        .any(|known| *known == PortAddress::Path(node.clone()))
                })
            });
        modem.status.composition = device.as_ref().map(|device| device.composition()).unwrap_or_default();
        modem.status.usb_path = device.map(|device| device.usb_path).unwrap_or_default();
        modem.status.ports.clone_from(&link.ports);
        modem.status.health = Health::Degraded;
        modem.status.health_reason = "coming up".to_owned();
        let messages = Messages::new(modem.setup.store.clone(), modem.status.name.clone(), link.at.clone());
        Serving {
            modem,
            link,
            calls: Calls::default(),
            messages,
            work,
            progress,
            registered,
            brought_up: false,
            next_status: Instant::now() + STATUS_INTERVAL,
            status_pending: false,
        }
    }

    /// Serves until the device goes away or the broker stops; returns why.
    pub(super) async fn run(mut self) -> String {
        self.modem
            .enter(Stage::Probing, "waiting for the AT port to answer")
            .await;
        let reason = loop {
            let turn = self.wait().await;
            if let Some(reason) = self.take(turn).await {
                break reason;
            }
        };
        self.settle().await;
        reason
    }

    /// Lets what was in flight hear that its port is gone, so that a message that had not left is queued again and one that
    /// may have left says so. What hangs nevertheless is settled in the store.
    async fn settle(&mut self) {
        self.messages.stop();
        if *self.modem.shutdown.borrow() {
            self.end_calls().await;
        }
        // First, so that whoever streams a call hears of its end at once, and so that nothing watches its audio any more.
        self.lose_calls().await;
        let finished = async {
            while let Some(done) = self.work.next().await {
                match done {
                    Done::Message(done) => self.messages.done(done),
                    // A dial that was cut off may have reached the network, and whoever asked has to hear that.
                    Done::Call(done) => self.call_done(done).await,
                    Done::BringUp(_) | Done::Network(..) | Done::Answered => {}
                }
            }
        };
        if tokio::time::timeout(SETTLE_LIMIT, finished).await.is_err() {
            tracing::debug!(
                modem = self.modem.status.name,
                "work was still waiting for a port that is gone"
            );
        }
        self.work.clear();
        self.lose_calls().await;
        if let Err(error) = self.modem.setup.store.recover(&self.modem.status.name).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "what the modem left open was not settled"
            );
        }
    }

    async fn wait(&mut self) -> Turn {
        self.modem.setup.progress.made();
        let turn = Instant::now() + TURN_INTERVAL;
        let deadline = self
            .calls
            .deadline()
            .map_or(turn, |deadline| deadline.min(turn))
            .min(self.next_status);
        tokio::select! {
            biased;
            _ = self.modem.shutdown.wait_for(|stop| *stop) => Turn::Stop,
            Some((role, event)) = self.link.events.recv() => Turn::Event(role, event),
            Some(progress) = self.progress.recv() => Turn::Progress(progress),
            Some(done) = self.work.next(), if !self.work.is_empty() => Turn::Done(done),
            Some(request) = self.modem.requests.recv(), if self.work.len() < MAX_WORK => Turn::Request(request),
            () = tokio::time::sleep_until(deadline) => Turn::Deadline,
        }
    }

    async fn take(&mut self, turn: Turn) -> Option<String> {
        match turn {
            Turn::Stop => return Some("the broker is stopping".to_owned()),
            Turn::Event(role, AtEvent::Closed(reason)) => {
                return Some(format!("port {}: {reason}", self.path_of(role)));
            }
            Turn::Event(role, AtEvent::Unresponsive(probes)) => {
                self.set_port_state(role, PortState::Silent, format!("{probes} probes without an answer"))
                    .await;
                return Some(format!(
                    "port {} does not answer ({probes} probes); opening it again",
                    self.path_of(role)
                ));
            }
            Turn::Event(role, AtEvent::Resynchronised) => {
                self.set_port_state(role, PortState::Open, String::new()).await;
                self.messages.sweep_due();
            }
            Turn::Event(role, AtEvent::Unsolicited(unsolicited)) => self.unsolicited(role, unsolicited.urc).await,
            Turn::Progress(progress) => return self.progress(progress).await,
            Turn::Done(done) => return self.done(done).await,
            Turn::Request(request) => self.request(request).await,
            Turn::Deadline => self.deadline().await,
        }
        self.start_message_work();
        None
    }

    /// Starts work that reports back to a later turn.
    pub(super) fn start(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.work.push(Box::pin(work));
    }

    fn start_message_work(&mut self) {
        for work in self.messages.due(self.is_registered()) {
            self.work.push(work);
        }
    }

    pub(super) fn is_registered(&self) -> bool {
        self.modem.network.is_registered()
    }

    fn path_of(&self, role: PortRole) -> String {
        self.link
            .ports
            .iter()
            .find(|port| port.role == role)
            .map(|port| port.path.clone())
            .unwrap_or_default()
    }

    async fn set_port_state(&mut self, role: PortRole, state: PortState, detail: String) {
        for port in self.modem.status.ports.iter_mut().filter(|port| port.role == role) {
            port.state = state;
            port.detail.clone_from(&detail);
            port.state_time = jiff::Timestamp::now();
        }
        self.modem
            .recorder
            .record(Change::Modem(self.modem.status.clone()))
            .await;
    }

    /// The same code arrives on both AT ports. Calls are believed on the port that controls them, all else on the other, so
    /// that nothing counts twice; with one port everything is believed.
    async fn unsolicited(&mut self, role: PortRole, urc: Urc) {
        let about_calls = Calls::concerns(&urc);
        if self.link.has_two_ports() && about_calls != (role == PortRole::AtCalls) {
            return;
        }
        if about_calls {
            self.call_urc(urc).await;
        } else if let Some(changed) = network::apply_urc(&mut self.modem.network, &urc) {
            self.network_changed(changed).await;
        } else if let Urc::SimStatus(status) = &urc {
            let state = bring_up::sim_state(status);
            if state != self.modem.sim.state && !matches!(state, SimState::Unknown) {
                self.modem.sim.state = state;
                self.modem.recorder.record(Change::Sim(self.modem.sim.clone())).await;
            }
        } else {
            self.messages.urc(urc);
        }
    }

    async fn network_changed(&mut self, changed: bool) {
        let registered = self.is_registered();
        self.registered
            .send_if_modified(|known| std::mem::replace(known, registered) != registered);
        if changed {
            self.modem
                .recorder
                .record(Change::Network(self.modem.network.clone()))
                .await;
        }
        if !self.brought_up {
            return;
        }
        match (self.modem.status.stage, registered) {
            (Stage::Ready, false) => {
                self.modem.status.health = Health::Degraded;
                self.modem.status.health_reason = "registration was lost; check antenna and coverage".to_owned();
                self.modem
                    .enter(Stage::Registering, "registration was lost, the modem is searching")
                    .await;
            }
            (Stage::Registering, true) => self.become_ready().await,
            _ => {}
        }
    }

    async fn become_ready(&mut self) {
        self.modem.status.health = Health::Ok;
        self.modem.status.health_reason.clear();
        self.modem.enter(Stage::Ready, "").await;
        self.read_status(None);
    }

    /// Why the ports are to be closed, if they are.
    async fn progress(&mut self, progress: Progress) -> Option<String> {
        match progress {
            Progress::Stage(stage, detail) => self.modem.enter(stage, detail).await,
            Progress::Identity {
                manufacturer,
                model,
                revision,
                imei,
            } => {
                if let Some(wanted) = self.modem.setup.config.imei.clone().filter(|wanted| *wanted != imei) {
                    self.modem.rejected.insert(self.modem.status.usb_path.clone());
                    return Some(format!(
                        "the modem here has the IMEI {imei}, the configuration wants {wanted}"
                    ));
                }
                let status = &mut self.modem.status;
                (status.manufacturer, status.model, status.revision, status.imei) =
                    (manufacturer, model, revision, imei);
            }
            Progress::Sim(sim) => {
                self.messages.set_sim(&sim);
                if self.modem.sim != sim {
                    self.modem.sim = sim;
                    self.modem.recorder.record(Change::Sim(self.modem.sim.clone())).await;
                }
            }
            Progress::MessagesReady => self.messages.become_usable(),
            Progress::Registration(domain, state) => {
                let changed = network::set_registration(&mut self.modem.network, domain, state);
                self.network_changed(changed).await;
            }
        }
        self.start_message_work();
        None
    }

    async fn done(&mut self, done: Done) -> Option<String> {
        match done {
            Done::BringUp(Ok(())) => {
                self.brought_up = true;
                // A call that was there before the ports were opened has not been reported.
                self.list_calls();
                if self.is_registered() {
                    self.become_ready().await;
                }
            }
            Done::BringUp(Err(error)) => return Some(error.to_string()),
            Done::Call(done) => self.call_done(done).await,
            Done::Message(done) => self.messages.done(done),
            Done::Network(reading, reply) => self.status_read(reading, reply).await,
            Done::Answered => {}
        }
        self.start_message_work();
        None
    }

    async fn request(&mut self, request: Request) {
        match request {
            Request::Dial {
                number,
                request_id,
                content_hash,
                reply,
            } => self.dial(number, request_id, content_hash, reply),
            Request::Answer { call_id, reply } => self.answer(call_id.as_deref(), reply),
            Request::HangUp { call_id, reject, reply } => self.hang_up(call_id.as_deref(), reject, reply),
            Request::SendDtmf { call_id, tones, reply } => self.send_dtmf(call_id.as_deref(), &tones, reply),
            Request::Attach {
                call_id,
                answer,
                options,
                reply,
            } => self.attach(&call_id, answer, options, reply),
            Request::Monitor { call_id, reply } => self.monitor(&call_id, reply),
            Request::MessageQueued => self.messages.queued(),
            Request::Execute { command, reply } => {
                let at = self.link.at.clone();
                self.start(async move {
                    let result = at.execute(Lane::Background, command).await.map_err(Refusal::from);
                    let _ = reply.send(result);
                    Done::Answered
                });
            }
            Request::RefreshNetwork { reply } => self.read_status(Some(reply)),
            Request::GetStorage { reply } => {
                let at = self.link.at.clone();
                self.start(async move {
                    let _ = reply.send(super::messages::storage(&at).await);
                    Done::Answered
                });
            }
        }
    }

    async fn deadline(&mut self) {
        if Instant::now() >= self.next_status {
            self.next_status = Instant::now() + STATUS_INTERVAL;
            if self.brought_up && !self.status_pending {
                self.read_status(None);
            }
            self.messages.sweep_if_due();
        }
        self.call_deadline();
    }

    fn read_status(&mut self, reply: Option<super::Reply<crate::resource::NetworkStatus>>) {
        self.status_pending |= reply.is_none();
        let lane = if reply.is_some() {
            Lane::Normal
        } else {
            Lane::Background
        };
        let at = self.link.at.clone();
        self.start(async move { Done::Network(network::read(&at, lane).await, reply) });
    }

    async fn status_read(
        &mut self,
        reading: Result<network::Reading, crate::port::at::AtError>,
        reply: Option<super::Reply<crate::resource::NetworkStatus>>,
    ) {
        self.status_pending &= reply.is_some();
        match reading {
            Ok(reading) => {
                let changed = network::apply_reading(&mut self.modem.network, reading);
                self.network_changed(changed).await;
                if let Some(reply) = reply {
                    let _ = reply.send(Ok(self.modem.network.clone()));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the network status was not read");
                if let Some(reply) = reply {
                    let _ = reply.send(Err(error.into()));
                }
            }
        }
    }
}
