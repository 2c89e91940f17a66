//! The automaton by which LCP and the network control protocols agree on their options (RFC 1661 clauses 3 to 5).

use std::time::{Duration, Instant};

pub(super) const CONFIGURE_REQUEST: u8 = 1;
pub(super) const CONFIGURE_ACK: u8 = 2;
pub(super) const CONFIGURE_NAK: u8 = 3;
pub(super) const CONFIGURE_REJECT: u8 = 4;
pub(super) const TERMINATE_REQUEST: u8 = 5;
pub(super) const TERMINATE_ACK: u8 = 6;
pub(super) const CODE_REJECT: u8 = 7;

/// The restart timer, and how often what it guards is said again (RFC 1661 4.6).
pub(super) const RESTART: Duration = Duration::from_secs(3);
const CONFIGURE_MAX: u32 = 10;
const TERMINATE_MAX: u32 = 2;

/// After so many Naks in a row an option is rejected instead (`Max-Failure`).
const NAKS_MAX: u32 = 5;

/// After so many refusals of what is asked for here there is no hope.
const REFUSALS_MAX: u32 = 20;

/// The longest packet that an answer quotes.
const QUOTED_MAX: usize = 1_400;

/// A packet of LCP, of an NCP, or of an authentication protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) code: u8,
    pub(super) identifier: u8,
    pub(super) data: Vec<u8>,
}

impl Packet {
    /// Reads one; octets behind its length are padding.
    pub(super) fn parse(octets: &[u8]) -> Option<Self> {
        let (&[code, identifier, high, low], rest) = octets.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let data = rest.get(..length.checked_sub(4)?)?.to_vec();
        Some(Self { code, identifier, data })
    }

    pub(super) fn octets(&self) -> Vec<u8> {
        let length = u16::try_from(4 + self.data.len()).unwrap_or(u16::MAX);
        let mut octets = vec![self.code, self.identifier];
        octets.extend(length.to_be_bytes());
        octets.extend_from_slice(&self.data);
        octets
    }
}

/// A configuration option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ControlOption {
    pub(super) kind: u8,
    pub(super) value: Vec<u8>,
}

pub(super) fn option(kind: u8, value: impl Into<Vec<u8>>) -> ControlOption {
    ControlOption {
        kind,
        value: value.into(),
    }
}

/// The options of a packet; none if they do not fill it exactly.
fn options(mut data: &[u8]) -> Option<Vec<ControlOption>> {
    let mut options = Vec::new();
    while let [kind, length, rest @ ..] = data {
        let (value, after) = rest.split_at_checked(usize::from(*length).checked_sub(2)?)?;
        options.push(option(*kind, value));
        data = after;
    }
    data.is_empty().then_some(options)
}

fn lay_out(options: &[ControlOption]) -> Vec<u8> {
    let octets = |option: &ControlOption| {
        let length = u8::try_from(2 + option.value.len()).unwrap_or(u8::MAX);
        [&[option.kind, length], &option.value[..]].concat()
    };
    options.iter().flat_map(octets).collect()
}

/// What is thought of an option of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// This value instead.
    Rather(Vec<u8>),
    /// Not at all.
    Never,
}

/// What a protocol negotiates.
pub(super) trait Layer {
    /// What is asked of the host.
    fn wanted(&self) -> Vec<ControlOption>;
    /// The host would have another value.
    fn suggested(&mut self, option: &ControlOption);
    /// The host does not want this option at all.
    fn declined(&mut self, kind: u8);
    /// What is thought of an option of the host.
    fn judge(&self, option: &ControlOption) -> Verdict;
    /// All options of the host were acknowledged.
    fn granted(&mut self, options: &[ControlOption]);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    RequestSent,
    AcknowledgeReceived,
    AcknowledgeSent,
    Opened,
    Closing,
}

/// What a packet or the time changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Both sides agree.
    Up,
    /// They have to agree anew.
    Down,
    /// The host ended it.
    Terminated,
    /// It was ended here, and the host knows.
    Closed,
    /// The host answers no more, or agrees to nothing.
    GivenUp,
}

/// One protocol's automaton.
#[derive(Debug, Clone)]
pub(super) struct Automaton<L> {
    pub(super) layer: L,
    state: State,
    identifier: u8,
    /// The options that were asked for last.
    request: Vec<u8>,
    attempts: u32,
    naks: u32,
    refusals: u32,
    due: Option<Instant>,
    outgoing: Vec<Packet>,
}

