//! What people and scripts read, against the scripted broker.

use std::io::Write;
use std::sync::{Arc, Mutex};

use api::v1::event::Change;
use api::v1::*;
use clap::Parser;
use client::testing::{Caller, FakeBroker, refuse};
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

impl Output {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// An afternoon in Berlin, a few minutes after what the furnished broker tells of.
fn clock() -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_790_000_600).unwrap()
}

/// What the command printed, and its failure with the exit code in front.
async fn run_on(fake: &FakeBroker, line: &[&str], terminal: Option<usize>) -> String {
    run_in("UTC", fake, line, terminal).await
}

/// The same in a time zone.
async fn run_in(zone: &str, fake: &FakeBroker, line: &[&str], terminal: Option<usize>) -> String {
    let broker = fake.settings().endpoint.unwrap();
    let line = ["modemctl", "--broker", &broker]
        .iter()
        .chain(line)
        .copied()
        .collect::<Vec<_>>();
    let output = Output::default();
    let zone = jiff::tz::TimeZone::get(zone).unwrap();
    let mut console = Console::plain(output.clone(), output.clone()).at(clock(), zone);
    if let Some(columns) = terminal {
        console = console.as_terminal(columns, false);
    }
    let arguments = Arguments::try_parse_from(line).unwrap();
    let running = tokio::time::timeout(
        std::time::Duration::from_secs(20),
        modemctl::run(arguments, &mut console),
    );
    match running.await.expect("the command should end") {
        Ok(()) => output.text(),
        Err(Failure::Told { code, message, .. }) => format!("{}[{code}] {message}\n", output.text()),
        Err(Failure::OutputClosed) => format!("{}(closed)\n", output.text()),
    }
}

async fn check(fake: &FakeBroker, line: &str, expected: Expect) {
    expected.assert_eq(&run_on(fake, &line.split(' ').collect::<Vec<_>>(), None).await);
}

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: 1_790_000_000 + seconds,
        nanos: 0,
    })
}

fn message(id: &str, address: &str, text: &str, direction: MessageDirection, state: MessageState) -> Message {
    Message {
        message_id: id.into(),
        modem: "sim1".into(),
        address: address.into(),
        text: text.into(),
        direction: direction.into(),
        state: state.into(),
        coding: MessageCoding::Gsm7.into(),
        part_count: 1,
        create_time: at(0),
        ..Message::default()
    }
}

fn call(id: &str, direction: CallDirection, state: CallState) -> Call {
    Call {
        call_id: id.into(),
        modem: "sim1".into(),
        direction: direction.into(),
        state: state.into(),
        number: "+15550100".into(),
        start_time: at(0),
        ..Call::default()
    }
}

/// A broker with one modem that is well and one that is not.
fn furnished() -> FakeBroker {
    let fake = FakeBroker::start();
    let port = |role: PortRole, state: PortState, path: &str, detail: &str| Port {
        role: role.into(),
        state: state.into(),
        path: path.into(),
        detail: detail.into(),
        state_time: None,
    };
    fake.with(|state| {
        state.modems = vec![
            Modem {
                name: "sim1".into(),
                stage: ModemStage::Ready.into(),
                progress_percent: 100,
                health: ModemHealth::Ok.into(),
                manufacturer: "SIMCOM INCORPORATED".into(),
                model: "SIMCOM_SIM7600G-H".into(),
                revision: "LE20B04SIM7600G22".into(),
                imei: "490154203237518".into(),
                usb: Some(UsbAttachment {
                    composition: "9001".into(),
                    path: "1-1.2".into(),
                }),
                ports: vec![
                    port(PortRole::At, PortState::Open, "/dev/ttyUSB2", ""),
                    port(
                        PortRole::AtCalls,
                        PortState::Held,
                        "/dev/ttyUSB3",
                        "held by minicom (1234)",
                    ),
                    port(PortRole::Audio, PortState::Unused, "/dev/ttyUSB4", ""),
                ],
                carrier: Some(Carrier {
                    name: "Telekom".into(),
                    plmn: "26201".into(),
                    data_apn: "internet.telekom".into(),
                    ims_apn: "ims".into(),
                    source: CarrierSource::BuiltIn.into(),
                    ..Carrier::default()
                }),
                ..Modem::default()
            },
            Modem {
                name: "sim2".into(),
                stage: ModemStage::Registering.into(),
                progress_percent: 57,
                stage_detail: "searching for a network".into(),
                stage_time: at(-40),
                health: ModemHealth::Degraded.into(),
                health_reason: "the antenna seems to be missing; look whether it is screwed on".into(),
                degradations: vec![Degradation {
                    stage: ModemStage::Contexts.into(),
                    reason: "the module refuses context 2; update its firmware".into(),
                }],
                ..Modem::default()
            },
        ];
        let sim = Sim {
            state: SimState::Ready.into(),
            iccid: "8949000000000000001".into(),
            ..Sim::default()
        };
        state.sims.insert("sim1".into(), sim);
        let recovery = GetRecoveryResponse {
            current_step: RecoveryStep::CycleRadio.into(),
            next_attempt_time: at(60),
            detail: "no network since 5 minutes".into(),
            ..GetRecoveryResponse::default()
        };
        state.recoveries.insert("sim2".into(), recovery);
        let network = NetworkStatus {
            modem: "sim1".into(),
            evolved_packet: RegistrationState::Home.into(),
            circuit_switched: RegistrationState::Denied.into(),
            registered: true,
            operator_name: "Telekom.de".into(),
            operator_plmn: "26201".into(),
            technology: AccessTechnology::Lte.into(),
            cell: Some(Cell {
                band: "EUTRAN-BAND3".into(),
                cell_id: Some(25_767_426),
                area_code: Some(0x5b9c),
                channel: Some(1300),
                serving: true,
                ..Cell::default()
            }),
            signal: Some(Signal {
                rsrp_dbm: Some(-95.0),
                rsrq_db: Some(-10.5),
                quality_percent: 62,
                ..Signal::default()
            }),
            update_time: at(0),
            ..NetworkStatus::default()
        };
        state.networks.insert("sim1".into(), network);
    });
    fake
}

