//! The peer against hosts that are written down octet by octet, against noise, and against lost packets.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::layers::{Identifiers, Settings4};
use super::negotiation::{Automaton, Change, ControlOption, Layer, Verdict, option};
use super::*;

/// Numbers of the trace in `frame.rs` and of another one of the same maker's chips (github.com/ppp-project/ppp issue 119).
const DRAWN: Drawn = Drawn {
    magic: 0xD084_690A,
    challenge: 0x38F2_1DC5_A29F_0931_D45D_CF6E_2042_19F0_u128.to_be_bytes(),
};

const GIVEN_V4: Settings4 = Settings4 {
    address: Ipv4Addr::new(10, 64, 0, 2),
    name_servers: [Ipv4Addr::new(192, 0, 2, 53), Ipv4Addr::new(198, 51, 100, 53)],
};
const GIVEN_V6: Identifiers = Identifiers { host: 2, module: 1 };

const BOTH: Granted = Granted {
    v4: Some(GIVEN_V4),
    v6: Some(GIVEN_V6),
};
const ONLY_V4: Granted = Granted {
    v4: Some(GIVEN_V4),
    v6: None,
};

/// What the module asks for, with each kind of authentication.
const BEGIN: &str = "c021 0100001902060000 00000305c2230505 06d084690a07020802";
const ACCEPT: &str = "c021 0200001902060000 00000305c2230505 06d084690a07020802";

/// What pppd asks for without further options, and the answer.
const HOST: &str = "c021 01010014020600000000050621e96b3907020802";
const HOST_ACCEPTED: &str = "c021 02010014020600000000050621e96b3907020802";
const DISCARD: &str = "c021 0b010008d084690a";

struct Host {
    peer: Peer,
    now: Instant,
    incoming: Incoming,
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| *c != ' ').collect()
}

fn octets(text: &str) -> Vec<u8> {
    crate::core::tpdu::from_hex(&plain(text)).expect("hexadecimal")
}

impl Host {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            peer: Peer::new(now, DRAWN),
            now,
            incoming: Incoming::new(0),
        }
    }

    /// What the module says, protocol and packet in hexadecimal, and what it tells whoever holds it.
    fn heard(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        while let Some(event) = self.peer.poll() {
            let Event::Octets(octets) = event else {
                heard.push(format!("{event:?}"));
                continue;
            };
            for frame in octets.iter().filter_map(|octet| self.incoming.push(*octet)) {
                let packet: String = frame.information.iter().map(|octet| format!("{octet:02x}")).collect();
                heard.push(format!("{:04x}{packet}", frame.protocol));
            }
        }
        heard
    }

    fn say(&mut self, text: &str) -> Vec<String> {
        let octets = octets(text);
        let protocol = u16::from_be_bytes([octets[0], octets[1]]);
        let line = lay_out(protocol, &octets[2..], Manner::default());
        self.peer.receive(self.now, &line);
        self.heard()
    }

    /// Says the packets and expects exactly these answers.
    fn dialogue(&mut self, steps: &[(&str, &[&str])]) {
        for (said, answers) in steps {
            let answers: Vec<String> = answers
                .iter()
                .map(|answer| {
                    if answer.starts_with(char::is_uppercase) {
                        (*answer).to_owned()
                    } else {
                        plain(answer)
                    }
                })
                .collect();
            assert_eq!(self.say(said), answers, "to {said}");
        }
    }

    /// A link with a host that shows nothing of itself.
    fn linked() -> Self {
        let mut host = Self::new();
        host.heard();
        host.dialogue(&[
            (
                "c021 04000009 0305c22305",
                &["c021 010100140206000000000506d084690a07020802"],
            ),
            (HOST, &[HOST_ACCEPTED]),
            (
                "c021 020100140206000000000506d084690a07020802",
                &["c021 0b020008d084690a"],
            ),
        ]);
        host
    }

    fn activate(&mut self, granted: Granted) -> Vec<String> {
        self.peer.activate(self.now, granted);
        self.heard()
    }

    fn wait(&mut self, seconds: u64) -> Vec<String> {
        let end = self.now + Duration::from_secs(seconds);
        let mut heard = Vec::new();
        while let Some(due) = self.peer.due().filter(|due| *due <= end) {
            self.now = due;
            self.peer.timeout(due);
            heard.extend(self.heard());
        }
        self.now = end;
        heard
    }
}

