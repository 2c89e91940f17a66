//! What the broker tells about: plain values that the actor produces, the store keeps and the server converts.
//!
//! An [`Event`] carries the whole resource after the change, so a reader never has to ask again. These values are written
//! to disk as JSON inside the journal: a field may be added with a `#[serde(default)]`, and none may change its meaning.

mod data;
mod message;
mod wan;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::message::{
    ApplicationPorts, InformationElement, Message, MessageDirection, MessageEncoding, MessageState, MessageWaiting,
    Priority, WaitingKind,
};
pub use data::{Bearer, BearerState, Ims, ImsRegistration, ImsService, Persistence};
pub use wan::{DataUsage, PrimaryState, ProbeResult, WanMode, WanRole, WanStatus};

/// Position in the journal. Grows from event to event and is never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the journal.
    pub sequence: Sequence,
    /// When it happened.
    pub time: Timestamp,
    /// The modem it is about.
    pub modem: String,
    /// What changed.
    pub change: Change,
}

/// The resource after a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A modem's stage, health or ports.
    Modem(ModemStatus),
    /// A SIM.
    Sim(Sim),
    /// A short message.
    Message(Message),
    /// A call.
    Call(Call),
    /// Registration, operator, technology or signal.
    Network(NetworkStatus),
    /// A USSD session.
    Ussd(UssdSession),
    /// The choice of the WAN.
    Wan(WanStatus),
    /// The data bearer.
    Bearer(Bearer),
    /// A tone was received in a call.
    Dtmf(Dtmf),
}

/// Kinds of changes, for filters. The numbers are the contract's `EventKind` and are stored in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ChangeKind {
    /// [`Change::Modem`].
    Modem = 1,
    /// [`Change::Sim`].
    Sim = 2,
    /// [`Change::Message`].
    Message = 3,
    /// [`Change::Call`].
    Call = 4,
    /// [`Change::Network`].
    Network = 5,
    /// [`Change::Ussd`].
    Ussd = 6,
    /// [`Change::Wan`].
    Wan = 7,
    /// [`Change::Bearer`].
    Bearer = 8,
    /// [`Change::Dtmf`].
    Dtmf = 9,
}

impl Change {
    /// The kind, for filters.
    pub fn kind(&self) -> ChangeKind {
        match self {
            Change::Modem(_) => ChangeKind::Modem,
            Change::Sim(_) => ChangeKind::Sim,
            Change::Message(_) => ChangeKind::Message,
            Change::Call(_) => ChangeKind::Call,
            Change::Network(_) => ChangeKind::Network,
            Change::Ussd(_) => ChangeKind::Ussd,
            Change::Wan(_) => ChangeKind::Wan,
            Change::Bearer(_) => ChangeKind::Bearer,
            Change::Dtmf(_) => ChangeKind::Dtmf,
        }
    }
}

/// How far a modem came up. Stages are passed in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// No device, or its ports cannot be opened.
    #[default]
    Absent,
    /// The ports are being opened.
    Enumerated,
    /// The AT ports are being probed.
    Probing,
    /// Manufacturer, model, revision and IMEI are being read.
    Identifying,
    /// Waiting for the SIM.
    Sim,
    /// The carrier is being found.
    Carrier,
    /// The contexts are being compared with the carrier's.
    Contexts,
    /// Storage and reporting are being configured.
    Configuring,
    /// Waiting for the network.
    Registering,
    /// Voice over LTE is being switched on.
    Volte,
    /// The message storage is being checked.
    Sms,
    /// Reports of calls and the audio port are being checked.
    Voice,
    /// The packet data context is being activated.
    Data,
    /// Calls, messages and status work.
    Ready,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Stage; 14] = [
        Stage::Absent,
        Stage::Enumerated,
        Stage::Probing,
        Stage::Identifying,
        Stage::Sim,
        Stage::Carrier,
        Stage::Contexts,
        Stage::Configuring,
        Stage::Registering,
        Stage::Volte,
        Stage::Sms,
        Stage::Voice,
        Stage::Data,
        Stage::Ready,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Absent => "absent",
            Stage::Enumerated => "enumerated",
            Stage::Probing => "probing",
            Stage::Identifying => "identifying",
            Stage::Sim => "SIM",
            Stage::Carrier => "carrier",
            Stage::Contexts => "contexts",
            Stage::Configuring => "configuring",
            Stage::Registering => "registering",
            Stage::Volte => "VoLTE",
            Stage::Sms => "SMS",
            Stage::Voice => "voice",
            Stage::Data => "data",
            Stage::Ready => "ready",
        }
    }
}

