//! Short messages between the network, the storages and the host.

use crate::bench::Bench;
use expect_test::expect;
use simulator::control::Request;
use simulator::{Fate, Fault, FaultAction, Phase};

const SENDER: &str = "+447700900123";

/// A SUBMIT to +447700900456 that says "A", with or without a request for a report: PDU and length of its TPDU.
fn submit(report: bool) -> (String, usize) {
    let first = if report { "21" } else { "01" };
    let pdu = format!("00{first}000C9144770009406500000141");
    let length = pdu.len() / 2 - 1;
    (pdu, length)
}

fn send(bench: &mut Bench, report: bool) -> String {
    let (pdu, length) = submit(report);
    assert_eq!(bench.send(&format!("AT+CMGS={length}\r")), "|> ");
    bench.send(&format!("{pdu}\u{1a}"))
}

#[test]
fn a_message_is_stored_announced_listed_read_and_deleted() {
    let mut bench = Bench::quiet();
    bench.deliver(SENDER, "hello");
    assert_eq!(bench.take(), "|+CMTI: \"ME\",0|");
    let pdu = bench.modem.books().deliveries.records[0].pdu.clone();
    assert_eq!(pdu, "0791447700099099040C9144770009103200000710100000000005E8329BFD06");
    let length = pdu.len() / 2 - 8;
    assert_eq!(bench.send("AT+CMGL=4\r"), format!("|+CMGL: 0,0,,{length}|{pdu}||OK|"));
    assert_eq!(bench.send("AT+CMGR=0\r"), format!("|+CMGR: 1,,{length}|{pdu}||OK|"));
    assert_eq!(bench.send("AT+CMGL=0\r"), "|OK|");
    bench.set(&["AT+CMGD=0"]);
    assert_eq!(bench.send("AT+CMGR=0\r"), "|+CMS ERROR: Invalid memory index|");
    let fates: Vec<Fate> = bench.modem.books().deliveries.records[0]
        .steps
        .iter()
        .map(|(_, fate)| fate.clone())
        .collect();
    assert_eq!(
        fates,
        [
            Fate::Waiting,
            Fate::Stored {
                storage: "ME".to_owned(),
                index: 0
            },
            Fate::Read,
            Fate::Deleted
        ]
    );
}

