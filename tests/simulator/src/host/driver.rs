//! The task that owns the state machine: it feeds bytes, requests and time, and carries out what comes back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::pty::PtyBench;
use super::{AudioOrder, Bench, EVENT_QUEUE, Event, Links, socket};
use crate::client::Control;
use crate::control::{Request, Response, Way};
use crate::core::{Config, Function, Modem, Output, Timing};
use crate::transcript::Transcript;

/// Requests that wait for the driver; askers wait while it is full.
const REQUEST_QUEUE: usize = 64;

/// How to start a virtual modem on pseudo-terminals.
#[derive(Debug, Clone)]
pub struct Options {
    /// Holds `dev`, `sys` and `control.sock`; made if it is missing.
    pub directory: PathBuf,
    /// Which delays apply.
    pub timing: Timing,
    /// What the module and its network are like.
    pub modem: Config,
    /// Begin with the cable out.
    pub unplugged: bool,
    /// Make a TUN device of this name as the modem's network interface. Needs `CAP_NET_ADMIN`. Packets go while a data
    /// session is up and both ends speak raw IP.
    pub tun: Option<String>,
    /// Where it hangs.
    pub place: Place,
}

/// Where a virtual modem hangs on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Directory of `dev` and `sys`, which several virtual modems may share; the modem's own directory if none.
    pub tree: Option<PathBuf>,
    /// USB port, from 1.
    pub position: u8,
    /// The hub can switch the port off.
    pub hub_power: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            tree: None,
            position: 1,
            hub_power: false,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        let modem = Config {
            epoch: jiff::Timestamp::now(),
            ..Config::default()
        };
        Self {
            directory: std::env::temp_dir().join("modem-sim"),
            timing: Timing::Instant,
            modem,
            unplugged: false,
            tun: None,
            place: Place::default(),
        }
    }
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what} {path}")]
pub struct StartError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl StartError {
    pub(super) fn new(what: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self {
            what,
            path: path.into(),
            source,
        }
    }
}

/// A virtual modem that runs. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Running {
    directory: PathBuf,
    control: Control,
    driver: Option<JoinHandle<()>>,
    socket: JoinHandle<()>,
    tun: Option<JoinHandle<()>>,
}

/// Starts a virtual modem on pseudo-terminals. Returns once its ports are there.
pub async fn start(options: Options) -> Result<Running, StartError> {
    let directory = options.directory.clone();
    std::fs::create_dir_all(&directory).map_err(|error| StartError::new("make", &directory, error))?;
    // Who holds the socket holds the directory; only then may old nodes be cleared away.
    let listener = socket::listen(&directory)?;
    let interface = options.tun.clone();
    let tun = options
        .tun
        .map(|name| super::tun::open(&name).map_err(|error| StartError::new("make the network interface", name, error)))
        .transpose()?;
    let bench = PtyBench::new(&directory, &options.place, interface.as_deref())?;
    let (control, driver) = spawn(bench, options.timing, options.modem, !options.unplugged);
    // The first answer comes after the first attachment.
    if control.status().await.is_err() {
        let gone = std::io::Error::other("the driver ended");
        return Err(StartError::new("attach the ports in", directory, gone));
    }
    let tun = tun.zip(interface).map(|(tun, name)| {
        let tree = options.place.tree.as_ref().unwrap_or(&directory);
        let interface = tree.join("sys/class/net").join(&name);
        spawn_task(super::tun::serve(tun, name, interface, control.clone()))
    });
    let socket = spawn_task(socket::serve(listener, control.clone()));
    Ok(Running {
        directory,
        control,
        driver: Some(driver),
        socket,
        tun,
    })
}

