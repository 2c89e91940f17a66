//! SIMCom SIM7600 (SIM7600E, G, G-H, A), vendor id 1e0e.
//!
//! Sources: the module's AT Command Manual V1.12 (composition table of `AT+CUSBPIDSWITCH`), `usb-devices` of real units, and
//! the Linux `option` and `qmi_wwan` id tables.

use std::time::Duration;

use super::InterfaceRole::{self, At, Audio, Diagnostics, Mbim, Modem, Network, Nmea, Other, Qmi, Sound};
use super::{Profile, UsbComposition};

/// What the broker has to know of the family to find it and to use its ports.
pub static PROFILE: Profile = Profile {
    name: "sim7600",
    family: "SIM7600",
    vendor: 0x1e0e,
    // usb-modeswitch-data knows no other one of this vendor.
    storage_product: Some(0xf000),
    compositions: COMPOSITIONS,
};

const fn composition_of(product: u16, interfaces: &'static [InterfaceRole]) -> UsbComposition {
    UsbComposition { product, interfaces }
}

/// The compositions that `AT+CUSBPIDSWITCH=?` lists. 1025, which some guides name, is not among them: no firmware lists it.
/// RNDIS and ECM take two interfaces each, control and data, and so does MBIM. Interface numbers beyond the functions of
/// the manual's table are ADB on some firmwares.
const COMPOSITIONS: &[UsbComposition] = &[
    composition_of(0x9000, &[Diagnostics, Nmea, At, Modem, Audio, Qmi]),
    composition_of(0x9001, &[Diagnostics, Nmea, At, Modem, Audio, Qmi, Other]),
    composition_of(0x9002, &[Diagnostics, Nmea, At, Modem, Audio, Qmi]),
    composition_of(0x9003, &[Diagnostics, Nmea, At, Modem, Audio, Mbim, Mbim]),
    composition_of(0x9004, &[Diagnostics, Nmea, At, Modem, Audio, Other, Qmi]),
    composition_of(0x9005, &[Diagnostics, Nmea, At, Modem, Audio, Other, Mbim, Mbim]),
    composition_of(0x9006, &[Diagnostics, Nmea, At, Modem]),
    composition_of(0x9007, &[Diagnostics, Nmea, At, Modem, Audio, Qmi, Other]),
    composition_of(0x9011, &[Network, Network, Diagnostics, Nmea, At, Modem, Audio, Other]),
    composition_of(0x9016, &[Diagnostics, Qmi]),
    composition_of(0x9018, &[Diagnostics, Nmea, At, Modem, Audio, Network, Network]),
    composition_of(0x9019, &[Network, Network]),
    composition_of(0x901A, &[Diagnostics, Nmea, At, Qmi]),
    composition_of(0x901B, &[Nmea, At, Qmi]),
    composition_of(0x9020, &[Diagnostics, At, Modem]),
    composition_of(0x9021, &[Diagnostics, Modem]),
    composition_of(0x9022, &[Diagnostics, Modem, Qmi]),
    composition_of(0x9023, &[Modem]),
    composition_of(0x9024, &[At, Modem]),
    composition_of(0x9025, &[Modem, Qmi]),
    composition_of(0x9026, &[Modem, Audio]),
    composition_of(0x9027, &[Modem, Audio, Qmi]),
    composition_of(0x9028, &[Diagnostics, Modem, Audio, Qmi]),
    composition_of(0x9029, &[Diagnostics, Modem, Audio]),
    composition_of(0x902A, &[At]),
    composition_of(0x902B, &[Diagnostics, Nmea, At, Modem, Qmi, Sound]),
];

/// Wait between the begin of a call and the first `AT+CPCMREG=1`. ModemManager waits 100 ms on every SIM7600, because the
/// module refuses it before.
pub const PCM_SETTLE: Duration = Duration::from_millis(100);

/// Pause between two attempts of `AT+CPCMREG=1`. Firmware LE20B05 answers ERROR up to six times from the second call on.
pub const PCM_RETRY_PAUSE: Duration = Duration::from_millis(300);

