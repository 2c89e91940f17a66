//! The command line.

mod sms;

use std::path::PathBuf;

use api::v1::EventKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::sms::{
    Coding, CodingOptions, DecodeOptions, EncodeOptions, ExportFormat, ExportOptions, Filter, ListOptions, Moment,
    SendOptions, SmsCommand,
};

const EPILOGUE: &str = "\
Examples:
  modemctl status
  modemctl sms send +447700900123 'I am late'
  modemctl watch --kinds message,call
  modemctl call dial +447700900123 --wait

Exit codes: 0 done, 1 failed, 64 wrong usage, 69 the broker cannot be reached. With --json a failure is one line on the standard
error: {\"error\": {\"reason\": ..., \"message\": ...}}.";

/// The heading above what every command takes.
const EVERYWHERE: &str = "For every command";

/// Shows and controls the modems of modem-broker: messages, calls, network and events.
#[derive(Debug, Parser)]
#[command(name = "modemctl", version, after_help = EPILOGUE)]
pub struct Arguments {
    /// How to reach the broker.
    #[command(flatten)]
    pub broker: client::Settings,
    /// The modem, by its name in the broker's configuration. Not needed when there is exactly one.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true,
        global = true,
        help_heading = EVERYWHERE
    )]
    pub modem: String,
    /// One JSON object per line instead of text.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub json: bool,
    /// No colours, as with NO_COLOR set.
    #[arg(long, visible_alias = "no-colour", global = true, help_heading = EVERYWHERE)]
    pub no_color: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows every modem: how far it came up, its health, ports, SIM and network.
    Status(StatusOptions),
    /// Shows what happens, live; survives restarts of the broker.
    Watch(WatchOptions),
    /// Lists what happened, the newest last.
    #[command(after_help = EVENTS_EXAMPLES)]
    Events(EventsOptions),
    /// Short messages.
    #[command(subcommand)]
    Sms(SmsCommand),
    /// Calls.
    #[command(subcommand)]
    Call(CallCommand),
    /// The SIM, its PIN and its PUK.
    Sim(SimOptions),
    /// The module itself: reset, radio, USB composition, ports and recovery.
    #[command(subcommand)]
    Modem(ModemCommand),
    /// Shows registration, operator, technology and signal; connects and disconnects data.
    Network(NetworkOptions),
    /// Shows which way leads to the internet and why; checks it, sets how the modem's data is used, forces a way.
    Wan(WanOptions),
    /// Sends a USSD code, such as *101# for the balance, and shows the network's answer.
    ///
    /// A network that asks gets the replies that were given, then those that are typed. Ctrl-C cancels the session.
    Ussd(UssdOptions),
    /// Shows where the modem is. Its GNSS receiver must be enabled in the broker's configuration.
    Location(LocationOptions),
    /// Runs one AT command, or opens a terminal. The broker's configuration must allow it.
    ///
    /// The terminal has the port for itself until it is left with quit or Ctrl-], or until a call comes in. Lines from a pipe
    /// are sent one after the other, each when the one before was answered.
    At(AtOptions),
    /// Makes one QMI request, or lists the services. The broker's configuration must allow requests (`raw_qmi`).
    ///
    /// Services and messages are numbers such as 0x03 and 0x004f, or libqmi's names: modemctl qmi nas get-signal-info.
    Qmi(QmiOptions),
    /// Shows what crossed the modem's ports lately, for a bug report: without numbers, PINs, texts, PDUs and positions.
    Trace(TraceOptions),
    /// Prints a completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

const EVENTS_EXAMPLES: &str = "\
Examples:
  modemctl events --since 3h
  modemctl events --kinds call --limit 20";

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusOptions {
    /// Waits until every modem is ready; fails after so many seconds.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "120")]
    pub wait: Option<u64>,
}

