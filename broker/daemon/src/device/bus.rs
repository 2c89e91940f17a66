//! One watcher for all modems of the host, and the table that says which modem uses which device.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::bell::Bell;
use super::scan::{Device, scan};

/// How often the bus is looked at although nothing was heard.
const SLOW_LOOK: Duration = Duration::from_secs(10);

/// The same where nothing can be heard: the socket was refused, or the directory is not there yet.
const FAST_LOOK: Duration = Duration::from_millis(500);

/// A plug-in makes many events; they are looked into together.
const BURST: Duration = Duration::from_millis(10);

/// A driver may bind a moment after its event.
const SECOND_LOOK: Duration = Duration::from_millis(300);

/// A device that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The device.
    pub device: Device,
    /// Since when this enumeration of it is there.
    pub since: Instant,
    /// Which modem uses it.
    pub claimed_by: Option<Arc<str>>,
    /// Its IMEI, once a modem has read it.
    pub imei: Option<Arc<str>>,
}

struct Shared {
    sysfs: PathBuf,
    dev: PathBuf,
    seen: watch::Sender<Vec<Sighting>>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Modem by USB path.
    claims: BTreeMap<String, Arc<str>>,
    /// IMEI by USB path and the kernel's number: another enumeration may be another module.
    imeis: BTreeMap<(String, u32), Arc<str>>,
}

/// What is on the bus. Cheap to clone.
#[derive(Clone)]
pub struct Bus(Arc<Shared>);

/// A device that one modem uses and no other may. Dropping it gives the device back.
pub struct Claim {
    bus: Bus,
    usb_path: String,
}

/// Keeps a [`Bus`] up to date.
pub struct Watcher(Bus);

impl Bus {
    /// Looks for the first time; the watcher goes on.
    pub fn open(sysfs: &Path, dev: &Path) -> (Bus, Watcher) {
        let bus = Bus(Arc::new(Shared {
            sysfs: sysfs.to_owned(),
            dev: dev.to_owned(),
            seen: watch::Sender::new(Vec::new()),
            table: Mutex::default(),
        }));
        bus.look();
        (bus.clone(), Watcher(bus))
    }

    /// What is there, and its changes.
    pub fn subscribe(&self) -> watch::Receiver<Vec<Sighting>> {
        self.0.seen.subscribe()
    }

    /// The device that has one of these nodes.
    pub fn device_with(&self, nodes: &[&Path]) -> Option<Device> {
        let has = |device: &Device| device.nodes.values().any(|node| nodes.contains(&node.as_path()));
        let seen = self.0.seen.borrow();
        seen.iter()
            .map(|sighting| &sighting.device)
            .find(|device| has(device))
            .cloned()
    }

    /// Takes a device for a modem; `None` if another one has it.
    pub fn claim(&self, usb_path: &str, modem: &str) -> Option<Claim> {
        let mut table = self.table();
        if table.claims.contains_key(usb_path) {
            return None;
        }
        table.claims.insert(usb_path.to_owned(), modem.into());
        drop(table);
        self.publish();
        Some(Claim {
            bus: self.clone(),
            usb_path: usb_path.to_owned(),
        })
    }

    /// Remembers whose device it is for as long as it stays plugged in, so that nobody opens it in vain.
    pub fn identify(&self, device: &Device, imei: &str) {
        let key = (device.usb_path.clone(), device.number);
        self.table().imeis.insert(key, imei.into());
        self.publish();
    }

    /// Looks at the bus now.
    pub fn look(&self) {
        let devices = scan(&self.0.sysfs, &self.0.dev);
        let now = Instant::now();
        {
            let mut table = self.table();
            table.imeis.retain(|(usb_path, number), _| {
                devices
                    .iter()
                    .any(|device| device.usb_path == *usb_path && device.number == *number)
            });
        }
        self.update(|seen| {
            let known = std::mem::take(seen);
            *seen = devices
                .into_iter()
                .map(|device| {
                    let before = known.iter().find(|known| known.device.is_same_enumeration(&device));
                    Sighting {
                        since: before.map_or(now, |known| known.since),
                        device,
                        claimed_by: None,
                        imei: None,
                    }
                })
                .collect();
        });
    }

    fn publish(&self) {
        self.update(|_| {});
    }

