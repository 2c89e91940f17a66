//! A terminal: somebody talks to the modem byte by byte, and the port's own dialogue steps aside. A data call is one as well.
//!
//! The session knows nothing of what is said meanwhile, so it believes nothing afterwards: it takes the port back with
//! probes, sets again what the broker relies on, and only then runs the commands that waited.

use std::time::Duration;

use bytes::Bytes;
use cellular::at::{Command, Unsolicited, Urc};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::at::AtEvent;
use super::trace::{Direction, Trace};
use super::{PortStream, sleep_until};
use crate::resource::PortRole;

/// Pieces that may wait on each side.
const DEPTH: usize = 16;

/// A client that takes nothing for this long holds the port up.
const SLOW: Duration = Duration::from_secs(5);

/// The longest line that can be an unsolicited code.
const OVERHEARD_MAX: usize = 512;

/// Why a terminal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalEnd {
    /// The client left.
    Left,
    /// A call is there.
    Call,
    /// A command that cannot wait.
    Urgent,
    /// Nobody said anything for as long as the client allowed.
    Idle,
    /// The client does not read.
    Slow,
    /// The port is gone.
    Port,
}

/// The client's side.
pub struct Terminal {
    /// Bytes for the modem; the terminal ends when this is dropped.
    pub input: mpsc::Sender<Bytes>,
    /// Bytes from the modem, until the terminal ends.
    pub output: mpsc::Receiver<Bytes>,
    /// Why it ended.
    pub end: oneshot::Receiver<TerminalEnd>,
}

/// The port's side.
pub(super) struct TerminalJob {
    input: mpsc::Receiver<Bytes>,
    output: mpsc::Sender<Bytes>,
    ended: oneshot::Sender<TerminalEnd>,
    stop: oneshot::Receiver<TerminalEnd>,
    purpose: Purpose,
    pub(super) afterwards: Vec<Command>,
}

/// What the port is lent for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Somebody talks to the modem, and leaves it when silent for this long.
    Talk {
        /// How long.
        idle: Duration,
    },
    /// A data call. Its octets are packets: they are not for the trace, and no line in them is the modem's.
    Data,
}

impl Purpose {
    fn idle_at(self) -> Option<Instant> {
        match self {
            Self::Talk { idle } => Some(Instant::now() + idle),
            Self::Data => None,
        }
    }

    const fn is_talk(self) -> bool {
        matches!(self, Self::Talk { .. })
    }
}

/// Makes both sides. `stop` ends the terminal from outside; `afterwards` is run before anything else gets the port.
pub(super) fn pair(
    purpose: Purpose,
    stop: oneshot::Receiver<TerminalEnd>,
    afterwards: Vec<Command>,
) -> (Terminal, TerminalJob) {
    let (input, typed) = mpsc::channel(DEPTH);
    let (said, output) = mpsc::channel(DEPTH);
    let (ended, end) = oneshot::channel();
    let job = TerminalJob {
        input: typed,
        output: said,
        ended,
        stop,
        purpose,
        afterwards,
    };
    (Terminal { input, output, end }, job)
}

/// What ended a terminal, and a command that ended it.
pub(super) struct Ended<J> {
    pub(super) end: TerminalEnd,
    pub(super) urgent: Option<J>,
    /// Why the port is gone, if it is.
    pub(super) died: Option<String>,
    pub(super) afterwards: Vec<Command>,
}

/// What a port lends to a terminal.
pub(super) struct Loan<'a, J> {
    pub(super) stream: &'a mut dyn PortStream,
    pub(super) urgent: &'a mut mpsc::Receiver<J>,
    pub(super) role: PortRole,
    pub(super) trace: &'a Trace,
    pub(super) events: &'a mpsc::Sender<(PortRole, AtEvent)>,
}

enum Wake<J> {
    Stop(TerminalEnd),
    Urgent(J),
    Taken,
    Heard(std::io::Result<usize>),
    Typed(Option<Bytes>),
}

impl TerminalJob {
    /// Whether the client has left before its turn came.
    pub(super) fn is_abandoned(&self) -> bool {
        self.output.is_closed()
    }

