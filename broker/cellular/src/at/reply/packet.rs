//! Replies about packet data (27.007 clause 10).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::line::Arguments;
use super::{UnexpectedReply, rows};

/// `<PDP_type>` (27.007 10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PdpType {
    /// `IP`
    Ipv4,
    /// `IPV6`
    Ipv6,
    /// `IPV4V6`
    Ipv4v6,
}

impl PdpType {
    /// As the commands write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "IP",
            Self::Ipv6 => "IPV6",
            Self::Ipv4v6 => "IPV4V6",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Ipv4, Self::Ipv6, Self::Ipv4v6]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }
}

/// A PDP context definition: `+CGDCONT?` (27.007 10.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PdpContext {
    /// `<cid>`
    pub id: u8,
    /// `<PDP_type>`; `None` for one that is no IP.
    pub pdp_type: Option<PdpType>,
    /// `<APN>`; empty means that the network chooses.
    pub apn: String,
}

/// `+CGDCONT?`. An empty list means that nothing is defined.
#[must_use]
pub fn pdp_contexts(lines: &[impl AsRef<str>]) -> Vec<PdpContext> {
    let parse = |arguments: Arguments<'_>| {
        Some(PdpContext {
            id: arguments.at(0).number()?,
            pdp_type: PdpType::parse(arguments.at(1).text()),
            apn: arguments.at(2).text().to_owned(),
        })
    };
    rows(lines, "+CGDCONT").filter_map(parse).collect()
}

/// `+CGAUTH?`: each context id, its `<auth_type>` and its user. No firmware tells the password.
#[must_use]
pub fn context_authentications(lines: &[impl AsRef<str>]) -> Vec<(u8, u8, String)> {
    let parse = |arguments: Arguments<'_>| {
        let authentication = arguments.at(1).number()?;
        Some((
            arguments.at(0).number()?,
            authentication,
            arguments.at(2).text().to_owned(),
        ))
    };
    rows(lines, "+CGAUTH").filter_map(parse).collect()
}

/// `+CGDCONT=?`: for each IP type the range of context ids.
#[must_use]
pub fn pdp_context_ranges(lines: &[impl AsRef<str>]) -> Vec<(PdpType, u32, u32)> {
    let parse = |arguments: Arguments<'_>| {
        let pdp_type = PdpType::parse(arguments.at(1).text())?;
        let (low, high) = *arguments.at(0).ranges()?.first()?;
        Some((pdp_type, low, high))
    };
    rows(lines, "+CGDCONT").filter_map(parse).collect()
}

/// `+CGACT?` (27.007 10.1.10): each context id and whether it is active.
#[must_use]
pub fn pdp_activations(lines: &[impl AsRef<str>]) -> Vec<(u8, bool)> {
    let parse = |arguments: Arguments<'_>| {
        let active = arguments.at(1).number::<u8>().filter(|state| *state <= 1)? == 1;
        Some((arguments.at(0).number()?, active))
    };
    rows(lines, "+CGACT").filter_map(parse).collect()
}

/// `+CGPADDR` (27.007 10.1.14): each context id and its addresses. 0.0.0.0 stands for none.
#[must_use]
pub fn pdp_addresses(lines: &[impl AsRef<str>]) -> Vec<(u8, Vec<IpAddr>)> {
    let parse = |arguments: Arguments<'_>| {
        let addresses = arguments.iter().skip(1).filter_map(|argument| address(argument.text()));
        Some((
            arguments.at(0).number()?,
            addresses.filter(|ip| !ip.is_unspecified()).collect(),
        ))
    };
    rows(lines, "+CGPADDR").filter_map(parse).collect()
}

/// What the network assigned to an active context: `+CGCONTRDP` (27.007 10.1.23).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicParameters {
    /// `<cid>`
    pub id: u8,
    /// `<bearer_id>`
    pub bearer: Option<u8>,
    /// `<apn>`, which ends in the operator's identifier.
    pub apn: String,
    /// The local address.
    pub local_address: Option<IpAddr>,
    /// The subnet mask.
    pub subnet_mask: Option<IpAddr>,
    /// `<gw_addr>`
    pub gateway: Option<IpAddr>,
    /// `<DNS_prim_addr>`
    pub primary_dns: Option<IpAddr>,
    /// `<DNS_sec_addr>`
    pub secondary_dns: Option<IpAddr>,
}

/// `+CGCONTRDP`: one row per context, two for a context with two address families.
///
/// # Errors
/// [`UnexpectedReply`] without a row.
pub fn dynamic_parameters(lines: &[impl AsRef<str>]) -> Result<Vec<DynamicParameters>, UnexpectedReply> {
    let found: Vec<_> = rows(lines, "+CGCONTRDP")
        .filter_map(|arguments| dynamic_row(&arguments))
        .collect();
    if found.is_empty() {
        Err(UnexpectedReply { command: "+CGCONTRDP" })
    } else {
        Ok(found)
    }
}

fn dynamic_row(arguments: &Arguments<'_>) -> Option<DynamicParameters> {
    let (local_address, joined_mask) = address_and_mask(arguments.at(3).text());
    // Up to 27.007 V9.4 address and mask are two fields; from then on they are one, joined by a dot.
    let own_mask = address(arguments.at(4).text()).filter(is_mask);
    let next = if joined_mask.is_none() && own_mask.is_some() {
        5
    } else {
        4
    };
    let at = |offset: usize| address(arguments.at(next + offset).text());
    Some(DynamicParameters {
        id: arguments.at(0).number()?,
        bearer: arguments.at(1).number(),
        apn: arguments.at(2).text().to_owned(),
        local_address,
        subnet_mask: joined_mask.or(own_mask),
        gateway: at(0),
        primary_dns: at(1),
        secondary_dns: at(2),
    })
}

