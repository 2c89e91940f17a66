//! The card and messages on the control channel: the same card and the same storages as those of the AT ports.

use simulator::control::Request;
use simulator::{Function, PinState};

use crate::bench::Bench;
use crate::qmi::{request, said};

const WMS: u8 = 5;
const UIM: u8 = 11;

/// A bench with the first client of a service.
fn bench_with(service: u8) -> Bench {
    let mut bench = Bench::quiet();
    ask(&mut bench, 0, 0x0022, &[(1, &[service])]);
    bench
}

/// Error and TLVs of the answer.
fn ask(bench: &mut Bench, service: u8, message: u16, tlvs: &[(u8, &[u8])]) -> (u16, Vec<u8>) {
    let answer = bench.send_bytes(Function::Qmi, &request(service, message, 7, tlvs));
    let answers = said(&answer);
    let answer = answers
        .iter()
        .find(|(_, is_indication, id, ..)| !is_indication && *id == message);
    answer
        .map(|(.., error, tlvs)| (*error, tlvs.clone()))
        .expect("an answer")
}

/// State of card, error and number of applications; then the state of the first one.
fn card(bench: &mut Bench) -> (u8, u8, Option<u8>) {
    let (error, tlvs) = ask(bench, UIM, 0x002f, &[]);
    assert_eq!((error, tlvs[0]), (0, 0x10));
    card_of(&tlvs)
}

fn card_of(tlvs: &[u8]) -> (u8, u8, Option<u8>) {
    let status = &tlvs[3..];
    assert_eq!(status[8], 1, "one slot");
    (status[9], status[13], (status[14] > 0).then(|| status[16]))
}

#[test]
fn the_card_is_that_of_the_at_ports_and_changes_are_told() {
    let mut bench = bench_with(UIM);
    assert_eq!(card(&mut bench), (1, 0, Some(7)));
    assert_eq!(ask(&mut bench, UIM, 0x002e, &[(1, &[1, 0, 0, 0])]).0, 0);
    for (state, expected) in [
        (PinState::Absent, (0, 0, None)),
        (PinState::Pin, (1, 0, Some(2))),
        (PinState::Puk, (1, 0, Some(3))),
        (PinState::Blocked, (1, 0, Some(5))),
        (PinState::Ready, (1, 0, Some(7))),
    ] {
        let told = said(&bench.tell_and_take(Request::SetSim { state }));
        let told: Vec<_> = told
            .iter()
            .map(|(service, is_indication, id, _, tlvs)| (*service, *is_indication, *id, card_of(tlvs)))
            .collect();
        assert_eq!(told, [(UIM, true, 0x0032, expected)], "{state:?}");
        assert_eq!(card(&mut bench), expected);
    }
}

#[test]
fn without_power_the_card_is_missed_by_at_commands_and_starts_again_afterwards() {
    let mut bench = bench_with(UIM);
    const NO_EFFECT: u16 = 26;
    assert_eq!(ask(&mut bench, UIM, 0x0031, &[(1, &[1])]).0, NO_EFFECT);
    assert_eq!(ask(&mut bench, UIM, 0x0030, &[(1, &[1])]).0, 0);
    assert_eq!(card(&mut bench), (2, 1, None), "an error: no power");
    assert!(bench.send("AT+CPIN?\r").contains("ERROR"));
    assert_eq!(ask(&mut bench, UIM, 0x0030, &[(1, &[1])]).0, NO_EFFECT);
    assert_eq!(ask(&mut bench, UIM, 0x0031, &[(1, &[1])]).0, 0);
    bench.wait(100);
    assert_eq!(card(&mut bench), (1, 0, Some(7)));
    assert!(bench.send("AT+CPIN?\r").contains("READY"));
}

#[test]
fn messages_are_listed_read_and_deleted_by_either_side() {
    let mut bench = bench_with(WMS);
    assert_eq!(ask(&mut bench, WMS, 0x0001, &[(0x10, &[1])]).0, 0);
    bench.send("AT+CPMS=\"SM\",\"SM\",\"SM\"\r");
    bench.deliver("+447700900123", "hello");
    bench.wait(100);
    let told = said(&bench.send_bytes(Function::Qmi, &[]));
    let told: Vec<_> = told
        .iter()
        .map(|(service, _, id, _, tlvs)| (*service, *id, tlvs.as_slice()))
        .collect();
    assert_eq!(told, [(WMS, 0x0001, &[0x10, 5, 0, 0, 0, 0, 0, 0, 0x12, 1, 0, 1][..])]);
    // One message, not read yet; reading tells tag, format and the PDU with its service centre.
    assert_eq!(
        ask(&mut bench, WMS, 0x0031, &[(1, &[0])]),
        (0, vec![1, 9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1])
    );
    let (error, read) = ask(&mut bench, WMS, 0x0022, &[(1, &[0, 0, 0, 0, 0]), (0x10, &[1])]);
    assert_eq!((error, &read[3..5]), (0, &[1, 6][..]));
    assert!(bench.send("AT+CMGR=0\r").contains("+CMGR: 1,"), "it counts as read");
    assert_eq!(
        ask(&mut bench, WMS, 0x0031, &[(1, &[0]), (0x11, &[1])]).1,
        [1, 4, 0, 0, 0, 0, 0]
    );
    assert_eq!(ask(&mut bench, WMS, 0x0024, &[(1, &[0]), (0x10, &[0, 0, 0, 0])]).0, 0);
    const INVALID_INDEX: u16 = 49;
    assert_eq!(ask(&mut bench, WMS, 0x0022, &[(1, &[0, 0, 0, 0, 0])]).0, INVALID_INDEX);
}
