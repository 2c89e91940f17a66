//! Sessions by PPP: a data call on the port that is kept for it, with pppd at its end.
//!
//! The module is the other side of PPP and shows user and password to the network. What the network says of a session that it
//! does not want reaches us only as a call that ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cellular::at::data_call::{Carrier, Dialling};
use cellular::at::reply::{self, PdpType};
use cellular::at::{Command, InvalidArgument, ResultCode, command};
use cellular::packet::{self, Family, Settings};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{ConnectError, Held, Session};
use crate::modem::settings::{DataConfig, DataFamilies};
use crate::net::pppd::{self, Agreed, Pppd};
use crate::port::at::{AtError, AtHandle, Lane};
use crate::port::terminal::{Terminal, TerminalEnd};
use crate::resource::Persistence;
use crate::supervisor;

/// The context that is defined where none has the access point: behind those for data and for the IMS.
const CONTEXT: u8 = 3;

/// How long the module may take to answer to a dialled number.
const DIAL_LIMIT: Duration = Duration::from_secs(60);

/// From a data call to addresses: the network may take most of it.
const UP_LIMIT: Duration = Duration::from_secs(60);

/// How long the second version of IP may be behind the first; a network need not have both.
const OTHER_FAMILY: Duration = Duration::from_secs(3);

/// pppd tells of one version of IP in several lines.
const SETTLE: Duration = Duration::from_millis(200);

/// What the module said before it hung up is worth hearing.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How long pppd may take leave of its peer.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);

/// How long the module may take to hang up once the session is over, and to answer.
const HANG_UP_LIMIT: Duration = Duration::from_secs(2);

/// Silence around the escape sequence (V.250 6.2.9 has no figure; S12 is 1 s).
const GUARD: Duration = Duration::from_millis(1100);

/// The escape from a data call to commands.
const ESCAPE: &[u8] = b"+++";

/// How often a session that is being set up looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// Asks the port for data calls.
#[derive(Clone, Debug)]
pub(in crate::modem) struct PppHandle {
    pub(in crate::modem::bearer) at: AtHandle,
    pub(in crate::modem::bearer) modem: String,
    pub(in crate::modem::bearer) ended: mpsc::Sender<Ended>,
    pub(in crate::modem::bearer) is_up: Arc<AtomicBool>,
    /// The port is closed when the last of these is gone.
    pub(in crate::modem::bearer) _open: mpsc::Sender<()>,
}

impl PppHandle {
    /// Whether there is a session.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }
}

/// A session ended by itself.
#[derive(Debug)]
pub(in crate::modem) struct Ended {
    pub(in crate::modem::bearer) detail: String,
    pub(in crate::modem::bearer) persistence: Persistence,
}

/// Why there is no session. The messages say what to do.
#[derive(Debug, thiserror::Error)]
pub(in crate::modem) enum PppError {
    #[error("the port for PPP: {0}")]
    Port(#[from] AtError),
    #[error("the module refuses the data call: {0}; check data_apn in [modem.carrier]")]
    Refused(ResultCode),
    #[error("the module does not answer to the data call; try again")]
    Unanswered,
    #[error("{0}: the access point name cannot be written to the modem")]
    Argument(#[from] InvalidArgument),
    #[error("pppd cannot be started: {0}")]
    Start(std::io::Error),
    #[error(
        "the module took the data call and there is no session: {0}; check data_apn, user and password in [modem.carrier], and \
         that the subscription includes data"
    )]
    Ended(pppd::End),
    #[error("PPP came to no end within {} s; try again", UP_LIMIT.as_secs())]
    TimedOut,
}

impl PppError {
    pub(super) const fn persistence(&self) -> Persistence {
        match self {
            Self::Ended(pppd::End::Authentication) | Self::Argument(_) => Persistence::Permanent,
            _ => Persistence::Transient,
        }
    }
}

