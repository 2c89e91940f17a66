//! A machine with two ways to the internet, in network namespaces of its own: `wlan0`, one end of a veth pair whose other end
//! is in the namespace of a router, and `wwan0`, the virtual modem's interface. Needs root and `/dev/net/tun`.
//!
//! Behind the router three name servers answer from a task, so that it can lose and refuse what it is told to; pings are
//! answered by the router's kernel. Behind the modem every address answers a ping.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, oneshot};

use crate::{Rig, Setup};

/// The primary.
pub const PRIMARY: &str = "wlan0";
/// The modem's interface.
pub const BACKUP: &str = "wwan0";

/// What is probed: they answer DNS and pings.
pub const TARGETS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2)),
];
/// The same for IPv6.
pub const TARGETS_V6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 2)),
];
/// The primary's name server.
pub const NAME_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 53));

/// Where the first target takes connections.
pub const TCP_PORT: u16 = 80;

/// The machine's own address, and the router's beside it.
const HOST: &str = "192.168.77.2";
const ROUTER: &str = "192.168.77.1";
const HOST_V6: &str = "2001:db8:77::2";
const ROUTER_V6: &str = "2001:db8:77::1";

/// What the internet behind the router does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Nothing answers, and nothing says so.
    pub silent: bool,
    /// The name server does not answer; everything else does.
    pub nameless: bool,
    /// Of every hundred queries so many are lost.
    pub loss_percent: u8,
    /// Who asks for a page is sent to another one.
    pub portal: bool,
}

enum Order {
    /// The other end of the cable has come.
    Configure,
    Weather(Weather),
    /// The router's end goes down or up.
    Link(bool),
}

/// The lab.
pub struct Lab {
    orders: mpsc::Sender<(Order, oneshot::Sender<anyhow::Result<()>>)>,
    directory: tempfile::TempDir,
}

/// Runs `ip`, in the namespace of the calling thread.
fn ip(arguments: &str) -> anyhow::Result<()> {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .context("ip is needed (iproute2)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "ip {arguments}: {said}");
    Ok(())
}

fn set(name: &str, value: &str) -> anyhow::Result<()> {
    std::fs::write(format!("/proc/sys/net/{name}"), value).with_context(|| name.to_owned())
}

/// Runs something in a network namespace of its own: a thread enters it, and all that it starts are in it.
pub fn inside<F: Future<Output = anyhow::Result<()>>>(work: impl FnOnce() -> F) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work())
}

impl Lab {
    /// Builds it in the namespace of the calling thread, with the primary up.
    pub async fn build() -> anyhow::Result<Lab> {
        let (orders, received) = mpsc::channel(4);
        let (thread, named) = oneshot::channel();
        std::thread::Builder::new().name("router".to_owned()).spawn(move || {
            // The thread ends with the lab, and with it the namespace.
            if let Err(error) = router(received, thread) {
                tracing::error!(%error, "the router ended");
            }
        })?;
        let thread = named.await.context("the router did not start")?;
        ip("link set lo up")?;
        ip("link add wlan0 type veth peer name peer0")?;
        ip(&format!("link set peer0 netns {thread}"))?;
        ip(&format!("addr add {HOST}/24 dev wlan0"))?;
        ip(&format!("addr add {HOST_V6}/64 dev wlan0 nodad"))?;
        ip("link set wlan0 up")?;
        let lab = Lab {
            orders,
            directory: tempfile::Builder::new().prefix("lab-").tempdir()?,
        };
        lab.order(Order::Configure).await?;
        lab.add_route()?;
        ip(&format!("route add default via {ROUTER_V6} dev wlan0 metric 600"))?;
        // What is not a namespace's own default on every kernel.
        set("ipv4/ping_group_range", "0 2147483647")?;
        std::fs::write(lab.resolv_conf(), format!("nameserver {NAME_SERVER}\n"))?;
        Ok(lab)
    }

    async fn order(&self, order: Order) -> anyhow::Result<()> {
        let (done, answer) = oneshot::channel();
        self.orders
            .send((order, done))
            .await
            .ok()
            .context("the router is gone")?;
        answer.await.context("the router is gone")?
    }

