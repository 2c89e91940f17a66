//! The profiles that the modem keeps for data sessions: its contexts, as `AT+CGDCONT` has them.

use super::tlv::Tlvs;
use super::{DecodeError, Refusal, Request, Response, Service};

/// Profiles of 3GPP networks.
const TYPE_3GPP: u8 = 0;

/// Asks which there are.
#[must_use]
pub fn get_profile_list() -> Request {
    Request::new(Service::WDS, 0x002A, Tlvs::default().with_u8(0x10, TYPE_3GPP))
}

/// Reads the answer to [`get_profile_list`]: their indices.
pub fn profile_list(response: &Response) -> Result<Vec<u8>, Refusal> {
    response.result()?;
    let mut list = response.tlvs.need(0x01)?;
    let count = list.u8()?;
    let profile = |_| -> Result<Option<u8>, DecodeError> {
        let (kind, index) = (list.u8()?, list.u8()?);
        list.short_octets()?;
        Ok((kind == TYPE_3GPP).then_some(index))
    };
    let all = (0..count).map(profile).collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().flatten().collect())
}

/// The addresses that a session of a profile asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PdpType {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Both.
    V4V6,
    /// Something else.
    Other(u8),
}

/// A profile, without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What somebody called it.
    pub name: String,
    /// Which addresses.
    pub pdp_type: Option<PdpType>,
    /// Access point name.
    pub apn: String,
    /// User name.
    pub user: String,
    /// Whether a session of it may not roam.
    pub roaming_disallowed: Option<bool>,
}

/// Asks for a profile.
#[must_use]
pub fn get_profile_settings(index: u8) -> Request {
    Request::new(Service::WDS, 0x002B, Tlvs::default().with(0x01, &[TYPE_3GPP, index]))
}

/// Reads the answer to [`get_profile_settings`].
pub fn profile_settings(response: &Response) -> Result<Profile, Refusal> {
    response.result()?;
    let text = |kind| response.tlvs.find(kind).map(|text| text.text()).unwrap_or_default();
    let octet = |kind| response.tlvs.find(kind).map(|mut octet| octet.u8()).transpose();
    Ok(Profile {
        name: text(0x10),
        pdp_type: octet(0x11)?.map(|number| match number {
            0 => PdpType::V4,
            2 => PdpType::V6,
            3 => PdpType::V4V6,
            other => PdpType::Other(other),
        }),
        apn: text(0x14),
        user: text(0x1B),
        roaming_disallowed: octet(0x3E)?.map(|disallowed| disallowed != 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(tlvs: Tlvs) -> Response {
        Response {
            tlvs: tlvs.with(0x02, &[0; 4]),
        }
    }

    #[test]
    fn profiles_of_other_networks_are_left_out() {
        let list = [3, 0, 1, 1, b'a', 1, 101, 0, 0, 2, 2, b'b', b'c'];
        assert_eq!(profile_list(&answer(Tlvs::default().with(0x01, &list))), Ok(vec![1, 2]));
        let cut = answer(Tlvs::default().with(0x01, &list[..9]));
        assert_eq!(
            profile_list(&cut),
            Err(Refusal::Unreadable(DecodeError::Short { kind: 0x01 }))
        );
    }

    #[test]
    fn a_profile_is_read_as_far_as_it_is_told() {
        let tlvs = Tlvs::default()
            .with_u8(0x3E, 1)
            .with(0x1C, b"secret")
            .with(0x14, b"internet")
            .with_u8(0x11, 3);
        let profile = Profile {
            name: String::new(),
            pdp_type: Some(PdpType::V4V6),
            apn: "internet".to_owned(),
            user: String::new(),
            roaming_disallowed: Some(true),
        };
        assert_eq!(profile_settings(&answer(tlvs)), Ok(profile));
    }
}