/// A data call with its session. It ends with the value.
#[derive(Debug)]
pub(super) struct Call {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Call {
    /// Ends it, and returns when it has ended.
    pub(super) async fn end(self) {
        let _ = self.stop.send(());
        let limit = LEAVE_LIMIT + HANG_UP_LIMIT * 3 + GUARD;
        if timeout(limit, self.task).await.is_err() {
            tracing::warn!("the modem did not end a data call in time");
        }
    }
}

/// Sets up what is wanted, as far as it can be had.
pub(super) async fn start(
    ppp: &PppHandle,
    interface: &str,
    wanted: &packet::Session,
    config: &DataConfig,
    given_up: &AtomicBool,
    session: &mut Session,
) -> Result<(), ConnectError> {
    let context = context(&ppp.at, wanted, config).await?;
    let number = command::dial_packet_domain(context).map_err(PppError::from)?;
    let families = match config.families {
        DataFamilies::V4 => vec![Family::V4],
        DataFamilies::V6 => vec![Family::V6],
        DataFamilies::Both => vec![Family::V4, Family::V6],
    };
    let options = pppd::Options {
        interface: interface.to_owned(),
        families,
        mtu: config.mtu,
        authentication: wanted.authentication,
        user: wanted.user.clone(),
        password: wanted.password.clone(),
    };
    let (told, outcome) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let work = Work {
        ppp: ppp.clone(),
        number,
        options,
        stopped,
    };
    let task = supervisor::spawn("data call", &ppp.modem, work.run(told));
    let call = Call { stop, task };
    let outcome = tokio::select! {
        outcome = outcome => outcome.unwrap_or(Err(PppError::Unanswered)),
        () = unwanted(given_up) => {
            call.end().await;
            return Err(ConnectError::GivenUp);
        }
    };
    let agreed = match outcome {
        Ok(agreed) => agreed,
        Err(error) => {
            call.end().await;
            return Err(error.into());
        }
    };
    let carried = [Family::V4, Family::V6];
    session.held = Some(Held::Ppp {
        call,
        families: carried.into_iter().filter(|family| agreed.has(*family)).collect(),
    });
    session.settings.push(Settings {
        address_v4: agreed.address_v4.map(|address| (address, 32)),
        // All that IPV6CP agrees on; the rest is a router's to tell.
        address_v6: agreed.link_local.map(|address| (address, 64)),
        name_servers_v4: agreed.name_servers,
        ..Settings::default()
    });
    Ok(())
}

async fn unwanted(given_up: &AtomicBool) {
    while !given_up.load(Ordering::Relaxed) {
        sleep(LOOK).await;
    }
}

/// The context to dial: the profile, one that has the access point already, or one that is made so.
async fn context(at: &AtHandle, wanted: &packet::Session, config: &DataConfig) -> Result<u8, ConnectError> {
    if let Some(profile) = wanted.profile
        && wanted.apn.is_empty()
    {
        return Ok(profile);
    }
    let (pdp_type, apn) = match (config.families, &config.apn_v6) {
        (DataFamilies::V4, _) => (PdpType::Ipv4, &wanted.apn),
        (DataFamilies::Both, _) => (PdpType::Ipv4v6, &wanted.apn),
        (DataFamilies::V6, apn) => (PdpType::Ipv6, apn.as_ref().unwrap_or(&wanted.apn)),
    };
    let response = ask(at, command::list_pdp_contexts()).await?;
    let fits =
        |context: &&reply::PdpContext| context.apn.eq_ignore_ascii_case(apn) && context.pdp_type == Some(pdp_type);
    let present = reply::pdp_contexts(&response);
    if let Some(context) = present.iter().find(fits) {
        return Ok(context.id);
    }
    let define = command::define_pdp_context(CONTEXT, pdp_type, apn).map_err(PppError::from)?;
    ask(at, define).await?;
    Ok(CONTEXT)
}

async fn ask(at: &AtHandle, command: Command) -> Result<Vec<String>, PppError> {
    let response = at.execute(Lane::Normal, command).await?;
    match response.result {
        ResultCode::Ok => Ok(response.lines),
        refused => Err(PppError::Refused(refused)),
    }
}

type Told = oneshot::Sender<Result<Agreed, PppError>>;

/// What a data call needs.
struct Work {
    ppp: PppHandle,
    number: Command,
    options: pppd::Options,
    stopped: oneshot::Receiver<()>,
}

impl Work {
    /// From the number to the end of the call.
    async fn run(mut self, told: Told) {
        let dialled = tokio::select! {
            dialled = Line::dial(&self.ppp.at, &self.number) => dialled,
            _ = &mut self.stopped => return,
        };
        let (mut line, first) = match dialled {
            Ok(dialled) => dialled,
            Err(error) => return drop(told.send(Err(error))),
        };
        let mut waiting = Some(told);
        let end = match Pppd::start(&self.options) {
            Ok(pppd) => self.carry(pppd, &mut line, first, &mut waiting).await,
            Err(error) => Err(PppError::Start(error)),
        };
        let was_up = self.ppp.is_up.swap(false, Ordering::Relaxed);
        line.hang_up().await;
        let error = match end {
            // Somebody wanted it.
            Ok(()) => return,
            Err(error) => error,
        };
        if let Some(told) = waiting {
            let _ = told.send(Err(error));
        } else if was_up {
            let ended = Ended {
                detail: match &error {
                    PppError::Ended(end) => format!("the session was ended: {end}"),
                    other => other.to_string(),
                },
                persistence: error.persistence(),
            };
            // The actor may be gone.
            let _ = self.ppp.ended.send(ended).await;
        }
    }

