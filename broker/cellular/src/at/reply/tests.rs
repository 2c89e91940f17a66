use std::time::Duration;

use super::super::error_code::{CEER_CS_NETWORK_CAUSE, CME, CMS};
use super::super::urc::Urc;
use super::*;
use crate::pcm::SampleRate;

#[test]
fn what_is_stored_and_what_is_demanded_are_read() {
    for (line, expected) in [
        ("+CMGD: (0,3,254),(0-4)", Ok(vec![0, 3, 254])),
        ("+CMGD: (),(0-4)", Ok(vec![])),
        ("+CMGD: (7)", Ok(vec![7])),
    ] {
        assert_eq!(stored_indices(&[line]), expected, "{line}");
    }
    for line in ["+CMGD: (1-50),(0-4)", "+CMGD: 5", "OK"] {
        assert!(stored_indices(&[line]).is_err(), "{line}");
    }
    assert_eq!(message_service(&["+CSMS: 1,1,1,1"]), Ok(1));
    assert!(message_service(&["+CSMS: "]).is_err());
}

#[test]
fn module_settings_are_read() {
    assert_eq!(
        compositions(&["+CUSBPIDSWITCH: (9000,9001,901A),(0-1),(0-1)"]),
        Ok(vec![0x9000, 0x9001, 0x901A])
    );
    assert_eq!(composition(&["+CUSBPIDSWITCH: 9001"]), Ok(0x9001));
    assert_eq!(
        pin_attempts(&["+SPIC: 3,10,0,10"]),
        Ok(PinAttempts {
            pin: 3,
            puk: 10,
            pin2: 0,
            puk2: 10
        })
    );
    assert_eq!(setting(&["+CATR:1"], "+CATR"), Ok(1));
    assert_eq!(
        identification(&["+CGMR: LE20B04SIM7600G22"], "+CGMR").as_deref(),
        Ok("LE20B04SIM7600G22")
    );
    assert_eq!(
        identification(&["LE20B04SIM7600G22"], "+CGMR").as_deref(),
        Ok("LE20B04SIM7600G22")
    );
    assert_eq!(serial_number(&["490154203237518"]).as_deref(), Ok("490154203237518"));
    assert!(serial_number(&["49015420323751"]).is_err());
    assert_eq!(
        setting(&["garbage"], "+CATR").map_err(|e| e.to_string()),
        Err("unexpected reply to +CATR".to_owned())
    );
}

#[test]
fn audio_and_forwarding_are_read() {
    assert_eq!(pcm_registered(&["+CPCMREG:1"]), Ok(true));
    assert_eq!(pcm_sample_rate(&["+CPCMFRM: 1"]), Ok(SampleRate::Hz16000));
    assert_eq!(loudspeaker_level(&["+CLVL: 4"]), Ok(4));
    assert_eq!(
        extended_error_report(&["+CEER: Normal call clearing"]).as_deref(),
        Ok("Normal call clearing")
    );
    let rows = call_forwarding(&["+CCFC: 1,1,\"+15550100\",145,,,20", "+CCFC: 0,255"]).expect("two rows");
    assert_eq!(rows[0].number.as_deref(), Some("+15550100"));
    assert_eq!((rows[0].delay_s, rows[1].active, rows[1].class), (Some(20), false, 255));
}

#[test]
fn a_later_row_of_the_same_call_replaces_the_earlier_one() {
    let calls = current_calls(&[
        "+CLCC: 1,1,4,0,0",
        "+CLCC: 2,0,0,0,0",
        "+CLCC: 1,1,6,0,0,\"5550100\",129,\"Ann, Bob\"",
    ]);
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].state, crate::call::State::Disconnected);
    assert_eq!(calls[0].name.as_deref(), Some("Ann, Bob"));
}