    /// Sets what the internet behind the router does.
    pub async fn weather(&self, weather: Weather) -> anyhow::Result<()> {
        self.order(Order::Weather(weather)).await
    }

    /// Takes the carrier away, or gives it back.
    pub async fn carrier(&self, up: bool) -> anyhow::Result<()> {
        self.order(Order::Link(up)).await
    }

    /// Gives the primary its IPv4 default route again.
    pub fn add_route(&self) -> anyhow::Result<()> {
        ip(&format!("route replace default via {ROUTER} dev wlan0 metric 600"))
    }

    /// Takes the addresses of a family away, and with them its routes.
    pub fn without(&self, version: u8) -> anyhow::Result<()> {
        ip(&format!("-{version} addr flush dev wlan0 scope global"))?;
        // The kernel may keep routes of IPv6 for which there is no address any more.
        let _ = ip(&format!("-{version} route del default dev wlan0"));
        Ok(())
    }

    /// Lets the kernel drop what comes in by another way than it would go out (`rp_filter`, RFC 3704).
    pub fn filter_strictly(&self) -> anyhow::Result<()> {
        set("ipv4/conf/all/rp_filter", "1")?;
        set("ipv4/conf/wlan0/rp_filter", "1")
    }

    /// The machine's list of name servers.
    pub fn resolv_conf(&self) -> PathBuf {
        self.directory.path().join("resolv.conf")
    }

