//! QMI as libqmi's `qmicli` 1.32.2 speaks it: what it sent is what our requests must be, octet for octet, and every frame of
//! both directions is read and written again unchanged.

use std::net::Ipv4Addr;
use std::time::Instant;

use cellular::packet::dialogue::Dialogue as _;
use cellular::qmi::message::{Framer, Kind, Message};
use cellular::qmi::wds::{Authentication, Family, Handle, Session};
use cellular::qmi::{
    Client, Indication, Output, Request, Response, Service, cells, dms, nas, profiles, uim, wda, wds, wms,
};

/// Whether the modem sent it, and the octets.
type Frame = (bool, Vec<u8>);

/// Commands, each with its frames.
fn golden() -> Vec<(String, Vec<Frame>)> {
    let mut commands: Vec<(String, Vec<Frame>)> = Vec::new();
    for line in include_str!("data/qmi_golden.txt").lines() {
        if let Some(command) = line.strip_prefix("## ") {
            commands.push((command.to_owned(), Vec::new()));
        } else if let Some((direction, hex)) = line.split_once(' ')
            && matches!(direction, "H>M" | "M>H")
        {
            let (_, frames) = commands.last_mut().expect("a command before its frames");
            frames.push((direction == "M>H", octets(hex)));
        }
    }
    assert_eq!(commands.len(), 32);
    commands
}

