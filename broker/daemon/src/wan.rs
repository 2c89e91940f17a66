//! The network side of this machine: links, addresses and routes, by rtnetlink.

pub mod address;
pub mod interface;
mod netlink;