#[test]
fn a_link_comes_up_with_a_challenge_and_ends_as_the_host_wants() {
    let mut host = Host::new();
    assert_eq!(host.heard(), [plain(BEGIN)]);
    let challenge = "c223 0101002310 38f21dc5a29f0931d45dcf6e204219f0 554d54535f434841505f53525652";
    host.dialogue(&[
        (HOST, &[HOST_ACCEPTED]),
        (ACCEPT, &[DISCARD, challenge]),
        ("c021 0900000821e96b39", &["c021 0a00000cd084690a21e96b39"]),
    ]);
    // MD5 over the identifier 1, "secret" and the challenge, computed with Python's hashlib.
    let proof = host.say("c223 0201001910 dc66a7b4c8d6bdfe52177e01242abf5c 75736572");
    assert!(
        proof[0].starts_with("Authenticate(Response { user: \"user\", identifier: 1"),
        "{proof:?}"
    );
    host.peer.admit(host.now, true);
    assert_eq!(host.heard(), [plain("c223 03010004")]);
    // The verdict got lost.
    host.dialogue(&[(
        "c223 0201001910 00000000000000000000000000000000 75736572",
        &["c223 03010004"],
    )]);
    let none = "8021 01010016 030600000000 810600000000 830600000000";
    host.dialogue(&[(none, &["Activate"]), (none, &[])]);
    let suggested = "8021 03010016 03060a400002 8106c0000235 8306c6336435";
    assert_eq!(host.activate(ONLY_V4), [plain("8021 01000004"), plain(suggested)]);
    host.dialogue(&[
        ("8021 0300000a 030600000000", &["8021 01010004"]),
        ("8021 02010004", &[]),
        (
            "8021 01020016 03060a400002 8106c0000235 8306c6336435",
            &["8021 02020016 03060a400002 8106c0000235 8306c6336435", "Up(4)"],
        ),
        ("0021 45000014", &["Packet([69, 0, 0, 20])"]),
        ("0057 60000000", &[]),
        ("c021 05020004", &["c021 06020004", "Down(4)", "Over(Terminated)"]),
        (HOST, &[]),
    ]);
    assert_eq!((host.peer.phase(), host.peer.due()), (Phase::Over, None));
}

#[test]
fn the_digest_of_a_challenge_is_that_of_rfc_1994() {
    let digest = octets("dc66a7b4c8d6bdfe52177e01242abf5c");
    let proof = |known: &str| {
        let proof = Proof::Response {
            user: String::new(),
            identifier: 1,
            challenge: DRAWN.challenge,
            digest: digest[..].try_into().expect("16 octets"),
        };
        proof.holds(known)
    };
    assert_eq!((proof("secret"), proof("Secret"), proof("")), (true, false, false));
}

#[test]
fn a_host_with_a_password_only_gets_what_it_can() {
    // EAP and MS-CHAP are answered alike.
    for suggestion in [
        "c021 03000008 0304c023",
        "c021 03000008 0304c227",
        "c021 03000009 0305c22381",
    ] {
        let mut host = Host::new();
        host.heard();
        let again = "c021 01010018 020600000000 0304c023 0506d084690a 0702 0802";
        host.dialogue(&[
            (HOST, &[HOST_ACCEPTED]),
            (suggestion, &[again]),
            (
                "c021 02010018 020600000000 0304c023 0506d084690a 0702 0802",
                &["c021 0b020008d084690a"],
            ),
            (
                "c023 01070010 0475736572 06736563726574",
                &["Authenticate(Password { user: \"user\", password: \"secret\" })"],
            ),
        ]);
        host.peer.admit(host.now, false);
        assert_eq!(host.heard(), [plain("c023 0307000500"), plain("c021 05030004")]);
        host.dialogue(&[("c021 06030004", &["Over(Closed)"])]);
    }
}