fn is_mask(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(mask) => {
            mask.to_bits() != 0 && mask.to_bits().leading_ones() + mask.to_bits().trailing_zeros() == 32
        }
        IpAddr::V6(_) => false,
    }
}

/// An address in the usual notation, or an IPv6 address in the dotted decimal notation of 27.007 10.1.1.
fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| from_octets(&octets(text)?))
}

fn address_and_mask(text: &str) -> (Option<IpAddr>, Option<IpAddr>) {
    if let Some(plain) = address(text) {
        return (Some(plain), None);
    }
    match octets(text) {
        Some(octets) if octets.len() == 8 || octets.len() == 32 => {
            let (address, mask) = octets.split_at(octets.len() / 2);
            (from_octets(address), from_octets(mask))
        }
        _ => (None, None),
    }
}

fn octets(text: &str) -> Option<Vec<u8>> {
    text.split('.').map(|octet| octet.parse().ok()).collect()
}

fn from_octets(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets)
            .ok()
            .map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(octets)
            .ok()
            .map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

/// What happened to packet data: `+CGEV` (27.007 10.1.19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PdpEvent {
    /// What happened.
    pub kind: PdpEventKind,
    /// `<cid>`, where the event names a context.
    pub id: Option<u8>,
    /// The primary context of a secondary one.
    pub primary: Option<u8>,
}

/// The kinds of [`PdpEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PdpEventKind {
    /// `REJECT`: a network request for activation was rejected.
    Rejected,
    /// `NW REACT`: the network asked for reactivation.
    NetworkReactivated,
    /// `NW DEACT <type>` or `NW PDN DEACT`: the network deactivated a context.
    NetworkDeactivated,
    /// `ME DEACT <type>` or `ME PDN DEACT`: the modem deactivated a context.
    ModemDeactivated,
    /// `NW PDN ACT`
    NetworkActivated,
    /// `ME PDN ACT`
    ModemActivated,
    /// `NW ACT`: a secondary context.
    NetworkActivatedSecondary,
    /// `ME ACT`: a secondary context.
    ModemActivatedSecondary,
    /// `NW DEACT <p_cid>,<cid>,…`: a secondary context.
    NetworkDeactivatedSecondary,
    /// `ME DEACT <p_cid>,<cid>,…`: a secondary context.
    ModemDeactivatedSecondary,
    /// `NW DETACH`: the network detached the modem; every context is gone.
    NetworkDetached,
    /// `ME DETACH`: the modem detached; every context is gone.
    ModemDetached,
    /// `NW CLASS`
    NetworkClass,
    /// `ME CLASS`
    ModemClass,
    /// `NW MODIFY` or `ME MODIFY`
    Modified,
}

impl PdpEvent {
    /// Reads what follows `+CGEV:`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        use PdpEventKind as Kind;
        const FORMS: [(&str, Kind); 15] = [
            ("REJECT", Kind::Rejected),
            ("NW REACT", Kind::NetworkReactivated),
            ("NW PDN DEACT", Kind::NetworkDeactivated),
            ("ME PDN DEACT", Kind::ModemDeactivated),
            ("NW PDN ACT", Kind::NetworkActivated),
            ("ME PDN ACT", Kind::ModemActivated),
            ("NW ACT", Kind::NetworkActivatedSecondary),
            ("ME ACT", Kind::ModemActivatedSecondary),
            ("NW DETACH", Kind::NetworkDetached),
            ("ME DETACH", Kind::ModemDetached),
            ("NW CLASS", Kind::NetworkClass),
            ("ME CLASS", Kind::ModemClass),
            ("NW MODIFY", Kind::Modified),
            ("ME MODIFY", Kind::Modified),
            ("PDN DEACT", Kind::NetworkDeactivated),
        ];
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("NW DEACT") {
            return Self::deactivation(rest, Kind::NetworkDeactivated, Kind::NetworkDeactivatedSecondary);
        }
        if let Some(rest) = text.strip_prefix("ME DEACT") {
            return Self::deactivation(rest, Kind::ModemDeactivated, Kind::ModemDeactivatedSecondary);
        }
        let (kind, rest) = FORMS
            .iter()
            .find_map(|(form, kind)| Some((*kind, text.strip_prefix(form)?)))?;
        let arguments = Arguments::parse(rest);
        let (id, primary) = match kind {
            Kind::NetworkActivatedSecondary | Kind::ModemActivatedSecondary => {
                (arguments.at(1).number(), arguments.at(0).number())
            }
            // `<PDP_type>, <PDP_addr>[, <cid>]`
            Kind::Rejected | Kind::NetworkReactivated => (arguments.at(2).number(), None),
            _ => (arguments.at(0).number(), None),
        };
        Some(Self { kind, id, primary })
    }

    /// `<PDP_type>, <PDP_addr>[, <cid>]` for a primary context, `<p_cid>, <cid>, <event_type>` for a secondary one.
    fn deactivation(rest: &str, primary: PdpEventKind, secondary: PdpEventKind) -> Option<Self> {
        let arguments = Arguments::parse(rest);
        Some(match arguments.at(0).number() {
            Some(parent) => Self {
                kind: secondary,
                id: arguments.at(1).number(),
                primary: Some(parent),
            },
            None => Self {
                kind: primary,
                id: arguments.at(2).number(),
                primary: None,
            },
        })
    }
}
