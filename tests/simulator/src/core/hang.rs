//! Ports that hang, and what brings them back.

use serde::{Deserialize, Serialize};

use super::Modem;
use super::port::PortId;
use super::schedule::{Action, Return};
use super::usb::Function;

/// What ends a hang. Each of them also ends those that a milder one ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cure {
    /// The host closes the port and opens it again.
    Reopen,
    /// `AT+CRESET`, which the module obeys without answering it.
    Reset,
    /// The host takes the authorisation of the device away and gives it back.
    Usb,
    /// The power is cut.
    Power,
    /// Nothing.
    Never,
}

/// A port that hangs: it takes everything and says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hang {
    /// Every AT port if none.
    port: Option<Function>,
    cure: Cure,
}

impl Hang {
    fn concerns(self, port: Function) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hangs {
    hangs: Vec<Hang>,
    /// What came in on hanging ports, as far as it may become a reset.
    heard: Vec<u8>,
}

const RESET_LINE: &[u8] = b"AT+CRESET\r";

impl Hangs {
    pub(crate) fn add(&mut self, port: Option<Function>, cure: Cure) {
        self.hangs.push(Hang { port, cure });
    }

    /// Ends what this ends.
    pub(crate) fn cure(&mut self, by: Cure) {
        self.hangs.retain(|hang| hang.cure > by);
        self.heard.clear();
    }

    pub(crate) fn hangs(&self, port: Function) -> bool {
        self.hangs.iter().any(|hang| hang.concerns(port))
    }

    /// A port was opened.
    pub(crate) fn opened(&mut self, port: Function) {
        self.hangs
            .retain(|hang| hang.cure > Cure::Reopen || !hang.concerns(port));
    }

    /// Takes input of a port that hangs. True if the module obeys it by resetting itself.
    fn resets(&mut self, port: Function, bytes: &[u8]) -> bool {
        let curable = self
            .hangs
            .iter()
            .filter(|hang| hang.concerns(port))
            .all(|hang| hang.cure <= Cure::Reset);
        self.heard.extend_from_slice(bytes);
        let heard = self.heard.to_ascii_uppercase();
        let told = heard.windows(RESET_LINE.len()).any(|window| window == RESET_LINE);
        let kept = self.heard.len().saturating_sub(RESET_LINE.len());
        self.heard.drain(..kept);
        curable && told
    }
}

impl Modem {
    /// Input of an AT port, if it hangs. True if it does.
    pub(super) fn swallowed(&mut self, port: PortId, bytes: &[u8]) -> bool {
        let function = port.function();
        if !self.hangs.hangs(function) {
            return false;
        }
        if self.hangs.resets(function, bytes) {
            let after = self.random.within(self.delays.leave);
            let back = Some(Return::Reset);
            self.schedule.at(self.now + after, Action::Leave { back });
        }
        true
    }
}