#[test]
fn text_mode_shows_what_the_message_says() {
    let mut bench = Bench::quiet();
    bench.set(&["AT+CMGF=1"]);
    bench.deliver(SENDER, "hello");
    bench.deliver(SENDER, "Привет");
    expect![[r#"|+CMTI: "ME",0||+CMTI: "ME",1|"#]].assert_eq(&bench.take());
    expect![[r#"|+CMGR: "REC UNREAD","+447700900123","","70/01/01,00:00:00+00"|hello||OK|"#]]
        .assert_eq(&bench.send("AT+CMGR=0\r"));
    expect![[r#"|+CMGL: 0,"REC READ","+447700900123","","70/01/01,00:00:00+00"|hello|+CMGL: 1,"REC UNREAD","+447700900123","","70/01/01,00:00:00+00"|041F04400438043204350442||OK|"#]]
        .assert_eq(&bench.send("AT+CMGL=\"ALL\"\r"));
    assert_eq!(bench.send("AT+CMGS=\"+447700900456\"\r"), "|> ");
    assert_eq!(bench.send("two\rlines\u{1a}"), "|> |+CMGS: 0||OK|");
    assert_eq!(
        bench.modem.books().submits.records[0].text.as_deref(),
        Some("two\nlines")
    );
}

#[test]
fn a_sent_message_is_in_the_books_and_its_report_comes_back() {
    let mut bench = Bench::quiet();
    bench.set(&["AT+CNMI=2,1,0,1,0"]);
    assert_eq!(send(&mut bench, false), "|+CMGS: 0||OK|");
    assert_eq!(send(&mut bench, true), "|+CMGS: 1||OK|");
    let report = bench.wait(100);
    let pdu = bench.modem.books().deliveries.records[0].pdu.clone();
    assert_eq!(report, format!("|+CDS: {}|{pdu}|", pdu.len() / 2 - 8));
    let books = bench.modem.books();
    let submits: Vec<_> = books
        .submits
        .records
        .iter()
        .map(|s| (s.reference, s.destination.as_str(), s.text.as_deref(), s.report))
        .collect();
    assert_eq!(
        submits,
        [
            (0, "+447700900456", Some("A"), None),
            (1, "+447700900456", Some("A"), Some(0))
        ]
    );
}

#[test]
fn a_report_is_stored_or_dropped_as_cnmi_says() {
    for (ds, heard) in [(0, ""), (2, "|+CDSI: \"SR\",0|")] {
        let mut bench = Bench::quiet();
        bench.set(&[&format!("AT+CNMI=2,1,0,{ds},0")]);
        send(&mut bench, true);
        assert_eq!(bench.wait(100), heard, "ds={ds}");
    }
}

#[test]
fn escape_gives_up_and_wrong_payloads_are_refused() {
    let mut bench = Bench::quiet();
    let (pdu, length) = submit(false);
    bench.send(&format!("AT+CMGS={length}\r"));
    assert_eq!(bench.send("0001\u{1b}"), "|OK|");
    for (command, payload) in [
        (format!("AT+CMGS={}", length + 1), pdu.clone()),
        (format!("AT+CMGS={length}"), "nonsense".to_owned()),
        (format!("AT+CMGS={length}"), String::new()),
    ] {
        assert_eq!(bench.send(&format!("{command}\r")), "|> ");
        assert_eq!(
            bench.send(&format!("{payload}\u{1a}")),
            "|+CMS ERROR: Invalid PDU mode parameter|"
        );
    }
    assert_eq!(bench.send("AT+CMGS=0\r"), "|+CMS ERROR: Invalid PDU mode parameter|");
    assert!(bench.modem.books().submits.records.is_empty());
}

#[test]
fn nothing_is_sent_without_a_network() {
    let mut bench = Bench::quiet();
    bench.tell(Request::SetRegistration {
        domain: None,
        state: simulator::RegistrationState::Searching,
    });
    assert_eq!(send(&mut bench, false), "|+CMS ERROR: No network service|");
}

#[test]
fn a_full_storage_makes_the_network_wait_until_there_is_room() {
    let mut bench = Bench::quiet();
    bench.tell(Request::SetCapacity {
        storage: "ME".to_owned(),
        capacity: 2,
    });
    for n in 0..4 {
        bench.deliver(SENDER, &format!("message {n}"));
    }
    assert_eq!(bench.take(), "|+CMTI: \"ME\",0||+CMTI: \"ME\",1||+SMS FULL|");
    assert_eq!(bench.modem.status().waiting_messages, 2);
    assert_eq!(bench.send("AT+CMGD=0\r"), "|OK||+CMTI: \"ME\",0||+SMS FULL|");
    assert_eq!(bench.send("AT+CMGD=1,4\r"), "|OK||+CMTI: \"ME\",0|");
    assert_eq!(bench.modem.status().waiting_messages, 0);
}

#[test]
fn messages_wait_for_a_modem_that_is_away() {
    let mut bench = Bench::quiet();
    bench.tell(Request::Unplug);
    bench.deliver(SENDER, "later");
    assert_eq!(bench.wait(10_000), "");
    bench.tell(Request::Replug { renumber: false });
    assert!(bench.take().contains("|SMS DONE||+CMTI: \"ME\",0|"));
}

#[test]
fn a_direct_message_wants_its_acknowledgement() {
    let mut bench = Bench::quiet();
    bench.send("AT+CSMS=1\r");
    bench.set(&["AT+CNMI=2,2,0,1,0"]);
    bench.deliver(SENDER, "one");
    bench.deliver(SENDER, "two");
    let first = bench.take();
    assert!(
        first.starts_with("|+CMT: ,") && first.matches("+CMT").count() == 1,
        "{first}"
    );
    assert!(bench.send("AT+CNMA\r").starts_with("|OK||+CMT: ,"));
    assert_eq!(bench.send("AT+CNMA=0\r"), "|OK|");
    assert_eq!(bench.send("AT+CNMA\r"), "|+CMS ERROR: NO +CNMA ACK EXPECTED|");
    // A host that does not acknowledge loses the routing, and the message is stored instead (27.005 clause 3.4.4).
    bench.deliver(SENDER, "three");
    assert!(bench.take().starts_with("|+CMT: ,"));
    assert_eq!(bench.wait(5_000), "");
    assert_eq!(bench.send("AT+CNMI?\r"), "|+CNMI: 2,0,0,0,0||OK|");
    assert!(bench.send("AT+CPMS?\r").contains("\"ME\",1,23"));
}

#[test]
fn the_routing_of_a_message_follows_cnmi_and_its_class() {
    let flash = Request::DeliverText {
        from: SENDER.to_owned(),
        text: "x".to_owned(),
        flash: true,
    };
    let plain = Request::DeliverText {
        from: SENDER.to_owned(),
        text: "x".to_owned(),
        flash: false,
    };
    for (cnmi, request, expected) in [
        ("2,0,0,0,0", &plain, ""),
        ("2,1,0,0,0", &plain, "|+CMTI"),
        ("2,2,0,0,0", &plain, "|+CMT:"),
        ("1,3,0,0,0", &plain, "|+CMTI"),
        ("1,3,0,0,0", &flash, "|+CMT:"),
        ("2,1,0,0,0", &flash, "|+CMTI"),
    ] {
        let mut bench = Bench::quiet();
        bench.set(&[&format!("AT+CNMI={cnmi}")]);
        bench.tell(request.clone());
        let heard = bench.take();
        assert_eq!(
            heard.get(..heard.len().min(6)).unwrap_or_default(),
            expected.get(..expected.len().min(6)).unwrap_or_default(),
            "{cnmi}"
        );
    }
    let mut bench = Bench::quiet();
    assert_eq!(
        bench.send("AT+CNMI=0,2,0,0,0\r"),
        "|+CMS ERROR: Operation not supported|"
    );
}

#[test]
fn a_written_message_can_be_sent_later() {
    let mut bench = Bench::quiet();
    let (pdu, length) = submit(false);
    assert_eq!(bench.send(&format!("AT+CMGW={length}\r")), "|> ");
    assert_eq!(bench.send(&format!("{pdu}\u{1a}")), "|+CMGW: 0||OK|");
    assert_eq!(bench.send("AT+CMSS=0\r"), "|+CMSS: 0||OK|");
    assert!(bench.send("AT+CMGR=0\r").starts_with("|+CMGR: 3,,"));
}

#[test]
fn the_outcome_of_a_send_can_be_lost_after_or_before_it_was_accepted() {
    let mut bench = Bench::quiet();
    bench.tell(Request::Inject {
        fault: Fault::on_command("+CMGS", Phase::After, FaultAction::LoseReply),
    });
    assert_eq!(send(&mut bench, false), "");
    assert_eq!(bench.modem.books().submits.total(), 1);

    bench.tell(Request::Inject {
        fault: Fault::on_command("+CMGS", Phase::Before, FaultAction::LosePrompt),
    });
    let (pdu, length) = submit(false);
    assert_eq!(bench.send(&format!("AT+CMGS={length}\r")), "");
    assert_eq!(
        bench.send(&format!("{pdu}\u{1a}")),
        "|+CMGS: 1||OK|",
        "the module waits for data all the same"
    );

    bench.tell(Request::Inject {
        fault: Fault::on_command("+CMGS", Phase::Before, FaultAction::ResetAfterPrompt),
    });
    assert_eq!(bench.send(&format!("AT+CMGS={length}\r")), "|> ");
    assert_eq!(bench.facts, ["detached"]);
    assert_eq!(bench.modem.books().submits.total(), 2);
}

#[test]
fn two_hundred_messages_at_once_all_arrive_as_the_host_makes_room() {
    let mut bench = Bench::quiet();
    for n in 0..200 {
        bench.deliver(SENDER, &format!("message {n}"));
    }
    for _ in 0..400 {
        let listing = bench.send("AT+CMGL=4\r");
        for line in listing.split('|').filter_map(|line| line.strip_prefix("+CMGL: ")) {
            let index = line.split(',').next().unwrap_or_default().to_owned();
            bench.send(&format!("AT+CMGD={index}\r"));
        }
        if bench.modem.status().waiting_messages == 0 && bench.send("AT+CPMS?\r").contains("\"ME\",0,") {
            break;
        }
    }
    let deliveries = &bench.modem.books().deliveries.records;
    assert_eq!(deliveries.len(), 200);
    assert!(deliveries.iter().all(|delivery| *delivery.fate() == Fate::Deleted));
}
