//! MBIM ports, and how long a message on one may be.

use std::path::Path;

use cellular::mbim::message::{TRANSFER_MAX, TRANSFER_MIN};
use cellular::mbim::{Client, Indication};
use tokio::sync::mpsc;

use super::OpenPort;
use super::control::{self, ControlEvent, ControlHandle, ControlTask};
use super::trace::Trace;
use crate::resource::PortRole;

/// The largest transfer where the descriptors do not tell it: what Qualcomm's functions have.
const TRANSFER_DEFAULT: u16 = 4096;

/// How long a message on the control channel of a node may be: `wMaxControlMessage` of the functional descriptor (MBIM 1.0,
/// 6.4). The kernel tells it by an `ioctl` as well, which would need `unsafe`.
pub fn max_transfer(sysfs: &Path, node: &Path) -> u16 {
    let name = node.file_name().unwrap_or_default();
    let interface = sysfs.join("class/usbmisc").join(name).join("device");
    let descriptors = std::fs::canonicalize(interface)
        .ok()
        .and_then(|interface| std::fs::read(interface.parent()?.join("descriptors")).ok());
    descriptors
        .and_then(|descriptors| max_control_message(&descriptors))
        .unwrap_or(TRANSFER_DEFAULT)
}

/// Descriptors follow each other; each begins with its length and its type.
fn max_control_message(mut descriptors: &[u8]) -> Option<u16> {
    const CS_INTERFACE: u8 = 0x24;
    const MBIM: u8 = 0x1B;
    let believed = TRANSFER_MIN as u16..=TRANSFER_MAX as u16;
    while let [length @ 2..=u8::MAX, ..] = *descriptors {
        let (descriptor, rest) = descriptors.split_at_checked(usize::from(length))?;
        if let [_, CS_INTERFACE, MBIM, _, _, low, high, ..] = *descriptor {
            return Some(u16::from_le_bytes([low, high])).filter(|octets| believed.contains(octets));
        }
        descriptors = rest;
    }
    None
}

/// Asks an MBIM port.
pub type MbimHandle = ControlHandle<Client>;

/// What an MBIM port tells.
pub type MbimEvent = ControlEvent<Indication>;

/// Makes the handle and the task of an MBIM port whose function takes messages of at most `max_transfer` octets.
pub fn start(
    port: OpenPort,
    max_transfer: u16,
    trace: Trace,
    events: mpsc::Sender<MbimEvent>,
) -> (MbimHandle, ControlTask<Client>) {
    let read_size = TRANSFER_DEFAULT.max(max_transfer).into();
    let dialogue = Client::new(usize::from(max_transfer));
    control::start(port, PortRole::Mbim, dialogue, read_size, trace, events)
}

#[cfg(test)]
mod tests;