#[test]
fn a_position_is_read_and_its_absence_too() {
    let lines = ["+CGPSINFO:3113.343286,N,12121.234064,E,250311,072809.3,44.1,0.0,0"];
    let fix = gps_information(&lines).expect("a line").expect("a fix");
    assert!((fix.latitude_deg - 31.222_388_1).abs() < 1e-6);
    assert!((fix.longitude_deg - 121.353_901_0).abs() < 1e-6);
    assert_eq!(
        (fix.date.as_str(), fix.time.as_str(), fix.altitude_m),
        ("250311", "072809.3", Some(44.1))
    );
    assert_eq!(gps_information(&["+CGPSINFO: ,,,,,,,,"]), Ok(None));
    let lines = ["+CGNSSINFO: 2,09,05,00,3113.330650,S,12121.262554,W,131117,091918.0,32.9,0.0,255.0,1.1,0.8,0.7"];
    let fix = gnss_information(&lines).expect("a line").expect("a fix");
    assert!(fix.latitude_deg < 0.0 && fix.longitude_deg < 0.0);
    assert_eq!(
        (fix.satellites, fix.hdop, fix.course_deg),
        (Some(14), Some(0.8), Some(255.0))
    );
    assert_eq!(gnss_information(&["+CGNSSINFO: ,,,,,,,,,,,,,,,"]), Ok(None));
    for broken in [
        "9999.0,N,0000.0,E",
        "3160.0,N,0000.0,E",
        "1.0,N,1.0,E",
        "é113.0,N,0000.0,E",
        "NaN,N,0000.0,E",
    ] {
        let line = format!("+CGPSINFO: {broken},250311,072809.3,44.1,0.0,0");
        assert_eq!(gps_information(&[line]), Ok(None), "{broken}");
    }
}

#[test]
fn ussd_texts_are_decoded_in_the_forms_that_modems_send() {
    let gsm7 = |octets: &[u8]| Some(format!("{} octets of GSM 7-bit", octets.len()));
    for (line, expected) in [
        ("1,\"Kontostand: 3.00 EUR\",15", Some("Kontostand: 3.00 EUR")),
        ("0,\"00480061007600690020006B00650072\",15", Some("Havi ker")),
        ("0,\"0414043B044F00200441\",72", Some("Для с")),
        ("2,\"42616c616e733a20302e3439\",-12", Some("Balans: 0.49")),
        ("0, 49B41C74ACD3D16171D90D", Some("11 octets of GSM 7-bit")),
        ("0,\"1234\",15", Some("1234")),
        ("0,\"123456789\",15", Some("123456789")),
        ("4", None),
    ] {
        let ussd = Ussd::parse(line).expect("readable");
        assert_eq!(ussd.text(gsm7).as_deref(), expected, "{line}");
    }
    assert_eq!(Ussd::parse("9,\"x\""), None);
}

#[test]
fn stored_messages_survive_what_modems_do_to_them() {
    let listed = listed_messages(&[
        "+CMGL: 3,1,,6",
        "0001020304",
        "+CMGL: x,1,,5",
        "+CMGL: 4,0,\"Ann\",0",
        "+CMGL: 5,9,,5",
        "00010203040",
    ]);
    let pdus: Vec<_> = listed
        .iter()
        .map(|message| (message.index, message.status, message.pdu.as_str()))
        .collect();
    assert_eq!(
        pdus,
        [
            (Some(3), Some(MessageStatus::Read), "0001020304"),
            (Some(4), Some(MessageStatus::Unread), ""),
            (Some(5), None, "00010203040")
        ]
    );
    assert!(!listed[0].is_complete());
    assert_eq!(read_message(&[] as &[&str]), None);
    let quoted = read_message(&["+CMGR: 1,,4", "0001020304\""]).expect("a message");
    assert!(quoted.is_complete());
}

#[test]
fn what_is_wrong_with_a_stored_message_is_seen() {
    // Made for these tests: "he" from +447700900123.
    const PDU: &str = "00040C91447700091032000062112140820500026834";
    let whole = |lines: &[&str]| read_message(lines).is_some_and(|message| message.is_complete() && message.pdu == PDU);
    for lines in [
        &["+CMGR: 0,,21", PDU] as &[&str],
        &["+CMGR: \"REC UNREAD\",,21", PDU],
        &["+CMGR: 0,\"Smith, \"Bob\"\",21", PDU],
        &["+CMGR: 21", PDU],
        &["+CMGR: 0,,21", &PDU[..30], &PDU[30..]],
        &["+CMGR: 0,,22", PDU],
        &["+CMGR: 0,,21", &PDU.to_ascii_lowercase()],
    ] {
        assert!(whole(lines), "{lines:?}");
    }
    for lines in [
        &["+CMGR: 0,,21"] as &[&str],
        &["+CMGR: 0,,21", &PDU[..40]],
        &["+CMGR: 0,,21", "0004\u{FFFD}C91447700091032000062112140820500026834"],
        &["+CMGR: 0,,", PDU],
        &["+CMGR: 0,,0"],
    ] {
        let message = read_message(lines).expect("a header");
        assert!(!message.is_complete() && !message.in_text_mode, "{lines:?}");
        assert_eq!(message.is_empty(), lines == ["+CMGR: 0,,0"], "{lines:?}");
    }
    for header in [
        "+CMGR: \"REC UNREAD\",\"+447700900123\",\"\",\"26/11/30,21:00:00+04\"",
        "+CMGR: \"REC READ\",\"+447700900123\",,\"26/11/30,21:00:00+04\",145,4,0,0,\"+447785016005\",145,21",
        "+CMGR: \"REC READ\",6,1,\"+447700900123\",145,\"26/11/30,21:00:00+04\",\"26/11/30,21:00:09+04\",0",
        "+CMGR: \"STO UNSENT\",\"+447700900123\",",
    ] {
        let message = read_message(&[header, "00680065"]).expect("a header");
        assert!(
            message.in_text_mode && !message.is_empty() && message.pdu.is_empty(),
            "{header}"
        );
    }
}

