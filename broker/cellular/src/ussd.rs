//! A USSD dialogue with the network (27.007 7.15, 22.090): whose turn it is, and how it ends.
//!
//! ```text
//!            begin                     +CUSD: 1
//!   Idle ───────────▶ AwaitingNetwork ──────────▶ AwaitingUser
//!     ▲ ◀── +CUSD: 0, 2, 3, 4, 5 ──┘  ◀── reply ──────┘ │
//!     └──────── time-out, cancel, +CUSD: 0, 2 … ────────┘
//! ```
//!
//! The network may also begin: `+CUSD: 1` while idle opens a dialogue, any other text is a notification.

use std::time::{Duration, Instant};

use crate::at::reply::{Ussd, UssdStatus};
use crate::sms::alphabet::{ShiftTables, septets};

/// The network's own time-out, after which `+CUSD: 5` comes, was seen at 30 s to 2 minutes; this is for the case that it
/// never comes.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// Networks end a menu that nobody answers after 3 to 10 minutes, and nobody else can use USSD meanwhile.
pub const REPLY_LIMIT: Duration = Duration::from_secs(180);

/// Some modules tell first that the dialogue is released, and then what the network answered: so long the answer is waited
/// for.
pub const RELEASE_GRACE: Duration = Duration::from_secs(2);

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// There is no dialogue.
    Idle,
    /// The network is to answer.
    AwaitingNetwork,
    /// The network asked, and the user is to reply.
    AwaitingUser,
}

/// How a dialogue ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `+CUSD: 0`: by the final answer.
    Answered,
    /// `+CUSD: 2`: by the network.
    Terminated,
    /// `+CUSD: 3`: another client of the modem answered in our place.
    OtherClient,
    /// `+CUSD: 4`: the network does not know the operation.
    NotSupported,
    /// `+CUSD: 5`: the network gave up.
    NetworkTimeout,
    /// The network did not answer within [`Limits::answer`].
    NoAnswer,
    /// The user did not reply within [`Limits::reply`].
    NoReply,
}

/// What a `+CUSD` or a deadline means for the dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The network asks; `opened` if it began the dialogue by asking.
    Asks {
        /// There was no dialogue before.
        opened: bool,
    },
    /// It is over.
    Over(End),
    /// A text outside a dialogue.
    Notification,
}

/// How long each side may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The network.
    pub answer: Duration,
    /// The user.
    pub reply: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answer: ANSWER_LIMIT,
            reply: REPLY_LIMIT,
        }
    }
}

/// The dialogue. A modem has at most one at a time.
#[derive(Debug, Clone)]
pub struct Dialogue {
    limits: Limits,
    phase: Phase,
    deadline: Option<Instant>,
    /// The module told that the dialogue is released, and the answer may still come.
    released: bool,
}

impl Dialogue {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            phase: Phase::Idle,
            deadline: None,
            released: false,
        }
    }

    /// Whose turn it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// A code is on its way to the network.
    pub fn begin(&mut self, now: Instant) {
        self.turn(Phase::AwaitingNetwork, now);
    }

    /// A reply is on its way to the network. Nothing changes unless the network asked.
    pub fn reply(&mut self, now: Instant) {
        if self.phase == Phase::AwaitingUser {
            self.turn(Phase::AwaitingNetwork, now);
        }
    }

    /// Ends it from our side: cancelled, refused, or the modem is gone.
    pub fn end(&mut self) {
        self.phase = Phase::Idle;
        self.deadline = None;
        self.released = false;
    }

    /// Takes what the network said. `None` if it changes nothing.
    pub fn handle(&mut self, now: Instant, said: &Ussd) -> Option<Step> {
        let idle = self.phase == Phase::Idle;
        let end = match said.status {
            UssdStatus::ActionRequired => {
                self.turn(Phase::AwaitingUser, now);
                return Some(Step::Asks { opened: idle });
            }
            UssdStatus::Done => End::Answered,
            UssdStatus::Terminated => End::Terminated,
            UssdStatus::OtherClientResponded => End::OtherClient,
            UssdStatus::NotSupported => End::NotSupported,
            UssdStatus::NetworkTimeout => End::NetworkTimeout,
        };
        if self.phase == Phase::AwaitingNetwork && !self.released && is_release_notice(said) {
            self.released = true;
            self.deadline = Some(now + RELEASE_GRACE);
            return None;
        }
        if idle {
            // Without a text this is the echo of an end that is known already.
            return said.raw_text.is_some().then_some(Step::Notification);
        }
        self.end();
        Some(Step::Over(end))
    }

    /// Ends a dialogue whose deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Step> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return None;
        }
        let end = match self.phase {
            Phase::Idle => return None,
            Phase::AwaitingNetwork if self.released => End::Terminated,
            Phase::AwaitingNetwork => End::NoAnswer,
            Phase::AwaitingUser => End::NoReply,
        };
        self.end();
        Some(Step::Over(end))
    }

    /// When [`Dialogue::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    fn turn(&mut self, phase: Phase, now: Instant) {
        let limit = match phase {
            Phase::AwaitingUser => self.limits.reply,
            _ => self.limits.answer,
        };
        self.phase = phase;
        self.deadline = Some(now + limit);
        self.released = false;
    }
}

