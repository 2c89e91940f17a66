//! The handle with which tests and the command line act on a virtual modem, in the process or over its control socket.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::control::{
    Card, Domain, DtmfWay, OutgoingPolicy, Refusal, RegistrationState, Request, Response, RingOptions, Signal, Status,
    TranscriptEntry,
};
use crate::core::{Books, Fault, FaultAction, Function, ImsRegistration, PacketNetwork, PinState};
use crate::host::Order;
use crate::transcript::Transcript;

/// Time that one request over the socket may take, beside what it asks to wait itself.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(10);

/// Entries taken from the transcript at once by a follower.
const TRANSCRIPT_STEP: usize = 256;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The virtual modem could not do it.
    #[error("the virtual modem refused: {0}")]
    Refused(String),
    /// There is no virtual modem any more.
    #[error("the virtual modem has stopped")]
    Stopped,
    /// The control socket failed.
    #[error("failed to talk to the control socket")]
    Socket(#[source] std::io::Error),
    /// The other side said something unexpected.
    #[error("failed to understand the control socket")]
    Protocol(#[source] serde_json::Error),
    /// It did not answer in time.
    #[error("no answer from the control socket in time")]
    TimedOut,
    /// An answer of another kind than the question has.
    #[error("an answer of another kind than the question")]
    Mismatch,
}

#[derive(Debug, Clone)]
enum Route {
    Local {
        orders: mpsc::Sender<Order>,
        transcript: Transcript,
    },
    Socket(Arc<Mutex<BufReader<UnixStream>>>),
}

/// The handle. Clones reach the same modem.
#[derive(Debug, Clone)]
pub struct Control(Route);

impl Control {
    pub(crate) fn local(orders: mpsc::Sender<Order>, transcript: Transcript) -> Self {
        Self(Route::Local { orders, transcript })
    }

    /// Connects to the modem that runs in a directory.
    pub async fn connect(directory: &Path) -> Result<Self, ControlError> {
        let stream = UnixStream::connect(crate::host::socket_path(directory))
            .await
            .map_err(ControlError::Socket)?;
        Ok(Self(Route::Socket(Arc::new(Mutex::new(BufReader::new(stream))))))
    }

    /// Sends any request and waits for its answer; a refusal is an error.
    pub async fn ask(&self, request: Request) -> Result<Response, ControlError> {
        let response = match &self.0 {
            Route::Local { orders, transcript } => ask_here(orders, transcript, request).await?,
            Route::Socket(stream) => ask_socket(stream, &request).await?,
        };
        match response {
            Response::Error { message } => Err(ControlError::Refused(message)),
            response => Ok(response),
        }
    }

    async fn tell(&self, request: Request) -> Result<(), ControlError> {
        self.ask(request).await.map(|_| ())
    }

    pub(crate) async fn close(&self) {
        if let Route::Local { orders, .. } = &self.0 {
            let (done, closed) = oneshot::channel();
            if orders.send(Order::Close(done)).await.is_ok() {
                // An error means that it is closed already.
                let _ = closed.await;
            }
        }
    }

    /// The network delivers a text; the ids of its parts in the books.
    pub async fn deliver_text(&self, from: &str, text: &str) -> Result<Vec<u64>, ControlError> {
        let request = Request::DeliverText {
            from: from.to_owned(),
            text: text.to_owned(),
            flash: false,
        };
        match self.ask(request).await? {
            Response::Messages { ids } => Ok(ids),
            _ => Err(ControlError::Mismatch),
        }
    }

    /// The network delivers a PDU; its id in the books.
    pub async fn deliver_pdu(&self, pdu: &str) -> Result<Vec<u64>, ControlError> {
        match self.ask(Request::DeliverPdu { pdu: pdu.to_owned() }).await? {
            Response::Messages { ids } => Ok(ids),
            _ => Err(ControlError::Mismatch),
        }
    }

    /// Somebody calls; the id of the call in the books.
    pub async fn ring(&self, options: RingOptions) -> Result<u64, ControlError> {
        match self.ask(Request::Ring(options)).await? {
            Response::Call { id } => Ok(id),
            _ => Err(ControlError::Mismatch),
        }
    }

    /// The called party begins to ring.
    pub async fn alert(&self) -> Result<(), ControlError> {
        self.tell(Request::Alert).await
    }

    /// The called party answers.
    pub async fn answer(&self) -> Result<(), ControlError> {
        self.tell(Request::Answer).await
    }

    /// An outgoing call fails.
    pub async fn refuse(&self, cause: Refusal) -> Result<(), ControlError> {
        self.tell(Request::Refuse { cause }).await
    }

    /// How the packet side of the network behaves from now on.
    pub async fn set_packet_network(&self, packet: PacketNetwork) -> Result<(), ControlError> {
        self.tell(Request::SetPacketNetwork(packet)).await
    }

    /// What the network's DHCP server answers to a raw IP packet.
    pub async fn lease(&self, packet: &[u8]) -> Result<Option<Vec<u8>>, ControlError> {
        let packet = packet.to_vec();
        match self.ask(Request::Lease { packet }).await? {
            Response::Packet { packet } => Ok(packet),
            _ => Err(ControlError::Mismatch),
        }
    }

    /// What the network's router answers to a router solicitation, as a raw IP packet.
    pub async fn solicit(&self) -> Result<Option<Vec<u8>>, ControlError> {
        match self.ask(Request::Solicit).await? {
            Response::Packet { packet } => Ok(packet),
            _ => Err(ControlError::Mismatch),
        }
    }

    /// The network ends every data session, for this reason.
    pub async fn end_sessions(&self, layer: u16, number: u16) -> Result<(), ControlError> {
        self.tell(Request::EndSessions { layer, number }).await
    }

    /// What the IMS grants from now on.
    pub async fn set_ims(&self, registration: Option<ImsRegistration>) -> Result<(), ControlError> {
        self.tell(Request::SetIms { registration }).await
    }

    /// The other party hangs up.
    pub async fn hang_up(&self) -> Result<(), ControlError> {
        self.tell(Request::HangUp).await
    }

    /// The other party presses keys.
    pub async fn dtmf(&self, digits: &str) -> Result<(), ControlError> {
        self.dtmf_by(digits, DtmfWay::Reported).await
    }

    /// The same in one way or the other.
    pub async fn dtmf_by(&self, digits: &str, way: DtmfWay) -> Result<(), ControlError> {
        self.tell(Request::Dtmf {
            digits: digits.to_owned(),
            way,
        })
        .await
    }

    /// What happens to calls that the host makes, to one number or to all others.
    pub async fn set_outgoing(&self, number: Option<&str>, policy: OutgoingPolicy) -> Result<(), ControlError> {
        self.tell(Request::SetOutgoing {
            number: number.map(str::to_owned),
            policy,
        })
        .await
    }

    /// Radio conditions.
    pub async fn set_signal(&self, signal: Signal) -> Result<(), ControlError> {
        self.tell(Request::SetSignal(signal)).await
    }

    /// Registration in one domain or all.
    pub async fn set_registration(&self, domain: Option<Domain>, state: RegistrationState) -> Result<(), ControlError> {
        self.tell(Request::SetRegistration { domain, state }).await
    }

    /// The operator of the cell.
    pub async fn set_operator(&self, name: &str, plmn: &str) -> Result<(), ControlError> {
        self.tell(Request::SetOperator {
            name: name.to_owned(),
            plmn: plmn.to_owned(),
        })
        .await
    }

    /// The SIM.
    pub async fn set_sim(&self, state: PinState) -> Result<(), ControlError> {
        self.tell(Request::SetSim { state }).await
    }

    /// Takes the SIM's power away, or gives it back.
    pub async fn set_sim_power(&self, on: bool) -> Result<(), ControlError> {
        self.tell(Request::SetSimPower { on }).await
    }

    /// Another SIM lies in the holder; nobody is told.
    pub async fn exchange_sim(&self, card: Card) -> Result<(), ControlError> {
        self.tell(Request::ExchangeSim(card)).await
    }

    /// Room of a message storage.
    pub async fn set_capacity(&self, storage: &str, capacity: usize) -> Result<(), ControlError> {
        self.tell(Request::SetCapacity {
            storage: storage.to_owned(),
            capacity,
        })
        .await
    }

    /// TP-ST of the reports on sent messages; `None` for no reports.
    pub async fn set_reports(&self, status: Option<u8>) -> Result<(), ControlError> {
        self.tell(Request::SetReports { status }).await
    }

    /// Another program gives the module a command on a port of its own.
    pub async fn execute(&self, line: &str) -> Result<(), ControlError> {
        self.tell(Request::Execute { line: line.to_owned() }).await
    }

    /// Where the receiver is, in degrees north and east; `None` for no fix.
    pub async fn set_position(&self, position: Option<(f64, f64)>) -> Result<(), ControlError> {
        self.tell(Request::SetPosition { position }).await
    }

    /// The network sends a text by USSD on its own; `mode` 1 asks for an answer.
    pub async fn ussd(&self, text: &str, mode: u8) -> Result<(), ControlError> {
        let text = text.to_owned();
        self.tell(Request::Ussd { text, mode }).await
    }

    /// A line on the NMEA port as it is.
    pub async fn nmea(&self, line: &str) -> Result<(), ControlError> {
        self.tell(Request::Nmea { line: line.to_owned() }).await
    }

    /// An unsolicited line.
    pub async fn unsolicited(&self, line: &str) -> Result<(), ControlError> {
        self.tell(Request::Unsolicited { line: line.to_owned() }).await
    }

    /// Adds a fault, or lets it strike at once.
    pub async fn inject(&self, fault: Fault) -> Result<(), ControlError> {
        self.tell(Request::Inject { fault }).await
    }

    /// A fault that strikes at once.
    pub async fn inject_now(&self, action: FaultAction) -> Result<(), ControlError> {
        self.inject(Fault::now(action)).await
    }

    /// Faults that are still to strike.
    pub async fn faults(&self) -> Result<Vec<Fault>, ControlError> {
        match self.ask(Request::Faults).await? {
            Response::Faults { faults } => Ok(faults),
            _ => Err(ControlError::Mismatch),
        }
    }

    /// Forgets them.
    pub async fn clear_faults(&self) -> Result<(), ControlError> {
        self.tell(Request::ClearFaults).await
    }

    /// Pulls the cable.
    pub async fn unplug(&self) -> Result<(), ControlError> {
        self.tell(Request::Unplug).await
    }

    /// Puts it back.
    pub async fn replug(&self, renumber: bool) -> Result<(), ControlError> {
        self.tell(Request::Replug { renumber }).await
    }

    /// Cuts the power and gives it back.
    pub async fn power_cycle(&self) -> Result<(), ControlError> {
        self.tell(Request::PowerCycle).await
    }

    /// Tells a module in its storage mode to become a modem.
    pub async fn switch_mode(&self) -> Result<(), ControlError> {
        self.tell(Request::SwitchMode).await
    }

    /// The ledger of the network.
    pub async fn books(&self) -> Result<Books, ControlError> {
        match self.ask(Request::Books).await? {
            Response::Books { books } => Ok(*books),
            _ => Err(ControlError::Mismatch),
        }
    }

    /// Waits until the ledger fits, looking again at short intervals; gives up after `limit`.
    pub async fn books_when(&self, limit: Duration, fits: impl Fn(&Books) -> bool) -> Result<Books, ControlError> {
        let look = async {
            loop {
                let books = self.books().await?;
                if fits(&books) {
                    return Ok(books);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(limit, look)
            .await
            .unwrap_or(Err(ControlError::TimedOut))
    }

    /// State at a glance.
    pub async fn status(&self) -> Result<Status, ControlError> {
        match self.ask(Request::Status).await? {
            Response::Status { status } => Ok(*status),
            _ => Err(ControlError::Mismatch),
        }
    }

    /// Follows what crosses the ports, from the oldest entry that is kept.
    pub fn transcript(&self, port: Option<Function>) -> TranscriptFollower {
        TranscriptFollower {
            control: self.clone(),
            port,
            position: 0,
            ready: Vec::new().into_iter(),
        }
    }
}

/// A reader of the transcript with a position of its own.
#[derive(Debug)]
pub struct TranscriptFollower {
    control: Control,
    port: Option<Function>,
    position: u64,
    ready: std::vec::IntoIter<TranscriptEntry>,
}

impl TranscriptFollower {
    /// The next entry, or `None` if none came in time.
    pub async fn next(&mut self, wait: Duration) -> Result<Option<TranscriptEntry>, ControlError> {
        if let Some(entry) = self.ready.next() {
            return Ok(Some(entry));
        }
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let request = Request::Transcript {
            after: self.position,
            port: self.port,
            limit: TRANSCRIPT_STEP,
            wait_ms,
        };
        let Response::Transcript { entries, next } = self.control.ask(request).await? else {
            return Err(ControlError::Mismatch);
        };
        self.position = next;
        self.ready = entries.into_iter();
        Ok(self.ready.next())
    }
}

async fn ask_here(
    orders: &mpsc::Sender<Order>,
    transcript: &Transcript,
    request: Request,
) -> Result<Response, ControlError> {
    if let Request::Transcript {
        after,
        port,
        limit,
        wait_ms,
    } = request
    {
        let (entries, next) = transcript
            .follow(after, port, limit, Duration::from_millis(wait_ms))
            .await;
        return Ok(Response::Transcript { entries, next });
    }
    let (answer, answered) = oneshot::channel();
    orders
        .send(Order::Request(request, answer))
        .await
        .map_err(|_| ControlError::Stopped)?;
    answered.await.map_err(|_| ControlError::Stopped)
}

async fn ask_socket(stream: &Mutex<BufReader<UnixStream>>, request: &Request) -> Result<Response, ControlError> {
    let wait = if let Request::Transcript { wait_ms, .. } = request {
        *wait_ms
    } else {
        0
    };
    let mut line = serde_json::to_vec(request).map_err(ControlError::Protocol)?;
    line.push(b'\n');
    let mut stream = stream.lock().await;
    let exchange = async {
        stream.write_all(&line).await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        Ok(answer)
    };
    let answer = tokio::time::timeout(SOCKET_TIMEOUT + Duration::from_millis(wait), exchange)
        .await
        .map_err(|_| ControlError::TimedOut)?
        .map_err(ControlError::Socket)?;
    if answer.is_empty() {
        return Err(ControlError::Stopped);
    }
    serde_json::from_str(&answer).map_err(ControlError::Protocol)
}
