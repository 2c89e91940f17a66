//! The actor against the virtual modem in memory, on a paused clock: what waits for what.

use std::collections::BTreeMap;

use simulator::{Control, Fault, FaultAction, Function, InProcess, Phase, Timing};
use tokio::sync::oneshot;

use super::*;
use crate::config::Config;
use crate::device::Bus;
use crate::modem::{ModemHandle, Setup, open};
use crate::port::OpenPort;
use crate::port::trace::Trace;
use crate::resource::{BearerState, CallEndCause, CallState, Message, MessageDirection, MessageState, UssdEndCause};
use crate::store::Store;
use crate::supervisor;
use crate::watchdog::Watchdog;

/// The same as a SUBMIT (9.2.2.2) that asks for a status report.
const SUBMIT: &str = "0021000C914477000910320000026834";

/// What takes longer, in the time of the paused clock, does not come.
const LIMIT: Duration = Duration::from_secs(900);

type Change = Box<dyn FnOnce(&mut Serving<'_>) + Send>;

/// A virtual modem, and the actor that serves it.
struct Bench {
    modem: InProcess,
    handle: ModemHandle,
    /// Changes the actor from within.
    changes: mpsc::Sender<Change>,
    ended: watch::Receiver<Option<String>>,
    store: Store,
    _shutdown: watch::Sender<bool>,
    _directory: tempfile::TempDir,
}

impl Bench {
    /// A modem that is ready, with a port for calls and one for everything else.
    async fn new(configuration: &str) -> Bench {
        let both = [(PortRole::At, Function::At), (PortRole::AtCalls, Function::Modem)];
        Bench::with(configuration, &both).await
    }

    async fn with(configuration: &str, wanted: &[(PortRole, Function)]) -> Bench {
        let directory = tempfile::TempDir::new().unwrap();
        let mut modem = simulator::start_in_process(Timing::Instant, simulator::Config::default());
        let mut functions = modem.attachment().await.unwrap().ports;
        let mut ports = BTreeMap::new();
        for &(role, function) in wanted {
            let stream = Box::new(functions.remove(&function).unwrap());
            ports.insert(role, OpenPort { stream, lock: None });
        }
        let mut config = Config::parse(configuration, "test.toml").unwrap();
        let (trace, nowhere) = (Trace::new(0), directory.path().join("nowhere"));
        let store = Store::open(&directory.path().join("broker.db")).await.unwrap();
        let setup = Setup {
            config: config.modems.remove(0),
            voice: config.voice,
            bus: Bus::open(&nowhere, &nowhere).0,
            sysfs: nowhere.clone(),
            lock_directory: nowhere.clone(),
            provider_info: nowhere.clone(),
            store: store.clone(),
            progress: Watchdog::default().watch(),
            trace: trace.clone(),
            totals: None,
        };
        let (shutdown, stop) = watch::channel(false);
        let (handle, mut actor, recorder) = open(setup, stop);
        supervisor::spawn("recorder", "", recorder);
        let link = Link::over("sim1".to_owned(), nowhere, BTreeMap::new(), trace, Vec::new(), ports);
        let (changes, mut changed) = mpsc::channel::<Change>(1);
        let (end, ended) = watch::channel(None);
        supervisor::spawn("serving", "", async move {
            let mut serving = Serving::new(&mut actor, link);
            let why = loop {
                let turn = tokio::select! {
                    biased;
                    Some(change) = changed.recv() => {
                        change(&mut serving);
                        continue;
                    }
                    turn = serving.wait() => turn,
                };
                if let Some(end) = serving.take(turn).await {
                    break end;
                }
            };
            end.send_replace(Some(why.reason().to_owned()));
        });
        let bench = Bench {
            modem,
            handle,
            changes,
            ended,
            store,
            _shutdown: shutdown,
            _directory: directory,
        };
        bench.until(|snapshot| snapshot.status.stage == Stage::Ready).await;
        bench
    }

    async fn until(&self, fits: impl Fn(&crate::modem::Snapshot) -> bool) {
        let mut snapshots = self.handle.snapshots();
        tokio::time::timeout(LIMIT, snapshots.wait_for(|snapshot| fits(snapshot)))
            .await
            .expect("it comes to that")
            .unwrap();
    }

    fn control(&self) -> Control {
        self.modem.control()
    }

    async fn slow(&self, command: &str, seconds: u64) {
        let slow = FaultAction::Delay { ms: seconds * 1000 };
        let fault = Fault::on_command(command, Phase::Before, slow).times(1);
        self.control().inject(fault).await.unwrap();
    }

    async fn commands(&self, prefix: &str) -> usize {
        let books = self.control().books().await.unwrap();
        let lines = books.commands.records.iter();
        lines.filter(|command| command.line.starts_with(prefix)).count()
    }

    /// Waits until the module has seen a command.
    async fn seen(&self, prefix: &str) {
        let looking = async {
            while self.commands(prefix).await == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, looking).await.expect(prefix);
    }

    /// Keeps the port of messages and status from everybody for 20 s.
    async fn occupy_the_port(&self) -> oneshot::Receiver<Result<cellular::at::Response, Refusal>> {
        self.slow("+COPS=?", 20).await;
        let command = cellular::at::command::scan_operators();
        let answer = self.ask(|reply| Request::Execute { command, reply });
        self.seen("AT+COPS=?").await;
        answer
    }

    async fn change(&self, change: impl FnOnce(&mut Serving<'_>) + Send + 'static) {
        assert!(self.changes.send(Box::new(change)).await.is_ok());
    }

    /// Waits until the ports are to be closed.
    async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        let why = tokio::time::timeout(LIMIT, ended.wait_for(Option::is_some)).await;
        why.expect("it ends").unwrap().clone().unwrap_or_default()
    }

    async fn queue(&self, text: &str) {
        let message = Message {
            id: text.to_owned(),
            modem: "sim1".to_owned(),
            direction: MessageDirection::Outgoing,
            state: MessageState::Queued,
            address: "+447700900123".to_owned(),
            part_count: 1,
            pdus: vec![SUBMIT.to_owned()],
            ..Message::default()
        };
        let limits = crate::store::Limits::default();
        self.store.queue_message(message, b"", &limits).await.unwrap();
        self.handle.message_queued();
    }

    /// Asks in the background, from now on.
    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request + Send + 'static,
    ) -> oneshot::Receiver<Result<T, Refusal>> {
        let (handle, (sender, answer)) = (self.handle.clone(), oneshot::channel());
        supervisor::spawn("request", "", async move {
            let mut sender = sender;
            tokio::select! {
                () = sender.closed() => {}
                answer = handle.ask(request) => drop(sender.send(answer)),
            }
        });
        answer
    }
}

