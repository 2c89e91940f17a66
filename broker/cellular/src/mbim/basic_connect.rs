//! Basic IP connectivity (10.5): the service that every function has. What the module is, its SIM, where it is registered,
//! its sessions.

mod device;
mod network;
mod session;

pub use device::{
    DeviceCaps, Lock, Pin, PinType, RadioState, ReadyState, Subscriber, device_caps, enter_pin, pin, radio_state,
    read_device_caps, read_pin, read_radio_state, read_subscriber_ready, set_radio_state, subscriber_ready,
};
pub use network::{
    Attachment, PacketService, Provider, Registration, RegistrationState, Signal, attach, home_provider,
    packet_service, read_home_provider, read_packet_service, read_registration, read_signal, register_automatically,
    register_state, set_signal_thresholds, signal_state,
};
pub use session::{
    Activation, AuthProtocol, Connection, IpType, NotConnected, Statistics, connect, connected, connection_state,
    disconnect, disconnected, ip_configuration, packet_statistics, read_connection, read_ip_configuration,
    read_packet_statistics,
};

use super::information::Writer;
use super::{Kind, Request, Uuid};

/// The command *Device Capabilities*.
pub const DEVICE_CAPS: u32 = 1;
/// The command *Subscriber Ready Status*.
pub const SUBSCRIBER_READY_STATUS: u32 = 2;
/// The command *Radio State*.
pub const RADIO_STATE: u32 = 3;
/// The command *PIN*.
pub const PIN: u32 = 4;
/// The command *Home Provider*.
pub const HOME_PROVIDER: u32 = 6;
/// The command *Register State*.
pub const REGISTER_STATE: u32 = 9;
/// The command *Packet Service*.
pub const PACKET_SERVICE: u32 = 10;
/// The command *Signal State*.
pub const SIGNAL_STATE: u32 = 11;
/// The command *Connect*.
pub const CONNECT: u32 = 12;
/// The command *IP Configuration*.
pub const IP_CONFIGURATION: u32 = 15;
/// The command *Device Service Subscribe List*.
pub const DEVICE_SERVICE_SUBSCRIBE_LIST: u32 = 19;
/// The command *Packet Statistics*.
pub const PACKET_STATISTICS: u32 = 20;

fn query(command: u32) -> Request {
    Request::command(Uuid::BASIC_CONNECT, command, Kind::Query, Vec::new())
}

fn set(command: u32, information: Writer) -> Request {
    Request::command(Uuid::BASIC_CONNECT, command, Kind::Set, information.finish())
}

/// Says which commands of this service are to tell of changes by themselves, and no others (10.5.30).
#[must_use]
pub fn subscribe(commands: &[u32]) -> Request {
    let mut element = Uuid::BASIC_CONNECT.0.to_vec();
    element.extend((commands.len() as u32).to_le_bytes());
    element.extend(commands.iter().flat_map(|command| command.to_le_bytes()));
    set(
        DEVICE_SERVICE_SUBSCRIBE_LIST,
        Writer::default().with_u32(1).with_part(element),
    )
}