    /// What the hook was told, line by line.
    pub fn hook_log(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.directory.path().join("hook.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// The setup of a rig whose broker chooses between both ways. `wan` and `modem` are further keys of their sections.
    pub fn setup(&self, wan: &str, modem: &str) -> Setup {
        let targets: Vec<String> = TARGETS
            .iter()
            .chain(&TARGETS_V6)
            .map(|target| format!("\"dns:{target}\""))
            .collect();
        let log = self.directory.path().join("hook.log");
        let hook = format!(
            "echo \\\"$MODEM_BROKER_WAN_BEFORE $MODEM_BROKER_WAN\\\" >> {}",
            log.display()
        );
        Setup {
            tun: Some(BACKUP.to_owned()),
            modem: modem.to_owned(),
            sections: format!(
                "[wan]\nresolv_conf = \"{}\"\ntargets = [{}]\nhook = [\"/bin/sh\", \"-c\", \"{hook}\"]\n{wan}\n",
                self.resolv_conf().display(),
                targets.join(", ")
            ),
            ..Setup::default()
        }
    }

    /// A modem and a broker in the lab.
    pub async fn rig(&self, wan: &str, modem: &str) -> anyhow::Result<Rig> {
        Rig::with(self.setup(wan, modem)).await
    }
}

/// Through which interface a packet to an address would go now, as the kernel answers (`ip route get`).
pub fn way_to(address: IpAddr) -> anyhow::Result<Option<String>> {
    let output = Command::new("ip")
        .args(["route", "get", &address.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = said.split_whitespace();
    let found = words.find(|word| *word == "dev").and_then(|_| words.next());
    Ok(found.filter(|_| output.status.success()).map(str::to_owned))
}

/// The broker's routes, by their protocol number, and its rules, by their preference: not every `ip` shows who made a rule.
pub fn of_the_broker() -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let lines = |arguments: &[&str]| -> anyhow::Result<Vec<String>> {
        let output = Command::new("ip").args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(said.lines().map(|line| line.trim().to_owned()).collect())
    };
    for version in ["-4", "-6"] {
        found.extend(lines(&[version, "route", "show", "table", "all", "proto", "109"])?);
        let rules = lines(&[version, "rule", "show"])?;
        found.extend(rules.into_iter().filter(|rule| rule.starts_with("1090")));
    }
    Ok(found)
}

fn router(
    mut orders: mpsc::Receiver<(Order, oneshot::Sender<anyhow::Result<()>>)>,
    thread: oneshot::Sender<i32>,
) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _ = thread.send(gettid().as_raw());
    runtime.block_on(async {
        let (weather, current) = tokio::sync::watch::channel(Weather::default());
        let mut servers = Vec::new();
        while let Some((order, done)) = orders.recv().await {
            let outcome = match order {
                Order::Configure => configure(&current, &mut servers).await,
                Order::Weather(now) => {
                    weather.send_replace(now);
                    let ignored = if now.silent { "1" } else { "0" };
                    set("ipv4/icmp_echo_ignore_all", ignored).and_then(|()| set("ipv6/icmp/echo_ignore_all", ignored))
                }
                Order::Link(true) => ip("link set peer0 up"),
                Order::Link(false) => ip("link set peer0 down"),
            };
            let _ = done.send(outcome);
        }
        Ok(())
    })
}

async fn configure(
    weather: &tokio::sync::watch::Receiver<Weather>,
    servers: &mut Vec<tokio::task::JoinHandle<()>>,
) -> anyhow::Result<()> {
    ip("link set lo up")?;
    ip(&format!("addr add {ROUTER}/24 dev peer0"))?;
    ip(&format!("addr add {ROUTER_V6}/64 dev peer0 nodad"))?;
    ip("link set peer0 up")?;
    let targets = TARGETS.iter().chain(&TARGETS_V6);
    for (address, is_name_server) in targets.map(|target| (*target, false)).chain([(NAME_SERVER, true)]) {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let nodad = if address.is_ipv4() { "" } else { " nodad" };
        ip(&format!("addr add {address}/{bits} dev lo{nodad}"))?;
        let socket = UdpSocket::bind(SocketAddr::new(address, 53)).await?;
        servers.push(crate::spawn(answer(socket, is_name_server, weather.clone())));
    }
    let listener = TcpListener::bind(SocketAddr::new(TARGETS[0], TCP_PORT)).await?;
    servers.push(crate::spawn(serve_pages(listener, weather.clone())));
    Ok(())
}

/// Takes connections and answers who asks for a page: it is empty, or elsewhere; as the weather is.
async fn serve_pages(listener: TcpListener, weather: tokio::sync::watch::Receiver<Weather>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let weather = weather.clone();
        crate::spawn(async move {
            let mut request = [0; 1024];
            while let Ok(1..) = stream.read(&mut request).await {
                let now = *weather.borrow();
                let answer: &[u8] = match now {
                    Weather { silent: true, .. } => continue,
                    Weather { portal: true, .. } => {
                        b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nConnection: close\r\n\r\n"
                    }
                    _ => b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
                };
                let _ = stream.write_all(answer).await;
                break;
            }
        });
    }
}

/// Answers every query with "no such name", which is an answer; as the weather is.
async fn answer(socket: UdpSocket, is_name_server: bool, weather: tokio::sync::watch::Receiver<Weather>) {
    let mut query = [0; 512];
    while let Ok((count, from)) = socket.recv_from(&mut query).await {
        let now = *weather.borrow();
        let lost = fastrand::u8(0..100) < now.loss_percent;
        if now.silent || lost || (is_name_server && now.nameless) || count < 12 {
            continue;
        }
        query[2] |= 0x80;
        query[3] = 3;
        let _ = socket.send_to(&query[..count], from).await;
    }
}

/// How long something takes that is looked at every two milliseconds; an error after the limit.
pub async fn time_until(
    what: &str,
    limit: Duration,
    mut fits: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Duration> {
    let begin = std::time::Instant::now();
    while !fits()? {
        anyhow::ensure!(begin.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(begin.elapsed())
}

/// Whether the default route with the broker's metric leads through the modem, as the kernel's table has it.
pub fn led_through_modem() -> anyhow::Result<bool> {
    let v4 = std::fs::read_to_string("/proc/thread-self/net/route")?;
    let is_ours = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words.as_slice(), [BACKUP, "00000000", _, _, _, _, "50", ..])
    };
    if v4.lines().any(is_ours) {
        return Ok(true);
    }
    let v6 = std::fs::read_to_string("/proc/thread-self/net/ipv6_route")?;
    let zeros = "00000000000000000000000000000000 00 ";
    Ok(v6.lines().any(|line| {
        line.starts_with(zeros) && line.ends_with(BACKUP) && line.split_whitespace().nth(5) == Some("00000032")
    }))
}
