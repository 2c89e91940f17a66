//! `[broker]`: where clients reach the broker, and who they are.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::super::written::{At, Section};
use super::super::{BrokerConfig, ConfigError, ListenAddress, TlsConfig, TokenConfig};
const DEFAULT_SOCKET: &str = "/run/modem-broker/broker.sock";
const DEFAULT_STATE_DIRECTORY: &str = "/var/lib/modem-broker";
const DEFAULT_LOCK_DIRECTORY: &str = "/run/lock";

pub(super) fn broker(mut section: Section<'_>) -> Result<BrokerConfig, ConfigError> {
    let listen = section.strings("listen")?;
    let state_directory = section
        .path("state_directory")?
        .unwrap_or_else(|| DEFAULT_STATE_DIRECTORY.into());
    let lock_directory = section
        .path("lock_directory")?
        .unwrap_or_else(|| DEFAULT_LOCK_DIRECTORY.into());
    let socket_mode = match section.string("socket_mode")? {
        Some(mode) => mode.try_map(|mode| socket_mode(&mode))?.value,
        None => 0o660,
    };
    let socket_group = section.string("socket_group")?.map(|group| group.value);
    let tls = section.optional_section("tls")?.map(tls).transpose()?;
    let tokens = tokens(section.sections("tokens")?)?;
    let authenticated = !tokens.is_empty() || tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let listen = match listen {
        None => vec![ListenAddress::Unix(DEFAULT_SOCKET.into())],
        Some(addresses) if addresses.is_empty() => return Err(section.error("listen: expected at least one address")),
        Some(addresses) => listeners(addresses, tls.is_some(), authenticated)?,
    };
    section.finish()?;
    Ok(BrokerConfig {
        listen,
        state_directory,
        lock_directory,
        socket_mode,
        socket_group,
        tls,
        tokens,
    })
}

fn socket_mode(written: &str) -> Result<u32, &'static str> {
    let problem = "expected three or four octal digits such as \"0660\"";
    let mode = u32::from_str_radix(written, 8).map_err(|_| problem)?;
    if !(3..=4).contains(&written.len()) || mode > 0o777 {
        return Err(problem);
    }
    if mode & 0o600 != 0o600 {
        return Err("the owner has to be able to read and write");
    }
    Ok(mode)
}

fn listeners(
    addresses: Vec<At<'_, String>>,
    encrypted: bool,
    authenticated: bool,
) -> Result<Vec<ListenAddress>, ConfigError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = address.clone().try_map(|address| listen_address(&address))?;
        if listeners.contains(&listener.value) {
            return Err(address.error("this address is listed twice"));
        }
        if let ListenAddress::Tcp(tcp) = &listener.value
            && !tcp.ip().is_loopback()
            && !(encrypted && authenticated)
        {
            let missing = match (encrypted, authenticated) {
                (false, true) => "set [broker.tls] certificate and key",
                (true, false) => "set [[broker.tokens]] or broker.tls.client_ca",
                _ => "set [broker.tls] certificate and key, and [[broker.tokens]] or broker.tls.client_ca",
            };
            return Err(address.error(format!(
                "{tcp} can be reached from the network, which needs TLS and authentication: {missing}; or listen on \
                 127.0.0.1"
            )));
        }
        listeners.push(listener.value);
    }
    Ok(listeners)
}

fn listen_address(written: &str) -> Result<ListenAddress, &'static str> {
    let expected = "expected \"unix:/PATH\" or \"tcp:ADDRESS:PORT\", such as \"tcp:127.0.0.1:7700\"";
    match written.split_once(':') {
        Some(("unix", path)) if path.starts_with('/') => Ok(ListenAddress::Unix(path.into())),
        Some(("tcp", address)) => address
            .parse::<SocketAddr>()
            .map(ListenAddress::Tcp)
            .map_err(|_| expected),
        _ => Err(expected),
    }
}

fn tls(mut section: Section<'_>) -> Result<TlsConfig, ConfigError> {
    let certificate = required_path(&mut section, "certificate")?;
    let key = required_path(&mut section, "key")?;
    let client_ca = section.path("client_ca")?;
    section.finish()?;
    Ok(TlsConfig {
        certificate,
        key,
        client_ca,
    })
}

fn required_path(section: &mut Section<'_>, name: &'static str) -> Result<PathBuf, ConfigError> {
    section.path(name)?.ok_or_else(|| section.missing(name))
}

fn tokens(sections: Vec<Section<'_>>) -> Result<Vec<TokenConfig>, ConfigError> {
    let mut names = HashSet::new();
    let mut tokens = Vec::new();
    for mut section in sections {
        let name = section.string("name")?.ok_or_else(|| section.missing("name"))?;
        if !names.insert(name.value.clone()) {
            return Err(name.error("this name is used twice"));
        }
        let sha256 = section.string("sha256")?.ok_or_else(|| section.missing("sha256"))?;
        let sha256 = sha256.try_map(|written| {
            sha256_digits(&written).ok_or("expected 64 hexadecimal digits: printf %s TOKEN | sha256sum")
        })?;
        section.finish()?;
        tokens.push(TokenConfig {
            name: name.value,
            sha256: sha256.value,
        });
    }
    Ok(tokens)
}

fn sha256_digits(written: &str) -> Option<[u8; 32]> {
    if written.len() != 64 || !written.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(written.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(hash)
}