/// Where what is known of a carrier comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CarrierSource {
    /// The configuration, at least in part.
    Configured,
    /// The broker's own table.
    BuiltIn,
    /// The database of mobile-broadband-provider-info.
    Package,
    /// Nowhere: the module's own settings stay.
    #[default]
    Fallback,
}

/// The carrier that issued a SIM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carrier {
    /// Its name.
    pub name: String,
    /// Its country; empty when it is not known.
    pub country: String,
    /// MCC and MNC.
    pub plmn: String,
    /// Access point name for data; empty: the network chooses.
    pub data_apn: String,
    /// Access point name of the IMS.
    pub ims_apn: String,
    /// Where this comes from.
    pub source: CarrierSource,
    /// The service provider's name on the SIM.
    pub service_provider_name: String,
}

/// Something that does not work although the modem came up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degradation {
    /// The stage that it was noticed in.
    pub stage: Stage,
    /// The evidence, and what to do.
    pub reason: String,
}

/// A verdict about a modem as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Everything asked lately was answered.
    #[default]
    Ok,
    /// It works, with a limitation.
    Degraded,
    /// It does not work.
    Failed,
}

/// A modem as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModemStatus {
    /// The configured name.
    pub name: String,
    /// How far it came up.
    pub stage: Stage,
    /// What the stage waits for, in words for people.
    pub stage_detail: String,
    /// When the stage was entered.
    pub stage_time: Timestamp,
    /// The verdict.
    pub health: Health,
    /// Evidence of a verdict other than OK, and what to do.
    pub health_reason: String,
    /// `AT+CGMI`.
    pub manufacturer: String,
    /// `AT+CGMM`.
    pub model: String,
    /// `AT+CGMR`.
    pub revision: String,
    /// `AT+CGSN`.
    pub imei: String,
    /// USB product id in hexadecimal; empty for ports named in the configuration.
    pub composition: String,
    /// The USB path in sysfs; empty for ports named in the configuration.
    pub usb_path: String,
    /// The ports.
    pub ports: Vec<Port>,
    /// The carrier, once it was found.
    #[serde(default)]
    pub carrier: Option<Carrier>,
    /// What does not work although the modem came up.
    #[serde(default)]
    pub degradations: Vec<Degradation>,
}

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortRole {
    /// Qualcomm diagnostics; never opened.
    Diagnostics,
    /// NMEA sentences.
    Nmea,
    /// Messages and status.
    At,
    /// Calls.
    AtCalls,
    /// PCM.
    Audio,
    /// QMI control.
    Qmi,
}

/// What the broker does with a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// Not used.
    #[default]
    Unused,
    /// The device node is missing.
    Missing,
    /// Somebody else holds it.
    Held,
    /// Held and answering.
    Open,
    /// Held, but it does not answer.
    Silent,
    /// It failed with an error of the operating system.
    Failed,
}

/// A port of a modem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// What it is for.
    pub role: PortRole,
    /// What the broker does with it.
    pub state: PortState,
    /// Path of the node, or `tcp:HOST:PORT`.
    pub path: String,
    /// Who holds it, or the error.
    pub detail: String,
    /// When the state was entered.
    pub state_time: Timestamp,
}

/// State of a SIM (27.007 8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimState {
    /// Not read yet.
    #[default]
    Unknown,
    /// No SIM.
    Absent,
    /// Starting.
    Busy,
    /// Waits for the PIN.
    PinRequired,
    /// Waits for the PUK.
    PukRequired,
    /// Ready.
    Ready,
    /// Failed.
    Failed,
}

/// A SIM.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sim {
    /// Its state.
    pub state: SimState,
    /// Card identifier.
    pub iccid: String,
    /// Subscriber identity.
    pub imsi: String,
    /// Home network.
    pub home_plmn: String,
    /// The subscriber's own numbers.
    pub own_numbers: Vec<String>,
    /// Attempts left for the PIN.
    pub pin_attempts_left: Option<u32>,
    /// Attempts left for the PUK.
    pub puk_attempts_left: Option<u32>,
    /// Whether the PIN is asked for at power-on, when it was read.
    #[serde(default)]
    pub pin_lock_enabled: Option<bool>,
}

