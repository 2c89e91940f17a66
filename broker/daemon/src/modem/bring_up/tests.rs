//! The sequence against the virtual modem in memory, on a paused clock: what each stage does when the module refuses, says
//! nothing, or answers late.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::expect;
use simulator::{Card, Code, Control, Fault, FaultAction, Function, InProcess, Phase, PinState, Timing};

use super::*;
use crate::port::OpenPort;
use crate::port::at::{self, AtEvent};
use crate::resource::{AccessTechnology, CarrierSource, PortRole, SimState};
use crate::store::Store;

/// What takes longer, in the time of the paused clock, waits for somebody.
const LIMIT: Duration = Duration::from_secs(900);

/// A virtual modem with its two AT ports open, and a store.
struct Bench {
    modem: InProcess,
    at: AtHandle,
    at_calls: AtHandle,
    events: mpsc::Receiver<(PortRole, AtEvent)>,
    store: Store,
    pin: Option<Secret>,
    carrier: CarrierConfig,
    network: NetworkConfig,
    provider_info: PathBuf,
    directory: tempfile::TempDir,
    /// Open for as long as they are held.
    ports: Vec<at::AtPort>,
}

/// What one life of the sequence told.
#[derive(Debug, Default)]
struct Told {
    stages: Vec<(Stage, String)>,
    degraded: BTreeMap<Stage, String>,
    sim: Sim,
    carrier: Carrier,
    messages: bool,
    finished: bool,
    error: Option<String>,
}

impl Told {
    fn path(&self) -> Vec<Stage> {
        let mut path: Vec<Stage> = self.stages.iter().map(|(stage, _)| *stage).collect();
        path.dedup();
        path
    }

    fn detail(&self) -> &str {
        self.stages.last().map_or("", |(_, detail)| detail)
    }

    fn outcome(&self) -> String {
        let degraded: Vec<&str> = self.degraded.keys().map(|stage| stage.name()).collect();
        match (&self.error, self.finished) {
            (Some(error), _) => format!("starts over: {error}"),
            (None, true) if degraded.is_empty() => "ready".to_owned(),
            (None, true) => format!("ready without {}", degraded.join(", ")),
            (None, false) => format!(
                "waits at {}",
                self.stages.last().map_or("the start", |(stage, _)| stage.name())
            ),
        }
    }
}

impl Bench {
    async fn new(config: simulator::Config) -> Bench {
        Bench::with(config, tempfile::TempDir::new().unwrap()).await
    }

    async fn with(config: simulator::Config, directory: tempfile::TempDir) -> Bench {
        let mut modem = simulator::start_in_process(Timing::Instant, config);
        let mut ports = modem.attachment().await.unwrap().ports;
        let (event_sender, events) = mpsc::channel(512);
        let mut held = Vec::new();
        let mut open = |role, function| {
            let port = OpenPort {
                stream: Box::new(ports.remove(&function).unwrap()),
                lock: None,
            };
            let opened = at::AtPort::start(
                role,
                "sim1",
                port,
                cellular::at::Config::default(),
                event_sender.clone(),
                crate::port::trace::Trace::new(0),
            );
            let handle = opened.handle(role);
            held.push(opened);
            handle
        };
        let at = open(PortRole::At, Function::At);
        let at_calls = open(PortRole::AtCalls, Function::Modem);
        Bench {
            modem,
            at,
            at_calls,
            events,
            store: Store::open(&directory.path().join("broker.db")).await.unwrap(),
            pin: None,
            carrier: CarrierConfig::default(),
            network: NetworkConfig::default(),
            provider_info: "/nonexistent".into(),
            directory,
            ports: held,
        }
    }

    fn control(&self) -> Control {
        self.modem.control()
    }

    /// A life of the sequence over the open ports, until it is through, ends, or `enough` was told.
    async fn run_until(&mut self, enough: impl Fn(&Told) -> bool) -> Told {
        self.watch_until(|told| told.finished || enough(told)).await
    }

