//! The USB compositions of the module and what each interface is for (`AT+CUSBPIDSWITCH`, command manual V1.12).

use serde::{Deserialize, Serialize};

/// SIMCom's vendor id.
pub const VENDOR: u16 = 0x1e0e;

/// What an interface does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Qualcomm diagnostics.
    Diag,
    /// NMEA sentences of the GNSS receiver.
    Nmea,
    /// AT commands.
    At,
    /// AT commands and PPP.
    Modem,
    /// Raw PCM of the call.
    Audio,
    /// QMI control channel and its network interface.
    Qmi,
    /// MBIM control channel.
    Mbim,
    /// A further GNSS port.
    Gnss,
    /// RNDIS control (followed by its data interface).
    Rndis,
    /// The data interface that belongs to RNDIS, ECM or MBIM.
    Bulk,
    /// CDC-ECM control (followed by its data interface).
    Ecm,
    /// Mass storage.
    Storage,
    /// A USB sound card.
    Sound,
}

impl Function {
    /// Whether Linux gives this function a `ttyUSB` node.
    pub fn is_serial(self) -> bool {
        matches!(
            self,
            Self::Diag | Self::Nmea | Self::At | Self::Modem | Self::Audio | Self::Gnss
        )
    }

    /// Whether Linux gives this function a `cdc-wdm` node and a network interface.
    pub fn has_control_channel(self) -> bool {
        matches!(self, Self::Qmi | Self::Mbim)
    }
}

impl std::fmt::Display for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Diag => "diag",
            Self::Nmea => "nmea",
            Self::At => "at",
            Self::Modem => "modem",
            Self::Audio => "audio",
            Self::Qmi => "qmi",
            Self::Mbim => "mbim",
            Self::Gnss => "gnss",
            Self::Rndis => "rndis",
            Self::Bulk => "bulk",
            Self::Ecm => "ecm",
            Self::Storage => "storage",
            Self::Sound => "sound",
        })
    }
}

/// One interface of the configuration descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// `bInterfaceNumber`
    pub number: u8,
    /// Class, subclass and protocol.
    pub class: (u8, u8, u8),
    /// What it does.
    pub function: Function,
}

/// A set of interfaces, named by the product id with which the module then enumerates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composition(
    /// The product id.
    pub u16,
);

use Function::{At, Audio, Bulk, Diag, Ecm, Gnss, Mbim, Modem, Nmea, Qmi, Rndis, Sound, Storage};

const TABLE: &[(u16, &[Function])] = &[
    (0x9000, &[Diag, Nmea, At, Modem, Audio, Qmi]),
    (0x9001, &[Diag, Nmea, At, Modem, Audio, Qmi]),
    (0x9002, &[Diag, Nmea, At, Modem, Audio, Qmi]),
    (0x9003, &[Diag, Nmea, At, Modem, Audio, Mbim, Bulk]),
    (0x9004, &[Diag, Nmea, At, Modem, Audio, Gnss, Qmi]),
    (0x9005, &[Diag, Nmea, At, Modem, Audio, Gnss, Mbim, Bulk]),
    (0x9006, &[Diag, Nmea, At, Modem]),
    (0x9007, &[Diag, Nmea, At, Modem, Audio, Qmi, Storage]),
    (0x9011, &[Rndis, Bulk, Diag, Nmea, At, Modem, Audio]),
    (0x9016, &[Diag, Qmi]),
    (0x9018, &[Diag, Nmea, At, Modem, Audio, Ecm, Bulk]),
    (0x9019, &[Rndis, Bulk]),
    (0x901A, &[Diag, Nmea, At, Qmi]),
    (0x901B, &[Nmea, At, Qmi]),
    (0x9020, &[Diag, At, Modem]),
    (0x9021, &[Diag, Modem]),
    (0x9022, &[Diag, Modem, Qmi]),
    (0x9023, &[Modem]),
    (0x9024, &[At, Modem]),
    (0x9025, &[Modem, Qmi]),
    (0x9026, &[Modem, Audio]),
    (0x9027, &[Modem, Audio, Qmi]),
    (0x9028, &[Diag, Modem, Audio, Qmi]),
    (0x9029, &[Diag, Modem, Audio]),
    (0x902A, &[At]),
    (0x902B, &[Diag, Nmea, At, Modem, Qmi, Sound]),
];

impl Composition {
    /// The factory setting: diagnostics, NMEA, two AT ports, PCM and QMI.
    pub const DEFAULT: Self = Self(0x9001);

    /// No modem yet, but a disk with drivers for other systems.
    pub const STORAGE: Self = Self(0xF000);

    /// The composition of this product id, if the module has it.
    pub fn find(product: u16) -> Option<Self> {
        TABLE.iter().any(|(id, _)| *id == product).then_some(Self(product))
    }

    /// The list that `AT+CUSBPIDSWITCH=?` shows.
    pub fn listing() -> String {
        TABLE
            .iter()
            .map(|(id, _)| format!("{id:04X}"))
            .collect::<Vec<_>>()
            .join(",")
    }

    /// The interfaces in the order of their numbers.
    pub fn interfaces(self) -> Vec<Interface> {
        if self == Self::STORAGE {
            return vec![Interface {
                number: 0,
                class: class_of(Storage),
                function: Storage,
            }];
        }
        let functions = TABLE
            .iter()
            .find(|(id, _)| *id == self.0)
            .map_or(&[][..], |(_, functions)| functions);
        (0u8..)
            .zip(functions)
            .map(|(number, function)| Interface {
                number,
                class: class_of(*function),
                function: *function,
            })
            .collect()
    }
}

fn class_of(function: Function) -> (u8, u8, u8) {
    match function {
        Diag | Qmi => (0xff, 0xff, 0xff),
        Nmea | At | Modem | Audio | Gnss => (0xff, 0x00, 0x00),
        Rndis => (0x02, 0x02, 0xff),
        Mbim => (0x02, 0x0e, 0x00),
        Ecm => (0x02, 0x06, 0x00),
        Bulk => (0x0a, 0x00, 0x00),
        Storage => (0x08, 0x06, 0x50),
        Sound => (0x01, 0x01, 0x00),
    }
}
