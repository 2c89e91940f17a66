//! Reading sysfs: which modems are plugged in, in which composition, and which node is which port.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cellular::profile::{InterfaceRole, PROFILES, Profile, UsbComposition};

use super::Power;
use crate::resource::PortRole;

/// A device of a known vendor that is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The family that its vendor makes.
    pub profile: &'static Profile,
    /// The USB path, such as `1-1.2`: stable for as long as the cable stays where it is.
    pub usb_path: String,
    /// USB product id.
    pub product: u16,
    /// The kernel's number of the device: another one after each enumeration.
    pub number: u32,
    /// What it shows itself as.
    pub form: Form,
    /// Nodes by role. The diagnostics port is listed and never opened.
    pub nodes: BTreeMap<PortRole, PathBuf>,
    /// How it can be switched off and on.
    pub power: Power,
}

/// What a device of the vendor shows itself as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A composition whose layout is known.
    Modem(&'static UsbComposition),
    /// A disk with the vendor's drivers for other systems (ZeroCD); the modem comes after it was told to switch.
    Storage,
    /// A product id that the module's list does not have.
    Unknown,
}

impl Device {
    /// The product id as people write it.
    pub fn composition(&self) -> String {
        format!("{:04x}", self.product)
    }

    /// The layout of its composition, where that is known.
    pub fn layout(&self) -> Option<&'static UsbComposition> {
        self.profile.composition(self.product)
    }

    /// Whether another enumeration of the same device would be another value.
    pub fn is_same_enumeration(&self, other: &Device) -> bool {
        (&self.usb_path, self.number, self.product) == (&other.usb_path, other.number, other.product)
    }

    /// Whether every serial port that its composition has is there. They appear one after the other.
    pub fn is_complete(&self) -> bool {
        let Form::Modem(composition) = self.form else {
            return true;
        };
        composition
            .interfaces
            .iter()
            .filter_map(|role| role_of(*role))
            .filter(|role| matches!(role, PortRole::At | PortRole::AtCalls | PortRole::Audio))
            .all(|role| self.nodes.contains_key(&role))
    }
}

/// Lists the devices of known families below a sysfs and a device directory, in the order of their USB paths.
pub fn scan(sysfs: &Path, dev: &Path) -> Vec<Device> {
    scan_for(PROFILES, sysfs, dev)
}

