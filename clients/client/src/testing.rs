//! A scripted broker for tests: the contract's services over a Unix socket, with a journal, messages, calls with a
//! caller who speaks, and faults. It keeps no state machine of the real broker's; it says what a test told it to say.

mod calls;
mod server;

pub use server::refuse;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use api::v1;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::settings::Settings;

/// What the scripted broker knows and saw.
#[derive(Default)]
pub struct State {
    /// The journal.
    pub events: Vec<v1::Event>,
    /// Everything up to here is gone from the journal.
    pub expired: u64,
    /// Modems.
    pub modems: Vec<v1::Modem>,
    /// SIMs by modem.
    pub sims: BTreeMap<String, v1::Sim>,
    /// Network status by modem.
    pub networks: BTreeMap<String, v1::NetworkStatus>,
    /// Where recovery stands, by modem.
    pub recoveries: BTreeMap<String, v1::GetRecoveryResponse>,
    /// Messages, newest first.
    pub messages: Vec<v1::Message>,
    /// Calls, newest first.
    pub calls: Vec<v1::Call>,
    /// Positions of consumers.
    pub consumers: BTreeMap<String, u64>,
    /// Every commit, in order.
    pub commits: Vec<(String, u64)>,
    /// Every message that was to be sent, in order.
    pub sends: Vec<v1::SendMessageRequest>,
    /// Every list of messages that was asked for.
    pub lists: Vec<v1::ListMessagesRequest>,
    /// How the next sends are refused, before anything is stored.
    pub refusals: VecDeque<Status>,
    /// What the modem answers to AT commands.
    pub at_answer: v1::ExecuteAtCommandResponse,
    /// AT commands that were asked for.
    pub at_commands: Vec<v1::ExecuteAtCommandRequest>,
    /// What the other side of a call does.
    pub caller: Caller,
    /// Uplink audio of the calls, in the order in which it was played. The silence that filled the gaps is left out: how
    /// long they are depends on the machine, since this caller lives faster than real time.
    pub uplink: Vec<i16>,
    /// How often a call's stream was attached.
    pub attachments: Vec<v1::StreamCallAttach>,
    /// DTMF that was sent.
    pub tones: String,
}

/// What the other side of a call does, as soon as the audio is attached.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// What it says; silence afterwards.
    pub speech: Vec<i16>,
    /// Wall clock for a frame of 20 ms. Zero: 1 ms, twenty times faster than real.
    pub frame_time: Duration,
    /// The call ends after so many samples, if it ends by the caller.
    pub hangs_up_after: Option<usize>,
}

/// A running scripted broker.
pub struct FakeBroker {
    state: Arc<Shared>,
    path: PathBuf,
    tasks: JoinSet<()>,
    _directory: Arc<Directory>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    doorbell: watch::Sender<u64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn ring(&self) {
        self.doorbell.send_modify(|count| *count += 1);
    }

    fn append(&self, change: v1::event::Change) -> u64 {
        let mut state = self.lock();
        let sequence = state.expired.max(state.events.last().map_or(0, |event| event.sequence)) + 1;
        let event_time = Some(prost_types::Timestamp {
            seconds: 1_790_000_000 + sequence as i64,
            nanos: 0,
        });
        state.events.push(v1::Event {
            sequence,
            event_time,
            modem: "sim1".into(),
            change: Some(change),
        });
        drop(state);
        self.ring();
        sequence
    }

    fn put_call(&self, call: v1::Call) {
        let mut state = self.lock();
        match state.calls.iter_mut().find(|known| known.call_id == call.call_id) {
            Some(known) => *known = call.clone(),
            None => state.calls.insert(0, call.clone()),
        }
        drop(state);
        self.append(v1::event::Change::CallChanged(call));
    }
}

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // Nobody is left who could use the error.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl FakeBroker {
    /// Starts one on a socket of its own.
    pub fn start() -> Self {
        let name = format!("fake-broker-{}-{:x}", std::process::id(), fastrand::u64(..));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("the temporary directory is writable");
        let shared = Shared {
            state: Mutex::default(),
            doorbell: watch::channel(0).0,
        };
        let mut broker = Self {
            state: Arc::new(shared),
            path: directory.join("broker.sock"),
            tasks: JoinSet::new(),
            _directory: Arc::new(Directory(directory)),
        };
        broker.resume();
        broker
    }

    /// How to reach it.
    pub fn settings(&self) -> Settings {
        Settings::for_endpoint(format!("unix:{}", self.path.display()))
    }

    /// Looks at or changes what it knows.
    pub fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let result = f(&mut self.state.lock());
        self.state.ring();
        result
    }

    /// Appends an event; returns its sequence.
    pub fn append(&self, change: v1::event::Change) -> u64 {
        self.state.append(change)
    }

    /// Stores a message and appends its event; returns the event's sequence.
    pub fn put_message(&self, message: v1::Message) -> u64 {
        self.with(|state| {
            state.messages.retain(|known| known.message_id != message.message_id);
            state.messages.insert(0, message.clone());
        });
        self.append(v1::event::Change::MessageChanged(message))
    }

    /// Stores a call and appends its event.
    pub fn put_call(&self, call: v1::Call) {
        self.state.put_call(call);
    }

    /// Waits until `f` holds, at most ten seconds.
    pub async fn wait_for(&self, what: &str, mut f: impl FnMut(&State) -> bool) {
        let mut doorbell = self.state.doorbell.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                doorbell.borrow_and_update();
                if f(&self.state.lock()) {
                    return;
                }
                if doorbell.changed().await.is_err() {
                    return;
                }
            }
        });
        assert!(waited.await.is_ok(), "gave up waiting: {what}");
    }

    /// Cuts every connection, as a crash would, and stops listening.
    pub async fn crash(&mut self) {
        self.tasks.shutdown().await;
        let _ = std::fs::remove_file(&self.path);
    }

    /// Listens again after a crash, with the same state.
    pub fn resume(&mut self) {
        let listener = UnixListener::bind(&self.path).expect("the socket is free");
        let (connections, incoming) = mpsc::channel(8);
        let router = server::router(Arc::clone(&self.state));
        self.tasks.spawn(async move {
            // The test is over when this ends.
            let _ = router.serve_with_incoming(ReceiverStream::new(incoming)).await;
        });
        self.tasks.spawn(async move {
            // The relays live in this task, so that ending it cuts every connection.
            let mut relays = JoinSet::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let (mut near, far) = tokio::io::duplex(64 * 1024);
                if connections.send(Ok::<_, std::io::Error>(far)).await.is_err() {
                    return;
                }
                relays.spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut socket, &mut near).await;
                });
            }
        });
    }
}