    /// Carries octets both ways until one side ends. `Ok` if that was wanted.
    async fn carry(
        &mut self,
        mut pppd: Pppd,
        line: &mut Line,
        first: Bytes,
        waiting: &mut Option<Told>,
    ) -> Result<(), PppError> {
        let mut buffer = [0; 2048];
        let mut progress = Progress::new(&self.options.families);
        let mut arrived = Some(first).filter(|first| !first.is_empty());
        let mut stopping = false;
        let mut hang_up_at = None;
        let mut give_up_at = Instant::now() + UP_LIMIT;
        loop {
            if let Some(octets) = arrived.take() {
                let is_taken = pppd.write(&octets).await.is_ok();
                line.is_over |= line.carrier.is_lost(&octets);
                if (line.is_over || !is_taken) && hang_up_at.is_none() {
                    hang_up_at = Some(Instant::now() + LAST_WORDS);
                    give_up_at = Instant::now() + LEAVE_LIMIT;
                }
            }
            let is_up = waiting.is_none();
            tokio::select! {
                event = pppd.next(&mut buffer) => match event {
                    pppd::Event::Octets(count) => {
                        let octets = Bytes::copy_from_slice(&buffer[..count]);
                        if line.terminal.input.send(octets).await.is_err() {
                            pppd.hang_up();
                        }
                    }
                    pppd::Event::Said(said) => {
                        tracing::debug!(modem = self.ppp.modem, said, "pppd");
                        progress.note(&said);
                    }
                    pppd::Event::Ended(_) if stopping => return Ok(()),
                    pppd::Event::Ended(end) => return Err(PppError::Ended(end)),
                },
                octets = line.terminal.output.recv(), if !line.is_gone => match octets {
                    Some(octets) => arrived = Some(octets),
                    None => {
                        line.is_gone = true;
                        pppd.hang_up();
                        give_up_at = Instant::now() + LEAVE_LIMIT;
                    }
                },
                () = sleep_until(hang_up_at.unwrap_or(give_up_at)), if hang_up_at.is_some_and(|at| at < give_up_at) => {
                    pppd.hang_up();
                    hang_up_at = Some(give_up_at);
                }
                // One that nobody holds any more is stopped as well.
                _ = &mut self.stopped, if !stopping => {
                    stopping = true;
                    pppd.terminate();
                    give_up_at = Instant::now() + LEAVE_LIMIT;
                }
                () = sleep_until(progress.complete_at.unwrap_or(give_up_at)), if !is_up && progress.complete_at.is_some() => {
                    self.ppp.is_up.store(true, Ordering::Relaxed);
                    if let Some(told) = waiting.take() {
                        let _ = told.send(Ok(progress.agreed.clone()));
                    }
                }
                // Dropping it kills it.
                () = sleep_until(give_up_at), if !is_up || stopping || line.is_over || line.is_gone => return match stopping {
                    true => Ok(()),
                    false if line.is_over || line.is_gone => Err(PppError::Ended(pppd::End::ByPeer)),
                    false => Err(PppError::TimedOut),
                },
            }
        }
    }
}

/// How far pppd is.
struct Progress {
    wanted: Vec<Family>,
    agreed: Agreed,
    /// When enough is known, unless more comes before.
    complete_at: Option<Instant>,
}

impl Progress {
    fn new(wanted: &[Family]) -> Self {
        Self {
            wanted: wanted.to_vec(),
            agreed: Agreed::default(),
            complete_at: None,
        }
    }