/// Which side made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallDirection {
    /// We were called.
    Incoming,
    /// We called.
    Outgoing,
}

/// State of a call (27.007 7.18) and the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Active.
    Active,
    /// Held.
    Held,
    /// Outgoing: dialing.
    Dialing,
    /// Outgoing: the other side rings.
    Alerting,
    /// Incoming: ringing.
    Incoming,
    /// Incoming beside another call.
    Waiting,
    /// Over.
    Disconnected,
}

/// Why a call ended. The contract's `CallEndCause` says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallEndCause {
    /// A client hung up.
    Local,
    /// The other side hung up.
    Remote,
    /// Busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// Not answered by us.
    Missed,
    /// Rejected by a client.
    Rejected,
    /// Never set up.
    NotConnected,
    /// The modem went away.
    Lost,
    /// No client owned it any more.
    Abandoned,
}

/// How a call's audio is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallAudio {
    /// Not open.
    #[default]
    Off,
    /// PCM flows.
    On,
    /// PCM flows after refused attempts.
    Degraded,
    /// Could not be opened.
    Failed,
}

/// Counters of a call's audio since PCM was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AudioStatistics {
    /// Samples read from the modem.
    pub downlink_samples: u64,
    /// The same in frames of 20 ms.
    pub downlink_read_frames: u64,
    /// Samples written, silence included.
    pub uplink_samples: u64,
    /// Frames delivered to the owner.
    pub downlink_frames: u64,
    /// Frames written, silence included.
    pub uplink_frames: u64,
    /// Frames of silence because nothing was queued.
    pub uplink_silence_frames: u64,
    /// Times the uplink ran dry in the middle of audio.
    pub uplink_underruns: u64,
    /// Samples dropped because the owner did not read in time.
    pub downlink_dropped_samples: u64,
    /// Samples refused because the queue was full.
    pub uplink_dropped_samples: u64,
    /// Jumps in the downlink's sample index.
    pub downlink_discontinuities: u64,
    /// Audio waiting in the uplink queue.
    pub uplink_queued_ms: u32,
    /// Attempts that `AT+CPCMREG=1` took.
    pub pcm_open_attempts: u32,
    /// Frames that were due while the modem took nothing.
    pub uplink_write_stalls: u64,
    /// Writes of which the modem took a part only.
    pub uplink_partial_writes: u64,
    /// Silence within interrupted audio.
    pub uplink_underrun_ms: u64,
    /// Frames left out for a live sender with a faster clock, or because they came late.
    pub uplink_drift_dropped_frames: u64,
    /// Frames put in for a live sender with a slower clock.
    pub uplink_drift_inserted_frames: u64,
    /// Reads shorter than a frame.
    pub downlink_short_reads: u64,
    /// The longest time between two reads.
    pub downlink_gap_max_ms: u32,
    /// Octets that were lost, each noticed and healed.
    pub downlink_byte_slips: u64,
    /// The modem's clock against the broker's.
    pub downlink_rate_ppm: i32,
    /// Samples at either end of the scale, in a million.
    pub downlink_clipped_ppm: u32,
    /// The same to the network.
    pub uplink_clipped_ppm: u32,
    /// Level; `None` for digital silence.
    pub downlink_rms_dbov: Option<f32>,
    /// The same to the network.
    pub uplink_rms_dbov: Option<f32>,
    /// How late the latest frame went out.
    pub pacing_lateness_max_us: u32,
    /// From the last clear to the drop of what it meant.
    pub clear_latency_us: u32,
    /// Octets that the driver held at most.
    pub driver_queue_max_bytes: u32,
    /// Frames that slow listeners lost.
    pub listener_dropped_frames: u64,
}

/// What is wrong with one direction of a call's audio. The contract's `AudioProblem` says what each means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioProblem {
    /// Nothing that is known.
    #[default]
    None,
    /// The modem sends nothing.
    NoAudio,
    /// It sends nothing but zeros.
    DigitalSilence,
    /// It takes nothing.
    NotTaken,
    /// It sends at another rate than it was told.
    WrongRate,
}