#[tokio::test]
async fn status_is_a_card_for_each_modem() {
    let fake = furnished();
    check(
        &fake,
        "status",
        expect![[r#"
            sim1  ready
              health    ok
              device    SIMCOM INCORPORATED SIMCOM_SIM7600G-H, firmware LE20B04SIM7600G22, IMEI 490154203237518
              usb       1-1.2, composition 9001
              sim       ready, ICCID 8949000000000000001
              carrier   Telekom (26201), data APN internet.telekom, IMS APN ims
              network   registered, Telekom.de (26201), LTE, EUTRAN-BAND3, signal 62 % (RSRP -95 dBm, RSRQ -10.5 dB)
              ports     at           open     /dev/ttyUSB2
                        at calls     held     /dev/ttyUSB3  held by minicom (1234)
                        audio        unused   /dev/ttyUSB4

            sim2  registering 57 %
              stage     searching for a network, since 2026-09-21 14:12:40
              health    degraded: the antenna seems to be missing; look whether it is screwed on
                        contexts: the module refuses context 2; update its firmware
              recovery  cycle radio, no network since 5 minutes, next attempt at 2026-09-21 14:14:20
              sim       not known yet
              network   not known yet
        "#]],
    )
    .await;
    let narrow = run_on(&fake, &["status", "--modem", "sim2"], Some(50)).await;
    expect![[r#"
        sim2  registering ███████████░░░░░░░░░ 57 %
          stage     searching for a network, since
                    2026-09-21 14:12:40
          health    degraded: the antenna seems to be
                    missing; look whether it is screwed on
                    contexts: the module refuses context
                    2; update its firmware
          recovery  cycle radio, no network since 5
                    minutes, next attempt at 2026-09-21
                    14:14:20
          sim       not known yet
          network   not known yet
    "#]]
    .assert_eq(&narrow);
    let terminal = run_on(&fake, &["status", "--modem", "sim1"], Some(80)).await;
    expect![[r#"
        sim1  ready
          health    ok
          device    SIMCOM INCORPORATED SIMCOM_SIM7600G-H, firmware LE20B04SIM7600G22,
                    IMEI 490154203237518
          usb       1-1.2, composition 9001
          sim       ready, ICCID 8949000000000000001
          carrier   Telekom (26201), data APN internet.telekom, IMS APN ims
          network   registered, Telekom.de (26201), LTE, EUTRAN-BAND3, signal 62 % (RSRP
                    -95 dBm, RSRQ -10.5 dB)
          ports     at           open     /dev/ttyUSB2
                    at calls     held     /dev/ttyUSB3  held by minicom (1234)
                    audio        unused   /dev/ttyUSB4
    "#]]
    .assert_eq(&terminal);
    check(
        &fake,
        "status --modem sim3",
        expect![[r#"
            [1] no modem is called sim3; modemctl status without --modem shows all
        "#]],
    )
    .await;
    // A modem that serves with an alarm, and one that was given up: neither looks well or on its way.
    fake.with(|state| {
        let reason = "port /dev/ttyUSB2 hangs; /dev/ttyUSB3 serves calls and messages together until it answers again";
        state.modems[0].health = ModemHealth::Degraded.into();
        state.modems[0].health_reason = reason.into();
        state.modems[0].ports.clear();
        let given_up = "the modem cannot be recovered: port /dev/ttyUSB2 does not answer; check its cable";
        state.modems[1] = Modem {
            name: "sim2".into(),
            stage: ModemStage::Absent.into(),
            stage_detail: given_up.into(),
            stage_time: at(-40),
            health: ModemHealth::Failed.into(),
            health_reason: given_up.into(),
            ..Modem::default()
        };
        let recovery = GetRecoveryResponse {
            current_step: RecoveryStep::GiveUp.into(),
            next_attempt_time: at(60),
            detail: "port /dev/ttyUSB2 does not answer; nothing helped".into(),
            ..GetRecoveryResponse::default()
        };
        state.recoveries.insert("sim2".into(), recovery);
    });
    let terminal = run_on(&fake, &["status"], Some(80)).await;
    expect![[r#"
        sim1  ready, degraded
          health    degraded: port /dev/ttyUSB2 hangs; /dev/ttyUSB3 serves calls and
                    messages together until it answers again
          device    SIMCOM INCORPORATED SIMCOM_SIM7600G-H, firmware LE20B04SIM7600G22,
                    IMEI 490154203237518
          usb       1-1.2, composition 9001
          sim       ready, ICCID 8949000000000000001
          carrier   Telekom (26201), data APN internet.telekom, IMS APN ims
          network   registered, Telekom.de (26201), LTE, EUTRAN-BAND3, signal 62 % (RSRP
                    -95 dBm, RSRQ -10.5 dB)

        sim2  absent
          stage     since 2026-09-21 14:12:40
          health    failed: the modem cannot be recovered: port /dev/ttyUSB2 does not
                    answer; check its cable
          recovery  gave up, port /dev/ttyUSB2 does not answer; nothing helped, next
                    attempt at 2026-09-21 14:14:20
          sim       not known yet
          network   not known yet
    "#]]
    .assert_eq(&terminal);
    let json = run_on(&fake, &["--json", "status"], None).await;
    assert_eq!(json.lines().count(), 2);
    assert!(json.lines().all(|line| line.starts_with(r#"{"modem":{"#)), "{json}");
}

#[tokio::test]
async fn messages_are_listed_and_shown() {
    let fake = furnished();
    fake.put_message(message(
        "m1",
        "+15550100",
        "Hello, how are you?",
        MessageDirection::Outgoing,
        MessageState::Delivered,
    ));
    let mut long = message(
        "m2",
        "東京",
        "こんにちは、これは長いメッセージです。\u{1b}[2J",
        MessageDirection::Incoming,
        MessageState::Received,
    );
    long.part_count = 2;
    long.coding = MessageCoding::Ucs2.into();
    fake.put_message(long);
    check(
        &fake,
        "sms list",
        expect![[r#"
            id  time                    number     state               text
            m2  2026-09-21 14:13:20  ←  東京       received (2 parts)  こんにちは、これは長いメッセージです。 [2J
            m1  2026-09-21 14:13:20  →  +15550100  delivered           Hello, how are you?
        "#]],
    )
    .await;
    expect![[r#"
        id  time      number     state
        m2  14:13  ←  東京       received (2 parts)
          こんにちは、これは長いメッセージです。 [2J
        m1  14:13  →  +15550100  delivered
          Hello, how are you?
    "#]]
    .assert_eq(&run_on(&fake, &["sms", "list"], Some(72)).await);
    check(&fake, "sms list --incoming --json", expect![[r#"
        {"address":"東京","client":"","coding":"MESSAGE_CODING_UCS2","conversation":"","create_time":"2026-09-21T14:13:20Z","data":"","delivery_report_requested":false,"direction":"MESSAGE_DIRECTION_INCOMING","failure":"","iccid":"","information_elements":[],"message_id":"m2","message_references":[],"missing_parts":[],"modem":"sim1","part_count":2,"parts_done":0,"pdus":[],"priority":"MESSAGE_PRIORITY_UNSPECIFIED","protocol_identifier":0,"replaced_by":"","request_id":"","state":"MESSAGE_STATE_RECEIVED","text":"こんにちは、これは長いメッセージです。\u001b[2J"}
    "#]]).await;
    check(
        &fake,
        "sms show m2",
        expect![[r#"
        id         m2
        modem      sim1
        direction  incoming
        number     東京
        state      received
        parts      0 of 2
        coding     UCS2
        stored     2026-09-21 14:13:20
        text       こんにちは、これは長いメッセージです。 [2J
    "#]],
    )
    .await;
    check(
        &fake,
        "sms show m3",
        expect![[r#"
        [1] no such message: m3
    "#]],
    )
    .await;
    check(
        &fake,
        "sms delete m1",
        expect![[r#"
        deleted m1
    "#]],
    )
    .await;
    check(
        &fake,
        "sms list --outgoing",
        expect![[r#"
        no messages
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_message_is_sent_and_its_end_awaited() {
    let fake = furnished();
    check(
        &fake,
        "sms send +15550100 hello --request-id 0b5a7c1e-63f5-4a5e-9a43-6f6e8a1b2c3d",
        expect![[r#"
            m1  queued  1 part, GSM7
        "#]],
    )
    .await;
    for (state, failure, expected) in [
        (MessageState::Sent, "", "m2  sent  1 part, GSM7\n"),
        (
            MessageState::Failed,
            "CMS error 38",
            "m3  failed  1 part, GSM7\n[1] the message was not sent: CMS error 38\n",
        ),
        (
            MessageState::OutcomeUnknown,
            "no final result",
            "m4  outcome unknown  1 part, GSM7\n[1] nobody knows whether the message was sent: no final result; ask the \
             receiver before sending it again\n",
        ),
    ] {
        let finish = async {
            fake.wait_for("the message", |known| {
                known
                    .messages
                    .iter()
                    .any(|message| message.state() == MessageState::Queued && message.text == "wait")
            })
            .await;
            let mut queued = fake.with(|known| known.messages[0].clone());
            queued.state = state.into();
            queued.failure = failure.into();
            fake.put_message(queued);
        };
        let (printed, ()) = tokio::join!(
            run_on(&fake, &["sms", "send", "+15550100", "wait", "--wait"], None),
            finish
        );
        assert_eq!(printed, expected);
    }
    check(
        &fake,
        "sms send +15550100 never --wait --timeout 0",
        expect![[r#"
        [1] the message is still queued after 0 s; look at it later with: modemctl sms show m5
    "#]],
    )
    .await;
    let refusal = refuse(
        tonic::Code::InvalidArgument,
        "PHONE_NUMBER_INVALID",
        "to: not a number that can be texted",
        &[],
    );
    fake.with(|state| state.refusals.push_back(refusal));
    check(
        &fake,
        "sms send nobody hello",
        expect![[r#"
        [1] to: not a number that can be texted
    "#]],
    )
    .await;
}

#[tokio::test]
async fn events_are_listed_and_watched_across_a_crash() {
    let mut fake = furnished();
    fake.put_message(message(
        "m1",
        "+15550100",
        "hi",
        MessageDirection::Incoming,
        MessageState::Received,
    ));
    let mut ringing = call("c1", CallDirection::Incoming, CallState::Incoming);
    ringing.rings = 1;
    fake.put_call(ringing);
    fake.append(Change::DtmfReceived(DtmfReceived {
        call_id: "c1".into(),
        tone: "5".into(),
    }));
    fake.append(Change::ModemChanged(fake.with(|state| state.modems[1].clone())));
    check(&fake, "events", expect![[r#"
        2026-09-21 14:13:21  sim1    message  received from +15550100: hi
        2026-09-21 14:13:22  sim1    call     incoming from +15550100, ring 1
        2026-09-21 14:13:23  sim1    dtmf     tone 5 in call c1
        2026-09-21 14:13:24  sim1    modem    registering, searching for a network, degraded: the antenna seems to be missing; look whether it is screwed on
    "#]]).await;
    check(
        &fake,
        "events --kinds dtmf --json",
        expect![[r#"
        {"dtmf_received":{"call_id":"c1","tone":"5"},"event_time":"2026-09-21T14:13:23Z","modem":"sim1","sequence":3}
    "#]],
    )
    .await;
    check(
        &fake,
        "events --after 2 --limit 1",
        expect![[r#"
            2026-09-21 14:13:23  sim1    dtmf     tone 5 in call c1
            there are later events: --after 3 goes on with them
        "#]],
    )
    .await;
    check(
        &fake,
        "watch --from-beginning --kinds call,message --count 2",
        expect![[r#"
            2026-09-21 14:13:21  sim1    message  received from +15550100: hi
            2026-09-21 14:13:22  sim1    call     incoming from +15550100, ring 1
        "#]],
    )
    .await;
    check(
        &fake,
        "watch --consumer me --count 1",
        expect![[r#"
        2026-09-21 14:13:21  sim1    message  received from +15550100: hi
    "#]],
    )
    .await;
    assert_eq!(fake.with(|state| state.consumers["me"]), 1);

    let endpoint = fake.settings().endpoint.unwrap();
    let output = Output::default();
    let mut console = Console::plain(output.clone(), std::io::sink());
    let arguments = Arguments::parse_from([
        "modemctl",
        "--broker",
        &endpoint,
        "watch",
        "--from-beginning",
        "--count",
        "5",
    ]);
    let watching = modemctl::run(arguments, &mut console);
    let crashing = async {
        for _ in 0..500 {
            if output.text().lines().count() == 4 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        fake.crash().await;
        fake.append(Change::SimChanged(Sim {
            state: SimState::Absent.into(),
            ..Sim::default()
        }));
        fake.resume();
    };
    let (result, ()) = tokio::join!(watching, crashing);
    assert!(result.is_ok());
    let printed = output.text();
    assert_eq!(printed.lines().count(), 5);
    assert!(printed.ends_with("sim      absent\n"), "{printed}");
}

#[tokio::test]
async fn calls_are_dialled_listed_and_ended() {
    let fake = furnished();
    check(
        &fake,
        "call list",
        expect![[r#"
        no calls
    "#]],
    )
    .await;
    check(
        &fake,
        "call show",
        expect![[r#"
        [1] no call is under way
    "#]],
    )
    .await;
    check(
        &fake,
        "call dial +15550100",
        expect![[r#"
            c1  dialling +15550100
        "#]],
    )
    .await;
    check(&fake, "call dtmf 12#", expect![[""]]).await;
    assert_eq!(fake.with(|state| state.tones.clone()), "12#");
    check(
        &fake,
        "call hangup",
        expect![[r#"
            c1  call to +15550100, hung up here
        "#]],
    )
    .await;
    let busy = async {
        fake.wait_for("the call", |state| state.calls.iter().any(|call| call.call_id == "c2"))
            .await;
        let mut call = fake.with(|state| state.calls[0].clone());
        call.state = CallState::Disconnected.into();
        call.end_cause = CallEndCause::Busy.into();
        fake.put_call(call);
    };
    let (printed, ()) = tokio::join!(run_on(&fake, &["call", "dial", "+15550100", "--wait"], None), busy);
    expect![[r#"
        [1] the call was not answered: busy
    "#]]
    .assert_eq(&printed);
    fake.put_call(call("c3", CallDirection::Incoming, CallState::Incoming));
    check(
        &fake,
        "call answer",
        expect![[r#"
        c3  active from +15550100
    "#]],
    )
    .await;
    check(
        &fake,
        "call list",
        expect![[r#"
            id  began                   number     state
            c3  2026-09-21 14:13:20  ←  +15550100  active
            c2                       →  +15550100  busy
            c1                       →  +15550100  hung up here
        "#]],
    )
    .await;
    check(&fake, "call list --alive --json", expect![[r#"
        {"audio":"CALL_AUDIO_STATE_ON","call_id":"c3","caller_name":"","direction":"CALL_DIRECTION_INCOMING","downlink_problem":"AUDIO_PROBLEM_UNSPECIFIED","end_cause":"CALL_END_CAUSE_UNSPECIFIED","end_detail":"","modem":"sim1","number":"+15550100","number_withheld":false,"recording":false,"recording_file":"","request_id":"","rings":0,"start_time":"2026-09-21T14:13:20Z","state":"CALL_STATE_ACTIVE","uplink_problem":"AUDIO_PROBLEM_UNSPECIFIED"}
    "#]]).await;
}

#[tokio::test]
async fn a_call_is_recorded_and_played_into() {
    let fake = furnished();
    let directory = tempfile::tempdir().unwrap();
    let speech: Vec<i16> = (0..8000).map(|n| (n % 500) as i16 * 10).collect();
    fake.with(|state| {
        state.caller = Caller {
            speech: speech.clone(),
            ..Caller::default()
        }
    });
    fake.put_call(call("c1", CallDirection::Incoming, CallState::Active));
    let file = directory.path().join("heard.wav");
    let printed = run_on(&fake, &["call", "record", "--out", file.to_str().unwrap()], None).await;
    assert_eq!(printed, format!("1.0 s of call c1 in {}\n", file.display()));
    let recorded: Vec<i16> = hound::WavReader::open(&file)
        .unwrap()
        .samples()
        .map(Result::unwrap)
        .collect();
    assert_eq!(recorded, speech);

    fake.put_call(call("c2", CallDirection::Incoming, CallState::Active));
    let printed = run_on(&fake, &["call", "play", file.to_str().unwrap(), "--then-hang-up"], None).await;
    assert_eq!(printed, "played 1.0 s into call c2\n");
    let (uplink, ended) = fake.with(|state| (state.uplink.clone(), state.calls[0].state()));
    assert!(uplink == speech, "the file was not played whole and in order");
    assert_eq!(ended, CallState::Disconnected);
    let printed = run_on(&fake, &["call", "play", "/nonexistent.wav"], None).await;
    assert!(
        printed.starts_with("[1] failed to read /nonexistent.wav: "),
        "{printed}"
    );
}

#[tokio::test]
async fn the_sim_is_shown() {
    let fake = furnished();
    check(
        &fake,
        "--modem sim1 sim status",
        expect![[r#"
        state     ready
        ICCID     8949000000000000001
    "#]],
    )
    .await;
}

#[tokio::test]
async fn the_network_and_at_commands() {
    let fake = furnished();
    check(
        &fake,
        "network",
        expect![[r#"
            modem       sim1
            operator    Telekom.de (26201)
            technology  LTE
            LTE         registered
            calls       denied
            signal      62 % (RSRP -95 dBm, RSRQ -10.5 dB)
            cell        EUTRAN-BAND3, channel 1300, area 5B9C, cell 1892E02
            read        2026-09-21 14:13:20
        "#]],
    )
    .await;
    fake.with(|state| {
        state.at_answer = ExecuteAtCommandResponse {
            lines: vec!["+CSQ: 20,99".into()],
            result: "OK".into(),
            ok: true,
        };
    });
    check(
        &fake,
        "at AT+CSQ",
        expect![[r#"
        +CSQ: 20,99
        OK
    "#]],
    )
    .await;
    fake.with(|state| {
        state.at_answer = ExecuteAtCommandResponse {
            result: "+CME ERROR: 10".into(),
            ..Default::default()
        }
    });
    check(
        &fake,
        "at AT+CIMI --timeout 20",
        expect![[r#"
        +CME ERROR: 10
        [1] the modem answered +CME ERROR: 10
    "#]],
    )
    .await;
    check(
        &fake,
        "at AT+CIMI --timeout 200",
        expect![[r#"
        [64] --timeout must be 1 to 180 seconds
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_broker_that_is_not_there_has_its_own_exit_code() {
    let mut fake = FakeBroker::start();
    fake.crash().await;
    let printed = run_on(&fake, &["status"], None).await;
    assert!(
        printed.starts_with("[69] there is no socket /") && printed.contains("is modem-broker running?"),
        "{printed}"
    );
    let arguments = Arguments::parse_from(["modemctl", "--broker", "nonsense", "status"]);
    let mut console = Console::plain(std::io::sink(), std::io::sink());
    assert!(matches!(
        modemctl::run(arguments, &mut console).await,
        Err(Failure::Told { code: 64, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_hangs_is_told_from_one_that_works() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.sock");
    // The kernel accepts connections; nobody reads them.
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let arguments = Arguments::parse_from(["modemctl", "--broker", path.to_str().unwrap(), "status"]);
    let mut console = Console::plain(std::io::sink(), std::io::sink());
    let began = tokio::time::Instant::now();
    let Err(Failure::Told { code, message, .. }) = modemctl::run(arguments, &mut console).await else {
        panic!("nobody answers");
    };
    assert!(
        began.elapsed() <= std::time::Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
    assert!(
        code == 69 && message.contains("does not answer; see systemctl"),
        "{code} {message}"
    );
}

/// The program itself, with its output, its errors and its exit code.
fn program(fake: &FakeBroker, zone: &str, line: &[&str]) -> (String, String, i32) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_modemctl"))
        .args(line)
        .env("MODEM_BROKER", fake.settings().endpoint.unwrap())
        .env("TZ", zone)
        .output()
        .unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_knows_zones_and_tells_programs_its_failures() {
    let fake = furnished();
    fake.append(Change::DtmfReceived(DtmfReceived {
        call_id: "c1".into(),
        tone: "5".into(),
    }));
    let (output, ..) = program(&fake, "Europe/Berlin", &["events"]);
    assert_eq!(output, "2026-09-21 16:13:21  sim1    dtmf     tone 5 in call c1\n");
    let (output, errors, code) = program(&fake, "Nowhere/Land", &["events"]);
    assert_eq!(
        (output.as_str(), errors.as_str(), code),
        (
            "",
            "modemctl: TZ=Nowhere/Land is no time zone; use a name such as Europe/Berlin, or unset TZ\n",
            64
        )
    );
    let (output, errors, code) = program(&fake, "UTC", &["sms", "show", "m9", "--json"]);
    assert_eq!(
        (output.as_str(), errors.as_str(), code),
        (
            "",
            "{\"error\":{\"message\":\"no such message: m9\",\"reason\":\"MESSAGE_NOT_FOUND\"}}\n",
            1
        )
    );
    let (_, errors, code) = program(&fake, "UTC", &["sms", "send", "--json"]);
    assert!(
        errors.starts_with("{\"error\":{\"message\":\"error: ") && code == 64,
        "{errors}"
    );
    assert!(
        !errors.contains("--broker <"),
        "what the environment gives is no part of the usage: {errors}"
    );
}

#[tokio::test]
async fn completions_need_no_broker() {
    let output = Output::default();
    let arguments = Arguments::parse_from(["modemctl", "completions", "bash"]);
    assert!(
        modemctl::run(arguments, &mut Console::plain(output.clone(), output.clone()))
            .await
            .is_ok()
    );
    assert!(output.text().contains("then-hang-up"));
}

#[tokio::test]
async fn lists_are_readable_on_narrow_terminals() {
    let fake = furnished();
    let ids = [
        "55c2a1f0-4d3b-4b7e-9a43-6f6e8a1b2c3d",
        "0b5a7c1e-63f5-4a5e-9a43-6f6e8a1b2c3d",
        "0b5a9999-63f5-4a5e-9a43-6f6e8a1b2c3d",
    ];
    let texts = [
        "Your balance is 12.34 EUR. Top up with *101#.",
        "Hello, how are you?",
        "later",
    ];
    for (index, (id, text)) in ids.iter().zip(texts).enumerate() {
        let (direction, state) = match index {
            0 => (MessageDirection::Incoming, MessageState::Received),
            1 => (MessageDirection::Outgoing, MessageState::Delivered),
            _ => (MessageDirection::Outgoing, MessageState::Queued),
        };
        let mut message = message(id, "+447700900123", text, direction, state);
        message.create_time = at(if index == 1 { -90_000 } else { 0 });
        message.send_time = if index == 2 { at(7200) } else { None };
        message.part_count = index as u32;
        fake.put_message(message);
    }
    for (columns, expected) in [
        (
            60,
            expect![[r#"
                id        time             number         state
                0b5a9999  14:13         →  +447700900123  queued (2 parts) for 16:13
                  later
                0b5a7c1e  20 Sep 13:13  →  +447700900123  delivered
                  Hello, how are you?
                55c2a1f0  14:13         ←  +447700900123  received
                  Your balance is 12.34 EUR. Top up with *101#.
            "#]],
        ),
        (
            100,
            expect![[r#"
                id        time             number         state                       text
                0b5a9999  14:13         →  +447700900123  queued (2 parts) for 16:13  later
                0b5a7c1e  20 Sep 13:13  →  +447700900123  delivered                   Hello, how are you?
                55c2a1f0  14:13         ←  +447700900123  received                    Your balance is 12.34 EUR. To…
            "#]],
        ),
    ] {
        expected.assert_eq(&run_on(&fake, &["sms", "list"], Some(columns)).await);
    }
    let piped = run_on(&fake, &["sms", "list"], None).await;
    assert!(
        piped.contains(ids[0]) && piped.contains("2026-09-21 14:13:20"),
        "{piped}"
    );
    // What a list shows is what the other commands take.
    check(
        &fake,
        "sms delete 55c2a1f0",
        expect![[r#"
        deleted 55c2a1f0-4d3b-4b7e-9a43-6f6e8a1b2c3d
    "#]],
    )
    .await;
    check(&fake, "sms show 0b5a", expect![[r#"
        [64] 0b5a is the beginning of several: 0b5a9999-63f5-4a5e-9a43-6f6e8a1b2c3d, 0b5a7c1e-63f5-4a5e-9a43-6f6e8a1b2c3d; write more of it
    "#]]).await;
    check(
        &fake,
        "sms show 77777",
        expect![[r#"
        [1] no message begins with 77777
    "#]],
    )
    .await;
    check(&fake, "sms list --limit 1", expect![[r#"
        id                                    time                    number         state                                     text
        0b5a9999-63f5-4a5e-9a43-6f6e8a1b2c3d  2026-09-21 14:13:20  →  +447700900123  queued (2 parts) for 2026-09-21 16:13:20  later
        there are earlier messages: --limit 4 shows more
    "#]]).await;
}

#[tokio::test]
async fn times_are_those_of_the_zone_and_the_past_is_refused() {
    let fake = furnished();
    let send = |at: &'static str| ["sms", "send", "+447700900123", "hello", "--at", at];
    let local = run_in("Europe/Berlin", &fake, &send("2026-12-01T08:00"), None).await;
    expect![[r#"
        m1  queued, to be sent at 2026-12-01 08:00:00 CET  1 part, GSM7
    "#]]
    .assert_eq(&local);
    let sent = fake.with(|state| state.sends[0].send_time.unwrap().seconds);
    assert_eq!(
        jiff::Timestamp::from_second(sent).unwrap().to_string(),
        "2026-12-01T07:00:00Z"
    );
    expect![[r#"
        [64] --at: 2020-01-01 08:00:00 CET is in the past
    "#]]
    .assert_eq(&run_in("Europe/Berlin", &fake, &send("2020-01-01T08:00"), None).await);
    assert_eq!(fake.with(|state| state.sends.len()), 1);
}

#[tokio::test]
async fn the_newest_events_are_shown_and_what_is_left_out_is_said() {
    let fake = furnished();
    for tone in 0..1200 {
        fake.append(Change::DtmfReceived(DtmfReceived {
            call_id: "c1".into(),
            tone: (tone % 10).to_string(),
        }));
    }
    let printed = run_on(&fake, &["events"], None).await;
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 101, "{printed}");
    assert!(lines[99].contains("tone 9"), "the newest comes last: {}", lines[99]);
    assert_eq!(
        lines[100],
        "there are earlier events: --limit or --since shows more of them"
    );
    let all = run_on(&fake, &["events", "--limit", "5000"], None).await;
    assert_eq!(all.lines().count(), 1200);
    let since = run_on(
        &fake,
        &["events", "--since", "2026-09-21T14:33:10", "--kinds", "dtmf"],
        None,
    )
    .await;
    assert_eq!(since.lines().count(), 11, "{since}");
    let after = run_on(&fake, &["events", "--after", "1190", "--limit", "5"], None).await;
    assert_eq!(after.lines().count(), 6, "{after}");
    assert!(
        after.ends_with("there are later events: --after 1195 goes on with them\n"),
        "{after}"
    );
}

#[tokio::test]
async fn a_watch_shows_what_is_new_and_all_of_it() {
    let fake = furnished();
    let code = "Your one-time password for the payment of 12.00 EUR at Example is 493021. Do not tell it to anybody.";
    let mut otp = message("m1", "Bank", code, MessageDirection::Incoming, MessageState::Received);
    fake.put_message(otp.clone());
    otp.update_time = at(5);
    fake.put_message(otp);
    fake.append(Change::NetworkChanged(NetworkStatus::default()));
    fake.append(Change::SimChanged(Sim {
        state: SimState::Ready.into(),
        ..Sim::default()
    }));
    let watch = ["watch", "--from-beginning", "--count", "2"];
    expect![[r#"
        14:13:21  sim1    message  received from Bank: Your one-time
                                   password for the payment of 12.00
                                   EUR at Example is 493021. Do not
                                   tell it to anybody.
        14:13:24  sim1    sim      ready
    "#]]
    .assert_eq(&run_on(&fake, &watch, Some(60)).await);
}

#[tokio::test]
async fn a_message_for_a_modem_that_is_not_there_says_that_it_waits() {
    let fake = furnished();
    fake.with(|state| {
        state.modems[0].stage = ModemStage::Absent.into();
        state.modems[0].stage_detail = "no SIM7600 on USB (vendor 1e0e): is it plugged in?".into();
    });
    check(
        &fake,
        "sms send +447700900123 hello",
        expect![[r#"
        m1  queued  1 part, GSM7
        It waits until modem sim1 is ready, which it is not: no SIM7600 on USB (vendor 1e0e): is it plugged in?
    "#]],
    )
    .await;
    let waiting = ["status", "--modem", "sim1", "--wait", "0"];
    expect![[r#"
        [1] not ready after 0 s: modem sim1 is absent, no SIM7600 on USB (vendor 1e0e): is it plugged in?
    "#]]
    .assert_eq(&run_on(&fake, &waiting, None).await);
}

#[tokio::test]
async fn nothing_that_came_in_controls_the_terminal() {
    let fake = furnished();
    let text = "a\u{9b}2Jb\u{85}c\u{202e}d\u{2028}e\u{feff}f\u{1b}[2J";
    fake.put_message(message(
        "m1",
        text,
        text,
        MessageDirection::Incoming,
        MessageState::Received,
    ));
    for line in [
        &["sms", "list"][..],
        &["sms", "list", "--json"],
        &["sms", "show", "m1"],
        &["sms", "export"],
        &["sms", "export", "--format", "csv"],
        &["events"],
        &["events", "--json"],
        &["status"],
    ] {
        for terminal in [None, Some(80)] {
            let printed = run_on(&fake, line, terminal).await;
            let hidden = |character: &char| {
                (character.is_control() && !matches!(character, '\n' | '\r'))
                    || matches!(character, '\u{202e}' | '\u{2028}' | '\u{feff}')
            };
            assert!(
                !printed.chars().any(|character| hidden(&character)),
                "{line:?}: {printed:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_refusal_has_its_reason_for_programs() {
    let fake = furnished();
    let broker = fake.settings().endpoint.unwrap();
    let arguments = Arguments::parse_from(["modemctl", "--broker", &broker, "sms", "show", "m9"]);
    let mut console = Console::plain(std::io::sink(), std::io::sink());
    let Err(Failure::Told { reason, message, .. }) = modemctl::run(arguments, &mut console).await else {
        panic!("there is no such message");
    };
    expect![[r#"{"error":{"message":"no such message: m9","reason":"MESSAGE_NOT_FOUND"}}"#]]
        .assert_eq(&modemctl::as_json(&reason, &message).to_string());
}