impl<L: Layer> Automaton<L> {
    pub(super) fn new(layer: L) -> Self {
        Self {
            layer,
            state: State::Closed,
            // The first request of a Qualcomm module has the identifier 0.
            identifier: u8::MAX,
            request: Vec::new(),
            attempts: 0,
            naks: 0,
            refusals: 0,
            due: None,
            outgoing: Vec::new(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Opened
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What is to be sent, in order.
    pub(super) fn take_outgoing(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.outgoing)
    }

    /// Begins to negotiate.
    pub(super) fn open(&mut self, now: Instant) {
        if self.state == State::Closed {
            self.state = State::RequestSent;
            self.request_anew(now);
        }
    }

    /// Ends it, whatever was reached.
    pub(super) fn close(&mut self, now: Instant) {
        if !matches!(self.state, State::Closed | State::Closing) {
            self.state = State::Closing;
            self.attempts = 0;
            self.terminate(now);
        }
    }

    /// Forgets it without a word.
    pub(super) fn forget(&mut self) {
        self.state = State::Closed;
        self.due = None;
        self.outgoing.clear();
    }

    pub(super) fn next_identifier(&mut self) -> u8 {
        self.identifier = self.identifier.wrapping_add(1);
        self.identifier
    }

    pub(super) fn send(&mut self, code: u8, identifier: u8, data: &[u8]) {
        self.outgoing.push(Packet {
            code,
            identifier,
            data: data.to_vec(),
        });
    }

    /// Sends a packet that quotes what cannot be understood.
    pub(super) fn quote(&mut self, code: u8, quoted: &[u8]) {
        // The identifier of a request that is under way has to stay what it is.
        let identifier = self.identifier.wrapping_add(128);
        self.send(code, identifier, &quoted[..quoted.len().min(QUOTED_MAX)]);
    }

    fn request_anew(&mut self, now: Instant) {
        self.attempts = 0;
        self.next_identifier();
        self.request = lay_out(&self.layer.wanted());
        self.request_again(now);
    }

    fn request_again(&mut self, now: Instant) {
        self.attempts += 1;
        let request = self.request.clone();
        self.send(CONFIGURE_REQUEST, self.identifier, &request);
        self.due = Some(now + RESTART);
    }

    fn terminate(&mut self, now: Instant) {
        self.attempts += 1;
        let identifier = self.next_identifier();
        self.send(TERMINATE_REQUEST, identifier, &[]);
        self.due = Some(now + RESTART);
    }

    /// Takes a packet with one of the codes that all these protocols have.
    pub(super) fn receive(&mut self, now: Instant, packet: &Packet) -> Option<Change> {
        match packet.code {
            TERMINATE_REQUEST => {
                self.send(TERMINATE_ACK, packet.identifier, &[]);
                self.terminated(now)
            }
            TERMINATE_ACK => self.let_go(now),
            CODE_REJECT if packet.data.first().is_some_and(|code| *code <= CODE_REJECT) => {
                // Whoever does not know these does not speak the protocol.
                self.forget();
                Some(Change::GivenUp)
            }
            CODE_REJECT => None,
            CONFIGURE_REQUEST..=CONFIGURE_REJECT if self.state == State::Closed => {
                self.send(TERMINATE_ACK, packet.identifier, &[]);
                None
            }
            CONFIGURE_REQUEST..=CONFIGURE_REJECT if self.state == State::Closing => None,
            CONFIGURE_REQUEST => self.requested(now, packet),
            CONFIGURE_ACK => self.acknowledged(now, packet),
            CONFIGURE_NAK | CONFIGURE_REJECT => self.refused(now, packet),
            _ => {
                self.quote(CODE_REJECT, &packet.octets());
                None
            }
        }
    }

    fn terminated(&mut self, now: Instant) -> Option<Change> {
        match self.state {
            State::Opened => {
                self.state = State::Closed;
                self.due = None;
                Some(Change::Terminated)
            }
            State::AcknowledgeReceived | State::AcknowledgeSent => {
                self.state = State::RequestSent;
                self.due = Some(now + RESTART);
                None
            }
            State::Closed | State::RequestSent | State::Closing => None,
        }
    }

    fn let_go(&mut self, now: Instant) -> Option<Change> {
        match self.state {
            State::Closing => {
                self.forget();
                Some(Change::Closed)
            }
            State::AcknowledgeReceived => {
                self.state = State::RequestSent;
                None
            }
            State::Opened => {
                self.state = State::RequestSent;
                self.request_anew(now);
                Some(Change::Down)
            }
            State::Closed | State::RequestSent | State::AcknowledgeSent => None,
        }
    }

    fn requested(&mut self, now: Instant, packet: &Packet) -> Option<Change> {
        // What cannot be read is discarded; the host says it again.
        let asked = options(&packet.data)?;
        let before = self.state;
        if before == State::Opened {
            self.request_anew(now);
        }
        let good = self.answer(packet, &asked);
        self.state = match (before, good) {
            (State::AcknowledgeReceived, true) => State::Opened,
            (State::AcknowledgeReceived, false) => State::AcknowledgeReceived,
            (_, true) => State::AcknowledgeSent,
            (_, false) => State::RequestSent,
        };
        match (before, self.state) {
            (State::Opened, _) => Some(Change::Down),
            (_, State::Opened) => {
                self.due = None;
                Some(Change::Up)
            }
            _ => None,
        }
    }

    /// Acknowledges, rejects or has another suggestion. True if it acknowledges.
    fn answer(&mut self, packet: &Packet, asked: &[ControlOption]) -> bool {
        let (mut rejected, mut unliked, mut suggested) = (Vec::new(), Vec::new(), Vec::new());
        for each in asked {
            match self.layer.judge(each) {
                Verdict::Good => {}
                Verdict::Rather(value) => {
                    unliked.push(each.clone());
                    suggested.push(option(each.kind, value));
                }
                Verdict::Never => rejected.push(each.clone()),
            }
        }
        if rejected.is_empty() && self.naks >= NAKS_MAX {
            rejected = unliked;
            suggested.clear();
        }
        if !rejected.is_empty() {
            self.send(CONFIGURE_REJECT, packet.identifier, &lay_out(&rejected));
        } else if !suggested.is_empty() {
            self.naks += 1;
            self.send(CONFIGURE_NAK, packet.identifier, &lay_out(&suggested));
        } else {
            self.naks = 0;
            self.send(CONFIGURE_ACK, packet.identifier, &packet.data);
            self.layer.granted(asked);
            return true;
        }
        false
    }

    fn acknowledged(&mut self, now: Instant, packet: &Packet) -> Option<Change> {
        if packet.identifier != self.identifier || packet.data != self.request {
            return None;
        }
        match self.state {
            State::RequestSent => {
                self.state = State::AcknowledgeReceived;
                self.attempts = 0;
                self.due = Some(now + RESTART);
                None
            }
            State::AcknowledgeSent => {
                self.state = State::Opened;
                self.due = None;
                Some(Change::Up)
            }
            // Nobody acknowledges twice: something went wrong on the way.
            State::AcknowledgeReceived | State::Opened => {
                let was_open = self.is_open();
                self.state = State::RequestSent;
                self.request_anew(now);
                was_open.then_some(Change::Down)
            }
            State::Closed | State::Closing => None,
        }
    }

    fn refused(&mut self, now: Instant, packet: &Packet) -> Option<Change> {
        let refused = options(&packet.data)?;
        if packet.identifier != self.identifier {
            return None;
        }
        self.refusals += 1;
        if self.refusals > REFUSALS_MAX {
            self.forget();
            return Some(Change::GivenUp);
        }
        for each in &refused {
            match packet.code {
                CONFIGURE_NAK => self.layer.suggested(each),
                _ => self.layer.declined(each.kind),
            }
        }
        let was_open = self.is_open();
        if self.state != State::AcknowledgeSent {
            self.state = State::RequestSent;
        }
        self.request_anew(now);
        was_open.then_some(Change::Down)
    }

    /// Says again what was not answered.
    pub(super) fn timeout(&mut self, now: Instant) -> Option<Change> {
        self.due.take_if(|due| *due <= now)?;
        let most = if self.state == State::Closing {
            TERMINATE_MAX
        } else {
            CONFIGURE_MAX
        };
        match self.state {
            State::Closed | State::Opened => None,
            state if self.attempts >= most => {
                self.forget();
                Some(if state == State::Closing {
                    Change::Closed
                } else {
                    Change::GivenUp
                })
            }
            State::Closing => {
                self.terminate(now);
                None
            }
            state => {
                if state == State::AcknowledgeReceived {
                    self.state = State::RequestSent;
                }
                self.request_again(now);
                None
            }
        }
    }
}