/// How long `AT+CPCMREG=1` is tried before the call goes on without audio.
pub const PCM_OPEN_WINDOW: Duration = Duration::from_secs(12);

/// Pause between two changes of the contexts. The module draws its highest currents when the radio starts to work, and
/// changes in quick succession were seen to disturb USB hubs with a weak supply.
pub const CONTEXT_PAUSE: Duration = Duration::from_secs(2);

/// Pause between switching the radio and the next change of a context, for the same reason.
pub const RADIO_PAUSE: Duration = Duration::from_secs(3);

/// Beginnings of the firmware revisions (`AT+CGMR`, `ATI`) whose behaviour is known from logs of real units.
pub const FIRMWARES: &[&str] = &[
    "LE20B03SIM7600",
    "LE20B04SIM7600",
    "LE20B05SIM7600",
    "LE20B06SIM7600",
    "SIM7600G_V2.0",
];

/// Whether a module is one that this profile was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquaintance {
    /// Model and firmware are known.
    Known,
    /// A SIM7600 with another firmware.
    UnknownFirmware,
    /// No SIM7600.
    ForeignModel,
}

/// Judges a module by what `AT+CGMM` and `AT+CGMR` told.
#[must_use]
pub fn acquaintance(model: &str, revision: &str) -> Acquaintance {
    if !model.to_ascii_uppercase().contains("SIM7600") {
        Acquaintance::ForeignModel
    } else if FIRMWARES.iter().any(|known| revision.starts_with(known)) {
        Acquaintance::Known
    } else {
        Acquaintance::UnknownFirmware
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composition(product: u16) -> Option<&'static UsbComposition> {
        PROFILE.composition(product)
    }

    #[test]
    fn composition_9001_has_its_ports_where_real_units_have_them() {
        let layout = composition(0x9001).expect("9001 is the default composition").interfaces;
        assert_eq!(layout[..6], [Diagnostics, Nmea, At, Modem, Audio, Qmi]);
    }

    #[test]
    fn composition_9011_begins_with_two_rndis_interfaces() {
        let layout = composition(0x9011).expect("9011 is listed").interfaces;
        assert_eq!(layout[2..7], [Diagnostics, Nmea, At, Modem, Audio]);
    }

    #[test]
    fn what_a_composition_lacks_is_known() {
        let lacks = |product| composition(product).map(|composition| composition.lacks(false));
        assert_eq!(lacks(0x9001), Some(vec![]));
        assert_eq!(lacks(0x9018), Some(vec![]));
        let no_audio = "no audio port, so that calls have no audio";
        assert_eq!(lacks(0x9006), Some(vec![no_audio, "no network interface"]));
        let by_ppp = composition(0x9006).map(|composition| composition.lacks(true));
        assert_eq!(by_ppp, Some(vec![no_audio]));
        assert_eq!(lacks(0x901A), Some(vec!["one AT port only", no_audio]));
        assert_eq!(lacks(0x9016), Some(vec!["no AT port", no_audio]));
        assert_eq!(
            lacks(0x902B),
            Some(vec![no_audio]),
            "a sound card is not the audio port"
        );
    }

    #[test]
    fn composition_1025_does_not_exist() {
        assert_eq!(composition(0x1025), None);
    }

    #[test]
    fn modules_are_known_by_model_and_firmware() {
        for (model, revision, expected) in [
            ("SIMCOM_SIM7600G-H", "LE20B04SIM7600G22", Acquaintance::Known),
            ("SIMCOM_SIM7600E-H", "LE20B03SIM7600M22", Acquaintance::Known),
            ("SIMCOM_SIM7600G-H", "LE99B01SIM7600G22", Acquaintance::UnknownFirmware),
            ("SIMCOM_SIM7600G-H", "", Acquaintance::UnknownFirmware),
            ("EC25", "EC25EFAR06A03M4G", Acquaintance::ForeignModel),
            ("", "", Acquaintance::ForeignModel),
        ] {
            assert_eq!(acquaintance(model, revision), expected, "{model} {revision}");
        }
    }
}
