//! The table of the verbs of other tools is whole.

/// What `uqmi --help` of OpenWrt's uqmi of July 2025 lists, as it is.
const UQMI: &str = "\
apn auth-type autoconnect bind-mux change-pin1 change-pin2 create-profile delete-message
delete-profile dl-aggregation-protocol dl-datagram-max-count dl-datagram-max-size endpoint-iface
endpoint-type fcc-auth flow-control get-capabilities get-cell-location-info get-client-id
get-current-settings get-data-status get-default-profile get-device-operating-mode get-iccid get-imei
get-imsi get-lte-cphy-ca-info get-message get-msisdn get-pin-status get-plmn get-profile-list
get-profile-settings get-raw-message get-serving-system get-signal-info get-system-info get-tx-rx-info
get-versions ip-family list-messages lte-attach-pdn mcc mnc modify-profile network-register
network-scan new-pin no-roaming password pdp-type pin profile puk reset-dms reset-wds send-message
send-message-flash send-message-smsc send-message-target set-autoconnect set-client-id set-data-format
set-default-profile set-device-operating-mode set-ip-family set-network-modes set-network-preference
set-network-roaming set-pin1-protection set-pin2-protection set-plmn start-network stop-network
storage sync uim-apdu-send uim-channel-close uim-channel-id uim-channel-open uim-get-sim-state
uim-power-off uim-power-on uim-slot uim-verify-pin1 uim-verify-pin2 ul-aggregation-protocol
ul-datagram-max-count ul-datagram-max-size unblock-pin1 unblock-pin2 username verify-pin1 verify-pin2
wda-get-data-format wda-set-data-format";

#[test]
fn every_verb_of_uqmi_has_a_place_in_the_table() {
    let table = include_str!("../../../proto/uqmi.md");
    for verb in UQMI.split_whitespace() {
        assert!(table.contains(&format!("`--{verb}`")), "--{verb} is missing");
    }
    assert!(!table.contains("*no*"), "what is not there has a reason");
}