/// Options of `watch`.
#[derive(Debug, Default, Args)]
pub struct WatchOptions {
    /// Only these kinds, with commas between them.
    #[arg(long, value_delimiter = ',', value_name = "KIND")]
    pub kinds: Vec<Kind>,
    /// Begins with the oldest event that is stored.
    #[arg(long, conflicts_with_all = ["cursor", "consumer"])]
    pub from_beginning: bool,
    /// Begins after this event.
    #[arg(long, value_name = "SEQUENCE", conflicts_with = "consumer")]
    pub cursor: Option<u64>,
    /// Continues where this consumer stopped, and keeps its position in the broker.
    #[arg(long, value_name = "NAME")]
    pub consumer: Option<String>,
    /// Ends after so many events.
    #[arg(long, value_name = "COUNT")]
    pub count: Option<usize>,
}

/// Options of `events`.
#[derive(Debug, Args)]
pub struct EventsOptions {
    /// Only these kinds, with commas between them.
    #[arg(long, value_delimiter = ',', value_name = "KIND")]
    pub kinds: Vec<Kind>,
    /// Only events since this time, or of the last so many hours: 3h, 2026-11-30T08:00.
    #[arg(long, value_name = "TIME", value_parser = sms::past)]
    pub since: Option<Moment>,
    /// Only events after this one, the oldest of them first.
    #[arg(long, value_name = "SEQUENCE", conflicts_with = "since")]
    pub after: Option<u64>,
    /// At most so many, the newest unless --after is given; otherwise 100, and 1000 with --since or --after.
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<usize>,
}

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Modem,
    Sim,
    Message,
    Call,
    Network,
    Ussd,
    Wan,
    Bearer,
    Dtmf,
}

impl From<Kind> for EventKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Modem => Self::Modem,
            Kind::Sim => Self::Sim,
            Kind::Message => Self::Message,
            Kind::Call => Self::Call,
            Kind::Network => Self::Network,
            Kind::Ussd => Self::Ussd,
            Kind::Wan => Self::Wan,
            Kind::Bearer => Self::Bearer,
            Kind::Dtmf => Self::Dtmf,
        }
    }
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// When calls are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ForwardingReason {
    /// Every call.
    Unconditional,
    /// While another call is up.
    Busy,
    /// When nobody answers.
    NoReply,
    /// When the modem is off or has no network.
    NotReachable,
}