#[test]
fn a_host_that_shows_nothing_and_one_that_never_begins_to_are_told_apart() {
    let mut host = Host::linked();
    assert_eq!(host.peer.phase(), Phase::Network);
    host.dialogue(&[("8057 0101000e 010a00000000deadbeef", &["Activate"])]);
    let mut host = Host::new();
    host.heard();
    host.dialogue(&[(HOST, &[HOST_ACCEPTED])]);
    assert_eq!(host.say(ACCEPT).len(), 2);
    let heard = host.wait(60);
    let challenges = heard.iter().filter(|packet| packet.starts_with("c22301"));
    assert_eq!(challenges.count(), 9, "ten with the first one");
    assert_eq!(heard.last().map(String::as_str), Some("Over(GivenUp)"));
}

#[test]
fn what_the_module_does_not_have_is_refused() {
    let mut host = Host::linked();
    // CCP, and a packet that its compression made.
    host.dialogue(&[
        (
            "80fd 01020009 1a047800 18",
            &["c021 0882000f 80fd 01020009 1a047800 18"],
        ),
        ("00fd 1234", &["c021 08820008 00fd 1234"]),
        ("8021 01010010 0206002d0f01 030600000000", &["Activate"]),
    ]);
    assert_eq!(
        host.activate(ONLY_V4),
        [plain("8021 01000004"), plain("8021 0401000a 0206002d0f01")]
    );
    host.dialogue(&[
        (
            "8021 01020010 8206 00000000 8406 00000000",
            &["8021 04020010 8206 00000000 8406 00000000"],
        ),
        ("8057 01010004", &["c021 0882000a 8057 01010004"]),
        // A code that nobody knows.
        ("8021 0e050004", &["8021 07800008 0e050004"]),
    ]);
    assert_eq!(host.peer.phase(), Phase::Network);
}

#[test]
fn options_of_the_link_are_judged_one_by_one() {
    let cases = [
        ("010405dc", "02", "010405dc"),
        ("01040020", "03", "010405dc"),
        ("0206000a0000", "02", "0206000a0000"),
        // The module's own number: a loop.
        ("0506d084690a", "03", "05062f7b96f5"),
        // The module has no password to show; quality reports, callback and multilink it does not have.
        ("0304c023", "04", "0304c023"),
        ("0408c02500000000", "04", "0408c02500000000"),
        ("0d0306", "04", "0d0306"),
        ("110405dc 0702", "04", "110405dc"),
        // Rejects come before other suggestions.
        ("01040020 0d0306", "04", "0d0306"),
        ("", "02", ""),
    ];
    for (asked, code, answered) in cases {
        let mut host = Host::new();
        host.heard();
        let packet = |code: &str, options: &str| {
            let options = plain(options);
            format!("c021{code}01{:04x}{options}", 4 + options.len() / 2)
        };
        assert_eq!(host.say(&packet("01", asked)), [packet(code, answered)], "{asked}");
    }
    // An option that is longer than its packet, and one that is shorter than itself.
    for broken in [
        "c021 01010008 02060000",
        "c021 01010006 0201",
        "c021 01010003",
        "c021 0101ffff",
    ] {
        let mut host = Host::new();
        host.heard();
        assert_eq!(host.say(broken), [] as [&str; 0], "{broken}");
    }
}

#[test]
fn both_versions_of_ip_come_up_and_go_by_themselves() {
    let mut host = Host::linked();
    host.dialogue(&[
        ("8057 0101000e 010a0000000000000000", &["Activate"]),
        ("8021 0101000a 03060a400002", &[]),
    ]);
    let answers = [
        "8021 01000004",
        "8021 0201000a 03060a400002",
        "8057 0100000e 010a0000000000000001",
        "8057 0301000e 010a0000000000000002",
    ];
    assert_eq!(host.activate(BOTH), answers.map(plain));
    host.dialogue(&[
        (
            "8057 0102000e 010a0000000000000002",
            &["8057 0202000e 010a0000000000000002"],
        ),
        ("8057 0200000e 010a0000000000000001", &["Up(6)"]),
        ("8021 02000004", &["Up(4)"]),
        ("0057 60000000", &["Packet([96, 0, 0, 0])"]),
        // The host takes IPv4 down; the link stays for IPv6.
        ("8021 05070004", &["8021 06070004", "Down(4)"]),
        ("0021 45000014", &[]),
        ("8057 05080004", &["8057 06080004", "Down(6)", "c021 05030004"]),
    ]);
}

