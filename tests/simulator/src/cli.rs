//! The command line of `modem-sim` itself: options of the virtual modem and running it in the foreground.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use simulator::{Composition, Config, Options, OutgoingPolicy, Refusal, Timing};

use crate::ctl::Action;

/// A virtual SIM7600 and its network on pseudo-terminals.
///
/// Without a subcommand it runs in the foreground until Ctrl-C. DIR then holds `dev/ttyUSB0..4` and `dev/cdc-wdm0`, `sys`
/// as the kernel would show the device, and `control.sock`, on which `modem-sim ctl` acts.
#[derive(Debug, Parser)]
#[command(name = "modem-sim", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) run: RunOptions,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Act on a virtual modem that runs: messages, calls, the network, the cable, faults.
    Ctl {
        /// Directory of the virtual modem.
        #[arg(
            long = "dir",
            value_name = "DIR",
            env = "MODEM_SIM_DIR",
            default_value = "/tmp/modem-sim"
        )]
        directory: PathBuf,
        #[command(subcommand)]
        action: Action,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// Directory for the ports; made if it is missing.
    #[arg(
        long = "dir",
        value_name = "DIR",
        env = "MODEM_SIM_DIR",
        default_value = "/tmp/modem-sim"
    )]
    directory: PathBuf,
    /// How long things take: at once, or as measured on real modules.
    #[arg(long, value_enum, default_value = "instant")]
    timing: TimingChoice,
    /// IMEI, 15 digits.
    #[arg(long)]
    imei: Option<String>,
    /// IMSI of the SIM: its first digits are the home network.
    #[arg(long)]
    imsi: Option<String>,
    /// The service provider's name on the SIM (EF_SPN).
    #[arg(long, value_name = "NAME", default_value = "")]
    service_provider_name: String,
    /// The SIM asks for this PIN.
    #[arg(long)]
    pin: Option<String>,
    /// Makes a TUN device of this name as the modem's network interface; every address behind it answers a ping while a
    /// data session is up and both ends speak raw IP. Needs CAP_NET_ADMIN.
    #[arg(long, value_name = "NAME")]
    tun: Option<String>,
    /// Makes the drawn delays repeatable.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Firmware, as AT+CGMR shows it.
    #[arg(long)]
    revision: Option<String>,
    /// The SIM's own number.
    #[arg(long)]
    own_number: Option<String>,
    /// USB composition at the first power-on.
    #[arg(long, value_name = "PID", default_value = "9001", value_parser = parse_composition)]
    composition: Composition,
    /// What happens to calls that the host makes: answer, answer-after=MS, manual, busy=MS, no-answer=MS, reject=MS.
    #[arg(long, value_name = "POLICY", default_value = "answer", value_parser = parse_policy)]
    outgoing: OutgoingPolicy,
    /// AT+CPCMREG=0 needs its second value, as firmware V2 wants it.
    #[arg(long)]
    strict_pcm_off: bool,
    /// Begin as a disk with drivers for other systems (ZeroCD); `ctl switch-mode` makes it a modem.
    #[arg(long)]
    storage_mode: bool,
    /// Put `dev` and `sys` here, together with other virtual modems, as on one host.
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Which USB port it hangs on: it is then `1-N` and its ttyUSB numbers follow those of the ports before.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    position: u8,
    /// The USB port can be switched off (`disable` of the hub port).
    #[arg(long)]
    hub_power: bool,
    /// Begin with the cable out; `ctl replug` puts it in.
    #[arg(long)]
    unplugged: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TimingChoice {
    Instant,
    Realistic,
}

fn parse_composition(text: &str) -> Result<Composition, String> {
    let product = u16::from_str_radix(text, 16).ok();
    product
        .and_then(Composition::find)
        .ok_or_else(|| format!("the module has no composition {text}"))
}

/// Reads the name of a policy for outgoing calls.
pub(crate) fn parse_policy(text: &str) -> Result<OutgoingPolicy, String> {
    let (name, after) = match text.split_once('=') {
        Some((name, ms)) => (
            name,
            Some(
                ms.parse::<u64>()
                    .map_err(|_| format!("{ms} is no number of milliseconds"))?,
            ),
        ),
        None => (text, None),
    };
    let refuse = |cause| OutgoingPolicy::Refuse {
        cause,
        after_ms: after.unwrap_or(1_000),
    };
    match name {
        "answer" => Ok(OutgoingPolicy::Answer),
        "answer-after" | "auto-answer-after" => Ok(OutgoingPolicy::AnswerAfter {
            ms: after.ok_or("answer-after wants milliseconds: answer-after=2000")?,
            audio: simulator::CallAudio::Silence,
            record: None,
            hang_up_after_ms: None,
        }),
        "manual" => Ok(OutgoingPolicy::Manual),
        "busy" => Ok(refuse(Refusal::Busy)),
        "no-answer" => Ok(refuse(Refusal::NoAnswer)),
        "reject" => Ok(refuse(Refusal::Rejected)),
        _ => Err(format!("{name} is no policy")),
    }
}

/// Runs the virtual modem until Ctrl-C or SIGTERM.
pub(crate) async fn run(options: RunOptions) -> anyhow::Result<ExitCode> {
    let defaults = Options::default();
    let modem = Config {
        seed: options.seed,
        imei: options.imei.unwrap_or(defaults.modem.imei),
        imsi: options.imsi.unwrap_or(defaults.modem.imsi),
        service_provider_name: options.service_provider_name,
        pin: options.pin,
        revision: options.revision.unwrap_or(defaults.modem.revision),
        own_number: options.own_number.unwrap_or(defaults.modem.own_number),
        composition: options.composition,
        outgoing: options.outgoing,
        strict_pcm_off: options.strict_pcm_off,
        storage_mode: options.storage_mode,
        ..defaults.modem
    };
    let timing = match options.timing {
        TimingChoice::Instant => Timing::Instant,
        TimingChoice::Realistic => Timing::Realistic,
    };
    // The handlers stand before the ports do, so that an early signal cleans up as well.
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let running = simulator::start(Options {
        directory: options.directory,
        timing,
        modem,
        unplugged: options.unplugged,
        tun: options.tun,
        place: simulator::Place {
            tree: options.tree,
            position: options.position,
            hub_power: options.hub_power,
        },
    })
    .await?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "ports below {}/dev, control on {0}/control.sock",
        running.directory().display()
    )
    .and_then(|()| out.flush())
    .context("failed to write to standard output")?;
    drop(out);
    tokio::select! {
        signal = tokio::signal::ctrl_c() => signal.context("failed to wait for Ctrl-C")?,
        _ = terminate.recv() => {}
    }
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}
