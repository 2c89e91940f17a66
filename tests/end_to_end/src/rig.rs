//! Virtual modems and a broker in one directory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use api::v1::{ListModemsRequest, Modem, ModemStage};
use broker::config::Config;
use client::{Broker, Settings};
use simulator::{Control, Options, Place, Running, Timing};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::bridge::Bridge;
use crate::{Journal, LIMIT, spawn, until};

/// A broker that is told to stop has to be gone after this.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Numbers of ttys that the virtual kernel sets aside for each modem.
const TTYS: usize = 8;

/// How the broker finds the ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// In `sys` and `dev`, the virtual modem's own or those that several share; then each is known by its IMEI.
    #[default]
    Discovered,
    /// By path in the configuration.
    Path,
    /// As `tcp:HOST:PORT`, by way of a bridge.
    Tcp,
}

/// What a rig is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What each virtual modem is like. The first is called `sim1` in the configuration, the next `sim2`.
    pub modems: Vec<simulator::Config>,
    /// How the broker finds the ports.
    pub naming: Naming,
    /// How long things take in the virtual modems.
    pub timing: Timing,
    /// The virtual modems begin with the cable out.
    pub unplugged: bool,
    /// The first modem's network interface is a TUN device of this name, such as `wwan0`; those of further modems count on.
    /// Needs `CAP_NET_ADMIN`.
    pub tun: Option<String>,
    /// Raw AT commands and QMI requests are allowed.
    pub raw_at: bool,
    /// Further keys of `[voice]`.
    pub voice: String,
    /// Further keys of each `[[modem]]`.
    pub modem: String,
    /// The USB ports can be switched off.
    pub hub_power: bool,
    /// Further sections.
    pub sections: String,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            modems: vec![simulator::Config {
                epoch: jiff::Timestamp::now(),
                ..simulator::Config::default()
            }],
            naming: Naming::Discovered,
            timing: Timing::Instant,
            unplugged: false,
            tun: None,
            raw_at: true,
            voice: String::new(),
            modem: String::new(),
            hub_power: false,
            sections: String::new(),
        }
    }
}

/// Virtual modems and a broker in one directory, which goes away with it.
pub struct Rig {
    simulators: Vec<Running>,
    bridges: Vec<Bridge>,
    configuration: String,
    serving: Option<Serving>,
    directory: tempfile::TempDir,
}

struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), broker::RunError>>,
    client: Broker,
}

impl Rig {
    /// One virtual modem and a broker; returns when the modem is ready.
    pub async fn start() -> anyhow::Result<Rig> {
        Rig::with(Setup::default()).await
    }

    /// The same with a setup; waits for every modem that is plugged in.
    pub async fn with(setup: Setup) -> anyhow::Result<Rig> {
        let wait = !setup.unplugged;
        let mut rig = Rig::prepare(setup).await?;
        rig.start_broker().await?;
        if wait {
            for index in 0..rig.simulators.len() {
                rig.ready(&modem_name(index)).await?;
            }
        }
        Ok(rig)
    }

    /// Virtual modems and a configuration, without a broker.
    pub async fn prepare(setup: Setup) -> anyhow::Result<Rig> {
        let directory = tempfile::Builder::new().prefix("modem-broker-").tempdir()?;
        let mut rig = Rig {
            simulators: Vec::new(),
            bridges: Vec::new(),
            configuration: String::new(),
            serving: None,
            directory,
        };
        for (index, modem) in setup.modems.iter().enumerate() {
            let options = Options {
                directory: rig.directory.path().join(modem_name(index)),
                timing: setup.timing,
                modem: modem.clone(),
                unplugged: setup.unplugged,
                tun: setup.tun.as_deref().map(|first| counted_on(first, index)),
                place: Place {
                    tree: (setup.modems.len() > 1).then(|| rig.directory.path().join("bus")),
                    position: u8::try_from(index + 1)?,
                    hub_power: setup.hub_power,
                },
            };
            rig.simulators.push(simulator::start(options).await?);
        }
        rig.configuration = rig.configure(&setup).await?;
        Ok(rig)
    }

