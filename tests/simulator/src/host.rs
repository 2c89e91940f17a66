//! Front ends: what carries the bytes of the state machine to a host.

mod audio_port;
mod driver;
mod duplex;
mod presence;
mod pty;
mod socket;
mod switches;
mod sysfs;
mod tun;

pub(crate) use driver::Order;
pub use driver::{Options, Place, Running, StartError, start};
pub use duplex::{Attachment, InProcess, start_in_process};
pub(crate) use socket::path as socket_path;

use std::sync::{Arc, mpsc};

use tokio::sync::mpsc as channel;

use crate::core::{AudioAccount, AudioFault, AudioFlow, Composition, Function};

/// Writes to a port that wait for its task; more are lost, as they are when a host does not read.
const PORT_QUEUE: usize = 1_024;

/// Events that wait for the driver; ports stop reading while it is full.
const EVENT_QUEUE: usize = 256;

/// What a port tells the driver.
#[derive(Debug)]
enum Event {
    Input {
        port: Function,
        generation: u64,
        bytes: Vec<u8>,
    },
    /// The host opened a port since something came from it last.
    Opened {
        port: Function,
        generation: u64,
    },
    /// The last program of the host that had a port open closed it.
    Closed {
        port: Function,
        generation: u64,
    },
    /// The host switched the device's authorisation or its port's power.
    Switched {
        authorized: bool,
        powered: bool,
    },
    Account {
        call: u64,
        account: AudioAccount,
    },
}

/// What the driver tells the audio port.
#[derive(Debug)]
enum AudioOrder {
    On(AudioFlow),
    Off,
    Fault(AudioFault),
    /// The other party presses keys.
    Tones(String),
}

/// The way to the audio port.
enum AudioLink {
    /// A thread with a real-time loop.
    Thread {
        orders: mpsc::SyncSender<AudioOrder>,
        wake: std::os::unix::net::UnixStream,
    },
    /// A task on the runtime's clock.
    Task(channel::Sender<AudioOrder>),
}

impl AudioLink {
    fn order(&self, order: AudioOrder) {
        let taken = match self {
            Self::Thread { orders, wake } => {
                let taken = orders.try_send(order).is_ok();
                // A full pipe means that a wake-up is on its way already.
                let _ = std::io::Write::write(&mut &*wake, &[0]);
                taken
            }
            Self::Task(orders) => orders.try_send(order).is_ok(),
        };
        if !taken {
            tracing::warn!("the audio port is gone or far behind; an order is lost");
        }
    }
}

/// One serial port, as the driver sees it.
struct Line {
    function: Function,
    queue: channel::Sender<Vec<u8>>,
    /// Who has it open; a stream in memory always has a reader.
    listener: Option<Arc<pty::Listener>>,
}

/// The ports of one attachment, as the driver sees them.
struct Links {
    serial: Vec<Line>,
    audio: Option<AudioLink>,
    /// Every port with a node, for the count of its openings.
    nodes: Vec<(Function, Arc<pty::Listener>)>,
    tasks: tokio::task::JoinSet<()>,
}

impl Links {
    /// Passes bytes on, unless nobody has the port open: what is said then is lost, as with a real device.
    fn write(&self, port: Function, bytes: Vec<u8>) {
        let Some(line) = self.serial.iter().find(|line| line.function == port) else {
            return;
        };
        let listened = line.listener.as_ref().is_none_or(|listener| listener.is_present());
        if listened && line.queue.try_send(bytes).is_err() {
            tracing::warn!(%port, "bytes for the host are lost: its queue is full");
        }
    }
}

/// A front end: makes ports appear and vanish.
trait Bench: Send + 'static {
    /// Makes the ports of a composition appear.
    fn attach(
        &mut self,
        composition: Composition,
        renumber: bool,
        generation: u64,
        events: &channel::Sender<Event>,
    ) -> std::io::Result<Links>;

    /// Makes them vanish. The links have been dropped before.
    fn detach(&mut self);

    /// Makes the interfaces vanish and leaves the device, which the host does not let be used.
    fn deauthorize(&mut self);
}
