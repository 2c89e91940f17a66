//! rtnetlink (RFC 3549, `rtnetlink(7)`): as much of it as a network interface of a modem needs.
//!
//! The kernel carries a request out and answers it within the call, so this is a request and its answer on a socket of its
//! own, blocking and with a bound.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use tokio::net::unix::pipe;

/// Octets of the header before every message.
const HEADER: usize = 16;

/// The kernel splits long lists into messages of at most 32 KiB.
const RECEIVE_SIZE: usize = 32 * 1024;

/// A message about one thing, such as an interface with all its counters.
const ANNOUNCEMENT_SIZE: usize = 16 * 1024;

/// The kernel answers at once, unless a driver holds the lock of all links for long.
const ANSWER_LIMIT_S: i64 = 5;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

const NLM_F_REQUEST: u16 = 0x001;
const NLM_F_ACK: u16 = 0x004;
const NLM_F_DUMP: u16 = 0x300;

/// Replaces what is there already.
pub(crate) const NLM_F_REPLACE: u16 = 0x100;
/// Creates what is not there.
pub(crate) const NLM_F_CREATE: u16 = 0x400;
/// Fails where it is there already.
pub(crate) const NLM_F_EXCL: u16 = 0x200;
/// Adds it behind what is there with the same key.
pub(crate) const NLM_F_APPEND: u16 = 0x800;

/// The body of a message: a structure, then attributes.
#[derive(Clone, Debug)]
pub(crate) struct Body(Vec<u8>);

impl Body {
    /// A body that begins with a structure.
    pub(crate) fn new(structure: &[u8]) -> Self {
        let mut body = Self(structure.to_vec());
        body.pad();
        body
    }

    /// Adds an attribute.
    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        // No value here comes near the 16 bits of a length.
        self.0.extend(((4 + value.len()) as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.pad();
        self
    }

    /// Adds an attribute of 32 bits.
    pub(crate) fn with_u32(self, kind: u16, value: u32) -> Self {
        self.with(kind, &value.to_ne_bytes())
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// The attributes after a structure.
pub(crate) fn attributes(mut octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (&[low, high, kind_low, kind_high], _) = octets.split_first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let value = octets.get(4..length)?;
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        // The upper bits say how the value is nested and in which order its octets are.
        Some((u16::from_ne_bytes([kind_low, kind_high]) & 0x3FFF, value))
    })
}

/// The messages of a datagram: kind, sequence number and body.
fn messages(mut octets: &[u8]) -> impl Iterator<Item = (u16, u32, &[u8])> {
    std::iter::from_fn(move || {
        let (header, _) = octets.split_first_chunk::<HEADER>()?;
        let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = word(0) as usize;
        let body = octets.get(HEADER..length)?;
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([header[4], header[5]]), word(8), body))
    })
}

/// What the kernel tells on its own.
pub(crate) struct Announcements {
    /// Nothing is asked of it but `read` and readiness, which a netlink socket has as well as a pipe.
    descriptor: pipe::Receiver,
}

impl Announcements {
    /// Listens from now on to groups: bits as in `RTMGRP_…` of `rtnetlink(7)`, one for each `RTNLGRP_…` beyond them.
    pub(crate) fn open(groups: u32) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let descriptor: OwnedFd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(descriptor.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self {
            descriptor: pipe::Receiver::from_owned_fd_unchecked(descriptor)?,
        })
    }

    /// Waits until there is something, and reads all of it; `each` gets the kind and the body of every message. Messages may
    /// have been lost: what they were about has to be looked at.
    pub(crate) async fn next(&self, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.descriptor.readable().await?;
        // What does not fit is cut off, and no message then.
        let mut buffer = [0; ANNOUNCEMENT_SIZE];
        loop {
            match self.descriptor.try_read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => messages(&buffer[..count]).for_each(|(kind, _, body)| each(kind, body)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A socket to the kernel.
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// To what knows links, addresses, routes and rules.
    pub(crate) fn open() -> io::Result<Self> {
        Self::open_protocol(SockProtocol::NetlinkRoute)
    }

    /// To what knows the sockets of all programs (`sock_diag(7)`).
    pub(crate) fn open_sockets() -> io::Result<Self> {
        Self::open_protocol(SockProtocol::NetlinkSockDiag)
    }

    fn open_protocol(protocol: SockProtocol) -> io::Result<Self> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(ANSWER_LIMIT_S))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Changes something.
    pub(crate) fn change(&mut self, kind: u16, flags: u16, body: &Body) -> io::Result<()> {
        self.exchange(kind, flags | NLM_F_ACK, body, |_, _| {})
    }

    /// Lists something; `each` gets the kind and the body of every entry.
    pub(crate) fn list(&mut self, kind: u16, body: &Body, each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.exchange(kind, NLM_F_DUMP, body, each)
    }

    /// Asks for one thing.
    pub(crate) fn get(&mut self, kind: u16, body: &Body, each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.exchange(kind, NLM_F_ACK, body, each)
    }

    fn exchange(&mut self, kind: u16, flags: u16, body: &Body, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.sequence += 1;
        let mut message = Vec::with_capacity(HEADER + body.0.len());
        message.extend(((HEADER + body.0.len()) as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        message.extend_from_slice(&body.0);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        let mut buffer = vec![0; RECEIVE_SIZE];
        loop {
            let count = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel did not answer")),
                Err(errno) => return Err(errno.into()),
            };
            if let Some(end) = self.read(&buffer[..count], &mut each) {
                return end;
            }
        }
    }

    /// Reads the messages of a datagram; the outcome, once it is there.
    fn read(&self, octets: &[u8], each: &mut impl FnMut(u16, &[u8])) -> Option<io::Result<()>> {
        for (kind, sequence, body) in messages(octets) {
            if sequence != self.sequence {
                continue;
            }
            match kind {
                NLMSG_DONE => return Some(Ok(())),
                NLMSG_ERROR => {
                    let code = i32::from_ne_bytes(*body.first_chunk()?);
                    return Some(match code {
                        0 => Ok(()),
                        code => Err(io::Error::from_raw_os_error(-code)),
                    });
                }
                kind => each(kind, body),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_were_written_and_never_beyond_their_end() {
        let body = Body::new(&[1, 2, 3, 4]).with(3, b"wwan0\0").with_u32(4, 1420);
        let read: Vec<_> = attributes(&body.0[4..]).collect();
        assert_eq!(read, [(3, &b"wwan0\0"[..]), (4, &1420_u32.to_ne_bytes()[..])]);
        for length in 4..body.0.len() {
            assert!(attributes(&body.0[4..length]).count() <= 2, "{length} octets");
        }
        // A length that is shorter than its own header ends the list.
        assert_eq!(attributes(&[2, 0, 1, 0, 9, 9, 9, 9]).count(), 0);
    }
}
