//! What waits for what: of everything that a modem can be asked to do, what may begin beside what is under way.
//!
//! [`decide`] is the whole of it. It knows no readiness (whether the modem is registered, whether a port is open), only who
//! else is there. Its table is the snapshot `arbitration/table.txt`. The rules behind the cells:
//!
//! - A call comes first. It ends what would keep the port or the radio from it and can be begun again: a scan, a terminal, a
//!   USSD session.
//! - Ending a call asks nobody, so it is not in the table.
//! - What somebody asks for and what would cut somebody else off is refused, and the refusal says who is there.
//! - A message takes seconds, so it is waited for, and the next one is held back meanwhile.
//! - A data session ends with the module that it is on. Somebody who asks for a reset accepts that, because a reset is also the
//!   cure for data that does not work; what the broker does by itself waits for the end of the session.
//! - What the broker does by itself waits for everybody.

#[cfg(test)]
mod tests;

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Activity {
    /// A call is up, rings or is being dialled.
    Call,
    /// A short message is on its way to the network.
    Message,
    /// A USSD session.
    Ussd,
    /// A terminal has the AT port or waits for it.
    Terminal,
    /// A scan for operators.
    Scan,
    /// An operator is being selected, or the technologies are being changed.
    NetworkChange,
    /// The data bearer is being connected.
    Connecting,
    /// The data bearer is connected, or is being disconnected.
    Data,
    /// A PIN or a PUK is being used.
    SimOperation,
    /// The SIM is switched off and on.
    SimRestart,
    /// The radio is being switched off or on.
    RadioChange,
    /// Something waits for the message that is on its way.
    Awaited,
    /// The module was told to restart.
    Restart,
}

impl Activity {
    /// All of them.
    pub const ALL: [Activity; 13] = [
        Activity::Call,
        Activity::Message,
        Activity::Ussd,
        Activity::Terminal,
        Activity::Scan,
        Activity::NetworkChange,
        Activity::Connecting,
        Activity::Data,
        Activity::SimOperation,
        Activity::SimRestart,
        Activity::RadioChange,
        Activity::Awaited,
        Activity::Restart,
    ];
}

/// A set of [`Activity`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activities(u16);

impl Activities {
    /// The same set with this one if `is` says so.
    #[must_use]
    pub fn with(self, activity: Activity, is: bool) -> Activities {
        if is { Activities(self.0 | bit(activity)) } else { self }
    }

    /// The same set without this one.
    #[must_use]
    pub fn without(self, activity: Activity) -> Activities {
        Activities(self.0 & !bit(activity))
    }

    /// Whether this one is in it.
    #[must_use]
    pub fn contains(self, activity: Activity) -> bool {
        self.0 & bit(activity) != 0
    }

    /// Those in it, in the order of [`Activity::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Activity> {
        Activity::ALL
            .into_iter()
            .filter(move |activity| self.contains(*activity))
    }
}

fn bit(activity: Activity) -> u16 {
    1 << activity as u16
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// A call that the network brings: it is there whatever else is.
    IncomingCall,
    /// A call to an emergency number (22.101 10.1).
    EmergencyCall,
    /// A call to anybody else.
    Dial,
    /// The next message of the queue.
    Message,
    /// A USSD session.
    Ussd,
    /// A reply in the USSD session that is under way.
    UssdReply,
    /// A call forwarding is asked for or set.
    Forwarding,
    /// A terminal.
    Terminal,
    /// A scan for operators.
    Scan,
    /// Another operator or other technologies.
    NetworkChange,
    /// The data bearer.
    Bearer,
    /// The use of a PIN or a PUK.
    SimOperation,
    /// The SIM, switched off and on.
    SimRestart,
    /// The radio on.
    RadioOn,
    /// The radio off.
    RadioOff,
    /// A reset of the module.
    Reset,
    /// The same, whatever it cuts off.
    ForcedReset,
    /// Another USB composition.
    Composition,
    /// The USB composition of the configuration's policy.
    PolicyComposition,
    /// The reset that cures a module whose calls have unreliable audio.
    AudioReset,
    /// A step of the recovery that ends calls.
    RecoveryStep,
}

impl Wanted {
    /// All of them.
    pub const ALL: [Wanted; 21] = [
        Wanted::IncomingCall,
        Wanted::EmergencyCall,
        Wanted::Dial,
        Wanted::Message,
        Wanted::Ussd,
        Wanted::UssdReply,
        Wanted::Forwarding,
        Wanted::Terminal,
        Wanted::Scan,
        Wanted::NetworkChange,
        Wanted::Bearer,
        Wanted::SimOperation,
        Wanted::SimRestart,
        Wanted::RadioOn,
        Wanted::RadioOff,
        Wanted::Reset,
        Wanted::ForcedReset,
        Wanted::Composition,
        Wanted::PolicyComposition,
        Wanted::AudioReset,
        Wanted::RecoveryStep,
    ];
}

