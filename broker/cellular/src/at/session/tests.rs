use std::fmt::Write as _;
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};

use super::*;
use crate::at::command::{self, Expects};

mod resynchronisation;
mod transitions;

/// A session with its own clock, which writes down whatever comes out.
struct Bench {
    session: Session,
    now: Instant,
    log: String,
}

impl Bench {
    fn new() -> Self {
        Self::with(Config::default())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to begin with; all others are sums"
    )]
    fn with(config: Config) -> Self {
        Self {
            session: Session::new(config),
            now: Instant::now(),
            log: String::new(),
        }
    }

    fn start(&mut self, command: Command) -> CommandId {
        let id = self.session.start(self.now, command).expect("the session is ready");
        self.note();
        id
    }

    /// One byte at a time, the hardest chunking.
    fn receive(&mut self, text: &str) {
        for byte in text.bytes() {
            self.session.handle_input(self.now, &[byte]);
        }
        self.note();
    }

    fn wait(&mut self, milliseconds: u64) {
        let until = self.now + Duration::from_millis(milliseconds);
        while let Some(deadline) = self.session.poll_timeout().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.session.handle_timeout(self.now);
            self.note();
        }
        self.now = until;
    }

    fn note(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit(bytes) => writeln!(self.log, "-> {}", bytes.escape_ascii()),
                Output::Finished {
                    outcome: Ok(response), ..
                } => {
                    writeln!(self.log, "finished {:?} {}", response.lines, response.result)
                }
                Output::Finished {
                    outcome: Err(failure), ..
                } => writeln!(self.log, "failed {failure:?}"),
                Output::Unsolicited(Unsolicited { lines, urc }) => writeln!(self.log, "urc {lines:?} = {urc:?}"),
                other => writeln!(self.log, "{other:?}"),
            }
            .expect("a string takes everything");
        }
    }

    fn check(self, expected: &Expect) {
        expected.assert_eq(&format!("{}{:?}\n", self.log, self.session.phase()));
    }
}

/// Starts `command`, receives `text` in single bytes and compares what came out.
fn check(command: Command, text: &str, expected: &Expect) {
    let mut bench = Bench::new();
    bench.start(command);
    bench.receive(text);
    bench.check(expected);
}

const PDU: &str = "07911326040000F0040B915155050501F00000208062917314080CC8F71D14969741F977FD07";
const OTHER_PDU: &str = "0291210B915121551532F400000CC8F71D14969741F977FD07";

fn submission() -> Command {
    command::send_message(12, "0001000B915121551532F40000").expect("valid")
}

