//! The MBIM function: opening, fragments both ways, and who hears what.

use simulator::control::Request;
use simulator::{Composition, Config, Function, PacketNetwork, RegistrationState, Signal, Timing};

use crate::bench::Bench;

const SERVICE: [u8; 16] = 0xa289_cc33_bcbb_8b4f_b6b0_133e_c2aa_e6df_u128.to_be_bytes();
const INTERNET: [u8; 16] = 0x7e5e_2a7e_4e6f_7272_736b_656e_7e5e_2a7e_u128.to_be_bytes();

const CAPS: u32 = 1;
const REGISTER: u32 = 9;
const SIGNAL: u32 = 11;
const CONNECT: u32 = 12;
const SUBSCRIBE: u32 = 19;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn bench() -> Bench {
    let config = Config {
        composition: Composition::find(0x9003).expect("the module has it"),
        ..Config::default()
    };
    Bench::with(Timing::Instant, config)
}

fn say(bench: &mut Bench, octets: &[u8]) -> Vec<Vec<u8>> {
    cut(&bench.send_bytes(Function::Mbim, octets))
}

/// Messages by their lengths.
fn cut(mut octets: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some(length) = octets.get(4..8) {
        let length = u32::from_le_bytes(length.try_into().expect("four octets")) as usize;
        let (message, rest) = octets.split_at(length);
        messages.push(message.to_vec());
        octets = rest;
    }
    messages
}

fn open(bench: &mut Bench, max_transfer: u32) {
    let answer = say(bench, &words(&[1, 16, 1, max_transfer]));
    assert_eq!(answer, [words(&[0x8000_0001, 16, 1, 0])]);
}

fn command(transaction: u32, cid: u32, set: bool, information: &[u8]) -> Vec<u8> {
    let length = 48 + information.len() as u32;
    let head = words(&[3, length, transaction, 1, 0]);
    let rest = words(&[cid, u32::from(set), information.len() as u32]);
    [&head[..], &SERVICE, &rest, information].concat()
}

fn word(message: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(message[at..at + 4].try_into().expect("four octets"))
}

fn activation(on: u32) -> Vec<u8> {
    let fields = words(&[0, on, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    [&fields[..], &INTERNET].concat()
}

#[test]
fn nothing_is_done_before_it_is_open_or_after_it_is_closed() {
    let mut bench = bench();
    let not_opened = [words(&[0x8000_0004, 16, 7, 5])];
    assert_eq!(say(&mut bench, &command(7, CAPS, false, &[])), not_opened);
    open(&mut bench, 4096);
    let answer = say(&mut bench, &command(7, CAPS, false, &[]));
    assert_eq!((answer.len(), word(&answer[0], 40)), (1, 0));
    assert_eq!(say(&mut bench, &words(&[2, 12, 8])), [words(&[0x8000_0002, 16, 8, 0])]);
    assert_eq!(say(&mut bench, &command(7, CAPS, false, &[])), not_opened);
}

#[test]
fn what_is_longer_than_a_transfer_comes_and_goes_in_fragments() {
    let mut bench = bench();
    open(&mut bench, 64);
    let answer = say(&mut bench, &command(2, CAPS, false, &[]));
    assert!(answer.len() > 3 && answer.iter().all(|fragment| fragment.len() <= 64));
    for (number, fragment) in (0..).zip(&answer) {
        assert_eq!(
            [word(fragment, 8), word(fragment, 12), word(fragment, 16)],
            [2, answer.len() as u32, number]
        );
    }
    let whole = command(3, CONNECT, true, &activation(1));
    let parts: Vec<&[u8]> = whole[20..].chunks(30).collect();
    let fragment = |number: usize| {
        let length = 20 + parts[number].len() as u32;
        let head = words(&[3, length, 3, parts.len() as u32, number as u32]);
        [&head[..], parts[number]].concat()
    };
    assert!(say(&mut bench, &fragment(0)).is_empty());
    assert_eq!(
        say(&mut bench, &fragment(2)),
        [words(&[0x8000_0004, 16, 3, 2])],
        "one is missing"
    );
    for number in 0..parts.len() - 1 {
        assert!(say(&mut bench, &fragment(number)).is_empty());
    }
    let answer = say(&mut bench, &fragment(parts.len() - 1));
    assert_eq!(word(&answer[0], 40), 0, "it is connected");
    assert_eq!(bench.modem.status().sessions.len(), 1);
}

#[test]
fn opening_again_and_closing_end_the_session() {
    for end in [words(&[1, 16, 9, 4096]), words(&[2, 12, 9])] {
        let mut bench = bench();
        open(&mut bench, 4096);
        say(&mut bench, &command(2, CONNECT, true, &activation(1)));
        assert_eq!(bench.modem.status().sessions.len(), 1);
        say(&mut bench, &end);
        assert_eq!(bench.modem.status().sessions.len(), 0);
    }
}

#[test]
fn the_host_is_told_of_what_it_subscribed_and_of_nothing_else() {
    let mut bench = bench();
    open(&mut bench, 4096);
    let element = [&SERVICE[..], &words(&[2, SIGNAL, CONNECT])].concat();
    let list = [&words(&[1, 12, element.len() as u32])[..], &element].concat();
    let answer = say(&mut bench, &command(2, SUBSCRIBE, true, &list));
    assert_eq!(word(&answer[0], 40), 0);
    let told = |bench: &mut Bench, request: Request| {
        bench.tell(request);
        let messages = say(bench, &[]);
        messages.iter().map(|message| word(message, 36)).collect::<Vec<_>>()
    };
    let signal = |rssi| {
        Request::SetSignal(Signal {
            rssi: Some(rssi),
            ..Signal::default()
        })
    };
    assert_eq!(told(&mut bench, signal(20)), [] as [u32; 0], "a step is not worth it");
    assert_eq!(told(&mut bench, signal(10)), [SIGNAL]);
    say(&mut bench, &command(3, CONNECT, true, &activation(1)));
    let end = Request::EndSessions { layer: 6, number: 39 };
    assert_eq!(told(&mut bench, end), [CONNECT]);
    let roam = Request::SetRegistration {
        domain: None,
        state: RegistrationState::Roaming,
    };
    assert_eq!(told(&mut bench, roam), [] as [u32; 0], "{REGISTER} is not among them");
}

#[test]
fn a_silent_module_swallows_everything() {
    let mut bench = bench();
    bench.tell(Request::SetPacketNetwork(PacketNetwork {
        silent: true,
        ..PacketNetwork::default()
    }));
    assert!(say(&mut bench, &words(&[1, 16, 1, 4096])).is_empty());
}
