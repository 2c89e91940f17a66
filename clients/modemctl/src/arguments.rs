//! The command line.

use std::path::PathBuf;

use api::v1::{EventKind, MessageState};
use clap::{Args, Parser, Subcommand, ValueEnum};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 64 wrong usage, 69 the broker cannot be reached.";

/// Shows and controls the modems of modem-broker: messages, calls, network and events.
#[derive(Debug, Parser)]
#[command(name = "modemctl", version, after_help = EXIT_CODES)]
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
        global = true
    )]
    pub modem: String,
    /// One JSON object per line instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// No colours, as with NO_COLOR set.
    #[arg(long, visible_alias = "no-colour", global = true)]
    pub no_color: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows every modem: how far it came up, its health, ports, SIM and network.
    Status,
    /// Shows what happens, live; survives restarts of the broker.
    Watch(WatchOptions),
    /// Lists what happened.
    Events(EventsOptions),
    /// Short messages.
    #[command(subcommand)]
    Sms(SmsCommand),
    /// Calls.
    #[command(subcommand)]
    Call(CallCommand),
    /// Shows registration, operator, technology and signal.
    Network(NetworkOptions),
    /// Runs one AT command. The broker's configuration must allow it.
    At(AtOptions),
    /// Prints a completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
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
    /// Only events after this one.
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    pub after: u64,
    /// At most so many.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub limit: usize,
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

/// What to do with short messages.
#[derive(Debug, Subcommand)]
pub enum SmsCommand {
    /// Sends a message.
    Send(SendOptions),
    /// Lists messages, newest first.
    List(ListOptions),
    /// Shows one message with everything that is known about it.
    Show {
        /// The message.
        id: String,
    },
    /// Shows messages as they come and go.
    Watch,
    /// Deletes a message from the broker's store.
    Delete {
        /// The message.
        id: String,
    },
    /// Cancels a message that is still queued.
    Cancel {
        /// The message.
        id: String,
    },
}

/// Options of `sms send`.
#[derive(Debug, Args)]
pub struct SendOptions {
    /// The destination: +49…, a national number or a short code.
    #[arg(allow_hyphen_values = true)]
    pub to: String,
    /// The text, or - to read it from the standard input.
    pub text: String,
    /// Waits until the network took the message, or with --report until it was delivered.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 180, requires = "wait")]
    pub timeout: u64,
    /// Shows it at once on the receiver's screen (class 0).
    #[arg(long)]
    pub flash: bool,
    /// Asks for a delivery report.
    #[arg(long)]
    pub report: bool,
    /// A UUID: the same one never sends twice.
    #[arg(long, value_name = "UUID")]
    pub request_id: Option<String>,
}

/// Options of `sms list`.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// Only messages that came in.
    #[arg(long, conflicts_with = "outgoing")]
    pub incoming: bool,
    /// Only messages that were sent.
    #[arg(long)]
    pub outgoing: bool,
    /// Only these states, with commas between them: queued, sent, received, failed, …
    #[arg(long, value_delimiter = ',', value_name = "STATE", value_parser = message_state)]
    pub state: Vec<MessageState>,
    /// Only messages with all these words.
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
    pub query: String,
    /// At most so many.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub limit: usize,
}

fn message_state(text: &str) -> Result<MessageState, String> {
    let name = format!("MESSAGE_STATE_{}", text.to_ascii_uppercase().replace('-', "_"));
    MessageState::from_str_name(&name)
        .filter(|state| *state != MessageState::Unspecified)
        .ok_or_else(|| {
            "one of queued, sending, sent, delivered, failed, outcome-unknown, cancelled, received, incomplete, raw"
                .to_owned()
        })
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
        /// The call.
        id: Option<String>,
    },
    /// Rejects a call.
    Reject {
        /// The call.
        id: Option<String>,
    },
    /// Hangs up.
    Hangup {
        /// The call.
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
        /// The call.
        id: Option<String>,
    },
    /// Sends tones.
    Dtmf {
        /// The tones: 0 to 9, A to D, * and #.
        tones: String,
        /// The call.
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
    /// Records a call into a WAV file: listens, without taking the call's audio from anybody.
    Record {
        /// The call.
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
        /// The call.
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

/// Options of `network`.
#[derive(Debug, Args)]
pub struct NetworkOptions {
    /// Asks the modem now instead of telling what is known.
    #[arg(long, conflicts_with = "watch")]
    pub refresh: bool,
    /// Shows changes, live.
    #[arg(long)]
    pub watch: bool,
}

/// Options of `at`.
#[derive(Debug, Args)]
pub struct AtOptions {
    /// The command, beginning with AT.
    pub command: String,
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
            "modemctl call record",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        for line in [
            "modemctl sms send +15550100 hello --wait --json",
            "modemctl --broker tcp:127.0.0.1:1 status",
            "modemctl status --broker /x --modem sim1",
            "modemctl watch --kinds call,message --consumer me",
            "modemctl call play x.wav --then-hang-up",
            "modemctl call record c1 --out x.wav --seconds 5",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
