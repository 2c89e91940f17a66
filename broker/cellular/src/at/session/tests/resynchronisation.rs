//! After a time-out: no late reply may complete another command.

use super::*;

#[test]
fn a_late_final_result_code_never_completes_the_next_command() {
    let mut bench = Bench::new();
    bench.start(Command::raw("AT+CREG=2", Duration::from_secs(10)).expect("valid"));
    bench.wait(10_000);
    assert_eq!(bench.session.start(bench.now, command::signal_quality()), Err(Busy));
    bench.wait(300);
    // The late reply comes after the probe went out; the answer to the probe after it.
    bench.receive("\r\nOK\r\n");
    assert!(!bench.session.is_ready());
    bench.receive("\r\n+CMEE: 1\r\n\r\nRING\r\n\r\nOK\r\n");
    bench.start(command::signal_quality());
    bench.receive("\r\n+CSQ: 9,99\r\n\r\nOK\r\n");
    bench.check(&expect![[r#"
        -> AT+CREG=2\r
        failed TimedOut { payload_sent: false }
        -> AT+CMEE?\r
        urc ["RING"] = Ring(Unspecified)
        Resynchronised
        -> AT+CSQ\r
        finished ["+CSQ: 9,99"] OK
        Ready
    "#]]);
}

#[test]
fn the_late_answer_to_an_earlier_probe_does_not_count() {
    let mut bench = Bench::new();
    bench.start(command::signal_quality());
    bench.wait(5_000 + 200 + 1_000);
    bench.receive("\r\n+CSQ: 9,99\r\n\r\nOK\r\n\r\n+CMEE: 1\r\n\r\nOK\r\n");
    assert_eq!(bench.session.phase(), Phase::Probing);
    bench.receive("\r\n+CFUN: 1\r\n\r\nOK\r\n");
    bench.check(&expect![[r#"
        -> AT+CSQ\r
        failed TimedOut { payload_sent: false }
        -> AT+CMEE?\r
        -> AT+CFUN?\r
        Resynchronised
        Ready
    "#]]);
}

#[test]
fn a_probe_that_the_timed_out_command_resembles_is_not_used() {
    let mut bench = Bench::new();
    bench.start(Command::raw("at+cmee?", Duration::from_secs(1)).expect("valid"));
    bench.wait(1_200);
    bench.receive("\r\n+CMEE: 1\r\n\r\nOK\r\n");
    assert_eq!(bench.session.phase(), Phase::Probing);
    bench.receive("\r\n+CFUN: 1\r\n\r\nOK\r\n");
    bench.check(&expect![[r#"
        -> at+cmee?\r
        failed TimedOut { payload_sent: false }
        -> AT+CFUN?\r
        Resynchronised
        Ready
    "#]]);
}

#[test]
fn when_a_probe_was_sent_twice_its_first_answer_is_not_trusted() {
    let mut bench = Bench::new();
    bench.start(command::signal_quality());
    bench.wait(5_000 + 200 + 4 * 1_000);
    // The fifth probe is the first one again; the modem wakes up and answers all of them.
    let answers = ["+CMEE: 1", "+CFUN: 1", "+CRC: 0", "+CSCS: \"IRA\"", "+CMEE: 1"];
    for answer in answers {
        bench.receive(&format!("\r\n{answer}\r\n\r\nOK\r\n"));
        assert!(!bench.session.is_ready(), "{answer}");
    }
    bench.wait(200);
    bench.receive("\r\n+CFUN: 1\r\n\r\nOK\r\n");
    bench.check(&expect![[r#"
        -> AT+CSQ\r
        failed TimedOut { payload_sent: false }
        -> AT+CMEE?\r
        -> AT+CFUN?\r
        -> AT+CRC?\r
        -> AT+CSCS?\r
        Unresponsive { probes: 4 }
        -> AT+CMEE?\r
        -> AT+CFUN?\r
        Resynchronised
        Ready
    "#]]);
}

#[test]
fn a_silent_modem_is_asked_every_second_for_two_minutes_and_then_less_and_less_often() {
    let mut bench = Bench::new();
    bench.start(command::signal_quality());
    bench.wait(5_000);
    let mut pauses = Vec::new();
    for _ in 0..130 {
        let deadline = bench.session.poll_timeout().expect("probing has a deadline");
        pauses.push((deadline - bench.now).as_millis());
        bench.now = deadline;
        bench.session.handle_timeout(deadline);
    }
    assert_eq!(pauses[..3], [200, 1_000, 1_000]);
    assert_eq!(
        pauses[119..127],
        [1_000, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000]
    );
}

/// It took until the next probe, which could be a minute away.
#[test]
fn a_byte_from_a_modem_that_was_silent_is_taken_as_life_at_once() {
    let mut bench = Bench::new();
    bench.start(command::signal_quality());
    bench.wait(5_000 + 200 + 300_000);
    bench.note();
    bench.log.clear();
    bench.receive("\r\n+CMTI: \"SM\",3\r\n");
    for _ in 0..2 {
        bench.wait(50);
        // Whichever it is, it is answered.
        let asked = bench
            .log
            .lines()
            .rev()
            .find(|line| line.starts_with("-> AT"))
            .unwrap_or_default();
        let prefix = asked.trim_start_matches("-> AT").trim_end_matches("?\\r").to_owned();
        bench.receive(&format!("\r\n{prefix}: 1\r\n\r\nOK\r\n"));
    }
    assert!(bench.session.is_ready(), "{}", bench.log);
}

/// One that answers each command after seconds would never be done if it were asked each second.
#[test]
fn a_modem_that_is_slow_and_not_silent_is_given_time() {
    let mut bench = Bench::new();
    bench.start(command::signal_quality());
    bench.wait(5_000 + 200 + 500);
    bench.receive("\r\nRING\r\n");
    bench.wait(50);
    let mut pauses = Vec::new();
    for _ in 0..3 {
        let deadline = bench.session.poll_timeout().expect("probing has a deadline");
        pauses.push((deadline - bench.now).as_millis());
        bench.wait(100);
        bench.receive("\r\nRING\r\n");
        bench.now = deadline;
        bench.session.handle_timeout(deadline);
    }
    assert_eq!(pauses, [2_000, 4_000, 8_000]);
}

#[test]
fn a_port_that_is_never_silent_is_probed_all_the_same() {
    let mut bench = Bench::new();
    bench.session.resynchronise(bench.now);
    for _ in 0..25 {
        bench.wait(100);
        bench.receive("$GPGSV,noise\r\n");
    }
    assert_eq!(bench.session.phase(), Phase::Probing);
}

#[test]
fn a_prompt_that_did_not_come_in_time_is_cancelled_and_never_sent() {
    let mut bench = Bench::new();
    bench.start(submission());
    bench.wait(10_000);
    bench.receive("\r\n> ");
    bench.receive("\r\nOK\r\n");
    bench.wait(200);
    bench.receive("\r\n> ");
    bench.wait(1_000);
    bench.receive("\r\nOK\r\n\r\n+CFUN: 1\r\n\r\nOK\r\n");
    bench.check(&expect![[r#"
        -> AT+CMGS=12\r
        failed TimedOut { payload_sent: false }
        -> \x1b
        -> \x1b
        -> AT+CMEE?\r
        -> \x1b
        -> \x1b
        -> AT+CFUN?\r
        Resynchronised
        Ready
    "#]]);
}

#[test]
fn a_message_without_an_answer_is_of_unknown_outcome() {
    let mut bench = Bench::new();
    bench.start(submission());
    bench.receive("\r\n> ");
    bench.wait(149_999);
    assert_eq!(bench.session.phase(), Phase::AwaitingResult);
    bench.wait(1);
    assert!(
        bench.log.contains("failed TimedOut { payload_sent: true }"),
        "{}",
        bench.log
    );
}

/// Whoever had the port may have left a prompt open, an echo on, and result codes numeric or off.
#[test]
fn a_port_that_is_taken_back_is_made_to_answer_in_words_again() {
    let mut bench = Bench::new();
    bench.session.take_back(bench.now);
    bench.note();
    bench.wait(100);
    bench.receive("ATE0Q0V1+CMEE?\r\r\n+CMEE: 1\r\n\r\nOK\r\n");
    assert!(!bench.session.is_ready(), "one answer is not enough");
    bench.wait(100);
    bench.receive("\r\n+CFUN: 1\r\n\r\nOK\r\n");
    bench.check(&expect![[r#"
        -> \x1b
        -> ATE0Q0V1+CMEE?\r
        -> ATE0Q0V1+CFUN?\r
        Resynchronised
        Ready
    "#]]);
}

#[test]
fn a_modem_that_does_not_take_both_in_one_line_is_asked_without() {
    let mut bench = Bench::new();
    bench.session.take_back(bench.now);
    bench.note();
    bench.wait(100);
    bench.receive("\r\nERROR\r\n");
    bench.wait(1_000);
    bench.receive("\r\n+CFUN: 1\r\n\r\nOK\r\n");
    assert_eq!(bench.session.phase(), Phase::Draining);
}
