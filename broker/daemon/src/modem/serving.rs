//! The actor's turns while the ports are open.

mod admission;
mod card;
mod degradation;
mod hearing;
mod registration;
#[cfg(test)]
mod tests;

use std::time::Duration;

use cellular::arbitration::{Verdict, Wanted};
use cellular::at::{Unsolicited, Urc};
use cellular::recovery::Step;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::bearer::{self, Data};
use super::bring_up::{self, Progress};
use super::calls::Calls;
use super::link::Link;
use super::location::Gnss;
use super::messages::Messages;
use super::operators::Undertaking;
use super::port_map::PortMap;
use super::presence::TURN_INTERVAL;
use super::recovery::Trouble;
use super::services::Services;
use super::sim;
use super::terminal::TerminalHold;
use super::ussd::Ussd;
use super::{Done, ModemActor, Reply, Request, Work, network};
use crate::modem::settings::OnAbandoned;
use crate::port::at::{AtEvent, Lane};
use crate::refusal::Refusal;
use crate::resource::{Change, Degradation, Health, PortRole, PortState, SimState, Stage};
use admission::Waiting;
use degradation::Alarms;
use hearing::Hearing;

pub(super) use card::SimOutcome;

/// How often signal and cell are read while nothing happens. Together with the calls' own polls this keeps an idle modem
/// below six commands a minute.
const STATUS_INTERVAL: Duration = Duration::from_secs(90);

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
    pub(super) data: Data,
    pub(super) ussd: Ussd,
    pub(super) gnss: Gnss,
    pub(super) terminal: TerminalHold,
    pub(super) undertaking: Undertaking,
    pub(super) services: Services,
    waiting: Waiting,
    /// A PIN or a PUK is being used.
    operating_sim: bool,
    /// The radio is being switched off or on.
    pub(super) changing_radio: bool,
    /// The module was told to restart, or is about to be.
    pub(super) told_to_restart: bool,
    work: FuturesUnordered<Work>,
    progress: mpsc::Receiver<Progress>,
    registered: watch::Sender<bool>,
    /// Counts how often the SIM went away or was exchanged.
    sim_changes: watch::Sender<u64>,
    /// Wakes whoever waits for the SIM.
    sim_told: watch::Sender<()>,
    port_map: PortMap,
    brought_up: bool,
    told: network::Told,
    hearing: Hearing,
    next_status: Instant,
    status_pending: bool,
    pub(super) trouble: Trouble,
    /// Ends the bring-up, which watches the SIM for as long as the ports are open.
    end_bring_up: watch::Sender<()>,
    alarms: Alarms,
}

/// Why serving ended.
pub(super) enum End {
    /// The broker stops.
    Stopping,
    /// The ports are gone, or cannot be used; they are opened anew.
    Gone(String),
    /// The device here is another one than the configuration wants.
    WrongModem(String),
    /// The ladder came to a step for which the ports have to be closed.
    Recover(Step, String),
    /// The ladder gave up.
    GaveUp(String),
    /// The module restarts because somebody asked for it.
    Restarting(String),
}

impl End {
    fn reason(&self) -> &str {
        match self {
            End::Stopping => "the broker is stopping",
            End::Gone(reason)
            | End::WrongModem(reason)
            | End::Recover(_, reason)
            | End::GaveUp(reason)
            | End::Restarting(reason) => reason,
        }
    }
}

enum Turn {
    Stop,
    Event(PortRole, AtEvent),
    Data(bearer::Event),
    Progress(Progress),
    Done(Done),
    Request(Request),
    Deadline,
}