    /// Carries bytes both ways until the terminal ends. What the modem says on its own goes to the actor as well.
    pub(super) async fn run<J>(mut self, loan: Loan<'_, J>) -> Ended<J> {
        let mut buffer = [0_u8; 2048];
        let mut waiting: Option<Bytes> = None;
        let mut slow_at = Instant::now();
        let (purpose, is_talk) = (self.purpose, self.purpose.is_talk());
        let mut idle_at = purpose.idle_at();
        let mut lines = Lines::default();
        let (mut urgent, mut died) = (None, None);
        // An empty piece says that the terminal is open.
        let _ = self.output.try_send(Bytes::new());
        let end = loop {
            match self
                .wait(loan.stream, loan.urgent, &mut buffer, &mut waiting, slow_at, idle_at)
                .await
            {
                Wake::Stop(end) => break end,
                Wake::Urgent(job) => {
                    urgent = Some(job);
                    break TerminalEnd::Urgent;
                }
                Wake::Taken => {}
                Wake::Heard(Ok(count @ 1..)) => {
                    let heard = &buffer[..count];
                    if is_talk {
                        loan.trace.record(loan.role, Direction::FromModem, heard);
                        for unsolicited in lines.push(heard) {
                            // A full queue makes the terminal wait, as it makes the port wait otherwise.
                            let _ = loan.events.send((loan.role, AtEvent::Unsolicited(unsolicited))).await;
                        }
                    }
                    waiting = Some(Bytes::copy_from_slice(heard));
                    slow_at = Instant::now() + SLOW;
                    idle_at = purpose.idle_at();
                }
                Wake::Heard(Ok(0)) => {
                    died = Some("end of file: the device went away".to_owned());
                    break TerminalEnd::Port;
                }
                Wake::Heard(Err(error)) => {
                    died = Some(format!("read: {error}"));
                    break TerminalEnd::Port;
                }
                Wake::Typed(None) => break TerminalEnd::Left,
                Wake::Typed(Some(bytes)) => {
                    if is_talk {
                        loan.trace.record(loan.role, Direction::ToModem, &bytes);
                    }
                    if let Err(problem) = super::write_all(loan.stream, &bytes).await {
                        died = Some(problem);
                        break TerminalEnd::Port;
                    }
                    idle_at = purpose.idle_at();
                }
            }
        };
        // The client may be gone.
        let _ = self.ended.send(end);
        Ended {
            end,
            urgent,
            died,
            afterwards: self.afterwards,
        }
    }

    async fn wait<J>(
        &mut self,
        stream: &mut dyn PortStream,
        urgent: &mut mpsc::Receiver<J>,
        buffer: &mut [u8],
        waiting: &mut Option<Bytes>,
        slow_at: Instant,
        idle_at: Option<Instant>,
    ) -> Wake<J> {
        let full = waiting.is_some();
        tokio::select! {
            biased;
            // Without an actor there is no modem.
            stop = &mut self.stop => Wake::Stop(stop.unwrap_or(TerminalEnd::Port)),
            Some(job) = urgent.recv() => Wake::Urgent(job),
            permit = self.output.reserve(), if full => match (permit, waiting.take()) {
                (Ok(permit), Some(bytes)) => {
                    permit.send(bytes);
                    Wake::Taken
                }
                _ => Wake::Stop(TerminalEnd::Left),
            },
            () = tokio::time::sleep_until(slow_at), if full => Wake::Stop(TerminalEnd::Slow),
            // What nobody takes stays in the kernel.
            read = stream.read(buffer), if !full => Wake::Heard(read),
            typed = self.input.recv() => Wake::Typed(typed),
            () = self.output.closed() => Wake::Stop(TerminalEnd::Left),
            () = sleep_until(idle_at) => Wake::Stop(TerminalEnd::Idle),
        }
    }
}

/// Lines that cannot be a reply to anything that was typed, or that do no harm if they are.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> Vec<Unsolicited> {
        let mut found = Vec::new();
        for &byte in bytes {
            if byte != b'\r' && byte != b'\n' {
                if self.line.len() < OVERHEARD_MAX {
                    self.line.push(byte);
                }
                continue;
            }
            let line = String::from_utf8_lossy(&std::mem::take(&mut self.line))
                .trim()
                .to_owned();
            let urc = Urc::parse(&[&line]);
            let telling = matches!(
                urc,
                Urc::Ring(_)
                    | Urc::CallerId(_)
                    | Urc::MessageStored { .. }
                    | Urc::StatusReportStored { .. }
                    | Urc::StorageFull
            );
            if telling {
                found.push(Unsolicited { lines: vec![line], urc });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_a_reply_is_overheard() {
        let mut lines = Lines::default();
        let said = "\r\n+CREG: 0,1\r\n\r\nOK\r\n\r\nRING\r\n+CMTI: \"SM\",3\r\n+CLIP: 1,1\r\n+CPIN: READY\r\n";
        let mut found = Vec::new();
        for chunk in said.as_bytes().chunks(3) {
            found.extend(
                lines
                    .push(chunk)
                    .into_iter()
                    .map(|unsolicited| unsolicited.lines.concat()),
            );
        }
        assert_eq!(found, ["RING", "+CMTI: \"SM\",3"]);
    }
}
