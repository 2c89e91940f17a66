//! What is probed through either way.

use std::time::Duration;

use super::WanActor;
use crate::wan::policy::{Burst, Round};
use crate::wan::probe::{self, Plan};

impl WanActor {
    pub(super) fn plan(&self, round: Round) -> Plan {
        let primary = self.primary.clone().unwrap_or_default();
        let fits = |is_v6: bool| primary.routes(is_v6);
        let carrier = &self.snapshots.borrow().bearer.name_servers;
        let servers = match self.config.probe_names {
            true => self.name_servers.of_primary(),
            false => Vec::new(),
        };
        let timing = &self.config.timing;
        Plan {
            targets: self
                .config
                .targets
                .iter()
                .copied()
                .filter(|target| fits(target.address().is_ipv6()))
                .collect(),
            name_servers: servers
                .into_iter()
                .filter(|server| fits(server.is_ipv6()) && !carrier.contains(&server.to_string()))
                .collect(),
            interface: primary.name,
            name: self.config.probe_name.clone(),
            portal: self.config.portal_check.clone(),
            burst: match round {
                Round::Burst => timing.burst,
                Round::Single => Burst {
                    volleys: 1,
                    spacing: Duration::ZERO,
                    limit: timing.timeout,
                },
            },
        }
    }

    /// Through the modem every octet is paid for: two targets of the family that it has.
    pub(super) fn backup_plan(&self) -> Plan {
        let bearer = &self.snapshots.borrow().bearer;
        let has_v6 = bearer.addresses.iter().any(|address| address.contains(':'));
        let has_v4 = bearer.addresses.iter().any(|address| address.contains('.'));
        let fits = |target: &probe::Target| if target.address().is_ipv6() { has_v6 } else { has_v4 };
        Plan {
            interface: bearer.interface.clone(),
            targets: self.config.targets.iter().copied().filter(fits).take(2).collect(),
            name_servers: Vec::new(),
            name: self.config.probe_name.clone(),
            portal: None,
            burst: probe::BACKUP_LIMIT,
        }
    }
}
