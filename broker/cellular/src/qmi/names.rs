//! What services and messages are called, for whoever builds requests by hand. Names are libqmi's, in small letters.

use super::Service;

/// Name, number, and messages by number.
type Row = (&'static str, Service, &'static [(u16, &'static str)]);

const SERVICES: &[Row] = &[
    ("ctl", Service::CTL, &[]),
    (
        "wds",
        Service(0x01),
        &[
            (0x0000, "reset"),
            (0x0001, "set-event-report"),
            (0x0002, "abort"),
            (0x0003, "indication-register"),
            (0x001E, "get-supported-messages"),
            (0x0020, "start-network"),
            (0x0021, "stop-network"),
            (0x0022, "get-packet-service-status"),
            (0x0023, "get-channel-rates"),
            (0x0024, "get-packet-statistics"),
            (0x0025, "go-dormant"),
            (0x0026, "go-active"),
            (0x0027, "create-profile"),
            (0x0028, "modify-profile"),
            (0x0029, "delete-profile"),
            (0x002A, "get-profile-list"),
            (0x002B, "get-profile-settings"),
            (0x002C, "get-default-settings"),
            (0x002D, "get-current-settings"),
            (0x0030, "get-dormancy-status"),
            (0x0034, "get-autoconnect-settings"),
            (0x0037, "get-data-bearer-technology"),
            (0x0044, "get-current-data-bearer-technology"),
            (0x0049, "get-default-profile-number"),
            (0x004A, "set-default-profile-number"),
            (0x004D, "set-ip-family"),
            (0x0051, "set-autoconnect-settings"),
            (0x006C, "get-pdn-throttle-info"),
            (0x0085, "get-lte-attach-parameters"),
            (0x0089, "bind-data-port"),
            (0x0092, "get-max-lte-attach-pdn-number"),
            (0x0093, "set-lte-attach-pdn-list"),
            (0x0094, "get-lte-attach-pdn-list"),
            (0x00A2, "bind-mux-data-port"),
            (0x00A7, "configure-profile-event-list"),
            (0x00AF, "bind-subscription"),
            (0x00B0, "get-bind-subscription"),
        ],
    ),
    (
        "dms",
        Service(0x02),
        &[
            (0x0000, "reset"),
            (0x0001, "set-event-report"),
            (0x001E, "get-supported-messages"),
            (0x0020, "get-capabilities"),
            (0x0021, "get-manufacturer"),
            (0x0022, "get-model"),
            (0x0023, "get-revision"),
            (0x0024, "get-msisdn"),
            (0x0025, "get-ids"),
            (0x0026, "get-power-state"),
            (0x0027, "uim-set-pin-protection"),
            (0x0028, "uim-verify-pin"),
            (0x0029, "uim-unblock-pin"),
            (0x002A, "uim-change-pin"),
            (0x002B, "uim-get-pin-status"),
            (0x002C, "get-hardware-revision"),
            (0x002D, "get-operating-mode"),
            (0x002E, "set-operating-mode"),
            (0x002F, "get-time"),
            (0x0030, "get-prl-version"),
            (0x0031, "get-activation-state"),
            (0x0032, "activate-automatic"),
            (0x0033, "activate-manual"),
            (0x0034, "get-user-lock-state"),
            (0x0035, "set-user-lock-state"),
            (0x0036, "set-user-lock-code"),
            (0x0037, "read-user-data"),
            (0x0038, "write-user-data"),
            (0x0039, "read-eri-file"),
            (0x003A, "restore-factory-defaults"),
            (0x003B, "validate-service-programming-code"),
            (0x003C, "uim-get-iccid"),
            (0x003E, "set-firmware-id"),
            (0x0040, "uim-get-ck-status"),
            (0x0041, "uim-set-ck-protection"),
            (0x0042, "uim-unblock-ck"),
            (0x0043, "uim-get-imsi"),
            (0x0044, "uim-get-state"),
            (0x0045, "get-band-capabilities"),
            (0x0046, "get-factory-sku"),
            (0x0047, "get-firmware-preference"),
            (0x0048, "set-firmware-preference"),
            (0x0049, "list-stored-images"),
            (0x004A, "delete-stored-image"),
            (0x004B, "set-time"),
            (0x004C, "get-stored-image-info"),
            (0x004D, "get-alt-net-config"),
            (0x004E, "set-alt-net-config"),
            (0x004F, "get-boot-image-download-mode"),
            (0x0050, "set-boot-image-download-mode"),
            (0x0051, "get-software-version"),
            (0x0052, "set-service-programming-code"),
            (0x005C, "get-mac-address"),
        ],
    ),
    (
        "nas",
        Service(0x03),
        &[
            (0x0000, "reset"),
            (0x0001, "abort"),
            (0x0002, "set-event-report"),
            (0x0003, "register-indications"),
            (0x001E, "get-supported-messages"),
            (0x0020, "get-signal-strength"),
            (0x0021, "network-scan"),
            (0x0022, "initiate-network-register"),
            (0x0023, "attach-detach"),
            (0x0024, "get-serving-system"),
            (0x0025, "get-home-network"),
            (0x0026, "get-preferred-networks"),
            (0x0027, "set-preferred-networks"),
            (0x002A, "set-technology-preference"),
            (0x002B, "get-technology-preference"),
            (0x0031, "get-rf-band-information"),
            (0x0033, "set-system-selection-preference"),
            (0x0034, "get-system-selection-preference"),
            (0x0039, "get-operator-name"),
            (0x0043, "get-cell-location-info"),
            (0x0044, "get-plmn-name"),
            (0x004D, "get-system-info"),
            (0x004F, "get-signal-info"),
            (0x0050, "config-signal-info"),
            (0x005A, "get-tx-rx-info"),
            (0x0065, "get-cdma-position-info"),
            (0x0067, "force-network-search"),
            (0x006C, "config-signal-info-v2"),
            (0x007D, "get-network-time"),
            (0x0085, "incremental-network-scan"),
            (0x0089, "get-drx"),
            (0x00AC, "get-lte-cphy-ca-info"),
            (0x00E8, "get-endc-config"),
        ],
    ),
    (
        "wms",
        Service(0x05),
        &[
            (0x0000, "reset"),
            (0x0001, "set-event-report"),
            (0x001E, "get-supported-messages"),
            (0x0020, "raw-send"),
            (0x0021, "raw-write"),
            (0x0022, "raw-read"),
            (0x0023, "modify-tag"),
            (0x0024, "delete"),
            (0x0030, "get-message-protocol"),
            (0x0031, "list-messages"),
            (0x0032, "set-routes"),
            (0x0033, "get-routes"),
            (0x0037, "send-ack"),
            (0x003C, "set-broadcast-activation"),
            (0x003D, "set-broadcast-config"),
            (0x003E, "get-broadcast-config"),
            (0x0042, "send-from-memory-storage"),
            (0x0047, "indication-register"),
            (0x004A, "get-transport-network-registration-status"),
        ],
    ),
    (
        "voice",
        Service(0x09),
        &[
            (0x0003, "indication-register"),
            (0x001E, "get-supported-messages"),
            (0x0020, "dial-call"),
            (0x0021, "end-call"),
            (0x0022, "answer-call"),
            (0x0028, "burst-dtmf"),
            (0x0029, "start-continuous-dtmf"),
            (0x002A, "stop-continuous-dtmf"),
            (0x002F, "get-all-call-info"),
            (0x0031, "manage-calls"),
            (0x0033, "set-supplementary-service"),
            (0x0034, "get-call-waiting"),
            (0x003A, "originate-ussd"),
            (0x003B, "answer-ussd"),
            (0x003C, "cancel-ussd"),
            (0x0041, "get-config"),
            (0x0043, "originate-ussd-no-wait"),
        ],
    ),
    (
        "uim",
        Service(0x0B),
        &[
            (0x0000, "reset"),
            (0x001E, "get-supported-messages"),
            (0x0020, "read-transparent"),
            (0x0021, "read-record"),
            (0x0023, "write-record"),
            (0x0024, "get-file-attributes"),
            (0x0025, "set-pin-protection"),
            (0x0026, "verify-pin"),
            (0x0027, "unblock-pin"),
            (0x0028, "change-pin"),
            (0x0029, "depersonalization"),
            (0x002A, "refresh-register"),
            (0x002C, "refresh-complete"),
            (0x002E, "register-events"),
            (0x002F, "get-card-status"),
            (0x0030, "power-off-sim"),
            (0x0031, "power-on-sim"),
            (0x0038, "change-provisioning-session"),
            (0x003A, "get-configuration"),
            (0x003B, "send-apdu"),
            (0x003F, "logical-channel"),
            (0x0042, "open-logical-channel"),
            (0x0044, "refresh-register-all"),
            (0x0047, "get-slot-status"),
            (0x005D, "remote-unlock"),
        ],
    ),
    (
        "wda",
        Service(0x1A),
        &[
            (0x001E, "get-supported-messages"),
            (0x0020, "set-data-format"),
            (0x0021, "get-data-format"),
            (0x002F, "loopback-configuration"),
            (0x0030, "set-capability"),
            (0x0033, "get-ethernet-config"),
        ],
    ),
    (
        "imsa",
        Service(0x21),
        &[
            (0x0020, "get-ims-registration-status"),
            (0x0021, "get-ims-services-status"),
            (0x0022, "register-indications"),
            (0x0033, "bind"),
            (0x0034, "get-bind"),
        ],
    ),
    ("qos", Service(0x04), &[]),
    ("pds", Service(0x06), &[]),
    ("cat", Service(0x0A), &[]),
    ("pbm", Service(0x0C), &[]),
    ("loc", Service(0x10), &[]),
    ("sar", Service(0x11), &[]),
    ("ims", Service(0x12), &[]),
    ("tmd", Service(0x18), &[]),
    ("imsp", Service(0x1F), &[]),
    ("dsd", Service(0x2A), &[]),
];

/// The service of a name.
#[must_use]
pub fn service_named(name: &str) -> Option<Service> {
    let named = |(known, ..): &&Row| known.eq_ignore_ascii_case(name);
    SERVICES.iter().find(named).map(|(_, service, _)| *service)
}

/// The name of a service.
#[must_use]
pub fn service_name(service: Service) -> Option<&'static str> {
    row(service).map(|(name, ..)| *name)
}

/// The message of a service by its name.
#[must_use]
pub fn message_named(service: Service, name: &str) -> Option<u16> {
    let (_, _, messages) = row(service)?;
    let named = |(_, known): &&(u16, &str)| known.eq_ignore_ascii_case(name);
    messages.iter().find(named).map(|(id, _)| *id)
}

/// The name of a message of a service.
#[must_use]
pub fn message_name(service: Service, id: u16) -> Option<&'static str> {
    let (_, _, messages) = row(service)?;
    messages.iter().find(|(known, _)| *known == id).map(|(_, name)| *name)
}

fn row(service: Service) -> Option<&'static Row> {
    SERVICES.iter().find(|(_, known, _)| *known == service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_to_each_other() {
        for (name, service, messages) in SERVICES {
            assert_eq!(
                (service_named(name), service_name(*service)),
                (Some(*service), Some(*name))
            );
            for (id, message) in *messages {
                assert_eq!(message_named(*service, message), Some(*id), "{name} {message}");
                assert_eq!(message_name(*service, *id), Some(*message), "{name} {id:#06x}");
            }
        }
        assert_eq!(service_named("NAS"), Some(Service::NAS));
        assert_eq!(message_named(Service::NAS, "Get-Cell-Location-Info"), Some(0x0043));
        assert_eq!(
            (service_name(Service(0xEE)), message_name(Service::NAS, 0xEEEE)),
            (None, None)
        );
    }
}
