//! `modemctl sms decode`, `encode` and `export`: what a message is, and all of them.

use std::io::Write;
use std::sync::{Arc, Mutex};

use api::v1::{Message, MessageDirection, MessageState};
use clap::Parser;
use client::testing::FakeBroker;
use expect_test::{Expect, expect};
use modemctl::{Arguments, Console, Failure};

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs without a broker, unless the line names one.
async fn run(line: &[&str]) -> String {
    let output = Output::default();
    let mut console = Console::plain(output.clone(), output.clone());
    let line = ["modemctl"].iter().chain(line).copied();
    let outcome = modemctl::run(Arguments::try_parse_from(line).unwrap(), &mut console).await;
    let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    match outcome {
        Ok(()) => text,
        Err(Failure::Told { code, message, .. }) => format!("{text}[{code}] {message}\n"),
        Err(Failure::OutputClosed) => format!("{text}(closed)\n"),
    }
}

async fn check(line: &[&str], expected: Expect) {
    expected.assert_eq(&run(line).await);
}

/// A DELIVER, made for these tests: from +447700900123, a number that is set aside for fiction.
fn received(first_octet: &str, identifier: &str, coding: &str, user_data: &str) -> String {
    format!("0791447700099099{first_octet}0C91447700091032{identifier}{coding}62112140820500{user_data}")
}

