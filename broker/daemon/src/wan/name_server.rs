//! The machine's name servers: those of the carrier while the modem is the way, what was there before afterwards.
//!
//! Which of three ways is right is seen from `resolv.conf`: systemd-resolved and resolvconf know of interfaces and are told;
//! a plain file is replaced, and its content kept until it comes back. A file that somebody else wrote meanwhile is left as
//! it is.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The first line of a file that the broker wrote.
const MARK: &str =
    "# The modem is the way to the internet: written by modem-broker, which puts the former content back.";

/// Where the former content is kept, in the state directory.
const SAVED: &str = "resolv.conf.before";

/// Where systemd-resolved writes the servers that it asks itself.
const RESOLVED_UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// Servers that are handed over; a resolver uses no more (`resolv.conf(5)`).
const SERVERS_MAX: usize = 3;

/// Who answers this machine's questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// systemd-resolved.
    Resolved,
    /// resolvconf or openresolv.
    Resolvconf,
    /// The file alone.
    File,
    /// Somebody else's concern.
    Leave,
}

/// The machine's name servers.
#[derive(Clone, Debug)]
pub struct NameServers {
    /// The file.
    pub file: PathBuf,
    /// Where the former content is kept.
    pub state_directory: PathBuf,
    /// Who answers; found out if it is not configured.
    pub configured: Option<Resolver>,
}

impl NameServers {
    fn saved(&self) -> PathBuf {
        self.state_directory.join(SAVED)
    }

    fn resolver(&self) -> Resolver {
        if let Some(configured) = self.configured {
            return configured;
        }
        match fs::read_link(&self.file) {
            Ok(target) if target.to_string_lossy().contains("systemd/resolve") => Resolver::Resolved,
            Ok(target) if target.to_string_lossy().contains("resolvconf") => Resolver::Resolvconf,
            // openresolv writes a file that says so.
            _ if fs::read_to_string(&self.file).is_ok_and(|content| content.contains("resolvconf")) => {
                Resolver::Resolvconf
            }
            _ => Resolver::File,
        }
    }

    /// The name servers of the primary; those of this machine itself tell nothing of it.
    pub fn of_primary(&self) -> Vec<IpAddr> {
        let saved = self.saved();
        let own = |content: &str| content.starts_with(MARK);
        let mut content = fs::read_to_string(&self.file).unwrap_or_default();
        if own(&content) {
            content = fs::read_to_string(saved).unwrap_or_default();
        }
        let found = servers(&content);
        let stub = found.iter().all(IpAddr::is_loopback);
        if stub && self.resolver() == Resolver::Resolved {
            let upstream = fs::read_to_string(RESOLVED_UPSTREAM).unwrap_or_default();
            return servers(&upstream);
        }
        found.into_iter().filter(|server| !server.is_loopback()).collect()
    }

    /// Makes the carrier's name servers the machine's.
    pub fn switch(&self, interface: &str, carrier: &[IpAddr]) -> io::Result<()> {
        let carrier = &carrier[..carrier.len().min(SERVERS_MAX)];
        if carrier.is_empty() {
            return Ok(());
        }
        let words: Vec<String> = carrier.iter().map(ToString::to_string).collect();
        match self.resolver() {
            Resolver::Leave => Ok(()),
            Resolver::Resolved => {
                let servers = words.iter().map(String::as_str);
                command("resolvectl", ["dns", interface].into_iter().chain(servers), "")?;
                // Every name is this link's, whatever the others say.
                command("resolvectl", ["domain", interface, "~."], "")?;
                command("resolvectl", ["default-route", interface, "yes"], "")?;
                command("resolvectl", ["flush-caches"], "")
            }
            Resolver::Resolvconf => {
                let lines: String = words.iter().map(|word| format!("nameserver {word}\n")).collect();
                // openresolv knows of exclusive servers, resolvconf does not.
                command("resolvconf", ["-x", "-a", interface], &lines)
                    .or_else(|_| command("resolvconf", ["-a", interface], &lines))
            }
            Resolver::File => self.replace(&words),
        }
    }

    fn replace(&self, carrier: &[String]) -> io::Result<()> {
        let before = match fs::read_to_string(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            content => content?,
        };
        if !before.starts_with(MARK) {
            // Kept first: what is replaced without that is lost by a power cut.
            write(&self.saved(), &before)?;
        }
        let mut content = format!("{MARK}\n");
        for server in carrier {
            content.push_str(&format!("nameserver {server}\n"));
        }
        content.push_str("options timeout:1 attempts:2\n");
        let kept = before
            .lines()
            .filter(|line| line.starts_with("search") || line.starts_with("domain"));
        kept.for_each(|line| {
            content.push_str(line);
            content.push('\n');
        });
        write(&self.file, &content)
    }