fn dial(number: &str) -> impl FnOnce(Reply<crate::resource::Call>) -> Request + Send + 'static {
    let (number, request_id) = (number.to_owned(), number.to_owned());
    move |reply| Request::Dial {
        number,
        request_id,
        content_hash: [0; 32],
        emergency: false,
        reply,
    }
}

fn ussd(code: &str) -> impl FnOnce(Reply<crate::resource::UssdSession>) -> Request + Send + 'static {
    let code = code.to_owned();
    move |reply| Request::StartUssd {
        code,
        request_id: "one".to_owned(),
        content_hash: [0; 32],
        reply,
    }
}

const IMPATIENT: &str = "[[modem]]\nname = \"sim1\"\nussd_timeout_seconds = 5\n";

#[tokio::test(start_paused = true)]
async fn a_code_is_refused_during_a_scan_instead_of_waiting_for_it() {
    let bench = Bench::new(IMPATIENT).await;
    bench.slow("+COPS=?", 20).await;
    let scan = bench.ask(|reply| Request::ScanOperators { reply });
    bench.seen("AT+COPS=?").await;
    let refused = bench.ask(ussd("*101#")).await.unwrap();
    assert!(matches!(refused, Err(Refusal::NetworkBusy { .. })), "{refused:?}");
    assert_eq!(scan.await.unwrap().unwrap().len(), 2);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.commands("AT+CUSD=1,").await, 0);
}