    /// Changes the sightings and brings claims and identities in them up to date; whoever waits is told of a difference.
    fn update(&self, change: impl FnOnce(&mut Vec<Sighting>)) {
        self.0.seen.send_if_modified(|seen| {
            let before = seen.clone();
            change(seen);
            let table = self.table();
            for sighting in seen.iter_mut() {
                let device = &sighting.device;
                sighting.claimed_by = table.claims.get(&device.usb_path).cloned();
                sighting.imei = table.imeis.get(&(device.usb_path.clone(), device.number)).cloned();
            }
            before != *seen
        });
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.bus.table().claims.remove(&self.usb_path);
        self.bus.publish();
    }
}

impl Watcher {
    /// Looks when something was heard, and now and then although nothing was; never ends.
    pub async fn run(self) {
        let Watcher(bus) = self;
        let mut bell = None;
        let mut second_look = false;
        loop {
            if bell.is_none() {
                bell = Bell::open(&bus.0.sysfs)
                    .inspect_err(|error| tracing::debug!(%error, "plug events cannot be heard, looking often instead"))
                    .ok();
            }
            let wait = match (&bell, second_look) {
                (None, _) => FAST_LOOK,
                (Some(_), true) => SECOND_LOOK,
                (Some(_), false) => SLOW_LOOK,
            };
            let rung = tokio::select! {
                rung = ring(bell.as_ref()) => Some(rung),
                () = tokio::time::sleep(wait) => None,
            };
            second_look = rung.is_some();
            if let Some(outcome) = rung {
                tokio::time::sleep(BURST).await;
                let drained = bell.as_ref().map_or(Ok(false), Bell::drain);
                if let Err(error) = outcome.and(drained) {
                    tracing::warn!(%error, "lost the news of plugged devices; a modem that is plugged in now is not noticed until the broker restarts");
                    bell = None;
                }
            }
            bus.look();
        }
    }
}

async fn ring(bell: Option<&Bell>) -> std::io::Result<()> {
    match bell {
        Some(bell) => bell.rung().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plug(root: &Path, usb_path: &str, number: u32) {
        let device = root.join("bus/usb/devices").join(usb_path);
        std::fs::create_dir_all(&device).unwrap();
        for (name, value) in [
            ("idProduct", "9001".to_owned()),
            ("devnum", number.to_string()),
            ("idVendor", "1e0e".to_owned()),
        ] {
            std::fs::write(device.join(name), value).unwrap();
        }
    }

    #[test]
    fn a_device_has_one_user_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        plug(root.path(), "1-1", 3);
        let (bus, _watcher) = Bus::open(root.path(), Path::new("/dev"));
        let claim = bus.claim("1-1", "one").expect("it is free");
        assert!(bus.claim("1-1", "two").is_none());
        assert_eq!(bus.subscribe().borrow()[0].claimed_by.as_deref(), Some("one"));
        drop(claim);
        assert!(bus.claim("1-1", "two").is_some());
    }

    #[test]
    fn an_identity_is_forgotten_with_the_enumeration() {
        let root = tempfile::tempdir().unwrap();
        plug(root.path(), "1-1", 3);
        let (bus, _watcher) = Bus::open(root.path(), Path::new("/dev"));
        let device = bus.subscribe().borrow()[0].device.clone();
        bus.identify(&device, "867584030000017");
        assert_eq!(bus.subscribe().borrow()[0].imei.as_deref(), Some("867584030000017"));
        plug(root.path(), "1-1", 4);
        bus.look();
        assert_eq!(bus.subscribe().borrow()[0].imei, None);
    }

    #[tokio::test]
    async fn a_plug_in_is_told_by_an_event() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("bus/usb/devices")).unwrap();
        let (bus, watcher) = Bus::open(root.path(), Path::new("/dev"));
        let mut seen = bus.subscribe();
        let told = async {
            // Only after the watcher listens, and well before it would look by itself.
            tokio::time::sleep(Duration::from_millis(50)).await;
            plug(root.path(), "1-1", 3);
            seen.wait_for(|seen| seen.len() == 1).await.unwrap();
        };
        tokio::select! {
            () = watcher.run() => unreachable!("it never ends"),
            outcome = tokio::time::timeout(SLOW_LOOK, told) => outcome.expect("told before the slow look"),
        }
    }
}
