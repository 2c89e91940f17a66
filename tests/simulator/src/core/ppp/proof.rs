//! How a host shows who it is: PAP (RFC 1334) and CHAP with MD5 (RFC 1994).

use std::time::Instant;

use md5::{Digest as _, Md5};

use super::layers::Authentication;
use super::negotiation::{Packet, RESTART};
use super::{CHAP, PAP};

/// Codes of PAP.
const AUTHENTICATE_REQUEST: u8 = 1;
const AUTHENTICATE_ACK: u8 = 2;
const AUTHENTICATE_NAK: u8 = 3;

/// Codes of CHAP.
const CHALLENGE: u8 = 1;
const RESPONSE: u8 = 2;
const SUCCESS: u8 = 3;
const FAILURE: u8 = 4;

/// What a Qualcomm module calls itself.
const NAME: &[u8] = b"UMTS_CHAP_SRVR";

/// How often is asked, and how long is waited for a host that asks by itself.
const ATTEMPTS_MAX: u32 = 10;

/// What a host says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    Password {
        user: String,
        password: String,
    },
    Response {
        user: String,
        identifier: u8,
        challenge: [u8; 16],
        digest: [u8; 16],
    },
}

impl Proof {
    pub(crate) fn user(&self) -> &str {
        match self {
            Self::Password { user, .. } | Self::Response { user, .. } => user,
        }
    }

    /// The bit of its protocol: PAP 1, CHAP 2.
    pub(crate) fn protocol(&self) -> u32 {
        match self {
            Self::Password { .. } => 1,
            Self::Response { .. } => 2,
        }
    }

    /// Whether whoever said it knows this password.
    pub(crate) fn holds(&self, known: &str) -> bool {
        match self {
            Self::Password { password, .. } => password == known,
            Self::Response {
                identifier,
                challenge,
                digest,
                ..
            } => *digest == answer(*identifier, known, challenge),
        }
    }
}

/// RFC 1994 4.1: identifier, secret, challenge.
pub(super) fn answer(identifier: u8, secret: &str, challenge: &[u8]) -> [u8; 16] {
    let mut digest = Md5::new();
    digest.update([identifier]);
    digest.update(secret);
    digest.update(challenge);
    digest.finalize().into()
}

/// What a packet of the host leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Ask(Proof),
    Nothing,
}

/// The module's side of either protocol.
#[derive(Debug, Clone)]
pub(super) struct Doorkeeper {
    challenge: [u8; 16],
    identifier: u8,
    method: Authentication,
    attempts: u32,
    due: Option<Instant>,
    /// The identifier of the host's packet that is being looked at, or was.
    looked_at: Option<u8>,
    verdict: Option<bool>,
    outgoing: Vec<(u16, Packet)>,
}

impl Doorkeeper {
    pub(super) fn new(challenge: [u8; 16]) -> Self {
        Self {
            challenge,
            identifier: 0,
            method: Authentication::Nobody,
            attempts: 0,
            due: None,
            looked_at: None,
            verdict: None,
            outgoing: Vec::new(),
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn take_outgoing(&mut self) -> Vec<(u16, Packet)> {
        std::mem::take(&mut self.outgoing)
    }

    /// The link is there: the host has to show who it is.
    pub(super) fn open(&mut self, now: Instant, method: Authentication) {
        self.close();
        self.method = method;
        if method != Authentication::Nobody {
            self.identifier = self.identifier.wrapping_add(1);
            self.ask(now);
        }
    }

    pub(super) fn close(&mut self) {
        self.method = Authentication::Nobody;
        (self.attempts, self.due, self.looked_at, self.verdict) = (0, None, None, None);
    }

    fn ask(&mut self, now: Instant) {
        self.attempts += 1;
        self.due = Some(now + RESTART);
        if self.method == Authentication::Challenge {
            let mut data = vec![16];
            data.extend(self.challenge);
            data.extend(NAME);
            self.say(CHAP, CHALLENGE, self.identifier, data);
        }
    }

    fn say(&mut self, protocol: u16, code: u8, identifier: u8, data: Vec<u8>) {
        let packet = Packet { code, identifier, data };
        self.outgoing.push((protocol, packet));
    }

    /// Asks again. True if there is no use.
    pub(super) fn timeout(&mut self, now: Instant) -> bool {
        if self.due.take_if(|due| *due <= now).is_none() {
            return false;
        }
        if self.attempts >= ATTEMPTS_MAX {
            return true;
        }
        self.ask(now);
        false
    }

    /// Takes a packet of PAP or CHAP.
    pub(super) fn receive(&mut self, protocol: u16, packet: &Packet) -> Reply {
        let proof = match (protocol, self.method, packet.code) {
            (PAP, Authentication::Password, AUTHENTICATE_REQUEST) => password(&packet.data),
            (CHAP, Authentication::Challenge, RESPONSE) if packet.identifier == self.identifier => {
                self.response(&packet.data)
            }
            _ => None,
        };
        let Some(proof) = proof else { return Reply::Nothing };
        self.looked_at = Some(packet.identifier);
        match self.verdict {
            // The verdict was lost on the way; it stays what it was (RFC 1334 2.2.1, RFC 1994 4.1).
            Some(verdict) => {
                self.tell(verdict);
                Reply::Nothing
            }
            None => Reply::Ask(proof),
        }
    }

    fn response(&self, data: &[u8]) -> Option<Proof> {
        let (digest, name) = data.strip_prefix(&[16])?.split_first_chunk::<16>()?;
        Some(Proof::Response {
            user: text(name),
            identifier: self.identifier,
            challenge: self.challenge,
            digest: *digest,
        })
    }

    /// What was found of the proof.
    pub(super) fn admit(&mut self, good: bool) {
        self.verdict = Some(good);
        self.due = None;
        self.tell(good);
    }

    fn tell(&mut self, good: bool) {
        let Some(identifier) = self.looked_at else { return };
        match self.method {
            Authentication::Nobody => {}
            Authentication::Password => {
                let code = if good { AUTHENTICATE_ACK } else { AUTHENTICATE_NAK };
                // An empty message, with its length.
                self.say(PAP, code, identifier, vec![0]);
            }
            Authentication::Challenge => {
                let code = if good { SUCCESS } else { FAILURE };
                self.say(CHAP, code, identifier, Vec::new());
            }
        }
    }
}

/// Name and password, each behind its length.
fn password(data: &[u8]) -> Option<Proof> {
    let field = |octets: &mut &[u8]| {
        let (length, rest) = octets.split_first()?;
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        *octets = rest;
        Some(text(value))
    };
    let mut rest = data;
    let user = field(&mut rest)?;
    let password = field(&mut rest)?;
    Some(Proof::Password { user, password })
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
