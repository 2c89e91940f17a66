//! Which device node is which port of which modem: by USB vendor, product and interface number in sysfs, never by the number
//! of a ttyUSB, since a descriptor that is still open makes the kernel renumber the ports on the next plug-in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use modem::profile::{InterfaceRole, sim7600};

use crate::resource::PortRole;

/// A modem that is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The USB path, such as `1-1.2`: stable for as long as the cable stays where it is.
    pub usb_path: String,
    /// USB product id.
    pub product: u16,
    /// Nodes by role. The diagnostics port is listed and never opened.
    pub nodes: BTreeMap<PortRole, PathBuf>,
}

impl Device {
    /// The product id as people write it.
    pub fn composition(&self) -> String {
        format!("{:04x}", self.product)
    }
}

/// Lists the modems below a sysfs and a device directory, in the order of their USB paths.
pub fn scan(sysfs: &Path, dev: &Path) -> Vec<Device> {
    let Ok(entries) = fs::read_dir(sysfs.join("bus/usb/devices")) else {
        return Vec::new();
    };
    let mut devices: Vec<Device> = entries
        .flatten()
        .filter_map(|entry| read_device(&entry.path(), dev))
        .collect();
    devices.sort_by(|a, b| a.usb_path.cmp(&b.usb_path));
    devices
}

fn read_device(directory: &Path, dev: &Path) -> Option<Device> {
    if read_hex(&directory.join("idVendor"))? != sim7600::VENDOR {
        return None;
    }
    let product = read_hex(&directory.join("idProduct"))?;
    let layout = sim7600::composition(product)?;
    let usb_path = directory.file_name()?.to_string_lossy().into_owned();
    // In the real sysfs the interfaces are below the device as well as beside its link.
    let nodes = fs::read_dir(fs::canonicalize(directory).ok()?)
        .ok()?
        .flatten()
        .filter_map(|entry| read_interface(&entry.path(), layout, dev))
        .collect();
    Some(Device {
        usb_path,
        product,
        nodes,
    })
}

fn read_interface(directory: &Path, layout: &sim7600::Composition, dev: &Path) -> Option<(PortRole, PathBuf)> {
    let number = read_hex(&directory.join("bInterfaceNumber"))?;
    let role = match layout.interfaces.get(usize::from(number))? {
        InterfaceRole::Diagnostics => PortRole::Diagnostics,
        InterfaceRole::Nmea => PortRole::Nmea,
        InterfaceRole::At => PortRole::At,
        InterfaceRole::Modem => PortRole::AtCalls,
        InterfaceRole::Audio => PortRole::Audio,
        InterfaceRole::Qmi => PortRole::Qmi,
        InterfaceRole::Mbim | InterfaceRole::Network | InterfaceRole::Other => return None,
    };
    let node = tty_name(directory).or_else(|| child_of(&directory.join("usbmisc"), "cdc-wdm"))?;
    Some((role, dev.join(node)))
}

/// `…/1-1:1.2/ttyUSB2` for usb-serial, `…/1-1:1.2/tty/ttyACM0` for CDC-ACM.
fn tty_name(interface: &Path) -> Option<String> {
    child_of(interface, "ttyUSB").or_else(|| child_of(&interface.join("tty"), "tty"))
}

fn child_of(directory: &Path, prefix: &str) -> Option<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .ok()?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names.into_iter().next()
}

fn read_hex(path: &Path) -> Option<u16> {
    u16::from_str_radix(fs::read_to_string(path).ok()?.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(device: &Path, number: u8, node: &str) {
        let directory = device.join(format!("1-1:1.{number}"));
        fs::create_dir_all(directory.join(node)).unwrap();
        fs::write(directory.join("bInterfaceNumber"), format!("{number:02x}\n")).unwrap();
    }

    #[test]
    fn ports_are_found_by_interface_after_a_held_descriptor_renumbered_them() {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("bus/usb/devices/1-1");
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("idVendor"), "1e0e\n").unwrap();
        fs::write(device.join("idProduct"), "9001\n").unwrap();
        for (number, node) in [
            (0, "ttyUSB0"),
            (1, "ttyUSB1"),
            (2, "ttyUSB3"),
            (3, "ttyUSB4"),
            (4, "ttyUSB5"),
            (5, "usbmisc/cdc-wdm0"),
        ] {
            interface(&device, number, node);
        }
        let devices = scan(root.path(), Path::new("/dev"));
        assert_eq!(devices.len(), 1);
        assert_eq!(devices[0].usb_path, "1-1");
        assert_eq!(devices[0].composition(), "9001");
        assert_eq!(devices[0].nodes[&PortRole::At], Path::new("/dev/ttyUSB3"));
        assert_eq!(devices[0].nodes[&PortRole::AtCalls], Path::new("/dev/ttyUSB4"));
        assert_eq!(devices[0].nodes[&PortRole::Audio], Path::new("/dev/ttyUSB5"));
        assert_eq!(devices[0].nodes[&PortRole::Qmi], Path::new("/dev/cdc-wdm0"));
    }

    #[test]
    fn other_vendors_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("bus/usb/devices/1-2");
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("idVendor"), "2c7c\n").unwrap();
        fs::write(device.join("idProduct"), "0125\n").unwrap();
        assert_eq!(scan(root.path(), Path::new("/dev")), []);
    }
}
