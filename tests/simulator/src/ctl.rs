//! `modem-sim ctl`: one request to a virtual modem that runs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use simulator::control::{Request, Response};
use simulator::{
    Books, CallAudio, Control, Domain, DtmfWay, Function, ImsRegistration, OutgoingPolicy, PacketNetwork, PinState,
    Refusal, RegistrationState, RingOptions, Signal, Status, Way,
};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// The network delivers a message: a text from somebody, or a PDU as it is.
    Sms(SmsArguments),
    /// Somebody calls.
    Ring(RingArguments),
    /// What the other party of a call does.
    Call {
        #[command(subcommand)]
        step: CallStep,
    },
    /// The other party presses keys.
    Dtmf {
        /// 0-9, *, #, A-D.
        digits: String,
        /// As tones in the audio instead of reports of the module.
        #[arg(long)]
        in_band: bool,
    },
    /// Radio conditions.
    Signal {
        /// 0-31, or 99 for unknown, as AT+CSQ shows it.
        #[arg(long)]
        rssi: Option<u8>,
        /// dBm
        #[arg(long, allow_negative_numbers = true)]
        rsrp: Option<i16>,
        /// dB
        #[arg(long, allow_negative_numbers = true)]
        rsrq: Option<i16>,
        /// dB
        #[arg(long, allow_negative_numbers = true)]
        snr: Option<i16>,
    },
    /// Registration with the network.
    Registration {
        state: RegistrationChoice,
        /// Only this domain.
        #[arg(long)]
        domain: Option<DomainChoice>,
    },
    /// The operator of the cell.
    Operator {
        /// Long name.
        #[arg(long)]
        name: String,
        /// MCC and MNC as digits.
        #[arg(long)]
        plmn: String,
    },
    /// The SIM card.
    Sim { state: SimChoice },
    /// Room of a message storage.
    Capacity {
        /// ME, SM or SR.
        storage: String,
        /// Messages.
        capacity: usize,
    },
    /// The network sends a text by USSD.
    Ussd {
        text: String,
        /// It wants an answer.
        #[arg(long)]
        question: bool,
    },
    /// Position of the receiver, or no fix without values.
    Position {
        /// Degrees north.
        #[arg(allow_negative_numbers = true, requires = "east")]
        north: Option<f64>,
        /// Degrees east.
        #[arg(allow_negative_numbers = true)]
        east: Option<f64>,
    },
    /// An unsolicited line on the AT ports.
    Unsolicited { line: String },
    /// Add a fault, as JSON, e.g.
    /// '{"trigger":{"on_command":{"matches":"+CMGS","phase":"after"}},"action":"lose_final_result"}'.
    Fault { json: String },
    /// List the faults that are still to strike.
    Faults {
        /// Forget them instead.
        #[arg(long)]
        clear: bool,
    },
    /// How the packet side of the network behaves from now on; what is not given goes back to normal.
    Packet(PacketArguments),
    /// The network ends every data session, and the data call of the modem port.
    EndSessions {
        /// Layer of the reason: 2 the modem, 6 3GPP.
        #[arg(long, default_value_t = 6)]
        layer: u16,
        /// Its number; 39 is reactivation requested.
        #[arg(long, default_value_t = 39)]
        number: u16,
    },
    /// Registration with the IMS; without a state as the registration with LTE is.
    Ims { registration: Option<ImsChoice> },
    /// Pull the cable.
    Unplug,
    /// Put the cable back.
    Replug {
        /// The nodes come back with other numbers.
        #[arg(long)]
        renumber: bool,
    },
    /// Cut the power and give it back.
    PowerCycle,
    /// Tell a module in its storage mode to become a modem, as usb-modeswitch does.
    SwitchMode,
    /// The ledger: what the network accepted, delivered and connected.
    Books {
        /// All of it, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// What crossed the ports.
    Transcript {
        /// Go on until Ctrl-C.
        #[arg(long)]
        follow: bool,
        /// Only this port.
        #[arg(long)]
        port: Option<PortChoice>,
    },
    /// State at a glance.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// The packet side of the network.
#[derive(Debug, Args)]
pub(crate) struct PacketArguments {
    /// The only access point that the subscription has.
    #[arg(long)]
    apn: Option<String>,
    /// The same for sessions of IPv6, where it is another one.
    #[arg(long)]
    apn_v6: Option<String>,
    /// User name and password that it wants.
    #[arg(long, value_name = "USER:PASSWORD")]
    credentials: Option<String>,
    /// The only IP version that it gives.
    #[arg(long, value_name = "4|6")]
    only_family: Option<u8>,
    /// Refuses every session for this reason.
    #[arg(long, value_name = "LAYER:NUMBER")]
    refuse: Option<String>,
    /// A session takes this long to come up.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    start_after_ms: u64,
    /// The firmware holds a session of its own until it is told to end it for good.
    #[arg(long)]
    held_by_firmware: bool,
    /// The control channel, and the link of a data call, swallow everything.
    #[arg(long)]
    silent: bool,
    /// The third octet of the IPv4 addresses that it gives.
    #[arg(long, default_value_t = 0)]
    subnet: u8,
    /// The settings of a session hold no IPv4 address; a DHCP server gives it for so long.
    #[arg(long, value_name = "SECONDS")]
    lease_seconds: Option<u32>,
    /// The DHCP server refuses to prolong a lease.
    #[arg(long)]
    lease_refused: bool,
    /// The settings of a session hold no IPv6 address: router advertisements tell the prefix.
    #[arg(long)]
    advertised_only: bool,
    /// No router advertises anything.
    #[arg(long)]
    router_silent: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ImsChoice {
    NotRegistered,
    Registering,
    Registered,
    Limited,
}

#[derive(Debug, Args)]
pub(crate) struct SmsArguments {
    /// Originating address.
    #[arg(long, required_unless_present = "pdu", requires = "text")]
    from: Option<String>,
    /// The text; long ones become several parts.
    #[arg(long, conflicts_with = "pdu")]
    text: Option<String>,
    /// Class 0, for immediate display.
    #[arg(long)]
    flash: bool,
    /// Hexadecimal, beginning with the service centre.
    #[arg(long)]
    pdu: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RingArguments {
    /// Number of the caller.
    #[arg(long, default_value = "")]
    from: String,
    /// What the caller says: WAV, 8 kHz, 16 bit, mono.
    #[arg(long, conflicts_with = "audio")]
    wav: Option<PathBuf>,
    /// What the caller says otherwise.
    #[arg(long, value_enum, default_value = "silence")]
    audio: AudioChoice,
    /// Write what the host says to this WAV file.
    #[arg(long)]
    record: Option<PathBuf>,
    /// The caller gives up after this time.
    #[arg(long, value_name = "MS")]
    hang_up_after: Option<u64>,
    /// The caller hangs up this long after the answer.
    #[arg(long, value_name = "MS")]
    hang_up_after_answer: Option<u64>,
    /// The called party does not see the number.
    #[arg(long)]
    number_withheld: bool,
    /// The caller's name, as the network knows it.
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CallStep {
    /// The called party begins to ring.
    Alert,
    /// The called party answers.
    Answer,
    /// The call fails.
    Refuse {
        #[arg(default_value = "rejected")]
        cause: RefusalChoice,
    },
    /// The other party hangs up.
    HangUp,
    /// What happens to further calls: answer, answer-after=MS, manual, busy=MS, no-answer=MS, reject=MS.
    Policy {
        #[arg(value_parser = crate::cli::parse_policy)]
        policy: OutgoingPolicy,
        /// Only to this number.
        #[arg(long)]
        number: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum AudioChoice {
    Silence,
    Noise,
    Counter,
    Echo,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RefusalChoice {
    Busy,
    NoAnswer,
    Rejected,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RegistrationChoice {
    None,
    Home,
    Searching,
    Denied,
    Roaming,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DomainChoice {
    Cs,
    Ps,
    Eps,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SimChoice {
    Ready,
    Pin,
    Puk,
    Blocked,
    Absent,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PortChoice {
    At,
    Modem,
    Qmi,
    Mbim,
}

/// Carries an action out.
pub(crate) async fn run(directory: &Path, action: Action) -> anyhow::Result<ExitCode> {
    let control = Control::connect(directory)
        .await
        .with_context(|| format!("no virtual modem answers in {}", directory.display()))?;
    if let Action::Transcript { follow, port } = action {
        transcript(&control, follow, port).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let json = matches!(action, Action::Books { json: true } | Action::Status { json: true });
    match control.ask(request(action)?).await? {
        Response::Done => {}
        Response::Messages { ids } => print(&format!("message {ids:?}"))?,
        Response::Call { id } => print(&format!("call {id}"))?,
        Response::Faults { faults } => {
            for fault in faults {
                print(&serde_json::to_string(&fault)?)?;
            }
        }
        Response::Books { books } if json => print(&serde_json::to_string_pretty(&books)?)?,
        Response::Books { books } => print_books(&books)?,
        Response::Status { status } if json => print(&serde_json::to_string_pretty(&status)?)?,
        Response::Status { status } => print_status(&status)?,
        Response::Packet { .. } | Response::Transcript { .. } | Response::Error { .. } => bail!("unexpected answer"),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("failed to write to standard output")
}

fn request(action: Action) -> anyhow::Result<Request> {
    Ok(match action {
        Action::Sms(SmsArguments { pdu: Some(pdu), .. }) => Request::DeliverPdu { pdu },
        Action::Sms(SmsArguments { from, text, flash, .. }) => Request::DeliverText {
            from: from.unwrap_or_default(),
            text: text.unwrap_or_default(),
            flash,
        },
        Action::Ring(arguments) => Request::Ring(ring(arguments)?),
        Action::Call { step } => match step {
            CallStep::Alert => Request::Alert,
            CallStep::Answer => Request::Answer,
            CallStep::Refuse { cause } => Request::Refuse {
                cause: match cause {
                    RefusalChoice::Busy => Refusal::Busy,
                    RefusalChoice::NoAnswer => Refusal::NoAnswer,
                    RefusalChoice::Rejected => Refusal::Rejected,
                },
            },
            CallStep::HangUp => Request::HangUp,
            CallStep::Policy { policy, number } => Request::SetOutgoing { number, policy },
        },
        Action::Dtmf { digits, in_band } => Request::Dtmf {
            digits,
            way: if in_band { DtmfWay::InBand } else { DtmfWay::Reported },
        },
        Action::Signal { rssi, rsrp, rsrq, snr } => Request::SetSignal(Signal { rssi, rsrp, rsrq, snr }),
        Action::Registration { state, domain } => Request::SetRegistration {
            domain: domain.map(|domain| match domain {
                DomainChoice::Cs => Domain::Cs,
                DomainChoice::Ps => Domain::Ps,
                DomainChoice::Eps => Domain::Eps,
            }),
            state: match state {
                RegistrationChoice::None => RegistrationState::None,
                RegistrationChoice::Home => RegistrationState::Home,
                RegistrationChoice::Searching => RegistrationState::Searching,
                RegistrationChoice::Denied => RegistrationState::Denied,
                RegistrationChoice::Roaming => RegistrationState::Roaming,
            },
        },
        Action::Operator { name, plmn } => Request::SetOperator { name, plmn },
        Action::Sim { state } => Request::SetSim {
            state: match state {
                SimChoice::Ready => PinState::Ready,
                SimChoice::Pin => PinState::Pin,
                SimChoice::Puk => PinState::Puk,
                SimChoice::Blocked => PinState::Blocked,
                SimChoice::Absent => PinState::Absent,
            },
        },
        Action::Capacity { storage, capacity } => Request::SetCapacity { storage, capacity },
        Action::Ussd { text, question } => Request::Ussd {
            text,
            mode: u8::from(question),
        },
        Action::Position { north, east } => Request::SetPosition {
            position: north.zip(east),
        },
        Action::Unsolicited { line } => Request::Unsolicited { line },
        Action::Fault { json } => Request::Inject {
            fault: serde_json::from_str(&json).context("failed to read the fault")?,
        },
        Action::Faults { clear: false } => Request::Faults,
        Action::Faults { clear: true } => Request::ClearFaults,
        Action::Packet(packet) => Request::SetPacketNetwork(packet_network(packet)?),
        Action::EndSessions { layer, number } => Request::EndSessions { layer, number },
        Action::Ims { registration } => Request::SetIms {
            registration: registration.map(|registration| match registration {
                ImsChoice::NotRegistered => ImsRegistration::NotRegistered,
                ImsChoice::Registering => ImsRegistration::Registering,
                ImsChoice::Registered => ImsRegistration::Registered,
                ImsChoice::Limited => ImsRegistration::Limited,
            }),
        },
        Action::Unplug => Request::Unplug,
        Action::Replug { renumber } => Request::Replug { renumber },
        Action::PowerCycle => Request::PowerCycle,
        Action::SwitchMode => Request::SwitchMode,
        Action::Books { .. } => Request::Books,
        Action::Status { .. } => Request::Status,
        Action::Transcript { .. } => bail!("a transcript is followed, not asked for"),
    })
}

fn packet_network(arguments: PacketArguments) -> anyhow::Result<PacketNetwork> {
    let pair = |text: String| {
        let (one, other) = text.split_once(':').context("two parts with a colon between them")?;
        anyhow::Ok((one.to_owned(), other.to_owned()))
    };
    let refuse = arguments.refuse.map(pair).transpose()?;
    let number = |text: &str| text.parse().context("the layer and the number of a reason are numbers");
    let refuse = refuse.map(|(layer, reason)| anyhow::Ok((number(&layer)?, number(&reason)?)));
    Ok(PacketNetwork {
        apn: arguments.apn,
        credentials: arguments.credentials.map(pair).transpose()?,
        protocol: None,
        only_family: arguments.only_family,
        refuse: refuse.transpose()?,
        start_after_ms: arguments.start_after_ms,
        held_by_firmware: arguments.held_by_firmware,
        silent: arguments.silent,
        apn_v6: arguments.apn_v6,
        subnet: arguments.subnet,
        lease_seconds: arguments.lease_seconds,
        lease_refused: arguments.lease_refused,
        advertised_only: arguments.advertised_only,
        router_silent: arguments.router_silent,
    })
}

fn ring(arguments: RingArguments) -> anyhow::Result<RingOptions> {
    let absolute =
        |path: PathBuf| std::path::absolute(&path).with_context(|| format!("failed to resolve {}", path.display()));
    let audio = match (arguments.wav, arguments.audio) {
        (Some(path), _) => CallAudio::Wav(absolute(path)?),
        (None, AudioChoice::Silence) => CallAudio::Silence,
        (None, AudioChoice::Noise) => CallAudio::Noise,
        (None, AudioChoice::Counter) => CallAudio::Counter,
        (None, AudioChoice::Echo) => CallAudio::Echo,
    };
    Ok(RingOptions {
        from: arguments.from,
        number_withheld: arguments.number_withheld,
        name: arguments.name.unwrap_or_default(),
        audio,
        record: arguments.record.map(absolute).transpose()?,
        hang_up_after_ms: arguments.hang_up_after,
        hang_up_after_answer_ms: arguments.hang_up_after_answer,
    })
}

async fn transcript(control: &Control, follow: bool, port: Option<PortChoice>) -> anyhow::Result<()> {
    let port = port.map(|port| match port {
        PortChoice::At => Function::At,
        PortChoice::Modem => Function::Modem,
        PortChoice::Qmi => Function::Qmi,
        PortChoice::Mbim => Function::Mbim,
    });
    let wait = if follow {
        Duration::from_secs(30)
    } else {
        Duration::ZERO
    };
    let mut follower = control.transcript(port);
    loop {
        match follower.next(wait).await? {
            Some(entry) => {
                let way = if entry.way == Way::ToModem { ">" } else { "<" };
                let seconds = entry.at_ms / 1_000;
                let millis = entry.at_ms % 1_000;
                print(&format!(
                    "{seconds:6}.{millis:03} {:5} {way} {}",
                    entry.port.to_string(),
                    entry.text
                ))?;
            }
            None if follow => {}
            None => return Ok(()),
        }
    }
}

fn print_books(books: &Books) -> anyhow::Result<()> {
    for submit in &books.submits.records {
        let text = submit.text.as_deref().unwrap_or("(no text)");
        print(&format!(
            "{:>9} submit {} to {}: {text:?}",
            submit.at_ms, submit.reference, submit.destination
        ))?;
    }
    for delivery in &books.deliveries.records {
        print(&format!(
            "{:>9} delivery {} from {}: {:?}",
            delivery.steps[0].0,
            delivery.id,
            delivery.from,
            delivery.fate()
        ))?;
    }
    for call in &books.calls.records {
        let cause = call.cause.as_deref().unwrap_or("in progress");
        print(&format!(
            "{:>9} call {} {:?} {}: {cause}",
            call.started_ms, call.id, call.direction, call.number
        ))?;
    }
    for call in &books.data_calls.records {
        let end = call.end.map_or("in progress".to_owned(), |end| format!("{end:?}"));
        print(&format!(
            "{:>9} data call over context {}, {} octets up and {} down: {end}",
            call.at_ms, call.context, call.uplink_octets, call.downlink_octets
        ))?;
    }
    let (commands, detachments) = (books.commands.total(), books.detachments);
    print(&format!("{commands} command lines, {detachments} times off the bus"))
}

fn print_status(status: &Status) -> anyhow::Result<()> {
    let [cs, ps, eps] = status.registration;
    print(&format!("attached      {} ({})", status.attached, status.composition))?;
    print(&format!("sim           {:?}", status.sim))?;
    print(&format!(
        "registration  CS {cs:?}, PS {ps:?}, EPS {eps:?} on {} ({})",
        status.operator, status.plmn
    ))?;
    print(&format!("signal        {}", status.rssi))?;
    for call in &status.calls {
        print(&format!("call          {call}"))?;
    }
    for (name, used, capacity) in &status.storages {
        print(&format!("storage       {name} {used} of {capacity}"))?;
    }
    print(&format!("waiting       {} messages", status.waiting_messages))?;
    print(&format!("audio         {}", if status.audio { "flows" } else { "off" }))?;
    let sessions: Vec<String> = status.sessions.iter().map(ToString::to_string).collect();
    print(&format!("sessions      {}", sessions.join(" ")))?;
    if let Some(call) = &status.data_call {
        print(&format!("data call     {call}"))?;
    }
    print(&format!("faults        {}", status.faults))
}
