//! The state machine against what real modules say: commands, calls, messages, faults.

mod bench;
mod calls;
mod commands;
mod messages;
mod qmi;
mod qmi_services;