/// What is wrong with either direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudioProblems {
    /// From the network.
    pub downlink: AudioProblem,
    /// To the network.
    pub uplink: AudioProblem,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The broker's identifier.
    pub id: String,
    /// The modem.
    pub modem: String,
    /// Which side made it.
    pub direction: CallDirection,
    /// Its state.
    pub state: CallState,
    /// The other side; empty when withheld or not known yet.
    pub number: String,
    /// First ring or dial command.
    pub start_time: Timestamp,
    /// When it became active.
    pub answer_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Why it ended.
    pub end_cause: Option<CallEndCause>,
    /// The modem's own words about the end.
    pub end_detail: String,
    /// RINGs so far.
    pub rings: u32,
    /// The audio path.
    pub audio: CallAudio,
    /// The request that dialled it.
    pub request_id: Option<String>,
    /// Audio counters.
    pub audio_statistics: Option<AudioStatistics>,
    /// The other side's name.
    #[serde(default)]
    pub caller_name: String,
    /// The caller keeps the number back.
    #[serde(default)]
    pub number_withheld: bool,
    /// What is wrong with the audio from the network.
    #[serde(default)]
    pub downlink_problem: AudioProblem,
    /// What is wrong with the audio to the network.
    #[serde(default)]
    pub uplink_problem: AudioProblem,
    /// It is being recorded.
    #[serde(default)]
    pub recording: bool,
    /// The file, once it was recorded.
    #[serde(default)]
    pub recording_file: String,
}

impl Call {
    /// A call that begins now.
    pub fn begin(modem: &str, direction: CallDirection, state: CallState) -> Call {
        Call {
            id: uuid::Uuid::new_v4().to_string(),
            modem: modem.to_owned(),
            direction,
            state,
            number: String::new(),
            start_time: Timestamp::now(),
            answer_time: None,
            end_time: None,
            end_cause: None,
            end_detail: String::new(),
            rings: 0,
            audio: CallAudio::Off,
            request_id: None,
            audio_statistics: None,
            caller_name: String::new(),
            number_withheld: false,
            downlink_problem: AudioProblem::None,
            uplink_problem: AudioProblem::None,
            recording: false,
            recording_file: String::new(),
        }
    }
}

/// When incoming calls are forwarded (27.007 7.11, `<reason>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardingReason {
    /// Always.
    Unconditional,
    /// When busy.
    Busy,
    /// When nobody answers.
    NoReply,
    /// When not reachable.
    NotReachable,
}

impl ForwardingReason {
    /// All of them.
    pub const ALL: [ForwardingReason; 4] = [
        ForwardingReason::Unconditional,
        ForwardingReason::Busy,
        ForwardingReason::NoReply,
        ForwardingReason::NotReachable,
    ];
}

/// A call forwarding. It lives in the network and is never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// When it applies.
    pub reason: ForwardingReason,
    /// Whether it is on.
    pub enabled: bool,
    /// Where calls go.
    pub number: String,
    /// Seconds before an unanswered call is forwarded.
    pub no_reply_s: Option<u8>,
    /// 27.007 7.11 `<classx>`.
    pub classes: u8,
}

/// A tone received in a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dtmf {
    /// The call.
    pub call_id: String,
    /// `0`–`9`, `A`–`D`, `*` or `#`.
    pub tone: char,
}

/// State of a USSD session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UssdState {
    /// The network is to answer.
    Waiting,
    /// The network asked and waits for a reply.
    UserAction,
    /// Over.
    Ended,
}

/// Why a USSD session ended. The contract's `UssdEndCause` says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UssdEndCause {
    /// By the final answer.
    Answered,
    /// By the network.
    Terminated,
    /// The network does not know the code.
    NotSupported,
    /// The network gave up.
    NetworkTimeout,
    /// The network did not answer.
    NoAnswer,
    /// Nobody replied.
    NoReply,
    /// A client cancelled it.
    Cancelled,
    /// A call took the modem.
    Call,
    /// The modem refused it.
    Refused,
    /// The modem or the broker went away.
    Lost,
    /// Another client of the modem answered.
    OtherClient,
    /// A text that the network sent on its own.
    Notification,
}

/// A USSD session. The code that began it is not kept: codes carry vouchers and PINs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UssdSession {
    /// The broker's identifier.
    pub id: String,
    /// The modem.
    pub modem: String,
    /// Its state.
    pub state: UssdState,
    /// The network's last text.
    pub text: String,
    /// Why it ended.
    pub end_cause: Option<UssdEndCause>,
    /// More about the end.
    pub end_detail: String,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// The network began it.
    pub network_initiated: bool,
    /// The request that made it.
    pub request_id: Option<String>,
}