fn octets(hex: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test has to begin at some instant")]
fn begin() -> Instant {
    Instant::now()
}

/// The first frame of a service in a command.
fn frame_of(command: &str, from_modem: bool, service: Service) -> Message {
    let (_, frames) = golden()
        .into_iter()
        .find(|(name, _)| name.contains(command))
        .unwrap_or_else(|| panic!("{command} is not among the vectors"));
    frames
        .iter()
        .filter(|(sender, _)| *sender == from_modem)
        .filter_map(|(_, frame)| Message::decode(frame).ok())
        .find(|message| message.service == service)
        .unwrap_or_else(|| panic!("{command} has no such frame"))
}

#[test]
fn every_frame_is_read_and_written_again_unchanged() {
    for (command, frames) in golden() {
        for (from_modem, frame) in frames {
            let message = Message::decode(&frame).unwrap_or_else(|error| panic!("{command}: {error}"));
            assert_eq!(message.kind == Kind::Request, !from_modem, "{command}");
            assert_eq!(message.encode(), frame, "{command}");
        }
    }
}

#[test]
fn all_frames_in_a_row_are_cut_at_the_right_places_in_any_chunks() {
    let frames: Vec<Vec<u8>> = golden()
        .into_iter()
        .flat_map(|(_, frames)| frames)
        .map(|(_, frame)| frame)
        .collect();
    for chunk in [1, 7, 64, 4096] {
        let mut framer = Framer::default();
        let mut found = Vec::new();
        for part in frames.concat().chunks(chunk) {
            framer.push(part);
            found.extend(std::iter::from_fn(|| framer.next_frame()));
        }
        assert_eq!(found, frames, "chunks of {chunk}");
        assert_eq!(framer.take_discarded(), 0);
    }
}

#[test]
fn requests_are_those_of_qmicli() {
    let session = Session {
        apn: "internet".to_owned(),
        profile: None,
        authentication: Authentication::Both,
        user: "u".to_owned(),
        password: "p".to_owned(),
        autoconnect: true,
    };
    let autoconnect = wds::Autoconnect::Enabled { home_only: true };
    let cases: [(&str, Request); 18] = [
        ("--dms-get-ids", dms::get_ids()),
        ("--dms-get-operating-mode", dms::get_operating_mode()),
        ("--dms-set-operating-mode=online", dms::set_online(true)),
        ("--nas-get-signal-info", nas::get_signal_info()),
        ("--nas-get-serving-system", nas::get_serving_system()),
        ("--wda-set-data-format", wda::set_data_format(wda::LinkLayer::RawIp)),
        ("--wds-start-network", wds::start_network(Family::V4, &session)),
        (
            "--wds-get-packet-service-status",
            wds::get_packet_service_status(Family::V4),
        ),
        ("--wds-get-current-settings", wds::get_current_settings(Family::V4)),
        ("--wds-set-autoconnect-settings", wds::set_autoconnect(autoconnect)),
        ("--wds-stop-network", wds::stop_network(Family::V4, Handle::ANY, true)),
        ("--uim-get-card-status", uim::get_card_status()),
        ("--uim-sim-power-off", uim::power_off()),
        ("--uim-sim-power-on", uim::power_on()),
        ("--nas-get-cell-location-info", cells::get_cell_location_info()),
        ("--nas-get-lte-cphy-ca-info", cells::get_lte_cphy_ca_info()),
        ("--wds-get-profile-list", profiles::get_profile_list()),
        ("event report", wms::set_event_report()),
    ];
    let now = begin();
    for (command, request) in cases {
        let golden = frame_of(command, false, request.endpoint.service);
        assert_eq!((golden.id, &golden.tlvs), (request.id, &request.tlvs), "{command}");
        // The whole way through a client, whose first id and transaction are qmicli's as well.
        let mut client = Client::new();
        let service = request.endpoint.service;
        client.start(now, request);
        let Some(Output::Transmit(allocate)) = client.poll_output() else {
            panic!("{command}: a client id is asked for first");
        };
        let asked = Message::decode(&allocate).expect("a frame");
        let mut answer = frame_of("--dms-get-ids", true, Service::CTL);
        answer.transaction = asked.transaction;
        answer.id = asked.id;
        answer.tlvs = cellular::qmi::Tlvs::default()
            .with(0x02, &[0; 4])
            .with(0x01, &[service.0, golden.client]);
        client.handle_input(now, &answer.encode());
        assert_eq!(
            client.poll_output(),
            Some(Output::Transmit(golden.encode())),
            "{command}"
        );
    }
    let family = frame_of("--wds-set-ip-family", false, Service::WDS);
    assert_eq!(family.tlvs, wds::set_ip_family(Family::V6).tlvs);
}

#[test]
fn answers_are_read() {
    let answer = |command: &str, service| Response {
        tlvs: frame_of(command, true, service).tlvs,
    };
    assert_eq!(
        dms::imei(&answer("--dms-get-ids", Service::DMS)).as_deref(),
        Ok("867584030012345")
    );
    assert_eq!(
        dms::operating_mode(&answer("--dms-get-operating-mode", Service::DMS)),
        Ok(dms::OperatingMode::Online)
    );
    let system = nas::serving_system(&answer("--nas-get-serving-system", Service::NAS)).expect("it can be read");
    assert_eq!(
        (system.registration, system.packet_switched, system.roaming),
        (nas::Registration::Registered, true, Some(false))
    );
    assert_eq!(system.network, Some((234, 15, "Vodafone".to_owned())));
    let signal = nas::signal_info(&answer("--nas-get-signal-info", Service::NAS)).expect("it can be read");
    assert_eq!(
        signal,
        Some(nas::Signal::Lte(nas::LteSignal {
            rssi: -67,
            rsrq: -11,
            rsrp: -97,
            snr_tenths: 96
        }))
    );
    assert_eq!(
        wda::data_format(&answer("--wda-set-data-format", Service::WDA)),
        Ok(wda::LinkLayer::RawIp)
    );
    assert!(wds::started(&answer("--wds-start-network", Service::WDS)).is_ok());
    let status = answer("--wds-get-packet-service-status", Service::WDS);
    assert_eq!(wds::packet_service_status(&status), Ok(wds::Connection::Connected));
    let settings = wds::current_settings(&answer("--wds-get-current-settings", Service::WDS)).expect("it can be read");
    assert_eq!(settings.address_v4, Some((Ipv4Addr::new(10, 121, 7, 34), 30)));
    assert_eq!(settings.gateway_v4, Some(Ipv4Addr::new(10, 121, 7, 33)));
    assert_eq!(
        settings.name_servers_v4,
        [Ipv4Addr::new(10, 64, 64, 1), Ipv4Addr::new(10, 64, 64, 2)]
    );
    assert_eq!(settings.mtu, Some(1500));
    let moved = wds::packet_statistics(&answer("--wds-get-packet-statistics", Service::WDS)).expect("it can be read");
    assert_eq!((moved.uplink, moved.downlink), (123_456, 654_321));
    assert_eq!(wds::stopped(&answer("--wds-stop-network", Service::WDS)), Ok(()));
}

#[test]
fn answers_about_the_card_the_radio_and_messages_are_read() {
    let answer = |command: &str, service| Response {
        tlvs: frame_of(command, true, service).tlvs,
    };
    let card = uim::card_status(&answer("--uim-get-card-status", Service::UIM));
    assert_eq!(
        card,
        Ok(uim::CardStatus {
            card: uim::Card::Ready,
            pin_attempts: 3,
            puk_attempts: 10
        })
    );
    let heard = cells::cell_location_info(&answer("--nas-get-cell-location-info", Service::NAS)).expect("readable");
    let heard: Vec<_> = heard.iter().map(|cell| (cell.serving, cell.physical)).collect();
    assert_eq!(
        heard,
        [
            (true, Some(448)),
            (false, Some(449)),
            (false, Some(77)),
            (false, Some(312)),
            (false, Some(28))
        ]
    );
    let carriers = cells::lte_cphy_ca_info(&answer("--nas-get-lte-cphy-ca-info", Service::NAS)).expect("readable");
    assert_eq!(
        carriers.iter().map(|carrier| carrier.band).collect::<Vec<_>>(),
        [Some(1), Some(3)]
    );
    let asked = frame_of("--nas-get-tx-rx-info", false, Service::NAS);
    assert_eq!(asked.tlvs, cells::get_tx_rx_info(cells::Technology::Lte).tlvs);
    let radio = cells::tx_rx_info(&answer("--nas-get-tx-rx-info", Service::NAS), cells::Technology::Lte);
    assert_eq!(radio.map(|radio| radio.transmitted_power), Ok(Some(135)));
    let indices = profiles::profile_list(&answer("--wds-get-profile-list", Service::WDS));
    assert_eq!(indices, Ok(vec![1, 2, 3]));
    let (_, frames) = golden().pop().expect("the report of a message is the last one");
    let report = frames.iter().filter_map(|(_, frame)| Message::decode(frame).ok());
    let report = report
        .into_iter()
        .find(|message| message.kind == Kind::Indication)
        .expect("a report");
    let report = Indication {
        service: report.service,
        endpoint: None,
        id: report.id,
        tlvs: report.tlvs,
    };
    assert_eq!(wms::stored_message(&report), Ok(Some((wms::Storage::Module, 1))));
}

/// qmicli also sets the selection of the operator (0x16) and the order of GSM and WCDMA (0x19), which are not ours to change.
#[test]
fn the_preference_of_radio_interfaces_is_that_of_qmicli() {
    let golden = frame_of("nas-set-system-selection-preference", false, Service::NAS);
    let request = nas::set_system_selection_preference(&[nas::RadioInterface::Lte, nas::RadioInterface::Umts]);
    let theirs: Vec<_> = golden
        .tlvs
        .iter()
        .filter(|(kind, _)| ![0x16, 0x19].contains(kind))
        .collect();
    assert_eq!((golden.id, theirs), (request.id, request.tlvs.iter().collect()));
}