impl<'a> Serving<'a> {
    pub(super) fn new(modem: &'a mut ModemActor, mut link: Link) -> Self {
        if let Some(other) = modem.avoided.and_then(|avoided| link.other(avoided)) {
            link.take_over(other);
        }
        let (progress_sender, progress) = mpsc::channel(16);
        let (registered, is_registered) = watch::channel(false);
        let (sim_changes, sim_changed) = watch::channel(0);
        let (sim_told, sim_heard) = watch::channel(());
        let work = FuturesUnordered::new();
        let gnss = Gnss::new(progress_sender.clone());
        let config = &modem.setup.config;
        let no_audio = (link.audio.is_none() && config.ports.is_none())
            .then(|| "this USB composition has no audio port; composition 9001 has one".to_owned());
        let bring_up = bring_up::BringUp::new(bring_up::Needs {
            at: link.at.clone(),
            at_calls: link.at_calls.clone(),
            name: config.name.clone(),
            pin: config.pin.clone(),
            carrier: config.carrier.clone(),
            network: config.network.clone(),
            provider_info: modem.setup.provider_info.clone(),
            store: modem.setup.store.clone(),
            progress: progress_sender,
            registered: is_registered,
            sim_changes: sim_changed,
            sim_told: sim_heard,
            sample_rate: modem.setup.voice.sample_rate,
            keep_calls: modem.setup.voice.on_abandoned == OnAbandoned::Keep || modem.carried.is_some(),
            no_audio,
        });
        let (end_bring_up, mut bring_up_ended) = watch::channel(());
        work.push(Box::pin(async move {
            tokio::select! {
                error = bring_up.run() => Done::BringUp(error),
                // Also when the sender is gone.
                _ = bring_up_ended.changed() => Done::Answered,
            }
        }) as Work);
        modem.status.ports.clone_from(&link.ports);
        // What the composition lacks was told when the device was found.
        modem
            .status
            .degradations
            .retain(|degradation| degradation.stage == Stage::Enumerated);
        modem.status.health = Health::Degraded;
        modem.status.health_reason = "coming up".to_owned();
        modem.status.carrier = None;
        let modem_port_map = modem.setup.config.port_map.clone();
        let messages = Messages::new(modem.setup.store.clone(), modem.status.name.clone(), link.at.clone());
        let data = Data::new(&modem.setup, link.control.clone());
        let ussd = Ussd::new(modem.setup.config.ussd_timeout);
        let calls = Calls::carrying(modem.carried.take());
        Serving {
            modem,
            link,
            data,
            calls,
            messages,
            ussd,
            gnss,
            terminal: TerminalHold::default(),
            undertaking: Undertaking::default(),
            services: Services::default(),
            waiting: Waiting::default(),
            operating_sim: false,
            changing_radio: false,
            told_to_restart: false,
            work,
            progress,
            registered,
            sim_changes,
            sim_told,
            port_map: PortMap::new(modem_port_map),
            brought_up: false,
            told: network::Told::default(),
            hearing: Hearing::default(),
            next_status: Instant::now() + STATUS_INTERVAL,
            status_pending: false,
            trouble: Trouble::default(),
            end_bring_up,
            alarms: Alarms::default(),
        }
    }

    /// Whether the modem came up since its ports were opened.
    pub(super) fn brought_up(&self) -> bool {
        self.brought_up
    }

    /// Serves until the device goes away or the broker stops; returns why, and the ports.
    pub(super) async fn run(mut self) -> (End, Link) {
        self.modem
            .enter(Stage::Probing, "waiting for the AT port to answer")
            .await;
        self.open_data().await;
        let end = loop {
            let turn = self.wait().await;
            if let Some(end) = self.take(turn).await {
                break end;
            }
        };
        tracing::debug!(modem = self.modem.status.name, reason = end.reason(), "serving ended");
        self.settle(matches!(end, End::Gone(_))).await;
        (end, self.link)
    }

