//! The addresses of a session on the network interface: those of its settings; where they hold none, an IPv4 address by DHCP
//! and one of IPv6 by router advertisement.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use cellular::packet::{Family, Settings};

use super::{ConnectError, Session, layout};
use crate::modem::settings::{Addresses, DataConfig};
use crate::net;
use crate::net::advertisement::{self, Advertised, AdvertisementError};
use crate::net::dhcp::{self, Lease};
use crate::net::interface::Interface;

/// The kernel solicits every 4 s until a router answers (RFC 4861 10, RTR_SOLICITATION_INTERVAL).
const ADVERTISEMENT_LIMIT: Duration = Duration::from_secs(15);
/// The same beside IPv4, which does not wait for long.
const ADVERTISEMENT_LIMIT_BESIDE: Duration = Duration::from_secs(6);

/// Gives the interface the addresses of the session, with those that its settings do not hold.
pub(super) async fn configure(
    interface: &Interface,
    config: &DataConfig,
    default_route: bool,
    session: &mut Session,
) -> Result<(), ConnectError> {
    if session.has(Family::V4) && wants_lease(config.addresses, &mut session.settings) {
        match lease(interface, &session.settings).await {
            Ok(lease) => {
                session.settings.push(Settings {
                    address_v4: Some(lease.address),
                    name_servers_v4: lease.name_servers.clone(),
                    mtu: lease.mtu,
                    ..Settings::default()
                });
                session.lease = Some(lease);
            }
            Err(error) if session.settings.iter().any(|settings| settings.address_v6.is_some()) => {
                tracing::warn!(interface = interface.name, %error, "no IPv4 address; the data session has IPv6 only");
            }
            Err(error) => return Err(error),
        }
    }
    if session.has(Family::V6)
        && let Some(link_local) = wants_advertisement(config.addresses, &mut session.settings)
    {
        match advertised(interface, link_local, &session.settings).await {
            Ok(advertised) => {
                session.settings.push(Settings {
                    address_v6: Some(advertised.address),
                    name_servers_v6: advertised.name_servers,
                    mtu: advertised.mtu,
                    ..Settings::default()
                });
                session.advertised = Some(advertised.address.0);
            }
            Err(error) if session.settings.iter().any(|settings| settings.address_v4.is_some()) => {
                tracing::warn!(interface = interface.name, %error, "no IPv6 address; the data session has IPv4 only");
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mut layout = layout(&session.settings, default_route.then_some(config.metric));
    layout.mtu = config.mtu.or(layout.mtu);
    layout.is_advertised = session.advertised.is_some();
    if layout.addresses.is_empty() {
        return Err(ConnectError::NoAddress);
    }
    let interface = interface.clone();
    Ok(net::bounded(move || interface.configure(&layout)).await?)
}

/// Whether the address has to come by DHCP. What the settings say does not count then.
fn wants_lease(addresses: Addresses, settings: &mut [Settings]) -> bool {
    match addresses {
        Addresses::Settings => false,
        Addresses::Auto => settings.iter().all(|settings| settings.address_v4.is_none()),
        Addresses::Dhcp => {
            for settings in settings {
                (settings.address_v4, settings.gateway_v4) = (None, None);
                settings.name_servers_v4.clear();
            }
            true
        }
    }
}

/// Whether the IPv6 address has to come by router advertisement. What the settings say does not count then, but for an
/// address of the link, which says how ours is formed.
fn wants_advertisement(addresses: Addresses, settings: &mut [Settings]) -> Option<Option<Ipv6Addr>> {
    let told = settings.iter().filter_map(|settings| settings.address_v6);
    let (of_the_link, global): (Vec<_>, Vec<_>) = told.partition(|(address, _)| address.is_unicast_link_local());
    match addresses {
        Addresses::Settings => return None,
        Addresses::Auto if !global.is_empty() => return None,
        Addresses::Auto => {}
        Addresses::Dhcp => {
            for settings in settings.iter_mut() {
                settings.name_servers_v6.clear();
            }
        }
    }
    for settings in settings {
        (settings.address_v6, settings.gateway_v6) = (None, None);
    }
    Some(of_the_link.first().map(|(address, _)| *address))
}

async fn advertised(
    interface: &Interface,
    link_local: Option<Ipv6Addr>,
    settings: &[Settings],
) -> Result<Advertised, AdvertisementError> {
    let limit = match settings.iter().any(|settings| settings.address_v4.is_some()) {
        true => ADVERTISEMENT_LIMIT_BESIDE,
        false => ADVERTISEMENT_LIMIT,
    };
    advertisement::acquire(&interface.name, link_local, limit).await
}

/// Takes the interface up to ask for an address.
async fn lease(interface: &Interface, settings: &[Settings]) -> Result<Lease, ConnectError> {
    let (address, prefix) = dhcp::BOOTSTRAP;
    let mut layout = layout(settings, None);
    layout.addresses.push((IpAddr::from(address), prefix));
    let asking = interface.clone();
    net::bounded(move || asking.configure(&layout)).await?;
    Ok(dhcp::acquire(&interface.name).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(address: &str) -> Settings {
        Settings {
            address_v4: Some(([10, 64, 0, 2].into(), 30)),
            address_v6: address.parse().ok().map(|address| (address, 64)),
            name_servers_v6: vec![Ipv6Addr::LOCALHOST],
            ..Settings::default()
        }
    }

    /// An address that reaches no further than the link is none to go out with: it says what the other one is formed of.
    #[test]
    fn the_router_is_asked_where_no_ipv6_address_is_told_that_leads_out() {
        let told = "2001:db8:0:1::2";
        let of_the_link = "fe80::2".parse().ok();
        for (addresses, address, expected) in [
            (Addresses::Auto, told, None),
            (Addresses::Auto, "", Some(None)),
            (Addresses::Auto, "fe80::2", Some(of_the_link)),
            (Addresses::Dhcp, told, Some(None)),
            (Addresses::Dhcp, "fe80::2", Some(of_the_link)),
            (Addresses::Settings, "", None),
            (Addresses::Settings, "fe80::2", None),
        ] {
            let before = settings(address);
            let mut after = [before.clone()];
            assert_eq!(
                wants_advertisement(addresses, &mut after),
                expected,
                "{addresses:?} {address}"
            );
            let left = if expected.is_some() { None } else { before.address_v6 };
            assert_eq!((after[0].address_v4, after[0].address_v6), (before.address_v4, left));
            assert_eq!(
                after[0].name_servers_v6.is_empty(),
                addresses == Addresses::Dhcp,
                "{addresses:?}"
            );
        }
    }
}
