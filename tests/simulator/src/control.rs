//! What can be asked of the virtual modem and its network from outside, as data: the library, the control socket and the
//! command line speak these types.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::core::{Books, Fault, Function, ImsRegistration, PacketNetwork, PinState};

/// A request. On the control socket it is one JSON object per line, named by `op`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// The network delivers a text, split into as many parts as it needs.
    DeliverText {
        /// Originating address.
        from: String,
        /// The text.
        text: String,
        /// Class 0: for immediate display.
        #[serde(default)]
        flash: bool,
    },
    /// The network delivers a PDU.
    DeliverPdu {
        /// Hexadecimal, beginning with the service centre as AT commands show it.
        pdu: String,
    },
    /// Somebody calls.
    Ring(RingOptions),
    /// The called party of an outgoing call begins to ring.
    Alert,
    /// The called party answers.
    Answer,
    /// The called party or the network refuses an outgoing call.
    Refuse {
        /// Why.
        cause: Refusal,
    },
    /// The other party hangs up (or a caller gives up).
    HangUp,
    /// The other party sends tones.
    Dtmf {
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digits: String,
        /// How the host hears of them.
        #[serde(default)]
        way: DtmfWay,
    },
    /// What happens to calls that the host makes.
    SetOutgoing {
        /// Only to this number; to all others if absent.
        #[serde(default)]
        number: Option<String>,
        /// This.
        policy: OutgoingPolicy,
    },
    /// Radio conditions; absent values stay.
    SetSignal(Signal),
    /// Registration.
    SetRegistration {
        /// Only this domain; all if absent.
        #[serde(default)]
        domain: Option<Domain>,
        /// From now on.
        state: RegistrationState,
    },
    /// The operator of the cell.
    SetOperator {
        /// Long name.
        name: String,
        /// MCC and MNC as digits.
        plmn: String,
    },
    /// The SIM.
    SetSim {
        /// From now on.
        state: PinState,
    },
    /// Another program takes the SIM's power away by QMI, or gives it back.
    SetSimPower {
        /// It has power.
        on: bool,
    },
    /// Another SIM lies in the holder. Nobody is told of it; a holder that is opened is `set_sim` absent before and ready
    /// afterwards.
    ExchangeSim(Card),
    /// Room of a message storage.
    SetCapacity {
        /// `ME`, `SM` or `SR`.
        storage: String,
        /// Messages.
        capacity: usize,
    },
    /// The network sends a text by USSD on its own.
    Ussd {
        /// The text.
        text: String,
        /// 0 no answer wanted, 1 answer wanted.
        #[serde(default)]
        mode: u8,
    },
    /// What the network does with reports on sent messages.
    SetReports {
        /// TP-ST to report; absent: no report ever comes.
        status: Option<u8>,
    },
    /// Another program gives the module a command on a port of its own; its answer is for nobody here.
    Execute {
        /// The command line, with its `AT`.
        line: String,
    },
    /// Where the receiver is; absent: no fix.
    SetPosition {
        /// Degrees north and east.
        position: Option<(f64, f64)>,
    },
    /// A line on the NMEA port as it is, also a damaged one.
    Nmea {
        /// Without line ends.
        line: String,
    },
    /// An unsolicited line on the ports that get them.
    Unsolicited {
        /// Without line ends.
        line: String,
    },
    /// Adds a fault.
    Inject {
        /// This one.
        fault: Fault,
    },
    /// Lists the faults that are still to strike.
    Faults,
    /// Forgets them.
    ClearFaults,
    /// How the packet side of the network behaves from now on; what is not given goes back to normal.
    SetPacketNetwork(PacketNetwork),
    /// A raw IP packet of the host for the network's DHCP server.
    Lease {
        /// The packet.
        packet: Vec<u8>,
    },
    /// The host asks the network's router what it advertises.
    Solicit,
    /// The network ends every data session, and the data call of the modem port.
    EndSessions {
        /// Layer of the verbose call end reason: 2 the modem, 6 3GPP.
        layer: u16,
        /// Its number there, such as 39, reactivation requested.
        number: u16,
    },
    /// Registration with the IMS; absent: as the registration with LTE is.
    SetIms {
        /// From now on, while the modem is registered.
        registration: Option<ImsRegistration>,
    },
    /// Pulls the cable (and with it the power).
    Unplug,
    /// Puts it back.
    Replug {
        /// The nodes get other numbers than before.
        #[serde(default)]
        renumber: bool,
    },
    /// Cuts the power and gives it back, as somebody at the plug or a relay would.
    PowerCycle,
    /// Tells a module in its storage mode to become a modem, as usb-modeswitch does.
    SwitchMode,
    /// The ledger.
    Books,
    /// State at a glance.
    Status,
    /// What went over the ports after a position, waiting for something to come.
    Transcript {
        /// Return entries with a greater number; 0 is the oldest kept.
        #[serde(default)]
        after: u64,
        /// Only this port.
        #[serde(default)]
        port: Option<Function>,
        /// At most so many.
        #[serde(default = "default_limit")]
        limit: usize,
        /// Wait up to this long for the first entry.
        #[serde(default)]
        wait_ms: u64,
    },
}

const fn default_limit() -> usize {
    1_000
}