/// `+CUSD: 2` with nothing of the network's in it: empty, or with a word of the module's own.
fn is_release_notice(said: &Ussd) -> bool {
    let word = said.raw_text.as_deref().unwrap_or_default().to_ascii_lowercase();
    let own = word.is_empty() || word.len() < 40 && (word.contains("releas") || word.contains("terminated"));
    said.status == UssdStatus::Terminated && own
}

/// The text of a `+CUSD` for people; empty if there is none.
///
/// `<str>` comes in the character set of `AT+CSCS`, except that UCS2 is hexadecimal in every one of them, so that the
/// character set need not be changed to read it.
#[must_use]
pub fn text(said: &Ussd) -> String {
    let decode = |octets: &[u8]| {
        let septets = septets::unpack(octets, 0, octets.len() * 8 / 7);
        Some(ShiftTables::default().decode(&septets))
    };
    // 23.038 6.1.2.3.1: a text that leaves seven bits of the last octet free is padded with a carriage return.
    let text = said.text(decode).unwrap_or_default();
    text.trim_end_matches('\r').replace("\r\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use std::fmt::Write as _;

    #[expect(clippy::disallowed_methods, reason = "a test has to begin at some instant")]
    fn beginning() -> Instant {
        Instant::now()
    }

    fn said(line: &str) -> Ussd {
        Ussd::parse(line).expect("a +CUSD")
    }

    #[test]
    fn every_phase_and_everything_that_can_happen_in_it() {
        let now = beginning();
        let mut table = String::new();
        for phase in [Phase::Idle, Phase::AwaitingNetwork, Phase::AwaitingUser] {
            for input in [
                "0,\"x\"", "1,\"x\"", "2", "2,\"x\"", "3", "4", "5", "reply", "time", "end",
            ] {
                let mut dialogue = Dialogue::new(Limits::default());
                match phase {
                    Phase::Idle => {}
                    Phase::AwaitingNetwork => dialogue.begin(now),
                    Phase::AwaitingUser => drop(dialogue.handle(now, &said("1,\"?\""))),
                }
                let step = match input {
                    "reply" => {
                        dialogue.reply(now);
                        None
                    }
                    "time" => dialogue.handle_timeout(now + ANSWER_LIMIT + REPLY_LIMIT),
                    "end" => {
                        dialogue.end();
                        None
                    }
                    line => dialogue.handle(now, &said(line)),
                };
                let step = step.map_or("-".to_owned(), |step| format!("{step:?}"));
                let _ = writeln!(table, "{phase:?} {input} -> {:?} {step}", dialogue.phase());
                assert_eq!(dialogue.phase() == Phase::Idle, dialogue.poll_timeout().is_none());
            }
        }
        expect![[r#"
            Idle 0,"x" -> Idle Notification
            Idle 1,"x" -> AwaitingUser Asks { opened: true }
            Idle 2 -> Idle -
            Idle 2,"x" -> Idle Notification
            Idle 3 -> Idle -
            Idle 4 -> Idle -
            Idle 5 -> Idle -
            Idle reply -> Idle -
            Idle time -> Idle -
            Idle end -> Idle -
            AwaitingNetwork 0,"x" -> Idle Over(Answered)
            AwaitingNetwork 1,"x" -> AwaitingUser Asks { opened: false }
            AwaitingNetwork 2 -> AwaitingNetwork -
            AwaitingNetwork 2,"x" -> Idle Over(Terminated)
            AwaitingNetwork 3 -> Idle Over(OtherClient)
            AwaitingNetwork 4 -> Idle Over(NotSupported)
            AwaitingNetwork 5 -> Idle Over(NetworkTimeout)
            AwaitingNetwork reply -> AwaitingNetwork -
            AwaitingNetwork time -> Idle Over(NoAnswer)
            AwaitingNetwork end -> Idle -
            AwaitingUser 0,"x" -> Idle Over(Answered)
            AwaitingUser 1,"x" -> AwaitingUser Asks { opened: false }
            AwaitingUser 2 -> Idle Over(Terminated)
            AwaitingUser 2,"x" -> Idle Over(Terminated)
            AwaitingUser 3 -> Idle Over(OtherClient)
            AwaitingUser 4 -> Idle Over(NotSupported)
            AwaitingUser 5 -> Idle Over(NetworkTimeout)
            AwaitingUser reply -> AwaitingNetwork -
            AwaitingUser time -> Idle Over(NoReply)
            AwaitingUser end -> Idle -
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn a_dialogue_that_is_late_by_nothing_is_not_over() {
        let now = beginning();
        let mut dialogue = Dialogue::new(Limits::default());
        dialogue.begin(now);
        assert_eq!(
            dialogue.handle_timeout(now + ANSWER_LIMIT - Duration::from_millis(1)),
            None
        );
        assert_eq!(
            dialogue.handle_timeout(now + ANSWER_LIMIT),
            Some(Step::Over(End::NoAnswer))
        );
        assert_eq!(dialogue.handle_timeout(now + 2 * ANSWER_LIMIT), None);
    }

    #[test]
    fn what_comes_behind_the_release_notice_is_the_answer() {
        let now = beginning();
        for notice in ["2,\"Initiating Release\",15", "2,\"\"", "2"] {
            let mut dialogue = Dialogue::new(Limits::default());
            dialogue.begin(now);
            assert_eq!(dialogue.handle(now, &said(notice)), None, "{notice}");
            let mut unanswered = dialogue.clone();
            let answer = dialogue.handle(now, &said("0,\"Your balance is 49.96\",15"));
            assert_eq!(answer, Some(Step::Over(End::Answered)), "{notice}");
            assert_eq!(
                unanswered.handle_timeout(now + RELEASE_GRACE),
                Some(Step::Over(End::Terminated)),
                "{notice}"
            );
        }
        let mut dialogue = Dialogue::new(Limits::default());
        dialogue.begin(now);
        let answer = dialogue.handle(now, &said("2,\"Balance 5 EUR\",15"));
        assert_eq!(answer, Some(Step::Over(End::Terminated)));
    }

    #[test]
    fn texts_are_read_in_every_form_that_networks_and_modems_send() {
        for (line, expected) in [
            ("0,\"Balance: 12.34 EUR\",15", "Balance: 12.34 EUR"),
            ("0,\"12345678\",15", "12345678"),
            ("2", ""),
            ("0,\"04110430043B0430043D0441003A00200035\",72", "Баланс: 5"),
            // Septets in hexadecimal, as other modems send them.
            ("0,\"C73A1D1D1697DDA01AA8589502\",15", "Guthaben 5 EUR"),
            (
                "0,\"003400340037003700300030003900300030003100320033\",15",
                "447700900123",
            ),
            ("0,\"0037\",72", "7"),
            ("0,\"0037\",15", "0037"),
            (
                "0,\"0E220E2D0E140E400E070E340E190020003100320E1A0E320E17\",15",
                "ยอดเงิน 12บาท",
            ),
            ("0,\"0936094709370020003500300930\",0", "शेष 50र"),
            ("0,\"10D110D010DA10D010DC10E110D80020003500320020\",0", "ბალანსი 52 "),
            ("0,\"4F59989D003A00200035002E00300030\",72", "余额: 5.00"),
            ("0,\"4F59989D003100328BF75145503C\",15", "余额12请充值"),
            ("0,\"201C0046006C00650078201D00200035002020AC2026\",15", "“Flex” 5 €…"),
            ("0,\"05D905EA05E805D4\",15", "יתרה"),
            ("0,\"436166E9203132\",68", "Café 12"),
            ("0,\"436166C3A9203132\",68", "Café 12"),
            ("0,\"53616C646F2031322C3530\",15", "Saldo 12,50"),
            ("0,\"7A344F59989D0035\",17", "余额5"),
            ("0,\"4F59989D0035\",17", "余额5"),
            ("0,\"en\nBalance 5\",16", "Balance 5"),
            ("0,\"657743186687DDE332A806\",16", "Balance 5"),
            (
                "0,\"Offer \"Weekend\", 1GB for 5, dial *5#\",15",
                "Offer \"Weekend\", 1GB for 5, dial *5#",
            ),
            ("0,\"say \"yes\"\",15", "say \"yes\""),
            ("2,\"never closed, 5", "never closed, 5"),
            ("0,\"1234567890123456\",15", "1234567890123456"),
            ("1,\"Menu:\r\n1 Balance\r\n2 Number\",15", "Menu:\n1 Balance\n2 Number"),
        ] {
            assert_eq!(text(&said(line)), expected, "{line}");
        }
    }
}
