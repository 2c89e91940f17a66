//! Which WAN carries the traffic of this machine.
//!
//! [`policy`] decides and knows nothing of Linux; [`actor`] tells it what happens and carries out what it says.
//!
//! # Failover
//!
//! The primary is judged by what the kernel says, at once, and by probes bound to it. A volley that nobody answers is
//! followed by a burst in 1.1 s in which one answer acquits: a link with 30 % loss is kept, and a dead one is left
//! within seconds. A call that rings, a message and `CheckWan` start a burst; the actor hears of the first two from the
//! journal, as every client does.
//!
//! To fail over is to add: a default route with metric 50 through the modem, an unreachable one for a family that the
//! modem lacks, the primary's routes copied to table 110 with a rule for its addresses (otherwise `rp_filter=1` drops
//! the replies to its probes for ever), the carrier's name servers. What others set up is never changed. So to return,
//! or to clean up after a crash, is to remove what has protocol 109. The bearer is the modem actor's; the WAN asks for
//! it as a client does.
//!
//! # Routes of a bearer
//!
//! Each modem's routes have a metric of their own: 700 and its position in the main table, 700 and the index of its
//! interface in table 109. A bearer that was connected for failover has routes in table 109 only. A bearer removes only
//! what leads through its own interface, whose port it holds the lock of.
//!
//! IPv6 addresses come from router advertisements where the session tells none. The kernel owns them and the broker
//! leaves them alone; the kernel is told to add no route and, in every other session, to ignore routers.

mod abort;
pub mod actor;
mod claim;
mod hook;
pub mod name_server;
pub mod policy;
pub mod probe;
mod route;
pub mod settings;
pub mod survey;
pub mod usage;

pub use actor::{Request, WanHandle};