impl UssdSession {
    /// A session that begins now.
    pub fn begin(modem: &str, request_id: Option<String>) -> UssdSession {
        UssdSession {
            id: uuid::Uuid::new_v4().to_string(),
            modem: modem.to_owned(),
            state: UssdState::Waiting,
            text: String::new(),
            end_cause: None,
            end_detail: String::new(),
            start_time: Timestamp::now(),
            end_time: None,
            network_initiated: request_id.is_none(),
            request_id,
        }
    }

    /// Ends it now.
    pub fn end(&mut self, cause: UssdEndCause, detail: impl Into<String>) {
        self.state = UssdState::Ended;
        self.end_cause = Some(cause);
        self.end_detail = detail.into();
        self.end_time = Some(Timestamp::now());
    }
}

/// A position of the GNSS receiver. It is never stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Fix {
    /// Degrees, north positive.
    pub latitude_degrees: f64,
    /// Degrees, east positive.
    pub longitude_degrees: f64,
    /// Above mean sea level.
    pub altitude_m: Option<f64>,
    /// Over ground.
    pub speed_mps: Option<f64>,
    /// Over ground.
    pub course_degrees: Option<f64>,
    /// When, by the satellites.
    pub fix_time: Timestamp,
    /// When the broker heard of it.
    pub receive_time: Timestamp,
    /// Satellites in use.
    pub satellites_used: Option<u32>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f64>,
    /// One standard deviation of the horizontal error.
    pub horizontal_accuracy_m: Option<f64>,
}

/// Registration in a domain (27.007 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationState {
    /// Not registered, not searching.
    NotRegistered,
    /// Home network.
    Home,
    /// Searching.
    Searching,
    /// Denied.
    Denied,
    /// Unknown.
    Unknown,
    /// Roaming.
    Roaming,
}

impl RegistrationState {
    /// Whether service can be had in this domain.
    pub fn is_registered(self) -> bool {
        matches!(self, RegistrationState::Home | RegistrationState::Roaming)
    }
}

/// Radio access technology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessTechnology {
    /// No service.
    NoService,
    /// GSM, GPRS, EDGE.
    Gsm,
    /// UMTS, HSPA.
    Umts,
    /// LTE.
    Lte,
}

/// Signal measures, in the units of the standards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// RSSI in dBm.
    pub rssi_dbm: Option<f64>,
    /// RSRP in dBm.
    pub rsrp_dbm: Option<f64>,
    /// RSRQ in dB.
    pub rsrq_db: Option<f64>,
    /// SINR in dB.
    pub sinr_db: Option<f64>,
    /// When it was measured.
    pub time: Timestamp,
}

/// The serving cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Location or tracking area code.
    pub area_code: Option<u32>,
    /// Cell identity.
    pub cell_id: Option<u64>,
    /// Band as the module names it.
    pub band: String,
    /// Channel number.
    pub channel: Option<u32>,
}

/// What the modem knows of the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// `+CREG`.
    pub circuit_switched: Option<RegistrationState>,
    /// `+CGREG`.
    pub packet_switched: Option<RegistrationState>,
    /// `+CEREG`.
    pub evolved_packet: Option<RegistrationState>,
    /// Operator's name.
    pub operator_name: String,
    /// Operator's MCC and MNC.
    pub operator_plmn: String,
    /// Technology.
    pub technology: Option<AccessTechnology>,
    /// Serving cell.
    pub cell: Cell,
    /// Signal.
    pub signal: Signal,
    /// Registration with the IMS.
    #[serde(default)]
    pub ims: Ims,
    /// Somebody selected the operator.
    #[serde(default)]
    pub manual_selection: Option<bool>,
    /// Technologies that may be used, the preferred one first; empty while that is not known.
    #[serde(default)]
    pub allowed_technologies: Vec<AccessTechnology>,
    /// When it was last read or told.
    pub update_time: Timestamp,
}

impl NetworkStatus {
    fn domains(&self) -> impl Iterator<Item = RegistrationState> {
        [self.circuit_switched, self.packet_switched, self.evolved_packet]
            .into_iter()
            .flatten()
    }

    /// Registered in any domain: a VoLTE-only SIM is denied in the circuit-switched one and works all the same.
    pub fn is_registered(&self) -> bool {
        self.domains().any(RegistrationState::is_registered)
    }

    /// Roaming in any domain.
    pub fn is_roaming(&self) -> bool {
        self.domains().any(|state| state == RegistrationState::Roaming)
    }
}
