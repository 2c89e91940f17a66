//! The addresses of a session on the network interface: those of its settings, and an IPv4 address by DHCP where they hold none.

use std::net::IpAddr;

use ::modem::qmi::wds::{Family, Settings};

use super::{ConnectError, Session, blocking, layout};
use crate::config::{Addresses, DataConfig};
use crate::wan::dhcp::{self, Lease};
use crate::wan::interface::Interface;

/// Gives the interface the addresses of the session, with one by DHCP where its settings hold none for IPv4.
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
                tracing::warn!(interface = interface.name, %error, "IPv6 only");
            }
            Err(error) => return Err(error),
        }
    }
    let mut layout = layout(&session.settings, default_route.then_some(config.metric));
    layout.mtu = config.mtu.or(layout.mtu);
    if layout.addresses.is_empty() {
        return Err(ConnectError::NoAddress);
    }
    let interface = interface.clone();
    Ok(blocking(move || interface.configure(&layout)).await?)
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

/// Takes the interface up to ask for an address.
async fn lease(interface: &Interface, settings: &[Settings]) -> Result<Lease, ConnectError> {
    let (address, prefix) = dhcp::BOOTSTRAP;
    let mut layout = layout(settings, None);
    layout.addresses.push((IpAddr::from(address), prefix));
    let asking = interface.clone();
    blocking(move || asking.configure(&layout)).await?;
    Ok(dhcp::acquire(&interface.name).await?)
}
