use super::super::line::is_hex;
use super::super::reply::{AccessTechnology, NewMessageIndication, PdpType};
use super::*;
use crate::call::CallIndex;
use crate::pcm::SampleRate;

/// What would end a line, open another command, close a string, or end and cancel a prompt.
const HOSTILE: &[&str] = &[
    "",
    "1\r",
    "1\n",
    "1\r\nATD5550100;",
    "1;+CFUN=0",
    "1\"",
    "\"1",
    "1\u{1a}",
    "1\u{1b}",
    "1\0",
    "1,2\"",
    "1\\22",
    "é",
    "１",
];

type Constructor = fn(&str) -> Result<Command, InvalidArgument>;

/// Every constructor that takes text from outside.
const TEXT_ARGUMENTS: &[(&str, Constructor)] = &[
    ("PIN", enter_pin),
    ("PUK", |value| enter_puk(value, "1234")),
    ("new PIN", |value| enter_puk("12345678", value)),
    ("PIN to change", |value| change_pin(value, "1234")),
    ("PIN to change to", |value| change_pin("1234", value)),
    ("PIN of the lock", |value| set_pin_lock(true, value)),
    ("user", |value| {
        context_authentication(1, Authentication::Pap, value, "x")
    }),
    ("password", |value| {
        // The empty password is valid here: some access points want a user alone.
        if value.is_empty() {
            Err(InvalidArgument::new("", ""))
        } else {
            context_authentication(1, Authentication::Pap, "x", value)
        }
    }),
    ("number", dial),
    ("USSD", ussd),
    ("operator", |value| select_operator(value, None)),
    ("forwarding", |value| {
        call_forwarding_register(ForwardingReason::Busy, value, 1, None)
    }),
    ("character set", character_set),
    ("PDU", |value| send_message(1, value)),
    ("access point name", |value| {
        // The empty name is valid here: the network chooses.
        if value.is_empty() {
            Err(InvalidArgument::new("", ""))
        } else {
            define_pdp_context(1, PdpType::Ipv4, value)
        }
    }),
];

#[test]
fn no_argument_can_break_out_of_its_command() {
    for (name, constructor) in TEXT_ARGUMENTS {
        for hostile in HOSTILE {
            assert!(constructor(hostile).is_err(), "{name} {hostile:?}");
        }
        assert!(constructor(&"1".repeat(10_000)).is_err(), "{name} of any length");
    }
    for hostile in ["", "AT\rATD1;", "+CSQ", "AT\u{1a}", "AT\u{e9}"] {
        assert!(Command::raw(hostile, limit::LOCAL).is_err(), "{hostile:?}");
    }
    for hostile in ["", "1\r", "é\u{1a}", &"é".repeat(81)] {
        assert!(ussd_reply(hostile).is_err(), "{hostile:?}");
    }
    for hostile in ['\r', ';', '"', 'x', '٣'] {
        assert!(dtmf(hostile).is_err(), "{hostile:?}");
    }
}

