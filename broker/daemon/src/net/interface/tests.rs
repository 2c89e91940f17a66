use super::*;

/// A sysfs in which a QMI port has an interface, as the kernel shows it.
fn sysfs(driver: &str, interface: Option<&str>, raw_ip: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let device = root.path().join("class/usbmisc/cdc-wdm0/device");
    fs::create_dir_all(device.join("net")).unwrap();
    fs::write(
        device.join("uevent"),
        format!("DEVTYPE=usb_interface\nDRIVER={driver}\n"),
    )
    .unwrap();
    if let Some(name) = interface {
        fs::create_dir_all(device.join("net").join(name)).unwrap();
        let net = root.path().join("class/net").join(name).join("qmi");
        fs::create_dir_all(&net).unwrap();
        fs::write(net.join("raw_ip"), format!("{raw_ip}\n")).unwrap();
    }
    root
}

const NODE: &str = "/dev/cdc-wdm0";

#[test]
fn the_interface_of_a_qmi_port_is_found_beside_it() {
    let root = sysfs("qmi_wwan", Some("wwan3"), "Y");
    let interface = Interface::beside(root.path(), Path::new(NODE), Driver::Qmi).unwrap();
    assert_eq!(interface.name, "wwan3");
    // What is right already is left alone: no link is needed for it.
    interface.set_raw_ip().unwrap();
}

#[test]
fn another_driver_and_a_missing_interface_are_told_apart() {
    for (driver, interface, expected) in [
        ("option", None, "modprobe qmi_wwan"),
        ("option", None, "belongs to the driver option"),
        (
            "qmi_wwan",
            None,
            "no network interface belongs to the QMI port /dev/cdc-wdm0",
        ),
    ] {
        let root = sysfs(driver, interface, "N");
        let error = Interface::beside(root.path(), Path::new(NODE), Driver::Qmi)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    // The serial driver took the interface: the node is a tty.
    let root = sysfs("qmi_wwan", None, "N");
    fs::create_dir_all(root.path().join("class/tty/ttyUSB5/device")).unwrap();
    let error = Interface::beside(root.path(), Path::new("/dev/ttyUSB5"), Driver::Qmi).unwrap_err();
    assert!(matches!(error, NotReady::Driver { .. }), "{error}");
}

#[test]
fn an_interface_that_the_kernel_does_not_have_is_an_error_of_its_own() {
    let root = sysfs("qmi_wwan", Some("nosuchlink0"), "N");
    let interface = Interface::beside(root.path(), Path::new(NODE), Driver::Qmi).unwrap();
    let error = interface.set_raw_ip().unwrap_err().to_string();
    assert!(error.contains("nosuchlink0"), "{error}");
}

#[test]
fn a_missing_right_is_told_apart_from_everything_else_and_says_what_to_do() {
    for (status, granted) in [
        ("Name:\tx\nCapEff:\t000001ffffffffff\n", true),
        ("CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000000\n", false),
        ("CapEff:\t0000000000001000\n", true),
        ("CapEff:\t000001ffffffefff\n", false),
        ("CapEff:\tnonsense\n", false),
        ("", false),
    ] {
        assert_eq!(grants(status, CAP_NET_ADMIN), granted, "{status}");
    }
    let root = sysfs("qmi_wwan", Some("wwan0"), "N");
    let interface = Interface::beside(root.path(), Path::new(NODE), Driver::Qmi).unwrap();
    // What the kernel says to a process that lost the right, or never had it in this network namespace (EPERM, EACCES).
    for errno in [1, 13] {
        let error = interface.link_failed(io::Error::from_raw_os_error(errno));
        assert!(matches!(error, NotReady::Capability), "{error}");
        assert!(
            error.to_string().contains("AmbientCapabilities=CAP_NET_ADMIN"),
            "{error}"
        );
    }
    let error = interface.link_failed(io::Error::from_raw_os_error(19));
    assert!(matches!(error, NotReady::Link { .. }), "{error}");
}

#[test]
fn an_interface_of_mbim_carries_raw_ip_without_being_told() {
    let root = sysfs("cdc_mbim", Some("wwan0"), "N");
    fs::remove_dir_all(root.path().join("class/net/wwan0/qmi")).unwrap();
    let interface = Interface::beside(root.path(), Path::new(NODE), Driver::Mbim).unwrap();
    assert_eq!(interface.driver, Driver::Mbim);
    interface.set_raw_ip().unwrap();
    for (driver, expected) in [
        (
            "cdc_ncm",
            "belongs to the driver cdc_ncm instead of cdc_mbim; load cdc_mbim",
        ),
        ("cdc_mbim", "is the driver cdc_mbim loaded (modprobe cdc_mbim)?"),
    ] {
        let root = sysfs(driver, None, "");
        let error = Interface::beside(root.path(), Path::new(NODE), Driver::Mbim).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// What is bound decides what is spoken, whatever the node was called in the configuration.
#[test]
fn the_driver_that_is_bound_decides_the_protocol() {
    let root = sysfs("cdc_mbim", Some("wwan0"), "N");
    let interface = Interface::beside(root.path(), Path::new(NODE), Driver::Qmi).unwrap();
    assert_eq!(interface.driver, Driver::Mbim);
}