#[test]
fn a_host_without_ipv6_rejects_it_and_keeps_ipv4() {
    let mut host = Host::linked();
    host.dialogue(&[("8021 0101000a 03060a400002", &["Activate"])]);
    assert_eq!(host.activate(BOTH).len(), 3);
    host.dialogue(&[
        ("8021 02000004", &["Up(4)"]),
        ("c021 08090014 8057 0100000e 010a0000000000000001", &["Down(6)"]),
        ("0021 45000014", &["Packet([69, 0, 0, 20])"]),
    ]);
    assert_eq!(
        host.wait(60),
        [] as [&str; 0],
        "nothing is said again to a host that does not have it"
    );
}

#[test]
fn a_network_that_gives_nothing_ends_the_link() {
    let mut host = Host::linked();
    host.dialogue(&[("8021 0101000a 030600000000", &["Activate"])]);
    assert_eq!(host.activate(Granted { v4: None, v6: None }), [plain("c021 05030004")]);
    // A host that does not even acknowledge that is left alone after a second try.
    assert_eq!(host.wait(10), [plain("c021 05040004"), "Over(Closed)".to_owned()]);
}

#[test]
fn who_never_answers_is_asked_ten_times() {
    let mut host = Host::new();
    let mut heard = host.heard();
    heard.extend(host.wait(60));
    assert_eq!(heard.len(), 11);
    assert!(heard[..10].iter().all(|packet| *packet == plain(BEGIN)));
    assert_eq!(heard[10], "Over(GivenUp)");
}

#[test]
fn a_host_that_begins_anew_is_asked_everything_anew() {
    let mut host = Host::linked();
    host.dialogue(&[("8021 0101000a 03060a400002", &["Activate"])]);
    host.activate(ONLY_V4);
    host.dialogue(&[
        ("8021 02000004", &["Up(4)"]),
        (
            HOST,
            &[
                "Down(4)",
                "c021 010300140206000000000506d084690a07020802",
                HOST_ACCEPTED,
            ],
        ),
        ("0021 45000014", &[]),
        (
            "c021 020300140206000000000506d084690a07020802",
            &["c021 0b040008d084690a"],
        ),
        ("8021 0101000a 03060a400002", &["Activate"]),
    ]);
}

#[test]
fn packets_for_the_host_are_as_long_as_it_takes_them_and_as_short_as_it_wants_them() {
    let mut host = Host::new();
    host.heard();
    host.dialogue(&[
        (
            "c021 04000009 0305c22305",
            &["c021 010100140206000000000506d084690a07020802"],
        ),
        (
            "c021 01010012 01040100 02060000 0000 0702 0802",
            &["c021 02010012 01040100 02060000 0000 0702 0802"],
        ),
    ]);
    host.say("c021 020100140206000000000506d084690a07020802");
    host.say("8021 0101000a 03060a400002");
    host.activate(ONLY_V4);
    assert!(!host.peer.send(&[0x45; 20]), "IPCP is not up");
    host.say("8021 02000004");
    assert!(!host.peer.send(&[0x45; 257]) && !host.peer.send(&[0x60; 40]) && !host.peer.send(&[]));
    assert!(host.peer.send(&[0x45, 0x00, 0x7E]));
    let Some(Event::Octets(line)) = host.peer.poll() else {
        panic!("no octets");
    };
    // Neither address nor control, one octet of the protocol, a control character as it is, and a flag that is none.
    assert_eq!(line[..6], [0x7E, 0x21, 0x45, 0x00, 0x7D, 0x5E]);
}

/// The host's side of a protocol, for the automaton against itself.
#[derive(Debug, Clone)]
struct Asker(Vec<u8>);