    async fn configure(&mut self, setup: &Setup) -> anyhow::Result<String> {
        let root = self.directory.path().to_owned();
        let tree = if setup.modems.len() > 1 {
            root.join("bus")
        } else {
            self.simulators[0].directory().to_owned()
        };
        let (root, first) = (root.display(), tree.display().to_string());
        let mut text = format!(
            "[broker]\nlisten = [\"unix:{root}/broker.sock\"]\nstate_directory = \"{root}/state\"\n\
             lock_directory = \"{root}/lock\"\n\n[diagnostics]\nraw_at = {}\nraw_qmi = {}\n\n[discovery]\nsysfs = \"{first}/sys\"\n\
             dev = \"{first}/dev\"\n\n[voice]\n{}\n",
            setup.raw_at, setup.raw_at, setup.voice
        );
        writeln!(text, "{}", setup.sections)?;
        for index in 0..setup.modems.len() {
            write!(text, "\n[[modem]]\nname = \"{}\"\n", modem_name(index))?;
            if setup.naming == Naming::Discovered && setup.modems.len() > 1 {
                writeln!(text, "imei = \"{}\"", setup.modems[index].imei)?;
            }
            writeln!(text, "{}", setup.modem)?;
            if setup.naming == Naming::Discovered {
                continue;
            }
            text.push_str("\n[modem.ports]\n");
            for (role, number) in [("at", 2), ("at_calls", 3), ("audio", 4)] {
                let path = tree.join("dev").join(format!("ttyUSB{}", index * TTYS + number));
                let address = match setup.naming {
                    Naming::Tcp => self.bridge(path).await?,
                    Naming::Path | Naming::Discovered => path.display().to_string(),
                };
                writeln!(text, "{role} = \"{address}\"")?;
            }
        }
        Ok(text)
    }

    async fn bridge(&mut self, path: PathBuf) -> anyhow::Result<String> {
        let bridge = Bridge::start(path).await?;
        let address = format!("tcp:{}", bridge.address());
        self.bridges.push(bridge);
        Ok(address)
    }

    /// Where everything is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The broker's configuration.
    pub fn configuration(&self) -> &str {
        &self.configuration
    }

    /// Another configuration for the next start of the broker.
    pub fn set_configuration(&mut self, configuration: String) {
        self.configuration = configuration;
    }

    /// The only or first virtual modem.
    pub fn sim(&self) -> Control {
        self.simulators[0].control()
    }

    /// A virtual modem by its position.
    pub fn sim_at(&self, index: usize) -> Control {
        self.simulators[index].control()
    }

    /// The broker, connected.
    pub fn broker(&self) -> Broker {
        self.serving.as_ref().expect("the broker was started").client.clone()
    }

    /// Where the broker listens.
    pub fn endpoint(&self) -> String {
        format!("unix:{}/broker.sock", self.directory.path().display())
    }

    /// Starts the broker and waits until it serves.
    pub async fn start_broker(&mut self) -> anyhow::Result<()> {
        let config = Config::parse(&self.configuration, "rig.toml")?;
        let (stop, stopped) = oneshot::channel();
        let task = spawn(broker::run(config, async {
            // A dropped rig ends the broker as well.
            let _ = stopped.await;
        }));
        let client = connect(&self.endpoint()).await?;
        self.serving = Some(Serving { stop, task, client });
        Ok(())
    }

    /// Stops the broker the clean way.
    pub async fn stop_broker(&mut self) -> anyhow::Result<()> {
        let Some(Serving { stop, task, client }) = self.serving.take() else {
            return Ok(());
        };
        drop(client);
        let _ = stop.send(());
        tokio::time::timeout(STOP_LIMIT, task)
            .await
            .context("the broker did not stop in time")???;
        Ok(())
    }

    /// Waits until a modem is ready, and returns it.
    pub async fn ready(&self, name: &str) -> anyhow::Result<Modem> {
        ready(&self.broker(), name).await
    }

    /// Follows the broker's events from the oldest one.
    pub async fn journal(&self) -> anyhow::Result<Journal> {
        Journal::beginning(&self.broker()).await
    }

    /// Follows the broker's events from now on.
    pub async fn news(&self) -> anyhow::Result<Journal> {
        Journal::now(&self.broker()).await
    }

    /// Stops everything the clean way.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop_broker().await?;
        for simulator in self.simulators.drain(..) {
            simulator.stop().await;
        }
        Ok(())
    }
}

/// The name so many places after the first, which ends with a number.
fn counted_on(first: &str, places: usize) -> String {
    let word = first.trim_end_matches(|end: char| end.is_ascii_digit());
    let number: usize = first[word.len()..].parse().unwrap_or(0);
    format!("{word}{}", number + places)
}

/// What the configuration calls the modem at a position.
fn modem_name(index: usize) -> String {
    format!("sim{}", index + 1)
}

/// Connects to a broker that is starting.
pub(crate) async fn connect(endpoint: &str) -> anyhow::Result<Broker> {
    let settings = Settings::for_endpoint(endpoint);
    until("the broker serves", LIMIT, async || {
        Ok(Broker::connect(&settings).await.ok())
    })
    .await
}

/// Waits until a modem is ready.
pub(crate) async fn ready(broker: &Broker, name: &str) -> anyhow::Result<Modem> {
    let listed = broker.modems().list_modems(ListModemsRequest {}).await?.into_inner();
    let is_ready = |modem: &Modem| modem.name == name && modem.stage() == ModemStage::Ready;
    if let Some(modem) = listed.modems.into_iter().find(is_ready) {
        return Ok(modem);
    }
    Journal::after(broker, listed.cursor)
        .await?
        .modem("the modem is ready", is_ready)
        .await
}
