//! PPP by the kernel and its daemon (`pppd(8)`), on a pseudo terminal whose other side carries the octets of a data call.
//!
//! What pppd agreed on with its peer it tells in its log, and how it ended by its exit status; both have been the same for
//! decades. Its scripts are not used: an address, a route or a name server is the broker's to set.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use cellular::packet::{Authentication, Family};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Join, Lines};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use super::interface::NotReady;

/// Where Debian and others have it.
const PROGRAMS: [&str; 3] = ["/usr/sbin/pppd", "/sbin/pppd", "/usr/local/sbin/pppd"];

/// The kernel's side. The node is there, also before the module is loaded, where the kernel has PPP at all.
const DEVICE: &str = "/dev/ppp";

/// A pseudo terminal that takes no octets for this long has nobody at its other side.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// How long the last lines of one that ended may take.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The interface of a modem whose data goes by PPP. A name has at most 15 characters.
pub fn interface_name(modem: &str) -> String {
    // Names of modems differ at their ends as a rule.
    let end = modem.len().saturating_sub(11);
    format!("ppp-{}", modem.get(end..).unwrap_or(modem))
}

/// Whether this process could start it, and if not what to do.
pub fn check() -> Result<(), NotReady> {
    if program().is_none() {
        return Err(NotReady::NoPppd);
    }
    if !Path::new(DEVICE).exists() {
        return Err(NotReady::NoKernelPpp);
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(NotReady::NotRoot);
    }
    Ok(())
}

fn program() -> Option<PathBuf> {
    PROGRAMS.iter().map(PathBuf::from).find(|path| path.exists())
}

/// What a session is to be like.
#[derive(Clone)]
pub struct Options {
    /// Name of the network interface, which comes and goes with the session.
    pub interface: String,
    /// Versions of IP.
    pub families: Vec<Family>,
    /// Largest packet.
    pub mtu: Option<u32>,
    /// How to show who asks.
    pub authentication: Authentication,
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl Options {
    /// They come behind those of `/etc/ppp/options`, and so have the last word.
    fn arguments(&self, tty: &Path) -> Vec<String> {
        let mut arguments = vec![tty.to_string_lossy().into_owned()];
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
        // The log comes over standard output then. The terminal has neither modem lines nor a need for a lock.
        add(&["nodetach", "local", "nocrtscts", "nolock", "asyncmap", "0"]);
        // No mobile network shows a host who it is.
        add(&["noauth"]);
        add(&[
            "ifname",
            &self.interface,
            "nodefaultroute",
            "noproxyarp",
            "novj",
            "noccp",
        ]);
        add(&["ip-up-script", "/bin/true", "ip-down-script", "/bin/true"]);
        // Within a minute a peer that went away without a word is noticed.
        add(&["lcp-echo-interval", "20", "lcp-echo-failure", "3"]);
        if self.families.contains(&Family::V4) {
            add(&["noipdefault", "ipcp-accept-local", "ipcp-accept-remote", "usepeerdns"]);
        } else {
            add(&["noip"]);
        }
        if self.families.contains(&Family::V6) {
            // The interface identifier is the network's to give (29.061 11.2.1.3).
            add(&["+ipv6", "ipv6cp-accept-local"]);
        } else {
            add(&["noipv6"]);
        }
        if let Some(mtu) = self.mtu {
            add(&["mtu", &mtu.to_string()]);
        }
        add(&["refuse-eap", "refuse-mschap", "refuse-mschap-v2"]);
        match self.authentication {
            Authentication::Pap => add(&["refuse-chap"]),
            Authentication::Chap => add(&["refuse-pap"]),
            Authentication::Both | Authentication::None => {}
        }
        if self.authentication != Authentication::None {
            // Arguments can be read by everybody on the machine.
            add(&["file", "/dev/stdin"]);
        }
        arguments
    }

    /// What only pppd is to read.
    fn secrets(&self) -> Option<String> {
        let quoted = |text: &str| {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{escaped}\"")
        };
        let written = || format!("user {}\npassword {}\n", quoted(&self.user), quoted(&self.password));
        (self.authentication != Authentication::None).then(written)
    }
}

/// What was agreed on, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The IPv4 address.
    pub address_v4: Option<Ipv4Addr>,
    /// Name servers.
    pub name_servers: Vec<Ipv4Addr>,
    /// The IPv6 address of the link.
    pub link_local: Option<Ipv6Addr>,
}

impl Agreed {
    /// Whether a version of IP goes.
    pub fn has(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.address_v4.is_some(),
            Family::V6 => self.link_local.is_some(),
        }
    }

    /// Takes a line of the log.
    pub fn fold(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["local", "IP", "address", address] => self.address_v4 = address.parse().ok(),
            ["primary" | "secondary", "DNS", "address", address] => {
                self.name_servers.extend(address.parse::<Ipv4Addr>());
            }
            ["local", "LL", "address", address] => self.link_local = address.parse().ok(),
            _ => {}
        }
    }
}

