//! What is particular to a module: port roles, waits and quirks, as data with the firmware they were seen on.

pub mod sim7600;

/// What a USB interface of the module is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterfaceRole {
    /// Qualcomm diagnostics. Opening it is known to break the other ports.
    Diagnostics,
    /// NMEA sentences.
    Nmea,
    /// The first AT port.
    At,
    /// The second AT port, also called modem or PPP port.
    Modem,
    /// PCM audio.
    Audio,
    /// QMI control and its network interface.
    Qmi,
    /// MBIM control and its network interface.
    Mbim,
    /// RNDIS or ECM: a network interface without a control protocol.
    Network,
    /// A USB sound card.
    Sound,
    /// Android debug bridge and other interfaces that are left alone.
    Other,
}

/// A family of modules, as data.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// What the configuration calls it.
    pub name: &'static str,
    /// What people call it.
    pub family: &'static str,
    /// USB vendor id.
    pub vendor: u16,
    /// The product id under which a module shows nothing but a disk with the vendor's drivers for other systems (ZeroCD).
    pub storage_product: Option<u16>,
    /// The compositions in which a module may show itself.
    pub compositions: &'static [UsbComposition],
}

/// Every family that the broker knows.
pub static PROFILES: &[&Profile] = &[&sim7600::PROFILE];

impl Profile {
    /// The layout of a composition.
    #[must_use]
    pub fn composition(&self, product: u16) -> Option<&'static UsbComposition> {
        self.compositions
            .iter()
            .find(|composition| composition.product == product)
    }
}

/// A USB composition: which functions the module shows, in the order of their interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsbComposition {
    /// USB product id.
    pub product: u16,
    /// Roles by interface number.
    pub interfaces: &'static [InterfaceRole],
}

impl UsbComposition {
    fn has(&self, role: InterfaceRole) -> bool {
        self.interfaces.contains(&role)
    }

    /// Whether the module can be reached by AT commands in it.
    #[must_use]
    pub fn has_at(&self) -> bool {
        self.has(InterfaceRole::At) || self.has(InterfaceRole::Modem)
    }

    /// Whether calls have audio in it.
    #[must_use]
    pub fn has_audio(&self) -> bool {
        self.has(InterfaceRole::Audio)
    }

    /// Whether the module offers the host a network interface in it.
    #[must_use]
    pub fn has_data(&self) -> bool {
        [InterfaceRole::Qmi, InterfaceRole::Mbim, InterfaceRole::Network]
            .into_iter()
            .any(|role| self.has(role))
    }

    /// Whether it has a QMI or MBIM port, by which a data session is set up.
    #[must_use]
    pub fn has_control_channel(&self) -> bool {
        self.has(InterfaceRole::Qmi) || self.has_mbim()
    }

    /// Whether that is an MBIM port.
    #[must_use]
    pub fn has_mbim(&self) -> bool {
        self.has(InterfaceRole::Mbim)
    }

    /// Whether data goes by PPP on its second AT port, because it has neither QMI nor MBIM.
    #[must_use]
    pub fn may_dial(&self) -> bool {
        self.has(InterfaceRole::At)
            && self.has(InterfaceRole::Modem)
            && !self.has(InterfaceRole::Qmi)
            && !self.has(InterfaceRole::Mbim)
    }

    /// What cannot be had in it, in words for people; where it can be dialled, data is there if it is to go by PPP.
    #[must_use]
    pub fn lacks(&self, by_ppp: bool) -> Vec<&'static str> {
        let lacks = |missing: bool, what| missing.then_some(what);
        [
            lacks(!self.has_at(), "no AT port"),
            lacks(
                self.has(InterfaceRole::At) != self.has(InterfaceRole::Modem),
                "one AT port only",
            ),
            lacks(!self.has_audio(), "no audio port, so that calls have no audio"),
            lacks(!(self.has_data() || by_ppp && self.may_dial()), "no network interface"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