    /// The same without an end when it is through.
    async fn watch_until(&mut self, enough: impl Fn(&Told) -> bool) -> Told {
        let mut told = Told::default();
        let (progress_sender, mut progress) = mpsc::channel(16);
        let (registered, is_registered) = watch::channel(false);
        let (_sim_changes, sim_changed) = watch::channel(0);
        let (_sim_told, sim_heard) = watch::channel(());
        let sequence = BringUp::new(Needs {
            at: self.at.clone(),
            at_calls: self.at_calls.clone(),
            name: "sim1".to_owned(),
            pin: self.pin.clone(),
            carrier: self.carrier.clone(),
            network: self.network.clone(),
            provider_info: self.provider_info.clone(),
            store: self.store.clone(),
            progress: progress_sender,
            registered: is_registered,
            sim_changes: sim_changed,
            sim_told: sim_heard,
            keep_calls: false,
            sample_rate: SampleRate::Hz8000,
            no_audio: None,
        });
        let mut sequence = std::pin::pin!(sequence.run());
        let listening = async {
            loop {
                tokio::select! {
                    biased;
                    Some((_, event)) = self.events.recv() => {
                        if let AtEvent::Unresponsive(_) = event {
                            told.error = Some("the port does not answer".to_owned());
                            return;
                        }
                    }
                    Some(progress) = progress.recv() => {
                        told.take(progress, &registered);
                        if enough(&told) {
                            return;
                        }
                    }
                    error = &mut sequence => {
                        told.error = Some(error.to_string());
                        return;
                    }
                }
            }
        };
        // What waits for people or the network waits longer than this, and `told` says where.
        let _ = tokio::time::timeout(LIMIT, listening).await;
        told
    }

    async fn run(&mut self) -> Told {
        self.run_until(|_| false).await
    }

    /// The broker ends; its store stays.
    fn end(self) -> tempfile::TempDir {
        drop(self.ports);
        self.directory
    }
}

impl Told {
    fn take(&mut self, progress: Progress, registered: &watch::Sender<bool>) {
        match progress {
            Progress::Stage(stage, detail) => self.stages.push((stage, detail)),
            Progress::Degraded(stage, reason) => drop(self.degraded.insert(stage, reason)),
            Progress::Restored(stage) => drop(self.degraded.remove(&stage)),
            Progress::Sim(sim) => self.sim = sim,
            Progress::Carrier(carrier) => self.carrier = carrier,
            Progress::MessagesReady => self.messages = true,
            Progress::Finished => self.finished = true,
            Progress::Registration(_, state) if state.is_registered() => drop(registered.send_replace(true)),
            Progress::Registration(..) | Progress::Port(..) | Progress::Identity { .. } | Progress::SimLost => {}
        }
    }
}

async fn commands(control: &Control) -> Vec<String> {
    let books = control.books().await.unwrap();
    books
        .commands
        .records
        .iter()
        .map(|command| command.line.clone())
        .collect()
}

fn german() -> simulator::Config {
    simulator::Config {
        imsi: "262021234567890".to_owned(),
        plmn: "26202".to_owned(),
        ..simulator::Config::default()
    }
}

fn locked() -> simulator::Config {
    simulator::Config {
        pin: Some("4711".to_owned()),
        ..german()
    }
}

