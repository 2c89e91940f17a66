//! `dev` and `sys` as the kernel would show the device: nodes, attributes and class links.
//!
//! The device directory is built aside and renamed, and the link in `bus/usb/devices` comes last and goes first: who
//! watches that directory sees a device with all its ports or none.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::driver::Place;
use super::switches::Switches;
use crate::core::{Composition, Function, Interface, MBIM_MAX_TRANSFER, VENDOR};

/// Where it hangs, below `sys`.
const PARENT: &str = "devices/platform/simulator/usb1";

/// Numbers that the kernel would give to the ttys of one modem, with one to spare.
const TTYS: u32 = 8;

/// Major number of usb-serial ttys.
const TTY_MAJOR: u32 = 188;

pub(super) struct Tree {
    root: PathBuf,
    /// Name of the network interface that belongs to QMI or MBIM.
    network_interface: String,
    /// Name of the device: bus 1, and the port that it hangs on.
    device: String,
    /// Others have their devices in the same tree.
    shared: bool,
    /// The first number of its ttys and of its other nodes.
    first_tty: u32,
    index: u32,
    /// `disable` of its hub port, if it has one.
    hub_port: Option<PathBuf>,
    /// Links to remove at unplug, in this order.
    links: Vec<PathBuf>,
    enumerations: u32,
    /// A stale descriptor on the third port keeps its number: the ports from there on move up by one.
    moved: bool,
}

