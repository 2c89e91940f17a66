//! Life cycles of calls and the PCM that belongs to them.

use crate::bench::Bench;
use simulator::control::Request;
use simulator::{CallAudio, DtmfWay, Fault, FaultAction, OutgoingPolicy, Refusal, RingOptions};

const CALLER: &str = "+447700900123";

fn ring(bench: &mut Bench, options: RingOptions) {
    bench.tell(Request::Ring(RingOptions {
        from: CALLER.to_owned(),
        ..options
    }));
}

fn policy(bench: &mut Bench, policy: OutgoingPolicy) {
    bench.tell(Request::SetOutgoing { number: None, policy });
}

fn cause(bench: &Bench) -> Option<String> {
    bench
        .modem
        .books()
        .calls
        .records
        .back()
        .and_then(|call| call.cause.clone())
}

/// The order of lines is that of a real module (a Qt phone's log).
#[test]
fn an_incoming_call_is_announced_answered_and_ended_by_the_caller() {
    let mut bench = Bench::quiet();
    bench.set(&["AT+CLIP=1", "AT+CLCC=1"]);
    ring(&mut bench, RingOptions::default());
    assert_eq!(
        bench.take(),
        format!("|RING||+CLIP: \"{CALLER}\",145,,,\"\",0||+CLCC: 1,1,4,0,0,\"{CALLER}\",145|")
    );
    assert_eq!(bench.wait(1_000), format!("|RING||+CLIP: \"{CALLER}\",145,,,\"\",0|"));
    assert_eq!(bench.send("AT+CPAS\r"), "|+CPAS: 3||OK|");
    assert_eq!(
        bench.send("ATA\r"),
        format!("|VOICE CALL: BEGIN||OK||+CLCC: 1,1,0,0,0,\"{CALLER}\",145|")
    );
    assert_eq!(bench.wait(8_000), "");
    bench.tell(Request::HangUp);
    assert_eq!(
        bench.take(),
        format!("|+CLCC: 1,1,6,0,0,\"{CALLER}\",145||VOICE CALL: END: 000008|")
    );
    let record = bench.modem.books().calls.records[0].clone();
    assert_eq!(
        (record.rings, record.answered_ms, record.ended_ms),
        (2, Some(1_000), Some(9_000))
    );
}

#[test]
fn a_call_that_nobody_answers_is_missed() {
    let mut bench = Bench::quiet();
    bench.set(&["AT+CRC=1"]);
    ring(
        &mut bench,
        RingOptions {
            hang_up_after_ms: Some(2_500),
            ..RingOptions::default()
        },
    );
    assert_eq!(bench.wait(2_400), "|+CRING: VOICE||+CRING: VOICE||+CRING: VOICE|");
    assert_eq!(bench.wait(200), format!("|MISSED_CALL: 12:00AM {CALLER}|"));
    assert_eq!(bench.wait(5_000), "");
    assert_eq!(cause(&bench).as_deref(), Some("missed"));
}

#[test]
fn a_withheld_number_is_nowhere() {
    let mut bench = Bench::quiet();
    bench.set(&["AT+CLIP=1"]);
    ring(
        &mut bench,
        RingOptions {
            number_withheld: true,
            ..RingOptions::default()
        },
    );
    assert_eq!(bench.take(), "|RING||+CLIP: \"\",128,,,\"\",1|");
    assert_eq!(bench.send("AT+CLCC\r"), "|+CLCC: 1,1,4,0,0||OK|");
    assert_eq!(bench.send("AT+CHUP\r"), "|VOICE CALL: END: 000000||OK|");
    assert_eq!(bench.wait(5_000), "");
}

#[test]
fn an_outgoing_call_goes_through_its_states() {
    let mut bench = Bench::quiet();
    bench.set(&["AT+CLCC=1"]);
    assert_eq!(
        bench.send(&format!("ATD{CALLER};\r")),
        format!("|OK||+CLCC: 1,0,2,0,0,\"{CALLER}\",145|")
    );
    assert_eq!(bench.wait(20), format!("|+CLCC: 1,0,3,0,0,\"{CALLER}\",145|"));
    assert_eq!(
        bench.wait(50),
        format!("|VOICE CALL: BEGIN||+CLCC: 1,0,0,0,0,\"{CALLER}\",145|")
    );
    assert_eq!(bench.send("ATH\r"), "|OK|", "ATH is ignored");
    assert_eq!(bench.send("AT+CPAS\r"), "|+CPAS: 4||OK|");
    assert_eq!(bench.send("AT+VTS=\"1,2,#\"\r"), "|OK|");
    bench.set(&["AT+CVHU=0"]);
    assert_eq!(
        bench.send("ATH\r"),
        format!("|+CLCC: 1,0,6,0,0,\"{CALLER}\",145||VOICE CALL: END: 000000||OK|")
    );
    assert_eq!(bench.modem.books().calls.records[0].dtmf, "12#");
    assert_eq!(bench.send("AT+CLCC\r"), "|OK|");
}

#[test]
fn outgoing_calls_fail_with_the_code_of_their_cause() {
    for (refusal, code) in [
        (Refusal::Busy, "BUSY"),
        (Refusal::NoAnswer, "NO ANSWER"),
        (Refusal::Rejected, "NO CARRIER"),
    ] {
        let mut bench = Bench::quiet();
        policy(
            &mut bench,
            OutgoingPolicy::Refuse {
                cause: refusal,
                after_ms: 100,
            },
        );
        assert_eq!(bench.send("ATD100;\r"), "|OK|");
        assert_eq!(bench.wait(200), format!("|{code}|"));
        assert_eq!(bench.send("AT+CLCC\r"), "|OK|");
    }
}

