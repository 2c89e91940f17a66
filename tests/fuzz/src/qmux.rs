//! A QMI port whose modem says arbitrary octets.
//!
//! Nothing may panic, no deadline may stay due, every request must end exactly once, and what the client sends must be
//! frames that can be read.

use std::time::{Duration, Instant};

use cellular::packet::dialogue::Dialogue as _;
use cellular::qmi::message::Message;
use cellular::qmi::wds::{Family, Session};
use cellular::qmi::{Client, Output, Response, cells, ctl, dms, imsa, nas, profiles, uim, wda, wds, wms};

/// Reads one input: the first octet of each record says what happens, the second how much of it.
pub fn check(octets: &[u8]) {
    let (mut client, mut now) = (Client::new(), Instant::now());
    let (mut started, mut ended) = (0, 0);
    let mut rest = octets;
    while let [what, amount, following @ ..] = rest {
        rest = following;
        match what % 8 {
            0 => {
                started += 1;
                client.start(now, request(*amount));
            }
            1 => {
                now += Duration::from_millis(u64::from(*amount) * 300);
                client.handle_timeout(now);
                assert!(
                    client.poll_timeout().is_none_or(|due| due > now),
                    "a deadline stays due"
                );
            }
            2 if *amount == 0 => client.leave(now),
            3 if *amount == 0 => client.close(),
            _ => {
                let (said, after) = rest.split_at(rest.len().min(usize::from(*amount)));
                client.handle_input(now, said);
                rest = after;
            }
        }
        ended += drain(&mut client);
    }
    client.close();
    ended += drain(&mut client);
    assert_eq!(started, ended, "every request ends once");
}

fn request(which: u8) -> cellular::qmi::Request {
    match which % 11 {
        0 => ctl::sync(),
        1 => ctl::get_version_info(),
        2 => dms::get_ids(),
        3 => nas::get_serving_system(),
        4 => wda::get_data_format(),
        5 => imsa::get_services_status(),
        6 => wds::get_current_settings(Family::V6),
        7 => uim::get_card_status(),
        8 => wms::set_event_report(),
        9 => cells::get_cell_location_info(),
        _ => wds::start_network(Family::V4, &Session::default()),
    }
}

fn drain(client: &mut Client) -> usize {
    let mut ended = 0;
    while let Some(output) = client.poll_output() {
        match output {
            Output::Transmit(frame) => {
                Message::decode(&frame).expect("what is sent can be read");
            }
            Output::Finished { outcome, .. } => {
                ended += 1;
                if let Ok(response) = outcome {
                    read(&response);
                }
            }
            Output::Indication(told) => {
                let _ = (wds::status_change(&told), nas::serving_system_changed(&told));
                let _ = (imsa::registration_changed(&told), imsa::services_changed(&told));
                let _ = (uim::card_status_changed(&told), wms::stored_message(&told));
            }
            Output::Restarted | Output::Unresponsive { .. } => {}
        }
    }
    ended
}

fn read(response: &Response) {
    let _ = (
        ctl::version_info(response),
        dms::imei(response),
        nas::serving_system(response),
    );
    let _ = (
        wda::data_format(response),
        imsa::services(response),
        wds::started(response),
    );
    let _ = (wds::current_settings(response), imsa::registration(response));
    let _ = (uim::card_status(response), cells::cell_location_info(response));
    let _ = (cells::lte_cphy_ca_info(response), wds::packet_statistics(response));
    let _ = cells::tx_rx_info(response, cells::Technology::Umts);
    let _ = (
        profiles::profile_list(response),
        profiles::profile_settings(response),
    );
}

/// What a modem said to libqmi's qmicli, after the requests that lead there.
pub fn seeds() -> Vec<Vec<u8>> {
    include_str!("../../../broker/cellular/tests/data/qmi_golden.txt")
        .lines()
        .filter_map(|line| line.strip_prefix("M>H "))
        .filter_map(octets)
        .filter_map(|frame| {
            let length = u8::try_from(frame.len()).ok()?;
            let requests = [[0, 2], [0, 3], [0, 4], [0, 6], [0, 10], [0, 7], [0, 8], [0, 9]].concat();
            Some([requests, vec![7, length], frame].concat())
        })
        .collect()
}

fn octets(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
