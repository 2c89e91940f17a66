use super::*;

fn answer(tlvs: &[(u8, &[u8])]) -> Response {
    let empty = Tlvs::default().with(0x02, &[0; 4]);
    Response {
        tlvs: tlvs.iter().fold(empty, |all, (kind, value)| all.with(*kind, value)),
    }
}

const INTRA: [u8; 39] = [
    0, 0x62, 0xF2, 0x10, 0xF5, 0xB0, 0xE4, 0x19, 0xC9, 0x00, 100, 0, 192, 1, 6, 62, 12, 62, 2, // two cells
    193, 1, 0x92, 0xFF, 0xF0, 0xFB, 0x34, 0xFD, 20, 0, // 449: -11.0, -104.0, -71.6
    192, 1, 0x9C, 0xFF, 0x4A, 0xFC, 0x8E, 0xFD, 30, 0, // 448: -10.0, -95.0, -62.6
];

#[test]
fn the_serving_cell_of_lte_has_the_measures_of_its_entry_and_comes_first() {
    let cells = cell_location_info(&answer(&[(0x13, &INTRA)])).expect("readable");
    assert_eq!(
        cells,
        [
            Cell {
                serving: true,
                plmn: Some("26201".to_owned()),
                area: Some(0xB0F5),
                cell: Some(0x00C9_19E4),
                physical: Some(448),
                rssi: Some(-626),
                reference_power: Some(-950),
                reference_quality: Some(-100),
                ..Cell::on(Technology::Lte, 100)
            },
            Cell {
                physical: Some(449),
                rssi: Some(-716),
                reference_power: Some(-1040),
                reference_quality: Some(-110),
                ..Cell::on(Technology::Lte, 100)
            },
        ]
    );
}

#[test]
fn what_is_cut_off_is_an_error_and_what_is_not_told_is_none() {
    for length in 0..INTRA.len() {
        assert!(
            cell_location_info(&answer(&[(0x13, &INTRA[..length])])).is_err(),
            "{length} octets"
        );
    }
    assert_eq!(cell_location_info(&answer(&[])), Ok(Vec::new()));
    assert_eq!(lte_cphy_ca_info(&answer(&[])), Ok(Vec::new()));
    assert_eq!(tx_rx_info(&answer(&[]), Technology::Lte), Ok(TxRx::default()));
}

#[test]
fn umts_and_gsm_tell_their_cells_too() {
    let umts = [
        0x34, 0x12, 0x62, 0xF2, 0x10, 9, 0, 0x8E, 0x29, 0x38, 1, 0xA6, 0xFF, 0xF9, 0xFF, // serving
        1, 0x8E, 0x29, 0x39, 1, 0xA1, 0xFF, 0xF5, 0xFF, // a neighbour
        1, 62, 0, 3, 4, 0xB2, 0xFF, // one of GSM
    ];
    let gsm = [
        7, 0, 0, 0, 0x62, 0xF2, 0x10, 9, 0, 62, 0, 28, 1, 0, 0, 0, 40, 0, // serving
        1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 63, 0, 12, 20, 0, // a neighbour without a number
    ];
    let cells = cell_location_info(&answer(&[(0x11, &umts), (0x10, &gsm)])).expect("readable");
    let told: Vec<_> = cells
        .iter()
        .map(|cell| {
            (
                cell.technology,
                cell.serving,
                cell.cell,
                cell.channel,
                cell.physical,
                cell.rssi,
                cell.reference_power,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Technology::Umts, true, Some(0x1234), 10638, Some(312), None, Some(-900)),
            (Technology::Umts, false, None, 10638, Some(313), None, Some(-950)),
            (Technology::Gsm, false, None, 62, Some(28), Some(-780), None),
            (Technology::Gsm, true, Some(7), 62, Some(28), Some(-710), None),
            (Technology::Gsm, false, None, 63, Some(12), Some(-910), None),
        ]
    );
    assert_eq!(cells[4].plmn, None, "digits that are none");
}

#[test]
fn carriers_have_their_bandwidth_and_band() {
    let primary = [192, 1, 100, 0, 3, 0, 0, 0, 120, 0];
    let second = [1, 77, 0, 20, 5, 5, 0, 0, 0, 122, 0, 2, 0, 0, 0, 1];
    let carriers = lte_cphy_ca_info(&answer(&[(0x13, &primary), (0x15, &second)])).expect("readable");
    let told: Vec<_> = carriers
        .iter()
        .map(|carrier| {
            (
                carrier.primary,
                carrier.active,
                carrier.physical,
                carrier.channel,
                carrier.bandwidth_khz,
                carrier.band,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (true, true, 448, 100, Some(10_000), Some(1)),
            (false, true, 77, 1300, Some(20_000), Some(3)),
        ]
    );
    for (number, expected) in [
        (119, None),
        (133, Some(14)),
        (134, Some(17)),
        (142, Some(40)),
        (145, Some(20)),
        (158, Some(28)),
        (168, Some(71)),
        (169, None),
    ] {
        assert_eq!(band(number), expected, "{number}");
    }
}

#[test]
fn receivers_that_are_tuned_are_told_with_the_power_of_their_technology() {
    let chain = |tuned: u8| {
        [
            &[tuned][..],
            &[-800_i32, -25, -1250, -950].map(i32::to_le_bytes).concat(),
            &[0; 4],
        ]
        .concat()
    };
    let (tuned, idle) = (chain(1), chain(0));
    let transmitter = [1, 135, 0, 0, 0];
    let response = answer(&[(0x10, &tuned), (0x11, &idle), (0x15, &tuned), (0x12, &transmitter)]);
    for (technology, power) in [(Technology::Lte, -950), (Technology::Umts, -1250)] {
        let read = tx_rx_info(&response, technology).expect("readable");
        let told: Vec<_> = read
            .receivers
            .iter()
            .map(|chain| (chain.number, chain.power, chain.reference_power))
            .collect();
        assert_eq!(told, [(0, -800, power), (2, -800, power)]);
        assert_eq!(read.transmitted_power, Some(135));
    }
}
