//! The audio port: a thread with absolute deadlines over a pseudo-terminal, or a task on the runtime's clock.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc as blocking;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use super::pty::Port;
use super::{AudioLink, AudioOrder, Event};
use crate::audio::Pump;

/// Ahead of every ordinary program, for whoever may: a module does not wait for a busy host. It only asks the kernel to
/// run this thread soon, which needs little.
const NICE: i32 = -15;

/// Orders that wait for the port; a call needs three.
const ORDER_QUEUE: usize = 64;

pub(super) fn spawn_thread(port: Port, events: mpsc::Sender<Event>) -> io::Result<AudioLink> {
    let (orders, inbox) = blocking::sync_channel(ORDER_QUEUE);
    let (wake, woken) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    std::thread::Builder::new()
        .name("simulator-audio".to_owned())
        .spawn(move || {
            // On Linux it is the thread's own.
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                tracing::debug!(%error, "the audio thread is an ordinary one");
            }
            let mut line = Line {
                port,
                events,
                pump: None,
            };
            line.run(&inbox, &woken);
            line.stop();
        })?;
    Ok(AudioLink::Thread { orders, wake })
}

/// Unix time, which another program on the machine can compare with its own.
fn unix_us() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The state of the thread.
struct Line {
    port: Port,
    events: mpsc::Sender<Event>,
    pump: Option<Pump>,
}

impl Line {
    fn run(&mut self, orders: &blocking::Receiver<AudioOrder>, mut woken: &UnixStream) {
        loop {
            let listens = self.pump.as_ref().is_none_or(Pump::accepts_uplink);
            let interest = if listens { PollFlags::POLLIN } else { PollFlags::empty() };
            let timeout = self
                .pump
                .as_ref()
                .map(|pump| TimeSpec::from_duration(pump.deadline().saturating_duration_since(Instant::now())));
            let readable = {
                let mut descriptors = [
                    PollFd::new(self.port.master.as_fd(), interest),
                    PollFd::new(woken.as_fd(), PollFlags::POLLIN),
                ];
                match ppoll(&mut descriptors, timeout, None) {
                    Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                    Err(error) => {
                        tracing::error!(%error, "the audio port fails");
                        return;
                    }
                }
                descriptors[0]
                    .revents()
                    .is_some_and(|events| events.contains(PollFlags::POLLIN))
            };
            let mut drained = [0; 64];
            if matches!(woken.read(&mut drained), Ok(0)) {
                return;
            }
            while let Ok(order) = orders.try_recv() {
                self.obey(order);
            }
            if readable {
                self.listen();
            }
            self.speak();
        }
    }

    fn obey(&mut self, order: AudioOrder) {
        match order {
            AudioOrder::On(flow) => {
                self.stop();
                match Pump::new(&flow, Instant::now(), unix_us()) {
                    Ok(pump) => self.pump = Some(pump),
                    Err(error) => tracing::error!(%error, cause = ?std::error::Error::source(&error), "no audio"),
                }
            }
            AudioOrder::Off => self.stop(),
            AudioOrder::Tones(keys) => {
                if let Some(pump) = &mut self.pump {
                    pump.press(&keys);
                }
            }
            AudioOrder::Fault(fault) => {
                if let Some(pump) = &mut self.pump {
                    pump.set_fault(fault, Instant::now());
                }
            }
        }
    }

    fn stop(&mut self) {
        if let Some(pump) = self.pump.take() {
            let (call, account) = pump.finish();
            if self.events.try_send(Event::Account { call, account }).is_err() {
                tracing::warn!("the account of a call is lost");
            }
        }
    }

    /// Takes what the host wrote; without a call it goes nowhere.
    fn listen(&mut self) {
        let mut buffer = [0; 4_096];
        if let Ok(count) = self.port.master.read(&mut buffer)
            && let Some(pump) = &mut self.pump
        {
            pump.uplink(&buffer[..count], unix_us());
        }
    }

    fn speak(&mut self) {
        let Some(pump) = &mut self.pump else { return };
        for chunk in pump.downlink(Instant::now()) {
            let taken = if self.port.listener.is_present() {
                self.port.master.write(&chunk).unwrap_or(0)
            } else {
                0
            };
            pump.count_dropped(chunk.len() - taken);
        }
    }
}

/// The same on a stream inside the process, for tests with a paused clock.
pub(super) async fn run_task(
    mut stream: DuplexStream,
    mut orders: mpsc::Receiver<AudioOrder>,
    events: mpsc::Sender<Event>,
) {
    let now = || tokio::time::Instant::now().into_std();
    let mut pump: Option<Pump> = None;
    let mut buffer = vec![0; 4_096];
    loop {
        let due = pump
            .as_ref()
            .map(|pump| tokio::time::Instant::from_std(pump.deadline()));
        let listens = pump.as_ref().is_none_or(Pump::accepts_uplink);
        let ended = tokio::select! {
            order = orders.recv() => match order {
                Some(AudioOrder::On(flow)) => match Pump::new(&flow, now(), unix_us()) {
                    Ok(next) => pump.replace(next),
                    Err(error) => {
                        tracing::error!(%error, "no audio");
                        pump.take()
                    }
                },
                Some(AudioOrder::Off) => pump.take(),
                Some(AudioOrder::Tones(keys)) => {
                    if let Some(pump) = &mut pump {
                        pump.press(&keys);
                    }
                    None
                }
                Some(AudioOrder::Fault(fault)) => {
                    if let Some(pump) = &mut pump {
                        pump.set_fault(fault, now());
                    }
                    None
                }
                None => return,
            },
            read = stream.read(&mut buffer), if listens => match read {
                Ok(count) if count > 0 => {
                    if let Some(pump) = &mut pump {
                        pump.uplink(&buffer[..count], unix_us());
                    }
                    None
                }
                _ => return,
            },
            () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                for chunk in pump.as_mut().map(|pump| pump.downlink(now())).unwrap_or_default() {
                    // A host that does not read loses audio, it does not stop the clock.
                    let written = tokio::time::timeout(std::time::Duration::ZERO, stream.write(&chunk)).await;
                    let taken = written.ok().and_then(Result::ok).unwrap_or(0);
                    if let Some(pump) = &mut pump {
                        pump.count_dropped(chunk.len() - taken);
                    }
                }
                None
            }
        };
        if let Some((call, account)) = ended.map(Pump::finish)
            && events.send(Event::Account { call, account }).await.is_err()
        {
            return;
        }
    }
}