    /// Puts back what was there. Also called at the start, for a broker that was killed.
    pub fn restore(&self, interface: &str) -> io::Result<()> {
        let saved = self.saved();
        if saved.exists() {
            let written = fs::read_to_string(&self.file).unwrap_or_default();
            if written.starts_with(MARK) {
                write(&self.file, &fs::read_to_string(&saved)?)?;
            }
            fs::remove_file(&saved)?;
        }
        match self.resolver() {
            Resolver::Resolved if !interface.is_empty() => {
                command("resolvectl", ["revert", interface], "")?;
                command("resolvectl", ["flush-caches"], "")
            }
            Resolver::Resolvconf if !interface.is_empty() => command("resolvconf", ["-d", interface], ""),
            _ => Ok(()),
        }
    }
}

fn servers(content: &str) -> Vec<IpAddr> {
    let addresses = content
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"));
    addresses
        // A zone such as %eth0 goes with a link-local server, which is asked through its interface anyway.
        .filter_map(|rest| rest.trim().split('%').next()?.parse().ok())
        .take(SERVERS_MAX)
        .collect()
}

/// Replaces a file as a whole; in place where it is a mount of its own or its directory is not writable.
fn write(path: &Path, content: &str) -> io::Result<()> {
    // What a link points to is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut new = path.clone().into_os_string();
    new.push(".modem-broker");
    let replaced = fs::File::create(&new)
        .and_then(|mut file| {
            file.write_all(content.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&new, &path));
    replaced.or_else(|_| {
        let _ = fs::remove_file(&new);
        fs::write(&path, content)
    })
}

fn command<'a>(program: &str, arguments: impl IntoIterator<Item = &'a str>, input: &str) -> io::Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("start {program}: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program}: {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(directory: &Path) -> NameServers {
        NameServers {
            file: directory.join("resolv.conf"),
            state_directory: directory.to_owned(),
            configured: None,
        }
    }

    #[test]
    fn a_plain_file_is_replaced_and_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let servers = plain(directory.path());
        let before = "search lan\nnameserver 192.0.2.1\nnameserver 127.0.0.1\n";
        fs::write(&servers.file, before).unwrap();
        let carrier = ["198.51.100.53".parse().unwrap()];
        for _ in 0..2 {
            // Twice: what the first one wrote is not what was there before.
            servers.switch("wwan0", &carrier).unwrap();
        }
        let during = fs::read_to_string(&servers.file).unwrap();
        assert!(
            during.contains("nameserver 198.51.100.53\n") && during.contains("search lan"),
            "{during}"
        );
        assert!(!during.contains("192.0.2.1"), "{during}");
        let expected: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(servers.of_primary(), [expected], "the primary's are still known");
        servers.restore("wwan0").unwrap();
        assert_eq!(fs::read_to_string(&servers.file).unwrap(), before);
        servers.restore("wwan0").unwrap();
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "nothing is left behind"
        );
    }

    #[test]
    fn what_somebody_else_wrote_meanwhile_stays() {
        let directory = tempfile::tempdir().unwrap();
        let servers = plain(directory.path());
        fs::write(&servers.file, "nameserver 192.0.2.1\n").unwrap();
        servers.switch("wwan0", &["198.51.100.53".parse().unwrap()]).unwrap();
        fs::write(&servers.file, "nameserver 192.0.2.7\n").unwrap();
        servers.restore("wwan0").unwrap();
        assert_eq!(fs::read_to_string(&servers.file).unwrap(), "nameserver 192.0.2.7\n");
    }

    #[test]
    fn the_resolver_is_seen_from_the_file() {
        for (content, link, expected) in [
            ("nameserver 192.0.2.1\n", None, Resolver::File),
            ("# Generated by resolvconf\n", None, Resolver::Resolvconf),
            ("", Some("../run/systemd/resolve/stub-resolv.conf"), Resolver::Resolved),
            ("", Some("/run/resolvconf/resolv.conf"), Resolver::Resolvconf),
            ("", Some("/run/NetworkManager/resolv.conf"), Resolver::File),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let servers = plain(directory.path());
            match link {
                Some(target) => std::os::unix::fs::symlink(target, &servers.file).unwrap(),
                None => fs::write(&servers.file, content).unwrap(),
            }
            assert_eq!(servers.resolver(), expected, "{content:?} {link:?}");
        }
    }
}
