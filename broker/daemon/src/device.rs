//! The USB side of a modem: which device node is which port, who uses which device, and its power.
//!
//! Devices are found by USB vendor, product and interface number in sysfs, never by the number of a ttyUSB, since a
//! descriptor that is still open makes the kernel renumber the ports on the next plug-in. The serial number tells nothing
//! either: it is the same on every unit.

mod bell;
mod bus;
mod choice;
mod power;
mod scan;

pub use bus::{Bus, Claim, Sighting, Watcher};
pub use choice::{Unusable, Wanted, choose};
pub use power::{CycleError, Power, Switch};
pub use scan::{Device, Form, scan};
