//! The packet side: the IMS and the bearer.

use api::v1;

use super::known_time;
use crate::resource::{Bearer, BearerState, Ims, ImsRegistration, ImsService, Persistence};

/// The registration with the IMS.
pub(super) fn ims(ims: &Ims) -> v1::Ims {
    let registration = match ims.registration {
        None => v1::ImsRegistration::Unspecified,
        Some(ImsRegistration::NotRegistered) => v1::ImsRegistration::NotRegistered,
        Some(ImsRegistration::Registering) => v1::ImsRegistration::Registering,
        Some(ImsRegistration::Registered) => v1::ImsRegistration::Registered,
        Some(ImsRegistration::Limited) => v1::ImsRegistration::Limited,
    };
    let service = |service: Option<ImsService>| match service {
        None => v1::ImsService::Unspecified,
        Some(ImsService::Unavailable) => v1::ImsService::Unavailable,
        Some(ImsService::Limited) => v1::ImsService::Limited,
        Some(ImsService::Available) => v1::ImsService::Available,
    };
    v1::Ims {
        registration: registration.into(),
        voice: service(ims.voice).into(),
        sms: service(ims.sms).into(),
        detail: ims.detail.clone(),
    }
}

/// A data bearer.
pub(in crate::server) fn bearer(modem: &str, bearer: &Bearer) -> v1::Bearer {
    let state = match bearer.state {
        BearerState::NotReady => v1::BearerState::NotReady,
        BearerState::Disconnected => v1::BearerState::Disconnected,
        BearerState::Connecting => v1::BearerState::Connecting,
        BearerState::Connected => v1::BearerState::Connected,
        BearerState::Disconnecting => v1::BearerState::Disconnecting,
    };
    let persistence = match bearer.persistence {
        None => v1::FailurePersistence::Unspecified,
        Some(Persistence::Transient) => v1::FailurePersistence::Transient,
        Some(Persistence::Permanent) => v1::FailurePersistence::Permanent,
    };
    v1::Bearer {
        modem: modem.to_owned(),
        state: state.into(),
        interface: bearer.interface.clone(),
        addresses: bearer.addresses.clone(),
        name_servers: bearer.name_servers.clone(),
        apn: bearer.apn.clone(),
        detail: bearer.detail.clone(),
        persistence: persistence.into(),
        mtu: bearer.mtu,
        state_time: known_time(bearer.state_time),
    }
}
