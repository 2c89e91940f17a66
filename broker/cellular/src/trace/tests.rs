use super::Direction::{FromModem, ToModem};
use super::*;
use crate::packet::dialogue::Dialogue as _;
use proptest::prelude::*;

fn shown(dialect: Dialect, direction: Direction, text: &str) -> String {
    let mut redactor = Redactor::new(dialect, true);
    let mut pieces = redactor.push(direction, &(), text.as_bytes());
    pieces.extend(redactor.finish());
    pieces
        .into_iter()
        .map(|piece| String::from_utf8(piece.bytes).expect("ASCII stays ASCII"))
        .collect()
}

#[test]
fn commands_show_what_they_do_and_not_to_whom() {
    for (line, expected) in [
        ("AT+CSQ\r", "AT+CSQ\r"),
        ("ATE0Q0V1+CMEE?\r", "ATE0Q0V1+CMEE?\r"),
        ("AT+CREG?;+CGREG?;+CSQ\r", "AT+CREG?;+CGREG?;+CSQ\r"),
        ("ATD+447700900123;\r", "ATD+xxxxxxxxxxxx;\r"),
        ("atd*101#\r", "atd*xxx#\r"),
        ("AT+CPIN=\"4711\"\r", "AT+CPIN=\"xxxx\"\r"),
        ("at+cpin=4711\r", "at+cpin=xxxx\r"),
        ("AT+CSQ;+CPIN=\"4711\";+CREG?\r", "AT+CSQ;+CPIN=\"xxxx\";+CREG?\r"),
        (
            "AT+CPWD=\"SC\",\"4711\",\"1234\"\r",
            "AT+CPWD=\"xx\",\"xxxx\",\"xxxx\"\r",
        ),
        ("AT+CLCK=\"SC\",1,\"4711\"\r", "AT+CLCK=\"xx\",x,\"xxxx\"\r"),
        ("AT+CMGS=23\r", "AT+CMGS=23\r"),
        ("AT+CMGS=\"+447700900123\"\r", "AT+CMGS=\"+xxxxxxxxxxxx\"\r"),
        ("AT+CUSD=1,\"*103*4711#\",15\r", "AT+CUSD=x,\"*xxx*xxxx#\",xx\r"),
        ("AT+CUSD=2\r", "AT+CUSD=2\r"),
        ("AT+CMGF=0\r", "AT+CMGF=0\r"),
        ("AT+VTS=5\r", "AT+VTS=x\r"),
        (
            "0011000B914477009010320000AA0548656C6C6F\u{1a}",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\u{1a}",
        ),
        ("At eight, Bob\u{1a}", "Atxxxxxx, xxx\u{1a}"),
        ("\u{1b}", "\u{1b}"),
        ("AT+CP", "xx+xx"),
    ] {
        let found = shown(Dialect::At, ToModem, line);
        assert_eq!(found.len(), line.len(), "{line:?}: {found:?}");
        if line.starts_with("At eight") {
            assert!(!found.contains("eight") && !found.contains("Bob"), "{found:?}");
        } else if line.starts_with("0011") {
            assert!(
                found.trim_end_matches('\u{1a}').bytes().all(|byte| byte == b'x'),
                "{found:?}"
            );
        } else {
            assert_eq!(found, expected, "{line:?}");
        }
    }
}

