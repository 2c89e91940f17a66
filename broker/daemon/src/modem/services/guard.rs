//! Which requests may be made by hand. The broker relies on what it has told the modem, and some requests cost money or an
//! attempt of the PIN: for these it has requests of its own.

use std::time::Duration;

use cellular::qmi::{Endpoint, Request, Service, Tlvs};

use super::requests::name_of;
use crate::refusal::Refusal;

/// Which messages of a service are denied.
enum Denied {
    /// Everything.
    All,
    /// These.
    Messages(&'static [u16]),
    /// This one if it has one of these TLVs.
    With(u16, &'static [u8]),
    /// This one about a profile with an index up to this.
    Profile(u16, u8),
}

use Denied::{All, Messages, Profile, With};

/// Contexts up to this one are the carrier's and the IMS's, and the broker writes them.
const PROFILES_OWN: u8 = 3;

/// Why, with what serves instead.
const TABLE: &[(Service, Denied, &str)] = &[
    (
        Service::CTL,
        All,
        "the broker has the client ids of its services, and a sync would take them away from everybody; the list of \
         services is ListQmiServices",
    ),
    (
        Service::WDS,
        Messages(&[0x0000, 0x0002, 0x0020, 0x0021]),
        "sessions are those of ConnectBearer and DisconnectBearer",
    ),
    (
        Service::WDS,
        Messages(&[0x004D, 0x0089, 0x00A2, 0x00AF]),
        "the broker has one session for each IP family on one interface",
    ),
    (
        Service::WDS,
        Messages(&[0x004A, 0x0051, 0x0093]),
        "a session that the firmware starts by itself ignores the roaming guard and the data cap, and makes other starts \
         fail; the WAN mode always_on keeps one up",
    ),
    (
        Service::WDS,
        Profile(0x0028, PROFILES_OWN),
        "the broker writes the first three profiles; set data_apn and ims_apn in [modem.carrier]",
    ),
    (
        Service::WDS,
        Profile(0x0029, PROFILES_OWN),
        "the broker writes the first three profiles; set data_apn and ims_apn in [modem.carrier]",
    ),
    (
        Service::DMS,
        Messages(&[0x0000, 0x002E]),
        "use SetFunctionality or ResetModem, which wait for calls",
    ),
    (
        Service::DMS,
        Messages(&[0x0027, 0x0028, 0x0029, 0x002A, 0x0040, 0x0041, 0x0042]),
        "use SimService, which counts the attempts of PIN and PUK",
    ),
    (
        Service::DMS,
        Messages(&[
            0x0032, 0x0033, 0x0035, 0x0036, 0x0038, 0x003A, 0x003E, 0x0048, 0x004A, 0x0050, 0x0052,
        ]),
        "it may leave a module that only its maker can repair",
    ),
    (
        Service::NAS,
        Messages(&[0x0000, 0x0001, 0x0022, 0x0067]),
        "use SelectOperator",
    ),
    (
        Service::NAS,
        Messages(&[0x0023]),
        "the module is attached for calls and messages over LTE; DisconnectBearer ends data",
    ),
    (
        Service::NAS,
        Messages(&[0x0021, 0x0085]),
        "use ScanOperators, which gives way to calls",
    ),
    (
        Service::NAS,
        Messages(&[0x0050, 0x006C]),
        "the broker has set the thresholds of the signal; see GetSignalHistory",
    ),
    (
        Service::NAS,
        With(0x0033, &[0x11, 0x16, 0x1E]),
        "technologies and operator are those of SetNetworkModes and SelectOperator; other preferences are allowed",
    ),
    (
        Service::WMS,
        Messages(&[0x0020, 0x0042]),
        "use SendMessage, which counts what is sent and never sends it twice",
    ),
    (
        Service::WMS,
        Messages(&[0x0000, 0x0022, 0x0023, 0x0024, 0x0032, 0x0037]),
        "messages are the broker's until they are stored: use ListMessages",
    ),
    (
        Service(0x09),
        All,
        "calls and USSD are those of VoiceService and UssdService",
    ),
    (
        Service::UIM,
        Messages(&[0x0025, 0x0026, 0x0027, 0x0028, 0x0029, 0x005D]),
        "use SimService, which counts the attempts of PIN and PUK",
    ),
    (
        Service::UIM,
        Messages(&[0x0000, 0x0030, 0x0031, 0x0038, 0x0046]),
        "use RestartSim, which waits for calls and messages",
    ),
    (
        Service::WDA,
        Messages(&[0x0020, 0x002F]),
        "the broker and the driver agree on raw IP; with another format every packet is lost",
    ),
];

/// A request that somebody built, on a client id apart from the broker's.
pub fn by_hand(service: Service, id: u16, tlvs: Tlvs, limit: Duration) -> Result<Request, Refusal> {
    let request = Request {
        endpoint: Endpoint::by_hand(service),
        id,
        tlvs,
        limit,
    };
    match TABLE
        .iter()
        .find(|(denied, what, _)| *denied == service && what.is(&request))
    {
        Some((_, _, instead)) => Err(Refusal::QmiRequestDenied {
            what: name_of(&request),
            instead,
        }),
        None => Ok(request),
    }
}

impl Denied {
    fn is(&self, request: &Request) -> bool {
        match self {
            All => true,
            Messages(messages) => messages.contains(&request.id),
            With(message, kinds) => {
                request.id == *message && kinds.iter().any(|kind| request.tlvs.find(*kind).is_some())
            }
            Profile(message, last) => {
                let index = request
                    .tlvs
                    .find(0x01)
                    .and_then(|profile| profile.octets().get(1).copied());
                request.id == *message && index.is_none_or(|index| index <= *last)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_relies_on_is_denied_and_what_only_reads_is_not() {
        let empty = Tlvs::default;
        for (service, id, tlvs, allowed) in [
            (Service::CTL, 0x0021, empty(), false),
            (Service::CTL, 0x0027, empty(), false),
            (Service::WDS, 0x0020, empty(), false),
            (Service::WDS, 0x0022, empty(), true),
            (Service::WDS, 0x0027, empty(), true),
            (Service::WDS, 0x0028, empty().with(0x01, &[0, 1]), false),
            (Service::WDS, 0x0028, empty().with(0x01, &[0, 4]), true),
            (Service::WDS, 0x0029, empty(), false),
            (Service::DMS, 0x0020, empty(), true),
            (Service::DMS, 0x0028, empty(), false),
            (Service::DMS, 0x002E, empty(), false),
            (Service::NAS, 0x0033, empty().with(0x14, &[1, 0]), true),
            (
                Service::NAS,
                0x0033,
                empty().with(0x14, &[1, 0]).with(0x11, &[16, 0]),
                false,
            ),
            (Service::NAS, 0x004D, empty(), true),
            (Service::WMS, 0x0031, empty(), true),
            (Service::WMS, 0x0024, empty(), false),
            (Service(0x09), 0x0020, empty(), false),
            (Service::UIM, 0x002F, empty(), true),
            (Service::UIM, 0x0030, empty(), false),
            (Service::UIM, 0x003B, empty(), true),
            (Service::WDA, 0x0021, empty(), true),
            (Service::WDA, 0x0020, empty(), false),
            (Service(0xE0), 0x0001, empty(), true),
        ] {
            let outcome = by_hand(service, id, tlvs, Duration::from_secs(1));
            assert_eq!(outcome.is_ok(), allowed, "{service:?} {id:#06x}: {outcome:?}");
        }
    }
}
