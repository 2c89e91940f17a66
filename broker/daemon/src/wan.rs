//! Which WAN carries the traffic of this machine.
//!
//! [`policy`] decides and knows nothing of Linux; [`actor`] tells it what happens and carries out what it says.

mod abort;
pub mod actor;
mod claim;
mod hook;
pub mod name_server;
pub mod policy;
pub mod probe;
mod route;
pub mod survey;
pub mod usage;

pub use actor::{Request, WanHandle};