    fn note(&mut self, said: &str) {
        self.agreed.fold(said);
        let mut had = self.wanted.iter().map(|family| self.agreed.has(*family));
        if had.clone().all(|had| had) {
            self.complete_at = Some(Instant::now() + SETTLE);
        } else if had.any(|had| had) {
            self.complete_at.get_or_insert_with(|| Instant::now() + OTHER_FAMILY);
        }
    }
}

/// A data call on the port.
struct Line {
    terminal: Terminal,
    carrier: Carrier,
    /// The module has hung up.
    is_over: bool,
    /// The port is gone.
    is_gone: bool,
    /// The port takes itself back when this is dropped.
    _hold: oneshot::Sender<TerminalEnd>,
}

impl Line {
    /// Dials. With the first octets of the peer, if they came with the answer.
    async fn dial(at: &AtHandle, number: &Command) -> Result<(Self, Bytes), PppError> {
        let (hold, stop) = oneshot::channel();
        let mut terminal = at.open_data_call(stop).await?;
        let dialled = Bytes::from(format!("{}\r", number.line));
        let answer = async {
            terminal.input.send(dialled).await.ok()?;
            let mut dialling = Dialling::default();
            while let Some(octets) = terminal.output.recv().await {
                let answer = dialling.push(&octets);
                if answer.is_some() {
                    return answer;
                }
            }
            None
        };
        match timeout(DIAL_LIMIT, answer).await {
            Ok(Some((ResultCode::Connect(_), first))) => {
                let line = Self {
                    terminal,
                    carrier: Carrier::default(),
                    is_over: false,
                    is_gone: false,
                    _hold: hold,
                };
                Ok((line, first.into()))
            }
            Ok(Some((code, _))) => Err(PppError::Refused(code)),
            Ok(None) => Err(PppError::Port(AtError::Closed)),
            Err(_) => Err(PppError::Unanswered),
        }
    }

    /// Makes the module take commands again. What does not help here is left to the port, which finds out by itself.
    async fn hang_up(mut self) {
        if self.is_gone || self.is_over || self.hears_it_hang_up(HANG_UP_LIMIT / 2).await {
            return;
        }
        sleep(GUARD).await;
        for sent in [Bytes::from_static(ESCAPE), Bytes::from_static(b"ATH\r")] {
            if self.terminal.input.send(sent).await.is_err() {
                return;
            }
            let mut answer = Dialling::default();
            let answered = async {
                while let Some(octets) = self.terminal.output.recv().await {
                    if answer.push(&octets).is_some() {
                        return;
                    }
                }
            };
            let _ = timeout(HANG_UP_LIMIT, answered).await;
        }
    }

    /// Whether the module hangs up in time.
    async fn hears_it_hang_up(&mut self, limit: Duration) -> bool {
        let over = async {
            while let Some(octets) = self.terminal.output.recv().await {
                if self.carrier.is_lost(&octets) {
                    break;
                }
            }
            true
        };
        timeout(limit, over).await.unwrap_or(false)
    }
}

/// Ends what a broker that was killed may have left on the port: a data call, in which it takes no commands.
pub(in crate::modem::bearer) async fn escape(port: &mut crate::port::OpenPort) -> Result<(), String> {
    sleep(GUARD).await;
    port.write(ESCAPE).await?;
    sleep(GUARD).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_is_complete_with_all_that_is_wanted_or_soon_after_some_of_it() {
        let both = [Family::V4, Family::V6];
        let after = |progress: &Progress| progress.complete_at.map(|at| at - Instant::now());
        let mut progress = Progress::new(&both);
        progress.note("Using interface ppp-sim1");
        assert_eq!(after(&progress), None);
        progress.note("local  IP address 10.64.0.2");
        assert_eq!(after(&progress), Some(OTHER_FAMILY));
        progress.note("primary   DNS address 10.64.0.53");
        progress.note("local  LL address fe80::0000:0000:0000:0002");
        assert_eq!(after(&progress), Some(SETTLE));
        let mut progress = Progress::new(&both[..1]);
        progress.note("local  IP address 10.64.0.2");
        assert_eq!(after(&progress), Some(SETTLE));
    }
}
