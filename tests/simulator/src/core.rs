//! The virtual module and its network as one state machine: bytes, requests and instants go in, bytes and facts come out.
//!
//! Nothing here waits, opens a file or asks for the time, so the same input at the same instants gives the same output.

mod books;
mod call_commands;
mod calls;
pub(crate) mod dhcp;
mod execution;
mod faults;
mod general;
mod gsm_alphabet;
mod hang;
pub(crate) mod internet;
mod line;
mod location;
mod mbim;
mod message_commands;
mod messages;
mod network;
mod pcm;
mod port;
mod ppp;
mod qmi;
mod reply;
mod requests;
mod result_code;
pub(crate) mod router;
mod schedule;
mod settings;
mod sim_card;
mod storage;
mod text_mode;
mod timing;
mod tpdu;
mod usb;
mod ussd;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::civil::DateTime;

use crate::control::{CallAudio, OutgoingPolicy};
pub use books::{
    AudioAccount, Books, CallRecord, CommandRecord, DataCallEnd, DataCallRecord, Delivery, Direction, Fate,
    LeaseRecord, Ledger, SessionRecord, Submit,
};
pub use faults::{AudioFault, Fault, FaultAction, Phase, Trigger};
pub use hang::Cure;
pub(crate) use mbim::MAX_TRANSFER as MBIM_MAX_TRANSFER;
pub use qmi::{ImsRegistration, PacketNetwork};
pub use result_code::Code;
pub use sim_card::PinState;
pub use timing::Timing;
pub use usb::{Composition, Function, Interface, VENDOR};

use port::{AtPort, PortId};
use schedule::{Action, Boot, Return, Schedule};
use timing::{Delays, Random};

/// What a virtual module is like when it is switched on for the first time.
#[derive(Debug, Clone)]
pub struct Config {
    /// Makes the drawn delays repeatable.
    pub seed: u64,
    /// IMEI, 15 digits.
    pub imei: String,
    /// IMSI of the SIM.
    pub imsi: String,
    /// ICCID of the SIM.
    pub iccid: String,
    /// The SIM's own number, as `AT+CNUM` shows it.
    pub own_number: String,
    /// Length of the MNC in EF_AD; 0 for an old SIM whose file ends before it.
    pub mnc_length: u8,
    /// EF_SPN, in the default alphabet; empty: the SIM does not have the file.
    pub service_provider_name: String,
    /// EF_GID1 in hexadecimal; empty: the SIM does not have the file.
    pub group_identifier: String,
    /// The SIM asks for this PIN.
    pub pin: Option<String>,
    /// The PUK that unblocks it.
    pub puk: String,
    /// Service centre on the SIM.
    pub service_centre: String,
    /// Model, as `AT+CGMM` shows it.
    pub model: String,
    /// Firmware, as `AT+CGMR` shows it.
    pub revision: String,
    /// The firmware knows `AT+CEVOLTE`, which most do not.
    pub volte_switch: bool,
    /// Name of the operator.
    pub operator: String,
    /// MCC and MNC as digits.
    pub plmn: String,
    /// Composition at the first power-on.
    pub composition: Composition,
    /// Begins as a disk with drivers for other systems (ZeroCD), as some modules do until they are told to switch.
    pub storage_mode: bool,
    /// What happens to calls that the host makes.
    pub outgoing: OutgoingPolicy,
    /// `AT+CPCMREG=0` without its second value answers `ERROR`, as firmware V2 does.
    pub strict_pcm_off: bool,
    /// Wall clock at the start.
    pub epoch: jiff::Timestamp,
    /// Offset of the network's local time in quarters of an hour.
    pub quarters: i8,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            imei: "867584030000017".to_owned(),
            imsi: "001010000000001".to_owned(),
            iccid: "8900101000000000017".to_owned(),
            own_number: "+447700900001".to_owned(),
            mnc_length: 2,
            service_provider_name: String::new(),
            group_identifier: String::new(),
            pin: None,
            puk: "12345678".to_owned(),
            service_centre: "+447700900999".to_owned(),
            model: "SIMCOM_SIM7600G-H".to_owned(),
            revision: "LE20B04SIM7600G22".to_owned(),
            volte_switch: false,
            operator: "Test Network".to_owned(),
            plmn: "00101".to_owned(),
            composition: Composition::DEFAULT,
            storage_mode: false,
            outgoing: OutgoingPolicy::default(),
            strict_pcm_off: false,
            epoch: jiff::Timestamp::UNIX_EPOCH,
            quarters: 0,
        }
    }
}

