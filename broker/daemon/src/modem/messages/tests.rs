//! Receiving and sending over a virtual modem in memory, on a paused clock: what takes minutes takes none here.

use std::collections::{HashSet, VecDeque};

use cellular::at::command::{self, Storage};
use cellular::at::{Command, Urc};
use jiff::Timestamp;
use simulator::{Books, Code, Config, Control, Fate, Fault, FaultAction, Function, InProcess, Phase, Timing};
use tokio::sync::{mpsc, watch};

use super::receiving::{Receiver, Report};
use super::sending::{Resume, Sender};
use super::{Direct, Place, retry_pause, storages};
use crate::port::OpenPort;
use crate::port::at::{AtEvent, AtHandle, AtPort, Lane};
use crate::port::trace::Trace;
use crate::resource::{Message, MessageDirection, MessageState, PortRole};
use crate::store::{Limits, MessageQuery, Queued, Store};

const FROM: &str = "+447700900123";

/// Made for these tests, with the fields of 23.040 9.2.2.1: "he" from +447700900123.
const PDU: &str = "00040C91447700091032000062112140820500026834";

/// The same as a SUBMIT (9.2.2.2) that asks for a status report.
const SUBMIT: &str = "0021000C914477000910320000026834";

/// A virtual modem whose message commands are set up as the broker wants them, and a store.
struct Bench {
    modem: InProcess,
    at: AtHandle,
    events: mpsc::Receiver<(PortRole, AtEvent)>,
    store: Store,
    _stopping: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
    /// Open for as long as they are held.
    _port: AtPort,
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Bench {
        let directory = tempfile::TempDir::new().unwrap();
        let store = Store::open(&directory.path().join("broker.db")).await.unwrap();
        let mut modem = simulator::start_in_process(Timing::Instant, Config::default());
        let (_port, at, events) = open(&mut modem).await;
        let (_stopping, stopped) = watch::channel(false);
        let bench = Bench {
            modem,
            at,
            events,
            store,
            _stopping,
            stopped,
            _port,
            _directory: directory,
        };
        bench.set_up().await;
        bench
    }

    /// The modem left the bus and is back: its port is another one.
    async fn reopen(&mut self) {
        (self._port, self.at, self.events) = open(&mut self.modem).await;
        self.set_up().await;
    }

    async fn set_up(&self) {
        self.ask(command::echo_off()).await;
        self.ask(command::error_reporting(command::ErrorReporting::Numeric))
            .await;
        self.ask(command::message_format_pdu()).await;
        let storage = || command::message_storage(Storage::Sim, Storage::Sim, Storage::Sim);
        // The module reads the SIM's storage some time after it has started.
        while !self.ask(storage()).await {
            tokio::time::sleep(retry_pause(0)).await;
        }
        assert!(storages::indicate(&self.at).await.unwrap().is_ok());
    }

    async fn ask(&self, command: Command) -> bool {
        let response = self.at.execute(Lane::Normal, command).await.unwrap();
        response.result.is_ok()
    }

    fn sim(&self) -> Control {
        self.modem.control()
    }

    async fn inject(&self, matches: &str, phase: Phase, action: FaultAction) {
        self.sim()
            .inject(Fault::on_command(matches, phase, action))
            .await
            .unwrap();
    }

    async fn books(&self) -> Books {
        self.sim().books().await.unwrap()
    }

    async fn fates(&self) -> Vec<Fate> {
        let records = self.books().await.deliveries.records;
        records.iter().map(|delivery| delivery.fate().clone()).collect()
    }

