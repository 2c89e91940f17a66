//! The network interface that belongs to a QMI or MBIM port, or to a session by PPP, and whether this process may use it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::address::{Layout, Link};
use super::advertisement;
use super::pppd;
use crate::supervisor::Hung;

/// `CAP_NET_ADMIN`, by its number in `capability(7)`.
const CAP_NET_ADMIN: u32 = 12;

/// A driver that gives a control channel its port and its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// `qmi_wwan`: the port speaks QMI.
    Qmi,
    /// `cdc_mbim`: the port speaks MBIM.
    Mbim,
    /// The kernel's PPP: the port is an AT port, and the interface comes and goes with a session.
    Ppp,
}

impl Driver {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qmi => "qmi_wwan",
            Self::Mbim => "cdc_mbim",
            Self::Ppp => "ppp_async",
        }
    }

    /// The protocol that it leaves to us.
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Qmi => "QMI",
            Self::Mbim => "MBIM",
            Self::Ppp => "PPP",
        }
    }
}

/// A network interface of a modem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The driver.
    pub driver: Driver,
    /// Says whether `qmi_wwan` leaves the packets as they are. It can be written only while the link is down. `cdc_mbim` has
    /// no such attribute: MBIM carries raw IP in any case.
    raw_ip: PathBuf,
}

/// Why a bearer cannot be connected on this machine. The messages say what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is described by its message")]
pub enum NotReady {
    #[error(
        "the {protocol} port {node} belongs to the driver {driver} instead of {wanted}; load {wanted} (modprobe {wanted}) \
         and take the interface from {driver}",
        protocol = wanted.protocol(), wanted = wanted.name()
    )]
    Driver {
        node: String,
        driver: String,
        wanted: Driver,
    },
    #[error(
        "no network interface belongs to the {protocol} port {node}; is the driver {driver} loaded (modprobe {driver})?",
        protocol = driver.protocol(), driver = driver.name()
    )]
    NoInterface { node: String, driver: Driver },
    #[error(
        "the broker may not configure network interfaces; give it CAP_NET_ADMIN (AmbientCapabilities=CAP_NET_ADMIN in its \
         systemd unit) or run it as root"
    )]
    Capability,
    #[error("there is no pppd, which PPP needs; install it: apt install ppp")]
    NoPppd,
    #[error("this kernel has no PPP (there is no /dev/ppp); try: modprobe ppp_async, and use a kernel that has it")]
    NoKernelPpp,
    #[error(
        "pppd runs as root only, and it is the broker that starts it: deploy/install --with ppp lets the service do so; \
         otherwise run the broker as root"
    )]
    NotRoot,
    #[error(
        "{path} says {found:?} and cannot be set to Y: {source}; let a udev rule set ATTR{{qmi/raw_ip}}=\"Y\", or run the broker as root"
    )]
    RawIp {
        path: String,
        found: String,
        source: io::Error,
    },
    #[error("the network interface {name} cannot be configured: {source}")]
    Link { name: String, source: io::Error },
    #[error("the network interface cannot be configured: {0}")]
    Hung(#[from] Hung),
}

impl Interface {
    /// The interface beside a node such as `/dev/cdc-wdm0`, which either driver may have; `wanted` is the one that the
    /// composition of the modem calls for.
    pub fn beside(sysfs: &Path, node: &Path, wanted: Driver) -> Result<Self, NotReady> {
        let shown = node.display().to_string();
        let name = node.file_name().unwrap_or_default();
        let device = sysfs.join("class/usbmisc").join(name).join("device");
        let known = |name: &str| {
            [Driver::Qmi, Driver::Mbim]
                .into_iter()
                .find(|driver| driver.name() == name)
        };
        let driver = match driver_of(sysfs, &device, node) {
            None => wanted,
            Some(found) => known(&found).ok_or_else(|| NotReady::Driver {
                node: shown.clone(),
                driver: found,
                wanted,
            })?,
        };
        let interfaces = fs::read_dir(device.join("net")).into_iter().flatten().flatten();
        let mut names: Vec<String> = interfaces
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let Some(name) = names.into_iter().next() else {
            return Err(NotReady::NoInterface { node: shown, driver });
        };
        let raw_ip = sysfs.join("class/net").join(&name).join("qmi/raw_ip");
        Ok(Self { name, driver, raw_ip })
    }

    /// The interface that sessions of a modem by PPP have.
    pub fn by_ppp(modem: &str) -> Self {
        Self {
            name: pppd::interface_name(modem),
            driver: Driver::Ppp,
            raw_ip: PathBuf::new(),
        }
    }