#[test]
fn a_manual_call_waits_for_what_happens_outside() {
    let mut bench = Bench::quiet();
    policy(&mut bench, OutgoingPolicy::Manual);
    bench.set(&["ATD100;"]);
    assert_eq!(bench.wait(60_000), "");
    bench.tell(Request::Answer);
    assert_eq!(bench.take(), "|VOICE CALL: BEGIN|");
    assert_eq!(
        bench.ask(Request::Answer).err().as_deref(),
        Some("no outgoing call waits for an answer")
    );
}

#[test]
fn without_service_only_emergency_calls_are_dialled() {
    let mut bench = Bench::quiet();
    bench.tell(Request::SetRegistration {
        domain: None,
        state: simulator::RegistrationState::Denied,
    });
    assert_eq!(bench.send("ATD100;\r"), "|NO CARRIER|");
    assert_eq!(bench.send("ATD112;\r"), "|OK|");
    assert!(bench.ask(Request::Ring(RingOptions::default())).is_err());
}

#[test]
fn a_waiting_call_is_swapped_with_the_active_one() {
    let mut bench = Bench::quiet();
    bench.set(&["AT+CCWA=1,1"]);
    ring(&mut bench, RingOptions::default());
    bench.set(&["ATA"]);
    bench.take();
    bench.tell(Request::Ring(RingOptions {
        from: "+447700900456".to_owned(),
        ..RingOptions::default()
    }));
    assert_eq!(bench.take(), "|+CCWA: \"+447700900456\",145,1|");
    assert_eq!(bench.send("AT+CHLD=2\r"), "|VOICE CALL: BEGIN||OK|");
    assert_eq!(
        bench.send("AT+CLCC\r"),
        format!("|+CLCC: 1,1,1,0,0,\"{CALLER}\",145|+CLCC: 2,1,0,0,0,\"+447700900456\",145||OK|")
    );
    assert_eq!(bench.send("AT+CHLD=11\r"), "|VOICE CALL: END: 000000||OK|");
    assert_eq!(bench.send("AT+CHUP\r"), "|VOICE CALL: END: 000000||OK|");
}

#[test]
fn tones_of_the_other_party_are_told_when_wanted() {
    let mut bench = Bench::quiet();
    ring(&mut bench, RingOptions::default());
    bench.set(&["ATA"]);
    bench.tell(Request::Dtmf {
        digits: "1".to_owned(),
        way: DtmfWay::Reported,
    });
    assert_eq!(bench.take(), "");
    bench.set(&["AT+DDET=1"]);
    bench.tell(Request::Dtmf {
        digits: "5#".to_owned(),
        way: DtmfWay::Reported,
    });
    assert_eq!(bench.take(), "|+RXDTMF: 5||+RXDTMF: #|");
}

#[test]
fn pcm_flows_only_in_a_call_and_only_when_asked_for() {
    let mut bench = Bench::quiet();
    assert_eq!(bench.send("AT+CPCMREG=1\r"), "|ERROR|");
    ring(
        &mut bench,
        RingOptions {
            audio: CallAudio::Counter,
            ..RingOptions::default()
        },
    );
    bench.take();
    assert_eq!(bench.send("AT+CPCMREG=1\r"), "|ERROR|", "ringing is not enough");
    bench.set(&["ATA"]);
    bench.tell(Request::Inject {
        fault: Fault::now(FaultAction::RefusePcm { times: 1 }),
    });
    assert_eq!(bench.send("AT+CPCMREG=1\r"), "|ERROR|");
    assert!(bench.facts.is_empty());
    bench.set(&["AT+CPCMREG=1"]);
    assert_eq!(bench.send("AT+CPCMREG?\r"), "|+CPCMREG: 1||OK|");
    bench.set(&["AT+CPCMREG=0,1"]);
    bench.set(&["AT+CPCMFRM=1"]);
    bench.set(&["AT+CPCMREG=1"]);
    bench.send("AT+CHUP\r");
    assert_eq!(
        bench.facts,
        [
            "audio on 8000 Counter",
            "audio off",
            "audio on 16000 Counter",
            "audio off"
        ]
    );
    assert_eq!(bench.send("AT+CPCMFRM=0\r"), "|ERROR|", "there is no way back to 8 kHz");
}

#[test]
fn an_outgoing_call_with_early_pcm_hears_silence_until_the_answer() {
    let mut bench = Bench::quiet();
    policy(
        &mut bench,
        OutgoingPolicy::AnswerAfter {
            ms: 100,
            audio: CallAudio::Counter,
            record: None,
            hang_up_after_ms: Some(1_000),
        },
    );
    bench.set(&["ATD100;", "AT+CPCMREG=1"]);
    assert_eq!(bench.wait(500), "|VOICE CALL: BEGIN|");
    assert_eq!(bench.wait(1_000), "|VOICE CALL: END: 000001|");
    assert_eq!(
        bench.facts,
        [
            "audio on 8000 Silence",
            "audio off",
            "audio on 8000 Counter",
            "audio off"
        ]
    );
}

#[test]
fn a_call_ends_with_the_module() {
    let mut bench = Bench::quiet();
    ring(&mut bench, RingOptions::default());
    bench.set(&["ATA", "AT+CPCMREG=1"]);
    bench.tell(Request::Unplug);
    assert_eq!(bench.facts, ["audio on 8000 Silence", "audio off", "detached"]);
    assert_eq!(cause(&bench).as_deref(), Some("modem lost"));
}