#[test]
fn echo_is_dropped_even_if_it_repeats_and_a_report_comes_between() {
    check(
        command::signal_quality(),
        "AT+CSQ\rAT+CSQ\r\r\n\r\nRING\r\n\r\n+CSQ: 18,99\r\n\r\nOK\r\n",
        &expect![[r#"
            -> AT+CSQ\r
            urc ["RING"] = Ring(Unspecified)
            finished ["+CSQ: 18,99"] OK
            Ready
        "#]],
    );
}

#[test]
fn unsolicited_lines_before_inside_and_glued_behind_a_reply_are_not_part_of_it() {
    check(
        command::operator(),
        "\r\nVOICE CALL: BEGIN\r\n\r\n+COPS: 0,0,\"Net\",7\r\n\r\n+CMTI: \"ME\",3\r\n\r\nOK\r\n\r\r\n+CRING: VOICE\r\r\n",
        &expect![[r#"
            -> AT+COPS?\r
            urc ["VOICE CALL: BEGIN"] = VoiceCallBegin
            urc ["+CMTI: \"ME\",3"] = MessageStored { storage: "ME", index: 3 }
            finished ["+COPS: 0,0,\"Net\",7"] OK
            urc ["+CRING: VOICE"] = Ring(Voice)
            Ready
        "#]],
    );
}

#[test]
fn a_message_is_sent_after_its_prompt_and_reports_may_come_before_its_reference() {
    check(
        submission(),
        "AT+CMGS=12\r\r\n> 0001000B915121551532F40000\x1A\r\n+CMTI: \"SM\",1\r\n\r\n+CMGS: 217\r\n\r\nOK\r\n",
        &expect![[r#"
            -> AT+CMGS=12\r
            -> 0001000B915121551532F40000\x1a
            urc ["+CMTI: \"SM\",1"] = MessageStored { storage: "SM", index: 1 }
            finished ["+CMGS: 217"] OK
            Ready
        "#]],
    );
}

#[test]
fn an_error_in_place_of_the_prompt_means_that_nothing_was_sent() {
    check(
        submission(),
        "\r\n+CMS ERROR: 310\r\n",
        &expect![[r#"
            -> AT+CMGS=12\r
            failed PromptRefused(Cms(ErrorCode { number: Some(310), name: Some("SIM not inserted"), text: "310" }))
            Ready
        "#]],
    );
}

#[test]
fn a_prompt_is_only_a_prompt_where_one_is_awaited() {
    let text = "\r\n> \r\n+CPIN: READY\r\n> \r\nOK\r\n";
    check(
        command::pin_status(),
        text,
        &expect![[r#"
            -> AT+CPIN?\r
            urc [">"] = Unknown
            urc [">"] = Unknown
            finished ["+CPIN: READY"] OK
            Ready
        "#]],
    );
}

#[test]
fn a_delivered_message_between_a_listed_header_and_its_pdu_goes_where_the_lengths_say() {
    let header = "\r\n+CMGL: 0,1,,30\r\n";
    check(
        command::list_messages(None),
        &format!("{header}\r\n+CMT: ,22\r\n{OTHER_PDU}\r\n{PDU}\r\n\r\nOK\r\n"),
        &expect![[r#"
            -> AT+CMGL=4\r
            urc ["+CMT: ,22", "0291210B915121551532F400000CC8F71D14969741F977FD07"] = MessageDelivered { length: 22, pdu: "0291210B915121551532F400000CC8F71D14969741F977FD07" }
            finished ["+CMGL: 0,1,,30", "07911326040000F0040B915155050501F00000208062917314080CC8F71D14969741F977FD07"] OK
            Ready
        "#]],
    );
    check(
        command::list_messages(None),
        &format!("{header}\r\n+CMT: ,22\r\n{PDU}\r\n{OTHER_PDU}\r\n\r\nOK\r\n"),
        &expect![[r#"
            -> AT+CMGL=4\r
            urc ["+CMT: ,22", "0291210B915121551532F400000CC8F71D14969741F977FD07"] = MessageDelivered { length: 22, pdu: "0291210B915121551532F400000CC8F71D14969741F977FD07" }
            finished ["+CMGL: 0,1,,30", "07911326040000F0040B915155050501F00000208062917314080CC8F71D14969741F977FD07"] OK
            Ready
        "#]],
    );
}

#[test]
fn a_report_between_a_listed_header_and_its_pdu_is_reported() {
    check(
        command::read_message(3),
        &format!("\r\n+CMGR: 1,,30\r\n\r\nRING\r\n{PDU}\r\n\r\nOK\r\n"),
        &expect![[r#"
            -> AT+CMGR=3\r
            urc ["RING"] = Ring(Unspecified)
            finished ["+CMGR: 1,,30", "07911326040000F0040B915155050501F00000208062917314080CC8F71D14969741F977FD07"] OK
            Ready
        "#]],
    );
}

#[test]
fn a_delivered_message_whose_pdu_got_lost_does_not_swallow_the_final_result_code() {
    check(
        command::signal_quality(),
        "\r\n+CMT: ,22\r\n\r\n+CSQ: 3,99\r\n\r\nOK\r\n",
        &expect![[r#"
            -> AT+CSQ\r
            urc ["+CMT: ,22"] = Unknown
            finished ["+CSQ: 3,99"] OK
            Ready
        "#]],
    );
    let mut bench = Bench::new();
    bench.receive("\r\n+CDS: 25\r\n");
    bench.wait(1_000);
    bench.check(&expect![[r#"
        urc ["+CDS: 25"] = Unknown
        Ready
    "#]]);
}

#[test]
fn call_progress_ends_a_dial_and_is_unsolicited_elsewhere() {
    for (command, ends) in [
        (command::dial("+15550100").expect("valid"), true),
        (command::answer(), true),
        (
            Command::raw("AT+CPCMREG=0;D5550100;", command::limit::DIAL).expect("valid"),
            true,
        ),
        (command::hang_up(), false),
        (command::signal_quality(), false),
    ] {
        let mut bench = Bench::new();
        let line = command.line.clone();
        bench.start(command);
        bench.receive("\r\nNO CARRIER\r\n");
        assert_eq!(bench.session.is_ready(), ends, "{line}");
        assert_eq!(bench.log.contains("urc [\"NO CARRIER\"] = NoCarrier"), !ends, "{line}");
    }
}

#[test]
fn registration_lines_are_told_apart_by_their_form() {
    check(
        command::registration(crate::at::reply::Domain::Cs),
        "\r\n+CREG: 1,\"8BE3\",\"00002BAF\",7\r\n\r\n+CEREG: 5\r\n\r\n+CREG: 2,1,\"8BE3\",\"00002BAF\",7\r\n\r\nOK\r\n",
        &expect![[r#"
            -> AT+CREG?\r
            urc ["+CREG: 1,\"8BE3\",\"00002BAF\",7"] = Registration(Registration { domain: Cs, state: Home, area: Some(35811), cell: Some(11183), access_technology: Some(EUtran) })
            urc ["+CEREG: 5"] = Registration(Registration { domain: Eps, state: Roaming, area: None, cell: None, access_technology: None })
            finished ["+CREG: 2,1,\"8BE3\",\"00002BAF\",7"] OK
            Ready
        "#]],
    );
}

#[test]
fn bare_replies_take_text_and_leave_lines_with_a_prefix_alone() {
    check(
        command::model(),
        "AT+CGMM\r\r\n+SOMEURC: 1\r\nSIMCOM_SIM7600G-H\r\n\r\nOK\r\n",
        &expect![[r#"
            -> AT+CGMM\r
            urc ["+SOMEURC: 1"] = Unknown
            finished ["SIMCOM_SIM7600G-H"] OK
            Ready
        "#]],
    );
}

#[test]
fn a_network_text_over_several_lines_is_one_report() {
    let mut bench = Bench::new();
    bench.start(command::ussd("*100#").expect("valid"));
    bench.receive("\r\nOK\r\n\r\n+CUSD: 1,\"Bal: 1.00\r\nOK\r\n1. \"More\" items\r\n\",15\r\n");
    bench.check(&expect![[r#"
        -> AT+CUSD=1,\"*100#\",15\r
        finished [] OK
        urc ["+CUSD: 1,\"Bal: 1.00\nOK\n1. \"More\" items\n\",15"] = Ussd(Ussd { status: ActionRequired, raw_text: Some("Bal: 1.00\nOK\n1. \"More\" items\n"), coding_scheme: Some(15) })
        Ready
    "#]]);
}

#[test]
fn a_network_text_that_never_ends_gives_back_the_lines_behind_it() {
    let mut bench = Bench::new();
    bench.start(command::signal_quality());
    bench.receive("\r\n+CUSD: 0,\"Bal\r\n\r\n+CSQ: 3,99\r\n\r\nOK\r\n");
    bench.wait(1_000);
    bench.check(&expect![[r#"
        -> AT+CSQ\r
        urc ["+CUSD: 0,\"Bal"] = Ussd(Ussd { status: Done, raw_text: Some("Bal"), coding_scheme: None })
        finished ["+CSQ: 3,99"] OK
        Ready
    "#]]);
}

#[test]
fn a_scan_is_aborted_with_one_character_not_before_the_modem_listens() {
    let mut bench = Bench::new();
    let id = bench.start(command::scan_operators());
    bench.session.abort(bench.now, id);
    bench.wait(124);
    assert!(!bench.log.contains("-> \\r"));
    bench.wait(1);
    bench.receive("\r\nOK\r\n");
    bench.check(&expect![[r#"
        -> AT+COPS=?\r
        -> \r
        failed Aborted { payload_sent: false }
        Ready
    "#]]);
}

#[test]
fn an_abort_that_is_not_answered_is_a_time_out() {
    let mut bench = Bench::new();
    let id = bench.start(command::scan_operators());
    bench.wait(1_000);
    bench.session.abort(bench.now, id);
    bench.wait(5_000);
    assert!(
        bench.log.contains("failed TimedOut { payload_sent: false }"),
        "{}",
        bench.log
    );
    assert_eq!(bench.session.phase(), Phase::Draining);
}

#[test]
fn a_reply_that_was_complete_before_the_abort_is_the_reply() {
    let mut bench = Bench::new();
    let id = bench.start(command::scan_operators());
    bench.receive("\r\n+COPS: (2,\"Net\",\"Net\",\"00101\",7)\r\n");
    bench.wait(1_000);
    bench.session.abort(bench.now, id);
    bench.receive("\r\nOK\r\n");
    assert!(bench.log.contains("finished"), "{}", bench.log);
}

#[test]
fn a_command_that_waits_for_its_prompt_is_cancelled_there() {
    let mut bench = Bench::new();
    let id = bench.start(submission());
    bench.session.abort(bench.now, id);
    bench.receive("\r\n> ");
    bench.receive("\r\nOK\r\n");
    bench.check(&expect![[r#"
        -> AT+CMGS=12\r
        -> \x1b
        failed Aborted { payload_sent: false }
        Ready
    "#]]);
}

#[test]
fn neither_a_message_on_its_way_nor_a_plain_command_can_be_aborted() {
    let mut bench = Bench::new();
    let id = bench.start(submission());
    bench.receive("\r\n> ");
    bench.session.abort(bench.now, id);
    bench.receive("\r\n+CMGS: 5\r\n\r\nOK\r\n");
    let id = bench.start(command::signal_quality());
    bench.session.abort(bench.now, id);
    bench.wait(1_000);
    bench.receive("\r\n+CSQ: 5,99\r\n\r\nOK\r\n");
    bench.check(&expect![[r#"
        -> AT+CMGS=12\r
        -> 0001000B915121551532F40000\x1a
        finished ["+CMGS: 5"] OK
        -> AT+CSQ\r
        finished ["+CSQ: 5,99"] OK
        Ready
    "#]]);
}

#[test]
fn a_closed_port_finishes_what_was_in_flight_and_forgets_half_a_line() {
    let mut bench = Bench::new();
    bench.start(submission());
    bench.receive("\r\n> \r\n+CMG");
    bench.session.close();
    bench.note();
    bench.receive("S: 1\r\nOK\r\n");
    assert_eq!(bench.session.poll_timeout(), None);
    bench.session.resynchronise(bench.now);
    bench.wait(200);
    bench.receive("\r\n+CMEE: 1\r\n\r\nOK\r\n");
    bench.wait(200);
    bench.receive("\r\n+CFUN: 1\r\n\r\nOK\r\n");
    bench.check(&expect![[r#"
        -> AT+CMGS=12\r
        -> 0001000B915121551532F40000\x1a
        failed PortClosed { payload_sent: true }
        -> \x1b
        -> AT+CMEE?\r
        -> AT+CFUN?\r
        Resynchronised
        Ready
    "#]]);
}

#[test]
fn lines_and_replies_without_an_end_do_not_fill_the_memory() {
    let config = Config {
        max_line_bytes: 64,
        max_reply_bytes: 100,
        ..Config::default()
    };
    let mut bench = Bench::with(config);
    bench.start(command::list_messages(None));
    bench.receive(&"x".repeat(1_000));
    bench.receive("\r\n");
    for index in 0..20 {
        bench.receive(&format!("+CMGL: {index},1,,22\r\n{OTHER_PDU}\r\n"));
    }
    bench.check(&expect![[r#"
        -> AT+CMGL=4\r
        Garbage { bytes: 1000 }
        failed ReplyTooLong { payload_sent: false }
        Draining
    "#]]);
}

#[test]
fn control_characters_do_not_leave_inside_a_line_or_a_payload() {
    let mut bench = Bench::new();
    bench.start(Command {
        line: "AT+CMGS=1\rATD5550100;\n\x1A".to_owned(),
        expects: Expects::Nothing,
        payload: Some(b"00\x1AAT\x1B".to_vec()),
        timeout: Duration::from_secs(1),
        payload_timeout: None,
        abortable: false,
    });
    bench.receive("> ");
    bench.check(&expect![[r#"
        -> AT+CMGS=1ATD5550100;\r
        -> 00AT\x1a
        AwaitingResult
    "#]]);
}

#[test]
fn a_final_result_code_that_nobody_asked_for_completes_nothing() {
    let mut bench = Bench::new();
    bench.receive("\r\nOK\r\n\r\nERROR\r\n");
    bench.start(command::probe());
    bench.check(&expect![[r#"
        urc ["OK"] = Unknown
        urc ["ERROR"] = Unknown
        -> AT\r
        AwaitingResult
    "#]]);
}
