//! SIMCom SIM7600 (SIM7600E, G, G-H, A), vendor id 1e0e.
//!
//! Sources: the module's AT Command Manual V1.12 (composition table of `AT+CUSBPIDSWITCH`), `usb-devices` of real units, and
//! the Linux `option` and `qmi_wwan` id tables.

use std::time::Duration;

use super::InterfaceRole::{self, At, Audio, Diagnostics, Mbim, Modem, Network, Nmea, Other, Qmi};

/// USB vendor id.
pub const VENDOR: u16 = 0x1e0e;

/// A USB composition: which functions the module shows, in the order of their interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Composition {
    /// USB product id.
    pub product: u16,
    /// Roles by interface number.
    pub interfaces: &'static [InterfaceRole],
}

/// The compositions that `AT+CUSBPIDSWITCH=?` lists and whose layout is known. 1025, which some guides name, is not among
/// them: no firmware lists it.
pub const COMPOSITIONS: &[Composition] = &[
    Composition {
        product: 0x9000,
        interfaces: &[Diagnostics, Nmea, At, Modem, Audio, Qmi],
    },
    Composition {
        product: 0x9001,
        interfaces: &[Diagnostics, Nmea, At, Modem, Audio, Qmi, Other],
    },
    Composition {
        product: 0x9002,
        interfaces: &[Diagnostics, Nmea, At, Modem, Audio, Qmi],
    },
    Composition {
        product: 0x9003,
        interfaces: &[Diagnostics, Nmea, At, Modem, Audio, Mbim],
    },
    Composition {
        product: 0x9006,
        interfaces: &[Diagnostics, Nmea, At, Modem],
    },
    Composition {
        product: 0x9007,
        interfaces: &[Diagnostics, Nmea, At, Modem, Audio, Qmi, Other],
    },
    // RNDIS takes two interfaces, control and data; interface 7 is ADB.
    Composition {
        product: 0x9011,
        interfaces: &[Network, Network, Diagnostics, Nmea, At, Modem, Audio, Other],
    },
    Composition {
        product: 0x9018,
        interfaces: &[Diagnostics, Nmea, At, Modem, Audio, Network],
    },
];

/// The layout of a composition.
#[must_use]
pub fn composition(product: u16) -> Option<&'static Composition> {
    COMPOSITIONS.iter().find(|composition| composition.product == product)
}

/// Wait between the begin of a call and the first `AT+CPCMREG=1`. ModemManager waits 100 ms on every SIM7600, because the
/// module refuses it before.
pub const PCM_SETTLE: Duration = Duration::from_millis(100);

/// Pause between two attempts of `AT+CPCMREG=1`. Firmware LE20B05 answers ERROR up to six times from the second call on.
pub const PCM_RETRY_PAUSE: Duration = Duration::from_millis(300);

/// How long `AT+CPCMREG=1` is tried before the call goes on without audio.
pub const PCM_OPEN_WINDOW: Duration = Duration::from_secs(12);

#[cfg(test)]
mod tests {
    use super::*;

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
    fn composition_1025_does_not_exist() {
        assert_eq!(composition(0x1025), None);
    }
}