/// What to do with calls. Where a call can be named, none is needed if there is only one.
#[derive(Debug, Subcommand)]
pub enum CallCommand {
    /// Dials.
    Dial {
        /// The number.
        #[arg(allow_hyphen_values = true)]
        number: String,
        /// Waits until the other side answers.
        #[arg(long)]
        wait: bool,
        /// How long to wait, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 120, requires = "wait")]
        timeout: u64,
        /// A UUID: the same one never dials twice.
        #[arg(long, value_name = "UUID")]
        request_id: Option<String>,
    },
    /// Answers a call.
    Answer {
        /// The call, or the beginning of its id.
        id: Option<String>,
    },
    /// Rejects a call.
    Reject {
        /// The call, or the beginning of its id.
        id: Option<String>,
    },
    /// Hangs up.
    Hangup {
        /// The call, or the beginning of its id.
        id: Option<String>,
    },
    /// Lists calls, newest first.
    List {
        /// Only calls that are not over.
        #[arg(long)]
        alive: bool,
        /// At most so many.
        #[arg(long, value_name = "COUNT", default_value_t = 50)]
        limit: usize,
    },
    /// Shows one call with everything that is known about it.
    Show {
        /// The call, or the beginning of its id.
        id: Option<String>,
    },
    /// Puts the active call on hold.
    Hold {
        /// The call, or the beginning of its id.
        id: Option<String>,
    },
    /// Takes the held call back.
    Resume {
        /// The call, or the beginning of its id.
        id: Option<String>,
    },
    /// Lets the broker record a call, or end that; `voice.recording.calls` in its configuration has to allow it.
    Recording {
        /// On or off.
        state: Switch,
        /// The call, or the beginning of its id.
        id: Option<String>,
    },
    /// Shows where the network forwards calls, or sets it.
    Forward {
        /// When.
        reason: Option<ForwardingReason>,
        /// Where to: a number, or "off".
        #[arg(requires = "reason", allow_hyphen_values = true)]
        to: Option<String>,
        /// Seconds before an unanswered call is forwarded: 5, 10, 15, 20, 25 or 30.
        #[arg(long, requires = "to")]
        after: Option<u32>,
    },
    /// Sends tones.
    Dtmf {
        /// The tones: 0 to 9, A to D, * and #.
        tones: String,
        /// The call, or the beginning of its id.
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
    /// Records a call into a WAV file: listens, without taking the call's audio from anybody.
    Record {
        /// The call, or the beginning of its id.
        id: Option<String>,
        /// The file.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Ends after so many seconds; otherwise with the call or with Ctrl-C.
        #[arg(long, value_name = "SECONDS")]
        seconds: Option<u64>,
        /// Two channels: the other side left, our side right.
        #[arg(long)]
        stereo: bool,
    },
    /// Plays a WAV file of any format into a call and waits for its end.
    Play {
        /// The file.
        file: PathBuf,
        /// The call, or the beginning of its id.
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        /// Hangs up afterwards. Otherwise the broker does with the call what it is configured to.
        #[arg(long)]
        then_hang_up: bool,
        /// Takes the call's audio from another client.
        #[arg(long)]
        takeover: bool,
    },
}

/// Options of `sim`.
#[derive(Debug, Args)]
pub struct SimOptions {
    /// What to do instead of showing it.
    #[command(subcommand)]
    pub command: Option<SimCommand>,
}

/// What to do with the SIM. A wrong PIN or PUK costs an attempt. Codes that are not given are read from the standard input,
/// one on each line, which keeps them out of the list of processes.
#[derive(Debug, Subcommand)]
pub enum SimCommand {
    /// Shows the SIM.
    Status,
    /// Enters the PIN.
    Pin {
        /// The PIN.
        pin: Option<String>,
        #[command(flatten)]
        attempt: AttemptOptions,
    },
    /// Unblocks the SIM and gives it another PIN.
    Puk {
        /// The PUK.
        #[arg(requires = "new_pin")]
        puk: Option<String>,
        /// The PIN from now on.
        new_pin: Option<String>,
        #[command(flatten)]
        attempt: AttemptOptions,
    },
    /// Changes the PIN.
    Change {
        /// The PIN so far.
        #[arg(requires = "new_pin")]
        pin: Option<String>,
        /// The PIN from now on.
        new_pin: Option<String>,
        #[command(flatten)]
        attempt: AttemptOptions,
    },
    /// Switches the SIM off and on without the module, for a card that hangs. Not during calls.
    Restart,
    /// Turns the PIN check at power-on on or off.
    Lock {
        /// Whether the PIN is asked for.
        state: Lock,
        /// The PIN.
        pin: Option<String>,
        #[command(flatten)]
        attempt: AttemptOptions,
    },
}

/// Whether the PIN is asked for at power-on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lock {
    On,
    Off,
}

/// How far an attempt may go.
#[derive(Clone, Copy, Debug, Args)]
pub struct AttemptOptions {
    /// Goes on also when one attempt is left: if it fails, the SIM is blocked.
    #[arg(long)]
    pub spend_last_attempt: bool,
}

/// What to do with the network or the data bearer.
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Scans for operators. Takes up to three minutes, in which no messages come and go; Ctrl-C aborts it.
    Scan,
    /// Selects an operator, until the module restarts.
    Select {
        /// Its mobile country and network code, such as 26201; auto lets the modem select.
        operator: String,
        /// Only in this technology.
        #[arg(long)]
        technology: Option<Technology>,
    },
    /// Sets the technologies that may be used. The module keeps them.
    Modes {
        /// The preferred one first, such as lte umts; all for all of them.
        #[arg(required = true)]
        technologies: Vec<AllowedTechnology>,
    },
    /// Shows the measures of the signal, oldest first.
    History {
        /// How far back, such as 90m.
        #[arg(long, value_name = "TIME", value_parser = sms::duration)]
        span: Option<jiff::SignedDuration>,
    },
    /// Shows the cells that the modem hears, the carriers of its data, and what its receivers measure.
    Cells,
    /// Shows the data bearer.
    Bearer,
    /// Shows what the present data session has moved, as the module counts it.
    Statistics,
    /// Lists the profiles that the module keeps for data sessions.
    Profiles,
    /// Connects the data bearer, and waits until packets can go.
    Connect {
        /// Access point name for this once; otherwise the configured one or the carrier's.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        apn: String,
    },
    /// Disconnects the data bearer.
    Disconnect,
}

