//! Terminals: who may have one, what ends it, and what is set again afterwards.
//!
//! A terminal is a job in the port's own queue. While it runs, the port carries bytes both ways and the session stands
//! aside; a call or an urgent command ends it. Then the session takes the port back (ESC, silence, probes that also
//! restore `ATE`, `ATQ` and `ATV`), and what the broker relies on is set again *before* any command that waited: a PDU
//! handed over in text mode would be sent to somebody else. For the same reason `ExecuteAtCommand` refuses to change
//! these settings. `modem::reliance` is the one list of them, for the bring-up as well.

use std::time::Duration;

use tokio::sync::oneshot;

use super::serving::Serving;
use super::{Done, Reply, reliance};
use crate::port::terminal::{Terminal, TerminalEnd};
use crate::refusal::Refusal;

/// How long a terminal waits for the commands that are ahead of it.
const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// The terminal of a modem: at most one.
#[derive(Default)]
pub(super) struct TerminalHold {
    stop: Option<oneshot::Sender<TerminalEnd>>,
}

impl TerminalHold {
    /// Whether somebody has it or waits for it.
    pub(super) fn is_taken(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| !stop.is_closed())
    }
}

impl Serving<'_> {
    /// Opens the terminal as soon as the port is free.
    pub(super) fn open_terminal(&mut self, idle: Duration, mut reply: Reply<Terminal>) {
        let (stop, stopped) = oneshot::channel();
        self.terminal.stop = Some(stop);
        let at = self.link.at.clone();
        let restores = reliance::commands(self.modem.setup.voice.sample_rate);
        self.start(async move {
            let opening = at.open_terminal(idle, stopped, restores);
            let opened = tokio::select! {
                biased;
                // Nobody waits for it any more, so nobody else has to.
                () = reply.closed() => return Done::Answered,
                opened = tokio::time::timeout(OPEN_LIMIT, opening) => opened,
            };
            let opened = match opened {
                Ok(opened) => opened.map_err(Refusal::from),
                Err(_) => Err(Refusal::ModemTimeout {
                    command: "the commands before the terminal".to_owned(),
                }),
            };
            let _ = reply.send(opened);
            Done::Answered
        });
    }

    /// A call is there: whoever has the terminal hears so, and the port is the broker's again.
    pub(super) fn yield_terminal_to_call(&mut self) {
        if let Some(stop) = self.terminal.stop.take() {
            // An error means that it has ended by itself.
            let _ = stop.send(TerminalEnd::Call);
        }
    }

    /// The port has been taken back. Announcements may have been lost meanwhile, and everything may have changed.
    pub(super) fn terminal_ended(&mut self) {
        // The next one may be open or waiting already.
        self.terminal.stop.take_if(|stop| stop.is_closed());
        self.messages.sweep_due();
        self.read_status(None);
    }
}
