//! Carrying out what the policy decided: routes, name servers, connections, and the hook.

use std::net::IpAddr;

use super::{WanActor, bounded};
use crate::resource::{WanMode, WanRole};
use crate::wan::abort;
use crate::wan::claim::Claim;
use crate::wan::hook::Told;
use crate::wan::route::{self, Ways};
use crate::wan::survey;

fn word(role: WanRole) -> &'static str {
    match role {
        WanRole::Primary => "primary",
        WanRole::Backup => "backup",
        WanRole::None => "none",
    }
}

impl WanActor {
    /// Takes away what an earlier life left: routes and rules by their protocol number, name servers by what was kept. While
    /// another broker leads, nothing there is stale, and it is looked for later.
    pub(super) async fn clean_up(&mut self) {
        let _claim = match Claim::get() {
            Ok(Ok(claim)) => Some(claim),
            Ok(Err(other)) => {
                tracing::info!(
                    "another broker sets this machine's routes; routes left over are removed once it has ended"
                );
                self.other = Some(other);
                return;
            }
            // Nobody can have it, so nobody else leads.
            Err(error) => {
                tracing::debug!(%error, "the claim to lead the traffic cannot be had");
                None
            }
        };
        self.unclean = false;
        let is_off = self.config.mode == WanMode::Off;
        let metric = self.config.metric;
        match bounded(move || route::lead_to_primary(metric)).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(count, "routes and rules of an earlier run were removed"),
            // Without the capability there was none in the earlier life either.
            Err(error) if is_off => tracing::debug!(%error, "could not look for routes of an earlier run"),
            Err(error) => {
                tracing::warn!(%error, "could not remove routes of an earlier run; they may lead traffic nowhere")
            }
        }
        self.restore_name_servers("").await;
    }

    /// The broker that led is gone, or leads no more.
    pub(super) async fn other_gone(&mut self) {
        self.other = None;
        if self.unclean {
            self.clean_up().await;
        }
        if self.policy.role() == WanRole::Backup && self.claim.is_none() {
            self.leading_problem.clear();
            self.lead_to_backup().await;
        }
    }

    /// Claims the traffic; `false` while another broker leads it.
    fn has_claim(&mut self) -> bool {
        if self.claim.is_some() {
            return true;
        }
        match Claim::get() {
            Ok(Ok(claim)) => {
                (self.claim, self.other) = (Some(claim), None);
                true
            }
            Ok(Err(other)) => {
                self.other = Some(other);
                self.leading_problem =
                    "another broker leads the traffic of this machine; set mode = \"off\" in [wan] of one \
                                        of them"
                        .to_owned();
                tracing::error!("another broker sets this machine's routes; this one sets none");
                false
            }
            Err(error) => {
                self.leading_problem = format!("routes were not set: {error}");
                tracing::error!(%error, "could not become the broker that sets this machine's routes");
                false
            }
        }
    }

    async fn restore_name_servers(&mut self, interface: &str) {
        let (servers, interface) = (self.name_servers.clone(), interface.to_owned());
        if let Err(error) = bounded(move || servers.restore(&interface)).await {
            tracing::warn!(%error, "could not put the name servers back");
        }
    }

    /// Leads the traffic.
    pub(super) async fn lead(&mut self, role: WanRole) {
        self.leading_problem.clear();
        let before = self.led.take();
        match role {
            WanRole::Backup => self.lead_to_backup().await,
            WanRole::Primary | WanRole::None => {
                // Given back when everything is gone. Without it nothing there is this broker's.
                let claim = self.claim.take();
                let metric = self.config.metric;
                if claim.is_some()
                    && let Err(error) = bounded(move || route::lead_to_primary(metric)).await
                {
                    self.leading_problem = format!("routes were not removed: {error}");
                    tracing::error!(%error, "could not remove the routes through the modem");
                }
                if let Some(ways) = before {
                    self.restore_name_servers(&ways.backup.name).await;
                    self.abort_connections(ways.backup.addresses).await;
                }
                if !self.unclean {
                    self.other = None;
                }
            }
        }
        self.tell_hook();
    }

    async fn lead_to_backup(&mut self) {
        if !self.has_claim() {
            return;
        }
        match self.ways().await {
            Ok(ways) => {
                let gone = ways
                    .primary
                    .clone()
                    .map(|primary| primary.addresses)
                    .unwrap_or_default();
                self.lead_along(ways).await;
                self.switch_name_servers().await;
                self.abort_connections(gone).await;
            }
            Err(error) => {
                self.leading_problem = format!("could not find the modem's network interface: {error}");
                tracing::error!(%error, "could not find the modem's network interface");
            }
        }
    }

    fn ways(&self) -> impl Future<Output = std::io::Result<Ways>> + Send + use<> {
        let interface = self.snapshots.borrow().bearer.interface.clone();
        let primary = self.primary.as_ref().map(|primary| primary.name.clone());
        let metric = self.config.metric;
        bounded(move || {
            let seen = survey::survey()?;
            let find = |name: &str| seen.iter().find(|seen| seen.name == name).cloned();
            let backup = find(&interface).ok_or(std::io::ErrorKind::NotFound)?;
            Ok(Ways {
                primary: primary.and_then(|name| find(&name)),
                backup,
                metric,
            })
        })
    }

    async fn lead_along(&mut self, ways: Ways) {
        let led = ways.clone();
        match bounded(move || route::lead_to_backup(&led)).await {
            Ok(()) => self.leading_problem.clear(),
            Err(error) => {
                self.leading_problem = format!("routes were not set: {error}");
                tracing::error!(%error, "could not set the routes through the modem");
            }
        }
        self.led = Some(ways);
    }

    /// Follows what changed on either side while everything goes through the modem.
    pub(super) async fn lead_again(&mut self) {
        let Some(led) = &self.led else { return };
        let Ok(ways) = self.ways().await else { return };
        let without_octets = |ways: &Ways| {
            let mut ways = ways.clone();
            ways.backup.octets = (0, 0);
            if let Some(primary) = &mut ways.primary {
                primary.octets = (0, 0);
            }
            ways
        };
        if without_octets(led) != without_octets(&ways) {
            let renumbered = led.backup.addresses != ways.backup.addresses;
            self.lead_along(ways).await;
            if renumbered {
                self.switch_name_servers().await;
            }
        }
    }

    async fn switch_name_servers(&mut self) {
        let servers = self.name_servers.clone();
        let (interface, carrier) = {
            let bearer = &self.snapshots.borrow().bearer;
            let carrier: Vec<IpAddr> = bearer.name_servers.iter().flat_map(|server| server.parse()).collect();
            (bearer.interface.clone(), carrier)
        };
        if let Err(error) = bounded(move || servers.switch(&interface, &carrier)).await {
            self.leading_problem = format!("could not switch the name servers: {error}");
            tracing::error!(%error, "could not switch the name servers");
        }
    }

    async fn abort_connections(&mut self, addresses: Vec<(IpAddr, u8)>) {
        if !self.config.abort_connections || addresses.is_empty() {
            return;
        }
        match bounded(move || abort::abort(&addresses)).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(
                count,
                "connections over the failed way were ended, so that programs connect again"
            ),
            // Without CONFIG_INET_DIAG_DESTROY they end by their own time-outs.
            Err(error) => {
                tracing::warn!(%error, "could not end connections over the failed way; programs may wait for them")
            }
        }
    }

    fn tell_hook(&mut self) {
        let status = self.describe();
        let Some(hook) = &self.hook else { return };
        let before = self.status.borrow().active;
        let told = Told {
            active: word(status.active),
            before: word(before),
            interface: match status.active {
                WanRole::Primary => status.primary_interface,
                WanRole::Backup => status.backup_interface,
                WanRole::None => String::new(),
            },
            reason: status.reason,
        };
        if hook.try_send(told).is_err() {
            tracing::error!("the WAN hook is too slow; it was not told of a change");
        }
    }
}
