//! PDUs from the test suites and documents of others, with the values that their sources state.
//!
//! `data/pdus.jsonl` has one PDU a line, each with its source. Subscribers' numbers are replaced by made-up ones of the
//! same shape, in the PDU and in the expectation alike.

use cellular::sms::alphabet::{NationalLanguage, ShiftTables};
use cellular::sms::data_coding::{Alphabet, MessageClass, WaitingKind};
use cellular::sms::identity::MessageIdentity;
use cellular::sms::pdu::{DecodeError, Deliver, Submit};
use cellular::sms::reassembly::{Content, Insertion, Part, Reassembly};
use cellular::sms::status::StatusCategory;
use cellular::sms::timestamp::{Timestamp, TimestampFields, TimestampOctets};
use cellular::sms::user_data::{Body, ConcatenationReference};
use cellular::sms::validity::{RelativeValidity, ValidityPeriod};
use cellular::sms::{Direction, Pdu, Tpdu};
use serde_json::Value;
use std::collections::BTreeMap;

const VECTORS: &str = include_str!("data/pdus.jsonl");

/// Rows that their source decodes as SMS-DELIVER although the message type says SMS-SUBMIT.
const SUBMITS_READ_AS_DELIVER: std::ops::RangeInclusive<u64> = 84..=90;

/// Rows whose national tables are agreed outside the PDU, so that the text needs them from outside as well.
const TABLES_OUT_OF_BAND: std::ops::RangeInclusive<u64> = 86..=90;

/// Rows that state something that the octets do not say, with the key in question and the reason.
const EXCEPTIONS: &[(u64, &str, &str)] = &[
    (
        42,
        "from_or_to",
        "the source prints the semi-octet 11 as b; it is #. The capture itself is broken",
    ),
    (
        124,
        "timestamp",
        "the source knows no years before 2000; a message of 2098 is one of 1998",
    ),
];

/// Rows that end before the user data does: an error here, with what there is of the text.
const TRUNCATED: &[u64] = &[26, 40];

/// Rows that their source refuses, with the direction to read them in and whether we refuse them too.
const INVALID: &[(u64, Direction, bool, &str)] = &[
    (47, Direction::ToNetwork, true, "reserved message type"),
    (68, Direction::FromNetwork, true, "user data shorter than announced"),
    (69, Direction::FromNetwork, true, "address runs off the end"),
    (70, Direction::FromNetwork, true, "address runs off the end"),
    (71, Direction::ToNetwork, true, "no room for the announced header"),
    (72, Direction::ToNetwork, true, "no room for the announced header"),
    (
        100,
        Direction::FromNetwork,
        false,
        "a compressed body is kept as octets without a text",
    ),
    (
        101,
        Direction::FromNetwork,
        false,
        "a reserved alphabet means the default alphabet (23.038 clause 4)",
    ),
    (
        102,
        Direction::FromNetwork,
        false,
        "half a code unit costs one character, not the message",
    ),
    (
        103,
        Direction::FromNetwork,
        false,
        "a lone surrogate costs one character, not the message",
    ),
    (104, Direction::FromNetwork, false, "an escape at the end says nothing"),
];

struct Row {
    number: u64,
    fields: serde_json::Map<String, Value>,
}

impl Row {
    fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key).and_then(Value::as_str)
    }

    fn hex(&self) -> &str {
        self.text("pdu").expect("every row has a PDU")
    }

    fn direction(&self) -> Direction {
        match self.text("direction") {
            _ if SUBMITS_READ_AS_DELIVER.contains(&self.number) => Direction::ToNetwork,
            Some("submit") => Direction::ToNetwork,
            _ => Direction::FromNetwork,
        }
    }

    fn decode(&self, direction: Direction) -> Result<Pdu, DecodeError> {
        if self.fields["smsc_included"] == true {
            Pdu::decode_hex(self.hex(), direction)
        } else {
            Pdu::decode_hex_with_length(self.hex(), self.hex().len() / 2, direction)
        }
    }

    fn is_exception(&self, key: &str) -> bool {
        EXCEPTIONS
            .iter()
            .any(|(number, exception, _)| (*number, *exception) == (self.number, key))
    }
}

fn rows() -> Vec<Row> {
    let parse = |line: &str| {
        let fields: serde_json::Map<String, Value> = serde_json::from_str(line).expect("a line of JSON");
        let number = fields["row"].as_u64().expect("every row has a number");
        Row {
            number,
            fields: fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        }
    };
    VECTORS.lines().map(parse).collect()
}

