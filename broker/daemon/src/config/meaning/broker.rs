//! `[broker]`: where clients reach the broker, and who they are.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::super::ConfigError;
use super::super::written::{At, Section};
use crate::scope::{Scope, Scopes};
use crate::server::settings::{BrokerConfig, ListenAddress, MemberConfig, TlsConfig, TokenConfig};

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
    let tokens = tokens(section.sections("tokens")?, "printf %s TOKEN | sha256sum")?;
    let how = "openssl x509 -in FILE -outform der | sha256sum";
    let certificates = self::tokens(section.sections("certificates")?, how)?;
    let loopback_scopes = scopes(&mut section, "loopback_scopes")?;
    let socket_scopes = scopes(&mut section, "socket_scopes")?.unwrap_or(Scopes::READ);
    let users = members(section.sections("users")?)?;
    let groups = match members(section.sections("groups")?)? {
        groups if groups.is_empty() => default_groups(),
        groups => groups,
    };
    let door = Door {
        encrypted: tls.is_some(),
        authenticated: !tokens.is_empty() || tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
        open_to_loopback: loopback_scopes.is_some(),
    };
    let listen = match listen {
        None => vec![ListenAddress::Unix(DEFAULT_SOCKET.into())],
        Some(addresses) if addresses.is_empty() => return Err(section.error("listen: expected at least one address")),
        Some(addresses) => listeners(addresses, door)?,
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
        certificates,
        loopback_scopes,
        socket_scopes,
        users,
        groups,
    })
}

/// Groups that `deploy/install` makes: one that may do everything, and those of the programs that come along, with the least
/// that these need.
fn default_groups() -> Vec<MemberConfig> {
    let sms = Scopes::of(&[Scope::ModemRead, Scope::NetworkRead, Scope::SmsRead, Scope::SmsSend]);
    let voice = Scopes::of(&[Scope::CallRead, Scope::CallControl, Scope::CallAudio]);
    let groups = [
        ("modem-broker", Scopes::ALL),
        ("modem-broker-sms", sms),
        ("modem-broker-voice", voice),
    ];
    groups
        .map(|(name, scopes)| MemberConfig {
            name: name.to_owned(),
            scopes,
            is_default: true,
        })
        .into()
}

fn members(sections: Vec<Section<'_>>) -> Result<Vec<MemberConfig>, ConfigError> {
    let mut members = Vec::new();
    for mut section in sections {
        let name = section.string("name")?.ok_or_else(|| section.missing("name"))?.value;
        let scopes = scopes(&mut section, "scopes")?.ok_or_else(|| section.missing("scopes"))?;
        section.finish()?;
        members.push(MemberConfig {
            name,
            scopes,
            is_default: false,
        });
    }
    Ok(members)
}

fn scopes(section: &mut Section<'_>, name: &'static str) -> Result<Option<Scopes>, ConfigError> {
    let Some(names) = section.strings(name)? else {
        return Ok(None);
    };
    let mut sum = Scopes::NONE;
    for name in names {
        let scopes = name.try_map(|name| {
            Scopes::named(&name).ok_or_else(|| {
                let known: Vec<_> = Scope::ALL.into_iter().map(Scope::name).collect();
                format!("expected \"all\", \"read\" or one of {}", known.join(", "))
            })
        })?;
        sum = sum.and(scopes.value);
    }
    Ok(Some(sum))
}

/// How the TCP listeners are guarded.
#[derive(Clone, Copy)]
struct Door {
    encrypted: bool,
    authenticated: bool,
    open_to_loopback: bool,
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

fn listeners(addresses: Vec<At<'_, String>>, door: Door) -> Result<Vec<ListenAddress>, ConfigError> {
    let Door {
        encrypted,
        authenticated,
        open_to_loopback,
    } = door;
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
        if let ListenAddress::Tcp(tcp) = &listener.value
            && tcp.ip().is_loopback()
            && !authenticated
            && !open_to_loopback
        {
            return Err(address.error(format!(
                "every user and every program of this machine reaches {tcp}: set [[broker.tokens]], or \
                 loopback_scopes = [\"all\"] to let them all do everything"
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
    let client_scopes = scopes(&mut section, "client_scopes")?.unwrap_or(Scopes::ALL);
    section.finish()?;
    Ok(TlsConfig {
        certificate,
        key,
        client_ca,
        client_scopes,
    })
}

fn required_path(section: &mut Section<'_>, name: &'static str) -> Result<PathBuf, ConfigError> {
    section.path(name)?.ok_or_else(|| section.missing(name))
}

/// Hashes with their owners. Without scopes an owner may do everything.
fn tokens(sections: Vec<Section<'_>>, how: &str) -> Result<Vec<TokenConfig>, ConfigError> {
    let mut names = HashSet::new();
    let mut tokens = Vec::new();
    for mut section in sections {
        let name = section.string("name")?.ok_or_else(|| section.missing("name"))?;
        if !names.insert(name.value.clone()) {
            return Err(name.error("this name is used twice"));
        }
        let sha256 = section.string("sha256")?.ok_or_else(|| section.missing("sha256"))?;
        let sha256 = sha256.try_map(|written| {
            sha256_digits(&written).ok_or_else(|| format!("expected 64 hexadecimal digits: {how}"))
        })?;
        let scopes = scopes(&mut section, "scopes")?.unwrap_or(Scopes::ALL);
        section.finish()?;
        tokens.push(TokenConfig {
            name: name.value,
            sha256: sha256.value,
            scopes,
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