impl Running {
    /// The handle to ask and to make things happen.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Where `dev`, `sys` and `control.sock` are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Pulls the cable for good and removes what was put into the directory.
    pub async fn stop(mut self) {
        self.socket.abort();
        self.tun.iter().for_each(JoinHandle::abort);
        self.control.close().await;
        if let Some(driver) = self.driver.take()
            && let Err(error) = driver.await
        {
            tracing::warn!(%error, "the driver ended badly");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.socket.abort();
        self.tun.iter().for_each(JoinHandle::abort);
        if let Some(driver) = &self.driver {
            driver.abort();
        }
        let _ = std::fs::remove_file(socket::path(&self.directory));
    }
}

/// A request on its way to the driver.
#[derive(Debug)]
pub(crate) enum Order {
    Request(Request, oneshot::Sender<Response>),
    Close(oneshot::Sender<()>),
}

pub(super) fn spawn(bench: impl Bench, timing: Timing, config: Config, plugged: bool) -> (Control, JoinHandle<()>) {
    let (orders, inbox) = mpsc::channel(REQUEST_QUEUE);
    let transcript = Transcript::default();
    let started = Instant::now();
    let mut modem = Modem::new(started.into_std(), timing, config);
    if plugged {
        modem.plug(started.into_std());
    }
    let (events, event_inbox) = mpsc::channel(EVENT_QUEUE);
    let driver = Driver {
        modem,
        bench,
        links: None,
        generation: 0,
        events,
        openings: BTreeMap::new(),
        transcript: transcript.clone(),
        started,
    };
    (
        Control::local(orders, transcript),
        spawn_task(driver.run(inbox, event_inbox)),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the simulator: each task has a handle that ends it"
)]
pub(super) fn spawn_task(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

struct Driver<B> {
    modem: Modem,
    bench: B,
    links: Option<Links>,
    /// Tells input of a vanished port from input of its successor.
    generation: u64,
    events: mpsc::Sender<Event>,
    /// Openings of ports that are gone.
    openings: BTreeMap<Function, u64>,
    transcript: Transcript,
    started: Instant,
}

impl<B: Bench> Driver<B> {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>, mut events: mpsc::Receiver<Event>) {
        loop {
            self.carry_out();
            let due = self.modem.poll_timeout().map(Instant::from_std);
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Request(request, answer)) => {
                        let now = Instant::now().into_std();
                        self.modem.set_openings(self.openings());
                        let response = self.modem.handle_control(now, request);
                        self.carry_out();
                        let response = response.unwrap_or_else(|refused| Response::Error { message: refused.to_string() });
                        // Who asked may have gone meanwhile.
                        let _ = answer.send(response);
                    }
                    Some(Order::Close(done)) => {
                        self.detach();
                        let _ = done.send(());
                        return;
                    }
                    None => break,
                },
                event = events.recv() => {
                    if let Some(event) = event {
                        self.take(event);
                    }
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.modem.handle_timeout(Instant::now().into_std());
                }
            }
        }
        self.detach();
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Input {
                port,
                generation,
                bytes,
            } if generation == self.generation => {
                self.transcript.record(self.elapsed_ms(), port, Way::ToModem, &bytes);
                self.modem.handle_input(port, Instant::now().into_std(), &bytes);
            }
            Event::Opened { port, generation } if generation == self.generation => self.modem.handle_opened(port),
            Event::Closed { port, generation } if generation == self.generation => {
                self.modem.handle_closed(port, Instant::now().into_std());
            }
            Event::Input { .. } | Event::Opened { .. } | Event::Closed { .. } => {}
            Event::Switched { authorized, powered } => {
                self.modem.handle_switch(Instant::now().into_std(), authorized, powered);
            }
            Event::Account { call, account } => self.modem.handle_audio_account(call, account),
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.modem.poll_output() {
            match output {
                Output::Bytes { port, bytes } => {
                    if port != Function::Nmea {
                        self.transcript.record(self.elapsed_ms(), port, Way::ToHost, &bytes);
                    }
                    if let Some(links) = &self.links {
                        links.write(port, bytes);
                    }
                }
                Output::Attached { composition, renumber } => {
                    self.generation += 1;
                    match self.bench.attach(composition, renumber, self.generation, &self.events) {
                        Ok(links) => self.links = Some(links),
                        Err(error) => tracing::error!(%error, "failed to attach the ports"),
                    }
                }
                Output::Detached => self.detach(),
                Output::Deauthorized => {
                    self.forget_links();
                    self.bench.deauthorize();
                }
                Output::AudioOn(flow) => self.audio(AudioOrder::On(flow)),
                Output::AudioOff => self.audio(AudioOrder::Off),
                Output::AudioTones(keys) => self.audio(AudioOrder::Tones(keys)),
                Output::AudioFault(fault) => self.audio(AudioOrder::Fault(fault)),
                Output::Kill { pid } => kill_host(pid),
            }
        }
    }

    fn audio(&self, order: AudioOrder) {
        if let Some(audio) = self.links.as_ref().and_then(|links| links.audio.as_ref()) {
            audio.order(order);
        }
    }

    fn detach(&mut self) {
        self.forget_links();
        self.bench.detach();
    }

    fn forget_links(&mut self) {
        self.generation += 1;
        self.openings = self.openings();
        self.links = None;
    }

    /// How often the host opened each port so far.
    fn openings(&self) -> BTreeMap<Function, u64> {
        let mut openings = self.openings.clone();
        for (function, listener) in self.links.iter().flat_map(|links| &links.nodes) {
            *openings.entry(*function).or_default() += listener.openings();
        }
        openings
    }
}

impl<B> Drop for Driver<B> {
    fn drop(&mut self) {
        self.links = None;
    }
}

fn kill_host(pid: u32) {
    let Ok(pid) = i32::try_from(pid) else { return };
    // 0 and below would mean groups of processes.
    if pid > 1
        && let Err(error) = kill(Pid::from_raw(pid), Signal::SIGKILL)
    {
        tracing::warn!(pid, %error, "failed to kill a program of the host");
    }
}
