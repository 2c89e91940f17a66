//! The GNSS receiver: switched on when the configuration says so, read from the NMEA port, or asked by an AT command when
//! the composition has no such port.
//!
//! The port is open for as long as the receiver is wanted, not only while somebody streams: the last fix is then always
//! there to be asked for. Fixes are not journaled: one a second for years would wear an SD card out.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cellular::at::{command, reply};
use cellular::location::{FixBuilder, Update, fix_of};
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use super::bring_up::Progress;
use super::serving::Serving;
use super::{Done, Reply};
use crate::modem::settings::GnssConfig;
use crate::port::PortAddress;
use crate::port::at::{AtError, AtHandle, Lane};
use crate::port::nmea::NmeaPort;
use crate::port::trace::{Direction, Trace};
use crate::refusal::Refusal;
use crate::resource::{Fix, PortRole, PortState};
use crate::supervisor;
use crate::tail::{Reader, Tail};

/// Sentences that are kept for whoever streams them: some ten seconds at one fix a second.
const SENTENCES: usize = 128;

/// Fixes that are kept for whoever streams them.
const FIXES: usize = 16;

/// Pause before a receiver or a port that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// How often the position is asked for while somebody streams and there is no NMEA port.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// How long the broker's own end waits for the receiver to take the command that stops it.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// `+CGPS: 0` comes when the receiver has stopped.
const STOPPED_LIMIT: Duration = Duration::from_secs(30);

/// What the receiver says, for everybody who listens. It outlives the ports: whoever streams goes on after a re-plug.
#[derive(Clone)]
pub struct Location {
    /// Whether the configuration wants the receiver on.
    pub enabled: bool,
    latest: watch::Sender<Option<Fix>>,
    fixes: Tail<Fix>,
    sentences: Tail<Arc<str>>,
}

impl Location {
    pub(super) fn new(enabled: bool) -> Location {
        Location {
            enabled,
            latest: watch::Sender::new(None),
            fixes: Tail::new(FIXES),
            sentences: Tail::new(SENTENCES),
        }
    }

    /// Fixes from now on.
    pub fn follow_fixes(&self) -> Reader<Fix> {
        self.fixes.from_now()
    }

    /// Sentences from now on.
    pub fn follow_sentences(&self) -> Reader<Arc<str>> {
        self.sentences.from_now()
    }

    fn tell(&self, update: Option<Fix>) {
        if let Some(fix) = &update {
            self.fixes.push(fix.clone(), 1);
        }
        self.latest.send_replace(update);
    }
}

/// The receiver's part of an actor while its ports are open.
pub(super) struct Gnss {
    task: Option<JoinHandle<()>>,
    stopped: Arc<Notify>,
    /// Whether the broker switched the receiver on, and so has to switch it off.
    switched_on: Arc<AtomicBool>,
    progress: mpsc::Sender<Progress>,
}

impl Gnss {
    pub(super) fn new(progress: mpsc::Sender<Progress>) -> Gnss {
        Gnss {
            task: None,
            stopped: Arc::default(),
            switched_on: Arc::default(),
            progress,
        }
    }
}

impl Drop for Gnss {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Serving<'_> {
    /// Begins to receive, once for each time the ports are opened. The SIM and the network are not needed for it.
    pub(super) fn start_gnss(&mut self) {
        let config = self.modem.setup.config.gnss.clone();
        if !config.enabled || self.gnss.task.is_some() {
            return;
        }
        let receiver = Receiver {
            at: self.link.at.clone(),
            address: self.link.nmea.clone(),
            lock_directory: self.modem.setup.lock_directory.clone(),
            config,
            location: self.modem.location.clone(),
            trace: self.modem.setup.trace.clone(),
            stopped: Arc::clone(&self.gnss.stopped),
            switched_on: Arc::clone(&self.gnss.switched_on),
            progress: self.gnss.progress.clone(),
            modem: self.modem.status.name.clone(),
        };
        self.gnss.task = Some(supervisor::spawn("gnss", &self.modem.status.name, receiver.run()));
    }

    /// The module says that its receiver has stopped; it was not us, or it was to set the rate.
    pub(super) fn gnss_stopped(&mut self) {
        self.gnss.stopped.notify_one();
    }

    /// The last fix; asked for when no sentences come by themselves.
    pub(super) fn get_fix(&mut self, reply: Reply<Option<Fix>>) {
        if self.link.nmea.is_some() {
            let latest = self.modem.location.latest.borrow().clone();
            return drop(reply.send(Ok(latest)));
        }
        let at = self.link.at.clone();
        self.start(async move {
            let _ = reply.send(ask_position(&at, Lane::Normal).await.map_err(Refusal::from));
            Done::Answered
        });
    }

    /// Ends receiving. When the broker itself stops, the receiver is switched off again if it was the broker that switched
    /// it on: it takes 60 mA.
    pub(super) async fn end_gnss(&mut self) {
        if let Some(task) = self.gnss.task.take() {
            task.abort();
        }
        self.modem.location.tell(None);
        if *self.modem.shutdown.borrow() && self.gnss.switched_on.load(Ordering::Relaxed) {
            let off = self.link.at.execute(Lane::Normal, command::gnss_off());
            if tokio::time::timeout(STOP_LIMIT, off).await.is_err() {
                tracing::warn!(
                    modem = self.modem.status.name,
                    "could not switch the GNSS receiver off; it may still be on"
                );
            }
        }
    }
}