fn valid_rows() -> Vec<(Row, Pdu)> {
    let is_valid = |row: &Row| row.text("direction") != Some("invalid") && !TRUNCATED.contains(&row.number);
    let decode = |row: Row| {
        let pdu = row
            .decode(row.direction())
            .unwrap_or_else(|error| panic!("row {}: {error:?}", row.number));
        (row, pdu)
    };
    rows().into_iter().filter(is_valid).map(decode).collect()
}

#[test]
fn every_stated_value_is_decoded() {
    for (row, pdu) in valid_rows() {
        for key in row.fields.keys().filter(|key| !row.is_exception(key)) {
            check(&row, &pdu, key);
        }
    }
}

fn check(row: &Row, pdu: &Pdu, key: &str) {
    let number = row.number;
    let expected = &row.fields[key];
    let text = expected.as_str().unwrap_or_default();
    let (scheme, user_data) = pdu.tpdu.user_data().unzip();
    match key {
        "row" | "pdu" | "direction" | "source" | "notes" | "smsc_included" | "text_of_whole_message" | "malformed" => {}
        "from_or_to" => assert_eq!(pdu.tpdu.address().to_string(), text, "row {number}"),
        "smsc" => {
            assert_eq!(
                pdu.service_centre.as_ref().map(ToString::to_string).as_deref(),
                Some(text),
                "row {number}"
            );
        }
        "sender_kind" => assert!(pdu.tpdu.address().is_alphanumeric(), "row {number}"),
        "text" => assert_eq!(text_of(row, pdu), text, "row {number}"),
        "data_hex" => assert_eq!(hex_of(octets_of(pdu)), text, "row {number}"),
        "encoding" => {
            let alphabet = match text {
                "gsm7" => Alphabet::Gsm7,
                "ucs2" => Alphabet::Ucs2,
                _ => Alphabet::Data8,
            };
            assert_eq!(scheme.map(|scheme| scheme.alphabet()), Some(alphabet), "row {number}");
        }
        "dcs" => assert_eq!(
            scheme.map(|scheme| format!("{:02X}", scheme.0)).as_deref(),
            Some(text),
            "row {number}"
        ),
        "message_class" => {
            let classes = [
                MessageClass::Class0,
                MessageClass::Class1,
                MessageClass::Class2,
                MessageClass::Class3,
            ];
            let class = expected
                .as_u64()
                .and_then(|class| classes.get(usize::try_from(class).ok()?))
                .copied();
            assert_eq!(scheme.and_then(|scheme| scheme.class()), class, "row {number}");
        }
        "mwi" => {
            let waiting = scheme
                .and_then(|scheme| scheme.message_waiting())
                .expect("a message waiting group");
            assert_eq!(
                (waiting.store, waiting.active, waiting.kind),
                (true, true, WaitingKind::Voicemail)
            );
        }
        "concat" => {
            let concatenation = user_data
                .and_then(|user_data| user_data.concatenation())
                .expect("a concatenation");
            let (reference, bits) = match concatenation.reference {
                ConcatenationReference::Bits8(reference) => (u16::from(reference), 8),
                ConcatenationReference::Bits16(reference) => (reference, 16),
            };
            let actual = serde_json::json!({
                "ref": reference, "total": concatenation.part_count, "seq": concatenation.part, "ref_bits": bits,
            });
            assert_eq!(actual, *expected, "row {number}");
        }
        "national" => check_national(row, pdu),
        "tpdu_length" => {
            let encoded = pdu.encode().expect("a valid message");
            assert_eq!(Some(encoded.tpdu_length as u64), expected.as_u64(), "row {number}");
        }
        _ => check_field_of_one_type(row, pdu, key),
    }
}