/// Radio access technologies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Technology {
    Gsm,
    Umts,
    Lte,
}

/// Technologies that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AllowedTechnology {
    Gsm,
    Umts,
    Lte,
    All,
}

/// Options of `wan`.
#[derive(Debug, Args)]
pub struct WanOptions {
    /// What to do instead of showing it.
    #[command(subcommand)]
    pub command: Option<WanCommand>,
}

/// What to do with the choice of the way to the internet.
#[derive(Debug, Subcommand)]
pub enum WanCommand {
    /// Probes the primary now. Ends with 0 if it works and with 1 if it does not.
    Check,
    /// Sets how the modem's data is used, until the broker ends.
    Policy {
        /// off: not at all; backup: when the primary fails; standby: the same, kept connected; always-on: always.
        mode: WanPolicy,
    },
    /// Forces a way until it is released.
    Force {
        /// primary, backup (the modem), or release.
        way: ForcedWay,
    },
    /// Shows how much data the modem carried in the current period.
    Usage,
}

/// How the modem's data is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WanPolicy {
    Off,
    Backup,
    Standby,
    AlwaysOn,
}

/// Ways that can be forced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ForcedWay {
    Primary,
    Backup,
    Release,
}

/// What to do with the module.
#[derive(Debug, Subcommand)]
pub enum ModemCommand {
    /// Resets it. It is gone for about 20 s.
    Reset {
        /// Also while a call is alive, which ends it.
        #[arg(long)]
        force: bool,
    },
    /// Switches the radio off and on.
    Functionality {
        /// full: everything on; flight: radio off; minimum: radio and SIM off.
        level: FunctionalityLevel,
    },
    /// Switches the USB composition and waits until the module is back in it.
    Composition {
        /// USB product id, such as 9001.
        product: String,
    },
    /// Lists the ports with what they are for.
    Ports,
    /// Shows what is wrong, what was tried and what comes next.
    Recovery,
}

/// Levels of functionality (27.007 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FunctionalityLevel {
    Minimum,
    Full,
    Flight,
}

/// Options of `network`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct NetworkOptions {
    /// What to do instead of showing the network.
    #[command(subcommand)]
    pub command: Option<NetworkCommand>,
    /// Asks the modem now instead of telling what is known.
    #[arg(long, conflicts_with = "watch")]
    pub refresh: bool,
    /// Shows changes, live.
    #[arg(long)]
    pub watch: bool,
}

