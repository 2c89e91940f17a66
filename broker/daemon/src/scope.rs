//! What a client may do, in a dozen words.

use std::fmt;

/// A part of what the broker does. Who has it may use every method that needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// What a modem and its SIM are, and how they are.
    ModemRead,
    /// Resets, functionality, compositions, entering the PIN.
    ModemControl,
    /// Messages with their texts.
    SmsRead,
    /// Sending and cancelling messages, which costs money.
    SmsSend,
    /// Who calls, and who called.
    CallRead,
    /// Dialling, which costs money, answering, hanging up.
    CallControl,
    /// The audio of calls and the keys that are pressed in them.
    CallAudio,
    /// Registration, signal, data sessions.
    NetworkRead,
    /// Operators, technologies, data sessions, which cost money, and the way to the internet.
    NetworkControl,
    /// Where the modem is.
    LocationRead,
    /// Commands and traces of the modem itself.
    AtRaw,
    /// What costs or destroys beyond the others: call forwarding, USSD, the locks of the SIM, deleting messages.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 12] = [
        Self::ModemRead,
        Self::ModemControl,
        Self::SmsRead,
        Self::SmsSend,
        Self::CallRead,
        Self::CallControl,
        Self::CallAudio,
        Self::NetworkRead,
        Self::NetworkControl,
        Self::LocationRead,
        Self::AtRaw,
        Self::Admin,
    ];

    /// The name in the configuration and in refusals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ModemRead => "modem.read",
            Self::ModemControl => "modem.control",
            Self::SmsRead => "sms.read",
            Self::SmsSend => "sms.send",
            Self::CallRead => "call.read",
            Self::CallControl => "call.control",
            Self::CallAudio => "call.audio",
            Self::NetworkRead => "network.read",
            Self::NetworkControl => "network.control",
            Self::LocationRead => "location.read",
            Self::AtRaw => "at.raw",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some of the scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    /// None: whoever has it is known, and may do nothing.
    pub const NONE: Self = Self(0);
    /// Every one.
    pub const ALL: Self = Self::of(&Scope::ALL);
    /// Those that only read.
    pub const READ: Self = Self::of(&[
        Scope::ModemRead,
        Scope::SmsRead,
        Scope::CallRead,
        Scope::NetworkRead,
        Scope::LocationRead,
    ]);

    /// These.
    pub const fn of(scopes: &[Scope]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < scopes.len() {
            bits |= 1 << scopes[index] as u8;
            index += 1;
        }
        Self(bits)
    }

    /// A name of the configuration: a scope, `read` for those that only read, `all` for every one.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "all" => Some(Self::ALL),
            "read" => Some(Self::READ),
            _ => {
                let scope = Scope::ALL.into_iter().find(|scope| scope.name() == name)?;
                Some(Self::of(&[scope]))
            }
        }
    }

    /// Both together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a scope is among them.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Scope::ALL.into_iter().filter(|scope| self.contains(*scope));
        f.debug_set().entries(names.map(Scope::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_scopes() {
        for scope in Scope::ALL {
            assert_eq!(Scopes::named(scope.name()), Some(Scopes::of(&[scope])));
        }
        assert_eq!(Scopes::named("sms"), None);
        assert!(!Scopes::READ.contains(Scope::SmsSend) && Scopes::READ.contains(Scope::SmsRead));
        let three = Scopes::of(&[Scope::AtRaw]).and(Scopes::of(&[Scope::Admin, Scope::ModemRead]));
        assert_eq!(format!("{three:?}"), r#"{"modem.read", "at.raw", "admin"}"#);
    }
}