#[test]
fn replies_show_their_form() {
    for (line, expected) in [
        ("\r\nOK\r\n", "\r\nOK\r\n"),
        ("\r\n+CSQ: 20,99\r\n", "\r\n+CSQ: 20,99\r\n"),
        ("\r\n+CPIN: READY\r\n", "\r\n+CPIN: READY\r\n"),
        ("\r\n+CME ERROR: 30\r\n", "\r\n+CME ERROR: 30\r\n"),
        ("\r\n867584030000017\r\n", "\r\n867584xxxxxxxxx\r\n"),
        (
            "\r\n+ICCID: 8900101000000000017\r\n",
            "\r\n+ICCID: 890010xxxxxxxxxxxxx\r\n",
        ),
        (
            "\r\n+CLIP: \"+447700900123\",145,,,\"Bob\",0\r\n",
            "\r\n+CLIP: \"+xxxxxxxxxxxx\",145,,,\"xxx\",0\r\n",
        ),
        (
            "\r\n+CLCC: 1,1,4,0,0,\"07700900123\",129\r\n",
            "\r\n+CLCC: 1,1,4,0,0,\"xxxxxxxxxxx\",129\r\n",
        ),
        (
            "\r\n+CNUM: \"\",\"+447700900001\",145\r\n",
            "\r\n+CNUM: \"\",\"+xxxxxxxxxxxx\",145\r\n",
        ),
        (
            "\r\n+CUSD: 1,\"Balance: 12\r\nVoucher 99\",15\r\n",
            "\r\n+CUSD: 1,\"xxxxxxx: xx\r\nxxxxxxx xx\",xx\r\n",
        ),
        (
            "\r\n+CMT: ,23\r\n0791447700900123\r\n",
            "\r\n+CMT: ,23\r\nxxxxxxxxxxxxxxxx\r\n",
        ),
        (
            "\r\n+CMGR: \"REC READ\",\"+447700900123\"\r\nAT home\r\n+at: 9\r\n\r\nOK\r\n",
            "\r\n+CMGR: \"xxx xxxx\",\"+xxxxxxxxxxxx\"\r\nxx xxxx\r\n+xx: x\r\n\r\nOK\r\n",
        ),
        ("AT+CPIN=4711\r\r\nOK\r\n", "AT+CPIN=xxxx\r\r\nOK\r\n"),
        (
            "\r\nMISSED_CALL: 11:01AM 07712345678\r\n",
            "\r\nxxxxxx_xxxx: xx:xxxx xxxxxxxxxxx\r\n",
        ),
        ("\r\n+RXDTMF: 5\r\n", "\r\n+RXDTMF: x\r\n"),
        ("\r\n> ", "\r\n> "),
        (
            "\r\n+CGPSINFO: 3113.343286,N,12121.234064,E,250311,072809.3,44.1,0.0,0\r\n",
            "\r\n+CGPSINFO: xxxx.xxxxxx,x,xxxxx.xxxxxx,x,xxxxxx,xxxxxx.x,xx.x,x.x,x\r\n",
        ),
    ] {
        assert_eq!(shown(Dialect::At, FromModem, line), expected, "{line:?}");
    }
}

#[test]
fn sentences_and_frames_show_everything_but_the_position_and_the_content() {
    assert_eq!(
        shown(
            Dialect::Nmea,
            FromModem,
            "$GPGGA,051147.0,3113.320991,N,12121.248076,E,1,10*45\r\n$GPGSV,4*77\r\n"
        ),
        "$GPGGA,051147.0,xxxx.xxxxxx,x,xxxxx.xxxxxx,x,1,10*45\r\n$GPGSV,4*77\r\n"
    );
    let mut redactor = Redactor::new(Dialect::Frames, true);
    let mut frame: Vec<u8> = (1..=20).collect();
    let pieces = redactor.push(ToModem, &7, &frame);
    assert_eq!(
        (pieces[0].bytes.as_slice(), pieces[0].mark),
        ([0; 20].as_slice(), 7),
        "no frame"
    );
    frame[1..3].copy_from_slice(&[19, 0]);
    let pieces = redactor.push(ToModem, &8, &frame);
    assert_eq!(pieces[0].bytes[..13], frame[..13]);
    assert_eq!(pieces[0].bytes[13..], [0; 7]);
}

