//! Replies as real modules give them, and the V.250 rules around them.

use crate::bench::Bench;
use expect_test::{Expect, expect};
use simulator::control::Request;
use simulator::{Config, Fault, FaultAction, Function, PinState, Timing};

fn check(commands: &[&str], expected: Expect) {
    let mut bench = Bench::quiet();
    let shown: String = commands
        .iter()
        .map(|command| format!("{command} -> {}\n", bench.send(&format!("{command}\r"))))
        .collect();
    expected.assert_eq(&shown);
}

#[test]
fn power_on_announces_itself_on_both_ports_in_the_order_of_a_real_module() {
    let mut bench = Bench::new();
    let expected = "|RDY||+CPIN: READY||SMS DONE||PB DONE|";
    assert_eq!(bench.take(), expected);
    assert_eq!(bench.take_from(Function::Modem), expected);
}

#[test]
fn identification() {
    check(
        &[
            "ATI",
            "AT+CGMI",
            "AT+CGMM",
            "AT+CGMR",
            "AT+CGSN",
            "AT+CIMI",
            "AT+CICCID",
            "AT+CNUM",
            "AT+SPIC",
            "AT+CGMI=?",
        ],
        expect![[r#"
            ATI -> |Manufacturer: SIMCOM INCORPORATED|Model: SIMCOM_SIM7600G-H|Revision: SIM7600G_V2.0.2|IMEI: 867584030000017|+GCAP: +CGSM||OK|
            AT+CGMI -> |SIMCOM INCORPORATED||OK|
            AT+CGMM -> |SIMCOM_SIM7600G-H||OK|
            AT+CGMR -> |+CGMR: LE20B04SIM7600G22||OK|
            AT+CGSN -> |867584030000017||OK|
            AT+CIMI -> |001010000000001||OK|
            AT+CICCID -> |+ICCID: 8900101000000000017||OK|
            AT+CNUM -> |+CNUM: "","+447700900001",145||OK|
            AT+SPIC -> |+SPIC: 3,10,3,10||OK|
            AT+CGMI=? -> |OK|
        "#]],
    );
}

#[test]
fn network() {
    check(
        &[
            "AT+CSQ",
            "AT+CREG=2;+CEREG=2",
            "AT+CREG?;+CGREG?;+CEREG?",
            "AT+COPS?",
            "AT+CPSI?",
            "AT+CNSMOD?",
            "AT+CGDCONT?",
            "AT+CGACT=1,9",
            "AT+CGACT=1,1",
            "AT+CGATT?",
        ],
        expect![[r#"
            AT+CSQ -> |+CSQ: 21,99||OK|
            AT+CREG=2;+CEREG=2 -> |OK|
            AT+CREG?;+CGREG?;+CEREG? -> |+CREG: 2,1,B0F5,00C919E4||+CGREG: 0,1||+CEREG: 2,1,B0F5,00C919E4,7||OK|
            AT+COPS? -> |+COPS: 0,0,"Test Network",7||OK|
            AT+CPSI? -> |+CPSI: LTE,Online,001-01,0xB0F5,13179364,448,EUTRAN-BAND1,100,4,4,-100,-950,-710,12||OK|
            AT+CNSMOD? -> |+CNSMOD: 0,8||OK|
            AT+CGDCONT? -> |+CGDCONT: 1,"IP","","0.0.0.0",0,0,0,0|+CGDCONT: 2,"IPV4V6","ims","0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0",0,0,0,0|+CGDCONT: 3,"IPV4V6","","0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0",0,0,0,1||OK|
            AT+CGACT=1,9 -> |+CME ERROR: invalid index|
            AT+CGACT=1,1 -> |OK|
            AT+CGATT? -> |+CGATT: 1||OK|
        "#]],
    );
}

#[test]
fn what_a_real_module_refuses() {
    check(
        &[
            "AT+CEVOLTE?",
            "AT+CUSBSPEED?",
            "AT+CMUX=0",
            "AT+CUSBPIDSWITCH=1025,1,1",
            "AT+CPCMREG=1",
            "ATA",
            "AT+CLVL=9",
        ],
        expect![[r#"
            AT+CEVOLTE? -> |ERROR|
            AT+CUSBSPEED? -> |ERROR|
            AT+CMUX=0 -> |ERROR|
            AT+CUSBPIDSWITCH=1025,1,1 -> |ERROR|
            AT+CPCMREG=1 -> |ERROR|
            ATA -> |NO CARRIER|
            AT+CLVL=9 -> |ERROR|
        "#]],
    );
}

#[test]
fn error_reporting_follows_cmee_and_the_first_error_ends_the_line() {
    let mut bench = Bench::quiet();
    assert_eq!(bench.send("AT+CMGR=99\r"), "|+CMS ERROR: Invalid memory index|");
    bench.set(&["AT+CMEE=1"]);
    assert_eq!(bench.send("AT+CGACT=1,9;+CSQ\r"), "|+CME ERROR: 21|");
    assert_eq!(bench.send("AT+CSQ;+CMGR=99;+CREG?\r"), "|+CSQ: 21,99||+CMS ERROR: 321|");
    bench.set(&["AT+CMEE=0"]);
    assert_eq!(bench.send("AT+CGACT=1,9\r"), "|ERROR|");
}

#[test]
fn echo_is_on_at_first_and_each_port_has_its_own() {
    let mut bench = Bench::new();
    bench.clear();
    assert_eq!(bench.send("AT\r"), "AT\r|OK|");
    assert_eq!(bench.send("ATE0\r"), "ATE0\r|OK|");
    assert_eq!(bench.send("AT\r\n"), "|OK|");
    assert_eq!(bench.send_to(Function::Modem, "AT\r"), "AT\r|OK|");
}

#[test]
fn lines_survive_noise_repetition_and_any_chunking() {
    let mut bench = Bench::quiet();
    assert_eq!(bench.send("A"), "");
    assert_eq!(bench.send("T+CS"), "");
    assert_eq!(bench.send("Q\r"), "|+CSQ: 21,99||OK|");
    assert_eq!(bench.send("A/"), "|+CSQ: 21,99||OK|");
    assert_eq!(bench.send("\u{1b}\u{1a}xxAT\r"), "|OK|");
    assert_eq!(bench.send("no command\r"), "");
    assert_eq!(bench.send(&format!("AT{}\r", "x".repeat(5_000))), "|ERROR|");
    assert_eq!(bench.send("ATV0\r"), "0\r");
    assert_eq!(bench.send("AT+NOPE\r"), "4\r");
}

#[test]
fn a_scan_takes_time_and_any_input_ends_it() {
    let mut bench = Bench::quiet();
    assert_eq!(bench.send("AT+COPS=?\r"), "");
    assert!(bench.wait(100).starts_with("|+COPS: (2,\"Test Network\""));
    assert_eq!(bench.send("AT+COPS=?\r"), "");
    assert_eq!(bench.send("x"), "|OK|");
    assert_eq!(bench.wait(100), "");
}

#[test]
fn unsolicited_lines_go_where_catr_sends_them() {
    let mut bench = Bench::quiet();
    for (command, at, modem) in [
        ("AT+CATR=0", "|TEST|", "|TEST|"),
        ("AT+CATR=1", "", ""),
        ("AT+CATR=2", "", "|TEST|"),
        ("AT+CATR=3", "|TEST|", ""),
    ] {
        bench.set(&[command]);
        bench.tell(Request::Unsolicited {
            line: "TEST".to_owned(),
        });
        assert_eq!(
            (bench.take().as_str(), bench.take_from(Function::Modem).as_str()),
            (at, modem),
            "{command}"
        );
    }
}

#[test]
fn three_wrong_pins_lead_to_the_puk_and_the_puk_back() {
    let config = Config {
        pin: Some("4711".to_owned()),
        ..Config::default()
    };
    let mut bench = Bench::with(Timing::Instant, config);
    bench.send("ATE0;+CMEE=1\r");
    for (line, answer) in [
        ("AT+CPIN?", "|+CPIN: SIM PIN||OK|"),
        ("AT+CIMI", "|+CME ERROR: 11|"),
        ("AT+CMGL=4", "|+CMS ERROR: 311|"),
        ("AT+CREG?", "|+CREG: 0,0||OK|"),
        ("AT+CPIN=\"1111\"", "|+CME ERROR: 16|"),
        ("AT+CPIN=\"1111\"", "|+CME ERROR: 16|"),
        ("AT+SPIC", "|+SPIC: 1,10,3,10||OK|"),
        ("AT+CPIN=\"1111\"", "|+CME ERROR: 12|"),
        ("AT+CPIN?", "|+CPIN: SIM PUK||OK|"),
        ("AT+CPIN=\"4711\"", "|+CME ERROR: 16|"),
        ("AT+CPIN=\"00000000\",\"1234\"", "|+CME ERROR: 16|"),
        ("AT+CPIN=\"12345678\",\"1234\"", "|OK||+CPIN: READY||SMS DONE||PB DONE|"),
        ("AT+CREG?", "|+CREG: 0,1||OK|"),
    ] {
        assert_eq!(bench.send(&format!("{line}\r")), answer, "{line}");
    }
    bench.send("AT+CRESET\r");
    bench.wait(1_000);
    assert_eq!(bench.send("ATE0\r"), "ATE0\r|OK|");
    assert_eq!(bench.send("AT+CPIN?\r"), "|+CPIN: SIM PIN||OK|");
    assert!(bench.send("AT+CPIN=1234\r").starts_with("|OK|"));
}

#[test]
fn a_removed_sim_is_told_and_refused() {
    let mut bench = Bench::quiet();
    bench.set(&["AT+CREG=1"]);
    bench.tell(Request::SetSim {
        state: PinState::Absent,
    });
    assert_eq!(bench.take(), "|+CPIN: NOT INSERTED||+CREG: 0|");
    assert_eq!(bench.send("AT+CPIN?\r"), "|+CME ERROR: SIM not inserted|");
    bench.tell(Request::SetSim { state: PinState::Ready });
    assert_eq!(bench.take(), "|+CPIN: READY||+CREG: 2||+CREG: 1||SMS DONE||PB DONE|");
}

#[test]
fn a_change_of_the_composition_enumerates_anew() {
    let mut bench = Bench::quiet();
    assert_eq!(bench.send("AT+CUSBPIDSWITCH?\r"), "|+CUSBPIDSWITCH: 9001||OK|");
    bench.set(&["AT+CUSBPIDSWITCH=9001,1,1"]);
    bench.wait(1_000);
    assert!(bench.facts.is_empty());
    bench.set(&["AT+CUSBPIDSWITCH=9011,1,1"]);
    bench.wait(1_000);
    assert_eq!(bench.facts, ["detached", "attached 9011"]);
}

#[test]
fn a_reset_forgets_volatile_settings_and_keeps_messages() {
    let mut bench = Bench::quiet();
    bench.set(&["AT+CLIP=1", "AT+CNMI=2,1,0,2,0"]);
    bench.deliver("+447700900123", "kept");
    bench.set(&["AT+CRESET"]);
    bench.wait(1_000);
    bench.send("ATE0\r");
    assert_eq!(bench.send("AT+CLIP?\r"), "|+CLIP: 0,1||OK|");
    assert_eq!(bench.send("AT+CNMI?\r"), "|+CNMI: 2,1,0,2,0||OK|");
    assert!(bench.send("AT+CPMS?\r").starts_with("|+CPMS: \"ME\",1,23,"));
}

#[test]
fn positioning_speaks_on_the_nmea_port_while_it_runs() {
    let mut bench = Bench::quiet();
    assert_eq!(bench.send("AT+CGPSINFO\r"), "|+CGPSINFO: ,,,,,,,,||OK|");
    bench.set(&["AT+CGPS=1"]);
    assert_eq!(bench.send("AT+CGPS=1\r"), "|ERROR|");
    bench.wait(1_000);
    let sentences = bench.take_from(Function::Nmea);
    assert_eq!(
        sentences,
        "$GPGGA,000001.0,3113.343280,N,12121.224040,E,1,10,0.8,44.1,M,0,M,,*44|$GPRMC,000001.0,A,3113.343280,N,12121.224040,E,0.0,0.0,010170,,,A*67|"
    );
    assert_eq!(
        bench.send("AT+CGPSINFO\r"),
        "|+CGPSINFO: 3113.343280,N,12121.224040,E,010170,000001.0,44.1,0.0,0||OK|"
    );
    assert_eq!(bench.send("AT+CGPS=0\r"), "|OK||+CGPS: 0|");
    bench.wait(5_000);
    assert_eq!(bench.take_from(Function::Nmea), "");
}

#[test]
fn a_ussd_menu_leads_to_its_end() {
    let mut bench = Bench::quiet();
    assert_eq!(bench.send("AT+CUSD=1,\"*123#\",15\r"), "|OK|");
    assert_eq!(
        bench.wait(10),
        "|+CUSD: 1,\"1 Balance\n2 Number\n3 Recharge\n0 End\",15|"
    );
    assert_eq!(bench.send("AT+CUSD=1,\"1\"\r"), "|OK|");
    assert_eq!(bench.wait(10), "|+CUSD: 0,\"Balance: 12.34 EUR\",15|");
    assert_eq!(bench.send("AT+CUSD=1,\"*999#\"\r"), "|OK|");
    assert_eq!(bench.wait(10), "|+CUSD: 4|");
}

#[test]
fn realistic_timing_takes_the_time_of_a_real_module() {
    let mut bench = Bench::with(Timing::Realistic, Config::default());
    bench.wait(100);
    assert_eq!(bench.send("ATE0\r"), "ATE0\r");
    assert_eq!(bench.wait(20), "|OK|");
    bench.send("AT+CPIN?\r");
    assert_eq!(bench.wait(20), "|+CME ERROR: SIM busy|");
    bench.send("AT+CREG=1\r");
    let heard = bench.wait(60_000);
    assert_eq!(heard, "|OK||RDY||+CPIN: READY||+CREG: 2||SMS DONE||PB DONE||+CREG: 1|");
    bench.send("AT+CRESET\r");
    bench.wait(14_000);
    assert_eq!(bench.facts.last().map(String::as_str), Some("detached"));
    bench.wait(7_000);
    assert_eq!(bench.facts.last().map(String::as_str), Some("attached 9001"));
}

#[test]
fn each_fault_of_the_script_does_what_its_name_says() {
    use FaultAction::{
        Delay, EchoTwice, InjectBytes, InjectUnsolicited, LoseFinalResult, LosePrompt, LoseReply, Refuse, Silence,
    };
    use simulator::{
        Code,
        Phase::{After, Before},
    };
    let line = "+CMTI: \"ME\",1".to_owned();
    for (action, phase, expected, later) in [
        (LoseFinalResult, After, "|+CSQ: 21,99|", ""),
        (LoseReply, After, "", ""),
        (Delay { ms: 500 }, After, "", "|+CSQ: 21,99||OK|"),
        (Refuse { code: Code::Cme(14) }, Before, "|+CME ERROR: SIM busy|", ""),
        (
            InjectUnsolicited { line },
            After,
            "|+CSQ: 21,99||+CMTI: \"ME\",1||OK|",
            "",
        ),
        (
            InjectBytes { hex: "584F".to_owned() },
            Before,
            "XO|+CSQ: 21,99||OK|",
            "",
        ),
        (InjectBytes { hex: "584F".to_owned() }, After, "|+CSQ: 21,99|XO|OK|", ""),
        (EchoTwice, Before, "AT+CSQ\r|+CSQ: 21,99||OK|", ""),
        (Silence { ms: 300 }, Before, "", ""),
        (LosePrompt, Before, "|+CSQ: 21,99||OK|", ""),
    ] {
        let mut bench = Bench::quiet();
        bench.tell(Request::Inject {
            fault: Fault::on_command("+CSQ", phase, action.clone()),
        });
        assert_eq!(bench.send("AT+CSQ\r"), expected, "{action:?}");
        assert_eq!(bench.wait(1_000), later, "{action:?}");
        assert_eq!(bench.send("AT+CSQ\r"), "|+CSQ: 21,99||OK|", "after {action:?}");
    }
}

#[test]
fn an_unplug_before_or_after_a_command_decides_whether_it_had_an_effect() {
    use simulator::Phase::{After, Before};
    for (phase, left) in [(Before, 1), (After, 0)] {
        let mut bench = Bench::quiet();
        bench.deliver("+447700900123", "x");
        bench.clear();
        let action = FaultAction::Unplug {
            replug_after_ms: Some(50),
            renumber: false,
        };
        bench.tell(Request::Inject {
            fault: Fault::on_command("+CMGD", phase, action),
        });
        assert_eq!(bench.send("AT+CMGD=0\r"), "", "{phase:?}");
        assert_eq!(bench.facts, ["detached"], "{phase:?}");
        bench.wait(100);
        assert!(
            bench.send("AT+CPMS?\r").contains(&format!("\"ME\",{left},23")),
            "{phase:?}"
        );
    }
}

proptest::proptest! {
    /// The same bytes in any chunking have the same answer, and no bytes make it panic.
    #[test]
    fn chunking_does_not_matter(noise in "\\PC{0,40}", cuts in proptest::collection::vec(1usize..40, 1..40)) {
        let script = format!(
            "AT+CSQ\rATE1\rAT+CMGS=14\r0001000C9144770009406500000141\u{1a}AT+CMGL=4;+CREG?\r{noise}\rATD100;\rAT+CLCC\rAT+CHUP\r"
        );
        let mut whole = Bench::quiet();
        let expected = whole.send_bytes(Function::At, script.as_bytes());
        let mut pieces = Bench::quiet();
        let mut heard = Vec::new();
        let mut rest = script.as_bytes();
        for cut in cuts.into_iter().cycle() {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            heard.extend(pieces.send_bytes(Function::At, piece));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        proptest::prop_assert_eq!(heard, expected);
    }
}