/// Why a session ended, by the exit status (`pppd(8)`, EXIT STATUS).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is described by its message")]
pub enum End {
    #[error("the network refused user or password")]
    Authentication,
    #[error("the module or the network ended it")]
    ByPeer,
    #[error("the module stopped answering")]
    Silent,
    #[error("the network and pppd agreed on nothing")]
    NotAgreed,
    #[error("pppd was stopped")]
    Stopped,
    #[error("pppd ended ({status}): {said}")]
    Other { status: String, said: String },
}

impl End {
    fn new(status: ExitStatus, said: &str, was_refused: bool) -> Self {
        match status.code() {
            // A module that hangs up at the same time has the last word in the exit status.
            _ if was_refused => Self::Authentication,
            // At the wish of the peer; the other side hung up.
            Some(0 | 16) => Self::ByPeer,
            Some(5) => Self::Stopped,
            Some(10) => Self::NotAgreed,
            Some(15) => Self::Silent,
            Some(19) => Self::Authentication,
            _ => Self::Other {
                status: status.to_string(),
                said: said.to_owned(),
            },
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// So many octets for the peer are in the buffer.
    Octets(usize),
    /// A line of the log.
    Said(String),
    /// It is over.
    Ended(End),
}

/// One that runs. It ends with the value.
pub struct Pppd {
    child: Child,
    log: Option<Lines<BufReader<pipe::Receiver>>>,
    /// Our side of the terminal, until it is hung up.
    octets: Option<Join<pipe::Receiver, pipe::Sender>>,
    /// Keeps the terminal open until pppd has opened it.
    _tty: OwnedFd,
    /// The last line of the log.
    said: String,
    /// User or password were refused.
    was_refused: bool,
}

impl Pppd {
    /// Starts it.
    pub fn start(options: &Options) -> io::Result<Self> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "there is no pppd; install it: apt install ppp");
        let program = program().ok_or_else(missing)?;
        let (octets, tty) = terminal()?;
        let path = nix::unistd::ttyname(tty.as_fd())?;
        let (log, words) = io::pipe()?;
        let mut command = Command::new(program);
        command
            .args(options.arguments(&path))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdout(words.try_clone()?)
            .stderr(words)
            .kill_on_drop(true);
        match options.secrets() {
            None => command.stdin(Stdio::null()),
            Some(secrets) => {
                // They fit what a pipe holds, and are read once.
                let (reading, mut writing) = io::pipe()?;
                writing.write_all(secrets.as_bytes())?;
                command.stdin(reading)
            }
        };
        let child = command.spawn()?;
        // Its copies of the write end are in the command.
        drop(command);
        let log = pipe::Receiver::from_owned_fd(log.into())?;
        Ok(Self {
            child,
            log: Some(BufReader::new(log).lines()),
            octets: Some(octets),
            _tty: tty,
            said: String::new(),
            was_refused: false,
        })
    }

    /// What happens next. Nothing is lost when this is given up.
    pub async fn next(&mut self, buffer: &mut [u8]) -> Event {
        loop {
            tokio::select! {
                biased;
                line = next_line(&mut self.log) => {
                    self.heed(&line);
                    return Event::Said(line);
                }
                read = next_octets(&mut self.octets, buffer) => match read {
                    Ok(count @ 1..) => return Event::Octets(count),
                    // Only its exit status says why.
                    Ok(0) | Err(_) => self.octets = None,
                },
                status = self.child.wait() => {
                    while let Ok(line) = tokio::time::timeout(LAST_WORDS, next_line(&mut self.log)).await {
                        self.heed(&line);
                    }
                    let end = match status {
                        Ok(status) => End::new(status, &self.said, self.was_refused),
                        Err(error) => End::Other { status: error.to_string(), said: self.said.clone() },
                    };
                    return Event::Ended(end);
                }
            }
        }
    }

    fn heed(&mut self, line: &str) {
        // Of PAP or CHAP, with or without what the peer said.
        self.was_refused |= line.contains("authentication failed");
        line.clone_into(&mut self.said);
    }

    /// Gives it octets of the peer.
    pub async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let Some(terminal) = &mut self.octets else {
            return Ok(());
        };
        match tokio::time::timeout(WRITE_LIMIT, terminal.write_all(octets)).await {
            Ok(written) => written,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "pppd takes no octets")),
        }
    }

    /// Has it take leave of its peer, and end.
    pub fn terminate(&self) {
        let process = self.child.id().and_then(|id| i32::try_from(id).ok());
        // One that has ended already is what is wanted.
        let _ = process.map(|process| kill(Pid::from_raw(process), Signal::SIGTERM));
    }

    /// Takes its line away: it ends at once, without a word to its peer.
    pub fn hang_up(&mut self) {
        self.octets = None;
    }
}

