//! Which of the devices on the bus belongs to a configured modem, and why none does.

use std::time::Duration;

use cellular::profile::Profile;
use tokio::time::Instant;

use super::bus::Sighting;
use super::scan::{Device, Form};
use crate::resource::PortRole;

/// How long the ports of a device may take to appear one after the other.
const APPEARING: Duration = Duration::from_secs(3);

/// Why no device can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// What is there instead and what to do.
    pub detail: String,
    /// Nothing that could be the modem is on the bus at all.
    pub nothing_there: bool,
}

/// Which device a modem is to have.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The name of the modem.
    pub modem: &'a str,
    /// Only one of this family.
    pub profile: &'static Profile,
    /// Only the one with this IMEI.
    pub imei: Option<&'a str>,
    /// Only the one at this USB path.
    pub usb_path: Option<&'a str>,
}

/// Chooses the device for a modem among those that no other modem uses. One that is known to have another IMEI is left to
/// others; one whose IMEI is not known yet has to be opened to learn it.
pub fn choose(wanted: Wanted<'_>, seen: &[Sighting], now: Instant) -> Result<Device, Unusable> {
    let mine = |sighting: &&Sighting| {
        let at_place = wanted.usb_path.is_none_or(|path| path == sighting.device.usb_path);
        let is_free = sighting
            .claimed_by
            .as_ref()
            .is_none_or(|modem| **modem == *wanted.modem);
        at_place && is_free && sighting.device.profile == wanted.profile
    };
    let (fitting, others): (Vec<&Sighting>, Vec<&Sighting>) = seen.iter().filter(mine).partition(|sighting| {
        let known = sighting.imei.as_deref();
        wanted.imei.is_none_or(|wanted| known.is_none_or(|imei| imei == wanted))
    });
    let mut first_problem = None;
    // One that is known to be the right one comes before one that has to be asked.
    let (known, unknown): (Vec<&Sighting>, Vec<&Sighting>) =
        fitting.into_iter().partition(|sighting| sighting.imei.is_some());
    for sighting in known.into_iter().chain(unknown) {
        match problem_of(sighting, now) {
            None => return Ok(sighting.device.clone()),
            Some(problem) => first_problem.get_or_insert(problem),
        };
    }
    Err(Unusable {
        nothing_there: first_problem.is_none(),
        detail: first_problem.unwrap_or_else(|| nothing(wanted, seen, &others)),
    })
}

fn problem_of(sighting: &Sighting, now: Instant) -> Option<String> {
    let device = &sighting.device;
    let (path, product) = (&device.usb_path, device.composition());
    let Profile { vendor, family, .. } = device.profile;
    let composition = match device.form {
        Form::Storage => {
            return Some(format!(
                "the modem at USB path {path} ({vendor:04x}:{product}) is in its storage (ZeroCD) mode: install usb-modeswitch, \
                 which switches it, and plug it in again"
            ));
        }
        Form::Unknown => {
            return Some(format!(
                "{vendor:04x}:{product} at USB path {path} is no known composition of a {family}; name its ports in [modem.ports]"
            ));
        }
        Form::Modem(composition) => composition,
    };
    if !composition.has_at() {
        return Some(format!(
            "the modem at USB path {path} is in composition {product}, which has no AT port: it has to be switched to 9001 \
             over another interface (AT+CUSBPIDSWITCH=9001,1,1 on its UART)"
        ));
    }
    if device.is_complete() {
        return None;
    }
    if now.saturating_duration_since(sighting.since) < APPEARING {
        return Some(format!("the modem at USB path {path} is being enumerated"));
    }
    let has_at = [PortRole::At, PortRole::AtCalls]
        .iter()
        .any(|role| device.nodes.contains_key(role));
    if has_at {
        return None;
    }
    Some(format!(
        "the modem at USB path {path} ({vendor:04x}:{product}) has no serial ports: the kernel's driver option is missing or does \
         not know this product; try: modprobe option && echo {vendor:04x} {product} > \
         /sys/bus/usb-serial/drivers/option1/new_id"
    ))
}