/// The sequence that keeps the receiver running, and what it needs.
struct Receiver {
    at: AtHandle,
    address: Option<PortAddress>,
    lock_directory: PathBuf,
    config: GnssConfig,
    location: Location,
    trace: Trace,
    stopped: Arc<Notify>,
    switched_on: Arc<AtomicBool>,
    progress: mpsc::Sender<Progress>,
    modem: String,
}

impl Receiver {
    /// Runs until the AT port is closed, or until it is aborted.
    async fn run(self) {
        let mut told = String::new();
        loop {
            match self.switch_on().await {
                Ok(true) => {}
                Ok(false) => self.complain(&mut told, "the module refused to start its GNSS receiver".to_owned()),
                Err(AtError::Closed) => return,
                Err(error) => self.complain(&mut told, error.to_string()),
            }
            match &self.address {
                Some(address) => {
                    let problem = self.read_port(address).await;
                    self.complain(&mut told, problem);
                }
                None => self.ask_while_wanted().await,
            }
            self.location.tell(None);
            tokio::time::sleep(RETRY).await;
        }
    }

    /// A lasting problem is one line in the log, not one every ten seconds.
    fn complain(&self, told: &mut String, problem: String) {
        if *told != problem {
            tracing::warn!(modem = self.modem, problem, "no position from GNSS");
            *told = problem;
        }
    }

    /// Starts the receiver unless it runs; starting one that runs is an error of the module's.
    async fn switch_on(&self) -> Result<bool, AtError> {
        let ask = |command| self.at.execute(Lane::Background, command);
        let rate = ask(command::nmea_rate_query()).await?;
        let rate_fits = reply::nmea_rate(&rate.lines).is_ok_and(|fast| fast == self.config.fast);
        let running = ask(command::gnss_query()).await?;
        let running = reply::gnss_running(&running.lines).unwrap_or(false);
        if running && rate_fits {
            return Ok(true);
        }
        if running {
            // The rate takes effect at the next start.
            ask(command::gnss_off()).await?;
            let _ = tokio::time::timeout(STOPPED_LIMIT, self.stopped.notified()).await;
        }
        if !rate_fits {
            ask(command::nmea_rate(self.config.fast)).await?;
        }
        let started = ask(command::gnss_on()).await?.result.is_ok();
        self.switched_on.store(started, Ordering::Relaxed);
        Ok(started)
    }

    /// Reads sentences for as long as they come; returns why they do not any more.
    async fn read_port(&self, address: &PortAddress) -> String {
        let mut port = match NmeaPort::open(address, &self.lock_directory).await {
            Ok(port) => port,
            Err(error) => {
                self.port_state(PortState::Failed, error.to_string()).await;
                return error.to_string();
            }
        };
        self.port_state(PortState::Open, String::new()).await;
        let mut fixes = FixBuilder::default();
        let problem = loop {
            let read = port.read(
                |bytes| self.trace.record(PortRole::Nmea, Direction::FromModem, bytes),
                |sentence| self.sentence(&mut fixes, sentence),
            );
            tokio::select! {
                read = read => if let Err(error) = read {
                    break error.to_string();
                },
                () = self.stopped.notified() => break "the receiver was stopped by an AT command".to_owned(),
            }
        };
        tracing::debug!(
            modem = self.modem,
            damaged = port.damaged(),
            problem,
            "the NMEA port is closed"
        );
        drop(port);
        self.port_state(PortState::Unused, problem.clone()).await;
        problem
    }

    fn sentence(&self, fixes: &mut FixBuilder, sentence: &str) {
        match fixes.push(sentence) {
            Some(Update::Fix(fix)) => self.location.tell(Fix::received(&fix)),
            Some(Update::NoFix) => self.location.tell(None),
            None => {}
        }
        self.location.sentences.push(sentence.into(), 1);
    }

    async fn port_state(&self, state: PortState, detail: String) {
        // Without an actor nobody has to know.
        let _ = self.progress.send(Progress::Port(PortRole::Nmea, state, detail)).await;
    }

    /// Asks for the position while somebody streams; an idle modem is not asked.
    async fn ask_while_wanted(&self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = self.stopped.notified() => return,
            }
            if !self.location.fixes.has_readers() {
                continue;
            }
            match ask_position(&self.at, Lane::Background).await {
                Ok(fix) => self.location.tell(fix),
                Err(_) => return,
            }
        }
    }
}

async fn ask_position(at: &AtHandle, lane: Lane) -> Result<Option<Fix>, AtError> {
    let response = at.execute(lane, command::gps_information()).await?;
    let told = reply::gps_information(&response.lines).ok().flatten();
    Ok(told.as_ref().and_then(fix_of).as_ref().and_then(Fix::received))
}

impl Fix {
    /// A fix that was told just now; `None` if its time does not exist.
    fn received(fix: &cellular::location::Fix) -> Option<Fix> {
        let time = fix.time;
        let at = jiff::civil::DateTime::new(
            i16::try_from(time.year).ok()?,
            i8::try_from(time.month).ok()?,
            i8::try_from(time.day).ok()?,
            i8::try_from(time.hour).ok()?,
            i8::try_from(time.minute).ok()?,
            // A leap second has no place in civil time.
            i8::try_from(time.second.min(59)).ok()?,
            i32::from(time.millisecond) * 1_000_000,
        );
        Some(Fix {
            latitude_degrees: fix.latitude_degrees,
            longitude_degrees: fix.longitude_degrees,
            altitude_m: fix.altitude_m,
            speed_mps: fix.speed_mps,
            course_degrees: fix.course_degrees,
            fix_time: at.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
            receive_time: Timestamp::now(),
            satellites_used: fix.satellites_used,
            hdop: fix.hdop,
            horizontal_accuracy_m: fix.horizontal_accuracy_m,
        })
    }
}