#[test]
fn unsolicited_result_codes_are_read() {
    for (line, expected) in [
        ("VOICE CALL:END:000117", "VoiceCallEnd { duration_s: Some(77) }"),
        ("VOICE CALL: END: 1000000", "VoiceCallEnd { duration_s: Some(360000) }"),
        ("VOICE CALL: MIDDLE", "Unknown"),
        ("+DTMF: 1,40", "Dtmf('1')"),
        ("+RXDTMF: 2,100", "Dtmf('2')"),
        ("+RXDTMF: 12", "Unknown"),
        ("MISSED_CALL: 11:01AM", "MissedCall { number: None }"),
        (
            "+CLIP: \"\",128,,,\"\",1",
            "CallerId(CallerId { number: \"\", number_type: Some(128), name: None, validity: Some(1) })",
        ),
        ("+CLIP: 1,1", "Unknown"),
        ("+CNSMOD: 8", "SystemMode(Lte)"),
        ("+VOICEMAIL: EMPTY", "Voicemail { waiting: Some(0) }"),
        ("+VOICEMAIL: NEW MSG", "Voicemail { waiting: None }"),
        ("+VOICEMAIL: WAITING, 5", "Voicemail { waiting: Some(5) }"),
        ("+SMS FULL", "StorageFull"),
        ("+CGPS: 0", "GnssStopped"),
        (
            "+CTZV: +08",
            "NetworkTime { utc_offset_minutes: Some(120), clock: None }",
        ),
        ("+RXDTMF: 12", "Unknown"),
        ("+CPIN: SIM PIN", "SimStatus(Pin)"),
        ("+CSSU: 2", "SupplementaryService { unsolicited: true, code: 2 }"),
        ("+CREG: 99", "Unknown"),
    ] {
        assert_eq!(format!("{:?}", Urc::parse(&[line])), expected, "{line}");
    }
}

#[test]
fn error_tables_have_no_number_twice() {
    for table in [CME, CMS, CEER_CS_NETWORK_CAUSE] {
        let mut numbers: Vec<_> = table.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        let before = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), before);
    }
    assert!(super::super::command::limit::MESSAGE_SUBMISSION > Duration::from_secs(120));
}

#[test]
fn files_of_the_sim_are_octets_or_not_there() {
    for (line, expected) in [
        ("+CRSM: 144,0,\"00000002\"", Ok(Some(vec![0, 0, 0, 2]))),
        ("+CRSM: 144,0,0A", Ok(Some(vec![0x0A]))),
        ("+CRSM: 145,22,\"0a\"", Ok(Some(vec![0x0A]))),
        ("+CRSM: 148,4", Ok(None)),
        ("+CRSM: 105,130,\"\"", Ok(None)),
        ("+CRSM: 144,0,\"0\"", Err(())),
        ("+CRSM: 144,0,\"+1\"", Err(())),
        ("OK", Err(())),
    ] {
        assert_eq!(sim_file(&[line]).map_err(drop), expected, "{line}");
    }
}

#[test]
fn settings_of_several_numbers_are_read_as_a_whole() {
    assert_eq!(setting_values(&["+CNMI: 2,1,0,2,0"], "+CNMI"), Ok(vec![2, 1, 0, 2, 0]));
    // An unsolicited list of calls in the same form, but with a number in quotes, is not taken for the setting.
    assert_eq!(
        setting_values(&["+CLCC: 1", "+CLCC: 1,1,4,0,0,\"+49301234567\",145,\"\""], "+CLCC"),
        Ok(vec![1])
    );
    assert_eq!(pin_lock(&["+CLCK: 1"]), Ok(true));
    assert_eq!(pin_lock(&["+CLCK: 0"]), Ok(false));
    assert!(pin_lock(&["+CLCK: 7"]).is_err());
    assert_eq!(
        context_authentications(&["+CGAUTH: 1,1,\"web\"", "+CGAUTH: 2,0"]),
        [(1, 1, "web".to_owned()), (2, 0, String::new())]
    );
}