    /// Lets what was in flight hear that its port is gone, so that a message that had not left is queued again and one that
    /// may have left says so. What hangs nevertheless is settled in the store.
    async fn settle(&mut self, gone: bool) {
        // It waits for the SIM and the network, which no port can tell of any more.
        let _ = self.end_bring_up.send(());
        self.messages.stop();
        self.waiting.refuse(|| Refusal::ModemDisconnected {
            detail: "it went away meanwhile".to_owned(),
        });
        // The sequence waits for another SIM for as long as there is somebody to tell of one.
        self.sim_changes = watch::Sender::new(0);
        self.end_data("the modem is gone").await;
        if *self.modem.shutdown.borrow() {
            self.end_calls().await;
        }
        // Not when the broker or somebody else wanted the ports closed: that ends calls.
        let carried = if gone { self.carry_calls() } else { Vec::new() };
        if !gone {
            self.lose_carried().await;
        }
        // First, so that whoever streams a call hears of its end at once, and so that nothing watches its audio any more.
        self.lose_calls().await;
        self.lose_ussd().await;
        self.end_gnss().await;
        let finished = async {
            while let Some(done) = self.work.next().await {
                match done {
                    Done::Message(done) => self.messages.done(done),
                    // A dial that was cut off may have reached the network, and whoever asked has to hear that.
                    Done::Call(done) => self.call_done(done).await,
                    Done::Service(done) => self.service_done(done).await,
                    Done::BringUp(_)
                    | Done::Network(..)
                    | Done::Recovery(_)
                    | Done::Composition(_)
                    | Done::Sim(_)
                    | Done::PortMap(_)
                    | Done::Ussd(_)
                    | Done::Bearer(_)
                    | Done::Answered => {}
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
        let store = &self.modem.setup.store;
        if let Err(error) = store.recover_all_but(&self.modem.status.name, carried).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not close what the modem left open; some calls or messages may show an old state"
            );
        }
    }

    async fn wait(&mut self) -> Turn {
        self.modem.setup.progress.made();
        let turn = Instant::now() + TURN_INTERVAL;
        let deadline = self
            .calls
            .deadline()
            .into_iter()
            .chain(self.ussd.deadline())
            .chain(self.messages.deadline())
            .chain(self.recovery_deadline())
            .chain(self.waiting.deadline())
            .chain(self.hearing.deadline())
            .fold(turn.min(self.next_status), Instant::min);
        tokio::select! {
            biased;
            _ = self.modem.shutdown.wait_for(|stop| *stop) => Turn::Stop,
            Some((role, event)) = self.link.events.recv() => Turn::Event(role, event),
            event = self.data.event() => Turn::Data(event),
            Some(progress) = self.progress.recv() => Turn::Progress(progress),
            Some(done) = self.work.next(), if !self.work.is_empty() => Turn::Done(done),
            Some(request) = self.modem.requests.recv(), if self.work.len() < MAX_WORK => Turn::Request(request),
            () = tokio::time::sleep_until(deadline) => Turn::Deadline,
        }
    }

    async fn take(&mut self, turn: Turn) -> Option<End> {
        let end = match turn {
            Turn::Stop => Some(End::Stopping),
            Turn::Event(role, event) => self.event(role, event).await,
            Turn::Progress(progress) => self.progress(progress).await,
            Turn::Done(done) => self.done(done).await,
            Turn::Request(request) => {
                self.admit(request).await;
                None
            }
            Turn::Data(event) => {
                self.data_event(event).await;
                None
            }
            Turn::Deadline => {
                while let Some(urc) = self.hearing.due(Instant::now()) {
                    self.heard(urc).await;
                }
                self.deadline().await
            }
        };
        if end.is_none() {
            self.make_way_for_calls().await;
            self.assess_storages().await;
            self.assess_voice().await;
            self.follow_wanted_data().await;
            self.take_up_waiting().await;
            self.follow_composition_policy();
            self.start_message_work();
        }
        end
    }

    async fn event(&mut self, role: PortRole, event: AtEvent) -> Option<End> {
        match event {
            AtEvent::Closed(reason) => return Some(End::Gone(format!("port {}: {reason}", self.path_of(role)))),
            AtEvent::TimedOut(command) => return self.command_unanswered(role, &command).await,
            AtEvent::Unresponsive(probes) => return self.probes_unanswered(role, probes).await,
            AtEvent::Resynchronised => return self.port_answers(role).await,
            AtEvent::TerminalEnded => self.terminal_ended(),
            AtEvent::Unsolicited(unsolicited) if unsolicited.urc == Urc::Unknown => {
                if role == self.link.server_of(PortRole::At) {
                    unsolicited
                        .lines
                        .iter()
                        .for_each(|line| self.messages.unknown_line(line));
                }
            }
            AtEvent::Unsolicited(unsolicited) => self.unsolicited(role, unsolicited).await,
        }
        None
    }

    /// Starts work that reports back to a later turn.
    pub(super) fn start(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.work.push(Box::pin(work));
    }

    /// Answers somebody with the outcome of work. It is given up with whoever asked, so that a command that still waits for the
    /// port is never sent for nobody.
    pub(super) fn answer_with<T: Send + 'static>(
        &mut self,
        mut reply: Reply<T>,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) {
        self.start(async move {
            let answer = tokio::select! {
                biased;
                () = reply.closed() => return Done::Answered,
                answer = work => answer,
            };
            let _ = reply.send(answer);
            Done::Answered
        });
    }

    /// Whatever follows from what is known now.
    fn start_message_work(&mut self) {
        if let Some(work) = self.port_map.due(&self.modem.status) {
            self.start(async move { Done::PortMap(work.await) });
        }
        let may_send = self.is_registered() && self.verdict(Wanted::Message) == Verdict::Begin;
        self.messages.hold_back(!may_send);
        for work in self.messages.due() {
            self.work.push(work);
        }
    }

    pub(super) fn path_of(&self, role: PortRole) -> String {
        self.link
            .ports
            .iter()
            .find(|port| port.role == role)
            .map(|port| port.path.clone())
            .unwrap_or_default()
    }