#[tokio::test(start_paused = true)]
async fn a_modem_passes_every_stage_in_order() {
    let mut bench = Bench::new(german()).await;
    let told = bench.run().await;
    assert_eq!(
        (told.outcome().as_str(), told.path()),
        ("ready", Stage::ALL[2..13].to_vec())
    );
    assert!(told.messages);
    assert_eq!(told.sim.home_plmn, "26202");
    assert_eq!(
        (
            told.carrier.name.as_str(),
            told.carrier.source,
            told.carrier.data_apn.as_str()
        ),
        ("Vodafone Germany", CarrierSource::BuiltIn, "web.vodafone.de")
    );
    let sent = commands(&bench.control()).await;
    let position = |line: &str| {
        sent.iter()
            .position(|command| command.starts_with(line))
            .unwrap_or(usize::MAX)
    };
    assert!(
        position("AT+CGDCONT=1,\"IP\",\"web.vodafone.de\"") < position("AT+CREG"),
        "{sent:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_modem_that_is_set_up_is_read_and_not_written() {
    let mut bench = Bench::new(german()).await;
    bench.run().await;
    let control = bench.control();
    let before = commands(&control).await.len();
    let started = Instant::now();
    assert_eq!(bench.run().await.outcome(), "ready");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let reads = ["+CRSM=176", "+CLCK=\"SC\",2"];
    let written: Vec<String> = commands(&control)
        .await
        .split_off(before)
        .into_iter()
        .filter(|line| line.contains('=') && !reads.iter().any(|read| line.contains(read)))
        .collect();
    // How errors are told is needed before anything can be read.
    assert_eq!(written, ["AT+CMEE=1", "AT+CMEE=1"]);
}

/// What is struck in each stage, and after how long an answer to it is late.
const STRUCK: [(Stage, &str, u64); 11] = [
    (Stage::Probing, "E0", 7),
    (Stage::Identifying, "+CGMM", 7),
    (Stage::Sim, "+CPIN?", 35),
    (Stage::Carrier, "+CRSM", 10),
    (Stage::Contexts, "+CGDCONT?", 7),
    (Stage::Configuring, "+CLIP", 7),
    (Stage::Registering, "+CREG?", 7),
    (Stage::Volte, "+CEVOLTE?", 7),
    (Stage::Sms, "+CPMS", 35),
    (Stage::Voice, "+CPCMREG?", 7),
    (Stage::Data, "+CGACT=", 40),
];

/// Every stage with its command refused for ever, never answered, and answered late once.
#[tokio::test(start_paused = true)]
async fn every_stage_that_is_refused_unanswered_or_answered_late() {
    let mut table = String::new();
    for (stage, command, late) in STRUCK {
        for (kind, action, count) in [
            ("error", FaultAction::Refuse { code: Code::Error }, 0),
            ("silence", FaultAction::LoseReply, 0),
            ("late", FaultAction::Delay { ms: late * 1000 }, 1),
        ] {
            let mut bench = Bench::new(german()).await;
            let fault = Fault::on_command(command, Phase::Before, action).times(count);
            bench.control().inject(fault).await.unwrap();
            let told = bench.run().await;
            writeln!(table, "{:<12} {kind:<8} {}", stage.name(), told.outcome()).unwrap();
            if stage >= Stage::Carrier {
                assert_eq!(told.carrier.name, "Vodafone Germany", "{stage:?} {kind}");
            }
            bench.end();
        }
    }
    expect![[r#"
        probing      error    starts over: ATE0 was refused: ERROR
        probing      silence  starts over: the modem stopped answering while it came up: ATE0: the modem did not answer in time
        probing      late     ready
        identifying  error    ready without identifying
        identifying  silence  starts over: the modem stopped answering while it came up: AT+CGMM: the modem did not answer in time
        identifying  late     ready
        SIM          error    waits at SIM
        SIM          silence  starts over: the modem stopped answering while it came up: AT+CPIN: the modem did not answer in time
        SIM          late     starts over: the port does not answer
        carrier      error    ready
        carrier      silence  ready without carrier
        carrier      late     ready
        contexts     error    ready without contexts
        contexts     silence  ready without contexts
        contexts     late     ready
        configuring  error    ready without voice
        configuring  silence  ready without configuring, voice
        configuring  late     ready
        registering  error    ready
        registering  silence  starts over: the modem stopped answering while it came up: AT+CREG: the modem did not answer in time
        registering  late     ready
        VoLTE        error    ready
        VoLTE        silence  ready without VoLTE
        VoLTE        late     ready
        SMS          error    ready without configuring, SMS
        SMS          silence  ready without configuring, SMS
        SMS          late     starts over: the port does not answer
        voice        error    ready without voice
        voice        silence  ready without voice
        voice        late     ready
        data         error    ready without data
        data         silence  ready without data
        data         late     ready without data
    "#]].assert_eq(&table);
}

/// The same with a port that swallows everything from that command on.
#[tokio::test(start_paused = true)]
async fn a_port_that_falls_silent_in_any_stage_is_noticed() {
    for (stage, command, _) in STRUCK {
        let mut bench = Bench::new(german()).await;
        let silence = FaultAction::Silence { ms: 3_600_000 };
        let fault = Fault::on_command(command, Phase::Before, silence);
        bench.control().inject(fault).await.unwrap();
        let started = Instant::now();
        let told = bench.watch_until(|_| false).await;
        assert_eq!(told.error.as_deref(), Some("the port does not answer"), "{stage:?}");
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "{stage:?}: {:?}",
            started.elapsed()
        );
        bench.end();
    }
}

#[test]
fn the_plan_of_the_stages() {
    let mut table = String::new();
    for rule in plan::RULES {
        let bound = rule
            .bound
            .map_or("waits".to_owned(), |bound| format!("{} s", bound.as_secs()));
        writeln!(
            table,
            "{:<12} {bound:<6} {} tries  {:?}",
            rule.stage.name(),
            rule.tries,
            rule.on_failure
        )
        .unwrap();
        assert!(!rule.waits_for.is_empty());
        assert_eq!(
            rule.on_failure == OnFailure::Degrade,
            !rule.remedy.is_empty(),
            "{:?}",
            rule.stage
        );
    }
    expect![[r#"
        probing      20 s   2 tries  StartOver
        identifying  30 s   2 tries  StartOver
        SIM          waits  3 tries  StartOver
        carrier      30 s   2 tries  Degrade
        contexts     45 s   2 tries  Degrade
        configuring  60 s   2 tries  Degrade
        registering  waits  3 tries  StartOver
        VoLTE        20 s   2 tries  Degrade
        SMS          60 s   2 tries  Degrade
        voice        30 s   2 tries  Degrade
        data         45 s   1 tries  Degrade
    "#]]
    .assert_eq(&table);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_set_up_is_tried_again() {
    let mut bench = Bench::new(german()).await;
    let refuse = FaultAction::Refuse { code: Code::Error };
    let fault = Fault::on_command("+CGACT=", Phase::Before, refuse).times(2);
    bench.control().inject(fault).await.unwrap();
    let told = bench
        .watch_until(|told| told.finished && told.degraded.is_empty())
        .await;
    assert_eq!(told.outcome(), "ready");
    let tries = commands(&bench.control()).await;
    assert_eq!(tries.iter().filter(|line| line.starts_with("AT+CGACT=")).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_pin_costs_one_attempt_in_all_lives_of_the_broker() {
    let mut directory = tempfile::TempDir::new().unwrap();
    let mut entered = 0;
    for life in 1..=3 {
        // The card keeps its counter; a new virtual modem would not, so that the second life shows it by what it sends.
        let mut bench = Bench::with(locked(), directory).await;
        bench.pin = Some(Secret::new("0815".to_owned()));
        let told = bench.run_until(|told| told.detail().contains("refused")).await;
        assert_eq!(told.sim.state, SimState::PinRequired, "life {life}");
        assert!(told.detail().contains("modemctl sim pin"), "{}", told.detail());
        entered += commands(&bench.control())
            .await
            .iter()
            .filter(|line| line.starts_with("AT+CPIN="))
            .count();
        assert_eq!(entered, 1, "life {life}");
        directory = bench.end();
    }
}

#[tokio::test(start_paused = true)]
async fn a_right_pin_is_entered_in_every_life() {
    let mut directory = tempfile::TempDir::new().unwrap();
    for _ in 0..2 {
        let mut bench = Bench::with(locked(), directory).await;
        bench.pin = Some(Secret::new("4711".to_owned()));
        let told = bench.run().await;
        assert_eq!(
            (told.outcome().as_str(), told.sim.pin_lock_enabled),
            ("ready", Some(true))
        );
        directory = bench.end();
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_attempts_are_left_to_people() {
    let mut bench = Bench::new(locked()).await;
    // Two wrong ones from elsewhere leave one.
    for _ in 0..2 {
        bench
            .at
            .execute(Lane::Normal, command::enter_pin("0000").unwrap())
            .await
            .unwrap();
    }
    bench.pin = Some(Secret::new("4711".to_owned()));
    let told = bench
        .run_until(|told| told.detail().contains("leaves the last attempt"))
        .await;
    assert!(told.detail().contains("1 attempt left"), "{}", told.detail());
    let entered = commands(&bench.control())
        .await
        .iter()
        .filter(|line| line.starts_with("AT+CPIN="))
        .count();
    assert_eq!(entered, 2, "none of them is the broker's");
}

#[tokio::test(start_paused = true)]
async fn every_state_of_a_sim_that_needs_somebody_says_what_to_do() {
    for (state, expected) in [
        (PinState::Absent, "insert one"),
        (PinState::Pin, "modemctl sim pin"),
        (PinState::Puk, "modemctl sim puk"),
        (PinState::Blocked, "try it in a phone"),
    ] {
        let mut bench = Bench::new(german()).await;
        bench.control().set_sim(state).await.unwrap();
        let told = bench.run_until(|told| told.detail().contains(expected)).await;
        assert_eq!(told.path().last(), Some(&Stage::Sim), "{state:?}");
        bench.end();
    }
}

#[tokio::test(start_paused = true)]
async fn the_carrier_is_found_by_name_in_the_package_and_overruled_by_the_configuration() {
    let database = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../cellular/tests/data/serviceproviders.xml"
    );
    let card = |imsi: &str, name: &str, mnc_length| simulator::Config {
        imsi: imsi.to_owned(),
        service_provider_name: name.to_owned(),
        mnc_length,
        ..simulator::Config::default()
    };
    let overrule = CarrierConfig {
        data_apn: Some("private.example".to_owned()),
        user: Some("me".to_owned()),
        password: Some(Secret::new("secret".to_owned())),
        ..CarrierConfig::default()
    };
    for (config, configured, name, apn, source) in [
        (
            card("234101234567890", "giffgaff", 2),
            CarrierConfig::default(),
            "giffgaff",
            "giffgaff.com",
            CarrierSource::BuiltIn,
        ),
        // An old card: the length of the MNC is that of the country.
        (
            card("234101234567890", "", 0),
            CarrierConfig::default(),
            "O2 UK",
            "mobile.o2.co.uk",
            CarrierSource::BuiltIn,
        ),
        // The table has the network, the package a provider of that name in it.
        (
            card("208011234567890", "TeleCoop", 2),
            CarrierConfig::default(),
            "TeleCoop",
            "orange",
            CarrierSource::Package,
        ),
        (
            card("262021234567890", "", 2),
            overrule,
            "Vodafone Germany",
            "private.example",
            CarrierSource::Configured,
        ),
        // Nobody knows it: what is in the module stays.
        (
            card("001010000000001", "Test", 2),
            CarrierConfig::default(),
            "Test",
            "",
            CarrierSource::Fallback,
        ),
    ] {
        let mut bench = Bench::new(config).await;
        bench.carrier = configured;
        bench.provider_info = database.into();
        let told = bench.run().await;
        assert_eq!(told.outcome(), "ready", "{name}: {:?}", told.degraded);
        assert_eq!(
            (
                told.carrier.name.as_str(),
                told.carrier.data_apn.as_str(),
                told.carrier.source
            ),
            (name, apn, source)
        );
        let sent = commands(&bench.control()).await;
        let written = |line: &str| sent.iter().any(|command| command.starts_with(line));
        assert_eq!(
            written("AT+CGDCONT=1,"),
            source != CarrierSource::Fallback,
            "{name}: {sent:?}"
        );
        assert!(!written("AT+CGDCONT=2,"), "the IMS context was right: {sent:?}");
        if name == "giffgaff" {
            assert!(written("AT+CGAUTH=1,1,\"password\",\"giffgaff\""), "{sent:?}");
        }
        if source == CarrierSource::Configured {
            assert!(written("AT+CGAUTH=1,1,\"secret\",\"me\""), "{sent:?}");
        }
        bench.end();
    }
}

#[tokio::test(start_paused = true)]
async fn a_firmware_with_a_switch_for_volte_has_it_turned_on_once() {
    let mut bench = Bench::new(simulator::Config {
        volte_switch: true,
        ..german()
    })
    .await;
    for _ in 0..2 {
        assert_eq!(bench.run().await.outcome(), "ready");
    }
    let sent = commands(&bench.control()).await;
    assert_eq!(sent.iter().filter(|line| *line == "AT+CEVOLTE=1,1").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_model_and_an_unknown_firmware_are_named_and_work_as_far_as_they_can() {
    for (model, revision, expected) in [
        (
            "SIMCOM_SIM7600G-H",
            "LE99B01SIM7600G22",
            "the firmware LE99B01SIM7600G22 is not among",
        ),
        ("EC25", "EC25EFAR06A03M4G", "EC25, and the profile is for a SIM7600"),
    ] {
        let mut bench = Bench::new(simulator::Config {
            model: model.to_owned(),
            revision: revision.to_owned(),
            ..german()
        })
        .await;
        let told = bench.run().await;
        assert_eq!(told.outcome(), "ready without identifying", "{model}");
        let reason = &told.degraded[&Stage::Identifying];
        assert!(reason.contains(expected), "{reason}");
        bench.end();
    }
}

#[tokio::test(start_paused = true)]
async fn a_radio_in_flight_mode_is_switched_on_after_the_contexts_and_one_that_is_on_is_left_alone() {
    let mut bench = Bench::new(german()).await;
    let off = command::functionality(command::Functionality::RadioOff);
    bench.at.execute(Lane::Normal, off).await.unwrap();
    assert_eq!(bench.run().await.outcome(), "ready");
    let sent = commands(&bench.control()).await;
    let position = |wanted: &str| sent.iter().position(|line| line.starts_with(wanted));
    assert!(position("AT+CGDCONT=1") < position("AT+CFUN=1"), "{sent:?}");
    bench.run().await;
    let sent = commands(&bench.control()).await;
    assert_eq!(sent.iter().filter(|line| *line == "AT+CFUN=1").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_card_has_another_carrier() {
    let mut bench = Bench::new(german()).await;
    bench.run().await;
    let card = Card {
        imsi: "246031234567890".to_owned(),
        iccid: "8937003000000000013".to_owned(),
        own_number: "+37060000001".to_owned(),
        service_provider_name: String::new(),
    };
    bench.control().exchange_sim(card).await.unwrap();
    let told = bench.run().await;
    assert_eq!(
        (told.carrier.name.as_str(), told.sim.home_plmn.as_str()),
        ("Tele2 Lietuva", "24603")
    );
    let sent = commands(&bench.control()).await;
    assert!(sent.contains(&"AT+CGDCONT=1,\"IP\",\"internet.tele2.lt\"".to_owned()));
    // The module was attached with the old access point.
    assert!(sent.contains(&"AT+CGATT=0".to_owned()) && sent.contains(&"AT+CGATT=1".to_owned()));
}

fn changes_of_network(sent: &[String]) -> Vec<&str> {
    let changes = sent.iter().map(String::as_str);
    changes
        .filter(|line| line.starts_with("AT+COPS=") || line.starts_with("AT+CNMP="))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_configured_network_is_set_once_and_then_left_as_it_is() {
    let mut bench = Bench::new(german()).await;
    bench.network = NetworkConfig {
        plmn: Some("26202".to_owned()),
        technologies: Some(vec![AccessTechnology::Umts, AccessTechnology::Lte]),
    };
    for life in 0..3 {
        let told = bench.run().await;
        assert_eq!(told.outcome(), "ready", "life {life}: {:?}", told.degraded);
        let sent = commands(&bench.control()).await;
        assert_eq!(
            changes_of_network(&sent),
            ["AT+CNMP=54", "AT+COPS=1,2,\"26202\"", "AT+COPS=3,0"],
            "life {life}"
        );
    }
    // Without a word of it in the configuration nothing is taken back.
    bench.network = NetworkConfig::default();
    bench.run().await;
    assert_eq!(changes_of_network(&commands(&bench.control()).await).len(), 3);
}

/// Each try takes the modem off its network, so one that is refused must not be repeated every few minutes.
#[tokio::test(start_paused = true)]
async fn a_configured_network_that_is_refused_is_told_with_what_to_do_and_tried_once() {
    let operator = NetworkConfig {
        plmn: Some("00102".to_owned()),
        technologies: None,
    };
    let technology = NetworkConfig {
        plmn: None,
        technologies: Some(vec![AccessTechnology::Lte]),
    };
    for (network, remedy, expected) in [
        (
            operator,
            "modemctl network select 00102",
            &["AT+COPS=1,2,\"00102\"", "AT+COPS=3,0", "AT+COPS=0"][..],
        ),
        (technology, "modemctl network modes", &["AT+CNMP=38"]),
    ] {
        let mut bench = Bench::new(german()).await;
        let refused = FaultAction::Refuse { code: Code::Error };
        let fault = Fault::on_command("+CNMP=", Phase::Before, refused).times(0);
        bench.control().inject(fault).await.unwrap();
        bench.network = network;
        // A quarter of an hour: what is tried again is tried by then.
        let told = bench.watch_until(|_| false).await;
        assert_eq!(told.outcome(), "ready without registering");
        let reason = &told.degraded[&Stage::Registering];
        assert!(
            reason.contains(remedy) && reason.contains("[modem.network]"),
            "{reason}"
        );
        assert_eq!(changes_of_network(&commands(&bench.control()).await), expected);
        bench.end();
    }
}

#[tokio::test(start_paused = true)]
async fn a_configured_network_does_not_end_a_call() {
    let mut bench = Bench::new(german()).await;
    bench.network.plmn = Some("26202".to_owned());
    bench.control().ring(simulator::RingOptions::default()).await.unwrap();
    let told = bench.run().await;
    assert!(
        told.degraded[&Stage::Registering].contains("during a call"),
        "{:?}",
        told.degraded
    );
    assert_eq!(changes_of_network(&commands(&bench.control()).await), [""; 0]);
}