#[test]
fn arguments_appear_as_the_standard_writes_them() {
    let indication = NewMessageIndication {
        mode: 2,
        deliver: 1,
        broadcast: 0,
        status_report: 1,
        buffer: 0,
    };
    for (command, line) in [
        (enter_pin("1234"), "AT+CPIN=\"1234\""),
        (enter_puk("12345678", "4321"), "AT+CPIN=\"12345678\",\"4321\""),
        (dial("+15550100"), "ATD+15550100;"),
        (dial("*#06#"), "ATD*#06#;"),
        (ussd("*101#"), "AT+CUSD=1,\"*101#\",15"),
        (ussd_reply("2"), "AT+CUSD=1,\"2\",15"),
        (ussd_reply("да"), "AT+CUSD=1,\"04340430\",72"),
        (ussd_reply("a\"b"), "AT+CUSD=1,\"006100220062\",72"),
        (select_operator("00101", None), "AT+COPS=1,2,\"00101\""),
        (
            select_operator("001010", Some(AccessTechnology::EUtran)),
            "AT+COPS=1,2,\"001010\",7",
        ),
        (dtmf('a'), "AT+VTS=A"),
        (call_hold(CallHold::Release(CallIndex(2))), "AT+CHLD=12"),
        (
            define_pdp_context(2, PdpType::Ipv4v6, "ims"),
            "AT+CGDCONT=2,\"IPV4V6\",\"ims\"",
        ),
        (define_pdp_context(1, PdpType::Ipv4, ""), "AT+CGDCONT=1,\"IP\",\"\""),
        (activate_pdp_context(1, true), "AT+CGACT=1,1"),
        (new_message_indication(indication), "AT+CNMI=2,1,0,1,0"),
        (
            composition_switch(0x901A, &[0x9001, 0x901A]),
            "AT+CUSBPIDSWITCH=901A,1,1",
        ),
        (
            call_forwarding_register(ForwardingReason::NoReply, "+15550100", 1, None),
            "AT+CCFC=2,3,\"+15550100\",145,1",
        ),
        (
            call_forwarding_register(ForwardingReason::NoReply, "030901820", 5, Some(20)),
            "AT+CCFC=2,3,\"030901820\",129,5,,,20",
        ),
        (call_forwarding_query(ForwardingReason::Unconditional), "AT+CCFC=0,2"),
        (
            Ok(pcm_bandwidth(SampleRate::Hz8000, SampleRate::Hz8000)),
            "AT+CPCMBANDWIDTH=1,1",
        ),
        (
            Ok(message_storage(Storage::Module, Storage::Sim, Storage::Both)),
            "AT+CPMS=\"ME\",\"SM\",\"MT\"",
        ),
    ] {
        assert_eq!(command.map(|command| command.line), Ok(line.to_owned()));
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    for (name, command) in [
        ("level", loudspeaker_level(6)),
        ("gain", microphone_gain(9)),
        ("gain", output_gain(9)),
        ("port", unsolicited_port(8)),
        ("context", activate_pdp_context(0, true)),
        ("call", call_hold(CallHold::Split(CallIndex(0)))),
        ("forwarding", call_forwarding_query(ForwardingReason::All)),
    ] {
        assert!(command.is_err(), "{name}");
    }
}

#[test]
fn composition_1025_is_refused_because_no_module_lists_it() {
    let refused = composition_switch(0x1025, &[0x9001, 0x9011]);
    assert_eq!(
        refused.map_err(|error| error.to_string()),
        Err("composition: not in the module's list".to_owned())
    );
}

#[test]
fn a_message_whose_length_does_not_fit_its_pdu_is_refused() {
    let pdu = "0001000B915121551532F40000";
    assert!(is_hex(pdu));
    let command = send_message(12, pdu).expect("12 octets behind the service centre address");
    assert_eq!(command.payload.as_deref(), Some(pdu.as_bytes()));
    assert_eq!(command.payload_timeout, Some(limit::MESSAGE_SUBMISSION));
    assert!(!command.abortable);
    for (length, pdu) in [
        (13, pdu),
        (11, pdu),
        (0, "00"),
        (165, pdu),
        (12, &pdu[1..]),
        (1, "FF00"),
        (1, "0"),
    ] {
        assert!(send_message(length, pdu).is_err(), "{length} {pdu}");
    }
}

#[test]
fn commands_about_the_sim_and_the_contexts_are_written_as_the_standards_want_them() {
    use crate::carrier::SimFile;
    let line = |command: Result<Command, InvalidArgument>| command.map(|command| command.line);
    for (command, expected) in [
        (change_pin("0000", "4711"), "AT+CPWD=\"SC\",\"0000\",\"4711\""),
        (set_pin_lock(false, "0000"), "AT+CLCK=\"SC\",0,\"0000\""),
        (
            Ok(read_sim_file(SimFile::AdministrativeData, 4)),
            "AT+CRSM=176,28589,0,0,4",
        ),
        (
            Ok(read_sim_file(SimFile::ServiceProviderName, 17)),
            "AT+CRSM=176,28486,0,0,17",
        ),
        (
            Ok(read_sim_file(SimFile::GroupIdentifier1, 1)),
            "AT+CRSM=176,28478,0,0,1",
        ),
        // The password comes before the user.
        (
            context_authentication(1, Authentication::Chap, "web", "secret"),
            "AT+CGAUTH=1,2,\"secret\",\"web\"",
        ),
        (
            context_authentication(1, Authentication::Pap, "user", ""),
            "AT+CGAUTH=1,1,\"\",\"user\"",
        ),
        (context_authentication(1, Authentication::None, "", ""), "AT+CGAUTH=1,0"),
    ] {
        assert_eq!(line(command).as_deref(), Ok(expected));
    }
}