impl Layer for Asker {
    fn wanted(&self) -> Vec<ControlOption> {
        vec![option(1, self.0.clone())]
    }

    fn suggested(&mut self, option: &ControlOption) {
        self.0.clone_from(&option.value);
    }

    fn declined(&mut self, _: u8) {}

    fn judge(&self, _: &ControlOption) -> Verdict {
        Verdict::Good
    }

    fn granted(&mut self, _: &[ControlOption]) {}
}

#[derive(Debug, Clone)]
enum Step {
    Noise(Vec<u8>),
    Packet(u16, Vec<u8>),
    Admit(bool),
    Activate(bool, bool),
    Wait(u64),
    Send(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let protocols = prop::sample::select(vec![LCP, LCP, PAP, CHAP, IPCP, IPV6CP, IPV4, IPV6, 0x80FD]);
    // Codes and lengths that are often right, so that what is behind them is reached.
    let packet = (0_u8..16, any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(code, id, data)| {
        let mut octets = vec![code, id, 0, (data.len() + 4) as u8];
        octets.extend(data);
        octets
    });
    let real = prop::sample::select(vec![
        HOST,
        ACCEPT,
        "c021 04000009 0305c22305",
        "8021 0101000a 030600000000",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Step::Noise),
        (protocols, packet).prop_map(|(protocol, packet)| Step::Packet(protocol, packet)),
        real.prop_map(|text| {
            let octets = octets(text);
            Step::Packet(u16::from_be_bytes([octets[0], octets[1]]), octets[2..].to_vec())
        }),
        any::<bool>().prop_map(Step::Admit),
        any::<(bool, bool)>().prop_map(|(v4, v6)| Step::Activate(v4, v6)),
        (0_u64..40).prop_map(Step::Wait),
        prop::collection::vec(any::<u8>(), 0..2_000).prop_map(Step::Send),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn lost_packets_delay_an_agreement_and_nothing_else(lost in prop::collection::vec(any::<bool>(), 0..12)) {
        let mut now = Instant::now();
        let mut module = Automaton::new(GIVEN_V6);
        let mut host = Automaton::new(Asker(vec![0; 8]));
        let mut lost = lost.into_iter();
        module.open(now);
        host.open(now);
        for _ in 0..40 {
            for _ in 0..20 {
                let (to_host, to_module) = (module.take_outgoing(), host.take_outgoing());
                for packet in to_host.iter().filter(|_| !lost.next().unwrap_or_default()) {
                    host.receive(now, packet);
                }
                for packet in to_module.iter().filter(|_| !lost.next().unwrap_or_default()) {
                    prop_assert_ne!(module.receive(now, packet), Some(Change::GivenUp));
                }
            }
            if module.is_open() && host.is_open() {
                break;
            }
            now += Duration::from_secs(3);
            module.timeout(now);
            host.timeout(now);
        }
        prop_assert!(module.is_open() && host.is_open());
        prop_assert_eq!(host.layer.0, 2_u64.to_be_bytes());
    }

    #[test]
    fn whatever_a_host_does_the_peer_stays_whole_and_small(steps in prop::collection::vec(step(), 0..60)) {
        let mut host = Host::new();
        for step in steps {
            match step {
                Step::Noise(octets) => host.peer.receive(host.now, &octets),
                Step::Packet(protocol, packet) => {
                    let line = lay_out(protocol, &packet, Manner::default());
                    host.peer.receive(host.now, &line);
                }
                Step::Admit(good) => host.peer.admit(host.now, good),
                Step::Activate(v4, v6) => {
                    let granted = Granted { v4: BOTH.v4.filter(|_| v4), v6: BOTH.v6.filter(|_| v6) };
                    host.peer.activate(host.now, granted);
                }
                Step::Wait(seconds) => drop(host.wait(seconds)),
                Step::Send(packet) => drop(host.peer.send(&packet)),
            }
            prop_assert!(host.peer.events.len() < 400);
            host.heard();
            if host.peer.phase() == Phase::Over {
                prop_assert_eq!(host.peer.due(), None);
            }
        }
    }
}
