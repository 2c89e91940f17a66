//! What the broker does, seen from its clients on one side and from the virtual modem's books on the other.

mod bring_up;
mod events;
mod faults;
mod processes;
mod receiving;
mod refusals;
mod sending;
mod vectors;