/// Options of `ussd`.
#[derive(Debug, Args)]
pub struct UssdOptions {
    /// The code, in quotes, since shells know * and #.
    pub code: String,
    /// Replies to what the network asks, in order.
    pub replies: Vec<String>,
    /// A UUID: the same one never starts twice.
    #[arg(long, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// Options of `location`.
#[derive(Debug, Args)]
pub struct LocationOptions {
    /// Shows every fix, live.
    #[arg(long, conflicts_with = "nmea")]
    pub watch: bool,
    /// Shows the receiver's sentences, live.
    #[arg(long)]
    pub nmea: bool,
}

/// Options of `trace`.
#[derive(Debug, Args)]
pub struct TraceOptions {
    /// Goes on with what crosses the ports from now on.
    #[arg(long, short)]
    pub follow: bool,
}

/// Options of `at`.
#[derive(Debug, Args)]
pub struct AtOptions {
    /// The command, beginning with AT. Without it a terminal is opened.
    pub command: Option<String>,
    /// How long the modem may take, in seconds, at most 180.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub timeout: u64,
}

/// Options of `qmi`.
#[derive(Debug, Args)]
pub struct QmiOptions {
    /// The service, by its number or name. Without it the services are listed.
    #[arg(requires = "message")]
    pub service: Option<String>,
    /// The message, by its number or name.
    pub message: Option<String>,
    /// TLVs: the type and the value, both hexadecimal, such as 01=0100 for 0x01 with two octets.
    #[arg(value_name = "TYPE=HEX")]
    pub tlvs: Vec<String>,
    /// How long the modem may take, in seconds, at most 180.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub timeout: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "modemctl",
            "modemctl sms list --incoming --outgoing",
            "modemctl sms list --state odd",
            "modemctl watch --from-beginning --cursor 5",
            "modemctl watch --kinds call,odd",
            "modemctl sms send +15550100",
            "modemctl sms send +15550100 hello --data 00FF",
            "modemctl sms send +15550100 hello --data 0G",
            "modemctl sms send +15550100 hello --at yesterday",
            "modemctl sms send +15550100 hello --validity soon",
            "modemctl sms send +15550100 hello --valid-until 2030-01-01T00:00 --validity 1h",
            "modemctl sms send +15550100 hello --replace 8",
            "modemctl sms encode +15550100 hello --port 70000",
            "modemctl sms decode 00 --sent --received",
            "modemctl sms export --format xml",
            "modemctl events --since soon",
            "modemctl events --since 3h --after 5",
            "modemctl call record",
            "modemctl sim puk 12345678",
            "modemctl sim lock maybe",
            "modemctl network --refresh connect",
            "modemctl network select",
            "modemctl network select 26201 --technology nr",
            "modemctl network modes",
            "modemctl wan policy sometimes",
            "modemctl wan force none",
            "modemctl modem functionality loud",
            "modemctl qmi nas",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        for line in [
            "modemctl sms send +15550100 hello --wait --json",
            "modemctl sms send +15550100 hello --at +90m --priority high --validity 2d --single-attempt",
            "modemctl sms send +15550100 hello --at 2030-01-01T08:00 --valid-until 2030-01-01T12:00:00Z",
            "modemctl sms encode +15550100 --data 00FF --port 2948 --from-port 9200",
            "modemctl sms encode +15550100 hello --language turkish,spanish --coding gsm7 --transliterate",
            "modemctl sms decode 0001 0002 --received",
            "modemctl sms export --format csv --incoming --query word",
            "modemctl --broker tcp:127.0.0.1:1 status",
            "modemctl status --broker /x --modem sim1",
            "modemctl watch --kinds call,message --consumer me",
            "modemctl call play x.wav --then-hang-up",
            "modemctl call record c1 --out x.wav --seconds 5",
            "modemctl sim",
            "modemctl sim pin",
            "modemctl status --wait",
            "modemctl status --wait 30 --json",
            "modemctl events --since 3h --limit 20",
            "modemctl sim puk 12345678 4711 --spend-last-attempt",
            "modemctl sim lock off 4711",
            "modemctl network --refresh",
            "modemctl network connect --apn internet --json",
            "modemctl network scan --json",
            "modemctl network select 26201 --technology lte",
            "modemctl network select auto",
            "modemctl network modes lte umts",
            "modemctl network modes all",
            "modemctl --modem sim1 network disconnect",
            "modemctl wan --json",
            "modemctl wan policy always-on",
            "modemctl wan force release",
            "modemctl modem functionality flight",
            "modemctl modem composition 9011 --modem sim1",
            "modemctl ussd *123# 3 4711",
            "modemctl at",
            "modemctl trace -f",
            "modemctl qmi",
            "modemctl qmi nas get-signal-info --json",
            "modemctl qmi 0x0b 0x2f 10=00 11= --timeout 5",
            "modemctl sim restart",
            "modemctl network cells",
            "modemctl network statistics --json",
            "modemctl network profiles",
            "modemctl location --nmea",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