fn check_field_of_one_type(row: &Row, pdu: &Pdu, key: &str) {
    let number = row.number;
    let expected = &row.fields[key];
    let text = expected.as_str().unwrap_or_default();
    match (key, &pdu.tpdu) {
        ("timestamp", Tpdu::Deliver(deliver)) => assert_time(number, deliver.service_centre_timestamp, text),
        ("timestamp", Tpdu::StatusReport(report)) => assert_time(number, report.service_centre_timestamp, text),
        ("discharge", Tpdu::StatusReport(report)) => assert_time(number, report.discharge_time, text),
        ("mr", Tpdu::Submit(submit)) => assert_eq!(expected.as_u64(), Some(submit.message_reference.into())),
        ("mr", Tpdu::StatusReport(report)) => {
            assert_eq!(expected.as_u64(), Some(report.message_reference.into()), "row {number}");
        }
        ("status", Tpdu::StatusReport(report)) => {
            assert_eq!(expected.as_u64(), Some(report.status.0.into()), "row {number}");
        }
        ("status_category", Tpdu::StatusReport(report)) => {
            let name = match report.status.category() {
                StatusCategory::Completed => "completed",
                StatusCategory::StillTrying => "temporary-error-retrying",
                StatusCategory::PermanentFailure => "permanent-error",
                StatusCategory::GaveUp => "temporary-error-expired",
                StatusCategory::Reserved => "reserved/unknown",
            };
            assert_eq!(name, text, "row {number}");
        }
        ("validity", Tpdu::Submit(submit)) => check_validity(number, submit, text),
        ("status_report_requested", Tpdu::Submit(submit)) => assert!(submit.status_report_request, "row {number}"),
        (
            "pid",
            Tpdu::Deliver(Deliver {
                protocol_identifier, ..
            })
            | Tpdu::Submit(Submit {
                protocol_identifier, ..
            }),
        ) => {
            assert_eq!(expected.as_u64(), Some(protocol_identifier.0.into()), "row {number}");
        }
        ("more_messages", Tpdu::Deliver(deliver)) => assert!(deliver.more_messages_to_send, "row {number}"),
        _ => panic!("row {number}: nothing checks {key}"),
    }
}

fn check_validity(number: u64, submit: &Submit, text: &str) {
    let period = submit.validity_period;
    if let Some(absolute) = text.strip_prefix("absolute ") {
        let Some(ValidityPeriod::Absolute(time)) = period else {
            panic!("row {number}: {period:?}")
        };
        return assert_time(number, time, absolute);
    }
    let Some(ValidityPeriod::Relative(relative)) = period else {
        panic!("row {number}: {period:?}")
    };
    let expected = match text {
        "relative 5 minutes" => 5 * 60,
        "relative 72 hours" | "relative 3 days" => 3 * 86_400,
        "relative 52 weeks" => 52 * 7 * 86_400,
        "FF" => RelativeValidity::LONGEST.seconds(),
        _ => 4 * 86_400,
    };
    assert_eq!(relative.seconds(), expected, "row {number}: {text}");
}

fn check_national(row: &Row, pdu: &Pdu) {
    if TABLES_OUT_OF_BAND.contains(&row.number) {
        return;
    }
    let (_, user_data) = pdu.tpdu.user_data().expect("a text");
    let spanish = Some(NationalLanguage::Spanish);
    assert_eq!(
        user_data.shift_tables(),
        ShiftTables {
            locking: spanish,
            single: spanish
        }
    );
}

/// Compares instants where the expectation has a zone, and local times where it has none.
fn assert_time(number: u64, octets: TimestampOctets, expected: &str) {
    let timestamp = octets
        .timestamp()
        .unwrap_or_else(|error| panic!("row {number}: {error}"));
    match expected.split_at(19) {
        (local, "") => assert_eq!(&timestamp.to_string()[..19], local, "row {number}"),
        (local, zone) => assert_eq!(timestamp.unix_seconds(), instant(local, zone), "row {number}"),
    }
}

fn instant(local: &str, zone: &str) -> i64 {
    let number = |text: &str| text.parse::<u16>().expect("a number");
    let small = |range| u8::try_from(number(&local[range])).expect("two digits");
    let quarters = match zone.split_at(1) {
        ("Z", _) => 0,
        (sign, offset) => {
            let minutes = number(&offset[..2]) * 60 + number(&offset[3..]);
            let quarters = i8::try_from(minutes / 15).expect("less than a day");
            if sign == "-" { -quarters } else { quarters }
        }
    };
    let fields = TimestampFields {
        year: number(&local[..4]),
        month: small(5..7),
        day: small(8..10),
        hour: small(11..13),
        minute: small(14..16),
        second: small(17..19),
        offset_quarter_hours: quarters,
    };
    Timestamp::new(fields).expect("a valid expectation").unix_seconds()
}

fn text_of(row: &Row, pdu: &Pdu) -> String {
    let Some((scheme, user_data)) = pdu.tpdu.user_data() else {
        return String::new();
    };
    match &user_data.body {
        Body::Septets(septets) if TABLES_OUT_OF_BAND.contains(&row.number) => {
            let language = |key: &str| {
                let identifier = row.fields["national"][key].as_u64().expect("an identifier");
                NationalLanguage::from_identifier(u8::try_from(identifier).expect("an identifier"))
            };
            ShiftTables {
                locking: language("locking"),
                single: language("single_shift"),
            }
            .decode(septets)
        }
        // Sources print 8-bit data as ASCII.
        Body::Octets(octets) if scheme.alphabet() == Alphabet::Data8 => {
            octets.iter().copied().map(char::from).collect()
        }
        _ => user_data.text(scheme).expect("a text"),
    }
}