/// Whether what is wanted may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It begins beside what is under way.
    Begin,
    /// It begins, and these end.
    Displace(Activities),
    /// It begins when this is over.
    Wait(Activity),
    /// It is refused because of this.
    Refuse(Activity),
}

/// Whether what is wanted may begin beside everything that is under way: a refusal counts more than a wait, a wait more than
/// somebody's end.
#[must_use]
pub fn decide(wanted: Wanted, under_way: Activities) -> Verdict {
    let first = |verdict| under_way.iter().find(|activity| cell(wanted, *activity) == verdict);
    if let Some(refuses) = first(Cell::Refused) {
        return Verdict::Refuse(refuses);
    }
    if let Some(awaited) = first(Cell::Waits) {
        return Verdict::Wait(awaited);
    }
    let displaced = Activity::ALL
        .into_iter()
        .fold(Activities::default(), |displaced, activity| {
            let ends = under_way.contains(activity) && cell(wanted, activity) == Cell::Displaces;
            displaced.with(activity, ends)
        });
    if displaced == Activities::default() {
        Verdict::Begin
    } else {
        Verdict::Displace(displaced)
    }
}

/// What one activity means for what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Beside,
    Displaces,
    Waits,
    Refused,
}

fn cell(wanted: Wanted, under_way: Activity) -> Cell {
    use Activity::{
        Awaited, Call, Connecting, Message, NetworkChange, RadioChange, Restart, Scan, SimOperation, SimRestart,
        Terminal, Ussd,
    };
    use Cell::{Beside, Displaces, Refused, Waits};
    match (wanted, under_way) {
        // Somebody who waits for a message waits for one: the next follows later.
        (Wanted::Message | Wanted::AudioReset, Awaited) => Waits,
        (_, Awaited) => Beside,

        (Wanted::EmergencyCall | Wanted::Dial, Call) => Refused,
        (Wanted::IncomingCall | Wanted::EmergencyCall | Wanted::Dial, Ussd | Terminal | Scan) => Displaces,
        (Wanted::IncomingCall | Wanted::EmergencyCall, _) => Beside,
        // It would fail for want of a network, or be cut off.
        (Wanted::Dial, NetworkChange | SimRestart | RadioChange | Restart) => Refused,

        // It stays queued, where it can be cancelled, instead of waiting for the port.
        (Wanted::Message, Terminal | Scan | NetworkChange | SimRestart | RadioChange | Restart) => Waits,

        // A session has a time limit, which would pass while its code waits for the port.
        (Wanted::Ussd, Call | Ussd) => Refused,
        (
            Wanted::Ussd | Wanted::UssdReply | Wanted::Forwarding,
            Terminal | Scan | NetworkChange | SimRestart | RadioChange | Restart,
        ) => Refused,

        // These take the port or the network for minutes; between the parts of a message is no place for them.
        (Wanted::Terminal | Wanted::Scan | Wanted::NetworkChange, Message) => Waits,
        (
            Wanted::Terminal | Wanted::Scan | Wanted::NetworkChange,
            Call | Ussd | Terminal | Scan | NetworkChange | SimRestart | RadioChange | Restart,
        )
        | (Wanted::Scan | Wanted::NetworkChange, Connecting) => Refused,

        // Somebody's only way to the internet may depend on it.
        (Wanted::Bearer, Scan) => Displaces,
        (Wanted::Bearer, NetworkChange | SimRestart | RadioChange | Restart) => Refused,

        // Two at a time could spend the last attempt of a PIN without having been told to.
        (Wanted::SimOperation, Terminal | Scan | NetworkChange | SimOperation | SimRestart | RadioChange | Restart)
        | (Wanted::SimRestart, SimOperation) => Refused,

        (Wanted::RadioOn, Terminal | Scan | NetworkChange | SimRestart | RadioChange | Restart) => Refused,

        (Wanted::SimRestart | Wanted::RadioOff | Wanted::Reset | Wanted::Composition, Message | SimOperation) => Waits,
        (
            Wanted::SimRestart | Wanted::RadioOff | Wanted::Reset | Wanted::Composition,
            Call | Ussd | Terminal | Scan | NetworkChange | SimRestart | RadioChange | Restart,
        )
        | (Wanted::ForcedReset, Restart) => Refused,

        (Wanted::PolicyComposition | Wanted::AudioReset, _) | (Wanted::RecoveryStep, Call) => Waits,

        (
            Wanted::Dial
            | Wanted::Message
            | Wanted::Ussd
            | Wanted::UssdReply
            | Wanted::Forwarding
            | Wanted::Terminal
            | Wanted::Scan
            | Wanted::NetworkChange
            | Wanted::Bearer
            | Wanted::SimOperation
            | Wanted::SimRestart
            | Wanted::RadioOn
            | Wanted::RadioOff
            | Wanted::Reset
            | Wanted::ForcedReset
            | Wanted::Composition
            | Wanted::RecoveryStep,
            _,
        ) => Beside,
    }
}