/// A top-up that acts after its session was declared over acts twice.
#[tokio::test(start_paused = true)]
async fn a_code_that_waits_for_the_port_is_never_sent_for_a_session_that_is_over() {
    let bench = Bench::new(IMPATIENT).await;
    let _scan = bench.occupy_the_port().await;
    let session = bench.ask(ussd("*101#")).await.unwrap().unwrap();
    assert_eq!(session.end_cause, Some(UssdEndCause::NoAnswer));
    assert_eq!(session.end_detail, "before anything was sent");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let sent = (bench.commands("AT+CUSD=1,").await, bench.commands("AT+CUSD=2").await);
    assert_eq!(sent, (0, 0), "nothing is sent, so nothing is released");
    // The port is free again, and so is the next session.
    let next = bench.ask(|reply| Request::StartUssd {
        code: "*101#".to_owned(),
        request_id: "two".to_owned(),
        content_hash: [0; 32],
        reply,
    });
    assert_eq!(next.await.unwrap().unwrap().end_cause, Some(UssdEndCause::Answered));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_not_dialled_for_somebody_who_left_before_the_port_was_free() {
    let bench = Bench::with(IMPATIENT, &[(PortRole::At, Function::At)]).await;
    let _scan = bench.occupy_the_port().await;
    let dialled = bench.ask(dial("+447700900123"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(dialled);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.commands("ATD").await, 0);
    // The same request is answered with what became of it, and the next one is free.
    let again = bench.ask(dial("+447700900123")).await.unwrap().unwrap();
    assert_eq!(
        (again.state, again.end_cause),
        (CallState::Disconnected, Some(CallEndCause::Abandoned))
    );
    let next = bench.ask(dial("+447700900124")).await.unwrap().unwrap();
    assert_eq!(next.state, CallState::Dialing);
    assert_eq!(bench.commands("ATD").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reset_waits_for_the_message_that_is_on_its_way_and_holds_the_next_one_back() {
    let bench = Bench::new(IMPATIENT).await;
    bench.slow("+CMGS", 5).await;
    bench.queue("first").await;
    bench.queue("second").await;
    bench.seen("AT+CMGS").await;
    let reset = bench.ask(|reply| Request::Reset { force: false, reply });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.commands("AT+CRESET").await, 0, "the message comes first");
    assert!(reset.await.unwrap().is_ok());
    bench.seen("AT+CRESET").await;
    assert_eq!(bench.commands("AT+CMGS").await, 1, "the second one is held back");
    let books = bench.control().books().await.unwrap();
    assert_eq!(books.submits.records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_wait_for_a_message_for_ever() {
    let bench = Bench::new(IMPATIENT).await;
    bench.slow("+CMGS", 100).await;
    bench.queue("slow").await;
    bench.seen("AT+CMGS").await;
    let refused = bench.ask(|reply| Request::Reset { force: false, reply }).await.unwrap();
    assert!(matches!(refused, Err(Refusal::MessageState { .. })), "{refused:?}");
    assert_eq!(bench.commands("AT+CRESET").await, 0);
    // Whoever insists does not wait.
    let forced = bench.ask(|reply| Request::Reset { force: true, reply });
    bench.seen("AT+CRESET").await;
    drop(forced);
}

#[tokio::test(start_paused = true)]
async fn data_that_is_wanted_ends_a_scan() {
    let bench = Bench::new(IMPATIENT).await;
    bench.slow("+COPS=?", 100).await;
    let scan = bench.ask(|reply| Request::ScanOperators { reply });
    bench.seen("AT+COPS=?").await;
    let connected = bench.ask(|reply| Request::ConnectBearer {
        apn: None,
        default_route: false,
        reply,
    });
    let ended = scan.await.unwrap();
    let why = "setting up the data bearer";
    assert!(
        matches!(ended, Err(Refusal::NetworkBusy { what }) if what == why),
        "{ended:?}"
    );
    // This modem has no port for it.
    let refused = connected.await.unwrap();
    assert!(matches!(refused, Err(Refusal::DataNotReady { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn the_reset_for_degraded_audio_waits_for_the_end_of_the_data_session() {
    let bench = Bench::new(IMPATIENT).await;
    let bearer = |state| move |serving: &mut Serving<'_>| serving.modem.bearer.state = state;
    for state in [
        BearerState::Connecting,
        BearerState::Connected,
        BearerState::Disconnecting,
    ] {
        bench.change(bearer(state)).await;
        bench.change(|serving| serving.plan_audio_reset()).await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(bench.commands("AT+CRESET").await, 0, "{state:?}");
    }
    bench.change(bearer(BearerState::Disconnected)).await;
    bench.ended().await;
}