async fn next_line(log: &mut Option<Lines<BufReader<pipe::Receiver>>>) -> String {
    loop {
        let Some(lines) = log else {
            return std::future::pending().await;
        };
        match lines.next_line().await {
            Ok(Some(line)) if line.trim().is_empty() => {}
            Ok(Some(line)) => return line.trim().to_owned(),
            Ok(None) | Err(_) => *log = None,
        }
    }
}

async fn next_octets(
    terminal: &mut Option<Join<pipe::Receiver, pipe::Sender>>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    match terminal {
        Some(terminal) => terminal.read(buffer).await,
        None => std::future::pending().await,
    }
}

/// A raw pseudo terminal: our side, and the one that pppd opens by its name.
fn terminal() -> io::Result<(Join<pipe::Receiver, pipe::Sender>, OwnedFd)> {
    let pair = openpty(None, None)?;
    let mut settings = tcgetattr(&pair.slave)?;
    cfmakeraw(&mut settings);
    tcsetattr(&pair.slave, SetArg::TCSANOW, &settings)?;
    for descriptor in [pair.master.as_fd(), pair.slave.as_fd()] {
        fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    let flags = OFlag::from_bits_truncate(fcntl(pair.master.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(pair.master.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    // The pipe types ask nothing of a descriptor but `read`, `write` and readiness.
    let reader = pipe::Receiver::from_owned_fd_unchecked(pair.master.try_clone()?)?;
    let writer = pipe::Sender::from_owned_fd_unchecked(pair.master)?;
    Ok((tokio::io::join(reader, writer), pair.slave))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            interface: "ppp-sim1".to_owned(),
            families: vec![Family::V4, Family::V6],
            mtu: None,
            authentication: Authentication::Chap,
            user: "somebody".to_owned(),
            password: "a \"b\\".to_owned(),
        }
    }

    #[test]
    fn the_log_says_what_was_agreed_on() {
        let mut agreed = Agreed::default();
        for line in [
            "Using interface ppp-sim1",
            "Connect: ppp-sim1 <--> /dev/pts/3",
            "CHAP authentication succeeded",
            "local  LL address fe80::0000:0000:0000:0002",
            "remote LL address fe80::0000:0000:0000:0001",
            "local  IP address 10.64.0.2",
            "remote IP address 10.64.0.1",
            "primary   DNS address 10.64.0.53",
            "secondary DNS address 10.64.0.54",
        ] {
            agreed.fold(line);
        }
        let expected = Agreed {
            address_v4: Some(Ipv4Addr::new(10, 64, 0, 2)),
            name_servers: vec![Ipv4Addr::new(10, 64, 0, 53), Ipv4Addr::new(10, 64, 0, 54)],
            link_local: Some("fe80::2".parse().unwrap()),
        };
        assert_eq!(agreed, expected);
    }

    #[test]
    fn a_password_is_no_argument_and_cannot_add_an_option() {
        let options = options();
        let arguments = options.arguments(Path::new("/dev/pts/3"));
        assert_eq!(arguments[0], "/dev/pts/3");
        assert!(
            arguments.iter().all(|argument| !argument.contains("somebody")),
            "{arguments:?}"
        );
        assert_eq!(
            options.secrets().unwrap(),
            "user \"somebody\"\npassword \"a \\\"b\\\\\"\n"
        );
        let open = Options {
            authentication: Authentication::None,
            ..options
        };
        assert_eq!(open.secrets(), None);
        assert!(
            !open
                .arguments(Path::new("/dev/pts/3"))
                .contains(&"/dev/stdin".to_owned())
        );
    }

    #[test]
    fn a_version_of_ip_that_is_not_wanted_is_not_offered() {
        let with = |families: &[Family]| {
            let options = Options {
                families: families.to_vec(),
                ..options()
            };
            let arguments = options.arguments(Path::new("/dev/pts/3"));
            ["noip", "noipv6", "+ipv6"].map(|word| arguments.iter().any(|argument| argument == word))
        };
        assert_eq!(with(&[Family::V4]), [false, true, false]);
        assert_eq!(with(&[Family::V6]), [true, false, true]);
        assert_eq!(with(&[Family::V4, Family::V6]), [false, false, true]);
    }

    #[test]
    fn names_of_interfaces_fit_the_kernel() {
        assert_eq!(interface_name("sim1"), "ppp-sim1");
        let long = ["the-modem-in-the-hall-1", "the-modem-in-the-hall-2"].map(interface_name);
        assert!(
            long.iter().all(|name| name.len() == 15) && long[0] != long[1],
            "{long:?}"
        );
    }
}
