//! The network side of this machine: links, addresses and routes, by rtnetlink; and which WAN carries the traffic.
//!
//! [`policy`] decides and knows nothing of Linux; [`actor`] tells it what happens and carries out what it says.

mod abort;
pub mod actor;
pub mod address;
pub mod advertisement;
mod claim;
pub mod dhcp;
mod hook;
pub mod interface;
pub mod name_server;
mod netlink;
pub mod policy;
pub mod pppd;
pub mod probe;
mod route;
pub mod survey;
pub mod usage;

pub use actor::{Request, WanHandle};
