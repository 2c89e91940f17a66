//! The same octets in any chunks and the same instants give the same outputs, whatever the octets are; every request ends
//! exactly once; nothing that a modem says makes a reader panic.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cellular::packet::dialogue::Dialogue as _;
use cellular::qmi::message::{Kind, Message};
use cellular::qmi::wds::Family;
use cellular::qmi::{
    Client, Indication, Output, Request, Response, Service, Tlvs, cells, ctl, dms, imsa, nas, profiles, uim, wda, wds,
    wms,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Start(u8),
    Receive(Vec<u8>),
    Wait(u64),
    Release,
    Close,
}

fn request(which: u8) -> Request {
    match which % 7 {
        0 => ctl::sync(),
        1 => dms::get_ids(),
        2 => nas::get_serving_system(),
        3 => wda::get_data_format(),
        4 => imsa::get_registration_status(),
        5 => wds::get_current_settings(Family::V6),
        _ => wds::start_network(Family::V4, &wds::Session::default()),
    }
}

/// Frames that look like answers to what was asked: the first transactions of the first clients.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let service = prop_oneof![
        Just(0_u8),
        Just(1),
        Just(2),
        Just(3),
        Just(0x1A),
        Just(0x21),
        any::<u8>()
    ];
    let id = prop_oneof![Just(0x0022_u16), Just(0x0027), Just(0x0020), Just(0x0025), any::<u16>()];
    let tlvs = prop_oneof![
        Just(Tlvs::default().with(0x02, &[0; 4]).with(0x01, &[1, 1])),
        Just(Tlvs::default().with(0x02, &[1, 0, 7, 0])),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Tlvs::from_octets),
    ];
    (service, 0_u8..3, 0_u16..6, 0_u8..3, id, tlvs).prop_map(|(service, client, transaction, kind, id, tlvs)| {
        let message = Message {
            service: Service(service),
            client,
            transaction,
            kind: [Kind::Request, Kind::Response, Kind::Indication][usize::from(kind)],
            id,
            tlvs,
        };
        message.encode()
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<u8>().prop_map(Step::Start),
        6 => frame().prop_map(Step::Receive),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Step::Receive),
        2 => (0_u64..70_000).prop_map(Step::Wait),
        1 => Just(Step::Release),
        1 => prop::bool::weighted(0.1).prop_map(|close| if close { Step::Close } else { Step::Release }),
    ];
    prop::collection::vec(step, 0..40)
}

fn run(steps: &[Step], chunk: usize, begin: Instant) -> (Vec<Output>, usize, Client) {
    let (mut client, mut now, mut started, mut outputs) = (Client::new(), begin, 0, Vec::new());
    for step in steps {
        match step {
            Step::Start(which) => {
                started += 1;
                client.start(now, request(*which));
            }
            Step::Receive(octets) => octets.chunks(chunk).for_each(|part| client.handle_input(now, part)),
            Step::Wait(milliseconds) => {
                now += Duration::from_millis(*milliseconds);
                client.handle_timeout(now);
                assert!(
                    client.poll_timeout().is_none_or(|due| due > now),
                    "a deadline stays due"
                );
            }
            Step::Release => client.leave(now),
            Step::Close => client.close(),
        }
        outputs.extend(std::iter::from_fn(|| client.poll_output()));
    }
    (outputs, started, client)
}

#[expect(clippy::disallowed_methods, reason = "a test has to begin at some instant")]
fn begin() -> Instant {
    Instant::now()
}

proptest! {
    #[test]
    fn chunks_make_no_difference_and_every_request_ends_once(steps in steps(), chunk in 1_usize..30) {
        let begin = begin();
        let (whole, started, mut client) = run(&steps, usize::MAX, begin);
        let (cut, _, _) = run(&steps, chunk, begin);
        prop_assert_eq!(&whole, &cut);
        client.close();
        let rest: Vec<Output> = std::iter::from_fn(|| client.poll_output()).collect();
        let ended: Vec<_> = whole
            .iter()
            .chain(&rest)
            .filter_map(|output| match output {
                Output::Finished { id, .. } => Some(*id),
                _ => None,
            })
            .collect();
        prop_assert_eq!(ended.len(), started);
        prop_assert_eq!(ended.iter().collect::<BTreeSet<_>>().len(), started);
    }

    #[test]
    fn readers_take_any_contents(octets in prop::collection::vec(any::<u8>(), 0..120), id in any::<u16>()) {
        let tlvs = Tlvs::default().with(0x02, &[0; 4]);
        let response = Response { tlvs: Tlvs::from_octets([tlvs.octets(), &octets].concat()) };
        let _ = (ctl::version_info(&response), dms::imei(&response), dms::operating_mode(&response));
        let _ = (nas::serving_system(&response), nas::signal_info(&response), wda::data_format(&response));
        let _ = (wds::started(&response), wds::current_settings(&response), wds::packet_statistics(&response));
        let _ = (imsa::registration(&response), imsa::services(&response), wds::packet_service_status(&response));
        let _ = (uim::card_status(&response), cells::cell_location_info(&response), cells::lte_cphy_ca_info(&response));
        let _ = cells::tx_rx_info(&response, cells::Technology::Lte);
        let _ = (profiles::profile_list(&response), profiles::profile_settings(&response));
        let indication = Indication { service: Service::WDS, endpoint: None, id, tlvs: Tlvs::from_octets(octets) };
        let _ = (wds::status_change(&indication), nas::serving_system_changed(&indication));
        let _ = (nas::signal_changed(&indication), imsa::registration_changed(&indication));
        let _ = (imsa::services_changed(&indication), uim::card_status_changed(&indication));
        let _ = wms::stored_message(&indication);
    }
}