/// What the state machine asks of its surroundings.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Bytes for the host.
    Bytes {
        /// On this port.
        port: Function,
        /// These.
        bytes: Vec<u8>,
    },
    /// The device appears on the bus.
    Attached {
        /// With these interfaces.
        composition: Composition,
        /// The host gives its nodes other numbers than before.
        renumber: bool,
    },
    /// The device vanishes from the bus.
    Detached,
    /// The device stays on the bus without its interfaces.
    Deauthorized,
    /// PCM begins to flow.
    AudioOn(AudioFlow),
    /// PCM stops.
    AudioOff,
    /// The flow goes wrong in this way from now on.
    AudioFault(AudioFault),
    /// The other party's keys sound in the downlink.
    AudioTones(String),
    /// A program of the host is killed.
    Kill {
        /// Its process id.
        pid: u32,
    },
}

/// A flow of PCM.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioFlow {
    /// The call in the books.
    pub call: u64,
    /// What the other party says.
    pub source: CallAudio,
    /// Where to write what the host says.
    pub record: Option<PathBuf>,
    /// 8000 or 16000.
    pub sample_rate: u32,
    /// How it goes wrong.
    pub fault: AudioFault,
}

/// A request that could not be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(
    /// Why, as a fragment.
    pub String,
);

/// The virtual module and its network.
#[derive(Debug)]
pub struct Modem {
    config: Config,
    delays: Delays,
    random: Random,
    started: Instant,
    now: Instant,
    outputs: VecDeque<Output>,
    schedule: Schedule,
    ports: [AtPort; 2],
    attached: bool,
    renumber: bool,
    composition: Composition,
    /// Set by `AT+CUSBPIDSWITCH`, in force after the next enumeration.
    next_composition: Composition,
    settings: settings::Settings,
    script: faults::Script,
    hangs: hang::Hangs,
    /// Switched off by the host: no authorisation or no power.
    switched_off: bool,
    books: Books,
    sim: sim_card::SimCard,
    network: network::Network,
    calls: Vec<calls::Call>,
    telephony: calls::Telephony,
    pcm: pcm::Pcm,
    messages: messages::Messages,
    location: location::Location,
    ussd: ussd::Ussd,
    qmi: qmi::Qmi,
    mbim: mbim::Mbim,
    data_call: Option<ppp::DataCall>,
    packet: PacketNetwork,
    /// What the IMS grants; registered if nothing was said.
    ims_granted: Option<ImsRegistration>,
    general: general::General,
}

impl Modem {
    /// A module without power. [`Modem::plug`] switches it on.
    pub fn new(now: Instant, timing: Timing, config: Config) -> Self {
        Self {
            delays: Delays::of(timing),
            random: Random::new(config.seed),
            started: now,
            now,
            outputs: VecDeque::new(),
            schedule: Schedule::default(),
            ports: [AtPort::new(), AtPort::new()],
            attached: false,
            renumber: false,
            composition: first_composition(&config),
            next_composition: first_composition(&config),
            settings: settings::Settings::initial(),
            script: faults::Script::default(),
            hangs: hang::Hangs::default(),
            switched_off: false,
            books: Books::default(),
            sim: sim_card::SimCard::new(&config),
            network: network::Network::new(&config),
            calls: Vec::new(),
            telephony: calls::Telephony::new(config.outgoing.clone()),
            pcm: pcm::Pcm::default(),
            messages: messages::Messages::new(&config),
            location: location::Location::default(),
            ussd: ussd::Ussd::default(),
            qmi: qmi::Qmi::default(),
            mbim: mbim::Mbim::default(),
            data_call: None,
            packet: PacketNetwork::default(),
            ims_granted: None,
            general: general::General::default(),
            config,
        }
    }

    /// The host opened a port.
    pub fn handle_opened(&mut self, port: Function) {
        self.hangs.opened(port);
    }

    /// The host closed a port.
    pub fn handle_closed(&mut self, port: Function, now: Instant) {
        self.now = now;
        self.run_due();
        if port == Function::Modem {
            self.data_port_closed();
        }
    }

    /// How often the host opened each port so far.
    pub fn set_openings(&mut self, openings: BTreeMap<Function, u64>) {
        self.books.openings = openings;
    }

    /// The host switches the authorisation of the device or the power of its port.
    pub fn handle_switch(&mut self, now: Instant, authorized: bool, powered: bool) {
        self.now = now;
        self.run_due();
        let on = authorized && powered;
        if on && self.switched_off {
            self.switched_off = false;
            let after = self.random.within(self.delays.enumerate);
            self.schedule.at(self.now + after, Action::Arrive);
        } else if !on && !self.switched_off {
            self.switched_off = true;
            let back = powered.then_some(Return::Authorization);
            self.schedule.at(self.now, Action::Leave { back });
        }
        self.run_due();
    }

