//! The QMI control channel, with the requests of the real qmicli 1.32.2 (`--dms-get-ids`, `--nas-get-serving-system`).

use simulator::Function;

use crate::bench::Bench;

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("hexadecimal"))
        .collect()
}

fn exchange(bench: &mut Bench, hex: &str) -> String {
    bench
        .send_bytes(Function::Qmi, &octets(hex))
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

#[test]
fn a_client_is_allocated_used_and_released() {
    let mut bench = Bench::quiet();
    for (request, response) in [
        // Internal Proxy Open, Sync, Allocate CID for DMS
        (
            "011700000000000100ff0c000109002f6465762f6e756c6c",
            "011200800000010100ff070002040000000000",
        ),
        ("010b00000000000327000000", "01120080000001032700070002040000000000"),
        (
            "010f0000000000042200040001010002",
            "011700800000010422000c00020400000000000102000201",
        ),
        // Get IDs: ESN "0" and the IMEI
        (
            "010c0000020100010025000000",
            "01290080020102010025001d0002040000000000100100301\
             10f00383637353834303330303030303137",
        ),
        // A message that is not there, then Release CID, and the client is gone.
        ("010c0000020100020055000000", "0113008002010202005500070002040001004700"),
        (
            "0110000000000005230005000102000201",
            "011700800000010523000c00020400000000000102000201",
        ),
        ("010c0000020100030025000000", "0113008002010203002500070002040001000500"),
    ] {
        assert_eq!(exchange(&mut bench, request), response, "{request}");
    }
}

#[test]
fn the_serving_system_and_the_signal_are_those_of_the_network() {
    let mut bench = Bench::quiet();
    exchange(&mut bench, "010f0000000000022200040001010003");
    assert_eq!(
        exchange(&mut bench, "010c0000030100010024000000"),
        "013400800301020100240028000204000000000001060001010102010810010001121100010001000c54657374204e6574776f726b"
    );
    assert_eq!(
        exchange(&mut bench, "010c000003010002004f000000"),
        "011c008003010202004f001000020400000000001406\
         00b9f6a1ff7800"
    );
}

#[test]
fn frames_may_be_cut_joined_or_surrounded_by_noise() {
    let mut bench = Bench::quiet();
    let sync = "010b00000000000327000000";
    let answer = "01120080000001032700070002040000000000";
    assert_eq!(exchange(&mut bench, &sync[..10]), "");
    assert_eq!(exchange(&mut bench, &sync[10..]), answer);
    assert_eq!(exchange(&mut bench, &format!("ff00{sync}{sync}")), answer.repeat(2));
}
