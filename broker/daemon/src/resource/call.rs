//! Calls, what is heard of them, and forwarding.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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

/// In words that go on from "the call".
impl std::fmt::Display for CallState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CallState::Active => "is active",
            CallState::Held => "is held",
            CallState::Dialing => "is being dialled",
            CallState::Alerting => "rings at the other side",
            CallState::Incoming => "rings and is not answered",
            CallState::Waiting => "waits beside another call",
            CallState::Disconnected => "is over",
        })
    }
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