impl Tree {
    pub(super) fn new(directory: &Path, place: &Place, interface: Option<&str>) -> io::Result<Self> {
        let shared = place.tree.is_some();
        let root = std::path::absolute(place.tree.as_deref().unwrap_or(directory))?;
        let stale: &[&str] = if shared { &[] } else { &["dev", "sys"] };
        for stale in stale {
            match fs::remove_dir_all(root.join(stale)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let classes = ["tty", "usbmisc", "net"].map(|class| format!("sys/class/{class}"));
        let fixed = ["dev", "sys/bus/usb/devices", "sys/bus/usb-serial/devices"].map(str::to_owned);
        for directory in classes.into_iter().chain(fixed) {
            fs::create_dir_all(root.join(directory))?;
        }
        let parent = root.join("sys").join(PARENT);
        fs::create_dir_all(&parent)?;
        let hub_port = place
            .hub_power
            .then(|| parent.join(format!("1-0:1.0/usb1-port{}", place.position)));
        if let Some(port) = &hub_port {
            fs::create_dir_all(port)?;
            attribute_file(port, "disable", "0")?;
        }
        let index = u32::from(place.position) - 1;
        Ok(Self {
            root,
            network_interface: interface.map_or_else(|| format!("wwan{index}"), str::to_owned),
            device: format!("1-{}", place.position),
            shared,
            first_tty: index * TTYS,
            index,
            hub_port,
            links: Vec::new(),
            enumerations: 1,
            moved: false,
        })
    }

    fn sys(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join("sys").join(path)
    }

    /// Makes the device appear; `nodes` are the terminals by interface number.
    pub(super) fn plug(&mut self, composition: Composition, renumber: bool, nodes: &[(u8, PathBuf)]) -> io::Result<()> {
        self.unplug()?;
        self.enumerations += 1;
        self.moved ^= renumber;
        let device_name = self.device.clone();
        let aside = self.sys(PARENT).join(format!(".new-{device_name}"));
        let _ = fs::remove_dir_all(&aside);
        let interfaces = composition.interfaces();
        self.describe_device(&aside, composition, interfaces.len())?;
        let has_mbim = interfaces.iter().any(|interface| interface.function == Function::Mbim);
        if has_mbim {
            fs::write(aside.join("descriptors"), descriptors())?;
        }
        let mut serial = 0;
        let mut links = Vec::new();
        for interface in &interfaces {
            let name = format!("{device_name}:1.{}", interface.number);
            let directory = aside.join(&name);
            describe_interface(&directory, interface, has_mbim)?;
            let device = format!("{PARENT}/{device_name}/{name}");
            let node = nodes
                .iter()
                .find(|(number, _)| *number == interface.number)
                .map(|(_, path)| path);
            if interface.function.is_serial() {
                let number = self.first_tty + serial + u32::from(self.moved && serial >= 2);
                serial += 1;
                links.extend(serial_links(&directory, &device, number, node)?);
            } else if interface.function.has_control_channel() {
                links.extend(control_links(
                    interface.function,
                    &directory,
                    &device,
                    self.index,
                    &self.network_interface,
                    node,
                )?);
            }
            links.push((format!("sys/bus/usb/devices/{name}"), format!("../../../{device}")));
        }
        if let Some(port) = &self.hub_port {
            symlink(port, aside.join("port"))?;
        }
        let target = self.sys(PARENT).join(&device_name);
        fs::rename(&aside, &target)?;
        links.push((
            format!("sys/bus/usb/devices/{device_name}"),
            format!("../../../{PARENT}/{device_name}"),
        ));
        for (link, target) in links {
            let link = self.root.join(link);
            symlink(target, &link)?;
            self.links.insert(0, link);
        }
        Ok(())
    }

    fn describe_device(&self, directory: &Path, composition: Composition, interfaces: usize) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let number = self.enumerations;
        for (attribute, value) in [
            ("idVendor", format!("{VENDOR:04x}")),
            ("idProduct", format!("{:04x}", composition.0)),
            ("bcdDevice", "0318".to_owned()),
            ("manufacturer", "SimTech, Incorporated".to_owned()),
            ("product", "SimTech, Incorporated".to_owned()),
            // The same on every unit.
            ("serial", "0123456789ABCDEF".to_owned()),
            ("busnum", "1".to_owned()),
            ("devnum", number.to_string()),
            ("devpath", (self.index + 1).to_string()),
            ("speed", "480".to_owned()),
            ("bDeviceClass", "00".to_owned()),
            ("bNumInterfaces", format!("{interfaces:2}")),
            ("bConfigurationValue", "1".to_owned()),
            ("bMaxPower", "500mA".to_owned()),
            ("authorized", "1".to_owned()),
            (
                "uevent",
                format!(
                    "DEVTYPE=usb_device\nDRIVER=usb\nPRODUCT={VENDOR:x}/{:x}/318\nBUSNUM=001\nDEVNUM={number:03}",
                    composition.0
                ),
            ),
        ] {
            attribute_file(directory, attribute, &value)?;
        }
        Ok(())
    }

    /// The files with which the host switches the device off and on.
    pub(super) fn switches(&self) -> Switches {
        Switches {
            authorized: self.sys(PARENT).join(&self.device).join("authorized"),
            disable: self.hub_port.as_ref().map(|port| port.join("disable")),
        }
    }

    /// Makes the interfaces vanish, as the kernel does with a device that it is not to use.
    pub(super) fn deauthorize(&mut self) -> io::Result<()> {
        let device = format!("sys/bus/usb/devices/{}", self.device);
        let (kept, gone): (Vec<PathBuf>, Vec<PathBuf>) = self.links.drain(..).partition(|link| link.ends_with(&device));
        self.links = kept;
        for link in gone {
            fs::remove_file(link)?;
        }
        let directory = self.sys(PARENT).join(&self.device);
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.join("bInterfaceNumber").exists() {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    /// Makes the device vanish.
    pub(super) fn unplug(&mut self) -> io::Result<()> {
        for link in self.links.drain(..) {
            match fs::remove_file(link) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let gone = self.sys(PARENT).join(format!(".gone-{}", self.device));
        match fs::rename(self.sys(PARENT).join(&self.device), &gone) {
            Ok(()) => fs::remove_dir_all(gone),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let made: &[&str] = if self.shared { &[] } else { &["dev", "sys"] };
        for made in made {
            let _ = fs::remove_dir_all(self.root.join(made));
        }
    }
}

fn attribute_file(directory: &Path, name: &str, value: &str) -> io::Result<()> {
    fs::write(directory.join(name), format!("{value}\n"))
}

fn describe_interface(directory: &Path, interface: &Interface, has_mbim: bool) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let (class, subclass, protocol) = interface.class;
    let driver = match interface.function {
        Function::Qmi => "qmi_wwan",
        // The data interface of MBIM belongs to the driver as well.
        Function::Mbim | Function::Bulk if has_mbim => "cdc_mbim",
        function if function.is_serial() => "option",
        _ => "none",
    };
    let modalias = format!(
        "ic{class:02X}isc{subclass:02X}ip{protocol:02X}in{:02X}",
        interface.number
    );
    for (attribute, value) in [
        ("bInterfaceNumber", format!("{:02x}", interface.number)),
        ("bInterfaceClass", format!("{class:02x}")),
        ("bInterfaceSubClass", format!("{subclass:02x}")),
        ("bInterfaceProtocol", format!("{protocol:02x}")),
        ("bAlternateSetting", " 0".to_owned()),
        ("modalias", modalias),
        ("uevent", format!("DEVTYPE=usb_interface\nDRIVER={driver}")),
    ] {
        attribute_file(directory, attribute, &value)?;
    }
    Ok(())
}

/// A link and where it leads.
type Link = (String, String);

fn serial_links(directory: &Path, device: &str, number: u32, node: Option<&PathBuf>) -> io::Result<Vec<Link>> {
    let name = format!("ttyUSB{number}");
    let tty = directory.join(&name).join("tty").join(&name);
    fs::create_dir_all(&tty)?;
    attribute_file(&tty, "dev", &format!("{TTY_MAJOR}:{number}"))?;
    attribute_file(
        &tty,
        "uevent",
        &format!("MAJOR={TTY_MAJOR}\nMINOR={number}\nDEVNAME={name}"),
    )?;
    symlink("../..", tty.join("device"))?;
    let mut links = vec![
        (
            format!("sys/class/tty/{name}"),
            format!("../../{device}/{name}/tty/{name}"),
        ),
        (
            format!("sys/bus/usb-serial/devices/{name}"),
            format!("../../../{device}/{name}"),
        ),
    ];
    links.splice(
        0..0,
        node.map(|node| (format!("dev/{name}"), node.display().to_string())),
    );
    Ok(links)
}

/// The part of the descriptors that tells how long an MBIM message may be: the functional descriptor of MBIM 1.0, 6.4.
fn descriptors() -> Vec<u8> {
    let [low, high] = MBIM_MAX_TRANSFER.to_le_bytes();
    let device = [18, 1, 0, 2, 0, 0, 0, 64, 0x0e, 0x1e, 0x03, 0x90, 0x18, 3, 1, 2, 3, 1];
    let functional = [12, 0x24, 0x1b, 0, 1, low, high, 32, 128, 0, 6, 0x20];
    [&device[..], &functional].concat()
}

fn control_links(
    function: Function,
    directory: &Path,
    device: &str,
    index: u32,
    interface: &str,
    node: Option<&PathBuf>,
) -> io::Result<Vec<Link>> {
    let control = directory.join(format!("usbmisc/cdc-wdm{index}"));
    fs::create_dir_all(&control)?;
    attribute_file(&control, "dev", &format!("180:{index}"))?;
    attribute_file(
        &control,
        "uevent",
        &format!("MAJOR=180\nMINOR={index}\nDEVNAME=cdc-wdm{index}"),
    )?;
    symlink("../..", control.join("device"))?;
    let net = directory.join("net").join(interface);
    fs::create_dir_all(&net)?;
    attribute_file(&net, "address", "02:50:f4:00:00:01")?;
    attribute_file(&net, "operstate", "down")?;
    if function == Function::Qmi {
        fs::create_dir_all(net.join("qmi"))?;
        attribute_file(&net.join("qmi"), "raw_ip", "N")?;
    }
    symlink("../..", net.join("device"))?;
    let mut links = vec![
        (
            format!("sys/class/usbmisc/cdc-wdm{index}"),
            format!("../../{device}/usbmisc/cdc-wdm{index}"),
        ),
        (
            format!("sys/class/net/{interface}"),
            format!("../../{device}/net/{interface}"),
        ),
    ];
    links.splice(
        0..0,
        node.map(|node| (format!("dev/cdc-wdm{index}"), node.display().to_string())),
    );
    Ok(links)
}
