//! What the broker does, seen from its clients on one side and from the virtual modem's books on the other.

mod bring_up;
mod call_commands;
mod consumers;
mod crash;
mod data;
mod dynamic;
mod events;
mod faults;
mod hotplug;
mod keyboard;
mod killed;
mod location;
mod message_faults;
mod operators;
mod processes;
mod queue;
mod receiving;
mod recovery;
mod refusals;
mod sending;
mod sim;
mod storages;
mod terminal;
mod trace;
mod ussd;
mod vectors;