#[test]
fn of_mbim_messages_headers_and_ends_of_sessions_are_shown_and_no_other_values() {
    use crate::mbim::basic_connect::{self, AuthProtocol, IpType, PinType};
    use crate::mbim::{Client, Output, Request};
    use crate::packet::Session;
    let session = Session {
        apn: "internet".to_owned(),
        user: "klmno".to_owned(),
        password: "7968".to_owned(),
        ..Session::default()
    };
    for max_transfer in [64, 4096] {
        for request in [
            basic_connect::connect(&session, AuthProtocol::Chap, IpType::V4),
            basic_connect::enter_pin(PinType::Pin1, "7968", ""),
            Request::open(),
        ] {
            let mut client = Client::new(max_transfer);
            #[expect(clippy::disallowed_methods, reason = "a test has to begin at some instant")]
            client.start(std::time::Instant::now(), request);
            while let Some(Output::Transmit(frame)) = client.poll_output() {
                let shown = masked_mbim(&frame);
                assert_eq!((shown.len(), &shown[..12]), (frame.len(), &frame[..12]));
                assert!(shown.iter().skip(48).all(|octet| *octet == 0), "{shown:02x?}");
                let secrets = b"intrekl79";
                assert!(!shown.iter().any(|octet| secrets.contains(octet)), "{shown:02x?}");
            }
        }
    }
    let mut refused = vec![3, 0, 0, 0x80, 84, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    refused.extend(crate::mbim::Uuid::BASIC_CONNECT.0);
    refused.extend([12, 0, 0, 0, 2, 0, 0, 0, 36, 0, 0, 0]);
    refused.resize(80, 1);
    refused.extend([27, 0, 0, 0]);
    assert_eq!(masked_mbim(&refused), refused, "why a session ended is about nobody");
    let two = [&refused[..], &refused].concat();
    assert_eq!(masked_mbim(&two), two);
    assert_eq!(
        masked_mbim(&refused[1..]),
        vec![0; refused.len() - 1],
        "cut messages show nothing"
    );
    assert_eq!(masked_mbim(&[9; 7]), [0; 7]);
}

/// APN 0x14, user 0x17 and password 0x18 of *Start Network* (WDS 0x20), and the PIN of *Verify PIN* (DMS 0x28).
#[test]
fn of_qmi_messages_results_and_reasons_are_shown_and_no_other_values() {
    use crate::qmi::message::{Kind, Message};
    use crate::qmi::{Service, Tlvs};
    let message = |service, kind, id, tlvs| Message {
        service: Service(service),
        client: 3,
        transaction: 0x0102,
        kind,
        id,
        tlvs,
    };
    let secrets = Tlvs::default()
        .with(0x14, b"internet")
        .with(0x17, b"klmno")
        .with(0x18, b"7968");
    let request = message(1, Kind::Request, 0x20, secrets).encode();
    let pin = message(2, Kind::Request, 0x28, Tlvs::default().with(0x01, b"\x01\x047968")).encode();
    // A value that stands where a result would be.
    let odd = message(1, Kind::Request, 0x20, Tlvs::default().with(0x02, b"7968")).encode();
    for frame in [&request, &pin, &odd] {
        let shown = masked_frame(frame);
        assert_eq!(shown.len(), frame.len());
        assert_eq!(shown[..13], frame[..13]);
        let leaked = |secret: &[u8]| shown.windows(secret.len()).any(|window| window == secret);
        assert!(
            [&b"7968"[..], b"klmno", b"internet"]
                .iter()
                .all(|secret| !leaked(secret)),
            "{shown:?}"
        );
    }
    assert_eq!(
        masked_frame(&request)[13..16],
        [0x14, 8, 0],
        "which TLVs are in it is shown"
    );
    let refused = Tlvs::default()
        .with(0x02, &[1, 0, 14, 0])
        .with(0x10, &[3, 0])
        .with(0x99, &[7]);
    let response = message(1, Kind::Response, 0x20, refused).encode();
    let two = [response.as_slice(), &response].concat();
    let shown = masked_frame(&two);
    let mut expected = response.clone();
    if let Some(last) = expected.last_mut() {
        *last = 0;
    }
    assert_eq!(shown, expected.repeat(2), "two in one read");
    assert_eq!(
        masked_frame(&two[1..]),
        vec![0; two.len() - 1],
        "cut frames show nothing"
    );
}

/// Everything that is personal in it is a run of the letters k to w or of the digits 6 to 9, which nothing else has.
const DIALOGUE: &[(Direction, &str)] = &[
    (ToModem, "AT+CPIN=\"7968\"\r"),
    (FromModem, "AT+CPIN=\"7968\"\r\r\nOK\r\n"),
    (ToModem, "ATE0;+CPWD=\"SC\",\"7968\",\"8679\"\r"),
    (FromModem, "\r\n+CME ERROR: 11\r\n"),
    (ToModem, "ATD+7968796879;\r"),
    (FromModem, "\r\nOK\r\n\r\n+CLCC: 1,0,2,0,0,\"+7968796879\",145\r\n"),
    (FromModem, "\r\n+CLIP: \"7968796879\",129,,,\"klmnop\",0\r\n"),
    (ToModem, "AT+CMGS=\"+7968796879\"\r"),
    (FromModem, "\r\n> "),
    (ToModem, "klmn opqrst AT+CSQ 7968\r\nAT klmn\u{1a}"),
    (FromModem, "\r\n+CMGS: 1\r\n\r\nOK\r\n"),
    (
        FromModem,
        "\r\n+CMT: \"+7968796879\",,\"20/01/01\"\r\nklmn opqr\r\nstuv, 7968\r\n",
    ),
    (FromModem, "\r\n+CMTI: \"SM\",1\r\n"),
    (ToModem, "AT+CMGL=4\r"),
    (
        FromModem,
        "\r\n+CMGL: 1,1,,23\r\n7968796879687968\r\n+CMGL: 2,1,,23\r\n8679867986798679\r\n\r\nOK\r\n",
    ),
    (FromModem, "\r\n+CUSD: 0,\"klmn 7968\",15\r\n"),
    (ToModem, "AT+CUSD=1,\"*7968*8679#\",15\r"),
    (FromModem, "\r\n+CSQ: 20,99\r\n\r\nOK\r\n"),
    (ToModem, "AT+UNKNOWN=7968,klmn\r"),
    (FromModem, "\r\nKLMNOP klmn 7968\r\n"),
];

fn secrets(bytes: &[u8]) -> Option<&[u8]> {
    let secret = |byte: &u8| matches!(byte, b'k'..=b'w' | b'6'..=b'9');
    bytes.windows(3).find(|window| window.iter().all(secret))
}

proptest! {
    /// Chunks cut lines anywhere, and the oldest chunks of a ring are lost.
    #[test]
    fn nothing_personal_leaks_however_the_bytes_are_cut(cuts in proptest::collection::vec(1usize..12, 1..400), lost in 0usize..60) {
        let mut sizes = cuts.into_iter().cycle();
        let mut chunks = Vec::new();
        for (direction, text) in DIALOGUE {
            let mut rest = text.as_bytes();
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
                chunks.push((*direction, chunk));
                rest = after;
            }
        }
        let mut redactor = Redactor::new(Dialect::At, lost == 0);
        let mut shown = [Vec::new(), Vec::new()];
        let kept = chunks.iter().skip(lost);
        let mut pieces: Vec<Piece<()>> = kept.clone().flat_map(|(direction, chunk)| redactor.push(*direction, &(), chunk)).collect();
        pieces.extend(redactor.finish());
        for piece in &pieces {
            // Each piece is one entry of the trace, so a secret must not be in one, nor across two.
            shown[piece.direction as usize].extend_from_slice(&piece.bytes);
        }
        for (direction, shown) in [FromModem, ToModem].into_iter().zip(&shown) {
            let given: usize = kept.clone().filter(|(way, _)| *way == direction).map(|(_, chunk)| chunk.len()).sum();
            prop_assert_eq!(shown.len(), given, "every byte is there");
            prop_assert_eq!(secrets(shown).map(String::from_utf8_lossy), None, "{}", String::from_utf8_lossy(shown));
        }
    }

    #[test]
    fn any_bytes_keep_their_number_and_never_break_it(bytes: Vec<u8>, chunk in 1usize..32, to: bool) {
        let direction = if to { ToModem } else { FromModem };
        for dialect in [Dialect::At, Dialect::Nmea] {
            let mut redactor = Redactor::new(dialect, true);
            let mut length = 0;
            for chunk in bytes.chunks(chunk) {
                length += redactor.push(direction, &(), chunk).iter().map(|piece| piece.bytes.len()).sum::<usize>();
            }
            length += redactor.finish().iter().map(|piece| piece.bytes.len()).sum::<usize>();
            prop_assert_eq!(length, bytes.len());
        }
    }
}