#[tokio::test]
async fn a_received_message_is_shown_field_by_field() {
    let plain = received("04", "00", "00", "05E8329BFD06");
    check(
        &["sms", "decode", &plain],
        expect![[r#"
        service centre       +447700900999 (international, 0x91)
        type                 SMS-DELIVER
        more messages        no
        loop prevention      no
        reply path           no
        report to sender     no
        originator           +447700900123 (international, 0x91)
        protocol identifier  0x00: plain
        data coding          0x00: GSM 7-bit
        service centre time  2026-11-12T04:28:50+00:00
        length               5 septets
        text                 hello

    "#]],
    )
    .await;
    check(&["sms", "decode", "--json", &plain], expect![[r#"
        {"data_coding":{"alphabet":"GSM 7-bit","class":null,"compressed":false,"deleted_once_read":false,"message_waiting":null,"octet":0},"length":{"count":5,"units":"septets"},"loop_prevention":false,"more_messages":false,"originator":{"address":"+447700900123","kind":"international","type_of_address":145},"pdu":"0791447700099099040C9144770009103200006211214082050005E8329BFD06","protocol_identifier":{"meaning":"plain","octet":0},"reply_path":false,"report_to_sender":false,"service_centre":{"address":"+447700900999","kind":"international","type_of_address":145},"service_centre_time":"2026-11-12T04:28:50+00:00","text":"hello","type":"SMS-DELIVER"}
    "#]]).await;
    let unusual = received("44", "41", "F5", "100D0102800305040B8423F02201554142");
    check(
        &["sms", "decode", &unusual],
        expect![[r#"
            service centre       +447700900999 (international, 0x91)
            type                 SMS-DELIVER
            more messages        no
            loop prevention      no
            reply path           no
            report to sender     no
            originator           +447700900123 (international, 0x91)
            protocol identifier  0x41: replaces type 1
            data coding          0xf5: 8-bit data, class 1
            service centre time  2026-11-12T04:28:50+00:00
            header               01 8003: voicemail waiting: 3; 05 0B8423F0: port 2948 from 9200; 22 55: not known here
            length               2 octets
            data                 4142

        "#]],
    )
    .await;
}

#[tokio::test]
async fn parts_are_shown_together_and_what_is_missing_is_named() {
    let part = |part: &str, text: &str| received("44", "00", "08", &format!("0A0500030703{part}{text}"));
    let (first, third) = (part("01", "00480069"), part("03", "00210021"));
    let lines = run(&["sms", "decode", &third, &first]).await;
    assert_eq!(
        lines.lines().last(),
        Some("together  3 parts, without 2: Hi!!"),
        "{lines}"
    );
    let lines = run(&["sms", "decode", "--json", &third, &first, &part("02", "00200020")]).await;
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(
        last,
        serde_json::json!({"message": {"part_count": 3, "missing_parts": [], "text": "Hi  !!"}})
    );
}

#[tokio::test]
async fn what_cannot_be_decoded_is_told_with_what_can() {
    let cut = received("04", "00", "00", "05E832");
    check(
        &["sms", "decode", &cut, "0G", "0001"],
        expect![[r#"
        service centre       +447700900999 (international, 0x91)
        type                 SMS-DELIVER
        more messages        no
        loop prevention      no
        reply path           no
        report to sender     no
        originator           +447700900123 (international, 0x91)
        protocol identifier  0x00: plain
        data coding          0x00: GSM 7-bit
        service centre time  2026-11-12T04:28:50+00:00
        length               2 septets
        text                 he
        problem              5 octets of user data are announced, and only 2 follow

        problem              'G' at position 1 is no hexadecimal digit

        problem              the PDU ends too early: the message reference at octet 2 is not whole

        [1] 3 of 3 PDUs cannot be decoded as a whole
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_report_is_recognised_and_a_submit_too() {
    let report = "00062A0C91447700091032621121408205006211214082150046";
    check(
        &["sms", "decode", report],
        expect![[r#"
        service centre       that of the SIM
        type                 SMS-STATUS-REPORT
        more messages        no
        loop prevention      no
        answers command      no
        message reference    42
        recipient            +447700900123 (international, 0x91)
        service centre time  2026-11-12T04:28:50+00:00
        discharge time       2026-11-12T04:28:51+00:00
        status               0x46: permanent failure, validity period expired

    "#]],
    )
    .await;
    let submit = "31000C914477000910320008A7020041";
    check(
        &["sms", "decode", "--tpdu", submit],
        expect![[r#"
            service centre       that of the SIM
            type                 SMS-SUBMIT
            reject duplicates    no
            reply path           no
            report requested     yes
            message reference    0
            destination          +447700900123 (international, 0x91)
            protocol identifier  0x00: plain
            data coding          0x08: UCS2
            validity             relative: 86400 s (0xa7)
            length               2 octets
            text                 A

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_message_is_encoded_with_every_field() {
    let to = "+447700900123";
    check(
        &["sms", "encode", to, "hello"],
        expect![[r#"
        1 part, GSM 7-bit
        hello

        0001000C91447700091032000005E8329BFD06
        command              AT+CMGS=18
        size                 5 of 160
        service centre       that of the SIM
        type                 SMS-SUBMIT
        reject duplicates    no
        reply path           no
        report requested     no
        message reference    0
        destination          +447700900123 (international, 0x91)
        protocol identifier  0x00: plain
        data coding          0x00: GSM 7-bit
        validity             as the service centre likes
        length               5 septets
        text                 hello

    "#]],
    )
    .await;
    let line = [
        "sms",
        "encode",
        to,
        "ж",
        "--flash",
        "--report",
        "--validity",
        "90s",
        "--single-attempt",
        "--replace",
        "3",
        "--port",
        "2948",
        "--json",
    ];
    check(&line, expect![[r#"
        {"command":29,"data_coding":{"alphabet":"UCS2","class":0,"compressed":false,"deleted_once_read":false,"message_waiting":null,"octet":24},"destination":{"address":"+447700900123","kind":"international","type_of_address":145},"header":[{"identifier":5,"meaning":"port 2948 from 0","octets":"0B840000"}],"length":{"count":2,"units":"octets"},"message_reference":0,"pdu":"0069000C914477000910324318425A0000000000090605040B8400000436","protocol_identifier":{"meaning":"replaces type 3","octet":67},"reject_duplicates":false,"reply_path":false,"report_requested":true,"service_centre":null,"size":{"capacity":66,"units":1},"text":"ж","type":"SMS-SUBMIT","validity":{"format":"enhanced","octets":"425A0000000000","seconds":90,"single_attempt":true}}
    "#]]).await;
    let turkish = "Şişli'de ılık bir gün".repeat(4);
    let lines = run(&["sms", "encode", to, &turkish, "--language", "turkish"]).await;
    assert!(
        lines.starts_with("1 part, GSM 7-bit, single shift Turkish\n"),
        "{lines}"
    );
    check(
        &["sms", "encode", to, "日本", "--coding", "gsm7"],
        expect![[r#"
            [1] the 7-bit alphabet has no '日'; choose another coding or allow transliteration
        "#]],
    )
    .await;
    check(
        &["sms", "encode", "nobody", "x"],
        expect![[r#"
        [64] to: 'n' at position 1 is not part of a telephone number; use digits, with + in front of a country code
    "#]],
    )
    .await;
}

/// What is encoded is what is decoded.
#[tokio::test]
async fn parts_of_a_long_message_say_what_was_written() {
    let text = "All work and no play makes Jack a dull boy. ".repeat(8);
    let lines = run(&["sms", "encode", "+447700900123", &text, "--json", "--wide-reference"]).await;
    let parts: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let decoded: String = parts.iter().map(|part| part["text"].as_str().unwrap()).collect();
    assert_eq!((parts.len(), decoded), (3, text));
}

#[tokio::test]
async fn every_message_is_exported_page_by_page() {
    let fake = FakeBroker::start();
    fake.with(|state| {
        state.messages = (0..2100)
            .map(|number| Message {
                message_id: format!("m{number}"),
                modem: "sim1".into(),
                address: "+15550100".into(),
                text: format!("number {number}, \"quoted\""),
                direction: MessageDirection::Incoming.into(),
                state: MessageState::Received.into(),
                part_count: 1,
                ..Message::default()
            })
            .collect();
    });
    let broker = fake.settings().endpoint.unwrap();
    let csv = run(&["--broker", &broker, "sms", "export", "--format", "csv"]).await;
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(
        lines.len(),
        2102,
        "a header, the messages, and nothing after the last line end"
    );
    assert_eq!(
        lines[0],
        "message_id,modem,direction,state,address,create_time,service_centre_time,parts,text"
    );
    assert_eq!(
        lines[2100],
        "m2099,sim1,incoming,received,+15550100,,,1,\"number 2099, \"\"quoted\"\"\""
    );
    let json = run(&["--broker", &broker, "sms", "export"]).await;
    let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!((json.lines().count(), &last["message_id"]), (2100, &"m2099".into()));
}