/// The answer to a request. On the control socket it is named by `result`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Response {
    /// Done, nothing to tell.
    Done,
    /// The ids of deliveries in the books, one per part.
    Messages {
        /// In the order of the parts.
        ids: Vec<u64>,
    },
    /// The id of a call in the books.
    Call {
        /// Its id.
        id: u64,
    },
    /// Faults still to strike.
    Faults {
        /// In the order of their arrival.
        faults: Vec<Fault>,
    },
    /// A raw IP packet for the host, if there is one.
    Packet {
        /// The packet.
        packet: Option<Vec<u8>>,
    },
    /// The ledger.
    Books {
        /// All of it.
        books: Box<Books>,
    },
    /// State at a glance.
    Status {
        /// All of it.
        status: Box<Status>,
    },
    /// A piece of the transcript.
    Transcript {
        /// In order.
        entries: Vec<TranscriptEntry>,
        /// Ask after this number next.
        next: u64,
    },
    /// It could not be done.
    Error {
        /// Why, as a fragment.
        message: String,
    },
}

/// Another SIM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// IMSI.
    pub imsi: String,
    /// ICCID.
    pub iccid: String,
    /// Its own number.
    #[serde(default)]
    pub own_number: String,
    /// EF_SPN; empty for none.
    #[serde(default)]
    pub service_provider_name: String,
}

/// A caller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RingOptions {
    /// Number; with or without `+`.
    pub from: String,
    /// The number is withheld from the called party.
    pub number_withheld: bool,
    /// The caller's name, where the network knows it.
    pub name: String,
    /// What the caller says.
    pub audio: CallAudio,
    /// Where to write what the host says, as WAV.
    pub record: Option<PathBuf>,
    /// The caller gives up or hangs up after this time, counted from the first ring.
    pub hang_up_after_ms: Option<u64>,
    /// The caller hangs up this long after the answer.
    pub hang_up_after_answer_ms: Option<u64>,
}

/// How the keys of the other party come to the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DtmfWay {
    /// As `+RXDTMF`, with `AT+DDET=1`; nothing is in the audio.
    #[default]
    Reported,
    /// As tones in the audio, 80 ms each.
    InBand,
    /// As both.
    Both,
}

/// What the other party of a call says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallAudio {
    /// Digital silence.
    #[default]
    Silence,
    /// Comfort noise at about -60 dBov.
    Noise,
    /// `s[n] = n mod 65536`, for sample-exact checks.
    Counter,
    /// What the host says comes back.
    Echo,
    /// A WAV file, 8 kHz, 16 bit, mono; silence after its end.
    Wav(PathBuf),
}

/// Why an outgoing call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The called party is busy.
    Busy,
    /// Nobody answers.
    NoAnswer,
    /// The network refuses.
    Rejected,
}

/// What happens to a call that the host makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutgoingPolicy {
    /// It alerts and is answered after the usual times.
    #[default]
    Answer,
    /// It alerts and is answered after this time.
    AnswerAfter {
        /// From alerting.
        ms: u64,
        /// What the called party says.
        #[serde(default)]
        audio: CallAudio,
        /// Where to write what the host says, as WAV.
        #[serde(default)]
        record: Option<PathBuf>,
        /// The called party hangs up this long after the answer.
        #[serde(default)]
        hang_up_after_ms: Option<u64>,
    },
    /// Somebody outside decides.
    Manual,
    /// It fails after this time.
    Refuse {
        /// So.
        cause: Refusal,
        /// From dialling.
        after_ms: u64,
    },
}

/// Radio conditions; absent values stay as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Signal {
    /// `+CSQ` 0-31, 99 unknown.
    pub rssi: Option<u8>,
    /// dBm
    pub rsrp: Option<i16>,
    /// dB
    pub rsrq: Option<i16>,
    /// dB
    pub snr: Option<i16>,
}

/// A registration domain of 27.007.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// `+CREG`
    Cs,
    /// `+CGREG`
    Ps,
    /// `+CEREG`
    Eps,
}

/// `<stat>` of 27.007 clause 7.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationState {
    /// 0
    None,
    /// 1
    #[default]
    Home,
    /// 2
    Searching,
    /// 3
    Denied,
    /// 4
    Unknown,
    /// 5
    Roaming,
}

impl RegistrationState {
    /// The number of 27.007.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Whether the network serves the modem.
    pub fn is_registered(self) -> bool {
        matches!(self, Self::Home | Self::Roaming)
    }
}

/// State at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// The ports are there.
    pub attached: bool,
    /// Product id of the composition, in hexadecimal.
    pub composition: String,
    /// IMEI.
    pub imei: String,
    /// SIM.
    pub sim: PinState,
    /// `AT+CFUN`
    pub functionality: u32,
    /// CS, PS and EPS.
    pub registration: [RegistrationState; 3],
    /// Name of the operator.
    pub operator: String,
    /// MCC and MNC.
    pub plmn: String,
    /// `+CSQ`
    pub rssi: u8,
    /// Calls as `id number state`.
    pub calls: Vec<String>,
    /// Used and capacity by storage.
    pub storages: Vec<(String, usize, usize)>,
    /// Messages that the network holds for the modem.
    pub waiting_messages: usize,
    /// PCM flows.
    pub audio: bool,
    /// Faults still to strike.
    pub faults: usize,
    /// Addresses of the data sessions whose packets can go.
    #[serde(default)]
    pub sessions: Vec<IpAddr>,
    /// The data call of the modem port: its context, the state of the port, the phase of its link.
    #[serde(default)]
    pub data_call: Option<String>,
    /// QMI services, by number, of which somebody wants to hear: messages 5, the card 11.
    #[serde(default)]
    pub qmi_listeners: Vec<u8>,
}

/// The way of bytes on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// From the host to the modem.
    ToModem,
    /// From the modem to the host.
    ToHost,
}

/// Bytes that crossed a port, as text with escapes for what is not printable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptEntry {
    /// Counts from 1.
    pub number: u64,
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// Which port.
    pub port: Function,
    /// Which way.
    pub way: Way,
    /// Escaped as in Rust byte strings.
    pub text: String,
}