fn nothing(wanted: Wanted<'_>, seen: &[Sighting], others: &[&Sighting]) -> String {
    let Profile { vendor, family, .. } = wanted.profile;
    let place = wanted
        .usb_path
        .map_or("on USB".to_owned(), |path| format!("at USB path {path}"));
    let with_imei = wanted
        .imei
        .map(|imei| format!(" with the IMEI {imei}"))
        .unwrap_or_default();
    if let (Some(imei), Some(other)) = (wanted.imei, others.first()) {
        let found = other.imei.as_deref().unwrap_or_default();
        let path = &other.device.usb_path;
        return format!("no {family} with the IMEI {imei} {place}: the one at USB path {path} has the IMEI {found}");
    }
    let used: Vec<String> = seen
        .iter()
        .filter_map(|sighting| {
            let user = sighting.claimed_by.as_ref().filter(|user| ***user != *wanted.modem)?;
            Some(format!("{} is used by modem {user}", sighting.device.usb_path))
        })
        .collect();
    if !used.is_empty() {
        return format!("no further {family}{with_imei} {place}: {}", used.join(", "));
    }
    format!("no {family}{with_imei} {place} (vendor {vendor:04x}): is it plugged in and powered?")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use cellular::profile::PROFILES;

    use crate::device::Power;

    fn sighting(usb_path: &str, product: u16) -> Sighting {
        let nodes =
            [PortRole::At, PortRole::AtCalls, PortRole::Audio].map(|role| (role, format!("/dev/{role:?}").into()));
        Sighting {
            device: Device {
                profile: PROFILES[0],
                usb_path: usb_path.to_owned(),
                product,
                number: 2,
                form: PROFILES[0].composition(product).map_or(Form::Unknown, Form::Modem),
                nodes: BTreeMap::from(nodes),
                power: Power::default(),
            },
            since: Instant::now(),
            claimed_by: None,
            imei: None,
        }
    }

    const ANY: Wanted<'_> = Wanted {
        modem: "sim1",
        profile: &cellular::profile::sim7600::PROFILE,
        imei: None,
        usb_path: None,
    };

    fn path_chosen(wanted: Wanted<'_>, seen: &[Sighting]) -> Result<String, String> {
        choose(wanted, seen, Instant::now())
            .map(|device| device.usb_path)
            .map_err(|unusable| unusable.detail)
    }

    #[test]
    fn a_modem_gets_the_device_that_its_configuration_names() {
        let mut seen = vec![sighting("1-1", 0x9001), sighting("1-2", 0x9001)];
        let second = Wanted {
            usb_path: Some("1-2"),
            ..ANY
        };
        assert_eq!(path_chosen(ANY, &seen).as_deref(), Ok("1-1"));
        assert_eq!(path_chosen(second, &seen).as_deref(), Ok("1-2"));
        let imei = Wanted {
            imei: Some("867584030000025"),
            ..ANY
        };
        assert_eq!(path_chosen(imei, &seen).as_deref(), Ok("1-1"), "it has to be asked");
        seen[0].imei = Some("867584030000017".into());
        assert_eq!(path_chosen(imei, &seen).as_deref(), Ok("1-2"));
        seen[1].imei = Some("867584030000033".into());
        let told = path_chosen(imei, &seen).unwrap_err();
        assert!(told.contains("1-1 has the IMEI 867584030000017"), "{told}");
    }

    #[test]
    fn a_device_that_another_modem_uses_is_left_to_it() {
        let mut seen = vec![sighting("1-1", 0x9001), sighting("1-2", 0x9001)];
        seen[0].claimed_by = Some("sim2".into());
        assert_eq!(path_chosen(ANY, &seen).as_deref(), Ok("1-2"));
        seen[1].claimed_by = Some("sim3".into());
        let told = path_chosen(ANY, &seen).unwrap_err();
        assert!(told.contains("1-1 is used by modem sim2"), "{told}");
    }

    #[test]
    fn what_cannot_be_opened_is_named_with_what_to_do() {
        let storage = |sighting: &mut Sighting| sighting.device.form = Form::Storage;
        let without_ports = |sighting: &mut Sighting| {
            sighting.device.nodes.clear();
            sighting.since -= APPEARING;
        };
        let appearing = |sighting: &mut Sighting| sighting.device.nodes.clear();
        let nothing = |_: &mut Sighting| {};
        type Change<'a> = &'a dyn Fn(&mut Sighting);
        let cases: [(u16, Change<'_>, &str); 5] = [
            (0xf000, &storage, "usb-modeswitch"),
            (0x9016, &nothing, "no AT port"),
            (0x1234, &nothing, "[modem.ports]"),
            (0x9018, &without_ports, "echo 1e0e 9018"),
            (0x9001, &appearing, "being enumerated"),
        ];
        for (product, change, expected) in cases {
            let mut seen = vec![sighting("1-1", product)];
            change(&mut seen[0]);
            let told = path_chosen(ANY, &seen).unwrap_err();
            assert!(told.contains(expected), "{product:04x}: {told}");
        }
    }
}
