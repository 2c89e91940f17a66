//! The state machine against what real modules say: commands, calls, messages, faults.

mod bench;
mod calls;
mod commands;
mod mbim;
mod messages;
mod ppp;
mod qmi;
mod qmi_services;