    /// Lets the network deliver PDUs and waits until the modem has them.
    async fn deliver(&self, pdus: &[&str]) {
        let mut wanted = self.fates().await.len();
        for pdu in pdus {
            self.sim().deliver_pdu(pdu).await.unwrap();
            wanted += 1;
        }
        let stored = |fate: &Fate| !matches!(fate, Fate::Waiting);
        while self.fates().await.iter().filter(|fate| stored(fate)).count() < wanted {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    fn receiver(&self) -> Receiver {
        self.receiver_knowing(HashSet::new())
    }

    fn receiver_knowing(&self, stuck: HashSet<Place>) -> Receiver {
        Receiver {
            stuck,
            store: self.store.clone(),
            modem: "sim1".into(),
            sim: "card".into(),
            at: self.at.clone(),
        }
    }

    /// Empties every storage, as at a start.
    async fn sweep(&self) -> Report {
        let (places, direct) = (VecDeque::new(), VecDeque::new());
        self.receiver().receive(true, places, direct, HashSet::new()).await
    }

    /// Accepts a message to be sent, tries to send what is queued, and returns what became of it.
    async fn send(&self, text: &str) -> (Message, Resume) {
        let id = uuid::Uuid::new_v4().to_string();
        let message = Message {
            id: id.clone(),
            modem: "sim1".into(),
            direction: MessageDirection::Outgoing,
            state: MessageState::Queued,
            address: FROM.into(),
            text: text.into(),
            part_count: 1,
            create_time: Timestamp::now(),
            update_time: Timestamp::now(),
            pdus: vec![SUBMIT.into()],
            delivery_report_requested: true,
            ..Message::default()
        };
        let queued = self
            .store
            .queue_message(message, b"", &Limits::default())
            .await
            .unwrap();
        assert!(matches!(queued, Queued::New(_)));
        let sender = Sender {
            held_back: watch::channel(false).1,
            store: self.store.clone(),
            modem: "sim1".into(),
            at: self.at.clone(),
            stopped: self.stopped.clone(),
        };
        let resume = sender.send_queued().await;
        (self.store.message(&id).await.unwrap().unwrap(), resume)
    }

    async fn listed(&self) -> usize {
        let query = MessageQuery {
            page_size: 100,
            ..MessageQuery::default()
        };
        self.store.messages(query).await.unwrap().items.len()
    }

    /// The next thing that the module hands over without storing it.
    async fn handed_over(&mut self) -> Direct {
        loop {
            let (_, event) = self.events.recv().await.unwrap();
            if let AtEvent::Unsolicited(unsolicited) = event
                && let Urc::MessageDelivered { pdu, length } | Urc::StatusReportDelivered { pdu, length } =
                    unsolicited.urc
            {
                return Direct { pdu, length };
            }
        }
    }
}

async fn open(modem: &mut InProcess) -> (AtPort, AtHandle, mpsc::Receiver<(PortRole, AtEvent)>) {
    let mut ports = modem.attachment().await.unwrap().ports;
    let (sender, events) = mpsc::channel(512);
    let port = OpenPort {
        stream: Box::new(ports.remove(&Function::At).unwrap()),
        lock: None,
    };
    let config = cellular::at::Config::default();
    let port = AtPort::start(PortRole::At, "sim1", port, config, sender, Trace::new(0));
    let at = port.handle(PortRole::At);
    (port, at, events)
}

fn unplug() -> FaultAction {
    FaultAction::Unplug {
        replug_after_ms: Some(200),
        renumber: false,
    }
}

/// The broker stored the first of two and did not get to deleting it; it took the second one for the first.
#[tokio::test(start_paused = true)]
async fn two_equal_messages_stay_two_when_the_modem_goes_away_between_store_and_delete() {
    let mut bench = Bench::new().await;
    bench.deliver(&[PDU, PDU]).await;
    bench.inject("+CMGD=0", Phase::Before, unplug()).await;
    assert!(bench.sweep().await.kept_back > 0);
    bench.reopen().await;
    bench.sweep().await;
    assert_eq!(bench.fates().await, [Fate::Deleted, Fate::Deleted]);
    assert_eq!(bench.listed().await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_takes_the_place_of_an_equal_one_deleted_unawares_is_received() {
    let mut bench = Bench::new().await;
    bench.deliver(&[PDU]).await;
    // It is deleted, and the confirmation is lost with the port.
    bench.inject("+CMGD=0", Phase::After, unplug()).await;
    assert!(bench.sweep().await.kept_back > 0);
    bench.reopen().await;
    bench.deliver(&[PDU]).await;
    bench.sweep().await;
    assert_eq!(bench.fates().await, [Fate::Deleted, Fate::Deleted]);
    assert_eq!(bench.listed().await, 2);
}

/// It blocked the port for a minute, and an equal message that came next was taken for the one before.
#[tokio::test(start_paused = true)]
async fn a_deletion_whose_result_is_lost_is_looked_at_again_and_doubles_nothing() {
    let bench = Bench::new().await;
    bench.deliver(&[PDU]).await;
    bench
        .inject("+CMGD=0", Phase::After, FaultAction::LoseFinalResult)
        .await;
    let begin = tokio::time::Instant::now();
    assert_eq!(bench.sweep().await.kept_back, 1);
    assert!(begin.elapsed() < command::limit::STORAGE, "{:?}", begin.elapsed());
    bench.sweep().await;
    assert_eq!(bench.listed().await, 1);
    bench.deliver(&[PDU]).await;
    bench.sweep().await;
    assert_eq!(bench.listed().await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_noise_damaged_on_its_way_is_read_again_and_stored_whole() {
    for phase in [Phase::Before, Phase::After] {
        let bench = Bench::new().await;
        bench.deliver(&[PDU]).await;
        // A line of its own between the header and the result, in place of the PDU or before it.
        let noise = FaultAction::InjectBytes {
            hex: "0D0A2B434D47523A20302C2C32300D0A30303034FF0D0A".into(),
        };
        bench.inject("+CMGR", phase, noise).await;
        bench.sweep().await;
        let query = MessageQuery {
            page_size: 10,
            ..MessageQuery::default()
        };
        let messages = bench.store.messages(query).await.unwrap().items;
        let [message] = messages.as_slice() else {
            panic!("{phase:?}: {messages:?}")
        };
        let message = bench.store.message(&message.id).await.unwrap().unwrap();
        let told = (message.state, message.pdus);
        assert_eq!(told, (MessageState::Received, vec![PDU.to_owned()]), "{phase:?}");
        assert_eq!(bench.fates().await, [Fate::Deleted], "{phase:?}");
    }
}

/// What the broker has of one message, and whether the module still has it.
async fn kept(bench: &Bench) -> (Vec<(MessageState, Vec<String>)>, Vec<Fate>) {
    let query = MessageQuery {
        page_size: 10,
        ..MessageQuery::default()
    };
    let mut told = Vec::new();
    for listed in bench.store.messages(query).await.unwrap().items {
        // Lists leave the PDUs out.
        let message = bench.store.message(&listed.id).await.unwrap().unwrap();
        told.push((message.state, message.pdus));
    }
    (told, bench.fates().await)
}

fn reply(lines: &[&str]) -> FaultAction {
    FaultAction::Answer {
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        code: Code::Ok,
    }
}

/// Its place is freed only when its octets are here: the content of more than one message was lost for good.
#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_come_out_whole_stays_in_the_module_until_it_does() {
    let (half, damaged) = (&PDU[..40], format!("{}\u{FFFD}{}", &PDU[..9], &PDU[10..]));
    for lines in [
        &["+CMGR: 0,,21"] as &[&str],
        &["+CMGR: 0,,21", ""],
        &["+CMGR: 0,,21", half],
        &["+CMGR: 0,,21", &damaged],
        &["+CMGR: 0,,", half],
    ] {
        let bench = Bench::new().await;
        bench.deliver(&[PDU]).await;
        let fault = Fault::on_command("+CMGR", Phase::Before, reply(lines)).times(3);
        bench.sim().inject(fault).await.unwrap();
        let report = bench.sweep().await;
        assert_eq!((report.kept_back, report.unreadable.len()), (1, 1), "{lines:?}");
        let (told, fates) = kept(&bench).await;
        assert!(told.is_empty(), "{lines:?}: {told:?}");
        assert!(matches!(fates[..], [Fate::Stored { .. }]), "{lines:?}: {fates:?}");
        let report = bench.sweep().await;
        assert_eq!((report.kept_back, report.unreadable.len()), (0, 0), "{lines:?}");
        let whole = vec![(MessageState::Received, vec![PDU.to_owned()])];
        assert_eq!(kept(&bench).await, (whole, vec![Fate::Deleted]), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_in_a_form_of_its_own_is_received_at_once() {
    let (begin, end) = PDU.split_at(24);
    for lines in [
        &["+CMGR: 0,,21", begin, end] as &[&str],
        &["+CMGR: 0,,22", PDU],
        &["+CMGR: 0,,", PDU],
        &["+CMGR: 21", PDU],
        &["+CMGR: 0,,30", PDU],
        &["+CMGR: \"REC UNREAD\",,21", PDU],
    ] {
        let bench = Bench::new().await;
        bench.deliver(&[PDU]).await;
        let fault = Fault::on_command("+CMGR", Phase::Before, reply(lines)).times(3);
        bench.sim().inject(fault).await.unwrap();
        bench.sweep().await;
        let whole = vec![(MessageState::Received, vec![PDU.to_owned()])];
        assert_eq!(kept(&bench).await, (whole, vec![Fate::Deleted]), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_module_in_text_mode_is_set_back_to_pdu_mode_before_anything_is_deleted() {
    let bench = Bench::new().await;
    bench.deliver(&[PDU]).await;
    bench.sim().execute("AT+CMGF=1").await.unwrap();
    bench.sweep().await;
    let whole = vec![(MessageState::Received, vec![PDU.to_owned()])];
    assert_eq!(kept(&bench).await, (whole, vec![Fate::Deleted]));
}

/// One became eleven in twenty minutes.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_deleted_although_the_module_says_so_is_told_and_does_not_multiply() {
    for status in [0, 1] {
        let bench = Bench::new().await;
        bench.deliver(&[PDU, PDU]).await;
        for (command, lines) in [
            ("+CMGD=1", vec![]),
            // Some modules do not change the status of what was read.
            ("+CMGR=1", vec![format!("+CMGR: {status},,21"), PDU.to_owned()]),
        ] {
            let claim = FaultAction::Answer { lines, code: Code::Ok };
            let fault = Fault::on_command(command, Phase::Before, claim).times(0);
            bench.sim().inject(fault).await.unwrap();
        }
        let mut stuck = HashSet::new();
        for _ in 0..5 {
            let (places, direct) = (VecDeque::new(), VecDeque::new());
            let receiver = bench.receiver_knowing(stuck);
            let report = receiver.receive(true, places, direct, HashSet::new()).await;
            assert_eq!(report.kept_back, 1);
            assert_eq!(report.stuck.iter().map(|place| place.index).collect::<Vec<_>>(), [1]);
            stuck = report.stuck;
        }
        assert_eq!(bench.listed().await, 2);
        bench.sim().clear_faults().await.unwrap();
        let (places, direct) = (VecDeque::new(), VecDeque::new());
        let receiver = bench.receiver_knowing(stuck);
        let report = receiver.receive(true, places, direct, HashSet::new()).await;
        assert_eq!((report.kept_back, report.stuck.len(), bench.listed().await), (0, 0, 2));
        // The place was seen empty: an equal message there is another one.
        bench.deliver(&[PDU, PDU]).await;
        bench.sweep().await;
        assert_eq!(bench.listed().await, 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_was_cut_short_says_so() {
    let busy = || FaultAction::Refuse { code: Code::Cms(314) };
    for (matches, phase, action) in [
        ("+CPMS=\"SR\"", Phase::Before, busy()),
        ("+CMGR", Phase::Before, FaultAction::LoseReply),
        ("+CPMS=\"SM\"", Phase::Before, FaultAction::LoseReply),
    ] {
        let bench = Bench::new().await;
        bench.deliver(&[PDU]).await;
        bench.inject(matches, phase, action).await;
        assert!(bench.sweep().await.cut_short, "{matches}");
        let again = bench.sweep().await;
        assert!(!again.cut_short && again.kept_back == 0, "{matches}: {again:?}");
        assert_eq!(bench.fates().await, [Fate::Deleted], "{matches}");
    }
    let bench = Bench::new().await;
    let unknown = FaultAction::Refuse { code: Code::Cms(302) };
    bench.inject("+CPMS=\"SR\"", Phase::Before, unknown).await;
    assert!(
        !bench.sweep().await.cut_short,
        "a storage that the module does not have"
    );
}

#[test]
fn what_fails_again_and_again_is_tried_less_and_less_often() {
    let pauses: Vec<u64> = [0, 1, 2, 5, 9, 10, 31, 32, u32::MAX]
        .map(|failed| retry_pause(failed).as_secs())
        .to_vec();
    assert_eq!(pauses, [1, 2, 4, 32, 512, 600, 600, 600, 600]);
}

/// `+CDS`: the firmware cannot store reports, and the service wants them acknowledged (27.005 3.4.4).
#[tokio::test(start_paused = true)]
async fn a_report_that_is_handed_over_counts_and_is_acknowledged() {
    let mut bench = Bench::new().await;
    for line in ["AT+CSMS=1", "AT+CNMI=2,1,0,1,0"] {
        bench.sim().execute(line).await.unwrap();
    }
    let (message, _) = bench.send("h5").await;
    assert_eq!(message.state, MessageState::Sent);
    let report = bench.handed_over().await;
    let receiver = bench.receiver();
    receiver
        .receive(false, VecDeque::new(), VecDeque::from([report]), HashSet::new())
        .await;
    let message = bench.store.message(&message.id).await.unwrap().unwrap();
    assert_eq!(message.state, MessageState::Delivered);
    assert_eq!(bench.fates().await, [Fate::Acknowledged]);
}

#[tokio::test(start_paused = true)]
async fn what_an_error_says_of_a_message_depends_on_when_it_came() {
    use MessageState::{Failed, OutcomeUnknown, Queued};
    for (number, at_the_prompt, after_the_message) in [
        (331, Queued, Queued),
        (332, Failed, OutcomeUnknown),
        (500, Failed, OutcomeUnknown),
        (512, Failed, OutcomeUnknown),
        (38, Failed, Failed),
        (41, Failed, Failed),
        (42, Failed, Failed),
        (47, Failed, Failed),
        (21, Failed, Failed),
        (304, Failed, Failed),
        (192, Failed, Failed),
    ] {
        for (phase, expected) in [(Phase::Before, at_the_prompt), (Phase::Prompted, after_the_message)] {
            let bench = Bench::new().await;
            let refuse = FaultAction::Refuse {
                code: Code::Cms(number),
            };
            bench.inject("+CMGS", phase, refuse).await;
            let (message, resume) = bench.send("h5").await;
            assert_eq!(message.state, expected, "{number} {phase:?}: {}", message.failure);
            assert!(message.failure.contains(&number.to_string()), "{}", message.failure);
            assert_eq!(
                matches!(resume, Resume::After(_)),
                expected == Queued,
                "{number} {phase:?}"
            );
        }
    }
}

/// The network took it, and the module says that something went wrong.
#[tokio::test(start_paused = true)]
async fn an_unknown_error_after_the_network_took_a_message_does_not_fail_it() {
    let bench = Bench::new().await;
    let refuse = FaultAction::Refuse { code: Code::Cms(500) };
    bench.inject("+CMGS", Phase::After, refuse).await;
    let (message, _) = bench.send("h5").await;
    assert_eq!(message.state, MessageState::OutcomeUnknown);
    assert_eq!(bench.books().await.submits.records.len(), 1);
}

/// The broker waits as long as a network may take; nothing is sent again, and the next message goes out.
#[tokio::test(start_paused = true)]
async fn a_submission_that_times_out_is_an_unknown_outcome() {
    let bench = Bench::new().await;
    bench.inject("+CMGS", Phase::After, FaultAction::LoseReply).await;
    let begin = tokio::time::Instant::now();
    let (message, _) = bench.send("h5").await;
    assert_eq!(message.state, MessageState::OutcomeUnknown);
    assert!(begin.elapsed() >= command::limit::MESSAGE_SUBMISSION);
    let (next, _) = bench.send("h5").await;
    assert_eq!(next.state, MessageState::Sent);
    assert_eq!(bench.books().await.submits.records.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_storage_keeps_what_comes_in_the_network_until_it_is_emptied() {
    let bench = Bench::new().await;
    bench.sim().set_capacity("SM", 2).await.unwrap();
    for _ in 0..5 {
        bench.sim().deliver_pdu(PDU).await.unwrap();
    }
    for _ in 0..5 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        bench.sweep().await;
    }
    assert_eq!(bench.fates().await, vec![Fate::Deleted; 5]);
    assert_eq!(bench.listed().await, 5);
}