    /// Whether everything is there that connecting needs, without changing anything.
    pub fn check(&self) -> Result<(), NotReady> {
        if !has_capability(CAP_NET_ADMIN) {
            return Err(NotReady::Capability);
        }
        if self.driver == Driver::Ppp {
            return pppd::check();
        }
        let found = self.read_raw_ip();
        if self.driver == Driver::Mbim || found == "Y" {
            return Ok(());
        }
        nix::unistd::access(&self.raw_ip, nix::unistd::AccessFlags::W_OK)
            .map_err(|errno| self.raw_ip_failed(found, errno.into()))
    }

    /// Makes the driver leave packets as they are: what the modem speaks in composition 9001. With an Ethernet header before
    /// them, as the driver's default has it, every packet is lost.
    pub fn set_raw_ip(&self) -> Result<(), NotReady> {
        if self.driver != Driver::Qmi || self.read_raw_ip() == "Y" {
            return Ok(());
        }
        self.link()?.set_up(false).map_err(|source| self.link_failed(source))?;
        let written = fs::write(&self.raw_ip, "Y");
        let found = self.read_raw_ip();
        match written {
            _ if found == "Y" => Ok(()),
            Err(source) => Err(self.raw_ip_failed(found, source)),
            Ok(()) => Err(self.raw_ip_failed(found, io::Error::other("the driver did not take it"))),
        }
    }

    /// Gives the interface its addresses and routes.
    pub fn configure(&self, layout: &Layout) -> Result<(), NotReady> {
        if !layout.is_advertised
            && let Err(error) = advertisement::ignore(&self.name)
            // No router answers in a session without IPv6.
            && layout.addresses.iter().any(|(address, _)| address.is_ipv6())
        {
            tracing::warn!(
                interface = self.name,
                %error,
                "the kernel may take an address and a default route from router advertisements \
                 (net.ipv6.conf.{}.accept_ra cannot be set to 0)",
                self.name
            );
        }
        let configured = self.link()?.configure(layout);
        configured.map_err(|source| self.link_failed(source))
    }

    /// Takes addresses and routes away and the link down.
    pub fn clear(&self) -> Result<(), NotReady> {
        let mut link = match self.link() {
            // It went with its session, and its addresses and routes with it.
            Err(NotReady::Link { source, .. }) if self.driver == Driver::Ppp && is_gone(&source) => return Ok(()),
            link => link?,
        };
        let cleared = link.clear().and_then(|()| link.set_up(false));
        cleared.map_err(|source| self.link_failed(source))
    }

    /// Takes away what a broker that was killed has left behind. Returns whether there was something.
    pub fn clear_stale(&self) -> Result<bool, NotReady> {
        let mut link = self.link()?;
        let routes = link.clear_if_ours().map_err(|source| self.link_failed(source))?;
        Ok(routes > 0)
    }

    fn link(&self) -> Result<Link, NotReady> {
        Link::find(&self.name).map_err(|source| self.link_failed(source))
    }

    fn link_failed(&self, source: io::Error) -> NotReady {
        match source.kind() {
            io::ErrorKind::PermissionDenied => NotReady::Capability,
            _ => NotReady::Link {
                name: self.name.clone(),
                source,
            },
        }
    }

    fn read_raw_ip(&self) -> String {
        fs::read_to_string(&self.raw_ip).unwrap_or_default().trim().to_owned()
    }

    fn raw_ip_failed(&self, found: String, source: io::Error) -> NotReady {
        NotReady::RawIp {
            path: self.raw_ip.display().to_string(),
            found,
            source,
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::errno::Errno::ENODEV as i32)
}

/// The driver of a port; `None` where sysfs knows nothing of it. A node of a serial driver is not in the class of QMI ports.
fn driver_of(sysfs: &Path, device: &Path, node: &Path) -> Option<String> {
    let driver = |directory: &Path| {
        let uevent = fs::read_to_string(directory.join("uevent")).ok()?;
        let line = uevent.lines().find_map(|line| line.strip_prefix("DRIVER="))?;
        Some(line.to_owned())
    };
    driver(device).or_else(|| {
        let tty = sysfs.join("class/tty").join(node.file_name()?).join("device");
        driver(&tty).or_else(|| tty.exists().then(|| "a serial driver".to_owned()))
    })
}

fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    grants(&status, number)
}

/// Whether a status of `proc(5)` has a capability among the effective ones.
fn grants(status: &str, number: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .is_some_and(|bits| bits >> number & 1 == 1)
}

#[cfg(test)]
mod tests;