    /// Gives it power and a bus.
    pub fn plug(&mut self, now: Instant) {
        self.now = now;
        if !self.attached {
            self.schedule.at(now, Action::Arrive);
        }
        self.run_due();
    }

    /// Takes bytes that the host wrote to a port.
    pub fn handle_input(&mut self, port: Function, now: Instant, bytes: &[u8]) {
        self.now = now;
        self.run_due();
        if !self.attached {
            return;
        }
        match PortId::of(port) {
            Some(port) => self.at_input(port, bytes),
            None if port == Function::Qmi => self.qmi_input(bytes),
            None if port == Function::Mbim => self.mbim_input(bytes),
            None => {}
        }
        self.run_due();
    }

    /// Takes what a finished flow of PCM moved.
    pub fn handle_audio_account(&mut self, call: u64, account: AudioAccount) {
        if let Some(record) = self.books.call(call) {
            record.audio.get_or_insert_default().add(&account);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.run_due();
    }

    /// The next thing that the surroundings should do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Modem::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.schedule.next_due()
    }

    /// The ledger of the network.
    pub fn books(&self) -> &Books {
        &self.books
    }

    fn run_due(&mut self) {
        while let Some(action) = self.schedule.pop_due(self.now) {
            self.act(action);
        }
        self.qmi_follows_card();
        self.mbim_follows();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Finish { port, epoch, reply } => self.finish_due(port, epoch, reply),
            Action::Effect { port, epoch, effect } => self.effect_due(port, epoch, effect),
            Action::Boot(stage) => self.boot(stage),
            Action::Leave { back } => self.leave(back),
            Action::Arrive => self.arrive(),
            Action::Reappear => self.reappear(),
            Action::Registered { generation } => self.registered(generation),
            Action::Ring { call } => self.ring_again(call),
            Action::Progress { call, step } => self.call_progress(call, step),
            Action::RemoteHangUp { call } => self.remote_hang_up(call),
            Action::Deliver => self.deliver_next(),
            Action::AcknowledgeTimeout { delivery } => self.acknowledge_timeout(delivery),
            Action::Report { submit } => self.report_submit(submit),
            Action::Ussd { text, mode, generation } => self.ussd_due(&text, mode, generation),
            Action::Nmea { generation } => self.nmea_due(generation),
            Action::Unsolicited { line } => self.unsolicited(&line),
            Action::Session { id } => self.session_due(id),
            Action::MbimSession { id } => self.mbim_session_due(id),
            Action::DataState { context } => self.enter_data_state(context),
            Action::DataCall => self.data_call_due(),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Local time of the network and its offset in quarters of an hour.
    fn local_time(&self) -> (DateTime, i8) {
        let quarters = self.config.quarters;
        let elapsed = self.now.saturating_duration_since(self.started);
        let utc = self.config.epoch.saturating_add(elapsed).unwrap_or(self.config.epoch);
        let offset = jiff::tz::Offset::from_seconds(i32::from(quarters) * 900).unwrap_or(jiff::tz::Offset::UTC);
        (offset.to_datetime(utc), quarters)
    }

    fn port(&mut self, port: PortId) -> &mut AtPort {
        match port {
            PortId::At => &mut self.ports[0],
            PortId::Modem => &mut self.ports[1],
        }
    }

    /// Bytes for the host, unless the port is silent or gone.
    fn emit(&mut self, port: Function, bytes: &[u8]) {
        let now = self.now;
        let silent = self.hangs.hangs(port)
            || PortId::of(port).is_some_and(|port| self.port(port).silent_until.is_some_and(|until| now < until));
        if bytes.is_empty() || silent || !self.attached {
            return;
        }
        if let Some(Output::Bytes {
            port: last,
            bytes: pending,
        }) = self.outputs.back_mut()
            && *last == port
        {
            pending.extend_from_slice(bytes);
            return;
        }
        self.outputs.push_back(Output::Bytes {
            port,
            bytes: bytes.to_vec(),
        });
    }

    /// A line on every port that gets unsolicited result codes (`AT+CATR`) and is in the command state.
    fn unsolicited(&mut self, line: &str) {
        let about_calls = ["+CLCC", "VOICE CALL", "MISSED_CALL"];
        if self.telephony.muted && about_calls.iter().any(|prefix| line.starts_with(prefix)) {
            return;
        }
        if self.script.loses(line) {
            return;
        }
        self.unsolicited_lines(&[line.to_owned()]);
    }

    fn unsolicited_lines(&mut self, lines: &[String]) {
        let ports: &[Function] = match self.settings.number("+CATR", 0) {
            0 => &[Function::At, Function::Modem],
            2 => &[Function::Modem],
            3 => &[Function::At],
            _ => &[],
        };
        let text = format!("\r\n{}\r\n", lines.join("\r\n"));
        let present: Vec<Function> = self
            .composition
            .interfaces()
            .iter()
            .map(|interface| interface.function)
            .collect();
        let in_data_state = |port: &Function| PortId::of(*port).is_some_and(|port| self.is_in_data_state(port));
        let heard = |port: &&Function| present.contains(port) && !in_data_state(port);
        let heard: Vec<&Function> = ports.iter().filter(heard).collect();
        for port in heard {
            self.emit(*port, text.as_bytes());
        }
    }

    /// The ports vanish: a pulled cable, a reset, a change of the composition.
    fn leave(&mut self, back: Option<Return>) {
        if !self.attached {
            return;
        }
        self.attached = false;
        self.books.detachments += 1;
        self.end_all_calls("modem lost");
        self.end_data_call(DataCallEnd::CarrierLost);
        self.schedule
            .cancel(|action| !matches!(action, Action::Report { .. } | Action::RemoteHangUp { .. }));
        for port in PortId::ALL {
            self.port(port).reset();
        }
        self.power_down_messages();
        let kept = ["+CNMI", "+CNMP"].map(|name| (name, [0, 1, 2, 3, 4].map(|at| self.settings.number(name, at))));
        self.settings = settings::Settings::initial();
        for (name, values) in kept {
            for (position, value) in values.into_iter().enumerate() {
                self.settings.set(name, position, value);
            }
        }
        self.sim.power_down();
        self.network.power_down();
        self.pcm.power_down();
        self.location.stop();
        self.ussd = ussd::Ussd::default();
        self.qmi = qmi::Qmi::default();
        self.mbim = mbim::Mbim::default();
        self.general = general::General::default();
        self.outputs.push_back(if back == Some(Return::Authorization) {
            Output::Deauthorized
        } else {
            Output::Detached
        });
        self.hangs.cure(match back {
            None | Some(Return::After(_)) => Cure::Power,
            Some(Return::Reset | Return::Enumeration) => Cure::Reset,
            Some(Return::Authorization) => Cure::Usb,
        });
        let after = match back {
            None | Some(Return::Authorization) => return,
            Some(Return::Reset) => self.random.within(self.delays.reset),
            Some(Return::Enumeration) => self.random.within(self.delays.enumerate),
            Some(Return::After(ms)) => Duration::from_millis(ms),
        };
        self.schedule.at(self.now + after, Action::Arrive);
    }

    /// The device leaves the bus and comes back while the module goes on, as was seen at the set-up of calls.
    fn reenumerate(&mut self, ms: u64, renumber: bool) {
        if !self.attached {
            return;
        }
        self.attached = false;
        self.renumber = renumber;
        self.books.detachments += 1;
        self.end_data_call(DataCallEnd::PortClosed);
        for port in PortId::ALL {
            self.port(port).reset();
        }
        self.pcm.flowing = None;
        self.outputs.push_back(Output::Detached);
        self.schedule.at(self.now + Duration::from_millis(ms), Action::Reappear);
    }

    fn reappear(&mut self) {
        if self.attached || self.switched_off {
            return;
        }
        self.attached = true;
        self.outputs.push_back(Output::Attached {
            composition: self.composition,
            renumber: std::mem::take(&mut self.renumber),
        });
        self.update_audio();
    }

    fn arrive(&mut self) {
        if self.attached || self.switched_off {
            return;
        }
        self.schedule.cancel(|action| matches!(action, Action::Arrive));
        self.attached = true;
        self.composition = self.next_composition;
        let renumber = std::mem::take(&mut self.renumber);
        self.outputs.push_back(Output::Attached {
            composition: self.composition,
            renumber,
        });
        let ready = self.random.within(self.delays.ready);
        self.schedule.at(self.now + ready, Action::Boot(Boot::Ready));
    }

    fn boot(&mut self, stage: Boot) {
        let (delay, next) = match stage {
            Boot::Ready => {
                self.unsolicited("RDY");
                (self.delays.sim, Boot::Sim)
            }
            Boot::Sim => {
                self.sim.power_up();
                self.announce_sim();
                self.sim_became_usable();
                (self.delays.stores, Boot::Messages)
            }
            Boot::Messages => {
                if self.sim.is_ready() {
                    self.messages.ready = true;
                    self.unsolicited("SMS DONE");
                    self.schedule_delivery();
                }
                (self.delays.stores, Boot::Phonebook)
            }
            Boot::Phonebook => {
                if self.sim.is_ready() {
                    self.unsolicited("PB DONE");
                }
                return;
            }
        };
        let after = self.random.within(delay);
        self.schedule.at(self.now + after, Action::Boot(next));
    }
}

fn first_composition(config: &Config) -> Composition {
    if config.storage_mode {
        Composition::STORAGE
    } else {
        config.composition
    }
}
