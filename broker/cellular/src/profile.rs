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