fn scan_for(profiles: &[&'static Profile], sysfs: &Path, dev: &Path) -> Vec<Device> {
    let Ok(entries) = fs::read_dir(sysfs.join("bus/usb/devices")) else {
        return Vec::new();
    };
    let mut devices: Vec<Device> = entries
        .flatten()
        .filter_map(|entry| read_device(profiles, &entry.path(), dev))
        .collect();
    devices.sort_by(|a, b| a.usb_path.cmp(&b.usb_path));
    devices
}

fn read_device(profiles: &[&'static Profile], link: &Path, dev: &Path) -> Option<Device> {
    let vendor = read_hex(&link.join("idVendor"))?;
    let profile = *profiles.iter().find(|profile| profile.vendor == vendor)?;
    let product = read_hex(&link.join("idProduct"))?;
    let directory = fs::canonicalize(link).ok()?;
    let number = read_text(&link.join("devnum"))
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    // In the real sysfs the interfaces are below the device as well as beside its link.
    let interfaces: Vec<PathBuf> = fs::read_dir(&directory)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("bInterfaceNumber").exists())
        .collect();
    let form = form_of(profile, product, &interfaces);
    let nodes = match form {
        Form::Modem(layout) => interfaces
            .iter()
            .filter_map(|interface| read_interface(interface, layout, dev))
            .collect(),
        Form::Storage | Form::Unknown => BTreeMap::new(),
    };
    Some(Device {
        profile,
        usb_path: link.file_name()?.to_string_lossy().into_owned(),
        product,
        number,
        form,
        nodes,
        power: Power::of(&directory),
    })
}

fn form_of(profile: &'static Profile, product: u16, interfaces: &[PathBuf]) -> Form {
    const MASS_STORAGE: u16 = 0x08;
    let class = |interface: &PathBuf| read_hex(&interface.join("bInterfaceClass"));
    let only_storage = !interfaces.is_empty()
        && interfaces
            .iter()
            .all(|interface| class(interface) == Some(MASS_STORAGE));
    if profile.storage_product == Some(product) || only_storage {
        return Form::Storage;
    }
    profile.composition(product).map_or(Form::Unknown, Form::Modem)
}

fn role_of(role: InterfaceRole) -> Option<PortRole> {
    Some(match role {
        InterfaceRole::Diagnostics => PortRole::Diagnostics,
        InterfaceRole::Nmea => PortRole::Nmea,
        InterfaceRole::At => PortRole::At,
        InterfaceRole::Modem => PortRole::AtCalls,
        InterfaceRole::Audio => PortRole::Audio,
        InterfaceRole::Qmi => PortRole::Qmi,
        // Its data interface has no node, so that the control interface is the one that is found.
        InterfaceRole::Mbim => PortRole::Mbim,
        InterfaceRole::Network | InterfaceRole::Sound | InterfaceRole::Other => return None,
    })
}

fn read_interface(directory: &Path, layout: &UsbComposition, dev: &Path) -> Option<(PortRole, PathBuf)> {
    let number = read_hex(&directory.join("bInterfaceNumber"))?;
    let role = role_of(*layout.interfaces.get(usize::from(number))?)?;
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

fn read_text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn read_hex(path: &Path) -> Option<u16> {
    u16::from_str_radix(&read_text(path)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(root: &Path, usb_path: &str, vendor: &str, product: &str) -> PathBuf {
        let device = root.join("bus/usb/devices").join(usb_path);
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("idVendor"), format!("{vendor}\n")).unwrap();
        fs::write(device.join("idProduct"), format!("{product}\n")).unwrap();
        fs::write(device.join("devnum"), "7\n").unwrap();
        device
    }

    fn interface(device: &Path, number: u8, class: &str, node: &str) {
        let directory = device.join(format!("1-1:1.{number}"));
        fs::create_dir_all(directory.join(node)).unwrap();
        fs::write(directory.join("bInterfaceNumber"), format!("{number:02x}\n")).unwrap();
        fs::write(directory.join("bInterfaceClass"), format!("{class}\n")).unwrap();
    }

    #[test]
    fn ports_are_found_by_interface_after_a_held_descriptor_renumbered_them() {
        let root = tempfile::tempdir().unwrap();
        let device = device(root.path(), "1-1", "1e0e", "9001");
        for (number, node) in [
            (0, "ttyUSB0"),
            (1, "ttyUSB1"),
            (2, "ttyUSB3"),
            (3, "ttyUSB4"),
            (4, "ttyUSB5"),
            (5, "usbmisc/cdc-wdm0"),
        ] {
            interface(&device, number, "ff", node);
        }
        let devices = scan(root.path(), Path::new("/dev"));
        assert_eq!(devices.len(), 1);
        assert_eq!((devices[0].usb_path.as_str(), devices[0].number), ("1-1", 7));
        assert_eq!(devices[0].composition(), "9001");
        assert!(devices[0].is_complete());
        assert_eq!(devices[0].nodes[&PortRole::At], Path::new("/dev/ttyUSB3"));
        assert_eq!(devices[0].nodes[&PortRole::AtCalls], Path::new("/dev/ttyUSB4"));
        assert_eq!(devices[0].nodes[&PortRole::Audio], Path::new("/dev/ttyUSB5"));
        assert_eq!(devices[0].nodes[&PortRole::Qmi], Path::new("/dev/cdc-wdm0"));
    }

    #[test]
    fn a_device_whose_ports_are_still_appearing_is_not_complete() {
        let root = tempfile::tempdir().unwrap();
        let device = device(root.path(), "1-1", "1e0e", "9001");
        for number in 0..3 {
            interface(&device, number, "ff", &format!("ttyUSB{number}"));
        }
        assert!(!scan(root.path(), Path::new("/dev"))[0].is_complete());
    }

    #[test]
    fn every_composition_finds_its_ports_where_its_layout_has_them() {
        // The node of interface n is ttyUSBn here, so that a wrong interface shows as a wrong node.
        for (product, at, calls) in [
            ("9001", Some(2), Some(3)),
            ("9011", Some(4), Some(5)),
            ("9018", Some(2), Some(3)),
            ("9003", Some(2), Some(3)),
            ("9016", None, None),
            ("901b", Some(1), None),
            ("9024", Some(0), Some(1)),
            ("902a", Some(0), None),
        ] {
            let root = tempfile::tempdir().unwrap();
            let device = device(root.path(), "1-1", "1e0e", product);
            for number in 0..8 {
                interface(&device, number, "ff", &format!("ttyUSB{number}"));
            }
            let nodes = &scan(root.path(), Path::new("/dev"))[0].nodes;
            let node = |number: Option<u8>| number.map(|number| PathBuf::from(format!("/dev/ttyUSB{number}")));
            assert_eq!(nodes.get(&PortRole::At).cloned(), node(at), "{product}");
            assert_eq!(nodes.get(&PortRole::AtCalls).cloned(), node(calls), "{product}");
        }
    }

    #[test]
    fn a_modem_in_its_storage_mode_is_recognised_by_product_or_by_interfaces() {
        for (product, class, storage) in [("f000", "08", true), ("9001", "08", true), ("9001", "ff", false)] {
            let root = tempfile::tempdir().unwrap();
            let device = device(root.path(), "1-1", "1e0e", product);
            interface(&device, 0, class, "host0");
            let devices = scan(root.path(), Path::new("/dev"));
            assert_eq!(devices[0].form == Form::Storage, storage, "{product} {class}");
        }
    }

    static OTHER: Profile = Profile {
        name: "other",
        family: "Other",
        vendor: 0x2c7c,
        storage_product: None,
        compositions: &[UsbComposition {
            product: 0x0125,
            interfaces: &[
                InterfaceRole::Diagnostics,
                InterfaceRole::Nmea,
                InterfaceRole::At,
                InterfaceRole::Modem,
                InterfaceRole::Qmi,
            ],
        }],
    };

    #[test]
    fn a_second_family_is_found_by_its_profile_alone() {
        let root = tempfile::tempdir().unwrap();
        let device = device(root.path(), "1-3", "2c7c", "0125");
        for number in 0..4 {
            interface(&device, number, "ff", &format!("ttyUSB{number}"));
        }
        interface(&device, 4, "ff", "usbmisc/cdc-wdm0");
        let found = scan_for(&[PROFILES[0], &OTHER], root.path(), Path::new("/dev"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].profile, &OTHER);
        assert!(found[0].is_complete(), "it has no audio port");
        assert_eq!(found[0].nodes[&PortRole::At], Path::new("/dev/ttyUSB2"));
        assert_eq!(found[0].nodes[&PortRole::Qmi], Path::new("/dev/cdc-wdm0"));
    }

    #[test]
    fn other_vendors_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        device(root.path(), "1-2", "2c7c", "0125");
        assert_eq!(scan(root.path(), Path::new("/dev")), []);
    }
}