    pub(super) async fn set_port_state(&mut self, role: PortRole, state: PortState, detail: String) {
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

    /// Calls are believed on the port that controls them, all else on the other one; see [`hearing`].
    async fn unsolicited(&mut self, role: PortRole, unsolicited: Unsolicited) {
        let Unsolicited { lines, urc } = unsolicited;
        let believed = if Calls::concerns(&urc) {
            PortRole::AtCalls
        } else {
            PortRole::At
        };
        let (line, now) = (lines.join("\n"), Instant::now());
        if role != self.link.server_of(believed) {
            self.hearing.other(line, urc, now);
        } else if self.hearing.believed(&line, now) {
            self.heard(urc).await;
        }
    }

    async fn heard(&mut self, urc: Urc) {
        if Calls::concerns(&urc) {
            self.call_urc(urc).await;
        } else if let Some(changed) = network::apply_urc(&mut self.modem.network, &mut self.told, &urc) {
            self.network_changed(changed).await;
        } else if let Urc::Ussd(said) = &urc {
            self.ussd_said(said).await;
        } else if urc == Urc::GnssStopped {
            self.gnss_stopped();
        } else if let Urc::SimStatus(status) = &urc {
            self.sim_heard_of(sim::state_of(status)).await;
        } else if urc == Urc::ModuleReady && self.brought_up {
            self.module_restarted().await;
        } else {
            self.messages.urc(urc);
        }
    }

    /// The module restarted behind ports that never closed, over a UART or a network: nothing that was set is certain any
    /// more, so everything from the SIM on is looked at again before a message is read.
    async fn module_restarted(&mut self) {
        self.brought_up = false;
        self.messages.become_unusable();
        self.lose_sim(SimState::Unknown).await;
    }

    async fn enter_stage(&mut self, stage: Stage, detail: String) {
        let waits_for_somebody = stage == Stage::Sim
            && matches!(
                self.modem.sim.state,
                SimState::Absent | SimState::PinRequired | SimState::PukRequired | SimState::Failed
            );
        let status = &mut self.modem.status;
        (status.health, status.health_reason) = if waits_for_somebody {
            (Health::Failed, detail.clone())
        } else {
            (Health::Degraded, format!("coming up: {}", stage.name()))
        };
        self.modem.enter(stage, detail).await;
    }

    /// Why the ports are to be closed, if they are.
    async fn progress(&mut self, progress: Progress) -> Option<End> {
        match progress {
            Progress::Stage(stage, detail) => self.enter_stage(stage, detail).await,
            Progress::Identity {
                manufacturer,
                model,
                revision,
                imei,
            } => {
                if let Some(wanted) = self.modem.setup.config.imei.clone().filter(|wanted| *wanted != imei) {
                    self.modem.identified(&imei);
                    return Some(End::WrongModem(format!(
                        "the modem here has the IMEI {imei}, the configuration wants {wanted}"
                    )));
                }
                self.modem.identified(&imei);
                self.recovered().await;
                self.modem.composition_reached();
                let status = &mut self.modem.status;
                (status.manufacturer, status.model, status.revision, status.imei) =
                    (manufacturer, model, revision, imei);
                self.start_gnss();
            }
            Progress::Sim(sim) => {
                self.messages.set_sim(&sim);
                if self.modem.sim != sim {
                    self.modem.sim = sim;
                    self.modem.recorder.record(Change::Sim(self.modem.sim.clone())).await;
                }
            }
            Progress::Carrier(carrier) => self.modem.status.carrier = Some(carrier),
            Progress::MessagesReady => self.messages.become_usable(),
            Progress::Degraded(stage, reason) => self.degraded(stage, reason).await,
            Progress::Restored(stage) => self.restored(stage).await,
            Progress::SimLost => {
                self.brought_up = false;
                self.messages.become_unusable();
                self.alarms.forget();
                self.modem.status.carrier = None;
                // What is wrong with the module itself is still wrong.
                let of_the_module = |known: &Degradation| known.stage < Stage::Sim;
                self.modem.status.degradations.retain(of_the_module);
            }
            Progress::Finished => {
                self.brought_up = true;
                self.settle_ports();
                // A call that was there before the ports were opened has not been reported.
                self.list_calls();
                if self.is_registered() {
                    self.become_ready().await;
                } else {
                    self.registration_lost().await;
                }
            }
            Progress::Port(role, state, detail) => self.set_port_state(role, state, detail).await,
            Progress::Registration(domain, state) => {
                let changed = network::set_registration(&mut self.modem.network, domain, state);
                self.network_changed(changed).await;
            }
        }
        None
    }

    async fn done(&mut self, done: Done) -> Option<End> {
        match done {
            Done::BringUp(error @ bring_up::BringUpError::Refused(..)) => {
                return self.refused(error.to_string()).await;
            }
            Done::BringUp(error) => return Some(End::Gone(error.to_string())),
            Done::Recovery(done) => return self.recovery_done(done).await,
            Done::Composition(done) => return self.composition_done(done).await,
            Done::Sim(outcome) => self.sim_operated(*outcome).await,
            Done::PortMap(written) => self.port_map.done(written),
            Done::Call(done) => self.call_done(done).await,
            Done::Message(done) => {
                self.messages.done(done);
                self.assess_storages().await;
            }
            Done::Bearer(done) => self.bearer_done(done).await,
            Done::Service(done) => self.service_done(done).await,
            Done::Network(reading, reply) => self.status_read(reading, reply).await,
            Done::Ussd(done) => self.ussd_done(done).await,
            Done::Answered => {}
        }
        None
    }

    async fn request(&mut self, request: Request) {
        match request {
            Request::Dial {
                number,
                request_id,
                content_hash,
                emergency,
                reply,
            } => self.dial(number, request_id, content_hash, emergency, reply),
            Request::Answer { call_id, reply } => self.answer(call_id.as_deref(), reply),
            Request::HangUp { call_id, reject, reply } => self.hang_up(call_id.as_deref(), reject, reply),
            Request::Hold { call_id, reply } => self.hold(call_id.as_deref(), reply),
            Request::Resume { call_id, reply } => self.resume(call_id.as_deref(), reply),
            Request::SetRecording {
                call_id,
                enabled,
                reply,
            } => self.set_recording(call_id.as_deref(), enabled, reply).await,
            Request::GetForwarding { reply } => self.get_forwarding(reply),
            Request::SetForwarding { forwarding, reply } => self.set_forwarding(forwarding, reply),
            Request::SendDtmf { call_id, tones, reply } => self.send_dtmf(call_id.as_deref(), &tones, reply),
            Request::Attach {
                call_id,
                answer,
                options,
                reply,
            } => self.attach(&call_id, answer, options, reply),
            Request::Monitor { call_id, rate, reply } => self.monitor(&call_id, rate, reply),
            Request::MessageQueued => self.messages.queued(),
            Request::StartUssd {
                code,
                request_id,
                content_hash,
                reply,
            } => self.start_ussd(&code, request_id, content_hash, reply),
            Request::ReplyUssd {
                session_id,
                text,
                reply,
            } => self.reply_ussd(&session_id, &text, reply).await,
            Request::CancelUssd { session_id, reply } => self.cancel_ussd(&session_id, reply).await,
            Request::OpenTerminal { idle, reply } => self.open_terminal(idle, reply),
            Request::GetFix { reply } => self.get_fix(reply),
            Request::Execute { command, reply } => {
                let at = self.link.at.clone();
                let work = async move { at.execute(Lane::Background, command).await.map_err(Refusal::from) };
                self.answer_with(reply, work);
            }
            Request::Reset { reply, .. } => self.reset(reply),
            Request::SetFunctionality { level, reply } => self.set_functionality(level, reply),
            Request::SwitchComposition { product, reply } => self.switch_composition(product, Some(reply)),
            Request::RefreshNetwork { reply } => self.read_status(Some(reply)),
            Request::ScanOperators { reply } => self.scan_operators(reply),
            Request::SelectOperator {
                plmn,
                technology,
                reply,
            } => self.select_operator(plmn, technology, reply),
            Request::SetNetworkModes { technologies, reply } => self.set_network_modes(technologies, reply),
            Request::ConnectBearer {
                apn,
                default_route,
                reply,
            } => self.connect_data(apn, default_route, reply).await,
            Request::DisconnectBearer { reply } => self.disconnect_data(reply).await,
            Request::OperateSim {
                operation,
                spend_last_attempt,
                reply,
            } => self.operate_sim(operation, spend_last_attempt, reply),
            Request::RestartSim { reply } => self.restart_sim(reply),
            Request::AskQmi { requests, reply } => self.ask_qmi(requests, reply),
            Request::CheckStorage { reply } => self.messages.report_storages(reply),
        }
    }

    async fn deadline(&mut self) -> Option<End> {
        if Instant::now() >= self.next_status {
            self.next_status = Instant::now() + STATUS_INTERVAL;
            if self.brought_up && !self.status_pending {
                self.read_status(None);
            }
            self.messages.sweep_if_due();
        }
        self.call_deadline().await;
        self.ussd_deadline().await;
        self.recovery_due().await
    }
}