fn octets_of(pdu: &Pdu) -> &[u8] {
    match pdu.tpdu.user_data() {
        Some((_, user_data)) => match &user_data.body {
            Body::Septets(octets) | Body::Octets(octets) => octets,
        },
        None => &[],
    }
}

fn hex_of(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

#[test]
fn encoding_gives_back_the_value_and_nearly_always_the_octets() {
    const OTHER_OCTETS: &[(u64, &str)] = &[
        (39, "the fill bit behind the header is set; we write zero"),
        (58, "the fill bit behind the header is set; we write zero"),
        (59, "the fill bit behind the header is set; we write zero"),
    ];
    for (row, pdu) in valid_rows() {
        let number = row.number;
        let encoded = pdu.encode().unwrap_or_else(|error| panic!("row {number}: {error}"));
        assert_eq!(Pdu::decode_hex(&encoded.hex, row.direction()), Ok(pdu), "row {number}");
        let octets = &encoded.hex[encoded.hex.len() - encoded.tpdu_length * 2..];
        let is_same = row.hex().to_ascii_uppercase().ends_with(octets);
        assert_eq!(
            is_same,
            !OTHER_OCTETS.iter().any(|(other, _)| *other == number),
            "row {number}: {octets}"
        );
    }
}

#[test]
fn what_others_refuse_is_refused_or_read_for_a_reason() {
    let rows = rows();
    let invalid = rows.iter().filter(|row| row.text("direction") == Some("invalid"));
    let mut count = 0;
    for row in invalid {
        let (_, direction, is_refused, reason) = INVALID
            .iter()
            .find(|(number, ..)| *number == row.number)
            .expect("every invalid row is judged");
        let outcome = row.decode(*direction);
        assert_eq!(
            outcome.is_err(),
            *is_refused,
            "row {}: {reason}: {outcome:?}",
            row.number
        );
        count += 1;
    }
    assert_eq!(count, INVALID.len());
}

#[test]
fn truncated_user_data_is_an_error_that_keeps_what_came() {
    for row in rows().iter().filter(|row| TRUNCATED.contains(&row.number)) {
        // Row 26 ends in the middle of an octet, which is an error of its own; without the half it is a short text.
        let whole = &row.hex()[..row.hex().len() & !1];
        let Err(DecodeError::UserDataTruncated { partial, .. }) = Pdu::decode_hex(whole, row.direction()) else {
            panic!("row {} is whole", row.number);
        };
        assert_eq!(partial.tpdu.text().as_deref(), row.text("text"), "row {}", row.number);
    }
}

#[test]
fn parts_of_the_vectors_make_whole_messages() {
    let mut messages: BTreeMap<String, (Reassembly, Option<String>)> = BTreeMap::new();
    for (row, pdu) in valid_rows() {
        let Some(whole) = row.text("text_of_whole_message") else {
            continue;
        };
        let identity = MessageIdentity::new("test", &pdu);
        let part = Part::new(&received(pdu.tpdu), identity).expect("a part");
        let source = row.text("source").expect("every row has a source");
        let key = format!("{source} {:?} {whole}", row.direction());
        let (reassembly, content) = messages.entry(key).or_default();
        if let Insertion::Complete(message) = reassembly.insert(part) {
            assert_eq!(message.content(), Content::Text(whole.to_owned()), "row {}", row.number);
            *content = Some(whole.to_owned());
        }
    }
    assert_eq!(messages.len(), 4);
    assert!(
        messages
            .values()
            .all(|(reassembly, whole)| whole.is_some() && reassembly.incomplete().next().is_none())
    );
}

/// A message as its receiver would get it.
fn received(tpdu: Tpdu) -> Deliver {
    let timestamp = Timestamp::from_unix_seconds(1_700_000_000, 0).expect("a time");
    match tpdu {
        Tpdu::Deliver(deliver) => deliver,
        Tpdu::Submit(submit) => Deliver {
            more_messages_to_send: false,
            loop_prevention: false,
            reply_path: submit.reply_path,
            status_report_indication: false,
            originating_address: submit.destination_address,
            protocol_identifier: submit.protocol_identifier,
            data_coding_scheme: submit.data_coding_scheme,
            service_centre_timestamp: timestamp.into(),
            user_data: submit.user_data,
        },
        Tpdu::StatusReport(_) => panic!("a report is not part of a message"),
    }
}
