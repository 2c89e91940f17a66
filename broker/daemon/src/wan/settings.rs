//! What the choice of the WAN is told.

use std::path::PathBuf;
use std::time::Duration;

use super::name_server::Resolver;
use super::policy::Timing;
use super::probe::{PortalCheck, Target};
use crate::resource::WanMode;

/// `[wan]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WanConfig {
    /// How the modem's data is used.
    pub mode: WanMode,
    /// The modem that is the backup; the only one if none.
    pub modem: Option<String>,
    /// The primary's interface; found if none.
    pub primary: Option<String>,
    /// How fast the primary is judged.
    pub timing: Timing,
    /// What answers probes; at least one.
    pub targets: Vec<Target>,
    /// Whether the primary's name servers are probed too.
    pub probe_names: bool,
    /// The name that they are asked for.
    pub probe_name: String,
    /// A page that is empty where the internet is.
    pub portal_check: Option<PortalCheck>,
    /// Metric with which everything goes through the modem.
    pub metric: u32,
    /// Whether connections of an address that leads nowhere are aborted.
    pub abort_connections: bool,
    /// Who answers this machine's questions; found out if none.
    pub resolver: Option<Resolver>,
    /// The machine's name servers.
    pub resolv_conf: PathBuf,
    /// A program and its arguments that is run at each change.
    pub hook: Option<Vec<String>>,
    /// How long it may take.
    pub hook_timeout: Duration,
    /// Octets that a period allows.
    pub cap: Option<u64>,
    /// The day of the month on which a period begins.
    pub cap_day: i8,
}
